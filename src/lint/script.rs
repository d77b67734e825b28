//! One script, parsed once: its statements, and which tables it makes itself.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::ops::Range;

use squawk_syntax::ast::{self, AstNode};
use squawk_syntax::{Parse, SourceFile, SyntaxKind, SyntaxNode};

use super::bodies::{Blocks, Written, blocks};
use super::fix::Rewrite;
use super::row_security;
use super::table::RuleInfo;
use super::words::Words;
use super::{Category, Severity};
use crate::config::LintConfig;
use crate::ids::{Engine, Risk};

/// Which way a script goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Forward.
    Up,
    /// Backward: only what cannot run, or takes what the way there did not bring, is worth a word.
    Down,
}

/// One top-level statement.
pub struct Statement {
    /// The typed node.
    pub node: ast::Stmt,
    /// Byte range without leading white space.
    pub range: Range<usize>,
    written: OnceCell<Written>,
}

impl Statement {
    /// A statement of a script.
    pub fn new(node: ast::Stmt) -> Self {
        let node = carried_out(node);
        Self { range: range_of(node.syntax()), node, written: OnceCell::new() }
    }

    /// Its body, if it is a `DO` block, a function or a procedure.
    pub fn written(&self) -> &Written {
        self.written.get_or_init(|| Written::of(&self.node))
    }
}

/// The PostgreSQL that a script will run on.
#[derive(Debug, Clone, Copy)]
pub struct Server {
    /// Its major version.
    pub major: u32,
    /// Whether nobody said which it is.
    pub is_assumed: bool,
}

impl Server {
    /// One that knows all that there is.
    pub const NEWEST: Self = Self { major: u32::MAX, is_assumed: true };

    /// The one that the policy names.
    pub fn of(config: &LintConfig) -> Self {
        Self { major: config.postgres_major(), is_assumed: config.postgres_version.is_none() }
    }
}

/// A script with what every rule needs to know.
pub struct Script<'a> {
    /// The text that was parsed.
    pub text: &'a str,
    /// The kind of database.
    pub engine: Engine,
    /// Which way it goes.
    pub direction: Direction,
    /// Whether it runs as one transaction.
    pub in_transaction: bool,
    /// What it will run on.
    pub server: Server,
    /// Words that it holds somewhere.
    pub words: Words,
    /// The statements in order.
    pub statements: Vec<Statement>,
    /// What their `DO` blocks run.
    pub blocks: Blocks,
    /// The tables and indexes it creates.
    created: HashMap<String, Created>,
}

/// How an object came to be in the script.
#[derive(Debug, Clone, Copy)]
struct Created {
    /// Byte of the script at which its statement begins.
    at: usize,
    /// Certainly new: not `IF NOT EXISTS`, or temporary.
    fresh: bool,
    /// It got the name of a table that was dropped or renamed before.
    replaces: bool,
}

/// A finding before it is located and graded.
#[derive(Debug, Clone)]
pub struct Finding {
    /// The rule.
    pub rule: &'static RuleInfo,
    /// Bytes of the script.
    pub range: Range<usize>,
    /// Names the object and the consequence.
    pub message: String,
    /// The safer form.
    pub help: Option<String>,
    /// Where it differs from the rule's.
    pub severity: Option<Severity>,
    /// Where it differs from the rule's.
    pub risk: Option<Risk>,
    /// The tables whose rows it is about, as far as it can be told.
    pub tables: Vec<String>,
    /// A rewrite that can be done without thinking.
    pub fix: Option<Rewrite>,
    /// The table and the column whose type or default that rewrite changes.
    pub column: Option<(String, String)>,
}

impl Finding {
    /// A finding that is as severe and as risky as its rule says.
    pub fn new(rule: &'static RuleInfo, range: Range<usize>, message: impl Into<String>) -> Self {
        let (message, tables) = (message.into(), Vec::new());
        Self { rule, range, message, help: None, severity: None, risk: None, tables, fix: None, column: None }
    }

    /// The same with what to do about it.
    #[must_use]
    pub fn with_help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }
}

/// Bytes of a node without the white space and comments in front.
pub fn range_of(node: &SyntaxNode) -> Range<usize> {
    let range = node.text_range();
    let start = node
        .children_with_tokens()
        .find(|c| !matches!(c.kind(), SyntaxKind::WHITESPACE | SyntaxKind::COMMENT))
        .map_or(range.start(), |c| c.text_range().start());
    usize::from(start)..usize::from(range.end())
}

/// The function that a call is of, by the name that PostgreSQL's own have, with `pg_catalog.` in front or not.
pub fn builtin(call: &ast::CallExpr) -> Option<String> {
    let name = name_of(call.expr()?.syntax());
    Some(name.strip_prefix("pg_catalog.").map(str::to_owned).unwrap_or(name))
}

/// A name as PostgreSQL compares it: unquoted parts in lower case, quotes gone, `public.` left out.
pub fn name_of(node: &SyntaxNode) -> String {
    let mut name = String::new();
    for element in node.descendants_with_tokens() {
        let Some(token) = element.into_token() else { continue };
        match token.kind() {
            SyntaxKind::WHITESPACE
            | SyntaxKind::COMMENT
            | SyntaxKind::ONLY_KW
            | SyntaxKind::STAR
            | SyntaxKind::L_PAREN
            | SyntaxKind::R_PAREN => {}
            _ => match token.text().strip_prefix('"').and_then(|t| t.strip_suffix('"')) {
                Some(quoted) if quoted.contains('"') => name.push_str(&quoted.replace("\"\"", "\"")),
                Some(quoted) => name.push_str(quoted),
                None => {
                    let from = name.len();
                    name.push_str(token.text());
                    name[from..].make_ascii_lowercase();
                }
            },
        }
    }
    match name.strip_prefix("public.") {
        Some(rest) => rest.to_owned(),
        None => name,
    }
}

/// The statement that a statement carries out: `EXPLAIN ANALYZE` runs what it explains, and `PREPARE` is what `EXECUTE` will.
fn carried_out(node: ast::Stmt) -> ast::Stmt {
    let inner = match &node {
        ast::Stmt::Explain(explain) if analyzes(explain) => explain.explain_stmt().map(|s| s.syntax().clone()),
        ast::Stmt::Prepare(prepare) => prepare.stmt().map(|s| s.syntax().clone()),
        _ => None,
    };
    inner.and_then(ast::Stmt::cast).unwrap_or(node)
}

/// Whether an `EXPLAIN` says `ANALYZE`, and does not take it back.
fn analyzes(explain: &ast::Explain) -> bool {
    match explain.explain_mode() {
        Some(ast::ExplainMode::ExplainAnalyze(_)) => true,
        Some(ast::ExplainMode::ExplainOptionList(list)) => list.explain_options().any(|option| {
            let name = option.explain_option_name().map(|n| name_of(n.syntax())).unwrap_or_default();
            let value = option.explain_option_value().map(|v| name_of(v.syntax())).unwrap_or_default();
            matches!(name.as_str(), "analyze" | "analyse") && !matches!(value.as_str(), "false" | "off" | "0")
        }),
        Some(ast::ExplainMode::ExplainVerbose(_)) | None => false,
    }
}

/// The statements of a parsed text.
pub fn statements_of(parse: &Parse<SourceFile>) -> Vec<Statement> {
    parse.tree().stmts().map(Statement::new).collect()
}

impl<'a> Script<'a> {
    /// Collects what the rules need; one pass over the statements.
    pub fn new(
        text: &'a str,
        statements: Vec<Statement>,
        engine: Engine,
        direction: Direction,
        in_transaction: bool,
    ) -> Self {
        let blocks = blocks(text, &statements);
        let within = blocks.statements.iter().map(|s| (s, blocks.is_unsure(s)));
        let mut every: Vec<(&Statement, bool)> = statements.iter().map(|s| (s, false)).chain(within).collect();
        every.sort_by_key(|(statement, _)| statement.range.start);
        let mut created: HashMap<String, Created> = HashMap::new();
        let mut gone: Vec<String> = Vec::new();
        for (statement, unsure) in every {
            if let ast::Stmt::DropTable(drop) = &statement.node {
                gone.extend(drop.table_name_refs().map(|t| name_of(t.syntax())));
            }
            // A new table stays new under another name, from there on.
            if let ast::Stmt::AlterTable(alter) = &statement.node {
                let table = alter.table_relation_name().map(|n| name_of(n.syntax()));
                let old = table.as_ref().and_then(|name| created.get(name).copied());
                let named = |action| match action {
                    ast::AlterTableAction::TableRenameTo(to) => to.table_name().map(|n| name_of(n.syntax())),
                    _ => None,
                };
                if let Some(name) = alter.actions().find_map(named) {
                    let replaces = gone.contains(&name);
                    if let Some(old) = old {
                        created.entry(name).or_insert(Created { at: statement.range.start, replaces, ..old });
                    }
                    gone.extend(table);
                }
            }
            let (name, fresh) = match &statement.node {
                ast::Stmt::CreateTable(t) => (
                    t.table_name().map(|n| name_of(n.syntax())),
                    t.if_not_exists().is_none() || t.persistence().is_some_and(|p| is_temporary(p.syntax())),
                ),
                ast::Stmt::CreateTableAs(t) => {
                    (t.table_name().map(|n| name_of(n.syntax())), t.if_not_exists().is_none())
                }
                ast::Stmt::CreateMaterializedView(v) => {
                    (v.view().map(|n| name_of(n.syntax())), v.if_not_exists().is_none())
                }
                ast::Stmt::CreateIndex(i) => (i.index().map(|n| name_of(n.syntax())), i.if_not_exists().is_none()),
                _ => continue,
            };
            if let Some(name) = name.filter(|n| !n.is_empty()) {
                let fresh = fresh && !unsure;
                created.entry(name).or_insert(Created { at: statement.range.start, fresh, replaces: false });
            }
        }
        Self {
            text,
            engine,
            direction,
            in_transaction,
            server: Server::NEWEST,
            words: Words::of(text),
            statements,
            blocks,
            created,
        }
    }

    /// The same script for that server.
    #[must_use]
    pub fn on(self, server: Server) -> Self {
        Self { server, ..self }
    }

    /// Names of the tables and indexes that the script creates. Not of a table that takes the place of another: programs use
    /// that name.
    pub fn created_names(&self) -> impl Iterator<Item = &str> {
        self.created.iter().filter(|(_, created)| !created.replaces).map(|(name, _)| name.as_str())
    }

    /// The statements of bodies of `outer`, each at the byte at which it stands there: what `outer` creates in front of
    /// them is new to them too.
    pub fn within(text: &'a str, parse: &Parse<SourceFile>, outer: &Script<'_>) -> Self {
        let statements = statements_of(parse);
        let mut script =
            Self::new(text, statements, outer.engine, outer.direction, outer.in_transaction).on(outer.server);
        for (name, created) in &outer.created {
            script.created.insert(name.clone(), *created);
        }
        script
    }

    /// The same script where it ran long ago: what it creates is not new.
    #[must_use]
    pub fn older(self) -> Self {
        Self { created: HashMap::new(), ..self }
    }

    /// Whether the script creates `table` before the statement at `index`.
    pub fn creates_before(&self, table: &str, index: usize) -> bool {
        self.created.get(table).is_some_and(|c| c.at < self.statements[index].range.start)
    }

    fn creates_fresh_before(&self, table: &str, index: usize) -> bool {
        self.created.get(table).is_some_and(|c| c.at < self.statements[index].range.start && c.fresh)
    }

    /// The statement that holds the byte `at`.
    pub fn statement_at(&self, at: usize) -> Option<usize> {
        let index = self.statements.partition_point(|s| s.range.start <= at).checked_sub(1)?;
        (at <= self.statements[index].range.end).then_some(index)
    }

    /// The tables that a finding is about, where their size tells how bad it is.
    pub fn tables_at(&self, finding: &Finding) -> Vec<String> {
        if !finding.tables.is_empty() {
            return finding.tables.clone();
        }
        match finding.rule.category {
            Category::Lock | Category::Fails | Category::Destructive => {
                let statement = self.statement_at(finding.range.start).map(|s| &self.statements[s].node);
                statement.map(tables_of).unwrap_or_default()
            }
            Category::Compatibility | Category::Security | Category::Structure | Category::Style => Vec::new(),
        }
    }

    /// Whether a finding is beside the point, since what it is about did not exist before this script (or before
    /// the new migrations that run ahead of it, `newer`).
    pub fn concerns_only_new(&self, finding: &Finding, newer: &std::collections::HashSet<String>) -> bool {
        let level = finding.severity.or(finding.rule.severity);
        let tied = match finding.rule.category {
            Category::Lock | Category::Fails | Category::Compatibility => level != Some(Severity::Error),
            Category::Destructive => true,
            Category::Security => row_security::is_of_rows_there(finding),
            Category::Structure | Category::Style => false,
        };
        if !tied || (self.created.is_empty() && newer.is_empty()) {
            return false;
        }
        let Some(index) = self.statement_at(finding.range.start) else { return false };
        let mut tables = finding.tables.clone();
        if tables.is_empty() {
            tables = tables_of(&self.statements[index].node);
        }
        !tables.is_empty()
            && tables.iter().all(|table| {
                if finding.rule.category == Category::Destructive {
                    self.creates_fresh_before(table, index)
                } else {
                    self.creates_before(table, index) || newer.contains(table)
                }
            })
    }
}

/// Whether a word of a relation's persistence says that it is temporary.
pub fn is_temporary(node: &SyntaxNode) -> bool {
    node.descendants_with_tokens().any(|e| matches!(e.kind(), SyntaxKind::TEMP_KW | SyntaxKind::TEMPORARY_KW))
}

/// What a statement works on: tables, or indexes for `DROP INDEX`; empty when that cannot be told.
pub fn tables_of(stmt: &ast::Stmt) -> Vec<String> {
    let one = |node: Option<&SyntaxNode>| node.map(name_of).into_iter().collect::<Vec<_>>();
    match stmt {
        ast::Stmt::AlterTable(s) => one(s.table_relation_name().as_ref().map(AstNode::syntax)),
        ast::Stmt::CreateIndex(s) => one(s.table_relation_name().as_ref().map(AstNode::syntax)),
        ast::Stmt::Update(s) => one(s.relation_name().as_ref().map(AstNode::syntax)),
        ast::Stmt::Delete(s) => one(s.relation_name().as_ref().map(AstNode::syntax)),
        ast::Stmt::Truncate(s) => {
            s.table_list().map(|l| l.table_relation_names().map(|t| name_of(t.syntax())).collect()).unwrap_or_default()
        }
        ast::Stmt::DropTable(s) => s.table_name_refs().map(|t| name_of(t.syntax())).collect(),
        ast::Stmt::DropIndex(s) => s.index_refs().map(|t| name_of(t.syntax())).collect(),
        ast::Stmt::Lock(s) => {
            s.relation_list().map(|l| l.relation_names().map(|t| name_of(t.syntax())).collect()).unwrap_or_default()
        }
        ast::Stmt::Refresh(s) => one(s.view_ref().as_ref().map(AstNode::syntax)),
        ast::Stmt::Cluster(s) => one(s.table_name_ref().as_ref().map(AstNode::syntax)),
        ast::Stmt::CreateTrigger(s) => {
            one(s.on_relation().and_then(|r| r.relation_name_ref()).as_ref().map(AstNode::syntax))
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use crate::lint::sample;

    fn told(sql: &str) -> Vec<String> {
        sample(&[("0001_m.up.sql", sql)]).0.violations.iter().map(|v| format!("{} {}", v.rule, v.line)).collect()
    }

    /// The old table is swapped for the new one: what is done to it before is done to a table with rows.
    #[test]
    fn p111_a_table_that_a_new_one_takes_the_name_of_is_not_new() {
        let swap = "create table v_new (id bigint primary key);\nlock table v in access exclusive mode;\ndrop table v;\n\
                    alter table v_new rename to v;\ncreate index i on v (id);\n";
        let expected = |first: u32| vec![format!("lock-table {}", first + 1), format!("ban-drop-table {}", first + 2)];
        let of = |sql: &str| -> Vec<String> {
            let wanted =
                |t: &String| ["lock-table", "ban-drop-table", "require-concurrent"].iter().any(|r| t.starts_with(r));
            told(sql).into_iter().filter(wanted).collect()
        };
        assert_eq!(of(swap), expected(1));
        assert_eq!(of(&format!("do $$ begin\n{swap}end $$;")), expected(2));
        // Renamed away first and dropped then, it is the old one as well.
        let aside = "create table v_new (id bigint primary key);\nalter table v rename to v_old;\nalter table v_new rename to v;\n\
                     drop table v_old;\n";
        assert_eq!(of(aside), ["ban-drop-table 4"]);
    }
}
