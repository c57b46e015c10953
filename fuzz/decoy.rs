//! A libFuzzer target that holds made-up conversations with one decoy: the one that the environment
//! variable `FUZZ_DECOY` names. `cargo xtask fuzz` runs it for each.

#![no_main]
#![expect(
    clippy::expect_used,
    reason = "a target that can't start has nothing to say but that"
)]

use std::path::Path;
use std::sync::LazyLock;

use coalmine_core::DecoyKind;
use coalmine_core::decoy::{Poke, Step};
use coalmine_core::suite::{choices, converse};

/// The decoy under test.
static KIND: LazyLock<&'static DecoyKind> = LazyLock::new(|| {
    let id = std::env::var("FUZZ_DECOY").expect("FUZZ_DECOY names a decoy");
    let rooms = [
        coalmine_decoys_login::KINDS,
        coalmine_decoys_web::KINDS,
        coalmine_decoys_files::KINDS,
        coalmine_decoys_data::KINDS,
        coalmine_decoys_plant::KINDS,
    ];
    let kinds = rooms.into_iter().flatten().copied();
    kinds
        .into_iter()
        .find(|kind| kind.id == id)
        .expect("FUZZ_DECOY names a decoy of the registry")
});

libfuzzer_sys::fuzz_target!(
    init: if let Ok(folder) = std::env::var("FUZZ_SEEDS") {
        seed(Path::new(&folder));
    },
    |input: &[u8]| converse(*KIND, input)
);

/// Writes the decoy's own poke into `folder`, as conversations to start from.
fn seed(folder: &Path) {
    let Poke::Script(steps) = KIND.poke else {
        return;
    };
    let udp = KIND.transports == [coalmine_core::decoy::Transport::Udp];
    let mut conversation = Vec::new();
    for step in steps {
        if let Step::Send(said) = step {
            // Over TCP each message is led by its length, see `converse`.
            for part in said.chunks(255) {
                if !udp {
                    conversation.push(u8::try_from(part.len()).unwrap_or(255));
                }
                conversation.extend_from_slice(part);
            }
        }
    }
    let keep = |name: &str, conversation: &[u8]| {
        std::fs::write(folder.join(name), conversation).expect("seeds can be written");
    };
    keep("poke", &conversation);
    // The same under each of the kind's other choices.
    for choice in 1..=choices(*KIND).len().saturating_sub(1).min(255) {
        let choice = u8::try_from(choice).unwrap_or(u8::MAX);
        let chosen = [&[0, choice], conversation.as_slice()].concat();
        if !udp {
            keep(&format!("poke-{choice}"), &chosen);
        }
    }
}
