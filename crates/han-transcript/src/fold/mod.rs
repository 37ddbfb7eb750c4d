//! Combines the records of a session: totals, to-dos, tasks, file changes, hook runs. The result does not depend on
//! the order or the batches in which lines arrive, because a fold uses only each line's content and position.

mod hooks;
mod sidechains;
mod tasks;
mod totals;

use han_types::Timestamp;
use serde::{Deserialize, Serialize};

pub use hooks::{HookExecution, pair_hooks};
pub use sidechains::{
    Assigned, InlineSidechain, SidechainAssignment, StartingCall, inline_sidechains, is_inline,
};
pub use tasks::{NativeTask, Task, TaskStatus, native_tasks, tasks};
pub use totals::{Compactions, SessionTotals, TokenTotals};

/// A line's position in a session, in the order of the message list.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LinePosition {
    /// Its time. A line without a time takes that of another line.
    pub time: Timestamp,
    /// Its file.
    pub transcript: String,
    /// Its number within the file, from 0.
    pub line: u64,
}
