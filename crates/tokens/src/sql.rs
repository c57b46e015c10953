//! SQL Server: a trigger or view that makes the server look up a host name.

use coalmine_core::event::Field;
use coalmine_core::settings::Fault;
use coalmine_core::text;
use coalmine_core::token::{
    Answer, Artefact, Ask, Group, Hit, Mint, Reach, Takes, Token, TokenChannel, TokenKind, Trip,
};
use serde_json::{Map, json};

use crate::files::{self, Dice};

/// The kind.
pub static KIND: TokenKind = TokenKind {
    id: "sql",
    title: "SQL Server",
    description: "SQL Server",
    doc: "A T-SQL script for Microsoft SQL Server: a trigger on a table that nobody should change, \
          or a view that nobody should read.\n\
          Run it in the database. From then on an UPDATE, INSERT or DELETE on the table, or a \
          SELECT from the view, makes the server look for a file on a machine whose name is the \
          token.\n\
          Give the view or table a name that tempts: salaries, cards, passwords.\n\
          The event names the login. The server must be able to resolve names; that it cannot reach \
          the machine does not matter, but the statement waits until it has given up.",
    group: Group::Systems,
    trial: "Do what the script watches for, or look up what that would: `dig 616c696365.42.{hostname}`.",
    logtype: 17011,
    channels: &[TokenChannel::Dns],
    reach: Reach::Direct,
    asks: &[
        Ask {
            name: TYPE,
            doc: "What trips it.",
            required: true,
            takes: Takes::Choice(&["SELECT", "UPDATE", "INSERT", "DELETE"]),
        },
        name(TABLE, "The table that gets the trigger; it must exist."),
        name(TRIGGER, "What the trigger is called."),
        name(VIEW, "What the view is called, for SELECT."),
        name(FUNCTION, "What the view's function is called, for SELECT."),
    ],
    event: &[
        Field::text(TYPE, true, "What trips it.", || json!("SELECT")),
        Field::text(TABLE, true, "The table with the trigger.", || {
            json!("salaries")
        }),
        Field::text(TRIGGER, true, "The trigger.", || json!("salaries_audit")),
        Field::text(VIEW, true, "The view.", || json!("salaries_2024")),
        Field::text(FUNCTION, true, "The view's function.", || {
            json!("salaries_rows")
        }),
        Field::text(USER, true, "The login that tripped it.", || {
            json!("CORP\\jdoe")
        }),
    ],
    mint,
    trip,
};

const TYPE: &str = "trigger_type";
const TABLE: &str = "table_name";
const TRIGGER: &str = "trigger_name";
const VIEW: &str = "view_name";
const FUNCTION: &str = "function_name";
const USER: &str = "sql_username";
/// Longest identifier (T-SQL reference, "Database identifiers").
const MAX_NAME: usize = 128;
/// What each is called when the owner doesn't say.
const NAMES: [(&str, &str); 4] = [
    (TABLE, "salaries"),
    (TRIGGER, "salaries_audit"),
    (VIEW, "salaries_view"),
    (FUNCTION, "salaries_rows"),
];

const fn name(name: &'static str, doc: &'static str) -> Ask {
    Ask {
        name,
        doc,
        required: false,
        takes: Takes::Text(MAX_NAME),
    }
}

fn mint(mint: &Mint<'_>) -> Result<Artefact, Vec<Fault>> {
    let kind = mint.param(TYPE).unwrap_or_default();
    let mut faults = Vec::new();
    let mut named = |param: &str| {
        let default = NAMES.iter().find(|(name, _)| *name == param);
        let given = mint
            .param(param)
            .map(str::trim)
            .filter(|name| !name.is_empty());
        let name = given.or(default.map(|(_, name)| *name)).unwrap_or_default();
        if name.chars().any(char::is_control) {
            faults.push(Fault::new(param, "takes a name without line breaks"));
        }
        name.to_owned()
    };
    let mut fields = vec![(TYPE, kind.to_owned())];
    let [outer, inner] = match kind {
        "SELECT" => [VIEW, FUNCTION],
        _ => [TABLE, TRIGGER],
    };
    fields.extend([(outer, named(outer)), (inner, named(inner))]);
    if !faults.is_empty() {
        return Err(faults);
    }
    let quoted = |at: usize| {
        fields
            .get(at)
            .map(|(_, name)| bracketed(name))
            .unwrap_or_default()
    };
    let (outer, inner) = (quoted(1), quoted(2));
    let mut dice = Dice::new(&mint.seed, "names");
    let look = look(&mut dice, &mint.hostname());
    let script = match kind {
        "SELECT" => format!(
            "CREATE FUNCTION {inner}() RETURNS @rows TABLE ([id] int, [name] nvarchar(64)) AS\n\
             BEGIN\n{look}  INSERT INTO @rows ([id], [name]) VALUES (1, N'');\n  RETURN;\nEND\nGO\n\
             CREATE VIEW {outer} AS SELECT [id], [name] FROM {inner}();\nGO\n"
        ),
        _ => format!(
            "CREATE TRIGGER {inner} ON {outer} AFTER {kind} AS\nBEGIN\n  SET NOCOUNT ON;\n{look}END\nGO\n"
        ),
    };
    let name = format!("{}.sql", fields.get(2).map_or("token", |(_, name)| name));
    let mut made = files::artefact("sql", &name, "application/sql", script.clone().into_bytes());
    made.fields = fields
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.into()))
        .collect();
    made.renders.insert(KIND.id.to_owned(), script);
    Ok(made)
}

/// An identifier, its schema apart where it has one ("Database identifiers": delimited).
fn bracketed(name: &str) -> String {
    let parts: Vec<String> = name
        .split('.')
        .map(|part| part.trim_start_matches('[').trim_end_matches(']'))
        .map(|part| format!("[{}]", part.replace(']', "]]")))
        .collect();
    parts.join(".")
}

/// Looks for a file on the machine `<login in hex>.<two digits>.<hostname>`. Hex, since resolvers
/// change the case of letters; extended procedures are what a function may call, and GETDATE is
/// what it may draw two digits from that keep the server from remembering the answer.
fn look(dice: &mut Dice, hostname: &str) -> String {
    let mut names = ["@a", "@h", "@p", "@u", "@x", "@v", "@s", "@n"];
    dice.shuffle(&mut names);
    let [hex, path, found, ..] = names;
    let file = dice.pick(&["a", "data", "log", "x", "share", "f"]);
    format!(
        "  DECLARE {hex} varchar(128), {path} varchar(300), {found} int;\n  \
         SET {hex} = CONVERT(varchar(128), CONVERT(varbinary(60), CONVERT(varchar(60), SUSER_SNAME())), 2);\n  \
         SET {path} = '\\\\' + CASE WHEN LEN({hex}) > 60 THEN SUBSTRING({hex}, 1, 60) + '.' + \
         SUBSTRING({hex}, 61, 60) ELSE {hex} END + '.' + \
         RIGHT('0' + CONVERT(varchar(3), DATEPART(millisecond, GETDATE()) / 10), 2) + \
         '.{hostname}\\{file}';\n  \
         EXEC master.dbo.xp_fileexist {path}, {found} OUTPUT;\n"
    )
}

/// `<hex>[.<hex>].<two digits>`.
fn trip(token: &Token, hit: &Hit<'_>) -> Trip {
    let Hit::Dns(hit) = hit else {
        return Trip::silent(Answer::Plain);
    };
    let Some((digits, [first, more @ ..])) = hit.labels.split_last() else {
        // A resolver on its way to the whole name (RFC 9156), or a login without a name.
        return Trip::silent(Answer::Plain);
    };
    if digits.len() != 2 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Trip::silent(Answer::Plain);
    }
    let told = format!("{first}{}", more.concat());
    let user = match data_encoding::HEXLOWER_PERMISSIVE.decode(told.as_bytes()) {
        Ok(bytes) => text::printable(&bytes),
        Err(_) => text::cut(&told),
    };
    let mut fields = Map::from_iter([(USER.to_owned(), user.into())]);
    for name in [TYPE, TABLE, TRIGGER, VIEW, FUNCTION] {
        if let Some(value) = token.fields.get(name) {
            fields.insert(name.to_owned(), value.clone());
        }
    }
    Trip::alert(fields, Answer::Plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{minted, touched};

    fn script(params: &[(&str, &str)]) -> String {
        minted(&KIND, params).unwrap().renders["sql"].clone()
    }

    #[test]
    fn a_trigger_or_a_view_looks_for_the_token() {
        let trigger = script(&[(TYPE, "DELETE"), (TABLE, "hr.pay]roll"), (TRIGGER, "t1")]);
        assert!(trigger.starts_with("CREATE TRIGGER [t1] ON [hr].[pay]]roll] AFTER DELETE AS\n"));
        assert!(trigger.contains(".tokens.example.com\\"), "{trigger}");
        assert!(trigger.contains("xp_fileexist"));
        let view = script(&[(TYPE, "SELECT"), (VIEW, "cards")]);
        assert!(view.starts_with("CREATE FUNCTION [salaries_rows]() RETURNS @rows TABLE"));
        assert!(view.contains(
            "\nGO\nCREATE VIEW [cards] AS SELECT [id], [name] FROM [salaries_rows]();\n"
        ));
    }

    #[test]
    fn fields_say_what_was_made_and_bad_words_are_refused() {
        let made = minted(&KIND, &[(TYPE, "INSERT")]).unwrap();
        assert_eq!(made.fields[TYPE], "INSERT");
        assert_eq!(made.fields[TABLE], "salaries");
        assert!(!made.fields.contains_key(VIEW));
        assert_eq!(minted(&KIND, &[(TYPE, "DROP")]).unwrap_err()[0].key, TYPE);
        let faults = minted(&KIND, &[(TYPE, "INSERT"), (TABLE, "a\nb")]).unwrap_err();
        assert_eq!(faults[0].key, TABLE);
    }

    #[test]
    fn the_login_is_read_from_the_name_in_any_case() {
        let touch = |labels: &[&str]| {
            let labels: Vec<String> = labels.iter().map(|l| (*l).to_owned()).collect();
            touched(&KIND, &labels)
        };
        assert_eq!(
            touch(&["434f52505C6a646F65", "07"]).fields[USER],
            "CORP\\jdoe"
        );
        assert_eq!(
            touch(&["434f5250", "5C6a646F65", "07"]).fields[USER],
            "CORP\\jdoe"
        );
        assert_eq!(touch(&["nothex", "07"]).fields[USER], "nothex");
        assert_eq!(touch(&["6161", "07"]).fields[TYPE], "SELECT");
        assert!(!touch(&["07"]).alert && !touch(&[]).alert && !touch(&["6161", "x"]).alert);
    }
}
