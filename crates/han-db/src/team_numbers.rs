//! Teams' numbers: the rows of a team's tables name it by `teams.number`. Everything outside this crate, and everything
//! that is sealed, signed or ordered for a client, names it by its text id (docs/adr/0014).

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use han_types::TeamId;
use sea_orm::{FromQueryResult, Value};

use crate::{Db, DbError};

/// How many teams' numbers are kept at most; past it all are read again.
const MAX_TEAMS: usize = 100_000;

/// The number of a team in this database. It has no text form, and leaves the crate in statements only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TeamNumber(i32);

impl TeamNumber {
    /// The number of no team: numbers begin at 1.
    pub(crate) const NONE: Self = Self(0);

    /// The number under which the server's own audit log is stored, which is that of no team.
    pub(crate) const SERVER: Self = Self(-1);

    /// A number from a column of the database.
    pub(crate) fn of_column(number: i32) -> Self {
        Self(number)
    }

    /// The value of the setting `han.team`: empty where there is no team, so that the app role sees no row and writes
    /// none.
    pub(crate) fn setting(self) -> String {
        if self == Self::NONE { String::new() } else { self.0.to_string() }
    }
}

impl From<TeamNumber> for Value {
    fn from(number: TeamNumber) -> Self {
        number.0.into()
    }
}

/// The numbers of teams that were asked for. A number is never changed and never given to another team, not even after
/// its own was deleted, so that what is kept here stays true.
#[derive(Debug, Default)]
pub(crate) struct TeamNumbers(RwLock<HashMap<TeamId, TeamNumber>>);

#[derive(FromQueryResult)]
struct NumberRow {
    number: i32,
}

impl Db {
    /// A team's number.
    ///
    /// # Errors
    /// [`DbError::RowMissing`] where there is no such team.
    pub(crate) async fn team_number(&self, team_id: &TeamId) -> Result<TeamNumber, DbError> {
        let missing = || DbError::RowMissing { table: "teams", row: team_id.to_string() };
        self.find_team_number(team_id).await?.ok_or_else(missing)
    }

    /// As [`Db::team_number`]; `None` where there is no such team. That is not kept: an id may be read before its team
    /// is committed.
    pub(crate) async fn find_team_number(&self, team_id: &TeamId) -> Result<Option<TeamNumber>, DbError> {
        let TeamNumbers(known) = self.team_numbers();
        if let Some(number) = known.read().unwrap_or_else(PoisonError::into_inner).get(team_id) {
            return Ok(Some(*number));
        }
        let tx = self.read_system("team_numbers.load").await?;
        let sql = "SELECT number FROM teams WHERE id = $1";
        let Some(row) = tx.one::<NumberRow, _>(sql, [team_id.as_str().into()]).await? else {
            return Ok(None);
        };
        let number = TeamNumber::of_column(row.number);
        let mut known = known.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MAX_TEAMS {
            known.clear();
        }
        known.insert(team_id.clone(), number);
        Ok(Some(number))
    }
}
