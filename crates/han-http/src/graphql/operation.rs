//! A GraphQL request as clients write it, in the body of a POST or in the payload of a `subscribe` message.

use async_graphql::{Request, Variables};
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// The most bytes of an operation's variables: parsed values take much more memory than their text.
const MAX_VARIABLES_BYTES: usize = 64 << 10;

/// A request. Members that may be missing may also be null.
#[derive(Deserialize)]
pub(super) struct Operation {
    query: Option<String>,
    #[serde(rename = "operationName")]
    operation_name: Option<String>,
    variables: Option<Box<RawValue>>,
    /// No extension is supported, but the member must be an object.
    #[serde(rename = "extensions")]
    _extensions: Option<Map<String, Value>>,
}

impl Operation {
    /// Reads a body that holds one request.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn parse(body: &[u8]) -> Result<Request, String> {
        serde_json::from_slice::<Self>(body).map_err(|err| malformed(&err)).and_then(Self::into_request)
    }

    /// The request for the schema.
    ///
    /// # Errors
    /// If there is no document, or the variables are malformed or too large.
    pub(super) fn into_request(self) -> Result<Request, String> {
        let mut request = Request::new(self.query.unwrap_or_default());
        request.operation_name = self.operation_name;
        if let Some(variables) = self.variables {
            let text = variables.get();
            if text.len() > MAX_VARIABLES_BYTES {
                return Err(format!(
                    "`variables` have {} bytes and may have at most {MAX_VARIABLES_BYTES}: ask for less at once",
                    text.len()
                ));
            }
            let variables: Map<String, Value> =
                serde_json::from_str(text).map_err(|err| format!("`variables` must be an object: {err}"))?;
            request.variables = Variables::from_json(Value::Object(variables));
        }
        with_document(request)
    }
}

/// Reads the query string of a GET: `query`, `operationName`, `variables` and `extensions`, the last two as JSON
/// (graphql.github.io/graphql-over-http, section "GET").
///
/// # Errors
/// What is wrong with it.
pub(super) fn parse_query_string(query: &str) -> Result<Request, String> {
    let malformed = |what: &str| format!("the query string is malformed: {what}");
    let decoded = |text: &str| {
        let spaced = text.replace('+', " ");
        percent_decode_str(&spaced).decode_utf8().map(|text| text.into_owned())
    };
    let mut operation = Operation { query: None, operation_name: None, variables: None, _extensions: None };
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (Ok(name), Ok(value)) = (decoded(name), decoded(value)) else {
            return Err(malformed("it is not UTF-8"));
        };
        match name.as_str() {
            "query" => operation.query = Some(value),
            "operationName" => operation.operation_name = Some(value).filter(|name| !name.is_empty()),
            "variables" if !value.is_empty() => {
                let variables = RawValue::from_string(value);
                operation.variables =
                    Some(variables.map_err(|err| malformed(&format!("`variables` is not JSON: {err}")))?);
            }
            "extensions" if !value.is_empty() => {
                operation._extensions = serde_json::from_str(&value)
                    .map_err(|err| malformed(&format!("`extensions` must be an object: {err}")))?;
            }
            _ => {}
        }
    }
    operation.into_request()
}

/// What is wrong with a body that is no request.
pub(super) fn malformed(err: &serde_json::Error) -> String {
    format!("the body is not a GraphQL request: {err}")
}

fn with_document(request: Request) -> Result<Request, String> {
    if request.query.trim().is_empty() {
        return Err("`query` is missing: it must hold a GraphQL document".to_owned());
    }
    Ok(request)
}
