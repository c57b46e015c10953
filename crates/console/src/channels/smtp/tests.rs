use rustls::pki_types::ServerName;
use tokio::io::{DuplexStream, duplex};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;
use crate::channels::https::Face;
use crate::channels::https::tests::{Ca, connector};
use crate::channels::tests::{Bench, KEYED, Memory, NONE, bench, config, local, peer};

fn dialogue() -> Dialogue {
    dialogue_with(Tls::Missing)
}

fn dialogue_with(tls: Tls) -> Dialogue {
    let domains = vec!["more.example".to_owned()];
    Dialogue::new(Host::new("tokens.example.com"), domains, tls)
}

/// Each line and what is said to it.
fn talk(dialogue: &mut Dialogue, lines: &[(&str, &str)]) {
    for (line, wanted) in lines {
        let said = dialogue.line(line.as_bytes()).map(|said| said.text);
        assert_eq!(said.unwrap_or_default().trim_end(), *wanted, "{line}");
    }
}

#[test]
fn every_command_is_answered_as_postfix_does() {
    let mut d = dialogue();
    talk(
        &mut d,
        &[
            ("MAIL FROM:<a@b>", "503 5.5.1 Error: send HELO/EHLO first"),
            ("ETRN x", "503 Error: send HELO/EHLO first"),
            ("HELO", "501 Syntax: HELO hostname"),
            ("helo me.example", "250 mail.tokens.example.com"),
            ("RCPT TO:<a@b>", "503 5.5.1 Error: need MAIL command"),
            ("DATA", "503 5.5.1 Error: need RCPT command"),
            ("MAIL", "501 5.5.4 Syntax: MAIL FROM:<address>"),
            (
                "MAIL FROM:<a@b> SIZE=99999999",
                "552 5.3.4 Message size exceeds fixed limit",
            ),
            ("mail from:<a@b> size=10 BODY=8BITMIME", "250 2.1.0 Ok"),
            ("MAIL FROM:<a@b>", "503 5.5.1 Error: nested MAIL command"),
            ("RCPT TO:", "501 5.5.4 Syntax: RCPT TO:<address>"),
            (
                "RCPT TO:<x@elsewhere.example>",
                "554 5.7.1 <x@elsewhere.example>: Relay access denied",
            ),
            ("RCPT TO:<x@tokens.example.com>", "250 2.1.5 Ok"),
            ("RCPT TO: x@MORE.example", "250 2.1.5 Ok"),
            ("RCPT TO:<postmaster>", "250 2.1.5 Ok"),
            ("DATA now", "501 5.5.4 Syntax: DATA"),
            ("NOOP", "250 2.0.0 Ok"),
            ("VRFY", "501 5.5.4 Syntax: VRFY address"),
            ("VRFY root", "252 2.0.0 root"),
            ("ETRN x", "458 Unable to queue messages"),
            ("AUTH PLAIN", "503 5.5.1 Error: authentication not enabled"),
            ("HELP", "502 5.5.1 Error: command not implemented"),
            ("STARTTLS", "502 5.5.1 Error: command not implemented"),
            ("RSET", "250 2.0.0 Ok"),
            (
                "RCPT TO:<x@tokens.example.com>",
                "503 5.5.1 Error: need MAIL command",
            ),
            ("QUIT", "221 2.0.0 Bye"),
        ],
    );
    assert!(dialogue().line(b"QUIT").unwrap().closes);
    let rude = dialogue().line(b"GET / HTTP/1.1").unwrap();
    assert!(
        rude.closes
            && rude
                .text
                .starts_with("221 2.7.0 Error: I can break rules, too.")
    );
    let hello = dialogue().line(b"EHLO me").unwrap().text;
    assert_eq!(hello, hello_with(""));
}

/// What is said to EHLO, with `more` where Postfix has it.
fn hello_with(more: &str) -> String {
    format!(
        "250-mail.tokens.example.com\r\n250-PIPELINING\r\n250-SIZE 10240000\r\n250-VRFY\r\n\
         250-ETRN\r\n{more}250-ENHANCEDSTATUSCODES\r\n250-8BITMIME\r\n250-DSN\r\n250 SMTPUTF8\r\n"
    )
}

#[test]
fn tls_is_offered_once_and_forgets_all_but_the_faults() {
    let mut d = dialogue_with(Tls::Offered);
    let hello = d.line(b"EHLO me").unwrap().text;
    assert_eq!(hello, hello_with("250-STARTTLS\r\n"));
    talk(
        &mut d,
        &[
            ("STARTTLS now", "501 5.5.4 Syntax: STARTTLS"),
            ("MAIL FROM:<a@b>", "250 2.1.0 Ok"),
            ("RCPT TO:<x@tokens.example.com>", "250 2.1.5 Ok"),
        ],
    );
    let ready = d.line(b"starttls").unwrap();
    assert_eq!(ready.text, "220 2.0.0 Ready to start TLS\r\n");
    assert!(ready.secures && !ready.closes && ready.delivered.is_none());
    d.secure();
    talk(
        &mut d,
        &[
            ("DATA", "503 5.5.1 Error: need RCPT command"),
            (
                "RCPT TO:<x@tokens.example.com>",
                "503 5.5.1 Error: need MAIL command",
            ),
            ("MAIL FROM:<a@b>", "503 5.5.1 Error: send HELO/EHLO first"),
            ("STARTTLS", "554 5.5.1 Error: TLS already active"),
            ("STARTTLS now", "501 5.5.4 Syntax: STARTTLS"),
        ],
    );
    assert_eq!(d.faults, 6);
    assert_eq!(d.line(b"EHLO me").unwrap().text, hello_with(""));
    let again = d.line(b"STARTTLS").unwrap();
    assert!(!again.secures);
}

#[test]
fn too_many_faults_and_recipients_and_too_large_a_mail_are_refused() {
    let mut d = dialogue();
    for _ in 1..MAX_FAULTS {
        assert!(!d.line(b"nonsense").unwrap().closes);
    }
    let last = d.line(b"nonsense").unwrap();
    assert_eq!(
        last.text,
        "421 4.7.0 mail.tokens.example.com Error: too many errors\r\n"
    );
    assert!(last.closes);

    let mut d = dialogue();
    talk(
        &mut d,
        &[
            ("HELO me", "250 mail.tokens.example.com"),
            ("MAIL FROM:<>", "250 2.1.0 Ok"),
        ],
    );
    for _ in 0..MAX_RECIPIENTS {
        talk(
            &mut d,
            &[("RCPT TO:<a@tokens.example.com>", "250 2.1.5 Ok")],
        );
    }
    talk(
        &mut d,
        &[(
            "RCPT TO:<a@tokens.example.com>",
            "452 4.5.3 Error: too many recipients",
        )],
    );
    talk(&mut d, &[("DATA", "354 End data with <CR><LF>.<CR><LF>")]);
    let line = vec![b'a'; 1998];
    for _ in 0..5_200 {
        assert_eq!(d.line(&line), None);
    }
    assert!(d.data.as_ref().unwrap().0.len() <= MAX_KEPT);
    talk(
        &mut d,
        &[
            (".", "552 5.3.4 Error: message file too big"),
            ("DATA", "503 5.5.1 Error: need RCPT command"),
        ],
    );
}

#[test]
fn lines_end_with_a_line_feed_or_at_their_limit() {
    assert_eq!(next_line(b"a\r\nb"), Some((&b"a"[..], 3)));
    assert_eq!(next_line(b"a"), None);
    let long = vec![b'a'; MAX_LINE + 1];
    assert_eq!(next_line(&long).unwrap().1, MAX_LINE);
    assert_eq!(domain("192.0.2.1"), "[192.0.2.1]");
    assert_eq!(domain("2001:db8::1"), "[IPv6:2001:db8::1]");
}

/// A client, and who talks to it.
fn connected(
    bench: &Bench,
    tls: Option<TlsAcceptor>,
) -> (DuplexStream, Talk<DuplexStream, Memory>) {
    let (client, stream) = duplex(64 * 1024);
    let talk = Talk {
        dialogue: dialogue_with(Tls::of(tls.as_ref())),
        tls,
        stream,
        peer: peer(),
        local: local(),
        touches: Arc::clone(&bench.touches),
    };
    (client, talk)
}

/// Delivers a mail to `recipient`; what was said at its end, and how long that took.
async fn deliver(bench: &Bench, recipient: &str) -> (String, Duration) {
    let (mut client, talk) = connected(bench, None);
    let start = Instant::now();
    let mail = format!(
        "EHLO me.example\r\nMAIL FROM:<eve@example.com>\r\nRCPT TO:<{recipient}@tokens.example.com>\r\n\
         DATA\r\nSubject: hi\r\n\r\n..see http://example.com/\r\n.\r\nQUIT\r\n"
    );
    let asked = async {
        client.write_all(mail.as_bytes()).await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let (_, answer) = tokio::join!(talk.run(), asked);
    let told = answer.split("354 End").nth(1).unwrap().to_owned();
    (told, start.elapsed())
}

#[tokio::test(start_paused = true)]
async fn a_tokens_mail_is_an_event_and_every_mail_is_taken_alike() {
    let bench = bench(Duration::ZERO);
    let (known, time) = deliver(&bench, &KEYED.to_ascii_uppercase()).await;
    let (unknown, same) = deliver(&bench, NONE).await;
    assert_eq!((time, same), (FLOOR, FLOOR));
    assert_eq!(known.len(), unknown.len());
    assert!(
        known.contains("\r\n250 2.0.0 Ok: queued as ") && known.ends_with("\r\n221 2.0.0 Bye\r\n")
    );
    deliver(&bench, &format!("{KEYED}+list")).await;
    let events = bench.events();
    assert_eq!(events.len(), 2);
    assert_eq!(events[0]["channel"], "smtp");
    assert_eq!(events[0]["canarytoken"], KEYED);
    assert_eq!(events[0]["headers"]["Subject"], "hi");
    assert_eq!(
        events[0]["additional_info"],
        serde_json::json!({"message_size": 41, "tls": false})
    );
}

/// What takes into TLS, and a client that trusts it.
fn secured() -> (TlsAcceptor, TlsConnector) {
    let dir = tempfile::tempdir().unwrap();
    let ca = Ca::new();
    let names = ["tokens.example.com", "*.tokens.example.com"];
    let mut config = config("", "");
    config.token_others.https_files = vec![ca.issue(dir.path(), "a", &names, 2099)];
    let shown = Face::of(&config, None).unwrap().shown();
    (shown.for_mail().unwrap(), connector(&ca, &[]))
}

/// What is said up to `end`.
async fn heard(client: &mut (impl AsyncRead + Unpin), end: &str) -> String {
    let mut said = String::new();
    while !said.ends_with(end) {
        said.push(char::from(client.read_u8().await.unwrap()));
    }
    said
}

/// Says `first` in the clear, the last of which asks for TLS, then shakes hands.
async fn inside(client: DuplexStream, tls: &TlsConnector, first: &str) -> TlsStream<DuplexStream> {
    let mut client = client;
    client.write_all(first.as_bytes()).await.unwrap();
    heard(&mut client, "220 2.0.0 Ready to start TLS\r\n").await;
    let name = ServerName::try_from("mail.tokens.example.com").unwrap();
    tls.connect(name, client).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_mail_over_tls_is_told_as_one_and_what_was_slipped_in_before_is_not_heard() {
    let bench = bench(Duration::ZERO);
    let (acceptor, connector) = secured();
    let mut answers = Vec::new();
    for to in [KEYED, NONE] {
        let (client, talk) = connected(&bench, Some(acceptor.clone()));
        let asked = async {
            let slipped = "EHLO me.example\r\nMAIL FROM:<eve@example.com>\r\nSTARTTLS\r\n\
                           EHLO mallory.example\r\nMAIL FROM:<mallory@example.com>\r\n";
            let mut client = inside(client, &connector, slipped).await;
            assert_eq!(client.get_ref().1.alpn_protocol(), None);
            let rcpt = format!("RCPT TO:<{to}@tokens.example.com>\r\n");
            let start = Instant::now();
            let mail = format!(
                "MAIL FROM:<eve@example.com>\r\n{rcpt}EHLO you.example\r\nSTARTTLS\r\n\
                 MAIL FROM:<adam@example.com>\r\n{rcpt}DATA\r\nSubject: hi\r\n\r\n.\r\nQUIT\r\n"
            );
            client.write_all(mail.as_bytes()).await.unwrap();
            let mut answer = String::new();
            client.read_to_string(&mut answer).await.unwrap();
            (answer, start.elapsed())
        };
        let (ended, (answer, time)) = tokio::join!(talk.run(), asked);
        ended.unwrap();
        assert_eq!(time, FLOOR);
        let wanted = format!(
            "503 5.5.1 Error: send HELO/EHLO first\r\n503 5.5.1 Error: need MAIL command\r\n{}\
             554 5.5.1 Error: TLS already active\r\n250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n\
             354 End data with <CR><LF>.<CR><LF>\r\n250 2.0.0 Ok: queued as ",
            hello_with("")
        );
        assert!(answer.starts_with(&wanted), "{answer}");
        answers.push(answer.len());
    }
    assert_eq!(answers[0], answers[1]);
    let events = bench.events();
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(events[0]["canarytoken"], KEYED);
    assert_eq!(
        events[0]["additional_info"],
        serde_json::json!({"message_size": 15, "tls": true})
    );
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_fails_or_takes_too_long_ends_the_connection() {
    let bench = bench(Duration::ZERO);
    let (acceptor, _) = secured();
    for (said, waited) in [("EHLO me.example\r\n", Duration::ZERO), ("", MAX_HANDSHAKE)] {
        let (mut client, talk) = connected(&bench, Some(acceptor.clone()));
        let asked = async {
            client.write_all(b"STARTTLS\r\n").await.unwrap();
            heard(&mut client, "220 2.0.0 Ready to start TLS\r\n").await;
            client.write_all(said.as_bytes()).await.unwrap();
            let start = Instant::now();
            let mut rest = Vec::new();
            client.read_to_end(&mut rest).await.unwrap();
            (rest, start.elapsed())
        };
        let (ended, (rest, time)) = tokio::join!(talk.run(), asked);
        assert!(ended.is_err());
        assert_eq!(time, waited);
        // Nothing but an alert of TLS, if anything.
        assert!(rest.is_empty() || rest.starts_with(&[21, 3]), "{rest:?}");
    }
    assert!(bench.events().is_empty());
}

#[test]
fn the_fuzzers_way_in_takes_a_whole_conversation() {
    let mail = "EHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<a@tokens.example.com>\r\nDATA\r\nA: b\r\n\r\nc\r\n.\r\n";
    exercise(format!("{mail}STARTTLS\r\n{mail}STARTTLS\r\nQUIT\r\n").as_bytes());
}
