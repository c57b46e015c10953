//! Words that office papers are full of, put together by a token's seed: authors, companies, titles,
//! paragraphs. Nothing in them says where they come from.

use coalmine_core::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::Dice;

/// A day in seconds.
const DAY: i64 = 86_400;

/// What a paper says about itself.
#[derive(Clone, Debug)]
pub struct Paper {
    /// E.g. `Vendor Contract Review 2024`.
    pub title: String,
    /// Who wrote it.
    pub author: String,
    /// Who changed it last.
    pub editor: String,
    /// Their company.
    pub company: String,
    /// When it was begun.
    pub created: Timestamp,
    /// When it was saved last.
    pub modified: Timestamp,
    /// How often it was saved.
    pub revision: u32,
    /// Minutes it was open.
    pub minutes: u32,
}

impl Paper {
    /// One that was saved last a few days before `now`.
    pub fn new(dice: &mut Dice, now: Timestamp) -> Self {
        let modified = now.secs() - i64::from(dice.number(3_600, 25 * 86_400));
        let created = modified - i64::from(dice.number(1_800, 300 * 86_400));
        let author = person(dice);
        let editor = if dice.chance(55) {
            author.clone()
        } else {
            person(dice)
        };
        let year = civil(Timestamp::from_secs(created)).year();
        let topic = dice.pick(TOPICS);
        let form = dice.pick(FORMS);
        let title = match dice.number(0, 4) {
            0 => format!("{topic} {form}"),
            1 => format!("{topic} {form} {year}"),
            2 => format!("{form} {topic}"),
            _ => format!("{year} {topic} {form}"),
        };
        Self {
            title,
            author,
            editor,
            company: company(dice),
            created: Timestamp::from_secs(created),
            modified: Timestamp::from_secs(modified.max(created + DAY / 24)),
            revision: dice.number(2, 60),
            minutes: dice.number(4, 900),
        }
    }

    /// The title as a file name without its extension.
    pub fn file_name(&self, dice: &mut Dice) -> String {
        let joint = dice.pick(&["-", "_", "-"]);
        let name = self.title.split(' ').collect::<Vec<_>>().join(joint);
        match dice.number(0, 5) {
            0 => name.to_lowercase(),
            1 => format!("{name}{joint}v{}", dice.number(2, 9)),
            2 => format!("{name}{joint}final"),
            _ => name,
        }
    }
}

/// First and last name.
pub fn person(dice: &mut Dice) -> String {
    format!("{} {}", dice.pick(FIRST), dice.pick(LAST))
}

/// A company's name.
pub fn company(dice: &mut Dice) -> String {
    let (root, form) = (dice.pick(LAST), dice.pick(COMPANIES));
    match dice.number(0, 3) {
        0 => format!("{root} {form}"),
        1 => format!("{root} & {} {form}", dice.pick(LAST)),
        _ => format!("{root} {} {form}", dice.pick(TRADES)),
    }
}

/// A heading.
pub fn heading(dice: &mut Dice) -> &'static str {
    dice.pick(HEADINGS)
}

/// A word that heads a column.
pub fn column(dice: &mut Dice) -> &'static str {
    dice.pick(COLUMNS)
}

/// What a row is about.
pub fn topic(dice: &mut Dice) -> &'static str {
    dice.pick(TOPICS)
}

/// A paragraph of a few sentences.
pub fn paragraph(dice: &mut Dice) -> String {
    let count = dice.number(2, 6);
    let sentences: Vec<String> = (0..count).map(|_| sentence(dice)).collect();
    sentences.join(" ")
}

fn sentence(dice: &mut Dice) -> String {
    let pattern = dice.pick(SENTENCES);
    let mut out = String::with_capacity(160);
    let mut parts = pattern.split('$');
    out.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let mut letters = part.chars();
        match letters.next() {
            Some('t') => out.push_str(&dice.pick(TOPICS).to_lowercase()),
            Some('g') => out.push_str(dice.pick(GROUPS)),
            Some('v') => out.push_str(dice.pick(VERBS)),
            Some('a') => out.push_str(dice.pick(ADJECTIVES)),
            Some('w') => out.push_str(dice.pick(WHEN)),
            Some('n') => out.push_str(&dice.number(2, 95).to_string()),
            Some('p') => out.push_str(&person(dice)),
            _ => {}
        }
        out.push_str(letters.as_str());
    }
    out
}

/// `at` as W3CDTF, as office papers write it.
pub fn w3c(at: Timestamp) -> String {
    format!("{}Z", civil(at).strftime("%Y-%m-%dT%H:%M:%S"))
}

/// `at` as a PDF date (ISO 32000-1 section 7.9.4).
pub fn pdf_date(at: Timestamp) -> String {
    format!("D:{}Z", civil(at).strftime("%Y%m%d%H%M%S"))
}

/// `at` in UTC.
pub fn civil(at: Timestamp) -> DateTime {
    jiff::Timestamp::from_second(at.secs())
        .unwrap_or_default()
        .to_zoned(TimeZone::UTC)
        .datetime()
}

const FIRST: &[&str] = &[
    "Aaron",
    "Alice",
    "Amara",
    "Andrew",
    "Anna",
    "Anton",
    "Beatrice",
    "Ben",
    "Carla",
    "Charlotte",
    "Chris",
    "Claire",
    "Daniel",
    "David",
    "Diana",
    "Edith",
    "Elena",
    "Emma",
    "Erik",
    "Fatima",
    "Felix",
    "Frank",
    "Gareth",
    "Grace",
    "Hannah",
    "Helen",
    "Ian",
    "Ines",
    "Isabel",
    "Jack",
    "James",
    "Jana",
    "Joanna",
    "John",
    "Jonas",
    "Julia",
    "Karen",
    "Kevin",
    "Laura",
    "Leon",
    "Lisa",
    "Lucas",
    "Maria",
    "Mark",
    "Martin",
    "Maya",
    "Michael",
    "Mina",
    "Nadia",
    "Nina",
    "Oliver",
    "Oscar",
    "Paul",
    "Peter",
    "Petra",
    "Philip",
    "Priya",
    "Rachel",
    "Rafael",
    "Robert",
    "Rosa",
    "Samuel",
    "Sandra",
    "Sara",
    "Simon",
    "Sofia",
    "Stefan",
    "Susan",
    "Tara",
    "Thomas",
    "Tim",
    "Vera",
    "Victor",
    "Wendy",
    "William",
    "Yusuf",
    "Zoe",
];
const LAST: &[&str] = &[
    "Abbott", "Adler", "Ahmed", "Andersen", "Baker", "Barnes", "Becker", "Bennett", "Berg",
    "Bishop", "Blake", "Bosch", "Brandt", "Brooks", "Carlson", "Carter", "Castillo", "Chandler",
    "Cohen", "Conrad", "Cooper", "Costa", "Dalton", "Dawson", "Doyle", "Drake", "Eckert", "Ellis",
    "Ferrari", "Fischer", "Fletcher", "Foster", "Garner", "Gomez", "Grant", "Haas", "Hale",
    "Hansen", "Harper", "Hayes", "Holm", "Hughes", "Ivanov", "Jensen", "Keller", "Khan", "Klein",
    "Lambert", "Larsen", "Lawson", "Lindgren", "Marsh", "Mason", "Meyer", "Moreau", "Morgan",
    "Nash", "Novak", "Olsen", "Palmer", "Parker", "Patel", "Pereira", "Quinn", "Reed", "Richter",
    "Rossi", "Sanders", "Schmidt", "Sharma", "Silva", "Sloan", "Stone", "Sutton", "Tanaka",
    "Turner", "Vance", "Vogel", "Wagner", "Walsh", "Weber", "West", "Winter", "Wright", "Young",
];
const COMPANIES: &[&str] = &[
    "Ltd", "GmbH", "Inc", "LLC", "Group", "Holdings", "Partners", "AG", "BV", "Limited", "Co",
];
const TRADES: &[&str] = &[
    "Analytics",
    "Capital",
    "Chemicals",
    "Components",
    "Consulting",
    "Data",
    "Digital",
    "Energy",
    "Engineering",
    "Foods",
    "Instruments",
    "Insurance",
    "Logistics",
    "Materials",
    "Medical",
    "Networks",
    "Packaging",
    "Pharma",
    "Polymers",
    "Research",
    "Software",
    "Systems",
    "Technology",
    "Textiles",
    "Tools",
    "Transport",
];
const TOPICS: &[&str] = &[
    "Access",
    "Acquisition",
    "Audit",
    "Backup",
    "Board",
    "Bonus",
    "Budget",
    "Capacity",
    "Cash Flow",
    "Claims",
    "Compensation",
    "Compliance",
    "Contract",
    "Cost Centre",
    "Credit",
    "Customer",
    "Data Centre",
    "Disaster Recovery",
    "Divestment",
    "Due Diligence",
    "Employee",
    "Equity",
    "Executive",
    "Expense",
    "Facilities",
    "Finance",
    "Forecast",
    "Fraud",
    "Headcount",
    "Incident",
    "Infrastructure",
    "Insurance",
    "Intellectual Property",
    "Inventory",
    "Investor",
    "Legal",
    "Licence",
    "Litigation",
    "Margin",
    "Merger",
    "Migration",
    "Network",
    "Onboarding",
    "Outage",
    "Partner",
    "Password",
    "Patent",
    "Payroll",
    "Pension",
    "Performance",
    "Personnel",
    "Pipeline",
    "Pricing",
    "Procurement",
    "Project",
    "Recruiting",
    "Redundancy",
    "Remote Access",
    "Restructuring",
    "Retention",
    "Revenue",
    "Risk",
    "Salary",
    "Sales",
    "Security",
    "Server",
    "Settlement",
    "Shareholder",
    "Staffing",
    "Succession",
    "Supplier",
    "Tax",
    "Termination",
    "Travel",
    "Treasury",
    "Vendor",
    "VPN",
    "Wire Transfer",
];
const FORMS: &[&str] = &[
    "Analysis",
    "Assessment",
    "Briefing",
    "Checklist",
    "Details",
    "Draft",
    "Figures",
    "Guidelines",
    "History",
    "List",
    "Memo",
    "Minutes",
    "Notes",
    "Overview",
    "Plan",
    "Policy",
    "Proposal",
    "Report",
    "Review",
    "Schedule",
    "Sheet",
    "Statement",
    "Strategy",
    "Summary",
    "Terms",
    "Update",
];
const HEADINGS: &[&str] = &[
    "Action items",
    "Approvals",
    "Assumptions",
    "Background",
    "Budget impact",
    "Conclusion",
    "Contacts",
    "Current state",
    "Decisions",
    "Dependencies",
    "Findings",
    "Key figures",
    "Next steps",
    "Objectives",
    "Open questions",
    "Options considered",
    "Outlook",
    "Overview",
    "Recommendation",
    "Responsibilities",
    "Risks",
    "Scope",
    "Summary",
    "Timeline",
];
const COLUMNS: &[&str] = &[
    "Account",
    "Actual",
    "Amount",
    "Approved",
    "Balance",
    "Budget",
    "Change",
    "Cost",
    "Credit",
    "Debit",
    "Difference",
    "Due",
    "Estimate",
    "Fees",
    "Forecast",
    "Gross",
    "Hours",
    "Net",
    "Open",
    "Paid",
    "Plan",
    "Previous",
    "Quantity",
    "Rate",
    "Remaining",
    "Reserve",
    "Share",
    "Total",
    "Units",
    "Value",
];
const GROUPS: &[&str] = &[
    "the board",
    "the finance team",
    "our auditors",
    "the steering group",
    "legal counsel",
    "the regional office",
    "the project office",
    "our main supplier",
    "the works council",
    "the operations team",
    "both departments",
    "human resources",
    "the external consultants",
    "the security team",
    "senior management",
    "the account managers",
    "the working group",
];
const VERBS: &[&str] = &[
    "approved",
    "postponed",
    "reviewed",
    "questioned",
    "confirmed",
    "revised",
    "rejected",
    "extended",
    "completed",
    "prioritised",
    "escalated",
    "signed off",
    "reopened",
    "summarised",
    "renegotiated",
    "accepted",
];
const ADJECTIVES: &[&str] = &[
    "preliminary",
    "confidential",
    "updated",
    "remaining",
    "annual",
    "revised",
    "internal",
    "outstanding",
    "combined",
    "additional",
    "critical",
    "regional",
    "final",
    "proposed",
    "unplanned",
    "long-term",
];
const WHEN: &[&str] = &[
    "before the end of the quarter",
    "by Friday",
    "in the next meeting",
    "after the audit",
    "early next year",
    "within two weeks",
    "as agreed",
    "on short notice",
    "last month",
    "during the review",
    "at the end of the year",
    "in the second half",
    "next Tuesday",
    "once the contract is signed",
    "without further delay",
];
const SENTENCES: &[&str] = &[
    "The $a $t figures were $v by $g $w.",
    "In $n of the cases $g $v the $a terms.",
    "$p will present the $a $t numbers $w.",
    "Please do not forward this before $g has $v it.",
    "The $t position is $n percent below the $a plan.",
    "We expect $a costs of about $n thousand for $t alone.",
    "This was $v $w and has to be repeated $w.",
    "According to $p the $a $t agreement can be ended $w.",
    "Of the $n open points, the $a ones concern $t.",
    "A copy of the $a $t file is kept by $p.",
    "Both sides $v the $t schedule $w.",
    "Responsible for $t is $p, deputy is $p.",
    "No $a changes to $t are planned $w.",
    "The difference of $n percent comes from $a $t items.",
    "For questions about $t contact $p.",
    "$p asked $g whether the $a $t budget can be $v $w.",
    "It was agreed that $t remains $a until $g has decided.",
    "Since $g $v the proposal, $n items are still open.",
    "The $t review takes $n days and is done $w.",
    "Access to the $a $t data is limited to $n people.",
    "All $a payments above $n thousand must be $v by $g.",
    "See the $a list for $t, which $p keeps up to date.",
];

#[cfg(test)]
mod tests {
    use super::*;
    use coalmine_core::Seed;
    use std::collections::BTreeSet;

    #[test]
    fn papers_differ_by_seed_and_lie_in_the_past() {
        let now = Timestamp::from_secs(1_700_000_000);
        let mut titles = BTreeSet::new();
        for i in 0..100 {
            let mut dice = Dice::new(&Seed::new([i; 32]), "paper");
            let paper = Paper::new(&mut dice, now);
            assert!(paper.created < paper.modified && paper.modified < now);
            let name = paper.file_name(&mut dice);
            assert!(!name.contains([' ', '"', '$']), "{name}");
            titles.insert(name);
            let text = paragraph(&mut dice);
            assert!(!text.contains('$') && text.ends_with('.'), "{text}");
        }
        assert!(titles.len() > 95, "{}", titles.len());
        assert_eq!(w3c(now), "2023-11-14T22:13:20Z");
        assert_eq!(pdf_date(now), "D:20231114221320Z");
    }
}
