use coalmine_core::Bird;
use coalmine_core::suite::{self, Talk};
use serde_json::json;

use super::*;

/// The circumstances of published traces: the phone's address, and the time in the nonce.
fn context(peer: &str) -> Context {
    Context {
        peer: peer.parse().unwrap(),
        now: Timestamp::from_secs(1_664_256_201),
        ..Context::sample()
    }
}

fn service() -> Service {
    (KIND.build)(&Map::new(), &Bird::sample()).unwrap()
}

fn ask_from(peer: &str, input: impl AsRef<[u8]>) -> (String, Vec<Value>) {
    let mut out = Out::new();
    let udp = service().udp.unwrap();
    udp.datagram(&context(peer), input.as_ref(), &mut out);
    let events = out.take_seen();
    let events = events
        .iter()
        .map(|s| serde_json::from_str(s.fields.get()).unwrap());
    (
        String::from_utf8(out.take_bytes()).unwrap(),
        events.collect(),
    )
}

fn ask(input: impl AsRef<[u8]>) -> (String, Vec<Value>) {
    ask_from("192.168.0.76:5060", input)
}

/// Lines as they travel.
fn lines(text: &str) -> String {
    text.trim_start().replace("\n", "\r\n")
}

/// A request with more in it than a stranger's shortest, so that its answer has room.
fn request(method: &str, uri: &str) -> String {
    lines(&format!(
        "
{method} {uri} SIP/2.0
Via: SIP/2.0/UDP 192.168.0.76:5060;branch=z9hG4bK92b19bf363d84d2ea95d18cd3;rport
Max-Forwards: 70
From: \"5555\" <sip:5555@192.168.0.100>;tag=fb11549a
To: \"5555\" <sip:5555@192.168.0.100>
Call-ID: 6b86b273ff34fce19d6b804eff5a3f57@192.168.0.76:5060
CSeq: 1 {method}
Contact: <sip:5555@192.168.0.76:5060;transport=UDP>
Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, INFO, MESSAGE, SUBSCRIBE, NOTIFY, PRACK, UPDATE, REFER
User-Agent: pyVoIP 1.6.4
Content-Length: 0

"
    ))
}

/// Whether the answer is within the limit, both with their 28 bytes of IPv4 and UDP.
fn is_small(request: &[u8], answer: &str) -> bool {
    (answer.len() + 28) * 10 <= (request.len() + 28) * 15
}

fn challenge(answer: &str) -> &str {
    answer
        .lines()
        .find_map(|line| line.strip_prefix("WWW-Authenticate: "))
        .unwrap()
}

#[test]
fn holds_what_every_decoy_must() {
    suite::check(&KIND);
}

/// A published trace of Asterisk 18.2.0 but for its nonce and opaque value.
#[test]
fn a_register_is_challenged_as_the_real_one_does() {
    let (answer, events) = ask(request("REGISTER", "sip:192.168.0.100"));
    let opaque = challenge(&answer).split("opaque=\"").nth(1).unwrap();
    let nonce = challenge(&answer).split('"').nth(3).unwrap();
    let (time, digest) = nonce.split_once('/').unwrap();
    assert_eq!((time, digest.len()), ("1664256201", 32));
    let wanted = lines(&format!(
        "
SIP/2.0 401 Unauthorized
Via: SIP/2.0/UDP 192.168.0.76:5060;rport=5060;received=192.168.0.76;branch=z9hG4bK92b19bf363d84d2ea95d18cd3
Call-ID: 6b86b273ff34fce19d6b804eff5a3f57@192.168.0.76:5060
From: \"5555\" <sip:5555@192.168.0.100>;tag=fb11549a
To: \"5555\" <sip:5555@192.168.0.100>;tag=z9hG4bK92b19bf363d84d2ea95d18cd3
CSeq: 1 REGISTER
WWW-Authenticate: Digest realm=\"asterisk\",nonce=\"{nonce}\",opaque=\"{}\",algorithm=md5,qop=\"auth\"
Server: Asterisk PBX 18.2.0
Content-Length:  0

",
        &opaque[..16]
    ));
    assert_eq!(answer, wanted);
    assert_eq!(
        events,
        [json!({"HEADERS": {
            "via": "SIP/2.0/UDP 192.168.0.76:5060;branch=z9hG4bK92b19bf363d84d2ea95d18cd3;rport",
            "max-forwards": "70",
            "from": "\"5555\" <sip:5555@192.168.0.100>;tag=fb11549a",
            "to": "\"5555\" <sip:5555@192.168.0.100>",
            "call-id": "6b86b273ff34fce19d6b804eff5a3f57@192.168.0.76:5060",
            "cseq": "1 REGISTER",
            "contact": "<sip:5555@192.168.0.76:5060;transport=UDP>",
            "allow": "INVITE, ACK, BYE, CANCEL, OPTIONS, INFO, MESSAGE, SUBSCRIBE, NOTIFY, PRACK, UPDATE, REFER",
            "user-agent": "pyVoIP 1.6.4",
            "content-length": "0",
        }})]
    );
}

/// A published trace: two hops, a port in From and To that isn't repeated, an unknown user.
#[test]
fn options_to_a_user_aren_t_found() {
    let asked = lines(
        "
OPTIONS sip:s@31.97.210.100:5060 SIP/2.0
Via: SIP/2.0/TCP 46.19.213.54;branch=z9hG4bK50c4.43b9.0
Via: SIP/2.0/UDP 46.19.213.55;rport=5060;received=46.19.213.55;branch=z9hG4bK3IHGEatK
From: sip:s@31.97.210.100:5060;tag=sip_registrar
To: sip:s@31.97.210.100:5060
CSeq: 10 OPTIONS
Call-ID: 17-73F52668-693A55CA000B857D-F29FC6C0
Max-Forwards: 69
User-Agent: DIDWW Y SBC node
Contact: <sip:46.19.213.55:5060;transport=udp>
Content-Length: 0

",
    );
    let mut talk = Talk::open(
        &Sip(Arc::new(SipSettings::default())),
        &context("46.19.213.54:5060"),
        KIND.limits.input,
    );
    let answer = String::from_utf8(talk.say(asked)).unwrap();
    assert_eq!(
        answer,
        lines(
            "
SIP/2.0 404 Not Found
Via: SIP/2.0/TCP 46.19.213.54;rport=5060;received=46.19.213.54;branch=z9hG4bK50c4.43b9.0
Via: SIP/2.0/UDP 46.19.213.55;rport=5060;received=46.19.213.55;branch=z9hG4bK3IHGEatK
Call-ID: 17-73F52668-693A55CA000B857D-F29FC6C0
From: <sip:s@31.97.210.100>;tag=sip_registrar
To: <sip:s@31.97.210.100>;tag=z9hG4bK50c4.43b9.0
CSeq: 10 OPTIONS
Accept: application/xpidf+xml, application/cpim-pidf+xml, application/dialog-info+xml, application/simple-message-summary, application/pidf+xml, application/pidf+xml, application/dialog-info+xml, application/simple-message-summary, application/sdp, message/sipfrag;version=2.0
Allow: OPTIONS, REGISTER, SUBSCRIBE, NOTIFY, PUBLISH, INVITE, ACK, BYE, CANCEL, UPDATE, PRACK, INFO, MESSAGE, REFER
Supported: 100rel, timer, replaces, norefersub
Accept-Encoding: text/plain
Accept-Language: en
Server: Asterisk PBX 18.2.0
Content-Length:  0

"
        )
    );
    let (answer, _) = ask(request("OPTIONS", "sip:192.168.0.100"));
    assert!(answer.starts_with("SIP/2.0 200 OK\r\n"), "{answer}");
}

#[test]
fn every_other_method_is_challenged_acknowledged_or_unknown() {
    for method in [
        "REGISTER",
        "INVITE",
        "SUBSCRIBE",
        "MESSAGE",
        "NOTIFY",
        "PUBLISH",
        "INFO",
        "REFER",
        "UPDATE",
        "PRACK",
        "FOO",
    ] {
        let (answer, events) = ask(request(method, "sip:100@192.168.0.100"));
        assert!(
            answer.starts_with("SIP/2.0 401 Unauthorized\r\n"),
            "{method}"
        );
        assert!(answer.contains(&format!("\r\nCSeq: 1 {method}\r\n")));
        assert_eq!(events.len(), 1, "{method}");
    }
    for method in ["BYE", "CANCEL"] {
        let (answer, events) = ask(request(method, "sip:100@192.168.0.100"));
        assert_eq!(
            answer,
            lines(&format!(
                "
SIP/2.0 481 Call/Transaction Does Not Exist
Via: SIP/2.0/UDP 192.168.0.76:5060;rport=5060;received=192.168.0.76;branch=z9hG4bK92b19bf363d84d2ea95d18cd3
Call-ID: 6b86b273ff34fce19d6b804eff5a3f57@192.168.0.76:5060
From: \"5555\" <sip:5555@192.168.0.100>;tag=fb11549a
To: \"5555\" <sip:5555@192.168.0.100>;tag=z9hG4bK92b19bf363d84d2ea95d18cd3
CSeq: 1 {method}
Server: Asterisk PBX 18.2.0
Content-Length:  0

"
            ))
        );
        assert_eq!(events.len(), 1);
    }
    let (answer, events) = ask(request("ACK", "sip:100@192.168.0.100"));
    assert_eq!((answer.as_str(), events.len()), ("", 1));
}

#[test]
fn wrong_credentials_are_seen_and_challenged_anew() {
    let credentials = "Digest username=\"100\",realm=\"asterisk\",nonce=\"1664256200/30ff48bd45c78b935077262030d584bd\",uri=\"sip:192.168.0.100\",response=\"6629fae49393a05397450978507c4ef1\",algorithm=MD5";
    let asked = request("REGISTER", "sip:192.168.0.100").replace(
        "Max-Forwards: 70",
        &format!("Max-Forwards: 70\r\nAuthorization: {credentials}"),
    );
    let (answer, events) = ask(&asked);
    assert!(answer.starts_with("SIP/2.0 401 Unauthorized\r\n"));
    assert!(!challenge(&answer).contains("stale"));
    assert_eq!(events[0]["HEADERS"]["authorization"], credentials);
}

#[test]
fn every_challenge_has_its_own_nonce() {
    let tcp = Sip(Arc::new(SipSettings::default()));
    let mut nonces = std::collections::BTreeSet::new();
    for n in 0..4_u8 {
        let context = Context {
            seed: Seed::new([n; 32]),
            ..context("192.0.2.1:5060")
        };
        let mut out = Out::new();
        tcp.datagram(
            &context,
            request("REGISTER", "sip:pbx").as_bytes(),
            &mut out,
        );
        nonces.insert(challenge(&String::from_utf8(out.take_bytes()).unwrap()).to_owned());
    }
    let mut talk = Talk::open(&tcp, &context("192.0.2.1:5060"), KIND.limits.input);
    for _ in 0..4 {
        let answer = talk.say(request("REGISTER", "sip:pbx"));
        nonces.insert(challenge(&String::from_utf8(answer).unwrap()).to_owned());
    }
    assert_eq!(nonces.len(), 8);
}

/// Compact names, folded lines, bare line feeds, hops in one field, no rport, no branch.
#[test]
fn unusual_forms_are_understood() {
    let asked = "\r\nREGISTER sip:pbx;transport=udp SIP/2.0\nv: SIP / 2.0".replace(" / ", "/")
        + "/udp 10.0.0.1:5062, SIP/2.0/TCP [2001:db8::1]:5060;branch=x;foo\n\
           f : 100 <sips:100:secret@pbx:5070;user=phone;transport=tcp?a=b>;x=y;tag=1\n\
           T: <tel:+123>;tag=7\nI: a@b\nCSeq: 007\n  REGISTER\nX-Long: one\n two\nk: timer\nk: path\n\n";
    let (_, events) = ask(&asked);
    assert_eq!(
        events,
        [json!({"HEADERS": {
            "via": "SIP/2.0/udp 10.0.0.1:5062, SIP/2.0/TCP [2001:db8::1]:5060;branch=x;foo",
            "from": "100 <sips:100:secret@pbx:5070;user=phone;transport=tcp?a=b>;x=y;tag=1",
            "to": "<tel:+123>;tag=7",
            "call-id": "a@b",
            "cseq": "007 REGISTER",
            "x-long": "one two",
            "supported": "timer, path",
        }})]
    );
    let wide = asked.replace("X-Long: one", &format!("X-Long: {}", "x".repeat(400)));
    let (answer, _) = ask(wide);
    let start = lines(
        "
SIP/2.0 401 Unauthorized
Via: SIP/2.0/UDP 10.0.0.1:5062;rport=5060;received=192.168.0.76
Via: SIP/2.0/TCP [2001:db8::1]:5060;branch=x;foo
Call-ID: a@b
From: \"100\" <sips:100:secret@pbx;user=phone>;tag=1;x=y
To: <tel:+123>;tag=7
CSeq: 7 REGISTER
WWW-Authenticate: Digest realm=\"asterisk\",nonce=\"1664256201/",
    );
    assert!(answer.starts_with(start.trim_end()), "{answer}");
}

#[test]
fn what_is_no_request_is_met_with_silence() {
    let good = request("REGISTER", "sip:192.168.0.100");
    let broken = [
        ("SIP/2.0\r\n", "SIP/3.0\r\n"),
        ("SIP/2.0\r\n", "HTTP/1.1\r\n"),
        ("REGISTER sip", "REGIST\u{e9}R sip"),
        ("REGISTER sip", " sip"),
        ("REGISTER sip:", "REGISTER "),
        ("sip:192.168.0.100 SIP", "sip: SIP"),
        ("sip:192.168.0.100 SIP", "sip:a@ SIP"),
        ("sip:192.168.0.100 SIP", "sip:192.168.0.100:port SIP"),
        ("sip:192.168.0.100 SIP", "sip:192.168.0.100 x SIP"),
        ("Via: SIP/2.0/UDP", "Via: SIP/2.0"),
        ("Via: SIP/2.0/UDP", "Via: SIP/1.0/UDP"),
        ("Via:", "X-Via:"),
        ("192.168.0.76:5060;branch", ";branch"),
        ("192.168.0.76:5060;branch", "192.168.0.76:99999;branch"),
        (";branch=", ";branch=;b="),
        ("Call-ID:", "X-Call-ID:"),
        (
            "Call-ID: 6b86b273ff34fce19d6b804eff5a3f57@192.168.0.76:5060",
            "Call-ID: ",
        ),
        ("CSeq: 1 REGISTER", "CSeq: REGISTER"),
        ("CSeq: 1 REGISTER", "CSeq: 1"),
        ("CSeq: 1 REGISTER", "CSeq: -1 REGISTER"),
        ("CSeq: 1 REGISTER", "CSeq: 4294967296 REGISTER"),
        ("CSeq: 1 REGISTER", "CSeq: 1 REGISTER x"),
        ("CSeq:", "X-CSeq:"),
        ("From:", "X-From:"),
        ("To:", "X-To:"),
        (
            "<sip:5555@192.168.0.100>;tag",
            "<sip:5555@192.168.0.100;tag",
        ),
        (
            "\"5555\" <sip:5555@192.168.0.100>\r\n",
            "\"5555 <sip:5555@192.168.0.100>\r\n",
        ),
        ("Max-Forwards: 70", "Max-Forwards: 256"),
        ("Max-Forwards: 70", "Max-Forwards: many"),
        ("Max-Forwards: 70", "Max-Forwards 70"),
        ("Content-Length: 0", "Content-Length: -1"),
    ];
    for (from, to) in broken {
        assert!(good.contains(from), "{from}");
        let (answer, events) = ask(good.replacen(from, to, 1));
        assert_eq!((answer.as_str(), events.len()), ("", 0), "{to}");
    }
    for other in [
        "",
        "\r\n\r\n",
        "\0",
        "GET / HTTP/1.1\r\n\r\n",
        "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP a;branch=b\r\n\r\n",
        "OPTIONS sip:nm SIP/2.0\r\n\r\n",
    ] {
        let (answer, events) = ask(other);
        assert_eq!((answer.as_str(), events.len()), ("", 0), "{other}");
    }
}

/// What real clients send, shortest first: each is answered, none with much more than it sent.
#[test]
fn answers_stay_small() {
    let hydra = "REGISTER sip:127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:46759\r\nFrom: <sip:100@127.0.0.1>\r\nTo: <sip:100@127.0.0.1>\r\nCall-ID: 1337@127.0.0.1\r\nCSeq: 1 REGISTER\r\nContent-Length: 0\r\n\r\n";
    let nmap = "OPTIONS sip:nm SIP/2.0\r\nVia: SIP/2.0/UDP nm;branch=foo;rport\r\nFrom: <sip:nm@nm>;tag=root\r\nTo: <sip:nm2@nm2>\r\nCall-ID: 50000\r\nCSeq: 42 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\nContact: <sip:nm@nm>\r\nAccept: application/sdp\r\n\r\n";
    let sipsak = "OPTIONS sip:127.0.0.1:1599 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:52752;branch=z9hG4bK.2dc8945b;rport;alias\r\nFrom: sip:sipsak@127.0.0.1:52752;tag=1ced2ac6\r\nTo: sip:100@127.0.0.1:1599\r\nCall-ID: 485305030@127.0.0.1\r\nCSeq: 1 OPTIONS\r\nContact: sip:sipsak@127.0.0.1:52752\r\nContent-Length: 0\r\nMax-Forwards: 70\r\nUser-Agent: sipsak 0.9.8.1\r\nAccept: text/plain\r\n\r\n";
    for (asked, told) in [
        (
            hydra,
            "WWW-Authenticate: Digest realm=\"asterisk\",nonce=\"",
        ),
        (nmap, "Server: Asterisk PBX 18.2.0\r\n"),
        (sipsak, "Server: Asterisk PBX 18.2.0\r\n"),
    ] {
        let (answer, events) = ask_from("127.0.0.1:46759", asked);
        assert!(answer.contains(told), "{answer}");
        assert!(is_small(asked.as_bytes(), &answer));
        assert_eq!(events.len(), 1);
    }
    // Every length in between, every method; the shorter forms lose their headers one by one.
    for method in ["REGISTER", "OPTIONS", "BYE", "INVITE"] {
        let mut forms = std::collections::BTreeSet::new();
        for length in 0..800 {
            let short = format!(
                "{method} sip:p SIP/2.0\r\nv:SIP/2.0/UDP p\r\nf:<sip:p>\r\nt:<sip:p>\r\ni:1\r\nCSeq:1 {method}\r\ns:{}\r\n\r\n",
                "x".repeat(length)
            );
            let (answer, events) = ask(&short);
            assert!(is_small(short.as_bytes(), &answer), "{length} {answer}");
            assert_eq!(events.len(), 1);
            forms.insert(answer.lines().count());
        }
        assert!(forms.contains(&0), "the shortest has no answer: {method}");
        assert!(forms.len() >= 3, "{method} {forms:?}");
    }
}

#[test]
fn services_of_others_aren_t_answered() {
    let asked = request("REGISTER", "sip:pbx");
    for port in [53, 123, 161, 389, 1023] {
        let (answer, events) = ask_from(&format!("192.0.2.1:{port}"), &asked);
        assert_eq!((answer.as_str(), events.len()), ("", 1), "{port}");
    }
    assert_ne!(ask_from("192.0.2.1:5060", &asked).0, "");
    assert_ne!(ask_from("192.0.2.1:1024", &asked).0, "");
}

#[test]
fn a_connection_carries_one_message_after_the_other() {
    let tcp = Sip(Arc::new(SipSettings::default()));
    let open = || Talk::open(&tcp, &context("192.0.2.1:40000"), KIND.limits.input);
    let body = request("MESSAGE", "sip:100@pbx").replace("Length: 0", "Length: 5") + "hello";
    let two = format!(
        "{body}\r\n\r\n{}",
        request("OPTIONS", "sip:pbx").replace("/UDP", "/TCP")
    );
    let mut whole = open();
    let said = String::from_utf8(whole.say(&two)).unwrap();
    assert_eq!(said.matches("SIP/2.0 401 Unauthorized\r\n").count(), 1);
    assert_eq!(
        said.matches("SIP/2.0 200 OK\r\nVia: SIP/2.0/TCP ").count(),
        1
    );
    let mut bytes = open();
    let mut one_by_one = Vec::new();
    for byte in two.bytes() {
        one_by_one.extend(bytes.say([byte]));
    }
    assert_eq!(String::from_utf8(one_by_one).unwrap(), said);
    assert_eq!(bytes.events(), whole.events());
    assert_eq!(whole.events().len(), 2);

    // Keep-alives aren't answered, and a message without a length is dropped.
    let mut talk = open();
    assert_eq!(talk.say("\r\n\r\n"), b"");
    let endless = request("OPTIONS", "sip:pbx").replace("Content-Length", "X-Length");
    assert_eq!(talk.say(&endless), b"");
    assert_ne!(talk.say(request("OPTIONS", "sip:pbx")), b"");
    assert_eq!(talk.events().len(), 1);
    // So is one that isn't a request, up to the end that it tells.
    let broken = body.replace("CSeq: 1", "CSeq: x");
    assert_eq!(talk.say(&broken), b"");
    assert_ne!(talk.say(request("OPTIONS", "sip:pbx")), b"");
    assert!(!talk.is_closed());
}

#[test]
fn a_connection_is_bounded() {
    let tcp = Sip(Arc::new(SipSettings::default()));
    let open = || Talk::open(&tcp, &context("192.0.2.1:40000"), KIND.limits.input);
    let mut talk = open();
    assert_eq!(talk.say(vec![b'A'; MAX_MESSAGE - 1]), b"");
    assert!(!talk.is_closed());
    talk.say("A");
    assert!(talk.is_closed(), "a head without an end");
    let mut talk = open();
    talk.say(request("MESSAGE", "sip:pbx").replace("Length: 0", "Length: 2000000000"));
    assert!(talk.is_closed(), "a body that nobody needs");
    let many = "X: y\r\n".repeat(MAX_HEADERS);
    let asked = request("OPTIONS", "sip:pbx").replace("CSeq", &format!("{many}CSeq"));
    let mut talk = open();
    assert_eq!(talk.say(asked), b"");
    assert_eq!(talk.events().len(), 0);
}

#[test]
fn settings_are_checked() {
    let refused = |settings: Value| -> Vec<String> {
        let faults = SipSettings::parse(settings.as_object().unwrap()).unwrap_err();
        faults.into_iter().map(|fault| fault.key).collect()
    };
    assert_eq!(
        refused(json!({"user_agent": "a\r\nb", "realm": "a\"b"})),
        ["user_agent", "realm"]
    );
    let given = json!({"user_agent": "FPBX-16.0.40(18.26)", "realm": "pbx.example"});
    let service = (KIND.build)(given.as_object().unwrap(), &Bird::sample()).unwrap();
    let mut talk = Talk::of(&KIND, &service);
    let answer = String::from_utf8(talk.say(request("INVITE", "sip:1@pbx"))).unwrap();
    assert!(answer.contains("\r\nServer: FPBX-16.0.40(18.26)\r\n"));
    assert!(answer.contains("realm=\"pbx.example\""));
}
