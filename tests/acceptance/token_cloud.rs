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

/// Has Amazon's programs make these calls; what each gave. The zone's name, which no resolver here
/// knows, gives way to its address.
fn ask(nest: &Nest, credentials: &str, calls: &str) -> Option<Value> {
    let zone = nest.run["tokens"]["zone"].as_str().unwrap();
    nest.python_with(
        &format!("{AWS}{calls}\nprint(json.dumps(said, default=str))"),
        &[("CREDENTIALS", &credentials.replace(zone, "127.0.0.1"))],
    )
}
