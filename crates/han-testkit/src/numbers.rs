//! The numbers by which tables name teams and sessions, which must not leave the server: this gives them values that
//! occur nowhere else, and finds them in what a server answered.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use sqlx::{Connection, PgConnection, SqliteConnection};

use crate::TestDatabase;

/// The first number of a team, and that of a session.
const FIRST: (i64, i64) = (7_340_033, 9_437_189);

/// The numbers of the teams and sessions of a database.
#[derive(Debug)]
pub struct MarkedNumbers(Vec<i64>);

impl TestDatabase {
    /// Makes the numbers of teams and sessions begin at values that occur nowhere else. It does nothing if a team was
    /// created before.
    ///
    /// # Panics
    /// If the database is not migrated.
    pub async fn mark_numbers(&self) {
        let (team, session) = FIRST;
        let sql = if self.is_postgres() {
            format!(
                "SELECT setval(pg_get_serial_sequence('teams', 'number'), {team}, false), \
                   setval(pg_get_serial_sequence('sessions', 'number'), {session}, false) \
                 WHERE NOT EXISTS (SELECT FROM teams)"
            )
        } else {
            format!(
                "INSERT INTO sqlite_sequence (name, seq) SELECT column1, column2 - 1 \
                 FROM (VALUES ('teams', {team}), ('sessions', {session})) \
                 WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'teams')"
            )
        };
        self.execute(&sql).await;
    }

    /// The numbers of the teams and sessions that exist now.
    ///
    /// # Panics
    /// If they were not marked, or there are none.
    pub async fn marked_numbers(&self) -> MarkedNumbers {
        let sql =
            "SELECT CAST(number AS bigint) FROM teams UNION ALL SELECT CAST(number AS bigint) FROM sessions";
        let numbers: Vec<i64> = if self.is_postgres() {
            let mut connection = PgConnection::connect(self.url()).await.expect("the database answers");
            sqlx::query_scalar(sql).fetch_all(&mut connection).await.expect("numbers")
        } else {
            let mut connection = SqliteConnection::connect(self.url()).await.expect("the database opens");
            sqlx::query_scalar(sql).fetch_all(&mut connection).await.expect("numbers")
        };
        assert!(numbers.iter().any(|n| *n >= FIRST.1), "no sessions: {numbers:?}");
        assert!(numbers.iter().all(|n| *n >= FIRST.0), "not marked: {numbers:?}");
        MarkedNumbers(numbers)
    }
}

impl MarkedNumbers {
    /// Those that are in `text`, also if a part of it is base64.
    #[must_use]
    pub fn found_in(&self, text: &str) -> BTreeSet<i64> {
        let mut texts = vec![text.to_owned()];
        for word in text.split(|c: char| !c.is_ascii_alphanumeric() && !"+/-_".contains(c)) {
            let decoded = [STANDARD_NO_PAD.decode(word), URL_SAFE_NO_PAD.decode(word)];
            texts.extend(decoded.iter().flatten().map(|bytes| String::from_utf8_lossy(bytes).into_owned()));
        }
        let runs = texts.iter().flat_map(|text| text.split(|c: char| !c.is_ascii_digit()));
        runs.filter_map(|run| run.parse().ok()).filter(|n| self.0.contains(n)).collect()
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::MarkedNumbers;

    #[test]
    fn a_number_is_found_in_a_cursor_and_behind_base64() {
        let numbers = MarkedNumbers(vec![7_340_033]);
        let encoded = STANDARD.encode("the team 7340033");
        for text in [r#"{"cursor":"1762_7340033_main"}"#, &format!("\"{encoded}\"")] {
            assert_eq!(numbers.found_in(text), [7_340_033].into(), "{text}");
        }
        assert!(numbers.found_in("17340033 73400331 7,340,033").is_empty());
    }
}
