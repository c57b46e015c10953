//! What the client is, guessed from how it speaks.

use coalmine_wire::accept::Login;
use coalmine_wire::ntlmssp::Version;

use super::negotiate::Offer;

/// What is known of a client.
#[derive(Clone, Debug, Default)]
pub(super) struct Client {
    /// It began in SMB 1.
    pub(super) multi_protocol: bool,
    offer: Offer,
    version: Option<Version>,
    workstation: String,
    /// It asked for Apple's extension.
    pub(super) apple: bool,
}

impl Client {
    pub(super) fn offered(&mut self, offer: &Offer) {
        self.offer = offer.clone();
    }

    pub(super) fn authenticated(&mut self, login: &Login) {
        self.version = login.version;
        self.workstation.clone_from(&login.workstation);
    }

    /// Windows by the version in its NTLM messages; others by what only they do. Guids of random
    /// letters are impacket's; a kernel says its own version, and Samba that of Windows 7 without a
    /// build number.
    pub(super) fn guess(&self) -> &'static str {
        if self.apple {
            return "macOS";
        }
        let version = self.version.map(|v| (v.major, v.minor, v.build));
        match version {
            Some((10, 0, build)) if build >= 22_000 => return "Win11/2022",
            Some((10, 0, build)) if build >= 10_240 => return "Win10/2016",
            Some((6, 3, build)) if build > 0 => return "Win8.1/2012R2",
            Some((6, 2, build)) if build > 0 => return "Win8/2012",
            Some((6, 1, 7_600..=7_601)) => return "Win7/2008R2",
            Some((6, 0, 6_000..=6_003)) => return "Vista/2008",
            Some((5, _, build)) if build > 0 => return "WinXP/2003",
            _ => {}
        }
        let letters = self.offer.guid.iter().all(u8::is_ascii_alphabetic);
        if letters && self.offer.guid != [0; 16] {
            return "impacket";
        }
        match version {
            Some((6, 1, 0)) => "Samba",
            Some((major, ..)) if (3..=9).contains(&major) => "Linux",
            _ => "UNKNOWN",
        }
    }
}
