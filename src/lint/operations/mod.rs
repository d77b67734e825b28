//! Rules about migrations that are lists of operations: each operation by itself, and against what the migrations before
//! it make. Pure.

mod elasticsearch;
mod everything;
mod lua;
mod mongodb;
mod redis;
mod rules;
mod state_elasticsearch;
mod state_mongodb;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;

use serde_json::Value;

pub(super) use rules::RULES;

use super::rules::postgres::{OWN_TABLES, OWN_TABLES_HELP};
use super::script::{Direction, Finding};
use super::table::RuleInfo;
use super::{Scope, own, versions};
use crate::ids::Engine;
use crate::migration::execution::Nature;
use crate::migration::operations::{self, Inverse, Located, Operation, redis as keys};
use crate::migration::{Migration, MigrationSet, Script, VersionStep};

/// Findings in one text, which starts at `first_line` of `file`.
pub(super) struct Place {
    pub file: String,
    pub text: String,
    pub first_line: u32,
    pub found: Vec<Finding>,
}

/// [`look`], with a stack that a script's parser cannot use up; sets without operations cost nothing.
pub(super) fn look_with_stack(set: &MigrationSet, scope: &Scope) -> HashMap<usize, Vec<Place>> {
    if set.migrations.iter().any(|m| operations::are_operations(m.engine)) {
        super::depth::with_stack(|| look(set, scope))
    } else {
        HashMap::new()
    }
}

/// What the operations of a set say, by the migration's place in it. Every migration is followed, so that what one in
/// `scope` uses is known; only those in scope are judged.
fn look(set: &MigrationSet, scope: &Scope) -> HashMap<usize, Vec<Place>> {
    let mut out = HashMap::new();
    let mut units: BTreeMap<&str, Unit> = BTreeMap::new();
    let all: Vec<(usize, &Migration, Vec<Located>)> = set
        .migrations
        .iter()
        .enumerate()
        .filter(|(_, m)| operations::are_operations(m.engine))
        .map(|(at, m)| (at, m, operations::read(m.engine, &m.up.text).unwrap_or_default()))
        .collect();
    for (at, migration, listed) in &all {
        let unit = units.entry(migration.unit.as_str()).or_default();
        for (n, located) in listed.iter().enumerate() {
            for name in makes(&located.operation) {
                unit.made_by.entry(name).or_default().push((*at, n, migration.id.to_string()));
            }
        }
    }
    let mut fresh_of_branch: BTreeSet<String> = BTreeSet::new();
    for (at, migration, listed) in &all {
        let unit = units.entry(migration.unit.as_str()).or_default();
        let judged = scope.holds(migration);
        let mut fresh = fresh_of_branch.clone();
        let manual = migration.directives.manual.as_deref();
        let mut look = Look { at: *at, manual, unit, fresh: &mut fresh, found: Vec::new(), lua: Vec::new() };
        for (n, located) in listed.iter().enumerate() {
            look.operation(n, located, &migration.up, Direction::Up);
        }
        look.whole(migration, listed);
        let (found, lua) = (std::mem::take(&mut look.found), std::mem::take(&mut look.lua));
        if matches!(scope, Scope::Paths(_)) && judged {
            fresh_of_branch = fresh;
        }
        if !judged {
            continue;
        }
        let mut places = vec![Place::of(&migration.up, found)];
        places.extend(lua);
        if let Some(down) = &migration.down {
            places.extend(backward(migration, down, *at));
        }
        places.retain(|p| !p.found.is_empty());
        out.insert(*at, places);
    }
    out
}

/// A rollback: only what cannot run, or must not, is worth a word.
fn backward(migration: &Migration, down: &Script, at: usize) -> Vec<Place> {
    let listed = operations::read(migration.engine, &down.text).unwrap_or_default();
    if listed.iter().any(|l| l.operation.name() == "undo") {
        return Vec::new();
    }
    let (mut unit, mut fresh) = (Unit::default(), BTreeSet::new());
    let manual = migration.directives.manual.as_deref();
    let mut look = Look { at, manual, unit: &mut unit, fresh: &mut fresh, found: Vec::new(), lua: Vec::new() };
    for (n, located) in listed.iter().enumerate() {
        look.operation(n, located, down, Direction::Down);
    }
    let (found, lua) = (std::mem::take(&mut look.found), std::mem::take(&mut look.lua));
    let mut places = vec![Place::of(down, found)];
    places.extend(lua);
    for place in &mut places {
        place.found.retain(|f| f.severity.or(f.rule.severity) == Some(super::Severity::Error));
    }
    places
}

impl Place {
    fn of(script: &Script, found: Vec<Finding>) -> Self {
        Self { file: script.path.clone(), text: script.text.clone(), first_line: script.first_line, found }
    }
}

/// What is known of a unit's database at some point of its history.
#[derive(Default)]
struct Unit {
    /// Name of a thing → the operations that make it, in order: migration's place, operation's place, migration's id.
    made_by: BTreeMap<String, Vec<(usize, usize, String)>>,
    /// Names of things → whether they are there now; what is not in it is presumed to be there [S4-63].
    there: BTreeMap<String, bool>,
    /// MongoDB: `collection/name` → keys and options of an index that migrations made.
    indexes: BTreeMap<String, Value>,
    /// Elasticsearch: index → field's path → how it is mapped.
    mappings: BTreeMap<String, BTreeMap<String, Value>>,
    /// Elasticsearch: alias → index.
    aliases: BTreeMap<String, String>,
    /// Elasticsearch: what else is known of indices.
    elastic: state_elasticsearch::State,
    /// MongoDB: what else is known of collections.
    mongo: state_mongodb::State,
}

/// One migration being looked at.
struct Look<'a> {
    at: usize,
    /// Why operations that nothing proves are meant, as the migration says.
    manual: Option<&'a str>,
    unit: &'a mut Unit,
    /// What this migration (or, of a branch, one before it) made: it holds nothing yet.
    fresh: &'a mut BTreeSet<String>,
    found: Vec<Finding>,
    /// Findings within Lua files.
    lua: Vec<Place>,
}

impl Look<'_> {
    fn operation(&mut self, n: usize, located: &Located, script: &Script, direction: Direction) {
        let range = located.range.clone();
        if direction == Direction::Up {
            let taken = takes_away(&located.operation);
            for name in uses(&located.operation) {
                // What one migration takes away and makes anew was there before: an index gets another definition, a view
                // takes the place of a collection that moves.
                let again = taken.contains(&name) && self.maker_from(&name, n).is_some_and(|(at, ..)| *at == self.at);
                if !again || self.unit.there.contains_key(&name) {
                    self.used(n, &range, &name);
                }
            }
        }
        match &located.operation {
            Operation::Mongodb(o) => {
                state_mongodb::follow(self, &range, o);
                mongodb::check(self, &range, o);
            }
            Operation::Elasticsearch(o) => {
                state_elasticsearch::follow(self, &range, o);
                elasticsearch::check(self, &range, o);
            }
            Operation::Redis(o) => redis::check(self, &range, o, script),
        }
        self.unprovable(&range, &located.operation);
        self.secrets(&range, &script.text[range.clone()], &located.operation);
        self.own(&range, &script.text[range.clone()], &located.operation);
        // What only gets another name is as full as it was.
        let renamed = takes_away(&located.operation).iter().any(|name| !self.is_fresh(name));
        for name in makes(&located.operation) {
            if !renamed {
                self.fresh.insert(name.clone());
            }
            self.unit.there.insert(name, true);
        }
        for name in takes_away(&located.operation) {
            self.fresh.remove(&name);
            self.unit.there.insert(name, false);
        }
    }

    /// Reports a change of what Godwit keeps for itself.
    fn own(&mut self, range: &Range<usize>, text: &str, operation: &Operation) {
        let engine = match operation {
            Operation::Mongodb(_) => Engine::Mongodb,
            Operation::Elasticsearch(_) => Engine::Elasticsearch,
            Operation::Redis(_) => return,
        };
        if own::mentions(text)
            && let Some(name) = own::own_of_operation(engine, text)
        {
            self.add(&OWN_TABLES.info, range, own::message(&name), OWN_TABLES_HELP);
        }
    }

    /// Reports an operation of which nobody can tell after a crash whether it was done, wherever it runs.
    fn unprovable(&mut self, range: &Range<usize>, operation: &Operation) {
        let recovery = operation.recovery();
        if recovery.nature == Nature::Unprovable && operation.name() != "undo" {
            let what = format!("`{}` ({})", operation.name(), recovery.why);
            let help = "use an operation whose effect can be looked for; where that cannot be, say that it is meant: \
                        `\"manual\": \"why\"` beside `operations`";
            self.found.push(super::check::unprovable(range.clone(), &what, help.to_owned(), self.manual));
        }
    }

    /// Reports the use of a thing that is not there yet, or not any more.
    fn used(&mut self, n: usize, range: &Range<usize>, name: &str) {
        let shown = shown(name);
        match self.unit.there.get(name) {
            Some(true) => {}
            Some(false) => self.add(
                &rules::USED_BEFORE_CREATED,
                range,
                format!("{shown} is gone: an operation before this one took it away"),
                "take this operation out, or put it before the one that takes it away",
            ),
            None => {
                if let Some((at, _, id)) = self.maker_from(name, n) {
                    let by = if *at == self.at { "this migration".to_owned() } else { format!("`{id}`") };
                    self.add(
                        &rules::USED_BEFORE_CREATED,
                        range,
                        format!("{shown} is made only later, by {by} [S4-63]"),
                        "put the operation behind the one that makes it",
                    );
                }
            }
        }
    }

    /// The first operation from the `n`th of this migration on that makes a thing: its migration's place, its own, and the id.
    fn maker_from(&self, name: &str, n: usize) -> Option<&(usize, usize, String)> {
        self.unit.made_by.get(name)?.iter().find(|m| (m.0, m.1) >= (self.at, n))
    }

    /// What concerns the migration as a whole.
    fn whole(&mut self, migration: &Migration, listed: &[Located]) {
        state_elasticsearch::whole(self, listed);
        if migration.down.is_none() {
            for located in listed {
                if let Inverse::None(why) = located.operation.inverse() {
                    let message = format!(
                        "`{}` cannot be taken back: {why}; and the migration has no rollback [S4-67]",
                        located.operation.name()
                    );
                    let help =
                        "write what brings back as much as can be, as `rollback` or in a `_rollback` file beside it";
                    self.add(&rules::IRREVERSIBLE, &located.range, message, help);
                }
            }
        }
        self.version_says(migration, listed);
    }

    /// Major breaks, minor adds, patch repairs [S4-41] [S4-42] [S4-43].
    fn version_says(&mut self, migration: &Migration, listed: &[Located]) {
        let Some(step) = migration.step else { return };
        let version = &migration.version;
        if step == VersionStep::Major {
            if !versions::notes_breaking(migration) {
                let at = listed.first().map_or(0..0, |l| l.range.clone());
                let (message, help) = versions::unnoted(version);
                self.add(&rules::VERSION_CONTENT, &at, message, help);
            }
        } else if let Some(breaking) = listed.iter().find(|l| breaks(&l.operation)) {
            let (message, help) = versions::breaking(breaking.operation.name(), version);
            self.add(&rules::VERSION_CONTENT, &breaking.range, message, help);
        } else if step == VersionStep::Patch
            && let Some(adds) =
                listed.iter().find(|l| !makes(&l.operation).is_empty() && l.operation.name() != "create_index")
        {
            let (message, help) = versions::adding(adds.operation.name(), version);
            self.add(&rules::VERSION_CONTENT, &adds.range, message, help);
        }
    }

    /// Secrets among the values [S4-81].
    fn secrets(&mut self, range: &Range<usize>, json: &str, operation: &Operation) {
        let Ok(mut value) = serde_json::from_str::<Value>(json) else { return };
        // A script's own literals are told at its own lines.
        if let Some(fields) = value.as_object_mut() {
            fields.remove("lua");
        }
        let mut named = BTreeSet::new();
        super::secrets::in_json(&value, &mut named);
        for key in named {
            let message = format!("`{}` holds a secret: the value of `{key}` [S4-81]", operation.name());
            let help = "take it out of the file and change it where it is used: what is committed is known";
            self.add(&super::rules::SECRET_LITERAL.info, range, message, help);
        }
    }

    fn add(&mut self, rule: &'static RuleInfo, range: &Range<usize>, message: String, help: &str) {
        self.found.push(finding(rule, range.clone(), message, help));
    }

    /// Whether a thing was made just now, so that it holds nothing yet.
    fn is_fresh(&self, name: &str) -> bool {
        self.fresh.contains(name)
    }
}

fn finding(rule: &'static RuleInfo, range: Range<usize>, message: String, help: &str) -> Finding {
    Finding {
        rule,
        range,
        message,
        help: Some(help.to_owned()),
        severity: None,
        risk: None,
        tables: Vec::new(),
        fix: None,
    }
}

/// Names of things, such as `collection customers` or `index customers/email_1`.
fn makes(operation: &Operation) -> Vec<String> {
    match operation {
        Operation::Mongodb(o) => mongodb::makes(o),
        Operation::Elasticsearch(o) => elasticsearch::makes(o),
        Operation::Redis(_) => Vec::new(),
    }
}

fn uses(operation: &Operation) -> Vec<String> {
    match operation {
        Operation::Mongodb(o) => mongodb::uses(o),
        Operation::Elasticsearch(o) => elasticsearch::uses(o),
        Operation::Redis(_) => Vec::new(),
    }
}

fn takes_away(operation: &Operation) -> Vec<String> {
    match operation {
        Operation::Mongodb(o) => mongodb::takes_away(o),
        Operation::Elasticsearch(o) => elasticsearch::takes_away(o),
        Operation::Redis(_) => Vec::new(),
    }
}

/// Whether what runs may miss something afterwards.
fn breaks(operation: &Operation) -> bool {
    if let Operation::Redis(keys::Operation::Script { lua, .. }) = operation {
        return versions::takes_keys(lua);
    }
    matches!(
        operation.name(),
        "remove_field"
            | "rename_field"
            | "drop_collection"
            | "rename_collection"
            | "delete_index"
            | "delete_keys"
            | "rename_keys"
    )
}

fn shown(name: &str) -> String {
    match name.split_once(' ') {
        Some((kind, name)) => format!("the {kind} `{name}`"),
        None => format!("`{name}`"),
    }
}

#[cfg(test)]
mod tests;
