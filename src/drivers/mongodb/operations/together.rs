//! A new collection and what its migration gives it next, as one: a transaction can make collections, and indexes of
//! those that it has made itself. Pure.

use std::collections::BTreeSet;

use mongodb::bson::{Document, doc};

use super::collections::create_command;
use super::indexes::create_within;
use super::{Running, digest, wanted_index};
use crate::drivers::mongodb::{history, values};
use crate::ids::Engine;
use crate::migration::operations::mongodb::{Operation, fits_a_transaction};
use crate::migration::operations::{Operation as Any, read};
use crate::plan::StepAction;

/// Operations in one transaction at most: it holds the collections and the fence until its end.
pub(super) const MOST: usize = 32;

/// What is done as one.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Together {
    pub commands: Vec<Document>,
    /// What the operations leave for their undo, and those too that give a new collection an index later: what is not there
    /// has none, so each will be its own.
    pub records: Vec<(String, Document)>,
    /// How many statements of the migration are done with it.
    pub done: i32,
}

impl Together {
    /// The operation that runs, which makes a collection, and those that follow it and fit in the same transaction; `most`
    /// in all.
    pub fn beginning_with(running: &Running<'_>, action: StepAction, most: usize) -> Self {
        let text = running.statement.text;
        let all = read(Engine::Mongodb, text).unwrap_or_default();
        let first = usize::try_from(running.statement.done.max(1) - 1).unwrap_or(0);
        let mut together = Self { done: running.statement.done, ..Self::default() };
        let mut new = BTreeSet::new();
        let mut goes_on = true;
        for (n, one) in all.iter().enumerate().skip(first) {
            goes_on = goes_on && together.commands.len() < most;
            // What cannot be read is told when its turn comes.
            let command = match &one.operation {
                Any::Mongodb(Operation::CreateCollection { collection, options })
                    if goes_on && fits_a_transaction(options) =>
                {
                    new.insert(collection.as_str());
                    values::document(options).map(|options| create_command(collection, &options)).ok()
                }
                Any::Mongodb(Operation::CreateIndex { collection, index, options })
                    if new.contains(collection.as_str()) =>
                {
                    wanted_index(index, options).map(|index| create_within(collection, index)).ok()
                }
                // Behind that a name may stand for another collection.
                Any::Mongodb(
                    Operation::RenameCollection { .. }
                    | Operation::DropCollection { .. }
                    | Operation::RunCommand { .. },
                ) => break,
                _ => {
                    goes_on = false;
                    continue;
                }
            };
            goes_on = goes_on && command.is_some();
            let record = doc! { "made": true, "text": digest(&text[one.range.clone()]) };
            together.records.push((history::slot(action, n), record));
            if let Some(command) = command.filter(|_| goes_on) {
                together.commands.push(command);
                together.done = i32::try_from(n + 1).unwrap_or(i32::MAX);
            }
        }
        together
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drivers::SingleStatement;
    use crate::ids::MigrationId;
    use crate::migration::execution::Nature;

    /// The commands' names with what they are about, how many statements are done with them, and the slots of the records.
    fn of(operations: &[&str], most: usize) -> (Vec<String>, i32, Vec<String>) {
        let text = format!("[{}]", operations.join(",\n"));
        let id = MigrationId::new("1_a").unwrap();
        let first = &read(Engine::Mongodb, &text).unwrap()[0];
        let statement = SingleStatement {
            text: &text,
            range: first.range.clone(),
            line: 1,
            checks: &[],
            nature: Nature::Transactional,
            unit: "",
            id: &id,
            done: 1,
            backfill: None,
        };
        let running = Running::new(&statement, StepAction::Apply);
        let found = Together::beginning_with(&running, StepAction::Apply, most);
        let commands = found.commands.iter().map(|c| {
            let (name, value) = c.iter().next().unwrap();
            format!("{name} {}", value.as_str().unwrap())
        });
        (commands.collect(), found.done, found.records.into_iter().map(|(slot, _)| slot).collect())
    }

    const A: &str = r#"{"type": "create_collection", "collection": "a"}"#;
    const B: &str = r#"{"type": "create_collection", "collection": "b"}"#;
    const ON_A: &str = r#"{"type": "create_index", "collection": "a", "index": [["n", 1]]}"#;
    const ON_C: &str = r#"{"type": "create_index", "collection": "c", "index": [["n", 1]]}"#;
    const FIELD: &str = r#"{"type": "add_field", "collection": "a", "field": "n", "value": 1}"#;
    const RENAME: &str = r#"{"type": "rename_collection", "from": "c", "to": "d"}"#;
    const VIEW: &str = r#"{"type": "create_collection", "collection": "v", "options": {"viewOn": "a"}}"#;
    const WRONG: &str = r#"{"type": "create_index", "collection": "a", "index": [["n", {"$date": "never"}]]}"#;

    #[test]
    fn what_follows_is_taken_along_as_far_as_a_transaction_can_hold_it() {
        let cases: [(&[&str], &[&str], &[&str]); 8] = [
            (&[A], &["create a"], &["undo.o0"]),
            (
                &[A, ON_A, B, ON_A],
                &["create a", "createIndexes a", "create b", "createIndexes a"],
                &["undo.o0", "undo.o1", "undo.o2", "undo.o3"],
            ),
            // An index of what was there, a change of documents, a view: their turn comes later, as does all behind them.
            (&[A, ON_C, ON_A], &["create a"], &["undo.o0", "undo.o2"]),
            (&[A, ON_A, FIELD, B, ON_A], &["create a", "createIndexes a"], &["undo.o0", "undo.o1", "undo.o4"]),
            (&[A, VIEW, ON_A], &["create a"], &["undo.o0", "undo.o2"]),
            (&[A, RENAME, ON_A], &["create a"], &["undo.o0"]),
            (&[A, WRONG, ON_A], &["create a"], &["undo.o0", "undo.o1", "undo.o2"]),
            (&[A, FIELD, RENAME, ON_A], &["create a"], &["undo.o0"]),
        ];
        for (operations, commands, slots) in cases {
            let (found, done, records) = of(operations, MOST);
            assert_eq!(found, commands, "{operations:?}");
            assert_eq!(usize::try_from(done).unwrap(), commands.len(), "{operations:?}");
            assert_eq!(records, slots, "{operations:?}");
        }
    }

    #[test]
    fn one_alone_leaves_the_records_of_its_indexes_all_the_same() {
        let (commands, done, records) = of(&[A, ON_A, B, ON_A], 1);
        assert_eq!((commands, done), (vec!["create a".to_owned()], 1));
        assert_eq!(records, ["undo.o0", "undo.o1", "undo.o3"]);
    }
}
