//! A Console in memory's reach: real store, real router, no socket.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use coalmine_console::api::{Client, router};
use coalmine_console::{Catalogue, Console, ConsoleConfig, Shared, ingest, now};
use coalmine_core::settings::Fault;
use coalmine_core::token::{
    self, Answer, Artefact, ArtefactFile, Ask, CloudProvider, Group, Hit, Mint, Reach, Takes,
    Token, TokenChannel, Trip,
};
use coalmine_core::{
    Endpoint, Event, EventKind, NodeId, Sighting, SightingId, Subject, Timestamp, TokenId,
    TokenKind,
};
use coalmine_store::Store;
use coalmine_store::devices::{DeviceReport, DeviceService};
use coalmine_store::keys::{NewKey, Role};
use http_body_util::BodyExt as _;
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use serde_json::{Map, Value, json};
use tokio::sync::watch;

coalmine_core::event! {
    /// A login.
    pub struct SshLogin: "sshlogin", "SSH Login Attempt", [4002 ""] {
        /// Who.
        username: String => "USERNAME" = "root",
        /// Secret.
        password: String => "PASSWORD" = "hunter2",
    }
}

static TOUCHED: EventKind = token::event_kind(&[]);

static PLAIN: TokenKind = TokenKind {
    id: "http",
    title: "Web Bug",
    description: "Canarytoken triggered",
    doc: "A URL.",
    group: Group::Web,
    trial: "",
    logtype: 17000,
    channels: &[TokenChannel::Http],
    reach: Reach::Direct,
    asks: &[Ask {
        name: "browser_scanner_enabled",
        doc: "Scanner.",
        required: false,
        takes: Takes::Bool(true),
    }],
    event: &[],
    mint: |mint| {
        let mut fields = Map::new();
        let scanner = match mint
            .params
            .get("browser_scanner_enabled")
            .map(String::as_str)
        {
            None | Some("true" | "True") => true,
            Some("false" | "False") => false,
            _ => {
                return Err(vec![Fault::new(
                    "browser_scanner_enabled",
                    "takes true or false",
                )]);
            }
        };
        fields.insert("browser_scanner_enabled".to_owned(), scanner.into());
        Ok(Artefact {
            fields,
            ..Artefact::default()
        })
    },
    trip: nothing,
};

static FILED: TokenKind = TokenKind {
    id: "aws-id",
    title: "AWS API Key",
    description: "Amazon API Key",
    doc: "A key.",
    group: Group::Web,
    trial: "",
    logtype: 17012,
    channels: &[TokenChannel::Http],
    reach: Reach::Direct,
    asks: &[],
    event: &[],
    mint: filed,
    trip: nothing,
};

/// Asks for everything that can be asked for.
static MANY: TokenKind = TokenKind {
    id: "many",
    title: "Many",
    description: "Many",
    doc: "Many things.",
    group: Group::Web,
    trial: "",
    logtype: 17003,
    channels: &[TokenChannel::Http, TokenChannel::Dns],
    reach: Reach::Local("Only here."),
    asks: &[
        ask("browser_redirect_url", false, Takes::Url),
        ask("industry", false, Takes::Choice(&["tech", "corporate"])),
        ask(
            "doc",
            false,
            Takes::File {
                max: 2 * 1024 * 1024,
                accepts: &["docx"],
            },
        ),
        ask("idp_app_type", false, Takes::Text(20)),
        ask("s3_source_bucket", false, Takes::Text(20)),
    ],
    event: &[coalmine_core::event::Field {
        name: "cloned_site",
        shape: coalmine_core::event::Shape::String,
        optional: true,
        doc: "Where.",
        sample: || json!("x"),
    }],
    mint: |mint| {
        let file = mint.file("doc").map(|doc| ArtefactFile {
            name: doc.name.clone(),
            mime: "application/x-doc",
            bytes: [&doc.bytes, mint.url("png").as_bytes()].concat(),
        });
        let to = mint.param("browser_redirect_url").unwrap_or_default();
        Ok(Artefact {
            fields: Map::from_iter([("browser_redirect_url".to_owned(), to.into())]),
            file,
            renders: [("web".to_owned(), format!("see {}", mint.hostname()))].into(),
            aliases: vec![token::Alias {
                channel: TokenChannel::Http,
                key: format!("KEY{}", mint.id),
            }],
        })
    },
    trip: nothing,
};

/// Cannot do without a redirect.
static AWAY: TokenKind = TokenKind {
    id: "fast-redirect",
    title: "Fast Redirect",
    description: "Fast HTTP Redirect",
    doc: "Away.",
    group: Group::Web,
    trial: "",
    logtype: 17016,
    channels: &[TokenChannel::Http],
    reach: Reach::Direct,
    asks: &[ask("browser_redirect_url", true, Takes::Url)],
    event: &[],
    mint: |mint| {
        let to = mint.param("browser_redirect_url").unwrap_or_default();
        Ok(Artefact {
            fields: Map::from_iter([("browser_redirect_url".to_owned(), to.into())]),
            ..Artefact::default()
        })
    },
    trip: nothing,
};

const fn ask(name: &'static str, required: bool, takes: Takes) -> Ask {
    Ask {
        name,
        doc: "Something.",
        required,
        takes,
    }
}

fn filed(mint: &Mint<'_>) -> Result<Artefact, Vec<Fault>> {
    let secret = mint.seed.number("secret", 0, u64::MAX);
    let mut fields = mint.cloud.cloned().unwrap_or_default();
    fields.insert("username".to_owned(), "root".into());
    Ok(Artefact {
        fields,
        file: Some(ArtefactFile {
            name: "credentials".to_owned(),
            mime: "text/plain",
            bytes: format!("key={} secret={secret}\n", mint.id).into_bytes(),
        }),
        ..Artefact::default()
    })
}

fn nothing(_: &Token, _: &Hit<'_>) -> Trip {
    Trip::alert(Map::new(), Answer::Plain)
}

/// A Console and a global admin key.
pub struct Bench {
    pub console: Shared,
    pub key: String,
    router: TowerToHyperService<axum::Router>,
    _dir: tempfile::TempDir,
}

/// An answer, read.
pub struct Got {
    pub status: StatusCode,
    pub headers: axum::http::HeaderMap,
    pub text: String,
    pub json: Value,
}

impl Bench {
    pub async fn new() -> Self {
        Self::with_clouds(Vec::new()).await
    }

    /// The same with accounts at clouds.
    pub async fn with_clouds(clouds: Vec<Arc<dyn CloudProvider>>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&format!("sqlite:{}", dir.path().join("t.db").display())).unwrap();
        let mut config = config(dir.path());
        config.token_others.clouds = clouds;
        let console: Shared = Arc::new(Console {
            store,
            catalogue: catalogue(),
            config,
            changes: watch::Sender::new(0),
            probes: Default::default(),
            placing: Default::default(),
            stop: watch::Sender::new(false),
        });
        let mut bench = Self {
            router: TowerToHyperService::new(router(Arc::clone(&console))),
            console,
            key: String::new(),
            _dir: dir,
        };
        bench.key = bench.make_key(Role::Admin, None).await;
        bench
    }

    /// Another key.
    pub async fn make_key(&self, role: Role, flock: Option<&str>) -> String {
        let secret = coalmine_console::setup::api_key().unwrap();
        let new = NewKey {
            key_id: secret[..8].to_owned(),
            role,
            flock_id: flock.map(str::to_owned),
            note: "test".to_owned(),
            created: now(),
            created_by: "test".to_owned(),
        };
        self.console
            .store
            .keys()
            .create(new, &secret)
            .await
            .unwrap();
        secret
    }

    /// Sends any request.
    pub async fn send(&self, request: Request<Body>) -> Got {
        let mut request = request;
        let client: SocketAddr = "192.0.2.77:4000".parse().unwrap();
        request.extensions_mut().insert(Client(client));
        let response: Response<Body> = self.router.call(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Got {
            status: parts.status,
            headers: parts.headers,
            json: serde_json::from_str(&text).unwrap_or(Value::Null),
            text,
        }
    }

    /// `METHOD /api/v1/PATH` with these parameters as clients send them (query for GET and DELETE,
    /// form for POST) and this key in the header.
    pub async fn call_as(
        &self,
        key: &str,
        method: &str,
        path: &str,
        params: &[(&str, &str)],
    ) -> Got {
        let encoded = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(params)
            .finish();
        let builder = Request::builder()
            .method(method)
            .header("host", "console.test:8443")
            .header("x-canary-auth-token", key);
        let request = if method == "POST" {
            builder
                .uri(format!("/api/v1/{path}"))
                .header("content-type", "application/x-www-form-urlencoded")
                .body(Body::from(encoded))
        } else {
            builder
                .uri(format!("/api/v1/{path}?{encoded}"))
                .body(Body::empty())
        };
        self.send(request.unwrap()).await
    }

    /// The same as the global administrator.
    pub async fn call(&self, method: &str, path: &str, params: &[(&str, &str)]) -> Got {
        self.call_as(&self.key, method, path, params).await
    }

    /// A GET that must succeed.
    pub async fn get(&self, path: &str, params: &[(&str, &str)]) -> Value {
        let got = self.call("GET", path, params).await;
        assert_eq!(got.status, 200, "{path}: {}", got.text);
        assert_eq!(got.json["result"], "success", "{path}");
        got.json
    }

    /// A POST that must succeed.
    pub async fn post(&self, path: &str, params: &[(&str, &str)]) -> Value {
        let got = self.call("POST", path, params).await;
        assert_eq!(got.status, 200, "{path}: {}", got.text);
        assert_eq!(got.json["result"], "success", "{path}");
        got.json
    }

    /// Somebody logs in on a bird.
    pub async fn login(&self, bird: NodeId, source: &str, at: Timestamp) {
        let event = SshLogin {
            username: "root".to_owned(),
            password: "hunter2".to_owned(),
        };
        let ends = (end(source, 50_000), end("192.0.2.20", 22));
        let sighting = Sighting::new(
            SightingId::from_parts(now().micros().unsigned_abs(), rand_bits()),
            at,
            Subject::Bird(bird),
            ends,
            &event,
        );
        ingest::record_now(&self.console, vec![sighting])
            .await
            .unwrap();
    }

    /// Somebody tries an SSH key on a bird.
    pub async fn key_login(&self, bird: NodeId, source: &str, key: &str) {
        let fields = json!({
            "USERNAME": "deploy", "KEY": key, "LOCALVERSION": "SSH-2.0-x",
            "REMOTEVERSION": "SSH-2.0-y",
        });
        let sighting = Sighting {
            id: SightingId::from_parts(now().micros().unsigned_abs(), rand_bits()),
            at: now(),
            subject: Subject::Bird(bird),
            kind: "sshlogin".into(),
            logtype: 4002,
            src: end(source, 40_000),
            dst: end("192.0.2.20", 22),
            fields: serde_json::value::to_raw_value(&fields).unwrap(),
        };
        ingest::record_now(&self.console, vec![sighting])
            .await
            .unwrap();
    }

    /// A POST of `multipart/form-data`: texts, then files (parameter, name, bytes).
    pub async fn upload(
        &self,
        path: &str,
        params: &[(&str, &str)],
        files: &[(&str, &str, &[u8])],
    ) -> Got {
        let mut body = Vec::new();
        for (name, value) in params {
            body.extend(
                format!(
                    "--X\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
                )
                .bytes(),
            );
        }
        for (name, file, bytes) in files {
            body.extend(
                format!(
                    "--X\r\nContent-Disposition: form-data; name=\"{name}\"; \
                     filename=\"{file}\"\r\nContent-Type: application/x\r\n\r\n"
                )
                .bytes(),
            );
            body.extend_from_slice(bytes);
            body.extend(b"\r\n");
        }
        body.extend(b"--X--\r\n");
        let request = Request::post(format!("/api/v1/{path}"))
            .header("x-canary-auth-token", &self.key)
            .header("content-type", "multipart/form-data; boundary=X")
            .body(Body::from(body));
        self.send(request.unwrap()).await
    }

    /// Somebody touches a token.
    pub async fn touch(&self, token: &str, source: &str, at: Timestamp) {
        let token: TokenId = token.parse().unwrap();
        let fields = json!({
            "type": "http", "kind": "http", "channel": "http", "canarytoken": token.as_str(),
            "headers": {"User-Agent": "curl/8"}, "url": "http://t.test/", "logtype": "17000",
            "description": "Canarytoken triggered",
        });
        let sighting = Sighting {
            id: SightingId::from_parts(now().micros().unsigned_abs(), rand_bits()),
            at,
            subject: Subject::Token(token),
            kind: TOUCHED.key.into(),
            logtype: 17_000,
            src: end(source, 40_000),
            dst: end("192.0.2.30", 80),
            fields: serde_json::value::to_raw_value(&fields).unwrap(),
        };
        ingest::record_now(&self.console, vec![sighting])
            .await
            .unwrap();
    }

    /// A bird reports.
    pub async fn bird(&self, bird: NodeId, name: &str) {
        let mut settings = Map::new();
        settings.insert("device.name".to_owned(), name.into());
        settings.insert("device.ippers".to_owned(), "linux".into());
        settings.insert("device.mac".to_owned(), "00:00:00:00:00:00".into());
        settings.insert("ssh.enabled".to_owned(), true.into());
        let report = DeviceReport {
            node_id: bird,
            name: name.to_owned(),
            description: "SVR Room".to_owned(),
            address: "192.0.2.20".to_owned(),
            personality: "linux-db".to_owned(),
            version: "0.1.0".to_owned(),
            started: now(),
            settings,
            services: vec![DeviceService {
                id: "ssh".to_owned(),
                transport: "tcp".to_owned(),
                port: 22,
                problem: None,
            }],
        };
        let devices = self.console.store.devices();
        devices.report(report, now()).await.unwrap();
        devices.mark_alive(bird, now()).await.unwrap();
    }
}

pub fn node(number: u8) -> NodeId {
    NodeId::new([0, 2, 70, 236, 101, 239, 148, number])
}

fn end(ip: &str, port: u16) -> Endpoint {
    Endpoint {
        ip: ip.parse().unwrap(),
        port,
    }
}

static KINDS: &[&TokenKind] = &[&PLAIN, &FILED, &MANY, &AWAY];

fn rand_bits() -> u128 {
    u128::from_be_bytes(coalmine_console::setup::random().unwrap())
}

pub fn catalogue() -> Catalogue {
    Catalogue {
        events: vec![
            SshLogin::KIND,
            &TOUCHED,
            coalmine_console::breadcrumbs::KINDS[0],
        ],
        decoys: vec![],
        tokens: KINDS,
    }
}

pub fn config(dir: &std::path::Path) -> ConsoleConfig {
    ConsoleConfig {
        dir: dir.join("console"),
        store: format!("sqlite:{}", dir.join("coalmine.db").display()),
        listen: "127.0.0.1:0".parse().unwrap(),
        names: vec!["console.test".to_owned()],
        zone: "tokens.test".to_owned(),
        nx_zone: None,
        public_address: "127.0.0.1".parse().unwrap(),
        token_http: "127.0.0.1:80".parse().ok(),
        token_dns: None,
        token_others: coalmine_console::channels::Others::default(),
        mailboxes: Vec::new(),
        token_sources: coalmine_console::channels::SourceFiles::default(),
        reverse_lookups: false,
        version: "0.0.0",
    }
}
