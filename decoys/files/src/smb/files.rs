//! Trees, files and folders (MS-SMB2 3.3.5.7 to 3.3.5.21). Everything can be read and nothing
//! changed.

use std::sync::Arc;

use coalmine_core::text::printable;
use coalmine_core::{Seed, Timestamp};

use super::ShareEvent;
use super::connection::{Ask, Connection};
use super::directory::{self, Class, MAX_PATTERN};
use super::info::{self, Disk, Facts, READ_FILE, READ_FOLDER, Told};
use super::login::{Share, Who};
use super::message::{Fields, Writer, count, narrow};
use super::rpc::{Caller, Pipe};
use super::status::Status;
use super::tree::Node;

/// Trees of one session.
const MAX_TREES: usize = 64;
/// Open files, folders and pipes of one connection.
const MAX_OPENS: usize = 1024;
/// Locks of one open file.
const MAX_LOCKS: usize = 64;
/// Longest path that is looked up, in bytes of UTF-16.
const MAX_PATH: usize = 4096;
/// Longest name of a share in an event, in characters.
const MAX_SHARE: usize = 256;
/// Most create contexts that are read.
const MAX_CONTEXTS: usize = 16;
/// Longest name of a file, in UTF-16 units.
const MAX_NAME: usize = 255;

/// Something open.
pub(super) struct Open {
    pub(super) session: u64,
    tree: u32,
    persistent: u64,
    access: u32,
    what: What,
}

enum What {
    File {
        node: Node,
        path: String,
        /// The read that tells that it was opened has been seen.
        read: bool,
        /// Where the last read ended.
        position: u64,
        locks: Vec<(u64, u64)>,
    },
    Folder {
        node: Node,
        path: String,
        listing: Listing,
    },
    Pipe(Box<Pipe>),
}

/// How far a listing has come.
#[derive(Default)]
struct Listing {
    pattern: Option<Vec<char>>,
    next: usize,
    found: bool,
}

impl Connection {
    pub(super) fn tree_connect(
        &mut self,
        ask: &mut Ask<'_>,
        reply: &mut Writer,
    ) -> Result<Status, Status> {
        let bad = Status::INVALID_PARAMETER;
        let body = ask.request.body(9).ok_or(bad)?;
        let offset = body.u16(4).ok_or(bad)?;
        let length = body.u16(6).ok_or(bad)?;
        let path = ask.request.buffer(offset, length).ok_or(bad)?;
        if path.is_empty() || path.len() > MAX_PATH {
            return Err(bad);
        }
        let path = narrow(path);
        let name = path.rsplit('\\').next().unwrap_or_default();
        let name = name.trim_end_matches('\0');
        let settings = &self.server.settings;
        let share = if name.eq_ignore_ascii_case("IPC$") {
            Some(Share::Pipes)
        } else if name.to_lowercase() == settings.share_name.to_lowercase() {
            Some(Share::Disk)
        } else {
            None
        };
        let status = match share {
            Some(_) => Status::OK,
            None => Status::BAD_NETWORK_NAME,
        };
        if share != Some(Share::Pipes) && settings.report_connections {
            let who = self.who_asks(ask)?;
            let name: String = name.chars().take(MAX_SHARE).collect();
            let event = ShareEvent {
                share_name: name,
                status: status.name(),
                ..self.event(&who)
            };
            self.seen.push((event, 5014));
        }
        let share = share.ok_or(status)?;
        let id = self.draw();
        let login = self
            .sessions
            .get_mut(&ask.session)
            .ok_or(Status::USER_SESSION_DELETED)?;
        if login.trees.len() >= MAX_TREES {
            return Err(Status::INSUFFICIENT_RESOURCES);
        }
        let samba = self.server.product.is_samba();
        // Windows numbers them in fours.
        let id = match samba {
            true => id,
            false => login.connected.saturating_mul(4) | 1,
        };
        login.connected = login.connected.saturating_add(1);
        login.trees.insert(id, share);
        ask.told.1 = id;
        let (kind, flags) = match share {
            Share::Disk => (1, 0),
            Share::Pipes => (2, if samba { 0 } else { 0x30 }),
        };
        let access = match (samba, share) {
            (false, Share::Disk) => READ_FOLDER,
            _ => 0x001f_00a9,
        };
        reply.u16(16).u8(kind).u8(0).u32(flags).u32(0).u32(access);
        Ok(Status::OK)
    }

    fn who_asks(&self, ask: &Ask<'_>) -> Result<Arc<Who>, Status> {
        let login = self.sessions.get(&ask.session);
        let login = login.ok_or(Status::USER_SESSION_DELETED)?;
        Ok(Arc::clone(&login.who))
    }

    pub(super) fn tree_disconnect(
        &mut self,
        ask: &Ask<'_>,
        reply: &mut Writer,
    ) -> Result<Status, Status> {
        ask.request.body(4).ok_or(Status::INVALID_PARAMETER)?;
        if let Some(login) = self.sessions.get_mut(&ask.session) {
            login.trees.remove(&ask.tree);
        }
        let of_tree = |open: &Open| open.session == ask.session && open.tree == ask.tree;
        let files: Vec<u64> = self
            .opens
            .iter()
            .filter(|(_, open)| of_tree(open))
            .map(|(id, _)| *id)
            .collect();
        for file in files {
            self.forget(file);
        }
        reply.u16(4).u16(0);
        Ok(Status::OK)
    }

    pub(super) fn create(
        &mut self,
        ask: &mut Ask<'_>,
        reply: &mut Writer,
    ) -> Result<Status, Status> {
        let bad = Status::INVALID_PARAMETER;
        let body = ask.request.body(57).ok_or(bad)?;
        let (offset, length) = (body.u16(44).ok_or(bad)?, body.u16(46).ok_or(bad)?);
        let name = ask.request.buffer(offset, length).ok_or(bad)?;
        if name.len() > MAX_PATH || !name.len().is_multiple_of(2) {
            return Err(bad);
        }
        let name = narrow(name);
        if self.opens.len() >= MAX_OPENS {
            return Err(Status::INSUFFICIENT_RESOURCES);
        }
        let login = self.sessions.get(&ask.session);
        let share = login.and_then(|login| login.trees.get(&ask.tree));
        let contexts = Contexts::read(ask, body).ok_or(bad)?;
        self.client.apple |= contexts.apple;
        let wish = Wish {
            oplock: body.u8(3).ok_or(bad)?,
            access: body.u32(24).ok_or(bad)?,
            disposition: body.u32(36).ok_or(bad)?,
            options: body.u32(40).ok_or(bad)?,
        };
        if share == Some(&Share::Pipes) {
            return self.open_pipe(ask, &name, reply);
        }
        let samba = self.server.product.is_samba();
        let (node, path) = wish.find(&self.server, &name)?;
        // As it is spelt in the share, not as it was asked for.
        let path = self.server.tree.spelling(&path).unwrap_or(path);
        let access = wish.granted(&node, samba);
        let facts = self.server.facts(&node);
        let what = match node.directory {
            true => What::Folder {
                node,
                path,
                listing: Listing::default(),
            },
            false => What::File {
                node,
                path,
                read: false,
                position: 0,
                locks: Vec::new(),
            },
        };
        let (persistent, volatile) = self.file_ids();
        self.opens.insert(
            volatile,
            Open {
                session: ask.session,
                tree: ask.tree,
                persistent,
                access,
                what,
            },
        );
        ask.file = Some(volatile);
        // Nothing ever changes, so everybody may keep what he has read.
        let oplock = match (wish.oplock, facts.directory) {
            (_, true) | (0, _) => 0,
            (0xff, false) if contexts.lease.is_none() => 0,
            (0xff, false) => 0xff,
            (_, false) => 1,
        };
        opened(reply, oplock, &facts, persistent, volatile);
        let at = reply.len();
        let mut answers: Vec<(&[u8; 4], Vec<u8>)> = Vec::new();
        if let Some(lease) = contexts.lease.filter(|_| oplock == 0xff) {
            answers.push((b"RqLs", lease));
        }
        if contexts.maximal_access {
            let most = if facts.directory {
                READ_FOLDER
            } else {
                READ_FILE
            };
            let mut data = Writer::default();
            data.u32(0).u32(most);
            answers.push((b"MxAc", data.0));
        }
        if contexts.disk_id {
            let mut data = Writer::default();
            data.u64(facts.id).u64(self.server.disk_id()).zeros(16);
            answers.push((b"QFid", data.0));
        }
        write_contexts(reply, at, &answers);
        Ok(Status::OK)
    }

    fn file_ids(&mut self) -> (u64, u64) {
        let persistent = u64::from(self.draw());
        loop {
            let volatile = u64::from(self.draw());
            if !self.opens.contains_key(&volatile) {
                return (persistent, volatile);
            }
        }
    }

    fn open_pipe(
        &mut self,
        ask: &mut Ask<'_>,
        name: &str,
        reply: &mut Writer,
    ) -> Result<Status, Status> {
        if name.is_empty() {
            return Err(Status::NO_SUCH_PIPE);
        }
        // Samba wants the bare name.
        if self.server.product.is_samba() && name.starts_with('\\') {
            return Err(Status::OBJECT_NAME_NOT_FOUND);
        }
        let login = self.sessions.get(&ask.session);
        let caller = login.map_or(Caller::Anonymous, |login| login.caller);
        let seed = Seed::new(self.random());
        let pipe = Pipe::open(name, Arc::clone(&self.server.host), caller, seed);
        let pipe = pipe.ok_or(Status::OBJECT_NAME_NOT_FOUND)?;
        let (persistent, volatile) = self.file_ids();
        self.opens.insert(
            volatile,
            Open {
                session: ask.session,
                tree: ask.tree,
                persistent,
                access: 0x0012_019f,
                what: What::Pipe(Box::new(pipe)),
            },
        );
        ask.file = Some(volatile);
        let samba = self.server.product.is_samba();
        // Samba tells 1970.
        let time = if samba {
            Timestamp::from_secs(0).filetime()
        } else {
            0
        };
        let facts = Facts {
            directory: false,
            size: 0,
            allocated: if samba { 0 } else { 4096 },
            attributes: 0x80,
            created: time,
            modified: time,
            id: 0,
        };
        opened(reply, 0, &facts, persistent, volatile);
        Ok(Status::OK)
    }

    /// The open file that the request names at `at` of its body.
    pub(super) fn file(&self, ask: &Ask<'_>, at: usize) -> Result<u64, Status> {
        let body = Fields(ask.request.bytes);
        let at = at.saturating_add(super::message::HEADER);
        let persistent = body.u64(at).ok_or(Status::INVALID_PARAMETER)?;
        let volatile = body
            .u64(at.saturating_add(8))
            .ok_or(Status::INVALID_PARAMETER)?;
        let id = match (persistent, volatile, ask.file) {
            (u64::MAX, u64::MAX, Some(file)) => file,
            _ => volatile,
        };
        let open = self.opens.get(&id).ok_or(Status::FILE_CLOSED)?;
        if open.session != ask.session || open.tree != ask.tree {
            return Err(Status::FILE_CLOSED);
        }
        if open.persistent != persistent && persistent != u64::MAX {
            return Err(Status::FILE_CLOSED);
        }
        Ok(id)
    }

    /// Both numbers of an open file.
    pub(super) fn ids(&self, file: u64) -> (u64, u64) {
        (
            self.opens.get(&file).map_or(0, |open| open.persistent),
            file,
        )
    }

    /// The pipe that is open as `file`.
    pub(super) fn pipe(&mut self, file: u64) -> Option<&mut Pipe> {
        match &mut self.opens.get_mut(&file)?.what {
            What::Pipe(pipe) => Some(pipe),
            _ => None,
        }
    }

    /// The file or folder that is open as `file`.
    pub(super) fn node(&self, file: u64) -> Option<&Node> {
        match &self.opens.get(&file)?.what {
            What::File { node, .. } | What::Folder { node, .. } => Some(node),
            What::Pipe(_) => None,
        }
    }

    pub(super) fn close(&mut self, ask: &Ask<'_>, reply: &mut Writer) -> Result<Status, Status> {
        let body = ask.request.body(24).ok_or(Status::INVALID_PARAMETER)?;
        let told = body.u16(2).unwrap_or(0) & 1;
        let file = self.file(ask, 8)?;
        let facts = self.node(file).map(|node| self.server.facts(node));
        self.forget(file);
        reply.u16(60).u16(told).u32(0);
        match facts.filter(|_| told == 1) {
            Some(facts) => {
                info::times(reply, &facts);
                reply.u64(facts.allocated).u64(facts.size);
                reply.u32(facts.attributes);
            }
            None => {
                reply.zeros(52);
            }
        }
        Ok(Status::OK)
    }

    pub(super) fn read(&mut self, ask: &Ask<'_>, reply: &mut Writer) -> Result<Status, Status> {
        let bad = Status::INVALID_PARAMETER;
        let body = ask.request.body(49).ok_or(bad)?;
        let length = body.u32(4).ok_or(bad)?;
        let offset = body.u64(8).ok_or(bad)?;
        let least = body.u32(32).ok_or(bad)?;
        let file = self.file(ask, 16)?;
        let agreed = self.agreed.as_ref().ok_or(bad)?;
        let paid = match agreed.dialect.multi_credit() {
            true => u32::from(ask.request.header.charge.max(1)).saturating_mul(65_536),
            false => 65_536,
        };
        if length > agreed.dialect.max_transfer() || length > paid {
            return Err(bad);
        }
        if self.pipe(file).is_some() {
            return self.read_pipe(ask, file, length, reply);
        }
        if offset
            .checked_add(length.into())
            .is_none_or(|end| end > i64::MAX.cast_unsigned())
        {
            return Err(bad);
        }
        let who = self.who_asks(ask)?;
        let open = self.opens.get_mut(&file).ok_or(Status::FILE_CLOSED)?;
        let access = open.access;
        let What::File {
            node,
            path,
            read,
            position,
            ..
        } = &mut open.what
        else {
            return Err(Status::INVALID_DEVICE_REQUEST);
        };
        if access & 0x21 == 0 {
            return Err(Status::ACCESS_DENIED);
        }
        let there = node.size.saturating_sub(offset);
        let length = u32::try_from(there.min(length.into())).unwrap_or(0);
        if (length == 0 && body.u32(4) != Some(0)) || length < least {
            return Err(Status::END_OF_FILE);
        }
        let wanted = usize::try_from(length).unwrap_or(0);
        let first = !std::mem::replace(read, true);
        *position = offset.saturating_add(length.into());
        let path = path.clone();
        if wanted > ask.left && !self.room.take(wanted) {
            return Err(Status::INSUFFICIENT_RESOURCES);
        }
        if first {
            let event = ShareEvent {
                file_name: printable(path.replace('\\', "/").as_bytes()),
                audit_action: "pread".to_owned(),
                offset: offset.to_string(),
                size: length.to_string(),
                share_name: self.server.settings.share_name.clone(),
                ..self.event(&who)
            };
            self.seen.push((event, 5000));
        }
        read_head(reply, wanted);
        let end = reply.len().saturating_add(wanted);
        self.server
            .tree
            .read_into(&path, offset, wanted, &mut reply.0);
        // The length has been told already.
        reply.0.resize(end, 0);
        Ok(Status::OK)
    }

    fn read_pipe(
        &mut self,
        ask: &Ask<'_>,
        file: u64,
        length: u32,
        reply: &mut Writer,
    ) -> Result<Status, Status> {
        let most = ask.room(length);
        let pipe = self.pipe(file).ok_or(Status::FILE_CLOSED)?;
        let said = pipe.read(most);
        if said.is_empty() && pipe.is_broken() {
            return Err(Status::PIPE_DISCONNECTED);
        }
        if said.is_empty() {
            return Ok(self.wait(ask, file, Some(most)));
        }
        let more = pipe.has_more();
        read_head(reply, said.len());
        reply.bytes(&said);
        Ok(if more {
            Status::BUFFER_OVERFLOW
        } else {
            Status::OK
        })
    }

    pub(super) fn write(&mut self, ask: &Ask<'_>, reply: &mut Writer) -> Result<Status, Status> {
        let bad = Status::INVALID_PARAMETER;
        let body = ask.request.body(49).ok_or(bad)?;
        let offset = body.u16(2).ok_or(bad)?;
        let length = body.u32(4).ok_or(bad)?;
        let data = ask.request.buffer(offset, length).ok_or(bad)?;
        let file = self.file(ask, 16)?;
        let pipe = self.pipe(file).ok_or(Status::ACCESS_DENIED)?;
        pipe.write(data, ask.now);
        self.pipe_facts(ask, file)?;
        self.pipe_speaks(file);
        reply.u16(17).u16(0).u32(length).u32(0).u32(0);
        Ok(Status::OK)
    }

    /// Reports what a pipe has seen.
    pub(super) fn pipe_facts(&mut self, ask: &Ask<'_>, file: u64) -> Result<(), Status> {
        let facts = self.pipe(file).map(Pipe::take_events).unwrap_or_default();
        if facts.is_empty() {
            return Ok(());
        }
        let who = self.who_asks(ask)?;
        for fact in facts {
            let event = self.event(&who);
            self.seen.push(super::told_by_pipe(event, fact));
        }
        Ok(())
    }

    pub(super) fn flush(&self, ask: &Ask<'_>) -> Result<Status, Status> {
        ask.request.body(24).ok_or(Status::INVALID_PARAMETER)?;
        self.file(ask, 8)?;
        Err(Status::ACCESS_DENIED)
    }

    pub(super) fn set_info(&self, ask: &Ask<'_>) -> Result<Status, Status> {
        ask.request.body(33).ok_or(Status::INVALID_PARAMETER)?;
        self.file(ask, 16)?;
        Err(Status::ACCESS_DENIED)
    }

    /// Locks never meet: nobody writes.
    pub(super) fn lock(&mut self, ask: &Ask<'_>, reply: &mut Writer) -> Result<Status, Status> {
        let bad = Status::INVALID_PARAMETER;
        let body = ask.request.body(48).ok_or(bad)?;
        let many = usize::from(body.u16(2).ok_or(bad)?);
        if many == 0 || many > MAX_LOCKS {
            return Err(bad);
        }
        let file = self.file(ask, 8)?;
        let open = self.opens.get_mut(&file).ok_or(Status::FILE_CLOSED)?;
        let What::File { locks, .. } = &mut open.what else {
            return Err(Status::INVALID_DEVICE_REQUEST);
        };
        for number in 0..many {
            let at = number.saturating_mul(24).saturating_add(24);
            let range = (
                body.u64(at).ok_or(bad)?,
                body.u64(at.saturating_add(8)).ok_or(bad)?,
            );
            let flags = body.u32(at.saturating_add(16)).ok_or(bad)?;
            if flags & 4 == 0 {
                if locks.len() >= MAX_LOCKS {
                    return Err(Status::INSUFFICIENT_RESOURCES);
                }
                locks.push(range);
            } else {
                let held = locks.iter().position(|lock| *lock == range);
                locks.remove(held.ok_or(Status::RANGE_NOT_LOCKED)?);
            }
        }
        reply.u16(4).u16(0);
        Ok(Status::OK)
    }

    pub(super) fn change_notify(&mut self, ask: &Ask<'_>) -> Result<Status, Status> {
        ask.request.body(32).ok_or(Status::INVALID_PARAMETER)?;
        let file = self.file(ask, 8)?;
        match self.node(file) {
            Some(node) if node.directory => Ok(self.wait(ask, file, None)),
            _ => Err(Status::INVALID_PARAMETER),
        }
    }

    pub(super) fn query_directory(
        &mut self,
        ask: &Ask<'_>,
        reply: &mut Writer,
    ) -> Result<Status, Status> {
        let bad = Status::INVALID_PARAMETER;
        let body = ask.request.body(33).ok_or(bad)?;
        let class = body.u8(2).ok_or(bad)?;
        let flags = body.u8(3).ok_or(bad)?;
        let (offset, length) = (body.u16(24).ok_or(bad)?, body.u16(26).ok_or(bad)?);
        let wanted = body.u32(28).ok_or(bad)?;
        let pattern = ask.request.buffer(offset, length).ok_or(bad)?;
        let file = self.file(ask, 8)?;
        let most = self.agreed.as_ref().map_or(0, |a| a.dialect.max_transfer());
        let server = Arc::clone(&self.server);
        let open = self.opens.get_mut(&file).ok_or(Status::FILE_CLOSED)?;
        let What::Folder {
            node,
            path,
            listing,
        } = &mut open.what
        else {
            return Err(Status::NOT_SUPPORTED);
        };
        if pattern.is_empty() || wanted > most || pattern.len() > MAX_PATTERN.saturating_mul(2) {
            return Err(bad);
        }
        let class = Class::of(class).ok_or(Status::INVALID_INFO_CLASS)?;
        // 1 begins again, 0x10 begins again with another pattern.
        if flags & 0x11 != 0 {
            *listing = Listing::default();
        }
        let pattern = listing
            .pattern
            .get_or_insert_with(|| directory::folded(&narrow(pattern)));
        let room = ask.room(wanted);
        if room < class.fixed() {
            return Err(Status::INFO_LENGTH_MISMATCH);
        }
        let itself = server.facts(node);
        let above = server.tree.parent(path);
        let above = above.map_or(itself, |parent| server.facts(&parent));
        let children = server.tree.children(path);
        let at = reply.len();
        reply.u16(9).u16(72).u32(0);
        let start = reply.len();
        let mut last = None;
        loop {
            let facts;
            let (name, facts) = match listing.next {
                0 => (".", &itself),
                1 => ("..", &above),
                number => {
                    let Some(child) = children.get(number.saturating_sub(2)) else {
                        break;
                    };
                    facts = server.facts(child);
                    (child.name.as_str(), &facts)
                }
            };
            if directory::matches(pattern, &directory::folded(name)) {
                match directory::entry(reply, start, last, room, class, (name, facts)) {
                    Some(written) => last = Some(written),
                    None if last.is_none() => return Err(Status::INFO_LENGTH_MISMATCH),
                    None => break,
                }
            }
            listing.next = listing.next.saturating_add(1);
            if flags & 2 != 0 && last.is_some() {
                break;
            }
        }
        if last.is_none() {
            return Err(match listing.found {
                true => Status::NO_MORE_FILES,
                false => Status::NO_SUCH_FILE,
            });
        }
        listing.found = true;
        let length = count(reply.len().saturating_sub(start));
        reply.patch(at.saturating_add(4), length);
        Ok(Status::OK)
    }

    pub(super) fn query_info(
        &mut self,
        ask: &Ask<'_>,
        reply: &mut Writer,
    ) -> Result<Status, Status> {
        let bad = Status::INVALID_PARAMETER;
        let body = ask.request.body(41).ok_or(bad)?;
        let (kind, class) = (body.u8(2).ok_or(bad)?, body.u8(3).ok_or(bad)?);
        let wanted = body.u32(4).ok_or(bad)?;
        let additional = body.u32(16).ok_or(bad)?;
        let file = self.file(ask, 24)?;
        let samba = self.server.product.is_samba();
        let open = self.opens.get(&file).ok_or(Status::FILE_CLOSED)?;
        let room = ask.room(wanted);
        let Told { data, fixed } = match (&open.what, kind) {
            (What::Pipe(_), 1) => info::pipe(class)?,
            (What::Pipe(_), _) => return Err(Status::NOT_SUPPORTED),
            (What::File { node, path, .. } | What::Folder { node, path, .. }, 1) => {
                let facts = self.server.facts(node);
                let position = match &open.what {
                    What::File { position, .. } => *position,
                    _ => 0,
                };
                info::file(class, &facts, (open.access, position), path, samba)?
            }
            (_, 2) => self.server.disk.info(class)?,
            (What::File { node, .. } | What::Folder { node, .. }, 3) => {
                // The list of what is audited is for administrators.
                if additional & 8 != 0 {
                    return Err(Status::ACCESS_DENIED);
                }
                let data = info::security(additional, node.directory, samba);
                if data.len() > room {
                    reply.u16(9).u16(0).u32(4).u32(count(data.len()));
                    return Err(Status::BUFFER_TOO_SMALL);
                }
                Told { data, fixed: 0 }
            }
            (_, 4) => return Err(Status::INVALID_HANDLE),
            _ => return Err(bad),
        };
        if room < fixed {
            return Err(Status::INFO_LENGTH_MISMATCH);
        }
        let (data, status) = match data.get(..room) {
            Some(part) if part.len() < data.len() => (part, Status::BUFFER_OVERFLOW),
            _ => (data.as_slice(), Status::OK),
        };
        reply.u16(9).u16(72).u32(count(data.len())).bytes(data);
        Ok(status)
    }
}

/// What a client wants of a name.
struct Wish {
    oplock: u8,
    access: u32,
    disposition: u32,
    options: u32,
}

/// What changes something (MS-SMB2 2.2.13.1), with generic rights.
const WRITES: u32 = 0x500d_0156;

impl Wish {
    /// What it finds, and under which path.
    fn find(&self, server: &super::Server, name: &str) -> Result<(Node, String), Status> {
        let samba = server.product.is_samba();
        if self.options & 0x2000 != 0 {
            return Err(Status::NOT_SUPPORTED);
        }
        if self.disposition > 5 || self.options & 0x0010_0000 != 0 || name.starts_with('\\') {
            return Err(Status::INVALID_PARAMETER);
        }
        let path = normal(name, samba)?;
        let writes = self.access & WRITES != 0 || self.options & 0x1001 == 0x1000;
        let Some(node) = server.tree.lookup(&path) else {
            let parent = path.rsplit_once('\\').map_or("", |(parent, _)| parent);
            let parent = server.tree.lookup(parent).filter(|node| node.directory);
            return Err(match (parent, self.disposition) {
                (None, _) => Status::OBJECT_PATH_NOT_FOUND,
                (Some(_), 1 | 4) => Status::OBJECT_NAME_NOT_FOUND,
                // A file that nobody will write to isn't made.
                (Some(_), _) if samba && !writes && self.options & 1 == 0 => {
                    Status::OBJECT_NAME_NOT_FOUND
                }
                (Some(_), _) => Status::ACCESS_DENIED,
            });
        };
        if self.disposition == 2 {
            return Err(Status::OBJECT_NAME_COLLISION);
        }
        if node.directory && self.options & 0x40 != 0 {
            return Err(Status::FILE_IS_A_DIRECTORY);
        }
        if !node.directory && self.options & 1 != 0 {
            return Err(Status::NOT_A_DIRECTORY);
        }
        if self.access & 0x0100_0000 != 0 {
            return Err(Status::PRIVILEGE_NOT_HELD);
        }
        let overwrites = matches!(self.disposition, 0 | 4 | 5);
        if writes || overwrites || self.options & 0x1000 != 0 || (self.access == 0 && !samba) {
            return Err(Status::ACCESS_DENIED);
        }
        Ok((node, path))
    }

    /// The rights that it comes to.
    fn granted(&self, node: &Node, samba: bool) -> u32 {
        let most = if node.directory {
            READ_FOLDER
        } else {
            READ_FILE
        };
        let mut granted = self.access & 0x001f_01ff;
        if self.access & 0x0200_0000 != 0 {
            granted |= most;
        }
        if self.access & 0x8000_0000 != 0 {
            granted |= READ_FILE;
        }
        if self.access & 0x2000_0000 != 0 {
            granted |= 0x0012_00a0;
        }
        // Samba lets everybody who opens a file look at it.
        if samba { granted | 0x80 } else { granted }
    }
}

/// A path without dots and double separators.
fn normal(name: &str, samba: bool) -> Result<String, Status> {
    let mut parts: Vec<&str> = Vec::new();
    let separators: &[char] = if samba { &['\\', '/'] } else { &['\\'] };
    for part in name.split(separators) {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop().ok_or(Status::OBJECT_PATH_SYNTAX_BAD)?;
            }
            part => {
                let forbidden =
                    |c: char| matches!(c, '*' | '?' | '<' | '>' | '"' | '|' | ':' | '/') || c < ' ';
                if part.contains(forbidden) || part.encode_utf16().count() > MAX_NAME {
                    return Err(Status::OBJECT_NAME_INVALID);
                }
                parts.push(part);
            }
        }
    }
    Ok(parts.join("\\"))
}

/// What a client asks for besides, as far as it is answered (MS-SMB2 2.2.13.2).
#[derive(Default)]
struct Contexts {
    /// The answer to a request for a lease.
    lease: Option<Vec<u8>>,
    maximal_access: bool,
    disk_id: bool,
    apple: bool,
}

impl Contexts {
    fn read(ask: &Ask<'_>, body: Fields<'_>) -> Option<Self> {
        let mut found = Self::default();
        let (offset, length) = (body.u32(48)?, body.u32(52)?);
        let mut rest = ask.request.buffer(offset, length)?;
        if rest.is_empty() {
            return Some(found);
        }
        for _ in 0..MAX_CONTEXTS {
            let fields = Fields(rest);
            let next = usize::try_from(fields.u32(0)?).ok()?;
            let name = fields.slice(fields.u16(4)?.into(), fields.u16(6)?.into())?;
            let length = usize::try_from(fields.u32(12)?).ok()?;
            let data = match length {
                0 => &[],
                _ => fields.slice(fields.u16(10)?.into(), length)?,
            };
            match name {
                b"MxAc" => found.maximal_access = true,
                b"QFid" => found.disk_id = true,
                b"AAPL" => found.apple = true,
                b"RqLs" => found.lease = Some(lease(data)?),
                _ => {}
            }
            if next == 0 {
                break;
            }
            rest = rest.get(next..)?;
        }
        Some(found)
    }
}

/// Grants that what was read is kept (2.2.14.2.10, 2.2.14.2.11).
fn lease(wanted: &[u8]) -> Option<Vec<u8>> {
    let fields = Fields(wanted);
    let mut granted = Writer::default();
    granted.bytes(fields.slice(0, 16)?).u32(fields.u32(16)? & 1);
    match wanted.len() {
        32 => {
            granted.u32(0).u64(0);
        }
        52 => {
            // The second kind also names the folder's lease and counts changes.
            let flags = fields.u32(20)? & 4;
            granted.u32(flags).u64(0).bytes(fields.slice(32, 16)?);
            granted.u16(fields.u16(48)?.saturating_add(1)).u16(0);
        }
        _ => return None,
    }
    Some(granted.0)
}

/// The answer to an open, without contexts (2.2.14).
fn opened(reply: &mut Writer, oplock: u8, facts: &Facts, persistent: u64, volatile: u64) {
    reply.u16(89).u8(oplock).u8(0).u32(1);
    info::times(reply, facts);
    reply
        .u64(facts.allocated)
        .u64(facts.size)
        .u32(facts.attributes)
        .u32(0)
        .u64(persistent)
        .u64(volatile)
        .u64(0);
}

/// Contexts behind an answer to an open that ends at `end`.
fn write_contexts(reply: &mut Writer, end: usize, answers: &[(&[u8; 4], Vec<u8>)]) {
    if answers.is_empty() {
        return;
    }
    for (number, (name, data)) in answers.iter().enumerate() {
        reply.align(end);
        let last = number.saturating_add(1) == answers.len();
        let next = data.len().saturating_add(24).next_multiple_of(8);
        reply.u32(if last { 0 } else { count(next) });
        reply.u16(16).u16(4).u16(0).u16(24).u32(count(data.len()));
        reply.bytes(*name).u32(0).bytes(data);
    }
    let length = count(reply.len().saturating_sub(end));
    reply.patch(end.saturating_sub(8), 152);
    reply.patch(end.saturating_sub(4), length);
}

/// The head of an answer with `length` bytes read (2.2.20).
pub(super) fn read_head(reply: &mut Writer, length: usize) {
    reply.u16(17).u8(80).u8(0).u32(count(length)).u32(0).u32(0);
}

/// Facts about a file or folder, in the protocol's units.
impl super::Server {
    pub(super) fn facts(&self, node: &Node) -> Facts {
        let samba = self.product.is_samba();
        let size = if node.directory { 0 } else { node.size };
        let attributes = match (node.directory, samba) {
            (true, _) => 0x10,
            (false, true) => 0x80,
            (false, false) => 0x20,
        };
        Facts {
            directory: node.directory,
            size,
            allocated: Disk::allocated(size),
            attributes,
            created: node.created.filetime(),
            modified: node.modified.filetime(),
            id: node.id,
        }
    }
}
