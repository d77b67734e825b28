//! From the syntax tree to changes.

use std::collections::BTreeSet;
use std::ops::Range;

use squawk_syntax::ast::{self, AstNode};
use squawk_syntax::{SyntaxKind, SyntaxNode};

use super::change::{Action, Change, ColumnDef, ConstraintDef, ConstraintKind, Dropped, IndexDef, PartitionOf, What};
use super::types::ColumnType;
use crate::lint::picked::Picked;
use crate::lint::script::{Statement, name_of, range_of};
use crate::lint::truth::{self, Truth};
use crate::migration::backfill::markers;

/// What the statements do, in order. `broken` says that the script does not parse as a whole.
pub fn changes(text: &str, statements: &[Statement], broken: bool) -> Vec<Change> {
    let mut out = Vec::new();
    if broken {
        out.push(Change { range: 0..text.len(), what: What::Opaque(words_of_text(text)) });
        return out;
    }
    for statement in statements {
        read(text, statement, &mut out);
    }
    out
}

fn named(node: Option<impl AstNode>) -> String {
    node.map(|n| name_of(n.syntax())).unwrap_or_default()
}

fn read(text: &str, statement: &Statement, out: &mut Vec<Change>) {
    let range = statement.range.clone();
    let mut put = |what: What| out.push(Change { range: range.clone(), what });
    match &statement.node {
        ast::Stmt::CreateTable(s) => put(create_table(s)),
        ast::Stmt::CreateTableAs(s) => {
            put(What::CreateOther { name: named(s.table_name()), tolerant: s.if_not_exists().is_some() });
        }
        ast::Stmt::CreateForeignTable(s) => {
            put(What::CreateOther { name: named(s.table_name()), tolerant: s.if_not_exists().is_some() });
        }
        ast::Stmt::CreateView(s) => put(What::CreateView {
            name: named(s.view()),
            tolerant: s.or_replace().is_some() || s.persistence().is_some(),
            materialized: false,
            reads: relations(s.syntax()),
            words: words(s.syntax()),
        }),
        ast::Stmt::CreateMaterializedView(s) => put(What::CreateView {
            name: named(s.view()),
            tolerant: s.if_not_exists().is_some(),
            materialized: true,
            reads: relations(s.syntax()),
            words: words(s.syntax()),
        }),
        ast::Stmt::CreateIndex(s) => put(What::CreateIndex {
            name: s.index().map(|n| name_of(n.syntax())),
            table: named(s.table_relation_name()),
            if_not_exists: s.if_not_exists().is_some(),
            only: s.table_relation_name().is_some_and(|n| n.only_token().is_some()),
            index: index(s),
        }),
        ast::Stmt::CreateType(s) => {
            put(What::CreateType { name: named(s.type_name()), checked: false, base: None });
        }
        ast::Stmt::CreateDomain(s) => put(What::CreateType {
            name: named(s.domain()),
            checked: s
                .syntax()
                .descendants()
                .any(|n| matches!(n.kind(), SyntaxKind::CHECK_CONSTRAINT | SyntaxKind::NOT_NULL_CONSTRAINT)),
            base: s.ty().map(|ty| name_of(ty.syntax())),
        }),
        ast::Stmt::AlterDomain(s) => {
            let checked = match s.action() {
                Some(ast::AlterDomainAction::AddConstraint(_) | ast::AlterDomainAction::SetNotNull(_)) => true,
                Some(
                    ast::AlterDomainAction::OwnerTo(_)
                    | ast::AlterDomainAction::SetDefault(_)
                    | ast::AlterDomainAction::DropDefault(_)
                    | ast::AlterDomainAction::RenameConstraint(_)
                    | ast::AlterDomainAction::ValidateConstraint(_),
                ) => return,
                // What is left of its constraints, or where it is now, is not followed.
                _ => false,
            };
            put(What::AlterDomain { name: named(s.domain_ref()), checked });
        }
        ast::Stmt::AlterTable(s) => {
            let table = named(s.table_relation_name());
            if s.all_in_tablespace().is_some() {
                return;
            }
            let keyed = s.syntax().descendants().any(|n| n.kind() == SyntaxKind::PRIMARY_KEY_CONSTRAINT);
            for node in s.actions() {
                let mut action = action(&node);
                if let Action::DropConstraint { replaced, .. } = &mut action {
                    *replaced = keyed;
                }
                let what = What::Alter { table: table.clone(), if_exists: s.if_exists().is_some(), action };
                out.push(Change { range: range_of(node.syntax()), what });
            }
        }
        ast::Stmt::AlterForeignTable(s) => put(What::Opaque(words(s.syntax()))),
        ast::Stmt::AlterView(s) => put(What::Opaque(words(s.syntax()))),
        ast::Stmt::AlterMaterializedView(s) => put(What::Opaque(words(s.syntax()))),
        ast::Stmt::AlterType(s) => put(What::Opaque(words(s.syntax()))),
        ast::Stmt::AlterSchema(_) | ast::Stmt::ImportForeignSchema(_) | ast::Stmt::Rollback(_) => put(What::Anything),
        ast::Stmt::AlterIndex(s) => {
            if let Some(ast::AlterIndexAction::IndexRenameTo(to)) = s.action() {
                put(What::RenameIndex { from: named(s.index_ref()), to: named(to.index()) });
            }
        }
        ast::Stmt::DropTable(s) => put(What::Drop {
            kind: Dropped::Table,
            names: s.table_name_refs().map(|n| name_of(n.syntax())).collect(),
            if_exists: s.if_exists().is_some(),
            cascade: cascades(s.drop_behavior()),
        }),
        ast::Stmt::DropForeignTable(s) => put(What::Drop {
            kind: Dropped::Table,
            names: s.table_name_refs().map(|n| name_of(n.syntax())).collect(),
            if_exists: s.if_exists().is_some(),
            cascade: cascades(s.drop_behavior()),
        }),
        ast::Stmt::DropView(s) => put(What::Drop {
            kind: Dropped::View,
            names: s.view_refs().map(|n| name_of(n.syntax())).collect(),
            if_exists: s.if_exists().is_some(),
            cascade: cascades(s.drop_behavior()),
        }),
        ast::Stmt::DropMaterializedView(s) => put(What::Drop {
            kind: Dropped::View,
            names: s.view_refs().map(|n| name_of(n.syntax())).collect(),
            if_exists: s.if_exists().is_some(),
            cascade: cascades(s.drop_behavior()),
        }),
        ast::Stmt::DropIndex(s) => put(What::Drop {
            kind: Dropped::Index,
            names: s.index_refs().map(|n| name_of(n.syntax())).collect(),
            if_exists: s.if_exists().is_some(),
            cascade: cascades(s.drop_behavior()),
        }),
        ast::Stmt::DropType(s) => put(What::Drop {
            kind: Dropped::Type,
            names: s.type_name_refs().map(|n| name_of(n.syntax())).collect(),
            if_exists: s.if_exists().is_some(),
            cascade: cascades(s.drop_behavior()),
        }),
        ast::Stmt::DropDomain(s) => put(What::Drop {
            kind: Dropped::Type,
            names: s.domain_refs().map(|n| name_of(n.syntax())).collect(),
            if_exists: s.if_exists().is_some(),
            cascade: cascades(s.drop_behavior()),
        }),
        ast::Stmt::DropSchema(s) => put(What::Drop {
            kind: Dropped::Schema,
            names: s.schema_refs().map(|n| name_of(n.syntax())).collect(),
            if_exists: s.if_exists().is_some(),
            cascade: cascades(s.drop_behavior()),
        }),
        ast::Stmt::DropOwned(_) | ast::Stmt::DropExtension(_) => put(What::Anything),
        ast::Stmt::Set(s) => {
            if let Some(path) = search_path(s) {
                put(What::SearchPath(path));
            }
        }
        ast::Stmt::Do(s) => {
            let body = s.body().map(|b| b.syntax().text().to_string()).unwrap_or_default();
            let words = words_of_text(&body);
            put(if words.contains("execute") { What::Anything } else { What::Opaque(words) });
        }
        ast::Stmt::CreateFunction(s) => function(s.name(), &text[statement.range.clone()], &mut put),
        ast::Stmt::CreateProcedure(s) => function(s.name(), &text[statement.range.clone()], &mut put),
        ast::Stmt::Select(s) => call(s.syntax(), &mut put),
        ast::Stmt::Call(s) => call(s.syntax(), &mut put),
        ast::Stmt::Update(s) => {
            if s.from_clause().is_none() {
                rows(text, &range, &named(s.relation_name()), s.where_clause_or_current_of(), false, out);
            }
            picks(text, &range, Picked::of_update(s), out);
        }
        ast::Stmt::Delete(s) => {
            if s.using_clause().is_none() {
                rows(text, &range, &named(s.relation_name()), s.where_clause_or_current_of(), true, out);
            }
            picks(text, &range, Picked::of_delete(s), out);
        }
        ast::Stmt::SelectInto(s) => put(What::Opaque(words(s.syntax()))),
        ast::Stmt::CreateSchema(s) if s.schema_elements().next().is_some() => put(What::Opaque(words(s.syntax()))),
        _ => {}
    }
}

/// A change of rows whose condition asks for nothing but columns that hold something: whether that leaves a row out, the
/// catalog knows.
fn rows(
    text: &str,
    statement: &Range<usize>,
    table: &str,
    condition: Option<ast::WhereClauseOrCurrentOf>,
    removes: bool,
    out: &mut Vec<Change>,
) {
    let Some(ast::WhereClauseOrCurrentOf::WhereClause(clause)) = condition else { return };
    let Some(Truth::Holding(columns)) = clause.expr().map(|e| truth::of(&e, table)) else { return };
    if columns.asked && markers(&text[statement.clone()]).is_empty() {
        let what = What::Rows { table: table.to_owned(), columns: columns.names, removes };
        out.push(Change { range: range_of(clause.syntax()), what });
    }
}

/// A change of rows by a condition, unless it is made in batches.
fn picks(text: &str, statement: &Range<usize>, picked: Option<Picked>, out: &mut Vec<Change>) {
    let picked = picked.filter(|_| markers(&text[statement.clone()]).is_empty());
    out.extend(picked.map(|picked| Change { range: statement.clone(), what: What::Picks(picked) }));
}

fn create_table(create: &ast::CreateTable) -> What {
    let mut closed = create.inherits().is_none() && create.of_type().is_none() && create.partition_of().is_none();
    let mut parts = Vec::new();
    for arg in create.table_arg_list().into_iter().flat_map(|l| l.args()) {
        match arg {
            ast::TableArg::Column(column) => {
                let constraints: Vec<SyntaxNode> = column
                    .clauses()
                    .filter_map(|c| match c {
                        ast::ColumnClause::ColumnConstraint(c) => Some(c.syntax().clone()),
                        _ => None,
                    })
                    .collect();
                add_column(named(column.name()), column.ty(), &constraints, false, &mut parts);
            }
            ast::TableArg::LikeClause(_) => closed = false,
            ast::TableArg::TableConstraint(constraint) => {
                parts.extend(constraint_of(constraint.syntax(), None).map(Action::AddConstraint));
            }
        }
    }
    What::CreateTable {
        name: named(create.table_name()),
        if_not_exists: create.if_not_exists().is_some(),
        temporary: create.persistence().is_some_and(|p| {
            let text = p.syntax().text().to_string().to_ascii_lowercase();
            text.contains("temp")
        }),
        parts,
        closed,
        partition_of: create.partition_of().map(|of| PartitionOf {
            table: named(of.table_name_ref()),
            is_default: is_default(create.partition_type()),
        }),
        partitioned: create.partition_by().is_some(),
    }
}

fn is_default(partition: Option<ast::PartitionType>) -> bool {
    matches!(partition, Some(ast::PartitionType::PartitionDefault(_)))
}

fn add_column(
    name: String,
    ty: Option<ast::Type>,
    constraints: &[SyntaxNode],
    if_not_exists: bool,
    out: &mut Vec<Action>,
) {
    let ty = ty.map(|t| ColumnType::of(t.syntax()));
    let identity = |n: &SyntaxNode| {
        n.kind() == SyntaxKind::GENERATED_CONSTRAINT
            && n.descendants().any(|d| d.kind() == SyntaxKind::GENERATED_IDENTITY)
    };
    let not_null = constraints.iter().any(|n| {
        matches!(n.kind(), SyntaxKind::NOT_NULL_CONSTRAINT | SyntaxKind::PRIMARY_KEY_CONSTRAINT) || identity(n)
    });
    out.push(Action::AddColumn { name: name.clone(), column: ColumnDef { ty, not_null }, if_not_exists });
    for node in constraints {
        out.extend(constraint_of(node, Some(&name)).map(Action::AddConstraint));
    }
}

fn action(node: &ast::AlterTableAction) -> Action {
    match node {
        ast::AlterTableAction::AddColumn(add) => {
            let constraints: Vec<SyntaxNode> = add.constraints().map(|c| c.syntax().clone()).collect();
            let mut parts = Vec::new();
            add_column(named(add.column_name()), add.ty(), &constraints, add.if_not_exists().is_some(), &mut parts);
            if parts.len() == 1 { parts.remove(0) } else { Action::Several(parts) }
        }
        ast::AlterTableAction::AddConstraint(add) => add
            .constraint()
            .and_then(|c| constraint_of(c.syntax(), None))
            .map_or(Action::Nothing, Action::AddConstraint),
        ast::AlterTableAction::DropColumn(drop) => Action::DropColumn {
            name: named(drop.column_name_ref()),
            if_exists: drop.if_exists().is_some(),
            cascade: cascades(drop.drop_behavior()),
        },
        ast::AlterTableAction::DropConstraint(drop) => {
            let cascade = cascades(drop.drop_behavior());
            Action::DropConstraint { name: named(drop.constraint_name_ref()), cascade, replaced: false }
        }
        ast::AlterTableAction::AlterColumn(alter) => {
            let column = named(alter.column_name_ref());
            match alter.option() {
                Some(ast::AlterColumnOption::SetType(set)) => match set.ty() {
                    Some(ty) => Action::SetType {
                        plain: set.collate().is_none()
                            && set.using_expr().is_none_or(|u| converts(u.syntax(), &column, ty.syntax())),
                        column,
                        ty: ColumnType::of(ty.syntax()),
                    },
                    None => Action::Opens,
                },
                Some(ast::AlterColumnOption::SetNotNull(_)) => Action::SetNotNull { column, on: true },
                Some(ast::AlterColumnOption::DropNotNull(_)) => Action::SetNotNull { column, on: false },
                _ => Action::Nothing,
            }
        }
        ast::AlterTableAction::RenameColumn(rename) => {
            Action::RenameColumn { from: named(rename.column_name_ref()), to: named(rename.column_name()) }
        }
        ast::AlterTableAction::RenameConstraint(rename) => {
            Action::RenameConstraint { from: named(rename.constraint_name_ref()), to: named(rename.constraint_name()) }
        }
        ast::AlterTableAction::ValidateConstraint(validate) => {
            Action::Validate { name: named(validate.constraint_name_ref()) }
        }
        ast::AlterTableAction::TableRenameTo(rename) => Action::RenameTo(named(rename.table_name())),
        ast::AlterTableAction::SetSchema(set) => Action::SetSchema(named(set.schema_ref())),
        ast::AlterTableAction::AttachPartition(attach) => Action::Attach {
            partition: named(attach.table_name_ref()),
            is_default: is_default(attach.partition_type()),
        },
        ast::AlterTableAction::DetachPartition(detach) => Action::Detach { partition: named(detach.table_name_ref()) },
        ast::AlterTableAction::MergePartitions(_)
        | ast::AlterTableAction::SplitPartition(_)
        | ast::AlterTableAction::InheritTable(_)
        | ast::AlterTableAction::NoInheritTable(_)
        | ast::AlterTableAction::OfType(_)
        | ast::AlterTableAction::NotOf(_) => Action::Opens,
        _ => Action::Nothing,
    }
}

/// Whether `USING` says only what a plain change would do: the column, or a cast of it to the new type.
fn converts(using: &SyntaxNode, column: &str, ty: &SyntaxNode) -> bool {
    let said: String = significant(using).skip(1).filter(|t| t != "(" && t != ")").collect();
    let cast: String = significant(ty).filter(|t| t != "(" && t != ")").collect();
    said == column || said == format!("{column}::{cast}")
}

/// The tokens of a node that mean something, names as PostgreSQL compares them.
fn significant(node: &SyntaxNode) -> impl Iterator<Item = String> {
    node.descendants_with_tokens()
        .filter_map(|e| e.into_token())
        .filter(|t| !matches!(t.kind(), SyntaxKind::WHITESPACE | SyntaxKind::COMMENT))
        .map(|t| bare(t.text()))
}

fn bare(token: &str) -> String {
    match token.strip_prefix('"').and_then(|t| t.strip_suffix('"')) {
        Some(quoted) => quoted.replace("\"\"", "\""),
        None => token.to_ascii_lowercase(),
    }
}

fn columns_of(list: Option<ast::ForeignKeyColumnList>) -> Vec<String> {
    list.map(|l| l.column_name_refs().map(|c| name_of(c.syntax())).collect()).unwrap_or_default()
}

/// A constraint; `column` is the one that it stands behind.
fn constraint_of(node: &SyntaxNode, column: Option<&str>) -> Option<ConstraintDef> {
    let own = || column.map(str::to_owned).into_iter().collect::<Vec<_>>();
    let listed = |p: Option<ast::IndexParameters>| {
        p.and_then(|p| p.column_list())
            .map_or_else(own, |l| l.column_name_refs().map(|c| name_of(c.syntax())).collect())
    };
    let constraint = ast::Constraint::cast(node.clone())?;
    let using = |u: Option<ast::UsingIndexName>, primary| {
        u.map(|u| ConstraintKind::UsingIndex { index: named(u.index_ref()), primary })
    };
    let kind = match &constraint {
        ast::Constraint::PrimaryKeyConstraint(c) => {
            using(c.using_index(), true).unwrap_or_else(|| ConstraintKind::Primary(listed(c.index_parameters())))
        }
        ast::Constraint::UniqueConstraint(c) => {
            using(c.using_index(), false).unwrap_or_else(|| ConstraintKind::Unique(listed(c.index_parameters())))
        }
        ast::Constraint::ForeignKeyConstraint(c) => ConstraintKind::Foreign {
            columns: columns_of(c.from_columns()),
            table: named(c.table_name_ref()),
            referred: columns_of(c.to_columns()),
        },
        ast::Constraint::ReferencesConstraint(c) => ConstraintKind::Foreign {
            columns: own(),
            table: named(c.table()),
            referred: c.column().map(|c| name_of(c.syntax())).into_iter().collect(),
        },
        ast::Constraint::CheckConstraint(c) => ConstraintKind::Check {
            words: words(c.syntax()),
            says_not_null: c.expr().and_then(|e| says_not_null(e.syntax())),
        },
        ast::Constraint::ExcludeConstraint(_) => ConstraintKind::Other,
        ast::Constraint::NotNullConstraint(c) if column.is_none() => {
            let words: BTreeSet<String> = c.column_name_ref().map(|c| name_of(c.syntax())).into_iter().collect();
            ConstraintKind::Check { says_not_null: words.first().cloned(), words }
        }
        ast::Constraint::NotNullConstraint(_)
        | ast::Constraint::NullConstraint(_)
        | ast::Constraint::DefaultConstraint(_)
        | ast::Constraint::GeneratedConstraint(_) => return None,
    };
    let name = constraint.constraint_name().map(|n| name_of(n.syntax()));
    Some(ConstraintDef { name, kind, valid: !constraint.is_not_valid() })
}

/// The column of `column IS NOT NULL`.
fn says_not_null(expr: &SyntaxNode) -> Option<String> {
    let tokens: Vec<String> = significant(expr).filter(|t| t != "(" && t != ")").collect();
    match tokens.as_slice() {
        [column, is, not, null] if is == "is" && not == "not" && null == "null" => Some(column.clone()),
        _ => None,
    }
}

fn index(create: &ast::CreateIndex) -> IndexDef {
    let items: Vec<ast::PartitionItem> =
        create.partition_item_list().map(|l| l.partition_items().collect()).unwrap_or_default();
    let keys: Vec<Option<String>> = items
        .iter()
        .map(|item| match item.expr() {
            Some(ast::Expr::NameRef(name)) => Some(name.text()),
            _ => None,
        })
        .collect();
    let computed = create.where_clause().is_some() || keys.iter().any(Option::is_none);
    let ordinary = create.using_method().is_none_or(|u| name_of(u.syntax()) == "usingbtree");
    let simple = |i: &ast::PartitionItem| {
        i.op_class_ref().is_none() && i.collate().is_none() && i.sort_order().is_none() && i.nulls_order().is_none()
    };
    let mut of = BTreeSet::new();
    for node in [
        create.partition_item_list().map(|n| n.syntax().clone()),
        create.index_include_clause().map(|n| n.syntax().clone()),
        create.where_clause().map(|n| n.syntax().clone()),
    ]
    .into_iter()
    .flatten()
    {
        of.extend(words(&node));
    }
    IndexDef {
        plain: ordinary && !computed && items.iter().all(simple) && create.index_include_clause().is_none(),
        unique: create.unique_token().is_some(),
        keys,
        words: of,
        computed,
    }
}

fn cascades(behavior: Option<ast::DropBehavior>) -> bool {
    matches!(behavior, Some(ast::DropBehavior::Cascade(_)))
}

/// The schema that `SET search_path` names first; nothing where the statement sets something else.
fn search_path(set: &ast::Set) -> Option<Option<String>> {
    let tokens: Vec<String> =
        significant(set.syntax()).filter(|t| !matches!(t.as_str(), "set" | "local" | "session")).collect();
    let rest = match tokens.split_first() {
        Some((first, rest)) if first == "search_path" => rest,
        _ => return None,
    };
    let first = rest.get(1).map(|t| t.trim_matches('\'').to_owned());
    Some(
        first
            .filter(|s| !s.is_empty() && !s.contains(['$', ',', ' ']) && s != "default")
            .map(|s| if s == "public" { String::new() } else { s }),
    )
}

fn function(name: Option<impl AstNode>, definition: &str, put: &mut impl FnMut(What)) {
    let words = definition.to_ascii_lowercase();
    if ["alter", "drop", "execute", "rename"].iter().any(|w| says(&words, w)) {
        put(What::CreateFunction { name: named(name) });
    }
}

/// Whether a text has a word by itself.
fn says(text: &str, word: &str) -> bool {
    let is_letter = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word)
        .any(|(at, _)| !text[..at].ends_with(is_letter) && !text[at + word.len()..].starts_with(is_letter))
}

fn call(node: &SyntaxNode, put: &mut impl FnMut(What)) {
    let mut functions = BTreeSet::new();
    let mut words = BTreeSet::new();
    for token in node.descendants_with_tokens().filter_map(|e| e.into_token()) {
        match token.kind() {
            SyntaxKind::STRING => words.extend(words_of_text(token.text())),
            SyntaxKind::IDENT => {
                functions.insert(bare(token.text()));
            }
            _ => {}
        }
    }
    if functions.contains("set_config") && words.contains("search_path") {
        put(What::SearchPath(None));
    } else if !functions.is_empty() {
        put(What::Call { functions, words });
    }
}

/// Every name below a node, as PostgreSQL compares them.
fn words(node: &SyntaxNode) -> BTreeSet<String> {
    node.descendants_with_tokens()
        .filter_map(|e| e.into_token())
        .filter(|t| t.text().starts_with(|c: char| c.is_alphabetic() || c == '_' || c == '"'))
        .map(|t| bare(t.text()))
        .collect()
}

/// The relations that a query reads.
fn relations(node: &SyntaxNode) -> BTreeSet<String> {
    node.descendants()
        .filter(|n| matches!(n.kind(), SyntaxKind::RELATION_FROM_ITEM))
        .filter_map(ast::RelationFromItem::cast)
        .filter_map(|item| {
            item.path_ref().map(|p| name_of(p.syntax())).or_else(|| item.name_ref().map(|n| name_of(n.syntax())))
        })
        .collect()
}

fn words_of_text(text: &str) -> BTreeSet<String> {
    let text = text.to_lowercase();
    let words = text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|w| !w.is_empty());
    // Most words of a text come more than once.
    let once: BTreeSet<&str> = words.collect();
    once.into_iter().map(str::to_owned).collect()
}
