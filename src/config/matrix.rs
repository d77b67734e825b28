//! `policies/approval_matrix.yml`: environment × risk → how many approvals, from which roles (SPEC 4.2).

use std::collections::BTreeMap;

use serde_json::json;

use super::ConfigError;
use super::schema::{Form, Rule};
use super::yaml::{self, Node, Reader};
use crate::ids::{EnvironmentName, Risk, RoleName};

/// The whole matrix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApprovalMatrix {
    /// Environment → its cells; `testing` inherits `development` where the file has no block for it.
    pub cells: BTreeMap<EnvironmentName, EnvironmentCells>,
    /// `unknown_committers`: what a commit e-mail that maps to nobody does (DECISIONS 5).
    pub unknown_committers: UnknownCommitters,
    /// `code_owners`: which owners of a changed path must agree (B-5).
    pub code_owners: CodeOwnersRule,
}

/// What a commit e-mail that maps to nobody does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum UnknownCommitters {
    /// It is listed.
    #[default]
    Warn,
    /// It blocks: a person who wrote the change could approve it under another name.
    Block,
}

/// Which owners of a changed path must agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum CodeOwnersRule {
    /// Any one of the last line that matches, as GitHub does.
    #[default]
    Any,
    /// Every owner named on the last line that matches.
    AllOwners,
    /// One owner of each line that matches, not only of the last one.
    AllLines,
}

impl CodeOwnersRule {
    /// Its words in the file; `all` is the earlier name of `all_owners`.
    const WORDS: [(&'static str, Self); 4] =
        [("any", Self::Any), ("all_owners", Self::AllOwners), ("all_lines", Self::AllLines), ("all", Self::AllOwners)];

    /// Its word.
    pub fn as_str(self) -> &'static str {
        Self::WORDS.into_iter().find(|(_, rule)| *rule == self).map_or("", |(word, _)| word)
    }
}

/// The cells of one environment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EnvironmentCells {
    /// `ANY`: every risk without a cell of its own.
    pub any: Option<Cell>,
    /// By risk.
    pub by_risk: BTreeMap<Risk, Cell>,
    /// `CRITICAL`. No finding is above `HIGH`, so it judges `HIGH` where the file has no `HIGH` (DECISIONS 4).
    pub critical: Option<Cell>,
}

/// One cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    /// How many distinct people.
    pub required_approvals: u32,
    /// Roles, each filled by a distinct person.
    pub required_roles: Vec<RoleName>,
    /// Hours an approval holds after people were asked.
    pub timeout_hours: u32,
    /// Whether `emergency` may skip it.
    pub emergency_override: bool,
}

/// Hours an approval holds where the cell does not say.
const DEFAULT_TIMEOUT_HOURS: u32 = 24;
const RISK_KEYS: [&str; 5] = ["ANY", "LOW", "MEDIUM", "HIGH", "CRITICAL"];

impl Default for ApprovalMatrix {
    fn default() -> Self {
        Self::built_in()
    }
}

impl ApprovalMatrix {
    /// The text of the built-in matrix, the one that `policies/` ships (SPEC 4.2).
    pub const BUILT_IN: &str = include_str!("../../policies/approval_matrix.yml");

    /// The matrix that holds without a file.
    pub fn built_in() -> Self {
        Self::parse("policies/approval_matrix.yml", Self::BUILT_IN).expect("the shipped matrix is parsed by a test")
    }

    /// Parses the file's text; `file` is its path for messages.
    ///
    /// # Errors
    /// Every mistake, located.
    pub fn parse(file: &str, text: &str) -> Result<Self, Vec<ConfigError>> {
        let root = yaml::parse(file, text).map_err(|e| vec![e])?;
        let mut reader = Reader::new(file);
        let matrix = Self::read(&mut reader, &root);
        reader.finish(matrix)
    }

    /// Reads the file's tree.
    pub(super) fn read(reader: &mut Reader, root: &Node) -> Self {
        let mut matrix = Self {
            cells: BTreeMap::new(),
            unknown_committers: UnknownCommitters::default(),
            code_owners: CodeOwnersRule::default(),
        };
        let settings = ["unknown_committers", "code_owners"];
        root.must(Rule::Keys(Form::NAME));
        root.must(Rule::Filled);
        // An environment stands beside them.
        root.must(Rule::Also(json!({ "not": { "propertyNames": { "enum": settings } } }).to_string()));
        for (key, node) in reader.map_with(root, "", &settings) {
            match key.name.as_str() {
                "unknown_committers" => {
                    let words = [("warn", UnknownCommitters::Warn), ("block", UnknownCommitters::Block)];
                    matrix.unknown_committers = reader.one_of(node, &key.name, &words).unwrap_or_default();
                }
                "code_owners" => {
                    matrix.code_owners = reader.one_of(node, &key.name, &CodeOwnersRule::WORDS).unwrap_or_default();
                }
                _ => {
                    let cells = environment(reader, node, &key.name);
                    if let Some(name) = reader.parsed_key::<EnvironmentName>(key, &key.name) {
                        matrix.cells.insert(name, cells);
                    }
                }
            }
        }
        if matrix.cells.is_empty() {
            reader
                .wrong(root, "no environment has a cell; see `policies/approval_matrix.yml` of Godwit for an example");
        }
        matrix
    }

    /// The cell that judges `environment` at `risk`; `None` means blocked (B-3).
    pub fn cell(&self, environment: &EnvironmentName, risk: Risk) -> Option<&Cell> {
        let cells = self.cells.get(environment).or_else(|| self.inherited(environment))?;
        let critical = cells.critical.as_ref().filter(|_| risk == Risk::High);
        cells.by_risk.get(&risk).or(critical).or(cells.any.as_ref())
    }

    /// `testing` is judged like `development` where the file does not speak of it (SPEC 4.2).
    fn inherited(&self, environment: &EnvironmentName) -> Option<&EnvironmentCells> {
        (environment.as_str() == "testing")
            .then(|| self.cells.iter().find(|(name, _)| name.as_str() == "development").map(|(_, cells)| cells))
            .flatten()
    }

    /// Every role that some cell asks for.
    pub fn roles(&self) -> impl Iterator<Item = &RoleName> {
        self.cells
            .values()
            .flat_map(|c| c.any.iter().chain(c.by_risk.values()).chain(c.critical.iter()))
            .flat_map(|c| c.required_roles.iter())
    }
}

fn environment(reader: &mut Reader, node: &Node, path: &str) -> EnvironmentCells {
    let mut cells = EnvironmentCells::default();
    let fields = reader.fields(node, path, &RISK_KEYS);
    node.must(Rule::Filled);
    for name in RISK_KEYS {
        let Some((node, path)) = fields.get(name) else { continue };
        let Some(cell) = cell(reader, node, &path) else { continue };
        match name {
            "ANY" => cells.any = Some(cell),
            "CRITICAL" => cells.critical = Some(cell),
            _ => {
                if let Ok(risk) = name.parse() {
                    cells.by_risk.insert(risk, cell);
                }
            }
        }
    }
    if RISK_KEYS.iter().all(|k| fields.get(k).is_none()) {
        reader.wrong(node, format!("`{path}` has no cell; write `ANY:` or one of {}", yaml::list(&RISK_KEYS[1..])));
    }
    cells
}

fn cell(reader: &mut Reader, node: &Node, path: &str) -> Option<Cell> {
    let allowed = ["required_approvals", "required_roles", "timeout_hours", "emergency_override"];
    let fields = reader.fields(node, path, &allowed);
    let missing = format!("`{path}` does not say `required_approvals`");
    let required_approvals =
        reader.needed(&fields, node, "required_approvals", missing).and_then(|(n, p)| reader.number(n, &p, 0..=50));
    let mut required_roles = Vec::new();
    let missing = format!("`{path}` does not say `required_roles`; `[]` asks for no role");
    if let Some((list, p)) = reader.needed(&fields, node, "required_roles", missing) {
        list.must(Rule::Distinct);
        for item in reader.list(list, &p) {
            let Some(role) = reader.parsed::<RoleName>(item, &p) else { continue };
            if required_roles.contains(&role) {
                reader.wrong(
                    item,
                    format!("`{p}` names `{role}` twice; for more people of one role raise `required_approvals`"),
                );
            } else {
                required_roles.push(role);
            }
        }
    }
    let timeout_hours = match fields.get("timeout_hours") {
        Some((n, p)) => reader.number(n, &p, 1..=24 * 366).and_then(|h| u32::try_from(h).ok()),
        None => Some(DEFAULT_TIMEOUT_HOURS),
    };
    let emergency_override = match fields.get("emergency_override") {
        Some((n, p)) => reader.bool(n, &p),
        None => Some(false),
    };
    Some(Cell {
        required_approvals: u32::try_from(required_approvals?).ok()?,
        required_roles,
        timeout_hours: timeout_hours?,
        emergency_override: emergency_override?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(name: &str) -> EnvironmentName {
        EnvironmentName::new(name).expect("plain")
    }

    fn roles(names: &[&str]) -> Vec<RoleName> {
        names.iter().map(|n| RoleName::new(*n).expect("plain")).collect()
    }

    #[test]
    fn s2_48_to_s2_52_the_built_in_matrix_is_the_sources() {
        let matrix = ApprovalMatrix::built_in();
        for (environment, risk, count, names) in [
            ("development", Risk::High, 1, &["developer"][..]),
            ("testing", Risk::Low, 1, &["developer"]),
            ("staging", Risk::Medium, 2, &["data_ops"]),
            ("production", Risk::Low, 2, &["data_ops_lead", "dba"]),
            ("production", Risk::Medium, 3, &["data_ops_lead", "dba", "tech_lead"]),
            ("production", Risk::High, 4, &["data_ops_lead", "dba", "tech_lead", "cto"]),
        ] {
            let cell = matrix.cell(&env(environment), risk).expect(environment);
            assert_eq!((cell.required_approvals, &cell.required_roles), (count, &roles(names)), "{environment} {risk}");
        }
        assert_eq!(matrix.cell(&env("qa"), Risk::Low), None);
    }

    #[test]
    fn s2_104_critical_judges_high_only_where_high_is_missing() {
        let text = "p:\n  ANY: { required_approvals: 1, required_roles: [] }\n  CRITICAL: { required_approvals: 3, required_roles: [] }\n";
        let matrix = ApprovalMatrix::parse("m", text).expect("valid");
        assert_eq!(matrix.cell(&env("p"), Risk::High).map(|c| c.required_approvals), Some(3));
        assert_eq!(matrix.cell(&env("p"), Risk::Medium).map(|c| c.required_approvals), Some(1));
    }

    #[test]
    fn b5_code_owners_has_three_meanings_and_one_earlier_name() {
        for (word, rule) in CodeOwnersRule::WORDS {
            let text = format!("code_owners: {word}\np:\n  ANY: {{ required_approvals: 0, required_roles: [] }}\n");
            assert_eq!(ApprovalMatrix::parse("m", &text).expect(word).code_owners, rule, "{word}");
        }
        let wrong = "code_owners: every\np:\n  ANY: { required_approvals: 0, required_roles: [] }\n";
        let errors = ApprovalMatrix::parse("m", wrong).expect_err("wrong");
        assert!(errors[0].message.contains("`all_owners`, `all_lines`"), "{errors:?}");
    }

    #[test]
    fn mistakes_are_located_and_all_found() {
        let text = "staging:\n  ANY:\n    required_approval: 2\n    required_roles: dba\n    timeout_hours: soon\n  HUGE: {}\n";
        let errors = ApprovalMatrix::parse("policies/approval_matrix.yml", text).expect_err("wrong");
        let all = errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        for part in [
            "policies/approval_matrix.yml:3:5: unknown key `required_approval` in `staging.ANY`, did you mean `required_approvals`?",
            ":4:21: `staging.ANY.required_roles` must be a list",
            ":5:20: `staging.ANY.timeout_hours` must be a whole number",
            ":6:3: unknown key `HUGE` in `staging`",
        ] {
            assert!(all.contains(part), "{part}\n{all}");
        }
        for (text, part) in [
            ("", "no environment has a cell"),
            ("a:\n", "has no cell"),
            ("a:\n  ANY: { required_roles: [] }\n", "does not say `required_approvals`"),
            ("a:\n  ANY: { required_approvals: 1 }\n", "does not say `required_roles`"),
            ("a:\n  ANY: { required_approvals: -1, required_roles: [] }\n", "from 0 to 50"),
            ("a:\n  ANY: { required_approvals: 1, required_roles: [x, x] }\n", "twice"),
            (
                "unknown_committers: maybe\na:\n  ANY: { required_approvals: 0, required_roles: [] }\n",
                "`warn`, `block`",
            ),
        ] {
            let errors = ApprovalMatrix::parse("m", text).expect_err(text);
            assert!(errors[0].message.contains(part), "{text:?} {errors:?}");
        }
    }
}
