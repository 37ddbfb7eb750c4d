//! The path that a browser is redirected to after signing in. Protects against open redirects: the result is always a
//! path of this site, however `return_to` is spelled.
//!
//! A sign-in link does not know where its browser was going: a cookie keeps the path from the sign-in page until a link
//! is used in the same browser. What a cookie says is checked like any other `return_to`.

use axum::http::HeaderMap;
use axum::http::header::COOKIE;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::Url;

use crate::config::PublicUrl;

/// The target without `return_to`.
const HOME: &str = "/";

/// How long the cookie keeps the path, in seconds: as long as a sign-in link is valid.
const COOKIE_SECONDS: u32 = 15 * 60;

/// The paths where signing in takes place.
const SIGN_IN: [&str; 3] = ["/auth/github", "/auth/login-link", "/auth/sign-in"];

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
    let is_sign_in = SIGN_IN.iter().any(|prefix| path.starts_with(prefix));
    (is_plain(&path) && !is_sign_in).then_some(path)
}

fn cookie_name(public_url: &PublicUrl) -> &'static str {
    if public_url.is_https() { "__Host-han_return_to" } else { "han_return_to" }
}

/// The `Set-Cookie` header that keeps a path which [`within`] returned.
pub(crate) fn keep(public_url: &PublicUrl, path: &str) -> String {
    cookie(public_url, &URL_SAFE_NO_PAD.encode(path), COOKIE_SECONDS)
}

/// The `Set-Cookie` header that deletes the cookie.
pub(crate) fn forget(public_url: &PublicUrl) -> String {
    cookie(public_url, "", 0)
}

/// The path that the browser's cookie keeps; the home page without one.
pub(crate) fn kept(public_url: &PublicUrl, headers: &HeaderMap) -> String {
    let pairs = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let value = pairs.flat_map(|value| value.split(';')).find_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        (name == cookie_name(public_url)).then_some(value)
    });
    let path = value.and_then(|value| URL_SAFE_NO_PAD.decode(value).ok());
    within(public_url, path.and_then(|path| String::from_utf8(path).ok()).as_deref())
}

fn cookie(public_url: &PublicUrl, value: &str, seconds: u32) -> String {
    let secure = if public_url.is_https() { "; Secure" } else { "" };
    let name = cookie_name(public_url);
    format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={seconds}{secure}")
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderValue};
    use proptest::prelude::*;
    use reqwest::Url;

    use super::{keep, kept, within};
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
            ("/auth/sign-in?return_to=/x", "/"),
        ] {
            assert_eq!(within(&own(), Some(wanted)), path, "{wanted:?}");
        }
        assert_eq!(within(&own(), Some(&format!("/{}", "x".repeat(5000)))), "/");
        assert_eq!(within(&own(), None), "/");
    }

    /// What a browser sends back after this `Set-Cookie`.
    fn sent_back(set: &str) -> HeaderMap {
        let pair = set.split(';').next().unwrap();
        HeaderMap::from_iter([(
            axum::http::header::COOKIE,
            HeaderValue::from_str(&format!("other=1; {pair}; last=2")).unwrap(),
        )])
    }

    #[test]
    fn the_cookie_keeps_a_path_and_is_not_trusted() {
        let path = "/sessions/abc?x=1;y=\"2\"&z=%2F,#top";
        assert_eq!(kept(&own(), &sent_back(&keep(&own(), path))), within(&own(), Some(path)));
        for foreign in ["//evil.example", "https://evil.example", "/auth/login-link?token=x", ""] {
            assert_eq!(kept(&own(), &sent_back(&keep(&own(), foreign))), "/", "{foreign}");
        }
        assert_eq!(kept(&own(), &HeaderMap::new()), "/");
        assert_eq!(kept(&own(), &sent_back("__Host-han_return_to=%%%")), "/");
        assert!(keep(&own(), "/x").ends_with("; Path=/; HttpOnly; SameSite=Lax; Max-Age=900; Secure"));
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
