//! What a Kerberos client shows when it comes with a ticket (RFC 4120): all that isn't encrypted.

use crate::Malformed;
use crate::ber::{BIT_STRING, INTEGER, OCTET_STRING, OID, Reader, SEQUENCE, context, number};
use crate::bytes::escaped;

/// `[APPLICATION 14]`, an AP-REQ.
const AP_REQ: u8 = 0x6e;
/// `[APPLICATION 1]`, a ticket.
const TICKET: u8 = 0x61;
/// GeneralString.
const GENERAL_STRING: u8 = 0x1b;
/// `[APPLICATION 0]`: the frame of GSS-API's first token (RFC 2743 section 3.1).
pub(crate) const GSS_FRAME: u8 = 0x60;
/// Token id of an AP-REQ inside that frame (RFC 4121 section 4.1).
const TOKEN_AP_REQ: &[u8] = &[1, 0];
/// Most parts of a service's name.
const MAX_PARTS: usize = 16;

/// An AP-REQ (RFC 4120 section 5.5.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApReq {
    /// Realm of the service, e.g. `CORP.EXAMPLE.NET`.
    pub realm: String,
    /// Name of the service, its parts with a slash between, e.g. `HTTP/srv.corp.example.net`.
    pub service: String,
    /// Version of the ticket's format: 5.
    pub ticket_version: i64,
    /// Encryption of the ticket, e.g. 18 for AES-256 or 23 for RC4 (RFC 3961 section 8).
    pub ticket_encryption: i64,
    /// Encryption of the authenticator.
    pub authenticator_encryption: i64,
    /// Which of the service's keys the ticket was made with.
    pub key_version: Option<i64>,
}

impl ApReq {
    /// Reads one, bare or inside GSS-API's frame.
    ///
    /// # Errors
    /// [`Malformed`] where it's something else.
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut outside = Reader::new(bytes);
        let bare = match outside.optional(GSS_FRAME)? {
            None => bytes,
            Some(framed) => {
                let mut framed = Reader::new(framed);
                framed.take(OID)?;
                framed.rest().strip_prefix(TOKEN_AP_REQ).ok_or(Malformed)?
            }
        };
        let mut request = Reader::new(bare).reader(AP_REQ)?.reader(SEQUENCE)?;
        if tagged_number(&mut request, 0)? != 5 || tagged_number(&mut request, 1)? != 14 {
            return Err(Malformed);
        }
        request.reader(context(2))?.take(BIT_STRING)?;
        let mut ticket = request.reader(context(3))?;
        let mut ticket = ticket.reader(TICKET)?.reader(SEQUENCE)?;
        let ticket_version = tagged_number(&mut ticket, 0)?;
        let realm = escaped(ticket.reader(context(1))?.take(GENERAL_STRING)?);
        let mut name = ticket.reader(context(2))?.reader(SEQUENCE)?;
        tagged_number(&mut name, 0)?;
        let mut names = name.reader(context(1))?.reader(SEQUENCE)?;
        let mut parts = Vec::new();
        while !names.is_empty() {
            if parts.len() == MAX_PARTS {
                return Err(Malformed);
            }
            parts.push(escaped(names.take(GENERAL_STRING)?));
        }
        let (ticket_encryption, key_version) = encrypted(&mut ticket.reader(context(3))?)?;
        let (authenticator_encryption, _) = encrypted(&mut request.reader(context(4))?)?;
        Ok(Self {
            realm,
            service: parts.join("/"),
            ticket_version,
            ticket_encryption,
            authenticator_encryption,
            key_version,
        })
    }
}

/// `[tag] INTEGER`.
fn tagged_number(reader: &mut Reader<'_>, tag: u8) -> Result<i64, Malformed> {
    reader.reader(context(tag))?.integer()
}

/// EncryptedData (RFC 4120 section 5.2.9): its encryption and the version of the key.
fn encrypted(reader: &mut Reader<'_>) -> Result<(i64, Option<i64>), Malformed> {
    let mut data = reader.reader(SEQUENCE)?;
    let encryption = tagged_number(&mut data, 0)?;
    let version = match data.optional(context(1))? {
        Some(contents) => Some(number(Reader::new(contents).take(INTEGER)?)?),
        None => None,
    };
    data.reader(context(2))?.take(OCTET_STRING)?;
    Ok((encryption, version))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    #[test]
    fn an_ap_req_shows_service_realm_and_encryption() {
        let expected = ApReq {
            realm: "CORP.EXAMPLE.NET".to_owned(),
            service: "HTTP/srv-01.corp.example.net".to_owned(),
            ticket_version: 5,
            ticket_encryption: 18,
            authenticator_encryption: 18,
            key_version: Some(3),
        };
        let framed = framed();
        assert_eq!(ApReq::parse(&framed), Ok(expected.clone()));
        let bare = framed.windows(2).position(|w| w == [1, 0]).unwrap() + 2;
        assert_eq!(ApReq::parse(&framed[bare..]), Ok(expected));
    }

    #[test]
    fn no_piece_of_an_ap_req_is_one() {
        let framed = framed();
        for end in 0..framed.len() {
            assert_eq!(ApReq::parse(&framed[..end]), Err(Malformed), "{end}");
        }
    }

    /// Written by impacket 0.13.1's ASN.1 (`impacket.krb5.asn1`), in GSS-API's frame.
    pub(crate) fn framed() -> Vec<u8> {
        let text = include_str!("testdata/ap-req.hex");
        hex::decode(text.trim()).unwrap()
    }
}
