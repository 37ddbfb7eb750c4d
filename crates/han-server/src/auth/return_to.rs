//! Where a browser goes after signing in: a place within this site, and never anywhere else, however the wish is
//! spelled.

use reqwest::Url;

use crate::config::PublicUrl;

/// Where nobody said.
const HOME: &str = "/";

/// The longest wish that is kept, in bytes.
const MAX_BYTES: usize = 1024;

/// The path within the site that `wish` means to a browser; the home page where it means anything else.
pub(crate) fn within(public_url: &PublicUrl, wish: Option<&str>) -> String {
    wish.and_then(|wish| path_of(public_url, wish)).unwrap_or_else(|| HOME.to_owned())
}

/// Only plain paths are taken at all: one slash, then nothing that some reader might take for a host or strip off
/// (backslashes, control characters, white space). What the URL standard then makes of it must still be of this
/// site, and must still be such a path: `/.//evil.example` resolves to `//evil.example`.
fn path_of(public_url: &PublicUrl, wish: &str) -> Option<String> {
    let is_plain = |path: &str| {
        path.len() <= MAX_BYTES
            && path.starts_with('/')
            && !path.starts_with("//")
            && path.bytes().all(|b| b.is_ascii_graphic() && b != b'\\')
    };
    if !is_plain(wish) {
        return None;
    }
    let own = Url::parse(public_url.origin()).ok()?;
    let meant = own.join(wish).ok()?;
    if meant.origin() != own.origin() || !meant.username().is_empty() || meant.password().is_some() {
        return None;
    }
    let mut path = meant.path().to_owned();
    if let Some(query) = meant.query() {
        path.push('?');
        path.push_str(query);
    }
    if let Some(fragment) = meant.fragment() {
        path.push('#');
        path.push_str(fragment);
    }
    // Signing in must not lead to signing in.
    let again = path.starts_with("/auth/github") || path.starts_with("/auth/login-link");
    (is_plain(&path) && !again).then_some(path)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use reqwest::Url;

    use super::within;
    use crate::config::PublicUrl;

    fn own() -> PublicUrl {
        PublicUrl::parse("https://han.example").unwrap()
    }

    #[test]
    fn a_wish_within_the_site_is_granted_and_any_other_leads_home() {
        for (wish, place) in [
            ("/", "/"),
            ("/sessions/abc?x=1&y=%2F#top", "/sessions/abc?x=1&y=%2F#top"),
            ("/auth/device?user_code=WDJB-MJHT", "/auth/device?user_code=WDJB-MJHT"),
            ("/a/../b", "/b"),
            ("/%2F/evil.example", "/%2F/evil.example"),
            ("/%5cevil.example", "/%5cevil.example"),
            ("/@evil.example", "/@evil.example"),
            ("//evil.example", "/"),
            ("///evil.example", "/"),
            ("/\\evil.example", "/"),
            ("\\\\evil.example", "/"),
            ("/.//evil.example", "/"),
            ("/x/..//evil.example", "/"),
            ("/%2e//evil.example", "/"),
            ("/\t/evil.example", "/"),
            ("/\n/evil.example", "/"),
            ("\t//evil.example", "/"),
            (" //evil.example", "/"),
            ("/ok\r\nSet-Cookie: x=y", "/"),
            ("https://evil.example/", "/"),
            ("https:evil.example", "/"),
            ("https://han.example/", "/"),
            ("javascript:alert(1)", "/"),
            ("evil.example", "/"),
            ("", "/"),
            ("/日本", "/"),
            ("/auth/github?return_to=/x", "/"),
        ] {
            assert_eq!(within(&own(), Some(wish)), place, "{wish:?}");
        }
        assert_eq!(within(&own(), Some(&format!("/{}", "x".repeat(5000)))), "/");
        assert_eq!(within(&own(), None), "/");
    }

    proptest! {
        /// Whatever is wished for, a browser that follows the answer stays, and the answer can stand in a header.
        #[test]
        fn nobody_is_led_elsewhere(
            wish in prop_oneof![".*", "[/\\\\.%@:?# \t\n0-9a-fe]{0,12}(evil\\.example)?[/\\\\.%@:?#a-f]{0,6}"]
        ) {
            let place = within(&own(), Some(&wish));
            let base = Url::parse("https://han.example/auth/github/callback?code=1").unwrap();
            let reached = base.join(&place).unwrap();
            prop_assert_eq!(reached.origin(), base.origin());
            prop_assert!(place.bytes().all(|b| b.is_ascii_graphic()));
            // Resolving once more, as a page that takes the path up would, stays as well.
            prop_assert_eq!(base.join(reached.path()).unwrap().origin(), base.origin());
        }
    }
}
