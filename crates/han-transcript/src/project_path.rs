//! Normalizes the directory that a session works in, so that different spellings of one directory, and the worktrees that
//! an agent makes for a repository, are one project. Works on text only: paths are of other machines.

use unicode_normalization::UnicodeNormalization as _;

/// The folders in which agents and their users keep the worktrees of a repository: `<repository>/<folder>/<worktree>`.
const WORKTREE_FOLDERS: [&str; 3] = [".claude/worktrees", ".worktrees", ANY_WORKTREES];

/// A folder whose name alone does not say that its worktrees are those of the directory that contains it: in a home
/// directory, they are of other repositories.
const ANY_WORKTREES: &str = "worktrees";

/// Directories in the root of a Unix file system. A path that begins with two slashes and one of them is not that of a
/// network share.
const UNIX_FOLDERS: [&str; 9] = ["Users", "Volumes", "home", "mnt", "opt", "root", "tmp", "usr", "var"];

/// The end of the name of a folder beside a repository that has its worktrees: `<repository>-worktrees/<worktree>`.
const WORKTREES_BESIDE: &str = "-worktrees";

/// A project's directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProjectPath {
    /// The normalized path. Two directories are one project if and only if their keys are equal.
    pub key: String,
    /// The last part of the path, to be displayed.
    pub name: String,
    /// The worktree, if the directory is in one.
    pub worktree: Option<String>,
}

impl ProjectPath {
    /// Normalizes a working directory:
    ///
    /// * Slashes at the end, repeated slashes and `.` parts are removed.
    /// * The letter of a Windows drive becomes upper case, and the slashes after it become backslashes: `c:/Users/ana/`
    ///   is `C:\Users\ana`. So do those of a network share, whose server and share become lower case: `//SERVER/share` is
    ///   `\\server\share`. Other parts keep their case, because a file system may distinguish it. The prefix `\\?\` is
    ///   removed.
    /// * Characters are composed (Unicode normalization form C), because file systems return either form of a name.
    /// * A worktree in a folder that is usual for them (`.claude/worktrees/NAME`, `../REPOSITORY-worktrees/NAME`) becomes its
    ///   repository.
    ///
    /// `None` if nothing remains, such as for an empty text.
    #[must_use]
    pub fn of(directory: &str) -> Option<Self> {
        let directory: String = directory.nfc().collect();
        let (style, directory) = Style::of(&directory);
        let (root, rest) = style.split(directory);
        let parts: Vec<&str> =
            rest.split(|c: char| style.separates(c)).filter(|part| !matches!(*part, "" | ".")).collect();
        // The names of a server and of a share have no case.
        let shared = if style == Style::Share { parts.len().min(2) } else { 0 };
        let lower: Vec<String> = parts.iter().take(shared).map(|part| part.to_lowercase()).collect();
        let parts = lower.iter().map(String::as_str).chain(parts.iter().skip(shared).copied()).collect();
        let (parts, worktree) = without_worktree(parts);
        let name = match (parts.last(), root.as_str()) {
            (Some(last), _) => (*last).to_owned(),
            (None, "") => return None,
            (None, root) => root.to_owned(),
        };
        let separator = style.separator();
        let key = match root.as_str() {
            // A drive's root keeps its slash: `C:` is another directory.
            root if root.ends_with(':') => [root, separator, &parts.join(separator)].concat(),
            root => [root, &parts.join(separator)].concat(),
        };
        Some(Self { key, name, worktree: worktree.map(str::to_owned) })
    }
}

/// How a path is written.
#[derive(Clone, Copy, PartialEq)]
enum Style {
    Unix,
    Drive,
    Share,
}

impl Style {
    /// The style of a path, and the path without a prefix that only says how Windows reads it: `\\?\C:\x` is the same
    /// directory as `C:\x`, and `\\?\UNC\server\share` the same as `\\server\share`.
    fn of(path: &str) -> (Self, &str) {
        let prefixes = [r"\\?\", r"\\.\", "//?/", "//./"];
        if let Some(rest) = prefixes.iter().find_map(|prefix| path.strip_prefix(prefix)) {
            return match rest.get(..4) {
                Some(unc) if unc.eq_ignore_ascii_case(r"UNC\") || unc.eq_ignore_ascii_case("UNC/") => {
                    (Self::Share, rest.get(4..).unwrap_or_default())
                }
                _ => Self::of_plain(rest),
            };
        }
        Self::of_plain(path)
    }

    fn of_plain(path: &str) -> (Self, &str) {
        let style = match path.as_bytes() {
            [letter, b':', b'/' | b'\\', ..] | [letter, b':'] if letter.is_ascii_alphabetic() => Self::Drive,
            [b'\\', b'\\', ..] => Self::Share,
            [b'/', b'/', ..] if names_share(path) => Self::Share,
            _ => Self::Unix,
        };
        (style, path)
    }

    fn separates(self, c: char) -> bool {
        c == '/' || (c == '\\' && self != Self::Unix)
    }

    fn separator(self) -> &'static str {
        if self == Self::Unix { "/" } else { "\\" }
    }

    /// The normalized root, and the rest of the path.
    fn split(self, path: &str) -> (String, &str) {
        match self {
            Self::Unix if path.starts_with('/') => ("/".to_owned(), path),
            Self::Unix => (String::new(), path),
            Self::Share => (r"\\".to_owned(), path),
            Self::Drive => {
                let (drive, rest) = path.split_at(2);
                (drive.to_ascii_uppercase(), rest)
            }
        }
    }
}

/// Whether a path that begins with two slashes names a server, a share and a directory in it.
fn names_share(path: &str) -> bool {
    let mut parts = path.trim_start_matches('/').split('/').filter(|part| !part.is_empty());
    let server = parts.next().unwrap_or_default();
    !path.starts_with("///") && !UNIX_FOLDERS.contains(&server) && parts.count() >= 2
}

/// Whether these are the parts of a person's home directory: also below `/var`, `/export` or a mounted disk, and of a Linux
/// that Windows shares (`\\wsl.localhost\Ubuntu\home\ana`).
fn is_home(parts: &[&str]) -> bool {
    matches!(parts, [.., "home" | "Users", _] if parts.len() <= 4) || matches!(parts, ["root" | "~"])
}

/// The parts of the repository, and the name of the worktree, if the parts are those of a worktree.
fn without_worktree(mut parts: Vec<&str>) -> (Vec<&str>, Option<&str>) {
    for name in WORKTREE_FOLDERS {
        let folder: Vec<&str> = name.split('/').collect();
        // A repository precedes the folder, and the worktree follows.
        let at = parts.windows(folder.len()).position(|window| window == folder).filter(|at| {
            let repository = parts.get(..*at).unwrap_or_default();
            let is_ambiguous = name == ANY_WORKTREES && is_home(repository);
            !is_ambiguous && !repository.is_empty()
        });
        if let Some(at) = at
            && let Some(name) = parts.get(at + folder.len()).copied()
        {
            parts.truncate(at);
            return (parts, Some(name));
        }
    }
    let beside =
        |part: &str| part.strip_suffix(WORKTREES_BESIDE).is_some_and(|repository| !repository.is_empty());
    if let Some(at) = parts.iter().position(|part| beside(part))
        && let Some(name) = parts.get(at + 1).copied()
    {
        parts.truncate(at + 1);
        if let Some(last) = parts.last_mut() {
            *last = last.strip_suffix(WORKTREES_BESIDE).unwrap_or(last);
        }
        return (parts, Some(name));
    }
    (parts, None)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::ProjectPath;

    fn key(directory: &str) -> Option<String> {
        ProjectPath::of(directory).map(|path| path.key)
    }

    #[test]
    fn spellings_of_one_directory_have_one_key() {
        for (directory, expected, name) in [
            ("/home/ana/shop", "/home/ana/shop", "shop"),
            ("/home/ana/shop/", "/home/ana/shop", "shop"),
            ("/home//ana/./shop///", "/home/ana/shop", "shop"),
            ("/", "/", "/"),
            ("~/shop", "~/shop", "shop"),
            (r"C:\Users\ana\shop", r"C:\Users\ana\shop", "shop"),
            (r"c:\Users\ana\shop", r"C:\Users\ana\shop", "shop"),
            (r"c:\Users\ana\shop\", r"C:\Users\ana\shop", "shop"),
            ("c:/Users/ana/shop", r"C:\Users\ana\shop", "shop"),
            (r"\\?\c:\Users\ana\shop", r"C:\Users\ana\shop", "shop"),
            (r"c:\", r"C:\", "C:"),
            (r"\\server\share\shop\", r"\\server\share\shop", "shop"),
            (r"\\SERVER\Share\Shop", r"\\server\share\Shop", "Shop"),
            ("//server/share/shop/", r"\\server\share\shop", "shop"),
            (r"\\?\UNC\server\share\shop", r"\\server\share\shop", "shop"),
            (r"\\?\unc\SERVER\share\shop\", r"\\server\share\shop", "shop"),
            ("//?/UNC/server/share/shop", r"\\server\share\shop", "shop"),
            ("//?/c:/Users/ana/shop", r"C:\Users\ana\shop", "shop"),
            (r"\\.\C:\x", r"C:\x", "x"),
            ("//home/ana/shop", "/home/ana/shop", "shop"),
            ("///server/share/shop", "/server/share/shop", "shop"),
            ("//", "/", "/"),
            ("/home/ana/cafe\u{301}", "/home/ana/caf\u{e9}", "caf\u{e9}"),
            (r"/home/ana/a\b", r"/home/ana/a\b", r"a\b"),
            ("/home/ana/新聞", "/home/ana/新聞", "新聞"),
        ] {
            let path = ProjectPath::of(directory).unwrap();
            assert_eq!(
                (path.key.as_str(), path.name.as_str(), path.worktree),
                (expected, name, None),
                "{directory}"
            );
        }
        for other in ["", ".", "./"] {
            assert_eq!(key(other), None, "{other:?}");
        }
        for (one, other) in [("/a/b", "/a/B"), ("/a/b_c", "/a/b-c"), (r"C:\a", "D:\\a"), ("/a", "a")] {
            assert_ne!(key(one), key(other), "{one} {other}");
        }
    }

    #[test]
    fn worktrees_are_their_repository() {
        for (directory, repository, worktree) in [
            ("/home/ana/shop/.claude/worktrees/fix-login", "/home/ana/shop", "fix-login"),
            ("/home/ana/shop/.claude/worktrees/fix-login/crates/a", "/home/ana/shop", "fix-login"),
            ("/home/ana/shop/.worktrees/x/", "/home/ana/shop", "x"),
            ("/home/ana/shop/worktrees/x", "/home/ana/shop", "x"),
            ("/r/app/worktrees/y", "/r/app", "y"),
            (r"\\SRV\share\shop\.worktrees\x", r"\\srv\share\shop", "x"),
            ("/home/ana/shop-worktrees/x/src", "/home/ana/shop", "x"),
            (r"c:\src\shop\.claude\worktrees\x", r"C:\src\shop", "x"),
        ] {
            let path = ProjectPath::of(directory).unwrap();
            assert_eq!(
                (path.key.as_str(), path.worktree.as_deref()),
                (repository, Some(worktree)),
                "{directory}"
            );
        }
        for other in [
            "/worktrees/x",
            "/home/ana/worktrees",
            "/home/ana/worktrees/x",
            r"C:\Users\ana\worktrees\x",
            "/var/home/ana/worktrees/x",
            "/export/home/ana/worktrees/x",
            "/mnt/c/Users/ana/worktrees/x",
            r"\\wsl.localhost\Ubuntu\home\ana\worktrees\x",
            "/home/ana/shop/.claude",
            "worktrees/x",
            "/a/-worktrees/x",
            "/a/b-worktrees",
        ] {
            assert_eq!(ProjectPath::of(other).unwrap().worktree, None, "{other}");
        }
    }

    proptest! {
        #[test]
        fn a_key_is_its_own_key(directory in "(/|//|[a-cC]:[/\\\\]|\\\\\\\\|\\\\\\\\\\?\\\\(UNC\\\\)?)([a-cC]:|~|[/\\\\.]|worktrees|\\.claude|x|é| ){0,12}") {
            if let Some(path) = ProjectPath::of(&directory) {
                prop_assert!(!path.name.is_empty());
                if path.worktree.is_none() {
                    prop_assert_eq!(key(&path.key), Some(path.key.clone()), "{}", directory);
                }
            }
        }

        #[test]
        fn slashes_at_the_end_and_the_case_of_a_drive_do_not_matter(parts in prop::collection::vec("[a-z]{1,4}", 1..4), slashes in "[/\\\\]{0,3}") {
            let tail = parts.join("\\");
            let wanted = key(&format!("C:\\{tail}"));
            prop_assert_eq!(key(&format!("c:\\{tail}{slashes}")), wanted.clone());
            prop_assert_eq!(key(&format!("c:/{}", parts.join("/"))), wanted);
        }
    }
}
