//! SQLite as an engine: one file, write-ahead log, every commit on disk.

use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, OpenFlags};

use crate::Result;
use crate::driver::{Driver, Row, Value, engine};

/// Prepared statements kept by each connection.
const MAX_STATEMENTS: usize = 96;

/// Page cache of a connection that reads, in KiB; the operating system caches the file too.
const MAX_CACHE_KIB: u32 = 1024;

/// That of the one that writes: a flood over many tokens and sources dirties pages everywhere.
const MAX_WRITER_CACHE_KIB: u32 = 8192;

/// One connection to a file.
pub(crate) struct Sqlite(Connection);

impl Sqlite {
    /// Opens the file at `path` and makes it if it isn't there, for its owner's eyes alone.
    pub(crate) fn open(path: &Path, read_only: bool) -> Result<Self> {
        let doing = || format!("open {}", path.display());
        if !read_only {
            create_private(path).map_err(|error| engine(doing(), error))?;
        }
        let mut flags = OpenFlags::SQLITE_OPEN_NO_MUTEX;
        flags |= if read_only {
            OpenFlags::SQLITE_OPEN_READ_ONLY
        } else {
            OpenFlags::SQLITE_OPEN_READ_WRITE
        };
        let connection =
            Connection::open_with_flags(path, flags).map_err(|error| engine(doing(), error))?;
        connection.set_prepared_statement_cache_capacity(MAX_STATEMENTS);
        let cache = if read_only {
            MAX_CACHE_KIB
        } else {
            // The writer's statements are few and settled; planning them anew for each value, as the
            // statistics of a closed store would have it, costs more than running them.
            connection
                .set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)
                .map_err(|error| engine(doing(), error))?;
            MAX_WRITER_CACHE_KIB
        };
        let mut pragmas = format!(
            "PRAGMA busy_timeout = 5000; PRAGMA foreign_keys = ON; \
             PRAGMA cache_size = -{cache}; PRAGMA temp_store = MEMORY;"
        );
        if !read_only {
            pragmas.push_str(
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
                 PRAGMA wal_autocheckpoint = 4000; \
                 PRAGMA journal_size_limit = 16777216;",
            );
        }
        connection
            .execute_batch(&pragmas)
            .map_err(|error| engine(doing(), error))?;
        Ok(Self(connection))
    }
}

impl Driver for Sqlite {
    fn execute(&mut self, sql: &str, params: &[Value]) -> Result<usize> {
        self.0
            .prepare_cached(sql)
            .and_then(|mut statement| statement.execute(rusqlite::params_from_iter(params)))
            .map_err(|error| engine(sql, error))
    }

    fn query(&mut self, sql: &str, params: &[Value]) -> Result<Vec<Row>> {
        let run = || -> rusqlite::Result<Vec<Row>> {
            let mut statement = self.0.prepare_cached(sql)?;
            let columns = statement.column_count();
            let mut rows = statement.query(rusqlite::params_from_iter(params))?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                let mut values = Vec::with_capacity(columns);
                for column in 0..columns {
                    values.push(value(row.get_ref(column)?)?);
                }
                found.push(Row::new(values));
            }
            Ok(found)
        };
        run().map_err(|error| engine(sql, error))
    }

    fn batch(&mut self, sql: &str) -> Result<()> {
        self.0
            .execute_batch(sql)
            .map_err(|error| engine(sql, error))
    }

    fn dialect(&self, migration: &str) -> String {
        migration
            .replace("id SERIAL", "id INTEGER PRIMARY KEY AUTOINCREMENT")
            .replace("BYTES", "BLOB")
    }

    fn backup(&mut self, to: &Path) -> Result<()> {
        let doing = || format!("back up to {}", to.display());
        let run = || -> rusqlite::Result<()> {
            let mut copy = Connection::open(to)?;
            rusqlite::backup::Backup::new(&self.0, &mut copy)?.run_to_completion(
                256,
                std::time::Duration::ZERO,
                None,
            )?;
            copy.execute_batch("PRAGMA journal_mode = DELETE;")
        };
        if to.exists() {
            return Err(engine(doing(), "the file exists already"));
        }
        create_private(to).map_err(|error| engine(doing(), error))?;
        run().map_err(|error| engine(doing(), error))
    }

    fn finish(&mut self) {
        // Folding the log back is tidiness; the next start does it too.
        let _ = self
            .0
            .execute_batch("PRAGMA optimize; PRAGMA wal_checkpoint(TRUNCATE);");
    }
}

impl rusqlite::ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Int(value) => ValueRef::Integer(*value),
            Self::Text(value) => ValueRef::Text(value.as_bytes()),
            Self::Bytes(value) => ValueRef::Blob(value),
        }))
    }
}

fn value(value: ValueRef<'_>) -> rusqlite::Result<Value> {
    Ok(match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(value) => Value::Int(value),
        ValueRef::Text(_) => Value::Text(value.as_str()?.to_owned()),
        ValueRef::Blob(value) => Value::Bytes(value.to_vec()),
        ValueRef::Real(value) => Value::Text(value.to_string()),
    })
}

#[cfg(unix)]
fn create_private(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
        .map(drop)
}

#[cfg(not(unix))]
fn create_private(path: &Path) -> std::io::Result<()> {
    std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .map(drop)
}
