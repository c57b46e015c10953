use coalmine_core::suite::Talk;
use coalmine_wire::ber::{ENUMERATED, OCTET_STRING, Reader, SEQUENCE, Writer};
use serde_json::json;

use super::*;
use crate::ldaps;

/// Conversations with Debian's slapd 2.5.13.
const RECORDED: &str = include_str!("testdata/slapd-2.5.13.jsonl");

#[test]
fn holds_what_every_kind_holds() {
    coalmine_core::suite::check(&KIND);
}

fn openldap() -> Talk {
    Talk::with(
        &KIND,
        &json!({"product": "openldap", "domain": "corp.example.net"}),
    )
}

fn active_directory() -> Talk {
    let settings = json!({"product": "active-directory", "domain": "corp.example.net"});
    Talk::with(&KIND, &settings)
}

/// What is random in an answer, so that the rest can be compared: the nonce of DIGEST-MD5, the
/// number and time of CRAM-MD5, NTLM's challenge.
fn random(answer: &[u8]) -> Vec<std::ops::Range<usize>> {
    let after = |mark: &[u8]| {
        let at = answer.windows(mark.len()).position(|w| w == mark)?;
        Some(at + mark.len())
    };
    let nonce = after(b"nonce=\"").map(|at| at..at + 44);
    let challenge = after(b"NTLMSSP\0\x02\0\0\0").map(|at| at + 12..at + 20);
    nonce.into_iter().chain(challenge).collect()
}

/// An answer with its random parts cleared; a challenge of CRAM-MD5, whose length is random too,
/// stands for its whole message.
fn cleared(answer: &[u8]) -> Vec<u8> {
    let mut answer = answer.to_vec();
    if let Some(start) = answer.iter().position(|b| *b == b'<')
        && let Some(at) = answer.iter().position(|b| *b == b'@')
        && answer[start + 1..at]
            .iter()
            .all(|b| b.is_ascii_digit() || *b == b'.')
    {
        return answer.split_off(at);
    }
    for range in random(&answer) {
        answer[range].fill(b'x');
    }
    answer
}

#[test]
fn conversations_go_as_with_slapd() {
    let mut wrong = Vec::new();
    let mut all = 0;
    for line in RECORDED.lines() {
        let recorded: Value = serde_json::from_str(line).unwrap();
        let bytes = |name: &str| -> Vec<Vec<u8>> {
            let list = recorded[name].as_array().unwrap().iter();
            list.map(|hex| hex::decode(hex.as_str().unwrap()).unwrap())
                .collect()
        };
        let settings = json!({"product": "openldap", "domain": "corp.example.net"});
        let kind = match recorded["tls"] {
            Value::Bool(true) => &ldaps::KIND,
            _ => &KIND,
        };
        let mut talk = Talk::with(kind, &settings);
        let (mut theirs, mut ours) = (Vec::new(), Vec::new());
        // A nonce is repeated by the client.
        let mut nonces: Option<(Vec<u8>, Vec<u8>)> = None;
        for (mut input, output) in bytes("in").into_iter().zip(bytes("out")) {
            if let Some((recorded, told)) = &nonces
                && let Some(at) = input.windows(recorded.len()).position(|w| w == recorded)
            {
                input[at..at + told.len()].copy_from_slice(told);
            }
            let said = talk.say(&input);
            if let (Some(a), Some(b)) = (random(&output).first(), random(&said).first())
                && a.len() == 44
                && said.len() >= b.end
            {
                nonces = Some((output[a.clone()].to_vec(), said[b.clone()].to_vec()));
            }
            theirs.push(cleared(&output));
            ours.push(cleared(&said));
        }
        let closed = recorded["closed"] == true;
        all += 1;
        if theirs != ours || closed != talk.is_closed() {
            let show = |list: &[Vec<u8>]| list.concat().escape_ascii().to_string();
            wrong.push(format!(
                "{}\n  slapd {} {closed}\n  ours  {} {}",
                recorded["name"],
                show(&theirs),
                show(&ours),
                talk.is_closed()
            ));
        }
    }
    assert!(all > 400, "{all} conversations");
    assert!(
        wrong.is_empty(),
        "{} of {all}:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

/// A message of operation `op`.
fn message(id: i64, op: u8, inside: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut writer = Writer::new();
    let message = writer.nest(SEQUENCE, |w| {
        w.integer(id);
        w.nest(op, inside);
    });
    message.finish()
}

fn bind(version: i64, name: &str, method: u8, secret: &[u8]) -> Vec<u8> {
    message(1, 0x60, |w| {
        w.integer(version);
        w.put(OCTET_STRING, name.as_bytes());
        w.put(method, secret);
    })
}

fn sasl(mechanism: &str, credentials: Option<&[u8]>) -> Vec<u8> {
    let mut inside = Writer::new();
    inside.put(OCTET_STRING, mechanism.as_bytes());
    if let Some(credentials) = credentials {
        inside.put(OCTET_STRING, credentials);
    }
    bind(3, "", 0xa3, &inside.finish())
}

fn search(base: &str, scope: i64, filter: &[u8], attributes: &[&str]) -> Vec<u8> {
    message(2, 0x63, |w| {
        w.put(OCTET_STRING, base.as_bytes());
        w.number(ENUMERATED, scope).number(ENUMERATED, 0);
        w.integer(0).integer(0);
        w.put(1, &[0]).raw(filter);
        w.nest(SEQUENCE, |w| {
            for attribute in attributes {
                w.put(OCTET_STRING, attribute.as_bytes());
            }
        });
    })
}

const PRESENT: &[u8] = b"\x87\x0bobjectClass";

/// Code, matched name, text and what follows of the one result in `answer`.
fn result(answer: &[u8]) -> (i64, Vec<u8>, String, Vec<u8>) {
    let mut message = Reader::new(answer).reader(SEQUENCE).unwrap();
    message.integer().unwrap();
    let (_, body) = message.any().unwrap();
    let mut body = Reader::new(body);
    let code = ber::number(body.take(ENUMERATED).unwrap()).unwrap();
    let matched = body.take(OCTET_STRING).unwrap().to_vec();
    let text = String::from_utf8(body.take(OCTET_STRING).unwrap().to_vec()).unwrap();
    (code, matched, text, body.rest().to_vec())
}

/// The events of a conversation, without what isn't there.
fn events(talk: &Talk) -> Vec<Value> {
    talk.events()
        .into_iter()
        .map(|(_, fields)| fields)
        .collect()
}

#[test]
fn binds_and_requests_are_events() {
    let mut talk = openldap();
    talk.say(bind(3, "cn=admin,dc=x", 0x80, b"hunter\xff"));
    talk.say(bind(2, "", 0x80, b""));
    talk.say(sasl("EXTERNAL", None));
    talk.say(sasl("PLAIN", Some(b"\0root\0toor")));
    // (&(uid=a*b)(!(cn>=x\2a)))
    let filter = b"\xa0\x1d\xa4\x0e\x04\x03uid\x30\x07\x80\x01a\x82\x02b(\xa2\x0b\xa5\x09\x04\x02cn\x04\x03x*y";
    talk.say(search("ou=people,dc=x", 2, filter, &["cn", "mail"]));
    talk.say(message(3, 0x77, |w| {
        w.put(0x80, b"1.3.6.1.4.1.4203.1.11.3");
    }));
    talk.say(message(4, 0x6e, |w| {
        w.put(OCTET_STRING, b"cn=a");
        w.nest(SEQUENCE, |w| {
            w.put(OCTET_STRING, b"cn").put(OCTET_STRING, b"x");
        });
    }));
    talk.say(message(5, 0x4a, |_| {}));
    // Neither says anything, and the last hangs up.
    talk.say(b"\x30\x06\x02\x01\x06\x50\x01\x05");
    talk.say(b"\x30\x05\x02\x01\x07\x42\x00");
    assert!(talk.is_closed());
    let bind = |dn: &str, mech: &str| json!({"DN": dn, "MECH": mech, "VER": "3", "TYPE": "bind"});
    let mut simple = bind("cn=admin,dc=x", "simple");
    simple["PASSWORD"] = json!("hunter\\xff");
    let mut anonymous = bind("", "simple");
    anonymous["VER"] = json!("2");
    let mut plain = bind("root", "PLAIN");
    plain["PASSWORD"] = json!("toor");
    let wanted = [
        simple,
        anonymous,
        bind("", "EXTERNAL"),
        plain,
        json!({"DN": "ou=people,dc=x", "VER": "3", "REQ": "(&(uid=a*b\\28)(!(cn>=x\\2ay)))",
            "SEARCH_ATTRIBUTE": "cn,mail", "TYPE": "search"}),
        json!({"DN": "", "VER": "3", "REQ": "1.3.6.1.4.1.4203.1.11.3", "TYPE": "extended"}),
        json!({"DN": "cn=a", "VER": "3", "REQ": "cn=x", "TYPE": "compare"}),
        json!({"DN": "", "VER": "3", "TYPE": "delete"}),
    ];
    assert_eq!(events(&talk), wanted);
}

/// What a client of DIGEST-MD5 answers to `challenge`.
fn digest(challenge: &str, user: &str, password: &str) -> String {
    let field = |name: &str| {
        let (_, rest) = challenge.split_once(&format!("{name}=\"")).unwrap();
        rest.split_once('"').unwrap().0
    };
    let (nonce, realm) = (field("nonce"), field("realm"));
    let hash = |parts: &[&[u8]]| -> [u8; 16] {
        use md5::{Digest, Md5};
        Md5::digest(parts.concat()).into()
    };
    let secret = hash(&[format!("{user}:{realm}:{password}").as_bytes()]);
    let a1 = hex::encode(hash(&[&secret, format!(":{nonce}:c0ffee").as_bytes()]));
    let a2 = hex::encode(hash(&[b"AUTHENTICATE:ldap/here"]));
    let all = format!("{a1}:{nonce}:00000001:c0ffee:auth:{a2}");
    let response = hex::encode(hash(&[all.as_bytes()]));
    format!(
        "username=\"{user}\",realm=\"{realm}\",nonce=\"{nonce}\",cnonce=\"c0ffee\",nc=00000001,\
         qop=auth,digest-uri=\"ldap/here\",response={response}"
    )
}

#[test]
fn digests_become_passwords_or_lines() {
    for mut talk in [openldap(), active_directory()] {
        for password in ["Summer2025", "xK9#vq"] {
            let challenge =
                String::from_utf8_lossy(&talk.say(sasl("DIGEST-MD5", None))).into_owned();
            let answer = digest(&challenge, "root", password);
            let refused = result(&talk.say(sasl("DIGEST-MD5", Some(answer.as_bytes()))));
            assert_eq!(refused.0, 49);
        }
        let events = events(&talk);
        assert_eq!(events[0]["PASSWORD"], "Summer2025");
        assert_eq!(events[1].get("PASSWORD"), None);
        for event in &events {
            assert_eq!(
                (&event["DN"], &event["MECH"]),
                (&json!("root"), &json!("DIGEST-MD5"))
            );
            let line = event["REQ"].as_str().unwrap();
            assert!(line.starts_with("$DIGEST-MD5$root$"), "{line}");
            assert!(line.contains("$ldap/here$c0ffee$00000001$auth$"), "{line}");
        }
        // One that's left without an answer is told all the same.
        talk.say(sasl("DIGEST-MD5", None));
        talk.end();
        assert_eq!(talk.events().len(), 3);
    }
}

#[test]
fn cram_becomes_a_password_and_a_line() {
    let mut talk = openldap();
    let (.., rest) = result(&talk.say(sasl("CRAM-MD5", None)));
    let challenge = rest.get(2..).unwrap();
    let digest = hex::encode(sasl::hmac_md5(b"letmein", challenge));
    let response = format!("admin {digest}");
    talk.say(sasl("CRAM-MD5", Some(response.as_bytes())));
    let event = &events(&talk)[0];
    assert_eq!(
        (&event["DN"], &event["PASSWORD"]),
        (&json!("admin"), &json!("letmein"))
    );
    let line = event["REQ"]
        .as_str()
        .unwrap()
        .strip_prefix("$cram_md5$")
        .unwrap();
    assert_eq!(line.split('$').count(), 2);
}

#[test]
fn digests_are_computed_as_the_standards_show() {
    // RFC 2195 section 2.
    let mac = sasl::hmac_md5(
        b"tanstaaftanstaaf",
        b"<1896.697170952@postoffice.reston.mci.net>",
    );
    assert_eq!(hex::encode(mac), "b913a602c7eda7a495b4e6e7334d3890");
    // RFC 2202, the sixth: a key longer than a block.
    let mac = sasl::hmac_md5(
        &[0xaa; 80],
        b"Test Using Larger Than Block-Size Key - Hash Key First",
    );
    assert_eq!(hex::encode(mac), "6b1ab7fe4bd7bf8f0b62e6ce61b9d0cd");
    // RFC 2831 section 4.
    let answer = sasl::Answer {
        user: b"chris",
        realm: b"elwood.innosoft.com",
        nonce: b"OA6MG9tEQGm2hh",
        cnonce: b"OA6MHXh6VqTrRk",
        count: b"00000001",
        qop: b"auth",
        uri: b"imap/elwood.innosoft.com",
        response: b"d388dad90d4bbd760a152321f2143af7",
        authorize: None,
    };
    assert!((answer.fits())("secret"));
    assert!(!(answer.fits())("Secret"));
}

#[test]
fn active_directory_shows_its_root() {
    let mut talk = active_directory();
    let said = talk.say(search("", 0, PRESENT, &[]));
    let text = said.escape_ascii().to_string();
    // As nmap looks for it.
    let name = "CN=NTDS Settings,CN=FILES-02,CN=Servers,CN=Default-First-Site-Name,CN=Sites,\
                CN=Configuration,DC=corp,DC=example,DC=net";
    let length = u8::try_from(name.len()).unwrap();
    let head = [b"dsServiceName1\x84\0\0\0", &[length + 2, 4, length][..]].concat();
    let service = format!("{}{name}0\\x84", head.escape_ascii());
    assert!(text.contains(&service), "{text}");
    for part in [
        "supportedCapabilities",
        "1.2.840.113556.1.4.800",
        "corp.example.net:files-02$@CORP.EXAMPLE.NET",
        "files-02.corp.example.net",
        "20251010124000.0Z",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(said.ends_with(b"\x02\x01\x02\x65\x84\0\0\0\x07\x0a\x01\0\x04\0\x04\0"));
    let one = talk.say(search("", 0, PRESENT, &["DEFAULTNAMINGCONTEXT"]));
    let entry = b"\x30\x84\0\0\0\x4e\x02\x01\x02\x64\x84\0\0\0\x45\x04\0\x30\x84\0\0\0\x3d\
        \x30\x84\0\0\0\x37\x04\x14defaultNamingContext\x31\x84\0\0\0\x1b\x04\x19\
        DC=corp,DC=example,DC=net\x30\x84";
    let text = one.escape_ascii().to_string();
    assert!(one.starts_with(entry), "{text}");
    let nothing = talk.say(search("", 0, b"\x87\x03foo", &[]));
    assert_eq!(result(&nothing).0, 0);
}

#[test]
fn active_directory_refuses_in_its_own_words() {
    let mut talk = active_directory();
    let unbound = "000004DC: LdapErr: DSID-0C090A5C, comment: In order to perform this operation a \
                   successful bind must be completed on the connection., data 0, v4563\0";
    let failed =
        "80090308: LdapErr: DSID-0C090436, comment: AcceptSecurityContext error, data 52e, v4563\0";
    let method =
        "00002027: LdapErr: DSID-0C0905F0, comment: Invalid Authentication method, data 0, v4563\0";
    let unknown =
        "0000203D: LdapErr: DSID-0C090C7F, comment: Unknown extended request OID, data 0, v4563\0";
    let token =
        "80090308: LdapErr: DSID-0C09089F, comment: AcceptSecurityContext error, data 57, v4563\0";
    let change = |op: u8| {
        message(3, op, |w| {
            w.put(OCTET_STRING, b"cn=a");
            w.nest(SEQUENCE, |_| {});
        })
    };
    let rename = message(3, 0x6c, |w| {
        w.put(OCTET_STRING, b"cn=a")
            .put(OCTET_STRING, b"cn=b")
            .put(1, &[0]);
    });
    let compare = message(3, 0x6e, |w| {
        w.put(OCTET_STRING, b"cn=a");
        w.nest(SEQUENCE, |w| {
            w.put(OCTET_STRING, b"cn").put(OCTET_STRING, b"x");
        });
    });
    let extended = |oid: &'static [u8]| {
        message(3, 0x77, |w| {
            w.put(0x80, oid);
        })
    };
    for (request, code, text) in [
        (bind(3, "CORP\\administrator", 0x80, b"x"), 49, failed),
        (bind(3, "administrator@corp.example.net", 0x80, b""), 0, ""),
        (bind(3, "", 0x80, b""), 0, ""),
        (bind(2, "", 0x80, b""), 0, ""),
        (bind(3, "", 0x85, b""), 7, method),
        (sasl("EXTERNAL", None), 7, method),
        (sasl("GSS-SPNEGO", Some(b"no")), 49, token),
        (sasl("GSSAPI", None), 49, token),
        (
            search("DC=corp,DC=example,DC=net", 2, PRESENT, &[]),
            1,
            unbound,
        ),
        (search("", 2, PRESENT, &[]), 1, unbound),
        (change(0x66), 1, unbound),
        (change(0x68), 1, unbound),
        (message(3, 0x4a, |_| {}), 1, unbound),
        (rename, 1, unbound),
        (compare, 1, unbound),
        (extended(b"1.3.6.1.4.1.4203.1.11.3"), 0, ""),
        (extended(b"1.2.3"), 2, unknown),
    ] {
        let said = result(&talk.say(&request));
        assert_eq!(
            (said.0, said.2.as_str()),
            (code, text),
            "{}",
            request.escape_ascii()
        );
    }
    assert_eq!(talk.events().len(), 17);
    let said = talk.say(b"\x30\x03\x02\x01\x01");
    let notice =
        "00000057: LdapErr: DSID-0C0C0068, comment: Error decoding ldap message, data 0, v4563\0";
    let (code, _, text, rest) = result(&said);
    assert_eq!((code, text.as_str()), (2, notice));
    assert_eq!(rest, b"\x8a\x161.3.6.1.4.1.1466.20036");
    assert!(talk.is_closed());
}

#[test]
fn active_directory_takes_ntlm_in_both_ways() {
    let negotiate = [&b"NTLMSSP\0\x01\0\0\0\x07\x82\x08\xa2"[..], &[0; 16]].concat();
    // LM and NT of 24 bytes, then CORP, root, WS.
    let mut authenticate = b"NTLMSSP\0\x03\0\0\0".to_vec();
    let parts: [&[u8]; 6] = [
        &[1; 24],
        &[2; 24],
        b"C\0O\0R\0P\0",
        b"r\0o\0o\0t\0",
        b"W\0S\0",
        b"",
    ];
    let mut body: Vec<u8> = Vec::new();
    for part in parts {
        let length = u16::try_from(part.len()).unwrap().to_le_bytes();
        authenticate.extend([length, length].concat());
        authenticate.extend(u32::try_from(64 + body.len()).unwrap().to_le_bytes());
        body.extend(part);
    }
    authenticate.extend(0x8205u32.to_le_bytes());
    authenticate.extend(body);

    let failed =
        "8009030C: LdapErr: DSID-0C090569, comment: AcceptSecurityContext error, data 52e, v4563\0";
    let mut talk = active_directory();
    let packages = result(&talk.say(bind(3, "", 0x89, b"")));
    assert_eq!((packages.0, &packages.1[..]), (0, &b"NTLM"[..]));
    let challenge = result(&talk.say(bind(3, "NTLM", 0x8a, &negotiate)));
    assert_eq!(challenge.0, 0);
    assert!(challenge.1.starts_with(b"NTLMSSP\0\x02\0\0\0"));
    let refused = result(&talk.say(bind(3, "", 0x8b, &authenticate)));
    assert_eq!((refused.0, refused.2.as_str()), (49, failed));

    let challenge = result(&talk.say(sasl("GSS-SPNEGO", Some(&negotiate))));
    assert_eq!(challenge.0, 14);
    assert!(challenge.3.windows(8).any(|w| w == b"NTLMSSP\0"));
    let refused = result(&talk.say(sasl("GSS-SPNEGO", Some(&authenticate))));
    assert_eq!((refused.0, refused.2.as_str()), (49, failed));

    let events = events(&talk);
    for (event, mech) in events.iter().zip(["NTLM", "GSS-SPNEGO"]) {
        assert_eq!(
            (&event["DN"], &event["MECH"]),
            (&json!("CORP\\root"), &json!(mech))
        );
        let hash = event["NTLM_HASH"].as_str().unwrap();
        assert!(hash.starts_with("root::CORP:"), "{hash}");
    }
    assert_eq!(events.len(), 2);
}

#[test]
fn tls_starts_once() {
    let start = message(1, 0x77, |w| {
        w.put(0x80, b"1.3.6.1.4.1.1466.20037");
    });
    for (mut talk, refusal) in [
        (openldap(), "TLS already started"),
        (
            active_directory(),
            "00000000: LdapErr: DSID-0C090C7F, comment: TLS or SSL already in effect, data 0, v4563\0",
        ),
    ] {
        assert_eq!(result(&talk.say(&start)).0, 0);
        let said = result(&talk.say(&start));
        assert_eq!((said.0, said.2.as_str()), (1, refusal));
    }
}

#[test]
fn domains_are_dns_names() {
    for (name, fits) in [
        ("", true),
        ("corp.example.net", true),
        ("corp", true),
        ("a..b", false),
        ("a b", false),
        ("dc=corp", false),
    ] {
        assert_eq!(domain(name).is_ok(), fits, "{name}");
    }
}

#[test]
fn a_windows_bird_is_its_domain_s_controller() {
    use coalmine_core::decoy::Tcp;
    use coalmine_core::machine::{Domain, Machine, System};

    let mut bird = Arc::into_inner(Bird::sample()).unwrap();
    bird.machine = Machine {
        system: System::find("windows-server-2022").unwrap(),
        domain: Domain::new("hq.example.org").ok(),
    };
    let service = (KIND.build)(&Map::new(), &Arc::new(bird)).unwrap();
    let Some(Tcp::Sessions(sessions)) = &service.tcp else {
        panic!("no sessions");
    };
    let mut talk = Talk::open(sessions.as_ref(), &Context::sample(), 4_096);
    let said = talk.say(search(
        "",
        0,
        PRESENT,
        &["dnsHostName", "rootDomainNamingContext"],
    ));
    let text = said.escape_ascii().to_string();
    for part in ["files-02.hq.example.org", "DC=hq,DC=example,DC=org"] {
        assert!(text.contains(part), "{text}");
    }
    let refused = result(&talk.say(bind(3, "root", 0x80, b"x")));
    let wanted =
        "80090308: LdapErr: DSID-0C090434, comment: AcceptSecurityContext error, data 52e, v4f7c\0";
    assert_eq!(refused.2, wanted);
    // Who only asks for the packages of Microsoft's own way is told too.
    talk.say(bind(3, "", 0x89, b""));
    talk.end();
    assert_eq!(talk.events().len(), 3);
}
