//! Settings of decoys: declared once with [`settings!`](crate::settings!), from which come the
//! typed struct, the defaults, the parser that reports every fault at once, and the reference.

use serde_json::{Map, Value};

/// What is wrong with one key, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The key, e.g. `ftp.banner`.
    pub key: String,
    /// What is wrong and what would be right.
    pub problem: String,
}

impl Fault {
    /// A fault of `key`.
    pub fn new(key: impl Into<String>, problem: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            problem: problem.into(),
        }
    }

    /// The same fault with `prefix.` before its key.
    #[must_use]
    pub fn under(self, prefix: &str) -> Self {
        Self {
            key: format!("{prefix}.{}", self.key),
            ..self
        }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.key, self.problem)
    }
}

/// One setting of a decoy.
#[derive(Clone, Debug)]
pub struct Setting {
    /// Name inside the decoy, dotted as on the wire, e.g. `banner` or `headers.enabled`.
    pub name: &'static str,
    /// What it does, one sentence a line.
    pub doc: &'static str,
    /// Its default.
    pub default: Value,
    /// What it takes, in words: `true or false`, `a number from 1 to 65535`, `one of: a, b`.
    pub takes: String,
    /// JSON Schema of the value.
    pub schema: Value,
}

/// A type that a setting can have.
pub trait SettingValue: Sized {
    /// What it takes, in words.
    fn takes() -> String;
    /// Its JSON Schema.
    fn schema() -> Value;
    /// From the wire; the wire writes numbers and booleans as strings now and then.
    fn from_json(value: &Value) -> Option<Self>;
    /// To the wire.
    fn to_json(&self) -> Value;
}

impl SettingValue for bool {
    fn takes() -> String {
        "true or false".to_owned()
    }
    fn schema() -> Value {
        serde_json::json!({"type": "boolean"})
    }
    fn from_json(value: &Value) -> Option<Self> {
        match value {
            Value::Bool(b) => Some(*b),
            Value::String(s) if s.eq_ignore_ascii_case("true") => Some(true),
            Value::String(s) if s.eq_ignore_ascii_case("false") => Some(false),
            _ => None,
        }
    }
    fn to_json(&self) -> Value {
        Value::Bool(*self)
    }
}

impl SettingValue for u16 {
    fn takes() -> String {
        "a number from 0 to 65535".to_owned()
    }
    fn schema() -> Value {
        serde_json::json!({"type": "integer", "minimum": 0, "maximum": 65535})
    }
    fn from_json(value: &Value) -> Option<Self> {
        match value {
            Value::Number(n) => n.as_u64().and_then(|n| Self::try_from(n).ok()),
            Value::String(s) => s.parse().ok(),
            _ => None,
        }
    }
    fn to_json(&self) -> Value {
        Value::from(*self)
    }
}

impl SettingValue for String {
    fn takes() -> String {
        "a text".to_owned()
    }
    fn schema() -> Value {
        serde_json::json!({"type": "string"})
    }
    fn from_json(value: &Value) -> Option<Self> {
        value.as_str().map(str::to_owned)
    }
    fn to_json(&self) -> Value {
        Value::String(self.clone())
    }
}

impl SettingValue for Vec<String> {
    fn takes() -> String {
        "a list of texts".to_owned()
    }
    fn schema() -> Value {
        serde_json::json!({"type": "array", "items": {"type": "string"}})
    }
    fn from_json(value: &Value) -> Option<Self> {
        value
            .as_array()?
            .iter()
            .map(|v| v.as_str().map(str::to_owned))
            .collect()
    }
    fn to_json(&self) -> Value {
        Value::from(self.clone())
    }
}

/// A file or folder of the operator's, outside the data folder; empty means none. Where a
/// configuration file names it, a relative one begins at that file's folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FilePath(pub String);

impl FilePath {
    /// `format` of its JSON Schema, by which the configuration knows it.
    pub const FORMAT: &'static str = "path";
}

impl SettingValue for FilePath {
    fn takes() -> String {
        "the path of a file or folder".to_owned()
    }
    fn schema() -> Value {
        serde_json::json!({"type": "string", "format": Self::FORMAT})
    }
    fn from_json(value: &Value) -> Option<Self> {
        value.as_str().map(|path| Self(path.to_owned()))
    }
    fn to_json(&self) -> Value {
        Value::String(self.0.clone())
    }
}

/// Reads `key` of `given` into a typed value, or notes the fault and gives the default.
pub fn read<T: SettingValue>(
    given: &Map<String, Value>,
    key: &str,
    default: T,
    check: fn(&T) -> Result<(), String>,
    faults: &mut Vec<Fault>,
) -> T {
    let Some(value) = given.get(key) else {
        return default;
    };
    match T::from_json(value) {
        None => faults.push(Fault::new(
            key,
            format!("must be {}, not {value}", T::takes()),
        )),
        Some(parsed) => match check(&parsed) {
            Ok(()) => return parsed,
            Err(problem) => faults.push(Fault::new(key, problem)),
        },
    }
    default
}

/// Notes a fault for every key of `given` that isn't in `known`.
pub fn refuse_unknown(given: &Map<String, Value>, known: &[&str], faults: &mut Vec<Fault>) {
    for key in given.keys() {
        if !known.contains(&key.as_str()) {
            faults.push(Fault::new(
                key,
                format!("unknown key; known here: {}", known.join(", ")),
            ));
        }
    }
}

/// A check for texts that are sent as one line: no control characters, at most 255 bytes.
pub fn one_line(text: &str) -> Result<(), String> {
    if text.len() > 255 {
        return Err(format!("is {} bytes long; at most 255", text.len()));
    }
    if text.chars().any(char::is_control) {
        return Err("must be one line without control characters".to_owned());
    }
    Ok(())
}

/// A check for pauses before an answer, in milliseconds: at most ten seconds.
pub fn pause(millis: &u16) -> Result<(), String> {
    if *millis > 10_000 {
        return Err("must be at most 10000".to_owned());
    }
    Ok(())
}

/// A check that takes everything.
pub fn any<T>(_: &T) -> Result<(), String> {
    Ok(())
}

/// Declares the settings of a decoy.
///
/// ```
/// use coalmine_core::settings::one_line;
/// coalmine_core::settings! {
///     /// Settings of the FTP decoy.
///     pub struct FtpSettings {
///         /// Text of the greeting.
///         banner: String => "banner" = "(vsFTPd 3.0.3)".to_owned(), one_line;
///     }
/// }
/// ```
#[macro_export]
macro_rules! settings {
    (
        $(#[doc = $doc:literal])+
        $vis:vis struct $Name:ident {
            $( $(#[doc = $fdoc:literal])+
               $field:ident: $Type:ty => $wire:literal = $default:expr, $check:path; )*
        }
    ) => {
        $(#[doc = $doc])+
        #[derive(Clone, Debug, PartialEq)]
        $vis struct $Name {
            $( $(#[doc = $fdoc])+ pub $field: $Type, )*
        }

        impl Default for $Name {
            fn default() -> Self {
                Self { $( $field: $default, )* }
            }
        }

        impl $Name {
            /// Reads the wire form; keys that are missing keep their defaults.
            ///
            /// # Errors
            /// Every fault, each with its key.
            pub fn parse(
                given: &$crate::__private::serde_json::Map<String, $crate::__private::serde_json::Value>,
            ) -> Result<Self, Vec<$crate::settings::Fault>> {
                let mut faults = Vec::new();
                $crate::settings::refuse_unknown(given, &[$($wire),*], &mut faults);
                let parsed = Self {
                    $( $field: $crate::settings::read::<$Type>(
                        given, $wire, $default, |value: &$Type| $check(value), &mut faults,
                    ), )*
                };
                if faults.is_empty() { Ok(parsed) } else { Err(faults) }
            }

            /// The declaration, for defaults, reference and schema.
            pub fn declared() -> Vec<$crate::settings::Setting> {
                vec![ $( $crate::settings::Setting {
                    name: $wire,
                    doc: concat!($($fdoc, "\n"),+),
                    default: <$Type as $crate::settings::SettingValue>::to_json(&{
                        let default: $Type = $default;
                        default
                    }),
                    takes: <$Type as $crate::settings::SettingValue>::takes(),
                    schema: <$Type as $crate::settings::SettingValue>::schema(),
                } ),* ]
            }
        }
    };
}

/// Declares a setting that takes one of a few words.
///
/// ```
/// coalmine_core::choice! {
///     /// Which product is claimed.
///     pub enum Product { Vsftpd => "vsftpd", ProFtpd => "proftpd" }
/// }
/// ```
#[macro_export]
macro_rules! choice {
    (
        $(#[doc = $doc:literal])+
        $vis:vis enum $Name:ident { $( $Variant:ident => $word:literal ),+ $(,)? }
    ) => {
        $(#[doc = $doc])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        $vis enum $Name { $( #[doc = $word] $Variant ),+ }

        impl $crate::settings::SettingValue for $Name {
            fn takes() -> String {
                format!("one of: {}", [$($word),+].join(", "))
            }
            fn schema() -> $crate::__private::serde_json::Value {
                $crate::__private::serde_json::json!({"type": "string", "enum": [$($word),+]})
            }
            fn from_json(value: &$crate::__private::serde_json::Value) -> Option<Self> {
                match value.as_str()? { $( $word => Some(Self::$Variant), )+ _ => None }
            }
            fn to_json(&self) -> $crate::__private::serde_json::Value {
                match self { $( Self::$Variant => $word.into() ),+ }
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    crate::choice! {
        /// Which product.
        pub enum Product { Vsftpd => "vsftpd", Pure => "pure-ftpd" }
    }

    crate::settings! {
        /// A test.
        pub struct Sample {
            /// Greeting.
            banner: String => "banner" = "hello".to_owned(), one_line;
            /// How many.
            tries: u16 => "tries" = 3, any;
            /// Which.
            product: Product => "product" = Product::Vsftpd, any;
        }
    }

    fn object(value: &Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn missing_keys_keep_defaults_and_strings_count_as_numbers() {
        let parsed =
            Sample::parse(&object(&json!({"tries": "5", "product": "pure-ftpd"}))).unwrap();
        assert_eq!((parsed.tries, parsed.product), (5, Product::Pure));
        assert_eq!(parsed.banner, "hello");
    }

    #[test]
    fn every_fault_is_reported_at_once() {
        let faults = Sample::parse(&object(
            &json!({"banner": "a\nb", "tries": 70000, "product": "iis", "bannner": ""}),
        ))
        .unwrap_err();
        let keys: Vec<_> = faults.iter().map(|f| f.key.as_str()).collect();
        assert_eq!(keys, ["bannner", "banner", "tries", "product"]);
        assert_eq!(
            faults[3].to_string(),
            r#"product: must be one of: vsftpd, pure-ftpd, not "iis""#
        );
    }

    #[test]
    fn declared_defaults_parse_to_the_default() {
        let defaults = Sample::declared()
            .into_iter()
            .map(|s| (s.name.to_owned(), s.default))
            .collect();
        assert_eq!(Sample::parse(&defaults), Ok(Sample::default()));
    }
}
