//! `coalmine incidents`: a sentence for each, as they are and as they come.

use std::thread;
use std::time::Duration;

use anyhow::Result;
use coalmine_client::{Incident, State};

use crate::folder::Folder;
use crate::remote;
use crate::terminal::{self, Colours, safe};

/// Time between looks with `--follow`.
const LOOK: Duration = Duration::from_millis(500);
/// Most user names told of one incident.
const MAX_USERS: usize = 5;

/// What the command line says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Go on with new and changed ones.
    pub follow: bool,
    /// JSON lines.
    pub json: bool,
    /// Only those nobody has acknowledged.
    pub unacknowledged: bool,
}

/// Prints them.
///
/// # Errors
/// When the Console isn't running or refuses.
pub fn list(folder: &Folder, options: Options, colours: Colours) -> Result<()> {
    let client = remote::client(folder)?;
    let state = if options.unacknowledged {
        State::Unacknowledged
    } else {
        State::All
    };
    let mut since = None;
    loop {
        let feed = client.incidents(state, since)?;
        if feed.incidents.is_empty() && since.is_none() && !options.json {
            let hint = if options.follow {
                "waiting"
            } else {
                "`coalmine poke` makes some"
            };
            terminal::line(&format!("No incidents; {hint}."));
        }
        for incident in &feed.incidents {
            terminal::line(&if options.json {
                serde_json::to_string(incident)?
            } else {
                sentence(incident, colours)
            });
        }
        since = feed.max_updated_id.or(since).or(Some(0));
        if !options.follow {
            return Ok(());
        }
        thread::sleep(LOOK);
    }
}

/// One incident for people: when, who, what, where, how often, with which names.
pub fn sentence(incident: &Incident, colours: Colours) -> String {
    let time = incident.created_std.split(" UTC").next().unwrap_or("");
    let source = match incident.src_host.as_str() {
        "" | "0.0.0.0" => "-",
        host => host,
    };
    let what = if incident.acknowledged {
        colours.faint(&incident.summary)
    } else {
        colours.bad(&incident.summary)
    };
    let place = if incident.memo.is_empty() {
        format!("on {}", safe(&incident.name))
    } else {
        format!("of \"{}\"", safe(&incident.memo))
    };
    let count = match incident.events_count {
        0 | 1 => String::new(),
        n => format!(", {n} times"),
    };
    let users = match users(incident).as_slice() {
        [] => String::new(),
        [one] => format!(", as {one}"),
        many => format!(", as {}", many.join(", ")),
    };
    format!(
        "{}  {source:<15}  {what} {place}{count}{}",
        colours.faint(time),
        colours.strong(&users)
    )
}

/// The user names tried, each once, in the order seen.
fn users(incident: &Incident) -> Vec<String> {
    let mut users: Vec<String> = Vec::new();
    let names = incident
        .events
        .iter()
        .filter_map(|event| event.get("username").or_else(|| event.get("user")));
    for name in names
        .filter(|name| !name.is_empty())
        .map(|name| safe(&name))
    {
        if users.len() == MAX_USERS {
            users.push("…".to_owned());
            break;
        }
        if !users.contains(&name) {
            users.push(name);
        }
    }
    users
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn incident(events: &serde_json::Value, memo: &str) -> Incident {
        serde_json::from_value(json!({
            "id": "incident:sshlogin:00:192.0.2.10:1586260854", "updated_id": 7,
            "description": {
                "acknowledged": "False", "created": "1586260854", "description": "SSH Login Attempt",
                "created_std": "2020-04-07 12:00:54 UTC+0000", "events": events,
                "events_count": "3", "name": "nas-4f2a", "src_host": "192.0.2.10", "memo": memo,
            }
        }))
        .unwrap()
    }

    #[test]
    fn a_sentence_says_who_did_what_where_and_how_often() {
        let events =
            json!([{"USERNAME": "root"}, {"USERNAME": "a\u{1b}[2J"}, {"USERNAME": "root"}]);
        assert_eq!(
            sentence(&incident(&events, ""), Colours::none()),
            "2020-04-07 12:00:54  192.0.2.10       SSH Login Attempt on nas-4f2a, 3 times, as root, a\\u{1b}[2J"
        );
    }

    #[test]
    fn a_token_is_told_by_its_memo() {
        let text = sentence(&incident(&json!([]), "wiki"), Colours::none());
        assert!(
            text.ends_with("SSH Login Attempt of \"wiki\", 3 times"),
            "{text}"
        );
    }

    #[test]
    fn many_names_end_with_an_ellipsis() {
        let events: Vec<_> = (0..9)
            .map(|n| json!({"USERNAME": format!("u{n}")}))
            .collect();
        assert_eq!(users(&incident(&json!(events), "")).len(), MAX_USERS + 1);
    }
}
