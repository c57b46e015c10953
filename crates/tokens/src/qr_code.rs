//! QR Code: a token's URL to be printed.

use coalmine_core::event::{Field, Shape};
use coalmine_core::settings::Fault;
use coalmine_core::token::{
    Answer, Artefact, ArtefactFile, Ask, Group, Hit, Mint, Reach, Takes, Token, TokenChannel,
    TokenKind, Trip,
};
use data_encoding::BASE64;
use qrcode::render::svg;
use qrcode::{Color, EcLevel, QrCode};
use serde_json::{Map, Value, json};

/// The kind.
pub static KIND: TokenKind = TokenKind {
    id: "qr-code",
    title: "QR Code",
    description: "QR Code",
    doc: "A unique URL as a QR code, to be printed or shown.\n\
          Stick it on a device in the server room, on the back of a badge, on an envelope in a desk: \
          whoever is curious enough to scan it raises an incident.\n\
          Telephones show the URL before they open it; let it lead somewhere plausible.",
    group: Group::Web,
    trial: "Scan the code with a telephone, or open what it says: `curl '{url}'`.",
    logtype: 17009,
    channels: &[TokenChannel::Http],
    reach: Reach::Direct,
    asks: &[Ask {
        name: TO,
        doc: "Where whoever scans it is sent; without it an empty picture is shown.",
        required: false,
        takes: Takes::Url,
    }],
    event: &[Field {
        name: CODE,
        shape: Shape::String,
        optional: false,
        doc: "Where the Console gives the picture.",
        sample: || json!("/api/v1/canarytoken/download?canarytoken=4ylq9w1xk0d3v5m7s2b8n6c1z"),
    }],
    mint,
    trip,
};

const CODE: &str = "qr_code";
const TO: &str = "browser_redirect_url";
/// Pixels a module is wide.
const SCALE: usize = 8;
/// White modules around (ISO/IEC 18004 section 6.3.8).
const QUIET: usize = 4;

fn mint(mint: &Mint<'_>) -> Result<Artefact, Vec<Fault>> {
    let url = mint.url("");
    let code = QrCode::with_error_correction_level(&url, EcLevel::M).map_err(|cause| {
        vec![Fault::new(
            "kind",
            format!("the URL {url} fits no code: {cause}"),
        )]
    })?;
    let png = png(&code).map_err(|cause| vec![Fault::new("kind", cause.to_string())])?;
    let svg = code
        .render::<svg::Color<'_>>()
        .min_dimensions(256, 256)
        .build();
    let data = format!("data:image/png;base64,{}", BASE64.encode(&png));
    Ok(Artefact {
        fields: Map::from_iter([
            (CODE.to_owned(), Value::from(data)),
            (
                TO.to_owned(),
                Value::from(mint.param(TO).unwrap_or_default()),
            ),
        ]),
        renders: [("svg".to_owned(), svg)].into(),
        file: Some(ArtefactFile {
            name: "qr_code.png".to_owned(),
            mime: "image/png",
            bytes: png,
        }),
        ..Artefact::default()
    })
}

/// The code as a picture of one bit a pixel.
fn png(code: &QrCode) -> Result<Vec<u8>, png::EncodingError> {
    let modules = code.width();
    let colors = code.to_colors();
    let side = modules.saturating_add(2 * QUIET).saturating_mul(SCALE);
    let light = |x: usize, y: usize| {
        let module = |at: usize| (at / SCALE).checked_sub(QUIET).filter(|at| *at < modules);
        let (Some(x), Some(y)) = (module(x), module(y)) else {
            return true;
        };
        let at = y.saturating_mul(modules).saturating_add(x);
        colors.get(at) != Some(&Color::Dark)
    };
    let mut rows = Vec::new();
    for y in 0..side {
        for first in (0..side).step_by(8) {
            let bits = (0..8).map(|bit| light(first + bit, y));
            rows.push(bits.fold(0, |byte: u8, light| byte << 1 | u8::from(light)));
        }
    }
    let mut bytes = Vec::new();
    let side = u32::try_from(side).unwrap_or(u32::MAX);
    let mut encoder = png::Encoder::new(&mut bytes, side, side);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::One);
    encoder.write_header()?.write_image_data(&rows)?;
    Ok(bytes)
}

fn trip(token: &Token, _: &Hit<'_>) -> Trip {
    let fields = Map::from_iter([(CODE.to_owned(), crate::files::download(&token.id).into())]);
    let to = token.fields.get(TO).and_then(Value::as_str);
    let answer = match to.unwrap_or_default() {
        "" => Answer::Plain,
        to => Answer::Redirect(to.to_owned()),
    };
    Trip::alert(fields, answer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{minted, request, token};

    #[test]
    fn the_picture_has_the_codes_modules_and_a_quiet_zone() {
        let made = minted(&KIND, &[]).unwrap();
        let bytes = made.file.unwrap().bytes;
        let mut reader = png::Decoder::new(std::io::Cursor::new(&bytes))
            .read_info()
            .unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert_eq!(info.width, info.height);
        assert_eq!(info.width % 8, 0);
        let row = usize::try_from(info.width / 8).unwrap();
        assert!(
            pixels[..row * QUIET * SCALE]
                .iter()
                .all(|byte| *byte == 0xff)
        );
        // The finder's corner: seven dark modules.
        let corner = row * QUIET * SCALE + QUIET;
        assert_eq!(pixels[corner..corner + 8], [0, 0, 0, 0, 0, 0, 0, 0xff]);
        let data = made.fields[CODE].as_str().unwrap();
        assert_eq!(
            data,
            format!("data:image/png;base64,{}", BASE64.encode(&bytes))
        );
        assert!(made.renders["svg"].contains("<svg"));
    }

    #[test]
    fn whoever_scans_it_is_sent_on_where_the_owner_wants() {
        let to = "https://www.example.com/login?a=b&c=d";
        let trip = (KIND.trip)(&token(&KIND), &Hit::Http(request()));
        assert_eq!(trip.answer, Answer::Redirect(to.to_owned()));
        let mut plain = token(&KIND);
        plain.fields.insert(TO.to_owned(), "".into());
        let trip = (KIND.trip)(&plain, &Hit::Http(request()));
        assert_eq!(trip.answer, Answer::Plain);
        assert!(trip.alert);
    }
}
