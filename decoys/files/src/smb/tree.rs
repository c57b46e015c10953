//! The shared folder: what the operator lists, or what an installation makes up for itself.
//!
//! Names are compared as Windows does, without regard to case; a path's parts are separated by
//! `\`. Nothing is stored: [`Tree::read`] makes a file's bytes when somebody asks for them.

mod invented;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, PoisonError};

use coalmine_core::settings::SettingValue;
use coalmine_core::{Seed, Timestamp};
use serde_json::{Map, Value};

use super::dice::Dice;
use super::documents::{self, Company, Document, MAX_FILE, Wanted};

/// Files and folders of a share.
const MAX_ENTRIES: usize = 5_000;
/// Folders inside each other.
const MAX_DEPTH: usize = 16;
/// Longest name, in UTF-16 units (MS-FSCC 2.1.5).
const MAX_NAME: usize = 255;
/// Longest path, in bytes.
const MAX_PATH: usize = 4_096;
/// Documents that are kept ready for the next read.
const MAX_READY: usize = 32;

/// Setting `filetree`: what the operator wants in the share; empty makes one up.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FileTree(pub Vec<Entry>);

/// A file or folder as the operator lists it.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Its name in its folder.
    pub name: String,
    /// A file's wished size in bytes, or what's in a folder.
    pub content: Content,
}

/// What an [`Entry`] is.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// A file; without a size one is chosen that suits its kind.
    File(Option<u64>),
    /// A folder.
    Folder(Vec<Entry>),
}

impl FileTree {
    /// Checks names, depth, number and sizes.
    ///
    /// # Errors
    /// The first thing that's wrong, in words.
    pub fn check(&self) -> Result<(), String> {
        let mut count = 0;
        check(&self.0, "", 1, &mut count)
    }
}

impl SettingValue for FileTree {
    fn takes() -> String {
        "a list of {name, type: \"folder\" or a file's kind, size, children}".to_owned()
    }

    fn schema() -> Value {
        serde_json::json!({
            "type": "array",
            "items": {
                "type": "object",
                "required": ["name"],
                "properties": {
                    "name": {"type": "string"},
                    "type": {"type": "string"},
                    "size": {"type": "integer", "minimum": 0, "maximum": MAX_FILE},
                    "children": {"type": "array"},
                },
                "additionalProperties": false,
            },
        })
    }

    fn from_json(value: &Value) -> Option<Self> {
        entries(value, 0).map(Self)
    }

    fn to_json(&self) -> Value {
        self.0.iter().map(Entry::to_json).collect()
    }
}

impl Entry {
    fn to_json(&self) -> Value {
        match &self.content {
            Content::File(None) => serde_json::json!({"name": self.name, "type": "file"}),
            Content::File(Some(size)) => {
                serde_json::json!({"name": self.name, "type": "file", "size": size})
            }
            Content::Folder(children) => serde_json::json!({
                "name": self.name,
                "type": "folder",
                "children": children.iter().map(Self::to_json).collect::<Vec<_>>(),
            }),
        }
    }

    fn from_json(value: &Map<String, Value>, depth: usize) -> Option<Self> {
        const KNOWN: [&str; 4] = ["name", "type", "size", "children"];
        if value.keys().any(|key| !KNOWN.contains(&key.as_str())) {
            return None;
        }
        let name = value.get("name")?.as_str()?.to_owned();
        let children = value.get("children");
        let folder = match value.get("type").map(Value::as_str) {
            None => children.is_some(),
            Some(Some("folder" | "directory" | "dir")) => true,
            // The Console names a file's kind: `docx`, `pdf`.
            Some(Some(_)) => false,
            Some(None) => return None,
        };
        let content = if folder {
            Content::Folder(children.map_or(Some(Vec::new()), |c| entries(c, depth))?)
        } else {
            Content::File(match value.get("size") {
                None | Some(Value::Null) => None,
                Some(Value::String(text)) => Some(text.parse().ok()?),
                Some(number) => Some(number.as_u64()?),
            })
        };
        Some(Self { name, content })
    }
}

/// Deeper lists than [`MAX_DEPTH`] aren't read to their end: one too many is what `check` refuses.
fn entries(value: &Value, depth: usize) -> Option<Vec<Entry>> {
    if depth > MAX_DEPTH {
        return Some(Vec::new());
    }
    value
        .as_array()?
        .iter()
        .map(|entry| Entry::from_json(entry.as_object()?, depth.saturating_add(1)))
        .collect()
}

fn check(entries: &[Entry], path: &str, depth: usize, count: &mut usize) -> Result<(), String> {
    let mut seen = std::collections::HashSet::new();
    if depth > MAX_DEPTH && !entries.is_empty() {
        return Err(format!("{path} lies too deep; at most {MAX_DEPTH} levels"));
    }
    for entry in entries {
        *count = count.saturating_add(1);
        if *count > MAX_ENTRIES {
            return Err(format!("holds more than {MAX_ENTRIES} files and folders"));
        }
        let name = &entry.name;
        let here = format!("{path}\\{name}");
        let bad = |c: char| c.is_control() || "\\/:*?\"<>|".contains(c);
        if name.trim().is_empty() || name.contains(bad) || name.ends_with(['.', ' ']) {
            return Err(format!(
                "{here:?} isn't a name that Windows takes: no \\ / : * ? \" < > |, no dot or blank at its end"
            ));
        }
        if name.encode_utf16().count() > MAX_NAME || here.len() > MAX_PATH {
            return Err(format!(
                "{here:?} is too long; at most {MAX_NAME} characters a name and {MAX_PATH} bytes a path"
            ));
        }
        if !seen.insert(folded(name)) {
            return Err(format!("{here:?} is there twice"));
        }
        match &entry.content {
            Content::File(Some(size)) if *size > MAX_FILE => {
                return Err(format!("{here:?} is too large; at most {MAX_FILE} bytes"));
            }
            Content::File(_) => {}
            Content::Folder(children) => {
                check(children, &here, depth.saturating_add(1), count)?;
            }
        }
    }
    Ok(())
}

/// A file or folder as clients see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its name in its folder; empty for the share itself.
    pub name: String,
    /// Whether it's a folder.
    pub directory: bool,
    /// In bytes; 0 for a folder.
    pub size: u64,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last written.
    pub modified: Timestamp,
    /// Its number in the file system.
    pub id: u64,
}

/// A shared folder.
#[derive(Debug)]
pub struct Tree {
    /// The share itself is the first; children come after their parent.
    places: Vec<Place>,
    company: Company,
    ready: Mutex<Vec<(usize, Arc<Document>)>>,
}

#[derive(Debug)]
struct Place {
    node: Node,
    /// The name as it's compared.
    folded: String,
    /// The place of the folder it lies in; the share lies in itself.
    parent: usize,
    children: Vec<usize>,
    /// What a file's content is chosen with.
    number: u64,
}

impl Tree {
    /// The folder of an installation: as `wished`, or made up where nothing is. Everything in it
    /// was written before `booted`.
    pub fn new(wished: &FileTree, seed: &Seed, booted: Timestamp) -> Self {
        let seed = seed.derive("smb tree");
        let company = Company::new(&seed);
        let entries = if wished.0.is_empty() {
            invented::entries(&seed, &company, booted)
        } else {
            wished.0.clone()
        };
        let mut planter = Planter {
            places: Vec::new(),
            dice: Dice::new(&seed, "places"),
            id: seed.number("first", 1_048_576, 16_777_216),
            booted,
            company,
        };
        planter.plant("", 0, None, Some(&entries));
        planter.date_folders();
        Self {
            places: planter.places,
            company: planter.company,
            ready: Mutex::default(),
        }
    }

    /// What lies at `path`; the empty one is the share itself.
    pub fn lookup(&self, path: &str) -> Option<Node> {
        Some(self.places.get(self.find(path)?)?.node.clone())
    }

    /// What lies in the folder at `path`, by name; nothing for files and what isn't there.
    pub fn children(&self, path: &str) -> Vec<Node> {
        let place = self.find(path).and_then(|at| self.places.get(at));
        place.map_or_else(Vec::new, |place| {
            let children = place.children.iter();
            let nodes = children.filter_map(|&child| Some(self.places.get(child)?.node.clone()));
            nodes.collect()
        })
    }

    /// The folder that holds what lies at `path`; the share holds itself.
    pub fn parent(&self, path: &str) -> Option<Node> {
        let parent = self.places.get(self.find(path)?)?.parent;
        Some(self.places.get(parent)?.node.clone())
    }

    /// `path` as the folder itself spells it, without regard to how it was asked for.
    pub fn spelling(&self, path: &str) -> Option<String> {
        let mut at = self.find(path)?;
        let mut names = Vec::new();
        while at != 0 {
            let place = self.places.get(at)?;
            names.push(place.node.name.as_str());
            at = place.parent;
        }
        names.reverse();
        Some(names.join("\\"))
    }

    /// Sum of all sizes in bytes.
    pub fn used(&self) -> u64 {
        let sizes = self.places.iter().map(|place| place.node.size);
        sizes.fold(0, u64::saturating_add)
    }

    /// At most `len` bytes of the file at `path` from `offset` on; fewer only at its end, none of
    /// folders and of what isn't there.
    #[cfg(test)]
    pub fn read(&self, path: &str, offset: u64, len: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.read_into(path, offset, len, &mut bytes);
        bytes
    }

    /// The same, appended to `out`.
    pub fn read_into(&self, path: &str, offset: u64, len: usize, out: &mut Vec<u8>) {
        let Some(at) = self.find(path) else { return };
        let Some(place) = self.places.get(at).filter(|place| !place.node.directory) else {
            return;
        };
        let rest = place.node.size.saturating_sub(offset);
        let len = usize::try_from(rest).unwrap_or(usize::MAX).min(len);
        if len > 0 {
            out.reserve(len);
            self.document(at, place).read(offset, len, out);
        }
    }

    fn find(&self, path: &str) -> Option<usize> {
        if path.len() > MAX_PATH {
            return None;
        }
        let mut at = 0;
        for name in path.split('\\').filter(|name| !name.is_empty()) {
            let name = folded(name);
            let children = &self.places.get(at)?.children;
            let found = children.binary_search_by(|&child| {
                let other = self.places.get(child).map_or("", |place| &place.folded);
                other.cmp(&name)
            });
            at = *children.get(found.ok()?)?;
        }
        Some(at)
    }

    /// The file's document, kept from an earlier read where it is; the longest unused one goes.
    fn document(&self, at: usize, place: &Place) -> Arc<Document> {
        let lock = || self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        let mut ready = lock();
        if let Some(index) = ready.iter().position(|(kept, _)| *kept == at) {
            let found = ready.remove(index);
            let document = Arc::clone(&found.1);
            ready.push(found);
            return document;
        }
        drop(ready);
        let document = Arc::new(Document::new(&Wanted {
            name: &place.node.name,
            size: place.node.size,
            modified: place.node.modified,
            number: place.number,
            company: &self.company,
        }));
        let mut ready = lock();
        if ready.len() >= MAX_READY {
            ready.remove(0);
        }
        ready.push((at, Arc::clone(&document)));
        document
    }
}

/// A name as it's compared.
fn folded(name: &str) -> String {
    name.to_lowercase()
}

/// Makes places of entries.
struct Planter {
    places: Vec<Place>,
    dice: Dice,
    id: u64,
    booted: Timestamp,
    company: Company,
}

impl Planter {
    /// Adds an entry and all below it; gives its place. `children` of a file is none.
    fn plant(
        &mut self,
        name: &str,
        parent: usize,
        size: Option<u64>,
        children: Option<&[Entry]>,
    ) -> usize {
        let at = self.places.len();
        let (number, id) = (self.dice.roll(), self.id);
        self.id = id.saturating_add(self.dice.between(1, 9));
        let (created, modified) = self.times(name, parent);
        self.places.push(Place {
            node: Node {
                name: name.to_owned(),
                directory: children.is_some(),
                size: if children.is_some() {
                    0
                } else {
                    documents::size(name, number, &self.company, size)
                },
                created,
                modified,
                id,
            },
            folded: folded(name),
            parent,
            children: Vec::new(),
            number,
        });
        let mut order: Vec<&Entry> = children.unwrap_or_default().iter().collect();
        order.sort_by_key(|entry| folded(&entry.name));
        let mut planted = Vec::new();
        for entry in order {
            planted.push(match &entry.content {
                Content::File(size) => self.plant(&entry.name, at, *size, None),
                Content::Folder(below) => self.plant(&entry.name, at, None, Some(below)),
            });
        }
        if let Some(place) = self.places.get_mut(at) {
            place.children = planted;
        }
        at
    }

    /// When something was made and last written: in working hours of the last three years, or in
    /// the year that stands in its name or that of a folder around it.
    fn times(&mut self, name: &str, parent: usize) -> (Timestamp, Timestamp) {
        const DAY: u64 = 86_400;
        let newest = u64::try_from(self.booted.secs()).unwrap_or(0) / DAY;
        let (mut low, mut high) = (newest.saturating_sub(1_095), newest.saturating_sub(2));
        let mut around = vec![name.to_owned()];
        let mut at = parent;
        while let Some(place) = self.places.get(at) {
            around.push(place.node.name.clone());
            if at == 0 {
                break;
            }
            at = place.parent;
        }
        let first = around.iter().find_map(|name| year(name)).map(new_year);
        if let Some(first) = first.filter(|first| *first < high) {
            (low, high) = (first, high.min(first.saturating_add(372)));
        }
        let mut day = self.dice.between(low, high);
        // Day 0 was a Thursday; nobody writes at weekends.
        while matches!(day % 7, 2 | 3) {
            day = day.saturating_sub(1);
        }
        let second = self.dice.between(7 * 3_600, 17 * 3_600);
        let micros = day
            .saturating_mul(DAY)
            .saturating_add(second)
            .saturating_mul(1_000_000)
            .saturating_add(self.dice.below(1_000_000));
        let modified = i64::try_from(micros).unwrap_or(0);
        let edited = if self.dice.chance(40) {
            // Copied here after it was written.
            0
        } else {
            self.dice.below(9 * DAY * 1_000_000)
        };
        let created = modified.saturating_sub(i64::try_from(edited).unwrap_or(0));
        (
            Timestamp::from_micros(created),
            Timestamp::from_micros(modified),
        )
    }

    /// A folder is written when something in it is made, and not made later than that.
    fn date_folders(&mut self) {
        for at in (0..self.places.len()).rev() {
            let Some(place) = self.places.get(at) else {
                continue;
            };
            let children = place
                .children
                .iter()
                .filter_map(|&child| self.places.get(child));
            let made: Vec<Timestamp> = children.map(|child| child.node.created).collect();
            let (Some(first), Some(last)) = (made.iter().min(), made.iter().max()) else {
                continue;
            };
            let (first, last) = (*first, *last);
            if let Some(place) = self.places.get_mut(at) {
                place.node.modified = last;
                place.node.created = Timestamp::from_secs(first.secs().saturating_sub(4_211));
            }
        }
    }
}

/// The year that stands in a name.
fn year(name: &str) -> Option<u64> {
    let groups = name.split(|c: char| !c.is_ascii_digit());
    let mut years = groups
        .filter(|group| group.len() == 4)
        .filter_map(|g| g.parse().ok());
    years.find(|year| (1990..=2100).contains(year))
}

/// Its first day, counted from 1970.
fn new_year(year: u64) -> u64 {
    let before = year.saturating_sub(1970);
    before
        .saturating_mul(365)
        .saturating_add(before.saturating_add(1) / 4)
}
