//! PostgreSQL: `pg_dump` from an exported snapshot; brought back by `psql` in one transaction.

mod programs;
mod sums;

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read, Write};
use std::process::{Child, Stdio};

use secrecy::{ExposeSecret as _, SecretString};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, PgConnection, Row as _};

use super::file::{Content, Sink};
use super::meta::Meta;
use super::{BackupError, Copied, Rehearsed, Restored, SCRATCH, ended_early};
use crate::drivers::postgres::{PostgresDriver, options_of};
use crate::drivers::{Driver as _, FENCE};
use crate::ids::{Epoch, RunId};
use programs::{Programs, place};

/// What a scratch database that nobody uses any more is older than.
const FORGOTTEN: std::time::Duration = std::time::Duration::from_secs(6 * 3600);
/// How long a restore waits for those who use the tables.
const LOCK_TIMEOUT: &str = "30s";

async fn connect(url: &SecretString) -> Result<PgConnection, BackupError> {
    crate::redact::register_url(url.expose_secret());
    let options =
        options_of(url.expose_secret()).map_err(|e| BackupError::Usage(format!("the database's URL is wrong: {e}")))?;
    options
        .application_name("godwit backup")
        .statement_cache_capacity(0)
        .disable_statement_logging()
        .connect()
        .await
        .map_err(|e| BackupError::Unreachable(format!("cannot connect to PostgreSQL: {}", said(&e))))
}

fn said(error: &sqlx::Error) -> String {
    crate::redact::text(&match error {
        sqlx::Error::Database(e) => e.message().to_owned(),
        other => other.to_string(),
    })
}

fn failed(what: &str) -> impl Fn(sqlx::Error) -> BackupError {
    move |e| BackupError::Failed(format!("{what}: {}", said(&e)))
}

async fn say(connection: &mut PgConnection, sql: &str) -> Result<(), sqlx::Error> {
    connection.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.map(|_| ())
}

async fn texts(connection: &mut PgConnection, sql: &str) -> Result<Vec<Vec<String>>, sqlx::Error> {
    let rows = connection.fetch_all(sqlx::raw_sql(AssertSqlSafe(sql))).await?;
    let text =
        |row: &sqlx::postgres::PgRow, i| row.try_get_unchecked::<Option<String>, _>(i).map(Option::unwrap_or_default);
    rows.iter().map(|row| (0..row.columns().len()).map(|i| text(row, i)).collect()).collect()
}

/// Copies the database into `sink`, as one transaction sees it.
///
/// # Errors
/// When `pg_dump` is missing or older than the server, or fails, or the disk does not take the copy.
pub async fn copy_out(url: &SecretString, mut sink: Sink) -> Result<(Sink, Copied), BackupError> {
    let mut connection = connect(url).await?;
    let version = connection.server_version_num().unwrap_or(0);
    let major = version / 10_000;
    let programs = tokio::task::spawn_blocking(move || Programs::find(major)).await.map_err(ended_early)??;
    let cannot = failed("cannot back up the database");
    say(&mut connection, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await.map_err(&cannot)?;
    let row = texts(&mut connection, "SELECT pg_export_snapshot(), current_database()::text").await.map_err(&cannot)?;
    let (snapshot, database) = match row.first().map(Vec::as_slice) {
        Some([snapshot, database]) => (snapshot.clone(), database.clone()),
        _ => return Err(BackupError::Failed("the server exports no snapshot".to_owned())),
    };
    let contents = sums::read(&mut connection).await.map_err(&cannot)?;
    let large_objects = contents.contains_key(sums::LARGE_OBJECTS);
    let mut command = programs.dump(url)?;
    command.arg(format!("--snapshot={snapshot}")).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let sink = tokio::task::spawn_blocking(move || -> Result<Sink, BackupError> {
        let mut child = programs::start(&mut command)?;
        let talk = listen(&mut child);
        let mut out = child.stdout.take();
        let copied = out.as_mut().map_or(Ok(()), |out| pour(out, &mut sink, large_objects));
        // A writer that nobody reads from ends by itself.
        drop(out);
        if copied.is_err() {
            let _ = child.kill();
        }
        programs::end(child, talk, "pg_dump", copied)?;
        Ok(sink)
    })
    .await
    .map_err(ended_early)??;
    say(&mut connection, "COMMIT").await.map_err(&cannot)?;
    let _ = connection.close().await;
    let copied = Copied {
        engine_version: format!("{}.{}", version / 10_000, version % 10_000),
        database,
        contents,
        consistent: true,
        snapshot: None,
        notes: Vec::new(),
    };
    Ok((sink, copied))
}

/// Collects what a child says on its standard error, so that it never waits for a reader.
fn listen(child: &mut Child) -> std::thread::JoinHandle<String> {
    let stream = child.stderr.take();
    std::thread::spawn(move || {
        let mut text = Vec::new();
        if let Some(stream) = stream {
            // Enough for every message; the rest is read and dropped.
            let mut stream = stream;
            let mut buffer = [0_u8; 4096];
            while let Ok(read) = stream.read(&mut buffer) {
                if read == 0 {
                    break;
                }
                if text.len() < 16_384 {
                    text.extend(&buffer[..read]);
                }
            }
        }
        crate::redact::text(&String::from_utf8_lossy(&text))
    })
}

fn pour(from: &mut impl Read, sink: &mut Sink, large_objects: bool) -> Result<(), BackupError> {
    let cannot = |e: std::io::Error| BackupError::Failed(format!("cannot read from pg_dump: {e}"));
    let mut filter = large_objects.then(OneTransaction::default);
    let mut from = BufReader::with_capacity(1 << 17, from);
    loop {
        let buffer = from.fill_buf().map_err(cannot)?;
        if buffer.is_empty() {
            return Ok(());
        }
        let read = match &mut filter {
            None => {
                sink.write_all(buffer).map_err(|e| sink.cannot(&e))?;
                buffer.len()
            }
            Some(filter) => {
                let mut line = Vec::new();
                from.read_until(b'\n', &mut line).map_err(cannot)?;
                if filter.keeps(&line) {
                    sink.write_all(&line).map_err(|e| sink.cannot(&e))?;
                }
                0
            }
        };
        from.consume(read);
    }
}

/// Leaves out the BEGIN and COMMIT that `pg_dump` puts around large objects: the COMMIT would end our transaction.
#[derive(Debug, Default)]
struct OneTransaction {
    in_rows: bool,
    in_large_objects: bool,
}

impl OneTransaction {
    fn keeps(&mut self, line: &[u8]) -> bool {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        if self.in_rows {
            self.in_rows = line != b"\\.";
            return true;
        }
        self.in_rows = line.starts_with(b"COPY ") && line.ends_with(b" FROM stdin;");
        if line.starts_with(b"-- Data for Name: ") || line.starts_with(b"-- Name: ") {
            self.in_large_objects = line.windows(14).any(|w| w == b"; Type: BLOBS;");
        }
        !(self.in_large_objects && (line == b"BEGIN;" || line == b"COMMIT;"))
    }
}

/// A database of a server that is dropped by [`ScratchDatabase::away`].
struct ScratchDatabase {
    admin: PgConnection,
    name: String,
}

impl ScratchDatabase {
    /// An empty one with the encoding and collation of `model`, the connection's own database.
    async fn make(model: &mut PgConnection, mut admin: PgConnection) -> Result<Self, BackupError> {
        let name = format!("{SCRATCH}{}", RunId::generate().as_str().to_lowercase());
        let cannot = |e: sqlx::Error| {
            BackupError::Failed(format!(
                "cannot make a scratch database to verify the backup in: {}; give the user `CREATEDB`, or name another \
                 server with `--scratch URL`",
                said(&e)
            ))
        };
        sweep(&mut admin).await;
        let of_model = "SELECT pg_encoding_to_char(encoding)::text, datcollate::text, datctype::text FROM pg_database \
                        WHERE datname = current_database()";
        let rows = texts(model, of_model).await.map_err(cannot)?;
        let literal = |text: &str| format!("'{}'", text.replace('\'', "''"));
        let alike = match rows.first().map(Vec::as_slice) {
            Some([encoding, collate, ctype]) => {
                format!(" ENCODING {} LC_COLLATE {} LC_CTYPE {}", literal(encoding), literal(collate), literal(ctype))
            }
            _ => String::new(),
        };
        let make = format!("CREATE DATABASE {name} TEMPLATE template0");
        if say(&mut admin, &format!("{make}{alike}")).await.is_err() {
            // Another server may not know that collation.
            say(&mut admin, &make).await.map_err(cannot)?;
        }
        Ok(Self { admin, name })
    }

    async fn away(mut self) {
        if let Err(error) = say(&mut self.admin, &format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name)).await {
            tracing::warn!(error = said(&error), database = self.name, "a scratch database was left behind");
        }
    }
}

/// Drops scratch databases that killed backups left: nobody is connected, and they are hours old.
async fn sweep(admin: &mut PgConnection) {
    let find = format!(
        "SELECT datname::text FROM pg_database d WHERE datname LIKE '{}%' AND NOT EXISTS \
         (SELECT 1 FROM pg_stat_activity a WHERE a.datid = d.oid)",
        SCRATCH.replace('_', "\\_")
    );
    for name in texts(admin, &find).await.unwrap_or_default().into_iter().flatten() {
        let made = name.strip_prefix(SCRATCH).and_then(|id| id.to_uppercase().parse::<ulid::Ulid>().ok());
        let old = made.and_then(|id| id.datetime().elapsed().ok()).is_some_and(|age| age > FORGOTTEN);
        if old {
            let _ = say(admin, &format!("DROP DATABASE IF EXISTS \"{}\"", name.replace('"', "\"\""))).await;
        }
    }
}

/// Restores into a database made for it on the server of `scratch`, reads it, and drops it.
///
/// # Errors
/// When that database cannot be made; a restore that fails is told as a difference.
pub async fn rehearse(
    url: &SecretString,
    scratch: &SecretString,
    content: Content,
    meta: &Meta,
) -> Result<Rehearsed, BackupError> {
    let mut model = connect(url).await?;
    let database = ScratchDatabase::make(&mut model, connect(scratch).await?).await?;
    let there = programs::with_database(scratch, &database.name)?;
    let result = rehearse_in(&there, content).await;
    let into = format!("a database of its own on {}", place(scratch)?);
    database.away().await;
    let (contents, copied_schema) = result?;
    // Somebody else may have changed the schema since; then the backup is still what it was.
    let mut differences = Vec::new();
    let live = PostgresDriver::connect(url).await?.schema().await?;
    // Who owns and may what is the server's, and a copy goes to another one.
    if live.objects != copied_schema.objects && meta.consistent {
        for (name, definition) in &live.objects {
            if copied_schema.objects.get(name) != Some(definition) {
                differences.push(format!("`{name}` is defined differently"));
            }
        }
        let more = copied_schema.objects.keys().filter(|n| !live.objects.contains_key(*n));
        differences.extend(more.map(|n| format!("`{n}` should not be there")));
    }
    Ok(Rehearsed { into, contents, differences })
}

async fn rehearse_in(
    there: &SecretString,
    content: Content,
) -> Result<(BTreeMap<String, super::meta::Sum>, crate::plan::SchemaSnapshot), BackupError> {
    run_psql(there, "", content, "").await?;
    let mut connection = connect(there).await?;
    let contents = sums::read(&mut connection).await.map_err(failed("cannot read the restored database"))?;
    let schema = PostgresDriver::connect(there).await?.schema().await?;
    let _ = connection.close().await;
    Ok((contents, schema))
}

/// Gives `psql` a script on its standard input, in one transaction that ends with the last words we give: when this
/// process dies before, the end of the stream is no COMMIT.
async fn run_psql(url: &SecretString, before: &str, mut content: Content, after: &str) -> Result<(), BackupError> {
    let (before, after) = (format!("BEGIN;\n{before}\n"), format!("\n{after}\nCOMMIT;\n"));
    let connection = connect(url).await?;
    let major = connection.server_version_num().unwrap_or(0) / 10_000;
    let _ = connection.close().await;
    let url = url.clone();
    tokio::task::spawn_blocking(move || -> Result<(), BackupError> {
        let mut command = Programs::find(major)?.restore(&url)?;
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = programs::start(&mut command)?;
        let talk = listen(&mut child);
        let given = give(child.stdin.take(), before.as_bytes(), &mut content, after.as_bytes());
        if matches!(&given, Err(Given::Unread(_))) {
            // Without its end the script must not be committed.
            let _ = child.kill();
        }
        let given = match given {
            Ok(()) => Ok(()),
            // It says itself why it stopped reading.
            Err(Given::Refused) => Ok(()),
            Err(Given::Unread(e)) => Err(BackupError::Failed(format!("cannot read the backup: {e}"))),
        };
        programs::end(child, talk, "psql", given)
    })
    .await
    .map_err(ended_early)?
}

/// Why a script did not reach its reader.
enum Given {
    /// The backup cannot be read.
    Unread(std::io::Error),
    /// The reader has gone.
    Refused,
}

fn give(to: Option<impl Write>, before: &[u8], content: &mut Content, after: &[u8]) -> Result<(), Given> {
    let Some(mut to) = to else { return Err(Given::Refused) };
    to.write_all(before).map_err(|_| Given::Refused)?;
    let mut buffer = vec![0_u8; 1 << 17];
    loop {
        let read = content.read(&mut buffer).map_err(Given::Unread)?;
        if read == 0 {
            break;
        }
        to.write_all(&buffer[..read]).map_err(|_| Given::Refused)?;
    }
    crate::drivers::failpoint::hit("restore_pre");
    to.write_all(after).and_then(|()| to.flush()).map_err(|_| Given::Refused)
}

/// Empties the database and restores it in one transaction: all of it, or nothing.
///
/// # Errors
/// When it was not done; the database is as it was.
pub async fn bring_back(url: &SecretString, content: Content, floor: Epoch) -> Result<Restored, BackupError> {
    let before = format!("SET lock_timeout = '{LOCK_TIMEOUT}';\nSET client_min_messages = warning;\n{CLEAR}\n");
    let after = format!(
        "\nSET search_path = pg_catalog;\n{}\n",
        RAISE.replace("$FENCE", FENCE).replace("$FLOOR", &floor.0.to_string())
    );
    run_psql(url, &before, content, &after).await.map_err(|error| match error {
        BackupError::Failed(m) => {
            BackupError::Failed(format!("the restore was rolled back, the database is as it was: {m}"))
        }
        other => other,
    })?;
    let mut connection = connect(url).await?;
    // The planner knows nothing of the new tables yet.
    let _ = say(&mut connection, "ANALYZE").await;
    let contents = sums::read(&mut connection).await.map_err(failed("cannot read the restored database"))?;
    Ok(Restored { contents, notes: Vec::new(), history: None })
}

/// Takes everything away in one transaction.
///
/// # Errors
/// When it was not done; the database is as it was.
pub async fn clear(url: &SecretString) -> Result<(), BackupError> {
    let mut connection = connect(url).await?;
    let sql = format!(
        "BEGIN; SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'; SET LOCAL client_min_messages = warning; {CLEAR} COMMIT"
    );
    say(&mut connection, &sql).await.map_err(failed("the database could not be emptied, and is as it was"))
}

/// Takes away everything that is the user's. `public` stays, with the extensions in it: only a superuser could bring some
/// of them back.
const CLEAR: &str = r"DO $godwit$
DECLARE o record;
BEGIN
  FOR o IN SELECT evtname AS name FROM pg_event_trigger e WHERE NOT EXISTS
    (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_event_trigger'::regclass AND d.objid = e.oid AND d.deptype = 'e')
    LOOP EXECUTE format('DROP EVENT TRIGGER %I CASCADE', o.name); END LOOP;
  FOR o IN SELECT pubname AS name FROM pg_publication LOOP EXECUTE format('DROP PUBLICATION %I', o.name); END LOOP;
  FOR o IN SELECT nspname AS name FROM pg_namespace n WHERE nspname !~ '^pg_' AND nspname NOT IN ('information_schema', 'public')
    AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_namespace'::regclass AND d.objid = n.oid AND d.deptype = 'e')
    LOOP EXECUTE format('DROP SCHEMA %I CASCADE', o.name); END LOOP;
  FOR o IN SELECT c.oid, c.relname AS name, CASE relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'S' THEN 'SEQUENCE'
    WHEN 'f' THEN 'FOREIGN TABLE' WHEN 'c' THEN 'TYPE' ELSE 'TABLE' END AS kind
    FROM pg_class c WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'S', 'f', 'c')
    AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
    ORDER BY relkind = 'S'
    LOOP
      IF EXISTS (SELECT 1 FROM pg_class WHERE oid = o.oid) THEN EXECUTE format('DROP %s public.%I CASCADE', o.kind, o.name); END IF;
    END LOOP;
  FOR o IN SELECT p.oid, p.oid::regprocedure::text AS name FROM pg_proc p WHERE pronamespace = 'public'::regnamespace
    AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype IN ('e', 'i'))
    LOOP
      IF EXISTS (SELECT 1 FROM pg_proc WHERE oid = o.oid) THEN EXECUTE 'DROP ROUTINE ' || o.oid::regprocedure::text || ' CASCADE'; END IF;
    END LOOP;
  FOR o IN SELECT t.oid, t.typname AS name FROM pg_type t WHERE typnamespace = 'public'::regnamespace AND typtype IN ('e', 'd', 'r', 'b')
    AND typelem = 0 AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_type'::regclass AND d.objid = t.oid AND d.deptype IN ('e', 'i'))
    LOOP
      IF EXISTS (SELECT 1 FROM pg_type WHERE oid = o.oid) THEN EXECUTE format('DROP TYPE public.%I CASCADE', o.name); END IF;
    END LOOP;
  FOR o IN SELECT 'COLLATION' AS kind, collname AS name FROM pg_collation x WHERE collnamespace = 'public'::regnamespace
    AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = x.oid AND d.deptype = 'e')
    UNION ALL SELECT 'TEXT SEARCH CONFIGURATION', cfgname FROM pg_ts_config x WHERE cfgnamespace = 'public'::regnamespace
    AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = x.oid AND d.deptype = 'e')
    UNION ALL SELECT 'TEXT SEARCH DICTIONARY', dictname FROM pg_ts_dict x WHERE dictnamespace = 'public'::regnamespace
    AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = x.oid AND d.deptype = 'e')
    LOOP EXECUTE format('DROP %s IF EXISTS public.%I CASCADE', o.kind, o.name); END LOOP;
  FOR o IN SELECT srvname AS name FROM pg_foreign_server x WHERE NOT EXISTS
    (SELECT 1 FROM pg_depend d WHERE d.objid = x.oid AND d.deptype = 'e')
    LOOP EXECUTE format('DROP SERVER %I CASCADE', o.name); END LOOP;
  PERFORM lo_unlink(oid) FROM pg_largeobject_metadata;
END
$godwit$;";

/// Keeps the fencing token above every earlier runner's.
const RAISE: &str = r"DO $godwit$
DECLARE o record;
BEGIN
  FOR o IN SELECT c.oid::regclass::text AS name FROM pg_class c WHERE relname = '$FENCE' AND relkind = 'r'
    LOOP EXECUTE format('UPDATE %s SET epoch = greatest(epoch, $FLOOR)', o.name); END LOOP;
END
$godwit$;";
