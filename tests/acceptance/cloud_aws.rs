//! AWS keys of an operator's own account: made and taken back over IAM, their use read from
//! CloudTrail. Amazon is a program here that answers as its documentation says and has botocore,
//! Amazon's own library, sign every request again.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::nest::{self, Nest};
use crate::seen::check_other_views;

/// Lines in: JSON objects that change what it answers; events without a time are of now. Lines out:
/// its port, then each operation, and `be` where it has taken a line in.
const AMAZON: &str = r#"
import http.server, json, sys, threading, time, urllib.parse
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
state = {'events': [], 'fail': None}
keys = {}
def say(*what):
    print(json.dumps(what), flush=True)
class Amazon(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers['Content-Length']))
        line = self.headers['Authorization']
        parts = dict(part.strip().split('=', 1) for part in line.split(' ', 1)[1].split(','))
        key, day, region, service, _ = parts['Credential'].split('/')
        sent = {name: self.headers[name] for name in parts['SignedHeaders'].split(';')}
        request = AWSRequest('POST', 'http://%s%s' % (self.headers['Host'], self.path), data=body, headers=sent)
        request.context['timestamp'] = self.headers['X-Amz-Date']
        auth = SigV4Auth(Credentials('AKIAOPERATOR', 'operators-secret'), service, region)
        wanted = auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request)
        if wanted != parts['Signature'] or key != 'AKIAOPERATOR':
            return self.answer(403, {'__type': 'InvalidSignatureException', 'message': 'signed wrong'})
        if service == 'cloudtrail': return self.trail(region, json.loads(body))
        self.iam(dict(urllib.parse.parse_qsl(body.decode())))
    def trail(self, region, asked):
        say('LookupEvents', region)
        if state['fail']: return self.answer(400, {'__type': state['fail'], 'message': 'not now'})
        wanted = asked['LookupAttributes'][0]['AttributeValue']
        found = [e for e in state['events'] if e['awsRegion'] == region and e['userIdentity']['accessKeyId'] == wanted]
        start = int(asked.get('NextToken') or 0)
        page = {'Events': [{'EventId': e['eventID'], 'CloudTrailEvent': json.dumps(e)} for e in found[start:start + 2]]}
        if start + 2 < len(found): page['NextToken'] = str(start + 2)
        self.answer(200, page)
    def iam(self, asked):
        action, user = asked['Action'], asked.get('UserName')
        say(action, user, asked.get('PolicyDocument') or asked.get('Status'))
        if action in state.get('denied', []):
            return self.answer(403, '<ErrorResponse><Error><Code>AccessDenied</Code><Message>not authorized to perform: iam:%s</Message></Error></ErrorResponse>' % action)
        if action == 'UpdateAccessKey': state['status'] = asked['Status']
        inner = ''
        if action == 'CreateUser':
            inner = '<User><Path>/</Path><UserName>%s</UserName><UserId>AIDAEXAMPLE</UserId><Arn>arn:aws:iam::557208331452:user/%s</Arn></User>' % (user, user)
        if action == 'CreateAccessKey':
            inner = '<AccessKey><UserName>%s</UserName><AccessKeyId>AKIAREALONE</AccessKeyId><Status>Active</Status><SecretAccessKey>their/secret</SecretAccessKey></AccessKey>' % user
        if action == 'ListAccessKeys':
            inner = '<AccessKeyMetadata><member><UserName>%s</UserName><AccessKeyId>AKIAREALONE</AccessKeyId><Status>%s</Status></member></AccessKeyMetadata><IsTruncated>false</IsTruncated>' % (user, state.get('status', 'Active'))
        if action == 'GetAccessKeyLastUsed':
            inner = '<UserName>u</UserName><AccessKeyLastUsed><Region>N/A</Region><ServiceName>N/A</ServiceName></AccessKeyLastUsed>'
            if state.get('last'):
                inner = '<AccessKeyLastUsed><LastUsedDate>%s</LastUsedDate><Region>us-east-1</Region><ServiceName>ses</ServiceName></AccessKeyLastUsed>' % state['last']
        self.answer(200, '<%sResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><%sResult>%s</%sResult></%sResponse>' % (action, action, inner, action, action))
    def answer(self, status, what):
        text = (what if isinstance(what, str) else json.dumps(what)).encode()
        self.send_response(status)
        self.send_header('Content-Length', str(len(text)))
        self.end_headers()
        self.wfile.write(text)
    def log_message(self, *args): pass
server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Amazon)
threading.Thread(target=server.serve_forever, daemon=True).start()
say(server.server_port)
for line in sys.stdin:
    order = json.loads(line)
    for event in order.get('events', []):
        event['eventTime'] = event['eventTime'] or time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())
    order['events'] = state['events'] + order.get('events', [])
    state.update(order)
    say('be')
"#;

struct Amazon {
    child: Child,
    orders: ChildStdin,
    said: BufReader<ChildStdout>,
    port: u64,
}

impl Amazon {
    fn start() -> Option<Self> {
        let mut child = Command::new(nest::python()?)
            .args(["-c", AMAZON])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut amazon = Self {
            orders: child.stdin.take().unwrap(),
            said: BufReader::new(child.stdout.take().unwrap()),
            child,
            port: 0,
        };
        amazon.port = amazon.next()[0].as_u64().unwrap();
        Some(amazon)
    }

    fn next(&mut self) -> Value {
        let mut line = String::new();
        self.said.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    fn be(&mut self, state: &Value) {
        writeln!(self.orders, "{state}").unwrap();
        self.until("be");
    }

    /// The operations until one is `last`, without those of a look.
    fn until(&mut self, last: &str) -> Vec<Value> {
        let mut all = Vec::new();
        loop {
            let said = self.next();
            let name = said[0].as_str().unwrap().to_owned();
            if !["LookupEvents", "GetAccessKeyLastUsed"].contains(&name.as_str()) || name == last {
                all.push(said);
            }
            if name == last {
                return all;
            }
        }
    }

    /// Two looks from now: the second has begun after whatever was ordered before.
    fn looks(&mut self) {
        for _ in 0..2 {
            self.until("GetAccessKeyLastUsed");
        }
    }

    fn config(&self) -> String {
        format!(
            "[cloud.aws]\naccess_key_id = \"AKIAOPERATOR\"\nsecret_access_key = \"operators-secret\"\n\
             regions = [\"us-east-1\", \"eu-west-1\"]\npoll_seconds = 5\n\
             endpoint = \"http://127.0.0.1:{}\"\n",
            self.port
        )
    }
}

impl Drop for Amazon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn record(id: &str, region: &str, at: &str, source: &str) -> Value {
    json!({"eventVersion": "1.08", "eventID": id, "eventTime": at, "eventSource": "sts.amazonaws.com",
        "eventName": "GetCallerIdentity", "awsRegion": region, "sourceIPAddress": source,
        "userAgent": "aws-cli/2.15.0 Python/3.11.6", "recipientAccountId": "557208331452",
        "userIdentity": {"type": "IAMUser", "accountId": "557208331452", "accessKeyId": "AKIAREALONE"}})
}

/// CloudTrail's own ids of an incident's events, in their order.
fn ids_of(incident: &Value) -> Vec<&str> {
    let told = incident["description"]["events"].as_array().unwrap();
    let ids = told.iter().map(|event| &event["cloudtrail_event_id"]);
    let mut ids: Vec<&str> = ids.map(|id| id.as_str().unwrap()).collect();
    ids.sort_unstable();
    ids
}

#[test]
fn a_key_of_the_operators_account_alerts_by_cloudtrail_once_over_a_restart() {
    let Some(mut amazon) = Amazon::start() else {
        return;
    };
    let config = amazon.config();
    let nest = Nest::start(&config);
    let made = nest.post("canarytoken/create", &[("kind", "aws-id"), ("memo", "ci")]);
    let token = made["canarytoken"].clone();
    let id = token["canarytoken"].as_str().unwrap().to_owned();
    let user = token["username"].as_str().unwrap().to_owned();
    assert_eq!(token["integration"], "connected", "{made}");
    assert_eq!(token["access_key_id"], "AKIAREALONE");
    assert_eq!(
        token["renders"]["aws-id"],
        "[default]\naws_access_key_id = AKIAREALONE\naws_secret_access_key = their/secret\nregion = us-east-1\n"
    );
    let asked = amazon.until("CreateAccessKey");
    let names: Vec<&str> = asked.iter().map(|said| said[0].as_str().unwrap()).collect();
    assert_eq!(names, ["CreateUser", "PutUserPolicy", "CreateAccessKey"]);
    let policy: Value = serde_json::from_str(asked[1][2].as_str().unwrap()).unwrap();
    assert_eq!(
        policy["Statement"],
        json!([{"Effect": "Deny", "Action": "*", "Resource": "*"}])
    );
    let kind = kind(&nest);
    assert_eq!(kind["integration"], "connected");
    assert_eq!(kind["integration_problem"], "");
    assert!(kind["limits"].as_str().unwrap().starts_with("Connected: "));
    for shown in [
        nest.coalmine(&["config", "show"]),
        nest.api("settings").to_string(),
        nest.api("canarytokens/kinds").to_string(),
        nest.log(),
    ] {
        assert!(!shown.contains("operators-secret"), "{shown}");
    }

    let thief = "198.51.100.7";
    let events = [
        record("e-1", "us-east-1", "2026-11-22T10:00:00Z", thief),
        record("e-2", "us-east-1", "2026-11-22T10:00:10Z", thief),
        record("e-3", "us-east-1", "2026-11-22T10:00:20Z", thief),
        record("e-4", "eu-west-1", "2026-11-22T10:00:30Z", thief),
    ];
    amazon.be(&json!({"events": events}));
    let incident = nest.incident("Canarytoken triggered", 4);
    assert_eq!(incident["description"]["logtype"], "17012");
    assert_eq!(incident["description"]["src_host"], thief);
    let told = incident["description"]["events"].as_array().unwrap();
    assert_eq!(ids_of(&incident), ["e-1", "e-2", "e-3", "e-4"]);
    for event in told {
        let region = match event["cloudtrail_event_id"].as_str() {
            Some("e-4") => "eu-west-1",
            _ => "us-east-1",
        };
        for (field, wanted) in [
            ("kind", "aws-id"),
            ("description", "Amazon API Key"),
            ("logtype", "17012"),
            ("canarytoken", &*id),
            ("access_key_id", "AKIAREALONE"),
            ("secret_access_key", "their/secret"),
            ("account_id", "557208331452"),
            ("eventName", "GetCallerIdentity"),
            ("service", "sts"),
            ("region", region),
            ("source_address", thief),
            ("user_agent", "aws-cli/2.15.0 Python/3.11.6"),
            ("safety_net", "False"),
        ] {
            assert_eq!(event[field], wanted, "{field} of {event:#}");
        }
    }
    check_other_views(&nest, &incident);

    // The same events again, after a stop without warning: nothing more.
    let nest = Nest::start_in(nest.kill(), &config);
    amazon.looks();
    nest.incident("Canarytoken triggered", 4);

    amazon.be(&json!({"fail": "ExpiredTokenException"}));
    let problem = await_problem(&nest, |problem| !problem.is_empty());
    assert!(
        problem.contains("ExpiredTokenException: not now"),
        "{problem}"
    );
    assert!(problem.ends_with("check access_key_id and secret_access_key in [cloud.aws]"));
    assert!(nest.log().contains("ExpiredTokenException"));
    amazon.be(&json!({"fail": null}));
    await_problem(&nest, str::is_empty);

    let form = [("canarytoken", &*id), ("clear_incidents", "true")];
    let gone = nest.post("canarytoken/delete", &form);
    assert_eq!(gone["result"], "success", "{gone}");
    let asked = amazon.until("DeleteUser");
    let names: Vec<(&str, &str)> = asked
        .iter()
        .map(|said| (said[0].as_str().unwrap(), said[1].as_str().unwrap()))
        .collect();
    assert_eq!(
        names,
        [
            ("ListAccessKeys", &*user),
            ("DeleteAccessKey", &*user),
            ("DeleteUserPolicy", &*user),
            ("DeleteUser", &*user)
        ]
    );
}

#[test]
fn a_disabled_tokens_key_is_inactive_and_its_use_is_told_once_it_is_enabled() {
    let Some(mut amazon) = Amazon::start() else {
        return;
    };
    let nest = Nest::start(&amazon.config());
    let made = nest.post("canarytoken/create", &[("kind", "aws-id"), ("memo", "ci")]);
    let id = made["canarytoken"]["canarytoken"].as_str().unwrap();
    let user = made["canarytoken"]["username"].as_str().unwrap();
    let one = [("canarytoken", id)];
    let is_enabled = || {
        let token = nest.api(&format!("canarytoken/fetch?canarytoken={id}"));
        token["token"]["enabled"].as_bool().unwrap()
    };

    // An account whose key may not change others: the token is silent all the same.
    amazon.be(&json!({"denied": ["UpdateAccessKey"]}));
    let words = "The Canarytoken is disabled and does not alert, but its credentials may still be \
                 valid: AWS did not make the key AKIAREALONE inactive: AccessDenied: not authorized \
                 to perform: iam:UpdateAccessKey; the key of [cloud.aws] needs that right";
    let said = nest.post("canarytoken/disable", &one);
    assert_eq!(said["message"], words);
    assert!(!is_enabled());
    let said = nest.post("canarytoken/enable", &one);
    assert_eq!(said["result"], "success", "it is active: {said}");
    assert!(is_enabled());
    let said = Command::new(nest::program())
        .args(["tokens", "disable", id, "--data"])
        .arg(nest.data())
        .output()
        .unwrap();
    let errors = String::from_utf8(said.stderr).unwrap();
    assert_eq!(errors, format!("coalmine: {id}: {words}\n"));
    assert!(!said.status.success() && !is_enabled());

    // One that may.
    amazon.be(&json!({"denied": []}));
    for (command, status) in [("disable", "Inactive"), ("enable", "Active")] {
        nest.coalmine(&["tokens", command, id]);
        let asked = amazon.until("UpdateAccessKey");
        assert_eq!(asked, [json!(["UpdateAccessKey", user, status])]);
        assert_eq!(is_enabled(), status == "Active");
    }

    // What CloudTrail tells of while it is disabled waits.
    let mut used = |id: &str| {
        let event = record(id, "us-east-1", "", "198.51.100.7");
        amazon.be(&json!({"events": [event]}));
    };
    nest.coalmine(&["tokens", "disable", id]);
    used("while");
    assert_eq!(nest.count("Canarytoken triggered"), 0);
    nest.coalmine(&["tokens", "enable", id]);
    used("after");
    let incident = nest.incident("Canarytoken triggered", 2);
    assert_eq!(ids_of(&incident), ["after", "while"]);
}

#[test]
fn without_a_secret_or_an_account_there_is_a_plain_word() {
    let Some(amazon) = Amazon::start() else {
        return;
    };
    let wrong = amazon.config().replace("operators-secret", "another");
    let nest = Nest::start(&wrong);
    let made = nest.post("canarytoken/create", &[("kind", "aws-id"), ("memo", "ci")]);
    let message = made["message"].as_str().unwrap();
    assert!(
        message.starts_with("AWS did not make a key: InvalidSignatureException: signed wrong"),
        "{made}"
    );
    assert_eq!(nest.api("canarytokens/list")["result"], "success");
    let form = [
        ("kind", "aws-s3"),
        ("memo", "x"),
        ("s3_source_bucket", "abc"),
        ("s3_log_bucket", "abd"),
    ];
    let other = nest.post("canarytoken/create", &form);
    assert_eq!(other["canarytoken"]["integration"], "local", "{other}");
}

/// The kind as the API tells of it.
fn kind(nest: &Nest) -> Value {
    let kinds = nest.api("canarytokens/kinds");
    let kinds = kinds["kinds"].as_array().unwrap();
    kinds
        .iter()
        .find(|kind| kind["id"] == "aws-id")
        .unwrap()
        .clone()
}

fn await_problem(nest: &Nest, is: impl Fn(&str) -> bool) -> String {
    let until = Instant::now() + Duration::from_secs(25);
    loop {
        let problem = kind(nest)["integration_problem"]
            .as_str()
            .unwrap()
            .to_owned();
        if is(&problem) {
            return problem;
        }
        assert!(Instant::now() < until, "still {problem:?}");
        std::thread::sleep(Duration::from_millis(300));
    }
}
