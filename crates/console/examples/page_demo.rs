//! Serves the page over a store filled with made-up sightings, to look at it while working on it.
//!
//! `cargo run -p coalmine-console --example page_demo -- PORT busy|empty|many`, then sign in at
//! `http://127.0.0.1:PORT/` as `admin` with `coalmine-demo`. A new sighting arrives every few
//! seconds in `busy`.

use std::borrow::Cow;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{ConnectInfo, Request};
use axum::middleware::{Next, from_fn};
use coalmine_console::engine::Engine;
use coalmine_console::{Catalogue, Console, ConsoleConfig, Shared, now, page};
use coalmine_core::event::{EventKind, Logtype};
use coalmine_core::token::TokenId;
use coalmine_core::{Endpoint, NodeId, Seed, Sighting, SightingId, Subject, Timestamp};
use coalmine_store::Store;
use coalmine_store::devices::DeviceReport;
use coalmine_store::users::User;
use serde_json::json;
use serde_json::value::to_raw_value;

type Failure = Box<dyn std::error::Error + Send + Sync>;

const BIRDS: [(u8, &str, &str, &str); 5] = [
    (
        2,
        "files-02",
        "Server room, next to the real files-01",
        "linux-nas",
    ),
    (3, "db-legacy", "Database segment", "linux-db"),
    (4, "print-hr", "Human resources, second floor", "printer"),
    (5, "plc-hall-3", "Plant network", "plc"),
    (6, "win-jump", "Administration", "win2019"),
];

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let port: u16 = arguments.next().unwrap_or_default().parse().unwrap_or(8899);
    let mode = arguments.next().unwrap_or_else(|| "busy".to_owned());
    let dir = std::env::temp_dir().join(format!("coalmine-page-demo-{port}"));
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir)?;
    let console = console(&dir)?;
    let hash = page::password::hash("coalmine-demo")
        .await
        .ok_or("no hash")?;
    console
        .store
        .users()
        .create(User {
            email: "admin".to_owned(),
            name: "Administrator".to_owned(),
            password_hash: hash,
            admin: true,
            disabled: false,
            created: now(),
            last_login: None,
        })
        .await?;
    match mode.as_str() {
        "empty" => {}
        "many" => {
            birds(&console).await?;
            many(&console).await?;
        }
        _ => {
            birds(&console).await?;
            history(&console).await?;
            tokio::spawn(arrivals(Arc::clone(&console)));
        }
    }
    let app = page::router(Arc::clone(&console))
        .merge(coalmine_console::api::router(console))
        .layer(from_fn(note_client));
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    axum::serve(
        listener,
        app.into_make_service_with_connect_info::<SocketAddr>(),
    )
    .await?;
    Ok(())
}

async fn note_client(
    ConnectInfo(address): ConnectInfo<SocketAddr>,
    mut request: Request,
    next: Next,
) -> axum::response::Response {
    request
        .extensions_mut()
        .insert(coalmine_console::api::Client(address));
    next.run(request).await
}

macro_rules! kinds {
    ($( $key:literal $title:literal $code:literal ),+ $(,)?) => {
        vec![ $( &EventKind { key: $key, title: $title, doc: "", logtypes: &[Logtype { code: $code, means: "" }], fields: &[], timestamps: true } ),+ ]
    };
}

fn console(dir: &std::path::Path) -> Result<Shared, Failure> {
    let store = Store::open(&format!("sqlite:{}", dir.join("coalmine.db").display()))?;
    let catalogue = Catalogue {
        events: kinds! {
            "sshlogin" "SSH Login Attempt" 4002, "ftplogin" "FTP Login Attempt" 2000,
            "mysqllogin" "MySQL Login Attempt" 8001, "hostportscan" "Host Port Scan" 5003,
            "consolidatednetworkportscan" "Consolidated Network Port Scan" 5007,
            "smbfileopen" "Shared File Opened" 5000, "httplogin" "HTTP Login Attempt" 3001,
            "httpload" "HTTP Page Load" 3000, "telnetlogin" "Telnet Login Attempt" 6001,
            "tftp" "TFTP Request" 10001, "modbus" "ModBus Request" 18002,
            "canarytoken" "Canarytoken triggered" 17000, "devicedied" "Canary Disconnected" 1004,
            "somethingnew" "Something New" 9999,
        },
        decoys: vec![],
        tokens: &[],
    };
    let config = ConsoleConfig {
        dir: dir.to_owned(),
        store: String::new(),
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        names: vec![],
        zone: "tokens.example.test".to_owned(),
        nx_zone: None,
        public_address: Ipv4Addr::LOCALHOST.into(),
        token_http: None,
        token_dns: None,
        token_others: coalmine_console::channels::Others::default(),
        mailboxes: Vec::new(),
        token_sources: coalmine_console::channels::SourceFiles::default(),
        reverse_lookups: false,
        version: "0.1.0",
    };
    let (changes, _) = tokio::sync::watch::channel(0);
    Ok(Arc::new(Console {
        store,
        catalogue,
        config,
        changes,
        probes: Default::default(),
        placing: Default::default(),
        stop: tokio::sync::watch::Sender::new(false),
    }))
}

fn bird(number: u8) -> NodeId {
    NodeId::new([0, 2, 0x46, 0xec, 0x65, 0xef, 0x94, number])
}

async fn birds(console: &Shared) -> Result<(), Failure> {
    for (number, name, place, personality) in BIRDS {
        let report = DeviceReport {
            node_id: bird(number),
            name: name.to_owned(),
            description: place.to_owned(),
            address: format!("10.1.4.{number}"),
            personality: personality.to_owned(),
            version: "0.1.0".to_owned(),
            started: ago(86_400 * 3),
            settings: serde_json::Map::new(),
            services: vec![],
        };
        console.store.devices().report(report, now()).await?;
    }
    console
        .store
        .devices()
        .mark_dead(bird(6), ago(1_800))
        .await?;
    Ok(())
}

fn ago(seconds: i64) -> Timestamp {
    Timestamp::from_micros(now().micros().saturating_sub(seconds * 1_000_000))
}

fn sighting(
    number: u128,
    at: Timestamp,
    subject: Subject,
    source: [u8; 4],
    (kind, logtype, port): (&'static str, u32, u16),
    fields: &serde_json::Value,
) -> Result<Sighting, Failure> {
    Ok(Sighting {
        id: SightingId::from(number),
        at,
        subject,
        kind: Cow::Borrowed(kind),
        logtype,
        src: Endpoint {
            ip: source.into(),
            port: 40_000,
        },
        dst: Endpoint {
            ip: [10, 1, 4, 2].into(),
            port,
        },
        fields: to_raw_value(fields)?,
    })
}

async fn record(console: &Shared, sightings: Vec<Sighting>) -> Result<(), Failure> {
    let settings = console.store.settings().console().await?;
    let engine = Arc::new(Engine::new(
        settings,
        &console.catalogue,
        coalmine_console::scan_ignore::Birds::default(),
        now(),
    ));
    let done = console.store.incidents().record(sightings, engine).await?;
    console.changes.send_replace(done.updated_id);
    Ok(())
}

async fn history(console: &Shared) -> Result<(), Failure> {
    let mut all = Vec::new();
    let mut id = 0;
    let mut add = |at, subject, source, kind, fields: serde_json::Value| -> Result<(), Failure> {
        id += 1;
        all.push(sighting(id, at, subject, source, kind, &fields)?);
        Ok(())
    };
    const SSH: (&str, u32, u16) = ("sshlogin", 4002, 22);
    for day in (1..5).rev() {
        add(
            ago(86_400 * day),
            Subject::Bird(bird(2)),
            [10, 1, 4, 7],
            ("hostportscan", 5003, 0),
            json!({"ports": "21,22,23,80,443,445,3306,8080"}),
        )?;
        for i in 0..30 {
            add(
                ago(80_000 * day - i * 7),
                Subject::Bird(bird(4)),
                [203, 0, 113, 90],
                ("httpload", 3000, 80),
                json!({"PATH": format!("/wp-admin/{i}.php"), "USERAGENT": "Mozilla/5.0 zgrab/0.x", "METHOD": "GET", "RESPONSE": 404, "SKIN": "printer"}),
            )?;
        }
    }
    let users = [
        "root",
        "admin",
        "backup",
        "oracle",
        "svc-backup",
        "<script>alert(1)</script>",
        "pi\u{202e}gnp.exe",
        "",
    ];
    let words = [
        "123456",
        "password",
        "Summer2026!",
        "hunter2",
        "<img src=x onerror=alert(2)>",
        "toor",
        "a\u{0}b\r\nc",
    ];
    for i in 0..312u16 {
        let user = users[usize::from(i / 3) % users.len()];
        let word = words[usize::from(i) % words.len()];
        add(
            ago(1_400 - i64::from(i) * 4),
            Subject::Bird(bird(2)),
            [10, 1, 4, 7],
            SSH,
            json!({"USERNAME": user, "PASSWORD": word, "LOCALVERSION": "SSH-2.0-OpenSSH_9.2p1", "REMOTEVERSION": "SSH-2.0-libssh2_1.10.0"}),
        )?;
    }
    for i in 0..6 {
        add(
            ago(21_000 - i * 9),
            Subject::Bird(bird(3)),
            [10, 1, 4, 7],
            ("mysqllogin", 8001, 3306),
            json!({"USERNAME": "root", "SALT": format!("1c24ab8d0ee94d70ab1f2e814d8f0948a14d10b{i}"), "CLIENT_HASH": "437e93572f18ae44d9e779160c2505271f85821d", "PASSWORD": "<Password not in common list>"}),
        )?;
    }
    for (i, file) in [
        "hr\\salaries-2026.xlsx",
        "hr\\contracts\\ceo.docx",
        "it\\passwords.kdbx",
        "it\\network\\core-switch.cfg",
        "readme.txt",
    ]
    .iter()
    .enumerate()
    {
        add(
            ago(9_000 - i64::try_from(i)? * 6),
            Subject::Bird(bird(2)),
            [10, 1, 7, 31],
            ("smbfileopen", 5000, 445),
            json!({"USER": "CORP\\j.miller", "FILENAME": file, "SHARENAME": "Shared", "STATUS": "success"}),
        )?;
    }
    for number in 2..7 {
        for (step, ports) in [(0, "22,80,443,445"), (9, "3389,8080")] {
            if number < 5 || step == 0 {
                add(
                    ago(600 - i64::from(number) - step),
                    Subject::Bird(bird(number)),
                    [10, 1, 8, number],
                    ("hostportscan", 5003, 0),
                    json!({"ports": format!("21,23,25,{ports}")}),
                )?;
            }
        }
    }
    add(
        ago(590),
        Subject::Bird(bird(2)),
        [10, 1, 8, 9],
        ("consolidatednetworkportscan", 5007, 22),
        json!({"22": ["10.1.4.2", "10.1.4.3", "10.1.4.4", "10.1.4.5"], "80": ["10.1.4.2", "10.1.4.3"],
            "443": ["10.1.4.2", "10.1.4.3", "10.1.4.4", "10.1.4.5"], "3389": ["10.1.4.4", "10.1.4.5"]}),
    )?;
    add(
        ago(5_400),
        Subject::Bird(bird(4)),
        [10, 1, 9, 12],
        ("ftplogin", 2000, 21),
        json!({"USERNAME": "x".repeat(3000), "PASSWORD": "anonymous@"}),
    )?;
    add(
        ago(4_000),
        Subject::Bird(bird(5)),
        [10, 1, 9, 12],
        ("modbus", 18_002, 502),
        json!({"UNIT_ID": 1, "FUNC_CODE": 3, "FUNC_NAME": "Read Holding Registers", "SFUNC_CODE": "", "SFUNC_NAME": ""}),
    )?;
    add(
        ago(3_500),
        Subject::Bird(bird(4)),
        [192, 168, 0, 9],
        ("somethingnew", 9999, 4242),
        json!({"DATA": "?"}),
    )?;
    add(
        ago(700),
        Subject::Token(TokenId::from_seed(&Seed::new([7; 32]))),
        [198, 51, 100, 77],
        ("canarytoken", 17_000, 80),
        json!({"type": "http", "canarytoken": "x", "headers": {"User-Agent": "curl/7.88", "X": "<b>bold</b>"}, "url": "http://tokens.example.test/static/x/image.gif"}),
    )?;
    add(
        ago(1_800),
        Subject::Bird(bird(6)),
        [0, 0, 0, 0],
        ("devicedied", 1004, 0),
        json!({}),
    )?;
    all.sort_by_key(|s| s.at);
    for part in all.chunks(64) {
        record(console, part.to_vec()).await?;
    }
    let filter = coalmine_store::incidents::Filter {
        older_than: Some(ago(43_200)),
        ..Default::default()
    };
    console
        .store
        .incidents()
        .act(
            filter,
            coalmine_store::incidents::Action::Acknowledge,
            false,
            "admin",
            now(),
        )
        .await?;
    Ok(())
}

/// A hundred thousand incidents, to scroll.
async fn many(console: &Shared) -> Result<(), Failure> {
    for part in 0..200u128 {
        let mut all = Vec::new();
        for i in 0..500u128 {
            let n = part * 500 + i;
            let bytes = u32::try_from(n)?.to_be_bytes();
            let source = [10, bytes[1], bytes[2], bytes[3]];
            all.push(sighting(
                n + 1,
                ago(100_000 - i64::try_from(n)?),
                Subject::Bird(bird(2 + u8::try_from(n % 5)?)),
                source,
                ("sshlogin", 4002, 22),
                &json!({"USERNAME": "root", "PASSWORD": format!("p{n}")}),
            )?);
        }
        record(console, all).await?;
    }
    Ok(())
}

async fn arrivals(console: Shared) {
    for i in 0u128.. {
        tokio::time::sleep(Duration::from_secs(7)).await;
        let source = [172, 16, 0, u8::try_from(i % 250).unwrap_or(0)];
        let made = sighting(
            1 << 100 | i,
            now(),
            Subject::Bird(bird(3)),
            source,
            ("telnetlogin", 6001, 23),
            &json!({"USERNAME": "root", "PASSWORD": "xc3511"}),
        );
        if let Ok(made) = made {
            let _ = record(&console, vec![made]).await;
        }
    }
}
