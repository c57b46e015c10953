use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use coalmine_core::token::HttpHit;
use coalmine_tokens::aws::sigv4;

use super::*;

const KEY: &str = "AKIAYDHQ5ZVJWTXKE4LM";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const NOW: i64 = 1_795_000_000;
/// In place of a status: the connection ends without an answer.
const LOST: u16 = 0;

/// What came: the operation and its body.
type Came = Arc<Mutex<Vec<(String, String)>>>;

/// A server that gives one answer after the other, the last for ever; `slow` keeps it silent.
fn amazon(answers: &[(u16, &str)], slow: Duration) -> (Aws, Came) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let came = Came::default();
    let mut answers: Vec<(u16, String)> = answers
        .iter()
        .map(|(status, text)| (*status, (*text).to_owned()))
        .collect();
    answers.reverse();
    let log = Arc::clone(&came);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let came = read(&mut stream);
            log.lock().unwrap().push(came);
            std::thread::sleep(slow);
            let (status, text) = match answers.len() {
                1 => answers[0].clone(),
                _ => answers.pop().unwrap(),
            };
            if status == LOST {
                continue;
            }
            let head = format!(
                "HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                text.len()
            );
            // A client that has gone needs no answer.
            let _ = stream.write_all(format!("{head}{text}").as_bytes());
        }
    });
    let aws = Aws::new(AwsConfig {
        access_key_id: "AKIAOPERATOR".to_owned(),
        secret_access_key: SECRET.to_owned(),
        regions: vec!["eu-west-1".to_owned()],
        pause: Duration::from_millis(300),
        endpoint: Some(endpoint),
    });
    (aws, came)
}

/// One request, whose signature must be right.
fn read(stream: &mut TcpStream) -> (String, String) {
    let mut text = Vec::new();
    let mut block = [0; 4096];
    loop {
        let read = stream.read(&mut block).unwrap();
        text.extend_from_slice(&block[..read]);
        let so_far = String::from_utf8_lossy(&text).into_owned();
        let Some((head, body)) = so_far.split_once("\r\n\r\n") else {
            assert!(read > 0, "{so_far}");
            continue;
        };
        let headers: Vec<(String, String)> = head
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let find = |name: &str| {
            let pair = headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
            pair.map(|(_, value)| value.clone()).unwrap_or_default()
        };
        if body.len() < find("content-length").parse().unwrap() {
            continue;
        }
        let hit = HttpHit {
            at: Timestamp::from_secs(0),
            client: IpAddr::V4(Ipv4Addr::LOCALHOST),
            tls: false,
            client_certificate: None,
            method: "POST",
            url: "http://x/",
            rest: "",
            headers: &headers,
            query: &[],
            body: body.as_bytes(),
        };
        let signature = sigv4::Signature::of(&hit).unwrap();
        assert!(signature.check(SECRET, &hit).is_valid, "{so_far}");
        let target = find("x-amz-target");
        let (name, scope) = match target.rsplit_once('.') {
            Some((_, name)) => (name.to_owned(), ("eu-west-1", "cloudtrail")),
            None => {
                let action = body.split('&').next().unwrap().replace("Action=", "");
                (action, ("us-east-1", "iam"))
            }
        };
        assert_eq!((&*signature.region, &*signature.service), scope);
        return (name, body.to_owned());
    }
}

fn event(id: &str, at: i64, key: &str) -> String {
    let record = json!({"eventID": id, "eventTime": Timestamp::from_secs(at).format("%Y-%m-%dT%H:%M:%SZ"),
        "eventSource": "s3.amazonaws.com", "eventName": "ListBuckets", "awsRegion": "eu-west-1",
        "sourceIPAddress": "198.51.100.7", "userAgent": "x",
        "userIdentity": {"accessKeyId": key, "accountId": "557208331452"}});
    json!({"EventId": id, "CloudTrailEvent": record.to_string()}).to_string()
}

fn page(events: &[String], next: Option<&str>) -> String {
    let next = next.map_or(String::new(), |next| format!(",\"NextToken\":\"{next}\""));
    format!("{{\"Events\":[{}]{next}}}", events.join(","))
}

const UNUSED: &str = "<R><GetAccessKeyLastUsedResult><UserName>u</UserName><AccessKeyLastUsed><Region>N/A</Region><ServiceName>N/A</ServiceName></AccessKeyLastUsed></GetAccessKeyLastUsedResult></R>";

fn used(at: i64) -> String {
    let at = Timestamp::from_secs(at).format("%Y-%m-%dT%H:%M:%SZ");
    format!(
        "<R><LastUsedDate>{at}</LastUsedDate><Region>us-east-1</Region><ServiceName>sts</ServiceName></R>"
    )
}

fn token() -> Token {
    let fields = json!({"access_key_id": KEY, "secret_access_key": "theirs", "username": "u-1"});
    Token {
        id: "webwebwebwebwebwebwebweb1".parse().unwrap(),
        kind: "aws-id".to_owned(),
        memo: String::new(),
        fields: fields.as_object().unwrap().clone(),
        params: BTreeMap::new(),
    }
}

fn look(aws: &Aws, mark: &Value) -> Looked {
    aws.look(&token(), mark, Timestamp::from_secs(NOW))
}

fn ids(looked: &Looked) -> Vec<&str> {
    looked
        .touches
        .iter()
        .map(|touch| touch.id.as_str())
        .collect()
}

#[test]
fn pages_are_read_to_the_end_and_nothing_is_told_twice() {
    let one = page(
        &[event("a", NOW - 60, KEY), event("x", NOW, "AKIAOTHER")],
        Some("t2"),
    );
    let two = page(&[event("b", NOW - 50, KEY)], None);
    let three = page(
        &[event("b", NOW - 50, KEY), event("c", NOW - 900, KEY)],
        None,
    );
    let (aws, came) = amazon(
        &[
            (200, &one),
            (200, &two),
            (200, UNUSED),
            (200, &three),
            (200, UNUSED),
        ],
        Duration::ZERO,
    );
    let first = look(&aws, &Value::Null);
    assert_eq!((ids(&first), &first.problem), (vec!["a", "b"], &None));
    assert_eq!(first.touches[0].fields["secret_access_key"], "theirs");
    assert_eq!(first.touches[0].fields["safety_net"], "False");
    let second = look(&aws, &first.mark);
    assert_eq!(ids(&second), ["c"], "late, but not lost");
    let came = came.lock().unwrap();
    let names: Vec<&str> = came.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "LookupEvents",
            "LookupEvents",
            "GetAccessKeyLastUsed",
            "LookupEvents",
            "GetAccessKeyLastUsed"
        ]
    );
    let asked: Value = serde_json::from_str(&came[1].1).unwrap();
    assert_eq!(
        asked,
        json!({"LookupAttributes": [{"AttributeKey": "AccessKeyId", "AttributeValue": KEY}],
            "StartTime": NOW - 3_600, "MaxResults": 50, "NextToken": "t2"})
    );
}

#[test]
fn each_failure_has_its_words_and_leaves_the_mark() {
    let throttled = r#"{"__type":"ThrottlingException","message":"Rate exceeded"}"#;
    let expired = r#"{"__type":"ExpiredTokenException","message":"The security token included in the request is expired"}"#;
    let denied = r#"{"__type":"AccessDeniedException","Message":"not authorized to perform: cloudtrail:LookupEvents"}"#;
    for (status, text, tries, words) in [
        (
            400,
            throttled,
            4,
            "CloudTrail in eu-west-1: ThrottlingException: Rate exceeded",
        ),
        (
            400,
            expired,
            1,
            "CloudTrail in eu-west-1: ExpiredTokenException: The security token included in the \
             request is expired; check access_key_id and secret_access_key in [cloud.aws]",
        ),
        (
            400,
            denied,
            1,
            "CloudTrail in eu-west-1: AccessDeniedException: not authorized to perform: \
             cloudtrail:LookupEvents; the key of [cloud.aws] needs that right",
        ),
        (
            503,
            "<html>",
            4,
            "CloudTrail in eu-west-1: AWS answered with status 503 and no error of its own",
        ),
        (
            200,
            "<html>",
            1,
            "CloudTrail in eu-west-1: the answer of AWS is no JSON",
        ),
        (
            200,
            "{}",
            1,
            "CloudTrail in eu-west-1: CloudTrail's answer holds no list of events",
        ),
    ] {
        let (aws, came) = amazon(&[(status, text)], Duration::ZERO);
        let mark = json!({"eu-west-1": {"until": NOW - 60, "seen": ["a"]}});
        let looked = look(&aws, &mark);
        assert_eq!(looked.problem.unwrap().0, words);
        assert!(!looked.is_unreachable, "{words}");
        assert_eq!(
            (looked.touches, &looked.mark["eu-west-1"]),
            (vec![], &mark["eu-west-1"])
        );
        let came = came.lock().unwrap();
        let asked = came.iter().filter(|(name, _)| name == "LookupEvents");
        assert_eq!(asked.count(), tries, "{words}");
    }
}

#[test]
fn a_page_that_fails_halfway_tells_what_came_and_is_read_again() {
    let one = page(&[event("a", NOW - 60, KEY)], Some("t2"));
    let gone = r#"{"__type":"InvalidNextTokenException","message":"gone"}"#;
    let whole = page(
        &[event("a", NOW - 60, KEY), event("b", NOW - 60, KEY)],
        None,
    );
    let (aws, _) = amazon(
        &[
            (200, &one),
            (400, gone),
            (200, UNUSED),
            (200, &whole),
            (200, UNUSED),
        ],
        Duration::ZERO,
    );
    let first = look(&aws, &Value::Null);
    assert_eq!(ids(&first), ["a"]);
    assert!(first.problem.is_some() && first.mark.get("eu-west-1").is_none());
    // The same id again: the store keeps it once.
    assert_eq!(ids(&look(&aws, &first.mark)), ["a", "b"]);
}

#[test]
fn a_throttled_request_is_sent_again() {
    let throttled = r#"{"__type":"com.amazon.coral.availability#ThrottlingException"}"#;
    let (aws, _) = amazon(
        &[
            (400, throttled),
            (500, ""),
            (200, &page(&[event("a", NOW, KEY)], None)),
            (200, UNUSED),
        ],
        Duration::ZERO,
    );
    let looked = look(&aws, &Value::Null);
    assert_eq!((ids(&looked), &looked.problem), (vec!["a"], &None));
}

#[test]
fn a_server_that_is_silent_is_given_up() {
    let (aws, _) = amazon(&[(200, "")], Duration::from_secs(30));
    let started = std::time::Instant::now();
    let looked = look(&aws, &Value::Null);
    let problem = looked.problem.unwrap().0;
    assert!(problem.contains("can't be reached: "), "{problem}");
    assert!(looked.is_unreachable);
    assert!(started.elapsed() < Duration::from_secs(20));
    let (aws, _) = amazon(&[(200, "")], Duration::ZERO);
    let dead = Aws::new(AwsConfig {
        endpoint: Some("http://127.0.0.1:1".to_owned()),
        ..aws.config
    });
    let problem = look(&dead, &Value::Null).problem.unwrap().0;
    assert!(
        problem.contains("127.0.0.1:1 can't be reached: "),
        "{problem}"
    );
}

#[test]
fn one_region_that_is_silent_is_not_the_whole_account() {
    let answers = [
        (LOST, ""),
        (LOST, ""),
        (LOST, ""),
        (LOST, ""),
        (200, UNUSED),
    ];
    let (aws, _) = amazon(&answers, Duration::ZERO);
    let looked = look(&aws, &Value::Null);
    assert!(looked.problem.is_some() && !looked.is_unreachable);
}

#[test]
fn the_safety_net_tells_what_cloudtrail_does_not() {
    let nothing = page(&[], None);
    let told = page(&[event("a", NOW - 7_000, KEY)], None);
    let one = |events: &str, last: i64, mark: &Value| {
        let (aws, _) = amazon(&[(200, events), (200, &used(last))], Duration::ZERO);
        look(&aws, mark)
    };
    assert_eq!(
        ids(&one(&nothing, NOW - 60, &Value::Null)),
        [""; 0],
        "CloudTrail may yet tell"
    );
    assert_eq!(ids(&one(&told, NOW - 7_200, &Value::Null)), ["a"], "it did");
    let net = one(&nothing, NOW - 7_200, &Value::Null);
    assert_eq!(ids(&net), [format!("last-used-{KEY}-{}", NOW - 7_200)]);
    let fields = Value::Object(net.touches[0].fields.clone());
    assert_eq!(
        fields,
        json!({"access_key_id": KEY, "secret_access_key": "theirs", "eventName": "GetAccessKeyLastUsed",
            "service": "sts", "region": "us-east-1", "safety_net": "True"})
    );
    assert_eq!(ids(&one(&nothing, NOW - 7_200, &net.mark)), [""; 0], "once");
    assert_eq!(
        ids(&one(&nothing, NOW - 2_000, &net.mark)).len(),
        1,
        "a later use"
    );
}

#[test]
fn the_safety_net_knows_what_was_told_while_it_had_no_answer() {
    let told = page(&[event("a", NOW - 7_000, KEY)], None);
    let denied = error("AccessDenied");
    for silent in [(200, UNUSED), (403, &*denied)] {
        let (aws, _) = amazon(&[(200, &told), silent], Duration::ZERO);
        let first = look(&aws, &Value::Null);
        assert_eq!(ids(&first), ["a"]);
        let last = used(NOW - 7_000);
        let (aws, _) = amazon(&[(200, &told), (200, &last)], Duration::ZERO);
        assert_eq!(ids(&look(&aws, &first.mark)), [""; 0]);
    }
}

const USER: &str = "<CreateUserResponse><CreateUserResult><User><Path>/</Path><UserName>u</UserName><UserId>AIDAX</UserId><Arn>arn:aws:iam::557208331452:user/u</Arn></User></CreateUserResult></CreateUserResponse>";
const MADE: &str = "<CreateAccessKeyResponse><CreateAccessKeyResult><AccessKey><UserName>u</UserName><AccessKeyId>AKIANEW</AccessKeyId><Status>Active</Status><SecretAccessKey>a&amp;b/c</SecretAccessKey></AccessKey></CreateAccessKeyResult></CreateAccessKeyResponse>";

fn keys(ids: &[&str]) -> String {
    let member = |id: &&str| {
        format!(
            "<member><UserName>u</UserName><AccessKeyId>{id}</AccessKeyId><Status>Active</Status></member>"
        )
    };
    let members: String = ids.iter().map(member).collect();
    format!(
        "<ListAccessKeysResponse><ListAccessKeysResult><UserName>u</UserName><AccessKeyMetadata>{members}</AccessKeyMetadata><IsTruncated>false</IsTruncated></ListAccessKeysResult></ListAccessKeysResponse>"
    )
}

fn names(came: &Came) -> Vec<String> {
    let came = came.lock().unwrap();
    came.iter().map(|(name, _)| name.clone()).collect()
}

fn error(code: &str) -> String {
    format!(
        "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>Because.</Message></Error></ErrorResponse>"
    )
}

#[test]
fn a_user_that_may_do_nothing_is_made_with_a_key_and_taken_back() {
    let listed = keys(&["AKIANEW"]);
    let (aws, came) = amazon(
        &[
            (200, USER),
            (200, "<R/>"),
            (200, MADE),
            (200, &listed),
            (200, "<R/>"),
        ],
        Duration::ZERO,
    );
    let fields = aws.create(&token().id).unwrap();
    assert_eq!(fields["access_key_id"], "AKIANEW");
    assert_eq!(fields["secret_access_key"], "a&b/c");
    assert_eq!(fields["account_id"], "557208331452");
    assert_eq!(fields["integration"], "connected");
    let user = fields["username"].as_str().unwrap().to_owned();
    assert!(USERS.iter().any(|name| user.starts_with(name)), "{user}");
    aws.delete(&fields).unwrap();
    let came = came.lock().unwrap();
    let names: Vec<&str> = came.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "CreateUser",
            "PutUserPolicy",
            "CreateAccessKey",
            "ListAccessKeys",
            "DeleteAccessKey",
            "DeleteUserPolicy",
            "DeleteUser"
        ]
    );
    assert!(
        came.iter()
            .all(|(_, body)| body.contains(&format!("&UserName={user}")))
    );
    assert!(
        came[1]
            .1
            .contains("PolicyDocument=%7B%22Version%22%3A%222012-10-17%22"),
        "{}",
        came[1].1
    );
    assert!(came[4].1.contains("&AccessKeyId=AKIANEW"));
}

#[test]
fn what_was_made_by_half_is_taken_back_and_what_is_gone_is_fine() {
    let (aws, came) = amazon(
        &[
            (200, USER),
            (200, "<R/>"),
            (409, &error("LimitExceeded")),
            (200, "<R/>"),
        ],
        Duration::ZERO,
    );
    let problem = aws.create(&token().id).unwrap_err();
    assert_eq!(problem.0, "AWS did not make a key: LimitExceeded: Because.");
    assert_eq!(
        names(&came)[3..],
        ["ListAccessKeys", "DeleteUserPolicy", "DeleteUser"]
    );

    let (aws, came) = amazon(&[(409, &error("EntityAlreadyExists"))], Duration::ZERO);
    assert!(aws.create(&token().id).is_err());
    assert_eq!(came.lock().unwrap().len(), 1, "another's user stays");

    let (aws, _) = amazon(&[(404, &error("NoSuchEntity"))], Duration::ZERO);
    assert_eq!(aws.delete(&token().fields), Ok(()));
    let (aws, _) = amazon(&[(403, &error("AccessDenied"))], Duration::ZERO);
    assert_eq!(
        aws.delete(&token().fields).unwrap_err().0,
        "AWS did not delete the user u-1: AccessDenied: Because.; the key of [cloud.aws] needs that right"
    );
    assert!(!format!("{aws:?}").contains(SECRET));
}

#[test]
fn a_key_whose_answer_was_lost_is_not_made_twice_and_goes_with_the_user() {
    let two = keys(&["AKIALOST", "AKIAOTHER"]);
    let (aws, came) = amazon(
        &[
            (200, USER),
            (200, "<R/>"),
            (LOST, ""),
            (200, &two),
            (200, "<R/>"),
        ],
        Duration::ZERO,
    );
    let problem = aws.create(&token().id).unwrap_err().0;
    assert!(problem.contains("can't be reached"), "{problem}");
    assert!(!problem.contains("left over"), "{problem}");
    assert_eq!(
        names(&came),
        [
            "CreateUser",
            "PutUserPolicy",
            "CreateAccessKey",
            "ListAccessKeys",
            "DeleteAccessKey",
            "DeleteAccessKey",
            "DeleteUserPolicy",
            "DeleteUser"
        ]
    );
    let came = came.lock().unwrap();
    assert!(came[4].1.ends_with("&AccessKeyId=AKIALOST"));
    assert!(came[5].1.ends_with("&AccessKeyId=AKIAOTHER"));
}

#[test]
fn a_user_is_made_again_only_where_aws_said_no_for_now() {
    for (status, code) in [(400, "Throttling"), (500, "ServiceFailure")] {
        let no = error(code);
        let answers = [(status, &*no), (200, USER), (200, "<R/>"), (200, MADE)];
        let (aws, came) = amazon(&answers, Duration::ZERO);
        assert!(aws.create(&token().id).is_ok());
        assert_eq!(names(&came)[..2], ["CreateUser", "CreateUser"]);
    }

    // No answer, one of something between, and one that says nothing.
    for (status, text) in [(LOST, ""), (502, "<html>"), (200, "<html>")] {
        let (aws, came) = amazon(&[(status, text), (200, USER)], Duration::ZERO);
        let problem = aws.create(&token().id).unwrap_err().0;
        assert_eq!(names(&came), ["CreateUser"], "neither again nor away");
        let came = came.lock().unwrap();
        let user = came[0].1.rsplit_once('=').unwrap().1;
        let advice = format!(
            "; the user {user} may have been made: if IAM has one that was created just now, \
             delete it there"
        );
        assert!(problem.ends_with(&advice), "{problem}");
    }
}

#[test]
fn where_no_user_was_made_none_is_deleted() {
    for (code, tries) in [("AccessDenied", 1), ("LimitExceeded", 1), ("Throttling", 4)] {
        let (aws, came) = amazon(&[(400, &error(code))], Duration::ZERO);
        let problem = aws.create(&token().id).unwrap_err().0;
        assert!(!problem.contains("may have been made"), "{problem}");
        assert_eq!(names(&came), vec!["CreateUser"; tries], "{code}");
    }
    // A name that is missing would mean the operator's own user.
    let (aws, came) = amazon(&[(200, "<R/>")], Duration::ZERO);
    let problem = aws.delete(&Map::new()).unwrap_err().0;
    assert_eq!(problem, "the token names no user at AWS");
    assert_eq!(names(&came), [""; 0]);
}

#[test]
fn a_key_is_made_inactive_and_active_again() {
    let done = "<UpdateAccessKeyResponse><ResponseMetadata/></UpdateAccessKeyResponse>";
    let (aws, came) = amazon(&[(200, done)], Duration::ZERO);
    for (enabled, status) in [(false, "Inactive"), (true, "Active")] {
        assert_eq!(aws.set_enabled(&token().fields, enabled), Ok(()));
        let came = came.lock().unwrap();
        let (name, body) = came.last().unwrap();
        assert_eq!(name, "UpdateAccessKey");
        let params = format!("&UserName=u-1&AccessKeyId={KEY}&Status={status}");
        assert!(body.ends_with(&params), "{body}");
    }
    assert_eq!(names(&came).len(), 2, "nothing else is asked");
}

#[test]
fn a_key_that_aws_does_not_switch_is_told_and_one_that_stands_so_already_is_fine() {
    let switched = |answers: &[(u16, &str)], enabled: bool| {
        let (aws, came) = amazon(answers, Duration::ZERO);
        let told = aws.set_enabled(&token().fields, enabled);
        (told.map_err(|problem| problem.0), names(&came))
    };
    let (denied, gone) = (error("AccessDenied"), error("NoSuchEntity"));
    let update = "UpdateAccessKey";
    let refused = |what: &str, code: &str| {
        Err(format!(
            "AWS did not make the key {KEY} {what}: {code}: Because."
        ))
    };
    let needs = "AccessDenied: Because.; the key of [cloud.aws] needs that right";
    let told = format!("AWS did not make the key {KEY} inactive: {needs}");

    // A key that is gone is as good as inactive.
    let missing = [(404, &*gone)];
    assert_eq!(switched(&missing, false), (Ok(()), vec![update.to_owned()]));
    assert_eq!(
        switched(&missing, true).0,
        refused("active", "NoSuchEntity")
    );

    // Without the right to change keys, those that stand as they should are fine.
    let asked = vec![update.to_owned(), "ListAccessKeys".to_owned()];
    let active = keys(&["AKIAOTHER", KEY]);
    let answers = [(403, &*denied), (200, &*active)];
    assert_eq!(switched(&answers, true), (Ok(()), asked.clone()));
    assert_eq!(switched(&answers, false), (Err(told.clone()), asked));
    let others = keys(&["AKIAOTHER"]);
    for list in [(200, &*others), (403, &*denied), (200, "<html>")] {
        let (said, _) = switched(&[(403, &denied), list], true);
        assert_eq!(said.unwrap_err(), told.replace("inactive", "active"));
    }

    let (said, came) = switched(&[(LOST, "")], false);
    let said = said.unwrap_err();
    assert!(
        said.contains("inactive: ") && said.contains("can't be reached"),
        "{said}"
    );
    assert_eq!(came, vec![update; 4], "the same again harms nothing");

    // A name that is missing would mean the operator's own user.
    let (aws, came) = amazon(&[(200, "<R/>")], Duration::ZERO);
    let mut fields = token().fields;
    fields.remove("access_key_id");
    let said = |fields: &Map<String, Value>| aws.set_enabled(fields, false).unwrap_err().0;
    assert_eq!(said(&fields), "the token names no key at AWS");
    fields.remove("username");
    assert_eq!(said(&fields), "the token names no user at AWS");
    assert_eq!(names(&came), [""; 0]);
}
