//! Invariants that hold for every line.
#![allow(
    dead_code,
    clippy::panic,
    reason = "each test binary uses its part; a broken invariant fails its test"
)]

use han_transcript::record::{LineContext, MAX_ITEMS, MAX_TOKENS, project, project_all};
use han_transcript::view::{HEAD_SEARCH_CHARS, MessageView, results, search_text, view, view_all};
use han_transcript::{MessageKind, line_text};

pub(crate) const AT: LineContext<'static> = LineContext { session_id: "session", transcript: "main" };

/// Parses a line with every public function and checks the invariants.
pub(crate) fn check(line: &str) {
    let record = project(line, &AT);
    let shown = view(line);
    assert_eq!(record.kind, shown.kind(), "record and view disagree on {line:?}");
    assert_eq!(record, project(line, &AT), "not deterministic: {line:?}");
    assert_eq!(record.nests, record.kind.nests() || shown.is_blank());

    let clean = |text: &str, max: usize| {
        assert!(!text.contains(char::is_control), "{text:?} of {line:?}");
        assert!(text.chars().count() <= max, "{} characters of {line:?}", text.chars().count());
    };
    assert!(!record.uuid.is_empty());
    clean(&record.uuid, 128);
    clean(&record.line_type, 64);
    for text in [&record.subtype, &record.role, &record.version].into_iter().flatten() {
        clean(text, 64);
    }
    for text in [&record.parent_uuid, &record.agent_id].into_iter().flatten() {
        clean(text, 128);
    }
    for text in [&record.model, &record.tool_name, &record.git_branch, &record.slug].into_iter().flatten() {
        clean(text, 256);
    }
    record.cwd.iter().for_each(|text| clean(text, 4096));
    for tool in &record.tool_uses {
        clean(&tool.call_id, 128);
        clean(&tool.name, 256);
    }
    for change in &record.file_changes {
        clean(&change.path, 4096);
        assert!(change.lines_added >= 0 && change.lines_removed >= 0);
        assert!(record.tool_uses.iter().any(|tool| tool.call_id == change.call_id));
    }
    assert!(record.usage.is_some() || record.other_usage.is_empty());
    for usage in record.usages() {
        clean(&usage.message_id, 133);
        for count in
            [usage.input, usage.output, usage.cache_read, usage.cache_creation_5m, usage.cache_creation_1h]
        {
            assert!((0..=MAX_TOKENS).contains(&count), "{count} of {line:?}");
        }
    }
    assert!(record.subagents.len() <= record.tool_uses.len());
    for count in [record.tool_uses.len(), record.results.len(), record.file_changes.len()] {
        assert!(count <= MAX_ITEMS);
    }
    record.summary.iter().for_each(|summary| clean(&summary.text, 500));
    record.title.iter().for_each(|title| clean(&title.text, 500));
    if record.turn {
        assert!(matches!(record.kind, MessageKind::RegularUser | MessageKind::CommandUser));
    }

    let head = shown.head();
    let words = search_text(line, usize::MAX);
    let head_words: String = words.chars().take(HEAD_SEARCH_CHARS).collect();
    assert!(!words.contains('\0'));
    let all = project_all(line, &AT);
    assert_eq!(all.records.first(), Some(&record));
    assert_eq!(all.records.len(), view_all(line).len());
    if all.records.len() == 1 {
        assert_eq!(head.search_text.clone().unwrap_or_default(), head_words);
        if let MessageView::ToolResultUser(user) = &shown {
            assert_eq!(results(line, 0).len(), user.content_blocks.len());
        }
    }

    // A line is sent as itself if it is an object, else as a JSON string.
    let is_object = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(line).is_ok();
    let body = if is_object { line.to_owned() } else { serde_json::Value::from(line).to_string() };
    assert_eq!(line_text(&body), line);
}
