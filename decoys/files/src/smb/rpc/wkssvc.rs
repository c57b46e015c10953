//! The workstation service (MS-WKST): the machine's name, domain and version.

use super::ndr::{Reader, Writer};
use super::{Caller, Fault, State};

const ACCESS_DENIED: u32 = 5;
const INVALID_LEVEL: u32 = 124;

pub fn call(state: &mut State, operation: u16, input: &mut Reader<'_>) -> Result<Writer, Fault> {
    match operation {
        0 => info(state, input),
        2 => users(input),
        _ => Err(Fault::Number),
    }
}

fn info(state: &State, input: &mut Reader<'_>) -> Result<Writer, Fault> {
    input.text_pointer()?;
    let level = input.u32()?;
    let mut out = Writer::new(input.pointers());
    out.u32(level);
    let known = matches!(level, 100 | 101 | 102 | 502);
    let problem = match (level, state.caller) {
        (100, _) | (101, Caller::User) => None,
        (101 | 102, _) => Some(ACCESS_DENIED),
        (502, _) if !state.is_samba() => Some(ACCESS_DENIED),
        _ => Some(INVALID_LEVEL),
    };
    if let Some(problem) = problem {
        if known {
            out.u32(0);
        }
        out.u32(problem);
        return Ok(out);
    }
    let host = &state.host;
    let (major, minor) = host.version();
    out.pointer()
        .u32(500)
        .pointer()
        .pointer()
        .u32(major)
        .u32(minor);
    if level == 101 {
        out.pointer();
    }
    out.text(&host.name).text(&host.domain);
    if level == 101 {
        // The root of local area networks.
        out.text("");
    }
    out.u32(0);
    Ok(out)
}

/// Who works here is for administrators.
fn users(input: &mut Reader<'_>) -> Result<Writer, Fault> {
    input.text_pointer()?;
    let (level, branch) = (input.u32()?, input.u32()?);
    if level != branch {
        return Err(Fault::Stub);
    }
    let mut array = false;
    if input.pointer()? {
        input.u32()?;
        array = input.pointer()?;
        if array && input.u32()? != 0 {
            return Err(Fault::Stub);
        }
    }
    input.u32()?;
    let resume = input.pointer()?;
    let mut out = Writer::new(input.pointers());
    out.u32(level).u32(level).pointer().u32(0).pointer_if(array);
    if array {
        out.u32(0);
    }
    out.u32(0).pointer_if(resume);
    if resume {
        out.u32(0);
    }
    out.u32(if level <= 1 {
        ACCESS_DENIED
    } else {
        INVALID_LEVEL
    });
    Ok(out)
}
