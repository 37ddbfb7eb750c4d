//! Content blocks, as the five types of the GraphQL schema. A block of another type is displayed as text, never
//! dropped.

use std::borrow::Cow;

use crate::json::{self, Object};
use crate::line::{Content, ParsedLine, Part, typed};
use crate::record::FileChangeRecord;
use crate::text::{MAX_ID, MAX_NAME, label, preview, without_nul};
use crate::tool::{self, ToolCategory};
use serde_json::value::RawValue;

use super::image::Image;

/// The length of a thinking block's preview, in characters.
pub const THINKING_PREVIEW_CHARS: usize = 200;
/// The maximum length of a tool result's preview, in characters.
pub const RESULT_PREVIEW_CHARS: usize = 500;
/// The maximum length of a tool result's preview, in lines.
pub const RESULT_PREVIEW_LINES: usize = 10;
/// The maximum length of a tool use's argument, in characters.
const ARGUMENT_CHARS: usize = 300;
/// The names of what tools are applied to. The first one that an input has counts: a search has a pattern and a path, a
/// subagent a description and a prompt.
const ARGUMENTS: [&str; 16] = [
    "command",
    "file_path",
    "notebook_path",
    "pattern",
    "query",
    "url",
    "description",
    "subject",
    "skill",
    "question",
    "path",
    "prompt",
    "taskId",
    "task_id",
    "shell_id",
    "bash_id",
];
/// The maximum length of the displayed JSON of an unknown block, in characters.
const UNKNOWN_BLOCK_CHARS: usize = 2000;

/// A part of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Block {
    /// `TextBlock`
    Text {
        /// The text, in Markdown.
        text: String,
    },
    /// `ThinkingBlock`
    Thinking {
        /// The complete text.
        thinking: String,
        /// Its first [`THINKING_PREVIEW_CHARS`] characters, as one line.
        preview: String,
        /// The model's signature.
        signature: Option<String>,
    },
    /// `ToolUseBlock`
    ToolUse(ToolUse),
    /// `ToolResultBlock`
    ToolResult(ToolResult),
    /// `ImageBlock`
    Image(Image),
}

/// A tool use. Its result has the same `tool_call_id`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolUse {
    /// The id that the result names.
    pub tool_call_id: String,
    /// The tool's name.
    pub name: String,
    /// The input, as JSON.
    pub input: String,
    /// What it is applied to: the beginning of its path, command, pattern or question, as one line.
    pub argument: Option<String>,
    /// The lines that it adds to a file and removes from it, if it edits one.
    pub changed_lines: Option<(i64, i64)>,
    /// The tool's category.
    pub category: ToolCategory,
    /// The tool's display name.
    pub display_name: String,
    /// A lucide icon name.
    pub icon: &'static str,
    /// `#rrggbb`
    pub color: &'static str,
}

/// The result of a tool use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolResult {
    /// The tool use that it answers.
    pub tool_call_id: String,
    /// Its text, without images.
    pub content: String,
    /// Its first [`RESULT_PREVIEW_LINES`] lines, at most [`RESULT_PREVIEW_CHARS`] characters.
    pub preview: String,
    /// Whether the tool failed.
    pub is_error: bool,
    /// Whether the preview is shorter than the content.
    pub is_long: bool,
    /// Whether it contains an image.
    pub has_image: bool,
    /// Its images.
    pub images: Vec<Image>,
}

pub(super) fn blocks(line: &ParsedLine<'_>) -> Vec<Block> {
    match &line.content {
        Content::None => Vec::new(),
        Content::Text(text) => vec![Block::Text { text: without_nul(text.clone()) }],
        Content::Blocks(parts) => parts.iter().map(block).collect(),
    }
}

/// The blocks of what a person typed, without what the harness inserted.
pub(super) fn typed_blocks(line: &ParsedLine<'_>) -> Vec<Block> {
    let typed = |block: Block| match block {
        Block::Text { text } => {
            let kept = typed(&text);
            if kept.len() == text.len() {
                return Some(Block::Text { text });
            }
            (!kept.is_empty()).then(|| Block::Text { text: kept.to_owned() })
        }
        block => Some(block),
    };
    blocks(line).into_iter().filter_map(typed).collect()
}

fn block(part: &Part<'_>) -> Block {
    let text = |name| part.fields.text(name).map(without_nul);
    let known = match &*part.kind {
        "text" => text("text").map(|text| Block::Text { text }),
        "thinking" => text("thinking").map(|thinking| Block::Thinking {
            preview: preview(&thinking, THINKING_PREVIEW_CHARS),
            thinking,
            signature: text("signature"),
        }),
        // Only the model can decrypt its content; the view states that the block exists.
        "redacted_thinking" => Some(Block::Thinking {
            thinking: String::new(),
            preview: "Redacted".to_owned(),
            signature: text("data"),
        }),
        "tool_use" | "server_tool_use" => Some(Block::ToolUse(tool_use(&part.fields))),
        kind if is_tool_result(kind) => Some(Block::ToolResult(tool_result(&part.fields))),
        "image" => image(&part.fields).map(Block::Image),
        "document" => Some(Block::Text { text: document(&part.fields) }),
        _ => None,
    };
    known.unwrap_or_else(|| Block::Text { text: part.json.chars().take(UNKNOWN_BLOCK_CHARS).collect() })
}

/// Whether the block is a tool result: `tool_result`, `web_search_tool_result` and others.
pub(super) fn is_tool_result(kind: &str) -> bool {
    kind == "tool_result" || kind.ends_with("_tool_result")
}

/// What is displayed of a document: its title, and its text if it is plain text.
fn document(block: &Object<'_>) -> String {
    let source = block.object("source").unwrap_or_default();
    let named = block.text("title").or_else(|| source.text("media_type"));
    let name = named.and_then(|name| label(&name, MAX_NAME)).map(|name| format!(": {name}"));
    let text = document_text(block).map(|text| format!("\n\n{}", without_nul(text)));
    format!("[document{}]{}", name.unwrap_or_default(), text.unwrap_or_default())
}

/// The text of a document of plain text.
pub(super) fn document_text<'a>(block: &Object<'a>) -> Option<Cow<'a, str>> {
    let source = block.object("source")?;
    source.text("data").filter(|_| source.text("type").as_deref() == Some("text"))
}

fn tool_use(block: &Object<'_>) -> ToolUse {
    let name = block.text("name").and_then(|name| label(&name, MAX_NAME)).unwrap_or_default();
    let display = tool::display(&name);
    let input = block.object("input").unwrap_or_default();
    let change = FileChangeRecord::read(&name, "", &input);
    ToolUse {
        tool_call_id: block.text("id").and_then(|id| label(&id, MAX_ID)).unwrap_or_default(),
        input: block.raw("input").map_or("{}", RawValue::get).to_owned(),
        argument: argument(&input),
        changed_lines: change.map(|change| (change.lines_added, change.lines_removed)),
        category: display.category,
        display_name: display.display_name,
        icon: display.icon,
        color: display.color,
        name,
    }
}

/// The text of the first of [`ARGUMENTS`] that the input has, else its first text.
fn argument(input: &Object<'_>) -> Option<String> {
    let named = ARGUMENTS.iter().find_map(|name| input.text(name));
    let text = named.or_else(|| input.fields().find_map(|(_, value)| json::text(value)))?;
    let shown = preview(&text, ARGUMENT_CHARS);
    (!shown.is_empty()).then_some(shown)
}

pub(super) fn tool_result(block: &Object<'_>) -> ToolResult {
    let (content, has_image) = block.raw("content").map(result_text).unwrap_or_default();
    let (preview, is_long) = result_preview(&content);
    ToolResult {
        tool_call_id: block.text("tool_use_id").and_then(|id| label(&id, MAX_ID)).unwrap_or_default(),
        preview,
        is_error: block.flag("is_error").unwrap_or(false),
        is_long,
        has_image,
        images: block.raw("content").filter(|_| has_image).map(result_images).unwrap_or_default(),
        content,
    }
}

/// The items of a result. MCP servers wrap them: `{"content": [...]}`.
fn items(content: &RawValue) -> Option<Vec<&RawValue>> {
    json::list(content).or_else(|| json::object(content)?.list("content"))
}

/// The images of a result.
fn result_images(content: &RawValue) -> Vec<Image> {
    let blocks = items(content).unwrap_or_default().into_iter().filter_map(json::object);
    blocks.filter_map(|block| image(&block)).collect()
}

/// A result's text, and whether it contains an image. Other blocks are included as JSON.
pub(super) fn result_text(content: &RawValue) -> (String, bool) {
    if let Some(text) = json::text(content) {
        return (without_nul(text), false);
    }
    let Some(items) = items(content) else { return (content.get().to_owned(), false) };
    let mut has_image = false;
    let texts = items.into_iter().filter_map(|item| {
        let Some(block) = json::object(item) else { return Some(item.get().to_owned()) };
        match block.text("type").as_deref() {
            Some("image") => {
                has_image = true;
                None
            }
            _ => Some(block.text("text").map_or_else(|| item.get().to_owned(), without_nul)),
        }
    });
    let texts = texts.collect::<Vec<_>>().join("\n");
    (texts, has_image)
}

fn result_preview(content: &str) -> (String, bool) {
    let line_end = content.match_indices('\n').nth(RESULT_PREVIEW_LINES - 1).map(|(at, _)| at);
    let char_end = content.char_indices().nth(RESULT_PREVIEW_CHARS).map(|(at, _)| at);
    let end = line_end.into_iter().chain(char_end).min().unwrap_or(content.len());
    let (shown, rest) = content.split_at(end);
    (shown.to_owned(), !rest.trim().is_empty())
}

/// An image with embedded data. Images by URL are not displayed, because they would make the browser request a URL that
/// the transcript chooses.
fn image(block: &Object<'_>) -> Option<Image> {
    let source = block.object("source")?;
    let media_type = source.text("media_type")?;
    let data = source.text("data")?;
    let subtype = media_type.strip_prefix("image/")?;
    let plain = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'+' | b'-' | b'.');
    let base64 = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'+' | b'/' | b'=' | b'-' | b'_');
    if subtype.is_empty() || !subtype.bytes().all(plain) || !data.bytes().all(base64) {
        return None;
    }
    Some(Image::new(&media_type, &data))
}

#[cfg(test)]
mod tests {
    use super::{RESULT_PREVIEW_CHARS, result_preview};

    #[test]
    fn result_preview_reports_whether_it_is_truncated() {
        assert_eq!(result_preview("one\ntwo\n"), ("one\ntwo\n".to_owned(), false));
        let lines = "é\n".repeat(11);
        let (preview, is_long) = result_preview(&lines);
        assert_eq!((preview.lines().count(), is_long), (10, true));
        let (preview, is_long) = result_preview(&"é".repeat(501));
        assert_eq!((preview.chars().count(), is_long), (RESULT_PREVIEW_CHARS, true));
        assert!(!result_preview(&"é".repeat(500)).1);
    }
}
