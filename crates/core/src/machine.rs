//! What machine a bird pretends to be: its operating system and its domain. Every decoy that tells
//! of either takes it from here, so that all of them tell the same story.

use crate::Bird;

/// Longest NetBIOS name, in bytes (RFC 1001 section 14.1 leaves the 16th to the service).
pub const MAX_NETBIOS: usize = 15;
/// Longest name of a domain: what Active Directory takes.
const MAX_DOMAIN: usize = 64;
/// The workgroup of machines that are in no domain.
const WORKGROUP: &str = "WORKGROUP";

/// An operating system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum System {
    /// Linux.
    #[default]
    Linux,
    /// Windows.
    Windows {
        /// E.g. 10.
        major: u8,
        /// E.g. 0.
        minor: u8,
        /// E.g. 17763.
        build: u16,
        /// Whether it's a server.
        server: bool,
        /// As it names itself, e.g. `Windows Server 2019 Standard`.
        title: &'static str,
    },
}

impl System {
    /// Every one there is, with the word for it in the configuration.
    pub const ALL: &'static [(&'static str, Self)] = &[
        ("linux", Self::Linux),
        (
            "windows-server-2012r2",
            windows(6, 3, 9600, true, "Windows Server 2012 R2 Standard"),
        ),
        (
            "windows-server-2016",
            windows(10, 0, 14393, true, "Windows Server 2016 Standard"),
        ),
        ("windows-server-2019", SERVER_2019),
        (
            "windows-server-2022",
            windows(10, 0, 20348, true, "Windows Server 2022 Standard"),
        ),
        ("windows-10", windows(10, 0, 19045, false, "Windows 10 Pro")),
        ("windows-11", windows(10, 0, 22631, false, "Windows 11 Pro")),
    ];

    /// The one that the configuration calls by this word.
    pub fn find(id: &str) -> Option<Self> {
        let mut all = Self::ALL.iter();
        all.find(|(word, _)| *word == id).map(|(_, system)| *system)
    }

    /// The configuration's word for it.
    pub fn id(self) -> &'static str {
        let mut all = Self::ALL.iter();
        all.find(|(_, system)| *system == self)
            .map_or("", |(word, _)| word)
    }

    /// Whether it is a Windows.
    pub const fn is_windows(self) -> bool {
        matches!(self, Self::Windows { .. })
    }

    /// This Windows, or Server 2019 for decoys of Windows' that a bird of another system was given.
    #[must_use]
    pub const fn or_windows(self) -> Self {
        match self {
            Self::Linux => SERVER_2019,
            windows => windows,
        }
    }

    /// Major and minor version and build of [`System::or_windows`].
    pub const fn windows_version(self) -> (u8, u8, u16) {
        match self.or_windows() {
            Self::Windows {
                major,
                minor,
                build,
                ..
            } => (major, minor, build),
            Self::Linux => (10, 0, 17763),
        }
    }
}

const SERVER_2019: System = windows(10, 0, 17763, true, "Windows Server 2019 Standard");

const fn windows(major: u8, minor: u8, build: u16, server: bool, title: &'static str) -> System {
    System::Windows {
        major,
        minor,
        build,
        server,
        title,
    }
}

/// A domain that a machine belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Domain {
    /// E.g. `corp.example.net`.
    pub dns: String,
    /// E.g. `CORP`.
    pub netbios: String,
}

impl Domain {
    /// The domain of this DNS name; its first label is its NetBIOS name.
    ///
    /// # Errors
    /// What a name must be, where this isn't one.
    pub fn new(dns: &str) -> Result<Self, String> {
        let dns = dns.trim_end_matches('.').to_lowercase();
        let is_label = |label: &str| {
            (1..=63).contains(&label.len())
                && label
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        let labels: Vec<&str> = dns.split('.').collect();
        let numeric = labels.iter().all(|l| l.bytes().all(|b| b.is_ascii_digit()));
        if dns.len() > MAX_DOMAIN
            || labels.len() < 2
            || numeric
            || !labels.iter().all(|label| is_label(label))
        {
            return Err(format!(
                "must be a domain of at most {MAX_DOMAIN} characters, e.g. corp.example.net, not {dns:?}"
            ));
        }
        let netbios = netbios(labels.first().copied().unwrap_or_default());
        Ok(Self { dns, netbios })
    }

    /// Its distinguished name, e.g. `DC=corp,DC=example,DC=net`.
    pub fn distinguished_name(&self) -> String {
        let parts: Vec<String> = self.dns.split('.').map(|l| format!("DC={l}")).collect();
        parts.join(",")
    }
}

/// What a bird pretends to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    /// Its operating system.
    pub system: System,
    /// Its domain; none: it's in a workgroup.
    pub domain: Option<Domain>,
}

impl Bird {
    /// Its NetBIOS name: at most 15 capitals, digits and hyphens.
    pub fn netbios_name(&self) -> String {
        netbios(self.host())
    }

    /// NetBIOS name of its domain, or its workgroup.
    pub fn workgroup_or_domain(&self) -> String {
        let domain = self.machine.domain.as_ref();
        domain.map_or_else(|| WORKGROUP.to_owned(), |domain| domain.netbios.clone())
    }

    /// Its whole name in the DNS: with its domain, if it has one.
    pub fn dns_name(&self) -> String {
        match &self.machine.domain {
            Some(domain) => format!("{}.{}", self.host(), domain.dns),
            None => self.name.clone(),
        }
    }

    /// NetBIOS and DNS name of its domain.
    pub fn domain_names(&self) -> Option<(&str, &str)> {
        let domain = self.machine.domain.as_ref()?;
        Some((&domain.netbios, &domain.dns))
    }

    /// First label of its name.
    fn host(&self) -> &str {
        self.name.split('.').next().unwrap_or(&self.name)
    }
}

/// A label as a NetBIOS name.
fn netbios(label: &str) -> String {
    let capital = |c: char| match c.to_ascii_uppercase() {
        c if c.is_ascii_alphanumeric() => c,
        _ => '-',
    };
    label.chars().take(MAX_NETBIOS).map(capital).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_system_has_a_word_of_its_own() {
        for (word, system) in System::ALL {
            assert_eq!(System::find(word), Some(*system));
            assert_eq!(system.id(), *word);
            assert_eq!(system.is_windows(), word.starts_with("windows"));
        }
        assert_eq!(System::find("solaris"), None);
        assert_eq!(System::Linux.windows_version(), (10, 0, 17763));
    }

    #[test]
    fn a_domain_is_a_name_of_two_labels_or_more() {
        let domain = Domain::new("Corp.Example.NET.").unwrap();
        assert_eq!(
            (&*domain.dns, &*domain.netbios),
            ("corp.example.net", "CORP")
        );
        assert_eq!(domain.distinguished_name(), "DC=corp,DC=example,DC=net");
        let long = Domain::new("a-department-with-a-name.example").unwrap();
        assert_eq!(long.netbios, "A-DEPARTMENT-WI");
        for wrong in [
            "",
            "corp",
            "a..b",
            "-a.b",
            "a b.c",
            "192.0.2.1",
            &"a.".repeat(40),
        ] {
            assert!(Domain::new(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn names_follow_the_domain() {
        let mut bird = Bird {
            name: "backup_server-number-1.example".to_owned(),
            ..std::sync::Arc::into_inner(Bird::sample()).unwrap()
        };
        assert_eq!(bird.netbios_name(), "BACKUP-SERVER-N");
        assert_eq!(bird.workgroup_or_domain(), "WORKGROUP");
        assert_eq!(bird.dns_name(), "backup_server-number-1.example");
        assert_eq!(bird.domain_names(), None);
        bird.name = "srv-01".to_owned();
        bird.machine.domain = Domain::new("corp.example.net").ok();
        assert_eq!(bird.workgroup_or_domain(), "CORP");
        assert_eq!(bird.dns_name(), "srv-01.corp.example.net");
        assert_eq!(bird.domain_names(), Some(("CORP", "corp.example.net")));
    }
}
