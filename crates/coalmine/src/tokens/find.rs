//! Which token an operator means.

use anyhow::{Result, bail};
use coalmine_client::{Client, ClientError, Token, TokenSearch};
use coalmine_core::TokenId;

use super::named;

/// Most candidates named in an error.
const MAX_NAMED: usize = 10;
/// From this length on, the beginning of an id counts even where memos fit too.
const MIN_CERTAIN: usize = 6;

/// The token of this id, beginning of an id, or words of a memo.
pub fn one(client: &Client, text: &str) -> Result<Token> {
    let text = text.trim();
    if text.is_empty() {
        bail!("name a token by its id, the beginning of it, or words of its memo");
    }
    if text.parse::<TokenId>().is_ok() {
        match client.token(&text.to_ascii_lowercase()) {
            Ok(token) => return Ok(with_last(client, token)?),
            // Some memo may be such a word.
            Err(ClientError::Refused(_)) => {}
            Err(other) => return Err(other.into()),
        }
    }
    let words = Some(text);
    let found = client.search_tokens(TokenSearch {
        words,
        ..TokenSearch::default()
    })?;
    choose(text, found)
}

/// The tokens of these names, each once. Nothing has been done when one isn't found.
pub fn all(client: &Client, texts: &[String]) -> Result<Vec<Token>> {
    let mut found: Vec<Token> = Vec::new();
    for text in texts {
        let token = one(client, text)?;
        if found.iter().all(|t| t.canarytoken != token.canarytoken) {
            found.push(token);
        }
    }
    Ok(found)
}

/// As the search shows it, which says more.
fn with_last(client: &Client, token: Token) -> Result<Token, ClientError> {
    let found = client.search_tokens(TokenSearch {
        words: Some(&token.canarytoken),
        ..TokenSearch::default()
    })?;
    let same = |t: &Token| t.canarytoken == token.canarytoken;
    Ok(found.into_iter().find(same).unwrap_or(token))
}

/// The one of `found` (those that the search gives for `text`) that is meant.
fn choose(text: &str, mut found: Vec<Token>) -> Result<Token> {
    let lower = text.to_ascii_lowercase();
    let by_id = |t: &Token| t.canarytoken.starts_with(&lower);
    let by_memo = |t: &Token| t.memo.trim().eq_ignore_ascii_case(text);
    let only = |fits: &dyn Fn(&Token) -> bool| {
        let mut places = found.iter().enumerate().filter(|(_, t)| fits(t));
        let first = places.next().map(|(place, _)| place);
        first.filter(|_| places.next().is_none())
    };
    let certain = only(&by_id).filter(|_| text.len() >= MIN_CERTAIN);
    if let Some(place) = certain
        .or_else(|| only(&|_| true))
        .or_else(|| only(&by_memo))
    {
        return Ok(found.swap_remove(place));
    }
    if found.is_empty() {
        bail!(
            "no token has an id or a memo with {text:?}; `coalmine tokens list` has all that there are"
        );
    }
    let count = found.len();
    let mut lines: Vec<String> = found
        .iter()
        .take(MAX_NAMED)
        .map(|token| format!("  {}", named(token)))
        .collect();
    if count > MAX_NAMED {
        lines.push(format!("  and {} more", count - MAX_NAMED));
    }
    bail!(
        "{text:?} may be any of {count} tokens; say more of the id or the memo:\n{}",
        lines.join("\n")
    );
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn token(id: &str, memo: &str) -> Token {
        serde_json::from_value(json!({
            "canarytoken": id, "kind": "http", "memo": memo, "enabled": true, "url": "",
            "hostname": "", "triggered_count": 0,
        }))
        .unwrap()
    }

    #[test]
    fn one_that_fits_is_meant_whatever_it_fits_by() {
        let wiki = token("4ylq9w1xk0d3v5m7s2b8n6c1z", "finance wiki");
        for text in ["4", "4YLQ", "fin", "wiki finance"] {
            let found = choose(text, vec![wiki.clone()]).unwrap();
            assert_eq!(found, wiki, "{text}");
        }
        let error = choose("nothing", Vec::new()).unwrap_err().to_string();
        assert!(error.contains("coalmine tokens list"), "{error}");
    }

    #[test]
    fn where_several_fit_they_are_named_unless_one_is_certain() {
        let a = token("wiki00000000000000000000a", "old share");
        let b = token("4ylq9w1xk0d3v5m7s2b8n6c1z", "wiki");
        let c = token("4ylq9w1xk0d3v5m7s2b8n6c1y", "wiki of\nfinance");
        // The whole memo.
        assert_eq!(choose("Wiki", vec![b.clone(), c.clone()]).unwrap(), b);
        // A long beginning of an id.
        let named = token("x", "wiki00 too");
        assert_eq!(choose("wiki00", vec![a.clone(), named]).unwrap(), a);
        let error = choose("4ylq9w1", vec![b.clone(), c]).unwrap_err();
        let error = error.to_string();
        assert!(
            error.contains("any of 2 tokens") && error.contains("http  wiki of finance"),
            "{error}"
        );
        let many = vec![b; 12];
        let error = choose("w", many).unwrap_err().to_string();
        assert!(error.ends_with("and 2 more"), "{error}");
    }
}
