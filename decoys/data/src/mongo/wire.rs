//! Messages of MongoDB's wire protocol (mongodb.com/docs, "MongoDB Wire Protocol").

use super::bson::{Doc, Raw, c_string};

/// Length of a header, in bytes.
pub(super) const HEADER: usize = 16;
/// Most sections of documents beside the body.
const MAX_SEQUENCES: usize = 2;

pub(super) const OP_REPLY: i32 = 1;
pub(super) const OP_UPDATE: i32 = 2001;
pub(super) const OP_INSERT: i32 = 2002;
pub(super) const OP_QUERY: i32 = 2004;
pub(super) const OP_GET_MORE: i32 = 2005;
pub(super) const OP_DELETE: i32 = 2006;
pub(super) const OP_KILL_CURSORS: i32 = 2007;
pub(super) const OP_MSG: i32 = 2013;

/// The first 16 bytes of every message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    /// Of the whole message, in bytes.
    pub length: i32,
    pub id: i32,
    pub opcode: i32,
}

impl Header {
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let number = |at: usize| {
            let end = at.checked_add(4)?;
            Some(i32::from_le_bytes(bytes.get(at..end)?.try_into().ok()?))
        };
        Some(Self {
            length: number(0)?,
            id: number(4)?,
            opcode: number(12)?,
        })
    }
}

/// Why a command isn't carried out.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    code: i32,
    /// Empty where the code has no name of its own.
    name: &'static str,
    text: Vec<u8>,
}

impl Refusal {
    pub fn new(code: i32, name: &'static str, text: impl Into<Vec<u8>>) -> Self {
        let text = text.into();
        Self { code, name, text }
    }

    /// One whose code stands for a place in the source.
    pub fn at(code: i32, text: impl Into<Vec<u8>>) -> Self {
        Self::new(code, "", text)
    }

    pub fn document(&self) -> Doc {
        let doc = Doc::new()
            .double("ok", 0.0)
            .text("errmsg", &self.text)
            .int("code", self.code);
        if self.name.is_empty() {
            doc.text("codeName", format!("Location{}", self.code))
        } else {
            doc.text("codeName", self.name)
        }
    }
}

/// An `OP_MSG` without its header.
#[derive(Debug)]
pub(super) struct Message<'a> {
    /// The sender wants no answer.
    pub more_to_come: bool,
    pub body: Result<Raw<'a>, Refusal>,
}

impl<'a> Message<'a> {
    /// `None` where flags are set that every receiver must know and nobody does.
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        let (flags, sections) = bytes.split_first_chunk::<4>()?;
        let flags = u32::from_le_bytes(*flags);
        if flags & 0xfffc != 0 {
            return None;
        }
        let sections = match flags & 1 {
            0 => Some(sections),
            // A checksum (CRC-32C) ends the message; it protects nothing here.
            _ => sections
                .split_last_chunk::<4>()
                .map(|(rest, _)| rest)
                .filter(|rest| !rest.is_empty()),
        };
        let body = sections.map(body).unwrap_or_else(|| {
            let text = "Invalid message size for an OpMsg containing a checksum";
            Err(Refusal::at(51251, text))
        });
        Some(Self {
            more_to_come: flags & 2 != 0,
            body,
        })
    }
}

/// The body among the sections of a message.
fn body(mut rest: &[u8]) -> Result<Raw<'_>, Refusal> {
    let invalid = || Refusal::new(22, "InvalidBSON", "Invalid BSON");
    let mut body = None;
    let mut names: Vec<&[u8]> = Vec::new();
    while let Some((kind, after)) = rest.split_first() {
        rest = after;
        match kind {
            0 => {
                if body.is_some() {
                    return Err(Refusal::at(40430, "Multiple body sections in message"));
                }
                body = Some(Raw::take(&mut rest).ok_or_else(invalid)?);
            }
            1 => {
                if names.len() >= MAX_SEQUENCES {
                    let text = "Too many document sequences in OP_MSG";
                    return Err(Refusal::new(233, "TooManyDocumentSequences", text));
                }
                let length = rest.first_chunk().map(|size| i32::from_le_bytes(*size));
                let length = length.and_then(|length| usize::try_from(length).ok());
                let (sequence, after) = length
                    .and_then(|length| rest.split_at_checked(length))
                    .ok_or_else(invalid)?;
                rest = after;
                let named = sequence.get(4..).and_then(c_string);
                let (name, mut documents) = named.ok_or_else(invalid)?;
                if names.contains(&name) {
                    let text = [b"Duplicate document sequence: ", name].concat();
                    return Err(Refusal::at(40431, text));
                }
                names.push(name);
                while !documents.is_empty() {
                    Raw::take(&mut documents).ok_or_else(invalid)?;
                }
            }
            2 => {
                let text = "Unsupported Security Token provided";
                return Err(Refusal::new(13, "Unauthorized", text));
            }
            other => {
                return Err(Refusal::at(40432, format!("Unknown section kind {other}")));
            }
        }
    }
    let body = body.ok_or_else(|| Refusal::at(40587, "OP_MSG messages must have a body"))?;
    for name in names {
        if body.fields().any(|field| field.name == name) {
            let text = [b"Duplicate field between body and document sequence ", name].concat();
            return Err(Refusal::at(40433, text));
        }
    }
    Ok(body)
}

/// An `OP_QUERY` without its header.
#[derive(Debug)]
pub(super) struct Query<'a> {
    /// Database and collection.
    pub namespace: &'a [u8],
    pub count: i32,
    pub document: Raw<'a>,
}

impl<'a> Query<'a> {
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        let (namespace, rest) = c_string(bytes.get(4..)?)?;
        let count = i32::from_le_bytes(*rest.get(4..)?.first_chunk()?);
        let document = Raw::take(&mut rest.get(8..)?)?;
        Some(Self {
            namespace,
            count,
            document,
        })
    }
}

/// A whole `OP_MSG` in answer to the message `to`.
pub(super) fn message(id: i32, to: i32, document: Doc) -> Vec<u8> {
    let mut body = vec![0; 5];
    body.extend(document.bytes());
    framed(id, to, OP_MSG, &body)
}

/// A whole `OP_REPLY` in answer to the message `to`.
pub(super) fn reply(id: i32, to: i32, flags: i32, document: Doc) -> Vec<u8> {
    let mut body = flags.to_le_bytes().to_vec();
    // Cursor, place in it, number of documents.
    body.extend([0; 12]);
    body.extend(1_i32.to_le_bytes());
    body.extend(document.bytes());
    framed(id, to, OP_REPLY, &body)
}

fn framed(id: i32, to: i32, opcode: i32, body: &[u8]) -> Vec<u8> {
    let length = i32::try_from(body.len().saturating_add(HEADER)).unwrap_or(i32::MAX);
    let mut message = Vec::with_capacity(body.len().saturating_add(HEADER));
    for number in [length, id, to, opcode] {
        message.extend(number.to_le_bytes());
    }
    message.extend(body);
    message
}
