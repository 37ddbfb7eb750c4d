//! The chain of a team's audit log: what is hashed of an entry, and whether a sequence of entries is the one that was
//! written. docs/SECURITY.md specifies the format.

use std::fmt;

use sha2::{Digest as _, Sha256};

/// A SHA-256.
pub type Hash = [u8; 32];

/// What the first entry of a chain follows.
pub(super) const BEGINNING: Hash = [0; 32];

/// The first part of what is hashed.
const FORMAT: &str = "han-audit-1";

/// What is hashed of an entry, besides the hash of the entry before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hashed<'a> {
    /// Empty for the server's own log.
    pub team_id: &'a str,
    pub seq: i64,
    /// Milliseconds since the epoch.
    pub at: i64,
    /// The text columns, in the order of the format.
    pub texts: [&'a str; 9],
}

impl Hashed<'_> {
    /// The hash of an entry that follows the one with the hash `previous`. Each part is preceded by its length, so that
    /// different entries have different bytes.
    pub(super) fn hash(&self, previous: &Hash) -> Hash {
        let mut hash = Sha256::new();
        let mut add = |part: &[u8]| {
            // No column has 4 GiB.
            hash.update(u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
            hash.update(part);
        };
        add(FORMAT.as_bytes());
        add(previous);
        add(self.team_id.as_bytes());
        add(self.seq.to_string().as_bytes());
        add(self.at.to_string().as_bytes());
        for text in self.texts {
            add(text.as_bytes());
        }
        hash.finalize().into()
    }
}

/// What is wrong with a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The number of the first entry that is not as it was written.
    pub seq: i64,
    /// What is wrong with it.
    pub kind: FaultKind,
}

/// The kinds of [`Fault`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// It is missing, and there are later ones.
    Missing,
    /// It was changed, or is in another place than it was written, or the one before was replaced.
    Altered,
    /// It and all later ones, up to this number, are missing.
    Truncated(i64),
    /// The end of the chain does not know it.
    Added,
    /// It is the last one, and another one than the end of the chain names.
    Replaced,
    /// It has another hash than the operator has noted.
    Unexpected,
    /// The end of the chain is missing.
    NoEnd,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seq = self.seq;
        match self.kind {
            FaultKind::Missing => write!(f, "entry {seq} was removed"),
            FaultKind::Altered => {
                write!(f, "entry {seq} was altered or moved, or entry {} was replaced", seq - 1)
            }
            FaultKind::Truncated(last) if last == seq => {
                write!(f, "entry {seq}, the last one, was removed")
            }
            FaultKind::Truncated(last) => {
                write!(f, "entry {seq} and all later ones, up to {last}, were removed")
            }
            FaultKind::Added => write!(f, "entry {seq} was added without the end of the chain"),
            FaultKind::Replaced => write!(f, "entry {seq}, the last one, was replaced"),
            FaultKind::Unexpected => write!(f, "entry {seq} does not have the hash that was noted"),
            FaultKind::NoEnd => write!(f, "the end of the chain (the row of audit_heads) was removed"),
        }
    }
}

/// Checks entries in the order of their numbers.
#[derive(Debug)]
pub(super) struct Checker {
    last: i64,
    hash: Hash,
    /// A number and the hash that its entry must have.
    noted: Option<(i64, Hash)>,
}

impl Checker {
    /// Begins before the first entry.
    pub(super) fn new(noted: Option<(i64, Hash)>) -> Self {
        Self { last: 0, hash: BEGINNING, noted }
    }

    /// The number and the hash of the last entry so far.
    pub(super) fn last(&self) -> (i64, Hash) {
        (self.last, self.hash)
    }

    /// Checks the next entry, which is stored with the hash `stored`.
    pub(super) fn entry(&mut self, entry: &Hashed<'_>, stored: &[u8]) -> Result<(), Fault> {
        let expected = self.last + 1;
        if entry.seq != expected {
            let kind = if entry.seq > expected { FaultKind::Missing } else { FaultKind::Altered };
            return Err(Fault { seq: expected, kind });
        }
        let hash = entry.hash(&self.hash);
        if stored != hash {
            return Err(Fault { seq: expected, kind: FaultKind::Altered });
        }
        if self.noted.is_some_and(|(seq, noted)| seq == expected && noted != hash) {
            return Err(Fault { seq: expected, kind: FaultKind::Unexpected });
        }
        (self.last, self.hash) = (expected, hash);
        Ok(())
    }

    /// Checks that the last entry is the one that the stored end names.
    pub(super) fn end(&self, head: Option<(i64, &[u8])>) -> Result<(), Fault> {
        let fault = |seq, kind| Err(Fault { seq, kind });
        match head {
            None => fault(self.last, FaultKind::NoEnd),
            Some((seq, _)) if seq > self.last => fault(self.last + 1, FaultKind::Truncated(seq)),
            Some((seq, _)) if seq < self.last => fault(seq + 1, FaultKind::Added),
            Some((seq, hash)) if hash != self.hash => fault(seq, FaultKind::Replaced),
            Some(_) => match self.noted {
                Some((seq, _)) if seq > self.last => fault(self.last + 1, FaultKind::Truncated(seq)),
                _ => Ok(()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{BEGINNING, Checker, Fault, FaultKind, Hash, Hashed};

    /// An entry as it is stored.
    #[derive(Clone, Debug, PartialEq, Eq)]
    struct Stored {
        seq: i64,
        at: i64,
        texts: Vec<String>,
        hash: Vec<u8>,
    }

    impl Stored {
        fn hashed(&self) -> Hashed<'_> {
            let texts: Vec<&str> = self.texts.iter().map(String::as_str).collect();
            Hashed { team_id: "team", seq: self.seq, at: self.at, texts: texts.try_into().unwrap() }
        }
    }

    fn chain(contents: Vec<(i64, Vec<String>)>) -> Vec<Stored> {
        let mut previous = BEGINNING;
        let entry = |(n, (at, texts)): (usize, (i64, Vec<String>))| {
            let mut stored = Stored { seq: i64::try_from(n).unwrap() + 1, at, texts, hash: Vec::new() };
            previous = stored.hashed().hash(&previous);
            stored.hash = previous.to_vec();
            stored
        };
        contents.into_iter().enumerate().map(entry).collect()
    }

    fn check(entries: &[Stored], head: &(i64, Vec<u8>)) -> Result<(), Fault> {
        let mut checker = Checker::new(None);
        for entry in entries {
            checker.entry(&entry.hashed(), &entry.hash)?;
        }
        checker.end(Some((head.0, head.1.as_slice())))
    }

    fn head(entries: &[Stored]) -> (i64, Vec<u8>) {
        entries.last().map_or((0, BEGINNING.to_vec()), |last| (last.seq, last.hash.clone()))
    }

    /// What somebody does to the stored entries.
    #[derive(Clone, Debug)]
    enum Attack {
        Text {
            column: usize,
            text: String,
        },
        Time(i64),
        Hash(usize),
        /// Changes a text, and computes the hash of that entry again.
        Forge(String),
        Remove,
        /// Removes an entry, and closes the gap in the numbers.
        RemoveAndRenumber,
        /// Exchanges an entry with the next one: the numbers stay in order.
        Swap,
        Repeat,
        Truncate,
    }

    fn attacks() -> impl Strategy<Value = Attack> {
        prop_oneof![
            (0_usize..9, "[a-c]{0,3}").prop_map(|(column, text)| Attack::Text { column, text }),
            (0_i64..3).prop_map(Attack::Time),
            (0_usize..32).prop_map(Attack::Hash),
            "[a-c]{0,3}".prop_map(Attack::Forge),
            Just(Attack::Remove),
            Just(Attack::RemoveAndRenumber),
            Just(Attack::Swap),
            Just(Attack::Repeat),
            Just(Attack::Truncate),
        ]
    }

    fn apply(entries: &mut Vec<Stored>, at: usize, attack: &Attack) {
        match attack {
            Attack::Text { column, text } => entries[at].texts[*column].clone_from(text),
            Attack::Time(time) => entries[at].at = *time,
            Attack::Hash(byte) => entries[at].hash[*byte] ^= 1,
            Attack::Forge(text) => {
                entries[at].texts[8].clone_from(text);
                let previous: Hash = match at.checked_sub(1) {
                    Some(before) => entries[before].hash.clone().try_into().unwrap(),
                    None => BEGINNING,
                };
                entries[at].hash = entries[at].hashed().hash(&previous).to_vec();
            }
            Attack::Remove => drop(entries.remove(at)),
            Attack::RemoveAndRenumber => {
                entries.remove(at);
                for (n, entry) in entries.iter_mut().enumerate() {
                    entry.seq = i64::try_from(n).unwrap() + 1;
                }
            }
            Attack::Swap => {
                let next = (at + 1) % entries.len();
                entries.swap(at, next);
                let (one, other) = (entries[at].seq, entries[next].seq);
                (entries[at].seq, entries[next].seq) = (other, one);
            }
            Attack::Repeat => {
                let again = entries[at].clone();
                entries.insert(at, again);
            }
            Attack::Truncate => entries.truncate(at),
        }
    }

    proptest! {
        /// The texts are short and of few letters, so that attacks often leave something that looks alike.
        #[test]
        fn whatever_is_done_to_a_chain_is_found(
            contents in prop::collection::vec((0_i64..3, prop::collection::vec("[a-c]{0,3}", 9)), 1..12),
            at in any::<prop::sample::Index>(),
            attack in attacks(),
        ) {
            let written = chain(contents);
            let head = head(&written);
            prop_assert_eq!(check(&written, &head), Ok(()));
            let at = at.index(written.len());
            let mut stored = written.clone();
            apply(&mut stored, at, &attack);
            let found = check(&stored, &head);
            prop_assert_eq!(found.is_err(), stored != written, "{:?} at {}: {:?}", attack, at, found);
            if let Err(fault) = found {
                // The first entry that differs; where its hash was computed again, the one after it.
                let first = stored.iter().zip(&written).position(|(a, b)| a != b);
                let first = first.unwrap_or(stored.len().min(written.len()));
                let first = i64::try_from(first).unwrap() + 1;
                prop_assert!(fault.seq == first || fault.seq == first + 1, "{:?}: {:?}", fault, attack);
            }
        }

        /// Moving bytes from one column to the next makes another entry.
        #[test]
        fn columns_do_not_run_into_each_other(text in "[a-c]{2,6}", at in 1_usize..6) {
            prop_assume!(at < text.len());
            let (left, right) = text.split_at(at);
            let with = |a, b| Hashed { team_id: "t", seq: 1, at: 0, texts: [a, b, "", "", "", "", "", "", ""] };
            prop_assert_ne!(with(left, right).hash(&BEGINNING), with(&text, "").hash(&BEGINNING));
        }
    }

    #[test]
    fn a_chain_without_its_end_and_a_noted_hash_are_checked() {
        let written = chain(vec![(1, vec!["a".to_owned(); 9]), (2, vec!["b".to_owned(); 9])]);
        let run = |noted| {
            let mut checker = Checker::new(noted);
            for entry in &written {
                checker.entry(&entry.hashed(), &entry.hash)?;
            }
            let (seq, hash) = head(&written);
            checker.end(Some((seq, hash.as_slice())))
        };
        let first: Hash = written[0].hash.clone().try_into().unwrap();
        assert_eq!(run(Some((1, first))), Ok(()));
        assert_eq!(run(Some((2, first))), Err(Fault { seq: 2, kind: FaultKind::Unexpected }));
        assert_eq!(run(Some((5, first))), Err(Fault { seq: 3, kind: FaultKind::Truncated(5) }));
        assert_eq!(Checker::new(None).end(None), Err(Fault { seq: 0, kind: FaultKind::NoEnd }));
    }

    /// The example in docs/SECURITY.md.
    #[test]
    fn the_hash_is_the_documented_one() {
        let entry = Hashed {
            team_id: "0195f3a0-7c1e-7b52-9a54-3f0c7d1e2b4a",
            seq: 1,
            at: 1_793_577_600_000,
            texts: ["team.created", "p1", "operator", "", "", "r1", "", "", "{}"],
        };
        assert_eq!(
            han_crypto::to_hex(&entry.hash(&BEGINNING)),
            "c5c5fbe795c0e9ec7793f9c9329355f5ee05a50d9dd9ce7f1ada9fbc694ead2a"
        );
    }
}
