//! Services that reach into what is not theirs: each has a schema of its own [S1-17] [S1-20].

use std::collections::{BTreeMap, BTreeSet};

use squawk_syntax::ast::{self, AstNode};
use squawk_syntax::{SourceFile, SyntaxKind, SyntaxNode};

use super::check::cannot_parse;
use super::lines::Lines;
use super::script::{Script, Statement, builtin, range_of, statements_of};
use super::touched::{Role, Touched, touched, word};
use super::{Direction, bodies, depth, squawk};
use crate::ids::Engine;
use crate::migration::{self, Layout, Migration, MigrationSet, Problem, Severity};

/// What services change outside of their schema.
pub(super) fn problems(set: &MigrationSet) -> Vec<Problem> {
    let of_services: Vec<(&Migration, String)> = set
        .migrations
        .iter()
        .filter(|m| m.layout == Layout::Service && m.engine == Engine::Postgresql)
        .filter_map(|m| m.schema().map(|schema| (m, schema)))
        .collect();
    let owners: BTreeMap<&str, &str> =
        of_services.iter().filter_map(|(m, schema)| Some((schema.as_str(), m.service.as_deref()?))).collect();
    depth::map_with_stack(&of_services, |(migration, own)| {
        let mut found = in_script(&migration.up, Direction::Up, own, &owners);
        if let Some(down) = &migration.down {
            found.extend(in_script(down, Direction::Down, own, &owners));
        }
        found
    })
    .into_iter()
    .flatten()
    .collect()
}

/// What a script of the service whose schema is `own` changes outside of it.
fn in_script(
    script: &migration::Script,
    direction: Direction,
    own: &str,
    owners: &BTreeMap<&str, &str>,
) -> Vec<Problem> {
    let text = &script.text;
    if cannot_parse(text).is_some() {
        return Vec::new();
    }
    let inert = squawk::without_marks(text);
    let outer = Script::new(&inert, statements_of(&SourceFile::parse(&inert)), Engine::Postgresql, direction, true);
    let within = bodies::within(&outer).map(|text| statements_of(&SourceFile::parse(&text))).unwrap_or_default();
    let mut reader = Reader { own, owners, path: Path::Own, temporary: BTreeSet::new() };
    let mut told = Vec::new();
    for statement in &outer.statements {
        reader.read(&statement.node, Place::Script, &mut told);
        let inner = within.iter().filter(|s| statement.range.contains(&s.range.start));
        reader.body(&statement.node, inner, &mut told);
    }
    let mut seen = BTreeSet::new();
    told.retain(|t| seen.insert(t.range.start) && (t.rule != "unqualified-name" || direction == Direction::Up));
    let lines = Lines::of(script);
    told.into_iter().map(|t| t.located(&script.path, &lines)).collect()
}

/// A finding at its bytes.
struct Told {
    range: std::ops::Range<usize>,
    rule: &'static str,
    severity: Severity,
    message: String,
    help: String,
}

impl Told {
    fn located(self, file: &str, lines: &Lines<'_>) -> Problem {
        let (start, end) = (lines.position(self.range.start), lines.position(self.range.end));
        Problem {
            file: file.to_owned(),
            line: start.line,
            column: start.column,
            end_column: if end.line == start.line { end.column } else { start.column },
            rule: self.rule,
            severity: self.severity,
            message: self.message,
            help: self.help,
        }
    }
}

/// Where a statement stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In the script itself.
    Script,
    /// In a block that runs with it.
    Block,
    /// In a function, which runs when somebody calls it.
    Routine,
}

/// Where names without a schema lie.
#[derive(Clone)]
enum Path {
    /// Where Godwit puts them: in the service's own schema.
    Own,
    /// In one of these, in that order; never empty.
    Schemas(Vec<String>),
    /// That cannot be told.
    Unknown,
}

impl Path {
    fn of(schemas: impl IntoIterator<Item = String>) -> Self {
        let schemas: Vec<String> = schemas.into_iter().filter(|s| !is_systems(s) && s != "$user").collect();
        if schemas.is_empty() || schemas.iter().any(String::is_empty) { Self::Unknown } else { Self::Schemas(schemas) }
    }
}

/// Goes through a script, with where its names lie at that point.
struct Reader<'a> {
    own: &'a str,
    owners: &'a BTreeMap<&'a str, &'a str>,
    path: Path,
    /// Tables that the script makes for itself alone.
    temporary: BTreeSet<String>,
}

impl Reader<'_> {
    /// The statements of a block or of a function; a block's `SET` holds on behind it.
    fn body<'s>(&mut self, statement: &ast::Stmt, inner: impl Iterator<Item = &'s Statement>, told: &mut Vec<Told>) {
        if matches!(statement, ast::Stmt::Do(_)) {
            inner.for_each(|s| self.read(&s.node, Place::Block, told));
            return;
        }
        let outside = self.path.clone();
        let options = statement.syntax().children().filter(|c| c.kind() == SyntaxKind::FUNC_OPTION_LIST);
        let settings = options.flat_map(|o| o.descendants()).filter(|n| n.kind() == SyntaxKind::SET_CONFIG_PARAM);
        if let Some(path) = settings.filter_map(|s| configured(&s)).last() {
            self.path = path;
        }
        inner.for_each(|s| self.read(&s.node, Place::Routine, told));
        self.path = outside;
    }

    fn read(&mut self, statement: &ast::Stmt, place: Place, told: &mut Vec<Told>) {
        if let Some(path) = search_path(statement) {
            self.path = path;
        }
        // In PL/pgSQL, it fills variables.
        if place != Place::Script && matches!(statement, ast::Stmt::SelectInto(_)) {
            return;
        }
        for object in touched(statement) {
            if object.role == Role::Temporary {
                self.temporary.insert(object.name);
                continue;
            }
            let message = match &object.schema {
                Some(schema) => self.written(schema, &object, place),
                None if self.temporary.contains(&object.name) => None,
                None => match (self.put_by_path(&object), place) {
                    (Some(message), _) => Some(message),
                    (None, Place::Script) if is_named_in_full(statement) => {
                        told.extend(self.unqualified(&object));
                        None
                    }
                    (None, _) => None,
                },
            };
            let Some(message) = message.map(|m| bodies::without_placeholders(&m)) else { continue };
            let (severity, message) = match place {
                Place::Script | Place::Block => (Severity::Error, message),
                Place::Routine => (Severity::Warning, format!("whenever the function is called: {message}")),
            };
            told.push(Told {
                range: range_of(&object.node),
                rule: "foreign-schema",
                severity,
                message,
                help: format!(
                    "keep to `{}`; what another service has is changed by a migration of that service",
                    self.own
                ),
            });
        }
    }

    /// What is said of an object that is written with the schema `schema`.
    fn written(&self, schema: &str, object: &Touched, place: Place) -> Option<String> {
        if schema == self.own || is_systems(schema) || bodies::is_unknown(schema) {
            return None;
        }
        let owner = self.owners.get(schema);
        // A schema that is nobody's may be shared by all; a function may be called where that is so.
        if owner.is_none() && (object.role == Role::Schema || place == Place::Routine) {
            return None;
        }
        let name = object.node.text().to_string();
        Some(match (object.role, owner) {
            (Role::Schema | Role::Within, Some(service)) => {
                format!("changes what is in `{}`, the schema of `{service}`", name.trim())
            }
            (Role::Schema | Role::Within, None) => {
                format!("changes what is in `{}`, which is no schema of this service", name.trim())
            }
            (_, Some(service)) => format!("changes `{}`, which is in the schema of `{service}`", name.trim()),
            (_, None) => format!("changes `{}`, which is in no schema of this service", name.trim()),
        })
    }

    /// What is said of an object that only the script's own search path puts somewhere else.
    fn put_by_path(&self, object: &Touched) -> Option<String> {
        let Path::Schemas(schemas) = &self.path else { return None };
        let schema = match object.role {
            Role::New => schemas.first()?,
            // It may be in any of them.
            _ if schemas.iter().any(|s| s == self.own) => return None,
            _ => schemas.iter().find(|s| self.owners.contains_key(s.as_str())).or(schemas.first())?,
        };
        if schema == self.own || bodies::is_unknown(schema) {
            return None;
        }
        let name = &object.name;
        Some(match self.owners.get(schema.as_str()) {
            Some(service) => format!(
                "changes `{name}`, which the search path of the script puts into `{schema}`, the schema of `{service}`"
            ),
            None => format!(
                "changes `{name}`, which the search path of the script puts into `{schema}`, no schema of this service"
            ),
        })
    }

    /// An object that only the search path puts into the service's schema [S1-67].
    fn unqualified(&self, object: &Touched) -> Option<Told> {
        let name = object.node.text().to_string().trim().to_owned();
        (object.role != Role::Schema && object.role != Role::Within).then(|| Told {
            range: range_of(&object.node),
            rule: "unqualified-name",
            severity: Severity::Warning,
            message: format!(
                "`{name}` is named without its schema: where the search path is another, so is the object"
            ),
            help: format!("write `{}.{name}`", self.own),
        })
    }
}

/// Schemas of PostgreSQL's own, and that of a session.
fn is_systems(schema: &str) -> bool {
    schema.starts_with("pg_") || schema == "information_schema"
}

/// Statements whose objects are to be written with their schema.
fn is_named_in_full(statement: &ast::Stmt) -> bool {
    matches!(
        statement,
        ast::Stmt::CreateTable(_)
            | ast::Stmt::CreateTableAs(_)
            | ast::Stmt::CreateView(_)
            | ast::Stmt::CreateMaterializedView(_)
            | ast::Stmt::CreateType(_)
            | ast::Stmt::CreateFunction(_)
            | ast::Stmt::CreateIndex(_)
            | ast::Stmt::AlterTable(_)
            | ast::Stmt::DropTable(_)
            | ast::Stmt::DropView(_)
            | ast::Stmt::Update(_)
            | ast::Stmt::Delete(_)
    )
}

/// Where names lie behind a statement, where it says so.
fn search_path(statement: &ast::Stmt) -> Option<Path> {
    match statement {
        ast::Stmt::Set(set) => {
            if let Some(of) = set.syntax().children().find(|c| c.kind() == SyntaxKind::SET_SCHEMA_VALUE) {
                return Some(Path::of(values(&of)));
            }
            set.syntax().children().find_map(|c| configured(&c))
        }
        ast::Stmt::Reset(reset) => {
            let what = reset.syntax().children().map(|c| c.text().to_string().to_ascii_lowercase()).next()?;
            matches!(what.trim(), "search_path" | "all").then_some(Path::Unknown)
        }
        ast::Stmt::Discard(_) => Some(Path::Unknown),
        ast::Stmt::Select(select) => {
            let calls = select.syntax().descendants().filter_map(ast::CallExpr::cast);
            let call = calls.filter(|c| builtin(c).is_some_and(|name| name == "set_config")).last()?;
            let args: Vec<Option<String>> = call.arg_list()?.args().map(|a| values(a.syntax()).pop()).collect();
            match args.as_slice() {
                [Some(name), Some(value), ..] if name == "search_path" => {
                    Some(Path::of(value.split(',').map(|s| word(s.trim()))))
                }
                [Some(name), ..] if name != "search_path" => None,
                _ => Some(Path::Unknown),
            }
        }
        _ => None,
    }
}

/// The search path that `search_path = …` says, in a statement of its own or with a function.
fn configured(setting: &SyntaxNode) -> Option<Path> {
    let child = |kind| setting.children().find(move |c| c.kind() == kind);
    let name = child(SyntaxKind::CONFIG_PARAMETER_REF)?.text().to_string();
    if word(name.trim()) != "search_path" {
        return None;
    }
    // `DEFAULT`, `FROM CURRENT`: what the session has.
    Some(child(SyntaxKind::TO_CONFIG_VALUE).map_or(Path::Unknown, |to| Path::of(values(&to))))
}

/// The words and texts right below a node.
fn values(node: &SyntaxNode) -> Vec<String> {
    let of = |child: SyntaxNode| match ast::Literal::cast(child.clone()) {
        Some(literal) => literal.string_value().map(|text| text.to_string()),
        None => (child.kind() == SyntaxKind::CONFIG_VALUE_NAME).then(|| word(child.text().to_string().trim())),
    };
    node.children().filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migration::{MigrationRoot, SourceFile as File, resolve};

    #[test]
    fn n14_s1_20_s1_67_a_service_keeps_to_its_own_schema_and_names_it() {
        for (sql, expected) in [
            ("CREATE TABLE orders (id bigint PRIMARY KEY);", None),
            ("CREATE TABLE orders_service.orders (id bigint PRIMARY KEY);", None),
            ("CREATE TABLE orders (id bigint REFERENCES user_service.users (id));", None),
            (
                "SELECT 1;\nCREATE TABLE public.orders (id bigint PRIMARY KEY);",
                Some((2, "`public.orders`, which is in no schema of this service")),
            ),
            ("ALTER TABLE user_service.users ADD COLUMN x int;", Some((1, "the schema of `user-service`"))),
            ("UPDATE \"user_service\".users SET a = 1 WHERE id = 1;", Some((1, "the schema of `user-service`"))),
        ] {
            let files = [
                ("services/user-service/migrations/0001_users.up.sql", "CREATE TABLE users (id bigint PRIMARY KEY);"),
                ("services/user-service/migrations/0001_users.down.sql", "DROP TABLE users;"),
                ("services/orders-service/migrations/0001_orders.up.sql", sql),
                ("services/orders-service/migrations/0001_orders.down.sql", "DROP TABLE orders;"),
            ]
            .map(|(path, text)| File::new(path, text.as_bytes()));
            let found = problems(&resolve(&files, &[MigrationRoot::folder("**")]));
            let bare = found.iter().filter(|p| p.rule == "unqualified-name" && p.file.contains("orders-service"));
            assert_eq!(bare.count(), usize::from(sql.starts_with("CREATE TABLE orders (")), "{sql}");
            let told = found.iter().find(|p| p.rule == "foreign-schema").map(|p| (p.line, p.message.as_str()));
            match expected {
                None => assert_eq!(told, None, "{sql}"),
                Some((line, part)) => {
                    assert!(told.is_some_and(|(l, m)| l == line && m.contains(part)), "{sql}: {told:?}");
                }
            }
        }
    }

    /// `up line` or `down line` of what the orders service changes of others.
    fn foreign(up: &str, down: &str) -> Vec<String> {
        let files = [
            (
                "services/user-service/migrations/0001_users.up.sql",
                "CREATE TABLE user_service.users (id bigint PRIMARY KEY);",
            ),
            ("services/orders-service/migrations/0001_orders.up.sql", up),
            ("services/orders-service/migrations/0001_orders.down.sql", down),
        ]
        .map(|(path, text)| File::new(path, text.as_bytes()));
        let found = problems(&resolve(&files, &[MigrationRoot::folder("**")]));
        let found = found.into_iter().filter(|p| p.rule == "foreign-schema");
        let script = |file: &str| if file.ends_with(".up.sql") { "up" } else { "down" };
        found.map(|p| format!("{} {} {}", script(&p.file), p.line, p.severity.as_str())).collect()
    }

    #[test]
    fn n14_s1_20_whatever_reaches_into_another_schema_is_told() {
        for sql in [
            "DO $$ BEGIN\n UPDATE user_service.users SET a = 1 WHERE id = 1;\nEND $$;",
            "DO $$ BEGIN\n EXECUTE 'ALTER TABLE user_service.users ADD COLUMN x int';\nEND $$;",
            "DO $$ BEGIN\n EXECUTE format('ALTER TABLE user_service.%I ADD COLUMN x int', n);\nEND $$;",
            "SET search_path TO user_service;\nALTER TABLE users ADD COLUMN x int;",
            "SET LOCAL search_path = 'user_service';\nCREATE TABLE addresses (id int);",
            "SET search_path TO \"$user\", user_service, public;\nDELETE FROM users WHERE id = 1;",
            "SELECT set_config('search_path', 'user_service, public', false);\nDELETE FROM users WHERE id = 1;",
            "SET SCHEMA 'user_service';\nDROP TABLE users;",
            "SELECT 1;\nCREATE TRIGGER x AFTER INSERT ON user_service.users FOR EACH ROW EXECUTE FUNCTION f();",
            "SELECT 1;\nGRANT SELECT ON user_service.users TO r;",
            "SELECT 1;\nREVOKE ALL ON SCHEMA user_service FROM r;",
            "SELECT 1;\nGRANT SELECT ON ALL TABLES IN SCHEMA user_service TO r;",
            "SELECT 1;\nALTER TABLE orders_service.orders SET SCHEMA user_service;",
            "SELECT 1;\nALTER TABLE orders_service.orders SET SCHEMA archive;",
            "SELECT 1;\nINSERT INTO user_service.users VALUES (1);",
            "SELECT 1;\nTRUNCATE orders_service.orders, user_service.users;",
            "SELECT 1;\nWITH gone AS (DELETE FROM user_service.users RETURNING id) SELECT count(*) FROM gone;",
            "SELECT 1;\nDROP SCHEMA user_service CASCADE;",
            "SELECT 1;\nCOMMENT ON COLUMN user_service.users.id IS 'x';",
            "SELECT 1;\nCREATE SEQUENCE user_service.s;",
        ] {
            assert_eq!(foreign(sql, "SELECT 1;"), ["up 2 error"], "{sql}");
            assert_eq!(foreign("SELECT 1;", sql), ["down 2 error"], "{sql}");
        }
        for options in ["", "SET search_path = user_service"] {
            let name = if options.is_empty() { "user_service.users" } else { "users" };
            let function = format!(
                "CREATE FUNCTION orders_service.f() RETURNS void LANGUAGE plpgsql {options} AS $$ BEGIN\n\
                 DELETE FROM {name} WHERE id = 1;\nEND $$;"
            );
            assert_eq!(foreign(&function, "SELECT 1;"), ["up 2 warning"], "{function}");
        }
    }

    #[test]
    fn n14_what_only_looks_like_another_schema_is_not_told() {
        for sql in [
            "CREATE TABLE orders_service.orders (id bigint REFERENCES user_service.users (id));",
            "INSERT INTO orders_service.orders SELECT u.id FROM user_service.users u;",
            "WITH user_service AS (SELECT 1 AS id) UPDATE orders_service.orders o SET a = user_service.id FROM user_service WHERE o.id = 1;",
            "UPDATE orders_service.orders AS o SET a = 1 WHERE o.id = 5;",
            "MERGE INTO orders_service.orders o USING user_service.users u ON o.id = u.id WHEN MATCHED THEN UPDATE SET a = u.a;",
            "COPY user_service.users TO stdout;",
            "CREATE VIEW orders_service.v AS SELECT * FROM user_service.users;",
            "GRANT SELECT ON orders_service.orders TO user_service;",
            "GRANT USAGE ON SCHEMA orders_service TO user_service;",
            "GRANT USAGE ON SCHEMA public TO r;",
            "CREATE SCHEMA IF NOT EXISTS orders_service;",
            "CREATE TEMP TABLE t (id int); UPDATE t SET id = 1 WHERE id = 2;",
            "CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql AS 'SELECT 1';",
            "SET search_path TO orders_service, user_service; UPDATE users SET a = 1 WHERE id = 1;",
            "SET search_path TO user_service, orders_service; UPDATE orders SET a = 1 WHERE id = 1;",
            "SELECT pg_catalog.set_config('search_path', '', false); ALTER TABLE orders_service.orders ADD x int;",
            "SET search_path TO user_service; CREATE TEMP TABLE t (id int); INSERT INTO t VALUES (1);",
            "SET search_path TO user_service; RESET search_path; ALTER TABLE orders ADD x int;",
            "SET search_path TO user_service; SELECT * FROM users;",
            "DO $$ DECLARE user_service record; BEGIN SELECT 1 AS id INTO user_service.id; END $$;",
            "DO $$ BEGIN EXECUTE format('ALTER TABLE %I.users ADD COLUMN x int', s); END $$;",
            "DO $$ BEGIN EXECUTE 'ALTER TABLE ' || s || '.users ADD COLUMN x int'; END $$;",
            "CREATE FUNCTION orders_service.f() RETURNS trigger LANGUAGE plpgsql SET search_path = '' AS \
             $$ BEGIN INSERT INTO audit.log VALUES (1); RETURN new; END $$;",
        ] {
            assert_eq!(foreign(sql, "SELECT 1;"), [""; 0], "{sql}");
            assert_eq!(foreign("SELECT 1;", sql), [""; 0], "{sql}");
        }
    }
}
