//! Just enough XML to find a place in an uploaded part and write something there. Names no entity,
//! keeps no tree: a part of any shape costs its own length.

/// Deepest nesting followed.
pub const MAX_DEPTH: usize = 256;
/// Longest tag.
const MAX_TAG: usize = 64 * 1024;

/// What a tag does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `<a>`
    Open,
    /// `</a>`
    Close,
    /// `<a/>`
    Empty,
}

/// One tag of a part.
#[derive(Clone, Copy, Debug)]
pub struct Tag<'a> {
    /// With its prefix.
    pub name: &'a str,
    /// What it does.
    pub kind: Kind,
    /// How many elements are open around it.
    pub depth: usize,
    /// Where its `<` is.
    pub start: usize,
    /// Behind its `>`.
    pub end: usize,
    attributes: &'a str,
}

impl<'a> Tag<'a> {
    /// The name without its prefix.
    pub fn local(&self) -> &'a str {
        self.name.rsplit(':').next().unwrap_or(self.name)
    }

    /// The prefix with its colon; empty if it has none.
    pub fn prefix(&self) -> &'a str {
        let len = self.name.len().saturating_sub(self.local().len());
        self.name.get(..len).unwrap_or_default()
    }

    /// Whether it begins an element of this name, in any namespace.
    pub fn begins(&self, local: &str) -> bool {
        self.kind != Kind::Close && self.local() == local
    }

    /// The value of an attribute, by its name as written.
    pub fn attribute(&self, name: &str) -> Option<String> {
        self.attributes()
            .find(|(n, _)| *n == name)
            .map(|(_, v)| plain(v))
    }

    /// The value of an attribute, by its name without its prefix.
    pub fn attribute_any(&self, local: &str) -> Option<String> {
        self.attributes()
            .find(|(n, _)| n.rsplit(':').next() == Some(local))
            .map(|(_, v)| plain(v))
    }

    /// All attributes: name and value, both as written.
    pub fn attributes(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let mut rest = self.attributes;
        std::iter::from_fn(move || {
            let (name, after) = rest.split_once('=')?;
            let after = after.trim_start();
            let quote = after.chars().next().filter(|q| matches!(q, '"' | '\''))?;
            let (value, after) = after.get(1..)?.split_once(quote)?;
            rest = after;
            Some((name.trim(), value))
        })
    }
}

/// The tags of a part, in order. Ends after the first fault.
pub struct Tags<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    broken: bool,
}

/// The tags of `text`.
pub const fn tags(text: &str) -> Tags<'_> {
    Tags {
        text,
        at: 0,
        depth: 0,
        broken: false,
    }
}

impl<'a> Iterator for Tags<'a> {
    type Item = Result<Tag<'a>, String>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.broken {
            return None;
        }
        let found = self.tag().transpose();
        self.broken = matches!(found, Some(Err(_)));
        found
    }
}

impl<'a> Tags<'a> {
    fn tag(&mut self) -> Result<Option<Tag<'a>>, String> {
        loop {
            let rest = self.text.get(self.at..).unwrap_or_default();
            let Some(start) = rest.find('<') else {
                return match self.depth {
                    0 => Ok(None),
                    _ => Err("holds XML that ends too early".to_owned()),
                };
            };
            let start = self.at.saturating_add(start);
            let rest = self.text.get(start..).unwrap_or_default();
            let skip = [("<!--", "-->"), ("<![CDATA[", "]]>"), ("<?", "?>")]
                .into_iter()
                .find(|(open, _)| rest.starts_with(open));
            if let Some((open, close)) = skip {
                let body = rest.get(open.len()..).unwrap_or_default();
                let len = body.find(close).ok_or("holds XML that ends too early")?;
                self.at = start
                    .saturating_add(open.len())
                    .saturating_add(len)
                    .saturating_add(close.len());
                continue;
            }
            if rest.starts_with("<!") {
                return Err(
                    "holds XML with a document type, which no Office program writes".to_owned(),
                );
            }
            let len = tag_len(rest).ok_or("holds XML with a broken tag")?;
            let end = start.saturating_add(len);
            self.at = end;
            let inner = rest.get(1..len.saturating_sub(1)).unwrap_or_default();
            return self.sort(inner, start, end).map(Some);
        }
    }

    fn sort(&mut self, inner: &'a str, start: usize, end: usize) -> Result<Tag<'a>, String> {
        let (kind, inner) = if let Some(inner) = inner.strip_prefix('/') {
            (Kind::Close, inner)
        } else if let Some(inner) = inner.strip_suffix('/') {
            (Kind::Empty, inner)
        } else {
            (Kind::Open, inner)
        };
        let name_end = inner
            .find(|c: char| c.is_ascii_whitespace())
            .unwrap_or(inner.len());
        let (name, attributes) = inner.split_at(name_end);
        if kind == Kind::Close {
            self.depth = self
                .depth
                .checked_sub(1)
                .ok_or("holds XML that closes what isn't open")?;
        }
        let depth = self.depth;
        if kind == Kind::Open {
            self.depth = self.depth.saturating_add(1);
            if self.depth > MAX_DEPTH {
                return Err(format!("holds XML that is nested deeper than {MAX_DEPTH}"));
            }
        }
        Ok(Tag {
            name,
            kind,
            depth,
            start,
            end,
            attributes,
        })
    }
}

/// Length of the tag that `text` begins with; a `>` in quotes doesn't end it.
fn tag_len(text: &str) -> Option<usize> {
    let mut quote = None;
    for (at, byte) in text.bytes().enumerate().take(MAX_TAG) {
        match (quote, byte) {
            (None, b'>') => return at.checked_add(1),
            (None, b'"' | b'\'') => quote = Some(byte),
            (Some(open), _) if open == byte => quote = None,
            _ => {}
        }
    }
    None
}

/// `text` for an element's content or an attribute.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

/// The opposite, for the five entities that need no declaration; others stay as they stand.
pub fn plain(text: &str) -> String {
    if !text.contains('&') {
        return text.to_owned();
    }
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&apos;", "'")
        .replace("&amp;", "&")
}

/// `text` with `more` at `at`.
pub fn insert(text: &str, at: usize, more: &str) -> String {
    let at = text.floor_char_boundary(at);
    let (before, after) = text.split_at(at);
    [before, more, after].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Result<Vec<String>, String> {
        tags(text)
            .map(|tag| tag.map(|t| format!("{}{:?}{}", t.name, t.kind, t.depth)))
            .collect()
    }

    #[test]
    fn tags_come_with_their_depth_and_attributes() {
        let text = "<?xml version='1.0'?><!-- <x> --><w:a b=\"1>2\" r:c='&lt;&amp;'><d/><![CDATA[<e>]]></w:a>";
        assert_eq!(names(text).unwrap(), ["w:aOpen0", "dEmpty1", "w:aClose0"]);
        let first = tags(text).next().unwrap().unwrap();
        assert_eq!(first.attribute("b").as_deref(), Some("1>2"));
        assert_eq!(first.attribute_any("c").as_deref(), Some("<&"));
        assert_eq!((first.local(), first.prefix()), ("a", "w:"));
        assert_eq!(first.attribute("c"), None);
    }

    #[test]
    fn entities_depth_and_torn_ends_are_refused() {
        let laughs = "<!DOCTYPE a [<!ENTITY b \"ha\">]><a>&b;</a>";
        assert!(names(laughs).unwrap_err().contains("document type"));
        let deep = "<a>".repeat(300);
        assert!(names(&deep).unwrap_err().contains("deeper than 256"));
        for torn in ["<a", "<a>", "<a b=\"", "<!-- ", "</a>"] {
            assert!(names(torn).is_err(), "{torn}");
        }
    }
}
