//! TPKT and X.224: how a connection is asked for and what it's secured with (MS-RDPBCGR section
//! 2.2.1.1 and 2.2.1.2, RFC 1006).

use coalmine_core::decoy::Broken;
use coalmine_core::text::printable;

/// Bytes before the contents: version, reserved, length of all in two bytes.
const TPKT: usize = 4;
/// Longest Connection Request: its length indicator is one byte.
const MAX_REQUEST: usize = TPKT + 1 + 254;
/// Longest cookie or routing token that is kept, in bytes.
const MAX_COOKIE: usize = 255;

/// What a connection may be secured with (`requestedProtocols`, MS-RDPBCGR 2.2.1.1.1).
pub(super) mod protocol {
    /// TLS.
    pub const SSL: u32 = 1;
    /// CredSSP inside TLS: Network Level Authentication.
    pub const HYBRID: u32 = 2;
    /// RDSTLS, for clients that a broker sent here.
    pub const RDSTLS: u32 = 4;
    /// CredSSP, then the word whether the user may come in.
    pub const HYBRID_EX: u32 = 8;
}

/// Why none of them is (`failureCode`, MS-RDPBCGR 2.2.1.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    SslRequired = 1,
    HybridRequired = 5,
}

/// A Connection Request.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Request {
    /// The client's own reference, which the confirm repeats.
    pub reference: [u8; 2],
    /// The line before the negotiation: `Cookie: mstshash=…` or a broker's routing token.
    pub cookie: Option<String>,
    /// `flags` and `requestedProtocols`; a client from before RDP 5.2 sends none.
    pub negotiation: Option<(u8, u32)>,
}

/// The client demands to log in without delegating its credentials, as tools do that have a hash
/// instead of a password.
pub(super) const RESTRICTED_ADMIN: u8 = 1;

impl Request {
    /// Reads what is in a TPKT.
    pub(super) fn parse(pdu: &[u8]) -> Result<Self, Broken> {
        let (indicator, rest) = pdu.split_first().ok_or(Broken)?;
        let (&[code, _, _, high, low, _], mut rest) =
            rest.split_first_chunk::<6>().ok_or(Broken)?;
        if usize::from(*indicator) != pdu.len().saturating_sub(1) || code & 0xf0 != 0xe0 {
            return Err(Broken);
        }
        let mut request = Self {
            reference: [high, low],
            ..Self::default()
        };
        if let Some(end) = rest.windows(2).position(|pair| pair == b"\r\n") {
            let (line, after) = rest.split_at(end);
            request.cookie = Some(printable(line.get(..MAX_COOKIE).unwrap_or(line)));
            rest = after.get(2..).unwrap_or_default();
        }
        // Type 1, flags, length 8; what may follow it is a number for logs alone.
        if let Some((&[1, flags, 8, 0, a, b, c, d], _)) = rest.split_first_chunk::<8>() {
            request.negotiation = Some((flags, u32::from_le_bytes([a, b, c, d])));
        }
        Ok(request)
    }

    /// The user that the cookie names: as a rule the first nine letters of the name that somebody
    /// typed.
    pub(super) fn user(&self) -> Option<&str> {
        let name = self.cookie.as_deref()?.strip_prefix("Cookie: mstshash=")?;
        (!name.is_empty()).then_some(name)
    }

    /// Confirms without a word on security: to a client that said none.
    pub(super) fn confirm_old(&self) -> Vec<u8> {
        self.confirm(&[])
    }

    /// Confirms with one of the protocols asked for. Flags: extended client data, graphics over
    /// dynamic channels, restricted administration, redirected authentication.
    pub(super) fn confirm_with(&self, protocol: u32) -> Vec<u8> {
        let [a, b, c, d] = protocol.to_le_bytes();
        self.confirm(&[2, 0x1f, 8, 0, a, b, c, d])
    }

    /// Says why the connection isn't made.
    pub(super) fn refuse(&self, failure: Failure) -> Vec<u8> {
        self.confirm(&[3, 0, 8, 0, failure as u8, 0, 0, 0])
    }

    fn confirm(&self, negotiation: &[u8]) -> Vec<u8> {
        let indicator = u8::try_from(negotiation.len().saturating_add(6)).unwrap_or(6);
        let [high, low] = self.reference;
        // 0x1234 is what Windows calls its own end.
        let mut pdu = vec![indicator, 0xd0, high, low, 0x12, 0x34, 0];
        pdu.extend(negotiation);
        tpkt(&pdu)
    }
}

/// Contents of the TPKT at the front of `input` and its length with the header; `None` while it
/// isn't whole.
pub(super) fn frame(input: &[u8], longest: usize) -> Result<Option<(&[u8], usize)>, Broken> {
    let Some((version, _)) = input.split_first() else {
        return Ok(None);
    };
    if *version != 3 {
        return Err(Broken);
    }
    let Some((&[_, _, high, low], _)) = input.split_first_chunk::<TPKT>() else {
        return Ok(None);
    };
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length <= TPKT || length > longest {
        return Err(Broken);
    }
    Ok(input.get(TPKT..length).map(|pdu| (pdu, length)))
}

/// The same for the Connection Request.
pub(super) fn request_frame(input: &[u8]) -> Result<Option<(&[u8], usize)>, Broken> {
    frame(input, MAX_REQUEST)
}

/// Contents of an X.224 Data TPDU.
pub(super) fn data(pdu: &[u8]) -> Result<&[u8], Broken> {
    pdu.strip_prefix(&[2, 0xf0, 0x80]).ok_or(Broken)
}

/// `payload` as X.224 Data inside a TPKT.
pub(super) fn send(payload: &[u8]) -> Vec<u8> {
    tpkt(&[&[2, 0xf0, 0x80], payload].concat())
}

fn tpkt(pdu: &[u8]) -> Vec<u8> {
    let length = pdu.len().saturating_add(TPKT);
    let [high, low] = u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes();
    [&[3, 0, high, low], pdu].concat()
}
