//! The path that a browser is redirected to after signing in. Protects against open redirects: the result is always a
//! path of this site, however `return_to` is spelled.

use reqwest::Url;

use crate::config::PublicUrl;

/// The target without `return_to`.
const HOME: &str = "/";

/// The longest `return_to` that is accepted, in bytes.
const MAX_BYTES: usize = 1024;

/// The path of this site that `return_to` means to a browser; the home page if it means anything else.
pub(crate) fn within(public_url: &PublicUrl, return_to: Option<&str>) -> String {
    return_to.and_then(|wanted| path_of(public_url, wanted)).unwrap_or_else(|| HOME.to_owned())
}

/// Only plain paths are accepted: one slash, then nothing that some parser might read as a host or strip (backslashes,
/// control characters, white space). After parsing, the URL must still belong to this site and still be such a path:
/// `/.//evil.example` resolves to `//evil.example`.
fn path_of(public_url: &PublicUrl, wanted: &str) -> Option<String> {
    let is_plain = |path: &str| {
        path.len() <= MAX_BYTES
            && path.starts_with('/')
            && !path.starts_with("//")
            && path.bytes().all(|b| b.is_ascii_graphic() && b != b'\\')
    };
    if !is_plain(wanted) {
        return None;
    }
    let own = Url::parse(public_url.origin()).ok()?;
    let url = own.join(wanted).ok()?;
    if url.origin() != own.origin() || !url.username().is_empty() || url.password().is_some() {
        return None;
    }
    let mut path = url.path().to_owned();
    if let Some(query) = url.query() {
        path.push('?');
        path.push_str(query);
    }
    if let Some(fragment) = url.fragment() {
        path.push('#');
        path.push_str(fragment);
    }
    // Signing in must not redirect to signing in.
    let is_sign_in = path.starts_with("/auth/github") || path.starts_with("/auth/login-link");
    (is_plain(&path) && !is_sign_in).then_some(path)
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
    fn paths_of_this_site_are_kept_and_others_become_the_home_page() {
        for (wanted, path) in [
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
            assert_eq!(within(&own(), Some(wanted)), path, "{wanted:?}");
        }
        assert_eq!(within(&own(), Some(&format!("/{}", "x".repeat(5000)))), "/");
        assert_eq!(within(&own(), None), "/");
    }

    proptest! {
        /// For any input, a browser that follows the redirect stays on this site, and the path is valid in a header.
        #[test]
        fn any_input_stays_on_this_site(
            wanted in prop_oneof![".*", "[/\\\\.%@:?# \t\n0-9a-fe]{0,12}(evil\\.example)?[/\\\\.%@:?#a-f]{0,6}"]
        ) {
            let path = within(&own(), Some(&wanted));
            let base = Url::parse("https://han.example/auth/github/callback?code=1").unwrap();
            let reached = base.join(&path).unwrap();
            prop_assert_eq!(reached.origin(), base.origin());
            prop_assert!(path.bytes().all(|b| b.is_ascii_graphic()));
            // A page that resolves the path again stays on this site too.
            prop_assert_eq!(base.join(reached.path()).unwrap().origin(), base.origin());
        }
    }
}
