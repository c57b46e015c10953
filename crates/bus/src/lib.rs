//! Sightings and reports from sensors to the engine.
//!
//! Delivery is at least once: [`Publisher::sightings`] returns when the Console has committed the
//! batch, and whoever gets an error sends the same batch again. *Invariant:* the bus keeps nothing.

use coalmine_core::{NodeId, Sighting, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

/// Messages that may wait for the engine before publishers wait too.
const MAX_WAITING: usize = 64;

/// What a sensor sends.
#[derive(Debug, Serialize, Deserialize)]
pub enum Message {
    /// Things that happened, oldest first.
    Sightings(Vec<Sighting>),
    /// A heartbeat: how a bird is.
    Report(BirdReport),
}

/// How a bird is: sent at start, on every change and every [`BirdReport::INTERVAL`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BirdReport {
    /// The bird.
    pub node_id: NodeId,
    /// Its name.
    pub name: String,
    /// What the operator says of its place.
    pub description: String,
    /// The address its services are reached at.
    pub address: String,
    /// Its personality, e.g. `linux-nas`.
    pub personality: String,
    /// Version of the sensor.
    pub version: String,
    /// By the sensor's clock.
    pub at: Timestamp,
    /// When the sensor started the bird.
    pub started: Timestamp,
    /// The documented settings object, defaults filled in.
    pub settings: serde_json::Map<String, serde_json::Value>,
    /// What it listens on, and what it couldn't.
    pub services: Vec<ServiceReport>,
}

impl BirdReport {
    /// Time between heartbeats.
    pub const INTERVAL: std::time::Duration = std::time::Duration::from_secs(30);
}

/// One service of a bird.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceReport {
    /// Kind of decoy, e.g. `ftp`.
    pub id: String,
    /// `tcp` or `udp`.
    pub transport: String,
    /// Port asked for.
    pub port: u16,
    /// Why it isn't listening, if it isn't.
    pub problem: Option<String>,
}

/// A message with the means to say that it's committed.
#[derive(Debug)]
pub struct Delivery {
    /// What was sent.
    pub message: Message,
    acknowledge: oneshot::Sender<()>,
}

impl Delivery {
    /// The message's effects are on disk. Dropping a delivery without this makes the sender retry.
    pub fn committed(self) {
        let _ = self.acknowledge.send(());
    }
}

/// The message wasn't committed; send it again.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the Console didn't commit the message")]
pub struct Undelivered;

/// The sensor's end.
#[derive(Clone, Debug)]
pub struct Publisher(mpsc::Sender<Delivery>);

/// The engine's end.
#[derive(Debug)]
pub struct Subscriber(mpsc::Receiver<Delivery>);

/// A bus inside one process.
pub fn in_process() -> (Publisher, Subscriber) {
    let (sender, receiver) = mpsc::channel(MAX_WAITING);
    (Publisher(sender), Subscriber(receiver))
}

impl Publisher {
    /// Sends `message` and waits until it's committed.
    ///
    /// # Errors
    /// [`Undelivered`] when it wasn't; sending it again is always right.
    pub async fn send(&self, message: Message) -> Result<(), Undelivered> {
        let (acknowledge, committed) = oneshot::channel();
        let delivery = Delivery {
            message,
            acknowledge,
        };
        self.0.send(delivery).await.map_err(|_| Undelivered)?;
        committed.await.map_err(|_| Undelivered)
    }
}

impl Subscriber {
    /// The next message; `None` when every publisher is gone.
    pub async fn next(&mut self) -> Option<Delivery> {
        self.0.recv().await
    }

    /// The next message if one is waiting.
    pub fn waiting(&mut self) -> Option<Delivery> {
        self.0.try_recv().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_batch_counts_as_sent_only_once_committed() {
        let (publisher, mut subscriber) = in_process();
        let sent = tokio::spawn(async move {
            let first = publisher.send(Message::Sightings(Vec::new())).await;
            let second = publisher.send(Message::Sightings(Vec::new())).await;
            (first.is_ok(), second.is_ok())
        });
        drop(subscriber.next().await.unwrap());
        subscriber.next().await.unwrap().committed();
        assert_eq!(sent.await.unwrap(), (false, true));
    }
}
