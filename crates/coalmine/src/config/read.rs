//! From TOML to [`Config`], noting faults as it goes.

pub(super) mod https;
mod imap;

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use coalmine_console::channels::SourceFiles;
use coalmine_core::machine::{Domain, Machine, System};
use coalmine_core::settings::{Fault, FilePath, Setting};
use coalmine_core::{Bird, DecoyKind};
use coalmine_sensor::PortscanSettings;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use serde_json::{Map, Value as Json};
use toml::{Table, Value};

use super::{
    BirdPart, CONSOLE, Certificate, Config, ConsolePart, Ground, MAX_BIRDS, NUMBER, PortscanPart,
    ServicePart, TOKEN_DNS_PORT, TOKEN_HTTP_PORT, TokensPart, most_instances, standard_port,
};
use crate::personality::{self, PERSONALITIES, Personality};

/// Longest name of a bird: one DNS label (RFC 1035 section 2.3.4).
const MAX_NAME: usize = 63;

/// The whole file; `None` when it isn't TOML at all.
pub fn config(text: &str, ground: &Ground, faults: &mut Vec<Fault>) -> Option<Config> {
    let file: Table = match text.parse() {
        Ok(table) => table,
        Err(cause) => {
            faults.push(syntax(text, &cause));
            return None;
        }
    };
    let mut root = Section::new("", &file, faults);
    root.known(&["console", "tokens", "cloud", "bird"]);
    let console = root.table("console", &["listen", "names", "reverse_lookups"], |s| {
        ConsolePart {
            listen: s
                .parse("listen", "an address with a port, e.g. 127.0.0.1:8443")
                .unwrap_or_else(console_address),
            names: s.texts("names").unwrap_or_default(),
            reverse_lookups: s.flag("reverse_lookups").unwrap_or(true),
        }
    });
    let known = [
        "address",
        "zone",
        "nx_zone",
        "public_address",
        "http_port",
        "https_port",
        "dns_port",
        "wireguard_port",
        "mysql_port",
        "smtp_port",
        "kubernetes_port",
        "geoip_database",
        "tor_list",
        "vpn_list",
        "proxy_list",
        "imap",
        "certificates",
        "acme",
        "trusted_proxies",
    ];
    let tokens = root.table("tokens", &known, |s| TokensPart {
        address: s
            .parse("address", "an IP address, e.g. 192.0.2.1")
            .unwrap_or(ground.listen),
        zone: s.zone("zone").unwrap_or_else(|| ground.zone.clone()),
        nx_zone: s.zone("nx_zone"),
        public_address: s
            .parse("public_address", "an IP address, e.g. 192.0.2.1")
            .unwrap_or(ground.public_address),
        http_port: off_at_zero(s.port("http_port").unwrap_or(TOKEN_HTTP_PORT)),
        https_port: s.port("https_port").and_then(off_at_zero),
        dns_port: off_at_zero(s.port("dns_port").unwrap_or(TOKEN_DNS_PORT)),
        wireguard_port: s.port("wireguard_port").and_then(off_at_zero),
        mysql_port: s.port("mysql_port").and_then(off_at_zero),
        smtp_port: s.port("smtp_port").and_then(off_at_zero),
        kubernetes_port: s.port("kubernetes_port").and_then(off_at_zero),
        sources: SourceFiles {
            geoip: s.file("geoip_database", &ground.folder),
            tor: s.file("tor_list", &ground.folder),
            vpn: s.file("vpn_list", &ground.folder),
            proxy: s.file("proxy_list", &ground.folder),
        },
        imap: s.imap_servers(&ground.folder),
        certificates: https::certificates(s, &ground.folder),
        acme: https::acme(s, &ground.folder),
        trusted_proxies: https::proxies(s),
    });
    https::check(&tokens, faults);
    let cloud = super::cloud::read(&file, &ground.folder, faults);
    let birds = birds(&file, ground, faults);
    Some(Config {
        console,
        tokens,
        cloud,
        birds,
    })
}

fn console_address() -> SocketAddr {
    CONSOLE
        .parse()
        .unwrap_or_else(|_| SocketAddr::from(([127, 0, 0, 1], 8443)))
}

fn off_at_zero(port: u16) -> Option<u16> {
    (port != 0).then_some(port)
}

fn syntax(text: &str, cause: &toml::de::Error) -> Fault {
    let line = cause.span().map_or(1, |span| {
        text.bytes()
            .take(span.start)
            .filter(|b| *b == b'\n')
            .count()
            + 1
    });
    Fault::new(format!("line {line}"), cause.message().to_owned())
}

fn birds(file: &Table, ground: &Ground, faults: &mut Vec<Fault>) -> Vec<BirdPart> {
    let empty = Table::new();
    let given: Vec<&Table> = match file.get("bird") {
        None => vec![&empty],
        Some(Value::Array(list)) if list.iter().all(Value::is_table) => {
            list.iter().filter_map(Value::as_table).collect()
        }
        Some(_) => {
            faults.push(Fault::new(
                "bird",
                "must be written as [[bird]], one for each",
            ));
            return Vec::new();
        }
    };
    if given.is_empty() || given.len() > MAX_BIRDS {
        faults.push(Fault::new(
            "bird",
            format!("there must be 1 to {MAX_BIRDS} birds, not {}", given.len()),
        ));
    }
    let mut birds = Vec::new();
    for (n, table) in given.into_iter().take(MAX_BIRDS).enumerate() {
        birds.push(bird(n, table, ground, faults));
    }
    let mut names = BTreeSet::new();
    for (n, bird) in birds.iter().enumerate() {
        if !names.insert(bird.name.to_lowercase()) {
            faults.push(Fault::new(
                format!("bird[{n}].name"),
                format!("{:?} is another bird's name; each needs its own", bird.name),
            ));
        }
    }
    birds
}

fn bird(n: usize, table: &Table, ground: &Ground, faults: &mut Vec<Fault>) -> BirdPart {
    let path = format!("bird[{n}]");
    let mut section = Section::new(&path, table, faults);
    let mut known = vec![
        "name",
        "description",
        "address",
        "personality",
        "system",
        "domain",
        "portscan",
    ];
    known.extend(ground.kinds.iter().map(|kind| kind.id));
    section.known(&known);
    let personality = section.personality();
    let name = section.name("name", MAX_NAME).unwrap_or_else(|| {
        // The first bird keeps the short name when others join it.
        let number = if n == 0 {
            String::new()
        } else {
            format!("-{}", n + 1)
        };
        format!("{}-{}{number}", personality.prefix, ground.tag)
    });
    let description = section.text("description").unwrap_or_default();
    let address = section
        .parse("address", "an IP address, e.g. 192.0.2.1")
        .unwrap_or(ground.listen);
    let table = &over(personality.table(), table);
    let machine = Section::new(&path, table, faults).machine();
    let mut services = Vec::new();
    for kind in &ground.kinds {
        services.extend(services_of(
            kind,
            personality.everything,
            &path,
            table,
            &ground.folder,
            faults,
        ));
    }
    BirdPart {
        name,
        description,
        address,
        personality,
        machine,
        services,
        portscan: portscan(&path, table, faults),
    }
}

/// `given` over `base`: tables are joined, everything else is replaced.
fn over(mut base: Table, given: &Table) -> Table {
    for (key, value) in given {
        let joined = match (base.remove(key), value) {
            (Some(Value::Table(below)), Value::Table(above)) => Value::Table(over(below, above)),
            (_, value) => value.clone(),
        };
        base.insert(key.clone(), joined);
    }
    base
}

/// `[bird.portscan]`.
fn portscan(path: &str, bird: &Table, faults: &mut Vec<Fault>) -> PortscanPart {
    let key = format!("{path}.portscan");
    let empty = Table::new();
    let (table, named) = match bird.get("portscan") {
        None => (&empty, false),
        Some(Value::Table(table)) => (table, true),
        Some(_) => {
            faults.push(Fault::new(&key, "must be written as [bird.portscan]"));
            (&empty, false)
        }
    };
    let mut section = Section::new(&key, table, faults);
    let enabled = section.flag("enabled").unwrap_or(named);
    let declared = PortscanSettings::declared();
    let names: Vec<&str> = declared.iter().map(|setting| setting.name).collect();
    section.known(&[&["enabled"], &names[..]].concat());
    let mut given = Map::new();
    flatten(table, "", &names, &["enabled"], &mut given);
    given.retain(|key, _| names.contains(&key.as_str()));
    let settings = PortscanSettings::parse(&given).unwrap_or_else(|found| {
        faults.extend(found.into_iter().map(|fault| fault.under(&key)));
        PortscanSettings::default()
    });
    PortscanPart { enabled, settings }
}

/// The services of one kind: `[bird.ID]`, or `[[bird.ID]]` where a bird may have several.
fn services_of(
    kind: &'static DecoyKind,
    wanted: bool,
    path: &str,
    bird: &Table,
    folder: &Path,
    faults: &mut Vec<Fault>,
) -> Vec<ServicePart> {
    let key = format!("{path}.{}", kind.id);
    let empty = Table::new();
    match bird.get(kind.id) {
        None => vec![service(kind, wanted, &key, 0, &empty, folder, faults)],
        Some(Value::Table(table)) => vec![service(kind, true, &key, 0, table, folder, faults)],
        Some(Value::Array(list)) if kind.instances && list.iter().all(Value::is_table) => {
            let most = most_instances(kind);
            if list.is_empty() || list.len() > most {
                faults.push(Fault::new(
                    &key,
                    format!("there must be 1 to {most} of them, not {}", list.len()),
                ));
            }
            let tables = list.iter().filter_map(Value::as_table).take(most);
            let services: Vec<_> = tables
                .enumerate()
                .map(|(n, table)| {
                    service(kind, true, &format!("{key}[{n}]"), n, table, folder, faults)
                })
                .collect();
            let mut numbers = BTreeSet::new();
            for service in &services {
                if service.number().is_some_and(|n| !numbers.insert(n)) {
                    let problem = "is another one's number; each needs its own";
                    faults.push(Fault::new(format!("{}.{NUMBER}", service.key), problem));
                }
            }
            services
        }
        Some(_) => {
            let form = if kind.instances {
                format!("[bird.{0}] or, for several, [[bird.{0}]]", kind.id)
            } else {
                format!("[bird.{}]; there is one in a bird", kind.id)
            };
            faults.push(Fault::new(&key, format!("must be written as {form}")));
            Vec::new()
        }
    }
}

fn service(
    kind: &'static DecoyKind,
    wanted: bool,
    key: &str,
    n: usize,
    table: &Table,
    folder: &Path,
    faults: &mut Vec<Fault>,
) -> ServicePart {
    let mut section = Section::new(key, table, faults);
    let enabled = section.flag("enabled").unwrap_or(wanted);
    let place = u16::try_from(n.saturating_add(1)).unwrap_or(u16::MAX);
    let number = table.get(NUMBER).and_then(Value::as_integer);
    let number = number.and_then(|n| u16::try_from(n).ok()).unwrap_or(place);
    let port = section
        .port("port")
        .unwrap_or_else(|| standard_port(kind, number));
    if port == 0 {
        section.fault("port", "must be a number from 1 to 65535");
    }
    let mut common = vec!["enabled", "port"];
    let mut name = String::new();
    if kind.instances {
        common.push("name");
        name = section.name("name", MAX_NAME).unwrap_or_else(|| {
            if n == 0 {
                kind.id.to_owned()
            } else {
                format!("{}-{}", kind.id, n + 1)
            }
        });
    }
    let mut certificate = None;
    if kind.tls.is_some() {
        common.extend(["certificate", "key"]);
        certificate = section.certificate(folder);
    }

    let declared = (kind.settings)();
    let names: Vec<&str> = declared.iter().map(|setting| setting.name).collect();
    let mut given = Map::new();
    flatten(table, "", &names, &common, &mut given);
    for unknown in given.keys().filter(|key| !names.contains(&key.as_str())) {
        let all: Vec<&str> = common.iter().chain(&names).copied().collect();
        faults.push(unknown_key(key, unknown, &all));
    }
    given.retain(|key, _| names.contains(&key.as_str()));
    resolve_paths(&declared, folder, &mut given);
    // Defaults are right by the decoy's own tests; building costs keys and time.
    if !given.is_empty()
        && let Err(found) = (kind.build)(&given, &Bird::sample())
    {
        faults.extend(found.into_iter().map(|fault| fault.under(key)));
    }
    let settings = declared
        .iter()
        .map(|setting| {
            let value = given
                .remove(setting.name)
                .unwrap_or_else(|| match setting.name {
                    NUMBER => number.into(),
                    _ => setting.default.clone(),
                });
            (setting.name.to_owned(), value)
        })
        .collect();
    ServicePart {
        kind,
        enabled,
        name,
        port,
        settings,
        certificate,
        key: key.to_owned(),
    }
}

/// Paths that decoys are given begin at the configuration file's folder.
fn resolve_paths(declared: &[Setting], folder: &Path, given: &mut Map<String, Json>) {
    let paths = declared
        .iter()
        .filter(|setting| setting.schema.get("format") == Some(&Json::from(FilePath::FORMAT)));
    for setting in paths {
        if let Some(Json::String(path)) = given.get_mut(setting.name)
            && !path.is_empty()
        {
            *path = folder.join(&*path).to_string_lossy().into_owned();
        }
    }
}

/// `headers.enabled` may be written as a key of its own or as a table in a table.
fn flatten(
    table: &Table,
    prefix: &str,
    names: &[&str],
    skip: &[&str],
    into: &mut Map<String, Json>,
) {
    for (key, value) in table {
        let path = if prefix.is_empty() {
            key.clone()
        } else {
            format!("{prefix}.{key}")
        };
        if skip.contains(&path.as_str()) {
            continue;
        }
        let below = format!("{path}.");
        match value {
            Value::Table(inner)
                if !names.contains(&path.as_str())
                    && names.iter().any(|n| n.starts_with(&below)) =>
            {
                flatten(inner, &path, names, &[], into);
            }
            other => {
                // TOML's dates have no JSON form; as text every parser refuses them with words.
                let json =
                    serde_json::to_value(other).unwrap_or_else(|_| Json::String(other.to_string()));
                into.insert(path, json);
            }
        }
    }
}

fn unknown_key(path: &str, key: &str, known: &[&str]) -> Fault {
    let full = if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    };
    let likely = known.iter().copied().min_by_key(|name| distance(name, key));
    let hint = match likely {
        Some(name) if distance(name, key) <= 2 => format!("did you mean {name}?"),
        _ => format!("known here: {}", known.join(", ")),
    };
    Fault::new(full, format!("unknown key; {hint}"))
}

/// Levenshtein's edit distance, in bytes.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut corner = i;
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
        for (j, y) in b.bytes().enumerate() {
            let (Some(&left), Some(&above)) = (row.get(j), row.get(j + 1)) else {
                continue;
            };
            let best = (corner + usize::from(x != y)).min(left + 1).min(above + 1);
            corner = above;
            if let Some(cell) = row.get_mut(j + 1) {
                *cell = best;
            }
        }
    }
    row.last().copied().unwrap_or(0)
}

/// A table of the file with the path to it.
struct Section<'a> {
    path: String,
    table: &'a Table,
    faults: &'a mut Vec<Fault>,
}

impl<'a> Section<'a> {
    fn new(path: &str, table: &'a Table, faults: &'a mut Vec<Fault>) -> Self {
        Self {
            path: path.to_owned(),
            table,
            faults,
        }
    }

    fn fault(&mut self, key: &str, problem: impl Into<String>) {
        let full = if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        };
        self.faults.push(Fault::new(full, problem));
    }

    fn known(&mut self, known: &[&str]) {
        for key in self
            .table
            .keys()
            .filter(|key| !known.contains(&key.as_str()))
        {
            self.faults.push(unknown_key(&self.path, key, known));
        }
    }

    fn table<T>(
        &mut self,
        key: &str,
        known: &[&str],
        read: impl FnOnce(&mut Section<'_>) -> T,
    ) -> T {
        let empty = Table::new();
        let table = match self.table.get(key) {
            Some(Value::Table(table)) => table,
            Some(_) => {
                self.fault(key, format!("must be written as [{key}]"));
                &empty
            }
            None => &empty,
        };
        let mut section = Section::new(key, table, self.faults);
        section.known(known);
        read(&mut section)
    }

    fn text(&mut self, key: &str) -> Option<String> {
        match self.table.get(key)? {
            Value::String(text) => Some(text.clone()),
            other => {
                let problem = format!("must be a text in quotes, not {other}");
                self.fault(key, problem);
                None
            }
        }
    }

    /// A text that no fault shows; empty where it's wrong.
    fn secret(&mut self, key: &str) -> Option<String> {
        let problem = match self.table.get(key)? {
            Value::String(text) if !text.is_empty() => return Some(text.clone()),
            Value::String(_) => super::show::still_hidden(key),
            _ => "must be a text in quotes".to_owned(),
        };
        self.fault(key, problem);
        Some(String::new())
    }

    fn flag(&mut self, key: &str) -> Option<bool> {
        match self.table.get(key)? {
            Value::Boolean(flag) => Some(*flag),
            other => {
                let problem = format!("must be true or false, not {other}");
                self.fault(key, problem);
                None
            }
        }
    }

    fn port(&mut self, key: &str) -> Option<u16> {
        let value = self.table.get(key)?;
        let port = value
            .as_integer()
            .and_then(|number| u16::try_from(number).ok());
        if port.is_none() {
            let problem = format!("must be a number from 1 to 65535, not {value}");
            self.fault(key, problem);
        }
        port
    }

    fn texts(&mut self, key: &str) -> Option<Vec<String>> {
        let value = self.table.get(key)?;
        let texts = value
            .as_array()
            .and_then(|list| list.iter().map(|v| v.as_str().map(str::to_owned)).collect());
        if texts.is_none() {
            let problem = format!("must be a list of texts, not {value}");
            self.fault(key, problem);
        }
        texts
    }

    fn parse<T: FromStr>(&mut self, key: &str, takes: &str) -> Option<T> {
        let text = self.text(key)?;
        let parsed = text.parse().ok();
        if parsed.is_none() {
            self.fault(key, format!("must be {takes}, not {text:?}"));
        }
        parsed
    }

    /// A name that can stand in a greeting and a file name.
    fn name(&mut self, key: &str, longest: usize) -> Option<String> {
        let name = self.text(key)?;
        let fits = (1..=longest).contains(&name.len())
            && name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
            && name
                .bytes()
                .next()
                .is_some_and(|b| b.is_ascii_alphanumeric());
        if !fits {
            self.fault(key, format!("must be 1 to {longest} letters, digits, `-`, `_` or `.`, beginning with a letter or digit, not {name:?}"));
            return None;
        }
        Some(name)
    }

    fn zone(&mut self, key: &str) -> Option<String> {
        let zone = self.text(key)?;
        let zone = zone.trim_end_matches('.').to_lowercase();
        let label = |label: &str| {
            (1..=MAX_NAME).contains(&label.len())
                && label
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        };
        // A token's name puts 25 characters and up to 190 of data before the zone.
        if zone.len() > 100 || !zone.split('.').all(label) || zone.parse::<IpAddr>().is_ok() {
            self.fault(key, format!("must be a domain of at most 100 characters, e.g. tokens.example.com, not {zone:?}"));
            return None;
        }
        Some(zone)
    }

    fn personality(&mut self) -> &'static Personality {
        let Some(id) = self.text("personality") else {
            return personality::default();
        };
        personality::find(&id).unwrap_or_else(|| {
            let all: Vec<&str> = PERSONALITIES.iter().map(|p| p.id).collect();
            self.fault(
                "personality",
                format!("must be one of: {}; not {id:?}", all.join(", ")),
            );
            personality::default()
        })
    }

    fn machine(&mut self) -> Machine {
        let system = self.text("system").and_then(|id| {
            let system = System::find(&id);
            if system.is_none() {
                let all: Vec<&str> = System::ALL.iter().map(|(word, _)| *word).collect();
                let all = all.join(", ");
                self.fault("system", format!("must be one of: {all}; not {id:?}"));
            }
            system
        });
        let domain = self.text("domain").filter(|name| !name.is_empty());
        let domain = domain.and_then(|name| match Domain::new(&name) {
            Ok(domain) => Some(domain),
            Err(problem) => {
                self.fault("domain", problem);
                None
            }
        });
        Machine {
            system: system.unwrap_or_default(),
            domain,
        }
    }

    /// A file that must be there; its path begins at `folder`.
    fn file(&mut self, key: &str, folder: &Path) -> Option<PathBuf> {
        let path = folder.join(self.text(key).filter(|path| !path.is_empty())?);
        if !path.is_file() {
            self.fault(key, format!("there is no file {}", path.display()));
        }
        Some(path)
    }

    fn certificate(&mut self, folder: &Path) -> Option<Certificate> {
        let files = match (self.text("certificate"), self.text("key")) {
            (None, None) => return None,
            (Some(chain), Some(key)) => (folder.join(chain), folder.join(key)),
            (Some(_), None) => {
                self.fault(
                    "key",
                    "is missing; name the file with the certificate's private key",
                );
                return None;
            }
            (None, Some(_)) => {
                self.fault(
                    "certificate",
                    "is missing; name the file with the key's certificate chain",
                );
                return None;
            }
        };
        let mut read = |key: &str, file: &Path, holds: &str| match std::fs::read_to_string(file) {
            Ok(pem) if pem.contains("-----BEGIN ") => Some(pem),
            Ok(_) => {
                self.fault(
                    key,
                    format!("{} isn't PEM; it must hold {holds}", file.display()),
                );
                None
            }
            Err(cause) => {
                self.fault(key, format!("{} can't be read: {cause}", file.display()));
                None
            }
        };
        let chain = read("certificate", &files.0, "a certificate chain");
        let key = read("key", &files.1, "a private key");
        let pem = (chain?, key?);
        if let Err((name, problem)) = pair(&pem.0, &pem.1) {
            let file = if name == "key" { &files.1 } else { &files.0 };
            self.fault(name, format!("{} {problem}", file.display()));
        }
        Some(Certificate { files, pem })
    }
}

/// Whether a certificate chain and a key, in PEM, belong together; else the key at fault and why.
fn pair(chain: &str, key: &str) -> Result<(), (&'static str, String)> {
    let chain = CertificateDer::pem_slice_iter(chain.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|cause| ("certificate", format!("can't be read as PEM: {cause}")))?;
    if chain.is_empty() {
        let problem = "holds no PEM block CERTIFICATE".to_owned();
        return Err(("certificate", problem));
    }
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|cause| {
        let problem = format!(
            "holds no private key that can be read ({cause}); it must be PEM without a password"
        );
        ("key", problem)
    })?;
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let certified = CertifiedKey::from_der(chain, key, &provider);
    match certified {
        Ok(_) => Ok(()),
        Err(rustls::Error::InconsistentKeys(_)) => Err((
            "key",
            "doesn't belong to the certificate; name the key that the certificate was made for"
                .to_owned(),
        )),
        Err(cause) => Err(("certificate", format!("can't be used: {cause}"))),
    }
}
