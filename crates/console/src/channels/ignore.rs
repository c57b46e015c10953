//! What a token's owner knows to be harmless: sites that copy a page rightfully, identities that
//! read a bucket every night. The token answers as always, and there is no event.

use std::collections::BTreeMap;

use coalmine_core::TokenKind;
use coalmine_core::token::Token;
use regex_lite::{Regex, RegexBuilder};
use serde_json::{Map, Value};

/// Longest list, in characters.
pub const MAX_LIST: usize = 10_000;
/// Most entries of a list.
pub const MAX_ENTRIES: usize = 200;
/// Largest compiled expression, in bytes.
const MAX_COMPILED: usize = 64 * 1024;
/// Longest text that is compared.
const MAX_TEXT: usize = 2_048;

/// The two styles of list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Regular expressions with commas between them, on the sites that an event names.
    Sites,
    /// Patterns with spaces between them, on every text that an event holds.
    Arns,
}

impl Style {
    /// As the API calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sites => "clonedsite",
            Self::Arns => "s3bucket",
        }
    }

    /// Whether tokens of `kind` have such a list.
    pub fn fits(self, kind: &TokenKind) -> bool {
        match self {
            Self::Sites => kind.event.iter().any(|field| field.name == "cloned_site"),
            Self::Arns => kind.asks.iter().any(|ask| ask.name == "s3_source_bucket"),
        }
    }

    /// Name under which a token keeps the list.
    pub const fn list(self) -> &'static str {
        match self {
            Self::Sites => "clonedsite_ignorelist",
            Self::Arns => "s3bucket_ignorelist",
        }
    }

    /// Name under which a token keeps whether it counts.
    pub const fn switch(self) -> &'static str {
        match self {
            Self::Sites => "clonedsite_ignorelist_enabled",
            Self::Arns => "s3bucket_ignorelist_enabled",
        }
    }

    fn entries(self, list: &str) -> impl Iterator<Item = &str> {
        list.split(move |c: char| match self {
            Self::Sites => c == ',' || c == '\n',
            Self::Arns => c.is_whitespace(),
        })
        .map(str::trim)
        .filter(|entry| !entry.is_empty())
        .take(MAX_ENTRIES)
    }

    fn expression(self, entry: &str) -> Result<Regex, String> {
        let text = match self {
            Self::Sites => entry.to_owned(),
            Self::Arns => {
                let parts: Vec<String> = entry.split('*').map(regex_lite::escape).collect();
                format!("^{}$", parts.join(".*"))
            }
        };
        RegexBuilder::new(&text)
            .size_limit(MAX_COMPILED)
            .build()
            .map_err(|error| format!("{entry:?} is no regular expression: {error}"))
    }
}

/// Checks a list before it's saved.
///
/// # Errors
/// What is wrong with which entry.
pub fn check(style: Style, list: &str) -> Result<(), String> {
    if style.entries(list).count() >= MAX_ENTRIES {
        return Err(format!("It has more than {MAX_ENTRIES} entries"));
    }
    style
        .entries(list)
        .try_for_each(|entry| style.expression(entry).map(drop))
}

/// Whether a touch of `token` that gave these event fields is known to be harmless.
pub(super) fn is_harmless(token: &Token, fields: &Map<String, Value>) -> bool {
    [Style::Sites, Style::Arns].into_iter().any(|style| {
        let is_on = text(&token.params, style.switch()) == "true";
        is_on && matches(style, text(&token.params, style.list()), fields)
    })
}

fn matches(style: Style, list: &str, fields: &Map<String, Value>) -> bool {
    let texts: Vec<&str> = match style {
        Style::Sites => ["cloned_site", "referer"]
            .iter()
            .filter_map(|name| fields.get(*name)?.as_str())
            .collect(),
        Style::Arns => {
            let all = fields.values().flat_map(|value| match value {
                Value::Object(inner) => inner.values().collect(),
                other => vec![other],
            });
            all.filter_map(Value::as_str).collect()
        }
    };
    style
        .entries(list)
        .filter_map(|entry| style.expression(entry).ok())
        .any(|known| {
            texts
                .iter()
                .any(|text| text.len() <= MAX_TEXT && known.is_match(text))
        })
}

fn text<'a>(params: &'a BTreeMap<String, String>, name: &str) -> &'a str {
    params.get(name).map(String::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use coalmine_core::{Seed, TokenId};
    use serde_json::json;

    use super::*;

    fn ignored(style: Style, on: &str, list: &str, fields: &Value) -> bool {
        let token = Token {
            id: TokenId::from_seed(&Seed::new([1; 32])),
            kind: "cloned-web".to_owned(),
            memo: String::new(),
            fields: Map::new(),
            params: BTreeMap::from([
                (style.switch().to_owned(), on.to_owned()),
                (style.list().to_owned(), list.to_owned()),
            ]),
        };
        is_harmless(&token, fields.as_object().unwrap())
    }

    #[test]
    fn sites_are_regular_expressions_with_commas() {
        let list = "^https?://web.archive.org, ^https?://[a-z]{2}\\.proxy\\.example/";
        let at = |site: &str| json!({"cloned_site": site, "other": "http://web.archive.org/"});
        let is = |site: &str| ignored(Style::Sites, "true", list, &at(site));
        assert!(is("https://web.archive.org/web/x") && is("http://de.proxy.example/"));
        assert!(!is("https://evil.example/web.archive.org") && !is(""));
        let referer = json!({"referer": "http://web.archive.org/"});
        assert!(ignored(Style::Sites, "true", list, &referer));
        assert!(
            !ignored(Style::Sites, "false", list, &referer),
            "switched off"
        );
        assert!(
            !ignored(Style::Sites, "true", "", &referer),
            "nothing listed"
        );
    }

    #[test]
    fn identities_are_patterns_with_spaces_that_fit_as_a_whole() {
        let list = "arn:aws:sts::*:assumed-role/backup/* arn:aws:iam::1:user/bob";
        let by = |arn: &str| json!({"additional_info": {"requester": arn}});
        let is = |arn: &str| ignored(Style::Arns, "true", list, &by(arn));
        assert!(is("arn:aws:sts::12:assumed-role/backup/x") && is("arn:aws:iam::1:user/bob"));
        assert!(!is("arn:aws:iam::1:user/bobby") && !is("xarn:aws:iam::1:user/bob"));
    }

    #[test]
    fn what_is_no_expression_or_too_large_is_refused() {
        assert_eq!(check(Style::Sites, "a,b"), Ok(()));
        assert_eq!(
            check(Style::Arns, "a(b *"),
            Ok(()),
            "no expression but a pattern"
        );
        assert!(check(Style::Sites, "a,(b").unwrap_err().contains("\"(b\""));
        assert!(check(Style::Sites, "(a{1000}){1000}").is_err());
        assert!(check(Style::Arns, &"a ".repeat(MAX_ENTRIES)).is_err());
    }
}
