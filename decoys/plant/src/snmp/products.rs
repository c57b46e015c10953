//! The claimed products: what they say of themselves, and which objects they have.

use std::net::{IpAddr, Ipv4Addr};

use coalmine_core::{Bird, Seed};

use super::SnmpSettings;
use super::mib::{Mib, SNMP_GROUP, Source, Wandering};

const SYSTEM: [u32; 3] = [2, 1, 1];
const IF_NUMBER: [u32; 4] = [2, 1, 2, 1];
const IF_ENTRY: [u32; 5] = [2, 1, 2, 2, 1];
const IP: [u32; 3] = [2, 1, 4];
const SNMP: [u32; 3] = [2, 1, 11];
const HR_SYSTEM: [u32; 4] = [2, 1, 25, 1];
const UCD_MEMORY: [u32; 4] = [4, 1, 2021, 4];
const UCD_LOAD: [u32; 5] = [4, 1, 2021, 10, 1];

const DEBIAN_CONTACT: &str = "Me <me@example.org>";
const DEBIAN_LOCATION: &str = "Sitting on the Dock of the Bay";

/// Modules of `sysORTable`: name under 1.3.6.1, text, and when they were loaded (1/100 s).
const MODULES: [(&[u32], &str, u64); 10] = [
    (
        &[6, 3, 10, 3, 1, 1],
        "The SNMP Management Architecture MIB.",
        1,
    ),
    (
        &[6, 3, 11, 3, 1, 1],
        "The MIB for Message Processing and Dispatching.",
        1,
    ),
    (
        &[6, 3, 15, 2, 1, 1],
        "The management information definitions for the SNMP User-based Security Model.",
        1,
    ),
    (&[6, 3, 1], "The MIB module for SNMPv2 entities", 1),
    (
        &[6, 3, 16, 2, 2, 1],
        "View-based Access Control Model for SNMP.",
        1,
    ),
    (
        &[2, 1, 49],
        "The MIB module for managing TCP implementations",
        1,
    ),
    (
        &[2, 1, 50],
        "The MIB module for managing UDP implementations",
        1,
    ),
    (
        &[2, 1, 4],
        "The MIB module for managing IP and ICMP implementations",
        2,
    ),
    (
        &[6, 3, 13, 3, 1, 3],
        "The MIB modules for managing SNMP Notification, plus filtering.",
        3,
    ),
    (
        &[2, 1, 92],
        "The MIB module for logging SNMP Notifications.",
        3,
    ),
];

coalmine_core::choice! {
    /// Which machine's agent is claimed.
    pub enum Claim {
        NetSnmp => "net-snmp",
        CiscoIos => "cisco-ios",
        JetDirect => "jetdirect",
        Rockwell => "rockwell",
    }
}

/// A claimed product with its bird's particulars.
pub(super) struct Product {
    claim: Claim,
    description: String,
    /// `sysObjectID`, behind 1.3.6.1.4.1.
    object: &'static [u32],
    contact: String,
    location: String,
    name: String,
    services: i64,
    mac: [u8; 6],
    seed: Seed,
}

/// A network interface.
struct Interface {
    name: &'static str,
    kind: i64,
    mtu: i64,
    speed: u64,
    mac: Vec<u8>,
    up: bool,
    /// Octets and packets a second, in and out.
    traffic: [u64; 4],
}

impl Product {
    pub(super) fn new(settings: &SnmpSettings, bird: &Bird) -> Self {
        let seed = bird.seed.derive("snmp");
        let claim = settings.product;
        let name = &bird.name;
        let (description, object, services, prefix): (String, &[u32], i64, [u8; 3]) = match claim {
            Claim::NetSnmp => (
                format!(
                    "Linux {name} 6.1.0-39-amd64 #1 SMP PREEMPT_DYNAMIC Debian 6.1.148-1 (2025-08-26) x86_64"
                ),
                &[8072, 3, 2, 10],
                72,
                [0x00, 0x0c, 0x29],
            ),
            // The first line alone: all four wouldn't fit an answer that stays small.
            Claim::CiscoIos => (
                "Cisco IOS Software, C2900 Software (C2900-UNIVERSALK9-M), Version 15.7(3)M8, RELEASE SOFTWARE (fc1)".to_owned(),
                &[9, 1, 1045],
                78,
                [0x00, 0x00, 0x0c],
            ),
            Claim::JetDirect => (
                "HP ETHERNET MULTI-ENVIRONMENT,ROM none,JETDIRECT,JD153,EEPROM JSI24110012,CIDATE 09/21/2020".to_owned(),
                &[11, 2, 3, 9, 1],
                72,
                [0x3c, 0xd9, 0x2b],
            ),
            Claim::Rockwell => (
                "Rockwell Automation 1769-L23E-QB1 Ethernet Port".to_owned(),
                &[95, 1, 38],
                79,
                [0x00, 0x00, 0xbc],
            ),
        };
        let [a, b, c] = prefix;
        let [d, e, f] = seed.take("mac");
        let or = |given: &str, usual: &str| {
            if given.is_empty() && matches!(claim, Claim::NetSnmp) {
                usual.to_owned()
            } else {
                given.to_owned()
            }
        };
        Self {
            claim,
            description,
            object,
            contact: or(&settings.contact, DEBIAN_CONTACT),
            location: or(&settings.location, DEBIAN_LOCATION),
            name: name.clone(),
            services,
            mac: [a, b, c, d, e, f],
            seed,
        }
    }

    /// `snmpEngineID` (RFC 3411 section 5): the enterprise that `sysObjectID` names, then a form.
    pub(super) fn engine_id(&self, bird: &Bird) -> Vec<u8> {
        let enterprise = self.object.first().copied().unwrap_or(0) | 0x8000_0000;
        let mut id = enterprise.to_be_bytes().to_vec();
        if matches!(self.claim, Claim::NetSnmp) {
            // Net-SNMP's own form: a random number and when it was made.
            let days = i64::try_from(self.seed.number("installed", 20, 600)).unwrap_or(20);
            let made = bird
                .booted
                .secs()
                .saturating_sub(days.saturating_mul(86_400))
                .saturating_add(i64::try_from(self.seed.number("second", 0, 86_400)).unwrap_or(0));
            id.push(0x80);
            id.extend(self.seed.take::<4>("engine"));
            id.extend(made.to_le_bytes());
        } else {
            id.push(3);
            if matches!(self.claim, Claim::CiscoIos) {
                id.push(0);
            }
            id.extend(self.mac);
        }
        id
    }

    /// Adds all objects.
    pub(super) fn fill(&self, mib: &mut Mib, local: IpAddr) {
        let local = match local.to_canonical() {
            IpAddr::V4(address) if !address.is_loopback() => Some(address),
            _ => None,
        };
        self.system(mib);
        let interfaces = self.interfaces();
        add_interfaces(mib, &interfaces);
        let loopback = interfaces.iter().any(|i| i.name == "lo");
        let first = if loopback { 2 } else { 1 };
        let mut addresses = Vec::new();
        if loopback {
            addresses.push((Ipv4Addr::LOCALHOST, 1, Ipv4Addr::new(255, 0, 0, 0), 0));
        }
        if let Some(local) = local {
            addresses.push((local, first, Ipv4Addr::new(255, 255, 255, 0), 1));
        }
        self.ip(mib, &addresses);
        for number in (1..SNMP_GROUP).filter(|n| !matches!(n, 7 | 23)) {
            let object = [&SNMP[..], &[u32::try_from(number).unwrap_or(0)]].concat();
            let source = match number {
                30 => Source::Integer(2),
                _ => Source::Counted(number),
            };
            mib.add(&object, &[0], source);
        }
        if matches!(self.claim, Claim::NetSnmp) {
            self.host(mib);
            self.ucd(mib);
        }
    }

    fn system(&self, mib: &mut Mib) {
        let mut object = vec![43, 6, 1, 4, 1];
        object.extend(self.object);
        let scalars = [
            Source::Text(self.description.clone()),
            Source::Object(object),
            Source::AgentUptime,
            Source::Text(self.contact.clone()),
            Source::Text(self.name.clone()),
            Source::Text(self.location.clone()),
            Source::Integer(self.services),
        ];
        for (number, source) in (1..).zip(scalars) {
            mib.add(&[&SYSTEM[..], &[number]].concat(), &[0], source);
        }
        match self.claim {
            Claim::NetSnmp => {
                mib.add(&[&SYSTEM[..], &[8]].concat(), &[0], Source::Ticks(3));
                for (row, (module, text, loaded)) in (1..).zip(MODULES) {
                    let name = [&[43, 6, 1], module].concat();
                    let column = |n: u32| [&SYSTEM[..], &[9, 1, n]].concat();
                    mib.add(&column(2), &[row], Source::Object(name));
                    mib.add(&column(3), &[row], Source::Text(text.to_owned()));
                    mib.add(&column(4), &[row], Source::Ticks(loaded));
                }
            }
            Claim::CiscoIos => mib.add(&[&SYSTEM[..], &[8]].concat(), &[0], Source::Ticks(0)),
            Claim::JetDirect | Claim::Rockwell => {}
        }
    }

    fn interfaces(&self) -> Vec<Interface> {
        let octets = self.seed.number("octets", 900, 24_000);
        let busy = [octets, octets / 310 + 1, octets / 3, octets / 420 + 1];
        let ethernet = |name: &'static str, speed: u64, last: u8, up: bool| {
            let [a, b, c, d, e, f] = self.mac;
            Interface {
                name,
                kind: 6,
                mtu: 1500,
                speed,
                mac: vec![a, b, c, d, e, f.wrapping_add(last)],
                up,
                traffic: if up { busy } else { [0; 4] },
            }
        };
        match self.claim {
            Claim::NetSnmp => {
                let quiet = self.seed.number("lo", 20, 400);
                let lo = Interface {
                    name: "lo",
                    kind: 24,
                    mtu: 65_536,
                    speed: 10_000_000,
                    mac: Vec::new(),
                    up: true,
                    traffic: [quiet, quiet / 90 + 1, quiet, quiet / 90 + 1],
                };
                vec![lo, ethernet("ens192", 1_000_000_000, 0, true)]
            }
            Claim::CiscoIos => vec![
                ethernet("GigabitEthernet0/0", 1_000_000_000, 0, true),
                ethernet("GigabitEthernet0/1", 1_000_000_000, 1, true),
                ethernet("GigabitEthernet0/2", 1_000_000_000, 2, false),
            ],
            Claim::JetDirect => vec![ethernet("HP Ethernet Controller", 100_000_000, 0, true)],
            Claim::Rockwell => vec![ethernet(
                "1769-L23E-QB1 Ethernet Port",
                100_000_000,
                0,
                true,
            )],
        }
    }

    fn ip(&self, mib: &mut Mib, addresses: &[(Ipv4Addr, i64, Ipv4Addr, i64)]) {
        let packets = self.seed.number("packets", 5, 60);
        let forwards = matches!(self.claim, Claim::CiscoIos);
        let scalars = [
            Source::Integer(if forwards { 1 } else { 2 }),
            Source::Integer(if forwards { 255 } else { 64 }),
            Source::Rising(packets),
            Source::Rising(0),
            Source::Rising(0),
            Source::Rising(if forwards { packets } else { 0 }),
            Source::Rising(0),
            Source::Rising(0),
            Source::Rising(packets),
            Source::Rising(packets / 2),
            Source::Rising(0),
            Source::Rising(0),
            Source::Integer(30),
        ];
        for (number, source) in (1..).zip(scalars) {
            mib.add(&[&IP[..], &[number]].concat(), &[0], source);
        }
        for (address, interface, mask, broadcast) in addresses {
            let row = address.octets().map(u32::from);
            let column = |n: u32| [&IP[..], &[20, 1, n]].concat();
            mib.add(&column(1), &row, Source::Address(*address));
            mib.add(&column(2), &row, Source::Integer(*interface));
            mib.add(&column(3), &row, Source::Address(*mask));
            mib.add(&column(4), &row, Source::Integer(*broadcast));
        }
    }

    fn host(&self, mib: &mut Mib) {
        let [a, b, c, d, e, f, g, h] = self.seed.take::<8>("root");
        let root = format!(
            "{a:02x}{b:02x}{c:02x}{d:02x}-{e:02x}{f:02x}-4{:03x}-{:04x}-{g:02x}{h:02x}{:08x}",
            self.seed.number("root 3", 0, 0x1000),
            self.seed.number("root 4", 0x8000, 0xc000),
            self.seed.number("root 5", 0, 1 << 32),
        );
        let processes = self.seed.number("processes", 96, 190);
        let scalars = [
            Source::Uptime,
            Source::Date,
            Source::Integer(393_216),
            Source::Text(format!(
                "BOOT_IMAGE=/boot/vmlinuz-6.1.0-39-amd64 root=UUID={root} ro quiet\n"
            )),
            Source::Gauge(0),
            Source::Wandering(processes, processes.saturating_add(9), Wandering::Gauge),
            Source::Integer(0),
        ];
        for (number, source) in (1..).zip(scalars) {
            mib.add(&[&HR_SYSTEM[..], &[number]].concat(), &[0], source);
        }
    }

    fn ucd(&self, mib: &mut Mib) {
        // Kilobytes.
        let total = self
            .seed
            .number("memory", 1, 5)
            .saturating_mul(2_016_000)
            .saturating_add(self.seed.number("memory rest", 1_000, 9_000));
        let swap = 998_396;
        let (low, high) = (total / 5, total / 5 + total / 80);
        let shared = self.seed.number("shared", 900, 9_000);
        let buffers = self.seed.number("buffers", 20_000, 90_000);
        let cached = total / 2;
        let integer = |kb: u64| Source::Integer(i64::try_from(kb).unwrap_or(0));
        let wide = Source::Counter64;
        let free = |what| Source::Wandering(low, high, what);
        let with_swap =
            |what| Source::Wandering(low.saturating_add(swap), high.saturating_add(swap), what);
        let reclaimable = || {
            let more = cached.saturating_add(buffers);
            Source::Wandering(
                low.saturating_add(more),
                high.saturating_add(more),
                Wandering::Counter64,
            )
        };
        let objects = [
            (1, Source::Integer(0)),
            (2, Source::Text("swap".to_owned())),
            (3, integer(swap)),
            (4, integer(swap)),
            (5, integer(total)),
            (6, free(Wandering::Integer)),
            (11, with_swap(Wandering::Integer)),
            (12, Source::Integer(16_000)),
            (13, integer(shared)),
            (14, integer(buffers)),
            (15, integer(cached)),
            (18, wide(swap)),
            (19, wide(swap)),
            (20, wide(total)),
            (21, free(Wandering::Counter64)),
            (22, with_swap(Wandering::Counter64)),
            (23, wide(16_000)),
            (24, wide(shared)),
            (25, wide(buffers)),
            (26, wide(cached)),
            (27, reclaimable()),
            (100, Source::Integer(0)),
            (101, Source::Text(String::new())),
        ];
        for (number, source) in objects {
            mib.add(&[&UCD_MEMORY[..], &[number]].concat(), &[0], source);
        }
        let loads = [("Load-1", 2, 41), ("Load-5", 5, 22), ("Load-15", 6, 16)];
        for (row, (name, low, high)) in (1..).zip(loads) {
            let load = |what| Source::Wandering(low, high, what);
            let columns = [
                (1, Source::Integer(i64::from(row))),
                (2, Source::Text(name.to_owned())),
                (3, load(Wandering::LoadText)),
                (4, Source::Text("12.00".to_owned())),
                (5, load(Wandering::LoadInteger)),
                (6, load(Wandering::LoadFloat)),
                (100, Source::Integer(0)),
                (101, Source::Text(String::new())),
            ];
            for (column, source) in columns {
                mib.add(&[&UCD_LOAD[..], &[column]].concat(), &[row], source);
            }
        }
    }
}

fn add_interfaces(mib: &mut Mib, interfaces: &[Interface]) {
    let count = i64::try_from(interfaces.len()).unwrap_or(0);
    mib.add(&IF_NUMBER, &[0], Source::Integer(count));
    for (row, interface) in (1..).zip(interfaces) {
        let status = if interface.up { 1 } else { 2 };
        let [in_octets, in_packets, out_octets, out_packets] = interface.traffic;
        let columns = [
            Source::Integer(i64::from(row)),
            Source::Text(interface.name.to_owned()),
            Source::Integer(interface.kind),
            Source::Integer(interface.mtu),
            Source::Gauge(interface.speed),
            Source::Bytes(interface.mac.clone()),
            Source::Integer(status),
            Source::Integer(status),
            Source::Ticks(0),
            Source::Rising(in_octets),
            Source::Rising(in_packets),
            Source::Rising(0),
            Source::Rising(0),
            Source::Rising(0),
            Source::Rising(0),
            Source::Rising(out_octets),
            Source::Rising(out_packets),
            Source::Rising(0),
            Source::Rising(0),
            Source::Rising(0),
            Source::Gauge(0),
            Source::Object(vec![0]),
        ];
        for (number, source) in (1..).zip(columns) {
            mib.add(&[&IF_ENTRY[..], &[number]].concat(), &[row], source);
        }
    }
}
