//! `coalmine tokens hits`: who touched a token.

use std::collections::HashMap;
use std::thread;
use std::time::Duration;

use anyhow::Result;
use coalmine_client::{Client, Event, Incident, Token};
use serde_json::Value;

use super::{colours, kinds, one_line};
use crate::terminal::{self, Colours, safe};

/// Time between looks with `--follow`.
const LOOK: Duration = Duration::from_millis(500);
/// Longest a field is shown.
const MAX_FIELD: usize = 200;

/// Prints touches, oldest first; with `follow`, also those to come.
pub fn list(client: &Client, token: &Token, follow: bool, json: bool) -> Result<()> {
    let colours = colours();
    let mut since = None;
    let mut shown: HashMap<String, usize> = HashMap::new();
    loop {
        let mut fresh: Vec<(Incident, Event)> = Vec::new();
        // A feed has so many incidents at most: the rest is asked for.
        loop {
            let feed = client.token_incidents(&token.canarytoken, since)?;
            let Some(max) = feed.max_updated_id.filter(|_| !feed.incidents.is_empty()) else {
                break;
            };
            since = Some(max);
            for incident in feed.incidents {
                fresh.extend(new_events(client, incident, &mut shown)?);
            }
        }
        fresh.sort_by(|(_, a), (_, b)| time(a).total_cmp(&time(b)));
        if fresh.is_empty() && shown.is_empty() && !json && since.is_none() {
            terminal::line(if follow {
                "Nobody has touched it; waiting."
            } else {
                "Nobody has touched it."
            });
        }
        for (incident, event) in &fresh {
            terminal::line(&if json {
                serde_json::to_string(&object(incident, event))?
            } else {
                sentence(incident, event, colours)
            });
        }
        if !follow {
            return Ok(());
        }
        since = since.or(Some(0));
        thread::sleep(LOOK);
    }
}

/// Events of `incident` beyond those that were shown already.
fn new_events(
    client: &Client,
    mut incident: Incident,
    shown: &mut HashMap<String, usize>,
) -> Result<Vec<(Incident, Event)>> {
    if u64::try_from(incident.events.len()).unwrap_or(u64::MAX) < incident.events_count {
        incident.events = client.incident(&incident.id)?.events;
    }
    let events = std::mem::take(&mut incident.events);
    let before = shown
        .insert(incident.id.clone(), events.len())
        .unwrap_or_default();
    let fresh = events.into_iter().skip(before);
    Ok(fresh.map(|event| (incident.clone(), event)).collect())
}

fn time(event: &Event) -> f64 {
    event
        .0
        .get("timestamp")
        .and_then(Value::as_f64)
        .unwrap_or_default()
}

/// The event with what its incident knows.
fn object(incident: &Incident, event: &Event) -> Value {
    let mut object: serde_json::Map<String, Value> = event.0.clone().into_iter().collect();
    object.insert("incident".to_owned(), incident.id.as_str().into());
    object
        .entry("src_host")
        .or_insert_with(|| incident.src_host.as_str().into());
    object.into()
}

/// When, who, through which channel, what, and what its kind tells beyond that.
fn sentence(incident: &Incident, event: &Event, colours: Colours) -> String {
    let when = event.get("timestamp_std").unwrap_or_default();
    let when = when.split(" UTC").next().unwrap_or_default();
    let mut what = vec![event.get("channel").unwrap_or_default()];
    let info = |name: &str| {
        let value = event.0.get("additional_info")?.get(name)?;
        value.as_str().map(str::to_owned)
    };
    what.extend(info("method").or_else(|| info("query_type")));
    what.extend(event.get("url").or_else(|| event.get("hostname")));
    let agent = event
        .0
        .get("headers")
        .and_then(Value::as_object)
        .and_then(|headers| {
            let mut headers = headers.iter();
            headers.find(|(name, _)| name.eq_ignore_ascii_case("user-agent"))
        })
        .and_then(|(_, value)| value.as_str());
    what.extend(agent.map(|agent| format!("\"{agent}\"")));
    let kind = event.get("kind").unwrap_or_default();
    for field in kinds::find(&kind).into_iter().flat_map(|kind| kind.event) {
        let value = event.get(&field.name.to_lowercase()).unwrap_or_default();
        if !value.is_empty() && !what.contains(&value) {
            what.push(format!("{}={value}", field.name));
        }
    }
    let what: Vec<String> = what
        .iter()
        .filter(|text| !text.is_empty())
        .map(|text| super::cut(&one_line(text), MAX_FIELD))
        .collect();
    format!(
        "{}  {:<15}  {}",
        colours.faint(when),
        colours.strong(&safe(&incident.src_host)),
        what.join("  ")
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn incident() -> Incident {
        serde_json::from_value(json!({
            "id": "incident:canarytoken:00:192.0.2.10:1586260854", "updated_id": 7,
            "created": "1586260854", "src_host": "192.0.2.10",
        }))
        .unwrap()
    }

    #[test]
    fn a_touch_is_a_line_that_steers_no_terminal() {
        let event: Event = serde_json::from_value(json!({
            "channel": "http", "kind": "cloned-web", "url": "http://t.example/x",
            "headers": {"user-agent": "a\u{1b}[2J"}, "additional_info": {"method": "GET"},
            "timestamp": 1_586_260_854, "timestamp_std": "2020-04-07 12:00:54 UTC+0000",
            "cloned_site": "evil.example", "referer": "",
        }))
        .unwrap();
        assert_eq!(
            sentence(&incident(), &event, Colours::none()),
            "2020-04-07 12:00:54  192.0.2.10       http  GET  http://t.example/x  \"a\\u{1b}[2J\"  \
             cloned_site=evil.example"
        );
        let object = object(&incident(), &event);
        assert_eq!(object["src_host"], "192.0.2.10");
        assert_eq!(object["incident"], incident().id);
        assert_eq!(object["url"], "http://t.example/x");
    }
}
