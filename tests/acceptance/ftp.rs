//! The other servers that the FTP decoy can be, named by nmap and driven by real clients, in the
//! clear and inside TLS.

use serde_json::json;

use crate::nest::{Nest, client, have};
use crate::seen::{check_frame, events};

const TITLE: &str = "FTP Login Attempt";

fn nest(settings: &str) -> Nest {
    Nest::start(&format!(
        "
[[bird]]
name = \"files-02\"
personality = \"linux-nas\"
[bird.ftp]
login_delay_ms = 20
{settings}
"
    ))
}

#[test]
fn nmap_names_every_server() {
    if !have("nmap") {
        return;
    }
    for (product, named) in [
        ("proftpd", "ProFTPD"),
        ("pure-ftpd", "Pure-FTPd"),
        ("microsoft", "Microsoft ftpd"),
        ("synology", "Synology DiskStation ftpd"),
    ] {
        let nest = nest(&format!("product = \"{product}\""));
        let port = nest.port("ftp").to_string();
        let address = nest.address.to_string();
        let said = client("nmap", &["-sV", "-Pn", "-n", "-p", &port, &address]);
        assert!(said.contains(named), "{product}:\n{said}");
    }
}

#[test]
fn lftp_logs_in_inside_tls_to_every_server() {
    if !have("lftp") {
        return;
    }
    for product in ["vsftpd", "proftpd", "microsoft", "synology", "pure-ftpd"] {
        let nest = nest(&format!("product = \"{product}\"\ntls.enabled = true"));
        let port = nest.port("ftp");
        let said = client(
            "lftp",
            &[
                "-u",
                "backup,letmein",
                "-e",
                "set ftp:ssl-force yes; set ssl:verify-certificate no; set net:max-retries 1; \
                 set net:timeout 5; set net:reconnect-interval-base 1; debug 5; ls; exit",
                &format!("ftp://{}:{port}", nest.address),
            ],
        );
        assert!(
            said.contains("---> AUTH TLS") && said.contains("\n<--- 234 "),
            "{said}"
        );
        let incident = nest.incident(TITLE, 1);
        check_frame(&nest, &incident, "2000", port);
        assert_eq!(
            events(&incident),
            [json!({"USERNAME": "backup", "PASSWORD": "letmein"})]
        );
    }
}

#[test]
fn curl_and_hydra_at_every_server() {
    if !have("curl") || !have("hydra") {
        return;
    }
    for product in ["proftpd", "microsoft", "synology"] {
        let nest = nest(&format!("product = \"{product}\""));
        let port = nest.port("ftp").to_string();
        let address = nest.address.to_string();
        let url = format!("ftp://{address}:{port}/");
        client("curl", &["-s", "-u", "bob:hunter2", &url]);
        let incident = nest.incident(TITLE, 1);
        assert_eq!(
            events(&incident),
            [json!({"USERNAME": "bob", "PASSWORD": "hunter2"})]
        );
        let list = nest.dir.path().join("list");
        std::fs::write(&list, "alpha\nbravo\ncharlie\n").unwrap();
        let list = list.to_str().unwrap();
        let arguments = ["-I", "-t", "3", "-l", "admin", "-P", list, "-s", &port];
        let said = client("hydra", &[&arguments[..], &[&address, "ftp"]].concat());
        assert!(said.contains("0 valid password"), "{product}: {said}");
        nest.incident(TITLE, 4);
    }
}
