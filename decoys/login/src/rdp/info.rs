//! The Client Info PDU: who wants to log in, with the password in the clear (MS-RDPBCGR section
//! 2.2.1.11).

use coalmine_core::decoy::Broken;
use coalmine_core::text::printable;

use super::reader::{Reader, text16};

/// The basic security header's flag of this PDU.
const SEC_INFO_PKT: u16 = 0x40;
/// The client wants to be logged in without being asked.
const INFO_AUTOLOGON: u32 = 0x8;
/// Texts are UTF-16.
const INFO_UNICODE: u32 = 0x10;

/// What it says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Info {
    pub domain: String,
    pub user: String,
    /// None where the user is to be asked.
    pub password: Option<String>,
    /// Program to be started instead of the desktop.
    pub shell: String,
    /// The client's address as it sees itself.
    pub address: String,
    /// Where the client program lies.
    pub folder: String,
    /// Name of the client's time zone.
    pub time_zone: String,
}

impl Info {
    /// Reads what comes on the I/O channel; `None` where it's another PDU.
    pub(super) fn parse(data: &[u8]) -> Result<Option<Self>, Broken> {
        let mut data = Reader::new(data);
        let flags = data.u16()?;
        data.u16()?;
        if flags & SEC_INFO_PKT == 0 {
            return Ok(None);
        }
        data.u32()?;
        let flags = data.u32()?;
        let unicode = flags & INFO_UNICODE != 0;
        let zero = if unicode { 2 } else { 1 };
        let mut lengths = [0; 5];
        for length in &mut lengths {
            *length = usize::from(data.u16()?);
        }
        let mut texts: [String; 5] = Default::default();
        for (text, length) in texts.iter_mut().zip(lengths) {
            let bytes = data.take(length)?;
            data.take(zero)?;
            *text = if unicode {
                text16(bytes)
            } else {
                printable(bytes)
            };
        }
        let [domain, user, password, shell, _] = texts;
        let asked = password.is_empty() && flags & INFO_AUTOLOGON == 0;
        let mut info = Self {
            domain,
            user,
            password: (!asked).then_some(password),
            shell,
            ..Self::default()
        };
        // Clients from before RDP 5.0 stop here, and some stop early.
        let _ = info.extended(&mut data);
        Ok(Some(info))
    }

    /// The extended part (`TS_EXTENDED_INFO_PACKET`).
    fn extended(&mut self, data: &mut Reader<'_>) -> Result<(), Broken> {
        data.u16()?;
        let length = data.u16()?;
        self.address = text16(data.take(usize::from(length))?);
        let length = data.u16()?;
        self.folder = text16(data.take(usize::from(length))?);
        data.u32()?;
        self.time_zone = text16(data.take(64)?);
        Ok(())
    }
}
