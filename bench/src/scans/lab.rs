//! Two or more machines on one switch, each a network namespace. Needs root.

use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Address and network card of the bird's machine.
pub const BIRD: &str = "10.77.0.11";
pub const BIRD_MAC: &str = "02:77:00:00:00:0b";

/// The network; taken down when dropped.
pub struct Lab {
    machines: usize,
}

impl Lab {
    /// Lays it and moves this thread, with what it starts, into the bird's machine.
    pub fn new() -> Result<Self> {
        let mut lab = Self { machines: 1 };
        ip(&format!("netns add {}", name(0)), "")?;
        ip(
            &format!("-n {} -batch -", name(0)),
            "link add br0 type bridge\nlink set br0 up\n",
        )?;
        let bird = lab.plug(BIRD_MAC, BIRD)?;
        enter(&bird)?;
        Ok(lab)
    }

    /// One more machine: its namespace and address.
    pub fn host(&mut self) -> Result<(String, String)> {
        let number = self.machines;
        let address = format!("10.77.1.{number}");
        let namespace = self.plug(&format!("02:77:00:00:01:{number:02x}"), &address)?;
        Ok((namespace, address))
    }

    fn plug(&mut self, mac: &str, address: &str) -> Result<String> {
        let number = self.machines;
        let (switch, host) = (name(0), name(number));
        ip(&format!("netns add {host}"), "")?;
        self.machines += 1;
        let cable = format!(
            "link add p{number} type veth peer name eth0 address {mac} netns {host}\n\
             link set p{number} master br0 up\n"
        );
        ip(&format!("-n {switch} -batch -"), &cable)?;
        // The route out lets the kernel answer sources that don't exist.
        let card = format!(
            "link set lo up\nlink set eth0 up\naddr add {address}/16 dev eth0\n\
             route add default via 10.77.0.1 dev eth0\n"
        );
        ip(&format!("-n {host} -batch -"), &card)?;
        Ok(host)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for number in 0..=self.machines {
            let _ = ip(&format!("netns del {}", name(number)), "");
        }
    }
}

/// Moves this thread into a namespace.
pub fn enter(namespace: &str) -> Result<()> {
    let file = std::fs::File::open(format!("/run/netns/{namespace}"))?;
    let network = Some(LinkNameSpaceType::Network);
    Ok(move_into_link_name_space(
        std::os::fd::AsFd::as_fd(&file),
        network,
    )?)
}

/// The bird's namespace.
pub fn bird() -> String {
    name(1)
}

fn name(number: usize) -> String {
    format!("coalmine-{}-{number}", std::process::id())
}

/// Runs `ip` with these words and something on its standard input.
fn ip(line: &str, input: &str) -> Result<()> {
    let mut child = Command::new("ip")
        .args(line.split(' '))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut stdin = child.stdin.take().context("no pipe")?;
    stdin.write_all(input.as_bytes())?;
    drop(stdin);
    let output = child.wait_with_output()?;
    if !output.status.success() {
        bail!("ip {line}: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}
