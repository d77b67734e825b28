//! The same small migrations in every layout, and the words in which each tool's own table tells of them.

use crate::support::{Database, Kind};

/// One layout.
pub struct Case {
    pub name: &'static str,
    /// Files of the `n`-th migration: path and text, `$n` for its number, `$up` and `$down` for its statements.
    files: &'static [(&'static str, &'static str)],
    /// The tool's table; nothing where the layout has none.
    pub table: &'static str,
    /// What to read of a row, in order.
    key: &'static str,
    /// What it reads for the `n`-th.
    reads: &'static str,
}

pub const CASES: &[Case] = &[
    Case {
        name: "flyway",
        files: &[("V$n__t$n.sql", "$up"), ("U$n__t$n.sql", "$down")],
        table: "flyway_schema_history",
        key: "version || ' ' || description || ' ' || type || ' ' || script",
        reads: "$n t$n SQL V$n__t$n.sql",
    },
    Case {
        name: "goose",
        files: &[("0000$n_t$n.sql", "-- +goose Up\n$up\n-- +goose Down\n$down\n")],
        table: "goose_db_version",
        key: "nullif(cast(version_id as text), '0')",
        reads: "$n",
    },
    Case {
        name: "sql-migrate",
        files: &[("$n-t$n.sql", "-- +migrate Up\n$up\n-- +migrate Down\n$down\n")],
        table: "gorp_migrations",
        key: "id",
        reads: "$n-t$n.sql",
    },
    Case {
        name: "dbmate",
        files: &[("2024010$n000000_t$n.sql", "-- migrate:up\n$up\n\n-- migrate:down\n$down\n")],
        table: "schema_migrations",
        key: "version",
        reads: "2024010$n000000",
    },
    Case {
        name: "prisma",
        files: &[
            ("prisma/migrations/2024010$n000000_t$n/migration.sql", "$up"),
            ("prisma/migrations/2024010$n000000_t$n/down.sql", "$down"),
        ],
        table: "_prisma_migrations",
        key: "case when finished_at is not null and applied_steps_count = 1 and length(checksum) = 64 and length(id) = 36 then migration_name end",
        reads: "2024010$n000000_t$n",
    },
    Case {
        name: "diesel",
        files: &[("2024-01-0$n-000000_t$n/up.sql", "$up"), ("2024-01-0$n-000000_t$n/down.sql", "$down")],
        table: "__diesel_schema_migrations",
        key: "version",
        reads: "2024010$n000000",
    },
    Case {
        name: "service",
        files: &[
            ("services/user-service/migrations/000$n_t$n.up.sql", "$up"),
            ("services/user-service/migrations/000$n_t$n.down.sql", "$down"),
        ],
        table: "user_service_schema_migrations",
        key: "cast(version as text)",
        // One row, whatever it stands for.
        reads: "last",
    },
    Case {
        name: "scripts",
        files: &[
            ("migrations/scripts/00$n_2024010$n_000000_t$n.sql", "-- Migration: Make t$n\n-- Risk: LOW\n$up"),
            ("migrations/rollbacks/00$n_2024010$n_000000_t$n_rollback.sql", "$down"),
        ],
        table: "",
        key: "",
        reads: "",
    },
];

pub fn find(name: &str) -> &'static Case {
    CASES.iter().find(|c| c.name == name).unwrap()
}

impl Case {
    fn write(&self, n: u32, up: &str) -> Vec<(String, String)> {
        let down = format!("drop table t{n};");
        let fill = |text: &str| text.replace("$n", &n.to_string()).replace("$up", up).replace("$down", &down);
        self.files.iter().map(|(path, text)| (fill(path), fill(text))).collect()
    }

    /// The files of the `n`-th migration, which makes the table `t<n>`.
    pub fn file(&self, n: u32) -> Vec<(String, String)> {
        self.write(n, &format!("create table t{n} (n integer);"))
    }

    /// The same with a statement that fails.
    pub fn broken(&self, n: u32) -> Vec<(String, String)> {
        self.write(n, &format!("create table t{n} (n integer);\ninsert into nowhere values (1);"))
    }

    /// The first `n` migrations.
    pub fn files(&self, n: u32) -> Vec<(String, String)> {
        (1..=n).flat_map(|n| self.file(n)).collect()
    }

    /// Begins the tool's table as the tool does, where Godwit makes none of its own accord.
    pub fn begin(&self, database: &Database) {
        if self.name == "diesel" {
            database.query(
                "create table __diesel_schema_migrations (version varchar(50) primary key not null, \
                 run_on timestamp not null default current_timestamp)",
            );
        }
    }

    /// What the tool's table tells.
    pub fn keys(&self, database: &Database) -> Vec<String> {
        if self.table.is_empty() || !database.has_table(self.table) {
            return Vec::new();
        }
        let schema = if self.name == "service" && database.kind == Kind::Postgres { "user_service." } else { "" };
        let key = self.key;
        let sql = format!("select {key} from {schema}{} where {key} is not null order by 1", self.table);
        database.query(&sql).into_iter().map(|r| r[0].clone()).collect()
    }

    /// What it has to tell once the first `n` are applied.
    pub fn expected(&self, n: u32) -> Vec<String> {
        match self.reads {
            "" => Vec::new(),
            "last" => vec![n.to_string()],
            reads => (1..=n).map(|n| reads.replace("$n", &n.to_string())).collect(),
        }
    }
}
