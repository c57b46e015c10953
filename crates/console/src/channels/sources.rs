//! What is known of a source's address: where it is, and whether it is one that many share to hide
//! behind. From files of the operator's; nothing is asked of anybody.

use std::collections::HashSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use crate::ConsoleError;
use crate::engine::{IgnoreList, IgnoreRule};

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
    places: Option<maxminddb::Reader<Vec<u8>>>,
    tor: Option<Addresses>,
    vpn: Option<Addresses>,
    proxy: Option<Addresses>,
}

impl Sources {
    /// Reads the operator's files. They're read once, at start.
    pub fn read(files: &SourceFiles) -> Result<Self, ConsoleError> {
        let list = |file: &Option<PathBuf>| file.as_deref().map(Addresses::read).transpose();
        Ok(Self {
            places: files.geoip.as_deref().map(places).transpose()?,
            tor: list(&files.tor)?,
            vpn: list(&files.vpn)?,
            proxy: list(&files.proxy)?,
        })
    }

    /// The event fields about `source`: none where nothing is configured or known.
    pub fn fields(&self, source: IpAddr) -> Map<String, Value> {
        let source = source.to_canonical();
        let mut fields = Map::new();
        if let Some(place) = self
            .places
            .as_ref()
            .and_then(|places| place(places, source))
        {
            fields.insert("geoip".to_owned(), place);
        }
        let lists = [&self.proxy, &self.tor, &self.vpn];
        if lists.iter().any(|list| list.is_some()) {
            let is = |list: &Option<Addresses>| list.as_ref().is_some_and(|l| l.holds(source));
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

/// A list of addresses and networks.
#[derive(Debug, Default)]
struct Addresses {
    single: HashSet<IpAddr>,
    networks: IgnoreList,
}

impl Addresses {
    fn read(file: &Path) -> Result<Self, ConsoleError> {
        bounded(file, MAX_LIST)?;
        let text = std::fs::read_to_string(file).map_err(|cause| failed(file, cause))?;
        Self::parse(&text).map_err(|line| {
            let problem = format!("{line:?} is neither an address nor a network");
            failed(file, std::io::Error::other(problem))
        })
    }

    /// The line that is wrong, where one is.
    fn parse(text: &str) -> Result<Self, String> {
        let (mut single, mut networks) = (HashSet::new(), Vec::new());
        for line in text.lines() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if line.is_empty() {
                continue;
            }
            if let Ok(address) = line.parse::<IpAddr>() {
                single.insert(address.to_canonical());
            } else if IgnoreRule::parse(line).is_some_and(|rule| rule.is_for_all_ports()) {
                networks.push(line.to_owned());
            } else {
                return Err(line.chars().take(80).collect());
            }
        }
        Ok(Self {
            single,
            networks: IgnoreList::new(&networks),
        })
    }

    fn holds(&self, source: IpAddr) -> bool {
        self.single.contains(&source) || self.networks.matches(source, 0)
    }
}

fn places(file: &Path) -> Result<maxminddb::Reader<Vec<u8>>, ConsoleError> {
    bounded(file, MAX_DATABASE)?;
    maxminddb::Reader::open_readfile(file)
        .map_err(|cause| failed(file, std::io::Error::other(cause.to_string())))
}

fn bounded(file: &Path, most: u64) -> Result<(), ConsoleError> {
    let about = std::fs::metadata(file).map_err(|cause| failed(file, cause))?;
    if !about.is_file() || about.len() > most {
        let problem = format!("must be a file of at most {most} bytes");
        return Err(failed(file, std::io::Error::other(problem)));
    }
    Ok(())
}

fn failed(file: &Path, cause: std::io::Error) -> ConsoleError {
    let doing = format!("read {}, which [tokens] names", file.display());
    ConsoleError::Io { doing, cause }
}

/// What the database says, under the names that consumers of such events know.
fn place(places: &maxminddb::Reader<Vec<u8>>, source: IpAddr) -> Option<Value> {
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
    fn database() -> Vec<u8> {
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
            geoip: file("a.mmdb", &database()),
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
        assert_eq!(Addresses::parse("10.0.0.1:80").unwrap_err(), "10.0.0.1:80");
    }
}
