//! How a target is reached: templates with `${VAR}` while judging, a complete secret URL only where a run happens.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::SecretString;
use serde_json::{Value as Json, json};

use super::ConfigError;
use super::environments::{Environment, TargetConfig};
use super::schema::{Form, Kind, Rule};
use super::template::{MissingVariable, Template};
use super::yaml::{Node, Reader};
use crate::ids::Engine;
use crate::redact;

/// How a target is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Connection {
    /// A URL.
    Url(Template),
    /// Its parts, each percent-encoded when the URL is made.
    Parts(Box<Parts>),
}

/// The parts of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parts {
    host: Template,
    port: Option<Template>,
    /// A name (PostgreSQL, MongoDB) or a number (Redis).
    database: Option<Template>,
    user: Option<Template>,
    password: Option<Template>,
    sslmode: Option<&'static str>,
    /// Of the engines without `sslmode`.
    tls: Option<bool>,
    /// MongoDB: the database that knows the user.
    auth_source: Option<Template>,
    /// MongoDB.
    replica_set: Option<Template>,
}

/// Everything that separates a URL's parts is encoded.
const COMPONENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
const SSLMODES: [&str; 6] = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];

impl Connection {
    /// The names of the variables that must be set, without those that have a default.
    pub fn variables(&self) -> Vec<&str> {
        let templates: Vec<&Template> = match self {
            Connection::Url(url) => vec![url],
            Connection::Parts(p) => [&p.port, &p.database, &p.user, &p.password, &p.auth_source, &p.replica_set]
                .into_iter()
                .flatten()
                .chain(std::iter::once(&p.host))
                .collect(),
        };
        templates.into_iter().flat_map(Template::needed).collect()
    }
}

impl Environment {
    /// The complete URL of `target`, its variables filled in by `lookup`. Its password is registered with
    /// [`redact`] before it is given out.
    ///
    /// Where nothing is said of it, TLS is required of a server outside development and testing, unless it is this
    /// machine (SPEC 4.1). A URL says it itself.
    ///
    /// # Errors
    /// The variable that is not set, and the key that needs it.
    pub fn resolve_target(
        &self,
        target: &TargetConfig,
        lookup: &dyn Fn(&str) -> Option<String>,
    ) -> Result<SecretString, MissingVariable> {
        let path = |key: &str| format!("{}.{}.{key}", self.name, target.name);
        let url = match &target.connection {
            Connection::Url(url) => {
                let url = url.fill(&path("url"), lookup)?;
                // Where the engine is known the prefix may be left out; who connects wants one form.
                let plain = url.starts_with("http://") || url.starts_with("https://");
                if target.engine == Engine::Elasticsearch && plain { format!("elasticsearch+{url}") } else { url }
            }
            Connection::Parts(parts) => self.url_of(target, parts, &path, lookup)?,
        };
        redact::register_url(&url);
        Ok(SecretString::from(url))
    }

    /// The URL of the account of `target` that may only read, if it names one.
    ///
    /// # Errors
    /// The variable that is not set.
    pub fn resolve_reader(
        &self,
        target: &TargetConfig,
        lookup: &dyn Fn(&str) -> Option<String>,
    ) -> Option<Result<SecretString, MissingVariable>> {
        let url = target.reader.as_ref()?.fill(&format!("{}.{}.reader_url", self.name, target.name), lookup);
        Some(url.map(|url| {
            redact::register_url(&url);
            SecretString::from(url)
        }))
    }

    /// The private keys that open its sealed values, if it names some. They are registered with [`redact`] before they are
    /// given out.
    ///
    /// # Errors
    /// The variable that is not set.
    pub fn resolve_identity(
        &self,
        lookup: &dyn Fn(&str) -> Option<String>,
    ) -> Option<Result<SecretString, MissingVariable>> {
        let keys = self.sealed.identity.as_ref()?.fill(&format!("{}.sealed.identity", self.name), lookup);
        Some(keys.map(|keys| {
            keys.lines().for_each(redact::register);
            SecretString::from(keys)
        }))
    }

    /// The URL that the parts make.
    fn url_of(
        &self,
        target: &TargetConfig,
        parts: &Parts,
        path: &dyn Fn(&str) -> String,
        lookup: &dyn Fn(&str) -> Option<String>,
    ) -> Result<String, MissingVariable> {
        let fill =
            |template: &Option<Template>, key: &str| template.as_ref().map(|t| t.fill(&path(key), lookup)).transpose();
        let encode = |text: &str| utf8_percent_encode(text, COMPONENT).to_string();
        let host = parts.host.fill(&path("host"), lookup)?;
        let database = fill(&parts.database, "database")?;
        let port = fill(&parts.port, "port")?;
        let user = fill(&parts.user, "user")?;
        let password = fill(&parts.password, "password")?;
        if let Some(password) = &password {
            redact::register(password);
        }
        let relaxed = matches!(self.name.as_str(), "development" | "testing");
        let tls = parts.tls.unwrap_or(!relaxed && !host.split(',').all(is_this_machine));
        let mut url = format!("{}://", scheme(target.engine, tls));
        // A password alone is how Redis knew people before it knew users.
        if user.is_some() || password.is_some() {
            url.push_str(&encode(user.as_deref().unwrap_or_default()));
            if let Some(password) = &password {
                url.push(':');
                url.push_str(&encode(password));
            }
            url.push('@');
        }
        let hosts: Vec<String> = match target.engine {
            // The members of a replica set, each with its port or the common one.
            Engine::Mongodb => host.split(',').map(|h| with_port(h.trim(), port.as_deref(), &encode)).collect(),
            _ => vec![with_port(&host, port.as_deref(), &encode)],
        };
        url.push_str(&hosts.join(","));
        if let Some(database) = database {
            url.push('/');
            url.push_str(&encode(&database));
        }
        let mut options: Vec<String> = Vec::new();
        match target.engine {
            Engine::Postgresql => {
                let mode = parts.sslmode.or(tls.then_some("require"));
                options.extend(mode.map(|m| format!("sslmode={m}")));
            }
            Engine::Mongodb => {
                for (key, name, given) in [
                    ("auth_source", "authSource", &parts.auth_source),
                    ("replica_set", "replicaSet", &parts.replica_set),
                ] {
                    options.extend(fill(given, key)?.map(|v| format!("{name}={}", encode(&v))));
                }
                if tls {
                    options.push("tls=true".to_owned());
                }
            }
            Engine::Redis | Engine::Elasticsearch | Engine::Sqlite => {}
        }
        if !options.is_empty() {
            url.push('?');
            url.push_str(&options.join("&"));
        }
        Ok(url)
    }
}

/// A host with its port, of which it may have one itself. An IPv6 address keeps its colons in brackets; a socket folder
/// travels encoded.
fn with_port(host: &str, port: Option<&str>, encode: &dyn Fn(&str) -> String) -> String {
    let (host, own) = match host.rsplit_once(':') {
        Some((name, number)) if !name.contains(':') && number.parse::<u16>().is_ok() => (name, Some(number)),
        _ => (host, None),
    };
    let mut text = if host.contains(':') && !host.starts_with('[') {
        format!("[{host}]")
    } else if host.starts_with('[') {
        host.to_owned()
    } else {
        encode(host)
    };
    if let Some(port) = own.or(port) {
        text.push(':');
        text.push_str(&encode(port));
    }
    text
}

fn is_this_machine(host: &str) -> bool {
    let host = match host.trim().rsplit_once(':') {
        Some((name, _)) if !name.contains(':') => name,
        _ => host.trim(),
    };
    host.starts_with('/') || matches!(host, "localhost" | "127.0.0.1" | "::1" | "[::1]")
}

fn scheme(engine: Engine, tls: bool) -> &'static str {
    match engine {
        Engine::Postgresql => "postgres",
        Engine::Mongodb => "mongodb",
        Engine::Redis if tls => "rediss",
        Engine::Redis => "redis",
        Engine::Elasticsearch if tls => "elasticsearch+https",
        Engine::Elasticsearch => "elasticsearch+http",
        Engine::Sqlite => "sqlite",
    }
}

/// What a URL of `engine` begins with (INTERFACE 2).
fn schemes(engine: Engine) -> &'static [&'static str] {
    match engine {
        Engine::Postgresql => &["postgres://", "postgresql://"],
        Engine::Mongodb => &["mongodb://", "mongodb+srv://"],
        Engine::Redis => &["redis://", "rediss://", "redis-cluster://", "rediss-cluster://"],
        Engine::Elasticsearch => &["elasticsearch+http://", "elasticsearch+https://", "http://", "https://"],
        Engine::Sqlite => &["sqlite:"],
    }
}

/// Reads one target: its engine (given by the key in source C's form), connection and region.
pub(super) fn target(
    reader: &mut Reader,
    notes: &mut Vec<ConfigError>,
    node: &Node,
    path: &str,
    engine: Option<Engine>,
) -> Option<(Engine, Connection, Option<String>)> {
    let allowed = [
        "engine",
        "url",
        "uri",
        "host",
        "port",
        "database",
        "user",
        "password",
        "sslmode",
        "tls",
        "auth_source",
        "replica_set",
        "region",
        "reader_url",
        "compliance",
    ];
    let fields = reader.fields(node, path, &allowed);
    for schema in wanted(engine) {
        node.must(Rule::Also(schema.to_string()));
    }
    let tls = fields.get("tls").and_then(|(n, p)| reader.bool(n, &p));
    let region = fields.get("region").and_then(|(n, p)| reader.string(n, &p));
    let stated = fields.get("engine").map(|(n, p)| (n, read_engine(reader, n, &p)));
    let mut template = |key: &str| {
        let (node, path) = fields.get(key)?;
        let form = if key == "port" { Form::PORT } else { Form::TEMPLATE };
        Some((node, read_template(reader, node, &path, form)?))
    };
    let url = template("url").or_else(|| template("uri"));
    let [host, port, database, user, password, auth_source, replica_set] =
        ["host", "port", "database", "user", "password", "auth_source", "replica_set"].map(&mut template);
    let url_given = fields.get("url").or_else(|| fields.get("uri")).is_some();
    let sslmode = fields.get("sslmode").and_then(|(n, p)| reader.one_of(n, &p, &SSLMODES.map(|m| (m, m))));

    let engine = match (stated, engine) {
        (Some((_, None)), _) => return None,
        (Some((n, Some(stated))), Some(engine)) if stated != engine => {
            reader.wrong(n, format!("`{path}` is always `{engine}`"));
            return None;
        }
        (Some((_, stated)), engine) => stated.or(engine)?,
        (None, Some(engine)) => engine,
        (None, None) => match url.as_ref().and_then(|(_, u)| engine_of(u.head())) {
            Some(engine) => engine,
            None => {
                match &url {
                    Some((n, u)) if !u.head().is_empty() => reader.wrong(
                        n,
                        format!("`{path}.url` does not begin with a known scheme, such as `postgres://` or `sqlite:`"),
                    ),
                    Some(_) | None => reader.wrong(
                        node,
                        format!("`{path}` does not say its `engine`: `postgresql`, `mongodb`, `redis`, `elasticsearch` or `sqlite`"),
                    ),
                }
                return None;
            }
        },
    };
    let parts_given = [&host, &port, &database, &user, &password, &auth_source, &replica_set];
    if url_given && (parts_given.iter().any(|t| t.is_some()) || tls.is_some()) {
        reader.wrong(node, format!("`{path}` has both a `url` and its parts; write either"));
        return None;
    }
    if let Some((n, url)) = url {
        let head = url.head();
        if !head.is_empty() && !schemes(engine).iter().any(|s| head.starts_with(s) || s.starts_with(head)) {
            let known = super::yaml::list(schemes(engine));
            reader.wrong(n, format!("`{path}.url` does not begin with {known}, as `{engine}` needs"));
            return None;
        }
        if has_literal_password(&url) {
            if let Some(text) = url.literal() {
                redact::register_url(text);
            }
            notes.push(reader.message(n.line, n.column, literal_password(path, "url")));
        }
        return Some((engine, Connection::Url(url), region));
    }
    if url_given {
        return None;
    }
    if engine == Engine::Sqlite {
        reader.wrong(node, format!("`{path}` needs `url: sqlite:FILE`"));
        return None;
    }
    if let Some((n, port)) = &port
        && port.literal().is_some_and(|p| !p.parse::<u16>().is_ok_and(|p| p > 0))
    {
        reader.wrong(n, format!("`{path}.port` must be a port from 1 to 65535, or a variable"));
    }
    if let Some((n, password)) = &password
        && password.variables().is_empty()
    {
        if let Some(text) = password.literal() {
            redact::register(text);
        }
        notes.push(reader.message(n.line, n.column, literal_password(path, "password")));
    }
    if !(belongs(reader, &fields, engine) && is_complete(reader, &fields, node, path, engine)) {
        return None;
    }
    let parts = Parts {
        host: host?.1,
        port: port.map(|(_, t)| t),
        database: database.map(|(_, t)| t),
        user: user.map(|(_, t)| t),
        password: password.map(|(_, t)| t),
        sslmode,
        tls,
        auth_source: auth_source.map(|(_, t)| t),
        replica_set: replica_set.map(|(_, t)| t),
    };
    Some((engine, Connection::Parts(Box::new(parts)), region))
}

/// The `reader_url` of a target, whose other fields were read before.
pub(super) fn reader_url(
    reader: &mut Reader,
    notes: &mut Vec<ConfigError>,
    node: &Node,
    path: &str,
    engine: Engine,
) -> Option<Template> {
    let fields = reader.known_fields(node, path, &["reader_url"]);
    let (node, path) = fields.get("reader_url")?;
    let url = read_template(reader, node, &path, Form::TEMPLATE)?;
    if engine != Engine::Postgresql {
        reader.wrong(
            node,
            format!("`{path}` means nothing to {engine}: only PostgreSQL is asked for the sizes of its tables"),
        );
        return None;
    }
    let head = url.head();
    if !head.is_empty() && !schemes(engine).iter().any(|s| head.starts_with(s) || s.starts_with(head)) {
        let known = super::yaml::list(schemes(engine));
        reader.wrong(node, format!("`{path}` does not begin with {known}"));
        return None;
    }
    if has_literal_password(&url) {
        if let Some(text) = url.literal() {
            redact::register_url(text);
        }
        notes.push(reader.message(
            node.line,
            node.column,
            format!("`{path}` {LITERAL_PASSWORD}, such as `${{PROD_READER_URL}}`"),
        ));
    }
    Some(url)
}

/// The keys that a URL stands for.
const PARTS: [&str; 8] = ["host", "port", "database", "user", "password", "auth_source", "replica_set", "tls"];

/// What is wanted of a target besides its keys, as schemas: of one whose engine is given by its own key, else by `engine`.
fn wanted(engine: Option<Engine>) -> Vec<Json> {
    let absent = |keys: &mut dyn Iterator<Item = &'static str>| -> Json {
        keys.map(|key| (key.to_owned(), Json::Bool(false))).collect::<serde_json::Map<_, _>>().into()
    };
    let has_url = || json!({ "anyOf": [{ "required": ["url"] }, { "required": ["uri"] }] });
    let of = |engine: Engine| {
        let by_url = json!({ "allOf": [has_url()], "properties": absent(&mut PARTS.into_iter()) });
        let strange = absent(&mut foreign(engine).iter().map(|(key, _)| *key).chain(["url", "uri"]));
        let by_parts = json!({ "required": needed(engine), "properties": strange });
        let mut forms = vec![by_url];
        if engine != Engine::Sqlite {
            forms.push(by_parts);
        }
        let mut schema = json!({ "type": "object", "anyOf": forms });
        schema["properties"] = match engine {
            Engine::Postgresql => json!({ "reader_url": Kind::Form(Form::TEMPLATE).schema() }),
            _ => json!({ "reader_url": false }),
        };
        schema
    };
    let words = |engine: Engine| Json::from(names(engine));
    match engine {
        Some(engine) => vec![json!({ "properties": { "engine": { "enum": words(engine) } } }), of(engine)],
        None => {
            let said =
                |engine| json!({ "properties": { "engine": { "enum": words(engine) } }, "required": ["engine"] });
            let each = Engine::ALL.map(|(engine, _)| json!({ "if": said(engine), "then": of(engine) }));
            // Without the word for it the URL tells.
            let mut by_url = json!({ "allOf": [has_url()], "properties": absent(&mut PARTS.into_iter()) });
            for key in ["url", "uri"] {
                by_url["properties"][key] = json!({ "type": "string", "pattern": telling() });
            }
            let any = json!({ "type": "object", "anyOf": [{ "required": ["engine"] }, by_url] });
            each.into_iter().chain([any]).collect()
        }
    }
}

/// The form of URLs that tell their engine.
fn telling() -> String {
    let schemes = Engine::ALL.iter().flat_map(|(engine, _)| schemes(*engine)).filter(|scheme| tells(scheme));
    format!("^({})", schemes.map(|scheme| scheme.replace('+', "\\+")).collect::<Vec<_>>().join("|"))
}

/// Whether the beginning of a URL tells its engine.
fn tells(scheme: &str) -> bool {
    !matches!(scheme, "http://" | "https://")
}

/// The words for an engine; the first is its name.
fn names(engine: Engine) -> Vec<&'static str> {
    let other = match engine {
        Engine::Postgresql => Some("postgres"),
        Engine::Sqlite => Some("sqlite3"),
        Engine::Mongodb | Engine::Redis | Engine::Elasticsearch => None,
    };
    std::iter::once(engine.as_str()).chain(other).collect()
}

/// The fields that mean nothing to the engine, and what to write instead.
fn foreign(engine: Engine) -> &'static [(&'static str, &'static str)] {
    match engine {
        Engine::Postgresql | Engine::Sqlite => &[
            ("tls", "write `sslmode`"),
            ("auth_source", "only MongoDB has it"),
            ("replica_set", "only MongoDB has it"),
        ][..],
        Engine::Mongodb => &[("sslmode", "write `tls: true`")][..],
        Engine::Redis => &[
            ("sslmode", "write `tls: true`"),
            ("auth_source", "only MongoDB has it"),
            ("replica_set", "only MongoDB has it"),
        ][..],
        Engine::Elasticsearch => &[
            ("sslmode", "write `tls: true`"),
            ("auth_source", "only MongoDB has it"),
            ("replica_set", "only MongoDB has it"),
            ("database", "Elasticsearch has no databases"),
        ][..],
    }
}

/// Whether every field means something to the engine.
fn belongs(reader: &mut Reader, fields: &super::yaml::Fields<'_>, engine: Engine) -> bool {
    let mut all = true;
    for (key, why) in foreign(engine) {
        if let Some((node, path)) = fields.get(key) {
            reader.wrong(node, format!("`{path}` means nothing to {engine}: {why}"));
            all = false;
        }
    }
    all
}

/// The parts that an engine cannot do without.
fn needed(engine: Engine) -> &'static [&'static str] {
    match engine {
        Engine::Postgresql | Engine::Mongodb => &["host", "database"],
        Engine::Redis | Engine::Elasticsearch | Engine::Sqlite => &["host"],
    }
}

/// Whether there is what the engine cannot do without.
fn is_complete(reader: &mut Reader, fields: &super::yaml::Fields<'_>, node: &Node, path: &str, engine: Engine) -> bool {
    let needed = needed(engine);
    let complete = needed.iter().all(|key| fields.get(key).is_some());
    if !complete {
        let least: Vec<String> = needed.iter().map(|k| format!("`{k}`")).collect();
        reader.wrong(node, format!("`{path}` needs a `url`, or at least {}", least.join(" and ")));
    }
    complete
}

/// The mark by which `policy check` knows this note as an error.
pub(crate) const LITERAL_PASSWORD: &str = "holds a password; take it from a variable";

fn read_template(reader: &mut Reader, node: &Node, path: &str, form: Form) -> Option<Template> {
    let text = reader.formed(node, path, form)?;
    Template::parse(&text).map_err(|why| reader.wrong(node, format!("`{path}`: {why}"))).ok()
}

/// Text with variables in it that is the private key of an environment.
pub(super) fn identity(reader: &mut Reader, notes: &mut Vec<ConfigError>, node: &Node, path: &str) -> Option<Template> {
    let identity = read_template(reader, node, path, Form::TEMPLATE)?;
    if let Some(text) = identity.literal() {
        text.lines().for_each(redact::register);
        let message = format!("`{path}` {LITERAL_PASSWORD}, such as `${{PROD_SEALED_IDENTITY}}`");
        notes.push(reader.message(node.line, node.column, message));
    }
    Some(identity)
}

fn literal_password(path: &str, key: &str) -> String {
    format!("`{path}.{key}` {LITERAL_PASSWORD}, such as `${{PROD_DB_PASSWORD}}`")
}

/// Whether a password stands literally in a URL.
fn has_literal_password(url: &Template) -> bool {
    let shape = url.shape();
    let Some((_, rest)) = shape.split_once("://") else { return false };
    let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    let password = authority.rsplit_once('@').and_then(|(user, _)| user.split_once(':')).map(|(_, p)| p);
    password.is_some_and(|p| !p.is_empty() && !p.contains('\u{1}'))
}

fn engine_of(head: &str) -> Option<Engine> {
    Engine::ALL.iter().map(|(e, _)| *e).find(|e| schemes(*e).iter().any(|s| head.starts_with(s) && tells(s)))
}

fn read_engine(reader: &mut Reader, node: &Node, path: &str) -> Option<Engine> {
    let kind = Kind::words(Engine::ALL.iter().flat_map(|(engine, _)| names(*engine)));
    let text = reader.text(node, path, kind)?;
    match text.as_str() {
        "postgres" => return Some(Engine::Postgresql),
        "mysql" | "mariadb" => {
            reader.wrong(node, format!("`{path}`: MySQL is not supported; see `docs/` for the engines that are"));
            return None;
        }
        _ => {}
    }
    if let Ok(engine) = text.parse() {
        return Some(engine);
    }
    let names: Vec<&str> = Engine::ALL.iter().map(|(_, n)| *n).collect();
    reader.wrong(node, format!("`{path}` must be one of {}", super::yaml::list(&names)));
    None
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::super::environments::Environments;
    use super::*;

    fn resolve(text: &str, variables: &[(&str, &str)]) -> Result<String, MissingVariable> {
        let (environments, _) = Environments::parse("e", text).expect(text);
        let environment = &environments.0[0];
        let lookup = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
        environment.resolve_target(&environment.targets[0], &lookup).map(|s| s.expose_secret().to_owned())
    }

    #[test]
    fn s2_05_variables_are_filled_in_and_encoded_where_a_run_happens() {
        for (text, variables, expected) in [
            (
                "p: {targets: {a: {engine: postgresql, url: '${U}'}}}",
                &[("U", "postgres://u:p@h/d")][..],
                "postgres://u:p@h/d",
            ),
            ("p: {targets: {a: {url: 'sqlite:${DIR:-data}/shop.db'}}}", &[], "sqlite:data/shop.db"),
            ("p: {targets: {a: {url: 'sqlite:${DIR:-data}/shop.db'}}}", &[("DIR", "/srv")], "sqlite:/srv/shop.db"),
            ("p: {targets: {a: {url: 'sqlite:${DIR:-data}/$$shop.db'}}}", &[("DIR", "")], "sqlite:data/$shop.db"),
            (
                "p: {database: {host: '${H}', port: '5433', database: shop, user: godwit, password: '${P}'}}",
                &[("H", "db.example.com"), ("P", "p@ss/w:rd?")],
                "postgres://godwit:p%40ss%2Fw%3Ard%3F@db.example.com:5433/shop?sslmode=require",
            ),
            (
                "development: {database: {host: db, port: 5433, database: shop, user: u}}",
                &[],
                "postgres://u@db:5433/shop",
            ),
            ("p: {database: {host: localhost, database: shop}}", &[], "postgres://localhost/shop"),
            ("p: {database: {host: '::1', database: shop}}", &[], "postgres://[::1]/shop"),
            (
                "p: {database: {host: h, database: shop, sslmode: verify-full}}",
                &[],
                "postgres://h/shop?sslmode=verify-full",
            ),
        ] {
            assert_eq!(resolve(text, variables).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn every_engine_is_reached_by_a_url_or_by_its_parts() {
        for (text, expected) in [
            (
                "p: {targets: {a: {engine: mongodb, host: 'a.example.com,b.example.com:27018', port: 27017, database: shop, user: u, password: 'p@:', auth_source: admin, replica_set: rs0}}}",
                "mongodb://u:p%40%3A@a.example.com:27017,b.example.com:27018/shop?authSource=admin&replicaSet=rs0&tls=true",
            ),
            ("p: {targets: {a: {engine: mongodb, host: localhost, database: shop}}}", "mongodb://localhost/shop"),
            (
                "development: {targets: {a: {engine: mongodb, host: db, database: shop, tls: true}}}",
                "mongodb://db/shop?tls=true",
            ),
            (
                "p: {targets: {a: {engine: redis, host: cache, port: 6379, database: 2, password: x%y}}}",
                "rediss://:x%25y@cache:6379/2",
            ),
            ("p: {targets: {a: {engine: redis, host: cache, tls: false}}}", "redis://cache"),
            ("testing: {targets: {a: {engine: redis, host: '::1', port: 6380}}}", "redis://[::1]:6380"),
            (
                "p: {targets: {a: {engine: elasticsearch, host: search, port: 9200, user: u, password: w}}}",
                "elasticsearch+https://u:w@search:9200",
            ),
            (
                "p: {targets: {a: {engine: elasticsearch, host: 127.0.0.1, port: 9200}}}",
                "elasticsearch+http://127.0.0.1:9200",
            ),
            ("p: {elasticsearch: {uri: 'https://search:9200'}}", "elasticsearch+https://search:9200"),
            ("p: {elasticsearch: {uri: 'elasticsearch+http://search:9200'}}", "elasticsearch+http://search:9200"),
            ("p: {mongodb: {uri: 'mongodb+srv://c.example.com/shop'}}", "mongodb+srv://c.example.com/shop"),
            ("p: {redis: {uri: 'redis-cluster://a:7000,b:7001'}}", "redis-cluster://a:7000,b:7001"),
            ("p: {targets: {a: {url: 'elasticsearch+http://search:9200'}}}", "elasticsearch+http://search:9200"),
        ] {
            assert_eq!(resolve(text, &[]).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn fields_of_other_engines_are_refused() {
        for (text, part) in [
            ("p: {targets: {a: {engine: mongodb, host: h}}}", "`host` and `database`"),
            ("p: {targets: {a: {engine: mongodb, host: h, database: d, sslmode: require}}}", "write `tls: true`"),
            ("p: {targets: {a: {engine: elasticsearch, host: h, database: d}}}", "has no databases"),
            ("p: {targets: {a: {engine: redis, database: 1}}}", "at least `host`"),
            ("p: {targets: {a: {engine: postgresql, host: h, database: d, tls: true}}}", "write `sslmode`"),
            ("p: {targets: {a: {engine: redis, url: 'redis://h', tls: true}}}", "both a `url` and its parts"),
        ] {
            let errors = Environments::parse("e", text).expect_err(text);
            assert!(errors.iter().any(|e| e.message.contains(part)), "{text}: {errors:?}");
        }
    }

    #[test]
    fn s2_05_a_missing_variable_is_named_with_its_key() {
        let text = "production: {database: {host: h, database: d, user: u, password: '${PROD_DB_PASSWORD}'}}";
        let error = resolve(text, &[]).expect_err("not set");
        assert_eq!(
            error.to_string(),
            "the variable `PROD_DB_PASSWORD` is not set; `production.database.password` needs it"
        );
    }

    #[test]
    fn s2_53_a_password_in_the_file_is_told_and_blotted_out() {
        for text in [
            "p: {targets: {a: {url: 'postgres://u:hunter2-literal@h/d'}}}",
            "p: {database: {host: h, database: d, user: u, password: hunter2-literal}}",
        ] {
            let (environments, notes) = Environments::parse("e", text).expect(text);
            assert!(notes[0].message.contains(LITERAL_PASSWORD), "{notes:?}");
            assert!(!format!("{environments:?}{notes:?}").contains("hunter2"), "{environments:?}");
            assert_eq!(redact::text("x hunter2-literal y"), "x **** y");
        }
        let (_, notes) = Environments::parse("e", "p: {targets: {a: {url: 'postgres://u:${P}@h/d'}}}").expect("valid");
        assert_eq!(notes, []);
    }
}
