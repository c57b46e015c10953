//! When certificates are asked for: what is missing at once, what is there at two thirds of its life,
//! and after a failure later and later. Never more than a handful of times a day.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use coalmine_core::Timestamp;
use serde::{Deserialize, Serialize};

use super::acme::Authority;
use super::certificates::{Certificates, Entry};
use super::{AcmeSettings, CertificateOrigin};
use crate::channels::dns::Proofs;
use crate::channels::touch::{Keeper, Touches};
use crate::serve::ConsoleConfig;
use crate::{ConsoleError, setup};

/// How often what is due is looked for.
const LOOK: Duration = Duration::from_secs(2);
/// Most domains that certificates are asked for: the zone and as many as the API takes.
const MAX_DOMAINS: usize = 101;
/// Most orders for one domain within a day, also those that succeed and those before a restart.
const MAX_ORDERS_A_DAY: usize = 5;
/// Longest wait that an authority can ask for, in seconds.
const MAX_RETRY_AFTER: i64 = 7 * DAY;
/// Waits after the first failure in a row, the second and so on, in seconds.
const BACK_OFF: &[i64] = &[30 * 60, 2 * 3600, 6 * 3600, 12 * 3600, DAY];
const DAY: i64 = 86_400;

/// First and last moment of a certificate, where there is one.
type Life = Option<(Timestamp, Timestamp)>;

/// What is asked for, and what came of it.
#[derive(Debug)]
pub(super) struct Orders {
    authority: Authority,
    dir: PathBuf,
    zone: String,
    certificates: Arc<Certificates>,
    proofs: Arc<Proofs>,
    book: Book,
}

/// What is remembered of orders, by domain; all of it but the back-off outlives a restart.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Book(BTreeMap<String, Page>);

/// Times in seconds since 1970.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Page {
    /// When orders were made within the last day.
    orders: Vec<i64>,
    /// Before when the authority doesn't want to be asked.
    not_before: i64,
    /// Directory of the authority whose certificate is there; empty where that was not kept.
    #[serde(default)]
    issued_by: String,
    /// Failures in a row since the start, and when to try again.
    #[serde(skip)]
    failures: usize,
    #[serde(skip)]
    back_off: i64,
}

impl Page {
    /// When to order: at once without a certificate, at two thirds of the `life` of the one there
    /// is, and never before all that bounds us allows it.
    fn due(&self, life: Life) -> i64 {
        let wanted = match life {
            None => 0,
            Some((from, until)) => {
                let whole = until.secs().saturating_sub(from.secs());
                from.secs().saturating_add(whole / 3 * 2)
            }
        };
        let mut orders = self.orders.clone();
        orders.sort_unstable();
        let allowed = match orders.len().checked_sub(MAX_ORDERS_A_DAY) {
            Some(over) => orders.get(over).map_or(0, |at| at.saturating_add(DAY)),
            None => 0,
        };
        wanted.max(allowed).max(self.back_off).max(self.not_before)
    }

    /// The `life` of the certificate there is, unless it's another authority's: that one is shown
    /// until there is a new one, and counts as none.
    fn own(&self, life: Life, authority: &str) -> Life {
        life.filter(|_| self.issued_by.is_empty() || self.issued_by == authority)
    }

    fn ordered(&mut self, now: i64) {
        // Those of the future are of a clock that was wrong.
        self.orders
            .retain(|at| (now.saturating_sub(DAY)..=now).contains(at));
        self.orders.push(now);
    }

    fn failed(&mut self, now: i64, not_before: i64) {
        let wait = BACK_OFF.get(self.failures).or(BACK_OFF.last());
        self.failures = self.failures.saturating_add(1);
        self.back_off = now.saturating_add(wait.copied().unwrap_or(DAY));
        self.not_before = not_before.min(now.saturating_add(MAX_RETRY_AFTER));
    }

    fn succeeded(&mut self, authority: &str) {
        authority.clone_into(&mut self.issued_by);
        self.failures = 0;
        self.back_off = 0;
        self.not_before = 0;
    }
}

impl Orders {
    /// Takes up what is in the Console's folder: the account, certificates issued earlier, when they
    /// were ordered. Nothing is asked for yet.
    ///
    /// # Errors
    /// Where the folder can't be made or the certificates to trust can't be read.
    pub fn open(
        config: &ConsoleConfig,
        settings: &AcmeSettings,
        certificates: &Arc<Certificates>,
        proofs: Option<&Arc<Proofs>>,
    ) -> Result<Self, ConsoleError> {
        let dir = config.dir.join("https");
        std::fs::create_dir_all(&dir).map_err(|cause| ConsoleError::Io {
            doing: format!("create {}", dir.display()),
            cause,
        })?;
        let zone = config.zone.trim_end_matches('.').to_ascii_lowercase();
        let text = std::fs::read(dir.join("orders.json")).unwrap_or_default();
        let orders = Self {
            authority: Authority::new(settings, &dir)?,
            dir,
            zone,
            certificates: Arc::clone(certificates),
            proofs: proofs.map_or_else(Arc::default, Arc::clone),
            book: serde_json::from_slice(&text).unwrap_or_default(),
        };
        orders.take_up(&orders.zone);
        if proofs.is_none() {
            let problem = "the DNS channel doesn't listen, and over it alone can the authority see \
                           that the domain is ours";
            certificates.failed(&orders.zone, problem.to_owned());
        }
        Ok(orders)
    }

    /// Asks whenever something is due; ends never.
    pub async fn run<K: Keeper>(mut self, touches: Arc<Touches<K>>) {
        loop {
            for domain in self.domains(touches.domains().await) {
                if self.certificates.life(&domain).is_none() {
                    self.take_up(&domain);
                }
                let life = self.certificates.life(&domain);
                let page = self.book.0.entry(domain.clone()).or_default();
                let life = page.own(life, self.authority.directory());
                if page.due(life) <= crate::now().secs() {
                    self.order(&domain).await;
                }
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// The zone, and the domains of the owner's that can have a certificate.
    fn domains(&self, others: Vec<String>) -> Vec<String> {
        let mut domains = vec![self.zone.clone()];
        for domain in others {
            let domain = domain.trim_end_matches('.').to_ascii_lowercase();
            if is_domain(&domain) && !domains.contains(&domain) && domains.len() < MAX_DOMAINS {
                domains.push(domain);
            }
        }
        domains
    }

    /// Shows the certificate for `domain` that was issued before the start, if there is one.
    fn take_up(&self, domain: &str) {
        let (chain, key) = self.files(domain);
        if let Ok(entry) = Entry::read(&chain, &key, CertificateOrigin::Acme) {
            self.certificates.issued(domain, entry);
        }
    }

    async fn order(&mut self, domain: &str) {
        let page = self.book.0.entry(domain.to_owned()).or_default();
        page.ordered(crate::now().secs());
        // Before the order: a crash must not make us forget it.
        self.save();
        let (chain, key) = self.files(domain);
        let order = self.authority.order(domain, &self.proofs, (&chain, &key));
        let issued = Box::pin(order).await;
        let now = crate::now().secs();
        let page = self.book.0.entry(domain.to_owned()).or_default();
        match issued {
            Ok(entry) => {
                page.succeeded(self.authority.directory());
                tracing::info!(domain, "the HTTPS channel has a new certificate");
                self.certificates.issued(domain, entry);
            }
            Err(failed) => {
                page.failed(now, failed.not_before);
                let again = page.due(None).saturating_sub(now) / 60;
                tracing::warn!(
                    domain,
                    problem = failed.problem,
                    minutes_to_next_try = again,
                    "no certificate for the HTTPS channel was issued"
                );
                self.certificates.failed(domain, failed.problem);
            }
        }
        self.save();
    }

    fn files(&self, domain: &str) -> (PathBuf, PathBuf) {
        let file = |ending: &str| self.dir.join(format!("{domain}{ending}"));
        (file(".cert"), file(".key"))
    }

    fn save(&self) {
        let file = self.dir.join("orders.json");
        if let Err(error) = save(&file, &self.book) {
            tracing::warn!(error = %error, "orders of certificates couldn't be written down");
        }
    }
}

fn save(file: &Path, book: &Book) -> Result<(), ConsoleError> {
    let text = serde_json::to_vec(book).map_err(|e| ConsoleError::Secrets(e.to_string()))?;
    setup::write(file, &text)
}

/// Whether an authority may issue for it, and a file may be named like it.
fn is_domain(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    name.len() <= 200 && name.contains('.') && name.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    const US: &str = "https://acme.example/directory";

    fn life(from: i64, until: i64) -> Option<(Timestamp, Timestamp)> {
        Some((Timestamp::from_secs(from), Timestamp::from_secs(until)))
    }

    #[test]
    fn what_is_missing_is_due_at_once_and_what_is_there_at_two_thirds_of_its_life() {
        let page = Page::default();
        assert_eq!(page.due(None), 0);
        assert_eq!(page.due(life(1_000, 1_000 + 90 * DAY)), 1_000 + 60 * DAY);
        assert_eq!(page.due(life(0, 6 * DAY)), 4 * DAY);
        assert_eq!(page.due(life(50, 10)), 24, "nonsense is bounded elsewhere");
    }

    #[test]
    fn after_a_failure_it_takes_longer_and_longer() {
        let mut page = Page::default();
        let mut now = 0;
        let mut times = Vec::new();
        for _ in 0..8 {
            page.ordered(now);
            times.push(now);
            page.failed(now, 0);
            now = page.due(None);
        }
        let hours: Vec<i64> = times.iter().map(|at| at / 1_800).collect();
        // In half hours: 0, ½, 2½, 8½, 20½ hours, then a day each.
        assert_eq!(hours, [0, 1, 5, 17, 41, 89, 137, 185]);
        for from in &times {
            let day = *from..from + DAY;
            let within = times.iter().filter(|at| day.contains(*at)).count();
            assert!(within <= MAX_ORDERS_A_DAY, "{within} in a day");
        }
        page.succeeded(US);
        assert!(
            page.due(None) < now,
            "the next one is a first failure again"
        );
    }

    #[test]
    fn what_the_authority_asks_for_is_kept_within_reason() {
        let mut page = Page::default();
        page.failed(1_000, 1_000 + 3 * DAY);
        assert_eq!(page.due(None), 1_000 + 3 * DAY);
        page.failed(1_000, 1_000 + 365 * DAY);
        assert_eq!(page.due(None), 1_000 + 7 * DAY);
        page.failed(1_000, 0);
        assert_eq!(page.due(None), 1_000 + 6 * 3600, "the third in a row");
        assert_eq!(page.due(life(0, 90 * DAY)), 60 * DAY);
    }

    #[test]
    fn the_certificate_of_another_authority_counts_as_none() {
        let mut page = Page::default();
        let there = life(0, 90 * DAY);
        assert_eq!(page.own(there, US), there, "from before this was kept");
        page.succeeded("https://staging.example/directory");
        assert_eq!(page.own(there, US), None);
        page.succeeded(US);
        assert_eq!((page.own(there, US), page.own(None, US)), (there, None));
        let old = r#"{"t.example":{"orders":[5],"not_before":7}}"#;
        let book: Book = serde_json::from_str(old).unwrap();
        assert_eq!(book.0["t.example"].orders, [5]);
    }

    #[test]
    fn restarts_and_short_lives_do_not_make_us_hammer() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("orders.json");
        let mut book = Book::default();
        let page = book.0.entry("t.example".to_owned()).or_default();
        for at in [10, 20, 30, 40, 50] {
            assert!(page.due(life(0, 3)) <= at, "five may be made");
            page.ordered(at);
            page.succeeded(US);
        }
        save(&file, &book).unwrap();
        let mut book: Book = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        let page = book.0.get_mut("t.example").unwrap();
        assert_eq!(page.due(None), 10 + DAY, "the sixth a day after the first");
        page.ordered(10 + DAY);
        assert_eq!(page.due(None), 20 + DAY);
        page.ordered(5 * DAY);
        assert_eq!(page.orders, [5 * DAY], "what is over is forgotten");
    }

    #[test]
    fn only_domains_are_ordered() {
        for right in ["example.com", "a-b.example.co"] {
            assert!(is_domain(right), "{right}");
        }
        for wrong in [
            "",
            "localhost",
            "../etc.d",
            "a..b",
            ".a.b",
            "a_b.example",
            "a b.example",
        ] {
            assert!(!is_domain(wrong), "{wrong}");
        }
    }
}
