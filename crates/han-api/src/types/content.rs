//! Content blocks: the parts of a message. The result of a tool use is nested in it.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use async_graphql::{ComplexObject, Context, Enum, Interface, SimpleObject};
use han_db::entities::{Message, ToolResult};
use han_db::queries::tool_results::Call;
use han_transcript::ToolCategory as Category;
use han_transcript::record::ResultKind;
use han_transcript::view::{self, Block, ResultView};
use han_types::MessageKey;

use crate::context::Op;
use crate::error::{self, Result};
use crate::loaders::AgentOf;
use crate::types::result;

/// The kind of block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum ContentBlockType {
    /// Text, in Markdown.
    Text,
    /// Thinking of the model.
    Thinking,
    /// A tool use.
    ToolUse,
    /// The result of a tool use.
    ToolResult,
    /// An image.
    Image,
}

/// The category of a tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum ToolCategory {
    /// Reading and writing files.
    File,
    /// Finding files or text.
    Search,
    /// Running commands.
    Shell,
    /// Planning, delegating, to-do lists.
    Task,
    /// Reading the web.
    Web,
    /// Tools of MCP servers.
    Mcp,
    /// All other tools.
    Other,
}

impl From<Category> for ToolCategory {
    fn from(category: Category) -> Self {
        match category {
            Category::File => Self::File,
            Category::Search => Self::Search,
            Category::Shell => Self::Shell,
            Category::Task => Self::Task,
            Category::Web => Self::Web,
            Category::Mcp => Self::Mcp,
            Category::Other => Self::Other,
        }
    }
}

/// A part of a message.
#[derive(Clone, Debug, Interface)]
#[graphql(field(name = "type", method = "kind", ty = "&ContentBlockType", desc = "The kind of block."))]
pub enum ContentBlock {
    /// Text.
    Text(TextBlock),
    /// Thinking.
    Thinking(ThinkingBlock),
    /// A tool use.
    ToolUse(ToolUseBlock),
    /// A tool's result.
    ToolResult(ToolResultBlock),
    /// An image.
    Image(ImageBlock),
}

/// Text, in Markdown.
#[derive(Clone, Debug, SimpleObject)]
#[graphql(complex)]
pub struct TextBlock {
    /// The kind of block.
    #[graphql(name = "type")]
    kind: ContentBlockType,
    #[graphql(skip)]
    whole: String,
    /// Counted once, however often it is selected.
    #[graphql(skip)]
    length: OnceLock<usize>,
}

#[ComplexObject]
impl TextBlock {
    /// The text.
    async fn text(
        &self,
        #[graphql(desc = "Only the first characters: at most this many.")] limit: Option<i32>,
    ) -> &str {
        let limit = limit.and_then(|limit| usize::try_from(limit).ok());
        let end = limit.and_then(|limit| self.whole.char_indices().nth(limit)).map(|(at, _)| at);
        self.whole.get(..end.unwrap_or(self.whole.len())).unwrap_or_default()
    }

    /// The size of the whole text in bytes.
    async fn bytes(&self) -> usize {
        self.whole.len()
    }

    /// The number of characters of the whole text.
    async fn length(&self) -> usize {
        *self.length.get_or_init(|| self.whole.chars().count())
    }
}

/// The thinking of the model before its answer.
#[derive(Clone, Debug, SimpleObject)]
pub struct ThinkingBlock {
    /// The kind of block.
    #[graphql(name = "type")]
    kind: ContentBlockType,
    /// The full text.
    thinking: String,
    /// The beginning of the text.
    preview: String,
    /// The model's signature.
    signature: Option<String>,
}

/// An image.
#[derive(Clone, Debug, SimpleObject)]
pub struct ImageBlock {
    /// The kind of block.
    #[graphql(name = "type")]
    kind: ContentBlockType,
    /// The media type, such as `image/png`.
    media_type: String,
    /// The image, as a `data:` URL.
    data_url: String,
    /// The size of its data in bytes.
    bytes: usize,
    /// Its width in pixels; null if its format is not PNG, GIF, JPEG or WebP.
    width: Option<u32>,
    /// Its height in pixels; null if its format is not PNG, GIF, JPEG or WebP.
    height: Option<u32>,
}

/// The result of a tool use.
#[derive(Clone, Debug, SimpleObject)]
pub struct ToolResultBlock {
    /// The kind of block.
    #[graphql(name = "type")]
    kind: ContentBlockType,
    /// The id of the tool use.
    tool_call_id: String,
    /// Its text, without images.
    content: String,
    /// The beginning of the text.
    preview: String,
    /// Whether the tool failed.
    is_error: bool,
    /// Whether the text is longer than the preview.
    is_long: bool,
    /// Whether it contains an image.
    has_image: bool,
    /// Its images.
    images: Vec<ImageBlock>,
    /// The size of its text in bytes.
    bytes: usize,
    /// How long the tool ran, in milliseconds: as the result says, else the time between the two lines. Null in a line of
    /// results that is shown on its own.
    duration_ms: Option<i64>,
}

/// A part of a file that a tool changed.
#[derive(Clone, Debug, SimpleObject)]
pub struct FileHunk {
    /// The number of its first line before the change. The file's first line is 1.
    old_start: i64,
    /// The number of its first line after the change.
    new_start: i64,
    /// Its lines. The first character says what became of a line: a space unchanged, `-` removed, `+` added.
    lines: Vec<String>,
}

/// A tool use.
#[derive(Clone, Debug, SimpleObject)]
#[graphql(complex)]
pub struct ToolUseBlock {
    /// The kind of block.
    #[graphql(name = "type")]
    kind: ContentBlockType,
    /// The id that its result refers to. Some providers use an id again in the same session.
    tool_call_id: String,
    /// The tool's name.
    name: String,
    /// The input, as JSON.
    input: String,
    /// The size of the input in bytes.
    input_bytes: usize,
    /// What it is applied to: the beginning of its path, command, pattern or question, as one line.
    argument: Option<String>,
    /// The number of lines that it adds to a file; null if it edits none.
    lines_added: Option<i64>,
    /// The number of lines that it removes from a file; null if it edits none.
    lines_removed: Option<i64>,
    /// The category of the tool.
    category: ToolCategory,
    /// The tool's display name.
    display_name: String,
    /// The name of an icon of the Lucide set.
    icon: String,
    /// The category's colour, `#rrggbb`.
    color: String,
    #[graphql(skip)]
    op: Op,
    #[graphql(skip)]
    message: MessageKey,
    /// How many uses before it in its message have its id.
    #[graphql(skip)]
    same_before: usize,
    /// The time of its line.
    #[graphql(skip)]
    at: i64,
}

#[ComplexObject]
impl ToolUseBlock {
    /// Its result; null until it arrives.
    async fn result(&self, ctx: &Context<'_>) -> Result<Option<ToolResultBlock>> {
        let found = self.answer().await;
        let shown = |Answer { lines, index, result }: Answer| {
            let line = &lines[index];
            let passed = Some(line.message.at - self.at).filter(|passed| *passed >= 0);
            ToolResultBlock { duration_ms: line.duration_ms.or(passed), ..result.into() }
        };
        error::or_null(ctx, found.map(|found| found.map(shown)))
    }

    /// The parts of a file that it changed, as its result reports them; empty without such a
    /// report.
    async fn hunks(&self, ctx: &Context<'_>) -> Result<Option<Vec<FileHunk>>> {
        let hunks = match self.answer().await {
            Ok(Some(Answer { lines, index, .. })) => result::hunks(&self.op, &lines[index].message).await,
            Ok(None) => Ok(Arc::default()),
            Err(error) => Err(error),
        };
        let shown = |hunks: Arc<Vec<view::Hunk>>| Some(hunks.iter().cloned().map(FileHunk::from).collect());
        error::or_null(ctx, hunks.map(shown))
    }

    /// The id of the subagent that it started, for `Session.messages(agentId:)`.
    async fn agent_id(&self) -> Result<Option<String>> {
        let call = Call {
            message: self.message.clone(),
            kind: ResultKind::Tool,
            call_id: self.tool_call_id.clone(),
        };
        self.op.loader().load_one(AgentOf(call)).await
    }
}

/// The result of a tool use.
struct Answer {
    /// The lines with results of the use's id, and the index of the one that contains it.
    lines: Arc<Vec<ToolResult>>,
    index: usize,
    result: view::ToolResult,
}

impl ToolUseBlock {
    /// Its result. Of several uses in one message with the same id, each has the result that
    /// comes in its place.
    async fn answer(&self) -> Result<Option<Answer>> {
        let lines = result::of_call(&self.op, &self.message, ResultKind::Tool, &self.tool_call_id).await?;
        let mut before = self.same_before;
        for (index, line) in lines.iter().enumerate() {
            for view in result::views(&self.op, &line.message).await?.iter() {
                let ResultView::Tool(result) = view else { continue };
                if result.tool_call_id != self.tool_call_id {
                    continue;
                }
                if before == 0 {
                    let (lines, result) = (Arc::clone(&lines), result.clone());
                    return Ok(Some(Answer { lines, index, result }));
                }
                before -= 1;
            }
        }
        Ok(None)
    }
}

impl From<view::ToolResult> for ToolResultBlock {
    fn from(result: view::ToolResult) -> Self {
        Self {
            kind: ContentBlockType::ToolResult,
            tool_call_id: result.tool_call_id,
            bytes: result.content.len(),
            content: result.content,
            preview: result.preview,
            is_error: result.is_error,
            is_long: result.is_long,
            has_image: result.has_image,
            images: result.images.into_iter().map(ImageBlock::from).collect(),
            duration_ms: None,
        }
    }
}

impl From<view::Hunk> for FileHunk {
    fn from(hunk: view::Hunk) -> Self {
        Self { old_start: hunk.old_start, new_start: hunk.new_start, lines: hunk.lines }
    }
}

impl From<view::Image> for ImageBlock {
    fn from(image: view::Image) -> Self {
        let (width, height) = image.pixels.unzip();
        Self {
            kind: ContentBlockType::Image,
            media_type: image.media_type,
            data_url: image.data_url,
            bytes: image.bytes,
            width,
            height,
        }
    }
}

/// The blocks of a message.
pub(crate) fn blocks(op: &Op, row: &Message, blocks: Vec<Block>) -> Vec<ContentBlock> {
    let mut uses: HashMap<String, usize> = HashMap::new();
    let mut same_before = |part: &Block| match part {
        Block::ToolUse(tool) => {
            let count = uses.entry(tool.tool_call_id.clone()).or_default();
            std::mem::replace(count, *count + 1)
        }
        _ => 0,
    };
    blocks.into_iter().map(|part| block(op, row, same_before(&part), part)).collect()
}

fn block(op: &Op, row: &Message, same_before: usize, block: Block) -> ContentBlock {
    match block {
        Block::Text { text } => {
            let (kind, length) = (ContentBlockType::Text, OnceLock::new());
            ContentBlock::Text(TextBlock { kind, whole: text, length })
        }
        Block::Thinking { thinking, preview, signature } => ContentBlock::Thinking(ThinkingBlock {
            kind: ContentBlockType::Thinking,
            thinking,
            preview,
            signature,
        }),
        Block::ToolUse(tool) => ContentBlock::ToolUse(ToolUseBlock {
            kind: ContentBlockType::ToolUse,
            tool_call_id: tool.tool_call_id,
            name: tool.name,
            input_bytes: tool.input.len(),
            input: tool.input,
            argument: tool.argument,
            lines_added: tool.changed_lines.map(|(added, _)| added),
            lines_removed: tool.changed_lines.map(|(_, removed)| removed),
            category: tool.category.into(),
            display_name: tool.display_name,
            icon: tool.icon.to_owned(),
            color: tool.color.to_owned(),
            op: Op::clone(op),
            message: row.key.clone(),
            same_before,
            at: row.at,
        }),
        Block::ToolResult(result) => ContentBlock::ToolResult(result.into()),
        Block::Image(image) => ContentBlock::Image(image.into()),
    }
}
