//! The remote registry (MS-RRP): a few keys with believable values, everything else refused.

use super::ndr::{Handle, Reader, Writer};
use super::{Caller, Fact, Fault, Open, State};

/// Windows' error numbers (MS-ERREF 2.2).
mod error {
    pub const FILE_NOT_FOUND: u32 = 2;
    pub const ACCESS_DENIED: u32 = 5;
    pub const CALL_NOT_IMPLEMENTED: u32 = 120;
    pub const MORE_DATA: u32 = 234;
    pub const NO_MORE_ITEMS: u32 = 259;
    pub const REGISTRY_IO_FAILED: u32 = 1016;
}

/// Types of values (MS-RRP 3.1.1.5).
const REG_SZ: u32 = 1;
const REG_DWORD: u32 = 4;
/// Length of a key's security descriptor.
const DESCRIPTOR: u32 = 0x78;
/// Longest path in a fact, in characters.
const MAX_PATH: usize = 512;

const MACHINE: &str = "HKEY_LOCAL_MACHINE";
const USER: &str = "HKEY_CURRENT_USER";

/// Keys that Samba makes for itself, in its order.
const SAMBA_KEYS: &[&str] = &[
    "SOFTWARE",
    "SOFTWARE\\Microsoft",
    "SOFTWARE\\Microsoft\\Windows NT",
    "SOFTWARE\\Microsoft\\Windows NT\\CurrentVersion",
    "SOFTWARE\\Microsoft\\Windows NT\\CurrentVersion\\Print",
    "SOFTWARE\\Microsoft\\Windows NT\\CurrentVersion\\Print\\Printers",
    "SOFTWARE\\Microsoft\\Windows NT\\CurrentVersion\\Print\\PackageInstallation",
    "SOFTWARE\\Microsoft\\Windows NT\\CurrentVersion\\Ports",
    "SOFTWARE\\Microsoft\\Windows NT\\CurrentVersion\\Perflib",
    "SOFTWARE\\Microsoft\\Windows NT\\CurrentVersion\\Perflib\\009",
    "SOFTWARE\\Microsoft\\Windows NT\\CurrentVersion\\Group Policy",
    "SOFTWARE\\Microsoft\\Windows NT\\CurrentVersion\\Winlogon",
    "SOFTWARE\\Microsoft\\Windows NT\\CurrentVersion\\Winlogon\\GPExtensions",
    "SOFTWARE\\Microsoft\\Windows",
    "SOFTWARE\\Microsoft\\Windows\\CurrentVersion",
    "SOFTWARE\\Microsoft\\Windows\\CurrentVersion\\Policies",
    "SOFTWARE\\Samba",
    "SOFTWARE\\Samba\\smbconf",
    "SOFTWARE\\Samba\\Group Policy",
    "SOFTWARE\\Policies",
    "SYSTEM",
    "SYSTEM\\CurrentControlSet",
    "SYSTEM\\CurrentControlSet\\Control",
    "SYSTEM\\CurrentControlSet\\Control\\Print",
    "SYSTEM\\CurrentControlSet\\Control\\Print\\Forms",
    "SYSTEM\\CurrentControlSet\\Control\\Print\\Printers",
    "SYSTEM\\CurrentControlSet\\Control\\Print\\Environments",
    "SYSTEM\\CurrentControlSet\\Control\\Print\\Monitors",
    "SYSTEM\\CurrentControlSet\\Control\\ProductOptions",
    "SYSTEM\\CurrentControlSet\\Control\\Terminal Server",
    "SYSTEM\\CurrentControlSet\\Control\\Terminal Server\\DefaultUserConfiguration",
    "SYSTEM\\CurrentControlSet\\Services",
    "SYSTEM\\CurrentControlSet\\Services\\LanmanServer",
    "SYSTEM\\CurrentControlSet\\Services\\LanmanServer\\Shares",
    "SYSTEM\\CurrentControlSet\\Services\\LanmanServer\\Shares\\Security",
    "SYSTEM\\CurrentControlSet\\Services\\Eventlog",
    "SYSTEM\\CurrentControlSet\\Services\\Tcpip",
    "SYSTEM\\CurrentControlSet\\Services\\Tcpip\\Parameters",
    "SYSTEM\\CurrentControlSet\\Services\\Netlogon",
    "SYSTEM\\CurrentControlSet\\Services\\Netlogon\\Parameters",
    "SYSTEM\\CurrentControlSet\\Services\\Netlogon\\Security",
    "SYSTEM\\CurrentControlSet\\Services\\Spooler",
    "SYSTEM\\CurrentControlSet\\Services\\Spooler\\Security",
    "SYSTEM\\CurrentControlSet\\Services\\RemoteRegistry",
    "SYSTEM\\CurrentControlSet\\Services\\RemoteRegistry\\Security",
    "SYSTEM\\CurrentControlSet\\Services\\WINS",
    "SYSTEM\\CurrentControlSet\\Services\\WINS\\Security",
];

const SAMBA_USER_KEYS: &[&str] = &[
    "Software",
    "Software\\Policies",
    "Software\\Microsoft",
    "Software\\Microsoft\\Windows",
    "Software\\Microsoft\\Windows\\CurrentVersion",
    "Software\\Microsoft\\Windows\\CurrentVersion\\Policies",
];

/// What Windows lets everybody read who has logged in: the paths of
/// `SecurePipeServers\winreg\AllowedExactPaths` and `AllowedPaths`.
const WINDOWS_KEYS: &[&str] = &[
    "SOFTWARE\\Microsoft\\Windows NT\\CurrentVersion",
    "SYSTEM\\CurrentControlSet\\Control\\ProductOptions",
    "SYSTEM\\CurrentControlSet\\Control\\Server Applications",
    "SYSTEM\\CurrentControlSet\\Control\\ContentIndex",
    "SYSTEM\\CurrentControlSet\\Control\\Print\\Printers",
    "SYSTEM\\CurrentControlSet\\Services\\Eventlog",
];

const CURRENT_VERSION: &str = "SOFTWARE\\Microsoft\\Windows NT\\CurrentVersion";
const PRODUCT_OPTIONS: &str = "SYSTEM\\CurrentControlSet\\Control\\ProductOptions";
const TCP: &str = "SYSTEM\\CurrentControlSet\\Services\\Tcpip\\Parameters";
const PERFLIB: &str = "SOFTWARE\\Microsoft\\Windows NT\\CurrentVersion\\Perflib";
const PRINTERS: &str = "SYSTEM\\CurrentControlSet\\Control\\Print\\Printers";

pub fn call(state: &mut State, operation: u16, input: &mut Reader<'_>) -> Result<Writer, Fault> {
    match operation {
        0 => hive(state, input, "HKEY_CLASSES_ROOT"),
        1 => hive(state, input, USER),
        2 => hive(state, input, MACHINE),
        3 => hive(state, input, "HKEY_PERFORMANCE_DATA"),
        4 => hive(state, input, "HKEY_USERS"),
        5 => state.close(input),
        6 => create(state, input),
        7 | 8 => {
            let (hive, path) = key(state, input)?;
            let head = input.head()?;
            let name = input.body(head)?;
            let api = if operation == 7 {
                "BaseRegDeleteKey"
            } else {
                "BaseRegDeleteValue"
            };
            tell(state, api, hive, &joined(&path, &name), false);
            status(error::ACCESS_DENIED)
        }
        9 => list_key(state, input),
        10 => list_value(state, input),
        15 => open(state, input),
        16 => info(state, input),
        17 => value(state, input),
        20 | 31 => {
            let (hive, path) = key(state, input)?;
            tell(state, "BaseRegSaveKey", hive, &path, false);
            status(if state.is_samba() {
                0xa1
            } else {
                error::ACCESS_DENIED
            })
        }
        22 => {
            let (hive, path) = key(state, input)?;
            let head = input.head()?;
            let name = input.body(head)?;
            tell(state, "BaseRegSetValue", hive, &joined(&path, &name), false);
            status(error::ACCESS_DENIED)
        }
        26 => {
            key(state, input)?;
            let mut out = Writer::new(0);
            out.u32(if state.is_samba() { 5 } else { 6 }).u32(0);
            Ok(out)
        }
        27 => {
            let handle = input.pointer()?;
            if handle {
                input.u16()?;
            }
            Ok(state.opened(1, Err(error::FILE_NOT_FOUND)))
        }
        35 => status(error::CALL_NOT_IMPLEMENTED),
        13 | 19 | 23 => status(error::ACCESS_DENIED),
        11 => status(error::REGISTRY_IO_FAILED),
        _ => Err(Fault::Number),
    }
}

fn status(number: u32) -> Result<Writer, Fault> {
    let mut out = Writer::new(0);
    out.u32(number);
    Ok(out)
}

fn joined(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}\\{name}")
    }
}

fn tell(state: &mut State, api: &'static str, hive: &'static str, key: &str, granted: bool) {
    let key = key.chars().take(MAX_PATH).collect();
    state.tell(Fact::Registry {
        api,
        hive,
        key,
        granted,
    });
}

/// Whether anybody of this kind may look into the registry at all.
fn barred(state: &State) -> bool {
    !state.is_samba() && state.caller != Caller::User
}

fn hive(state: &mut State, input: &mut Reader<'_>, hive: &'static str) -> Result<Writer, Fault> {
    // One character of the server's name, then the wished rights.
    if input.pointer()? {
        input.u16()?;
    }
    input.u32()?;
    if barred(state) {
        tell(state, "OpenLocalMachine", hive, "", false);
        return Ok(state.opened(1, Err(error::ACCESS_DENIED)));
    }
    let open = Open::Key {
        hive,
        path: String::new(),
        told: false,
    };
    Ok(state.opened(1, Ok(open)))
}

/// Hive and path of the handle that comes next.
fn key(state: &State, input: &mut Reader<'_>) -> Result<(&'static str, String), Fault> {
    match state.open(input)? {
        Open::Key { hive, path, .. } => Ok((hive, path)),
        _ => Err(Fault::Handle),
    }
}

/// The same for a call that looks into the key: told of once where nobody opened it by its path.
fn looked(
    state: &mut State,
    input: &mut Reader<'_>,
    api: &'static str,
) -> Result<(&'static str, String), Fault> {
    let handle: Handle = input.handle()?;
    let found = state.handles.iter_mut().find(|(known, _)| *known == handle);
    let Some((_, Open::Key { hive, path, told })) = found else {
        return Err(Fault::Handle);
    };
    let (hive, path, first) = (*hive, path.clone(), !std::mem::replace(told, true));
    if first {
        tell(state, api, hive, &path, true);
    }
    Ok((hive, path))
}

/// All keys of a hive.
fn keys(state: &State, hive: &str) -> &'static [&'static str] {
    match (hive, state.is_samba()) {
        (MACHINE, true) => SAMBA_KEYS,
        (USER, true) => SAMBA_USER_KEYS,
        (MACHINE, false) => WINDOWS_KEYS,
        _ => &[],
    }
}

/// Names of the keys in `path`.
fn inside(state: &State, hive: &str, path: &str) -> Vec<&'static str> {
    let below = keys(state, hive).iter().filter_map(|known| {
        let rest = if path.is_empty() {
            known
        } else {
            known.strip_prefix(path)?.strip_prefix('\\')?
        };
        (!rest.is_empty() && !rest.contains('\\')).then_some(rest)
    });
    below.collect()
}

/// A value: name, type, and bytes.
type Value = (&'static str, u32, Vec<u8>);

fn text(name: &'static str, text: &str) -> Value {
    let units = text.encode_utf16().chain([0]);
    (name, REG_SZ, units.flat_map(u16::to_le_bytes).collect())
}

fn number(name: &'static str, number: u32) -> Value {
    (name, REG_DWORD, number.to_le_bytes().to_vec())
}

fn values(state: &State, hive: &str, path: &str) -> Vec<Value> {
    let host = &state.host;
    if hive != MACHINE {
        return Vec::new();
    }
    let Some(windows) = &host.windows else {
        return match path {
            CURRENT_VERSION => vec![
                text("SystemRoot", "c:\\Windows"),
                text("CurrentVersion", "6.1"),
            ],
            PRODUCT_OPTIONS => vec![text("ProductType", "ServerNT")],
            TCP => vec![
                text("Hostname", &host.name.to_lowercase()),
                text("Domain", ""),
            ],
            PERFLIB => vec![
                number("Base Index", 0),
                number("Last Counter", 0),
                number("Last Help", 0),
                number("Version", 0x0001_0001),
            ],
            PRINTERS => vec![text(
                "DefaultSpoolDirectory",
                "C:\\Windows\\System32\\Spool\\Printers",
            )],
            _ => Vec::new(),
        };
    };
    match path {
        CURRENT_VERSION => {
            let installed = host
                .seed
                .number("installed", 40, 900)
                .saturating_mul(86_400);
            let booted = u64::try_from(host.booted.secs()).unwrap_or(0);
            let installed = u32::try_from(booted.saturating_sub(installed)).unwrap_or(0);
            let build = windows.build.to_string();
            let version = if windows.build >= 9_600 { "6.3" } else { "6.1" };
            vec![
                text("SystemRoot", "C:\\Windows"),
                text("ProductName", &windows.title),
                text("CurrentVersion", version),
                text("CurrentBuild", &build),
                text("CurrentBuildNumber", &build),
                number("CurrentMajorVersionNumber", windows.major.into()),
                number("CurrentMinorVersionNumber", windows.minor.into()),
                text(
                    "InstallationType",
                    if windows.server { "Server" } else { "Client" },
                ),
                text("RegisteredOwner", if windows.server { "" } else { "user" }),
                text("RegisteredOrganization", ""),
                number("InstallDate", installed),
                text("PathName", "C:\\Windows"),
            ]
        }
        PRODUCT_OPTIONS => vec![text(
            "ProductType",
            if windows.server { "ServerNT" } else { "WinNT" },
        )],
        _ => Vec::new(),
    }
}

/// The spelling of `path` in a hive, if there is such a key. Of those of Windows that nobody may
/// read it isn't told whether they exist.
fn find(state: &State, hive: &str, path: &str) -> Result<String, u32> {
    let path = path.trim_matches('\\');
    if path.is_empty() {
        return Ok(String::new());
    }
    let found = keys(state, hive)
        .iter()
        .find(|known| known.eq_ignore_ascii_case(path));
    match found {
        Some(known) if *known == "SOFTWARE\\Samba\\smbconf" => Err(error::ACCESS_DENIED),
        Some(known) => Ok((*known).to_owned()),
        None if state.is_samba() => Err(error::FILE_NOT_FOUND),
        None => Err(error::ACCESS_DENIED),
    }
}

fn open(state: &mut State, input: &mut Reader<'_>) -> Result<Writer, Fault> {
    let (hive, path) = key(state, input)?;
    let head = input.head()?;
    let below = input.body(head)?;
    let (_, wished) = (input.u32()?, input.u32()?);
    let asked = joined(&path, below.trim_matches('\\'));
    // Everything but reading: setting values, making keys, deleting, owning.
    const WRITING: u32 = 0x000d_0026;
    let found = if wished & WRITING == 0 {
        find(state, hive, &asked)
    } else {
        find(state, hive, &asked).and(Err(error::ACCESS_DENIED))
    };
    tell(
        state,
        "BaseRegOpenKey",
        hive,
        asked.trim_matches('\\'),
        found.is_ok(),
    );
    let open = found.map(|path| Open::Key {
        hive,
        path,
        told: true,
    });
    Ok(state.opened(1, open))
}

fn create(state: &mut State, input: &mut Reader<'_>) -> Result<Writer, Fault> {
    let (hive, path) = key(state, input)?;
    let head = input.head()?;
    let below = input.body(head)?;
    let head = input.head()?;
    input.body(head)?;
    let (_, _) = (input.u32()?, input.u32()?);
    tell(
        state,
        "BaseRegCreateKey",
        hive,
        &joined(&path, &below),
        false,
    );
    // No attributes are read; the disposition comes back as it was sent: made anew.
    let mut out = Writer::new(if state.is_samba() { 3 } else { 0 });
    out.raw(&[0; 20]);
    if state.is_samba() {
        out.pointer().u32(1);
    } else {
        out.u32(0);
    }
    out.u32(error::ACCESS_DENIED);
    Ok(out)
}

fn info(state: &mut State, input: &mut Reader<'_>) -> Result<Writer, Fault> {
    let (hive, path) = looked(state, input, "BaseRegQueryInfoKey")?;
    let (keys, values) = (inside(state, hive, &path), values(state, hive, &path));
    let longest = |lengths: &mut dyn Iterator<Item = usize>| {
        u32::try_from(lengths.max().unwrap_or(0)).unwrap_or(0)
    };
    let key = longest(&mut keys.iter().map(|name| name.len()));
    let name = longest(&mut values.iter().map(|(name, ..)| name.len()));
    let data = longest(&mut values.iter().map(|(.., data)| data.len()));
    let mut out = Writer::new(0);
    out.u16(0).u16(0).u32(0);
    out.count(keys.len()).u32(key.saturating_mul(2)).u32(0);
    let name = name.saturating_mul(2);
    out.count(values.len());
    // Samba counts the zero, even that of no name.
    out.u32(if state.is_samba() {
        name.saturating_add(2)
    } else {
        name
    });
    out.u32(data).u32(DESCRIPTOR).time(0).u32(0);
    Ok(out)
}

/// A buffer for a name as it's sent along: room, and what's in it.
struct Buffer {
    length: u16,
    size: u16,
    units: Option<Vec<u16>>,
}

impl Buffer {
    fn read(input: &mut Reader<'_>) -> Result<Self, Fault> {
        let head = input.head()?;
        let units = if head.text {
            Some(input.units()?)
        } else {
            None
        };
        Ok(Self {
            length: head.length,
            size: head.size,
            units,
        })
    }

    /// As it came.
    fn echo(&self, out: &mut Writer) {
        out.align(4).u16(self.length).u16(self.size);
        out.pointer_if(self.units.is_some());
        if let Some(units) = &self.units {
            out.units(units, usize::from(self.size / 2));
        }
    }

    /// As it came, where Samba adds a zero.
    fn echo_ended(mut self, ended: bool, out: &mut Writer) {
        if let (true, Some(units)) = (ended, &mut self.units) {
            units.push(0);
            self.length = self.length.saturating_add(2);
        }
        self.echo(out);
    }

    /// With `text` and its zero in it.
    fn filled(&self, text: &str, out: &mut Writer) {
        let units: Vec<u16> = text.encode_utf16().chain([0]).collect();
        let length = u16::try_from(units.len().saturating_mul(2)).unwrap_or(u16::MAX);
        out.align(4).u16(length).u16(self.size).pointer();
        out.units(&units, usize::from(self.size / 2));
    }

    fn holds(&self, text: &str) -> bool {
        text.encode_utf16().count() < usize::from(self.size / 2)
    }
}

fn list_key(state: &mut State, input: &mut Reader<'_>) -> Result<Writer, Fault> {
    let (hive, path) = looked(state, input, "BaseRegEnumKey")?;
    let index = usize::try_from(input.u32()?).unwrap_or(usize::MAX);
    let name = Buffer::read(input)?;
    let class = if input.pointer()? {
        Some(Buffer::read(input)?)
    } else {
        None
    };
    let time = input.pointer()?;
    let keys = inside(state, hive, &path);
    let mut out = Writer::new(input.pointers());
    let status = match keys.get(index) {
        None => {
            Buffer {
                length: 0,
                units: name.units.is_some().then(Vec::new),
                ..name
            }
            .echo(&mut out);
            error::NO_MORE_ITEMS
        }
        Some(key) if !name.holds(key) => {
            name.echo(&mut out);
            error::MORE_DATA
        }
        Some(key) => {
            name.filled(key, &mut out);
            0
        }
    };
    out.align(4).pointer_if(class.is_some());
    if let Some(class) = class {
        if status == 0 {
            Buffer {
                length: 0,
                units: class.units.is_some().then(Vec::new),
                ..class
            }
            .echo(&mut out);
        } else {
            class.echo_ended(state.is_samba(), &mut out);
        }
    }
    out.align(4).pointer_if(time);
    if time {
        out.time(0);
    }
    out.u32(status);
    Ok(out)
}

/// Pointers to type, data, size and length that a call may send.
struct Wanted {
    sort: Option<u32>,
    data: Option<Vec<u8>>,
    size: Option<u32>,
    length: Option<u32>,
}

impl Wanted {
    fn read(input: &mut Reader<'_>) -> Result<Self, Fault> {
        let number = |input: &mut Reader<'_>| -> Result<Option<u32>, Fault> {
            Ok(if input.pointer()? {
                Some(input.u32()?)
            } else {
                None
            })
        };
        let sort = number(input)?;
        let data = if input.pointer()? {
            let (room, from, count) = (input.u32()?, input.u32()?, input.count()?);
            if from != 0 || usize::try_from(room).is_ok_and(|room| room < count) {
                return Err(Fault::Stub);
            }
            Some(input.bytes(count)?.to_vec())
        } else {
            None
        };
        Ok(Self {
            sort,
            data,
            size: number(input)?,
            length: number(input)?,
        })
    }

    /// Type, data, size and length, each where it was wished; gives the status.
    fn fill(&self, found: Option<&Value>, samba: bool, out: &mut Writer) -> u32 {
        let nothing = (0, &Vec::new());
        let (sort, data) = found.map_or(nothing, |(_, sort, data)| (*sort, data));
        let room = usize::try_from(self.size.unwrap_or(0)).unwrap_or(usize::MAX);
        let (status, shown): (u32, &[u8]) = match found {
            None => (error::FILE_NOT_FOUND, &[]),
            // A question for the size alone.
            Some(_) if self.data.is_none() => (0, &[]),
            Some(_) if data.len() > room => (error::MORE_DATA, &[]),
            Some(_) => (0, data),
        };
        out.align(4).pointer_if(self.sort.is_some());
        if self.sort.is_some() {
            out.u32(sort);
        }
        out.pointer_if(self.data.is_some());
        if self.data.is_some() {
            let room = if samba {
                shown.len()
            } else {
                self.size.map_or(0, |_| room.min(shown.len()))
            };
            out.count(room).u32(0).count(shown.len()).raw(shown);
        }
        out.align(4).pointer_if(self.size.is_some());
        if self.size.is_some() {
            out.count(data.len());
        }
        out.pointer_if(self.length.is_some());
        if self.length.is_some() {
            out.count(if status == 0 { data.len() } else { 0 });
        }
        status
    }

    /// As it came.
    fn echo(&self, out: &mut Writer) {
        let number = |number: Option<u32>, out: &mut Writer| {
            out.align(4).pointer_if(number.is_some());
            if let Some(number) = number {
                out.u32(number);
            }
        };
        number(self.sort, out);
        out.pointer_if(self.data.is_some());
        if let Some(data) = &self.data {
            out.u32(self.size.unwrap_or(0))
                .u32(0)
                .count(data.len())
                .raw(data);
        }
        number(self.size, out);
        number(self.length, out);
    }
}

fn value(state: &mut State, input: &mut Reader<'_>) -> Result<Writer, Fault> {
    let (hive, path) = looked(state, input, "BaseRegQueryValue")?;
    let head = input.head()?;
    let name = input.body(head)?;
    let wanted = Wanted::read(input)?;
    let values = values(state, hive, &path);
    let found = values
        .iter()
        .find(|(known, ..)| known.eq_ignore_ascii_case(&name));
    let mut out = Writer::new(input.pointers());
    let status = wanted.fill(found, state.is_samba(), &mut out);
    out.u32(status);
    Ok(out)
}

fn list_value(state: &mut State, input: &mut Reader<'_>) -> Result<Writer, Fault> {
    let (hive, path) = looked(state, input, "BaseRegEnumValue")?;
    let index = usize::try_from(input.u32()?).unwrap_or(usize::MAX);
    let name = Buffer::read(input)?;
    let wanted = Wanted::read(input)?;
    let values = values(state, hive, &path);
    let mut out = Writer::new(input.pointers());
    let status = match values.get(index) {
        None => {
            name.echo(&mut out);
            wanted.echo(&mut out);
            error::NO_MORE_ITEMS
        }
        Some((known, ..)) if !name.holds(known) => {
            name.echo(&mut out);
            wanted.echo(&mut out);
            error::MORE_DATA
        }
        found @ Some((known, ..)) => {
            name.filled(known, &mut out);
            wanted.fill(found, state.is_samba(), &mut out)
        }
    };
    out.align(4).u32(status);
    Ok(out)
}
