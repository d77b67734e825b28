//! Objects that a script makes and takes away itself: nobody else ever saw them.

use squawk_syntax::ast::{self, AstNode};

use super::script::{Finding, Script, name_of};

/// Kinds of objects with names of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    View,
    MaterializedView,
    Function,
    Procedure,
    Sequence,
    Type,
    Domain,
    Publication,
}

/// Rules about dropping such an object, or changing it.
const RULES: [&str; 7] = [
    "ban-drop-view",
    "ban-drop-function",
    "ban-drop-sequence",
    "ban-drop-type",
    "ban-drop-domain",
    "ban-replica-identity",
    "ban-alter-sequence-values",
];

/// Whether a finding is about objects that the script has made itself, above, and not in the place of others.
pub(super) fn is_own(script: &Script<'_>, finding: &Finding) -> bool {
    if !RULES.contains(&finding.rule.id) {
        return false;
    }
    let Some(index) = script.statement_at(finding.range.start) else { return false };
    let Some((kind, names)) = taken(&script.statements[index].node) else { return false };
    let own = |name: &String| {
        let made =
            script.statements[..index].iter().position(|s| made(&s.node).is_some_and(|m| m == (kind, name.clone())));
        made.is_some_and(|at| {
            let goes = |stmt: &ast::Stmt| taken(stmt).is_some_and(|(k, n)| k == kind && n.contains(name));
            !script.statements[..at].iter().any(|s| goes(&s.node))
        })
    };
    !names.is_empty() && names.iter().all(own)
}

fn named(node: Option<impl AstNode>) -> Option<String> {
    node.map(|n| name_of(n.syntax())).filter(|name| !name.is_empty())
}

/// What a statement certainly makes, where nothing of that name was there.
fn made(stmt: &ast::Stmt) -> Option<(Kind, String)> {
    Some(match stmt {
        ast::Stmt::CreateView(s) if s.or_replace().is_none() => (Kind::View, named(s.view())?),
        ast::Stmt::CreateMaterializedView(s) if s.if_not_exists().is_none() => {
            (Kind::MaterializedView, named(s.view())?)
        }
        ast::Stmt::CreateFunction(s) if s.or_replace().is_none() => (Kind::Function, named(s.name())?),
        ast::Stmt::CreateProcedure(s) if s.or_replace().is_none() => (Kind::Procedure, named(s.name())?),
        ast::Stmt::CreateSequence(s) if s.if_not_exists().is_none() => (Kind::Sequence, named(s.sequence())?),
        ast::Stmt::CreateType(s) => (Kind::Type, named(s.type_name())?),
        ast::Stmt::CreateDomain(s) => (Kind::Domain, named(s.domain())?),
        ast::Stmt::CreatePublication(s) => (Kind::Publication, named(s.publication())?),
        _ => return None,
    })
}

/// What a statement drops or changes.
fn taken(stmt: &ast::Stmt) -> Option<(Kind, Vec<String>)> {
    let one = |kind, name: Option<String>| Some((kind, name.into_iter().collect()));
    let all = |kind, names: Vec<String>| Some((kind, names));
    match stmt {
        ast::Stmt::DropView(s) => all(Kind::View, s.view_refs().map(|n| name_of(n.syntax())).collect()),
        ast::Stmt::DropMaterializedView(s) => {
            all(Kind::MaterializedView, s.view_refs().map(|n| name_of(n.syntax())).collect())
        }
        ast::Stmt::DropFunction(s) => {
            let names = s.syntax().descendants().filter_map(ast::FunctionNameRef::cast);
            all(Kind::Function, names.map(|n| name_of(n.syntax())).collect())
        }
        ast::Stmt::DropSequence(s) => all(Kind::Sequence, s.sequence_refs().map(|n| name_of(n.syntax())).collect()),
        ast::Stmt::AlterSequence(s) => one(Kind::Sequence, named(s.sequence_ref())),
        ast::Stmt::DropType(s) => all(Kind::Type, s.type_name_refs().map(|n| name_of(n.syntax())).collect()),
        ast::Stmt::DropDomain(s) => all(Kind::Domain, s.domain_refs().map(|n| name_of(n.syntax())).collect()),
        ast::Stmt::DropPublication(s) => {
            all(Kind::Publication, s.publication_refs().map(|n| name_of(n.syntax())).collect())
        }
        ast::Stmt::AlterPublication(s) => one(Kind::Publication, named(s.publication_ref())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::lint::sample;

    fn told(sql: &str) -> Vec<String> {
        let all = sample(&[("0001_m.up.sql", sql)]).0.violations;
        all.into_iter().map(|v| v.rule).filter(|r| super::RULES.contains(&r.as_str())).collect()
    }

    #[test]
    fn what_the_script_made_itself_is_nobodys_loss() {
        for sql in [
            "CREATE FUNCTION f(t text) RETURNS text LANGUAGE sql AS $$ SELECT lower(t) $$; DROP FUNCTION f(text);",
            "CREATE VIEW v AS SELECT 1 AS a; DROP VIEW v;",
            "CREATE VIEW v AS SELECT 1 AS a; CREATE VIEW w AS SELECT 1 AS a; DROP VIEW w, public.v;",
            "CREATE TYPE e AS (a int); DROP TYPE e;",
            "CREATE SEQUENCE s; ALTER SEQUENCE s INCREMENT BY 5; DROP SEQUENCE s;",
            "CREATE PUBLICATION p FOR ALL TABLES; ALTER PUBLICATION p SET (publish = 'insert'); DROP PUBLICATION p;",
        ] {
            assert_eq!(told(sql), [""; 0], "{sql}");
        }
        for (sql, rule) in [
            (
                "CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql AS $$ SELECT 1 $$; DROP FUNCTION f();",
                "ban-drop-function",
            ),
            ("CREATE VIEW v AS SELECT 1 AS a; DROP VIEW v, w;", "ban-drop-view"),
            ("CREATE SEQUENCE IF NOT EXISTS s; DROP SEQUENCE s;", "ban-drop-sequence"),
            ("DROP VIEW v; CREATE VIEW v AS SELECT 1 AS a; DROP VIEW v;", "ban-drop-view"),
            ("CREATE VIEW a.v AS SELECT 1 AS a; DROP VIEW v;", "ban-drop-view"),
            ("CREATE TYPE e AS (a int); DROP DOMAIN e;", "ban-drop-domain"),
            ("DROP SEQUENCE s; CREATE SEQUENCE s;", "ban-drop-sequence"),
        ] {
            assert_eq!(told(sql), [rule], "{sql}");
        }
    }
}
