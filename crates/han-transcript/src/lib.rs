//! Parses the transcript lines of coding agents. Pure functions of text: no I/O, no clock, no database.
//!
//! Each line is parsed for two purposes. [`record::project`] runs on every line that is ingested and returns its key
//! and what it contributes to lists and totals. [`view::view`] runs on lines that a client requests and returns what
//! they display. [`fold`] combines the records of a session, and [`pricing`] computes the cost of tokens.
//!
//! Agents change their format often, and a transcript may be hostile. Therefore nothing here fails: a field of the
//! wrong type counts as absent, and an unknown line becomes a [`MessageKind::UnknownEvent`]. The caller keeps the
//! line itself, byte for byte.
//!
//! A line has one record. Only a damaged line has several, or a record beside other text: [`split`] finds them, and
//! functions whose names have `all` return one item per record.

mod json;
mod kind;
mod line;
mod notice;
mod text;

pub mod fold;
pub mod pricing;
pub mod project_path;
pub mod quarters;
pub mod rates;
pub mod record;
pub mod split;
pub mod tool;
pub mod view;
pub mod words;

pub use kind::{MessageKind, UnknownKind};
pub use line::{line_text, text_fields};
pub use tool::ToolCategory;
