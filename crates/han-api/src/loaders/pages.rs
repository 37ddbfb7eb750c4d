//! Pages of lists within sessions: the same page of many sessions is one statement. Each different set of arguments is a
//! further statement; the document determines how many there are, not the number of rows.

use std::collections::HashMap;
use std::sync::Arc;

use async_graphql::dataloader::Loader;
use han_db::entities::{FileChange, FileChangeKey, Message};
use han_db::page::{MessageCursor, Page, PageRequest};
use han_db::queries::messages::{self, MessageList};
use han_db::queries::{file_changes, message_pages};
use han_types::{MessageKey, SessionId};

use super::Loaders;
use crate::error::{ApiError, Result};

/// A page of a session's messages.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct MessagesOf {
    pub(crate) session_id: SessionId,
    pub(crate) list: Arc<MessageList>,
    pub(crate) request: PageRequest<MessageCursor>,
}

/// The number of messages in a list of a session.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct MessageCountOf {
    pub(crate) session_id: SessionId,
    pub(crate) list: Arc<MessageList>,
}

/// The index of a message in its session's list.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct IndexOf(pub(crate) MessageKey);

/// A page of a session's file changes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FileChangesOf {
    pub(crate) session_id: SessionId,
    pub(crate) request: PageRequest<FileChangeKey>,
}

/// A page that many fields may share.
type Shared<T> = Arc<Page<T>>;

impl Loader<MessagesOf> for Loaders {
    type Value = Shared<Arc<Message>>;
    type Error = ApiError;

    async fn load(&self, keys: &[MessagesOf]) -> Result<HashMap<MessagesOf, Self::Value>> {
        let tx = self.0.tx().await?;
        let mut found = HashMap::new();
        for (asked, sessions) in alike(keys, |key| (Arc::clone(&key.list), key.request.clone())) {
            let (list, request) = &asked;
            let mut pages = match sessions.as_slice() {
                [session] => {
                    let page = messages::page(tx, &session.session_id, list, request).await?;
                    HashMap::from([(session.session_id.to_string(), page)])
                }
                _ => message_pages::pages(tx, &ids(&sessions, |key| &key.session_id), list, request).await?,
            };
            for key in sessions {
                if let Some(page) = pages.remove(key.session_id.as_str()) {
                    let rows = page.rows.into_iter().map(Arc::new).collect();
                    found.insert(key.clone(), Arc::new(Page { rows, has_next: page.has_next }));
                }
            }
        }
        Ok(found)
    }
}

impl Loader<MessageCountOf> for Loaders {
    type Value = i64;
    type Error = ApiError;

    async fn load(&self, keys: &[MessageCountOf]) -> Result<HashMap<MessageCountOf, i64>> {
        let tx = self.0.tx().await?;
        let mut found = HashMap::new();
        for (list, sessions) in alike(keys, |key| Arc::clone(&key.list)) {
            let counts = message_pages::counts(tx, &ids(&sessions, |key| &key.session_id), &list).await?;
            found.extend(
                sessions
                    .into_iter()
                    .filter_map(|key| Some((key.clone(), *counts.get(key.session_id.as_str())?))),
            );
        }
        Ok(found)
    }
}

impl Loader<IndexOf> for Loaders {
    type Value = i64;
    type Error = ApiError;

    async fn load(&self, keys: &[IndexOf]) -> Result<HashMap<IndexOf, i64>> {
        let wanted: Vec<MessageKey> = keys.iter().map(|key| key.0.clone()).collect();
        let found = messages::list_indexes(self.0.tx().await?, &wanted).await?;
        Ok(found.into_iter().map(|(key, index)| (IndexOf(key), index)).collect())
    }
}

impl Loader<FileChangesOf> for Loaders {
    type Value = Shared<FileChange>;
    type Error = ApiError;

    async fn load(&self, keys: &[FileChangesOf]) -> Result<HashMap<FileChangesOf, Self::Value>> {
        let tx = self.0.tx().await?;
        let mut found = HashMap::new();
        for (request, sessions) in alike(keys, |key| key.request.clone()) {
            let ids = ids(&sessions, |key| &key.session_id);
            let mut pages = file_changes::pages(tx, &ids, &request).await?;
            for key in sessions {
                if let Some(page) = pages.remove(key.session_id.as_str()) {
                    found.insert(key.clone(), Arc::new(page));
                }
            }
        }
        Ok(found)
    }
}

/// Groups keys by their arguments, so that each group differs by session only.
fn alike<K, A: Eq + std::hash::Hash>(keys: &[K], asked: impl Fn(&K) -> A) -> HashMap<A, Vec<&K>> {
    let mut groups: HashMap<A, Vec<&K>> = HashMap::new();
    for key in keys {
        groups.entry(asked(key)).or_default().push(key);
    }
    groups
}

fn ids<K>(keys: &[&K], session: impl Fn(&K) -> &SessionId) -> Vec<SessionId> {
    keys.iter().map(|key| session(key).clone()).collect()
}
