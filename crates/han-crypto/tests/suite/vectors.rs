//! Permanent test vectors. A failure here means that stored data would not open any more. Never regenerate a file to
//! make a test pass; a new format gets a new version and a new file.

use han_crypto::{
    ApiKeyToken, BinaryField, BlindKey, FieldContext, KekRing, KeyPurpose, OpaqueToken, Packed, TeamKeyName,
    TeamKeyRing,
};
use han_types::TeamId;
use serde::Deserialize;

use crate::{Seeded, kek_ring, team};

#[derive(Deserialize)]
struct Sealed {
    kek: String,
    kek_id: String,
    team_id: String,
    team_keys: Vec<WrappedTeamKey>,
    fields: Vec<SealedField>,
    blind: Vec<Blind>,
}

#[derive(Deserialize)]
struct WrappedTeamKey {
    purpose: String,
    version: u32,
    wrapped: String,
}

#[derive(Deserialize)]
struct SealedField {
    name: String,
    /// The version of the team's content key; `None` for a field without a team.
    version: Option<u32>,
    table: String,
    row_id: String,
    column: String,
    content: String,
    /// Whether the content was compressed. zstd's output may change with its version, so only raw fields are sealed
    /// again and compared.
    zstd: bool,
    /// The seed of the DEK and the nonces.
    seed: u64,
    sealed: String,
}

/// The columns and contents are hexadecimal.
#[derive(Deserialize)]
struct Segments {
    segments: Vec<SealedSegment>,
}

#[derive(Deserialize)]
struct SealedSegment {
    name: String,
    version: u32,
    row_id: String,
    content: String,
    zstd: bool,
    packed: String,
    seed: u64,
    nonce: String,
    wrapped_dek: String,
    body: String,
    text: String,
}

#[derive(Deserialize)]
struct Blind {
    domain: String,
    text: String,
    hash: String,
    id: String,
}

#[derive(Deserialize)]
struct Tokens {
    api_keys: Vec<Token>,
    opaque: Vec<Token>,
    malformed_api_keys: Vec<String>,
}

#[derive(Deserialize)]
struct Token {
    token: String,
    sha256: String,
}

impl Sealed {
    fn load() -> (Self, KekRing, TeamId) {
        let file: Self = serde_json::from_str(include_str!("../vectors/sealed-v1.json")).unwrap();
        let (keks, team_id) = (kek_ring(&file.kek, None), team(&file.team_id));
        (file, keks, team_id)
    }

    fn key(&self, keks: &KekRing, team_id: &TeamId, row: &WrappedTeamKey) -> han_crypto::TeamKey {
        let name = TeamKeyName { team_id, version: row.version, purpose: row.purpose.parse().unwrap() };
        keks.unwrap_team_key(&name, &row.wrapped).unwrap()
    }

    fn ring(&self, keks: &KekRing, team_id: &TeamId, active: u32) -> TeamKeyRing {
        let rows = self.team_keys.iter().filter(|row| row.purpose == KeyPurpose::Content.as_str());
        let keys = rows.map(|row| (row.version, self.key(keks, team_id, row)));
        TeamKeyRing::new(team_id.clone(), active, keys).unwrap()
    }
}

#[test]
fn sealed_vectors_open_and_are_reproduced() {
    let (file, keks, team_id) = Sealed::load();
    assert_eq!(keks.active_id().to_string(), file.kek_id);
    assert!(
        file.fields.iter().any(|field| field.zstd) && file.fields.iter().any(|field| field.version.is_none())
    );
    for field in &file.fields {
        let place = FieldContext { table: &field.table, row_id: &field.row_id, column: &field.column };
        let ring = field.version.map(|version| file.ring(&keks, &team_id, version));
        let encryptor = ring.as_ref().map_or_else(|| keks.field(place), |ring| ring.field(place));
        assert_eq!(encryptor.decrypt(&field.sealed).unwrap(), field.content.as_bytes(), "{}", field.name);
        let now = encryptor.encrypt(field.content.as_bytes(), &Seeded::new(field.seed)).unwrap();
        if field.zstd {
            assert!(now.len() < field.content.len(), "{}", field.name);
        } else {
            assert_eq!(now, field.sealed, "{}", field.name);
        }
    }
}

fn unhex(digits: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
    (0..digits.len()).step_by(2).map(byte).collect()
}

#[test]
fn segment_vectors_open_and_are_reproduced_in_both_forms() {
    let (file, keks, team_id) = Sealed::load();
    let Segments { segments } = serde_json::from_str(include_str!("../vectors/segment-v1.json")).unwrap();
    assert!(segments.iter().any(|segment| segment.zstd) && segments.iter().any(|segment| !segment.zstd));
    for segment in &segments {
        let ring = file.ring(&keks, &team_id, segment.version);
        let encryptor =
            ring.field(FieldContext { table: "segments", row_id: &segment.row_id, column: "body" });
        let (content, packed) = (unhex(&segment.content), unhex(&segment.packed));
        let (nonce, wrapped_dek) = (unhex(&segment.nonce), unhex(&segment.wrapped_dek));
        let field = BinaryField::from_columns(&nonce, &wrapped_dek, unhex(&segment.body)).unwrap();
        assert_eq!(field.to_text(), segment.text, "{}", segment.name);
        assert_eq!(encryptor.decrypt(&segment.text).unwrap(), content, "{}", segment.name);
        assert_eq!(Packed::open(packed.clone(), content.len()).unwrap(), content, "{}", segment.name);

        let now = encryptor.encrypt_binary(Packed::new(&content), &Seeded::new(segment.seed)).unwrap();
        if segment.zstd {
            assert!(now.ciphertext().len() < content.len(), "{}", segment.name);
        } else {
            assert_eq!(Packed::new(&content).as_bytes(), packed, "{}", segment.name);
            assert_eq!(now, field, "{}", segment.name);
            let text = encryptor.encrypt(&content, &Seeded::new(segment.seed)).unwrap();
            assert_eq!(text, segment.text, "{}", segment.name);
        }
        assert_eq!(encryptor.decrypt_binary(field, content.len()).unwrap(), content, "{}", segment.name);
    }
}

#[test]
fn blind_hash_vectors_match() {
    let (file, keks, team_id) = Sealed::load();
    let row = file.team_keys.iter().find(|row| row.purpose == "blind").unwrap();
    let key = BlindKey::new(&file.key(&keks, &team_id, row));
    assert!(!file.blind.is_empty());
    for Blind { domain, text, hash, id } in &file.blind {
        let bytes = key.blind(domain, text.as_bytes());
        assert_eq!(&bytes.map(|byte| format!("{byte:02x}")).concat(), hash, "{domain} {text}");
        assert_eq!(&key.blind_id("p-", domain, text.as_bytes()), id);
    }
}

#[test]
fn token_vectors_are_parsed_and_match_their_hashes() {
    let file: Tokens = serde_json::from_str(include_str!("../vectors/tokens-v1.json")).unwrap();
    assert!(!file.api_keys.is_empty() && !file.opaque.is_empty() && !file.malformed_api_keys.is_empty());
    for Token { token, sha256 } in &file.api_keys {
        assert_eq!(&ApiKeyToken::parse(token).unwrap().hash().to_hex(), sha256);
    }
    for Token { token, sha256 } in &file.opaque {
        assert_eq!(&OpaqueToken::parse("han_web_", token).unwrap().hash().to_hex(), sha256);
    }
    for token in &file.malformed_api_keys {
        assert!(ApiKeyToken::parse(token).is_err(), "{token}");
    }
}
