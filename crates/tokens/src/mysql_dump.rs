//! MySQL Dump File: a database's dump that makes the server which loads it a replica of ours.

use std::fmt::Write as _;
use std::io::Write as _;

use coalmine_core::event::Field;
use coalmine_core::settings::Fault;
use coalmine_core::text;
use coalmine_core::token::{
    Answer, Artefact, Ask, Group, Hit, HostPort, Mint, Reach, Takes, Token, TokenChannel,
    TokenKind, Trip,
};
use data_encoding::BASE64;
use flate2::{Compression, GzBuilder};
use serde_json::{Map, json};

use crate::files::{self, Dice, prose};

/// The kind.
pub static KIND: TokenKind = TokenKind {
    id: "mysql-dump",
    title: "MySQL Dump File",
    description: "MySQL Dump File",
    doc: "A dump of a MySQL database with believable rows, packed as .sql.gz.\n\
          Leave it among backups. Whoever loads it into a MySQL from 8.0.23 on, or a MariaDB, has \
          that server log in at us as a replica.\n\
          The event names the server's host and language. It needs the right to replicate, which the \
          administrator of a database has.",
    group: Group::Files,
    trial: "Load the dump into a MySQL or MariaDB that you can throw away: `zcat {file} | mysql -u root`.",
    logtype: 17029,
    channels: &[TokenChannel::Mysql],
    reach: Reach::Direct,
    asks: &[Ask {
        name: INDUSTRY,
        doc: "What the rows are about.",
        required: false,
        takes: Takes::Choice(&[
            "corporate",
            "education",
            "finance",
            "healthcare",
            "legal",
            "retail",
            "tech",
        ]),
    }],
    event: &[
        Field::text(INDUSTRY, true, "What the rows are about.", || {
            json!("retail")
        }),
        Field::text(HOST, true, "The name of the server that loaded it.", || {
            json!("db-test-2")
        }),
        Field::text(LOCALE, true, "The server's language.", || json!("en_US")),
    ],
    mint,
    trip,
};

const INDUSTRY: &str = "industry";
const HOST: &str = "mysql_hostname";
const LOCALE: &str = "mysql_locale";
/// Length of `@@lc_time_names`.
const LOCALE_LEN: usize = 5;
/// Longest host name that is told: MySQL takes user names of 96 characters for a source.
const MAX_HOST: usize = 60;

/// A table: name, and columns with their types and what stands in them.
type Table = (&'static str, &'static [(&'static str, &'static str, Fill)]);

/// What stands in a column.
#[derive(Clone, Copy)]
enum Fill {
    Person,
    Email,
    Phone,
    Company,
    Money,
    Date,
    Number(u32, u32),
    Hash,
    Word(&'static [&'static str]),
}

use Fill::{Company, Date, Email, Hash, Money, Number, Person, Phone, Word};

const ID: &str = "varchar(64) NOT NULL";
const LONG: &str = "varchar(255) DEFAULT NULL";
const CASH: &str = "decimal(12,2) NOT NULL";
const DAY: &str = "date DEFAULT NULL";
const INT: &str = "int NOT NULL";

const USERS: Table = (
    "users",
    &[
        ("full_name", ID, Person),
        ("email", LONG, Email),
        ("password_hash", LONG, Hash),
        (
            "role",
            ID,
            Word(&["user", "user", "user", "editor", "admin"]),
        ),
        ("last_login", DAY, Date),
    ],
);

/// Databases' names and two more tables of each industry.
const INDUSTRIES: &[(&str, &[&str], [Table; 2])] = &[
    (
        "corporate",
        &["hr", "intranet", "people"],
        [
            (
                "employees",
                &[
                    ("name", ID, Person),
                    ("email", LONG, Email),
                    ("phone", ID, Phone),
                    (
                        "department",
                        ID,
                        Word(&["Finance", "Sales", "Legal", "IT", "Operations"]),
                    ),
                    ("salary", CASH, Money),
                    ("hired", DAY, Date),
                ],
            ),
            (
                "contracts",
                &[
                    ("partner", LONG, Company),
                    ("value", CASH, Money),
                    ("signed", DAY, Date),
                    ("status", ID, Word(&["active", "draft", "ended"])),
                ],
            ),
        ],
    ),
    (
        "education",
        &["campus", "sis", "registrar"],
        [
            (
                "students",
                &[
                    ("name", ID, Person),
                    ("email", LONG, Email),
                    ("phone", ID, Phone),
                    (
                        "programme",
                        ID,
                        Word(&["Biology", "Law", "Physics", "History", "Economics"]),
                    ),
                    ("enrolled", DAY, Date),
                ],
            ),
            (
                "grades",
                &[
                    ("student_id", INT, Number(1, 60)),
                    ("course", ID, Word(&["MA101", "PH201", "EC110", "HI305"])),
                    ("points", INT, Number(20, 100)),
                    ("graded", DAY, Date),
                ],
            ),
        ],
    ),
    (
        "finance",
        &["corebank", "ledger", "treasury"],
        [
            (
                "accounts",
                &[
                    ("holder", ID, Person),
                    ("email", LONG, Email),
                    (
                        "account_no",
                        "bigint NOT NULL",
                        Number(100_000_000, 999_999_999),
                    ),
                    ("balance", CASH, Money),
                    ("opened", DAY, Date),
                ],
            ),
            (
                "transfers",
                &[
                    ("account_id", INT, Number(1, 60)),
                    ("counterparty", LONG, Company),
                    ("amount", CASH, Money),
                    ("booked", DAY, Date),
                    (
                        "state",
                        ID,
                        Word(&["booked", "booked", "pending", "rejected"]),
                    ),
                ],
            ),
        ],
    ),
    (
        "healthcare",
        &["clinic", "emr", "patients"],
        [
            (
                "patients",
                &[
                    ("name", ID, Person),
                    ("born", DAY, Date),
                    ("phone", ID, Phone),
                    ("email", LONG, Email),
                    (
                        "insurance_no",
                        "bigint NOT NULL",
                        Number(100_000_000, 999_999_999),
                    ),
                ],
            ),
            (
                "visits",
                &[
                    ("patient_id", INT, Number(1, 60)),
                    ("physician", ID, Person),
                    (
                        "ward",
                        ID,
                        Word(&["Cardiology", "Oncology", "Surgery", "Paediatrics"]),
                    ),
                    ("visited", DAY, Date),
                    ("billed", CASH, Money),
                ],
            ),
        ],
    ),
    (
        "legal",
        &["matters", "casefile", "practice"],
        [
            (
                "clients",
                &[
                    ("name", ID, Person),
                    ("company", LONG, Company),
                    ("email", LONG, Email),
                    ("phone", ID, Phone),
                ],
            ),
            (
                "cases",
                &[
                    ("client_id", INT, Number(1, 60)),
                    ("opponent", LONG, Company),
                    (
                        "kind",
                        ID,
                        Word(&["merger", "dispute", "employment", "patent"]),
                    ),
                    ("opened", DAY, Date),
                    ("fees", CASH, Money),
                ],
            ),
        ],
    ),
    (
        "retail",
        &["shop", "store", "commerce"],
        [
            (
                "customers",
                &[
                    ("name", ID, Person),
                    ("email", LONG, Email),
                    ("phone", ID, Phone),
                    ("since", DAY, Date),
                ],
            ),
            (
                "orders",
                &[
                    ("customer_id", INT, Number(1, 60)),
                    ("total", CASH, Money),
                    ("payment", ID, Word(&["card", "card", "invoice", "paypal"])),
                    ("placed", DAY, Date),
                    ("state", ID, Word(&["paid", "shipped", "returned"])),
                ],
            ),
        ],
    ),
    (
        "tech",
        &["platform", "app_production", "accounts"],
        [
            (
                "tenants",
                &[
                    ("company", LONG, Company),
                    ("contact", ID, Person),
                    ("email", LONG, Email),
                    ("plan", ID, Word(&["free", "team", "enterprise"])),
                    ("created", DAY, Date),
                ],
            ),
            (
                "api_keys",
                &[
                    ("tenant_id", INT, Number(1, 60)),
                    ("secret_hash", LONG, Hash),
                    ("scope", ID, Word(&["read", "read,write", "admin"])),
                    ("created", DAY, Date),
                ],
            ),
        ],
    ),
];

fn mint(mint: &Mint<'_>) -> Result<Artefact, Vec<Fault>> {
    let Some(place) = &mint.places.mysql else {
        return Err(vec![Fault::new("kind", "needs the mysql channel")]);
    };
    let industry = mint.param(INDUSTRY).unwrap_or("corporate");
    let found = INDUSTRIES.iter().find(|(name, ..)| *name == industry);
    let Some((_, names, tables)) = found else {
        return Err(vec![Fault::new(INDUSTRY, "is none that there is")]);
    };
    let mut dice = Dice::new(&mint.seed, "dump");
    let database = dice.pick(names);
    let script = dump(&mut dice, mint, place, database, tables);
    let day = prose::civil(mint.now).strftime("%Y-%m-%d").to_string();
    let name = match dice.number(0, 3) {
        0 => format!("{database}.sql.gz"),
        1 => format!("{database}-{day}.sql.gz"),
        _ => format!("backup_{database}_{}.sql.gz", day.replace('-', "")),
    };
    let packed = pack(&script).map_err(|cause| {
        vec![Fault::new(
            "kind",
            format!("the dump can't be packed: {cause}"),
        )]
    })?;
    let mut made = files::artefact("mysql_dump", &name, "application/gzip", packed);
    made.fields.insert(INDUSTRY.to_owned(), industry.into());
    made.renders.insert("sql".to_owned(), script);
    Ok(made)
}

fn pack(script: &str) -> std::io::Result<Vec<u8>> {
    let mut packer = GzBuilder::new()
        .mtime(0)
        .write(Vec::new(), Compression::default());
    packer.write_all(script.as_bytes())?;
    packer.finish()
}

fn dump(
    dice: &mut Dice,
    mint: &Mint<'_>,
    place: &HostPort,
    database: &str,
    tables: &[Table; 2],
) -> String {
    let minor = dice.pick(&[35, 36, 37, 39, 40, 41, 42]);
    let version = format!("8.0.{minor}");
    let mut sql = format!(
        "-- MySQL dump 10.13  Distrib {version}, for Linux (x86_64)\n--\n\
         -- Host: localhost    Database: {database}\n\
         -- ------------------------------------------------------\n\
         -- Server version\t{version}\n\n\
         /*!40101 SET @OLD_CHARACTER_SET_CLIENT=@@CHARACTER_SET_CLIENT */;\n\
         /*!40101 SET @OLD_CHARACTER_SET_RESULTS=@@CHARACTER_SET_RESULTS */;\n\
         /*!40101 SET @OLD_COLLATION_CONNECTION=@@COLLATION_CONNECTION */;\n\
         /*!50503 SET NAMES utf8mb4 */;\n\
         /*!40103 SET @OLD_TIME_ZONE=@@TIME_ZONE */;\n\
         /*!40103 SET TIME_ZONE='+00:00' */;\n\
         /*!40014 SET @OLD_UNIQUE_CHECKS=@@UNIQUE_CHECKS, UNIQUE_CHECKS=0 */;\n\
         /*!40014 SET @OLD_FOREIGN_KEY_CHECKS=@@FOREIGN_KEY_CHECKS, FOREIGN_KEY_CHECKS=0 */;\n\
         /*!40101 SET @OLD_SQL_MODE=@@SQL_MODE, SQL_MODE='NO_AUTO_VALUE_ON_ZERO' */;\n\
         /*!40111 SET @OLD_SQL_NOTES=@@SQL_NOTES, SQL_NOTES=0 */;\n\n"
    );
    for table in std::iter::once(&USERS).chain(tables) {
        one_table(dice, mint, table, &mut sql);
    }
    trigger(dice, mint, place, &mut sql);
    let _ = write!(
        sql,
        "/*!40103 SET TIME_ZONE=@OLD_TIME_ZONE */;\n\n\
         /*!40101 SET SQL_MODE=@OLD_SQL_MODE */;\n\
         /*!40014 SET FOREIGN_KEY_CHECKS=@OLD_FOREIGN_KEY_CHECKS */;\n\
         /*!40014 SET UNIQUE_CHECKS=@OLD_UNIQUE_CHECKS */;\n\
         /*!40101 SET CHARACTER_SET_CLIENT=@OLD_CHARACTER_SET_CLIENT */;\n\
         /*!40101 SET CHARACTER_SET_RESULTS=@OLD_CHARACTER_SET_RESULTS */;\n\
         /*!40101 SET COLLATION_CONNECTION=@OLD_COLLATION_CONNECTION */;\n\
         /*!40111 SET SQL_NOTES=@OLD_SQL_NOTES */;\n\n\
         -- Dump completed on {}\n",
        prose::civil(mint.now).strftime("%Y-%m-%d %H:%M:%S")
    );
    sql
}

fn one_table(dice: &mut Dice, mint: &Mint<'_>, (name, columns): &Table, sql: &mut String) {
    let _ = write!(
        sql,
        "--\n-- Table structure for table `{name}`\n--\n\nDROP TABLE IF EXISTS `{name}`;\n\
         /*!40101 SET @saved_cs_client     = @@character_set_client */;\n\
         /*!50503 SET character_set_client = utf8mb4 */;\n\
         CREATE TABLE `{name}` (\n  `id` int NOT NULL AUTO_INCREMENT,\n"
    );
    for (column, kind, _) in *columns {
        let _ = writeln!(sql, "  `{column}` {kind},");
    }
    let rows = dice.number(40, 80);
    let _ = write!(
        sql,
        "  PRIMARY KEY (`id`)\n) ENGINE=InnoDB AUTO_INCREMENT={} DEFAULT CHARSET=utf8mb4;\n\
         /*!40101 SET character_set_client = @saved_cs_client */;\n\n\
         --\n-- Dumping data for table `{name}`\n--\n\nLOCK TABLES `{name}` WRITE;\n\
         /*!40000 ALTER TABLE `{name}` DISABLE KEYS */;\nINSERT INTO `{name}` VALUES ",
        rows + 1
    );
    let company = prose::company(&mut Dice::new(&mint.seed, "company"));
    for row in 1..=rows {
        let joint = if row == 1 { "(" } else { ",(" };
        let _ = write!(sql, "{joint}{row}");
        let person = prose::person(dice);
        for (_, _, fill) in *columns {
            let _ = write!(sql, ",{}", value(dice, mint, *fill, &person, &company));
        }
        sql.push(')');
    }
    let _ = write!(
        sql,
        ";\n/*!40000 ALTER TABLE `{name}` ENABLE KEYS */;\nUNLOCK TABLES;\n\n"
    );
}

fn value(dice: &mut Dice, mint: &Mint<'_>, fill: Fill, person: &str, company: &str) -> String {
    let slug = |text: &str, joint: &str| {
        let words: Vec<String> = text
            .split_whitespace()
            .map(|word| word.chars().filter(char::is_ascii_alphanumeric).collect())
            .filter(|word: &String| !word.is_empty())
            .collect();
        words.join(joint).to_ascii_lowercase()
    };
    let text = match fill {
        Person => person.to_owned(),
        Email => {
            let own = slug(company, "");
            let at = dice.pick(&["gmail.com", "outlook.com", "yahoo.com", ""]);
            let at = if at.is_empty() {
                format!("{own}.com")
            } else {
                at.to_owned()
            };
            format!("{}@{at}", slug(person, "."))
        }
        Phone => format!(
            "+1-555-{:03}-{:04}",
            dice.number(100, 1000),
            dice.number(0, 10_000)
        ),
        Company => prose::company(dice),
        Hash => data_encoding::HEXLOWER.encode(&dice.bytes::<32>()),
        Word(words) => dice.pick(words).to_owned(),
        Date => {
            let age = i64::from(dice.number(2, 2_000)) * 86_400;
            let day = coalmine_core::Timestamp::from_secs(mint.now.secs().saturating_sub(age));
            prose::civil(day).strftime("%Y-%m-%d").to_string()
        }
        Money => return format!("{}.{:02}", dice.number(40, 95_000), dice.number(0, 100)),
        Number(low, high) => return dice.number(low, high).to_string(),
    };
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// The statements that make the server log in at us. Each stands in a comment that one product alone
/// reads: MySQL from 8.0.23 on `/*!80023`, MariaDB `/*M!`. The connection has a name of its own, so
/// that one which is there already goes on.
fn trigger(dice: &mut Dice, mint: &Mint<'_>, place: &HostPort, sql: &mut String) {
    let name = format!(
        "{}{}",
        dice.pick(&["ch", "repl", "src", "bk"]),
        dice.number(1, 100)
    );
    let variable = format!(
        "{}{}",
        dice.pick(&["s", "q", "stmt", "tmp"]),
        dice.number(1, 100)
    );
    let password = data_encoding::HEXLOWER.encode(&dice.bytes::<8>());
    let (host, port, id) = (&place.host, place.port, mint.id);
    let parts = [
        (
            "/*M!100203",
            format!(
                "CHANGE MASTER '{name}' TO MASTER_HOST='{host}',MASTER_PORT={port},MASTER_CONNECT_RETRY=60,MASTER_USER='{id}"
            ),
            format!("',MASTER_PASSWORD='{password}'"),
            format!("START SLAVE '{name}'"),
        ),
        (
            "/*!80023",
            format!(
                "CHANGE REPLICATION SOURCE TO SOURCE_HOST='{host}',SOURCE_PORT={port},SOURCE_CONNECT_RETRY=60,SOURCE_USER='{id}"
            ),
            format!("',SOURCE_PASSWORD='{password}' FOR CHANNEL '{name}'"),
            format!("START REPLICA FOR CHANNEL '{name}'"),
        ),
    ];
    let packed = |text: &str| {
        let text = BASE64.encode(text.as_bytes());
        format!("CONVERT(FROM_BASE64('{text}') USING utf8mb4)")
    };
    for (comment, before, after, start) in parts {
        let _ = write!(
            sql,
            "{comment} SET @{variable}=CONCAT({},@@lc_time_names,LEFT(@@hostname,{MAX_HOST}),{}) */;\n\
             {comment} PREPARE {variable} FROM @{variable} */;\n\
             {comment} EXECUTE {variable} */;\n\
             {comment} SET @{variable}={} */;\n\
             {comment} PREPARE {variable} FROM @{variable} */;\n\
             {comment} EXECUTE {variable} */;\n\
             {comment} DEALLOCATE PREPARE {variable} */;\n",
            packed(&before),
            packed(&after),
            packed(&start),
        );
    }
}

/// The user's name is `<token><locale><host>`.
fn trip(token: &Token, hit: &Hit<'_>) -> Trip {
    let Hit::Mysql(hit) = hit else {
        return Trip::silent(Answer::Plain);
    };
    let rest = hit.user.get(token.id.as_str().len()..).unwrap_or_default();
    let (locale, host) = rest.split_at_checked(LOCALE_LEN).unwrap_or(("", rest));
    let mut fields = Map::from_iter([
        (LOCALE.to_owned(), locale.into()),
        (HOST.to_owned(), text::cut(host).into()),
    ]);
    if let Some(industry) = token.fields.get(INDUSTRY) {
        fields.insert(INDUSTRY.to_owned(), industry.clone());
    }
    Trip::alert(fields, Answer::Plain)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use coalmine_core::token::MysqlHit;

    use serde_json::Value;

    use super::*;
    use crate::tests::{minted, minted_by, token};

    #[test]
    fn every_industry_has_a_dump_with_rows_and_both_triggers() {
        let Takes::Choice(words) = KIND.asks[0].takes else {
            panic!("a choice")
        };
        assert_eq!(words.len(), INDUSTRIES.len());
        for word in words {
            let made = minted(&KIND, &[(INDUSTRY, word)]).unwrap();
            let sql = &made.renders["sql"];
            assert_eq!(sql.matches("CREATE TABLE").count(), 3, "{word}");
            assert_eq!(sql.matches("/*!80023 ").count(), 7);
            assert_eq!(sql.matches("/*M!100203 ").count(), 7);
            assert!(
                !sql.contains("tokens.example.com"),
                "nothing names us in the clear"
            );
            let file = made.file.unwrap();
            assert!(file.name.ends_with(".sql.gz"));
            let mut unpacked = String::new();
            flate2::read::GzDecoder::new(file.bytes.as_slice())
                .read_to_string(&mut unpacked)
                .unwrap();
            assert_eq!(&unpacked, sql);
        }
        assert_ne!(
            minted(&KIND, &[]).unwrap().renders,
            minted_by(2, &KIND, &[], &[]).unwrap().renders
        );
    }

    #[test]
    fn the_statement_inside_logs_in_as_the_token() {
        let made = minted(&KIND, &[]).unwrap();
        let sql = &made.renders["sql"];
        let mut hidden = sql.split("FROM_BASE64('").skip(1).map(|rest| {
            let text = rest.split('\'').next().unwrap();
            String::from_utf8(BASE64.decode(text.as_bytes()).unwrap()).unwrap()
        });
        let before = hidden.next().unwrap();
        assert!(
            before.contains("MASTER_HOST='tokens.example.com',MASTER_PORT=3306,"),
            "{before}"
        );
        let user = before.rsplit('\'').next().unwrap();
        assert_eq!(user, token(&KIND).id.as_str());
        assert!(hidden.next().unwrap().starts_with("',MASTER_PASSWORD='"));
        assert!(hidden.next().unwrap().starts_with("START SLAVE '"));
    }

    #[test]
    fn the_login_tells_host_and_language() {
        let token = token(&KIND);
        let touch = |user: &str| {
            let hit = Hit::Mysql(MysqlHit {
                client: [192, 0, 2, 1].into(),
                user,
                database: "",
                attributes: &[],
            });
            Value::Object((KIND.trip)(&token, &hit).fields)
        };
        assert_eq!(
            touch(&format!("{}de_DEdb-7", token.id)),
            json!({LOCALE: "de_DE", HOST: "db-7", INDUSTRY: "corporate"})
        );
        let short = touch(&format!("{}de", token.id));
        assert_eq!((&short[LOCALE], &short[HOST]), (&json!(""), &json!("de")));
    }
}
