//! What a line of a coding agent's transcript means. Pure functions from text: no I/O, no clock, no database.
//!
//! A line is read twice in its life. [`record::project`] runs on every line that arrives and says where it
//! belongs and what it adds to lists and sums; [`view::view`] runs on lines that somebody reads and says what
//! they show. [`fold`] puts the records of a session together, and [`pricing`] turns tokens into money.
//!
//! Agents change their format often, and a transcript may be hostile. So nothing here fails: a field of the
//! wrong type is an absent field, an unknown line is an [`MessageKind::UnknownEvent`], and the line itself is
//! kept elsewhere, byte for byte.

mod json;
mod kind;
mod line;
mod text;

pub mod fold;
pub mod pricing;
pub mod record;
pub mod tool;
pub mod view;
pub mod words;

pub use kind::{MessageKind, UnknownKind};
pub use line::line_text;
pub use tool::ToolCategory;
