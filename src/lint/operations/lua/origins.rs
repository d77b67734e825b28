//! Where the names come from that a script hands to commands: which of them can be none of KEYS.
//!
//! A variable is followed through everything that it is ever given, whatever the order; it counts as made up only where
//! nothing of that comes from KEYS, or from where nobody sees.

use std::collections::{BTreeMap, HashMap, HashSet};

use full_moon::ast::{
    Ast, BinOp, Block, Call, Expression, Field, FunctionArgs, FunctionBody, FunctionCall, If, Index, LastStmt,
    Parameter, Prefix, Stmt, Suffix, Var,
};
use full_moon::node::Node;
use full_moon::tokenizer::TokenReference;

use super::words::text_of;
use super::{cut, is_server};

/// Steps that one script is worth.
const MAX_STEPS: usize = 50_000;
/// Variables that one value may go through.
const MAX_DEPTH: usize = 32;

/// Why each argument of a call can be none of KEYS, by the byte at which it begins; those of which that is not certain are
/// left out.
pub(super) fn made_up(ast: &Ast) -> BTreeMap<usize, String> {
    let mut script = Script::default();
    script.block(ast.nodes());
    script.hand_over();
    let arguments = std::mem::take(&mut script.arguments);
    let mut look = Look { script: &script, steps: 0, open: Vec::new() };
    let reason = |argument: &Expression| match look.expression(argument) {
        Origin::MadeUp(why) => Some((start(argument)?, why)),
        Origin::Nothing | Origin::Unknown => None,
    };
    arguments.into_iter().filter_map(reason).collect()
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

/// What a variable is given.
enum Source<'a> {
    /// What an expression comes to, or something that it holds.
    Value(&'a Expression),
    /// A text made of others.
    Built,
    /// A number that is counted.
    Counted,
    /// What nobody sees.
    Unknown,
}

/// A local, a parameter or the variable of a loop.
#[derive(Default)]
struct Variable<'a> {
    sources: Vec<Source<'a>>,
    /// The function that it stands for, as the variables of its parameters.
    parameters: Option<Vec<usize>>,
    /// What that function returns first, where all of it is known.
    returns: Option<Vec<&'a Expression>>,
    /// Whether the value goes where it may be changed, or called.
    is_shared: bool,
}

/// What an assignment changes.
#[derive(Clone, Copy)]
enum Into {
    /// A variable.
    Whole(usize),
    /// Something in the table of a variable.
    Part(usize),
    /// Something else.
    Elsewhere,
}

/// A script's variables.
#[derive(Default)]
struct Script<'a> {
    variables: Vec<Variable<'a>>,
    /// The variable of each name that is used, by the byte at which it stands.
    used: HashMap<usize, usize>,
    /// The names that are known at a place, the innermost last.
    scopes: Vec<HashMap<&'a str, usize>>,
    /// The functions around a place; `None` for one without a name.
    functions: Vec<Option<usize>>,
    /// The parameters of all functions.
    parameters: Vec<usize>,
    /// Calls of variables.
    calls: Vec<(usize, Vec<&'a Expression>)>,
    /// The arguments of all calls.
    arguments: Vec<&'a Expression>,
}

/// The byte at which something begins.
fn start(node: &impl Node) -> Option<usize> {
    node.start_position().map(|at| at.bytes())
}

fn text(token: &TokenReference) -> &str {
    match token.token_type() {
        full_moon::tokenizer::TokenType::Identifier { identifier } => identifier.as_str(),
        _ => "",
    }
}

fn arguments_of(arguments: &FunctionArgs) -> Vec<&Expression> {
    match arguments {
        FunctionArgs::Parentheses { arguments, .. } => arguments.iter().collect(),
        // A text or a table without brackets around it.
        _ => Vec::new(),
    }
}

/// Whether an expression may come to several values.
fn is_several(expression: &Expression) -> bool {
    matches!(expression, Expression::FunctionCall(_))
        || matches!(expression, Expression::Symbol(symbol) if symbol.token().to_string() == "...")
}

/// The field of `.name`.
fn dotted(suffix: &Suffix) -> Option<&str> {
    match suffix {
        Suffix::Index(Index::Dot { name, .. }) => Some(text(name)),
        _ => None,
    }
}

/// The arguments of a plain call.
fn called(suffix: &Suffix) -> Option<Vec<&Expression>> {
    match suffix {
        Suffix::Call(Call::AnonymousCall(arguments)) => Some(arguments_of(arguments)),
        _ => None,
    }
}

/// The name and the arguments of a call of something that Lua has: `ipairs(t)`, `table.insert(t, x)`.
fn library(call: &FunctionCall) -> Option<(String, Vec<&Expression>)> {
    let Prefix::Name(name) = call.prefix() else { return None };
    let suffixes: Vec<&Suffix> = call.suffixes().collect();
    match suffixes[..] {
        [one] => Some((text(name).to_owned(), called(one)?)),
        [field, one] => Some((format!("{}.{}", text(name), dotted(field)?), called(one)?)),
        _ => None,
    }
}

/// Functions that neither change what they are given nor keep it.
fn only_reads(name: &str) -> bool {
    let of = |library: &str| name.strip_prefix(library).is_some_and(|rest| rest.starts_with('.'));
    matches!(name, "ipairs" | "pairs" | "unpack" | "next" | "tostring" | "tonumber" | "type" | "select" | "error")
        || matches!(name, "table.concat" | "table.getn" | "table.maxn" | "table.remove" | "table.sort" | "table.unpack")
        || ["string", "math", "cjson", "cmsgpack", "struct", "redis", "server"].into_iter().any(of)
}

impl<'a> Script<'a> {
    fn declare(&mut self, name: &'a TokenReference) -> usize {
        self.variables.push(Variable::default());
        let variable = self.variables.len() - 1;
        if let Some(scope) = self.scopes.last_mut() {
            scope.insert(text(name), variable);
        }
        variable
    }

    /// The variable that a name stands for at this place.
    fn resolve(&mut self, name: &TokenReference) -> Option<usize> {
        let variable = self.scopes.iter().rev().find_map(|scope| scope.get(text(name)).copied())?;
        self.used.insert(start(name)?, variable);
        Some(variable)
    }

    fn give(&mut self, variable: usize, source: Source<'a>) {
        self.variables[variable].sources.push(source);
    }

    fn block(&mut self, block: &'a Block) {
        self.scopes.push(HashMap::new());
        self.statements(block);
        self.scopes.pop();
    }

    fn statements(&mut self, block: &'a Block) {
        for statement in block.stmts() {
            self.statement(statement);
        }
        if let Some(LastStmt::Return(last)) = block.last_stmt() {
            if let (Some(Some(function)), Some(first)) = (self.functions.last(), last.returns().iter().next()) {
                self.variables[*function].returns.get_or_insert_default().push(first);
            }
            self.all(last.returns().iter());
        }
    }

    fn statement(&mut self, statement: &'a Stmt) {
        match statement {
            Stmt::LocalAssignment(local) => {
                let values: Vec<&Expression> = local.expressions().iter().collect();
                self.all(values.iter().copied());
                // The names are known behind their values alone.
                let names: Vec<usize> = local.names().iter().map(|name| self.declare(name)).collect();
                self.assign(&names.into_iter().map(Into::Whole).collect::<Vec<_>>(), &values);
            }
            Stmt::Assignment(assignment) => {
                let values: Vec<&Expression> = assignment.expressions().iter().collect();
                let into: Vec<Into> = assignment.variables().iter().map(|into| self.target(into)).collect();
                self.all(values.iter().copied());
                self.assign(&into, &values);
            }
            Stmt::Do(inner) => self.block(inner.block()),
            Stmt::FunctionCall(call) => self.call(call),
            Stmt::FunctionDeclaration(function) => self.function(function.body(), None),
            Stmt::LocalFunction(function) => {
                let variable = self.declare(function.name());
                self.give(variable, Source::Unknown);
                self.variables[variable].returns = Some(Vec::new());
                self.function(function.body(), Some(variable));
            }
            Stmt::GenericFor(each) => {
                let lists: Vec<&Expression> = each.expressions().iter().collect();
                self.all(lists.iter().copied());
                self.scopes.push(HashMap::new());
                let names: Vec<usize> = each.names().iter().map(|name| self.declare(name)).collect();
                for (n, name) in names.into_iter().enumerate() {
                    let source = self.turn(&lists, n);
                    self.give(name, source);
                }
                self.block(each.block());
                self.scopes.pop();
            }
            Stmt::NumericFor(counted) => {
                self.expression(counted.start());
                self.expression(counted.end());
                self.scopes.push(HashMap::new());
                let name = self.declare(counted.index_variable());
                self.give(name, Source::Counted);
                self.block(counted.block());
                self.scopes.pop();
            }
            Stmt::If(chosen) => self.chosen(chosen),
            Stmt::Repeat(repeat) => {
                self.scopes.push(HashMap::new());
                self.statements(repeat.block());
                // What ends the loop sees its locals.
                self.expression(repeat.until());
                self.scopes.pop();
            }
            Stmt::While(repeat) => {
                self.expression(repeat.condition());
                self.block(repeat.block());
            }
            _ => {}
        }
    }

    fn chosen(&mut self, chosen: &'a If) {
        self.expression(chosen.condition());
        self.block(chosen.block());
        for other in chosen.else_if().into_iter().flatten() {
            self.expression(other.condition());
            self.block(other.block());
        }
        if let Some(block) = chosen.else_block() {
            self.block(block);
        }
    }

    /// What the `n`th variable of a loop over `lists` is given.
    fn turn(&self, lists: &[&'a Expression], n: usize) -> Source<'a> {
        let [Expression::FunctionCall(call)] = lists else { return Source::Unknown };
        let is_known = |name: &TokenReference| start(name).is_some_and(|at| self.used.contains_key(&at));
        let ends = |suffix: &Suffix| matches!(suffix, Suffix::Call(Call::MethodCall(m)) if text(m.name()) == "gmatch");
        if call.suffixes().last().is_some_and(ends) {
            return Source::Built;
        }
        match library(call) {
            _ if matches!(call.prefix(), Prefix::Name(name) if is_known(name)) => Source::Unknown,
            Some((name, arguments)) => match (name.as_str(), n, arguments.first()) {
                ("ipairs", 0, _) => Source::Counted,
                ("ipairs" | "pairs", 1, Some(list)) => Source::Value(list),
                ("string.gmatch", ..) => Source::Built,
                _ => Source::Unknown,
            },
            None => Source::Unknown,
        }
    }

    /// What an assignment changes.
    fn target(&mut self, into: &'a Var) -> Into {
        match into {
            Var::Name(name) => self.resolve(name).map_or(Into::Elsewhere, Into::Whole),
            Var::Expression(place) => {
                let suffixes: Vec<&Suffix> = place.suffixes().collect();
                let variable = self.prefix(place.prefix());
                self.suffixes(&suffixes);
                let is_inside = suffixes.iter().all(|suffix| matches!(suffix, Suffix::Index(_)));
                variable.filter(|_| is_inside).map_or(Into::Elsewhere, Into::Part)
            }
            _ => Into::Elsewhere,
        }
    }

    fn assign(&mut self, into: &[Into], values: &[&'a Expression]) {
        for (n, into) in into.iter().enumerate() {
            let value = values.get(n).or_else(|| values.last().filter(|last| is_several(last)));
            let (Into::Whole(variable) | Into::Part(variable), Some(value)) = (*into, value) else { continue };
            self.give(variable, Source::Value(value));
            if let (Expression::Function(function), Into::Whole(_)) = (value, into) {
                self.parameters_of(function.body(), variable);
            }
        }
    }

    /// Takes the parameters of a function over for the variable that stands for it; of two functions, those of neither.
    fn parameters_of(&mut self, body: &'a FunctionBody, variable: usize) {
        let of_body = |parameter: &Parameter| match parameter {
            Parameter::Name(name) => start(name).and_then(|at| self.used.get(&at).copied()),
            _ => None,
        };
        let parameters: Vec<usize> = body.parameters().iter().map_while(of_body).collect();
        let before = self.variables[variable].parameters.replace(parameters);
        // Which of two functions is called is not seen.
        self.variables[variable].is_shared |= before.is_some();
    }

    /// A function's body; `variable` stands for it where it has a name.
    fn function(&mut self, body: &'a FunctionBody, variable: Option<usize>) {
        self.scopes.push(HashMap::new());
        self.functions.push(variable);
        for parameter in body.parameters() {
            if let Parameter::Name(name) = parameter {
                let parameter = self.declare(name);
                self.resolve(name);
                self.parameters.push(parameter);
            }
        }
        if let Some(variable) = variable {
            self.parameters_of(body, variable);
        }
        self.block(body.block());
        self.functions.pop();
        self.scopes.pop();
    }

    /// Values that go on to somewhere.
    fn all(&mut self, values: impl IntoIterator<Item = &'a Expression>) {
        for value in values {
            self.share(value);
            self.expression(value);
        }
    }

    /// Notes that a value goes where it may be changed.
    fn share(&mut self, value: &Expression) {
        match value {
            Expression::Var(Var::Name(name)) => {
                if let Some(variable) = self.resolve(name) {
                    self.variables[variable].is_shared = true;
                }
            }
            Expression::Parentheses { expression, .. } => self.share(expression),
            Expression::BinaryOperator { lhs, binop: BinOp::And(_) | BinOp::Or(_), rhs } => {
                self.share(lhs);
                self.share(rhs);
            }
            // Something of a table may be a table.
            Expression::Var(Var::Expression(place)) => {
                if let Prefix::Name(name) = place.prefix()
                    && let Some(variable) = self.resolve(name)
                {
                    self.variables[variable].is_shared = true;
                }
            }
            _ => {}
        }
    }

    fn expression(&mut self, expression: &'a Expression) {
        match expression {
            Expression::BinaryOperator { lhs, rhs, .. } => {
                self.expression(lhs);
                self.expression(rhs);
            }
            Expression::Parentheses { expression, .. } | Expression::UnaryOperator { expression, .. } => {
                self.expression(expression);
            }
            Expression::Function(function) => self.function(function.body(), None),
            Expression::FunctionCall(call) => self.call(call),
            Expression::TableConstructor(table) => {
                for field in table.fields() {
                    match field {
                        Field::ExpressionKey { key, value, .. } => {
                            self.expression(key);
                            self.all([value.as_ref()]);
                        }
                        Field::NameKey { value, .. } => self.all([value.as_ref()]),
                        Field::NoKey(value) => self.all([value]),
                        _ => {}
                    }
                }
            }
            Expression::Var(Var::Name(name)) => {
                self.resolve(name);
            }
            Expression::Var(Var::Expression(place)) => {
                self.prefix(place.prefix());
                self.suffixes(&place.suffixes().collect::<Vec<_>>());
            }
            _ => {}
        }
    }

    fn prefix(&mut self, prefix: &'a Prefix) -> Option<usize> {
        match prefix {
            Prefix::Name(name) => self.resolve(name),
            Prefix::Expression(inner) => {
                self.expression(inner);
                None
            }
            _ => None,
        }
    }

    fn suffixes(&mut self, suffixes: &[&'a Suffix]) {
        for suffix in suffixes {
            match suffix {
                Suffix::Index(Index::Brackets { expression, .. }) => self.expression(expression),
                Suffix::Call(Call::AnonymousCall(arguments)) => self.hand(arguments),
                Suffix::Call(Call::MethodCall(method)) => self.hand(method.args()),
                _ => {}
            }
        }
    }

    /// Arguments for something that may do anything with them.
    fn hand(&mut self, arguments: &'a FunctionArgs) {
        let arguments = arguments_of(arguments);
        self.arguments.extend(arguments.iter().copied());
        self.all(arguments);
    }

    fn call(&mut self, call: &'a FunctionCall) {
        let variable = self.prefix(call.prefix());
        let suffixes: Vec<&Suffix> = call.suffixes().collect();
        if let (None, Some((name, arguments))) = (variable, library(call)) {
            self.arguments.extend(arguments.iter().copied());
            if only_reads(&name) {
                arguments.into_iter().for_each(|argument| self.expression(argument));
            } else if name == "table.insert" {
                self.insert(&arguments);
            } else {
                self.all(arguments);
            }
            return;
        }
        if let (Some(variable), Some(first)) = (variable, suffixes.first()) {
            match first {
                Suffix::Call(Call::AnonymousCall(arguments)) => {
                    self.calls.push((variable, arguments_of(arguments)));
                }
                // A method may change what it is called of; those of a text cannot.
                Suffix::Call(Call::MethodCall(method)) if !is_of_text(text(method.name())) => {
                    self.variables[variable].is_shared = true;
                }
                _ => {}
            }
        }
        self.suffixes(&suffixes);
    }

    /// `table.insert(t, x)`: the variable holds one thing more.
    fn insert(&mut self, arguments: &[&'a Expression]) {
        if let [Expression::Var(Var::Name(name)), .., value] = arguments {
            if let Some(variable) = self.resolve(name) {
                self.give(variable, Source::Value(value));
            }
            self.all(arguments[1..].iter().copied());
        } else {
            self.all(arguments.iter().copied());
        }
    }

    /// Gives the parameters of each function what it is called with.
    fn hand_over(&mut self) {
        for (variable, arguments) in std::mem::take(&mut self.calls) {
            let Some(parameters) = self.variables[variable].parameters.clone() else { continue };
            for (n, parameter) in parameters.into_iter().enumerate() {
                let value = arguments.get(n).or_else(|| arguments.last().filter(|last| is_several(last)));
                if let Some(value) = value {
                    self.give(parameter, Source::Value(value));
                }
            }
        }
        // Who calls a function that goes elsewhere, or that has no name, is not seen.
        let known = self.variables.iter().filter(|variable| !variable.is_shared);
        let followed: HashSet<usize> =
            known.flat_map(|variable| variable.parameters.iter().flatten().copied()).collect();
        for parameter in std::mem::take(&mut self.parameters) {
            if !followed.contains(&parameter) {
                self.give(parameter, Source::Unknown);
            }
        }
    }
}

/// Methods that texts have, and that come to another text or to a number.
fn is_of_text(method: &str) -> bool {
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
                Source::Value(value) => self.expression(value),
                Source::Built => Origin::built(),
                Source::Counted => Origin::Nothing,
                Source::Unknown => Origin::Unknown,
            })
            .collect();
        self.open.pop();
        Origin::of_all(each)
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
