//! MongoDB: the documents of one snapshot as BSON, with what makes the collections anew. A file is a row of frames, each a
//! letter and one BSON document: `H` begins the file, `C` a collection, `D` is one of its documents, `V` a view, `E` ends
//! the file; without it nothing is restored.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};

use mongodb::bson::{Bson, Document, RawDocument, RawDocumentBuf, doc};
use mongodb::options::SessionOptions;
use mongodb::{ClientSession, Database};
use secrecy::SecretString;

use super::file::{Content, Sink};
use super::meta::{Meta, SetDigest, Sum, differences};
use super::{BackupError, Copied, Rehearsed, Restored, SCRATCH};
use crate::drivers::mongodb::MongodbDriver;
use crate::drivers::{FENCE, HISTORY, failpoint};
use crate::ids::RunId;

/// What collections that are built aside begin with.
const ASIDE: &str = "godwit_restore_";
/// Collections of Godwit's that belong to the moment, not to the data.
const LEFT_OUT: [&str; 2] = [FENCE, "godwit_lock"];
/// Bytes of documents that are written in one command, at most.
const BATCH_BYTES: usize = 8 << 20;
/// Documents that are written in one command, at most.
const BATCH: usize = 2_000;
/// The longest document that a server takes, and some room.
const LONGEST: usize = 17 << 20;

fn failed(what: impl Into<String>) -> impl Fn(mongodb::error::Error) -> BackupError {
    let what = what.into();
    move |e| {
        let text = crate::redact::text(&e.kind.to_string());
        let hint = if text.contains("SnapshotTooOld") {
            "; the copy took longer than the server keeps a snapshot: raise `minSnapshotHistoryWindowInSeconds`"
        } else {
            ""
        };
        BackupError::Failed(format!("{what}: {text}{hint}"))
    }
}

/// A collection or a view, as the server lists it.
struct Listed {
    name: String,
    kind: String,
    options: Document,
}

async fn list(db: &Database) -> Result<Vec<Listed>, mongodb::error::Error> {
    let mut cursor = db.run_cursor_command(doc! { "listCollections": 1 }).await?;
    let mut all = Vec::new();
    while cursor.advance().await? {
        let one: Document = cursor.deserialize_current()?;
        let text = |key: &str| one.get_str(key).unwrap_or_default().to_owned();
        all.push(Listed {
            name: text("name"),
            kind: text("type"),
            options: one.get_document("options").cloned().unwrap_or_default(),
        });
    }
    all.retain(|c| {
        !c.name.starts_with("system.") && !LEFT_OUT.contains(&c.name.as_str()) && !c.name.starts_with(ASIDE)
    });
    all.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(all)
}

async fn indexes(db: &Database, collection: &str) -> Result<Vec<Bson>, mongodb::error::Error> {
    let mut cursor = db.run_cursor_command(doc! { "listIndexes": collection }).await?;
    let mut all = Vec::new();
    while cursor.advance().await? {
        let mut one: Document = cursor.deserialize_current()?;
        one.remove("ns");
        one.remove("v");
        if one.get_str("name").ok() != Some("_id_") {
            all.push(Bson::Document(one));
        }
    }
    Ok(all)
}

fn frame(sink: &mut Sink, kind: u8, bytes: &[u8]) -> Result<(), BackupError> {
    sink.write_all(&[kind]).and_then(|()| sink.write_all(bytes)).map_err(|e| sink.cannot(&e))
}

fn bytes_of(document: &Document) -> Result<Vec<u8>, BackupError> {
    let raw = RawDocumentBuf::try_from(document)
        .map_err(|e| BackupError::Failed(format!("a definition has no BSON form: {e}")))?;
    Ok(raw.as_bytes().to_vec())
}

/// What a definition is compared by, without what a server makes up.
fn definition(options: &Document, indexes: &[Bson]) -> String {
    let mut options = options.clone();
    options.remove("uuid");
    let mut all: Vec<String> = indexes.iter().map(ToString::to_string).collect();
    all.sort();
    format!("{options} {}", all.join(" "))
}

/// Copies the database into `sink`.
///
/// # Errors
/// When a collection cannot be read, or the disk does not take the copy.
pub async fn copy_out(url: &SecretString, mut sink: Sink) -> Result<(Sink, Copied), BackupError> {
    let driver = MongodbDriver::connect(url).await?;
    let (client, db, snapshots, version) = driver.parts();
    let cannot = failed("cannot back up the database");
    let mut session = if snapshots {
        let options = SessionOptions::builder().snapshot(true).build();
        Some(client.start_session().with_options(options).await.map_err(&cannot)?)
    } else {
        None
    };
    let mut notes = Vec::new();
    if session.is_none() {
        notes.push(
            "the server is no replica set, so its collections were read one after the other and not at one moment"
                .to_owned(),
        );
    }
    let mut consistent = session.is_some();
    frame(&mut sink, b'H', &bytes_of(&doc! { "godwit_archive": 1, "database": db.name(), "version": version })?)?;
    let mut contents = BTreeMap::new();
    let all = list(db).await.map_err(&cannot)?;
    for one in all.iter().filter(|c| c.kind != "view") {
        // The server reads neither of a snapshot.
        let kind = if one.kind == "timeseries" {
            Some("a time series")
        } else if one.options.get_bool("capped").is_ok_and(|c| c) {
            Some("capped")
        } else {
            None
        };
        let indexes = indexes(db, &one.name).await.map_err(&cannot)?;
        let head = doc! { "name": &one.name, "type": &one.kind, "options": &one.options, "indexes": &indexes };
        frame(&mut sink, b'C', &bytes_of(&head)?)?;
        if let (Some(kind), Some(_)) = (kind, &session) {
            consistent = false;
            notes.push(format!("`{}` is {kind}, so it was not read at the moment of the others", one.name));
        }
        let mut digest = SetDigest::default();
        let mut count = 0_u64;
        let mut put = |document: &RawDocument| -> Result<(), BackupError> {
            digest.add(&[document.as_bytes()]);
            count += 1;
            frame(&mut sink, b'D', document.as_bytes())
        };
        let collection = db.collection::<RawDocumentBuf>(&one.name);
        match session.as_mut().filter(|_| kind.is_none()) {
            Some(session) => read_in(session, &collection, &mut put).await?,
            None => {
                let mut cursor = collection.find(doc! {}).await.map_err(&cannot)?;
                while cursor.advance().await.map_err(&cannot)? {
                    put(cursor.current())?;
                }
            }
        }
        let _ = put;
        contents.insert(format!("collection {}", one.name), Sum { count, digest: Some(digest.text()) });
        contents.insert(format!("definition {}", one.name), defined(&one.options, &indexes));
    }
    for one in all.iter().filter(|c| c.kind == "view") {
        frame(&mut sink, b'V', &bytes_of(&doc! { "name": &one.name, "options": &one.options })?)?;
        contents.insert(format!("definition {}", one.name), defined(&one.options, &[]));
    }
    frame(&mut sink, b'E', &bytes_of(&doc! { "collections": i64::try_from(all.len()).unwrap_or(0) })?)?;
    let copied = Copied {
        engine_version: version.to_owned(),
        database: db.name().to_owned(),
        contents,
        consistent,
        snapshot: None,
        notes,
    };
    Ok((sink, copied))
}

fn defined(options: &Document, indexes: &[Bson]) -> Sum {
    let mut digest = SetDigest::default();
    digest.add(&[definition(options, indexes).as_bytes()]);
    Sum { count: 1 + indexes.len() as u64, digest: Some(digest.text()) }
}

async fn read_in(
    session: &mut ClientSession,
    collection: &mongodb::Collection<RawDocumentBuf>,
    put: &mut (dyn FnMut(&RawDocument) -> Result<(), BackupError> + Send),
) -> Result<(), BackupError> {
    let cannot = failed("cannot back up the database");
    let mut cursor = collection.find(doc! {}).session(&mut *session).await.map_err(&cannot)?;
    while cursor.advance(session).await.map_err(&cannot)? {
        put(cursor.current())?;
    }
    Ok(())
}

/// Reads frames.
struct Frames {
    content: Content,
}

impl Frames {
    /// The next frame; `None` at the end of the file.
    fn next(&mut self) -> Result<Option<(u8, RawDocumentBuf)>, BackupError> {
        let damaged = |what: &str| BackupError::Damaged(format!("the backup is no archive of Godwit's: {what}"));
        let mut kind = [0_u8];
        match self.content.read_exact(&mut kind) {
            Err(e) if e.kind() == ErrorKind::UnexpectedEof => return Ok(None),
            Err(e) => return Err(damaged(&e.to_string())),
            Ok(()) => {}
        }
        let mut length = [0_u8; 4];
        self.content.read_exact(&mut length).map_err(|e| damaged(&e.to_string()))?;
        let size = usize::try_from(i32::from_le_bytes(length)).ok().filter(|n| (5..=LONGEST).contains(n));
        let Some(size) = size else { return Err(damaged("a document has an impossible length")) };
        let mut bytes = vec![0_u8; size];
        bytes[..4].copy_from_slice(&length);
        self.content.read_exact(&mut bytes[4..]).map_err(|e| damaged(&e.to_string()))?;
        let [kind] = kind;
        Ok(Some((kind, RawDocumentBuf::from_bytes(bytes).map_err(|e| damaged(&e.to_string()))?)))
    }
}

/// A collection that is being filled.
struct Filling {
    /// The name that it had.
    name: String,
    /// Where it is built.
    aside: String,
    options: Document,
    indexes: Vec<Bson>,
    digest: SetDigest,
    count: u64,
    batch: Vec<RawDocumentBuf>,
    bytes: usize,
}

impl Filling {
    async fn flush(&mut self, db: &Database) -> Result<(), BackupError> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let cannot = failed(format!("cannot restore `{}`", self.name));
        let batch = std::mem::take(&mut self.batch);
        self.bytes = 0;
        // What once got in by a validator that was milder then must get in again.
        db.collection::<RawDocumentBuf>(&self.aside)
            .insert_many(batch)
            .bypass_document_validation(true)
            .await
            .map_err(cannot)?;
        Ok(())
    }

    /// Indexes last: building one over all documents is quicker than keeping it up.
    async fn finish(&mut self, db: &Database) -> Result<(), BackupError> {
        self.flush(db).await?;
        if !self.indexes.is_empty() {
            db.run_command(doc! { "createIndexes": &self.aside, "indexes": &self.indexes })
                .await
                .map_err(failed(format!("cannot build the indexes of `{}`", self.name)))?;
        }
        Ok(())
    }
}

/// What was built from a file.
#[derive(Default)]
struct Built {
    contents: BTreeMap<String, Sum>,
    /// The name of each collection, and where it was built.
    collections: Vec<(String, String)>,
    views: Vec<(String, Document)>,
    timeseries: Vec<String>,
}

/// Makes the collections of a file, under the names that `named` gives them.
async fn build(
    db: &Database,
    content: Content,
    named: &(dyn Fn(usize, &str) -> String + Sync),
) -> Result<Built, BackupError> {
    let mut frames = Frames { content };
    let mut built = Built::default();
    let mut current: Option<Filling> = None;
    let mut ended = false;
    while let Some((kind, raw)) = frames.next()? {
        let document = |raw: &RawDocumentBuf| {
            Document::try_from(raw.as_ref() as &RawDocument)
                .map_err(|e| BackupError::Damaged(format!("the backup is no archive of Godwit's: {e}")))
        };
        match (kind, current.as_mut()) {
            (b'H', _) => {}
            (b'D', Some(filling)) => {
                filling.digest.add(&[raw.as_bytes()]);
                filling.count += 1;
                filling.bytes += raw.as_bytes().len();
                filling.batch.push(raw);
                if filling.bytes >= BATCH_BYTES || filling.batch.len() >= BATCH {
                    filling.flush(db).await?;
                }
            }
            (b'C' | b'V' | b'E', _) => {
                if let Some(mut done) = current.take() {
                    done.finish(db).await?;
                    built.contents.insert(
                        format!("collection {}", done.name),
                        Sum { count: done.count, digest: Some(done.digest.text()) },
                    );
                    built.contents.insert(format!("definition {}", done.name), defined(&done.options, &done.indexes));
                    built.collections.push((done.name, done.aside));
                }
                let head = document(&raw)?;
                let name = head.get_str("name").unwrap_or_default().to_owned();
                let options = head.get_document("options").cloned().unwrap_or_default();
                match kind {
                    b'C' => {
                        if options.contains_key("timeseries") {
                            built.timeseries.push(name.clone());
                        }
                        let aside = named(built.collections.len(), &name);
                        create(db, &aside, &options).await?;
                        let indexes = head.get_array("indexes").cloned().unwrap_or_default();
                        let (digest, batch) = (SetDigest::default(), Vec::new());
                        current = Some(Filling { name, aside, options, indexes, digest, count: 0, batch, bytes: 0 });
                    }
                    b'V' => {
                        built.contents.insert(format!("definition {name}"), defined(&options, &[]));
                        built.views.push((name, options));
                    }
                    _ => ended = true,
                }
            }
            (other, _) => {
                return Err(BackupError::Damaged(format!("the backup is no archive of Godwit's: a frame `{other}`")));
            }
        }
    }
    if !ended {
        return Err(BackupError::Damaged("the backup has no end: it was cut off".to_owned()));
    }
    Ok(built)
}

async fn create(db: &Database, name: &str, options: &Document) -> Result<(), BackupError> {
    let mut command = doc! { "create": name };
    command.extend(options.clone().into_iter().filter(|(key, _)| key != "uuid"));
    db.run_command(command).await.map(|_| ()).map_err(failed(format!("cannot make `{name}`")))
}

/// Reads what stands in a database, as [`copy_out`] counted it.
async fn count(
    db: &Database,
    names: &[(String, String)],
    views: &[String],
) -> Result<BTreeMap<String, Sum>, BackupError> {
    let cannot = failed("cannot read what was restored");
    let mut contents = BTreeMap::new();
    let listed = list_all(db).await.map_err(&cannot)?;
    for (name, place) in names {
        let mut digest = SetDigest::default();
        let mut count = 0;
        let mut cursor = db.collection::<RawDocumentBuf>(place).find(doc! {}).await.map_err(&cannot)?;
        while cursor.advance().await.map_err(&cannot)? {
            digest.add(&[cursor.current().as_bytes()]);
            count += 1;
        }
        contents.insert(format!("collection {name}"), Sum { count, digest: Some(digest.text()) });
        if let Some(options) = listed.get(place) {
            let indexes = indexes(db, place).await.map_err(&cannot)?;
            contents.insert(format!("definition {name}"), defined(options, &indexes));
        }
    }
    for view in views {
        if let Some(options) = listed.get(view) {
            contents.insert(format!("definition {view}"), defined(options, &[]));
        }
    }
    Ok(contents)
}

async fn list_all(db: &Database) -> Result<BTreeMap<String, Document>, mongodb::error::Error> {
    let mut cursor = db.run_cursor_command(doc! { "listCollections": 1 }).await?;
    let mut all = BTreeMap::new();
    while cursor.advance().await? {
        let one: Document = cursor.deserialize_current()?;
        let options = one.get_document("options").cloned().unwrap_or_default();
        all.insert(one.get_str("name").unwrap_or_default().to_owned(), options);
    }
    Ok(all)
}

/// Restores into a database made for it, reads it, and drops it.
///
/// # Errors
/// When that cannot be done.
pub async fn rehearse(url: &SecretString, content: Content) -> Result<Rehearsed, BackupError> {
    let driver = MongodbDriver::connect(url).await?;
    let (client, ..) = driver.parts();
    // A database's name has 63 bytes at most.
    let name = format!("{SCRATCH}{}", RunId::generate().as_str().to_lowercase());
    let db = client.database(&name);
    let result = async {
        let built = build(&db, content, &|_, name| name.to_owned()).await?;
        for (view, options) in &built.views {
            create(&db, view, options).await?;
        }
        let views: Vec<String> = built.views.into_iter().map(|(n, _)| n).collect();
        count(&db, &built.collections, &views).await
    }
    .await;
    if let Err(error) = db.drop().await {
        tracing::warn!(error = %error.kind, database = name, "a scratch database was left behind");
    }
    Ok(Rehearsed { into: "a database of its own".to_owned(), contents: result?, differences: Vec::new() })
}

/// Drops every collection but the lock, which is held; what is applied goes last, so that an end in between shows.
///
/// # Errors
/// When the server refuses; some collections may be gone then.
pub async fn clear(url: &SecretString) -> Result<(), BackupError> {
    let driver = MongodbDriver::connect(url).await?;
    let (_, db, ..) = driver.parts();
    let cannot = failed("cannot empty the database");
    let mut names: Vec<String> = list_all(db)
        .await
        .map_err(&cannot)?
        .into_keys()
        .filter(|name| !name.starts_with("system.") && name != "godwit_lock")
        .collect();
    names.sort_by_key(|name| name.starts_with("godwit_"));
    for name in names {
        db.run_command(doc! { "drop": name }).await.map_err(&cannot)?;
    }
    Ok(())
}

/// Builds every collection aside, compares it with the backup, and then swaps one after the other in; Godwit's history goes
/// last, so that a restore that was cut short shows in it.
///
/// # Errors
/// [`BackupError::Half`] when some were swapped and some were not.
pub async fn bring_back(url: &SecretString, content: Content, meta: &Meta) -> Result<Restored, BackupError> {
    let driver = MongodbDriver::connect(url).await?;
    let (client, db, ..) = driver.parts();
    sweep(db).await.map_err(failed("cannot clear what an earlier restore left"))?;
    let result = aside_and_compared(db, content, meta).await;
    let built = match result {
        Ok(built) => built,
        Err(error) => {
            let _ = sweep(db).await;
            return Err(error);
        }
    };
    if let Some(series) = built.timeseries.first() {
        let _ = sweep(db).await;
        return Err(BackupError::Failed(format!(
            "`{series}` is a time series, which MongoDB cannot swap in: restore it by hand; the database is as it was"
        )));
    }
    failpoint::hit("restore_pre");
    swap(client, db, &built).await.map_err(|error| {
        BackupError::Half(format!(
            "{error}; some collections are restored and some are not: run the same restore again"
        ))
    })?;
    Ok(Restored { contents: built.contents, notes: Vec::new(), history: None })
}

async fn aside_and_compared(db: &Database, content: Content, meta: &Meta) -> Result<Built, BackupError> {
    let built = build(db, content, &|n, _| format!("{ASIDE}{n}")).await?;
    let views: Vec<String> = Vec::new();
    let mut found = count(db, &built.collections, &views).await?;
    for (view, options) in &built.views {
        found.insert(format!("definition {view}"), defined(options, &[]));
    }
    let wrong = differences(&meta.contents, &found);
    match wrong.first() {
        None => Ok(built),
        Some(first) => Err(BackupError::Failed(format!(
            "what was built aside is not what the backup says ({first}); the database is as it was"
        ))),
    }
}

async fn sweep(db: &Database) -> Result<(), mongodb::error::Error> {
    for name in list_all(db).await?.into_keys().filter(|n| n.starts_with(ASIDE)) {
        db.collection::<Document>(&name).drop().await?;
    }
    Ok(())
}

async fn swap(client: &mongodb::Client, db: &Database, built: &Built) -> Result<(), BackupError> {
    let cannot = failed("cannot swap in what was restored");
    let admin = client.database("admin");
    let mut order: Vec<&(String, String)> = built.collections.iter().collect();
    order.sort_by_key(|(name, _)| name == HISTORY);
    let (history, data): (Vec<_>, Vec<_>) = order.into_iter().partition(|(name, _)| name == HISTORY);
    for (n, (name, aside)) in data.iter().enumerate() {
        into_place(&admin, db, aside, name).await.map_err(&cannot)?;
        if n == 0 {
            failpoint::hit("restore_half");
        }
    }
    let kept: Vec<&str> =
        built.collections.iter().map(|(n, _)| n.as_str()).chain(built.views.iter().map(|(n, _)| n.as_str())).collect();
    for one in list(db).await.map_err(&cannot)? {
        if !kept.contains(&one.name.as_str()) || one.kind == "view" {
            db.collection::<Document>(&one.name).drop().await.map_err(&cannot)?;
        }
    }
    for (view, options) in &built.views {
        create(db, view, options).await?;
    }
    for (name, aside) in history {
        into_place(&admin, db, aside, name).await.map_err(&cannot)?;
    }
    Ok(())
}

async fn into_place(admin: &Database, db: &Database, aside: &str, name: &str) -> Result<(), mongodb::error::Error> {
    let full = |name: &str| format!("{}.{name}", db.name());
    let command = doc! { "renameCollection": full(aside), "to": full(name), "dropTarget": true };
    admin.run_command(command).await.map(|_| ())
}
