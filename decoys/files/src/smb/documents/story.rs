//! What stands in a document: chosen by its name and its number, in one voice for all formats.

use coalmine_core::{Seed, Timestamp};

use super::super::dice::Dice;
use super::super::words;

/// People that a firm has.
const PEOPLE: usize = 24;

/// Whose documents they are.
#[derive(Clone, Debug)]
pub struct Company {
    /// `Harbor Instruments Ltd`.
    pub name: String,
    /// Short form for addresses, `harbor-instruments`.
    pub short: String,
    /// Where it is.
    pub town: &'static str,
    /// First and family names.
    pub people: Vec<(&'static str, &'static str)>,
}

impl Company {
    /// The firm of an installation.
    pub fn new(seed: &Seed) -> Self {
        let mut dice = Dice::new(seed, "company");
        let (firm, trade) = (dice.pick(words::FIRM), dice.pick(words::TRADE));
        let form = dice.pick(&["Ltd", "GmbH", "Inc", "BV", "AG", "LLC"]);
        let first = dice.some(words::FIRST, PEOPLE);
        let last = dice.some(words::LAST, PEOPLE);
        Self {
            name: format!("{firm} {trade} {form}"),
            short: format!("{firm}-{trade}").to_lowercase(),
            town: dice.pick(words::TOWNS),
            people: first.into_iter().zip(last).collect(),
        }
    }

    /// One of its people.
    pub fn person(&self, dice: &mut Dice) -> (&'static str, &'static str) {
        let at = dice.below(self.people.len() as u64);
        let at = usize::try_from(at).unwrap_or(0);
        self.people.get(at).copied().unwrap_or(("Sam", "Baker"))
    }
}

/// A cell of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cell {
    Text(String),
    Number(u64),
    /// In hundredths.
    Amount(u64),
}

impl std::fmt::Display for Cell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Number(number) => write!(f, "{number}"),
            Self::Amount(cents) => write!(f, "{}.{:02}", cents / 100, cents % 100),
        }
    }
}

/// What a document is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Subject {
    Accounts,
    Budget,
    Contract,
    Customers,
    Inventory,
    Invoice,
    Minutes,
    Payroll,
    Report,
    Staff,
}

/// Parts of names, and what they tell; the first match counts.
const SUBJECTS: &[(&str, Subject)] = &[
    ("password", Subject::Accounts),
    ("credential", Subject::Accounts),
    ("login", Subject::Accounts),
    ("vpn", Subject::Accounts),
    ("wifi", Subject::Accounts),
    ("access", Subject::Accounts),
    ("account list", Subject::Accounts),
    ("admin", Subject::Accounts),
    ("ovpn", Subject::Accounts),
    ("payroll", Subject::Payroll),
    ("salar", Subject::Payroll),
    ("bonus", Subject::Payroll),
    ("compensation", Subject::Payroll),
    ("invoice", Subject::Invoice),
    ("order", Subject::Invoice),
    ("quote", Subject::Invoice),
    ("offer", Subject::Invoice),
    ("receipt", Subject::Invoice),
    ("expense", Subject::Invoice),
    ("minutes", Subject::Minutes),
    ("meeting", Subject::Minutes),
    ("agenda", Subject::Minutes),
    ("budget", Subject::Budget),
    ("forecast", Subject::Budget),
    ("cash", Subject::Budget),
    ("balance", Subject::Budget),
    ("results", Subject::Budget),
    ("cost", Subject::Budget),
    ("contract", Subject::Contract),
    ("agreement", Subject::Contract),
    ("nda", Subject::Contract),
    ("policy", Subject::Contract),
    ("terms", Subject::Contract),
    ("lease", Subject::Contract),
    ("customer", Subject::Customers),
    ("client", Subject::Customers),
    ("pipeline", Subject::Customers),
    ("lead", Subject::Customers),
    ("supplier", Subject::Customers),
    ("inventory", Subject::Inventory),
    ("stock", Subject::Inventory),
    ("asset", Subject::Inventory),
    ("price", Subject::Inventory),
    ("staff", Subject::Staff),
    ("employee", Subject::Staff),
    ("phone", Subject::Staff),
    ("contacts", Subject::Staff),
    ("headcount", Subject::Staff),
];

impl Subject {
    fn of(name: &str) -> Self {
        let name = name.to_lowercase().replace(['_', '-', '.'], " ");
        SUBJECTS
            .iter()
            .find(|(word, _)| name.contains(word))
            .map_or(Self::Report, |&(_, subject)| subject)
    }
}

/// A document's words and numbers.
#[derive(Clone, Debug)]
pub struct Story {
    pub title: String,
    pub author: String,
    pub paragraphs: Vec<String>,
    subject: Subject,
    number: u64,
    company: Company,
}

impl Story {
    /// The story of the document called `name`.
    pub fn new(name: &str, number: u64, company: &Company) -> Self {
        let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
        let mut dice = Dice::at(number, 3);
        let (first, last) = company.person(&mut dice);
        let subject = Subject::of(name);
        Self {
            title: stem.replace('_', " "),
            author: format!("{first} {last}"),
            paragraphs: paragraphs(subject, company, &mut dice),
            subject,
            number,
            company: company.clone(),
        }
    }

    /// Names of the table's columns.
    pub fn columns(&self) -> &'static [&'static str] {
        match self.subject {
            Subject::Accounts => &["System", "Address", "User", "Password", "Owner"],
            Subject::Budget => &["Cost centre", "Department", "Planned", "Actual", "Remark"],
            Subject::Contract => &["Clause", "Party", "Since", "Notice (days)", "Value"],
            Subject::Customers => &["Number", "Name", "Town", "Contact", "Revenue"],
            Subject::Inventory => &["Article", "Description", "Count", "Price", "Place"],
            Subject::Invoice => &["Position", "Description", "Count", "Price", "Sum"],
            Subject::Minutes => &["Item", "Subject", "Who", "Until", "State"],
            Subject::Payroll => &["Number", "Name", "Department", "Salary", "Account"],
            Subject::Report => &["Week", "Subject", "Planned", "Done", "Remark"],
            Subject::Staff => &["Number", "Name", "Department", "Phone", "E-mail"],
        }
    }

    /// How many rows a short document shows.
    pub fn rows(&self) -> u64 {
        Dice::at(self.number, 4).between(6, 18)
    }

    /// The `index`th row of the table; there is no last one.
    pub fn row(&self, index: u64) -> Vec<Cell> {
        let mut dice = Dice::at(self.number, index.wrapping_add(1_000));
        let dice = &mut dice;
        let (first, last) = self.company.person(dice);
        let name = format!("{first} {last}");
        let count = index.saturating_add(1);
        let text = |text: &str| Cell::Text(text.to_owned());
        let amount = |dice: &mut Dice, low, high| Cell::Amount(dice.between(low, high));
        match self.subject {
            Subject::Accounts => {
                let system = dice.pick(words::MACHINES);
                let user = match dice.below(4) {
                    0 => "admin".to_owned(),
                    1 => format!("svc_{system}"),
                    _ => user(first, last),
                };
                vec![
                    Cell::Text(format!("{system}{:02}", dice.between(1, 9))),
                    Cell::Text(format!(
                        "10.{}.{}.{}",
                        dice.between(1, 40),
                        dice.between(0, 20),
                        dice.between(2, 250)
                    )),
                    Cell::Text(user),
                    Cell::Text(password(dice)),
                    Cell::Text(name),
                ]
            }
            Subject::Budget => vec![
                Cell::Number(dice.between(1000, 9990)),
                text(dice.pick(words::DEPARTMENTS)),
                amount(dice, 200_000, 24_000_000),
                amount(dice, 200_000, 24_000_000),
                text(dice.pick(&["", "see notes", "open", "approved", "moved to next year"])),
            ],
            Subject::Contract => vec![
                Cell::Number(count),
                Cell::Text(firm(dice)),
                Cell::Text(format!(
                    "{:02}/20{}",
                    dice.between(1, 12),
                    dice.between(12, 23)
                )),
                Cell::Number(dice.between(1, 6).saturating_mul(30)),
                amount(dice, 100_000, 9_000_000),
            ],
            Subject::Customers => vec![
                Cell::Number(count.saturating_add(10_000)),
                Cell::Text(firm(dice)),
                text(dice.pick(words::TOWNS)),
                Cell::Text(format!(
                    "{} {}",
                    dice.pick(words::FIRST),
                    dice.pick(words::LAST)
                )),
                amount(dice, 50_000, 90_000_000),
            ],
            Subject::Inventory => vec![
                Cell::Text(format!("A-{}", dice.between(10_000, 99_999))),
                text(dice.pick(words::GOODS)),
                Cell::Number(dice.between(0, 900)),
                amount(dice, 90, 240_000),
                Cell::Text(format!(
                    "{}-{}",
                    dice.text("ABCDEF", 1),
                    dice.between(1, 60)
                )),
            ],
            Subject::Invoice => {
                let (items, price) = (dice.between(1, 40), dice.between(250, 180_000));
                vec![
                    Cell::Number(count),
                    text(dice.pick(words::GOODS)),
                    Cell::Number(items),
                    Cell::Amount(price),
                    Cell::Amount(items.saturating_mul(price)),
                ]
            }
            Subject::Minutes => vec![
                Cell::Number(count),
                Cell::Text(format!(
                    "{} {}",
                    dice.pick(TOPICS),
                    dice.pick(words::PROJECTS)
                )),
                Cell::Text(name),
                Cell::Text(format!(
                    "{:02}/{:02}",
                    dice.between(1, 28),
                    dice.between(1, 12)
                )),
                text(dice.pick(&["open", "done", "postponed", "in progress"])),
            ],
            Subject::Payroll => vec![
                Cell::Number(count.saturating_add(1_000)),
                Cell::Text(format!(
                    "{} {}",
                    dice.pick(words::FIRST),
                    dice.pick(words::LAST)
                )),
                text(dice.pick(words::DEPARTMENTS)),
                amount(dice, 240_000, 1_150_000),
                Cell::Text(format!(
                    "{} {}",
                    dice.text(words::DIGITS, 8),
                    dice.text(words::DIGITS, 10)
                )),
            ],
            Subject::Report => vec![
                Cell::Number(dice.between(1, 52)),
                Cell::Text(format!(
                    "{} {}",
                    dice.pick(TOPICS),
                    dice.pick(words::PROJECTS)
                )),
                Cell::Number(dice.between(1, 200)),
                Cell::Number(dice.between(1, 200)),
                text(dice.pick(&["", "on time", "late", "waiting for supplier", "done"])),
            ],
            Subject::Staff => vec![
                Cell::Number(count.saturating_add(1_000)),
                Cell::Text(name),
                text(dice.pick(words::DEPARTMENTS)),
                Cell::Text(format!("ext. {}", dice.between(100, 899))),
                Cell::Text(format!(
                    "{}@{}.example",
                    user(first, last),
                    self.company.short
                )),
            ],
        }
    }

    /// The whole as lines of text, with a short table.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![
            self.title.clone(),
            "=".repeat(self.title.len()),
            String::new(),
        ];
        for paragraph in &self.paragraphs {
            lines.extend(wrapped(paragraph, 78));
            lines.push(String::new());
        }
        lines.push(aligned(self.columns().iter().map(|c| (*c).to_owned())));
        lines.extend((0..self.rows()).map(|i| aligned(self.row(i).iter().map(Cell::to_string))));
        lines
    }
}

const TOPICS: &[&str] = &[
    "Acceptance of",
    "Budget for",
    "Complaints about",
    "Delivery of",
    "Documentation of",
    "Kick-off of",
    "Migration of",
    "Offer for",
    "Planning of",
    "Review of",
    "Risks of",
    "Staffing of",
    "Supplier for",
    "Test of",
    "Training for",
];

/// `cells` in columns.
pub fn aligned(cells: impl Iterator<Item = String>) -> String {
    let line: String = cells.map(|cell| format!("{cell:<17} ")).collect();
    line.trim_end().to_owned()
}

/// `text` in lines of at most `width` bytes where its words allow it.
pub fn wrapped(text: &str, width: usize) -> Vec<String> {
    let (mut lines, mut line) = (Vec::new(), String::new());
    for word in text.split(' ') {
        if !line.is_empty() && line.len().saturating_add(word.len()) >= width {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
    lines
}

/// How a person's account is called.
fn user(first: &str, last: &str) -> String {
    let initial: String = first.chars().take(1).collect();
    format!("{initial}{last}").to_lowercase()
}

fn firm(dice: &mut Dice) -> String {
    format!("{} {}", dice.pick(words::FIRM), dice.pick(words::TRADE))
}

/// A password such as people choose.
pub fn password(dice: &mut Dice) -> String {
    match dice.below(3) {
        0 => dice.text(words::ALNUM, 12),
        1 => format!(
            "{}{}!",
            dice.pick(words::PASSWORDS),
            dice.between(2015, 2024)
        ),
        _ => format!(
            "{}-{}-{}",
            dice.pick(words::PASSWORDS),
            dice.pick(words::PROJECTS),
            dice.between(10, 99)
        ),
    }
}

fn paragraphs(subject: Subject, company: &Company, dice: &mut Dice) -> Vec<String> {
    let name = &company.name;
    let (first, last) = company.person(dice);
    let (other, another) = loop {
        let other = company.person(dice);
        if other.0 != first {
            break other;
        }
    };
    let (project, town) = (dice.pick(words::PROJECTS), dice.pick(words::TOWNS));
    let street = format!("{} {}", dice.between(1, 180), dice.pick(words::STREETS));
    let mut all = match subject {
        Subject::Accounts => vec![
            format!("{name}, internal. Do not forward, do not print. Kept by {first} {last}."),
            format!(
                "Remote access: gateway vpn.{}.example, port 443, group staff. User {} with password {} works from every site; \
                 the shared secret is {}. Change after the audit.",
                company.short,
                user(first, last),
                password(dice),
                dice.text(words::ALNUM, 16)
            ),
            format!("Wireless: network {project}-office, key {}.", password(dice)),
            "The local administrator is the same on all machines that were installed before the migration."
                .to_owned(),
        ],
        Subject::Budget => vec![
            format!("{name}: figures for the management meeting, prepared by {first} {last}."),
            format!("All amounts without tax. Project {project} is booked under its own cost centre since the second quarter."),
            format!("Open points: reserve for {town}, travel of the sales team, price increase of the carriers."),
        ],
        Subject::Contract => vec![
            format!("between {name}, {town}, represented by {first} {last}, and the partner named on the last page."),
            "1. Both parties keep confidential what they learn of each other's business, without limit in time.".to_owned(),
            format!("2. The services are described in annex A and are rendered at {street}, {town}."),
            "3. Either party may end this agreement in writing with the notice given in the table below. \
             Claims that have arisen before remain untouched."
                .to_owned(),
            "4. Changes need the written form. The courts at the seat of the first party have jurisdiction.".to_owned(),
        ],
        Subject::Customers => vec![
            format!("{name}, sales. Owner of this list: {first} {last}. Confidential."),
            format!("Revenue of the last twelve months. Accounts marked for {project} are handled by {other} {another}."),
        ],
        Subject::Inventory => vec![
            format!("{name}, counted by {first} {last} and {other} {another}."),
            "Differences of more than two percent are to be explained in writing before the month is closed.".to_owned(),
        ],
        Subject::Invoice => vec![
            format!("{name}, {street}, {}", company.town),
            format!("Your contact: {first} {last}. Our reference: {project}-{}.", dice.between(1000, 9999)),
            format!(
                "Payable within {} days to account {} {}, please state the number of this document.",
                dice.between(1, 6).saturating_mul(10),
                dice.text(words::DIGITS, 8),
                dice.text(words::DIGITS, 10)
            ),
        ],
        Subject::Minutes => vec![
            format!("Present: {first} {last}, {other} {another}, others by phone. Excused: none."),
            format!("{first} reports on {project}: the supplier in {town} delivers two weeks late, the customer has been told."),
            format!("The access data for the test system are in the password list of the IT folder; {other} asks for a new account."),
            "The next meeting takes place at the usual hour. Decisions and tasks:".to_owned(),
        ],
        Subject::Payroll => vec![
            format!("{name}: strictly confidential, for HR and management only."),
            format!("Monthly gross amounts, prepared by {first} {last}. Bonus according to the agreement of last spring is not included."),
        ],
        Subject::Staff => vec![
            format!("{name}, all sites. Please report changes to {first} {last}."),
            "Emergency numbers hang beside every first-aid box.".to_owned(),
        ],
        Subject::Report => vec![
            format!("{name}: state of work, written by {first} {last} for {other} {another}."),
            format!("{project} goes on as planned. The site in {town} asks for two more people until the end of the quarter."),
            "Quality: three complaints were closed, one is open. No accidents.".to_owned(),
            "The next report follows in four weeks.".to_owned(),
        ],
    };
    for _ in 0..dice.between(1, 5) {
        all.push(format!(
            "{} {} was discussed with {}; {} follows up until the {} of the month.",
            dice.pick(TOPICS),
            dice.pick(words::PROJECTS),
            firm(dice),
            company.person(dice).0,
            dice.between(4, 27),
        ));
    }
    all
}

/// `2021-03-04T10:11:12Z`, as document properties have it.
pub fn iso(at: Timestamp) -> String {
    at.format("%Y-%m-%dT%H:%M:%SZ")
}
