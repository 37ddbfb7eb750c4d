//! What one operation has asked for, remembered from the moment it asks: whoever asks again, even before the answer is
//! there, waits for the same one.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_graphql::dataloader::{DataLoader, Loader, NoCache};
use futures_util::future::{BoxFuture, FutureExt as _, Shared, try_join_all};

use crate::drive;
use crate::error::{ApiError, Result};
use crate::loaders::Loaders;

/// The answer to one key.
type Answer<V> = Shared<BoxFuture<'static, Result<Option<V>>>>;

/// The loaders of one operation, and what they were asked.
pub(crate) struct Memo {
    loader: Arc<DataLoader<Loaders, NoCache>>,
    /// For each type of key, a `HashMap` of its keys' answers.
    asked: Mutex<HashMap<TypeId, Box<dyn Any + Send>>>,
}

impl Memo {
    pub(crate) fn new(loaders: Loaders) -> Self {
        // No delay and no size: `drive` sees to it that whatever can ask has asked before a load runs.
        let loader = DataLoader::new(loaders, drive::spawn).delay(Duration::ZERO).max_batch_size(usize::MAX);
        Self { loader: Arc::new(loader), asked: Mutex::default() }
    }

    /// What there is for a key.
    pub(crate) async fn load_one<K>(&self, key: K) -> Result<Option<<Loaders as Loader<K>>::Value>>
    where
        K: Send + Sync + Hash + Eq + Clone + 'static,
        Loaders: Loader<K, Error = ApiError>,
    {
        self.answer(key).await
    }

    /// What there is for several keys, without those for which there is nothing.
    pub(crate) async fn load_many<K>(
        &self,
        keys: impl IntoIterator<Item = K>,
    ) -> Result<HashMap<K, <Loaders as Loader<K>>::Value>>
    where
        K: Send + Sync + Hash + Eq + Clone + 'static,
        Loaders: Loader<K, Error = ApiError>,
    {
        let answers = keys.into_iter().map(|key| {
            let answer = self.answer(key.clone());
            async move { Ok::<_, ApiError>(answer.await?.map(|value| (key, value))) }
        });
        Ok(try_join_all(answers.collect::<Vec<_>>()).await?.into_iter().flatten().collect())
    }

    fn answer<K>(&self, key: K) -> Answer<<Loaders as Loader<K>>::Value>
    where
        K: Send + Sync + Hash + Eq + Clone + 'static,
        Loaders: Loader<K, Error = ApiError>,
    {
        let ask = |key: K| -> Answer<<Loaders as Loader<K>>::Value> {
            let loader = Arc::clone(&self.loader);
            async move { loader.load_one(key).await }.boxed().shared()
        };
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let of_type = asked
            .entry(TypeId::of::<K>())
            .or_insert_with(|| Box::new(HashMap::<K, Answer<<Loaders as Loader<K>>::Value>>::new()));
        match of_type.downcast_mut::<HashMap<K, Answer<<Loaders as Loader<K>>::Value>>>() {
            Some(answers) => answers.entry(key.clone()).or_insert_with(|| ask(key)).clone(),
            // A type's entry holds that type's keys: it was made just above.
            None => ask(key),
        }
    }
}
