//! Changes that have nothing to do with each other.

use std::collections::HashSet;

use super::prelude::*;

pub(super) static RULE: OwnRule = OwnRule {
    info: RuleInfo {
        id: "several-concerns",
        category: Category::Structure,
        severity: Some(Severity::Warning),
        risk: Risk::Low,
        applies: Applies::Postgresql,
        title: "Several concerns in one migration",
    },
    check: Check::Script(check),
    help: "one migration for each: it can then be reviewed, rolled back and put off by itself",
    ok: &[
        "alter table t add column a int; create index i on t (a);",
        "alter table t add column tenant_id int; alter table u add column tenant_id int;",
        "create table c (id bigint primary key); create table d (id bigint primary key);",
        "alter table t add column u_id bigint references u (id); alter table u add column total int;",
        "alter table t drop column a; drop table orders;",
        "create table c (id bigint); create table d (id bigint); alter table t add column a int;",
    ],
    bad: &[
        "alter table t add column a int; alter table u drop column b; drop view v; delete from w where id = 7;",
        "create table c (id bigint); alter table t add column a int; alter table u alter column b drop not null;",
    ],
};

/// So many groups of tables are several concerns; two may be the halves of one that only a person sees.
const SEVERAL: usize = 3;
/// So many of them change what was there before.
const CHANGED: usize = 2;

/// Statements about the same things.
struct Concern {
    words: HashSet<String>,
    shapes: HashSet<String>,
    first: SyntaxNode,
    /// The table, as it is compared.
    name: String,
    /// And as it is written.
    shown: String,
    changes_what_is_there: bool,
}

fn check(script: &Script<'_>, report: &mut Report<'_>) {
    if script.statements.len() < SEVERAL {
        return;
    }
    let subjects: Vec<(&Statement, String, bool)> = script
        .statements
        .iter()
        .enumerate()
        .filter_map(|(index, s)| subject(script, index, &s.node).map(|(shown, is_new)| (s, shown, is_new)))
        .collect();
    // Most scripts are about one or two things, or create things alone, and need no closer look.
    let count = |changed_only: bool| {
        let of = subjects.iter().filter(|(_, _, is_new)| !changed_only || !is_new);
        of.map(|(_, shown, _)| shown.as_str()).collect::<HashSet<_>>().len()
    };
    if count(false) < SEVERAL || count(true) < CHANGED {
        return;
    }
    let mut concerns: Vec<Concern> = Vec::new();
    for (statement, shown, is_new) in subjects {
        let name = shown.rsplit('.').next().unwrap_or(&shown).to_lowercase();
        let node = statement_node(statement);
        let mut concern = Concern {
            words: words_of(&node),
            shapes: shapes_of(&statement.node).into_iter().collect(),
            first: node,
            name,
            shown,
            changes_what_is_there: !is_new,
        };
        // What shares a table, or does the same thing to another one, is one concern with it.
        let mut apart = Vec::new();
        for other in concerns {
            let same = other.name == concern.name
                || other.words.contains(&concern.name)
                || concern.words.contains(&other.name)
                || !other.shapes.is_disjoint(&concern.shapes);
            if same {
                concern.words.extend(other.words);
                concern.words.extend([concern.name, other.name.clone()]);
                concern.shapes.extend(other.shapes);
                concern.changes_what_is_there |= other.changes_what_is_there;
                concern.first = other.first;
                concern.name = other.name;
                concern.shown = other.shown;
            } else {
                apart.push(other);
            }
        }
        apart.push(concern);
        concerns = apart;
    }
    // A migration that only creates things is the beginning of something.
    if concerns.len() < SEVERAL || concerns.iter().filter(|c| c.changes_what_is_there).count() < CHANGED {
        return;
    }
    concerns.sort_by_key(|c| c.first.text_range().start());
    let names: Vec<String> = concerns.iter().map(|c| format!("`{}`", c.shown)).collect();
    let last = &concerns[concerns.len() - 1];
    report
        .add(&last.first, format!("{} are changed in one migration, and nothing here connects them", names.join(", ")));
}

/// What a statement is about, and whether the script made it.
fn subject(script: &Script<'_>, index: usize, stmt: &ast::Stmt) -> Option<(String, bool)> {
    let name = match stmt {
        ast::Stmt::CreateTable(create) => return Some((named(create.table_name()), true)),
        ast::Stmt::CreateView(create) => return Some((named(create.view()), true)),
        ast::Stmt::DropView(drop) => drop.view_refs().next().map(|v| name_of(v.syntax())),
        ast::Stmt::Insert(insert) => insert.relation_name_ref().map(|r| name_of(r.syntax())),
        ast::Stmt::AlterTable(_)
        | ast::Stmt::Update(_)
        | ast::Stmt::Delete(_)
        | ast::Stmt::DropTable(_)
        | ast::Stmt::Truncate(_) => tables_of(stmt).into_iter().next(),
        ast::Stmt::CreateIndex(_) => tables_of(stmt).into_iter().next(),
        _ => None,
    }?;
    let is_new = script.creates_before(&name, index);
    (!name.is_empty()).then_some((name, is_new))
}

/// Every name in a statement: tables, columns, functions.
fn words_of(node: &SyntaxNode) -> HashSet<String> {
    let tokens = node.descendants_with_tokens().filter_map(|e| e.into_token());
    tokens.filter(|t| t.kind() == SyntaxKind::IDENT).map(|t| t.text().trim_matches('"').to_lowercase()).collect()
}

/// What a statement does, without the table: the same to several tables is one concern.
fn shapes_of(stmt: &ast::Stmt) -> Vec<String> {
    match stmt {
        ast::Stmt::AlterTable(alter) => alter.actions().map(|action| shape_of(&action)).collect(),
        ast::Stmt::DropTable(_) => vec!["drop table".to_owned()],
        ast::Stmt::DropView(_) => vec!["drop view".to_owned()],
        ast::Stmt::CreateIndex(_) => vec!["create index".to_owned()],
        ast::Stmt::CreateTable(_) => vec!["create table".to_owned()],
        ast::Stmt::Insert(_) => vec!["insert".to_owned()],
        _ => Vec::new(),
    }
}

/// An action's kind with the column or the type that it is about.
fn shape_of(action: &ast::AlterTableAction) -> String {
    match action {
        ast::AlterTableAction::AddColumn(add) => format!("add column {}", named(add.column_name())),
        ast::AlterTableAction::DropColumn(drop) => format!("drop column {}", named(drop.column_name_ref())),
        ast::AlterTableAction::RenameColumn(_) => "rename column".to_owned(),
        ast::AlterTableAction::AlterColumn(alter) => {
            let option = alter.option().map(|o| name_of(o.syntax())).unwrap_or_default();
            // How each column's values are turned into the new type is no other concern.
            let what = option.split("using").next().unwrap_or_default();
            format!("alter column {what}")
        }
        ast::AlterTableAction::AddConstraint(_) | ast::AlterTableAction::DropConstraint(_) => "constraint".to_owned(),
        ast::AlterTableAction::ValidateConstraint(_) => "constraint".to_owned(),
        other => format!("{:?}", other.syntax().kind()),
    }
}
