use std::time::Duration;

use coalmine_core::{Seed, suite};
use serde_json::{Map, Value as Json, json};

use super::*;

/// Conversations with snmpd 5.9.3 of Debian 12, one a line, behind a line with its engine id. Its
/// configuration was the package's, with `sysDescr`, `sysName`, `sysContact root`, `sysLocation
/// Server Room`, and `rocommunity public` for the objects that the decoy has.
const RECORDED: &str = include_str!("testdata/snmpd-5.9.3.jsonl");

struct Recorded {
    name: String,
    ask: Vec<u8>,
    answer: Vec<u8>,
}

fn recorded() -> (Vec<u8>, Vec<Recorded>) {
    let mut lines = RECORDED
        .lines()
        .map(|line| serde_json::from_str::<Json>(line).unwrap());
    let bytes = |value: &Json| -> Vec<u8> {
        let text = value.as_str().unwrap().as_bytes();
        text.chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    };
    let engine = bytes(&lines.next().unwrap()["engine"]);
    let talks = lines.map(|line| Recorded {
        name: line["name"].as_str().unwrap().to_owned(),
        ask: bytes(&line["ask"]),
        answer: bytes(&line["answer"]),
    });
    (engine, talks.collect())
}

fn agent(settings: &Json) -> Agent {
    let settings = SnmpSettings::parse(settings.as_object().unwrap()).unwrap();
    Agent::new(&settings, &Bird::sample())
}

fn ask_at(agent: &Agent, context: &Context, input: &[u8]) -> (Vec<u8>, Vec<Json>) {
    let mut out = Out::new();
    agent.datagram(context, input, &mut out);
    let events = out.take_seen();
    let events = events
        .iter()
        .map(|s| serde_json::from_str(s.fields.get()).unwrap());
    (out.take_bytes(), events.collect())
}

fn ask(agent: &Agent, input: &[u8]) -> (Vec<u8>, Vec<Json>) {
    ask_at(agent, &Context::sample(), input)
}

/// Dotted numbers to an object identifier.
fn oid(text: &str) -> Oid {
    let numbers: Vec<u32> = text.split('.').map(|n| n.parse().unwrap()).collect();
    [&[numbers[0] * 40 + numbers[1]], &numbers[2..]].concat()
}

/// A request of version 2c (`wide`) or 1 with empty values.
fn request(wide: bool, community: &str, tag: u8, numbers: [i64; 3], oids: &[&str]) -> Vec<u8> {
    let mut bindings = Vec::new();
    for text in oids {
        put_binding(&mut bindings, &oid(text), &[5, 0]);
    }
    let mut pdu = Vec::new();
    for number in numbers {
        ber::put_integer(&mut pdu, INTEGER, number);
    }
    ber::put(&mut pdu, SEQUENCE, &bindings);
    let mut body = Vec::new();
    ber::put_integer(&mut body, INTEGER, i64::from(wide));
    ber::put(&mut body, OCTETS, community.as_bytes());
    ber::put(&mut body, tag, &pdu);
    let mut whole = Vec::new();
    ber::put(&mut whole, SEQUENCE, &body);
    whole
}

fn get(oids: &[&str]) -> Vec<u8> {
    request(true, "public", GET, [7, 0, 0], oids)
}

/// Error status, error index and the bindings (name, value with its tag) of an answer.
fn read(answer: &[u8]) -> (i64, i64, Vec<(String, Vec<u8>)>) {
    let (version, rest) = open(answer).unwrap();
    let message = Message::parse(0, version == 1, rest).unwrap();
    let pdu = Pdu::parse(message.rest).unwrap();
    assert_eq!((pdu.tag, pdu.request), (RESPONSE, 7));
    let bindings = pdu.bindings.iter();
    let bindings = bindings.map(|b| (ber::dotted(&b.oid), b.value.to_vec()));
    (pdu.first, pdu.second, bindings.collect())
}

/// The number of a single value.
fn number(agent: &Agent, now: Timestamp, object: &str) -> (u8, u64) {
    let context = Context {
        now,
        ..Context::sample()
    };
    let (answer, _) = ask_at(agent, &context, &get(&[object]));
    let (_, _, bindings) = read(&answer);
    let (tag, contents) = Reader(&bindings[0].1).element().unwrap();
    let number = contents.iter().fold(0, |sum, b| sum << 8 | u64::from(*b));
    (tag, number)
}

/// What a report says but for time and counts.
#[derive(Debug, PartialEq)]
struct Report {
    message: i64,
    engine: Vec<u8>,
    user: Vec<u8>,
    request: i64,
    object: String,
}

fn report(answer: &[u8]) -> Option<Report> {
    let (version, mut rest) = open(answer)?;
    if version != 3 {
        return None;
    }
    let mut head = Reader(rest.contents(SEQUENCE)?);
    let message = head.integer()?;
    rest.enter(OCTETS)?;
    rest.enter(SEQUENCE)?;
    let engine = rest.contents(OCTETS)?.to_vec();
    rest.integer()?;
    rest.integer()?;
    let user = rest.contents(OCTETS)?.to_vec();
    assert_eq!(rest.0.get(..4), Some(&[4, 0, 4, 0][..]));
    rest.enter(OCTETS)?;
    rest.enter(OCTETS)?;
    rest.enter(SEQUENCE)?;
    assert_eq!(rest.contents(OCTETS), Some(engine.as_slice()));
    assert_eq!(rest.contents(OCTETS), Some(&[][..]));
    let pdu = Pdu::parse(rest).unwrap();
    assert_eq!((pdu.tag, pdu.first, pdu.second), (REPORT, 0, 0));
    Some(Report {
        message,
        engine,
        user,
        request: pdu.request,
        object: ber::dotted(&pdu.bindings[0].oid),
    })
}

#[test]
fn holds_what_every_decoy_must() {
    suite::check(&KIND);
}

#[test]
fn answers_as_snmpd_did() {
    let (engine, talks) = recorded();
    let mut agent = agent(&json!({"contact": "root", "location": "Server Room"}));
    agent.engine.id = engine;
    let mut now = Context::sample().now;
    let mut limited = 0;
    let mut differ = Vec::new();
    for talk in &talks {
        // One second later each time: discovery has a pause of its own.
        now = now.plus(Duration::from_secs(1));
        let context = Context {
            now,
            ..Context::sample()
        };
        let (answer, _) = ask_at(&agent, &context, &talk.ask);
        let version_3 = open(&talk.ask).is_some_and(|(version, _)| version == 3);
        let gain = if version_3 { MAX_GAIN } else { MAX_GAIN_KNOWN };
        let room = room(talk.ask.len(), gain);
        assert!(answer.len() <= room, "{} is amplified", talk.name);
        if talk.answer.len() > room {
            limited += 1;
            continue;
        }
        // A column that ends while one behind it goes on is a general error of snmpd; the RFC wants
        // "end of MIB view".
        if talk.name == "v2 bulk mixed end" {
            continue;
        }
        let same = if version_3 {
            // Counts, time and boots are each agent's own.
            answer.is_empty() == talk.answer.is_empty() && report(&answer) == report(&talk.answer)
        } else {
            answer == talk.answer
        };
        if !same {
            differ.push(format!(
                "{}: {} instead of {}",
                talk.name,
                answer.escape_ascii(),
                talk.answer.escape_ascii()
            ));
        }
    }
    assert_eq!(differ, [] as [String; 0]);
    assert_eq!((talks.len(), limited), (575, 5));
}

#[test]
fn requests_are_seen_with_their_community_and_objects() {
    let agent = agent(&json!({}));
    let asked = ["1.3.6.1.2.1.1.1.0", "1.3.6.1.2.1.1.5.0"];
    for (wide, community, tag) in [
        (false, "public", GET),
        (true, "s3cret \u{e9}", GET_NEXT),
        (true, "", GET_BULK),
        (false, "private", SET),
    ] {
        let (answer, events) = ask(&agent, &request(wide, community, tag, [1, 0, 0], &asked));
        assert_eq!(
            events,
            [json!({
                "COMMUNITY_STRING": community,
                "REQUESTS": "1.3.6.1.2.1.1.1.0 1.3.6.1.2.1.1.5.0",
            })]
        );
        assert_eq!(answer.is_empty(), community != "public", "{community}");
    }
    // The community is read where what follows makes no sense.
    let (answer, events) = ask(&agent, b"\x30\x0e\x02\x01\0\x04\x06manage\xa0\x02");
    assert_eq!((answer.len(), events.len()), (0, 0), "longer than it is");
    let (answer, events) = ask(&agent, b"\x30\x0d\x02\x01\0\x04\x06manage\xa0\0");
    assert_eq!(answer, b"");
    assert_eq!(
        events,
        [json!({"COMMUNITY_STRING": "manage", "REQUESTS": ""})]
    );
}

#[test]
fn version_3_tells_its_engine_and_shows_the_user() {
    let agent = agent(&json!({}));
    let (_, talks) = recorded();
    let find = |name: &str| {
        let talk = talks.iter().find(|talk| talk.name == name);
        &talk.unwrap().ask
    };
    let (answer, events) = ask(&agent, find("v3 disc"));
    assert_eq!(
        events,
        [json!({"COMMUNITY_STRING": "", "REQUESTS": ""})],
        "nobody is named yet"
    );
    let told = report(&answer).unwrap();
    assert_eq!(told.object, "1.3.6.1.6.3.15.1.1.4.0");
    assert_eq!(told.engine, agent.engine.id);
    let (_, events) = ask(&agent, find("v3 ok eng user"));
    assert_eq!(
        events,
        [json!({"COMMUNITY_STRING": "admin", "REQUESTS": "1.3.6.1.2.1.1.5.0"})]
    );
    let (_, events) = ask(&agent, find("v3 ok eng user authpriv"));
    assert_eq!(
        events,
        [json!({"COMMUNITY_STRING": "admin", "REQUESTS": ""})],
        "encrypted"
    );
}

#[test]
fn a_source_discovers_once_a_second() {
    let agent = agent(&json!({}));
    let (_, talks) = recorded();
    let disc = &talks.iter().find(|t| t.name == "v3 disc").unwrap().ask;
    let at = |millis: u64, last: u8| Context {
        peer: ([192, 0, 2, last], 5_000).into(),
        now: Context::sample().now.plus(Duration::from_millis(millis)),
        ..Context::sample()
    };
    let answered = |millis, last| {
        let (answer, events) = ask_at(&agent, &at(millis, last), disc);
        assert_eq!(events.len(), 1, "seen all the same");
        !answer.is_empty()
    };
    assert!(answered(0, 1));
    assert!(!answered(0, 1) && !answered(999, 1));
    assert!(answered(999, 2), "another source");
    assert!(answered(1_000, 1) && !answered(1_001, 1));
}

/// A walk with get-next sees every object once, in order, and ends as the version wants it.
#[test]
fn the_tree_can_be_walked() {
    for (product, objects, wide_ones) in [
        ("net-snmp", 188, 10),
        ("cisco-ios", 122, 0),
        ("jetdirect", 77, 0),
        ("rockwell", 77, 0),
    ] {
        let agent = agent(&json!({ "product": product }));
        for wide in [true, false] {
            let mut at = "1.3".to_owned();
            let mut seen = Vec::new();
            loop {
                let (answer, _) = ask(
                    &agent,
                    &request(wide, "public", GET_NEXT, [7, 0, 0], &[&at]),
                );
                let (status, index, bindings) = read(&answer);
                let (name, value) = &bindings[0];
                if value == END_OF_MIB || status != 0 {
                    let ended = if wide { (0, 0) } else { (NO_SUCH_NAME, 1) };
                    assert_eq!(((status, index), name), (ended, &at));
                    break;
                }
                assert!(oid(name) > oid(&at), "{name} after {at}");
                seen.push(name.clone());
                at.clone_from(name);
            }
            // 64-bit counters don't exist in version 1.
            let missing = if wide { 0 } else { wide_ones };
            assert_eq!(seen.len(), objects - missing, "{product} {wide}");
        }
    }
}

#[test]
fn get_bulk_stays_small() {
    let agent = agent(&json!({}));
    let asked = request(true, "public", GET_BULK, [7, 0, 100], &["1.3.6.1.2.1.11"]);
    let (answer, _) = ask(&agent, &asked);
    let (status, _, bindings) = read(&answer);
    assert_eq!((status, bindings.len()), (0, MAX_REPETITIONS));
    // Where the rows are long, fewer.
    let asked = request(
        true,
        "public",
        GET_BULK,
        [7, 0, 5],
        &["1.3.6.1.2.1.1.9.1.3"],
    );
    let (answer, _) = ask(&agent, &asked);
    assert_eq!(read(&answer).2.len(), 2);
    assert!((answer.len() + HEADERS) * 10 <= (asked.len() + HEADERS) * 32);
}

#[test]
fn what_has_no_room_is_too_big() {
    let agent = agent(&json!({}));
    let asked = ["1.3.6.1.2.1.1.1.0"; 8];
    let (answer, _) = ask(&agent, &get(&asked));
    assert_eq!(read(&answer), (TOO_BIG, 0, Vec::new()));
    let (answer, _) = ask(&agent, &request(false, "public", GET, [7, 0, 0], &asked));
    let (status, index, bindings) = read(&answer);
    assert_eq!((status, index, bindings.len()), (TOO_BIG, 0, 8));
    // Version 1 repeats the request, which may have no room itself.
    let many = ["1.3.6.1.2.1.1.1.0"; 60];
    let (answer, events) = ask(&agent, &request(false, "public", GET, [7, 0, 0], &many));
    assert_eq!((answer, events.len()), (Vec::new(), 1));
}

#[test]
fn clocks_and_counters_go_on() {
    let agent = agent(&json!({}));
    let start = Context::sample().now;
    let uptime = |now| number(&agent, now, "1.3.6.1.2.1.1.3.0");
    let machine = |now| number(&agent, now, "1.3.6.1.2.1.25.1.1.0");
    let later = start.plus(Duration::from_millis(2_340));
    assert_eq!(uptime(start).0, TICKS);
    assert_eq!(uptime(later).1 - uptime(start).1, 234);
    let age = u64::try_from(start.since(Bird::sample().booted).as_millis() / 10).unwrap();
    assert_eq!(machine(start).1, age);
    let delay = age - uptime(start).1;
    assert!((600..=1_900).contains(&delay), "the agent started later");
    for object in ["1.3.6.1.2.1.2.2.1.10.2", "1.3.6.1.2.1.4.3.0"] {
        let mut last = number(&agent, start, object);
        assert_eq!(last.0, COUNTER);
        let mut steps = std::collections::BTreeSet::new();
        for n in 1..40 {
            let now = start.plus(Duration::from_secs(n * 10));
            let (_, count) = number(&agent, now, object);
            assert!(count >= last.1, "{object} fell");
            steps.insert(count - last.1);
            last.1 = count;
        }
        assert!(steps.len() > 1, "{object} rises evenly");
    }
    // Its own traffic counts.
    let requests = |now| number(&agent, now, "1.3.6.1.2.1.11.1.0").1;
    let before = requests(start);
    assert_eq!(requests(start), before + 1);
    ask(&agent, &request(true, "wrong", GET, [7, 0, 0], &[]));
    ask(&agent, b"\x30\x03\x02\x01\x05");
    ask(&agent, b"no");
    assert_eq!(number(&agent, start, "1.3.6.1.2.1.11.4.0").1, 1);
    assert_eq!(number(&agent, start, "1.3.6.1.2.1.11.3.0").1, 1);
    assert_eq!(number(&agent, start, "1.3.6.1.2.1.11.6.0").1, 1);
}

#[test]
fn the_date_is_that_of_the_clock() {
    let agent = agent(&json!({}));
    let (answer, _) = ask(&agent, &get(&["1.3.6.1.2.1.25.1.2.0"]));
    // 2025-10-10 12:40:00.0 +0:0
    assert_eq!(
        read(&answer).2[0].1,
        b"\x04\x0b\x07\xe9\x0a\x0a\x0c\x28\0\0+\0\0"
    );
}

/// Load averages are one number told three ways.
#[test]
fn loads_agree() {
    let agent = agent(&json!({}));
    let column = |n: u32| format!("1.3.6.1.4.1.2021.10.1.{n}.1");
    let (answer, _) = ask(&agent, &get(&[&column(3), &column(5), &column(6)]));
    let (_, _, bindings) = read(&answer);
    let text = std::str::from_utf8(&bindings[0].1[2..]).unwrap();
    let load: f32 = text.parse().unwrap();
    let hundredths = f32::from(bindings[1].1[2]);
    let bytes = bindings[2].1[5..].try_into().unwrap();
    assert_eq!(bindings[2].1[..5], [0x44, 7, 0x9f, 0x78, 4]);
    assert!((load * 100.0 - hundredths).abs() < 0.01);
    assert!((f32::from_be_bytes(bytes) - load).abs() < 0.001);
}

#[test]
fn the_address_told_is_the_one_asked() {
    let agent = agent(&json!({}));
    let ask_on = |local: &str| {
        let context = Context {
            local: local.parse().unwrap(),
            ..Context::sample()
        };
        let asked = request(
            true,
            "public",
            GET_NEXT,
            [7, 0, 0],
            &["1.3.6.1.2.1.4.20.1.1.127.0.0.1"],
        );
        read(&ask_at(&agent, &context, &asked).0).2[0].clone()
    };
    let (name, value) = ask_on("192.0.2.20:161");
    assert_eq!(name, "1.3.6.1.2.1.4.20.1.1.192.0.2.20");
    assert_eq!(value, [0x40, 4, 192, 0, 2, 20]);
    assert_eq!(
        ask_on("[::ffff:192.0.2.9]:161").0,
        "1.3.6.1.2.1.4.20.1.1.192.0.2.9"
    );
    assert_eq!(
        ask_on("[2001:db8::1]:161").0,
        "1.3.6.1.2.1.4.20.1.2.127.0.0.1"
    );
}

/// The enterprise of the engine's id is that of `sysObjectID`.
#[test]
fn products_agree_with_themselves() {
    for (product, describes, enterprise) in [
        ("net-snmp", "Linux files-02 6.1.0-39-amd64 ", 8072_u32),
        ("cisco-ios", "Cisco IOS Software, C2900", 9),
        ("jetdirect", "HP ETHERNET MULTI-ENVIRONMENT", 11),
        ("rockwell", "Rockwell Automation 1769-L23E", 95),
    ] {
        let agent = agent(&json!({ "product": product, "location": "Hall 3" }));
        let asked = get(&["1.3.6.1.2.1.1.2.0"]);
        let object = &read(&ask(&agent, &asked).0).2[0].1;
        let object = ber::oid(Reader(object).contents(OBJECT).unwrap()).unwrap();
        assert_eq!(object[..6], [43, 6, 1, 4, 1, enterprise]);
        assert_eq!(agent.engine.id[..4], (enterprise | 1 << 31).to_be_bytes());
        let mib = agent.tree(Context::sample().local.ip());
        let told = |object: &str| match mib.get(&oid(object), Context::sample().now) {
            Ok(Value::Text(text)) => String::from_utf8(text).unwrap(),
            _ => panic!("{object} is no text"),
        };
        assert!(told("1.3.6.1.2.1.1.1.0").starts_with(describes));
        assert_eq!(told("1.3.6.1.2.1.1.5.0"), "files-02");
        assert_eq!(told("1.3.6.1.2.1.1.6.0"), "Hall 3");
        let contact = told("1.3.6.1.2.1.1.4.0");
        assert_eq!(contact.is_empty(), product != "net-snmp");
        // Long descriptions have room too.
        let (answer, _) = ask(&agent, &get(&["1.3.6.1.2.1.1.1.0"]));
        assert_eq!(read(&answer).0, NO_ERROR, "{product}");
    }
}

#[test]
fn two_birds_have_nothing_in_common() {
    let mut other = Bird {
        node_id: Bird::sample().node_id,
        name: "b".to_owned(),
        machine: coalmine_core::Machine::default(),
        seed: Seed::new([8; 32]),
        booted: Bird::sample().booted,
        vault: Bird::sample().vault.clone(),
    };
    for product in ["net-snmp", "cisco-ios"] {
        let settings = json!({ "product": product });
        let settings = SnmpSettings::parse(settings.as_object().unwrap()).unwrap();
        let one = Agent::new(&settings, &Bird::sample());
        let two = Agent::new(&settings, &Arc::new(Bird { ..other }));
        assert_ne!(one.engine.id, two.engine.id);
        let mac = |agent: &Agent| {
            let asked = get(&["1.3.6.1.2.1.2.2.1.6.2"]);
            read(&ask(agent, &asked).0).2[0].1.clone()
        };
        assert_ne!(mac(&one), mac(&two));
        other = Bird {
            node_id: Bird::sample().node_id,
            name: "b".to_owned(),
            machine: coalmine_core::Machine::default(),
            seed: Seed::new([8; 32]),
            booted: Bird::sample().booted,
            vault: Bird::sample().vault.clone(),
        };
    }
}

#[test]
fn settings_are_checked() {
    let refused = |settings: Json| -> Vec<String> {
        let given: Map<String, Json> = settings.as_object().unwrap().clone();
        let faults = SnmpSettings::parse(&given).unwrap_err();
        faults.into_iter().map(|fault| fault.key).collect()
    };
    assert_eq!(
        refused(json!({"community": "", "product": "windows", "contact": "a\nb", "location": 7})),
        ["product", "community", "contact", "location"]
    );
    let agent = agent(&json!({"community": "n0c-read"}));
    let asked = |community| request(true, community, GET, [7, 0, 0], &["1.3.6.1.2.1.1.7.0"]);
    assert_ne!(ask(&agent, &asked("n0c-read")).0, b"");
    assert_eq!(ask(&agent, &asked("public")).0, b"");
}
