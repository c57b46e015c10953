//! TFTP (RFC 1350) as tftpd-hpa of Debian 12 serves its empty folder: every file is missing.
//!
//! Recorded from the package with its own configuration (`--secure`, no uploads of new files).
//! One error at most to each request; no transfer ever starts, so nothing is ever repeated. Or a
//! Cisco router that serves no file of that name, after the answer by which nmap knows one.

use coalmine_core::decoy::{Datagrams, Limits, Poke, Step, Transport};
use coalmine_core::settings::any;
use coalmine_core::text::printable;
use coalmine_core::{Context, DecoyKind, Event, Out, Service};

/// Longest name of a file or folder on Linux, in bytes.
const MAX_NAME: usize = 255;
/// Longest path on Linux with its zero, in bytes.
const MAX_PATH: usize = 4096;

/// TFTP server.
pub static KIND: DecoyKind = DecoyKind {
    id: "tftp",
    title: "TFTP server",
    doc: "Pretends to be tftpd-hpa on Debian with an empty folder, or a Cisco router.\nCaptures the names of files that are asked for or offered.",
    transports: &[Transport::Udp],
    port: 69,
    instances: false,
    tls: None,
    events: &[TftpRequest::KIND],
    settings: TftpSettings::declared,
    build: |given, _| {
        let product = TftpSettings::parse(given)?.product;
        Ok(Service::datagrams(Tftp { product }))
    },
    limits: Limits::LOGIN.input(65_536),
    poke: Poke::Script(&[
        Step::Send(b"\0\x01startup-config\0octet\0"),
        Step::Expect(b"\0\x05\0\x01File not found\0"),
    ]),
};

coalmine_core::choice! {
    /// Which server is claimed.
    pub enum Product {
        Hpa => "tftpd-hpa",
        CiscoRouter => "cisco-router",
    }
}

coalmine_core::settings! {
    /// Settings of the TFTP decoy.
    pub struct TftpSettings {
        /// Which server is claimed; decides which errors are told.
        product: Product => "product" = Product::Hpa, any;
    }
}

coalmine_core::event! {
    /// Somebody asked the TFTP server for a file or offered one.
    pub struct TftpRequest: "tftp", "TFTP Request", [10001 ""] {
        /// As the client sent it.
        filename: String => "FILENAME" = "startup-config",
        /// `READ` or `WRITE`.
        opcode: &'static str => "OPCODE" = "READ",
        /// `netascii`, `octet` or `mail`; whatever else the client sent.
        mode: String => "MODE" = "octet",
    }
}

struct Tftp {
    product: Product,
}

impl Datagrams for Tftp {
    fn datagram(&self, _context: &Context, input: &[u8], out: &mut Out) {
        let Some((code, rest)) = input.split_first_chunk::<2>() else {
            return;
        };
        let cisco = self.product == Product::CiscoRouter;
        let opcode = match code {
            [0, 1] => "READ",
            [0, 2] => "WRITE",
            // DATA, ACK and ERROR belong to transfers, and there are none; answering errors could
            // go on for ever.
            [0, 3..=5] => return,
            // nmap knows the router by this, from the port it asked.
            _ if cisco => return out.send(b"\0\x05\0\x04Illegal operation\0"),
            _ => return,
        };
        // A text that the packet's end cuts off counts as whole: the server reads into the zeros
        // behind it. Options (RFC 2347) come after the mode and change no error.
        let mut texts = rest.split(|&b| b == 0);
        let filename = texts.next().unwrap_or_default();
        let mode = texts.next().unwrap_or_default().to_ascii_lowercase();
        out.see(&TftpRequest {
            filename: printable(filename),
            opcode,
            mode: printable(&mode),
        });
        let (number, text) = if cisco {
            match opcode {
                "READ" => (1, "File not found"),
                _ => (2, "Access violation"),
            }
        } else if filename.is_empty() || mode.is_empty() {
            (4, "Missing mode")
        } else if !matches!(mode.as_slice(), b"netascii" | b"octet") {
            (4, "Unknown mode")
        } else {
            look_for(filename)
        };
        out.from_new_port();
        out.send([0, 5, 0, number]);
        out.send(text);
        out.send([0]);
    }
}

/// Error number and text for a file of the empty folder.
fn look_for(path: &[u8]) -> (u8, &'static str) {
    let mut names = path
        .split(|&b| b == b'/')
        .filter(|name| !matches!(*name, b"" | b"." | b".."));
    match names.next() {
        _ if path.len() >= MAX_PATH => (0, "File name too long"),
        None => (0, "Is a directory"),
        Some(name) if name.len() > MAX_NAME => (0, "File name too long"),
        Some(_) => (1, "File not found"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use coalmine_core::{Bird, suite};
    use serde_json::{Map, Value, json};

    fn ask(input: &[u8]) -> (Vec<u8>, Vec<Value>) {
        ask_product("tftpd-hpa", input)
    }

    fn ask_product(product: &str, input: &[u8]) -> (Vec<u8>, Vec<Value>) {
        let mut settings = Map::new();
        settings.insert("product".to_owned(), json!(product));
        let service = (KIND.build)(&settings, &Bird::sample()).unwrap();
        let mut out = Out::new();
        service
            .udp
            .unwrap()
            .datagram(&Context::sample(), input, &mut out);
        let refuses = !out.bytes().is_empty() && !out.bytes().ends_with(b"Illegal operation\0");
        assert_eq!(out.is_from_new_port(), refuses);
        let events = out.take_seen();
        let events = events
            .iter()
            .map(|s| serde_json::from_str(s.fields.get()).unwrap());
        (out.take_bytes(), events.collect())
    }

    /// A request that is answered with error `number` and `text`.
    fn refused(input: impl AsRef<[u8]>, number: u8, text: &str) {
        let input = input.as_ref();
        let answer = [&[0, 5, 0, number], text.as_bytes(), &[0]].concat();
        let shown = input.escape_ascii().to_string();
        assert_eq!(
            ask(input).0.escape_ascii().to_string(),
            answer.escape_ascii().to_string(),
            "{shown}"
        );
        // Both with the 28 bytes of IPv4 and UDP.
        assert!(
            (answer.len() + 28) * 10 <= (input.len() + 28) * 18,
            "{shown} is amplified"
        );
    }

    #[test]
    fn holds_what_every_decoy_must() {
        suite::check(&KIND);
    }

    #[test]
    fn requests_are_seen() {
        let (_, events) = ask(b"\0\x01running-config\0octet\0");
        assert_eq!(
            events,
            [json!({"FILENAME": "running-config", "OPCODE": "READ", "MODE": "octet"})]
        );
        let (_, events) = ask(b"\0\x02x\xff\0NetASCII\0tsize\x001\0");
        assert_eq!(
            events,
            [json!({"FILENAME": "x\\xff", "OPCODE": "WRITE", "MODE": "netascii"})]
        );
    }

    #[test]
    fn every_file_is_missing() {
        for request in [
            &b"\0\x01boot.cfg\0octet\0"[..],
            b"\0\x02boot.cfg\0octet\0",
            b"\0\x01x\0NETASCII\0",
            b"\0\x01x\0octet",
            b"\0\x01/etc/passwd\0octet\0",
            b"\0\x01../../etc/passwd\0octet\0",
            b"\0\x02nofolder/x\0octet\0",
            b"\0\x01a/../b\0octet\0",
            b"\0\x01C:\\x\0octet\0",
            b"\0\x01x..\0octet\0",
            b"\0\x01x\0octet\0blksize\x001428\0tsize\x000\0",
            b"\0\x01x\0octet\0blksize\0abc\0",
            b"\0\x01x\0octet\0blksize\x001428",
            b"\0\x01x\0octet\0\0\0\0",
        ] {
            refused(request, 1, "File not found");
        }
    }

    #[test]
    fn folders_and_names_too_long_have_errors_of_their_own() {
        for folder in ["/", ".", "..", "../..", "/./"] {
            refused(format!("\0\x01{folder}\0octet\0"), 0, "Is a directory");
            refused(format!("\0\x02{folder}\0octet\0"), 0, "Is a directory");
        }
        let name = |length| format!("\0\x01{}\0octet\0", "a".repeat(length));
        refused(name(255), 1, "File not found");
        refused(name(256), 0, "File name too long");
        refused(name(60_000), 0, "File name too long");
        refused(
            format!("\0\x01{}\0octet\0", "a/".repeat(2_048)),
            0,
            "File name too long",
        );
    }

    #[test]
    fn the_mode_must_be_there_and_known() {
        for mode in ["mail", "foo", "octets"] {
            refused(format!("\0\x01x\0{mode}\0"), 4, "Unknown mode");
            refused(format!("\0\x02x\0{mode}\0"), 4, "Unknown mode");
        }
        refused(b"\0\x01/\0foo\0", 4, "Unknown mode");
        for request in [
            &b"\0\x01x\0"[..],
            b"\0\x01x\0\0",
            b"\0\x01x",
            b"\0\x01\0octet\0",
            b"\0\x01",
            b"\0\x02",
        ] {
            refused(request, 4, "Missing mode");
        }
    }

    #[test]
    fn what_is_no_request_is_met_with_silence() {
        for packet in [
            &b""[..],
            b"\0",
            b"\0\0x\0octet\0",
            b"\0\x03\0\x01abc",
            b"\0\x04\0\0",
            b"\0\x05\0\x01x\0",
            b"\0\x06x\0",
            b"\x01\0x\0octet\0",
            b"\x01\x01x\0octet\0",
            b"OPTIONS sip:nm SIP/2.0\r\n\r\n",
        ] {
            assert_eq!(ask(packet), (Vec::new(), Vec::new()), "{packet:?}");
        }
    }

    #[test]
    fn a_router_has_its_own_errors() {
        let ask = |input: &[u8]| ask_product("cisco-router", input);
        let (answer, events) = ask(b"\0\x01startup-config\0octet\0");
        assert_eq!(answer, b"\0\x05\0\x01File not found\0");
        assert_eq!(events[0]["OPCODE"], "READ");
        let (answer, events) = ask(b"\0\x02evil\0netascii\0");
        assert_eq!(answer, b"\0\x05\0\x02Access violation\0");
        assert_eq!(
            events,
            [json!({"FILENAME": "evil", "OPCODE": "WRITE", "MODE": "netascii"})]
        );
        for odd in [&b"\0\0"[..], b"\0\x06x\0", b"\0\0\x10\0\0\0\0\0\0\0\0\0"] {
            let (answer, events) = ask(odd);
            assert_eq!(answer, b"\0\x05\0\x04Illegal operation\0");
            assert!(events.is_empty());
            assert!((answer.len() + 28) * 10 <= (odd.len() + 28) * 18);
        }
        for silent in [
            &b""[..],
            b"\0",
            b"\0\x03\0\x01a",
            b"\0\x04\0\x01",
            b"\0\x05\0\x01x\0",
        ] {
            assert_eq!(ask(silent), (Vec::new(), Vec::new()));
        }
    }
}
