//! How much WAL PostgreSQL writes, and for which tables.

use sqlx::{AssertSqlSafe, PgConnection};

use crate::target::Target;

/// The bytes of WAL that were written by `work` after a checkpoint.
pub(crate) struct Wal {
    /// The bytes.
    pub bytes: f64,
    /// Where it begins and ends.
    from: String,
    to: String,
    /// Whether another checkpoint began meanwhile, after which pages are written as a whole again.
    pub disturbed: bool,
}

impl Wal {
    /// Runs a checkpoint and then `work`.
    pub(crate) async fn of<T>(target: &Target, work: impl Future<Output = T>) -> (T, Self) {
        target.execute("CHECKPOINT").await;
        let (from, before) = position(target).await;
        let done = work.await;
        let (to, after) = position(target).await;
        let bytes =
            target.number(&format!("SELECT ('{to}'::pg_lsn - '{from}'::pg_lsn)::bigint")).await as f64;
        (done, Self { bytes, from, to, disturbed: before != after })
    }

    /// The WAL of each table and index, if PostgreSQL's extension pg_walinspect is installed. Call this before another
    /// checkpoint, which removes the WAL.
    pub(crate) async fn tables(&self, target: &Target) -> Option<WalTables> {
        let mut connection = target.connect().await;
        let extension = "CREATE EXTENSION IF NOT EXISTS pg_walinspect";
        sqlx::raw_sql(extension).execute(&mut connection).await.ok()?;
        let tables = self.by_table(&mut connection).await;
        Some(WalTables { tables, bytes: self.bytes })
    }

    /// The bytes of each table and index, and those of them that are images of whole pages. A record that changes
    /// several pages counts for the first.
    async fn by_table(&self, connection: &mut PgConnection) -> Vec<(String, i64, i64)> {
        let sql = format!(
            r"WITH records AS (
                SELECT substring(block_ref FROM 'rel \d+/\d+/(\d+)')::bigint AS node, resource_manager,
                    sum(record_length) AS bytes, sum(fpi_length) AS pages
                FROM pg_get_wal_records_info('{}', '{}') GROUP BY 1, 2)
              SELECT COALESCE(CASE WHEN c.relname LIKE 'pg_toast_%'
                    THEN (SELECT o.relname || ' (TOAST)' FROM pg_class o
                        WHERE o.oid = substring(c.relname FROM 'pg_toast_(\d+)')::oid)
                    ELSE c.relname END, r.resource_manager) AS name,
                sum(r.bytes)::bigint, sum(r.pages)::bigint
              FROM records r LEFT JOIN pg_class c ON pg_relation_filenode(c.oid) = r.node GROUP BY 1 ORDER BY 2 DESC",
            self.from, self.to
        );
        sqlx::query_as(AssertSqlSafe(sql)).fetch_all(connection).await.expect("the records of the WAL")
    }
}

/// The WAL of each table and index.
pub(crate) struct WalTables {
    tables: Vec<(String, i64, i64)>,
    bytes: f64,
}

impl WalTables {
    /// Prints the bytes per line of the tables and indexes that have more than a hundredth of all.
    pub(crate) fn print(&self, lines: f64) {
        println!("{:>48} {:>14} {:>18}", "WAL of the pushes", "bytes per line", "of it, whole pages");
        let row = |name: &str, bytes: i64, pages: i64| {
            println!("{name:>48} {:>14.1} {:>18.1}", bytes as f64 / lines, pages as f64 / lines);
        };
        let (mut others, mut pages_of_others) = (0, 0);
        for (name, bytes, pages) in &self.tables {
            if *bytes as f64 > self.bytes / 100.0 {
                row(name, *bytes, *pages);
            } else {
                (others, pages_of_others) = (others + bytes, pages_of_others + pages);
            }
        }
        row("others", others, pages_of_others);
    }
}

/// The end of the WAL, and the latest checkpoint.
async fn position(target: &Target) -> (String, String) {
    let sql = "SELECT pg_current_wal_flush_lsn()::text, checkpoint_lsn::text FROM pg_control_checkpoint()";
    sqlx::query_as(sql).fetch_one(&mut target.connect().await).await.expect("the end of the WAL")
}
