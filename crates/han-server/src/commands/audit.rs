//! `han-server audit`: verifying and exporting the audit logs of teams. The work is done in han-db.

use han_crypto::to_hex;
use han_db::Db;
use han_db::queries::audit::{self as log, Entry, Event, LogOf, LoggedTeam};
use han_db::queries::teams;

use super::{Audit, CommandError, ExportAudit, VerifyAudit, World};
use crate::app::AppError;
use crate::audit::{AuditExport, AuditExportError, noted};

pub(super) async fn run(asked: &Audit, db: &Db, world: &mut World<'_>) -> Result<(), CommandError> {
    match asked {
        Audit::Verify(asked) => verify(asked, db, world).await,
        Audit::Export(asked) => export(asked, db, world).await,
    }
}

async fn verify(asked: &VerifyAudit, db: &Db, world: &mut World<'_>) -> Result<(), CommandError> {
    let malformed =
        || CommandError::Refused("--noted must be a number, a colon and 64 hexadecimal digits".to_owned());
    let noted = asked.noted.as_deref().map(|text| noted(text).ok_or_else(malformed)).transpose()?;
    let mut logs = if asked.server { Vec::new() } else { log::teams(db).await? };
    if let Some(slug) = &asked.team {
        logs.retain(|team| team.slug == *slug);
        if logs.is_empty() {
            return Err(CommandError::Refused(format!("the team {slug:?} does not exist: check --team")));
        }
    }
    let (deleted, logs): (Vec<LoggedTeam>, _) = logs.into_iter().partition(|team| team.is_being_deleted);
    for LoggedTeam { slug, .. } in deleted {
        writeln!(
            world.err,
            "han-server: team {slug}: it is being deleted, and its log with it: not verified (the server's own log says who \
             has deleted a team)"
        )?;
    }
    let logs = logs.iter().map(|team| (LogOf::Team(&team.id), format!("team {}", team.slug)));
    let of_server = asked.team.is_none().then(|| (LogOf::Server, "the server's own log".to_owned()));
    let mut faults = 0;
    for (of, name) in logs.chain(of_server) {
        let found = log::verify(db, of, noted).await?;
        match found.fault {
            None => writeln!(
                world.err,
                "han-server: {name}: {} entries are as they were written; the last one is {}:{}",
                found.entries,
                found.entries,
                to_hex(&found.hash)
            )?,
            Some(fault) => {
                faults += 1;
                writeln!(world.err, "han-server: {name}: {fault}; the {} before are intact", found.entries)?;
            }
        }
    }
    if faults > 0 {
        return Err(CommandError::Refused(format!(
            "{faults} audit log(s) are not as they were written: somebody has changed the database"
        )));
    }
    Ok(())
}

async fn export(asked: &ExportAudit, db: &Db, world: &mut World<'_>) -> Result<(), CommandError> {
    let slug = &asked.team;
    let found = teams::by_slug(db, slug).await?;
    let team = found
        .ok_or_else(|| CommandError::Refused(format!("the team {slug:?} does not exist: check --team")))?;
    let entry = Entry::new(Event::AuditExported).with("after", asked.after);
    log::record_in(db, LogOf::Team(&team.id), entry).await?;
    let mut export = AuditExport::new(db.clone(), team.id, team.slug, asked.after.into());
    while let Some(chunk) = export.chunk().await? {
        world.out.write_all(&chunk)?;
    }
    world.out.flush()?;
    Ok(())
}

impl From<AuditExportError> for CommandError {
    fn from(error: AuditExportError) -> Self {
        match error {
            AuditExportError::Database(error) => Self::App(AppError::Database(error)),
            AuditExportError::Record(error) => Self::Output(error.into()),
        }
    }
}
