//! Personalities: which decoys a pretended machine offers when nothing else is said.

/// One kind of pretended machine.
#[derive(Debug, PartialEq, Eq)]
pub struct Personality {
    /// Wire name, e.g. `linux-nas`.
    pub id: &'static str,
    /// What it looks like, one sentence.
    pub doc: &'static str,
    /// What made-up names begin with.
    pub prefix: &'static str,
    /// What it offers.
    pub decoys: Decoys,
}

/// Which decoys a personality offers.
#[derive(Debug, PartialEq, Eq)]
pub enum Decoys {
    /// Those of these ids.
    These(&'static [&'static str]),
    /// Every decoy there is.
    All,
}

impl Personality {
    /// Whether its birds tell of port scans when nothing else is said.
    pub fn watches(&self) -> bool {
        self.decoys != Decoys::These(&[])
    }

    /// Whether it offers the decoy of this id.
    pub fn offers(&self, id: &str) -> bool {
        match self.decoys {
            Decoys::These(ids) => ids.contains(&id),
            Decoys::All => true,
        }
    }
}

/// Every personality there is, the default first.
pub static PERSONALITIES: &[Personality] = &[
    Personality {
        id: "linux-nas",
        doc: "A storage box that somebody left too open: file transfer, remote login, a web login, a database.",
        prefix: "nas",
        decoys: Decoys::These(&[
            "ftp", "ssh", "telnet", "http", "https", "mysql", "tftp", "ntp",
        ]),
    },
    Personality {
        id: "linux-server",
        doc: "A server of an application: SSH, web and a database.",
        prefix: "srv",
        decoys: Decoys::These(&["ssh", "http", "https", "mysql"]),
    },
    Personality {
        id: "merry-christmas",
        doc: "Every decoy at once, as no real machine is: to try things out, not to deceive.",
        prefix: "test",
        decoys: Decoys::All,
    },
    Personality {
        id: "bare",
        doc: "Nothing but what the configuration names.",
        prefix: "host",
        decoys: Decoys::These(&[]),
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
        decoys: Decoys::These(&[]),
    };
    PERSONALITIES.first().unwrap_or(&EMPTY)
}
