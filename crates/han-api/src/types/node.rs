//! Relay's `Node`: every object that can be looked up by its global id.

use async_graphql::{ID, Interface};

use crate::types::message::{self, Message};
use crate::types::project::{Project, Repo};
use crate::types::session::Session;

macro_rules! node {
    ($($variant:ident: $ty:ident,)*) => {
        /// An object that `node(id:)` finds by its global id.
        #[derive(Clone, Debug, Interface)]
        #[graphql(field(name = "id", ty = "ID", desc = "The global id."))]
        pub enum Node {
            /// A session.
            Session(Session),
            /// A project.
            Project(Project),
            /// A repository.
            Repo(Repo),
            $(
                /// A message.
                $variant(message::$ty),
            )*
        }

        impl From<Message> for Node {
            fn from(message: Message) -> Self {
                match message {
                    $(Message::$variant(message) => Self::$variant(message),)*
                }
            }
        }
    };
}

message::each_message!(node);
