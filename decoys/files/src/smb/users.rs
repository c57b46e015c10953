//! Setting `users`: accounts that can log in.

use coalmine_core::settings::SettingValue;
use serde_json::{Value, json};

/// Most accounts.
const MAX_USERS: usize = 100;
/// Longest name or password, in characters.
const MAX_TEXT: usize = 128;

/// The accounts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Users(pub Vec<User>);

/// One account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Its name; case doesn't matter.
    pub name: String,
    /// Its password.
    pub password: String,
}

impl Users {
    /// Checks number and lengths, and that no name is there twice.
    pub fn check(&self) -> Result<(), String> {
        if self.0.len() > MAX_USERS {
            return Err(format!("holds more than {MAX_USERS} accounts"));
        }
        let mut names = std::collections::BTreeSet::new();
        for User { name, password } in &self.0 {
            let long = |text: &str| text.chars().count() > MAX_TEXT;
            if name.is_empty() || long(name) || long(password) {
                return Err(format!(
                    "{name:?}: a name has 1 to {MAX_TEXT} characters, a password at most as many"
                ));
            }
            if !names.insert(name.to_lowercase()) {
                return Err(format!("{name:?} is there twice"));
            }
        }
        Ok(())
    }
}

impl SettingValue for Users {
    fn takes() -> String {
        "a list of {name, password}".to_owned()
    }

    fn schema() -> Value {
        json!({
            "type": "array",
            "items": {
                "type": "object",
                "required": ["name", "password"],
                "properties": {"name": {"type": "string"}, "password": {"type": "string"}},
                "additionalProperties": false,
            },
        })
    }

    fn from_json(value: &Value) -> Option<Self> {
        let user = |value: &Value| {
            let user = value.as_object()?;
            if user.len() != 2 {
                return None;
            }
            Some(User {
                name: user.get("name")?.as_str()?.to_owned(),
                password: user.get("password")?.as_str()?.to_owned(),
            })
        };
        value
            .as_array()?
            .iter()
            .map(user)
            .collect::<Option<_>>()
            .map(Self)
    }

    fn to_json(&self) -> Value {
        self.0
            .iter()
            .map(|user| json!({"name": user.name, "password": user.password}))
            .collect()
    }
}
