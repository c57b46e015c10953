//! What every incident must hold, and that every view of it tells the same.

use serde_json::{Value, json};

use crate::nest::Nest;

/// The fields of an event that don't depend on when it happened. A few kinds tell no time at all
/// (the catalogue's test holds each to its own); what's there must be both forms of it.
pub fn fields(event: &Value) -> Value {
    let mut event = event.clone();
    let object = event.as_object_mut().unwrap();
    match (object.remove("timestamp"), object.remove("timestamp_std")) {
        (Some(timestamp), Some(std)) => {
            assert!(timestamp.is_i64() || timestamp.is_u64(), "{timestamp}");
            assert!(std.as_str().unwrap().ends_with(" UTC+0000"), "{std}");
        }
        (None, None) => {}
        half => panic!("half a time: {half:?}"),
    }
    event
}

/// The events of an incident, without their times.
pub fn events(incident: &Value) -> Vec<Value> {
    let events = incident["description"]["events"].as_array().unwrap();
    events.iter().map(fields).collect()
}

/// What every incident of a bird must hold, whatever it is.
pub fn check_frame(nest: &Nest, incident: &Value, logtype: &str, port: u16) {
    check_frame_from(nest, "127.0.0.1", incident, logtype, port);
}

/// The same where `source` is who did it.
pub fn check_frame_from(nest: &Nest, source: &str, incident: &Value, logtype: &str, port: u16) {
    let d = &incident["description"];
    assert_eq!(d["logtype"], logtype);
    assert_eq!(d["dst_port"], port.to_string());
    assert_eq!(d["dst_host"], nest.address.to_string());
    assert_eq!(d["src_host"], source);
    assert_eq!(d["acknowledged"], "False");
    assert_eq!(d["flock_id"], "flock:default");
    assert_eq!(d["flock_name"], "Default Flock");
    assert_eq!(d["name"], "files-02");
    assert_eq!(d["node_id"], nest.run["birds"][0]["node_id"]);
    assert_eq!(d["description"], incident["summary"]);
    assert!(d["src_port"].as_str().unwrap().parse::<u16>().unwrap() > 0);
    assert!(d["created_std"].as_str().unwrap().ends_with("UTC+0000"));
    assert!(incident["updated_id"].is_i64());
    let times = d["events_list"].as_str().unwrap().split(',').count();
    assert_eq!(times.to_string(), d["events_count"].as_str().unwrap());
    assert_eq!(d["matched_annotations"], json!({}));
    let id = incident["id"].as_str().unwrap();
    assert!(
        id.starts_with("incident:") && id.contains(&format!(":{source}:")),
        "{id}"
    );
    check_other_views(nest, incident);
}

/// The same incident as the official client and the command line tell it: the events' fields under
/// lower-case names.
pub fn check_other_views(nest: &Nest, incident: &Value) {
    let wanted: Vec<Value> = events(incident)
        .iter()
        .map(|event| {
            let fields = event.as_object().unwrap().iter();
            fields.map(|(k, v)| (k.to_lowercase(), v.clone())).collect()
        })
        .collect();
    let pick = |seen: &Value| -> Vec<Value> {
        let told = seen.as_array().unwrap().iter().map(|event| {
            let fields = event.as_object().unwrap().iter();
            let ours = fields.filter(|(name, _)| !name.starts_with("timestamp"));
            ours.map(|(k, v)| (k.clone(), v.clone())).collect()
        });
        told.collect()
    };
    let id = incident["id"].as_str().unwrap();
    let listed = nest.coalmine(&["incidents", "--json"]);
    let line = listed
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .find(|line| line["id"] == id)
        .expect("the command line lists it");
    assert_eq!(pick(&line["events"]), wanted, "coalmine incidents");
    let code = format!(
        "{}
for i in console.incidents.unacknowledged():
    if i.id == '{id}':
        print(json.dumps([{{k: v for k, v in vars(e).items() if k != 'console'}} for e in i.events], default=str))
",
        crate::console::CONNECT
    );
    if let Some(seen) = nest.python(&code) {
        assert_eq!(pick(&seen), wanted, "canarytools");
    }
}
