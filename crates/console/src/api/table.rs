//! The one table of endpoints: it gives the router, the OpenAPI document and the tests' list.

use std::collections::HashMap;
use std::sync::LazyLock;

use axum::http::Method;
use futures_util::future::BoxFuture;

use super::answer::{Answer, ApiError};
use super::{
    Ask, audit, breadcrumbs, devices, flocks, history, incidents, keys, scan_ignore, search,
    settings, system, token_settings, tokens,
};

/// What answers a request.
pub type Handler = fn(Ask) -> BoxFuture<'static, Result<Answer, ApiError>>;

/// One endpoint.
pub struct Endpoint {
    /// Methods it takes, the documented one first.
    pub methods: &'static [Verb],
    /// Path below `/api/v1/`.
    pub path: &'static str,
    /// What it does, one sentence a line.
    pub doc: &'static str,
    /// Its parameters without the credential.
    pub params: &'static [Param],
    /// Who may use it.
    pub needs: Needs,
    /// Priority in the documented contract, 1 first.
    pub tier: u8,
    /// What answers.
    pub run: Handler,
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Endpoint({})", self.path)
    }
}

impl Endpoint {
    /// Whether files may be uploaded to it.
    pub fn takes_files(&self) -> bool {
        matches!(
            self.path,
            "canarytoken/create"
                | "canarytoken/factory/create"
                | "canarytokens/idp-app/metadata/save"
        )
    }
}

/// An HTTP method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Reads.
    Get,
    /// Changes.
    Post,
    /// Removes.
    Delete,
}

impl Verb {
    /// As on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Delete => "DELETE",
        }
    }

    /// Whether `method` is this one; HEAD counts as GET.
    pub fn is(self, method: &Method) -> bool {
        self.name() == method.as_str() || (self == Self::Get && *method == Method::HEAD)
    }
}

/// Who may use an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Everybody, without a credential.
    Nothing,
    /// Any credential.
    Credential,
    /// Reading: read-only, analyst, admin.
    Read,
    /// Acting on incidents: analyst, admin.
    Act,
    /// Changing things: admin.
    Admin,
    /// Changing the Console itself: admin of all flocks.
    GlobalAdmin,
    /// Minting and downloading tokens: admin, canarytoken-deploy.
    Deploy,
    /// Making breadcrumbs: breadcrumb-deploy and whoever may read.
    Breadcrumb,
    /// As [`Needs::Deploy`] with the parameter `factory_auth` in place of the credential.
    Factory,
}

impl Needs {
    /// Whether such an endpoint changes anything.
    pub const fn changes(self) -> bool {
        matches!(
            self,
            Self::Act
                | Self::Admin
                | Self::GlobalAdmin
                | Self::Deploy
                | Self::Factory
                | Self::Breadcrumb
        )
    }
}

/// One parameter.
#[derive(Debug)]
pub struct Param {
    /// Name on the wire.
    pub name: &'static str,
    /// What it takes.
    pub takes: Takes,
    /// Whether it must be there.
    pub required: bool,
    /// Its default, in words or as a value; empty for none.
    pub default: &'static str,
    /// What it means.
    pub doc: &'static str,
    /// The message where it's missing; empty for the usual one.
    pub missing: &'static str,
}

/// What a parameter takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// Any text of at most this many characters.
    Text(usize),
    /// A whole number, zero or more.
    Number,
    /// Yes or no.
    Flag,
    /// One of these words.
    Word(&'static [&'static str]),
    /// `yyyy-mm-dd-hh:mm:ss` in UTC.
    Instant,
    /// `4h`, `2d`, `1w`.
    Span,
    /// A time zone's name.
    Zone,
    /// An IP address.
    Address,
}

/// A parameter that may be missing.
pub const fn optional(name: &'static str, takes: Takes, doc: &'static str) -> Param {
    Param {
        name,
        takes,
        required: false,
        default: "",
        doc,
        missing: "",
    }
}

/// A parameter that must be there.
pub const fn required(name: &'static str, takes: Takes, doc: &'static str) -> Param {
    Param {
        required: true,
        ..optional(name, takes, doc)
    }
}

impl Param {
    /// The same with a default.
    pub const fn or(self, default: &'static str) -> Self {
        Self { default, ..self }
    }

    /// The same with its own message where it's missing.
    pub const fn else_say(self, missing: &'static str) -> Self {
        Self { missing, ..self }
    }
}

/// Text of ordinary length.
pub const TEXT: Takes = Takes::Text(255);

/// Every endpoint there is, by group.
pub static GROUPS: &[(&str, &[Endpoint])] = &[
    ("Console", system::ENDPOINTS),
    ("Incidents", incidents::ENDPOINTS),
    ("Incident search", search::ENDPOINTS),
    ("Incident history", history::ENDPOINTS),
    ("Devices", devices::ENDPOINTS),
    ("Canarytokens", tokens::ENDPOINTS),
    ("Changing Canarytokens", tokens::changes::ENDPOINTS),
    ("Token factories", tokens::factory::ENDPOINTS),
    ("Mails in mailboxes", tokens::mails::ENDPOINTS),
    ("Token zones", tokens::dns::ENDPOINTS),
    ("Token settings", token_settings::ENDPOINTS),
    ("Breadcrumbs", breadcrumbs::ENDPOINTS),
    ("Flocks", flocks::ENDPOINTS),
    ("Settings", settings::ENDPOINTS),
    ("Ignored port scans", scan_ignore::ENDPOINTS),
    ("API keys", keys::ENDPOINTS),
    ("Audit trail", audit::ENDPOINTS),
];

/// Every endpoint there is.
pub fn endpoints() -> impl Iterator<Item = &'static Endpoint> {
    GROUPS.iter().flat_map(|(_, group)| group.iter())
}

static BY_PATH: LazyLock<HashMap<&'static str, Vec<&'static Endpoint>>> = LazyLock::new(|| {
    let mut paths: HashMap<_, Vec<_>> = HashMap::new();
    for endpoint in endpoints() {
        paths.entry(endpoint.path).or_default().push(endpoint);
    }
    paths
});

/// The endpoints at `path` (below `/api/v1/`), each with methods of its own; usually one.
pub fn find(path: &str) -> &'static [&'static Endpoint] {
    BY_PATH.get(path).map_or(&[], Vec::as_slice)
}
