//! The process that the controller controls: control loops whose measured values follow their
//! setpoints, pumps, counters. Values are a function of the bird's seed, of time, and of what was
//! written; writes to measured values are taken and overwritten at once, as a program's next cycle
//! does.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use coalmine_core::{Seed, Timestamp};

use super::{Exception, IllegalDataAddress};

/// Control loops, and registers of each.
const LOOPS: u16 = 8;
const LOOP_WORDS: u16 = 10;
/// Pumps and valves: coils that command them, inputs that tell that they run.
const DRIVES: u16 = 16;
/// First of the holding registers that count.
const TOTALS: u16 = LOOPS * LOOP_WORDS;
/// Longest queue of function 24 (the protocol, section 6.18).
const MAX_QUEUE: u64 = 31;

/// Tables of bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bits {
    Coils,
    Inputs,
}

/// Tables of registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Words {
    Holding,
    Inputs,
}

/// Reads one place of a table.
type Reads<T> = fn(&Process, &Written, u16, Timestamp) -> T;

pub(super) struct Process {
    seed: Seed,
    booted: Timestamp,
    /// How many coils, discrete inputs, holding and input registers there are.
    coils: u16,
    inputs: u16,
    holding: u16,
    measured: u16,
    /// Holding register of the queue.
    queue: u16,
    loops: Vec<Loop>,
    /// Time between two products, in milliseconds.
    beat: u64,
    /// Products made before the boot.
    made: u64,
    /// What was written; no larger than the tables.
    written: Mutex<Written>,
}

/// What a loop was made with.
struct Loop {
    setpoint: u16,
    /// Proportional gain in hundredths, reset time and rate time in seconds.
    tuning: [u16; 3],
    /// How long the process takes to follow by two thirds, in seconds.
    lag: f64,
    /// How far it strays, in tenths.
    stray: f64,
    /// Two waves: period in seconds and phase.
    waves: [(f64, f64); 2],
}

#[derive(Default)]
struct Written {
    coils: BTreeMap<u16, bool>,
    words: BTreeMap<u16, u16>,
    /// By loop: when its setpoint was changed, and where the process was.
    changes: BTreeMap<u16, (Timestamp, f64)>,
}

impl Process {
    pub(super) fn new(seed: &Seed, booted: Timestamp) -> Self {
        let small = |label: &str, low: u64, high: u64| {
            u16::try_from(seed.number(label, low, high)).unwrap_or_default()
        };
        let size = |label: &str| {
            let sizes = [128, 160, 200, 256, 300, 400, 500, 512];
            sizes
                .get(usize::from(small(label, 0, 8)))
                .copied()
                .unwrap_or(128)
        };
        let holding = size("holding");
        Self {
            booted,
            coils: size("coils"),
            inputs: size("inputs"),
            holding,
            measured: size("measured"),
            queue: small("queue", u64::from(TOTALS) + 10, u64::from(holding)),
            loops: (0..LOOPS)
                .map(|n| Loop::new(&seed.derive(&format!("loop {n}"))))
                .collect(),
            beat: seed.number("beat", 1_900, 14_000),
            made: seed.number("made", 40_000, 2_000_000),
            written: Mutex::default(),
            seed: seed.clone(),
        }
    }

    pub(super) fn read_bits(
        &self,
        table: Bits,
        address: u16,
        count: u16,
        now: Timestamp,
    ) -> Result<Vec<bool>, Exception> {
        let (size, one): (_, Reads<bool>) = match table {
            Bits::Coils => (self.coils, |process, written, n, _| {
                process.coil(written, n)
            }),
            Bits::Inputs => (self.inputs, Self::input),
        };
        let end = end(address, count, size)?;
        let written = self.lock();
        Ok((address..end)
            .map(|n| one(self, &written, n, now))
            .collect())
    }

    pub(super) fn read_words(
        &self,
        table: Words,
        address: u16,
        count: u16,
        now: Timestamp,
    ) -> Result<Vec<u16>, Exception> {
        let (size, one): (_, Reads<u16>) = match table {
            Words::Holding => (self.holding, Self::held),
            Words::Inputs => (self.measured, Self::measured),
        };
        let end = end(address, count, size)?;
        let written = self.lock();
        Ok((address..end)
            .map(|n| one(self, &written, n, now))
            .collect())
    }

    /// All of it or nothing.
    pub(super) fn write_bits(&self, address: u16, values: &[bool]) -> Result<(), Exception> {
        let count = u16::try_from(values.len()).map_err(|_| IllegalDataAddress)?;
        let end = end(address, count, self.coils)?;
        self.lock()
            .coils
            .extend((address..end).zip(values.iter().copied()));
        Ok(())
    }

    /// All of it or nothing.
    pub(super) fn write_words(
        &self,
        address: u16,
        values: &[u16],
        now: Timestamp,
    ) -> Result<(), Exception> {
        let count = u16::try_from(values.len()).map_err(|_| IllegalDataAddress)?;
        let end = end(address, count, self.holding)?;
        let mut written = self.lock();
        for (n, value) in (address..end).zip(values) {
            if let (Some(number), 1) = (loop_of(n), n % LOOP_WORDS)
                && self.held(&written, n, now) != *value
            {
                let from = self.followed(&written, number, now);
                written.changes.insert(number, (now, from));
            }
            written.words.insert(n, *value);
        }
        Ok(())
    }

    /// The queue of which `address` is the pointer: codes of the last alarms, about one an hour.
    pub(super) fn fifo(&self, address: u16, now: Timestamp) -> Result<Vec<u16>, Exception> {
        if address != self.queue {
            return Err(IllegalDataAddress);
        }
        let hours = now.since(self.booted).as_secs() / 3_600;
        let count = hours.min(MAX_QUEUE);
        let codes = (hours.saturating_sub(count)..hours).map(|hour| {
            let code = self.seed.number(&format!("alarm {hour}"), 101, 164);
            u16::try_from(code).unwrap_or_default()
        });
        Ok(codes.collect())
    }

    /// A drive's command.
    fn coil(&self, written: &Written, n: u16) -> bool {
        let of_old = n < DRIVES && self.seed.number(&format!("coil {n}"), 0, 3) > 0;
        written.coils.get(&n).copied().unwrap_or(of_old)
    }

    /// Drives that run, alarms of the loops, the pulse of the controller.
    fn input(&self, written: &Written, n: u16, now: Timestamp) -> bool {
        match n {
            0..DRIVES => self.coil(written, n),
            16..24 => self.alarms(written, n.saturating_sub(16), now) != 0,
            24 => now.secs() % 2 == 0,
            25 => true,
            _ => false,
        }
    }

    /// A holding register.
    fn held(&self, written: &Written, n: u16, now: Timestamp) -> u16 {
        let Some(number) = loop_of(n) else {
            return self.total(written, n, now);
        };
        let Some(parts) = self.loops.get(usize::from(number)) else {
            return 0;
        };
        let of_old = match n % LOOP_WORDS {
            0 => return self.value(written, number, now),
            1 => parts.setpoint,
            2 => return self.output(written, number, now),
            place @ 3..=5 => {
                let at = usize::from(place.saturating_sub(3));
                parts.tuning.get(at).copied().unwrap_or_default()
            }
            6 => parts.setpoint.saturating_add(parts.setpoint / 5),
            7 => parts.setpoint.saturating_sub(parts.setpoint / 5),
            // Automatic.
            8 => 1,
            _ => return self.alarms(written, number, now),
        };
        written.words.get(&n).copied().unwrap_or(of_old)
    }

    /// Holding registers behind the loops: products and seconds of work in two words each, the
    /// batch, the recipe; the rest is free.
    fn total(&self, written: &Written, n: u16, now: Timestamp) -> u16 {
        let products = self.products(now);
        let worked = now.since(self.booted).as_secs();
        match n.saturating_sub(TOTALS) {
            0 => low(products >> 16),
            1 => low(products),
            2 => low(worked >> 16),
            3 => low(worked),
            4 => low(products / 500),
            5 => {
                let of_old = low(self.seed.number("recipe", 1, 12));
                written.words.get(&n).copied().unwrap_or(of_old)
            }
            _ if n == self.queue => low((worked / 3_600).min(MAX_QUEUE)),
            _ => written.words.get(&n).copied().unwrap_or_default(),
        }
    }

    /// Input registers: the measured values, the currents of the drives in tenths of an ampere, the
    /// products.
    fn measured(&self, written: &Written, n: u16, now: Timestamp) -> u16 {
        match n {
            0..LOOPS => self.value(written, n, now),
            8..24 => {
                let drive = n.saturating_sub(8);
                if !self.coil(written, drive) {
                    return 0;
                }
                let usual = low(self.seed.number(&format!("current {drive}"), 14, 380));
                usual.saturating_add(self.noise(n, 4, now))
            }
            24 => low(self.products(now) >> 16),
            25 => low(self.products(now)),
            _ => 0,
        }
    }

    fn products(&self, now: Timestamp) -> u64 {
        let millis = now.since(self.booted).as_millis();
        let made = u64::try_from(millis).unwrap_or(0) / self.beat.max(1);
        self.made.saturating_add(made)
    }

    /// What loop `number` measures.
    fn value(&self, written: &Written, number: u16, now: Timestamp) -> u16 {
        let Some(parts) = self.loops.get(usize::from(number)) else {
            return 0;
        };
        let time = now.millis() as f64 / 1_000.0;
        let [slow, fast] = parts
            .waves
            .map(|(period, phase)| (time / period + phase).sin());
        let strays = parts.stray * (0.7 * slow + 0.3 * fast);
        let value = self.followed(written, number, now) + strays;
        // Casting saturates.
        (value.round() as u16).saturating_add(self.noise(number, 2, now))
    }

    /// How far the process has followed the setpoint.
    fn followed(&self, written: &Written, number: u16, now: Timestamp) -> f64 {
        let Some(parts) = self.loops.get(usize::from(number)) else {
            return 0.0;
        };
        let at = number.saturating_mul(LOOP_WORDS).saturating_add(1);
        let wanted = f64::from(self.held(written, at, now));
        match written.changes.get(&number) {
            None => wanted,
            Some((when, from)) => {
                let gone = now.since(*when).as_secs_f64();
                wanted + (from - wanted) * (-gone / parts.lag).exp()
            }
        }
    }

    /// The loop's output in tenths of a percent: more where the process is below its setpoint.
    fn output(&self, written: &Written, number: u16, now: Timestamp) -> u16 {
        let at = number.saturating_mul(LOOP_WORDS);
        let wanted = f64::from(self.held(written, at.saturating_add(1), now));
        let value = f64::from(self.value(written, number, now));
        let rest = f64::from(low(self.seed.number(&format!("output {number}"), 300, 700)));
        (rest + 4.0 * (wanted - value)).clamp(0.0, 1_000.0) as u16
    }

    /// Bit 0: above the high alarm; bit 1: below the low one.
    fn alarms(&self, written: &Written, number: u16, now: Timestamp) -> u16 {
        let at = number.saturating_mul(LOOP_WORDS);
        let value = self.value(written, number, now);
        let limit = |place| self.held(written, at.saturating_add(place), now);
        u16::from(value > limit(6)) | u16::from(value < limit(7)) << 1
    }

    /// From 0 to `most`, another every second.
    fn noise(&self, label: u16, most: u64, now: Timestamp) -> u16 {
        let label = format!("noise {label} {}", now.secs());
        low(self.seed.number(&label, 0, most.saturating_add(1)))
    }

    fn lock(&self) -> MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Loop {
    fn new(seed: &Seed) -> Self {
        let float = |label: &str, low, high| seed.number(label, low, high) as f64;
        let wave = |label: &str, low, high| (float(label, low, high), float(label, 0, 7));
        let setpoint = low(seed.number("setpoint", 25, 190)).saturating_mul(10);
        Self {
            setpoint,
            tuning: [
                low(seed.number("gain", 40, 900)),
                low(seed.number("reset", 10, 400)),
                low(seed.number("rate", 0, 40)),
            ],
            lag: float("lag", 30, 600),
            stray: f64::from(setpoint) * float("stray", 5, 20) / 1_000.0,
            waves: [wave("slow", 120, 900), wave("fast", 7, 40)],
        }
    }
}

/// The loop that a holding register belongs to.
fn loop_of(n: u16) -> Option<u16> {
    (n < TOTALS).then_some(n / LOOP_WORDS)
}

/// The first address behind a span inside a table.
fn end(address: u16, count: u16, size: u16) -> Result<u16, Exception> {
    address
        .checked_add(count)
        .filter(|end| *end <= size)
        .ok_or(IllegalDataAddress)
}

fn low(number: u64) -> u16 {
    let [.., high, low] = number.to_be_bytes();
    u16::from_be_bytes([high, low])
}
