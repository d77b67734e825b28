//! What stands at a place of a script's syntax tree, and what of it Lua itself has.

use full_moon::ast::{Call, Expression, FunctionArgs, FunctionCall, Index, Prefix, Suffix};
use full_moon::node::Node;
use full_moon::tokenizer::{TokenReference, TokenType};

use super::words::text_of;

/// The byte at which something begins.
pub(super) fn start(node: &impl Node) -> Option<usize> {
    node.start_position().map(|at| at.bytes())
}

/// The name that a token is.
pub(super) fn text(token: &TokenReference) -> &str {
    match token.token_type() {
        TokenType::Identifier { identifier } => identifier.as_str(),
        _ => "",
    }
}

/// What stands between the brackets of a call.
pub(super) fn arguments_of(arguments: &FunctionArgs) -> Vec<&Expression> {
    match arguments {
        FunctionArgs::Parentheses { arguments, .. } => arguments.iter().collect(),
        // A text or a table without brackets around it.
        _ => Vec::new(),
    }
}

/// Whether an expression may come to several values.
pub(super) fn is_several(expression: &Expression) -> bool {
    matches!(expression, Expression::FunctionCall(_))
        || matches!(expression, Expression::Symbol(symbol) if symbol.token().to_string() == "...")
}

/// The field of `.name`.
pub(super) fn dotted(suffix: &Suffix) -> Option<&str> {
    match suffix {
        Suffix::Index(Index::Dot { name, .. }) => Some(text(name)),
        _ => None,
    }
}

/// The field of `.name` or `['name']`.
pub(super) fn key(suffix: &Suffix) -> Option<String> {
    match suffix {
        Suffix::Index(Index::Brackets { expression, .. }) => match expression.as_ref() {
            Expression::String(token) => text_of(token.token_type()),
            _ => None,
        },
        _ => dotted(suffix).map(str::to_owned),
    }
}

/// The arguments of a plain call.
pub(super) fn called(suffix: &Suffix) -> Option<Vec<&Expression>> {
    match suffix {
        Suffix::Call(Call::AnonymousCall(arguments)) => Some(arguments_of(arguments)),
        _ => None,
    }
}

/// The name and the arguments of a call of something that Lua has: `ipairs(t)`, `table.insert(t, x)`.
pub(super) fn library(call: &FunctionCall) -> Option<(String, Vec<&Expression>)> {
    let Prefix::Name(name) = call.prefix() else { return None };
    let suffixes: Vec<&Suffix> = call.suffixes().collect();
    match suffixes[..] {
        [one] => Some((text(name).to_owned(), called(one)?)),
        [field, one] => Some((format!("{}.{}", text(name), dotted(field)?), called(one)?)),
        _ => None,
    }
}

/// Functions that neither change what they are given nor keep it.
pub(super) fn only_reads(name: &str) -> bool {
    let of = |library: &str| name.strip_prefix(library).is_some_and(|rest| rest.starts_with('.'));
    matches!(name, "ipairs" | "pairs" | "unpack" | "next" | "tostring" | "tonumber" | "type" | "select" | "error")
        || matches!(name, "table.concat" | "table.getn" | "table.maxn" | "table.remove" | "table.sort" | "table.unpack")
        || ["string", "math", "cjson", "cmsgpack", "struct", "redis", "server"].into_iter().any(of)
}

/// Methods that texts have, and that come to another text or to a number.
pub(super) fn is_of_text(method: &str) -> bool {
    matches!(
        method,
        "byte"
            | "find"
            | "format"
            | "gmatch"
            | "gsub"
            | "len"
            | "lower"
            | "match"
            | "rep"
            | "reverse"
            | "sub"
            | "upper"
    )
}
