//! What is told of files and of the disk (MS-FSCC 2.4, 2.5; MS-DTYP 2.4.6), as Samba tells it or
//! Windows.

use super::message::{Writer, wide};
use super::status::Status;

/// What is told of a file, in the protocol's units.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    pub(super) directory: bool,
    pub(super) size: u64,
    pub(super) allocated: u64,
    pub(super) attributes: u32,
    /// In 100 ns since 1601.
    pub(super) created: u64,
    pub(super) modified: u64,
    pub(super) id: u64,
}

/// Rights (MS-SMB2 2.2.13.1).
pub(super) const READ_FILE: u32 = 0x0012_0089;
pub(super) const READ_FOLDER: u32 = 0x0012_00a9;

/// Creation, last access, last write and change.
pub(super) fn times(out: &mut Writer, facts: &Facts) {
    out.u64(facts.created)
        .u64(facts.modified)
        .u64(facts.modified)
        .u64(facts.modified);
}

/// What the disk is.
#[derive(Clone, Debug)]
pub(super) struct Disk {
    pub(super) samba: bool,
    pub(super) label: String,
    pub(super) serial: u32,
    pub(super) guid: [u8; 16],
    /// In 100 ns since 1601.
    pub(super) created: u64,
    /// In bytes.
    pub(super) size: u64,
    pub(super) free: u64,
}

impl Disk {
    /// Bytes in a sector, sectors in a unit.
    fn unit(&self) -> (u32, u32) {
        if self.samba { (512, 2) } else { (512, 8) }
    }

    /// What a file of this size takes.
    pub(super) fn allocated(size: u64) -> u64 {
        size.checked_next_multiple_of(4096).unwrap_or(size)
    }

    /// One class of facts about it.
    pub(super) fn info(&self, class: u8) -> Result<Told, Status> {
        let mut out = Writer::default();
        let (sector, sectors) = self.unit();
        let unit = u64::from(sector).saturating_mul(sectors.into()).max(1);
        let (size, free) = (self.size / unit, self.free / unit);
        let fixed = match class {
            1 => {
                out.u64(self.created)
                    .u32(self.serial)
                    .u32(wide(&self.label))
                    .u8(u8::from(!self.samba))
                    .u8(0)
                    .text(&self.label);
                24
            }
            2 if self.samba => {
                let length = u32::try_from(self.label.len()).unwrap_or(0);
                out.u32(length).bytes(self.label.as_bytes());
                8
            }
            3 => {
                out.u64(size).u64(free).u32(sectors).u32(sector);
                24
            }
            4 => {
                out.u32(7).u32(if self.samba { 0x22 } else { 0x20 });
                8
            }
            5 => {
                let attributes = if self.samba { 0x0001_006f } else { 0x03c7_00ff };
                out.u32(attributes).u32(255).u32(8).text("NTFS");
                16
            }
            6 => return Err(Status::ACCESS_DENIED),
            7 => {
                out.u64(size).u64(free).u64(free).u32(sectors).u32(sector);
                32
            }
            8 if self.samba => {
                out.bytes(&self.guid).bytes(b"aBmS\0\x0c\x11\x04").zeros(12);
                out.bytes(b"4.17.12-Debian").zeros(14);
                64
            }
            8 => {
                out.bytes(&self.guid).zeros(48);
                64
            }
            11 => {
                let physical = if self.samba { sector } else { 4096 };
                out.u32(sector).u32(physical).u32(physical).u32(physical);
                out.u32(3).u32(0).u32(0);
                28
            }
            _ => return Err(Status::INVALID_INFO_CLASS),
        };
        Ok(Told { data: out.0, fixed })
    }
}

/// An answer in full, and how much of it must fit.
pub(super) struct Told {
    pub(super) data: Vec<u8>,
    pub(super) fixed: usize,
}

/// One class of facts about a file or folder, opened with these rights as `path` and read up to
/// `position`.
pub(super) fn file(
    class: u8,
    facts: &Facts,
    (access, position): (u32, u64),
    path: &str,
    samba: bool,
) -> Result<Told, Status> {
    let mut out = Writer::default();
    let full = format!("\\{path}");
    let fixed = match class {
        4 => {
            basic(&mut out, facts);
            40
        }
        5 => {
            standard(&mut out, facts);
            24
        }
        6 => {
            out.u64(facts.id);
            8
        }
        7 => {
            out.u32(0);
            4
        }
        8 => {
            out.u32(access);
            4
        }
        9 if samba => {
            out.u32(wide(&full)).text(&full);
            4
        }
        13 if samba => {
            out.u8(0);
            1
        }
        14 => {
            out.u64(if samba { position } else { 0 });
            8
        }
        15 => return Err(Status::NO_EAS_ON_FILE),
        16 => {
            out.u32(if samba { facts.attributes } else { 0 });
            4
        }
        17 => {
            out.u32(0);
            4
        }
        18 => {
            basic(&mut out, facts);
            standard(&mut out, facts);
            out.u64(facts.id).u32(0).u32(access);
            out.u64(if samba { position } else { 0 });
            out.u32(if samba { facts.attributes } else { 0 }).u32(0);
            out.u32(wide(&full)).text(&full);
            104
        }
        19 if samba => {
            out.u64(facts.allocated);
            8
        }
        20 if samba => {
            out.u64(facts.size);
            8
        }
        21 => {
            let name = path.rsplit('\\').next().unwrap_or_default();
            out.u32(wide(name)).text(name);
            4
        }
        22 => {
            if !facts.directory {
                let name = "::$DATA";
                out.u32(0).u32(wide(name)).u64(facts.size);
                out.u64(facts.allocated).text(name);
            }
            0
        }
        28 => {
            out.u64(facts.size).zeros(8);
            16
        }
        34 => {
            times(&mut out, facts);
            out.u64(facts.allocated).u64(facts.size);
            out.u32(facts.attributes).u32(0);
            56
        }
        35 => {
            out.u32(facts.attributes).u32(0);
            8
        }
        48 if samba => return Err(Status::NOT_SUPPORTED),
        48 => {
            out.u32(wide(path)).text(path);
            4
        }
        _ => return Err(Status::INVALID_INFO_CLASS),
    };
    Ok(Told { data: out.0, fixed })
}

/// What is told of a pipe.
pub(super) fn pipe(class: u8) -> Result<Told, Status> {
    if class != 5 {
        return Err(Status::NOT_SUPPORTED);
    }
    let mut out = Writer::default();
    out.u64(4096).u64(0).u32(1).u8(1).u8(0).u16(0);
    Ok(Told {
        data: out.0,
        fixed: 24,
    })
}

fn basic(out: &mut Writer, facts: &Facts) {
    times(out, facts);
    out.u32(facts.attributes).u32(0);
}

fn standard(out: &mut Writer, facts: &Facts) {
    out.u64(facts.allocated).u64(facts.size).u32(1);
    out.u8(0).u8(u8::from(facts.directory)).u16(0);
}

/// The security descriptor (MS-DTYP 2.4.6), as far as it was asked for: 1 owner, 2 group, 4 rights.
pub(super) fn security(wanted: u32, directory: bool, samba: bool) -> Vec<u8> {
    let mut owner = Writer::default();
    let mut group = Writer::default();
    let (all, some) = match directory {
        true => (0x001f_01ff, READ_FOLDER),
        false => (if samba { 0x0012_019f } else { 0x001f_01ff }, READ_FILE),
    };
    let mut rights = Writer::default();
    let mut trustees = Vec::new();
    if samba {
        // Users and groups of Unix, and everybody.
        sid(&mut owner, 22, &[1, 0]);
        sid(&mut group, 22, &[2, 0]);
        trustees.push((all, owner.0.clone()));
        trustees.push((some, group.0.clone()));
        let mut everyone = Writer::default();
        sid(&mut everyone, 1, &[0]);
        trustees.push((some, everyone.0));
    } else {
        // Administrators, the system, and users.
        sid(&mut owner, 5, &[32, 544]);
        sid(&mut group, 5, &[18]);
        trustees.push((all, owner.0.clone()));
        trustees.push((all, group.0.clone()));
        let mut users = Writer::default();
        sid(&mut users, 5, &[32, 545]);
        trustees.push((READ_FOLDER, users.0));
    }
    let inherit = if !samba && directory { 3 } else { 0 };
    for (mask, trustee) in &trustees {
        let size = u16::try_from(trustee.len().saturating_add(8)).unwrap_or(0);
        rights.u8(0).u8(inherit).u16(size).u32(*mask).bytes(trustee);
    }
    let mut out = Writer::default();
    let dacl = wanted & 4 != 0;
    let control: u16 = match (samba, dacl) {
        (true, true) => 0x9004,
        (true, false) if wanted & 3 != 0 => 0x9000,
        (true, false) => 0x8000,
        (false, true) => 0x8004,
        (false, false) => 0x8000,
    };
    out.u8(1).u8(0).u16(control).zeros(16);
    for (bit, at, value) in [(1, 4, &owner), (2, 8, &group)] {
        if wanted & bit != 0 {
            out.patch(at, super::message::count(out.len()));
            out.bytes(&value.0);
        }
    }
    if dacl {
        out.patch(16, super::message::count(out.len()));
        let size = u16::try_from(rights.len().saturating_add(8)).unwrap_or(0);
        let many = u16::try_from(trustees.len()).unwrap_or(0);
        out.u8(2).u8(0).u16(size).u16(many).u16(0).bytes(&rights.0);
    }
    out.0
}

fn sid(out: &mut Writer, authority: u8, parts: &[u32]) {
    out.u8(1).u8(u8::try_from(parts.len()).unwrap_or(0));
    out.zeros(5).u8(authority);
    for part in parts {
        out.u32(*part);
    }
}
