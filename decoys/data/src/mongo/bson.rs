//! BSON (bsonspec.org, version 1.1) as far as commands need it: documents are looked into without
//! being copied, and nested ones are passed over by their length, so nothing here recurses.

/// A document whose outer frame is sound.
#[derive(Clone, Copy, Debug)]
pub(super) struct Raw<'a>(&'a [u8]);

/// One field of a document.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field<'a> {
    pub name: &'a [u8],
    pub(super) kind: u8,
    pub(super) value: &'a [u8],
}

impl<'a> Raw<'a> {
    /// A document from the front of `rest`, all of whose own fields are sound.
    pub fn take(rest: &mut &'a [u8]) -> Option<Self> {
        let (body, after) = framed(rest, 5)?;
        *rest = after;
        let fields = body.get(4..)?.strip_suffix(&[0])?;
        let document = Self(fields);
        let mut left = fields;
        while !left.is_empty() {
            field(&mut left)?;
        }
        Some(document)
    }

    pub fn fields(self) -> impl Iterator<Item = Field<'a>> {
        let mut left = self.0;
        std::iter::from_fn(move || field(&mut left))
    }

    /// The first field of this name.
    pub fn get(self, name: &str) -> Option<Field<'a>> {
        self.fields().find(|field| field.name == name.as_bytes())
    }
}

impl<'a> Field<'a> {
    /// A text's bytes.
    pub fn text(self) -> Option<&'a [u8]> {
        (self.kind == 2).then_some(())?;
        self.value.get(4..)?.strip_suffix(&[0])
    }

    pub fn document(self) -> Option<Raw<'a>> {
        (self.kind == 3).then_some(())?;
        Raw::take(&mut { self.value })
    }

    /// Binary data of any subtype.
    pub fn binary(self) -> Option<&'a [u8]> {
        (self.kind == 5).then_some(())?;
        self.value.get(5..)
    }

    pub fn object_id(self) -> Option<[u8; 12]> {
        (self.kind == 7).then_some(())?;
        self.value.try_into().ok()
    }

    /// A number of any width, without its fraction.
    pub fn integer(self) -> Option<i64> {
        match self.kind {
            1 => {
                let number = f64::from_le_bytes(self.value.try_into().ok()?);
                #[expect(clippy::cast_possible_truncation, reason = "`as` saturates")]
                Some(number as i64)
            }
            16 => Some(i32::from_le_bytes(self.value.try_into().ok()?).into()),
            18 => Some(i64::from_le_bytes(self.value.try_into().ok()?)),
            _ => None,
        }
    }

    /// Whether it counts as true.
    pub fn is_true(self) -> bool {
        match self.kind {
            8 => self.value != [0],
            6 | 10 => false,
            _ => self.integer() != Some(0),
        }
    }
}

/// One field from the front of `left`.
fn field<'a>(left: &mut &'a [u8]) -> Option<Field<'a>> {
    let (kind, rest) = left.split_first()?;
    let (name, rest) = c_string(rest)?;
    let length = match kind {
        // Double, date, timestamp, 64-bit integer.
        1 | 9 | 17 | 18 => 8,
        // Text, code, symbol: a length without itself.
        2 | 13 | 14 => {
            let length = 4_usize.checked_add(length(rest)?)?;
            (rest.get(length.checked_sub(1)?) == Some(&0) && length > 4).then_some(length)?
        }
        // Document, array, code with scope: a length with itself.
        3 | 4 | 15 => framed(rest, 5)?.0.len(),
        5 => 5_usize.checked_add(length(rest)?)?,
        // Undefined, null, least and greatest key.
        6 | 10 | 0x7f | 0xff => 0,
        7 => 12,
        8 => 1,
        11 => {
            let (pattern, after) = c_string(rest)?;
            let (options, _) = c_string(after)?;
            pattern.len().checked_add(options.len())?.checked_add(2)?
        }
        12 => 16_usize.checked_add(length(rest)?)?,
        16 => 4,
        19 => 16,
        _ => return None,
    };
    let (value, rest) = rest.split_at_checked(length)?;
    *left = rest;
    Some(Field {
        name,
        kind: *kind,
        value,
    })
}

/// The piece of `rest` that begins with its own length, and what follows.
fn framed(rest: &[u8], least: usize) -> Option<(&[u8], &[u8])> {
    let length = length(rest).filter(|length| *length >= least)?;
    rest.split_at_checked(length)
}

fn length(rest: &[u8]) -> Option<usize> {
    let length = i32::from_le_bytes(*rest.first_chunk()?);
    usize::try_from(length).ok()
}

/// Bytes up to a zero, and what follows it.
pub(super) fn c_string(rest: &[u8]) -> Option<(&[u8], &[u8])> {
    let zero = rest.iter().position(|&b| b == 0)?;
    Some((rest.get(..zero)?, rest.get(zero.checked_add(1)?..)?))
}

/// A document being written.
#[derive(Clone, Debug)]
pub(super) struct Doc(Vec<u8>);

impl Doc {
    pub fn new() -> Self {
        Self(vec![0; 4])
    }

    fn field(mut self, kind: u8, name: &str, value: &[u8]) -> Self {
        self.0.push(kind);
        self.0.extend(name.bytes());
        self.0.push(0);
        self.0.extend(value);
        self
    }

    pub fn double(self, name: &str, value: f64) -> Self {
        self.field(1, name, &value.to_le_bytes())
    }

    pub fn text(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let value = value.as_ref();
        let mut bytes = prefix(value.len().saturating_add(1)).to_vec();
        bytes.extend(value);
        bytes.push(0);
        self.field(2, name, &bytes)
    }

    pub fn document(self, name: &str, value: Self) -> Self {
        self.field(3, name, &value.bytes())
    }

    /// An array: `add` adds one item under its number.
    pub fn array<T>(
        self,
        name: &str,
        items: impl IntoIterator<Item = T>,
        add: impl Fn(Self, &str, T) -> Self,
    ) -> Self {
        let items = items.into_iter().enumerate();
        let array = items.fold(Self::new(), |array, (n, item)| {
            add(array, &n.to_string(), item)
        });
        self.field(4, name, &array.bytes())
    }

    pub fn binary(self, name: &str, value: &[u8]) -> Self {
        let mut bytes = prefix(value.len()).to_vec();
        bytes.push(0);
        bytes.extend(value);
        self.field(5, name, &bytes)
    }

    pub fn object_id(self, name: &str, value: [u8; 12]) -> Self {
        self.field(7, name, &value)
    }

    pub fn boolean(self, name: &str, value: bool) -> Self {
        self.field(8, name, &[value.into()])
    }

    /// `value` in milliseconds since the epoch.
    pub fn date(self, name: &str, value: i64) -> Self {
        self.field(9, name, &value.to_le_bytes())
    }

    pub fn int(self, name: &str, value: i32) -> Self {
        self.field(16, name, &value.to_le_bytes())
    }

    pub fn long(self, name: &str, value: i64) -> Self {
        self.field(18, name, &value.to_le_bytes())
    }

    /// The finished document.
    pub fn bytes(mut self) -> Vec<u8> {
        self.0.push(0);
        let length = prefix(self.0.len());
        if let Some(start) = self.0.first_chunk_mut() {
            *start = length;
        }
        self.0
    }
}

fn prefix(length: usize) -> [u8; 4] {
    i32::try_from(length).unwrap_or(i32::MAX).to_le_bytes()
}
