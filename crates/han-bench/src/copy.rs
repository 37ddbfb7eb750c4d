//! Binary COPY (https://www.postgresql.org/docs/15/sql-copy.html, "Binary Format").

use std::time::Instant;

use futures_util::future::join_all;
use sqlx::PgConnection;

use crate::cpu;
use crate::target::Target;

/// Rows in the binary format.
pub(crate) struct CopyRows(Vec<u8>);

impl CopyRows {
    /// No rows.
    pub(crate) fn new() -> Self {
        // The signature, no flags, no extension of the header.
        let mut bytes = b"PGCOPY\n\xff\r\n\0".to_vec();
        bytes.extend([0; 8]);
        Self(bytes)
    }

    /// Begins a row with this number of fields, which follow.
    pub(crate) fn row(&mut self, fields: i16) -> &mut Self {
        self.0.extend(fields.to_be_bytes());
        self
    }

    /// A field of type `text`, `bytea` or `uuid`.
    pub(crate) fn bytes(&mut self, value: &[u8]) -> &mut Self {
        self.0.extend(i32::try_from(value.len()).expect("a field of less than 2 GiB").to_be_bytes());
        self.0.extend(value);
        self
    }

    /// A field of type `text`.
    pub(crate) fn text(&mut self, value: &str) -> &mut Self {
        self.bytes(value.as_bytes())
    }

    /// A field of type `text` that may be null.
    pub(crate) fn nullable(&mut self, value: Option<&str>) -> &mut Self {
        match value {
            Some(value) => self.text(value),
            None => {
                self.0.extend((-1i32).to_be_bytes());
                self
            }
        }
    }

    /// A field of type `bigint`.
    pub(crate) fn bigint(&mut self, value: i64) -> &mut Self {
        self.bytes(&value.to_be_bytes())
    }

    /// A field of type `int`.
    pub(crate) fn int(&mut self, value: i32) -> &mut Self {
        self.bytes(&value.to_be_bytes())
    }

    /// A field of type `boolean`.
    pub(crate) fn boolean(&mut self, value: bool) -> &mut Self {
        self.bytes(&[u8::from(value)])
    }

    /// The data of a COPY of these rows.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.0.extend((-1i16).to_be_bytes());
        self.0
    }
}

/// What a COPY took.
pub(crate) struct Copied {
    /// The rows.
    pub rows: u64,
    /// The time, in seconds.
    pub seconds: f64,
    /// The CPU time of PostgreSQL, in seconds.
    pub postgres_cpu: f64,
}

/// Copies into a table, with one connection per writer and one commit per chunk.
pub(crate) async fn copy_in(target: &Target, table: &str, writers: Vec<Vec<Vec<u8>>>) -> Copied {
    let mut connected: Vec<(PgConnection, Vec<Vec<u8>>)> = Vec::new();
    for chunks in writers {
        connected.push((target.connect().await, chunks));
    }
    let sql = format!("COPY {table} FROM STDIN (FORMAT binary)");
    let (postgres, start) = (cpu::of_postgres(), Instant::now());
    let copied = join_all(connected.iter_mut().map(|(connection, chunks)| {
        let sql = &sql;
        async move {
            let mut rows = 0;
            for chunk in chunks {
                let mut copy = connection.copy_in_raw(sql).await.expect("COPY starts");
                copy.send(chunk.as_slice()).await.expect("COPY accepts rows");
                rows += copy.finish().await.expect("COPY finishes");
            }
            rows
        }
    }))
    .await;
    Copied {
        rows: copied.into_iter().sum(),
        seconds: start.elapsed().as_secs_f64(),
        postgres_cpu: cpu::of_postgres() - postgres,
    }
}
