//! What a target's URL must look like, per engine; nothing is connected to.

use crate::ids::Engine;

/// Whether the driver of `engine` can read `url`.
///
/// # Errors
/// What is wrong with it, without its password.
pub fn check_url(engine: Engine, url: &str) -> Result<(), String> {
    if crate::redact::is_cut_short(url) {
        return Err(
            "its password holds a character that ends it: write `/`, `?` and `#` as `%2F`, `%3F` and `%23`".to_owned()
        );
    }
    if engine == Engine::Postgresql && !url.contains("://") {
        return Err("it has no `//` behind its scheme: write `postgres://HOST/DATABASE`".to_owned());
    }
    match engine {
        #[cfg(feature = "postgres")]
        Engine::Postgresql => super::postgres::options_of(url).map(|_| ()),
        #[cfg(not(feature = "postgres"))]
        Engine::Postgresql => Ok(()),
        Engine::Sqlite => super::sqlite::file_of(url).map(|_| ()).map_err(|e| e.to_string()),
        Engine::Mongodb => mongodb(url),
        #[cfg(feature = "redis")]
        Engine::Redis => super::redis::check_url(url),
        #[cfg(not(feature = "redis"))]
        Engine::Redis => Ok(()),
        #[cfg(feature = "elasticsearch")]
        Engine::Elasticsearch => super::elasticsearch::check_url(url),
        #[cfg(not(feature = "elasticsearch"))]
        Engine::Elasticsearch => Ok(()),
    }
}

/// `mongodb://HOST[,HOST]/DATABASE?…`: a migration's collections are in one database.
fn mongodb(url: &str) -> Result<(), String> {
    #[cfg(feature = "mongodb")]
    let database = mongodb::options::ConnectionString::parse(url).map_err(|e| e.kind.to_string())?.default_database;
    #[cfg(not(feature = "mongodb"))]
    let database = {
        let rest = url.split_once("://").map_or("", |(_, rest)| rest);
        rest.split_once('/').map(|(_, path)| path.split('?').next().unwrap_or_default().to_owned())
    };
    if database.is_none_or(|name| name.is_empty()) {
        return Err("it names no database; write its name behind the host: `mongodb://HOST:27017/NAME`".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_that_a_driver_can_read_pass() {
        for (engine, url) in [
            (Engine::Mongodb, "mongodb://u:p%40@a:27017,b:27018/shop?replicaSet=rs0"),
            (Engine::Mongodb, "mongodb+srv://cluster.example.com/shop"),
            (Engine::Redis, "redis://:p@h:6379/2"),
            (Engine::Redis, "rediss://u:p@h"),
            (Engine::Redis, "redis-cluster://u:p@a:7000,b:7001,[::1]:7002"),
            (Engine::Redis, "rediss-cluster://a:7000?namespace=shop"),
            (Engine::Elasticsearch, "elasticsearch+https://u:p@h:9200/prefix"),
            (Engine::Elasticsearch, "elasticsearch+http://127.0.0.1:9200"),
            (Engine::Sqlite, "sqlite:shop.db"),
        ] {
            assert_eq!(check_url(engine, url), Ok(()), "{url}");
        }
    }

    #[test]
    fn slips_are_told_with_the_form_that_works_and_without_the_password() {
        for (engine, url, part) in [
            (Engine::Mongodb, "mongodb://h:27017/", "names no database"),
            (Engine::Mongodb, "mongodb://u:hun?hunter2@h/a", "`%3F`"),
            (Engine::Redis, "redis://u:hun/hunter2@h", "`%2F`"),
            (Engine::Postgresql, "postgres://u:hun#hunter2@h/a", "`%23`"),
            (Engine::Postgresql, "postgres:u:hunter2@h/a", "has no `//`"),
            (Engine::Postgresql, "postgres://u:hunter2@h/a?schema=a&search_path=b", "different schemas"),
            (Engine::Mongodb, "mongodb://u:hunter2@h:27017/?replicaSet=rs0", "names no database"),
            (Engine::Mongodb, "mongodb://h:27017/a b", "database name"),
            (Engine::Sqlite, "sqlite:", "names its file"),
            (Engine::Sqlite, "sqlite::memory:", "names its file"),
            (Engine::Redis, "redis://h:x/0", "port"),
            (Engine::Redis, "redis://h/shop", "not the number of a database"),
            (Engine::Redis, "redis:///0", "names no host"),
            (Engine::Redis, "redis-cluster://u:hunter2@a:7000,b:seven", "`b:seven`"),
            (Engine::Elasticsearch, "elasticsearch+ftp://h", "elasticsearch+https://HOST"),
            (Engine::Elasticsearch, "elasticsearch+http://u:hunter2@h:99999", "port"),
        ] {
            let error = check_url(engine, url).expect_err(url);
            assert!(error.contains(part) && !error.contains("hunter2"), "{url}: {error}");
            assert!(!error.contains("labels"), "{url}: {error}");
        }
    }
}
