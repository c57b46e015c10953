//! `coalmine tokens`: make tokens, find them again, see who touched them, set up their zone.

mod advice;
mod check_dns;
mod find;
mod hits;
mod kinds;
mod list;

use std::fs;
use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Subcommand;
use coalmine_client::{Client, ClientError, Token, TokenSearch};
use coalmine_core::TokenKind;
use coalmine_core::token::{Reach, Takes};

use crate::folder::{Folder, Run};
use crate::remote;
use crate::terminal::{self, Colours, safe};

/// What can be done with tokens. An ID is a token's id, the beginning of one, or words of a memo.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create a token, and say what to do with it.
    #[command(after_help = "Examples:\n  \
        coalmine tokens create http --memo 'link in the wiki of the finance team'\n  \
        coalmine tokens create dns --memo 'host name in old backup script'\n  \
        coalmine tokens create http --memo 'quiet one' --with browser_scanner_enabled=false\n  \
        coalmine tokens create doc-msword --memo 'finance share' --with doc=plan.docx -o q3.docx",
        after_long_help = kinds::help())]
    Create {
        /// Kind of token; `coalmine tokens kinds` explains each.
        kind: String,
        /// Where you put it: you'll read this when somebody touches it.
        #[arg(long)]
        memo: String,
        /// What the kind asks for, NAME=VALUE, for files NAME=PATH; may be given several times.
        #[arg(long = "with", value_name = "NAME=VALUE", value_parser = pair)]
        with: Vec<(String, String)>,
        /// Save the token's file, for kinds that have one.
        #[arg(long, short, value_name = "FILE")]
        out: Option<PathBuf>,
        /// The token as a JSON object in place of words.
        #[arg(long)]
        json: bool,
    },
    /// List tokens, those that changed last first.
    #[command(after_help = "Examples:\n  \
        coalmine tokens list --kind http\n  \
        coalmine tokens list --search finance\n  \
        coalmine tokens list --json | jq -r 'select(.triggered_count > 0) | .memo'")]
    List {
        /// Only of this kind.
        #[arg(long, value_name = "KIND")]
        kind: Option<String>,
        /// Only those with every word of this at the start of the id or of a word of the memo.
        #[arg(long, value_name = "WORDS")]
        search: Option<String>,
        /// Only those that alert.
        #[arg(long, conflicts_with = "disabled")]
        enabled: bool,
        /// Only those that don't.
        #[arg(long)]
        disabled: bool,
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Show all of one token: its texts to copy, what to do with it, how to test it.
    Show {
        /// The token's id, the beginning of it, or words of its memo.
        id: String,
        /// The token as a JSON object.
        #[arg(long)]
        json: bool,
    },
    /// List who touched a token, a line for each touch.
    #[command(after_help = "Examples:\n  \
        coalmine tokens hits 4ylq9w\n  \
        coalmine tokens hits 'finance wiki' --follow\n  \
        coalmine tokens hits 4ylq9w --json | jq -r .src_host | sort -u")]
    Hits {
        /// The token's id, the beginning of it, or words of its memo.
        id: String,
        /// Go on printing touches as they come.
        #[arg(long, short)]
        follow: bool,
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Let tokens alert again.
    Enable {
        /// Each a token's id, the beginning of it, or words of its memo.
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
    },
    /// Stop tokens' alerts but keep them.
    Disable {
        /// Each a token's id, the beginning of it, or words of its memo.
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
    },
    /// Delete tokens. Touches of them are not noticed any more.
    Delete {
        /// Each a token's id, the beginning of it, or words of its memo.
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
        /// Delete their incidents too; a token that has any can't be deleted without.
        #[arg(long)]
        with_incidents: bool,
        /// Don't ask.
        #[arg(long, short)]
        yes: bool,
    },
    /// Explain the kinds of tokens, or one of them whole.
    Kinds {
        /// The kind.
        kind: Option<String>,
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Print the DNS records that the tokens' zones need, and test them.
    ///
    /// For every zone: the records to add where the zone above is kept, as lines of a zone file and in
    /// words for web forms. Then the channel, the public address, the zone above and a resolver are
    /// asked for fresh names, and the Console says which of these questions arrived. Each thing that is
    /// wrong is told with its fix; the exit code is 1 if there is any. No incidents come of it.
    ///
    /// Where the zone exists in your own network alone (--internal, or a name such as tokens.corp that
    /// nobody can have in public), it prints the lines for your resolvers instead.
    #[command(after_help = "Examples:\n  \
        coalmine tokens check-dns\n  \
        coalmine tokens check-dns --resolver 192.0.2.53\n  \
        coalmine tokens check-dns --internal --resolver 10.0.0.53:53")]
    CheckDns {
        /// Whom to ask. Usually the first one that /etc/resolv.conf names.
        #[arg(long, value_name = "ADDR[:PORT]", value_parser = check_dns::resolver)]
        resolver: Option<SocketAddr>,
        /// The zone is delegated to nobody in public: your own resolvers know it.
        #[arg(long)]
        internal: bool,
        /// One JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Save a token's file.
    Download {
        /// The token's id, the beginning of it, or words of its memo.
        id: String,
        /// Where to; `-` is standard output. Usually the file's own name in this folder.
        #[arg(long, short, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

/// Does what was asked for.
///
/// # Errors
/// The Console's refusal, or what the operator should do.
pub fn run(folder: &Folder, command: Command) -> Result<ExitCode> {
    if let Command::Kinds { kind, json } = command {
        kinds::explain(kind.as_deref(), folder.run().as_ref(), json)?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Command::Create { kind, .. } = &command {
        // Before anything else can fail: who mistypes a kind wants to know which there are.
        kinds::named(kind)?;
    }
    let run = folder.running()?;
    let client = remote::client(folder)?;
    match command {
        Command::Create {
            kind,
            memo,
            with,
            out,
            json,
        } => create(&client, &run, &kind, &memo, &with, out.as_deref(), json)?,
        Command::List {
            kind,
            search,
            enabled,
            disabled,
            json,
        } => {
            if let Some(kind) = &kind {
                kinds::named(kind)?;
            }
            let search = TokenSearch {
                words: search.as_deref(),
                kind: kind.as_deref(),
                enabled: (enabled || disabled).then_some(enabled),
            };
            list::list(&client, search, json)?;
        }
        Command::Show { id, json } => show(&client, &run, &find::one(&client, &id)?, json)?,
        Command::Hits { id, follow, json } => {
            hits::list(&client, &find::one(&client, &id)?, follow, json)?;
        }
        Command::Enable { ids } => return set_enabled(&client, &ids, true),
        Command::Disable { ids } => return set_enabled(&client, &ids, false),
        Command::Delete {
            ids,
            with_incidents,
            yes,
        } => return delete(&client, &ids, with_incidents, yes),
        Command::CheckDns {
            resolver,
            internal,
            json,
        } => {
            let options = check_dns::Options {
                resolver,
                internal,
                json,
            };
            return check_dns::check(&client, options, colours());
        }
        Command::Download { id, out } => {
            download(&client, &find::one(&client, &id)?, out.as_deref())?;
        }
        // Answered above.
        Command::Kinds { .. } => {}
    }
    Ok(ExitCode::SUCCESS)
}

/// `NAME=VALUE`.
fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("must be NAME=VALUE".to_owned()),
    }
}

fn create(
    client: &Client,
    run: &Run,
    kind: &str,
    memo: &str,
    with: &[(String, String)],
    out: Option<&Path>,
    json: bool,
) -> Result<()> {
    let known = kinds::named(kind)?;
    let mut params: Vec<(&str, &str)> = Vec::new();
    let mut files = Vec::new();
    for (name, value) in with {
        let asked = known.asks.iter().find(|asked| asked.name == name);
        match asked.map(|asked| asked.takes) {
            Some(Takes::File { .. }) => {
                let bytes = fs::read(value).with_context(|| format!("read {value}"))?;
                files.push((name.as_str(), value.as_str(), bytes));
            }
            Some(_) => params.push((name, value)),
            None if kinds::COMMON.contains(&name.as_str()) => params.push((name, value)),
            None => bail!(
                "{kind} doesn't ask for {name:?}; it asks for:{}",
                kinds::asks(known)
            ),
        }
    }
    let files: Vec<(&str, &str, &[u8])> = files.iter().map(|(n, f, b)| (*n, *f, &b[..])).collect();
    let made = match files.is_empty() {
        true => client.create_token(kind, memo, &params),
        false => client.create_token_from(kind, memo, &params, &files),
    };
    let token = made.map_err(|error| match error {
        ClientError::Refused(message) => {
            anyhow::anyhow!("{message}\n{kind} asks for:{}", kinds::asks(known))
        }
        other => other.into(),
    })?;
    let file = file_of(client, &token)?;
    if let Some(out) = out {
        let Some((_, bytes)) = &file else {
            bail!(
                "{kind} tokens have no file to save; the token {} is made all the same",
                token.canarytoken
            );
        };
        write(out, bytes).with_context(|| {
            format!(
                "the token is made all the same: `coalmine tokens download {}` saves its file",
                token.canarytoken
            )
        })?;
    }
    if json {
        terminal::line(&serde_json::to_string(&token)?);
        return Ok(());
    }
    terminal::line(&describe(&token, Some(known)));
    terminal::line(&advice::words(
        &token,
        Some(known),
        run,
        file.as_ref().map(|(name, _)| name.as_str()),
        out,
    ));
    Ok(())
}

fn show(client: &Client, run: &Run, token: &Token, json: bool) -> Result<()> {
    if json {
        terminal::line(&serde_json::to_string(token)?);
        return Ok(());
    }
    let known = kinds::find(&token.kind);
    let file = file_of(client, token)?;
    terminal::line(&describe(token, known));
    if let Some(renders) = token.more.get("renders").and_then(|r| r.as_object()) {
        for (name, text) in renders {
            let text = text.as_str().unwrap_or_default();
            terminal::line(&format!(
                "\n--- {name} ---\n{}",
                lines_safe(text.trim_end())
            ));
        }
        terminal::line("---");
    }
    terminal::line(&advice::words(
        token,
        known,
        run,
        file.as_ref().map(|(name, _)| name.as_str()),
        None,
    ));
    Ok(())
}

/// What is known of a token, a line each.
fn describe(token: &Token, known: Option<&TokenKind>) -> String {
    let more = |name: &str| token.more.get(name).and_then(|value| value.as_str());
    let title = known.map_or("", |known| known.title);
    let state = if token.enabled { "enabled" } else { "disabled" };
    let touched = match (token.triggered_count, more("last_triggered")) {
        (0, _) => "never".to_owned(),
        (1, Some(last)) if !last.is_empty() => format!("once, {last}"),
        (count, Some(last)) if !last.is_empty() => format!("{count} times, last {last}"),
        (count, _) => format!("{count} times"),
    };
    let mut rows = vec![
        ("token", token.canarytoken.clone()),
        ("kind", format!("{} ({title})", token.kind)),
        ("memo", safe(&token.memo)),
        ("state", state.to_owned()),
        ("touched", touched),
        (
            "created",
            more("created_printable").unwrap_or_default().to_owned(),
        ),
        ("url", token.url.clone()),
        ("hostname", token.hostname.clone()),
    ];
    let waits = token.more.get("placement_pending") == Some(&true.into());
    if let Some(problem) = more("placement_error") {
        let then = if waits { "; it is tried again" } else { "" };
        rows.push((
            "mail",
            format!("not in its mailbox: {}{then}", safe(problem)),
        ));
    }
    // What holds without an account isn't true of one that was made with it.
    let connected = more("integration") == Some("connected");
    if let Some(Reach::Local(limits)) = known.map(|known| known.reach)
        && !connected
    {
        rows.push(("mind", limits.to_owned()));
    }
    rows.iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| format!("{name:<9} {value}"))
        .collect::<Vec<_>>()
        .join("\n")
}

/// The token's file and its name, for kinds that have one.
fn file_of(client: &Client, token: &Token) -> Result<Option<(String, Vec<u8>)>> {
    match client.download_token(&token.canarytoken) {
        Ok((name, bytes)) => Ok(Some((plain_name(&name), bytes))),
        Err(ClientError::Refused(_)) => Ok(None),
        Err(other) => Err(other.into()),
    }
}

fn download(client: &Client, token: &Token, out: Option<&Path>) -> Result<()> {
    let (name, bytes) = file_of(client, token)?.with_context(|| {
        format!(
            "{} tokens have no file; `coalmine tokens show {}` has all that there is to place",
            token.kind, token.canarytoken
        )
    })?;
    match out {
        Some(out) if out == Path::new("-") => std::io::stdout()
            .lock()
            .write_all(&bytes)
            .context("write to standard output")?,
        Some(out) => {
            write(out, &bytes)?;
            terminal::line(&format!("Saved as {}.", out.display()));
        }
        None => {
            let mut file = fs::File::create_new(&name).with_context(|| {
                format!("write {name} in this folder (-o FILE saves it elsewhere)")
            })?;
            file.write_all(&bytes)
                .with_context(|| format!("write {name}"))?;
            terminal::line(&format!("Saved as {name}."));
        }
    }
    Ok(())
}

fn write(out: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(out, bytes).with_context(|| format!("write {}", out.display()))
}

/// A file's name that stays in its folder and steers no terminal.
fn plain_name(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let kept: String = last.chars().filter(|c| !c.is_control()).collect();
    match kept.trim_matches(['"', ' ', '.']) {
        "" => "token".to_owned(),
        name => name.to_owned(),
    }
}

fn set_enabled(client: &Client, ids: &[String], enabled: bool) -> Result<ExitCode> {
    let word = if enabled { "enabled" } else { "disabled" };
    let mut code = ExitCode::SUCCESS;
    for token in find::all(client, ids)? {
        match client.set_token_enabled(&token.canarytoken, enabled) {
            Ok(()) => terminal::line(&format!("{word:<9} {}", named(&token))),
            // What a cloud says of one token's key, or never says, keeps no other from being switched.
            Err(why @ (ClientError::Refused(_) | ClientError::Unreachable { .. })) => {
                let why = one_line(&why.to_string());
                terminal::problem(&format!("{}: {why}", token.canarytoken));
                code = ExitCode::FAILURE;
            }
            Err(other) => return Err(other.into()),
        }
    }
    Ok(code)
}

/// What the API says of a token whose incidents would be left without it.
const KEPT: &str = "Could not delete Canarydrop";

fn delete(client: &Client, ids: &[String], with_incidents: bool, yes: bool) -> Result<ExitCode> {
    let tokens = find::all(client, ids)?;
    if !yes {
        for token in &tokens {
            terminal::line(&format!(
                "{}, touched {} times",
                named(token),
                token.triggered_count
            ));
        }
        if !std::io::stdin().is_terminal() {
            bail!("nothing is deleted: say --yes where nobody can be asked");
        }
        let what = match (tokens.len(), with_incidents) {
            (1, false) => "it".to_owned(),
            (1, true) => "it and its incidents".to_owned(),
            (n, false) => format!("these {n}"),
            (n, true) => format!("these {n} and their incidents"),
        };
        terminal::line(&format!("Delete {what}? [y/N]"));
        let mut answer = String::new();
        std::io::stdin()
            .read_line(&mut answer)
            .context("read the answer")?;
        if !matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes") {
            terminal::line("Nothing is deleted.");
            return Ok(ExitCode::FAILURE);
        }
    }
    for token in &tokens {
        let deleted = client.delete_token(&token.canarytoken, with_incidents);
        deleted.map_err(|error| match error {
            ClientError::Refused(why) if !with_incidents && why == KEPT => {
                anyhow::anyhow!(
                    "{} has incidents: --with-incidents deletes them too; `coalmine tokens disable` keeps all and stops its alerts",
                    named(token)
                )
            }
            other => other.into(),
        })?;
        terminal::line(&format!("deleted   {}", named(token)));
    }
    Ok(ExitCode::SUCCESS)
}

/// A token in a few words.
fn named(token: &Token) -> String {
    format!(
        "{}  {}  {}",
        token.canarytoken,
        token.kind,
        one_line(&token.memo)
    )
}

/// Text as one line that steers no terminal.
fn one_line(text: &str) -> String {
    safe(&text.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// Text of several lines that steers no terminal.
fn lines_safe(text: &str) -> String {
    text.lines().map(safe).collect::<Vec<_>>().join("\n")
}

/// How many characters a line of the terminal has; `None` where nobody looks.
fn width() -> Option<usize> {
    if !std::io::stdout().is_terminal() {
        return None;
    }
    let (width, _) = terminal_size::terminal_size()?;
    Some(usize::from(width.0))
}

/// `text` in at most `most` characters.
fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let kept: String = text.chars().take(most.saturating_sub(1)).collect();
    format!("{kept}…")
}

fn colours() -> Colours {
    Colours::of_output()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_pairs() {
        assert_eq!(pair("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert!(pair("=b").is_err() && pair("ab").is_err());
    }

    #[test]
    fn a_file_stays_in_its_folder() {
        for (given, wanted) in [
            ("q3.docx", "q3.docx"),
            ("../../etc/passwd", "passwd"),
            ("..", "token"),
            ("a\\b\u{1b}[2J.txt", "b[2J.txt"),
            ("", "token"),
        ] {
            assert_eq!(plain_name(given), wanted, "{given:?}");
        }
    }

    #[test]
    fn what_is_too_long_ends_with_an_ellipsis() {
        assert_eq!(cut("größer", 6), "größer");
        assert_eq!(cut("größer", 4), "grö…");
    }
}
