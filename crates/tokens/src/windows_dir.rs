//! Windows Folder: a folder whose icon lies at a host that does not need to exist.

use coalmine_core::event::Field;
use coalmine_core::settings::Fault;
use coalmine_core::text;
use coalmine_core::token::{
    Answer, Artefact, Group, Hit, Mint, Reach, Token, TokenChannel, TokenKind, Trip,
};
use serde_json::{Map, Value, json};

use crate::files::archive::{DosTime, Writer, attribute};
use crate::files::prose::Paper;
use crate::files::{self, Dice, labels};

/// The kind.
pub static KIND: TokenKind = TokenKind {
    id: "windows-dir",
    title: "Windows Folder",
    description: "Windows Directory Browsing",
    doc: "A folder, zipped, whose hidden desktop.ini says that its icon lies on another machine. \
          Explorer looks up that machine's name when somebody looks at the folder, and puts user, \
          computer and domain into it.\n\
          Unzip it with Explorer on a file share or a desktop, so that it keeps its attributes.\n\
          The incident's source is the resolver that asked; the event names user, computer and \
          domain.\n\
          Windows 11 and Windows 10 with current updates or a policy against remote icons do not \
          look it up: try it on a machine of yours first.",
    group: Group::Files,
    trial: "Unpack the folder on Windows and open it, or look up what that would: `dig alice.pc1.corp.ini.{hostname}`.",
    logtype: 16006,
    channels: &[TokenChannel::Dns],
    reach: Reach::Direct,
    asks: &[],
    event: &[
        Field::text(USERNAME, true, "The user that looked.", || json!("jdoe")),
        Field::text(
            DOMAIN,
            true,
            "The user's domain, or the computer again.",
            || json!("CORP"),
        ),
        Field::text(COMPUTER, true, "The computer.", || json!("WS-042")),
    ],
    mint,
    trip,
};

const USERNAME: &str = "windows_desktopini_access_username";
const DOMAIN: &str = "windows_desktopini_access_domain";
const COMPUTER: &str = "windows_desktopini_computer_name";

fn mint(mint: &Mint<'_>) -> Result<Artefact, Vec<Fault>> {
    let mut dice = Dice::new(&mint.seed, "folder");
    let paper = Paper::new(&mut dice, mint.now);
    let folder = match dice.number(0, 3) {
        0 => dice.pick(FOLDERS).to_owned(),
        _ => paper.title.clone(),
    };
    let (library, number) = (dice.pick(LIBRARIES), dice.number(0, 30));
    let icon = format!(
        "\\\\%USERNAME%.%COMPUTERNAME%.%USERDOMAIN%.INI.{}\\{library},{number}",
        mint.hostname()
    );
    let more = if dice.chance(40) {
        "ConfirmFileOp=0\r\n"
    } else {
        ""
    };
    let ini = format!("[.ShellClassInfo]\r\n{more}IconResource={icon}\r\n");
    let ini: Vec<u8> = std::iter::once(0xfeff)
        .chain(ini.encode_utf16())
        .flat_map(u16::to_le_bytes)
        .collect();
    let mut zip = Writer::explorer(DosTime::of(paper.modified));
    zip.add(
        &format!("{folder}/"),
        b"",
        attribute::DIRECTORY | attribute::SYSTEM,
    );
    zip.add(
        &format!("{folder}/desktop.ini"),
        &ini,
        attribute::HIDDEN | attribute::SYSTEM | attribute::ARCHIVE,
    );
    let mut made = files::artefact(
        "zip",
        &format!("{folder}.zip"),
        "application/zip",
        zip.finish(),
    );
    made.fields = Map::new();
    Ok(made)
}

/// `user.computer.domain.INI`. A user's name may hold dots, the other two can't. Resolvers that ask
/// for a name from its end (RFC 9156) send shorter ones first, which are no touch of their own.
fn trip(_: &Token, hit: &Hit<'_>) -> Trip {
    let Hit::Dns(hit) = hit else {
        return Trip::silent(Answer::Plain);
    };
    let Some(([user @ .., computer, domain], _)) = labels::before(hit.labels, "INI") else {
        return Trip::silent(Answer::Plain);
    };
    if user.is_empty() {
        return Trip::silent(Answer::Plain);
    }
    let fields = [
        (USERNAME, user.join(".")),
        (DOMAIN, domain.clone()),
        (COMPUTER, computer.clone()),
    ];
    let fields = fields.map(|(name, value)| (name.to_owned(), Value::String(text::cut(&value))));
    Trip::alert(Map::from_iter(fields), Answer::Plain)
}

const FOLDERS: &[&str] = &[
    "Accounts",
    "Admin",
    "Archive",
    "Backup",
    "Board",
    "Clients",
    "Confidential",
    "Contracts",
    "Finance",
    "HR",
    "Invoices",
    "IT",
    "Legal",
    "Management",
    "My Documents",
    "Old",
    "Passwords",
    "Payroll",
    "Personal",
    "Private",
    "Projects",
    "Reports",
    "Scans",
    "Tax",
    "Transfer",
];
const LIBRARIES: &[&str] = &[
    "resource.dll",
    "shell32.dll",
    "imageres.dll",
    "icons.dll",
    "folder.ico",
    "res.dll",
    "app.ico",
    "company.ico",
    "theme.dll",
    "custom.icl",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{minted, touched};
    use std::io::Read;

    #[test]
    fn the_archive_is_of_dos_and_hides_its_desktop_ini() {
        let file = minted(&KIND, &[]).unwrap().file.unwrap();
        let bytes = file.bytes.clone();
        let mut zip = zip::ZipArchive::new(std::io::Cursor::new(file.bytes)).unwrap();
        assert_eq!(zip.len(), 2);
        let mut ini = Vec::new();
        zip.by_index(1).unwrap().read_to_end(&mut ini).unwrap();
        let wide: Vec<u16> = ini
            .chunks(2)
            .map(|b| u16::from_le_bytes([b[0], b[1]]))
            .collect();
        let text = String::from_utf16(&wide).unwrap();
        assert!(text.starts_with("\u{feff}[.ShellClassInfo]\r\n"), "{text}");
        assert!(
            text.contains("=\\\\%USERNAME%.%COMPUTERNAME%.%USERDOMAIN%.INI."),
            "{text}"
        );
        // Made on DOS, and the attributes, of both records of the list.
        let records: Vec<_> = (0..bytes.len())
            .filter(|at| bytes[*at..].starts_with(b"PK\x01\x02"))
            .map(|at| (bytes[at + 5], bytes[at + 38]))
            .collect();
        assert_eq!(records, [(0, 0x14), (0, 0x26)]);
    }

    fn told(labels: &[&str]) -> Option<[String; 3]> {
        let labels: Vec<String> = labels.iter().map(|l| (*l).to_owned()).collect();
        let trip = touched(&KIND, &labels);
        let field = |name: &str| trip.fields[name].as_str().unwrap().to_owned();
        trip.alert.then(|| [USERNAME, COMPUTER, DOMAIN].map(field))
    }

    #[test]
    fn the_labels_are_user_computer_and_domain() {
        let wanted = |all: [&str; 3]| Some(all.map(str::to_owned));
        assert_eq!(
            told(&["jdoe", "WS1", "CORP", "INI"]),
            wanted(["jdoe", "WS1", "CORP"])
        );
        assert_eq!(
            told(&["j", "doe", "WS1", "CORP", "ini"]),
            wanted(["j.doe", "WS1", "CORP"])
        );
        assert_eq!(told(&["WS1", "CORP", "INI"]), None);
        assert_eq!(told(&["jdoe", "WS1", "CORP"]), None);
        assert_eq!(told(&[]), None);
    }
}
