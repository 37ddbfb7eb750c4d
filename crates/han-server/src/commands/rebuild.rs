//! `han-server rebuild`: rebuilds the derived data of teams from their stored lines. The work is done in han-db.

use han_db::Db;
use han_db::queries::{memberships, rebuild};
use han_types::RequestId;

use super::{CommandError, Rebuild, World};

pub(super) async fn run(asked: &Rebuild, db: &Db, world: &mut World<'_>) -> Result<(), CommandError> {
    let request_id = RequestId::generate(&*world.clock, &*world.entropy);
    let teams = memberships::teams_for_operator(db, &request_id, asked.team.as_deref()).await?;
    if let (Some(name), true) = (&asked.team, teams.is_empty()) {
        return Err(CommandError::Refused(format!(
            "no team {name:?} with an admin exists: name one by its id or slug"
        )));
    }
    // A team that fails does not stop the others.
    let mut failed = None;
    for team in teams {
        match rebuild::rebuild(&team.scope, db).await {
            Ok(done) => writeln!(
                world.err,
                "han-server: team {}: rebuilt from {} lines of {} sessions",
                team.team.slug, done.lines, done.sessions
            )?,
            Err(error) => {
                writeln!(world.err, "han-server: team {}: {error}", team.team.slug)?;
                failed = Some(error);
            }
        }
    }
    failed.map_or(Ok(()), |error| Err(error.into()))
}
