//! What an incident says in one sentence, and what to do about it. A small map by event kind; a
//! kind that isn't in it still reads well, from its title.

use coalmine_core::Subject;
use coalmine_store::incidents::Incident;

/// A row's sentence: who, what they did, to what.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Sentence {
    /// The source's address; empty where an incident has none. Captured text.
    pub source: String,
    /// What it did, e.g. `tried 312 SSH logins on`. Our words.
    pub did: String,
    /// The bird's name or the token's reminder. Somebody's text.
    pub place: String,
}

/// The sentence of an incident.
pub fn sentence(incident: &Incident) -> Sentence {
    let source = if incident.src.ip.is_unspecified() {
        String::new()
    } else {
        incident.src.ip.to_string()
    };
    let did = match phrase(&incident.kind) {
        Some(phrase) if incident.events_count == 1 => phrase.one.to_owned(),
        Some(phrase) => phrase
            .many
            .replace("{n}", &incident.events_count.to_string()),
        None if incident.events_count == 1 => format!("caused “{}” on", incident.title),
        None => format!(
            "caused “{}” {} times on",
            incident.title, incident.events_count
        ),
    };
    let place = match &incident.subject {
        Subject::Bird(id) if incident.name.is_empty() => id.to_string(),
        Subject::Bird(_) => incident.name.clone(),
        Subject::Token(id) if incident.memo.is_empty() => id.to_string(),
        Subject::Token(_) => incident.memo.clone(),
        Subject::Console => "the Console".to_owned(),
    };
    Sentence { source, did, place }
}

/// What the kind usually means and what to do next, three lines.
pub fn advice(kind: &str) -> [&'static str; 3] {
    phrase(kind).map_or(FALLBACK, |phrase| phrase.advice)
}

struct Phrase {
    kinds: &'static [&'static str],
    one: &'static str,
    many: &'static str,
    advice: [&'static str; 3],
}

fn phrase(kind: &str) -> Option<&'static Phrase> {
    PHRASES.iter().find(|phrase| phrase.kinds.contains(&kind))
}

const FALLBACK: [&str; 3] = [
    "Nobody has a reason to use this service: whoever did is lost, curious or an intruder.",
    "Find the machine behind the source address and ask its owner whether they know of it.",
    "If nobody does, cut the machine off from the network and look for what else it touched.",
];

const LOGIN: [&str; 3] = [
    "Somebody tries names and passwords on a machine that nobody uses: a guessing tool, or credentials stolen elsewhere.",
    "Look at what was tried. If one is a real account of yours, change its password now and see where else it was used.",
    "Find the machine behind the source address. If it is yours, treat it as taken over: cut it off, keep it running, examine it.",
];

const SCAN: [&str; 3] = [
    "Somebody maps the network to see what answers: usually the first step after getting in, or your own scanner.",
    "Check whether a scanner of yours has this address. If so, add it to the ignore list.",
    "If not, find out who is signed in at the source machine, and look for logins from it on its neighbours.",
];

const PHRASES: &[Phrase] = &[
    Phrase {
        kinds: &["sshlogin"],
        one: "tried an SSH login on",
        many: "tried {n} SSH logins on",
        advice: LOGIN,
    },
    Phrase {
        kinds: &["sshkeybreadcrumb"],
        one: "used a planted SSH key on",
        many: "used a planted SSH key {n} times on",
        advice: [
            "The key was placed as bait: whoever uses it has read the file it lies in.",
            "The reminder says on which machine it was placed. That machine has been searched by an intruder.",
            "Cut that machine and the source off, and change every credential stored beside the key.",
        ],
    },
    Phrase {
        kinds: &["telnetlogin"],
        one: "tried a Telnet login on",
        many: "tried {n} Telnet logins on",
        advice: LOGIN,
    },
    Phrase {
        kinds: &["ftplogin"],
        one: "tried an FTP login on",
        many: "tried {n} FTP logins on",
        advice: LOGIN,
    },
    Phrase {
        kinds: &["rdplogin"],
        one: "tried a remote desktop login on",
        many: "tried {n} remote desktop logins on",
        advice: LOGIN,
    },
    Phrase {
        kinds: &["vnclogin"],
        one: "tried a VNC login on",
        many: "tried {n} VNC logins on",
        advice: LOGIN,
    },
    Phrase {
        kinds: &["winrmlogin"],
        one: "tried a WinRM login on",
        many: "tried {n} WinRM logins on",
        advice: LOGIN,
    },
    Phrase {
        kinds: &["tn3270login"],
        one: "tried a mainframe login on",
        many: "tried {n} mainframe logins on",
        advice: LOGIN,
    },
    Phrase {
        kinds: &["ldapbind"],
        one: "tried an LDAP bind on",
        many: "tried {n} LDAP binds on",
        advice: LOGIN,
    },
    Phrase {
        kinds: &["mysqllogin"],
        one: "tried a MySQL login on",
        many: "tried {n} MySQL logins on",
        advice: [
            "Somebody looks for a database: by guessing, or with a password read from an application's configuration.",
            "The hash below can be cracked to learn which password was used; if it is one of yours, you know what leaked.",
            "Find the source machine; if an application runs there, its configuration has probably been read.",
        ],
    },
    Phrase {
        kinds: &["mssqllogin"],
        one: "tried an SQL Server login on",
        many: "tried {n} SQL Server logins on",
        advice: LOGIN,
    },
    Phrase {
        kinds: &["mongo"],
        one: "tried a MongoDB login on",
        many: "tried {n} MongoDB logins on",
        advice: LOGIN,
    },
    Phrase {
        kinds: &["redis"],
        one: "sent a Redis command to",
        many: "sent {n} Redis commands to",
        advice: [
            "Open Redis servers are robbed and used to take over the machine; somebody tries just that.",
            "Read the commands below: CONFIG, SLAVEOF or MODULE mean an attempt to run code.",
            "Check that no real Redis of yours answers without a password, then find the source machine.",
        ],
    },
    Phrase {
        kinds: &["httplogin"],
        one: "tried a web login on",
        many: "tried {n} web logins on",
        advice: LOGIN,
    },
    Phrase {
        kinds: &["httpload", "httpapi", "httpposterror"],
        one: "asked for a web page on",
        many: "asked for {n} web pages on",
        advice: [
            "Somebody looked at a web page that is linked from nowhere: by curiosity, a crawler, or in search of a way in.",
            "Read the paths below. Paths of programs that you do not run mean a tool that tries known holes.",
            "If the source is inside your network, ask its owner; from outside, see that real servers are patched.",
        ],
    },
    Phrase {
        kinds: &["httpscan"],
        one: "searched the web server of",
        many: "searched {n} paths on the web server of",
        advice: SCAN,
    },
    Phrase {
        kinds: &["httpproxy"],
        one: "sent a proxy request to",
        many: "sent {n} proxy requests to",
        advice: [
            "Somebody looks for a way out of the network, or into parts that it cannot reach itself.",
            "The address that was asked for says what they are after. Nothing was forwarded.",
            "See whether the source reached the same target another way.",
        ],
    },
    Phrase {
        kinds: &["smbfileopen"],
        one: "used the file share of",
        many: "made {n} requests to the file share of",
        advice: [
            "Somebody looks through file shares: a person in search of secrets, or malware about to encrypt.",
            "The file names below tell what interests them; the account tells whose credentials they have.",
            "If many files went by in seconds, suspect ransomware: cut the source off first, ask afterwards.",
        ],
    },
    Phrase {
        kinds: &["tftp"],
        one: "asked by TFTP for a file on",
        many: "asked {n} times by TFTP for files on",
        advice: [
            "TFTP is used by telephones and network gear at start, and by intruders who want their configuration.",
            "If the file name is a switch's or telephone's configuration and the source is no such device, it is an intruder.",
            "Find the source machine, and see whether it asked real TFTP servers too.",
        ],
    },
    Phrase {
        kinds: &["gitclone"],
        one: "tried to clone a Git repository from",
        many: "tried {n} times to clone Git repositories from",
        advice: [
            "Somebody wants source code, usually for the passwords in it.",
            "The name of the repository tells whether they guess or have read it somewhere.",
            "See whether the source cloned real repositories, and change secrets that lie in them.",
        ],
    },
    Phrase {
        kinds: &["ntpmonlist"],
        one: "asked for the NTP client list of",
        many: "asked {n} times for the NTP client list of",
        advice: [
            "The request is only used to find servers that amplify floods, or to list a network's machines.",
            "The source address may be forged: it can be the victim, not the attacker.",
            "Nothing was amplified. Check that your real time servers refuse the same request.",
        ],
    },
    Phrase {
        kinds: &["snmp"],
        one: "sent an SNMP request to",
        many: "sent {n} SNMP requests to",
        advice: [
            "Somebody guesses community strings to read or change network devices.",
            "If the string below is one of yours, it is known: change it on every device.",
            "A monitoring system of yours that sweeps the network does this too; if so, ignore its address.",
        ],
    },
    Phrase {
        kinds: &["sip"],
        one: "sent a SIP request to",
        many: "sent {n} SIP requests to",
        advice: [
            "Somebody looks for telephone systems, to make calls at your cost or to listen.",
            "From outside it is the usual noise of the Internet; from inside it is not.",
            "Check that your real telephone system refuses unknown callers, then find the source.",
        ],
    },
    Phrase {
        kinds: &["modbus"],
        one: "sent a Modbus request to",
        many: "sent {n} Modbus requests to",
        advice: [
            "Somebody speaks to industrial controllers. Reading is exploration; writing can move machines.",
            "Tell the people who run the plant now, and ask whether they are at work on it.",
            "If not, separate the plant's network from the source before anything else.",
        ],
    },
    Phrase {
        kinds: &["tcpbanner"],
        one: "talked to the custom service of",
        many: "talked {n} times to the custom service of",
        advice: FALLBACK,
    },
    Phrase {
        kinds: &["hostportscan"],
        one: "scanned the ports of",
        many: "scanned the ports of",
        advice: SCAN,
    },
    Phrase {
        kinds: &["consolidatednetworkportscan"],
        one: "scanned several birds, among them",
        many: "scanned several birds in {n} events, among them",
        advice: SCAN,
    },
    Phrase {
        kinds: &["nmaposscan", "nmapnullscan", "nmapxmasscan", "nmapfinscan"],
        one: "probed with nmap",
        many: "probed {n} times with nmap",
        advice: SCAN,
    },
    Phrase {
        kinds: &["honeypotscanner"],
        one: "checked for a decoy on",
        many: "checked {n} times for a decoy on",
        advice: [
            "Only tools that unmask decoys send this: the intruder expects them and is careful.",
            "Assume that real machines are being worked on at the same time, by other ways.",
            "Look at everything that the source address did in the last days, on all machines.",
        ],
    },
    Phrase {
        kinds: &["canarytoken"],
        one: "touched the token",
        many: "touched the token {n} times:",
        advice: [
            "Somebody opened, resolved or used the bait. Read the reminder: whoever could read that place did.",
            "A web address that is opened at once by a mail filter or chat preview is a false alarm; the user agent below shows it.",
            "Else find out who has access to that place, and change the secrets that lie beside the bait.",
        ],
    },
    Phrase {
        kinds: &["devicedied"],
        one: "Nothing is heard from",
        many: "Nothing is heard from",
        advice: [
            "The bird has stopped reporting: switched off, cut off, or put out of action by an intruder.",
            "See whether the machine runs and reaches the Console. If others nearby are silent too, it is the network.",
            "What it saw meanwhile is kept on its disk and arrives when it is back.",
        ],
    },
    Phrase {
        kinds: &["devicereconnected"],
        one: "Heard again:",
        many: "Heard again:",
        advice: [
            "The bird reports again.",
            "If nobody restarted it or repaired the network, ask why it was away.",
            "Look for incidents of just before it fell silent.",
        ],
    },
    Phrase {
        kinds: &[
            "consolesettings",
            "devicesettings",
            "flocksettings",
            "settingsrollback",
        ],
        one: "changed settings of",
        many: "changed settings {n} times of",
        advice: [
            "Settings decide what is noticed and who is told.",
            "If you or a colleague did it, acknowledge. The audit trail names the account.",
            "If nobody did, change the Console's passwords and keys, and put the settings back.",
        ],
    },
    Phrase {
        kinds: &["localtampering"],
        one: "Tampering was seen on",
        many: "Tampering was seen {n} times on",
        advice: [
            "Somebody works on the bird itself: its machine has been entered.",
            "Do not trust what it reports from now on; keep it running for examination.",
            "Install it anew elsewhere, with new keys.",
        ],
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_kind_stands_twice_and_every_count_is_said() {
        let mut seen = std::collections::BTreeSet::new();
        for phrase in PHRASES {
            for kind in phrase.kinds {
                assert!(seen.insert(kind), "{kind} stands twice");
            }
            assert!(phrase.advice.iter().all(|line| line.ends_with('.')));
        }
    }

    #[test]
    fn a_kind_nobody_wrote_about_still_gets_advice() {
        assert_eq!(advice("somethingnew"), FALLBACK);
        assert_ne!(advice("sshlogin"), FALLBACK);
    }
}
