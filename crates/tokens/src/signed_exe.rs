//! Custom Exe/Binary: a program whose signature sends whoever checks it to the token.

use coalmine_core::event::Field;
use coalmine_core::settings::Fault;
use coalmine_core::token::{
    Answer, Artefact, Ask, Group, Hit, Mint, Reach, Takes, Token, TokenChannel, TokenKind, Trip,
};
use data_encoding::BASE64;
use serde_json::{Value, json};

use crate::files::signer::{Places, Signer};
use crate::files::{self, Dice, pe, prose};

/// The kind.
pub static KIND: TokenKind = TokenKind {
    id: "signed-exe",
    title: "Custom Exe/Binary",
    description: "Signed Exe",
    doc: "Your own Windows program, signed by a signer that exists for this token alone. Windows \
          asks for the signer's certificate, its status and the list of revoked ones at the token \
          when it checks the signature: on start, in the file's properties, by scanners.\n\
          Place it where an intruder collects tools or looks for programs to abuse.\n\
          Nobody trusts the signer, and Windows says so to those who look; an old signature is \
          replaced.\n\
          Virus scanners that look at every file trip it too.",
    group: Group::Files,
    trial: "Look at the file's digital signature in Windows, or fetch what that would: `curl '{url}'`.",
    logtype: 17008,
    channels: &[TokenChannel::Http, TokenChannel::Dns],
    reach: Reach::Direct,
    asks: &[
        Ask {
            name: EXE,
            doc: "The program (.exe or .dll) to sign.",
            required: true,
            takes: Takes::File {
                max: pe::MAX_PROGRAM,
                accepts: &["exe", "dll", "sys", "ocx", "cpl", "scr"],
            },
        },
        Ask {
            name: SIGNER,
            doc: "The organisation that the certificate names; without it a made-up one.",
            required: false,
            takes: Takes::Text(64),
        },
    ],
    event: &[
        Field::text(EXE, false, "Where the Console gives the program.", || {
            json!("/api/v1/canarytoken/download?canarytoken=4ylq9w1xk0d3v5m7s2b8n6c1z")
        }),
        Field::text("exe_name", false, "The program's file name.", || {
            json!("setup.exe")
        }),
        Field::text("exe_type", false, "Its MIME type.", || json!(MIME)),
    ],
    mint,
    trip,
};

const EXE: &str = "exe";
const SIGNER: &str = "exe_signer";
const MIME: &str = "application/x-msdownload";
/// The token's fields with the issuers' certificates and their list of revoked ones in base64.
const ISSUERS: &str = "exe_issuers";
const REVOKED: &str = "exe_revoked";

fn mint(mint: &Mint<'_>) -> Result<Artefact, Vec<Fault>> {
    let Some(upload) = mint.file(EXE) else {
        return Err(vec![Fault::new(EXE, "a file must be uploaded")]);
    };
    let mut dice = Dice::new(&mint.seed, "program");
    let subject = match mint.param(SIGNER).map(str::trim) {
        Some(given) if !given.is_empty() => given.to_owned(),
        _ => prose::company(&mut dice),
    };
    // Windows fetches these over plain HTTP only. Without that channel its look-up of the name is
    // what is seen.
    let url = |extension: &str| match mint.places.http {
        Some(_) => mint.plain_url(extension),
        None => {
            let url = mint.url(extension);
            let page = url.rsplit('/').next().unwrap_or_default();
            format!("http://{}/{page}", mint.nx_hostname())
        }
    };
    let places = Places {
        issuer: url("p7c"),
        status: url("ocsp"),
        revoked: Some(url("crl")),
    };
    let signer = Signer::new(&mint.seed, mint.now, &subject, &places);
    let bytes = pe::sign(&upload.bytes, &signer).map_err(files::refused(EXE))?;
    let mut made = files::artefact(EXE, &upload.name, MIME, bytes);
    for (field, bytes) in [(ISSUERS, signer.issuers()), (REVOKED, signer.revoked())] {
        let text = Value::String(BASE64.encode(&bytes));
        made.fields.insert(field.to_owned(), text);
    }
    Ok(made)
}

/// Who asks for the issuers' certificates or the list of revoked ones gets them, and goes on.
fn trip(token: &Token, hit: &Hit<'_>) -> Trip {
    let given = |field: &str, mime: &str| {
        let text = token.fields.get(field)?.as_str()?;
        Some(Answer::Body {
            mime: mime.to_owned(),
            bytes: BASE64.decode(text.as_bytes()).ok()?,
        })
    };
    let answer = match hit {
        Hit::Http(hit) if hit.rest.ends_with(".p7c") => given(ISSUERS, "application/pkcs7-mime"),
        Hit::Http(hit) if hit.rest.ends_with(".crl") => given(REVOKED, "application/pkix-crl"),
        _ => None,
    };
    Trip::alert(files::told(token, EXE), answer.unwrap_or(Answer::Plain))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{minted_with, request, token};
    use coalmine_core::token::HttpHit;

    #[test]
    fn the_certificates_name_the_tokens_url() {
        let made = |params: &[(&str, &str)]| {
            let program = pe::tests::program();
            let file = minted_with(&KIND, params, &[(EXE, "a.exe", &program)]).unwrap();
            String::from_utf8_lossy(&file.file.unwrap().bytes).into_owned()
        };
        let text = made(&[(SIGNER, "Example Org")]);
        for extension in [".p7c", ".crl", ".ocsp"] {
            assert!(text.contains(extension), "{extension}");
        }
        assert!(text.contains("http://tokens.example.com/") && text.contains("Example Org"));
        assert!(!made(&[]).contains("Example Org"));
    }

    #[test]
    fn the_event_names_the_program() {
        let trip = (KIND.trip)(&token(&KIND), &Hit::Http(request()));
        assert_eq!(trip.fields["exe_name"], "setup.exe");
        assert_eq!(trip.fields["exe_type"], MIME);
        assert_eq!(trip.answer, Answer::Plain);
        for (rest, wanted) in [
            ("a.p7c", "application/pkcs7-mime"),
            ("a.crl", "application/pkix-crl"),
        ] {
            let hit = HttpHit { rest, ..request() };
            let trip = (KIND.trip)(&token(&KIND), &Hit::Http(hit));
            let Answer::Body { mime, bytes } = trip.answer else {
                panic!("{:?}", trip.answer);
            };
            assert!(mime == wanted && bytes.starts_with(&[0x30, 0x82]));
        }
    }

    #[test]
    fn what_is_no_program_is_refused() {
        let faults = minted_with(&KIND, &[], &[(EXE, "a.exe", b"MZ")]).unwrap_err();
        let wanted = "the file is no Windows program (.exe or .dll) that can be read";
        assert_eq!(faults, [Fault::new(EXE, wanted)]);
    }
}
