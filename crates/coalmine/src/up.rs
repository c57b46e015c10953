//! `coalmine up`: Console and sensor in one process, until told to stop.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use coalmine_console::channels::{CertificateOrigin, CertificateState, Others};
use coalmine_console::{ConsoleConfig, Running};
use coalmine_core::settings::Fault;
use coalmine_core::token::TokenChannel;
use coalmine_sensor::{BirdPlan, PacketSocket, SensorConfig, SensorThread, ServicePlan};
use tokio::signal::unix::{SignalKind, signal};

use crate::config::{BirdPart, Config, Ground, ServicePart, wire};
use crate::folder::{Folder, Installation, Run, RunBird, RunCertificate, RunService, RunTokens};
use crate::terminal::{self, Colours};
use crate::{VERSION, registry};

/// Added to all ports where those under 1024 can't be had.
const SHIFT: u16 = 10_000;
/// Threads of the Console; the decoys, the store and the password hash have their own.
const WORKERS: usize = 2;
/// Stack of each.
const STACK: usize = 1024 * 1024;

/// What the command line says.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Configuration file.
    pub config: Option<PathBuf>,
    /// Address of decoys and token channels where the file names none.
    pub listen: Option<IpAddr>,
    /// Added to every port of decoys and token channels; `None` decides by what may be bound.
    pub port_shift: Option<u16>,
    /// Where page and API listen, against what the file says.
    pub console: Option<SocketAddr>,
}

/// How long the end waits for work that can't be broken off.
const LAST_WAIT: Duration = Duration::from_secs(2);

/// Runs until SIGINT or SIGTERM.
///
/// # Errors
/// What keeps it from starting.
pub fn up(folder: &Folder, options: &Options) -> Result<()> {
    let lock = folder.lock()?;
    let installation = folder.installation()?;
    let (config, shift) = settle(options, &installation)?;
    // A second call can only come from a test in this process and changes nothing.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    log_to_stderr();
    // Before any thread is there, so that none keeps the right to it.
    let wanted = |bird: &BirdPart| bird.portscan.enabled && !bird.address.is_loopback();
    let packets = if config.birds.iter().any(wanted) {
        PacketSocket::open()
    } else {
        Err("no bird has packets to watch".to_owned())
    };
    coalmine_sensor::drop_capability();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .thread_stack_size(STACK)
        .enable_all()
        .build()
        .context("start the runtime")?;
    let outcome = runtime.block_on(Box::pin(run(
        folder,
        &config,
        packets,
        shift,
        options.port_shift.is_none(),
    )));
    // What a cloud was being asked is waited for no longer.
    runtime.shutdown_timeout(LAST_WAIT);
    drop(lock);
    outcome
}

/// The configuration in effect and the port shift.
///
/// # Errors
/// Every fault of the configuration.
fn settle(options: &Options, installation: &Installation) -> Result<(Config, u16)> {
    let ground = ground(options.listen, installation);
    let mut config = Config::load(options.config.as_deref(), &ground).map_err(|f| all(&f))?;
    if let Some(console) = options.console {
        config.console.listen = console;
    }
    let needs_shift = config
        .lowest_port()
        .is_some_and(|port| port < lowest_bindable());
    let shift = options
        .port_shift
        .unwrap_or(if needs_shift { SHIFT } else { 0 });
    let faults = config.shift_faults(shift);
    if faults.is_empty() {
        Ok((config, shift))
    } else {
        Err(all(&faults))
    }
}

/// What a configuration stands on.
pub fn ground(listen: Option<IpAddr>, installation: &Installation) -> Ground {
    let listen = listen.unwrap_or(Ipv4Addr::UNSPECIFIED.into());
    Ground {
        kinds: registry::decoys(),
        listen,
        public_address: reachable(listen),
        tag: installation.tag.clone(),
        zone: installation.zone.clone(),
        folder: PathBuf::from("."),
    }
}

/// All faults as one error, a line each.
pub fn all(faults: &[Fault]) -> anyhow::Error {
    let mut text = match faults.len() {
        1 => "the configuration has a fault:".to_owned(),
        n => format!("the configuration has {n} faults:"),
    };
    for fault in faults {
        let _ = write!(text, "\n  {fault}");
    }
    anyhow::anyhow!(text)
}

async fn run(
    folder: &Folder,
    config: &Config,
    packets: Result<PacketSocket, String>,
    shift: u16,
    shift_was_ours: bool,
) -> Result<()> {
    let mut interrupt = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let mut stop = std::pin::pin!(async {
        tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
    });
    let (console, sensor) = tokio::select! {
        started = start(folder, config, packets, shift) => started?,
        () = &mut stop => return Ok(()),
    };
    folder.announce(&announcement(config, &console, &sensor))?;
    terminal::line(&screen(
        folder,
        config,
        shift,
        shift_was_ours,
        &console,
        &sensor,
        Colours::of_output(),
    ));
    let mut certificates = console.token_certificates.clone();
    loop {
        let changed = tokio::select! {
            () = &mut stop => break,
            changed = certificates.changed() => changed,
        };
        match changed {
            // What runs goes on; the file is for those who look.
            Ok(()) => {
                let announced = folder.announce(&announcement(config, &console, &sensor));
                if let Err(error) = announced {
                    let error = format!("{error:#}");
                    tracing::warn!(error, "run.json still shows the certificates of before");
                }
            }
            // That channel is off.
            Err(_) => {
                stop.await;
                break;
            }
        }
    }
    // Whoever read this may have gone; stopping goes on.
    let mut out = std::io::stdout();
    let _ = writeln!(
        out,
        "Stopping: open conversations end, what was seen is kept."
    );
    sensor.stop().await;
    console.stop().await;
    Ok(())
}

async fn start(
    folder: &Folder,
    config: &Config,
    packets: Result<PacketSocket, String>,
    shift: u16,
) -> Result<(Running, SensorThread)> {
    let (publisher, subscriber) = coalmine_bus::in_process();
    let path = folder.path();
    let channel = |port: Option<u16>| {
        port.and_then(|port| port.checked_add(shift))
            .map(|port| SocketAddr::new(config.tokens.address, port))
    };
    let files = config.tokens.certificates.iter();
    let files = files.map(|certificate| certificate.files.clone());
    let console = coalmine_console::start(
        ConsoleConfig {
            dir: path.join("console"),
            store: store_url(path),
            listen: config.console.listen,
            names: config.console.names.clone(),
            zone: config.tokens.zone.clone(),
            nx_zone: config.tokens.nx_zone.clone(),
            public_address: config.tokens.public_address,
            token_http: channel(config.tokens.http_port),
            token_dns: channel(config.tokens.dns_port),
            token_others: Others {
                https: channel(config.tokens.https_port),
                https_files: files.collect(),
                acme: config.tokens.acme.clone(),
                proxies: config.tokens.trusted_proxies.clone(),
                wireguard: channel(config.tokens.wireguard_port),
                mysql: channel(config.tokens.mysql_port),
                smtp: channel(config.tokens.smtp_port),
                kubernetes: channel(config.tokens.kubernetes_port),
                clouds: config.cloud.providers()?,
                ..Others::default()
            },
            token_sources: config.tokens.sources.clone(),
            mailboxes: config.tokens.imap.clone(),
            reverse_lookups: config.console.reverse_lookups,
            version: VERSION,
        },
        registry::catalogue(),
        subscriber,
    );
    let console = Box::pin(console).await.context("the Console can't start")?;
    let others: Vec<SocketAddr> = [
        channel(config.tokens.http_port),
        channel(config.tokens.https_port),
        channel(config.tokens.dns_port),
        channel(config.tokens.wireguard_port),
        channel(config.tokens.mysql_port),
        channel(config.tokens.smtp_port),
        channel(config.tokens.kubernetes_port),
    ]
    .into_iter()
    .flatten()
    .chain([config.console.listen])
    .collect();
    let sensor = SensorThread::start(
        SensorConfig {
            dir: path.join("sensor"),
            birds: config
                .birds
                .iter()
                .map(|bird| plan(bird, &others))
                .collect(),
            port_shift: shift,
            version: VERSION,
        },
        packets,
        publisher,
    );
    let sensor = Box::pin(sensor).await.context("the decoys can't start")?;
    Ok((console, sensor))
}

/// Where a data folder's store is.
pub fn store_url(folder: &Path) -> String {
    format!("sqlite:{}", folder.join("coalmine.db").display())
}

/// `others`: where Console and token channels listen, which may be the bird's address too.
fn plan(bird: &BirdPart, others: &[SocketAddr]) -> BirdPlan {
    let shared = |other: &&SocketAddr| {
        let (theirs, ours) = (other.ip(), bird.address);
        theirs == ours || theirs.is_unspecified() || ours.is_unspecified()
    };
    BirdPlan {
        name: bird.name.clone(),
        description: bird.description.clone(),
        machine: bird.machine.clone(),
        personality: bird.personality.id.to_owned(),
        address: bird.address,
        settings: wire::settings(bird, &reachable(bird.address).to_string()),
        services: bird
            .services
            .iter()
            .filter(|s| s.enabled)
            .map(service_plan)
            .collect(),
        portscan: bird
            .portscan
            .enabled
            .then(|| bird.portscan.settings.clone()),
        exempt: others.iter().filter(shared).map(SocketAddr::port).collect(),
    }
}

fn service_plan(service: &ServicePart) -> ServicePlan {
    ServicePlan {
        kind: service.kind,
        name: service.name.clone(),
        port: service.port,
        settings: service.settings.clone(),
        certificate: service.certificate.as_ref().map(|c| c.pem.clone()),
    }
}

fn announcement(config: &Config, console: &Running, sensor: &SensorThread) -> Run {
    let port = |channel: &Result<SocketAddr, String>| channel.as_ref().ok().map(SocketAddr::port);
    let other = |wanted: TokenChannel| {
        let mut others = console.token_others.iter();
        port(&others.find(|(channel, _)| *channel == wanted)?.1)
    };
    Run {
        console_url: console.url.clone(),
        ca_file: console.ca_file.clone(),
        client_config: console.client_config.clone(),
        page_password_file: console.page_password_file.clone(),
        birds: sensor
            .birds()
            .iter()
            .map(|bird| RunBird {
                name: bird.name.clone(),
                node_id: bird.node_id.to_string(),
                address: local(bird.address),
                services: bird
                    .services
                    .iter()
                    .filter(|service| service.problem.is_none())
                    .map(|service| RunService {
                        id: service.id.to_owned(),
                        transport: service.transport.to_owned(),
                        port: service.port,
                    })
                    .collect(),
            })
            .collect(),
        tokens: RunTokens {
            zone: config.tokens.zone.clone(),
            address: Some(local(config.tokens.address)),
            http_port: port(&console.token_http),
            https_port: other(TokenChannel::Http),
            https_certificates: console
                .token_certificates
                .borrow()
                .iter()
                .map(run_certificate)
                .collect(),
            dns_port: port(&console.token_dns),
            wireguard_port: other(TokenChannel::Wireguard),
            mysql_port: other(TokenChannel::Mysql),
            smtp_port: other(TokenChannel::Smtp),
            kubernetes_port: other(TokenChannel::Kubernetes),
        },
        pid: std::process::id(),
    }
}

fn run_certificate(state: &CertificateState) -> RunCertificate {
    RunCertificate {
        names: state.names.clone(),
        from: state.origin.name().to_owned(),
        until: state.until.secs(),
        problem: state.problem.clone(),
    }
}

/// What the operator reads of a certificate.
fn certificate_line(state: &CertificateState, asked: bool, colours: Colours) -> String {
    let names = state.names.join(", ");
    let until = state.until.format("%Y-%m-%d");
    let problem = match &state.problem {
        Some(problem) => format!("; {problem}"),
        None => String::new(),
    };
    match state.origin {
        CertificateOrigin::SelfSigned => {
            let more = match asked {
                true => "until one is issued, which is being asked for",
                false => "name files in [[tokens.certificates]], or ask for one with [tokens.acme]",
            };
            format!(
                "{} certificate for {names}, which clients refuse: {more}{problem}",
                colours.bad("SELF-SIGNED")
            )
        }
        origin => format!(
            "certificate for {names} ({}) until {until}{problem}",
            origin.name()
        ),
    }
}

/// What the operator reads once everything listens.
fn screen(
    folder: &Folder,
    config: &Config,
    shift: u16,
    shift_was_ours: bool,
    console: &Running,
    sensor: &SensorThread,
    colours: Colours,
) -> String {
    let mut text = format!(
        "\n{}\n\n",
        colours.strong(&format!("Coalmine {VERSION} is watching."))
    );
    let password = fs::read_to_string(&console.page_password_file).unwrap_or_default();
    let data = folder.path().display();
    let _ = writeln!(text, "  Page       {}", colours.strong(&console.url));
    let _ = writeln!(
        text,
        "             first password of the administrator: {}",
        colours.strong(password.trim())
    );
    let _ = writeln!(
        text,
        "             {}",
        colours.faint(&format!(
            "(kept in {})",
            console.page_password_file.display()
        ))
    );
    let _ = writeln!(text, "  API key    {}", console.client_config.display());
    let _ = writeln!(
        text,
        "             the certificate authority to trust: {}",
        console.ca_file.display()
    );
    let _ = writeln!(text, "  Data       {data}");

    for bird in sensor.birds() {
        let _ = writeln!(
            text,
            "\n  Bird {}  {}",
            colours.strong(&bird.name),
            colours.faint(&bird.node_id.to_string())
        );
        for service in &bird.services {
            let title = registry::decoys()
                .iter()
                .find(|k| k.id == service.id)
                .map_or(service.id, |k| k.title);
            let address = SocketAddr::new(reachable(bird.address), service.port);
            let line = match &service.problem {
                None => format!(
                    "{} {address}/{}",
                    colours.good("listens"),
                    service.transport
                ),
                Some(problem) => format!(
                    "{} on {address}/{}: {problem}",
                    colours.bad("DOESN'T LISTEN"),
                    service.transport
                ),
            };
            let _ = writeln!(text, "    {title:<22} {line}");
        }
        if let Some(status) = &bird.portscan {
            let _ = writeln!(text, "    {:<22} {status}", "Port scans");
        }
    }

    let _ = writeln!(
        text,
        "\n  Tokens     zone {}",
        colours.strong(&config.tokens.zone)
    );
    let channels = [
        ("Web", &console.token_http, config.tokens.http_port),
        ("DNS", &console.token_dns, config.tokens.dns_port),
    ];
    let others = console.token_others.iter().map(|(channel, state)| {
        let name = match channel {
            TokenChannel::Http => "Web over TLS",
            TokenChannel::Wireguard => "WireGuard",
            TokenChannel::Mysql => "MySQL",
            TokenChannel::Smtp => "Mail",
            _ => "Kubernetes",
        };
        (name, state, Some(0))
    });
    for (name, channel, wanted) in channels.into_iter().chain(others) {
        let line = match channel {
            _ if wanted.is_none() => "turned off".to_owned(),
            Ok(address) => format!(
                "{} {}",
                colours.good("listens"),
                SocketAddr::new(reachable(address.ip()), address.port())
            ),
            Err(problem) => format!("{}: {problem}", colours.bad("DOESN'T LISTEN")),
        };
        let _ = writeln!(text, "    {name:<22} {line}");
    }
    for state in &*console.token_certificates.borrow() {
        let line = certificate_line(state, config.tokens.acme.is_some(), colours);
        let _ = writeln!(text, "    {:<22} {line}", "");
    }
    if config.tokens.zone.ends_with(".localhost") {
        let _ = writeln!(
            text,
            "    Tokens of this zone work on this machine alone. For others, delegate a domain to it:\n    [tokens] zone = \"tokens.example.com\" in the configuration, then: coalmine tokens check-dns"
        );
    }

    if shift != 0 && shift_was_ours {
        let program = std::env::current_exe()
            .map_or("coalmine".to_owned(), |path| path.display().to_string());
        let _ = writeln!(
            text,
            "\n  {} all ports of decoys and tokens are higher by {shift}, since this user may not listen\n  below {}. For the real ones, run as root or: sudo setcap cap_net_bind_service=+ep {program}",
            colours.strong("Note:"),
            lowest_bindable()
        );
    } else if shift != 0 {
        let _ = writeln!(
            text,
            "\n  All ports of decoys and tokens are higher by {shift}, as asked for."
        );
    }
    let _ = write!(
        text,
        "\n  Try it:   coalmine poke --data {data}\n  Watch:    coalmine incidents --follow --data {data}\n  Stop:     Ctrl-C"
    );
    text
}

/// The lowest port this process may listen on (capabilities(7): `CAP_NET_BIND_SERVICE` is bit 10).
fn lowest_bindable() -> u16 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok())
        .unwrap_or(0);
    if effective & (1 << 10) != 0 {
        return 0;
    }
    fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start")
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(1024)
}

/// An address at which this machine reaches a listener on `address`.
fn local(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(v4) if v4.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(v6) if v6.is_unspecified() => std::net::Ipv6Addr::LOCALHOST.into(),
        other => other,
    }
}

/// An address at which others reach a listener on `address`: the one that packets to a far place
/// would leave from. Nothing is sent.
fn reachable(address: IpAddr) -> IpAddr {
    if !address.is_unspecified() {
        return address;
    }
    let far = if address.is_ipv4() {
        // RFC 5737: nobody's.
        ("0.0.0.0:0", "192.0.2.1:9")
    } else {
        // RFC 3849: nobody's.
        ("[::]:0", "[2001:db8::1]:9")
    };
    UdpSocket::bind(far.0)
        .and_then(|socket| {
            socket.connect(far.1)?;
            socket.local_addr()
        })
        .map_or_else(|_| local(address), |found| found.ip())
}

fn log_to_stderr() {
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_from_env("COALMINE_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    // Fails only where a test has set one already.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .try_init();
}

/// Copies the store of a folder, also while Coalmine runs on it.
///
/// # Errors
/// When there is no store, `to` exists already, or the disk fails.
pub fn backup(folder: &Folder, to: &Path) -> Result<()> {
    let file = folder.path().join("coalmine.db");
    if !file.exists() {
        bail!(
            "there is nothing to copy: {} isn't there; name the data folder with --data DIR",
            file.display()
        );
    }
    if to.exists() {
        bail!("{} is there already; name a new file", to.display());
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start the runtime")?;
    runtime.block_on(async {
        let store = coalmine_store::Store::open(&store_url(folder.path()))?;
        let copied = store.backup(to).await;
        store.close().await;
        copied
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn installation() -> Installation {
        Installation {
            tag: "4f2a".to_owned(),
            zone: "tokens-77aa.localhost".to_owned(),
        }
    }

    #[test]
    fn the_command_line_wins_over_the_file() {
        let options = Options {
            listen: Some([127, 0, 0, 3].into()),
            console: Some(SocketAddr::from(([127, 0, 0, 1], 9443))),
            port_shift: Some(20_000),
            config: None,
        };
        let (config, shift) = settle(&options, &installation()).unwrap();
        assert_eq!(config.console.listen.port(), 9443);
        assert_eq!(
            (config.birds[0].address, shift),
            ([127, 0, 0, 3].into(), 20_000)
        );
        assert_eq!(config.tokens.public_address, IpAddr::from([127, 0, 0, 3]));
    }

    #[test]
    fn a_shift_that_leads_beyond_the_last_port_is_refused() {
        let options = Options {
            port_shift: Some(60_000),
            ..Options::default()
        };
        let error = settle(&options, &installation()).unwrap_err().to_string();
        assert!(
            error.contains("tokens.http_port: port 8000 + 60000 is beyond 65535"),
            "{error}"
        );
    }

    #[test]
    fn listeners_on_every_address_are_reached_at_a_real_one() {
        assert_eq!(local([0, 0, 0, 0].into()), IpAddr::from([127, 0, 0, 1]));
        assert!(!reachable([0, 0, 0, 0].into()).is_unspecified());
        assert_eq!(
            reachable([127, 0, 0, 9].into()),
            IpAddr::from([127, 0, 0, 9])
        );
    }
}
