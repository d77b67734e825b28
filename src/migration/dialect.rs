//! Databases that Godwit does not speak to, by the names that folders of their migrations have.

/// A database by the name of a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dialect {
    /// What the folder is called.
    folder: &'static str,
    /// The database.
    pub name: &'static str,
    /// Whether nothing else is called so; a service may well be an oracle.
    pub certain: bool,
}

const fn dialect(folder: &'static str, name: &'static str) -> Dialect {
    Dialect { folder, name, certain: true }
}

const ALL: [Dialect; 13] = [
    dialect("bigquery", "BigQuery"),
    dialect("cassandra", "Cassandra"),
    dialect("clickhouse", "ClickHouse"),
    dialect("db2", "Db2"),
    dialect("duckdb", "DuckDB"),
    dialect("mariadb", "MariaDB"),
    dialect("mssql", "SQL Server"),
    dialect("mysql", "MySQL"),
    Dialect { folder: "oracle", name: "Oracle", certain: false },
    dialect("snowflake", "Snowflake"),
    dialect("sqlserver", "SQL Server"),
    dialect("tidb", "TiDB"),
    dialect("vitess", "Vitess"),
];

/// Folders whose names are those of our own engines, in every spelling.
const OURS: [&str; 6] = ["pg", "pgsql", "postgres", "postgresql", "psql", "sqlite"];
/// How many names from the end of a path count: `mysql/migrations`, `mysql/v2`.
const DEPTH: usize = 2;

/// The database that a folder of migrations is named after, itself or by the folder around it.
pub fn of_folder(path: &str) -> Option<Dialect> {
    for (above, part) in path.rsplit('/').take(DEPTH).enumerate() {
        if OURS.iter().any(|name| part.eq_ignore_ascii_case(name)) {
            return None;
        }
        let found = ALL.iter().find(|d| part.eq_ignore_ascii_case(d.folder) && (d.certain || above == 0));
        if found.is_some() {
            return found.copied();
        }
    }
    None
}

/// The part of a path by which [`of_folder`] tells; empty where it tells nothing.
pub(super) fn told_by(path: &str) -> &str {
    if of_folder(path).is_none() {
        return "";
    }
    let mut slashes = path.rmatch_indices('/').map(|(at, _)| at + 1);
    slashes.nth(DEPTH - 1).map_or(path, |at| &path[at..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s2_133_a_folder_is_known_by_its_name_or_the_one_around_it() {
        for (path, expected) in [
            ("migrations/mysql", Some("MySQL")),
            ("db/MySQL/migrations", Some("MySQL")),
            ("clickhouse/v2", Some("ClickHouse")),
            ("mariadb", Some("MariaDB")),
            ("migrations/oracle", Some("Oracle")),
            ("oracle/migrations", None),
            ("mysql/postgres", None),
            ("mysql/a/migrations", None),
            ("migrations/mysql_to_postgres", None),
            ("migrations", None),
            ("", None),
        ] {
            assert_eq!(of_folder(path).map(|d| d.name), expected, "{path}");
        }
        assert_eq!(
            (told_by("a/b/mysql/migrations"), told_by("mysql"), told_by("a/b")),
            ("mysql/migrations", "mysql", "")
        );
    }
}
