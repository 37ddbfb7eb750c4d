//! Backups: taken beside a running server, restored with and without their keys.

use han_testkit::pg::{Cluster, Durability};
use han_testkit::{SyntheticSession, TestDatabase, both_databases};
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::support::{TestServer, another, answer, command, command_on, command_with, exported, lines_of};

both_databases!(
    async fn a_backup_beside_a_running_server_is_whole_and_needs_its_keys(db: TestDatabase) {
        let server = TestServer::start(&db).await;
        let ada = server.person("ada").await;
        let lines = SyntheticSession::new(1).lines(200);
        server.push_lines(&ada.key, "before", 0, &lines).await;
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name).display().to_string();
        let (to, keys) = (path("backup"), path("keys"));
        let pushing = async {
            for n in 0..40 {
                server.push_lines(&ada.key, &format!("during{n}"), 0, &lines[..20]).await;
            }
        };
        let back_up = ["backup", "--to", &to, "--keys", &keys];
        let (backed_up, ()) = tokio::join!(command(&db, &server, &back_up), pushing);
        assert!(backed_up.unwrap().contains("backed up the database"));

        // The keys are in their own file only, which no other user of the machine may read.
        let stored = std::fs::read_to_string(&keys).unwrap();
        let wrapped =
            stored.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["wrapped"].clone());
        let file = if db.is_postgres() { "han.sql" } else { "han.db" };
        let copy = std::fs::read(directory.path().join("backup").join(file)).unwrap();
        let holds = |text: &str| copy.windows(text.len()).any(|window| window == text.as_bytes());
        assert!(holds("before") && stored.lines().count() > 1);
        for key in wrapped {
            assert!(!holds(key.as_str().unwrap()));
        }
        for secret in [&to, &keys] {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(std::fs::metadata(secret).unwrap().permissions().mode() & 0o077, 0, "{secret}");
        }

        let other = another(&db).await;
        let restore = ["restore", "--from", &to, "--keys", &keys];
        let restored = command(&other, &server, &restore).await.unwrap();
        assert!(restored.contains(&format!("{} team key(s)", stored.lines().count())), "{restored}");
        // Those that ran on the other database are not waited for by a rotation.
        assert_eq!(other.text("SELECT CAST(count(*) AS text) FROM replicas").await, "0");
        let again = command(&other, &server, &restore).await.unwrap_err();
        assert!(again.contains("empty") || again.contains("into a new database only"), "{again}");

        // Roles, grants and policies are as they must be: it serves, and every session is whole.
        let copy = TestServer::start(&other).await;
        let list = "{ sessions(first: 100) { edges { node { sessionId lineCount } } } }";
        let (_, body) = answer(copy.graphql(&ada.key, list).send().await.unwrap()).await;
        let sessions = body["data"]["sessions"]["edges"].as_array().unwrap_or_else(|| panic!("{body}"));
        assert!(!sessions.is_empty());
        for session in sessions {
            let id = session["node"]["sessionId"].as_str().unwrap();
            let expected = if id == "before" { 200 } else { 20 };
            assert_eq!(session["node"]["lineCount"], expected, "{id}");
            let one = format!("/api/sync/teams/{}/sessions/{id}/export", ada.team_id);
            let files = lines_of(&exported(&copy, &ada.key, &one).await);
            assert_eq!(files[0].2, lines[..expected]);
        }
        // What is pushed again is stored.
        assert_eq!(copy.push_lines(&ada.key, "before", 200, &lines[..1]).await["stored"], 1);
        copy.stop().await;

        // Without its keys, nothing sealed opens.
        let bare = another(&db).await;
        let none = path("none");
        std::fs::write(&none, "").unwrap();
        let restore = ["restore", "--from", &to, "--keys", &none];
        let refused = command(&bare, &server, &restore).await.unwrap_err();
        assert!(refused.contains("--partial-keys"), "{refused}");
        command(&bare, &server, &[&restore[..], &["--partial-keys"]].concat()).await.unwrap();
        let shredded = TestServer::start(&bare).await;
        let (_, body) = answer(shredded.graphql(&ada.key, list).send().await.unwrap()).await;
        assert!(!body["errors"].is_null(), "{body}");
        shredded.stop().await;
        server.stop().await;
    }
);

both_databases!(
    async fn a_backup_keeps_its_keys_apart_and_replaces_nothing(db: TestDatabase) {
        let server = TestServer::start(&db).await;
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name).display().to_string();
        let back_up = async |to: &str, keys: &str| {
            command(&db, &server, &["backup", "--to", to, "--keys", keys]).await.unwrap_err()
        };
        let inside = back_up(&path("backup"), &path("backup/keys")).await;
        assert!(inside.contains("keep the keys apart"), "{inside}");
        std::fs::write(path("keys"), "kept").unwrap();
        let exists = back_up(&path("one"), &path("keys")).await;
        assert!(exists.contains("cannot make the new file"), "{exists}");
        assert_eq!(std::fs::read_to_string(path("keys")).unwrap(), "kept");
        std::fs::create_dir(path("two")).unwrap();
        std::fs::write(path("two/data"), "kept").unwrap();
        // Not even by a path that leads elsewhere.
        for to in ["two", "two/new/..", "two/.", "two/../two"] {
            let exists = back_up(&path(to), &path("keys")).await;
            assert!(exists.contains("name a new directory"), "{to}: {exists}");
            assert_eq!(std::fs::read_to_string(path("two/data")).unwrap(), "kept", "{to}");
            assert!(!directory.path().join("two/new").exists(), "{to}");
        }
        // By another path.
        std::os::unix::fs::symlink(directory.path(), path("link")).unwrap();
        for keys in ["link/three/keys", "two/../three/keys", "three/../three/keys", "three/keys"] {
            let inside = back_up(&path("three"), &path(keys)).await;
            assert!(inside.contains("keep the keys apart"), "{keys}: {inside}");
            // What was refused leaves nothing.
            assert!(!directory.path().join("three").exists(), "{keys}");
        }
        back_up(&path("three"), &path("missing/keys")).await;
        assert!(!directory.path().join("three").exists());
        server.stop().await;
    }
);

both_databases!(
    async fn an_incomplete_backup_is_not_restored(db: TestDatabase) {
        let server = TestServer::start(&db).await;
        let ada = server.person("ada").await;
        server.person("bob").await;
        server.push_lines(&ada.key, "s1", 0, &SyntheticSession::new(1).lines(20)).await;
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name).display().to_string();
        let (to, keys) = (path("backup"), path("keys"));
        command(&db, &server, &["backup", "--to", &to, "--keys", &keys]).await.unwrap();
        let file = path(if db.is_postgres() { "backup/han.sql" } else { "backup/han.db" });
        let manifest = path("backup/backup.json");
        let whole: Vec<(&str, Vec<u8>)> =
            [&file, &keys, &manifest].map(|name| (name.as_str(), std::fs::read(name).unwrap())).into();
        let other = another(&db).await;
        let restore = ["restore", "--from", &to, "--keys", &keys];
        let (database, stored) = (&whole[0].1, &whole[1].1);
        // PostgreSQL's file is cut where a statement ends.
        let text = String::from_utf8_lossy(database);
        let end = text.find("CREATE TRIGGER").unwrap_or(database.len() / 2);
        let mut changed = database.clone();
        changed[database.len() / 2] ^= 1;
        let line = stored.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        for (name, content, why) in [
            (&file, Some(&database[..end]), "incomplete"),
            (&file, Some(&changed[..]), "was changed"),
            (&file, None, "cannot read"),
            (&keys, Some(&stored[..line]), "--partial-keys"),
            (&keys, Some(&stored[..0]), "--partial-keys"),
            (&keys, Some(&stored[..line - 5]), "is no team key"),
            (&manifest, None, "no complete backup"),
            (&manifest, Some(&b"{}"[..]), "backup.json"),
        ] {
            match content {
                Some(content) => std::fs::write(name, content).unwrap(),
                None => std::fs::remove_file(name).unwrap(),
            }
            let refused = command(&other, &server, &restore).await.unwrap_err();
            assert!(refused.contains(why), "{name}: {refused}");
            for (name, content) in &whole {
                std::fs::write(name, content).unwrap();
            }
        }
        // A restore that was interrupted can be repeated. No server starts before, and none is disturbed by one.
        if let Some(directory) = other.directory() {
            let file = |name: &str| directory.join(name);
            for leftover in ["han.db.restoring", "han.db.restoring-wal"] {
                std::fs::write(file(leftover), "half").unwrap();
            }
            let refused = command(&other, &server, &["migrate"]).await.unwrap_err();
            assert!(refused.contains("han.db.restoring exists"), "{refused}");
            for leftover in ["han.db-wal", "han.db-journal"] {
                std::fs::write(file(leftover), "of another database").unwrap();
                let refused = command(&other, &server, &restore).await.unwrap_err();
                assert!(refused.contains(leftover), "{refused}");
                std::fs::remove_file(file(leftover)).unwrap();
            }
        }
        command(&other, &server, &restore).await.unwrap();
        let left = other.directory().map(|directory| std::fs::read_dir(directory).unwrap().count());
        assert!(left.is_none_or(|left| left == 1));
        server.stop().await;
    }
);

/// Whatever kills a restore, PostgreSQL has everything or nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_of_postgres_is_one_transaction() {
    let db = TestDatabase::postgres().await;
    let server = TestServer::start(&db).await;
    let ada = server.person("ada").await;
    server.push_lines(&ada.key, "s1", 0, &SyntheticSession::new(1).lines(20)).await;
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    let (to, keys) = (path("backup"), path("keys"));
    command(&db, &server, &["backup", "--to", &to, "--keys", &keys]).await.unwrap();
    let other = TestDatabase::postgres().await;
    let restore = ["restore", "--from", &to, "--keys", &keys];
    // Keys that cannot be stored: those of one team twice, as active ones.
    let stored = std::fs::read_to_string(&keys).unwrap();
    std::fs::write(&keys, stored.replace("\"version\":1", "\"version\":99999999999999999999")).unwrap();
    let partial = [&restore[..], &["--partial-keys"]].concat();
    command(&other, &server, &partial).await.unwrap_err();
    std::fs::write(&keys, stored.replace("\"purpose\":\"", "\"purpose\":\"\\u0000")).unwrap();
    command(&other, &server, &partial).await.unwrap_err();
    assert_eq!(other.text("SELECT CAST(count(*) AS text) FROM pg_class WHERE relname = 'teams'").await, "0");
    // A quote in a key is a part of it.
    std::fs::write(&keys, stored.replace("\"kek_id\":\"", "\"kek_id\":\"'); DROP TABLE teams; --")).unwrap();
    let refused = command(&other, &server, &partial).await.unwrap_err();
    assert!(refused.contains("KEK"), "{refused}");
    assert_eq!(other.text("SELECT CAST(count(*) AS text) FROM teams").await, "1");
    server.stop().await;
}

/// A directory may have any name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sqlite_database_is_where_its_directory_is() {
    let db = TestDatabase::sqlite().await;
    let server = TestServer::start(&db).await;
    let ada = server.person("ada").await;
    server.push_lines(&ada.key, "s1", 0, &SyntheticSession::new(1).lines(20)).await;
    let directory = tempfile::tempdir().unwrap();
    for name in ["q%41", "what?", "a#b", "ü 'x' & y", "100%"] {
        let path = |part: &str| directory.path().join(name).join(part).display().to_string();
        std::fs::create_dir(path("")).unwrap();
        let (to, keys, data) = (path("backup"), path("keys"), path("data"));
        command(&db, &server, &["backup", "--to", &to, "--keys", &keys]).await.unwrap();
        let restore = ["restore", "--from", &to, "--keys", &keys];
        let variables = [("DATABASE_URL", ""), ("HAN_DATA_DIR", data.as_str())];
        command_with("", &server, &variables, &restore).await.unwrap();
        command_with("", &server, &variables, &["keys", "verify", "--team", "ada"]).await.unwrap();
        let files = std::fs::read_dir(&data).unwrap().map(|file| file.unwrap().file_name());
        assert!(files.into_iter().any(|file| file == "han.db"), "{name}");
    }
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 5);
    server.stop().await;
}

/// Roles belong to a cluster, and a dump of a database does not have them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_is_restored_into_a_cluster_without_the_roles() {
    let db = TestDatabase::postgres().await;
    let server = TestServer::start(&db).await;
    let ada = server.person("ada").await;
    server.push_lines(&ada.key, "s1", 0, &SyntheticSession::new(1).lines(40)).await;
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    let (to, keys) = (path("backup"), path("keys"));
    command(&db, &server, &["backup", "--to", &to, "--keys", &keys]).await.unwrap();

    let cluster = Cluster::start(Durability::None).unwrap();
    let mut admin = PgConnection::connect(cluster.url()).await.unwrap();
    let mut run = async |sql: &str| {
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut admin).await.unwrap();
    };
    run("CREATE ROLE plain LOGIN").await;
    run("CREATE DATABASE of_plain OWNER plain").await;
    run("CREATE DATABASE of_admin").await;
    let restore = ["restore", "--from", &to, "--keys", &keys];
    let verify = ["keys", "verify", "--team", "ada"];

    // An account that may not make the roles gets the SQL for an administrator.
    let mut url = reqwest::Url::parse(&cluster.url_of("of_plain")).unwrap();
    url.set_username("plain").unwrap();
    let refused = command_on(url.as_str(), &server, &restore).await.unwrap_err();
    let sql: Vec<&str> =
        refused.lines().filter(|line| line.starts_with("CREATE ROLE") || line.starts_with("GRANT")).collect();
    assert_eq!(sql.len(), 3, "{refused}");
    run(&sql.join("\n")).await;
    let restored = command_on(url.as_str(), &server, &restore).await.unwrap();
    assert!(restored.contains("team key(s)"), "{restored}");
    assert!(command_on(url.as_str(), &server, &verify).await.unwrap().contains("opened all"));

    // One that may makes them.
    run("DROP DATABASE of_plain").await;
    run("DROP OWNED BY han_app, han_system CASCADE; DROP ROLE han_app, han_system").await;
    let url = cluster.url_of("of_admin");
    command_on(&url, &server, &restore).await.unwrap();
    assert!(command_on(&url, &server, &verify).await.unwrap().contains("opened all"));
    drop(admin);
    server.stop().await;
}
