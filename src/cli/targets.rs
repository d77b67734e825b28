//! Where a command goes: which migrations, of which databases, by which policy. How it runs there and ends is said in
//! [`running`](super::running).

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::Utc;
use secrecy::SecretString;

use super::Global;
use super::exit::Failure;
use super::folder::read_folder;
use super::settings::known_as;
use super::standing::linked;
use super::tree::{Reading, Tree, read_tree};
#[cfg(feature = "postgres")]
use super::unchanged::Known;
use crate::approval::Policy;
use crate::config::{Environment, LintConfig, TargetConfig};
use crate::ids::{Engine, EnvironmentName, Risk, TargetName};
use crate::judge::judge;
use crate::lint::{self, Scope};
use crate::migration::{Migration, MigrationSet, resolve, roots};
use crate::plan::Refusal;
use crate::plan::planner;
#[cfg(feature = "postgres")]
use crate::runner::Ahead;
use crate::runner::Target;
use crate::runner::sealed::Keys;

/// Where to run: one database by its URL, or an environment of `policies/environments.yml`.
#[derive(Debug, Default, clap::Args)]
pub struct Place {
    /// The environment
    #[arg(long = "env", value_name = "ENVIRONMENT", conflicts_with_all = ["url", "path"])]
    pub environment: Option<EnvironmentName>,
    /// A database, without any configuration: `postgres://…`, `mongodb://…`, `redis://…`, `elasticsearch+https://…`, `sqlite:FILE`
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// The folder with its migrations (default: `migrations`)
    #[arg(long, value_name = "DIR", requires = "url")]
    pub path: Option<PathBuf>,
    /// Only these databases of the environment
    #[arg(long = "target", value_name = "TARGET", conflicts_with = "url")]
    pub targets: Vec<TargetName>,
    /// The same, several after one flag, by name or by kind
    #[arg(long, value_name = "NAME", num_args = 1.., conflicts_with_all = ["url", "targets"])]
    pub databases: Vec<String>,
    /// Only the migrations of this service
    #[arg(long, value_name = "SERVICE")]
    pub service: Option<String>,
}

/// Everything read from files: what a run is about.
pub(super) struct Gathered {
    pub set: MigrationSet,
    pub targets: Vec<Target>,
    pub environment: Option<EnvironmentName>,
    /// What judges the environment; `None` for ad hoc runs.
    pub policy: Option<Box<Policy>>,
    /// The environment's own bound on a run.
    pub timeout: Option<Duration>,
    /// Risks as the linter judged them; empty for ad hoc runs.
    pub risks: BTreeMap<String, Risk>,
    /// Findings at error level, by `unit/id`: they block a run in a configured environment.
    pub lint_errors: Vec<(String, Refusal)>,
    /// Whether it is the last environment of the promotion order.
    pub is_last: bool,
    /// Only the migrations of this service.
    pub service: Option<String>,
    /// A connection to the target that is being made already.
    #[cfg(feature = "postgres")]
    pub ahead: Ahead,
    /// What is worth remembering of the folder once the run has found nothing to do.
    #[cfg(feature = "postgres")]
    pub whole: Option<Known>,
    /// Migrations that take data away, as the linter found.
    pub destroys: BTreeSet<String>,
    /// Databases of the environment that were not named, and whose migrations need what others hold.
    pub beside: Vec<TargetConfig>,
}

/// Refuses a URL that cannot be read, so that a slip of the pen is not taken for a database that is down.
pub(super) fn check_url(engine: Engine, url: &str) -> anyhow::Result<()> {
    crate::drivers::check_url(engine, url).map_err(|e| Failure::usage(format!("the database's URL is wrong: {e}")))
}

impl Place {
    /// The place where nothing is said of it but an environment.
    pub fn of(environment: EnvironmentName) -> Self {
        Self {
            environment: Some(environment),
            url: None,
            path: None,
            targets: Vec::new(),
            databases: Vec::new(),
            service: None,
        }
    }

    /// The place with an environment that stood alone on the command line (`godwit apply staging`).
    pub fn or_word(mut self, word: Option<EnvironmentName>) -> anyhow::Result<Self> {
        match (word, &self.environment) {
            (Some(_), Some(_)) => return Err(Failure::usage("name the environment once")),
            (Some(word), None) if self.url.is_none() => self.environment = Some(word),
            (Some(word), None) => {
                return Err(Failure::usage(format!("`{word}` and `--url` are two places; name one of them")));
            }
            (None, _) => {}
        }
        Ok(self)
    }

    /// Whether the place was said in any way.
    pub fn is_said(&self) -> bool {
        self.environment.is_some() || self.url.is_some()
    }

    /// Reads files and configuration.
    ///
    /// # Errors
    /// Usage and configuration errors, located.
    pub fn gather(&self, global: &Global) -> anyhow::Result<Gathered> {
        let gathered = match (&self.url, &self.environment) {
            (Some(url), _) => {
                let dir = self.folder(global)?;
                self.ad_hoc(url, &dir, &Tree::list(&dir)?, Reading::Whole)?
            }
            (None, Some(environment)) => self.configured(global, environment)?,
            (None, None) => self.configured(global, &self.usual(global)?)?,
        };
        self.of_service(gathered)
    }

    /// The same for the service that was named, if one was.
    pub(super) fn of_service(&self, mut gathered: Gathered) -> anyhow::Result<Gathered> {
        if let Some(service) = &self.service
            && !gathered.set.migrations.iter().any(|m| m.service.as_ref() == Some(service))
        {
            return Err(Failure::usage(format!("no migration belongs to a service `{service}`")));
        }
        gathered.service.clone_from(&self.service);
        Ok(gathered)
    }

    /// The folder with the migrations of one database.
    pub(super) fn folder(&self, global: &Global) -> anyhow::Result<PathBuf> {
        let dir = self.path.clone().unwrap_or_else(|| global.repo.join("migrations"));
        if !dir.is_dir() {
            return Err(Failure::usage(format!("`{}` is not a folder; give one with `--path`", dir.display())));
        }
        if let Some(link) = linked(&dir) {
            return Err(Failure::usage(format!("`{}` {}; give the folder itself", link.display(), roots::LINK)));
        }
        Ok(dir)
    }

    /// The databases alone; migrations are not looked at.
    ///
    /// # Errors
    /// Usage and configuration errors, located.
    pub fn databases(&self, global: &Global) -> anyhow::Result<Databases> {
        match (&self.url, &self.environment) {
            (Some(url), _) => Ok(Databases { targets: vec![ad_hoc_target(url)?], settings: None }),
            (None, name) => {
                let policy = self.policy(global)?;
                let usual = if name.is_none() { Some(self.usual(global)?) } else { None };
                let Some(name) = name.as_ref().or(usual.as_ref()) else { return Err(nowhere()) };
                let (settings, targets) = self.of_environment(&policy, name)?;
                Ok(Databases { targets, settings: Some(settings.clone()) })
            }
        }
    }

    /// The environment that is meant where none is said: that of `MIGRATION_ENV`, else `development` if there is one.
    fn usual(&self, global: &Global) -> anyhow::Result<EnvironmentName> {
        if let Some(name) = std::env::var("MIGRATION_ENV").ok().filter(|name| !name.is_empty()) {
            return EnvironmentName::new(name.as_str())
                .map_err(|_| Failure::usage(format!("`MIGRATION_ENV` is `{name}`, which is no environment's name")));
        }
        let policy = self.policy(global)?;
        let environments = policy.environments.0.into_iter().map(|e| e.name);
        environments.into_iter().find(|name| name.as_str() == "development").ok_or_else(nowhere)
    }

    /// The environment that is meant, as the policy has it, whether or not its databases can be reached: what forbids
    /// something there is said before what is missing for it.
    ///
    /// # Errors
    /// Where none is named or meant, or the policy has none of that name.
    pub(super) fn settings<'p>(&self, global: &Global, policy: &'p Policy) -> anyhow::Result<&'p Environment> {
        let name = self.environment.clone().map_or_else(|| self.usual(global), Ok)?;
        self.named(policy, &name)
    }

    /// Whether a target of an environment is meant.
    pub(super) fn wants(&self, target: &TargetConfig) -> bool {
        let named = |word: &String| word == target.name.as_str() || word.parse() == Ok(target.engine);
        (self.targets.is_empty() && self.databases.is_empty())
            || self.targets.contains(&target.name)
            || self.databases.iter().any(named)
    }

    pub(super) fn ad_hoc(&self, url: &str, dir: &Path, tree: &Tree, reading: Reading) -> anyhow::Result<Gathered> {
        let target = ad_hoc_target(url)?;
        let engine = target.engine;
        Ok(Gathered {
            set: read_folder(dir, tree, engine, reading)?,
            targets: vec![target],
            environment: None,
            policy: None,
            timeout: None,
            risks: BTreeMap::new(),
            lint_errors: Vec::new(),
            is_last: false,
            service: None,
            #[cfg(feature = "postgres")]
            ahead: Ahead::default(),
            #[cfg(feature = "postgres")]
            whole: None,
            destroys: BTreeSet::new(),
            beside: Vec::new(),
        })
    }

    pub(super) fn policy(&self, global: &Global) -> anyhow::Result<Policy> {
        policy(global)
    }

    /// An environment, once it is known that it and the targets that are meant are there.
    ///
    /// # Errors
    /// With the names that there are.
    pub(super) fn named<'p>(&self, policy: &'p Policy, name: &EnvironmentName) -> anyhow::Result<&'p Environment> {
        let name = &known_as(name, &|name| policy.environments.get(name).is_some());
        let Some(environment) = policy.environments.get(name) else {
            let known: Vec<&str> = policy.environments.0.iter().map(|e| e.name.as_str()).collect();
            return Err(Failure::usage(format!(
                "no environment `{name}` in `environments.yml`; there are: {}",
                if known.is_empty() { "none".to_owned() } else { known.join(", ") }
            )));
        };
        for wanted in &self.targets {
            if !environment.targets.iter().any(|t| &t.name == wanted) {
                return Err(Failure::usage(format!("`{name}` has no target `{wanted}`")));
            }
        }
        for wanted in &self.databases {
            let fits = |t: &TargetConfig| wanted == t.name.as_str() || wanted.parse() == Ok(t.engine);
            if !environment.targets.iter().any(fits) {
                let known: Vec<String> =
                    environment.targets.iter().map(|t| format!("{} ({})", t.name, t.engine)).collect();
                return Err(Failure::usage(format!(
                    "`{name}` has no database `{wanted}`, by name or kind; it has {}",
                    known.join(", ")
                )));
            }
        }
        Ok(environment)
    }

    /// An environment and those of its targets that are meant.
    fn of_environment<'p>(
        &self,
        policy: &'p Policy,
        name: &EnvironmentName,
    ) -> anyhow::Result<(&'p Environment, Vec<Target>)> {
        let environment = self.named(policy, name)?;
        let targets = environment
            .targets
            .iter()
            .filter(|t| self.wants(t))
            .map(|t| place_of(environment, t))
            .collect::<anyhow::Result<Vec<_>>>()?;
        Ok((environment, targets))
    }

    fn configured(&self, global: &Global, name: &EnvironmentName) -> anyhow::Result<Gathered> {
        let policy = self.policy(global)?;
        let (_, targets) = self.of_environment(&policy, name)?;
        self.judged(global, policy, name, targets)
    }

    /// As [`Place::gather`] for an environment some of whose databases may lack what they are reached by: those are left
    /// out, and given beside it.
    ///
    /// # Errors
    /// Usage and configuration errors, located.
    pub fn gather_reachable(&self, global: &Global) -> anyhow::Result<(Gathered, Vec<TargetConfig>)> {
        let policy = self.policy(global)?;
        let name = self.environment.clone().map_or_else(|| self.usual(global), Ok)?;
        let environment = self.named(&policy, &name)?;
        let (mut targets, mut left_out) = (Vec::new(), Vec::new());
        for target in environment.targets.iter().filter(|t| self.wants(t)) {
            match place_of(environment, target) {
                Ok(place) => targets.push(place),
                Err(_) => left_out.push(target.clone()),
            }
        }
        let gathered = self.judged(global, policy, &name, targets)?;
        Ok((self.of_service(gathered)?, left_out))
    }

    /// The migrations of an environment as its policy judges them.
    fn judged(
        &self,
        global: &Global,
        policy: Policy,
        name: &EnvironmentName,
        targets: Vec<Target>,
    ) -> anyhow::Result<Gathered> {
        let environment = self.named(&policy, name)?;
        let name = &environment.name;
        let mut set = resolve(&read_tree(&global.repo)?, &policy.repo.migrations);
        let place = |path: &str| global.place(path);
        set.problems.extend(roots::unfound(&policy.repo.migrations, &set, &place));
        same_kind(&set, environment)?;
        owned(&set, &policy)?;
        // A migration with a target of its own was looked at just now, or is another environment's.
        let taken = |m: &Migration| environment.targets.iter().any(|t| planner::belongs(m, &t.name, t.engine));
        if let Some(homeless) = set.migrations.iter().find(|m| m.target.is_none() && !taken(m)) {
            return Err(Failure::usage(format!(
                "no target of `{name}` takes `{}`, a {} migration: give its folder a `target` in `godwit.yml`, or the \
                 environment such a target",
                homeless.reference(),
                homeless.engine
            )));
        }
        let today = Utc::now().date_naive();
        let strict_below = set.strict_in(&|asked| asked == name);
        let config = LintConfig {
            profile: environment.validation,
            strict_below,
            environment: Some(name.clone()),
            ..policy.lint.clone()
        };
        let found = lint::check_judged(&set, &judge(&set), &config, &Scope::All, today);
        let risks = found
            .migrations
            .iter()
            .map(|m| (if m.unit.is_empty() { m.id.clone() } else { format!("{}/{}", m.unit, m.id) }, m.risk))
            .collect();
        Ok(Gathered {
            lint_errors: lint_errors(&set, &found),
            destroys: crate::risk::destroying(&set, &found.violations),
            beside: environment
                .targets
                .iter()
                .filter(|t| !self.wants(t) && planner::leans_on_others(&set, &t.name, t.engine))
                .cloned()
                .collect(),
            set,
            targets,
            environment: Some(name.clone()),
            timeout: Some(Duration::from_secs(environment.migration.timeout)),
            risks,
            is_last: policy.repo.environments.last() == Some(name),
            policy: Some(Box::new(policy)),
            service: None,
            #[cfg(feature = "postgres")]
            ahead: Ahead::default(),
            #[cfg(feature = "postgres")]
            whole: None,
        })
    }
}

/// The policy as the files here say.
///
/// # Errors
/// Every mistake in them, located.
pub(super) fn policy(global: &Global) -> anyhow::Result<Policy> {
    policy_read(&|path| {
        let file = match &global.config {
            Some(config) if path == crate::config::RepoConfig::FILE => config.clone(),
            _ => global.repo.join(path),
        };
        std::fs::read(file).ok()
    })
}

/// The policy of the files that `read` gives.
///
/// # Errors
/// What is wrong with them.
pub(super) fn policy_read(read: &dyn Fn(&str) -> Option<Vec<u8>>) -> anyhow::Result<Policy> {
    Policy::load(read)
        .map_err(|errors| Failure::usage(errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")))
}

/// An environment of the policy by its name, nothing else of it asked.
///
/// # Errors
/// With the names that there are.
pub(super) fn environment<'p>(policy: &'p Policy, name: &EnvironmentName) -> anyhow::Result<&'p Environment> {
    policy.environments.get(name).ok_or_else(|| {
        Failure::usage(format!(
            "there is no environment `{name}`; `policies/environments.yml` names {}",
            crate::config::yaml::list(&policy.environments.0.iter().map(|e| e.name.as_str()).collect::<Vec<_>>())
        ))
    })
}

/// Databases, and the environment that owns them.
pub(super) struct Databases {
    pub targets: Vec<Target>,
    /// `None` for one database given by its URL.
    pub settings: Option<Environment>,
}

fn nowhere() -> anyhow::Error {
    Failure::usage("say where: `--env ENVIRONMENT`, or `--url URL --path DIR` for one database without configuration")
}

pub(super) fn ad_hoc_target(url: &str) -> anyhow::Result<Target> {
    crate::redact::register_url(url);
    let engine = engine_of(url)?;
    check_url(engine, url)?;
    Ok(Target { environment: None, name: target_name(url), engine, url: SecretString::from(url.to_owned()) })
}

/// Refuses migrations whose target is of another kind than they are written for: they would never run.
fn same_kind(set: &MigrationSet, environment: &Environment) -> anyhow::Result<()> {
    let strange = set.migrations.iter().find_map(|m| {
        let target = environment.targets.iter().find(|t| m.target.as_ref() == Some(&t.name))?;
        (target.engine != m.engine).then_some((m, target))
    });
    let Some((migration, target)) = strange else { return Ok(()) };
    Err(Failure::usage(format!(
        "`{}` is taken for {}, but its target `{}` in `{}` is {}; say which with `engine:` beside its `path:` in `godwit.yml`",
        migration.up.path, migration.engine, target.name, environment.name, target.engine
    )))
}

/// Refuses migrations for a target that no environment has: a slip of the pen there must not read as "nothing to do".
fn owned(set: &MigrationSet, policy: &Policy) -> anyhow::Result<()> {
    let known: BTreeSet<&str> =
        policy.environments.0.iter().flat_map(|e| &e.targets).map(|t| t.name.as_str()).collect();
    let lost = set.migrations.iter().find_map(|m| {
        let wanted = m.target.as_ref()?;
        (!known.contains(wanted.as_str())).then_some((m, wanted))
    });
    let Some((migration, wanted)) = lost else { return Ok(()) };
    Err(Failure::usage(format!(
        "`{}` is for the target `{wanted}`, which no environment has; `environments.yml` names {}",
        migration.reference(),
        crate::config::yaml::list(&known.into_iter().collect::<Vec<_>>())
    )))
}

/// The variables of the process, and behind them those of `.env` [S2-05].
fn variables() -> impl Fn(&str) -> Option<String> {
    let file = dot_env();
    move |variable| std::env::var(variable).ok().or_else(|| file.get(variable).cloned())
}

/// The private keys that open sealed values: those of the environment where it names some, else those of the person who
/// runs this.
pub(super) fn keys_of(environment: Option<&Environment>) -> Keys {
    let lookup = variables();
    match environment.and_then(|e| e.resolve_identity(&lookup)) {
        Some(Ok(keys)) => Keys::parse(secrecy::ExposeSecret::expose_secret(&keys)),
        Some(Err(missing)) => Keys::missing(format!("set `{}`: `{}` needs it", missing.variable, missing.path)),
        None => Keys::from_variables(&lookup),
    }
}

/// A database of an environment, its variables filled in from the process and from `.env`.
///
/// # Errors
/// The variable that is not set, and the key that needs it.
pub(super) fn place_of(environment: &Environment, target: &TargetConfig) -> anyhow::Result<Target> {
    let lookup = variables();
    let url = environment.resolve_target(target, &lookup)?;
    let text = secrecy::ExposeSecret::expose_secret(&url);
    crate::redact::register_url(text);
    check_url(target.engine, text)
        .map_err(|e| Failure::usage(format!("`{}.{}`: {e:#}", environment.name, target.name)))?;
    Ok(Target { environment: Some(environment.name.clone()), name: target.name.clone(), engine: target.engine, url })
}

/// The same database through the account that may only read, where the environment names one.
///
/// # Errors
/// The variable that is not set, and the key that needs it.
pub(super) fn reader_of(environment: &Environment, target: &TargetConfig) -> anyhow::Result<Target> {
    let lookup = variables();
    let Some(url) = environment.resolve_reader(target, &lookup) else { return place_of(environment, target) };
    Ok(Target {
        environment: Some(environment.name.clone()),
        name: target.name.clone(),
        engine: target.engine,
        url: url?,
    })
}

/// Findings at error level by the migration whose file they stand in.
fn lint_errors(set: &MigrationSet, found: &lint::LintReport) -> Vec<(String, Refusal)> {
    let owners = set.by_path();
    found
        .violations
        .iter()
        .filter(|v| v.severity == lint::Severity::Error && v.waived.is_none())
        .filter_map(|v| {
            let owner: &Migration = owners.get(v.file.as_str())?;
            let refusal = Refusal {
                reason: "lint".to_owned(),
                message: format!("{}:{}: {} ({})", v.file, v.line, v.message, v.rule),
                what_to_do: v.help.clone().unwrap_or_else(|| "see `godwit lint`".to_owned()),
                needs_human: false,
            };
            Some((owner.reference(), refusal))
        })
        .collect()
}

pub(super) fn engine_of(url: &str) -> anyhow::Result<Engine> {
    match url.split_once(':').map(|(scheme, _)| scheme) {
        Some("postgres" | "postgresql") => Ok(Engine::Postgresql),
        Some("mongodb" | "mongodb+srv") => Ok(Engine::Mongodb),
        Some("redis" | "rediss" | "redis-cluster" | "rediss-cluster") => Ok(Engine::Redis),
        Some("elasticsearch+http" | "elasticsearch+https") => Ok(Engine::Elasticsearch),
        Some("sqlite") => Ok(Engine::Sqlite),
        Some("http" | "https") => Err(Failure::usage(
            "`http` could be anything; for Elasticsearch write `elasticsearch+` in front: `elasticsearch+https://HOST:9200`",
        )),
        _ => Err(Failure::usage(
            "the URL's scheme names no database that Godwit speaks to (MySQL is none of them): `postgres://…`, `mongodb://…`, `mongodb+srv://…`, `redis://…`, `rediss://…`, \
             `redis-cluster://…`, `elasticsearch+http(s)://…` or `sqlite:FILE`",
        )),
    }
}

/// A name for a database that nobody named: its own, or that of its server where databases have no names.
fn target_name(url: &str) -> TargetName {
    let path = url.split(['?', '#']).next().unwrap_or(url).trim_end_matches('/');
    let (scheme, rest) = path.split_once(':').unwrap_or(("", path));
    let rest = rest.trim_start_matches('/');
    let authority = rest.split('/').next().unwrap_or_default();
    // Of several servers, the first; without credentials and port.
    let host = authority.rsplit('@').next().and_then(|hosts| hosts.split(',').next()).unwrap_or_default();
    let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
    let last = match scheme {
        "redis" | "rediss" | "redis-cluster" | "rediss-cluster" | "elasticsearch+http" | "elasticsearch+https" => host,
        _ if path.contains("://") && !rest.contains('/') => host,
        _ => rest.rsplit('/').next().unwrap_or_default(),
    };
    let is_address = !last.is_empty() && last.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let stem = if is_address { "database" } else { last.split_once('.').map_or(last, |(stem, _)| stem) };
    TargetName::new(stem).unwrap_or_else(|_| TargetName::new("database").expect("a plain word is a target name"))
}

/// `KEY=VALUE` lines of `.env` in the working directory; only the command line reads it.
pub(super) fn dot_env() -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(".env").unwrap_or_default();
    text.lines()
        .map(|l| l.trim().strip_prefix("export ").unwrap_or(l.trim()))
        .filter(|l| !l.starts_with('#'))
        .filter_map(|l| l.split_once('='))
        .map(|(k, v)| (k.trim().to_owned(), v.trim().trim_matches(['"', '\'']).to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn databases_are_named_by_themselves_and_never_by_their_passwords() {
        for (url, name) in [
            ("postgres://u:secret@h:5432/shop?sslmode=disable", "shop"),
            ("sqlite:/tmp/a/shop.db", "shop"),
            ("sqlite:shop.db", "shop"),
            ("postgres://u:secret@host", "host"),
            ("postgres:///", "database"),
            ("mongodb://u:secret@a.example.com:27017,b:27018/shop?replicaSet=rs0", "shop"),
            ("redis://:secret@cache.example.com:6379/2", "cache"),
            ("redis-cluster://127.0.0.1:7000,127.0.0.1:7001", "database"),
            ("elasticsearch+https://u:secret@search.example.com:9200/prefix", "search"),
        ] {
            assert_eq!(target_name(url).as_str(), name, "{url}");
        }
    }
}
