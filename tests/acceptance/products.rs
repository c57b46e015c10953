//! Every TCP decoy is named by `nmap -sV` as the product it claims to be.

use crate::nest::{Nest, QUICK, client, have};

#[test]
fn nmap_names_the_claimed_products() {
    if !have("nmap") {
        return;
    }
    let nest = Nest::start(&format!(
        "{QUICK}\n[bird.httpproxy]\n[bird.mssql]\nversion = \"2019\"\n[bird.rdp]\n[bird.redis]\n[bird.tn3270]\nport = 3270\n[bird.vnc]\n"
    ));
    let wanted = [
        ("ssh", "OpenSSH 9.2p1 Debian"),
        ("ftp", "vsftpd 3.0.3"),
        ("telnet", "BusyBox telnetd"),
        ("http", "nginx 1.22.1"),
        ("https", "nginx 1.22.1"),
        ("mysql", "MySQL 5.5.5-10.11."),
        ("httpproxy", "Squid http proxy 5.7"),
        ("mssql", "Microsoft SQL Server 2019 15.00.2000"),
        ("rdp", "Microsoft Terminal Services"),
        ("redis", "Redis key-value store"),
        ("tn3270", "IBM Telnet TN3270 (TN3270E)"),
        ("vnc", "VNC (protocol 3.8)"),
    ];
    let ports: Vec<String> = wanted
        .iter()
        .map(|(id, _)| nest.port(id).to_string())
        .collect();
    let said = client(
        "nmap",
        &[
            "-sV",
            "-Pn",
            "-n",
            "-p",
            &ports.join(","),
            &nest.address.to_string(),
        ],
    );
    for (id, product) in wanted {
        let port = format!("{}/tcp", nest.port(id));
        let line = said.lines().find(|line| line.starts_with(&port));
        assert!(
            line.is_some_and(|line| line.contains(product)),
            "{id} should be {product}:\n{said}"
        );
    }
}
