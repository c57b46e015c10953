//! Azure Login Certificate and Config: a service principal whose authority is ours.

mod entra;

use coalmine_core::Timestamp;
use coalmine_core::event::{Field, Shape};
use coalmine_core::settings::Fault;
use coalmine_core::token::{
    Alias, Answer, Artefact, ArtefactFile, Ask, Group, Hit, Mint, Reach, Takes, Token,
    TokenChannel, TokenKind, Trip,
};
use data_encoding::{BASE64URL_NOPAD, HEXUPPER};
use serde_json::{Value, json};
use sha1::{Digest as _, Sha1};
use sha2::Sha256;

use crate::files::archive::{DosTime, Writer};
use crate::files::der::pem;
use crate::files::{Dice, rsa, signer};

/// The kind.
pub static KIND: TokenKind = TokenKind {
    id: "azure-id",
    title: "Azure Login Certificate and Config",
    description: "Azure Login Certificate and Config",
    doc: "The certificate of a service principal of Azure, as its command line makes it, and the \
          settings that go with it.\n\
          Leave the files in a home folder, in a repository or among the secrets of a build server.\n\
          Whoever asks for an access token with them hears that the application is disabled; the \
          incident tells what the assertion said and whether it was signed with the certificate.",
    group: Group::Cloud,
    trial: "Ask the authority about the tenant: `curl '{authority_host}/{tenant_id}/v2.0/.well-known/openid-configuration'`.",
    logtype: 17024,
    channels: &[TokenChannel::Http],
    reach: Reach::Local(
        "It alerts where the AZURE_AUTHORITY_HOST beside the certificate is used too and leads \
         here over HTTPS with a certificate that the client trusts. Current libraries ask Microsoft \
         first whether it knows that host, and stop there unless that is turned off \
         (disable_instance_discovery). A certificate that is tried at Microsoft stays silent; \
         Microsoft answers that there is no such tenant.",
    ),
    asks: &[Ask {
        name: FILE_NAME,
        doc: "What the certificate's file is called, e.g. backup-sync.pem.",
        required: true,
        takes: Takes::Text(128),
    }],
    event: EVENT,
    mint,
    trip,
};

const FILE_NAME: &str = "azure_id_cert_file_name";
const DAY: i64 = 86_400;

const EVENT: &[Field] = &[
    Field::text("app_id", false, "The token's application.", || {
        json!("1f4cf4b2-6f7c-4c3e-9d54-6b3c1d9a8e21")
    }),
    Field::text("tenant_id", false, "The token's tenant.", || {
        json!("8a3b9f0d-52c4-4f0a-8f59-2d71c4e6b013")
    }),
    Field::text(
        "eventName",
        false,
        "What was asked of the authority: `discovery`, `token`; method and path of anything else.",
        || json!("token"),
    ),
    Field::text(
        "scope",
        true,
        "What the access token was to be for.",
        || json!("https://management.azure.com/.default"),
    ),
    Field::text(
        "requested_app_id",
        true,
        "The application that the request named.",
        || json!("1f4cf4b2-6f7c-4c3e-9d54-6b3c1d9a8e21"),
    ),
    Field {
        name: "client_assertion",
        shape: Shape::Object,
        optional: true,
        doc: "What stood in the assertion that was sent, head and claims.",
        sample: || json!({"alg": "PS256", "iss": "1f4cf4b2-6f7c-4c3e-9d54-6b3c1d9a8e21"}),
    },
    Field::text(
        "signature_valid",
        true,
        "`True` if the assertion is signed with the token's key, `False` if with another; missing without one.",
        || json!("True"),
    ),
];

/// The service principal of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Principal {
    app: String,
    app_name: String,
    tenant: String,
    /// SHA-1 and SHA-256 of the certificate.
    prints: (Vec<u8>, Vec<u8>),
    modulus: Vec<u8>,
}

impl Principal {
    fn of(token: &Token) -> Self {
        let text = |name: &str| {
            let text = token.fields.get(name).and_then(Value::as_str);
            text.unwrap_or_default().to_owned()
        };
        let bytes = |name: &str| {
            BASE64URL_NOPAD
                .decode(text(name).as_bytes())
                .unwrap_or_default()
        };
        Self {
            app: text("app_id"),
            app_name: text("app_name"),
            tenant: text("tenant_id"),
            prints: (bytes("certificate_x5t"), bytes("certificate_x5t_s256")),
            modulus: bytes("certificate_modulus"),
        }
    }
}

fn mint(mint: &Mint<'_>) -> Result<Artefact, Vec<Fault>> {
    let file_name = mint.param(FILE_NAME).unwrap_or_default();
    let safe = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let stem = file_name.strip_suffix(".pem").unwrap_or_default();
    if stem.is_empty() || stem.starts_with('.') || !file_name.chars().all(safe) {
        return Err(vec![Fault::new(
            FILE_NAME,
            "takes a file name of letters, digits, dots, dashes and underscores that ends in .pem",
        )]);
    }
    let mut dice = Dice::new(&mint.seed, "azure");
    let (app, tenant) = (dice.guid().to_lowercase(), dice.guid().to_lowercase());
    // The command line names an application after the moment at which it made it.
    let made = i64::from(dice.number(20, 200)) * DAY + i64::from(dice.number(0, 86_400));
    let made = Timestamp::from_secs(mint.now.secs().saturating_sub(made));
    let app_name = made.format("azure-cli-%Y-%m-%d-%H-%M-%S");
    let key = rsa::Key::new(&mint.seed, "azure key")?;
    let until = Timestamp::from_secs(made.secs().saturating_add(365 * DAY));
    let serial = signer::serial(&mut dice);
    let certificate = key.certificate("CLI-Login", &serial, (made, until))?;
    let page = mint.url("json");
    let host: Vec<&str> = page.splitn(4, '/').take(3).collect();
    let host = host.join("/");

    let text = key.pem()? + &pem("CERTIFICATE", &certificate);
    let login = format!(
        "{{\n  \"appId\": \"{app}\",\n  \"displayName\": \"{app_name}\",\n  \
         \"fileWithCertAndPrivateKey\": \"{file_name}\",\n  \"password\": null,\n  \
         \"tenant\": \"{tenant}\"\n}}\n"
    );
    let env = format!(
        "AZURE_AUTHORITY_HOST={host}\nAZURE_TENANT_ID={tenant}\nAZURE_CLIENT_ID={app}\n\
         AZURE_CLIENT_CERTIFICATE_PATH={file_name}\n"
    );
    let mut archive = Writer::explorer(DosTime::of(made));
    for (name, content) in [(file_name, &text), ("azure.json", &login), (".env", &env)] {
        archive.add(name, content.as_bytes(), 0x20);
    }
    let fields = [
        ("app_id", app.as_str()),
        ("app_name", &app_name),
        ("tenant_id", &tenant),
        ("authority_host", &host),
        (FILE_NAME, file_name),
        (
            "certificate_thumbprint",
            &HEXUPPER.encode(&Sha1::digest(&certificate)),
        ),
        (
            "certificate_x5t",
            &BASE64URL_NOPAD.encode(&Sha1::digest(&certificate)),
        ),
        (
            "certificate_x5t_s256",
            &BASE64URL_NOPAD.encode(&Sha256::digest(&certificate)),
        ),
        (
            "certificate_modulus",
            &BASE64URL_NOPAD.encode(&key.modulus()),
        ),
        ("integration", "local"),
    ];
    Ok(Artefact {
        fields: fields
            .into_iter()
            .map(|(name, value)| (name.to_owned(), Value::from(value)))
            .collect(),
        file: Some(ArtefactFile {
            name: "azure-login.zip".to_owned(),
            mime: "application/zip",
            bytes: archive.finish(),
        }),
        renders: [
            ("azure-id".to_owned(), login),
            ("pem".to_owned(), text),
            ("env".to_owned(), env),
        ]
        .into(),
        // Requests to an authority carry the tenant in their path.
        aliases: vec![Alias {
            channel: TokenChannel::Http,
            key: tenant,
        }],
    })
}

fn trip(token: &Token, hit: &Hit<'_>) -> Trip {
    let Hit::Http(hit) = hit else {
        return Trip::silent(Answer::Plain);
    };
    let principal = Principal::of(token);
    let asked = entra::Asked::read(hit, &principal);
    let mut fields = asked.fields();
    fields.insert("app_id".to_owned(), principal.app.as_str().into());
    fields.insert("tenant_id".to_owned(), principal.tenant.as_str().into());
    Trip::alert(fields, asked.answer(&principal))
}

#[cfg(test)]
mod tests;
