//! Sensitive Command: Windows tells when a program that intruders like is run.

use coalmine_core::event::Field;
use coalmine_core::settings::Fault;
use coalmine_core::text;
use coalmine_core::token::{
    Answer, Artefact, Ask, Group, Hit, Mint, Reach, Takes, Token, TokenChannel, TokenKind, Trip,
};
use serde_json::{Map, json};

use crate::files::{self, labels};

/// The kind.
pub static KIND: TokenKind = TokenKind {
    id: "sensitive-cmd",
    title: "Sensitive Command",
    description: "Sensitive Command",
    doc: "A registry file that makes Windows look up a host name whenever a program of your choice \
          has run.\n\
          Choose what your users never run and intruders do: whoami.exe, nltest.exe, klist.exe, \
          wmic.exe, or a program of your own with a tempting name.\n\
          Import it as administrator on each machine, twice: `reg import FILE /reg:64` and \
          `reg import FILE /reg:32`; a group policy does it for many.\n\
          The event names computer and user. Software management and monitoring run such programs \
          too: try it on a few machines first.\n\
          The lookup needs PowerShell; where it is forbidden to run nothing is told.",
    group: Group::Systems,
    trial: "Run the program where the file was imported, or look up what that would: `dig cpc1.un.ualice.cmd.42.{hostname}`.",
    logtype: 16011,
    channels: &[TokenChannel::Dns],
    reach: Reach::Direct,
    asks: &[Ask {
        name: PROCESS,
        doc: "The program's file name, e.g. whoami.exe; several with commas between them.",
        required: true,
        takes: Takes::Text(1_000),
    }],
    event: &[
        Field::text(COMPUTER, false, "The computer.", || json!("WS-042")),
        Field::text(USER, false, "Who ran it.", || json!("jdoe")),
        Field::text(INVOCATION, false, "Different for each run.", || {
            json!("k3v9x2qa")
        }),
    ],
    mint,
    trip,
};

const PROCESS: &str = "process_name";
const COMPUTER: &str = "cmd_computer_name";
const USER: &str = "cmd_user_name";
const INVOCATION: &str = "cmd_invocation_id";
/// Programs of one token.
const MAX_PROCESSES: usize = 20;

fn mint(mint: &Mint<'_>) -> Result<Artefact, Vec<Fault>> {
    let given = mint.param(PROCESS).unwrap_or_default();
    let programs = programs(given).map_err(|problem| vec![Fault::new(PROCESS, problem)])?;
    let command = escaped(&command(&mint.hostname()));
    let mut file = "Windows Registry Editor Version 5.00\r\n".to_owned();
    // "Monitoring Silent Process Exit", Windows driver documentation.
    const NT: &str = "HKEY_LOCAL_MACHINE\\SOFTWARE\\Microsoft\\Windows NT\\CurrentVersion";
    for program in &programs {
        file.push_str(&format!(
            "\r\n[{NT}\\Image File Execution Options\\{program}]\r\n\
             \"GlobalFlag\"=dword:00000200\r\n\r\n\
             [{NT}\\SilentProcessExit\\{program}]\r\n\
             \"ReportingMode\"=dword:00000001\r\n\"MonitorProcess\"=\"{command}\"\r\n"
        ));
    }
    let bytes = std::iter::once(0xfeff)
        .chain(file.encode_utf16())
        .flat_map(u16::to_le_bytes)
        .collect();
    let first = programs.first().map_or("token", String::as_str);
    let name = format!("{}.reg", first.trim_end_matches(".exe"));
    let mut made = files::artefact("reg", &name, "text/x-ms-regedit", bytes);
    made.fields = Map::from_iter([(PROCESS.to_owned(), programs.join(",").into())]);
    Ok(made)
}

/// The programs in a list, in lower case.
fn programs(list: &str) -> Result<Vec<String>, String> {
    let mut programs: Vec<String> = Vec::new();
    for name in list
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
    {
        let fits = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ' ' | '+');
        let name = name.to_ascii_lowercase();
        if !name.ends_with(".exe") || name.len() > 64 || !name.chars().all(fits) {
            return Err("takes file names of programs without folder, e.g. whoami.exe".to_owned());
        }
        if !programs.contains(&name) {
            programs.push(name);
        }
    }
    match programs.len() {
        0 => Err("takes the file name of a program, e.g. whoami.exe".to_owned()),
        1..=MAX_PROCESSES => Ok(programs),
        _ => Err(format!("takes at most {MAX_PROCESSES} programs")),
    }
}

/// What Windows runs. The names' letters that DNS doesn't take become hyphens, so nothing that a
/// user or computer is called is ever read as a command.
fn command(hostname: &str) -> String {
    format!(
        "powershell.exe -NoProfile -NonInteractive -WindowStyle Hidden -Command \
         \"function f($p,$s){{$s=$s -replace '[^A-Za-z0-9-]','-';$p+$s.Substring(0,[Math]::Min(50,\
         $s.Length))}};$r=-join((48..57)+(97..122)|Get-Random -Count 8|%{{[char]$_}});\
         Resolve-DnsName -Type A -DnsOnly -Name ((f 'c' $env:COMPUTERNAME)+'.UN.'+\
         (f 'u' $env:USERNAME)+'.CMD.'+$r+'.{hostname}')\""
    )
}

/// As a registry file writes text.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

/// `c<computer>.UN.u<user>.CMD.<run>`.
fn trip(_: &Token, hit: &Hit<'_>) -> Trip {
    let told = match hit {
        Hit::Dns(hit) => read(hit.labels),
        _ => None,
    };
    let Some(told) = told else {
        // A resolver on its way to the whole name (RFC 9156).
        return Trip::silent(Answer::Plain);
    };
    let fields = [COMPUTER, USER, INVOCATION].into_iter().zip(told);
    let fields = fields.map(|(name, value)| (name.to_owned(), text::cut(value).into()));
    Trip::alert(fields.collect(), Answer::Plain)
}

fn read(labels: &[String]) -> Option<[&str; 3]> {
    let (computer, rest) = labels::before(labels, "UN")?;
    let (user, rest) = labels::before(rest, "CMD")?;
    Some([
        labels::lettered(computer, 'c')?,
        labels::lettered(user, 'u')?,
        rest.first()?,
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{minted, touched};

    fn text(params: &str) -> Result<String, Vec<Fault>> {
        let file = minted(&KIND, &[(PROCESS, params)])?.file.unwrap();
        let units: Vec<u16> = file
            .bytes
            .chunks(2)
            .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
            .collect();
        assert_eq!(units[0], 0xfeff);
        Ok(String::from_utf16(&units[1..]).unwrap())
    }

    #[test]
    fn every_program_is_watched_and_the_command_asks_for_the_token() {
        let text = text("whoami.exe, Klist.EXE,whoami.exe").unwrap();
        assert!(text.starts_with("Windows Registry Editor Version 5.00\r\n\r\n["));
        assert_eq!(text.matches("\"GlobalFlag\"=dword:00000200").count(), 2);
        assert!(
            text.contains("\\SilentProcessExit\\klist.exe]\r\n\"ReportingMode\"=dword:00000001")
        );
        let command = text.split("\"MonitorProcess\"=\"").nth(1).unwrap();
        let command = command.lines().next().unwrap();
        assert!(command.contains(".tokens.example.com')\\\"\""), "{command}");
        // Every quote within is escaped.
        assert_eq!(command.replace("\\\"", "").matches('"').count(), 1);
    }

    #[test]
    fn what_is_no_program_is_refused() {
        for list in ["x", "", " , ", "a\\b.exe", "a].exe", "a\".exe"] {
            assert_eq!(text(list).unwrap_err()[0].key, PROCESS, "{list}");
        }
        let many: Vec<String> = (0..=MAX_PROCESSES).map(|n| format!("p{n}.exe")).collect();
        assert_eq!(
            text(&many.join(",")).unwrap_err()[0].problem,
            "takes at most 20 programs"
        );
    }

    #[test]
    fn computer_user_and_run_are_read_from_the_name() {
        let labels = ["cWS-042", "un", "Ujdoe", "CMD", "k3v9x2qa"].map(str::to_owned);
        let trip = touched(&KIND, &labels);
        assert!(trip.alert);
        assert_eq!(trip.fields[COMPUTER], "WS-042");
        assert_eq!(trip.fields[USER], "jdoe");
        assert_eq!(trip.fields[INVOCATION], "k3v9x2qa");
        for cut in 1..=labels.len() {
            assert!(
                !touched(&KIND, &labels[cut..]).alert,
                "a name on the way, {cut}"
            );
        }
    }
}
