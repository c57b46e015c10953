//! The sensor: runs decoys, knows none by name. Owns accepting, limits, timeouts, TLS, the disk
//! spool, the uplink and heartbeats.

use std::net::IpAddr;
use std::path::PathBuf;

use coalmine_bus::Publisher;
use coalmine_core::{DecoyKind, NodeId};
use serde_json::{Map, Value};

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
#[derive(Debug)]
pub struct Sensor {
    birds: Vec<RunningBird>,
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
        cause: std::io::Error,
    },
    /// A decoy couldn't be built.
    #[error("bird {bird}: {fault}")]
    Decoy {
        /// Name of the bird.
        bird: String,
        /// What's wrong.
        fault: coalmine_core::settings::Fault,
    },
}

impl Sensor {
    /// Starts all birds: identities are made or found, services built, listeners bound. A service
    /// that can't be bound is reported in [`Sensor::birds`] and doesn't stop the others.
    ///
    /// # Errors
    /// Disk faults and decoys that refuse their settings.
    pub async fn start(config: SensorConfig, publisher: Publisher) -> Result<Self, SensorError> {
        let _ = (config, publisher);
        Ok(Self { birds: Vec::new() })
    }

    /// The birds as they run.
    pub fn birds(&self) -> &[RunningBird] {
        &self.birds
    }

    /// Stops: no new connections, open ones end, the spool is delivered for at most five seconds
    /// (what's left is delivered at the next start).
    pub async fn stop(self) {}
}
