//! The store's threads: one that writes, a few that read.
//!
//! *Invariant:* a write is answered only after the commit that holds it. All writes waiting when a
//! transaction starts share its commit; each but the first runs in a savepoint of its own, so that one
//! that fails takes nothing with it. A first one that fails ends its transaction.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{mpsc, oneshot, watch};

use crate::caches::Caches;
use crate::driver::{Driver, engine, values};
use crate::incidents::{Memory, Upkeep};
use crate::sqlite::Sqlite;
use crate::{Result, StoreError};

/// Threads that read.
const READERS: usize = 2;

/// Jobs that may wait before callers wait too.
const MAX_WAITING: usize = 1024;

/// Jobs that share one commit at most.
const MAX_GROUP: usize = 256;

/// Migrations in order; the first makes version 1.
const MIGRATIONS: &[&str] = &[
    include_str!("../migrations/0001_foundation.sql"),
    include_str!("../migrations/0002_contacts.sql"),
    include_str!("../migrations/0003_token_files.sql"),
    include_str!("../migrations/0004_breadcrumbs.sql"),
    include_str!("../migrations/0005_fewer_indexes.sql"),
];

/// A handle to the store; clones share it.
#[derive(Clone)]
pub struct Store(Arc<Shared>);

struct Shared {
    queues: Mutex<Option<Queues>>,
    threads: Mutex<Vec<oneshot::Receiver<()>>>,
    pub(crate) caches: Caches,
    /// Moves whenever a token is made, changed or deleted.
    tokens: watch::Sender<()>,
}

#[derive(Clone)]
struct Queues {
    writes: mpsc::Sender<WriteJob>,
    reads: mpsc::Sender<ReadJob>,
}

/// What a write job works on.
pub(crate) struct Writer {
    pub(crate) db: Box<dyn Driver>,
    /// Newest incidents, so that a flood costs no look-ups.
    pub(crate) memory: Memory,
    /// When touched ports were last cleared away.
    pub(crate) upkeep: Upkeep,
}

type WriteJob = Box<dyn FnOnce(Result<&mut Writer>, Undo) -> Ran + Send>;
type Answer = Box<dyn FnOnce(Result<()>)>;
/// How a job that fails is undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Undo {
    /// With the transaction: it's the first one, there is nothing else in it.
    All,
    /// By itself.
    Savepoint,
}

/// A job that has run.
struct Ran {
    succeeded: bool,
    /// Takes what became of the commit.
    answer: Answer,
}

type ReadJob = Box<dyn FnOnce(&mut dyn Driver) + Send>;

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Store")
    }
}

impl Store {
    /// Opens the store at `url` (`sqlite:PATH`), makes it if it isn't there, and brings it to this
    /// program's version. Short blocking work at start.
    ///
    /// # Errors
    /// [`StoreError::Url`], [`StoreError::Newer`], or the engine's.
    pub fn open(url: &str) -> Result<Self> {
        let path = url
            .strip_prefix("sqlite:")
            .filter(|path| !path.is_empty())
            .map(PathBuf::from)
            .ok_or_else(|| StoreError::Url(url.to_owned()))?;
        let mut db = Sqlite::open(&path, false)?;
        migrate(&mut db, MIGRATIONS)?;
        let (writes, write_jobs) = mpsc::channel(MAX_WAITING);
        let (reads, read_jobs) = mpsc::channel(MAX_WAITING);
        let mut threads = Vec::new();
        let writer = Writer {
            db: Box::new(db),
            memory: Memory::default(),
            upkeep: Upkeep::default(),
        };
        let read_jobs = Arc::new(Mutex::new(read_jobs));
        for _ in 0..READERS {
            let reader = Sqlite::open(&path, true)?;
            let jobs = read_jobs.clone();
            threads.push(spawn("store-reader", move || run_reader(reader, &jobs))?);
        }
        // The writer's end is awaited last: it folds the log back once the readers are gone.
        threads.push(spawn("store-writer", move || {
            run_writer(writer, write_jobs);
        })?);
        Ok(Self(Arc::new(Shared {
            queues: Mutex::new(Some(Queues { writes, reads })),
            threads: Mutex::new(threads),
            caches: Caches::default(),
            tokens: watch::Sender::new(()),
        })))
    }

    /// Finishes what is queued, closes the files. Everything after gets [`StoreError::Closed`].
    pub async fn close(&self) {
        drop(lock(&self.0.queues).take());
        let threads = std::mem::take(&mut *lock(&self.0.threads));
        for ended in threads {
            // An error means that the thread has ended without saying so.
            let _ = ended.await;
        }
    }

    /// Copies everything committed to a fresh file at `path` while the store goes on working.
    ///
    /// # Errors
    /// When the file exists or can't be written.
    pub async fn backup(&self, path: &Path) -> Result<()> {
        let path = path.to_owned();
        self.read(move |db| db.backup(&path)).await
    }

    pub(crate) fn caches(&self) -> &Caches {
        &self.0.caches
    }

    pub(crate) fn token_changes(&self) -> &watch::Sender<()> {
        &self.0.tokens
    }

    /// Runs `job` on the writer's thread; answered once its commit is on disk.
    pub(crate) async fn write<T, F>(&self, job: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Writer) -> Result<T> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let job: WriteJob = Box::new(move |writer, undo| {
            let outcome = writer.and_then(|writer| match undo {
                Undo::All => job(writer),
                Undo::Savepoint => in_savepoint(writer, job),
            });
            Ran {
                succeeded: outcome.is_ok(),
                answer: Box::new(move |committed| {
                    // Whoever asked may have gone.
                    let _ = answer.send(committed.and(outcome));
                }),
            }
        });
        let queue = lock(&self.0.queues)
            .as_ref()
            .map(|queues| queues.writes.clone())
            .ok_or(StoreError::Closed)?;
        queue.send(job).await.map_err(|_| StoreError::Closed)?;
        drop(queue);
        answered.await.map_err(|_| StoreError::Closed)?
    }

    /// Runs `job` on a reader's thread, in one snapshot.
    pub(crate) async fn read<T, F>(&self, job: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut dyn Driver) -> Result<T> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let job: ReadJob = Box::new(move |db| {
            let _ = answer.send(job(db));
        });
        let queue = lock(&self.0.queues)
            .as_ref()
            .map(|queues| queues.reads.clone())
            .ok_or(StoreError::Closed)?;
        queue.send(job).await.map_err(|_| StoreError::Closed)?;
        drop(queue);
        answered.await.map_err(|_| StoreError::Closed)?
    }
}

/// Runs `job` so that its failure undoes its own changes and no other's.
fn in_savepoint<T>(writer: &mut Writer, job: impl FnOnce(&mut Writer) -> Result<T>) -> Result<T> {
    writer.db.batch("SAVEPOINT job")?;
    let outcome = job(writer);
    let end = if outcome.is_ok() {
        "RELEASE job"
    } else {
        writer.memory.forget();
        "ROLLBACK TO job; RELEASE job"
    };
    writer.db.batch(end)?;
    outcome
}

fn run_writer(mut writer: Writer, mut jobs: mpsc::Receiver<WriteJob>) {
    while let Some(first) = jobs.blocking_recv() {
        if let Err(error) = writer.db.batch("BEGIN IMMEDIATE") {
            let refused = first(Err(error.clone()), Undo::All);
            (refused.answer)(Err(error));
            continue;
        }
        // Most of the time it's the only one: a savepoint would keep a copy of each page it changes.
        let ran = first(Ok(&mut writer), Undo::All);
        if !ran.succeeded {
            roll_back(&mut writer);
            (ran.answer)(Ok(()));
            continue;
        }
        let mut answers = vec![ran.answer];
        while answers.len() < MAX_GROUP {
            match jobs.try_recv() {
                Ok(job) => answers.push(job(Ok(&mut writer), Undo::Savepoint).answer),
                Err(_) => break,
            }
        }
        let committed = writer.db.batch("COMMIT");
        if committed.is_err() {
            roll_back(&mut writer);
        }
        for answer in answers {
            answer(committed.clone());
        }
    }
    writer.db.finish();
}

/// Nothing of this transaction has happened.
fn roll_back(writer: &mut Writer) {
    writer.memory.forget();
    // The engine may have rolled back by itself.
    let _ = writer.db.batch("ROLLBACK");
}

fn run_reader(mut db: Sqlite, jobs: &Mutex<mpsc::Receiver<ReadJob>>) {
    loop {
        // Taking the lock's value apart from running lets the other readers wait meanwhile.
        let job = lock(jobs).blocking_recv();
        match job {
            Some(job) => job(&mut db),
            None => return,
        }
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<oneshot::Receiver<()>> {
    let (ended, end) = oneshot::channel();
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            work();
            let _ = ended.send(());
        })
        .map_err(|error| engine("start a thread", error))?;
    Ok(end)
}

/// Brings the store to the version after `migrations`, each step in a transaction of its own.
pub(crate) fn migrate(db: &mut dyn Driver, migrations: &[&str]) -> Result<()> {
    db.batch("CREATE TABLE IF NOT EXISTS schema_version (version BIGINT NOT NULL)")?;
    let found = db
        .query("SELECT COALESCE(MAX(version), 0) FROM schema_version", &[])?
        .pop()
        .map_or(Ok(0), |mut row| row.code())?;
    let known = u32::try_from(migrations.len()).unwrap_or(u32::MAX);
    if found > known {
        return Err(StoreError::Newer { found, known });
    }
    for (version, migration) in (1_u32..).zip(migrations).skip(found as usize) {
        db.batch("BEGIN IMMEDIATE")?;
        let script = db.dialect(migration);
        let step = db.batch(&script).and_then(|()| {
            db.execute(
                "INSERT INTO schema_version (version) VALUES (?)",
                &values![version],
            )
        });
        match step {
            Ok(_) => db.batch("COMMIT")?,
            Err(error) => {
                db.batch("ROLLBACK")?;
                return Err(error);
            }
        }
    }
    Ok(())
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
