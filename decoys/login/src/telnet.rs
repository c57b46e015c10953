//! Telnet (RFC 854): BusyBox's or inetutils' server before login(1), or a Cisco IOS router.

mod codec;
mod line;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use coalmine_core::decoy::{
    Broken, Context, DecoyKind, Limits, Out, Poke, Service, Session, Sessions, Step, Transport,
};
use coalmine_core::settings::{Fault, any, pause};
use coalmine_core::text::printable;
use coalmine_core::{Bird, Event, Seed, Timestamp, choice, event, settings};
use serde_json::{Map, Value};

use codec::{DO, DONT, Decoder, IAC, Item, SB, SE, WILL, WONT};
use line::{Key, Line};

/// Longest text of a setting, in bytes.
const MAX_TEXT: usize = 2048;
/// Data kept while options are still negotiated, in bytes.
const MAX_EARLY: usize = 4096;
/// Terminal type (RFC 1091).
const TTYPE: u8 = 24;
/// Negotiate about window size (RFC 1073).
const NAWS: u8 = 31;
/// What inetutils' server asks before it greets: terminal type, speed, display, environment in
/// both its forms.
const ASKED_FIRST: [u8; 5] = [TTYPE, 32, 35, 39, 36];

/// The decoy.
pub static KIND: DecoyKind = DecoyKind {
    id: "telnet",
    title: "Telnet server",
    doc: "Pretends to be a Telnet login of a Linux device or a router.\n\
          Captures user names, passwords, the terminal's type and size.\n\
          Nobody ever gets in.\n",
    transports: &[Transport::Tcp],
    port: 23,
    instances: false,
    tls: None,
    events: &[TelnetLogin::KIND],
    settings: TelnetSettings::declared,
    build,
    limits: Limits::LOGIN,
    poke: Poke::Script(&[
        Step::Expect(b"ogin: "),
        Step::Send(b"coalmine-poke\r\n"),
        Step::Expect(b"assword: "),
        Step::Send(b"harmless\r\n"),
        Step::Expect(b"incorrect"),
    ]),
};

event! {
    /// Somebody tried to log in.
    pub struct TelnetLogin: "telnetlogin", "Telnet Login Attempt", [6001 ""] {
        /// As the client sent it.
        username: String => "USERNAME" = "admin",
        /// As the client sent it.
        password: String => "PASSWORD" = "hunter2",
        /// Columns and rows of the client's terminal; empty when not told.
        term_size: String => "TERMSIZE" = "80x24",
        /// Type of the client's terminal; empty when not told.
        term_type: String => "TERMTYPE" = "xterm-256color",
    }
}

choice! {
    /// Which server is claimed.
    pub enum Product {
        BusyBox => "busybox",
        Inetutils => "inetutils",
        CiscoIos => "cisco-ios",
    }
}

settings! {
    /// Settings of the Telnet decoy.
    pub struct TelnetSettings {
        /// Which server is claimed; decides option negotiation, texts, delays and tries.
        product: Product => "product" = Product::BusyBox, any;
        /// Text before the first prompt; empty for the product's own.
        banner: String => "banner" = String::new(), words;
        /// Prompt for the user name, where %h stands for the bird's name; empty for the product's
        /// own.
        user_prompt: String => "user_prompt" = String::new(), words;
        /// Prompt for the password; empty for the product's own.
        password_prompt: String => "password_prompt" = String::new(), words;
        /// Answer to a wrong password; empty for the product's own.
        authentication_failed_prompt: String => "authentication_failed_prompt" = String::new(), words;
        /// Pause after a wrong password in milliseconds, give or take a quarter; Cisco IOS has
        /// none. 3000 is Debian's `pam_faildelay`.
        login_delay_ms: u16 => "login_delay_ms" = 3000, pause;
    }
}

fn words(text: &str) -> Result<(), String> {
    if text.len() > MAX_TEXT {
        return Err(format!("must be at most {MAX_TEXT} bytes long"));
    }
    Ok(())
}

fn build(given: &Map<String, Value>, bird: &Arc<Bird>) -> Result<Service, Vec<Fault>> {
    let settings = TelnetSettings::parse(given)?;
    Ok(Service::sessions(Telnet(Arc::new(Persona::new(
        &settings, bird,
    )))))
}

/// All that tells one product from another; texts as they go over the wire.
struct Persona {
    product: Product,
    /// First bytes.
    hello: &'static [u8],
    /// What follows once the questions in the first bytes are answered.
    second: Option<&'static [u8]>,
    banner: Vec<u8>,
    user_prompt: Vec<u8>,
    password_prompt: Vec<u8>,
    failed: Vec<u8>,
    /// Wrong passwords until the end, and the last words.
    tries: u32,
    farewell: &'static [u8],
    /// How long a login may take, and the words at its end.
    patience: Duration,
    timed_out: &'static [u8],
    /// Shortest and longest refusal, in milliseconds.
    delay: (u64, u64),
}

impl Persona {
    fn new(settings: &TelnetSettings, bird: &Bird) -> Self {
        let kernel = bird.seed.number("debian kernel", 31, 41);
        let (banner, user, password, failed) = match settings.product {
            Product::BusyBox => (
                String::new(),
                "%h login: ",
                "Password: ",
                "\nLogin incorrect\n",
            ),
            Product::Inetutils => (
                format!("\nLinux 6.1.0-{kernel}-amd64 (%h) (pts/0)\n\n"),
                "%h login: ",
                "Password: ",
                "\nLogin incorrect\n",
            ),
            Product::CiscoIos => (
                "\n\nUser Access Verification\n\n".to_owned(),
                "Username: ",
                "Password: ",
                "% Login invalid\n\n",
            ),
        };
        let text = |set: &str, own: &str| -> Vec<u8> {
            let text = if set.is_empty() { own } else { set };
            text.replace("\r\n", "\n")
                .replace('\n', "\r\n")
                .replace("%h", &bird.name)
                .into_bytes()
        };
        let ending = |set: &str, own: &str| -> Vec<u8> {
            if set.is_empty() {
                return text("", own);
            }
            text(&format!("\n{}\n", set.trim_matches(['\r', '\n'])), "")
        };
        let cisco = settings.product == Product::CiscoIos;
        Self {
            product: settings.product,
            hello: match settings.product {
                Product::BusyBox => &[IAC, DO, 1, IAC, DO, NAWS, IAC, WILL, 1, IAC, WILL, 3],
                Product::Inetutils => &[
                    IAC, WILL, 37, IAC, WILL, 38, IAC, DO, TTYPE, IAC, DO, 32, IAC, DO, 35, IAC,
                    DO, 39, IAC, DO, 36,
                ],
                Product::CiscoIos => &[IAC, WILL, 1, IAC, WILL, 3, IAC, DO, TTYPE, IAC, DO, NAWS],
            },
            second: (settings.product == Product::Inetutils).then_some(&[
                IAC, WILL, 3, IAC, DO, 1, IAC, DO, 34, IAC, DO, NAWS, IAC, WILL, 5, IAC, DO, 33,
                IAC, WILL, 1, IAC, DO, 6, IAC, DO, 0,
            ]),
            banner: text(&settings.banner, &banner),
            user_prompt: text(&settings.user_prompt, user),
            password_prompt: text(&settings.password_prompt, password),
            failed: ending(&settings.authentication_failed_prompt, failed),
            tries: if cisco { 3 } else { 5 },
            farewell: if cisco {
                b""
            } else {
                b"Maximum number of tries exceeded (5)\r\n"
            },
            patience: Duration::from_secs(if cisco { 30 } else { 60 }),
            timed_out: if cisco {
                b"\r\n% Username:  timeout expired!\r\n"
            } else {
                b"\r\nLogin timed out after 60 seconds.\r\n"
            },
            // PAM adds or takes up to a quarter.
            delay: if cisco {
                (0, 1)
            } else {
                let mean = u64::from(settings.login_delay_ms);
                (mean / 4 * 3, mean / 4 * 5)
            },
        }
    }
}

struct Telnet(Arc<Persona>);

impl Sessions for Telnet {
    fn open(&self, context: &Context, out: &mut Out) -> Box<dyn Session> {
        let mut talk = Talk {
            persona: self.0.clone(),
            seed: context.seed.clone(),
            decoder: Decoder::default(),
            phase: Phase::Name,
            line: Line::default(),
            name: Vec::new(),
            failures: 0,
            deadline: context.now,
            early: VecDeque::new(),
            unanswered: ASKED_FIRST.to_vec(),
            untold: Vec::new(),
            refused: Vec::new(),
            term_size: String::new(),
            term_type: String::new(),
            asking_type: Asking::No,
        };
        out.send(self.0.hello);
        if self.0.second.is_some() {
            talk.phase = Phase::Options;
        } else {
            talk.greet(context.now, out);
        }
        Box::new(talk)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The client must answer our questions first.
    Options,
    Name,
    Password,
    /// The refusal is held back.
    Stall,
}

/// One conversation.
struct Talk {
    persona: Arc<Persona>,
    seed: Seed,
    decoder: Decoder,
    phase: Phase,
    line: Line,
    name: Vec<u8>,
    failures: u32,
    /// When the login must be over.
    deadline: Timestamp,
    /// Data that came before the greeting.
    early: VecDeque<u8>,
    /// Of the options asked first, those without an answer, and those whose parameters are due.
    unanswered: Vec<u8>,
    untold: Vec<u8>,
    /// Options refused already; each is refused once, so that nobody can be kept talking.
    refused: Vec<(u8, u8)>,
    term_size: String,
    term_type: String,
    asking_type: Asking,
}

impl Session for Talk {
    fn feed(&mut self, input: &[u8], now: Timestamp, out: &mut Out) -> Result<usize, Broken> {
        let mut consumed = 0_usize;
        for byte in input {
            consumed = consumed.saturating_add(1);
            let stop = match self.decoder.push(*byte) {
                None => false,
                Some(Item::Data(byte)) => self.data(byte, out),
                Some(Item::Option(verb, option)) => {
                    self.option(verb, option, out);
                    false
                }
                Some(Item::Parameters(option, told)) => {
                    self.parameters(option, &told);
                    false
                }
                Some(Item::AreYouThere) => {
                    if self.persona.product == Product::Inetutils {
                        out.send("\r\n[Yes]\r\n");
                    }
                    false
                }
            };
            if stop {
                return Ok(consumed);
            }
            if self.phase == Phase::Options && self.is_answered() {
                out.send(self.persona.second.unwrap_or_default());
                self.greet(now, out);
                if self.catch_up(out) {
                    return Ok(consumed);
                }
            }
        }
        self.listen(now, out);
        Ok(consumed)
    }

    fn wake(&mut self, now: Timestamp, out: &mut Out) {
        if self.phase == Phase::Stall {
            self.failures = self.failures.saturating_add(1);
            out.send(&self.persona.failed);
            if self.failures >= self.persona.tries {
                out.send(self.persona.farewell);
                out.close();
                return;
            }
            self.ask_name(out);
        }
        if self.phase != Phase::Options && now >= self.deadline {
            out.send(self.persona.timed_out);
            out.close();
            return;
        }
        if !self.catch_up(out) {
            self.listen(now, out);
        }
    }
}

impl Talk {
    /// A byte of data. True when no more may be read now.
    fn data(&mut self, byte: u8, out: &mut Out) -> bool {
        if self.phase != Phase::Options {
            return self.key(byte, out);
        }
        if self.early.len() < MAX_EARLY {
            self.early.push_back(byte);
        }
        false
    }

    /// Hears what came before the greeting. True when no more may be read now.
    fn catch_up(&mut self, out: &mut Out) -> bool {
        while let Some(byte) = self.early.pop_front() {
            if self.key(byte, out) {
                return true;
            }
        }
        false
    }

    fn greet(&mut self, now: Timestamp, out: &mut Out) {
        self.deadline = now.plus(self.persona.patience);
        say(&self.persona.banner, out);
        self.ask_name(out);
        self.listen(now, out);
    }

    fn ask_name(&mut self, out: &mut Out) {
        self.phase = Phase::Name;
        say(&self.persona.user_prompt, out);
    }

    /// Reads on, up to the end of the login time.
    fn listen(&self, now: Timestamp, out: &mut Out) {
        if self.phase == Phase::Options {
            out.read();
        } else {
            out.read_until(self.deadline.since(now).max(Duration::from_millis(1)));
        }
    }

    /// A key at a prompt. True when no more may be read now.
    fn key(&mut self, byte: u8, out: &mut Out) -> bool {
        let mut echo = Vec::new();
        let shown = self.phase == Phase::Name;
        let key = self.line.key(byte, shown, &mut echo);
        say(&echo, out);
        match (key, self.phase) {
            (Key::Edit, _) => false,
            (Key::Quit, _) => {
                out.close();
                true
            }
            (Key::Line(name), Phase::Name) => {
                if name.is_empty() && self.persona.product == Product::CiscoIos {
                    self.ask_name(out);
                    return false;
                }
                self.name = name;
                // login(1) takes such a name for an option and fails without asking on; it is
                // how CVE-2007-0882 and its kin are tried.
                if self.name.starts_with(b"-") && self.persona.product != Product::CiscoIos {
                    self.refuse(&[], out);
                    return true;
                }
                self.phase = Phase::Password;
                say(&self.persona.password_prompt, out);
                false
            }
            (Key::Line(password), _) => {
                out.send("\r\n");
                self.refuse(&password, out);
                true
            }
        }
    }

    /// Reports the attempt and holds the refusal back.
    fn refuse(&mut self, password: &[u8], out: &mut Out) {
        out.see(&TelnetLogin {
            username: printable(&self.name),
            password: printable(password),
            term_size: self.term_size.clone(),
            term_type: self.term_type.clone(),
        });
        self.phase = Phase::Stall;
        let (low, high) = self.persona.delay;
        let label = format!("delay {}", self.failures);
        out.wait(Duration::from_millis(self.seed.number(&label, low, high)));
    }

    /// A wish or an answer about an option.
    fn option(&mut self, verb: u8, option: u8, out: &mut Out) {
        if self.persona.product == Product::BusyBox {
            self.busybox_option(verb, option, out);
            return;
        }
        if matches!(verb, WILL | WONT) && self.unanswered.contains(&option) {
            self.unanswered.retain(|o| *o != option);
            if verb == WILL {
                self.untold.push(option);
            }
            // inetutils asks for the parameters when it has heard about all its questions.
            if self.phase == Phase::Options && self.unanswered.is_empty() {
                for option in &self.untold {
                    out.send([IAC, SB, *option, 1, IAC, SE]);
                }
            }
            let asks = self.persona.product == Product::CiscoIos;
            if asks && verb == WILL && option == TTYPE {
                out.send([IAC, SB, TTYPE, 1, IAC, SE]);
            }
            return;
        }
        let (verb, known) = match verb {
            DO => (WONT, [1, 3, 5].contains(&option)),
            WILL => (DONT, [0, 1, 3, 6, NAWS, 33, 34].contains(&option)),
            _ => return,
        };
        if !known && !self.refused.contains(&(verb, option)) {
            self.refused.push((verb, option));
            out.send([IAC, verb, option]);
        }
    }

    /// BusyBox hears wishes and answers none. The one liberty taken: who tells a window size is a
    /// terminal, and is asked for its type; scanners never get here.
    fn busybox_option(&mut self, verb: u8, option: u8, out: &mut Out) {
        match (verb, option, self.asking_type) {
            (WILL, NAWS, Asking::No) => {
                out.send([IAC, DO, TTYPE]);
                self.asking_type = Asking::Whether;
            }
            (WILL, TTYPE, Asking::Whether) => {
                out.send([IAC, SB, TTYPE, 1, IAC, SE]);
                self.asking_type = Asking::Which;
            }
            _ => {}
        }
    }

    fn parameters(&mut self, option: u8, told: &[u8]) {
        self.untold.retain(|o| *o != option);
        match (option, told) {
            (NAWS, [w1, w0, h1, h0]) => {
                let width = u16::from_be_bytes([*w1, *w0]);
                let height = u16::from_be_bytes([*h1, *h0]);
                self.term_size = format!("{width}x{height}");
            }
            (TTYPE, [0, name @ ..]) => self.term_type = printable(name),
            _ => {}
        }
    }

    /// Whether all that was asked first has been answered.
    fn is_answered(&self) -> bool {
        self.unanswered.is_empty() && self.untold.is_empty()
    }
}

/// How far a BusyBox login is with asking for the terminal type.
#[derive(Clone, Copy)]
enum Asking {
    /// The client hasn't told a window size.
    No,
    /// `DO TERMINAL-TYPE` was said.
    Whether,
    /// `SB TERMINAL-TYPE SEND` was said (RFC 1091).
    Which,
}

/// Sends data; a byte that would be a command is doubled (RFC 854).
fn say(text: &[u8], out: &mut Out) {
    for byte in text {
        out.send([*byte]);
        if *byte == IAC {
            out.send([IAC]);
        }
    }
}
