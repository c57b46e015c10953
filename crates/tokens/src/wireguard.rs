//! WireGuard VPN: a client's configuration that leads to us.

use aws_lc_rs::agreement::{PrivateKey, X25519};
use coalmine_core::event::{Field, Shape};
use coalmine_core::settings::Fault;
use coalmine_core::token::{
    Alias, Answer, Artefact, ArtefactFile, Group, Hit, Mint, Reach, Token, TokenChannel, TokenKind,
    Trip,
};
use data_encoding::BASE64;
use qrcode::render::svg;
use qrcode::{EcLevel, QrCode};
use serde_json::{Map, Value, json};

use crate::files::Dice;

/// The kind.
pub static KIND: TokenKind = TokenKind {
    id: "wireguard",
    title: "WireGuard VPN",
    description: "WireGuard VPN",
    doc: "A configuration of a WireGuard client, as a file and as a QR code for telephones.\n\
          Leave it where whoever goes through a laptop, a telephone or a backup looks for a way into \
          the network.\n\
          The first handshake raises an incident; the tunnel never comes up.",
    group: Group::Systems,
    trial: "Bring the tunnel up: `wg-quick up ./{file}`.",
    logtype: 17022,
    channels: &[TokenChannel::Wireguard],
    reach: Reach::Direct,
    asks: &[],
    event: &[
        Field {
            name: CLIENT,
            shape: Shape::String,
            optional: false,
            doc: "The client's public key, base64.",
            sample: || json!("HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw="),
        },
        Field {
            name: SESSION,
            shape: Shape::Integer,
            optional: false,
            doc: "The client's number of the session.",
            sample: || json!(2_864_434_397_u32),
        },
    ],
    mint,
    trip,
};

const CLIENT: &str = "client_public_key";
const SESSION: &str = "client_session_index";

fn mint(mint: &Mint<'_>) -> Result<Artefact, Vec<Fault>> {
    let fault = |text: &str| vec![Fault::new("kind", text)];
    let Some(place) = &mint.places.wireguard else {
        return Err(fault("needs the wireguard channel"));
    };
    let private = private_key(&mint.seed.take("wireguard key"));
    let public = PrivateKey::from_private_key(&X25519, &private)
        .ok()
        .and_then(|key| key.compute_public_key().ok())
        .ok_or_else(|| fault("made no key"))?;
    let public = BASE64.encode(public.as_ref());
    let mut dice = Dice::new(&mint.seed, "tunnel");
    let (net, subnet, own) = (
        dice.number(10, 250),
        dice.number(1, 250),
        dice.number(2, 250),
    );
    let routes = match dice.number(0, 3) {
        0 => format!("10.{net}.0.0/16"),
        1 => format!(
            "10.{net}.{subnet}.0/24, 192.168.{}.0/24",
            dice.number(2, 250)
        ),
        _ => format!("10.{net}.{subnet}.0/24"),
    };
    let host = match place.host.contains(':') {
        true => format!("[{}]", place.host),
        false => place.host.clone(),
    };
    // Without the last line nothing is sent before somebody uses the tunnel.
    let text = format!(
        "[Interface]\nPrivateKey = {}\nAddress = 10.{net}.{subnet}.{own}/32\n\n\
         [Peer]\nPublicKey = {}\nAllowedIPs = {routes}\nEndpoint = {host}:{}\n\
         PersistentKeepalive = {}\n",
        BASE64.encode(&private),
        place.public_key,
        place.port,
        dice.pick(&[20, 25, 25, 30]),
    );
    let code = QrCode::with_error_correction_level(&text, EcLevel::L)
        .map_err(|_| fault("fits no QR code"))?;
    let svg = code
        .render::<svg::Color<'_>>()
        .min_dimensions(256, 256)
        .build();
    let name = format!("wg{}.conf", dice.number(0, 4));
    Ok(Artefact {
        fields: Map::from_iter([(CLIENT.to_owned(), Value::from(public.as_str()))]),
        renders: [("conf".to_owned(), text.clone()), ("svg".to_owned(), svg)].into(),
        file: Some(ArtefactFile {
            name,
            mime: "text/plain",
            bytes: text.into_bytes(),
        }),
        aliases: vec![Alias {
            channel: TokenChannel::Wireguard,
            key: public,
        }],
    })
}

/// As `wg genkey` writes them: clamped (RFC 7748 section 5).
fn private_key(random: &[u8; 32]) -> [u8; 32] {
    let mut key = *random;
    key[0] &= 248;
    key[31] = key[31] & 127 | 64;
    key
}

fn trip(_: &Token, hit: &Hit<'_>) -> Trip {
    let Hit::Wireguard(hit) = hit else {
        return Trip::silent(Answer::Plain);
    };
    let fields = Map::from_iter([
        (CLIENT.to_owned(), hit.client_public_key.into()),
        (SESSION.to_owned(), hit.session_index.into()),
    ]);
    Trip::alert(fields, Answer::Plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{minted, minted_by};

    #[test]
    fn the_configuration_leads_to_us_with_a_key_of_its_own() {
        let made = minted(&KIND, &[]).unwrap();
        let text = &made.renders["conf"];
        assert!(text.starts_with("[Interface]\nPrivateKey = "), "{text}");
        assert!(text.contains("\nEndpoint = tokens.example.com:51820\n"));
        assert!(text.contains("\nPublicKey = HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw=\n"));
        assert!(made.renders["svg"].contains("<svg"));
        let [alias] = made.aliases.as_slice() else {
            panic!("one alias")
        };
        assert_eq!(alias.key, made.fields[CLIENT]);
        let other = minted_by(2, &KIND, &[], &[]).unwrap();
        assert_ne!(other.aliases, made.aliases);
    }
}
