//! In which histories a migration is judged: what runs in one environment alone, or again whenever it changes, is judged
//! against what the others have made, and is nothing that they could count on.

use std::collections::BTreeSet;

use super::Step;
use crate::ids::EnvironmentName;

/// What a step is in a replay of the history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// It is judged, and does what it says.
    Judged,
    /// It does what it says; another replay judges it.
    Applied,
    /// It may have run or not: what it names is not known from there on.
    Forgotten,
}

/// The replays in which each step is judged once: that of all databases, and one for each environment that has migrations of
/// its own. What runs only somewhere is nothing that the others can count on.
pub fn worlds<'s>(history: &[&'s Step<'s>], environment: Option<&EnvironmentName>) -> Vec<Vec<(&'s Step<'s>, Part)>> {
    let everywhere = |step: &Step<'_>| match &step.migration.only_in {
        None => Some(Part::Judged),
        only if only.as_ref() == environment => Some(Part::Judged),
        // In the one that is asked about, the others' have never run.
        Some(_) => environment.is_none().then_some(Part::Forgotten),
    };
    let mut worlds = vec![in_order(history, &everywhere)];
    let others: BTreeSet<&EnvironmentName> =
        history.iter().filter_map(|s| s.migration.only_in.as_ref()).filter(|e| Some(*e) != environment).collect();
    for other in others {
        let there = |step: &Step<'_>| match &step.migration.only_in {
            None => Some(Part::Applied),
            Some(only) => (only == other).then_some(Part::Judged),
        };
        worlds.push(in_order(history, &there));
    }
    worlds
}

/// The steps of a replay. What runs again whenever it changes comes behind all that runs once, and finds what that has made;
/// for what stands behind it in the files, it may have run or not.
fn in_order<'s>(history: &[&'s Step<'s>], part: &dyn Fn(&Step<'_>) -> Option<Part>) -> Vec<(&'s Step<'s>, Part)> {
    let last = history.iter().rposition(|s| !s.migration.repeatable).unwrap_or(0);
    let (mut once, mut again) = (Vec::new(), Vec::new());
    for (n, step) in history.iter().enumerate() {
        let Some(part) = part(step) else { continue };
        if !step.migration.repeatable {
            once.push((*step, part));
            continue;
        }
        if n < last {
            once.push((*step, Part::Forgotten));
        }
        again.push((*step, part));
    }
    once.extend(again);
    once
}

#[cfg(test)]
mod tests {
    use crate::config::LintConfig;
    use crate::ids::EnvironmentName;
    use crate::lint::{Scope, check};
    use crate::migration::{MigrationRoot, SourceFile, resolve};

    /// `file rule` of what the history says, where the environment is asked about.
    fn told(files: &[(&str, &str)], environment: Option<&str>, touched: &[&str]) -> Vec<String> {
        let files: Vec<_> = files.iter().map(|(path, text)| SourceFile::new(*path, text.as_bytes())).collect();
        let set = resolve(&files, &[MigrationRoot::folder("**")]);
        let environment = environment.map(|e| EnvironmentName::new(e).expect("a name"));
        let config = LintConfig { environment, ..LintConfig::default() };
        let today = chrono::NaiveDate::from_ymd_opt(2026, 11, 23).expect("a date");
        let scope = match touched {
            [] => Scope::All,
            touched => Scope::Paths(touched.iter().map(|path| (*path).to_owned()).collect()),
        };
        let of_history = |rule: &str| {
            ["existing-object", "missing-object", "changing-column-type", "require-concurrent-index-creation"]
                .contains(&rule)
        };
        let found = check(&set, &config, &scope, today).violations.into_iter();
        let found = found.filter(|v| of_history(&v.rule));
        found
            .map(|v| format!("{} {} {}", v.file.rsplit('/').next().unwrap_or_default(), v.rule, v.severity.as_str()))
            .collect()
    }

    const T: (&str, &str) = ("m/V1__t.sql", "CREATE TABLE t (id bigint PRIMARY KEY, n varchar(10));");

    #[test]
    fn what_runs_again_is_judged_against_all_that_runs_once() {
        let of = |script: &str| {
            told(&[T, ("m/V2__u.sql", "DROP TABLE IF EXISTS u;"), ("m/R__again.sql", script)], None, &[])
        };
        assert_eq!(of("ALTER TABLE t ADD COLUMN n int;"), ["R__again.sql existing-object error"]);
        assert_eq!(of("ALTER TABLE t DROP COLUMN m;"), ["R__again.sql missing-object error"]);
        assert_eq!(of("SELECT 1; INSERT INTO t VALUES (1);"), [""; 0]);
        assert_eq!(of("CREATE OR REPLACE VIEW v AS SELECT id FROM t;"), [""; 0]);
        // A wider column costs nothing, and that is known here too.
        assert_eq!(of("ALTER TABLE t ALTER COLUMN n TYPE varchar(20);"), ["R__again.sql changing-column-type info"]);
    }

    const USERS: (&str, &str) =
        ("services/a/migrations/0001_t.up.sql", "CREATE TABLE a.t (id bigint PRIMARY KEY, n varchar(10));");
    const ONLY: &str = "services/a/migrations/staging/0002_s.up.sql";
    const LATER: &str = "services/a/migrations/0003_l.up.sql";

    #[test]
    fn what_runs_somewhere_is_judged_there_and_changes_nothing_elsewhere() {
        let of = |only: &str, later: &str, environment| told(&[USERS, (ONLY, only), (LATER, later)], environment, &[]);
        let nothing = "SELECT 1;";
        for environment in [None, Some("staging"), Some("production")] {
            assert_eq!(
                of("ALTER TABLE a.t ADD COLUMN n int;", nothing, environment),
                ["0002_s.up.sql existing-object error"],
                "{environment:?}"
            );
            assert_eq!(of("ALTER TABLE a.t ADD COLUMN m int;", nothing, environment), [""; 0], "{environment:?}");
        }
        // Whether the column is there depends on where it runs, unless that is said.
        let (adds, adds_too) = ("ALTER TABLE a.t ADD COLUMN m int;", "ALTER TABLE a.t ADD COLUMN m int;");
        assert_eq!(of(adds, adds_too, None), [""; 0]);
        assert_eq!(of(adds, adds_too, Some("staging")), ["0003_l.up.sql existing-object error"]);
        assert_eq!(of(adds, adds_too, Some("production")), [""; 0]);
        let drops = "ALTER TABLE a.t DROP COLUMN m;";
        assert_eq!(of(adds, drops, None), [""; 0]);
        assert_eq!(of(adds, drops, Some("staging")), [""; 0]);
        assert_eq!(of(adds, drops, Some("production")), ["0003_l.up.sql missing-object error"]);
    }

    #[test]
    fn a_table_that_is_new_somewhere_is_new_there_alone() {
        let index = "CREATE INDEX i ON a.u (id);";
        let table = "CREATE TABLE a.u (id bigint PRIMARY KEY);";
        let files = [USERS, (ONLY, table), (LATER, index)];
        assert_eq!(told(&files, None, &[ONLY, LATER]), ["0003_l.up.sql require-concurrent-index-creation warning"]);
        assert_eq!(told(&files, Some("staging"), &[ONLY, LATER]), [""; 0]);
        let files = [USERS, ("services/a/migrations/0002_u.up.sql", table), (&ONLY.replace("0002", "0003"), index)];
        assert_eq!(told(&files, None, &["services/a/migrations/0002_u.up.sql", files[2].0]), [""; 0]);
    }
}
