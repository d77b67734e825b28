//! What the rules for PostgreSQL claim, tried on a real server against tables that hold rows: each bad example does what
//! its rule says, each good one does not.

use std::collections::{BTreeMap, BTreeSet};

use godwit::ids::{Engine, Risk};
use godwit::lint::effect::{Effect, Lock, effect_of};
use godwit::migration::execution::{Execution, execution};

use super::hazards::{Hazard, SCHEMA, hazards};
use crate::support::{Database, Kind};

/// Rows in each table of the examples.
const ROWS: usize = 400;

/// Half of `a` is NULL, `b` repeats itself, `f` does not.
const FILL: &str = "
INSERT INTO ref SELECT n, n FROM generate_series(1, 400) n;
INSERT INTO t (id, a, b, e, f, n, d, st, ref_id)
  SELECT n, CASE WHEN n % 2 = 0 THEN n END, n % 7, n, n, 'abc', now(), 'x', n FROM generate_series(1, 400) n;
INSERT INTO s.within SELECT n FROM generate_series(1, 400) n;
INSERT INTO child SELECT n, n FROM generate_series(1, 400) n;
INSERT INTO keyless SELECT n, n FROM generate_series(1, 400) n;
INSERT INTO usesdom SELECT n, n FROM generate_series(1, 400) n;
INSERT INTO p SELECT n % 100, n FROM generate_series(1, 400) n;
INSERT INTO p2 SELECT 100 + n, n FROM generate_series(1, 400) n;
INSERT INTO dp SELECT n, n FROM generate_series(1, 400) n;
INSERT INTO walled SELECT n FROM generate_series(1, 400) n;
REFRESH MATERIALIZED VIEW mv;
SELECT setval('sq', 4711);
ANALYZE;
";

/// Tables, partitions and materialized views that are there before.
const TABLES: &str = "SELECT c.oid, n.nspname || '.' || c.relname AS name, c.relkind FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
     WHERE n.nspname IN ('public', 's') AND c.relkind IN ('r', 'p', 'm')";

/// Everything that is defined, a line each; what begins with `there` is gone only when something is lost.
const DEFINED: &str = "
SELECT '{when}', 'there relation ' || c.oid, '' FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE n.nspname IN ('public', 's') AND c.relkind IN ('r', 'p', 'm', 'v', 'S');
SELECT '{when}', 'there column ' || a.attrelid || '.' || a.attnum, '' FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
  JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname IN ('public', 's') AND c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped;
SELECT '{when}', 'there schema ' || oid, '' FROM pg_namespace WHERE nspname NOT LIKE 'pg\\_%';
SELECT '{when}', concat_ws(' ', 'column', n.nspname, c.relname, a.attname, a.attnotnull, a.attidentity, a.attgenerated, pg_get_expr(d.adbin, d.adrelid)), ''
  FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
  WHERE n.nspname IN ('public', 's') AND c.relkind IN ('r', 'p', 'v') AND a.attnum > 0 AND NOT a.attisdropped;
SELECT '{when}', concat_ws(' ', 'table', n.nspname, c.relname, c.relrowsecurity, c.relreplident, c.relowner), ''
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname IN ('public', 's') AND c.relkind IN ('r', 'p', 'v', 'm', 'S');
SELECT '{when}', concat_ws(' ', 'constraint', conrelid::regclass, conname, contype), '' FROM pg_constraint
  WHERE connamespace IN ('public'::regnamespace, to_regnamespace('s'));
SELECT '{when}', concat_ws(' ', 'type', t.typname, t.typtype, e.enumlabel), '' FROM pg_type t LEFT JOIN pg_enum e ON e.enumtypid = t.oid
  WHERE t.typnamespace = 'public'::regnamespace AND t.typtype IN ('e', 'd');
SELECT '{when}', concat_ws(' ', 'function', proname), '' FROM pg_proc WHERE pronamespace = 'public'::regnamespace;
SELECT '{when}', concat_ws(' ', 'trigger', tgrelid::regclass, tgname, tgenabled), '' FROM pg_trigger WHERE NOT tgisinternal;
SELECT '{when}', concat_ws(' ', 'policy', polname, polroles, pg_get_expr(polqual, polrelid)), '' FROM pg_policy;
SELECT '{when}', concat_ws(' ', 'sequence', sequencename, last_value), '' FROM pg_sequences WHERE sequencename <> 'sq';
SELECT '{when}', 'sequence sq', (last_value < 4711)::text FROM pg_sequences WHERE sequencename = 'sq';
SELECT '{when}', concat_ws(' ', 'schema', nspname), '' FROM pg_namespace WHERE nspname NOT LIKE 'pg\\_%';
";

/// What came of an example.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// The error, if it failed.
    pub failed: Option<String>,
    /// The strongest lock on each table that was there, where the example ran in a transaction.
    locks: BTreeMap<String, Lock>,
    /// Tables with a new file.
    rewritten: BTreeSet<String>,
    /// Tables of which every row was read.
    scanned: BTreeSet<String>,
    /// Rows changed or deleted, by table.
    changed: BTreeMap<String, usize>,
    /// Rows added, by table.
    added: BTreeMap<String, usize>,
    /// Lines of [`DEFINED`] that are not there any more.
    gone: BTreeSet<String>,
}

impl Seen {
    /// Whether it did what the effect says.
    pub fn shows(&self, effect: Effect) -> bool {
        let strong = |table: &String, least: Lock| self.locks.get(table).is_some_and(|l| *l >= least);
        match effect {
            // `VACUUM FULL` and the like run in no transaction of ours; their locks are gone when it can be looked.
            Effect::Rewrites => {
                !self.rewritten.is_empty()
                    && self.rewritten.iter().all(|t| self.locks.is_empty() || strong(t, Lock::AccessExclusive))
            }
            Effect::Scans(lock) | Effect::Builds(lock) => self.scanned.iter().any(|t| strong(t, lock)),
            Effect::Locks(lock) => self.locks.values().any(|l| *l >= lock),
            Effect::LocksSeveral => self.locks.values().filter(|l| **l == Lock::AccessExclusive).count() > 1,
            Effect::ChangesRows => self.changed.values().any(|n| *n >= ROWS / 4),
            Effect::AddsRows => self.added.values().any(|n| *n >= ROWS / 4),
            Effect::FailsOnRows | Effect::Fails => self.failed.is_some(),
            Effect::Loses => {
                self.changed.values().any(|n| *n >= ROWS / 2) || self.gone.iter().any(|l| l.starts_with("there"))
            }
            Effect::Breaks => !self.gone.is_empty(),
            // Tried where the server is ours alone: `measured_apart`.
            Effect::NeedsRights | Effect::Unmeasured => false,
        }
    }
}

/// Counting the rows is a scan too: it comes before the scans are counted, and behind them the second time.
fn snapshot(when: &str) -> String {
    let scans = format!("SELECT '{when} scans', c.name, pg_stat_get_xact_numscans(c.oid)::text FROM ({TABLES}) c;");
    let rest = state(when);
    if when == "before" { rest + &scans } else { scans + &rest }
}

fn state(when: &str) -> String {
    let mut sql = DEFINED.replace("{when}", when);
    sql.push_str(&format!(
        "SELECT '{when} file', c.name, coalesce(pg_relation_filenode(c.oid), 0)::text FROM ({TABLES}) c;\
         SELECT '{when} changes', c.name, (pg_stat_get_xact_tuples_updated(c.oid) + pg_stat_get_xact_tuples_deleted(c.oid))::text FROM ({TABLES}) c;\
         SELECT '{when} rows', c.name, \
           (xpath('/row/n/text()', query_to_xml('SELECT count(*) AS n FROM ' || c.name, false, true, '')))[1]::text FROM ({TABLES}) c;"
    ));
    sql
}

/// Runs `sql` behind `before`, in one transaction that is rolled back where that is possible.
pub(super) fn run(database: &Database, sql: &str) -> Seen {
    let inside = matches!(execution(Engine::Postgresql, sql, false), Ok(Execution::Transaction { .. }) | Err(_));
    // Its own BEGIN and COMMIT are the engine's business.
    let body = match execution(Engine::Postgresql, sql, false) {
        Ok(Execution::Transaction { body, .. }) => &sql[body],
        _ => sql,
    };
    let zone = "SET timezone = 'Europe/Berlin';";
    if inside {
        let locks = format!(
            "SELECT 'lock', c.name, l.mode FROM pg_locks l JOIN ({TABLES}) c ON c.oid = l.relation WHERE l.pid = pg_backend_pid() AND l.granted;"
        );
        let after = snapshot("after");
        let text = format!("{zone} BEGIN; {} {body}\n; {locks} {after} ROLLBACK;", snapshot("before"));
        return read(database.try_query(&text));
    }
    let before = database.try_query(&snapshot("before"));
    let statements = match execution(Engine::Postgresql, sql, false) {
        Ok(Execution::Statements(all)) => all,
        _ => Vec::new(),
    };
    for statement in statements {
        if let Err(error) = database.try_query(&sql[statement.range]) {
            return Seen { failed: Some(error.to_string()), ..Seen::default() };
        }
    }
    let after = database.try_query(&snapshot("after"));
    read(before.and_then(|mut rows| {
        rows.extend(after?);
        Ok(rows)
    }))
}

fn read(rows: Result<Vec<Vec<String>>, sqlx::Error>) -> Seen {
    let mut seen = Seen::default();
    let rows = match rows {
        Ok(rows) => rows,
        Err(error) => {
            seen.failed = Some(error.to_string());
            return seen;
        }
    };
    let of = |kind: &str| -> BTreeMap<String, String> {
        rows.iter().filter(|r| r[0] == kind).map(|r| (r[1].clone(), r[2].clone())).collect()
    };
    let lines = |kind: &str| -> BTreeSet<String> {
        rows.iter().filter(|r| r[0] == kind).map(|r| format!("{} {}", r[1], r[2])).collect()
    };
    seen.gone = lines("before").difference(&lines("after")).cloned().collect();
    let there = of("before file");
    for row in rows.iter().filter(|r| r[0] == "lock" && there.contains_key(&r[1])) {
        if let Some(lock) = Lock::of_mode(&row[2]) {
            let strongest = seen.locks.entry(row[1].clone()).or_insert(lock);
            *strongest = lock.max(*strongest);
        }
    }
    let number = |text: Option<&String>| text.and_then(|t| t.parse::<usize>().ok()).unwrap_or(0);
    let (files, counts) = (of("after file"), of("after rows"));
    for (table, file) in there {
        if files.get(&table).is_some_and(|now| *now != file) {
            seen.rewritten.insert(table);
        }
    }
    let (scans, changes) = (of("after scans"), of("after changes"));
    for (table, before) in of("before scans") {
        if number(scans.get(&table)) > number(Some(&before)) {
            seen.scanned.insert(table);
        }
    }
    for (table, before) in of("before rows") {
        let (before, after) = (number(Some(&before)), number(counts.get(&table)));
        if after > before {
            seen.added.insert(table.clone(), after - before);
        }
        let lost = before.saturating_sub(after);
        let most = lost.max(number(changes.get(&table)));
        if most > 0 {
            seen.changed.insert(table, most);
        }
    }
    seen
}

/// A database with the schema of the examples, with or without rows.
fn filled(rows: bool) -> Database {
    let database = Database::fresh(Kind::Postgres);
    fill(&database, rows);
    database
}

/// Makes the schema of the examples.
pub(super) fn fill(database: &Database, rows: bool) {
    database.query(SCHEMA);
    if rows {
        database.query(FILL);
    }
}

fn needs_its_own(hazard: &Hazard, sql: &str) -> bool {
    // What `setval` does is not rolled back.
    hazard.good.len() > 1
        || sql.contains("setval")
        || matches!(execution(Engine::Postgresql, sql, false), Ok(Execution::Statements(_)))
}

#[test]
fn p101_to_p185_bad_examples_do_what_the_rule_says_and_good_ones_do_not() {
    let (shared, empty) = (filled(true), filled(false));
    let mut wrong = Vec::new();
    for hazard in hazards().filter(|h| h.apart.is_none()) {
        let effect = effect_of(hazard.rule);
        let named = |what: &str| format!("{} {}: {what}", hazard.code, hazard.rule);
        // A finding of LOW risk about rows says that nothing is to be feared of them.
        let harmless = hazard.risk == Risk::Low && matches!(effect, Effect::Rewrites | Effect::Scans(_));
        let own = needs_its_own(hazard, hazard.bad).then(|| filled(true));
        let seen = run(own.as_ref().unwrap_or(&shared), hazard.bad);
        let fails = matches!(effect, Effect::Fails | Effect::FailsOnRows);
        if let Some(error) = seen.failed.as_ref().filter(|_| !fails) {
            wrong.push(named(&format!("`{}` does not run: {error}", hazard.bad)));
        } else if effect != Effect::Unmeasured && seen.shows(effect) == harmless {
            wrong.push(named(&format!(
                "`{}` is said to be {effect:?} (harmless: {harmless}), and shows {seen:?}",
                hazard.bad
            )));
        }
        if effect == Effect::FailsOnRows {
            let own = needs_its_own(hazard, hazard.bad).then(|| filled(false));
            if let Some(error) = run(own.as_ref().unwrap_or(&empty), hazard.bad).failed {
                wrong.push(named(&format!("`{}` fails on an empty table too: {error}", hazard.bad)));
            }
        }
        let own = hazard.good.iter().any(|g| needs_its_own(hazard, g)).then(|| filled(true));
        for (n, good) in hazard.good.iter().enumerate() {
            let seen = run(own.as_ref().unwrap_or(&shared), good);
            if let Some(error) = &seen.failed {
                wrong.push(named(&format!("`{good}` does not run: {error}")));
            } else if seen.shows(effect) {
                wrong.push(named(&format!("`{good}` is meant to be harmless and shows {effect:?}: {seen:?}")));
            }
            if n + 1 < hazard.good.len()
                && let Some(own) = &own
                && matches!(execution(Engine::Postgresql, good, false), Ok(Execution::Transaction { .. }))
            {
                own.query(good);
            }
        }
    }
    assert!(wrong.is_empty(), "{} disagree:\n{}", wrong.len(), wrong.join("\n\n"));
}

#[test]
fn p102_no_form_of_a_function_that_is_called_steady_is_volatile() {
    let database = Database::fresh(Kind::Postgres);
    let names: Vec<String> = godwit::lint::STEADY.iter().map(|name| format!("'{name}'")).collect();
    let wrong = database.query(&format!(
        "select n from unnest(array[{}]) n where not exists (select from pg_proc p where p.proname = n and p.pronamespace = \
         'pg_catalog'::regnamespace) or exists (select from pg_proc p where p.proname = n and p.pronamespace = \
         'pg_catalog'::regnamespace and p.provolatile = 'v')",
        names.join(", ")
    ));
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn no_form_of_a_function_that_is_called_changing_is_immutable_and_aggregates_are_nothing_else() {
    let database = Database::fresh(Kind::Postgres);
    let listed = |names: &[&str]| names.iter().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ");
    let own = "p.proname = n and p.pronamespace = 'pg_catalog'::regnamespace";
    let wrong = database.query(&format!(
        "select n from unnest(array[{}]) n where not exists (select from pg_proc p where {own}) or exists (select from pg_proc p \
         where {own} and p.provolatile = 'i') union all select n from unnest(array[{}]) n where not exists (select from pg_proc p \
         where {own}) or exists (select from pg_proc p where {own} and p.pronargs = 1 and p.prokind <> 'a')",
        listed(godwit::lint::CHANGING),
        listed(godwit::lint::AGGREGATES)
    ));
    assert!(wrong.is_empty(), "{wrong:?}");
}
