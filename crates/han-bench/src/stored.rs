//! Segments as the server stores them: opens them with the server's own keys, and writes them under other names. A
//! sealed segment opens only under the name that it was sealed for, so a copy is sealed again.

use han_crypto::{
    BinaryField, FieldContext, KekRing, KeyPurpose, OsEntropy, Packed, TeamKeyName, TeamKeyRing,
};
use secrecy::SecretString;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, PgConnection, Row as _};

use crate::target::{Target, kek_secret};

/// The most segments of one INSERT.
const AT_ONCE: usize = 200;

/// A segment that was opened.
#[derive(Clone)]
pub(crate) struct StoredSegment {
    pub team: i32,
    /// The number of its session, and the id.
    pub session: i32,
    pub session_id: String,
    /// The number of its file, and the name.
    pub transcript: i16,
    pub name: String,
    pub first_ordinal: i32,
    pub last_ordinal: i32,
    pub min_line: i32,
    pub max_line: i32,
    pub lines: i32,
    pub bytes: i32,
    pub first_at: i64,
    pub last_at: i64,
    /// Its content, compressed.
    pub content: Packed,
}

/// The keys that seal the segments of the team.
pub(crate) struct SegmentKeys {
    ring: TeamKeyRing,
    entropy: OsEntropy,
}

impl SegmentKeys {
    /// The active key of the only team.
    pub(crate) async fn of(target: &Target) -> Self {
        let sql = "SELECT team_id, version, wrapped FROM team_keys WHERE purpose = 'content' AND active";
        let (team, version, wrapped): (String, i64, String) =
            sqlx::query_as(sql).fetch_one(&mut target.connect().await).await.expect("the team's key");
        let (team_id, version) = (team.parse().expect("an id"), u32::try_from(version).expect("a version"));
        let keks = KekRing::from_secrets(&SecretString::from(kek_secret()), None).expect("the KEK");
        let name = TeamKeyName { team_id: &team_id, version, purpose: KeyPurpose::Content };
        let key = keks.unwrap_team_key(&name, &wrapped).expect("the team's key");
        let ring = TeamKeyRing::new(team_id, version, [(version, key)]).expect("a ring");
        Self { ring, entropy: OsEntropy::default() }
    }

    /// The sealed segments that meet a condition on `g`, or on its session `s`.
    pub(crate) async fn read(&self, target: &Target, condition: &str) -> Vec<StoredSegment> {
        let sql = format!(
            "SELECT g.*, s.session_id, f.name FROM segments g \
             JOIN sessions s ON s.team = g.team AND s.number = g.session \
             JOIN transcripts f ON f.team = g.team AND f.session = g.session AND f.number = g.transcript \
             WHERE g.sealed AND {condition} ORDER BY g.session, g.transcript, g.first_ordinal"
        );
        let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(&mut target.connect().await).await;
        rows.expect("segments").iter().map(|row| self.open(row)).collect()
    }

    fn open(&self, row: &PgRow) -> StoredSegment {
        let mut segment = StoredSegment {
            team: row.get("team"),
            session: row.get("session"),
            session_id: row.get("session_id"),
            transcript: row.get("transcript"),
            name: row.get("name"),
            first_ordinal: row.get("first_ordinal"),
            last_ordinal: row.get("last_ordinal"),
            min_line: row.get("min_line"),
            max_line: row.get("max_line"),
            lines: row.get("lines"),
            bytes: row.get("bytes"),
            first_at: row.get("first_at"),
            last_at: row.get("last_at"),
            content: Packed::new(&[]),
        };
        let field = BinaryField::from_columns(row.get("nonce"), row.get("wrapped_dek"), row.get("body"));
        let row_id = segment.row_id();
        let encryptor = self.ring.field(context(&row_id));
        let content = encryptor.decrypt_binary(field.expect("a sealed segment"), usize::MAX);
        segment.content = Packed::new(&content.expect("a segment of this server"));
        segment
    }

    /// Inserts segments, sealed or in plaintext.
    pub(crate) async fn insert(
        &self,
        connection: &mut PgConnection,
        segments: &[StoredSegment],
        seals: bool,
    ) {
        for segments in segments.chunks(AT_ONCE) {
            let (mut nonces, mut wrapped, mut bodies) = (Vec::new(), Vec::new(), Vec::new());
            for segment in segments {
                if seals {
                    let row_id = segment.row_id();
                    let encryptor = self.ring.field(context(&row_id));
                    let sealed = encryptor.encrypt_binary(segment.content.clone(), &self.entropy);
                    let (nonce, key, body) = sealed.expect("a sealed segment").into_columns();
                    nonces.push(Some(nonce.to_vec()));
                    wrapped.push(Some(key.to_vec()));
                    bodies.push(body);
                } else {
                    nonces.push(None);
                    wrapped.push(None);
                    bodies.push(segment.content.clone().into_bytes());
                }
            }
            let ints = |value: fn(&StoredSegment) -> i32| segments.iter().map(value).collect::<Vec<i32>>();
            let times = |value: fn(&StoredSegment) -> i64| segments.iter().map(value).collect::<Vec<i64>>();
            sqlx::query(
                "INSERT INTO segments (team, session, transcript, first_ordinal, last_ordinal, min_line, max_line, \
                   lines, bytes, first_at, last_at, sealed, nonce, wrapped_dek, body) \
                 SELECT team, session, transcript, first_ordinal, last_ordinal, min_line, max_line, lines, \
                   bytes, first_at, last_at, $15, nonce, wrapped_dek, body \
                 FROM unnest($1::int[], $2::int[], $3::smallint[], $4::int[], $5::int[], $6::int[], $7::int[], \
                   $8::int[], $9::int[], $10::bigint[], $11::bigint[], $12::bytea[], $13::bytea[], $14::bytea[]) \
                 AS u(team, session, transcript, first_ordinal, last_ordinal, min_line, max_line, lines, bytes, \
                   first_at, last_at, nonce, wrapped_dek, body)",
            )
            .bind(ints(|segment| segment.team))
            .bind(ints(|segment| segment.session))
            .bind(segments.iter().map(|segment| segment.transcript).collect::<Vec<i16>>())
            .bind(ints(|segment| segment.first_ordinal))
            .bind(ints(|segment| segment.last_ordinal))
            .bind(ints(|segment| segment.min_line))
            .bind(ints(|segment| segment.max_line))
            .bind(ints(|segment| segment.lines))
            .bind(ints(|segment| segment.bytes))
            .bind(times(|segment| segment.first_at))
            .bind(times(|segment| segment.last_at))
            .bind(nonces)
            .bind(wrapped)
            .bind(bodies)
            .bind(seals)
            .execute(&mut *connection)
            .await
            .expect("segments are stored");
        }
    }
}

impl StoredSegment {
    fn row_id(&self) -> String {
        format!("{}/{}/{}/{}", self.session_id, self.name, self.first_ordinal, self.last_ordinal)
    }
}

fn context(row_id: &str) -> FieldContext<'_> {
    FieldContext { table: "segments", row_id, column: "body" }
}
