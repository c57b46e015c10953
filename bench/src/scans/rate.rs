//! How many frames the reader of packets keeps up with, and what one costs.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use coalmine_bench::say;

use crate::lab::{Lab, enter};
use crate::packet;
use crate::program::{Program, cpu};

/// Frames of a call.
const BATCH: usize = 64;
/// Ports of the scan inside each flood: a frame of it that was missed is a port not told.
const MARKED: usize = 1_000;
/// No flood lasts longer.
const MAX_FLOOD: Duration = Duration::from_secs(20);

/// Frames, frames a second (0: as fast as it goes) and sources of a flood.
const FLOODS: &[(usize, usize, usize)] = &[
    (200_000, 20_000, 16),
    (400_000, 60_000, 16),
    (800_000, 0, 16),
    (800_000, 0, 60_000),
];

/// Floods the program and a reader without a ring, and prints what each made of it.
pub fn run(coalmine: &Path) -> Result<()> {
    let mut lab = Lab::new()?;
    let (flooder, _) = lab.host()?;
    say("| reader | wanted/s | sources | offered/s | missed | CPU µs/frame | RSS MB |");
    say("|---|---|---|---|---|---|---|");
    for &(frames, rate, sources) in FLOODS {
        let (offered, came, dropped, spent) = naive(&flooder, frames, rate, sources)?;
        say(&format!(
            "| recv loop | {} | {sources} | {offered:.0} | {dropped} of {came} frames | {:.2} | |",
            wanted(rate),
            spent.as_secs_f64() * 1e6 / frames as f64
        ));
    }
    let program = Program::start(coalmine)?;
    std::thread::sleep(Duration::from_secs(3));
    let (before, idle) = (
        cpu(program.pid(), None)?,
        coalmine_bench::rss(program.pid())?,
    );
    std::thread::sleep(Duration::from_secs(5));
    let spent = cpu(program.pid(), None)?.saturating_sub(before);
    for (mark, &(frames, rate, sources)) in (1..).zip(FLOODS) {
        let before = cpu(program.pid(), Some("packets"))?;
        let offered = flood(&flooder, frames, rate, sources, mark)?;
        std::thread::sleep(Duration::from_secs(2));
        let spent = cpu(program.pid(), Some("packets"))?.saturating_sub(before);
        let told = told(&program, mark)?;
        say(&format!(
            "| Coalmine | {} | {sources} | {offered:.0} | {} of {MARKED} marked | {:.2} | {:.1} |",
            wanted(rate),
            MARKED - told,
            spent.as_secs_f64() * 1e6 / frames as f64,
            coalmine_bench::rss(program.pid())?
        ));
    }
    say(&format!(
        "\nIdle: {idle:.1} MB, {} ms of CPU in 5 s (the whole program).",
        spent.as_millis()
    ));
    Ok(())
}

fn wanted(rate: usize) -> String {
    if rate == 0 {
        "all".to_owned()
    } else {
        rate.to_string()
    }
}

/// Sends a flood from the flooder's machine; frames a second that went out.
fn flood(flooder: &str, frames: usize, rate: usize, sources: usize, mark: u8) -> Result<f64> {
    let work = || {
        enter(flooder)?;
        let socket = packet::open("eth0", false)?;
        let mut batch = [frame(); BATCH];
        let (start, mut made, mut sent) = (Instant::now(), 0, 0);
        while made < frames && start.elapsed() < MAX_FLOOD {
            for frame in &mut batch {
                fill(frame, made, frames / MARKED, sources, mark);
                made += 1;
            }
            sent += packet::send(&socket, &mut batch)?;
            while rate != 0 && made as f64 > start.elapsed().as_secs_f64() * rate as f64 {
                std::thread::sleep(Duration::from_micros(200));
            }
        }
        Ok(sent as f64 / start.elapsed().as_secs_f64())
    };
    std::thread::scope(|scope| scope.spawn(work).join())
        .map_err(|_| anyhow!("the flood panicked"))?
}

/// The reader without a ring: rate offered, frames that came, those dropped, CPU.
fn naive(
    flooder: &str,
    frames: usize,
    rate: usize,
    sources: usize,
) -> Result<(f64, u32, u32, Duration)> {
    let mut socket = packet::open("eth0", true)?;
    socket.set_read_timeout(Some(Duration::from_millis(100)))?;
    let statistics = socket.try_clone()?;
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let read = || {
            let mut buffer = [0; 2_048];
            while !done.load(Ordering::Relaxed) {
                // A timeout is a chance to look whether it's over.
                let _ = socket.read(&mut buffer);
            }
            cpu(std::process::id(), Some("naive"))
        };
        let reader = std::thread::Builder::new()
            .name("naive".to_owned())
            .spawn_scoped(scope, read)?;
        let offered = flood(flooder, frames, rate, sources, 200);
        std::thread::sleep(Duration::from_secs(1));
        done.store(true, Ordering::Relaxed);
        let spent = reader
            .join()
            .map_err(|_| anyhow!("the reader panicked"))??;
        let (came, dropped) = packet::statistics(&statistics)?;
        Ok((offered?, came, dropped, spent))
    })
}

/// How many ports of the marked scan the program told, once that no longer grows.
fn told(program: &Program, mark: u8) -> Result<usize> {
    let source = format!("10.77.3.{mark}");
    let mut told = BTreeSet::new();
    let mut end = Instant::now() + Duration::from_secs(12);
    while told.len() < MARKED && Instant::now() < end {
        std::thread::sleep(Duration::from_secs(1));
        let before = told.len();
        for incident in program.incidents(&source)? {
            for event in incident["events"].as_array().into_iter().flatten() {
                let ports = event["ports"].as_str().unwrap_or_default().split(',');
                told.extend(ports.filter_map(|p| p.parse::<u16>().ok()));
            }
        }
        if told.len() > before {
            end = Instant::now() + Duration::from_secs(12);
        }
    }
    Ok(told.len().min(MARKED))
}

/// A SYN to the bird without addresses.
fn frame() -> [u8; 54] {
    let mut frame = [0; 54];
    frame[..16].copy_from_slice(&[2, 0x77, 0, 0, 0, 0x0b, 2, 0x77, 0, 0, 1, 3, 8, 0, 0x45, 0]);
    frame[16..26].copy_from_slice(&[0, 40, 0, 1, 0, 0, 64, 6, 0, 0]);
    frame[30..36].copy_from_slice(&[10, 77, 0, 11, 0x9c, 0x40]);
    frame[41] = 1;
    frame[46..50].copy_from_slice(&[0x50, 2, 4, 0]);
    frame
}

/// Addresses frame `n`: every `every`th belongs to the marked scan.
fn fill(frame: &mut [u8; 54], n: usize, every: usize, sources: usize, mark: u8) {
    let ([.., high, low], port) = if n.is_multiple_of(every) {
        ([0, 0, 0, 0, 0, 0, 3, mark], n / every % MARKED + 1)
    } else {
        // From 10.77.16.0 on, clear of the machines there are.
        let number = 0x1000 + n % sources % 0xe000;
        (number.to_be_bytes(), n / sources % 60_000 + 1)
    };
    frame[26..30].copy_from_slice(&[10, 77, high, low]);
    frame[36..38].copy_from_slice(&(port as u16).to_be_bytes());
    frame[24..26].fill(0);
    let words = frame[14..34].as_chunks::<2>().0.iter();
    let sum: u32 = words.map(|w| u32::from(u16::from_be_bytes(*w))).sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = !(sum + (sum >> 16)) as u16;
    frame[24..26].copy_from_slice(&sum.to_be_bytes());
}
