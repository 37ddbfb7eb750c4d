//! What stays readable of a deleted team: in the database, and in backups that are restored.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use std::path::PathBuf;

use han_db::page::PageRequest;
use han_db::queries::{keks, keys, messages, sessions, team_deletion, team_work, users};
use han_db::{Db, DbError, HeartbeatTimes};
use han_testkit::{TestDatabase, both_databases};
use support::corpus::{eventful, number, push_whole};
use support::{World, connect_with, dump, kek_ring, scope, team, world};

const OLD: [u8; 32] = [7; 32];
const NEW: [u8; 32] = [8; 32];

/// The directory of PostgreSQL's programs: on the path, or where Debian has them.
fn postgres_programs() -> PathBuf {
    let on_path = std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect::<Vec<_>>());
    let debian = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let debian = debian.map(|version| version.unwrap().path().join("bin"));
    let mut places = on_path.into_iter().flatten().chain(debian);
    places.find(|place| place.join("pg_dump").is_file()).expect("pg_dump, which comes with PostgreSQL")
}

/// A new database with a backup of this one: with the table of keys, or without its rows.
async fn restored_backup(database: &TestDatabase, with_keys: bool) -> TestDatabase {
    if !database.is_postgres() {
        let restored = TestDatabase::sqlite().await;
        let file = restored.directory().unwrap().join("han.db");
        database.execute(&format!("VACUUM INTO '{}'", file.display())).await;
        if !with_keys {
            restored.execute("DELETE FROM team_keys; VACUUM").await;
        }
        return restored;
    }
    let restored = TestDatabase::postgres().await;
    let programs = postgres_programs();
    let mut dump = std::process::Command::new(programs.join("pg_dump"));
    dump.arg("--dbname").arg(database.url());
    if !with_keys {
        dump.arg("--exclude-table-data=team_keys");
    }
    let dumped = dump.output().unwrap();
    assert!(dumped.status.success(), "{}", String::from_utf8_lossy(&dumped.stderr));
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("han.sql");
    std::fs::write(&file, dumped.stdout).unwrap();
    let mut load = std::process::Command::new(programs.join("psql"));
    load.args(["--quiet", "--no-psqlrc", "--set=ON_ERROR_STOP=1", "--dbname", restored.url(), "--file"])
        .arg(&file);
    let loaded = load.output().unwrap();
    assert!(loaded.status.success(), "{}", String::from_utf8_lossy(&loaded.stderr));
    restored
}

/// The statements that store the keys again.
async fn copy_of_keys(database: &TestDatabase) -> String {
    let sql = "SELECT 'INSERT INTO team_keys (team_id, purpose, version, wrapped, kek_id, active, created_at) \
         VALUES (''' \
         || team_id || ''', ''' || purpose || ''', ' || version || ', ''' || wrapped || ''', ''' || kek_id || ''', ' \
         || CASE WHEN active THEN 'true' ELSE 'false' END || ', ' || created_at || ');' AS s FROM team_keys";
    let rows = dump(database, sql).await;
    let statement = |row: &String| row.trim_start_matches("{\"s\":\"").trim_end_matches("\"}").to_owned();
    rows.iter().map(statement).collect()
}

/// What a member reads of a session: its sealed path, and its first line.
async fn read(world: &World, db: &Db) -> Result<(Option<String>, String), DbError> {
    let tx = db.read(&world.scope, "test.read").await?;
    let page = sessions::page(&tx, None, &PageRequest { after: None, first: 10 }).await?;
    let path = page.rows[0].details.project_path.clone();
    let (session, main) = ("eventful".parse().unwrap(), "main".parse().unwrap());
    let lines = messages::lines(&tx, &session, &main, 0, 1).await?;
    Ok((path, lines[0].text.clone()))
}

both_databases!(
    async fn a_backup_is_readable_only_with_its_keys_and_their_kek(database: TestDatabase) {
        let world = world(&database).await;
        let files = eventful();
        push_whole(&world, &files).await;
        let content = (Some("/home/dev/orchard".to_owned()), files[0].2[0].clone());
        assert_eq!(read(&world, &world.db).await.unwrap(), content);
        let (whole, without) =
            (restored_backup(&database, true).await, restored_backup(&database, false).await);
        let keys = copy_of_keys(&database).await;

        team_deletion::begin(&world.db, world.scope.team_id()).await.unwrap();
        assert!(matches!(read(&world, &world.db).await, Err(DbError::TeamKeys(_))));
        while let Some(work) = team_work::unfinished(&world.db).await.unwrap().first() {
            team_work::advance(&world.db, work).await.unwrap();
        }
        assert_eq!(number(&database, "SELECT count(*) FROM segments").await, 0);

        // A backup with the keys, and the KEK of that time: readable, although the team was deleted.
        let opened = connect_with(whole.url(), &world.clock, kek_ring(OLD, &[])).await;
        opened.check_ready().await.unwrap();
        assert_eq!(read(&world, &opened).await.unwrap(), content);

        // A backup without the keys: what is sealed is gone, the rest is there.
        let shredded = connect_with(without.url(), &world.clock, kek_ring(OLD, &[])).await;
        shredded.check_ready().await.unwrap();
        assert!(matches!(read(&world, &shredded).await, Err(DbError::TeamKeys(_))));
        assert!(number(&without, "SELECT sum(messages) FROM rollups").await > 0);
        assert_eq!(number(&without, "SELECT count(*) FROM sessions WHERE session_id = 'eventful'").await, 1);
        shredded.close().await;

        // With the copy of the keys that was kept apart, it is readable.
        without.execute(&keys).await;
        let reunited = connect_with(without.url(), &world.clock, kek_ring(OLD, &[])).await;
        assert_eq!(read(&world, &reunited).await.unwrap(), content);

        // Once the KEK of that time is destroyed, a backup with the keys is unreadable.
        let destroyed = connect_with(whole.url(), &world.clock, kek_ring(NEW, &[])).await;
        assert!(matches!(destroyed.check_keks().await, Err(DbError::KekMissing { .. })));
        assert!(matches!(read(&world, &destroyed).await, Err(DbError::TeamKeys(_))));
    }
);

both_databases!(
    /// A rotation of the KEK protects the backups that are taken after it from who has the old KEK.
    async fn a_backup_needs_the_kek_of_its_time(database: TestDatabase) {
        let world = world(&database).await;
        push_whole(&world, &eventful()).await;
        let before = restored_backup(&database, true).await;
        let rotating = connect_with(database.url(), &world.clock, kek_ring(NEW, &[OLD])).await;
        keks::rotate(&rotating, |_| ()).await.unwrap();
        let after = restored_backup(&database, true).await;
        for (backup, kek, readable) in
            [(&before, OLD, true), (&before, NEW, false), (&after, OLD, false), (&after, NEW, true)]
        {
            let db = connect_with(backup.url(), &world.clock, kek_ring(kek, &[])).await;
            assert_eq!(read(&world, &db).await.is_ok(), readable);
            db.close().await;
        }
    }
);

fn world_of(world: &World) -> World {
    World { db: world.db.clone(), clock: world.clock.clone(), scope: world.scope.clone() }
}

/// No file of the database has the wrapped keys of a deleted team, whatever has happened to their rows before: they were
/// updated, and the pages that contain them were split. The keys of other teams stay.
#[tokio::test]
async fn the_wrapped_keys_of_a_deleted_team_are_overwritten_in_the_file() {
    let database = TestDatabase::sqlite().await;
    let world = world(&database).await;
    let mut teams = vec![world.scope.team_id().clone()];
    let mut key_of_each = Vec::new();
    for n in 0..40 {
        teams.push(team(&world.db, &format!("team{n}")).await.team_id().clone());
        if n % 5 == 0 {
            keys::rotate_team(&world.db, &teams[n]).await.unwrap();
        }
    }
    // Their uses are counted in their rows.
    let beat = world.db.start_heartbeat("serve", HeartbeatTimes::default()).await.unwrap();
    for name in ["team0", "team7", "team20", "team33"] {
        let user = users::by_name(&world.db, name).await.unwrap().pop().unwrap();
        let of_team = World { scope: scope(&world.db, user.id).await, ..world_of(&world) };
        push_whole(&of_team, &eventful()).await;
    }
    beat.stop().await.unwrap();
    for team_id in &teams {
        let sql = format!("SELECT wrapped FROM team_keys WHERE team_id = '{team_id}'");
        key_of_each.push(dump(&database, &sql).await);
    }
    let in_files = |keys: &[String]| {
        let directory = database.directory().unwrap();
        let files = std::fs::read_dir(directory).unwrap().map(|file| std::fs::read(file.unwrap().path()));
        let bytes: Vec<u8> = files.filter_map(Result::ok).flatten().collect();
        let has = |key: &&String| bytes.windows(key.len()).any(|window| window == key.as_bytes());
        keys.iter().filter(has).count()
    };
    for (n, team_id) in teams.iter().enumerate() {
        let keys = &key_of_each[n];
        assert!(keys.len() >= 2);
        assert_eq!(in_files(keys), keys.len(), "{n}: they can be found");
        if n % 2 == 0 {
            team_deletion::begin(&world.db, team_id).await.unwrap();
            assert_eq!(in_files(keys), 0, "{n}");
        }
    }
    for (n, keys) in key_of_each.iter().enumerate() {
        assert_eq!(in_files(keys), if n % 2 == 0 { 0 } else { keys.len() }, "{n}");
    }
}
