//! Whether plans are enforced.

use han_types::Plans;

use super::variable::{Describe, Secret, Variable, VariableReader};

pub(super) const STRIPE_SECRET_KEY: Variable<Secret> = Variable {
    name: "STRIPE_SECRET_KEY",
    about: "turns billing on; without it, every team has the Enterprise plan",
    kind: Secret { unset: "" },
};

pub(super) const VARIABLES: &[&dyn Describe] = &[&STRIPE_SECRET_KEY];

pub(super) fn read(reader: &mut VariableReader<'_>) -> Plans {
    Plans { billing_configured: reader.secret(&STRIPE_SECRET_KEY).is_some() }
}
