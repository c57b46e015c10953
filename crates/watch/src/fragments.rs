//! Just enough reassembly to see a TCP header that was sent in pieces (`nmap -f`): its first 60
//! bytes, bounded in number and time.

use std::net::IpAddr;
use std::time::Duration;

use coalmine_core::Timestamp;

use crate::lru::Lru;

/// Segments under reassembly.
const MAX_SEGMENTS: usize = 512;
/// How long one may take (the kernel's own default, `ipfrag_time`).
const MAX_TIME: Duration = Duration::from_secs(30);
/// Longest TCP header, in bytes (RFC 9293 section 3.1).
const MAX_HEADER: usize = 60;

/// Segments whose header isn't whole yet.
pub(crate) struct Fragments {
    open: Lru<Key, Piece>,
}

/// What belongs together (RFC 791 section 2.3); only TCP comes here.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) src: IpAddr,
    pub(crate) dst: IpAddr,
    pub(crate) id: u32,
}

struct Piece {
    since: Timestamp,
    bytes: [u8; MAX_HEADER],
    /// A bit for each byte that has come.
    have: u64,
    /// Where the segment ends, once its last part has come.
    end: Option<usize>,
}

impl Fragments {
    pub(crate) fn new() -> Self {
        Self {
            open: Lru::new(MAX_SEGMENTS),
        }
    }

    /// Adds a part; the header's bytes once they're whole.
    pub(crate) fn add(
        &mut self,
        key: Key,
        (offset, more, bytes): (usize, bool, &[u8]),
        now: Timestamp,
    ) -> Option<Vec<u8>> {
        if self
            .open
            .get(&key)
            .is_some_and(|piece| now.since(piece.since) > MAX_TIME)
        {
            self.open.remove(&key);
        }
        let piece = self.open.get_or_insert_with(key, || Piece {
            since: now,
            bytes: [0; MAX_HEADER],
            have: 0,
            end: None,
        });
        for (at, byte) in (offset..MAX_HEADER).zip(bytes) {
            if let Some(place) = piece.bytes.get_mut(at) {
                *place = *byte;
                piece.have |= 1 << at;
            }
        }
        if !more {
            piece.end = Some(offset.saturating_add(bytes.len()));
        }
        let whole = usize::try_from(piece.have.trailing_ones()).unwrap_or(0);
        let header = piece
            .bytes
            .get(12)
            .filter(|_| whole > 12)
            .map(|offset| usize::from(offset >> 4).saturating_mul(4))?;
        if whole < header.max(20) {
            // A segment that ends before its header does is no segment.
            if piece.end.is_some_and(|end| whole >= end) {
                self.open.remove(&key);
            }
            return None;
        }
        let bytes = piece.bytes.get(..header.max(20)).map(<[u8]>::to_vec);
        self.open.remove(&key);
        bytes
    }
}
