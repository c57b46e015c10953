//! Personalities: what a pretended machine offers when nothing else is said.

use toml::Table;

/// One kind of pretended machine.
#[derive(Debug, PartialEq, Eq)]
pub struct Personality {
    /// Wire name, e.g. `linux-nas`.
    pub id: &'static str,
    /// What it looks like, one sentence.
    pub doc: &'static str,
    /// What made-up names begin with.
    pub prefix: &'static str,
    /// Whether it offers every decoy there is.
    pub everything: bool,
    /// What it offers and how, in the words of a `[[bird]]`; what the operator says goes before it.
    pub toml: &'static str,
}

impl Personality {
    /// The part of a `[[bird]]` that stands for this personality.
    pub fn table(&self) -> Table {
        #[expect(clippy::expect_used, reason = "a test reads every one of them")]
        self.toml.parse().expect("a personality is TOML")
    }

    /// Whether it offers the decoy of this id.
    pub fn offers(&self, id: &str) -> bool {
        self.everything || self.table().contains_key(id)
    }
}

/// Every personality there is, the default first.
pub static PERSONALITIES: &[Personality] = &[
    Personality {
        id: "linux-nas",
        doc: "A storage box that somebody left too open: file shares, file transfer, remote login, a web login, a database.",
        prefix: "nas",
        everything: false,
        toml: "[portscan]\n[ftp]\n[ssh]\n[telnet]\n[http]\n[https]\n[smb]\n[mysql]\n[tftp]\n[ntp]\n",
    },
    Personality {
        id: "linux-server",
        doc: "A server of an application: SSH, Apache's start page and a cache.",
        prefix: "srv",
        everything: false,
        toml: "[portscan]\n[ssh]\n[http]\nskin = 'apacheDefault'\n[https]\nskin = 'apacheDefault'\n[redis]\n",
    },
    Personality {
        id: "linux-db",
        doc: "A server of databases.",
        prefix: "db",
        everything: false,
        toml: "[portscan]\n[ssh]\n[mysql]\n[redis]\n[mongo]\n",
    },
    Personality {
        id: "linux-desktop",
        doc: "A workstation that shows its screen to whoever has the password.",
        prefix: "ws",
        everything: false,
        toml: "[portscan]\n[ssh]\n[vnc]\n",
    },
    Personality {
        id: "docker-host",
        doc: "A host of containers whose engine listens without TLS, and a server of source code.",
        prefix: "build",
        everything: false,
        toml: "[portscan]\n[ssh]\n[git]\n[http]\nport = 2375\nskin = 'dockerApi'\n",
    },
    Personality {
        id: "linux-proxy",
        doc: "A web proxy that asks for a login.",
        prefix: "proxy",
        everything: false,
        toml: "[portscan]\n[ssh]\n[httpproxy]\nport = 3128\n[snmp]\n",
    },
    Personality {
        id: "linux-directory",
        doc: "A directory of users and groups: OpenLDAP, and SSH.",
        prefix: "ldap",
        everything: false,
        toml: "[portscan]\n[ssh]\n[ldap]\n[ldaps]\n",
    },
    Personality {
        id: "voip-pbx",
        doc: "A telephone exchange: SIP, and where telephones fetch their settings.",
        prefix: "pbx",
        everything: false,
        toml: "[portscan]\n[ssh]\n[sip]\n[tftp]\n[ntp]\n[https]\nskin = 'basicLogin'\n",
    },
    Personality {
        id: "windows-server-2019",
        doc: "A Windows server with IIS, a file share, Remote Desktop and remote management.",
        prefix: "srv",
        everything: false,
        toml: "system = 'windows-server-2019'\n[portscan]\n[http]\nskin = 'iisStart'\n[smb]\n[rdp]\n[winrm]\n",
    },
    Personality {
        id: "windows-server-2022",
        doc: "The same, three years newer.",
        prefix: "srv",
        everything: false,
        toml: "system = 'windows-server-2022'\n[portscan]\n[http]\nskin = 'iisStart'\n[smb]\n[rdp]\n[winrm]\n",
    },
    Personality {
        id: "windows-dc",
        doc: "A domain controller: Active Directory, file shares and Remote Desktop, in a domain made up where `domain` names none.",
        prefix: "dc",
        everything: false,
        toml: "system = 'windows-server-2019'\n[portscan]\n[smb]\nadvanced.enabled = true\n[ldap]\n[ldaps]\n[rdp]\n[winrm]\n",
    },
    Personality {
        id: "windows-desktop",
        doc: "A Windows 11 workstation with a shared folder and Remote Desktop.",
        prefix: "desktop",
        everything: false,
        toml: "system = 'windows-11'\n[portscan]\n[smb]\n[rdp]\n",
    },
    Personality {
        id: "windows-sql",
        doc: "A Windows server with a database of SQL Server, Remote Desktop and remote management.",
        prefix: "sql",
        everything: false,
        toml: "system = 'windows-server-2019'\n[portscan]\n[mssql]\nversion = '2019'\n[smb]\n[rdp]\n[winrm]\n",
    },
    Personality {
        id: "cisco-router",
        doc: "A router that still speaks Telnet.",
        prefix: "rtr",
        everything: false,
        toml: "[portscan]\n[telnet]\nproduct = 'cisco-ios'\n[snmp]\nproduct = 'cisco-ios'\n[ntp]\n",
    },
    Personality {
        id: "rockwell-plc",
        doc: "A programmable logic controller on the plant's network.",
        prefix: "plc",
        everything: false,
        toml: "[portscan]\n[modbus]\n[snmp]\nproduct = 'rockwell'\n",
    },
    Personality {
        id: "mainframe",
        doc: "A mainframe's logon screen.",
        prefix: "sys",
        everything: false,
        toml: "[portscan]\n[tn3270]\n",
    },
    Personality {
        id: "merry-christmas",
        doc: "Every decoy at once, as no real machine is: to try things out, not to deceive.",
        prefix: "test",
        everything: true,
        toml: "[portscan]\n[tn3270]\nport = 3270\n",
    },
    Personality {
        id: "bare",
        doc: "Nothing but what the configuration names.",
        prefix: "host",
        everything: false,
        toml: "",
    },
];

/// The personality of this id.
pub fn find(id: &str) -> Option<&'static Personality> {
    PERSONALITIES.iter().find(|p| p.id == id)
}

/// The one without configuration.
pub fn default() -> &'static Personality {
    static EMPTY: Personality = Personality {
        id: "bare",
        doc: "",
        prefix: "host",
        everything: false,
        toml: "",
    };
    PERSONALITIES.first().unwrap_or(&EMPTY)
}
