//! Conversations as Samba 4.17 of Debian 12 held them, recorded with the same requests.

mod shares;

use std::sync::Arc;

use coalmine_core::decoy::Session;
use coalmine_core::machine::{Domain, Machine};
use coalmine_core::suite;
use serde_json::{Value, json};

use super::message::{HEADER, Writer, command as c, put};
use super::seal::{Derivation, Keys, Signing, TRANSFORM};
use super::*;

#[test]
fn the_suite() {
    suite::check(&KIND);
}

/// A bird of this system with a small share.
fn server(system: &str, more: &Value) -> Arc<Server> {
    let mut settings = json!({
        "netbiosname": "FILES-02",
        "workgroup": "OFFICE",
        "filetree": [
            {"name": "readme.txt", "size": 6},
            {"name": "Finance", "children": [
                {"name": "budget.bin", "size": 3_000_000},
                {"name": "2023", "children": [{"name": "a.docx", "size": 70_000}]},
            ]},
        ],
        "users": [{"name": "games", "password": "secret"}],
    });
    for (key, value) in more.as_object().unwrap() {
        settings[key] = value.clone();
    }
    let sample = Bird::sample();
    let bird = Bird {
        node_id: sample.node_id,
        name: sample.name.clone(),
        seed: sample.seed.clone(),
        booted: sample.booted,
        vault: Arc::clone(&sample.vault),
        machine: Machine {
            system: System::find(system).unwrap(),
            domain: None,
        },
    };
    Arc::new(Server::new(settings.as_object().unwrap(), &bird).unwrap())
}

/// A client with a connection of its own.
struct Client {
    connection: Connection,
    out: Out,
    message: u64,
    session: u64,
    tree: u32,
    file: [u8; 16],
}

/// An answer.
#[derive(Clone)]
struct Answer(Vec<u8>);

impl Answer {
    fn u32(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.0[at..at + 4].try_into().unwrap())
    }
    fn status(&self) -> u32 {
        self.u32(8)
    }
    fn credits(&self) -> u16 {
        u16::from_le_bytes(self.0[14..16].try_into().unwrap())
    }
    fn flags(&self) -> u32 {
        self.u32(16)
    }
    fn body(&self) -> &[u8] {
        &self.0[HEADER..]
    }
}

const NOT_SIGNED: u32 = 1;

impl Client {
    fn new(server: &Arc<Server>) -> Self {
        Self {
            connection: Connection::new(Arc::clone(server), &Context::sample()),
            out: Out::new(),
            message: 0,
            session: 0,
            tree: 0,
            file: [0; 16],
        }
    }

    /// A client that has agreed on `dialect`.
    fn agreed(server: &Arc<Server>, dialect: u16) -> Self {
        let mut client = Self::new(server);
        let answer = client.call(c::NEGOTIATE, &negotiation(&[dialect]));
        assert_eq!(answer.status(), 0, "{dialect:x}");
        client
    }

    /// One that has logged in as a stranger and connected to `share`.
    fn guest(server: &Arc<Server>, share: &str) -> Self {
        let mut client = Self::agreed(server, 0x302);
        assert_eq!(client.log_in("nosuch").status(), 0);
        assert_eq!(client.connect(share).status(), 0);
        client
    }

    fn header(&self, command: u16, flags: u32) -> Vec<u8> {
        let mut header = Writer(b"\xfeSMB\x40\0\0\0\0\0\0\0".to_vec());
        header.u16(command).u16(31).u32(flags).u32(0);
        header.u64(self.message).u32(0xfeff).u32(self.tree);
        header.u64(self.session).zeros(16);
        header.0
    }

    /// Says these bytes in one packet; what comes back, each answer of its own packet.
    fn say(&mut self, message: &[u8]) -> Vec<Answer> {
        let mut packet = u32::try_from(message.len()).unwrap().to_be_bytes().to_vec();
        packet.extend_from_slice(message);
        let now = Context::sample().now;
        let used = self.connection.feed(&packet, now, &mut self.out);
        if used.is_err() {
            return Vec::new();
        }
        assert_eq!(used, Ok(packet.len()));
        let said = self.out.take_bytes();
        let mut rest = &said[..];
        let mut answers = Vec::new();
        while let Some((length, more)) = rest.split_first_chunk::<4>() {
            let length = u32::from_be_bytes(*length) as usize;
            answers.push(Answer(more[..length].to_vec()));
            rest = &more[length..];
        }
        answers
    }

    fn call(&mut self, command: u16, body: &[u8]) -> Answer {
        let mut message = self.header(command, 0);
        message.extend_from_slice(body);
        self.message += 1;
        self.say(&message).first().unwrap().clone()
    }

    /// Logs in by bare NTLM with a response that no password makes; nobody where `user` is empty.
    fn log_in(&mut self, user: &str) -> Answer {
        let first = self.call(
            c::SESSION_SETUP,
            &setup(b"NTLMSSP\0\x01\0\0\0\x15\x82\x08\x62\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
        );
        assert_eq!(first.status(), 0xc000_0016);
        self.session = u64::from_le_bytes(first.0[40..48].try_into().unwrap());
        self.call(c::SESSION_SETUP, &setup(&authenticate(user)))
    }

    fn connect(&mut self, share: &str) -> Answer {
        let mut body = Writer::default();
        let path = format!("\\\\files-02\\{share}");
        body.u16(9)
            .u16(0)
            .u16(72)
            .u16(path.len() as u16 * 2)
            .text(&path);
        let answer = self.call(c::TREE_CONNECT, &body.0);
        if answer.status() == 0 {
            self.tree = answer.u32(36);
        }
        answer
    }

    fn open(&mut self, name: &str, access: u32, disposition: u32, options: u32) -> Answer {
        let answer = self.call(c::CREATE, &create(name, access, disposition, options));
        if answer.status() == 0 {
            self.file = answer.body()[64..80].try_into().unwrap();
        }
        answer
    }

    fn read(&mut self, offset: u64, length: u32) -> Answer {
        let body = read(self.file, offset, length, 0);
        self.call(c::READ, &body)
    }

    fn info(&mut self, kind: u8, class: u8, room: u32, more: u32) -> Answer {
        let mut body = Writer::default();
        body.u16(41)
            .u8(kind)
            .u8(class)
            .u32(room)
            .u16(0)
            .u16(0)
            .u32(0);
        body.u32(more).u32(0).bytes(&self.file).u8(0);
        self.call(c::QUERY_INFO, &body.0)
    }

    fn list(&mut self, pattern: &str, class: u8, flags: u8, room: u32) -> Answer {
        let body = listing(self.file, pattern, class, flags, room);
        self.call(c::QUERY_DIRECTORY, &body)
    }

    fn seen(&mut self) -> Vec<(u32, Value)> {
        let seen = self.out.take_seen();
        seen.iter()
            .map(|s| (s.logtype, serde_json::from_str(s.fields.get()).unwrap()))
            .collect()
    }
}

fn negotiation(dialects: &[u16]) -> Vec<u8> {
    let mut body = Writer::default();
    body.u16(36)
        .u16(dialects.len() as u16)
        .u16(1)
        .u16(0)
        .u32(0x7f);
    body.bytes(&[0x11; 16]);
    if !dialects.contains(&0x311) {
        body.u64(0);
        for dialect in dialects {
            body.u16(*dialect);
        }
        return body.0;
    }
    let end = 36 + dialects.len() * 2;
    let at = (HEADER + end).next_multiple_of(8);
    body.u32(at as u32).u16(3).u16(0);
    for dialect in dialects {
        body.u16(*dialect);
    }
    body.zeros(at - HEADER - end);
    body.u16(1)
        .u16(38)
        .u32(0)
        .u16(1)
        .u16(32)
        .u16(1)
        .bytes(&[7; 32])
        .zeros(2);
    body.u16(2).u16(6).u32(0).u16(2).u16(2).u16(1).zeros(2);
    body.u16(8).u16(8).u32(0).u16(3).u16(2).u16(1).u16(0);
    body.0
}

fn setup(token: &[u8]) -> Vec<u8> {
    let mut body = Writer::default();
    body.u16(25).u8(0).u8(1).u32(0).u32(0).u16(88);
    body.u16(token.len() as u16).u64(0).bytes(token);
    body.0
}

/// NTLM's third message (MS-NLMP 2.2.1.3).
fn authenticate(user: &str) -> Vec<u8> {
    let response: &[u8] = if user.is_empty() { b"" } else { &[0x55; 24] };
    let mut message = Writer(b"NTLMSSP\0\x03\0\0\0".to_vec());
    let name = user.len() as u16 * 2;
    let length = response.len() as u16;
    let fields = [
        (0, 64),
        (length, 64 + name),
        (0, 64),
        (name, 64),
        (0, 64),
        (0, 64),
    ];
    for (length, at) in fields {
        message.u16(length).u16(length).u32(u32::from(at));
    }
    let anonymous = if user.is_empty() { 0x800 } else { 0 };
    message
        .u32(0x0008_8201 | anonymous)
        .text(user)
        .bytes(response);
    message.0
}

fn create(name: &str, access: u32, disposition: u32, options: u32) -> Vec<u8> {
    let mut body = Writer::default();
    body.u16(57)
        .u8(0)
        .u8(0)
        .u32(2)
        .u64(0)
        .u64(0)
        .u32(access)
        .u32(0)
        .u32(7);
    body.u32(disposition).u32(options).u16(120);
    body.u16(name.encode_utf16().count() as u16 * 2)
        .u32(0)
        .u32(0)
        .text(name);
    if name.is_empty() {
        body.u8(0);
    }
    body.0
}

fn read(file: [u8; 16], offset: u64, length: u32, least: u32) -> Vec<u8> {
    let mut body = Writer::default();
    body.u16(49)
        .u8(0x50)
        .u8(0)
        .u32(length)
        .u64(offset)
        .bytes(&file);
    body.u32(least).u32(0).u32(0).u16(0).u16(0).u8(0);
    body.0
}

fn listing(file: [u8; 16], pattern: &str, class: u8, flags: u8, room: u32) -> Vec<u8> {
    let mut body = Writer::default();
    body.u16(33).u8(class).u8(flags).u32(0).bytes(&file);
    body.u16(96)
        .u16(pattern.len() as u16 * 2)
        .u32(room)
        .text(pattern);
    body.0
}

fn close(file: [u8; 16]) -> Vec<u8> {
    let mut body = Writer::default();
    body.u16(24).u16(1).u32(0).bytes(&file);
    body.0
}

fn samba() -> Arc<Server> {
    server("linux", &json!({}))
}

#[test]
fn the_negotiation_is_sambas() {
    let server = samba();
    for (offered, status, dialect, capabilities, contexts) in [
        (&[0x202][..], 0, 0x202, 0x01, 0),
        (&[0x202, 0x210], 0, 0x210, 0x07, 0),
        (&[0x300], 0, 0x300, 0x4f, 0),
        (&[0x302, 0x300], 0, 0x302, 0x4f, 0),
        (&[0x202, 0x311], 0, 0x311, 0x0f, 3),
        (&[0x400], 0xc000_00bb, 0, 0, 0),
        (&[], 0xc000_000d, 0, 0, 0),
    ] {
        let mut client = Client::new(&server);
        let answer = client.call(c::NEGOTIATE, &negotiation(offered));
        assert_eq!((answer.status(), answer.credits()), (status, 1));
        if status != 0 {
            assert_eq!(answer.body(), [9, 0, 0, 0, 0, 0, 0, 0, 0], "{offered:x?}");
            continue;
        }
        let body = answer.body();
        let number = |at: usize| u16::from_le_bytes([body[at], body[at + 1]]);
        assert_eq!(
            (number(2), number(4), number(6), answer.u32(HEADER + 24)),
            (1, dialect, contexts, capabilities)
        );
        assert_eq!(&body[8..24], b"files-02\0\0\0\0\0\0\0\0");
        let most = if dialect == 0x202 { 65_536 } else { 8_388_608 };
        assert_eq!(answer.u32(HEADER + 28), most);
        if contexts == 3 {
            // AES-128-GCM and AES-128-GMAC.
            assert!(body.ends_with(
                b"\x02\0\x04\0\0\0\0\0\x01\0\x02\0\0\0\0\0\x08\0\x04\0\0\0\0\0\x01\0\x02\0"
            ));
        }
        // Nobody negotiates twice.
        let mut again = client.header(c::NEGOTIATE, 0);
        again.extend(negotiation(&[0x302]));
        assert!(client.say(&again).is_empty());
    }
    // Nor does anything else come first.
    let mut client = Client::new(&server);
    let mut echo = client.header(c::ECHO, 0);
    echo.extend([4, 0, 0, 0]);
    assert!(client.say(&echo).is_empty());
}

#[test]
fn an_offer_without_the_hash_is_refused() {
    let server = samba();
    let mut body = negotiation(&[0x311]);
    // The hash's number, then the context's kind.
    for (at, wanted) in [(52, 0xc05d_0000), (40, 0xc000_000d)] {
        let mut wrong = body.clone();
        wrong[at] = 9;
        let answer = Client::new(&server).call(c::NEGOTIATE, &wrong);
        assert_eq!(answer.status(), wanted, "{at}");
    }
    body.truncate(60);
    let answer = Client::new(&server).call(c::NEGOTIATE, &body);
    assert_eq!(answer.status(), 0xc000_000d);
}

fn smb1(flags: u8, flags2: u16, process: u16, multiplex: u16, dialects: &[&str]) -> Vec<u8> {
    let mut message = Writer(b"\xffSMB\x72\0\0\0\0".to_vec());
    message
        .u8(flags)
        .u16(flags2)
        .zeros(12)
        .u16(0)
        .u16(process)
        .u16(0)
        .u16(multiplex);
    let names: String = dialects.iter().map(|d| format!("\x02{d}\0")).collect();
    message
        .u8(0)
        .u16(names.len() as u16)
        .bytes(names.as_bytes());
    message.0
}

#[test]
fn smb_1_is_answered_as_the_product_does() {
    let all = ["NT LM 0.12", "SMB 2.002", "SMB 2.???"];
    for (dialects, number) in [(&all[..], 0x2ff_u16), (&all[..2], 0x202)] {
        let mut client = Client::new(&samba());
        let said = client.say(&smb1(0x18, 0xc853, 0xfeff, 0, dialects));
        assert_eq!(said[0].body()[4..6], number.to_le_bytes());
        assert_eq!((said[0].credits(), client.seen().len()), (1, 0));
        client.message = 1;
        if number == 0x2ff {
            assert_eq!(
                client.call(c::NEGOTIATE, &negotiation(&[0x311])).status(),
                0
            );
        }
    }
    let only = smb1(0x18, 0xc853, 0xfeff, 0, &all[..1]);
    let said = Client::new(&samba()).say(&only);
    assert_eq!(
        hex::encode(&said[0].0),
        "ff534d4272000000008813c00000000000000000000000000000fffe0000000001ffff0000"
    );
    let windows = server("windows-server-2019", &json!({}));
    assert!(Client::new(&windows).say(&only).is_empty());
}

#[test]
fn what_runfinger_sends_is_a_scan() {
    let later = ["NT LM 0.12", "SMB 2.002", "SMB 2.???"];
    for (message, wanted) in [
        (smb1(0, 0, 0x1b3c, 1, &later[..1]), Some(5012)),
        (smb1(0x18, 0xc853, 0, 0, &later[..1]), Some(5011)),
        (smb1(0, 0, 0, 0, &later), Some(5011)),
        (smb1(0x18, 0xc853, 0xfeff, 0, &later[..1]), None),
        (smb1(0x18, 0xc001, 0, 0, &later), None),
    ] {
        let mut client = Client::new(&samba());
        client.say(&message);
        let seen = client.seen();
        let wanted: Vec<_> = wanted
            .map(|n| (n, json!({"ports": "4000"})))
            .into_iter()
            .collect();
        assert_eq!(seen, wanted);
    }
}

#[test]
fn logins_are_decided_and_seen() {
    let guests = samba();
    let none = server("linux", &json!({"guest.enabled": false}));
    for (server, user, status, flags, kind, told) in [
        (&guests, "nosuch", 0, 1, "guest", "ok"),
        (&guests, "", 0, 0, "anonymous", "ok"),
        (
            &guests,
            "GAMES",
            0xc000_006d,
            0,
            "NTLMv1",
            "NT_STATUS_LOGON_FAILURE",
        ),
        (
            &none,
            "nosuch",
            0xc000_006d,
            0,
            "NTLMv1",
            "NT_STATUS_LOGON_FAILURE",
        ),
    ] {
        let mut client = Client::agreed(server, 0x210);
        let answer = client.log_in(user);
        assert_eq!(answer.status(), status, "{user}");
        if status == 0 {
            assert_eq!(answer.body()[2], flags);
            assert_eq!(answer.flags(), NOT_SIGNED);
        } else {
            let gone = client.connect("Documents");
            assert_eq!(gone.status(), 0xc000_0203);
        }
        let (number, event) = client.seen().remove(0);
        assert_eq!(
            (
                number,
                &event["LOGINTYPE"],
                &event["STATUS"],
                &event["USER"]
            ),
            (5010, &json!(kind), &json!(told), &json!(user))
        );
        assert_eq!(event["REMOTENAME"], "192.0.2.10");
        assert_eq!(event["SMBVER"], "SMB2_10");
        assert_eq!(event.get("NTLM_HASH").is_some(), !user.is_empty());
    }
    let mut client = Client::agreed(&guests, 0x210);
    for (token, status) in [(&b"garbage"[..], 0xc000_000d), (b"", 0xc000_000d)] {
        assert_eq!(
            client.call(c::SESSION_SETUP, &setup(token)).status(),
            status
        );
    }
    client.session = 999;
    assert_eq!(
        client.call(c::SESSION_SETUP, &setup(b"x")).status(),
        0xc000_0203
    );
}

#[test]
fn shares_are_found_by_name_and_seen() {
    let mut client = Client::agreed(&samba(), 0x302);
    client.log_in("nosuch");
    client.seen();
    for (share, status) in [("DOCUMENTS", 0), ("nosuch", 0xc000_00cc), ("ipc$", 0)] {
        let answer = client.connect(share);
        assert_eq!(answer.status(), status, "{share}");
        if status == 0 {
            let kind = if share == "ipc$" { 2 } else { 1 };
            let body = [16, 0, kind, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xa9, 0, 0x1f, 0];
            assert_eq!(answer.body(), body);
        }
    }
    let seen: Vec<_> = client
        .seen()
        .into_iter()
        .map(|(n, e)| (n, e["SHARENAME"].clone(), e["STATUS"].clone()))
        .collect();
    assert_eq!(
        seen,
        [
            (5014, json!("DOCUMENTS"), json!("ok")),
            (5014, json!("nosuch"), json!("NT_STATUS_BAD_NETWORK_NAME")),
        ]
    );
    assert_eq!(client.call(c::TREE_DISCONNECT, &[4, 0, 0, 0]).status(), 0);
    assert_eq!(
        client.call(c::TREE_DISCONNECT, &[4, 0, 0, 0]).status(),
        0xc000_00c9
    );
    assert_eq!(client.call(c::LOGOFF, &[4, 0, 0, 0]).status(), 0);
    assert_eq!(client.connect("Documents").status(), 0xc000_0203);
    assert_eq!(client.call(c::ECHO, &[4, 0, 0, 0]).body(), [4, 0, 0, 0]);
}

/// A connection with a session that has keys, as if its user had logged in.
fn signed(server: &Arc<Server>, dialect: u16, signing: Signing) -> (Client, Keys) {
    let mut client = Client::guest(server, "Documents");
    let _ = dialect;
    let cipher = Some(seal::Cipher::Aes128Gcm);
    let keys = || Keys::new(&[3; 16], Derivation::Labels, signing, cipher).unwrap();
    let login = client.connection.sessions.get_mut(&client.session).unwrap();
    login.keys = Some(keys());
    login.must_sign = true;
    (client, keys())
}

#[test]
fn a_wrong_signature_is_refused() {
    for signing in [Signing::HmacSha256, Signing::AesCmac, Signing::AesGmac] {
        let (mut client, keys) = signed(&samba(), 0x302, signing);
        let message = |client: &Client, flags: u32| {
            let mut message = client.header(c::CREATE, flags);
            message.extend(create("readme.txt", 0x120089, 1, 0));
            message
        };
        let unsigned = message(&client, 0);
        client.message += 1;
        let refused = client.say(&unsigned).remove(0);
        assert_eq!((refused.status(), refused.flags()), (0xc000_0022, 9));
        let mut wrong = message(&client, 8);
        keys.sign(&mut wrong);
        wrong[HEADER + 24] ^= 1;
        client.message += 1;
        assert_eq!(client.say(&wrong)[0].status(), 0xc000_0022);
        let mut right = message(&client, 8);
        keys.sign(&mut right);
        client.message += 1;
        let answer = client.say(&right).remove(0);
        assert_eq!((answer.status(), answer.flags()), (0, 9));
        assert!(keys.verify(&answer.0), "{signing:?}");
    }
}

#[test]
fn what_comes_encrypted_for_nobody_ends_the_connection() {
    let (mut client, _) = signed(&samba(), 0x302, Signing::AesCmac);
    let mut message = b"\xfdSMB".to_vec();
    message.resize(TRANSFORM + 80, 7);
    put(&mut message, 36, &80_u32.to_le_bytes());
    put(&mut message, 42, &[1, 0]);
    put(&mut message, 44, &client.session.to_le_bytes());
    assert!(client.say(&message).is_empty());
}

#[test]
fn controls_are_answered() {
    let mut client = Client::guest(&samba(), "Documents");
    client.open("readme.txt", 0x120089, 1, 0);
    let file = client.file;
    for (code, target, input, status, length) in [
        (0x0006_0194_u32, [0xff; 16], vec![0; 8], 0xc000_0225, 0),
        (0x0014_01fc, [0xff; 16], vec![], 0, 152),
        (0x0014_4064, file, vec![], 0xc000_0010, 0),
        (0x0009_00c0, file, vec![], 0, 64),
        (0x0014_0078, file, vec![], 0, 32),
        (0x0009_00a8, file, vec![], 0xc000_0275, 0),
        (0x0001_2345, file, vec![], 0xc000_0010, 0),
        (0x0011_0018, [0xff; 16], vec![], 0xc000_000d, 0),
        (
            0x0014_0204,
            [0xff; 16],
            [
                &0x7f_u32.to_le_bytes()[..],
                &[0x11; 16],
                &[1, 0, 1, 0, 2, 3],
            ]
            .concat(),
            0,
            24,
        ),
        (
            0x0014_0204,
            [0xff; 16],
            [
                &0x3f_u32.to_le_bytes()[..],
                &[0x11; 16],
                &[1, 0, 1, 0, 2, 3],
            ]
            .concat(),
            0xc000_0022,
            0,
        ),
    ] {
        let mut body = Writer::default();
        body.u16(57)
            .u16(0)
            .u32(code)
            .bytes(&target)
            .u32(120)
            .u32(input.len() as u32);
        body.u32(0)
            .u32(0)
            .u32(0)
            .u32(4096)
            .u32(1)
            .u32(0)
            .bytes(&input);
        let answer = client.call(c::IOCTL, &body.0);
        assert_eq!(answer.status(), status, "{code:x}");
        if status == 0 {
            assert_eq!(answer.u32(HEADER + 36), length, "{code:x}");
            assert_eq!(answer.body().len(), 48 + length as usize, "{code:x}");
        }
    }
}

#[test]
fn a_windows_tells_its_own_story() {
    for (system, best) in [
        ("windows-server-2012r2", 0x302_u16),
        ("windows-server-2019", 0x311),
        ("windows-11", 0x311),
    ] {
        let server = server(system, &json!({}));
        let mut client = Client::new(&server);
        let answer = client.call(
            c::NEGOTIATE,
            &negotiation(&[0x202, 0x210, 0x300, 0x302, 0x311]),
        );
        assert_eq!(answer.body()[4..6], best.to_le_bytes(), "{system}");
        assert_ne!(&answer.body()[8..16], b"files-02", "{system}");
        let mut client = Client::agreed(&server, 0x210);
        let first = client.log_in("");
        assert_eq!((first.status(), first.body()[2]), (0, 2));
        assert_eq!(client.connect("Documents").status(), 0);
        assert_eq!(
            client.open("Finance/2023", 0x120089, 1, 0).status(),
            0xc000_0033
        );
        assert_eq!(
            client.open("nosuch.txt", 0x120089, 3, 0).status(),
            0xc000_0022
        );
        assert_eq!(client.open("readme.txt", 0x120089, 1, 0).status(), 0);
        let attributes = client.info(1, 35, 8, 0);
        assert_eq!(attributes.body()[8], 0x20);
        assert_eq!(client.call(c::CLOSE, &close(client.file)).status(), 0);
    }
    assert!(Domain::new("corp.example.net").is_ok());
}

#[test]
fn settings_say_all_that_is_wrong_with_them() {
    let wrong = json!({
        "sharename": "IPC$",
        "netbiosname": "a name with blanks",
        "users": [{"name": "a", "password": "x"}, {"name": "A", "password": "y"}],
        "advanced.serversigning": "never",
        "filetree": [{"name": "a/b"}],
    });
    let faults = Server::new(wrong.as_object().unwrap(), &Bird::sample())
        .err()
        .unwrap();
    let keys: Vec<_> = faults.iter().map(|fault| fault.key.as_str()).collect();
    assert_eq!(
        keys,
        [
            "netbiosname",
            "sharename",
            "filetree",
            "users",
            "advanced.serversigning"
        ]
    );
}

#[test]
fn signing_is_mandatory_where_the_settings_say_so() {
    for (more, mode) in [
        (json!({}), 1),
        (json!({"advanced.enabled": true}), 3),
        (
            json!({"advanced.enabled": true, "advanced.serversigning": "auto"}),
            1,
        ),
        (
            json!({"advanced.enabled": true, "advanced.serversigning": "disabled"}),
            1,
        ),
    ] {
        let mut client = Client::new(&server("linux", &more));
        let answer = client.call(c::NEGOTIATE, &negotiation(&[0x302]));
        assert_eq!(answer.body()[2], mode, "{more}");
    }
}
