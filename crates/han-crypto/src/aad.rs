//! The additional authenticated data (AAD) that binds a sealed value to its team, table, row and column.

use crate::CryptoError;

/// The AAD: for each of team, table, row and column, its length in four bytes, big-endian, and its UTF-8 bytes. The
/// lengths make the boundaries unambiguous. The ids are lowercased (ASCII letters only), because databases and clients
/// write UUIDs in either case.
pub(crate) fn aad(team_id: &str, table: &str, row_id: &str, column: &str) -> Result<Vec<u8>, CryptoError> {
    let parts = [(team_id, true), (table, false), (row_id, true), (column, false)];
    let mut aad = Vec::with_capacity(parts.iter().map(|(part, _)| 4 + part.len()).sum());
    for (part, is_id) in parts {
        let len = u32::try_from(part.len()).map_err(|_| CryptoError::Malformed {
            what: "context of a sealed field",
            reason: "one of its parts is longer than 4 GiB",
        })?;
        aad.extend_from_slice(&len.to_be_bytes());
        let start = aad.len();
        aad.extend_from_slice(part.as_bytes());
        if is_id {
            aad[start..].make_ascii_lowercase();
        }
    }
    Ok(aad)
}
