//! What a terminal is shown: the network's own screen (USSMSG10) and its commands, then TSO/E's
//! logon. Texts are those of IBM's message manuals: "SNA Messages" for the network's, "TSO/E
//! Messages" for those that begin with `IKJ`; the logon panel is the one for users of RACF ("TSO/E
//! User's Guide", "Full-Screen Logon for a RACF-Defined User").

use std::net::SocketAddr;
use std::sync::Arc;

use coalmine_core::Timestamp;

use super::stream::{BRIGHT, HIDDEN, Key, NUMERIC, PROTECTED, Press, Screen, Size};

/// Longest TSO user id and what is repeated of a wrong one, in characters.
const MAX_USER: usize = 7;
const MAX_REPEATED: usize = 60;
/// Longest password or pass phrase that is taken, in characters.
const MAX_PASSWORD: usize = 100;
/// Wrong passwords until RACF revokes the user.
const MAX_TRIES: u32 = 5;

/// Where the password and the user id stand on the logon panel: their attributes.
const USER_AT: (u16, u16) = (5, 18);
const PASSWORD_AT: (u16, u16) = (7, 18);
const NEW_PASSWORD_AT: (u16, u16) = (7, 69);

/// What all terminals of a system have in common.
pub(super) struct System {
    /// Its name, up to eight characters.
    pub(super) name: String,
    /// Release as the network's screen shows it.
    pub(super) release: &'static str,
    /// A line of the network's screen.
    pub(super) notice: String,
    /// User ids that there are, in capitals; all if there are none.
    pub(super) users: Vec<String>,
    /// Procedure and account number of the logon panel.
    pub(super) procedure: String,
    pub(super) account: String,
}

/// A terminal's conversation.
pub(super) struct Host {
    system: Arc<System>,
    peer: SocketAddr,
    /// Name of its logical unit.
    lu: String,
    size: Size,
    stage: Stage,
    tries: u32,
}

enum Stage {
    Network,
    /// `IKJ56700A`.
    UserId,
    /// `IKJ56400A`.
    Logon,
    /// The panel; `known` once the user id is accepted.
    Panel {
        user: String,
        known: bool,
    },
}

/// What the host does next.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Turn {
    /// A screen; without one the connection ends.
    pub(super) screen: Option<Vec<u8>>,
    /// A user id and a password that were tried.
    pub(super) attempt: Option<(String, String)>,
}

impl Turn {
    fn show(screen: Vec<u8>) -> Self {
        Self {
            screen: Some(screen),
            attempt: None,
        }
    }

    fn tried(self, user: &str, password: &str) -> Self {
        let password = password.chars().take(MAX_PASSWORD).collect();
        Self {
            attempt: Some((user.to_owned(), password)),
            ..self
        }
    }
}

impl Host {
    pub(super) fn new(system: Arc<System>, peer: SocketAddr, lu: String, size: Size) -> Self {
        Self {
            system,
            peer,
            lu,
            size,
            stage: Stage::Network,
            tries: 0,
        }
    }

    /// The network's screen.
    pub(super) fn begin(&mut self, now: Timestamp) -> Turn {
        self.network("", now)
    }

    /// The key Attn.
    pub(super) fn attention(&mut self, now: Timestamp) -> Turn {
        match self.stage {
            Stage::Network => self.network("", now),
            _ => self.ask_logon(),
        }
    }

    /// A key was pressed.
    pub(super) fn press(&mut self, press: &Press, now: Timestamp) -> Turn {
        let stage = std::mem::replace(&mut self.stage, Stage::Network);
        match (stage, press.key) {
            (Stage::Network, Key::Enter) => self.command(press.typed(), now),
            (Stage::Network, Key::Clear) => self.network("", now),
            (Stage::Network, _) => self.network("UNSUPPORTED FUNCTION", now),
            (_, Key::Attention(1)) => self.ask_logon(),
            (Stage::Panel { .. } | Stage::UserId, Key::Function(3 | 15)) => self.network("", now),
            (Stage::UserId, Key::Enter) => self.user_id(press.typed()),
            (Stage::UserId, _) => self.ask_user(&[]),
            (Stage::Logon, Key::Enter) => self.logon(press.typed(), now),
            (Stage::Logon, _) => self.ask_logon(),
            (Stage::Panel { user, known }, Key::Enter) => self.panel_entered(&user, known, press),
            (Stage::Panel { user, known }, _) => self.panel(&user, known, &[]),
        }
    }

    /// A command to the network (USS commands of "SNA Resource Definition Reference").
    fn command(&mut self, line: &str, now: Timestamp) -> Turn {
        let (verb, rest) = split_word(line);
        let verb = verb.to_uppercase();
        match verb.as_str() {
            "" => self.network("", now),
            "TSO" => self.start_tso(rest),
            "CICS" | "NETVIEW" => self.refuse_session(&verb, "08570003", now),
            "LOGON" => {
                let Some(application) = operand(rest, "APPLID") else {
                    return self.network("REQUIRED PARAMETER OMITTED", now);
                };
                let application = application.to_uppercase();
                match application.as_str() {
                    "TSO" => self.start_tso(operand(rest, "DATA").unwrap_or("")),
                    "CICS" | "NETVIEW" => self.refuse_session(&application, "08570003", now),
                    _ => self.refuse_session(&application, "087D0001", now),
                }
            }
            "LOGOFF" => Turn::default(),
            "IBMTEST" => {
                let mut screen = Screen::new(Size::USUAL);
                for row in 0..10 {
                    let text = "IBMECHO ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
                    screen.field(row, 0, PROTECTED, text);
                }
                Turn::show(screen.field(11, 0, 0, "").cursor().done())
            }
            _ => self.network(&format!("{} COMMAND UNRECOGNIZED", repeated(&verb)), now),
        }
    }

    fn refuse_session(&mut self, name: &str, sense: &str, now: Timestamp) -> Turn {
        let name = repeated(name);
        let text =
            format!("{name} UNABLE TO ESTABLISH SESSION - REQSESS FAILED WITH SENSE {sense}");
        self.network(&text, now)
    }

    /// The network's screen with a message.
    fn network(&mut self, message: &str, now: Timestamp) -> Turn {
        self.stage = Stage::Network;
        let system = &self.system;
        let mut screen = Screen::new(Size::USUAL);
        let left = |label: &str, value: &str| format!("{label:<10}: {value}");
        let address = self.peer.ip().to_canonical().to_string();
        let port = self.peer.port().to_string();
        screen
            .field(0, 1, PROTECTED, &left("SYSTEM", &system.name))
            .field(0, 54, PROTECTED, &now.format("DATE: %m/%d/%y"))
            .field(1, 1, PROTECTED, &left("TERMINAL", &self.lu))
            .field(1, 54, PROTECTED, &now.format("TIME: %H:%M:%S"))
            .field(2, 1, PROTECTED, &left("IP ADDRESS", &address))
            .field(2, 54, PROTECTED, &format!("PORT: {port}"))
            .field(5, 1, PROTECTED, &"=".repeat(77))
            .field(7, 30, PROTECTED | BRIGHT, system.release)
            .field(
                8,
                centred(&system.notice),
                PROTECTED | BRIGHT,
                &system.notice,
            )
            .field(10, 1, PROTECTED, &"=".repeat(77))
            .field(12, 8, PROTECTED, "ENTER ONE OF THE FOLLOWING COMMANDS:")
            .field(14, 12, PROTECTED, "TSO         TSO/E AND ISPF")
            .field(
                15,
                12,
                PROTECTED,
                "CICS        CUSTOMER INFORMATION CONTROL SYSTEM",
            )
            .field(16, 12, PROTECTED, "NETVIEW     NETWORK MANAGEMENT")
            .field(17, 12, PROTECTED, "LOGOFF      END THE SESSION")
            .field(22, 1, PROTECTED | BRIGHT, message)
            .field(20, 1, PROTECTED, "===>")
            .field(20, 6, 0, "")
            .cursor()
            .field(20, 79, PROTECTED, "");
        Turn::show(screen.done())
    }

    /// A session with TSO, whose logon may have come with operands.
    fn start_tso(&mut self, operands: &str) -> Turn {
        if operands.trim().is_empty() {
            return self.ask_user(&[]);
        }
        self.user_id(operands)
    }

    fn ask_user(&mut self, above: &[&str]) -> Turn {
        self.stage = Stage::UserId;
        self.prompt(above, "IKJ56700A ENTER USERID -")
    }

    fn ask_logon(&mut self) -> Turn {
        self.stage = Stage::Logon;
        self.prompt(&[], "IKJ56400A ENTER LOGON OR LOGOFF-")
    }

    /// TSO without a panel: lines, and a field below.
    fn prompt(&self, above: &[&str], last: &str) -> Turn {
        let mut screen = Screen::new(self.size);
        let mut row = 0;
        for line in above.iter().chain(&[last]) {
            screen.field(row, 0, PROTECTED | BRIGHT, line);
            row = row.saturating_add(1);
        }
        screen.field(row, 0, BRIGHT, "").cursor();
        Turn::show(screen.done())
    }

    /// The answer to `IKJ56400A`.
    fn logon(&mut self, line: &str, now: Timestamp) -> Turn {
        let (verb, rest) = split_word(line);
        if verb.eq_ignore_ascii_case("LOGOFF") {
            return self.network("", now);
        }
        if !verb.eq_ignore_ascii_case("LOGON") {
            return self.ask_logon();
        }
        self.start_tso(rest)
    }

    /// A user id, with a password behind a slash if the user likes ("TSO/E Command Reference",
    /// LOGON).
    fn user_id(&mut self, line: &str) -> Turn {
        let line = line.trim();
        let line = match split_word(line) {
            (verb, rest) if verb.eq_ignore_ascii_case("LOGON") => rest,
            _ => line,
        };
        let (user, password) = match line.split_once('/') {
            Some((user, password)) => {
                (user.trim(), password.split('/').next().unwrap_or("").trim())
            }
            None => (split_word(line).0, ""),
        };
        if user.is_empty() {
            return self.ask_user(&[]);
        }
        if !is_user_id(user) {
            self.stage = Stage::UserId;
            return self.prompt(&[&invalid(user)], "IKJ56703A REENTER THIS OPERAND -");
        }
        self.named(user, password)
    }

    /// A well-formed user id was given.
    fn named(&mut self, user: &str, password: &str) -> Turn {
        let capitals = user.to_uppercase();
        let users = &self.system.users;
        if !users.is_empty() && !users.contains(&capitals) {
            let text = format!("IKJ56420I Userid {capitals} not authorized to use TSO");
            return self.panel(user, false, &[&text]).tried(user, password);
        }
        if password.is_empty() {
            return self.panel(user, true, &[]);
        }
        self.wrong(user).tried(user, password)
    }

    /// Nobody's password is right.
    fn wrong(&mut self, user: &str) -> Turn {
        self.tries = self.tries.saturating_add(1);
        if self.tries < MAX_TRIES {
            let texts = [
                "IKJ56421I PASSWORD NOT AUTHORIZED FOR USERID",
                "IKJ56429A REENTER -",
            ];
            return self.panel(user, true, &texts);
        }
        self.tries = 0;
        self.stage = Stage::Logon;
        let texts = [
            "IKJ56425I LOGON REJECTED, RACF TEMPORARILY REVOKING USER ACCESS",
            "IKJ56418I CONTACT YOUR TSO ADMINISTRATOR",
        ];
        self.prompt(&texts, "IKJ56400A ENTER LOGON OR LOGOFF-")
    }

    /// Enter was pressed on the logon panel.
    fn panel_entered(&mut self, user: &str, known: bool, press: &Press) -> Turn {
        let field = |(row, column)| press.field(self.size, row, column).unwrap_or("");
        let password = field(PASSWORD_AT);
        if known {
            if password.is_empty() {
                return self.panel(user, known, &[]);
            }
            return self.wrong(user).tried(user, password);
        }
        let typed = field(USER_AT).trim();
        if !is_user_id(typed) {
            let text = invalid(typed);
            return self.panel(user, known, &[&text]);
        }
        self.named(typed, password)
    }

    /// The logon panel with up to two messages.
    fn panel(&mut self, user: &str, known: bool, messages: &[&str]) -> Turn {
        let message = |n: usize| messages.get(n).copied().unwrap_or("");
        let title = format!("{} TSO/E LOGON {}", "-".repeat(31), "-".repeat(35));
        let bright = PROTECTED | BRIGHT;
        let gap = PROTECTED | NUMERIC;
        let id = if known { bright } else { BRIGHT };
        let mut screen = Screen::new(self.size);
        screen
            .field(0, 0, bright, &title)
            .field(1, 0, bright, message(0))
            .field(2, 0, bright, message(1))
            .field(3, 3, bright, "Enter LOGON parameters below:")
            .field(3, 51, bright, "RACF LOGON parameters:")
            .field(5, 2, PROTECTED, " Userid    ===>");
        if known {
            screen.field(
                USER_AT.0,
                USER_AT.1,
                id,
                &format!("{:<8}", user.to_uppercase()),
            );
        } else {
            screen.field(USER_AT.0, USER_AT.1, id, "").cursor();
        }
        screen
            .field(5, 27, gap, "")
            .field(5, 50, gap | HIDDEN, " Seclabel     ===>")
            .field(5, 69, gap | HIDDEN, "        ")
            .field(5, 78, gap, "")
            .field(7, 2, PROTECTED, " Password  ===>")
            .field(PASSWORD_AT.0, PASSWORD_AT.1, HIDDEN, "");
        if known {
            screen.cursor();
        }
        screen
            .field(7, 27, gap, "")
            .field(7, 50, PROTECTED, " New Password ===>")
            .field(NEW_PASSWORD_AT.0, NEW_PASSWORD_AT.1, HIDDEN, "")
            .field(7, 78, gap, "")
            .field(9, 2, PROTECTED, " Procedure ===>")
            .field(9, 18, BRIGHT, &self.system.procedure)
            .field(9, 27, gap, "")
            .field(9, 50, PROTECTED, " Group Ident  ===>")
            .field(9, 69, BRIGHT, "        ")
            .field(9, 78, gap, "")
            .field(11, 2, PROTECTED, " Acct Nmbr ===>")
            .field(11, 18, BRIGHT, &self.system.account)
            .field(11, 59, gap, "")
            .field(13, 2, PROTECTED, " Size      ===>")
            .field(13, 18, BRIGHT, "4096   ")
            .field(13, 26, gap, "")
            .field(15, 2, PROTECTED, " Perform   ===>")
            .field(15, 18, BRIGHT, "   ")
            .field(15, 22, gap, "")
            .field(17, 2, PROTECTED, " Command   ===>")
            .field(17, 18, BRIGHT, "")
            .field(18, 19, gap, "")
            .field(
                19,
                3,
                bright,
                "Enter an 'S' before each option desired below:",
            )
            .field(19, 50, PROTECTED, "");
        for (column, option) in [
            (7, "-Nomail"),
            (23, "-Nonotice"),
            (40, "-Reconnect"),
            (58, "-OIDcard "),
        ] {
            let width = u16::try_from(option.len()).unwrap_or(0);
            let text_at = column + 4_u16;
            screen
                .field(20, column, bright, " ")
                .field(20, column + 2, BRIGHT, " ")
                .field(20, text_at, gap, option)
                .field(
                    20,
                    text_at.saturating_add(width).saturating_add(1),
                    PROTECTED,
                    "",
                );
        }
        let keys =
            "PF1/PF13 ==> Help    PF3/PF15 ==> Logoff    PA1 ==> Attention    PA2 ==> Reshow";
        let help = "You may request specific help information by entering a '?' in any entry field";
        screen.field(22, 0, bright, keys).field(23, 0, bright, help);
        let screen = screen.done();
        self.stage = Stage::Panel {
            user: user.to_owned(),
            known,
        };
        Turn::show(screen)
    }
}

/// Whether TSO takes it for a user id: letters, digits and three signs, no digit first.
pub(super) fn is_user_id(text: &str) -> bool {
    let sign = |c: char| c.is_ascii_alphanumeric() || matches!(c, '#' | '$' | '@');
    !text.is_empty()
        && text.len() <= MAX_USER
        && text.chars().all(sign)
        && !text.starts_with(|c: char| c.is_ascii_digit())
}

/// The value of `NAME(value)` or `NAME=value`.
fn operand<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let at = line.to_ascii_uppercase().find(name)?;
    let rest = line.get(at.saturating_add(name.len())..)?.trim_start();
    let value = if let Some(rest) = rest.strip_prefix('(') {
        rest.split(')').next()?
    } else {
        rest.strip_prefix('=')?.split([' ', ',']).next()?
    };
    let value = value.trim();
    (!value.is_empty()).then_some(value)
}

fn split_word(line: &str) -> (&str, &str) {
    let line = line.trim();
    line.split_once([' ', ',']).unwrap_or((line, ""))
}

fn invalid(user: &str) -> String {
    format!(
        "IKJ56710I INVALID USERID, {}",
        repeated(&user.to_uppercase())
    )
}

/// A piece of what was typed, as messages repeat it.
fn repeated(text: &str) -> String {
    text.chars().take(MAX_REPEATED).collect()
}

fn centred(text: &str) -> u16 {
    let length = u16::try_from(text.chars().count()).unwrap_or(0);
    79_u16.saturating_sub(length) / 2
}
