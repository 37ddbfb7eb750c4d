//! In what PostgreSQL and SQLite differ: roles, time, locks, functions, lists of values. Queries are written once, with `$1`
//! placeholders that both understand, and ask this module for the rest. Inserts of many rows are in `bulk_insert`, search
//! in `queries::search::sql`, the outbox in `outbox`.

use han_types::Clock;
use sea_orm::Value;
use sea_orm::sea_query::ArrayType;

use crate::DbError;
use crate::team_numbers::TeamNumber;
use crate::tx::{Mode, Tx};

/// Which database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// PostgreSQL 15 or later.
    Postgres,
    /// SQLite, embedded.
    Sqlite,
}

/// Whose rights a transaction takes on (PostgreSQL).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// `han_app`: sees one team.
    App,
    /// `han_system`: the look-ups made before a team is known, the outbox, jobs.
    System,
}

impl Role {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::App => "han_app",
            Self::System => "han_system",
        }
    }
}

impl Dialect {
    pub(crate) fn of_url(url: &str) -> Result<Self, DbError> {
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            Ok(Self::Postgres)
        } else if url.starts_with("sqlite:") {
            Ok(Self::Sqlite)
        } else {
            Err(DbError::Url(url.split(':').next().unwrap_or_default().to_owned()))
        }
    }

    /// The statements that begin a transaction. On PostgreSQL they take on `role` and name the team, for this transaction
    /// only. Ingest sends its own coalesced NOTIFY after the commit, so writing transactions keep the triggers quiet. A
    /// read that takes too long is cut off, and a write does not wait for a lock for ever: each holds one of few
    /// connections. Statements are planned once for each connection, not for the values of each execution
    /// (docs/adr/0021).
    pub(crate) fn begin(self, mode: Mode, role: Role, team: TeamNumber) -> String {
        let begin = match (self, mode) {
            (Self::Postgres, Mode::Snapshot) => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
            (Self::Sqlite, Mode::Write) => "BEGIN IMMEDIATE",
            (Self::Postgres, Mode::Latest | Mode::Write) | (Self::Sqlite, Mode::Snapshot | Mode::Latest) => {
                "BEGIN"
            }
        };
        if self == Self::Sqlite {
            return begin.to_owned();
        }
        let limits = match mode {
            Mode::Snapshot | Mode::Latest => "set_config('statement_timeout', '30s', true)",
            Mode::Write => "set_config('han.coalesce', 'on', true), set_config('lock_timeout', '30s', true)",
        };
        // Neither comes from outside: a constant, and a number.
        let (role, team) = (role.name(), team.setting());
        format!(
            "{begin}; SELECT set_config('role', '{role}', true), set_config('han.team', '{team}', true), \
             set_config('plan_cache_mode', 'force_generic_plan', true), {limits}"
        )
    }

    /// The present, in milliseconds since the epoch, as all replicas agree on it: the server's own time on PostgreSQL,
    /// since the clocks of its clients may differ. The processes that share a SQLite file share a machine, too.
    pub(crate) async fn shared_now(self, tx: &Tx, clock: &dyn Clock) -> Result<i64, DbError> {
        match self {
            Self::Postgres => {
                // Not now(): that is the time at which the transaction began.
                let sql = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS ms";
                let missing = || DbError::RowMissing { table: "clock_timestamp", row: "ms".to_owned() };
                let row = tx.rows(sql, []).await?.into_iter().next().ok_or_else(missing)?;
                Ok(row.try_get("", "ms")?)
            }
            Self::Sqlite => Ok(clock.now().0),
        }
    }

    /// Wakes the replicas that LISTEN on `channel` once `tx` is committed. SQLite has no other replicas.
    pub(crate) async fn notify(self, tx: &Tx, channel: &str) -> Result<(), DbError> {
        if self == Self::Postgres {
            tx.rows("SELECT pg_notify($1, '')", [channel.into()]).await?;
        }
        Ok(())
    }

    /// The suffix of a `SELECT` that locks its rows until the transaction ends. SQLite has one writer.
    pub(crate) fn for_update(self) -> &'static str {
        self.locking(" FOR UPDATE")
    }

    /// The suffix of a `SELECT` whose rows no other transaction changes until this one ends.
    pub(crate) fn for_share(self) -> &'static str {
        self.locking(" FOR SHARE")
    }

    /// The suffix of a `SELECT` whose rows no other transaction deletes until this one ends.
    pub(crate) fn for_key_share(self) -> &'static str {
        self.locking(" FOR KEY SHARE")
    }

    fn locking(self, clause: &'static str) -> &'static str {
        match self {
            Self::Postgres => clause,
            Self::Sqlite => "",
        }
    }

    /// Waits for the transactions that have locked a session, of any team, and lets no other one lock a session until `tx`
    /// ends. Whatever writes data of a session, or rows that sessions share, locks the session first. So `tx` must call
    /// this before it writes. Readers do not wait.
    ///
    /// A lock on the tables to be written would come too late: the transactions that wait for it have changed rows of other
    /// tables, for which `tx` might wait in turn.
    ///
    /// A `VACUUM` of sessions by hand holds it up, and all that lock a session wait behind it. So it gives up after five
    /// seconds, and `tx` runs again.
    pub(crate) async fn lock_all_sessions(self, tx: &Tx) -> Result<(), DbError> {
        if self == Self::Postgres {
            tx.execute("SET LOCAL lock_timeout = '5s'", []).await?;
            tx.execute("LOCK TABLE sessions IN EXCLUSIVE MODE", []).await?;
        }
        Ok(())
    }

    /// The condition that a row of `table` is one of some rows, at most `limit`, of the team in `$1`.
    pub(crate) fn some_rows(self, table: &str, limit: usize) -> String {
        match self {
            Self::Postgres => {
                format!("ctid = ANY(ARRAY(SELECT ctid FROM {table} WHERE team = $1 LIMIT {limit}))")
            }
            Self::Sqlite => format!("rowid IN (SELECT rowid FROM {table} WHERE team = $1 LIMIT {limit})"),
        }
    }

    /// The function that finds one text in another: 0 if it is not there.
    pub(crate) fn position(self) -> &'static str {
        match self {
            Self::Postgres => "strpos",
            Self::Sqlite => "instr",
        }
    }

    /// The users with `ids` whom the data of `team` names: its members, and the owners of its sessions. On PostgreSQL, the
    /// app role may not read `users`; `han_people`, a function of the owner, does so for the team of the transaction.
    pub(crate) fn users_of_team(self, team: Value, ids: Value) -> (String, Vec<Value>) {
        match self {
            Self::Postgres => (
                "SELECT id, username, avatar_url, email, created_at FROM han_people($1)".to_owned(),
                vec![ids],
            ),
            Self::Sqlite => {
                let sql = format!(
                    "SELECT u.id, u.username, u.avatar_url, u.email, u.created_at FROM users u WHERE {} \
                     AND (EXISTS (SELECT 1 FROM team_members m WHERE m.team = $1 AND m.user_id = u.id) \
                       OR EXISTS (SELECT 1 FROM sessions s WHERE s.team = $1 AND s.user_id = u.id))",
                    self.is_any("u.id", 2)
                );
                (sql, vec![team, ids])
            }
        }
    }

    /// The greater of two values: PostgreSQL's GREATEST is SQLite's two-argument MAX.
    pub(crate) fn greatest(self) -> &'static str {
        match self {
            Self::Postgres => "GREATEST",
            Self::Sqlite => "MAX",
        }
    }
}

/// See [`Dialect::first_of_each`].
pub(crate) struct FirstOfEach<'a> {
    pub table: &'static str,
    pub columns: &'static str,
    pub condition: &'a str,
    pub order: &'static str,
    pub limit: usize,
}

impl Dialect {
    /// The condition "`column` is one of the values of parameter `$n`", and [`Dialect::list`] makes that
    /// parameter: one parameter whatever the number of values, so that a statement is prepared once.
    pub(crate) fn is_any(self, column: &str, n: usize) -> String {
        match self {
            Self::Postgres => format!("{column} = ANY(${n})"),
            Self::Sqlite => format!("{column} IN (SELECT value FROM json_each(${n}))"),
        }
    }

    /// The first `limit` rows of `table` for each of the ids in parameter `$n` (made by [`Dialect::list`]), as one
    /// statement. `condition` says `wanted.id` for the id, and each id's rows are read in `order`, but come in no
    /// certain order. It must not be filtered or sorted any further by the database.
    pub(crate) fn first_of_each(self, n: usize, rows: &FirstOfEach<'_>) -> String {
        let FirstOfEach { table, columns, condition, order, limit } = rows;
        match self {
            Self::Postgres => format!(
                "SELECT found.* FROM unnest(${n}::text[]) AS wanted(id) CROSS JOIN LATERAL \
                 (SELECT {columns} FROM {table} WHERE {condition} ORDER BY {order} LIMIT {limit}) AS found"
            ),
            // SQLite knows no LATERAL, but a row's number of its own.
            Self::Sqlite => format!(
                "SELECT {columns} FROM (SELECT value AS id FROM json_each(${n})) AS wanted CROSS JOIN {table} \
                 WHERE {table}.rowid IN \
                 (SELECT {table}.rowid FROM {table} WHERE {condition} ORDER BY {order} LIMIT {limit})"
            ),
        }
    }

    /// Joins the segment `g` of each row of `messages` (the team is `$1`): the one with the greatest first ordinal not above
    /// the message's, if there is one. One read of an index for each row, whatever the planner expects.
    pub(crate) fn segment_of_message(self) -> &'static str {
        match self {
            Self::Postgres => {
                "LEFT JOIN LATERAL (SELECT first_ordinal, last_ordinal, bytes FROM segments WHERE team = $1 \
                   AND session = messages.session AND transcript = messages.transcript \
                   AND first_ordinal <= messages.ordinal ORDER BY first_ordinal DESC LIMIT 1) AS g ON true"
            }
            Self::Sqlite => {
                "LEFT JOIN segments g ON g.team = $1 AND g.session = messages.session \
                   AND g.transcript = messages.transcript AND g.first_ordinal = (SELECT MAX(h.first_ordinal) \
                   FROM segments h WHERE h.team = $1 AND h.session = messages.session \
                   AND h.transcript = messages.transcript AND h.first_ordinal <= messages.ordinal)"
            }
        }
    }

    /// Rows of numbers as an item of a `FROM` clause, named `wanted` with these columns, and its parameters from `$n` on.
    pub(crate) fn number_rows<const N: usize>(
        self,
        n: usize,
        columns: [&str; N],
        rows: impl Iterator<Item = [i64; N]>,
    ) -> (String, Vec<Value>) {
        let mut item = Vec::new();
        match self {
            Self::Postgres => {
                let mut arrays = [const { Vec::<Value>::new() }; N];
                for row in rows {
                    for (array, number) in arrays.iter_mut().zip(row) {
                        array.push(number.into());
                    }
                }
                item.extend((n..n + N).map(|n| format!("${n}::bigint[]")));
                let arrays = arrays.map(|array| Value::Array(ArrayType::BigInt, Some(Box::new(array))));
                (format!("UNNEST({}) AS wanted({})", item.join(", "), columns.join(", ")), arrays.into())
            }
            Self::Sqlite => {
                let rows: Vec<Vec<i64>> = rows.map(Vec::from).collect();
                item.extend(
                    columns.iter().enumerate().map(|(i, column)| format!("value ->> {i} AS {column}")),
                );
                let item = format!("(SELECT {} FROM json_each(${n})) AS wanted", item.join(", "));
                (item, vec![serde_json::json!(rows).to_string().into()])
            }
        }
    }

    /// As [`Dialect::number_rows`], with a column `key` of bytes before the others.
    pub(crate) fn keyed_rows<const N: usize>(
        self,
        n: usize,
        columns: [&str; N],
        rows: impl Iterator<Item = ([u8; 16], [i64; N])>,
    ) -> (String, Vec<Value>) {
        match self {
            Self::Postgres => {
                let (keys, numbers): (Vec<_>, Vec<_>) = rows.unzip();
                let (_, arrays) = self.number_rows(n + 1, columns, numbers.into_iter());
                let items: Vec<String> = (n + 1..=n + N).map(|n| format!("${n}::bigint[]")).collect();
                let item = format!(
                    "UNNEST(${n}::bytea[], {}) AS wanted(key, {})",
                    items.join(", "),
                    columns.join(", ")
                );
                (item, std::iter::once(self.byte_list(keys)).chain(arrays).collect())
            }
            Self::Sqlite => {
                // JSON has no bytes.
                let row = |(key, numbers): ([u8; 16], [i64; N])| {
                    let numbers = numbers.into_iter().map(serde_json::Value::from);
                    let key = std::iter::once(han_crypto::to_hex(&key).into());
                    key.chain(numbers).collect::<Vec<serde_json::Value>>()
                };
                let rows: Vec<_> = rows.map(row).collect();
                let columns: Vec<String> = columns
                    .iter()
                    .enumerate()
                    .map(|(i, column)| format!("value ->> {} AS {column}", i + 1))
                    .collect();
                let item = format!(
                    "(SELECT unhex(value ->> 0) AS key, {} FROM json_each(${n})) AS wanted",
                    columns.join(", ")
                );
                (item, vec![serde_json::json!(rows).to_string().into()])
            }
        }
    }

    /// The numbers of parameter `$n` (made by [`Dialect::number_list`]) as an item of a `FROM` clause with the column
    /// `n`.
    pub(crate) fn numbers_from(self, name: &str, n: usize) -> String {
        match self {
            Self::Postgres => format!("UNNEST(${n}::bigint[]) AS {name}(n)"),
            Self::Sqlite => format!("(SELECT value AS n FROM json_each(${n})) AS {name}"),
        }
    }

    /// The values of parameter `$n` (made by [`Dialect::byte_list`]) as an item of a `FROM` clause with the column `key`.
    pub(crate) fn bytes_from(self, name: &str, n: usize) -> String {
        match self {
            Self::Postgres => format!("UNNEST(${n}::bytea[]) AS {name}(key)"),
            Self::Sqlite => format!("(SELECT unhex(value) AS key FROM json_each(${n})) AS {name}"),
        }
    }

    /// The columns of the rows of `table` that meet `condition` with each combination of `items` (of a `FROM` clause): one
    /// read of an index for each, whatever the planner expects. It expects few rows of a table that has just begun to
    /// grow, and would read the whole session.
    pub(crate) fn find_each(self, items: &[String], table: &str, columns: &str, condition: &str) -> String {
        let rows = self.joined_each(&items.join(" CROSS JOIN "), table, table, condition);
        format!("SELECT {columns} FROM {rows}")
    }

    /// An item of a `FROM` clause: the rows of `table`, named `alias`, that meet `condition` with each row of `items`. As
    /// [`Dialect::find_each`]; without statistics, SQLite would read the whole team and look for each of its rows in `items`.
    pub(crate) fn joined_each(self, items: &str, table: &str, alias: &str, condition: &str) -> String {
        match self {
            // OFFSET 0 keeps the planner from another order.
            Self::Postgres => format!(
                "{items} CROSS JOIN LATERAL (SELECT {alias}.* FROM {table} AS {alias} WHERE {condition} OFFSET 0) AS {alias}"
            ),
            Self::Sqlite => format!("{items} CROSS JOIN {table} AS {alias} ON {condition}"),
        }
    }

    /// The table of the keys of segments, if it is one of its own: SQLite writes a row as a whole, so a re-wrapped key in
    /// the same row would rewrite the body.
    pub(crate) fn segment_key_table(self) -> Option<&'static str> {
        match self {
            Self::Postgres => None,
            Self::Sqlite => Some("segment_keys"),
        }
    }

    /// The columns `nonce` and `wrapped_dek` of the segment `g`, and what must be joined for them.
    pub(crate) fn segment_keys(self) -> (&'static str, &'static str) {
        match self {
            Self::Postgres => ("g.nonce, g.wrapped_dek", ""),
            Self::Sqlite => (
                "k.nonce, k.wrapped_dek",
                " LEFT JOIN segment_keys k ON k.team = g.team AND k.session = g.session \
                 AND k.transcript = g.transcript AND k.first_ordinal = g.first_ordinal",
            ),
        }
    }

    /// As [`Dialect::is_any`], for a column of bytes; [`Dialect::byte_list`] makes the parameter.
    pub(crate) fn is_any_bytes(self, column: &str, n: usize) -> String {
        match self {
            Self::Postgres => format!("{column} = ANY(${n})"),
            Self::Sqlite => format!("{column} IN (SELECT unhex(value) FROM json_each(${n}))"),
        }
    }

    /// The parameter that goes with [`Dialect::is_any_bytes`].
    pub(crate) fn byte_list<B: AsRef<[u8]>>(self, values: impl IntoIterator<Item = B>) -> Value {
        let values = values.into_iter();
        match self {
            Self::Postgres => {
                let values = values.map(|v| Value::from(v.as_ref().to_vec())).collect();
                Value::Array(ArrayType::Bytes, Some(Box::new(values)))
            }
            Self::Sqlite => {
                // JSON has no bytes.
                let values: Vec<serde_json::Value> =
                    values.map(|v| han_crypto::to_hex(v.as_ref()).into()).collect();
                serde_json::Value::Array(values).to_string().into()
            }
        }
    }

    /// The parameter that goes with [`Dialect::is_any`] for a column of numbers.
    pub(crate) fn number_list(self, values: impl IntoIterator<Item = i64>) -> Value {
        let values = values.into_iter();
        match self {
            Self::Postgres => {
                Value::Array(ArrayType::BigInt, Some(Box::new(values.map(Value::from).collect())))
            }
            Self::Sqlite => {
                let values: Vec<serde_json::Value> = values.map(serde_json::Value::from).collect();
                serde_json::Value::Array(values).to_string().into()
            }
        }
    }

    /// The parameter for an absent list: NULL.
    pub(crate) fn no_list(self) -> Value {
        match self {
            Self::Postgres => Value::Array(ArrayType::String, None),
            Self::Sqlite => Value::String(None),
        }
    }

    /// The parameter that goes with [`Dialect::is_any`].
    pub(crate) fn list<S: AsRef<str>>(self, values: impl IntoIterator<Item = S>) -> Value {
        let values = values.into_iter();
        match self {
            Self::Postgres => {
                let values = values.map(|v| Value::from(v.as_ref().to_owned())).collect();
                Value::Array(ArrayType::String, Some(Box::new(values)))
            }
            Self::Sqlite => {
                let values: Vec<serde_json::Value> = values.map(|v| v.as_ref().into()).collect();
                serde_json::Value::Array(values).to_string().into()
            }
        }
    }
}
