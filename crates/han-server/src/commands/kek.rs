//! `han-server kek`: the rotation of the KEK. The work is done in han-db.

use han_db::queries::keks::{self, Activation, KekStatus};
use han_db::{Db, Replica};
use serde_json::{Value, json};

use super::table::text_table;
use super::{CommandError, Kek, Listing, World};

pub(super) async fn run(asked: &Kek, db: &Db, world: &mut World<'_>) -> Result<(), CommandError> {
    match asked {
        Kek::Status(listing) => status(listing, db, world).await,
        Kek::Rotate => rotate(db, world).await,
        Kek::Verify => verify(db, world).await,
    }
}

async fn status(listing: &Listing, db: &Db, world: &mut World<'_>) -> Result<(), CommandError> {
    let status = keks::status(db).await?;
    if listing.json {
        writeln!(world.out, "{}", status_json(&status))?;
        return Ok(());
    }
    let mut ids: Vec<&String> = status.active.iter().chain(&status.held).collect();
    ids.extend(status.team_keys.keys().chain(status.secrets.keys()));
    ids.sort();
    ids.dedup();
    let rows = ids.into_iter().map(|id| {
        let says = |yes: bool| if yes { "yes" } else { "-" }.to_owned();
        [
            id.clone(),
            says(status.active.as_ref() == Some(id)),
            says(*id == status.current),
            says(status.held.contains(id)),
            status.team_keys.get(id).copied().unwrap_or_default().to_string(),
            status.secrets.get(id).copied().unwrap_or_default().to_string(),
        ]
    });
    let head = ["KEK", "WRITES", "KEK_SECRET", "HELD HERE", "TEAM KEYS", "SECRETS"];
    write!(world.out, "{}", text_table(head, rows))?;
    let rows = status.replicas.iter().map(|replica| {
        [
            replica.id.clone(),
            replica.program.clone(),
            if replica.live { "live" } else { "dead" }.to_owned(),
            replica.live_until.to_rfc3339(),
            replica.kek_ids.join(" "),
        ]
    });
    write!(world.out, "\n{}", text_table(["REPLICA", "COMMAND", "STATE", "LIVE UNTIL", "KEKS"], rows))?;
    writeln!(world.err, "han-server: {}", next_step(&status))?;
    Ok(())
}

/// What an operator does next.
fn next_step(status: &KekStatus) -> String {
    let KekStatus { active, current, held, .. } = status;
    let live = status.replicas.iter().filter(|replica| replica.live);
    let lacking: Vec<&str> = live
        .filter(|replica| !replica.kek_ids.contains(current))
        .map(|replica| replica.id.as_str())
        .collect();
    match active {
        None => "no key was made yet".to_owned(),
        Some(active) if active != current && !lacking.is_empty() => {
            format!("restart these replicas with KEK_SECRET of this process: {}", lacking.join(", "))
        }
        Some(active) if active != current => "next: `han-server kek rotate`".to_owned(),
        Some(_) if status.behind() > 0 => {
            format!(
                "{} row(s) need another KEK: `han-server kek rotate` completes the rotation",
                status.behind()
            )
        }
        Some(_) if held.len() > 1 => {
            "next: `han-server kek verify`, then restart every replica without KEK_SECRET_PREVIOUS".to_owned()
        }
        Some(_) => "one KEK wraps everything".to_owned(),
    }
}

fn status_json(status: &KekStatus) -> Value {
    let replicas: Vec<Value> = status.replicas.iter().map(replica_json).collect();
    json!({
        "active": status.active,
        "current": status.current,
        "held": status.held,
        "teamKeys": status.team_keys,
        "secrets": status.secrets,
        "behind": status.behind(),
        "replicas": replicas,
    })
}

fn replica_json(replica: &Replica) -> Value {
    json!({
        "id": replica.id,
        "command": replica.program,
        "live": replica.live,
        "keks": replica.kek_ids,
        "keyEpoch": replica.key_epoch,
        "startedAt": replica.started_at.to_rfc3339(),
        "liveUntil": replica.live_until.to_rfc3339(),
    })
}

async fn rotate(db: &Db, world: &mut World<'_>) -> Result<(), CommandError> {
    let rotated = keks::rotate(db, |rows| tracing::debug!(rows, "keys were wrapped again")).await?;
    match rotated.activation {
        Activation::Lacking(replicas) => {
            let named: Vec<String> = replicas
                .iter()
                .map(|replica| format!("{} (live until {})", replica.id, replica.live_until.to_rfc3339()))
                .collect();
            return Err(CommandError::Refused(format!(
                "these replicas do not hold KEK_SECRET of this process: {}. Restart them with it, and with the present \
                 KEK in KEK_SECRET_PREVIOUS. A replica that died counts as live until the time that is given. Nothing \
                 was changed",
                named.join(", ")
            )));
        }
        Activation::Activated { before } => writeln!(
            world.err,
            "han-server: the KEK {} writes from now on, in place of {before}",
            db.current_kek_id()
        )?,
        Activation::AlreadyActive => {
            writeln!(world.err, "han-server: the KEK {} writes already", db.current_kek_id())?;
        }
    }
    writeln!(
        world.err,
        "han-server: wrapped {} row(s) again. Next: `han-server kek verify`",
        rotated.rewrapped
    )?;
    Ok(())
}

async fn verify(db: &Db, world: &mut World<'_>) -> Result<(), CommandError> {
    /// The most rows that are named.
    const NAMED: usize = 20;
    let found = keks::verify(db).await?;
    let current = db.current_kek_id();
    if found.active != current {
        return Err(CommandError::Refused(format!(
            "KEK_SECRET of this process is {current}, but {} still wraps new keys: run `han-server kek rotate`",
            found.active
        )));
    }
    for (row, why) in found.failures.iter().take(NAMED) {
        writeln!(world.err, "han-server: {row}: {why}")?;
    }
    if !found.failures.is_empty() {
        return Err(CommandError::Refused(format!(
            "{} row(s) cannot be opened with the KEK {} alone: do not remove any KEK",
            found.failures.len(),
            found.active
        )));
    }
    writeln!(
        world.err,
        "han-server: the KEK {} alone opens all {} team key(s) and {} secret(s): no other KEK is needed",
        found.active, found.team_keys, found.secrets
    )?;
    Ok(())
}
