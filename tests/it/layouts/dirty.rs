//! While a script runs statement by statement, the table of the folder's own tool says so, as that tool would.

use super::project;
use crate::support::{BOTH, Kind, Project};

struct Tool {
    name: &'static str,
    /// The file of the migration whose number is `N`.
    file: &'static str,
    /// What the tool made before Godwit came.
    table: &'static [&'static str],
    /// Asks for the number of rows that say dirty.
    dirty: &'static str,
    /// Whether it says so while a script runs, not only once it failed.
    runs: bool,
}

const TOOLS: [Tool; 4] = [
    Tool {
        name: "golang-migrate",
        file: "000N_t.up.sql",
        table: &["create table schema_migrations (version bigint not null primary key, dirty boolean not null)"],
        dirty: "select count(*) from schema_migrations where dirty",
        runs: true,
    },
    Tool {
        name: "sqlx",
        file: "000N_t.up.sql",
        table: &["create table _sqlx_migrations (version bigint primary key, description text not null, installed_on \
                  timestamp not null default current_timestamp, success boolean not null, checksum BYTES not null, \
                  execution_time bigint not null)"],
        dirty: "select count(*) from _sqlx_migrations where not success",
        runs: true,
    },
    Tool {
        name: "Prisma",
        file: "2024010100000N_t/migration.sql",
        table: &[],
        dirty: "select count(*) from _prisma_migrations where finished_at is null",
        runs: true,
    },
    Tool {
        name: "Flyway",
        file: "VN__t.sql",
        table: &[],
        dirty: "select count(*) from flyway_schema_history where not success",
        runs: false,
    },
];

impl Tool {
    fn lay(&self, project: &Project, n: u32, text: &str) {
        super::lay(project, &[(self.file.replace('N', &n.to_string()), text.to_owned())]);
    }

    /// A folder with one migration that is applied.
    fn begun(&self, kind: Kind) -> Project {
        let project = project(kind, &[]);
        let bytes = if kind == Kind::Postgres { "bytea" } else { "blob" };
        for sql in self.table {
            project.database.query(&sql.replace("BYTES", bytes));
        }
        self.lay(&project, 1, "create table t1 (n integer);");
        project.run(&["apply", "--yes"]).expect(0);
        project
    }

    fn dirty(&self, project: &Project) -> String {
        project.database.one(&self.dirty.replace("count(*)", "cast(count(*) as text)"))
    }
}

const SOUND: &str = "-- godwit: no-transaction\ncreate table a2 (n integer);\ncreate table b2 (n integer);\n";

#[test]
fn s1_80_a_killed_script_is_dirty_for_its_own_tool_until_it_is_finished() {
    for tool in &TOOLS {
        for kind in BOTH {
            let what = format!("{} on {kind:?}", tool.name);
            let project = tool.begun(kind);
            tool.lay(&project, 2, SOUND);
            let killed = project.run_killed_at("stmt_acked:kill:2", &["apply", "--yes"]);
            assert_eq!(killed.code, None, "{what}: {killed:?}");
            assert!(project.database.has_table("a2"), "{what}");
            assert_eq!(tool.dirty(&project), if tool.runs { "1" } else { "0" }, "{what}");
            project.run(&["resume"]).expect(0);
            assert!(project.database.has_table("b2"), "{what}");
            assert_eq!(tool.dirty(&project), "0", "{what}");
            let nothing = project.run(&["apply", "--yes", "--format", "json"]).expect(0).json();
            assert_eq!(nothing["outcome"], "nothing", "{what}");
        }
    }
}

#[test]
fn s1_80_a_script_that_failed_half_way_is_dirty_and_one_that_changed_nothing_is_not() {
    for tool in &TOOLS {
        for kind in BOTH {
            let what = format!("{} on {kind:?}", tool.name);
            let project = tool.begun(kind);
            let second_fails = SOUND.replace("create table b2 (n integer)", "insert into nowhere values (1)");
            tool.lay(&project, 2, &second_fails);
            project.run(&["apply", "--yes"]).expect(1);
            assert_eq!(tool.dirty(&project), "1", "{what}");
            // Once what it needs is there, it goes on behind what is done.
            project.database.query("create table nowhere (n integer)");
            project.run(&["apply", "--yes"]).expect(0);
            assert_eq!(tool.dirty(&project), "0", "{what}");
            let first_fails = SOUND.replace("create table a2 (n integer)", "insert into nobody values (1)");
            tool.lay(&project, 3, &first_fails);
            project.run(&["apply", "--yes"]).expect(1);
            assert_eq!(tool.dirty(&project), "0", "{what}: nothing was done");
        }
    }
}
