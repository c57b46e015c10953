//! Files that tokens are made of: written from nothing, or into what the owner uploaded.
//!
//! *Invariant:* the same seed gives the same bytes; another seed shares no constant with it that the
//! real product's files don't share. What reads uploads has bounded memory and nesting.

pub mod archive;
pub mod der;
pub mod excel;
pub mod labels;
pub mod macros;
pub mod ooxml;
pub mod pdf;
pub mod pe;
pub mod prose;
pub mod rsa;
pub mod signer;
pub mod vba;
pub mod word;
pub mod xml;

#[cfg(test)]
mod tests;

use coalmine_core::settings::Fault;
use coalmine_core::token::{Artefact, ArtefactFile, Token};
use coalmine_core::{Seed, TokenId};
use rand_core::Rng;
use serde_json::{Map, Value};

/// Largest file that is taken, in bytes.
pub const MAX_UPLOAD: usize = 10 * 1024 * 1024;

/// An artefact that is one file. Its name and type are fields of the token called `field` and
/// `_name`, `_type`.
pub fn artefact(field: &str, name: &str, mime: &'static str, bytes: Vec<u8>) -> Artefact {
    let name = file_name(name);
    Artefact {
        fields: Map::from_iter([
            (format!("{field}_name"), Value::from(name.as_str())),
            (format!("{field}_type"), Value::from(mime)),
        ]),
        file: Some(ArtefactFile { name, mime, bytes }),
        ..Artefact::default()
    }
}

/// What [`artefact`] says of a token's file, for its event, and where the file is downloaded.
pub fn told(token: &Token, field: &str) -> Map<String, Value> {
    let mut fields = Map::from_iter([(field.to_owned(), Value::from(download(&token.id)))]);
    for name in [format!("{field}_name"), format!("{field}_type")] {
        if let Some(value) = token.fields.get(&name) {
            fields.insert(name, value.clone());
        }
    }
    fields
}

/// The path at the Console that gives the token's file.
pub fn download(id: &TokenId) -> String {
    format!("/api/v1/canarytoken/download?canarytoken={id}")
}

/// The fault of an upload.
pub fn refused(field: &str) -> impl FnOnce(String) -> Vec<Fault> {
    move |problem| vec![Fault::new(field, format!("the file {problem}"))]
}

/// `name` with nothing that a header or a shell would have to quote.
fn file_name(name: &str) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let name = name.rsplit(['/', '\\']).next().unwrap_or(name);
    let name: String = name
        .chars()
        .map(|c| if safe(c) { c } else { '_' })
        .collect();
    name.trim_start_matches('.').to_owned()
}

/// Choices drawn from a token's seed, each from the stream of its own label.
pub struct Dice(Box<dyn Rng>);

impl Dice {
    /// The stream named `label` of `seed`.
    pub fn new(seed: &Seed, label: &str) -> Self {
        Self(Box::new(seed.rng(label)))
    }

    /// From `low` to `high - 1`; `low` where that is empty.
    pub fn number(&mut self, low: u32, high: u32) -> u32 {
        let span = high.saturating_sub(low).max(1);
        low.saturating_add(self.0.next_u32() % span)
    }

    /// True `percent` times of a hundred.
    pub fn chance(&mut self, percent: u32) -> bool {
        self.number(0, 100) < percent
    }

    /// One of them; the default of the type where there are none.
    pub fn pick<T: Copy + Default>(&mut self, of: &[T]) -> T {
        let at = self.number(0, u32::try_from(of.len()).unwrap_or(u32::MAX));
        of.get(usize::try_from(at).unwrap_or(0))
            .copied()
            .unwrap_or_default()
    }

    /// `N` bytes.
    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.0.fill_bytes(&mut bytes);
        bytes
    }

    /// A GUID of version 4 as Windows writes it, in upper case without braces.
    pub fn guid(&mut self) -> String {
        guid_of(&self.bytes::<16>())
    }

    /// Puts them in another order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = self.number(0, u32::try_from(last + 1).unwrap_or(u32::MAX));
            items.swap(last, usize::try_from(other).unwrap_or(0));
        }
    }
}

/// The first 16 bytes as a GUID of version 4 (RFC 9562 section 5.4), in upper case without braces.
pub fn guid_of(bytes: &[u8]) -> String {
    let mut b = [0; 16];
    for (byte, given) in b.iter_mut().zip(bytes) {
        *byte = *given;
    }
    b[6] = b[6] & 0x0f | 0x40;
    b[8] = b[8] & 0x3f | 0x80;
    let hex = data_encoding::HEXUPPER.encode(&b);
    let (a, rest) = hex.split_at(8);
    let (b, rest) = rest.split_at(4);
    let (c, rest) = rest.split_at(4);
    let (d, e) = rest.split_at(4);
    format!("{a}-{b}-{c}-{d}-{e}")
}
