//! Which rows a condition lets through whatever they hold: constants reckoned out, columns compared with themselves. What a
//! row's values decide is not known here.

use std::collections::BTreeSet;

use squawk_syntax::ast::{self, AstNode, BinOp, LitKind, PostfixOp, PrefixOp};

use super::script::{builtin, name_of};

/// What a condition comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Truth {
    /// True for every row.
    Always,
    /// False for every row.
    Never,
    /// NULL for every row, which lets none through.
    Null,
    /// True for each row in which all of these columns hold something, and for no other.
    Holding(Columns),
    /// True for each row in which the column holds nothing.
    Lacking(String),
    /// It depends on the rows.
    Open,
}

/// Columns by which rows are told apart that hold something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Columns {
    /// As the condition names them, the table in front taken off.
    pub names: BTreeSet<String>,
    /// Whether somebody asks for it in so many words (`IS NOT NULL`), rather than comparing a column with itself.
    pub asked: bool,
}

/// A constant.
#[derive(Debug, PartialEq, Eq)]
enum Constant {
    Number(i128),
    Text(String),
    Truth(bool),
    Null,
}

/// What `condition`, of a statement that changes `table`, comes to.
pub fn of(condition: &ast::Expr, table: &str) -> Truth {
    match condition {
        ast::Expr::ParenExpr(paren) => paren.expr().map_or(Truth::Open, |inner| of(&inner, table)),
        ast::Expr::Literal(_) | ast::Expr::CastExpr(_) => match constant(condition) {
            Some(Constant::Truth(truth)) => settled(truth),
            // A number is a condition on SQLite alone; elsewhere it does not run.
            Some(Constant::Number(number)) => settled(number != 0),
            Some(Constant::Null) => Truth::Null,
            Some(Constant::Text(_)) | None => Truth::Open,
        },
        ast::Expr::PrefixExpr(prefix) => match (prefix.op(), prefix.expr()) {
            (Some(PrefixOp::Not(_)), Some(inner)) => negated(of(&inner, table)),
            _ => Truth::Open,
        },
        ast::Expr::BinExpr(binary) => of_binary(binary, table).unwrap_or(Truth::Open),
        ast::Expr::PostfixExpr(postfix) => match (postfix.op(), postfix.expr()) {
            (Some(PostfixOp::NotNull(_)), Some(inner)) => is_not_null(&inner, table),
            (Some(PostfixOp::IsNull(_)), Some(inner)) => negated(is_not_null(&inner, table)),
            _ => Truth::Open,
        },
        ast::Expr::CallExpr(call) => of_call(call, table),
        _ => Truth::Open,
    }
}

fn settled(truth: bool) -> Truth {
    if truth { Truth::Always } else { Truth::Never }
}

fn negated(truth: Truth) -> Truth {
    match truth {
        Truth::Always => Truth::Never,
        Truth::Never => Truth::Always,
        Truth::Null => Truth::Null,
        // `IS NULL` and `IS NOT NULL` are never NULL themselves; a comparison is.
        Truth::Lacking(column) => Truth::Holding(Columns { names: BTreeSet::from([column]), asked: true }),
        Truth::Holding(columns) if columns.asked && columns.names.len() == 1 => {
            columns.names.into_iter().next().map_or(Truth::Open, Truth::Lacking)
        }
        Truth::Holding(_) | Truth::Open => Truth::Open,
    }
}

fn of_binary(binary: &ast::BinExpr, table: &str) -> Option<Truth> {
    let (left, right) = (binary.lhs()?, binary.rhs()?);
    let same_column = || {
        let column = column(&left, table)?;
        (Some(&column) == self::column(&right, table).as_ref()).then_some(column)
    };
    let compared = |columns: Option<String>| {
        let names = BTreeSet::from([columns?]);
        Some(Truth::Holding(Columns { names, asked: false }))
    };
    Some(match binary.op()? {
        BinOp::And(_) => both(of(&left, table), of(&right, table)),
        BinOp::Or(_) => either(of(&left, table), of(&right, table)),
        BinOp::Eq(_) => match (constant(&left), constant(&right)) {
            (Some(left), Some(right)) => equal(&left, &right)?,
            _ => compared(same_column())?,
        },
        BinOp::Neq(_) | BinOp::Neqb(_) => negated(equal(&constant(&left)?, &constant(&right)?)?),
        BinOp::LAngle(_) => ordered(&left, &right, |left, right| left < right)?,
        BinOp::RAngle(_) => ordered(&left, &right, |left, right| left > right)?,
        BinOp::Lteq(_) => ordered(&left, &right, |left, right| left <= right).or_else(|| compared(same_column()))?,
        BinOp::Gteq(_) => ordered(&left, &right, |left, right| left >= right).or_else(|| compared(same_column()))?,
        BinOp::IsNotDistinctFrom(_) => same_column().map(|_| Truth::Always)?,
        BinOp::Is(_) => is(&left, &right, table)?,
        BinOp::IsNot(_) => negated(is(&left, &right, table)?),
        BinOp::In(_) => among(&left, &right)?,
        BinOp::Like(_) | BinOp::Ilike(_) => {
            let any = matches!(constant(&right)?, Constant::Text(text) if !text.is_empty() && text.bytes().all(|b| b == b'%'));
            let names = BTreeSet::from([column(&left, table).filter(|_| any)?]);
            Truth::Holding(Columns { names, asked: true })
        }
        _ => return None,
    })
}

fn both(left: Truth, right: Truth) -> Truth {
    match (left, right) {
        (Truth::Never, _) | (_, Truth::Never) => Truth::Never,
        (Truth::Always, other) | (other, Truth::Always) => other,
        (Truth::Null, Truth::Null) => Truth::Null,
        (Truth::Holding(mut left), Truth::Holding(right)) => {
            left.asked |= right.asked;
            left.names.extend(right.names);
            Truth::Holding(left)
        }
        _ => Truth::Open,
    }
}

fn either(left: Truth, right: Truth) -> Truth {
    match (left, right) {
        (Truth::Always, _) | (_, Truth::Always) => Truth::Always,
        (Truth::Never | Truth::Null, other) | (other, Truth::Never | Truth::Null) => other,
        (Truth::Holding(columns), Truth::Lacking(column)) | (Truth::Lacking(column), Truth::Holding(columns))
            if columns.names.len() == 1 && columns.names.contains(&column) =>
        {
            Truth::Always
        }
        _ => Truth::Open,
    }
}

fn equal(left: &Constant, right: &Constant) -> Option<Truth> {
    Some(match (left, right) {
        (Constant::Null, _) | (_, Constant::Null) => Truth::Null,
        (Constant::Number(left), Constant::Number(right)) => settled(left == right),
        (Constant::Truth(left), Constant::Truth(right)) => settled(left == right),
        (Constant::Text(left), Constant::Text(right)) => settled(left == right),
        // What one is read as depends on the other's type.
        _ => return None,
    })
}

/// A comparison of numbers; how texts are ordered depends on the database.
fn ordered(left: &ast::Expr, right: &ast::Expr, holds: impl Fn(i128, i128) -> bool) -> Option<Truth> {
    match (constant(left)?, constant(right)?) {
        (Constant::Number(left), Constant::Number(right)) => Some(settled(holds(left, right))),
        (Constant::Null, _) | (_, Constant::Null) => Some(Truth::Null),
        _ => None,
    }
}

/// `left IS right`.
fn is(left: &ast::Expr, right: &ast::Expr, table: &str) -> Option<Truth> {
    match constant(right)? {
        Constant::Null => Some(negated(is_not_null(left, table))),
        Constant::Truth(wanted) => match of(left, table) {
            Truth::Always => Some(settled(wanted)),
            Truth::Never => Some(settled(!wanted)),
            Truth::Null => Some(Truth::Never),
            Truth::Holding(columns) if wanted => Some(Truth::Holding(columns)),
            Truth::Lacking(column) if wanted => Some(Truth::Lacking(column)),
            Truth::Holding(_) | Truth::Lacking(_) | Truth::Open => None,
        },
        Constant::Number(_) | Constant::Text(_) => None,
    }
}

fn is_not_null(expr: &ast::Expr, table: &str) -> Truth {
    match (constant(expr), column(expr, table)) {
        (Some(constant), _) => settled(constant != Constant::Null),
        (None, Some(column)) => Truth::Holding(Columns { names: BTreeSet::from([column]), asked: true }),
        (None, None) => Truth::Open,
    }
}

/// `left IN (…)` of constants alone.
fn among(left: &ast::Expr, right: &ast::Expr) -> Option<Truth> {
    let left = constant(left)?;
    let listed: Vec<ast::Expr> = match right {
        ast::Expr::TupleExpr(list) => list.exprs().collect(),
        ast::Expr::ParenExpr(one) => vec![one.expr()?],
        _ => return None,
    };
    let each: Option<Vec<Truth>> = listed.iter().map(|one| equal(&left, &constant(one)?)).collect();
    each?.into_iter().reduce(either)
}

fn of_call(call: &ast::CallExpr, table: &str) -> Truth {
    if let Some(exists) = call.exists_fn() {
        return match exists.select_variant() {
            Some(ast::SelectVariant::Values(_)) => Truth::Always,
            Some(ast::SelectVariant::Select(select)) if makes_a_row(&select, table) => Truth::Always,
            _ => Truth::Open,
        };
    }
    if builtin(call).as_deref() != Some("coalesce") {
        return Truth::Open;
    }
    let mut arguments = call.arg_list().into_iter().flat_map(|list| list.args()).map(|arg| arg.expr());
    // The first that is not NULL is taken.
    loop {
        match arguments.next() {
            Some(Some(argument)) => match of(&argument, table) {
                Truth::Null => {}
                Truth::Holding(columns) if !columns.asked => {
                    let rest = arguments.next().flatten().map_or(Truth::Open, |next| of(&next, table));
                    return if rest == Truth::Always { rest } else { Truth::Open };
                }
                other => return other,
            },
            Some(None) => return Truth::Open,
            None => return Truth::Null,
        }
    }
}

/// Whether a query reads nothing and yet makes a row.
fn makes_a_row(select: &ast::Select, table: &str) -> bool {
    let condition = select.where_clause().and_then(|clause| clause.expr());
    select.from_clause().is_none()
        && select.having_clause().is_none()
        && select.group_by_clause().is_none()
        && select.tail_clauses().next().is_none()
        && (select.where_clause().is_none() || condition.is_some_and(|c| of(&c, table) == Truth::Always))
}

fn constant(expr: &ast::Expr) -> Option<Constant> {
    match expr {
        ast::Expr::ParenExpr(paren) => constant(&paren.expr()?),
        ast::Expr::PrefixExpr(prefix) => match (prefix.op()?, constant(&prefix.expr()?)?) {
            (PrefixOp::Minus(_), Constant::Number(number)) => Some(Constant::Number(number.checked_neg()?)),
            (PrefixOp::Plus(_), Constant::Number(number)) => Some(Constant::Number(number)),
            _ => None,
        },
        ast::Expr::CastExpr(cast) => {
            let ty = name_of(cast.ty()?.syntax());
            let value = match cast.expr() {
                Some(inner) => constant(&inner)?,
                None => constant(&ast::Expr::Literal(cast.literal()?))?,
            };
            match (value, ty.as_str()) {
                (Constant::Null, _) => Some(Constant::Null),
                (Constant::Truth(truth), "bool" | "boolean") => Some(Constant::Truth(truth)),
                (Constant::Text(text), "bool" | "boolean") => truth_of(&text).map(Constant::Truth),
                (Constant::Text(text), "text") => Some(Constant::Text(text)),
                (Constant::Number(number), "int" | "integer" | "bigint" | "int4" | "int8") => {
                    Some(Constant::Number(number))
                }
                _ => None,
            }
        }
        ast::Expr::Literal(literal) => match literal.kind()? {
            LitKind::True(_) => Some(Constant::Truth(true)),
            LitKind::False(_) => Some(Constant::Truth(false)),
            LitKind::Null(_) => Some(Constant::Null),
            LitKind::IntNumber(token) => token.text().parse().ok().map(Constant::Number),
            LitKind::String(_) => literal.string_value().map(Constant::Text),
            _ => None,
        },
        _ => None,
    }
}

/// What PostgreSQL reads a text as that becomes a truth value.
fn truth_of(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "t" | "true" | "y" | "yes" | "on" | "1" => Some(true),
        "f" | "false" | "n" | "no" | "off" | "0" => Some(false),
        _ => None,
    }
}

/// A column, the name of `table` in front taken off.
fn column(expr: &ast::Expr, table: &str) -> Option<String> {
    match expr {
        ast::Expr::ParenExpr(paren) => column(&paren.expr()?, table),
        ast::Expr::NameRef(_) | ast::Expr::FieldExpr(_) => {
            let name = name_of(expr.syntax());
            let own = name.strip_prefix(table).and_then(|rest| rest.strip_prefix('.'));
            Some(own.map_or(name.clone(), str::to_owned)).filter(|name| !name.is_empty())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use squawk_syntax::SourceFile;

    fn truth(condition: &str) -> Truth {
        let sql = format!("delete from t where {condition};");
        let parse = SourceFile::parse(&sql);
        assert!(parse.errors().is_empty(), "{sql}: {:?}", parse.errors());
        let found = parse.tree().stmts().find_map(|statement| match statement {
            ast::Stmt::Delete(delete) => match delete.where_clause_or_current_of()? {
                ast::WhereClauseOrCurrentOf::WhereClause(clause) => clause.expr(),
                _ => None,
            },
            _ => None,
        });
        of(&found.expect("a condition"), "t")
    }

    #[test]
    fn p116_conditions_that_hold_for_every_row() {
        for condition in [
            "true",
            "(true)",
            "TRUE",
            "not false",
            "not (not true)",
            "1 = 1",
            "1=1 or n=2",
            "n = 2 or 1 = 1",
            "true and true",
            "true and (1 = 1 or n = 2)",
            "'a' = 'a'",
            "'a' <> 'b'",
            "1 < 2",
            "-1 <= 0",
            "1 in (1, 2)",
            "true is true",
            "1 is not null",
            "exists (select 1)",
            "exists (select 1 where true)",
            "exists (values (1))",
            "not 1 = 2",
            "coalesce(true, n = 2)",
            "coalesce(null, true)",
            "coalesce(n = n, true)",
            "'t'::boolean",
            "cast('yes' as bool)",
            "bool 'on'",
            "n is null or n is not null",
            "n = n or n is null",
            "n is not distinct from n",
        ] {
            assert_eq!(truth(condition), Truth::Always, "{condition}");
        }
    }

    #[test]
    fn p116_conditions_that_depend_on_the_rows_or_let_none_through() {
        for condition in [
            "n = 2",
            "n = 2 or 1 = 0",
            "n = 2 and 1 = 1",
            "n",
            "not n",
            "n = m",
            "t.n = u.n",
            "n <> n",
            "1 = '1'",
            "'a' < 'b'",
            "exists (select 1 from u)",
            "exists (select 1 where n = 2)",
            "exists (select 1 limit 0)",
            "not exists (select 1 from u)",
            "coalesce(n, true)",
            "coalesce(n = 2, true)",
            "n is null or m is not null",
            "n like 'a%'",
            "n in (1, 2)",
            "random() < 2",
            "'1'::int = 1",
        ] {
            assert_eq!(truth(condition), Truth::Open, "{condition}");
        }
        for condition in ["false", "1 = 0", "not true", "1 = 0 and n = 2", "1 is null"] {
            assert_eq!(truth(condition), Truth::Never, "{condition}");
        }
        for condition in ["null", "null = null", "not null", "coalesce(null, null)"] {
            assert_eq!(truth(condition), Truth::Null, "{condition}");
        }
    }

    #[test]
    fn p116_conditions_that_ask_for_a_value_alone() {
        for (condition, names, asked) in [
            ("n = n", &["n"][..], false),
            ("t.n = n", &["n"], false),
            ("n >= n", &["n"], false),
            ("n = n and m = m", &["m", "n"], false),
            ("n = n or 1 = 0", &["n"], false),
            ("n is not null", &["n"], true),
            ("t.n notnull", &["n"], true),
            ("not n is null", &["n"], true),
            ("n like '%'", &["n"], true),
            ("n = n and m is not null", &["m", "n"], true),
            ("n is not null and true", &["n"], true),
        ] {
            let names = names.iter().map(|n| (*n).to_owned()).collect();
            assert_eq!(truth(condition), Truth::Holding(Columns { names, asked }), "{condition}");
        }
    }
}
