//! A sensor on a thread of its own.
//!
//! One thread is enough for decoys, and costs the least: no task moves between processors, and
//! nothing done for one connection wakes another thread.

use std::io;

use coalmine_bus::Publisher;
use tokio::runtime::Builder;
use tokio::sync::oneshot;

use crate::{PacketSocket, RunningBird, Sensor, SensorConfig, SensorError, io_error};

/// Stack of the thread: conversations are small state machines.
const STACK: usize = 2 * 1024 * 1024;

/// A sensor that runs until it's stopped.
#[derive(Debug)]
pub struct SensorThread {
    birds: Vec<RunningBird>,
    stop: oneshot::Sender<()>,
    ended: oneshot::Receiver<()>,
}

impl SensorThread {
    /// Starts `config` on a new thread; see [`Sensor::start`].
    ///
    /// # Errors
    /// When there can be no thread, and those of [`Sensor::start`].
    pub async fn start(
        config: SensorConfig,
        packets: Result<PacketSocket, String>,
        publisher: Publisher,
    ) -> Result<Self, SensorError> {
        let dir = config.dir.clone();
        let failed = |error| io_error("start a thread for the decoys", &dir, error);
        let mut builder = Builder::new_current_thread();
        builder.enable_all().thread_stack_size(STACK);
        let runtime = builder.build().map_err(failed)?;
        let (stop, stopped) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        let (report, started) = oneshot::channel();
        std::thread::Builder::new()
            .name("sensor".to_owned())
            .stack_size(STACK)
            .spawn(move || {
                runtime.block_on(async {
                    match Box::pin(Sensor::start(config, packets, publisher)).await {
                        Ok(sensor) => {
                            let _ = report.send(Ok(sensor.birds().to_vec()));
                            // An error means that nobody is left who could stop it.
                            let _ = stopped.await;
                            sensor.stop().await;
                        }
                        Err(error) => drop(report.send(Err(error))),
                    }
                });
                let _ = end.send(());
            })
            .map_err(failed)?;
        let birds = started
            .await
            .map_err(|_| failed(io::Error::other("it ended")))??;
        Ok(Self { birds, stop, ended })
    }

    /// The birds as they run.
    pub fn birds(&self) -> &[RunningBird] {
        &self.birds
    }

    /// Stops as [`Sensor::stop`] does.
    pub async fn stop(self) {
        let _ = self.stop.send(());
        let _ = self.ended.await;
    }
}
