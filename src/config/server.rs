//! The server's settings: every flag is also a variable (INTERFACE 5), secrets may stand in files, and nothing is looked up
//! anywhere else.

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, ValueEnum};
use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use super::urls::{AllowedUrls, InvalidAllowedUrls};
use crate::github::webhook::WebhookSecrets;
use crate::ids::{EnvironmentName, RepoName};
use crate::redact;

/// What this process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// Answers GitHub and works
    All,
    /// Answers GitHub only; another process works
    Web,
    /// Works only; another process answers GitHub
    Worker,
}

/// The flags of `serve`; each is also a variable.
#[derive(Debug, Clone, Args)]
pub struct ServerArgs {
    /// Address to listen on; port 0 takes a free one
    #[arg(long, env = "GODWIT_LISTEN", value_name = "ADDR", default_value = "127.0.0.1:8892")]
    pub listen: SocketAddr,
    /// Answer GitHub, work, or both
    #[arg(long, env = "GODWIT_ROLE", value_name = "ROLE", default_value = "all")]
    pub role: Role,
    /// Region whose targets this worker works on, and no others; with `--role worker`
    #[arg(long, env = "GODWIT_REGION", value_name = "NAME")]
    pub region: Option<String>,
    /// Git mirrors and generated keys (default: the platform's state directory)
    #[arg(long, env = "GODWIT_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Where people reach this server, for links in comments
    #[arg(long, env = "GODWIT_PUBLIC_URL", value_name = "URL")]
    pub public_url: Option<Url>,
    /// The webhook's secret; two, separated by a comma, while one replaces the other
    #[arg(long, env = "GODWIT_WEBHOOK_SECRET", hide_env_values = true, value_name = "SECRET[,SECRET]")]
    pub webhook_secret: Option<String>,
    /// File with the webhook's secret
    #[arg(long, env = "GODWIT_WEBHOOK_SECRET_FILE", value_name = "FILE", conflicts_with = "webhook_secret")]
    pub webhook_secret_file: Option<PathBuf>,
    /// GitHub's REST API; `https://HOST/api/v3` for GitHub Enterprise Server
    #[arg(long, env = "GODWIT_GITHUB_API_URL", value_name = "URL", default_value = "https://api.github.com")]
    pub github_api_url: Url,
    /// The App's id
    #[arg(long, env = "GODWIT_GITHUB_APP_ID", value_name = "ID")]
    pub github_app_id: Option<u64>,
    /// The App's private key, PEM
    #[arg(long, env = "GODWIT_GITHUB_PRIVATE_KEY", hide_env_values = true, value_name = "PEM")]
    pub github_private_key: Option<String>,
    /// File with the App's private key
    #[arg(long, env = "GODWIT_GITHUB_PRIVATE_KEY_FILE", value_name = "FILE", conflicts_with = "github_private_key")]
    pub github_private_key_file: Option<PathBuf>,
    /// Client id for signing in with GitHub
    #[arg(long, env = "GODWIT_GITHUB_CLIENT_ID", value_name = "ID")]
    pub github_client_id: Option<String>,
    /// Client secret for signing in with GitHub
    #[arg(long, env = "GODWIT_GITHUB_CLIENT_SECRET", hide_env_values = true, value_name = "SECRET")]
    pub github_client_secret: Option<String>,
    /// Token for the command line and the API
    #[arg(long, env = "GODWIT_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    pub token: Option<String>,
    /// Which variables which repository and environment may use: `owner/repo:environment=VAR,VAR;…`, `*` for any
    #[arg(long, env = "GODWIT_SECRET_VARS", value_name = "RULES")]
    pub secret_vars: Option<String>,
    /// Which addresses which repository and environment may ask around a run: `owner/repo:environment=https://HOST/PATH,…;…`, `*` for any
    #[arg(long, env = "GODWIT_ALLOWED_URLS", value_name = "RULES")]
    pub allowed_urls: Option<String>,
    /// Seconds between passes that repair missed webhooks
    #[arg(long, env = "GODWIT_SWEEP_INTERVAL", value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..))]
    pub sweep_interval: u64,
    /// Seconds after which the work of a worker that died is taken over
    #[arg(long, env = "GODWIT_LEASE", value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub lease: u64,
}

/// How to act as the App.
#[derive(Debug, Clone)]
pub struct AppCredentials {
    /// The App's id.
    pub id: u64,
    /// Its private key, PEM.
    pub private_key: SecretString,
    /// The file it was read from, which may be replaced while the server runs.
    pub private_key_file: Option<PathBuf>,
}

/// The settings, checked.
#[derive(Debug, Clone)]
pub struct ServerSettings {
    /// Where to listen.
    pub listen: SocketAddr,
    /// What to do.
    pub role: Role,
    /// The region, if named.
    pub region: Option<String>,
    /// Where people reach this server.
    pub public_url: Option<Url>,
    /// What deliveries are signed with; `None` where none are taken.
    pub webhook_secrets: Option<WebhookSecrets>,
    /// The file they were read from, which may be replaced while the server runs.
    pub webhook_secret_file: Option<PathBuf>,
    /// The REST API.
    pub github_api_url: Url,
    /// The App; without it deliveries are stored but nothing is worked on.
    pub app: Option<AppCredentials>,
    /// Which variables configuration files may name.
    pub secret_vars: SecretVars,
    /// Which addresses configuration files may name.
    pub allowed_urls: AllowedUrls,
    /// Time between passes that repair missed webhooks.
    pub sweep_interval: Duration,
    /// Time after which the work of a worker that died is taken over.
    pub lease: Duration,
}

/// Why the server does not start; says which variable to set.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// Without a secret anybody could send deliveries.
    #[error(
        "no webhook secret: set `GODWIT_WEBHOOK_SECRET` (or `GODWIT_WEBHOOK_SECRET_FILE`) to the secret of the App's webhook"
    )]
    NoWebhookSecret,
    /// A region is a matter of workers.
    #[error(
        "`--region {0}` is for `--role worker`: a worker of a region does the work of its targets and nothing else"
    )]
    RegionOfNoWorker(String),
    /// A region without a name.
    #[error("`--region` needs a name, as the targets in `environments.yml` have it")]
    NoRegion,
    /// The list of webhook secrets is no such list.
    #[error("`GODWIT_WEBHOOK_SECRET` is one secret, or two separated by a comma: {0}")]
    WebhookSecret(crate::github::webhook::InvalidSecrets),
    /// One half of the App's credentials.
    #[error(
        "`{0}` is missing: the App needs both `GODWIT_GITHUB_APP_ID` and `GODWIT_GITHUB_PRIVATE_KEY` (or `…_FILE`)"
    )]
    HalfAnApp(&'static str),
    /// The rules for variables cannot be read.
    #[error(transparent)]
    SecretVars(#[from] InvalidSecretVars),
    /// The rules for addresses cannot be read.
    #[error(transparent)]
    AllowedUrls(#[from] InvalidAllowedUrls),
    /// A URL of another kind.
    #[error("`{variable}` is not an `http://` or `https://` address")]
    NotHttp {
        /// The variable.
        variable: &'static str,
    },
    /// A file with a secret cannot be read.
    #[error("cannot read `{}`, named by `{variable}`", file.display())]
    File {
        /// The variable.
        variable: &'static str,
        /// The file.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl Role {
    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::All => "all",
            Role::Web => "web",
            Role::Worker => "worker",
        }
    }
}

impl ServerArgs {
    /// Checks the flags and reads the files they name. Every secret found is remembered for [`crate::redact`].
    ///
    /// # Errors
    /// Which variable is missing or wrong.
    pub fn settings(self) -> Result<ServerSettings, SettingsError> {
        match (&self.region, self.role) {
            (Some(region), _) if region.trim().is_empty() => return Err(SettingsError::NoRegion),
            (Some(region), Role::All | Role::Web) => return Err(SettingsError::RegionOfNoWorker(region.clone())),
            (Some(_), Role::Worker) | (None, _) => {}
        }
        let webhook = secret("GODWIT_WEBHOOK_SECRET_FILE", self.webhook_secret, self.webhook_secret_file.as_deref())?;
        let webhook_secrets = match (webhook, self.role) {
            (_, Role::Worker) => None,
            (None, Role::All | Role::Web) => return Err(SettingsError::NoWebhookSecret),
            (Some(webhook), Role::All | Role::Web) => {
                Some(WebhookSecrets::parse(&webhook).map_err(|error| match error {
                    crate::github::webhook::InvalidSecrets::None => SettingsError::NoWebhookSecret,
                    error => SettingsError::WebhookSecret(error),
                })?)
            }
        };
        let key =
            secret("GODWIT_GITHUB_PRIVATE_KEY_FILE", self.github_private_key, self.github_private_key_file.as_deref())?;
        let app = match (self.github_app_id, key) {
            (Some(id), Some(private_key)) => {
                Some(AppCredentials { id, private_key, private_key_file: self.github_private_key_file })
            }
            (None, None) => None,
            (Some(_), None) => return Err(SettingsError::HalfAnApp("GODWIT_GITHUB_PRIVATE_KEY")),
            (None, Some(_)) => return Err(SettingsError::HalfAnApp("GODWIT_GITHUB_APP_ID")),
        };
        for known in [&self.github_client_secret, &self.token].into_iter().flatten() {
            redact::register(known);
        }
        for (variable, url) in
            [("GODWIT_GITHUB_API_URL", Some(&self.github_api_url)), ("GODWIT_PUBLIC_URL", self.public_url.as_ref())]
        {
            if url.is_some_and(|u| !matches!(u.scheme(), "http" | "https")) {
                return Err(SettingsError::NotHttp { variable });
            }
        }
        Ok(ServerSettings {
            listen: self.listen,
            role: self.role,
            region: self.region,
            public_url: self.public_url,
            webhook_secrets,
            webhook_secret_file: self.webhook_secret_file,
            github_api_url: self.github_api_url,
            app,
            allowed_urls: self.allowed_urls.as_deref().unwrap_or("").parse()?,
            secret_vars: self.secret_vars.as_deref().unwrap_or("").parse()?,
            sweep_interval: Duration::from_secs(self.sweep_interval),
            lease: Duration::from_secs(self.lease),
        })
    }
}

/// A secret given as a value or in a file; `None` when neither is there or it is empty.
///
/// # Errors
/// When the file cannot be read.
pub fn secret(
    variable: &'static str,
    value: Option<String>,
    file: Option<&Path>,
) -> Result<Option<SecretString>, SettingsError> {
    let text = match (value, file) {
        (Some(value), _) => value,
        (None, Some(file)) => std::fs::read_to_string(file).map_err(|source| SettingsError::File {
            variable,
            file: file.to_path_buf(),
            source,
        })?,
        (None, None) => return Ok(None),
    };
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    redact::register(text);
    // A key in PEM is printed line by line, if it is.
    for line in text.lines().map(str::trim).filter(|l| l.len() >= 32) {
        redact::register(line);
    }
    Ok(Some(SecretString::from(text)))
}

/// Which variables of the server's own environment a repository's configuration may name (INTERFACE 3). None, unless the
/// operator says so.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SecretVars(Vec<Rule>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    /// `None`: any.
    repo: Option<RepoName>,
    /// `None`: any.
    environment: Option<EnvironmentName>,
    names: BTreeSet<String>,
}

/// Why a text is no list of rules.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`GODWIT_SECRET_VARS`: `{part}`: {problem}; write `owner/repo:environment=VAR,VAR;…`, with `*` for any repository or environment"
)]
pub struct InvalidSecretVars {
    /// The rule.
    pub part: String,
    /// What is wrong with it.
    pub problem: String,
}

impl FromStr for SecretVars {
    type Err = InvalidSecretVars;

    fn from_str(text: &str) -> Result<Self, InvalidSecretVars> {
        text.split([';', '\n'])
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .map(rule)
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

fn rule(part: &str) -> Result<Rule, InvalidSecretVars> {
    let wrong = |problem: String| InvalidSecretVars { part: part.to_owned(), problem };
    let (place, names) = part.split_once('=').ok_or_else(|| wrong("there is no `=`".into()))?;
    let (repo, environment) = place.trim().split_once(':').ok_or_else(|| wrong("there is no `:`".into()))?;
    let names: BTreeSet<String> =
        names.split(',').map(str::trim).filter(|n| !n.is_empty()).map(str::to_owned).collect();
    if names.is_empty() {
        return Err(wrong("it names no variable".into()));
    }
    let is_name = |n: &str| {
        !n.starts_with(|c: char| c.is_ascii_digit()) && n.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    };
    if let Some(bad) = names.iter().find(|n| !is_name(n)) {
        return Err(wrong(format!("`{bad}` is not the name of a variable")));
    }
    Ok(Rule { repo: any_or(repo, &wrong)?, environment: any_or(environment, &wrong)?, names })
}

fn any_or<T: FromStr>(text: &str, wrong: &dyn Fn(String) -> InvalidSecretVars) -> Result<Option<T>, InvalidSecretVars>
where
    T::Err: fmt::Display,
{
    match text.trim() {
        "*" => Ok(None),
        text => text.parse().map(Some).map_err(|e: T::Err| wrong(e.to_string())),
    }
}

impl SecretVars {
    /// Whether `repo` may use `variable` in `environment`.
    pub fn allows(&self, repo: &RepoName, environment: &EnvironmentName, variable: &str) -> bool {
        self.0.iter().any(|rule| {
            // GitHub does not tell repositories apart by case.
            rule.repo.as_ref().is_none_or(|r| r.as_str().eq_ignore_ascii_case(repo.as_str()))
                && rule.environment.as_ref().is_none_or(|e| e == environment)
                && rule.names.contains(variable)
        })
    }

    /// The value of `variable` for `repo` in `environment`, where the rules allow it: the variable itself, else the contents
    /// of the file that `VARIABLE_FILE` names. `read` looks into the server's environment.
    pub fn look_up(
        &self,
        repo: &RepoName,
        environment: &EnvironmentName,
        variable: &str,
        read: &dyn Fn(&str) -> Option<String>,
    ) -> Option<SecretString> {
        if !self.allows(repo, environment, variable) {
            return None;
        }
        let value = read(variable).or_else(|| {
            let file = read(&format!("{variable}_FILE"))?;
            std::fs::read_to_string(file).ok().map(|text| text.trim_end_matches(['\r', '\n']).to_owned())
        })?;
        redact::register(&value);
        redact::register_url(&value);
        Some(SecretString::from(value))
    }
}

/// The secret's text, for the one place that hands it on.
pub fn expose(secret: &SecretString) -> &str {
    secret.expose_secret()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        server: ServerArgs,
    }

    fn settings(flags: &[&str]) -> Result<ServerSettings, SettingsError> {
        let line = std::iter::once("serve").chain(flags.iter().copied());
        Line::try_parse_from(line).map(|l| l.server).map_err(|e| panic!("{e}")).and_then(ServerArgs::settings)
    }

    fn place(repo: &str, environment: &str) -> (RepoName, EnvironmentName) {
        (RepoName::new(repo).unwrap(), EnvironmentName::new(environment).unwrap())
    }

    #[test]
    fn b7_without_a_webhook_secret_there_are_no_settings() {
        for flags in [&[][..], &["--webhook-secret", ""], &["--webhook-secret", " , "]] {
            let error = settings(flags).unwrap_err();
            assert!(matches!(error, SettingsError::NoWebhookSecret), "{error}");
            assert!(error.to_string().contains("GODWIT_WEBHOOK_SECRET"));
        }
        assert!(settings(&["--webhook-secret", "a,b,c"]).is_err());
    }

    #[test]
    fn a_worker_takes_no_deliveries_and_alone_has_a_region() {
        assert!(settings(&["--role", "worker"]).unwrap().webhook_secrets.is_none());
        assert!(matches!(settings(&["--role", "web"]).unwrap_err(), SettingsError::NoWebhookSecret));
        let flags = ["--role", "worker", "--region", "eu-west"];
        assert_eq!(settings(&flags).unwrap().region.as_deref(), Some("eu-west"));
        for role in ["all", "web"] {
            let error = settings(&["--webhook-secret", "x", "--role", role, "--region", "eu-west"]).unwrap_err();
            assert!(error.to_string().contains("--role worker"), "{error}");
        }
        assert!(matches!(settings(&["--role", "worker", "--region", " "]).unwrap_err(), SettingsError::NoRegion));
    }

    #[test]
    fn secrets_may_stand_in_files() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "from-a-file\n").unwrap();
        let path = file.path().to_str().unwrap();
        let settings =
            settings(&["--webhook-secret-file", path, "--github-app-id", "7", "--github-private-key-file", path])
                .unwrap();
        assert_eq!(expose(&settings.app.unwrap().private_key), "from-a-file");
        assert_eq!(redact::text("it is from-a-file."), "it is ****.");
    }

    #[test]
    fn half_an_app_is_refused_with_the_missing_half() {
        let error = settings(&["--webhook-secret", "x", "--github-app-id", "7"]).unwrap_err().to_string();
        assert!(error.starts_with("`GODWIT_GITHUB_PRIVATE_KEY` is missing"), "{error}");
    }

    #[test]
    fn every_flag_has_its_variable() {
        use clap::CommandFactory as _;
        for argument in Line::command().get_arguments().filter(|a| a.get_id() != "help") {
            let flag = argument.get_long().unwrap();
            let variable = format!("GODWIT_{}", flag.replace('-', "_").to_uppercase());
            assert_eq!(argument.get_env().map(|e| e.to_string_lossy().into_owned()), Some(variable));
        }
    }

    #[test]
    fn variables_are_allowed_per_repository_and_environment() {
        let vars: SecretVars =
            "o/r:production=PROD_URL, PROD_PASSWORD; *:staging=STAGE_URL;o/r:*=ANY_URL;".parse().unwrap();
        for (repo, environment, variable, expected) in [
            ("o/r", "production", "PROD_URL", true),
            ("O/R", "production", "PROD_PASSWORD", true),
            ("o/r", "staging", "PROD_URL", false),
            ("o/other", "production", "PROD_URL", false),
            ("o/other", "staging", "STAGE_URL", true),
            ("o/r", "anything", "ANY_URL", true),
            ("o/other", "anything", "ANY_URL", false),
            ("o/r", "production", "PROD", false),
            ("o/r", "production", "*", false),
        ] {
            let (repo, environment) = place(repo, environment);
            assert_eq!(vars.allows(&repo, &environment, variable), expected, "{repo} {environment} {variable}");
        }
        let (repo, environment) = place("o/r", "production");
        assert!(!SecretVars::default().allows(&repo, &environment, "PROD_URL"));
        let read = |name: &str| (name == "PROD_URL").then(|| "postgres://u:looked-up@h/d".to_owned());
        assert!(vars.look_up(&repo, &environment, "PROD_URL", &read).is_some());
        assert!(vars.look_up(&repo, &environment, "PATH", &|_| Some("x".into())).is_none());
        assert_eq!(redact::text("looked-up"), "****");
    }

    #[test]
    fn wrong_rules_say_which_and_why() {
        for (text, problem) in [
            ("o/r:production", "no `=`"),
            ("o/r=X", "no `:`"),
            ("o/r:production=", "names no variable"),
            ("o/r:production=A B", "`A B` is not the name"),
            ("nowhere:production=A", "repository name"),
            ("o/r:pro/d=A", "environment name"),
        ] {
            let error = text.parse::<SecretVars>().unwrap_err().to_string();
            assert!(error.contains(problem) && error.contains(text), "{error}");
        }
    }
}
