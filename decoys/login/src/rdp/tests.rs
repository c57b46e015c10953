//! Whole conversations and each reply.

use super::*;

use coalmine_core::suite::{Talk, check};
use coalmine_core::{Seed, Service};
use serde_json::{Value, json};

#[test]
fn it_holds_what_every_decoy_holds() {
    check(&KIND);
}

/// A Connection Request of this user for these protocols.
fn request(user: &str, negotiation: Option<(u8, u8)>) -> Vec<u8> {
    let mut pdu = vec![0, 0xe0, 0, 0, 0, 0, 0];
    if !user.is_empty() {
        pdu.extend(format!("Cookie: mstshash={user}\r\n").bytes());
    }
    if let Some((flags, protocols)) = negotiation {
        pdu.extend([1, flags, 8, 0, protocols, 0, 0, 0]);
    }
    pdu[0] = u8::try_from(pdu.len() - 1).unwrap();
    let length = u8::try_from(pdu.len() + 4).unwrap();
    [&[3, 0, 0, length], &*pdu].concat()
}

/// The answers to it, in hex behind the TPKT.
const OLD: &str = "0300000b06d00000123400";
const HYBRID: &str = "030000130ed000001234000 21f080002000000";
const HYBRID_EX: &str = "030000130ed000001234000 21f080008000000";
const RDSTLS: &str = "030000130ed000001234000 21f080004000000";
const SSL: &str = "030000130ed000001234000 21f080001000000";
const HYBRID_REQUIRED: &str = "030000130ed000001234000 300080005000000";
const SSL_REQUIRED: &str = "030000130ed000001234000 300080001000000";

fn talk(nla: bool) -> Talk {
    Talk::with(&KIND, &json!({ "nla": nla }))
}

/// A conversation that came to TLS for these protocols.
fn secured(nla: bool, protocols: u8) -> Talk {
    let mut talk = talk(nla);
    talk.say(request("bob", Some((0, protocols))));
    assert!(talk.is_tls() && !talk.is_closed());
    talk
}

/// The one event: its number and what's worth knowing of its fields.
fn only(talk: &Talk) -> (u32, Value) {
    let [event] = talk.events().try_into().unwrap();
    event
}

#[test]
fn security_is_negotiated_as_windows_does() {
    for (nla, protocols, answer, security) in [
        (true, 0, HYBRID_REQUIRED, "none"),
        (true, 1, HYBRID_REQUIRED, "TLS"),
        (true, 2, HYBRID, "NLA"),
        (true, 3, HYBRID, "NLA"),
        (true, 4, RDSTLS, "RDSTLS"),
        (true, 8, HYBRID_EX, "NLA"),
        (true, 0x0b, HYBRID_EX, "NLA"),
        (true, 0x0f, RDSTLS, "RDSTLS"),
        (false, 0, SSL_REQUIRED, "none"),
        (false, 1, SSL, "TLS"),
        (false, 3, HYBRID, "NLA"),
        (false, 0x10, SSL_REQUIRED, "none"),
    ] {
        let mut talk = talk(nla);
        let said = talk.say(request("administr", Some((0, protocols))));
        let wanted = answer.replace(' ', "");
        assert!(
            hex::encode(&said).starts_with(&wanted),
            "{protocols}: {said:02x?}"
        );
        let refused = answer == HYBRID_REQUIRED || answer == SSL_REQUIRED;
        assert_eq!((talk.is_closed(), talk.is_tls()), (refused, !refused));
        talk.end();
        let (number, event) = only(&talk);
        assert_eq!(number, if refused { FAILED } else { CONNECTED });
        assert_eq!(event["SECURITY"], security, "{protocols}");
        assert_eq!(event["USERNAME"], "administr");
    }
}

#[test]
fn an_old_client_is_confirmed_and_then_heard_no_further() {
    for nla in [true, false] {
        let mut talk = talk(nla);
        assert_eq!(hex::encode(talk.say(request("bob", None))), OLD);
        assert!(!talk.is_closed() && !talk.is_tls());
        assert_eq!(talk.say(x224::send(b"\x7f\x65")), b"");
        assert!(talk.is_closed());
        let (number, event) = only(&talk);
        assert_eq!(
            (number, &event["STATUS"]),
            (FAILED, &json!("failed connection"))
        );
    }
}

#[test]
fn the_request_tells_cookie_and_mode() {
    let mut conversation = talk(true);
    let mut request = request("bob", Some((x224::RESTRICTED_ADMIN, 3)));
    // The client's own reference is repeated.
    request[8..10].copy_from_slice(b"\xab\xcd");
    let said = conversation.say(request);
    assert_eq!(said.get(4..11), Some(&b"\x0e\xd0\xab\xcd\x12\x34\0"[..]));
    conversation.end();
    assert_eq!(
        only(&conversation),
        (
            CONNECTED,
            json!({
                "STATUS": "new connection",
                "USERNAME": "bob",
                "DOMAINNAME": "",
                "MAJORVERSION": "",
                "MINORVERSION": "",
                "COOKIE": "Cookie: mstshash=bob",
                "SECURITY": "NLA, restricted admin",
            })
        )
    );
    // A broker's token names no user.
    let mut conversation = talk(true);
    conversation.say(b"\x03\0\0\x25\x20\xe0\0\0\0\0\0Cookie: msts=1.2.3\r\n\x01\0\x08\0\x03\0\0\0");
    conversation.end();
    let (_, event) = only(&conversation);
    assert_eq!(event["COOKIE"], "Cookie: msts=1.2.3");
    assert_eq!(event["USERNAME"], "");
}

#[test]
fn garbage_is_no_event_and_ends_the_connection() {
    for garbage in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        b"\x03\0\0\x04",
        b"\x03\0\x02\0aaaa",
        b"\x03\0\0\x0b\x06\xd0\0\0\0\0\0",
        b"\x03\0\0\x0b\x05\xe0\0\0\0\0\0",
        b"\x03\0\0\x0a\x05\xe0\0\0\0\0",
        b"\x16\x03\x01\0\xc0",
    ] {
        let mut talk = talk(true);
        assert_eq!(talk.say(garbage), b"", "{garbage:02x?}");
        assert!(talk.is_closed());
        assert!(talk.events().is_empty());
    }
    let mut silent = talk(true);
    silent.say(b"\x03\0");
    assert_eq!(silent.advance(MAX_HANDSHAKE), b"");
    assert!(silent.is_closed() && silent.events().is_empty());
}

#[test]
fn a_broken_conversation_is_a_failed_connection() {
    for (protocols, nla, broken) in [
        (3, true, &b"\x03\0\0\x0c\x02\xf0\x80\x04\x01\0\x01\0"[..]),
        (3, true, b"0\x80"),
        (3, true, b"0\x84\0\x02\0\0"),
        (3, true, b"0\x05\xa0\x03\x02\x01\x06"),
        (3, true, b"0\x02\x02\x01"),
        (4, true, b"\x01\0\x03"),
        (4, true, b"\x01\0\x02\0\x07\0"),
        (1, false, b"\x02"),
        (1, false, b"\x03\0\0\x08\x02\xf0\x80\x28"),
        (1, false, b"\x03\0\0\x0a\x02\xf0\x80\x7f\x66\x00"),
        (1, false, b"\x03\0\0\x0a\x02\xf0\x80\x7f\x65\x84"),
    ] {
        let mut talk = secured(nla, protocols);
        talk.say(broken);
        assert!(talk.is_closed(), "{broken:02x?}");
        assert_eq!(only(&talk).0, FAILED);
    }
}

#[test]
fn time_runs_out_and_what_came_is_told() {
    let mut talk = secured(true, 3);
    assert_eq!(talk.advance(Duration::from_secs(59)), b"");
    talk.say(b"0");
    assert!(!talk.is_closed() && talk.events().is_empty());
    talk.advance(Duration::from_secs(1));
    assert!(talk.is_closed());
    assert_eq!(only(&talk).0, CONNECTED);
}

/// The messages that the poke says inside TLS.
fn poke() -> [&'static [u8]; 2] {
    let Poke::Script(steps) = KIND.poke else {
        panic!("a script");
    };
    let said: Vec<_> = steps
        .iter()
        .filter_map(|step| match step {
            Step::Send(bytes) => Some(*bytes),
            _ => None,
        })
        .collect();
    [said[1], said[2]]
}

#[test]
fn nla_challenges_captures_and_refuses() {
    let [negotiate, authenticate] = poke();
    for (version, told) in [(2, false), (3, true), (5, false), (6, true)] {
        let mut talk = secured(true, 3);
        let mut hello = negotiate.to_vec();
        hello[6] = version;
        let said = talk.say(&hello);
        // Version 6, then the challenge with the machine's names.
        let ours = TsRequest::parse(&said).unwrap();
        assert_eq!(ours.version, 6);
        let challenge = ours.token.unwrap();
        assert!(challenge.starts_with(b"NTLMSSP\0\x02\0\0\0"));
        let name: Vec<u8> = "FILES-02"
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        assert!(challenge.windows(name.len()).any(|w| w == name));
        assert!(talk.events().is_empty());
        let mut login = authenticate.to_vec();
        let at = login.windows(3).position(|w| w == b"\x02\x01\x06").unwrap();
        login[at + 2] = version;
        assert_eq!(talk.say(login), b"");
        let (number, event) = only(&talk);
        let challenge: [u8; 8] = challenge[24..32].try_into().unwrap();
        assert_eq!(number, LOGIN);
        assert_eq!(
            event,
            json!({
                "STATUS": "login attempt",
                "USERNAME": "poke",
                "DOMAINNAME": "",
                "WORKSTATION": "POKE",
                "MAJORVERSION": "10",
                "MINORVERSION": "0",
                "BUILD": "19041",
                "COOKIE": "Cookie: mstshash=bob",
                "SECURITY": "NLA",
                "NTLM_HASH": format!("poke:::{}:{}:{}", "0".repeat(48), "0".repeat(48), hex::encode(challenge)),
            })
        );
        let refusal = talk.settle();
        let wanted = "300da003020106a4060204c000006d";
        assert_eq!(hex::encode(refusal), if told { wanted } else { "" });
        assert!(talk.is_closed());
        assert_eq!(talk.events().len(), 1);
    }
}

#[test]
fn a_client_that_only_asks_for_the_challenge_is_confirmed() {
    let mut talk = secured(true, 3);
    talk.say(poke()[0]);
    talk.end();
    let (number, event) = only(&talk);
    assert_eq!(
        (number, &event["STATUS"]),
        (CONFIRMED, &json!("client confirmed"))
    );
    assert_eq!(event["BUILD"], "19041");
    assert_eq!(event["USERNAME"], "bob");
    // Out of turn: the login without the challenge.
    let mut talk = secured(true, 3);
    talk.say(poke()[1]);
    assert!(talk.is_closed());
    assert_eq!(only(&talk).0, FAILED);
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// A Connect-Initial with these channels.
fn connect_initial(channels: &[&str], message_channel: bool) -> Vec<u8> {
    let mut core = b"\x04\0\x08\0\x80\x07\x38\x04\x01\xca\x03\xaa\x07\x04\0\0\x63\x45\0\0".to_vec();
    let mut name = utf16("DESKTOP-7");
    name.resize(32, 0);
    core.extend(name);
    core.resize(212, 0);
    let mut network = vec![u8::try_from(channels.len()).unwrap(), 0, 0, 0];
    for channel in channels {
        let mut name = channel.as_bytes().to_vec();
        name.resize(8, 0);
        network.extend(name);
        network.extend([0, 0, 0x80, 0x80]);
    }
    let mut blocks = Vec::new();
    let mut block = |kind: [u8; 2], body: &[u8]| {
        let length = u16::try_from(body.len() + 4).unwrap();
        blocks.extend(kind);
        blocks.extend(length.to_le_bytes());
        blocks.extend(body);
    };
    block(*b"\x01\xc0", &core);
    block(*b"\x04\xc0", &[0x0d, 0, 0, 0, 0, 0, 0, 0]);
    block(*b"\x02\xc0", &[0; 8]);
    block(*b"\x03\xc0", &network);
    if message_channel {
        block(*b"\x06\xc0", &[0; 4]);
    }
    let long = |length: usize| u16::try_from(length).unwrap().to_be_bytes();
    let [high, low] = long(blocks.len());
    let [all_high, all_low] = long(blocks.len() + 14);
    let mut data = b"\0\x05\0\x14\x7c\0\x01".to_vec();
    data.extend([0x80 | all_high, all_low]);
    data.extend(b"\0\x08\0\x10\0\x01\xc0\0Duca");
    data.extend([0x80 | high, low]);
    data.extend(blocks);
    let mut body = b"\x04\x01\x01\x04\x01\x01\x01\x01\xff".to_vec();
    for _ in 0..3 {
        body.extend(b"\x30\x03\x02\x01\x22");
    }
    body.extend([0x04, 0x82]);
    body.extend(long(data.len()));
    body.extend(data);
    let mut pdu = vec![0x7f, 0x65, 0x82];
    pdu.extend(long(body.len()));
    pdu.extend(body);
    x224::send(&pdu)
}

/// A Client Info PDU in UTF-16.
fn client_info(domain: &str, user: &str, password: &str) -> Vec<u8> {
    let texts = [domain, user, password, "", ""].map(utf16);
    let mut info = b"\x40\0\0\0\0\0\0\0\x1b\0\0\0".to_vec();
    for text in &texts {
        info.extend(u16::try_from(text.len()).unwrap().to_le_bytes());
    }
    for text in texts {
        info.extend(text);
        info.extend([0, 0]);
    }
    info.extend([2, 0]);
    for text in ["192.168.1.17\0", "C:\\Windows\\mstscax.dll\0"].map(utf16) {
        info.extend(u16::try_from(text.len()).unwrap().to_le_bytes());
        info.extend(text);
    }
    info.extend([0; 4]);
    let mut zone = utf16("W. Europe Standard Time");
    zone.resize(168, 0);
    info.extend(zone);
    to_server(&info)
}

/// A Send Data Request on the I/O channel.
fn to_server(data: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(data.len()).unwrap().to_be_bytes();
    let mut pdu = b"\x64\0\x06\x03\xeb\x70".to_vec();
    pdu.extend([0x80 | high, low]);
    pdu.extend(data);
    x224::send(&pdu)
}

/// What a client says in TLS up to the login.
fn login_in_tls() -> Vec<Vec<u8>> {
    vec![
        connect_initial(&["rdpdr", "cliprdr"], true),
        x224::send(b"\x04\x01\0\x01\0"),
        x224::send(b"\x28"),
        x224::send(b"\x38\0\x06\x03\xef"),
        x224::send(b"\x38\0\x06\x03\xeb"),
        // Not the Client Info, and another channel.
        to_server(b"\0\x10\0\0"),
        x224::send(b"\x64\0\x06\x03\xec\x70\x02ab"),
        client_info("CORP", "bob", "S3cret\u{fc}!"),
    ]
}

#[test]
fn tls_alone_gives_the_password_and_each_reply_is_in_place() {
    let mut talk = secured(false, 1);
    let wanted = [
        "0300007602f0807f6682006a0a0100020100301a020122020103020100020101020100020101020300fff8020102\
         04820044000500147c00012a14760a01010001c0004d63446e2e 010c10000b0008000100000007000000 \
         030c0c00eb030200ec03ed03 020c0c000000000000000000 040c0600ee03",
        "",
        "0300000b02f0802e000006",
        "0300000f02f0803e00000603ef03ef",
        "0300000f02f0803e00000603eb03eb",
        "",
        "",
        "",
    ];
    for (message, wanted) in login_in_tls().iter().zip(wanted) {
        let said = hex::encode(talk.say(message));
        assert_eq!(said, wanted.replace(' ', ""));
    }
    assert_eq!(
        only(&talk),
        (
            LOGIN,
            json!({
                "STATUS": "login attempt",
                "USERNAME": "bob",
                "DOMAINNAME": "CORP",
                "PASSWORD": "S3cret\u{fc}!",
                "MAJORVERSION": "10",
                "MINORVERSION": "0",
                "BUILD": "17763",
                "CLIENTNAME": "DESKTOP-7",
                "CLIENTADDRESS": "192.168.1.17",
                "CLIENTDIR": "C:\\Windows\\mstscax.dll",
                "KEYBOARD": "00000407",
                "RESOLUTION": "1920x1080",
                "TIMEZONE": "W. Europe Standard Time",
                "CHANNELS": "rdpdr cliprdr",
                "COOKIE": "Cookie: mstshash=bob",
                "SECURITY": "TLS",
            })
        )
    );
    let refusal = hex::encode(talk.settle());
    assert_eq!(
        refusal,
        [
            "0300002202f08068000103eb701480000000ff031000070000000200000004000000",
            "0300002402f08068000103eb701616001700ea03ea0301000001 08002f00000009000000",
            "0300000902f0802180",
        ]
        .concat()
        .replace(' ', "")
    );
    assert!(talk.is_closed());
}

#[test]
fn without_a_name_somebody_only_wants_to_see_the_screen() {
    let mut talk = secured(false, 1);
    talk.say(connect_initial(&[], false));
    let said = talk.say(x224::send(b"\x28"));
    assert_eq!(hex::encode(said), "0300000b02f0802e000003");
    // As clients from before RDP 5 send it: eight bits, nothing extended.
    let info = b"\x40\0\0\0\0\0\0\0\0\0\0\0\x04\0\0\0\0\0\0\0\0\0CORP\0\0\0\0\0";
    talk.say(to_server(info));
    let (number, event) = only(&talk);
    assert_eq!(number, CONFIRMED);
    assert_eq!(event["DOMAINNAME"], "CORP");
    assert_eq!(event["USERNAME"], "bob");
    assert_eq!(event.get("PASSWORD"), None);
}

#[test]
fn a_broken_domain_ends_and_the_client_stays_known() {
    for broken in [
        &b"\x21\x80"[..],
        b"\x38\0\x06\x03\xf9",
        b"\xff",
        b"\x64\0\x06\x03\xeb\x70\x05ab",
        b"\x64\0\x06\x03\xeb\x70\xc1ab",
        b"\x64\0\x06\x03\xeb\x70\x06\x40\0\0\0\0\0",
    ] {
        let mut talk = secured(false, 1);
        talk.say(connect_initial(&["rdpdr"], false));
        assert_eq!(talk.say(x224::send(broken)), b"", "{broken:02x?}");
        assert!(talk.is_closed());
        assert_eq!(only(&talk).0, CONFIRMED);
    }
}

#[test]
fn rdstls_is_answered_and_refused() {
    let capabilities = "0100010001000100";
    for (login, user, domain) in [
        (
            [
                b"\x01\0\x02\0\x01\0\x02\0\xaa\xaa\x06\0b\0o\0b\0".to_vec(),
                b"\x08\0C\0O\0R\0P\0\x03\0xyz".to_vec(),
            ]
            .concat(),
            "bob",
            "CORP",
        ),
        (b"\x01\0\x02\0\x02\0\0\0\0\0\x02\0ab".to_vec(), "", ""),
    ] {
        let mut talk = talk(true);
        let said = talk.say(request("bob", Some((0, 4))));
        assert!(hex::encode(said).ends_with(capabilities));
        let (last, most) = login.split_last().unwrap();
        talk.say(most);
        assert!(talk.events().is_empty());
        talk.say([*last]);
        assert_eq!(hex::encode(talk.settle()), "0100040001002e050000");
        assert!(talk.is_closed());
        let (number, event) = only(&talk);
        assert_eq!(number, LOGIN);
        assert_eq!(
            (&event["USERNAME"], &event["DOMAINNAME"]),
            (&json!(user), &json!(domain))
        );
    }
}

#[test]
fn a_login_in_tls_may_come_a_byte_at_a_time() {
    let whole = |bytewise: bool| {
        let mut talk = secured(false, 1);
        for message in login_in_tls() {
            let size = if bytewise { 1 } else { message.len() };
            for part in message.chunks(size) {
                talk.say(part);
            }
        }
        talk.settle();
        talk.events()
    };
    assert_eq!(whole(true), whole(false));
}

#[test]
fn damaged_messages_of_every_stage_never_panic_and_are_one_event() {
    use rand_core::Rng;
    let service: Service =
        (KIND.build)(json!({"nla": false}).as_object().unwrap(), &Bird::sample())
            .unwrap_or_default();
    let nla: Vec<Vec<u8>> = poke().map(<[u8]>::to_vec).into();
    for (protocols, messages) in [(1, login_in_tls()), (3, nla)] {
        for n in 0..600 {
            let mut rng = Seed::new([9; 32]).rng(&format!("{protocols} {n}"));
            let mut talk = Talk::of(&KIND, &service);
            talk.say(request("bob", Some((0, protocols))));
            let damaged = n % messages.len();
            for (place, message) in messages.iter().enumerate() {
                let mut message = message.clone();
                if place == damaged {
                    for _ in 0..=rng.next_u32() % 4 {
                        let at = rng.next_u32() as usize % message.len();
                        message[at] = rng.next_u32() as u8;
                    }
                }
                talk.say(message);
                talk.settle();
            }
            talk.end();
            talk.advance(MAX_HANDSHAKE);
            assert_eq!(talk.events().len(), 1);
        }
    }
}

#[test]
fn versions_follow_the_build() {
    assert_eq!(rdp_version(17_763), 0x0008_000b);
    assert_eq!(rdp_version(9600), 0x0008_0004);
    assert_eq!(windows_version(7601), Some((6, 1)));
    assert_eq!(windows_version(0), None);
}
