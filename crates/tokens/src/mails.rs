//! Mails for mailboxes: what Gmail's and Office 365's kinds share. One mail a mailbox, as a file that
//! any mail program can put there, from a template or in words of its own.

use coalmine_core::settings::Fault;
use coalmine_core::token::{Artefact, ArtefactFile, Ask, Mint, Takes};
use data_encoding::HEXLOWER;
use serde_json::{Map, Value};

use crate::files::archive::{OFFICE_TIME, Writer, attribute};
use crate::files::xml::escape;
use crate::files::{Dice, prose};
use crate::google::percent;

/// What both kinds ask for.
pub const ASKS: &[Ask] = &[
    Ask {
        name: MAILBOXES,
        doc: "The addresses to make a mail for, with commas or line breaks between them; at most 500.",
        required: true,
        takes: Takes::Text(40_000),
    },
    Ask {
        name: SUBJECT,
        doc: "The mails' subject; without it, each gets one that somebody who searches a mailbox opens.",
        required: false,
        takes: Takes::Text(200),
    },
    Ask {
        name: SENDER,
        doc: "The address that the mails come from; without it, one in the mailbox's own domain.",
        required: false,
        takes: Takes::Text(254),
    },
    Ask {
        name: HTML,
        doc: "The mails' HTML, in place of words of their own: {url} becomes the token's URL, {user} the \
              name of the mailbox's owner. A picture of one pixel is added.",
        required: false,
        takes: Takes::Text(65_536),
    },
    Ask {
        name: USER,
        doc: "The owner's name for {user}; without it, what stands before the @.",
        required: false,
        takes: Takes::Text(100),
    },
];

const MAILBOXES: &str = "mailboxes";
const SUBJECT: &str = "subject";
const SENDER: &str = "sender";
const HTML: &str = "html";
const USER: &str = "user";
/// Most mailboxes of one token.
const MAX_MAILBOXES: usize = 500;

/// Whose mails they look like.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Gmail's.
    Gmail,
    /// Exchange Online's.
    Office,
}

/// Subject, what is promised, and the words of the link.
const BAITS: &[(&str, &str, &str)] = &[
    (
        "VPN access for contractors",
        "The shared VPN profile and its passphrase are on the page below until the end of the quarter.",
        "Open the VPN profile",
    ),
    (
        "Payroll export",
        "The payroll export with bank details is ready. The link works inside and outside the office.",
        "View the export",
    ),
    (
        "Admin password rotation",
        "The new administrator passwords are in the vault note below. Please do not forward them.",
        "Show the passwords",
    ),
    (
        "Wire transfer, updated details",
        "The account details for the transfer have changed. The signed letter is on the page below.",
        "See the account details",
    ),
    (
        "AWS root account recovery codes",
        "As agreed I put the recovery codes of the root account where you can find them if I am away.",
        "Recovery codes",
    ),
    (
        "Board papers, confidential",
        "The papers for the next meeting are online. They include the figures of the acquisition.",
        "Read the papers",
    ),
    (
        "Backup encryption key",
        "In case the backup server asks for it, the key and the steps are written down here.",
        "Key and steps",
    ),
    (
        "Salary review, final list",
        "The final list with all names is below. HR announces it next week, so keep it to yourself.",
        "Open the list",
    ),
];

/// The mail, or a zip of mails where there are several.
///
/// # Errors
/// An address that cannot be one, or too many.
pub fn mint(mint: &Mint<'_>, kind: &str, style: Style) -> Result<Artefact, Vec<Fault>> {
    let boxes = mailboxes(mint.param(MAILBOXES).unwrap_or_default())
        .map_err(|problem| vec![Fault::new(MAILBOXES, problem)])?;
    let sender = mint.param(SENDER).filter(|text| !text.trim().is_empty());
    if let Some(sender) = sender
        && !is_address(sender)
    {
        return Err(vec![Fault::new(SENDER, "takes one mail address")]);
    }
    let subject = mint.param(SUBJECT).filter(|text| !text.trim().is_empty());
    if subject.is_some_and(|text| text.chars().any(char::is_control)) {
        return Err(vec![Fault::new(SUBJECT, "takes one line of text")]);
    }
    if mint
        .param(USER)
        .is_some_and(|text| text.chars().any(char::is_control))
    {
        return Err(vec![Fault::new(USER, "takes one line of text")]);
    }
    let template = mint.param(HTML).filter(|text| !text.trim().is_empty());
    let mut mails = boxes.iter().map(|to| {
        let mut dice = Dice::new(&mint.seed, &format!("mail to {to}"));
        let letter = Letter {
            style,
            to,
            subject,
            sender,
            template,
        };
        (file_name(to), letter.write(mint, &mut dice))
    });
    let mut fields = Map::from_iter([
        (MAILBOXES.to_owned(), Value::from(boxes.clone())),
        ("url".to_owned(), mint.url("png").into()),
        // Whoever puts it somewhere says so.
        ("state".to_owned(), "local".into()),
    ]);
    let Some((name, (first, sent))) = mails.next() else {
        return Err(vec![Fault::new(MAILBOXES, "takes mail addresses")]);
    };
    let file = if boxes.len() == 1 {
        fields.insert("sent".to_owned(), sent.into());
        ArtefactFile {
            name,
            mime: "message/rfc822",
            bytes: first.clone().into_bytes(),
        }
    } else {
        let mut zip = Writer::explorer(OFFICE_TIME);
        zip.add(&name, first.as_bytes(), attribute::ARCHIVE);
        for (name, (mail, _)) in mails {
            zip.add(&name, mail.as_bytes(), attribute::ARCHIVE);
        }
        ArtefactFile {
            name: "mails.zip".to_owned(),
            mime: "application/zip",
            bytes: zip.finish(),
        }
    };
    Ok(Artefact {
        fields,
        renders: [(kind.to_owned(), first)].into(),
        file: Some(file),
        ..Artefact::default()
    })
}

fn file_name(address: &str) -> String {
    let plain = |c: char| match c.is_ascii_alphanumeric() || "@.-_+".contains(c) {
        true => c,
        false => '_',
    };
    address.chars().map(plain).collect::<String>() + ".eml"
}

/// What one mail is written from.
struct Letter<'a> {
    style: Style,
    to: &'a str,
    subject: Option<&'a str>,
    sender: Option<&'a str>,
    template: Option<&'a str>,
}

impl Letter<'_> {
    /// The mail (RFC 5322) and when it seems to have been sent, in seconds since 1970.
    fn write(&self, mint: &Mint<'_>, dice: &mut Dice) -> (String, i64) {
        let (bait, promise, words) = dice.pick(BAITS);
        let subject = self.subject.unwrap_or(bait);
        let person = prose::person(dice);
        let from = match (self.sender, self.template) {
            // Whose words they are isn't ours to make up.
            (Some(sender), Some(_)) => sender.to_owned(),
            (Some(sender), None) => format!("\"{person}\" <{sender}>"),
            (None, _) => {
                let domain = self.to.rsplit_once('@').map_or("", |(_, domain)| domain);
                let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '.' };
                let local: String = person.to_lowercase().chars().map(plain).collect();
                format!("\"{person}\" <{local}@{domain}>")
            }
        };
        let sent = mint.now.secs() - i64::from(dice.number(3_600, 60 * 86_400));
        let date = coalmine_core::Timestamp::from_secs(sent).format("%a, %d %b %Y %H:%M:%S +0000");
        let place = |extension| {
            let url = mint.url(extension);
            format!("{url}?u={}", percent(self.to, ""))
        };
        let (link, picture) = (place("html"), place("png"));
        let (id, boundary) = self.marks(dice);
        let pixel = format!(
            "<img src=\"{}\" width=\"1\" height=\"1\" alt=\"\">",
            escape(&picture)
        );
        let content = match self.template {
            Some(template) => {
                let html = self.filled(mint, template, &link, &pixel);
                // Its lines may be of any length.
                let body = data_encoding::BASE64.encode(html.as_bytes());
                let lines: Vec<&str> = (0..body.len())
                    .step_by(76)
                    .filter_map(|at| body.get(at..body.len().min(at + 76)))
                    .collect();
                format!(
                    "Content-Type: text/html; charset=\"utf-8\"\r\n\
                     Content-Transfer-Encoding: base64\r\n\r\n{}\r\n",
                    lines.join("\r\n")
                )
            }
            None => {
                let greeting = dice.pick(&["Hi", "Hello", "Hi there", "Good morning"]);
                let bye = dice.pick(&["Best", "Regards", "Thanks", "Cheers"]);
                let html = format!(
                    "<div dir=\"ltr\"><p>{greeting},</p>\r\n<p>{promise}</p>\r\n\
                     <p><a href=\"{link}\">{words}</a></p>\r\n<p>{bye},<br>{person}</p>\r\n{pixel}</div>",
                    link = escape(&link),
                );
                let html = match self.style {
                    Style::Gmail => html,
                    Style::Office => format!("<html>\r\n<body>\r\n{html}\r\n</body>\r\n</html>"),
                };
                let text = format!(
                    "{greeting},\r\n\r\n{promise}\r\n\r\n{words}: {link}\r\n\r\n{bye},\r\n{person}"
                );
                let part = |kind: &str, body: &str| {
                    format!(
                        "--{boundary}\r\nContent-Type: {kind}; charset=\"utf-8\"\r\n\
                         Content-Transfer-Encoding: 8bit\r\n\r\n{body}\r\n\r\n"
                    )
                };
                format!(
                    "Content-Type: multipart/alternative;\r\n\tboundary=\"{boundary}\"\r\n\r\n{}{}--{boundary}--\r\n",
                    part("text/plain", &text),
                    part("text/html", &html),
                )
            }
        };
        let mail = format!(
            "Date: {date}\r\nFrom: {from}\r\nTo: {}\r\nSubject: {}\r\nMessage-ID: <{id}>\r\n\
             MIME-Version: 1.0\r\n{content}",
            self.to,
            encoded(subject),
        );
        (mail, sent)
    }

    /// The template with its places filled, and the picture at its end.
    fn filled(&self, mint: &Mint<'_>, template: &str, link: &str, pixel: &str) -> String {
        let local = self.to.split('@').next().unwrap_or_default();
        let user = mint.param(USER).filter(|name| !name.trim().is_empty());
        let html = template
            // The link first: it holds no brace, a name might.
            .replace("{url}", &escape(link))
            .replace("{user}", &escape(user.unwrap_or(local)));
        match html.to_ascii_lowercase().rfind("</body>") {
            Some(end) => format!("{}{pixel}{}", &html[..end], &html[end..]),
            None => html + pixel,
        }
    }

    /// Message id and boundary as the service makes them.
    fn marks(&self, dice: &mut Dice) -> (String, String) {
        match self.style {
            Style::Gmail => (
                format!(
                    "CA{}@mail.gmail.com",
                    data_encoding::BASE64URL_NOPAD.encode(&dice.bytes::<33>())
                ),
                format!("000000000000{}", HEXLOWER.encode(&dice.bytes::<8>())),
            ),
            Style::Office => {
                let region = format!("{:02}", dice.number(1, 10));
                let host = format!(
                    "{}{}PR{region}{:02}MB{:04}",
                    dice.pick(&["AM", "DB", "VI", "PA", "AS"]),
                    dice.number(3, 9),
                    dice.number(1, 90),
                    dice.number(100, 9999)
                );
                let random = data_encoding::HEXUPPER.encode(&dice.bytes::<16>());
                let id = format!("{host}{random}@{host}.eurprd{region}.prod.outlook.com");
                let random = data_encoding::HEXUPPER.encode(&dice.bytes::<16>());
                (id, format!("_000_{random}{host}_"))
            }
        }
    }
}

/// A header's text; what isn't ASCII as encoded words (RFC 2047), each short enough.
fn encoded(text: &str) -> String {
    if text.is_ascii() {
        return text.to_owned();
    }
    let letters: Vec<char> = text.chars().collect();
    let words: Vec<String> = letters
        .chunks(10)
        .map(|chunk| {
            let chunk: String = chunk.iter().collect();
            format!(
                "=?utf-8?B?{}?=",
                data_encoding::BASE64.encode(chunk.as_bytes())
            )
        })
        .collect();
    words.join("\r\n ")
}

/// The addresses of a list, each once.
fn mailboxes(text: &str) -> Result<Vec<String>, String> {
    let mut boxes: Vec<String> = Vec::new();
    let given = text.split([',', ';', '\n']).map(str::trim);
    for address in given.filter(|address| !address.is_empty()) {
        if !is_address(address) {
            return Err(format!("{address:?} is no mail address"));
        }
        let address = address.to_ascii_lowercase();
        if !boxes.contains(&address) {
            boxes.push(address);
        }
    }
    match boxes.len() {
        0 => Err("takes mail addresses with commas between them".to_owned()),
        many if many > MAX_MAILBOXES => Err(format!("takes at most {MAX_MAILBOXES} addresses")),
        _ => Ok(boxes),
    }
}

/// Plain addresses: no comments, no quoted local parts.
fn is_address(text: &str) -> bool {
    let fine = |text: &str, more: &str| {
        !text.is_empty()
            && text
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || more.contains(c))
    };
    text.len() <= 254
        && text.split_once('@').is_some_and(|(local, domain)| {
            fine(local, "._%+-='&/#!$*?^`{|}~") && fine(domain, ".-")
        })
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;
    use crate::tests::minted;
    use crate::{gmail, office365mail};

    const BOXES: &str = "Alice@Example.com, bob@example.org;\nalice@example.com";

    #[test]
    fn every_mailbox_gets_a_mail_of_its_own_with_its_own_link() {
        for kind in [&gmail::KIND, &office365mail::KIND] {
            let made = minted(kind, &[(MAILBOXES, BOXES), (SUBJECT, "Übergabe")]).unwrap();
            assert_eq!(
                made.fields[MAILBOXES],
                serde_json::json!(["alice@example.com", "bob@example.org"])
            );
            let bytes = made.file.unwrap().bytes;
            let mut zip = zip::ZipArchive::new(std::io::Cursor::new(bytes)).unwrap();
            assert_eq!(zip.len(), 2);
            let mut mail = String::new();
            zip.by_name("bob@example.org.eml")
                .unwrap()
                .read_to_string(&mut mail)
                .unwrap();
            let (head, body) = mail.split_once("\r\n\r\n").unwrap();
            assert!(head.contains("\r\nTo: bob@example.org\r\n"), "{head}");
            assert!(head.contains("\r\nSubject: =?utf-8?B?"), "{head}");
            assert!(head.contains("@example.org>\r\n"), "{head}");
            assert_eq!(body.matches("?u=bob%40example.org").count(), 3, "{body}");
            assert!(mail.lines().all(|line| line.len() < 998));
            assert!(!mail.replace("\r\n", "").contains(['\r', '\n']));
            assert!(made.renders[kind.id].contains("To: alice@example.com"));
        }
    }

    #[test]
    fn what_is_no_address_or_line_is_refused() {
        let wrong =
            |params: &[(&str, &str)]| minted(&gmail::KIND, params).unwrap_err()[0].key.clone();
        for boxes in ["", " , ", "alice", "a@b@c", "a@b>\r\nX: y", "\"a\"@b"] {
            assert_eq!(wrong(&[(MAILBOXES, boxes)]), MAILBOXES, "{boxes}");
        }
        let many: String = (0..501).map(|n| format!("u{n}@example.com,")).collect();
        assert_eq!(wrong(&[(MAILBOXES, &many)]), MAILBOXES);
        assert_eq!(wrong(&[(MAILBOXES, BOXES), (SUBJECT, "a\r\nb")]), SUBJECT);
        assert_eq!(wrong(&[(MAILBOXES, BOXES), (SENDER, "nobody")]), SENDER);
        assert_eq!(wrong(&[(MAILBOXES, BOXES), (USER, "a\nb")]), USER);
    }

    #[test]
    fn a_template_is_filled_and_gets_a_picture_at_its_end() {
        let decoded = |template: &str, user: &str| {
            let made = minted(
                &gmail::KIND,
                &[
                    (MAILBOXES, "bob@example.org"),
                    (SENDER, "security@example.org"),
                    (HTML, template),
                    (USER, user),
                ],
            )
            .unwrap();
            let file = made.file.unwrap();
            assert_eq!(
                (&*file.name, file.mime),
                ("bob@example.org.eml", "message/rfc822")
            );
            let mail = String::from_utf8(file.bytes).unwrap();
            assert_eq!(mail, made.renders["gmail"]);
            assert_eq!(made.fields["state"], "local");
            let (head, body) = mail.split_once("\r\n\r\n").unwrap();
            assert!(
                head.contains("\r\nFrom: security@example.org\r\n"),
                "{head}"
            );
            assert!(
                head.contains("\r\nContent-Transfer-Encoding: base64"),
                "{head}"
            );
            let sent = coalmine_core::Timestamp::from_secs(made.fields["sent"].as_i64().unwrap());
            let date = sent.format("Date: %a, %d %b %Y %H:%M:%S +0000\r\n");
            assert!(head.starts_with(&date), "{head}");
            assert!(body.lines().all(|line| line.len() <= 76));
            let body = data_encoding::BASE64.decode(body.replace("\r\n", "").as_bytes());
            String::from_utf8(body.unwrap()).unwrap()
        };
        let html = decoded(
            "<body>ünï {user}: <a href='{url}'>x</a></BODY>",
            "Bob <{url}>",
        );
        let (before, after) = html.split_once("Bob &lt;{url}&gt;").unwrap();
        assert!(before.starts_with("<body>ünï "), "{html}");
        assert!(after.starts_with(": <a href='http"), "{html}");
        assert!(html.ends_with(" alt=\"\"></BODY>"), "{html}");
        assert_eq!(html.matches("?u=bob%40example.org").count(), 2, "{html}");
        // Without a place for the link the picture alone is told.
        let html = decoded("Hello {user}", "");
        assert!(html.starts_with("Hello bob<img src=\"http"), "{html}");
    }
}
