//! Functions 8, 11 and 12 (the protocol, sections 6.8 to 6.10). The counters include the polls of a
//! control room that asks at a steady pace.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use coalmine_core::{Seed, Timestamp};

use super::{Exception, IllegalDataValue, IllegalFunction};

/// Bytes of the event log (section 6.10).
const MAX_LOG: usize = 64;
/// Log: a request came.
const RECEIVED: u8 = 0x80;
/// Log: an answer left.
const SENT: u8 = 0x40;
/// Log: communication was restarted.
const RESTARTED: u8 = 0;

pub(super) struct Diagnostics {
    /// Time between two polls, in milliseconds.
    pace: u64,
    counters: Mutex<Counters>,
}

struct Counters {
    since: Timestamp,
    messages: u64,
    exceptions: u64,
    /// Requests that count as events: completed, and not asking for counters.
    events: u64,
    /// The newest first.
    log: VecDeque<u8>,
}

impl Diagnostics {
    pub(super) fn new(seed: &Seed, booted: Timestamp) -> Self {
        Self {
            pace: seed.number("pace", 480, 2_100),
            counters: Mutex::new(Counters {
                since: booted,
                messages: 0,
                exceptions: 0,
                events: 0,
                log: [SENT, RECEIVED].into_iter().cycle().take(MAX_LOG).collect(),
            }),
        }
    }

    /// A request came.
    pub(super) fn received(&self) {
        let mut counters = self.lock();
        counters.messages = counters.messages.wrapping_add(1);
        counters.note(RECEIVED);
    }

    /// It was answered; `counted` where its function counts as an event.
    pub(super) fn answered(&self, well: bool, counted: bool) {
        let mut counters = self.lock();
        if well {
            counters.events = counters.events.wrapping_add(u64::from(counted));
            counters.note(SENT);
        } else {
            counters.exceptions = counters.exceptions.wrapping_add(1);
            // Bit 0: an exception of code 1, 2 or 3.
            counters.note(SENT | 1);
        }
    }

    /// Function 8.
    pub(super) fn diagnose(&self, data: &[u8], now: Timestamp) -> Result<Vec<u8>, Exception> {
        let (code, value) = data.split_first_chunk::<2>().ok_or(IllegalDataValue)?;
        let code = u16::from_be_bytes(*code);
        match code {
            0 => return Ok(data.to_vec()),
            1 => {
                if !matches!(value, [0 | 0xff, 0]) {
                    return Err(IllegalDataValue);
                }
                let mut counters = self.lock();
                counters.clear(now);
                if value == [0xff, 0] {
                    counters.log.clear();
                }
                counters.note(RESTARTED);
                return Ok(data.to_vec());
            }
            2 | 10..=18 | 20 => {}
            // Listening only and delimiters belong to serial lines.
            _ => return Err(IllegalFunction),
        }
        if value != [0, 0] {
            return Err(IllegalDataValue);
        }
        let mut counters = self.lock();
        let polls = self.polls(&counters, now);
        let number = match code {
            10 => {
                counters.clear(now);
                return Ok(data.to_vec());
            }
            20 => return Ok(data.to_vec()),
            11 | 14 => polls.wrapping_add(counters.messages),
            13 => counters.exceptions,
            // No register bit is set, and TCP neither garbles, overruns nor stays unanswered.
            _ => 0,
        };
        Ok([code.to_be_bytes(), low(number)].concat())
    }

    /// Function 11: no program runs, then the count.
    pub(super) fn event_counter(&self, now: Timestamp) -> Vec<u8> {
        let counters = self.lock();
        let events = self.polls(&counters, now).wrapping_add(counters.events);
        [[0, 0], low(events)].concat()
    }

    /// Function 12: length, no program runs, both counts, the log.
    pub(super) fn event_log(&self, now: Timestamp) -> Vec<u8> {
        let counters = self.lock();
        let polls = self.polls(&counters, now);
        let length = u8::try_from(counters.log.len().saturating_add(6)).unwrap_or(6);
        let mut body = vec![length, 0, 0];
        body.extend(low(polls.wrapping_add(counters.events)));
        body.extend(low(polls.wrapping_add(counters.messages)));
        body.extend(&counters.log);
        body
    }

    fn polls(&self, counters: &Counters, now: Timestamp) -> u64 {
        let millis = now.since(counters.since).as_millis();
        u64::try_from(millis).unwrap_or(0) / self.pace.max(1)
    }

    fn lock(&self) -> MutexGuard<'_, Counters> {
        self.counters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counters {
    fn clear(&mut self, now: Timestamp) {
        self.since = now;
        self.messages = 0;
        self.exceptions = 0;
        self.events = 0;
    }

    fn note(&mut self, event: u8) {
        self.log.push_front(event);
        self.log.truncate(MAX_LOG);
    }
}

/// A counter of 16 bits starts anew behind its end.
fn low(number: u64) -> [u8; 2] {
    let [.., high, low] = number.to_be_bytes();
    [high, low]
}
