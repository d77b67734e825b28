//! Looks at a target as a person would who cannot connect: name, port, TLS, login, rights, version, pooler. Changes
//! nothing.

use std::time::Duration;

use secrecy::ExposeSecret as _;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use super::connect::with_driver;
use super::{RunError, Target};
use crate::drivers::Driver as _;
use crate::ids::{Engine, Risk};
use crate::migration::digest_of;
use crate::plan::diagnosis::{Diagnosis, Health};
use crate::plan::{MigrationPlan, ObjectionKind};

/// How long a name or a port may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// What is answered by a server that was reached.
struct Answers {
    version: String,
    objections: Vec<(Health, String, String)>,
    rows: usize,
    holder: Option<String>,
}

/// Everything found, in the order in which one thing needs the other. Ends at the first that keeps the rest from being
/// looked at.
pub async fn examine(target: &Target) -> Vec<Diagnosis> {
    let about = match &target.environment {
        Some(environment) => format!("{environment}/{}", target.name),
        None => target.name.to_string(),
    };
    let url = target.url.expose_secret().to_owned();
    let mut found = Vec::new();
    let mut reached = target.engine == Engine::Sqlite;
    for host in hosts(target.engine, &url) {
        reached |= look_at(&about, &host, &mut found).await;
    }
    let none = hosts(target.engine, &url).is_empty();
    if !reached && !none {
        return found;
    }
    match ask(target).await {
        Ok(answers) => {
            found.push(Diagnosis::good(&about, "login", "connected"));
            let version = answers.objections.iter().find(|(health, ..)| *health == Health::Wrong);
            found.push(match version {
                Some((health, message, what)) => Diagnosis::of(&about, "version", *health, message.clone(), what),
                // A file has no server that says one.
                None if answers.version.is_empty() => Diagnosis::good(&about, "version", target.engine.to_string()),
                None => Diagnosis::good(&about, "version", answers.version.clone()),
            });
            for (health, message, what) in answers.objections.iter().filter(|(health, ..)| *health != Health::Wrong) {
                found.push(Diagnosis::of(&about, "server", *health, message.clone(), what));
            }
            found.push(Diagnosis::good(
                &about,
                "history",
                match answers.rows {
                    1 => "1 migration recorded".to_owned(),
                    n => format!("{n} migrations recorded"),
                },
            ));
            if let Some(holder) = answers.holder {
                let what = "wait for it, or see `godwit status`";
                found.push(Diagnosis::of(&about, "lock", Health::Warning, format!("a run holds it: {holder}"), what));
            }
        }
        Err(error) => {
            let (part, health, what) = classify(&error.to_string());
            found.push(Diagnosis::of(&about, part, health, error.to_string(), what));
            return found;
        }
    }
    #[cfg(feature = "postgres")]
    if target.engine == Engine::Postgresql {
        match of_postgres(&about, target).await {
            Ok(more) => found.extend(more),
            Err(error) => {
                let (part, health, what) = classify(&error.to_string());
                found.push(Diagnosis::of(&about, part, health, error.to_string(), what));
            }
        }
    }
    found
}

/// Name and port of a host; `true` when something listens there.
async fn look_at(about: &str, (host, port): &(String, u16), found: &mut Vec<Diagnosis>) -> bool {
    let addresses: Vec<std::net::SocketAddr> = match timeout(PATIENCE, lookup_host((host.as_str(), *port))).await {
        Ok(Ok(addresses)) => addresses.collect(),
        Ok(Err(error)) => {
            let what = "correct the host's name, or the resolver of this machine";
            let message = format!("`{host}` cannot be looked up: {error}");
            found.push(Diagnosis::of(about, "name", Health::Unreachable, message, what));
            return false;
        }
        Err(_) => {
            let what = "look at the resolver of this machine";
            let message = format!("looking up `{host}` took longer than {} s", PATIENCE.as_secs());
            found.push(Diagnosis::of(about, "name", Health::Unreachable, message, what));
            return false;
        }
    };
    let Some(first) = addresses.first() else {
        let what = "give the name an address";
        found.push(Diagnosis::of(about, "name", Health::Unreachable, format!("`{host}` has no address"), what));
        return false;
    };
    found.push(Diagnosis::good(about, "name", format!("`{host}` is {}", first.ip())));
    let mut why = String::new();
    for address in &addresses {
        match timeout(PATIENCE, TcpStream::connect(address)).await {
            Ok(Ok(_)) => {
                found.push(Diagnosis::good(about, "port", format!("`{host}:{port}` answers")));
                return true;
            }
            Ok(Err(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
                why = format!("`{host}:{port}` refuses connections: nothing listens there");
            }
            Ok(Err(error)) => why = format!("`{host}:{port}` cannot be reached: {error}"),
            Err(_) => {
                why = format!("`{host}:{port}` does not answer within {} s: a firewall, perhaps", PATIENCE.as_secs())
            }
        }
    }
    let what = "start the server, correct the port, or let this machine through";
    found.push(Diagnosis::of(about, "port", Health::Unreachable, why, what));
    false
}

async fn ask(target: &Target) -> Result<Answers, RunError> {
    let nothing = MigrationPlan {
        environment: target.environment.clone(),
        target: target.name.clone(),
        digest: digest_of(std::iter::empty()),
        history_hash: String::new(),
        risk: Risk::Low,
        steps: Vec::new(),
    };
    with_driver!(target, driver => {
        let version = driver.capabilities().await.map_err(unreachable)?.version;
        let objections = driver.preflight(&nothing).await.map_err(unreachable)?;
        let rows = driver.history().await.map_err(unreachable)?.len();
        let holder = driver.holder().await.map_err(unreachable)?;
        Ok(Answers {
            version,
            objections: objections
                .into_iter()
                .map(|o| {
                    let health = match o.kind {
                        ObjectionKind::Version | ObjectionKind::Impossible | ObjectionKind::Right => Health::Wrong,
                        ObjectionKind::DataLoss | ObjectionKind::Note => Health::Warning,
                    };
                    (health, o.message, o.what_to_do)
                })
                .collect(),
            rows,
            holder: holder.map(|h| format!("{} from {}, since {}", h.who, h.from, h.since)),
        })
    })
}

/// Rights, and whether a pooler stands in between.
#[cfg(feature = "postgres")]
async fn of_postgres(about: &str, target: &Target) -> Result<Vec<Diagnosis>, RunError> {
    use super::connect::unreachable;
    use crate::drivers::postgres::PostgresDriver;
    let mut found = Vec::new();
    let mut one = PostgresDriver::connect(&target.url).await.map_err(unreachable)?;
    let mut two = PostgresDriver::connect(&target.url).await.map_err(unreachable)?;
    let rights = "SELECT COALESCE(pg_catalog.has_schema_privilege(pg_catalog.current_schema(), 'CREATE'), false)::text, \
                  pg_catalog.pg_is_in_recovery()::text, current_user::text, pg_catalog.current_schema()::text";
    let rows = one.ask(rights.to_owned()).await.map_err(unreachable)?;
    if let Some([create, standby, user, schema]) =
        rows.first().and_then(|r| <&[String; 4]>::try_from(r.as_slice()).ok())
    {
        if standby == "true" {
            let what = "give the address of the primary";
            found.push(Diagnosis::of(about, "server", Health::Wrong, "it is a standby, which takes no writes", what));
        }
        found.push(if create == "true" {
            Diagnosis::good(about, "permissions", format!("`{user}` may create tables in `{schema}`"))
        } else {
            let what = format!("GRANT CREATE ON SCHEMA {schema} TO {user}");
            let message = format!("`{user}` may not create tables in `{schema}`");
            Diagnosis::of(about, "permissions", Health::Wrong, message, &what)
        });
    }
    // Two sessions at once on one backend: somebody hands backends out statement by statement.
    let pid = || "SELECT pg_catalog.pg_backend_pid()::text".to_owned();
    let (first, second) = (one.ask(pid()).await.map_err(unreachable)?, two.ask(pid()).await.map_err(unreachable)?);
    found.push(if first == second {
        let message = "this connection goes through a pooler in transaction mode, where no lock can be held";
        let what = "give the server's own address, or the pooler's port for session mode";
        Diagnosis::of(about, "pooler", Health::Wrong, message, what)
    } else {
        Diagnosis::good(about, "pooler", "sessions are our own")
    });
    Ok(found)
}

/// What a server's refusal is about, by its own words, and what to do.
fn classify(message: &str) -> (&'static str, Health, &'static str) {
    let text = message.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if says(&["certificate", "tls", "ssl ", "ssl)", "handshake"]) && !says(&["password", "pg_hba"]) {
        (
            "tls",
            Health::Wrong,
            "compare `sslmode` (or `tls`) with what the server speaks, and its certificate with the host's name",
        )
    } else if says(&["does not exist"]) && says(&["database"]) && !says(&["role"]) {
        ("database", Health::Wrong, "create the database, or correct its name")
    } else if says(&["permission denied", "not authorized", "noperm", "insufficient", "forbidden", "privilege"]) {
        (
            "permissions",
            Health::Wrong,
            "grant the user what migrations need: to create, change and drop what they are about",
        )
    } else if says(&[
        "password",
        "authentic",
        "wrongpass",
        "noauth",
        "unauthorized",
        "pg_hba",
        "role",
        "scram",
        "security_exception",
    ]) {
        ("login", Health::Wrong, "correct user and password, or let this machine in (`pg_hba.conf`, access lists)")
    } else if says(&["replica set", "no primary", "not primary", "server selection"]) {
        (
            "server",
            Health::Unreachable,
            "look whether the set has a primary that this machine can reach by its own name",
        )
    } else if says(&["url is wrong", "names no"]) {
        ("address", Health::Wrong, "correct the address")
    } else {
        ("connection", Health::Unreachable, "look at the server's log")
    }
}

/// Host and port of every address in a URL; none for files, sockets and names that only DNS resolves further.
fn hosts(engine: Engine, url: &str) -> Vec<(String, u16)> {
    let port = match engine {
        Engine::Postgresql => 5432,
        Engine::Mongodb => 27017,
        Engine::Redis => 6379,
        Engine::Elasticsearch => 9200,
        Engine::Sqlite => return Vec::new(),
    };
    let Some((scheme, rest)) = url.split_once("://") else { return Vec::new() };
    if scheme.ends_with("+srv") {
        return Vec::new();
    }
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let list = authority.rsplit_once('@').map_or(authority, |(_, hosts)| hosts);
    list.split(',')
        .filter_map(|part| {
            let (host, given) = match part.strip_prefix('[').and_then(|p| p.split_once(']')) {
                Some((host, port)) => (host, port.strip_prefix(':')),
                None => part.rsplit_once(':').map_or((part, None), |(host, port)| (host, Some(port))),
            };
            let host = percent_encoding::percent_decode_str(host).decode_utf8_lossy().into_owned();
            let port = given.map_or(Some(port), |p| p.parse().ok())?;
            (!host.is_empty() && !host.starts_with('/')).then_some((host, port))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s0_78_addresses_are_found_in_every_form_of_url() {
        let at = |list: &[(&str, u16)]| list.iter().map(|(h, p)| ((*h).to_owned(), *p)).collect::<Vec<_>>();
        for (engine, url, expected) in [
            (Engine::Postgresql, "postgres://u:p@db.example:6000/shop?sslmode=require", at(&[("db.example", 6000)])),
            (Engine::Postgresql, "postgres://u@db/shop", at(&[("db", 5432)])),
            (Engine::Postgresql, "postgres://u@%2Fvar%2Frun/shop", at(&[])),
            (Engine::Postgresql, "postgres://[::1]:7/x", at(&[("::1", 7)])),
            (Engine::Mongodb, "mongodb://u:p@a:1,b/shop", at(&[("a", 1), ("b", 27017)])),
            (Engine::Mongodb, "mongodb+srv://cluster.example/shop", at(&[])),
            (Engine::Redis, "redis-cluster://a:7000,b:7001", at(&[("a", 7000), ("b", 7001)])),
            (Engine::Elasticsearch, "elasticsearch+https://u:p@es/prefix", at(&[("es", 9200)])),
            (Engine::Sqlite, "sqlite:shop.db", at(&[])),
        ] {
            assert_eq!(hosts(engine, url), expected, "{url}");
        }
    }

    #[test]
    fn s0_78_refusals_are_told_apart() {
        for (message, expected) in [
            ("password authentication failed for user \"u\"", "login"),
            ("no pg_hba.conf entry for host \"1.2.3.4\", user \"u\", database \"d\", no encryption", "login"),
            ("role \"u\" does not exist", "login"),
            ("WRONGPASS invalid username-password pair or user is disabled.", "login"),
            ("database \"nope\" does not exist", "database"),
            ("permission denied for schema public", "permissions"),
            ("not authorized on shop to execute command { find: \"x\" }", "permissions"),
            ("invalid peer certificate: UnknownIssuer", "tls"),
            ("server does not support TLS", "tls"),
            ("something else", "connection"),
        ] {
            assert_eq!(classify(message).0, expected, "{message}");
        }
    }
}
