//! An operator's own account at a cloud: what makes real credentials for tokens of a kind and tells
//! of their use. The Console asks it; who speaks to the cloud stands in a room of its own.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use serde_json::{Map, Value};

use super::{Token, TokenId};
use crate::Timestamp;

/// Field of a token that says whether it is one of ours alone (`local`) or one of an account
/// (`connected`).
pub const INTEGRATION: &str = "integration";
/// Its value for tokens of an account.
pub const CONNECTED: &str = "connected";

/// An account that tokens of one kind live in. Its functions block.
pub trait CloudProvider: fmt::Debug + Send + Sync {
    /// The kind's id, e.g. `aws-id`.
    fn kind(&self) -> &'static str;

    /// How far tokens of it reach, for people.
    fn reach(&self) -> &'static str;

    /// Time between two looks.
    fn pause(&self) -> Duration;

    /// Makes credentials for a new token; what is kept of them with the token.
    ///
    /// # Errors
    /// What the cloud says. What was made until then is taken back.
    fn create(&self, id: &TokenId) -> Result<Map<String, Value>, CloudError>;

    /// Takes back what [`CloudProvider::create`] made; fine where it's gone already.
    ///
    /// # Errors
    /// What the cloud says.
    fn delete(&self, fields: &Map<String, Value>) -> Result<(), CloudError>;

    /// Lets the credentials that [`CloudProvider::create`] made be valid, or not. Where they are gone
    /// already, the latter is fine and the former an error.
    ///
    /// # Errors
    /// What the cloud says.
    fn set_enabled(&self, fields: &Map<String, Value>, enabled: bool) -> Result<(), CloudError>;

    /// What has been done with a token's credentials since `mark`, which the last look gave (null at
    /// the first). A touch may be told again by a later look, always with the same id.
    fn look(&self, token: &Token, mark: &Value, now: Timestamp) -> Looked;
}

/// What a look gave. A failure halfway keeps what came before it.
#[derive(Clone, Debug, PartialEq)]
pub struct Looked {
    /// In no order.
    pub touches: Vec<CloudTouch>,
    /// Where the next look begins.
    pub mark: Value,
    /// Why it isn't all.
    pub problem: Option<CloudError>,
    /// Whether no answer came at all, so that asking about another token is of no use now.
    pub is_unreachable: bool,
}

/// One use of a token's credentials, as the cloud tells it.
#[derive(Clone, Debug, PartialEq)]
pub struct CloudTouch {
    /// The cloud's own id of it.
    pub id: String,
    /// When.
    pub at: Timestamp,
    /// Who; `None` where the cloud names a service.
    pub source: Option<IpAddr>,
    /// The kind's own event fields.
    pub fields: Map<String, Value>,
}

/// Why a cloud didn't do what it was asked for; one sentence for the operator, without secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloudError(pub String);

impl fmt::Display for CloudError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for CloudError {}
