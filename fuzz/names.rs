//! A libFuzzer target that asks the DNS channel for made-up names and tells every kind of token of
//! them. `cargo xtask fuzz names` runs it.

#![no_main]
#![expect(
    clippy::expect_used,
    reason = "a target that can't start has nothing to say but that"
)]

use std::path::Path;

libfuzzer_sys::fuzz_target!(
    init: if let Ok(folder) = std::env::var("FUZZ_SEEDS") {
        seed(Path::new(&folder));
    },
    |input: &[u8]| coalmine_console::channels::exercise_names(input, coalmine_tokens::KINDS)
);

/// What the kinds' senders ask for, to start from, and a whole query; the first byte is the type.
fn seed(folder: &Path) {
    for (name, bytes) in [
        ("data", &b"\x01NBSW.Y3DP.G42"[..]),
        ("folder", b"\x1cj.doe.WS-042.CORP.INI"),
        ("macro", b"\x01uNJSG6ZI.owin.i10-0-0-5.MM.42"),
        ("command", b"\x41cWS-042.UN.ujdoe.CMD.k3v9x2qa"),
        ("login", b"\x01i10-0-0-5.wWS-042.usvc.dDC01.r184467.ADL"),
        ("sql", b"\x01434F52505C6A646F65.43"),
        (
            "query",
            b"\0\x12\x34\x01\0\0\x01\0\0\0\0\0\x01\x194ylq9w1xk0d3v5m7s2b8n6c1z\x06tokens\
              \x07example\x03com\0\0\x01\0\x01\0\0\x29\x10\0\0\0\0\0\0\0",
        ),
    ] {
        std::fs::write(folder.join(name), bytes).expect("seeds can be written");
    }
}
