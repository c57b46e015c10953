//! Custom Web Image: a picture of the owner's that tells who looks at it.

use coalmine_core::event::{Field, Shape};
use coalmine_core::settings::Fault;
use coalmine_core::token::{
    Answer, Artefact, Ask, Group, Hit, Mint, Reach, Takes, Token, TokenChannel, TokenKind, Trip,
};
use serde_json::json;

use crate::files;

/// The kind.
pub static KIND: TokenKind = TokenKind {
    id: "web-image",
    title: "Custom Web Image",
    description: "Remote Web Image",
    doc: "A picture of your own at a unique URL.\n\
          Place it where a picture is expected and few should look: an internal wiki, the signature \
          of a mailbox nobody uses, a page behind a login, a document.\n\
          Whoever loads it gets your picture, and an incident shows the address, the browser and, \
          where the browser tells, the page that it was on.",
    group: Group::Web,
    trial: "Open the picture: `curl -o picture '{url}'`.",
    logtype: 17001,
    channels: &[TokenChannel::Http],
    reach: Reach::Direct,
    asks: &[Ask {
        name: IMAGE,
        doc: "The picture: PNG or JPEG.",
        required: true,
        takes: Takes::File {
            max: MAX_IMAGE,
            accepts: &["png", "jpg", "jpeg"],
        },
    }],
    event: &[
        Field {
            name: IMAGE,
            shape: Shape::String,
            optional: false,
            doc: "Where the Console gives the picture.",
            sample: || json!("/api/v1/canarytoken/download?canarytoken=4ylq9w1xk0d3v5m7s2b8n6c1z"),
        },
        Field {
            name: "web_image_type",
            shape: Shape::String,
            optional: false,
            doc: "Its MIME type.",
            sample: || json!("image/png"),
        },
        Field {
            name: "web_image_name",
            shape: Shape::String,
            optional: false,
            doc: "Its file name.",
            sample: || json!("floor-plan.png"),
        },
    ],
    mint,
    trip,
};

const IMAGE: &str = "web_image";
/// Largest picture, in bytes. It is served to whoever asks for it.
const MAX_IMAGE: usize = 2 * 1024 * 1024;

fn mint(mint: &Mint<'_>) -> Result<Artefact, Vec<Fault>> {
    let refused = |problem: &str| vec![Fault::new(IMAGE, problem)];
    let file = mint
        .file(IMAGE)
        .ok_or_else(|| refused("a file must be uploaded"))?;
    let (mime, extension) = kind_of(&file.bytes)
        .ok_or_else(|| refused("the file is neither a PNG nor a JPEG picture"))?;
    let mut made = files::artefact(IMAGE, &file.name, mime, file.bytes.clone());
    made.fields
        .insert("url".to_owned(), mint.url(extension).into());
    Ok(made)
}

/// MIME type and extension, by the picture's first bytes.
fn kind_of(bytes: &[u8]) -> Option<(&'static str, &'static str)> {
    if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        Some(("image/png", "png"))
    } else if bytes.starts_with(b"\xff\xd8\xff") {
        Some(("image/jpeg", "jpg"))
    } else {
        None
    }
}

fn trip(token: &Token, hit: &Hit<'_>) -> Trip {
    // A browser asks before another site's script may load the picture; the picture follows.
    if let Hit::Http(hit) = hit
        && hit.method == "OPTIONS"
        && hit.header("access-control-request-method").is_some()
    {
        return Trip::silent(Answer::Plain);
    }
    Trip::alert(files::told(token, IMAGE), Answer::Upload(IMAGE))
}

#[cfg(test)]
mod tests {
    use coalmine_core::token::HttpHit;

    use super::*;
    use crate::tests::{minted_with, request, token};

    #[test]
    fn the_picture_is_what_its_bytes_say() {
        let mint = |name, bytes: &[u8]| minted_with(&KIND, &[], &[(IMAGE, name, bytes)]);
        let made = mint("plan of floor 2.jpg", b"\xff\xd8\xff\xe0").unwrap();
        assert_eq!(made.fields["web_image_type"], "image/jpeg");
        assert_eq!(made.fields["web_image_name"], "plan_of_floor_2.jpg");
        assert!(made.fields["url"].as_str().unwrap().ends_with(".jpg"));
        assert_eq!(made.file.unwrap().bytes, b"\xff\xd8\xff\xe0");
        let faults = mint("a.png", b"<svg/>").unwrap_err();
        assert_eq!(
            faults,
            [Fault::new(
                IMAGE,
                "the file is neither a PNG nor a JPEG picture"
            )]
        );
    }

    #[test]
    fn whoever_loads_it_gets_it_and_a_preflight_is_silent() {
        let trip = (KIND.trip)(&token(&KIND), &Hit::Http(request()));
        assert_eq!(trip.answer, Answer::Upload(IMAGE));
        assert_eq!(trip.fields["web_image_name"], "a.png");
        let headers = [("Access-Control-Request-Method".to_owned(), "GET".to_owned())];
        let preflight = HttpHit {
            method: "OPTIONS",
            headers: &headers,
            ..request()
        };
        assert!(!(KIND.trip)(&token(&KIND), &Hit::Http(preflight)).alert);
    }
}
