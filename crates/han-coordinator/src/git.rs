//! Reads a repository's remote from git's files (gitrepository-layout(5), git-config(1)). Never runs git, because the
//! transcript chooses the directory, and a repository's configuration can name programs that git runs.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Component, Path, PathBuf};

/// The maximum size of a configuration file that is read.
const MAX_CONFIG_BYTES: u64 = 1 << 20;

/// The `origin` remote of the repository that contains `directory`, without credentials; `None` if this machine has no
/// such repository.
pub(crate) fn remote_of(directory: &str) -> Option<String> {
    let directory = Path::new(directory);
    if !directory.is_absolute() {
        return None;
    }
    let dot_git = directory.ancestors().map(|at| at.join(".git")).find(|at| at.exists())?;
    let config = read_small(&common_directory(&dot_git)?.join("config"))?;
    without_credentials(&origin_url(&config)?)
}

/// The main worktree of the repository, if `directory` is in a linked one (git-worktree(1)).
pub(crate) fn main_worktree_of(directory: &str) -> Option<String> {
    let directory = Path::new(directory);
    if !directory.is_absolute() {
        return None;
    }
    let dot_git = directory.ancestors().map(|at| at.join(".git")).find(|at| at.exists())?;
    if dot_git.is_dir() {
        return None;
    }
    let link = read_small(&dot_git)?;
    let git_dir = dot_git.parent()?.join(link.strip_prefix("gitdir:")?.trim());
    // A submodule has no `commondir`.
    let common = git_dir.join(read_small(&git_dir.join("commondir"))?.trim());
    let common = without_dots(&common);
    // A bare repository has no main worktree.
    let main = if common.file_name()? == ".git" { common.parent()? } else { return None };
    main.to_str().map(str::to_owned)
}

/// The path without `.` and `..`, by its text: its links must not be resolved, because transcripts name them.
fn without_dots(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => drop(plain.pop()),
            part => plain.push(part),
        }
    }
    plain
}

/// The directory of the configuration: `.git`; for a worktree or submodule, the directory that its `gitdir:` line
/// names, and from there `commondir` of a worktree.
fn common_directory(dot_git: &Path) -> Option<PathBuf> {
    if dot_git.is_dir() {
        return Some(dot_git.to_owned());
    }
    let link = read_small(dot_git)?;
    let git_dir = dot_git.parent()?.join(link.strip_prefix("gitdir:")?.trim());
    match read_small(&git_dir.join("commondir")) {
        Some(common) => Some(git_dir.join(common.trim())),
        None => Some(git_dir),
    }
}

/// Reads a regular file. Other files are not opened, because reading a named pipe could block forever.
fn read_small(path: &Path) -> Option<String> {
    if !fs::metadata(path).ok()?.is_file() {
        return None;
    }
    let mut text = String::new();
    File::open(path).ok()?.take(MAX_CONFIG_BYTES).read_to_string(&mut text).ok()?;
    Some(text)
}

/// `url` in `[remote "origin"]`. Section and key are case-insensitive; git fetches from the first `url`.
fn origin_url(config: &str) -> Option<String> {
    let mut in_origin = false;
    for line in config.lines().map(str::trim) {
        if let Some(header) = line.strip_prefix('[') {
            let header = header.split(']').next().unwrap_or_default();
            let mut words = header.splitn(2, char::is_whitespace);
            in_origin = words.next().is_some_and(|section| section.eq_ignore_ascii_case("remote"))
                && words.next().is_some_and(|name| name.trim() == "\"origin\"");
        } else if in_origin
            && let Some((key, value)) = line.split_once('=')
            && key.trim().eq_ignore_ascii_case("url")
        {
            return Some(config_value(value));
        }
    }
    None
}

/// A value without quotes, escapes and trailing comment.
fn config_value(text: &str) -> String {
    let mut value = String::new();
    let mut quoted = false;
    let mut chars = text.trim().chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => quoted = !quoted,
            '\\' => value.extend(chars.next()),
            '#' | ';' if !quoted => break,
            _ => value.push(c),
        }
    }
    value.trim().to_owned()
}

/// A remote that may be shown to the team. Removes user names and passwords of http remotes (hosting services accept a
/// token in both), passwords of other schemes, queries and fragments. Returns `None` for unknown formats.
fn without_credentials(remote: &str) -> Option<String> {
    if remote.is_empty() || remote.chars().any(char::is_control) {
        return None;
    }
    let Some((scheme, rest)) = remote.split_once("://") else {
        // `host:path`, `user@host:path` or a path. The address of a transport helper (`ext::…`) may be any text, and a
        // colon before the `@` indicates a password.
        let before_path = remote.split('/').next().unwrap_or_default();
        let user = before_path.rsplit_once('@').map_or("", |(user, _)| user);
        return (!remote.contains("::") && !user.contains(':')).then(|| remote.to_owned());
    };
    let keeps_user = match scheme.to_ascii_lowercase().as_str() {
        "http" | "https" | "ftp" | "ftps" => false,
        "ssh" | "git" | "git+ssh" | "ssh+git" | "file" => true,
        _ => return None,
    };
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    // An unescaped slash in a password ends the authority too early; then the port is no number.
    let port = if host.ends_with(']') { "" } else { host.rsplit_once(':').map_or("", |(_, port)| port) };
    if !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let user = user.split(':').next().filter(|user| keeps_user && !user.is_empty());
    let user = user.map(|user| format!("{user}@")).unwrap_or_default();
    Some(format!("{scheme}://{user}{host}{path}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a broken helper should fail the test")]
mod tests {
    use std::fs;

    use super::{main_worktree_of, origin_url, without_credentials};

    #[test]
    fn the_main_worktree_of_a_linked_one_is_found_in_its_files() {
        let home = tempfile::tempdir().unwrap();
        let at = |path: &str| home.path().join(path);
        for directory in [
            "shop/.git/worktrees/try",
            "shop/.git/modules/lib",
            "shop/lib",
            "try/src",
            "bare.git/worktrees/b",
            "b",
        ] {
            fs::create_dir_all(at(directory)).unwrap();
        }
        let git_dir = |path: &str| format!("gitdir: {}\n", at(path).display());
        fs::write(at("try/.git"), git_dir("shop/.git/worktrees/try")).unwrap();
        fs::write(at("shop/.git/worktrees/try/commondir"), "../..\n").unwrap();
        fs::write(at("shop/lib/.git"), "gitdir: ../.git/modules/lib\n").unwrap();
        fs::write(at("b/.git"), git_dir("bare.git/worktrees/b")).unwrap();
        fs::write(at("bare.git/worktrees/b/commondir"), "../..\n").unwrap();
        let main = |path: &str| main_worktree_of(at(path).to_str().unwrap());
        assert_eq!(main("try/src"), Some(at("shop").to_str().unwrap().to_owned()));
        for other in ["shop", "shop/lib", "b", "nowhere"] {
            assert_eq!(main(other), None, "{other}");
        }
        assert_eq!(main_worktree_of("relative"), None);
    }

    #[test]
    fn without_credentials_removes_only_credentials() {
        for (given, kept) in [
            ("https://github.com/o/r.git", Some("https://github.com/o/r.git")),
            ("https://ghp_secret@github.com/o/r.git", Some("https://github.com/o/r.git")),
            ("https://u:secret@github.com:8443/o/r", Some("https://github.com:8443/o/r")),
            ("https://u:sec@ret@github.com/o/r", Some("https://github.com/o/r")),
            ("https://u:sec/ret@github.com/o/r", None),
            ("https://github.com/o/r?private_token=secret#x", Some("https://github.com/o/r")),
            ("https://[::1]:8080/o/r", Some("https://[::1]:8080/o/r")),
            ("https://[::1]/o/r", Some("https://[::1]/o/r")),
            ("https://host/@scope/r", Some("https://host/@scope/r")),
            ("ssh://git@host:22/o/r", Some("ssh://git@host:22/o/r")),
            ("ssh://git:secret@host/o/r", Some("ssh://git@host/o/r")),
            ("git@github.com:o/r.git", Some("git@github.com:o/r.git")),
            ("git:secret@github.com:o/r.git", None),
            ("ext::sh -c secret", None),
            ("/srv/git/r.git", Some("/srv/git/r.git")),
            ("file:///srv/git/r.git", Some("file:///srv/git/r.git")),
            ("odd://secret", None),
            ("", None),
        ] {
            assert_eq!(without_credentials(given).as_deref(), kept, "{given}");
        }
    }

    #[test]
    fn origin_url_is_the_first_url_of_origin() {
        let config = "[core]\n\turl = no\n[remote \"upstream\"]\n\turl = no\n[Remote \"origin\"]\n\tfetch = x\n\
                      \tURL = \"https://h/o/r\" ; note\n\turl = second\n";
        assert_eq!(origin_url(config).as_deref(), Some("https://h/o/r"));
        assert_eq!(origin_url("[remote \"Origin\"]\nurl = x"), None);
        assert_eq!(origin_url("[remote\nurl"), None);
    }
}
