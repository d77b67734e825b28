//! The variables of a script: which name stands for which, and everything that each is ever given.

use std::collections::{HashMap, HashSet};

use full_moon::ast::{
    Ast, BinOp, Block, Call, Expression, Field, FunctionArgs, FunctionBody, FunctionCall, If, Index, LastStmt,
    Parameter, Prefix, Stmt, Suffix, Var,
};
use full_moon::tokenizer::TokenReference;

use super::syntax::{arguments_of, is_of_text, is_several, key, library, only_reads, start, text};

/// What a variable is given.
pub(super) enum Source<'a> {
    /// What an expression comes to, or something that it holds.
    Value(&'a Expression),
    /// What the table gets that it is: under this name, or somewhere.
    Part(Option<String>, &'a Expression),
    /// A text made of others.
    Built,
    /// A number that is counted.
    Counted,
    /// What nobody sees.
    Unknown,
}

/// A local, a parameter or the variable of a loop.
#[derive(Default)]
pub(super) struct Variable<'a> {
    pub sources: Vec<Source<'a>>,
    /// The function that it stands for, as the variables of its parameters.
    parameters: Option<Vec<usize>>,
    /// What that function returns first, where all of it is known.
    pub returns: Option<Vec<&'a Expression>>,
    /// Whether the value goes where it may be changed, or called.
    pub is_shared: bool,
}

/// What an assignment changes.
enum Into {
    /// A variable.
    Whole(usize),
    /// Something in the table of a variable, by the name of its field.
    Part(usize, Option<String>),
    /// Something else.
    Elsewhere,
}

/// A script's variables.
#[derive(Default)]
pub(super) struct Script<'a> {
    pub variables: Vec<Variable<'a>>,
    /// The variable of each name that is used, by the byte at which it stands.
    pub used: HashMap<usize, usize>,
    /// The names that are known at a place, the innermost last.
    scopes: Vec<HashMap<&'a str, usize>>,
    /// The functions around a place; `None` for one without a name.
    functions: Vec<Option<usize>>,
    /// The parameters of all functions.
    parameters: Vec<usize>,
    /// Calls of variables.
    calls: Vec<(usize, Vec<&'a Expression>)>,
    /// The arguments of all calls.
    pub arguments: Vec<&'a Expression>,
}

impl<'a> Script<'a> {
    /// Follows a script from its first statement to its last.
    pub(super) fn of(ast: &'a Ast) -> Self {
        let mut script = Self::default();
        script.block(ast.nodes());
        script.hand_over();
        script
    }

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
                let field = suffixes.first().and_then(|first| key(first));
                variable.filter(|_| is_inside).map_or(Into::Elsewhere, |variable| Into::Part(variable, field))
            }
            _ => Into::Elsewhere,
        }
    }

    fn assign(&mut self, into: &[Into], values: &[&'a Expression]) {
        for (n, into) in into.iter().enumerate() {
            let value = values.get(n).or_else(|| values.last().filter(|last| is_several(last)));
            match (into, value) {
                (Into::Whole(variable), Some(value)) => {
                    self.give(*variable, Source::Value(value));
                    if let Expression::Function(function) = value {
                        self.parameters_of(function.body(), *variable);
                    }
                }
                (Into::Part(variable, field), Some(value)) => {
                    self.give(*variable, Source::Part(field.clone(), value));
                }
                (Into::Elsewhere, _) | (_, None) => {}
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
                self.give(variable, Source::Part(None, value));
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
