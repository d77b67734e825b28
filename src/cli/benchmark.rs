//! `godwit benchmark`: how long a migration takes, what it locks and changes and how, tried several times on a scratch database [S2-109] [S0-83].

use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;

use super::exit::Failure;
use super::rehearse::on_scratch;
use super::targets::{self, Place};
use super::{Exit, Format, Global, print};
use crate::ids::Engine;
use crate::plan::rehearsal::Rehearsed;
use crate::runner::rehearse::Plans;

/// Arguments of `godwit benchmark`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  godwit benchmark migrations/0004_orders.up.sql --url postgres://postgres@localhost/postgres
  godwit benchmark migrations/0004_orders.up.sql --url sqlite: --runs 10
  godwit benchmark 0004_orders --path migrations --url postgres://localhost/postgres --limit 2

The migrations before it are applied first, on a scratch database that is made on the server for each try and taken away
again. PostgreSQL also tells the locks, the rows that were changed in each table, and by EXPLAIN how it carries out each statement;
SQLite the latter; MongoDB, Elasticsearch and Redis how many documents or keys were changed. The database holds what the migrations put into them: give production's sizes with a migration that only the scratch
folder has.")]
pub struct Args {
    /// The migration: its file, or its id
    #[arg(value_name = "MIGRATION")]
    migration: String,
    #[command(flatten)]
    place: Place,
    /// How often it is tried
    #[arg(long, value_name = "COUNT", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    runs: u32,
    /// Exit 1 when the way forward takes longer than this, in the median
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    limit: Option<Duration>,
    /// Bound on one migration
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let wrong = || "give seconds, such as `2` or `0.5`".to_owned();
    let seconds: f64 = text.parse().map_err(|_| wrong())?;
    Duration::try_from_secs_f64(seconds).map_err(|_| wrong())
}

/// Runs the command.
///
/// # Errors
/// A migration that is not there; a server that cannot be reached.
pub fn run(global: &Global, args: Args) -> anyhow::Result<Exit> {
    let mut place = args.place;
    let Some(url) = place.url.clone() else {
        return Err(Failure::usage(
            "say where a scratch database may be made: `--url URL` of a server nobody relies on",
        ));
    };
    let file = PathBuf::from(&args.migration);
    if file.is_file() && place.path.is_none() {
        place.path = file.parent().map(|p| if p.as_os_str().is_empty() { PathBuf::from(".") } else { p.to_path_buf() });
    }
    let engine = targets::engine_of(&url)?;
    place.url = Some(if engine == Engine::Sqlite { "sqlite:scratch.db".to_owned() } else { url.clone() });
    let gathered = place.gather(global)?;
    let name = file.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let of_file = || {
        let ends = |path: &str| path == name || path.ends_with(&format!("/{name}"));
        gathered.set.migrations.iter().find(|m| ends(&m.up.path) || m.files.iter().any(|f| ends(&f.path)))
    };
    let Some(migration) = gathered.set.find(&args.migration).or_else(of_file) else {
        return Err(Failure::usage(format!("`{}` is no migration of this folder, or several", args.migration)));
    };
    let only = [migration.reference()];
    let mut tried: Vec<Rehearsed> = Vec::new();
    let timeout = args.timeout.map(Duration::from_secs);
    for n in 0..args.runs {
        // The plans are the same each time.
        let plans = if n == 0 { Plans::Asked } else { Plans::Left };
        tried.extend(on_scratch(&url, &gathered.set, &only, timeout, plans)?);
        // What is wrong stays wrong.
        if tried.last().is_some_and(|t| t.error.is_some()) {
            break;
        }
    }
    conclude(global, migration.id.as_str(), &tried, args.limit)
}

/// Least, median and most of the tries in one direction.
fn spread(tried: &[Rehearsed], direction: usize) -> Option<[u64; 3]> {
    let mut times: Vec<u64> = tried.iter().filter_map(|t| t.took_ms.get(direction).copied()).collect();
    times.sort_unstable();
    Some([*times.first()?, times[times.len() / 2], *times.last()?])
}

fn conclude(global: &Global, name: &str, tried: &[Rehearsed], limit: Option<Duration>) -> anyhow::Result<Exit> {
    let (forward, back) = (spread(tried, 0), spread(tried, 1));
    let error = tried.iter().find_map(|t| t.error.clone());
    let locks = tried.last().map(|t| t.locks.clone()).unwrap_or_default();
    let rows = tried.last().map(|t| t.rows.clone()).unwrap_or_default();
    let changed = tried.last().and_then(|t| t.changed);
    let plans = tried.first().map(|t| t.plans.clone()).unwrap_or_default();
    let most = limit.map(|l| u64::try_from(l.as_millis()).unwrap_or(u64::MAX));
    let too_slow = most.zip(forward).is_some_and(|(most, [_, median, _])| median > most);
    if global.format == Format::Json {
        let times =
            |t: Option<[u64; 3]>| t.map(|[least, median, most]| json!({ "min": least, "median": median, "max": most }));
        print::json(
            &json!({ "migration": name, "runs": tried.len(), "forward_ms": times(forward), "back_ms": times(back),
            "locks": locks, "rows": rows, "changed": changed, "plans": plans, "limit_ms": most, "too_slow": too_slow, "error": error }),
        )?;
    } else {
        let mut text = format!("{name}: tried {}\n", crate::report::count(tried.len(), "time"));
        for (word, times) in [("forward", forward), ("back", back)] {
            if let Some([least, median, most]) = times {
                text.push_str(&format!("  {word:<8} {median} ms in the median, {least} to {most} ms\n"));
            }
        }
        for lock in &locks {
            text.push_str(&format!("  holds {} on {} {}\n", lock.mode, lock.relation, lock.until.as_str()));
        }
        if let Some(words) = tried.last().and_then(crate::report::rehearsal::changed) {
            text.push_str(&format!("  changes {words}\n"));
        }
        for changed in &rows {
            let parts = [(changed.inserted, "inserted"), (changed.updated, "updated"), (changed.deleted, "deleted")];
            let parts: Vec<String> =
                parts.into_iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!("{n} {word}")).collect();
            text.push_str(&format!("  rows of {}: {}\n", changed.relation, parts.join(", ")));
        }
        for planned in &plans {
            text.push_str(&format!("  line {}: {}\n", planned.line, planned.statement));
            planned.plan.iter().for_each(|line| text.push_str(&format!("    {line}\n")));
        }
        if let Some(error) = &error {
            text.push_str(&format!("  failed: {error}\n"));
        }
        if let Some(most) = most.filter(|_| too_slow) {
            text.push_str(&format!("  slower than the limit of {most} ms\n"));
        }
        print::prose(&text)?;
    }
    Ok(if error.is_some() || too_slow { Exit::Failed } else { Exit::Done })
}
