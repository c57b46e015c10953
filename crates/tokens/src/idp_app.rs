//! SAML IdP App: an application on the dashboard of an identity provider that nobody should open.

use std::io::Read as _;

use coalmine_core::event::{Field, Shape};
use coalmine_core::settings::Fault;
use coalmine_core::text;
use coalmine_core::token::{
    Answer, Artefact, ArtefactFile, Ask, Group, Hit, HttpHit, Mint, Reach, Takes, Token,
    TokenChannel, TokenKind, Trip,
};
use data_encoding::BASE64;
use flate2::read::DeflateDecoder;
use serde_json::{Map, Value, json};

use crate::files::xml::{self, escape};

/// The kind.
pub static KIND: TokenKind = TokenKind {
    id: "idp-app",
    title: "SAML IdP App",
    description: "SAML IdP App",
    doc: "An application for the dashboard of your identity provider (Okta, Entra ID, Google \
          Workspace ...), where it looks like any other.\n\
          Create a SAML 2.0 application there with the token's `acs_url` and `entity_id`, or upload \
          the metadata file; give it a tempting name and the icon of what it poses as, and assign it to \
          the people whose accounts matter.\n\
          Nobody has a reason to open it; whoever looks around in a stolen session does. The incident \
          names the account that the identity provider signed in.\n\
          Save the provider's metadata with the token and turn validation on, and responses that name \
          another provider raise nothing.",
    group: Group::Web,
    trial: "Open the application in your identity provider's dashboard, or its address: `curl '{url}'`.",
    logtype: 17030,
    channels: &[TokenChannel::Http],
    reach: Reach::Direct,
    asks: &[Ask {
        name: APP,
        doc: "What the application poses as.",
        required: true,
        takes: Takes::Choice(APPS),
    }],
    event: &[
        Field {
            name: "identity",
            shape: Shape::String,
            optional: true,
            doc: "The account that was signed in: the response's NameID.",
            sample: || json!("alice@example.com"),
        },
        Field {
            name: "issuer",
            shape: Shape::String,
            optional: true,
            doc: "The identity provider's entity id, as the response says.",
            sample: || json!("http://www.okta.com/exk1example"),
        },
    ],
    mint,
    trip,
};

const APP: &str = "idp_app_type";
/// Longest response, decoded, in bytes.
const MAX_RESPONSE: u64 = 256 * 1024;
/// Elements looked at.
const MAX_ELEMENTS: usize = 4096;

/// What the application may pose as.
const APPS: &[&str] = &[
    "aws",
    "azure",
    "bitwarden",
    "dropbox",
    "duo",
    "elasticsearch",
    "freshbooks",
    "gcloud",
    "gdrive",
    "github",
    "gitlab",
    "gmail",
    "intune",
    "jamf",
    "jira",
    "kibana",
    "lastpass",
    "ms365",
    "msteams",
    "onedrive",
    "onepassword",
    "outlook",
    "pagerduty",
    "sage",
    "salesforce",
    "sap",
    "slack",
    "virtru",
    "zendesk",
    "zoho",
    "zoom",
];

fn mint(mint: &Mint<'_>) -> Result<Artefact, Vec<Fault>> {
    let url = mint.url("");
    let entity = url.rsplit_once('/').map_or(&*url, |(front, _)| front);
    let acs = format!("{entity}/saml/sso");
    let metadata = metadata(entity, &acs);
    let text = |text: &str| Value::from(text);
    Ok(Artefact {
        fields: Map::from_iter([
            (APP.to_owned(), text(mint.param(APP).unwrap_or_default())),
            ("entity_id".to_owned(), text(entity)),
            ("acs_url".to_owned(), text(&acs)),
            (
                "metadata_url".to_owned(),
                format!("{entity}/saml/metadata").into(),
            ),
            ("url".to_owned(), text(&acs)),
        ]),
        renders: [("saml_metadata".to_owned(), metadata.clone())].into(),
        file: Some(ArtefactFile {
            name: "metadata.xml".to_owned(),
            mime: "application/samlmetadata+xml",
            bytes: metadata.into_bytes(),
        }),
        ..Artefact::default()
    })
}

/// The service provider's metadata (SAML 2.0 Metadata, section 2.4.4).
fn metadata(entity: &str, acs: &str) -> String {
    let (entity, acs) = (escape(entity), escape(acs));
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <md:EntityDescriptor xmlns:md=\"urn:oasis:names:tc:SAML:2.0:metadata\" entityID=\"{entity}\">\n  \
         <md:SPSSODescriptor AuthnRequestsSigned=\"false\" WantAssertionsSigned=\"true\" \
         protocolSupportEnumeration=\"urn:oasis:names:tc:SAML:2.0:protocol\">\n    \
         <md:NameIDFormat>urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress</md:NameIDFormat>\n    \
         <md:AssertionConsumerService Binding=\"urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST\" \
         Location=\"{acs}\" index=\"0\" isDefault=\"true\"/>\n  \
         </md:SPSSODescriptor>\n</md:EntityDescriptor>\n"
    )
}

fn trip(token: &Token, hit: &Hit<'_>) -> Trip {
    let Hit::Http(hit) = hit else {
        return Trip::silent(Answer::Plain);
    };
    let field = |name: &str| token.fields.get(name).and_then(Value::as_str);
    if hit.rest == "saml/metadata" && hit.method == "GET" {
        let entity = field("entity_id").unwrap_or_default();
        return Trip::silent(Answer::Body {
            mime: "application/samlmetadata+xml".to_owned(),
            bytes: metadata(entity, field("acs_url").unwrap_or_default()).into_bytes(),
        });
    }
    let login = response(hit).map(|xml| Login::read(&xml));
    let Login { identity, issuer } = login.unwrap_or_default();
    let validated = token.fields.get("validation_enabled") == Some(&Value::Bool(true));
    if validated && issuer.as_deref() != field("metadata_entity_id") {
        return Trip::silent(sorry());
    }
    let told = [("identity", identity), ("issuer", issuer)];
    let fields = told
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), text::cut(&value?).into())))
        .collect();
    Trip::alert(fields, sorry())
}

/// What every visitor gets: an application that isn't set up to the end.
fn sorry() -> Answer {
    Answer::Body {
        mime: "text/html; charset=utf-8".to_owned(),
        bytes: b"<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Sign-in error</title></head>\n\
            <body><h1>You cannot sign in at the moment</h1>\n\
            <p>Your account is not assigned to a workspace yet. Ask your administrator for access.</p></body></html>\n"
            .to_vec(),
    }
}

/// The response's XML: posted as a form (SAML 2.0 Bindings, section 3.5), or deflated in the URL
/// (section 3.4).
fn response(hit: &HttpHit<'_>) -> Option<String> {
    const NAME: &str = "SAMLResponse";
    let decode = |text: &str| {
        let text: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
        BASE64.decode(&text).ok()
    };
    let bytes = match hit.argument(NAME) {
        // A plus sign in a query reads as a space.
        Some(text) => {
            let packed = decode(&text.replace(' ', "+"))?;
            let mut bytes = Vec::new();
            DeflateDecoder::new(&*packed)
                .take(MAX_RESPONSE)
                .read_to_end(&mut bytes)
                .ok()?;
            bytes
        }
        None => {
            let form = std::str::from_utf8(hit.body).ok()?;
            let text = form
                .split('&')
                .find_map(|pair| pair.strip_prefix(NAME)?.strip_prefix('='))?;
            decode(&unquote(text))?
        }
    };
    String::from_utf8(bytes).ok()
}

/// A value of a form (application/x-www-form-urlencoded), of which only ASCII matters here.
fn unquote(text: &str) -> String {
    let mut parts = text.split('%');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let byte = part
            .get(..2)
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match byte {
            Some(byte) => {
                out.push(char::from(byte));
                out.push_str(part.get(2..).unwrap_or_default());
            }
            None => out.push_str(part),
        }
    }
    // Base64 has pluses but no spaces, and some senders don't quote them.
    out
}

/// What a response tells.
#[derive(Default)]
struct Login {
    identity: Option<String>,
    issuer: Option<String>,
}

impl Login {
    /// Reads the first NameID and the first Issuer. Entities beyond the five of XML stay as they
    /// stand, and a document type ends it.
    fn read(document: &str) -> Self {
        let mut login = Self::default();
        for tag in xml::tags(document).take(MAX_ELEMENTS) {
            let Ok(tag) = tag else { break };
            if tag.kind != xml::Kind::Open {
                continue;
            }
            let place = match tag.local() {
                "NameID" => &mut login.identity,
                "Issuer" => &mut login.issuer,
                _ => continue,
            };
            let rest = document.get(tag.end..).unwrap_or_default();
            let content = xml::plain(rest.split('<').next().unwrap_or_default());
            if place.is_none() && !content.trim().is_empty() {
                *place = Some(content.trim().to_owned());
            }
        }
        login
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::DeflateEncoder;

    use super::*;
    use crate::tests::{minted, request, token};

    const RESPONSE: &str = "<?xml version=\"1.0\"?><samlp:Response xmlns:samlp=\"p\" xmlns=\"a\">\
        <Issuer>http://idp.example/a?b&amp;c</Issuer><Assertion><!-- <NameID>no</NameID> --><Issuer>x</Issuer>\
        <Subject><saml:NameID Format=\"e\"> alice@example.com </saml:NameID></Subject></Assertion></samlp:Response>";

    fn form(xml: &str) -> String {
        let text = BASE64.encode(xml.as_bytes());
        let quoted = text.replace('+', "%2B").replace('=', "%3D");
        format!("RelayState=x&SAMLResponse={quoted}")
    }

    fn posted(token: &Token, body: &str) -> Trip {
        let hit = HttpHit {
            method: "POST",
            rest: "saml/sso",
            body: body.as_bytes(),
            ..request()
        };
        (KIND.trip)(token, &Hit::Http(hit))
    }

    #[test]
    fn a_posted_response_names_the_account_and_its_provider() {
        let trip = posted(&token(&KIND), &form(RESPONSE));
        assert!(trip.alert);
        assert_eq!(trip.fields["identity"], "alice@example.com");
        assert_eq!(trip.fields["issuer"], "http://idp.example/a?b&c");
        assert_eq!(trip.answer, sorry());
    }

    #[test]
    fn a_response_in_the_url_is_read_too() {
        let mut packed = DeflateEncoder::new(Vec::new(), Compression::default());
        packed.write_all(RESPONSE.as_bytes()).unwrap();
        let text = BASE64.encode(&packed.finish().unwrap()).replace('+', " ");
        let query = [("SAMLResponse".to_owned(), text)];
        let hit = HttpHit {
            query: &query,
            ..request()
        };
        let trip = (KIND.trip)(&token(&KIND), &Hit::Http(hit));
        assert_eq!(trip.fields["identity"], "alice@example.com");
    }

    #[test]
    fn what_is_no_response_alerts_without_an_account() {
        let bomb = "<!DOCTYPE a [<!ENTITY a \"aaaa\">]><NameID>&a;</NameID>";
        let deep = "<a>".repeat(100_000);
        for body in [
            String::new(),
            "SAMLResponse=".to_owned(),
            "SAMLResponse=%zz".to_owned(),
            "SAMLResponse=AAAA".to_owned(),
            form("<NameID>"),
            form("<NameID></NameID>"),
            form(bomb),
            form(&deep),
        ] {
            let trip = posted(&token(&KIND), &body);
            assert!(trip.alert && trip.fields.is_empty(), "{:?}", trip.fields);
        }
        let unknown = posted(&token(&KIND), &form("<NameID>&x;</NameID>"));
        assert_eq!(unknown.fields["identity"], "&x;");
    }

    #[test]
    fn validation_lets_only_the_named_provider_alert() {
        let mut token = token(&KIND);
        let fields = [
            ("validation_enabled", Value::Bool(true)),
            ("metadata_entity_id", "http://idp.example/a?b&c".into()),
        ];
        token
            .fields
            .extend(fields.map(|(name, value)| (name.to_owned(), value)));
        assert!(posted(&token, &form(RESPONSE)).alert);
        let other = posted(&token, &form(&RESPONSE.replace("idp.", "evil.")));
        assert!(!other.alert);
        assert_eq!(other.answer, sorry(), "nobody learns of it");
        assert!(!posted(&token, "").alert);
    }

    #[test]
    fn the_metadata_is_the_file_and_fetching_it_is_silent() {
        let made = minted(&KIND, &[(APP, "github")]).unwrap();
        let entity = made.fields["entity_id"].as_str().unwrap();
        assert_eq!(made.fields["acs_url"], format!("{entity}/saml/sso"));
        let mut token = token(&KIND);
        token.fields = made.fields.clone();
        let hit = HttpHit {
            rest: "saml/metadata",
            ..request()
        };
        let trip = (KIND.trip)(&token, &Hit::Http(hit));
        assert!(!trip.alert);
        let Answer::Body { bytes, .. } = trip.answer else {
            panic!()
        };
        assert_eq!(bytes, made.file.unwrap().bytes);
    }
}
