//! Tokens: lists, changes, files, and probes of their zones.

use serde::Deserialize;
use serde_json::Value;

use super::{
    Client, ClientError, DnsArrival, DnsPlan, Feed, Incident, MAX_ANSWER, Result, Token, decode,
    form_data,
};

/// Tokens asked for at once.
const PAGE: &str = "1000";

/// Which tokens. Empty means all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TokenSearch<'a> {
    /// Every word of it begins the id or a word of the memo.
    pub words: Option<&'a str>,
    /// Only of this kind.
    pub kind: Option<&'a str>,
    /// Only enabled (or disabled) ones.
    pub enabled: Option<bool>,
}

impl Client {
    /// All tokens.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn tokens(&self) -> Result<Vec<Token>> {
        #[derive(Deserialize)]
        struct Answer {
            tokens: Vec<Token>,
        }
        self.get::<Answer>("canarytokens/fetch", &[])
            .map(|answer| answer.tokens)
    }

    /// Tokens that fit, the newest first, however many there are; each also says when it was
    /// touched last (`last_triggered`).
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn search_tokens(&self, search: TokenSearch<'_>) -> Result<Vec<Token>> {
        #[derive(Deserialize)]
        struct Answer {
            canarytokens: Vec<Token>,
            cursor: Cursor,
        }
        #[derive(Deserialize)]
        struct Cursor {
            next: Option<String>,
        }
        let mut found = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let mut params = vec![("limit", PAGE)];
            params.extend(search.words.map(|words| ("search_string", words)));
            params.extend(search.kind.map(|kind| ("kind", kind)));
            let active = search.enabled.map(|yes| if yes { "true" } else { "false" });
            params.extend(active.map(|active| ("active", active)));
            params.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
            let page: Answer = self.get("canarytokens/search", &params)?;
            found.extend(page.canarytokens);
            // The same cursor again would go on for ever.
            match page
                .cursor
                .next
                .filter(|next| cursor.as_ref() != Some(next))
            {
                Some(next) => cursor = Some(next),
                None => return Ok(found),
            }
        }
    }

    /// One token by its unique string.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn token(&self, canarytoken: &str) -> Result<Token> {
        #[derive(Deserialize)]
        struct Answer {
            token: Token,
        }
        self.get::<Answer>("canarytoken/fetch", &[("canarytoken", canarytoken)])
            .map(|answer| answer.token)
    }

    /// Creates a token of `kind`; `params` are the kind's own, by wire name.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn create_token(&self, kind: &str, memo: &str, params: &[(&str, &str)]) -> Result<Token> {
        #[derive(Deserialize)]
        struct Answer {
            canarytoken: Token,
        }
        let mut all = vec![("kind", kind), ("memo", memo)];
        all.extend_from_slice(params);
        self.post::<Answer>("canarytoken/create", &all)
            .map(|answer| answer.canarytoken)
    }

    /// The same with files to start from: parameter, name, bytes.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn create_token_from(
        &self,
        kind: &str,
        memo: &str,
        params: &[(&str, &str)],
        files: &[(&str, &str, &[u8])],
    ) -> Result<Token> {
        #[derive(Deserialize)]
        struct Answer {
            canarytoken: Token,
        }
        let path = "canarytoken/create";
        let mut all = vec![("kind", kind), ("memo", memo)];
        all.extend_from_slice(params);
        let (content_type, body) = form_data(&all, files);
        let request = self
            .agent
            .post(self.url(path))
            .header("X-Canary-Auth-Token", &self.key)
            .header("Content-Type", content_type);
        self.answer::<Answer>(path, request.send(&body[..]))
            .map(|answer| answer.canarytoken)
    }

    /// Lets a token alert, or not.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn set_token_enabled(&self, canarytoken: &str, enabled: bool) -> Result<()> {
        let path = if enabled {
            "canarytoken/enable"
        } else {
            "canarytoken/disable"
        };
        self.post::<Value>(path, &[("canarytoken", canarytoken)])
            .map(drop)
    }

    /// Deletes a token; one that has incidents only together with these.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn delete_token(&self, canarytoken: &str, with_incidents: bool) -> Result<()> {
        let clear = if with_incidents { "true" } else { "false" };
        let params = [("canarytoken", canarytoken), ("clear_incidents", clear)];
        self.post::<Value>("canarytoken/delete", &params).map(drop)
    }

    /// The file of a token, for kinds that have one, and its name.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn download_token(&self, canarytoken: &str) -> Result<(String, Vec<u8>)> {
        let path = "canarytoken/download";
        let mut answer = self
            .agent
            .get(self.url(path))
            .header("X-Canary-Auth-Token", &self.key)
            .query("canarytoken", canarytoken)
            .call()
            .map_err(|cause| self.unreachable(&cause))?;
        let body = answer
            .body_mut()
            .with_config()
            .limit(MAX_ANSWER)
            .read_to_vec()
            .map_err(|cause| self.unreachable(&cause))?;
        if !answer.status().is_success() {
            return decode::<Value>(path, &body).and_then(|_| {
                Err(ClientError::Unexpected {
                    path: path.to_owned(),
                    problem: format!("status {}", answer.status()),
                })
            });
        }
        let name = answer
            .headers()
            .get("content-disposition")
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split_once("filename="))
            .map_or("", |(_, name)| name);
        Ok((name.to_owned(), body))
    }

    /// Incidents of one token, oldest update first; with `since`, only those whose `updated_id` is
    /// greater.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn token_incidents(&self, canarytoken: &str, since: Option<i64>) -> Result<Feed> {
        let since = since.map(|since| since.to_string());
        let mut params = vec![("node_id", canarytoken)];
        params.extend(since.as_deref().map(|since| ("incidents_since", since)));
        self.get("incidents/all", &params)
    }

    /// One incident with more of its events than a feed has.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn incident(&self, id: &str) -> Result<Incident> {
        #[derive(Deserialize)]
        struct Answer {
            incident: Incident,
        }
        self.get::<Answer>("incident/fetch", &[("incident", id)])
            .map(|answer| answer.incident)
    }

    /// What the DNS must be told of the tokens' zones.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn dns_plan(&self) -> Result<DnsPlan> {
        #[derive(Deserialize)]
        struct Answer {
            dns: DnsPlan,
        }
        self.get::<Answer>("canarytokens/dns", &[])
            .map(|answer| answer.dns)
    }

    /// A fresh label; queries for names with it directly left of one of the zones are reported by
    /// [`Client::dns_arrivals`] for a while, and are no incidents.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn dns_probe(&self) -> Result<String> {
        #[derive(Deserialize)]
        struct Answer {
            probe: String,
        }
        self.post::<Answer>("canarytokens/dns/probe", &[])
            .map(|answer| answer.probe)
    }

    /// Queries for a probe so far.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn dns_arrivals(&self, probe: &str) -> Result<Vec<DnsArrival>> {
        #[derive(Deserialize)]
        struct Answer {
            arrivals: Vec<DnsArrival>,
        }
        self.get::<Answer>("canarytokens/dns/arrivals", &[("probe", probe)])
            .map(|answer| answer.arrivals)
    }
}
