//! The sizes of a database's tables with their indexes and TOAST tables.

use sqlx::{PgConnection, SqliteConnection};

/// The bytes of a table.
pub(crate) struct TableSize {
    name: String,
    rows: i64,
    toast: i64,
    indexes: i64,
}

/// The bytes of all tables.
pub(crate) struct Sizes(Vec<TableSize>);

impl Sizes {
    /// Of a PostgreSQL database, without its system catalogs. Free space maps count as rows.
    pub(crate) async fn of_postgres(connection: &mut PgConnection) -> Self {
        let sql = "SELECT c.relname::text, pg_table_size(c.oid) - t.toast, t.toast, pg_indexes_size(c.oid) \
                   FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = 'public' \
                   CROSS JOIN LATERAL \
                     (SELECT COALESCE(pg_total_relation_size(NULLIF(c.reltoastrelid, 0)), 0) AS toast) t \
                   WHERE c.relkind = 'r'";
        let rows: Vec<(String, i64, i64, i64)> =
            sqlx::query_as(sql).fetch_all(connection).await.expect("the sizes of tables");
        let sizes =
            rows.into_iter().map(|(name, rows, toast, indexes)| TableSize { name, rows, toast, indexes });
        Self(sizes.collect())
    }

    /// Of a SQLite database (https://sqlite.org/dbstat.html).
    pub(crate) async fn of_sqlite(connection: &mut SqliteConnection) -> Self {
        let sql = "SELECT COALESCE(m.tbl_name, s.name) AS name, \
                     CAST(SUM(CASE WHEN m.type = 'index' THEN 0 ELSE s.pgsize END) AS INTEGER), \
                     CAST(SUM(CASE WHEN m.type = 'index' THEN s.pgsize ELSE 0 END) AS INTEGER) \
                   FROM dbstat s LEFT JOIN sqlite_schema m ON m.name = s.name GROUP BY 1";
        let rows: Vec<(String, i64, i64)> =
            sqlx::query_as(sql).fetch_all(connection).await.expect("the sizes of tables");
        let sizes = rows.into_iter().map(|(name, rows, indexes)| TableSize { name, rows, toast: 0, indexes });
        Self(sizes.collect())
    }

    /// The bytes of all tables.
    pub(crate) fn total(&self) -> f64 {
        self.sum(|_| true)
    }

    /// The bytes of the tables of the search index.
    pub(crate) fn search(&self) -> f64 {
        self.sum(|name| name.starts_with("search_"))
    }

    /// The bytes of all tables but the outbox, whose rows are deleted by age.
    pub(crate) fn without_outbox(&self) -> f64 {
        self.sum(|name| name != "changes")
    }

    fn sum(&self, counts: impl Fn(&str) -> bool) -> f64 {
        self.0.iter().filter(|size| counts(&size.name)).map(TableSize::total).sum::<i64>() as f64
    }

    /// Prints the tables that have more than a two-hundredth of the bytes, and the sum of the others. `lines` is the
    /// number of bytes of the lines that they hold.
    pub(crate) fn print(&self, lines: f64) {
        println!(
            "{:>26} {:>10} {:>10} {:>10} {:>10} {:>10}",
            "table", "rows MB", "TOAST MB", "index MB", "total MB", "of lines"
        );
        let mut sizes: Vec<&TableSize> = self.0.iter().collect();
        sizes.sort_by_key(|size| (-size.total(), size.name.as_str()));
        let (large, small) =
            sizes.split_at(sizes.partition_point(|size| size.total() as f64 > self.total() / 200.0));
        for size in large {
            size.print(&size.name, lines);
        }
        let sum = |bytes: fn(&TableSize) -> i64| small.iter().map(|size| bytes(size)).sum();
        let (rows, toast, indexes) =
            (sum(|size| size.rows), sum(|size| size.toast), sum(|size| size.indexes));
        TableSize { name: String::new(), rows, toast, indexes }.print("others", lines);
    }
}

impl TableSize {
    fn total(&self) -> i64 {
        self.rows + self.toast + self.indexes
    }

    fn print(&self, name: &str, lines: f64) {
        let mb = |bytes: i64| bytes as f64 / 1e6;
        println!(
            "{name:>26} {:>10.1} {:>10.1} {:>10.1} {:>10.1} {:>9.3}x",
            mb(self.rows),
            mb(self.toast),
            mb(self.indexes),
            mb(self.total()),
            self.total() as f64 / lines
        );
    }
}
