//! What tokens of AWS have in common: access keys, where their requests go, and the refusals of
//! its protocols. Pure: an answer comes from the token and the request alone.

pub mod call;
pub mod sigv4;
pub mod trail;

use coalmine_core::Seed;
use coalmine_core::settings::Fault;
use coalmine_core::token::{Alias, CONNECTED, INTEGRATION, Mint, Token, TokenChannel};
use data_encoding::{BASE32, BASE64};
use serde_json::{Map, Value};

/// Names of users that programs have.
pub const USERS: &[&str] = &[
    "backup-sync",
    "ci-deploy",
    "log-shipper",
    "report-export",
    "svc-billing",
    "svc-inventory",
    "svc-media",
    "terraform",
];
/// Where the key's owner seems to work.
const REGIONS: &[&str] = &[
    "us-east-1",
    "us-east-2",
    "us-west-2",
    "eu-west-1",
    "eu-central-1",
];

/// An access key and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// `AKIA` and 16 characters, which hold the account's number as AWS's own do.
    pub id: String,
    /// 40 characters.
    pub secret: String,
    /// Twelve digits.
    pub account: String,
    /// The user's name.
    pub user: String,
    /// The user's own id.
    pub user_id: String,
    /// The user's usual region.
    pub region: String,
    /// URL that requests go to, without a final slash.
    pub endpoint: String,
}

impl Key {
    /// The token's own key, used at the token's own endpoint; the real one, where an account gave it.
    pub fn mint(mint: &Mint<'_>) -> Self {
        if let Some(fields) = mint.cloud {
            return Self::read(fields);
        }
        let seed = mint.seed.derive("aws key");
        let account = seed.number("account", 100_000_000_000, 1_000_000_000_000);
        let pick = |label: &str, list: &[&str]| {
            let most = u64::try_from(list.len()).unwrap_or(1);
            let at = usize::try_from(seed.number(label, 0, most)).unwrap_or(0);
            (*list.get(at).unwrap_or(&"deploy")).to_owned()
        };
        let base = root(&mint.url(""));
        Self {
            id: format!("AKIA{}", holding(account, seed.take("id"))),
            secret: BASE64.encode(&seed.take::<30>("secret")),
            account: account.to_string(),
            user: pick("user", USERS),
            user_id: format!("AIDA{}", holding(account, seed.take("user id"))),
            region: pick("region", REGIONS),
            endpoint: format!("{base}/{}", mint.id),
        }
    }

    /// The key of a token as it was minted.
    pub fn of(token: &Token) -> Self {
        Self::read(&token.fields)
    }

    fn read(fields: &Map<String, Value>) -> Self {
        let text = |name: &str| {
            let text = fields.get(name).and_then(Value::as_str);
            text.unwrap_or_default().to_owned()
        };
        Self {
            id: text("access_key_id"),
            secret: text("secret_access_key"),
            account: text("account_id"),
            user: text("username"),
            user_id: text("user_id"),
            region: text("region"),
            endpoint: text("endpoint_url"),
        }
    }

    /// As fields of the token.
    pub fn fields(&self) -> Map<String, Value> {
        let integration = if self.is_connected() {
            CONNECTED
        } else {
            "local"
        };
        [
            ("access_key_id", &self.id),
            ("secret_access_key", &self.secret),
            ("account_id", &self.account),
            ("username", &self.user),
            ("user_id", &self.user_id),
            ("region", &self.region),
            ("endpoint_url", &self.endpoint),
        ]
        .into_iter()
        .map(|(name, text)| (name.to_owned(), Value::from(text.as_str())))
        .filter(|(name, _)| name != "endpoint_url" || !self.is_connected())
        .chain([(INTEGRATION.to_owned(), integration.into())])
        .collect()
    }

    /// Whether it is a real key, which needs no endpoint of ours.
    pub fn is_connected(&self) -> bool {
        self.endpoint.is_empty()
    }

    fn endpoint_line(&self) -> String {
        match self.is_connected() {
            true => String::new(),
            false => format!("endpoint_url = {}\n", self.endpoint),
        }
    }

    /// The user's name in full.
    pub fn arn(&self) -> String {
        format!("arn:aws:iam::{}:user/{}", self.account, self.user)
    }

    /// How the channel finds the token: by the key's id.
    pub fn alias(&self) -> Alias {
        Alias {
            channel: TokenChannel::Http,
            key: self.id.clone(),
        }
    }

    /// The file `~/.aws/credentials`, which alone is enough for current programs.
    pub fn credentials(&self) -> String {
        format!(
            "[default]\naws_access_key_id = {}\naws_secret_access_key = {}\nregion = {}\n{}",
            self.id,
            self.secret,
            self.region,
            self.endpoint_line()
        )
    }

    /// The file `~/.aws/config`.
    pub fn config(&self) -> String {
        format!(
            "[default]\nregion = {}\noutput = json\n{}",
            self.region,
            self.endpoint_line()
        )
    }

    /// Randomness that is the token's own, for what its answers make up.
    pub fn seed(&self) -> Seed {
        Seed::new(
            sha2::Digest::finalize(sha2::Digest::chain_update(
                <sha2::Sha256 as sha2::Digest>::new(),
                &self.secret,
            ))
            .into(),
        )
    }
}

/// Sixteen characters that hold an account's number: bits 7 to 46 of the first six bytes, of which
/// the first bit is set, as in keys that AWS gives out today.
fn holding(account: u64, mut bytes: [u8; 10]) -> String {
    let low = u64::from(bytes[5] & 0x7f);
    let z = (1 << 47) | (account << 7) | low;
    let [_, _, head @ ..] = z.to_be_bytes();
    bytes[..6].copy_from_slice(&head);
    BASE32.encode(&bytes)
}

/// `http://host:port` of a URL.
fn root(url: &str) -> String {
    url.splitn(4, '/').take(3).collect::<Vec<_>>().join("/")
}

/// Seconds of `30d`, `2w`, `6mo`, `1y` or `12h`.
///
/// # Errors
/// Where it's none of these.
pub fn expiry(text: &str) -> Result<u64, Vec<Fault>> {
    const HOUR: u64 = 3600;
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (count, unit) = text.split_at(digits);
    let unit = match unit.trim() {
        "h" => HOUR,
        "d" => 24 * HOUR,
        "w" => 7 * 24 * HOUR,
        "mo" => 30 * 24 * HOUR,
        "y" => 365 * 24 * HOUR,
        _ => 0,
    };
    match count.parse::<u32>() {
        Ok(count @ 1..=100_000) if unit > 0 => Ok(u64::from(count).saturating_mul(unit)),
        _ => Err(vec![Fault::new(
            "expiry",
            "takes a number and one of h, d, w, mo and y, e.g. 30d",
        )]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_account_comes_out_of_the_key_as_tools_decode_it() {
        for account in [100_000_000_000, 581_039_954_779, 999_999_999_999] {
            let id = holding(account, [0xff; 10]);
            let bytes = BASE32.decode(id.as_bytes()).unwrap();
            let z = bytes[..6]
                .iter()
                .fold(0_u64, |z, b| (z << 8) | u64::from(*b));
            assert_eq!((z & 0x7fff_ffff_ff80) >> 7, account);
            assert_eq!(id.len(), 16);
            assert!(
                id.starts_with(|c: char| c >= 'Q' || c.is_ascii_digit()),
                "{id}"
            );
        }
    }

    #[test]
    fn times_are_read() {
        for (text, seconds) in [
            ("12h", 43_200),
            ("30d", 2_592_000),
            ("2w", 1_209_600),
            ("1y", 31_536_000),
            ("1mo", 2_592_000),
        ] {
            assert_eq!(expiry(text), Ok(seconds), "{text}");
        }
        for text in [
            "",
            "d",
            "0d",
            "30",
            "30m",
            "-1d",
            "100001y",
            "99999999999y",
            "é",
        ] {
            assert_eq!(expiry(text).unwrap_err()[0].key, "expiry", "{text}");
        }
    }
}
