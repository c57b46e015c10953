//! What is told of a domain, a user, a group or an alias (MS-SAMR 2.2.3 to 2.2.8).

use super::super::host::{Account, NONE};
use super::super::ndr::{Reader, Writer};
use super::super::{Fault, Host, Open, State, status};
use super::{domain, domain_sid, group, members, users};

/// Never, as a time.
const NEVER: u64 = 0x7fff_ffff_ffff_ffff;
/// The last second of 2038's clocks, which Samba tells instead.
const SAMBA_NEVER: u64 = 0x01e7_cd3b_3e4b_a980;

pub fn domain_info(state: &State, input: &mut Reader<'_>) -> Result<Writer, Fault> {
    let builtin = domain(state, input)?;
    let class = input.u16()?;
    let host = &state.host;
    let samba = state.is_samba();
    let mut out = Writer::new(input.pointers());
    if !(1..=13).contains(&class) || class == 10 {
        return Ok(unknown_class(out));
    }
    // Samba forces nobody off for some thousand years; Windows never.
    let force: u64 = if samba {
        0xff67_6980_0098_967f
    } else {
        0x8000_0000_0000_0000
    };
    let sequence = u64::try_from(state.now.secs()).unwrap_or(0);
    let created = if samba { 0 } else { password_set(state, 500) };
    let users = u32::try_from(users(state, builtin).len()).unwrap_or(0);
    let comment = if samba { host.comment.as_str() } else { "" };
    let (domain, server) = if samba {
        (host.domain.as_str(), host.name.as_str())
    } else {
        (
            if builtin {
                "Builtin"
            } else {
                host.name.as_str()
            },
            "",
        )
    };
    let general = |out: &mut Writer| {
        out.time(force).head(comment).head(domain).head(server);
        // Sequence, state, role, unknown, and the numbers of users, groups and aliases.
        out.time(sequence)
            .u32(1)
            .u32(3)
            .u32(1)
            .u32(users)
            .u32(0)
            .u32(0);
    };
    let texts = |out: &mut Writer| {
        out.body(comment).body(domain).body(server);
    };
    const LOCKED: u64 = 0xffff_fffb_cf1d_cbff;
    out.pointer().u16(class).align(4);
    match class {
        1 => {
            out.u16(password_length(state)).u16(0).u32(0);
            let oldest = if samba { force } else { 0xffff_de86_6aff_8000 };
            out.time(oldest).time(0);
        }
        2 => {
            general(&mut out);
            texts(&mut out);
        }
        3 => {
            out.time(force);
        }
        4 => {
            out.head(comment).body(comment);
        }
        5 | 6 => {
            let text = if class == 5 {
                host.name.as_str()
            } else {
                server
            };
            out.head(text).body(text);
        }
        7 => {
            out.u32(3);
        }
        8 => {
            out.time(sequence).time(created);
        }
        9 => {
            out.u32(1);
        }
        11 => {
            general(&mut out);
            out.time(LOCKED).time(LOCKED).u16(0);
            texts(&mut out);
        }
        12 => {
            out.time(LOCKED).time(LOCKED).u16(0);
        }
        _ => {
            out.time(sequence).time(created).time(0);
        }
    }
    out.align(4).u32(0);
    Ok(out)
}

pub fn display(state: &mut State, input: &mut Reader<'_>) -> Result<Writer, Fault> {
    let builtin = domain(state, input)?;
    let level = input.u16()?;
    let (start, most) = (input.u32()?, input.u32()?);
    input.u32()?;
    if !(1..=5).contains(&level) {
        return Err(Fault::Stub);
    }
    let all = match level {
        1 | 4 => users(state, builtin),
        3 | 5 if !builtin && !state.is_samba() => vec![group()],
        _ => Vec::new(),
    };
    let these: Vec<_> = all.iter().map(|a| (a.rid, a.name.clone())).collect();
    let sid = domain_sid(state, builtin);
    state.tell_groups("SamrQueryDisplayInformation", &sid, &these, true);
    let skip = usize::try_from(start).unwrap_or(usize::MAX);
    let shown: Vec<_> = all
        .into_iter()
        .skip(skip)
        .take(usize::try_from(most).unwrap_or(0))
        .collect();
    let mut out = Writer::new(input.pointers());
    let total = u32::try_from(shown.len()).unwrap_or(0).saturating_mul(32);
    out.u32(total);
    out.u32(if shown.is_empty() {
        0
    } else {
        most.min(0xffff).saturating_mul(32)
    });
    out.u16(level)
        .align(4)
        .count(shown.len())
        .pointer_if(!shown.is_empty());
    if !shown.is_empty() {
        out.count(shown.len());
    }
    let samba = state.is_samba();
    for (index, account) in (start.saturating_add(1)..).zip(&shown) {
        out.u32(index);
        match level {
            1 => {
                let full = if samba { account.name.as_str() } else { "" };
                out.u32(account.rid).u32(account.flags);
                out.head(&account.name).head(account.comment).head(full);
            }
            3 => {
                out.u32(account.rid).u32(account.flags);
                out.head(&account.name).head(account.comment);
            }
            _ => {
                let length = u16::try_from(account.name.len()).unwrap_or(0);
                out.u16(length).u16(length.saturating_add(1)).pointer();
            }
        }
    }
    for account in &shown {
        match level {
            1 => {
                let full = if samba { account.name.as_str() } else { "" };
                out.body(&account.name).body(account.comment).body(full);
            }
            3 => {
                out.body(&account.name).body(account.comment);
            }
            _ => {
                let length = account.name.len();
                out.count(length.saturating_add(1)).u32(0).count(length);
                out.raw(account.name.as_bytes());
            }
        }
    }
    out.align(4).u32(0);
    Ok(out)
}

pub fn user_info(state: &State, input: &mut Reader<'_>) -> Result<Writer, Fault> {
    let Open::User(rid) = state.open(input)? else {
        return Err(Fault::Handle);
    };
    let class = input.u16()?;
    let account = state.host.account(rid).ok_or(Fault::Handle)?;
    let samba = state.is_samba();
    // The account of strangers was never used and never ends.
    let stranger = samba && rid == 501;
    let never = if samba && !stranger {
        SAMBA_NEVER
    } else {
        NEVER
    };
    // Samba's full name is the Unix account's.
    let full = if samba { account.name.as_str() } else { "" };
    let mut out = Writer::new(input.pointers());
    match class {
        1 => {
            out.pointer()
                .u16(class)
                .head(&account.name)
                .head(full)
                .u32(NONE);
            out.head(account.comment).head("");
            for text in [account.name.as_str(), full, account.comment, ""] {
                out.body(text);
            }
        }
        2 => {
            out.pointer()
                .u16(class)
                .head("")
                .u16(0)
                .u16(0)
                .u32(0)
                .u16(0)
                .u16(0)
                .body("");
        }
        16 => {
            out.pointer().u16(class).u32(account.flags);
        }
        17 => {
            out.pointer().u16(class).time(never);
        }
        21 => {
            all_of_user(state, &mut out, &account, full, never);
        }
        _ => return Ok(unknown_class(out)),
    }
    out.align(4).u32(0);
    Ok(out)
}

pub fn group_info(state: &State, input: &mut Reader<'_>) -> Result<Writer, Fault> {
    let Open::Group(_) = state.open(input)? else {
        return Err(Fault::Handle);
    };
    let class = input.u16()?;
    let (group, members) = (
        group(),
        u32::try_from(state.host.accounts().len()).unwrap_or(0),
    );
    let mut out = Writer::new(input.pointers());
    match class {
        1 => {
            out.pointer().u16(class).head(&group.name).u32(group.flags);
            // Samba has nobody in it.
            out.u32(if state.is_samba() { 0 } else { members });
            out.head(group.comment)
                .body(&group.name)
                .body(group.comment);
        }
        2 => {
            out.pointer().u16(class).head(&group.name).body(&group.name);
        }
        3 => {
            out.pointer().u16(class).u32(group.flags);
        }
        4 => {
            out.pointer()
                .u16(class)
                .head(group.comment)
                .body(group.comment);
        }
        _ => return Ok(unknown_class(out)),
    }
    out.u32(0);
    Ok(out)
}

pub fn alias_info(state: &State, input: &mut Reader<'_>) -> Result<Writer, Fault> {
    let Open::Alias(_, rid) = state.open(input)? else {
        return Err(Fault::Handle);
    };
    let class = input.u16()?;
    let alias = Host::aliases()
        .find(|alias| alias.rid == rid)
        .ok_or(Fault::Handle)?;
    let mut out = Writer::new(input.pointers());
    match class {
        1 => {
            out.pointer().u16(class).head(&alias.name);
            out.count(members(state, rid).len()).head(alias.comment);
            out.body(&alias.name).body(alias.comment);
        }
        2 => {
            out.pointer().u16(class).head(&alias.name).body(&alias.name);
        }
        3 => {
            out.pointer()
                .u16(class)
                .head(alias.comment)
                .body(alias.comment);
        }
        _ => return Ok(unknown_class(out)),
    }
    out.u32(0);
    Ok(out)
}

pub fn password_length(state: &State) -> u16 {
    if state.is_samba() { 5 } else { 0 }
}

/// SAMPR_USER_ALL_INFORMATION (MS-SAMR 2.2.6.6).
fn all_of_user(state: &State, out: &mut Writer, account: &Account, full: &str, never: u64) {
    let stranger = state.is_samba() && account.rid == 501;
    let set = if stranger {
        0
    } else {
        password_set(state, account.rid)
    };
    // Home folder, drive, script and profile: Samba's defaults.
    let samba = state.is_samba() && account.rid >= 1_000;
    let name = &state.host.name;
    let (home, profile) = if samba {
        (
            format!("\\\\{name}\\{}", account.name),
            format!("\\\\{name}\\{}\\profile", account.name),
        )
    } else {
        (String::new(), String::new())
    };
    out.pointer().u16(21);
    out.time(0)
        .time(never)
        .time(set)
        .time(never)
        .time(set)
        .time(if stranger { 0 } else { NEVER });
    let texts = [
        account.name.as_str(),
        full,
        &home,
        "",
        "",
        &profile,
        account.comment,
        "",
        "",
    ];
    for text in texts {
        out.head(text);
    }
    // Parameters.
    if stranger {
        out.u16(0).u16(0).u32(0);
    } else {
        out.head("");
    }
    // Neither hashes nor private data nor a descriptor.
    for _ in 0..3 {
        out.u16(0).u16(0).u32(0);
    }
    out.u32(0).u32(0);
    out.u32(account.rid)
        .u32(NONE)
        .u32(account.flags)
        .u32(0x00ff_ffff);
    // Hours of a week in which a login is allowed: all.
    out.u16(168).pointer();
    // Wrong passwords, logins, country, code page, whether there are passwords, expired.
    out.u16(0).u16(0).u16(0).u16(0).u8(0).u8(0).u8(0).u8(1);
    for text in texts {
        out.body(text);
    }
    if !stranger {
        out.body("");
    }
    out.align(4).u32(1_260).u32(0).u32(21).raw(&[0xff; 21]);
}

/// When an account's password was set: some days before the machine's start.
fn password_set(state: &State, rid: u32) -> u64 {
    let days = state.host.seed.number(&format!("password {rid}"), 20, 700);
    let booted = state.host.booted.filetime();
    booted.saturating_sub(days.saturating_mul(86_391 * 10_000_000))
}

fn unknown_class(mut out: Writer) -> Writer {
    out.u32(0).u32(status::INVALID_INFO_CLASS);
    out
}
