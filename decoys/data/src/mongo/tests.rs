//! Conversations as the documentation of the protocol and public logs of MongoDB 7.0 show them.

use super::*;
use coalmine_core::suite::{self, Talk};
use coalmine_core::{Bird, Service};
use serde_json::{Map, Value, json};

#[test]
fn keeps_what_every_decoy_promises() {
    suite::check(&KIND);
}

/// Any JSON as a document: whole numbers become 32-bit ones, texts under `$binary` bytes.
fn document(value: &Value) -> Doc {
    fn add(doc: Doc, name: &str, value: &Value) -> Doc {
        match value {
            Value::Bool(value) => doc.boolean(name, *value),
            Value::Number(value) => doc.int(name, value.as_i64().unwrap().try_into().unwrap()),
            Value::String(value) => doc.text(name, value),
            Value::Object(object) => match object.get("$binary") {
                Some(bytes) => doc.binary(name, bytes.as_str().unwrap().as_bytes()),
                None => doc.document(name, document(value)),
            },
            other => panic!("{other}"),
        }
    }
    // The command's name comes first, and JSON doesn't keep the order.
    let options = [
        "$db",
        "client",
        "conversationId",
        "helloOk",
        "key",
        "maxAwaitTimeMS",
        "mechanism",
        "nonce",
        "payload",
        "saslSupportedMechs",
        "showPrivileges",
        "speculativeAuthenticate",
        "user",
    ];
    let mut fields: Vec<_> = value.as_object().unwrap().iter().collect();
    fields.sort_by_key(|(name, _)| options.contains(&name.as_str()));
    fields
        .into_iter()
        .fold(Doc::new(), |doc, (name, value)| add(doc, name, value))
}

/// A document as JSON.
fn read(raw: Raw) -> Value {
    let fields = raw.fields().map(|field| {
        let name = String::from_utf8(field.name.to_vec()).unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let value = match field.kind {
            1 => json!(f64::from_le_bytes(field.value.try_into().unwrap())),
            2 => json!(text(field.text().unwrap())),
            3 => read(field.document().unwrap()),
            4 => {
                let items = read(Raw::take(&mut { field.value }).unwrap());
                items.as_object().unwrap().values().cloned().collect()
            }
            5 => json!({"$binary": text(field.binary().unwrap())}),
            7 => json!(hex::encode(field.object_id().unwrap())),
            8 => json!(field.is_true()),
            9 => json!({"$date": i64::from_le_bytes(field.value.try_into().unwrap())}),
            16 | 18 => json!(field.integer().unwrap()),
            other => panic!("{other}"),
        };
        (name, value)
    });
    Value::Object(fields.collect::<Map<_, _>>())
}

fn framed(opcode: i32, body: &[u8]) -> Vec<u8> {
    let length = i32::try_from(body.len() + 16).unwrap();
    let numbers = [length, 77, 0, opcode];
    let mut message: Vec<u8> = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
    message.extend(body);
    message
}

fn op_msg(flags: u32, sections: &[u8]) -> Vec<u8> {
    framed(wire::OP_MSG, &[&flags.to_le_bytes(), sections].concat())
}

fn body_section(command: &Value) -> Vec<u8> {
    [vec![0], document(command).bytes()].concat()
}

fn command(command: &Value) -> Vec<u8> {
    op_msg(0, &body_section(command))
}

fn op_query(namespace: &str, count: i32, command: &Value) -> Vec<u8> {
    let mut body = vec![0; 4];
    body.extend(namespace.bytes());
    body.extend([0; 5]);
    body.extend(count.to_le_bytes());
    body.extend(document(command).bytes());
    framed(wire::OP_QUERY, &body)
}

/// The document of an answer, whose frame must be right.
fn answer(bytes: &[u8]) -> Value {
    let header = Header::read(bytes).unwrap();
    assert_eq!(usize::try_from(header.length).unwrap(), bytes.len());
    assert_eq!(bytes[8..12], 77_i32.to_le_bytes());
    let (fixed, mut rest) = match header.opcode {
        wire::OP_MSG => bytes[16..].split_at(5),
        wire::OP_REPLY => bytes[16..].split_at(20),
        other => panic!("{other}"),
    };
    match header.opcode {
        wire::OP_MSG => assert_eq!(fixed, [0; 5]),
        _ => assert_eq!(fixed[4..], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0]),
    }
    let document = Raw::take(&mut rest).unwrap();
    assert!(rest.is_empty());
    read(document)
}

fn asked(talk: &mut Talk, what: &Value) -> Value {
    answer(&talk.say(command(what)))
}

fn refused(code: i32, name: &str, text: &str) -> Value {
    json!({"ok": 0.0, "errmsg": text, "code": code, "codeName": name})
}

fn event(cmd: &str, db: &str) -> (u32, Value) {
    (28001, json!({"cmd": cmd, "db": db}))
}

#[test]
fn commands_are_answered_as_the_server_answers_strangers() {
    let closed = |name: &str| {
        let text = format!("Command {name} requires authentication");
        refused(13, "Unauthorized", &text)
    };
    let table = [
        (
            json!({"listDatabases": 1, "$db": "admin"}),
            closed("listDatabases"),
        ),
        (json!({"find": "users", "$db": "shop"}), closed("find")),
        (
            json!({"serverStatus": 1, "$db": "admin"}),
            closed("serverStatus"),
        ),
        (
            json!({"getLog": "startupWarnings", "$db": "admin"}),
            closed("getLog"),
        ),
        (
            json!({"getLog": "global", "$db": "test"}),
            refused(
                13,
                "Unauthorized",
                "getLog may only be run against the admin database.",
            ),
        ),
        (
            json!({"atlasVersion": 1, "$db": "admin"}),
            refused(59, "CommandNotFound", "no such command: 'atlasVersion'"),
        ),
        (
            json!({"LISTDATABASES": 1, "$db": "admin"}),
            refused(59, "CommandNotFound", "no such command: 'LISTDATABASES'"),
        ),
        (json!({"logout": 1, "$db": "admin"}), json!({"ok": 1.0})),
        (
            json!({"whatsmyuri": 1, "$db": "admin"}),
            json!({"you": "192.0.2.10:50000", "ok": 1.0}),
        ),
        (
            json!({"connectionStatus": 1, "$db": "admin"}),
            json!({"authInfo": {"authenticatedUsers": [], "authenticatedUserRoles": []}, "ok": 1.0}),
        ),
        (
            json!({"connectionStatus": 1, "showPrivileges": true, "$db": "admin"}),
            json!({"authInfo": {"authenticatedUsers": [], "authenticatedUserRoles": [],
                "authenticatedUserPrivileges": []}, "ok": 1.0}),
        ),
    ];
    let mut talk = Talk::new(&KIND);
    let mut wanted = Vec::new();
    for (what, answer) in table {
        assert_eq!(asked(&mut talk, &what), answer, "{what}");
        let name = what
            .as_object()
            .unwrap()
            .keys()
            .find(|k| *k != "$db" && *k != "showPrivileges");
        wanted.push(event(name.unwrap(), what["$db"].as_str().unwrap()));
    }
    assert_eq!(talk.events(), wanted);
}

#[test]
fn build_info_is_for_everybody() {
    let mut talk = Talk::new(&KIND);
    let info = asked(&mut talk, &json!({"buildInfo": 1, "$db": "admin"}));
    assert_eq!(info["version"], "7.0.9");
    assert_eq!(info["versionArray"], json!([7, 0, 9, 0]));
    assert_eq!(info["storageEngines"], json!(["devnull", "wiredTiger"]));
    assert_eq!(info["ok"], 1.0);
    let legacy = answer(&talk.say(op_query("admin.$cmd", -1, &json!({"buildinfo": 1}))));
    assert_eq!(legacy, info);
    assert_eq!(
        talk.events(),
        [event("buildInfo", "admin"), event("buildinfo", "admin")]
    );
}

#[test]
fn what_drivers_say_for_themselves_is_no_event() {
    let mut talk = Talk::new(&KIND);
    assert_eq!(
        asked(&mut talk, &json!({"ping": 1, "$db": "admin"})),
        json!({"ok": 1.0})
    );
    assert_eq!(
        asked(&mut talk, &json!({"endSessions": 1, "$db": "admin"})),
        refused(
            13,
            "Unauthorized",
            "Command endSessions requires authentication"
        )
    );
    let hello = asked(
        &mut talk,
        &json!({"hello": 1, "helloOk": true, "$db": "admin"}),
    );
    let process = hello["topologyVersion"]["processId"].clone();
    assert_eq!(
        hello,
        json!({
            "helloOk": true,
            "isWritablePrimary": true,
            "topologyVersion": {"processId": process, "counter": 0},
            "maxBsonObjectSize": 16_777_216,
            "maxMessageSizeBytes": 48_000_000,
            "maxWriteBatchSize": 100_000,
            "localTime": {"$date": 1_760_100_000_000_i64},
            "logicalSessionTimeoutMinutes": 30,
            "connectionId": hello["connectionId"],
            "minWireVersion": 0,
            "maxWireVersion": 21,
            "readOnly": false,
            "ok": 1.0,
        })
    );
    let legacy = op_query("admin.$cmd", -1, &json!({"isMaster": 1}));
    let legacy = answer(&talk.say(legacy));
    assert_eq!(
        (&legacy["ismaster"], &legacy["helloOk"]),
        (&json!(true), &Value::Null)
    );
    assert_eq!(
        asked(
            &mut talk,
            &json!({"hello": 1, "client": {}, "$db": "admin"})
        ),
        refused(
            186,
            "ClientMetadataCannotBeMutated",
            "The client metadata document may only be sent in the first hello"
        )
    );
    assert_eq!(talk.events(), []);
}

#[test]
fn hello_tells_how_a_user_logs_in() {
    let mut talk = Talk::new(&KIND);
    let mechanisms = |talk: &mut Talk, user: &str| {
        let what = json!({"hello": 1, "saslSupportedMechs": user, "$db": "admin"});
        asked(talk, &what)
    };
    let both = json!(["SCRAM-SHA-256", "SCRAM-SHA-1"]);
    assert_eq!(
        mechanisms(&mut talk, "admin.root")["saslSupportedMechs"],
        both
    );
    let external = mechanisms(&mut talk, "$external.root");
    assert_eq!(external["saslSupportedMechs"], Value::Null);
    let text = "username must contain a '.' separated database.user pair";
    assert_eq!(mechanisms(&mut talk, "root"), refused(2, "BadValue", text));
}

#[test]
fn a_client_may_wait_for_a_change_that_never_comes() {
    let mut talk = Talk::new(&KIND);
    let hello = asked(&mut talk, &json!({"hello": 1, "$db": "admin"}));
    let version = &hello["topologyVersion"];
    let process: Vec<u8> = hex::decode(version["processId"].as_str().unwrap()).unwrap();
    let awaiting = |process: &[u8], counter: i64, time: Option<i32>| {
        let version = Doc::new()
            .object_id("processId", process.try_into().unwrap())
            .long("counter", counter);
        let mut doc = Doc::new()
            .int("hello", 1)
            .document("topologyVersion", version);
        if let Some(time) = time {
            doc = doc.int("maxAwaitTimeMS", time);
        }
        let doc = doc.text("$db", "admin").bytes();
        // With the flag that a stream of answers would be taken.
        op_msg(0x1_0000, &[vec![0], doc].concat())
    };
    assert_eq!(talk.say(awaiting(&process, 0, Some(10_000))), b"");
    assert_eq!(talk.say(command(&json!({"ping": 1, "$db": "admin"}))), b"");
    assert_eq!(talk.advance(Duration::from_millis(9_999)), b"");
    let late = talk.advance(Duration::from_millis(1));
    let end = usize::try_from(Header::read(&late).unwrap().length).unwrap();
    assert_eq!(answer(&late[..end])["isWritablePrimary"], true);
    assert_eq!(answer(&late[end..]), json!({"ok": 1.0}));

    // Another server's, or no time at all: answered at once.
    let other = talk.say(awaiting(&[1; 12], 0, Some(10_000)));
    assert_eq!(answer(&other)["ok"], 1.0);
    let at_once = talk.say(awaiting(&process, 0, Some(0)));
    assert_eq!(answer(&at_once)["ok"], 1.0);

    let both = "A request with a 'topologyVersion' must include 'maxAwaitTimeMS'";
    let half = talk.say(awaiting(&process, 0, None));
    assert_eq!(answer(&half), refused(31368, "Location31368", both));
    let both = "A request with 'maxAwaitTimeMS' must include a 'topologyVersion'";
    let half = json!({"hello": 1, "maxAwaitTimeMS": 5, "$db": "admin"});
    assert_eq!(
        asked(&mut talk, &half),
        refused(31368, "Location31368", both)
    );
    let text = "topologyVersion must have a non-negative counter";
    let negative = talk.say(awaiting(&process, -1, Some(5)));
    assert_eq!(answer(&negative), refused(31372, "Location31372", text));
    let text = "BSON field 'maxAwaitTimeMS' value must be >= 0, actual value '-5'";
    let negative = talk.say(awaiting(&process, 0, Some(-5)));
    assert_eq!(answer(&negative), refused(2, "BadValue", text));
    let text = "Received a topology version with counter: 4 which is greater than the server \
                topology version counter: 0";
    let future = talk.say(awaiting(&process, 4, Some(5)));
    assert_eq!(answer(&future), refused(31382, "Location31382", text));
}

#[test]
fn client_keys_are_those_of_other_implementations() {
    let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
    let key = |mechanism: Mechanism| hex::encode(mechanism.client_key(b"user", "pencil", &salt));
    assert_eq!(
        key(Mechanism::Sha256),
        "f47afcbf4c542d63e1ef4a3e48f36d1bbd1466063c8900064c32efdbfcb55509"
    );
    assert_eq!(
        key(Mechanism::Sha1),
        "4d550e4186026f5b437688ac3444552a94659f9d"
    );
}

/// What a client knows after the server's first step.
struct Started {
    mechanism: Mechanism,
    user: String,
    first: String,
    answer: String,
}

/// Begins a login; the server's answer must promise the usual rounds and a fresh nonce.
fn start(talk: &mut Talk, mechanism: Mechanism, user: &str) -> Started {
    let first = format!("n={user},r=fyko+d2lbbFgONRv9qkxdawL");
    let payload = json!({"$binary": format!("n,,{first}")});
    let what = json!({"saslStart": 1, "mechanism": mechanism.name(), "payload": payload,
        "$db": "admin"});
    let said = asked(talk, &what);
    started(mechanism, user, first, &said)
}

fn started(mechanism: Mechanism, user: &str, first: String, said: &Value) -> Started {
    assert_eq!(
        (&said["conversationId"], &said["done"]),
        (&json!(1), &json!(false))
    );
    let answer = said["payload"]["$binary"].as_str().unwrap().to_owned();
    let (nonce, rest) = answer.split_once(",s=").unwrap();
    assert_eq!(nonce.len(), "r=fyko+d2lbbFgONRv9qkxdawL".len() + 32);
    assert!(nonce.starts_with("r=fyko+d2lbbFgONRv9qkxdawL"));
    let (salt, rounds) = rest.split_once(",i=").unwrap();
    let wanted = match mechanism {
        Mechanism::Sha1 => (16, "10000"),
        Mechanism::Sha256 => (28, "15000"),
    };
    assert_eq!((STANDARD.decode(salt).unwrap().len(), rounds), wanted);
    Started {
        mechanism,
        user: user.to_owned(),
        first,
        answer,
    }
}

impl Started {
    fn nonce(&self) -> &str {
        self.answer.split_once(",s=").unwrap().0
    }

    fn salt(&self) -> Vec<u8> {
        let rest = self.answer.split_once(",s=").unwrap().1;
        STANDARD.decode(rest.split_once(",i=").unwrap().0).unwrap()
    }

    /// `client-final-message` of one who knows `password`.
    fn last(&self, password: &str) -> String {
        let key = self
            .mechanism
            .client_key(self.user.as_bytes(), password, &self.salt());
        let without = format!("c=biws,{}", self.nonce());
        let message = format!("{},{},{without}", self.first, self.answer);
        let stored = self.mechanism.hash(&key);
        let signature = self.mechanism.hmac(&stored, message.as_bytes());
        let proof: Vec<u8> = key.iter().zip(signature).map(|(a, b)| a ^ b).collect();
        format!("{without},p={}", STANDARD.encode(proof))
    }

    /// Ends a login, which fails whatever the password.
    fn finish(&self, talk: &mut Talk, last: &str) {
        let what = json!({"saslContinue": 1, "conversationId": 1, "payload": {"$binary": last},
            "$db": "admin"});
        assert_eq!(asked(talk, &what), failed_login());
    }
}

fn failed_login() -> Value {
    refused(18, "AuthenticationFailed", "Authentication failed.")
}

fn login(user: &str, password: impl AsRef<str>) -> (u32, Value) {
    let password = password.as_ref();
    (
        28002,
        json!({"cmd": "saslStart", "db": "admin", "user": user, "password": password}),
    )
}

#[test]
fn common_passwords_are_recovered_and_others_can_be_searched_for() {
    for mechanism in [Mechanism::Sha1, Mechanism::Sha256] {
        let mut talk = Talk::new(&KIND);
        for password in ["123456", "backup", "correct horse"] {
            let started = start(&mut talk, mechanism, "backup");
            let last = started.last(password);
            started.finish(&mut talk, &last);
            let shown = match password {
                "correct horse" => {
                    let (first, answer) = (&started.first, &started.answer);
                    format!("${}${first},{answer},{last}", mechanism.name())
                }
                known => known.to_owned(),
            };
            assert_eq!(talk.events().last(), Some(&login("backup", shown)));
        }
        assert_eq!(talk.events().len(), 3);
    }
}

#[test]
fn guessing_has_a_budget_that_time_refills() {
    let service = (KIND.build)(&Map::new(), &Bird::sample()).unwrap();
    let shown = |service: &Service, user: &str, later: Duration| {
        let mut talk = Talk::of(&KIND, service);
        talk.advance(later);
        let started = start(&mut talk, Mechanism::Sha1, user);
        started.finish(&mut talk, &started.last("123456"));
        let Ok([(28002, event)]) = <[_; 1]>::try_from(talk.events()) else {
            panic!()
        };
        event["password"].as_str().unwrap().to_owned()
    };
    assert_eq!(shown(&service, "first", Duration::ZERO), "123456");
    // The budget is spent, but what was paid for is known.
    assert!(shown(&service, "second", Duration::ZERO).starts_with("$SCRAM-SHA-1$n=second,"));
    assert_eq!(shown(&service, "first", Duration::ZERO), "123456");
    assert_eq!(shown(&service, "third", Duration::from_secs(1)), "123456");
}

#[test]
fn a_login_may_begin_in_hello() {
    let mut talk = Talk::new(&KIND);
    let first = "n=root,r=fyko+d2lbbFgONRv9qkxdawL".to_owned();
    let speculative = |mechanism: &str, first: &str| {
        json!({"hello": 1, "$db": "admin", "speculativeAuthenticate": {"saslStart": 1,
            "mechanism": mechanism, "payload": {"$binary": format!("n,,{first}")}, "db": "admin"}})
    };
    let hello = asked(&mut talk, &speculative("SCRAM-SHA-256", &first));
    let said = &hello["speculativeAuthenticate"];
    let begun = started(Mechanism::Sha256, "root", first, said);
    begun.finish(&mut talk, &begun.last("mongo"));
    assert_eq!(talk.events(), [login("root", "mongo")]);

    // What can't begin is passed over.
    for wrong in [
        speculative("PLAIN", ""),
        speculative("SCRAM-SHA-1", "n=,r=abcd"),
    ] {
        let hello = asked(&mut talk, &wrong);
        assert_eq!(
            (&hello["ok"], &hello["speculativeAuthenticate"]),
            (&json!(1.0), &Value::Null)
        );
    }
    assert_eq!(talk.events().len(), 1);
}

#[test]
fn salts_belong_to_users_and_nonces_to_connections() {
    let service = (KIND.build)(&Map::new(), &Bird::sample()).unwrap();
    let begun = |user: &str, seed: u8| {
        let context = Context {
            seed: Seed::new([seed; 32]),
            ..Context::sample()
        };
        let Some(coalmine_core::decoy::Tcp::Sessions(sessions)) = &service.tcp else {
            panic!()
        };
        let mut talk = Talk::open(sessions.as_ref(), &context, KIND.limits.input);
        start(&mut talk, Mechanism::Sha256, user)
    };
    let (one, again, other) = (begun("root", 1), begun("root", 2), begun("admin", 1));
    assert_eq!(one.salt(), again.salt());
    assert_ne!(one.salt(), other.salt());
    assert_ne!(one.nonce(), again.nonce());

    let elsewhere = Bird {
        seed: Seed::new([8; 32]),
        node_id: Bird::sample().node_id,
        name: "other".to_owned(),
        machine: coalmine_core::Machine::default(),
        booted: Bird::sample().booted,
        vault: Arc::new(coalmine_core::decoy::NoVault),
    };
    let service = (KIND.build)(&Map::new(), &Arc::new(elsewhere)).unwrap();
    let mut talk = Talk::of(&KIND, &service);
    let there = start(&mut talk, Mechanism::Sha256, "root");
    assert_ne!(there.salt(), one.salt());
}

#[test]
fn steps_out_of_order_are_refused() {
    let protocol = |text| refused(17, "ProtocolError", text);
    let next = |id: i32| json!({"saslContinue": 1, "conversationId": id, "payload": {"$binary": ""}, "$db": "admin"});
    let mut talk = Talk::new(&KIND);
    let nothing = protocol("No SASL session state found");
    assert_eq!(asked(&mut talk, &next(1)), nothing);
    start(&mut talk, Mechanism::Sha1, "root");
    let mismatch = protocol("sasl: Mismatched conversation id");
    assert_eq!(asked(&mut talk, &next(2)), mismatch);
    assert_eq!(asked(&mut talk, &next(1)), nothing);
    let no_proof = (
        28002,
        json!({"cmd": "saslStart", "db": "admin", "user": "root"}),
    );
    assert_eq!(talk.events(), std::slice::from_ref(&no_proof));

    // Proofs that fit no conversation.
    for wrong in ["", "c=biws", "c=biws,r=wrong,p=AAAA", "x=biws,r=,p=AAAA"] {
        let begun = start(&mut talk, Mechanism::Sha1, "root");
        begun.finish(&mut talk, wrong);
        let nonce = begun.nonce();
        let begun = start(&mut talk, Mechanism::Sha1, "root");
        begun.finish(&mut talk, &format!("c=biws,{nonce},p=AAAA"));
    }
    assert!(talk.events().iter().all(|event| *event == no_proof));
    // One too short to be a proof is still shown.
    let begun = start(&mut talk, Mechanism::Sha1, "root");
    begun.finish(&mut talk, &format!("c=biws,{},p=AAAA", begun.nonce()));
    let (_, last) = talk.events().pop().unwrap();
    assert!(
        last["password"].as_str().unwrap().ends_with(",p=AAAA"),
        "{last}"
    );
}

#[test]
fn a_login_that_stops_half_way_is_an_event() {
    let mut talk = Talk::new(&KIND);
    start(&mut talk, Mechanism::Sha256, "ro=2Cot=3D");
    assert_eq!(talk.events(), []);
    talk.end();
    let event = json!({"cmd": "saslStart", "db": "admin", "user": "ro,ot="});
    assert_eq!(talk.events(), [(28002, event)]);
}

#[test]
fn faulty_first_steps_fail_like_a_wrong_password() {
    let mut talk = Talk::new(&KIND);
    let mut start = |mechanism: &str, payload: Value| {
        let what = json!({"saslStart": 1, "mechanism": mechanism, "payload": payload,
            "$db": "admin"});
        asked(&mut talk, &what)
    };
    for first in [
        "",
        "n",
        "n,",
        "p=tls-unique,,n=a,r=abcd",
        "x,,n=a,r=abcd",
        "n,a=b,n=a,r=abcd",
        "n,,n=,r=abcd",
        "n,,r=abcd,n=a",
        "n,,n=a,r=abc",
        "n,,n=a",
    ] {
        let said = start("SCRAM-SHA-256", json!({"$binary": first}));
        assert_eq!(said, failed_login(), "{first}");
    }
    assert_eq!(start("SCRAM-SHA-256", json!(5)), failed_login());
    // In Base64, as very old drivers send it, and answered likewise.
    let said = start(
        "SCRAM-SHA-1",
        json!(STANDARD.encode("n,a=me,n=me,r=abcdef")),
    );
    let payload = STANDARD.decode(said["payload"].as_str().unwrap()).unwrap();
    assert!(payload.starts_with(b"r=abcdef"));
}

#[test]
fn other_mechanisms_are_unknown_but_tell_what_they_brought() {
    let mut talk = Talk::new(&KIND);
    let unknown = |name: &str| {
        let text =
            format!("Received authentication for mechanism {name} which is unknown or not enabled");
        refused(334, "MechanismUnavailable", &text)
    };
    let plain = json!({"saslStart": 1, "mechanism": "PLAIN",
        "payload": {"$binary": "\0root\0hunter2"}, "$db": "$external"});
    assert_eq!(asked(&mut talk, &plain), unknown("PLAIN"));
    let ticket = json!({"saslStart": 1, "mechanism": "GSSAPI", "payload": {"$binary": "\0a\0b"},
        "$db": "$external"});
    assert_eq!(asked(&mut talk, &ticket), unknown("GSSAPI"));
    let old = json!({"authenticate": 1, "mechanism": "MONGODB-CR", "user": "root",
        "nonce": "2375531c32080ae8", "key": "21742f26431831d5cfca035a08c5bdf6", "$db": "test"});
    assert_eq!(asked(&mut talk, &old), unknown("MONGODB-CR"));
    let bare = json!({"authenticate": 1, "user": "root", "$db": "test"});
    assert_eq!(
        asked(&mut talk, &bare),
        refused(2, "BadValue", "Auth mechanism not specified")
    );
    let certificate = json!({"authenticate": 1, "mechanism": "MONGODB-X509", "$db": "$external"});
    assert_eq!(asked(&mut talk, &certificate), failed_login());
    let missing = |field: &str| {
        let text = format!("BSON field 'saslStart.{field}' is missing but a required field");
        refused(40414, "Location40414", &text)
    };
    assert_eq!(
        asked(&mut talk, &json!({"saslStart": 1, "$db": "a"})),
        missing("mechanism")
    );
    let no_payload = json!({"saslStart": 1, "mechanism": "PLAIN", "$db": "a"});
    assert_eq!(asked(&mut talk, &no_payload), missing("payload"));
    let wanted = [
        json!({"cmd": "saslStart", "db": "$external", "user": "root", "password": "hunter2"}),
        json!({"cmd": "saslStart", "db": "$external"}),
        json!({"cmd": "authenticate", "db": "test", "user": "root",
            "password": "21742f26431831d5cfca035a08c5bdf6"}),
        json!({"cmd": "authenticate", "db": "test", "user": "root"}),
        json!({"cmd": "authenticate", "db": "$external"}),
    ];
    assert_eq!(talk.events(), wanted.map(|event| (28002, event)));
}

#[test]
fn only_a_few_commands_may_come_in_the_old_way() {
    let mut talk = Talk::new(&KIND);
    let text = format!("Unsupported OP_QUERY command: serverStatus. {UPGRADE}");
    let said = talk.say(op_query("test.$cmd", -1, &json!({"serverStatus": 1})));
    assert_eq!(said[16..20], [8, 0, 0, 0]);
    assert_eq!(
        answer(&said),
        refused(352, "UnsupportedOpQueryCommand", &text)
    );
    let wrapped = json!({"$query": {"foo": 1}});
    let text = format!("Unsupported OP_QUERY command: foo. {UPGRADE}");
    let said = answer(&talk.say(op_query("shop.$cmd", 1, &wrapped)));
    assert_eq!(said, refused(352, "UnsupportedOpQueryCommand", &text));
    let text = "Bad numberToReturn (0) for $cmd type ns - can only be 1 or -1";
    let said = answer(&talk.say(op_query("test.$cmd", 0, &json!({"isMaster": 1}))));
    assert_eq!(said, refused(16979, "Location16979", text));
    let said = talk.say(op_query("shop.users", 0, &json!({})));
    assert_eq!(said[16..20], [2, 0, 0, 0]);
    let gone = |opcode: &str| {
        let text = format!("{opcode} is no longer supported. {UPGRADE}");
        json!({"$err": text, "code": 5_739_101, "ok": 0.0})
    };
    assert_eq!(answer(&said), gone("OP_QUERY"));
    let said = talk.say(framed(wire::OP_GET_MORE, &[0; 20]));
    assert_eq!(answer(&said), gone("OP_GET_MORE"));
    for opcode in [
        wire::OP_INSERT,
        wire::OP_UPDATE,
        wire::OP_DELETE,
        wire::OP_KILL_CURSORS,
    ] {
        assert_eq!(talk.say(framed(opcode, &[0; 20])), b"");
    }
    assert!(!talk.is_closed());
    assert_eq!(
        talk.events(),
        [event("serverStatus", "test"), event("foo", "shop")]
    );
}

#[test]
fn sections_are_checked() {
    let mut talk = Talk::new(&KIND);
    let location = |code: i32, text: &str| refused(code, &format!("Location{code}"), text);
    let ping = body_section(&json!({"ping": 1, "$db": "admin"}));
    let sequence = |name: &str| {
        let content = [name.as_bytes(), &[0], &document(&json!({"a": 1})).bytes()].concat();
        let length = i32::try_from(content.len() + 4).unwrap().to_le_bytes();
        [&[1], &length[..], &content].concat()
    };
    let pong = json!({"ok": 1.0});
    let (one, two, three) = (sequence("documents"), sequence("updates"), sequence("x"));
    let invalid = || refused(22, "InvalidBSON", "Invalid BSON");
    let table: Vec<(u32, Vec<u8>, Value)> = vec![
        (0, [&ping[..], &one, &two].concat(), pong.clone()),
        (0, [&one[..], &ping].concat(), pong.clone()),
        // A checksum that protects nothing.
        (1, [&ping[..], &[1, 2, 3, 4]].concat(), pong.clone()),
        // Flags that may be ignored.
        (0x8001_0000, ping.clone(), pong),
        (
            1,
            vec![1, 2, 3, 4],
            location(
                51251,
                "Invalid message size for an OpMsg containing a checksum",
            ),
        ),
        (
            0,
            vec![],
            location(40587, "OP_MSG messages must have a body"),
        ),
        (
            0,
            one.clone(),
            location(40587, "OP_MSG messages must have a body"),
        ),
        (
            0,
            [&ping[..], &ping].concat(),
            location(40430, "Multiple body sections in message"),
        ),
        (
            0,
            [&one[..], &one].concat(),
            location(40431, "Duplicate document sequence: documents"),
        ),
        (
            0,
            [&ping[..], &sequence("ping")].concat(),
            location(
                40433,
                "Duplicate field between body and document sequence ping",
            ),
        ),
        (
            0,
            [&one[..], &two, &three].concat(),
            refused(
                233,
                "TooManyDocumentSequences",
                "Too many document sequences in OP_MSG",
            ),
        ),
        (0, vec![9], location(40432, "Unknown section kind 9")),
        (
            0,
            vec![2, 0],
            refused(13, "Unauthorized", "Unsupported Security Token provided"),
        ),
        (0, vec![0, 5, 0, 0, 0], invalid()),
        (0, vec![1, 200, 0, 0, 0, 0], invalid()),
        (0, vec![1, 255, 255, 255, 255], invalid()),
        (
            0,
            body_section(&json!({"ping": 1})),
            location(40571, "OP_MSG requests require a $db argument"),
        ),
        (
            0,
            body_section(&json!({"$db": 5, "ping": 1})),
            location(40571, "OP_MSG requests require a $db argument"),
        ),
    ];
    for (flags, sections, wanted) in table {
        let said = talk.say(op_msg(flags, &sections));
        assert_eq!(answer(&said), wanted, "{flags} {sections:?}");
    }
    // One that wants no answer gets none, but is seen.
    let silent = op_msg(2, &body_section(&json!({"drop": "users", "$db": "shop"})));
    assert_eq!(talk.say(silent), b"");
    assert_eq!(talk.events(), [event("drop", "shop")]);
}

#[test]
fn what_is_no_message_ends_the_conversation() {
    let mut http = Talk::new(&KIND);
    assert_eq!(http.say("GET / HTTP/1.1\r"), b"");
    let said = String::from_utf8(http.say("\nHost: x\r\n\r\n")).unwrap();
    let (head, body) = said.split_once("\r\n\r\n").unwrap();
    assert!(http.is_closed() && head.ends_with(&format!("Content-Length: {}", body.len())));
    let mut illegal = op_msg(4, &[]);
    illegal.extend([0; 16]);
    for input in [
        b"POST / HTTP/1.1\r\n".to_vec(),
        b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03aaaaaaaaaaa".to_vec(),
        [0; 16].to_vec(),
        [0xff; 16].to_vec(),
        // Lengths: below a header, above what's read, above what's claimed.
        [&15_i32.to_le_bytes()[..], &[0; 12]].concat(),
        [&200_000_i32.to_le_bytes()[..], &[0; 12]].concat(),
        [&48_000_001_i32.to_le_bytes()[..], &[0; 12]].concat(),
        // OP_COMPRESSED, a reply, an unknown one.
        framed(2012, &[0; 20]),
        framed(wire::OP_REPLY, &[0; 20]),
        framed(4_711, &[0; 20]),
        framed(wire::OP_MSG, &[0; 3]),
        framed(wire::OP_QUERY, &[0; 6]),
        illegal,
    ] {
        let mut talk = Talk::new(&KIND);
        assert_eq!(talk.say(&input), b"", "{input:?}");
        assert!(talk.is_closed(), "{input:?}");
        assert_eq!(talk.events(), []);
    }
}

#[test]
fn documents_are_read_whole_or_not_at_all() {
    let whole = |fields: &[u8]| {
        let length = i32::try_from(fields.len() + 5).unwrap().to_le_bytes();
        [&length[..], fields, &[0]].concat()
    };
    let inner = whole(b"\x10a\0\x01\0\0\0");
    let good: [&[u8]; 14] = [
        b"\x01a\0\0\0\0\0\0\0\xf0\x3f",
        b"\x02a\0\x02\0\0\0x\0",
        b"\x05a\0\x01\0\0\0\x80x",
        b"\x06a\0",
        b"\x07a\0abcdefghijkl",
        b"\x08a\0\x01",
        b"\x09a\0abcdefgh",
        b"\x0aa\0",
        b"\x0ba\0pattern\0i\0",
        b"\x0ca\0\x02\0\0\0x\0abcdefghijkl",
        b"\x11a\0abcdefgh",
        b"\x12a\0\x01\0\0\0\0\0\0\0",
        b"\x13a\0abcdefghijklmnop",
        b"\xffa\0",
    ];
    for fields in good {
        let bytes = whole(fields);
        let document = Raw::take(&mut &bytes[..]).unwrap_or_else(|| panic!("{fields:?}"));
        assert_eq!(document.fields().count(), 1);
        // Every shorter one is refused, and so is one whose length is wrong.
        for end in 0..fields.len() {
            let cut = whole(&fields[..end]);
            let read = Raw::take(&mut &cut[..]).map_or(0, |d| d.fields().count());
            assert_eq!(read, 0, "{fields:?} to {end}");
        }
    }
    for kind in [3, 4] {
        let bytes = whole(&[&[kind, b'd', 0], &inner[..]].concat());
        let document = Raw::take(&mut &bytes[..]).unwrap();
        let field = document.get("d").unwrap();
        let nested = field
            .document()
            .and_then(|d| d.get("a"))
            .and_then(Field::integer);
        assert_eq!(nested, (kind == 3).then_some(1));
    }
    for bad in [
        &b"\x14a\0"[..],
        b"\x02a\0\0\0\0\0",
        b"\x02a\0\x02\0\0\0xy",
        b"\x02a\0\xff\xff\xff\xff",
        b"\x03a\0\x04\0\0\0",
        b"\x10a",
    ] {
        assert!(Raw::take(&mut &whole(bad)[..]).is_none(), "{bad:?}");
    }
    assert!(Raw::take(&mut &b"\x05\0\0\0\x01"[..]).is_none());
    assert!(Raw::take(&mut &b"\xff\xff\xff\xff\0"[..]).is_none());
    let truths = whole(b"\x01a\0\0\0\0\0\0\0\0\0\x02b\0\x01\0\0\0\0\x0ac\0\x08d\0\0");
    let truths = Raw::take(&mut &truths[..]).unwrap();
    let truths: Vec<_> = truths.fields().map(Field::is_true).collect();
    assert_eq!(truths, [false, true, false, false]);
}
