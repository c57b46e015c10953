//! The disk spool: a sighting is here before the reply to it leaves, and stays until the Console
//! has committed it.
//!
//! A folder of segment files, each a run of frames: length and CRC-32 of the payload (both 4
//! bytes, little endian), then one sighting as JSON. One thread appends and syncs; everything that
//! arrives while it syncs shares the next sync (group commit), and under load it lets a few
//! milliseconds' worth gather first: a sync costs more CPU than all else that an attempt needs.
//! [`Tail`] reads the same files from behind and deletes each one once it's delivered. After a
//! crash the remaining files are read again: the store knows what it has already.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use coalmine_core::Sighting;
use tokio::sync::{mpsc, oneshot, watch};

/// A segment that has grown beyond this is closed and the next one begun.
const MAX_SEGMENT: u64 = 4 * 1024 * 1024;
/// Bytes that may wait for a stalled disk; beyond, sightings are refused.
const MAX_PENDING: usize = 32 * 1024 * 1024;
/// Longest payload of a frame; longer ones are damage.
const MAX_FRAME: usize = 4 * 1024 * 1024;
/// Sightings in one batch of the tail.
const MAX_BATCH: usize = 1_000;
/// More bytes than that waiting to be delivered are a backlog.
const BACKLOG: u64 = 64 * 1024;
/// Bytes that the tail reads at once.
const READ_SIZE: usize = 256 * 1024;
/// Under load sightings gather before they're written and synced together, as long as more have come
/// in each of these steps,
const GATHER_STEP: Duration = Duration::from_millis(2);
/// for so many steps at most,
const MAX_GATHER_STEPS: u32 = 4;
/// or for so many where nobody waits for an answer.
const MAX_UNHURRIED_STEPS: u32 = 12;
/// Load is when the last sync was less than this ago; the first after a pause starts at once.
const LULL: Duration = Duration::from_millis(20);
/// Largest buffer kept from one group to the next.
const MAX_KEPT_BUFFER: usize = 256 * 1024;
/// Time between attempts to read a segment that the disk refuses.
const RETRY: Duration = Duration::from_secs(1);
const HEADER: usize = 8;

/// A place in the spool: segment number and bytes from its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Position {
    segment: u64,
    offset: u64,
}

/// The writing end; clones share it.
#[derive(Clone)]
pub(crate) struct Spool(Arc<Inner>);

struct Inner {
    pending: Mutex<Pending>,
    work: Condvar,
}

#[derive(Default)]
struct Pending {
    frames: Vec<u8>,
    tickets: Vec<oneshot::Sender<()>>,
    closing: bool,
    /// The writer sleeps until it's woken.
    idle: bool,
}

impl Pending {
    /// How many steps these sightings may gather.
    fn patience(&self) -> u32 {
        if self.tickets.iter().all(oneshot::Sender::is_closed) {
            MAX_UNHURRIED_STEPS
        } else {
            MAX_GATHER_STEPS
        }
    }
}

/// A group that has just reached the disk.
struct Group {
    /// Where it ends.
    end: Position,
    tickets: Vec<oneshot::Sender<()>>,
}

/// Resolves when the sighting is on disk.
pub(crate) type Ticket = oneshot::Receiver<()>;

/// So much waits for the disk that nothing more is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl Spool {
    /// Opens the spool in `dir`: the writing end, the reading end, and the writer's thread. Tickets
    /// are answered by a task on the calling runtime.
    pub(crate) fn open(dir: &Path) -> io::Result<(Self, Tail, JoinHandle<()>)> {
        fs::create_dir_all(dir)?;
        let old = segments(dir)?;
        let first = old.last().map_or(1, |last| last.saturating_add(1));
        let writer = Writer::begin(dir, first)?;
        let (durable, seen) = watch::channel(Position {
            segment: first,
            offset: 0,
        });
        let tail = Tail {
            dir: dir.to_owned(),
            at: Position {
                segment: old.first().copied().unwrap_or(first),
                offset: 0,
            },
            next: Position::default(),
            file: None,
            durable: seen,
        };
        let spool = Self(Arc::new(Inner {
            pending: Mutex::default(),
            work: Condvar::new(),
        }));
        let (groups, written) = mpsc::unbounded_channel();
        tokio::spawn(answer(written, durable));
        let inner = Arc::clone(&spool.0);
        let thread = std::thread::Builder::new()
            .name("spool".to_owned())
            .stack_size(256 * 1024)
            .spawn(move || writer.run(&inner, &groups))?;
        Ok((spool, tail, thread))
    }

    /// Appends `sighting`.
    pub(crate) fn push(&self, sighting: &Sighting) -> Result<Ticket, Full> {
        let (ticket, on_disk) = oneshot::channel();
        let mut pending = self.lock();
        if pending.frames.len() > MAX_PENDING || pending.closing {
            return Err(Full);
        }
        let start = pending.frames.len();
        pending.frames.extend_from_slice(&[0; HEADER]);
        if serde_json::to_writer(&mut pending.frames, sighting).is_err() {
            pending.frames.truncate(start);
            return Err(Full);
        }
        seal(&mut pending.frames, start);
        pending.tickets.push(ticket);
        let idle = std::mem::take(&mut pending.idle);
        drop(pending);
        if idle {
            self.0.work.notify_one();
        }
        Ok(on_disk)
    }

    /// Everything pushed so far is written, then the writer's thread ends.
    pub(crate) fn close(&self) {
        self.lock().closing = true;
        self.0.work.notify_one();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Pending> {
        self.0
            .pending
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Answers the tickets of each group. On the runtime of those that wait, since waking a runtime from
/// a foreign thread costs a system call: here it's one a group, not one a ticket.
async fn answer(mut written: mpsc::UnboundedReceiver<Group>, durable: watch::Sender<Position>) {
    while let Some(group) = written.recv().await {
        for ticket in group.tickets {
            let _ = ticket.send(());
        }
        durable.send_replace(group.end);
    }
}

/// Fills in the header of the frame that begins at `start`.
fn seal(frames: &mut [u8], start: usize) {
    let Some((header, payload)) = frames
        .get_mut(start..)
        .and_then(|frame| frame.split_at_mut_checked(HEADER))
    else {
        return;
    };
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    let crc = crc32fast::hash(payload);
    header.copy_from_slice(&(u64::from(crc) << 32 | u64::from(length)).to_le_bytes());
}

/// The thread that appends and syncs.
struct Writer {
    dir: PathBuf,
    file: File,
    at: Position,
    /// An attempt failed: the file may hold a torn frame.
    torn: bool,
}

impl Writer {
    fn begin(dir: &Path, segment: u64) -> io::Result<Self> {
        let file = OpenOptions::new()
            .create_new(true)
            .append(true)
            .open(segment_path(dir, segment))?;
        File::open(dir)?.sync_all()?;
        Ok(Self {
            dir: dir.to_owned(),
            file,
            at: Position { segment, offset: 0 },
            torn: false,
        })
    }

    fn run(mut self, inner: &Inner, groups: &mpsc::UnboundedSender<Group>) {
        let mut frames = Vec::new();
        let mut last: Option<Instant> = None;
        loop {
            let mut pending = inner.pending.lock().unwrap_or_else(PoisonError::into_inner);
            while pending.frames.is_empty() {
                if pending.closing {
                    return;
                }
                pending.idle = true;
                pending = inner
                    .work
                    .wait(pending)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            pending.idle = false;
            let loaded = last.is_some_and(|last| last.elapsed() < LULL);
            let mut step = 0;
            while loaded && step < pending.patience() && !pending.closing {
                let before = pending.frames.len();
                drop(pending);
                std::thread::sleep(GATHER_STEP);
                pending = inner.pending.lock().unwrap_or_else(PoisonError::into_inner);
                let more = pending.frames.len() > before;
                step = if more { step + 1 } else { u32::MAX };
            }
            std::mem::swap(&mut pending.frames, &mut frames);
            let tickets = std::mem::take(&mut pending.tickets);
            drop(pending);
            if !self.append(&frames, inner) {
                return;
            }
            let end = self.at;
            // Nobody listens any more when the runtime is going down; what's here is on disk.
            let _ = groups.send(Group { end, tickets });
            last = Some(Instant::now());
            frames.clear();
            frames.shrink_to(MAX_KEPT_BUFFER);
        }
    }

    /// Writes and syncs, however long the disk takes to recover. False when asked to close while
    /// the disk is down.
    fn append(&mut self, frames: &[u8], inner: &Inner) -> bool {
        let mut told = false;
        loop {
            match self.try_append(frames) {
                Ok(()) => {
                    if told {
                        tracing::info!("the spool can be written again");
                    }
                    return true;
                }
                Err(error) => {
                    if !told {
                        tracing::error!(%error, dir = %self.dir.display(), "the spool can't be written; sightings wait in memory");
                        told = true;
                    }
                }
            }
            std::thread::sleep(Duration::from_millis(500));
            if inner
                .pending
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .closing
            {
                return false;
            }
        }
    }

    fn try_append(&mut self, frames: &[u8]) -> io::Result<()> {
        if self.at.offset >= MAX_SEGMENT {
            *self = Self::begin(&self.dir, self.at.segment.saturating_add(1))?;
        }
        if self.torn {
            // Back to what is known good.
            self.file.set_len(self.at.offset)?;
        }
        self.torn = true;
        self.file.write_all(frames)?;
        self.file.sync_data()?;
        self.torn = false;
        let length = u64::try_from(frames.len()).unwrap_or(u64::MAX);
        self.at.offset = self.at.offset.saturating_add(length);
        Ok(())
    }
}

/// The reading end.
pub(crate) struct Tail {
    dir: PathBuf,
    at: Position,
    /// Where the batch that was handed out last ends.
    next: Position,
    file: Option<File>,
    durable: watch::Receiver<Position>,
}

impl Tail {
    /// The oldest sightings that haven't been delivered; waits until there are some. `None` when
    /// the spool is closed and all is delivered.
    pub(crate) async fn batch(&mut self) -> Option<Vec<Sighting>> {
        loop {
            let durable = *self.durable.borrow_and_update();
            if self.at < durable || self.at.segment < durable.segment {
                match self.read(durable) {
                    Ok(batch) if !batch.is_empty() => return Some(batch),
                    Ok(_) => {}
                    Err(error) => {
                        tracing::error!(%error, segment = self.at.segment, "a spool segment can't be read; trying again");
                        self.file = None;
                        tokio::time::sleep(RETRY).await;
                    }
                }
                if self.at < durable {
                    continue;
                }
            }
            if self.durable.changed().await.is_err() && self.at >= *self.durable.borrow() {
                return None;
            }
        }
    }

    /// The last batch is committed: it won't be handed out again.
    pub(crate) fn delivered(&mut self) {
        self.at = self.at.max(self.next);
    }

    /// Whether everything on disk has been delivered.
    pub(crate) fn is_empty(&self) -> bool {
        self.at >= *self.durable.borrow()
    }

    /// Whether more waits than gathers in a moment.
    pub(crate) fn has_backlog(&self) -> bool {
        let durable = *self.durable.borrow();
        self.at.segment < durable.segment || durable.offset.saturating_sub(self.at.offset) > BACKLOG
    }

    /// After everything was delivered and the writer has ended: nothing needs to be read again.
    pub(crate) fn clear(&mut self) {
        if self.is_empty() {
            self.file = None;
            remove(&self.dir, self.at.segment);
        }
    }

    /// Reads from `at` on, to `durable` at most. Steps to the next segment (and deletes this one)
    /// where this one has ended.
    fn read(&mut self, durable: Position) -> io::Result<Vec<Sighting>> {
        let last = self.at.segment == durable.segment;
        let bytes = self.chunk()?;
        let mut batch = Vec::new();
        let mut rest = bytes.as_slice();
        let mut read = self.at;
        while batch.len() < MAX_BATCH && !(last && read.offset >= durable.offset) {
            let Some((payload, after)) = frame(rest) else {
                break;
            };
            let length = rest.len().saturating_sub(after.len());
            read.offset = read
                .offset
                .saturating_add(u64::try_from(length).unwrap_or(u64::MAX));
            rest = after;
            match serde_json::from_slice(payload) {
                Ok(sighting) => batch.push(sighting),
                Err(error) => tracing::error!(%error, "a spooled sighting can't be understood"),
            }
        }
        self.next = read;
        if batch.is_empty() {
            if last {
                // Only damage inside what was durable brings us here; don't spin on it.
                self.at = durable;
            } else {
                self.file = None;
                remove(&self.dir, self.at.segment);
                self.at = Position {
                    segment: self.at.segment.saturating_add(1),
                    offset: 0,
                };
            }
        }
        Ok(batch)
    }

    fn chunk(&mut self) -> io::Result<Vec<u8>> {
        let file = match &mut self.file {
            Some(file) => file,
            none => match File::open(segment_path(&self.dir, self.at.segment)) {
                Ok(file) => none.insert(file),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
                Err(error) => return Err(error),
            },
        };
        let mut bytes = vec![0; READ_SIZE];
        let mut filled = 0;
        loop {
            let at = self
                .at
                .offset
                .saturating_add(u64::try_from(filled).unwrap_or(u64::MAX));
            let Some(space) = bytes.get_mut(filled..) else {
                break;
            };
            match file.read_at(space, at) {
                Ok(0) => break,
                Ok(n) => filled = filled.saturating_add(n),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            // One frame may be longer than the usual read.
            let needed = bytes
                .first_chunk::<4>()
                .map_or(0, |length| u32::from_le_bytes(*length) as usize)
                .saturating_add(HEADER);
            if filled == bytes.len() && needed > filled && needed <= MAX_FRAME {
                bytes.resize(needed, 0);
            } else if filled == bytes.len() {
                break;
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
    }
}

/// The first frame of `bytes` and what follows it; `None` where it's torn or damaged.
fn frame(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (header, rest) = bytes.split_first_chunk::<HEADER>()?;
    let header = u64::from_le_bytes(*header);
    let length = usize::try_from(header & 0xffff_ffff).ok()?;
    let (payload, rest) = rest.split_at_checked(length)?;
    (u64::from(crc32fast::hash(payload)) == header >> 32 && length > 0).then_some((payload, rest))
}

fn segment_path(dir: &Path, segment: u64) -> PathBuf {
    dir.join(format!("{segment:012}.spool"))
}

/// Numbers of the segments in `dir`, oldest first.
fn segments(dir: &Path) -> io::Result<Vec<u64>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        if let Some(number) = name.to_str().and_then(|n| n.strip_suffix(".spool")) {
            found.extend(number.parse::<u64>().ok());
        }
    }
    found.sort_unstable();
    Ok(found)
}

fn remove(dir: &Path, segment: u64) {
    match fs::remove_file(segment_path(dir, segment)) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => {
            tracing::error!(%error, segment, "a delivered spool segment can't be removed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use coalmine_core::{Endpoint, Subject, Timestamp};
    use std::borrow::Cow;

    fn sighting(n: u64) -> Sighting {
        Sighting {
            id: ulid::Ulid::from_parts(n, 1),
            at: Timestamp::from_secs(1),
            subject: Subject::Console,
            kind: Cow::Borrowed("probe"),
            logtype: 1,
            src: Endpoint::NONE,
            dst: Endpoint::NONE,
            fields: serde_json::value::RawValue::from_string(format!(
                "{{\"n\":{n},\"pad\":\"{}\"}}",
                "x".repeat(300)
            ))
            .unwrap(),
        }
    }

    async fn push(spool: &Spool, from: u64, to: u64) {
        let mut last = None;
        for n in from..to {
            last = Some(spool.push(&sighting(n)).unwrap());
        }
        last.unwrap().await.unwrap();
    }

    async fn drain(tail: &mut Tail, total: usize) -> Vec<u64> {
        let mut ids = Vec::new();
        while ids.len() < total {
            let batch = tail.batch().await.unwrap();
            ids.extend(batch.iter().map(|s| s.id.timestamp_ms()));
            tail.delivered();
        }
        ids
    }

    #[tokio::test]
    async fn what_was_pushed_comes_out_in_order_over_many_segments() {
        let dir = tempfile::tempdir().unwrap();
        let (spool, mut tail, thread) = Spool::open(dir.path()).unwrap();
        let mut all = Vec::new();
        for round in 0..6 {
            push(&spool, round * 5_000, (round + 1) * 5_000).await;
            all.extend(drain(&mut tail, 5_000).await);
        }
        assert_eq!(all, (0..30_000).collect::<Vec<_>>());
        assert!(
            segments(dir.path()).unwrap().len() <= 2,
            "delivered ones are gone"
        );
        spool.close();
        thread.join().unwrap();
        assert!(tail.batch().await.is_none());
        tail.clear();
        assert!(segments(dir.path()).unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_batch_is_repeated_until_it_is_delivered() {
        let dir = tempfile::tempdir().unwrap();
        let (spool, mut tail, _thread) = Spool::open(dir.path()).unwrap();
        push(&spool, 0, 3).await;
        assert_eq!(tail.batch().await.unwrap().len(), 3);
        assert_eq!(tail.batch().await.unwrap().len(), 3);
        tail.delivered();
        assert!(tail.is_empty());
    }

    #[tokio::test]
    async fn after_a_crash_everything_undelivered_is_read_again_and_torn_ends_are_skipped() {
        let dir = tempfile::tempdir().unwrap();
        {
            let (spool, _tail, thread) = Spool::open(dir.path()).unwrap();
            push(&spool, 0, 10).await;
            spool.close();
            thread.join().unwrap();
        }
        let mut torn = OpenOptions::new()
            .append(true)
            .open(segment_path(dir.path(), 1))
            .unwrap();
        torn.write_all(&[77, 0, 0, 0, 1, 2, 3, 4, b'{']).unwrap();
        let (spool, mut tail, _thread) = Spool::open(dir.path()).unwrap();
        push(&spool, 10, 12).await;
        assert_eq!(drain(&mut tail, 12).await, (0..12).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn a_closed_spool_refuses() {
        let dir = tempfile::tempdir().unwrap();
        let (spool, _tail, thread) = Spool::open(dir.path()).unwrap();
        spool.close();
        thread.join().unwrap();
        assert_eq!(spool.push(&sighting(1)).err(), Some(Full));
    }

    #[test]
    fn damage_is_told_from_a_frame() {
        let mut bytes = vec![0; HEADER];
        bytes.extend_from_slice(b"{}");
        seal(&mut bytes, 0);
        assert_eq!(frame(&bytes), Some((&b"{}"[..], &b""[..])));
        assert_eq!(frame(&bytes[..9]), None);
        bytes[8] ^= 1;
        assert_eq!(frame(&bytes), None);
        assert_eq!(frame(&[0; 16]), None);
    }
}
