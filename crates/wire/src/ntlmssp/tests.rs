//! The examples of MS-NLMP section 4.2, and messages of real clients.

use super::crypto::{lm_hash, md4};
use super::*;

/// Section 4.2.1.
const CHALLENGE: [u8; 8] = [0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef];
const PASSWORD: &str = "Password";

fn bytes(hex: &str) -> Vec<u8> {
    hex::decode(hex.replace([' ', '\n'], "")).unwrap()
}

/// A login as section 4.2 builds it.
fn login(flags: u32, lm: &str, nt: &str, session_key: &str) -> Authenticate {
    let parts = [
        bytes(lm),
        bytes(nt),
        to_utf16("Domain"),
        to_utf16("User"),
        to_utf16("COMPUTER"),
        bytes(session_key),
    ];
    let mut message = SIGNATURE.to_vec();
    message.extend(3u32.to_le_bytes());
    let mut offset = 72;
    for part in &parts {
        message.extend(head(part.len(), offset));
        offset += part.len();
    }
    message.extend(flags.to_le_bytes());
    message.extend(bytes("0501280a0000000f"));
    message.extend(parts.concat());
    Authenticate::parse(&message).unwrap()
}

fn exported(login: &Authenticate, password: &str) -> Option<String> {
    Keys::of(login, &CHALLENGE, password).map(|keys| hex::encode(keys.exported))
}

const RANDOM_KEY: &str = "55555555555555555555555555555555";

#[test]
fn hashes_of_passwords_are_the_specifications() {
    assert_eq!(
        hex::encode(md4(&to_utf16(PASSWORD))),
        "a4f49c406510bdcab6824ee7c30fd852"
    );
    assert_eq!(
        hex::encode(lm_hash(PASSWORD)),
        "e52cac67419a9a224a3b108f3fa6cb6d"
    );
}

/// Section 4.2.4.2.1, with no more of the NTLMv2 response than its proof.
#[test]
fn lmv2_beside_a_stump_is_a_line_of_ntlmv2() {
    let lm = "86c35097ac9cec102554764a57cccc19aaaaaaaaaaaaaaaa";
    let stump = "68cd0ab851e51c96aabc927bebef6a1c";
    let login = login(0xe28a_8233, lm, stump, "");
    assert_eq!(login.response(), Response::Malformed);
    assert_eq!(
        login.hash(&CHALLENGE).unwrap(),
        "User::Domain:0123456789abcdef:86c35097ac9cec102554764a57cccc19:aaaaaaaaaaaaaaaa"
    );
}

#[test]
fn v1_is_section_4_2_2() {
    let lm = "98def7b87f88aa5dafe2df779688a172def11c7d5ccdef13";
    let nt = "67c43011f30298a2ad35ece64f16331c44bdbed927841f94";
    for (flags, key) in [
        (0xe202_8233, "518822b1b3f350c8958682ecbb3e3cb7"),
        (0xe242_8233, "7452ca55c225a1ca04b48fae32cf56fc"),
        (0xe202_82b3, "4cd7bb57d697ef9b549f02b8f9b37864"),
    ] {
        let login = login(flags, lm, nt, key);
        assert_eq!(login.response(), Response::V1);
        assert_eq!(exported(&login, PASSWORD).as_deref(), Some(RANDOM_KEY));
        assert_eq!(exported(&login, "password"), None);
        assert_eq!(
            login.hash(&CHALLENGE).unwrap(),
            format!("User::Domain:{lm}:{nt}:0123456789abcdef")
        );
    }
    // Without key exchange the key is the base key.
    let login = login(0xa202_8233, lm, nt, "");
    assert_eq!(
        exported(&login, PASSWORD).as_deref(),
        Some("d87262b0cde4b1cb7499becccdf10784")
    );
}

#[test]
fn the_message_of_section_4_2_2_3_is_read() {
    let message = bytes(
        "4e544c4d5353500003000000180018006c00000018001800840000000c000c00480000000800080054000000
         100010005c000000100010009c000000358280e20501280a0000000f44006f006d00610069006e0055007300
         6500720043004f004d005000550054004500520098def7b87f88aa5dafe2df779688a172def11c7d5ccdef13
         67c43011f30298a2ad35ece64f16331c44bdbed927841f94518822b1b3f350c8958682ecbb3e3cb7",
    );
    let login = Authenticate::parse(&message).unwrap();
    assert_eq!(
        (&*login.user, &*login.domain, &*login.workstation),
        ("User", "Domain", "COMPUTER")
    );
    let version = Version {
        major: 5,
        minor: 1,
        build: 2600,
    };
    assert_eq!((login.version, login.flags), (Some(version), 0xe280_8235));
    assert_eq!((login.mic, login.target_name.as_deref()), (None, None));
    assert_eq!(exported(&login, PASSWORD).as_deref(), Some(RANDOM_KEY));
    for end in 0..message.len() {
        assert_eq!(
            Authenticate::parse(&message[..end]),
            Err(Malformed),
            "{end}"
        );
    }
}

#[test]
fn v1_with_client_challenge_is_section_4_2_3() {
    let lm = "aaaaaaaaaaaaaaaa00000000000000000000000000000000";
    let nt = "7537f803ae367128ca458204bde7caf81e97ed2683267232";
    let login = login(0x820a_8233, lm, nt, "");
    assert_eq!(login.response(), Response::V1Extended);
    assert_eq!(
        exported(&login, PASSWORD).as_deref(),
        Some("eb93429a8bd952f8b89c55b87f475edc")
    );
    assert_eq!(exported(&login, "Passwort"), None);
    assert_eq!(
        login.hash(&CHALLENGE).unwrap(),
        format!("User::Domain:{lm}:{nt}:0123456789abcdef")
    );
}

#[test]
fn v2_is_section_4_2_4() {
    let lm = "86c35097ac9cec102554764a57cccc19aaaaaaaaaaaaaaaa";
    let proof = "68cd0ab851e51c96aabc927bebef6a1c";
    let blob = "01010000000000000000000000000000aaaaaaaaaaaaaaaa0000000002000c0044006f006d00610069\
                006e0001000c005300650072007600650072000000000000000000";
    let key = "c5dad2544fc9799094ce1ce90bc9d03e";
    let login = login(0xe28a_8233, lm, &format!("{proof}{blob}"), key);
    assert_eq!(login.response(), Response::V2);
    assert_eq!(exported(&login, PASSWORD).as_deref(), Some(RANDOM_KEY));
    assert_eq!(exported(&login, ""), None);
    assert_eq!(
        login.hash(&CHALLENGE).unwrap(),
        format!("User::Domain:0123456789abcdef:{proof}:{blob}")
    );
}

#[test]
fn the_challenge_of_section_4_2_4_is_written_but_for_the_time() {
    // 4.2.4.3 has no time and no DNS names; the rest stands as it is there.
    let target = Target {
        netbios_name: "Server".to_owned(),
        netbios_domain: "Domain".to_owned(),
        dns_name: String::new(),
        dns_domain: String::new(),
        dns_tree: String::new(),
        joined: false,
        version: Version {
            major: 6,
            minor: 0,
            build: 6000,
        },
        timestamp: false,
    };
    let negotiate = Negotiate::parse(&negotiate(0xe208_8237)).unwrap();
    let challenge = Challenge::new(&target, &negotiate, CHALLENGE, 0);
    assert_eq!(
        hex::encode(challenge.bytes),
        hex::encode(bytes(
            "4e544c4d53535000020000000c000c003800000035828ae20123456789abcdef00000000000000002c002c00
             44000000060070170000000f53006500720076006500720002000c0044006f006d00610069006e0001000c00
             53006500720076006500720004000000030000000000 0000"
        ))
    );
}

fn negotiate(flags: u32) -> Vec<u8> {
    [&SIGNATURE[..], &1u32.to_le_bytes(), &flags.to_le_bytes()].concat()
}

fn server() -> Target {
    let build = Version {
        major: 10,
        minor: 0,
        build: 17763,
    };
    Target::windows(
        "SRV-01",
        "srv-01.corp.example.net",
        Some(("CORP", "corp.example.net")),
        build,
    )
}

#[test]
fn a_member_of_a_domain_tells_domain_forest_time_and_version() {
    // A Windows client's flags, and what Windows Server answers to them.
    let asked = Negotiate::parse(&negotiate(0xe208_8297)).unwrap();
    let answer = Challenge::new(&server(), &asked, CHALLENGE, 0x01d9_0000_0000_0001).bytes;
    assert_eq!(u32_at(&answer, 20), Ok(0xe289_8215));
    assert_eq!(field(&answer, 12).map(utf16).as_deref(), Ok("CORP"));
    assert_eq!(&answer[48..56], b"\x0a\x00\x63\x45\x00\x00\x00\x0f");
    let told = |id| {
        let info = field(&answer, 40).unwrap();
        let found = pairs(info).into_iter().find(|(found, _)| *found == id);
        found.map(|(_, value)| value.to_vec())
    };
    for (id, text) in [
        (av::NB_DOMAIN, "CORP"),
        (av::NB_COMPUTER, "SRV-01"),
        (av::DNS_DOMAIN, "corp.example.net"),
        (av::DNS_COMPUTER, "srv-01.corp.example.net"),
        (av::DNS_TREE, "corp.example.net"),
    ] {
        assert_eq!(told(id).as_deref().map(utf16).as_deref(), Some(text));
    }
    assert_eq!(
        told(av::TIMESTAMP).unwrap(),
        0x01d9_0000_0000_0001u64.to_le_bytes()
    );
}

#[test]
fn the_version_is_told_unasked() {
    // curl's flags: OEM letters, no version.
    let curl = Negotiate::parse(&negotiate(0x0008_8206)).unwrap();
    let windows = Challenge::new(&server(), &curl, CHALLENGE, 0).bytes;
    assert_eq!(u32_at(&windows, 20), Ok(0x0289_8206));
    assert_eq!(&windows[56..60], b"CORP");
    let samba = Target::samba("NAS-01", "nas-01", "");
    let unasked = Challenge::new(&samba, &curl, CHALLENGE, 0).bytes;
    assert_eq!(u32_at(&unasked, 20), Ok(0x028a_8206));
    assert_eq!(&unasked[48..62], b"\x06\x01\x00\x00\x00\x00\x00\x0fNAS-01");
    let smbclient = Negotiate::parse(&negotiate(0x6208_8215)).unwrap();
    let asked = Challenge::new(&samba, &smbclient, CHALLENGE, 0).bytes;
    assert_eq!(u32_at(&asked, 20), Ok(0x628a_8215));
    assert_eq!(&asked[48..56], b"\x06\x01\x00\x00\x00\x00\x00\x0f");
    // Nobody asked for the target's name, and the old session key is kept without the new one.
    let bare = Negotiate::parse(&negotiate(0x0000_0281)).unwrap();
    let answer = Challenge::new(&server(), &bare, CHALLENGE, 0).bytes;
    assert_eq!(u32_at(&answer, 20), Ok(0x0280_0281));
    assert_eq!(field(&answer, 12), Ok(&b""[..]));
}

#[test]
fn a_clients_first_message_may_name_it() {
    // Section 2.2.1.1's fields, as Windows XP sent them.
    let message = bytes(
        "4e544c4d535350000100000007b208a2040004002e0000000600060028000000050128 0a0000000f
         574b532d3031434f5250",
    );
    let read = Negotiate::parse(&message).unwrap();
    assert_eq!(read.domain.as_deref(), Some("CORP"));
    assert_eq!(read.workstation.as_deref(), Some("WKS-01"));
    assert_eq!(read.version.unwrap().build, 2600);
    // A name beyond the end, another message, no message.
    let mut beyond = message;
    beyond[20] = 0xff;
    assert_eq!(Negotiate::parse(&beyond), Err(Malformed));
    assert_eq!(
        Negotiate::parse(b"NTLMSSP\0\x02\0\0\0\0\0\0\0"),
        Err(Malformed)
    );
    assert_eq!(
        Negotiate::parse(b"NTLMSSP\0\x01\0\0\0\0\0\0"),
        Err(Malformed)
    );
    assert_eq!(Negotiate::parse(b"NTLMSSP"), Err(Malformed));
    let long = [&negotiate(0)[..], &vec![0; MAX_MESSAGE]].concat();
    assert_eq!(Negotiate::parse(&long), Err(Malformed));
}

#[test]
fn responses_are_told_apart() {
    let zeros = "00".repeat(24);
    let ones = "11".repeat(24);
    for (lm, nt, response) in [
        ("", "", Response::Malformed),
        (&*ones, "", Response::V1),
        (&ones, &*ones, Response::V1),
        (&zeros, &ones, Response::V1Extended),
        ("", &ones, Response::V1),
        ("", "1111", Response::Malformed),
        (&zeros, &*"22".repeat(44), Response::V2),
    ] {
        assert_eq!(login(1, lm, nt, "").response(), response, "{lm} {nt}");
    }
    let mut nobody = login(1, "00", "", "");
    nobody.user = String::new();
    assert_eq!(nobody.response(), Response::Anonymous);
    assert_eq!(nobody.hash(&CHALLENGE), None);
    assert_eq!(Keys::of(&nobody, &CHALLENGE, ""), None);
    let exported = Keys::anonymous(&nobody).map(|keys| keys.exported);
    assert_eq!(exported, Some([0; 16]));
    assert_eq!(Keys::anonymous(&login(1, "", &ones, "")), None);
    let lm_alone = login(1, &ones, "", "");
    assert_eq!(lm_alone.hash(&CHALLENGE), None);
    let mut breaking = login(1, "", &ones, "");
    breaking.user = "a:b".to_owned();
    assert_eq!(breaking.hash(&CHALLENGE), None);
}

#[test]
fn clients_of_old_leave_out_the_flags() {
    // Samba 2's form: six fields' heads would reach into the payload.
    let mut message = SIGNATURE.to_vec();
    message.extend(3u32.to_le_bytes());
    let parts = [vec![], vec![1; 24], to_utf16("D"), to_utf16("User"), vec![]];
    let mut offset = 52;
    for part in &parts {
        message.extend(head(part.len(), offset));
        offset += part.len();
    }
    message.extend(parts.concat());
    let read = Authenticate::parse(&message).unwrap();
    assert_eq!((&*read.user, &*read.domain, read.flags), ("User", "D", 0));
    assert_eq!(read.response(), Response::V1);
}

/// Challenges that were published with what they answer: ours are the same, byte for byte.
#[test]
fn challenges_are_windows_own() {
    let version = |build| Version {
        major: 10,
        minor: 0,
        build,
    };
    let published = [
        // WinRM of Windows 10 in a workgroup, 2020. It was about to change its name.
        (
            Target {
                dns_domain: "DESKTOP-6EFEMBB".to_owned(),
                ..Target::windows("WIN-G0F9BDLFGLG", "DESKTOP-6EFEMBB", None, version(18362))
            },
            0xe208_82b7,
            "4e544c4d53535000020000001e001e003800000035828ae261439b986c049b61000000000000000098009800
         560000000a00ba470000000f570049004e002d004700300046003900420044004c00460047004c0047000200
         1e00570049004e002d004700300046003900420044004c00460047004c00470001001e00570049004e002d00
         4700300046003900420044004c00460047004c00470004001e004400450053004b0054004f0050002d003600
         4500460045004d004200420003001e004400450053004b0054004f0050002d0036004500460045004d004200
         4200070008006f3e6af82204d60100000000",
        ),
        // WinRM of a domain's controller, Windows Server 2022, 2024.
        (
            Target::windows(
                "ADSERVER",
                "ADServer.directory.thm",
                Some(("DIRECTORY", "directory.thm")),
                version(20348),
            ),
            0xe008_8237,
            "4e544c4d53535000020000001200120038000000358289e24d466ef19179c6900000000000000000a600a600
         4a0000000a007c4f0000000f4400490052004500430054004f00520059000200120044004900520045004300
         54004f0052005900010010004100440053004500520056004500520004001a00640069007200650063007400
         6f00720079002e00740068006d0003002c00410044005300650072007600650072002e006400690072006500
         630074006f00720079002e00740068006d0005001a006400690072006500630074006f00720079002e007400
         68006d00070008008212cb751250da0100000000",
        ),
    ];
    for (target, flags, message) in published {
        let message = bytes(message);
        let asked = Negotiate::parse(&negotiate(flags)).unwrap();
        let challenge = array(&message, 24).unwrap();
        let info = field(&message, 40).unwrap();
        let told = pairs(info).into_iter().find(|(id, _)| *id == av::TIMESTAMP);
        let time = u64::from_le_bytes(told.unwrap().1.try_into().unwrap());
        let ours = Challenge::new(&target, &asked, challenge, time);
        assert_eq!(hex::encode(ours.bytes), hex::encode(message));
    }
}
