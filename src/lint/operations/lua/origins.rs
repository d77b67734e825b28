//! Where the names come from that a script hands to commands: which of them can be none of KEYS.
//!
//! A variable is followed through everything that it is ever given, whatever the order; it counts as made up only where
//! nothing of that comes from KEYS, or from where nobody sees.

use std::collections::BTreeMap;

use full_moon::ast::{Ast, BinOp, Call, Expression, Field, Prefix, Suffix, Var};
use full_moon::tokenizer::TokenReference;

use super::syntax::{called, dotted, is_of_text, key, start, text};
use super::variables::{Script, Source};
use super::words::text_of;
use super::{cut, is_server};

/// Steps that one script is worth.
const MAX_STEPS: usize = 50_000;
/// Variables that one value may go through.
const MAX_DEPTH: usize = 32;

/// Why each argument of a call can be none of KEYS, by the byte at which it begins; those of which that is not certain are
/// left out.
pub(super) fn made_up(ast: &Ast) -> BTreeMap<usize, String> {
    let script = Script::of(ast);
    let mut look = Look { script: &script, steps: 0, open: Vec::new() };
    let reason = |argument: &Expression| match look.expression(argument) {
        Origin::MadeUp(why) => Some((start(argument)?, why)),
        Origin::Nothing | Origin::Unknown => None,
    };
    script.arguments.iter().copied().filter_map(reason).collect()
}

/// What a value is, or holds.
enum Origin {
    /// No name at all: `nil`, a number that is counted, an empty table.
    Nothing,
    /// A name that is none of KEYS, and why.
    MadeUp(String),
    /// It may be one.
    Unknown,
}

impl Origin {
    fn built() -> Self {
        Self::MadeUp("a name that is built".to_owned())
    }

    /// Of a value that is one of several.
    fn of_all(each: impl IntoIterator<Item = Origin>) -> Self {
        let mut all = Self::Nothing;
        for one in each {
            match (one, &all) {
                (Self::Unknown, _) => return Self::Unknown,
                (Self::MadeUp(why), Self::Nothing) => all = Self::MadeUp(why),
                (Self::MadeUp(_) | Self::Nothing, _) => {}
            }
        }
        all
    }
}

/// A look at where values come from.
struct Look<'s, 'a> {
    script: &'s Script<'a>,
    steps: usize,
    /// The variables that are looked at.
    open: Vec<usize>,
}

impl<'a> Look<'_, 'a> {
    fn expression(&mut self, expression: &Expression) -> Origin {
        self.steps += 1;
        if self.steps > MAX_STEPS {
            return Origin::Unknown;
        }
        match expression {
            Expression::String(token) => {
                Origin::MadeUp(format!("the literal `{}`", cut(&text_of(token.token_type()).unwrap_or_default())))
            }
            Expression::Number(token) => Origin::MadeUp(format!("the literal `{}`", token.token())),
            Expression::Symbol(token) if matches!(token.token().to_string().as_str(), "nil" | "true" | "false") => {
                Origin::Nothing
            }
            Expression::BinaryOperator { lhs, binop, rhs } => match binop {
                BinOp::TwoDots(_) => Origin::built(),
                BinOp::Or(_) => Origin::of_all([self.expression(lhs), self.expression(rhs)]),
                BinOp::And(_) => self.expression(rhs),
                _ => Origin::Nothing,
            },
            Expression::UnaryOperator { .. } => Origin::Nothing,
            Expression::Parentheses { expression, .. } => self.expression(expression),
            Expression::TableConstructor(table) => {
                let fields = table.fields().iter().map(|field| match field {
                    Field::ExpressionKey { value, .. } | Field::NameKey { value, .. } => self.expression(value),
                    Field::NoKey(value) => self.expression(value),
                    _ => Origin::Unknown,
                });
                Origin::of_all(fields.collect::<Vec<_>>())
            }
            Expression::FunctionCall(call) => self.chain(call.prefix(), &call.suffixes().collect::<Vec<_>>()),
            Expression::Var(Var::Name(name)) => self.name(name, &[]).0,
            Expression::Var(Var::Expression(place)) => {
                self.chain(place.prefix(), &place.suffixes().collect::<Vec<_>>())
            }
            _ => Origin::Unknown,
        }
    }

    /// `x.y[1]:z()`.
    fn chain(&mut self, prefix: &Prefix, suffixes: &[&Suffix]) -> Origin {
        let (mut origin, taken) = match prefix {
            Prefix::Name(name) => self.name(name, suffixes),
            Prefix::Expression(inner) => (self.expression(inner), 0),
            _ => return Origin::Unknown,
        };
        for suffix in &suffixes[taken..] {
            origin = match suffix {
                // Something of a table is what the table holds.
                Suffix::Index(_) => origin,
                Suffix::Call(Call::MethodCall(method)) => match text(method.name()) {
                    "byte" | "find" | "len" => Origin::Nothing,
                    name if is_of_text(name) => Origin::built(),
                    _ => Origin::Unknown,
                },
                _ => Origin::Unknown,
            };
        }
        origin
    }

    /// A name with what stands behind it, and how much of that is used up.
    fn name(&mut self, name: &TokenReference, suffixes: &[&Suffix]) -> (Origin, usize) {
        if let Some(variable) = start(name).and_then(|at| self.script.used.get(&at).copied()) {
            if let Some(origin) =
                suffixes.first().and_then(|first| key(first)).and_then(|key| self.field(variable, &key))
            {
                return (origin, 1);
            }
            return match suffixes.first().and_then(|first| called(first)) {
                Some(arguments) if self.is_caller(variable) => (returned(&arguments), 1),
                Some(_) => (self.returned(variable), 1),
                None => (self.variable(variable), 0),
            };
        }
        let field = suffixes.first().and_then(|first| dotted(first));
        let field_called = suffixes.get(1).and_then(|second| called(second));
        if let (Some(field), Some(arguments)) = (field, &field_called) {
            let origin = match (text(name), field) {
                (server, "call" | "pcall") if is_server(server) => returned(arguments),
                ("string", "byte" | "find" | "len") => Origin::Nothing,
                ("string", _) | ("table", "concat") => Origin::built(),
                ("cjson", "decode") | ("cmsgpack" | "struct", "unpack") => Origin::built(),
                ("table", "remove" | "unpack") => self.first(arguments),
                _ => Origin::Unknown,
            };
            return (origin, 2);
        }
        match (text(name), suffixes.first().and_then(|first| called(first))) {
            ("ARGV", None) => (Origin::MadeUp("an argument (`ARGV`)".to_owned()), 0),
            ("tostring" | "assert" | "unpack", Some(arguments)) => (self.first(&arguments), 1),
            ("tonumber" | "type", Some(_)) => (Origin::Nothing, 1),
            (_, Some(_)) => (Origin::Unknown, 1),
            (_, None) => (Origin::Unknown, 0),
        }
    }

    fn first(&mut self, arguments: &[&Expression]) -> Origin {
        arguments.first().map_or(Origin::Unknown, |first| self.expression(first))
    }

    /// Whether a variable stands for `redis.call`, and for nothing else.
    fn is_caller(&self, variable: usize) -> bool {
        let [Source::Value(Expression::Var(Var::Expression(place)))] = &self.script.variables[variable].sources[..]
        else {
            return false;
        };
        let Prefix::Name(name) = place.prefix() else { return false };
        let mut suffixes = place.suffixes();
        is_server(text(name)) && suffixes.next().and_then(dotted).is_some_and(|field| matches!(field, "call" | "pcall"))
    }

    fn variable(&mut self, variable: usize) -> Origin {
        if self.open.contains(&variable) {
            // What it is given otherwise decides.
            return Origin::Nothing;
        }
        if self.open.len() >= MAX_DEPTH {
            return Origin::Unknown;
        }
        let known = &self.script.variables[variable];
        // A table that others hold may get more.
        let is_table = |source: &Source<'_>| matches!(source, Source::Value(Expression::TableConstructor(_)));
        if known.is_shared && known.sources.iter().any(is_table) {
            return Origin::Unknown;
        }
        self.open.push(variable);
        let each: Vec<Origin> = known
            .sources
            .iter()
            .map(|source| match source {
                Source::Value(value) | Source::Part(_, value) => self.expression(value),
                Source::Built => Origin::built(),
                Source::Counted => Origin::Nothing,
                Source::Unknown => Origin::Unknown,
            })
            .collect();
        self.open.pop();
        Origin::of_all(each)
    }

    /// What stands under a name in the table that a variable is, where everything that the table is given is seen.
    fn field(&mut self, variable: usize, name: &str) -> Option<Origin> {
        let known = &self.script.variables[variable];
        if known.is_shared || self.open.len() >= MAX_DEPTH || self.open.contains(&variable) {
            return None;
        }
        let mut given: Vec<&Expression> = Vec::new();
        for source in &known.sources {
            match source {
                Source::Value(Expression::TableConstructor(table)) => {
                    for field in table.fields() {
                        match field {
                            Field::NameKey { key, value, .. } if text(key) == name => given.push(value),
                            // Those without a name are counted.
                            Field::NameKey { .. } | Field::NoKey(_) => {}
                            _ => return None,
                        }
                    }
                }
                Source::Part(Some(other), _) if other != name => {}
                Source::Part(_, value) => given.push(value),
                _ => return None,
            }
        }
        self.open.push(variable);
        let each: Vec<Origin> = given.into_iter().map(|value| self.expression(value)).collect();
        self.open.pop();
        Some(Origin::of_all(each))
    }

    /// What the function returns that a variable stands for.
    fn returned(&mut self, variable: usize) -> Origin {
        let known = &self.script.variables[variable];
        let Some(returns) = known.returns.as_ref().filter(|_| known.sources.len() == 1) else { return Origin::Unknown };
        if self.open.len() >= MAX_DEPTH || self.open.contains(&variable) {
            return Origin::Unknown;
        }
        self.open.push(variable);
        let each: Vec<Origin> = returns.iter().map(|value| self.expression(value)).collect();
        self.open.pop();
        Origin::of_all(each)
    }
}

/// What a command of the server comes to.
fn returned(arguments: &[&Expression]) -> Origin {
    let command = match arguments.first() {
        Some(Expression::String(token)) => text_of(token.token_type()),
        _ => None,
    };
    let command = command.map_or("a command".to_owned(), |name| format!("`{}`", cut(&name.to_ascii_uppercase())));
    Origin::MadeUp(format!("what {command} returned"))
}
