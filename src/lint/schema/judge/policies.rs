//! Policies that let everybody through beside others that ask something.

use super::super::POLICY_OPENS_ALL;
use super::super::catalog::Catalog;
use super::super::change::{Change, PolicyCommand, PolicyDef, What};
use super::{Note, add};

/// A policy that opens what another closes; `before` is what the script does ahead of it, `rest` what it does behind.
pub fn opens_all(catalog: &Catalog, change: &Change, before: &[Change], rest: &[Change]) -> Option<Note> {
    let What::Policy { table, name, def: Some(new) } = &change.what else { return None };
    if !new.permissive || new.open != Some(true) || new.command == PolicyCommand::Other {
        return None;
    }
    let table = catalog.resolve(table)?;
    let of_table = |other: &str| catalog.resolve(other).as_ref() == Some(&table);
    // A restrictive policy asks for more than any permissive one lets through.
    let restricts_later = rest.iter().any(|later| match &later.what {
        What::Policy { table, def: Some(def), .. } => !def.permissive && of_table(table),
        _ => false,
    });
    if restricts_later || catalog.policies_of(&table).any(|(_, def)| !def.permissive) {
        return None;
    }
    let is_of = |change: &Change, policy: &str, made: bool| match &change.what {
        What::Policy { table, name, def } => name == policy && def.is_some() == made && of_table(table),
        _ => false,
    };
    // Made together, the wider one is for all who read and the narrower one for those who write.
    let for_writers = |policy: &str, old: &PolicyDef| {
        new.command == PolicyCommand::Select
            && old.command == PolicyCommand::All
            && before.iter().any(|change| is_of(change, policy, true))
    };
    let (old, _) = catalog.policies_of(&table).find(|(policy, old)| {
        *policy != name
            && old.open == Some(false)
            && old.command != PolicyCommand::Other
            && (new.roles.contains("public") || !new.roles.is_disjoint(&old.roles))
            && !for_writers(policy, old)
            && !rest.iter().any(|later| is_of(later, policy, false))
    })?;
    let what = if new.command == PolicyCommand::All { "be read, changed and deleted" } else { "be read" };
    let message = format!(
        "permissive policies are joined with OR: beside `{name}`, which asks nothing, every row of `{table}` may {what}, whatever \
         `{old}` asks"
    );
    let help = "give it a condition, or say `AS RESTRICTIVE` in the one that has to hold; if all is to be open, drop the other";
    Some(add(&POLICY_OPENS_ALL, &change.range, message, help))
}
