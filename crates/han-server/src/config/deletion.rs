//! Deleting what users request.

use super::variable::{Describe, Number, Variable, VariableReader};

const GRACE_DAYS: Variable<Number<u32>> = Variable {
    name: "HAN_DELETION_GRACE_DAYS",
    about: "how many days after a request to delete something it is deleted; until then it can be cancelled",
    kind: Number { default: 30, min: 0, max: 365 },
};

pub(super) const VARIABLES: &[&dyn Describe] = &[&GRACE_DAYS];

/// When something is deleted that users request to delete.
#[derive(Clone, Copy, Debug)]
pub struct DeletionConfig {
    /// Days between a request and its deletion; 0: at once.
    pub grace_days: u32,
}

impl DeletionConfig {
    pub(super) fn read(reader: &mut VariableReader<'_>) -> Self {
        Self { grace_days: reader.value(&GRACE_DAYS) }
    }

    pub(crate) fn grace_seconds(self) -> i64 {
        i64::from(self.grace_days) * 86_400
    }
}
