//! Converting the content of a team between plaintext and sealed: after a change of its plan, or because an operator
//! asks for it. The rows are converted in batches (`reseal`) while clients push and read. A push stores content in
//! the form that the plan asks for, whatever is being converted.

use han_types::TeamId;

use crate::entities::Team;
use crate::queries::audit::{Entry, Event};
use crate::queries::team_work::{self, WorkKind};
use crate::queries::teams::{TEAM, TeamRecord};
use crate::{Db, DbError};

/// The targets in `team_work.target`.
pub(crate) const SEALED: &str = "sealed";
pub(crate) const PLAINTEXT: &str = "plaintext";

/// The form of stored content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Encrypted.
    Sealed,
    /// As it is.
    Plaintext,
}

impl Form {
    /// The value in `team_work.target`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sealed => SEALED,
            Self::Plaintext => PLAINTEXT,
        }
    }
}

/// Refuses to convert where content that is not sealed is refused: its rows may have been written by an attacker, and
/// sealing them would hide that.
pub(crate) fn refuse_where_unsealed(db: &Db) -> Result<(), DbError> {
    if db.keys().refuses_unsealed() {
        return Err(DbError::Job(
            "this server refuses content that is not sealed: to convert content, set HAN_UNSEALED_CONTENT=accept"
                .to_owned(),
        ));
    }
    Ok(())
}

/// Requests that all content of a team is converted. The job `team-work` does it.
///
/// # Errors
/// [`DbError::Job`] if this server refuses content that is not sealed, [`DbError::RowMissing`] if there is no such
/// team.
pub async fn request(db: &Db, team_id: &TeamId, form: Form) -> Result<(), DbError> {
    refuse_where_unsealed(db)?;
    let team = db.team_number(team_id).await?;
    db.write_system("conversion.request", |tx| async move {
        team_work::request(&tx, team_id, WorkKind::Convert, form.as_str(), 0).await?;
        tx.log_of(team_id, team)
            .write(Entry::new(Event::ConversionRequested).with("form", form.as_str()))
            .await
    })
    .await?;
    tracing::info!(team = %team_id, form = form.as_str(), "the content of a team is to be converted");
    db.commits().wake_jobs();
    Ok(())
}

/// Requests that teams are sealed that have plaintext segments, although their plan seals: they were upgraded, or a
/// push from before the upgrade arrived late. Returns their number. Does nothing where content that is not sealed is
/// refused.
pub async fn request_due(db: &Db) -> Result<usize, DbError> {
    if db.keys().refuses_unsealed() {
        return Ok(0);
    }
    let tx = db.read_system("conversion.due").await?;
    let sql = format!(
        "SELECT {TEAM} FROM teams t \
         WHERE EXISTS (SELECT 1 FROM segments g WHERE g.team = t.number AND NOT g.sealed) \
         AND NOT EXISTS (SELECT 1 FROM team_work w WHERE w.team_id = t.id AND w.finished_at IS NULL \
         AND w.kind IN ('convert', 'delete')) ORDER BY t.id"
    );
    let rows: Vec<TeamRecord> = tx.all(&sql, []).await?;
    drop(tx);
    let mut requested = 0;
    for row in rows {
        let team = Team::try_from(row)?;
        if team.policy(db.plans()).seals_content() {
            request(db, &team.id, Form::Sealed).await?;
            requested += 1;
        }
    }
    Ok(requested)
}
