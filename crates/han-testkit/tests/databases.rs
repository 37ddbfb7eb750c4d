//! Tests test databases and clusters, and that they are deleted.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail their test by panicking")]

use han_testkit::pg::{Cluster, Durability};
use han_testkit::{TestDatabase, both_databases};
use sqlx::{Connection, PgConnection, Row, SqliteConnection};

both_databases!(
    async fn a_new_database_is_empty_and_can_be_written(db: TestDatabase) {
        if db.is_postgres() {
            let mut connection = PgConnection::connect(db.url()).await.unwrap();
            sqlx::raw_sql("CREATE TABLE t (id text); INSERT INTO t VALUES ('x')")
                .execute(&mut connection)
                .await
                .unwrap();
        } else {
            let mut connection = SqliteConnection::connect(db.url()).await.unwrap();
            sqlx::raw_sql("CREATE TABLE t (id text); INSERT INTO t VALUES ('x')")
                .execute(&mut connection)
                .await
                .unwrap();
        }
    }
);

async fn exists(database: &str) -> bool {
    let cluster = Cluster::shared().unwrap();
    let mut connection = PgConnection::connect(cluster.url()).await.unwrap();
    sqlx::query("SELECT count(*) FROM pg_database WHERE datname = $1")
        .bind(database)
        .fetch_one(&mut connection)
        .await
        .unwrap()
        .get::<i64, _>(0)
        == 1
}

#[tokio::test]
async fn dropping_a_database_deletes_it_despite_open_connections() {
    let db = TestDatabase::postgres().await;
    let other = TestDatabase::postgres().await;
    let name = db.url().rsplit('/').next().unwrap().to_owned();
    assert_ne!(db.url(), other.url());
    let _left_open = PgConnection::connect(db.url()).await.unwrap();
    assert!(exists(&name).await);
    drop(db);
    assert!(!exists(&name).await);
}

#[tokio::test]
async fn the_default_collation_is_not_byte_order() {
    let db = TestDatabase::postgres().await;
    let mut connection = PgConnection::connect(db.url()).await.unwrap();
    let (byte_order, own_order): (bool, bool) =
        sqlx::query_as("SELECT 'B' COLLATE \"C\" < 'a', 'a' < 'B'").fetch_one(&mut connection).await.unwrap();
    assert!(byte_order && own_order);
}

#[tokio::test]
async fn an_own_cluster_is_durable_on_request_and_is_deleted_on_drop() {
    let cluster = tokio::task::spawn_blocking(|| Cluster::start(Durability::Full)).await.unwrap().unwrap();
    let mut connection = PgConnection::connect(cluster.url()).await.unwrap();
    let setting = async |name: &'static str, connection: &mut PgConnection| {
        sqlx::query("SELECT current_setting($1)")
            .bind(name)
            .fetch_one(connection)
            .await
            .unwrap()
            .get::<String, _>(0)
    };
    assert_eq!(setting("fsync", &mut connection).await, "on");
    assert_eq!(setting("synchronous_commit", &mut connection).await, "on");
    assert_eq!(setting("max_connections", &mut connection).await, "300");
    let data = setting("data_directory", &mut connection).await;
    assert!(std::path::Path::new(&data).exists());

    let url = cluster.url().to_owned();
    drop(cluster);
    assert!(PgConnection::connect(&url).await.is_err());
    assert!(!std::path::Path::new(&data).exists());
}
