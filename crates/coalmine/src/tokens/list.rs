//! `coalmine tokens list`.

use anyhow::Result;
use coalmine_client::{Client, Token, TokenSearch};

use super::{colours, cut, one_line, width};
use crate::terminal::{self, Colours};

/// Narrower terminals get the beginnings of ids, which name tokens as well.
const WIDE: usize = 110;
/// Characters of such a beginning.
const SHORT_ID: usize = 10;
/// Fewest characters left for the memo.
const MIN_MEMO: usize = 8;

/// Prints them.
pub fn list(client: &Client, search: TokenSearch<'_>, json: bool) -> Result<()> {
    let tokens = client.search_tokens(search)?;
    if json {
        for token in tokens {
            terminal::line(&serde_json::to_string(&token)?);
        }
        return Ok(());
    }
    if tokens.is_empty() {
        terminal::line(if search == TokenSearch::default() {
            "No tokens; `coalmine tokens create http --memo 'where you put it'` makes one, `coalmine tokens kinds` says what else there is."
        } else {
            "No token fits; `coalmine tokens list` has them all."
        });
        return Ok(());
    }
    for line in table(&tokens, width(), colours()) {
        terminal::line(&line);
    }
    Ok(())
}

/// A head and a line for each, none longer than `width` characters.
fn table(tokens: &[Token], width: Option<usize>, colours: Colours) -> Vec<String> {
    let id = match width {
        Some(width) if width < WIDE => SHORT_ID,
        _ => 25,
    };
    let kind = tokens.iter().map(|token| token.kind.chars().count());
    let kind = kind.max().unwrap_or(0).clamp(4, 22);
    let hits = tokens
        .iter()
        .map(|token| token.triggered_count.to_string().len());
    let hits = hits.max().unwrap_or(0).max(4);
    let front = id + kind + hits + 8 + 16 + 5 * 2;
    let memo = width.map_or(usize::MAX, |width| {
        width.saturating_sub(front).max(MIN_MEMO)
    });
    let row = |cells: [&str; 6]| {
        let [token, name, state, count, last, text] = cells;
        format!(
            "{:<id$}  {:<kind$}  {state:<8}  {count:>hits$}  {last:<16}  {}",
            token.chars().take(id).collect::<String>(),
            cut(name, kind),
            cut(text, memo)
        )
    };
    let head = row(["TOKEN", "KIND", "STATE", "HITS", "LAST HIT", "MEMO"]);
    let mut lines = vec![colours.strong(&head)];
    lines.extend(tokens.iter().map(|token| {
        let last = token.more.get("last_triggered").and_then(|l| l.as_str());
        let last = last.filter(|last| !last.is_empty()).unwrap_or("-");
        let state = if token.enabled { "enabled" } else { "disabled" };
        row([
            &token.canarytoken,
            &token.kind,
            state,
            &token.triggered_count.to_string(),
            // To the minute.
            &last.chars().take(16).collect::<String>(),
            &one_line(&token.memo),
        ])
    }));
    lines
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn token(kind: &str, hits: u64, memo: &str) -> Token {
        serde_json::from_value(json!({
            "canarytoken": "4ylq9w1xk0d3v5m7s2b8n6c1z", "kind": kind, "memo": memo,
            "enabled": hits > 0, "url": "", "hostname": "", "triggered_count": hits,
            "last_triggered": if hits > 0 { "2026-01-02 03:04:05 (UTC)" } else { "" },
        }))
        .unwrap()
    }

    #[test]
    fn columns_fit_the_terminal() {
        let tokens = [
            token("http", 1234, "in the wiki"),
            token(
                "active-directory-login",
                0,
                &format!("a\u{1b}[2J\nb {}", "long ".repeat(99)),
            ),
        ];
        for width in [80, 109, 110, 200] {
            for line in table(&tokens, Some(width), Colours::none()) {
                assert!(line.chars().count() <= width, "{width}: {line}");
            }
        }
        let lines = table(&tokens, None, Colours::none());
        assert_eq!(
            lines[1],
            "4ylq9w1xk0d3v5m7s2b8n6c1z  http                    enabled   1234  2026-01-02 03:04  in the wiki"
        );
        assert!(
            lines[2].contains("  disabled     0  -                 a\\u{1b}[2J b long")
                && lines[2].ends_with("long"),
            "{}",
            lines[2]
        );
    }
}
