//! Every answer, over both transports.

use std::net::Ipv4Addr;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, RData, RecordType};
use proptest::prelude::*;
use tokio::io::duplex;

use super::*;
use crate::channels::FLOOR;
use crate::channels::tests::{Bench, DNS, NONE, OFF, WEB, bench, local, peer};

const ADDRESS: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);

fn zone() -> Zone {
    Zone::new("tokens.example.com", ADDRESS.into()).unwrap()
}

fn question(name: &str, kind: RecordType) -> Message {
    let mut message = Message::new(0x1234, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
    message
}

fn with_edns(mut message: Message) -> Message {
    let mut edns = Edns::new();
    edns.set_max_payload(4096);
    message.set_edns(edns);
    message
}

/// The answer over UDP, and over TCP, and whether a token may have been named.
fn ask(zone: &Zone, message: &Message) -> (Message, Message, bool) {
    let packet = message.to_vec().unwrap();
    let reply = zone.react(&packet).unwrap();
    let udp = reply.datagram(packet.len());
    assert!(
        gain(&packet, &udp) <= 1.5,
        "{} for {}",
        udp.len(),
        packet.len()
    );
    let tcp = reply.framed();
    assert_eq!(
        usize::from(u16::from_be_bytes([tcp[0], tcp[1]])),
        tcp.len() - 2
    );
    (
        Message::from_vec(&udp).unwrap(),
        Message::from_vec(&tcp[2..]).unwrap(),
        reply.named.is_some(),
    )
}

#[expect(clippy::cast_precision_loss, reason = "lengths of packets")]
fn gain(asked: &[u8], answered: &[u8]) -> f64 {
    (answered.len() + 28) as f64 / (asked.len() + 28) as f64
}

fn under(left: &str) -> String {
    format!("{left}.tokens.example.com.")
}

#[test]
fn every_name_has_the_address_and_the_answer_is_authoritative() {
    for name in [
        "tokens.example.com.",
        &under(DNS),
        &under("a.b.c"),
        &under("ns1"),
    ] {
        let (udp, tcp, _) = ask(&zone(), &question(name, RecordType::A));
        assert_eq!(udp, tcp);
        assert_eq!(udp.metadata.response_code, ResponseCode::NoError);
        assert!(udp.metadata.authoritative && udp.metadata.recursion_desired);
        assert!(!udp.metadata.recursion_available && !udp.metadata.truncation);
        assert_eq!(udp.answers.len(), 1);
        assert_eq!(udp.answers[0].data, RData::A(ADDRESS.into()));
        assert!(udp.edns.is_none() && udp.authorities.is_empty());
    }
}

#[test]
fn a_zone_on_ipv6_has_aaaa_and_no_a() {
    let zone = Zone::new("tokens.example.com.", "2001:db8::1".parse().unwrap()).unwrap();
    let (aaaa, _, _) = ask(&zone, &question(&under(DNS), RecordType::AAAA));
    assert!(matches!(aaaa.answers[0].data, RData::AAAA(_)));
    let (_, a, _) = ask(&zone, &question(&under(DNS), RecordType::A));
    assert!(a.answers.is_empty() && a.authorities.len() == 1);
}

#[test]
fn types_that_are_not_there_get_the_soa_as_authority() {
    for kind in [
        RecordType::AAAA,
        RecordType::TXT,
        RecordType::HTTPS,
        RecordType::CAA,
        RecordType::NS,
        RecordType::SOA,
        RecordType::Unknown(65_400),
    ] {
        let (udp, tcp, _) = ask(&zone(), &question(&under(DNS), kind));
        assert_eq!(tcp.metadata.response_code, ResponseCode::NoError, "{kind}");
        assert!(tcp.answers.is_empty());
        assert_eq!(tcp.authorities[0].record_type(), RecordType::SOA);
        assert_eq!(tcp.authorities[0].name.to_ascii(), "tokens.example.com.");
        assert_eq!(udp, tcp, "{kind}: fits without TCP");
    }
}

#[test]
fn proofs_are_shown_to_certificate_authorities_while_they_are_wanted() {
    let proofs = Arc::new(Proofs::of(Some("letsencrypt.org")));
    let zone = zone().with_proofs(Arc::clone(&proofs));
    zone.set_domains(&["Docs.example.net".to_owned()]);
    let texts = |name: &str| {
        let (_, tcp, named) = ask(&zone, &question(name, RecordType::TXT));
        assert!(!named && tcp.metadata.authoritative, "{name}");
        let all = tcp.answers.iter().map(|answer| answer.data.to_string());
        all.collect::<Vec<_>>()
    };
    let name = "_acme-challenge.tokens.example.com.";
    assert_eq!(texts(name), [""; 0]);
    proofs.show("tokens.example.com", "b".repeat(43));
    proofs.show("tokens.example.com.", "a".repeat(43));
    proofs.show("DOCS.example.net", "c".to_owned());
    assert_eq!(texts(name), ["a".repeat(43), "b".repeat(43)]);
    assert_eq!(texts("_Acme-CHALLENGE.Tokens.Example.com."), texts(name));
    assert_eq!(texts("_acme-challenge.docs.example.net."), ["c"]);
    for other in [
        "tokens.example.com.".to_owned(),
        under("a"),
        under("_acme-challenge.a"),
        under(DNS),
    ] {
        let (_, tcp, _) = ask(&zone, &question(&other, RecordType::TXT));
        assert!(tcp.answers.is_empty(), "{other}");
    }
    proofs.clear("tokens.example.COM");
    assert_eq!(texts(name), [""; 0]);

    // Two don't fit into what a datagram may be: the resolver comes again over TCP.
    proofs.show("tokens.example.com", "a".repeat(43));
    proofs.show("tokens.example.com", "b".repeat(43));
    let (udp, tcp, _) = ask(&zone, &with_edns(question(name, RecordType::TXT)));
    assert!(udp.metadata.truncation && udp.answers.is_empty());
    assert_eq!(tcp.answers.len(), 2);
    for n in 0..20 {
        proofs.show("tokens.example.com", n.to_string());
    }
    assert_eq!(texts(name).len(), 8, "bounded");
}

#[test]
fn the_zones_say_who_may_issue_certificates_where_that_is_known() {
    let apex = "tokens.example.com.";
    let (_, none, _) = ask(&zone(), &question(apex, RecordType::CAA));
    assert!(none.answers.is_empty() && none.authorities.len() == 1);
    let zone = zone().with_proofs(Arc::new(Proofs::of(Some("letsencrypt.org"))));
    zone.set_domains(&["docs.example.net".to_owned()]);
    for apex in [apex, "docs.example.net."] {
        let (udp, tcp, named) = ask(&zone, &with_edns(question(apex, RecordType::CAA)));
        assert_eq!(udp, tcp, "fits into a datagram");
        assert!(!named);
        let said: Vec<_> = tcp.answers.iter().map(|a| a.data.to_string()).collect();
        assert_eq!(said, ["0 issue \"letsencrypt.org\""]);
    }
    let (_, below, named) = ask(&zone, &question(&under(DNS), RecordType::CAA));
    assert!(below.answers.is_empty() && !named, "authorities climb");
}

#[test]
fn the_apex_has_soa_and_name_server_with_glue() {
    let apex = "Tokens.example.COM.";
    let (_, soa, _) = ask(&zone(), &question(apex, RecordType::SOA));
    assert!(matches!(soa.answers[0].data, RData::SOA(_)));
    let (_, ns, _) = ask(&zone(), &question(apex, RecordType::NS));
    let RData::NS(server) = &ns.answers[0].data else {
        panic!("{ns:?}")
    };
    assert_eq!(server.0.to_ascii(), "ns1.Tokens.example.COM.");
    assert_eq!(ns.additionals[0].name, server.0);
    assert_eq!(ns.additionals[0].data, RData::A(ADDRESS.into()));
}

#[test]
fn any_gets_one_record_set() {
    let (udp, _, named) = ask(&zone(), &question(&under(DNS), RecordType::ANY));
    assert_eq!(udp.answers.len(), 1);
    assert!(named);
}

#[test]
fn the_question_comes_back_letter_for_letter() {
    let name = under("DnSdNsdnSDNSdnsdnsdnsdnS1").replace("tokens", "ToKeNs");
    let message = question(&name, RecordType::A);
    let packet = message.to_vec().unwrap();
    let reply = zone().react(&packet).unwrap();
    let bytes = reply.datagram(packet.len());
    assert_eq!(bytes[12..packet.len()], packet[12..]);
    assert_eq!(bytes.len(), packet.len() + 16, "the owner is a pointer");
    let named = reply.named.unwrap();
    assert_eq!(named.token.as_str(), DNS);
    assert_eq!(named.name, name.trim_end_matches('.'));
}

#[test]
fn edns_is_answered_with_our_size_and_only_if_asked() {
    let (udp, _, _) = ask(&zone(), &with_edns(question(&under(DNS), RecordType::A)));
    let edns = udp.edns.unwrap();
    assert_eq!((edns.max_payload(), edns.version()), (1232, 0));
    assert!(!edns.flags().dnssec_ok);
    let mut later = with_edns(question(&under(DNS), RecordType::A));
    later
        .edns
        .as_mut()
        .unwrap()
        .set_version(1)
        .set_dnssec_ok(true);
    let (udp, _, named) = ask(&zone(), &later);
    // 16 is BADVERS and BADSIG.
    assert_eq!(u16::from(udp.metadata.response_code), 16);
    assert!(udp.edns.unwrap().flags().dnssec_ok);
    assert!(udp.answers.is_empty() && !named);
}

#[test]
fn names_outside_the_zone_and_transfers_are_refused() {
    for (name, kind) in [
        ("example.com.", RecordType::A),
        (".", RecordType::NS),
        ("xtokens.example.com.", RecordType::A),
        ("tokens.example.com.evil.", RecordType::A),
        ("tokens.example.com.", RecordType::AXFR),
        ("tokens.example.com.", RecordType::IXFR),
    ] {
        let (udp, _, named) = ask(&zone(), &question(name, kind));
        assert_eq!(udp.metadata.response_code, ResponseCode::Refused, "{name}");
        assert!(!udp.metadata.authoritative && udp.answers.is_empty() && !named);
        assert_eq!(udp.queries.len(), 1);
    }
    let mut chaos = question("version.bind.", RecordType::TXT);
    chaos.queries[0].set_query_class(DNSClass::CH);
    assert_eq!(
        ask(&zone(), &chaos).0.metadata.response_code,
        ResponseCode::Refused
    );
}

#[test]
fn other_operations_are_not_implemented() {
    for code in [
        OpCode::Status,
        OpCode::Notify,
        OpCode::Update,
        OpCode::Unknown(9),
    ] {
        let mut message = question(&under(DNS), RecordType::A);
        message.metadata.op_code = code;
        let packet = message.to_vec().unwrap();
        let bytes = zone().react(&packet).unwrap().datagram(packet.len());
        let flags = (packet[2] & 0x79) | 0x80;
        assert_eq!(bytes, [0x12, 0x34, flags, 4, 0, 0, 0, 0, 0, 0, 0, 0]);
    }
}

#[test]
fn what_cannot_be_read_is_a_format_error_and_what_is_no_query_gets_nothing() {
    let good = question(&under(DNS), RecordType::A).to_vec().unwrap();
    let form_error = [0x12, 0x34, 0x81, 1, 0, 0, 0, 0, 0, 0, 0, 0];
    let mut none = good[..12].to_vec();
    none[5] = 0;
    let mut two = good.clone();
    two[5] = 2;
    two.extend_from_slice(&good[12..]);
    let mut looping = good[..12].to_vec();
    looping.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1]);
    for packet in [good[..good.len() - 1].to_vec(), none, two, looping] {
        let reply = zone().react(&packet).unwrap();
        assert_eq!(reply.datagram(packet.len()), form_error);
        assert_eq!(reply.framed()[2..], form_error);
        assert_eq!(reply.truncated(), form_error);
    }
    for length in 0..12 {
        assert!(zone().react(&good[..length]).is_none());
    }
    let mut response = good;
    response[2] |= 0x80;
    assert!(zone().react(&response).is_none());
}

#[test]
fn visits_count_and_probes_do_not() {
    let named = |name: &str, kind| ask(&zone(), &question(name, kind)).2;
    for kind in [
        RecordType::A,
        RecordType::AAAA,
        RecordType::HTTPS,
        RecordType::TXT,
        RecordType::CNAME,
        RecordType::MX,
    ] {
        assert!(named(&under(DNS), kind), "{kind}");
    }
    for kind in [
        RecordType::NS,
        RecordType::SOA,
        RecordType::DS,
        RecordType::CAA,
    ] {
        assert!(!named(&under(DNS), kind), "{kind}");
    }
    assert!(named(&under(&format!("a.b.{DNS}")), RecordType::A));
    assert!(!named(&under(&format!("_.{DNS}")), RecordType::A));
    assert!(!named(
        &under(&format!("_acme-challenge.{DNS}")),
        RecordType::TXT
    ));
    assert!(!named(&under(&format!("{DNS}.www")), RecordType::A));
    assert!(!named("tokens.example.com.", RecordType::A));
}

#[test]
fn labels_left_of_the_token_are_kept_in_order_and_as_text() {
    let mut packet = question("AB.G42.tokens.example.com.", RecordType::A)
        .to_vec()
        .unwrap();
    packet[13] = 0xff;
    let at = packet.windows(7).position(|w| w == b"\x06tokens").unwrap();
    let label = [&[25], DNS.as_bytes()].concat();
    packet.splice(at..at, label);
    let named = zone().react(&packet).unwrap().named.unwrap();
    assert_eq!(named.labels, ["\\xffB", "G42"]);
    assert_eq!(named.name, format!("\\xffB.G42.{DNS}.tokens.example.com"));
    assert_eq!(named.query_type, "A");
}

#[test]
fn what_is_too_long_loses_additions_then_everything() {
    let short = Zone::new("t.co", ADDRESS.into()).unwrap();
    let (udp, tcp, _) = ask(&short, &question("t.co.", RecordType::SOA));
    assert!(udp.metadata.truncation && udp.answers.is_empty());
    assert!(!tcp.metadata.truncation && tcp.answers.len() == 1);
    let (udp, tcp, _) = ask(&zone(), &question("tokens.example.com.", RecordType::NS));
    assert!(!udp.metadata.truncation && udp.answers.len() == 1);
    assert_eq!((udp.additionals.len(), tcp.additionals.len()), (0, 1));
    let packet = question(&under(DNS), RecordType::A).to_vec().unwrap();
    let cut = zone().react(&packet).unwrap().truncated();
    assert!(Message::from_vec(&cut).unwrap().metadata.truncation);
    assert_eq!(cut.len(), packet.len());
}

#[test]
fn a_zone_is_a_name_with_room_for_tokens() {
    for name in ["", ".", "192.0.2.1", "::1", "a..b", &"a.".repeat(90)] {
        assert!(Zone::new(name, ADDRESS.into()).is_err(), "{name:?}");
    }
    assert!(Zone::new("localhost", ADDRESS.into()).is_ok());
}

/// Sends `messages` over one stream at once; what comes back until the stream ends.
async fn stream(bench: &Bench, messages: &[Vec<u8>]) -> Vec<Message> {
    let (mut near, far) = duplex(1024 * 1024);
    for message in messages {
        near.write_u16(message.len().try_into().unwrap())
            .await
            .unwrap();
        near.write_all(message).await.unwrap();
    }
    let (input, output) = tokio::io::split(far);
    let talk = converse(
        input,
        output,
        peer(),
        local(),
        Arc::new(zone()),
        Arc::clone(&bench.touches),
    );
    let read = async {
        let mut answers = Vec::new();
        while answers.len() < messages.len() {
            let Ok(length) = near.read_u16().await else {
                break;
            };
            let mut answer = vec![0; length.into()];
            near.read_exact(&mut answer).await.unwrap();
            answers.push(Message::from_vec(&answer).unwrap());
        }
        near.shutdown().await.unwrap();
        answers
    };
    let (_, answers) = tokio::join!(talk, read);
    answers
}

fn numbered(id: u16, name: &str) -> Vec<u8> {
    let mut message = question(name, RecordType::A);
    message.metadata.id = id;
    message.to_vec().unwrap()
}

#[tokio::test(start_paused = true)]
async fn queries_on_one_stream_are_answered_side_by_side() {
    let bench = bench(Duration::ZERO);
    let queries: Vec<Vec<u8>> = (0..100)
        .map(|id| numbered(id, &under(&format!("n{id}.{DNS}"))))
        .collect();
    let start = Instant::now();
    let answers = stream(&bench, &queries).await;
    let mut ids: Vec<u16> = answers.iter().map(|answer| answer.metadata.id).collect();
    ids.sort_unstable();
    assert_eq!(ids, (0..100).collect::<Vec<u16>>());
    assert_eq!(bench.events().len(), 100);
    assert!(start.elapsed() <= FLOOR * 5, "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn known_disabled_and_unknown_names_take_the_same_time_and_shape() {
    let mut shapes = Vec::new();
    for token in [DNS, OFF, NONE, WEB] {
        let bench = bench(Duration::from_millis(5));
        let start = Instant::now();
        let answers = stream(&bench, &[numbered(7, &under(token))]).await;
        shapes.push((answers[0].answers[0].data.clone(), start.elapsed()));
        assert_eq!(bench.events().len(), usize::from(token == DNS));
    }
    assert_eq!(shapes[0].1, FLOOR);
    assert!(shapes.windows(2).all(|w| w[0] == w[1]), "{shapes:?}");
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_after_silence_nonsense_or_a_message_that_stops() {
    let bench = bench(Duration::ZERO);
    for (input, seconds) in [
        (&b""[..], 10),
        (&b"\x00\x02ab"[..], 0),
        (&b"\xff\xff"[..], 0),
        (&b"\x00\x20abc"[..], 5),
    ] {
        let (mut near, far) = duplex(1024);
        near.write_all(input).await.unwrap();
        let (reader, writer) = tokio::io::split(far);
        let start = Instant::now();
        let (zone, touches) = (Arc::new(zone()), Arc::clone(&bench.touches));
        // An error is an end too.
        let _ = converse(reader, writer, peer(), local(), zone, touches).await;
        assert_eq!(start.elapsed(), Duration::from_secs(seconds), "{input:?}");
    }
}

#[tokio::test]
async fn over_udp_a_query_sent_twice_is_answered_twice_and_told_once() {
    let bench = bench(Duration::ZERO);
    let server = Socket::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = server.address();
    let touches = Arc::clone(&bench.touches);
    let task = tokio::spawn(serve_udp(server, Arc::new(zone()), touches));
    let client = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    client.connect(address).await.unwrap();
    let mut answer = [0; 512];
    for (id, left, events) in [
        (7, "", 1),
        (7, "", 1),
        (8, "", 1),
        (9, "X.", 1),
        (9, "Y.", 2),
    ] {
        let query = numbered(id, &under(&format!("{left}{DNS}")));
        client.send(&query).await.unwrap();
        let length = client.recv(&mut answer).await.unwrap();
        let answer = Message::from_vec(&answer[..length]).unwrap();
        assert_eq!(answer.metadata.id, id);
        assert_eq!(bench.events().len(), events, "{left}");
    }
    let told = &bench.events()[0];
    assert_eq!(told["additional_info"]["transport"], "udp");
    assert_eq!(told["hostname"], format!("X.{DNS}.tokens.example.com"));
    task.abort();
}

#[tokio::test(start_paused = true)]
async fn a_resolvers_walk_is_one_event_that_is_stored_at_every_step() {
    for types in [[RecordType::A; 4], [RecordType::AAAA; 4]] {
        let bench = bench(Duration::from_millis(40));
        let walk = [
            DNS.to_uppercase(),
            format!("G42.{DNS}"),
            format!("y3dp.G42.{DNS}"),
            format!("NBSW.Y3DP.g42.{DNS}"),
        ];
        for (name, kind) in walk.iter().zip(types) {
            let query = question(&under(name), kind).to_vec().unwrap();
            stream(&bench, &[query]).await;
            let events = bench.events();
            assert_eq!(events.len(), 1, "{name}");
            let told = events[0]["hostname"].as_str().unwrap();
            assert_eq!(told, under(name).trim_end_matches('.'));
        }
        assert_eq!(
            bench.events()[0]["labels"],
            serde_json::json!(["NBSW", "Y3DP", "g42"])
        );
        let again = [
            RecordType::A,
            RecordType::AAAA,
            RecordType::HTTPS,
            RecordType::TXT,
        ];
        let again: Vec<Vec<u8>> = again
            .iter()
            .zip(&walk)
            .map(|(kind, name)| question(&under(name), *kind).to_vec().unwrap())
            .collect();
        stream(&bench, &again).await;
        assert_eq!(bench.events().len(), 1);
        tokio::time::advance(super::super::lookups::WINDOW).await;
        stream(&bench, &again[..1]).await;
        assert_eq!(bench.events().len(), 2, "nothing is silenced for good");
    }
}

#[tokio::test(start_paused = true)]
async fn what_comes_again_is_answered_when_the_first_is_stored() {
    let bench = bench(Duration::from_millis(100));
    let queries = [numbered(1, &under(DNS)), numbered(2, &under(DNS))];
    let start = Instant::now();
    assert_eq!(stream(&bench, &queries).await.len(), 2);
    assert_eq!(start.elapsed(), Duration::from_millis(100));
    assert_eq!(bench.events().len(), 1);
}

proptest! {
    #[test]
    fn no_packet_makes_us_panic_or_shout(packet in random_packets(), v6 in any::<bool>()) {
        let address = if v6 { [1_u16; 8].into() } else { ADDRESS.into() };
        for name in ["tokens.example.com", "t.co"] {
            let zone = Zone::new(name, address).unwrap().with_nx(Some("nx.t.co")).unwrap();
            zone.set_domains(&["example.org".to_owned()]);
            let replies = || zone.react(&packet);
            let (Some(reply), Some(missing)) = (replies(), replies()) else { continue };
            let missing = missing.missing().datagram(packet.len());
            for bytes in [reply.datagram(packet.len()), reply.truncated(), missing] {
                prop_assert!(gain(&packet, &bytes) <= 1.5, "{} for {}", bytes.len(), packet.len());
                prop_assert!(bytes.len() >= 12 && bytes[..2] == packet[..2]);
                prop_assert!(bytes[2] & 0x80 != 0);
            }
        }
    }
}

/// Noise, queries for names in the zone, and such queries with a few bytes changed.
fn random_packets() -> impl Strategy<Value = Vec<u8>> {
    let noise = prop::collection::vec(any::<u8>(), 0..300);
    let queries = (
        prop::collection::vec("[a-zA-Z0-9_][a-zA-Z0-9]{0,29}", 0..5),
        prop::sample::select(vec![
            "tokens.example.com.",
            "t.co.",
            "Example.org.",
            "nX.t.co.",
        ]),
        any::<u16>(),
        any::<bool>(),
        prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    );
    let queries = queries.prop_map(|(labels, zone, kind, edns, changes)| {
        let name = labels.iter().map(|l| format!("{l}.")).collect::<String>() + zone;
        let kind = if kind < 0x8000 { kind % 260 } else { kind };
        let mut message = question(&name, RecordType::from(kind));
        if edns {
            message = with_edns(message);
        }
        let mut packet = message.to_vec().unwrap();
        for (index, byte) in changes {
            let at = index.index(packet.len());
            packet[at] = byte;
        }
        packet
    });
    prop_oneof![noise, queries]
}

#[test]
fn names_of_the_other_zone_do_not_exist_but_the_zone_does() {
    let zone = zone().with_nx(Some("nx.tokens.example.com")).unwrap();
    let inside = format!("{WEB}.nx.tokens.example.com");
    for (name, kind, code, touched) in [
        (&*inside, RecordType::A, ResponseCode::NXDomain, true),
        (
            &format!("data.G11.{inside}"),
            RecordType::AAAA,
            ResponseCode::NXDomain,
            true,
        ),
        (
            "www.nx.tokens.example.com",
            RecordType::A,
            ResponseCode::NXDomain,
            false,
        ),
        (
            "NX.tokens.example.com",
            RecordType::SOA,
            ResponseCode::NoError,
            false,
        ),
        (
            "nx.tokens.example.com",
            RecordType::NS,
            ResponseCode::NoError,
            false,
        ),
        (
            "ns1.nx.tokens.example.com",
            RecordType::A,
            ResponseCode::NoError,
            false,
        ),
        (
            &format!("{WEB}.tokens.example.com"),
            RecordType::A,
            ResponseCode::NoError,
            true,
        ),
    ] {
        let (udp, tcp, named) = ask(&zone, &question(name, kind));
        assert_eq!(tcp.metadata.response_code, code, "{name}");
        assert_eq!(udp.metadata.response_code, code, "{name}");
        assert_eq!(named, touched, "{name}");
        if code == ResponseCode::NXDomain {
            assert!(tcp.answers.is_empty() && tcp.metadata.authoritative);
            let soa = &tcp.authorities[0];
            assert_eq!(soa.record_type(), RecordType::SOA);
            assert_eq!(
                soa.name,
                Name::from_ascii("nx.tokens.example.com.").unwrap()
            );
        } else {
            assert_eq!(tcp.answers.len(), 1, "{name}");
        }
    }
    assert!(self::zone().with_nx(Some("192.0.2.1")).is_err());
}

#[test]
fn domains_of_ones_own_are_zones_like_the_first_and_come_and_go() {
    let zone = zone();
    let name = format!("{WEB}.docs.example.org");
    let code = |zone: &Zone| {
        let (_, answer, named) = ask(zone, &question(&name, RecordType::A));
        (answer.metadata.response_code, answer.answers.len(), named)
    };
    assert_eq!(code(&zone), (ResponseCode::Refused, 0, false));
    zone.set_domains(&["docs.example.org".to_owned(), "192.0.2.1".to_owned()]);
    assert_eq!(code(&zone), (ResponseCode::NoError, 1, true));
    let (_, soa, _) = ask(&zone, &question("docs.example.org", RecordType::SOA));
    assert_eq!(
        soa.answers[0].name,
        Name::from_ascii("docs.example.org.").unwrap()
    );
    zone.set_domains(&[]);
    assert_eq!(code(&zone), (ResponseCode::Refused, 0, false));
}

#[tokio::test(start_paused = true)]
async fn a_kind_may_say_that_there_is_no_such_name() {
    let bench = bench(Duration::ZERO);
    let name = format!("quiet.{DNS}.tokens.example.com");
    let packet = question(&name, RecordType::A).to_vec().unwrap();
    let framed = [
        &u16::try_from(packet.len()).unwrap().to_be_bytes()[..],
        &packet,
    ]
    .concat();
    let (near, far) = duplex(64 * 1024);
    let (reader, writer) = tokio::io::split(far);
    let (mut answers, mut queries) = tokio::io::split(near);
    let zone = Arc::new(zone());
    let talk = converse(
        reader,
        writer,
        peer(),
        local(),
        zone,
        Arc::clone(&bench.touches),
    );
    let client = async {
        queries.write_all(&framed).await.unwrap();
        queries.shutdown().await.unwrap();
        message(&mut answers).await.unwrap().unwrap()
    };
    let (_, answer) = tokio::join!(talk, client);
    let answer = Message::from_vec(&answer).unwrap();
    assert_eq!(answer.metadata.response_code, ResponseCode::NXDomain);
    assert_eq!(answer.authorities.len(), 1);
    assert_eq!(bench.events().len(), 0);
}
