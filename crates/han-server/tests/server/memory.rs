//! The memory that a push needs in a real server, compared with what is reserved for it.
#![cfg(target_os = "linux")]

use std::fs;

use han_testkit::{Program, SeededEntropy, TestDatabase, both_databases};
use serde_json::json;
use tempfile::TempDir;

const MIB: usize = 1 << 20;

/// What the allocator keeps and what the server uses for other purposes, in bytes.
const SLACK: usize = 24 * MIB;

/// The peak memory of a process since [`reset_peak`], in bytes (proc(5): `VmHWM`).
fn peak(pid: u32) -> usize {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<usize>().unwrap() * 1024
}

fn reset_peak(pid: u32) {
    fs::write(format!("/proc/{pid}/clear_refs"), "5").unwrap();
}

/// A line that does not compress.
fn random_line(entropy: &SeededEntropy, bytes: usize) -> String {
    let mut text = String::with_capacity(bytes + 16);
    while text.len() < bytes {
        text.push(char::from(b' ' + u8::try_from(entropy.below(94)).unwrap()));
    }
    let id = entropy.next_u64();
    json!({"type": "user", "uuid": format!("u{id}"), "message": {"role": "user", "content": text}})
        .to_string()
}

const SERVER: &str = env!("CARGO_BIN_EXE_han-server");

fn environment(dir: &TempDir, db: &TestDatabase) -> Vec<(&'static str, String)> {
    vec![
        ("HAN_DATA_DIR", dir.path().display().to_string()),
        ("DATABASE_URL", db.url().to_owned()),
        ("KEK_SECRET", "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=".to_owned()),
        ("JWT_SECRET", "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=".to_owned()),
        ("PUBLIC_URL", "http://127.0.0.1".to_owned()),
        ("HAN_LISTEN", "127.0.0.1:0".to_owned()),
        // Otherwise glibc keeps an unpredictable number of large freed blocks, which would count as used
        // (mallopt(3), M_MMAP_THRESHOLD).
        ("MALLOC_MMAP_THRESHOLD_", "1048576".to_owned()),
    ]
}

/// Starts a server; returns its URL, too.
async fn serve(env: &[(&'static str, String)]) -> (Program, String) {
    let mut server = Program::start(SERVER, ["serve"], env.to_vec());
    let line = server.wait_for_line("listening on http://").await;
    let url = line.split("listening on ").nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
    (server, url)
}

both_databases!(
    /// The factors of `config::push_memory::bytes_to_store`: beside the body, one and a half times its size, six times its
    /// longest line (or the MiB of one statement), and 2 KiB for each line.
    async fn storing_a_push_takes_no_more_memory_than_reserved(db: TestDatabase) {
        let dir = tempfile::tempdir().unwrap();
        let env = environment(&dir, &db);
        let (status, output) = Program::start(SERVER, ["key", "create"], env.clone()).wait().await;
        assert!(status.success(), "{output:?}");
        let key = output.stdout[0].clone();
        let entropy = SeededEntropy::new(1);
        for (session, lines) in
            [("many", vec![2048; 10_000]), ("large", vec![MIB; 20]), ("one", vec![15 * MIB])]
        {
            // A new process each time: memory that was freed but not returned would hide what is used.
            let (server, url) = serve(&env).await;
            let pid = server.id().unwrap();
            let http = reqwest::Client::new();
            let longest = lines.iter().copied().max().unwrap().max(MIB);
            let lines: Vec<String> = lines.iter().map(|bytes| random_line(&entropy, *bytes)).collect();
            let body =
                format!(r#"{{"sessions":[{{"session_id":"{session}","messages":[{}]}}]}}"#, lines.join(","));
            let size = body.len();
            reset_peak(pid);
            let before = peak(pid);
            let request = http.post(format!("{url}/api/sync/sessions")).bearer_auth(&key);
            let answer =
                request.header("content-type", "application/json").body(body).send().await.unwrap().text();
            let answer = answer.await.unwrap();
            assert!(answer.contains(r#""error":null"#) && answer.contains(r#""rejected":[]"#), "{answer}");
            assert!(answer.contains(&format!(r#""stored":{},"#, lines.len())), "{answer}");
            let used = peak(pid).saturating_sub(before);
            let reserved = size + size / 2 * 3 + longest.min(size) * 6 + lines.len() * 2048;
            assert!(used <= reserved + SLACK, "{session}: used {used} and reserved {reserved} bytes");
        }
    }
);

both_databases!(
    /// 48 MiB of lines in sessions of different sizes, read by a client that takes its time.
    async fn an_export_takes_no_more_memory_than_a_page_of_it(db: TestDatabase) {
        let dir = tempfile::tempdir().unwrap();
        let env = environment(&dir, &db);
        let (status, output) = Program::start(SERVER, ["key", "create"], env.clone()).wait().await;
        assert!(status.success(), "{output:?}");
        let key = output.stdout[0].clone();
        let entropy = SeededEntropy::new(1);
        let (server, url) = serve(&env).await;
        let http = reqwest::Client::new();
        let mut sent = 0;
        for (session, lines) in
            [("many", vec![2048; 8192]), ("some", vec![64 << 10; 256]), ("large", vec![4 * MIB; 4])]
        {
            let lines: Vec<String> = lines.iter().map(|bytes| random_line(&entropy, *bytes)).collect();
            sent += lines.iter().map(String::len).sum::<usize>();
            let body =
                format!(r#"{{"sessions":[{{"session_id":"{session}","messages":[{}]}}]}}"#, lines.join(","));
            let request = http.post(format!("{url}/api/sync/sessions")).bearer_auth(&key);
            let answer = request.body(body).send().await.unwrap().text().await.unwrap();
            assert!(answer.contains(r#""error":null"#), "{answer}");
        }
        drop(server);
        let (server, url) = serve(&env).await;
        let pid = server.id().unwrap();
        reset_peak(pid);
        let before = peak(pid);
        let path = format!("{url}/api/sync/teams/team/export");
        let mut response = http.get(path).bearer_auth(&key).send().await.unwrap();
        assert_eq!(response.status(), 200);
        let (mut received, mut last) = (0, Vec::new());
        while let Some(chunk) = response.chunk().await.unwrap() {
            received += chunk.len();
            last.extend_from_slice(&chunk);
            last.drain(..last.len().saturating_sub(256));
        }
        assert!(
            received > sent && String::from_utf8(last).unwrap().contains("{\"end\":"),
            "{received} of {sent}"
        );
        // The largest page: lines of 4 MiB, compressed, opened, and as records.
        let used = peak(pid).saturating_sub(before);
        assert!(used <= 16 * MIB + SLACK, "used {used} bytes for {sent} bytes of lines");
    }
);
