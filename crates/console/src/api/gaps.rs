//! Which documented endpoints this version doesn't have.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;
use std::sync::LazyLock;

use super::table;

/// Every endpoint of the documented contract: method, path below `/api/v1/`, priority.
static DOCUMENTED: LazyLock<Vec<(String, String, u8)>> =
    LazyLock::new(|| serde_json::from_str(include_str!("documented.json")).unwrap_or_default());

static PATHS: LazyLock<HashSet<&'static str>> = LazyLock::new(|| {
    DOCUMENTED
        .iter()
        .map(|(_, path, _)| path.as_str())
        .collect()
});

/// Every endpoint of the documented contract: method, path below `/api/v1/`, priority.
pub fn documented() -> &'static [(String, String, u8)] {
    &DOCUMENTED
}

/// Whether the documented contract has this path.
pub fn is_documented(path: &str) -> bool {
    // Some documented paths end in a number that the caller chooses.
    PATHS.contains(path)
        || path
            .rsplit_once('/')
            .is_some_and(|(front, last)| last.parse::<u32>().is_ok() && PATHS.contains(front))
}

/// Whether this version answers a documented endpoint.
pub fn is_available(method: &str, path: &str) -> bool {
    table::find(path)
        .iter()
        .flat_map(|endpoint| endpoint.methods)
        .any(|verb| verb.name() == method)
}

/// The section of the known gaps about the API, as Markdown.
pub fn markdown() -> String {
    let missing: Vec<_> = documented()
        .iter()
        .filter(|(method, path, _)| !is_available(method, path))
        .collect();
    let mut groups: BTreeMap<u8, Vec<String>> = BTreeMap::new();
    for (method, path, tier) in &missing {
        groups
            .entry(*tier)
            .or_default()
            .push(format!("`{method} {path}`"));
    }
    let mut text = format!(
        "Of the {} endpoints that the Canary Console API documents, {} answer and {} don't. \
         Those answer status 404 and say so:\n",
        documented().len(),
        documented().len() - missing.len(),
        missing.len()
    );
    for (tier, endpoints) in groups {
        let what = match tier {
            1 => "Steering a remote sensor, and outside birds",
            2 => "Administration: users, notifications, ignore lists, breadcrumbs",
            3 => "Rarely used variants",
            _ => "Needing an outside service",
        };
        let _ = write!(text, "\n**{what}** ({})\n\n", endpoints.len());
        for endpoint in endpoints {
            let _ = writeln!(text, "- {endpoint}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_documented_endpoint_is_known_and_none_is_listed_twice() {
        assert!(documented().len() > 340);
        let unique: HashSet<_> = documented().iter().map(|(m, p, _)| (m, p)).collect();
        assert_eq!(unique.len(), documented().len());
        for (method, path, tier) in documented() {
            assert!(
                matches!(method.as_str(), "GET" | "POST" | "DELETE"),
                "{path}"
            );
            assert!((1..=4).contains(tier));
            assert!(is_documented(path));
        }
        assert!(!is_documented("nonsense"));
    }

    #[test]
    fn whatever_answers_is_documented_or_ours() {
        // Ours: what the page and tools need beyond the documented contract.
        const OURS: &[&str] = &[
            "canarytoken/gmail/download",
            "canarytoken/office365/download",
            "canarytokens/dns",
            "canarytokens/dns/arrivals",
            "canarytokens/dns/probe",
            "canarytokens/kinds",
            "flock/settings/portscan_ignore/add",
            "flock/settings/portscan_ignore/remove",
            "openapi.json",
            "settings/canarytokens/ignore",
            "settings/canarytokens/ignore/add",
            "settings/canarytokens/ignore/remove",
            "settings/portscan_ignore",
            "settings/portscan_ignore/add",
            "settings/portscan_ignore/remove",
        ];
        for endpoint in table::endpoints() {
            assert!(
                is_documented(endpoint.path) || OURS.contains(&endpoint.path),
                "{}",
                endpoint.path
            );
        }
    }

    #[test]
    fn the_page_of_known_gaps_is_current() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/known-gaps.md");
        let page = std::fs::read_to_string(path).unwrap();
        let (before, rest) = page.split_once("<!-- api: generated -->\n").unwrap();
        let (section, after) = rest.split_once("<!-- api: end -->").unwrap();
        let now = markdown();
        if std::env::var_os("COALMINE_BLESS").is_some() {
            let page = format!("{before}<!-- api: generated -->\n{now}<!-- api: end -->{after}");
            std::fs::write(path, page).unwrap();
        } else {
            assert_eq!(section, now, "run this test with COALMINE_BLESS=1");
        }
    }
}
