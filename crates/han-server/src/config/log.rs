//! What is logged, and how.

use han_http::system::LogFormat;

use super::variable::{Choice, Describe, Required, Variable, VariableReader};

const FILTER: Variable<Required<String>> = Variable {
    name: "HAN_LOG",
    about: "what is logged, as a filter of tracing's EnvFilter; without it, RUST_LOG applies",
    kind: Required {
        default: || "info,sqlx=warn".to_owned(),
        accepted: "a filter such as info,han_server=debug",
        parse: |text| Some(text.to_owned()),
    },
};

const FORMAT: Variable<Choice<LogFormat>> = Variable {
    name: "HAN_LOG_FORMAT",
    about: "the format of log lines",
    kind: Choice { default: ("text", LogFormat::Text), others: &[("json", LogFormat::Json)] },
};

pub(super) const VARIABLES: &[&dyn Describe] = &[&FILTER, &FORMAT];

/// The log. Read before everything else, so that problems with the rest can be logged.
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// `HAN_LOG`, else `RUST_LOG`, else a default.
    pub filter: String,
    /// `HAN_LOG_FORMAT`.
    pub format: LogFormat,
}

impl LogConfig {
    /// Reads the log's variables; an invalid value counts as not set. [`super::Config::load`] reports it.
    #[must_use]
    pub fn load(lookup: &dyn Fn(&str) -> Option<String>) -> Self {
        Self::read(&mut VariableReader::new(lookup))
    }

    pub(super) fn read(reader: &mut VariableReader<'_>) -> Self {
        let is_set = reader.text(FILTER.name).is_some();
        let rust_log = reader.own_text("RUST_LOG").filter(|_| !is_set);
        let filter = reader.value(&FILTER);
        Self { filter: rust_log.unwrap_or(filter), format: reader.value(&FORMAT) }
    }
}
