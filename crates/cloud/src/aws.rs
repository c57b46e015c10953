//! Amazon: users of IAM that may do nothing, with a key each; what CloudTrail records of the keys.
//!
//! A look asks `cloudtrail:LookupEvents` in every region by the key's id, from a while before the
//! last look on, since records arrive up to a quarter of an hour late. As a safety net it asks
//! `iam:GetAccessKeyLastUsed`, which also knows uses that CloudTrail doesn't record as events.

mod call;
#[cfg(test)]
mod tests;

use std::time::Duration;

use coalmine_core::token::{
    CONNECTED, CloudError, CloudProvider, CloudTouch, INTEGRATION, Looked, Token,
};
use coalmine_core::{Seed, Timestamp, TokenId};
use coalmine_tokens::aws::{USERS, trail};
use serde_json::{Map, Value, json};

use call::{Api, Failure};

/// Most pages of 50 events that one look reads of one key in one region.
const MAX_PAGES: usize = 200;
/// Most ids of told events that a mark holds, per region.
const MAX_SEEN: usize = 2_000;
/// Seconds by which a look begins before the last one: how late records may come.
const OVERLAP: i64 = 3_600;
/// Seconds for which CloudTrail is waited for before the safety net tells of a use.
const GRACE: i64 = 1_800;
/// How exact the time of a key's last use is, in seconds.
const LAST_USED_EXACT: i64 = 900;
/// The inline policy's name and text.
const POLICY: (&str, &str) = (
    "deny-all",
    r#"{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"*","Resource":"*"}]}"#,
);

/// What the operator configured.
#[derive(Clone)]
pub struct AwsConfig {
    /// Id of the key that polls and makes users.
    pub access_key_id: String,
    /// Its secret.
    pub secret_access_key: String,
    /// Regions whose events are looked up.
    pub regions: Vec<String>,
    /// Time between two looks.
    pub pause: Duration,
    /// One URL for all services, in place of Amazon's own.
    pub endpoint: Option<String>,
}

/// An account at Amazon.
pub struct Aws {
    config: AwsConfig,
    api: Api,
}

impl std::fmt::Debug for Aws {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Aws({})", self.config.access_key_id)
    }
}

impl Aws {
    /// The account; nothing is asked yet.
    pub fn new(config: AwsConfig) -> Self {
        let api = Api::new(&config);
        Self { config, api }
    }

    /// The account's number and the user's id.
    fn make_user(&self, user: &str) -> Result<(String, String), Failure> {
        let made = self.api.iam("CreateUser", &[("UserName", user)])?;
        let (arn, user_id) = (made.text("Arn")?, made.text("UserId")?);
        let account = arn.split(':').nth(4).unwrap_or_default().to_owned();
        Ok((account, user_id))
    }

    fn make_key(
        &self,
        user: &str,
        (account, user_id): (String, String),
    ) -> Result<Map<String, Value>, Failure> {
        self.api.iam(
            "PutUserPolicy",
            &[
                ("UserName", user),
                ("PolicyName", POLICY.0),
                ("PolicyDocument", POLICY.1),
            ],
        )?;
        let key = self.api.iam("CreateAccessKey", &[("UserName", user)])?;
        let region = self.config.regions.first();
        let fields = [
            ("access_key_id", key.text("AccessKeyId")?),
            ("secret_access_key", key.text("SecretAccessKey")?),
            ("account_id", account),
            ("username", user.to_owned()),
            ("user_id", user_id),
            (
                "region",
                region.cloned().unwrap_or_else(|| "us-east-1".to_owned()),
            ),
            (INTEGRATION, CONNECTED.to_owned()),
        ];
        let own = |(name, value): (&str, String)| (name.to_owned(), Value::from(value));
        Ok(fields.into_iter().map(own).collect())
    }

    /// Whether IAM lists the user's key with this status.
    fn is_listed(&self, user: &str, key: &str, status: &str) -> bool {
        let listed = self.api.iam("ListAccessKeys", &[("UserName", user)]);
        listed.is_ok_and(|list| {
            let (keys, states) = (list.texts("AccessKeyId"), list.texts("Status"));
            let mut pairs = keys.iter().zip(&states);
            keys.len() == states.len() && pairs.any(|(id, state)| id == key && state == status)
        })
    }

    /// Events of one key in one region since `since`, the latest first; what came before a failure
    /// counts. Whether those were all.
    fn events(
        &self,
        region: &str,
        key: &str,
        since: i64,
        found: &mut Vec<CloudTouch>,
    ) -> Result<bool, Failure> {
        let mut next: Option<String> = None;
        for _ in 0..MAX_PAGES {
            let mut body = json!({
                "LookupAttributes": [{"AttributeKey": "AccessKeyId", "AttributeValue": key}],
                "StartTime": since,
                "MaxResults": 50,
            });
            if let (Some(token), Value::Object(body)) = (&next, &mut body) {
                body.insert("NextToken".to_owned(), token.as_str().into());
            }
            let page = self.api.trail(region, "LookupEvents", &body)?;
            let events = page
                .get("Events")
                .and_then(Value::as_array)
                .ok_or_else(|| Failure::garbled("CloudTrail's answer holds no list of events"))?;
            for event in events {
                let record = event.get("CloudTrailEvent").and_then(Value::as_str);
                let record = record.and_then(|text| serde_json::from_str(text).ok());
                found.extend(record.and_then(|record: Value| trail::touch(&record, key)));
            }
            next = page
                .get("NextToken")
                .and_then(Value::as_str)
                .map(str::to_owned);
            if next.is_none() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What the safety net says: a use that no event covers.
    fn last_used(&self, key: &str) -> Result<Option<(Timestamp, String, String)>, Failure> {
        let used = self
            .api
            .iam("GetAccessKeyLastUsed", &[("AccessKeyId", key)])?;
        // A key that was never used has no date.
        let Ok(date) = used.text("LastUsedDate") else {
            return Ok(None);
        };
        let Some(at) = call::moment(&date) else {
            return Err(Failure::garbled("a key's last use has no readable date"));
        };
        let text = |name: &str| used.text(name).unwrap_or_default();
        Ok(Some((at, text("ServiceName"), text("Region"))))
    }
}

impl CloudProvider for Aws {
    fn kind(&self) -> &'static str {
        "aws-id"
    }

    fn reach(&self) -> &'static str {
        "Connected: keys are real ones of your account at AWS, whose users may do nothing. An alert \
         comes wherever the key is used, some minutes later, once CloudTrail has recorded it."
    }

    fn pause(&self) -> Duration {
        self.config.pause
    }

    fn create(&self, id: &TokenId) -> Result<Map<String, Value>, CloudError> {
        // Users look like programs' own; a few digits of the token keep them apart.
        let seed = Seed::new([0; 32]).derive(id.as_str());
        let most = u64::try_from(USERS.len()).unwrap_or(1);
        let at = usize::try_from(seed.number("user", 0, most)).unwrap_or(0);
        let name = USERS.get(at).unwrap_or(&"deploy");
        let user = format!("{name}-{:04}", seed.number("number", 0, 10_000));
        let failed = |failure: &Failure| format!("AWS did not make a key: {failure}");
        // Until AWS says that it made the user, one of that name may be another's: it stays.
        let made = self.make_user(&user).map_err(|failure| {
            CloudError(match failure.is_refusal() {
                true => failed(&failure),
                false => format!(
                    "{}; the user {user} may have been made: if IAM has one that was created just \
                     now, delete it there",
                    failed(&failure)
                ),
            })
        })?;
        self.make_key(&user, made).map_err(|failure| {
            let made = Map::from_iter([("username".to_owned(), Value::from(user.as_str()))]);
            CloudError(match self.delete(&made) {
                Ok(()) => failed(&failure),
                Err(left) => format!(
                    "{}; the user {user} is left over, delete it in IAM ({left})",
                    failed(&failure)
                ),
            })
        })
    }

    fn delete(&self, fields: &Map<String, Value>) -> Result<(), CloudError> {
        let user = user(fields)?;
        let failed =
            |failure: Failure| CloudError(format!("AWS did not delete the user {user}: {failure}"));
        let gone = |result: Result<call::Xml, Failure>| match result {
            Err(failure) if failure.is("NoSuchEntity") => Ok(()),
            other => other.map(|_| ()).map_err(failed),
        };
        let of_user = ("UserName", user);
        // All of them, since a user with a key can't be deleted; IAM allows two.
        let keys = match self.api.iam("ListAccessKeys", &[of_user]) {
            Ok(list) => list.texts("AccessKeyId"),
            Err(failure) if failure.is("NoSuchEntity") => Vec::new(),
            Err(failure) => return Err(failed(failure)),
        };
        for key in keys {
            gone(
                self.api
                    .iam("DeleteAccessKey", &[of_user, ("AccessKeyId", &key)]),
            )?;
        }
        gone(
            self.api
                .iam("DeleteUserPolicy", &[of_user, ("PolicyName", POLICY.0)]),
        )?;
        gone(self.api.iam("DeleteUser", &[of_user]))
    }

    fn set_enabled(&self, fields: &Map<String, Value>, enabled: bool) -> Result<(), CloudError> {
        let user = user(fields)?;
        let key = fields.get("access_key_id").and_then(Value::as_str);
        let key = key.ok_or_else(|| CloudError("the token names no key at AWS".to_owned()))?;
        let status = if enabled { "Active" } else { "Inactive" };
        let params = [("UserName", user), ("AccessKeyId", key), ("Status", status)];
        match self.api.iam("UpdateAccessKey", &params) {
            Ok(_) => Ok(()),
            Err(failure) if failure.is("NoSuchEntity") && !enabled => Ok(()),
            // Whoever may not change keys may find that there is nothing to change. The list is
            // asked last: it lags behind changes, and those who may not make any make none.
            Err(failure) if failure.is("AccessDenied") && self.is_listed(user, key, status) => {
                Ok(())
            }
            Err(failure) => Err(CloudError(format!(
                "AWS did not make the key {key} {}: {failure}",
                status.to_lowercase()
            ))),
        }
    }

    fn look(&self, token: &Token, mark: &Value, now: Timestamp) -> Looked {
        let text = |name: &str| token.fields.get(name).and_then(Value::as_str);
        let key = text("access_key_id").unwrap_or_default();
        let mut mark = mark.as_object().cloned().unwrap_or_default();
        let (mut touches, mut problem) = (Vec::new(), None);
        // One region alone may be down, or not be one.
        let mut is_unreachable = true;
        for region in &self.config.regions {
            let before = mark.get(region).cloned().unwrap_or_default();
            let since = before.get("until").and_then(Value::as_i64);
            let since = since.unwrap_or_else(|| now.secs()).saturating_sub(OVERLAP);
            let mut found = Vec::new();
            let read = self.events(region, key, since, &mut found);
            is_unreachable &= is_unanswered(&read) && found.is_empty();
            match read {
                Ok(true) => {}
                Ok(false) => {
                    problem = Some(CloudError(format!(
                        "CloudTrail in {region} has more events of the key {key} than the latest \
                         {}, which are told",
                        MAX_PAGES * 50
                    )));
                }
                Err(failure) => {
                    problem = Some(CloudError(format!("CloudTrail in {region}: {failure}")));
                    // What came is told; the next look reads it all again.
                    touches.append(&mut fresh(&before, found).0);
                    continue;
                }
            }
            let (mut news, seen) = fresh(&before, found);
            touches.append(&mut news);
            mark.insert(region.clone(), json!({"until": now.secs(), "seen": seen}));
        }
        let told = touches.iter().map(|touch| touch.at.secs()).max();
        account_for(&mut mark, told);
        let used = self.last_used(key);
        is_unreachable &= is_unanswered(&used);
        match used {
            Ok(used) => {
                touches.extend(used.and_then(|used| net(key, used, &mut mark, now)));
            }
            Err(failure) => {
                let failure = CloudError(format!("the last use of the key {key}: {failure}"));
                problem = problem.or(Some(failure));
            }
        }
        if let Some(secret) = token.fields.get("secret_access_key") {
            for touch in &mut touches {
                touch
                    .fields
                    .insert("secret_access_key".to_owned(), secret.clone());
            }
        }
        Looked {
            touches,
            mark: Value::Object(mark),
            problem,
            is_unreachable,
        }
    }
}

/// The token's user. Without a name, IAM means the operator's own.
fn user(fields: &Map<String, Value>) -> Result<&str, CloudError> {
    let user = fields.get("username").and_then(Value::as_str);
    user.filter(|user| !user.is_empty())
        .ok_or_else(|| CloudError("the token names no user at AWS".to_owned()))
}

fn is_unanswered<T>(asked: &Result<T, Failure>) -> bool {
    asked.as_ref().is_err_and(|failure| failure.is_unreachable)
}

/// Those that weren't told before, and the ids that the next look needn't tell.
fn fresh(before: &Value, found: Vec<CloudTouch>) -> (Vec<CloudTouch>, Vec<String>) {
    let told: Vec<&str> = before
        .get("seen")
        .and_then(Value::as_array)
        .map(|seen| seen.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default();
    let mut seen: Vec<String> = found.iter().map(|touch| touch.id.clone()).collect();
    seen.truncate(MAX_SEEN);
    let mut news = found;
    news.retain(|touch| !told.contains(&touch.id.as_str()));
    (news, seen)
}

/// Notes a use that was told: `last` in the mark is the latest.
fn account_for(mark: &mut Map<String, Value>, told: Option<i64>) {
    let last = mark.get("last").and_then(Value::as_i64).max(told);
    if let Some(last) = last {
        mark.insert("last".to_owned(), last.into());
    }
}

/// A use that CloudTrail has had time to tell and didn't.
fn net(
    key: &str,
    (at, service, region): (Timestamp, String, String),
    mark: &mut Map<String, Value>,
    now: Timestamp,
) -> Option<CloudTouch> {
    let known = mark.get("last").and_then(Value::as_i64);
    let covered = known.is_some_and(|known| at.secs() <= known.saturating_add(LAST_USED_EXACT));
    if covered || at.secs().saturating_add(GRACE) > now.secs() {
        return None;
    }
    account_for(mark, Some(at.secs()));
    let id = format!("last-used-{key}-{}", at.secs());
    let fields = [
        ("access_key_id", key),
        ("eventName", "GetAccessKeyLastUsed"),
        ("service", &service),
        ("region", &region),
        ("safety_net", "True"),
    ];
    Some(CloudTouch {
        id,
        at,
        source: None,
        fields: fields
            .into_iter()
            .filter(|(name, value)| *name == "service" || !value.is_empty())
            .map(|(name, value)| (name.to_owned(), Value::from(value)))
            .collect(),
    })
}
