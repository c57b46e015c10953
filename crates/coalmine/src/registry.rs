//! Everything there is: every room's decoys, every token kind, every event kind.

use coalmine_console::Catalogue;
use coalmine_console::catalogue::DecoySettings;
use coalmine_core::{DecoyKind, EventKind, TokenKind};

/// The rooms of decoys, in the order they're shown.
const ROOMS: &[&[&DecoyKind]] = &[
    coalmine_decoys_files::KINDS,
    coalmine_decoys_login::KINDS,
    coalmine_decoys_web::KINDS,
    coalmine_decoys_data::KINDS,
    coalmine_decoys_plant::KINDS,
];

/// Every decoy there is.
pub fn decoys() -> Vec<&'static DecoyKind> {
    ROOMS.concat()
}

/// Every token kind there is.
pub fn tokens() -> &'static [&'static TokenKind] {
    coalmine_tokens::KINDS
}

/// Every event kind there is: the decoys', the tokens' and the Console's own, each once.
pub fn events() -> Vec<&'static EventKind> {
    let mut all: Vec<&'static EventKind> = Vec::new();
    let of_decoys = decoys().into_iter().flat_map(|decoy| decoy.events);
    for kind in of_decoys
        .copied()
        .chain(coalmine_sensor::SCAN_KINDS.iter().copied())
        .chain([&coalmine_tokens::TOKEN_EVENT])
        .chain(of_console())
    {
        if all.iter().all(|known| known.key != kind.key) {
            all.push(kind);
        }
    }
    all
}

fn of_console() -> Vec<&'static EventKind> {
    [
        coalmine_console::breadcrumbs::KINDS,
        coalmine_console::watchdog::KINDS,
        coalmine_console::sweep::KINDS,
    ]
    .concat()
}

/// What the Console is told of it all.
pub fn catalogue() -> Catalogue {
    Catalogue {
        events: events(),
        decoys: decoys()
            .into_iter()
            .map(|decoy| DecoySettings {
                id: decoy.id,
                title: decoy.title,
                doc: decoy.doc,
                transports: decoy.transports.iter().map(|t| t.name()).collect(),
                port: decoy.port,
                instances: decoy.instances,
                settings: (decoy.settings)(),
            })
            .collect(),
        tokens: tokens(),
    }
}
