//! Modbus/TCP server of a programmable controller (MODBUS Application Protocol V1.1b3, "the
//! protocol"; MODBUS Messaging on TCP/IP Implementation Guide V1.0b, "the guide").
//!
//! Its process moves: temperatures drift, counters rise, a written setpoint is approached. What was
//! written is kept for as long as the service runs.

mod diagnostics;
mod identity;
mod names;
mod process;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use coalmine_core::decoy::{Broken, Limits, Poke, Session, Sessions, Step, Transport};
use coalmine_core::settings::Fault;
use coalmine_core::{Bird, Context, DecoyKind, Event, Out, Service, Timestamp};
use serde_json::{Map, Value};

use diagnostics::Diagnostics;
use identity::Identity;
use process::{Bits, Process, Words};

/// Longest unit identifier and PDU together, in bytes (the protocol, section 4.1).
const MAX_FRAME: usize = 254;
/// Most coils or inputs of one read (the protocol, sections 6.1 and 6.2).
const MAX_READ_BITS: u16 = 2000;
/// Most registers of one read (sections 6.3, 6.4 and 6.17).
const MAX_READ_WORDS: u16 = 125;
/// Most coils of one write (section 6.11).
const MAX_WRITE_BITS: u16 = 0x7b0;
/// Most registers of one write (section 6.12).
const MAX_WRITE_WORDS: u16 = 0x7b;
/// Most registers of a write that also reads (section 6.17).
const MAX_BOTH_WORDS: u16 = 0x79;
/// Longest text of a setting, in bytes: an object must fit into one answer.
const MAX_TEXT: usize = 200;

/// The unit identifiers that mean the device itself: 0 and 255 as the guide (section 4.4.2) asks,
/// 1 as most clients take it.
const UNITS: [u8; 3] = [0, 1, 255];

/// Modbus/TCP server.
pub static KIND: DecoyKind = DecoyKind {
    id: "modbus",
    title: "Modbus server",
    doc: "Pretends to be a programmable controller with a moving process.\nNotices every request, and tells queries, reads and writes apart.",
    transports: &[Transport::Tcp],
    port: 502,
    instances: false,
    tls: None,
    events: &[ModbusRequest::KIND],
    settings: ModbusSettings::declared,
    build,
    limits: Limits::LOGIN.input(4096).idle(Duration::from_secs(300)),
    poke: Poke::Script(&[
        Step::Send(b"\0\x01\0\0\0\x06\x01\x03\0\0\0\x02"),
        Step::Expect(b"\0\x01\0\0\0\x07\x01\x03\x04"),
    ]),
};

coalmine_core::settings! {
    /// Settings of the Modbus decoy: what it says about itself (the protocol, section 6.21).
    /// An empty text stands for an object that the device doesn't have.
    pub struct ModbusSettings {
        /// Object 0, `VendorName`.
        vendor_name: String => "vendorname" = "Rockwell Automation/Allen Bradley".to_owned(), words;
        /// Object 1, `ProductCode`.
        product_code: String => "productcode" = "1".to_owned(), words;
        /// Object 2, `MajorMinorRevision`.
        revision: String => "majorminorrevision" = "1.2".to_owned(), words;
        /// Object 3, `VendorUrl`.
        vendor_url: String => "vendorurl" = "http://www.rockwellautomation.com".to_owned(), words;
        /// Object 4, `ProductName`; also told to who asks for the server's id (function 17).
        product_name: String => "productname" = "1769-L23E-QB1 Ethernet Port".to_owned(), words;
        /// Object 5, `ModelName`.
        model_name: String => "modelname" = String::new(), words;
        /// Object 6, `UserApplicationName`.
        application_name: String => "userapplicationname" = "device1".to_owned(), words;
    }
}

fn words(text: &str) -> Result<(), String> {
    if text.len() > MAX_TEXT {
        return Err(format!("must be at most {MAX_TEXT} bytes long"));
    }
    if !text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        return Err("must be of printable ASCII characters".to_owned());
    }
    Ok(())
}

coalmine_core::event! {
    /// Somebody asked something of the Modbus server.
    pub struct ModbusRequest: "modbus", "ModBus Request",
        [18001 "query function", 18002 "read function", 18003 "write function"] {
        /// Unit identifier, as a decimal number.
        unit_id: String => "UNIT_ID" = "1",
        /// Function code, as a decimal number.
        func_code: String => "FUNC_CODE" = "3",
        /// Name of the function, where the protocol defines it.
        func_name: Option<&'static str> => "FUNC_NAME" = "Read Holding Registers",
        /// Code of the sub-function, or type of the encapsulated interface, as a decimal number.
        sfunc_code: Option<String> => "SFUNC_CODE" = "14",
        /// Name of that, where the protocol defines it.
        sfunc_name: Option<&'static str> => "SFUNC_NAME" = "Read Device Identification",
    }
}

fn build(given: &Map<String, Value>, bird: &Arc<Bird>) -> Result<Service, Vec<Fault>> {
    let settings = ModbusSettings::parse(given)?;
    let seed = bird.seed.derive("modbus");
    Ok(Service::sessions(Modbus(Arc::new(Device {
        identity: Identity::new(&settings),
        process: Process::new(&seed, bird.booted),
        diagnostics: Diagnostics::new(&seed, bird.booted),
    }))))
}

struct Modbus(Arc<Device>);

impl Sessions for Modbus {
    fn open(&self, _context: &Context, _out: &mut Out) -> Box<dyn Session> {
        Box::new(Connection(self.0.clone()))
    }
}

struct Connection(Arc<Device>);

impl Session for Connection {
    fn feed(&mut self, input: &[u8], now: Timestamp, out: &mut Out) -> Result<usize, Broken> {
        let Some((header, rest)) = input.split_first_chunk::<6>() else {
            return Ok(0);
        };
        let [t1, t0, p1, p0, l1, l0] = *header;
        let length = usize::from(u16::from_be_bytes([l1, l0]));
        // Where the next frame begins can't be known any more.
        if !(2..=MAX_FRAME).contains(&length) {
            return Err(Broken);
        }
        let Some(frame) = rest.get(..length) else {
            return Ok(0);
        };
        let consumed = length.saturating_add(header.len());
        let Some((unit, pdu)) = frame.split_first() else {
            return Err(Broken);
        };
        // Another protocol is discarded (the guide, section 4.4.2.2).
        if [p1, p0] != [0, 0] {
            return Ok(consumed);
        }
        let Some((function, data)) = pdu.split_first() else {
            return Err(Broken);
        };
        see(*unit, *function, data, out);
        let answer = self.0.answer(*unit, *function, data, now);
        let length = u16::try_from(answer.len().saturating_add(1)).unwrap_or(0);
        out.send([t1, t0, 0, 0]);
        out.send(length.to_be_bytes());
        out.send([*unit]);
        out.send(answer);
        Ok(consumed)
    }
}

/// Reports a request.
fn see(unit: u8, function: u8, data: &[u8], out: &mut Out) {
    let sub = match (function, data) {
        (8, [high, low, ..]) => Some(u16::from_be_bytes([*high, *low])),
        (43, [mei, ..]) => Some(u16::from(*mei)),
        _ => None,
    };
    let logtype = match function {
        1..=4 | 20 | 24 => 18002,
        5 | 6 | 15 | 16 | 21..=23 => 18003,
        _ => 18001,
    };
    let event = ModbusRequest {
        unit_id: unit.to_string(),
        func_code: function.to_string(),
        func_name: names::function(function),
        sfunc_code: sub.map(|sub| sub.to_string()),
        sfunc_name: sub.and_then(|sub| names::sub_function(function, sub)),
    };
    out.see_as(&event, logtype);
}

/// Exception codes (the protocol, section 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exception {
    IllegalFunction = 1,
    IllegalDataAddress = 2,
    IllegalDataValue = 3,
    GatewayPathUnavailable = 10,
}

use Exception::{GatewayPathUnavailable, IllegalDataAddress, IllegalDataValue, IllegalFunction};

/// The controller. All its connections see the same.
struct Device {
    identity: Identity,
    process: Process,
    diagnostics: Diagnostics,
}

impl Device {
    /// The answer's PDU.
    fn answer(&self, unit: u8, function: u8, data: &[u8], now: Timestamp) -> Vec<u8> {
        // Nothing is configured behind the port, which the controller knows without asking.
        let result = if UNITS.contains(&unit) {
            self.diagnostics.received();
            let result = self.execute(function, data, now);
            let counted = ![8, 11, 12].contains(&function);
            self.diagnostics.answered(result.is_ok(), counted);
            result
        } else {
            Err(GatewayPathUnavailable)
        };
        match result {
            Ok(mut body) => {
                body.insert(0, function);
                body
            }
            Err(exception) => vec![function | 0x80, exception as u8],
        }
    }

    /// What follows the function code in the answer. Checks come in the order of the protocol's
    /// state diagrams: function, value, address.
    fn execute(&self, function: u8, data: &[u8], now: Timestamp) -> Result<Vec<u8>, Exception> {
        let process = &self.process;
        match function {
            1 => self.read_bits(Bits::Coils, data, now),
            2 => self.read_bits(Bits::Inputs, data, now),
            3 => self.read_words(Words::Holding, data, now),
            4 => self.read_words(Words::Inputs, data, now),
            5 => {
                let [address, value] = numbers(data)?;
                let on = match value {
                    0 => false,
                    0xff00 => true,
                    _ => return Err(IllegalDataValue),
                };
                process.write_bits(address, &[on])?;
                Ok(data.to_vec())
            }
            6 => {
                let [address, value] = numbers(data)?;
                process.write_words(address, &[value], now)?;
                Ok(data.to_vec())
            }
            7 => {
                nothing(data)?;
                let outputs = process.read_bits(Bits::Coils, 0, 8, now)?;
                Ok(pack(&outputs))
            }
            8 => self.diagnostics.diagnose(data, now),
            11 => nothing(data).map(|()| self.diagnostics.event_counter(now)),
            12 => nothing(data).map(|()| self.diagnostics.event_log(now)),
            15 => self.write_coils(data),
            16 => {
                let (head, values) = data.split_at_checked(4).ok_or(IllegalDataValue)?;
                let [address, count] = numbers(head)?;
                let values = listed(count, MAX_WRITE_WORDS, values)?;
                process.write_words(address, &values, now)?;
                Ok(head.to_vec())
            }
            17 => nothing(data).map(|()| self.identity.server_id()),
            22 => {
                let [address, and, or] = numbers(data)?;
                let old = process.read_words(Words::Holding, address, 1, now)?;
                let old = old.first().copied().unwrap_or_default();
                process.write_words(address, &[(old & and) | (or & !and)], now)?;
                Ok(data.to_vec())
            }
            23 => {
                let (head, values) = data.split_at_checked(8).ok_or(IllegalDataValue)?;
                let [from, count, to, written] = numbers(head)?;
                let values = listed(written, MAX_BOTH_WORDS, values)?;
                within(count, MAX_READ_WORDS)?;
                process.read_words(Words::Holding, from, count, now)?;
                // The write comes first (section 6.17).
                process.write_words(to, &values, now)?;
                let read = process.read_words(Words::Holding, from, count, now)?;
                Ok(counted(&read))
            }
            24 => {
                let [address] = numbers(data)?;
                let queue = process.fifo(address, now)?;
                let count = u16::try_from(queue.len()).unwrap_or(0);
                let bytes = count.saturating_mul(2).saturating_add(2);
                let mut body = [bytes.to_be_bytes(), count.to_be_bytes()].concat();
                body.extend(queue.iter().flat_map(|word| word.to_be_bytes()));
                Ok(body)
            }
            43 => self.identity.read(data),
            // 20 and 21 too: the controller has no files.
            _ => Err(IllegalFunction),
        }
    }

    fn read_bits(&self, table: Bits, data: &[u8], now: Timestamp) -> Result<Vec<u8>, Exception> {
        let [address, count] = numbers(data)?;
        within(count, MAX_READ_BITS)?;
        let packed = pack(&self.process.read_bits(table, address, count, now)?);
        let mut body = vec![u8::try_from(packed.len()).unwrap_or(0)];
        body.extend(packed);
        Ok(body)
    }

    fn read_words(&self, table: Words, data: &[u8], now: Timestamp) -> Result<Vec<u8>, Exception> {
        let [address, count] = numbers(data)?;
        within(count, MAX_READ_WORDS)?;
        let read = self.process.read_words(table, address, count, now)?;
        Ok(counted(&read))
    }

    fn write_coils(&self, data: &[u8]) -> Result<Vec<u8>, Exception> {
        let (head, rest) = data.split_at_checked(4).ok_or(IllegalDataValue)?;
        let [address, count] = numbers(head)?;
        within(count, MAX_WRITE_BITS)?;
        let (bytes, values) = rest.split_first().ok_or(IllegalDataValue)?;
        let needed = usize::from(count.div_ceil(8));
        if usize::from(*bytes) != needed || values.len() != needed {
            return Err(IllegalDataValue);
        }
        let bits: Vec<bool> = values
            .iter()
            .flat_map(|byte| (0..8_u8).map(move |n| byte & (1 << n) != 0))
            .take(usize::from(count))
            .collect();
        self.process.write_bits(address, &bits)?;
        Ok(head.to_vec())
    }
}

/// Exactly `N` big-endian numbers.
fn numbers<const N: usize>(data: &[u8]) -> Result<[u16; N], Exception> {
    let (pairs, []) = data.as_chunks::<2>() else {
        return Err(IllegalDataValue);
    };
    let all: Vec<u16> = pairs.iter().map(|pair| u16::from_be_bytes(*pair)).collect();
    all.try_into().map_err(|_| IllegalDataValue)
}

/// That a function without data got none.
fn nothing(data: &[u8]) -> Result<(), Exception> {
    if data.is_empty() {
        return Ok(());
    }
    Err(IllegalDataValue)
}

fn within(count: u16, most: u16) -> Result<(), Exception> {
    if (1..=most).contains(&count) {
        return Ok(());
    }
    Err(IllegalDataValue)
}

/// `count` numbers behind their length in bytes.
fn listed(count: u16, most: u16, data: &[u8]) -> Result<Vec<u16>, Exception> {
    within(count, most)?;
    let (bytes, values) = data.split_first().ok_or(IllegalDataValue)?;
    let needed = usize::from(count).saturating_mul(2);
    if usize::from(*bytes) != needed || values.len() != needed {
        return Err(IllegalDataValue);
    }
    let (pairs, _) = values.as_chunks::<2>();
    Ok(pairs.iter().map(|pair| u16::from_be_bytes(*pair)).collect())
}

/// `words` behind their length in bytes.
fn counted(words: &[u16]) -> Vec<u8> {
    let bytes = words.len().saturating_mul(2);
    let mut body = vec![u8::try_from(bytes).unwrap_or(0)];
    body.extend(words.iter().flat_map(|word| word.to_be_bytes()));
    body
}

/// Bits in bytes, the first in the lowest place (section 6.1).
fn pack(bits: &[bool]) -> Vec<u8> {
    let byte = |eight: &[bool]| {
        eight
            .iter()
            .rev()
            .fold(0_u8, |byte, bit| (byte << 1) | u8::from(*bit))
    };
    bits.chunks(8).map(byte).collect()
}
