//! Migrations tried on a scratch database: forward, back, forward again, with what that leaves, locks and takes.

use std::collections::BTreeSet;
use std::time::Duration;

use secrecy::SecretString;

use super::connect::with_driver;
use super::sealed::Opening;
use super::{Actor, ApplyOptions, Keeper, RunError, Target, apply_with, measured, rollback};
use crate::drivers::Driver as _;
use crate::drivers::scratch::{Roles, Scratch};
use crate::ids::{Engine, TargetName};
use crate::migration::native::Book;
use crate::migration::{Migration, MigrationSet};
use crate::plan::drift::changes;
use crate::plan::planner::Selector;
use crate::plan::rehearsal::Rehearsed;
use crate::plan::{Outcome, RunReport, SchemaSnapshot};
use crate::store::Store;

/// What a rehearsal is given.
pub struct Rehearsal<'a> {
    /// The migrations, in order; those of other engines are left out.
    pub set: &'a MigrationSet,
    /// The kind of database.
    pub engine: Engine,
    /// A server on which a scratch database may be made.
    pub server: &'a SecretString,
    /// A folder for the store of the rehearsal and for SQLite's scratch file.
    pub folder: &'a std::path::Path,
    /// Try only these, by `unit/id`; the others are applied first without being tried. Empty: all of them.
    pub only: &'a [String],
    /// Bound on one migration.
    pub timeout: Option<Duration>,
    /// Whether the server is asked how it means to carry out each statement.
    pub plans: Plans,
}

/// Whether plans of statements are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plans {
    /// They are.
    Asked,
    /// They are not.
    Left,
}

/// What came of a rehearsal.
#[derive(Debug)]
pub struct Tried {
    /// The migrations, as far as it came.
    pub migrations: Vec<Rehearsed>,
    /// Roles that came to the server meanwhile and stay, where a migration puts the names of some together as it runs. Whose
    /// they are cannot be told: others may rehearse on the same server.
    pub roles: Vec<String>,
}

/// Tries each migration of the set on a scratch database that is taken away afterwards. Stops at the first that cannot
/// be applied.
///
/// # Errors
/// When the server cannot be reached, or the place is not empty.
pub async fn rehearse(rehearsal: &Rehearsal<'_>, actor: &Actor) -> Result<Tried, RunError> {
    let roles = Roles::now(rehearsal.engine, rehearsal.server).await.map_err(super::connect::unreachable)?;
    let scratch = Scratch::make(rehearsal.engine, rehearsal.server, rehearsal.folder)
        .await
        .map_err(super::connect::unreachable)?;
    let store = Store::open(&format!("sqlite:{}", rehearsal.folder.join("rehearsal.db").display())).await?;
    let target = Target {
        environment: None,
        name: TargetName::new("scratch").expect("a plain word is a target name"),
        engine: rehearsal.engine,
        url: scratch.url.clone(),
    };
    let tried = on(rehearsal, &target, &Keeper::opened(&store), actor).await;
    let removed = scratch.remove().await;
    // Behind the scratch database, in which they may own something.
    let forgotten = roles.forget_new(|name| is_named(rehearsal.set, rehearsal.engine, name)).await;
    let tried = tried?;
    removed.map_err(super::connect::unreachable)?;
    let others = forgotten.map_err(super::connect::unreachable)?;
    let is_late = names_roles_late(rehearsal.set, rehearsal.engine);
    Ok(Tried { migrations: tried, roles: if is_late { others } else { Vec::new() } })
}

/// Whether a migration seems to make roles whose names it does not write.
fn names_roles_late(set: &MigrationSet, engine: Engine) -> bool {
    let speaks = |text: &str| {
        let text = text.to_lowercase();
        let words: BTreeSet<&str> = text.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
        let makes = words.contains("create") && ["role", "user", "group"].iter().any(|kind| words.contains(kind));
        makes && words.contains("execute")
    };
    set.migrations.iter().filter(|m| m.engine == engine).any(|m| speaks(&m.up.text))
}

/// Whether a migration speaks of a role: what others make on the same server meanwhile is none of ours.
fn is_named(set: &MigrationSet, engine: Engine, role: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let speaks = |text: &str| {
        let (text, role) = (text.to_lowercase(), role.to_lowercase());
        text.match_indices(&role).any(|(at, _)| {
            !text[..at].chars().next_back().is_some_and(is_part)
                && !text[at + role.len()..].chars().next().is_some_and(is_part)
        })
    };
    let own = set.migrations.iter().filter(|m| m.engine == engine);
    own.flat_map(|m| [Some(&m.up), m.down.as_ref()]).flatten().any(|script| speaks(&script.text))
}

async fn on(
    rehearsal: &Rehearsal<'_>,
    target: &Target,
    keeper: &Keeper,
    actor: &Actor,
) -> Result<Vec<Rehearsed>, RunError> {
    let mut empty = schema(target).await?;
    // A server has settings from its first moment.
    empty.objects.retain(|name, _| !name.starts_with("setting "));
    let keys = keys(target).await?;
    if keys > 0 {
        return Err(RunError::Unreachable(format!(
            "the scratch place is not empty: it holds {keys} keys; give one that nobody uses"
        )));
    }
    if !empty.objects.is_empty() {
        return Err(RunError::Unreachable(format!(
            "the scratch place is not empty: it holds {}; give one that nobody uses",
            empty.objects.keys().take(3).cloned().collect::<Vec<_>>().join(", ")
        )));
    }
    let mut set = rehearsal.set.clone();
    set.migrations.retain(|m| m.engine == rehearsal.engine);
    for migration in &mut set.migrations {
        migration.target = None;
        // Those of one environment share the numbers of the folder, and would be none of a scratch database's otherwise.
        migration.only_in = None;
        // What other databases hold cannot be asked here.
        let own: Vec<String> = migration.directives.depends_on.clone();
        migration.directives.depends_on =
            own.into_iter().filter(|d| rehearsal.set.find(d).is_some_and(|m| m.engine == rehearsal.engine)).collect();
        measured::note(migration);
    }
    prepare(target, &set).await?;
    // What comes behind the last that is wanted has no say in how that fares.
    let last = match rehearsal.only {
        [] => set.migrations.len(),
        only => set.migrations.iter().rposition(|m| only.contains(&m.reference())).map_or(0, |n| n + 1),
    };
    let book = Book::of(&set, &target.name, target.engine);
    let mut tried = Vec::new();
    for n in 0..last {
        let migration = &set.migrations[n];
        let wanted = rehearsal.only.is_empty() || rehearsal.only.contains(&migration.reference());
        let one = Attempt { rehearsal, set: &set, book: &book, target, keeper, actor };
        let result = one.migration(migration, wanted).await?;
        let stops = result.error.is_some();
        if wanted || stops {
            tried.push(result);
        }
        if stops {
            break;
        }
    }
    Ok(tried)
}

struct Attempt<'a> {
    rehearsal: &'a Rehearsal<'a>,
    set: &'a MigrationSet,
    /// What the engine itself makes for the migrations.
    book: &'a Book,
    target: &'a Target,
    keeper: &'a Keeper,
    actor: &'a Actor,
}

impl Attempt<'_> {
    async fn migration(&self, migration: &Migration, wanted: bool) -> Result<Rehearsed, RunError> {
        let mut result = Rehearsed {
            unit: migration.unit.clone(),
            migration: migration.id.clone(),
            engine: migration.engine,
            took_ms: Vec::new(),
            locks: Vec::new(),
            rows: Vec::new(),
            changed: None,
            plans: Vec::new(),
            reversible: migration.is_reversible(),
            not_restored: Vec::new(),
            not_repeated: Vec::new(),
            error: None,
        };
        if let Some(schema) = self.book.schema_of(&migration.unit) {
            // A run makes it as well, and no way back takes it away.
            measured::make_schema(self.target, schema).await?;
        }
        let before = if wanted { self.schema().await? } else { SchemaSnapshot::default() };
        let asked = wanted && self.rehearsal.plans == Plans::Asked;
        if asked {
            measured::explain(self.target, migration, &mut result.plans).await?;
        }
        let (went_well, seen) = match wanted {
            true => measured::watched(self.target, migration, Box::pin(self.forward(migration, &mut result))).await,
            false => (self.forward(migration, &mut result).await, BTreeSet::new()),
        };
        if !went_well? || !wanted {
            return Ok(result);
        }
        if asked {
            // What needs the migration's own changes can be told only now.
            measured::explain(self.target, migration, &mut result.plans).await?;
        }
        result.locks = measured::locks(self.target, &before, migration, seen).await?;
        result.rows = measured::rows(self.target, migration).await?;
        if !result.reversible {
            return Ok(result);
        }
        let after = self.schema().await?;
        let report = rollback(
            self.keeper,
            self.set,
            std::slice::from_ref(self.target),
            self.actor,
            &self.options(),
            Selector::Migration(migration.reference()),
        )
        .await?;
        if !self.went_well(&report, "the way back", &mut result) {
            return Ok(result);
        }
        result.not_restored = changes(&before, &self.schema().await?);
        if self.forward(migration, &mut result).await? {
            result.not_repeated = changes(&after, &self.schema().await?);
        }
        Ok(result)
    }

    /// What the scratch database holds, but for the schemas that a run makes: they come with the first run in them.
    async fn schema(&self) -> Result<SchemaSnapshot, RunError> {
        let mut found = schema(self.target).await?;
        for name in self.book.schemas.values() {
            for key in [format!("schema {name}"), format!("schema \"{name}\"")] {
                found.objects.remove(&key);
            }
        }
        Ok(found)
    }

    fn options(&self) -> ApplyOptions {
        // What is lost here is a copy.
        ApplyOptions {
            brief: true,
            timeout: self.rehearsal.timeout,
            accept_data_loss: true,
            opening: Opening::Never,
            ..ApplyOptions::default()
        }
    }

    async fn forward(&self, migration: &Migration, result: &mut Rehearsed) -> Result<bool, RunError> {
        // Nobody needs to be asked for a contract here: nothing uses the scratch database.
        let released = BTreeSet::from([migration.release_key()]);
        let options = ApplyOptions { to: Some(migration.reference()), released, ..self.options() };
        let targets = std::slice::from_ref(self.target);
        let report = apply_with(self.keeper, self.set, targets, self.actor, &options).await?;
        let first = result.took_ms.is_empty();
        if first {
            let counted = report.steps.iter().filter_map(|s| s.rows);
            result.changed = counted.fold(None, |sum, n| Some(sum.unwrap_or(0) + n));
        }
        let way = if first { "the way forward" } else { "the second way forward" };
        Ok(self.went_well(&report, way, result))
    }

    fn went_well(&self, report: &RunReport, way: &str, result: &mut Rehearsed) -> bool {
        result.took_ms.push(report.steps.iter().map(|s| s.duration_ms).sum());
        if matches!(report.outcome, Outcome::Applied | Outcome::Nothing) {
            return true;
        }
        let failed = report.steps.iter().find_map(|s| s.error.as_ref());
        let why = failed
            .map(|e| format!("{}:{}: {}", e.file, e.line, e.message))
            .or_else(|| report.blocked_by.first().map(|r| r.message.clone()))
            .unwrap_or_else(|| report.outcome.as_str().to_owned());
        result.error = Some(format!("{way}: {}", as_written(self.target, why)));
        false
    }
}

/// Words about names that a rehearsal has given a prefix, as the files have them.
#[cfg(feature = "elasticsearch")]
fn as_written(target: &Target, words: String) -> String {
    let prefix =
        crate::drivers::elasticsearch::scratch::prefix(&target.url).filter(|_| target.engine == Engine::Elasticsearch);
    prefix.map_or(words.clone(), |prefix| words.replace(&prefix, ""))
}

#[cfg(not(feature = "elasticsearch"))]
fn as_written(_target: &Target, words: String) -> String {
    words
}

async fn schema(target: &Target) -> Result<SchemaSnapshot, RunError> {
    let mut found = with_driver!(target, driver => driver.schema().await.map_err(unreachable)?);
    found.objects.retain(|name, _| !name.contains(measured::NOTES));
    if let Some(details) = &mut found.details {
        details.retain(|name, _| !name.contains(measured::NOTES));
    }
    Ok(found)
}

/// How many keys a Redis server holds; every other kind of database shows what it holds in its schema.
#[cfg(feature = "redis")]
async fn keys(target: &Target) -> Result<u64, RunError> {
    if target.engine != Engine::Redis {
        return Ok(0);
    }
    let driver = crate::drivers::redis::RedisDriver::connect(&target.url).await.map_err(super::connect::unreachable)?;
    driver.keys().await.map_err(super::connect::unreachable)
}

#[cfg(not(feature = "redis"))]
async fn keys(_target: &Target) -> Result<u64, RunError> {
    Ok(0)
}

/// Puts into the scratch place what the rehearsal itself or the migrations presume.
async fn prepare(target: &Target, set: &MigrationSet) -> Result<(), RunError> {
    measured::prepare(target).await?;
    presume(target, set).await
}

/// Indices that the migrations change and none of them makes.
#[cfg(feature = "elasticsearch")]
async fn presume(target: &Target, set: &MigrationSet) -> Result<(), RunError> {
    use crate::migration::execution::{Execution, execution};
    use crate::migration::operations::Operation;
    if target.engine != Engine::Elasticsearch {
        return Ok(());
    }
    let mut operations = Vec::new();
    for migration in &set.migrations {
        let execution = execution(migration.engine, &migration.up.text, migration.directives.no_transaction);
        let Ok(Execution::Statements(statements)) = execution else { continue };
        for statement in statements {
            if let Ok(Operation::Elasticsearch(one)) =
                Operation::parse(migration.engine, &migration.up.text[statement.range])
            {
                operations.push(one);
            }
        }
    }
    let driver = crate::drivers::elasticsearch::ElasticsearchDriver::connect(&target.url)
        .await
        .map_err(super::connect::unreachable)?;
    driver.presume(&operations).await.map_err(super::connect::unreachable)?;
    Ok(())
}

#[cfg(not(feature = "elasticsearch"))]
async fn presume(_target: &Target, _set: &MigrationSet) -> Result<(), RunError> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migration::{MigrationRoot, SourceFile, resolve};

    #[test]
    fn only_roles_that_the_migrations_speak_of_are_theirs() {
        let files = [
            SourceFile::new(
                "m/0001_a.up.sql",
                "CREATE ROLE Shop_Reader NOLOGIN; DO $$BEGIN EXECUTE 'create role dyn'; END$$;",
            ),
            SourceFile::new("m/0001_a.down.sql", "DROP ROLE shop_reader; DROP ROLE \"Old One\";"),
        ];
        let set = resolve(&files, &[MigrationRoot::folder("**")]);
        for (role, theirs) in [
            ("shop_reader", true),
            ("dyn", true),
            ("Old One", true),
            ("shop", false),
            ("reader", false),
            ("other", false),
        ] {
            assert_eq!(is_named(&set, Engine::Postgresql, role), theirs, "{role}");
        }
        assert!(!is_named(&set, Engine::Sqlite, "shop_reader"));
    }

    #[test]
    fn roles_that_nobody_wrote_are_looked_for_where_they_may_be_made() {
        for (sql, late) in [
            ("DO $$ BEGIN EXECUTE format('CREATE ROLE %I', current_database()); END $$;", true),
            ("DO $$ BEGIN EXECUTE 'create user ' || 'a' || 'b'; END $$;", true),
            ("CREATE ROLE plain;", false),
            ("DO $$ BEGIN EXECUTE 'create table t (id int)'; END $$;", false),
        ] {
            let set = resolve(&[SourceFile::new("m/0001_a.up.sql", sql)], &[MigrationRoot::folder("**")]);
            assert_eq!(names_roles_late(&set, Engine::Postgresql), late, "{sql}");
            assert!(!names_roles_late(&set, Engine::Sqlite));
        }
    }
}
