//! The file changes that tool uses request.
//!
//! Lines are counted in the tool use's input, not in the patch that its result may contain. Every version writes the
//! input, and so do subagents, whose results have no patch; so the counts do not depend on whether the result has
//! arrived. The disadvantage: the input does not tell what a `Write` replaces and how often a `replace_all` matches. A
//! `Write` therefore removes 0 lines, and a `replace_all` counts once.

use std::collections::HashMap;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::MAX_ITEMS;
use crate::json::{self, Object};
use crate::text::{MAX_PATH, label};

/// What happened to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileAction {
    /// It was created.
    Created,
    /// Its content changed.
    Modified,
    /// It was deleted.
    Deleted,
}

impl FileAction {
    /// The GraphQL name, which is also the stored one.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Modified => "modified",
            Self::Deleted => "deleted",
        }
    }
}

/// A text that names no [`FileAction`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a file action: expected created, modified or deleted")]
pub struct UnknownFileAction;

impl FromStr for FileAction {
    type Err = UnknownFileAction;

    fn from_str(s: &str) -> Result<Self, UnknownFileAction> {
        match s {
            "created" => Ok(Self::Created),
            "modified" => Ok(Self::Modified),
            "deleted" => Ok(Self::Deleted),
            _ => Err(UnknownFileAction),
        }
    }
}

/// A change that a tool use requests. It counts unless the call failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileChangeRecord {
    /// The file.
    pub path: String,
    /// The tool: `Write`, `Edit`, `MultiEdit` or `NotebookEdit`.
    pub tool_name: String,
    /// The action, as far as the input determines it: a `Write` and an edit of empty text create the file. The
    /// result's `file_action` takes precedence.
    pub action: FileAction,
    /// The number of lines in the new text that are not in the old text.
    pub lines_added: i64,
    /// The number of lines in the old text that are not in the new text.
    pub lines_removed: i64,
    /// The tool use.
    pub call_id: String,
}

impl FileChangeRecord {
    pub(crate) fn read(tool_name: &str, call_id: &str, input: &Object<'_>) -> Option<Self> {
        let path_field = if tool_name == "NotebookEdit" { "notebook_path" } else { "file_path" };
        let path = || input.text(path_field).and_then(|path| label(&path, MAX_PATH));
        let (action, (added, removed)) = match tool_name {
            "Write" => (FileAction::Created, changed_lines("", &input.text("content")?)),
            "Edit" => Self::edit(input),
            "MultiEdit" => {
                let edits = input.list("edits")?;
                let edits: Vec<_> =
                    edits.into_iter().filter_map(json::object).map(|edit| Self::edit(&edit)).collect();
                let created = edits.first().is_some_and(|(action, _)| *action == FileAction::Created);
                let sum = edits.iter().fold((0, 0), |sum, (_, lines)| (sum.0 + lines.0, sum.1 + lines.1));
                (if created { FileAction::Created } else { FileAction::Modified }, sum)
            }
            // The input does not contain the old cell, so the number of removed lines is unknown.
            "NotebookEdit" => {
                let deletes = input.text("edit_mode").is_some_and(|mode| mode == "delete");
                let source = if deletes { None } else { input.text("new_source") };
                (FileAction::Modified, changed_lines("", &source.unwrap_or_default()))
            }
            _ => return None,
        };
        Some(Self {
            path: path()?,
            tool_name: tool_name.to_owned(),
            action,
            lines_added: added,
            lines_removed: removed,
            call_id: call_id.to_owned(),
        })
    }

    fn edit(input: &Object<'_>) -> (FileAction, (i64, i64)) {
        let old = input.text("old_string").unwrap_or_default();
        let new = input.text("new_string").unwrap_or_default();
        let action = if old.is_empty() { FileAction::Created } else { FileAction::Modified };
        (action, changed_lines(&old, &new))
    }
}

/// The number of lines added and removed between two texts, compared as multisets. A moved line counts as neither,
/// because finding moves takes quadratic time, and a hostile transcript chooses the texts.
fn changed_lines(old: &str, new: &str) -> (i64, i64) {
    let mut balance: HashMap<&str, i64> = HashMap::new();
    for line in new.lines() {
        *balance.entry(line).or_default() += 1;
    }
    for line in old.lines() {
        *balance.entry(line).or_default() -= 1;
    }
    balance.values().fold((0, 0), |(added, removed), &n| (added + n.max(0), removed - n.min(0)))
}

/// The action that a file tool's structured result reports.
pub(super) fn result_action(result: &Object<'_>) -> Option<FileAction> {
    result.raw("filePath")?;
    match &*result.text("type").unwrap_or_default() {
        "create" => Some(FileAction::Created),
        "update" => Some(FileAction::Modified),
        _ => None,
    }
}

/// Limits the number of rows that a hostile line projects to.
pub(super) fn bounded<T>(items: impl Iterator<Item = T>) -> Vec<T> {
    items.take(MAX_ITEMS).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::changed_lines;

    #[test]
    fn changed_lines_compares_multisets() {
        assert_eq!(changed_lines("", "a\nb\n"), (2, 0));
        assert_eq!(changed_lines("a\nb\nc", "a\nx\nc"), (1, 1));
        assert_eq!(changed_lines("a\na\na", "a"), (0, 2));
        assert_eq!(changed_lines("a\nb", "b\na"), (0, 0));
        assert_eq!(changed_lines("ä\r\nö", "ä\nö"), (0, 0));
    }

    proptest! {
        #[test]
        fn added_minus_removed_is_the_difference_in_line_count(old in "[ab\n]{0,40}", new in "[ab\n]{0,40}") {
            let (added, removed) = changed_lines(&old, &new);
            let count = |text: &str| i64::try_from(text.lines().count()).unwrap();
            prop_assert_eq!(added - removed, count(&new) - count(&old));
            prop_assert_eq!(changed_lines(&new, &old), (removed, added));
        }
    }
}
