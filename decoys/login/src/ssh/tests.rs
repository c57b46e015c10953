use super::*;

use std::sync::Mutex;

use coalmine_core::decoy::{SeeEvents, Tcp};
use russh::client::{AuthResult, KeyboardInteractiveAuthResponse};
use russh::keys::{Algorithm, PrivateKey, PrivateKeyWithHashAlg};
use serde_json::{Value, json};

#[test]
fn it_holds_what_every_decoy_must() {
    coalmine_core::suite::check(&KIND);
}

#[derive(Default)]
struct Book(Mutex<Vec<(u32, Value)>>);

impl SeeEvents for Book {
    fn see(&self, seen: Seen) -> BoxFuture<'_, ()> {
        let fields = serde_json::from_str(seen.fields.get()).unwrap();
        self.0.lock().unwrap().push((seen.logtype, fields));
        Box::pin(async {})
    }
}

struct Anyone;

impl client::Handler for Anyone {
    type Error = russh::Error;
    async fn check_server_key(&mut self, _: &PublicKeyOrCertificate) -> Result<bool, Self::Error> {
        Ok(true)
    }
}

/// A decoy under `settings`, and the far end of a connection to it.
fn connect(settings: &Value) -> (Arc<Book>, tokio::io::DuplexStream) {
    let service = build(settings.as_object().unwrap(), &Bird::sample()).unwrap();
    let Some(Tcp::Streams(streams)) = service.tcp else {
        panic!("SSH is a stream service");
    };
    let book = Arc::new(Book::default());
    let (near, far) = tokio::io::duplex(64 * 1024);
    tokio::spawn(streams.serve(Context::sample(), Box::new(far), book.clone()));
    (book, near)
}

async fn client(settings: &Value) -> (Arc<Book>, client::Handle<Anyone>) {
    let (book, near) = connect(settings);
    let config = Arc::new(client::Config::default());
    let session = client::connect_stream(config, near, Anyone).await.unwrap();
    (book, session)
}

#[tokio::test(start_paused = true)]
async fn passwords_are_seen_and_refused_after_openssh_s_delay() {
    let (book, mut session) = client(&json!({})).await;
    let began = Instant::now();
    let outcome = session.authenticate_password("root", "toor").await.unwrap();
    let AuthResult::Failure {
        remaining_methods, ..
    } = outcome
    else {
        panic!("the decoy let somebody in");
    };
    let methods: Vec<&str> = remaining_methods.iter().map(Into::into).collect();
    assert_eq!(methods, ["publickey", "password"]);

    let took = began.elapsed();
    let base = base(&Bird::sample().seed.derive("ssh delays"), "root");
    let lawful = [base * 256, base * 512]
        .into_iter()
        .any(|law| took >= law && took < law + Duration::from_millis(20));
    assert!(lawful, "{took:?} isn't {base:?} doubled some times");
    assert!(took >= Duration::from_millis(1500));

    let seen = book.0.lock().unwrap().clone();
    let (logtype, fields) = seen.first().unwrap();
    assert_eq!((*logtype, seen.len()), (4002, 1));
    assert_eq!(fields["USERNAME"], "root");
    assert_eq!(fields["PASSWORD"], "toor");
    assert_eq!(
        fields["LOCALVERSION"],
        "SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u10"
    );
    assert!(
        fields["REMOTEVERSION"]
            .as_str()
            .unwrap()
            .starts_with("SSH-2.0-russh")
    );
    assert_eq!(fields.get("KEY"), None);
    assert_eq!(fields.get("WATCHED_CREDENTIALS"), None);
}

#[tokio::test(start_paused = true)]
async fn six_refusals_end_the_conversation() {
    let (book, mut session) = client(&json!({"auth_delay_ms": 0})).await;
    for n in 0..6 {
        let outcome = session
            .authenticate_password("root", format!("pw{n}"))
            .await;
        assert!(!matches!(outcome, Ok(AuthResult::Success)));
    }
    let seventh = session.authenticate_password("root", "pw6").await;
    assert!(seventh.is_err(), "{seventh:?}");
    assert_eq!(book.0.lock().unwrap().len(), 6);
}

/// Whether a refusal came; the library takes the end of the connection for one without methods.
fn is_answered(outcome: &Result<AuthResult, russh::Error>) -> bool {
    matches!(outcome, Ok(AuthResult::Failure { remaining_methods, .. }) if !remaining_methods.is_empty())
}

#[tokio::test(start_paused = true)]
async fn dropbear_closes_at_the_tenth_wrong_password_without_a_word() {
    let (book, mut session) = client(&json!({"version": "SSH-2.0-dropbear_2022.83"})).await;
    let mut times = Vec::new();
    for n in 0..9 {
        let began = Instant::now();
        let outcome = session
            .authenticate_password("root", format!("pw{n}"))
            .await;
        assert!(matches!(outcome, Ok(AuthResult::Failure { .. })));
        times.push(began.elapsed().as_millis());
    }
    assert!(times.iter().all(|t| (250..360).contains(t)), "{times:?}");
    times.dedup();
    assert!(times.len() > 4, "they should be random: {times:?}");
    let tenth = session.authenticate_password("root", "pw9").await;
    assert!(!is_answered(&tenth), "{tenth:?}");
    assert_eq!(book.0.lock().unwrap().len(), 10);

    // So does another user.
    let (_, mut session) = client(&json!({"version": "SSH-2.0-dropbear_2022.83"})).await;
    let first = session.authenticate_password("root", "x").await;
    assert!(is_answered(&first), "{first:?}");
    let other = session.authenticate_password("admin", "x").await;
    assert!(!is_answered(&other), "{other:?}");
}

#[tokio::test(start_paused = true)]
async fn dropbear_offers_its_own_algorithms_and_tells_no_errors() {
    let settings = json!({"version": "SSH-2.0-dropbear_2022.83"});
    let hello = b"SSH-2.0-dropbear_2022.83\r\n";
    let heard = |ident: &'static [u8]| {
        let (_, mut near) = connect(&settings);
        async move {
            near.write_all(ident).await.unwrap();
            let mut heard = Vec::new();
            let all = near.read_to_end(&mut heard);
            let closed = tokio::time::timeout(Duration::from_secs(5), all).await;
            (heard, closed.is_ok())
        }
    };
    assert_eq!(heard(b"SSH-1.5-x\r\n").await, (hello.to_vec(), true));
    let (offer, closed) = heard(b"SSH-2.0-x\r\n").await;
    assert!(!closed);
    let offer = String::from_utf8_lossy(&offer);
    for list in [
        "curve25519-sha256,curve25519-sha256@libssh.org,ecdh-sha2-nistp521,ecdh-sha2-nistp384,\
         ecdh-sha2-nistp256,diffie-hellman-group14-sha256,diffie-hellman-group14-sha1,",
        "ssh-ed25519,ecdsa-sha2-nistp256,rsa-sha2-256",
        "chacha20-poly1305@openssh.com,aes128-ctr,aes256-ctr",
        "hmac-sha1,hmac-sha2-256",
    ] {
        assert!(offer.contains(list), "{list} isn't in {offer}");
    }
}

#[tokio::test(start_paused = true)]
async fn another_user_on_the_same_connection_ends_it() {
    let (book, mut session) = client(&json!({"auth_delay_ms": 0})).await;
    let _ = session.authenticate_password("root", "a").await;
    let _ = session.authenticate_password("admin", "b").await;
    let third = session.authenticate_password("admin", "c").await;
    assert!(third.is_err(), "{third:?}");
    let seen = book.0.lock().unwrap().clone();
    let users: Vec<_> = seen.iter().map(|(_, f)| f["USERNAME"].clone()).collect();
    assert_eq!(users, ["root", "admin"]);
}

#[tokio::test(start_paused = true)]
async fn keys_are_seen_in_one_line_and_refused_quickly() {
    let (book, mut session) = client(&json!({})).await;
    let mut rng = Seed::new([3; 32]).rng("key");
    let key = PrivateKey::random(&mut rng, Algorithm::Ed25519).unwrap();
    let line = key.public_key().to_openssh().unwrap();
    let began = Instant::now();
    let outcome = session
        .authenticate_publickey("git", PrivateKeyWithHashAlg::new(Arc::new(key), None))
        .await
        .unwrap();
    assert!(!outcome.success());
    assert!(began.elapsed() < Duration::from_millis(50));
    let seen = book.0.lock().unwrap().clone();
    assert_eq!(seen.first().unwrap().1["KEY"], line.as_str());
    assert_eq!(seen.first().unwrap().1.get("PASSWORD"), None);
}

#[tokio::test(start_paused = true)]
async fn prompts_are_offered_only_where_set() {
    let (book, mut session) = client(&json!({"keyboard_interactive": true})).await;
    let asked = session
        .authenticate_keyboard_interactive_start("root", None)
        .await
        .unwrap();
    let KeyboardInteractiveAuthResponse::InfoRequest { prompts, .. } = asked else {
        panic!("no prompt: {asked:?}");
    };
    assert_eq!(prompts.first().unwrap().prompt, "Password: ");
    let answered = session
        .authenticate_keyboard_interactive_respond(vec!["letmein".to_owned()])
        .await
        .unwrap();
    assert!(matches!(
        answered,
        KeyboardInteractiveAuthResponse::Failure { .. }
    ));
    assert_eq!(
        book.0.lock().unwrap().first().unwrap().1["PASSWORD"],
        "letmein"
    );

    let (book, mut session) = client(&json!({})).await;
    let asked = session
        .authenticate_keyboard_interactive_start("root", None)
        .await
        .unwrap();
    assert!(matches!(
        asked,
        KeyboardInteractiveAuthResponse::Failure { .. }
    ));
    assert!(book.0.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn with_watched_credentials_only_they_are_reported() {
    let settings = json!({
        "auth_delay_ms": 0,
        "watched_credentials.enabled": true,
        "watched_credentials.items": ["backup:s3cret:x", "deploy"],
    });
    for (user, password, seen) in [
        ("backup", "s3cret:x", true),
        ("backup", "other", false),
        ("deploy", "anything", true),
        ("root", "toor", false),
    ] {
        let (book, mut session) = client(&settings).await;
        let _ = session.authenticate_password(user, password).await;
        let book = book.0.lock().unwrap();
        assert_eq!(!book.is_empty(), seen, "{user}:{password}");
        if let Some((_, fields)) = book.first() {
            assert_eq!(fields["WATCHED_CREDENTIALS"], "Yes");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn connections_and_versions_are_reported_where_set() {
    let (book, mut near) = connect(&json!({"connection_alerts": true}));
    near.write_all(b"SSH-2.0-probe\r\n").await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    drop(near);
    let seen = book.0.lock().unwrap().clone();
    let short: Vec<_> = seen
        .iter()
        .map(|(n, f)| (*n, f["REMOTEVERSION"].as_str().unwrap()))
        .collect();
    assert_eq!(short, [(4000, ""), (4001, "SSH-2.0-probe")]);
}

/// What a peer that says `bytes` hears after our identification, and whether we hang up.
async fn answer(bytes: &[u8]) -> (Vec<u8>, bool) {
    let (_, mut near) = connect(&json!({}));
    near.write_all(bytes).await.unwrap();
    let mut heard = Vec::new();
    let mut chunk = [0; 4096];
    let closed = loop {
        match tokio::time::timeout(Duration::from_secs(5), near.read(&mut chunk)).await {
            Err(_) => break false,
            Ok(Ok(0) | Err(_)) => break true,
            Ok(Ok(n)) => heard.extend_from_slice(&chunk[..n]),
        }
    };
    let hello = b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u10\r\n";
    assert!(heard.starts_with(hello));
    (heard.split_off(hello.len()), closed)
}

#[tokio::test(start_paused = true)]
async fn broken_talk_is_answered_as_openssh_answers_it() {
    let (heard, closed) = answer(b"SSH-1111-OpenSSH_9.0\r\n").await;
    assert_eq!(
        (heard.as_slice(), closed),
        (b"Invalid SSH identification string.\r\n".as_slice(), true)
    );
    let (heard, closed) = answer(b"SSH-1.5-x\r\n").await;
    assert_eq!(
        (heard.as_slice(), closed),
        (b"Protocol major versions differ.\r\n".as_slice(), true)
    );
    let (heard, closed) = answer(b"GET / HTTP/1.0\r\n\r\n").await;
    assert_eq!(
        (heard.as_slice(), closed),
        (b"Invalid SSH identification string.".as_slice(), true)
    );
    assert_eq!(answer(b"SSH-2.0-Probe-x\r\n").await, (Vec::new(), true));
    assert_eq!(answer(&[b'a'; 400]).await, (Vec::new(), false));

    // KEXINIT (20) alone, then silence or the end; never a disconnect message.
    let long = format!("SSH-2.0-{}\n", "a".repeat(300));
    for (bytes, ends) in [
        (long.as_bytes(), false),
        (b"SSH-1.99-x\n", false),
        (b"SSH-2.5-x\r\n", false),
        (b"SSH-2.0-x\r\nhello this is garbage\r\n\r\n", true),
        (
            b"SSH-2.0-x\r\n\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
            true,
        ),
    ] {
        let (heard, closed) = answer(bytes).await;
        let length = heard.first_chunk::<4>().map(|b| u32::from_be_bytes(*b));
        assert_eq!(heard.get(5), Some(&20));
        assert_eq!(length, Some(u32::try_from(heard.len() - 4).unwrap()));
        assert_eq!(closed, ends);
    }
}

#[test]
fn each_user_has_a_delay_of_its_own() {
    let secret = Seed::new([1; 32]);
    let root = base(&secret, "root");
    assert_eq!(root, base(&secret, "root"));
    assert_ne!(root, base(&secret, "admin"));
    assert_ne!(root, base(&Seed::new([2; 32]), "root"));
    for user in ["", "root", "admin", "nosuchuser"] {
        let time = base(&secret, user);
        assert!(time >= Duration::from_millis(5) && time < Duration::from_micros(9300));
    }
    assert_eq!(
        stretched(Duration::from_millis(6), Duration::from_millis(2000)),
        Duration::from_millis(6 * 512)
    );
}

#[test]
fn faulty_settings_are_refused_by_name() {
    for (key, value) in [
        ("version", json!("OpenSSH")),
        ("version", json!("SSH-2.0-a\r\n")),
        ("preauth_banner", json!("x".repeat(5000))),
        ("auth_delay_ms", json!(20000)),
        ("watched_credentials.items", json!([""])),
    ] {
        let given = json!({key: value});
        let Err(faults) = build(given.as_object().unwrap(), &Bird::sample()) else {
            panic!("{given} was taken");
        };
        assert_eq!(faults.first().unwrap().key, key);
    }
}
