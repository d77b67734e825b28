//! How far long statements are, as bars on a terminal; elsewhere nothing but what `-v` asks for.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::Global;
use crate::drivers::pace::{Listener, Pace, Progress};
use crate::ids::{MigrationId, TargetName};

/// Has a run tell what somebody would read: how far statements in batches are, and what the servers say.
pub(super) fn listen(global: &Global, pace: &mut Pace) {
    #[cfg(feature = "postgres")]
    crate::runner::notices::start();
    if global.quiet {
        return;
    }
    if std::io::stderr().is_terminal() {
        let all = MultiProgress::new();
        pace.listener = Some(bars(all.clone()));
        pace.notices = Some(Arc::new(move |target: &TargetName, migration: &MigrationId, text: &str| {
            // Above the bars, which stay where they are; where there are none, a line of its own.
            all.suspend(|| anstream::eprintln!("{}", said(target, migration, text)));
        }));
        return;
    }
    pace.notices = Some(Arc::new(|target: &TargetName, migration: &MigrationId, text: &str| {
        anstream::eprintln!("{}", said(target, migration, text));
    }));
    if global.verbose > 0 {
        pace.listener = Some(Arc::new(|p: &Progress| anstream::eprintln!("{}", line(p))));
    }
}

/// What a server says, as a line.
fn said(target: &TargetName, migration: &MigrationId, text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    format!("{target} {migration}: {text}")
}

fn bars(all: MultiProgress) -> Listener {
    let shown: Mutex<BTreeMap<String, ProgressBar>> = Mutex::new(BTreeMap::new());
    Arc::new(move |p: &Progress| {
        let name = match p.statement {
            0 => format!("{} {}", p.target, p.migration),
            statement => format!("{} {} ({statement})", p.target, p.migration),
        };
        let mut shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
        let bar = shown.entry(name.clone()).or_insert_with(|| {
            let bar = all.add(match p.total {
                Some(total) => {
                    ProgressBar::new(total).with_style(style("{prefix} {bar:30} {human_pos}/{human_len} {msg} {eta}"))
                }
                None => ProgressBar::new_spinner().with_style(style("{prefix} {spinner} {human_pos} {msg}")),
            });
            bar.set_prefix(name);
            bar.enable_steady_tick(Duration::from_millis(250));
            bar
        });
        if let Some(total) = p.total {
            bar.set_length(total.max(p.done));
        }
        bar.set_position(p.done);
        bar.set_message(p.waits.clone().unwrap_or_else(|| p.what.to_owned()));
        if p.total.is_some_and(|total| p.done >= total) {
            bar.finish_and_clear();
        }
    })
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// One report of progress as a line.
fn line(p: &Progress) -> String {
    if p.statement == 0 {
        let waits = p.waits.as_ref().map_or("goes on".to_owned(), |why| format!("waiting: {why}"));
        return format!("{} {}: {waits}", p.target, p.migration);
    }
    let of = p.total.map_or(String::new(), |t| format!(" of {t}"));
    let waits = p.waits.as_ref().map_or(String::new(), |w| format!(", waiting: {w}"));
    format!("{} {} statement {}: {}{of} {}{waits}", p.target, p.migration, p.statement, p.done, p.what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_where_how_far_and_why_it_waits() {
        let mut p = Progress {
            target: TargetName::new("shop").unwrap(),
            migration: MigrationId::new("002_a").unwrap(),
            statement: 1,
            what: "documents",
            done: 2000,
            total: Some(5000),
            waits: None,
        };
        assert_eq!(line(&p), "shop 002_a statement 1: 2000 of 5000 documents");
        (p.total, p.waits) = (None, Some("a replica is 12 s behind".to_owned()));
        assert_eq!(line(&p), "shop 002_a statement 1: 2000 documents, waiting: a replica is 12 s behind");
        p.statement = 0;
        assert_eq!(line(&p), "shop 002_a: waiting: a replica is 12 s behind");
    }
}
