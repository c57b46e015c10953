use tokio::io::duplex;

use super::*;
use crate::channels::tests::{Bench, KEYED, NONE, bench, local, peer};

fn dialogue() -> Dialogue {
    Dialogue::new(
        Host::new("tokens.example.com"),
        vec!["more.example".to_owned()],
    )
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
            ("STARTTLS", "500 5.5.2 Error: command not recognized"),
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
    assert!(hello.starts_with("250-mail.tokens.example.com\r\n250-PIPELINING\r\n"));
    assert!(hello.ends_with("250 SMTPUTF8\r\n"));
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

/// Delivers a mail to `recipient`; what was said at its end, and how long that took.
async fn deliver(bench: &Bench, recipient: &str) -> (String, Duration) {
    let (mut client, server) = duplex(64 * 1024);
    let mut talk = Talk {
        dialogue: dialogue(),
        stream: server,
        peer: peer(),
        local: local(),
        touches: Arc::clone(&bench.touches),
    };
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
    assert_eq!(events[0]["additional_info"]["message_size"], 41);
}

#[test]
fn the_fuzzers_way_in_takes_a_whole_conversation() {
    exercise(b"EHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<a@tokens.example.com>\r\nDATA\r\nA: b\r\n\r\nc\r\n.\r\nQUIT\r\n");
}
