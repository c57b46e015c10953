//! A share as a firm of some twenty people has it: departments, years, old backups, and more
//! passwords than there should be.

use coalmine_core::{Seed, Timestamp};

use super::super::dice::Dice;
use super::super::documents::Company;
use super::super::words;
use super::{Content, Entry};

/// Folders of one department: parts of a path with choices, and what lies there.
struct Department {
    /// What it may be called; one is taken.
    names: &'static [&'static str],
    folders: &'static [Folder],
}

struct Folder {
    /// One is taken; `{year}` makes a folder for each of some years; empty is the department.
    names: &'static [&'static str],
    /// Names of files with blanks; some are taken.
    files: &'static [&'static str],
}

/// The departments that are always there, then those of which some are.
const ALWAYS: usize = 3;

const DEPARTMENTS: &[Department] = &[
    Department {
        names: &[
            "Finance",
            "Accounting",
            "Finance and Controlling",
            "Accounts",
        ],
        folders: &[
            Folder {
                names: &["{year}"],
                files: &[
                    "Budget {year}.xlsx",
                    "Budget {year} v{n}.xlsx",
                    "Cash forecast {month} {year}.xlsx",
                    "Results Q{q} {year}.xlsx",
                    "Balance sheet {year}.pdf",
                    "Auditor letter {year}.pdf",
                    "Cost centres {year}.xlsx",
                ],
            },
            Folder {
                names: &["Invoices", "Invoices out", "Outgoing invoices"],
                files: &[
                    "Invoice {number} {client}.pdf",
                    "Invoice {number} {client}.docx",
                    "Open invoices {month}.xlsx",
                    "Reminder {client}.docx",
                    "invoices-{year}.csv",
                ],
            },
            Folder {
                names: &["Bank", "Banking", "Payments"],
                files: &[
                    "Online banking logins.docx",
                    "Bank contacts.xlsx",
                    "Payment run {month} {year}.csv",
                    "Loan agreement {town}.pdf",
                ],
            },
        ],
    },
    Department {
        names: &["HR", "Human Resources", "Personnel", "People"],
        folders: &[
            Folder {
                names: &["Payroll", "Salaries", "Compensation"],
                files: &[
                    "Payroll {month} {year}.xlsx",
                    "Salary overview {year}.xlsx",
                    "Bonus {year}.xlsx",
                    "payroll-export-{year}.csv",
                ],
            },
            Folder {
                names: &["Contracts", "Employees", "Staff files"],
                files: &[
                    "Contract {person}.pdf",
                    "Contract {person}.docx",
                    "Warning letter {person}.docx",
                    "Review {person} {year}.docx",
                    "Scan passport {person}.pdf",
                ],
            },
            Folder {
                names: &[""],
                files: &[
                    "Staff list {year}.xlsx",
                    "Phone list.xlsx",
                    "Holiday policy.pdf",
                    "Onboarding.docx",
                    "Org chart {year}.pdf",
                ],
            },
        ],
    },
    Department {
        names: &["IT", "EDV", "IT Department", "Systems"],
        folders: &[
            Folder {
                names: &["Passwords", "Access", "Accounts", "Credentials"],
                files: &[
                    "Passwords.xlsx",
                    "Passwords old.xlsx",
                    "passwords.kdbx",
                    "Admin accounts.docx",
                    "WiFi access.txt",
                    "VPN access {year}.docx",
                    "vpn-{person}.ovpn",
                    "Server logins.xlsx",
                ],
            },
            Folder {
                names: &["Scripts", "Tools", "Batch"],
                files: &[
                    "map-drives.ps1",
                    "backup.bat",
                    "login.cmd",
                    "dump-erp.sh",
                    "web.config",
                    "settings.ini",
                    "robocopy.log",
                ],
            },
            Folder {
                names: &["Network", "Documentation", "Docs"],
                files: &[
                    "Network plan {town}.pdf",
                    "IP addresses.xlsx",
                    "Firewall rules {year}.xlsx",
                    "Asset inventory {year}.xlsx",
                    "Emergency manual.docx",
                    "switch-{town}.cfg",
                ],
            },
            Folder {
                names: &["Backup", "Backups", "Archive"],
                files: &[
                    "erp-{year}.zip",
                    "users-{year}.sql",
                    "mailboxes-{year}.zip",
                    "dc-systemstate.bak",
                ],
            },
        ],
    },
    Department {
        names: &["Management", "Board", "Executive", "Direction"],
        folders: &[
            Folder {
                names: &["Minutes", "Meetings", "Board meetings"],
                files: &[
                    "Minutes {month} {year}.docx",
                    "Agenda {month} {year}.docx",
                    "Minutes management meeting {year}-{mm}.docx",
                ],
            },
            Folder {
                names: &["Strategy", "Confidential", "Planning"],
                files: &[
                    "Strategy {year}.docx",
                    "Project {project} - term sheet.pdf",
                    "Project {project} - NDA {client}.pdf",
                    "Headcount plan {year}.xlsx",
                    "Shareholder agreement.pdf",
                ],
            },
        ],
    },
    Department {
        names: &["Sales", "Sales and Service", "Customers"],
        folders: &[
            Folder {
                names: &["Offers", "Quotes", "Offers {year}"],
                files: &[
                    "Offer {number} {client}.docx",
                    "Offer {number} {client}.pdf",
                    "Order {client} {month}.pdf",
                ],
            },
            Folder {
                names: &[""],
                files: &[
                    "Customer list {year}.xlsx",
                    "Price list {year}.xlsx",
                    "Pipeline {month} {year}.xlsx",
                    "customers.csv",
                    "Frame contract {client}.pdf",
                ],
            },
        ],
    },
    Department {
        names: &["Purchasing", "Procurement", "Suppliers"],
        folders: &[Folder {
            names: &["{year}", "Orders", "Supplier contracts"],
            files: &[
                "Supplier list {year}.xlsx",
                "Order {number} {client}.pdf",
                "Terms {client}.pdf",
                "Price comparison {month}.xlsx",
            ],
        }],
    },
    Department {
        names: &["Legal", "Contracts", "Compliance"],
        folders: &[Folder {
            names: &["", "NDA", "Leases"],
            files: &[
                "NDA {client}.pdf",
                "Lease {town}.pdf",
                "Data protection policy {year}.docx",
                "Agreement {client} {year}.docx",
                "Insurance policy {year}.pdf",
            ],
        }],
    },
    Department {
        names: &["Projects", "Project files", "Engineering"],
        folders: &[
            Folder {
                names: &["{project}"],
                files: &[
                    "{project} cost plan.xlsx",
                    "{project} minutes {month}.docx",
                    "{project} report {year}.docx",
                    "{project} acceptance.pdf",
                    "photo {mm}{n}.png",
                ],
            },
            Folder {
                names: &["{project} {town}", "Archive {project}"],
                files: &[
                    "{project} offer {client}.pdf",
                    "{project} agreement.pdf",
                    "{project} report.docx",
                    "{project} data.zip",
                ],
            },
        ],
    },
    Department {
        names: &["Logistics", "Warehouse", "Operations"],
        folders: &[Folder {
            names: &["", "Stock"],
            files: &[
                "Stock {month} {year}.xlsx",
                "Inventory {year}.xlsx",
                "stock-export.csv",
                "Delivery note {number}.pdf",
                "Carrier contract {client}.pdf",
            ],
        }],
    },
    Department {
        names: &["Scans", "Scanner", "Scan inbox"],
        folders: &[Folder {
            names: &["", "{person}"],
            files: &[
                "Scan_{year}{mm}{dd}_{n}{n}{n}{n}.pdf",
                "Scan_{year}{mm}{dd}_{n}{n}{n}.pdf",
                "doc{number}{n}{n}.pdf",
                "IMG_{n}{n}{n}{n}.png",
            ],
        }],
    },
    Department {
        names: &["Marketing", "Communication", "Press"],
        folders: &[Folder {
            names: &["", "{year}", "Fairs"],
            files: &[
                "Logo {n}.png",
                "Fair {town} {year} costs.xlsx",
                "Press release {month} {year}.docx",
                "Newsletter leads.csv",
                "Brochure {year}.pdf",
            ],
        }],
    },
];

/// What lies beside the departments.
const LOOSE: &[&str] = &[
    "Phone list.pdf",
    "Read me first.txt",
    "Meeting room bookings.xlsx",
    "Holiday plan {year}.xlsx",
    "New employees {month}.docx",
];

/// The share of an installation.
pub fn entries(seed: &Seed, company: &Company, booted: Timestamp) -> Vec<Entry> {
    let mut dice = Dice::new(seed, "share");
    let mut maker = Maker {
        company,
        year: booted.format("%Y").parse().unwrap_or(2024),
        between: dice.pick(&[" ", "_", " ", "-"]),
        projects: dice.some(words::PROJECTS, 3),
        dice,
    };
    let mut order: Vec<(u64, usize)> = (ALWAYS..DEPARTMENTS.len())
        .map(|at| (maker.dice.roll(), at))
        .collect();
    order.sort_unstable();
    let more = maker.dice.between(3, 6);
    let more = order.iter().take(usize::try_from(more).unwrap_or(3));
    let all: Vec<usize> = (0..ALWAYS).chain(more.map(|&(_, at)| at)).collect();
    let mut share = Vec::new();
    for department in all.iter().filter_map(|&at| DEPARTMENTS.get(at)) {
        let name = maker.dice.pick(department.names).to_owned();
        let mut inside = Vec::new();
        for folder in department.folders {
            maker.folder(folder, &mut inside);
        }
        add(&mut share, name, Content::Folder(inside));
    }
    maker.files(LOOSE, &mut share);
    share
}

struct Maker<'a> {
    company: &'a Company,
    /// The year of the last start.
    year: u64,
    /// What stands between the words of a name here.
    between: &'static str,
    projects: Vec<&'static str>,
    dice: Dice,
}

impl Maker<'_> {
    fn folder(&mut self, folder: &Folder, into: &mut Vec<Entry>) {
        let pattern = self.dice.pick(folder.names);
        match pattern {
            "" => self.files(folder.files, into),
            "{year}" => {
                let newest = self.year;
                for year in newest.saturating_sub(self.dice.between(1, 3))..=newest {
                    self.year = year;
                    let mut inside = Vec::new();
                    self.files(folder.files, &mut inside);
                    add(into, year.to_string(), Content::Folder(inside));
                }
                self.year = newest;
            }
            _ => {
                let name = self.name(pattern);
                let mut inside = Vec::new();
                self.files(folder.files, &mut inside);
                add(into, name, Content::Folder(inside));
            }
        }
    }

    fn files(&mut self, patterns: &[&str], into: &mut Vec<Entry>) {
        let most = self.dice.between(3, patterns.len().max(3) as u64);
        let most = usize::try_from(most).unwrap_or(3);
        for pattern in self.dice.some(patterns, most) {
            // What's numbered or belongs to somebody is rarely alone.
            let several = ["{number}", "{person}", "{month}", "{n}"];
            let times = if several.iter().any(|blank| pattern.contains(blank)) {
                self.dice.between(1, 3)
            } else {
                1
            };
            for _ in 0..times {
                let name = self.name(pattern);
                let size = self.size(&name);
                add(into, name, Content::File(size));
            }
        }
    }

    /// Backups are large; other sizes follow from the kind.
    fn size(&mut self, name: &str) -> Option<u64> {
        let backup = [".zip", ".bak"].iter().any(|end| name.ends_with(end));
        backup.then(|| self.dice.between(3_000_000, 90_000_000))
    }

    /// A name of which all blanks are filled in.
    fn name(&mut self, pattern: &str) -> String {
        const MONTHS: &[&str] = &[
            "January",
            "February",
            "March",
            "April",
            "May",
            "June",
            "July",
            "August",
            "September",
            "October",
            "November",
            "December",
        ];
        let mut name = String::new();
        let mut rest = pattern;
        while let Some((before, after)) = rest.split_once('{') {
            let (blank, after) = after.split_once('}').unwrap_or((after, ""));
            name.push_str(before);
            let dice = &mut self.dice;
            name.push_str(&match blank {
                "year" => self.year.to_string(),
                "month" => dice.pick(MONTHS).to_owned(),
                "mm" => format!("{:02}", dice.between(1, 12)),
                "dd" => format!("{:02}", dice.between(1, 28)),
                "q" => dice.between(1, 4).to_string(),
                "n" => dice.between(1, 9).to_string(),
                "number" => dice.between(20_100, 98_900).to_string(),
                "client" => dice.pick(words::FIRM).to_owned(),
                "town" => dice.pick(words::TOWNS).to_owned(),
                "project" => dice.pick(&self.projects).to_owned(),
                "person" => self.company.person(dice).1.to_owned(),
                _ => String::new(),
            });
            rest = after;
        }
        name.push_str(rest);
        name.replace(' ', self.between)
    }
}

/// Adds an entry unless there is one of that name.
fn add(into: &mut Vec<Entry>, name: String, content: Content) {
    let same = |entry: &Entry| entry.name.eq_ignore_ascii_case(&name);
    if !into.iter().any(same) {
        into.push(Entry { name, content });
    }
}
