//! Active Directory Login: domain controllers tell when an account that nobody uses is used.

use coalmine_core::event::Field;
use coalmine_core::settings::Fault;
use coalmine_core::text;
use coalmine_core::token::{
    Answer, Artefact, Ask, Group, Hit, Mint, Reach, Takes, Token, TokenChannel, TokenKind, Trip,
};
use serde_json::{Map, json};

use crate::files::{self, Dice, labels};

/// The kind.
pub static KIND: TokenKind = TokenKind {
    id: "active-directory-login",
    title: "Active Directory Login",
    description: "Active Directory Login",
    doc: "A PowerShell script that makes a domain controller tell when somebody logs in, or tries \
          to, as one of the accounts that you name.\n\
          Make accounts that nobody uses, with names and descriptions that tempt, and leave their \
          passwords where an intruder finds them; disabled accounts work too.\n\
          Run the script as administrator on every domain controller: it registers a scheduled task \
          for the events 4768 (Kerberos) and 4776 (NTLM) of these accounts, and nothing else.\n\
          The event names the address or workstation, the account, and the controller. Success and \
          failure of these two events must be audited, as Windows Server does by default.\n\
          Event queries heed letter case: the script lists each name in four spellings.",
    group: Group::Systems,
    trial: "Log in as one of the accounts, or look up what the script would: `dig i10-0-0-5.ualice.adl.{hostname}`.",
    logtype: 16012,
    channels: &[TokenChannel::Dns],
    reach: Reach::Direct,
    asks: &[Ask {
        name: USERS,
        doc: "Logon names of the accounts, with commas between them.",
        required: true,
        takes: Takes::Text(2_000),
    }],
    event: &[
        Field::text(
            "cmd_resolved_ip",
            true,
            "Where the login came from.",
            || json!("10.0.0.5"),
        ),
        Field::text(
            "cmd_workstation",
            true,
            "The machine that it came from, as it says.",
            || json!("WS-042"),
        ),
        Field::text("cmd_user_name", true, "The account.", || {
            json!("svc_backup")
        }),
        Field::text("cmd_machine_name", true, "The domain controller.", || {
            json!("DC01")
        }),
        Field::text(
            "cmd_event_record_id",
            true,
            "Number of the event in its security log.",
            || json!("184467"),
        ),
    ],
    mint,
    trip,
};

const USERS: &str = "tokened_usernames";
/// Accounts of one token.
const MAX_USERS: usize = 50;
/// Letters of the labels and the event fields that they are told in.
const LABELS: [char; 5] = ['i', 'w', 'u', 'd', 'r'];

fn mint(mint: &Mint<'_>) -> Result<Artefact, Vec<Fault>> {
    let given = mint.param(USERS).unwrap_or_default();
    let users = users(given).map_err(|problem| vec![Fault::new(USERS, problem)])?;
    let mut dice = Dice::new(&mint.seed, "task");
    let task = format!(
        "{} {}",
        dice.pick(&[
            "Directory",
            "Logon",
            "Account",
            "Replication",
            "Audit",
            "Security"
        ]),
        dice.pick(&[
            "Maintenance",
            "Health Report",
            "Statistics",
            "Cleanup",
            "Inventory"
        ]),
    );
    let script = script(&task, &users, &mint.hostname());
    let bytes = format!("\u{feff}{script}").into_bytes();
    let name = format!("{}.ps1", task.replace(' ', "-"));
    let mut made = files::artefact("ps1", &name, "text/plain", bytes);
    made.fields = Map::from_iter([(USERS.to_owned(), users.join(",").into())]);
    made.renders.insert(KIND.id.to_owned(), script);
    Ok(made)
}

/// The names in a list.
fn users(list: &str) -> Result<Vec<String>, String> {
    let mut users: Vec<String> = Vec::new();
    for name in list
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
    {
        let fits = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ' ' | '$');
        if name.chars().count() > 64 || !name.chars().all(fits) {
            return Err("takes logon names without domain, e.g. svc_backup".to_owned());
        }
        if !users.iter().any(|user| user == name) {
            users.push(name.to_owned());
        }
    }
    match users.len() {
        0 => Err("takes at least one logon name, e.g. svc_backup".to_owned()),
        1..=MAX_USERS => Ok(users),
        _ => Err(format!("takes at most {MAX_USERS} logon names")),
    }
}

/// Every spelling of a name that people and programs use.
fn spellings(user: &str) -> Vec<String> {
    let lower = user.to_lowercase();
    let mut letters = lower.chars();
    let first: String = letters
        .next()
        .into_iter()
        .flat_map(char::to_uppercase)
        .collect();
    let mut all = vec![
        user.to_owned(),
        user.to_uppercase(),
        first + letters.as_str(),
        lower,
    ];
    all.sort_unstable();
    all.dedup();
    all
}

/// The task gets nothing but the event's number on its command line: names of workstations come
/// from whoever logs in and must never be read as a command. What they hold beyond letters and
/// digits becomes hyphens before it is asked for.
fn script(task: &str, users: &[String], hostname: &str) -> String {
    let names: Vec<String> = users
        .iter()
        .flat_map(|user| spellings(user))
        .map(|name| format!("Data[@Name='TargetUserName']='{name}'"))
        .collect();
    let query = format!(
        "<QueryList><Query Id=\"0\" Path=\"Security\"><Select Path=\"Security\">\
         *[System[(EventID=4768 or EventID=4776)]] and *[EventData[{}]]\
         </Select></Query></QueryList>",
        names.join(" or ")
    );
    let command = format!(
        "& {{param([long]$n) $d=@{{}};$e=Get-WinEvent -LogName Security -MaxEvents 1 -FilterXPath \
         ('*[System[EventRecordID='+$n+']]');([xml]$e.ToXml()).Event.EventData.Data|\
         %{{$d[$_.Name]=$_.'#text'}};function f($p,$s){{$s=[string]$s -replace '^::ffff:','' \
         -replace '[^A-Za-z0-9]','-';$p+$s.Substring(0,[Math]::Min(28,$s.Length))}};\
         Resolve-DnsName -Type A -DnsOnly -Name (@((f 'i' $d.IpAddress),(f 'w' $d.Workstation),\
         (f 'u' $d.TargetUserName),(f 'd' $env:COMPUTERNAME),(f 'r' $n),'ADL','{hostname}') \
         -join '.')}} $(n)"
    );
    let (query, command) = (xml(&query), xml(&command));
    format!(
        "#Requires -RunAsAdministrator\r\n\
         # Run on every domain controller. To undo: \
         Unregister-ScheduledTask -TaskName '{task}' -Confirm:$false\r\n\
         $xml = @'\r\n\
         <?xml version=\"1.0\" encoding=\"UTF-16\"?>\r\n\
         <Task version=\"1.2\" xmlns=\"http://schemas.microsoft.com/windows/2004/02/mit/task\">\r\n\
         \x20 <Triggers><EventTrigger><Enabled>true</Enabled>\r\n\
         \x20   <Subscription>{query}</Subscription>\r\n\
         \x20   <ValueQueries><Value name=\"n\">Event/System/EventRecordID</Value></ValueQueries>\r\n\
         \x20 </EventTrigger></Triggers>\r\n\
         \x20 <Principals><Principal id=\"a\"><UserId>S-1-5-18</UserId></Principal></Principals>\r\n\
         \x20 <Settings><MultipleInstancesPolicy>Queue</MultipleInstancesPolicy>\
         <ExecutionTimeLimit>PT1M</ExecutionTimeLimit><Hidden>true</Hidden></Settings>\r\n\
         \x20 <Actions Context=\"a\"><Exec><Command>powershell.exe</Command>\r\n\
         \x20   <Arguments>-NoProfile -NonInteractive -WindowStyle Hidden -Command \
         &quot;{command}&quot;</Arguments>\r\n\
         \x20 </Exec></Actions>\r\n</Task>\r\n'@\r\n\
         Register-ScheduledTask -TaskName '{task}' -Xml $xml -Force\r\n"
    )
}

/// As XML writes text.
fn xml(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

/// `i<address>.w<workstation>.u<user>.d<controller>.r<record>.ADL`.
fn trip(_: &Token, hit: &Hit<'_>) -> Trip {
    let Hit::Dns(hit) = hit else {
        return Trip::silent(Answer::Plain);
    };
    let told = labels::before(hit.labels, "ADL").map(|(told, _)| told);
    // A resolver on its way to the whole name (RFC 9156) has not come to the user yet.
    let Some(told) = told.filter(|told| labels::lettered(told, 'i').is_some()) else {
        return Trip::silent(Answer::Plain);
    };
    let mut fields = Map::new();
    for (letter, field) in LABELS.into_iter().zip(KIND.event) {
        let value = labels::lettered(told, letter).map(|value| match letter {
            'i' => labels::address(value),
            _ => text::cut(value),
        });
        if let Some(value) = value.filter(|value| !value.trim_matches('-').is_empty()) {
            fields.insert(field.name.to_owned(), value.into());
        }
    }
    Trip::alert(fields, Answer::Plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{minted, touched};

    #[test]
    fn the_script_watches_every_spelling_and_takes_a_number_alone() {
        let made = minted(&KIND, &[(USERS, "svc_Backup, admin")]).unwrap();
        let script = &made.renders["active-directory-login"];
        for name in [
            "svc_Backup",
            "svc_backup",
            "SVC_BACKUP",
            "Svc_backup",
            "admin",
            "Admin",
        ] {
            let condition = format!("Data[@Name='TargetUserName']='{name}'");
            assert!(script.contains(&condition), "{name}");
        }
        assert!(script.contains("tokens.example.com') -join '.')} $(n)&quot;</Arguments>"));
        assert_eq!(
            script.matches("$(").count(),
            1,
            "nothing but the number is put in"
        );
        assert_eq!(script.matches("\r\n'@\r\n").count(), 1);
        assert_eq!(made.fields[USERS], "svc_Backup,admin");
    }

    #[test]
    fn names_that_would_break_out_are_refused() {
        for list in ["", ",", "a'b", "a<b", "CORP\\a", "a\n'@"] {
            assert_eq!(
                minted(&KIND, &[(USERS, list)]).unwrap_err()[0].key,
                USERS,
                "{list}"
            );
        }
    }

    #[test]
    fn the_login_is_read_from_the_name() {
        let labels = [
            "i10-0-0-5",
            "wWS-042",
            "usvc-backup",
            "dDC01",
            "r184467",
            "adl",
        ]
        .map(str::to_owned);
        let trip = touched(&KIND, &labels);
        assert!(trip.alert);
        let told = |name: &str| trip.fields[name].as_str().unwrap().to_owned();
        assert_eq!(told("cmd_resolved_ip"), "10.0.0.5");
        assert_eq!(told("cmd_workstation"), "WS-042");
        assert_eq!(told("cmd_user_name"), "svc-backup");
        assert_eq!(told("cmd_machine_name"), "DC01");
        assert_eq!(told("cmd_event_record_id"), "184467");
        for cut in 1..=labels.len() {
            assert!(
                !touched(&KIND, &labels[cut..]).alert,
                "a name on the way, {cut}"
            );
        }
        // NTLM's event has no address, Kerberos' no workstation.
        let labels = ["i", "wWS-042", "ua", "dDC01", "r1", "ADL"].map(str::to_owned);
        let trip = touched(&KIND, &labels);
        assert!(trip.alert && !trip.fields.contains_key("cmd_resolved_ip"));
    }
}
