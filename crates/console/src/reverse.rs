//! Names of sources from the reverse DNS.
//!
//! *Invariant:* an incident never waits for a name. This task follows the update counter, looks
//! names up on threads of its own, and writes them beside incidents that are long stored.

use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use lru::LruCache;
use tokio::sync::Semaphore;

use crate::Shared;

/// Look-ups at once. One that hangs in the resolver keeps its place until the resolver gives up.
const MAX_AT_ONCE: usize = 4;

/// Names remembered, also missing ones.
const MAX_NAMES: NonZeroUsize = NonZeroUsize::new(1024).expect("not zero");

/// Incidents looked at in one round.
const MAX_ROUND: usize = 256;

/// Longest name taken from a resolver.
const MAX_NAME: usize = 255;

/// How long a look-up may take before the source counts as nameless.
const GIVE_UP: Duration = Duration::from_secs(5);

/// How long a name or its absence is remembered.
const REMEMBER: Duration = Duration::from_secs(3600);

/// Time between two rounds at least.
const ROUND: Duration = Duration::from_millis(500);

/// A way to find the name of an address; blocks.
pub type Resolve = fn(IpAddr) -> Option<String>;

/// Follows the update counter until the store is closed.
pub async fn run(console: Shared) {
    follow(console, system).await;
}

/// [`run`] with another resolver.
pub async fn follow(console: Shared, resolve: Resolve) {
    let mut changes = console.changes.subscribe();
    let names = Arc::new(Names::new(resolve));
    let mut upto = *changes.borrow_and_update();
    while changes.changed().await.is_ok() {
        if !round(&console, &names, &mut upto).await {
            return;
        }
        tokio::time::sleep(ROUND).await;
    }
}

/// Looks at what has changed after `upto`; whether to go on.
async fn round(console: &Shared, names: &Arc<Names>, upto: &mut i64) -> bool {
    let incidents = console.store.incidents();
    let wanted = match console.store.settings().console().await {
        Ok(settings) => settings.reverse_lookups && console.config.reverse_lookups,
        Err(coalmine_store::StoreError::Closed) => return false,
        Err(_) => return true,
    };
    loop {
        let (sources, next) = match incidents.unnamed_sources(*upto, MAX_ROUND).await {
            Ok(found) => found,
            Err(coalmine_store::StoreError::Closed) => return false,
            // The next change tries again.
            Err(_) => return true,
        };
        if next == *upto {
            return true;
        }
        *upto = next;
        for source in sources {
            if wanted && is_worth(source) {
                names.clone().name(console.clone(), source).await;
            }
        }
    }
}

/// Names found so far, and the means to find more.
struct Names {
    known: Mutex<LruCache<IpAddr, (Instant, Known)>>,
    places: Arc<Semaphore>,
    resolve: Resolve,
}

/// What is known of an address.
#[derive(Clone)]
enum Known {
    /// Being looked up.
    Asked,
    /// Its name, if it has one.
    Name(Option<String>),
}

impl Names {
    fn new(resolve: Resolve) -> Self {
        Self {
            known: Mutex::new(LruCache::new(MAX_NAMES)),
            places: Arc::new(Semaphore::new(MAX_AT_ONCE)),
            resolve,
        }
    }

    /// Has the name of `source` written beside its incidents. Waits while all places are taken: the
    /// incidents still to be looked at wait in the store, so nothing grows meanwhile.
    async fn name(self: Arc<Self>, console: Shared, source: IpAddr) {
        let known = self.lock().get(&source).cloned();
        if let Some((since, known)) = known {
            match known {
                Known::Name(name) if since.elapsed() < REMEMBER => {
                    if let Some(name) = name {
                        tokio::spawn(async move { write(&console, source, &name).await });
                    }
                    return;
                }
                Known::Asked => return,
                Known::Name(_) => {}
            }
        }
        let Ok(place) = self.places.clone().acquire_owned().await else {
            return;
        };
        self.remember(source, Known::Asked);
        let resolve = self.resolve;
        tokio::spawn(async move {
            let look_up = tokio::task::spawn_blocking(move || {
                let name = resolve(source);
                drop(place);
                name
            });
            let name = match tokio::time::timeout(GIVE_UP, look_up).await {
                Ok(Ok(name)) => name.filter(|name| is_name(name)),
                Ok(Err(_)) | Err(_) => None,
            };
            self.remember(source, Known::Name(name.clone()));
            if let Some(name) = name {
                write(&console, source, &name).await;
            }
        });
    }

    fn remember(&self, source: IpAddr, known: Known) {
        self.lock().put(source, (Instant::now(), known));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, LruCache<IpAddr, (Instant, Known)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn write(console: &Shared, source: IpAddr, name: &str) {
    if let Err(error) = console.store.incidents().set_reverse(source, name).await {
        tracing::debug!(%error, "a source's name isn't stored");
    }
}

/// The system's resolver (getnameinfo). An address without a name gives itself.
fn system(source: IpAddr) -> Option<String> {
    dns_lookup::lookup_addr(&source)
        .ok()
        .filter(|name| name.parse::<IpAddr>().is_err())
}

/// Nobody asks for the names of addresses that can't have one.
fn is_worth(source: IpAddr) -> bool {
    !source.is_unspecified() && !source.is_multicast()
}

/// Whoever owns the address also writes its name: only what can be a host name is taken.
fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= MAX_NAME
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

#[cfg(test)]
mod tests;
