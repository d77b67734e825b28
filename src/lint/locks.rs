//! The locks that a script of PostgreSQL takes by name on what was there before it, as a plan tells them. From the syntax
//! tree; tried on a real server in `tests/it/lint/locks.rs`. What a function, a trigger or a cascade locks besides cannot be
//! read from the script, and reading locks (`ACCESS SHARE`) keep nobody out: neither is told.

use squawk_syntax::ast::{self, AstNode};
use squawk_syntax::{SourceFile, SyntaxKind, SyntaxNode};

use super::check::cannot_parse;
use super::depth;
use super::effect::Lock;
use super::script::{Direction, Script, name_of, statements_of, tables_of};
use super::squawk::without_marks;
use crate::ids::Engine;

/// Each table, view or index with the strongest lock that the script takes on it, in the order of the script. `None` where
/// the text is not looked into; the linter says why.
pub fn locks_of(text: &str) -> Option<Vec<(String, Lock)>> {
    if cannot_parse(text).is_some() {
        return None;
    }
    Some(depth::with_stack(|| of_script(text)))
}

fn of_script(text: &str) -> Vec<(String, Lock)> {
    let inert = without_marks(text);
    let statements = statements_of(&SourceFile::parse(&inert));
    let script = Script::new(&inert, statements, Engine::Postgresql, Direction::Up, true);
    let mut held: Vec<(String, Lock)> = Vec::new();
    for (index, statement) in script.statements.iter().enumerate() {
        for (object, lock) in of_statement(&statement.node) {
            // Nobody else sees what the script makes itself.
            if object.is_empty() || script.creates_before(&object, index) {
                continue;
            }
            match held.iter_mut().find(|(known, _)| *known == object) {
                Some((_, strongest)) => *strongest = lock.max(*strongest),
                None => held.push((object, lock)),
            }
        }
    }
    held
}

fn named(node: Option<impl AstNode>) -> String {
    node.map(|n| name_of(n.syntax())).unwrap_or_default()
}

fn of_statement(statement: &ast::Stmt) -> Vec<(String, Lock)> {
    let node = statement.syntax();
    let concurrently = node.descendants_with_tokens().any(|part| part.kind() == SyntaxKind::CONCURRENTLY_KW);
    let each = |lock: Lock| tables_of(statement).into_iter().map(|table| (table, lock)).collect::<Vec<_>>();
    match statement {
        ast::Stmt::AlterTable(alter) => {
            let own = alter.actions().map(|action| of_action(&action)).max().unwrap_or(Lock::AccessExclusive);
            let mut locks = vec![(named(alter.table_relation_name()), own)];
            locks.extend(alter.actions().filter_map(|action| of_partition(&action)));
            locks.extend(referred(node));
            locks
        }
        ast::Stmt::CreateTable(create) => {
            let parent = create.partition_of().map(|of| (named(of.table_name_ref()), Lock::AccessExclusive));
            parent.into_iter().chain(referred(node)).collect()
        }
        ast::Stmt::CreateIndex(_) => each(if concurrently { Lock::ShareUpdateExclusive } else { Lock::Share }),
        ast::Stmt::DropIndex(_) => each(if concurrently { Lock::ShareUpdateExclusive } else { Lock::AccessExclusive }),
        ast::Stmt::Refresh(_) => each(if concurrently { Lock::Exclusive } else { Lock::AccessExclusive }),
        ast::Stmt::DropTable(_) | ast::Stmt::Truncate(_) | ast::Stmt::Cluster(_) => each(Lock::AccessExclusive),
        ast::Stmt::CreateTrigger(_) => each(Lock::ShareRowExclusive),
        ast::Stmt::DropTrigger(drop) => {
            vec![(named(drop.on_relation().and_then(|on| on.relation_name_ref())), Lock::AccessExclusive)]
        }
        ast::Stmt::CreatePolicy(policy) => {
            vec![(named(policy.on_table().and_then(|on| on.table_name_ref())), Lock::AccessExclusive)]
        }
        ast::Stmt::DropPolicy(policy) => {
            vec![(named(policy.on_table().and_then(|on| on.table_name_ref())), Lock::AccessExclusive)]
        }
        ast::Stmt::CreateRule(rule) => {
            vec![(named(rule.rule_on().and_then(|on| on.relation_name_ref())), Lock::AccessExclusive)]
        }
        ast::Stmt::Lock(lock) => each(lock.lock_mode_clause().map_or(Lock::AccessExclusive, |mode| of_mode(&mode))),
        ast::Stmt::Reindex(reindex) => match reindex.reindex_target() {
            Some(ast::ReindexTarget::ReindexTargetTable(table)) => {
                let lock = if concurrently { Lock::ShareUpdateExclusive } else { Lock::Share };
                vec![(named(table.table_name_ref()), lock)]
            }
            Some(ast::ReindexTarget::ReindexTargetIndex(index)) => {
                let lock = if concurrently { Lock::ShareUpdateExclusive } else { Lock::AccessExclusive };
                vec![(named(index.index_ref()), lock)]
            }
            // Table after table, whichever there are.
            Some(_) | None => Vec::new(),
        },
        ast::Stmt::Vacuum(vacuum) => {
            let full = node.descendants_with_tokens().any(|part| part.kind() == SyntaxKind::FULL_KW);
            let lock = if full { Lock::AccessExclusive } else { Lock::ShareUpdateExclusive };
            let tables = vacuum.table_and_columns_list().into_iter().flat_map(|list| list.table_and_columnss());
            tables.map(|table| (named(table.table_relation_name()), lock)).collect()
        }
        // What their `WITH` changes is changed with them.
        ast::Stmt::Insert(_)
        | ast::Stmt::Update(_)
        | ast::Stmt::Delete(_)
        | ast::Stmt::Merge(_)
        | ast::Stmt::Select(_) => node.descendants().filter_map(|part| changed(&part)).collect(),
        _ => Vec::new(),
    }
}

/// What `ALTER TABLE` takes on the table itself.
pub(super) fn of_action(action: &ast::AlterTableAction) -> Lock {
    match action {
        ast::AlterTableAction::ValidateConstraint(_)
        | ast::AlterTableAction::AttachPartition(_)
        | ast::AlterTableAction::ClusterOn(_)
        | ast::AlterTableAction::SetWithoutCluster(_)
        | ast::AlterTableAction::SetOptions(_)
        | ast::AlterTableAction::ResetOptions(_) => Lock::ShareUpdateExclusive,
        ast::AlterTableAction::DetachPartition(detach) => {
            let waits = detach.syntax().descendants_with_tokens();
            let mut words = waits.map(|part| part.kind());
            let alone = |word: SyntaxKind| matches!(word, SyntaxKind::CONCURRENTLY_KW | SyntaxKind::FINALIZE_KW);
            if words.any(alone) { Lock::ShareUpdateExclusive } else { Lock::AccessExclusive }
        }
        ast::AlterTableAction::AddConstraint(add) => {
            let foreign = add.syntax().children().any(|part| part.kind() == SyntaxKind::FOREIGN_KEY_CONSTRAINT);
            if foreign { Lock::ShareRowExclusive } else { Lock::AccessExclusive }
        }
        ast::AlterTableAction::EnableTrigger(_)
        | ast::AlterTableAction::DisableTrigger(_)
        | ast::AlterTableAction::EnableAlwaysTrigger(_)
        | ast::AlterTableAction::EnableReplicaTrigger(_) => Lock::ShareRowExclusive,
        ast::AlterTableAction::AlterColumn(column) => match column.option() {
            Some(
                ast::AlterColumnOption::SetStatistics(_)
                | ast::AlterColumnOption::SetOptions(_)
                | ast::AlterColumnOption::SetOptionsList(_)
                | ast::AlterColumnOption::ResetOptions(_),
            ) => Lock::ShareUpdateExclusive,
            Some(_) | None => Lock::AccessExclusive,
        },
        _ => Lock::AccessExclusive,
    }
}

/// What it takes on the partition that comes or goes.
fn of_partition(action: &ast::AlterTableAction) -> Option<(String, Lock)> {
    match action {
        ast::AlterTableAction::AttachPartition(attach) => Some((named(attach.table_name_ref()), Lock::AccessExclusive)),
        ast::AlterTableAction::DetachPartition(detach) => Some((named(detach.table_name_ref()), Lock::AccessExclusive)),
        _ => None,
    }
}

/// The tables that foreign keys of a statement refer to: their rows may not go away meanwhile.
fn referred(node: &SyntaxNode) -> Vec<(String, Lock)> {
    let table = |part: SyntaxNode| match part.kind() {
        SyntaxKind::FOREIGN_KEY_CONSTRAINT => Some(named(ast::ForeignKeyConstraint::cast(part)?.table_name_ref())),
        SyntaxKind::REFERENCES_CONSTRAINT => Some(named(ast::ReferencesConstraint::cast(part)?.table())),
        _ => None,
    };
    node.descendants().filter_map(table).map(|name| (name, Lock::ShareRowExclusive)).collect()
}

/// The table whose rows a node changes.
fn changed(node: &SyntaxNode) -> Option<(String, Lock)> {
    let table = match node.kind() {
        SyntaxKind::INSERT => named(ast::Insert::cast(node.clone())?.relation_name_ref()),
        SyntaxKind::UPDATE => named(ast::Update::cast(node.clone())?.relation_name()),
        SyntaxKind::DELETE => named(ast::Delete::cast(node.clone())?.relation_name()),
        SyntaxKind::MERGE => named(ast::Merge::cast(node.clone())?.table_relation_name()),
        _ => return None,
    };
    Some((table, Lock::RowExclusive))
}

/// The mode that `LOCK TABLE` names.
pub(super) fn of_mode(clause: &ast::LockModeClause) -> Lock {
    match clause.lock_mode() {
        Some(ast::LockMode::AccessShare(_)) => Lock::AccessShare,
        Some(ast::LockMode::RowShare(_)) => Lock::RowShare,
        Some(ast::LockMode::RowExclusive(_)) => Lock::RowExclusive,
        Some(ast::LockMode::ShareUpdateExclusive(_)) => Lock::ShareUpdateExclusive,
        Some(ast::LockMode::Share(_)) => Lock::Share,
        Some(ast::LockMode::ShareRowExclusive(_)) => Lock::ShareRowExclusive,
        Some(ast::LockMode::Exclusive(_)) => Lock::Exclusive,
        Some(ast::LockMode::AccessExclusive(_)) | None => Lock::AccessExclusive,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r15_locks_are_told_of_what_was_there_before() {
        for (sql, expected) in [
            ("create table t (id int primary key); alter table t add column a int; create index on t (a);", ""),
            ("create table t (id int references Users (id));", "users: SHARE ROW EXCLUSIVE"),
            ("alter table shop.t add column a int", "shop.t: ACCESS EXCLUSIVE"),
            ("alter table t validate constraint c", "t: SHARE UPDATE EXCLUSIVE"),
            ("alter table t validate constraint c, add column a int", "t: ACCESS EXCLUSIVE"),
            (
                "alter table t add constraint c foreign key (a) references r (id) not valid",
                "t: SHARE ROW EXCLUSIVE, r: SHARE ROW EXCLUSIVE",
            ),
            ("create index i on t (a)", "t: SHARE"),
            ("create index concurrently i on t (a)", "t: SHARE UPDATE EXCLUSIVE"),
            ("drop index concurrently i", "i: SHARE UPDATE EXCLUSIVE"),
            ("drop table a, b", "a: ACCESS EXCLUSIVE, b: ACCESS EXCLUSIVE"),
            ("insert into t values (1); update t set a = 1; create index i on t (a);", "t: SHARE"),
            (
                "with gone as (delete from a returning *) insert into b select * from gone",
                "b: ROW EXCLUSIVE, a: ROW EXCLUSIVE",
            ),
            ("vacuum t", "t: SHARE UPDATE EXCLUSIVE"),
            ("vacuum full t", "t: ACCESS EXCLUSIVE"),
            ("lock table t in share mode", "t: SHARE"),
            ("alter table p detach partition c concurrently", "p: SHARE UPDATE EXCLUSIVE, c: ACCESS EXCLUSIVE"),
            ("select 1", ""),
            ("this is no SQL", ""),
        ] {
            let found = locks_of(sql).expect("short and flat");
            let text: Vec<String> = found.iter().map(|(object, lock)| format!("{object}: {lock}")).collect();
            assert_eq!(text.join(", "), expected, "{sql}");
        }
    }
}
