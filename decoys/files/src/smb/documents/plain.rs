//! Text, tables of text, and files that nobody can look into without a password.

use super::super::dice::Dice;
use super::super::words;
use super::story::{Cell, Story, password};
use super::{Company, Part, Wanted};

/// Bytes of a row in a long table.
const WIDTH: u64 = 112;

/// Rows of a table, all of the same length but the last.
#[derive(Clone, Debug)]
pub struct Rows {
    story: Story,
    /// Lines of a log instead of fields with commas.
    log: bool,
    length: u64,
}

impl Rows {
    pub fn len(&self) -> u64 {
        self.length
    }

    pub fn read(&self, offset: u64, count: usize, out: &mut Vec<u8>) {
        let goal = out.len().saturating_add(count);
        let last = (self.length / WIDTH).saturating_sub(1);
        let mut index = (offset / WIDTH).min(last);
        let mut skip = offset.saturating_sub(index.saturating_mul(WIDTH));
        while out.len() < goal {
            let rest = self.length.saturating_sub(index.saturating_mul(WIDTH));
            let row = self.row(index, if index == last { rest } else { WIDTH });
            let from = usize::try_from(skip).unwrap_or(usize::MAX);
            let rest = row.get(from..).unwrap_or_default();
            let wanted = goal.saturating_sub(out.len());
            out.extend_from_slice(rest.get(..wanted).unwrap_or(rest));
            if index >= last {
                return;
            }
            index = index.saturating_add(1);
            skip = 0;
        }
    }

    /// A row of exactly `width` bytes with its end.
    fn row(&self, index: u64, width: u64) -> Vec<u8> {
        let cells = self.story.row(index);
        let mut dice = Dice::at(index, 5);
        let mut line = if self.log {
            let day = index / 2_000;
            let second = (index % 2_000).saturating_mul(43);
            format!(
                "{:02}-{:02} {:02}:{:02}:{:02} {} ",
                day / 28 % 12 + 1,
                day % 28 + 1,
                second / 3_600,
                second / 60 % 60,
                second % 60,
                dice.pick(&["INFO ", "INFO ", "INFO ", "WARN ", "ERROR"]),
            )
        } else {
            String::new()
        };
        let between = if self.log { " " } else { "," };
        let cells: Vec<String> = cells.iter().map(quoted).collect();
        line.push_str(&cells.join(between));
        line.push_str(between);
        let mut line = line.into_bytes();
        let body = usize::try_from(width.saturating_sub(2)).unwrap_or(0);
        line.truncate(body);
        let missing = body.saturating_sub(line.len());
        line.extend_from_slice(dice.text("0123456789abcdef", missing).as_bytes());
        line.extend_from_slice(b"\r\n");
        line
    }
}

fn quoted(cell: &Cell) -> String {
    let text = cell.to_string();
    if text.contains(',') {
        format!("\"{text}\"")
    } else {
        text
    }
}

/// Comma-separated values (RFC 4180).
pub fn csv(wanted: &Wanted<'_>) -> Vec<Part> {
    let story = Story::new(wanted.name, wanted.number, wanted.company);
    let mut header = story.columns().join(",");
    header.push_str(",Reference\r\n");
    ended(header, story, false, wanted.size)
}

/// Lines of text; what goes beyond a short text is a log.
pub fn text(wanted: &Wanted<'_>) -> Vec<Part> {
    let text = whole(wanted.name, wanted.number, wanted.company);
    let story = Story::new(wanted.name, wanted.number, wanted.company);
    ended(text, story, true, wanted.size)
}

/// `front` and then rows until there are `size` bytes.
fn ended(front: String, story: Story, log: bool, size: u64) -> Vec<Part> {
    let mut front = front.into_bytes();
    let length = size.saturating_sub(front.len() as u64);
    if length < WIDTH {
        // Too little for a row: cut, or empty lines.
        front.resize(usize::try_from(size).unwrap_or(0), b'\n');
        return vec![Part::Bytes(front)];
    }
    let rows = Rows { story, log, length };
    vec![Part::Bytes(front), Part::Rows(rows)]
}

/// The size of a short text of this name.
pub fn natural(name: &str, number: u64, company: &Company) -> u64 {
    if name.to_lowercase().ends_with(".log") {
        return Dice::at(number, 6).between(20_000, 900_000);
    }
    whole(name, number, company).len() as u64
}

fn whole(name: &str, number: u64, company: &Company) -> String {
    let mut dice = Dice::at(number, 7);
    let lower = name.to_lowercase();
    let extension = lower
        .rsplit_once('.')
        .map_or("", |(_, extension)| extension);
    let host = format!("{}.{}.example", dice.pick(words::MACHINES), company.short);
    let (first, last) = company.person(&mut dice);
    let user = format!("{}.{}", first.to_lowercase(), last.to_lowercase());
    let lines = match extension {
        "log" => Vec::new(),
        "rdp" => vec![
            "screen mode id:i:2".to_owned(),
            "desktopwidth:i:1920".to_owned(),
            "desktopheight:i:1080".to_owned(),
            format!("full address:s:{host}"),
            format!("username:s:{user}"),
            "authentication level:i:2".to_owned(),
            "prompt for credentials:i:0".to_owned(),
            "redirectclipboard:i:1".to_owned(),
        ],
        "ovpn" => vec![
            "client".to_owned(),
            "dev tun".to_owned(),
            "proto udp".to_owned(),
            format!("remote vpn.{}.example 1194", company.short),
            "resolv-retry infinite".to_owned(),
            "nobind".to_owned(),
            "persist-key".to_owned(),
            "persist-tun".to_owned(),
            "auth-user-pass".to_owned(),
            "remote-cert-tls server".to_owned(),
            "cipher AES-256-GCM".to_owned(),
            "verb 3".to_owned(),
        ],
        "ps1" => vec![
            "# Maps the drives of a new machine".to_owned(),
            format!("$password = ConvertTo-SecureString '{}' -AsPlainText -Force", password(&mut dice)),
            format!("$login = New-Object PSCredential('svc_{}', $password)", dice.pick(words::MACHINES)),
            format!("New-PSDrive -Name S -PSProvider FileSystem -Root '\\\\{host}\\data' -Credential $login -Persist"),
        ],
        "bat" | "cmd" => vec![
            "@echo off".to_owned(),
            "net use S: /delete /yes".to_owned(),
            format!("net use S: \\\\{host}\\data /user:svc_{} {}", dice.pick(words::MACHINES), password(&mut dice)),
            format!("robocopy S:\\ D:\\backup /MIR /LOG:C:\\logs\\{}.log", dice.pick(words::MACHINES)),
        ],
        "sh" => vec![
            "#!/bin/sh".to_owned(),
            "set -e".to_owned(),
            format!("export PGPASSWORD='{}'", password(&mut dice)),
            format!("pg_dump -h {host} -U {user} erp | gzip > /backup/erp-$(date +%F).sql.gz"),
        ],
        "ini" | "conf" | "cfg" | "yml" | "yaml" => {
            let (equals, section) = if extension.starts_with('y') {
                (": ", "database:")
            } else {
                (" = ", "[database]")
            };
            vec![
                section.to_owned(),
                format!("  host{equals}{host}"),
                format!("  port{equals}{}", dice.pick(&["1433", "3306", "5432"])),
                format!("  user{equals}{user}"),
                format!("  password{equals}{}", password(&mut dice)),
            ]
        }
        "xml" | "config" | "html" => vec![
            "<?xml version=\"1.0\" encoding=\"utf-8\"?>".to_owned(),
            "<configuration>".to_owned(),
            "  <connectionStrings>".to_owned(),
            format!(
                "    <add name=\"Main\" connectionString=\"Server={host};Database=erp;User Id={user};Password={}\" />",
                password(&mut dice)
            ),
            "  </connectionStrings>".to_owned(),
            "</configuration>".to_owned(),
        ],
        "json" => vec![
            "{".to_owned(),
            format!("  \"host\": \"{host}\","),
            format!("  \"user\": \"{user}\","),
            format!("  \"password\": \"{}\"", password(&mut dice)),
            "}".to_owned(),
        ],
        "sql" => vec![
            "-- export of the users table".to_owned(),
            "CREATE TABLE users (id int PRIMARY KEY, name varchar(80), mail varchar(120), hash char(32));".to_owned(),
            format!(
                "INSERT INTO users VALUES (1, '{user}', '{user}@{}.example', '{}');",
                company.short,
                dice.text("0123456789abcdef", 32)
            ),
        ],
        _ => Story::new(name, number, company).lines(),
    };
    lines.iter().flat_map(|line| [line, "\r\n"]).collect()
}

/// An archive whose one member is encrypted with a password (AE-2, WinZip's AES: no checksum of
/// what's inside).
pub fn zip(wanted: &Wanted<'_>) -> Vec<Part> {
    let stem = wanted
        .name
        .rsplit_once('.')
        .map_or("data", |(stem, _)| stem);
    // Names longer than this can't be in a header's two bytes; ours come from a folder.
    let name: String = stem.chars().take(200).chain(".tar".chars()).collect();
    let frame = (30 + 11 + 46 + 11 + 22_u64).saturating_add((name.len() as u64).saturating_mul(2));
    let data = wanted.size.saturating_sub(frame);
    let extra = [0x01, 0x99, 7, 0, 2, 0, b'A', b'E', 3, 8, 0];
    let fields = |out: &mut Vec<u8>| {
        // Version 5.1, encrypted, method 99, time and date, no CRC, both sizes.
        out.extend_from_slice(&[51, 0, 1, 0, 99, 0]);
        out.extend_from_slice(&dos(wanted.modified));
        out.extend_from_slice(&[0; 4]);
        let packed = u32::try_from(data).unwrap_or(u32::MAX);
        out.extend_from_slice(&packed.to_le_bytes());
        let inside = packed.saturating_add(packed / 3);
        out.extend_from_slice(&inside.to_le_bytes());
        out.extend_from_slice(&u16::try_from(name.len()).unwrap_or(0).to_le_bytes());
        out.extend_from_slice(&[11, 0]);
    };
    let mut front = b"PK\x03\x04".to_vec();
    fields(&mut front);
    front.extend_from_slice(name.as_bytes());
    front.extend_from_slice(&extra);
    let directory = (front.len() as u64).saturating_add(data);
    let mut back = b"PK\x01\x02\x33\x00".to_vec();
    fields(&mut back);
    back.extend_from_slice(&[0; 14]);
    back.extend_from_slice(name.as_bytes());
    back.extend_from_slice(&extra);
    let length = u32::try_from(back.len()).unwrap_or(0);
    back.extend_from_slice(b"PK\x05\x06\0\0\0\0\x01\0\x01\0");
    back.extend_from_slice(&length.to_le_bytes());
    back.extend_from_slice(&u32::try_from(directory).unwrap_or(0).to_le_bytes());
    back.extend_from_slice(&[0, 0]);
    vec![
        Part::Bytes(front),
        Part::Noise {
            number: wanted.number,
            length: data,
        },
        Part::Bytes(back),
    ]
}

/// Time and date as MS-DOS had them.
fn dos(at: coalmine_core::Timestamp) -> [u8; 4] {
    let number = |format: &str| at.format(format).parse::<u16>().unwrap_or(0);
    let time = (number("%H") << 11) | (number("%M") << 5) | (number("%S") / 2);
    let year = number("%Y").saturating_sub(1980).min(127);
    let date = (year << 9) | (number("%m") << 5) | number("%d");
    let ([a, b], [c, d]) = (time.to_le_bytes(), date.to_le_bytes());
    [a, b, c, d]
}

/// A KeePass 2 database, version 3.1: its header in the clear, everything else encrypted.
pub fn keepass(wanted: &Wanted<'_>) -> Vec<Part> {
    let mut dice = Dice::at(wanted.number, 8);
    let mut random =
        |length: usize| -> Vec<u8> { (0..length).map(|_| dice.roll().to_le_bytes()[0]).collect() };
    let mut header = vec![0x03, 0xd9, 0xa2, 0x9a, 0x67, 0xfb, 0x4b, 0xb5, 1, 0, 3, 0];
    let fields: [(u8, Vec<u8>); 9] = [
        // AES-256 in CBC mode, gzip, seeds, rounds, vector, stream key, start bytes, Salsa20.
        (
            2,
            vec![
                0x31, 0xc1, 0xf2, 0xe6, 0xbf, 0x71, 0x43, 0x50, 0xbe, 0x58, 0x05, 0x21, 0x6a, 0xfc,
                0x5a, 0xff,
            ],
        ),
        (3, vec![1, 0, 0, 0]),
        (4, random(32)),
        (5, random(32)),
        (6, 60_000_u64.to_le_bytes().to_vec()),
        (7, random(16)),
        (8, random(32)),
        (9, random(32)),
        (10, vec![2, 0, 0, 0]),
    ];
    let field = |id: u8, data: &[u8], header: &mut Vec<u8>| {
        header.push(id);
        header.extend_from_slice(&u16::try_from(data.len()).unwrap_or(0).to_le_bytes());
        header.extend_from_slice(data);
    };
    for (id, data) in &fields {
        field(*id, data, &mut header);
    }
    // Ciphertext comes in blocks of 16 bytes; a comment takes up the rest.
    let end = (header.len() as u64).saturating_add(7);
    let odd = usize::try_from(wanted.size.saturating_sub(end) % 16).unwrap_or(0);
    let comment = if odd == 0 { 0 } else { odd.saturating_add(13) };
    if comment > 0 {
        field(1, &vec![b' '; comment], &mut header);
    }
    field(0, b"\r\n\r\n", &mut header);
    let length = wanted.size.saturating_sub(header.len() as u64);
    vec![
        Part::Bytes(header),
        Part::Noise {
            number: wanted.number,
            length,
        },
    ]
}

/// Appends `count` bytes that look random, from `offset` on.
pub fn noise(number: u64, offset: u64, count: usize, out: &mut Vec<u8>) {
    let goal = out.len().saturating_add(count);
    let mut word = offset / 8;
    let mut skip = usize::try_from(offset % 8).unwrap_or(0);
    while out.len() < goal {
        let bytes = Dice::at(number, word).roll().to_le_bytes();
        let rest = bytes.get(skip..).unwrap_or_default();
        let wanted = goal.saturating_sub(out.len());
        out.extend_from_slice(rest.get(..wanted).unwrap_or(rest));
        word = word.wrapping_add(1);
        skip = 0;
    }
}
