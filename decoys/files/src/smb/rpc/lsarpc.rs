//! The local security authority (MS-LSAD, MS-LSAT): the machine's domain, and what identifiers and
//! names stand for.

use super::host::Use;
use super::ndr::{Reader, Sid, Writer};
use super::{Caller, Fault, Open, State, WRITING, status};

/// Most identifiers or names of one request; MS-LSAT allows 20,480.
const MAX_ASKED: usize = 5_120;
/// The class of information that names the domain of the machine's accounts.
const ACCOUNT_DOMAIN: u16 = 5;

pub fn call(state: &mut State, operation: u16, input: &mut Reader<'_>) -> Result<Writer, Fault> {
    match operation {
        0 => state.close(input),
        2 => privileges(state, input),
        6 => {
            // One character of the system's name.
            if input.pointer()? {
                input.u16()?;
            }
            policy(state, input)
        }
        7 => information(state, input, "LsarQueryInformationPolicy"),
        11 => {
            opened(state, input)?;
            if state.is_samba() {
                // Samba's answer to readers can't be written down.
                return Err(Fault::Stub);
            }
            let mut out = Writer::new(0);
            out.u32(0).u32(0).u32(0).u32(status::ACCESS_DENIED);
            Ok(out)
        }
        13 => trusted(state, input),
        14 => names(state, input, Form::Short),
        15 => identifiers(state, input, Form::Short),
        44 => {
            input.text_pointer()?;
            policy(state, input)
        }
        45 => user_name(state, input),
        46 if !state.is_samba() => information(state, input, "LsarQueryInformationPolicy2"),
        // Samba's interface ends before it; who tries wants to list accounts all the same.
        46 => {
            tell(state, "LsarQueryInformationPolicy2", Vec::new(), false);
            Err(Fault::Number)
        }
        57 => identifiers(state, input, Form::Middle),
        58 => names(state, input, Form::Middle),
        68 => names(state, input, Form::Long),
        76 => identifiers(state, input, Form::Handleless),
        77 => names(state, input, Form::Handleless),
        _ => Err(Fault::Number),
    }
}

/// The three generations of each look-up, and the third without a handle.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Short,
    Middle,
    Long,
    Handleless,
}

fn policy(state: &mut State, input: &mut Reader<'_>) -> Result<Writer, Fault> {
    // LSAPR_OBJECT_ATTRIBUTES (MS-LSAD 2.2.2.4): all of it is ignored.
    input.u32()?;
    let root = input.pointer()?;
    let name = input.pointer()?;
    input.u32()?;
    let descriptor = input.pointer()?;
    let quality = input.pointer()?;
    if root || name || descriptor {
        return Err(Fault::Stub);
    }
    if quality {
        input.u32()?;
        input.u16()?;
        input.bytes(2)?;
    }
    let wished = input.u32()?;
    let barred = !state.is_samba() && state.caller == Caller::Anonymous;
    let open = if barred || wished & WRITING != 0 {
        Err(status::ACCESS_DENIED)
    } else {
        Ok(Open::Policy)
    };
    Ok(state.opened(1, open))
}

fn opened(state: &State, input: &mut Reader<'_>) -> Result<(), Fault> {
    match state.open(input)? {
        Open::Policy => Ok(()),
        _ => Err(Fault::Handle),
    }
}

fn information(
    state: &mut State,
    input: &mut Reader<'_>,
    api: &'static str,
) -> Result<Writer, Fault> {
    opened(state, input)?;
    let class = input.u16()?;
    if class == ACCOUNT_DOMAIN {
        tell(state, api, Vec::new(), true);
    }
    let host = &state.host;
    let mut out = Writer::new(input.pointers());
    let joined = host.windows.is_some() && !host.domain.eq_ignore_ascii_case("WORKGROUP");
    match class {
        2 if state.is_samba() => {
            out.pointer().u16(class).u32(1).pointer().u32(7).u32(7);
            for _ in 0..7 {
                out.u32(3);
            }
        }
        2 => {
            out.u32(0).u32(status::ACCESS_DENIED);
            return Ok(out);
        }
        3 => {
            out.pointer().u16(class).long_head(&host.domain);
            out.pointer_if(joined).long_body(&host.domain);
            if joined {
                out.sid(&host.domain_sid());
            }
        }
        ACCOUNT_DOMAIN => {
            out.pointer().u16(class).long_head(&host.name).pointer();
            out.long_body(&host.name).sid(&host.sid());
        }
        6 => {
            out.pointer().u16(class).u32(3);
        }
        12 if !state.is_samba() => {
            out.pointer()
                .u16(class)
                .head(&host.domain)
                .head("")
                .head("");
            out.raw(&[0; 16]).u32(0);
            out.body(&host.domain).body("").body("");
        }
        // Samba answers with nothing where it has nothing.
        1 | 4 | 7 | 8 if state.is_samba() => {
            let length = match class {
                1 => 36,
                4 => 8,
                7 => 16,
                _ => 32,
            };
            out.pointer().u16(class).align(4).raw(&vec![0; length]);
        }
        12 | 13 if state.is_samba() => {
            out.pointer().u16(class).align(4).raw(&[0; 44]);
            out.u32(status::INVALID_INFO_CLASS);
            return Ok(out);
        }
        9..=11 => {
            out.u32(0).u32(status::INVALID_PARAMETER);
            return Ok(out);
        }
        _ => {
            out.u32(0).u32(status::INVALID_INFO_CLASS);
            return Ok(out);
        }
    }
    out.align(4).u32(0);
    Ok(out)
}

/// Nobody is trusted.
fn trusted(state: &State, input: &mut Reader<'_>) -> Result<Writer, Fault> {
    opened(state, input)?;
    let mut out = Writer::new(input.pointers());
    out.u32(u32::MAX).u32(0).u32(0).u32(status::NO_MORE_ENTRIES);
    Ok(out)
}

/// Privileges: number and name.
const SAMBA_PRIVILEGES: &[(u32, &str)] = &[
    (6, "SeMachineAccountPrivilege"),
    (9, "SeTakeOwnershipPrivilege"),
    (17, "SeBackupPrivilege"),
    (18, "SeRestorePrivilege"),
    (24, "SeRemoteShutdownPrivilege"),
    (4_097, "SePrintOperatorPrivilege"),
    (4_098, "SeAddUsersPrivilege"),
    (4_099, "SeDiskOperatorPrivilege"),
    (8, "SeSecurityPrivilege"),
];
const WINDOWS_PRIVILEGES: &[(u32, &str)] = &[
    (2, "SeCreateTokenPrivilege"),
    (3, "SeAssignPrimaryTokenPrivilege"),
    (4, "SeLockMemoryPrivilege"),
    (5, "SeIncreaseQuotaPrivilege"),
    (6, "SeMachineAccountPrivilege"),
    (7, "SeTcbPrivilege"),
    (8, "SeSecurityPrivilege"),
    (9, "SeTakeOwnershipPrivilege"),
    (10, "SeLoadDriverPrivilege"),
    (11, "SeSystemProfilePrivilege"),
    (12, "SeSystemtimePrivilege"),
    (17, "SeBackupPrivilege"),
    (18, "SeRestorePrivilege"),
    (19, "SeShutdownPrivilege"),
    (20, "SeDebugPrivilege"),
    (23, "SeChangeNotifyPrivilege"),
    (24, "SeRemoteShutdownPrivilege"),
    (29, "SeImpersonatePrivilege"),
    (30, "SeCreateGlobalPrivilege"),
];

fn privileges(state: &State, input: &mut Reader<'_>) -> Result<Writer, Fault> {
    opened(state, input)?;
    let from = usize::try_from(input.u32()?).unwrap_or(usize::MAX);
    let all = if state.is_samba() {
        SAMBA_PRIVILEGES
    } else {
        WINDOWS_PRIVILEGES
    };
    let rest = all.get(from..).unwrap_or_default();
    let mut out = Writer::new(input.pointers());
    if rest.is_empty() {
        out.count(all.len())
            .u32(0)
            .u32(0)
            .u32(status::NO_MORE_ENTRIES);
        return Ok(out);
    }
    out.count(all.len())
        .count(rest.len())
        .pointer()
        .count(rest.len());
    for (number, name) in rest {
        out.long_head(name).u32(*number).u32(0);
    }
    for (_, name) in rest {
        out.long_body(name);
    }
    out.u32(0);
    Ok(out)
}

fn user_name(state: &State, input: &mut Reader<'_>) -> Result<Writer, Fault> {
    input.text_pointer()?;
    // What's there already is ignored.
    for _ in 0..2 {
        if input.pointer()? && input.pointer()? {
            let head = input.head()?;
            input.body(head)?;
        }
    }
    let name = match state.caller {
        Caller::Anonymous => "Anonymous Logon",
        _ if state.is_samba() => "nobody",
        _ => "Guest",
    };
    let mut out = Writer::new(input.pointers());
    out.pointer().head(name).body(name).align(4).u32(0).u32(0);
    Ok(out)
}

/// The domains that an answer's entries refer to.
#[derive(Default)]
struct Domains(Vec<(String, Sid)>);

impl Domains {
    /// The number of a domain.
    fn number(&mut self, name: String, sid: Sid) -> usize {
        let found = self.0.iter().position(|(_, known)| *known == sid);
        found.unwrap_or_else(|| {
            self.0.push((name, sid));
            self.0.len().saturating_sub(1)
        })
    }

    /// LSAPR_REFERENCED_DOMAIN_LIST (MS-LSAT 2.2.12), behind a pointer.
    fn write(&self, out: &mut Writer) {
        const ROOM: u32 = 32;
        let all = &self.0;
        out.pointer().count(all.len()).pointer_if(!all.is_empty());
        out.u32(if all.is_empty() { 0 } else { ROOM });
        if all.is_empty() {
            return;
        }
        out.count(all.len());
        for (name, _) in all {
            out.long_head(name).pointer();
        }
        for (name, sid) in all {
            out.long_body(name).sid(sid);
        }
    }
}

fn tell(state: &mut State, api: &'static str, mut these: Vec<(u32, String)>, granted: bool) {
    these.retain(|(_, name)| !name.is_empty());
    let sid = state.host.sid();
    state.tell_groups(api, &sid, &these, granted);
}

fn identifiers(state: &mut State, input: &mut Reader<'_>, form: Form) -> Result<Writer, Fault> {
    if form != Form::Handleless {
        opened(state, input)?;
    } else if state.is_samba() || state.caller != Caller::User {
        // Only over a secure channel to a domain controller (MS-LSAT 3.1.4.9).
        return Err(Fault::Number);
    }
    let count = input.count()?;
    if count > MAX_ASKED {
        return Err(Fault::Stub);
    }
    let mut sids = Vec::new();
    if input.pointer()? {
        if input.count()? != count {
            return Err(Fault::Stub);
        }
        for _ in 0..count {
            if !input.pointer()? {
                return Err(Fault::Stub);
            }
        }
        for _ in 0..count {
            sids.push(input.sid()?);
        }
    }
    // The list to be filled, which is empty.
    input.u32()?;
    if input.pointer()? && input.u32()? != 0 {
        return Err(Fault::Stub);
    }
    let level = input.u16()?;
    let mut out = Writer::new(input.pointers());
    if !(1..=6).contains(&level) {
        out.u32(0)
            .u32(0)
            .u32(0)
            .u32(0)
            .u32(status::INVALID_PARAMETER);
        return Ok(out);
    }
    if sids.is_empty() {
        out.u32(0).u32(0).pointer().u32(0).u32(0).u32(0);
        return Ok(out);
    }
    let (mut domains, mut names) = (Domains::default(), Vec::new());
    let mut seen = Vec::new();
    for sid in &sids {
        let (domain, domain_sid, name) = state.host.translated(sid);
        let number = domains.number(domain, domain_sid);
        match name {
            Some((name, sort)) => {
                let rid = sid.split().map_or(0, |(_, rid)| rid);
                seen.push((rid, name.clone()));
                names.push((sort, name, u32::try_from(number).unwrap_or(0)));
            }
            None => names.push((Use::Unknown, sid.to_string(), u32::MAX)),
        }
    }
    let found = names
        .iter()
        .filter(|(sort, ..)| *sort != Use::Unknown)
        .count();
    tell(state, "LsarLookupSids", seen, true);
    domains.write(&mut out);
    out.count(names.len()).pointer_if(!names.is_empty());
    if !names.is_empty() {
        out.count(names.len());
    }
    for (sort, name, domain) in &names {
        out.align(4).u16(*sort as u16);
        if *sort == Use::Domain && name.is_empty() {
            out.align(4).u16(0).u16(0).u32(0);
        } else {
            out.head(name);
        }
        out.u32(*domain);
        if form != Form::Short {
            out.u32(0);
        }
    }
    for (sort, name, _) in &names {
        if *sort != Use::Domain || !name.is_empty() {
            out.body(name);
        }
    }
    out.align(4)
        .count(found)
        .u32(status::mapped(found, names.len()));
    Ok(out)
}

fn names(state: &mut State, input: &mut Reader<'_>, form: Form) -> Result<Writer, Fault> {
    if form != Form::Handleless {
        opened(state, input)?;
    } else if state.is_samba() || state.caller != Caller::User {
        return Err(Fault::Number);
    }
    let count = input.count()?;
    if input.count()? != count || count > MAX_ASKED {
        return Err(Fault::Stub);
    }
    let heads = (0..count)
        .map(|_| input.head())
        .collect::<Result<Vec<_>, _>>()?;
    let mut asked = Vec::new();
    for head in heads {
        asked.push(input.body(head)?);
    }
    input.u32()?;
    if input.pointer()? && input.u32()? != 0 {
        return Err(Fault::Stub);
    }
    let level = input.u16()?;
    let mut out = Writer::new(input.pointers());
    if !(1..=6).contains(&level) {
        out.u32(0)
            .u32(0)
            .u32(0)
            .u32(0)
            .u32(status::INVALID_PARAMETER);
        return Ok(out);
    }
    let (mut domains, mut entries) = (Domains::default(), Vec::new());
    let mut seen = Vec::new();
    for name in asked {
        let found = state.host.found(&name);
        seen.push((
            found.as_ref().and_then(|(_, _, rid, _)| *rid).unwrap_or(0),
            name,
        ));
        entries.push(found.map(|(domain, sid, rid, sort)| {
            let number = domains.number(domain, sid.clone());
            (sort, rid, sid, number)
        }));
    }
    let found = entries.iter().flatten().count();
    tell(state, "LsarLookupNames", seen, true);
    domains.write(&mut out);
    out.count(entries.len()).pointer_if(!entries.is_empty());
    if !entries.is_empty() {
        out.count(entries.len());
    }
    let long = matches!(form, Form::Long | Form::Handleless);
    for entry in &entries {
        let sort = entry.as_ref().map_or(Use::Unknown, |(sort, ..)| *sort);
        out.align(4).u16(sort as u16).align(4);
        if long {
            // Samba points at an empty one for what it doesn't know.
            out.pointer_if(entry.is_some() || state.is_samba());
        } else {
            let rid = entry.as_ref().and_then(|(_, rid, ..)| *rid);
            let nothing = if entry.is_some() { u32::MAX } else { 0 };
            out.u32(rid.unwrap_or(nothing));
        }
        let domain = entry
            .as_ref()
            .and_then(|(.., number)| u32::try_from(*number).ok());
        out.u32(domain.unwrap_or(u32::MAX));
        if form != Form::Short {
            out.u32(0);
        }
    }
    if long {
        for entry in &entries {
            match entry {
                Some((_, Some(rid), sid, _)) => {
                    out.sid(&sid.with(*rid));
                }
                Some((_, None, sid, _)) => {
                    out.sid(sid);
                }
                None if state.is_samba() => {
                    out.u32(0).raw(&[0; 8]);
                }
                None => {}
            }
        }
    }
    out.count(found).u32(status::mapped(found, entries.len()));
    Ok(out)
}
