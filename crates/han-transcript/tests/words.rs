//! Tests the rules for words on examples, which the dashboard's tests read, too: each is a text, a query, and the text with
//! the query's words marked; null if the text does not match.
#![allow(clippy::unwrap_used, reason = "a helper fails its test by panicking")]

use han_transcript::view::search_text;
use han_transcript::words::{LineFilter, Query};
use serde_json::json;

#[test]
fn texts_match_as_in_the_examples_that_the_dashboard_marks() {
    let examples: Vec<(String, String, Option<String>)> =
        serde_json::from_str(include_str!("words.json")).unwrap();
    for (text, words, marked) in examples {
        let query = Query::parse(&words).unwrap();
        assert_eq!(query.find(&text).is_some(), marked.is_some(), "{words:?} in {text:?}");
        let line = json!({"type": "user", "message": {"role": "user", "content": text}}).to_string();
        assert_eq!(search_text(&line, usize::MAX), text);
        assert!(marked.is_none() || LineFilter::new(&query).may_match(&line), "{words:?} in {line}");
    }
}
