//! What the connection's user may not do, found before anything is changed: a cluster with security tells whether a user
//! may do a thing without doing it. One without security has no such question, and lets everybody do everything.

use std::collections::{BTreeMap, BTreeSet};

use elasticsearch::http::Method;
use serde_json::{Value, json};

use super::own::Own;
use super::wire::Wire;
use crate::drivers::DriverError;
use crate::migration::operations::elasticsearch::Operation;
use crate::plan::{MigrationPlan, Objection, ObjectionKind};

/// Something to be allowed: what the server calls it, and the privilege that people grant it by. Both are asked: a role
/// may hold it by its own name, which the server takes for whatever begins so, or by the privilege's.
type Right = (&'static str, &'static str);

const GET: Right = ("indices:admin/get", "view_index_metadata");
const CREATE: Right = ("indices:admin/create", "create_index");
const DELETE: Right = ("indices:admin/delete", "delete_index");
const ALIASES: Right = ("indices:admin/aliases", "manage");
const MAPPING: Right = ("indices:admin/mapping/put", "manage");
const SETTINGS: Right = ("indices:admin/settings/update", "manage");
const BLOCK: Right = ("indices:admin/block/add", "manage");
const REFRESH: Right = ("indices:admin/refresh", "maintenance");
const SEARCH: Right = ("indices:data/read/search", "read");
const READ: Right = ("indices:data/read/get", "read");
const WRITE: Right = ("indices:data/write/index", "write");
const REMOVE: Right = ("indices:data/write/delete", "write");
const HEALTH: Right = ("cluster:monitor/health", "monitor");
const TASKS: Right = ("cluster:monitor/tasks/lists", "monitor");
const TEMPLATES: Right = ("indices:admin/index_template/put", "manage_index_templates");

/// What a plan needs.
#[derive(Debug, Default, PartialEq)]
struct Needs {
    cluster: BTreeSet<Right>,
    indices: BTreeMap<String, BTreeSet<Right>>,
}

impl Needs {
    fn on(&mut self, index: &str, rights: &[Right]) {
        self.indices.entry(index.to_owned()).or_default().extend(rights);
    }

    fn of_plan(own: &Own, plan: &MigrationPlan) -> Self {
        let mut needs = Self { cluster: [HEALTH, TASKS].into(), ..Self::default() };
        needs.on(&own.history, &[GET, CREATE, SEARCH, READ, WRITE]);
        // Its aliases are what an overtaken run is kept out by.
        needs.on(&own.fence, &[GET, CREATE, ALIASES, READ, WRITE]);
        for statement in plan.steps.iter().flat_map(|s| &s.statements) {
            // What cannot be read was refused when the plan was made.
            if let Ok(operation) = own.operation(&statement.sql) {
                needs.of_operation(&operation, false);
            }
        }
        needs
    }

    fn of_operation(&mut self, operation: &Operation, back: bool) {
        match operation {
            Operation::CreateIndex { index, .. } if back => self.on(index, &[GET, ALIASES, DELETE]),
            Operation::CreateIndex { index, .. } => self.on(index, &[GET, CREATE]),
            Operation::DeleteIndex { index } => self.on(index, &[GET, SEARCH, REFRESH, ALIASES, DELETE]),
            Operation::UpdateMapping { index, .. } => self.on(index, &[GET, MAPPING]),
            Operation::PutSettings { index, .. } => self.on(index, &[GET, SETTINGS]),
            Operation::PutTemplate { .. } => {
                self.cluster.insert(TEMPLATES);
            }
            Operation::CreateAlias { index, alias, .. } => {
                self.on(index, &[GET, ALIASES]);
                self.on(alias, &[ALIASES]);
            }
            Operation::Reindex { source, dest, block_writes, .. } => {
                self.on(source, &[GET, SEARCH, REFRESH]);
                if *block_writes {
                    self.on(source, &[BLOCK, SETTINGS]);
                }
                self.on(dest, &[GET, SEARCH, REFRESH, WRITE]);
            }
            Operation::SwapAlias { alias, from, to, mapping, block_writes, .. } => {
                self.on(alias, &[ALIASES]);
                self.on(from, &[GET, ALIASES, SEARCH, REFRESH]);
                if mapping.is_none() {
                    return self.on(to, &[GET, ALIASES]);
                }
                if *block_writes {
                    self.on(from, &[BLOCK, SETTINGS]);
                }
                // It is built under the name and the run's epoch.
                self.on(&format!("{to}_e*"), &[GET, CREATE, ALIASES, SEARCH, READ, REFRESH, WRITE]);
            }
            Operation::UpdateByQuery { index, .. } => self.on(index, &[GET, SEARCH, REFRESH, WRITE]),
            Operation::DeleteByQuery { index, .. } => self.on(index, &[GET, SEARCH, REFRESH, REMOVE]),
            Operation::Undo { of, .. } => self.of_operation(of, true),
        }
    }

    /// The question to the server.
    fn question(&self) -> Value {
        let actions = |rights: &BTreeSet<Right>| -> BTreeSet<&str> {
            rights.iter().flat_map(|(action, privilege)| [*action, *privilege]).collect()
        };
        let indices: Vec<Value> =
            self.indices.iter().map(|(name, rights)| json!({"names": [name], "privileges": actions(rights)})).collect();
        json!({"cluster": actions(&self.cluster), "index": indices})
    }

    /// What the server's answer refuses, in words.
    fn refused(&self, answer: &Value) -> Vec<String> {
        let lacking = |rights: &BTreeSet<Right>, allowed: &Value| -> BTreeSet<&str> {
            let refused = |(action, privilege): &&Right| allowed[*action] == false && allowed[*privilege] == false;
            rights.iter().filter(refused).map(|(_, privilege)| *privilege).collect()
        };
        let words = |privileges: BTreeSet<&str>, on: &str| {
            let all: Vec<String> = privileges.iter().map(|p| format!("`{p}`")).collect();
            (!all.is_empty()).then(|| format!("{} on {on}", all.join(", ")))
        };
        let cluster = words(lacking(&self.cluster, &answer["cluster"]), "the cluster");
        let indices = self
            .indices
            .iter()
            .filter_map(|(name, rights)| words(lacking(rights, &answer["index"][name]), &format!("`{name}`")));
        cluster.into_iter().chain(indices).collect()
    }
}

/// The objection to a user whose roles forbid what the plan needs.
pub(super) async fn look(wire: &Wire, own: &Own, plan: &MigrationPlan) -> Result<Option<Objection>, DriverError> {
    let needs = Needs::of_plan(own, plan);
    let answer = wire.ask(Method::Post, "_security/user/_has_privileges", Some(&needs.question())).await?;
    // Without security nobody knows that path.
    if !answer.is_ok() || answer.body["has_all_requested"] == true {
        return Ok(None);
    }
    let refused = needs.refused(&answer.body);
    Ok((!refused.is_empty()).then(|| Objection {
        kind: ObjectionKind::Impossible,
        migration: None,
        file: None,
        line: None,
        message: format!("the connection's user lacks the privileges {}", refused.join("; ")),
        what_to_do: "give it a role that has them".to_owned(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_refuses_is_told_by_the_privilege_that_grants_it() {
        let mut needs = Needs { cluster: [HEALTH, TASKS].into(), ..Needs::default() };
        let swap = r#"{"type": "swap_alias", "alias": "orders", "from": "v1", "to": "v2", "mapping": {}}"#;
        needs.of_operation(&serde_json::from_str(swap).unwrap(), false);
        let question = needs.question();
        assert_eq!(question["cluster"], json!(["cluster:monitor/health", "cluster:monitor/tasks/lists", "monitor"]));
        assert!(question["index"].as_array().unwrap().iter().any(|i| i["names"] == json!(["v2_e*"])), "{question}");
        let answer = json!({"has_all_requested": false, "cluster": {"cluster:monitor/health": true,
            "cluster:monitor/tasks/lists": true}, "index": {"v1": {"indices:admin/block/add": false,
            "indices:admin/settings/update": false, "indices:data/read/search": false, "indices:admin/get": false,
            "manage": false, "read": false, "view_index_metadata": true}}});
        assert_eq!(needs.refused(&answer), ["`manage`, `read` on `v1`"]);
    }
}
