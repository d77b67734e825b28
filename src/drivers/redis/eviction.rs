//! A server that throws keys away when its memory is full may throw away what tells which keys are done.

use super::link::{Info, Link, Node};
use crate::drivers::DriverError;
use crate::plan::{MigrationPlan, Objection, ObjectionKind, RecoveryClass};

/// What is said against a plan on servers of which one evicts keys of every kind.
pub(super) async fn look(link: &Link, nodes: &[Node], plan: &MigrationPlan) -> Result<Vec<Objection>, DriverError> {
    for node in nodes {
        if let Some(policy) = evicts(&link.info(node, "memory").await?) {
            return Ok(objections(&policy, plan));
        }
    }
    Ok(Vec::new())
}

/// The policy under which a server may evict keys without a lifetime, if it does.
fn evicts(memory: &Info) -> Option<String> {
    let bounded = memory.get("maxmemory").is_some_and(|most| most != "0");
    memory.get("maxmemory_policy").filter(|policy| bounded && policy.starts_with("allkeys-")).map(str::to_owned)
}

fn objections(policy: &str, plan: &MigrationPlan) -> Vec<Objection> {
    let walks: Vec<_> = plan
        .steps
        .iter()
        .filter_map(|step| {
            let walk = step.statements.iter().find(|s| s.recovery == RecoveryClass::Idempotent)?;
            Some(Objection {
                kind: ObjectionKind::Impossible,
                migration: Some(step.migration.clone()),
                file: Some(step.path.clone()),
                line: Some(walk.line),
                message: format!(
                    "the server evicts any key when its memory is full (`maxmemory-policy {policy}`): the marks that keep each \
                     key from being changed twice could go in the middle of the walk"
                ),
                what_to_do: "set another policy while it runs: `CONFIG SET maxmemory-policy volatile-lru` (keys without a \
                             lifetime stay) or `noeviction`, and set it back afterwards"
                    .to_owned(),
            })
        })
        .collect();
    if !walks.is_empty() || plan.steps.is_empty() {
        return walks;
    }
    vec![Objection {
        kind: ObjectionKind::Note,
        migration: None,
        file: None,
        line: None,
        message: format!(
            "the server evicts any key when its memory is full (`maxmemory-policy {policy}`), Godwit's history too; the store's \
             record is compared with it before each run. With `volatile-lru` keys without a lifetime stay"
        ),
        what_to_do: String::new(),
    }]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r20_only_a_bound_and_a_policy_for_all_keys_evict_marks() {
        let memory =
            |most: &str, policy: &str| evicts(&Info::of(&format!("maxmemory:{most}\r\nmaxmemory_policy:{policy}\r\n")));
        assert_eq!(memory("100", "allkeys-lru").as_deref(), Some("allkeys-lru"));
        assert_eq!(memory("100", "allkeys-random").as_deref(), Some("allkeys-random"));
        for (most, policy) in [("0", "allkeys-lru"), ("100", "volatile-lru"), ("100", "noeviction")] {
            assert_eq!(memory(most, policy), None, "{most} {policy}");
        }
    }
}
