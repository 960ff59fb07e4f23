//! Connections to the one database file: one that writes, and as many that read as are in use.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior};

use super::StoreError;
use super::schema::Schema;

/// How long a writer waits for another process. A batch of a bulk registration takes well under a
/// second; this leaves room for several processes on a slow disk.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);
/// Reading connections kept open for the next reader.
const MAX_IDLE_READERS: usize = 8;
/// The write-ahead log is cut back to this size once a large batch is in the database.
const WAL_LIMIT_BYTES: i64 = 64 << 20;

/// The connections of one process to one database.
pub(super) struct Connections {
    path: PathBuf,
    writer: Mutex<Connection>,
    /// `None`: the database is in memory, and only the writer sees it.
    readers: Option<Mutex<Vec<Connection>>>,
}

impl Connections {
    pub(super) fn open(path: PathBuf, schema: &Schema) -> Result<Self, StoreError> {
        let writer = open_writer(&path, schema).map_err(|error| placed(error, &path))?;
        Ok(Self {
            path,
            writer: Mutex::new(writer),
            readers: Some(Mutex::default()),
        })
    }

    pub(super) fn open_in_memory(schema: &Schema) -> Result<Self, StoreError> {
        let path = PathBuf::from(":memory:");
        let mut writer = Connection::open_in_memory()?;
        prepare(&writer)?;
        schema.migrate(&mut writer, &path)?;
        Ok(Self {
            path,
            writer: Mutex::new(writer),
            readers: None,
        })
    }

    /// Runs `work` in a write transaction; it is on disk when this returns `Ok`, and undone when
    /// `work` fails or panics.
    pub(super) fn write<T>(
        &self,
        work: impl FnOnce(&Writing<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut writer = lock(&self.writer);
        let run = || {
            let tx = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let writing = Writing {
                tx,
                revision: std::cell::OnceCell::new(),
            };
            let done = work(&writing)?;
            writing.tx.commit()?;
            Ok(done)
        };
        run().map_err(|error| placed(error, &self.path))
    }

    /// Runs `work` on one unchanging state of the database.
    pub(super) fn read<T>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.read_with(|conn| {
            let tx = conn.transaction()?;
            let done = work(&tx)?;
            tx.commit()?;
            Ok(done)
        })
    }

    /// Runs `work`, which is a single statement, without a transaction around it.
    pub(super) fn read_one<T>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.read_with(|conn| work(conn))
    }

    fn read_with<T>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let Some(readers) = &self.readers else {
            return work(&mut lock(&self.writer)).map_err(|error| placed(error, &self.path));
        };
        let idle = lock(readers).pop();
        let run = || {
            let mut conn = match idle {
                Some(conn) => conn,
                None => open_reader(&self.path)?,
            };
            let done = work(&mut conn)?;
            let mut readers = lock(readers);
            if readers.len() < MAX_IDLE_READERS {
                readers.push(conn);
            }
            Ok(done)
        };
        run().map_err(|error| placed(error, &self.path))
    }

    /// Writes the database as it is at one moment to a new file, while others read and write; the file
    /// is on disk when this returns.
    pub(super) fn back_up(&self, to: &Path) -> Result<(), StoreError> {
        let run = || {
            let conn = Connection::open(&self.path)?;
            prepare(&conn)?;
            // The source may hold bytes that are no UTF-8 in its path; SQLite's paths may not.
            conn.execute("VACUUM INTO ?1", [to.to_string_lossy()])?;
            Ok(())
        };
        run().map_err(|error| placed(error, to))?;
        let synced = File::open(to).and_then(|file| file.sync_all());
        synced.map_err(|source| StoreError::Folder {
            path: to.to_owned(),
            source,
        })
    }

    /// The database file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    #[cfg(test)]
    pub(super) fn writer(&self) -> MutexGuard<'_, Connection> {
        lock(&self.writer)
    }
}

/// A write transaction, and the revision that its changes carry.
pub(super) struct Writing<'c> {
    tx: Transaction<'c>,
    revision: std::cell::OnceCell<i64>,
}

impl Writing<'_> {
    pub(super) fn conn(&self) -> &Connection {
        &self.tx
    }

    /// The revision of this transaction; the registry's moves on at the first call, so that a
    /// transaction that finds nothing to change leaves it alone.
    pub(super) fn revision(&self) -> Result<i64, StoreError> {
        if let Some(revision) = self.revision.get() {
            return Ok(*revision);
        }
        let revision = self.tx.query_row(
            "UPDATE state SET revision = revision + 1 RETURNING revision",
            [],
            |row| row.get(0),
        )?;
        Ok(*self.revision.get_or_init(|| revision))
    }
}

fn placed(error: StoreError, path: &Path) -> StoreError {
    error.placed(path, BUSY_TIMEOUT.as_millis() as u64)
}

/// A panic elsewhere cannot leave a connection half-way: its transaction was undone on the way out.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn open_writer(path: &Path, schema: &Schema) -> Result<Connection, StoreError> {
    let mut conn = Connection::open(path)?;
    prepare(&conn)?;
    // Before the log is switched on: a file that is not ours must stay as it is.
    schema.check(&conn, path)?;
    use_write_ahead_log(&conn)?;
    conn.pragma_update(None, "journal_size_limit", WAL_LIMIT_BYTES)?;
    schema.migrate(&mut conn, path)?;
    Ok(conn)
}

/// Opened for writing all the same: a read-only connection cannot make the shared memory file
/// that a write-ahead log needs.
fn open_reader(path: &Path) -> Result<Connection, StoreError> {
    let conn = Connection::open(path)?;
    prepare(&conn)?;
    conn.pragma_update(None, "query_only", true)?;
    Ok(conn)
}

fn prepare(conn: &Connection) -> Result<(), StoreError> {
    conn.busy_timeout(BUSY_TIMEOUT)?;
    conn.set_prepared_statement_cache_capacity(64);
    conn.pragma_update(None, "synchronous", "FULL")?;
    conn.pragma_update(None, "foreign_keys", true)?;
    Ok(())
}

/// SQLite does not wait for the lock when it changes the journal mode, so two processes that open a
/// new home at once would meet "database is locked" here.
fn use_write_ahead_log(conn: &Connection) -> Result<(), StoreError> {
    let started = Instant::now();
    loop {
        let changed = conn.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()));
        match changed {
            Err(error)
                if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
                    && started.elapsed() < BUSY_TIMEOUT =>
            {
                thread::sleep(Duration::from_millis(5));
            }
            other => return Ok(other?),
        }
    }
}
