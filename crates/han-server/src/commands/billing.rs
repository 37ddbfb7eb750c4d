//! The command that compares all teams with Stripe. How it does that is in `billing`.

use std::sync::Arc;

use han_db::Db;

use super::{CommandError, ReconcileBilling, World};
use crate::app::AppError;
use crate::billing::{Billing, Report};
use crate::config::Config;

pub(super) async fn reconcile(
    asked: &ReconcileBilling,
    config: &Config,
    db: &Db,
    world: &mut World<'_>,
) -> Result<(), CommandError> {
    let Some(account) = &config.stripe else {
        return Err(CommandError::Refused("billing is not configured: set STRIPE_SECRET_KEY".to_owned()));
    };
    let base = config.link_base();
    let billing = Billing::new(account.clone(), base.origin(), db.clone(), Arc::clone(&world.entropy))
        .map_err(AppError::from)?;
    let found = billing.reconcile(asked.dry_run).await;
    let Report { compared, changed, open, failed, .. } = found
        .map_err(|error| CommandError::Refused(format!("the comparison could not be completed: {error}")))?;
    for line in &changed {
        writeln!(world.out, "{line}")?;
    }
    for line in open.iter().chain(&failed) {
        writeln!(world.err, "han-server: {line}")?;
    }
    let what = if asked.dry_run { "difference(s), nothing was changed" } else { "difference(s) repaired" };
    writeln!(world.err, "han-server: {compared} team(s) compared with Stripe, {} {what}", changed.len())?;
    match (failed.len(), open.len()) {
        (0, 0) => Ok(()),
        (0, open) => Err(CommandError::Refused(format!("{open} case(s) above need your decision"))),
        (failed, _) => Err(CommandError::Refused(format!(
            "{failed} customer(s) could not be compared, as named above: run the command again"
        ))),
    }
}
