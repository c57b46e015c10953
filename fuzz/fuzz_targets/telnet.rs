#![no_main]
libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    coalmine_core::suite::converse(&coalmine_decoys_login::telnet::KIND, input);
});
