//! Just enough of a PDF to find its catalog and first page: both kinds of cross-reference, streams of
//! objects, and nothing that isn't on that way.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Read;

use flate2::read::ZlibDecoder;

/// Sections of the cross-reference that are followed.
const MAX_SECTIONS: usize = 64;
/// Objects of a document.
const MAX_OBJECTS: usize = 500_000;
/// Longest stream that is unpacked, in bytes.
const MAX_STREAM: usize = 8 * 1024 * 1024;
/// Longest dictionary that is changed, in bytes.
const MAX_DICT: usize = 1024 * 1024;
/// Entries of a dictionary.
const MAX_ENTRIES: usize = 10_000;
/// Deepest nesting of a value.
const MAX_DEPTH: usize = 64;
/// Deepest tree of pages.
const MAX_TREE: usize = 32;
/// How far from its end a document says where its cross-reference is.
const TAIL: usize = 2048;

pub(super) const DAMAGED: &str =
    "is a PDF whose structure can't be read; print it to a new PDF and upload that";
const ENCRYPTED: &str = "is encrypted; save it without a password";
const SIGNED: &str =
    "is signed, and every change would break the signature; upload an unsigned copy";
const TOO_LARGE: &str = "is a PDF with too large a structure; upload one with fewer pages";

/// How a document says where its objects are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    Table,
    Stream,
}

/// Where an object is.
#[derive(Clone, Copy, Debug)]
enum Place {
    At(usize),
    /// In the stream that is this object, at this index.
    In(u32, usize),
}

/// An object's value, and what stands behind it.
struct Body<'a> {
    raw: &'a [u8],
    after: &'a [u8],
}

/// A document.
pub(super) struct File<'a> {
    bytes: &'a [u8],
    places: BTreeMap<u32, Option<Place>>,
    /// The newest trailer.
    pub trailer: Dict<'a>,
    /// The number after its last object's.
    pub size: u32,
    /// Where its newest cross-reference begins.
    pub start: usize,
    /// What that is.
    pub style: Style,
}

impl<'a> File<'a> {
    /// Follows the cross-reference and refuses what can't be changed.
    pub fn open(bytes: &'a [u8]) -> Result<Self, String> {
        if !bytes.starts_with(b"%PDF-") {
            return Err("is no PDF".to_owned());
        }
        if find(bytes, b"/ByteRange").is_some() {
            return Err(SIGNED.to_owned());
        }
        let start = last_start(bytes).ok_or(DAMAGED)?;
        let mut file = Self {
            bytes,
            places: BTreeMap::new(),
            trailer: Dict::default(),
            size: 0,
            start,
            style: Style::Table,
        };
        let mut next = Some(start);
        let mut sections = 0;
        while let Some(at) = next {
            if sections == MAX_SECTIONS {
                return Err(TOO_LARGE.to_owned());
            }
            let (trailer, style) = file.section(at)?;
            if trailer.get("Encrypt").is_some() {
                return Err(ENCRYPTED.to_owned());
            }
            if style == Style::Table
                && let Some(hidden) = trailer.get("XRefStm").and_then(integer)
            {
                file.section(usize::try_from(hidden).map_err(|_| DAMAGED)?)?;
            }
            next = match trailer.get("Prev") {
                Some(raw) => Some(
                    integer(raw)
                        .and_then(|n| usize::try_from(n).ok())
                        .ok_or(DAMAGED)?,
                ),
                None => None,
            };
            if sections == 0 {
                (file.trailer, file.style) = (trailer, style);
            }
            sections += 1;
        }
        let size = file.trailer.get("Size").and_then(integer).ok_or(DAMAGED)?;
        let size = u32::try_from(size).map_err(|_| DAMAGED)?;
        // Some programs write too small a size.
        let last = file.places.keys().next_back().copied().unwrap_or(0);
        file.size = size.max(last.saturating_add(1));
        if file.size > 8_388_600 {
            return Err(TOO_LARGE.to_owned());
        }
        Ok(file)
    }

    /// Number and body of the document's root.
    pub fn catalog(&self) -> Result<((u32, u16), Vec<u8>), String> {
        let root = self
            .trailer
            .get("Root")
            .and_then(reference)
            .ok_or(DAMAGED)?;
        let body = self.object(root.0)?;
        let catalog = Dict::of(&body).ok_or(DAMAGED)?;
        if catalog.get("Perms").is_some() {
            return Err(SIGNED.to_owned());
        }
        if let Some(form) = catalog.get("AcroForm") {
            let form = self.value(form)?;
            let flags = Dict::of(&form).and_then(|form| form.get("SigFlags").and_then(integer));
            if flags.is_some_and(|flags| flags & 1 == 1) {
                return Err(SIGNED.to_owned());
            }
        }
        Ok((root, body))
    }

    /// Number and body of the first page.
    pub fn first_page(&self, catalog: &Dict<'_>) -> Result<((u32, u16), Vec<u8>), String> {
        let mut at = catalog.get("Pages").and_then(reference).ok_or(DAMAGED)?;
        for _ in 0..MAX_TREE {
            let body = self.object(at.0)?;
            let node = Dict::of(&body).ok_or(DAMAGED)?;
            let Some(kids) = node.get("Kids") else {
                return Ok((at, body));
            };
            let kids = self.value(kids)?;
            let first = kids.trim_ascii_start().strip_prefix(b"[").ok_or(DAMAGED)?;
            at = reference(first).ok_or(DAMAGED)?;
        }
        Err(DAMAGED.to_owned())
    }

    /// What `raw` says, or the object that it refers to.
    pub fn value(&self, raw: &[u8]) -> Result<Vec<u8>, String> {
        match reference(raw) {
            Some((id, _)) => self.object(id),
            None => Ok(raw.to_vec()),
        }
    }

    /// The body of an object that is no stream.
    fn object(&self, id: u32) -> Result<Vec<u8>, String> {
        match self.places.get(&id).copied().flatten().ok_or(DAMAGED)? {
            Place::At(at) => self.at(id, at).map(|body| body.raw.to_vec()),
            Place::In(stream, index) => {
                let Some(Some(Place::At(at))) = self.places.get(&stream).copied() else {
                    return Err(DAMAGED.to_owned());
                };
                let head = self.at(stream, at)?;
                let dict = Dict::of(head.raw).ok_or(DAMAGED)?;
                let content = self.stream(&head, &dict)?;
                member(&content, &dict, id, index)
                    .map(<[u8]>::to_vec)
                    .ok_or_else(|| DAMAGED.to_owned())
            }
        }
    }

    /// The value of the object `id` that begins at `at`.
    fn at(&self, id: u32, at: usize) -> Result<Body<'a>, String> {
        let rest = self.bytes.get(at..).ok_or(DAMAGED)?;
        let mut words = Words(rest);
        let found = words.number().ok_or(DAMAGED)?;
        if found != i64::from(id) || words.number().is_none() || !words.keyword(b"obj") {
            return Err(DAMAGED.to_owned());
        }
        let body = words.0.trim_ascii_start();
        let len = value_len(body, 0).ok_or(DAMAGED)?;
        if len > MAX_DICT {
            return Err(TOO_LARGE.to_owned());
        }
        let (raw, after) = body.split_at_checked(len).ok_or(DAMAGED)?;
        Ok(Body { raw, after })
    }

    /// What the stream whose dictionary is `head` holds.
    fn stream(&self, head: &Body<'_>, dict: &Dict<'_>) -> Result<Vec<u8>, String> {
        let rest = head
            .after
            .trim_ascii_start()
            .strip_prefix(b"stream")
            .ok_or(DAMAGED)?;
        let rest = rest
            .strip_prefix(b"\r\n")
            .or_else(|| rest.strip_prefix(b"\n"))
            .ok_or(DAMAGED)?;
        let length = dict.get("Length").ok_or(DAMAGED)?;
        let length = match reference(length) {
            None => integer(length),
            // The length is an object of its own, a number.
            Some((id, _)) => match self.places.get(&id).copied().flatten() {
                Some(Place::At(at)) => self.at(id, at).ok().and_then(|body| integer(body.raw)),
                _ => None,
            },
        };
        let length = length
            .and_then(|n| usize::try_from(n).ok())
            .ok_or(DAMAGED)?;
        let data = rest.get(..length).ok_or(DAMAGED)?;
        let filter = dict.get("Filter").map(single);
        let content = match filter.as_deref() {
            None | Some(b"") => data.to_vec(),
            Some(b"/FlateDecode" | b"/Fl") => inflate(data)?,
            Some(_) => return Err(DAMAGED.to_owned()),
        };
        let Some(parameters) = dict.get("DecodeParms") else {
            return Ok(content);
        };
        let parameters = single(parameters);
        let parameters = Dict::of(&parameters).ok_or(DAMAGED)?;
        match parameters.get("Predictor").and_then(integer).unwrap_or(1) {
            1 => Ok(content),
            10..=15 => {
                let columns = parameters.get("Columns").and_then(integer).unwrap_or(1);
                let columns = usize::try_from(columns).map_err(|_| DAMAGED)?;
                unpredict(&content, columns).ok_or_else(|| DAMAGED.to_owned())
            }
            _ => Err(DAMAGED.to_owned()),
        }
    }

    /// Reads one section of the cross-reference; what newer sections said stands.
    fn section(&mut self, at: usize) -> Result<(Dict<'a>, Style), String> {
        let rest = self.bytes.get(at..).ok_or(DAMAGED)?;
        let mut words = Words(rest);
        if words.keyword(b"xref") {
            return self.table(words).map(|trailer| (trailer, Style::Table));
        }
        let id = words
            .number()
            .and_then(|n| u32::try_from(n).ok())
            .ok_or(DAMAGED)?;
        let head = self.at(id, at)?;
        let dict = Dict::of(head.raw).ok_or(DAMAGED)?;
        if dict.get("Type") != Some(b"/XRef") {
            return Err(DAMAGED.to_owned());
        }
        if dict.get("Encrypt").is_some() {
            return Err(ENCRYPTED.to_owned());
        }
        let content = self.stream(&head, &dict)?;
        self.entries(&content, &dict)?;
        Ok((dict, Style::Stream))
    }

    /// Section 7.5.4.
    fn table(&mut self, mut words: Words<'a>) -> Result<Dict<'a>, String> {
        while !words.keyword(b"trailer") {
            let first = words
                .number()
                .and_then(|n| u32::try_from(n).ok())
                .ok_or(DAMAGED)?;
            let count = words
                .number()
                .and_then(|n| u32::try_from(n).ok())
                .ok_or(DAMAGED)?;
            for n in 0..count {
                let at = words.number().ok_or(DAMAGED)?;
                words.number().ok_or(DAMAGED)?;
                let place = if words.keyword(b"n") {
                    Some(Place::At(usize::try_from(at).map_err(|_| DAMAGED)?))
                } else if words.keyword(b"f") {
                    None
                } else {
                    return Err(DAMAGED.to_owned());
                };
                self.note(first.checked_add(n).ok_or(DAMAGED)?, place)?;
            }
        }
        let body = words.0.trim_ascii_start();
        Dict::of(body).ok_or_else(|| DAMAGED.to_owned())
    }

    /// Section 7.5.8.
    fn entries(&mut self, content: &[u8], dict: &Dict<'_>) -> Result<(), String> {
        let numbers = |name: &str| dict.get(name).map(array_of_numbers);
        let widths = numbers("W").flatten().ok_or(DAMAGED)?;
        let &[one, two, three] = widths.as_slice() else {
            return Err(DAMAGED.to_owned());
        };
        let size = dict.get("Size").and_then(integer).ok_or(DAMAGED)?;
        let index = match dict.get("Index") {
            Some(raw) => array_of_numbers(raw).ok_or(DAMAGED)?,
            None => vec![0, usize::try_from(size).map_err(|_| DAMAGED)?],
        };
        let mut rest = content;
        let mut field = |width: usize| -> Option<usize> {
            let (bytes, after) = rest.split_at_checked(width)?;
            rest = after;
            bytes.iter().try_fold(0_usize, |sum, byte| {
                sum.checked_mul(256)?.checked_add(usize::from(*byte))
            })
        };
        let width = one.saturating_add(two).saturating_add(three);
        if width == 0 {
            return Err(DAMAGED.to_owned());
        }
        for pair in index.chunks_exact(2) {
            let (Some(first), Some(count)) = (pair.first(), pair.last()) else {
                continue;
            };
            for n in 0..*count {
                let kind = if one == 0 { Some(1) } else { field(one) };
                let (Some(kind), Some(a), Some(b)) = (kind, field(two), field(three)) else {
                    // Shorter than it says: what is there counts.
                    return Ok(());
                };
                let id = first
                    .checked_add(n)
                    .and_then(|id| u32::try_from(id).ok())
                    .ok_or(DAMAGED)?;
                let place = match kind {
                    1 => Some(Place::At(a)),
                    2 => Some(Place::In(u32::try_from(a).map_err(|_| DAMAGED)?, b)),
                    _ => None,
                };
                self.note(id, place)?;
            }
        }
        Ok(())
    }

    fn note(&mut self, id: u32, place: Option<Place>) -> Result<(), String> {
        if self.places.len() >= MAX_OBJECTS {
            return Err(TOO_LARGE.to_owned());
        }
        self.places.entry(id).or_insert(place);
        Ok(())
    }
}

/// A dictionary: names without their slash, and values as they stand.
#[derive(Clone, Debug, Default)]
pub(super) struct Dict<'a>(Vec<(&'a [u8], &'a [u8])>);

impl<'a> Dict<'a> {
    /// The dictionary that `bytes` begins with.
    pub fn of(bytes: &'a [u8]) -> Option<Self> {
        let mut rest = skip_space(bytes).strip_prefix(b"<<")?;
        let mut entries = Vec::new();
        loop {
            rest = skip_space(rest);
            if rest.starts_with(b">>") {
                return Some(Self(entries));
            }
            let len = name_len(rest)?;
            let (name, after) = rest.split_at_checked(len)?;
            let after = skip_space(after);
            let (value, after) = after.split_at_checked(value_len(after, 0)?)?;
            if entries.len() == MAX_ENTRIES {
                return None;
            }
            entries.push((name.get(1..)?, value));
            rest = after;
        }
    }

    /// The value of this name.
    pub fn get(&self, name: &str) -> Option<&'a [u8]> {
        let found = self.0.iter().find(|(n, _)| *n == name.as_bytes());
        found.map(|(_, value)| *value)
    }

    /// The same dictionary with this value in place of the old one.
    pub fn with(&self, name: &str, value: &[u8]) -> Vec<u8> {
        let mut out = b"<<".to_vec();
        let kept = self.0.iter().filter(|(n, _)| *n != name.as_bytes());
        for (n, v) in kept.copied().chain([(name.as_bytes(), value)]) {
            out.push(b'/');
            out.extend_from_slice(n);
            if !v.starts_with(b"/")
                && !v.starts_with(b"<")
                && !v.starts_with(b"[")
                && !v.starts_with(b"(")
            {
                out.push(b' ');
            }
            out.extend_from_slice(v);
        }
        out.extend_from_slice(b">>");
        out
    }
}

/// Numbers and keywords one after another.
struct Words<'a>(&'a [u8]);

impl Words<'_> {
    fn number(&mut self) -> Option<i64> {
        let rest = skip_space(self.0);
        let len = rest
            .iter()
            .take_while(|b| b.is_ascii_digit() || matches!(b, b'+' | b'-'))
            .count();
        let (digits, after) = rest.split_at_checked(len)?;
        let number = std::str::from_utf8(digits).ok()?.parse().ok()?;
        self.0 = after;
        Some(number)
    }

    fn keyword(&mut self, word: &[u8]) -> bool {
        match skip_space(self.0).strip_prefix(word) {
            Some(rest) => {
                self.0 = rest;
                true
            }
            None => false,
        }
    }
}

/// Length of the value that `bytes` begins with; a reference is one value.
fn value_len(bytes: &[u8], depth: usize) -> Option<usize> {
    if depth > MAX_DEPTH {
        return None;
    }
    let whole = bytes.len();
    match bytes {
        [b'<', b'<', ..] => container(bytes, 2, b">>", depth),
        [b'[', ..] => container(bytes, 1, b"]", depth),
        [b'<', ..] => bytes.iter().position(|b| *b == b'>')?.checked_add(1),
        [b'(', ..] => literal_len(bytes),
        [b'/', ..] => name_len(bytes),
        [b'0'..=b'9' | b'+' | b'-' | b'.', ..] => {
            let mut words = Words(bytes);
            let is_reference = words.number().is_some_and(|n| n >= 0)
                && words.number().is_some()
                && words.keyword(b"R")
                && words.0.first().is_none_or(|b| !regular(*b));
            if is_reference {
                return whole.checked_sub(words.0.len());
            }
            Some(bytes.iter().take_while(|b| regular(**b)).count())
        }
        [first, ..] if first.is_ascii_alphabetic() => {
            Some(bytes.iter().take_while(|b| regular(**b)).count())
        }
        _ => None,
    }
}

fn container(bytes: &[u8], open: usize, close: &[u8], depth: usize) -> Option<usize> {
    let mut rest = bytes.get(open..)?;
    loop {
        rest = skip_space(rest);
        if let Some(after) = rest.strip_prefix(close) {
            return bytes.len().checked_sub(after.len());
        }
        rest = rest.get(value_len(rest, depth.saturating_add(1))?..)?;
    }
}

/// Section 7.3.4.2: parentheses nest, a backslash takes the next byte's meaning.
fn literal_len(bytes: &[u8]) -> Option<usize> {
    let (mut open, mut escaped) = (0_usize, false);
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'(' => open = open.checked_add(1)?,
            b')' => {
                open = open.checked_sub(1)?;
                if open == 0 {
                    return at.checked_add(1);
                }
            }
            _ => {}
        }
    }
    None
}

fn name_len(bytes: &[u8]) -> Option<usize> {
    let rest = bytes.strip_prefix(b"/")?;
    rest.iter()
        .take_while(|b| regular(**b))
        .count()
        .checked_add(1)
}

/// Section 7.2.2: neither white space nor delimiter.
fn regular(byte: u8) -> bool {
    !matches!(
        byte,
        0 | b'\t'
            | b'\n'
            | 0x0c
            | b'\r'
            | b' '
            | b'('
            | b')'
            | b'<'
            | b'>'
            | b'['
            | b']'
            | b'{'
            | b'}'
            | b'/'
            | b'%'
    )
}

/// `bytes` behind white space and comments.
fn skip_space(mut bytes: &[u8]) -> &[u8] {
    loop {
        match bytes {
            [0 | b'\t' | b'\n' | 0x0c | b'\r' | b' ', rest @ ..] => bytes = rest,
            [b'%', rest @ ..] => {
                let end = rest.iter().position(|b| matches!(b, b'\r' | b'\n'));
                bytes = rest.get(end.unwrap_or(rest.len())..).unwrap_or_default();
            }
            _ => return bytes,
        }
    }
}

/// Number and generation of the object that `raw` refers to.
fn reference(raw: &[u8]) -> Option<(u32, u16)> {
    let mut words = Words(raw);
    let id = u32::try_from(words.number()?).ok()?;
    let generation = u16::try_from(words.number()?).ok()?;
    words.keyword(b"R").then_some((id, generation))
}

fn integer(raw: &[u8]) -> Option<i64> {
    let mut words = Words(raw);
    let number = words.number()?;
    skip_space(words.0).is_empty().then_some(number)
}

fn array_of_numbers(raw: &[u8]) -> Option<Vec<usize>> {
    let mut words = Words(skip_space(raw).strip_prefix(b"[")?);
    let mut numbers = Vec::new();
    while !words.keyword(b"]") {
        if numbers.len() == MAX_ENTRIES {
            return None;
        }
        numbers.push(usize::try_from(words.number()?).ok()?);
    }
    Some(numbers)
}

/// The one thing in an array of one; the thing itself where it is no array.
fn single(raw: &[u8]) -> Cow<'_, [u8]> {
    let raw = skip_space(raw);
    match raw
        .strip_prefix(b"[")
        .and_then(|inner| inner.strip_suffix(b"]"))
    {
        Some(inner) => Cow::Borrowed(inner.trim_ascii()),
        None => Cow::Borrowed(raw),
    }
}

/// Member `index` of a stream of objects (section 7.5.7).
fn member<'c>(content: &'c [u8], dict: &Dict<'_>, id: u32, index: usize) -> Option<&'c [u8]> {
    let count = usize::try_from(dict.get("N").and_then(integer)?).ok()?;
    let first = usize::try_from(dict.get("First").and_then(integer)?).ok()?;
    if index >= count {
        return None;
    }
    let mut words = Words(content.get(..first)?);
    for n in 0..=index {
        let (found, at) = (words.number()?, usize::try_from(words.number()?).ok()?);
        if n == index {
            if found != i64::from(id) {
                return None;
            }
            let body = skip_space(content.get(first.checked_add(at)?..)?);
            let len = value_len(body, 0)?;
            return (len <= MAX_DICT).then(|| body.get(..len)).flatten();
        }
    }
    None
}

fn inflate(data: &[u8]) -> Result<Vec<u8>, String> {
    let limit = u64::try_from(MAX_STREAM)
        .unwrap_or(u64::MAX)
        .saturating_add(1);
    let mut out = Vec::new();
    let done = ZlibDecoder::new(data).take(limit).read_to_end(&mut out);
    if out.len() > MAX_STREAM {
        return Err(TOO_LARGE.to_owned());
    }
    // A wrong checksum at the end is common and harmless.
    if done.is_err() && out.is_empty() {
        return Err(DAMAGED.to_owned());
    }
    Ok(out)
}

/// Undoes PNG's filters with one byte to a colour (RFC 2083 section 6).
fn unpredict(content: &[u8], columns: usize) -> Option<Vec<u8>> {
    if columns == 0 || columns > 4096 {
        return None;
    }
    let mut out = Vec::with_capacity(content.len());
    let mut above = vec![0_u8; columns];
    for row in content.chunks(columns.checked_add(1)?) {
        let (filter, data) = row.split_first()?;
        let mut line = Vec::with_capacity(columns);
        let (mut left, mut corner) = (0_u8, 0_u8);
        for (byte, up) in data.iter().zip(&above) {
            let guess = match filter {
                0 => 0,
                1 => left,
                2 => *up,
                3 => u8::try_from((u16::from(left) + u16::from(*up)) / 2).ok()?,
                4 => paeth(left, *up, corner),
                _ => return None,
            };
            left = byte.wrapping_add(guess);
            corner = *up;
            line.push(left);
        }
        out.extend_from_slice(&line);
        line.resize(columns, 0);
        above = line;
    }
    Some(out)
}

fn paeth(left: u8, up: u8, corner: u8) -> u8 {
    let [a, b, c] = [left, up, corner].map(i16::from);
    let guess = a + b - c;
    let (da, db, dc) = ((guess - a).abs(), (guess - b).abs(), (guess - c).abs());
    if da <= db && da <= dc {
        left
    } else if db <= dc {
        up
    } else {
        corner
    }
}

fn last_start(bytes: &[u8]) -> Option<usize> {
    let tail = bytes.get(bytes.len().saturating_sub(TAIL)..)?;
    let word = b"startxref";
    let at = tail.windows(word.len()).rposition(|w| w == word)?;
    let mut words = Words(tail.get(at.checked_add(word.len())?..)?);
    usize::try_from(words.number()?).ok()
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|w| w == wanted)
}
