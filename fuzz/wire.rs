//! A libFuzzer target that hands made-up tokens to the codecs of `crates/wire`. `cargo xtask fuzz wire`
//! runs it.

#![no_main]
#![expect(
    clippy::expect_used,
    reason = "a target that can't start has nothing to say but that"
)]

use std::path::Path;

use coalmine_wire::accept::{Acceptor, Step};
use coalmine_wire::ber::{self, Reader, Writer};
use coalmine_wire::kerberos::ApReq;
use coalmine_wire::ntlmssp::{Authenticate, Challenge, Negotiate, Target, Version};
use coalmine_wire::spnego::{Init, Mech, Resp};

/// The server's mechanisms.
const MECHS: &[Mech] = &[Mech::NegoEx, Mech::MsKerberos, Mech::Kerberos, Mech::Ntlm];
const CHALLENGE: [u8; 8] = *b"01234567";
/// Texts and lists are this many times as long as what they were read from, at most.
const MAX_GAIN: usize = 8;

libfuzzer_sys::fuzz_target!(
    init: if let Ok(folder) = std::env::var("FUZZ_SEEDS") {
        seed(Path::new(&folder));
    },
    |input: &[u8]| {
        codecs(input);
        conversation(input);
    }
);

fn target() -> Target {
    let version = Version {
        major: 10,
        minor: 0,
        build: 17763,
    };
    Target::windows("SRV-01", "srv-01", Some(("CORP", "corp.example")), version)
}

/// Each parser alone. What was understood is written and understood again.
fn codecs(input: &[u8]) {
    let most = input.len().saturating_mul(MAX_GAIN).saturating_add(64);
    if let Ok(negotiate) = Negotiate::parse(input) {
        let challenge = Challenge::new(&target(), &negotiate, CHALLENGE, 0);
        assert!(challenge.bytes.len() < 1024);
    }
    if let Ok(login) = Authenticate::parse(input) {
        let texts = login.user.len() + login.domain.len() + login.workstation.len();
        // Each text may be the whole message.
        assert!(texts <= most.saturating_mul(3));
        if let Some(line) = login.hash(&CHALLENGE) {
            assert!(!line.contains('\n') && line.matches(':').count() >= 5);
        }
    }
    if let Ok(request) = ApReq::parse(input) {
        assert!(request.service.len() + request.realm.len() <= most);
    }
    if let Ok(init) = Init::parse(input) {
        let again = Init::parse(&init.write()).expect("what was written is read");
        assert_eq!((again.mechs, again.token), (init.mechs, init.token));
    }
    if let Ok(resp) = Resp::parse(input) {
        assert_eq!(Resp::parse(&resp.write()), Ok(resp));
    }
    if let Ok(dots) = ber::dotted(input) {
        assert_eq!(ber::dotted(&ber::oid(&dots)), Ok(dots));
    }
    let whole = ber::whole(input);
    let mut reader = Reader::new(input);
    if let Ok((tag, contents)) = reader.any() {
        assert_eq!(whole, Ok(Some(input.len() - reader.rest().len())));
        let written = Writer::new().put(tag, contents).finish();
        assert_eq!(Reader::new(&written).any(), Ok((tag, contents)));
        ber::number(contents).ok();
    }
}

/// Tokens one after another, each led by two bytes with its length.
fn conversation(mut input: &[u8]) {
    let mut acceptor = Acceptor::new(target(), CHALLENGE, MECHS);
    while let Some((length, rest)) = input.split_first_chunk::<2>() {
        let length = usize::from(u16::from_le_bytes(*length));
        let (token, after) = rest.split_at(length.min(rest.len()));
        input = after;
        match acceptor.token(token, 0) {
            Ok(Step::Continue(answer)) => assert!(answer.len() < 1024),
            Ok(Step::Login(login)) => {
                let key = login.verify("Winter2026!");
                let last = acceptor.accept(&login, key.as_ref());
                assert!(last.is_empty() || Resp::parse(&last).is_ok());
            }
            Ok(Step::Kerberos(_)) | Err(_) => {}
        }
    }
}

/// The tokens of the codecs' tests, alone and as conversations.
fn seed(folder: &Path) {
    let recorded = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/wire/src/testdata");
    let files = std::fs::read_dir(recorded).expect("the recorded tokens are there");
    for file in files.flatten() {
        let name = file.file_name().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(file.path()).expect("tokens are text");
        let mut conversation = Vec::new();
        for (n, line) in text.lines().enumerate() {
            let token: Vec<u8> = line
                .as_bytes()
                .as_chunks::<2>()
                .0
                .iter()
                .filter_map(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok())
                .collect();
            let length = u16::try_from(token.len()).unwrap_or(u16::MAX);
            conversation.extend(length.to_le_bytes());
            conversation.extend(&token);
            std::fs::write(folder.join(format!("{name}-{n}")), token)
                .expect("seeds can be written");
        }
        std::fs::write(folder.join(name), conversation).expect("seeds can be written");
    }
}
