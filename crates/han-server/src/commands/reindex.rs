//! `han-server reindex`: rebuilds the search index of teams, under a new search key. The work is done in han-db.

use han_db::Db;
use han_db::queries::memberships;
use han_db::queries::search::{self, Due};
use han_types::RequestId;

use super::{CommandError, Reindex, World};

pub(super) async fn run(asked: &Reindex, db: &Db, world: &mut World<'_>) -> Result<(), CommandError> {
    let request_id = RequestId::generate(&*world.clock, &*world.entropy);
    let teams = memberships::teams_for_operator(db, &request_id, asked.team.as_deref()).await?;
    if let (Some(name), true) = (&asked.team, teams.is_empty()) {
        return Err(CommandError::Refused(format!(
            "no team {name:?} with an admin exists: name one by its id or slug"
        )));
    }
    for team in teams {
        search::reindex(&team.scope, db).await?;
        let lines = search::lag(&db.read(&team.scope, "search.lag").await?).await?;
        writeln!(world.err, "han-server: team {}: {lines} lines to index", team.team.slug)?;
        let mut after: Option<Due> = None;
        loop {
            let due = search::due(db, after.as_ref(), 100).await?;
            let Some(last) = due.last().cloned() else { break };
            for due in due.iter().filter(|due| due.team_id == team.team.id) {
                while !search::index(db, due).await? {}
            }
            after = Some(last);
        }
        writeln!(world.err, "han-server: team {}: reindexed", team.team.slug)?;
    }
    Ok(())
}
