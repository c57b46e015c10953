//! `coalmine tokens check-dns`: which records the tokens' zones need, and whether they are there.
//!
//! The proof is that a question for a fresh name arrives at the channel: the Console makes up a label
//! that looks like any token, and says who asked for it. Nothing in the zone's answers is made for
//! this, and no incident comes of it.

mod ask;
mod findings;
mod parent;
mod records;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use coalmine_client::{Client, DnsPlan};
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;
use serde_json::json;

use self::ask::{Heard, Question, Silence};
use self::findings::{Finding, Trial};
use self::records::Zone;
use crate::terminal::{self, Colours, safe};

/// Longest all questions to zones above ours may take together.
const MAX_PARENTS: Duration = Duration::from_secs(20);

/// What the command line says.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Whom to ask; the system's where it's missing.
    pub resolver: Option<SocketAddr>,
    /// Whether the zone is the network's own, without a delegation in public.
    pub internal: bool,
    /// One JSON object in place of words.
    pub json: bool,
}

/// `ADDR`, `ADDR:PORT` or `[ADDR]:PORT`.
///
/// # Errors
/// What is neither.
pub fn resolver(text: &str) -> Result<SocketAddr, String> {
    let plain = text
        .parse()
        .map(|address: IpAddr| SocketAddr::new(address, 53));
    plain
        .or_else(|_| text.parse())
        .map_err(|_| "must be an address, or an address and a port, e.g. 192.0.2.53:53".to_owned())
}

/// Prints the records, tests them, and says what is wrong. The exit code is 1 if anything is.
///
/// # Errors
/// The Console's refusal.
pub fn check(client: &Client, options: Options, colours: Colours) -> Result<ExitCode> {
    let plan = client.dns_plan().context("ask the Console for its zones")?;
    let zones = records::zones(&plan);
    let at = options.resolver.unwrap_or_else(ask::system_resolver);
    let internal = options.internal || !records::can_be_public(&plan.zone);
    if !options.json {
        print_records(&plan, &zones, internal, colours);
        terminal::line(&format!(
            "\n{}",
            colours.strong(&format!("Tests, with the resolver {at}"))
        ));
    }
    let check = Check {
        client,
        plan: &plan,
        at,
        internal,
    };
    let mut all: Vec<Finding> = Vec::new();
    check.run(&zones, &mut |finding| {
        if !options.json {
            terminal::line(&shown(&finding, colours));
        }
        all.push(finding);
    })?;
    let bad = all
        .iter()
        .filter(|finding| finding.result == findings::Outcome::Bad)
        .count();
    if options.json {
        let object = object(&plan, &zones, at, internal, &all);
        terminal::line(&serde_json::to_string_pretty(&object)?);
    } else if bad == 0 {
        terminal::line(&format!(
            "\n{}",
            colours.good("Everything is as it should be.")
        ));
    } else {
        let things = if bad == 1 { "thing is" } else { "things are" };
        terminal::line(&format!(
            "\n{}",
            colours.bad(&format!("{bad} {things} wrong."))
        ));
    }
    Ok(if bad == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

struct Check<'a> {
    client: &'a Client,
    plan: &'a DnsPlan,
    at: SocketAddr,
    internal: bool,
}

impl Check<'_> {
    fn run(&self, zones: &[Zone], tell: &mut dyn FnMut(Finding)) -> Result<()> {
        let plan = self.plan;
        for finding in findings::setup(plan, self.internal) {
            tell(finding);
        }
        let Some(listens) = plan.listens else {
            return Ok(());
        };
        let local = SocketAddr::new(local(listens.ip()), listens.port());
        for zone in zones {
            let udp = self.trial(zone, |question| ask::udp(local, question))?;
            tell(findings::channel(plan, zone, local, "udp", &udp));
            let tcp = self.trial(zone, |question| ask::tcp(local, question))?;
            tell(findings::channel(plan, zone, local, "tcp", &tcp));
        }
        if plan.zone.ends_with("localhost") {
            return Ok(());
        }
        let end = Instant::now() + MAX_PARENTS;
        let network = parent::Network { resolver: self.at };
        let mut resolved = false;
        for zone in zones {
            let trial = self.resolve(zone)?;
            let answered = trial.heard.is_ok();
            resolved |= !trial.arrivals.is_empty();
            for finding in findings::resolver(plan, zone, self.at, self.internal, &trial) {
                tell(finding);
            }
            if !answered && trial.arrivals.is_empty() {
                // It wouldn't answer for the others either.
                break;
            }
            if !self.internal && !zone.inside {
                let said = parent::delegation(&network, &zone.name, end);
                for finding in findings::delegation(plan, zone, &said) {
                    tell(finding);
                }
            }
        }
        if let Some(zone) = zones
            .first()
            .filter(|_| !plan.public_address.is_unspecified())
        {
            let port = if self.internal { listens.port() } else { 53 };
            let public = SocketAddr::new(plan.public_address, port);
            // Asked above already.
            if public != local {
                let udp = self.trial(zone, |question| ask::either(public, question))?;
                let tcp = self.trial(zone, |question| ask::tcp(public, question))?;
                for finding in findings::reachable(plan, zone, public, &udp, &tcp, resolved) {
                    tell(finding);
                }
            }
        }
        Ok(())
    }

    /// Asks for a fresh name in `zone`.
    fn trial(
        &self,
        zone: &Zone,
        ask: impl Fn(&Question) -> Result<Heard, Silence>,
    ) -> Result<Trial> {
        let probe = self.client.dns_probe()?;
        let question = Question {
            name: format!("{}.{}.{probe}.{}", label()?, label()?, zone.name),
            kind: match self.plan.public_address {
                IpAddr::V4(_) => RecordType::A,
                IpAddr::V6(_) => RecordType::AAAA,
            },
            recursive: true,
            unchecked: false,
        };
        let heard = ask(&question);
        let arrivals = self.client.dns_arrivals(&probe)?;
        let failed = matches!(&heard, Ok(heard) if heard.code == ResponseCode::ServFail);
        let unchecked = if failed && !arrivals.is_empty() {
            let again = Question {
                unchecked: true,
                ..question.clone()
            };
            ask(&again).ok()
        } else {
            None
        };
        Ok(Trial {
            name: question.name,
            heard,
            unchecked,
            arrivals,
        })
    }

    fn resolve(&self, zone: &Zone) -> Result<Trial> {
        let mut trial = self.trial(zone, |question| ask::either(self.at, question))?;
        if trial.heard == Err(Silence::Timeout) && self.is_alive() {
            // It's still looking for somebody who answers for the zone.
            trial.heard = Ok(Heard::nothing(ResponseCode::ServFail));
        }
        Ok(trial)
    }

    /// Whether the resolver answers anything at all.
    fn is_alive(&self) -> bool {
        let question = Question {
            name: ".".to_owned(),
            kind: RecordType::NS,
            recursive: true,
            unchecked: false,
        };
        ask::either(self.at, &question).is_ok()
    }
}

/// A label that nobody has asked for yet.
fn label() -> Result<String> {
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes)
        .map_err(|cause| anyhow::anyhow!("the system gives no randomness: {cause}"))?;
    Ok(format!("{:08x}", u32::from_ne_bytes(bytes)))
}

/// An address at which this machine reaches a listener on `address`.
fn local(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(v4) if v4.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(v6) if v6.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        other => other,
    }
}

/// Where resolvers of the network find the channel.
fn forward_to(plan: &DnsPlan) -> SocketAddr {
    SocketAddr::new(plan.public_address, plan.listens.map_or(53, |at| at.port()))
}

fn print_records(plan: &DnsPlan, zones: &[Zone], internal: bool, colours: Colours) {
    for zone in zones {
        terminal::line(&format!(
            "{}, {}{}",
            colours.strong(&zone.name),
            zone.role.words(),
            if zone.inside {
                ": inside another, nothing to add"
            } else {
                ""
            }
        ));
        if internal || zone.inside {
            continue;
        }
        for record in records::delegation(plan, &zone.name) {
            terminal::line(&format!("  {record}"));
        }
        for line in records::delegation_in_words(plan, &zone.name) {
            terminal::line(&format!("  {}", colours.faint(&line)));
        }
    }
    if !internal {
        terminal::line(
            "\nWithout a delegation in public, for your own network alone: coalmine tokens check-dns --internal",
        );
        return;
    }
    terminal::line("\nGive your resolvers one of these, so that they ask this machine:");
    for (product, lines) in records::forwarders(plan, forward_to(plan), zones) {
        terminal::line(&format!("\n{}", colours.strong(product)));
        for line in lines {
            terminal::line(&format!("  {line}"));
        }
    }
}

fn shown(finding: &Finding, colours: Colours) -> String {
    let sign = match finding.result {
        findings::Outcome::Good => colours.good("ok  "),
        findings::Outcome::Note => colours.faint("note"),
        findings::Outcome::Bad => colours.bad("BAD "),
    };
    let zone = match finding.zone.as_str() {
        "" => String::new(),
        zone => format!("{zone}: "),
    };
    let fix = match finding.fix.as_str() {
        "" => String::new(),
        fix => format!("\n        fix: {}", safe(fix)),
    };
    format!("  {sign}  {}{}{fix}", safe(&zone), safe(&finding.what))
}

fn object(
    plan: &DnsPlan,
    zones: &[Zone],
    at: SocketAddr,
    internal: bool,
    all: &[Finding],
) -> serde_json::Value {
    let listed: Vec<_> = zones
        .iter()
        .map(|zone| {
            let needed = !internal && !zone.inside;
            let records = needed.then(|| records::delegation(plan, &zone.name).to_vec());
            json!({"zone": zone.name, "is": zone.role.words(), "records": records.unwrap_or_default()})
        })
        .collect();
    let forwarders: serde_json::Map<String, serde_json::Value> = if internal {
        records::forwarders(plan, forward_to(plan), zones)
            .into_iter()
            .map(|(product, lines)| (product.to_owned(), lines.into()))
            .collect()
    } else {
        serde_json::Map::new()
    };
    let good = all.iter().all(|f| f.result != findings::Outcome::Bad);
    json!({"good": good, "internal": internal, "resolver": at, "public_address": plan.public_address,
        "listens": plan.listens, "zones": listed, "forwarders": forwarders, "findings": all})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolvers_are_addresses_with_or_without_a_port() {
        for (text, wanted) in [
            ("192.0.2.53", "192.0.2.53:53"),
            ("192.0.2.53:5353", "192.0.2.53:5353"),
            ("2001:db8::53", "[2001:db8::53]:53"),
            ("[2001:db8::53]:5353", "[2001:db8::53]:5353"),
        ] {
            assert_eq!(resolver(text), Ok(wanted.parse().unwrap()));
        }
        assert!(resolver("dns.example.com").is_err() && resolver("192.0.2.53:x").is_err());
    }

    #[test]
    fn a_finding_is_a_line_and_its_fix_another() {
        let finding = Finding {
            check: "resolver",
            zone: "t.example".to_owned(),
            result: findings::Outcome::Bad,
            what: "lame\u{1b}[2J".to_owned(),
            fix: "open port 53".to_owned(),
        };
        assert_eq!(
            shown(&finding, Colours::none()),
            "  BAD   t.example: lame\\u{1b}[2J\n        fix: open port 53"
        );
    }
}
