//! SMB 2 and 3 (MS-SMB2) as Samba 4.17 of Debian 12 or Windows serves a folder of documents.
//!
//! Everything in it can be read and nothing written. Answers of Samba were recorded from the Debian
//! package; those of Windows follow the notes on product behaviour of MS-SMB2 (section 6).

mod client;
mod connection;
mod dice;
mod directory;
mod documents;
mod files;
mod info;
mod ioctl;
mod login;
mod message;
mod negotiate;
mod room;
mod rpc;
mod seal;
mod smb1;
mod status;
#[cfg(test)]
mod tests;
mod tree;
mod users;
mod words;

use std::sync::Arc;
use std::time::Duration;

use coalmine_core::decoy::{Limits, Poke, Session, Sessions, Step, Transport};
use coalmine_core::machine::System;
use coalmine_core::scan::HostPortScan;
use coalmine_core::settings::{Fault, any, one_line};
use coalmine_core::{Bird, Context, DecoyKind, Event, Out, Service};
use coalmine_wire::ntlmssp::{Target, Version};
use coalmine_wire::spnego::Mech;

use connection::{Connection, MAX_MESSAGE};
use login::Who;
use negotiate::{Agreed, Dialect, Offer, SIGNING_ENABLED, SIGNING_REQUIRED};
use room::Room;
use rpc::{Fact, Host, Shared, Windows};
use status::Status;
use tree::{FileTree, Tree};
use users::Users;

/// Longest text of an event that the client chose, in characters.
const MAX_TEXT: usize = 512;

/// SMB server.
pub static KIND: DecoyKind = DecoyKind {
    id: "smb",
    title: "SMB file share",
    doc: "Pretends to be Samba 4.17 on Debian, or Windows, with a share full of documents.\nCaptures logins with the hashes that hashcat takes, what is opened, and who asks for groups or the registry.",
    transports: &[Transport::Tcp],
    port: 445,
    instances: false,
    tls: None,
    events: &[ShareEvent::KIND, HostPortScan::KIND],
    settings: SmbSettings::declared,
    build: |given, bird| Ok(Service::sessions(Smb(Arc::new(Server::new(given, bird)?)))),
    limits: Limits {
        input: MAX_MESSAGE + 4,
        idle: Duration::from_secs(900),
        total: Duration::from_secs(24 * 3600),
        ..Limits::LOGIN
    },
    poke: Poke::Script(&[
        Step::Send(POKE_NEGOTIATE),
        Step::Expect(b"\xfeSMB"),
        Step::Send(POKE_TICKET),
        // STATUS_LOGON_FAILURE.
        Step::Expect(b"\x6d\0\0\xc0\x01\0"),
    ]),
};

/// The start of a client that knows dialects 2.0.2 and 2.1.
const POKE_NEGOTIATE: &[u8] =
    b"\0\0\0h\xfeSMB@\0\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\
      \0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0$\0\x02\0\x01\0\0\0\0\0\0\0coalmine poki\
      ng!\0\0\0\0\0\0\0\0\x02\x02\x10\x02";
/// A login with a ticket of Kerberos: the one kind that takes a single request.
const POKE_TICKET: &[u8] =
    b"\0\0\0\xcf\xfeSMB@\0\0\0\0\0\0\0\x01\0\x1f\0\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\
      \0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x19\0\0\x01\x01\0\0\0\0\0\0\0X\0w\
      \0\0\0\0\0\0\0\0\0nu0s\xa0\x03\x02\x01\x05\xa1\x03\x02\x01\x0e\xa2\x07\x03\x05\0\0\0\0\0\
      \xa3IaG0E\xa0\x03\x02\x01\x05\xa1\x0a\x1b\x08CORP.LAN\xa2\x180\x16\xa0\x03\x02\x01\x02\
      \xa1\x0f0\x0d\x1b\x04cifs\x1b\x05files\xa3\x180\x16\xa0\x03\x02\x01\x12\xa1\x03\x02\x01\
      \x02\xa2\x0a\x04\x08\0\0\0\0\0\0\0\0\xa4\x130\x11\xa0\x03\x02\x01\x12\xa2\x0a\x04\x08\0\
      \0\0\0\0\0\0\0";

coalmine_core::choice! {
    /// Whether the machine stands alone or belongs to a domain.
    pub enum Mode {
        Workgroup => "workgroup",
        Domain => "domain",
    }
}

coalmine_core::choice! {
    /// Whether messages must be signed.
    pub enum ServerSigning {
        Mandatory => "mandatory",
        Auto => "auto",
        Disabled => "disabled",
    }
}

coalmine_core::choice! {
    /// Whether messages are encrypted, in dialects 3.0 and later.
    pub enum Encryption {
        IfAsked => "if-asked",
        Desired => "desired",
        Required => "required",
        Off => "off",
    }
}

coalmine_core::settings! {
    /// Settings of the SMB decoy.
    pub struct SmbSettings {
        /// Whether the machine stands alone or belongs to a domain; events repeat it.
        mode: Mode => "mode" = Mode::Workgroup, any;
        /// Workgroup that the machine belongs to.
        workgroup: String => "workgroup" = "WORKGROUP".to_owned(), name_of_network;
        /// DNS name of the domain that the machine belongs to, in mode `domain`.
        domain: String => "domain" = String::new(), one_line;
        /// NetBIOS name of the machine; empty takes the bird's.
        netbios_name: String => "netbiosname" = String::new(), netbios_name;
        /// Whether `workgroup` is the domain's NetBIOS name in mode `domain`; else its first label.
        netbios_domain: bool => "netbios_domain.enabled" = false, any;
        /// What the server says of itself; empty takes the product's own words.
        server_string: String => "serverstring" = String::new(), one_line;
        /// Name of the share.
        share_name: String => "sharename" = "Documents".to_owned(), share_name;
        /// What is said of the share.
        share_comment: String => "sharecomment" = String::new(), one_line;
        /// Whether strangers are let in as guests. Passwords of `users` are asked for all the same.
        guests: bool => "guest.enabled" = true, any;
        /// What is in the share; empty makes up a company's documents.
        file_tree: FileTree => "filetree" = FileTree::default(), FileTree::check;
        /// Accounts that can log in with their passwords.
        users: Users => "users" = Users::default(), Users::check;
        /// Whether `advanced.serversigning` counts; else the product's own default.
        advanced: bool => "advanced.enabled" = false, any;
        /// Whether messages must be signed.
        /// SMB 2 has no way not to sign for who asks, so `disabled` is `auto`.
        server_signing: ServerSigning => "advanced.serversigning" = ServerSigning::Mandatory, any;
        /// Whether `advanced.preferred_dc.servers` is kept. No domain controller is ever asked.
        preferred_dc: bool => "advanced.preferred_dc.enabled" = false, any;
        /// Domain controllers, as the Console keeps them.
        preferred_dcs: String => "advanced.preferred_dc.servers" = String::new(), one_line;
        /// Whether messages are encrypted, in dialects 3.0 and later.
        encryption: Encryption => "encryption" = Encryption::IfAsked, any;
        /// Whether logins are events, those of guests and anonymous ones too.
        report_logins: bool => "report.logins" = true, any;
        /// Whether connecting to a share is an event.
        report_connections: bool => "report.connections" = true, any;
    }
}

coalmine_core::event! {
    /// Somebody used the file share: opened a file, logged in, connected to it, asked for groups or
    /// for the registry.
    /// Fields that don't belong to what happened are empty.
    pub struct ShareEvent: "smbfileopen", "Shared File Opened", [
        5000 "file opened",
        5010 "login",
        5013 "group enumeration",
        5014 "share connected",
        5015 "remote registry",
    ] {
        /// Who, as the client said.
        user: String => "USER" = "guest",
        /// Path inside the share.
        file_name: String => "FILENAME" = "Finance/budget-2024.xlsx",
        /// `pread` for a file read; for groups and the registry the call, as Microsoft names it.
        audit_action: String => "AUDITACTION" = "pread",
        /// Domain or workgroup that the client named.
        domain: String => "DOMAIN" = "CORP",
        /// NetBIOS name of the decoy.
        local_name: String => "LOCALNAME" = "FILES-02",
        /// `workgroup` or `domain`.
        mode: &'static str => "MODE" = "workgroup",
        /// Start of the first read.
        offset: String => "OFFSET" = "0",
        /// The client's own name; its address where it gave none.
        remote_name: String => "REMOTENAME" = "DESKTOP-7",
        /// Name of the share.
        share_name: String => "SHARENAME" = "Documents",
        /// Bytes of the first read.
        size: String => "SIZE" = "65536",
        /// What the client is, guessed from how it speaks.
        arch: &'static str => "SMBARCH" = "Win10/2016",
        /// Dialect, as Samba writes it.
        version: &'static str => "SMBVER" = "SMB3_11",
        /// `ok`, or why it failed as Samba writes it.
        status: String => "STATUS" = "ok",
        /// How somebody logged in: `NTLMv2`, `NTLMv1`, `kerberos`, `anonymous`, or `guest` for a stranger who was let in.
        login_type: Option<String> => "LOGINTYPE" = "NTLMv2",
        /// Relative identifier of the group that was asked for.
        rid: Option<String> => "RID" = "512",
        /// Security identifier of the group's domain.
        sid: Option<String> => "SID" = "S-1-5-21-1-2-3",
        /// Name of the group.
        group_name: Option<String> => "SGROUPNAME" = "Domain Admins",
        /// Hive of the registry.
        hive: Option<String> => "HIVE" = "HKLM",
        /// Key of the registry.
        registry_key: Option<String> => "REGISTRY_KEY" = "SOFTWARE\\Microsoft\\Windows NT\\CurrentVersion",
        /// The response in the form hashcat and john take: NetNTLMv2 is mode 5600, NetNTLMv1 5500.
        ntlm_hash: Option<String> => "NTLM_HASH" = "admin::CORP:1122334455667788:0123456789abcdef0123456789abcdef:0101",
    }
}

struct Smb(Arc<Server>);

impl Sessions for Smb {
    fn open(&self, context: &Context, _out: &mut Out) -> Box<dyn Session> {
        Box::new(Connection::new(Arc::clone(&self.0), context))
    }
}

/// What is claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Product {
    Samba,
    Windows { build: u16 },
}

impl Product {
    fn is_samba(self) -> bool {
        self == Self::Samba
    }

    /// A session's number; Windows counts in its own way.
    fn session_id(self, drawn: u32) -> u64 {
        match self {
            Self::Samba => u64::from(drawn),
            Self::Windows { .. } => {
                (u64::from(drawn & 0xffff) << 46) | (u64::from(drawn >> 16) << 2) | 1
            }
        }
    }
}

/// One bird's server: what all its connections share.
struct Server {
    settings: SmbSettings,
    product: Product,
    mode: Mode,
    name: String,
    workgroup: String,
    guid: [u8; 16],
    target: Target,
    /// SPNEGO's first message.
    hello: Vec<u8>,
    tree: Tree,
    disk: info::Disk,
    host: Arc<Host>,
    room: Arc<Room>,
}

const SAMBA_MECHS: &[Mech] = &[Mech::Ntlm];
const WINDOWS_MECHS: &[Mech] = &[
    Mech::NegoEx,
    Mech::MsKerberos,
    Mech::Kerberos,
    Mech::KerberosUserToUser,
    Mech::Ntlm,
];

impl Server {
    fn new(
        given: &serde_json::Map<String, serde_json::Value>,
        bird: &Bird,
    ) -> Result<Self, Vec<Fault>> {
        let settings = SmbSettings::parse(given)?;
        let product = match bird.machine.system {
            System::Linux => Product::Samba,
            System::Windows { build, .. } => Product::Windows { build },
        };
        let name = match settings.netbios_name.as_str() {
            "" => bird.netbios_name(),
            name => name.to_uppercase(),
        };
        // What the machine is counts where the settings don't say.
        let mode = match bird.machine.domain {
            Some(_) if !given.contains_key("mode") => Mode::Domain,
            _ => settings.mode,
        };
        let workgroup = match (given.contains_key("workgroup"), mode) {
            (false, _) if bird.machine.domain.is_some() => bird.workgroup_or_domain(),
            (_, Mode::Domain) if !settings.netbios_domain && !settings.domain.is_empty() => {
                let label = settings.domain.split('.').next().unwrap_or_default();
                label.chars().take(15).collect::<String>().to_uppercase()
            }
            _ => settings.workgroup.to_uppercase(),
        };
        let seed = bird.seed.derive("smb");
        let mut guid = seed.take("guid");
        if product.is_samba() {
            guid = [0; 16];
            message::put(&mut guid, 0, name.to_lowercase().as_bytes());
        }
        let target = match product {
            Product::Samba => Target::samba(&name, &name.to_lowercase(), ""),
            Product::Windows { .. } => {
                let version = Version::from(bird.machine.system.windows_version());
                Target::windows(&name, &bird.dns_name(), bird.domain_names(), version)
            }
        };
        let tree = Tree::new(&settings.file_tree, &bird.seed, bird.booted);
        let gib = 1024 * 1024 * 1024;
        let size = seed.number("disk", 400, 4_000).saturating_mul(gib);
        let size = size.max(tree.used().saturating_mul(2));
        let free = size / 200 * seed.number("free", 40, 90);
        let root = tree.lookup("").map_or(bird.booted, |node| node.created);
        let disk = info::Disk {
            samba: product.is_samba(),
            label: match product {
                Product::Samba => settings.share_name.clone(),
                Product::Windows { .. } => String::new(),
            },
            serial: u32::try_from(seed.number("serial", 0x1000, u64::from(u32::MAX))).unwrap_or(1),
            guid: seed.take("volume"),
            created: root.filetime(),
            size,
            free,
        };
        let host = Host {
            windows: match bird.machine.system {
                System::Linux => None,
                System::Windows {
                    major,
                    minor,
                    build,
                    server,
                    title,
                } => Some(Windows {
                    major,
                    minor,
                    build,
                    server,
                    title: title.to_owned(),
                }),
            },
            name: name.clone(),
            domain: workgroup.clone(),
            comment: match (settings.server_string.as_str(), product) {
                ("", Product::Samba) => "Samba 4.17.12-Debian".to_owned(),
                (said, _) => said.to_owned(),
            },
            shares: shares(&settings, product),
            users: settings
                .users
                .0
                .iter()
                .map(|user| user.name.clone())
                .collect(),
            seed: bird.seed.clone(),
            booted: bird.booted,
        };
        let mut server = Self {
            host: Arc::new(host),
            product,
            mode,
            name,
            workgroup,
            guid,
            target,
            hello: Vec::new(),
            tree,
            disk,
            room: Arc::default(),
            settings,
        };
        let acceptor =
            coalmine_wire::accept::Acceptor::new(server.target.clone(), [0; 8], server.mechs());
        server.hello = acceptor.hello(Some("not_defined_in_RFC4178@please_ignore"));
        Ok(server)
    }

    fn mechs(&self) -> &'static [Mech] {
        match self.product {
            Product::Samba => SAMBA_MECHS,
            Product::Windows { .. } => WINDOWS_MECHS,
        }
    }

    fn security_mode(&self) -> u16 {
        let mandatory = self.settings.server_signing == ServerSigning::Mandatory;
        match self.settings.advanced && mandatory {
            true => SIGNING_ENABLED | SIGNING_REQUIRED,
            false => SIGNING_ENABLED,
        }
    }

    /// The latest dialect that it speaks: 3.1.1 came with Windows 10.
    fn best_dialect(&self) -> Dialect {
        match self.product {
            Product::Windows { build } if build < 10_240 => Dialect::Smb302,
            _ => Dialect::Smb311,
        }
    }

    fn agree(&self, offer: &Offer, dialect: Dialect) -> Agreed {
        let build = match self.product {
            Product::Samba => 0,
            Product::Windows { build } => build,
        };
        offer.agree(dialect, self.product.is_samba(), build)
    }

    /// Credits for a request, as Samba grants them: what is asked for, but one at a time until
    /// somebody has logged in.
    fn credits(&self, header: &message::Header, charge: u16, status: Status) -> u16 {
        let more = header.credits.saturating_sub(1);
        match header.command {
            message::command::SESSION_SETUP if status != Status::OK => charge,
            _ => charge.saturating_add(more),
        }
    }

    /// Number of the disk that files lie on.
    fn disk_id(&self) -> u64 {
        match self.product {
            Product::Samba => 0xfe00,
            Product::Windows { .. } => u64::from(self.disk.serial),
        }
    }

    /// What every event says of `who` and of this server.
    fn event(&self, who: &Who, dialect: &'static str) -> ShareEvent {
        let cut = |text: &str| text.chars().take(MAX_TEXT).collect::<String>();
        let domain = match who.domain.as_str() {
            "" => self.workgroup.clone(),
            domain => cut(domain),
        };
        ShareEvent {
            user: cut(&who.user),
            file_name: String::new(),
            audit_action: String::new(),
            domain,
            local_name: self.name.clone(),
            mode: match self.mode {
                Mode::Workgroup => "workgroup",
                Mode::Domain => "domain",
            },
            offset: String::new(),
            remote_name: cut(&who.remote),
            share_name: String::new(),
            size: String::new(),
            arch: who.arch,
            version: dialect,
            status: Status::OK.name(),
            login_type: None,
            rid: None,
            sid: None,
            group_name: None,
            hive: None,
            registry_key: None,
            ntlm_hash: None,
        }
    }
}

/// The list of shares, as the product keeps it.
fn shares(settings: &SmbSettings, product: Product) -> Vec<Shared> {
    /// With those for administration.
    const SPECIAL: u32 = 0x8000_0000;
    let share = |name: &str, comment: &str, path: &str, sort| Shared {
        name: name.to_owned(),
        comment: comment.to_owned(),
        path: path.to_owned(),
        sort,
    };
    let (name, comment) = (&settings.share_name, &settings.share_comment);
    match product {
        Product::Samba => {
            let folder = format!("C:\\srv\\samba\\{}", name.to_lowercase().replace(' ', "_"));
            let pipes = match settings.server_string.as_str() {
                "" => "IPC Service (Samba 4.17.12-Debian)".to_owned(),
                said => format!("IPC Service ({said})"),
            };
            vec![
                share(name, comment, &folder, 0),
                share("IPC$", &pipes, "C:\\tmp", SPECIAL | 3),
            ]
        }
        Product::Windows { .. } => vec![
            share("ADMIN$", "Remote Admin", "C:\\Windows", SPECIAL),
            share("C$", "Default share", "C:\\", SPECIAL),
            share(name, comment, &format!("C:\\Shares\\{name}"), 0),
            share("IPC$", "Remote IPC", "", SPECIAL | 3),
        ],
    }
}

/// What a pipe saw, as an event.
fn told_by_pipe(event: ShareEvent, fact: Fact) -> (ShareEvent, u32) {
    let status = |granted| match granted {
        true => Status::OK.name(),
        false => Status::ACCESS_DENIED.name(),
    };
    match fact {
        Fact::Groups {
            api,
            sid,
            rid,
            group,
            granted,
        } => {
            let event = ShareEvent {
                audit_action: api.to_owned(),
                status: status(granted),
                share_name: "IPC$".to_owned(),
                sid: Some(sid),
                rid: Some(rid),
                group_name: Some(group),
                ..event
            };
            (event, 5013)
        }
        Fact::Registry {
            api,
            hive,
            key,
            granted,
        } => {
            let event = ShareEvent {
                audit_action: api.to_owned(),
                status: status(granted),
                share_name: "IPC$".to_owned(),
                hive: Some(hive.to_owned()),
                registry_key: Some(key),
                ..event
            };
            (event, 5015)
        }
    }
}

/// A check for NetBIOS names; empty is none.
fn netbios_name(name: &str) -> Result<(), String> {
    let good = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.len() > 15 || !name.chars().all(good) {
        return Err("must be at most 15 letters, digits, - and _".to_owned());
    }
    Ok(())
}

fn name_of_network(name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err("must not be empty".to_owned());
    }
    netbios_name(name)
}

fn share_name(name: &str) -> Result<(), String> {
    let bad = |c: char| c.is_control() || "\\/:*?\"<>|[]+;,=".contains(c);
    if name.is_empty() || name.chars().count() > 80 || name.contains(bad) {
        return Err(
            "must be 1 to 80 characters without \\ / : * ? \" < > | [ ] + ; , =".to_owned(),
        );
    }
    if name.eq_ignore_ascii_case("IPC$") {
        return Err("IPC$ is the share of pipes".to_owned());
    }
    Ok(())
}
