//! A site: files as its server serves them, and the pages of the application behind it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::sync::Mutex;

use coalmine_core::Timestamp;

use super::head::Head;
use super::persona::Persona;
use super::reply::{Framing, Reply, date};
use super::scan::Scans;
use super::skin::Skin;
use super::status::Status;
use super::windows::Host;
use super::{apache, iis, parse};

/// Shortest file that `mod_deflate` would compress, in bytes.
const DEFLATES_FROM: usize = 69;
/// Longest file that is compressed when asked for, in bytes: work for the asking has a bound.
const MAX_DEFLATED: usize = 256 * 1024;

/// A file of a site.
#[derive(Clone, Debug)]
pub(super) struct File {
    pub(super) content_type: String,
    pub(super) body: Vec<u8>,
    pub(super) modified: Timestamp,
}

/// What a server tells of itself.
#[derive(Clone, Debug)]
pub(super) struct Face {
    /// `Server`, and the foot of the server's own pages.
    pub(super) server: String,
    /// The host's own name (`ServerName`).
    pub(super) name: String,
}

/// One site of one bird.
pub(super) struct Site {
    /// The name of the skin, as events tell it.
    pub(super) skin_name: &'static str,
    /// The application, if the site has one.
    pub(super) skin: Option<&'static Skin>,
    /// What `{{...}}` in pages of the application stands for.
    pub(super) words: Vec<(&'static str, String)>,
    /// The server in front.
    pub(super) persona: Persona,
    /// What it tells of itself.
    pub(super) face: Face,
    /// Fields that every answer carries.
    pub(super) fields: Vec<(String, String)>,
    /// Whether every page load is told.
    pub(super) tells_loads: bool,
    /// How long the application thinks about wrong credentials, in milliseconds, on average.
    pub(super) login_delay: u64,
    /// Paths under which Basic authentication is asked for, with the realm.
    pub(super) realms: Vec<(String, String)>,
    /// The machine, where every page asks for Windows' logins.
    pub(super) windows: Option<Host>,
    /// File that is the page for 404.
    pub(super) missing: Option<String>,
    /// Whether pages take forms and answer with themselves, as the operator's own do.
    pub(super) takes_forms: bool,
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
        let guards = |prefix: &str| match self.persona {
            Persona::Nginx | Persona::Go => path.starts_with(prefix),
            Persona::Apache => path.starts_with(prefix) || prefix.strip_suffix('/') == Some(path),
            Persona::Iis => {
                let path = path.to_ascii_lowercase();
                path.starts_with(prefix) || prefix.strip_suffix('/') == Some(path.as_str())
            }
        };
        let found = self.realms.iter().find(|(prefix, _)| guards(prefix));
        found.map(|(_, realm)| realm.as_str())
    }

    /// The server's own answer.
    pub(super) fn page(&self, status: Status, head: Option<&Head>) -> Reply {
        self.page_on(status, head, head.is_some_and(|h| h.secure), "")
    }

    /// The same inside TLS or not; `moved` is where a redirect leads.
    pub(super) fn page_on(
        &self,
        status: Status,
        head: Option<&Head>,
        secure: bool,
        moved: &str,
    ) -> Reply {
        if status == Status::NotFound
            && let Some(missing) = &self.missing
            && let Some(file) = self.files.get(missing)
        {
            return Reply {
                code: 404,
                phrase: "Not Found",
                content_type: Some(file.content_type.clone()),
                body: file.body.clone(),
                fields: match self.persona {
                    Persona::Nginx => vec![("ETag", file.etag(self.persona))],
                    _ => Vec::new(),
                },
                ..Reply::default()
            };
        }
        let location = (!moved.is_empty()).then(|| moved.to_owned());
        let with = |(code, phrase), kind: &str, body| Reply {
            code,
            phrase,
            content_type: Some(kind.to_owned()),
            body,
            location: location.clone(),
            ..Reply::default()
        };
        match self.persona {
            Persona::Nginx | Persona::Go => with(
                status.line(),
                "text/html",
                status.page(&self.face.server, head.is_some_and(Head::is_padded)),
            ),
            Persona::Apache => {
                let port = if secure { 443 } else { 80 };
                let page = apache::page(status, head, &self.face, port, moved);
                let mut reply = with(apache::line(status), "text/html; charset=iso-8859-1", page);
                match status {
                    Status::NotAllowed if head.is_some_and(|h| h.is("TRACE")) => {
                        reply.fields.push(("Allow", String::new()));
                    }
                    Status::NotAllowed | Status::NotImplemented => {
                        reply.fields.push(("Allow", apache::ALLOW.to_owned()));
                        reply.ends = status == Status::NotImplemented;
                    }
                    Status::RangeNotSatisfiable => reply.framing = Framing::Chunked,
                    _ => {}
                }
                reply
            }
            Persona::Iis => match iis::kernel_page(status) {
                Some((code, phrase, page)) => Reply {
                    kernel: true,
                    ..with((code, phrase), "text/html; charset=us-ascii", page)
                },
                None => {
                    let (code, phrase, page) = iis::page(status, moved);
                    let kind = if location.is_some() {
                        "text/html; charset=UTF-8"
                    } else {
                        "text/html"
                    };
                    let mut reply = with((code, phrase), kind, page);
                    if status == Status::NotAllowed {
                        reply.fields.push(("Allow", iis::ALLOW.to_owned()));
                    }
                    reply
                }
            },
        }
    }

    /// What the server serves from its files. `here` is `scheme://host:port` for redirects.
    pub(super) fn file(&self, head: &Head, here: &str) -> Reply {
        let page = |status| self.page(status, Some(head));
        if let Some(reply) = self.before_files(head) {
            return reply;
        }
        // Files have plain names, so a path that isn't text is none of them (and NUL is never asked for).
        let path = std::str::from_utf8(&head.path).unwrap_or("/\0");
        if let Some(file) = self.find(path) {
            return match self.persona {
                Persona::Nginx | Persona::Iis if head.is("POST") => page(Status::NotAllowed),
                _ => self.serve(file, head),
            };
        }
        if self.is_directory(path) {
            // Apache's `mod_autoindex` forbids reading alone.
            if self.persona == Persona::Apache && head.is("POST") {
                return page(Status::NotFound);
            }
            return page(Status::Forbidden);
        }
        if !path.ends_with('/') && self.is_directory(&format!("{path}/")) {
            let query = parse::latin1(&head.query);
            let mark = if query.is_empty() { "" } else { "?" };
            let to = format!("{here}{path}/{mark}{query}");
            let mut reply = self.page_on(Status::MovedPermanently, Some(head), head.secure, &to);
            reply.location = Some(to);
            return reply;
        }
        page(Status::NotFound)
    }

    /// The file at `path`, or the index of the directory.
    pub(super) fn find(&self, path: &str) -> Option<&File> {
        if path.ends_with('/') {
            let indices: &[&str] = match self.persona {
                Persona::Iis => &["default.htm", "index.htm", "index.html", "iisstart.htm"],
                _ => &["index.html", "index.htm"],
            };
            let mut found = indices
                .iter()
                .filter_map(|index| self.exactly(&format!("{path}{index}")));
            return found.next();
        }
        self.exactly(path)
    }

    fn exactly(&self, wanted: &str) -> Option<&File> {
        match self.persona {
            // Windows doesn't tell cases apart.
            Persona::Iis => {
                let mut files = self.files.iter();
                let found = files.find(|(name, _)| name.eq_ignore_ascii_case(wanted));
                found.map(|(_, file)| file)
            }
            _ => self.files.get(wanted),
        }
    }

    fn is_directory(&self, path: &str) -> bool {
        match self.persona {
            Persona::Iis => {
                let mut all = self.directories.iter();
                all.any(|name| name.eq_ignore_ascii_case(path))
            }
            _ => self.directories.contains(path),
        }
    }

    /// What the server answers before it looks for a file.
    fn before_files(&self, head: &Head) -> Option<Reply> {
        let page = |status| self.page(status, Some(head));
        let reads = head.is("GET") || head.is("HEAD");
        match self.persona {
            Persona::Nginx | Persona::Go => {
                (!reads && !head.is("POST")).then(|| page(Status::NotAllowed))
            }
            Persona::Apache if head.is("OPTIONS") => {
                let path = parse::latin1(&head.path);
                let kind = match self.find(&path) {
                    Some(file) => Some(file.content_type.clone()),
                    None if self.is_directory(&path) => Some("httpd/unix-directory".to_owned()),
                    None => None,
                };
                let allow = (!head.asterisk).then(|| ("Allow", apache::ALLOW.to_owned()));
                Some(Reply {
                    code: 200,
                    phrase: "OK",
                    content_type: kind,
                    fields: allow.into_iter().collect(),
                    ..Reply::default()
                })
            }
            Persona::Apache => apache::before_files(head).map(page),
            Persona::Iis if head.is("OPTIONS") => Some(Reply {
                code: 200,
                phrase: "OK",
                fields: vec![("Public", iis::PUBLIC.to_owned())],
                late: vec![("Allow", iis::PUBLIC.to_owned())],
                ..Reply::default()
            }),
            Persona::Iis if head.is("TRACE") => Some(page(Status::NotImplemented)),
            Persona::Iis if !reads => Some(page(Status::NotAllowed)),
            Persona::Iis => iis::is_hidden(head).then(|| page(Status::NotFound)),
        }
    }

    /// A file under the conditions of the request (RFC 9110 sections 13 and 14).
    fn serve(&self, file: &File, head: &Head) -> Reply {
        let apache = self.persona == Persona::Apache;
        let etag = file.etag(self.persona);
        let modified = date(file.modified);
        let time = |name| head.text(name).and_then(|v| seconds(&v));
        let ranges = ("Accept-Ranges", "bytes".to_owned());
        let too_late = time("if-unmodified-since").is_some_and(|t| t < file.modified.secs());
        let other = head
            .text("if-match")
            .is_some_and(|tags| !names(&tags, &etag, false));
        if too_late || other {
            return match self.persona {
                Persona::Apache => Reply {
                    code: 412,
                    phrase: "Precondition Failed",
                    content_type: Some(file.content_type.clone()),
                    modified: Some(modified),
                    fields: vec![("ETag", etag), ranges],
                    ..Reply::default()
                },
                _ => Reply {
                    ends: self.persona == Persona::Nginx,
                    ..self.page(Status::PreconditionFailed, Some(head))
                },
            };
        }
        let same_time = time("if-modified-since").map(|t| match self.persona {
            Persona::Nginx => t == file.modified.secs(),
            _ => t >= file.modified.secs(),
        });
        let same_tag = head
            .text("if-none-match")
            .map(|tags| names(&tags, &etag, true));
        let asked = head.get("if-modified-since").is_some() || same_tag.is_some();
        if asked
            && same_tag.unwrap_or(true)
            && (head.get("if-modified-since").is_none() || same_time == Some(true))
        {
            let mut reply = Reply {
                code: 304,
                phrase: "Not Modified",
                modified: Some(modified),
                ..Reply::default()
            };
            match self.persona {
                Persona::Nginx | Persona::Go => reply.fields = vec![("ETag", etag)],
                Persona::Apache => reply.fields = vec![("ETag", etag), ranges],
                Persona::Iis => reply.late = vec![ranges, ("ETag", etag)],
            }
            return reply;
        }
        let mut reply = Reply {
            code: 200,
            phrase: "OK",
            content_type: Some(file.content_type.clone()),
            modified: Some(modified.clone()),
            ..Reply::default()
        };
        match self.persona {
            Persona::Nginx | Persona::Go => reply.fields = vec![("ETag", etag.clone())],
            Persona::Apache => reply.fields = vec![("ETag", etag.clone()), ranges.clone()],
            Persona::Iis => reply.late = vec![ranges.clone(), ("ETag", etag.clone())],
        }
        let kind = file.content_type.split(';').next().unwrap_or_default();
        let packs = matches!(kind, "text/html" | "text/plain" | "text/xml" | "text/css")
            || matches!(kind, "text/javascript" | "application/javascript");
        let deflates = apache && packs && file.body.len() >= DEFLATES_FROM;
        if deflates
            && head.get("range").is_none()
            && let Some(packed) = packed(file, head)
        {
            reply.body = packed;
            reply.fields = vec![
                ("ETag", format!("\"{}-gzip\"", etag.trim_matches('"'))),
                ranges,
                ("Vary", "Accept-Encoding".to_owned()),
                ("Content-Encoding", "gzip".to_owned()),
            ];
            return reply;
        }
        if deflates {
            reply.late.push(("Vary", "Accept-Encoding".to_owned()));
        }
        let fresh = head
            .text("if-range")
            .is_none_or(|given| given == etag || given == modified);
        match head
            .text("range")
            .filter(|_| fresh)
            .map_or(Range::Whole, |given| range(&given, file.body.len()))
        {
            // Apache overlooks a range that is none.
            Range::Odd if self.persona == Persona::Nginx => {
                return self.beyond(file, head);
            }
            Range::Whole | Range::Odd => {
                reply.body = file.body.clone();
                if self.persona == Persona::Nginx {
                    reply.fields.push(ranges);
                }
            }
            Range::Part(start, end) => {
                reply.code = 206;
                reply.phrase = "Partial Content";
                reply.body = file.body.get(start..end).unwrap_or_default().to_vec();
                let last = end.saturating_sub(1);
                let len = file.body.len();
                let told = ("Content-Range", format!("bytes {start}-{last}/{len}"));
                match self.persona {
                    Persona::Nginx | Persona::Go => reply.fields.push(told),
                    Persona::Apache | Persona::Iis => reply.late.push(told),
                }
            }
            Range::Beyond => return self.beyond(file, head),
        }
        reply
    }

    /// The range lies beyond the file.
    fn beyond(&self, file: &File, head: &Head) -> Reply {
        let mut reply = self.page(Status::RangeNotSatisfiable, Some(head));
        let len = file.body.len();
        if self.persona != Persona::Apache {
            let told = ("Content-Range", format!("bytes */{len}"));
            reply.fields.push(told);
        }
        reply
    }
}

impl File {
    /// Each server makes it of time and length in its own way.
    pub(super) fn etag(&self, persona: Persona) -> String {
        let len = self.body.len();
        match persona {
            Persona::Nginx | Persona::Go => format!("\"{:x}-{len:x}\"", self.modified.secs()),
            Persona::Apache => format!("\"{len:x}-{:x}\"", self.modified.micros()),
            Persona::Iis => {
                // A FILETIME ([MS-DTYP] 2.3.3), its bytes from the last to the first, none padded.
                let hex: String = self
                    .modified
                    .filetime()
                    .to_le_bytes()
                    .iter()
                    .map(|byte| format!("{byte:x}"))
                    .collect();
                format!("\"{hex}:0\"")
            }
        }
    }
}

/// `file` as gzip (RFC 1952), where the peer takes that.
fn packed(file: &File, head: &Head) -> Option<Vec<u8>> {
    /// The operating system that the header names: Unix.
    const UNIX: u8 = 3;
    let takes = head.text("accept-encoding")?;
    let mut words = takes.split(',').map(|word| word.split(';').next());
    let gzip = words.any(|word| word.is_some_and(|w| w.trim().eq_ignore_ascii_case("gzip")));
    if !gzip || file.body.len() > MAX_DEFLATED {
        return None;
    }
    let mut writer = flate2::GzBuilder::new()
        .operating_system(UNIX)
        .write(Vec::new(), flate2::Compression::default());
    writer.write_all(&file.body).ok()?;
    writer.finish().ok()
}

enum Range {
    Whole,
    /// From the first to before the second.
    Part(usize, usize),
    Beyond,
    /// It can't be read.
    Odd,
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
        Some((start, end)) if start < len && start >= end => Range::Odd,
        Some(_) => Range::Beyond,
        None => Range::Odd,
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
