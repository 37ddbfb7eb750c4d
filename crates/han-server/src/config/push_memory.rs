//! How much memory a push needs. `HAN_INGEST_MEMORY_BYTES` is checked against it, and `sync` reserves by it.

use super::limits::ServerLimits;

/// How many bytes of a body are read or decompressed before they are counted against the reservation.
pub(crate) const READ_STEP: usize = 256 << 10;

/// How many batches of a push are prepared while another is stored.
pub(crate) const PREPARED_AHEAD: usize = 2;

/// How many prepared batches of a push are in memory at once.
pub(crate) const BATCHES_AT_ONCE: usize = PREPARED_AHEAD + 1;

/// The bytes of lines that han-db puts into one statement, unless a single line is longer.
const STATEMENT: usize = 1 << 20;

/// The bytes of a line beside its text: its ids, its projection, and the rows that are derived from it.
const PER_LINE: usize = 2 << 10;

/// The bytes that storing a push needs beside its body: its sealed lines (four thirds of it if they do not compress),
/// the projections of `lines`, and the copies of one statement's lines on their way to the database. The test
/// `storing_a_push_takes_no_more_memory_than_reserved` compares it with a real server.
pub(crate) const fn bytes_to_store(body: usize, longest_line: usize, lines: usize) -> usize {
    let statement = if longest_line > STATEMENT { longest_line } else { STATEMENT };
    let statement = if statement < body { statement } else { body };
    body / 2 * 3 + statement * 6 + lines * PER_LINE
}

impl ServerLimits {
    /// The most bytes that the body of one push needs: as sent and decompressed at once, with the steps of both.
    pub(crate) fn largest_body(&self) -> usize {
        self.body_bytes + self.decompressed_bytes + 2 * READ_STEP
    }

    /// The most bytes that storing one push needs beside its body.
    pub(crate) fn largest_store(&self) -> usize {
        let lines = self.lines_per_request.min(BATCHES_AT_ONCE * self.lines_per_batch);
        bytes_to_store(self.decompressed_bytes, self.line_bytes, lines)
    }
}
