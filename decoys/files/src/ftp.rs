//! FTP (RFC 959) as vsftpd 3.0.3 speaks it with Debian's configuration, or one of four other
//! servers: nobody ever gets in.
//!
//! There is no data connection: all of them refuse `PORT`, `EPRT`, `PASV` and `EPSV` before login.

mod products;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use coalmine_core::decoy::{Broken, Limits, Poke, Session, Sessions, Step, Transport};
use coalmine_core::settings::{any, one_line};
use coalmine_core::text::printable;
use coalmine_core::{Context, DecoyKind, Event, Out, Service, Timestamp};

use products::Answer;

/// Longest line with its newline, in bytes; vsftpd's command buffer.
const MAX_LINE: usize = 4096;
/// The same of ProFTPD, which never answers a longer one.
const MAX_PROFTPD_LINE: usize = 8 * 1024;
/// Longest name and longest password that reach the password check of vsftpd, in bytes.
const MAX_CREDENTIAL: usize = 128;
/// `delay_failed_login`: what vsftpd itself adds to every failed login.
const FAILED_LOGIN: Duration = Duration::from_secs(1);

/// FTP server.
pub static KIND: DecoyKind = DecoyKind {
    id: "ftp",
    title: "FTP server",
    doc: "Pretends to be vsftpd on Debian, or another FTP server.\nCaptures user names and passwords.",
    transports: &[Transport::Tcp],
    port: 21,
    instances: false,
    tls: None,
    events: &[FtpLogin::KIND],
    settings: FtpSettings::declared,
    build: |given, bird| {
        Ok(Service::sessions(Ftp {
            settings: Arc::new(FtpSettings::parse(given)?),
            host: bird.name.clone().into(),
            open: Arc::default(),
        }))
    },
    // Sessions end themselves earlier; the driver's own limits lie beyond.
    limits: Limits {
        idle: Duration::from_secs(930),
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

coalmine_core::choice! {
    /// Which server is claimed.
    pub enum Product {
        Vsftpd => "vsftpd",
        ProFtpd => "proftpd",
        PureFtpd => "pure-ftpd",
        Microsoft => "microsoft",
        Synology => "synology",
    }
}

coalmine_core::settings! {
    /// Settings of the FTP decoy.
    pub struct FtpSettings {
        /// Which server is claimed; decides texts, delays and tries.
        product: Product => "product" = Product::Vsftpd, any;
        /// Text of the greeting, after the number 220; empty for the product's own.
        banner: String => "banner" = String::new(), one_line;
        /// Pause of the password check in milliseconds, for vsftpd and Pure-FTPd.
        /// Like the real ones' it varies by half around this value; vsftpd adds one second,
        /// Pure-FTPd more with each failure.
        /// 0 answers at once.
        login_delay_ms: u16 => "login_delay_ms" = 2_000, any;
        /// Whether clients may start TLS (`AUTH TLS`), with the bird's own certificate.
        tls: bool => "tls.enabled" = false, any;
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

struct Ftp {
    settings: Arc<FtpSettings>,
    host: Arc<str>,
    /// Open sessions.
    open: Arc<AtomicUsize>,
}

impl Sessions for Ftp {
    fn open(&self, context: &Context, out: &mut Out) -> Box<dyn Session> {
        let number = self.open.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        let product = self.settings.product;
        if self.settings.banner.is_empty() {
            out.send(products::greeting(product, context, number));
        } else {
            out.send(format!("220 {}\r\n", self.settings.banner));
        }
        let session = FtpSession {
            settings: Arc::clone(&self.settings),
            host: Arc::clone(&self.host),
            local: context.local.ip(),
            open: Arc::clone(&self.open),
            user: None,
            failures: 0,
            secured: false,
            protection: false,
            checking_until: None,
            idle_from: context.now,
        };
        out.read_until(session.patience());
        Box::new(session)
    }
}

struct FtpSession {
    settings: Arc<FtpSettings>,
    host: Arc<str>,
    local: IpAddr,
    open: Arc<AtomicUsize>,
    /// Of the last `USER`.
    user: Option<Vec<u8>>,
    failures: u8,
    /// TLS is up.
    secured: bool,
    /// `PBSZ` came.
    protection: bool,
    /// Set while a password is being checked.
    checking_until: Option<Timestamp>,
    /// When the wait for the current command began.
    idle_from: Timestamp,
}

impl Drop for FtpSession {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Session for FtpSession {
    fn feed(&mut self, input: &[u8], now: Timestamp, out: &mut Out) -> Result<usize, Broken> {
        if let Some(until) = self.checking_until {
            out.wait(until.since(now));
            return Ok(0);
        }
        let Some((line, consumed)) = self.line(input) else {
            let (most, text) = products::longest_line(self.settings.product);
            if input.len() >= most {
                out.send(text);
                return if text.is_empty() {
                    Ok(input.len())
                } else {
                    Err(Broken)
                };
            }
            // Parts of a command don't stop the clock.
            out.read_until(self.idle_from.plus(self.patience()).since(now));
            return Ok(0);
        };
        self.idle_from = now;
        out.read_until(self.patience());
        self.command(line, now, out);
        Ok(consumed)
    }

    fn wake(&mut self, now: Timestamp, out: &mut Out) {
        let product = self.settings.product;
        if self.checking_until.take().is_none() {
            out.send(products::timeout(product).1);
            out.close();
            return;
        }
        self.failures = self.failures.saturating_add(1);
        self.idle_from = now;
        let (tries, wrong) = products::refusal(product);
        out.send(wrong);
        if self.failures >= tries {
            out.close();
        } else {
            out.read_until(self.patience());
        }
    }

    fn secured(&mut self, now: Timestamp, out: &mut Out) {
        self.secured = true;
        self.user = None;
        self.idle_from = now;
        out.read_until(self.patience());
    }
}

impl FtpSession {
    /// Time for one command.
    fn patience(&self) -> Duration {
        products::timeout(self.settings.product).0
    }

    /// The first line of `input` without its end, and its length with it.
    fn line<'a>(&self, input: &'a [u8]) -> Option<(&'a [u8], usize)> {
        let (most, _) = products::longest_line(self.settings.product);
        let bounded = input.get(..most).unwrap_or(input);
        let end = if self.settings.product == Product::ProFtpd {
            let pair = bounded.windows(2).position(|pair| pair == b"\r\n")?;
            pair.saturating_add(1)
        } else {
            bounded.iter().position(|&b| b == b'\n')?
        };
        let mut line = input.get(..end)?;
        while let Some(shorter) = line.strip_suffix(b"\r") {
            line = shorter;
            if self.settings.product == Product::PureFtpd {
                break;
            }
        }
        Some((line, end.saturating_add(1)))
    }

    fn command(&mut self, line: &[u8], now: Timestamp, out: &mut Out) {
        let asked = products::Asked {
            line,
            tls: self.settings.tls,
            secured: self.secured,
            protection: self.protection,
            has_user: self.user.as_ref().is_some_and(|user| !user.is_empty()),
            host: &self.host,
            local: self.local,
        };
        match products::answer(self.settings.product, &asked) {
            Answer::Say(text) => out.send(text),
            Answer::User(user, text) => {
                self.user = Some(user);
                out.send(text);
            }
            Answer::Pass(password) => self.pass(&password, now, out),
            Answer::NoUser(password, text) => {
                if let Some(password) = password {
                    self.see(b"", &password, out);
                }
                out.send(text);
            }
            Answer::StartTls(text) => {
                out.send(text);
                out.start_tls();
            }
            Answer::Protection(text) => {
                self.protection = true;
                out.send(text);
            }
            Answer::Close(text) => {
                out.send(text);
                out.close();
            }
        }
    }

    fn see(&self, user: &[u8], password: &[u8], out: &mut Out) {
        out.see(&FtpLogin {
            username: printable(user),
            password: printable(password),
        });
    }

    fn pass(&mut self, password: &[u8], now: Timestamp, out: &mut Out) {
        let product = self.settings.product;
        let user = self.user.take().unwrap_or_default();
        self.see(&user, password, out);
        let base = Duration::from_millis(self.settings.login_delay_ms.into());
        let delay = match product {
            _ if base.is_zero() => Duration::ZERO,
            Product::Vsftpd if reaches_password_check(&user, password) => {
                FAILED_LOGIN.saturating_add(pam_delay(now, base))
            }
            Product::Vsftpd => FAILED_LOGIN,
            // Three seconds more with each failure.
            Product::PureFtpd => {
                let grown = u64::from(self.failures).saturating_add(1).saturating_mul(3);
                Duration::from_secs(grown.saturating_add(1)).saturating_add(pam_delay(now, base))
            }
            Product::ProFtpd | Product::Microsoft | Product::Synology => Duration::ZERO,
        };
        if product == Product::PureFtpd {
            self.user = Some(user);
        }
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
