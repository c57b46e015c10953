//! The MongoDB decoy and the clients that attackers use: each login and each command is one event.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::{Value, json};

use crate::nest::{Nest, client, have, npm};
use crate::seen::{check_frame, events};

const TITLE: &str = "Mongo Authentication Attempt";
const NEST: &str = "
[[bird]]
name = \"files-02\"
personality = \"linux-nas\"
[bird.mongo]
";

fn login(user: &str, password: &str) -> Value {
    json!({"cmd": "saslStart", "db": "admin", "user": user, "password": password})
}

/// What pymongo gets: for each connection given as keyword arguments, the error's code and text.
fn pymongo(nest: &Nest, attempts: &str) -> Option<Value> {
    let code = format!(
        "
import json, pymongo
said = []
def attempt(command='listDatabases', **how):
    client = pymongo.MongoClient('{}', {}, serverSelectionTimeoutMS=5000, **how)
    try:
        said.append(client.admin.command(command))
    except pymongo.errors.OperationFailure as e:
        said.append([e.code, e.details['errmsg'], e.details['codeName']])
    client.close()
{attempts}
print(json.dumps(said, default=str))
",
        nest.address,
        nest.port("mongo")
    );
    nest.python(&code)
}

#[test]
fn pymongo_with_wrong_passwords() {
    let nest = Nest::start(NEST);
    let attempts = "
for mechanism in ['SCRAM-SHA-1', 'SCRAM-SHA-256']:
    for password in ['123456', 'correct horse']:
        attempt(username='backup', password=password, authMechanism=mechanism)
attempt(username='root', password='root', authSource='shop')
attempt(username='root', password='hunter2', authMechanism='PLAIN')
";
    let Some(said) = pymongo(&nest, attempts) else {
        return;
    };
    let failed = json!([18, "Authentication failed.", "AuthenticationFailed"]);
    let said = said.as_array().unwrap();
    assert!(said[..5].iter().all(|error| *error == failed), "{said:?}");
    assert_eq!(
        said[5],
        json!([
            334,
            "Received authentication for mechanism PLAIN which is unknown or not enabled",
            "MechanismUnavailable"
        ])
    );
    let incident = nest.incident(TITLE, 6);
    check_frame(&nest, &incident, "28002", nest.port("mongo"));
    let events = events(&incident);
    assert_eq!(events[0], login("backup", "123456"));
    for (at, mechanism) in [(1, "SCRAM-SHA-1"), (3, "SCRAM-SHA-256")] {
        let password = events[at]["password"].as_str().unwrap();
        assert_eq!(events[at], login("backup", password));
        let rest = password.strip_prefix(&format!("${mechanism}$n=backup,r="));
        assert!(rest.is_some_and(|rest| rest.contains(",p=")), "{password}");
    }
    // The other mechanism is another user to the guesser, and its budget grows with time alone.
    let second = events[2]["password"].as_str().unwrap();
    assert!(
        second == "123456" || second.starts_with("$SCRAM-SHA-256$n=backup,r="),
        "{second}"
    );
    assert_eq!(
        (&events[4]["db"], &events[4]["user"]),
        (&json!("shop"), &json!("root"))
    );
    let plain =
        json!({"cmd": "saslStart", "db": "$external", "user": "root", "password": "hunter2"});
    assert_eq!(events[5], plain);
}

#[test]
fn pymongo_without_a_password() {
    let nest = Nest::start(NEST);
    let attempts = "
attempt()
attempt('ping')
attempt('atlasVersion')
attempt('buildInfo')
client = pymongo.MongoClient('{address}', {port}, compressors='zlib')
try:
    client.list_database_names()
except pymongo.errors.OperationFailure as e:
    said.append([e.code, e.details['errmsg'], e.details['codeName']])
try:
    client.shop.users.insert_many([{'a': 1}, {'a': 2}])
except pymongo.errors.OperationFailure as e:
    said.append([e.code, e.details['errmsg'], e.details['codeName']])
client.close()
";
    let attempts = attempts
        .replace("{address}", &nest.address.to_string())
        .replace("{port}", &nest.port("mongo").to_string());
    let Some(said) = pymongo(&nest, &attempts) else {
        return;
    };
    let closed = |name| {
        let text = format!("Command {name} requires authentication");
        json!([13, text, "Unauthorized"])
    };
    assert_eq!(said[0], closed("listDatabases"));
    assert_eq!(said[1], json!({"ok": 1.0}));
    assert_eq!(
        said[2],
        json!([59, "no such command: 'atlasVersion'", "CommandNotFound"])
    );
    assert_eq!(said[3]["version"], "7.0.9");
    assert_eq!(said[4], closed("listDatabases"));
    assert_eq!(said[5], closed("insert"));
    let incident = nest.incident(TITLE, 5);
    check_frame(&nest, &incident, "28001", nest.port("mongo"));
    let wanted = [
        json!({"cmd": "listDatabases", "db": "admin"}),
        json!({"cmd": "atlasVersion", "db": "admin"}),
        json!({"cmd": "buildInfo", "db": "admin"}),
        json!({"cmd": "listDatabases", "db": "admin"}),
        json!({"cmd": "insert", "db": "shop"}),
    ];
    assert_eq!(events(&incident), wanted);
}

#[test]
fn the_shell_is_refused() {
    let Some(mongosh) = npm("mongosh") else {
        return;
    };
    let nest = Nest::start(NEST);
    let host = format!("{}:{}", nest.address, nest.port("mongo"));
    let shell = |user: &str| {
        let url = format!("mongodb://{user}{host}/");
        client(
            mongosh.to_str().unwrap(),
            &["--quiet", &url, "--eval", "show dbs"],
        )
    };
    let said = shell("root:mongodb@");
    assert!(
        said.contains("MongoServerError: Authentication failed."),
        "{said}"
    );
    let incident = nest.incident(TITLE, 1);
    assert_eq!(events(&incident), [login("root", "mongodb")]);

    let said = shell("");
    let refused = "Command listDatabases requires authentication";
    assert!(said.contains(refused), "{said}");
    let all = nest.api("incidents/all");
    let one = &all["incidents"][0];
    let wanted = json!({"cmd": "listDatabases", "db": "admin"});
    assert!(events(one).contains(&wanted), "{one:#}");
}

#[test]
fn nmap_asks_for_the_build() {
    if !have("nmap") {
        return;
    }
    let nest = Nest::start(NEST);
    let (host, port) = (nest.address.to_string(), nest.port("mongo").to_string());
    let scripts = "+mongodb-info,+mongodb-databases";
    let said = client(
        "nmap",
        &["--script", scripts, "-Pn", "-n", "-p", &port, &host],
    );
    assert!(said.contains("version = 7.0.9"), "{said}");
    assert!(
        said.contains("Unsupported OP_QUERY command: listDatabases."),
        "{said}"
    );
    let incident = nest.incident(TITLE, 3);
    let mut events = events(&incident);
    events.sort_by_key(|event| event["cmd"].as_str().unwrap().to_owned());
    let wanted = [
        json!({"cmd": "buildinfo", "db": "admin"}),
        json!({"cmd": "listDatabases", "db": "admin"}),
        json!({"cmd": "serverStatus", "db": "test"}),
    ];
    assert_eq!(events, wanted);
}

#[test]
fn hydra_tries_passwords() {
    if !have("hydra") {
        return;
    }
    let nest = Nest::start(NEST);
    let url = format!("mongodb://{}:{}", nest.address, nest.port("mongo"));
    let mut wanted = Vec::new();
    // Its task ends after one password, whatever the server says.
    for password in ["mongo", "123456"] {
        let said = client(
            "hydra",
            &["-I", "-t", "1", "-l", "root", "-p", password, &url],
        );
        assert!(said.contains("0 valid password found"), "{said}");
        // It asks whether a password is needed; its driver logs in twice.
        wanted.push(json!({"cmd": "listDatabases", "db": "admin"}));
        wanted.extend([login("root", password), login("root", password)]);
    }
    let incident = nest.incident(TITLE, wanted.len());
    assert_eq!(events(&incident), wanted);
}

/// An `OP_MSG` of the fields of one document, already encoded.
fn message(fields: &[u8]) -> Vec<u8> {
    let document = u32::try_from(fields.len() + 5).unwrap();
    let numbers = [document + 21, 1, 0, 2013, 0];
    let mut bytes: Vec<u8> = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
    bytes.push(0);
    bytes.extend(document.to_le_bytes());
    bytes.extend(fields);
    bytes.push(0);
    bytes
}

fn payload(text: &str) -> Vec<u8> {
    let mut field = b"\x05payload\0".to_vec();
    field.extend(u32::try_from(text.len()).unwrap().to_le_bytes());
    field.push(0);
    field.extend(text.bytes());
    field
}

/// One whole answer.
fn answer(stream: &mut TcpStream) -> Vec<u8> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).unwrap();
    let mut rest = vec![0; u32::from_le_bytes(length) as usize - 4];
    stream.read_exact(&mut rest).unwrap();
    rest
}

#[test]
fn a_thousand_attempts_are_one_incident_of_a_thousand_events() {
    let nest = Nest::start(NEST);
    let at = (nest.address, nest.port("mongo"));
    let db = b"\x02$db\0\x06\0\0\0admin\0";
    let attempts = 0..1_000;
    let worker = |numbers: Vec<u32>| {
        let mut stream = TcpStream::connect(at).unwrap();
        for n in numbers {
            let start = [
                b"\x10saslStart\0\x01\0\0\0\x02mechanism\0\x0c\0\0\0SCRAM-SHA-1\0",
                &payload(&format!("n,,n=user{},r=fyko+d2lbbFgONRv9qkxdawL", n % 7))[..],
                db,
            ];
            stream.write_all(&message(&start.concat())).unwrap();
            let first = String::from_utf8_lossy(&answer(&mut stream)).into_owned();
            let nonce = first.split_once("\0r=").unwrap().1;
            let nonce = nonce.split_once(",s=").unwrap().0;
            let proof = "AAAAAAAAAAAAAAAAAAAAAAAAAAA=";
            let next = [
                b"\x10saslContinue\0\x01\0\0\0\x10conversationId\0\x01\0\0\0",
                &payload(&format!("c=biws,r={nonce},p={proof}"))[..],
                db,
            ];
            stream.write_all(&message(&next.concat())).unwrap();
            let refused = String::from_utf8_lossy(&answer(&mut stream)).into_owned();
            assert!(refused.contains("Authentication failed."), "{refused}");
        }
    };
    std::thread::scope(|scope| {
        for share in 0..20 {
            let (worker, attempts) = (&worker, attempts.clone());
            scope.spawn(move || worker(attempts.filter(|n| n % 20 == share).collect()));
        }
    });
    nest.incident(TITLE, 1_000);
    assert_eq!(nest.count(TITLE), 1);
}
