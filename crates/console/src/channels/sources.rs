//! What is known of a source's address: where it is, and whether it is one that many share to hide
//! behind. From files of the operator's, which are read again when they have changed; nothing is asked
//! of anybody.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{Stamp, stamp};
use crate::ConsoleError;
use crate::engine::{IgnoreList, IgnoreRule};

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(60);
/// One that has changed is looked at again so long after, and taken if it's still the same.
const REST: Duration = Duration::from_secs(15);
/// Longest list in bytes.
const MAX_LIST: u64 = 64 * 1024 * 1024;
/// Largest database in bytes.
const MAX_DATABASE: u64 = 1024 * 1024 * 1024;

/// The operator's files; `None` where there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceFiles {
    /// A database of places in MaxMind's format (`.mmdb`).
    pub geoip: Option<PathBuf>,
    /// Addresses and networks of Tor's exits, a line each; `#` starts a comment.
    pub tor: Option<PathBuf>,
    /// Those of VPNs.
    pub vpn: Option<PathBuf>,
    /// Those of open proxies.
    pub proxy: Option<PathBuf>,
}

/// What is known of sources.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    places: Option<Followed<Database>>,
    tor: Option<Followed<Addresses>>,
    vpn: Option<Followed<Addresses>>,
    proxy: Option<Followed<Addresses>>,
}

type Database = maxminddb::Reader<Vec<u8>>;

impl Sources {
    /// Reads the operator's files.
    ///
    /// # Errors
    /// Where one can't be used.
    pub fn read(files: &SourceFiles) -> Result<Self, ConsoleError> {
        let list = |file: &Option<PathBuf>| {
            let file = file.as_deref();
            file.map(|file| Followed::new(file, Addresses::read))
                .transpose()
        };
        let places = files.geoip.as_deref();
        Ok(Self {
            places: places
                .map(|file| Followed::new(file, database))
                .transpose()?,
            tor: list(&files.tor)?,
            vpn: list(&files.vpn)?,
            proxy: list(&files.proxy)?,
        })
    }

    /// Reads them again whenever they have changed; ends never where there are any.
    pub async fn follow(self: Arc<Self>) {
        if self.places.is_none() && self.lists().iter().all(|list| list.is_none()) {
            return;
        }
        let mut at_rest = true;
        loop {
            tokio::time::sleep(if at_rest { LOOK } else { REST }).await;
            let sources = Arc::clone(&self);
            // A large file takes a while. Should reading panic, the next look comes all the same.
            let looked = tokio::task::spawn_blocking(move || sources.refresh()).await;
            at_rest = looked.unwrap_or(true);
        }
    }

    /// Looks at the files once. One after the other, so that no two are in memory twice. Whether all
    /// are at rest.
    fn refresh(&self) -> bool {
        let mut at_rest = self.places.as_ref().is_none_or(Followed::refresh);
        for list in self.lists().into_iter().flatten() {
            at_rest &= list.refresh();
        }
        at_rest
    }

    fn lists(&self) -> [&Option<Followed<Addresses>>; 3] {
        [&self.proxy, &self.tor, &self.vpn]
    }

    /// The event fields about `source`: none where nothing is configured or known.
    pub fn fields(&self, source: IpAddr) -> Map<String, Value> {
        let source = source.to_canonical();
        let mut fields = Map::new();
        if let Some(place) = self
            .places
            .as_ref()
            .and_then(|places| place(&places.held(), source))
        {
            fields.insert("geoip".to_owned(), place);
        }
        if self.lists().iter().any(|list| list.is_some()) {
            let is = |list: &Option<Followed<Addresses>>| {
                list.as_ref().is_some_and(|l| l.held().holds(source))
            };
            fields.insert(
                "ip_blocklist".to_owned(),
                json!({
                    "is_proxy": is(&self.proxy), "is_tor": is(&self.tor), "is_vpn": is(&self.vpn),
                }),
            );
        }
        fields
    }
}

/// What comes of a look at a file.
#[derive(Debug, PartialEq, Eq)]
enum Look {
    Nothing,
    /// It has changed and may go on doing so.
    Moving,
    /// It was read anew, or can't be.
    Told(Result<(), String>),
}

/// A file and what it holds.
#[derive(Debug)]
struct Followed<T> {
    file: PathBuf,
    read: fn(&Path) -> io::Result<T>,
    held: RwLock<Arc<T>>,
    looks: Mutex<Looks>,
}

/// What earlier looks at a file have found.
#[derive(Debug)]
struct Looks {
    /// The file that was read last, be it in vain; `None` where it shall be tried again.
    read: Option<Stamp>,
    /// The file at the last look; `None` where it wasn't there.
    seen: Option<Stamp>,
    /// Why what is held is old; told once.
    problem: Option<String>,
}

impl<T> Followed<T> {
    fn new(file: &Path, read: fn(&Path) -> io::Result<T>) -> Result<Self, ConsoleError> {
        // The stamp first, so that a change while it's read is seen later.
        let both = stamp(file).and_then(|stamp| Ok((Some(stamp), read(file)?)));
        let (stamp, held) = both.map_err(|cause| failed(file, cause))?;
        Ok(Self {
            file: file.to_owned(),
            read,
            held: RwLock::new(Arc::new(held)),
            looks: Mutex::new(Looks {
                read: stamp,
                seen: stamp,
                problem: None,
            }),
        })
    }

    fn held(&self) -> Arc<T> {
        Arc::clone(&self.held.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Looks at the file and says in the log what has come of it. Whether it is at rest.
    fn refresh(&self) -> bool {
        let file = self.file.display();
        match self.look() {
            Look::Moving => return false,
            Look::Nothing => {}
            Look::Told(Ok(())) => {
                tracing::info!(%file, "a file that [tokens] names has changed and was read anew");
            }
            Look::Told(Err(error)) => tracing::warn!(
                %error,
                "a file that [tokens] names can't be used any more; what it held before stays in \
                 use until it's there and whole: write it anew under another name and rename that, \
                 no restart is needed"
            ),
        }
        true
    }

    /// Takes the file if it has changed since it was read and is at rest.
    fn look(&self) -> Look {
        let mut looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        let now = stamp(&self.file);
        let seen = now.as_ref().ok().copied();
        // Whoever writes or moves it may not be done: half a list can look like a whole one.
        if std::mem::replace(&mut looks.seen, seen) != seen {
            return Look::Moving;
        }
        if seen.is_some() && seen == looks.read {
            return Look::Nothing;
        }
        looks.read = seen;
        match now.and_then(|now| self.read_again(now)) {
            Ok(()) => {
                looks.problem = None;
                Look::Told(Ok(()))
            }
            Err(cause) => {
                // The system's reasons, such as a missing right, go by without a trace in the file.
                if cause.raw_os_error().is_some() || cause.kind() == io::ErrorKind::OutOfMemory {
                    looks.read = None;
                }
                let problem = failed(&self.file, cause).to_string();
                let told = looks.problem.replace(problem.clone());
                match told.as_ref() == Some(&problem) {
                    true => Look::Nothing,
                    false => Look::Told(Err(problem)),
                }
            }
        }
    }

    fn read_again(&self, stamp: Stamp) -> io::Result<()> {
        let mut new = Arc::new((self.read)(&self.file)?);
        // What a download leaves that has failed. At start it may be meant so.
        if stamp.length == 0 {
            return Err(io::Error::other("it has become empty"));
        }
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut *held, &mut new);
        // Nobody waits while the old one is freed.
        drop(held);
        Ok(())
    }
}

/// A list of addresses and networks.
#[derive(Debug, Default)]
struct Addresses {
    single: HashSet<IpAddr>,
    networks: IgnoreList,
}

impl Addresses {
    fn read(file: &Path) -> io::Result<Self> {
        Self::parse(BufReader::new(bounded(file, MAX_LIST)?))
    }

    /// Line by line, so that the text is never in memory as a whole.
    fn parse(text: impl BufRead) -> io::Result<Self> {
        let (mut single, mut networks) = (HashSet::new(), Vec::new());
        for line in text.lines() {
            let line = line?;
            let line = line.split('#').next().unwrap_or_default().trim();
            if line.is_empty() {
                continue;
            }
            if let Ok(address) = line.parse::<IpAddr>() {
                single.insert(address.to_canonical());
            } else if let Some(network) =
                IgnoreRule::parse(line).filter(IgnoreRule::is_for_all_ports)
            {
                networks.push(network);
            } else {
                let line: String = line.chars().take(80).collect();
                let problem = format!("{line:?} is neither an address nor a network");
                return Err(io::Error::other(problem));
            }
        }
        Ok(Self {
            single,
            networks: networks.into(),
        })
    }

    fn holds(&self, source: IpAddr) -> bool {
        self.single.contains(&source) || self.networks.matches(source, 0)
    }
}

fn database(file: &Path) -> io::Result<Database> {
    let mut file = bounded(file, MAX_DATABASE)?;
    let length = file.get_ref().metadata()?.len().min(MAX_DATABASE);
    // Not a byte more than that, and where there's no room it's an error.
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(usize::try_from(length).unwrap_or(usize::MAX))?;
    file.read_to_end(&mut bytes)?;
    maxminddb::Reader::from_source(bytes).map_err(|cause| io::Error::other(cause.to_string()))
}

/// A file, of which at most `most` bytes are read, should it grow meanwhile.
fn bounded(file: &Path, most: u64) -> io::Result<io::Take<File>> {
    let about = std::fs::metadata(file)?;
    if !about.is_file() || about.len() > most {
        let problem = format!("must be a file of at most {most} bytes");
        return Err(io::Error::other(problem));
    }
    Ok(File::open(file)?.take(most))
}

fn failed(file: &Path, cause: io::Error) -> ConsoleError {
    let doing = format!("read {}, which [tokens] names", file.display());
    ConsoleError::Io { doing, cause }
}

/// What the database says, under the names that consumers of such events know.
fn place(places: &Database, source: IpAddr) -> Option<Value> {
    let record: Value = places.lookup(source).ok()?.decode().ok()??;
    let at = |path: &str| record.pointer(path).filter(|value| !value.is_null());
    let mut place = Map::new();
    for (name, path) in [
        ("city", "/city/names/en"),
        ("continent_code", "/continent/code"),
        ("country", "/country/iso_code"),
        ("country_name", "/country/names/en"),
        ("latitude", "/location/latitude"),
        ("longitude", "/location/longitude"),
        ("postal", "/postal/code"),
        ("region", "/subdivisions/0/iso_code"),
        ("region_name", "/subdivisions/0/names/en"),
        ("timezone", "/location/time_zone"),
        ("asn", "/autonomous_system_number"),
        ("org", "/autonomous_system_organization"),
    ] {
        if let Some(value) = at(path) {
            place.insert(name.to_owned(), value.clone());
        }
    }
    (!place.is_empty()).then_some(Value::Object(place))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A database in which all addresses below 128.0.0.0 are in Utrecht, and others nowhere.
    fn sample() -> Vec<u8> {
        let text = |text: &str| {
            let length = u8::try_from(text.len()).unwrap();
            assert!(length < 29);
            [&[0x40 | length], text.as_bytes()].concat()
        };
        let map = |entries: &[(&str, Vec<u8>)]| {
            let mut bytes = vec![0xe0 | u8::try_from(entries.len()).unwrap()];
            for (name, value) in entries {
                bytes.extend(text(name));
                bytes.extend(value);
            }
            bytes
        };
        let english = |name: &str| map(&[("names", map(&[("en", text(name))]))]);
        let double = |number: f64| [&[0x68], &number.to_be_bytes()[..]].concat();
        let data = map(&[
            ("city", english("Utrecht")),
            ("country", map(&[("iso_code", text("NL"))])),
            ("location", map(&[("latitude", double(52.5))])),
        ]);
        // One node of two records of 24 bits: the data (after it and 16 bytes), and nothing.
        let mut bytes = vec![0, 0, 17, 0, 0, 1];
        bytes.extend([0; 16]);
        bytes.extend(data);
        bytes.extend(b"\xab\xcd\xefMaxMind.com");
        bytes.extend(map(&[
            ("binary_format_major_version", vec![0xa1, 2]),
            ("binary_format_minor_version", vec![0xa0]),
            ("build_epoch", vec![0x01, 0x02, 1]),
            ("database_type", text("Test")),
            ("description", map(&[])),
            ("ip_version", vec![0xa1, 4]),
            ("languages", vec![0x00, 0x04]),
            ("node_count", vec![0xc1, 1]),
            ("record_size", vec![0xa1, 24]),
        ]));
        bytes
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn places_and_lists_become_fields_and_without_files_there_are_none() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, bytes: &[u8]| {
            let path = dir.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            Some(path)
        };
        assert_eq!(Sources::default().fields(ip("192.0.2.1")), Map::new());
        let sources = Sources::read(&SourceFiles {
            geoip: file("a.mmdb", &sample()),
            tor: file("tor", b"# exits\n100.64.0.9\n2001:db8::/32 # a network\n\n"),
            ..SourceFiles::default()
        })
        .unwrap();
        assert_eq!(
            Value::Object(sources.fields(ip("::ffff:100.64.0.9"))),
            json!({
                "geoip": {"city": "Utrecht", "country": "NL", "latitude": 52.5},
                "ip_blocklist": {"is_proxy": false, "is_tor": true, "is_vpn": false},
            })
        );
        assert_eq!(
            Value::Object(sources.fields(ip("2001:db8::1"))),
            json!({"ip_blocklist": {"is_proxy": false, "is_tor": true, "is_vpn": false}})
        );
        let nowhere = Value::Object(sources.fields(ip("200.0.0.1")));
        assert_eq!(
            nowhere,
            json!({"ip_blocklist": {"is_proxy": false, "is_tor": false, "is_vpn": false}})
        );
    }

    #[test]
    fn files_that_cannot_be_used_say_so_with_their_name() {
        let dir = tempfile::tempdir().unwrap();
        let bad = dir.path().join("bad");
        std::fs::write(&bad, "192.0.2.1\nnonsense\n").unwrap();
        for files in [
            SourceFiles {
                geoip: Some(bad.clone()),
                ..SourceFiles::default()
            },
            SourceFiles {
                vpn: Some(bad),
                ..SourceFiles::default()
            },
            SourceFiles {
                proxy: Some(dir.path().to_owned()),
                ..SourceFiles::default()
            },
        ] {
            let problem = Sources::read(&files).unwrap_err().to_string();
            assert!(problem.contains(dir.path().to_str().unwrap()), "{problem}");
        }
        let problem = Addresses::parse(&b"10.0.0.1:80"[..]).unwrap_err();
        assert_eq!(
            problem.to_string(),
            "\"10.0.0.1:80\" is neither an address nor a network"
        );
    }

    /// What a changed list tells at two looks, between which it's at rest.
    fn looked<T>(list: &Followed<T>) -> Result<(), String> {
        assert_eq!(list.look(), Look::Moving);
        match list.look() {
            Look::Told(told) => told,
            other => panic!("{other:?}"),
        }
    }

    fn list(file: &Path) -> Followed<Addresses> {
        Followed::new(file, Addresses::read).unwrap()
    }

    #[test]
    fn a_list_that_changes_is_read_anew_once_it_is_at_rest() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("tor");
        std::fs::write(&file, "192.0.2.1\n").unwrap();
        let list = list(&file);
        let first = list.held();
        assert_eq!((list.look(), list.look()), (Look::Nothing, Look::Nothing));
        assert!(Arc::ptr_eq(&first, &list.held()), "unchanged, so not read");

        // Renamed over, with the same length.
        let other = dir.path().join("tor.new");
        std::fs::write(&other, "192.0.2.2\n").unwrap();
        std::fs::rename(&other, &file).unwrap();
        assert_eq!(looked(&list), Ok(()));
        assert!(list.held().holds(ip("192.0.2.2")) && !list.held().holds(ip("192.0.2.1")));
        assert!(first.holds(ip("192.0.2.1")), "whoever has the old one");
        assert_eq!(Arc::strong_count(&first), 1, "nobody else keeps it");
        let second = list.held();
        assert_eq!((list.look(), list.look()), (Look::Nothing, Look::Nothing));
        assert!(Arc::ptr_eq(&second, &list.held()), "read once");

        // Rewritten where it is, in two parts with a look between; the first could be a whole list.
        std::fs::write(&file, "192.0.2.3\n192.0.2.4").unwrap();
        assert_eq!(list.look(), Look::Moving);
        std::fs::write(&file, "192.0.2.3\n192.0.2.40\n").unwrap();
        assert_eq!(looked(&list), Ok(()));
        assert!(list.held().holds(ip("192.0.2.40")) && !list.held().holds(ip("192.0.2.4")));
    }

    #[test]
    fn a_file_that_cannot_be_used_any_more_is_told_once_and_the_old_one_stays() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("vpn");
        std::fs::write(&file, "192.0.2.1\n").unwrap();
        let list = list(&file);
        let told = |part: &str| {
            let problem = looked(&list).unwrap_err();
            assert!(problem.contains(part), "{problem}");
            assert!(problem.contains(file.to_str().unwrap()), "{problem}");
            assert_eq!(
                (list.look(), list.look()),
                (Look::Nothing, Look::Nothing),
                "once"
            );
            assert!(list.held().holds(ip("192.0.2.1")));
        };
        std::fs::write(&file, "192.0.2.9\n<html>\n").unwrap();
        told("<html>");
        std::fs::write(&file, "").unwrap();
        told("empty");
        std::fs::remove_file(&file).unwrap();
        told("No such file");
        std::fs::create_dir(&file).unwrap();
        told("must be a file");
        std::fs::remove_dir(&file).unwrap();
        std::fs::write(&file, b"\xff\xfe\n").unwrap();
        told("UTF-8");

        std::fs::write(&file, "192.0.2.2\n").unwrap();
        assert_eq!(looked(&list), Ok(()));
        assert!(list.held().holds(ip("192.0.2.2")) && !list.held().holds(ip("192.0.2.1")));
        std::fs::write(&file, "192.0.2.9\n<html>\n").unwrap();
        let again = looked(&list).unwrap_err();
        assert!(again.contains("<html>"), "told again after it was right");
    }

    #[test]
    fn a_file_that_comes_back_as_it_was_is_used_and_its_next_loss_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let (file, aside) = (dir.path().join("proxy"), dir.path().join("aside"));
        std::fs::write(&file, "192.0.2.1\n").unwrap();
        let list = list(&file);
        for _ in 0..2 {
            std::fs::rename(&file, &aside).unwrap();
            assert!(looked(&list).is_err());
            std::fs::rename(&aside, &file).unwrap();
            assert_eq!(looked(&list), Ok(()));
        }
        // Moved away and back between two looks.
        std::fs::rename(&file, &aside).unwrap();
        assert_eq!(list.look(), Look::Moving);
        std::fs::rename(&aside, &file).unwrap();
        assert_eq!((list.look(), list.look()), (Look::Moving, Look::Nothing));
    }

    #[test]
    fn what_the_system_refuses_is_tried_again_though_the_file_stays_as_it_is() {
        static REFUSED: Mutex<bool> = Mutex::new(false);
        fn read(file: &Path) -> io::Result<String> {
            if *REFUSED.lock().unwrap() {
                return Err(io::Error::from_raw_os_error(13));
            }
            std::fs::read_to_string(file)
        }
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("list");
        std::fs::write(&file, "one").unwrap();
        let list = Followed::new(&file, read).unwrap();
        std::fs::write(&file, "second").unwrap();
        *REFUSED.lock().unwrap() = true;
        assert!(looked(&list).is_err());
        assert_eq!((list.look(), list.held().as_str()), (Look::Nothing, "one"));
        *REFUSED.lock().unwrap() = false;
        assert_eq!(list.look(), Look::Told(Ok(())));
        assert_eq!(list.held().as_str(), "second");
    }

    #[tokio::test(start_paused = true)]
    async fn files_are_followed_and_half_a_database_leaves_the_old_one_in_use() {
        let dir = tempfile::tempdir().unwrap();
        let (places, tor) = (dir.path().join("a.mmdb"), dir.path().join("tor"));
        std::fs::write(&places, sample()).unwrap();
        std::fs::write(&tor, "").unwrap();
        let sources = Arc::new(
            Sources::read(&SourceFiles {
                geoip: Some(places.clone()),
                tor: Some(tor.clone()),
                ..SourceFiles::default()
            })
            .unwrap(),
        );
        let following = tokio::spawn(Arc::clone(&sources).follow());
        let known = || {
            let fields = sources.fields(ip("100.64.0.9"));
            let city = fields["geoip"]["city"].as_str().unwrap().to_owned();
            (city, fields["ip_blocklist"]["is_tor"].as_bool().unwrap())
        };
        tokio::time::sleep(LOOK * 3).await;
        assert_eq!(known(), ("Utrecht".to_owned(), false));

        std::fs::write(&tor, "100.64.0.0/10\n").unwrap();
        let mut half = sample();
        half.truncate(half.len() / 2);
        std::fs::write(&places, half).unwrap();
        tokio::time::sleep(LOOK + REST * 2).await;
        assert_eq!(known(), ("Utrecht".to_owned(), true));

        let mut other = sample();
        let at = other
            .windows(7)
            .position(|part| part == b"Utrecht")
            .unwrap();
        other[at..at + 7].copy_from_slice(b"Leeuwen");
        std::fs::write(&places, other).unwrap();
        tokio::time::sleep(LOOK * 3).await;
        assert_eq!(known(), ("Leeuwen".to_owned(), true));
        following.abort();

        // Nothing to follow, nothing that goes on.
        Arc::new(Sources::default()).follow().await;
    }
}
