//! NTLM's three messages (MS-NLMP), as a server sees them: parsed, answered, and written down in the
//! form that password crackers take.

mod crypto;

#[cfg(test)]
mod tests;

use crate::Malformed;
use crate::bytes::{array, escaped, to_utf16, u16_at, u32_at, utf16};

pub(crate) use self::crypto::{Keys, server_signature};

/// Longest message that is read: a header and six fields of at most 64 KiB, of which real clients
/// fill one or two kilobytes.
pub const MAX_MESSAGE: usize = 64 * 1024;
/// Most AV_PAIRs that are read.
const MAX_PAIRS: usize = 64;

const SIGNATURE: &[u8; 8] = b"NTLMSSP\0";

/// Bits of `NegotiateFlags` (MS-NLMP section 2.2.2.5).
pub mod flags {
    #![expect(missing_docs, reason = "the names are the specification's")]
    pub const UNICODE: u32 = 0x1;
    pub const OEM: u32 = 0x2;
    pub const REQUEST_TARGET: u32 = 0x4;
    pub const SIGN: u32 = 0x10;
    pub const SEAL: u32 = 0x20;
    pub const LM_KEY: u32 = 0x80;
    pub const NTLM: u32 = 0x200;
    pub const ANONYMOUS: u32 = 0x800;
    pub const OEM_DOMAIN_SUPPLIED: u32 = 0x1000;
    pub const OEM_WORKSTATION_SUPPLIED: u32 = 0x2000;
    pub const ALWAYS_SIGN: u32 = 0x8000;
    pub const TARGET_TYPE_DOMAIN: u32 = 0x1_0000;
    pub const TARGET_TYPE_SERVER: u32 = 0x2_0000;
    pub const EXTENDED_SESSIONSECURITY: u32 = 0x8_0000;
    pub const IDENTIFY: u32 = 0x10_0000;
    pub const REQUEST_NON_NT_SESSION_KEY: u32 = 0x40_0000;
    pub const TARGET_INFO: u32 = 0x80_0000;
    pub const VERSION: u32 = 0x200_0000;
    pub const KEY_128: u32 = 0x2000_0000;
    pub const KEY_EXCH: u32 = 0x4000_0000;
    pub const KEY_56: u32 = 0x8000_0000;
}

/// What the client chooses and the server repeats.
const ECHOED: u32 = flags::SIGN
    | flags::SEAL
    | flags::NTLM
    | flags::ALWAYS_SIGN
    | flags::EXTENDED_SESSIONSECURITY
    | flags::IDENTIFY
    | flags::KEY_128
    | flags::KEY_EXCH
    | flags::KEY_56;

/// AV_PAIR ids (MS-NLMP section 2.2.2.1).
mod av {
    pub(super) const EOL: u16 = 0;
    pub(super) const NB_COMPUTER: u16 = 1;
    pub(super) const NB_DOMAIN: u16 = 2;
    pub(super) const DNS_COMPUTER: u16 = 3;
    pub(super) const DNS_DOMAIN: u16 = 4;
    pub(super) const DNS_TREE: u16 = 5;
    pub(super) const FLAGS: u16 = 6;
    pub(super) const TIMESTAMP: u16 = 7;
    pub(super) const TARGET_NAME: u16 = 9;
}

/// Bit of MsvAvFlags: the AUTHENTICATE has a MIC.
const AV_HAS_MIC: u32 = 2;

/// Version of an operating system (MS-NLMP section 2.2.2.10).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version {
    /// E.g. 10.
    pub major: u8,
    /// E.g. 0.
    pub minor: u8,
    /// E.g. 17763.
    pub build: u16,
}

impl Version {
    /// What Samba sends (`auth/ntlmssp/ntlmssp_server.c` names it "what Windows returns").
    pub const SAMBA: Self = Self {
        major: 6,
        minor: 1,
        build: 0,
    };

    fn read(bytes: &[u8], offset: usize) -> Result<Self, Malformed> {
        let [major, minor, low, high] = array(bytes, offset)?;
        Ok(Self {
            major,
            minor,
            build: u16::from_le_bytes([low, high]),
        })
    }

    /// With the revision of NTLM, 15, at the end.
    fn bytes(self) -> [u8; 8] {
        let [low, high] = self.build.to_le_bytes();
        [self.major, self.minor, low, high, 0, 0, 0, 15]
    }
}

impl From<(u8, u8, u16)> for Version {
    /// From major, minor and build.
    fn from((major, minor, build): (u8, u8, u16)) -> Self {
        Self {
            major,
            minor,
            build,
        }
    }
}

/// What the CHALLENGE tells of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// E.g. `SRV-01`.
    pub netbios_name: String,
    /// E.g. `CORP`; the machine's own name where it's in no domain.
    pub netbios_domain: String,
    /// E.g. `srv-01.corp.example.net`.
    pub dns_name: String,
    /// E.g. `corp.example.net`; the machine's own name where it's in no domain.
    pub dns_domain: String,
    /// Name of the forest; empty: left out.
    pub dns_tree: String,
    /// Whether the target is the domain and not the machine.
    pub joined: bool,
    /// Of the operating system; told unasked, as Windows and Samba 4.17 do.
    pub version: Version,
    /// Whether the time is told.
    pub timestamp: bool,
}

impl Target {
    /// A Windows of this name and version, in a workgroup or in the domain `(NetBIOS name, DNS
    /// name)`. `dns_name` is the machine's whole name.
    pub fn windows(
        netbios_name: &str,
        dns_name: &str,
        domain: Option<(&str, &str)>,
        version: Version,
    ) -> Self {
        let (netbios_domain, dns_domain) = domain.unwrap_or((netbios_name, dns_name));
        Self {
            netbios_name: netbios_name.to_owned(),
            netbios_domain: netbios_domain.to_owned(),
            dns_name: dns_name.to_owned(),
            dns_domain: dns_domain.to_owned(),
            dns_tree: domain.map_or_else(String::new, |(_, dns)| dns.to_owned()),
            joined: domain.is_some(),
            version,
            timestamp: true,
        }
    }

    /// A Samba that stands alone.
    pub fn samba(netbios_name: &str, dns_name: &str, dns_domain: &str) -> Self {
        Self {
            netbios_name: netbios_name.to_owned(),
            netbios_domain: netbios_name.to_owned(),
            dns_name: dns_name.to_owned(),
            dns_domain: dns_domain.to_owned(),
            dns_tree: String::new(),
            joined: false,
            version: Version::SAMBA,
            timestamp: true,
        }
    }

    /// What is challenged: the domain, or the machine.
    pub fn name(&self) -> &str {
        if self.joined {
            &self.netbios_domain
        } else {
            &self.netbios_name
        }
    }
}

/// Whether `bytes` begin as NTLM's messages do.
pub fn is_ntlmssp(bytes: &[u8]) -> bool {
    bytes.starts_with(SIGNATURE)
}

/// Which message it is.
fn kind(message: &[u8]) -> Result<u32, Malformed> {
    if !is_ntlmssp(message) || message.len() > MAX_MESSAGE {
        return Err(Malformed);
    }
    u32_at(message, 8)
}

/// What a field's head at `at` points to (MS-NLMP section 2.2.1).
fn field(message: &[u8], at: usize) -> Result<&[u8], Malformed> {
    let length = usize::from(u16_at(message, at)?);
    if length == 0 {
        return Ok(&[]);
    }
    let offset = u32_at(message, at.saturating_add(4))?;
    let start = usize::try_from(offset).map_err(|_| Malformed)?;
    let end = start.checked_add(length).ok_or(Malformed)?;
    message.get(start..end).ok_or(Malformed)
}

/// The client's first message (section 2.2.1.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Negotiate {
    /// What it can do.
    pub flags: u32,
    /// Its domain, where it says so.
    pub domain: Option<String>,
    /// Its own name, where it says so.
    pub workstation: Option<String>,
    /// Its version, where it says so.
    pub version: Option<Version>,
}

impl Negotiate {
    /// Reads one; many clients send no more than the flags.
    ///
    /// # Errors
    /// [`Malformed`] for other messages and for fields that lie outside.
    pub fn parse(message: &[u8]) -> Result<Self, Malformed> {
        if kind(message)? != 1 {
            return Err(Malformed);
        }
        let flags = u32_at(message, 12)?;
        let text = |flag: u32, at: usize| {
            let supplied = flags & flag != 0;
            supplied
                .then(|| field(message, at).map(escaped))
                .transpose()
        };
        Ok(Self {
            flags,
            domain: text(flags::OEM_DOMAIN_SUPPLIED, 16)?,
            workstation: text(flags::OEM_WORKSTATION_SUPPLIED, 24)?,
            version: match flags & flags::VERSION {
                0 => None,
                _ => Version::read(message, 32).ok(),
            },
        })
    }
}

/// The server's message (section 2.2.1.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// What the client mixes with the password.
    pub server_challenge: [u8; 8],
    /// The message.
    pub bytes: Vec<u8>,
}

impl Challenge {
    /// The answer to `negotiate`. `filetime` counts 100 ns since 1601.
    pub fn new(
        target: &Target,
        negotiate: &Negotiate,
        server_challenge: [u8; 8],
        filetime: u64,
    ) -> Self {
        let asked = negotiate.flags;
        let mut flags = (asked & ECHOED) | flags::NTLM | flags::TARGET_INFO;
        flags |= match asked & flags::UNICODE {
            0 => flags::OEM,
            _ => flags::UNICODE,
        };
        if asked & flags::EXTENDED_SESSIONSECURITY == 0 {
            flags |= asked & flags::LM_KEY;
        }
        if asked & flags::REQUEST_TARGET != 0 {
            flags |= flags::REQUEST_TARGET;
            flags |= match target.joined {
                true => flags::TARGET_TYPE_DOMAIN,
                false => flags::TARGET_TYPE_SERVER,
            };
        }
        flags |= flags::VERSION;
        let name = match (asked & flags::REQUEST_TARGET, asked & flags::UNICODE) {
            (0, _) => Vec::new(),
            (_, 0) => target.name().as_bytes().to_vec(),
            _ => to_utf16(target.name()),
        };
        let info = target_info(target, filetime);
        let start = 56;

        let mut bytes = SIGNATURE.to_vec();
        bytes.extend(2u32.to_le_bytes());
        bytes.extend(head(name.len(), start));
        bytes.extend(flags.to_le_bytes());
        bytes.extend(server_challenge);
        bytes.extend([0; 8]);
        bytes.extend(head(info.len(), name.len().saturating_add(start)));
        bytes.extend(target.version.bytes());
        bytes.extend(name);
        bytes.extend(info);
        Self {
            server_challenge,
            bytes,
        }
    }
}

/// Head of a field: length, room, offset.
fn head(length: usize, offset: usize) -> [u8; 8] {
    let [low, high] = u16::try_from(length).unwrap_or(u16::MAX).to_le_bytes();
    let [a, b, c, d] = u32::try_from(offset).unwrap_or(u32::MAX).to_le_bytes();
    [low, high, low, high, a, b, c, d]
}

/// TargetInfo, in the order of Windows and Samba.
fn target_info(target: &Target, filetime: u64) -> Vec<u8> {
    let mut info = Vec::new();
    let mut pair = |id: u16, value: &[u8]| {
        info.extend(id.to_le_bytes());
        let length = u16::try_from(value.len()).unwrap_or(u16::MAX);
        info.extend(length.to_le_bytes());
        info.extend_from_slice(value);
    };
    pair(av::NB_DOMAIN, &to_utf16(&target.netbios_domain));
    pair(av::NB_COMPUTER, &to_utf16(&target.netbios_name));
    pair(av::DNS_DOMAIN, &to_utf16(&target.dns_domain));
    pair(av::DNS_COMPUTER, &to_utf16(&target.dns_name));
    if !target.dns_tree.is_empty() {
        pair(av::DNS_TREE, &to_utf16(&target.dns_tree));
    }
    if target.timestamp {
        pair(av::TIMESTAMP, &filetime.to_le_bytes());
    }
    pair(av::EOL, &[]);
    info
}

/// How a login was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Response {
    /// With no user and no response.
    Anonymous,
    /// NTLMv1 (section 3.3.1), or with the LM response alone.
    V1,
    /// NTLMv1 with extended session security, "NTLM2 session response".
    V1Extended,
    /// NTLMv2 (section 3.3.2).
    V2,
    /// With responses that no client makes.
    Malformed,
}

/// The client's second message (section 2.2.1.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authenticate {
    /// Who wants in.
    pub user: String,
    /// Whose user that is.
    pub domain: String,
    /// The client's own name.
    pub workstation: String,
    /// Its version, where it says so.
    pub version: Option<Version>,
    /// What was negotiated; 0 from clients of old that don't say.
    pub flags: u32,
    /// LmChallengeResponse.
    pub lm: Vec<u8>,
    /// NtChallengeResponse.
    pub nt: Vec<u8>,
    /// EncryptedRandomSessionKey.
    pub session_key: Vec<u8>,
    /// The code over all three messages, where the client says that there is one.
    pub mic: Option<[u8; 16]>,
    /// The service that it wants, where it says so.
    pub target_name: Option<String>,
}

/// Where the MIC stands.
pub(crate) const MIC: std::ops::Range<usize> = 72..88;

impl Authenticate {
    /// Reads one.
    ///
    /// # Errors
    /// [`Malformed`] for other messages and for fields that lie outside.
    pub fn parse(message: &[u8]) -> Result<Self, Malformed> {
        if kind(message)? != 3 {
            return Err(Malformed);
        }
        let fields = [12, 20, 28, 36, 44];
        let (lm, nt) = (field(message, 12)?, field(message, 20)?);
        // What comes after the heads begins where the first field does: old clients leave out the
        // session key, the flags, the version and the MIC.
        let mut payload = message.len();
        for at in fields {
            if u16_at(message, at)? != 0 {
                let start = u32_at(message, at.saturating_add(4))?;
                payload = payload.min(usize::try_from(start).map_err(|_| Malformed)?);
            }
        }
        let (session_key, flags) = if payload >= 64 {
            (field(message, 52)?, u32_at(message, 60)?)
        } else {
            (&[][..], 0)
        };
        // A client that says nothing of letters writes Unicode where its texts look so.
        let unicode = flags & flags::UNICODE != 0 || (flags == 0 && looks_wide(message));
        let text = |at: usize| {
            let bytes = field(message, at)?;
            Ok(if unicode {
                utf16(bytes)
            } else {
                escaped(bytes)
            })
        };
        let mut read = Self {
            user: text(36)?,
            domain: text(28)?,
            workstation: text(44)?,
            version: match flags & flags::VERSION {
                0 => None,
                _ if payload < 72 => None,
                _ => Version::read(message, 64).ok(),
            },
            flags,
            lm: lm.to_vec(),
            nt: nt.to_vec(),
            session_key: session_key.to_vec(),
            mic: None,
            target_name: None,
        };
        if read.response() == Response::V2 {
            for (id, value) in pairs(nt.get(44..).unwrap_or_default()) {
                match id {
                    av::TARGET_NAME if !value.is_empty() => read.target_name = Some(utf16(value)),
                    av::FLAGS if u32_at(value, 0)? & AV_HAS_MIC != 0 && payload >= MIC.end => {
                        read.mic = array(message, MIC.start).ok();
                    }
                    _ => {}
                }
            }
        }
        Ok(read)
    }

    /// How the login was made.
    pub fn response(&self) -> Response {
        match (self.lm.as_slice(), self.nt.len()) {
            ([] | [0], 0) if self.user.is_empty() => Response::Anonymous,
            (lm, 24) if lm.len() == 24 && lm.ends_with(&[0; 16]) => Response::V1Extended,
            (_, 24) => Response::V1,
            (lm, 0) if lm.len() == 24 => Response::V1,
            (_, 44..) => Response::V2,
            _ => Response::Malformed,
        }
    }

    /// The line that hashcat and john take: modes 5500 and 5600, formats netntlm and netntlmv2. None
    /// where there's nothing to guess, and for names that would break the line.
    pub fn hash(&self, server_challenge: &[u8; 8]) -> Option<String> {
        let breaks = |text: &str| text.contains(|c: char| c == ':' || c.is_control());
        if breaks(&self.user) || breaks(&self.domain) {
            return None;
        }
        let (user, domain) = (&self.user, &self.domain);
        let challenge = hex::encode(server_challenge);
        match self.response() {
            Response::V1 | Response::V1Extended if !self.nt.is_empty() => {
                let (lm, nt) = (hex::encode(&self.lm), hex::encode(&self.nt));
                Some(format!("{user}::{domain}:{lm}:{nt}:{challenge}"))
            }
            Response::V2 => {
                let (proof, blob) = self.nt.split_at_checked(16)?;
                let (proof, blob) = (hex::encode(proof), hex::encode(blob));
                Some(format!("{user}::{domain}:{challenge}:{proof}:{blob}"))
            }
            // LMv2 (MS-NLMP 3.3.2) beside the stump of an NTLMv2 response, by which tedious logs in:
            // it's made as NTLMv2 is, of the client's challenge alone.
            Response::Malformed if self.lm.len() == 24 && self.nt.len() == 16 => {
                let (proof, blob) = self.lm.split_at_checked(16)?;
                let (proof, blob) = (hex::encode(proof), hex::encode(blob));
                Some(format!("{user}::{domain}:{challenge}:{proof}:{blob}"))
            }
            _ => None,
        }
    }
}

/// Whether the user's name has a zero for its second byte.
fn looks_wide(message: &[u8]) -> bool {
    matches!(field(message, 36), Ok([_, 0, ..]))
}

/// The AV_PAIRs of a v2 response, as far as they're whole.
fn pairs(mut bytes: &[u8]) -> Vec<(u16, &[u8])> {
    let mut found = Vec::new();
    while let (Ok(id), Ok(length)) = (u16_at(bytes, 0), u16_at(bytes, 2)) {
        let rest = bytes.get(4..).unwrap_or_default();
        let Some((value, rest)) = rest.split_at_checked(usize::from(length)) else {
            break;
        };
        if id == av::EOL || found.len() == MAX_PAIRS {
            break;
        }
        found.push((id, value));
        bytes = rest;
    }
    found
}
