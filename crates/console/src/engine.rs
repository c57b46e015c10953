//! The incident engine: what one sighting means.
//!
//! *Invariant:* pure. The same settings and the same incident give the same decision.

use std::net::IpAddr;
use std::time::Duration;

use coalmine_core::{Sighting, Subject, Timestamp};
use coalmine_store::incidents::{
    BundleKey, Decide, Decision, Horizon, NewIncident, OpenIncident, Swept, Touch,
};
use coalmine_store::settings::ConsoleSettings;

use crate::Catalogue;
use crate::scan_ignore::{Birds, ScanIgnore, is_scan, ports};
use crate::sweep::{self, Contact};

/// Ports named by one sighting that are looked at.
const MAX_PORTS: usize = 1_024;
/// Longest window of sweeps.
const MAX_WINDOW: Duration = Duration::from_hours(24);

/// Decides by the Console's settings and the catalogue's titles.
#[derive(Debug)]
pub struct Engine {
    settings: std::sync::Arc<ConsoleSettings>,
    titles: std::collections::HashMap<&'static str, &'static str>,
    ignored: IgnoreList,
    scans: ScanIgnore,
    tokens: IgnoreList,
    now: Timestamp,
}

impl Engine {
    /// An engine for these settings and what comes at `now`. `birds` are those whose scans are
    /// decided on; they may be left out while no scan is ignored.
    pub fn new(
        settings: std::sync::Arc<ConsoleSettings>,
        catalogue: &Catalogue,
        birds: Birds,
        now: Timestamp,
    ) -> Self {
        let titles = catalogue
            .events
            .iter()
            .map(|kind| (kind.key, kind.title))
            .collect();
        let ignored = if settings.whitelist_enabled {
            IgnoreList::new(&settings.whitelist)
        } else {
            IgnoreList::default()
        };
        let scans = ScanIgnore::new(&settings, birds);
        let tokens = IgnoreList::new(&settings.token_ignore);
        Self {
            settings,
            titles,
            ignored,
            scans,
            tokens,
            now,
        }
    }

    /// Whether this touch of a token is known to be harmless.
    fn ignores_touch(&self, sighting: &Sighting) -> bool {
        if !matches!(sighting.subject, Subject::Token(_)) {
            return false;
        }
        let agents = &self.settings.token_ignore_agents;
        self.tokens.matches(sighting.src.ip, sighting.dst.port)
            || (!agents.is_empty() && by_one_of(agents, sighting))
    }

    /// How long after its newest event an incident of `kind` takes another. At least a second, so
    /// that keys, which count seconds, stay few.
    fn window(&self, kind: &str) -> Duration {
        let seconds = self.settings.bundle_windows.get(kind).copied();
        Duration::from_secs(seconds.unwrap_or(self.settings.bundle_window).max(1))
    }

    /// Within which time a source must touch a second bird.
    fn sweep_window(&self) -> Duration {
        let windows = &self.settings.bundle_windows;
        windows
            .get(sweep::SWEEP.key)
            .map_or(sweep::WINDOW, |seconds| Duration::from_secs(*seconds))
            .clamp(Duration::from_secs(1), MAX_WINDOW)
    }

    /// The contacts that a sighting of touched ports tells of, as far as they count.
    fn contacts(&self, sighting: &Sighting) -> Vec<Contact> {
        let Subject::Bird(bird) = sighting.subject else {
            return Vec::new();
        };
        if self.now.since(sighting.at) > sweep::LATENESS {
            return Vec::new();
        }
        let at = if sighting.at.since(self.now) > sweep::AHEAD {
            self.now
        } else {
            sighting.at
        };
        let source = sighting.src.ip;
        ports(sighting)
            .into_iter()
            .take(MAX_PORTS)
            .filter(|port| !self.ignored.matches(source, *port))
            .filter(|port| !self.scans.matches(bird, source, *port))
            .map(|port| Contact {
                port,
                bird,
                address: sighting.dst.ip,
                at,
            })
            .collect()
    }
}

impl Decide for Engine {
    fn decide(
        &self,
        open: Option<&OpenIncident>,
        key: &BundleKey,
        sighting: &Sighting,
    ) -> Decision {
        let is_ignored = self.ignored.matches(sighting.src.ip, sighting.dst.port)
            || (is_scan(&sighting.kind) && self.scans.ignores(sighting))
            || self.ignores_touch(sighting);
        if is_ignored {
            return Decision::Ignore;
        }
        let window = self.window(&key.kind);
        // Not later than the window after its newest event; not earlier than that before its first.
        let joins = open.is_some_and(|open| {
            !open.acknowledged
                && sighting.at.since(open.last) <= window
                && open.first.since(sighting.at) <= window
        });
        if joins {
            return Decision::Join;
        }
        let title = self.titles.get(key.kind.as_str()).copied();
        Decision::Open(NewIncident {
            title: title.unwrap_or(&key.kind).to_owned(),
        })
    }

    fn horizon(&self) -> Option<Horizon> {
        let kept = self.sweep_window().saturating_add(sweep::LATENESS);
        let kept = i64::try_from(kept.as_micros()).unwrap_or(i64::MAX);
        Some(Horizon {
            kind: &sweep::SWEEP,
            now: self.now,
            forget_before: Timestamp::from_micros(self.now.micros().saturating_sub(kept)),
        })
    }

    fn sweeps(&self, known: Vec<Touch>, contacts: &[&Sighting]) -> Swept {
        let contacts = contacts.iter().flat_map(|sighting| self.contacts(sighting));
        sweep::consolidate(known, contacts, self.sweep_window())
    }
}

/// Whether a touch's `User-Agent` holds one of these, in any case.
fn by_one_of(agents: &[String], sighting: &Sighting) -> bool {
    #[derive(serde::Deserialize)]
    struct Request {
        #[serde(default)]
        headers: std::collections::HashMap<String, String>,
    }
    let Ok(request) = serde_json::from_str::<Request>(sighting.fields.get()) else {
        return false;
    };
    let mut headers = request.headers.iter();
    let agent = headers.find(|(name, _)| name.eq_ignore_ascii_case("user-agent"));
    let Some(agent) = agent.map(|(_, value)| value.to_lowercase()) else {
        return false;
    };
    agents
        .iter()
        .any(|known| agent.contains(&known.to_lowercase()))
}

/// Sources that make no incidents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IgnoreList(Vec<IgnoreRule>);

/// One entry of an ignore list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IgnoreRule {
    network: IpAddr,
    /// Length of the network's prefix in bits.
    bits: u8,
    /// Destination port; `None` for all.
    port: Option<u16>,
}

impl IgnoreList {
    /// From the settings' entries; what doesn't parse is left out, since it was checked when it
    /// was saved.
    pub fn new(entries: &[String]) -> Self {
        Self(
            entries
                .iter()
                .filter_map(|entry| IgnoreRule::parse(entry))
                .collect(),
        )
    }

    /// Whether `source` touching `port` is ignored.
    pub fn matches(&self, source: IpAddr, port: u16) -> bool {
        self.0.iter().any(|rule| rule.matches(source, port))
    }
}

impl From<Vec<IgnoreRule>> for IgnoreList {
    fn from(rules: Vec<IgnoreRule>) -> Self {
        Self(rules)
    }
}

impl IgnoreRule {
    /// `ADDRESS`, `ADDRESS:PORT`, `NETWORK/BITS`, `NETWORK/BITS:PORT`, IPv6 with a port in brackets
    /// (`[2001:db8::1]:22`, `[2001:db8::/32]:22`). `None` for anything else, also for comments.
    pub fn parse(entry: &str) -> Option<Self> {
        let entry = entry.split('#').next().unwrap_or_default().trim();
        let (network, port) = if let Some(rest) = entry.strip_prefix('[') {
            let (inside, after) = rest.split_once(']')?;
            let port = match after {
                "" => None,
                _ => Some(after.strip_prefix(':')?),
            };
            (inside, port)
        } else if entry.matches(':').count() == 1 {
            let (network, port) = entry.split_once(':')?;
            (network, Some(port))
        } else {
            (entry, None)
        };
        let (address, bits) = match network.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (network, None),
        };
        let given: IpAddr = address.parse().ok()?;
        let most = width(given);
        let bits = match bits {
            Some(bits) => bits.parse().ok().filter(|bits| *bits <= most)?,
            None => most,
        };
        // An IPv4 address written as IPv6 means the IPv4 address, as in sightings.
        let network = given.to_canonical();
        let bits = bits.checked_sub(most.saturating_sub(width(network)))?;
        Some(Self {
            network,
            bits,
            port: port.map(str::parse).transpose().ok()?,
        })
    }

    /// Whether it names no port.
    pub fn is_for_all_ports(&self) -> bool {
        self.port.is_none()
    }

    fn matches(&self, source: IpAddr, port: u16) -> bool {
        self.port.is_none_or(|wanted| wanted == port)
            && match (self.network, source.to_canonical()) {
                (IpAddr::V4(network), IpAddr::V4(source)) => {
                    let differing = network.to_bits() ^ source.to_bits();
                    differing.leading_zeros() >= u32::from(self.bits)
                }
                (IpAddr::V6(network), IpAddr::V6(source)) => {
                    let differing = network.to_bits() ^ source.to_bits();
                    differing.leading_zeros() >= u32::from(self.bits)
                }
                _ => false,
            }
    }
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

#[cfg(test)]
mod tests;
