//! A site: files as nginx serves them, and the pages of the application behind it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use coalmine_core::Timestamp;

use super::head::Head;
use super::reply::{Reply, date};
use super::scan::Scans;
use super::skin::Skin;
use super::status::Status;

/// A file of a site.
#[derive(Clone, Debug)]
pub(super) struct File {
    pub(super) content_type: String,
    pub(super) body: Vec<u8>,
    pub(super) modified: Timestamp,
}

/// One site of one bird.
pub(super) struct Site {
    /// The name of the skin, as events tell it.
    pub(super) skin_name: &'static str,
    /// The application, if the site has one.
    pub(super) skin: Option<&'static Skin>,
    /// What `{{...}}` in pages of the application stands for.
    pub(super) words: Vec<(&'static str, String)>,
    /// `Server`, and the foot of the server's own pages.
    pub(super) server: String,
    /// Fields that every answer carries.
    pub(super) fields: Vec<(String, String)>,
    /// Whether every page load is told.
    pub(super) tells_loads: bool,
    /// How long the application thinks about wrong credentials, in milliseconds, on average.
    pub(super) login_delay: u64,
    /// Paths under which Basic authentication is asked for, with the realm.
    pub(super) realms: Vec<(String, String)>,
    /// File that is the page for 404.
    pub(super) missing: Option<String>,
    pub(super) files: BTreeMap<String, File>,
    pub(super) directories: BTreeSet<String>,
    pub(super) scans: Mutex<Scans>,
}

impl Site {
    /// A file at `path`, and the directories above it.
    pub(super) fn add(&mut self, path: &str, file: File) {
        let mut above = path;
        while let Some((parent, _)) = above.rsplit_once('/') {
            self.directories.insert(format!("{parent}/"));
            above = parent;
        }
        self.files.insert(path.to_owned(), file);
    }

    /// The realm that guards `path`.
    pub(super) fn realm(&self, path: &str) -> Option<&str> {
        let found = self.realms.iter().find(|(p, _)| path.starts_with(p));
        found.map(|(_, realm)| realm.as_str())
    }

    /// The server's own answer.
    pub(super) fn page(&self, status: Status, head: Option<&Head>) -> Reply {
        if status == Status::NotFound
            && let Some(missing) = &self.missing
            && let Some(file) = self.files.get(missing)
        {
            return Reply {
                code: 404,
                phrase: "Not Found",
                content_type: Some(file.content_type.clone()),
                body: file.body.clone(),
                fields: vec![("ETag", file.etag())],
                ..Reply::default()
            };
        }
        Reply::page(status, &self.server, head.is_some_and(Head::is_padded))
    }

    /// What nginx serves from its files. `here` is `scheme://host:port` for redirects.
    pub(super) fn file(&self, head: &Head, here: &str) -> Reply {
        let page = |status| self.page(status, Some(head));
        if !(head.is("GET") || head.is("HEAD") || head.is("POST")) {
            return page(Status::NotAllowed);
        }
        // Files have plain names, so a path that isn't text is none of them (and NUL is never asked for).
        let path = std::str::from_utf8(&head.path).unwrap_or("/\0");
        let found = if path.ends_with('/') {
            match self.files.get(&format!("{path}index.html")) {
                Some(file) => Some(file),
                None if self.directories.contains(path) => return page(Status::Forbidden),
                None => None,
            }
        } else {
            if self.directories.contains(&format!("{path}/")) {
                let mut reply = page(Status::MovedPermanently);
                let query = super::parse::latin1(&head.query);
                let mark = if query.is_empty() { "" } else { "?" };
                reply.location = Some(format!("{here}{path}/{mark}{query}"));
                return reply;
            }
            self.files.get(path)
        };
        match found {
            None => page(Status::NotFound),
            Some(_) if head.is("POST") => page(Status::NotAllowed),
            Some(file) => self.serve(file, head),
        }
    }

    /// A file under the conditions of the request (RFC 9110 sections 13 and 14).
    fn serve(&self, file: &File, head: &Head) -> Reply {
        let etag = file.etag();
        let modified = date(file.modified);
        let time = |name| head.text(name).and_then(|v| seconds(&v));
        let too_late = time("if-unmodified-since").is_some_and(|t| t < file.modified.secs());
        let other = head
            .text("if-match")
            .is_some_and(|tags| !names(&tags, &etag, false));
        if too_late || other {
            return Reply {
                ends: true,
                ..self.page(Status::PreconditionFailed, Some(head))
            };
        }
        let same_time = time("if-modified-since").map(|t| t == file.modified.secs());
        let same_tag = head
            .text("if-none-match")
            .map(|tags| names(&tags, &etag, true));
        let asked = head.get("if-modified-since").is_some() || same_tag.is_some();
        if asked
            && same_tag.unwrap_or(true)
            && (head.get("if-modified-since").is_none() || same_time == Some(true))
        {
            return Reply {
                code: 304,
                phrase: "Not Modified",
                modified: Some(modified),
                fields: vec![("ETag", etag)],
                ..Reply::default()
            };
        }
        let mut reply = Reply {
            code: 200,
            phrase: "OK",
            content_type: Some(file.content_type.clone()),
            modified: Some(modified.clone()),
            fields: vec![("ETag", etag.clone())],
            ..Reply::default()
        };
        let fresh = head
            .text("if-range")
            .is_none_or(|given| given == etag || given == modified);
        match head
            .text("range")
            .filter(|_| fresh)
            .map_or(Range::Whole, |given| range(&given, file.body.len()))
        {
            Range::Whole => {
                reply.body = file.body.clone();
                reply.fields.push(("Accept-Ranges", "bytes".to_owned()));
            }
            Range::Part(start, end) => {
                reply.code = 206;
                reply.phrase = "Partial Content";
                reply.body = file.body.get(start..end).unwrap_or_default().to_vec();
                let last = end.saturating_sub(1);
                let len = file.body.len();
                reply
                    .fields
                    .push(("Content-Range", format!("bytes {start}-{last}/{len}")));
            }
            Range::Beyond => {
                reply = self.page(Status::RangeNotSatisfiable, Some(head));
                let len = file.body.len();
                reply
                    .fields
                    .push(("Content-Range", format!("bytes */{len}")));
            }
        }
        reply
    }
}

impl File {
    /// nginx makes it of time and length.
    pub(super) fn etag(&self) -> String {
        format!("\"{:x}-{:x}\"", self.modified.secs(), self.body.len())
    }
}

enum Range {
    Whole,
    /// From the first to before the second.
    Part(usize, usize),
    Beyond,
}

/// One range of bytes; several are answered with the whole, as a server may.
fn range(given: &str, len: usize) -> Range {
    let Some(set) = given.strip_prefix("bytes=") else {
        return Range::Whole;
    };
    if set.contains(',') {
        return Range::Whole;
    }
    let parsed = |text: &str| text.trim().parse::<usize>().ok();
    let bounds = match set.split_once('-') {
        Some(("", suffix)) => parsed(suffix)
            .filter(|n| *n > 0)
            .map(|n| (len.saturating_sub(n), len)),
        Some((start, "")) => parsed(start).map(|start| (start, len)),
        Some((start, last)) => parsed(start)
            .zip(parsed(last))
            .map(|(start, last)| (start, last.saturating_add(1).min(len))),
        None => None,
    };
    match bounds {
        Some((start, end)) if start < end && start < len => Range::Part(start, end),
        _ => Range::Beyond,
    }
}

/// Whether a list of entity tags names `etag`.
fn names(list: &str, etag: &str, weakly: bool) -> bool {
    list.trim() == "*"
        || list.split(',').any(|tag| {
            let tag = tag.trim();
            tag == etag || (weakly && tag.strip_prefix("W/") == Some(etag))
        })
}

/// Seconds since the epoch of an HTTP date in the preferred form.
fn seconds(text: &str) -> Option<i64> {
    let mut words = text.split_once(", ")?.1.split([' ', ':']);
    let day = words.next()?.parse::<i64>().ok()?;
    let month = words.next()?;
    let month = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ]
    .iter()
    .position(|m| *m == month)?;
    let month = i64::try_from(month).ok()?.saturating_add(1);
    let mut number = || words.next()?.parse::<i64>().ok();
    let (year, hour, minute, second) = (number()?, number()?, number()?, number()?);
    if !(1970..=9999).contains(&year) || !(1..=31).contains(&day) {
        return None;
    }
    // Days from civil: the year begins in March, so that the leap day comes last.
    let year = if month <= 2 {
        year.saturating_sub(1)
    } else {
        year
    };
    let shifted = month.saturating_add(9) % 12;
    let day_of_year = (shifted.saturating_mul(153).saturating_add(2) / 5)
        .saturating_add(day)
        .saturating_sub(1);
    let days = year
        .saturating_mul(365)
        .saturating_add(year / 4)
        .saturating_sub(year / 100)
        .saturating_add(year / 400)
        .saturating_add(day_of_year)
        .saturating_sub(719_468);
    Some(
        days.saturating_mul(86_400)
            .saturating_add(hour.saturating_mul(3_600))
            .saturating_add(minute.saturating_mul(60))
            .saturating_add(second),
    )
}
