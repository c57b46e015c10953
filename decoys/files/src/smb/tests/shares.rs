//! What is in the share, and how its files are opened, read and listed.

use super::super::message::{HEADER, Writer, command as c, put};
use super::*;

/// Name, rights, disposition, options, and what Samba answered.
const OPENS: &[(&str, u32, u32, u32, u32)] = &[
    ("readme.txt", 0x120089, 1, 0, 0),
    ("README.TXT", 0x120089, 1, 0x40, 0),
    ("Finance", 0x100081, 1, 1, 0),
    ("Finance", 0x100081, 1, 0x40, 0xc00000ba),
    ("readme.txt", 0x120089, 1, 1, 0xc0000103),
    ("nosuch.txt", 0x120089, 1, 0, 0xc0000034),
    ("no\\such.txt", 0x120089, 1, 0, 0xc000003a),
    ("readme.txt\\x", 0x120089, 1, 0, 0xc000003a),
    ("nosuch.txt", 0x120089, 2, 0, 0xc0000034),
    ("nosuch.txt", 0x120089, 3, 0, 0xc0000034),
    ("nosuch.txt", 0x40000000, 2, 0, 0xc0000022),
    ("readme.txt", 0x40000000, 1, 0, 0xc0000022),
    ("readme.txt", 0x40000000, 5, 0, 0xc0000022),
    ("readme.txt", 0x120089, 5, 0, 0xc0000022),
    ("readme.txt", 0x120089, 2, 0, 0xc0000035),
    ("readme.txt", 0x2000000, 1, 0, 0),
    ("readme.txt", 0x10000000, 1, 0, 0xc0000022),
    ("readme.txt", 0x10000, 1, 0, 0xc0000022),
    ("readme.txt", 0x10000, 1, 0x1000, 0xc0000022),
    ("newdir", 0x100081, 2, 1, 0xc0000022),
    ("Finance", 0x10000, 1, 1, 0xc0000022),
    ("\\readme.txt", 0x120089, 1, 0, 0xc000000d),
    ("readme.txt\\", 0x120089, 1, 0, 0),
    ("a*b", 0x120089, 1, 0, 0xc0000033),
    ("Finance/2023", 0x120089, 1, 0, 0),
    ("..", 0x120089, 1, 0, 0xc000003b),
    ("Finance\\..\\readme.txt", 0x120089, 1, 0, 0),
    ("readme.txt:stream", 0x120089, 1, 0, 0xc0000033),
    ("readme.txt", 0, 1, 0, 0),
    ("readme.txt", 0x120089, 9, 0, 0xc000000d),
    ("readme.txt", 0x80, 1, 0, 0),
    ("readme.txt", 0x100, 1, 0, 0xc0000022),
    ("readme.txt", 0x20089, 1, 0, 0),
    ("readme.txt", 0x1000000, 1, 0, 0xc0000061),
    ("readme.txt", 0x120089, 1, 0x2000, 0xc00000bb),
    ("readme.txt", 0x120089, 1, 0x100000, 0xc000000d),
];

#[test]
fn opens_come_to_what_they_come_to_at_samba() {
    let mut client = Client::guest(&samba(), "Documents");
    for (name, access, disposition, options, wanted) in OPENS {
        let answer = client.open(name, *access, *disposition, *options);
        let case = format!("{name} {access:x} {disposition} {options:x}");
        assert_eq!(answer.status(), *wanted, "{case}");
        if *wanted == 0 {
            assert_eq!(answer.body().len(), 88, "{case}");
            assert_eq!(client.call(c::CLOSE, &close(client.file)).status(), 0);
        } else {
            assert_eq!(answer.body(), [9, 0, 0, 0, 0, 0, 0, 0, 0], "{case}");
        }
    }
    let long = "x".repeat(256);
    assert_eq!(client.open(&long, 0x120089, 1, 0).status(), 0xc000_0033);
    // Opening is no event yet.
    assert!(client.seen().iter().all(|(number, _)| *number != 5000));
}

#[test]
fn the_first_read_is_an_event_and_bounds_are_sambas() {
    let mut client = Client::guest(&samba(), "Documents");
    client.seen();
    client.open("FINANCE\\2023\\a.docx", 0x120089, 1, 0);
    let whole = client.read(100, 50);
    assert_eq!((whole.status(), whole.body().len()), (0, 16 + 50));
    assert_eq!(whole.body()[..8], [17, 0, 80, 0, 50, 0, 0, 0]);
    let (number, event) = client.seen().remove(0);
    assert_eq!(number, 5000);
    for (name, value) in [
        ("FILENAME", "Finance/2023/a.docx"),
        ("AUDITACTION", "pread"),
        ("OFFSET", "100"),
        ("SIZE", "50"),
        ("SHARENAME", "Documents"),
        ("LOCALNAME", "FILES-02"),
        ("MODE", "workgroup"),
        ("DOMAIN", "OFFICE"),
        ("USER", "nosuch"),
        ("SMBVER", "SMB3_02"),
        ("STATUS", "ok"),
    ] {
        assert_eq!(event[name], value, "{name}");
    }
    for (offset, length, status) in [
        (69_999, 100, 0),
        (70_000, 100, 0xc000_0011),
        (0, 0, 0),
        (u64::MAX / 2, 10, 0xc000_000d),
        (1 << 63, 10, 0xc000_000d),
        (0, 9_000_000, 0xc000_000d),
        (0, 70_000, 0xc000_000d),
    ] {
        assert_eq!(client.read(offset, length).status(), status, "{offset}");
    }
    let more = read(client.file, 69_990, 100, 50);
    assert_eq!(client.call(c::READ, &more).status(), 0xc000_0011);
    assert_eq!(client.seen(), []);
    let other = read([1; 16], 0, 10, 0);
    assert_eq!(client.call(c::READ, &other).status(), 0xc000_0128);
    client.open("Finance", 0x100081, 1, 1);
    assert_eq!(client.read(0, 10).status(), 0xc000_0010);
}

#[test]
fn nothing_can_be_changed() {
    let mut client = Client::guest(&samba(), "Documents");
    client.open("readme.txt", 0x120089, 1, 0);
    let file = client.file;
    let mut write = Writer::default();
    write
        .u16(49)
        .u16(112)
        .u32(3)
        .u64(0)
        .bytes(&file)
        .zeros(16)
        .bytes(b"abc");
    assert_eq!(client.call(c::WRITE, &write.0).status(), 0xc000_0022);
    let mut set = Writer::default();
    set.u16(33)
        .u8(1)
        .u8(13)
        .u32(1)
        .u16(96)
        .u16(0)
        .u32(0)
        .bytes(&file)
        .u8(1);
    assert_eq!(client.call(c::SET_INFO, &set.0).status(), 0xc000_0022);
    let mut flush = Writer::default();
    flush.u16(24).u16(0).u32(0).bytes(&file);
    assert_eq!(client.call(c::FLUSH, &flush.0).status(), 0xc000_0022);
    let lock = |flags: u32| {
        let mut lock = Writer::default();
        lock.u16(48)
            .u16(1)
            .u32(0)
            .bytes(&file)
            .u64(0)
            .u64(10)
            .u32(flags)
            .u32(0);
        lock.0
    };
    for (flags, status) in [(0x11, 0), (4, 0), (4, 0xc000_007e)] {
        assert_eq!(client.call(c::LOCK, &lock(flags)).status(), status);
    }
}

#[test]
fn facts_are_told_in_the_classes_that_samba_knows() {
    let mut client = Client::guest(&samba(), "Documents");
    client.open("readme.txt", 0x120089, 1, 0);
    for class in 0..=64 {
        let wanted = match class {
            4..=9 | 13 | 14 | 16..=22 | 28 | 34 | 35 => 0,
            15 => 0xc000_0052,
            48 => 0xc000_00bb,
            _ => 0xc000_0003,
        };
        assert_eq!(
            client.info(1, class, 4096, 0).status(),
            wanted,
            "file {class}"
        );
    }
    for class in 0..=13 {
        let wanted = match class {
            1..=5 | 7 | 8 | 11 => 0,
            6 => 0xc000_0022,
            _ => 0xc000_0003,
        };
        assert_eq!(
            client.info(2, class, 4096, 0).status(),
            wanted,
            "disk {class}"
        );
    }
    for (kind, class, room, more, status) in [
        (1, 18, 20, 0, 0xc000_0004),
        (1, 4, 10, 0, 0xc000_0004),
        (1, 18, 110, 0, 0x8000_0005),
        (2, 1, 20, 0, 0xc000_0004),
        (3, 0, 4096, 8, 0xc000_0022),
        (3, 0, 10, 7, 0xc000_0023),
        (4, 0, 4096, 0, 0xc000_0008),
        (9, 0, 4096, 0, 0xc000_000d),
    ] {
        assert_eq!(
            client.info(kind, class, room, more).status(),
            status,
            "{kind} {class}"
        );
    }
    let rights = client.info(3, 0, 4096, 7);
    assert_eq!(
        hex::encode(&rights.body()[8..]),
        "0100049014000000240000000000000034000000010200000000001601000000000000000102000000000016020000000000000002004c0003000000000018009f0112000102000000000016010000000000000000001800890012000102000000000016020000000000000000001400890012000101000000000001\
         00000000"
    );
    let attributes = client.info(2, 5, 4096, 0);
    assert_eq!(
        hex::encode(&attributes.body()[8..]),
        "6f000100ff000000080000004e00540046005300"
    );
}

#[test]
fn folders_are_listed_in_every_class() {
    let mut client = Client::guest(&samba(), "Documents");
    client.open("", 0x100081, 1, 1);
    for (pattern, class, flags, room, status, entries) in [
        ("*", 1, 1, 8192, 0, 4),
        ("*", 2, 1, 8192, 0, 4),
        ("*", 3, 1, 8192, 0, 4),
        ("*", 12, 1, 8192, 0, 4),
        ("*", 38, 1, 8192, 0, 4),
        ("*", 37, 1, 8192, 0, 4),
        ("*", 60, 1, 8192, 0xc000_0003, 0),
        ("*", 37, 0, 8192, 0x8000_0006, 0),
        ("*", 37, 3, 8192, 0, 1),
        ("*", 37, 2, 8192, 0, 1),
        ("*", 37, 1, 300, 0, 2),
        ("*", 37, 0, 300, 0, 2),
        ("*", 37, 0, 300, 0x8000_0006, 0),
        ("*", 37, 1, 100, 0xc000_0004, 0),
        ("re*", 37, 0x10, 8192, 0, 1),
        ("re*", 37, 0, 8192, 0x8000_0006, 0),
        ("zz*", 37, 0x10, 8192, 0xc000_000f, 0),
        ("README.TXT", 37, 0x10, 8192, 0, 1),
        ("", 37, 0x10, 8192, 0xc000_000d, 0),
        ("<.txt", 37, 0x10, 8192, 0, 1),
    ] {
        let answer = client.list(pattern, class, flags, room);
        let case = format!("{pattern} {class} {flags}");
        assert_eq!(answer.status(), status, "{case}");
        let mut found = 0;
        if status == 0 {
            let mut at = HEADER + 8;
            loop {
                found += 1;
                match answer.u32(at) as usize {
                    0 => break,
                    next => at += next,
                }
            }
        }
        assert_eq!(found, entries, "{case}");
    }
    client.open("readme.txt", 0x120089, 1, 0);
    assert_eq!(client.list("*", 37, 0, 8192).status(), 0xc000_00bb);
}

#[test]
fn compounds_hand_on_file_and_failure() {
    let mut client = Client::guest(&samba(), "Documents");
    let info = {
        let mut body = Writer::default();
        body.u16(41)
            .u8(1)
            .u8(18)
            .u32(4096)
            .u16(0)
            .u16(0)
            .zeros(12)
            .bytes(&[0xff; 16])
            .u8(0);
        body.0
    };
    for (name, statuses) in [
        ("readme.txt", [0, 0, 0]),
        ("nope.txt", [0xc000_0034, 0xc000_0034, 0xc000_0034]),
    ] {
        let parts = [
            (c::CREATE, create(name, 0x120089, 1, 0), 0),
            (c::QUERY_INFO, info.clone(), 4),
            (c::CLOSE, close([0xff; 16]), 4),
        ];
        let mut message = Vec::new();
        for (number, (command, body, flags)) in parts.iter().enumerate() {
            let mut one = client.header(*command, *flags);
            one.extend_from_slice(body);
            client.message += 1;
            if number < 2 {
                one.resize(one.len().next_multiple_of(8), 0);
                let next = (one.len() as u32).to_le_bytes();
                put(&mut one, 20, &next);
            }
            message.extend(one);
        }
        let answer = client.say(&message).remove(0);
        let mut at = 0;
        for (number, status) in statuses.iter().enumerate() {
            let one = Answer(answer.0[at..].to_vec());
            let flags = if number == 0 { 1 } else { 5 };
            let credits = if number == 2 { 93 } else { 0 };
            assert_eq!(
                (one.status(), one.flags(), one.credits()),
                (*status, flags, credits),
                "{name} {number}"
            );
            at += one.u32(20) as usize;
            assert!(at.is_multiple_of(8));
        }
    }
}

#[test]
fn credits_are_counted() {
    let mut client = Client::guest(&samba(), "Documents");
    let mut all = 0;
    for _ in 0..300 {
        all += u32::from(client.call(c::ECHO, &[4, 0, 0, 0]).credits()) - 1;
    }
    // 8192 at most, with those of the login.
    assert!((8_000..8_192).contains(&all), "{all}");
    // A number may be used once, and none beyond the window.
    for wrong in [client.message - 1, client.message + 9_000] {
        let mut other = Client::guest(&samba(), "Documents");
        other.message = wrong;
        let mut echo = other.header(c::ECHO, 0);
        echo.extend([4, 0, 0, 0]);
        assert!(other.say(&echo).is_empty());
    }
}

#[test]
fn news_of_a_folder_wait_until_cancelled_or_closed() {
    let mut client = Client::guest(&samba(), "Documents");
    let notify = |file: [u8; 16]| {
        let mut body = Writer::default();
        body.u16(32).u16(0).u32(1000).bytes(&file).u32(0x17).u32(0);
        body.0
    };
    client.open("readme.txt", 0x120089, 1, 0);
    assert_eq!(
        client.call(c::CHANGE_NOTIFY, &notify(client.file)).status(),
        0xc000_000d
    );
    client.open("", 0x100081, 1, 1);
    let waits = client.call(c::CHANGE_NOTIFY, &notify(client.file));
    assert_eq!((waits.status(), waits.flags()), (0x103, 3));
    assert_eq!(waits.body(), [9, 0, 0, 0, 0, 0, 0, 0, 0x21]);
    client.message -= 1;
    let mut cancel = client.header(c::CANCEL, 0);
    cancel.extend([4, 0, 0, 0]);
    client.message += 1;
    let ended = client.say(&cancel).remove(0);
    assert_eq!(
        (ended.status(), ended.flags(), ended.credits()),
        (0xc000_0120, 3, 0)
    );
    assert_eq!(client.say(&cancel).len(), 0);
    client.call(c::CHANGE_NOTIFY, &notify(client.file));
    let mut message = client.header(c::CLOSE, 0);
    message.extend(close(client.file));
    let said = client.say(&message);
    let statuses: Vec<_> = said.iter().map(Answer::status).collect();
    assert_eq!(statuses, [0, 0x10b]);
}
