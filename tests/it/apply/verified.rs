//! Queries in a script that say what they must return [S2-89].

use crate::support::{BOTH, Kind, Project};

const TABLE: (&str, &str) = ("0001_a.up.sql", "create table a (n integer);\ninsert into a values (1), (2), (3);\n");

#[test]
fn s2_89_a_query_that_returns_another_value_undoes_the_migration() {
    for kind in BOTH {
        let wrong = "-- why\nBEGIN;\nupdate a set n = 0 where n = 1;\nSELECT count(*) FROM a WHERE n <> 0;\n-- Should return 0\nCOMMIT;";
        let project = Project::new(kind, &[TABLE, ("0002_b.up.sql", wrong)]);
        let said = project.run(&["apply", "--yes", "--format", "json"]).expect(1).json();
        let error = &said["steps"][1]["error"];
        assert_eq!((&error["line"], &error["undone"]), (&4.into(), &true.into()), "{kind:?}: {said}");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains("must return `0`") && message.ends_with("returned `2`"), "{kind:?}: {message}");
        assert_eq!(project.database.one("select count(*) from a where n = 1"), "1", "{kind:?}: it was taken back");
        // Mended, it runs; several checks of several kinds hold.
        let right = "update a set n = 0;\nselect count(*) from a where n <> 0; -- should return 0\n\
                     select n from a where n > 5;\n-- Should return 0 rows\nselect 'it; is' as x;\n-- Should return 'it; is'\n\
                     insert into a values (4);";
        project.write("0002_b.up.sql", right);
        project.run(&["apply", "--yes"]).expect(0);
        assert_eq!(project.database.one("select sum(n) from a"), "4", "{kind:?}");
    }
}

#[test]
fn s2_89_it_holds_without_a_transaction_and_on_the_way_back() {
    for kind in BOTH {
        let lone = "-- godwit: no-transaction\nupdate a set n = 5 where n = 1;\nselect count(*) from a where n = 5;\n-- Should return 2\n";
        let project = Project::new(kind, &[TABLE, ("0002_b.up.sql", lone)]);
        let said = project.run(&["apply", "--yes", "--format", "json"]).expect(1).json();
        assert_eq!(said["steps"][1]["error"]["line"], 3, "{kind:?}: {said}");
        assert_eq!(project.database.one("select count(*) from a where n = 5"), "1", "{kind:?}: what is done stays");
        // Put right by hand, it goes on from the query.
        project.database.query("update a set n = 5 where n = 2");
        project.run(&["apply", "--yes"]).expect(0);
        let back = "delete from a;\nselect count(*) from a;\n-- Should return 7";
        let project = Project::new(kind, &[TABLE, ("0001_a.down.sql", back)]);
        project.run(&["apply", "--yes"]).expect(0);
        let said = project
            .run(&["rollback", "--steps", "1", "--yes", "--accept-data-loss", "--format", "json"])
            .expect(1)
            .json();
        assert_eq!(said["steps"][0]["error"]["line"], 2, "{kind:?}: {said}");
        assert_eq!(project.database.one("select count(*) from a"), "3", "{kind:?}: the way back was undone");
    }
}

#[test]
fn s2_89_what_answers_with_rows_on_postgresql_is_held_to_its_comment() {
    for lone in ["", "-- godwit: no-transaction\n"] {
        let right = format!(
            "{lone}insert into a values (7) returning n;\n-- Should return: 7\nset work_mem = '5MB';\nshow work_mem; /* should  return '5MB' */\n\
             select 'it''s';\n-- Should return 'it''s'\n"
        );
        let project = Project::new(Kind::Postgres, &[TABLE, ("0002_b.up.sql", &right)]);
        project.run(&["apply", "--yes"]).expect(0);
        assert_eq!(project.database.one("select count(*) from a where n = 7"), "1");
        project.write("0003_c.up.sql", &format!("{lone}insert into a values (8) returning n;\n/* Should return 9 */"));
        let said = project.run(&["apply", "--yes", "--format", "json"]).expect(1).json();
        let message = said["steps"][0]["error"]["message"].as_str().unwrap();
        assert!(message.contains("must return `9`"), "{said}");
        assert_eq!(project.database.one("select count(*) from a where n = 8"), "0", "it was taken back");
        project.write(
            "0003_c.up.sql",
            &format!("{lone}insert into a values (8);\nshow work_mem;\n-- Should return 'much'"),
        );
        let said = project.run(&["apply", "--yes", "--format", "json"]).expect(1);
        assert!(said.stdout.contains("must return `much`"), "{said:?}");
    }
}
