//! File system controls (MS-SMB2 3.3.5.15).

use std::net::IpAddr;

use super::connection::{Ask, Connection};
use super::message::{Fields, Writer, count};
use super::status::Status;

pub(super) const PIPE_TRANSCEIVE: u32 = 0x0011_c017;
const PIPE_WAIT: u32 = 0x0011_0018;
const DFS_GET_REFERRALS: u32 = 0x0006_0194;
const DFS_GET_REFERRALS_EX: u32 = 0x0006_01b0;
const VALIDATE_NEGOTIATE_INFO: u32 = 0x0014_0204;
const QUERY_NETWORK_INTERFACE_INFO: u32 = 0x0014_01fc;
const SRV_REQUEST_RESUME_KEY: u32 = 0x0014_0078;
const SRV_COPYCHUNK: u32 = 0x0014_40f2;
const CREATE_OR_GET_OBJECT_ID: u32 = 0x0009_00c0;
const GET_REPARSE_POINT: u32 = 0x0009_00a8;

impl Connection {
    pub(super) fn ioctl(&mut self, ask: &Ask<'_>, reply: &mut Writer) -> Result<Status, Status> {
        let bad = Status::INVALID_PARAMETER;
        let body = ask.request.body(57).ok_or(bad)?;
        let code = body.u32(4).ok_or(bad)?;
        let ids = (body.u64(8).ok_or(bad)?, body.u64(16).ok_or(bad)?);
        let (offset, length) = (body.u32(24).ok_or(bad)?, body.u32(28).ok_or(bad)?);
        let input = ask.request.buffer(offset, length).ok_or(bad)?;
        let room = ask.room(body.u32(44).ok_or(bad)?);
        // 1: a file system control, which all of these are.
        if body.u32(48) != Some(1) {
            return Err(Status::NOT_SUPPORTED);
        }
        let out = match code {
            DFS_GET_REFERRALS => return Err(Status::NOT_FOUND),
            DFS_GET_REFERRALS_EX => return Err(Status::FS_DRIVER_REQUIRED),
            PIPE_WAIT => return Err(bad),
            VALIDATE_NEGOTIATE_INFO => return self.validate(input, room, ids, reply),
            QUERY_NETWORK_INTERFACE_INFO => self.interfaces(),
            _ => {
                let file = self.file(ask, 8)?;
                if self.pipe(file).is_some() {
                    return self.pipe_control(ask, code, file, input, room, reply);
                }
                self.file_control(code, file)?
            }
        };
        if out.len() > room {
            return Err(Status::INVALID_PARAMETER);
        }
        head(reply, code, ids, out.len());
        reply.bytes(&out);
        Ok(Status::OK)
    }

    /// Says again what was agreed, this time signed (3.3.5.15.12). A client that was lied to hears
    /// no more.
    fn validate(
        &self,
        input: &[u8],
        room: usize,
        ids: (u64, u64),
        reply: &mut Writer,
    ) -> Result<Status, Status> {
        let bad = Status::INVALID_PARAMETER;
        let agreed = self.agreed.as_ref().ok_or(bad)?;
        let fields = Fields(input);
        let guid = fields.array::<16>(4).ok_or(bad)?;
        if room < 24 {
            return Err(bad);
        }
        if guid != self.offer.guid || fields.u32(0) != Some(self.offer.capabilities) {
            return Err(Status::ACCESS_DENIED);
        }
        head(reply, VALIDATE_NEGOTIATE_INFO, ids, 24);
        reply
            .u32(agreed.capabilities)
            .bytes(&self.server.guid)
            .u16(self.server.security_mode())
            .u16(agreed.dialect.number());
        Ok(Status::OK)
    }

    /// The one interface that the client has found already (2.2.32.5).
    fn interfaces(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.u32(0).u32(1).u32(0).u32(0).u64(1_000_000_000);
        match self.local {
            IpAddr::V4(address) => {
                out.u16(2).u16(0).bytes(&address.octets()).zeros(8);
            }
            IpAddr::V6(address) => {
                out.u16(23).u16(0).u32(0).bytes(&address.octets()).u32(0);
            }
        }
        let missing = 152_usize.saturating_sub(out.len());
        out.zeros(missing);
        out.0
    }

    fn file_control(&self, code: u32, file: u64) -> Result<Vec<u8>, Status> {
        let node = self.node(file).ok_or(Status::FILE_CLOSED)?;
        let mut out = Writer::default();
        match code {
            CREATE_OR_GET_OBJECT_ID => {
                let (disk, id) = (self.server.disk_id(), node.id);
                out.u64(disk).u64(id).bytes(&self.server.disk.guid);
                out.u64(disk).u64(id).zeros(16);
            }
            SRV_REQUEST_RESUME_KEY => {
                let (persistent, volatile) = self.ids(file);
                out.u64(persistent).u64(volatile);
                out.u64(code.into()).zeros(8);
            }
            SRV_COPYCHUNK => return Err(Status::INVALID_PARAMETER),
            GET_REPARSE_POINT => return Err(Status::NOT_A_REPARSE_POINT),
            _ => return Err(Status::INVALID_DEVICE_REQUEST),
        }
        Ok(out.0)
    }

    fn pipe_control(
        &mut self,
        ask: &Ask<'_>,
        code: u32,
        file: u64,
        input: &[u8],
        room: usize,
        reply: &mut Writer,
    ) -> Result<Status, Status> {
        if code != PIPE_TRANSCEIVE {
            return Err(Status::FS_DRIVER_REQUIRED);
        }
        let pipe = self.pipe(file).ok_or(Status::FILE_CLOSED)?;
        pipe.write(input, ask.now);
        let said = pipe.read(room);
        let more = pipe.has_more();
        self.pipe_facts(ask, file)?;
        if said.is_empty() {
            return Ok(self.wait(ask, file, Some(room)));
        }
        head(reply, code, self.ids(file), said.len());
        reply.bytes(&said);
        Ok(if more {
            Status::BUFFER_OVERFLOW
        } else {
            Status::OK
        })
    }
}

/// The head of an answer with `length` bytes (2.2.32).
pub(super) fn head(reply: &mut Writer, code: u32, ids: (u64, u64), length: usize) {
    reply.u16(49).u16(0).u32(code).u64(ids.0).u64(ids.1);
    reply
        .u32(112)
        .u32(0)
        .u32(112)
        .u32(count(length))
        .u32(0)
        .u32(0);
}
