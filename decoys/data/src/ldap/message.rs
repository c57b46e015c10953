//! What a client may ask (RFC 4511 section 4), read as liblber reads it: values are taken by their
//! place, whatever their tags, and only what doesn't fit at all is refused.

use coalmine_wire::Malformed;
use coalmine_wire::ber::{self, Reader};

/// Most attributes, changes or controls of one request.
const MAX_ITEMS: usize = 1_000;

/// A request around its operation.
pub(super) struct Message<'a> {
    pub id: i64,
    /// Tag of the operation.
    pub op: u8,
    pub body: &'a [u8],
    /// What follows the operation.
    pub rest: &'a [u8],
}

impl<'a> Message<'a> {
    /// One whole message. Its errors end the connection without a word.
    pub fn read(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut message = Reader::new(bytes).reader(ber::SEQUENCE)?;
        let (_, id) = message.any()?;
        if id.len() > 4 {
            return Err(Malformed);
        }
        let id = ber::number(id)?;
        let (op, body) = message.any()?;
        Ok(Self {
            id,
            op,
            body,
            rest: message.rest(),
        })
    }
}

/// A control (section 4.1.11).
#[derive(Debug)]
pub(super) struct Control<'a> {
    pub oid: &'a [u8],
    pub critical: bool,
    pub value: Option<&'a [u8]>,
}

/// Why controls can't be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum BadControls {
    /// Something else follows the operation.
    Unexpected,
    Malformed,
}

/// The controls of a message.
pub(super) fn controls(rest: &[u8]) -> Result<Vec<Control<'_>>, BadControls> {
    let mut controls = Vec::new();
    match rest.first() {
        None => return Ok(controls),
        Some(0xa0) => {}
        Some(_) => return Err(BadControls::Unexpected),
    }
    let mut list = Reader::new(rest)
        .reader(0xa0)
        .map_err(|_| BadControls::Malformed)?;
    while !list.is_empty() {
        let control = list.reader(ber::SEQUENCE).and_then(control);
        controls.push(control.map_err(|_| BadControls::Malformed)?);
        if controls.len() > MAX_ITEMS {
            return Err(BadControls::Malformed);
        }
    }
    Ok(controls)
}

fn control(mut control: Reader<'_>) -> Result<Control<'_>, Malformed> {
    let oid = control.take(ber::OCTET_STRING)?;
    let critical = control.optional(ber::BOOLEAN)?;
    let value = control.optional(ber::OCTET_STRING)?;
    Ok(Control {
        oid,
        critical: critical.is_some_and(|b| b.first().is_some_and(|b| *b != 0)),
        value,
    })
}

/// A bind (section 4.2).
pub(super) struct Bind<'a> {
    pub version: i64,
    pub name: &'a [u8],
    pub method: Method<'a>,
}

pub(super) enum Method<'a> {
    Simple(&'a [u8]),
    Sasl {
        mechanism: &'a [u8],
        credentials: Option<&'a [u8]>,
    },
    /// Another tag: Microsoft's Sicily is 0x89 to 0x8b.
    Other(u8, &'a [u8]),
}

impl<'a> Bind<'a> {
    pub fn read(body: &'a [u8]) -> Result<Self, Malformed> {
        let mut bind = Reader::new(body);
        let version = ber::number(bind.any()?.1)?;
        let (_, name) = bind.any()?;
        let (tag, secret) = bind.any()?;
        let method = match tag {
            0x80 => Method::Simple(secret),
            0xa3 => {
                let mut sasl = Reader::new(secret);
                let (_, mechanism) = sasl.any()?;
                Method::Sasl {
                    mechanism,
                    credentials: sasl.optional(ber::OCTET_STRING)?,
                }
            }
            tag => Method::Other(tag, secret),
        };
        Ok(Self {
            version,
            name,
            method,
        })
    }
}

/// A search (section 4.5.1), without what's read later.
pub(super) struct Search<'a> {
    pub base: &'a [u8],
    pub scope: i64,
    pub deref: i64,
    pub size_limit: i64,
    pub time_limit: i64,
    pub types_only: bool,
    /// The filter and the list of attributes.
    pub rest: Reader<'a>,
}

impl<'a> Search<'a> {
    pub fn read(body: &'a [u8]) -> Result<Self, Malformed> {
        let mut search = Reader::new(body);
        let (_, base) = search.any()?;
        let mut number = || ber::number(search.any()?.1);
        let (scope, deref) = (number()?, number()?);
        let (size_limit, time_limit) = (number()?, number()?);
        let types_only = number()? != 0;
        Ok(Self {
            base,
            scope,
            deref,
            size_limit,
            time_limit,
            types_only,
            rest: search,
        })
    }
}

/// The attributes that a search asks for, behind its filter.
pub(super) fn attributes(mut rest: Reader<'_>) -> Result<Vec<&[u8]>, Malformed> {
    strings(rest.reader(ber::SEQUENCE)?)
}

fn strings(mut list: Reader<'_>) -> Result<Vec<&[u8]>, Malformed> {
    let mut strings = Vec::new();
    while !list.is_empty() {
        strings.push(list.any()?.1);
        if strings.len() > MAX_ITEMS {
            return Err(Malformed);
        }
    }
    Ok(strings)
}

/// An attribute and its values, with what a modification does with them.
pub(super) struct Change<'a> {
    /// 0 add, 1 delete, 2 replace, 3 increment; 0 in an entry that is added.
    pub operation: i64,
    pub attribute: &'a [u8],
    pub values: Vec<&'a [u8]>,
}

fn partial<'a>(operation: i64, mut attribute: Reader<'a>) -> Result<Change<'a>, Malformed> {
    let (_, name) = attribute.any()?;
    Ok(Change {
        operation,
        attribute: name,
        values: strings(attribute.reader(ber::SET)?)?,
    })
}

/// Name and changes of a modification (section 4.6), or of an entry that is added (section 4.7).
pub(super) fn changes(body: &[u8], added: bool) -> Result<(&[u8], Vec<Change<'_>>), Malformed> {
    let mut request = Reader::new(body);
    let (_, name) = request.any()?;
    let mut list = request.reader(ber::SEQUENCE)?;
    let mut changes = Vec::new();
    while !list.is_empty() {
        let mut item = list.reader(ber::SEQUENCE)?;
        changes.push(if added {
            partial(0, item)?
        } else {
            let operation = ber::number(item.any()?.1)?;
            partial(operation, item.reader(ber::SEQUENCE)?)?
        });
        if changes.len() > MAX_ITEMS {
            return Err(Malformed);
        }
    }
    Ok((name, changes))
}

/// A change of a name (section 4.9).
pub(super) struct Rename<'a> {
    pub name: &'a [u8],
    pub new: &'a [u8],
    pub superior: Option<&'a [u8]>,
}

impl<'a> Rename<'a> {
    pub fn read(body: &'a [u8]) -> Result<Self, Malformed> {
        let mut rename = Reader::new(body);
        let (_, name) = rename.any()?;
        let (_, new) = rename.any()?;
        rename.any()?;
        Ok(Self {
            name,
            new,
            superior: rename.optional(0x80)?,
        })
    }
}

/// Name, attribute and value of a comparison (section 4.10).
pub(super) fn compare(body: &[u8]) -> Result<[&[u8]; 3], Malformed> {
    let mut compare = Reader::new(body);
    let (_, name) = compare.any()?;
    let mut assertion = compare.reader(ber::SEQUENCE)?;
    Ok([name, assertion.any()?.1, assertion.any()?.1])
}

/// Name and value of an extended request (section 4.12).
pub(super) fn extended(body: &[u8]) -> Result<(&[u8], Option<&[u8]>), Malformed> {
    let mut request = Reader::new(body);
    let (_, oid) = request.any()?;
    Ok((oid, request.optional(0x81)?))
}
