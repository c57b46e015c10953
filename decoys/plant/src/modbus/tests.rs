use std::time::Duration;

use coalmine_core::Seed;
use coalmine_core::suite::{self, Talk};
use serde_json::{Value, json};

use super::*;

fn talk() -> Talk {
    Talk::new(&KIND)
}

/// The answer's PDU to a request's, which must come with the request's frame.
fn ask(talk: &mut Talk, pdu: &[u8]) -> Vec<u8> {
    ask_unit(talk, 1, pdu)
}

fn ask_unit(talk: &mut Talk, unit: u8, pdu: &[u8]) -> Vec<u8> {
    let said = talk.say(frame(0x1234, unit, pdu));
    let length = u16::try_from(said.len() - 6).unwrap().to_be_bytes();
    let header = [0x12, 0x34, 0, 0, length[0], length[1], unit];
    assert_eq!(said[..7], header, "{said:02x?}");
    said[7..].to_vec()
}

fn frame(transaction: u16, unit: u8, pdu: &[u8]) -> Vec<u8> {
    let length = u16::try_from(pdu.len() + 1).unwrap();
    let mut frame = transaction.to_be_bytes().to_vec();
    frame.extend([0, 0]);
    frame.extend(length.to_be_bytes());
    frame.push(unit);
    frame.extend(pdu);
    frame
}

/// The registers of an answer to functions 3, 4 and 23.
fn registers(answer: &[u8]) -> Vec<u16> {
    assert_eq!(usize::from(answer[1]), answer.len() - 2);
    answer[2..]
        .chunks(2)
        .map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
        .collect()
}

#[test]
fn it_holds_what_every_decoy_holds() {
    suite::check(&KIND);
}

#[test]
fn wrong_requests_get_the_right_exception() {
    // Request, exception code.
    let cases: &[(&[u8], u8)] = &[
        // Functions that there aren't, or not here.
        (&[0], 1),
        (&[9], 1),
        (&[20, 7, 6, 0, 1, 0, 0, 0, 1], 1),
        (&[21, 9, 6, 0, 1, 0, 0, 0, 1, 0, 1], 1),
        (&[43, 13, 0, 0], 1),
        (&[43, 15, 1, 0], 1),
        (&[0x5a, 0, 2], 1),
        (&[100], 1),
        (&[0x83, 2], 1),
        // Quantities and values before addresses.
        (&[1, 0, 0, 0, 0], 3),
        (&[1, 0, 0, 7, 0xd1], 3),
        (&[2, 0xff, 0xff, 0, 0], 3),
        (&[3, 0, 0, 0, 0], 3),
        (&[3, 0, 0, 0, 126], 3),
        (&[4, 0, 0, 0, 126], 3),
        (&[5, 0, 0, 1, 0], 3),
        (&[5, 0xff, 0xff, 0, 1], 3),
        (&[15, 0, 0, 0, 9, 1, 0xff], 3),
        (&[15, 0, 0, 0, 0, 0], 3),
        (&[16, 0, 0, 0, 0, 0], 3),
        (&[16, 0, 0, 0, 1, 4, 0, 0], 3),
        (&[16, 0, 0, 0, 1, 2, 0], 3),
        (&[23, 0, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0], 3),
        (&[23, 0, 0, 0, 1, 0, 0, 0, 0, 0], 3),
        (&[43, 14, 0, 0], 3),
        (&[43, 14, 5, 0], 3),
        // Too short and too long.
        (&[3, 0, 0, 0], 3),
        (&[3, 0, 0, 0, 1, 0], 3),
        (&[6, 0, 0], 3),
        (&[7, 0], 3),
        (&[8, 0], 3),
        (&[11, 0], 3),
        (&[12, 0], 3),
        (&[15, 0, 0], 3),
        (&[16, 0, 0], 3),
        (&[17, 0], 3),
        (&[22, 0, 0, 0, 0, 0], 3),
        (&[23, 0, 0], 3),
        (&[24, 0], 3),
        (&[43], 3),
        (&[43, 14, 1], 3),
        // Addresses.
        (&[1, 0xff, 0xff, 0, 1], 2),
        (&[1, 0xff, 0xff, 0, 2], 2),
        (&[2, 0x80, 0, 0, 1], 2),
        (&[3, 0x40, 0, 0, 1], 2),
        (&[4, 0x40, 0, 0, 1], 2),
        (&[5, 0x40, 0, 0, 0], 2),
        (&[6, 0x40, 0, 0, 0], 2),
        (&[15, 0x40, 0, 0, 1, 1, 1], 2),
        (&[16, 0x40, 0, 0, 1, 2, 0, 0], 2),
        (&[22, 0x40, 0, 0, 0, 0, 0], 2),
        (&[23, 0x40, 0, 0, 1, 0, 0, 0, 1, 2, 0, 0], 2),
        (&[23, 0, 0, 0, 1, 0x40, 0, 0, 1, 2, 0, 0], 2),
        (&[24, 0, 0], 2),
        (&[43, 14, 4, 5], 2),
        (&[43, 14, 4, 0x80], 2),
        // Diagnostics.
        (&[8, 0, 3, 10, 0], 1),
        (&[8, 0, 4, 0, 0], 1),
        (&[8, 0, 19, 0, 0], 1),
        (&[8, 0, 21, 0, 0], 1),
        (&[8, 0, 1, 0, 1], 3),
        (&[8, 0, 10, 0, 1], 3),
        (&[8, 0, 11], 3),
    ];
    for (pdu, code) in cases {
        let answer = ask(&mut talk(), pdu);
        assert_eq!(answer, [pdu[0] | 0x80, *code], "{pdu:02x?}");
    }
}

#[test]
fn three_units_are_the_device_and_behind_the_rest_there_is_nothing() {
    let mut talk = talk();
    for unit in UNITS {
        assert_eq!(ask_unit(&mut talk, unit, &[3, 0, 1, 0, 1])[..2], [3, 2]);
    }
    for unit in [2, 100, 247, 254] {
        assert_eq!(ask_unit(&mut talk, unit, &[3, 0, 1, 0, 1]), [0x83, 10]);
    }
    assert_eq!(talk.events().len(), 7);
}

#[test]
fn frames_are_cut_by_their_length_alone() {
    let mut talk = talk();
    let mut both = frame(1, 1, &[6, 0, 1, 0, 7]);
    both.extend(frame(2, 1, &[3, 0, 1, 0, 1]));
    let wanted = [frame(1, 1, &[6, 0, 1, 0, 7]), frame(2, 1, &[3, 2, 0, 7])].concat();
    assert_eq!(talk.say(&both), wanted);
    let mut said = Vec::new();
    for byte in &both {
        said.extend(talk.say([*byte]));
    }
    assert_eq!(said, wanted);
    assert_eq!(talk.events().len(), 4);
}

#[test]
fn what_is_no_frame_ends_the_connection_without_a_word() {
    for header in [
        &b"\0\x01\0\0\0\0"[..],
        b"\0\x01\0\0\0\x01\x01",
        b"\0\x01\0\0\0\xff\x01",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
    ] {
        let mut talk = talk();
        assert_eq!(talk.say(header), b"", "{header:02x?}");
        assert!(talk.is_closed(), "{header:02x?}");
        assert!(talk.events().is_empty());
    }
    // Another protocol of the right length is skipped.
    let mut talk = talk();
    assert_eq!(talk.say(b"\0\x01\0\x07\0\x03\x01\x11\0"), b"");
    assert!(talk.events().is_empty());
    assert_eq!(ask(&mut talk, &[17])[0], 17);
}

#[test]
fn every_public_function_is_reported_by_its_name() {
    let cases: &[(&[u8], u32, Value)] = &[
        (
            &[1, 0, 0, 0, 1],
            18002,
            json!({"FUNC_CODE": "1", "FUNC_NAME": "Read Coils"}),
        ),
        (
            &[2, 0, 0, 0, 1],
            18002,
            json!({"FUNC_CODE": "2", "FUNC_NAME": "Read Discrete Inputs"}),
        ),
        (
            &[3, 0, 0, 0, 1],
            18002,
            json!({"FUNC_CODE": "3", "FUNC_NAME": "Read Holding Registers"}),
        ),
        (
            &[4, 0, 0, 0, 1],
            18002,
            json!({"FUNC_CODE": "4", "FUNC_NAME": "Read Input Registers"}),
        ),
        (
            &[5, 0, 0, 0, 0],
            18003,
            json!({"FUNC_CODE": "5", "FUNC_NAME": "Write Single Coil"}),
        ),
        (
            &[6, 0, 0, 0, 0],
            18003,
            json!({"FUNC_CODE": "6", "FUNC_NAME": "Write Single Register"}),
        ),
        (
            &[7],
            18001,
            json!({"FUNC_CODE": "7", "FUNC_NAME": "Read Exception Status"}),
        ),
        (
            &[8, 0, 0, 1, 2],
            18001,
            json!({"FUNC_CODE": "8", "FUNC_NAME": "Diagnostics", "SFUNC_CODE": "0", "SFUNC_NAME": "Return Query Data"}),
        ),
        (
            &[8, 0, 19, 0, 0],
            18001,
            json!({"FUNC_CODE": "8", "FUNC_NAME": "Diagnostics", "SFUNC_CODE": "19"}),
        ),
        (
            &[8],
            18001,
            json!({"FUNC_CODE": "8", "FUNC_NAME": "Diagnostics"}),
        ),
        (
            &[11],
            18001,
            json!({"FUNC_CODE": "11", "FUNC_NAME": "Get Comm Event Counter"}),
        ),
        (
            &[12],
            18001,
            json!({"FUNC_CODE": "12", "FUNC_NAME": "Get Comm Event Log"}),
        ),
        (
            &[15, 0, 0, 0, 1, 1, 0],
            18003,
            json!({"FUNC_CODE": "15", "FUNC_NAME": "Write Multiple Coils"}),
        ),
        (
            &[16, 0, 0, 0, 1, 2, 0, 0],
            18003,
            json!({"FUNC_CODE": "16", "FUNC_NAME": "Write Multiple Registers"}),
        ),
        (
            &[17],
            18001,
            json!({"FUNC_CODE": "17", "FUNC_NAME": "Report Server ID"}),
        ),
        (
            &[20, 7],
            18002,
            json!({"FUNC_CODE": "20", "FUNC_NAME": "Read File Record"}),
        ),
        (
            &[21, 9],
            18003,
            json!({"FUNC_CODE": "21", "FUNC_NAME": "Write File Record"}),
        ),
        (
            &[22, 0, 0, 0, 0, 0, 0],
            18003,
            json!({"FUNC_CODE": "22", "FUNC_NAME": "Mask Write Register"}),
        ),
        (
            &[23, 0],
            18003,
            json!({"FUNC_CODE": "23", "FUNC_NAME": "Read/Write Multiple Registers"}),
        ),
        (
            &[24, 0, 0],
            18002,
            json!({"FUNC_CODE": "24", "FUNC_NAME": "Read FIFO Queue"}),
        ),
        (
            &[43, 13, 0],
            18001,
            json!({"FUNC_CODE": "43", "FUNC_NAME": "Encapsulated Interface Transport", "SFUNC_CODE": "13", "SFUNC_NAME": "CANopen General Reference Request and Response PDU"}),
        ),
        (
            &[43, 14, 1, 0],
            18001,
            json!({"FUNC_CODE": "43", "FUNC_NAME": "Encapsulated Interface Transport", "SFUNC_CODE": "14", "SFUNC_NAME": "Read Device Identification"}),
        ),
        (
            &[43, 99],
            18001,
            json!({"FUNC_CODE": "43", "FUNC_NAME": "Encapsulated Interface Transport", "SFUNC_CODE": "99"}),
        ),
        (&[90, 0], 18001, json!({"FUNC_CODE": "90"})),
    ];
    for (pdu, logtype, fields) in cases {
        let mut talk = talk();
        ask_unit(&mut talk, 255, pdu);
        let mut fields = fields.clone();
        fields["UNIT_ID"] = json!("255");
        assert_eq!(talk.events(), [(*logtype, fields)], "{pdu:02x?}");
    }
    for code in [1, 2, 3, 4, 10, 11, 12, 13, 14, 15, 16, 17, 18, 20] {
        assert!(names::sub_function(8, code).is_some(), "{code}");
    }
}

#[test]
fn the_device_names_itself_as_far_as_it_is_asked() {
    let objects = |ids: &[u8]| -> Vec<u8> {
        let text = |id: &u8| match id {
            0 => "Rockwell Automation/Allen Bradley",
            1 => "1",
            2 => "1.2",
            3 => "http://www.rockwellautomation.com",
            4 => "1769-L23E-QB1 Ethernet Port",
            _ => "device1",
        };
        let one = |id| {
            let text = text(id);
            [&[*id, text.len() as u8], text.as_bytes()].concat()
        };
        ids.iter().flat_map(one).collect()
    };
    let mut talk = talk();
    for (code, first, ids) in [
        (1, 0, &[0, 1, 2][..]),
        (1, 2, &[2]),
        (1, 4, &[0, 1, 2]),
        (2, 0, &[0, 1, 2, 3, 4, 6]),
        (2, 6, &[6]),
        (2, 5, &[0, 1, 2, 3, 4, 6]),
        (3, 0, &[0, 1, 2, 3, 4, 6]),
        (3, 0x80, &[0, 1, 2, 3, 4, 6]),
        (4, 4, &[4]),
    ] {
        let mut wanted = vec![43, 14, code, 0x82, 0, 0, ids.len() as u8];
        wanted.extend(objects(ids));
        assert_eq!(
            ask(&mut talk, &[43, 14, code, first]),
            wanted,
            "{code} {first}"
        );
    }
    let mut wanted = b"\x11\x1d\x01\xff".to_vec();
    wanted.extend(b"1769-L23E-QB1 Ethernet Port");
    assert_eq!(ask(&mut talk, &[17]), wanted);
}

#[test]
fn long_names_come_in_several_answers() {
    let long = "x".repeat(MAX_TEXT);
    let settings = json!({"vendorname": long, "vendorurl": long, "modelname": "L23"});
    let mut talk = Talk::with(&KIND, &settings);
    let (mut next, mut ids, mut answers) = (0, Vec::new(), 0);
    loop {
        let answer = ask(&mut talk, &[43, 14, 2, next]);
        assert!(answer.len() <= 253);
        answers += 1;
        let before = ids.len();
        let mut rest = &answer[7..];
        while let [id, length, after @ ..] = rest {
            ids.push(*id);
            rest = &after[usize::from(*length)..];
        }
        assert_eq!(usize::from(answer[6]), ids.len() - before);
        next = answer[5];
        if answer[4] == 0 {
            break;
        }
    }
    assert_eq!((ids, answers), (vec![0, 1, 2, 3, 4, 5, 6], 2));
}

#[test]
fn settings_that_no_answer_could_carry_are_refused() {
    let given = json!({"vendorname": "x".repeat(201), "modelname": "a\nb", "vendor": ""});
    let faults = ModbusSettings::parse(given.as_object().unwrap()).unwrap_err();
    let keys: Vec<_> = faults.iter().map(|fault| fault.key.as_str()).collect();
    assert_eq!(keys, ["vendor", "vendorname", "modelname"]);
}

#[test]
fn measured_values_move_and_setpoints_stay() {
    let mut talk = talk();
    let read = |talk: &mut Talk, pdu: &[u8]| registers(&ask(talk, pdu));
    let first = read(&mut talk, &[3, 0, 0, 0, 100]);
    assert_eq!(
        first,
        read(&mut talk, &[3, 0, 0, 0, 100]),
        "one moment, one value"
    );
    let inputs = read(&mut talk, &[4, 0, 0, 0, 26]);
    let mut moves = [0; 8];
    for _ in 0..5 {
        let before = read(&mut talk, &[3, 0, 0, 0, 100]);
        talk.advance(Duration::from_secs(20));
        let after = read(&mut talk, &[3, 0, 0, 0, 100]);
        for (n, moved) in moves.iter_mut().enumerate() {
            *moved += usize::from(before[n * 10] != after[n * 10]);
        }
    }
    assert!(moves.iter().all(|moved| *moved >= 3), "{moves:?}");
    let later = read(&mut talk, &[3, 0, 0, 0, 100]);
    for (n, input) in inputs.iter().enumerate().take(8) {
        let at = n * 10;
        assert_eq!(first[at + 1], later[at + 1]);
        let (low, high) = (
            first[at + 1] - first[at + 1] / 10,
            first[at + 1] + first[at + 1] / 10,
        );
        assert!(
            (low..=high).contains(&first[at]),
            "loop {n} strays: {first:?}"
        );
        assert_eq!(*input, first[at]);
    }
    assert_eq!(later[83] - first[83], 100, "seconds of work");
    assert!(later[81] > first[81], "products");
    let pulse = |talk: &mut Talk| ask(talk, &[2, 0, 24, 0, 2]);
    let before = pulse(&mut talk);
    talk.advance(Duration::from_secs(1));
    assert_ne!(before, pulse(&mut talk));
}

#[test]
fn a_written_setpoint_stays_and_is_approached() {
    let mut talk = talk();
    let holding = |talk: &mut Talk| registers(&ask(talk, &[3, 0, 0, 0, 4]));
    let old = holding(&mut talk);
    let new = old[1] + 500;
    let [high, low] = new.to_be_bytes();
    assert_eq!(ask(&mut talk, &[6, 0, 1, high, low]), [6, 0, 1, high, low]);
    let now = holding(&mut talk);
    assert_eq!((now[1], now[0]), (new, old[0]));
    talk.advance(Duration::from_secs(60));
    let soon = holding(&mut talk);
    assert!(soon[0] > old[0] && soon[0] < new, "{old:?} {soon:?}");
    assert!(soon[2] > old[2], "the output works for it");
    talk.advance(Duration::from_secs(36_000));
    assert!(holding(&mut talk)[0].abs_diff(new) < new / 10);

    // A measured value is taken and overwritten.
    let measured = holding(&mut talk)[0];
    assert_eq!(ask(&mut talk, &[6, 0, 0, 0, 0]), [6, 0, 0, 0, 0]);
    assert_eq!(holding(&mut talk)[0], measured);
}

#[test]
fn all_writes_are_read_back_by_every_connection() {
    let service = (KIND.build)(&Map::new(), &Bird::sample()).unwrap();
    let mut talk = Talk::of(&KIND, &service);
    assert_eq!(ask(&mut talk, &[5, 0, 3, 0xff, 0]), [5, 0, 3, 0xff, 0]);
    assert_eq!(
        ask(&mut talk, &[15, 0, 20, 0, 10, 2, 0xcd, 1]),
        [15, 0, 20, 0, 10]
    );
    assert_eq!(
        ask(&mut talk, &[16, 0, 3, 0, 2, 4, 0, 10, 1, 2]),
        [16, 0, 3, 0, 2]
    );
    let mut talk = Talk::of(&KIND, &service);
    assert_eq!(ask(&mut talk, &[1, 0, 20, 0, 10]), [1, 2, 0xcd, 1]);
    assert_eq!(ask(&mut talk, &[1, 0, 3, 0, 1]), [1, 1, 1]);
    assert_eq!(
        ask(&mut talk, &[2, 0, 3, 0, 1]),
        [2, 1, 1],
        "the drive runs"
    );
    assert_eq!(ask(&mut talk, &[7])[1] & 8, 8);
    assert_eq!(ask(&mut talk, &[5, 0, 3, 0, 0]), [5, 0, 3, 0, 0]);
    assert_eq!(ask(&mut talk, &[2, 0, 3, 0, 1]), [2, 1, 0]);
    assert_eq!(
        ask(&mut talk, &[4, 0, 11, 0, 1]),
        [4, 2, 0, 0],
        "no current"
    );
    assert_eq!(ask(&mut talk, &[3, 0, 3, 0, 2]), [3, 4, 0, 10, 1, 2]);
    // The example of the protocol's section 6.16: 0x12 becomes 0x17.
    ask(&mut talk, &[6, 0, 4, 0, 0x12]);
    let masked = [22, 0, 4, 0, 0xf2, 0, 0x25];
    assert_eq!(ask(&mut talk, &masked), masked);
    assert_eq!(ask(&mut talk, &[3, 0, 4, 0, 1]), [3, 2, 0, 0x17]);
    // What is written is there when it's read in the same request.
    let both = [23, 0, 3, 0, 2, 0, 3, 0, 1, 2, 0, 99];
    assert_eq!(ask(&mut talk, &both), [23, 4, 0, 99, 0, 0x17]);
}

#[test]
fn the_queue_has_as_many_as_its_pointer_says() {
    let mut talk = talk();
    let queues: Vec<(u16, Vec<u8>)> = (0..512_u16)
        .filter_map(|n| {
            let [high, low] = n.to_be_bytes();
            let answer = ask(&mut talk, &[24, high, low]);
            (answer[0] == 24).then_some((n, answer))
        })
        .collect();
    let [(at, answer)] = &queues[..] else {
        panic!("{} queues", queues.len());
    };
    // The sample bird has run for more than a day: 27 hours.
    assert_eq!(answer[1..5], [0, 56, 0, 27]);
    assert_eq!(answer.len(), 5 + 54);
    let [high, low] = at.to_be_bytes();
    assert_eq!(ask(&mut talk, &[3, high, low, 0, 1]), [3, 2, 0, 27]);
}

#[test]
fn diagnostics_count() {
    let mut talk = talk();
    let number = |answer: Vec<u8>| u16::from_be_bytes([answer[3], answer[4]]);
    assert_eq!(
        ask(&mut talk, &[8, 0, 0, 0xa5, 0x37, 1]),
        [8, 0, 0, 0xa5, 0x37, 1]
    );
    assert_eq!(ask(&mut talk, &[8, 0, 2, 0, 0]), [8, 0, 2, 0, 0]);
    let polled = number(ask(&mut talk, &[8, 0, 11, 0, 0]));
    assert_eq!(
        number(ask(&mut talk, &[8, 0, 14, 0, 0])),
        polled.wrapping_add(1)
    );
    talk.advance(Duration::from_secs(10));
    let later = number(ask(&mut talk, &[8, 0, 11, 0, 0]));
    assert!(later.wrapping_sub(polled) > 5, "the control room asks on");

    assert_eq!(ask(&mut talk, &[8, 0, 10, 0, 0]), [8, 0, 10, 0, 0]);
    ask(&mut talk, &[3, 0, 0, 0, 0]);
    ask(&mut talk, &[3, 0, 0, 0, 1]);
    assert_eq!(number(ask(&mut talk, &[8, 0, 13, 0, 0])), 1);
    assert_eq!(number(ask(&mut talk, &[8, 0, 11, 0, 0])), 4);
    for quiet in [12, 15, 16, 17, 18] {
        assert_eq!(ask(&mut talk, &[8, 0, quiet, 0, 0]), [8, 0, quiet, 0, 0]);
    }
    assert_eq!(ask(&mut talk, &[8, 0, 20, 0, 0]), [8, 0, 20, 0, 0]);
    // One request was completed since.
    assert_eq!(ask(&mut talk, &[11]), [11, 0, 0, 0, 1]);
    let log = ask(&mut talk, &[12]);
    assert_eq!(log[..8], [12, 70, 0, 0, 0, 1, 0, 12]);
    assert_eq!(log[8..12], [0x80, 0x40, 0x80, 0x40]);
    assert_eq!(
        log.iter().skip(8).filter(|event| **event == 0x41).count(),
        1
    );

    assert_eq!(ask(&mut talk, &[8, 0, 1, 0xff, 0]), [8, 0, 1, 0xff, 0]);
    // Restarted, answered, asked anew.
    assert_eq!(
        ask(&mut talk, &[12]),
        [12, 9, 0, 0, 0, 0, 0, 1, 0x80, 0x40, 0]
    );
}

#[test]
fn birds_have_plants_of_their_own() {
    let seeds = [Seed::new([1; 32]), Seed::new([2; 32])];
    let now = Timestamp::from_secs(1_760_100_000);
    let booted = Timestamp::from_secs(1_760_000_000);
    let [a, b] = seeds.map(|seed| {
        let process = Process::new(&seed, booted);
        process.read_words(Words::Holding, 0, 100, now).unwrap()
    });
    let same = a.iter().zip(&b).filter(|(a, b)| a == b).count();
    assert!(same < 40, "{a:?} {b:?}");
}
