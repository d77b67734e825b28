//! The use of a thing that is not there yet, or not any more [S4-63].

use super::prelude::*;

pub(super) static RULE: OperationRule = OperationRule {
    info: RuleInfo {
        id: "used-before-created",
        category: Category::Fails,
        severity: Some(Severity::Error),
        risk: Risk::High,
        applies: Applies::Operations,
        title: "Uses what only a later operation makes",
    },
    check: Check::Use(check),
    ok: &[
        Example::Operations(r#"{"type":"create_index","collection":"c","index":[["a",1]]}"#),
        Example::Migrations(&[
            r#"{"type":"create_collection","collection":"c"}"#,
            r#"{"type":"create_index","collection":"c","index":[["a",1]]}"#,
        ]),
    ],
    bad: &[
        Example::Migrations(&[
            r#"{"type":"create_index","collection":"c","index":[["a",1]]}"#,
            r#"{"type":"create_collection","collection":"c"}"#,
        ]),
        Example::Operations(
            r#"{"type":"create_index","collection":"c","index":[["a",1]]},{"type":"create_collection","collection":"c"}"#,
        ),
        Example::Migrations(&[
            r#"{"type":"create_collection","collection":"c"}"#,
            r#"{"type":"drop_collection","collection":"c"}"#,
            r#"{"type":"create_index","collection":"c","index":[["a",1]]}"#,
        ]),
    ],
};

fn check(look: &Look<'_>, n: usize, name: &str, told: &mut Told<'_>) {
    let shown = match name.split_once(' ') {
        Some((kind, name)) => format!("the {kind} `{name}`"),
        None => format!("`{name}`"),
    };
    match look.unit.presence(name) {
        Some(true) => {}
        Some(false) => {
            told.add(
                format!("{shown} is gone: an operation before this one took it away"),
                "take this operation out, or put it before the one that takes it away",
            );
        }
        None => {
            if let Some(maker) = look.maker_from(name, n) {
                let by =
                    if maker.migration == look.at { "this migration".to_owned() } else { format!("`{}`", maker.id) };
                told.add(
                    format!("{shown} is made only later, by {by} [S4-63]"),
                    "put the operation behind the one that makes it",
                );
            }
        }
    }
}
