//! Tests KEKs, the team keys that they wrap, and keyed hashes.

use han_crypto::{
    BlindKey, CryptoError, FieldContext, Kek, KekId, KekRing, KeyPurpose, OsEntropy, TeamKey, TeamKeyName,
    TeamKeyRing, wrapped_kek_id,
};
use han_types::TeamId;
use proptest::prelude::*;

use crate::{KEK_A, KEK_B, Seeded, TEAM, kek_ring, ring, team};

const PLACE: FieldContext<'_> = FieldContext { table: "t", row_id: "r", column: "c" };

fn content_key(team_id: &TeamId, version: u32) -> TeamKeyName<'_> {
    TeamKeyName { team_id, version, purpose: KeyPurpose::Content }
}

/// Whether two keys are equal, determined by their hashes.
fn same(a: &TeamKey, b: &TeamKey) -> bool {
    BlindKey::new(a).blind("same", b"") == BlindKey::new(b).blind("same", b"")
}

#[test]
fn a_kek_is_parsed_in_both_alphabets_with_and_without_padding() {
    let id = |text: &str| Kek::from_base64(&text.into()).unwrap().id();
    let standard = id(KEK_B);
    for text in [
        KEK_B.trim_end_matches('=').to_owned(),
        KEK_B.replace('+', "-").replace('/', "_"),
        KEK_B.replace('+', "-").replace('/', "_").replace('=', ""),
        format!("  {KEK_B}\n"),
    ] {
        assert_eq!(id(&text), standard, "{text:?}");
    }
    // SHA-256 of the bytes 0 to 31, computed by another implementation.
    assert_eq!(id(KEK_A).to_string(), "630dcd29");
    assert_eq!("630dcd29".parse(), Ok(id(KEK_A)));
    for text in ["", "630dcd2", "630DCD29", "630dcd290", "630dcd2g"] {
        assert!(text.parse::<KekId>().is_err(), "{text:?}");
    }
}

#[test]
fn an_invalid_kek_is_rejected_with_its_name_and_the_remedy() {
    for text in [
        "",
        "changeme",
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8==",
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHg==",
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8g",
        // Trailing bits set; a character of neither alphabet; one of each alphabet.
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh9=",
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh!=",
        "-/79/Pv6+fj39vX08/Lx8O/u7ezr6uno5+bl5OPi4eA=",
    ] {
        let error = Kek::from_base64(&text.into()).unwrap_err().to_string();
        assert!(error.contains("openssl rand -base64 32"), "{text:?}: {error}");
        assert!(text.is_empty() || !error.contains(text), "the error repeats the secret: {error}");
    }
    let previous = format!("{KEK_A},short");
    let error = KekRing::from_secrets(&KEK_B.into(), Some(&previous.into())).unwrap_err();
    assert!(error.to_string().contains("entry 2 of KEK_SECRET_PREVIOUS"), "{error}");
    let error = KekRing::from_secrets(&"".into(), None).unwrap_err();
    assert!(error.to_string().contains("KEK_SECRET is not"), "{error}");
}

#[test]
fn a_ring_has_each_kek_once_and_wraps_with_the_active_one() {
    let ring = kek_ring(KEK_A, Some(&format!(" {KEK_B}, {KEK_A},,")));
    let (a, b) = (kek_ring(KEK_A, None).active_id(), kek_ring(KEK_B, None).active_id());
    assert_eq!(ring.ids().collect::<Vec<_>>(), [a, b]);
    assert_eq!(ring.active_id(), a);
    let flipped = ring.with_active(b).unwrap();
    assert_eq!(flipped.active_id(), b);
    assert_eq!(flipped.ids().collect::<Vec<_>>(), [a, b]);
    let stranger: KekId = "00000000".parse().unwrap();
    assert_eq!(ring.with_active(stranger).unwrap_err(), CryptoError::UnknownKek { id: stranger });
    assert_eq!(kek_ring(KEK_A, Some("")).ids().count(), 1);
}

#[test]
fn a_team_key_is_unwrapped_only_under_its_own_name() {
    let (ring, home, other) = (kek_ring(KEK_A, None), team(TEAM), team("other"));
    let name = content_key(&home, 1);
    let key = TeamKey::generate(&OsEntropy::new());
    let wrapped = ring.wrap_team_key(&name, &key, &OsEntropy::new()).unwrap();
    assert_eq!(wrapped.len(), 86);
    assert!(same(&ring.unwrap_team_key(&name, &wrapped).unwrap(), &key));
    let upper = team(&TEAM.to_uppercase());
    assert!(ring.unwrap_team_key(&content_key(&upper, 1), &wrapped).is_ok());

    for wrong in [
        content_key(&other, 1),
        content_key(&home, 2),
        TeamKeyName { purpose: KeyPurpose::Search, ..name },
        TeamKeyName { purpose: KeyPurpose::Blind, ..name },
    ] {
        let error = ring.unwrap_team_key(&wrong, &wrapped).unwrap_err();
        assert_eq!(error, CryptoError::NotAuthentic { what: "wrapped team key" }, "{wrong:?}");
    }
    let id = ring.active_id();
    assert_eq!(
        kek_ring(KEK_B, None).unwrap_team_key(&name, &wrapped).unwrap_err(),
        CryptoError::UnknownKek { id }
    );
}

#[test]
fn a_kek_rotation_changes_only_the_wrapped_keys() {
    let home = team(TEAM);
    let name = content_key(&home, 1);
    let (before, during, after) =
        (kek_ring(KEK_A, None), kek_ring(KEK_B, Some(KEK_A)), kek_ring(KEK_B, None));
    let key = TeamKey::generate(&OsEntropy::new());
    let old = before.wrap_team_key(&name, &key, &OsEntropy::new()).unwrap();
    let rings = |keks: &KekRing, wrapped: &str| {
        TeamKeyRing::new(home.clone(), 1, [(1, keks.unwrap_team_key(&name, wrapped).unwrap())]).unwrap()
    };
    let sealed = rings(&before, &old).field(PLACE).encrypt(b"kept", &OsEntropy::new()).unwrap();

    let new = during.rewrap_team_key(&name, &old, &OsEntropy::new()).unwrap().unwrap();
    assert_eq!(wrapped_kek_id(&old), Ok(before.active_id()));
    assert_eq!(wrapped_kek_id(&new), Ok(after.active_id()));
    assert_eq!(during.rewrap_team_key(&name, &new, &OsEntropy::new()), Ok(None));
    assert_eq!(rings(&after, &new).field(PLACE).decrypt(&sealed), Ok(b"kept".to_vec()));
}

proptest! {
    #[test]
    fn a_changed_wrapped_key_is_detected(index: prop::sample::Index, with: char) {
        let (ring, home) = (kek_ring(KEK_A, None), team(TEAM));
        let name = content_key(&home, 1);
        let wrapped = ring.wrap_team_key(&name, &TeamKey::generate(&OsEntropy::new()), &OsEntropy::new()).unwrap();
        let at = index.index(wrapped.len());
        let changed = format!("{}{with}{}", &wrapped[..at], &wrapped[at + 1..]);
        prop_assume!(changed != wrapped);
        prop_assert!(ring.unwrap_team_key(&name, &changed).is_err());
        prop_assert!(ring.unwrap_team_key(&name, &wrapped[..at]).is_err());
    }

    #[test]
    fn blind_hashes_are_equal_only_if_domain_and_text_are(a in ".{0,12}", b in ".{0,12}", c in ".{0,12}", d in ".{0,12}") {
        let key = BlindKey::new(&TeamKey::generate(&Seeded::new(1)));
        let equal = key.blind(&a, b.as_bytes()) == key.blind(&c, d.as_bytes());
        prop_assert_eq!(equal, (&a, &b) == (&c, &d));
    }
}

#[test]
fn blind_hashes_differ_between_domains_and_teams() {
    let [a, b] = [1, 2].map(|seed| BlindKey::new(&TeamKey::generate(&Seeded::new(seed))));
    assert_ne!(a.blind("project", b"/home/x"), b.blind("project", b"/home/x"));
    assert_ne!(a.blind("project", b"/home/x"), a.blind("repo", b"/home/x"));
    // The boundary between domain and text must be unambiguous.
    assert_ne!(a.blind("ab", b"c"), a.blind("a", b"bc"));
    let id = a.blind_id("prj_", "project", b"/home/x");
    assert_eq!(id, a.blind_id("prj_", "project", b"/home/x"));
    assert!(id.parse::<han_types::ProjectId>().is_ok() && id.len() == 36, "{id}");
}

#[test]
fn key_purposes_round_trip() {
    for purpose in [KeyPurpose::Content, KeyPurpose::Search, KeyPurpose::Blind] {
        assert_eq!(purpose.as_str().parse(), Ok(purpose));
    }
    assert!("Content".parse::<KeyPurpose>().is_err());
}

#[test]
fn debug_output_contains_no_key() {
    // Seeded, so that the secret bytes are known: the first eight of seed 1 are 0x910a2dec89025cc1, little-endian.
    let key = TeamKey::generate(&Seeded::new(1));
    let keks = kek_ring(KEK_A, Some(KEK_B));
    let kek = Kek::from_base64(&KEK_A.into()).unwrap();
    let team_ring = ring(TEAM, 1);
    let shown = format!(
        "{key:?} {:?} {kek:?} {keks:?} {team_ring:?} {:?} {:?}",
        BlindKey::new(&key),
        team_ring.field(PLACE),
        keks.field(PLACE),
    );
    let ids: Vec<_> = keks.ids().collect();
    assert_eq!(
        shown,
        format!(
            "TeamKey(..) BlindKey(..) Kek({a}) KekRing {{ active: KekId({a}), keks: [Kek({a}), Kek({b})] }} \
             TeamKeyRing {{ team_id: {team_id:?}, versions: [1], active: 1, .. }} \
             FieldEncryptor {{ context: {PLACE:?}, .. }} FieldEncryptor {{ context: {PLACE:?}, .. }}",
            a = ids[0],
            b = ids[1],
            team_id = team(TEAM),
        )
    );
}
