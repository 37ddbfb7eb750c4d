//! Migrations of databases that have rows.

use han_testkit::both_databases;
use sea_orm::ConnectionTrait as _;
use sea_orm_migration::MigratorTrait as _;

use super::tables::connect;
use crate::Db;
use crate::dialect::Dialect;
use crate::migrations::Migrator;

/// The sessions with rows in a table, and the number of rows.
async fn sessions(db: &Db, table: &str) -> Vec<(i32, i64)> {
    let tx = db.read_system("test.sessions").await.unwrap();
    let sql = format!("SELECT session, count(*) AS n FROM {table} GROUP BY session ORDER BY session");
    let rows = tx.rows(&sql, []).await.unwrap();
    rows.iter().map(|row| (row.try_get("", "session").unwrap(), row.try_get("", "n").unwrap())).collect()
}

both_databases!(
    async fn what_migration_21_cannot_keep_is_indexed_again(database: TestDatabase) {
        let db = connect(&database).await;
        if db.dialect() == Dialect::Postgres {
            db.prepare_restore().await.unwrap();
        }
        Migrator::up(&db.writer(), Some(20)).await.unwrap();
        // Session 1 has a segment of one row; session 2 has one of two rows and one of one.
        let states = "INSERT INTO search_state (team, session, indexed_ordinal, words) VALUES (1, 1, 9, 3), (1, 2, 9, 3)";
        let terms = ["(1, 1, 0, 0, 0, 1", "(1, 2, 0, 0, 0, 2", "(1, 2, 0, 0, 1, 2", "(1, 2, 0, 5, 0, 1"];
        let columns = "team, session, transcript, first_ordinal, part, parts, first_at, last_at";
        let mut statements = vec![states.to_owned()];
        for (id, row) in (1..).zip(terms) {
            match db.dialect() {
                Dialect::Postgres => statements.push(format!(
                    "INSERT INTO search_terms ({columns}, terms) VALUES {row}, 1, 2, 'AAAAAAAAAAE'::tsvector)"
                )),
                Dialect::Sqlite => {
                    statements.push(format!(
                        "INSERT INTO search_terms (id, {columns}) VALUES ({id}, {}, 1, 2)",
                        &row[1..]
                    ));
                    statements
                        .push(format!("INSERT INTO search_fts (rowid, terms) VALUES ({id}, 'AAAAAAAAAAE')"));
                }
            }
        }
        for statement in statements {
            db.writer().execute_unprepared(&statement).await.unwrap();
        }
        assert!(db.migrate().await.unwrap() > 0);
        db.check_ready().await.unwrap();
        let (state, terms) = (sessions(&db, "search_state").await, sessions(&db, "search_terms").await);
        match db.dialect() {
            Dialect::Postgres => assert_eq!((state, terms), (vec![], vec![])),
            Dialect::Sqlite => {
                assert_eq!((state, terms), (vec![(1, 1)], vec![(1, 1), (2, 1)]));
                let tx = db.read_system("test.terms").await.unwrap();
                let sql = "SELECT count(*) AS n FROM search_fts WHERE search_fts MATCH '\"AAAAAAAAAAE\"'";
                let found: i64 = tx.rows(sql, []).await.unwrap()[0].try_get("", "n").unwrap();
                assert_eq!(found, 2);
            }
        }
    }
);
