//! `han-server retention`: for how long teams keep the content of their sessions. A running server purges it.

use han_db::Db;
use han_db::queries::retention::{self, Changed};
use serde_json::json;

use super::table::text_table;
use super::{CommandError, Retention, World, team};

pub(super) async fn run(asked: &Retention, db: &Db, world: &mut World<'_>) -> Result<(), CommandError> {
    match asked {
        Retention::Set(asked) => {
            let scope = team::scope(&asked.team, db, world).await?;
            let days = asked.days.filter(|_| !asked.keep);
            match retention::set(&scope, db, days).await? {
                Changed::Done => {}
                Changed::NotInPlan(refusal) => {
                    return Err(CommandError::Refused(format!("team {}: {refusal}", asked.team)));
                }
                Changed::NotAllowed => {
                    return Err(CommandError::Refused(format!(
                        "the team {} has no admin any more: try again",
                        asked.team
                    )));
                }
            }
            match days {
                Some(days) => writeln!(
                    world.err,
                    "han-server: team {}: a running server purges the content of sessions {days} day(s) after their \
                     last line has arrived",
                    asked.team
                )?,
                None => writeln!(world.err, "han-server: team {}: content is kept without end", asked.team)?,
            }
            Ok(())
        }
        Retention::List(listing) => {
            let teams = retention::list(db).await?;
            if listing.json {
                let list = teams.iter().map(|team| {
                    json!({
                        "team": team.slug,
                        "teamId": team.team_id.as_str(),
                        "days": team.days,
                        "applies": team.applies,
                        "purgedSessions": team.purged,
                    })
                });
                writeln!(world.out, "{}", serde_json::Value::Array(list.collect()))?;
                return Ok(());
            }
            let rows = teams.into_iter().map(|team| {
                [
                    team.slug,
                    team.days.to_string(),
                    if team.applies { "yes" } else { "no: not in its plan" }.to_owned(),
                    team.purged.to_string(),
                ]
            });
            write!(world.out, "{}", text_table(["TEAM", "DAYS", "APPLIES", "PURGED SESSIONS"], rows))?;
            Ok(())
        }
    }
}
