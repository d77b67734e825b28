//! Columns that hold data of people or payments, and nothing that says by which rules.

use super::prelude::*;

/// Words in a column's name that tell of such data.
const TELLING: [&str; 27] = [
    "birth",
    "birthdate",
    "birthday",
    "bic",
    "cardholder",
    "creditcard",
    "cvc",
    "cvv",
    "dob",
    "email",
    "firstname",
    "fullname",
    "iban",
    "lastname",
    "maiden",
    "mobile",
    "msisdn",
    "passport",
    "phone",
    "postcode",
    "salary",
    "ssn",
    "street",
    "surname",
    "taxid",
    "telephone",
    "zipcode",
];
/// Two words that tell of them together.
const PAIRS: [(&str, &str); 9] = [
    ("card", "number"),
    ("credit", "card"),
    ("first", "name"),
    ("full", "name"),
    ("ip", "address"),
    ("last", "name"),
    ("national", "id"),
    ("tax", "id"),
    ("zip", "code"),
];

pub(in crate::lint) static RULE: OwnRule = OwnRule {
    info: RuleInfo {
        id: "untagged-personal-data",
        category: Category::Security,
        severity: Some(Severity::Info),
        risk: Risk::Low,
        applies: Applies::Sql,
        title: "Data of people or payments without a compliance tag",
    },
    check: Check::Statement(check),
    help: "say which rules hold for it: `-- Compliance: GDPR` at the top of the file",
    ok: &[
        "create table t (id bigint, total int, email_count_total int default 0, state text);",
        "-- Compliance: GDPR, PCI DSS\ncreate table t (id bigint, email text, card_number text);",
        "alter table t drop column email;",
        "alter table t add column email_notifications boolean;",
    ],
    bad: &[
        "create table t (id bigint, email text, first_name text);",
        "alter table t add column card_number text;",
        "alter table t add column \"dateOfBirth\" date;",
    ],
};

fn check(script: &Script<'_>, _: usize, statement: &Statement, report: &mut Report<'_>) {
    let mut telling: Vec<String> = Vec::new();
    let mut look = |name: String, ty: Option<ast::Type>| {
        if is_telling(&name) && holds_text(ty) {
            telling.push(format!("`{name}`"));
        }
    };
    match &statement.node {
        ast::Stmt::CreateTable(create) => {
            for arg in create.table_arg_list().into_iter().flat_map(|l| l.args()) {
                if let ast::TableArg::Column(column) = arg {
                    look(named(column.name()), column.ty());
                }
            }
        }
        ast::Stmt::AlterTable(alter) => {
            for action in alter.actions() {
                if let ast::AlterTableAction::AddColumn(add) = action {
                    look(named(add.column_name()), add.ty());
                }
            }
        }
        _ => return,
    }
    if !telling.is_empty() && !is_tagged(script.text) {
        report.add(
            &statement_node(statement),
            format!(
                "{} may hold data of people or payments, and nothing says which rules hold for it",
                telling.join(", ")
            ),
        );
    }
}

/// A flag about somebody's mail is no mail.
fn holds_text(ty: Option<ast::Type>) -> bool {
    !ty.is_some_and(|t| name_of(t.syntax()).starts_with("bool"))
}

/// Whether a word of the name, or two that follow each other, tell of such data. A count or a flag about it does not.
fn is_telling(column: &str) -> bool {
    let mut words: Vec<String> = Vec::new();
    let mut start = true;
    for c in column.chars() {
        if !c.is_alphanumeric() {
            start = true;
            continue;
        }
        if start || (c.is_uppercase() && words.last().is_some_and(|w| w.ends_with(|l: char| l.is_lowercase()))) {
            words.push(String::new());
        }
        start = false;
        // The case of what came before is kept until here, so that `dateOfBirth` falls into three words.
        if let Some(word) = words.last_mut() {
            word.push(c);
        }
    }
    let words: Vec<String> = words.into_iter().map(|w| w.to_lowercase()).collect();
    let about = ["count", "total", "sent", "verified", "enabled", "confirmed", "at", "hash", "template", "type", "id"];
    if words.last().is_some_and(|w| about.contains(&w.as_str())) && !words.windows(2).any(|p| pair(&p[0], &p[1])) {
        return false;
    }
    words.iter().any(|w| TELLING.contains(&w.as_str())) || words.windows(2).any(|p| pair(&p[0], &p[1]))
}

fn pair(first: &str, second: &str) -> bool {
    PAIRS.contains(&(first, second))
}

fn is_tagged(text: &str) -> bool {
    text.lines().any(|line| {
        let tag = line.trim_start().strip_prefix("--").map(str::trim_start);
        tag.and_then(|t| t.get(..11)).is_some_and(|t| t.eq_ignore_ascii_case("compliance:"))
    })
}
