//! `CREATE TABLE` without `PRIMARY KEY`.

use super::prelude::*;

pub(super) static RULE: OwnRule = OwnRule {
    info: RuleInfo {
        id: "table-without-primary-key",
        category: Category::Structure,
        severity: Some(Severity::Info),
        risk: Risk::Low,
        applies: Applies::Postgresql,
        title: "Table without a primary key",
    },
    check: Check::Script(check),
    help: "give it one: `id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY`",
    ok: &[
        "create table t (id bigint primary key);",
        "create table t (a int, primary key (a));",
        "create table t (a int); alter table t add primary key (a);",
        "create temp table t (a int);",
        "create table p1 partition of p for values in (1);",
        "create table t as select 1 as a; alter table t add primary key (a);",
        "create temp table t as select 1 as a;",
    ],
    bad: &["create table t (a int);", "create table t as select 1 as a;"],
};

fn check(script: &Script<'_>, report: &mut Report<'_>) {
    let keyed: Vec<String> = script
        .statements
        .iter()
        .filter(|s| {
            matches!(s.node, ast::Stmt::AlterTable(_))
                && script.text[s.range.clone()].to_ascii_lowercase().contains("primary")
        })
        .flat_map(|s| tables_of(&s.node))
        .collect();
    let without = |name: &ast::TableName| {
        let table = named(Some(name.clone()));
        (!keyed.contains(&table)).then(|| {
            format!("`{table}` has no primary key: its rows cannot be addressed, batched or replicated one by one")
        })
    };
    for statement in &script.statements {
        if let ast::Stmt::CreateTableAs(copy) = &statement.node
            && copy.persistence().is_none()
            && let Some(name) = copy.table_name()
            && let Some(message) = without(&name)
        {
            report.add(name.syntax(), message);
        }
        let ast::Stmt::CreateTable(create) = &statement.node else { continue };
        let Some(args) = create.table_arg_list() else { continue };
        if create.partition_of().is_some()
            || create.inherits().is_some()
            || create.of_type().is_some()
            || create.persistence().is_some()
        {
            continue;
        }
        let has = args.args().any(|arg| match arg {
            ast::TableArg::LikeClause(_) => true,
            ast::TableArg::Column(column) => column.clauses().any(|c| {
                matches!(c, ast::ColumnClause::ColumnConstraint(ast::ColumnConstraint::PrimaryKeyConstraint(_)))
            }),
            ast::TableArg::TableConstraint(constraint) => {
                matches!(constraint, ast::TableConstraint::PrimaryKeyConstraint(_))
            }
        });
        if let Some(name) = create.table_name().filter(|_| !has)
            && let Some(message) = without(&name)
        {
            report.add(name.syntax(), message);
        }
    }
}
