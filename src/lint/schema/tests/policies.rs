//! Policies that let everybody through beside others that ask something.

use super::{last, of};

const RULE: &str = "policy-opens-all";
const T: &str = "CREATE TABLE t (id bigint PRIMARY KEY, owner text);
ALTER TABLE t ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON t USING (owner = current_user);";

#[test]
fn a_policy_that_asks_nothing_is_told_beside_one_that_asks_something() {
    for (before, sql, part) in [
        (T, "CREATE POLICY p ON t USING (true);", "may be read, changed and deleted, whatever `own` asks"),
        (T, "CREATE POLICY p ON t FOR SELECT USING (true);", "may be read, whatever"),
        (T, "CREATE POLICY p ON t AS PERMISSIVE FOR SELECT TO public USING ((TRUE));", "whatever `own` asks"),
        (
            "CREATE POLICY narrow ON t FOR SELECT TO app USING (id > 0);",
            "CREATE POLICY p ON t FOR SELECT TO app, other USING (true);",
            "whatever `narrow` asks",
        ),
        (
            "CREATE TABLE t (id int PRIMARY KEY);",
            "CREATE POLICY a ON t FOR SELECT USING (id > 0); CREATE POLICY b ON t FOR SELECT USING (true);",
            "whatever `a` asks",
        ),
    ] {
        let found = last(&[before, sql]);
        let told = of(&found, RULE).unwrap_or_else(|| panic!("{sql}: {found:?}"));
        assert!(told.message.contains(part), "{sql}: {told:?}");
    }
}

#[test]
fn a_policy_that_asks_nothing_may_be_meant_so() {
    for sql in [
        "CREATE POLICY p ON t USING (owner = 'x');",
        "CREATE POLICY p ON t TO admin USING (true);",
        "CREATE POLICY p ON t FOR INSERT WITH CHECK (true);",
        "CREATE POLICY p ON t FOR UPDATE USING (true);",
        "CREATE POLICY p ON t AS RESTRICTIVE USING (true);",
        "CREATE POLICY p ON u USING (true);",
        "DROP POLICY own ON t; CREATE POLICY p ON t USING (true);",
        "CREATE POLICY p ON t USING (true); DROP POLICY own ON t;",
        "ALTER POLICY own ON t USING (true); CREATE POLICY p ON t USING (true);",
        "CREATE POLICY r ON t AS RESTRICTIVE USING (id > 0); CREATE POLICY p ON t USING (true);",
        "CREATE POLICY p ON t USING (true); CREATE POLICY r ON t AS RESTRICTIVE USING (id > 0);",
        "DROP TABLE t; CREATE TABLE t (id int); CREATE POLICY p ON t USING (true);",
        "DO $$ BEGIN EXECUTE 'DROP POLICY own ON t'; END $$; CREATE POLICY p ON t USING (true);",
        "CREATE TABLE w (id int); CREATE POLICY a ON w USING (id > 0); CREATE POLICY b ON w FOR SELECT USING (true);",
    ] {
        let found = last(&[T, sql]);
        assert!(of(&found, RULE).is_none(), "{sql}: {found:?}");
    }
}
