//! Lookups by global id. An object of another team is null, exactly like one that does not exist, and like a text that is
//! no id: clients take ids from their address bar.

use async_graphql::{Context, ID, Object};
use han_types::{GlobalId, GlobalIdError};

use crate::context::{Op, operation};
use crate::error::{self, ApiError, Result};
use crate::types::message::Message;
use crate::types::node::Node;
use crate::types::project::{Project, Repo};
use crate::types::session::Session;

#[derive(Debug, Default)]
pub(crate) struct NodeQuery;

/// Lookups by global id.
#[Object]
impl NodeQuery {
    /// The object with this global id, such as `Session:258c7280-ae70-4798-800f-63464d01a85d`. A raw id is the id of a
    /// session.
    async fn node(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The global id, `Type:id`.")] id: ID,
    ) -> Result<Option<Node>> {
        match (operation(ctx)?, parsed(&id)) {
            (Some(op), Ok(id)) => error::or_null(ctx, load(&op, id).await),
            _ => Ok(None),
        }
    }

    /// The message with this id, whether it is listed or nested in another one.
    async fn message(
        &self,
        ctx: &Context<'_>,
        #[graphql(
            desc = "The message's global id, `Message:<session>~<transcript>~<uuid>`, or the part after `Message:`."
        )]
        id: String,
    ) -> Result<Option<Message>> {
        let raw = GlobalId::raw("Message", &id);
        match (operation(ctx)?, GlobalId::parse(&format!("Message:{raw}"))) {
            (Some(op), Ok(GlobalId::Message(key))) => {
                let row = op.loader().load_one(key).await?;
                let Some(row) = row else { return Ok(None) };
                op.opens(&row.key.session_id, None).await?;
                error::or_null(ctx, Message::alone(&op, &row).await.map(Some))
            }
            _ => Ok(None),
        }
    }
}

/// Reads the argument `id` of a field that needs a well-formed one.
pub(crate) fn global_id(text: &str) -> Result<GlobalId> {
    parsed(text).map_err(|error| ApiError::bad("id", error))
}

/// A global id; a raw one is that of a session.
fn parsed(text: &str) -> Result<GlobalId, GlobalIdError> {
    if text.contains(':') { GlobalId::parse(text) } else { Ok(GlobalId::Session(text.parse()?)) }
}

async fn load(op: &Op, id: GlobalId) -> Result<Option<Node>> {
    Ok(match id {
        GlobalId::Session(id) => Session::open(op, id).await?.map(Node::from),
        GlobalId::Project(id) => Project::load(op, id).await?.map(Node::from),
        GlobalId::Repo(id) => Repo::load(op, id).await?.map(Node::from),
        GlobalId::Message(key) => {
            let row = op.loader().load_one(key).await?;
            match row {
                Some(row) => {
                    op.opens(&row.key.session_id, None).await?;
                    Some(Message::alone(op, &row).await?.into())
                }
                None => None,
            }
        }
        // Users and teams are not nodes of this schema.
        GlobalId::User(_) | GlobalId::Team(_) => None,
    })
}
