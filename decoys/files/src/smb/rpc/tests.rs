use super::*;

/// Debian's smbd 4.17 as `smb.conf` had it, asked by nobody: `# pipe`, then operation, request,
/// answer (`!` and a fault) and what it was.
const RECORDED: &str = include_str!("testdata/samba.txt");
/// The parts of its identifier.
const RECORDED_SID: [u32; 3] = [3_539_411_065, 2_688_060_217, 2_671_832_197];

fn shared(name: &str, comment: &str, path: &str, sort: u32) -> Shared {
    Shared {
        name: name.to_owned(),
        comment: comment.to_owned(),
        path: path.to_owned(),
        sort,
    }
}

fn samba() -> Host {
    // One whose identifier has as many digits as the recorded one.
    let long = |host: &Host| {
        host.sid()
            .parts
            .iter()
            .skip(1)
            .all(|part| *part >= 1_000_000_000)
    };
    (0..=255).map(samba_of).find(long).unwrap()
}

fn samba_of(seed: u8) -> Host {
    Host {
        windows: None,
        name: "FILES-02".to_owned(),
        domain: "WORKGROUP".to_owned(),
        comment: "Samba 4.17.12-Debian".to_owned(),
        shares: vec![
            shared("data", "Company data", "C:\\srv\\data", 0),
            shared(
                "IPC$",
                "IPC Service (Samba 4.17.12-Debian)",
                "C:\\tmp",
                0x8000_0003,
            ),
        ],
        users: vec!["backup".to_owned(), "root".to_owned()],
        seed: Seed::new([seed; 32]),
        booted: Timestamp::from_secs(1_760_000_000),
    }
}

fn windows(build: u16) -> Host {
    Host {
        windows: Some(Windows {
            major: 10,
            minor: 0,
            build,
            server: true,
            title: "Windows Server 2019 Standard".to_owned(),
        }),
        comment: String::new(),
        users: Vec::new(),
        ..samba()
    }
}

fn opened(host: Host, name: &str, caller: Caller) -> Pipe {
    Pipe::open(name, Arc::new(host), caller, Seed::new([1; 32])).unwrap()
}

fn now() -> Timestamp {
    Timestamp::from_secs(0x6b02_b478)
}

fn pdu(kind: u8, flags: u8, call: u32, body: &[u8]) -> Vec<u8> {
    let mut all = vec![5, 0, kind, flags, 0x10, 0, 0, 0];
    all.extend_from_slice(&u16::try_from(body.len() + 16).unwrap().to_le_bytes());
    all.extend_from_slice(&[0, 0]);
    all.extend_from_slice(&call.to_le_bytes());
    all.extend_from_slice(body);
    all
}

fn context(id: u16, interface: Syntax, offered: &[Syntax]) -> Vec<u8> {
    let mut all = id.to_le_bytes().to_vec();
    all.extend_from_slice(&[u8::try_from(offered.len()).unwrap(), 0]);
    all.extend_from_slice(&interface);
    all.extend(offered.iter().flatten());
    all
}

fn bind_of(sizes: u16, group: u32, contexts: &[Vec<u8>]) -> Vec<u8> {
    let mut all = [sizes.to_le_bytes(), sizes.to_le_bytes()].concat();
    all.extend_from_slice(&group.to_le_bytes());
    all.extend_from_slice(&[u8::try_from(contexts.len()).unwrap(), 0, 0, 0]);
    all.extend(contexts.iter().flatten());
    all
}

fn interface(name: &str) -> Syntax {
    let at = ["srvsvc", "wkssvc", "samr", "lsarpc", "winreg", "svcctl"]
        .iter()
        .position(|known| *known == name);
    Service::ALL[at.unwrap()].1
}

fn request(operation: u16, stub: &[u8]) -> Vec<u8> {
    let mut body = u32::try_from(stub.len()).unwrap().to_le_bytes().to_vec();
    body.extend_from_slice(&[0, 0]);
    body.extend_from_slice(&operation.to_le_bytes());
    body.extend_from_slice(stub);
    pdu(kind::REQUEST, WHOLE, 2, &body)
}

/// A pipe that is bound to its own interface.
fn bound(host: Host, name: &str, caller: Caller) -> Pipe {
    let mut pipe = opened(host, name, caller);
    let hello = bind_of(4280, 0, &[context(0, interface(name), &[NDR32])]);
    pipe.write(&pdu(kind::BIND, WHOLE, 1, &hello), now());
    let answer = pipe.read(65_536);
    assert_eq!((answer[2], answer.len()), (kind::BIND_ACK, 68));
    pipe
}

/// The whole answer's stub, or the fault's status.
fn ask(pipe: &mut Pipe, operation: u16, stub: &[u8]) -> Result<Vec<u8>, u32> {
    pipe.write(&request(operation, stub), now());
    let mut all = Vec::new();
    loop {
        let fragment = pipe.read(65_536);
        assert!(fragment.len() >= 24, "nothing was said");
        if fragment[2] == kind::FAULT {
            return Err(u32::from_le_bytes(fragment[24..28].try_into().unwrap()));
        }
        all.extend_from_slice(&fragment[24..]);
        if fragment[3] & 2 != 0 {
            return Ok(all);
        }
    }
}

fn unhex(text: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(digit).collect()
}

fn replace(bytes: &mut [u8], from: &[u8], to: &[u8]) {
    for at in 0..bytes.len().saturating_sub(from.len() - 1) {
        if bytes[at..].starts_with(from) {
            bytes[at..at + to.len()].copy_from_slice(to);
        }
    }
}

#[test]
fn samba_is_answered_for_as_it_answered() {
    let host = samba();
    let ours: Vec<u8> = host.sid().parts[1..]
        .iter()
        .flat_map(|part| part.to_le_bytes())
        .collect();
    let theirs: Vec<u8> = RECORDED_SID
        .iter()
        .flat_map(|part| part.to_le_bytes())
        .collect();
    let mut pipe = bound(host.clone(), "srvsvc", Caller::Anonymous);
    let mut handles: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    let (mut same, mut other) = (0, Vec::new());
    for line in RECORDED.lines() {
        if let Some(name) = line.strip_prefix("# ") {
            pipe = bound(host.clone(), name, Caller::Anonymous);
            continue;
        }
        let fields: Vec<_> = line.split(' ').collect();
        let (mut stub, what) = (unhex(fields[1]), fields.get(3).unwrap_or(&""));
        replace(&mut stub, &theirs, &ours);
        for (from, to) in &handles {
            replace(&mut stub, from, to);
        }
        let answer = ask(&mut pipe, fields[0].parse().unwrap(), &stub);
        let expected = match fields[2].strip_prefix('!') {
            Some(fault) => Err(match fault {
                "nca_s_op_rng_error" => 0x1c01_0002,
                "nca_s_fault_context_mismatch" => 0x1c00_001a,
                "rpc_x_bad_stub_data" => 0x6f7,
                _ => panic!("{fault}"),
            }),
            None => Ok(unhex(fields[2])),
        };
        let expected = expected.map(|mut expected| {
            replace(&mut expected, &theirs, &ours);
            for at in 0..expected.len().saturating_sub(3) {
                // The time, as a sequence number.
                if expected[at + 2..at + 4] == [0x02, 0x6b] {
                    let ours = u32::try_from(now().secs()).unwrap();
                    expected[at..at + 4].copy_from_slice(&ours.to_le_bytes());
                }
            }
            if let Ok(answer) = &answer {
                for at in [0, 16] {
                    let new = |bytes: &[u8]| {
                        let handle = bytes.get(at..at + 20)?.to_vec();
                        (handle[0] < 8 && handle[11] >> 4 == 4).then_some(handle)
                    };
                    if let (Some(theirs), Some(ours)) = (new(&expected), new(answer))
                        && theirs[..4] == ours[..4]
                    {
                        replace(&mut expected, &theirs, &ours);
                        handles.push((theirs, ours));
                    }
                }
            }
            expected
        });
        if answer == expected {
            same += 1;
        } else {
            let hex = |bytes: &Result<Vec<u8>, u32>| match bytes {
                Ok(bytes) => bytes.iter().map(|b| format!("{b:02x}")).collect(),
                Err(fault) => format!("fault {fault:08x}"),
            };
            other.push(format!(
                "{what}\n  real {}\n  ours {}",
                hex(&expected),
                hex(&answer)
            ));
        }
    }
    assert!(same >= 344, "{same} alike, {} not", other.len());
}

#[test]
fn binds_are_answered_as_samba_does() {
    let srvsvc = interface("srvsvc");
    let ndr64 = syntax(0x7171_0533_beba_4937_8319_b5db_ef9c_cc36, 1);
    let features = syntax(0x6cb7_1c2c_9812_4540_0300_0000_0000_0000, 1);
    let newer = {
        let mut newer = srvsvc;
        newer[18] = 1;
        newer
    };
    let results = |contexts: &[Vec<u8>]| {
        let mut pipe = opened(samba(), "srvsvc", Caller::Guest);
        pipe.write(
            &pdu(kind::BIND, WHOLE, 7, &bind_of(4280, 0, contexts)),
            now(),
        );
        let answer = pipe.read(4096);
        assert_eq!(&answer[..4], [5, 0, kind::BIND_ACK, WHOLE]);
        assert_eq!(&answer[12..20], [7, 0, 0, 0, 0xb8, 0x10, 0xb8, 0x10]);
        assert_eq!(&answer[24..26], [13, 0]);
        assert_eq!(&answer[26..39], b"\\pipe\\srvsvc\0");
        assert_eq!(usize::from(answer[40]), contexts.len());
        answer[44..]
            .chunks(24)
            .map(|r| (r[0], r[2], r[4]))
            .collect::<Vec<_>>()
    };
    let taken = (0, 0, NDR32[0]);
    assert_eq!(results(&[context(0, srvsvc, &[NDR32])]), [taken]);
    let all = [
        context(0, srvsvc, &[NDR32]),
        context(1, srvsvc, &[ndr64]),
        context(2, srvsvc, &[features]),
    ];
    assert_eq!(results(&all), [taken, (2, 2, 0), (3, 3, 0)]);
    assert_eq!(results(&[context(0, srvsvc, &[ndr64, NDR32])]), [taken]);
    assert_eq!(
        results(&[context(0, interface("samr"), &[NDR32])]),
        [(2, 1, 0)]
    );
    assert_eq!(results(&[context(0, newer, &[NDR32])]), [(2, 1, 0)]);
}

#[test]
fn what_breaks_the_protocol_ends_the_pipe() {
    let good = pdu(
        kind::BIND,
        WHOLE,
        1,
        &bind_of(4280, 0, &[context(0, interface("srvsvc"), &[NDR32])]),
    );
    let nak = |reason: u8| Some((kind::BIND_NAK, reason));
    let mut version = good.clone();
    version[0] = 4;
    let mut minor = good.clone();
    minor[1] = 1;
    let mut order = good.clone();
    order[4] = 0;
    let mut login = good.clone();
    login[10] = 4;
    let none = pdu(kind::BIND, WHOLE, 1, &bind_of(4280, 0, &[]));
    let group = pdu(
        kind::BIND,
        WHOLE,
        1,
        &bind_of(4280, 9, &[context(0, interface("srvsvc"), &[NDR32])]),
    );
    let cases = [
        (version, nak(4)),
        (minor, nak(4)),
        (order, None),
        (login, nak(8)),
        (none, nak(0)),
        (group, nak(0)),
        (request(28, &[0; 4]), nak(4)),
        (pdu(kind::ALTER, WHOLE, 1, &[]), nak(4)),
        ([good.clone(), good.clone()].concat(), nak(0)),
        ([good.clone(), pdu(55, WHOLE, 2, b"abcd")].concat(), None),
        (
            [good.clone(), pdu(17, WHOLE, 2, b"")].concat(),
            Some((kind::FAULT, 0)),
        ),
        (
            [good.clone(), pdu(kind::REQUEST, 2, 2, &[0; 12])].concat(),
            Some((kind::FAULT, 0)),
        ),
        (
            [good.clone(), pdu(kind::REQUEST, WHOLE, 2, &[0; 5_900])].concat(),
            Some((kind::FAULT, 0)),
        ),
        (
            vec![5, 0, 11, 3, 0x10, 0, 0, 0, 8, 0, 0, 0, 1, 0, 0, 0],
            None,
        ),
    ];
    for (number, (bytes, expected)) in cases.into_iter().enumerate() {
        let mut pipe = opened(samba(), "srvsvc", Caller::Guest);
        pipe.write(&bytes, now());
        let mut last = None;
        while !pipe.is_broken() {
            let said = pipe.read(9_000);
            assert!(!said.is_empty(), "case {number} goes on");
            last = Some((
                said[2],
                if said[2] == kind::BIND_NAK {
                    said[16]
                } else {
                    0
                },
            ));
        }
        assert_eq!(
            last.filter(|(kind, _)| *kind != kind::BIND_ACK),
            expected,
            "case {number}"
        );
        pipe.write(&good, now());
        assert!(pipe.read(9_000).is_empty());
    }
}

#[test]
fn fragments_come_and_go_in_pieces() {
    let mut pipe = bound(samba(), "srvsvc", Caller::Guest);
    let body = |stub: &[u8]| [&[4, 0, 0, 0, 0, 0, 28, 0], stub].concat();
    let first = pdu(kind::REQUEST, 1, 9, &body(&[0, 0]));
    let second = pdu(kind::REQUEST, 2, 9, &body(&[0, 0]));
    for byte in [first, second].concat() {
        assert!(!pipe.has_more());
        pipe.write(&[byte], now());
    }
    let (front, back) = (pipe.read(30), pipe.read(500));
    assert_eq!((front.len(), back.len()), (30, 50));
    assert_eq!(front[2], kind::RESPONSE);
    // 0x6b02b478 is the 24th of November 2026, a Tuesday.
    let stub = [&front[24..], &back[..]].concat();
    let number = |at: usize| u32::from_le_bytes(stub[at..at + 4].try_into().unwrap());
    assert_eq!(number(4), 0x6b02_b478);
    let date = [number(36), number(40), number(44), number(48)];
    assert_eq!(
        date.map(|n| n.to_string()).join(" "),
        now().format("%-d %-m %Y %w")
    );
}

#[test]
fn a_long_answer_is_cut_into_fragments() {
    let mut host = samba();
    host.shares = (0..300)
        .map(|n| shared(&format!("share{n}"), "comment", "C:\\x", 0))
        .collect();
    let mut pipe = bound(host, "srvsvc", Caller::Guest);
    // No server name, level 1 with an empty container, all of it, no resume handle.
    let stub: Vec<u8> = [0, 1, 1, 0x20000, 0, 0, u32::MAX, 0]
        .into_iter()
        .flat_map(u32::to_le_bytes)
        .collect();
    pipe.write(&request(15, &stub), now());
    let first = pipe.read(65_536);
    assert_eq!((first[3], first.len()), (1, 4280));
    pipe.read(1_000);
    assert!(pipe.has_more());
    assert_eq!(pipe.read(65_536).len(), 3_280);
    let mut pipe = bound(samba(), "srvsvc", Caller::Guest);
    assert!(ask(&mut pipe, 15, &stub).unwrap().ends_with(&[0; 4]));
    assert_eq!(ask(&mut pipe, 99, &stub), Err(0x1c01_0002));
    assert_eq!(ask(&mut pipe, 28, &[]), Err(0x6f7));
}

/// Opens the account domain of `samr`; gives its handle.
fn domain(pipe: &mut Pipe, sid: &Sid) -> Vec<u8> {
    let server = ask(pipe, 57, &[0, 0, 0, 0, 0, 0, 0, 2]).unwrap();
    let mut stub = server[..20].to_vec();
    stub.extend_from_slice(&[0, 0, 0, 2]);
    let mut writer = Writer::new(0);
    writer.sid(sid);
    stub.extend_from_slice(&writer.bytes);
    ask(pipe, 7, &stub).unwrap()[..20].to_vec()
}

#[test]
fn who_asks_for_groups_and_keys_is_told_of() {
    let host = samba();
    let sid = host.sid();
    let mut pipe = bound(host, "samr", Caller::Guest);
    let handle = domain(&mut pipe, &sid);
    ask(
        &mut pipe,
        13,
        &[handle.clone(), vec![0; 8], vec![0xff; 4]].concat(),
    )
    .unwrap();
    ask(
        &mut pipe,
        19,
        &[handle, vec![0, 0, 0, 2, 1, 2, 0, 0]].concat(),
    )
    .unwrap();
    let facts = pipe.take_events();
    let groups = |api, sid: String, rid: &str, group: &str| Fact::Groups {
        api,
        sid,
        rid: rid.to_owned(),
        group: group.to_owned(),
        granted: true,
    };
    assert_eq!(
        facts,
        [
            groups(
                "SamrEnumerateUsersInDomain",
                sid.to_string(),
                "1000,1001",
                "backup,root"
            ),
            groups("SamrOpenGroup", format!("{sid}-513"), "513", "None"),
        ]
    );
    assert_eq!(pipe.take_events(), []);
    let mut pipe = bound(windows(17_763), "winreg", Caller::User);
    let hive = ask(&mut pipe, 2, &[0, 0, 0, 0, 0, 0, 0, 2]).unwrap()[..20].to_vec();
    for (path, granted) in [
        ("SAM\\SAM", false),
        ("software\\microsoft\\windows nt\\currentversion", true),
    ] {
        let mut writer = Writer::new(0);
        let length = u16::try_from(path.len() * 2 + 2).unwrap();
        writer
            .raw(&hive)
            .u16(length)
            .u16(length)
            .pointer()
            .text(path)
            .align(4)
            .u32(0)
            .u32(0x0002_0019);
        let answer = ask(&mut pipe, 15, &writer.bytes).unwrap();
        assert_eq!(answer[20], if granted { 0 } else { 5 });
        let expected = Fact::Registry {
            api: "BaseRegOpenKey",
            hive: "HKEY_LOCAL_MACHINE",
            key: path.to_owned(),
            granted,
        };
        assert_eq!(pipe.take_events(), [expected]);
        if granted {
            let mut writer = Writer::new(0);
            writer
                .raw(&answer[..20])
                .u16(24)
                .u16(24)
                .pointer()
                .text("ProductName")
                .align(4);
            writer
                .pointer()
                .u32(0)
                .pointer()
                .u32(200)
                .u32(0)
                .u32(0)
                .pointer()
                .u32(200)
                .pointer()
                .u32(0);
            let said = ask(&mut pipe, 17, &writer.bytes).unwrap();
            let text = String::from_utf16_lossy(
                &said
                    .chunks(2)
                    .map(|c| u16::from_le_bytes([c[0], c[1]]))
                    .collect::<Vec<_>>(),
            );
            assert!(text.contains("Windows Server 2019 Standard"), "{text}");
        }
    }
}

#[test]
fn windows_says_less_to_those_without_rights() {
    let list = |level: u32| -> Vec<u8> {
        [0, level, level, 0x20000, 0, 0, u32::MAX, 0]
            .into_iter()
            .flat_map(u32::to_le_bytes)
            .collect()
    };
    let last = |answer: Vec<u8>| u32::from_le_bytes(*answer.last_chunk().unwrap());
    for (caller, first, second) in [
        (Caller::Anonymous, 5, 5),
        (Caller::Guest, 0, 5),
        (Caller::User, 0, 5),
    ] {
        let mut pipe = bound(windows(17_763), "srvsvc", caller);
        assert_eq!(last(ask(&mut pipe, 15, &list(1)).unwrap()), first);
        assert_eq!(last(ask(&mut pipe, 15, &list(2)).unwrap()), second);
    }
    let connect = [0, 0, 0, 0, 0, 0, 0, 2];
    for (build, caller, status) in [
        (17_763, Caller::User, 0xc000_0022),
        (9_600, Caller::User, 0),
        (9_600, Caller::Anonymous, 0xc000_0022),
    ] {
        let mut pipe = bound(windows(build), "samr", caller);
        assert_eq!(last(ask(&mut pipe, 57, &connect).unwrap()), status);
        assert_eq!(pipe.take_events().len(), usize::from(status != 0));
    }
    let mut pipe = bound(windows(9_600), "samr", Caller::User);
    let handle = domain(&mut pipe, &Host::builtin());
    ask(&mut pipe, 15, &[handle, vec![0; 4], vec![0xff; 4]].concat()).unwrap();
    let facts = pipe.take_events();
    assert!(
        matches!(&facts[..], [Fact::Groups { sid, group, .. }] if sid == "S-1-5-32" && group.contains("Remote Desktop Users")),
        "{facts:?}"
    );
    let mut pipe = bound(windows(17_763), "winreg", Caller::Guest);
    assert_eq!(last(ask(&mut pipe, 2, &connect).unwrap()), 5);
    let mut pipe = bound(windows(17_763), "svcctl", Caller::User);
    assert_eq!(
        last(ask(&mut pipe, 15, &[0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0]).unwrap()),
        5
    );
}

#[test]
fn pipes_have_the_products_names() {
    for (host, name, there) in [
        (samba(), "\\PIPE\\srvsvc", true),
        (samba(), "EVENTLOG", true),
        (samba(), "netlogon", false),
        (samba(), "nope", false),
        (samba(), "", false),
        (windows(17_763), "netlogon", true),
        (windows(17_763), "mdssvc", false),
    ] {
        let pipe = Pipe::open(name, Arc::new(host), Caller::Guest, Seed::new([1; 32]));
        assert_eq!(pipe.is_some(), there, "{name}");
    }
}

#[test]
fn any_bytes_are_bounded_and_never_panic() {
    let mut dice = super::super::dice::Dice::of(3);
    let lines: Vec<_> = RECORDED
        .lines()
        .filter(|line| !line.starts_with('#'))
        .collect();
    for name in ["srvsvc", "wkssvc", "samr", "lsarpc", "winreg", "svcctl"] {
        for host in [samba(), windows(9_600)] {
            let mut pipe = bound(host, name, Caller::User);
            for line in &lines {
                let fields: Vec<_> = line.split(' ').collect();
                let mut stub = unhex(fields[1]);
                for _ in 0..dice.below(4) {
                    let at = usize::try_from(dice.below(stub.len() as u64)).unwrap();
                    if let Some(byte) = stub.get_mut(at) {
                        *byte = u8::try_from(dice.below(256)).unwrap();
                    }
                }
                stub.truncate(usize::try_from(dice.below(stub.len() as u64 * 3)).unwrap());
                let _ = ask(&mut pipe, fields[0].parse().unwrap(), &stub);
                pipe.take_events();
            }
            assert!(pipe.state.handles.len() <= MAX_HANDLES);
        }
    }
}
