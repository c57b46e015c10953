//! How each server negotiates options (RFC 855).
//!
//! inetutils-telnetd 2.4 was recorded with clients that agree, refuse or say nothing to each of its
//! questions; BusyBox hears wishes and answers none.

use coalmine_core::decoy::Out;

use super::Product;
use super::codec::{DO, DONT, IAC, SB, SE, WILL, WONT};

// Options by number.
const BINARY: u8 = 0;
const ECHO: u8 = 1;
const SGA: u8 = 3;
const STATUS: u8 = 5;
const TIMING_MARK: u8 = 6;
/// Terminal type (RFC 1091).
pub const TTYPE: u8 = 24;
/// Negotiate about window size (RFC 1073).
pub const NAWS: u8 = 31;
const SPEED: u8 = 32;
const FLOW: u8 = 33;
const LINEMODE: u8 = 34;
const DISPLAY: u8 = 35;
const OLD_ENVIRON: u8 = 36;
const AUTHENTICATION: u8 = 37;
const ENCRYPT: u8 = 38;
const ENVIRON: u8 = 39;

/// Options whose parameters inetutils asks for, in its order.
const HAS_PARAMETERS: [u8; 5] = [SPEED, DISPLAY, ENVIRON, OLD_ENVIRON, TTYPE];

/// The server's side of the negotiation.
pub enum Options {
    /// BusyBox; whether it asked for the terminal's type.
    BusyBox { type_asked: bool },
    /// Cisco IOS.
    Cisco(Cisco),
    /// inetutils.
    Inetutils(Box<Inetutils>),
}

impl Options {
    /// Says the first bytes of `product`.
    pub fn open(product: Product, out: &mut Out) -> Self {
        match product {
            Product::BusyBox => {
                out.send([
                    IAC, DO, ECHO, IAC, DO, NAWS, IAC, WILL, ECHO, IAC, WILL, SGA,
                ]);
                Self::BusyBox { type_asked: false }
            }
            Product::CiscoIos => {
                out.send([
                    IAC, WILL, ECHO, IAC, WILL, SGA, IAC, DO, TTYPE, IAC, DO, NAWS,
                ]);
                Self::Cisco(Cisco::default())
            }
            Product::Inetutils => Self::Inetutils(Box::new(Inetutils::open(out))),
        }
    }

    /// A wish or an answer about an option.
    pub fn option(&mut self, verb: u8, option: u8, out: &mut Out) {
        match self {
            // The one liberty taken: who tells a window size is a terminal, and is asked for its
            // type; scanners never get here. Asked in one go, or a script that types as soon as
            // it's prompted would have given its password before its type.
            Self::BusyBox { type_asked } => {
                if (verb, option) == (WILL, NAWS) && !*type_asked {
                    out.send([IAC, DO, TTYPE, IAC, SB, TTYPE, 1, IAC, SE]);
                    *type_asked = true;
                }
            }
            Self::Cisco(cisco) => cisco.option(verb, option, out),
            Self::Inetutils(inetutils) => inetutils.option(verb, option, out),
        }
    }

    /// A subnegotiation came.
    pub fn parameters(&mut self, option: u8, told: &[u8], out: &mut Out) {
        if let Self::Inetutils(inetutils) = self {
            inetutils.parameters(option, told, out);
        }
    }

    /// Moves on after all input so far; whether the greeting may come now.
    pub fn is_settled(&mut self, out: &mut Out) -> bool {
        match self {
            Self::Inetutils(inetutils) => inetutils.advance(out),
            _ => true,
        }
    }

    /// login(1) is about to ask for a name for the first time.
    pub fn prompted(&mut self, out: &mut Out) {
        if let Self::Inetutils(inetutils) = self {
            inetutils.prompted(out);
        }
    }

    /// login(1) starts over and sets the terminal up to show what is typed.
    pub fn reset(&mut self) {
        if let Self::Inetutils(inetutils) = self {
            inetutils.echoes = true;
        }
    }

    /// Whether what is typed is shown.
    pub fn echoes(&self) -> bool {
        match self {
            Self::Inetutils(inetutils) => inetutils.echoes,
            _ => true,
        }
    }
}

/// Cisco IOS agrees to what it offered itself and refuses the rest, each once, so that nobody can
/// be kept talking.
#[derive(Default)]
pub struct Cisco {
    refused: Bits,
    type_asked: bool,
}

impl Cisco {
    fn option(&mut self, verb: u8, option: u8, out: &mut Out) {
        let answer = match (verb, option) {
            (WILL, TTYPE) if !self.type_asked => {
                self.type_asked = true;
                out.send([IAC, SB, TTYPE, 1, IAC, SE]);
                return;
            }
            (DO, ECHO | SGA) | (WILL, TTYPE | NAWS | SGA) => return,
            (DO, _) => WONT,
            (WILL, _) => DONT,
            _ => return,
        };
        if self.refused.insert(option) {
            out.send([IAC, answer, option]);
        }
    }
}

/// Where the start of an inetutils session is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The questions of the first bytes need their answers.
    Asked,
    /// The parameters asked for need to come.
    Parameters,
    /// Echo and window size need their answers.
    Second,
    /// The greeting is out.
    Settled,
}

/// inetutils-telnetd.
pub struct Inetutils {
    stage: Stage,
    /// Options needed for the next stage.
    awaited: Bits,
    /// `WILL` and `DO` said and not answered.
    offered: Bits,
    asked: Bits,
    /// Options in use on our and on the client's side.
    ours: Bits,
    theirs: Bits,
    /// Offers that were refused before login(1) set the terminal up, when they are made again.
    again: Bits,
    prompted: bool,
    line_mode: bool,
    echoes: bool,
}

impl Inetutils {
    fn open(out: &mut Out) -> Self {
        let mut new = Self {
            stage: Stage::Asked,
            awaited: Bits::default(),
            offered: Bits::default(),
            asked: Bits::default(),
            ours: Bits::default(),
            theirs: Bits::default(),
            again: Bits::default(),
            prompted: false,
            line_mode: false,
            echoes: true,
        };
        new.offer(AUTHENTICATION, out);
        new.offer(ENCRYPT, out);
        new.awaited.insert(ENCRYPT);
        for option in [TTYPE, SPEED, DISPLAY, ENVIRON, OLD_ENVIRON] {
            new.ask(option, out);
            new.awaited.insert(option);
        }
        new
    }

    fn offer(&mut self, option: u8, out: &mut Out) {
        if !self.ours.has(option) && self.offered.insert(option) {
            out.send([IAC, WILL, option]);
        }
    }

    fn ask(&mut self, option: u8, out: &mut Out) {
        if !self.theirs.has(option) && self.asked.insert(option) {
            out.send([IAC, DO, option]);
        }
    }

    fn advance(&mut self, out: &mut Out) -> bool {
        if self.stage == Stage::Asked && self.awaited.is_empty() {
            self.stage = Stage::Parameters;
            for option in HAS_PARAMETERS {
                // The old form of the environment is asked for where there is no new one.
                let newer = option == OLD_ENVIRON && self.theirs.has(ENVIRON);
                if self.theirs.has(option) && !newer {
                    self.awaited.insert(option);
                    out.send([IAC, SB, option, 1, IAC, SE]);
                }
            }
        }
        if self.stage == Stage::Parameters && self.awaited.is_empty() {
            self.stage = Stage::Second;
            self.offer(SGA, out);
            self.ask(ECHO, out);
            self.ask(LINEMODE, out);
            self.ask(NAWS, out);
            self.offer(STATUS, out);
            self.ask(FLOW, out);
            for option in [ECHO, NAWS] {
                if self.asked.has(option) {
                    self.awaited.insert(option);
                }
            }
        }
        if self.stage == Stage::Second && self.awaited.is_empty() {
            self.stage = Stage::Settled;
            self.offer(ECHO, out);
            if !self.line_mode {
                self.ask(TIMING_MARK, out);
            }
            self.ask(BINARY, out);
            if self.line_mode {
                out.send([IAC, DONT, LINEMODE]);
            }
        }
        self.stage == Stage::Settled
    }

    fn prompted(&mut self, out: &mut Out) {
        self.prompted = true;
        for option in [SGA, ECHO] {
            if self.again.remove(option) {
                self.offer(option, out);
            }
        }
    }

    fn option(&mut self, verb: u8, option: u8, out: &mut Out) {
        self.awaited.remove(option);
        match verb {
            WILL => self.will(option, out),
            WONT => {
                if !self.asked.remove(option) && self.theirs.remove(option) {
                    out.send([IAC, DONT, option]);
                }
            }
            DO => self.do_it(option, out),
            _ => self.dont(option, out),
        }
    }

    fn will(&mut self, option: u8, out: &mut Out) {
        let answered = self.asked.remove(option);
        match option {
            ECHO => out.send([IAC, DONT, ECHO]),
            // A client that marks time takes input by character: nothing to suppress.
            TIMING_MARK => {
                if self.ours.remove(SGA) {
                    out.send([IAC, WONT, SGA]);
                }
            }
            // Both come with a NUL too many.
            FLOW if answered => out.send([IAC, SB, FLOW, 3, IAC, SE, 0]),
            LINEMODE if answered => {
                self.line_mode = true;
                out.send([IAC, SB, LINEMODE, 1, 3, IAC, SE, 0]);
            }
            _ if answered => {
                self.theirs.insert(option);
            }
            _ if self.theirs.has(option) => {}
            TTYPE | NAWS => {
                self.theirs.insert(option);
                out.send([IAC, DO, option]);
            }
            LINEMODE => {
                out.send([IAC, DO, LINEMODE, IAC, SB, LINEMODE, 1, 3, IAC, SE, 0]);
                out.send([IAC, DONT, LINEMODE]);
            }
            AUTHENTICATION => {
                out.send([IAC, DO, AUTHENTICATION]);
                out.send([IAC, SB, AUTHENTICATION, 1, 2, 2, 2, 0, IAC, SE]);
                out.send([IAC, DONT, AUTHENTICATION]);
            }
            BINARY | SGA | SPEED | FLOW | DISPLAY | OLD_ENVIRON | ENVIRON => {
                out.send([IAC, DO, option, IAC, DONT, option]);
            }
            _ => out.send([IAC, DONT, option]),
        }
    }

    fn do_it(&mut self, option: u8, out: &mut Out) {
        if self.offered.remove(option) {
            self.ours.insert(option);
            self.echoes |= option == ECHO;
            return;
        }
        match option {
            _ if self.ours.has(option) => {}
            ECHO | SGA | STATUS => {
                self.ours.insert(option);
                self.echoes |= option == ECHO;
                out.send([IAC, WILL, option]);
            }
            TIMING_MARK => out.send([IAC, WILL, TIMING_MARK]),
            BINARY => out.send([IAC, WILL, BINARY, IAC, WONT, BINARY]),
            _ => out.send([IAC, WONT, option]),
        }
    }

    fn dont(&mut self, option: u8, out: &mut Out) {
        let refused = self.offered.remove(option);
        if !refused && self.ours.remove(option) {
            out.send([IAC, WONT, option]);
        }
        self.echoes &= option != ECHO;
        if refused && matches!(option, ECHO | SGA) && !self.prompted {
            self.again.insert(option);
        }
    }

    fn parameters(&mut self, option: u8, told: &[u8], out: &mut Out) {
        if self.stage == Stage::Parameters {
            self.awaited.remove(option);
        }
        if (option, told) == (STATUS, &[1]) && self.ours.has(STATUS) {
            let mut status = vec![IAC, SB, STATUS, 0];
            for option in 0..=u8::MAX {
                if self.ours.has(option) {
                    status.extend([WILL, option]);
                }
                if self.theirs.has(option) {
                    status.extend([DO, option]);
                }
            }
            status.extend([IAC, SE]);
            out.send(status);
        }
    }
}

/// A set of options.
#[derive(Clone, Copy, Default)]
struct Bits([u64; 4]);

impl Bits {
    fn has(&self, option: u8) -> bool {
        let (word, mask) = place(option);
        self.0.get(word).is_some_and(|bits| bits & mask != 0)
    }

    /// Whether it's new.
    fn insert(&mut self, option: u8) -> bool {
        let had = self.has(option);
        let (word, mask) = place(option);
        if let Some(bits) = self.0.get_mut(word) {
            *bits |= mask;
        }
        !had
    }

    /// Whether it was there.
    fn remove(&mut self, option: u8) -> bool {
        let had = self.has(option);
        let (word, mask) = place(option);
        if let Some(bits) = self.0.get_mut(word) {
            *bits &= !mask;
        }
        had
    }

    fn is_empty(&self) -> bool {
        self.0 == [0; 4]
    }
}

fn place(option: u8) -> (usize, u64) {
    (usize::from(option / 64), 1 << (option % 64))
}
