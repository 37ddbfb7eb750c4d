//! Real transcripts, repeated under other ids: each copy has the same lines with other session ids, uuids, message ids,
//! request ids, call ids and subagents, of the same lengths. So no copy counts as a fork of another one.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use han_testkit::fixtures::real_transcripts;

/// Which transcripts, and how many.
#[derive(Args)]
pub(crate) struct RealOptions {
    /// The directory of real transcripts. By default that of the tests: `HAN_TEST_TRANSCRIPTS`, or
    /// `../shared/data/transcripts`.
    #[arg(long, env = "HAN_TRANSCRIPTS", value_name = "DIRECTORY")]
    transcripts: Option<PathBuf>,
    /// How many megabytes of real lines there are at least, by repeating the transcripts under other ids.
    #[arg(long, default_value_t = 300)]
    megabytes: usize,
}

/// Files that were written.
pub(crate) struct Written {
    /// The number of files.
    pub files: usize,
    /// Their lines.
    pub lines: u64,
    /// Their bytes.
    pub bytes: f64,
}

struct Transcript {
    /// Its path below the folder of all projects.
    path: PathBuf,
    text: String,
}

impl RealOptions {
    /// Writes copies of the transcripts below `into`, with the layout of `~/.claude/projects`.
    ///
    /// # Panics
    /// If there are no transcripts.
    pub(crate) fn write(&self, into: &Path) -> Written {
        let directory = self.transcripts.clone().or_else(real_transcripts);
        let directory = directory.expect("real transcripts: set HAN_TRANSCRIPTS to their directory");
        let transcripts = read(&directory);
        let agents = agents(&transcripts);
        let mut written = Written { files: 0, lines: 0, bytes: 0.0 };
        for copy in 1.. {
            if written.bytes >= self.megabytes as f64 * 1e6 {
                break;
            }
            for transcript in &transcripts {
                let path = into.join(path_of_copy(&transcript.path, &agents, copy));
                let text = renamed(&transcript.text, &agents, copy);
                fs::create_dir_all(path.parent().expect("a file in a folder")).expect("a folder");
                fs::write(&path, &text).expect("a file");
                written.files += 1;
                written.lines += text.lines().count() as u64;
                written.bytes += text.len() as f64;
            }
        }
        written
    }
}

/// The transcripts below a directory: those of `projects`, and those beside it as of one more project.
fn read(directory: &Path) -> Vec<Transcript> {
    let mut transcripts = Vec::new();
    let mut folders = vec![directory.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "jsonl") {
                let text = fs::read_to_string(&path).expect("a transcript in UTF-8");
                let below = path.strip_prefix(directory).expect("a path below the directory");
                let below = below.strip_prefix("projects").unwrap_or(below).to_owned();
                transcripts.push(Transcript { path: below, text });
            }
        }
    }
    assert!(!transcripts.is_empty(), "no transcripts below {}", directory.display());
    transcripts.sort_by(|a, b| a.path.cmp(&b.path));
    transcripts
}

/// The ids of the subagents that have a file.
fn agents(transcripts: &[Transcript]) -> Vec<String> {
    let stems = transcripts.iter().filter_map(|transcript| transcript.path.file_stem()?.to_str());
    stems.filter_map(|stem| stem.strip_prefix("agent-")).map(str::to_owned).collect()
}

/// The file of a copy. A session that is not named by a uuid gets the number of the copy.
fn path_of_copy(path: &Path, agents: &[String], copy: u32) -> PathBuf {
    let path = path.to_string_lossy();
    let renamed = renamed(&path, agents, copy);
    match renamed.strip_suffix(".jsonl") {
        Some(stem) if renamed == path => PathBuf::from(format!("{stem}-{copy}.jsonl")),
        _ => PathBuf::from(renamed),
    }
}

/// The text with the ids of a copy.
fn renamed(text: &str, agents: &[String], copy: u32) -> String {
    let mut bytes = text.as_bytes().to_vec();
    let mut at = 0;
    while at < bytes.len() {
        // Ids begin where no word goes on.
        if at > 0 && is_word(bytes[at - 1]) {
            at += 1;
        } else if is_uuid(&bytes[at..]) {
            other_hex(&mut bytes[at..at + 8], copy);
            at += UUID_BYTES;
        } else if let Some(length) = prefixed_id(&bytes[at..]) {
            other_word(&mut bytes[at + length - TAIL..at + length], copy);
            at += length;
        } else {
            at += 1;
        }
    }
    let mut text = String::from_utf8(bytes).expect("only ASCII was replaced, by ASCII");
    for agent in agents {
        let mut other = agent.clone().into_bytes();
        let digits = other.iter().rev().take_while(|byte| byte.is_ascii_hexdigit()).count().min(6);
        let from = other.len() - digits;
        other_hex(&mut other[from..], copy);
        text = text.replace(agent.as_str(), std::str::from_utf8(&other).expect("ASCII"));
    }
    text
}

const UUID_BYTES: usize = 36;

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn is_uuid(bytes: &[u8]) -> bool {
    let Some(bytes) = bytes.get(..UUID_BYTES) else { return false };
    bytes.iter().enumerate().all(|(n, byte)| match n {
        8 | 13 | 18 | 23 => *byte == b'-',
        _ => byte.is_ascii_digit() || (b'a'..=b'f').contains(byte),
    })
}

/// The least length of an id with a prefix; the characters at its end that are replaced.
const ID_BYTES: usize = 20;
const TAIL: usize = 5;

/// The length of an id of a message, a request or a call that begins here.
fn prefixed_id(bytes: &[u8]) -> Option<usize> {
    let prefix = [&b"msg_"[..], b"req_", b"toolu_"].into_iter().find(|prefix| bytes.starts_with(prefix))?;
    let rest = bytes[prefix.len()..].iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
    let length = prefix.len() + rest;
    (length >= ID_BYTES).then_some(length)
}

/// Odd, so that different copies have different ids.
const FACTOR: u32 = 0x9e37_79b1;

/// Replaces hexadecimal digits, at most 8. Different digits stay different.
fn other_hex(digits: &mut [u8], copy: u32) {
    let number = digits.iter().fold(0u32, |n, byte| n << 4 | char::from(*byte).to_digit(16).unwrap_or(0));
    // Of the low bits as many as there are digits; they differ for as many copies.
    let mut other = number ^ copy.wrapping_mul(FACTOR);
    for digit in digits.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(other & 15) as usize];
        other >>= 4;
    }
}

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Replaces letters and digits. Different words stay different.
fn other_word(word: &mut [u8], copy: u32) {
    let place = |byte: u8| ALPHABET.iter().position(|other| *other == byte).unwrap_or(0) as u64;
    let number = word.iter().fold(0, |n, byte| n * 62 + place(*byte));
    let mut other = number + u64::from(copy) * u64::from(FACTOR);
    for byte in word.iter_mut().rev() {
        *byte = ALPHABET[(other % 62) as usize];
        other /= 62;
    }
}

#[cfg(test)]
mod tests {
    use super::renamed;

    #[test]
    fn a_copy_has_other_ids_of_the_same_lengths() {
        let line = r#"{"uuid":"3579fa66-0f5d-400c-97b8-e2fbecfeb4ba","message":{"id":"msg_01AbCdEfGhIjKlMnOpQrStUv"},
            "agentId":"a881341","text":"agent-a881341 wrote msg_1 and x3579fa66-0f5d-400c-97b8-e2fbecfeb4ba"}"#;
        let copies: Vec<String> = (1..4).map(|copy| renamed(line, &["a881341".to_owned()], copy)).collect();
        for (n, copy) in copies.iter().enumerate() {
            assert_eq!(copy.len(), line.len());
            assert!(
                !copy.contains("a881341") && !copy.contains(r#""3579fa66"#) && !copy.contains("StUv"),
                "{copy}"
            );
            assert!(copy.contains("wrote msg_1 and x3579fa66-0f5d"), "{copy}");
            assert!(copies[..n].iter().all(|other| other != copy));
        }
    }
}
