//! Tokens that are names: made over the API and with the official client, resolved by dig and by a
//! resolver that minimises names, told once.

use std::collections::HashSet;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::console::CONNECT;
use crate::nest::{Nest, await_some, client, free_port, have};
use crate::seen;

const MEMO: &str = "on the file server";

/// Python that makes a token with the official client and prints what came of it, and its file.
const MAKE: &str = "
def make(kind, **asked):
    token = console.tokens.create(memo='on the file server', kind=kind, **asked)
    path = os.path.join(os.environ['FOLDER'], 'token')
    if kind != canarytools.CanaryTokenKinds.DNS:
        token.download(path)
    print(json.dumps(dict(token=token.canarytoken, hostname=token.hostname)))
";

/// A program whose DNS channel alone listens.
struct Field {
    nest: Nest,
    port: String,
}

/// A token and its name.
struct Made {
    token: String,
    hostname: String,
}

impl Field {
    fn start() -> Self {
        Self::start_at("127.0.0.1")
    }

    fn start_at(address: &str) -> Self {
        let nest = Nest::start(&format!(
            "[tokens]\naddress = \"{address}\"\npublic_address = \"127.0.0.1\"\n\
             zone = \"tokens.example.com\"\nhttp_port = 0\ndns_port = {}\n",
            free_port() - 10_000
        ));
        let port = nest.run["tokens"]["dns_port"].to_string();
        Self { nest, port }
    }

    /// Makes a token with the official client.
    fn make(&self, call: &str) -> Option<Made> {
        let folder = self.nest.dir.path().to_str().unwrap();
        let code = format!("{CONNECT}{MAKE}make(canarytools.CanaryTokenKinds.{call})");
        let made = self.nest.python_with(&code, &[("FOLDER", folder)])?;
        Some(Made::of(&made["token"], &made["hostname"]))
    }

    /// Makes one over the API.
    fn post(&self, form: &[(&str, &str)]) -> (Made, Value) {
        let made = self
            .nest
            .post("canarytoken/create", &[form, &[("memo", MEMO)]].concat());
        assert_eq!(made["result"], "success", "{made}");
        let token = &made["canarytoken"];
        (Made::of(&token["canarytoken"], &token["hostname"]), made)
    }

    /// The file of the token made last.
    fn file(&self) -> Vec<u8> {
        std::fs::read(self.nest.dir.path().join("token")).unwrap()
    }

    /// Asks the channel itself.
    fn dig(&self, arguments: &[&str]) -> String {
        client(
            "dig",
            &[&["@127.0.0.1", "-p", &self.port], arguments].concat(),
        )
    }

    /// As [`Field::told`], in every view of the incident.
    fn told_everywhere(&self, made: &Made, kind: [&str; 3], events: &[Value]) -> Value {
        let incident = self.told(made, kind, events);
        seen::check_other_views(&self.nest, &incident);
        incident
    }

    /// Holds the one incident of this token to its events, which have these fields beside those of
    /// every DNS token; the incident.
    fn told(&self, made: &Made, kind: [&str; 3], events: &[Value]) -> Value {
        let [id, description, logtype] = kind;
        let found = await_some(|| {
            let all = self.nest.api("incidents/all");
            let own = |i: &&Value| i["description"]["node_id"] == *made.token;
            let found: Vec<Value> = all["incidents"]
                .as_array()?
                .iter()
                .filter(own)
                .cloned()
                .collect();
            (!found.is_empty()).then_some(found)
        });
        let found = found.unwrap_or_else(|| panic!("no incident of {}", made.token));
        assert_eq!(found.len(), 1, "{found:#?}");
        let d = &found[0]["description"];
        assert_eq!(
            (&d["logtype"], &d["memo"], &d["src_host"], &d["dst_port"]),
            (
                &json!(logtype),
                &json!(MEMO),
                &json!("127.0.0.1"),
                &json!(self.port)
            )
        );
        assert_eq!(d["events_count"], events.len().to_string(), "{d:#}");
        let wanted: Vec<Value> = events
            .iter()
            .map(|fields| {
                let mut event = json!({
                    "type": id, "kind": id, "channel": "dns", "canarytoken": made.token,
                    "logtype": logtype, "description": description, "src_host": "127.0.0.1",
                    "dst_port": self.port.parse::<u16>().unwrap(),
                    "additional_info": {"query_type": "A", "transport": "udp"},
                });
                let fields = fields.as_object().unwrap().clone();
                event.as_object_mut().unwrap().extend(fields);
                event
            })
            .collect();
        assert_eq!(seen::events(&found[0]), wanted);
        found[0].clone()
    }
}

impl Made {
    fn of(token: &Value, hostname: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let made = Self {
            token: text(token),
            hostname: text(hostname),
        };
        assert_eq!(made.hostname, format!("{}.tokens.example.com", made.token));
        made
    }
}

const DNS: [&str; 3] = ["dns", "DNS", "16000"];

#[test]
fn every_way_to_look_a_name_up_is_told_once() {
    if !have("dig") {
        return;
    }
    let field = Field::start();
    let Some(made) = field.make("DNS") else {
        return;
    };
    let name = &made.hostname;
    let marked: Vec<String> = (40..48).map(|n| format!("NBSWY3DP.G{n}.{name}")).collect();
    let mixed = marked[7]
        .replace("tokens", "ToKeNs")
        .replace("NBSWY3DP", "nBsWy3dP");
    let ways = [
        (&marked[0], "A", "+noedns", "udp"),
        (&marked[1], "AAAA", "+tcp", "tcp"),
        (&marked[2], "TXT", "+bufsize=512", "udp"),
        (&marked[3], "HTTPS", "+dnssec", "udp"),
        (&marked[4], "MX", "+tcp", "tcp"),
        (&marked[5], "CNAME", "+nocookie", "udp"),
        (&marked[6], "SVCB", "+padding=128", "udp"),
        (&mixed, "A", "+norecurse", "udp"),
    ];
    let mut events = Vec::new();
    for (name, query_type, option, transport) in ways {
        let said = field.dig(&[name, query_type, option]);
        assert!(
            said.contains("status: NOERROR") && said.contains("qr aa"),
            "{said}"
        );
        assert!(
            said.contains(&format!(";{name}.")),
            "the question as asked: {said}"
        );
        assert!(!said.contains("Truncated"), "{said}");
        let authority = said.contains("IN\tSOA\tns1.");
        assert_eq!(
            authority,
            query_type != "A",
            "a negative answer has the SOA: {said}"
        );
        let cookie = if option == "+noedns" { "no EDNS" } else { "" };
        assert_eq!(said.contains("udp: 1232"), cookie.is_empty(), "{said}");
        events.push(json!({
            "hostname": name, "generic_data": "hello",
            "additional_info": {"query_type": query_type, "transport": transport},
        }));
    }
    // What resolvers and authorities ask for themselves is no visit.
    for kind in ["NS", "SOA", "DS", "DNSKEY", "CAA"] {
        field.dig(&[&format!("NBSWY3DP.G50.{name}"), kind]);
    }
    field.dig(&[&format!("_.{name}"), "A", &format!("_dmarc.{name}"), "TXT"]);
    // One look-up of a machine that wants all a browser wants, and the walk to it before.
    let last = format!("NBSWY3DP.G60.{name}");
    field.dig(&[
        &last, "A", &last, "AAAA", &last, "HTTPS", &last, "A", "+tcp",
    ]);
    events.push(json!({"hostname": last, "generic_data": "hello"}));
    field.told_everywhere(&made, DNS, &events);
}

#[test]
fn the_bare_name_is_told_and_an_unknown_one_is_answered_alike() {
    if !have("dig") {
        return;
    }
    let field = Field::start();
    let Some(made) = field.make("DNS") else {
        return;
    };
    let said = field.dig(&["+noall", "+answer", &made.hostname, "A"]);
    assert_eq!(
        said.split_whitespace().collect::<Vec<_>>(),
        [&format!("{}.", made.hostname), "20", "IN", "A", "127.0.0.1"]
    );
    let nobody = made
        .hostname
        .replace(&made.token, &made.token.chars().rev().collect::<String>());
    let other = field.dig(&["+noall", "+answer", &nobody, "A"]);
    assert_eq!(other, said.replace(&made.hostname, &nobody));
    field.told(&made, DNS, &[json!({"hostname": made.hostname})]);
    assert_eq!(field.nest.count("Canarytoken triggered"), 1);
}

#[test]
fn on_all_addresses_an_answer_leaves_from_the_one_asked() {
    if !have("dig") {
        return;
    }
    let field = Field::start_at("0.0.0.0");
    for address in ["127.0.0.1", "127.0.0.2"] {
        let (made, _) = field.post(&[("kind", "dns")]);
        let server = format!("@{address}");
        let asked = ["+tries=1", "+time=3", &server, "-p", &field.port];
        let said = client("dig", &[&asked[..], &[&made.hostname, "A"]].concat());
        assert!(said.contains("status: NOERROR"), "{said}");
        assert!(!said.contains("unexpected source"), "{said}");
        let incident = field.told(&made, DNS, &[json!({"hostname": made.hostname})]);
        assert_eq!(incident["description"]["dst_host"], address);
    }
}

#[test]
fn a_thousand_lookups_are_one_incident() {
    if !have("dig") {
        return;
    }
    let field = Field::start();
    let (made, _) = field.post(&[("kind", "dns")]);
    std::thread::scope(|scope| {
        for group in 0..10 {
            let (field, made) = (&field, &made);
            scope.spawn(move || {
                let names: String = (0..100)
                    .map(|n| {
                        let text = format!("u{group}{n:02}");
                        let data = data_encoding::BASE32_NOPAD.encode(text.as_bytes());
                        format!("{data}.G{n:02}.{}\n", made.hostname)
                    })
                    .collect();
                let file = field.nest.dir.path().join(format!("names{group}"));
                std::fs::write(&file, names).unwrap();
                field.dig(&["+tcp", "+keepopen", "+short", "-f", file.to_str().unwrap()]);
            });
        }
    });
    let incident = field.nest.incident("Canarytoken triggered", 1_000);
    let events = seen::events(&incident);
    let told: HashSet<&str> = events
        .iter()
        .filter_map(|e| e["generic_data"].as_str())
        .collect();
    assert_eq!(told.len(), 1_000);
}

/// A resolver that asks the channel for names below its zone; stopped when dropped.
struct Resolver {
    child: Child,
    port: String,
}

impl Resolver {
    fn start(field: &Field, settings: &str) -> Self {
        let port = free_port();
        let folder = field.nest.dir.path().to_str().unwrap();
        let file = format!("{folder}/unbound.conf");
        let config = format!(
            "server:\n interface: 127.0.0.1\n port: {port}\n num-threads: 1\n username: \"\"\n \
             chroot: \"\"\n directory: \"{folder}\"\n pidfile: \"\"\n use-syslog: no\n \
             logfile: \"unbound.log\"\n do-ip6: no\n do-not-query-localhost: no\n \
             module-config: \"iterator\"\n{settings}\
             remote-control:\n control-enable: no\n\
             stub-zone:\n name: \"tokens.example.com\"\n stub-addr: 127.0.0.1@{}\n",
            field.port
        );
        std::fs::write(&file, config).unwrap();
        let child = Command::new("unbound")
            .args(["-d", "-c", &file])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let started = Self {
            child: child.unwrap(),
            port: port.to_string(),
        };
        let ready = await_some(|| {
            let said = started.dig(&["+tries=1", "+time=1", "tokens.example.com", "SOA"]);
            said.contains("status: NOERROR").then_some(())
        });
        let log = || std::fs::read_to_string(format!("{folder}/unbound.log"));
        assert!(ready.is_some(), "unbound does not resolve: {:?}", log());
        started
    }

    fn dig(&self, arguments: &[&str]) -> String {
        client(
            "dig",
            &[&["@127.0.0.1", "-p", &self.port], arguments].concat(),
        )
    }

    /// Looks a name up as a machine with two address families.
    fn resolve(&self, name: &str) {
        let said = self.dig(&["+noall", "+comments", "+answer", name, "A", name, "AAAA"]);
        assert_eq!(said.matches("status: NOERROR").count(), 2, "{said}");
        assert_eq!(said.matches("127.0.0.1").count(), 1, "{said}");
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_resolver_that_minimises_names_makes_one_event_of_a_lookup() {
    if !have("unbound") || !have("dig") {
        return;
    }
    let field = Field::start();
    for settings in [
        " qname-minimisation: yes\n",
        " qname-minimisation: yes\n qname-minimisation-strict: yes\n",
        " qname-minimisation: no\n use-caps-for-id: yes\n",
    ] {
        let resolver = Resolver::start(&field, settings);
        let make = |kind| field.post(&[("kind", kind)]).0;
        // The event's names are as asked for, and one of the resolvers changes letters' case.
        let told = |made: &Made, kind, events: &[Value]| match settings.contains("caps") {
            true => assert_eq!(hostnames(&field, made), lower(events)),
            false if settings.contains("strict") => drop(field.told(made, kind, events)),
            false => drop(field.told_everywhere(made, kind, events)),
        };

        let bare = make("dns");
        resolver.resolve(&bare.hostname);
        told(&bare, DNS, &[json!({"hostname": bare.hostname})]);

        let data = make("dns");
        let sent = "the quick brown fox jumps over the lazy dog";
        let labels = data_encoding::BASE32_NOPAD.encode(sent.as_bytes());
        let labels: Vec<&str> = [
            0,
            5,
            10,
            15,
            20,
            25,
            30,
            35,
            40,
            45,
            50,
            55,
            60,
            labels.len(),
        ]
        .windows(2)
        .map(|at| &labels[at[0]..at[1]])
        .collect();
        let long = format!("{}.G42.{}", labels.join("."), data.hostname);
        let short = format!("NBSWY3DP.G43.{}", data.hostname);
        resolver.resolve(&long);
        resolver.resolve(&short);
        told(
            &data,
            DNS,
            &[
                json!({"hostname": long, "generic_data": sent}),
                json!({"hostname": short, "generic_data": "hello"}),
            ],
        );

        let folder = make("windows-dir");
        let name = format!("j.doe.WS-042.CORP.INI.{}", folder.hostname);
        resolver.resolve(&name);
        let wanted = json!({
            "hostname": name, "windows_desktopini_access_username": "j.doe",
            "windows_desktopini_access_domain": "CORP",
            "windows_desktopini_computer_name": "WS-042",
        });
        let kind = ["windows-dir", "Windows Directory Browsing", "16006"];
        told(&folder, kind, &[wanted]);
    }
}

/// The names that a token's events tell, in lower case.
fn hostnames(field: &Field, made: &Made) -> Vec<String> {
    let all = field.nest.api("incidents/all");
    let own = |i: &&Value| i["description"]["node_id"] == *made.token;
    let incident = all["incidents"].as_array().unwrap().iter().find(own);
    lower(&seen::events(incident.unwrap()))
}

fn lower(events: &[Value]) -> Vec<String> {
    let names = events.iter().map(|event| event["hostname"].as_str());
    names.map(|name| name.unwrap().to_lowercase()).collect()
}

/// Reads a script as SQL Server's dialect, batch by batch, and works out which file it would look
/// for: for this login, at this millisecond.
const SQL: &str = "
import json, os, re, logging
import sqlglot
from sqlglot import exp
logging.disable(logging.CRITICAL)
script, login, variables = os.environ['SCRIPT'], os.environ['LOGIN'], {}
def value(n):
    if isinstance(n, exp.Literal): return n.name if n.is_string else int(n.name)
    if isinstance(n, exp.Parameter): return variables[n.name]
    if isinstance(n, (exp.Paren, exp.Cast)): return value(n.this)
    if isinstance(n, exp.CurrentUser): return login
    if isinstance(n, exp.Add): return value(n.this) + value(n.expression)
    if isinstance(n, exp.Div): return value(n.this) // value(n.expression)
    if isinstance(n, exp.GT): return value(n.this) > value(n.expression)
    if isinstance(n, exp.Length): return len(value(n.this))
    if isinstance(n, exp.Right): return value(n.this)[-value(n.expression):]
    if isinstance(n, exp.Substring):
        start = value(n.args['start']) - 1
        return value(n.this)[start:start + value(n.args['length'])]
    if isinstance(n, exp.Case):
        return next((value(i.args['true']) for i in n.args['ifs'] if value(i.this)), None) or value(n.args['default'])
    if isinstance(n, exp.Convert):
        inner, size = value(n.expression), value(n.this.expressions[0].this)
        if n.this.this == exp.DataType.Type.VARBINARY: return inner.encode('cp1252')[:size]
        if isinstance(inner, bytes):
            assert value(n.args['style']) == 2
            inner = inner.hex().upper()
        return str(inner)[:size]
    if n.sql('tsql').upper().startswith('DATEPART(MILLISECOND'): return 437
    raise Exception(repr(n))
looked, heads = [], []
for batch in re.split(r'(?m)^GO$', script):
    for n in sqlglot.parse(batch, read='tsql', error_level=sqlglot.ErrorLevel.RAISE):
        if isinstance(n, (exp.Create, exp.Command)): heads.append(n.sql('tsql', normalize_functions=False))
        if isinstance(n, exp.Set):
            pair = n.expressions[0].this
            variables[pair.this.name] = value(pair.expression)
        if isinstance(n, exp.Execute):
            assert n.this.sql('tsql') == 'master.dbo.xp_fileexist', n
            looked.append(value(n.expressions[0]))
print(json.dumps(dict(looked=looked, heads=heads)))
";

#[test]
fn what_sql_server_would_resolve_tells_the_login() {
    if !have("dig") {
        return;
    }
    let field = Field::start();
    let long = "CORP\\svc_reporting_nightly_export_finance";
    for (kind, login) in [
        ("SELECT", "sa"),
        ("UPDATE", long),
        ("INSERT", "CORP\\jdoe"),
        ("DELETE", "app"),
    ] {
        let selects = kind == "SELECT";
        let names = match selects {
            true => [
                ("view_name", "hr.payroll"),
                ("function_name", "payroll rows"),
            ],
            false => [
                ("table_name", "hr.pay]roll"),
                ("trigger_name", "payroll_audit"),
            ],
        };
        let form = [&[("kind", "sql"), ("trigger_type", kind)], &names[..]].concat();
        let (made, answer) = field.post(&form);
        let script = answer["canarytoken"]["renders"]["sql"].as_str();
        let script = script.unwrap_or_else(|| panic!("{answer:#}"));
        let environment = [("SCRIPT", script), ("LOGIN", login)];
        let Some(read) = field.nest.python_with(SQL, &environment) else {
            return;
        };
        let heads = read["heads"].as_array().unwrap();
        match selects {
            true => {
                assert!(
                    heads[0]
                        .as_str()
                        .unwrap()
                        .starts_with("CREATE FUNCTION [payroll rows]() RETURNS @rows TABLE"),
                    "{read:#}"
                );
                assert_eq!(
                    heads[1],
                    "CREATE VIEW [hr].[payroll] AS SELECT [id], [name] FROM [payroll rows]()"
                );
            }
            false => {
                let head = heads[0].as_str().unwrap();
                let wanted =
                    format!("CREATE TRIGGER [payroll_audit] ON [hr].[pay]]roll] AFTER {kind} AS");
                assert!(head.starts_with(&wanted), "{head}");
            }
        }
        let looked = read["looked"].as_array().unwrap();
        assert_eq!(looked.len(), 1, "{read:#}");
        let path = looked[0].as_str().unwrap();
        let host = path
            .strip_prefix("\\\\")
            .unwrap()
            .split('\\')
            .next()
            .unwrap();
        assert!(host.ends_with(&format!(".43.{}", made.hostname)), "{host}");
        assert!(
            host.len() <= 253 && host.split('.').all(|label| label.len() <= 63),
            "{host}"
        );
        // As the server, which wants both families, and the resolver on its way.
        let way = host.split_once('.').unwrap().1;
        field.dig(&[way, "A", host, "A", host, "AAAA"]);
        let mut wanted = json!({"hostname": host, "trigger_type": kind, "sql_username": login});
        for (name, value) in names {
            wanted[name] = json!(value);
        }
        let incident = field.told(&made, ["sql", "SQL Server", "17011"], &[wanted]);
        if matches!(kind, "SELECT" | "UPDATE") {
            seen::check_other_views(&field.nest, &incident);
        }
    }
}

/// The value of a part of a name in PowerShell: `'text'`, `$variable` or `(f 'letter' $variable)`,
/// whose function replaces what DNS doesn't take and cuts at `most`.
fn part(source: &str, variables: &[(&str, &str)], most: usize) -> String {
    let value = |name: &str| {
        let found = variables.iter().find(|(known, _)| *known == name);
        found.unwrap_or_else(|| panic!("{name} in {source}")).1
    };
    if let Some(call) = source
        .strip_prefix("(f '")
        .and_then(|call| call.strip_suffix(')'))
    {
        let (letter, variable) = call.split_once("' ").unwrap();
        let clean = value(variable).chars().map(|c| match c {
            c if c.is_ascii_alphanumeric() => c,
            _ => '-',
        });
        return letter.to_owned() + &clean.take(most).collect::<String>();
    }
    match source
        .strip_prefix('\'')
        .and_then(|text| text.strip_suffix('\''))
    {
        Some(text) => text.to_owned(),
        None => value(source).to_owned(),
    }
}

#[test]
fn the_command_that_windows_would_run_tells_computer_and_user() {
    if !have("dig") {
        return;
    }
    let field = Field::start();
    let call = "SENSITIVE_COMMAND, process_name='whoami.exe,klist.exe'";
    let Some(made) = field.make(call) else {
        return;
    };
    let units: Vec<u16> = field
        .file()
        .chunks(2)
        .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
        .collect();
    let text = String::from_utf16(&units).unwrap();
    assert!(
        text.starts_with("\u{feff}Windows Registry Editor Version 5.00\r\n\r\n["),
        "{text}"
    );
    let commands: Vec<String> = text
        .lines()
        .filter_map(|line| {
            line.strip_prefix("\"MonitorProcess\"=\"")?
                .strip_suffix('"')
        })
        .map(|value| value.replace("\\\"", "\"").replace("\\\\", "\\"))
        .collect();
    for program in ["whoami.exe", "klist.exe"] {
        assert!(
            text.contains(&format!("\\SilentProcessExit\\{program}]\r\n")),
            "{text}"
        );
    }
    assert_eq!(commands.len(), 2, "{text}");
    assert_eq!(commands[0], commands[1]);
    // -Name ((f 'c' $env:COMPUTERNAME)+'.UN.'+...+'.<hostname>')"
    let (_, name) = commands[0].split_once(" -Name (").unwrap();
    let parts = name.strip_suffix(")\"").unwrap().split('+');
    let run = |run: &str| {
        let variables = [
            ("$env:COMPUTERNAME", "WS-042"),
            ("$env:USERNAME", "j.doe"),
            ("$r", run),
        ];
        let parts = parts.clone().map(|source| part(source, &variables, 50));
        parts.collect::<String>()
    };
    let (first, second) = (run("k3v9x2qa"), run("00zz11yy"));
    assert_eq!(
        first,
        format!("cWS-042.UN.uj-doe.CMD.k3v9x2qa.{}", made.hostname)
    );
    field.dig(&[&first, "A", &second, "A", &first, "A"]);
    let wanted = [(&first, "k3v9x2qa"), (&second, "00zz11yy")].map(|(name, run)| {
        json!({
            "hostname": name, "cmd_computer_name": "WS-042", "cmd_user_name": "j-doe",
            "cmd_invocation_id": run,
        })
    });
    let kind = ["sensitive-cmd", "Sensitive Command", "16011"];
    field.told_everywhere(&made, kind, &wanted);
}

/// Reads the task out of the script as XML, and the query out of the task.
const TASK: &str = "
import os, json, re
import xml.etree.ElementTree as ET
script = open(os.path.join(os.environ['FOLDER'], 'token'), encoding='utf-8-sig', newline='').read()
task = re.search(r\"@'\\r\\n(.*?)\\r\\n'@\", script, re.S).group(1)
root = ET.fromstring(re.sub(r'^<\\?xml[^>]*\\?>', '', task.strip()))
text = lambda name: root.find('.//{*}' + name).text
query = ET.fromstring(text('Subscription'))
print(json.dumps(dict(command=text('Command'), arguments=text('Arguments'), user=text('UserId'), value=text('Value'), select=query.find('Query/Select').text)))
";

#[test]
fn the_task_that_a_controller_would_run_tells_the_login() {
    if !have("dig") {
        return;
    }
    let field = Field::start();
    let call = "ACTIVE_DIRECTORY_LOGIN, tokened_usernames='svc_backup'";
    let Some(made) = field.make(call) else {
        return;
    };
    let folder = field.nest.dir.path().to_str().unwrap();
    let Some(task) = field.nest.python_with(TASK, &[("FOLDER", folder)]) else {
        return;
    };
    assert_eq!(
        task["select"],
        "*[System[(EventID=4768 or EventID=4776)]] and *[EventData[\
         Data[@Name='TargetUserName']='SVC_BACKUP' or Data[@Name='TargetUserName']='Svc_backup' or \
         Data[@Name='TargetUserName']='svc_backup']]"
    );
    assert_eq!(
        (&task["command"], &task["user"], &task["value"]),
        (
            &json!("powershell.exe"),
            &json!("S-1-5-18"),
            &json!("Event/System/EventRecordID")
        )
    );
    let arguments = task["arguments"].as_str().unwrap();
    let (_, parts) = arguments.split_once(" -Name (@(").unwrap();
    let (parts, _) = parts.split_once(") -join '.')").unwrap();
    // What Kerberos' event says, then what NTLM's says.
    let logins = [
        ["10.0.0.5", "", "svc_backup", "184467"],
        ["", "WS_042", "SVC_BACKUP", "184470"],
    ];
    let names = logins.map(|[address, workstation, user, record]| {
        let variables = [
            ("$d.IpAddress", address),
            ("$d.Workstation", workstation),
            ("$d.TargetUserName", user),
            ("$env:COMPUTERNAME", "DC01"),
            ("$n", record),
        ];
        let parts = parts.split(',').map(|source| part(source, &variables, 28));
        parts.collect::<Vec<_>>().join(".")
    });
    assert_eq!(
        names[0],
        format!(
            "i10-0-0-5.w.usvc-backup.dDC01.r184467.ADL.{}",
            made.hostname
        )
    );
    field.dig(&[&names[0], "A", &names[1], "A"]);
    let wanted = [
        json!({
            "hostname": names[0], "cmd_resolved_ip": "10.0.0.5", "cmd_user_name": "svc-backup",
            "cmd_machine_name": "DC01", "cmd_event_record_id": "184467",
        }),
        json!({
            "hostname": names[1], "cmd_workstation": "WS-042", "cmd_user_name": "SVC-BACKUP",
            "cmd_machine_name": "DC01", "cmd_event_record_id": "184470",
        }),
    ];
    let kind = ["active-directory-login", "Active Directory Login", "16012"];
    field.told_everywhere(&made, kind, &wanted);
}
