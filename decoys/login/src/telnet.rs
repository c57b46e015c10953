//! Telnet (RFC 854): BusyBox's or inetutils' server before login(1), or a Cisco IOS router.

mod codec;
mod line;
mod options;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use coalmine_core::decoy::{
    Broken, Context, DecoyKind, Limits, Out, Poke, Service, Session, Sessions, Step, Transport,
};
use coalmine_core::settings::{Fault, any, pause};
use coalmine_core::text::printable;
use coalmine_core::{Bird, Event, Seed, Timestamp, choice, event, settings};
use serde_json::{Map, Value};

use codec::{ABORT, AO, AYT, BRK, DM, Decoder, EC, EL, EOF, IAC, IP, Item, SUSP};
use line::{Key, Line};
use options::{NAWS, Options, TTYPE};

/// Longest text of a setting, in bytes.
const MAX_TEXT: usize = 2048;
/// Data kept while options are still negotiated, in bytes.
const MAX_EARLY: usize = 4096;
/// Lines kept that were typed before they were asked for.
const MAX_AHEAD: usize = 64;
/// Longest answer that Linux-PAM takes at once, in bytes.
const MAX_ANSWER: usize = 512;
/// login(1) takes so long to ask for a name, in milliseconds.
const LOGIN_STARTS: (u64, u64) = (25, 60);

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

choice! {
    /// How a router checks who logs in.
    pub enum CiscoLogin {
        Local => "local",
        Aaa => "aaa",
        Line => "line",
    }
}

settings! {
    /// Settings of the Telnet decoy.
    pub struct TelnetSettings {
        /// Which server is claimed; decides option negotiation, texts, delays and tries.
        product: Product => "product" = Product::BusyBox, any;
        /// How the router of product `cisco-ios` checks who logs in: users of its own, users of a
        /// server (`aaa`), or one password for all (`line`), where no user name is asked for.
        cisco_login: CiscoLogin => "cisco_login" = CiscoLogin::Local, any;
        /// Text before the first prompt, where %h stands for the bird's name and %t for the
        /// terminal, e.g. `pts/0`; empty for the product's own.
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
    Ok(Service::sessions(Telnet {
        persona: Arc::new(Persona::new(&settings, bird)),
        terminals: Terminals::default(),
    }))
}

/// All that tells one product from another; texts as they go over the wire.
struct Persona {
    product: Product,
    /// With %t for the terminal.
    banner: String,
    /// None where only a password is asked for.
    user_prompt: Option<Vec<u8>>,
    password_prompt: Vec<u8>,
    failed: Vec<u8>,
    /// Wrong passwords until the end, and the last words.
    tries: u32,
    farewell: &'static [u8],
    /// How long a login may take.
    patience: Duration,
    /// Shortest and longest refusal, in milliseconds.
    delay: (u64, u64),
}

impl Persona {
    fn new(settings: &TelnetSettings, bird: &Bird) -> Self {
        let kernel = bird.seed.number("debian kernel", 31, 41);
        let cisco = settings.product == Product::CiscoIos;
        let by_line = cisco && settings.cisco_login == CiscoLogin::Line;
        let (banner, user, failed) = match (settings.product, settings.cisco_login) {
            (Product::BusyBox, _) => (String::new(), "%h login: ", "\nLogin incorrect\n"),
            (Product::Inetutils, _) => (
                format!("\nLinux 6.1.0-{kernel}-amd64 (%h) (%t)\n\n"),
                "%h login: ",
                "\nLogin incorrect\n",
            ),
            (Product::CiscoIos, login) => (
                "\n\nUser Access Verification\n\n".to_owned(),
                "Username: ",
                match login {
                    CiscoLogin::Local => "% Login invalid\n\n",
                    CiscoLogin::Aaa => "\n% Authentication failed\n\n",
                    CiscoLogin::Line => "",
                },
            ),
        };
        let text = |set: &str, own: &str| -> String {
            let text = if set.is_empty() { own } else { set };
            text.replace("\r\n", "\n")
                .replace('\n', "\r\n")
                .replace("%h", &bird.name)
        };
        let ending = |set: &str, own: &str| -> String {
            if set.is_empty() {
                return text("", own);
            }
            text(&format!("\n{}\n", set.trim_matches(['\r', '\n'])), "")
        };
        Self {
            product: settings.product,
            banner: text(&settings.banner, &banner),
            user_prompt: (!by_line).then(|| text(&settings.user_prompt, user).into_bytes()),
            password_prompt: text(&settings.password_prompt, "Password: ").into_bytes(),
            failed: ending(&settings.authentication_failed_prompt, failed).into_bytes(),
            tries: if cisco { 3 } else { 5 },
            farewell: match (cisco, by_line) {
                (_, true) => b"% Bad passwords\r\n",
                (true, false) => b"",
                (false, false) => b"Maximum number of tries exceeded (5)\r\n",
            },
            patience: Duration::from_secs(if cisco { 30 } else { 60 }),
            // PAM adds or takes up to a quarter.
            delay: if cisco {
                (0, 1)
            } else {
                let mean = u64::from(settings.login_delay_ms);
                (mean / 4 * 3, mean / 4 * 5)
            },
        }
    }

    /// The words at the end of the login time.
    fn timed_out(&self, phase: Phase) -> &'static str {
        match (self.product, phase) {
            (Product::CiscoIos, Phase::Password) => "\r\n% Password:  timeout expired!\r\n",
            (Product::CiscoIos, _) => "\r\n% Username:  timeout expired!\r\n",
            _ => "\r\nLogin timed out after 60 seconds.\r\n",
        }
    }
}

struct Telnet {
    persona: Arc<Persona>,
    terminals: Terminals,
}

impl Sessions for Telnet {
    fn open(&self, context: &Context, out: &mut Out) -> Box<dyn Session> {
        let inetutils = self.persona.product == Product::Inetutils;
        let mut talk = Talk {
            persona: self.persona.clone(),
            terminal: Terminal::take(&self.terminals),
            seed: context.seed.clone(),
            decoder: Decoder::default(),
            options: Options::open(self.persona.product, out),
            phase: Phase::Options,
            line: if inetutils {
                Line::narrow()
            } else {
                Line::default()
            },
            echo: Vec::new(),
            name: Vec::new(),
            failures: 0,
            deadline: context.now,
            early: VecDeque::new(),
            ahead: Vec::new(),
            term_size: String::new(),
            term_type: String::new(),
        };
        if talk.options.is_settled(out) {
            talk.greet(context.now, out);
        }
        Box::new(talk)
    }
}

/// The pseudo-terminals in use, by number.
type Terminals = Arc<Mutex<BTreeSet<usize>>>;

/// One of them, the lowest that was free; given back when dropped.
struct Terminal {
    all: Terminals,
    number: usize,
}

impl Terminal {
    fn take(all: &Terminals) -> Self {
        let mut used = all.lock().unwrap_or_else(PoisonError::into_inner);
        let free = used.iter().zip(0..).find(|(used, n)| *used != n);
        let number = free.map_or(used.len(), |(_, n)| n);
        used.insert(number);
        Self {
            all: Arc::clone(all),
            number,
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let mut used = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        used.remove(&self.number);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The client must answer our questions first.
    Options,
    /// login(1) is being started.
    Starting(Timestamp),
    Name,
    /// The name is whole, the password not asked for yet.
    Named,
    Password,
    /// The refusal is held back until then.
    Stall(Timestamp),
}

/// One conversation.
struct Talk {
    persona: Arc<Persona>,
    terminal: Terminal,
    seed: Seed,
    decoder: Decoder,
    options: Options,
    phase: Phase,
    line: Line,
    /// What the terminal shows next.
    echo: Vec<u8>,
    name: Vec<u8>,
    failures: u32,
    /// When the login must be over.
    deadline: Timestamp,
    /// Data that came before the first prompt.
    early: VecDeque<u8>,
    /// Lines typed before they were asked for.
    ahead: Vec<Vec<u8>>,
    term_size: String,
    term_type: String,
}

impl Session for Talk {
    fn feed(&mut self, input: &[u8], now: Timestamp, out: &mut Out) -> Result<usize, Broken> {
        let mut consumed = 0_usize;
        for byte in input {
            consumed = consumed.saturating_add(1);
            let stop = match self.decoder.push(*byte) {
                None => false,
                Some(Item::Data(byte)) => self.data(byte, now, out),
                Some(Item::Option(verb, option)) => {
                    self.options.option(verb, option, out);
                    false
                }
                Some(Item::Parameters(option, told)) => {
                    self.parameters(option, &told);
                    self.options.parameters(option, &told, out);
                    false
                }
                Some(Item::Command(command)) => self.command(command, now, out),
            };
            if stop {
                self.show(out);
                return Ok(consumed);
            }
        }
        self.settle(out);
        if self.phase == Phase::Options && self.options.is_settled(out) {
            self.greet(now, out);
        } else {
            self.listen(now, out);
        }
        Ok(consumed)
    }

    fn wake(&mut self, now: Timestamp, out: &mut Out) {
        match self.phase {
            Phase::Stall(until) if now >= until => {
                self.forget_ahead(out);
                self.failures = self.failures.saturating_add(1);
                out.send(&self.persona.failed);
                if self.failures >= self.persona.tries {
                    out.send(self.persona.farewell);
                    out.close();
                    return;
                }
                self.options.reset();
                self.ask_name(out);
            }
            Phase::Starting(until) if now >= until => {
                self.options.prompted(out);
                self.ask_name(out);
            }
            _ => {}
        }
        if self.phase != Phase::Options && now >= self.deadline {
            out.send(self.persona.timed_out(self.phase));
            out.close();
            return;
        }
        let asks = matches!(self.phase, Phase::Name | Phase::Password);
        if asks && self.catch_up(now, out) {
            return;
        }
        self.listen(now, out);
    }
}

impl Talk {
    /// A byte of data. True when no more may be read now.
    fn data(&mut self, byte: u8, now: Timestamp, out: &mut Out) -> bool {
        if !matches!(self.phase, Phase::Options | Phase::Starting(_)) {
            return self.key(byte, now, out);
        }
        if self.early.len() < MAX_EARLY {
            self.early.push_back(byte);
        }
        false
    }

    /// A command; telnetd of inetutils turns most of them into keys. True when no more may be
    /// read now.
    fn command(&mut self, command: u8, now: Timestamp, out: &mut Out) -> bool {
        if self.persona.product != Product::Inetutils {
            return false;
        }
        match command {
            AYT => {
                out.send("\r\n[Yes]\r\n");
                false
            }
            EC => self.data(0x7f, now, out),
            EL => self.data(0x15, now, out),
            IP | BRK => {
                self.show(out);
                self.data(if command == IP { 3 } else { 0x1c }, now, out)
            }
            AO => {
                out.send([IAC, DM]);
                self.data(0x0f, now, out)
            }
            EOF => self.data(4, now, out),
            SUSP => self.data(0x1a, now, out),
            ABORT => self.data(0x1c, now, out),
            _ => false,
        }
    }

    /// Hears what came before the first prompt. True when no more may be read now.
    fn catch_up(&mut self, now: Timestamp, out: &mut Out) -> bool {
        while let Some(byte) = self.early.pop_front() {
            if self.key(byte, now, out) {
                self.show(out);
                return true;
            }
        }
        self.settle(out);
        false
    }

    /// All input so far is in the terminal: it's shown, and login(1) gets to read it.
    fn settle(&mut self, out: &mut Out) {
        if self.phase == Phase::Named {
            self.ask_password(out);
            self.forget_ahead(out);
        }
        self.show(out);
    }

    /// Linux-PAM throws away what was typed before it asked. Whoever types a name and a password
    /// without waiting tried to log in all the same, so that is reported.
    fn forget_ahead(&mut self, out: &mut Out) {
        let ahead = std::mem::take(&mut self.ahead);
        let mut lines = ahead.into_iter();
        if self.phase == Phase::Password
            && let Some(password) = lines.next()
        {
            self.report(&self.name, &password, out);
        }
        while let (Some(name), Some(password)) = (lines.next(), lines.next()) {
            self.report(&name, &password, out);
        }
    }

    fn greet(&mut self, now: Timestamp, out: &mut Out) {
        self.deadline = now.plus(self.persona.patience);
        let terminal = format!("pts/{}", self.terminal.number);
        let banner = self.persona.banner.replace("%t", &terminal);
        say(banner.as_bytes(), out);
        if self.persona.product == Product::Inetutils {
            let (low, high) = LOGIN_STARTS;
            let millis = self.seed.number("login starts", low, high);
            self.phase = Phase::Starting(now.plus(Duration::from_millis(millis)));
        } else {
            self.ask_name(out);
        }
        self.listen(now, out);
    }

    fn ask_name(&mut self, out: &mut Out) {
        if let Some(prompt) = &self.persona.user_prompt {
            self.phase = Phase::Name;
            say(prompt, out);
        } else {
            self.ask_password(out);
        }
    }

    fn ask_password(&mut self, out: &mut Out) {
        self.show(out);
        self.phase = Phase::Password;
        say(&self.persona.password_prompt, out);
    }

    /// Reads on, up to the time when something must be said unasked.
    fn listen(&self, now: Timestamp, out: &mut Out) {
        let until = match self.phase {
            Phase::Options => return out.read(),
            Phase::Starting(until) | Phase::Stall(until) => until,
            _ => self.deadline,
        };
        out.read_until(until.since(now).max(Duration::from_millis(1)));
    }

    /// Shows what the terminal echoes.
    fn show(&mut self, out: &mut Out) {
        say(&std::mem::take(&mut self.echo), out);
    }

    /// A key. True when no more may be read now.
    fn key(&mut self, byte: u8, now: Timestamp, out: &mut Out) -> bool {
        let shown = self.phase != Phase::Password && self.options.echoes();
        let mut echo = Vec::new();
        let key = self.line.key(byte, shown, &mut echo);
        let inetutils = self.persona.product == Product::Inetutils;
        if let Key::Signal(_) = key
            && inetutils
        {
            // What the terminal hasn't shown yet is lost; the client is told to drop the rest.
            out.send([IAC, DM]);
            self.echo = echo;
            return false;
        }
        self.echo.extend(echo);
        if matches!(self.phase, Phase::Named | Phase::Stall(_)) {
            if let Key::Line(line) | Key::Unended(line) = key
                && self.ahead.len() < MAX_AHEAD
            {
                self.ahead.push(line);
            }
            return false;
        }
        match key {
            Key::Signal(0x1a) | Key::Edit => false,
            Key::End if inetutils && self.phase == Phase::Name => {
                self.echo.extend(b"\r\n");
                self.stall(now, out)
            }
            Key::End if inetutils => self.line(Vec::new(), now, out),
            Key::Signal(_) | Key::End => {
                out.close();
                true
            }
            Key::Line(line) => self.line(line, now, out),
            Key::Unended(line) => {
                if inetutils && self.phase == Phase::Name {
                    self.echo.extend(b"\r\n");
                }
                self.line(line, now, out)
            }
        }
    }

    /// A whole line at a prompt. True when no more may be read now.
    fn line(&mut self, line: Vec<u8>, now: Timestamp, out: &mut Out) -> bool {
        if self.phase == Phase::Password {
            out.send("\r\n");
            self.report(&self.name, &line, out);
            return self.stall(now, out);
        }
        let cisco = self.persona.product == Product::CiscoIos;
        if line.is_empty() && cisco {
            self.show(out);
            self.ask_name(out);
            return false;
        }
        self.name = line;
        // login(1) takes the first for an option and fails without asking on; it is how
        // CVE-2007-0882 and its kin are tried. pam_unix knows no user with the second.
        if matches!(self.name.first(), Some(b'-' | b'+')) && !cisco {
            self.report(&self.name, &[], out);
            return self.stall(now, out);
        }
        if self.persona.product != Product::Inetutils {
            self.ask_password(out);
            return false;
        }
        if self.name.len() > MAX_ANSWER {
            self.echo.extend(b"\r\n");
        }
        self.phase = Phase::Named;
        false
    }

    fn report(&self, name: &[u8], password: &[u8], out: &mut Out) {
        out.see(&TelnetLogin {
            username: printable(name),
            password: printable(password),
            term_size: self.term_size.clone(),
            term_type: self.term_type.clone(),
        });
    }

    /// Holds the refusal back. True when no more may be read until then: where PAM waits, the
    /// terminal goes on showing what is typed.
    fn stall(&mut self, now: Timestamp, out: &mut Out) -> bool {
        let (low, high) = self.persona.delay;
        let label = format!("delay {}", self.failures);
        let time = Duration::from_millis(self.seed.number(&label, low, high));
        self.phase = Phase::Stall(now.plus(time));
        let types_on = self.persona.product == Product::Inetutils;
        if !types_on {
            out.wait(time);
        }
        !types_on
    }

    fn parameters(&mut self, option: u8, told: &[u8]) {
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
