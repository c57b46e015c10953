//! The sensor: runs decoys, knows none by name. Owns accepting, limits, timeouts, TLS, the disk
//! spool, the uplink and heartbeats.

mod house;
mod identity;
mod ring;
mod scans;
mod session;
mod spool;
mod stream;
mod tcp;
mod thread;
mod tls;
mod udp;
mod uplink;
mod wrapped;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use coalmine_bus::Publisher;
use coalmine_core::decoy::{Service, Transport};
use coalmine_core::settings::Fault;
use coalmine_core::{Bird, DecoyKind, Machine, NodeId, Subject};
use serde_json::{Map, Value};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

pub use coalmine_watch::{KINDS as SCAN_KINDS, PortscanSettings};
pub use scans::{PacketSocket, drop_capability};

use crate::house::House;
use crate::tcp::TcpService;
use crate::udp::{Rates, UdpService};

pub use thread::SensorThread;

/// At a stop, what's in the spool is delivered for so long; the rest waits for the next start.
const MAX_FAREWELL: Duration = Duration::from_secs(5);
/// Descriptors wanted: one a connection and some.
const WANTED_DESCRIPTORS: u64 = 65_536;

/// What a sensor runs.
#[derive(Clone, Debug)]
pub struct SensorConfig {
    /// The sensor's own folder: identities, keys, spool.
    pub dir: PathBuf,
    /// The birds, one or more; each name once.
    pub birds: Vec<BirdPlan>,
    /// Added to every port under which a decoy would listen.
    pub port_shift: u16,
    /// Program version, for reports.
    pub version: &'static str,
}

/// One bird to run.
#[derive(Clone, Debug)]
pub struct BirdPlan {
    /// Its name; its identity on disk goes by this name.
    pub name: String,
    /// Its operating system and its domain.
    pub machine: Machine,
    /// What the operator says of its place.
    pub description: String,
    /// Its personality, e.g. `linux-nas`.
    pub personality: String,
    /// The address its services listen on.
    pub address: IpAddr,
    /// The documented settings object, defaults filled in, for reports.
    pub settings: Map<String, Value>,
    /// What it offers.
    pub services: Vec<ServicePlan>,
    /// What counts as a port scan; `None` where nobody wants to know.
    pub portscan: Option<PortscanSettings>,
    /// Ports on its address that aren't the bird's own: touching them is no scan.
    pub exempt: Vec<u16>,
}

/// One service to run.
#[derive(Clone, Debug)]
pub struct ServicePlan {
    /// Its kind.
    pub kind: &'static DecoyKind,
    /// Name of the instance; empty where the kind has no instances.
    pub name: String,
    /// Port before the shift.
    pub port: u16,
    /// The kind's own settings, already checked.
    pub settings: Map<String, Value>,
    /// Certificate chain and private key in PEM, where the operator gave them.
    pub certificate: Option<(String, String)>,
}

/// A running sensor.
pub struct Sensor {
    birds: Vec<RunningBird>,
    stop: watch::Sender<bool>,
    listeners: JoinSet<()>,
    uplink: JoinHandle<()>,
    heart: JoinHandle<()>,
    spool: spool::Spool,
    writer: std::thread::JoinHandle<()>,
    house: Arc<House>,
    watching: scans::Watching,
}

impl std::fmt::Debug for Sensor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sensor")
            .field("birds", &self.birds)
            .finish_non_exhaustive()
    }
}

/// A bird as it runs.
#[derive(Clone, Debug)]
pub struct RunningBird {
    /// Its name.
    pub name: String,
    /// Its id.
    pub node_id: NodeId,
    /// Its address.
    pub address: IpAddr,
    /// What it listens on, and what it couldn't.
    pub services: Vec<RunningService>,
    /// How its port scans are seen, in words; `None` where nobody wants to know.
    pub portscan: Option<String>,
}

/// A service as it runs, one for each transport.
#[derive(Clone, Debug)]
pub struct RunningService {
    /// Kind of decoy, e.g. `ftp`.
    pub id: &'static str,
    /// Name of the instance.
    pub name: String,
    /// `tcp` or `udp`.
    pub transport: &'static str,
    /// The port it listens on, shift included.
    pub port: u16,
    /// Why it isn't listening and what to do about it, if it isn't.
    pub problem: Option<String>,
}

/// What keeps a sensor from starting.
#[derive(Debug, thiserror::Error)]
pub enum SensorError {
    /// A file of the sensor's failed.
    #[error("{doing}: {cause}")]
    Io {
        /// What was being done.
        doing: String,
        /// Why it failed.
        cause: io::Error,
    },
    /// A decoy couldn't be built.
    #[error("bird {bird}: {fault}")]
    Decoy {
        /// Name of the bird.
        bird: String,
        /// What's wrong.
        fault: Fault,
    },
}

impl Sensor {
    /// Starts all birds: identities are made or found, services built, listeners bound. A service
    /// that can't be bound is reported in [`Sensor::birds`] and doesn't stop the others. Scans are
    /// seen in `packets`, or, as far as that goes, in the decoys' connections.
    ///
    /// # Errors
    /// Disk faults and decoys that refuse their settings.
    pub async fn start(
        config: SensorConfig,
        packets: Result<PacketSocket, String>,
        publisher: Publisher,
    ) -> Result<Self, SensorError> {
        raise_descriptor_limit();
        let spool_dir = config.dir.join("spool");
        let (spool, tail, writer) = spool::Spool::open(&spool_dir)
            .map_err(|e| io_error("open the spool", &spool_dir, e))?;
        let seed = identity::random().map_err(|e| io_error("take random bytes", &config.dir, e))?;
        let (stop, stopping) = watch::channel(false);
        let house = Arc::new(House::new(spool.clone(), seed, stopping));
        let rates = Arc::new(Rates::new());
        let mut listeners = JoinSet::new();
        let mut birds = Vec::new();
        let mut reports = Vec::new();
        let mut scans = scans::Scans::new(packets);
        let started = house::now();
        for plan in &config.birds {
            let birds_dir = config.dir.join("birds");
            let bird = identity::bird(&birds_dir, &plan.name, plan.machine.clone(), started)
                .map_err(|e| io_error("read or make the identity of a bird", &birds_dir, e))?;
            let mut services = Vec::new();
            for service in &plan.services {
                let start = Start {
                    plan,
                    service,
                    bird: &bird,
                    port: service.port.saturating_add(config.port_shift),
                    house: &house,
                    rates: &rates,
                    contacts: plan
                        .portscan
                        .as_ref()
                        .and_then(|_| scans.contacts(bird.node_id, plan.address)),
                };
                services.extend(start.run(&mut listeners)?);
            }
            let mut report = uplink::report(&config, plan, &bird, &services, started);
            let mut portscan = None;
            if let Some(settings) = plan.portscan.clone() {
                let watched = scans::watched(bird.node_id, plan, settings, &services);
                report.services.push(scans.add(watched));
                portscan = uplink::tell_of_scans(&mut report, 0);
            }
            reports.push(report);
            birds.push(RunningBird {
                name: plan.name.clone(),
                node_id: bird.node_id,
                address: plan.address,
                services,
                portscan,
            });
        }
        let watching = scans
            .start(&house)
            .map_err(|e| io_error("start watching packets", &config.dir, e))?;
        let lost = Arc::clone(&watching.lost);
        let heart = uplink::beat(reports, publisher.clone(), Arc::clone(&house), lost);
        Ok(Self {
            birds,
            stop,
            listeners,
            uplink: tokio::spawn(uplink::run(tail, publisher)),
            heart: tokio::spawn(heart),
            spool,
            writer,
            house,
            watching,
        })
    }

    /// The birds as they run.
    pub fn birds(&self) -> &[RunningBird] {
        &self.birds
    }

    /// Replies that left before what they answer was on disk, because the disk stalled.
    pub fn late_replies(&self) -> u64 {
        self.house.late_replies()
    }

    /// Stops: no new connections, open ones end, the spool is delivered for at most five seconds
    /// (what's left is delivered at the next start).
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        while self.listeners.join_next().await.is_some() {}
        self.heart.abort();
        self.watching.stop().await;
        self.spool.close();
        // The writer closes the tail's view of the spool when it ends, and so the uplink.
        let _ = tokio::task::spawn_blocking(move || self.writer.join()).await;
        let mut uplink = self.uplink;
        if tokio::time::timeout(MAX_FAREWELL, &mut uplink)
            .await
            .is_err()
        {
            uplink.abort();
        }
    }
}

/// Everything about one service that is about to start.
struct Start<'a> {
    plan: &'a BirdPlan,
    service: &'a ServicePlan,
    bird: &'a Arc<Bird>,
    port: u16,
    house: &'a Arc<House>,
    rates: &'a Arc<Rates>,
    contacts: Option<scans::Contacts>,
}

impl Start<'_> {
    /// Builds and binds; one entry a transport.
    fn run(&self, listeners: &mut JoinSet<()>) -> Result<Vec<RunningService>, SensorError> {
        let kind = self.service.kind;
        let Service { mut tcp, mut udp } =
            (kind.build)(&self.service.settings, self.bird).map_err(|mut f| self.fault(f.pop()))?;
        let address = SocketAddr::new(self.plan.address, self.port);
        let subject = Subject::Bird(self.bird.node_id);
        let mut running = Vec::new();
        for &transport in kind.transports {
            let problem = match transport {
                Transport::Tcp => match (tcp.take(), tcp::bind(address)) {
                    (None, _) => Err("the decoy has no TCP part".to_owned()),
                    (_, Err(error)) => Err(remedy(address, &error)),
                    (Some(decoy), Ok(listener)) => {
                        let service = TcpService {
                            kind,
                            subject: subject.clone(),
                            decoy,
                            tls: self.tls()?,
                            upgrade: tls::Upgrade::new(self.bird),
                            contacts: self.contacts.clone(),
                        };
                        let house = Arc::clone(self.house);
                        listeners.spawn(tcp::run(listener, Arc::new(service), house));
                        Ok(())
                    }
                },
                Transport::Udp => match (udp.take(), udp::bind(address)) {
                    (None, _) => Err("the decoy has no UDP part".to_owned()),
                    (_, Err(error)) => Err(remedy(address, &error)),
                    (Some(decoy), Ok(bound)) => {
                        let service = UdpService {
                            subject: subject.clone(),
                            decoy,
                        };
                        let (rates, house) = (Arc::clone(self.rates), Arc::clone(self.house));
                        listeners.spawn(udp::run(bound, service, rates, house));
                        Ok(())
                    }
                },
            };
            running.push(RunningService {
                id: kind.id,
                name: self.service.name.clone(),
                transport: transport.name(),
                port: self.port,
                problem: problem.err(),
            });
        }
        Ok(running)
    }

    fn tls(&self) -> Result<Option<Arc<rustls::ServerConfig>>, SensorError> {
        let Some(tls) = self.service.kind.tls else {
            return Ok(None);
        };
        tls::config(
            self.bird,
            tls,
            self.service.certificate.as_ref(),
            house::now(),
        )
        .map(Some)
        .map_err(|problem| self.fault(Some(Fault::new("certificate", problem))))
    }

    fn fault(&self, fault: Option<Fault>) -> SensorError {
        SensorError::Decoy {
            bird: self.plan.name.clone(),
            fault: fault
                .unwrap_or_else(|| Fault::new("settings", "were refused"))
                .under(self.service.kind.id),
        }
    }
}

/// Why a port can't be had, and what to do about it.
fn remedy(address: SocketAddr, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            "{address} is taken by another program (see `ss -lntup`); stop it, or choose another port or address"
        ),
        io::ErrorKind::PermissionDenied => format!(
            "ports under 1024 need root or CAP_NET_BIND_SERVICE, so {address} can't be had; use --port-shift 10000"
        ),
        io::ErrorKind::AddrNotAvailable => {
            format!("{} is no address of this machine", address.ip())
        }
        _ => format!("{address}: {error}"),
    }
}

fn io_error(doing: &str, path: &Path, cause: io::Error) -> SensorError {
    SensorError::Io {
        doing: format!("can't {doing} ({})", path.display()),
        cause,
    }
}

/// A thousand connections need a thousand descriptors; most systems begin with 1024.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.unwrap_or(WANTED_DESCRIPTORS);
    if limit
        .current
        .is_some_and(|current| current < most.min(WANTED_DESCRIPTORS))
    {
        limit.current = Some(most.min(WANTED_DESCRIPTORS));
        if let Err(error) = setrlimit(Resource::Nofile, limit) {
            tracing::warn!(%error, "the limit of open files stays as it is");
        }
    }
}

#[cfg(test)]
mod tests;
