//! What Stripe says about the subscriptions of teams: look-ups by Stripe's id of a customer, before a team is known; the
//! one way in which a state of Stripe is applied to a team; and the customers of deleted teams. What the state of
//! subscriptions means for a team is decided by the caller.
//!
//! A state is read from Stripe outside of a transaction, so it may be older than one that was applied meanwhile. Each
//! application counts up `teams.billing_version`, and is refused if that has changed since before the state was read
//! ([`Applied::Stale`]); the caller then reads again. So an older state never replaces a newer one, in whatever order
//! events arrive (docs/adr/0036).

use han_types::{PaymentState, PlanTier, Scope, TeamId, Timestamp, UserId};
use sea_orm::FromQueryResult;

use crate::queries::{plans, teams};
use crate::stored::{stored, stored_id};
use crate::team_numbers::TeamNumber;
use crate::tx::{SystemTx, Tx};
use crate::{Db, DbError};

/// A subscription that decides the plan of a team, or has done so last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deciding {
    /// Stripe's id.
    pub id: String,
    /// The plan that it gives while it is paid. It is remembered, because its price may be removed from the configuration.
    pub plan: PlanTier,
}

/// What Stripe's subscriptions say about the plan of a team.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// A subscription decides it.
    Plan {
        /// The plan of the team; Free after the end of the subscription.
        plan: PlanTier,
        /// The subscription.
        by: Deciding,
    },
    /// There is no subscription that was ever paid for one of the plans. A team that had one has the plan Free; another
    /// keeps its plan.
    Nothing,
}

/// The state of the payments of a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payment {
    /// The state.
    pub state: PaymentState,
    /// When the subscription ends, if it was cancelled.
    pub cancels_at: Option<Timestamp>,
    /// Until when the plan stays although a payment failed.
    pub grace_until: Option<Timestamp>,
    /// The quantity of the subscription.
    pub seats: Option<u32>,
}

/// The state of the subscriptions of a customer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// What becomes of the plan.
    pub decision: Decision,
    /// The payments of the subscription that decides, or of the best one if none does.
    pub payment: Payment,
}

/// A team as billing sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BilledTeam {
    /// Its id.
    pub id: TeamId,
    /// Its unique name.
    pub slug: String,
    /// Its customer at Stripe.
    pub customer_id: Option<String>,
    /// What is stored.
    pub state: StoredState,
    version: i64,
}

/// What is stored about the subscription of a team.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredState {
    /// The plan.
    pub plan: PlanTier,
    /// The state of the payments.
    pub payment: PaymentState,
    /// The subscription that has decided the plan; `None` if none has.
    pub subscription: Option<Deciding>,
    /// When it ends, if it was cancelled.
    pub cancels_at: Option<Timestamp>,
    /// Until when the plan stays although a payment failed.
    pub grace_until: Option<Timestamp>,
    /// The quantity of the subscription.
    pub seats: Option<u32>,
}

impl StoredState {
    /// What is stored after `standing` was applied to this.
    #[must_use]
    pub fn after(&self, standing: &Standing) -> Self {
        let (plan, subscription) = match &standing.decision {
            Decision::Plan { plan, by } => (*plan, Some(by.clone())),
            Decision::Nothing if self.subscription.is_some() => (PlanTier::Free, None),
            Decision::Nothing => (self.plan, None),
        };
        let Payment { state, cancels_at, grace_until, seats } = standing.payment;
        Self { plan, payment: state, subscription, cancels_at, grace_until, seats }
    }
}

/// An event of Stripe.
#[derive(Clone, Copy, Debug)]
pub struct StripeEvent<'a> {
    /// Stripe's id, which is unique.
    pub id: &'a str,
    /// Its kind, such as `invoice.paid`.
    pub kind: &'a str,
    /// When Stripe made it.
    pub created_at: Timestamp,
}

/// Whose customer an id of Stripe is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Customer {
    /// This team's.
    Of(Box<BilledTeam>),
    /// That of a team which was deleted.
    OfDeletedTeam,
    /// No team's.
    Unknown,
    /// The event was applied before.
    EventApplied,
}

/// What became of a state that was to be applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It is stored.
    Done {
        /// What was stored before.
        before: StoredState,
        /// What is stored now.
        after: StoredState,
    },
    /// The event was applied before: nothing was changed.
    EventApplied,
    /// Another state was applied since the team was read, so this one may be older: read both again.
    Stale,
    /// The customer is no longer the team's.
    Gone,
}

/// What became of a customer that was to be bound to a team.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bound {
    /// It is the team's customer, or was before.
    Done,
    /// The team has another customer.
    Other(String),
    /// It is the customer of another team.
    Taken,
    /// Only an admin of the team may do this.
    NotAllowed,
    /// The team was deleted.
    Gone,
}

/// A customer whose team was deleted, and whose subscriptions must end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cancellation {
    /// The customer at Stripe.
    pub customer_id: String,
    /// The team that was deleted.
    pub team_id: TeamId,
    round: i64,
}

#[derive(FromQueryResult)]
struct BilledRow {
    number: i32,
    id: String,
    slug: String,
    plan_tier: String,
    stripe_customer_id: Option<String>,
    stripe_subscription_id: Option<String>,
    subscription_plan: Option<String>,
    payment_state: String,
    cancels_at: Option<i64>,
    grace_until: Option<i64>,
    paid_seats: Option<i64>,
    billing_version: i64,
}

impl TryFrom<BilledRow> for BilledTeam {
    type Error = DbError;

    fn try_from(row: BilledRow) -> Result<Self, DbError> {
        let subscription = match (row.stripe_subscription_id, row.subscription_plan) {
            (Some(id), Some(plan)) => {
                Some(Deciding { id, plan: stored(&plan, "teams", "subscription_plan", &row.id)? })
            }
            _ => None,
        };
        Ok(Self {
            id: stored_id(&row.id, "teams", "id")?,
            slug: row.slug,
            customer_id: row.stripe_customer_id,
            state: StoredState {
                plan: stored(&row.plan_tier, "teams", "plan_tier", &row.id)?,
                payment: stored(&row.payment_state, "teams", "payment_state", &row.id)?,
                subscription,
                cancels_at: row.cancels_at.map(Timestamp),
                grace_until: row.grace_until.map(Timestamp),
                seats: row.paid_seats.and_then(|seats| u32::try_from(seats).ok()),
            },
            version: row.billing_version,
        })
    }
}

const BILLED: &str = "SELECT number, id, slug, plan_tier, stripe_customer_id, stripe_subscription_id, subscription_plan, \
     payment_state, cancels_at, grace_until, paid_seats, billing_version FROM teams";

async fn event_is_applied(tx: &Tx, id: &str) -> Result<bool, DbError> {
    Ok(!tx.rows("SELECT id FROM stripe_events WHERE id = $1", [id.into()]).await?.is_empty())
}

/// Whose customer `customer_id` is; and whether `event` was applied before.
pub async fn find_customer(
    db: &Db,
    customer_id: &str,
    event: Option<&StripeEvent<'_>>,
) -> Result<Customer, DbError> {
    let tx = db.read_system("billing.customer").await?;
    if let Some(event) = event
        && event_is_applied(&tx, event.id).await?
    {
        return Ok(Customer::EventApplied);
    }
    let sql = format!("{BILLED} WHERE stripe_customer_id = $1");
    if let Some(row) = tx.one::<BilledRow, _>(&sql, [customer_id.into()]).await? {
        return Ok(Customer::Of(Box::new(row.try_into()?)));
    }
    let sql = "SELECT customer_id FROM stripe_cancellations WHERE customer_id = $1";
    let was_deleted = !tx.rows(sql, [customer_id.into()]).await?.is_empty();
    Ok(if was_deleted { Customer::OfDeletedTeam } else { Customer::Unknown })
}

/// A team as billing sees it.
pub async fn of_team(db: &Db, team_id: &TeamId) -> Result<Option<BilledTeam>, DbError> {
    let tx = db.read_system("billing.team").await?;
    let row: Option<BilledRow> =
        tx.one(&format!("{BILLED} WHERE id = $1"), [team_id.as_str().into()]).await?;
    row.map(TryInto::try_into).transpose()
}

/// The teams with a customer at Stripe, by the customer's id: up to `limit` of those after `after`.
pub async fn customers(db: &Db, after: Option<&str>, limit: u32) -> Result<Vec<BilledTeam>, DbError> {
    let tx = db.read_system("billing.customers").await?;
    let sql = format!("{BILLED} WHERE stripe_customer_id > $1 ORDER BY stripe_customer_id LIMIT $2");
    let values = [after.unwrap_or_default().into(), i64::from(limit).into()];
    let rows: Vec<BilledRow> = tx.all(&sql, values).await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// The teams whose grace period has ended and that still have a plan: up to `limit`.
pub async fn past_grace(db: &Db, limit: u32) -> Result<Vec<BilledTeam>, DbError> {
    let tx = db.read_system("billing.past_grace").await?;
    let sql = format!(
        "{BILLED} WHERE grace_until <= $1 AND plan_tier <> $2 AND stripe_customer_id IS NOT NULL \
         ORDER BY grace_until, id LIMIT $3"
    );
    let values = [db.clock().now().0.into(), PlanTier::Free.as_str().into(), i64::from(limit).into()];
    let rows: Vec<BilledRow> = tx.all(&sql, values).await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// Applies the state of the subscriptions of a team's customer. `team` was read before the state was. With an `event`, the
/// state is applied once, in the transaction that records the event.
pub async fn apply(
    db: &Db,
    team: &BilledTeam,
    standing: &Standing,
    event: Option<&StripeEvent<'_>>,
) -> Result<Applied, DbError> {
    let Some(customer_id) = team.customer_id.as_deref() else { return Ok(Applied::Gone) };
    let applied = db
        .write_system("billing.apply", |tx| async move {
            let lock = tx.dialect().for_update();
            let sql = format!("{BILLED} WHERE stripe_customer_id = $1{lock}");
            let Some(row) = tx.one::<BilledRow, _>(&sql, [customer_id.into()]).await? else {
                return Ok(Applied::Gone);
            };
            let number = TeamNumber::of_column(row.number);
            let stored = BilledTeam::try_from(row)?;
            if stored.id != team.id {
                return Ok(Applied::Gone);
            }
            if stored.version != team.version {
                return Ok(Applied::Stale);
            }
            if let Some(event) = event
                && !record(&tx, event, customer_id).await?
            {
                return Ok(Applied::EventApplied);
            }
            let (before, after) = (stored.state.clone(), stored.state.after(standing));
            if sets_plan(&before, &after, standing) {
                plans::change(&tx, &stored.id, number, after.plan).await?;
            }
            store(&tx, number, &after).await?;
            Ok(Applied::Done { before, after })
        })
        .await?;
    match &applied {
        Applied::Done { before, after } if sets_plan(before, after, standing) => plans::changed(db),
        Applied::Done { .. } => db.commits().notify(),
        _ => {}
    }
    Ok(applied)
}

/// Records that an event is applied in this transaction. `false` if it was applied before.
async fn record(tx: &SystemTx, event: &StripeEvent<'_>, customer_id: &str) -> Result<bool, DbError> {
    let sql = "INSERT INTO stripe_events (id, kind, customer_id, created_at, applied_at) VALUES ($1, $2, $3, $4, $5) \
               ON CONFLICT (id) DO NOTHING";
    let values = [
        event.id.into(),
        event.kind.into(),
        customer_id.into(),
        event.created_at.0.into(),
        tx.clock().now().0.into(),
    ];
    Ok(tx.execute(sql, values).await? > 0)
}

/// Whether the plan is set. A subscription that decides sets it even if it is the stored one: with that, the plan of a team
/// from before billing is decided. One that decides nothing leaves such a team as it is.
fn sets_plan(before: &StoredState, after: &StoredState, standing: &Standing) -> bool {
    matches!(standing.decision, Decision::Plan { .. }) || before.plan != after.plan
}

/// Stores the state of a team whose row is locked, except for its plan.
async fn store(tx: &SystemTx, team: TeamNumber, after: &StoredState) -> Result<(), DbError> {
    let sql = "UPDATE teams SET payment_state = $1, stripe_subscription_id = $2, cancels_at = $3, grace_until = $4, \
               paid_seats = $5, subscription_plan = $7, billing_version = billing_version + 1 WHERE number = $6";
    let time = |time: Option<Timestamp>| time.map(|time| time.0);
    let values = [
        after.payment.as_str().into(),
        after.subscription.as_ref().map(|by| by.id.clone()).into(),
        time(after.cancels_at).into(),
        time(after.grace_until).into(),
        after.seats.map(i64::from).into(),
        team.into(),
        after.subscription.as_ref().map(|by| by.plan.to_string()).into(),
    ];
    tx.execute(sql, values).await?;
    Ok(())
}

/// Makes `customer_id` the customer of the scope's team, on behalf of an admin. `replaces` is a customer that no longer
/// exists at Stripe. Of several that are bound at once, the first one remains.
pub async fn bind_for(
    scope: &Scope,
    db: &Db,
    customer_id: &str,
    replaces: Option<&str>,
) -> Result<Bound, DbError> {
    let team_id = scope.team_id();
    bind_as(db, team_id, customer_id, replaces, Some(scope.user_id())).await
}

/// Makes `customer_id` the customer of a team that has none, because Stripe says that it paid for the team.
pub async fn bind(db: &Db, team_id: &TeamId, customer_id: &str) -> Result<Bound, DbError> {
    bind_as(db, team_id, customer_id, None, None).await
}

async fn bind_as(
    db: &Db,
    team_id: &TeamId,
    customer_id: &str,
    replaces: Option<&str>,
    admin: Option<&UserId>,
) -> Result<Bound, DbError> {
    db.write_system("billing.bind", |tx| async move {
        let lock = tx.dialect().for_update();
        let sql = format!("{BILLED} WHERE id = $1{lock}");
        let Some(row) = tx.one::<BilledRow, _>(&sql, [team_id.as_str().into()]).await? else {
            return Ok(Bound::Gone);
        };
        let number = TeamNumber::of_column(row.number);
        if let Some(admin) = admin
            && !teams::is_admin(&tx, number, admin).await?
        {
            return Ok(Bound::NotAllowed);
        }
        // The deletion of a team locks its row and removes its members first: it must not get a customer after that.
        let members = "SELECT user_id FROM team_members WHERE team = $1 LIMIT 1";
        if tx.rows(members, [number.into()]).await?.is_empty() {
            return Ok(Bound::Gone);
        }
        match row.stripe_customer_id {
            Some(current) if current == customer_id => return Ok(Bound::Done),
            Some(current) if Some(current.as_str()) != replaces => return Ok(Bound::Other(current)),
            _ => {}
        }
        let others = "SELECT id FROM teams WHERE stripe_customer_id = $1 \
                      UNION ALL SELECT team_id FROM stripe_cancellations WHERE customer_id = $1";
        if !tx.rows(others, [customer_id.into()]).await?.is_empty() {
            return Ok(Bound::Taken);
        }
        let sql = "UPDATE teams SET stripe_customer_id = $1, billing_version = billing_version + 1 WHERE number = $2";
        tx.execute(sql, [customer_id.into(), number.into()]).await?;
        Ok(Bound::Done)
    })
    .await
}

/// Forgets which events were applied before `before`.
pub async fn trim_events(db: &Db, before: Timestamp) -> Result<u64, DbError> {
    db.write_system("billing.trim_events", |tx| async move {
        tx.execute("DELETE FROM stripe_events WHERE applied_at < $1", [before.0.into()]).await
    })
    .await
}

// ---- deleted teams ------------------------------------------------------------------------------------------

#[derive(FromQueryResult)]
struct CustomerRow {
    stripe_customer_id: Option<String>,
}

/// Ends the billing of a team in the transaction that begins its deletion: its subscriptions are cancelled later, as
/// [`cancellations`] lists them.
pub(crate) async fn end(tx: &SystemTx, team_id: &TeamId, team: TeamNumber) -> Result<(), DbError> {
    let lock = tx.dialect().for_update();
    let sql = format!("SELECT stripe_customer_id FROM teams WHERE number = $1{lock}");
    let found: Option<CustomerRow> = tx.one(&sql, [team.into()]).await?;
    let Some(customer_id) = found.and_then(|row| row.stripe_customer_id) else { return Ok(()) };
    tx.execute(
        "INSERT INTO stripe_cancellations (customer_id, team_id, requested_at) VALUES ($1, $2, $3) \
         ON CONFLICT (customer_id) DO NOTHING",
        [customer_id.into(), team_id.as_str().into(), tx.clock().now().0.into()],
    )
    .await?;
    let sql =
        "UPDATE teams SET stripe_customer_id = NULL, billing_version = billing_version + 1 WHERE number = $1";
    tx.execute(sql, [team.into()]).await?;
    Ok(())
}

#[derive(FromQueryResult)]
struct CancellationRow {
    customer_id: String,
    team_id: String,
    round: i64,
}

/// The customers of deleted teams whose subscriptions must still be cancelled, the oldest request first.
pub async fn cancellations(db: &Db) -> Result<Vec<Cancellation>, DbError> {
    let tx = db.read_system("billing.cancellations").await?;
    let sql = "SELECT customer_id, team_id, round FROM stripe_cancellations WHERE finished_at IS NULL \
               ORDER BY requested_at, customer_id";
    let rows: Vec<CancellationRow> = tx.all(sql, []).await?;
    let read = |row: CancellationRow| {
        let team_id = stored(&row.team_id, "stripe_cancellations", "team_id", &row.customer_id)?;
        Ok(Cancellation { customer_id: row.customer_id, team_id, round: row.round })
    };
    rows.into_iter().map(read).collect()
}

/// Records that no subscription of the customer is left, unless another one was begun since `done` was read.
pub async fn cancelled(db: &Db, done: &Cancellation) -> Result<(), DbError> {
    db.write_system("billing.cancelled", |tx| async move {
        let sql = "UPDATE stripe_cancellations SET finished_at = $1 WHERE customer_id = $2 AND round = $3";
        let values = [tx.clock().now().0.into(), done.customer_id.as_str().into(), done.round.into()];
        tx.execute(sql, values).await
    })
    .await?;
    Ok(())
}

/// Cancels the subscriptions of a deleted team's customer again: there is a new one, for which somebody paid on a page
/// that was open when the team was deleted.
pub async fn cancel_again(db: &Db, customer_id: &str) -> Result<(), DbError> {
    db.write_system("billing.cancel_again", |tx| async move {
        let sql = "UPDATE stripe_cancellations SET round = round + 1, requested_at = $1, finished_at = NULL \
                   WHERE customer_id = $2";
        tx.execute(sql, [tx.clock().now().0.into(), customer_id.into()]).await
    })
    .await?;
    Ok(())
}
