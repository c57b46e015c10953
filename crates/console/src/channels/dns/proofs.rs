//! What certificate authorities ask the zone for: who may issue (RFC 8659), and proofs that a domain
//! is ours (RFC 8555 section 8.4). Nobody's touch.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{PoisonError, RwLock};

use hickory_proto::rr::rdata::{CAA, TXT};
use hickory_proto::rr::{Name, RData};

/// First label of the name at which a domain's proofs stand.
const LABEL: &[u8] = b"_acme-challenge";
/// Most proofs of one name; an order for a domain and all names below it needs two.
const MAX_PROOFS: usize = 8;

/// Proofs that are wanted now, and the one authority that may issue.
#[derive(Debug, Default)]
pub(crate) struct Proofs {
    /// Its domain, e.g. `letsencrypt.org`; `None` leaves it to everybody.
    issuer: Option<Name>,
    /// By domain, in lower case and without the last dot.
    pending: RwLock<BTreeMap<String, BTreeSet<String>>>,
}

impl Proofs {
    /// None yet; `issuer` alone may issue, where that is one.
    pub fn of(issuer: Option<&str>) -> Self {
        Self {
            issuer: issuer.and_then(|name| Name::from_ascii(name).ok()),
            pending: RwLock::default(),
        }
    }

    /// Shows `proof` for `domain` from now on, beside those that it shows already.
    pub fn show(&self, domain: &str, proof: String) {
        let mut pending = self.pending.write().unwrap_or_else(PoisonError::into_inner);
        let proofs = pending.entry(key(domain)).or_default();
        if proofs.len() < MAX_PROOFS {
            proofs.insert(proof);
        }
    }

    /// Shows none for `domain` any longer.
    pub fn clear(&self, domain: &str) {
        let mut pending = self.pending.write().unwrap_or_else(PoisonError::into_inner);
        pending.remove(&key(domain));
    }

    /// The TXT records of `name`, which stands `left` labels left of a zone of ours.
    pub(super) fn texts(&self, name: &Name, left: usize) -> Vec<RData> {
        let first = name.iter().next().filter(|_| left == 1);
        if !first.is_some_and(|label| label.eq_ignore_ascii_case(LABEL)) {
            return Vec::new();
        }
        let domain = key(&name.base_name().to_ascii());
        let pending = self.pending.read().unwrap_or_else(PoisonError::into_inner);
        let proofs = pending.get(&domain).into_iter().flatten();
        proofs
            .map(|proof| RData::TXT(TXT::new(vec![proof.clone()])))
            .collect()
    }

    /// The CAA record of a zone.
    pub(super) fn issuer(&self) -> Option<RData> {
        let issuer = self.issuer.clone()?;
        Some(RData::CAA(CAA::new_issue(false, Some(issuer), Vec::new())))
    }
}

fn key(domain: &str) -> String {
    domain.trim_end_matches('.').to_ascii_lowercase()
}
