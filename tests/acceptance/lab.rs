//! A network of one's own: a bird's machine and any number of others on one switch, each in a network
//! namespace. Needs root.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::{Command, Stdio};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::nest::{client, have, missing};

/// Addresses of the bird's machine.
pub const BIRD: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 11);
pub const SECOND_BIRD: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 12);
pub const SIXTH_BIRD: Ipv6Addr = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 0x11);
/// Its network card's.
pub const BIRD_MAC: &str = "02:77:00:00:00:0b";

const SWITCH: usize = 0;
const NEST: usize = 1;

/// The network; taken down when dropped.
pub struct Lab {
    hosts: usize,
}

/// Another machine on it.
pub struct Host {
    namespace: String,
    /// In the birds' network.
    pub address: Ipv4Addr,
    /// In a /64 of its own.
    pub v6: Ipv6Addr,
    /// Its network card's.
    pub mac: String,
}

impl Lab {
    /// Lays it, and moves this thread (and the threads and programs that it starts) into the bird's
    /// machine. `None`, with a word, where that isn't allowed.
    pub fn new() -> Option<Self> {
        if !have("ip") {
            return None;
        }
        if !rustix::process::geteuid().is_root() {
            eprintln!("SKIPPED: network namespaces need root");
            return None;
        }
        sweep();
        let lab = Self { hosts: 2 };
        let added = ip(&format!("netns add {}", name(SWITCH)), "");
        if let Err(error) = added {
            missing(&format!("the right to make network namespaces ({error})"));
            return None;
        }
        run(
            &format!("-n {} -batch -", name(SWITCH)),
            "link add br0 type bridge\nlink set br0 up\n",
        );
        let nest = lab.plug(NEST, BIRD_MAC);
        let more = format!(
            "addr add {BIRD}/16 dev eth0\naddr add {SECOND_BIRD}/16 dev eth0\n\
             addr add {SIXTH_BIRD}/128 dev eth0 nodad\nroute add fd77::/16 dev eth0\n\
             route add default via 10.77.0.1 dev eth0\n"
        );
        run(&format!("-n {nest} -batch -"), &more);
        enter(&nest);
        Some(lab)
    }

    /// One more machine.
    pub fn host(&mut self) -> Host {
        let number = u8::try_from(self.hosts).unwrap();
        self.hosts += 1;
        let mac = format!("02:77:00:00:01:{number:02x}");
        let namespace = self.plug(number.into(), &mac);
        let address = Ipv4Addr::new(10, 77, 1, number);
        let v6 = Ipv6Addr::new(0xfd77, 1, 0, number.into(), 0, 0, 0, 2);
        let more = format!(
            "addr add {address}/16 dev eth0\naddr add {v6}/128 dev eth0 nodad\n\
             route add fd77::/16 dev eth0\nroute add default via {BIRD} dev eth0\n"
        );
        run(&format!("-n {namespace} -batch -"), &more);
        Host {
            namespace,
            address,
            v6,
            mac,
        }
    }

    /// A machine with a network card and no address; its namespace.
    fn plug(&self, number: usize, mac: &str) -> String {
        let (switch, host) = (name(SWITCH), name(number));
        run(&format!("netns add {host}"), "");
        run(
            &format!("-n {switch} -batch -"),
            &format!(
                "link add p{number} type veth peer name eth0 address {mac} netns {host}\n\
                 link set p{number} master br0 up\n"
            ),
        );
        run(
            &format!("-n {host} -batch -"),
            "link set lo up\nlink set eth0 up\n",
        );
        host
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for number in 0..self.hosts {
            let _ = ip(&format!("netns del {}", name(number)), "");
        }
    }
}

impl Host {
    /// Runs a program there; what it printed.
    pub fn client(&self, line: &str) -> String {
        let mut words = vec!["netns", "exec", &self.namespace];
        words.extend(line.split_whitespace());
        client("ip", &words)
    }

    /// Does something there.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            scope
                .spawn(|| {
                    enter(&self.namespace);
                    work()
                })
                .join()
                .unwrap()
        })
    }

    /// Its address, or that of the other kind for a bird of that kind.
    pub fn facing(&self, bird: IpAddr) -> IpAddr {
        if bird.is_ipv4() {
            self.address.into()
        } else {
            self.v6.into()
        }
    }
}

/// Moves this thread into a namespace.
fn enter(namespace: &str) {
    let file = std::fs::File::open(format!("/run/netns/{namespace}")).unwrap();
    move_into_link_name_space(
        std::os::fd::AsFd::as_fd(&file),
        Some(LinkNameSpaceType::Network),
    )
    .unwrap();
}

/// Of this process's namespace.
fn name(number: usize) -> String {
    format!("coalmine-{}-{number}", std::process::id())
}

/// Takes away what a killed test left behind.
fn sweep() {
    let Ok(names) = std::fs::read_dir("/run/netns") else {
        return;
    };
    for entry in names.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner = name
            .strip_prefix("coalmine-")
            .and_then(|rest| rest.split('-').next());
        if owner.is_some_and(|pid| !std::path::Path::new("/proc").join(pid).exists()) {
            let _ = ip(&format!("netns del {name}"), "");
        }
    }
}

fn run(line: &str, input: &str) {
    ip(line, input).unwrap_or_else(|error| panic!("ip {line}: {error}\n{input}"));
}

/// Runs `ip` with these words and something on its standard input; what it complains of.
fn ip(line: &str, input: &str) -> Result<(), String> {
    let mut child = Command::new("ip")
        .args(line.split(' '))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| error.to_string())?;
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    if output.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}
