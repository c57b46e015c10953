//! A thousand touches are one incident of a thousand events, on every channel that isn't plain HTTP or
//! DNS; and one `kubectl` is as many events as it makes requests.

use std::net::TcpListener;

use serde_json::{Value, json};

use crate::nest::{Nest, await_some, client, have};
use crate::seen;

const TITLE: &str = "Canarytoken triggered";

/// Python that does `one(thread, n)` a thousand times in parallel and tells what the last one gave.
const MANY: &str = "
import json, os, threading
def run(threads, start, one):
    last, faults = [], []
    def loop(thread):
        try:
            state = start(thread)
            for n in range(1000 // threads): last[:] = [one(state, n)]
        except Exception as fault: faults.append(repr(fault))
    all = [threading.Thread(target=loop, args=(thread,)) for thread in range(threads)]
    for thread in all: thread.start()
    for thread in all: thread.join()
    print(json.dumps(dict(faults=faults[:3], last=last)))
";

/// A Console whose one channel is that of `key`, on this machine; and its port.
fn nest(key: &str) -> (Nest, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let off: String = ["http_port", "dns_port"]
        .iter()
        .filter(|other| **other != key)
        .map(|other| format!("{other} = 0\n"))
        .collect();
    let nest = Nest::start(&format!(
        "[tokens]\naddress = \"127.0.0.1\"\nzone = \"localhost\"\n{off}{key} = {}\n",
        port - 10_000
    ));
    (nest, port)
}

fn make(nest: &Nest, kind: &str) -> Value {
    let made = nest.post(
        "canarytoken/create",
        &[("kind", kind), ("memo", "a thousand times")],
    );
    assert_eq!(made["result"], "success", "{made}");
    made["canarytoken"].clone()
}

fn id(token: &Value) -> &str {
    token["canarytoken"].as_str().unwrap()
}

/// Runs it, and holds the one incident of a thousand events of `token`; the events.
fn thousand(nest: &Nest, token: &Value, code: &str, more: &[(&str, &str)]) -> Option<Vec<Value>> {
    let said = nest.python_with(&format!("{MANY}{code}"), more)?;
    assert_eq!(said["faults"], json!([]), "{said}");
    let incident = nest.incident(TITLE, 1000);
    assert_eq!(incident["description"]["node_id"], token["canarytoken"]);
    let events = seen::events(&incident).to_vec();
    assert_eq!(events.len(), 1000);
    for event in &events {
        assert_eq!(event["canarytoken"], token["canarytoken"]);
    }
    Some(events)
}

/// How many values of a field there are.
fn distinct(events: &[Value], field: &str) -> usize {
    let mut all: Vec<String> = events.iter().map(|e| e[field].to_string()).collect();
    all.sort_unstable();
    all.dedup();
    all.len()
}

#[test]
fn a_thousand_mails() {
    let (nest, port) = nest("smtp_port");
    let token = make(&nest, "smtp");
    let code = "
import smtplib
def start(thread): return thread, smtplib.SMTP('127.0.0.1', int(os.environ['PORT']))
def one(state, n):
    thread, server = state
    return str(server.sendmail('eve-%d-%d@example.com' % (thread, n), [os.environ['TO']], 'Subject: s\\r\\n\\r\\nhello'))
run(25, start, one)";
    let to = format!("{}@localhost", id(&token));
    let more = [("PORT", port.to_string()), ("TO", to)];
    let more = more.each_ref().map(|(name, value)| (*name, value.as_str()));
    if let Some(events) = thousand(&nest, &token, code, &more) {
        assert_eq!(distinct(&events, "mail_from"), 1000);
    }
}

#[test]
fn a_thousand_logins_at_mysql() {
    let (nest, port) = nest("mysql_port");
    let token = make(&nest, "mysql-dump");
    let code = "
import socket, struct
def start(thread): return thread
def one(thread, n):
    with socket.create_connection(('127.0.0.1', int(os.environ['PORT']))) as peer:
        stream = peer.makefile('rb')
        def packet():
            head = stream.read(4)
            return stream.read(int.from_bytes(head[:3], 'little'))
        assert packet()[0] == 10
        user = '%sen_USdb-%d-%d' % (os.environ['TOKEN'], thread, n)
        body = struct.pack('<IIB23x', 0x8200, 1 << 24, 33) + user.encode() + b'\\0\\0'
        peer.sendall(len(body).to_bytes(3, 'little') + b'\\1' + body)
        answer = packet()
        assert answer[0] == 255, answer
        return answer[1:3].hex()
run(20, start, one)";
    let more = [("PORT", port.to_string()), ("TOKEN", id(&token).to_owned())];
    let more = more.each_ref().map(|(name, value)| (*name, value.as_str()));
    if let Some(events) = thousand(&nest, &token, code, &more) {
        assert_eq!(distinct(&events, "mysql_hostname"), 1000);
    }
}

#[test]
fn a_thousand_handshakes_of_wireguard() {
    let (nest, port) = nest("wireguard_port");
    let token = make(&nest, "wireguard");
    // Noise IKpsk2 as in WireGuard's paper, section 5.4.2.
    let code = "
import base64, hashlib, hmac, socket, struct, time
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
conf = dict(line.split(' = ', 1) for line in os.environ['CONF'].splitlines() if ' = ' in line)
ours = X25519PrivateKey.from_private_bytes(base64.b64decode(conf['PrivateKey']))
theirs = base64.b64decode(conf['PublicKey'])
def hash(*parts): return hashlib.blake2s(b''.join(parts)).digest()
def mac(key, text): return hmac.new(key, text, hashlib.blake2s).digest()
def derive(chain, text):
    secret = mac(chain, text)
    first = mac(secret, b'\\1')
    return first, mac(secret, first + b'\\2')
def raw(key): return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
def seal(key, text, heard): return ChaCha20Poly1305(key).encrypt(bytes(12), text, heard)
peer = X25519PublicKey.from_public_bytes(theirs)
def initiation(n):
    chain = hash(b'Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s')
    heard = hash(hash(chain, b'WireGuard v1 zx2c4 Jason@zx2c4.com'), theirs)
    fleeting = X25519PrivateKey.generate()
    heard = hash(heard, raw(fleeting))
    chain, _ = derive(chain, raw(fleeting))
    chain, key = derive(chain, fleeting.exchange(peer))
    static = seal(key, raw(ours), heard)
    heard = hash(heard, static)
    chain, key = derive(chain, ours.exchange(peer))
    stamp = seal(key, struct.pack('>QI', (1 << 62) + 10 + int(time.time()), n), heard)
    packet = struct.pack('<II', 1, n) + raw(fleeting) + static + stamp
    packet += hashlib.blake2s(packet, key=hash(b'mac1----', theirs), digest_size=16).digest()
    return packet + bytes(16)
stream = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
stream.connect(('127.0.0.1', int(os.environ['PORT'])))
# Fewer than the channel reads in a second.
begin = time.monotonic()
for n in range(1000):
    stream.send(initiation(n))
    time.sleep(max(0, begin + n / 250 - time.monotonic()))
print(json.dumps(dict(faults=[])))";
    let conf = nest.coalmine(&["tokens", "download", id(&token), "-o", "-"]);
    let more = [("PORT", port.to_string()), ("CONF", conf)];
    let more = more.each_ref().map(|(name, value)| (*name, value.as_str()));
    if let Some(events) = thousand(&nest, &token, code, &more) {
        assert_eq!(distinct(&events, "client_session_index"), 1000);
        assert_eq!(distinct(&events, "client_public_key"), 1);
    }
}

#[test]
fn a_thousand_signed_requests_of_aws() {
    let (nest, port) = nest("http_port");
    let token = make(&nest, "aws-id");
    let code = "
import http.client
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
lines = [line.split(' = ', 1) for line in os.environ['KEY'].splitlines() if ' = ' in line]
conf = dict(lines)
key = Credentials(conf['aws_access_key_id'], conf['aws_secret_access_key'])
url = conf['endpoint_url']
def start(thread): return thread
def one(thread, n):
    body = 'Action=GetCallerIdentity&Version=2011-06-15'
    more = {'Content-Type': 'application/x-www-form-urlencoded', 'User-Agent': 'tool/%d.%d' % (thread, n)}
    request = AWSRequest('POST', url, data=body, headers=more)
    SigV4Auth(key, 'sts', conf['region']).add_auth(request)
    peer = http.client.HTTPConnection('127.0.0.1', int(os.environ['PORT']))
    host = url.split('/')[2]
    peer.request('POST', '/' + url.split('/', 3)[3], body, {'Host': host, **dict(request.headers)})
    got = peer.getresponse()
    got.read()
    return got.status
run(20, start, one)";
    let keys = token["renders"]["aws-id"].as_str().unwrap().to_owned();
    let more = [("PORT", port.to_string()), ("KEY", keys)];
    let more = more.each_ref().map(|(name, value)| (*name, value.as_str()));
    if let Some(events) = thousand(&nest, &token, code, &more) {
        for event in &events {
            assert_eq!(
                (&event["eventName"], &event["signature_valid"]),
                (&json!("GetCallerIdentity"), &json!("True"))
            );
        }
        assert_eq!(distinct(&events, "headers"), 1000);
    }
}

#[test]
fn one_kubectl_is_as_many_events_as_it_makes_requests() {
    if !have("kubectl") {
        return;
    }
    let (nest, _) = nest("kubernetes_port");
    let token = make(&nest, "kubeconfig");
    let file = nest.dir.path().join("kubeconfig").display().to_string();
    nest.coalmine(&["tokens", "download", id(&token), "-o", &file]);
    let cache = nest.dir.path().join("cache").display().to_string();
    let said = client(
        "kubectl",
        &[
            "--kubeconfig",
            &file,
            "--cache-dir",
            &cache,
            "-v=6",
            "get",
            "pods",
        ],
    );
    // What it says it has asked for, in the order asked.
    let asked: Vec<String> = said
        .lines()
        .filter_map(|line| line.split_once("GET https://"))
        .map(|(_, rest)| {
            let url = rest.split([' ', '"']).next().unwrap();
            format!("GET /{}", url.split_once('/').unwrap().1)
        })
        .collect();
    assert!(asked.len() >= 5, "{said}");
    // A program that chooses among versions of kubectl asks once for the cluster's, by itself.
    let of_another = |event: &&Value| {
        let agent = event["user_agent"].as_str().unwrap();
        agent.starts_with("kubectl-dispatcher/")
    };
    let mut events = Vec::new();
    await_some(|| {
        let all = nest.api("incidents/all");
        events = seen::events(all["incidents"].as_array()?.first()?).to_vec();
        (events.iter().filter(|event| !of_another(event)).count() >= asked.len()).then_some(())
    });
    assert_eq!(nest.count(TITLE), 1);
    assert!(events.iter().filter(of_another).count() <= 1);
    let paths: Vec<&str> = events
        .iter()
        .filter(|event| !of_another(event))
        .map(|event| event["request_path"].as_str().unwrap())
        .collect();
    assert_eq!(paths, asked);
}
