//! Scanners and ordinary traffic on a real network, and what the program makes of their packets.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use serde_json::{Value, json};

use crate::lab::{BIRD, BIRD_MAC, Host, Lab, SECOND_BIRD, SIXTH_BIRD};
use crate::nest::{Nest, await_some, have};
use crate::seen::{check_frame_from, events};

/// Three birds on one machine; the second has a short window, so that slow means over a second.
const BIRDS: &str = r#"
[[bird]]
name = "files-02"
personality = "linux-nas"
address = "10.77.0.11"
[[bird]]
name = "files-03"
personality = "linux-nas"
address = "10.77.0.12"
[bird.portscan]
enabled = true
window_seconds = 1
[[bird]]
name = "files-06"
personality = "linux-nas"
address = "fd77::11"
"#;

const HOST: &str = "Host Port Scan";
const OS: &str = "NMAP OS Scan Detected";
const NULL: &str = "NMAP NULL Scan Detected";
const XMAS: &str = "NMAP XMAS Scan Detected";
const FIN: &str = "NMAP FIN Scan Detected";
const SWEEP: &str = "Consolidated Network Port Scan";
const TITLES: [&str; 5] = [HOST, OS, NULL, XMAS, FIN];

/// Command lines and the titles that they must give, no more and no less. `{bird}` and the like stand
/// for addresses; every line runs on a machine of its own.
const SCANS: &[(&str, &[&str])] = &[
    ("nmap -sS -p20-60 {bird}", &[HOST]),
    ("nmap -sS -p60001-60010 {bird}", &[HOST]),
    ("nmap -sS -p22,80,139,443,445 {bird}", &[HOST]),
    ("nmap -sT -p20-60 {bird}", &[HOST]),
    ("nmap -sT -p60001-60010 {bird}", &[HOST]),
    ("nmap -sF -p20-60 {bird}", &[FIN]),
    ("nmap -sF -p60001-60010 {bird}", &[FIN]),
    ("nmap -sN -p20-60 {bird}", &[NULL]),
    ("nmap -sN -p60001-60010 {bird}", &[NULL]),
    ("nmap -sX -p20-60 {bird}", &[XMAS]),
    ("nmap -sX -p60001-60010 {bird}", &[XMAS]),
    ("nmap -sA -p20-60 {bird}", &[HOST]),
    ("nmap -sW -p20-60 {bird}", &[HOST]),
    ("nmap -sM -p20-60 {bird}", &[HOST]),
    (
        "nmap -sU -p53,123,161,500,1900,5000 --max-retries 0 {bird}",
        &[HOST],
    ),
    (
        "nmap -sV --version-intensity 0 -p22,80,139,445,8080 {bird}",
        &[HOST],
    ),
    ("nmap -O -p22,1 {bird}", &[OS]),
    ("nmap -O -p1,2 {bird}", &[OS]),
    ("nmap -O -p22 {bird}", &[OS]),
    ("nmap -O -p20-60 {bird}", &[OS, HOST]),
    ("nmap -sX -O -p22,1 {bird}", &[OS, XMAS]),
    ("nmap -sS -f -p20-40 {bird}", &[HOST]),
    ("nmap -sS -ff -p20-40 {bird}", &[HOST]),
    ("nmap -sX -f -p20-40 {bird}", &[XMAS]),
    ("nmap -sS -D 10.77.2.1,10.77.2.2,ME -p20-40 {bird}", &[HOST]),
    ("nmap -sS --scanflags SYNFIN -p20-40 {bird}", &[HOST]),
    ("nmap -sS --scanflags SYNRST -p20-40 {bird}", &[HOST]),
    ("nmap -sS --scanflags PSHURG -p20-40 {bird}", &[XMAS]),
    ("nmap -sS --scanflags SYNECECWR -p20-40 {bird}", &[HOST]),
    ("nmap -sS --scanflags FINECE -p20-40 {bird}", &[FIN]),
    ("nmap -sS -T2 -p22,80,1,2,3,4 {bird}", &[HOST]),
    ("nmap -sS --badsum -p20-40 --max-retries 0 {bird}", &[HOST]),
    ("nmap -sS --data-length 33 -g 53 -p20-40 {bird}", &[HOST]),
    ("nmap -sS --ip-options R -p20-40 {bird}", &[HOST]),
    (
        "nmap -sS --scan-delay 1100ms --max-retries 0 -p1-7 {second}",
        &[HOST],
    ),
    ("nmap -6 -sS -p20-60 {sixth}", &[HOST]),
    ("nmap -6 -sT -p20-60 {sixth}", &[HOST]),
    ("nmap -6 -sF -p20-60 {sixth}", &[FIN]),
    ("nmap -6 -sX -p20-60 {sixth}", &[XMAS]),
    ("nmap -6 -O -p22,1 {sixth}", &[OS]),
    (
        "masscan {bird}/32 -p20-120 --rate 1000 --wait 0 -e eth0 --adapter-ip {me} --router-mac {mac}",
        &[HOST],
    ),
    ("hping3 -q -S --scan 1-20 {bird}", &[HOST]),
    ("hping3 -q -i u20000 -S -p ++60001 -c 12 {bird}", &[HOST]),
    ("hping3 -q -i u20000 -F -p ++60001 -c 12 {bird}", &[FIN]),
    ("hping3 -q -i u20000 -p ++60001 -c 12 {bird}", &[NULL]),
    (
        "hping3 -q -i u20000 -F -P -U -p ++60001 -c 12 {bird}",
        &[XMAS],
    ),
    ("hping3 -q -i u20000 -P -p ++60001 -c 12 {bird}", &[XMAS]),
    (
        "hping3 -q -i u20000 -U -X -Y -p ++60001 -c 12 {bird}",
        &[XMAS],
    ),
    ("hping3 -q -i u20000 -A -p ++1001 -c 12 {bird}", &[HOST]),
    ("hping3 -q -i u20000 -2 -p ++60001 -c 12 {bird}", &[HOST]),
    // Nothing of this is a scan of ports.
    ("nmap -sn -PE {bird}", &[]),
    ("nmap -sS -p22,80,443,1 {bird}", &[]),
    ("nmap -sS --scanflags RSTACK -p20-40 {bird}", &[]),
    ("nmap --traceroute -sn -PS22 {bird}", &[]),
    ("hping3 -q -i u20000 -S -A -p ++60001 -c 40 {bird}", &[]),
    (
        "hping3 -q -i u20000 -S -A -s 80 -k -p ++20 -c 40 {bird}",
        &[],
    ),
    ("hping3 -q -i u20000 -R -p ++60001 -c 40 {bird}", &[]),
    ("hping3 -q -i u20000 -R -A -p ++20 -c 40 {bird}", &[]),
    ("hping3 -q -i u20000 -F -A -s 40000 -p 22 -c 40 {bird}", &[]),
    ("hping3 -q -i u20000 -S -p 81 -c 40 {bird}", &[]),
    ("hping3 -q -i u20000 -2 -p ++33434 -c 30 {bird}", &[]),
    ("hping3 -q -i u20000 -1 -c 20 {bird}", &[]),
    (
        "zmap -q -p 80 -r 10 -c 1 -b /dev/null -i eth0 -S {me} -G {mac} -o /dev/null {bird}/32",
        &[],
    ),
];

/// The program on the birds' machine; its Console and channels aren't on their addresses.
fn nest() -> Nest {
    let loopback = Ipv4Addr::LOCALHOST.into();
    let mut nest = Nest::start_at(loopback, 0, tempfile::tempdir().unwrap(), BIRDS);
    nest.address = BIRD.into();
    nest
}

fn have_scanners() -> bool {
    ["nmap", "masscan", "hping3", "zmap"]
        .iter()
        .all(|program| have(program))
}

fn fill(line: &str, host: &Host) -> String {
    line.replace("{bird}", &BIRD.to_string())
        .replace("{second}", &SECOND_BIRD.to_string())
        .replace("{sixth}", &SIXTH_BIRD.to_string())
        .replace("{me}", &host.address.to_string())
        .replace("{mac}", BIRD_MAC)
        .replace("nmap ", "nmap -n -Pn --send-ip ")
        .replace("-Pn --send-ip -sn", "-sn")
}

/// The incidents of scans, by source.
fn scans(nest: &Nest) -> BTreeMap<IpAddr, Vec<Value>> {
    let mut by_source = BTreeMap::<_, Vec<_>>::new();
    let all = nest.api("incidents/all");
    for incident in all["incidents"].as_array().unwrap() {
        if TITLES.iter().any(|title| incident["summary"] == *title) {
            let source = incident["description"]["src_host"].as_str().unwrap();
            let source = source.parse().unwrap();
            by_source.entry(source).or_default().push(incident.clone());
        }
    }
    by_source
}

/// The ports of a scan's latest event.
fn ports(incident: &Value) -> Vec<u16> {
    let last = events(incident).pop().unwrap();
    let ports = last["ports"].as_str().unwrap().split(',');
    ports.map(|port| port.parse().unwrap()).collect()
}

/// Starts the works together and waits for all.
fn at_once<T: Sync>(all: &[T], work: impl Fn(&T) + Sync) {
    // More at a time only keep each other from the processor.
    let next = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                while let Some(one) =
                    all.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
                {
                    work(one);
                }
            });
        }
    });
}

#[test]
fn every_scan_is_named_as_what_it_is_and_nothing_else_is() {
    if !have_scanners() {
        return;
    }
    let Some(mut lab) = Lab::new() else {
        return;
    };
    let nest = nest();
    let rows: Vec<_> = SCANS
        .iter()
        .map(|(line, titles)| (lab.host(), *line, *titles))
        .collect();
    let said: Vec<_> = rows
        .iter()
        .map(|_| std::sync::Mutex::new(String::new()))
        .collect();
    let numbered: Vec<_> = rows.iter().zip(&said).collect();
    at_once(&numbered, |((host, line, _), said)| {
        *said.lock().unwrap() = host.client(&fill(line, host));
    });

    let wanted: Vec<_> = rows
        .iter()
        .map(|(_, line, titles)| (*line, titles.iter().copied().collect::<BTreeSet<_>>()))
        .collect();
    let mut found = Vec::new();
    let as_wanted = await_some(|| {
        let seen = scans(&nest);
        found = rows
            .iter()
            .map(|(host, line, _)| {
                let bird = if line.starts_with("nmap -6") {
                    SIXTH_BIRD.into()
                } else {
                    BIRD.into()
                };
                let of = seen.get(&host.facing(bird)).into_iter().flatten();
                (
                    *line,
                    of.map(|i| i["summary"].as_str().unwrap().to_owned())
                        .collect::<Vec<_>>(),
                )
            })
            .collect();
        let distinct = found.iter().zip(&wanted).all(|((_, found), (_, wanted))| {
            // A title twice is two incidents for one source and bird.
            found.len() == wanted.len() && found.iter().all(|t| wanted.contains(t.as_str()))
        });
        distinct.then_some(())
    });
    let wrong: Vec<_> = found
        .iter()
        .zip(&wanted)
        .zip(&said)
        .filter(|(((_, found), (_, wanted)), _)| {
            found.len() != wanted.len() || !found.iter().all(|t| wanted.contains(t.as_str()))
        })
        .map(|(((line, found), (_, wanted)), said)| {
            format!(
                "{line}\n  wanted {wanted:?}\n  found {found:?}\n  it said: {}",
                said.lock().unwrap()
            )
        })
        .collect();
    assert!(
        wrong.is_empty() && as_wanted.is_some(),
        "{}",
        wrong.join("\n")
    );
    assert_eq!(nest.log().matches("ERROR").count(), 0, "{}", nest.log());
}

/// The one incident of a title from a source, once `enough` of it.
fn incident(nest: &Nest, host: &Host, title: &str, enough: impl Fn(&Value) -> bool) -> Value {
    let mut last = Value::Null;
    await_some(|| {
        let seen = scans(nest).remove(&host.address.into())?;
        last = Value::from(seen.clone());
        let mut of_title = seen.into_iter().filter(|i| i["summary"] == title);
        let one = of_title.next()?;
        (of_title.next().is_none() && enough(&one)).then_some(one)
    })
    .unwrap_or_else(|| {
        panic!(
            "no {title:?} as it should be from {}: {last:#}",
            host.address
        )
    })
}

#[test]
fn an_incident_has_every_port_and_shows_the_packet() {
    if !have_scanners() {
        return;
    }
    let Some(mut lab) = Lab::new() else {
        return;
    };
    let nest = nest();

    let host = lab.host();
    host.client(&fill("nmap -sS -r -p1-1000 {bird}", &host));
    let found = incident(&nest, &host, HOST, |i| ports(i).len() == 1_000);
    let all: HashSet<_> = ports(&found).into_iter().collect();
    assert_eq!(all, (1..=1_000).collect());
    let first = events(&found).remove(0);
    let first: Vec<_> = first["ports"].as_str().unwrap().split(',').collect();
    assert!(first.len() >= 5, "{first:?}");
    let port = found["description"]["dst_port"].as_str().unwrap();
    let source = host.address.to_string();
    check_frame_from(&nest, &source, &found, "5003", port.parse().unwrap());

    // Each names the packet that it saw; nmap gives its own a window of 1024, hping3 one of ours.
    for (flags, title, code) in [
        ("", NULL, "5005"),
        ("-F -P -U", XMAS, "5006"),
        ("-F", FIN, "5008"),
    ] {
        let host = lab.host();
        let line = "hping3 -q -c 1 {flags} -s 41000 -p 4321 -w 777 -N 4660 -t 63 -o 18 {bird}";
        host.client(&fill(&line.replace("{flags}", flags), &host));
        let found = incident(&nest, &host, title, |_| true);
        assert_eq!(found["description"]["src_port"], "41000");
        let mac = format!("{BIRD_MAC}:{}:08:00", host.mac);
        let packet = json!({
            "ID": "4660", "LEN": "40", "MAC": mac, "PREC": "0x00", "PROTO": "TCP", "RES": "0x00",
            "TOS": "0x18", "TTL": "63", "URGP": "0", "WINDOW": "777",
        });
        assert_eq!(events(&found), [packet], "{title}");
        check_frame_from(&nest, &host.address.to_string(), &found, code, 4321);
    }

    // Of OS detection the third probe is shown, which everybody knows it by.
    let host = lab.host();
    host.client(&fill("nmap -O --max-os-tries 1 -p22,1 {bird}", &host));
    let found = incident(&nest, &host, OS, |_| true);
    let first = events(&found).remove(0);
    assert_eq!(
        (&first["SYN"], &first["WINDOW"], &first["LEN"]),
        (&json!(""), &json!("256"), &json!("60"))
    );
    assert_eq!(first.get("ACK"), None);
    check_frame_from(&nest, &host.address.to_string(), &found, "5004", 22);

    // One source, two birds: an incident for each.
    let host = lab.host();
    host.client(&fill("nmap -sS -p20-60 {bird} {second}", &host));
    let found = await_some(|| {
        let found = scans(&nest).remove(&host.address.into())?;
        (found.len() == 2).then_some(found)
    });
    let found = found.expect("two incidents");
    let birds: BTreeSet<_> = found
        .iter()
        .map(|i| i["description"]["dst_host"].as_str().unwrap())
        .collect();
    assert_eq!(birds, BTreeSet::from(["10.77.0.11", "10.77.0.12"]));
    assert!(found.iter().all(|i| i["summary"] == HOST));
    check_sweep(&nest, &host);
}

/// And one for both together, whose event names every port with the birds that it was tried at.
fn check_sweep(nest: &Nest, host: &Host) {
    let found = await_some(|| {
        let all = nest.api("incidents/all");
        let mut all = all["incidents"].as_array()?.iter();
        let of_host = |i: &&Value| i["description"]["src_host"] == host.address.to_string();
        let sweep = all.find(|i| i["summary"] == SWEEP && of_host(i))?;
        let event = sweep["description"]["events"].as_array()?.first()?;
        (event.as_object()?.len() == 41).then(|| sweep.clone())
    });
    let sweep = found.expect("a sweep of 41 ports");
    assert_eq!(sweep["description"]["logtype"], "5007");
    assert_eq!(sweep["description"]["events_count"], "1");
    let event = &sweep["description"]["events"][0];
    for port in 20..=60 {
        let birds = json!(["10.77.0.11", "10.77.0.12"]);
        assert_eq!(event[port.to_string()], birds, "port {port}");
    }
    let code = format!(
        "{}
for i in console.incidents.unacknowledged():
    if i.id == '{}':
        print(json.dumps(i.events[0].ports_scanned))
",
        crate::console::CONNECT,
        sweep["id"].as_str().unwrap()
    );
    if let Some(seen) = nest.python(&code) {
        assert_eq!(seen, *event, "canarytools");
    }
}

#[test]
fn ordinary_programs_are_no_scanners() {
    let Some(mut lab) = Lab::new() else {
        return;
    };
    let nest = nest();
    let connect = |port: u16| {
        let address = SocketAddr::from((BIRD, port));
        TcpStream::connect_timeout(&address, Duration::from_secs(5))
    };

    // A browser: many connections to one port, one after another and at once.
    lab.host().inside(|| {
        let open: Vec<_> = (0..60).filter_map(|_| connect(80).ok()).collect();
        assert_eq!(open.len(), 60);
        for mut stream in open {
            write!(stream, "GET / HTTP/1.0\r\n\r\n").unwrap();
            let _ = stream.read(&mut [0; 100]);
        }
    });
    // A monitor of four ports, of which two are closed, that hangs up or resets.
    lab.host().inside(|| {
        for round in 0..25 {
            for port in [22, 80, 4001, 4002] {
                if let Ok(stream) = connect(port)
                    && round % 2 == 0
                {
                    let stream = socket2::Socket::from(stream);
                    stream.set_linger(Some(Duration::ZERO)).unwrap();
                }
            }
        }
    });
    // Somebody who looks for shares: NetBIOS names, then three ports.
    lab.host().inside(|| {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        for port in [137, 138, 67, 68] {
            let _ = socket.send_to(&[0; 50], (BIRD, port));
        }
        for port in [445, 139, 80] {
            let _ = connect(port);
        }
    });
    // An idle connection that is kept alive.
    let idle = lab.host();
    let kept = idle.inside(|| {
        let stream = connect(22).unwrap();
        let keep = socket2::TcpKeepalive::new()
            .with_time(Duration::from_secs(1))
            .with_interval(Duration::from_secs(1));
        socket2::SockRef::from(&stream)
            .set_tcp_keepalive(&keep)
            .unwrap();
        stream
    });

    // The bird's own machine asks a name server on many ports, and hangs up on a web server with
    // its answers unread, to which our kernel says RST.
    let server = lab.host();
    let (names, web) = server.inside(|| {
        let names = UdpSocket::bind((server.address, 53)).unwrap();
        let web = TcpListener::bind((server.address, 443)).unwrap();
        (names, web)
    });
    for _ in 0..30 {
        let socket = UdpSocket::bind((BIRD, 0)).unwrap();
        socket.send_to(b"who?", (server.address, 53)).unwrap();
        let (_, asker) = names.recv_from(&mut [0; 10]).unwrap();
        names.send_to(b"you", asker).unwrap();
        assert_eq!(socket.recv(&mut [0; 10]).unwrap(), 3);
        // Late, when nobody listens any more.
        drop(socket);
        names.send_to(b"you", asker).unwrap();
    }
    for _ in 0..30 {
        let stream = TcpStream::connect((server.address, 443)).unwrap();
        let (mut peer, _) = web.accept().unwrap();
        let _ = peer.write(&[0; 4_000]);
        stream.peek(&mut [0; 1]).unwrap();
        drop(stream);
        let _ = peer.write(&[0; 4_000]);
    }

    // A scan afterwards, so that all of the above has been looked at.
    let last = lab.host();
    last.inside(|| (1..=8).for_each(|port| drop(connect(port))));
    incident(&nest, &last, HOST, |i| ports(i) == [1, 2, 3, 4, 5, 6, 7, 8]);
    drop(kept);
    let sources: Vec<_> = scans(&nest).into_keys().collect();
    assert_eq!(sources, [IpAddr::from(last.address)], "{:#?}", scans(&nest));
}

#[test]
fn a_flood_in_others_names_hides_no_scan() {
    if !have_scanners() {
        return;
    }
    let Some(mut lab) = Lab::new() else {
        return;
    };
    let nest = nest();
    let (flooder, scanner, sly) = (lab.host(), lab.host(), lab.host());
    let flood = "hping3 -q --rand-source -S -i u30 -p ++1 -c 100000 {bird}";
    let said = std::thread::scope(|scope| {
        let flood = scope.spawn(|| flooder.client(&fill(flood, &flooder)));
        std::thread::sleep(Duration::from_millis(500));
        scanner.client(&fill("nmap -sS -p101-200 {bird}", &scanner));
        sly.client(&fill("nmap -sF -p101-105 {bird}", &sly));
        flood.join().unwrap()
    });
    assert!(said.contains("100000 packets transmitted"), "{said}");
    let found = incident(&nest, &scanner, HOST, |i| ports(i).len() == 100);
    let all: HashSet<_> = ports(&found).into_iter().collect();
    assert_eq!(all, (101..=200).collect());
    incident(&nest, &sly, FIN, |_| true);
    let sources: BTreeSet<_> = scans(&nest).into_keys().collect();
    assert_eq!(
        sources,
        BTreeSet::from([scanner.address.into(), sly.address.into()])
    );
}
