//! The controller as mbpoll, pymodbus and nmap find it.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::{Value, json};

use crate::nest::{Nest, client, have};
use crate::seen::{check_frame, events};

const CONFIG: &str = "
[[bird]]
name = \"files-02\"
personality = \"bare\"
[bird.modbus]
";
const TITLE: &str = "ModBus Request";

/// An event of a function without sub-functions.
fn event(unit: u8, code: u8, name: &str) -> Value {
    json!({"UNIT_ID": unit.to_string(), "FUNC_CODE": code.to_string(), "FUNC_NAME": name})
}

/// The same of one with.
fn sub_event(unit: u8, code: u8, name: &str, sub: u16, sub_name: &str) -> Value {
    let mut event = event(unit, code, name);
    event["SFUNC_CODE"] = json!(sub.to_string());
    event["SFUNC_NAME"] = json!(sub_name);
    event
}

#[test]
fn mbpoll_reads_and_writes() {
    if !have("mbpoll") {
        return;
    }
    let nest = Nest::start(CONFIG);
    let port = nest.port("modbus");
    let address = nest.address.to_string();
    let poll = |arguments: &[&str]| {
        let port = port.to_string();
        let mut all = vec!["-m", "tcp", "-p", &port, "-a", "1", "-1", "-q"];
        all.extend(arguments);
        client("mbpoll", &all)
    };
    let said = poll(&["-t", "4", "-r", "2", "-c", "3", &address]);
    let shown = |n: u16| {
        said.lines()
            .any(|line| line.starts_with(&format!("[{n}]:")))
    };
    assert!(shown(2) && shown(3) && shown(4), "{said}");
    let said = poll(&["-t", "4", "-r", "2", &address, "4321"]);
    assert!(said.contains("Written 1 references."), "{said}");
    let said = poll(&["-t", "4", "-r", "2", &address]);
    assert!(said.contains("4321"), "{said}");
    let said = poll(&["-t", "0", "-r", "1", &address, "1", "0", "1"]);
    assert!(said.contains("Written 3 references."), "{said}");
    let said = poll(&["-t", "3", "-r", "60000", &address]);
    assert!(said.contains("Illegal data address"), "{said}");

    let incident = nest.incident(TITLE, 5);
    check_frame(&nest, &incident, "18002", port);
    let wanted = [
        event(1, 3, "Read Holding Registers"),
        event(1, 6, "Write Single Register"),
        event(1, 3, "Read Holding Registers"),
        event(1, 15, "Write Multiple Coils"),
        event(1, 4, "Read Input Registers"),
    ];
    assert_eq!(events(&incident), wanted);
}

#[test]
fn pymodbus_finds_every_function() {
    let nest = Nest::start(CONFIG);
    let port = nest.port("modbus");
    let code = "
import json, os
from pymodbus.client import ModbusTcpClient
c = ModbusTcpClient(os.environ['HOST'], port=int(os.environ['PORT']), timeout=3, retries=0)
assert c.connect()
said = {}
u = 255
said['coils'] = len(c.read_coils(0, count=16, device_id=u).bits)
said['inputs'] = len(c.read_discrete_inputs(0, count=24, device_id=u).bits)
said['measured'] = len(c.read_input_registers(0, count=26, device_id=u).registers)
said['far'] = c.read_holding_registers(60000, count=1, device_id=u).exception_code
c.write_coil(2, True, device_id=u)
c.write_coils(4, [True, False, True], device_id=u)
said['written'] = c.read_coils(2, count=5, device_id=u).bits[:5]
c.write_register(4, 0x12, device_id=u)
c.mask_write_register(address=4, and_mask=0xf2, or_mask=0x25, device_id=u)
said['masked'] = c.read_holding_registers(4, count=1, device_id=u).registers
c.write_registers(3, [7, 8], device_id=u)
said['both'] = c.readwrite_registers(read_address=3, read_count=2, write_address=4, values=[9], device_id=u).registers
said['status'] = c.read_exception_status(device_id=u).isError()
said['echo'] = [b.hex() if isinstance(b, bytes) else b for b in [c.diag_query_data(b'\\x12\\x34', device_id=u).message]]
said['messages'] = c.diag_read_bus_message_count(device_id=u).isError()
said['counter'] = c.diag_get_comm_event_counter(device_id=u).isError()
said['log'] = len(c.diag_get_comm_event_log(device_id=u).events)
r = c.report_device_id(device_id=u)
said['id'] = r.identifier.hex()
for code in (1, 2, 3):
    r = c.read_device_information(read_code=code, device_id=u)
    said['info%d' % code] = {str(k): v.decode() for k, v in r.information.items()}
    said['conformity'] = r.conformity
said['fifo'] = c.read_fifo_queue(address=0, device_id=u).exception_code
said['gateway'] = c.read_coils(0, count=1, device_id=17).exception_code
print(json.dumps(said))
";
    let address = nest.address.to_string();
    let port_text = port.to_string();
    let more = [("HOST", address.as_str()), ("PORT", port_text.as_str())];
    let Some(said) = nest.python_with(code, &more) else {
        return;
    };
    let basic = json!({
        "0": "Rockwell Automation/Allen Bradley",
        "1": "1",
        "2": "1.2",
    });
    let mut regular = basic.clone();
    regular["3"] = json!("http://www.rockwellautomation.com");
    regular["4"] = json!("1769-L23E-QB1 Ethernet Port");
    regular["6"] = json!("device1");
    assert_eq!(said["coils"], 16, "{said:#}");
    assert_eq!(said["inputs"], 24);
    assert_eq!(said["measured"], 26);
    assert_eq!(said["far"], 2);
    assert_eq!(said["written"][0], true);
    assert_eq!(said["written"][2], true);
    assert_eq!(said["written"][3], false);
    assert_eq!(said["written"][4], true);
    assert_eq!(said["masked"], json!([0x17]));
    assert_eq!(said["both"], json!([7, 9]));
    for fine in ["status", "messages", "counter"] {
        assert_eq!(said[fine], false, "{fine}");
    }
    assert_eq!(said["log"], 64);
    // It takes the last byte for the run indicator, and the text without it for the id.
    let id = "01ff313736392d4c3233452d5142312045746865726e657420506f72";
    assert_eq!(said["id"], id);
    assert_eq!(said["info1"], basic);
    assert_eq!(said["info2"], regular);
    assert_eq!(said["info3"], regular);
    assert_eq!(said["conformity"], 0x82);
    assert_eq!(said["fifo"], 2);
    assert_eq!(said["gateway"], 10);

    let incident = nest.incident(TITLE, 23);
    check_frame(&nest, &incident, "18002", port);
    let transport = "Encapsulated Interface Transport";
    let identification = || sub_event(255, 43, transport, 14, "Read Device Identification");
    let wanted = [
        event(255, 1, "Read Coils"),
        event(255, 2, "Read Discrete Inputs"),
        event(255, 4, "Read Input Registers"),
        event(255, 3, "Read Holding Registers"),
        event(255, 5, "Write Single Coil"),
        event(255, 15, "Write Multiple Coils"),
        event(255, 1, "Read Coils"),
        event(255, 6, "Write Single Register"),
        event(255, 22, "Mask Write Register"),
        event(255, 3, "Read Holding Registers"),
        event(255, 16, "Write Multiple Registers"),
        event(255, 23, "Read/Write Multiple Registers"),
        event(255, 7, "Read Exception Status"),
        sub_event(255, 8, "Diagnostics", 0, "Return Query Data"),
        sub_event(255, 8, "Diagnostics", 11, "Return Bus Message Count"),
        event(255, 11, "Get Comm Event Counter"),
        event(255, 12, "Get Comm Event Log"),
        event(255, 17, "Report Server ID"),
        identification(),
        identification(),
        identification(),
        event(255, 24, "Read FIFO Queue"),
        event(17, 1, "Read Coils"),
    ];
    assert_eq!(events(&incident), wanted);
}

#[test]
fn nmap_discovers_the_device_and_nothing_behind_it() {
    if !have("nmap") {
        return;
    }
    let nest = Nest::start(CONFIG);
    let port = nest.port("modbus").to_string();
    let address = nest.address.to_string();
    let scan = |arguments: &str| {
        let script = ["-Pn", "-n", "-p", &port, "--script", "+modbus-discover"];
        let mut all = script.to_vec();
        all.extend(["--script-args", arguments, &address]);
        client("nmap", &all)
    };
    let names = "Device identification: Rockwell Automation/Allen Bradley 1 1.2";
    let said = scan("unused=1");
    let id = "Slave ID data: \\x01\\xFF1769-L23E-QB1 Ethernet Port";
    for wanted in ["sid 0x1:", id, names] {
        assert!(said.contains(wanted), "{wanted}:\n{said}");
    }
    assert!(!said.contains("sid 0x2:"), "{said}");
    let said = scan("modbus-discover.aggressive=true");
    assert!(said.contains("sid 0x1:") && said.contains(names), "{said}");
    let nothing = said.matches("error: GATEWAY PATH UNAVAILABLE").count();
    assert_eq!(nothing, 245, "{said}");
    let first = nest.api("incidents/all");
    assert_eq!(first["incidents"].as_array().unwrap().len(), 1);
}

#[test]
fn a_thousand_requests_are_one_incident() {
    let nest = Nest::start(CONFIG);
    let port = nest.port("modbus");
    let mut stream = TcpStream::connect((nest.address, port)).unwrap();
    for n in 0..1_000_u16 {
        let [high, low] = n.to_be_bytes();
        let request = [high, low, 0, 0, 0, 6, 1, 3, 0, low % 100, 0, 1];
        stream.write_all(&request).unwrap();
        let mut answer = [0; 11];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(answer[..9], [high, low, 0, 0, 0, 5, 1, 3, 2]);
    }
    let incident = nest.incident(TITLE, 1_000);
    check_frame(&nest, &incident, "18002", port);
    let wanted = event(1, 3, "Read Holding Registers");
    assert!(events(&incident).iter().all(|event| *event == wanted));
}
