//! Comparing all teams with Stripe, and what is due without an event: the end of grace periods, the subscriptions of
//! deleted teams, and old records of events.

use std::collections::{HashMap, HashSet};
use std::fmt;

use han_db::queries::billing::{self, BilledTeam, Bound, Customer, Deciding, StoredState};
use han_types::{TeamId, Timestamp};

use super::api::{ListedSubscription, Subscribed, Subscription};
use super::{Billing, Failed, Refreshed, standing, team_of_metadata};

/// How long the record of an applied event is kept. Stripe sends an event again for three days, and an operator can have
/// it sent again for thirty (docs.stripe.com/webhooks/process-undelivered-events).
const KEEP_EVENTS_DAYS: i64 = 45;

/// How many teams one statement reads.
const PAGE: u32 = 500;

/// How many teams whose grace period has ended one run works on.
const ENDINGS: u32 = 1000;

/// After how many customers in a row that failed, for a reason that concerns all, a comparison stops.
const FAILURES: u32 = 5;

/// What differs between two states.
pub(crate) struct Change<'a> {
    pub(crate) before: &'a StoredState,
    pub(crate) after: &'a StoredState,
}

impl fmt::Display for Change<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { before, after } = self;
        let time = |time: Option<Timestamp>| time.map_or_else(|| "-".to_owned(), Timestamp::to_rfc3339);
        let text = |by: &Option<Deciding>| by.as_ref().map_or("-", |by| by.id.as_str()).to_owned();
        let seats = |seats: Option<u32>| seats.map_or_else(|| "-".to_owned(), |seats| seats.to_string());
        let values = [
            ("plan", before.plan.to_string(), after.plan.to_string()),
            ("payment", before.payment.to_string(), after.payment.to_string()),
            ("subscription", text(&before.subscription), text(&after.subscription)),
            ("cancels at", time(before.cancels_at), time(after.cancels_at)),
            ("grace until", time(before.grace_until), time(after.grace_until)),
            ("seats", seats(before.seats), seats(after.seats)),
        ];
        let changed = values.into_iter().filter(|(_, before, after)| before != after);
        let changed: Vec<String> =
            changed.map(|(name, before, after)| format!("{name} {before} -> {after}")).collect();
        f.write_str(&changed.join(", "))
    }
}

/// What a comparison found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Report {
    /// How many teams were compared.
    pub(crate) compared: u64,
    /// One line for each thing that was changed, or would be.
    pub(crate) changed: Vec<String>,
    /// One line for each thing that an operator must decide.
    pub(crate) open: Vec<String>,
    /// One line for each customer that could not be compared. Nothing was changed for it.
    pub(crate) failed: Vec<String>,
    /// How many have failed in a row, for a reason that concerns all.
    in_a_row: u32,
}

impl Report {
    /// Notes what was repaired of a team, if anything.
    fn compare(&mut self, team: &BilledTeam, before: &StoredState, after: &StoredState) {
        if before != after {
            let change = Change { before, after };
            self.changed.push(format!("team {} ({}): {change}", team.slug, team.id));
        }
    }

    /// Notes how the work for a customer has ended.
    ///
    /// # Errors
    /// The failure, if so many have failed that there is no point in going on.
    fn note(&mut self, what: &str, done: Result<(), Failed>) -> Result<(), Failed> {
        let Err(error) = done else {
            self.in_a_row = 0;
            return Ok(());
        };
        self.failed.push(format!("{what}: {error}"));
        if error.is_of_customer() {
            return Ok(());
        }
        self.in_a_row += 1;
        if self.in_a_row < FAILURES { Ok(()) } else { Err(error) }
    }
}

/// The subscriptions of all customers.
#[derive(Default)]
struct Subscriptions {
    by_customer: HashMap<String, Vec<Subscription>>,
    /// The customers with a subscription that does not have the documented format.
    unreadable: HashSet<String>,
}

impl Billing {
    /// Compares all teams with the subscriptions at Stripe, and repairs what differs; with `dry_run`, only reports it. A
    /// customer that fails does not hold up the others.
    ///
    /// # Errors
    /// If Stripe cannot list the subscriptions: nothing was changed.
    pub(crate) async fn reconcile(&self, dry_run: bool) -> Result<Report, Failed> {
        let mut report = Report::default();
        let subscriptions = self.all_subscriptions().await?;
        if let Err(error) = self.compare_all(subscriptions, dry_run, &mut report).await {
            report.failed.push(format!("the comparison was stopped, other customers may differ: {error}"));
        }
        Ok(report)
    }

    async fn compare_all(
        &self,
        mut subscriptions: Subscriptions,
        dry_run: bool,
        report: &mut Report,
    ) -> Result<(), Failed> {
        let mut after: Option<String> = None;
        loop {
            let teams = billing::customers(&self.0.db, after.as_deref(), PAGE).await?;
            let Some(last) = teams.last() else { break };
            after.clone_from(&last.customer_id);
            for team in teams {
                let Some(customer) = &team.customer_id else { continue };
                let what = format!("team {} ({}), customer {customer}", team.slug, team.id);
                let of_team = subscriptions.by_customer.remove(customer).unwrap_or_default();
                if subscriptions.unreadable.contains(customer) {
                    report.failed.push(format!(
                        "{what}: one of its subscriptions does not have the format that Stripe documents"
                    ));
                    continue;
                }
                let done = self.compare(&team, customer, of_team, dry_run, report).await;
                report.note(&what, done)?;
            }
        }
        // In the order of their ids, so that two reports are alike.
        let mut left: Vec<_> = subscriptions.by_customer.into_iter().collect();
        left.sort_by(|one, other| one.0.cmp(&other.0));
        for (customer, subscriptions) in left {
            let done = self.of_no_team(&customer, &subscriptions, dry_run, report).await;
            report.note(&format!("customer {customer}"), done)?;
        }
        Ok(())
    }

    async fn all_subscriptions(&self) -> Result<Subscriptions, Failed> {
        let mut all = Subscriptions::default();
        let mut after: Option<String> = None;
        loop {
            let (page, has_more) = self.0.client.subscriptions(None, after.as_deref()).await?;
            after = page.last().map(|last| last.id.clone());
            for ListedSubscription { customer, subscription, .. } in page {
                let Some(customer) = customer else { continue };
                match subscription {
                    Some(subscription) => all.by_customer.entry(customer).or_default().push(subscription),
                    None => drop(all.unreadable.insert(customer)),
                }
            }
            if !has_more || after.is_none() {
                return Ok(all);
            }
        }
    }

    async fn compare(
        &self,
        team: &BilledTeam,
        customer: &str,
        subscriptions: Vec<Subscription>,
        dry_run: bool,
        report: &mut Report,
    ) -> Result<(), Failed> {
        let live = subscriptions.iter().filter(|one| self.rules(team).is_live_and_ours(one)).count();
        if live > 1 {
            report.open.push(format!(
                "team {} ({}): the customer {customer} pays for {live} subscriptions to plans, cancel all but one at Stripe",
                team.slug, team.id
            ));
        }
        let mut with_invoices: Vec<Subscribed> = Vec::new();
        for subscription in subscriptions {
            with_invoices.push(self.0.client.with_invoices(subscription).await?);
        }
        let found = self.standing_of(team, customer, &with_invoices);
        report.compared += 1;
        let after = team.state.after(&found);
        if after == team.state {
            return Ok(());
        }
        // What was listed may be older than what is stored: read the customer again.
        let (before, after) = if dry_run {
            let after = team.state.after(&self.read(team, customer).await?);
            (team.state.clone(), after)
        } else {
            match self.refresh(customer, None).await? {
                Refreshed::Done { before, after, .. } => (before, after),
                _ => return Ok(()),
            }
        };
        report.compare(team, &before, &after);
        Ok(())
    }

    /// The subscriptions of a customer that no team has: of a deleted team, of a team that was restored from an older
    /// backup, or of another product.
    async fn of_no_team(
        &self,
        customer: &str,
        subscriptions: &[Subscription],
        dry_run: bool,
        report: &mut Report,
    ) -> Result<(), Failed> {
        let live: Vec<&Subscription> =
            subscriptions.iter().filter(|one| !standing::is_over(one.status)).collect();
        if live.is_empty() {
            return Ok(());
        }
        match billing::find_customer(&self.0.db, customer, None).await? {
            Customer::OfDeletedTeam => {
                report.changed.push(format!(
                    "customer {customer} of a deleted team: {} subscription(s) to cancel",
                    live.len()
                ));
                if !dry_run {
                    billing::cancel_again(&self.0.db, customer).await?;
                    self.cancel_deleted().await?;
                }
                return Ok(());
            }
            // It was bound meanwhile.
            Customer::Of(_) | Customer::EventApplied => return Ok(()),
            Customer::Unknown => {}
        }
        let Some(team_id) = live.iter().find_map(|one| team_of_metadata(&one.metadata)) else {
            return Ok(());
        };
        match billing::of_team(&self.0.db, &team_id).await? {
            None => report.open.push(format!(
                "customer {customer}: its subscription names the team {team_id}, which does not exist: cancel it at Stripe"
            )),
            Some(BilledTeam { customer_id: Some(other), .. }) => report.open.push(format!(
                "customer {customer}: its subscription names the team {team_id}, which is the customer {other}: cancel one \
                 of them at Stripe"
            )),
            Some(team) => {
                report.changed.push(format!("team {} ({team_id}): customer - -> {customer}", team.slug));
                if !dry_run {
                    self.bind_and_refresh(&team_id, customer, report).await?;
                }
            }
        }
        Ok(())
    }

    async fn bind_and_refresh(
        &self,
        team_id: &TeamId,
        customer: &str,
        report: &mut Report,
    ) -> Result<(), Failed> {
        match billing::bind(&self.0.db, team_id, customer).await? {
            Bound::Done => {
                if let Refreshed::Done { team, before, after } = self.refresh(customer, None).await? {
                    report.compare(&team, &before, &after);
                }
            }
            other => {
                report.open.push(format!(
                    "customer {customer}: it cannot be that of the team {team_id} ({other:?})"
                ));
            }
        }
        Ok(())
    }

    /// The scheduled comparison. Nothing is asked while no team has a customer.
    pub(crate) async fn reconcile_scheduled(&self) -> Result<(), Failed> {
        if billing::customers(&self.0.db, None, 1).await?.is_empty() {
            return Ok(());
        }
        let Report { compared, changed, open, failed, .. } = self.reconcile(false).await?;
        for line in &changed {
            tracing::warn!(line, "a difference to Stripe was repaired: an event was lost");
        }
        for line in &open {
            tracing::error!(line, "billing needs a decision of the operator");
        }
        for line in &failed {
            tracing::error!(line, "a customer could not be compared with Stripe");
        }
        tracing::info!(
            compared,
            changed = changed.len(),
            failed = failed.len(),
            "teams were compared with Stripe"
        );
        if failed.is_empty() { Ok(()) } else { Err(Failed::Incomplete(failed.len())) }
    }

    /// What is due: the end of grace periods, the subscriptions of deleted teams, and old records of events. What fails for
    /// one customer does not hold up the others.
    pub(crate) async fn run_due(&self) -> Result<(), Failed> {
        let mut failed = None;
        for team in billing::past_grace(&self.0.db, ENDINGS).await? {
            let Some(customer) = &team.customer_id else { continue };
            // A payment may have arrived without an event; and while Stripe cannot be asked, no team loses its plan.
            if let Err(error) = self.refresh(customer, None).await {
                tracing::warn!(%error, team = %team.id, "the end of a grace period could not be applied");
                failed = Some(error);
            }
        }
        if let Err(error) = self.cancel_deleted().await {
            failed = Some(error);
        }
        let now = self.0.db.clock().now();
        billing::trim_events(&self.0.db, now.plus_seconds(-KEEP_EVENTS_DAYS * 86_400)).await?;
        failed.map_or(Ok(()), Err)
    }

    /// Cancels the subscriptions of deleted teams.
    async fn cancel_deleted(&self) -> Result<(), Failed> {
        let mut failed = None;
        for due in billing::cancellations(&self.0.db).await? {
            if let Err(error) = self.cancel_all(&due.customer_id).await {
                tracing::warn!(%error, team = %due.team_id, customer = due.customer_id,
                    "the subscriptions of a deleted team could not be cancelled yet");
                failed = Some(error);
                continue;
            }
            billing::cancelled(&self.0.db, &due).await?;
            tracing::info!(team = %due.team_id, customer = due.customer_id,
                "the subscriptions of a deleted team are cancelled");
        }
        failed.map_or(Ok(()), Err)
    }

    async fn cancel_all(&self, customer: &str) -> Result<(), Failed> {
        for Subscribed { subscription, .. } in self.0.client.subscriptions_of(customer).await? {
            if !standing::is_over(subscription.status) {
                self.0.client.cancel(&subscription.id).await?;
            }
        }
        Ok(())
    }
}
