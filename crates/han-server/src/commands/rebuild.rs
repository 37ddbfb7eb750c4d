//! The command that derives everything anew from the stored lines. What it does to a team is han-db's business.

use han_db::Db;
use han_db::queries::{identity, rebuild};
use han_types::RequestId;

use super::{CommandError, Rebuild, World};

pub(super) async fn run(asked: &Rebuild, db: &Db, world: &mut World<'_>) -> Result<(), CommandError> {
    let request_id = RequestId::generate(&*world.clock, &*world.entropy);
    let teams = identity::teams_for_operator(db, &request_id, asked.team.as_deref()).await?;
    if let (Some(name), true) = (&asked.team, teams.is_empty()) {
        return Err(CommandError::Refused(format!(
            "there is no team {name:?} that has an admin: name one by its id or its slug"
        )));
    }
    // One that fails does not keep the others from being done.
    let mut failed = None;
    for team in teams {
        match rebuild::rebuild(&team.scope, db).await {
            Ok(done) => writeln!(
                world.err,
                "han-server: team {}: {} lines of {} sessions derived anew",
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
