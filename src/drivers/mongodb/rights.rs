//! What the connection's user may not do, found before anything is changed: the server tells the user's privileges, and
//! they are laid beside what the plan needs.

use std::collections::{BTreeMap, BTreeSet};

use mongodb::Database;
use mongodb::bson::{Bson, Document, doc};

use super::history::{LOCK, UNDO};
use super::operations;
use super::wire::{self, Fault};
use crate::drivers::{FENCE, HISTORY};
use crate::migration::operations::mongodb::Operation;
use crate::plan::{MigrationPlan, Objection, ObjectionKind};

/// Something that must be allowed on a collection, or on the database where the name is empty.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Need {
    collection: String,
    /// Any one of these is enough; the first is the one that people are told.
    actions: &'static [&'static str],
}

/// The objection to a user whose roles forbid what the plan needs. A server without access control lets everybody do
/// everything, and tells no privileges.
pub(super) async fn look(db: &Database, plan: &MigrationPlan) -> Result<Option<Objection>, Fault> {
    let status = wire::read(db, doc! { "connectionStatus": 1, "showPrivileges": true }).await?;
    let Ok(info) = status.get_document("authInfo") else { return Ok(None) };
    let of = |key: &str| info.get_array(key).map(Vec::as_slice).unwrap_or_default();
    if of("authenticatedUsers").is_empty() {
        return Ok(None);
    }
    let held: Vec<&Document> = of("authenticatedUserPrivileges").iter().filter_map(Bson::as_document).collect();
    let lacks = lacks(&held, db.name(), &needs(plan));
    Ok((!lacks.is_empty()).then(|| objection(db.name(), &lacks)))
}

fn objection(db: &str, lacks: &BTreeMap<String, BTreeSet<&str>>) -> Objection {
    let listed: Vec<String> = lacks
        .iter()
        .map(|(collection, actions)| {
            let actions: Vec<String> = actions.iter().map(|a| format!("`{a}`")).collect();
            match collection.as_str() {
                "" => format!("{} on the database `{db}`", actions.join(", ")),
                name => format!("{} on `{db}.{name}`", actions.join(", ")),
            }
        })
        .collect();
    Objection {
        kind: ObjectionKind::Impossible,
        migration: None,
        file: None,
        line: None,
        message: format!("the connection's user may not {}", listed.join("; ")),
        what_to_do: format!(
            "give it a role that may: `readWrite` and `dbAdmin` on `{db}` are enough for every operation"
        ),
    }
}

/// What is asked of the user and not allowed, by collection.
fn lacks<'a>(held: &[&Document], db: &str, needs: &[Need]) -> BTreeMap<String, BTreeSet<&'a str>> {
    let mut out: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for need in needs {
        let allowed = |action: &&str| held.iter().any(|p| covers(p, db, &need.collection) && grants(p, action));
        if !need.actions.iter().any(allowed)
            && let Some(told) = need.actions.first()
        {
            out.entry(need.collection.clone()).or_default().insert(told);
        }
    }
    out
}

fn grants(privilege: &Document, action: &str) -> bool {
    let actions = privilege.get_array("actions").map(Vec::as_slice).unwrap_or_default();
    actions.iter().filter_map(Bson::as_str).any(|a| a == action || a == "anyAction")
}

/// Whether a privilege is about the collection; an empty name of the server's means any.
fn covers(privilege: &Document, db: &str, collection: &str) -> bool {
    let Ok(resource) = privilege.get_document("resource") else { return false };
    if resource.get_bool("anyResource").unwrap_or(false) {
        return true;
    }
    let (Ok(of_db), Ok(of_collection)) = (resource.get_str("db"), resource.get_str("collection")) else { return false };
    let named = of_collection == collection || of_collection.is_empty() && !collection.starts_with("system.");
    (of_db.is_empty() || of_db == db) && named
}

/// What the plan needs, Godwit's own collections first.
fn needs(plan: &MigrationPlan) -> Vec<Need> {
    let mut out = vec![Need { collection: String::new(), actions: &["listCollections"] }];
    for own in [HISTORY, FENCE, LOCK, UNDO] {
        for actions in [&["find"], &["insert"], &["update"]] {
            out.push(Need { collection: own.to_owned(), actions });
        }
    }
    out.push(Need { collection: UNDO.to_owned(), actions: &["remove"] });
    for statement in plan.steps.iter().flat_map(|s| &s.statements) {
        // What cannot be read is told by the look at the operations.
        if let Ok(operation) = operations::parse(&statement.sql) {
            of_operation(&operation, false, &mut out);
        }
    }
    out
}

fn of_operation(operation: &Operation, back: bool, out: &mut Vec<Need>) {
    let mut add = |collection: &str, actions| out.push(Need { collection: collection.to_owned(), actions });
    match operation {
        Operation::CreateCollection { collection, .. } if back => add(collection, &["dropCollection"]),
        Operation::CreateCollection { collection, options } => match options.contains_key("viewOn") {
            true => add(collection, &["createCollection"]),
            false => add(collection, &["createCollection", "insert"]),
        },
        Operation::CreateIndex { collection, .. } | Operation::DropIndex { collection, .. } => {
            add(collection, &["listIndexes"]);
            match matches!(operation, Operation::CreateIndex { .. }) != back {
                true => add(collection, &["createIndex"]),
                false => add(collection, &["dropIndex"]),
            }
        }
        Operation::AddField { collection, .. }
        | Operation::RemoveField { collection, .. }
        | Operation::RenameField { collection, .. }
        | Operation::UpdateDocuments { collection, .. } => {
            add(collection, &["find"]);
            add(collection, &["update"]);
        }
        Operation::SetValidator { collection, .. } => add(collection, &["collMod"]),
        Operation::DropCollection { collection } => add(collection, &["dropCollection"]),
        // The right to rename is one on the database; on the two collections others together are as good.
        Operation::RenameCollection { .. } | Operation::RunCommand { .. } => {}
        Operation::Undo { of, .. } => of_operation(of, true, out),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn need(collection: &str, actions: &'static [&'static str]) -> Need {
        Need { collection: collection.to_owned(), actions }
    }

    #[test]
    fn what_no_privilege_covers_is_lacking() {
        let read = doc! { "resource": { "db": "shop", "collection": "" }, "actions": ["find", "listCollections"] };
        let one = doc! { "resource": { "db": "", "collection": "people" }, "actions": ["update"] };
        let other = doc! { "resource": { "db": "elsewhere", "collection": "" }, "actions": ["dropCollection"] };
        let cluster = doc! { "resource": { "cluster": true }, "actions": ["update"] };
        let needs = [
            need("", &["listCollections"]),
            need("people", &["find"]),
            need("people", &["update"]),
            need("orders", &["update"]),
            need("orders", &["dropCollection"]),
            need("orders", &["createCollection", "insert"]),
            need("system.views", &["find"]),
        ];
        let told = lacks(&[&read, &one, &other, &cluster], "shop", &needs);
        let lack = |actions: &[&'static str]| actions.iter().copied().collect::<BTreeSet<_>>();
        assert_eq!(told.get("orders"), Some(&lack(&["createCollection", "dropCollection", "update"])));
        assert_eq!(told.get("system.views"), Some(&lack(&["find"])));
        assert_eq!(told.len(), 2, "{told:?}");
        let all = doc! { "resource": { "anyResource": true }, "actions": ["anyAction"] };
        assert!(lacks(&[&all], "shop", &needs).is_empty());
        let objection = objection("shop", &told);
        assert!(objection.message.contains("`dropCollection`, `update` on `shop.orders`"), "{}", objection.message);
    }
}
