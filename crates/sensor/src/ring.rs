//! A packet socket whose frames the kernel lays into shared memory: `AF_PACKET`, `TPACKET_V3`
//! (Linux `Documentation/networking/packet_mmap.rst`).
//!
//! The one module of this crate with `unsafe`: three socket options, a bind and the mapping have no
//! safe wrapper. Everything read from the ring is read from a checked slice.
#![expect(unsafe_code, reason = "system calls without a safe wrapper")]

use std::ffi::c_void;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use socket2::{Domain, Protocol, SockFilter, Socket, Type};

/// Bytes of one block; the kernel hands over whole blocks.
const BLOCK: usize = 128 * 1024;
/// Blocks of the ring.
const BLOCKS: usize = 16;
/// Upper bound of a slot, wanted by the interface and without meaning in version 3.
const FRAME: usize = 2_048;
/// A block that isn't full is handed over after so many milliseconds.
const RETIRE_MS: u32 = 40;
/// Bytes kept of each frame's network layer: headers with all options, and a look at what follows.
const SNAP: u32 = 192;

/// Offsets in a block's head (`struct tpacket_block_desc`).
mod block {
    pub(super) const STATUS: usize = 8;
    pub(super) const COUNT: usize = 12;
    pub(super) const FIRST: usize = 16;
}
/// Offsets in a frame's head (`struct tpacket3_hdr`, then `struct sockaddr_ll`).
mod head {
    pub(super) const NEXT: usize = 0;
    pub(super) const SECONDS: usize = 4;
    pub(super) const NANOSECONDS: usize = 8;
    pub(super) const SNAPLEN: usize = 12;
    pub(super) const LINK: usize = 24;
    pub(super) const NETWORK: usize = 26;
    pub(super) const PROTOCOL: usize = 50;
    pub(super) const HARDWARE: usize = 56;
    pub(super) const KIND: usize = 58;
}

/// `ARPHRD_ETHER`: only there a link header is an Ethernet one.
const ETHERNET: u16 = 1;
/// `PACKET_HOST` and `PACKET_OUTGOING`.
const TO_US: u8 = 0;
const FROM_US: u8 = 4;

/// A frame in the ring.
pub(crate) struct RingFrame<'a> {
    /// Microseconds since 1970.
    pub(crate) micros: i64,
    pub(crate) ether_type: u16,
    pub(crate) link: &'a [u8],
    pub(crate) network: &'a [u8],
    pub(crate) outgoing: bool,
}

/// An open packet socket with its ring, on all interfaces but loopback.
pub(crate) struct Ring {
    socket: Socket,
    memory: NonNull<c_void>,
    /// The block that comes next.
    next: usize,
}

// SAFETY: the mapping belongs to this value alone and isn't tied to a thread.
unsafe impl Send for Ring {}

impl Ring {
    /// Opens it. Needs `CAP_NET_RAW`, only now.
    pub(crate) fn open() -> io::Result<Self> {
        // Protocol 0: nothing comes before the filter is in place.
        let socket = Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(0)))?;
        socket.attach_filter(&filter())?;
        set(
            &socket,
            libc::PACKET_VERSION,
            &(libc::tpacket_versions::TPACKET_V3 as libc::c_int),
        )?;
        let request = libc::tpacket_req3 {
            tp_block_size: BLOCK as libc::c_uint,
            tp_block_nr: BLOCKS as libc::c_uint,
            tp_frame_size: FRAME as libc::c_uint,
            tp_frame_nr: (BLOCK / FRAME * BLOCKS) as libc::c_uint,
            tp_retire_blk_tov: RETIRE_MS,
            tp_sizeof_priv: 0,
            tp_feature_req_word: 0,
        };
        set(&socket, libc::PACKET_RX_RING, &request)?;
        // SAFETY: a new mapping at an address of the kernel's choice; it's unmapped in `drop`.
        let memory = unsafe {
            mmap(
                std::ptr::null_mut(),
                BLOCK * BLOCKS,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
                &socket,
                0,
            )
        }?;
        let memory = NonNull::new(memory).ok_or_else(|| io::Error::other("mapped at zero"))?;
        let ring = Self {
            socket,
            memory,
            next: 0,
        };
        ring.bind()?;
        Ok(ring)
    }

    /// Listens to every protocol on every interface.
    fn bind(&self) -> io::Result<()> {
        // SAFETY: all-zero is a valid `sockaddr_ll`.
        let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
        // SAFETY: the address outlives the call and its size is given.
        let status = unsafe {
            libc::bind(
                self.socket.as_raw_fd(),
                (&raw const address).cast(),
                size_of::<libc::sockaddr_ll>() as libc::socklen_t,
            )
        };
        if status == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    }

    /// Hands every frame of the blocks that are ready to `take`. Whether there was any block.
    pub(crate) fn drain(&mut self, mut take: impl FnMut(RingFrame<'_>)) -> bool {
        let mut any = false;
        // At most one round: a flood must not keep us from the clock.
        for _ in 0..BLOCKS {
            let offset = self.next * BLOCK;
            // SAFETY: `next` is below `BLOCKS`, so the block lies inside the mapping.
            let start = unsafe { self.memory.as_ptr().cast::<u8>().add(offset) };
            // SAFETY: the status word is aligned, inside the block, and shared with the kernel.
            let status = unsafe { AtomicU32::from_ptr(start.add(block::STATUS).cast()) };
            if status.load(Ordering::Acquire) & libc::TP_STATUS_USER == 0 {
                break;
            }
            any = true;
            // SAFETY: the block is ours until its status says otherwise; the slice ends before.
            let bytes = unsafe { std::slice::from_raw_parts(start, BLOCK) };
            frames(bytes, &mut take);
            status.store(libc::TP_STATUS_KERNEL, Ordering::Release);
            self.next = (self.next + 1) % BLOCKS;
        }
        any
    }

    /// Frames that the ring had no room for since the last call.
    pub(crate) fn lost(&self) -> io::Result<u32> {
        // SAFETY: all-zero is a valid `tpacket_stats_v3`.
        let mut stats: libc::tpacket_stats_v3 = unsafe { std::mem::zeroed() };
        let mut size = size_of::<libc::tpacket_stats_v3>() as libc::socklen_t;
        // SAFETY: the kernel writes at most `size` bytes into `stats`.
        let status = unsafe {
            libc::getsockopt(
                self.socket.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_STATISTICS,
                (&raw mut stats).cast(),
                &raw mut size,
            )
        };
        if status == 0 {
            Ok(stats.tp_drops)
        } else {
            Err(io::Error::last_os_error())
        }
    }
}

impl AsFd for Ring {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: this is the mapping that `open` made, and nothing refers to it any more.
        let _ = unsafe { munmap(self.memory.as_ptr(), BLOCK * BLOCKS) };
    }
}

/// Sets an option of the packet level.
fn set<T>(socket: &Socket, option: libc::c_int, value: &T) -> io::Result<()> {
    // SAFETY: the value outlives the call and its size is given.
    let status = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            option,
            std::ptr::from_ref(value).cast(),
            size_of::<T>() as libc::socklen_t,
        )
    };
    if status == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// The frames of a block.
fn frames(block: &[u8], take: &mut impl FnMut(RingFrame<'_>)) {
    let count = u32_at(block, block::COUNT).unwrap_or(0);
    let mut at = u32_at(block, block::FIRST).unwrap_or(0);
    for _ in 0..count {
        let Some(bytes) = usize::try_from(at).ok().and_then(|at| block.get(at..)) else {
            return;
        };
        let Some((frame, next)) = frame(bytes) else {
            return;
        };
        if let Some(frame) = frame {
            take(frame);
        }
        at = at.saturating_add(next);
    }
}

/// The frame at the front, if it's one to look at, and where the next one is.
fn frame(bytes: &[u8]) -> Option<(Option<RingFrame<'_>>, u32)> {
    let next = u32_at(bytes, head::NEXT)?;
    let link = usize::from(u16_at(bytes, head::LINK)?);
    let network = usize::from(u16_at(bytes, head::NETWORK)?);
    let kind = *bytes.get(head::KIND)?;
    if kind != TO_US && kind != FROM_US {
        return Some((None, next));
    }
    let captured = usize::try_from(u32_at(bytes, head::SNAPLEN)?).ok()?;
    let end = link.checked_add(captured)?;
    let ethernet = u16_at(bytes, head::HARDWARE)? == ETHERNET;
    let protocol = bytes.get(head::PROTOCOL..)?.first_chunk::<2>()?;
    let seconds = i64::from(u32_at(bytes, head::SECONDS)?);
    let micros = i64::from(u32_at(bytes, head::NANOSECONDS)?) / 1_000;
    let frame = RingFrame {
        micros: seconds.saturating_mul(1_000_000).saturating_add(micros),
        ether_type: u16::from_be_bytes(*protocol),
        link: bytes
            .get(link..network)
            .filter(|_| ethernet)
            .unwrap_or_default(),
        network: bytes.get(network..end)?,
        outgoing: kind == FROM_US,
    };
    Some((Some(frame), next))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes
        .get(at..)?
        .first_chunk()
        .copied()
        .map(u32::from_ne_bytes)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes
        .get(at..)?
        .first_chunk()
        .copied()
        .map(u16::from_ne_bytes)
}

/// Classic BPF, run by the kernel on every frame: passes what says something about a scan, so that
/// the bytes of conversations cost nothing. TCP without ACK, or with SYN or RST; TCP fragments;
/// UDP; ICMP; whatever stands behind a VLAN tag or an IPv6 extension header.
fn filter() -> Vec<SockFilter> {
    // Operations (linux/bpf_common.h, linux/filter.h).
    const LOAD_WORD: u16 = 0x20;
    const LOAD_HALF: u16 = 0x28;
    const LOAD_BYTE: u16 = 0x30;
    const LOAD_BYTE_AT_X: u16 = 0x50;
    const IF_EQUAL: u16 = 0x15;
    const IF_SET: u16 = 0x45;
    const AND: u16 = 0x54;
    const SHIFT_LEFT: u16 = 0x64;
    const TO_X: u16 = 0x07;
    const RETURN: u16 = 0x06;
    // Ancillary data and the network header (SKF_AD_OFF, SKF_NET_OFF).
    const PROTOCOL: u32 = 0xffff_f000;
    const HARDWARE: u32 = 0xffff_f000 + 28;
    const NETWORK: u32 = 0xfff0_0000;
    const LOOPBACK: u32 = 772;

    let op = |code, k| SockFilter::new(code, 0, 0, k);
    let jump = |code, k, yes, no| SockFilter::new(code, yes, no, k);
    vec![
        op(LOAD_WORD, HARDWARE),
        jump(IF_EQUAL, LOOPBACK, 28, 0), // drop
        op(LOAD_WORD, PROTOCOL),
        jump(IF_EQUAL, 0x0800, 4, 0),  // IPv4
        jump(IF_EQUAL, 0x86dd, 16, 0), // IPv6
        jump(IF_EQUAL, 0x8100, 23, 0), // pass
        jump(IF_EQUAL, 0x88a8, 22, 0), // pass
        op(RETURN, 0),
        // IPv4: what it carries.
        op(LOAD_BYTE, NETWORK + 9),
        jump(IF_EQUAL, 17, 19, 0), // pass
        jump(IF_EQUAL, 1, 18, 0),  // pass
        jump(IF_EQUAL, 6, 0, 18),  // drop what isn't TCP
        op(LOAD_HALF, NETWORK + 6),
        jump(IF_SET, 0x3fff, 15, 0), // pass fragments
        op(LOAD_BYTE, NETWORK),
        op(AND, 0x0f),
        op(SHIFT_LEFT, 2),
        op(TO_X, 0),
        op(LOAD_BYTE_AT_X, NETWORK + 13),
        jump(IF_SET, 0x06, 9, 0), // pass SYN, RST
        jump(IF_SET, 0x10, 9, 8), // drop ACK, pass without
        // IPv6: what it carries.
        op(LOAD_BYTE, NETWORK + 6),
        jump(IF_EQUAL, 6, 3, 0),
        jump(IF_EQUAL, 17, 5, 0), // pass
        jump(IF_EQUAL, 58, 4, 0), // pass
        jump(IF_EQUAL, 59, 4, 3), // no next header: drop; an extension: pass
        op(LOAD_BYTE, NETWORK + 40 + 13),
        jump(IF_SET, 0x06, 1, 0), // pass SYN, RST
        jump(IF_SET, 0x10, 1, 0), // drop ACK
        op(RETURN, SNAP),
        op(RETURN, 0),
    ]
}
