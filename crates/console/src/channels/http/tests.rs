//! Every answer, byte for byte.

use proptest::prelude::*;
use tokio::io::duplex;

use super::answer::PIXEL;
use super::*;
use crate::channels::FLOOR;
use crate::channels::tests::{
    AWAY, Bench, DNS, NONE, OFF, PAGE, PAGE_KEY, WEB, bench, bench_with_root, local, peer,
};

fn talker() -> Talker {
    Talker {
        peer: peer(),
        local: local(),
        channel: TokenChannel::Http,
        tls: false,
        wrong_port: false,
        client_certificate: None,
        proxies: Arc::default(),
    }
}

/// What `input` gets on a connection of its own, without dates; and how many events it makes.
async fn talk(bench: &Bench, input: &[u8]) -> String {
    let (mut near, far) = duplex(4 * 1024 * 1024);
    near.write_all(input).await.unwrap();
    near.shutdown().await.unwrap();
    converse(far, &talker(), &bench.touches).await.unwrap();
    let mut answer = Vec::new();
    near.read_to_end(&mut answer).await.unwrap();
    undated(&answer)
}

fn undated(answer: &[u8]) -> String {
    let text: String = answer.iter().map(|b| char::from(*b)).collect();
    let mut lines: Vec<&str> = text.split("\r\n").collect();
    lines.retain(|line| !line.starts_with("Date: "));
    lines.join("\r\n")
}

async fn alone(input: &str) -> (String, usize) {
    let bench = bench(Duration::ZERO);
    let answer = talk(&bench, input.as_bytes()).await;
    (answer, bench.events().len())
}

fn pixel() -> String {
    PIXEL.iter().map(|b| char::from(*b)).collect()
}

fn served(connection: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nServer: nginx\r\nContent-Type: image/gif\r\nContent-Length: 43\r\n\
         Connection: {connection}\r\nCache-Control: no-store\r\nAccess-Control-Allow-Origin: *\r\n\r\n"
    )
}

fn page(status: &str, title: &str, more: &str) -> String {
    let body = format!(
        "<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{status}</h1>\
         </center>\r\n{more}<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
    );
    format!(
        "HTTP/1.1 {status}\r\nServer: nginx\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    )
}

fn too_large() -> String {
    page(
        "400 Bad Request",
        "400 Request Header Or Cookie Too Large",
        "<center>Request Header Or Cookie Too Large</center>\r\n",
    )
}

#[test]
fn the_pixel_is_the_well_known_one() {
    let hex: String = PIXEL.iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(
        hex,
        "47494638396101000100800000ffffffffffff21f904010a0001002c00000000010001000002024c01003b"
    );
}

#[tokio::test(start_paused = true)]
async fn known_disabled_and_unknown_tokens_are_answered_alike_in_bytes_and_time() {
    for method in [
        "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PROPFIND", "TRACE",
    ] {
        let mut answers = Vec::new();
        for token in [WEB, OFF, NONE, DNS, "short"] {
            let bench = bench(Duration::from_millis(5));
            let start = Instant::now();
            let request = format!("{method} /a/{token}/b.html HTTP/1.1\r\nHost: x\r\n\r\n");
            answers.push((talk(&bench, request.as_bytes()).await, start.elapsed()));
            assert_eq!(
                bench.events().len(),
                usize::from(token == WEB),
                "{method} {token}"
            );
        }
        assert_eq!(answers[0].1, FLOOR);
        assert!(
            answers.windows(2).all(|w| w[0] == w[1]),
            "{method}: {answers:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn methods_get_what_a_pixel_server_gives() {
    let ask = |method: &str| format!("{method} /{WEB} HTTP/1.1\r\nHost: x\r\n\r\n");
    for method in ["GET", "POST", "PROPFIND"] {
        assert_eq!(
            alone(&ask(method)).await,
            (served("keep-alive") + &pixel(), 1)
        );
    }
    assert_eq!(alone(&ask("HEAD")).await, (served("keep-alive"), 1));
    assert_eq!(
        alone(&ask("OPTIONS")).await.0,
        "HTTP/1.1 204 No Content\r\nServer: nginx\r\nConnection: keep-alive\r\n\
         Cache-Control: no-store\r\nAccess-Control-Allow-Origin: *\r\n\
         Access-Control-Allow-Methods: GET, HEAD, POST, PUT, OPTIONS\r\n\
         Access-Control-Allow-Headers: *\r\n\r\n"
    );
    let not_allowed = page("405 Not Allowed", "405 Not Allowed", "");
    assert_eq!(alone(&ask("TRACE")).await, (not_allowed, 1));
}

#[tokio::test(start_paused = true)]
async fn tokens_are_found_wherever_a_url_can_hold_them() {
    let upper = WEB.to_ascii_uppercase();
    for (target, host) in [
        (format!("/{WEB}"), "x".to_owned()),
        (format!("/a/{upper}/b.html"), "x".to_owned()),
        (format!("/a/{WEB}.tar.gz"), "x".to_owned()),
        (format!("/%77{}", &WEB[1..]), "x".to_owned()),
        (format!("/a?b=c&d={WEB}"), "x".to_owned()),
        (format!("/a?{WEB}"), "x".to_owned()),
        (format!("/{NONE}/?{WEB}"), "x".to_owned()),
        (format!("http://y:81/{WEB}"), "x".to_owned()),
        ("/".to_owned(), format!("{WEB}.tokens.example.com:81")),
        (format!("http://{WEB}.y?a"), "x".to_owned()),
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        assert_eq!(alone(&request).await.1, 1, "{target} at {host}");
    }
    for target in [format!("/x{WEB}"), format!("/{WEB}x"), format!("/a-{WEB}")] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!(alone(&request).await.1, 0, "{target}");
    }
}

#[tokio::test(start_paused = true)]
async fn events_say_what_was_sent_and_from_where() {
    let bench = bench(Duration::ZERO);
    let request = format!(
        "POST /{WEB}?q=a+b HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 203.0.113.9\r\n\
         User-Agent: caf\u{e9}\r\nTransfer-Encoding: chunked\r\n\r\n\
         3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nTrailer: t\r\n\r\nGET /{WEB} HTTP/1.0\r\n\r\n"
    );
    talk(&bench, request.as_bytes()).await;
    let events = bench.events();
    assert_eq!(events[0]["url"], format!("http://h/{WEB}?q=a+b"));
    assert_eq!(events[0]["headers"]["User-Agent"], "caf\u{e9}");
    assert_eq!(events[0]["additional_info"]["body_size"], 5);
    assert_eq!(events[0]["additional_info"]["request_args"]["q"], "a b");
    assert_eq!(events[1]["url"], format!("http://198.51.100.1:80/{WEB}"));
    assert_eq!(bench.seen.lock().unwrap()[0].src, peer().into());
}

#[tokio::test(start_paused = true)]
async fn connections_stay_open_as_asked() {
    let get = |version: &str, more: &str| {
        format!("GET /{WEB} HTTP/{version}\r\nHost: x\r\n{more}\r\n").repeat(2)
    };
    for (version, more, count) in [
        ("1.1", "", 2),
        ("1.1", "Connection: close\r\n", 1),
        ("1.0", "", 1),
        ("1.0", "Connection: Keep-Alive\r\n", 2),
    ] {
        let (answer, events) = alone(&get(version, more)).await;
        assert_eq!(answer.matches("200 OK").count(), count, "{version} {more}");
        assert_eq!(events, count);
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_is_waited_for_and_bounded() {
    let post = |length: &str, body: &str| {
        format!(
            "POST /{WEB} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        )
    };
    let (answer, events) = alone(&post("3", "abc")).await;
    assert!(answer.starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n"));
    assert_eq!(events, 1);
    let too_large = page(
        "413 Request Entity Too Large",
        "413 Request Entity Too Large",
        "",
    );
    assert_eq!(alone(&post("1048577", "")).await, (too_large.clone(), 1));
    let chunk =
        format!("POST /{WEB} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n100001\r\n");
    assert_eq!(alone(&chunk).await, (too_large, 1));
    let (answer, events) = alone(&post("4", "abc")).await;
    assert_eq!(
        (answer.as_str(), events),
        ("HTTP/1.1 100 Continue\r\n\r\n", 1)
    );
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_served_gets_nginx_pages_and_still_counts_as_a_touch() {
    let bad = page("400 Bad Request", "400 Bad Request", "");
    let not = page("501 Not Implemented", "501 Not Implemented", "");
    let version = "505 HTTP Version Not Supported";
    let version = page(version, version, "");
    let large = too_large();
    for (request, answer) in [
        (format!("GET /{WEB} HTTP/1.1\r\n\r\n"), &bad),
        (
            format!("GET /{WEB} HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
            &bad,
        ),
        (format!("GET /{WEB} HTTP/1.1\r\nHost:\r\n\r\n"), &bad),
        (format!("GET /{WEB} HTTP/1.1\r\nHost: a/b\r\n\r\n"), &bad),
        (format!("GET /{WEB}/%zz HTTP/1.1\r\nHost: a\r\n\r\n"), &bad),
        (format!("GET /{WEB}/%0 HTTP/1.1\r\nHost: a\r\n\r\n"), &bad),
        (
            format!("GET /{WEB}/../../.. HTTP/1.1\r\nHost: a\r\n\r\n"),
            &bad,
        ),
        (
            format!("GET /{WEB} HTTP/1.1\r\nBad Header: a\r\n\r\n"),
            &bad,
        ),
        (format!("GET /{WEB} FTP/1.1\r\n\r\n"), &bad),
        (format!("GET /{WEB} HTTP/2.0\r\n\r\n"), &version),
        (
            format!(
                "GET /{WEB} HTTP/1.1\r\nHost: a\r\nCookie: {}\r\n\r\n",
                "x".repeat(9_000)
            ),
            &large,
        ),
        (
            format!("GET /{WEB} HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n"),
            &bad,
        ),
        (
            format!(
                "GET /{WEB} HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\
                 Transfer-Encoding: chunked\r\n\r\n"
            ),
            &bad,
        ),
        (
            format!("GET /{WEB} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n"),
            &not,
        ),
        (
            format!("GET /{WEB} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
            &bad,
        ),
    ] {
        assert_eq!(alone(&request).await, (answer.clone(), 1), "{request}");
    }
}

#[tokio::test(start_paused = true)]
async fn requests_have_room_for_many_headers() {
    for (count, answer) in [
        (62, served("keep-alive") + &pixel()),
        (63, served("keep-alive") + &pixel()),
        (64, served("keep-alive") + &pixel()),
        (1_023, served("keep-alive") + &pixel()),
        (1_024, too_large()),
    ] {
        let headers = "A: b\r\n".repeat(count);
        let request = format!("GET /{WEB} HTTP/1.1\r\nHost: x\r\n{headers}\r\n");
        assert_eq!(alone(&request).await, (answer, 1), "{count}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_no_request_gets_nginx_pages() {
    let bad = page("400 Bad Request", "400 Bad Request", "");
    for request in [
        "get / HTTP/1.1\r\n\r\n".to_owned(),
        "\u{16}\u{3}\u{1}".to_owned(),
        "GET\r\n\r\n".to_owned(),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
        "GET / FTP/1.1\r\n\r\n".to_owned(),
        "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
        "GET a HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nBad Header: x\r\n\r\n".to_owned(),
    ] {
        assert_eq!(alone(&request).await, (bad.clone(), 0), "{request}");
    }
    let large = too_large();
    let many = format!(
        "GET / HTTP/1.1\r\nHost: x\r\n{}\r\n",
        "A: b\r\n".repeat(1100)
    );
    assert_eq!(alone(&many).await, (large.clone(), 0));
    let wide = format!("GET / HTTP/1.1\r\nCookie: {}", "x".repeat(40_000));
    assert_eq!(alone(&wide).await, (large, 0));
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(9_000));
    let title = "414 Request-URI Too Large";
    assert_eq!(alone(&long).await, (page(title, title, ""), 0));
    let title = "505 HTTP Version Not Supported";
    assert_eq!(
        alone("GET / HTTP/2.0\r\n\r\n").await,
        (page(title, title, ""), 0)
    );
}

#[tokio::test(start_paused = true)]
async fn targets_that_are_no_text_are_taken_and_shown() {
    let bench = bench(Duration::ZERO);
    let request = [
        b"GET /\xff/",
        WEB.as_bytes(),
        b" HTTP/1.1\r\nHost: x\r\n\r\n",
    ]
    .concat();
    let answer = talk(&bench, &request).await;
    assert_eq!(answer, served("keep-alive") + &pixel());
    assert_eq!(bench.events()[0]["url"], format!("http://x/\\xff/{WEB}"));
}

#[tokio::test(start_paused = true)]
async fn the_oldest_protocol_gets_the_body_alone() {
    assert_eq!(alone(&format!("GET /{WEB}\r\n")).await, (pixel(), 1));
}

#[tokio::test(start_paused = true)]
async fn a_kind_may_answer_with_a_page_or_send_elsewhere() {
    let ask = |token: &str| format!("GET /{token} HTTP/1.1\r\nHost: x\r\n\r\n");
    let (answer, events) = alone(&ask(PAGE)).await;
    assert!(answer.contains("Content-Type: text/html\r\nContent-Length: 8\r\n"));
    assert!(
        answer.ends_with("\r\n\r\n<p>hello") && events == 1,
        "{answer}"
    );
    let (answer, _) = alone(&ask(AWAY)).await;
    assert!(answer.starts_with("HTTP/1.1 302 Moved Temporarily\r\n"));
    assert!(
        answer.contains("\r\nLocation: https://example.com/X: y\r\nConnection: "),
        "one line, whatever the kind says: {answer}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_kind_may_answer_with_an_uploaded_file_or_a_whole_answer_of_its_own() {
    let ask = |page: &str| format!("GET /x/{PAGE}.html/{page} HTTP/1.1\r\nHost: x\r\n\r\n");
    let (answer, events) = alone(&ask("image.png")).await;
    assert!(answer.contains("Content-Type: image/png\r\nContent-Length: 4\r\n"));
    assert_eq!(events, 1);
    let (answer, _) = alone(&ask("none.png")).await;
    assert!(answer.ends_with(&pixel()), "a file that is gone: {answer}");
    let own = "HTTP/1.1 403 Forbidden\r\nServer: AmazonS3\r\nContent-Type: application/xml\r\n\
               Content-Length: 8\r\nConnection: keep-alive\r\nx-amz-id: ab\r\n\r\n<Error/>";
    assert_eq!(alone(&ask("manifest.json")).await, (own.to_owned(), 0));
    let options = ask("manifest.json").replace("GET", "OPTIONS");
    assert_eq!(alone(&options).await.0, own, "also to a preflight");
    let none = "HTTP/1.1 304 Not Modified\r\nServer: nginx\r\nConnection: keep-alive\r\n\r\n";
    assert_eq!(alone(&ask("nothing")).await, (none.to_owned(), 0));
}

#[tokio::test(start_paused = true)]
async fn what_is_known_to_be_harmless_is_answered_as_always_and_is_no_event() {
    for (page, expected) in [("mine.html", 0), ("other.html", 1)] {
        let ask = format!("GET /{PAGE}/{page} HTTP/1.1\r\nHost: x\r\n\r\n");
        let (answer, events) = alone(&ask).await;
        assert!(answer.contains("Location: https://example.com/\r\n"));
        assert_eq!(events, expected, "{page}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_root_may_show_a_page_and_nothing_else_does() {
    let bench = bench_with_root(Duration::ZERO, Some("<h1>Docs"));
    for (path, host) in [
        ("/", "tokens.example.com"),
        ("/?a=b", &format!("{WEB}.example")),
    ] {
        let ask = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let answer = talk(&bench, ask.as_bytes()).await;
        assert!(answer.ends_with("Content-Type: text/html\r\nContent-Length: 8\r\nConnection: keep-alive\r\nCache-Control: no-store\r\nAccess-Control-Allow-Origin: *\r\n\r\n<h1>Docs"), "{answer}");
    }
    assert_eq!(bench.events().len(), 1, "the token in the host's name");
    for path in ["/index.html", &format!("/{WEB}")] {
        let ask = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        assert!(talk(&bench, ask.as_bytes()).await.ends_with(&pixel()));
    }
}

#[tokio::test(start_paused = true)]
async fn other_keys_name_tokens_too() {
    let ask =
        |line: &str, header: &str| format!("GET {line} HTTP/1.1\r\nHost: x\r\n{header}\r\n\r\n");
    let scope = "20260101/us-east-1/sts/aws4_request";
    for (line, header) in [
        (
            "/",
            format!(
                "Authorization: AWS4-HMAC-SHA256 Credential={PAGE_KEY}/{scope}, \
                 SignedHeaders=host;x-amz-date, Signature=00"
            ),
        ),
        ("/", format!("authorization: bearer {PAGE_KEY}")),
        (
            &format!("/?X-Amz-Credential={PAGE_KEY}%2F20260101"),
            "Accept: */*".to_owned(),
        ),
    ] {
        let (answer, events) = alone(&ask(line, &header)).await;
        assert!(
            answer.ends_with("<p>hello") && events == 1,
            "{line} {header}"
        );
    }
    for header in [
        format!("Authorization: Basic {PAGE_KEY}"),
        format!("Authorization: {PAGE_KEY}"),
        "Authorization: AWS4-HMAC-SHA256 Credential=".to_owned(),
        format!("Authorization: Bearer {}", "x".repeat(600)),
    ] {
        let (answer, events) = alone(&ask("/", &header)).await;
        assert!(answer.ends_with(&pixel()) && events == 0, "{header}");
    }
    let bench = bench(Duration::ZERO);
    let (mut near, far) = duplex(1024 * 1024);
    near.write_all(ask("/", "Accept: */*").as_bytes())
        .await
        .unwrap();
    near.shutdown().await.unwrap();
    let talker = Talker {
        channel: TokenChannel::Http,
        tls: true,
        client_certificate: Some(PAGE_KEY.to_owned()),
        ..talker()
    };
    converse(far, &talker, &bench.touches).await.unwrap();
    assert_eq!(bench.events()[0]["url"], "https://x/");
}

#[tokio::test(start_paused = true)]
async fn silence_ends_in_silence() {
    let bench = bench(Duration::ZERO);
    let (mut near, far) = duplex(1024);
    near.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    let start = Instant::now();
    converse(far, &talker(), &bench.touches).await.unwrap();
    assert_eq!(start.elapsed(), MAX_HEAD_TIME);
    let mut answer = Vec::new();
    near.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer, b"");
}

#[test]
fn a_body_keeps_its_beginning_and_its_size() {
    let mut body = Body::default();
    body.take(&[1; MAX_BODY_KEPT - 1]);
    body.take(&[2; 5]);
    body.take(&[3; 5]);
    assert_eq!(body.kept.len(), MAX_BODY_KEPT);
    assert_eq!(body.kept.last(), Some(&2));
    assert_eq!(body.size, MAX_BODY_KEPT as u64 + 9);
}

proptest! {
    #[test]
    fn random_bytes_never_panic(input in random_requests()) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let answer = runtime.block_on(async {
            let bench = bench(Duration::ZERO);
            talk(&bench, &input).await
        });
        prop_assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 ") || answer == pixel());
    }
}

/// Noise, and requests with noise in them.
fn random_requests() -> impl Strategy<Value = Vec<u8>> {
    let noise = || prop::collection::vec(any::<u8>(), 0..200);
    let parts = prop::sample::select(vec![
        "GET ",
        "POST ",
        "/",
        WEB,
        " HTTP/1.1",
        " HTTP/1.0",
        "\r\n",
        "\n",
        "Host: x\r\n",
        "Content-Length: ",
        "Transfer-Encoding: chunked\r\n",
        "5",
        "\r\n\r\n",
        "0\r\n\r\n",
        "?a=",
        "%",
        "http://",
        "ffffffffffffffff\r\n",
        "Connection: close\r\n",
        ".",
    ]);
    let woven = prop::collection::vec((parts, prop::option::weighted(0.1, noise())), 0..24);
    prop_oneof![
        noise(),
        woven.prop_map(|parts| {
            parts
                .into_iter()
                .flat_map(|(text, noise)| [text.as_bytes().to_vec(), noise.unwrap_or_default()])
                .flatten()
                .collect()
        }),
    ]
}

#[tokio::test]
async fn behind_a_trusted_proxy_the_client_is_the_source() {
    let bench = bench(Duration::ZERO);
    let trusted = Arc::new(Proxies::new(&["192.0.2.0/24".parse().unwrap()]));
    let request = format!(
        "GET /{WEB} HTTP/1.1\r\nHost: t.example\r\nX-Forwarded-For: 1.1.1.1, 203.0.113.9\r\n\
         X-Forwarded-Proto: https\r\nConnection: close\r\n\r\n"
    );
    for proxies in [trusted, Arc::default()] {
        let (mut near, far) = duplex(1024 * 1024);
        near.write_all(request.as_bytes()).await.unwrap();
        let talker = Talker {
            proxies,
            ..talker()
        };
        converse(far, &talker, &bench.touches).await.unwrap();
    }
    let seen = bench.seen.lock().unwrap();
    let [behind, direct] = seen.as_slice() else {
        panic!("{seen:?}")
    };
    assert_eq!(
        (behind.src.ip.to_string().as_str(), behind.src.port),
        ("203.0.113.9", 0)
    );
    assert_eq!(direct.src, Endpoint::from(peer()));
    let events: Vec<serde_json::Value> = [behind, direct]
        .map(|sighting| serde_json::from_str(sighting.fields.get()).unwrap())
        .to_vec();
    assert_eq!(events[0]["url"], format!("https://t.example/{WEB}"));
    assert_eq!(events[1]["url"], format!("http://t.example/{WEB}"));
}
