//! A libFuzzer target that shows made-up frames to the packet watcher. `cargo xtask fuzz packets`
//! runs it.

#![no_main]
#![expect(
    clippy::expect_used,
    reason = "a target that can't start has nothing to say but that"
)]

use std::collections::HashSet;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use coalmine_core::{NodeId, Timestamp};
use coalmine_watch::{Frame, PortscanSettings, Watch, Watched};

/// Ports that one report may list; a scan's are capped at a thousand.
const MAX_LISTED: usize = 1_000;

libfuzzer_sys::fuzz_target!(
    init: if let Ok(folder) = std::env::var("FUZZ_SEEDS") {
        seed(Path::new(&folder));
    },
    |input: &[u8]| watch(input)
);

/// Frames, each led by two bytes: its length, and direction, protocol and the time since the last.
fn watch(mut input: &[u8]) {
    let bird = Watched {
        node_id: NodeId::new([1; 8]),
        address: Ipv4Addr::UNSPECIFIED.into(),
        listening: HashSet::from([22, 80]),
        exempt: HashSet::from([8443]),
        settings: PortscanSettings::default(),
    };
    let mut watch = Watch::new(vec![bird]);
    let mut now = Timestamp::from_secs(1_760_000_000);
    let mut reports = Vec::new();
    while let Some(([length, how], rest)) = input.split_first_chunk() {
        let (bytes, after) = rest.split_at(usize::from(*length).min(rest.len()));
        input = after;
        let frame = Frame {
            ether_type: match how & 6 {
                0 => 0x0800,
                2 => 0x86dd,
                4 => 0x8100,
                _ => 0x88a8,
            },
            link: bytes.get(..14).unwrap_or(bytes),
            network: bytes,
            outgoing: how & 1 == 1,
        };
        now = now.plus(Duration::from_millis(u64::from(how >> 3).pow(3)));
        watch.frame(&frame, now, &mut reports);
        watch.tick(now, &mut reports);
        for report in reports.drain(..) {
            let fields = report.seen.fields.get();
            assert!(fields.matches(',').count() < MAX_LISTED, "{fields}");
        }
    }
}

/// The captures of the watcher's tests, as conversations to start from.
fn seed(folder: &Path) {
    let captures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/watch/tests/captures");
    let files = std::fs::read_dir(captures).expect("the captures are there");
    let is_capture = |file: &std::fs::DirEntry| file.path().extension() == Some("pcap".as_ref());
    for file in files.flatten().filter(is_capture) {
        let bytes = std::fs::read(file.path()).expect("a capture can be read");
        let mut conversation = Vec::new();
        // After the file's head each frame comes with 16 bytes before it: the third word is its length.
        let mut rest = bytes.get(24..).unwrap_or_default();
        while let Some((head, after)) = rest.split_first_chunk::<16>() {
            let [_, _, _, _, _, _, _, _, length, _, _, _, _, _, _, _] = *head;
            let (frame, next) = after.split_at(usize::from(length).min(after.len()));
            rest = next;
            let Some((link, network)) = frame.split_first_chunk::<14>() else {
                break;
            };
            let v6 = if link.ends_with(&[0x86, 0xdd]) { 2 } else { 0 };
            let outgoing = u8::from(link.get(6..12) == Some(&[2, 0x77, 0, 0, 0, 0xb]));
            conversation.push(u8::try_from(network.len()).unwrap_or(255));
            conversation.push(v6 | outgoing | 8);
            conversation.extend_from_slice(network);
        }
        std::fs::write(folder.join(file.file_name()), conversation).expect("seeds can be written");
    }
}
