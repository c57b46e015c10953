//! The server service (MS-SRVS): shares, the server's name and clock; who's connected is told to
//! nobody.

use super::ndr::{Reader, Writer};
use super::{Caller, Fault, Shared, State};

/// Text that Samba and Windows put for a folder's root.
const ROOT: &str = "C:\\";

/// Answers of Windows' error numbers (MS-ERREF 2.2).
mod error {
    pub const ACCESS_DENIED: u32 = 5;
    pub const INVALID_NAME: u32 = 123;
    pub const INVALID_LEVEL: u32 = 124;
    pub const NO_SUCH_SHARE: u32 = 2310;
}

pub fn call(state: &mut State, operation: u16, input: &mut Reader<'_>) -> Result<Writer, Fault> {
    match operation {
        8 => {
            skip_texts(input, 2)?;
            denied_list(input, &[0, 1], &[0, 1])
        }
        9 => {
            skip_texts(input, 3)?;
            denied_list(input, &[2, 3], &[3])
        }
        10 => {
            let mut out = Writer::new(0);
            out.u32(0).u32(0).u32(error::ACCESS_DENIED);
            Ok(out)
        }
        11 | 13 | 18 | 19 => Ok(status(error::ACCESS_DENIED)),
        12 => {
            skip_texts(input, 3)?;
            denied_list(input, &[0, 1, 2, 10, 502], &[0, 1, 2, 10, 502])
        }
        14 | 17 => {
            let mut out = Writer::new(0);
            out.u32(0).u32(error::ACCESS_DENIED);
            Ok(out)
        }
        15 | 36 => share_list(state, input),
        16 => share(state, input),
        20 => {
            let mut out = Writer::new(0);
            out.u32(0).u32(error::ACCESS_DENIED);
            Ok(out)
        }
        21 => server(state, input),
        22 => {
            let mut out = Writer::new(0);
            out.u32(0).u32(error::ACCESS_DENIED);
            Ok(out)
        }
        23 => disks(state, input),
        28 => clock(state, input),
        _ => Err(Fault::Number),
    }
}

fn status(number: u32) -> Writer {
    let mut out = Writer::new(0);
    out.u32(number);
    out
}

fn skip_texts(input: &mut Reader<'_>, count: usize) -> Result<(), Fault> {
    for _ in 0..count {
        input.text_pointer()?;
    }
    Ok(())
}

/// How a list is asked for.
struct Asked {
    level: u32,
    /// Whether there is an array to be filled.
    array: bool,
    /// The handle to go on with.
    resume: Option<u32>,
}

/// Reads what follows a list's texts; of levels that aren't `known` there's no container.
fn asked(input: &mut Reader<'_>, known: &[u32]) -> Result<Asked, Fault> {
    let (level, branch) = (input.u32()?, input.u32()?);
    if level != branch {
        return Err(Fault::Stub);
    }
    let mut array = false;
    if known.contains(&level) && input.pointer()? {
        let count = input.u32()?;
        array = input.pointer()?;
        // A list that's empty, or none: nobody sends entries.
        if array && (input.u32()? != 0 || count != 0) {
            return Err(Fault::Stub);
        }
    }
    input.u32()?;
    let resume = if input.pointer()? {
        Some(input.u32()?)
    } else {
        None
    };
    Ok(Asked {
        level,
        array,
        resume,
    })
}

/// An empty list of a `known` level and a refusal; `denied` are those that others may have.
fn denied_list(input: &mut Reader<'_>, known: &[u32], denied: &[u32]) -> Result<Writer, Fault> {
    let asked = asked(input, known)?;
    let mut out = Writer::new(input.pointers());
    empty(&mut out, &asked, known);
    out.u32(if denied.contains(&asked.level) {
        error::ACCESS_DENIED
    } else {
        error::INVALID_LEVEL
    });
    Ok(out)
}

/// An empty list up to the status.
fn empty(out: &mut Writer, asked: &Asked, known: &[u32]) {
    out.u32(asked.level).u32(asked.level);
    if known.contains(&asked.level) {
        out.pointer().u32(0).pointer_if(asked.array);
        if asked.array {
            out.u32(0);
        }
    }
    out.u32(0).pointer_if(asked.resume.is_some());
    if let Some(resume) = asked.resume {
        out.u32(resume);
    }
}

/// What's wrong with asking for a share at this level, if anything.
fn barred(state: &State, level: u32) -> Option<u32> {
    if state.is_samba() {
        return None;
    }
    match (level, state.caller) {
        (_, Caller::Anonymous) => Some(error::ACCESS_DENIED),
        // Paths and rights are for administrators (MS-SRVS 3.1.4.8).
        (2 | 502 | 503, _) => Some(error::ACCESS_DENIED),
        _ => None,
    }
}

fn share_list(state: &State, input: &mut Reader<'_>) -> Result<Writer, Fault> {
    const LEVELS: &[u32] = &[0, 1, 2, 501, 502];
    input.text_pointer()?;
    let asked = asked(input, LEVELS)?;
    let (level, resume) = (asked.level, asked.resume);
    let mut out = Writer::new(input.pointers());
    let problem = if LEVELS.contains(&level) {
        barred(state, level)
    } else {
        Some(error::INVALID_LEVEL)
    };
    if let Some(problem) = problem {
        empty(&mut out, &asked, LEVELS);
        out.u32(problem);
        return Ok(out);
    }
    out.u32(level).u32(level);
    let shares = &state.host.shares;
    out.pointer()
        .count(shares.len())
        .pointer()
        .count(shares.len());
    for share in shares {
        fixed(&mut out, share, level, true);
    }
    for share in shares {
        deferred(&mut out, share, level);
    }
    out.count(shares.len());
    out.pointer_if(resume.is_some());
    if resume.is_some() {
        out.u32(0);
    }
    out.u32(0);
    Ok(out)
}

/// The part of a share's entry that has a fixed length (MS-SRVS 2.2.4.22 to 2.2.4.26).
fn fixed(out: &mut Writer, share: &Shared, level: u32, listed: bool) {
    let pipes = share.sort & 0xf == 3;
    match level {
        0 => {
            out.pointer();
        }
        1 => {
            out.pointer().u32(share.sort).pointer();
        }
        2 | 502 => {
            out.pointer().u32(share.sort).pointer().u32(0).u32(u32::MAX);
            // Those who use it: nobody but who lists the pipes.
            out.u32(u32::from(listed && pipes || level == 502))
                .pointer()
                .pointer();
            if level == 502 {
                out.u32(0).u32(0);
            }
        }
        501 => {
            out.pointer().u32(share.sort).pointer().u32(0);
        }
        1004 => {
            out.pointer();
        }
        _ => {
            out.u32(0);
        }
    }
}

fn deferred(out: &mut Writer, share: &Shared, level: u32) {
    if !matches!(level, 1004 | 1005) {
        out.text(&share.name);
    }
    if !matches!(level, 0 | 1005) {
        out.text(&share.comment);
    }
    if matches!(level, 2 | 502) {
        // No password.
        out.text(&share.path).text("");
    }
}

fn share(state: &State, input: &mut Reader<'_>) -> Result<Writer, Fault> {
    input.text_pointer()?;
    let name = input.text()?;
    let level = input.u32()?;
    let mut out = Writer::new(input.pointers());
    out.u32(level);
    let known = matches!(level, 0 | 1 | 2 | 501 | 502 | 1004 | 1005);
    let found = state
        .host
        .shares
        .iter()
        .find(|share| share.name.eq_ignore_ascii_case(&name));
    let missing = if state.is_samba() {
        error::INVALID_NAME
    } else {
        error::NO_SUCH_SHARE
    };
    let share = match (found, known, barred(state, level)) {
        (_, true, Some(problem)) => Err(problem),
        (None, ..) => Err(missing),
        (_, false, _) => Err(error::INVALID_LEVEL),
        (Some(share), true, None) => Ok(share),
    };
    match share {
        Ok(share) => {
            out.pointer();
            fixed(&mut out, share, level, false);
            deferred(&mut out, share, level);
            out.u32(0);
        }
        Err(problem) => {
            if known {
                out.u32(0);
            }
            out.u32(problem);
        }
    }
    Ok(out)
}

/// What a server is besides a server (MS-SRVS 2.2.2.7).
fn sorts(state: &State) -> u32 {
    match &state.host.windows {
        None => 0x0080_9a03,
        Some(windows) if windows.server => 0x0000_9003,
        Some(_) => 0x0000_1003,
    }
}

fn server(state: &State, input: &mut Reader<'_>) -> Result<Writer, Fault> {
    input.text_pointer()?;
    let level = input.u32()?;
    let mut out = Writer::new(input.pointers());
    out.u32(level);
    let host = &state.host;
    let problem = match level {
        100 | 101 if state.is_samba() || state.caller != Caller::Anonymous => None,
        102 if state.is_samba() => None,
        100..=103 if !state.is_samba() => Some(error::ACCESS_DENIED),
        102 | 402 | 403 | 502 | 503 | 599 => Some(error::INVALID_LEVEL),
        _ => {
            out.u32(error::INVALID_LEVEL);
            return Ok(out);
        }
    };
    if let Some(problem) = problem {
        out.u32(0).u32(problem);
        return Ok(out);
    }
    const PLATFORM_NT: u32 = 500;
    out.pointer().u32(PLATFORM_NT).pointer();
    if level > 100 {
        let (major, minor) = host.version();
        out.u32(major).u32(minor).u32(sorts(state)).pointer();
    }
    if level == 102 {
        // Users, minutes until they're sent away, hidden or not, announcements, licences, path.
        out.u32(u32::MAX)
            .u32(15)
            .u32(0)
            .u32(240)
            .u32(3000)
            .u32(100_000)
            .pointer();
    }
    out.text(&host.name);
    if level > 100 {
        out.text(&host.comment);
    }
    if level == 102 {
        out.text(ROOT);
    }
    out.u32(0);
    Ok(out)
}

fn disks(state: &State, input: &mut Reader<'_>) -> Result<Writer, Fault> {
    input.text_pointer()?;
    let mut out = Writer::new(input.pointers());
    if !state.is_samba() {
        out.u32(0).u32(0).u32(0).u32(0).u32(error::ACCESS_DENIED);
        return Ok(out);
    }
    // Two entries of three characters: the disk, and the end of the list.
    out = Writer::new(0);
    out.u32(2).pointer().u32(2).u32(0).u32(2);
    out.u32(0).u32(3).raw(b"C\0:\0\0\0");
    out.u32(0).u32(1).raw(&[0, 0]);
    out.u32(1).u32(0).u32(0);
    Ok(out)
}

fn clock(state: &State, input: &mut Reader<'_>) -> Result<Writer, Fault> {
    input.text_pointer()?;
    let mut out = Writer::new(input.pointers());
    let number = |format: &str| state.now.format(format).parse::<u32>().unwrap_or(0);
    let seconds = u32::try_from(state.now.secs()).unwrap_or(0);
    let up = state.now.since(state.host.booted).as_millis();
    // Samba doesn't tell how long it runs, nor hundredths.
    let up = if state.is_samba() {
        0
    } else {
        u32::try_from(up & 0xffff_ffff).unwrap_or(0)
    };
    let hundredths = if state.is_samba() {
        0
    } else {
        u32::try_from(state.now.millis().rem_euclid(1000) / 10).unwrap_or(0)
    };
    out.pointer().u32(seconds).u32(up);
    out.u32(number("%H")).u32(number("%M")).u32(number("%S"));
    // Hundredths, zone in minutes, tick in ten thousandths.
    out.u32(hundredths)
        .u32(0)
        .u32(if state.is_samba() { 10_000 } else { 310 });
    out.u32(number("%d"))
        .u32(number("%m"))
        .u32(number("%Y"))
        .u32(number("%w"));
    out.u32(0);
    Ok(out)
}
