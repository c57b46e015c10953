//! A libFuzzer target that sends made-up mails, logins, handshakes and requests to the token channels.
//! `cargo xtask fuzz channels` runs it.

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
    |input: &[u8]| coalmine_console::channels::exercise(input)
);

/// What clients send, to start from; the first byte says to which channel.
fn seed(folder: &Path) {
    let mail = b"\0EHLO a\r\nMAIL FROM:<a@b> SIZE=10\r\nRCPT TO:<a@tokens.example.com>\r\nDATA\r\n\
        Subject: a\r\n b\r\nContent-Type: multipart/mixed; boundary=\"x\"\r\n\r\n--x\r\n\
        Content-Type: text/plain\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
        http://a.example/=3D\r\n--x\r\nContent-Transfer-Encoding: base64\r\n\
        Content-Disposition: attachment; filename=a.pdf\r\n\r\naGVsbG8=\r\n--x--\r\n.\r\nQUIT\r\n";
    let mut login = b"\x01\x08\x82\x18\0".to_vec();
    login.resize(33, 0);
    login.extend_from_slice(b"root\0\0shop\0mysql_native_password\0\x08\x03_os\x03Lin");
    let mut handshake = vec![2, 1];
    handshake.resize(149, 0);
    let request = b"\x03GET /api/v1/namespaces/default/pods?limit=500 HTTP/1.1\r\nHost: a:6443\r\n\
        User-Agent: kubectl/v1.31.0\r\nAuthorization: Bearer eyJhbGciOiJSUzI1NiJ9.e30.c2ln\r\n\r\n\
        HEAD http://a.example/4ylq9w1xk0d3v5m7s2b8n6c1z/a.gif HTTP/1.0\r\n\r\n";
    for (name, bytes) in [
        ("mail", mail.to_vec()),
        ("login", login),
        ("handshake", handshake),
        ("request", request.to_vec()),
    ] {
        std::fs::write(folder.join(name), bytes).expect("seeds can be written");
    }
}
