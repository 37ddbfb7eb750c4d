//! The segments that one transaction has opened.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::Segment;

/// Names a segment within a team.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct SegmentKey {
    pub session: i32,
    pub transcript: i16,
    pub first_ordinal: i32,
}

/// Opened segments of one transaction, so that a page, its results and its nodes open a segment once.
#[derive(Default)]
pub(crate) struct OpenedSegments(Mutex<HashMap<SegmentKey, Arc<Segment>>>);

impl OpenedSegments {
    pub(crate) fn get(&self, key: &SegmentKey) -> Option<Arc<Segment>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    pub(crate) fn put(&self, key: SegmentKey, segment: &Arc<Segment>) {
        let mut opened = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        opened.insert(key, Arc::clone(segment));
    }
}
