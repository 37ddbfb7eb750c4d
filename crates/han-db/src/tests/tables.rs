//! The registry of tables against the schema of both databases.

use std::sync::Arc;

use han_crypto::{KekRing, OsEntropy};
use han_testkit::{TestClock, TestDatabase, both_databases};

use crate::dialect::Dialect;
use crate::queries::sealed_columns::{SEALED_COLUMNS, SealedColumn};
use crate::tables::{Access, Kind, TABLES};
use crate::{Db, DbConfig, DbError, TENANT_TABLES};

pub(super) async fn connect(database: &TestDatabase) -> Db {
    let secret = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=".to_owned();
    let keks = KekRing::from_secrets(&secret.into(), None).unwrap();
    let (clock, entropy) = (Arc::new(TestClock::default()), Arc::new(OsEntropy::new()));
    Db::connect(&DbConfig::new(database.url()), keks, clock, entropy).await.unwrap()
}

async fn migrated(database: &TestDatabase) -> Db {
    let db = connect(database).await;
    db.migrate().await.unwrap();
    db
}

/// The columns of all tables, as (table, column). The tables of the migrator and of SQLite itself, and those that FTS5
/// consists of, are left out.
async fn columns(db: &Db) -> Result<Vec<(String, String)>, DbError> {
    let sql = match db.dialect() {
        Dialect::Postgres => {
            "SELECT table_name::text AS name, column_name::text AS col FROM information_schema.columns \
             WHERE table_schema = current_schema()"
        }
        Dialect::Sqlite => {
            "SELECT m.name AS name, c.name AS col FROM sqlite_master m JOIN pragma_table_info(m.name) c \
             WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%' AND m.name NOT LIKE 'search_fts%'"
        }
    };
    let rows = db.read_system("test.columns").await?.rows(sql, []).await?;
    let mut columns = Vec::new();
    for row in rows {
        let name: String = row.try_get("", "name")?;
        if name != "seaql_migrations" {
            columns.push((name, row.try_get("", "col")?));
        }
    }
    Ok(columns)
}

both_databases!(
    async fn every_table_is_in_the_registry(database: TestDatabase) {
        let db = migrated(&database).await;
        let columns = columns(&db).await.unwrap();
        let mut stored: Vec<&str> = columns.iter().map(|(table, _)| table.as_str()).collect();
        stored.sort_unstable();
        stored.dedup();
        let mut registered: Vec<&str> = TABLES.iter().map(|table| table.name).collect();
        registered.extend(db.dialect().segment_key_table());
        registered.sort_unstable();
        assert_eq!(stored, registered);

        let has = |table: &str, column: &str| columns.iter().any(|(t, c)| t == table && c == column);
        for table in TABLES {
            let name = table.name;
            // Rows name their session by its number; text ids are for those that outlive it.
            let of_session = has(name, "session") || has(name, "session_id");
            if table.access != Access::System {
                assert!(has(name, "team"), "{name} has no team for its policy");
                assert!(!has(name, "team_id"), "{name} names its team twice");
            }
            if matches!(table.kind, Kind::Session | Kind::Derived | Kind::Answers | Kind::SearchIndex) {
                let number = if name == "sessions" { "number" } else { "session" };
                assert!(has(name, "team") && has(name, number), "{name} has no session to be deleted with");
            } else if !["changes", "deleted_sessions"].contains(&name) {
                assert!(
                    !of_session,
                    "{name} names a session: what becomes of its rows when that is deleted?"
                );
            }
        }
    }
);

#[test]
fn the_tenant_tables_are_those_of_the_app_role() {
    let of_app: Vec<&str> =
        TABLES.iter().filter(|table| table.access != Access::System).map(|table| table.name).collect();
    assert_eq!(TENANT_TABLES, of_app);
}

/// Lists sort alike on both databases only in byte order.
#[tokio::test]
async fn every_text_column_sorts_in_byte_order() {
    let database = TestDatabase::postgres().await;
    let db = migrated(&database).await;
    let sql = "SELECT table_name::text AS name, column_name::text AS col FROM information_schema.columns \
         WHERE table_schema = current_schema() AND data_type = 'text' AND collation_name IS DISTINCT FROM 'C' \
         AND table_name = ANY($1)";
    let names = db.dialect().list(TABLES.iter().map(|table| table.name));
    let rows = db.read_system("test.collations").await.unwrap().rows(sql, [names]).await.unwrap();
    assert!(rows.is_empty(), "{rows:?}");
}

both_databases!(
    /// A rotation would leave the values of a column behind that is not listed.
    async fn every_sealed_column_is_listed_with_its_key(database: TestDatabase) {
        let db = migrated(&database).await;
        let columns = columns(&db).await.unwrap();
        let mut sealed: Vec<&str> = columns
            .iter()
            .filter(|(_, column)| column == "sealed")
            .map(|(table, _)| table.as_str())
            .collect();
        sealed.sort_unstable();
        let mut listed: Vec<&str> =
            SEALED_COLUMNS.iter().map(|column| column.table).chain(["segments"]).collect();
        listed.sort_unstable();
        assert_eq!(sealed, listed);
        let has = |table: &str, name: &str| columns.iter().any(|(t, c)| t == table && c == name);
        for SealedColumn { table, column, keys, .. } in SEALED_COLUMNS {
            assert!(has(table, column), "{table} has no {column}");
            for key in *keys {
                assert!(has(table, key.name()), "{table} has no {}", key.name());
            }
        }
    }
);
