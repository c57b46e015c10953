//! Sources whose port scans make no incidents: vulnerability scanners, monitors, domain
//! controllers. Whatever else they do still counts.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;

use coalmine_core::sighting::PORT_CONTACT;
use coalmine_core::{NodeId, Sighting, Subject};
use coalmine_store::settings::ConsoleSettings;
use coalmine_store::{Store, StoreError};
use serde_json::Value;

/// Ports in one rule.
const MAX_RULE_PORTS: usize = 64;
/// So many ports are a scan, unless a bird's settings say otherwise.
const USUAL_PORTS: usize = 5;
/// Prefix of the kinds that tell of a single packet of nmap's.
const PROBE: &str = "nmap";
const HOST_SCAN: &str = "hostportscan";

/// What is to be known of birds to ignore scans of them.
#[derive(Clone, Debug, Default)]
pub struct Birds(HashMap<NodeId, Bird>);

#[derive(Clone, Debug)]
struct Bird {
    flock: String,
    /// So many ports are a scan.
    ports: usize,
}

/// The birds that `settings` need to decide on `sightings`; none if they ignore no scan.
///
/// # Errors
/// The store's.
pub async fn birds(
    store: &Store,
    settings: &ConsoleSettings,
    sightings: &[Sighting],
) -> Result<Birds, StoreError> {
    let is_empty =
        settings.portscan_ignore.is_empty() && settings.portscan_ignore_flocks.is_empty();
    if is_empty || !sightings.iter().any(|sighting| is_scan(&sighting.kind)) {
        return Ok(Birds::default());
    }
    let devices = store.devices().all(None).await?;
    let birds = devices.into_iter().map(|device| {
        let ports = device
            .settings
            .get("portscan.ports")
            .and_then(Value::as_u64);
        let ports = ports.and_then(|ports| usize::try_from(ports).ok());
        let bird = Bird {
            flock: device.flock_id,
            ports: ports.unwrap_or(USUAL_PORTS),
        };
        (device.node_id, bird)
    });
    Ok(Birds(birds.collect()))
}

/// Whether sightings of this kind tell of a scan.
pub fn is_scan(kind: &str) -> bool {
    kind == PORT_CONTACT || kind == HOST_SCAN || kind.starts_with(PROBE)
}

/// The ports that a sighting lists; none if it lists none.
pub fn ports(sighting: &Sighting) -> Vec<u16> {
    #[derive(serde::Deserialize)]
    struct Ports {
        ports: String,
    }
    let fields: Option<Ports> = serde_json::from_str(sighting.fields.get()).ok();
    let ports = fields.map(|fields| fields.ports).unwrap_or_default();
    let ports = ports.split(',').filter_map(|port| port.trim().parse().ok());
    ports.collect()
}

/// All rules, of the Console and of the flocks.
#[derive(Debug)]
pub struct ScanIgnore {
    everywhere: Vec<ScanRule>,
    flocks: HashMap<String, Vec<ScanRule>>,
    birds: Birds,
}

impl ScanIgnore {
    /// From the settings' entries; what doesn't parse is left out, since it was checked when it
    /// was saved.
    pub fn new(settings: &ConsoleSettings, birds: Birds) -> Self {
        let rules = |entries: &Vec<String>| {
            let rules = entries.iter().filter_map(|entry| ScanRule::parse(entry));
            rules.collect()
        };
        Self {
            everywhere: rules(&settings.portscan_ignore),
            flocks: settings
                .portscan_ignore_flocks
                .iter()
                .map(|(flock, entries)| (flock.clone(), rules(entries)))
                .collect(),
            birds,
        }
    }

    /// Whether `source` may touch `port` of `bird`.
    pub fn matches(&self, bird: NodeId, source: IpAddr, port: u16) -> bool {
        self.rules(bird).any(|rule| rule.matches(source, port))
    }

    /// Whether nothing is left of a scan when what is ignored isn't counted.
    pub fn ignores(&self, sighting: &Sighting) -> bool {
        let Subject::Bird(bird) = sighting.subject else {
            return false;
        };
        if self.rules(bird).next().is_none() {
            return false;
        }
        let source = sighting.src.ip;
        if sighting.kind != HOST_SCAN {
            return self.matches(bird, source, sighting.dst.port);
        }
        let all = ports(sighting);
        let left = all
            .iter()
            .filter(|port| !self.matches(bird, source, **port))
            .count();
        let enough = self
            .birds
            .0
            .get(&bird)
            .map_or(USUAL_PORTS, |bird| bird.ports);
        left < all.len() && left < enough
    }

    fn rules(&self, bird: NodeId) -> impl Iterator<Item = &ScanRule> {
        let flock = self.birds.0.get(&bird).map(|bird| bird.flock.as_str());
        let of_flock = flock.and_then(|flock| self.flocks.get(flock));
        self.everywhere.iter().chain(of_flock.into_iter().flatten())
    }
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScanRule {
    from: IpAddr,
    to: IpAddr,
    /// Sorted; empty for all.
    ports: Vec<u16>,
}

impl ScanRule {
    /// `SOURCE` or `SOURCE:PORT,PORT`, where the source is `ADDRESS`, `NETWORK/BITS`, `FROM-TO` or
    /// `10.1.2.*`; IPv6 with ports in brackets (`[2001:db8::/64]:22`). `None` for anything else.
    pub fn parse(entry: &str) -> Option<Self> {
        let entry = entry.trim();
        let (source, ports) = if let Some(rest) = entry.strip_prefix('[') {
            let (inside, after) = rest.split_once(']')?;
            match after {
                "" => (inside, None),
                _ => (inside, Some(after.strip_prefix(':')?)),
            }
        } else if entry.matches(':').count() == 1 {
            let (source, ports) = entry.split_once(':')?;
            (source, Some(ports))
        } else {
            (entry, None)
        };
        let (from, to) = range(source.trim())?;
        let mut list = Vec::new();
        if let Some(ports) = ports {
            for port in ports.split(',') {
                list.push(port.trim().parse::<u16>().ok().filter(|port| *port > 0)?);
            }
            list.sort_unstable();
            list.dedup();
            if list.len() > MAX_RULE_PORTS {
                return None;
            }
        }
        Some(Self {
            from,
            to,
            ports: list,
        })
    }

    fn matches(&self, source: IpAddr, port: u16) -> bool {
        let source = source.to_canonical();
        source.is_ipv4() == self.from.is_ipv4()
            && (self.from..=self.to).contains(&source)
            && (self.ports.is_empty() || self.ports.binary_search(&port).is_ok())
    }
}

/// Always the same text for the same rule.
impl fmt::Display for ScanRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = source_text(self.from, self.to);
        let ports: Vec<_> = self.ports.iter().map(u16::to_string).collect();
        match (ports.is_empty(), self.from.is_ipv4()) {
            (true, _) => f.write_str(&source),
            (false, true) => write!(f, "{source}:{}", ports.join(",")),
            (false, false) => write!(f, "[{source}]:{}", ports.join(",")),
        }
    }
}

fn source_text(from: IpAddr, to: IpAddr) -> String {
    if from == to {
        return from.to_string();
    }
    let network = match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            prefix(from.to_bits().into(), to.to_bits().into(), 32)
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => prefix(from.to_bits(), to.to_bits(), 128),
        _ => None,
    };
    match network {
        Some(bits) => format!("{from}/{bits}"),
        None => format!("{from}-{to}"),
    }
}

/// The length of the prefix that is exactly this range, if there's one.
fn prefix(from: u128, to: u128, width: u32) -> Option<u32> {
    let differing = from ^ to;
    let host = 128_u32.saturating_sub(differing.leading_zeros());
    let full = differing.checked_add(1).is_none_or(u128::is_power_of_two);
    (full && from & differing == 0).then(|| width.saturating_sub(host))
}

fn range(source: &str) -> Option<(IpAddr, IpAddr)> {
    if let Some(front) = source.strip_suffix(".*") {
        let first: IpAddr = format!("{front}.0").parse().ok()?;
        let last: IpAddr = format!("{front}.255").parse().ok()?;
        return Some((first, last));
    }
    if let Some((from, to)) = source.split_once('-') {
        let from: IpAddr = from.trim().parse().ok()?;
        let to: IpAddr = to.trim().parse().ok()?;
        let (from, to) = (from.to_canonical(), to.to_canonical());
        return (from.is_ipv4() == to.is_ipv4() && from <= to).then_some((from, to));
    }
    if let Some((address, bits)) = source.split_once('/') {
        let bits: u32 = bits.parse().ok()?;
        return match address.parse().ok()? {
            IpAddr::V4(address) if bits <= 32 => {
                let mask = u32::MAX.checked_shr(bits).unwrap_or(0);
                let from = address.to_bits() & !mask;
                Some((
                    std::net::Ipv4Addr::from_bits(from).into(),
                    std::net::Ipv4Addr::from_bits(from | mask).into(),
                ))
            }
            IpAddr::V6(address) if bits <= 128 => {
                let mask = u128::MAX.checked_shr(bits).unwrap_or(0);
                let from = address.to_bits() & !mask;
                Some((
                    std::net::Ipv6Addr::from_bits(from).into(),
                    std::net::Ipv6Addr::from_bits(from | mask).into(),
                ))
            }
            _ => None,
        };
    }
    let address: IpAddr = source.parse().ok()?;
    let address = address.to_canonical();
    Some((address, address))
}

#[cfg(test)]
mod tests;
