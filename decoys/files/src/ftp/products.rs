//! What each server says before login.
//!
//! vsftpd 3.0.3, ProFTPD 1.3.8 and Pure-FTPd 1.0.50 were recorded from the packages of Debian 12.
//! Microsoft's server (IIS 10) and Synology's, which descends from BSD's, follow public
//! descriptions and transcripts.

use std::net::IpAddr;
use std::time::Duration;

use coalmine_core::Context;

use super::{MAX_LINE, MAX_PROFTPD_LINE, Product};

/// Longest user name of Pure-FTPd, in bytes.
const MAX_PURE_USER: usize = 128;
/// Longest user name of ProFTPD, in bytes.
const MAX_PROFTPD_USER: usize = 256;

/// A command and its circumstances.
pub struct Asked<'a> {
    /// Without its end.
    pub line: &'a [u8],
    /// TLS is offered.
    pub tls: bool,
    /// TLS is up.
    pub secured: bool,
    /// `PBSZ` came.
    pub protection: bool,
    /// `USER` came.
    pub has_user: bool,
    /// The bird's name.
    pub host: &'a str,
    /// Our address.
    pub local: IpAddr,
}

/// What a command leads to.
pub enum Answer {
    /// This text.
    Say(String),
    /// This user counts; this text.
    User(Vec<u8>, String),
    /// The password is checked.
    Pass(Vec<u8>),
    /// A password, where one was sent, before any user; this text.
    NoUser(Option<Vec<u8>>, &'static str),
    /// This text, then TLS.
    StartTls(&'static str),
    /// `PBSZ` counts; this text.
    Protection(&'static str),
    /// This text, then the end.
    Close(String),
}

fn say(text: &str) -> Answer {
    Answer::Say(format!("{text}\r\n"))
}

/// The greeting to the session with this `number` among those open.
pub fn greeting(product: Product, context: &Context, number: usize) -> String {
    match product {
        Product::Vsftpd => "220 (vsFTPd 3.0.3)\r\n".to_owned(),
        // Listens on IPv6 for both.
        Product::ProFtpd => match context.local.ip().to_canonical() {
            IpAddr::V4(ip) => format!("220 ProFTPD Server (Debian) [::ffff:{ip}]\r\n"),
            IpAddr::V6(ip) => format!("220 ProFTPD Server (Debian) [{ip}]\r\n"),
        },
        Product::PureFtpd => format!(
            "220---------- Welcome to Pure-FTPd [privsep] [TLS] ----------\r\n\
             220-You are user number {number} of 50 allowed.\r\n\
             220-Local time is now {}. Server port: {}.\r\n\
             220-This is a private system - No anonymous login\r\n\
             220-IPv6 connections are also welcome on this server.\r\n\
             220 You will be disconnected after 15 minutes of inactivity.\r\n",
            context.now.format("%H:%M"),
            context.local.port(),
        ),
        Product::Microsoft => "220 Microsoft FTP Service\r\n".to_owned(),
        Product::Synology => "220 Synology FTP server ready.\r\n".to_owned(),
    }
}

/// Length of the longest line with its end in bytes, and what is said to a longer one before the
/// end; empty where it's passed over.
pub fn longest_line(product: Product) -> (usize, &'static str) {
    match product {
        Product::Vsftpd => (MAX_LINE, "500 Input line too long.\r\n"),
        Product::ProFtpd => (MAX_PROFTPD_LINE, ""),
        Product::PureFtpd => (MAX_LINE + 32, "421 Line too long\r\n"),
        Product::Microsoft => (MAX_LINE, "500 Command was too long.\r\n"),
        Product::Synology => (MAX_LINE, "500 Command line too long.\r\n"),
    }
}

/// Time for one command, and the last words when it's over.
pub fn timeout(product: Product) -> (Duration, &'static str) {
    let (seconds, text) = match product {
        Product::Vsftpd => (300, "421 Timeout.\r\n"),
        Product::ProFtpd => (
            300,
            "421 Login timeout (300 seconds): closing control connection\r\n",
        ),
        Product::PureFtpd => (
            900,
            "421 Timeout - try typing a little faster next time\r\n",
        ),
        Product::Microsoft => (
            120,
            "421 Timeout (120 seconds): closing control connection.\r\n",
        ),
        Product::Synology => (
            300,
            "421 Timeout (300 seconds): closing control connection.\r\n",
        ),
    };
    (Duration::from_secs(seconds), text)
}

/// Wrong passwords of one connection, the last of which ends it, and the answer to each.
pub fn refusal(product: Product) -> (u8, &'static str) {
    match product {
        Product::Vsftpd | Product::ProFtpd => (3, "530 Login incorrect.\r\n"),
        Product::PureFtpd => (6, "530 Login authentication failed\r\n"),
        Product::Microsoft => (u8::MAX, "530 User cannot log in.\r\n"),
        Product::Synology => (5, "530 Login incorrect.\r\n"),
    }
}

/// What `product` answers to a command.
pub fn answer(product: Product, asked: &Asked<'_>) -> Answer {
    match product {
        Product::Vsftpd => vsftpd(asked),
        Product::ProFtpd => proftpd(asked),
        Product::PureFtpd => pure_ftpd(asked),
        Product::Microsoft => microsoft(asked),
        Product::Synology => synology(asked),
    }
}

/// The verb as it came and in upper case, and what follows its blank, if there is one.
fn parts(line: &[u8]) -> (&[u8], Vec<u8>, Option<&[u8]>) {
    let space = line.iter().position(|&b| b == b' ').unwrap_or(line.len());
    let (verb, rest) = line.split_at(space);
    (verb, verb.to_ascii_uppercase(), rest.strip_prefix(b" "))
}

/// Text of the peer in a reply.
fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// `PASS`, or `text` where no user was named.
fn pass(asked: &Asked<'_>, password: Option<&[u8]>, text: &'static str) -> Answer {
    let password = password.map(<[u8]>::to_vec);
    if asked.has_user {
        Answer::Pass(password.unwrap_or_default())
    } else {
        Answer::NoUser(password, text)
    }
}

fn vsftpd(asked: &Asked<'_>) -> Answer {
    const FIRST: &str = "530 Please login with USER and PASS.";
    if asked.line.is_empty() {
        return Answer::Say(String::new());
    }
    let (_, verb, argument) = parts(asked.line);
    let argument = argument.unwrap_or_default();
    let tls = asked.tls;
    match verb.as_slice() {
        b"USER" => Answer::User(
            argument.to_vec(),
            "331 Please specify the password.\r\n".to_owned(),
        ),
        b"PASS" => pass(asked, Some(argument), "503 Login with USER first.\r\n"),
        b"QUIT" => Answer::Close("221 Goodbye.\r\n".to_owned()),
        b"FEAT" if tls => say(
            "211-Features:\r\n AUTH TLS\r\n EPRT\r\n EPSV\r\n MDTM\r\n PASV\r\n PBSZ\r\n PROT\r\n \
             REST STREAM\r\n SIZE\r\n TVFS\r\n211 End",
        ),
        b"FEAT" => say(
            "211-Features:\r\n EPRT\r\n EPSV\r\n MDTM\r\n PASV\r\n REST STREAM\r\n SIZE\r\n TVFS\r\n211 End",
        ),
        b"OPTS" if argument.eq_ignore_ascii_case(b"UTF8 ON") => say("200 Always in UTF8 mode."),
        b"OPTS" => say("501 Option not understood."),
        b"AUTH" if tls && !asked.secured => match argument.to_ascii_uppercase().as_slice() {
            b"TLS" | b"TLS-C" | b"SSL" | b"TLS-P" => {
                Answer::StartTls("234 Proceed with negotiation.\r\n")
            }
            _ => say("504 Unknown AUTH type."),
        },
        b"PBSZ" if tls && !asked.secured => say("503 PBSZ needs a secure connection."),
        b"PBSZ" if tls => Answer::Protection("200 PBSZ set to 0.\r\n"),
        b"PROT" if tls && !asked.secured => say("503 PROT needs a secure connection."),
        b"PROT" if tls && !asked.protection => say("503 PBSZ needed before PROT."),
        b"PROT" if tls => match argument.to_ascii_uppercase().as_slice() {
            b"C" => say("200 PROT now Clear."),
            b"P" => say("200 PROT now Private."),
            b"S" | b"E" => say("536 PROT not supported."),
            _ => say("504 PROT not recognized."),
        },
        _ => say(FIRST),
    }
}

/// Known to ProFTPD, and refused before login.
const PROFTPD_LATER: &str = "STAT PASV PORT EPRT EPSV LIST RETR STOR ABOR CWD XCWD PWD XPWD MKD \
    XMKD RMD XRMD CDUP XCUP NLST MLSD MLST SIZE MDTM DELE RNFR APPE STOU REST CSID MFMT MFF \
    SMNT MODE STRU ALLO RANG";

fn proftpd(asked: &Asked<'_>) -> Answer {
    const FIRST: &str = "530 Please login with USER and PASS";
    let line = asked.line.split(|&b| b == 0).next().unwrap_or_default();
    let line = line.trim_ascii();
    // Urgent data before a command is passed over.
    let line = line.strip_prefix(b"\xff\xf4").unwrap_or(line);
    let line = line.strip_prefix(b"\xff\xf2").unwrap_or(line);
    let (raw, verb, argument) = parts(line);
    let argument = argument.map(<[u8]>::trim_ascii).unwrap_or_default();
    let first = argument.split(|&b| b == b' ').next().unwrap_or_default();
    let tls = asked.tls;
    match verb.as_slice() {
        b"" => say("500 Invalid command: try being more creative"),
        b"GET" | b"POST" | b"HEAD" | b"PUT" | b"CONNECT" => Answer::Close(String::new()),
        b"USER" if first.is_empty() => say("500 USER: command requires a parameter"),
        b"USER" if argument.len() > MAX_PROFTPD_USER => say("501 Login incorrect."),
        b"USER" => Answer::User(
            argument.to_vec(),
            format!("331 Password required for {}\r\n", lossy(first)),
        ),
        b"PASS" => pass(
            asked,
            (verb.len() < line.len()).then_some(argument),
            "503 Login with USER first\r\n",
        ),
        b"QUIT" => Answer::Close("221 Goodbye.\r\n".to_owned()),
        b"SYST" => say("215 UNIX Type: L8"),
        b"NOOP" => say("200 NOOP command successful"),
        b"FEAT" => {
            let auth = if tls { " AUTH TLS\r\n" } else { "" };
            let (ccc, sscn) = if tls {
                (" CCC\r\n", " PBSZ\r\n PROT\r\n")
            } else {
                ("", "")
            };
            say(&format!(
                "211-Features:\r\n{auth}{ccc} CLNT\r\n CSID\r\n EPRT\r\n EPSV\r\n HOST\r\n LANG C.UTF-8*\r\n \
                 MDTM\r\n MFF modify;UNIX.group;UNIX.mode;\r\n MFMT\r\n MLST modify*;perm*;size*;type*;\
                 unique*;UNIX.group*;UNIX.groupname*;UNIX.mode*;UNIX.owner*;UNIX.ownername*;\r\n{sscn} \
                 RANG STREAM\r\n REST STREAM\r\n SIZE\r\n TVFS\r\n UTF8\r\n211 End"
            ))
        }
        b"HELP" if argument.eq_ignore_ascii_case(b"USER") => say("214 Syntax: USER <sp> username"),
        b"HELP" if argument.eq_ignore_ascii_case(b"SITE") => say("214-HELP\r\n CHGRP\r\n214 CHMOD"),
        b"HELP" => say(&format!(
            "214-The following commands are recognized (* =>'s unimplemented):\r\n \
             CWD     XCWD    CDUP    XCUP    SMNT*   QUIT    PORT    PASV    \r\n \
             EPRT    EPSV    ALLO    RNFR    RNTO    DELE    MDTM    RMD     \r\n \
             XRMD    MKD     XMKD    PWD     XPWD    SIZE    SYST    HELP    \r\n \
             NOOP    FEAT    OPTS    HOST    CLNT    AUTH*   CCC*    CONF*   \r\n \
             ENC*    MIC*    PBSZ*   PROT*   TYPE    STRU    MODE    RETR    \r\n \
             STOR    STOU    APPE    REST    ABOR    RANG    USER    PASS    \r\n \
             ACCT*   REIN*   LIST    NLST    STAT    SITE    MLSD    MLST    \r\n\
             214 Direct comments to root@{}",
            asked.local
        )),
        b"OPTS" => match argument.to_ascii_uppercase().as_slice() {
            b"" => say("501 Invalid number of parameters"),
            b"UTF8 ON" => say("200 UTF8 set to on"),
            b"UTF8 OFF" => say("200 UTF8 set to off"),
            options if options.starts_with(b"MLST") => say("200 MLST OPTS "),
            _ => say(&format!("501 'OPTS {}' not understood", lossy(argument))),
        },
        b"TYPE" => match argument.to_ascii_uppercase().as_slice() {
            b"I" | b"L 8" => say("200 Type set to I"),
            b"A" => say("200 Type set to A"),
            b"" => say("500 'TYPE' not understood"),
            _ => say(&format!(
                "504 TYPE not implemented for '{}' parameter",
                lossy(first)
            )),
        },
        b"REIN" | b"ACCT" => say(&format!("502 {} command not implemented", lossy(&verb))),
        b"SITE" if argument.is_empty() => say("500 'SITE' requires parameters"),
        b"SITE" if argument.eq_ignore_ascii_case(b"HELP") => say(&format!(
            "214-The following SITE commands are recognized (* =>'s unimplemented)\r\n \
             HELP\r\n CHGRP\r\n CHMOD\r\n214 Direct comments to root@{}",
            asked.local
        )),
        b"HOST" => say(&format!(
            "504 {}: Unknown hostname provided",
            lossy(argument)
        )),
        b"CLNT" => say("200 OK"),
        b"LANG" => say(&format!("504 Language {} not supported", lossy(argument))),
        b"RNTO" => say(&format!("{FIRST}\r\n{FIRST}")),
        b"AUTH" if tls && !asked.secured => match argument.to_ascii_uppercase().as_slice() {
            b"TLS" | b"TLS-C" => Answer::StartTls("234 AUTH TLS successful\r\n"),
            b"SSL" | b"TLS-P" => Answer::StartTls("234 AUTH SSL successful\r\n"),
            _ => say(&format!("504 AUTH {} unsupported", lossy(argument))),
        },
        b"PBSZ" if tls && !asked.secured => {
            say("503 PBSZ not allowed on insecure control connection")
        }
        b"PBSZ" if tls => Answer::Protection("200 PBSZ 0 successful\r\n"),
        b"PROT" if tls && !asked.secured => {
            say("503 PROT not allowed on insecure control connection")
        }
        b"PROT" if tls && !asked.protection => {
            say("503 You must issue the PBSZ command prior to PROT")
        }
        b"PROT" if tls => match argument.to_ascii_uppercase().as_slice() {
            b"C" => say("200 Protection set to Clear"),
            b"P" => say("200 Protection set to Private"),
            _ => say(&format!("504 PROT {} unsupported", lossy(argument))),
        },
        _ if is_one_of(&verb, PROFTPD_LATER) || verb == b"SITE" => say(FIRST),
        _ => say(&format!("500 {} not understood", lossy(raw))),
    }
}

fn is_one_of(verb: &[u8], list: &str) -> bool {
    list.split_whitespace()
        .any(|known| known.as_bytes() == verb)
}

fn pure_ftpd(asked: &Asked<'_>) -> Answer {
    const FIRST: &str = "530 You aren't logged in";
    const NOTHING: Answer = Answer::Say(String::new());
    // A line that isn't text isn't answered.
    let line = asked.line;
    let is_odd = |b: &u8| b.is_ascii_control() && *b != b'\t';
    let blank = line.trim_ascii().is_empty();
    if blank || line.iter().any(is_odd) || line.first().is_some_and(|b| *b >= 0x80) {
        return NOTHING;
    }
    let (raw, verb, argument) = parts(line);
    let argument = argument.unwrap_or_default();
    let tls = asked.tls;
    match verb.as_slice() {
        b"USER" if argument.is_empty() => {
            Answer::Close("530 This is a private system - No anonymous login\r\n".to_owned())
        }
        b"USER" => {
            let user = argument.get(..MAX_PURE_USER).unwrap_or(argument);
            let text = format!("331 User {} OK. Password required\r\n", lossy(user));
            Answer::User(user.to_vec(), text)
        }
        b"PASS" => pass(asked, Some(argument), "530 Please tell me who you are\r\n"),
        b"QUIT" => Answer::Close(
            "221-Goodbye. You uploaded 0 and downloaded 0 kbytes.\r\n221 Logout.\r\n".to_owned(),
        ),
        b"GET" | b"POST" | b"HEAD" => Answer::Close(format!(
            "500 HTTP command: [{}]\r\n",
            lossy(&raw.to_ascii_lowercase())
        )),
        b"SYST" => say("215 UNIX Type: L8"),
        b"NOOP" => say("200 Zzz..."),
        b"ACCT" => say("202 Please tell me who you are"),
        b"HELP" => say(
            "214-The following SITE commands are recognized\r\n ALIAS\r\n CHMOD\r\n IDLE\r\n UTIME\r\n\
             214 Pure-FTPd - http://pureftpd.org/",
        ),
        b"FEAT" => say(
            "211-Extensions supported:\r\n UTF8\r\n EPRT\r\n IDLE\r\n MDTM\r\n SIZE\r\n MFMT\r\n REST STREAM\r\n \
             MLST type*;size*;sizd*;modify*;UNIX.mode*;UNIX.uid*;UNIX.gid*;unique*;\r\n MLSD\r\n PRET\r\n \
             AUTH TLS\r\n PBSZ\r\n PROT\r\n TVFS\r\n ESTA\r\n PASV\r\n EPSV\r\n ESTP\r\n211 End.",
        ),
        b"OPTS" if argument.to_ascii_uppercase().starts_with(b"MLST") => {
            say("200  MLST OPTS type;size;sizd;modify;UNIX.mode;UNIX.uid;UNIX.gid;unique;")
        }
        b"OPTS" => say("504 Unknown command"),
        b"TYPE" => match argument.to_ascii_uppercase().as_slice() {
            b"I" | b"L 8" | b"L8" => say("200 TYPE is now 8-bit binary"),
            b"A" => say("200 TYPE is now ASCII"),
            _ => say("504 Unknown TYPE"),
        },
        b"MODE" if argument.eq_ignore_ascii_case(b"S") => say("200 S OK"),
        b"MODE" => say("504 Please use S(tream) mode"),
        b"STRU" if argument.eq_ignore_ascii_case(b"F") => say("200 F OK"),
        b"STRU" => say("504 Only F(ile) is supported"),
        b"AUTH" if tls && !asked.secured => match argument.to_ascii_uppercase().as_slice() {
            b"TLS" | b"TLS-C" | b"SSL" | b"TLS-P" => Answer::StartTls("234 AUTH TLS OK.\r\n"),
            _ => say("500 This security scheme is not implemented"),
        },
        b"AUTH" | b"ADAT" => say("500 This security scheme is not implemented"),
        b"PBSZ" if asked.secured => Answer::Protection("200 PBSZ=0\r\n"),
        b"PBSZ" => say("503 PBSZ=0"),
        b"PROT" if asked.protection => match argument.to_ascii_uppercase().as_slice() {
            b"C" => say("200 Data protection level set to \"clear\""),
            b"P" => say("200 Data protection level set to \"private\""),
            _ => say("534 Fallback to [C]"),
        },
        b"PROT" => say("503 PROT must be preceded by a successful PBSZ command"),
        b"CCC" => say("534 CCC not allowed at this point"),
        _ => say(FIRST),
    }
}

/// Known to Microsoft's server, and refused before login.
const MICROSOFT_LATER: &str = "ABOR ACCT ALLO APPE CDUP CWD DELE EPRT EPSV LIST MDTM MKD MODE NLST \
    NOOP PASV PORT PWD REIN REST RETR RMD RNFR RNTO SITE SIZE SMNT STAT STOR STOU STRU SYST TYPE \
    XCUP XCWD XMKD XPWD XRMD";

fn microsoft(asked: &Asked<'_>) -> Answer {
    if asked.line.is_empty() {
        return Answer::Say(String::new());
    }
    let (raw, verb, argument) = parts(asked.line);
    let argument = argument.unwrap_or_default();
    match verb.as_slice() {
        b"USER" if argument.is_empty() => say("501 Syntax error in parameters or arguments."),
        b"USER" => Answer::User(argument.to_vec(), "331 Password required\r\n".to_owned()),
        b"PASS" => pass(asked, Some(argument), "503 Login with USER first.\r\n"),
        b"QUIT" => Answer::Close("221 Goodbye.\r\n".to_owned()),
        b"FEAT" => say(
            "211-Extended features supported:\r\n LANG EN*\r\n UTF8\r\n AUTH TLS;TLS-C;SSL;TLS-P;\r\n PBSZ\r\n \
             PROT C;P;\r\n CCC\r\n HOST\r\n SIZE\r\n MDTM\r\n REST STREAM\r\n211 END",
        ),
        b"HELP" => {
            let mut text =
                "214-The following commands are recognized (* ==>'s unimplemented).\r\n".to_owned();
            for known in "ABOR ACCT ADAT* ALLO APPE AUTH CCC CDUP CWD DELE ENC* EPRT EPSV FEAT HELP HOST \
                LANG LIST MDTM MIC* MKD MODE NLST NOOP OPTS PASS PASV PBSZ PORT PROT PWD QUIT REIN \
                REST RETR RMD RNFR RNTO SITE SIZE SMNT STAT STOR STOU STRU SYST TYPE USER XCUP XCWD \
                XMKD XPWD XRMD"
                .split_whitespace()
            {
                text.push_str(&format!(" {}\r\n", known.replace('*', " *")));
            }
            say(&(text + "214 HELP command successful."))
        }
        b"OPTS" if argument.eq_ignore_ascii_case(b"UTF8 ON") => {
            say("200 OPTS UTF8 command successful - UTF8 encoding now ON.")
        }
        b"OPTS" if argument.eq_ignore_ascii_case(b"UTF8 OFF") => {
            say("200 OPTS UTF8 command successful - UTF8 encoding now OFF.")
        }
        b"OPTS" => say("501 Parameter not understood."),
        b"AUTH" if asked.tls && !asked.secured => match argument.to_ascii_uppercase().as_slice() {
            b"TLS" | b"TLS-C" | b"SSL" | b"TLS-P" => {
                Answer::StartTls("234 AUTH command ok. Expecting TLS Negotiation.\r\n")
            }
            _ => say("504 Security mechanism not implemented."),
        },
        b"AUTH" => say("534 Local policy on server does not allow TLS secure connections."),
        b"PBSZ" if asked.secured => Answer::Protection("200 PBSZ command successful.\r\n"),
        b"PROT" if asked.protection => match argument.to_ascii_uppercase().as_slice() {
            b"C" | b"P" => say("200 PROT command successful."),
            _ => say("536 Requested PROT level not supported."),
        },
        b"PBSZ" | b"PROT" | b"CCC" => say("503 Bad sequence of commands."),
        b"ADAT" | b"ENC" | b"MIC" => say("502 Command not implemented."),
        _ if is_one_of(&verb, MICROSOFT_LATER) => say("530 Please login with USER and PASS."),
        _ => say(&format!("500 '{}': command not understood.", lossy(raw))),
    }
}

/// Known to Synology's server, and refused before login.
const SYNOLOGY_LATER: &str = "LPRT MODE RNTO SITE RMD SIZE EPRT ABOR XRMD MDTM PASV DELE STAT PWD \
    MFMT LPSV APPE CWD XPWD MLSD EPSV ALLO XCWD CDUP MLST TYPE REST LIST MKD XCUP PORT STRU RNFR \
    NLST XMKD STOU RETR STOR";

fn synology(asked: &Asked<'_>) -> Answer {
    if asked.line.is_empty() {
        return say("500 Unknown command.");
    }
    let (raw, verb, argument) = parts(asked.line);
    let argument = argument.unwrap_or_default();
    match verb.as_slice() {
        b"USER" if argument.is_empty() => say("500 'USER': command not understood."),
        b"USER" => Answer::User(
            argument.to_vec(),
            format!("331 Password required for {}.\r\n", lossy(argument)),
        ),
        b"PASS" => pass(asked, Some(argument), "503 Login with USER first.\r\n"),
        b"QUIT" => Answer::Close("221 Goodbye.\r\n".to_owned()),
        b"SYST" => say("215 UNIX Type: L8"),
        b"NOOP" => say("200 NOOP command successful."),
        b"FEAT" => {
            let tls = if asked.tls {
                " AUTH TLS\r\n PBSZ\r\n PROT\r\n"
            } else {
                ""
            };
            say(&format!(
                "211- Extensions supported:\r\n{tls} SIZE\r\n MDTM\r\n MFMT\r\n REST STREAM\r\n UTF8\r\n \
                 MLST type*;size*;modify*;perm*;\r\n211 END"
            ))
        }
        b"HELP" => say(&format!(
            "214- The following commands are recognized (* =>'s unimplemented).\r\n   \
             USER    LPRT    MODE    MSOM*   RNTO    SITE    RMD     SIZE    AUTH \r\n   \
             PASS    EPRT    RETR    MSAM*   ABOR    SYST    XRMD    MDTM    PBSZ \r\n   \
             ACCT*   PASV    STOR    MRSQ*   DELE    STAT    PWD     MFMT    PROT \r\n   \
             SMNT*   LPSV    APPE    MRCP*   CWD     HELP    XPWD    MLSD \r\n   \
             REIN*   EPSV    MLFL*   ALLO    XCWD    NOOP    CDUP    MLST \r\n   \
             QUIT    TYPE    MAIL*   REST    LIST    MKD     XCUP    FEAT \r\n   \
             PORT    STRU    MSND*   RNFR    NLST    XMKD    STOU    OPTS \r\n\
             214 Direct comments to ftp-bugs@{}.",
            asked.host
        )),
        b"OPTS" if argument.to_ascii_uppercase().starts_with(b"UTF8") => {
            say("200 OPTS UTF8 command successful.")
        }
        b"OPTS" => say("501 OPTS: option not understood."),
        b"AUTH" if asked.tls && !asked.secured => match argument.to_ascii_uppercase().as_slice() {
            b"TLS" | b"TLS-C" | b"SSL" => Answer::StartTls("234 AUTH TLS command successful.\r\n"),
            _ => say("504 AUTH type not supported."),
        },
        b"AUTH" => say("502 AUTH command not implemented."),
        b"PBSZ" if asked.secured => Answer::Protection("200 PBSZ=0\r\n"),
        b"PROT" if asked.protection => say("200 Protection level set."),
        b"PBSZ" | b"PROT" => say("503 Bad sequence of commands."),
        b"MSOM" | b"MSAM" | b"ACCT" | b"MRSQ" | b"SMNT" | b"MRCP" | b"REIN" | b"MLFL" | b"MAIL"
        | b"MSND" => say(&format!("502 {} command not implemented.", lossy(&verb))),
        _ if is_one_of(&verb, SYNOLOGY_LATER) => say("530 Please login with USER and PASS."),
        _ => say(&format!("500 '{}': command not understood.", lossy(raw))),
    }
}
