//! Finding and starting PostgreSQL's own programs. Passwords travel in the child's environment, never in its arguments.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::thread::JoinHandle;

use percent_encoding::percent_decode_str;
use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use crate::backup::BackupError;
use crate::drivers::postgres::options_of;

/// `pg_dump` and the `psql` beside it, of one version.
#[derive(Debug, Clone)]
pub(super) struct Programs {
    dir: Option<PathBuf>,
}

impl Programs {
    /// Finds programs of this major version of the server, or newer: on the PATH, and where Debian, Red Hat, Homebrew and
    /// Postgres.app put them.
    pub(super) fn find(server: u32) -> Result<Self, BackupError> {
        let mut seen: Vec<u32> = Vec::new();
        let mut candidates: Vec<Option<PathBuf>> = vec![None];
        candidates.extend(usual_places().into_iter().map(Some));
        for dir in candidates {
            let this = Self { dir };
            let Some(major) = this.major() else { continue };
            if major >= server {
                return Ok(this);
            }
            seen.push(major);
        }
        let found = match seen.iter().max() {
            Some(newest) => format!("`pg_dump` {newest} is too old for a PostgreSQL {server} server"),
            None => "`pg_dump` is not installed on this machine".to_owned(),
        };
        Err(BackupError::Usage(format!(
            "{found}: install the client programs of PostgreSQL {server} or newer (Debian and Ubuntu: `apt install \
             postgresql-client-{server}`; Fedora: `dnf install postgresql`; macOS: `brew install libpq`), or put them on the PATH"
        )))
    }

    fn program(&self, name: &str) -> PathBuf {
        self.dir.as_ref().map_or_else(|| PathBuf::from(name), |dir| dir.join(name))
    }

    /// The major version of `pg_dump` here, if it and `psql` run.
    fn major(&self) -> Option<u32> {
        if self.dir.as_ref().is_some_and(|dir| !dir.join("pg_dump").is_file()) {
            return None;
        }
        let version = |name: &str| {
            let output = Command::new(self.program(name)).arg("--version").output().ok()?;
            major_of(&String::from_utf8_lossy(&output.stdout))
        };
        let dump = version("pg_dump")?;
        (version("psql")? >= dump).then_some(dump)
    }

    /// `pg_dump` of a database to its standard output.
    pub(super) fn dump(&self, url: &SecretString) -> Result<Command, BackupError> {
        let mut command = Command::new(self.program("pg_dump"));
        command.args(["--format=plain", "--encoding=UTF8", "--no-password", "--quote-all-identifiers"]);
        environment(&mut command, url)?;
        Ok(command)
    }

    /// `psql` that takes a script from its standard input and stops at the first error.
    pub(super) fn restore(&self, url: &SecretString) -> Result<Command, BackupError> {
        let mut command = Command::new(self.program("psql"));
        command.args(["--no-psqlrc", "--quiet", "--no-password", "--set=ON_ERROR_STOP=1", "--file=-"]);
        environment(&mut command, url)?;
        Ok(command)
    }
}

/// `pg_dump (PostgreSQL) 15.8 (Debian 15.8-0+deb12u1)` → 15.
fn major_of(said: &str) -> Option<u32> {
    let number = said.split_once("(PostgreSQL)")?.1.trim_start();
    let digits: String = number.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

fn usual_places() -> Vec<PathBuf> {
    let mut places = Vec::new();
    for (root, tail) in
        [("/usr/lib/postgresql", "bin"), ("/Applications/Postgres.app/Contents/Versions", "bin"), ("/usr/pgsql", "bin")]
    {
        let Ok(entries) = std::fs::read_dir(root) else { continue };
        let mut dirs: Vec<PathBuf> = entries.filter_map(|e| Some(e.ok()?.path().join(tail))).collect();
        // Newest first.
        dirs.sort();
        dirs.reverse();
        places.extend(dirs);
    }
    for version in (13..=25).rev() {
        places.push(PathBuf::from(format!("/usr/pgsql-{version}/bin")));
        for brew in ["/opt/homebrew/opt", "/usr/local/opt"] {
            places.push(Path::new(brew).join(format!("postgresql@{version}/bin")));
        }
    }
    for brew in ["/opt/homebrew/opt/libpq/bin", "/usr/local/opt/libpq/bin", "/usr/local/pgsql/bin"] {
        places.push(PathBuf::from(brew));
    }
    places
}

fn parsed(url: &SecretString) -> Result<Url, BackupError> {
    Url::parse(url.expose_secret()).map_err(|e| BackupError::Usage(format!("the database's URL is wrong: {e}")))
}

fn decoded(part: &str) -> String {
    percent_decode_str(part).decode_utf8_lossy().into_owned()
}

/// Where a server is, for people.
pub(super) fn place(url: &SecretString) -> Result<String, BackupError> {
    let url = parsed(url)?;
    let host = url.host_str().filter(|h| !h.is_empty()).map_or_else(|| "this machine".to_owned(), decoded);
    Ok(format!("{host}{}", url.port().map_or_else(String::new, |p| format!(":{p}"))))
}

/// The same server, another database.
pub(super) fn with_database(url: &SecretString, name: &str) -> Result<SecretString, BackupError> {
    parsed(url)?;
    Ok(SecretString::from(crate::drivers::scratch::with_database(url.expose_secret(), name)))
}

/// How libpq reads each part of a URL's query.
const PARAMETERS: [(&str, &str); 14] = [
    ("host", "PGHOST"),
    ("hostaddr", "PGHOSTADDR"),
    ("port", "PGPORT"),
    ("user", "PGUSER"),
    ("password", "PGPASSWORD"),
    ("dbname", "PGDATABASE"),
    ("sslmode", "PGSSLMODE"),
    ("ssl-mode", "PGSSLMODE"),
    ("sslrootcert", "PGSSLROOTCERT"),
    ("ssl-root-cert", "PGSSLROOTCERT"),
    ("sslcert", "PGSSLCERT"),
    ("ssl-cert", "PGSSLCERT"),
    ("sslkey", "PGSSLKEY"),
    ("ssl-key", "PGSSLKEY"),
];

/// Says the connection in the child's environment, where `ps` does not show it.
fn environment(command: &mut Command, url: &SecretString) -> Result<(), BackupError> {
    let options =
        options_of(url.expose_secret()).map_err(|e| BackupError::Usage(format!("the database's URL is wrong: {e}")))?;
    let url = parsed(url)?;
    let mut set = |name: &str, value: String| {
        if !value.is_empty() {
            command.env(name, value);
        }
    };
    set("PGHOST", url.host_str().map(|h| decoded(h).trim_matches(['[', ']']).to_owned()).unwrap_or_default());
    set("PGPORT", url.port().map(|p| p.to_string()).unwrap_or_default());
    set("PGUSER", decoded(url.username()));
    set("PGPASSWORD", url.password().map(decoded).unwrap_or_default());
    set("PGDATABASE", decoded(url.path().trim_start_matches('/')));
    for (key, value) in url.query_pairs() {
        if let Some((_, name)) = PARAMETERS.iter().find(|(k, _)| *k == key) {
            set(name, value.into_owned());
        }
    }
    // The schema too, in whichever words the URL names it.
    set("PGOPTIONS", options.get_options().unwrap_or_default().to_owned());
    // Its messages are read by people who know the server's words in English.
    command.env("LC_MESSAGES", "C").env("PGAPPNAME", "godwit backup").env("PGCONNECT_TIMEOUT", "15");
    // A file of a person's own does not decide how a backup goes.
    command.env_remove("PGSERVICE").env_remove("PSQLRC");
    Ok(())
}

/// Starts a child.
pub(super) fn start(command: &mut Command) -> Result<Child, BackupError> {
    let name = command.get_program().to_string_lossy().into_owned();
    command.spawn().map_err(|e| BackupError::Failed(format!("cannot start `{name}`: {e}")))
}

/// Waits for a child: its own words are the error, unless ours came first.
pub(super) fn end(
    mut child: Child,
    talk: JoinHandle<String>,
    name: &str,
    ours: Result<(), BackupError>,
) -> Result<(), BackupError> {
    let status = child.wait().map_err(|e| BackupError::Failed(format!("cannot wait for `{name}`: {e}")))?;
    let said = talk.join().unwrap_or_default();
    ours?;
    if status.success() {
        return Ok(());
    }
    let said = said.trim();
    Err(BackupError::Failed(format!(
        "`{name}` failed ({status}): {}",
        if said.is_empty() { "it says nothing" } else { said }
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_and_urls_are_read() {
        assert_eq!(major_of("pg_dump (PostgreSQL) 15.8 (Debian 15.8-0+deb12u1)"), Some(15));
        assert_eq!(major_of("pg_dump (PostgreSQL) 18devel"), Some(18));
        assert_eq!(major_of("something else"), None);
        let said = Programs::find(999).unwrap_err().to_string();
        assert!(said.contains("install the client programs of PostgreSQL 999"), "{said}");
        let url = SecretString::from("postgres://ann:p%40ss@db.example:5433/shop?sslmode=require&dbname=x&schema=app");
        assert_eq!(place(&url).unwrap(), "db.example:5433");
        let other = with_database(&url, "scratch").unwrap();
        assert_eq!(other.expose_secret(), "postgres://ann:p%40ss@db.example:5433/scratch?sslmode=require&schema=app");
        let mut command = Command::new("true");
        environment(&mut command, &url).unwrap();
        let set: Vec<String> = command
            .get_envs()
            .filter_map(|(k, v)| Some(format!("{}={}", k.to_string_lossy(), v?.to_string_lossy())))
            .collect();
        for expected in [
            "PGHOST=db.example",
            "PGPORT=5433",
            "PGUSER=ann",
            "PGPASSWORD=p@ss",
            "PGSSLMODE=require",
            "PGOPTIONS=-c search_path=\"app\"",
        ] {
            assert!(set.contains(&expected.to_owned()), "{expected} in {set:?}");
        }
        assert_eq!(command.get_args().count(), 0);
    }
}
