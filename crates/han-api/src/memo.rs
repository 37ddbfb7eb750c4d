//! The loads of one operation, remembered from their request on: a second request for the same key waits for the result
//! of the first one, even while that is still loading. docs/adr/0011 has the alternatives.

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

/// The result for one key, which many fields may await.
type Pending<V> = Shared<BoxFuture<'static, Result<Option<V>>>>;

/// The loaders of one operation, and the keys that were requested.
pub(crate) struct Memo {
    loader: Arc<DataLoader<Loaders, NoCache>>,
    /// For each type of key, a `HashMap` from keys to results.
    requested: Mutex<HashMap<TypeId, Box<dyn Any + Send>>>,
}

impl Memo {
    pub(crate) fn new(loaders: Loaders) -> Self {
        // Neither a delay nor a batch size: `drive` runs a load only once every field has made its request.
        let loader = DataLoader::new(loaders, drive::spawn).delay(Duration::ZERO).max_batch_size(usize::MAX);
        Self { loader: Arc::new(loader), requested: Mutex::default() }
    }

    /// The value of a key.
    pub(crate) async fn load_one<K>(&self, key: K) -> Result<Option<<Loaders as Loader<K>>::Value>>
    where
        K: Send + Sync + Hash + Eq + Clone + 'static,
        Loaders: Loader<K, Error = ApiError>,
    {
        self.pending(key).await
    }

    /// The values of several keys, without those that have none.
    pub(crate) async fn load_many<K>(
        &self,
        keys: impl IntoIterator<Item = K>,
    ) -> Result<HashMap<K, <Loaders as Loader<K>>::Value>>
    where
        K: Send + Sync + Hash + Eq + Clone + 'static,
        Loaders: Loader<K, Error = ApiError>,
    {
        let values = keys.into_iter().map(|key| {
            let pending = self.pending(key.clone());
            async move { Ok::<_, ApiError>(pending.await?.map(|value| (key, value))) }
        });
        Ok(try_join_all(values.collect::<Vec<_>>()).await?.into_iter().flatten().collect())
    }

    fn pending<K>(&self, key: K) -> Pending<<Loaders as Loader<K>>::Value>
    where
        K: Send + Sync + Hash + Eq + Clone + 'static,
        Loaders: Loader<K, Error = ApiError>,
    {
        let load = |key: K| -> Pending<<Loaders as Loader<K>>::Value> {
            let loader = Arc::clone(&self.loader);
            async move { loader.load_one(key).await }.boxed().shared()
        };
        let mut requested = self.requested.lock().unwrap_or_else(PoisonError::into_inner);
        let of_type = requested
            .entry(TypeId::of::<K>())
            .or_insert_with(|| Box::new(HashMap::<K, Pending<<Loaders as Loader<K>>::Value>>::new()));
        match of_type.downcast_mut::<HashMap<K, Pending<<Loaders as Loader<K>>::Value>>>() {
            Some(results) => results.entry(key.clone()).or_insert_with(|| load(key)).clone(),
            // Unreachable: the entry of a key type is made just above, with that type.
            None => load(key),
        }
    }
}
