//! One request to the authority: what it asks for, and what Microsoft Entra answers ("OAuth 2.0
//! client credentials flow" and "Microsoft Entra authentication error codes" of its documentation;
//! assertions: RFC 7521, 7523 and "application authentication certificate credentials").

use aws_lc_rs::signature::{
    RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, RsaPublicKeyComponents,
};
use coalmine_core::Timestamp;
use coalmine_core::text;
use coalmine_core::token::{Answer, HttpHit};
use data_encoding::{BASE64URL_NOPAD, HEXUPPER};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::Principal;
use crate::aws::sigv4::decoded;
use crate::files::guid_of;

/// Longest assertion that is read.
const MAX_ASSERTION: usize = 16 * 1024;
/// Most claims that are told.
const MAX_CLAIMS: usize = 24;
/// Most parameters of a form that are read.
const MAX_FORM: usize = 64;
/// Longest path that is told.
const MAX_PATH: usize = 512;
/// What an assertion must say it is (RFC 7523 section 2.2).
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// One request.
pub struct Asked<'a> {
    hit: &'a HttpHit<'a>,
    what: What,
    form: Vec<(String, String)>,
    assertion: Option<Result<Assertion, ()>>,
    /// E.g. `https://login.example.com`.
    host: String,
}

enum What {
    Discovery { version: &'static str },
    Token,
    Other(String),
}

/// A JSON Web Token, as sent.
struct Assertion {
    head: Map<String, Value>,
    claims: Map<String, Value>,
    is_valid: bool,
}

impl<'a> Asked<'a> {
    /// Reads a request that found this token.
    pub fn read(hit: &'a HttpHit<'a>, principal: &Principal) -> Self {
        let (host, path) = place(hit);
        let tenant = format!("/{}/", principal.tenant);
        let lower = path.to_ascii_lowercase();
        let rest = match lower.split_once(&tenant) {
            Some((_, rest)) if !tenant.starts_with("//") => rest.trim_end_matches('/'),
            _ => "",
        };
        let what = match (hit.method, rest) {
            ("GET" | "HEAD", "v2.0/.well-known/openid-configuration") => {
                What::Discovery { version: "/v2.0" }
            }
            ("GET" | "HEAD", ".well-known/openid-configuration") => What::Discovery { version: "" },
            ("POST", "oauth2/v2.0/token" | "oauth2/token") => What::Token,
            (method, _) => {
                let path: String = path.chars().take(MAX_PATH).collect();
                What::Other(format!("{method} {path}"))
            }
        };
        let form = match what {
            What::Token => form(hit.body),
            _ => Vec::new(),
        };
        let mut asked = Self {
            hit,
            what,
            form,
            assertion: None,
            host,
        };
        let jwt = asked.given("client_assertion");
        asked.assertion = jwt.map(|jwt| Assertion::read(jwt, &principal.modulus).ok_or(()));
        asked
    }

    /// What the event tells.
    pub fn fields(&self) -> Map<String, Value> {
        let mut fields = Map::new();
        let name = match &self.what {
            What::Discovery { .. } => "discovery",
            What::Token => "token",
            What::Other(name) => name,
        };
        fields.insert("eventName".to_owned(), name.into());
        let scope = self.given("scope").or_else(|| self.given("resource"));
        for (name, value) in [
            ("scope", scope),
            ("requested_app_id", self.given("client_id")),
        ] {
            if let Some(value) = value {
                fields.insert(name.to_owned(), text::cut(value).into());
            }
        }
        if let Some(assertion) = &self.assertion {
            let valid = assertion.as_ref().is_ok_and(|assertion| assertion.is_valid);
            let valid = if valid { "True" } else { "False" };
            fields.insert("signature_valid".to_owned(), valid.into());
        }
        if let Some(Ok(assertion)) = &self.assertion {
            let pairs = assertion.head.iter().chain(&assertion.claims);
            let told = pairs.take(MAX_CLAIMS).map(|(name, value)| {
                let value = match value {
                    Value::String(text) => text.clone(),
                    other => other.to_string(),
                };
                (text::cut(name), Value::from(text::cut(&value)))
            });
            let told: Map<String, Value> = told.collect();
            fields.insert("client_assertion".to_owned(), told.into());
        }
        fields
    }

    /// What the authority says.
    pub fn answer(&self, principal: &Principal) -> Answer {
        match &self.what {
            What::Discovery { version } => {
                self.json(200, &discovery(&self.host, &principal.tenant, version))
            }
            What::Token => {
                let (status, error, code, message) = self.refusal(principal);
                self.refused(status, error, code, &message)
            }
            What::Other(_) => Answer::Full {
                status: 404,
                headers: self.headers("text/html; charset=utf-8"),
                body: Vec::new(),
            },
        }
    }

    /// Status, error, number and text, in the order in which Entra looks.
    fn refusal(&self, principal: &Principal) -> (u16, &'static str, u32, String) {
        const INVALID_CLIENT: &str = "invalid_client";
        let app = &principal.app;
        let v2 = self.hit.url.contains("/v2.0/");
        let mut needed = ["grant_type", "client_id"].into_iter();
        let missing = needed.find(|name| self.given(name).is_none());
        if let Some(name) = missing {
            let message =
                format!("The request body must contain the following parameter: '{name}'.");
            return (400, "invalid_request", 900_144, message);
        }
        let given = |name: &str| self.given(name).unwrap_or_default();
        let grant = given("grant_type");
        if ![
            "client_credentials",
            "password",
            "refresh_token",
            "authorization_code",
        ]
        .contains(&grant)
        {
            let message = format!(
                "The app requested an unsupported grant type '{}'.",
                text::cut(grant)
            );
            return (400, "unsupported_grant_type", 70_003, message);
        }
        if v2 && grant == "client_credentials" && self.given("scope").is_none() {
            let message = "The request body must contain the following parameter: 'scope'.";
            return (400, "invalid_request", 900_144, message.to_owned());
        }
        let id = given("client_id");
        if !id.eq_ignore_ascii_case(app) {
            let message = format!(
                "Application with identifier '{}' was not found in the directory '{}'. This can \
                 happen if the application has not been installed by the administrator of the \
                 tenant or consented to by any user in the tenant. You may have sent your \
                 authentication request to the wrong tenant.",
                text::cut(id),
                principal.tenant
            );
            return (400, "unauthorized_client", 700_016, message);
        }
        if self.given("client_secret").is_some() && self.assertion.is_none() {
            let message = format!(
                "Invalid client secret provided. Ensure the secret being sent in the request is \
                 the client secret value, not the client secret ID, for a secret added to app \
                 '{app}'."
            );
            return (401, INVALID_CLIENT, 7_000_215, message);
        }
        let assertion = match &self.assertion {
            None => {
                let message = "The request body must contain the following parameter: \
                               'client_assertion' or 'client_secret'.";
                return (401, INVALID_CLIENT, 7_000_218, message.to_owned());
            }
            Some(_) if self.given("client_assertion_type") != Some(ASSERTION_TYPE) => {
                let message = "The client_assertion_type must be \
                               'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'.";
                return (400, "invalid_request", 50_013, message.to_owned());
            }
            Some(Err(())) => {
                let message = "JWT token is invalid or malformed.";
                return (400, "invalid_request", 50_027, message.to_owned());
            }
            Some(Ok(assertion)) => assertion,
        };
        if !assertion.names(principal) {
            let message = format!(
                "The certificate with identifier used to sign the client assertion is not \
                 registered on application. [Reason - The key was not found., Thumbprint of key \
                 used by client: '{}', Please visit the Azure Portal, Graph Explorer or directly \
                 use MS Graph to see configured keys for app Id '{app}'. Review the documentation \
                 at https://docs.microsoft.com/en-us/graph/deployments to determine the \
                 corresponding service endpoint and \
                 https://docs.microsoft.com/en-us/graph/api/application-get?view=graph-rest-1.0&tabs=http \
                 to build a query request URL, such as \
                 'https://graph.microsoft.com/beta/applications/{app}'].",
                assertion.print()
            );
            return (401, INVALID_CLIENT, 700_027, message);
        }
        if !assertion.is_valid {
            let message = format!(
                "Client assertion failed signature validation. [Reason - The key was found, but \
                 use of the key to verify the signature failed., Thumbprint of key used by client: \
                 '{}'].",
                assertion.print()
            );
            return (401, INVALID_CLIENT, 700_027, message);
        }
        let now = self.hit.at.secs();
        // Libraries send fractions of seconds too.
        let time = |name: &str| {
            let number = assertion.claims.get(name)?.to_string();
            number.split('.').next()?.parse::<i64>().ok()
        };
        let (from, until) = (time("nbf").unwrap_or(0), time("exp").unwrap_or(0));
        // Five minutes of difference between clocks are forgiven.
        if until.saturating_add(300) < now || from.saturating_sub(300) > now {
            let stamp = |secs: i64| Timestamp::from_secs(secs).format("%Y-%m-%dT%H:%M:%S.0000000Z");
            let message = format!(
                "Client assertion is not within its valid time range. Current time: {}, assertion \
                 valid from {}, expiry time of assertion {}. Review the documentation at \
                 https://docs.microsoft.com/azure/active-directory/develop/active-directory-certificate-credentials .",
                stamp(now),
                stamp(from),
                stamp(until)
            );
            return (401, INVALID_CLIENT, 700_024, message);
        }
        let message = format!("Application '{app}'({}) is disabled.", principal.app_name);
        (400, "unauthorized_client", 7_000_112, message)
    }

    fn refused(&self, status: u16, error: &str, code: u32, message: &str) -> Answer {
        let (trace, correlation) = (self.uuid("trace"), self.correlation());
        let stamp = self.hit.at.format("%Y-%m-%d %H:%M:%SZ");
        let body = json!({
            "error": error,
            "error_description": format!(
                "AADSTS{code}: {message} Trace ID: {trace} Correlation ID: {correlation} \
                 Timestamp: {stamp}"
            ),
            "error_codes": [code],
            "timestamp": stamp,
            "trace_id": trace,
            "correlation_id": correlation,
            "error_uri": format!("{}/error?code={code}", self.host),
        });
        self.json(status, &body)
    }

    fn json(&self, status: u16, body: &Value) -> Answer {
        Answer::Full {
            status,
            headers: self.headers("application/json; charset=utf-8"),
            body: body.to_string().into_bytes(),
        }
    }

    fn headers(&self, mime: &str) -> Vec<(String, String)> {
        let mut headers = vec![
            ("Cache-Control", "no-store, no-cache".to_owned()),
            ("Pragma", "no-cache".to_owned()),
            ("Content-Type", mime.to_owned()),
            ("Expires", "-1".to_owned()),
            (
                "Strict-Transport-Security",
                "max-age=31536000; includeSubDomains".to_owned(),
            ),
            ("X-Content-Type-Options", "nosniff".to_owned()),
            ("P3P", "CP=\"DSP CUR OTPi IND OTRi ONL FIN\"".to_owned()),
            ("x-ms-request-id", self.uuid("trace")),
            ("X-XSS-Protection", "0".to_owned()),
            ("Server", "Microsoft-IIS/10.0".to_owned()),
        ];
        let id = self.hit.header("client-request-id");
        let back = self.hit.header("return-client-request-id");
        if id.is_some() && back.is_some_and(|back| back.eq_ignore_ascii_case("true")) {
            headers.push(("client-request-id", self.correlation()));
        }
        headers
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }

    /// The client's own id of the request, if it's one.
    fn correlation(&self) -> String {
        let given = self.hit.header("client-request-id").unwrap_or_default();
        let is_hex = |c: char| c.is_ascii_hexdigit() || c == '-';
        match given.len() == 36 && given.chars().all(is_hex) {
            true => given.to_ascii_lowercase(),
            false => self.uuid("correlation"),
        }
    }

    /// An id of this request alone.
    fn uuid(&self, label: &str) -> String {
        let HttpHit {
            at,
            url,
            headers,
            body,
            ..
        } = self.hit;
        let hash = Sha256::digest(format!("{label}{at:?}{url}{headers:?}{body:?}"));
        guid_of(&hash).to_lowercase()
    }

    fn given(&self, name: &str) -> Option<&str> {
        let pair = self.form.iter().find(|(n, _)| n == name);
        pair.map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }
}

impl Assertion {
    fn read(jwt: &str, modulus: &[u8]) -> Option<Self> {
        if jwt.len() > MAX_ASSERTION {
            return None;
        }
        let (signed, signature) = jwt.rsplit_once('.')?;
        let (head, claims) = signed.split_once('.')?;
        let object = |part: &str| -> Option<Map<String, Value>> {
            let bytes = BASE64URL_NOPAD
                .decode(part.trim_end_matches('=').as_bytes())
                .ok()?;
            serde_json::from_slice(&bytes).ok()
        };
        let (head, claims) = (object(head)?, object(claims)?);
        let signature = BASE64URL_NOPAD
            .decode(signature.trim_end_matches('=').as_bytes())
            .ok()?;
        let scheme = match head.get("alg").and_then(Value::as_str) {
            Some("RS256") => &RSA_PKCS1_2048_8192_SHA256,
            Some("PS256") => &RSA_PSS_2048_8192_SHA256,
            _ => return None,
        };
        let public = RsaPublicKeyComponents {
            n: modulus,
            e: &[1, 0, 1][..],
        };
        let is_valid = public.verify(scheme, signed.as_bytes(), &signature).is_ok();
        Some(Self {
            head,
            claims,
            is_valid,
        })
    }

    /// Whether its head names the certificate.
    fn names(&self, principal: &Principal) -> bool {
        let (sha1, sha256) = &principal.prints;
        self.named("x5t").as_ref() == Some(sha1) || self.named("x5t#S256").as_ref() == Some(sha256)
    }

    /// The certificate that its head names, in hex.
    fn print(&self) -> String {
        let named = self.named("x5t").or_else(|| self.named("x5t#S256"));
        let named = named.unwrap_or_default();
        HEXUPPER.encode(named.get(..32).unwrap_or(&named))
    }

    /// Some libraries pad it.
    fn named(&self, name: &str) -> Option<Vec<u8>> {
        let text = self.head.get(name)?.as_str()?;
        BASE64URL_NOPAD
            .decode(text.trim_end_matches('=').as_bytes())
            .ok()
    }
}

/// Scheme and host as the client sees them, and the path. What ends TLS in front of the channel says
/// so; who asks learns nothing but what it sent.
fn place(hit: &HttpHit<'_>) -> (String, String) {
    let (scheme, rest) = hit.url.split_once("://").unwrap_or(("https", hit.url));
    let scheme = match hit.header("x-forwarded-proto") {
        Some(proto) if proto.eq_ignore_ascii_case("https") => "https",
        _ => scheme,
    };
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    (format!("{scheme}://{host}"), format!("/{path}"))
}

fn form(body: &[u8]) -> Vec<(String, String)> {
    let body = String::from_utf8_lossy(body);
    let value = |text: &str| {
        let text = text.replace('+', " ");
        String::from_utf8_lossy(&decoded(&text)).into_owned()
    };
    body.split('&')
        .take(MAX_FORM)
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, text)| (value(name), value(text)))
        .collect()
}

/// "OpenID Connect on the Microsoft identity platform": the metadata document of a tenant.
fn discovery(host: &str, tenant: &str, version: &str) -> Value {
    let at = |path: &str| format!("{host}/{tenant}{path}");
    let oauth = format!("/oauth2{version}");
    let issuer = match version {
        "" => format!("https://sts.windows.net/{tenant}/"),
        _ => at("/v2.0"),
    };
    json!({
        "token_endpoint": at(&format!("{oauth}/token")),
        "token_endpoint_auth_methods_supported": [
            "client_secret_post", "private_key_jwt", "client_secret_basic",
        ],
        "jwks_uri": at(&format!("/discovery{version}/keys")),
        "response_modes_supported": ["query", "fragment", "form_post"],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
        "scopes_supported": ["openid", "profile", "email", "offline_access"],
        "issuer": issuer,
        "request_uri_parameter_supported": false,
        "userinfo_endpoint": "https://graph.microsoft.com/oidc/userinfo",
        "authorization_endpoint": at(&format!("{oauth}/authorize")),
        "device_authorization_endpoint": at(&format!("{oauth}/devicecode")),
        "http_logout_supported": true,
        "frontchannel_logout_supported": true,
        "end_session_endpoint": at(&format!("{oauth}/logout")),
        "claims_supported": [
            "sub", "iss", "cloud_instance_name", "cloud_instance_host_name",
            "cloud_graph_host_name", "msgraph_host", "aud", "exp", "iat", "auth_time", "acr",
            "nonce", "preferred_username", "name", "tid", "ver", "at_hash", "c_hash", "email",
        ],
        "kerberos_endpoint": at("/kerberos"),
        "tenant_region_scope": "EU",
        "cloud_instance_name": "microsoftonline.com",
        "cloud_graph_host_name": "graph.windows.net",
        "msgraph_host": "graph.microsoft.com",
        "rbac_url": "https://pas.windows.net",
    })
}
