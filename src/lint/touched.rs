//! What a statement makes, changes, gives away or drops, by the names that it writes. What it only reads is not here.

use squawk_syntax::ast::{self, AstNode};
use squawk_syntax::{SyntaxKind, SyntaxNode};

/// An object that a statement touches, as it names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Touched {
    /// Its name where it stands.
    pub node: SyntaxNode,
    /// The schema, where it is written.
    pub schema: Option<String>,
    /// The name itself; empty for a schema.
    pub name: String,
    /// What it is to the statement.
    pub role: Role,
}

/// What an object is to the statement that names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It is made there.
    New,
    /// It is made there and gone with the session.
    Temporary,
    /// It is there before.
    Old,
    /// The schema into which something goes, or all of whose objects are meant.
    Within,
    /// The schema itself.
    Schema,
}

/// What `statement` touches, in the order in which it is written.
pub fn touched(statement: &ast::Stmt) -> Vec<Touched> {
    let mut found = Vec::new();
    match statement {
        // These look, or keep others out while they do.
        ast::Stmt::Table(_)
        | ast::Stmt::Lock(_)
        | ast::Stmt::Analyze(_)
        | ast::Stmt::Vacuum(_)
        | ast::Stmt::Reindex(_)
        | ast::Stmt::Cluster(_)
        | ast::Stmt::Repack(_) => return found,
        ast::Stmt::Copy(copy) if !matches!(copy.copy_direction(), Some(ast::CopyDirection::CopyFrom(_))) => {
            return found;
        }
        _ => {}
    }
    let temporary = statement.syntax().children().any(|c| c.kind() == SyntaxKind::TEMP);
    for child in statement.syntax().children() {
        if holds_names(child.kind()) {
            names(&child, temporary, &mut found);
        } else if holds_changes(child.kind()) {
            for change in child.descendants().filter(|n| is_change(n.kind())) {
                change.children().filter(|c| holds_names(c.kind())).for_each(|c| names(&c, false, &mut found));
            }
        }
    }
    found
}

/// `INSERT`, `UPDATE`, `DELETE`, `MERGE`.
fn is_change(kind: SyntaxKind) -> bool {
    matches!(kind, SyntaxKind::INSERT | SyntaxKind::UPDATE | SyntaxKind::DELETE | SyntaxKind::MERGE)
}

/// The parts of a statement in which another one may stand that changes rows: `WITH`, what a rule does, what is explained
/// or prepared.
fn holds_changes(kind: SyntaxKind) -> bool {
    is_change(kind) || matches!(kind, SyntaxKind::WITH_CLAUSE | SyntaxKind::RULE_DO)
}

/// The parts of a statement that say what it is about.
fn holds_names(kind: SyntaxKind) -> bool {
    use SyntaxKind as K;
    matches!(
        kind,
        K::TABLE_NAME
            | K::TABLE_NAME_REF
            | K::TABLE_RELATION_NAME
            | K::RELATION_NAME
            | K::RELATION_NAME_REF
            | K::TABLE_LIST
            | K::COPY_TABLE
            | K::INTO_CLAUSE
            | K::VIEW
            | K::VIEW_REF
            | K::INDEX_REF
            | K::SEQUENCE
            | K::SEQUENCE_REF
            | K::TYPE_NAME
            | K::TYPE_NAME_REF
            | K::DOMAIN
            | K::DOMAIN_REF
            | K::FUNCTION_NAME
            | K::FUNCTION_SIG
            | K::FUNCTION_SIG_LIST
            | K::PROCEDURE_NAME
            | K::PROCEDURE_SIG
            | K::PROCEDURE_SIG_LIST
            | K::ROUTINE_SIG
            | K::ROUTINE_SIG_LIST
            | K::AGGREGATE
            | K::AGGREGATE_NAME
            | K::ON_RELATION
            | K::ON_TABLE
            | K::RULE_ON
            | K::ATTACH_PARTITION
            | K::ON_PRIVILEGE_OBJECTS_CLAUSE
            | K::OBJECT_AGGREGATE
            | K::OBJECT_COLUMN
            | K::OBJECT_CONSTRAINT
            | K::OBJECT_DOMAIN
            | K::OBJECT_FOREIGN_TABLE
            | K::OBJECT_FUNCTION
            | K::OBJECT_INDEX
            | K::OBJECT_MATERIALIZED_VIEW
            | K::OBJECT_POLICY
            | K::OBJECT_PROCEDURE
            | K::OBJECT_ROUTINE
            | K::OBJECT_RULE
            | K::OBJECT_SCHEMA
            | K::OBJECT_SEQUENCE
            | K::OBJECT_TABLE
            | K::OBJECT_TRIGGER
            | K::OBJECT_TYPE
            | K::OBJECT_VIEW
            | K::SET_SCHEMA
            | K::IN_SCHEMAS
            | K::SCHEMA_REF
            | K::NAMED_SCHEMA
            | K::SCHEMA_RENAME_TO
    )
}

/// The names below a part of a statement.
fn names(part: &SyntaxNode, temporary: bool, found: &mut Vec<Touched>) {
    match part.kind() {
        SyntaxKind::PATH | SyntaxKind::PATH_REF => {
            let is_column = part.parent().is_some_and(|p| p.kind() == SyntaxKind::QUALIFIED_COLUMN_NAME_REF);
            let mut words = words(part);
            if is_column {
                words.pop();
            }
            let Some(name) = words.pop() else { return };
            let role = match part.kind() {
                SyntaxKind::PATH if temporary => Role::Temporary,
                SyntaxKind::PATH => Role::New,
                _ => Role::Old,
            };
            found.push(Touched { node: part.clone(), schema: words.pop(), name, role });
        }
        SyntaxKind::SCHEMA | SyntaxKind::SCHEMA_REF => {
            let above = part.parent().map(|p| p.kind());
            let itself = matches!(
                above,
                Some(
                    SyntaxKind::ALTER_SCHEMA
                        | SyntaxKind::DROP_SCHEMA
                        | SyntaxKind::NAMED_SCHEMA
                        | SyntaxKind::SCHEMA_RENAME_TO
                        | SyntaxKind::PRIVILEGE_SCHEMA
                        | SyntaxKind::OBJECT_SCHEMA
                )
            );
            let role = if itself { Role::Schema } else { Role::Within };
            let schema = words(part).pop();
            found.push(Touched { node: part.clone(), schema, name: String::new(), role });
        }
        // Types of parameters, people, and the names that constraints have on their tables.
        SyntaxKind::PARAM_LIST | SyntaxKind::ROLE_REF | SyntaxKind::CONSTRAINT_NAME_REF => {}
        _ => part.children().for_each(|child| names(&child, temporary, found)),
    }
}

/// The words of a name as PostgreSQL compares them.
fn words(name: &SyntaxNode) -> Vec<String> {
    let tokens = name.descendants_with_tokens().filter_map(|e| e.into_token());
    let tokens = tokens.filter(|t| !matches!(t.kind(), SyntaxKind::WHITESPACE | SyntaxKind::COMMENT | SyntaxKind::DOT));
    tokens.map(|t| word(t.text())).collect()
}

/// A word as PostgreSQL compares it.
pub fn word(text: &str) -> String {
    match text.strip_prefix('"').and_then(|t| t.strip_suffix('"')) {
        Some(quoted) => quoted.replace("\"\"", "\""),
        None => text.to_ascii_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use squawk_syntax::SourceFile;

    #[test]
    fn what_a_statement_touches_is_read_from_its_names() {
        for (sql, expected) in [
            ("CREATE TABLE a.t (id int REFERENCES b.u (id));", "a.t new"),
            ("CREATE TEMP TABLE t (id int);", "t temporary"),
            ("CREATE TABLE t AS TABLE b.u;", "t new"),
            ("ALTER TABLE ONLY a.t ADD x int, ADD y int;", "a.t old"),
            ("ALTER TABLE t SET SCHEMA b;", "t old, b. within"),
            ("ALTER TABLE a.t ATTACH PARTITION b.p DEFAULT;", "a.t old, b.p old"),
            ("DROP TABLE IF EXISTS t, \"B\".u CASCADE;", "t old, B.u old"),
            ("DROP FUNCTION a.f(b.c), g;", "a.f old, g old"),
            ("CREATE TRIGGER x AFTER INSERT ON b.t FOR EACH ROW EXECUTE FUNCTION a.f();", "b.t old"),
            ("CREATE POLICY p ON b.t USING (c.d = 1);", "b.t old"),
            ("GRANT SELECT ON b.t, u TO r;", "b.t old, u old"),
            ("REVOKE ALL ON SCHEMA b FROM r;", "b. schema"),
            ("GRANT SELECT ON ALL TABLES IN SCHEMA b TO r;", "b. within"),
            ("ALTER DEFAULT PRIVILEGES IN SCHEMA b GRANT SELECT ON TABLES TO r;", "b. within"),
            ("GRANT EXECUTE ON FUNCTION b.f(c.d) TO r;", "b.f old"),
            ("COMMENT ON COLUMN b.t.c IS 'x';", "b.t old"),
            ("COMMENT ON COLUMN t.c IS 'x';", "t old"),
            ("COMMENT ON CONSTRAINT c ON b.t IS 'x';", "b.t old"),
            ("DROP SCHEMA a, b;", "a. schema, b. schema"),
            ("CREATE SCHEMA b AUTHORIZATION r;", "b. schema"),
            ("UPDATE t AS o SET a = o.b FROM c.d WHERE o.id = 1;", "t old"),
            ("WITH o AS (DELETE FROM b.t RETURNING *) INSERT INTO a.u SELECT o.id FROM o;", "b.t old, a.u old"),
            ("MERGE INTO b.t AS o USING c.d ON true WHEN MATCHED THEN DELETE;", "b.t old"),
            ("CREATE RULE r AS ON INSERT TO t DO ALSO DELETE FROM b.u;", "t old, b.u old"),
            ("EXPLAIN ANALYZE UPDATE b.t SET a = 1;", "b.t old"),
            ("SELECT a.b INTO c.d FROM e.f;", "c.d new"),
            ("COPY b.t FROM stdin;", "b.t old"),
            ("COPY b.t TO stdout;", ""),
            ("SELECT b.f() FROM b.t;", ""),
            ("TABLE b.t;", ""),
            ("CREATE VIEW v AS SELECT * FROM b.t;", "v new"),
            ("CREATE INDEX i ON b.t (a);", "b.t old"),
        ] {
            let statement = SourceFile::parse(sql).tree().stmts().next().expect("a statement");
            let told = touched(&statement).into_iter().map(|t| {
                let schema = t.schema.map(|s| s + ".").unwrap_or_default();
                format!("{schema}{} {:?}", t.name, t.role).replace("New", "new").replace("Old", "old")
            });
            let told = told.collect::<Vec<_>>().join(", ");
            assert_eq!(told.to_ascii_lowercase(), expected.to_ascii_lowercase(), "{sql}");
        }
    }
}
