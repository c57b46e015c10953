//! The API as the official Python client uses it.

use serde_json::json;

use crate::nest::{Nest, QUICK, beside_python, client, have};

/// Python that makes `console`, the official client on this Console.
pub const CONNECT: &str = "
import json, os, configparser, canarytools
ini = configparser.ConfigParser(); ini.read(os.environ['CLIENT_CONFIG'])
console = canarytools.Console(domain=ini['CanaryTools']['domain'], api_key=ini['CanaryTools']['api_key'])
";

#[test]
fn canarytools_reads_acknowledges_and_deletes_incidents() {
    let nest = Nest::start(QUICK);
    if !have("curl") {
        return;
    }
    let port = nest.port("ftp");
    client(
        "curl",
        &[
            "-s",
            "-u",
            "alice:wonder",
            &format!("ftp://{}:{port}/", nest.address),
        ],
    );
    nest.incident("FTP Login Attempt", 1);
    let Some(seen) = nest.python(&format!(
        "{CONNECT}
before = console.incidents.unacknowledged()
i = before[0]
e = i.events[0]
facts = dict(summary=i.summary, description=i.description, logtype=i.logtype, src_host=i.src_host,
    dst_port=str(i.dst_port), node=i.node_id, events=len(i.events), username=e.username, password=e.password,
    has_time=e.timestamp.year >= 2020)
i.acknowledge()
left = len(console.incidents.unacknowledged())
acked = console.incidents.acknowledged()
state = acked[0].acknowledged
acked[0].unacknowledge()
back = len(console.incidents.unacknowledged())
console.incidents.acknowledge()
console.incidents.acknowledged()[0].delete()
print(json.dumps(dict(facts=facts, before=len(before), left=left, acked=len(acked), state=str(state), back=back,
    end=len(console.incidents.all()))))
"
    )) else {
        return;
    };
    assert_eq!(
        seen,
        json!({
            "facts": {
                "summary": "FTP Login Attempt", "description": "FTP Login Attempt", "logtype": "2000",
                "src_host": "127.0.0.1", "dst_port": port.to_string(), "node": nest.run["birds"][0]["node_id"], "events": 1,
                "username": "alice", "password": "wonder", "has_time": true,
            },
            "before": 1, "left": 0, "acked": 1, "state": "True", "back": 1, "end": 0,
        })
    );
}

#[test]
fn canarytools_sees_devices_flocks_and_tokens() {
    let nest = Nest::start(QUICK);
    let Some(seen) = nest.python(&format!(
        "{CONNECT}
devices = console.devices.all()
d = devices[0]
flocks = console.flocks.all()
made = console.tokens.create(memo='by the client', kind=canarytools.CanaryTokenKinds.HTTP)
dns = console.tokens.create(memo='second', kind=canarytools.CanaryTokenKinds.DNS)
again = console.tokens.get_token(made.canarytoken)
names = sorted(t.memo for t in console.tokens.all())
made.update(memo='renamed')
made.disable()
off = console.tokens.get_token(made.canarytoken).enabled
made.enable()
made.delete()
print(json.dumps(dict(devices=len(devices), name=d.name, id=d.id, live=bool(d.live), ip=d.ip_address,
    flocks=[f.name for f in flocks], kind=again.kind, same=again.canarytoken == made.canarytoken, url=made.url.startswith('http://'),
    host=dns.hostname.startswith(dns.canarytoken), names=names, off=str(off), left=[t.memo for t in console.tokens.all()])))
"
    )) else {
        return;
    };
    assert_eq!(
        seen,
        json!({
            "devices": 1, "name": "files-02", "id": nest.run["birds"][0]["node_id"], "live": true,
            "ip": nest.address.to_string(), "flocks": ["Default Flock"], "kind": "http", "same": true,
            "url": true, "host": true, "names": ["by the client", "second"], "off": "False",
            "left": ["second"],
        })
    );
}

#[test]
fn schemathesis_finds_no_server_error() {
    let Some(schemathesis) = beside_python("schemathesis") else {
        return;
    };
    let nest = Nest::start(QUICK);
    let url = nest.run["console_url"].as_str().unwrap();
    let key = nest.coalmine(&["key", "create", "--role", "admin", "fuzzing"]);
    let key = key
        .split_whitespace()
        .find(|w| w.len() == 32 && w.bytes().all(|b| b.is_ascii_hexdigit()));
    let said = client(
        "env",
        &[
            "-C",
            nest.dir.path().to_str().unwrap(),
            schemathesis.to_str().unwrap(),
            "run",
            &format!("{url}/api/v1/openapi.json"),
            "--tls-verify",
            nest.run["ca_file"].as_str().unwrap(),
            "-H",
            &format!(
                "X-Canary-Auth-Token: {}",
                key.expect("key create prints the key")
            ),
            "--checks",
            "not_a_server_error",
            "--max-examples",
            "8",
            "--phases",
            "examples,fuzzing",
            "--generation-deterministic",
            "--max-time",
            "45",
        ],
    );
    assert!(!said.contains("Server error"), "{said}");
    assert!(
        said.contains("passed") || said.contains("No issues found"),
        "{said}"
    );
}
