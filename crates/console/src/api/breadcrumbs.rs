//! Breadcrumbs: files of well-known programs that lead to a bird, to be left where intruders look.

mod crumbs;
mod sshkey;

use std::io::{Cursor, Write as _};
use std::net::IpAddr;

use coalmine_core::NodeId;
use coalmine_store::breadcrumbs::BreadcrumbKey;
use coalmine_store::devices::Device;
use serde_json::{Value, json};
use zip::write::SimpleFileOptions;

use super::table::{Endpoint, Needs, Param, TEXT, Takes, Verb, optional, required};
use super::{Answer, ApiError, Ask, Role};
use crate::setup;
use crumbs::{Crumb, Made, Target};

/// Longest reminder, in characters.
const MAX_REMINDER: usize = 1_000;

const SSH_KEY: &str = "ssh-key";
const KINDS: &[&str] = &[
    SSH_KEY,
    "ssh-host",
    "putty-profile",
    "rdp-profile",
    "filezilla-profile",
    "winscp-profile",
    "windows-ftp-shortcut",
    "windows-smb-shortcut",
    "macos-http-shortcut",
    "macos-https-shortcut",
    "windows-http-shortcut",
    "windows-https-shortcut",
];

const NODE: Param = optional(
    "node_id",
    TEXT,
    "The bird that it leads to; only `ssh-key` does without.",
);
const REMINDER: Param = optional(
    "reminder",
    Takes::Text(MAX_REMINDER),
    "Where it's left; `ssh-key` needs it, and the incident shows it.",
);

pub const ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        methods: &[Verb::Get, Verb::Post],
        path: "breadcrumb/generate",
        doc: "A breadcrumb as text.\nIt names the bird's address as it is now: make it anew when that changes.\nOf `ssh-key`, the private half is shown this once; keys that may only read cannot make it.",
        params: &[
            NODE,
            required("kind", Takes::Word(KINDS), "What to make."),
            optional(
                "mode",
                Takes::Word(&["text", "json"]),
                "The bare crumb, or an object with title and instructions.",
            )
            .or("json"),
            REMINDER,
        ],
        needs: Needs::Breadcrumb,
        tier: 2,
        run: |ask| Box::pin(generate(ask)),
    },
    Endpoint {
        methods: &[Verb::Get, Verb::Post],
        path: "breadcrumb/download",
        doc: "A breadcrumb as a file; without `kind` an archive of all that hold no credential.",
        params: &[
            NODE,
            optional("kind", Takes::Word(KINDS), "What to make."),
            optional(
                "mode",
                Takes::Word(&["text", "zip"]),
                "The file itself, or an archive with instructions.",
            )
            .or("text"),
            REMINDER,
        ],
        needs: Needs::Breadcrumb,
        tier: 2,
        run: |ask| Box::pin(download(ask)),
    },
];

async fn generate(ask: Ask) -> Result<Answer, ApiError> {
    let (made, more) = make(&ask, &ask.owned("kind")).await?;
    if ask.text("mode") == Some("text") {
        return Ok(Answer::file(
            &made.title,
            "text/plain; charset=utf-8",
            made.crumb.into_bytes(),
        ));
    }
    let mut object = json!({
        "crumb": made.crumb,
        "readme": made.readme,
        "title": made.title,
    });
    if let (Value::Object(object), Value::Object(more)) = (&mut object, more) {
        object.extend(more);
    }
    Ok(Answer::success(object))
}

async fn download(ask: Ask) -> Result<Answer, ApiError> {
    let Some(kind) = ask.text("kind").map(str::to_owned) else {
        let device = bird(&ask).await?.ok_or_else(no_bird)?;
        let all: Vec<(&str, Made)> = Crumb::ALL
            .iter()
            .filter_map(|crumb| Some((crumb.name(), crumb.make(&target(&ask, &device, *crumb)?))))
            .collect();
        if all.is_empty() {
            return Err(ApiError::bad(
                "The bird offers no service that a breadcrumb could lead to",
            ));
        }
        return archive(&crumbs::file_name(&device.name), &all);
    };
    let (made, _) = make(&ask, &kind).await?;
    if ask.text("mode") == Some("zip") {
        let name = format!(
            "{}-{kind}",
            made.title.split('.').next().unwrap_or("breadcrumb")
        );
        return archive(&name, &[(&kind, made)]);
    }
    Ok(Answer::file(
        &made.title,
        "application/octet-stream",
        made.crumb.into_bytes(),
    ))
}

/// A breadcrumb, and what its kind says beyond it.
async fn make(ask: &Ask, kind: &str) -> Result<(Made, Value), ApiError> {
    let device = bird(ask).await?;
    if kind == SSH_KEY {
        return ssh_key(ask, device).await;
    }
    let device = device.ok_or_else(no_bird)?;
    let crumb = Crumb::ALL
        .iter()
        .find(|crumb| crumb.name() == kind)
        .ok_or_else(|| ApiError::invalid("kind"))?;
    let target = target(ask, &device, *crumb).ok_or_else(|| {
        ApiError::bad(format!(
            "The bird does not offer {}, which this breadcrumb leads to",
            crumb.services().join(" or ")
        ))
    })?;
    Ok((crumb.make(&target), Value::Null))
}

/// A fresh pair of keys, remembered by its public half.
async fn ssh_key(ask: &Ask, device: Option<Device>) -> Result<(Made, Value), ApiError> {
    // It is remembered; the others change nothing.
    if !matches!(ask.caller.role, Role::Admin | Role::BreadcrumbDeploy) {
        return Err(ApiError::forbidden(
            "Only keys of admins and for breadcrumbs may make ssh-key",
        ));
    }
    let reminder = ask
        .text("reminder")
        .ok_or_else(|| ApiError::bad("Parameter reminder is required."))?;
    let at = match &device {
        Some(device) => {
            let service = service(device, "ssh").ok_or_else(|| {
                ApiError::bad("The bird does not offer ssh, which this breadcrumb leads to")
            })?;
            Some((device, address(ask, device), service))
        }
        None => None,
    };
    let comment = at.as_ref().map_or_else(
        || "backup".to_owned(),
        |(device, ..)| format!("root@{}", crumbs::file_name(&device.name)),
    );
    let seed = setup::random().map_err(|_| ApiError::internal())?;
    let check = setup::random().map_err(|_| ApiError::internal())?;
    let pair =
        sshkey::pair(&seed, u32::from_be_bytes(check), &comment).ok_or_else(ApiError::internal)?;
    let flock_id = match (&at, &ask.caller.flocks) {
        (Some((device, ..)), _) => Some(device.flock_id.clone()),
        (None, flocks) => flocks.as_ref().and_then(|flocks| flocks.first().cloned()),
    };
    ask.console
        .store
        .breadcrumbs()
        .create(BreadcrumbKey {
            key: pair.public.clone(),
            reminder: reminder.to_owned(),
            node_id: at.as_ref().map(|(device, ..)| device.node_id),
            flock_id: flock_id.clone(),
            created: ask.now,
        })
        .await?;
    ask.audit(
        "breadcrumb_generate",
        &format!("made an SSH key breadcrumb for {reminder}"),
        flock_id.as_deref(),
    )
    .await?;
    let mut readme = "# SSH Key\nThis crumb is a private key. Logging in with it at any of your birds \
                      raises an incident that shows the reminder.\n\nPut it into the .ssh folder of \
                      a user, readable by that user alone"
        .to_owned();
    let mut more = json!({"private_key": pair.private, "public_key": pair.public});
    let mut title = "id_ed25519".to_owned();
    if let Some((device, address, port)) = at {
        let name = crumbs::file_name(&device.name);
        title = format!("id_{name}");
        readme.push_str(&format!(
            ", and add to its config:\n\nHost {name}\n    HostName {address}\n    Port {port}\n    \
             IdentityFile ~/.ssh/{title}"
        ));
        more["label"] = device.name.as_str().into();
        more["canary_ip"] = address.into();
        // Scripts read it as text.
        more["ssh_port"] = port.to_string().into();
    }
    readme.push_str(".\n");
    let made = Made {
        title,
        crumb: pair.private,
        readme,
    };
    Ok((made, more))
}

/// The bird that `node_id` names, if the caller may see it; `None` where none is named.
async fn bird(ask: &Ask) -> Result<Option<Device>, ApiError> {
    let Some(id) = ask.text("node_id") else {
        return Ok(None);
    };
    let missing = || ApiError::not_found("Device not found");
    let id: NodeId = id.parse().map_err(|_| missing())?;
    let device = ask.console.store.devices().get(id).await?;
    device
        .filter(|device| ask.caller.sees(&device.flock_id))
        .map(Some)
        .ok_or_else(missing)
}

fn no_bird() -> ApiError {
    ApiError::bad("Parameter node_id is required.")
}

/// Where `crumb` would lead on this bird; `None` where it offers no such service.
fn target(ask: &Ask, device: &Device, crumb: Crumb) -> Option<Target> {
    let mut services = crumb.services().iter();
    let (service, port) = services.find_map(|id| Some((*id, service(device, id)?)))?;
    let share = device.settings.get("smb.sharename").and_then(Value::as_str);
    Some(Target {
        name: device.name.clone(),
        address: address(ask, device),
        port,
        service,
        share: share.unwrap_or_default().to_owned(),
    })
}

/// The port of a service that the bird offers.
fn service(device: &Device, id: &str) -> Option<u16> {
    device
        .services
        .iter()
        .find(|service| service.id == id && service.problem.is_none())
        .map(|service| service.port)
}

/// The bird's address as others see it.
fn address(ask: &Ask, device: &Device) -> String {
    let everywhere = device
        .address
        .parse::<IpAddr>()
        .is_ok_and(|address| address.is_unspecified());
    match everywhere {
        true => ask.console.config.public_address.to_string(),
        false => device.address.clone(),
    }
}

/// An archive with a folder for each crumb.
fn archive(name: &str, crumbs: &[(&str, Made)]) -> Result<Answer, ApiError> {
    let pack = || -> zip::result::ZipResult<Vec<u8>> {
        let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
        for (kind, made) in crumbs {
            for (file, text) in [(&*made.title, &made.crumb), ("README.md", &made.readme)] {
                archive.start_file(format!("{kind}/{file}"), SimpleFileOptions::default())?;
                archive.write_all(text.as_bytes())?;
            }
        }
        Ok(archive.finish()?.into_inner())
    };
    let bytes = pack().map_err(|error| {
        tracing::error!(%error, "an archive of breadcrumbs couldn't be written");
        ApiError::internal()
    })?;
    Ok(Answer::file(
        &format!("{name}.zip"),
        "application/zip",
        bytes,
    ))
}
