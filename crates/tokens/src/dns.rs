//! DNS: a host name nobody has a reason to resolve.
//!
//! Data may ride left of the token: `<base32>[.<base32>...].G<two digits>.<token>.<zone>`. The two
//! digits are the sender's choice and only keep resolvers from answering out of their caches.

use coalmine_core::event::{Field, Shape};
use coalmine_core::settings::Fault;
use coalmine_core::text;
use coalmine_core::token::{
    Answer, Artefact, Group, Hit, Mint, Reach, Token, TokenChannel, TokenKind, Trip,
};
use serde_json::{Map, Value, json};

use crate::files::labels;

/// The kind.
pub static KIND: TokenKind = TokenKind {
    id: "dns",
    title: "DNS",
    description: "DNS",
    doc: "A unique host name. Looking it up raises an incident, even where no connection follows \
          and even from networks that let nothing but DNS out.\n\
          Put it where an intruder's tools pick up names: an entry in a hosts or SSH configuration, \
          a UNC path, a database link, a server name in a script, a certificate's alternative name.\n\
          The incident's source is the resolver that asked, not the machine behind it. A script can \
          say more by putting data before the name: base32 labels, then G and two random digits, \
          e.g. NBSWY3DP.G42 before the host name; the incident shows the decoded text.\n\
          Programs that resolve every name they see, such as mail scanners and link checkers, trip \
          it too.",
    group: Group::Systems,
    trial: "Look up the name: `dig {hostname}`.",
    logtype: 16000,
    channels: &[TokenChannel::Dns],
    reach: Reach::Direct,
    asks: &[],
    event: &[Field {
        name: GENERIC_DATA,
        shape: Shape::String,
        optional: true,
        doc: "The data that rode in the name, decoded from base32; as sent where it is not base32.",
        sample: || json!("hello"),
    }],
    mint,
    trip,
};

const GENERIC_DATA: &str = "generic_data";

fn mint(_: &Mint<'_>) -> Result<Artefact, Vec<Fault>> {
    Ok(Artefact::default())
}

fn trip(_: &Token, hit: &Hit<'_>) -> Trip {
    let mut fields = Map::new();
    if let Hit::Dns(hit) = hit
        && let Some(data) = generic_data(hit.labels)
    {
        fields.insert(GENERIC_DATA.to_owned(), Value::String(text::cut(&data)));
    }
    Trip::alert(fields, Answer::Plain)
}

/// What the labels left of the token carry: `None` where they don't end in `G` and two digits.
fn generic_data(labels: &[String]) -> Option<String> {
    let (marker, data) = labels.split_last()?;
    let digits = marker.strip_prefix(['G', 'g'])?;
    if digits.len() != 2 || !digits.bytes().all(|b| b.is_ascii_digit()) || data.is_empty() {
        return None;
    }
    Some(match labels::decode(&data.concat()) {
        Some(bytes) => text::printable(&bytes),
        None => data.join("."),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::touched;

    fn data(labels: &[&str]) -> Option<String> {
        let labels: Vec<String> = labels.iter().map(|l| (*l).to_owned()).collect();
        let trip = touched(&KIND, &labels);
        assert_eq!(trip.answer, Answer::Plain);
        Some(trip.fields.get(GENERIC_DATA)?.as_str().unwrap().to_owned())
    }

    #[test]
    fn base32_labels_before_the_marker_are_decoded_in_any_case() {
        assert_eq!(data(&["NBSWY3DP", "G42"]).as_deref(), Some("hello"));
        assert_eq!(data(&["nbSWy3dp", "g07"]).as_deref(), Some("hello"));
        assert_eq!(data(&["NBSW", "Y3DP", "G00"]).as_deref(), Some("hello"));
        assert_eq!(data(&["MZXW6===", "G00"]).as_deref(), Some("foo"));
        assert_eq!(data(&["777Q", "G00"]).as_deref(), Some("\\xff\\xff"));
    }

    #[test]
    fn what_is_not_base32_stands_as_sent() {
        assert_eq!(data(&["user-1", "db", "G11"]).as_deref(), Some("user-1.db"));
        assert_eq!(data(&["A", "G11"]).as_deref(), Some("A"));
    }

    #[test]
    fn without_marker_or_data_there_is_no_generic_data() {
        assert_eq!(data(&[]), None);
        assert_eq!(data(&["www"]), None);
        assert_eq!(data(&["G11"]), None);
        assert_eq!(data(&["NBSWY3DP", "G1"]), None);
        assert_eq!(data(&["NBSWY3DP", "G1x"]), None);
    }
}
