//! From what was heard and what arrived to what is wrong and how to put it right. Pure.

use std::net::{IpAddr, SocketAddr};

use coalmine_client::{DnsArrival, DnsPlan};
use hickory_proto::op::ResponseCode;
use serde::Serialize;

use super::ask::{Heard, Silence};
use super::parent::Delegation;
use super::records::{self, Role, Zone};

/// How one test ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Well.
    Good,
    /// It works, with something to know.
    Note,
    /// It doesn't work.
    Bad,
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which test: `setup`, `channel`, `address`, `delegation`, `resolver`.
    pub check: &'static str,
    /// Of which zone; empty for all.
    pub zone: String,
    /// How it ended.
    pub result: Outcome,
    /// What was found.
    pub what: String,
    /// What to do about it; empty where there's nothing to do.
    pub fix: String,
}

/// A question for a fresh name and what came of it.
#[derive(Clone, Debug)]
pub struct Trial {
    /// The whole name asked for.
    pub name: String,
    /// What was answered.
    pub heard: Result<Heard, Silence>,
    /// The same without validation, asked where the answer was SERVFAIL.
    pub unchecked: Option<Heard>,
    /// What arrived at the channel.
    pub arrivals: Vec<DnsArrival>,
}

impl Trial {
    fn arrived(&self) -> bool {
        !self.arrivals.is_empty()
    }
}

fn finding(
    check: &'static str,
    zone: &str,
    result: Outcome,
    what: impl Into<String>,
    fix: impl Into<String>,
) -> Finding {
    Finding {
        check,
        zone: zone.to_owned(),
        result,
        what: what.into(),
        fix: fix.into(),
    }
}

/// What is wrong before anybody is asked.
pub fn setup(plan: &DnsPlan, internal: bool) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut bad = |what: String, fix: String| {
        found.push(finding("setup", "", Outcome::Bad, what, fix));
    };
    let zone = &plan.zone;
    if zone.ends_with(".localhost") || zone == "localhost" {
        bad(
            format!("{zone} leads every machine to itself: tokens work on this machine alone"),
            "name a zone of your own: [tokens] zone = \"tokens.example.com\"".to_owned(),
        );
    }
    if plan.listens.is_none() {
        bad(
            "the DNS channel is off".to_owned(),
            "set [tokens] dns_port = 53 and start again".to_owned(),
        );
    }
    let address = plan.public_address;
    if address.is_unspecified() {
        bad(
            format!("names resolve to {address}, which is no address"),
            "set [tokens] public_address to this machine's address".to_owned(),
        );
    } else if !internal && !records::is_public(address) {
        let kind = if address.to_canonical().is_loopback() {
            "a loopback"
        } else {
            "a private"
        };
        bad(
            format!("names in {zone} resolve to {address}, {kind} address that others can't reach"),
            "set [tokens] public_address to the address others reach this machine at, or say --internal if your own resolvers alone shall know the zone".to_owned(),
        );
    }
    if plan.nx_zone.is_none() {
        found.push(finding(
            "setup",
            "",
            Outcome::Note,
            "there is no zone of names that don't exist, which keeps PDFs and programs quieter",
            format!("name one, which may lie inside the other: [tokens] nx_zone = \"nx.{zone}\""),
        ));
    }
    found
}

/// The channel asked directly, at where it listens.
pub fn channel(
    plan: &DnsPlan,
    zone: &Zone,
    at: SocketAddr,
    transport: &str,
    trial: &Trial,
) -> Finding {
    let upper = transport.to_ascii_uppercase();
    let place = format!("the channel at {at} over {upper}");
    let (what, fix) = match &trial.heard {
        Ok(heard) if trial.arrived() && answers_well(plan, zone, heard) => {
            return finding(
                "channel",
                &zone.name,
                Outcome::Good,
                format!("{place} answers for it"),
                "",
            );
        }
        Ok(heard) if heard.truncated && trial.arrived() => {
            return finding(
                "channel",
                &zone.name,
                Outcome::Good,
                format!("{place} asks to be asked again over TCP"),
                "",
            );
        }
        Ok(heard) if trial.arrived() => (
            format!("{place} answers {}", said(heard)),
            "this should not be: start Coalmine again and report it".to_owned(),
        ),
        Ok(heard) => (
            format!(
                "what listens at {at} over {upper} answers {}, and isn't Coalmine",
                said(heard)
            ),
            format!("stop the other DNS server at {at}, or move one of the two"),
        ),
        Err(silence) => (
            format!("{place} {}", silence.words()),
            format!(
                "let nothing on this machine filter {upper} port {}",
                at.port()
            ),
        ),
    };
    finding("channel", &zone.name, Outcome::Bad, what, fix)
}

/// The public address asked over both transports; `resolved` where a resolver got through.
pub fn reachable(
    plan: &DnsPlan,
    zone: &Zone,
    at: SocketAddr,
    udp: &Trial,
    tcp: &Trial,
    resolved: bool,
) -> Vec<Finding> {
    let one = |name: &str, trial: &Trial, other: &Trial| {
        let mut result = Outcome::Bad;
        let (what, fix) = match &trial.heard {
            Ok(_) if trial.arrived() => {
                return finding(
                    "address",
                    &zone.name,
                    Outcome::Good,
                    format!("{at} leads here over {name}"),
                    "",
                );
            }
            Ok(_) => (
                format!("{at} answers over {name}, but it isn't this channel"),
                format!(
                    "set [tokens] public_address to this machine's address, or forward {name} port {} of {} to the channel{}",
                    at.port(),
                    at.ip(),
                    listening(plan)
                ),
            ),
            Err(silence) => {
                // From inside, the own public address often can't be reached (hairpin).
                if resolved && !other.arrived() {
                    result = Outcome::Note;
                }
                (
                    format!("{at} {} over {name}, asked from here", silence.words()),
                    format!(
                        "open {name} port {} in firewalls and forward it to the channel{}",
                        at.port(),
                        listening(plan)
                    ),
                )
            }
        };
        finding("address", &zone.name, result, what, fix)
    };
    vec![one("UDP", udp, tcp), one("TCP", tcp, udp)]
}

/// What the parent says.
pub fn delegation(plan: &DnsPlan, zone: &Zone, said: &Delegation) -> Vec<Finding> {
    let of =
        |result, what: String, fix: String| finding("delegation", &zone.name, result, what, fix);
    let [ns, glue] = records::delegation(plan, &zone.name);
    match said {
        Delegation::Unknown(why) => vec![of(
            Outcome::Note,
            format!("what the zone above says couldn't be learnt: {why}"),
            String::new(),
        )],
        Delegation::Missing {
            parent,
            other_records,
        } => {
            let what = if *other_records {
                format!("{parent} has records of that name, but delegates nothing (a wildcard or an address is no delegation)")
            } else {
                format!("{parent} knows nothing of it")
            };
            vec![of(
                Outcome::Bad,
                what,
                format!("add to {parent}: {ns} and {glue}"),
            )]
        }
        Delegation::Found { parent, servers } => servers
            .iter()
            .map(|(server, addresses)| {
                let address = plan.public_address;
                if addresses.contains(&address) && addresses.len() == 1 {
                    return of(
                        Outcome::Good,
                        format!("{parent} delegates it to {server}, {address}"),
                        String::new(),
                    );
                }
                let others: Vec<String> = addresses
                    .iter()
                    .filter(|known| **known != address)
                    .map(ToString::to_string)
                    .collect();
                if addresses.is_empty() {
                    let kind = records::address_type(address);
                    return of(
                        Outcome::Bad,
                        format!("{parent} names {server} as its server, but nobody knows the address of that"),
                        format!("add to {parent} the glue: {server}. 3600 IN {kind} {address}"),
                    );
                }
                let what = if addresses.contains(&address) {
                    format!("{parent} delegates it to {server}, which is also {}: what is asked there isn't seen", others.join(", "))
                } else {
                    format!("{parent} delegates it to {server} at {}, but this machine is {address}", others.join(", "))
                };
                of(
                    Outcome::Bad,
                    what,
                    format!("have {address} alone as the address of {server} in {parent}, or remove that name server"),
                )
            })
            .collect(),
    }
}

/// A resolver asked for a fresh name in the zone.
pub fn resolver(
    plan: &DnsPlan,
    zone: &Zone,
    at: SocketAddr,
    internal: bool,
    trial: &Trial,
) -> Vec<Finding> {
    let of = |result, what: String, fix: String| finding("resolver", &zone.name, result, what, fix);
    let delegate = if internal {
        format!("give {} the lines above, also for {}", at.ip(), zone.name)
    } else {
        let [ns, glue] = records::delegation(plan, &zone.name);
        format!("add to the zone above: {ns} and {glue}")
    };
    let heard = match &trial.heard {
        Ok(heard) => heard,
        Err(silence) if trial.arrived() => {
            return vec![of(
                Outcome::Bad,
                format!("{at} asked the channel, but {}", silence.words()),
                "look at the resolver: it takes too long or drops the answer".to_owned(),
            )];
        }
        Err(silence) => {
            return vec![of(
                Outcome::Bad,
                format!("the resolver {at} {}", silence.words()),
                "name one that answers from here: --resolver ADDRESS".to_owned(),
            )];
        }
    };
    if trial.arrived() {
        return arrived(plan, zone, at, internal, trial, heard);
    }
    let (what, fix) = match heard.code {
        ResponseCode::NXDomain if zone.role == Role::Nx => (
            format!(
                "{at} says that the name doesn't exist, but nobody asked the channel: it takes that from the zone above"
            ),
            delegate,
        ),
        ResponseCode::NXDomain => (
            format!(
                "{at} says that there is no such name: the zone isn't delegated to this machine"
            ),
            delegate,
        ),
        ResponseCode::ServFail => (
            format!(
                "{at} found nobody who answers for the zone: its delegation leads nowhere (lame), or to an address or port that is closed"
            ),
            if internal {
                format!(
                    "let the resolver's lines for {} say this machine's address and port{}, and let UDP and TCP through",
                    zone.name,
                    listening(plan)
                )
            } else {
                format!(
                    "let the glue of {} be {}, and open UDP and TCP port 53 to it",
                    records::server(plan, &zone.name),
                    plan.public_address
                )
            },
        ),
        ResponseCode::Refused => (
            format!("{at} refuses to answer questions from here"),
            "name a resolver that serves this machine: --resolver ADDRESS".to_owned(),
        ),
        ResponseCode::NoError => (
            format!(
                "{at} answers {} without asking the channel: somebody else answers for the zone, e.g. a wildcard, another installation, or the wrong zone is configured",
                said(heard)
            ),
            delegate,
        ),
        _ => (
            format!("{at} answers {}", said(heard)),
            "look at the resolver's log".to_owned(),
        ),
    };
    vec![of(Outcome::Bad, what, fix)]
}

/// The question came through; whether the answer did, too.
fn arrived(
    plan: &DnsPlan,
    zone: &Zone,
    at: SocketAddr,
    internal: bool,
    trial: &Trial,
    heard: &Heard,
) -> Vec<Finding> {
    let of = |result, what: String, fix: String| finding("resolver", &zone.name, result, what, fix);
    let by: Vec<&str> = trial.arrivals.iter().map(|a| a.src_host.as_str()).collect();
    let by = by.first().copied().unwrap_or_default();
    if answers_well(plan, zone, heard) {
        let answer = match zone.role {
            Role::Nx => "that the name doesn't exist".to_owned(),
            Role::Tokens | Role::Own => plan.public_address.to_string(),
        };
        let mut found = vec![of(
            Outcome::Good,
            format!("{at} asked the channel (as {by}) and answers {answer}"),
            String::new(),
        )];
        found.extend(minimised(zone, trial));
        return found;
    }
    let private = !records::is_public(plan.public_address);
    let (what, fix) = match heard.code {
        ResponseCode::ServFail
            if trial
                .unchecked
                .as_ref()
                .is_some_and(|heard| answers_well(plan, zone, heard)) =>
        {
            (
                format!(
                    "{at} asked the channel and throws its answer away: the zone above says that it's signed (DNSSEC)"
                ),
                if internal {
                    format!(
                        "exempt {} from validation in the resolver, as the lines above do",
                        zone.name
                    )
                } else {
                    format!("remove the DS record of {} at its parent", zone.name)
                },
            )
        }
        ResponseCode::ServFail => (
            format!("{at} asked the channel and can't use its answer"),
            "open TCP port 53 as well as UDP, and let firewalls leave DNS as it is".to_owned(),
        ),
        ResponseCode::NoError if zone.role == Role::Nx => (
            format!(
                "{at} asked the channel, but answers {} for names that don't exist",
                said(heard)
            ),
            "turn off the redirection of missing names in the resolver, or use another".to_owned(),
        ),
        ResponseCode::NoError | ResponseCode::NXDomain if private => (
            format!(
                "{at} asked the channel, but answers {}: it hides private addresses (protection against DNS rebinding)",
                said(heard)
            ),
            format!(
                "allow private addresses for {} in the resolver (unbound: private-domain, dnsmasq: rebind-domain-ok)",
                zone.name
            ),
        ),
        _ => (
            format!("{at} asked the channel, but answers {}", said(heard)),
            "look for a filter or a rewriting rule in the resolver".to_owned(),
        ),
    };
    vec![of(Outcome::Bad, what, fix)]
}

/// What a resolver that minimises names does to data that ride in them (RFC 9156).
fn minimised(zone: &Zone, trial: &Trial) -> Option<Finding> {
    let whole = |arrival: &DnsArrival| arrival.name.eq_ignore_ascii_case(&trial.name);
    if !trial.arrivals.iter().any(whole) {
        let what = "it minimises names and asks for the token's alone: data left of it don't arrive in this zone";
        return Some(finding("resolver", &zone.name, Outcome::Note, what, ""));
    }
    None
}

/// Whether the answer is the channel's.
fn answers_well(plan: &DnsPlan, zone: &Zone, heard: &Heard) -> bool {
    match zone.role {
        Role::Nx => heard.code == ResponseCode::NXDomain,
        Role::Tokens | Role::Own => {
            heard.code == ResponseCode::NoError && heard.addresses() == [plan.public_address]
        }
    }
}

fn said(heard: &Heard) -> String {
    let addresses: Vec<String> = heard.addresses().iter().map(IpAddr::to_string).collect();
    match heard.code {
        ResponseCode::NoError if addresses.is_empty() => "that there is no address".to_owned(),
        ResponseCode::NoError => addresses.join(", "),
        ResponseCode::NXDomain => "that there is no such name".to_owned(),
        ResponseCode::ServFail => "SERVFAIL".to_owned(),
        ResponseCode::Refused => "REFUSED".to_owned(),
        other => other.to_string(),
    }
}

fn listening(plan: &DnsPlan) -> String {
    plan.listens
        .map_or(String::new(), |at| format!(" ({at} here)"))
}

#[cfg(test)]
mod tests;
