//! The schema: migration of a new database, by two replicas concurrently, and by an account that is not a superuser;
//! refusal of a newer schema; row-level security of all tenant tables.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use han_db::queries::deletion;
use han_db::{DbError, TENANT_TABLES};
use han_testkit::{TestClock, TestDatabase, both_databases};
use han_types::Scope;
use sqlx::{Connection as _, Row as _};

use support::corpus::number;

both_databases!(
    async fn two_replicas_can_migrate_concurrently(db: TestDatabase) {
        let clock = TestClock::default();
        let (one, two) = (support::connect(db.url(), &clock).await, support::connect(db.url(), &clock).await);
        let (a, b) = tokio::join!(one.migrate(), two.migrate());
        let mut applied = [a.unwrap(), b.unwrap()];
        applied.sort_unstable();
        assert_eq!(applied[0], 0, "the second finds nothing to do");
        assert!(applied[1] > 0);
        one.check_ready().await.unwrap();
        two.check_ready().await.unwrap();
    }
);

both_databases!(
    async fn an_empty_database_is_not_ready(db: TestDatabase) {
        let db = support::connect(db.url(), &TestClock::default()).await;
        assert!(matches!(db.check_ready().await, Err(DbError::SchemaOlder(n)) if n > 0));
    }
);

both_databases!(
    async fn a_newer_schema_is_refused_and_unchanged(database: TestDatabase) {
        let db = support::connect(database.url(), &TestClock::default()).await;
        db.migrate().await.unwrap();
        database
            .execute("INSERT INTO seaql_migrations (version, applied_at) VALUES ('m9999_future', 0)")
            .await;
        let error = db.check_ready().await.unwrap_err();
        assert!(matches!(error, DbError::SchemaNewer(_)), "{error}");
        assert!(error.to_string().contains("m9999_future"), "{error}");
        assert!(matches!(db.migrate().await, Err(DbError::SchemaNewer(_))));
    }
);

/// Every table either has row-level security with a policy, or is not granted to the app role at all.
#[tokio::test]
async fn every_table_has_a_policy_or_no_grant() {
    let database = TestDatabase::postgres().await;
    let db = support::connect(database.url(), &TestClock::default()).await;
    db.migrate().await.unwrap();
    let mut conn = sqlx::PgConnection::connect(database.url()).await.unwrap();
    let rows = sqlx::query(
        "SELECT c.relname::text, c.relrowsecurity, \
           EXISTS (SELECT 1 FROM pg_policy p WHERE p.polrelid = c.oid AND p.polroles @> ARRAY[(SELECT oid FROM pg_roles \
             WHERE rolname = 'han_app')] AND pg_get_expr(p.polqual, c.oid) = \
             '(team = (NULLIF(current_setting(''han.team''::text, true), ''''::text))::integer)' \
             AND pg_get_expr(p.polwithcheck, c.oid) = '(team = ( SELECT \
             (NULLIF(current_setting(''han.team''::text, true), ''''::text))::integer AS \"nullif\"))'), \
           has_table_privilege('han_app', c.oid, 'SELECT') OR has_table_privilege('han_app', c.oid, 'INSERT') \
             OR has_table_privilege('han_app', c.oid, 'UPDATE') OR has_table_privilege('han_app', c.oid, 'DELETE'), \
           (SELECT string_agg(a.attname::text, ',') FROM pg_index i JOIN pg_attribute a ON a.attrelid = c.oid \
             AND a.attnum = i.indkey[0] WHERE i.indrelid = c.oid AND i.indisprimary) \
         FROM pg_class c WHERE c.relkind IN ('r', 'p', 'v', 'm') AND c.relnamespace = 'public'::regnamespace ORDER BY 1",
    )
    .fetch_all(&mut conn)
    .await
    .unwrap();
    let mut bound = Vec::new();
    for row in &rows {
        let (name, rls, policy, granted): (String, bool, bool, bool) =
            (row.get(0), row.get(1), row.get(2), row.get(3));
        assert!((rls && policy) || !granted, "{name} is granted to han_app without a policy");
        if granted {
            let key: Option<String> = row.get(4);
            assert_eq!(key.as_deref(), Some("team"), "{name}'s primary key must begin with the team");
            bound.push(name);
        }
    }
    let mut expected: Vec<&str> = TENANT_TABLES.to_vec();
    expected.sort_unstable();
    assert_eq!(bound, expected);
}

/// Hosted databases offer an account that may create roles and databases, and nothing else.
#[tokio::test]
async fn an_account_that_may_create_roles_is_sufficient() {
    let database = TestDatabase::postgres().await;
    let name = database.url().rsplit('/').next().unwrap().split('?').next().unwrap().to_owned();
    let role = format!("owner_{name}");
    database.execute(
        &format!(
            "CREATE ROLE {role} LOGIN CREATEROLE NOSUPERUSER PASSWORD 'x'; GRANT ALL ON SCHEMA public TO {role}; \
             GRANT ALL ON DATABASE {name} TO {role};"
        ),
    )    .await;
    let mut url: sqlx::postgres::PgConnectOptions = database.url().parse().unwrap();
    url = url.username(&role).password("x");
    let url = sqlx::ConnectOptions::to_url_lossy(&url);
    let db = support::connect(url.as_str(), &TestClock::default()).await;
    db.migrate().await.unwrap();
    db.check_ready().await.unwrap();
    let scope = support::team(&db, "ada").await;
    assert_eq!(
        han_db::queries::sessions::count(&db.read(&scope, "test.read").await.unwrap(), None).await.unwrap(),
        0
    );
    db.close().await;
    database.execute(&format!("DROP OWNED BY {role} CASCADE; DROP ROLE {role};")).await;
}

/// The error for an account that may not create roles contains the SQL that an administrator must run.
#[tokio::test]
async fn an_account_without_privileges_gets_the_sql_for_an_administrator() {
    let database = TestDatabase::postgres().await;
    let name = database.url().rsplit('/').next().unwrap().split('?').next().unwrap().to_owned();
    let role = format!("poor_{name}");
    database
        .execute(&format!(
            "CREATE ROLE {role} LOGIN NOSUPERUSER PASSWORD 'x'; GRANT ALL ON SCHEMA public TO {role};"
        ))
        .await;
    let url: sqlx::postgres::PgConnectOptions = database.url().parse().unwrap();
    let url = sqlx::ConnectOptions::to_url_lossy(&url.username(&role).password("x"));
    let db = support::connect(url.as_str(), &TestClock::default()).await;
    let error = db.migrate().await.unwrap_err();
    assert!(matches!(error, DbError::Privileges { .. }), "{error}");
    // Roles belong to the cluster: other tests have made them, and then there is no CREATE ROLE.
    assert!(error.to_string().contains("GRANT han_app, han_system TO poor_"), "{error}");
    db.close().await;
    database.execute(&format!("DROP OWNED BY {role} CASCADE; DROP ROLE {role};")).await;
}

/// Even if a query omits its team condition, or names another team.
#[tokio::test]
async fn row_level_security_isolates_teams() {
    let database = TestDatabase::postgres().await;
    let world = support::world(&database).await;
    let other = support::team(&world.db, "bob").await;
    let lines = han_testkit::SyntheticSession::new(1).lines(20);
    support::push(&world, "s1", "main", Some(0), &lines).await;
    let (ours, theirs) = (number_of(&database, &world.scope).await, number_of(&database, &other).await);
    let filled = ["sessions", "messages", "segments", "transcripts", "rollups", "team_members"];

    let mut conn = sqlx::PgConnection::connect(database.url()).await.unwrap();
    for (team, sees) in [(ours.to_string(), true), (theirs.to_string(), false), (String::new(), false)] {
        let mut tx = conn.begin().await.unwrap();
        be_app(&mut tx, Some(&team)).await;
        for table in TENANT_TABLES {
            let foreign = count(&mut tx, &format!("{table} WHERE team::text <> '{team}'")).await;
            assert_eq!(foreign, 0, "{table} as team {team:?}");
            if team != ours.to_string() {
                assert_eq!(
                    count(&mut tx, &format!("{table} WHERE team = {ours}")).await,
                    0,
                    "{table} as {team:?}"
                );
            }
        }
        for table in filled.iter().filter(|table| **table != "team_members" || team != theirs.to_string()) {
            assert_eq!(count(&mut tx, table).await > 0, sees, "{table} as team {team:?}");
        }
        let forged = format!("UPDATE sessions SET team = {theirs}");
        let forged = sqlx::query(sqlx::AssertSqlSafe(forged)).execute(&mut *tx).await;
        assert!(forged.is_err() || forged.unwrap().rows_affected() == 0);
    }
    let mut tx = conn.begin().await.unwrap();
    be_app(&mut tx, Some(&ours.to_string())).await;
    let forged =
        format!("INSERT INTO deleted_sessions (team, session_id, deleted_at) VALUES ({theirs}, 's', 0)");
    let forged = sqlx::query(sqlx::AssertSqlSafe(forged)).execute(&mut *tx).await;
    assert!(forged.unwrap_err().to_string().contains("row-level security"));
}

/// After a transaction that named a team, the setting is an empty text on the same connection, which is no number.
#[tokio::test]
async fn a_transaction_that_names_no_team_sees_nothing_and_fails_nowhere() {
    let database = TestDatabase::postgres().await;
    let world = support::world(&database).await;
    let ours = number_of(&database, &world.scope).await.to_string();
    let mut conn = sqlx::PgConnection::connect(database.url()).await.unwrap();
    for (team, setting) in [(None, None), (Some(ours.as_str()), Some(ours.as_str())), (None, Some(""))] {
        let mut tx = conn.begin().await.unwrap();
        be_app(&mut tx, team).await;
        let sql = "SELECT current_setting('han.team', true)";
        let set: Option<String> = sqlx::query_scalar(sql).fetch_one(&mut *tx).await.unwrap();
        assert_eq!(set.as_deref(), setting);
        for table in TENANT_TABLES {
            let seen = count(&mut tx, table).await;
            assert!(team.is_some() || seen == 0, "{table} as {setting:?}");
        }
        tx.commit().await.unwrap();
    }
}

both_databases!(
    async fn numbers_are_not_used_again(database: TestDatabase) {
        let world = support::world(&database).await;
        let lines = han_testkit::SyntheticSession::new(1).lines(2);
        let mut numbers = Vec::new();
        for session in ["s1", "s2"] {
            support::push(&world, session, "main", Some(0), &lines).await;
            numbers.push(number(&database, "SELECT max(number) FROM sessions").await);
            let deleted = deletion::session(&world.scope, &world.db, &session.parse().unwrap()).await;
            assert!(deleted.unwrap());
        }
        assert!(numbers[0] < numbers[1], "sessions: {numbers:?}");
        let mut numbers = vec![number_of(&database, &world.scope).await];
        for name in ["bob", "cy"] {
            database.execute("DELETE FROM teams").await;
            let scope = support::team(&world.db, name).await;
            numbers.push(number_of(&database, &scope).await);
        }
        assert!(numbers.is_sorted_by(|a, b| a < b), "teams: {numbers:?}");
    }
);

async fn number_of(database: &TestDatabase, scope: &Scope) -> i64 {
    number(database, &format!("SELECT number FROM teams WHERE id = '{}'", scope.team_id())).await
}

/// Makes a transaction one of the app role, for this team if one is named.
async fn be_app(conn: &mut sqlx::PgConnection, team: Option<&str>) {
    sqlx::query("SELECT set_config('role', 'han_app', true)").execute(&mut *conn).await.unwrap();
    if let Some(team) = team {
        sqlx::query("SELECT set_config('han.team', $1, true)").bind(team).execute(&mut *conn).await.unwrap();
    }
}

async fn count(conn: &mut sqlx::PgConnection, of: &str) -> i64 {
    let sql = sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {of}"));
    sqlx::query_scalar(sql).fetch_one(conn).await.unwrap()
}

/// An account that may create roles, but is not a superuser, can set up everything.
#[tokio::test]
async fn an_account_that_may_create_roles_needs_no_administrator() {
    let database = TestDatabase::postgres().await;
    let name = database.url().rsplit('/').next().unwrap().split('?').next().unwrap().to_owned();
    let role = format!("maker_{name}");
    database
        .execute(&format!(
            "CREATE ROLE {role} LOGIN CREATEROLE PASSWORD 'x'; GRANT ALL ON SCHEMA public TO {role}; \
             GRANT ALL ON DATABASE {name} TO {role};"
        ))
        .await;
    let url: sqlx::postgres::PgConnectOptions = database.url().parse().unwrap();
    let url = sqlx::ConnectOptions::to_url_lossy(&url.username(&role).password("x"));
    let db = support::connect(url.as_str(), &TestClock::default()).await;
    db.migrate().await.unwrap();
    db.check_ready().await.unwrap();
    db.check_keks().await.unwrap();
    db.close().await;
    database.execute(&format!("DROP OWNED BY {role} CASCADE; DROP ROLE {role};")).await;
}

/// A `SECURITY DEFINER` function must not resolve names in a temporary schema first.
#[tokio::test]
async fn functions_of_the_owner_search_temporary_tables_last() {
    let database = TestDatabase::postgres().await;
    support::world(&database).await;
    let mut conn = sqlx::PgConnection::connect(database.url()).await.unwrap();
    let settings: Vec<Option<Vec<String>>> = sqlx::query_scalar(
        "SELECT proconfig FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND prosecdef",
    )
    .fetch_all(&mut conn)
    .await
    .unwrap();
    assert!(!settings.is_empty());
    for setting in settings {
        let setting = setting.unwrap_or_default();
        assert!(setting.iter().any(|set| set == "search_path=public, pg_temp"), "{setting:?}");
    }
}

both_databases!(
    async fn a_missing_kek_is_reported_by_its_id(database: TestDatabase) {
        let world = support::world(&database).await;
        world.db.check_keks().await.unwrap();
        let (old, new) = ([7u8; 32], [8u8; 32]);
        let id = support::kek_ring(old, &[]).active_id().to_string();
        let without = support::connect_with(database.url(), &world.clock, support::kek_ring(new, &[])).await;
        let error = without.check_keks().await.unwrap_err();
        assert!(matches!(&error, DbError::KekMissing { missing, .. } if *missing == id), "{error}");
        assert!(error.to_string().contains("KEK_SECRET_PREVIOUS"), "{error}");

        // The database determines the KEK for writing, not the order in a replica's environment.
        let turned =
            support::connect_with(database.url(), &world.clock, support::kek_ring(new, &[old])).await;
        turned.check_keks().await.unwrap();
        support::team(&turned, "bob").await;
        without.check_keks().await.unwrap_err();
        world.db.check_keks().await.unwrap();
    }
);

/// The URL of the database for another account, which has been created with `rights`.
async fn account(database: &TestDatabase, prefix: &str, rights: &str) -> (String, String) {
    let name = database.url().rsplit('/').next().unwrap().split('?').next().unwrap().to_owned();
    let role = format!("{prefix}_{name}");
    database
        .execute(&format!(
            "CREATE ROLE {role} LOGIN NOSUPERUSER PASSWORD 'x'; {}",
            rights.replace("$role", &role)
        ))
        .await;
    let url: sqlx::postgres::PgConnectOptions = database.url().parse().unwrap();
    let url = sqlx::ConnectOptions::to_url_lossy(&url.username(&role).password("x"));
    (role, url.to_string())
}

async fn drop_account(database: &TestDatabase, role: &str) {
    database.execute(&format!("DROP OWNED BY {role} CASCADE; DROP ROLE {role};")).await;
}

/// An account that only serves needs the two roles, and no right of its own on the migrator's table.
#[tokio::test]
async fn an_account_that_does_not_migrate_needs_the_roles_only() {
    let database = TestDatabase::postgres().await;
    let owner = support::connect(database.url(), &TestClock::default()).await;
    owner.migrate().await.unwrap();
    let (role, url) = account(&database, "serves", "GRANT han_app, han_system TO $role;").await;
    let db = support::connect(&url, &TestClock::default()).await;
    db.check_ready().await.unwrap();
    let scope = support::team(&db, "ada").await;
    let tx = db.read(&scope, "test.read").await.unwrap();
    assert_eq!(han_db::queries::sessions::count(&tx, None).await.unwrap(), 0);
    drop(tx);
    assert_eq!(db.account_notice().await.unwrap(), None);
    let notice = owner.account_notice().await.unwrap().expect("the tests' account is a superuser");
    assert!(notice.contains("superuser"), "{notice}");

    // A grant that is missing is named, for the account that lacks it.
    for (revoke, says) in [
        (
            "REVOKE SELECT ON seaql_migrations FROM han_system",
            "GRANT SELECT ON seaql_migrations TO han_system;",
        ),
        (
            "REVOKE INSERT ON messages FROM han_app",
            "GRANT SELECT, INSERT, UPDATE, DELETE ON messages TO han_app;",
        ),
        (
            "REVOKE DELETE ON jobs FROM han_system",
            "GRANT SELECT, INSERT, UPDATE, DELETE ON jobs TO han_system;",
        ),
    ] {
        database.execute(revoke).await;
        let error = db.check_ready().await.unwrap_err().to_string();
        assert!(error.contains(says), "{revoke}: {error}");
        owner.repair_access().await.unwrap();
        db.check_ready().await.unwrap();
    }
    database.execute(&format!("REVOKE han_system FROM {role}")).await;
    let error = db.check_ready().await.unwrap_err().to_string();
    assert!(error.contains(&format!("GRANT han_app, han_system TO {role};")), "{error}");
    db.close().await;
    drop_account(&database, &role).await;
}

#[tokio::test]
async fn a_table_without_its_protection_is_named_and_repaired() {
    let database = TestDatabase::postgres().await;
    let db = support::connect(database.url(), &TestClock::default()).await;
    db.migrate().await.unwrap();
    for table in TENANT_TABLES {
        database.execute(&format!("ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")).await;
        let error = db.check_ready().await.unwrap_err().to_string();
        assert!(error.contains(&format!("it is disabled on {table}\n")), "{error}");
        database.execute(&format!("ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")).await;
        database.execute(&format!("DROP POLICY team ON {table}")).await;
        let error = db.check_ready().await.unwrap_err().to_string();
        assert!(error.contains(&format!("the policy team of {table} is missing")), "{error}");
        database
            .execute(&format!("CREATE POLICY team ON {table} TO han_app USING (true) WITH CHECK (true)"))
            .await;
        let error = db.check_ready().await.unwrap_err().to_string();
        assert!(error.contains(&format!("the policy team of {table} is missing or was changed")), "{error}");
        db.repair_access().await.unwrap();
        db.check_ready().await.unwrap();
    }
    for (change, says) in [
        ("DROP POLICY system ON sessions", "the policy system of sessions"),
        (
            "CREATE POLICY debug ON messages TO PUBLIC USING (true)",
            "the policy debug of messages gives han_app more",
        ),
    ] {
        database.execute(change).await;
        let error = db.check_ready().await.unwrap_err().to_string();
        assert!(error.contains(says) && error.contains("han-server migrate"), "{error}");
        database.execute("DROP POLICY IF EXISTS debug ON messages").await;
        db.repair_access().await.unwrap();
        db.check_ready().await.unwrap();
    }
}

/// A migration that the account may not run says what is missing, and not where PostgreSQL noticed it.
#[tokio::test]
async fn a_migration_without_privileges_names_the_grant() {
    let database = TestDatabase::postgres().await;
    // The roles exist, as on a cluster with another database of the program.
    support::connect(database.url(), &TestClock::default()).await.migrate().await.unwrap();
    let other = TestDatabase::postgres().await;
    other.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC").await;
    let (role, url) = account(&other, "creates", "GRANT han_app, han_system TO $role;").await;
    let db = support::connect(&url, &TestClock::default()).await;
    let error = db.migrate().await.unwrap_err().to_string();
    assert!(error.contains("permission denied for schema public"), "{error}");
    assert!(error.contains(&format!("GRANT USAGE, CREATE ON SCHEMA public TO {role};")), "{error}");
    assert!(!error.contains("at line"), "{error}");
    db.close().await;
    drop_account(&other, &role).await;
}

/// A port where nothing listens is reported at once, with its address and without the password.
#[tokio::test]
async fn a_refused_port_is_named_at_once() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let start = std::time::Instant::now();
    let url = format!("postgres://han:hunter2@127.0.0.1:{free}/han");
    let error = support::try_connect(&url, &TestClock::default()).await.unwrap_err();
    assert!(matches!(error, DbError::Unreachable { .. }), "{error:?}");
    let text = format!("{error} {error:?}");
    assert!(text.contains(&format!("127.0.0.1:{free}")) && text.contains("DATABASE_URL"), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
    assert!(start.elapsed() < std::time::Duration::from_secs(5), "{:?}", start.elapsed());
    // A database that does not exist is a different mistake.
    let database = TestDatabase::postgres().await;
    let missing = format!("{}_missing", database.url().split('?').next().unwrap());
    let error = support::try_connect(&missing, &TestClock::default()).await.unwrap_err().to_string();
    assert!(error.contains("does not exist") && error.contains("DATABASE_URL"), "{error}");
}
