//! The machine that is told of: names, shares, accounts.

use coalmine_core::{Seed, Timestamp};

use super::super::dice::Dice;
use super::super::documents::Company;
use super::ndr::Sid;

/// Accounts that are made up where the operator names none.
const INVENTED: u64 = 6;

/// What the interfaces tell.
#[derive(Clone, Debug)]
pub struct Host {
    /// Which Windows it is; none for Samba.
    pub windows: Option<Windows>,
    /// Its NetBIOS name.
    pub name: String,
    /// Its workgroup, or the NetBIOS name of its domain.
    pub domain: String,
    /// The server's comment.
    pub comment: String,
    /// Its shares with those for administration, in the order in which they are listed.
    pub shares: Vec<Shared>,
    /// Names of its accounts besides those that every machine has.
    pub users: Vec<String>,
    /// Where its identifiers come from.
    pub seed: Seed,
    /// Its start; accounts are older.
    pub booted: Timestamp,
}

/// A Windows.
#[derive(Clone, Debug)]
pub struct Windows {
    /// Of its version.
    pub major: u8,
    /// Of its version.
    pub minor: u8,
    /// Of its version.
    pub build: u16,
    /// A server, not somebody's desk.
    pub server: bool,
    /// `Windows Server 2019 Standard`.
    pub title: String,
}

/// A share.
#[derive(Clone, Debug)]
pub struct Shared {
    /// Its name.
    pub name: String,
    /// What stands beside it.
    pub comment: String,
    /// The folder as the server calls it.
    pub path: String,
    /// Folder 0, pipes 3; with the highest bit for administration.
    pub sort: u32,
}

/// An account or group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    pub rid: u32,
    pub name: String,
    pub comment: &'static str,
    /// Flags of MS-SAMR 2.2.1.12.
    pub flags: u32,
}

/// What a name stands for (MS-LSAT 2.2.13).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    User = 1,
    Group = 2,
    Domain = 3,
    Alias = 4,
    WellKnown = 5,
    Unknown = 8,
}

/// A domain's name and identifier, and name and kind of what's in it.
pub type Translated = (String, Sid, Option<(String, Use)>);

/// The group of everybody.
pub const NONE: u32 = 513;
/// S-1-5-32.
const BUILTIN: u32 = 32;

const ALIASES: &[(u32, &str, &str)] = &[
    (
        544,
        "Administrators",
        "Administrators have complete and unrestricted access to the computer/domain",
    ),
    (
        545,
        "Users",
        "Users are prevented from making accidental or intentional system-wide changes and can run most applications",
    ),
    (
        546,
        "Guests",
        "Guests have the same access as members of the Users group by default, except for the Guest account which is further restricted",
    ),
    (
        547,
        "Power Users",
        "Power Users are included for backwards compatibility and possess limited administrative powers",
    ),
    (
        550,
        "Print Operators",
        "Members can administer printers installed on domain controllers",
    ),
    (
        551,
        "Backup Operators",
        "Backup Operators can override security restrictions for the sole purpose of backing up or restoring files",
    ),
    (552, "Replicator", "Supports file replication in a domain"),
    (
        555,
        "Remote Desktop Users",
        "Members in this group are granted the right to logon remotely",
    ),
    (
        556,
        "Network Configuration Operators",
        "Members in this group can have some administrative privileges to manage configuration of networking features",
    ),
    (
        558,
        "Performance Monitor Users",
        "Members of this group can access performance counter data locally and remotely",
    ),
    (
        559,
        "Performance Log Users",
        "Members of this group may schedule logging of performance counters, enable trace providers, and collect event traces both locally and via remote access to this computer",
    ),
    (
        562,
        "Distributed COM Users",
        "Members are allowed to launch, activate and use Distributed COM objects on this machine.",
    ),
    (
        568,
        "IIS_IUSRS",
        "Built-in group used by Internet Information Services.",
    ),
    (
        569,
        "Cryptographic Operators",
        "Members are authorized to perform cryptographic operations.",
    ),
    (
        573,
        "Event Log Readers",
        "Members of this group can read event logs from local machine",
    ),
    (
        578,
        "Hyper-V Administrators",
        "Members of this group have complete and unrestricted access to all features of Hyper-V.",
    ),
    (
        579,
        "Access Control Assistance Operators",
        "Members of this group can remotely query authorization attributes and permissions for resources on this computer.",
    ),
    (
        580,
        "Remote Management Users",
        "Members of this group can access WMI resources over management protocols (such as WS-Management via the Windows Remote Management service).",
    ),
];

/// Identifiers that mean the same everywhere: authority, parts, domain, name.
const WELL_KNOWN: &[(u8, &[u32], &str, &str)] = &[
    (1, &[0], "", "Everyone"),
    (2, &[0], "", "LOCAL"),
    (3, &[0], "", "Creator Owner"),
    (3, &[1], "", "Creator Group"),
    (5, &[2], "NT Authority", "Network"),
    (5, &[4], "NT Authority", "Interactive"),
    (5, &[6], "NT Authority", "Service"),
    (5, &[7], "NT Authority", "Anonymous Logon"),
    (5, &[11], "NT Authority", "Authenticated Users"),
    (5, &[18], "NT Authority", "SYSTEM"),
    (5, &[19], "NT Authority", "Local Service"),
    (5, &[20], "NT Authority", "Network Service"),
];

/// Accounts of Debian, which Samba tells as S-1-22-1 (users) and S-1-22-2 (groups).
const UNIX: &[(u32, &str)] = &[
    (0, "root"),
    (1, "daemon"),
    (2, "bin"),
    (3, "sys"),
    (5, "games"),
    (6, "man"),
    (7, "lp"),
    (8, "mail"),
    (9, "news"),
    (10, "uucp"),
    (13, "proxy"),
    (33, "www-data"),
    (34, "backup"),
    (38, "list"),
    (39, "irc"),
    (65_534, "nobody"),
];
/// The first Unix account of a person.
const FIRST_PERSON: u32 = 1_000;

impl Host {
    /// The machine's own domain of accounts.
    pub fn sid(&self) -> Sid {
        let seed = self.seed.derive("machine sid");
        let part = |name| u32::from_le_bytes(seed.take(name));
        Sid::new(5, &[21, part("1"), part("2"), part("3")])
    }

    /// The domain that the machine has joined.
    pub fn domain_sid(&self) -> Sid {
        let seed = self.seed.derive("domain sid");
        let part = |name| u32::from_le_bytes(seed.take(name));
        Sid::new(5, &[21, part("1"), part("2"), part("3")])
    }

    /// The domain of built-in groups.
    pub fn builtin() -> Sid {
        Sid::new(5, &[BUILTIN])
    }

    /// Major and minor version, as the interfaces tell it. Samba calls itself Windows 7.
    pub fn version(&self) -> (u32, u32) {
        let windows = self.windows.as_ref();
        windows.map_or((6, 1), |w| (w.major.into(), w.minor.into()))
    }

    /// Names of accounts that aren't those of every machine: the operator's, or made up ones.
    pub fn names(&self) -> Vec<String> {
        if !self.users.is_empty() {
            return self.users.clone();
        }
        // The same people who write the documents.
        let company = Company::new(&self.seed.derive("smb tree"));
        let mut dice = Dice::new(&self.seed, "accounts");
        let count = dice.between(3, INVENTED);
        let mut names: Vec<String> = Vec::new();
        for _ in 0..count {
            let (first, last) = company.person(&mut dice);
            let name = format!("{first}.{last}").to_lowercase();
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names.push("scanner".to_owned());
        names
    }

    /// All accounts that are listed.
    pub fn accounts(&self) -> Vec<Account> {
        const NORMAL: u32 = 0x10;
        const DISABLED: u32 = 0x1;
        const NEVER_EXPIRES: u32 = 0x200;
        let account = |rid, name: &str, comment, flags| Account {
            rid,
            name: name.to_owned(),
            comment,
            flags,
        };
        let (mut all, first, flags) = if self.windows.is_some() {
            let off = NORMAL | DISABLED | NEVER_EXPIRES;
            let all = vec![
                account(
                    500,
                    "Administrator",
                    "Built-in account for administering the computer/domain",
                    NORMAL | NEVER_EXPIRES,
                ),
                account(
                    501,
                    "Guest",
                    "Built-in account for guest access to the computer/domain",
                    off,
                ),
                account(
                    503,
                    "DefaultAccount",
                    "A user account managed by the system.",
                    off,
                ),
                account(
                    504,
                    "WDAGUtilityAccount",
                    "A user account managed and used by the system for Windows Defender Application Guard scenarios.",
                    off,
                ),
            ];
            (all, 1001, NORMAL | NEVER_EXPIRES)
        } else {
            (Vec::new(), 1000, NORMAL)
        };
        all.extend(
            (first..)
                .zip(self.names())
                .map(|(rid, name)| account(rid, &name, "", flags)),
        );
        all
    }

    /// Accounts with those that are known but not listed.
    pub fn account(&self, rid: u32) -> Option<Account> {
        let mut all = self.accounts();
        if self.windows.is_none() {
            all.push(Account {
                rid: 501,
                name: "nobody".to_owned(),
                comment: "",
                flags: 0x10,
            });
        }
        all.into_iter().find(|account| account.rid == rid)
    }

    /// Built-in groups.
    pub fn aliases() -> impl Iterator<Item = Account> {
        ALIASES.iter().map(|&(rid, name, comment)| Account {
            rid,
            name: name.to_owned(),
            comment,
            flags: 0,
        })
    }

    /// What `rid` is called in the machine's own domain or the built-in one.
    pub fn named(&self, builtin: bool, rid: u32) -> Option<(String, Use)> {
        if builtin {
            let alias = Self::aliases().find(|alias| alias.rid == rid);
            return alias.map(|alias| (alias.name, Use::Alias));
        }
        if rid == NONE {
            return Some(("None".to_owned(), Use::Group));
        }
        self.account(rid).map(|account| (account.name, Use::User))
    }

    /// The last part and kind of what's called `name` there.
    pub fn numbered(&self, builtin: bool, name: &str) -> Option<(u32, Use)> {
        let same = |other: &str| other.eq_ignore_ascii_case(name);
        if builtin {
            let alias = Self::aliases().find(|alias| same(&alias.name));
            return alias.map(|alias| (alias.rid, Use::Alias));
        }
        if same("None") {
            return Some((NONE, Use::Group));
        }
        let account = self
            .accounts()
            .into_iter()
            .find(|account| same(&account.name));
        account.map(|account| (account.rid, Use::User))
    }

    /// The domain that `sid` lies in, that domain's identifier, its own name and kind; the name
    /// is none where there is nothing of that number.
    pub fn translated(&self, sid: &Sid) -> Translated {
        let own = self.sid();
        let names = [
            (own, self.name.clone(), false),
            (Self::builtin(), "BUILTIN".to_owned(), true),
        ];
        for (domain, name, builtin) in names {
            if *sid == domain {
                let told = if builtin { name.clone() } else { String::new() };
                return (name, domain, Some((told, Use::Domain)));
            }
            match sid.split() {
                Some((parent, rid)) if parent == domain => {
                    return (name, domain, self.named(builtin, rid));
                }
                _ => {}
            }
        }
        for &(authority, parts, domain, name) in WELL_KNOWN {
            if Sid::new(authority, parts) == *sid {
                let name = Some((self.spelled(name), Use::WellKnown));
                return (self.spelled(domain), Sid::new(authority, &[]), name);
            }
        }
        if let Some(found) = self.unix(sid) {
            return found;
        }
        let domain = sid
            .split()
            .map_or_else(|| sid.clone(), |(domain, _)| domain);
        (String::new(), domain, None)
    }

    /// The domain, its identifier, the last part (none for a domain) and kind of `name`, which may
    /// have its domain before it.
    pub fn found(&self, name: &str) -> Option<(String, Sid, Option<u32>, Use)> {
        let (domain, rest) = name.split_once('\\').unwrap_or(("", name));
        let domain_is = |other: &str| domain.is_empty() || domain.eq_ignore_ascii_case(other);
        if rest.eq_ignore_ascii_case(&self.name) && domain.is_empty() {
            return Some((self.name.clone(), self.sid(), None, Use::Domain));
        }
        for (builtin, called) in [(false, self.name.as_str()), (true, "BUILTIN")] {
            if !domain_is(called) {
                continue;
            }
            if let Some((rid, sort)) = self.numbered(builtin, rest) {
                let sid = if builtin { Self::builtin() } else { self.sid() };
                return Some((called.to_owned(), sid, Some(rid), sort));
            }
        }
        let known = WELL_KNOWN
            .iter()
            .find(|(_, _, called, known)| domain_is(called) && known.eq_ignore_ascii_case(rest));
        if let Some((authority, parts, called, _)) = known {
            let (called, sid) = (called.to_uppercase(), Sid::new(*authority, &[]));
            return Some((called, sid, parts.first().copied(), Use::WellKnown));
        }
        if self.windows.is_some() || !domain_is("Unix User") {
            return None;
        }
        let mut accounts = self.unix_accounts().into_iter();
        let (id, _) = accounts.find(|(_, known)| known.eq_ignore_ascii_case(rest))?;
        Some((
            "UNIX USER".to_owned(),
            Sid::new(22, &[1]),
            Some(id),
            Use::User,
        ))
    }

    /// What Samba makes of the Unix accounts.
    fn unix(&self, sid: &Sid) -> Option<Translated> {
        const USERS: u32 = 1;
        const GROUPS: u32 = 2;
        let (domain, id) = sid.split()?;
        if self.windows.is_some() || domain.authority != [0, 0, 0, 0, 0, 22] {
            return None;
        }
        let (called, sort) = match domain.parts.as_slice() {
            [USERS] => ("Unix User", Use::User),
            [GROUPS] => ("Unix Group", Use::Group),
            _ => return None,
        };
        // Debian calls the group of nobody otherwise.
        let name = match (sort, id) {
            (Use::Group, 65_534) => Some("nogroup".to_owned()),
            _ => self
                .unix_accounts()
                .into_iter()
                .find(|(known, _)| *known == id)
                .map(|(_, name)| name),
        };
        Some((called.to_owned(), domain, name.map(|name| (name, sort))))
    }

    fn unix_accounts(&self) -> Vec<(u32, String)> {
        let system = UNIX.iter().map(|(id, name)| (*id, (*name).to_owned()));
        let people = self.names().into_iter();
        let people = people.filter(|name| !UNIX.iter().any(|(_, known)| known == name));
        system.chain((FIRST_PERSON..).zip(people)).collect()
    }

    /// Windows writes in capitals what Samba doesn't, but for two.
    fn spelled(&self, name: &str) -> String {
        if self.windows.is_some() && !matches!(name, "Everyone" | "Authenticated Users") {
            name.to_uppercase()
        } else {
            name.to_owned()
        }
    }
}
