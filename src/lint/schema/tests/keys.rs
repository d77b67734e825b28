//! Keys that cannot be made or cannot go, and types that do not become others.

use super::refused::{REFUSES, told};

const TABLES: &str = "CREATE TYPE mood AS ENUM ('good', 'bad');
CREATE TABLE t (id int PRIMARY KEY, a int, b text UNIQUE, u uuid, m mood DEFAULT 'good', n int NOT NULL, two bigint);
CREATE UNIQUE INDEX t_a_two ON t (two, a); CREATE UNIQUE INDEX t_u ON t (u) WHERE a > 0; CREATE INDEX t_n ON t (n);
CREATE TABLE bare (x int, y domain_of_mine, z int[]);
CREATE VIEW v AS SELECT id FROM t;";

#[test]
fn p133_a_foreign_key_refers_to_unique_columns_of_its_own_type() {
    told(
        REFUSES,
        &[TABLES],
        &[
            ("CREATE TABLE c (t_n int REFERENCES t (n));", Some("no unique constraint of `t` is on exactly (n)")),
            ("CREATE TABLE c (t_u uuid REFERENCES t (u));", Some("exactly (u)")),
            ("CREATE TABLE c (p int, q int, FOREIGN KEY (p, q) REFERENCES t (id, a));", Some("exactly (id, a)")),
            ("CREATE TABLE c (p int, q bigint, FOREIGN KEY (p, q) REFERENCES t (a, two));", None),
            ("CREATE TABLE c (p int REFERENCES bare (x));", Some("exactly (x)")),
            ("CREATE TABLE c (p int REFERENCES bare);", Some("`bare` has no primary key")),
            ("CREATE TABLE c (p int REFERENCES v (id));", Some("`v` is a view")),
            (
                "CREATE TABLE c (p text REFERENCES t);",
                Some("`c.p` is text, and `t.id`, to which it refers, is integer"),
            ),
            ("CREATE TABLE c (p uuid REFERENCES t (id));", Some("`c.p` is uuid")),
            ("CREATE TABLE c (p mood REFERENCES t (b));", Some("`c.p` is mood")),
            ("CREATE TABLE c (p int, q int, FOREIGN KEY (p, q) REFERENCES t (id));", Some("are not as many")),
            ("CREATE TABLE c (p bigint REFERENCES t, q smallint REFERENCES t, r varchar(9) REFERENCES t (b));", None),
            ("CREATE TABLE c (id int PRIMARY KEY, up int REFERENCES c, n int REFERENCES c (id));", None),
            ("CREATE TABLE c (id int, up int REFERENCES c (id));", Some("of `c` is on exactly (id)")),
            ("CREATE TABLE c (id int, up int REFERENCES c (id), UNIQUE (id));", None),
            ("CREATE TABLE c (p int REFERENCES elsewhere (x), q int REFERENCES elsewhere);", None),
            ("CREATE TABLE c (y domain_of_mine REFERENCES t (id), z int[]);", None),
            ("CREATE TABLE IF NOT EXISTS bare (p text REFERENCES t);", None),
            ("ALTER TABLE bare ADD FOREIGN KEY (x) REFERENCES t (n) NOT VALID;", Some("exactly (n)")),
            ("ALTER TABLE bare ADD COLUMN t_id uuid REFERENCES t (id);", Some("`bare.t_id` is uuid")),
            ("ALTER TABLE bare ADD COLUMN up int REFERENCES bare (x);", Some("exactly (x)")),
            ("ALTER TABLE bare ADD COLUMN up int UNIQUE REFERENCES bare (up);", None),
            ("ALTER TABLE bare ADD COLUMN t_id int REFERENCES t (id), ADD UNIQUE (x);", None),
            ("ALTER TABLE bare ADD UNIQUE (x), ADD COLUMN p int, ADD FOREIGN KEY (p) REFERENCES bare (x);", None),
            ("ALTER TABLE bare ADD COLUMN IF NOT EXISTS x text REFERENCES t (id);", None),
            ("CREATE UNIQUE INDEX CONCURRENTLY i ON t (n);\nCREATE TABLE c (p int REFERENCES t (n));", None),
            ("ALTER TABLE t ADD CONSTRAINT k UNIQUE (n);\nCREATE TABLE c (p int REFERENCES t (n));", None),
            ("ALTER TABLE t DROP CONSTRAINT something;\nCREATE TABLE c (p int REFERENCES t (n));", None),
            ("SELECT make_unique('t');\nCREATE TABLE c (p int REFERENCES t (n));", None),
            (
                "DO $$ BEGIN IF true THEN CREATE UNIQUE INDEX i ON t (n); END IF; END $$;\nCREATE TABLE c (p int REFERENCES t (n));",
                None,
            ),
            ("CREATE CAST (text AS int) WITH INOUT AS IMPLICIT;\nCREATE TABLE c (p text REFERENCES t);", None),
        ],
    );
}

#[test]
fn p126_p140_a_table_has_one_primary_key_and_its_columns_are_never_null() {
    told(
        REFUSES,
        &[TABLES, "CREATE TABLE i (id int GENERATED ALWAYS AS IDENTITY, d int NOT NULL);"],
        &[
            ("ALTER TABLE t ADD PRIMARY KEY (n);", Some("and `t` has `t_pkey`")),
            ("ALTER TABLE t ADD COLUMN w serial PRIMARY KEY;", Some("and `t` has `t_pkey`")),
            ("CREATE TABLE c (a int PRIMARY KEY, b int, PRIMARY KEY (b));", Some("the statement gives `c` two")),
            ("ALTER TABLE t DROP CONSTRAINT t_pkey, ADD PRIMARY KEY (n);", None),
            ("ALTER TABLE t DROP COLUMN id;\nALTER TABLE t ADD PRIMARY KEY (n);", None),
            ("ALTER TABLE t DROP CONSTRAINT something;\nALTER TABLE t ADD PRIMARY KEY (n);", None),
            ("ALTER TABLE t ADD COLUMN IF NOT EXISTS id serial PRIMARY KEY;", None),
            ("ALTER TABLE bare ADD PRIMARY KEY (x);", None),
            ("ALTER TABLE t ALTER id DROP NOT NULL;", Some("in its primary key")),
            ("ALTER TABLE i ALTER id DROP NOT NULL;", Some("an identity column")),
            ("ALTER TABLE i ALTER id DROP IDENTITY, ALTER id DROP NOT NULL;", None),
            ("ALTER TABLE t ALTER n DROP NOT NULL;", None),
            ("ALTER TABLE t DROP CONSTRAINT t_pkey, ALTER id DROP NOT NULL;", None),
            ("ALTER TABLE t ADD CONSTRAINT c UNIQUE USING INDEX t_u;", Some("has a `WHERE`")),
            ("ALTER TABLE t ADD CONSTRAINT c UNIQUE USING INDEX t_n;", Some("is not unique")),
            ("ALTER TABLE bare ADD CONSTRAINT c UNIQUE USING INDEX t_a_two;", Some("is one of `t`")),
            ("ALTER TABLE t ADD CONSTRAINT c UNIQUE USING INDEX t_b_key;", Some("belongs to a constraint already")),
            ("ALTER TABLE t ADD CONSTRAINT c UNIQUE USING INDEX t_a_two;", None),
            ("ALTER TABLE t ADD CONSTRAINT c UNIQUE USING INDEX elsewhere;", None),
            (
                "CREATE UNIQUE INDEX i_d ON i (d); ALTER TABLE i ADD PRIMARY KEY USING INDEX i_d; ALTER TABLE i DROP COLUMN d;\n\
                 ALTER TABLE i ADD PRIMARY KEY (id);",
                None,
            ),
        ],
    );
}

#[test]
fn p131_a_key_that_foreign_keys_need_does_not_go() {
    const CHILD: &str =
        "CREATE TABLE c (t_id int REFERENCES t, p int, q bigint, FOREIGN KEY (p, q) REFERENCES t (a, two));
                         CREATE TABLE tree (id int PRIMARY KEY, up int REFERENCES tree (id));";
    told(
        "object-in-use",
        &[TABLES, CHILD],
        &[
            (
                "ALTER TABLE t DROP CONSTRAINT t_pkey;",
                Some("the foreign key `c_t_id_fkey` of `c` needs `t_pkey` of `t`"),
            ),
            ("ALTER TABLE t DROP CONSTRAINT t_pkey, ADD PRIMARY KEY (n);", Some("`c_t_id_fkey`")),
            ("ALTER TABLE tree DROP CONSTRAINT tree_pkey;", Some("`tree_up_fkey`")),
            ("DROP INDEX CONCURRENTLY t_a_two;", Some("needs the index `t_a_two` of `t`")),
            ("DROP INDEX t_a_two CASCADE;", None),
            ("ALTER TABLE t DROP CONSTRAINT t_pkey CASCADE;", None),
            ("ALTER TABLE t DROP CONSTRAINT t_b_key;", None),
            ("DROP INDEX t_n;", None),
            ("ALTER TABLE c DROP CONSTRAINT c_t_id_fkey;\nALTER TABLE t DROP CONSTRAINT t_pkey;", None),
            ("CREATE UNIQUE INDEX j ON t (a, two);\nDROP INDEX j;", None),
            ("DROP TABLE c;\nALTER TABLE t DROP CONSTRAINT t_pkey;", None),
        ],
    );
}

#[test]
fn p121_a_type_that_nothing_becomes_by_itself_needs_using() {
    const KINDS: &str =
        "CREATE TABLE k (i int DEFAULT 0, s text DEFAULT 'new', w varchar(9), b boolean DEFAULT true, d date, j json,
        n serial, x text DEFAULT now(), c text DEFAULT '1'::varchar, arr int[], z text DEFAULT NULL);";
    told(
        REFUSES,
        &[TABLES, KINDS],
        &[
            ("ALTER TABLE k ALTER w TYPE int;", Some("`k.w` is varchar(9), which becomes integer only where `USING`")),
            ("ALTER TABLE k ALTER COLUMN z SET DATA TYPE uuid;", Some("`USING`")),
            ("ALTER TABLE k ALTER z TYPE timestamptz, ALTER w TYPE text;", Some("`k.z` is text")),
            ("ALTER TABLE k ALTER z TYPE mood;", Some("becomes mood only where `USING`")),
            ("ALTER TABLE t ALTER m TYPE int;", Some("`t.m` is mood")),
            ("ALTER TABLE t ALTER m TYPE text;", None),
            ("ALTER TABLE k ALTER i TYPE boolean USING i <> 0;", Some("the default of `k.i` does not become boolean")),
            ("ALTER TABLE k ALTER s TYPE mood USING s::mood;", Some("the default of `k.s`")),
            ("ALTER TABLE k ALTER c TYPE int USING c::int;", Some("the default of `k.c`")),
            ("ALTER TABLE k ALTER n TYPE uuid USING gen_random_uuid();", Some("the default of `k.n`")),
            ("ALTER TABLE k ALTER s DROP DEFAULT, ALTER s TYPE mood USING s::mood, ALTER s SET DEFAULT 'good';", None),
            ("ALTER TABLE k ALTER s TYPE mood USING s::mood, ALTER s DROP DEFAULT;", None),
            ("ALTER TABLE k ALTER x TYPE timestamptz USING x::timestamptz;", None),
            ("ALTER TABLE k ALTER z TYPE int USING z::int;", None),
            (
                "ALTER TABLE k ALTER i TYPE bigint, ALTER n TYPE bigint, ALTER w TYPE text, ALTER d TYPE timestamptz;",
                None,
            ),
            (
                "ALTER TABLE k ALTER i TYPE text, ALTER b TYPE varchar(5), ALTER j TYPE jsonb, ALTER s TYPE varchar(3);",
                None,
            ),
            ("ALTER TABLE k ALTER arr TYPE text, ALTER w TYPE something_else, ALTER z TYPE citext;", None),
            ("ALTER TABLE elsewhere ALTER w TYPE int;", None),
            ("CREATE CAST (varchar AS mood) WITH INOUT AS ASSIGNMENT;\nALTER TABLE k ALTER w TYPE mood;", None),
            ("SELECT change('k');\nALTER TABLE k ALTER w TYPE int;", None),
            ("CREATE DOMAIN d AS text; ALTER TABLE k ADD COLUMN e d;\nALTER TABLE k ALTER e TYPE int;", None),
        ],
    );
}
