//! What an engine must be able to do: run statements of the common dialect.

use std::path::Path;

use crate::{Result, StoreError};

/// One connection to an engine. Statements are prepared once and kept.
pub(crate) trait Driver: Send {
    /// Runs one statement with `?` placeholders; how many rows it changed.
    fn execute(&mut self, sql: &str, params: &[Value]) -> Result<usize>;

    /// Runs one statement with `?` placeholders; its rows.
    fn query(&mut self, sql: &str, params: &[Value]) -> Result<Vec<Row>>;

    /// Runs statements without parameters: transactions, migrations.
    fn batch(&mut self, sql: &str) -> Result<()>;

    /// A migration's neutral words in the engine's own.
    fn dialect(&self, migration: &str) -> String;

    /// Copies everything committed to a fresh file while others read and write.
    fn backup(&mut self, to: &Path) -> Result<()>;

    /// Leaves everything tidy on disk.
    fn finish(&mut self);
}

/// A value of a column or placeholder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Null,
    Int(i64),
    Text(String),
    Bytes(Vec<u8>),
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self::Int(i64::try_from(value).unwrap_or(i64::MAX))
    }
}

impl From<u32> for Value {
    fn from(value: u32) -> Self {
        Self::Int(value.into())
    }
}

impl From<u16> for Value {
    fn from(value: u16) -> Self {
        Self::Int(value.into())
    }
}

impl From<usize> for Value {
    fn from(value: usize) -> Self {
        Self::Int(i64::try_from(value).unwrap_or(i64::MAX))
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Int(value.into())
    }
}

impl From<coalmine_core::Timestamp> for Value {
    fn from(value: coalmine_core::Timestamp) -> Self {
        Self::Int(value.micros())
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl From<&String> for Value {
    fn from(value: &String) -> Self {
        Self::Text(value.clone())
    }
}

impl From<&[u8]> for Value {
    fn from(value: &[u8]) -> Self {
        Self::Bytes(value.to_vec())
    }
}

impl<T> From<Option<T>> for Value
where
    Self: From<T>,
{
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Self::from)
    }
}

/// `[Value; n]` from anything that turns into values.
macro_rules! values {
    ($($value:expr),* $(,)?) => { [ $( $crate::driver::Value::from($value) ),* ] };
}
pub(crate) use values;

/// A row; its columns are taken from left to right.
#[derive(Debug)]
pub(crate) struct Row(std::vec::IntoIter<Value>);

impl Row {
    pub(crate) fn new(values: Vec<Value>) -> Self {
        Self(values.into_iter())
    }

    pub(crate) fn int(&mut self) -> Result<i64> {
        match self.0.next() {
            Some(Value::Int(value)) => Ok(value),
            other => Err(unexpected("a number", other.as_ref())),
        }
    }

    pub(crate) fn opt_int(&mut self) -> Result<Option<i64>> {
        match self.0.next() {
            Some(Value::Int(value)) => Ok(Some(value)),
            Some(Value::Null) => Ok(None),
            other => Err(unexpected("a number", other.as_ref())),
        }
    }

    pub(crate) fn count(&mut self) -> Result<u64> {
        Ok(u64::try_from(self.int()?).unwrap_or(0))
    }

    pub(crate) fn port(&mut self) -> Result<u16> {
        Ok(u16::try_from(self.int()?).unwrap_or(0))
    }

    pub(crate) fn code(&mut self) -> Result<u32> {
        Ok(u32::try_from(self.int()?).unwrap_or(0))
    }

    pub(crate) fn flag(&mut self) -> Result<bool> {
        Ok(self.int()? != 0)
    }

    pub(crate) fn time(&mut self) -> Result<coalmine_core::Timestamp> {
        Ok(coalmine_core::Timestamp::from_micros(self.int()?))
    }

    pub(crate) fn opt_time(&mut self) -> Result<Option<coalmine_core::Timestamp>> {
        Ok(self.opt_int()?.map(coalmine_core::Timestamp::from_micros))
    }

    pub(crate) fn text(&mut self) -> Result<String> {
        match self.0.next() {
            Some(Value::Text(value)) => Ok(value),
            other => Err(unexpected("text", other.as_ref())),
        }
    }

    pub(crate) fn opt_text(&mut self) -> Result<Option<String>> {
        match self.0.next() {
            Some(Value::Text(value)) => Ok(Some(value)),
            Some(Value::Null) => Ok(None),
            other => Err(unexpected("text", other.as_ref())),
        }
    }

    pub(crate) fn bytes(&mut self) -> Result<Vec<u8>> {
        match self.0.next() {
            Some(Value::Bytes(value)) => Ok(value),
            other => Err(unexpected("bytes", other.as_ref())),
        }
    }

    /// Text that parses, e.g. an address or JSON.
    pub(crate) fn parsed<T>(&mut self, parse: impl FnOnce(&str) -> Option<T>) -> Result<T> {
        let text = self.text()?;
        parse(&text).ok_or_else(|| engine("read a row", format!("{text:?} doesn't parse")))
    }

    /// A JSON column.
    pub(crate) fn json<T: serde::de::DeserializeOwned>(&mut self) -> Result<T> {
        self.parsed(|text| serde_json::from_str(text).ok())
    }
}

/// JSON text of `value`, for a column.
pub(crate) fn json<T: serde::Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|error| engine("write JSON", error))
}

/// An engine's failure.
pub(crate) fn engine(doing: impl Into<String>, cause: impl std::fmt::Display) -> StoreError {
    StoreError::Engine {
        doing: doing.into(),
        cause: cause.to_string(),
    }
}

/// `?,?,?` for a list of `count` placeholders.
pub(crate) fn placeholders(count: usize) -> String {
    let mut text = "?,".repeat(count);
    text.pop();
    text
}

/// A `LIKE` pattern for "contains `text`", in lower case, with `\` as escape.
pub(crate) fn contains(text: &str) -> String {
    format!("%{}%", escaped(text))
}

/// `text` in lower case with the wildcards of `LIKE` escaped by `\`.
pub(crate) fn escaped(text: &str) -> String {
    text.to_lowercase()
        .replace('\\', "\\\\")
        .replace('%', "\\%")
        .replace('_', "\\_")
}

fn unexpected(wanted: &str, found: Option<&Value>) -> StoreError {
    engine("read a row", format!("expected {wanted}, found {found:?}"))
}
