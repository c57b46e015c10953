//! The accounts of the machine (MS-SAMR).

mod info;

use super::host::{Account, NONE, Use};
use super::ndr::{Reader, Sid, Writer};
use super::{Caller, Fault, Host, Open, State, WRITING, status};

/// Most names or numbers of one request.
const MAX_ASKED: usize = 1_024;
/// First build whose accounts only administrators may list from elsewhere
/// ("Network access: Restrict clients allowed to make remote calls to SAM").
const RESTRICTED_BUILD: u16 = 14_393;

/// Samba's numbers of kinds of handles.
mod sort {
    pub const SERVER: u32 = 0;
    pub const DOMAIN: u32 = 1;
    pub const USER: u32 = 2;
    pub const GROUP: u32 = 3;
    pub const ALIAS: u32 = 4;
}

pub fn call(state: &mut State, operation: u16, input: &mut Reader<'_>) -> Result<Writer, Fault> {
    match operation {
        0 => {
            if input.pointer()? {
                input.u16()?;
            }
            connect(state, input, "SamrConnect")
        }
        1 => state.close(input),
        3 => security(state, input),
        5 => domain_by_name(state, input),
        6 => domains(state, input),
        7 => open_domain(state, input),
        8 | 46 => info::domain_info(state, input),
        11 => {
            let (builtin, _) = list_asked(state, input, false)?;
            let host = &state.host;
            let groups = if builtin || host.windows.is_none() {
                Vec::new()
            } else {
                vec![group()]
            };
            Ok(list(
                state,
                input,
                builtin,
                "SamrEnumerateGroupsInDomain",
                &groups,
            ))
        }
        13 => {
            let (builtin, flags) = list_asked(state, input, true)?;
            let users = users(state, builtin)
                .into_iter()
                .filter(|user| flags == 0 || user.flags & flags != 0)
                .collect::<Vec<_>>();
            Ok(list(
                state,
                input,
                builtin,
                "SamrEnumerateUsersInDomain",
                &users,
            ))
        }
        15 => {
            let (builtin, _) = list_asked(state, input, false)?;
            let aliases: Vec<_> = if builtin && state.host.windows.is_some() {
                Host::aliases().collect()
            } else {
                Vec::new()
            };
            Ok(list(
                state,
                input,
                builtin,
                "SamrEnumerateAliasesInDomain",
                &aliases,
            ))
        }
        16 => memberships(state, input),
        17 => numbers_of_names(state, input),
        18 => names_of_numbers(state, input),
        19 => open_member(state, input, "SamrOpenGroup"),
        20 => info::group_info(state, input),
        25 => group_members(state, input),
        27 => open_member(state, input, "SamrOpenAlias"),
        28 => info::alias_info(state, input),
        33 => alias_members(state, input),
        34 => open_member(state, input, "SamrOpenUser"),
        36 | 47 => info::user_info(state, input),
        39 => groups_of_user(state, input),
        40 | 48 | 51 => info::display(state, input),
        50 => {
            let mut out = Writer::new(0);
            domain(state, input)?;
            out.raw(&[0; 20]).u32(0).u32(0).u32(status::ACCESS_DENIED);
            Ok(out)
        }
        56 => {
            let mut out = Writer::new(0);
            out.u16(info::password_length(state)).u32(0).u32(0);
            Ok(out)
        }
        57 => {
            input.text_pointer()?;
            connect(state, input, "SamrConnect2")
        }
        62 => {
            input.text_pointer()?;
            input.u32()?;
            connect(state, input, "SamrConnect4")
        }
        64 => {
            input.text_pointer()?;
            let wished = input.u32()?;
            let opened = opened(state, wished, "SamrConnect5");
            let handle = state.opened(sort::SERVER, opened);
            let mut out = Writer::new(0);
            // Version 1: revision 3, no features.
            out.u32(1).u32(1).u32(3).u32(0).raw(&handle.bytes);
            Ok(out)
        }
        _ => Err(Fault::Number),
    }
}

fn connect(state: &mut State, input: &mut Reader<'_>, api: &'static str) -> Result<Writer, Fault> {
    let wished = input.u32()?;
    let opened = opened(state, wished, api);
    Ok(state.opened(sort::SERVER, opened))
}

/// Whether this caller may connect, wishing for these rights.
fn opened(state: &mut State, wished: u32, api: &'static str) -> Result<Open, u32> {
    let barred = match &state.host.windows {
        None => false,
        Some(windows) => state.caller != Caller::User || windows.build >= RESTRICTED_BUILD,
    };
    if barred {
        let sid = state.host.sid();
        state.tell_groups(api, &sid, &[], false);
    }
    if barred || wished & WRITING != 0 {
        return Err(status::ACCESS_DENIED);
    }
    Ok(Open::Server)
}

fn domain_sid(state: &State, builtin: bool) -> Sid {
    if builtin {
        Host::builtin()
    } else {
        state.host.sid()
    }
}

/// The domain whose handle comes next: whether it's the built-in one.
fn domain(state: &State, input: &mut Reader<'_>) -> Result<bool, Fault> {
    match state.open(input)? {
        Open::Domain(builtin) => Ok(builtin),
        _ => Err(Fault::Handle),
    }
}

fn users(state: &State, builtin: bool) -> Vec<Account> {
    if builtin {
        Vec::new()
    } else {
        state.host.accounts()
    }
}

fn group() -> Account {
    Account {
        rid: NONE,
        name: "None".to_owned(),
        comment: "Ordinary Users",
        flags: 7,
    }
}

fn security(state: &State, input: &mut Reader<'_>) -> Result<Writer, Fault> {
    state.open(input)?;
    let mut out = Writer::new(0);
    // Everybody may read, administrators and account operators may do all.
    const DESCRIPTOR: &[u8] = &[
        1, 0, 4, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 20, 0, 0, 0, 2, 0, 76, 0, 3, 0, 0,
        0, //
        0, 0, 20, 0, 0x85, 3, 2, 0, 1, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, //
        0, 0, 24, 0, 0xff, 7, 15, 0, 1, 2, 0, 0, 0, 0, 0, 5, 32, 0, 0, 0, 0x20, 2, 0, 0, //
        0, 0, 24, 0, 0xff, 7, 15, 0, 1, 2, 0, 0, 0, 0, 0, 5, 32, 0, 0, 0, 0x24, 2, 0, 0,
    ];
    out.pointer()
        .count(DESCRIPTOR.len())
        .pointer()
        .count(DESCRIPTOR.len());
    out.raw(DESCRIPTOR).align(4).u32(0);
    Ok(out)
}

fn domain_by_name(state: &State, input: &mut Reader<'_>) -> Result<Writer, Fault> {
    if state.open(input)? != Open::Server {
        return Err(Fault::Handle);
    }
    let head = input.head()?;
    let name = input.body(head)?;
    let mut out = Writer::new(input.pointers());
    let builtin = name.eq_ignore_ascii_case("builtin");
    if builtin || name.eq_ignore_ascii_case(&state.host.name) {
        out.pointer().sid(&domain_sid(state, builtin)).u32(0);
    } else if state.is_samba() {
        out.pointer()
            .u32(0)
            .u16(0)
            .align(4)
            .u32(0)
            .u32(status::NO_SUCH_DOMAIN);
    } else {
        out.u32(0).u32(status::NO_SUCH_DOMAIN);
    }
    Ok(out)
}

fn domains(state: &State, input: &mut Reader<'_>) -> Result<Writer, Fault> {
    if state.open(input)? != Open::Server {
        return Err(Fault::Handle);
    }
    let names = [state.host.name.as_str(), "Builtin"];
    let mut out = Writer::new(input.pointers());
    out.u32(0).pointer().u32(2).pointer().u32(2);
    for (index, name) in (0..).zip(names) {
        out.u32(index).head(name);
    }
    for name in names {
        out.body(name);
    }
    out.u32(2).u32(0);
    Ok(out)
}

fn open_domain(state: &mut State, input: &mut Reader<'_>) -> Result<Writer, Fault> {
    if state.open(input)? != Open::Server {
        return Err(Fault::Handle);
    }
    let wished = input.u32()?;
    let sid = input.sid()?;
    let open = if sid == state.host.sid() {
        Ok(Open::Domain(false))
    } else if sid == Host::builtin() {
        Ok(Open::Domain(true))
    } else {
        Err(status::NO_SUCH_DOMAIN)
    };
    let open = if wished & WRITING == 0 {
        open
    } else {
        Err(status::ACCESS_DENIED)
    };
    Ok(state.opened(sort::DOMAIN, open))
}

/// Domain and filter of a list.
fn list_asked(state: &State, input: &mut Reader<'_>, filtered: bool) -> Result<(bool, u32), Fault> {
    let builtin = domain(state, input)?;
    // Where to go on: a list always fits into one answer.
    input.u32()?;
    let flags = if filtered { input.u32()? } else { 0 };
    input.u32()?;
    Ok((builtin, flags))
}

fn list(
    state: &mut State,
    input: &Reader<'_>,
    builtin: bool,
    api: &'static str,
    all: &[Account],
) -> Writer {
    let sid = domain_sid(state, builtin);
    let these: Vec<_> = all.iter().map(|a| (a.rid, a.name.clone())).collect();
    state.tell_groups(api, &sid, &these, true);
    let mut out = Writer::new(input.pointers());
    out.count(all.len())
        .pointer()
        .count(all.len())
        .pointer_if(!all.is_empty());
    if !all.is_empty() {
        out.count(all.len());
        for account in all {
            out.u32(account.rid).head(&account.name);
        }
        for account in all {
            out.body(&account.name);
        }
    }
    out.count(all.len()).u32(0);
    out
}

fn memberships(state: &mut State, input: &mut Reader<'_>) -> Result<Writer, Fault> {
    let builtin = domain(state, input)?;
    let count = input.count()?;
    if count > MAX_ASKED {
        return Err(Fault::Stub);
    }
    if input.pointer()? {
        input.count()?;
        for _ in 0..count {
            input.pointer()?;
        }
        for _ in 0..count {
            input.sid()?;
        }
    }
    let sid = domain_sid(state, builtin);
    state.tell_groups("SamrGetAliasMembership", &sid, &[], true);
    let mut out = Writer::new(input.pointers());
    out.u32(0).pointer().u32(0).u32(0);
    Ok(out)
}

fn numbers_of_names(state: &mut State, input: &mut Reader<'_>) -> Result<Writer, Fault> {
    let builtin = domain(state, input)?;
    let count = input.count()?;
    // Conformance, offset and count of an array of which a part is sent.
    input.u32()?;
    input.u32()?;
    if input.count()? != count || count > MAX_ASKED {
        return Err(Fault::Stub);
    }
    let heads = (0..count)
        .map(|_| input.head())
        .collect::<Result<Vec<_>, _>>()?;
    let mut names = Vec::new();
    for head in heads {
        names.push(input.body(head)?);
    }
    let found: Vec<_> = names
        .iter()
        .map(|name| state.host.numbered(builtin, name))
        .collect();
    let these: Vec<_> = names
        .into_iter()
        .zip(&found)
        .map(|(name, found)| (found.map_or(0, |(rid, _)| rid), name))
        .collect();
    let sid = domain_sid(state, builtin);
    state.tell_groups("SamrLookupNamesInDomain", &sid, &these, true);
    let mut out = Writer::new(input.pointers());
    numbers(
        &mut out,
        found.iter().map(|f| f.map_or(u32::MAX, |(rid, _)| rid)),
    );
    numbers(
        &mut out,
        found
            .iter()
            .map(|f| f.map_or(Use::Unknown, |(_, sort)| sort) as u32),
    );
    out.u32(status::mapped(
        found.iter().filter(|f| f.is_some()).count(),
        count,
    ));
    Ok(out)
}

/// A counted array of numbers.
fn numbers(out: &mut Writer, all: impl ExactSizeIterator<Item = u32>) {
    out.count(all.len()).pointer().count(all.len());
    for number in all {
        out.u32(number);
    }
}

fn names_of_numbers(state: &mut State, input: &mut Reader<'_>) -> Result<Writer, Fault> {
    let builtin = domain(state, input)?;
    let count = input.count()?;
    input.u32()?;
    input.u32()?;
    if input.count()? != count || count > MAX_ASKED {
        return Err(Fault::Stub);
    }
    let asked = (0..count)
        .map(|_| input.u32())
        .collect::<Result<Vec<_>, _>>()?;
    let found: Vec<_> = asked
        .iter()
        .map(|&rid| state.host.named(builtin, rid))
        .collect();
    let these: Vec<_> = asked
        .into_iter()
        .zip(&found)
        .filter_map(|(rid, found)| found.as_ref().map(|(name, _)| (rid, name.clone())))
        .collect();
    let sid = domain_sid(state, builtin);
    state.tell_groups("SamrLookupIdsInDomain", &sid, &these, true);
    let mut out = Writer::new(input.pointers());
    out.count(count).pointer().count(count);
    for name in &found {
        match name {
            Some((name, _)) => out.head(name),
            None => out.align(4).u16(0).u16(0).u32(0),
        };
    }
    for (name, _) in found.iter().flatten() {
        out.body(name);
    }
    numbers(
        &mut out,
        found
            .iter()
            .map(|f| f.as_ref().map_or(Use::Unknown, |(_, sort)| *sort) as u32),
    );
    out.u32(status::mapped(these.len(), count));
    Ok(out)
}

/// Opens an account, group or alias by its number.
fn open_member(
    state: &mut State,
    input: &mut Reader<'_>,
    api: &'static str,
) -> Result<Writer, Fault> {
    let builtin = domain(state, input)?;
    input.u32()?;
    let rid = input.u32()?;
    let found = state.host.named(builtin, rid);
    let known = found.as_ref().map(|(_, sort)| *sort);
    let (sort, open) = match api {
        "SamrOpenUser" => (
            sort::USER,
            if known == Some(Use::User) {
                Ok(Open::User(rid))
            } else {
                Err(status::NO_SUCH_USER)
            },
        ),
        "SamrOpenGroup" => (
            sort::GROUP,
            match known {
                Some(Use::Group) => Ok(Open::Group(rid)),
                _ if builtin && state.is_samba() => Err(status::ACCESS_DENIED),
                _ => Err(status::NO_SUCH_GROUP),
            },
        ),
        // Samba has none of the built-in ones unless somebody makes them.
        _ => (
            sort::ALIAS,
            if known == Some(Use::Alias) && !state.is_samba() {
                Ok(Open::Alias(builtin, rid))
            } else {
                Err(status::NO_SUCH_ALIAS)
            },
        ),
    };
    let name = found.map(|(name, _)| name).unwrap_or_default();
    let sid = domain_sid(state, builtin).with(rid);
    state.tell_groups(api, &sid, &[(rid, name)], open.is_ok());
    Ok(state.opened(sort, open))
}

fn group_members(state: &State, input: &mut Reader<'_>) -> Result<Writer, Fault> {
    let Open::Group(_) = state.open(input)? else {
        return Err(Fault::Handle);
    };
    let mut out = Writer::new(input.pointers());
    let members = if state.is_samba() {
        Vec::new()
    } else {
        state.host.accounts()
    };
    out.pointer()
        .count(members.len())
        .pointer_if(!members.is_empty());
    out.pointer_if(!members.is_empty());
    if !members.is_empty() {
        out.count(members.len());
        for member in &members {
            out.u32(member.rid);
        }
        out.count(members.len());
        for _ in &members {
            out.u32(7);
        }
    }
    out.u32(0);
    Ok(out)
}

/// Who is in a built-in group.
fn members(state: &State, rid: u32) -> Vec<Sid> {
    let own = state.host.sid();
    let accounts = state.host.accounts();
    let some = accounts.iter().filter(|account| match rid {
        544 => account.rid == 500,
        546 => account.rid == 501,
        545 => account.rid > 1_000,
        _ => false,
    });
    some.map(|account| own.with(account.rid)).collect()
}

fn alias_members(state: &mut State, input: &mut Reader<'_>) -> Result<Writer, Fault> {
    let Open::Alias(builtin, rid) = state.open(input)? else {
        return Err(Fault::Handle);
    };
    let name = state.host.named(builtin, rid).map(|(name, _)| name);
    let sid = domain_sid(state, builtin).with(rid);
    state.tell_groups(
        "SamrGetMembersInAlias",
        &sid,
        &[(rid, name.unwrap_or_default())],
        true,
    );
    let members = members(state, rid);
    let mut out = Writer::new(input.pointers());
    out.count(members.len()).pointer_if(!members.is_empty());
    if !members.is_empty() {
        out.count(members.len());
        for _ in &members {
            out.pointer();
        }
        for member in &members {
            out.sid(member);
        }
    }
    out.u32(0);
    Ok(out)
}

fn groups_of_user(state: &State, input: &mut Reader<'_>) -> Result<Writer, Fault> {
    let Open::User(_) = state.open(input)? else {
        return Err(Fault::Handle);
    };
    let mut out = Writer::new(input.pointers());
    out.pointer()
        .u32(1)
        .pointer()
        .u32(1)
        .u32(NONE)
        .u32(7)
        .u32(0);
    Ok(out)
}
