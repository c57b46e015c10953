//! Users of the page and their sessions.

use coalmine_core::Timestamp;
use sha2::{Digest, Sha256};

use crate::driver::{Row, values};
use crate::flocks::some;
use crate::{Refusal, Result, Store};

/// One user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// E-mail address or name; the id, in lower case.
    pub email: String,
    /// For people.
    pub name: String,
    /// Argon2 hash in PHC form; made and checked by the caller.
    pub password_hash: String,
    /// Whether everything is allowed.
    pub admin: bool,
    /// Whether logging in is refused.
    pub disabled: bool,
    /// When it was made.
    pub created: Timestamp,
    /// Newest log-in.
    pub last_login: Option<Timestamp>,
}

/// Somebody who has logged in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Who.
    pub user: User,
    /// Must come back with every form.
    pub csrf: String,
    /// When it began.
    pub created: Timestamp,
    /// When it ends.
    pub expires: Timestamp,
}

/// Users, as the store remembers them.
#[derive(Clone, Debug)]
pub struct Users(pub(crate) Store);

const COLUMNS: &str = "users.email, users.name, users.password_hash, users.admin, \
    users.disabled, users.created, users.last_login";

impl Users {
    /// Remembers a user.
    ///
    /// # Errors
    /// [`Refusal::Taken`].
    pub async fn create(&self, user: User) -> Result<()> {
        let params = values![
            user.email.to_lowercase(),
            user.name,
            user.password_hash,
            user.admin,
            user.disabled,
            user.created,
            user.last_login,
        ];
        self.0
            .write(move |writer| {
                let made = writer.db.execute(
                    "INSERT INTO users (email, name, password_hash, admin, disabled, created, \
                     last_login) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (email) DO NOTHING",
                    &params,
                )?;
                some(made, Refusal::Taken)
            })
            .await
    }

    /// One user.
    ///
    /// # Errors
    /// The engine's.
    pub async fn get(&self, email: &str) -> Result<Option<User>> {
        let params = values![email.to_lowercase()];
        self.0
            .read(move |db| {
                let sql = format!("SELECT {COLUMNS} FROM users WHERE email = ?");
                let mut rows = db.query(&sql, &params)?;
                rows.pop().map(|mut row| user(&mut row)).transpose()
            })
            .await
    }

    /// All users.
    ///
    /// # Errors
    /// The engine's.
    pub async fn list(&self) -> Result<Vec<User>> {
        self.0
            .read(|db| {
                let sql = format!("SELECT {COLUMNS} FROM users ORDER BY email");
                let rows = db.query(&sql, &[])?;
                rows.into_iter().map(|mut row| user(&mut row)).collect()
            })
            .await
    }

    /// Gives a user another password; ends all their sessions.
    ///
    /// # Errors
    /// [`Refusal::Missing`].
    pub async fn set_password(&self, email: &str, password_hash: &str) -> Result<()> {
        let email = email.to_lowercase();
        let password_hash = password_hash.to_owned();
        self.0
            .write(move |writer| {
                let changed = writer.db.execute(
                    "UPDATE users SET password_hash = ? WHERE email = ?",
                    &values![password_hash, &email],
                )?;
                some(changed, Refusal::Missing)?;
                writer
                    .db
                    .execute("DELETE FROM sessions WHERE email = ?", &values![email])?;
                Ok(())
            })
            .await
    }

    /// Refuses (or allows) a user's log-ins; refusing ends their sessions.
    ///
    /// # Errors
    /// [`Refusal::Missing`].
    pub async fn set_disabled(&self, email: &str, disabled: bool) -> Result<()> {
        let email = email.to_lowercase();
        self.0
            .write(move |writer| {
                let changed = writer.db.execute(
                    "UPDATE users SET disabled = ? WHERE email = ?",
                    &values![disabled, &email],
                )?;
                some(changed, Refusal::Missing)?;
                if disabled {
                    writer
                        .db
                        .execute("DELETE FROM sessions WHERE email = ?", &values![email])?;
                }
                Ok(())
            })
            .await
    }

    /// Forgets a user and their sessions.
    ///
    /// # Errors
    /// [`Refusal::Missing`].
    pub async fn delete(&self, email: &str) -> Result<()> {
        let params = values![email.to_lowercase()];
        self.0
            .write(move |writer| {
                let gone = writer
                    .db
                    .execute("DELETE FROM users WHERE email = ?", &params)?;
                some(gone, Refusal::Missing)
            })
            .await
    }

    /// Begins a session of this secret (random, made by the caller; only its hash is kept) and
    /// notes the log-in.
    ///
    /// # Errors
    /// [`Refusal::Missing`] if there's no such user.
    pub async fn begin_session(
        &self,
        email: &str,
        secret: &str,
        csrf: &str,
        now: Timestamp,
        expires: Timestamp,
    ) -> Result<()> {
        let email = email.to_lowercase();
        let (hash, csrf) = (hash(secret), csrf.to_owned());
        self.0
            .write(move |writer| {
                let there = writer.db.execute(
                    "UPDATE users SET last_login = ? WHERE email = ?",
                    &values![now, &email],
                )?;
                some(there, Refusal::Missing)?;
                writer.db.execute(
                    "INSERT INTO sessions (token_hash, email, csrf, created, expires) \
                     VALUES (?, ?, ?, ?, ?)",
                    &values![&*hash, email, csrf, now, expires],
                )?;
                Ok(())
            })
            .await
    }

    /// The session of this secret, if it's running and its user isn't disabled.
    ///
    /// # Errors
    /// The engine's.
    pub async fn session(&self, secret: &str, now: Timestamp) -> Result<Option<Session>> {
        let params = values![&*hash(secret), now];
        self.0
            .read(move |db| {
                let sql = format!(
                    "SELECT {COLUMNS}, csrf, sessions.created, expires FROM sessions \
                     JOIN users ON users.email = sessions.email \
                     WHERE token_hash = ? AND expires > ? AND disabled = 0"
                );
                let Some(mut row) = db.query(&sql, &params)?.pop() else {
                    return Ok(None);
                };
                Ok(Some(Session {
                    user: user(&mut row)?,
                    csrf: row.text()?,
                    created: row.time()?,
                    expires: row.time()?,
                }))
            })
            .await
    }

    /// Ends the session of this secret.
    ///
    /// # Errors
    /// The engine's.
    pub async fn end_session(&self, secret: &str) -> Result<()> {
        let params = values![&*hash(secret)];
        self.0
            .write(move |writer| {
                writer
                    .db
                    .execute("DELETE FROM sessions WHERE token_hash = ?", &params)?;
                Ok(())
            })
            .await
    }

    /// Forgets sessions that are over; how many.
    ///
    /// # Errors
    /// The engine's.
    pub async fn purge_sessions(&self, now: Timestamp) -> Result<usize> {
        self.0
            .write(move |writer| {
                writer
                    .db
                    .execute("DELETE FROM sessions WHERE expires <= ?", &values![now])
            })
            .await
    }
}

fn hash(secret: &str) -> Vec<u8> {
    Sha256::digest(secret.as_bytes()).to_vec()
}

fn user(row: &mut Row) -> Result<User> {
    Ok(User {
        email: row.text()?,
        name: row.text()?,
        password_hash: row.text()?,
        admin: row.flag()?,
        disabled: row.flag()?,
        created: row.time()?,
        last_login: row.opt_time()?,
    })
}
