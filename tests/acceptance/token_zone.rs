//! `coalmine tokens check-dns`, with unbound as the network's resolver.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::nest::{Nest, await_some, client, free_port, have};
use crate::token_cli::tokens;

const ZONES: &str = "zone = \"tokens.test\"\nnx_zone = \"gone.test\"\n";

/// A resolver of a test's own; stopped when dropped.
struct Unbound {
    child: Child,
    at: SocketAddr,
    _dir: tempfile::TempDir,
}

impl Unbound {
    /// Starts with these lines; what they don't know doesn't exist, and nobody outside is asked.
    fn start(at: SocketAddr, server: &str, zones: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("unbound.conf");
        let text = format!(
            "server:\n  interface: {}@{}\n  username: \"\"\n  chroot: \"\"\n  pidfile: \"\"\n  \
             directory: \"{}\"\n  use-syslog: no\n  do-not-query-localhost: no\n  \
             module-config: \"iterator\"\n  do-ip6: no\n  access-control: 127.0.0.0/8 allow\n  \
             outbound-msg-retry: 2\n{server}\
             remote-control:\n  control-enable: no\n{zones}",
            at.ip(),
            at.port(),
            dir.path().display()
        );
        std::fs::write(&file, text).unwrap();
        let child = Command::new("unbound")
            .args(["-d", "-c"])
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let port = at.port().to_string();
        let server = format!("@{}", at.ip());
        await_some(|| {
            client("dig", &[&server, "-p", &port, "+time=1", "localhost"])
                .contains("status: NOERROR")
                .then_some(())
        })
        .expect("unbound answers");
        Self {
            child,
            at,
            _dir: dir,
        }
    }
}

impl Drop for Unbound {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn here(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// Nothing exists but these zones: nobody outside is asked.
fn only(zones: &[&str]) -> String {
    let open = zones
        .iter()
        .map(|zone| format!("  local-zone: \"{zone}.\" transparent\n"));
    "  local-zone: \".\" static\n".to_owned() + &open.collect::<String>()
}

fn stub(zone: &str, at: SocketAddr) -> String {
    format!(
        "stub-zone:\n  name: \"{zone}\"\n  stub-addr: {}@{}\n",
        at.ip(),
        at.port()
    )
}

/// What it finds, and whether all is well; the exit code says the same.
fn check(nest: &Nest, more: &[&str]) -> (bool, Vec<Value>) {
    let output = tokens(nest, &[&["check-dns", "--json"], more].concat());
    let said = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    let object: Value =
        serde_json::from_str(&said).unwrap_or_else(|e| panic!("{e}: {said}\n{errors}"));
    let good = object["good"].as_bool().unwrap();
    assert_eq!(output.status.code(), Some(i32::from(!good)));
    (good, object["findings"].as_array().unwrap().clone())
}

/// The first finding of a check in a zone.
fn of<'a>(findings: &'a [Value], check: &str, zone: &str) -> &'a Value {
    let fits = |f: &&Value| f["check"] == check && f["zone"] == zone;
    let found = findings.iter().find(fits);
    found.unwrap_or_else(|| panic!("no {check} of {zone} in {findings:#?}"))
}

fn text<'a>(finding: &'a Value, part: &str) -> &'a str {
    finding[part].as_str().unwrap()
}

#[test]
fn a_network_of_its_own_is_told_what_its_resolvers_need_and_whether_they_have_it() {
    if !have("unbound") || !have("dig") {
        return;
    }
    let nest = Nest::start(&format!("[tokens]\n{ZONES}"));
    let port = u16::try_from(nest.run["tokens"]["dns_port"].as_u64().unwrap()).unwrap();
    let channel = SocketAddr::new(nest.address, port);

    // The lines it prints are all that unbound needs.
    let output = tokens(&nest, &["check-dns", "--resolver", "127.0.0.1:1"]);
    assert_eq!(output.status.code(), Some(1), "nobody is there");
    let said = String::from_utf8(output.stdout).unwrap();
    for line in [
        format!(
            "Add-DnsServerConditionalForwarderZone -Name \"tokens.test\" -MasterServers {}",
            channel.ip()
        ),
        format!("forwarders {{ {} port {port}; }};", channel.ip()),
        format!("server=/gone.test/{}#{port}", channel.ip()),
    ] {
        assert!(said.contains(&line), "{line} in {said}");
    }
    let own: Vec<&str> = said
        .lines()
        .skip_while(|line| !line.starts_with("unbound ("))
        .skip(1)
        .take_while(|line| !line.is_empty())
        .collect();
    let ours = own.join("\n") + "\n";
    let good = Unbound::start(here(free_port()), &only(&[]), &ours);
    let resolver = good.at.to_string();
    let (well, findings) = check(&nest, &["--resolver", &resolver]);
    assert!(well, "{ours}\n{findings:#?}");
    for (check, zone) in [
        ("channel", "tokens.test"),
        ("channel", "gone.test"),
        ("resolver", "tokens.test"),
        ("resolver", "gone.test"),
    ] {
        assert_eq!(of(&findings, check, zone)["result"], "good");
    }
    let said = tokens(&nest, &["check-dns", "--resolver", &resolver]);
    assert!(said.status.success());
    assert!(String::from_utf8_lossy(&said.stdout).ends_with("Everything is as it should be.\n"));
    drop(good);

    // The zone of names that don't exist is missing: names there don't exist, but for another reason.
    let half = Unbound::start(
        here(free_port()),
        &only(&["tokens.test"]),
        &stub("tokens.test", channel),
    );
    let half_at = half.at.to_string();
    let (well, findings) = check(&nest, &["--resolver", &half_at]);
    assert!(!well);
    assert_eq!(of(&findings, "resolver", "tokens.test")["result"], "good");
    let gone = of(&findings, "resolver", "gone.test");
    assert_eq!(gone["result"], "bad");
    assert!(!text(gone, "fix").is_empty());
    drop(half);

    // A domain of the owner's own, which the resolver doesn't know and the channel does.
    nest.post(
        "settings/canarytokens/user_domains/save",
        &[("user_domains", "wiki.test")],
    );
    // Queries are no touches, and nobody's id is in them.
    assert_eq!(
        nest.api("incidents/all")["incidents"],
        serde_json::json!([])
    );
}

#[test]
fn what_leads_elsewhere_or_nowhere_is_told_in_bounded_time() {
    if !have("unbound") || !have("dig") {
        return;
    }
    let nest = Nest::start(&format!("[tokens]\n{ZONES}"));
    let port = u16::try_from(nest.run["tokens"]["dns_port"].as_u64().unwrap()).unwrap();
    let channel = SocketAddr::new(nest.address, port);

    // Nobody listens where the delegation leads.
    let nowhere = stub("tokens.test", here(free_port())) + &stub("gone.test", channel);
    let lame = Unbound::start(
        here(free_port()),
        &only(&["tokens.test", "gone.test"]),
        &nowhere,
    );
    let start = Instant::now();
    let lame_at = lame.at.to_string();
    let (well, findings) = check(&nest, &["--resolver", &lame_at]);
    assert!(!well && start.elapsed() < Duration::from_secs(30));
    let wrong = of(&findings, "resolver", "tokens.test");
    assert_eq!(wrong["result"], "bad", "{findings:#?}");
    assert!(text(wrong, "fix").contains(&port.to_string()), "{wrong}");
    assert_eq!(of(&findings, "resolver", "gone.test")["result"], "good");
    drop(lame);

    // Somebody else answers: right address, wrong machine.
    let mine = format!(
        "{}  local-zone: \"tokens.test.\" redirect\n  local-data: \"tokens.test. A {}\"\n",
        only(&["gone.test"]),
        nest.address
    );
    let other = Unbound::start(here(free_port()), &mine, &stub("gone.test", channel));
    let (well, findings) = check(&nest, &["--resolver", &other.at.to_string()]);
    assert!(!well);
    let wrong = of(&findings, "resolver", "tokens.test");
    assert!(
        text(wrong, "what").contains("without asking the channel"),
        "{wrong}"
    );
    drop(other);

    // A resolver that isn't there, and one that never says anything.
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    for at in [here(free_port()), silent.local_addr().unwrap()] {
        let start = Instant::now();
        let (well, findings) = check(&nest, &["--resolver", &at.to_string()]);
        assert!(!well && start.elapsed() < Duration::from_secs(15));
        let last = findings.last().unwrap();
        assert_eq!(last["check"], "resolver");
        assert!(text(last, "fix").contains("--resolver"), "{last}");
    }
}

#[test]
fn a_public_zone_is_followed_from_its_parent_to_its_glue() {
    let root = rustix::process::geteuid().is_root();
    if !have("unbound") || !have("dig") || !root {
        // Delegations lead to port 53.
        return;
    }
    let [.., high, low] = std::process::id().to_be_bytes();
    let ours = IpAddr::from([127, 32 | (high & 31), low, 1]);
    let parent = SocketAddr::new([127, 32 | (high & 31), low, 2].into(), 53);
    let nest = Nest::start_at(
        ours,
        0,
        tempfile::tempdir().unwrap(),
        "[tokens]\nzone = \"t.birdcage.com\"\nnx_zone = \"gone.birdcage.com\"\nhttp_port = 0\ndns_port = 53\n",
    );
    let found = |zone_file: &str| {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("zone");
        let text = format!(
            "$ORIGIN birdcage.com.\n@ 60 IN SOA ns.birdcage.com. root.birdcage.com. 1 60 60 60 1\n\
             @ 60 IN NS ns\nns 60 IN A {}\n{zone_file}\n",
            parent.ip()
        );
        std::fs::write(&file, text).unwrap();
        let zones = format!(
            "auth-zone:\n  name: \"birdcage.com\"\n  zonefile: \"{}\"\n  for-upstream: yes\n  for-downstream: yes\n  fallback-enabled: no\n",
            file.display()
        );
        // The one that's asked knows where the parent is; the parent answers for its zone alone.
        let keeper = Unbound::start(parent, "", &zones);
        let closed = only(&["birdcage.com"]);
        let asked = Unbound::start(here(free_port()), &closed, &stub("birdcage.com", parent));
        let (well, findings) = check(&nest, &["--resolver", &asked.at.to_string()]);
        drop((keeper, asked));
        assert!(!well, "a loopback address is never public");
        findings
    };
    let delegated = |name: &str, glue: IpAddr| {
        format!("{name} 60 IN NS ns1.{name}\nns1.{name} 60 IN A {glue}\n")
    };

    let findings = found(&(delegated("t", ours) + &delegated("gone", ours)));
    let bad: Vec<&Value> = findings.iter().filter(|f| f["result"] == "bad").collect();
    assert!(
        bad.len() == 1 && text(bad[0], "what").contains("loopback"),
        "{bad:#?}"
    );
    for zone in ["t.birdcage.com", "gone.birdcage.com"] {
        for check in ["delegation", "resolver", "channel"] {
            assert_eq!(
                of(&findings, check, zone)["result"],
                "good",
                "{findings:#?}"
            );
        }
    }

    // Wrong glue for one, nothing at all for the other.
    let findings = found(&delegated("t", [127, 0, 0, 99].into()));
    let glue = of(&findings, "delegation", "t.birdcage.com");
    assert!(
        text(glue, "what").contains("at 127.0.0.99, but this machine is"),
        "{findings:#?}"
    );
    let resolver = of(&findings, "resolver", "t.birdcage.com");
    assert!(text(resolver, "what").contains("(lame)"), "{resolver}");
    let gone = of(&findings, "delegation", "gone.birdcage.com");
    assert!(
        text(gone, "what").contains("knows nothing of it")
            && text(gone, "fix").contains("gone.birdcage.com. 3600 IN NS ns1.gone.birdcage.com."),
        "{gone}"
    );
    assert!(
        text(of(&findings, "resolver", "gone.birdcage.com"), "what")
            .contains("nobody asked the channel")
    );
}
