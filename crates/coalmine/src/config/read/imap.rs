//! `[[tokens.imap]]`: mail servers, whose mailboxes take mails of tokens.

use std::collections::BTreeSet;
use std::path::Path;

use coalmine_console::mailboxes::{ImapMailbox, ImapServer, Login, Password};
use toml::{Table, Value};

use super::super::{MAX_IMAP, MAX_MAILBOXES};
use super::Section;

/// IMAP's port where TLS begins at once, and the one without (RFC 8314 section 3.2).
const TLS_PORT: u16 = 993;
const PORT: u16 = 143;
/// Longest name of a host or a folder, in bytes.
const MAX_NAME: usize = 255;

impl Section<'_> {
    /// The servers of `imap`.
    pub(super) fn imap_servers(&mut self, folder: &Path) -> Vec<ImapServer> {
        let Some(list) = self.tables("imap") else {
            let problem = "must be written as [[tokens.imap]], one for each server";
            self.fault("imap", problem);
            return Vec::new();
        };
        if list.len() > MAX_IMAP {
            let problem = format!("there may be {MAX_IMAP} servers, not {}", list.len());
            self.fault("imap", problem);
        }
        let mut listed = BTreeSet::new();
        let mut servers = Vec::new();
        for (n, table) in list.into_iter().take(MAX_IMAP).enumerate() {
            let path = format!("{}.imap[{n}]", self.path);
            let mut section = Section::new(&path, table, self.faults);
            servers.push(section.imap_server(folder, &mut listed));
        }
        servers
    }

    fn imap_server(&mut self, folder: &Path, listed: &mut BTreeSet<String>) -> ImapServer {
        self.known(&[
            "host",
            "port",
            "tls",
            "ca_file",
            "folder",
            "seen",
            "user",
            "password",
            "password_file",
            "mailboxes",
        ]);
        let host = self.text("host").unwrap_or_default();
        let fine = |c: char| c.is_ascii_alphanumeric() || ".-:_".contains(c);
        if host.is_empty() {
            self.fault("host", "is missing; name the server, e.g. imap.example.com");
        } else if host.len() > MAX_NAME || !host.chars().all(fine) {
            let problem =
                format!("must be a name or an address, e.g. imap.example.com, not {host:?}");
            self.fault("host", problem);
        }
        let tls = self.flag("tls").unwrap_or(true);
        let usual = if tls { TLS_PORT } else { PORT };
        let port = self.port("port").unwrap_or(usual);
        if port == 0 {
            self.fault("port", "must be a number from 1 to 65535");
        }
        let into = self.text("folder").unwrap_or_else(|| "INBOX".to_owned());
        if into.is_empty() || into.len() > MAX_NAME || into.chars().any(char::is_control) {
            self.fault("folder", "must be the name of a folder, e.g. INBOX");
        }
        let ca_file = self.file("ca_file", folder);
        let seen = self.flag("seen").unwrap_or(true);
        let password = self.password(folder);
        let master = match (self.text("user"), password) {
            (Some(user), Some(password)) => Some(Login { user, password }),
            (Some(_), None) => {
                let problem = "is missing; give the user's, or name password_file";
                self.fault("password", problem);
                None
            }
            (None, Some(_)) => {
                self.fault("user", "is missing; name whom the password is for");
                None
            }
            (None, None) => None,
        };
        let with_master = master.is_some();
        let mailboxes = self.mailboxes(folder, with_master, listed);
        ImapServer {
            host,
            port,
            tls,
            ca_file,
            folder: into,
            seen,
            master,
            mailboxes,
        }
    }

    fn mailboxes(
        &mut self,
        folder: &Path,
        with_master: bool,
        listed: &mut BTreeSet<String>,
    ) -> Vec<ImapMailbox> {
        let list = self.tables("mailboxes").unwrap_or_default();
        if list.is_empty() {
            let problem = "are missing; list them as [{ address = \"alice@example.com\" }]";
            self.fault("mailboxes", problem);
        }
        if list.len() > MAX_MAILBOXES {
            let problem = format!("there may be {MAX_MAILBOXES}, not {}", list.len());
            self.fault("mailboxes", problem);
        }
        let mut mailboxes = Vec::new();
        for (n, table) in list.into_iter().take(MAX_MAILBOXES).enumerate() {
            let path = format!("{}.mailboxes[{n}]", self.path);
            let mut section = Section::new(&path, table, self.faults);
            section.known(&["address", "name", "user", "password", "password_file"]);
            let given = section.text("address").unwrap_or_default();
            let address = given.trim().to_ascii_lowercase();
            if !is_address(&address) {
                let problem =
                    format!("must be a mail address, e.g. alice@example.com, not {given:?}");
                section.fault("address", problem);
            } else if !listed.insert(address.clone()) {
                section.fault("address", format!("{address:?} is listed twice; leave one"));
            }
            let name = section.text("name").unwrap_or_default();
            let user = section.text("user").unwrap_or_else(|| address.clone());
            let password = section.password(folder);
            if password.is_none() && !with_master {
                let problem =
                    "has no password; give it one, or the server a user who may act for all";
                self.faults
                    .push(coalmine_core::settings::Fault::new(path, problem));
            }
            mailboxes.push(ImapMailbox {
                address,
                name,
                user,
                password,
            });
        }
        mailboxes
    }

    fn password(&mut self, folder: &Path) -> Option<Password> {
        match (self.secret("password"), self.file("password_file", folder)) {
            (Some(text), None) => Some(Password::Text(text)),
            (None, Some(file)) => Some(Password::File(file)),
            (Some(text), Some(_)) => {
                let problem = "stands beside password_file; give one of them";
                self.fault("password", problem);
                Some(Password::Text(text))
            }
            (None, None) => None,
        }
    }
}

impl<'a> Section<'a> {
    /// The tables of a list; none where it is missing, `None` where it is something else.
    fn tables(&self, key: &str) -> Option<Vec<&'a Table>> {
        match self.table.get(key) {
            None => Some(Vec::new()),
            Some(Value::Array(list)) => list.iter().map(Value::as_table).collect(),
            Some(_) => None,
        }
    }
}

/// Plain addresses: no comments, no quoted local parts.
fn is_address(text: &str) -> bool {
    let fine = |part: &str, more: &str| {
        !part.is_empty()
            && part
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || more.contains(c))
    };
    text.len() <= MAX_NAME
        && text.split_once('@').is_some_and(|(local, domain)| {
            fine(local, "._%+-='&/#!$*?^`{|}~") && fine(domain, ".-")
        })
}
