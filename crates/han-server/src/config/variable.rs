//! Environment variables as constants: a name, a description and a kind, which says how the text is parsed, which values
//! are accepted and what applies while the variable is not set. Defaults, error messages, `--help` and
//! docs/CONFIGURATION.md all come from these constants. The variables themselves are in the files of their sections.

use std::fmt::Display;
use std::str::FromStr;

use han_http::secrets_file;
use secrecy::SecretString;

/// One environment variable.
pub(super) struct Variable<K> {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) kind: K,
}

/// How a variable becomes a value.
pub(super) trait Kind {
    type Value;

    /// The value while the variable is not set.
    fn unset(&self) -> Self::Value;

    /// The value of a text; `None` if the text is not accepted.
    fn parse(&self, text: &str) -> Option<Self::Value>;

    /// The accepted values, to complete the sentence "it must be …".
    fn accepted(&self) -> String;
}

/// A whole number from `min` to `max`.
pub(super) struct Number<T> {
    pub(super) default: T,
    pub(super) min: T,
    pub(super) max: T,
}

impl<T: Copy + Display + FromStr + PartialOrd> Kind for Number<T> {
    type Value = T;

    fn unset(&self) -> T {
        self.default
    }

    fn parse(&self, text: &str) -> Option<T> {
        text.trim().parse().ok().filter(|number| (self.min..=self.max).contains(number))
    }

    fn accepted(&self) -> String {
        format!("a whole number from {} to {}", self.min, self.max)
    }
}

/// One of several words.
pub(super) struct Choice<T: 'static> {
    pub(super) default: (&'static str, T),
    pub(super) others: &'static [(&'static str, T)],
}

impl Choice<bool> {
    /// `on` unless it is set to `off`.
    pub(super) const ON: Self = Self { default: ("on", true), others: &[("off", false)] };
}

impl<T: Copy> Choice<T> {
    fn words(&self) -> impl Iterator<Item = (&'static str, T)> {
        std::iter::once(self.default).chain(self.others.iter().copied())
    }
}

impl<T: Copy> Kind for Choice<T> {
    type Value = T;

    fn unset(&self) -> T {
        self.default.1
    }

    fn parse(&self, text: &str) -> Option<T> {
        self.words().find(|(word, _)| *word == text.trim()).map(|(_, value)| value)
    }

    fn accepted(&self) -> String {
        self.words().map(|(word, _)| word).collect::<Vec<_>>().join(" or ")
    }
}

/// A value with a default.
pub(super) struct Required<T> {
    pub(super) default: fn() -> T,
    pub(super) accepted: &'static str,
    pub(super) parse: fn(&str) -> Option<T>,
}

impl<T> Kind for Required<T> {
    type Value = T;

    fn unset(&self) -> T {
        (self.default)()
    }

    fn parse(&self, text: &str) -> Option<T> {
        (self.parse)(text)
    }

    fn accepted(&self) -> String {
        self.accepted.to_owned()
    }
}

/// A value that may be absent. `unset` describes, for the reference, what applies then.
pub(super) struct Optional<T> {
    pub(super) unset: &'static str,
    pub(super) accepted: &'static str,
    pub(super) parse: fn(&str) -> Option<T>,
}

impl<T> Kind for Optional<T> {
    type Value = Option<T>;

    fn unset(&self) -> Option<T> {
        None
    }

    fn parse(&self, text: &str) -> Option<Option<T>> {
        (self.parse)(text).map(Some)
    }

    fn accepted(&self) -> String {
        self.accepted.to_owned()
    }
}

/// A secret: never shown.
pub(super) struct Secret {
    pub(super) unset: &'static str,
}

/// What the reference says about a kind.
pub(super) trait Documented {
    /// What applies while the variable is not set; empty for nothing.
    fn default_text(&self) -> String;

    /// The accepted values, where the description does not name them.
    fn values(&self) -> String {
        String::new()
    }

    fn is_secret(&self) -> bool {
        false
    }
}

impl<T: Display> Documented for Number<T> {
    fn default_text(&self) -> String {
        self.default.to_string()
    }

    fn values(&self) -> String {
        format!("{} to {}", self.min, self.max)
    }
}

impl<T: Copy> Documented for Choice<T> {
    fn default_text(&self) -> String {
        self.default.0.to_owned()
    }

    fn values(&self) -> String {
        self.words().map(|(word, _)| word).collect::<Vec<_>>().join(", ")
    }
}

impl<T: Display> Documented for Required<T> {
    fn default_text(&self) -> String {
        (self.default)().to_string()
    }
}

impl<T> Documented for Optional<T> {
    fn default_text(&self) -> String {
        self.unset.to_owned()
    }
}

impl Documented for Secret {
    fn default_text(&self) -> String {
        self.unset.to_owned()
    }

    fn is_secret(&self) -> bool {
        true
    }
}

/// A variable as the reference shows it.
#[derive(Clone, Debug)]
pub struct Description {
    /// The name.
    pub name: &'static str,
    /// What the variable does.
    pub about: &'static str,
    /// The accepted values, where `about` does not name them; else empty.
    pub values: String,
    /// What applies while it is not set; empty for nothing.
    pub default: String,
    /// Whether it is a secret.
    pub secret: bool,
}

/// A variable of any kind, as an entry of a section's table.
pub(super) trait Describe {
    fn describe(&self) -> Description;
}

impl<K: Documented> Describe for Variable<K> {
    fn describe(&self) -> Description {
        Description {
            name: self.name,
            about: self.about,
            values: self.kind.values(),
            default: self.kind.default_text(),
            secret: self.kind.is_secret(),
        }
    }
}

/// Reads variables and collects every problem, so that an operator sees all of them at once.
pub(super) struct VariableReader<'a> {
    lookup: &'a dyn Fn(&str) -> Option<String>,
    problems: Vec<String>,
    notices: Vec<String>,
}

impl<'a> VariableReader<'a> {
    /// `lookup` is the environment.
    pub(super) fn new(lookup: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self { lookup, problems: Vec::new(), notices: Vec::new() }
    }

    /// The value of a variable. If its text is not accepted, that is a problem, and the value is that of an unset one.
    pub(super) fn value<K: Kind>(&mut self, variable: &Variable<K>) -> K::Value {
        let Some(text) = self.text(variable.name) else { return variable.kind.unset() };
        variable.kind.parse(&text).unwrap_or_else(|| {
            self.problem(format!("{} is {text:?}: it must be {}", variable.name, variable.kind.accepted()));
            variable.kind.unset()
        })
    }

    /// A secret.
    pub(super) fn secret(&mut self, variable: &Variable<Secret>) -> Option<SecretString> {
        self.read_text(variable.name, true).map(SecretString::from)
    }

    /// The text of a variable, or of the file that the variable with the suffix `_FILE` names.
    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        self.read_text(name, false)
    }

    fn read_text(&mut self, name: &str, is_secret: bool) -> Option<String> {
        let file_variable = format!("{name}_FILE");
        match (self.own_text(name), self.own_text(&file_variable)) {
            (Some(_), Some(_)) => {
                self.problem(format!("{name} and {file_variable} are both set: set one of them"));
                None
            }
            (Some(text), None) => Some(text),
            (None, Some(path)) => match self.read_file(&file_variable, &path, is_secret) {
                Ok(text) if text.trim().is_empty() => {
                    self.problem(format!(
                        "{file_variable} is {path:?}: the file is empty, write the value of {name} into it"
                    ));
                    None
                }
                // Files end with a newline.
                Ok(text) => Some(text.trim_end_matches(['\r', '\n']).to_owned()),
                Err(error) => {
                    self.problem(format!(
                        "{file_variable} is {path:?}: the file cannot be read ({error}), name one that can"
                    ));
                    None
                }
            },
            (None, None) => None,
        }
    }

    /// Reads the file of a variable. The file of a secret that others may write is a problem; one that every account of the
    /// machine may read is mentioned, because platforms mount secrets like that.
    fn read_file(&mut self, variable: &str, path: &str, is_secret: bool) -> std::io::Result<String> {
        let text = std::fs::read_to_string(path)?;
        #[cfg(unix)]
        if is_secret {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = std::fs::metadata(path)?.permissions().mode() & 0o777;
            if let Some(dir) = secrets_file::open_directory(std::path::Path::new(path)) {
                self.problem(format!(
                    "{variable} is {path:?}, and others may replace the file: run `chmod o-w {}`, and make a new \
                     secret if others have",
                    dir.display()
                ));
            } else if mode & 0o022 != 0 {
                self.problem(format!(
                    "{variable} is {path:?}, and others may write the file (mode {mode:04o}): run `chmod 600 {path}`, \
                     and make a new secret if others have written it"
                ));
            } else if mode & 0o004 != 0 {
                self.notice(format!(
                    "{variable} is {path:?}, which every account of this machine may read (mode {mode:04o}): run \
                     `chmod 600 {path}` unless the machine has no other accounts"
                ));
            }
        }
        Ok(text)
    }

    /// The text of the variable itself; an empty one counts as not set.
    pub(super) fn own_text(&self, name: &str) -> Option<String> {
        (self.lookup)(name).filter(|text| !text.trim().is_empty())
    }

    /// Adds a problem: one sentence with the variable, what is wrong and the remedy, but never a secret. A variable that
    /// is read twice has its problem once.
    pub(super) fn problem(&mut self, problem: String) {
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    /// Adds a notice: one sentence about something that works, but that an operator may not have intended.
    pub(super) fn notice(&mut self, notice: String) {
        self.notices.push(notice);
    }

    /// Takes the notices so far.
    pub(super) fn take_notices(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notices)
    }

    /// Whether there is any problem so far.
    pub(super) fn has_problems(&self) -> bool {
        !self.problems.is_empty()
    }

    /// All problems.
    pub(super) fn into_problems(self) -> Vec<String> {
        self.problems
    }
}

#[cfg(test)]
mod tests {
    use super::{Choice, Kind, Number, Variable, VariableReader};

    const LIMIT: Variable<Number<u32>> =
        Variable { name: "LIMIT", about: "", kind: Number { default: 5, min: 1, max: 9 } };

    fn read(text: Option<&str>) -> (u32, Vec<String>) {
        let lookup = |name: &str| text.filter(|_| name == LIMIT.name).map(str::to_owned);
        let mut reader = VariableReader::new(&lookup);
        (reader.value(&LIMIT), reader.into_problems())
    }

    #[test]
    fn an_unset_or_empty_variable_has_its_default() {
        assert_eq!(read(None), (5, vec![]));
        assert_eq!(read(Some(" ")), (5, vec![]));
        assert_eq!(read(Some(" 9 ")), (9, vec![]));
    }

    #[test]
    fn a_value_that_is_not_accepted_is_reported_with_the_accepted_ones() {
        for text in ["0", "10", "-1", "many"] {
            let problem = format!("LIMIT is {text:?}: it must be a whole number from 1 to 9");
            assert_eq!(read(Some(text)), (5, vec![problem]));
        }
    }

    #[test]
    fn a_choice_accepts_its_words_only() {
        assert_eq!(Choice::ON.parse("off"), Some(false));
        assert_eq!(Choice::ON.parse("on"), Some(true));
        assert_eq!(Choice::ON.parse("no"), None);
        assert_eq!(Choice::ON.accepted(), "on or off");
    }
}
