//! Tokens that seem to belong to a cloud: made over the API, used by its own programs, told once.

use std::net::TcpListener;

use serde_json::{Value, json};

use crate::nest::Nest;
use crate::seen::check_other_views;

/// Python with boto3 and the command line of AWS, both on the credentials in `CREDENTIALS` alone;
/// what each call gives, or the code of its error.
const AWS: &str = "
import boto3, json, os, subprocess, sys, tempfile
from botocore.exceptions import ClientError
folder = tempfile.mkdtemp()
file = os.path.join(folder, 'credentials')
open(file, 'w').write(os.environ['CREDENTIALS'])
os.environ.update(AWS_SHARED_CREDENTIALS_FILE=file, AWS_CONFIG_FILE=file, HOME=folder, AWS_EC2_METADATA_DISABLED='true', AWS_MAX_ATTEMPTS='1')
said = []
def ask(service, call, **more):
    try:
        got = getattr(boto3.client(service), call)(**more)
        if 'Body' in got: got['Body'] = got['Body'].read().decode()
        got.pop('ResponseMetadata')
        said.append(got)
    except ClientError as error:
        said.append([error.response['ResponseMetadata']['HTTPStatusCode'], error.response['Error']['Code'], error.response['Error']['Message']])
def cli(*arguments):
    run = subprocess.run([os.path.join(os.path.dirname(sys.executable), 'aws'), *arguments], capture_output=True, text=True)
    said.append([run.returncode, run.stdout, run.stderr])
";

/// Python that ends TLS in front of the channel, as an operator's proxy does, and azure-identity
/// with what `ENV` and `PEM` hold; the error of each attempt.
const AZURE: &str = "
import datetime, http.client, http.server, json, os, ssl, tempfile, threading, warnings
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
warnings.filterwarnings('ignore')
folder = tempfile.mkdtemp()
def write(name, data):
    path = os.path.join(folder, name)
    open(path, 'wb').write(data)
    return path
def certificate(key):
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, 'x')])
    now = datetime.datetime.now(datetime.timezone.utc)
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + datetime.timedelta(1)).sign(key, hashes.SHA256())
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return private + made.public_bytes(serialization.Encoding.PEM)
class Proxy(http.server.BaseHTTPRequestHandler):
    def forward(self):
        body = self.rfile.read(int(self.headers.get('Content-Length') or 0))
        up = http.client.HTTPConnection(os.environ['UPSTREAM'])
        up.request(self.command, self.path, body, {**self.headers, 'X-Forwarded-Proto': 'https'})
        got = up.getresponse()
        data = got.read()
        self.send_response(got.status)
        for name, value in got.getheaders():
            if name.lower() not in ('server', 'connection'): self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)
    do_GET = do_POST = forward
    def log_message(self, *args): pass
server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Proxy)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(write('tls.pem', certificate(ec.generate_private_key(ec.SECP256R1()))))
server.socket = context.wrap_socket(server.socket, server_side=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
for line in os.environ['ENV'].splitlines():
    name, value = line.split('=', 1)
    os.environ[name] = value
os.environ['AZURE_AUTHORITY_HOST'] = 'https://127.0.0.1:%d' % server.server_port
os.environ['AZURE_CLIENT_CERTIFICATE_PATH'] = write('own.pem', os.environ['PEM'].encode())
from azure.identity import CertificateCredential, ClientSecretCredential, EnvironmentCredential
from azure.core.exceptions import ClientAuthenticationError
said = []
more = {'disable_instance_discovery': True, 'connection_verify': False, 'retry_total': 0}
def attempt(credential, scope):
    try: said.append(credential.get_token(scope).token)
    except ClientAuthenticationError as error: said.append(error.message)
tenant, app = os.environ['AZURE_TENANT_ID'], os.environ['AZURE_CLIENT_ID']
";

/// What a bot of Slack says and hears.
const SLACK: &str = "
import json, os
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
said = []
def call(key, base, method, **more):
    try: said.append(WebClient(token=key, base_url=base).api_call(method, **more).data)
    except SlackApiError as error: said.append(error.response.data)
key, base = os.environ['KEY'], os.environ['BASE']
";

#[test]
fn a_bot_of_slack_is_refused_in_slacks_words_and_each_method_told() {
    let nest = field();
    let token = make(&nest, &[("kind", "slack-api")]);
    assert_eq!(token["integration"], "local");
    let key = token["slack_api_key"].as_str().unwrap();
    let base = at_home(&nest, token["api_url"].as_str().unwrap());
    let calls = "
call(key, base, 'auth.test')
call(key, base, 'chat.postMessage', json={'channel': 'C024BE91L', 'text': 'x'})
call('xoxb-1', base, 'users.list')
call(key, base, 'no.such')
call(key, base.split('/api')[0].rsplit('/', 1)[0] + '/api/', 'auth.test')
print(json.dumps(said))
";
    let with = [("KEY", key), ("BASE", &base)];
    let Some(said) = nest.python_with(&format!("{SLACK}{calls}"), &with) else {
        return;
    };
    let refused = json!({"ok": false, "error": "invalid_auth"});
    let unknown = json!({"ok": false, "error": "unknown_method", "req_method": "no.such"});
    assert_eq!(
        said,
        json!([refused, refused, refused, unknown, refused]),
        "each in Slack's own shape"
    );
    let incident = nest.incident("Canarytoken triggered", 5);
    assert_eq!(incident["description"]["logtype"], "17020");
    let events = incident["description"]["events"].as_array().unwrap();
    for (event, (name, valid)) in events.iter().zip([
        ("auth.test", "True"),
        ("chat.postMessage", "True"),
        ("users.list", "False"),
        ("no.such", "True"),
        ("auth.test", "True"),
    ]) {
        for (field, wanted) in [
            ("kind", "slack-api"),
            ("description", "Slack API Key"),
            ("logtype", "17020"),
            ("channel", "http"),
            ("slack_api_key", key),
            ("eventName", name),
            ("key_valid", valid),
        ] {
            assert_eq!(event[field], wanted, "{field} of {event:#}");
        }
    }
    check_other_views(&nest, &incident);
}

#[test]
fn azures_library_logs_in_with_the_certificate_and_its_assertion_is_told() {
    let nest = field();
    let form = [
        ("kind", "azure-id"),
        ("azure_id_cert_file_name", "backup-sync.pem"),
    ];
    let token = make(&nest, &form);
    assert_eq!(token["integration"], "local");
    let calls = "
attempt(EnvironmentCredential(**more), 'https://management.azure.com/.default')
other = write('other.pem', certificate(rsa.generate_private_key(65537, 2048)))
attempt(CertificateCredential(tenant, app, other, **more), 'https://graph.microsoft.com/.default')
attempt(ClientSecretCredential(tenant, app, 'secret', **more), 'https://graph.microsoft.com/.default')
print(json.dumps(said))
";
    let upstream = at_home(&nest, token["authority_host"].as_str().unwrap());
    let text = |name: &str| token["renders"][name].as_str().unwrap();
    let with = [
        ("ENV", text("env")),
        ("PEM", text("pem")),
        ("UPSTREAM", upstream.trim_start_matches("http://")),
    ];
    let Some(said) = nest.python_with(&format!("{AZURE}{calls}"), &with) else {
        return;
    };
    for (said, wanted) in said.as_array().unwrap().iter().zip([
        format!(
            "AADSTS7000112: Application '{}'({}) is disabled.",
            token["app_id"].as_str().unwrap(),
            token["app_name"].as_str().unwrap()
        ),
        "AADSTS700027: The certificate with identifier used to sign the client assertion is not \
         registered"
            .to_owned(),
        "AADSTS7000215: Invalid client secret provided.".to_owned(),
    ]) {
        let said = said.as_str().unwrap();
        assert!(said.contains(&wanted), "{said}, not {wanted}");
    }
    // Each credential reads the tenant's metadata first.
    let incident = nest.incident("Canarytoken triggered", 6);
    assert_eq!(incident["description"]["logtype"], "17024");
    let events = incident["description"]["events"].as_array().unwrap();
    for (event, (name, scope, valid)) in events.iter().zip([
        ("discovery", None, None),
        (
            "token",
            Some("https://management.azure.com/.default"),
            Some("True"),
        ),
        ("discovery", None, None),
        (
            "token",
            Some("https://graph.microsoft.com/.default"),
            Some("False"),
        ),
        ("discovery", None, None),
        ("token", Some("https://graph.microsoft.com/.default"), None),
    ]) {
        for (field, wanted) in [
            ("kind", "azure-id"),
            ("description", "Azure Login Certificate and Config"),
            ("logtype", "17024"),
            ("channel", "http"),
            ("eventName", name),
        ] {
            assert_eq!(event[field], wanted, "{field} of {event:#}");
        }
        assert_eq!(event["app_id"], token["app_id"]);
        assert_eq!(event["tenant_id"], token["tenant_id"]);
        assert_eq!(event["scope"].as_str(), scope, "{event:#}");
        assert_eq!(event["signature_valid"].as_str(), valid, "{event:#}");
        let wanted = match name {
            "token" => token["app_id"].clone(),
            _ => Value::Null,
        };
        assert_eq!(event["requested_app_id"], wanted);
    }
    let assertion = &events[1]["client_assertion"];
    assert_eq!(assertion["iss"], token["app_id"]);
    assert_eq!(assertion["sub"], token["app_id"]);
    let audience = assertion["aud"].as_str().unwrap();
    assert!(audience.ends_with("/oauth2/v2.0/token"), "{audience}");
    let is = |sent: &str, own: &str| {
        let sent = assertion[sent].as_str().unwrap_or_default();
        sent.trim_end_matches('=') == token[own].as_str().unwrap()
    };
    assert!(
        is("x5t#S256", "certificate_x5t_s256") || is("x5t", "certificate_x5t"),
        "{assertion}"
    );
    check_other_views(&nest, &incident);
}

#[test]
fn aws_programs_use_a_key_and_are_told_apart_by_service_and_signature() {
    let nest = field();
    let token = make(&nest, &[("kind", "aws-id")]);
    let credentials = token["renders"]["aws-id"].as_str().unwrap();
    assert_eq!(token["integration"], "local");
    let calls = "
ask('sts', 'get_caller_identity')
ask('s3', 'list_buckets')
ask('iam', 'list_users')
ask('ec2', 'describe_instances')
ask('secretsmanager', 'list_secrets')
cli('sts', 'get-caller-identity', '--output', 'json')
cli('s3', 'ls')
cli('secretsmanager', 'list-secrets')
key = boto3.Session().get_credentials().access_key
boto3.setup_default_session(aws_access_key_id=key, aws_secret_access_key='x' * 40)
ask('sts', 'get_caller_identity')
";
    let Some(said) = ask(&nest, credentials, calls) else {
        return;
    };
    let arn = format!(
        "arn:aws:iam::{}:user/{}",
        token["account_id"].as_str().unwrap(),
        token["username"].as_str().unwrap()
    );
    let identity = json!({"UserId": token["user_id"], "Account": token["account_id"], "Arn": arn});
    assert_eq!(said[0], identity);
    for (answer, status, code, action) in [
        (&said[1], 403, "AccessDenied", "s3:ListAllMyBuckets"),
        (&said[2], 403, "AccessDenied", "iam:ListUsers"),
        (
            &said[3],
            403,
            "UnauthorizedOperation",
            "ec2:DescribeInstances",
        ),
        (
            &said[4],
            400,
            "AccessDeniedException",
            "secretsmanager:ListSecrets",
        ),
    ] {
        assert_eq!((&answer[0], &answer[1]), (&json!(status), &json!(code)));
        let message = answer[2].as_str().unwrap();
        assert!(
            message.contains(&format!(
                "User: {arn} is not authorized to perform: {action}"
            )),
            "{message}"
        );
    }
    let told: Value = serde_json::from_str(said[5][1].as_str().unwrap()).unwrap();
    assert_eq!(told, identity, "aws sts get-caller-identity");
    for (answer, words) in [
        (
            &said[6],
            "An error occurred (AccessDenied) when calling the ListBuckets operation",
        ),
        (
            &said[7],
            "An error occurred (AccessDeniedException) when calling the ListSecrets operation",
        ),
    ] {
        assert!(answer[2].as_str().unwrap().contains(words), "{answer}");
    }
    assert_eq!(said[8][1], "SignatureDoesNotMatch");

    let incident = nest.incident("Canarytoken triggered", 9);
    assert_eq!(incident["description"]["logtype"], "17012");
    let events = incident["description"]["events"].as_array().unwrap();
    for (event, (service, name, valid)) in events.iter().zip([
        ("sts", "GetCallerIdentity", "True"),
        ("s3", "ListBuckets", "True"),
        ("iam", "ListUsers", "True"),
        ("ec2", "DescribeInstances", "True"),
        ("secretsmanager", "ListSecrets", "True"),
        ("sts", "GetCallerIdentity", "True"),
        ("s3", "ListBuckets", "True"),
        ("secretsmanager", "ListSecrets", "True"),
        ("sts", "GetCallerIdentity", "False"),
    ]) {
        for (field, wanted) in [
            ("type", "aws-id"),
            ("kind", "aws-id"),
            ("channel", "http"),
            ("logtype", "17012"),
            ("description", "Amazon API Key"),
            ("service", service),
            ("eventName", name),
            ("signature_valid", valid),
        ] {
            assert_eq!(event[field], wanted, "{field} of {event:#}");
        }
        for field in [
            "canarytoken",
            "access_key_id",
            "secret_access_key",
            "account_id",
            "region",
        ] {
            assert_eq!(event[field], token[field], "{field} of {event:#}");
        }
        let agent = event["headers"]["User-Agent"].as_str().unwrap();
        assert!(
            agent.contains("otocore") || agent.contains("aws-cli"),
            "{agent}"
        );
    }
    check_other_views(&nest, &incident);
}

#[test]
fn a_decoy_bucket_is_listed_and_copied_from_and_tells_each_object() {
    let nest = field();
    let form = [
        ("kind", "aws-s3"),
        ("s3_source_bucket", "acme-exports"),
        ("s3_log_bucket", "acme-logs"),
    ];
    let token = make(&nest, &form);
    let credentials = token["renders"]["credentials"].as_str().unwrap();
    let calls = "
ask('s3', 'list_objects_v2', Bucket='acme-exports')
ask('s3', 'get_object', Bucket='acme-exports', Key='exports/invoices.csv')
cli('s3', 'ls', 's3://acme-exports/exports/')
ask('s3', 'delete_object', Bucket='acme-exports', Key='exports/invoices.csv')
";
    let Some(said) = ask(&nest, credentials, calls) else {
        return;
    };
    let objects = said[0]["Contents"].as_array().unwrap();
    assert_eq!(objects.len(), 3, "{objects:?}");
    assert_eq!(objects[1]["Key"], "exports/invoices.csv");
    let body = said[1]["Body"].as_str().unwrap();
    assert!(body.starts_with("invoice_id,status,amount\n"), "{body}");
    assert_eq!(objects[1]["Size"], body.len());
    assert!(
        said[2][1].as_str().unwrap().contains("invoices.csv"),
        "{}",
        said[2]
    );
    assert_eq!(
        (&said[3][0], &said[3][1]),
        (&json!(403), &json!("AccessDenied"))
    );

    let incident = nest.incident("Canarytoken triggered", 4);
    assert_eq!(incident["description"]["logtype"], "17005");
    let events = incident["description"]["events"].as_array().unwrap();
    for (event, (name, object)) in events.iter().zip([
        ("ListObjects", Value::Null),
        ("GetObject", json!("exports/invoices.csv")),
        ("ListObjects", Value::Null),
        ("DeleteObject", json!("exports/invoices.csv")),
    ]) {
        for (field, wanted) in [
            ("kind", "aws-s3"),
            ("description", "Amazon S3"),
            ("eventName", name),
            ("service", "s3"),
            ("signature_valid", "True"),
            ("online", "False"),
            ("bucket", "acme-exports"),
            ("s3_source_bucket", "acme-exports"),
            ("s3_log_bucket", "acme-logs"),
        ] {
            assert_eq!(event[field], wanted, "{field} of {event:#}");
        }
        assert_eq!(event["object_key"], object, "{event:#}");
        assert_eq!(event["region"], token["region"]);
        let requester = event["requester"].as_str().unwrap();
        assert!(
            requester.ends_with(token["username"].as_str().unwrap()),
            "{requester}"
        );
    }
    check_other_views(&nest, &incident);
}

/// A running program whose tokens' URLs lead to it.
fn field() -> Nest {
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    Nest::start(&format!(
        "[tokens]\naddress = \"127.0.0.1\"\nhttp_port = {}\n",
        port - 10_000
    ))
}

/// Makes a token; its object.
fn make(nest: &Nest, form: &[(&str, &str)]) -> Value {
    let mut form = form.to_vec();
    form.push(("memo", "on the build server"));
    let made = nest.post("canarytoken/create", &form);
    assert_eq!(made["result"], "success", "{made}");
    made["canarytoken"].clone()
}

/// A URL of a token, with the nest's address for the zone's name, which no resolver here knows.
fn at_home(nest: &Nest, url: &str) -> String {
    let zone = nest.run["tokens"]["zone"].as_str().unwrap();
    url.replace(zone, "127.0.0.1")
}

/// Has Amazon's programs make these calls; what each gave.
fn ask(nest: &Nest, credentials: &str, calls: &str) -> Option<Value> {
    nest.python_with(
        &format!("{AWS}{calls}\nprint(json.dumps(said, default=str))"),
        &[("CREDENTIALS", &at_home(nest, credentials))],
    )
}
