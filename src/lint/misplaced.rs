//! `NOT VALID` where PostgreSQL has none: our parser reads it behind every constraint.

use squawk_syntax::SyntaxKind;
use squawk_syntax::ast::{self, AstNode};

use super::script::{Finding, Statement, range_of};
use super::table;

/// Each `NOT VALID` for which PostgreSQL refuses the whole script.
pub(super) fn not_valid(statements: &[Statement]) -> Vec<Finding> {
    let altering = statements.iter().filter(|s| {
        matches!(s.node, ast::Stmt::AlterTable(_) | ast::Stmt::CreateTable(_) | ast::Stmt::CreateForeignTable(_))
    });
    let marks = altering.flat_map(|s| s.node.syntax().descendants()).filter_map(ast::NotValid::cast);
    marks.filter_map(|mark| of(&mark)).collect()
}

fn of(mark: &ast::NotValid) -> Option<Finding> {
    let constraint = mark.syntax().parent()?;
    let place = constraint.parent()?.kind();
    let (message, help) = if matches!(place, SyntaxKind::COLUMN | SyntaxKind::ADD_COLUMN) {
        (
            "PostgreSQL knows no `NOT VALID` for the constraint of a column".to_owned(),
            "write it as a constraint of the table: `ADD COLUMN …, ADD CONSTRAINT … NOT VALID`",
        )
    } else {
        let kind = match constraint.kind() {
            SyntaxKind::EXCLUDE_CONSTRAINT => "exclusion",
            SyntaxKind::UNIQUE_CONSTRAINT => "unique",
            SyntaxKind::PRIMARY_KEY_CONSTRAINT => "primary key",
            _ => return None,
        };
        (
            format!("PostgreSQL refuses a {kind} constraint that is `NOT VALID`: only foreign keys and checks can be"),
            "leave `NOT VALID` out",
        )
    };
    Some(Finding::new(&table::SYNTAX_ERROR, range_of(mark.syntax()), message).with_help(help))
}

#[cfg(test)]
mod tests {
    use crate::lint::sample;

    #[test]
    fn p101_not_valid_is_only_for_constraints_of_a_table_that_read_rows() {
        for (sql, told) in [
            ("ALTER TABLE t ADD CONSTRAINT c EXCLUDE USING gist (r WITH &&) NOT VALID;", Some("exclusion")),
            ("ALTER TABLE t ADD CONSTRAINT c UNIQUE (a) NOT VALID;", Some("unique")),
            ("ALTER TABLE t ADD PRIMARY KEY (a) NOT VALID;", Some("primary key")),
            ("ALTER TABLE t ADD COLUMN a bigint REFERENCES u (id) NOT VALID;", Some("of a column")),
            ("ALTER TABLE t ADD COLUMN a bigint CHECK (a > 0) NOT VALID;", Some("of a column")),
            ("CREATE TABLE t (id bigint PRIMARY KEY, a bigint REFERENCES u (id) NOT VALID);", Some("of a column")),
            ("CREATE TABLE t (id bigint PRIMARY KEY, a bigint, FOREIGN KEY (a) REFERENCES u (id) NOT VALID);", None),
            ("ALTER TABLE t ADD CONSTRAINT c FOREIGN KEY (a) REFERENCES u (id) NOT VALID;", None),
            ("ALTER TABLE t ADD CONSTRAINT c CHECK (a > 0) NOT VALID;", None),
            ("ALTER TABLE t ADD CONSTRAINT c EXCLUDE USING gist (r WITH &&);", None),
            ("ALTER DOMAIN d ADD CONSTRAINT c CHECK (VALUE > 0) NOT VALID;", None),
        ] {
            let found = sample(&[("0001_m.up.sql", sql)]).0.violations;
            let errors: Vec<&str> =
                found.iter().filter(|v| v.rule == "syntax-error").map(|v| v.message.as_str()).collect();
            assert_eq!(errors.len(), usize::from(told.is_some()), "{sql}: {errors:?}");
            assert!(told.is_none_or(|part| errors[0].contains(part)), "{sql}: {errors:?}");
        }
    }
}
