//! Checking what minting asks for, once for all kinds.

use serde_json::Value;

use super::{Artefact, Ask, Mint, Takes, TokenKind, Upload};
use crate::settings::{Fault, SettingValue as _};

/// Largest file that a kind may take, in bytes.
pub const MAX_FILE: usize = 10 * 1024 * 1024;
/// Longest name of an uploaded file, in characters.
pub const MAX_FILE_NAME: usize = 255;
/// Longest URL that a parameter may hold, in characters.
pub const MAX_URL: usize = 2048;

impl TokenKind {
    /// Mints: checks that a channel of the kind is on and that all it asks for is there and right,
    /// then makes the artefact. The same input gives the same artefact.
    ///
    /// # Errors
    /// Every fault there is, each with its parameter's name.
    pub fn make(&self, mint: &Mint<'_>) -> Result<Artefact, Vec<Fault>> {
        let mut faults: Vec<Fault> = self
            .asks
            .iter()
            .filter_map(|ask| ask.check(mint).err())
            .collect();
        let mut off = self
            .channels
            .iter()
            .map(|channel| mint.places.has(*channel));
        if let Some(Err(fault)) = off.next()
            && off.all(|channel| channel.is_err())
        {
            faults.push(fault);
        }
        if faults.is_empty() {
            (self.mint)(mint)
        } else {
            Err(faults)
        }
    }
}

impl Ask {
    fn check(&self, mint: &Mint<'_>) -> Result<(), Fault> {
        let wrong = |problem: String| Err(Fault::new(self.name, problem));
        if let Takes::File { max, accepts } = self.takes {
            return match mint.file(self.name) {
                None if self.required => wrong("a file must be uploaded".to_owned()),
                None => Ok(()),
                Some(file) => file.check(max, accepts).or_else(wrong),
            };
        }
        let Some(text) = mint.param(self.name) else {
            return match self.required {
                true => wrong("must be given".to_owned()),
                false => Ok(()),
            };
        };
        match self.takes {
            Takes::Text(max) if text.chars().nth(max).is_some() => {
                wrong(format!("takes at most {max} characters"))
            }
            Takes::Bool(_) if flag(text).is_none() => wrong(format!("takes {}", bool::takes())),
            Takes::Url if !is_url(text) => {
                wrong("takes a whole URL, e.g. https://www.example.com/".to_owned())
            }
            Takes::Choice(words) if !words.contains(&text) => {
                wrong(format!("takes one of: {}", words.join(", ")))
            }
            _ => Ok(()),
        }
    }
}

impl Upload {
    /// What stands after the last dot of its name, in lower case.
    pub fn extension(&self) -> Option<String> {
        let (stem, extension) = self.name.rsplit_once('.')?;
        (!stem.is_empty()).then(|| extension.to_ascii_lowercase())
    }

    fn check(&self, max: usize, accepts: &[&str]) -> Result<(), String> {
        let max = max.min(MAX_FILE);
        if self.bytes.is_empty() {
            return Err("the file is empty".to_owned());
        }
        if self.bytes.len() > max {
            return Err(format!("takes a file of at most {max} bytes"));
        }
        let fits = self
            .extension()
            .is_some_and(|extension| accepts.contains(&extension.as_str()));
        if accepts.is_empty() || fits {
            return Ok(());
        }
        Err(format!(
            "takes a file that ends in .{}",
            accepts.join(" or .")
        ))
    }
}

impl Mint<'_> {
    /// The text of a parameter, if it was given.
    pub fn param(&self, name: &str) -> Option<&str> {
        self.params.get(name).map(String::as_str)
    }

    /// A yes-or-no parameter.
    pub fn flag(&self, name: &str, default: bool) -> bool {
        self.param(name).and_then(flag).unwrap_or(default)
    }

    /// An uploaded file, if it was given.
    pub fn file(&self, name: &str) -> Option<&Upload> {
        self.files.get(name)
    }
}

fn flag(text: &str) -> Option<bool> {
    bool::from_json(&Value::String(text.to_owned()))
}

/// `http://` or `https://`, a host, and nothing that could end a line or a quoted text.
fn is_url(text: &str) -> bool {
    let rest = text
        .get(..8)
        .filter(|scheme| scheme.eq_ignore_ascii_case("https://"))
        .and_then(|_| text.get(8..))
        .or_else(|| {
            text.get(..7)
                .filter(|scheme| scheme.eq_ignore_ascii_case("http://"))
                .and_then(|_| text.get(7..))
        });
    let Some(rest) = rest else { return false };
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    !host.is_empty()
        && !host.starts_with(':')
        && text.chars().nth(MAX_URL).is_none()
        && !text
            .chars()
            .any(|c| c.is_control() || c.is_whitespace() || matches!(c, '"' | '<' | '>' | '\\'))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::{Answer, Group, HostPort, Places, Reach, TokenChannel, Trip};
    use super::*;
    use crate::{Seed, Timestamp, TokenId};

    static KIND: TokenKind = TokenKind {
        id: "all",
        title: "All",
        description: "All",
        doc: "",
        group: Group::Web,
        trial: "",
        logtype: 1,
        channels: &[TokenChannel::Smtp, TokenChannel::Http],
        reach: Reach::Direct,
        asks: &[
            ask("text", true, Takes::Text(3)),
            ask("bool", false, Takes::Bool(true)),
            ask("url", false, Takes::Url),
            ask("word", false, Takes::Choice(&["a", "b"])),
            ask(
                "file",
                false,
                Takes::File {
                    max: 4,
                    accepts: &["png", "jpg"],
                },
            ),
        ],
        event: &[],
        mint: |_| Ok(Artefact::default()),
        trip: |_, _| Trip::silent(Answer::Plain),
    };

    const fn ask(name: &'static str, required: bool, takes: Takes) -> Ask {
        Ask {
            name,
            doc: "",
            required,
            takes,
        }
    }

    fn faults(
        params: &[(&str, &str)],
        file: Option<(&str, &[u8])>,
        places: &Places,
    ) -> Vec<String> {
        let id = TokenId::from_seed(&Seed::new([1; 32]));
        let params = params
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let file = file.map(|(name, bytes)| Upload {
            name: name.to_owned(),
            mime: String::new(),
            bytes: bytes.to_vec(),
        });
        let files = file.map(|file| ("file".to_owned(), file));
        let minted = KIND.make(&Mint {
            id: &id,
            params: &params,
            files: &files.into_iter().collect::<BTreeMap<_, _>>(),
            seed: Seed::new([2; 32]),
            now: Timestamp::from_secs(0),
            places,
            cloud: None,
        });
        let faults = minted.err().unwrap_or_default();
        faults.iter().map(ToString::to_string).collect()
    }

    fn on() -> Places {
        Places {
            http: Some(HostPort {
                host: "t.example".to_owned(),
                port: 80,
            }),
            ..Places::default()
        }
    }

    #[test]
    fn what_is_right_is_minted() {
        let params = [
            ("text", "abc"),
            ("bool", "False"),
            ("url", "https://a/b?c"),
            ("word", "b"),
        ];
        assert_eq!(faults(&params, Some(("A.PNG", b"1234")), &on()), [""; 0]);
        assert_eq!(faults(&[("text", "é€x")], None, &on()), [""; 0]);
    }

    #[test]
    fn every_fault_is_told_at_once() {
        let params = [("bool", "maybe"), ("url", "ftp://x"), ("word", "c")];
        assert_eq!(
            faults(&params, Some(("a.gif", b"1234")), &Places::default()),
            [
                "text: must be given",
                "bool: takes true or false",
                "url: takes a whole URL, e.g. https://www.example.com/",
                "word: takes one of: a, b",
                "file: takes a file that ends in .png or .jpg",
                "kind: needs the smtp channel, which is off: set smtp_port in [tokens] of the \
                 configuration",
            ]
        );
        assert_eq!(
            faults(&[("text", "abcd")], Some(("a.png", b"12345")), &on()),
            [
                "text: takes at most 3 characters",
                "file: takes a file of at most 4 bytes"
            ]
        );
        assert_eq!(
            faults(&[("text", "a")], Some((".png", b"")), &on()),
            ["file: the file is empty"]
        );
    }

    #[test]
    fn urls_are_whole_and_cannot_leave_their_place() {
        for good in ["http://a", "HTTPS://a.example:8443/x?y#z", "http://[::1]/"] {
            assert!(is_url(good), "{good}");
        }
        for bad in [
            "",
            "http://",
            "http:///x",
            "https://:80/",
            "javascript:alert(1)",
            "//a/",
            "a.example",
            "http://a/\r\nX: y",
            "http://a/\"><b",
            "http://a b/",
            "http://é",
            "http\u{e9}://aaaaaaaaa",
        ] {
            assert_eq!(is_url(bad), bad == "http://é", "{bad}");
        }
        assert!(!is_url(&format!("http://a/{}", "b".repeat(MAX_URL))));
    }
}
