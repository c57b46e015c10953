//! Whole conversations. The recorded ones are pyspnego 0.12.4's as `CORP\\anna` with the password
//! `Winter2026!`; it took our last word with its code over the mechanisms.

use super::*;
use crate::kerberos::tests::framed;

const CHALLENGE: [u8; 8] = [0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef];
/// 2026-11-22, in 100 ns since 1601.
const NOW: u64 = 134_400_000_000_000_000;

fn acceptor(mechs: &'static [Mech]) -> Acceptor {
    let version = Version {
        major: 10,
        minor: 0,
        build: 17763,
    };
    let domain = Some(("CORP", "corp.example.net"));
    let target = Target::windows("SRV-01", "srv-01.corp.example.net", domain, version);
    Acceptor::new(target, CHALLENGE, mechs)
}

/// A recorded conversation: the client's two tokens, its session key, our last word.
fn recorded(text: &str) -> Vec<Vec<u8>> {
    text.lines()
        .map(|line| hex::decode(line).unwrap())
        .collect()
}

fn go_on(acceptor: &mut Acceptor, token: &[u8]) -> Vec<u8> {
    match acceptor.token(token, NOW) {
        Ok(Step::Continue(answer)) => answer,
        other => panic!("{other:?}"),
    }
}

fn login(acceptor: &mut Acceptor, token: &[u8]) -> Login {
    match acceptor.token(token, NOW) {
        Ok(Step::Login(login)) => login,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_login_by_bare_ntlm_is_verified_down_to_its_mic() {
    let tokens = recorded(include_str!("../testdata/ntlm.txt"));
    let mut acceptor = acceptor(&[Mech::Ntlm]);
    assert!(is_ntlmssp(&go_on(&mut acceptor, &tokens[0])));
    let made = login(&mut acceptor, &tokens[1]);
    assert_eq!(
        (&*made.user, &*made.domain, &*made.workstation),
        ("anna", "CORP", "VM")
    );
    assert_eq!(made.response, Response::V2);
    assert_eq!(
        made.authenticate.target_name.as_deref(),
        Some("HTTP/srv-01.corp.example.net")
    );
    assert!(made.authenticate.mic.is_some());
    let key = made.verify("Winter2026!").unwrap();
    assert_eq!(key[..], tokens[2]);
    assert_eq!(made.verify("winter2026!"), None);
    assert!(
        made.hash
            .unwrap()
            .starts_with("anna::CORP:0123456789abcdef:")
    );
    assert!(!acceptor.is_negotiated());
    assert!(acceptor.reject().is_empty());
}

#[test]
fn a_broken_mic_spoils_the_right_password() {
    let mut tokens = recorded(include_str!("../testdata/ntlm.txt"));
    tokens[1][MIC.start] ^= 1;
    let mut acceptor = acceptor(&[Mech::Ntlm]);
    go_on(&mut acceptor, &tokens[0]);
    assert_eq!(login(&mut acceptor, &tokens[1]).verify("Winter2026!"), None);
}

#[test]
fn a_login_inside_spnego_ends_with_the_code_that_the_client_took() {
    let tokens = recorded(include_str!("../testdata/negotiate.txt"));
    let mut acceptor = acceptor(&[Mech::NegoEx, Mech::Kerberos, Mech::Ntlm]);
    let answer = Resp::parse(&go_on(&mut acceptor, &tokens[0])).unwrap();
    assert_eq!(
        (answer.state, answer.mech),
        (Some(State::Incomplete), Some(Mech::Ntlm))
    );
    let made = login(&mut acceptor, &tokens[1]);
    let key = made.verify("Winter2026!").unwrap();
    assert_eq!(key[..], tokens[2]);
    assert_eq!(acceptor.accept(&made, Some(&key)), tokens[3]);
    assert_eq!(
        hex::encode(acceptor.accept(&made, None)),
        "a1073005a0030a0100"
    );
    assert_eq!(hex::encode(acceptor.reject()), "a1073005a0030a0102");
    // The challenge has been answered.
    assert!(acceptor.token(&tokens[1], NOW).is_err());
}

/// A client's first token with these mechanisms.
fn init(mechs: &[Mech], token: Option<Vec<u8>>) -> Vec<u8> {
    let init = Init {
        mechs: mechs.to_vec(),
        token,
        ..Init::default()
    };
    init.write()
}

#[test]
fn a_client_that_would_rather_have_kerberos_comes_again_with_ntlm() {
    let mut acceptor = acceptor(&[Mech::Ntlm]);
    let wished = init(&[Mech::Kerberos, Mech::Ntlm], Some(framed()));
    let answer = Resp::parse(&go_on(&mut acceptor, &wished)).unwrap();
    assert_eq!(
        (answer.state, answer.mech, answer.token),
        (Some(State::RequestMic), Some(Mech::Ntlm), None)
    );
    let negotiate = recorded(include_str!("../testdata/ntlm.txt")).remove(0);
    let token = Resp {
        token: Some(negotiate),
        ..Resp::default()
    };
    let answer = Resp::parse(&go_on(&mut acceptor, &token.write())).unwrap();
    assert_eq!((answer.state, answer.mech), (Some(State::Incomplete), None));
    assert!(is_ntlmssp(&answer.token.unwrap()));
    // Without a token for its first wish it is asked for one.
    let answer = Resp::parse(&go_on(&mut acceptor, &init(&[Mech::Ntlm], None))).unwrap();
    assert_eq!(
        (answer.state, answer.mech),
        (Some(State::Incomplete), Some(Mech::Ntlm))
    );
}

/// A first token without GSS-API's frame.
fn unframed(init: &[u8]) -> Vec<u8> {
    let start = init.iter().position(|b| *b == BARE_INIT).unwrap();
    init[start..].to_vec()
}

#[test]
fn tickets_are_read_bare_framed_and_inside_spnego() {
    let framed = framed();
    let bare = framed[framed.windows(2).position(|w| w == [1, 0]).unwrap() + 2..].to_vec();
    let both = &[Mech::MsKerberos, Mech::Kerberos, Mech::Ntlm];
    let resp = Resp {
        token: Some(framed.clone()),
        ..Resp::default()
    };
    for token in [
        init(both, Some(framed.clone())),
        init(both, Some(bare.clone())),
        unframed(&init(both, Some(framed.clone()))),
        resp.write(),
        framed,
        bare,
    ] {
        let step = acceptor(&[Mech::MsKerberos, Mech::Kerberos, Mech::Ntlm]).token(&token, NOW);
        let Ok(Step::Kerberos(request)) = step else {
            panic!("{step:?}");
        };
        assert_eq!(request.service, "HTTP/srv-01.corp.example.net");
    }
    // A server that can't use a ticket still sees who comes with nothing else.
    let only = init(&[Mech::Kerberos], Some(crate::kerberos::tests::framed()));
    let step = acceptor(&[Mech::Ntlm]).token(&only, NOW);
    assert!(matches!(step, Ok(Step::Kerberos(_))));
}

#[test]
fn a_server_that_speaks_first_lists_its_mechanisms() {
    let hello = acceptor(&[Mech::NegoEx, Mech::Ntlm]).hello(Some("hint"));
    let read = Init::parse(&hello).unwrap();
    assert_eq!(read.mechs, [Mech::NegoEx, Mech::Ntlm]);
    assert_eq!(read.hint.as_deref(), Some("hint"));
}

#[test]
fn garbage_and_messages_out_of_turn_are_malformed() {
    let ntlm = recorded(include_str!("../testdata/ntlm.txt"));
    let other = init(&[Mech::Other("1.2.3".to_owned())], Some(vec![1]));
    let nothing = Resp::default().write();
    for token in [
        &b""[..],
        b"x",
        b"NTLMSSP\0",
        b"NTLMSSP\0\x02\0\0\0",
        &ntlm[1],
        &other,
        &nothing,
        b"\x60\x00",
        b"\x6e\x00",
        b"\xa0\x00",
    ] {
        let step = acceptor(&[Mech::Ntlm]).token(token, NOW);
        assert!(matches!(step, Err(Malformed)), "{token:02x?}: {step:?}");
    }
}
