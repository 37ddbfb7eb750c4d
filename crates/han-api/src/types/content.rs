//! Content blocks: the parts of a message. The result of a tool use nests under it.

use async_graphql::{ComplexObject, Context, Enum, Interface, SimpleObject};
use han_db::queries::tool_results::CallKind;
use han_transcript::ToolCategory as Category;
use han_transcript::record::ResultKind;
use han_transcript::view::{self, Block, ResultView};
use han_types::SessionId;

use crate::context::Op;
use crate::error::{self, Result};
use crate::loaders::AgentOf;
use crate::types::result;

/// What sort of block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum ContentBlockType {
    /// Text, in Markdown.
    Text,
    /// What the model thought.
    Thinking,
    /// A tool use.
    ToolUse,
    /// The result of one.
    ToolResult,
    /// A picture.
    Image,
}

/// What sort of thing a tool does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum ToolCategory {
    /// Reads or writes files.
    File,
    /// Looks for files or text.
    Search,
    /// Runs commands.
    Shell,
    /// Plans, delegates, keeps lists.
    Task,
    /// Reads the web.
    Web,
    /// A tool of an MCP server.
    Mcp,
    /// Anything else.
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
#[graphql(field(name = "type", method = "kind", ty = "&ContentBlockType", desc = "What sort of block."))]
pub enum ContentBlock {
    /// Text.
    Text(TextBlock),
    /// Thinking.
    Thinking(ThinkingBlock),
    /// A tool use.
    ToolUse(ToolUseBlock),
    /// A tool's result.
    ToolResult(ToolResultBlock),
    /// A picture.
    Image(ImageBlock),
}

/// Text, in Markdown.
#[derive(Clone, Debug, SimpleObject)]
pub struct TextBlock {
    /// What sort of block.
    #[graphql(name = "type")]
    kind: ContentBlockType,
    /// The text.
    text: String,
}

/// What the model thought before it spoke.
#[derive(Clone, Debug, SimpleObject)]
pub struct ThinkingBlock {
    /// What sort of block.
    #[graphql(name = "type")]
    kind: ContentBlockType,
    /// The whole of it.
    thinking: String,
    /// How it begins.
    preview: String,
    /// The model's signature.
    signature: Option<String>,
}

/// A picture.
#[derive(Clone, Debug, SimpleObject)]
pub struct ImageBlock {
    /// What sort of block.
    #[graphql(name = "type")]
    kind: ContentBlockType,
    /// `image/png`
    media_type: String,
    /// The picture itself, as a `data:` URL.
    data_url: String,
}

/// The result of a tool use.
#[derive(Clone, Debug, SimpleObject)]
pub struct ToolResultBlock {
    /// What sort of block.
    #[graphql(name = "type")]
    kind: ContentBlockType,
    /// The tool use that it answers.
    tool_call_id: String,
    /// Its text; pictures are left out.
    content: String,
    /// How it begins.
    preview: String,
    /// Whether the tool failed.
    is_error: bool,
    /// Whether the preview leaves something out.
    is_long: bool,
    /// Whether it holds a picture.
    has_image: bool,
}

/// A tool use.
#[derive(Clone, Debug, SimpleObject)]
#[graphql(complex)]
pub struct ToolUseBlock {
    /// What sort of block.
    #[graphql(name = "type")]
    kind: ContentBlockType,
    /// What its result names; unique within a session.
    tool_call_id: String,
    /// The tool's name.
    name: String,
    /// The input, as JSON.
    input: String,
    /// What sort of tool it is.
    category: ToolCategory,
    /// The tool's name for people.
    display_name: String,
    /// An icon of the lucide set.
    icon: String,
    /// The category's colour, `#rrggbb`.
    color: String,
    #[graphql(skip)]
    op: Op,
    #[graphql(skip)]
    session_id: SessionId,
}

#[ComplexObject]
impl ToolUseBlock {
    /// Its result, once there is one.
    async fn result(&self, ctx: &Context<'_>) -> Result<Option<ToolResultBlock>> {
        let kind = CallKind::Named(ResultKind::Tool);
        let found = result::of_call(&self.op, &self.session_id, kind, &self.tool_call_id).await?;
        let Some(found) = found.first() else { return Ok(None) };
        let shown = |view| match view {
            ResultView::Tool(result) if result.tool_call_id == self.tool_call_id => Some(result.into()),
            _ => None,
        };
        error::or_null(ctx, result::views(found).map(|views| views.into_iter().find_map(shown)))
    }

    /// The subagent that it started: `Session.messages(agentId:)` lists the subagent's own lines.
    async fn agent_id(&self) -> Result<Option<String>> {
        let key = AgentOf { session_id: self.session_id.clone(), call_id: self.tool_call_id.clone() };
        self.op.loader().load_one(key).await
    }
}

impl From<view::ToolResult> for ToolResultBlock {
    fn from(result: view::ToolResult) -> Self {
        Self {
            kind: ContentBlockType::ToolResult,
            tool_call_id: result.tool_call_id,
            content: result.content,
            preview: result.preview,
            is_error: result.is_error,
            is_long: result.is_long,
            has_image: result.has_image,
        }
    }
}

/// The blocks of a message of that session.
pub(crate) fn blocks(op: &Op, session_id: &SessionId, blocks: Vec<Block>) -> Vec<ContentBlock> {
    blocks.into_iter().map(|part| block(op, session_id, part)).collect()
}

fn block(op: &Op, session_id: &SessionId, block: Block) -> ContentBlock {
    match block {
        Block::Text { text } => ContentBlock::Text(TextBlock { kind: ContentBlockType::Text, text }),
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
            input: tool.input,
            category: tool.category.into(),
            display_name: tool.display_name,
            icon: tool.icon.to_owned(),
            color: tool.color.to_owned(),
            op: Op::clone(op),
            session_id: session_id.clone(),
        }),
        Block::ToolResult(result) => ContentBlock::ToolResult(result.into()),
        Block::Image { media_type, data_url } => {
            ContentBlock::Image(ImageBlock { kind: ContentBlockType::Image, media_type, data_url })
        }
    }
}
