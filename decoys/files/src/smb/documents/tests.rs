use std::io::{Cursor, Read};

use coalmine_core::Seed;

use super::*;

fn made(name: &str, number: u64, wish: Option<u64>) -> Vec<u8> {
    let company = Company::new(&Seed::new([5; 32]));
    let size = size(name, number, &company, wish);
    let document = Document::new(&Wanted {
        name,
        size,
        modified: Timestamp::from_secs(1_700_000_000),
        number,
        company: &company,
    });
    assert_eq!(document.size(), size, "{name} {number} {wish:?}");
    let mut bytes = Vec::new();
    document.read(0, usize::MAX, &mut bytes);
    assert_eq!(bytes.len() as u64, size, "{name} {number} {wish:?}");
    bytes
}

#[test]
fn every_kind_has_the_size_that_was_wished() {
    let names = [
        "Minutes.docx",
        "Passwords.docx",
        "Budget.xlsx",
        "x.xlsx",
        "Scan.pdf",
        "Invoice.pdf",
        "photo.png",
        "stock.csv",
        "notes.txt",
        "robocopy.log",
        "web.config",
        "old.zip",
        "passwords.kdbx",
        "dc.bak",
        "no extension",
        "settings.yml",
        "a.sql",
        "b.json",
        "c.rdp",
        "d.ovpn",
        "e.ps1",
        "f.bat",
        "g.sh",
    ];
    for name in names {
        made(name, 1, None);
        for wish in [0, 900, 16_391, 22_000, 70_000, 131_111] {
            made(name, wish, Some(wish));
        }
    }
}

#[test]
fn smallest_office_files_of_any_story_fit() {
    for number in 0..12 {
        for name in [
            "Minutes.docx",
            "VPN.docx",
            "Report.docx",
            "Lease.docx",
            "Payroll.xlsx",
        ] {
            made(name, number, Some(0));
        }
    }
}

#[test]
fn office_files_are_packages_with_right_checksums() {
    for (name, part, says) in [
        ("VPN access.docx", "word/document.xml", "password"),
        ("Invoice 4711.docx", "word/document.xml", "Payable within"),
        (
            "Budget 2024.xlsx",
            "xl/worksheets/sheet1.xml",
            "Cost centre",
        ),
        ("Passwords.xlsx", "xl/worksheets/sheet1.xml", "Password"),
    ] {
        for wish in [16_384, 300_000] {
            let mut archive = zip::ZipArchive::new(Cursor::new(made(name, 3, Some(wish)))).unwrap();
            let names: Vec<_> = archive
                .file_names()
                .map(|n| n.unwrap().into_owned())
                .collect();
            let scanned = names.iter().any(|n| n.ends_with("image1.png"));
            assert!(scanned || wish < 200_000, "{names:?}");
            for index in 0..archive.len() {
                // Reading to the end checks the checksum.
                let mut member = archive.by_index(index).unwrap();
                std::io::copy(&mut member, &mut std::io::sink()).unwrap();
            }
            let mut text = String::new();
            archive
                .by_name(part)
                .unwrap()
                .read_to_string(&mut text)
                .unwrap();
            assert!(text.contains(says), "{name}: {text}");
        }
    }
}

#[test]
fn archives_ask_for_a_password() {
    let mut archive = zip::ZipArchive::new(Cursor::new(made("old mail.zip", 9, None))).unwrap();
    assert_eq!(archive.len(), 1);
    let error = archive.by_index(0).map(|_| ()).unwrap_err();
    assert!(
        error.to_string().to_lowercase().contains("password"),
        "{error}"
    );
}

#[test]
fn a_picture_inflates_to_its_rows() {
    let bytes = made("photo.png", 4, Some(200_000));
    let at = bytes.windows(4).position(|w| w == b"IDAT").unwrap();
    let length = u32::from_be_bytes(bytes[at - 4..at].try_into().unwrap()) as usize;
    let mut rows = Vec::new();
    let mut decoder = flate2::read::ZlibDecoder::new(&bytes[at + 4..at + 4 + length]);
    std::io::copy(&mut decoder, &mut rows).unwrap();
    let number = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    assert_eq!(rows.len(), (number(16) + 1) * number(20));
    assert_eq!(
        number(at + 4 + length) as u32,
        crc32fast::hash(&bytes[at..at + 4 + length])
    );
    assert!(rows.chunks(number(16) + 1).all(|row| row[0] == 0));
}

#[test]
fn tables_have_rows_of_one_shape() {
    let bytes = made("customers.csv", 2, Some(100_000));
    let text = String::from_utf8(bytes).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[0], "Number,Name,Town,Contact,Revenue,Reference");
    assert!(lines[1].starts_with("10001,"), "{}", lines[1]);
    assert!(lines.len() > 500 && text.ends_with("\r\n"));
    assert!(lines.iter().all(|line| line.split(',').count() >= 6));
}

#[test]
fn what_a_pdf_says_is_what_its_name_says() {
    for (name, wish) in [
        ("VPN access.pdf", 8_192),
        ("Minutes.pdf", 60_000),
        ("x.pdf", 5_000_000),
    ] {
        let bytes = made(name, 6, Some(wish));
        let text = String::from_utf8_lossy(&bytes);
        assert!(text.starts_with("%PDF-1.5\n") && text.trim_end().ends_with("%%EOF"));
        assert!(
            text.contains(&format!("({}) Tj", name.trim_end_matches(".pdf"))),
            "{name}"
        );
        let table: usize = text
            .trim_end()
            .lines()
            .rev()
            .nth(1)
            .unwrap()
            .parse()
            .unwrap();
        assert!(bytes[table..].starts_with(b"xref\n"), "{name}");
    }
}
