//! Whose site a URL belongs to, for kinds that tell a copied site from the true one.

/// The host of a URL, or of a host name with or without port, in lower case and without the last
/// dot; empty where there is none.
pub fn host(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
    let place = authority.rsplit('@').next().unwrap_or_default();
    let host = match place.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => place.split(':').next().unwrap_or_default(),
    };
    host.trim_end_matches('.').to_ascii_lowercase()
}

/// Whether `host` is `site` or a name below it.
pub fn is_of(host: &str, site: &str) -> bool {
    host.strip_suffix(site)
        .is_some_and(|front| front.is_empty() || front.ends_with('.'))
}

/// The host that the owner gave as the true site, if it can be one.
///
/// # Errors
/// What it takes, for people.
pub fn given(text: &str) -> Result<String, String> {
    let host = host(text.trim());
    let letters = |c: char| c.is_alphanumeric() || matches!(c, '-' | '.' | ':' | '_');
    if host.is_empty() || host.len() > 253 || !host.chars().all(letters) {
        return Err("takes the true site's host name, e.g. www.example.com".to_owned());
    }
    Ok(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_a_url_is_found_in_every_spelling() {
        for (url, expected) in [
            ("https://Www.Example.com:8443/a?b#c", "www.example.com"),
            ("www.example.com.", "www.example.com"),
            ("http://user:pw@example.com/", "example.com"),
            ("https://www.example.com\\@evil.example/", "www.example.com"),
            ("http://[2001:db8::1]:80/", "2001:db8::1"),
            ("file:///C:/copy.html", ""),
            ("", ""),
        ] {
            assert_eq!(host(url), expected, "{url}");
        }
    }

    #[test]
    fn names_below_a_site_are_the_site_and_names_that_end_alike_are_not() {
        assert!(is_of("example.com", "example.com"));
        assert!(is_of("www.example.com", "example.com"));
        assert!(!is_of("badexample.com", "example.com"));
        assert!(!is_of("example.com.evil.example", "example.com"));
        assert!(!is_of("", "example.com"));
    }

    #[test]
    fn what_is_no_host_is_refused() {
        assert_eq!(
            given(" https://Example.com/login "),
            Ok("example.com".to_owned())
        );
        for text in ["", "https://", "a b", "\"><script>", "'"] {
            assert!(given(text).is_err(), "{text}");
        }
    }
}
