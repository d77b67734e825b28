//! Publications: what they send to replicas, and of which tables.

use squawk_syntax::ast::{self, AstNode};

use super::named;
use crate::lint::schema::change::What;
use crate::lint::script::name_of;

/// `CREATE PUBLICATION`.
pub(super) fn created(create: &ast::CreatePublication) -> What {
    let options = create.with_params().and_then(|with| with.attribute_list());
    let tables = match create.publication_for_clause() {
        Some(ast::PublicationForClause::ForPublicationObjects(of)) => tables(of.publication_objects()),
        Some(ast::PublicationForClause::ForAllPublicationObjects(_)) | None => Vec::new(),
    };
    // What it does not say is published: inserts, updates, deletes.
    What::Publication { name: named(create.publication()), changes: Some(changes(options).unwrap_or(true)), tables }
}

/// `ALTER PUBLICATION`.
pub(super) fn altered(alter: &ast::AlterPublication) -> What {
    let name = named(alter.publication_ref());
    let (changes, tables) = match alter.action() {
        Some(ast::AlterPublicationAction::AddPublicationObjects(add)) => (None, tables(add.publication_objects())),
        Some(ast::AlterPublicationAction::SetPublicationObjects(set)) => (None, tables(set.publication_objects())),
        Some(ast::AlterPublicationAction::SetOptions(set)) => (changes(set.attribute_list()), Vec::new()),
        // Its new name is not followed.
        Some(ast::AlterPublicationAction::PublicationRenameTo(_)) => return gone(name),
        _ => (None, Vec::new()),
    };
    What::Publication { name, changes, tables }
}

/// A publication that is not there any more under its name.
pub(super) fn gone(name: String) -> What {
    What::Publication { name, changes: Some(false), tables: Vec::new() }
}

fn tables(objects: impl Iterator<Item = ast::PublicationObject>) -> Vec<String> {
    let table = |object| match object {
        ast::PublicationObject::PublicationObjectTable(table) => Some(name_of(table.table_name_ref()?.syntax())),
        ast::PublicationObject::PublicationObjectCurrentSchema(_)
        | ast::PublicationObject::PublicationObjectTablesInSchema(_) => None,
    };
    objects.filter_map(table).collect()
}

/// Whether `publish` names updates or deletes; nothing where it is not set.
fn changes(options: Option<ast::AttributeList>) -> Option<bool> {
    let mut all = options?.attribute_options();
    let publish = all.find(|option| named(option.name()) == "publish")?;
    let said = publish.attribute_value().map(|value| value.syntax().text().to_string()).unwrap_or_default();
    let said = said.trim_matches('\'').to_ascii_lowercase();
    Some(said.split(',').any(|what| matches!(what.trim(), "update" | "delete")))
}
