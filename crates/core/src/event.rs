//! Event kinds: declared once, beside the code that sees them, with [`event!`](crate::event!).
//!
//! From the declaration come the API's JSON, the reference page, the golden files, the page's
//! labels and the test against the catalogue.

use serde_json::Value;
use serde_json::value::RawValue;

/// One kind of event, as the catalogue names it. Events with the same key, bird and source are
/// bundled into one incident.
#[derive(Debug)]
pub struct EventKind {
    /// Catalogue key, e.g. `ftplogin`; part of every incident id.
    pub key: &'static str,
    /// The incident's title, e.g. `FTP Login Attempt`.
    pub title: &'static str,
    /// What it means, one sentence a line.
    pub doc: &'static str,
    /// The numbers under which it appears, the usual one first.
    pub logtypes: &'static [Logtype],
    /// The event's fields, in the catalogue's order.
    pub fields: &'static [Field],
    /// Whether the API adds `timestamp` and `timestamp_std` to each event.
    pub timestamps: bool,
}

impl EventKind {
    /// The usual number.
    pub const fn logtype(&self) -> u32 {
        match self.logtypes {
            [first, ..] => first.code,
            [] => 0,
        }
    }
}

/// A number and what it stands for.
#[derive(Debug)]
pub struct Logtype {
    /// E.g. 3001.
    pub code: u32,
    /// When this number is used; empty where the kind has only one.
    pub means: &'static str,
}

/// One field of an event.
#[derive(Debug)]
pub struct Field {
    /// Name on the wire, e.g. `USERNAME`.
    pub name: &'static str,
    /// JSON type on the wire.
    pub shape: Shape,
    /// Whether it may be missing.
    pub optional: bool,
    /// What it holds.
    pub doc: &'static str,
    /// An example, as JSON.
    pub sample: fn() -> Value,
}

impl Field {
    /// A field that holds text.
    pub const fn text(
        name: &'static str,
        optional: bool,
        doc: &'static str,
        sample: fn() -> Value,
    ) -> Self {
        Self {
            name,
            shape: Shape::String,
            optional,
            doc,
            sample,
        }
    }
}

/// The JSON type of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A string.
    String,
    /// A whole number.
    Integer,
    /// An object.
    Object,
    /// A list of strings.
    Strings,
}

impl Shape {
    /// The catalogue's word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Integer => "integer",
            Self::Object => "object",
            Self::Strings => "array of strings",
        }
    }
}

/// A Rust type that can stand in an event.
pub trait FieldValue {
    /// Its JSON type.
    const SHAPE: Shape;
    /// Whether it may be missing.
    const OPTIONAL: bool = false;
    /// Its JSON value; `None` where it's missing.
    fn json(&self) -> Option<Value>;
}

impl FieldValue for String {
    const SHAPE: Shape = Shape::String;
    fn json(&self) -> Option<Value> {
        Some(Value::String(crate::text::cut(self)))
    }
}

impl FieldValue for &'static str {
    const SHAPE: Shape = Shape::String;
    fn json(&self) -> Option<Value> {
        Some(Value::String((*self).to_owned()))
    }
}

impl FieldValue for i64 {
    const SHAPE: Shape = Shape::Integer;
    fn json(&self) -> Option<Value> {
        Some(Value::from(*self))
    }
}

impl FieldValue for u16 {
    const SHAPE: Shape = Shape::Integer;
    fn json(&self) -> Option<Value> {
        Some(Value::from(*self))
    }
}

impl FieldValue for serde_json::Map<String, Value> {
    const SHAPE: Shape = Shape::Object;
    fn json(&self) -> Option<Value> {
        Some(Value::Object(self.clone()))
    }
}

impl<T: FieldValue> FieldValue for Option<T> {
    const SHAPE: Shape = T::SHAPE;
    const OPTIONAL: bool = true;
    fn json(&self) -> Option<Value> {
        self.as_ref().and_then(FieldValue::json)
    }
}

/// A typed event. Implemented by [`event!`](crate::event!) alone.
pub trait Event {
    /// Its kind.
    const KIND: &'static EventKind;
    /// The event's own fields as a JSON object.
    fn fields(&self) -> Box<RawValue>;
}

/// `object` as raw JSON.
pub fn raw(object: &serde_json::Map<String, Value>) -> Box<RawValue> {
    #[expect(clippy::expect_used, reason = "a map of JSON values always serialises")]
    serde_json::value::to_raw_value(object).expect("JSON values serialise")
}

/// Declares an event kind: typed struct, catalogue entry, wire names, samples.
///
/// ```
/// coalmine_core::event! {
///     /// Somebody tried to log in.
///     pub struct FtpLogin: "ftplogin", "FTP Login Attempt", [2000 ""] {
///         /// As the client sent it.
///         username: String => "USERNAME" = "admin",
///         /// As the client sent it.
///         password: String => "PASSWORD" = "hunter2",
///     }
/// }
/// ```
///
/// Field types: `String`, `&'static str`, `i64`, `u16`, `serde_json::Map`, and `Option` of them
/// for fields that may be missing. The API adds `timestamp` and `timestamp_std`; write
/// `, no timestamps` after the numbers for the few kinds that have none.
#[macro_export]
macro_rules! event {
    (
        $(#[doc = $doc:literal])+
        $vis:vis struct $Name:ident: $key:literal, $title:literal,
            [ $( $code:literal $means:literal ),+ $(,)? ] $(, no $timestamps:ident)? {
            $( $(#[doc = $fdoc:literal])+ $field:ident: $Type:ty => $wire:literal = $sample:expr, )*
        }
    ) => {
        $(#[doc = $doc])+
        #[derive(Clone, Debug, PartialEq)]
        $vis struct $Name {
            $( $(#[doc = $fdoc])+ pub $field: $Type, )*
        }

        impl $crate::event::Event for $Name {
            const KIND: &'static $crate::event::EventKind = &$crate::event::EventKind {
                key: $key,
                title: $title,
                doc: concat!($($doc, "\n"),+),
                logtypes: &[ $( $crate::event::Logtype { code: $code, means: $means } ),+ ],
                fields: &[ $( $crate::event::Field {
                    name: $wire,
                    shape: <$Type as $crate::event::FieldValue>::SHAPE,
                    optional: <$Type as $crate::event::FieldValue>::OPTIONAL,
                    doc: concat!($($fdoc, "\n"),+),
                    sample: || $crate::__private::serde_json::json!($sample),
                } ),* ],
                timestamps: $crate::event!(@timestamps $($timestamps)?),
            };

            fn fields(&self) -> Box<$crate::__private::serde_json::value::RawValue> {
                #[allow(unused_mut, reason = "kinds without fields")]
                let mut object = $crate::__private::serde_json::Map::new();
                $( if let Some(value) = $crate::event::FieldValue::json(&self.$field) {
                    object.insert($wire.to_owned(), value);
                } )*
                $crate::event::raw(&object)
            }
        }
    };
    (@timestamps) => { true };
    (@timestamps timestamps) => { false };
}

#[cfg(test)]
mod tests {
    use super::*;

    crate::event! {
        /// A test.
        pub struct Probe: "probe", "A Probe", [1 "first", 2 "second"] {
            /// Who.
            username: String => "USERNAME" = "admin",
            /// Maybe.
            key: Option<String> => "KEY" = "ssh-ed25519 AAAA",
            /// How it ended.
            response: u16 => "RESPONSE" = 200,
        }
    }

    crate::event! {
        /// Nothing to say.
        pub struct Silent: "silent", "Silence", [3 ""], no timestamps {}
    }

    #[test]
    fn the_declaration_gives_struct_catalogue_and_json() {
        let event = Probe {
            username: "root".to_owned(),
            key: None,
            response: 403,
        };
        assert_eq!(
            event.fields().get(),
            r#"{"RESPONSE":403,"USERNAME":"root"}"#
        );
        assert_eq!(Probe::KIND.logtype(), 1);
        assert_eq!(Probe::KIND.logtypes[1].means, "second");
        let key = &Probe::KIND.fields[1];
        assert_eq!(
            (key.name, key.shape, key.optional),
            ("KEY", Shape::String, true)
        );
        assert_eq!((key.sample)(), "ssh-ed25519 AAAA");
        assert!(Probe::KIND.timestamps && !Silent::KIND.timestamps);
        assert_eq!(Silent {}.fields().get(), "{}");
    }
}
