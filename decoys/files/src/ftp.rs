//! FTP (RFC 959) as vsftpd 3.0.3 speaks it with Debian's configuration: nobody ever gets in.
//!
//! Replies, limits and delays were recorded from the Debian 12 package. There is no data
//! connection: vsftpd refuses `PORT`, `EPRT`, `PASV` and `EPSV` before login, and so do we.

use std::time::Duration;

use coalmine_core::decoy::{Broken, Limits, Poke, Session, Sessions, Step, Transport};
use coalmine_core::settings::{any, one_line};
use coalmine_core::text::printable;
use coalmine_core::{Context, DecoyKind, Event, Out, Service, Timestamp};

/// Longest line with its newline, in bytes; vsftpd's command buffer.
const MAX_LINE: usize = 4096;
/// Longest name and longest password that reach the password check, in bytes.
const MAX_CREDENTIAL: usize = 128;
/// Wrong passwords of one connection; the last one ends it.
const MAX_FAILURES: u8 = 3;
/// `idle_session_timeout`: time for one command.
const IDLE: Duration = Duration::from_secs(300);
/// `delay_failed_login`: what vsftpd itself adds to every failed login.
const FAILED_LOGIN: Duration = Duration::from_secs(1);

const FEATURES: &str = "211-Features:\r\n EPRT\r\n EPSV\r\n MDTM\r\n PASV\r\n REST STREAM\r\n SIZE\r\n TVFS\r\n211 End\r\n";

/// FTP server.
pub static KIND: DecoyKind = DecoyKind {
    id: "ftp",
    title: "FTP server",
    doc: "Pretends to be vsftpd on Debian.\nCaptures user names and passwords.",
    transports: &[Transport::Tcp],
    port: 21,
    instances: false,
    tls: None,
    events: &[FtpLogin::KIND],
    settings: FtpSettings::declared,
    build: |given, _| Ok(Service::sessions(Ftp(FtpSettings::parse(given)?))),
    // The session ends itself after `IDLE`; the driver's own limits lie beyond.
    limits: Limits {
        idle: Duration::from_secs(330),
        total: Duration::from_secs(3600),
        ..Limits::LOGIN
    },
    poke: Poke::Script(&[
        Step::Expect(b"220 "),
        Step::Send(b"USER anonymous\r\n"),
        Step::Expect(b"331 "),
        Step::Send(b"PASS guest@example.org\r\n"),
        Step::Expect(b"530 "),
        Step::Send(b"QUIT\r\n"),
        Step::Expect(b"221 "),
    ]),
};

coalmine_core::settings! {
    /// Settings of the FTP decoy.
    pub struct FtpSettings {
        /// Text of the greeting, after the number 220.
        banner: String => "banner" = "(vsFTPd 3.0.3)".to_owned(), one_line;
        /// Pause of the password check in milliseconds.
        /// Like the real one's it varies by half around this value, and one second is added.
        /// 0 answers at once.
        login_delay_ms: u16 => "login_delay_ms" = 2_000, any;
    }
}

coalmine_core::event! {
    /// Somebody tried to log in to the FTP server.
    pub struct FtpLogin: "ftplogin", "FTP Login Attempt", [2000 ""] {
        /// As the client sent it; empty where it sent none.
        username: String => "USERNAME" = "admin",
        /// As the client sent it.
        password: String => "PASSWORD" = "hunter2",
    }
}

struct Ftp(FtpSettings);

impl Sessions for Ftp {
    fn open(&self, context: &Context, out: &mut Out) -> Box<dyn Session> {
        out.send(format!("220 {}\r\n", self.0.banner));
        out.read_until(IDLE);
        Box::new(FtpSession {
            login_delay: Duration::from_millis(self.0.login_delay_ms.into()),
            user: Vec::new(),
            failures: 0,
            checking_until: None,
            idle_from: context.now,
        })
    }
}

struct FtpSession {
    login_delay: Duration,
    /// Of the last `USER`; empty means none.
    user: Vec<u8>,
    failures: u8,
    /// Set while a password is being checked.
    checking_until: Option<Timestamp>,
    /// When the wait for the current command began.
    idle_from: Timestamp,
}

impl Session for FtpSession {
    fn feed(&mut self, input: &[u8], now: Timestamp, out: &mut Out) -> Result<usize, Broken> {
        if let Some(until) = self.checking_until {
            out.wait(until.since(now));
            return Ok(0);
        }
        let Some(end) = input.iter().take(MAX_LINE).position(|&b| b == b'\n') else {
            if input.len() >= MAX_LINE {
                out.send("500 Input line too long.\r\n");
                return Err(Broken);
            }
            // Parts of a command don't stop the clock.
            out.read_until(self.idle_from.plus(IDLE).since(now));
            return Ok(0);
        };
        self.idle_from = now;
        out.read_until(IDLE);
        let mut line = input.get(..end).unwrap_or_default();
        while let Some(shorter) = line.strip_suffix(b"\r") {
            line = shorter;
        }
        self.command(line, now, out);
        Ok(end.saturating_add(1))
    }

    fn wake(&mut self, now: Timestamp, out: &mut Out) {
        if self.checking_until.take().is_none() {
            out.send("421 Timeout.\r\n");
            out.close();
            return;
        }
        self.failures = self.failures.saturating_add(1);
        self.idle_from = now;
        out.send("530 Login incorrect.\r\n");
        if self.failures >= MAX_FAILURES {
            out.close();
        } else {
            out.read_until(IDLE);
        }
    }
}

impl FtpSession {
    fn command(&mut self, line: &[u8], now: Timestamp, out: &mut Out) {
        if line.is_empty() {
            return;
        }
        let space = line.iter().position(|&b| b == b' ').unwrap_or(line.len());
        let (verb, rest) = line.split_at(space);
        let argument = rest.strip_prefix(b" ").unwrap_or_default();
        match verb.to_ascii_uppercase().as_slice() {
            b"USER" => {
                self.user = argument.to_vec();
                out.send("331 Please specify the password.\r\n");
            }
            b"PASS" => self.pass(argument, now, out),
            b"QUIT" => {
                out.send("221 Goodbye.\r\n");
                out.close();
            }
            b"FEAT" => out.send(FEATURES),
            b"OPTS" if argument.eq_ignore_ascii_case(b"UTF8 ON") => {
                out.send("200 Always in UTF8 mode.\r\n");
            }
            b"OPTS" => out.send("501 Option not understood.\r\n"),
            _ => out.send("530 Please login with USER and PASS.\r\n"),
        }
    }

    fn pass(&mut self, password: &[u8], now: Timestamp, out: &mut Out) {
        let user = std::mem::take(&mut self.user);
        out.see(&FtpLogin {
            username: printable(&user),
            password: printable(password),
        });
        if user.is_empty() {
            out.send("503 Login with USER first.\r\n");
            return;
        }
        let delay = if self.login_delay.is_zero() {
            Duration::ZERO
        } else if reaches_password_check(&user, password) {
            FAILED_LOGIN.saturating_add(pam_delay(now, self.login_delay))
        } else {
            FAILED_LOGIN
        };
        self.checking_until = Some(now.plus(delay));
        out.wait(delay);
    }
}

/// Whether the credentials get as far as `pam_unix`, which makes failures slow. vsftpd turns away
/// names with blanks or unprintable bytes and anything too long, `pam_unix` names that look like
/// options.
fn reaches_password_check(user: &[u8], password: &[u8]) -> bool {
    user.len() <= MAX_CREDENTIAL
        && password.len() <= MAX_CREDENTIAL
        && user.iter().all(u8::is_ascii_graphic)
        && !matches!(user.first(), Some(b'-' | b'+' | b'~'))
}

/// How long Linux-PAM holds back a failure: `base` and up to half of it more or less, from the mean
/// of three numbers of a linear congruential generator that starts at the second of the attempt.
/// Whoever knows the second knows the delay, so another distribution would stand out.
fn pam_delay(now: Timestamp, base: Duration) -> Duration {
    // PAM keeps the low 32 bits of the time.
    let mut seed = u32::try_from(now.secs() & 0xffff_ffff).unwrap_or_default();
    let mut sum: u32 = 0;
    for _ in 0..3 {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        sum = sum.saturating_add((seed / 10) % 1_000_000);
    }
    let factor = f64::from(sum) / 3e6 + 0.5;
    base.mul_f64(factor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use coalmine_core::Bird;
    use coalmine_core::suite::{self, Talk};
    use serde_json::json;

    fn talk(delay: u16) -> Talk {
        let mut talk = Talk::with(&KIND, &json!({"login_delay_ms": delay}));
        assert_eq!(talk.said(), b"220 (vsFTPd 3.0.3)\r\n");
        talk
    }

    /// What is answered to `bytes`, waiting for as long as the decoy does.
    fn ask(talk: &mut Talk, bytes: impl AsRef<[u8]>) -> String {
        let mut said = talk.say(bytes);
        said.extend(talk.settle());
        String::from_utf8(said).unwrap()
    }

    /// How long the answer to `bytes` takes.
    fn pause(talk: &mut Talk, bytes: impl AsRef<[u8]>) -> Duration {
        let before = talk.now();
        ask(talk, bytes);
        talk.now().since(before)
    }

    const NEEDED: &str = "331 Please specify the password.\r\n";
    const WRONG: &str = "530 Login incorrect.\r\n";
    const FIRST: &str = "530 Please login with USER and PASS.\r\n";

    #[test]
    fn holds_what_every_decoy_must() {
        suite::check(&KIND);
    }

    #[test]
    fn three_wrong_passwords_end_the_connection() {
        let mut talk = talk(2_000);
        let logins = [("root", "toor"), ("admin", ""), ("a:)", "x  y ")];
        for (user, password) in logins {
            assert_eq!(ask(&mut talk, format!("USER {user}\r\n")), NEEDED);
            assert!(!talk.is_closed());
            assert_eq!(ask(&mut talk, format!("PASS {password}\r\n")), WRONG);
        }
        assert!(talk.is_closed());
        let seen = logins.map(|(u, p)| (2000, json!({"USERNAME": u, "PASSWORD": p})));
        assert_eq!(talk.events(), seen);
    }

    #[test]
    fn the_event_comes_before_the_pause() {
        let mut talk = talk(2_000);
        ask(&mut talk, "USER root\r\n");
        assert_eq!(talk.say("PASS toor\r\n"), b"");
        assert_eq!(talk.events().len(), 1);
    }

    /// Seconds of the attempt and delays as measured on Debian 12, less the second that vsftpd adds.
    #[test]
    fn the_pause_is_the_one_pam_makes_in_that_second() {
        for (second, measured_ms) in [
            (1_795_315_374, 2_442),
            (1_795_315_375, 2_252),
            (1_795_315_378, 1_984),
            (1_795_315_381, 2_396),
        ] {
            let ours = pam_delay(Timestamp::from_secs(second), Duration::from_secs(2));
            let apart = ours.abs_diff(Duration::from_millis(measured_ms));
            assert!(apart < Duration::from_millis(20), "{second}: {ours:?}");
        }
    }

    #[test]
    fn names_that_pam_never_sees_fail_after_one_second() {
        let long = "u".repeat(129);
        for user in [
            " root", "root ", "a\tb", "a\x7fb", "a\rb", "é", "-a", "+a", "~a", &long,
        ] {
            let mut talk = talk(2_000);
            let login = format!("USER {user}\r\nPASS x\r\n");
            assert_eq!(pause(&mut talk, login), FAILED_LOGIN, "{user:?}");
        }
        let mut talk = talk(2_000);
        let (user, password) = ("u".repeat(128), "p".repeat(128));
        let login = format!("USER {user}\r\nPASS {password}\r\n");
        assert!(pause(&mut talk, login) >= Duration::from_secs(2));
        let login = format!("USER {user}\r\nPASS {password}p\r\n");
        assert_eq!(pause(&mut talk, login), FAILED_LOGIN);
    }

    #[test]
    fn the_pause_can_be_taken_out() {
        let mut talk = talk(0);
        let login = "USER a\r\nPASS b\r\n";
        assert_eq!(pause(&mut talk, login), Duration::ZERO);
        assert_eq!(ask(&mut talk, login), format!("{NEEDED}{WRONG}"));
    }

    #[test]
    fn a_password_without_a_user_is_refused_and_seen() {
        const NO_USER: &str = "503 Login with USER first.\r\n";
        let mut talk = talk(2_000);
        assert_eq!(ask(&mut talk, "PASS x\r\n"), NO_USER);
        assert_eq!(
            talk.events(),
            [(2000, json!({"USERNAME": "", "PASSWORD": "x"}))]
        );
        assert_eq!(ask(&mut talk, "USER\r\n"), NEEDED);
        assert_eq!(ask(&mut talk, "PASS y\r\n"), NO_USER);
        ask(&mut talk, "USER a\r\nPASS b\r\n");
        assert_eq!(ask(&mut talk, "PASS c\r\n"), NO_USER);
        assert!(!talk.is_closed());
    }

    #[test]
    fn before_login_only_five_commands_are_known() {
        let mut talk = talk(2_000);
        assert_eq!(
            ask(&mut talk, "feat\r\n"),
            "211-Features:\r\n EPRT\r\n EPSV\r\n MDTM\r\n PASV\r\n REST STREAM\r\n SIZE\r\n TVFS\r\n211 End\r\n"
        );
        assert_eq!(ask(&mut talk, "FEAT  \r\n"), FEATURES);
        assert_eq!(
            ask(&mut talk, "OPTS utf8 on\r\n"),
            "200 Always in UTF8 mode.\r\n"
        );
        for odd in [
            "OPTS",
            "OPTS UTF8",
            "OPTS UTF8 ON ",
            "OPTS  UTF8 ON",
            "OPTS UTF8 OFF",
        ] {
            assert_eq!(
                ask(&mut talk, format!("{odd}\r\n")),
                "501 Option not understood.\r\n"
            );
        }
        for other in
            "SYST|HELP|STAT|NOOP|PASV|PORT 127,0,0,1,4,5|EPRT ,1,127.0.0.1,5000,|EPSV|AUTH TLS|\
            PBSZ 0|LIST|RETR x|STOR x|REIN|ABOR|XYZZY| | FEAT|FEAT\t|FEAT\0|\t|GET / HTTP/1.1"
                .split('|')
        {
            assert_eq!(ask(&mut talk, format!("{other}\r\n")), FIRST, "{other:?}");
        }
        assert_eq!(ask(&mut talk, b"\xff\xf4\xf2FEAT\r\n"), FIRST);
        assert_eq!(ask(&mut talk, "quit \r\n"), "221 Goodbye.\r\n");
        assert!(talk.is_closed() && talk.events().is_empty());
    }

    #[test]
    fn lines_end_with_a_newline_and_empty_ones_are_passed_over() {
        let mut talk = talk(2_000);
        assert_eq!(ask(&mut talk, "\r\n\n\r\r\n"), "");
        assert_eq!(ask(&mut talk, "SYST\n"), FIRST);
        assert_eq!(ask(&mut talk, "FEAT\r"), "");
        assert_eq!(ask(&mut talk, "\r\n"), FEATURES);
    }

    #[test]
    fn a_line_of_more_than_4096_bytes_ends_the_connection() {
        const TOO_LONG: &str = "500 Input line too long.\r\n";
        let fits = format!("{}\n", "A".repeat(4095));
        assert_eq!(ask(&mut talk(0), fits), FIRST);
        for long in [format!("{}\n", "A".repeat(4096)), "A".repeat(4096)] {
            let mut talk = talk(0);
            assert_eq!(ask(&mut talk, long), TOO_LONG);
            assert!(talk.is_closed());
        }
        let mut talk = talk(0);
        assert_eq!(ask(&mut talk, "A".repeat(4095)), "");
        assert_eq!(ask(&mut talk, "\r\n"), TOO_LONG);
    }

    #[test]
    fn pipelined_commands_are_answered_in_order_after_the_pause() {
        let mut one = talk(2_000);
        assert_eq!(
            ask(
                &mut one,
                "USER root\r\nPASS wrong\r\nSYST\r\nFEAT\r\nQUIT\r\n"
            ),
            format!("{NEEDED}{WRONG}{FIRST}{FEATURES}221 Goodbye.\r\n")
        );
        let mut three = talk(2_000);
        let logins = "USER a\r\nPASS b\r\n".repeat(3) + "NOOP\r\n";
        assert_eq!(
            ask(&mut three, logins),
            format!("{NEEDED}{WRONG}").repeat(3)
        );
        assert!(three.is_closed() && three.events().len() == 3);
    }

    #[test]
    fn a_command_has_five_minutes_whatever_trickles_in() {
        let mut talk = talk(0);
        assert_eq!(talk.advance(Duration::from_secs(200)), b"");
        assert_eq!(ask(&mut talk, "FEA"), "");
        assert_eq!(talk.advance(Duration::from_secs(99)), b"");
        assert_eq!(talk.advance(Duration::from_secs(1)), b"421 Timeout.\r\n");
        assert!(talk.is_closed());
    }

    #[test]
    fn a_peer_that_hangs_up_still_gets_the_answer_to_its_password() {
        let mut talk = talk(2_000);
        talk.say("USER a\r\nPASS b\r\n");
        assert_eq!(talk.end(), b"");
        assert_eq!(talk.settle(), WRONG.as_bytes());
        assert!(talk.is_closed());
    }

    #[test]
    fn the_greeting_can_be_changed_but_stays_one_line() {
        let mut talk = Talk::with(&KIND, &json!({"banner": "Welcome"}));
        assert_eq!(talk.said(), b"220 Welcome\r\n");
        let given = json!({"banner": "a\r\nb"});
        let faults = (KIND.build)(given.as_object().unwrap(), &Bird::sample());
        assert_eq!(faults.err().unwrap()[0].key, "banner");
    }
}
