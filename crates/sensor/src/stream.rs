//! The driver of [`Streams`](coalmine_core::decoy::Streams): a library talks, we keep the limits.

use std::sync::Arc;

use coalmine_core::decoy::{BoxFuture, Context, SeeEvents, Seen, Stream, Streams};
use coalmine_core::{Endpoint, Subject};
use tokio::time::timeout;

use crate::house::{House, now};
use crate::tcp::TcpService;

/// Talks until the library is done or the total time is over.
pub(crate) async fn run(
    stream: impl Stream + 'static,
    streams: &dyn Streams,
    context: Context,
    service: &TcpService,
    house: &Arc<House>,
) {
    let sink = Arc::new(Report {
        subject: service.subject.clone(),
        ends: (context.peer.into(), context.local.into()),
        house: Arc::clone(house),
    });
    let conversation = streams.serve(context, Box::new(stream), sink);
    let _ = timeout(service.kind.limits.total, conversation).await;
}

struct Report {
    subject: Subject,
    ends: (Endpoint, Endpoint),
    house: Arc<House>,
}

impl SeeEvents for Report {
    fn see(&self, seen: Seen) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            match self.house.see(vec![seen], now(), &self.subject, self.ends) {
                Ok(Some(ticket)) => self.house.on_disk(ticket).await,
                Ok(None) => {}
                // Without a place for the sighting there is no reply: the library waits here until
                // the driver's limit ends the connection.
                Err(_) => std::future::pending().await,
            }
        })
    }
}
