use std::future::Future;

use coalmine_core::Timestamp;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::*;

const MAIL: Mail<'_> = Mail {
    text: "Subject: x\r\n\r\n\u{fc}\r\n",
    sent: Timestamp::from_secs(1_700_000_000),
};

type Peer = BufReader<TcpStream>;

/// Puts the mail into a mailbox of a server that does as `play` says; what became of it.
async fn place<F, P>(master: bool, play: F) -> Result<String, Problem>
where
    F: FnOnce(Peer) -> P,
    P: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let password = Password::Text("p\u{e4}ss \"w\"".to_owned());
    let server = ImapServer {
        host: "127.0.0.1".to_owned(),
        port,
        tls: false,
        ca_file: None,
        folder: "Old mails".to_owned(),
        seen: true,
        master: master.then(|| Login {
            user: "master".to_owned(),
            password: Password::Text("key".to_owned()),
        }),
        mailboxes: vec![ImapMailbox {
            address: "alice@example.com".to_owned(),
            name: String::new(),
            user: "alice".to_owned(),
            password: (!master).then_some(password),
        }],
    };
    let placing = async { server.place("alice@example.com", MAIL).await };
    let (placed, ()) = tokio::join!(placing, async {
        let (stream, _) = listener.accept().await.unwrap();
        play(BufReader::new(stream)).await;
    });
    placed.map_err(|problem| match problem {
        // The port is another one each time.
        Problem::Server(said) => Problem::Server(said.replace(&port.to_string(), "PORT")),
        other => other,
    })
}

async fn say(peer: &mut Peer, text: &str) {
    peer.get_mut().write_all(text.as_bytes()).await.unwrap();
}

async fn hear(peer: &mut Peer) -> String {
    let mut line = String::new();
    peer.read_line(&mut line).await.unwrap();
    line
}

async fn hear_bytes(peer: &mut Peer, many: usize) -> String {
    let mut bytes = vec![0; many];
    peer.read_exact(&mut bytes).await.unwrap();
    String::from_utf8(bytes).unwrap()
}

/// Greets and lets the mailbox's owner in.
async fn welcome(peer: &mut Peer) {
    say(peer, "* OK [CAPABILITY IMAP4rev1] ready\r\n").await;
    assert_eq!(hear(peer).await, "A1 LOGIN alice {9}\r\n");
    say(peer, "+ go on\r\n").await;
    assert_eq!(hear_bytes(peer, 11).await, "p\u{e4}ss \"w\"\r\n");
    say(peer, "* CAPABILITY IMAP4rev1\r\nA1 OK in\r\n").await;
}

const APPEND: &str = " APPEND \"Old mails\" (\\Seen) \"14-Nov-2023 22:13:20 +0000\" {18}\r\n";

async fn hear_mail(peer: &mut Peer, tag: &str) {
    assert_eq!(hear(peer).await, format!("{tag}{APPEND}"));
    say(peer, "+ OK\r\n").await;
    assert_eq!(hear_bytes(peer, 20).await, format!("{}\r\n", MAIL.text));
}

#[tokio::test]
async fn a_mail_is_appended_with_its_date_and_flag() {
    let placed = place(false, |mut peer| async move {
        welcome(&mut peer).await;
        hear_mail(&mut peer, "A2").await;
        say(&mut peer, "* 3 EXISTS\r\nA2 OK [APPENDUID 1 2] done\r\n").await;
        assert_eq!(hear(&mut peer).await, "A3 LOGOUT\r\n");
        say(&mut peer, "* BYE\r\nA3 OK\r\n").await;
    });
    assert_eq!(placed.await, Ok("Old mails".to_owned()));
}

#[tokio::test]
async fn a_missing_folder_is_made() {
    let placed = place(false, |mut peer| async move {
        welcome(&mut peer).await;
        assert_eq!(hear(&mut peer).await, format!("A2{APPEND}"));
        say(&mut peer, "A2 NO [TRYCREATE] no such mailbox\r\n").await;
        assert_eq!(hear(&mut peer).await, "A3 CREATE \"Old mails\"\r\n");
        say(&mut peer, "A3 OK made\r\n").await;
        hear_mail(&mut peer, "A4").await;
        say(&mut peer, "A4 OK done\r\n").await;
        // Gone without a word: the mail is there all the same.
    });
    assert_eq!(placed.await, Ok("Old mails".to_owned()));
}

#[tokio::test]
async fn a_master_user_acts_for_the_mailbox() {
    let placed = place(true, |mut peer| async move {
        say(&mut peer, "* OK ready\r\n").await;
        assert_eq!(hear(&mut peer).await, "A1 AUTHENTICATE PLAIN\r\n");
        say(&mut peer, "+ \r\n").await;
        // alice NUL master NUL key
        assert_eq!(hear(&mut peer).await, "YWxpY2UAbWFzdGVyAGtleQ==\r\n");
        say(&mut peer, "A1 NO [AUTHENTICATIONFAILED] who?\r\n").await;
    });
    let refused = Problem::Mailbox("login refused: who?".to_owned());
    assert_eq!(placed.await, Err(refused));
}

#[tokio::test]
async fn a_server_that_says_the_password_again_is_told_without_it() {
    let placed = place(true, |mut peer| async move {
        say(&mut peer, "* OK ready\r\n").await;
        hear(&mut peer).await;
        say(&mut peer, "+ \r\n").await;
        hear(&mut peer).await;
        say(&mut peer, "A1 NO not key, YWxpY2UAbWFzdGVyAGtleQ==\r\n").await;
    });
    let refused = "login refused: not ***, ***".to_owned();
    assert_eq!(placed.await, Err(Problem::Mailbox(refused)));
}

#[tokio::test]
async fn a_server_that_says_no_good_bye_has_the_mail_all_the_same() {
    let begun = std::time::Instant::now();
    let placed = place(false, |mut peer| async move {
        welcome(&mut peer).await;
        hear_mail(&mut peer, "A2").await;
        say(&mut peer, "A2 OK there\r\n").await;
        assert_eq!(hear(&mut peer).await, "A3 LOGOUT\r\n");
        // Until the client has gone.
        assert_eq!(hear(&mut peer).await, "");
    });
    assert_eq!(placed.await.as_deref(), Ok("Old mails"));
    assert!(begun.elapsed() < MAX_CONVERSATION);
}

#[tokio::test]
async fn what_servers_do_wrong_is_told() {
    let server = |what: &str| Err(Problem::Server(format!("127.0.0.1:PORT: {what}")));
    for (greeting, wanted) in [
        ("", server("closed the connection")),
        ("* BYE full\r\n", server("said good-bye: full")),
        (
            "* PREAUTH you\r\n",
            server("greeted otherwise than IMAP servers do"),
        ),
        (
            "220 mail.example.com ESMTP\r\n",
            server("does not answer as IMAP servers do"),
        ),
    ] {
        let placed = place(false, move |mut peer| async move {
            say(&mut peer, greeting).await;
        });
        assert_eq!(placed.await, wanted, "{greeting}");
    }
    let placed = place(false, |mut peer| async move {
        welcome(&mut peer).await;
        hear_mail(&mut peer, "A2").await;
        say(&mut peer, "A2 NO [OVERQUOTA] mailbox is full\r\n").await;
    });
    let full = Problem::Mailbox("took no mail: mailbox is full".to_owned());
    assert_eq!(placed.await, Err(full));
    let placed = place(false, |mut peer| async move {
        say(&mut peer, "* OK ready\r\n").await;
        hear(&mut peer).await;
        say(&mut peer, "* BYE going down\r\n").await;
    });
    assert_eq!(placed.await, server("said good-bye: going down"));
}

#[tokio::test]
async fn nobody_makes_us_take_more_than_we_want() {
    let endless = |text: &'static str| {
        place(false, move |mut peer| async move {
            say(&mut peer, "* OK ready\r\n").await;
            hear(&mut peer).await;
            let stream = peer.get_mut();
            while stream.write_all(text.as_bytes()).await.is_ok() {}
        })
    };
    let many = Problem::Server("127.0.0.1:PORT: talks without end".to_owned());
    assert_eq!(endless("aaaaaaaaaaaaaaaa").await, Err(many.clone()));
    assert_eq!(endless("* OK {99999999}\r\n").await, Err(many.clone()));
    assert_eq!(endless("* OK still here\r\n").await, Err(many));
}

#[test]
fn a_password_is_a_files_first_line_and_never_shown() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pw");
    std::fs::write(&file, "s3cret\r\nmore\n").unwrap();
    assert_eq!(Password::File(file.clone()).read().as_deref(), Ok("s3cret"));
    std::fs::remove_file(&file).unwrap();
    let missing = Password::File(file.clone()).read().unwrap_err();
    assert!(missing.starts_with(&format!("the file {} can't be read", file.display())));
    let text = Password::Text("s3cret".to_owned());
    assert_eq!(format!("{text:?}"), "Text(***)");
}
