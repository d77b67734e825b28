//! Documents kept in a snapshot repository of the cluster: copied and restored by its nodes, file by file.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use elasticsearch::http::Method;
use secrecy::SecretString;
use serde_json::{Value, json};

use super::{Built, Line, count, drop_all, in_scope, indices, mapping_sum, measure, put, settings_of};
use crate::backup::file::Sink;
use crate::backup::meta::{Scope, Snapshot, Sum};
use crate::backup::{BackupError, Copied, SCRATCH};
use crate::drivers::elasticsearch::wire::{Wire, part};
use crate::drivers::elasticsearch::{ElasticsearchDriver, changes};
use crate::ids::RunId;
use crate::plan::HistoryRow;

/// How often the cluster is asked how far it is.
const POLL: Duration = Duration::from_millis(200);
/// A restore of which nothing more arrives for so long has failed.
const STANDSTILL: Duration = Duration::from_secs(300);
/// Settings of an index that would keep a restored one from being read, compared and put in its place.
const LEFT_OUT: [&str; 5] = [
    "index.blocks.write",
    "index.blocks.read",
    "index.blocks.read_only",
    "index.blocks.read_only_allow_delete",
    "index.blocks.metadata",
];

/// What the snapshot of a backup is called: as its file, without what no snapshot's name may hold, and like no other in a
/// repository that several machines use.
pub(super) fn name_of(file: &Path) -> String {
    let name = file.file_stem().map(|n| n.to_string_lossy().to_lowercase()).unwrap_or_default();
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let stem: String = name.chars().map(|c| if allowed(c) { c } else { '-' }).collect();
    let unique = RunId::generate().as_str().to_lowercase();
    format!("{stem}-{}", &unique[unique.len() - 8..])
}

fn path(snapshot: &Snapshot) -> String {
    format!("_snapshot/{}/{}", part(&snapshot.repository), part(&snapshot.name))
}

/// Takes a snapshot of the indices in scope, and writes what it holds into `sink`.
pub(super) async fn copy_out(
    wire: &Wire,
    version: &str,
    history: Vec<HistoryRow>,
    (scope, snapshot): (&Scope, Snapshot),
    mut sink: Sink,
) -> Result<(Sink, Copied), BackupError> {
    put(&mut sink, &Line::Head { godwit_elasticsearch: 2, version: version.to_owned(), history })?;
    let mut chosen = indices(wire, super::READABLE).await?;
    chosen.retain(|name, _| in_scope(scope, name));
    let kept = (!chosen.is_empty()).then_some(snapshot);
    let mut notes = vec![
        "each shard is of one moment, all of them together are not; templates and pipelines are not in it".to_owned(),
    ];
    let mut contents = BTreeMap::new();
    if let Some(snapshot) = &kept {
        put(&mut sink, &Line::Snapshot { snapshot: snapshot.clone() })?;
        let (measured, written_to) = fill(wire, snapshot, &chosen).await?;
        contents = measured;
        notes.extend(
            written_to.iter().map(|name| {
                format!("`{name}` was written to meanwhile: what is counted is what the snapshot gave back")
            }),
        );
    }
    for (name, index) in &chosen {
        let line = Line::Index {
            index: name.clone(),
            settings: settings_of(index),
            mappings: index["mappings"].clone(),
            aliases: index["aliases"].clone(),
        };
        put(&mut sink, &line)?;
    }
    put(&mut sink, &Line::End { end: 0 })?;
    let copied = Copied {
        engine_version: version.to_owned(),
        database: "the cluster".to_owned(),
        contents,
        consistent: false,
        snapshot: kept,
        notes,
    };
    Ok((sink, copied))
}

/// Takes the snapshot. Gives what is in it, and the indices that somebody wrote to meanwhile: of those it is read from the
/// snapshot itself.
async fn fill(
    wire: &Wire,
    snapshot: &Snapshot,
    chosen: &BTreeMap<String, Value>,
) -> Result<(BTreeMap<String, Sum>, Vec<String>), BackupError> {
    let mut seen = BTreeMap::new();
    let mut contents = BTreeMap::new();
    for (name, index) in chosen {
        seen.insert(name, changes(wire, name).await?);
        contents.insert(format!("index {name}"), measure(wire, name, &index["mappings"]).await?);
        contents.insert(format!("mapping {name}"), mapping_sum(&index["mappings"]));
    }
    begin(wire, snapshot, chosen.keys()).await?;
    let taken = async {
        end(wire, snapshot).await?;
        written_meanwhile(wire, snapshot, seen).await
    };
    match taken.await {
        Ok((again, written_to)) => {
            contents.extend(again);
            Ok((contents, written_to))
        }
        Err(error) => {
            if let Err(left) = delete(wire, snapshot).await {
                tracing::warn!(error = %left, %snapshot, "a snapshot of no use was left in its repository");
            }
            Err(error)
        }
    }
}

/// What the snapshot holds of indices that have changed since they were looked at, and their names.
async fn written_meanwhile(
    wire: &Wire,
    snapshot: &Snapshot,
    seen: BTreeMap<&String, u64>,
) -> Result<(BTreeMap<String, Sum>, Vec<String>), BackupError> {
    let mut written_to = Vec::new();
    for (name, before) in seen {
        if changes(wire, name).await? != before {
            written_to.push(name.clone());
        }
    }
    let prefix = format!("{SCRATCH}{}_", RunId::generate().as_str().to_lowercase());
    let mut all = Vec::new();
    let read = async {
        for (n, name) in written_to.iter().enumerate() {
            let place = format!("{prefix}{n}");
            let (aliases, settings) = (serde_json::Map::new(), Value::Null);
            all.push(Built { name: name.clone(), place: place.clone(), aliases, settings });
            restore(wire, snapshot, name, &place).await?;
            wait_for(wire, &place).await?;
        }
        count(wire, &all).await
    }
    .await;
    drop_all(wire, &all).await;
    Ok((read?, written_to))
}

/// Has the cluster begin to copy indices into the repository.
async fn begin(wire: &Wire, snapshot: &Snapshot, names: impl Iterator<Item = &String>) -> Result<(), BackupError> {
    let body = json!({"indices": names.collect::<Vec<_>>(), "include_global_state": false, "partial": false});
    let begun = wire.ask(Method::Put, &format!("{}?wait_for_completion=false", path(snapshot)), Some(&body)).await?;
    if begun.status == 404 {
        return Err(BackupError::Usage(format!(
            "the cluster has no snapshot repository `{}`: register it with `PUT _snapshot/{0}`, or leave `repository` out of \
             the target's URL",
            snapshot.repository
        )));
    }
    begun.ok()?;
    Ok(())
}

/// Waits until the snapshot is whole.
async fn end(wire: &Wire, snapshot: &Snapshot) -> Result<(), BackupError> {
    loop {
        let shown = wire.get(&path(snapshot)).await?.ok()?;
        let one = &shown["snapshots"][0];
        match one["state"].as_str() {
            Some("SUCCESS") => return Ok(()),
            Some("IN_PROGRESS" | "STARTED" | "INIT") => tokio::time::sleep(POLL).await,
            state => {
                let why = one["failures"][0]["reason"]
                    .as_str()
                    .or_else(|| one["reason"].as_str())
                    .unwrap_or("no reason given");
                return Err(BackupError::Failed(crate::redact::text(&format!(
                    "the snapshot `{snapshot}` ended as {}: {why}",
                    state.unwrap_or("unknown")
                ))));
            }
        }
    }
}

/// Has the cluster bring one index back under another name; [`wait_for`] says when it is there.
pub(super) async fn restore(wire: &Wire, snapshot: &Snapshot, index: &str, place: &str) -> Result<(), BackupError> {
    let body = json!({
        "indices": [index], "rename_pattern": "^.+$", "rename_replacement": place,
        "include_aliases": false, "include_global_state": false, "partial": false,
        "index_settings": {"index.number_of_replicas": 0, "index.auto_expand_replicas": "false"},
        "ignore_index_settings": LEFT_OUT,
    });
    let path = format!("{}/_restore?wait_for_completion=false", path(snapshot));
    wire.ask(Method::Post, &path, Some(&body)).await?.ok()?;
    Ok(())
}

/// Waits until an index that is being restored can be read.
pub(super) async fn wait_for(wire: &Wire, place: &str) -> Result<(), BackupError> {
    let (mut arrived, mut since) = (0, Instant::now());
    loop {
        let health = wire.get(&format!("_cluster/health/{}?wait_for_status=yellow&timeout=5s", part(place))).await?;
        if health.body["status"].as_str().is_some_and(|s| s != "red") && health.body["timed_out"] == false {
            return Ok(());
        }
        let shown = wire.get(&format!("{}/_recovery", part(place))).await?.found()?.unwrap_or_default();
        let shards = shown[place]["shards"].as_array().cloned().unwrap_or_default();
        let bytes = shards.iter().filter_map(|s| s["index"]["size"]["recovered_in_bytes"].as_u64()).sum::<u64>();
        if bytes > arrived {
            (arrived, since) = (bytes, Instant::now());
        }
        if since.elapsed() >= STANDSTILL {
            return Err(BackupError::Failed(format!(
                "`{place}` is not restored from its snapshot: nothing has arrived for {} s; `_cluster/allocation/explain` \
                 says why",
                STANDSTILL.as_secs()
            )));
        }
        tokio::time::sleep(POLL).await;
    }
}

async fn delete(wire: &Wire, snapshot: &Snapshot) -> Result<(), BackupError> {
    wire.ask(Method::Delete, &path(snapshot), None).await?.found()?;
    Ok(())
}

/// Deletes a snapshot.
///
/// # Errors
/// When the cluster cannot be reached or refuses.
pub async fn forget(url: &SecretString, snapshot: &Snapshot) -> Result<(), BackupError> {
    let driver = ElasticsearchDriver::connect(url).await?;
    delete(driver.parts().0, snapshot).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_is_called_after_its_file() {
        let file = Path::new("/b/migration_backup_20241204_143022_production_Shop-ES_2.ndjson.age");
        let name = name_of(file);
        let (stem, unique) = name.rsplit_once('-').unwrap();
        assert_eq!((stem, unique.len()), ("migration_backup_20241204_143022_production_shop-es_2-ndjson", 8));
    }
}
