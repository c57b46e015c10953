//! Fake App: a page that can be put on a phone's home screen and tells when it's opened there.

use coalmine_core::event::{Field, Shape};
use coalmine_core::settings::Fault;
use coalmine_core::token::{
    Answer, Artefact, Ask, Group, Hit, Mint, Reach, Takes, Token, TokenChannel, TokenKind, Trip,
};
use serde_json::{Map, Value, json};

use crate::files::xml::escape;

/// The kind.
pub static KIND: TokenKind = TokenKind {
    id: "pwa",
    title: "Fake App",
    description: "Fake App",
    doc: "An app for the home screen of a phone or the desktop of a computer: a web page that browsers \
          install as an app.\n\
          Open its URL on the device that you want watched and add it to the home screen. Opening that \
          page raises nothing; whoever starts the app does, which is somebody with the device in their \
          hand.\n\
          The app never gets beyond its start screen. If the device may tell where it is, the incident \
          says so: allow it once while you install, and a stolen phone tells its place.\n\
          Browsers install apps that come over HTTPS alone.",
    group: Group::Web,
    trial: "Install the app from its URL and start it, or ask for what it would: `curl '{url}?start'`.",
    logtype: 17028,
    channels: &[TokenChannel::Http],
    reach: Reach::Direct,
    asks: &[
        Ask {
            name: ICON,
            doc: "Which app it poses as. It colours the icon, which is drawn anew and is no trade mark.",
            required: true,
            takes: Takes::Choice(ICONS),
        },
        Ask {
            name: NAME,
            doc: "The name under the icon.",
            required: true,
            takes: Takes::Text(30),
        },
    ],
    event: &[Field {
        name: LOCATION,
        shape: Shape::Object,
        optional: true,
        doc: "Where the device was, as it says: latitude and longitude in degrees, accuracy in metres.",
        sample: || json!({"latitude": 52.37, "longitude": 4.9, "accuracy": 20}),
    }],
    mint,
    trip,
};

const ICON: &str = "pwa_icon";
const NAME: &str = "pwa_app_name";
const LOCATION: &str = "location";
/// Longest position read, in bytes.
const MAX_LOCATION: usize = 2048;
/// The parts of a position that are kept (W3C Geolocation, section 8).
const PARTS: &[&str] = &[
    "latitude",
    "longitude",
    "accuracy",
    "altitude",
    "altitudeAccuracy",
    "heading",
    "speed",
];
/// Sides of the icons, in pixels: what browsers ask an app for.
const SIDES: [usize; 2] = [192, 512];

/// What the app may pose as.
const ICONS: &[&str] = &[
    "absa",
    "amex",
    "applemail",
    "applewallet",
    "axis",
    "boa",
    "bumble",
    "bunq",
    "capitec",
    "chase",
    "cred",
    "dashlane",
    "discord",
    "facebook",
    "fnb",
    "gmail",
    "googlepay",
    "googlewallet",
    "hdfc",
    "hinge",
    "icici",
    "instagram",
    "messenger",
    "monzo",
    "n26",
    "nedbank",
    "nordpass",
    "oldmutual",
    "onepassword",
    "paypal",
    "paytm",
    "phonepe",
    "protonpass",
    "rbc",
    "revolut",
    "sbi",
    "signal",
    "snapchat",
    "snapscan",
    "standard",
    "starling",
    "telegram",
    "tiktok",
    "tinder",
    "twitter",
    "whatsapp",
    "zapper",
];

fn mint(mint: &Mint<'_>) -> Result<Artefact, Vec<Fault>> {
    let url = mint.url("html");
    let text = |name| Value::from(mint.param(name).unwrap_or_default());
    Ok(Artefact {
        fields: Map::from_iter([
            (ICON.to_owned(), text(ICON)),
            (NAME.to_owned(), text(NAME)),
            ("url".to_owned(), url.into()),
        ]),
        ..Artefact::default()
    })
}

fn trip(token: &Token, hit: &Hit<'_>) -> Trip {
    let Hit::Http(hit) = hit else {
        return Trip::silent(Answer::Plain);
    };
    let text = |name: &str| token.fields.get(name).and_then(Value::as_str);
    let (icon, name) = (
        text(ICON).unwrap_or_default(),
        text(NAME).unwrap_or_default(),
    );
    let look = Look::of(icon);
    match hit.rest {
        "manifest.json" => file("application/manifest+json", manifest(name, look)),
        "sw.js" => file("text/javascript", WORKER.as_bytes().to_vec()),
        "icon-192.png" => file("image/png", look.draw(SIDES[0])),
        "icon-512.png" => file("image/png", look.draw(SIDES[1])),
        _ if hit.query.is_empty() => file("text/html; charset=utf-8", page(name, look)),
        _ => {
            let location = hit.argument("loc").and_then(location);
            let fields = location.map(|location| (LOCATION.to_owned(), location));
            Trip::alert(fields.into_iter().collect(), Answer::Plain)
        }
    }
}

/// A part of the app, which installing it loads too.
fn file(mime: &str, bytes: Vec<u8>) -> Trip {
    Trip::silent(Answer::Body {
        mime: mime.to_owned(),
        bytes,
    })
}

/// The numbers of a position.
fn location(text: &str) -> Option<Value> {
    let text = text.get(..text.len().min(MAX_LOCATION))?;
    let Ok(Value::Object(told)) = serde_json::from_str::<Value>(text) else {
        return None;
    };
    let parts: Map<String, Value> = PARTS
        .iter()
        .filter_map(|part| {
            let value = told.get(*part).filter(|value| value.is_number())?;
            Some(((*part).to_owned(), value.clone()))
        })
        .collect();
    (!parts.is_empty()).then_some(Value::Object(parts))
}

/// The app's manifest (W3C Web Application Manifest).
fn manifest(name: &str, look: Look) -> Vec<u8> {
    let icons: Vec<Value> = SIDES
        .iter()
        .map(|side| {
            json!({"src": format!("icon-{side}.png"), "sizes": format!("{side}x{side}"), "type": "image/png"})
        })
        .collect();
    let manifest = json!({
        "name": name,
        "short_name": name,
        "start_url": "./",
        "scope": "./",
        "display": "standalone",
        "background_color": "#ffffff",
        "theme_color": look.css(),
        "icons": icons,
    });
    manifest.to_string().into_bytes()
}

/// Keeps the start screen for a device without a network, as browsers want of an app.
const WORKER: &str = "\
self.addEventListener('install', function (e) {
  self.skipWaiting();
  e.waitUntil(caches.open('v1').then(function (c) { return c.addAll(['./', 'icon-192.png']); }));
});
self.addEventListener('activate', function (e) { e.waitUntil(self.clients.claim()); });
self.addEventListener('fetch', function (e) {
  if (e.request.method !== 'GET' || e.request.url.indexOf('?') !== -1) return;
  e.respondWith(fetch(e.request).catch(function () { return caches.match(e.request); }));
});
";

/// The start screen; in a browser's tab, the place to install it from.
fn page(name: &str, look: Look) -> Vec<u8> {
    let (name, color) = (escape(name), look.css());
    format!(
        "<!DOCTYPE html>
<html lang=\"en\"><head><meta charset=\"utf-8\">
<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">
<meta name=\"theme-color\" content=\"{color}\">
<meta name=\"apple-mobile-web-app-capable\" content=\"yes\">
<meta name=\"apple-mobile-web-app-title\" content=\"{name}\">
<title>{name}</title>
<link rel=\"manifest\" href=\"manifest.json\">
<link rel=\"icon\" href=\"icon-192.png\"><link rel=\"apple-touch-icon\" href=\"icon-192.png\">
<style>
html, body {{ height: 100%; margin: 0; font: 17px/1.5 system-ui, sans-serif; color: #333; }}
main {{ min-height: 100%; display: flex; flex-direction: column; align-items: center; justify-content: center; }}
img {{ width: 96px; height: 96px; border-radius: 22px; }}
button {{ font: inherit; color: #fff; background: {color}; border: 0; border-radius: 8px; padding: 10px 24px; }}
</style></head>
<body><main><img src=\"icon-192.png\" alt=\"\"><p>{name}</p>
<p id=\"say\">Add to your home screen to continue.</p><button id=\"add\" hidden>Install</button></main>
<script>
{SCRIPT}</script></body></html>
"
    )
    .into_bytes()
}

/// What the start screen does. The first word goes out at once; where the device is, when it says so.
const SCRIPT: &str = "\
(function () {
  var say = document.getElementById('say'), add = document.getElementById('add');
  var here = location.pathname;
  if ('serviceWorker' in navigator) navigator.serviceWorker.register('sw.js');
  if (!matchMedia('(display-mode: standalone)').matches && !navigator.standalone) {
    window.addEventListener('beforeinstallprompt', function (e) {
      e.preventDefault();
      add.hidden = false;
      add.onclick = function () { e.prompt(); };
    });
    if (navigator.geolocation) navigator.geolocation.getCurrentPosition(function () {}, function () {});
    return;
  }
  function tell(more) {
    return fetch(here + '?time=' + Date.now() + more, { cache: 'no-store' }).then(function (r) { return r.text(); });
  }
  function sorry() { say.textContent = 'Cannot connect. Try again later.'; }
  say.textContent = 'Loading\\u2026';
  tell('').then(function () { setTimeout(sorry, 8000); }, sorry);
  if (navigator.geolocation) navigator.geolocation.getCurrentPosition(function (p) {
    var c = p.coords;
    tell('&loc=' + encodeURIComponent(JSON.stringify({ latitude: c.latitude, longitude: c.longitude,
      accuracy: c.accuracy, altitude: c.altitude, altitudeAccuracy: c.altitudeAccuracy,
      heading: c.heading, speed: c.speed })));
  }, function () {}, { timeout: 60000 });
})();
";

/// Colour and shape of an icon.
#[derive(Clone, Copy)]
struct Look {
    rgb: [u8; 3],
    shape: usize,
}

impl Look {
    /// Always the same for the same name.
    fn of(name: &str) -> Self {
        const COLORS: &[[u8; 3]] = &[
            [0x1a, 0x56, 0xdb],
            [0x0e, 0x7a, 0x5f],
            [0xb4, 0x23, 0x18],
            [0x6b, 0x21, 0xa8],
            [0xc2, 0x41, 0x0c],
            [0x0f, 0x4c, 0x5c],
            [0x33, 0x41, 0x55],
            [0xbe, 0x18, 0x5d],
        ];
        let sum = name.bytes().fold(7_usize, |sum, byte| {
            sum.wrapping_mul(31).wrapping_add(usize::from(byte))
        });
        Self {
            rgb: COLORS
                .get(sum % COLORS.len())
                .copied()
                .unwrap_or([0x33, 0x41, 0x55]),
            shape: sum / COLORS.len() % 4,
        }
    }

    fn css(self) -> String {
        let [r, g, b] = self.rgb;
        format!("#{r:02x}{g:02x}{b:02x}")
    }

    /// A white shape on the colour, as a PNG of one bit a pixel.
    fn draw(self, side: usize) -> Vec<u8> {
        // In thousandths of the side, from the middle.
        let at = |pixel: usize| pixel.saturating_mul(1000) / side.max(1);
        let white = |x: usize, y: usize| {
            let (x, y) = (at(x).abs_diff(500), at(y).abs_diff(500));
            let far = x.saturating_mul(x).saturating_add(y.saturating_mul(y));
            match self.shape {
                0 => far < 250 * 250,
                1 => far < 280 * 280 && far > 150 * 150,
                2 => x.saturating_add(y) < 300,
                _ => x < 220 && y < 220 && !(x < 60 && y < 160),
            }
        };
        let mut rows = Vec::new();
        for y in 0..side {
            for first in (0..side).step_by(8) {
                let bits = (0..8).map(|bit| white(first.saturating_add(bit), y));
                rows.push(bits.fold(0, |byte: u8, white| byte << 1 | u8::from(white)));
            }
        }
        let mut bytes = Vec::new();
        let length = u32::try_from(side).unwrap_or(u32::MAX);
        let mut encoder = png::Encoder::new(&mut bytes, length, length);
        encoder.set_color(png::ColorType::Indexed);
        encoder.set_depth(png::BitDepth::One);
        let [r, g, b] = self.rgb;
        encoder.set_palette(vec![r, g, b, 255, 255, 255]);
        let written = encoder
            .write_header()
            .and_then(|mut writer| writer.write_image_data(&rows));
        match written {
            Ok(()) => bytes,
            // Writing to memory cannot fail; a browser does without an icon.
            Err(_) => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use coalmine_core::token::HttpHit;

    use super::*;
    use crate::tests::{minted, request, token};

    fn asked(rest: &str, query: &[(&str, &str)]) -> Trip {
        let query: Vec<_> = query
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let hit = HttpHit {
            rest,
            query: &query,
            ..request()
        };
        (KIND.trip)(&token(&KIND), &Hit::Http(hit))
    }

    fn body(trip: Trip) -> (String, Vec<u8>) {
        let Answer::Body { mime, bytes } = trip.answer else {
            panic!("{:?}", trip.answer)
        };
        assert!(!trip.alert, "installing is no alert");
        (mime, bytes)
    }

    #[test]
    fn the_apps_parts_are_served_in_silence() {
        let (mime, manifest) = body(asked("manifest.json", &[]));
        assert_eq!(mime, "application/manifest+json");
        let manifest: Value = serde_json::from_slice(&manifest).unwrap();
        assert_eq!(manifest["name"], "x");
        assert_eq!(manifest["display"], "standalone");
        for (icon, side) in manifest["icons"].as_array().unwrap().iter().zip(SIDES) {
            let (mime, png) = body(asked(icon["src"].as_str().unwrap(), &[]));
            assert_eq!(mime, "image/png");
            let reader = png::Decoder::new(std::io::Cursor::new(png))
                .read_info()
                .unwrap();
            assert_eq!(reader.info().width as usize, side);
        }
        let (mime, worker) = body(asked("sw.js", &[]));
        assert_eq!(mime, "text/javascript");
        assert!(String::from_utf8(worker).unwrap().contains("fetch"));
        for rest in ["", "page.html"] {
            let (_, page) = body(asked(rest, &[]));
            assert!(String::from_utf8(page).unwrap().contains("manifest.json"));
        }
    }

    #[test]
    fn starting_the_app_alerts_with_the_place_where_it_is_known() {
        let trip = asked("", &[("time", "1")]);
        assert!(trip.alert && trip.fields.is_empty());
        let trip = asked(
            "",
            &[
                ("time", "1"),
                (
                    "loc",
                    "{\"latitude\":1.5,\"longitude\":-2,\"speed\":null,\"x\":\"<\"}",
                ),
            ],
        );
        assert_eq!(
            trip.fields[LOCATION],
            json!({"latitude": 1.5, "longitude": -2})
        );
        for strange in ["", "[]", "{", "{\"latitude\":\"north\"}", "null"] {
            let trip = asked("", &[("loc", strange)]);
            assert!(trip.alert && trip.fields.is_empty(), "{strange}");
        }
    }

    #[test]
    fn a_name_cannot_leave_its_place_and_all_icons_are_known() {
        assert_eq!(ICONS.len(), 47);
        let made = minted(&KIND, &[(ICON, "gmail"), (NAME, "<b>\"Mail\"")]).unwrap();
        let mut token = token(&KIND);
        token.fields = made.fields;
        let trip = (KIND.trip)(&token, &Hit::Http(request()));
        let page = String::from_utf8(body(trip).1).unwrap();
        assert!(page.contains("<title>&lt;b&gt;&quot;Mail&quot;</title>"));
        assert!(!page.contains("<b>"));
        let faults = minted(&KIND, &[(ICON, "nosuch"), (NAME, &"x".repeat(31))]).unwrap_err();
        let keys: Vec<_> = faults.iter().map(|fault| fault.key.as_str()).collect();
        assert_eq!(keys, [ICON, NAME]);
    }
}
