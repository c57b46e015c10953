//! The Cisco router that the TFTP decoy can be.

use serde_json::json;

use crate::nest::{Nest, client, have};
use crate::seen::events;

#[test]
fn a_router_is_named_by_nmap_and_refuses_files() {
    if !have("nmap") || !have("tftp") {
        return;
    }
    let nest = Nest::start(
        "
[[bird]]
name = \"files-02\"
personality = \"linux-nas\"
[bird.tftp]
product = \"cisco-router\"
",
    );
    let port = nest.port("tftp").to_string();
    let address = nest.address.to_string();
    let said = client(
        "tftp",
        &[
            &address,
            &port,
            "-m",
            "binary",
            "-c",
            "get",
            "startup-config",
            "/dev/null",
        ],
    );
    assert!(said.contains("File not found"), "{said}");
    let incident = nest.incident("TFTP Request", 1);
    assert_eq!(
        events(&incident),
        [json!({"FILENAME": "startup-config", "OPCODE": "READ", "MODE": "octet"})]
    );
    let said = client("nmap", &["-sU", "-sV", "-Pn", "-n", "-p", &port, &address]);
    assert!(said.contains("Cisco router tftpd"), "{said}");
}
