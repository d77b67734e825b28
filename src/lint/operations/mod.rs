//! Migrations that are lists of operations: each operation is handed to the rules about operations (`lint::rules`), with
//! what the migrations before it make. Pure.

mod elasticsearch;
pub(super) mod expressions;
mod lua;
mod mongodb;
mod redis;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;

use serde_json::Value;

pub(super) use elasticsearch::{Fields, fields, keeps_no_source};
pub(super) use lua::{Call, Lua, Word, cut};
pub(super) use mongodb::{definition, without_database};

use super::rules::operation::{Check, Told, asked};
use super::rules::postgres::{OWN_TABLES, OWN_TABLES_HELP};
use super::script::{Direction, Finding};
use super::table::{INVALID_OPERATION, RuleInfo};
use super::{Scope, own};
use crate::ids::Engine;
use crate::migration::execution::Nature;
use crate::migration::operations::{self, Located, Operation};
use crate::migration::sealed;
use crate::migration::{Migration, MigrationSet, Script};

/// Findings in one text.
pub(super) struct Place {
    pub script: Script,
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
            if elasticsearch::moves_alias(&listed[..n], &located.operation) {
                continue;
            }
            for name in makes(&located.operation) {
                let maker = Maker { migration: *at, operation: n, id: migration.id.to_string() };
                unit.made_by.entry(name).or_default().push(maker);
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
        let mut places = vec![Place { script: migration.up.clone(), found }];
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
    let mut places = vec![Place { script: down.clone(), found }];
    places.extend(lua);
    for place in &mut places {
        place.found.retain(|f| f.severity.or(f.rule.severity) == Some(super::Severity::Error));
    }
    places
}

/// An operation that makes something.
pub(super) struct Maker {
    /// Its migration's place in the set.
    pub migration: usize,
    /// Its own in the migration.
    operation: usize,
    /// Its migration's id.
    pub id: String,
}

/// What is known of a unit's database at some point of its history.
#[derive(Default)]
pub(super) struct Unit {
    /// Name of a thing → the operations that make it, in order.
    made_by: BTreeMap<String, Vec<Maker>>,
    /// Names of things → whether they are there now; what is not in it is presumed to be there [S4-63].
    there: BTreeMap<String, bool>,
    /// Elasticsearch: what else is known of indices.
    elastic: elasticsearch::State,
    /// MongoDB: what else is known of collections.
    mongo: mongodb::State,
}

impl Unit {
    /// Whether a thing is there, as far as migrations made it or took it away.
    pub(super) fn presence(&self, name: &str) -> Option<bool> {
        self.there.get(name).copied()
    }

    /// Whether migrations made a thing, and it is there.
    pub(super) fn is_there(&self, name: &str) -> bool {
        self.presence(name) == Some(true)
    }
}

/// One migration being looked at.
pub(super) struct Look<'a> {
    /// Its place in the set.
    pub at: usize,
    /// Why operations that nothing proves are meant, as the migration says.
    manual: Option<&'a str>,
    /// Its database in front of the operation that is looked at.
    pub unit: &'a mut Unit,
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
            self.used(n, &range, &located.operation);
        }
        match &located.operation {
            Operation::Mongodb(o) => {
                self.ask(&range, |look, check, told| {
                    if let Check::Mongodb(check) = check {
                        check(look, o, told);
                    }
                });
                mongodb::follow(self.unit, o);
            }
            Operation::Elasticsearch(o) => {
                self.ask(&range, |look, check, told| {
                    if let Check::Elasticsearch(check) = check {
                        check(look, o, told);
                    }
                });
                elasticsearch::follow(self.unit, o);
            }
            Operation::Redis(o) => redis::check(self, &range, o, script),
        }
        self.unprovable(&range, &located.operation);
        self.values(&range, &script.text[range.clone()], &located.operation);
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

    /// Hands each rule to `ask`, together with what is known so far.
    fn ask(&mut self, at: &Range<usize>, ask: impl Fn(&Look<'_>, &Check, &mut Told<'_>)) {
        let found = asked(at, |check, told| ask(self, check, told));
        self.found.extend(found);
    }

    /// Has the rules judge what the `n`th operation uses.
    fn used(&mut self, n: usize, range: &Range<usize>, operation: &Operation) {
        let taken = takes_away(operation);
        for name in uses(operation) {
            // What one migration takes away and makes anew was there before: an index gets another definition, a view
            // takes the place of a collection that moves.
            let again = taken.contains(&name) && self.maker_from(&name, n).is_some_and(|m| m.migration == self.at);
            if !again || self.unit.there.contains_key(&name) {
                self.ask(range, |look, check, told| {
                    if let Check::Use(check) = check {
                        check(look, n, &name, told);
                    }
                });
            }
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

    /// The first operation from the `n`th of this migration on that makes a thing.
    pub(super) fn maker_from(&self, name: &str, n: usize) -> Option<&Maker> {
        self.unit.made_by.get(name)?.iter().find(|m| (m.migration, m.operation) >= (self.at, n))
    }

    /// What concerns the migration as a whole.
    fn whole(&mut self, migration: &Migration, listed: &[Located]) {
        self.ask(&(0..0), |look, check, told| {
            if let Check::Migration(check) = check {
                check(look, migration, listed, told);
            }
        });
    }

    /// Values that the driver could not send (N301). What is sealed is seen where it is opened.
    fn values(&mut self, range: &Range<usize>, json: &str, operation: &Operation) {
        if !matches!(operation, Operation::Mongodb(_)) {
            return;
        }
        for (at, wrong) in operations::extended_json::unreadable(json) {
            if sealed::holds(&json[at.clone()]) {
                continue;
            }
            let help = "write the value as MongoDB's extended JSON has it: `{\"$date\": \"2026-01-31T00:00:00Z\"}`, `{\"$oid\": …}` \
                        with 24 hexadecimal digits, numbers as texts";
            let at = range.start + at.start..range.start + at.end;
            self.add(&INVALID_OPERATION, &at, wrong, help);
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
        self.found.push(Finding::new(rule, range.clone(), message).with_help(help));
    }

    /// Whether a thing was made just now, so that it holds nothing yet.
    pub(super) fn is_fresh(&self, name: &str) -> bool {
        self.fresh.contains(name)
    }
}

/// Names of things, such as `collection customers` or `index customers/email_1`.
pub(super) fn makes(operation: &Operation) -> Vec<String> {
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

#[cfg(test)]
mod tests;
