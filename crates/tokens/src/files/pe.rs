//! Windows programs: where a signature goes, and the digest that it is about (PE format, section
//! "Attribute Certificate Table"; "Windows Authenticode Portable Executable Signature Format").

use sha2::{Digest, Sha256};

use super::signer::Signer;

/// Largest program taken, in bytes.
pub const MAX_PROGRAM: usize = 10 * 1024 * 1024;

/// The certificate table stands in the fifth of the optional header's directories.
const SECURITY: usize = 4;
const REVISION: u16 = 0x0200;
const PKCS_SIGNED_DATA: u16 = 2;

/// `program` with the signature of `signer`, in place of one it may have had.
pub fn sign(program: &[u8], signer: &Signer) -> Result<Vec<u8>, String> {
    let layout =
        Layout::of(program).ok_or("is no Windows program (.exe or .dll) that can be read")??;
    let mut out = program.get(..layout.end).unwrap_or_default().to_vec();
    // The table begins at a multiple of eight; the digest counts the zeros before it.
    pad(&mut out);
    let digest = layout.digest(&out);
    let mut table = signer.sign(&digest);
    pad(&mut table);
    let (at, len) = (out.len(), table.len().saturating_add(8));
    out.extend_from_slice(&long(len));
    out.extend_from_slice(&REVISION.to_le_bytes());
    out.extend_from_slice(&PKCS_SIGNED_DATA.to_le_bytes());
    out.extend_from_slice(&table);
    put(&mut out, layout.security, &long(at));
    put(&mut out, layout.security.saturating_add(4), &long(len));
    let sum = checksum(&out, layout.checksum);
    put(&mut out, layout.checksum, &sum.to_le_bytes());
    Ok(out)
}

/// Where things are in a program.
struct Layout {
    /// Its checksum.
    checksum: usize,
    /// Place and length of its certificate table.
    security: usize,
    /// Where it ends without that table.
    end: usize,
}

impl Layout {
    /// `None` for what isn't a program at all.
    fn of(program: &[u8]) -> Option<Result<Self, String>> {
        if !program.starts_with(b"MZ") {
            return None;
        }
        let head = usize::try_from(u32_at(program, 0x3c)?).ok()?;
        if head % 8 != 0 || !program.get(head..)?.starts_with(b"PE\0\0") {
            return None;
        }
        let optional = head.checked_add(24)?;
        let directories = match u16_at(program, optional)? {
            0x10b => optional.checked_add(96)?,
            0x20b => optional.checked_add(112)?,
            _ => return None,
        };
        let header_end =
            optional.checked_add(usize::from(u16_at(program, head.checked_add(20)?)?))?;
        program.get(..header_end)?;
        let count = u32_at(program, directories.checked_sub(4)?)?;
        let security = directories.checked_add(SECURITY * 8)?;
        if usize::try_from(count).ok()? <= SECURITY || security.checked_add(8)? > header_end {
            return Some(Err(
                "has a header without room for a signature; link it anew".to_owned(),
            ));
        }
        let (at, len) = (
            usize::try_from(u32_at(program, security)?).ok()?,
            usize::try_from(u32_at(program, security.checked_add(4)?)?).ok()?,
        );
        let end = if at == 0 || len == 0 {
            program.len()
        } else if at >= header_end && at.checked_add(len)? == program.len() {
            at
        } else {
            return Some(Err(
                "is signed in a way that can't be replaced; upload it without a signature"
                    .to_owned(),
            ));
        };
        Some(Ok(Self {
            checksum: optional.checked_add(64)?,
            security,
            end,
        }))
    }

    /// Everything but the checksum and the entry of the certificate table.
    fn digest(&self, bytes: &[u8]) -> Vec<u8> {
        let part = |from: usize, to: usize| bytes.get(from..to).unwrap_or_default();
        let mut hash = Sha256::new();
        hash.update(part(0, self.checksum));
        hash.update(part(self.checksum.saturating_add(4), self.security));
        hash.update(part(self.security.saturating_add(8), bytes.len()));
        hash.finalize().to_vec()
    }
}

/// The sum of all 16-bit words with the carry added in, and the length; the field itself counts as
/// zero.
fn checksum(bytes: &[u8], field: usize) -> u32 {
    let mut sum = 0_u32;
    for (n, pair) in bytes.chunks(2).enumerate() {
        let at = n.saturating_mul(2);
        let mut word = [0; 2];
        for (place, byte) in word.iter_mut().zip(pair) {
            *place = *byte;
        }
        if at >= field && at < field.saturating_add(4) {
            continue;
        }
        sum = sum.wrapping_add(u32::from(u16::from_le_bytes(word)));
        sum = (sum & 0xffff).wrapping_add(sum >> 16);
    }
    let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    sum.wrapping_add(len)
}

fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(8), 0);
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    if let Some(place) = bytes.get_mut(at..at.saturating_add(value.len())) {
        place.copy_from_slice(value);
    }
}

fn long(value: usize) -> [u8; 4] {
    u32::try_from(value).unwrap_or(u32::MAX).to_le_bytes()
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::files::signer::Places;
    use coalmine_core::{Seed, Timestamp};

    /// The least that is a program: headers of a 64-bit one without sections, and some data.
    pub(crate) fn program() -> Vec<u8> {
        let mut out = b"MZ".to_vec();
        out.resize(0x3c, 0);
        out.extend_from_slice(&long(0x40));
        out.extend_from_slice(b"PE\0\0\x64\x86\0\0");
        out.resize(0x40 + 20, 0);
        out.extend_from_slice(&240_u16.to_le_bytes());
        out.extend_from_slice(&0x22_u16.to_le_bytes());
        let optional = out.len();
        out.extend_from_slice(&0x20b_u16.to_le_bytes());
        out.resize(optional + 108, 0);
        out.extend_from_slice(&long(16));
        out.resize(optional + 240, 0);
        out.extend_from_slice(b"some data of an odd length");
        out
    }

    fn signer() -> Signer {
        let places = Places {
            issuer: "http://a.example/i".to_owned(),
            status: "http://a.example/s".to_owned(),
            revoked: Some("http://a.example/r".to_owned()),
        };
        Signer::new(
            &Seed::new([1; 32]),
            Timestamp::from_secs(1_700_000_000),
            "Example",
            &places,
        )
    }

    #[test]
    fn a_signed_program_has_its_table_at_the_end_and_can_be_signed_again() {
        let signed = sign(&program(), &signer()).unwrap();
        let layout = Layout::of(&signed).unwrap().unwrap();
        assert_eq!(layout.end % 8, 0);
        let stored = u32_at(&signed, layout.checksum).unwrap();
        assert_eq!(checksum(&signed, layout.checksum), stored);
        assert_eq!(sign(&signed, &signer()).unwrap(), signed);
        // The digest is of everything but what signing changes.
        let mut padded = program();
        pad(&mut padded);
        let before = Layout::of(&program()).unwrap().unwrap().digest(&padded);
        assert_eq!(before, layout.digest(&signed[..layout.end]));
    }

    #[test]
    fn headers_that_lie_are_refused() {
        for (at, value) in [
            (0x3c, 0xffff_ffff_u32),
            (0x3c, 0x41),
            (0x40, 0),
            (0x40 + 24, 0x107),
        ] {
            let mut bytes = program();
            put(&mut bytes, at, &value.to_le_bytes());
            assert!(Layout::of(&bytes).is_none(), "{at:#x}");
        }
        let mut few = program();
        put(&mut few, 0x40 + 24 + 108, &long(4));
        assert!(sign(&few, &signer()).unwrap_err().contains("without room"));
        let mut inside = program();
        put(&mut inside, 0x40 + 24 + 112 + 32, &long(0x150));
        put(&mut inside, 0x40 + 24 + 112 + 36, &long(8));
        assert!(
            sign(&inside, &signer())
                .unwrap_err()
                .contains("can't be replaced")
        );
        // A header that is longer than the file.
        let whole = program();
        let head = whole.len() - "some data of an odd length".len();
        assert!(Layout::of(&whole[..head]).is_some());
        assert!(Layout::of(&whole[..head - 1]).is_none());
        let signer = signer();
        for len in 0..whole.len() {
            let _ = sign(&whole[..len], &signer);
        }
    }
}
