//! A session's lines put together: totals, to-dos, tasks, file changes, hook runs. Every fold gives the same
//! state in whatever order and whatever batches the lines arrive, because it looks only at what each line says
//! and at where it stands.

mod hooks;
mod tasks;
mod totals;

use han_types::Timestamp;
use serde::{Deserialize, Serialize};

pub use hooks::{HookExecution, pair_hooks};
pub use tasks::{NativeTask, Task, TaskStatus, native_tasks, tasks};
pub use totals::{Compactions, SessionTotals, TokenTotals};

/// Where a line stands among a session's lines, in the order the message list has.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place {
    /// Its time; for a line that has none of its own, the one it borrows.
    pub time: Timestamp,
    /// Its file.
    pub transcript: String,
    /// Its number within the file, from 0.
    pub line: u64,
}
