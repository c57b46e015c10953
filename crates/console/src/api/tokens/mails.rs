//! Mails that wait in mailboxes: a token for each mailbox, made from one template, and put into the
//! mailboxes whose servers are configured.
//!
//! The documented Console signs in at Google or Microsoft for that. This one needs no account: it
//! takes any address, and reaches the mailboxes of `[[tokens.imap]]`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Cursor, Write as _};
use std::sync::Arc;

use coalmine_core::{TokenId, TokenKind};
use coalmine_store::flocks::DEFAULT;
use coalmine_store::tokens::TokenRow;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use zip::write::SimpleFileOptions;

use super::super::table::{Endpoint, Needs, Param, TEXT, Takes, Verb, optional, required};
use super::super::{Answer, ApiError, Ask, keys};
use super::mint;
use crate::mailboxes::{self, Mailbox, PENDING, PROBLEM};

/// Most mailboxes of one request.
const MAX_MAILBOXES: usize = 500;
/// Longest list of mailboxes, in characters.
const MAX_LIST: usize = 100_000;
/// Longest HTML of a template, in characters.
const MAX_HTML: usize = 65_536;
/// Longest subject, in characters.
const MAX_SUBJECT: usize = 200;
/// Longest address, in characters (RFC 5321 section 4.5.3.1.3).
const MAX_ADDRESS: usize = 254;
/// Longest name of a mailbox's owner, in characters.
const MAX_NAME: usize = 100;

const GMAIL: &str = "gmail";
const OFFICE: &str = "office365mail";

const FLOCK: Param = required("flock_id", TEXT, "The flock of the tokens.");
const FLOCK_OR_DEFAULT: Param =
    optional("flock_id", TEXT, "The flock of the tokens.").or("flock:default");
const HTML: Param = required(
    "email_html",
    Takes::Text(MAX_HTML),
    "The mail's HTML. `{url}` becomes the token's URL, `{user}` the name of the mailbox's owner.",
);
const SUBJECT: Param = required(
    "email_subject",
    Takes::Text(MAX_SUBJECT),
    "The mail's subject.",
);
const SENDER: Param = optional(
    "email_sender",
    Takes::Text(MAX_ADDRESS),
    "The address that the mail comes from; `security@` in the mailbox's own domain if missing.",
);
const IS_EXCHANGE: Param = optional(
    "is_exchange",
    Takes::Flag,
    "Whether an Exchange server has the mailboxes. It is reached by IMAP, as every other.",
)
.or("false");
const EXCHANGE_USERNAME: Param = optional(
    "exchange_username",
    TEXT,
    "Accepted for compatibility: who logs in stands in the configuration.",
);
const EXCHANGE_PASSWORD: Param = optional(
    "exchange_password",
    TEXT,
    "Accepted for compatibility: who logs in stands in the configuration.",
);

pub const ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        methods: &[Verb::Post],
        path: "canarytoken/gmail/users/list",
        doc: "The configured mailboxes of a domain.",
        params: &[
            FLOCK,
            required("domain", TEXT, "The organisation's domain."),
            required(
                "email",
                Takes::Text(MAX_ADDRESS),
                "Address of the organisation's administrator.",
            ),
        ],
        needs: Needs::Deploy,
        tier: 4,
        run: |ask| Box::pin(gmail_users(ask)),
    },
    Endpoint {
        methods: &[Verb::Post],
        path: "canarytoken/gmail/create",
        doc: "Makes a token for each mailbox, and puts its mail there where `[[tokens.imap]]` has the mailbox.\nThe others' mails are files to download.",
        params: &[
            FLOCK,
            optional(
                "emails",
                Takes::Text(MAX_LIST),
                "Addresses with commas between them; this or `users` must be there.",
            ),
            optional(
                "users",
                Takes::Text(MAX_LIST),
                "JSON: an array of objects with `email` and `name`.",
            )
            .or("false"),
        ],
        needs: Needs::Deploy,
        tier: 4,
        run: |ask| {
            let boxes = gmail_boxes(&ask);
            Box::pin(create(ask, GMAIL, boxes))
        },
    },
    Endpoint {
        methods: &[Verb::Post],
        path: "canarytoken/gmail/email",
        doc: "Saves the template of mails in a flock.",
        params: &[FLOCK, HTML, SUBJECT, SENDER],
        needs: Needs::Deploy,
        tier: 4,
        run: |ask| Box::pin(save(ask, GMAIL)),
    },
    Endpoint {
        methods: &[Verb::Get],
        path: "canarytoken/gmail/email",
        doc: "The template of mails in a flock; empty where none was saved: each mail then has words of its own.",
        params: &[FLOCK],
        needs: Needs::Deploy,
        tier: 4,
        run: |ask| Box::pin(template(ask, GMAIL)),
    },
    Endpoint {
        methods: &[Verb::Get],
        path: "canarytoken/gmail/status",
        doc: "How far the last batch of mails in a flock is.\nA mail that is a file alone counts as successful.",
        params: &[FLOCK],
        needs: Needs::Deploy,
        tier: 4,
        run: |ask| Box::pin(status(ask, GMAIL)),
    },
    Endpoint {
        methods: &[Verb::Get],
        path: "canarytoken/gmail/download",
        doc: "The mails of the last batch in a flock, an archive with a file for each mailbox.\nNot part of the documented contract.",
        params: &[FLOCK],
        needs: Needs::Deploy,
        tier: 4,
        run: |ask| Box::pin(download(ask, GMAIL)),
    },
    Endpoint {
        methods: &[Verb::Post],
        path: "canarytoken/office365/initiate",
        doc: "Checks that there are mailboxes to reach. Nobody signs in anywhere: `state` is for compatibility.",
        params: &[FLOCK_OR_DEFAULT],
        needs: Needs::Deploy,
        tier: 4,
        run: |ask| Box::pin(initiate(ask)),
    },
    Endpoint {
        methods: &[Verb::Post],
        path: "canarytoken/office365/users/list",
        doc: "The configured mailboxes.",
        params: &[
            FLOCK_OR_DEFAULT,
            IS_EXCHANGE,
            EXCHANGE_USERNAME,
            EXCHANGE_PASSWORD,
        ],
        needs: Needs::Deploy,
        tier: 4,
        run: |ask| Box::pin(office_users(ask)),
    },
    Endpoint {
        methods: &[Verb::Post],
        path: "canarytoken/office365/create",
        doc: "Makes a token for each mailbox, and puts its mail there where `[[tokens.imap]]` has the mailbox.\nThe others' mails are files to download.",
        params: &[
            FLOCK_OR_DEFAULT,
            required(
                "user_emails",
                Takes::Text(MAX_LIST),
                "Addresses with commas between them.",
            ),
            IS_EXCHANGE,
            EXCHANGE_USERNAME,
            EXCHANGE_PASSWORD,
        ],
        needs: Needs::Deploy,
        tier: 4,
        run: |ask| {
            let boxes = addresses("user_emails", &ask.owned("user_emails"));
            Box::pin(create(ask, OFFICE, boxes))
        },
    },
    Endpoint {
        methods: &[Verb::Post],
        path: "canarytoken/office365/email",
        doc: "Saves the template of mails in a flock.",
        params: &[FLOCK_OR_DEFAULT, HTML, SUBJECT, SENDER],
        needs: Needs::Deploy,
        tier: 4,
        run: |ask| Box::pin(save(ask, OFFICE)),
    },
    Endpoint {
        methods: &[Verb::Get],
        path: "canarytoken/office365/email",
        doc: "The template of mails in a flock; empty where none was saved: each mail then has words of its own.",
        params: &[FLOCK_OR_DEFAULT],
        needs: Needs::Deploy,
        tier: 4,
        run: |ask| Box::pin(template(ask, OFFICE)),
    },
    Endpoint {
        methods: &[Verb::Get],
        path: "canarytoken/office365/status",
        doc: "How far the last batch of mails in a flock is.\nA mail that is a file alone counts as successful.",
        params: &[FLOCK_OR_DEFAULT],
        needs: Needs::Deploy,
        tier: 4,
        run: |ask| Box::pin(status(ask, OFFICE)),
    },
    Endpoint {
        methods: &[Verb::Get],
        path: "canarytoken/office365/download",
        doc: "The mails of the last batch in a flock, an archive with a file for each mailbox.\nNot part of the documented contract.",
        params: &[FLOCK_OR_DEFAULT],
        needs: Needs::Deploy,
        tier: 4,
        run: |ask| Box::pin(download(ask, OFFICE)),
    },
];

/// What mails are made from.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Template {
    html: String,
    subject: String,
    /// Empty: `security@` in the mailbox's own domain.
    sender: String,
}

async fn gmail_users(ask: Ask) -> Result<Answer, ApiError> {
    let flock = flock(&ask).await?;
    let domain = ask.owned("domain").trim().to_ascii_lowercase();
    if !is_domain(&domain) {
        return Err(ApiError::invalid("domain"));
    }
    if !is_address(ask.text("email").unwrap_or_default().trim()) {
        return Err(ApiError::invalid("email"));
    }
    let mut users = mailboxes::all(&ask.console.config);
    users.retain(|user| domain_of(&user.address) == domain);
    if users.is_empty() {
        return Err(none_configured(&format!(" of {domain}")));
    }
    let settings = ask.console.store.settings();
    settings.put(&key("domain", GMAIL, &flock), &domain).await?;
    let users: Vec<Value> = users
        .iter()
        .map(|user| json!({"email": user.address, "name": shown_name(user)}))
        .collect();
    Ok(Answer::success(json!({"users": users})))
}

async fn office_users(ask: Ask) -> Result<Answer, ApiError> {
    flock(&ask).await?;
    let users = mailboxes::all(&ask.console.config);
    if users.is_empty() {
        return Err(none_configured(""));
    }
    let users: Vec<String> = users.into_iter().map(|user| user.address).collect();
    Ok(Answer::success(json!({"user_emails": users})))
}

async fn initiate(ask: Ask) -> Result<Answer, ApiError> {
    flock(&ask).await?;
    if mailboxes::all(&ask.console.config).is_empty() {
        return Err(none_configured(""));
    }
    let state = keys::secret()?;
    Ok(Answer::success(
        json!({"state": state, "url": format!("{}/", ask.origin)}),
    ))
}

async fn create(
    ask: Ask,
    kind: &str,
    boxes: Result<Vec<Mailbox>, ApiError>,
) -> Result<Answer, ApiError> {
    let flock = flock(&ask).await?;
    let boxes = boxes?;
    let Some(token_kind) = ask.console.catalogue.token(kind) else {
        return Err(ApiError::bad("Supplied kind is not valid."));
    };
    let config = &ask.console.config;
    if ask.flag("is_exchange", false) {
        let away = boxes
            .iter()
            .find(|b| !mailboxes::reached(config, &b.address));
        if let Some(mailbox) = away {
            return Err(none_configured(&format!(" {}", mailbox.address)));
        }
    }
    let settings = ask.console.store.settings();
    let template: Option<Template> = settings.get(&key("template", kind, &flock)).await?;
    let mut made = Vec::new();
    let mut shown = Vec::new();
    let mut outcome = Ok(());
    for mailbox in boxes {
        match make(&ask, token_kind, &flock, &mailbox, template.as_ref()).await {
            Ok(token) => {
                shown.push(json!({"canarytoken": token.as_str(), "email": mailbox.address}));
                made.push(token);
            }
            Err(error) => {
                outcome = Err(error);
                break;
            }
        }
    }
    // Those that are made count, whatever became of the others.
    let batch: Vec<&str> = made.iter().map(TokenId::as_str).collect();
    settings.put(&key("batch", kind, &flock), &batch).await?;
    tokio::spawn(mailboxes::place(Arc::clone(&ask.console), made));
    outcome?;
    Ok(Answer::success(json!({"canarytokens": shown})))
}

/// Makes the token of a mailbox; its mail waits to be put there, where that can be.
async fn make(
    ask: &Ask,
    kind: &'static TokenKind,
    flock: &str,
    mailbox: &Mailbox,
    template: Option<&Template>,
) -> Result<TokenId, ApiError> {
    let params = params(mailbox, template);
    let memo = format!("Mail in {}", mailbox.address);
    let token = mint::remember(ask, kind, memo, flock, params, BTreeMap::new(), None).await?;
    if mailboxes::reached(&ask.console.config, &mailbox.address) {
        let mut fields = token.fields.clone();
        fields.insert(PENDING.to_owned(), true.into());
        let tokens = ask.console.store.tokens();
        tokens.set_fields(&token.id, &token.params, &fields).await?;
    }
    Ok(token.id)
}

async fn save(ask: Ask, kind: &str) -> Result<Answer, ApiError> {
    let flock = flock(&ask).await?;
    let template = Template {
        html: ask.owned("email_html"),
        subject: ask.owned("email_subject"),
        sender: ask.owned("email_sender").trim().to_owned(),
    };
    if !template.sender.is_empty() && !is_address(&template.sender) {
        return Err(ApiError::invalid("email_sender"));
    }
    if template.subject.trim().is_empty() || template.subject.chars().any(char::is_control) {
        return Err(ApiError::invalid("email_subject"));
    }
    if template.html.trim().is_empty() {
        return Err(ApiError::invalid("email_html"));
    }
    let settings = ask.console.store.settings();
    settings
        .put(&key("template", kind, &flock), &template)
        .await?;
    ask.audit(
        "canarytoken_email_template",
        &format!("saved the template of mails ({kind})"),
        Some(&flock),
    )
    .await?;
    show(&ask, kind, &flock, template).await
}

async fn template(ask: Ask, kind: &str) -> Result<Answer, ApiError> {
    let flock = flock(&ask).await?;
    let settings = ask.console.store.settings();
    let template = settings.get(&key("template", kind, &flock)).await?;
    show(&ask, kind, &flock, template.unwrap_or_default()).await
}

async fn show(ask: &Ask, kind: &str, flock: &str, template: Template) -> Result<Answer, ApiError> {
    let settings = ask.console.store.settings();
    let asked: Option<String> = settings.get(&key("domain", kind, flock)).await?;
    let domain = asked.unwrap_or_else(|| {
        let all = mailboxes::all(&ask.console.config);
        let first = all.first().map(|mailbox| domain_of(&mailbox.address));
        first.unwrap_or_default().to_owned()
    });
    let sender = match (&*template.sender, &*domain) {
        ("", "") => String::new(),
        ("", domain) => format!("security@{domain}"),
        (given, _) => given.to_owned(),
    };
    let mut object = json!({
        "email_html": template.html,
        "email_sender": sender,
        "email_subject": template.subject,
    });
    if kind == GMAIL {
        object["domain"] = domain.into();
    }
    Ok(Answer::success(object))
}

async fn status(ask: Ask, kind: &str) -> Result<Answer, ApiError> {
    let flock = flock(&ask).await?;
    let batch = batch(&ask, kind, &flock).await?;
    let failed = |token: &&TokenRow| token.fields.contains_key(PROBLEM);
    // One that failed may wait to be tried again.
    let waits = |token: &&TokenRow| mailboxes::is_pending(token) && !failed(token);
    let pending = batch.iter().filter(waits).count();
    let failed = batch.iter().filter(failed).count();
    let successful = batch.len().saturating_sub(pending).saturating_sub(failed);
    Ok(Answer::success(
        json!({"failed": failed, "successful": successful, "total": batch.len()}),
    ))
}

async fn download(ask: Ask, kind: &str) -> Result<Answer, ApiError> {
    let flock = flock(&ask).await?;
    let batch = batch(&ask, kind, &flock).await?;
    if batch.is_empty() {
        return Err(ApiError::not_found("No mails have been made in this flock"));
    }
    let mut files = Vec::new();
    for token in &batch {
        files.extend(mint::again(&ask.console, token).await?.file);
    }
    let pack = || -> zip::result::ZipResult<Vec<u8>> {
        let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
        for file in &files {
            archive.start_file(&*file.name, SimpleFileOptions::default())?;
            archive.write_all(&file.bytes)?;
        }
        Ok(archive.finish()?.into_inner())
    };
    let bytes = pack().map_err(|error| {
        tracing::error!(%error, "an archive of mails couldn't be written");
        ApiError::internal()
    })?;
    Ok(Answer::file("mails.zip", "application/zip", bytes))
}

/// The tokens of the last batch that are still there.
async fn batch(ask: &Ask, kind: &str, flock: &str) -> Result<Vec<TokenRow>, ApiError> {
    let store = &ask.console.store;
    let ids: Option<Vec<TokenId>> = store.settings().get(&key("batch", kind, flock)).await?;
    let mut batch = Vec::new();
    for id in ids.unwrap_or_default() {
        // It may have been moved to a flock that the caller doesn't see.
        let token = store.tokens().get(&id).await?;
        batch.extend(token.filter(|token| token.flock_id == flock));
    }
    Ok(batch)
}

/// The flock that is asked for: `flock:default`, or the caller's own, where none is named.
async fn flock(ask: &Ask) -> Result<String, ApiError> {
    let id = match (ask.text("flock_id"), &ask.caller.flocks) {
        (Some(id), _) => id.to_owned(),
        (None, None) => DEFAULT.to_owned(),
        (None, Some(own)) => own.first().cloned().unwrap_or_default(),
    };
    Ok(ask.flock(&id).await?.id)
}

/// What a mailbox's token is minted from.
fn params(mailbox: &Mailbox, template: Option<&Template>) -> BTreeMap<String, String> {
    let mut params = BTreeMap::from([("mailboxes".to_owned(), mailbox.address.clone())]);
    if let Some(template) = template {
        let sender = match &*template.sender {
            "" => format!("security@{}", domain_of(&mailbox.address)),
            given => given.to_owned(),
        };
        params.extend([
            ("html".to_owned(), template.html.clone()),
            ("subject".to_owned(), template.subject.clone()),
            ("sender".to_owned(), sender),
            ("user".to_owned(), shown_name(mailbox)),
        ]);
    }
    params
}

/// `emails` and `users` of a request.
fn gmail_boxes(ask: &Ask) -> Result<Vec<Mailbox>, ApiError> {
    let listed = ask.text("emails");
    // The documented default.
    let users = ask
        .text("users")
        .filter(|text| !matches!(*text, "false" | "False"));
    let mut boxes = match listed {
        Some(listed) => addresses("emails", listed)?,
        None if users.is_none() => {
            return Err(ApiError::bad("Parameter emails or users is required."));
        }
        None => Vec::new(),
    };
    if let Some(users) = users {
        boxes.extend(named(users).ok_or_else(|| ApiError::invalid("users"))?);
    }
    bounded("users", boxes)
}

/// The mailboxes of a JSON array of `{"email": …, "name": …}`.
fn named(users: &str) -> Option<Vec<Mailbox>> {
    let users: Vec<Map<String, Value>> = serde_json::from_str(users).ok()?;
    users
        .iter()
        .map(|user| {
            let address = user.get("email")?.as_str()?.trim().to_ascii_lowercase();
            let name = match user.get("name") {
                None | Some(Value::Null) => "",
                Some(name) => name.as_str()?.trim(),
            };
            let fits = name.chars().count() <= MAX_NAME && !name.chars().any(char::is_control);
            (is_address(&address) && fits).then(|| Mailbox {
                address,
                name: name.to_owned(),
            })
        })
        .collect()
}

/// The addresses of a list with commas.
fn addresses(param: &str, listed: &str) -> Result<Vec<Mailbox>, ApiError> {
    let given = listed.split([',', ';', '\n']).map(str::trim);
    let boxes: Option<Vec<Mailbox>> = given
        .filter(|address| !address.is_empty())
        .map(|address| {
            is_address(address).then(|| Mailbox {
                address: address.to_ascii_lowercase(),
                name: String::new(),
            })
        })
        .collect();
    bounded(param, boxes.ok_or_else(|| ApiError::invalid(param))?)
}

/// Each mailbox once; none and too many are refused.
fn bounded(param: &str, mut boxes: Vec<Mailbox>) -> Result<Vec<Mailbox>, ApiError> {
    // Where a mailbox stands twice, the one with a name counts.
    boxes.sort_by_key(|mailbox| mailbox.name.is_empty());
    let mut seen = BTreeSet::new();
    boxes.retain(|mailbox| seen.insert(mailbox.address.clone()));
    boxes.sort_by(|a, b| a.address.cmp(&b.address));
    match boxes.len() {
        0 => Err(ApiError::invalid(param)),
        1..=MAX_MAILBOXES => Ok(boxes),
        _ => Err(ApiError::bad(format!(
            "At most {MAX_MAILBOXES} mailboxes at a time"
        ))),
    }
}

/// What the mail calls a mailbox's owner.
fn shown_name(mailbox: &Mailbox) -> String {
    match &*mailbox.name {
        "" => mailbox.address.split('@').next().unwrap_or_default(),
        name => name,
    }
    .to_owned()
}

fn none_configured(what: &str) -> ApiError {
    ApiError::bad(format!(
        "No mailbox{what} is configured: name it with its IMAP server in [[tokens.imap]] of the \
         configuration. Nobody signs in at Google or Microsoft here. Tokens for any address can be \
         made without it; their mails are then files to download"
    ))
}

/// Name of what is remembered of a flock's mails.
fn key(what: &str, kind: &str, flock: &str) -> String {
    format!("mail_{what}:{kind}:{flock}")
}

fn domain_of(address: &str) -> &str {
    address.rsplit_once('@').map_or("", |(_, domain)| domain)
}

/// Plain addresses: no comments, no quoted local parts.
fn is_address(text: &str) -> bool {
    text.len() <= MAX_ADDRESS
        && text.split_once('@').is_some_and(|(local, domain)| {
            let fine = |c: char| c.is_ascii_alphanumeric() || "._%+-='&/#!$*?^`{|}~".contains(c);
            !local.is_empty() && local.chars().all(fine) && is_domain(domain)
        })
}

fn is_domain(text: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || ".-".contains(c))
}
