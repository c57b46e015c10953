//! `[cloud.aws]`: an operator's account at Amazon. Its secret is never shown.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use coalmine_cloud::aws::{Aws, AwsConfig};
use coalmine_core::settings::Fault;
use coalmine_core::token::CloudProvider;
use serde_json::{Value as Json, json};
use toml::{Table, Value};

/// Environment variable that may hold the secret in place of the file.
pub const AWS_SECRET: &str = "COALMINE_AWS_SECRET_ACCESS_KEY";
/// Key of the secret in the configuration.
const SECRET: &str = "secret_access_key";
/// Longest text of a key, secret, region or URL.
const MAX_TEXT: usize = 512;
/// Most regions.
const MAX_REGIONS: usize = 40;
/// Seconds between two looks: the least, the usual, the most.
const POLL: (i64, i64, i64) = (5, 60, 3_600);
const KEYS: &[&str] = &[
    "access_key_id",
    SECRET,
    "secret_access_key_file",
    "regions",
    "poll_seconds",
    "endpoint",
];

/// `[cloud]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CloudPart {
    /// `[cloud.aws]`.
    pub aws: Option<AwsPart>,
}

/// `[cloud.aws]`.
#[derive(Clone, PartialEq, Eq)]
pub struct AwsPart {
    /// Id of the key that polls and makes users.
    pub access_key_id: String,
    /// Its secret, where it stands in the configuration itself.
    pub secret_access_key: Option<String>,
    /// A file with nothing else.
    pub secret_access_key_file: Option<PathBuf>,
    /// Regions whose events are looked up.
    pub regions: Vec<String>,
    /// Seconds between two looks.
    pub poll_seconds: i64,
    /// One URL for all services in place of Amazon's.
    pub endpoint: Option<String>,
}

impl fmt::Debug for AwsPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AwsPart({})", self.access_key_id)
    }
}

impl CloudPart {
    /// The accounts, ready to be asked.
    ///
    /// # Errors
    /// Where a secret is nowhere to be found.
    pub fn providers(&self) -> Result<Vec<Arc<dyn CloudProvider>>> {
        let Some(part) = &self.aws else {
            return Ok(Vec::new());
        };
        let secret = match (&part.secret_access_key, &part.secret_access_key_file) {
            (Some(secret), _) => secret.clone(),
            (None, Some(file)) => std::fs::read_to_string(file).with_context(|| {
                format!("read cloud.aws.secret_access_key_file {}", file.display())
            })?,
            (None, None) => std::env::var(AWS_SECRET).unwrap_or_default(),
        };
        let secret = secret.trim();
        if secret.is_empty() {
            bail!(
                "cloud.aws has no secret: set secret_access_key_file in the configuration, or \
                 {AWS_SECRET} in the environment"
            );
        }
        let aws = Aws::new(AwsConfig {
            access_key_id: part.access_key_id.clone(),
            secret_access_key: secret.to_owned(),
            regions: part.regions.clone(),
            pause: Duration::from_secs(u64::try_from(part.poll_seconds).unwrap_or(60)),
            endpoint: part.endpoint.clone(),
        });
        Ok(vec![Arc::new(aws)])
    }
}

/// `[cloud]` of a file.
pub fn read(file: &Table, folder: &Path, faults: &mut Vec<Fault>) -> CloudPart {
    let mut fault = |key: &str, problem: String| faults.push(Fault::new(key, problem));
    let cloud = match file.get("cloud") {
        None => return CloudPart::default(),
        Some(Value::Table(table)) => table,
        Some(_) => {
            fault("cloud", "must be written as [cloud.aws]".to_owned());
            return CloudPart::default();
        }
    };
    for key in cloud.keys().filter(|key| *key != "aws") {
        let key = format!("cloud.{key}");
        fault(&key, "unknown key; known here: aws".to_owned());
    }
    let table = match cloud.get("aws") {
        None => return CloudPart::default(),
        Some(Value::Table(table)) => table,
        Some(_) => {
            fault("cloud.aws", "must be written as [cloud.aws]".to_owned());
            return CloudPart::default();
        }
    };
    for key in table.keys().filter(|key| !KEYS.contains(&key.as_str())) {
        let known = KEYS.join(", ");
        let key = format!("cloud.aws.{key}");
        fault(&key, format!("unknown key; known here: {known}"));
    }
    let is_word = |text: &str| {
        (1..=MAX_TEXT).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
    };
    let mut text = |name: &str| match table.get(name)? {
        Value::String(text) if is_word(text) => Some(text.clone()),
        Value::String(text) if text.is_empty() && name == SECRET => {
            fault(
                &format!("cloud.aws.{name}"),
                super::show::still_hidden(name),
            );
            None
        }
        _ => {
            let problem = "must be a text in quotes without spaces";
            fault(&format!("cloud.aws.{name}"), problem.to_owned());
            None
        }
    };
    let access_key_id = text("access_key_id");
    let secret_access_key = text(SECRET);
    let secret_access_key_file = text("secret_access_key_file").map(|path| folder.join(path));
    let endpoint = text("endpoint");
    if access_key_id.is_none() && !table.contains_key("access_key_id") {
        let problem = "is missing; name the id of the key that Coalmine uses";
        fault("cloud.aws.access_key_id", problem.to_owned());
    }
    if let Some(file) = secret_access_key_file
        .as_ref()
        .filter(|file| !file.is_file())
    {
        let problem = format!("there is no file {}", file.display());
        fault("cloud.aws.secret_access_key_file", problem);
    }
    if secret_access_key.is_some() && secret_access_key_file.is_some() {
        let problem = "stands beside secret_access_key; keep one of them";
        fault("cloud.aws.secret_access_key_file", problem.to_owned());
    }
    let is_url = |url: &String| url.starts_with("https://") || url.starts_with("http://");
    if endpoint.as_ref().is_some_and(|url| !is_url(url)) {
        let problem =
            "must be a whole URL, e.g. https://vpce-1a2b.cloudtrail.eu-west-1.vpce.amazonaws.com";
        fault("cloud.aws.endpoint", problem.to_owned());
    }
    let is_region = |text: &&str| {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        (1..=32).contains(&text.len()) && text.bytes().all(plain)
    };
    let regions: Option<Vec<String>> = match table.get("regions") {
        None => Some(vec!["us-east-1".to_owned()]),
        Some(list) => list.as_array().and_then(|list| {
            let names = list.iter().map(|name| name.as_str().filter(is_region));
            names.map(|name| name.map(str::to_owned)).collect()
        }),
    };
    let regions = regions.filter(|regions| (1..=MAX_REGIONS).contains(&regions.len()));
    if regions.is_none() {
        let problem = format!("must be a list of 1 to {MAX_REGIONS} regions, e.g. [\"us-east-1\"]");
        fault("cloud.aws.regions", problem);
    }
    let (least, usual, most) = POLL;
    let poll_seconds = match table.get("poll_seconds") {
        None => usual,
        Some(Value::Integer(seconds)) if (least..=most).contains(seconds) => *seconds,
        Some(other) => {
            let problem = format!("must be a number from {least} to {most}, not {other}");
            fault("cloud.aws.poll_seconds", problem);
            usual
        }
    };
    CloudPart {
        aws: Some(AwsPart {
            access_key_id: access_key_id.unwrap_or_default(),
            secret_access_key,
            secret_access_key_file,
            regions: regions.unwrap_or_default(),
            poll_seconds,
            endpoint,
        }),
    }
}

/// As TOML; a secret that stands in the configuration is left empty.
pub fn toml(part: &CloudPart) -> String {
    let Some(aws) = &part.aws else {
        return "# An account at Amazon, for AWS keys that are real ones.\n# [cloud.aws]\n\n"
            .to_owned();
    };
    let quoted = |text: &str| Json::from(text).to_string();
    let regions: Vec<String> = aws.regions.iter().map(|region| quoted(region)).collect();
    let secret = match (&aws.secret_access_key, &aws.secret_access_key_file) {
        (Some(_), _) => {
            let (comment, pair) = super::show::hidden(SECRET);
            format!("{comment}{pair}\n")
        }
        (None, Some(file)) => format!("{SECRET}_file = {}\n", quoted(&file.display().to_string())),
        (None, None) => format!("# {SECRET} is in the environment, as {AWS_SECRET}.\n"),
    };
    let endpoint = match &aws.endpoint {
        Some(url) => format!("endpoint = {}\n", quoted(url)),
        None => String::new(),
    };
    format!(
        "[cloud.aws]\n\
         # The key that makes the tokens' users and looks up what was done with their keys.\n\
         access_key_id = {}\n{secret}\
         # Regions whose events are looked up.\nregions = [{}]\n\
         # Seconds between two looks.\npoll_seconds = {}\n{endpoint}\n",
        quoted(&aws.access_key_id),
        regions.join(", "),
        aws.poll_seconds,
    )
}

/// As JSON Schema.
pub fn schema() -> Json {
    let text = |doc: &str| json!({"type": "string", "description": doc});
    let (least, usual, most) = POLL;
    json!({
        "type": "object",
        "additionalProperties": false,
        "properties": {"aws": {
            "type": "object",
            "description": "An account at Amazon: AWS keys are then real ones, of users that may do nothing, and what CloudTrail records of them becomes incidents.",
            "additionalProperties": false,
            "properties": {
                "access_key_id": text("Id of the key that makes the tokens' users and looks up what was done with their keys."),
                "secret_access_key": text("Its secret; better kept in a file of its own, or in the environment as COALMINE_AWS_SECRET_ACCESS_KEY."),
                "secret_access_key_file": text("A file that holds its secret and nothing else."),
                "regions": {"type": "array", "items": {"type": "string"}, "default": ["us-east-1"], "description": "Regions whose events are looked up. Those of IAM, STS and most global services are in us-east-1."},
                "poll_seconds": {"type": "integer", "minimum": least, "maximum": most, "default": usual, "description": "Seconds between two looks."},
                "endpoint": text("One URL for all services in place of Amazon's own."),
            },
        }},
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> (CloudPart, Vec<String>) {
        let mut faults = Vec::new();
        let part = read(&text.parse().unwrap(), Path::new("/nowhere"), &mut faults);
        (part, faults.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn every_fault_is_told_and_no_secret() {
        assert_eq!(parsed("").0, CloudPart::default());
        let (_, faults) = parsed(
            "[cloud]\ngcp = 1\n[cloud.aws]\nsecret_access_key = 'hush'\nsecret_access_key_file = 'x'\n\
             regions = ['EU']\npoll_seconds = 1\nendpoint = 'aws'\ncolour = 1\n",
        );
        let keys: Vec<&str> = faults
            .iter()
            .filter_map(|fault| fault.split(':').next())
            .collect();
        assert_eq!(
            keys,
            [
                "cloud.gcp",
                "cloud.aws.colour",
                "cloud.aws.access_key_id",
                "cloud.aws.secret_access_key_file",
                "cloud.aws.secret_access_key_file",
                "cloud.aws.endpoint",
                "cloud.aws.regions",
                "cloud.aws.poll_seconds",
            ]
        );
        assert!(!faults.concat().contains("hush"));
        assert_eq!(
            parsed("cloud = 1").1,
            ["cloud: must be written as [cloud.aws]"]
        );
    }

    #[test]
    fn what_is_shown_reads_back_the_same_but_for_the_secret() {
        let (part, faults) = parsed(
            "[cloud.aws]\naccess_key_id = 'AKIAX'\nsecret_access_key = 'hush'\nregions = ['eu-west-1', 'us-east-1']\n\
             poll_seconds = 30\nendpoint = 'http://127.0.0.1:9'\n",
        );
        assert_eq!(faults, [""; 0]);
        let shown = toml(&part);
        assert!(!shown.contains("hush") && !format!("{part:?}").contains("hush"));
        let mut aws = part.aws.unwrap();
        aws.secret_access_key = None;
        let missing =
            "cloud.aws.secret_access_key: is empty; write it in, or name secret_access_key_file";
        let told = vec![missing.to_owned()];
        assert_eq!(
            parsed(&shown),
            (
                CloudPart {
                    aws: Some(aws.clone())
                },
                told
            )
        );
        let shown = toml(&CloudPart {
            aws: Some(aws.clone()),
        });
        assert!(shown.contains(AWS_SECRET), "{shown}");
        assert_eq!(parsed(&shown), (CloudPart { aws: Some(aws) }, vec![]));
    }
}
