//! Results of the whole matrix: kept line by line, so that a run that was ended goes on, and shown as a page.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use godwit::drivers::failpoint::NAMES;
use serde_json::{Value, json};

use super::cell::{Cell, FAULTS};
use super::steps::{describe, steps};
use crate::support::{ALL, Kind};

/// Results in a folder.
pub struct Results {
    folder: PathBuf,
    build: String,
}

impl Results {
    /// Those of `folder`; new ones are of this build.
    pub fn in_folder(folder: &Path, build: String) -> Self {
        std::fs::create_dir_all(folder).unwrap();
        Self { folder: folder.to_owned(), build }
    }

    fn file(&self, kind: Kind) -> PathBuf {
        self.folder.join(format!("{}.jsonl", kind.name()))
    }

    /// The last result of each cell of a kind: why it does not hold, or `null`, and its milliseconds.
    pub fn of(&self, kind: Kind) -> BTreeMap<String, Value> {
        let text = std::fs::read_to_string(self.file(kind)).unwrap_or_default();
        text.lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .filter_map(|result| Some((result["cell"].as_str()?.to_owned(), result.clone())))
            .collect()
    }

    /// Whether a result is of this build and holds.
    pub fn is_settled(&self, result: &Value) -> bool {
        result["why"].is_null() && result["build"] == self.build.as_str()
    }

    /// Adds one.
    pub fn add(&self, cell: Cell, why: Option<&str>, ms: u128) {
        let line =
            json!({ "cell": cell.to_string(), "why": why, "ms": u64::try_from(ms).unwrap(), "build": self.build });
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(self.file(cell.kind)).unwrap();
        writeln!(file, "{line}").unwrap();
    }

    /// The page.
    pub fn page(&self) -> String {
        let all: BTreeMap<Kind, BTreeMap<String, Value>> = ALL.into_iter().map(|k| (k, self.of(k))).collect();
        let results = || all.values().flat_map(BTreeMap::values);
        let held = results().filter(|r| r["why"].is_null()).count();
        let minutes = results().filter_map(|r| r["ms"].as_u64()).sum::<u64>() / 60_000;
        let mut page =
            format!("{HEAD}\n{held} of {} cells hold; together they took {minutes} minutes.\n", results().count());
        let older = results().filter(|r| r["build"] != self.build.as_str()).count();
        if older > 0 {
            page.push_str(&format!(
                "{older} of them were run on an earlier build; `scripts/kill-matrix` runs them again.\n"
            ));
        }
        for (kind, results) in &all {
            if results.is_empty() {
                continue;
            }
            page.push_str(&table(*kind, results));
        }
        let failed: Vec<&Value> = results().filter(|r| !r["why"].is_null()).collect();
        if !failed.is_empty() {
            page.push_str("\n## Cells that do not hold\n\n");
            for result in failed {
                let why: String =
                    result["why"].as_str().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ");
                let why: String = why.chars().take(300).map(|c| if c == '`' { '\'' } else { c }).collect();
                page.push_str(&format!("* {}: `{why}`\n", result["cell"].as_str().unwrap_or_default()));
            }
        }
        page
    }
}

const HEAD: &str = "# The kill matrix

`scripts/kill-matrix` wrote this page. Each cell is one run of three migrations on a real server that is disturbed at one
[fail point](ARCHITECTURE.md#a-runs-way), in the second batch where there are batches, and then resumed. It holds when afterwards the target is like that of a run which nobody
disturbed (schema and data, where what was done twice would show), the history has each migration applied once, the audit
log verifies, no lock, block, mark or half-made object is left, and another `apply` has nothing to do.

| disturbed | how |
|---|---|
| killed | the process ends there, with no destructor run |
| stopped | the process gets SIGSTOP; another runner waits until its lease is over, takes the target over and finishes; then it gets SIGCONT and must change nothing. On SQLite the lock is the process's, so the other one is refused |
| reset | every connection to the target is reset (Redis Cluster: closed by its nodes) |
| store-lost | killed, and the store is gone |
| store-old | killed, and the store is a backup from before the run |
| restart | the server is killed and started again with its data |

✓ holds, ✗ does not, · was not run; one sign for each step, in the order in which they are named.
";

fn table(kind: Kind, results: &BTreeMap<String, Value>) -> String {
    let mut text = format!("\n## {}\n\n", kind.name().replace('_', " "));
    for step in steps(kind) {
        text.push_str(&format!("* {}: {}\n", step.name(), describe(kind, *step)));
    }
    let faults: Vec<_> = FAULTS.into_iter().filter(|(f, _)| f.is_for(kind)).collect();
    text.push_str("\n| fail point |");
    faults.iter().for_each(|(_, name)| text.push_str(&format!(" {name} |")));
    text.push_str("\n|---|");
    faults.iter().for_each(|_| text.push_str("---|"));
    text.push('\n');
    for point in NAMES {
        text.push_str(&format!("| `{point}` |"));
        for (fault, _) in &faults {
            let signs: String = steps(kind)
                .iter()
                .map(|step| match results.get(&Cell { kind, step: *step, point, fault: *fault }.to_string()) {
                    None => '·',
                    Some(result) if result["why"].is_null() => '✓',
                    Some(_) => '✗',
                })
                .collect();
            text.push_str(&format!(" {signs} |"));
        }
        text.push('\n');
    }
    text
}
