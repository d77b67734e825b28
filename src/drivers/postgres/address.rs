//! What a URL asks of the connection. Programs beside Godwit have words of their own for the schema that they work in: one
//! that was passed over would send the migrations somewhere else. Opens nothing.

use sqlx::postgres::PgConnectOptions;
use url::Url;

/// What the driver itself reads.
const READ: [&str; 18] = [
    "application_name",
    "dbname",
    "host",
    "hostaddr",
    "options",
    "password",
    "port",
    "ssl-ca",
    "ssl-cert",
    "ssl-key",
    "ssl-mode",
    "ssl-root-cert",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "statement-cache-capacity",
    "user",
];

/// What other programs ask of their own connections, pools and caches: none of it decides where a migration goes.
const PASSED_OVER: [&str; 70] = [
    // libpq, lib/pq, pgx
    "binary_parameters",
    "channel_binding",
    "client_encoding",
    "connect_timeout",
    "default_query_exec_mode",
    "description_cache_capacity",
    "disable_prepared_binary_result",
    "fallback_application_name",
    "gssdelegation",
    "gssencmode",
    "gsslib",
    "krbsrvname",
    "krbspn",
    "load_balance_hosts",
    "max_protocol_version",
    "min_protocol_version",
    "min_read_buffer_size",
    "passfile",
    "prefer_simple_protocol",
    "require_auth",
    "requirepeer",
    "requiressl",
    "ssl_max_protocol_version",
    "ssl_min_protocol_version",
    "sslcertmode",
    "sslcompression",
    "sslcrl",
    "sslcrldir",
    "sslinline",
    "sslnegotiation",
    "sslpassword",
    "sslsni",
    "standard_conforming_strings",
    "statement_cache_capacity",
    "statement_cache_mode",
    "target_session_attrs",
    "tcp_user_timeout",
    // Godwit's own connections speak UTC and ISO dates.
    "DateStyle",
    "TimeZone",
    "datestyle",
    "timezone",
    // Prisma
    "connection_limit",
    "idle_in_transaction_session_timeout",
    "max_connection_lifetime",
    "max_idle_connection_lifetime",
    "pgbouncer",
    "pool_timeout",
    "single_use_connections",
    "socket_timeout",
    "sslaccept",
    "sslidentity",
    "statement_cache_size",
    // Programs of Ruby, Python and JavaScript
    "async_fallback",
    "checkout_timeout",
    "conn_health_checks",
    "conn_max_age",
    "disable_server_side_cursors",
    "encoding",
    "fetch_types",
    "idle_timeout",
    "max_lifetime",
    "prepare",
    "prepared_statement_cache_size",
    "prepared_statements",
    "reaping_frequency",
    "supa",
    "uselibpqcompat",
    "workaround",
    // Timeouts: a run has those that its own settings say.
    "lock_timeout",
    "statement_timeout",
];

/// The same of JDBC's driver, whose names begin with a small letter and go on with capitals.
const PASSED_OVER_OF_JDBC: [&str; 26] = [
    "ApplicationName",
    "adaptiveFetch",
    "assumeMinServerVersion",
    "autosave",
    "binaryTransfer",
    "cancelSignalTimeout",
    "cleanupSavepoints",
    "connectTimeout",
    "databaseMetadataCacheFields",
    "defaultRowFetchSize",
    "gssEncMode",
    "hideUnprivilegedObjects",
    "loadBalanceHosts",
    "logUnclosedConnections",
    "loggerLevel",
    "loginTimeout",
    "preferQueryMode",
    "prepareThreshold",
    "preparedStatementCacheQueries",
    "preparedStatementCacheSizeMiB",
    "reWriteBatchedInserts",
    "socketTimeout",
    "stringtype",
    "targetServerType",
    "tcpKeepAlive",
    "tcpNoDelay",
];

/// The beginnings of such names; `x-` is golang-migrate's.
const PASSED_OVER_FAMILIES: [&str; 3] = ["keepalives", "pool", "x-"];

/// golang-migrate's table, where it is not this one.
const MIGRATE_TABLE: &str = "schema_migrations";

/// The connection that `url` asks for, in the schema that it names in whichever program's words.
///
/// # Errors
/// What is wrong with it, without its secrets.
pub(crate) fn options_of(url: &str) -> Result<PgConnectOptions, String> {
    let options: PgConnectOptions = url.parse().map_err(|e: sqlx::Error| e.to_string())?;
    let parsed = Url::parse(url).map_err(|e| e.to_string())?;
    Ok(match asked(&parsed)? {
        Some(path) => options.options([("search_path", path)]),
        None => options,
    })
}

/// The `search_path` that a URL asks for beside its `options`.
fn asked(url: &Url) -> Result<Option<String>, String> {
    let mut asked: Option<(String, String)> = None;
    let mut in_options = false;
    for (key, value) in url.query_pairs() {
        let path = match &*key {
            "options" => {
                in_options |= value.to_ascii_lowercase().replace('-', "_").contains("search_path");
                continue;
            }
            "options[search_path]" => {
                in_options = true;
                continue;
            }
            "x-migrations-table" => {
                its_own_table(&value)?;
                continue;
            }
            // One schema, which Prisma takes as it is written.
            "schema" => quoted(&value),
            // A list: that of lib/pq, pgx and dbmate, of JDBC and of Rails.
            "search_path" | "currentSchema" | "schema_search_path" => value.clone().into_owned(),
            name if is_known(name) => continue,
            name => return Err(unknown(name)),
        };
        if value.trim().is_empty() {
            return Err(format!("`{key}` in it names no schema: write its name behind `{key}=`, or leave `{key}` out"));
        }
        match &asked {
            Some((other, before)) if names(before) != names(&path) => {
                return Err(format!("`{other}` and `{key}` in it name different schemas: keep one of them"));
            }
            Some(_) => {}
            None => asked = Some((key.into_owned(), path)),
        }
    }
    match asked {
        Some((key, _)) if in_options => {
            Err(format!("it names its schema by `{key}` and by `search_path` in `options`: keep one of them"))
        }
        asked => Ok(asked.map(|(_, path)| path)),
    }
}

fn is_known(name: &str) -> bool {
    READ.contains(&name)
        || (name.starts_with("options[") && name.ends_with(']'))
        || PASSED_OVER.contains(&name)
        || PASSED_OVER_OF_JDBC.contains(&name)
        || PASSED_OVER_FAMILIES.iter().any(|family| name.starts_with(family))
}

fn its_own_table(table: &str) -> Result<(), String> {
    if table.trim_matches('"') == MIGRATE_TABLE {
        return Ok(());
    }
    Err("`x-migrations-table` in it names a table of golang-migrate, which is not told here: write `table: NAME` into the entry \
         of this folder under `migrations` in `godwit.yml`, and leave `x-migrations-table` out of the URL"
        .to_owned())
}

/// What is said of a parameter that nobody here knows. Its value may be a secret, and so may a name that is none.
fn unknown(name: &str) -> String {
    let is_name = name.len() <= 64 && name.chars().all(|c| c.is_ascii_alphanumeric() || ['_', '-', '.'].contains(&c));
    match name {
        "ssl" => {
            "`ssl` in it is no parameter of PostgreSQL's URLs: write `sslmode=require`, or `sslmode=disable`".to_owned()
        }
        name if is_name && !name.is_empty() => format!(
            "it has a parameter `{name}`, which is not known and would have no effect: leave it out; where it is a setting of \
             the server, write `options[{name}]=VALUE`"
        ),
        _ => "behind its `?` stands something that is no `NAME=VALUE`: write a `?` or `&` of a value as `%3F` or `%26`"
            .to_owned(),
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The schemas of a list, to compare two of them.
fn names(path: &str) -> Vec<String> {
    path.split(',')
        .map(|name| match name.trim().strip_prefix('"').and_then(|n| n.strip_suffix('"')) {
            Some(quoted) => quoted.replace("\"\"", "\""),
            None => name.trim().to_ascii_lowercase(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(query: &str) -> Result<Option<String>, String> {
        let options = options_of(&format!("postgres://ann:hunter2@h/shop?{query}"))?;
        Ok(options.get_options().map(str::to_owned))
    }

    #[test]
    fn a_schema_is_heard_in_every_program_s_words() {
        for (query, options) in [
            ("schema=app", r#"-c search_path="app""#),
            ("schema=My%20App&connection_limit=1", r#"-c search_path="My\ App""#),
            ("schema=a%22b", r#"-c search_path="a""b""#),
            ("search_path=app", "-c search_path=app"),
            ("sslmode=disable&search_path=app%2C%20public", "-c search_path=app,\\ public"),
            ("currentSchema=app,public&stringtype=unspecified", "-c search_path=app,public"),
            ("schema_search_path=app", "-c search_path=app"),
            // The same in two words is no contradiction: a URL may serve two programs.
            ("schema=app&search_path=app", r#"-c search_path="app""#),
            ("options=-c%20lock_timeout%3D1s&search_path=app", "-c lock_timeout=1s -c search_path=app"),
            ("options[search_path]=app", "-c search_path=app"),
        ] {
            assert_eq!(path(query), Ok(Some(options.to_owned())), "{query}");
        }
        for query in ["", "sslmode=disable", "x-migrations-table=schema_migrations&x-statement-timeout=3"] {
            assert_eq!(path(query), Ok(None), "{query}");
        }
    }

    #[test]
    fn schemas_that_contradict_each_other_are_refused() {
        for (query, told) in [
            ("schema=App&search_path=App", "`schema` and `search_path`"),
            ("schema=a&currentSchema=b", "`schema` and `currentSchema`"),
            ("search_path=a&options[search_path]=a", "`search_path` in `options`"),
            ("options=-csearch_path%3Da&schema=b", "`search_path` in `options`"),
            ("options=--search-path%3Da&schema=b", "`search_path` in `options`"),
            ("schema=", "names no schema"),
        ] {
            let error = path(query).expect_err(query);
            assert!(error.contains(told) && !error.contains("hunter2"), "{query}: {error}");
        }
    }

    #[test]
    fn what_has_no_effect_is_passed_over_where_it_is_known_and_refused_where_it_is_not() {
        for query in [
            "connection_limit=5&pool_timeout=3&pgbouncer=true&connect_timeout=10&socket_timeout=5&statement_cache_size=0",
            "sslaccept=strict&sslidentity=a&sslpassword=b",
            "pool_max_conns=4&default_query_exec_mode=exec&binary_parameters=yes&fallback_application_name=x",
            "target_session_attrs=read-write&channel_binding=require&gssencmode=disable&keepalives=1&keepalives_idle=3",
            "x-multi-statement=true&x-statement-timeout=1&x-migrations-table-quoted=1",
            "options[lock_timeout]=1s",
        ] {
            assert!(path(query).is_ok(), "{query}: {:?}", path(query));
        }
        for (query, told) in [
            ("x-migrations-table=app_migrations", "`table: NAME`"),
            ("x-migrations-table=%22app%22.%22schema_migrations%22&x-migrations-table-quoted=1", "`table: NAME`"),
            ("serch_path=app", "`serch_path`"),
            ("role=hunter2", "`options[role]=VALUE`"),
            ("ssl=true", "`sslmode=require`"),
            ("hun%20ter=x", "`NAME=VALUE`"),
        ] {
            let error = path(query).expect_err(query);
            assert!(error.contains(told) && !error.contains("hunter2") && !error.contains("ann"), "{query}: {error}");
        }
    }
}
