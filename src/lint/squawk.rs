//! squawk's findings as ours. Its types stay in this file.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::OnceLock;

use squawk_linter::{Linter, LinterSettings, Rule, Version};
use squawk_syntax::ast::{self, AstNode};
use squawk_syntax::{Parse, SourceFile};

use super::fix::Rewrite;
use super::script::{Finding, Script, Statement, name_of};
use super::table::{self, RuleInfo};
use super::words::Words;

/// The rules of squawk that a check runs, chosen once per report.
pub struct Chosen {
    rules: Vec<(Rule, Gate)>,
    version: Option<Version>,
}

/// Which statements a rule looks at. Each rule walks the whole file by itself, so leaving out those that cannot find
/// anything is most of their cost.
#[derive(Debug, Clone, Copy)]
enum Gate {
    /// Any, or not looked up here.
    Always,
    /// `ALTER TABLE`.
    AlterTable,
    /// `ALTER …`.
    Alter,
    /// `DROP …`.
    Drop,
    /// `CREATE INDEX`.
    CreateIndex,
    /// Columns of a type that has this word in its name.
    Types(fn(&Words) -> bool),
    /// Any, in a script that says such a word. For rules that would start the linter alone otherwise.
    Says(fn(&Words) -> bool),
    /// `TRUNCATE`, `REINDEX`, `VACUUM`, `CLUSTER`.
    Upkeep,
    /// A list that names a column twice, or one that has to be looked at for that.
    ColumnTwice,
    /// A name of more than 63 bytes.
    LongName,
}

/// Taken from what each rule's source matches on; a rule that is not named here always runs.
fn gate_of(rule: Rule) -> Gate {
    match rule {
        Rule::AddingFieldWithDefault
        | Rule::AddingForeignKeyConstraint
        | Rule::AddingNotNullableField
        | Rule::AddingSerialPrimaryKeyField
        | Rule::AddingRequiredField
        | Rule::BanAlterIdentity
        | Rule::BanDisableTrigger
        | Rule::BanDropGeneratedExpression
        | Rule::ConstraintMissingNotValid
        | Rule::DisallowedUniqueConstraint
        | Rule::RenamingTable
        | Rule::RequireConcurrentPartitionDetach => Gate::AlterTable,
        Rule::BanAlterDomainWithAddConstraint
        | Rule::BanAlterPolicyCondition
        | Rule::BanAlterPolicyRoles
        | Rule::BanAlterRowLevelSecurity
        | Rule::BanAlterSequenceValues
        | Rule::BanDropColumn
        | Rule::BanDropConstraint
        | Rule::BanDropDefault
        | Rule::BanDropNotNull
        | Rule::BanSetSchema
        | Rule::ChangingColumnType
        | Rule::RenamingColumn
        | Rule::RenamingObject
        | Rule::RequireEnumValueOrdering => Gate::Alter,
        Rule::BanDropDatabase
        | Rule::BanDropDomain
        | Rule::BanDropExtension
        | Rule::BanDropFunction
        | Rule::BanDropPolicy
        | Rule::BanDropSchema
        | Rule::BanDropSequence
        | Rule::BanDropTable
        | Rule::BanDropType
        | Rule::BanDropView
        | Rule::RequireConcurrentIndexDeletion => Gate::Drop,
        Rule::RequireConcurrentIndexCreation => Gate::CreateIndex,
        Rule::BanCharField | Rule::PreferTextField => Gate::Types(|w| w.char),
        Rule::PreferBigintOverInt => Gate::Types(|w| w.int || w.serial),
        Rule::PreferBigintOverSmallint => Gate::Types(|w| w.small),
        Rule::PreferIdentity => Gate::Types(|w| w.serial),
        Rule::PreferTimestampTz => Gate::Types(|w| w.timestamp),
        Rule::BanCreateDomainWithConstraint => Gate::Says(|w| w.domain),
        Rule::BanReplicaIdentity => Gate::Says(|w| w.replication),
        Rule::BanTruncateCascade | Rule::PreferRepack | Rule::RequireConcurrentReindex => Gate::Upkeep,
        Rule::BanDuplicateColumnAssignments => Gate::ColumnTwice,
        Rule::IdentifierTooLong => Gate::LongName,
        _ => Gate::Always,
    }
}

/// Which gates a script opens.
#[derive(Debug)]
struct Open {
    words: Words,
    alter_table: bool,
    alter: bool,
    drop: bool,
    create_index: bool,
    create_table: bool,
    upkeep: bool,
    column_twice: bool,
    long_name: bool,
}

impl Open {
    fn of(script: &Script<'_>) -> Self {
        let mut open = Self {
            words: script.words,
            alter_table: false,
            alter: false,
            drop: false,
            create_index: false,
            create_table: false,
            upkeep: false,
            column_twice: script.words.update || script.statements.iter().any(|s| may_name_twice(script, s)),
            long_name: holds_long_name(script.text),
        };
        for statement in &script.statements {
            match &statement.node {
                ast::Stmt::AlterTable(_) => open.alter_table = true,
                ast::Stmt::CreateTable(_) => open.create_table = true,
                ast::Stmt::CreateIndex(_) => open.create_index = true,
                _ => {}
            }
            let first = script.text.get(statement.range.start..).unwrap_or_default().as_bytes();
            let starts = |word: &[u8]| first.get(..word.len()).is_some_and(|f| f.eq_ignore_ascii_case(word));
            open.alter |= starts(b"alter");
            open.drop |= starts(b"drop");
            open.upkeep |= [b"truncate".as_slice(), b"reindex", b"vacuum", b"cluster"].iter().any(|w| starts(w));
        }
        open
    }

    fn lets(&self, gate: Gate) -> bool {
        match gate {
            Gate::Always => true,
            Gate::AlterTable => self.alter_table,
            Gate::Alter => self.alter,
            Gate::Drop => self.drop,
            Gate::CreateIndex => self.create_index,
            Gate::Types(named) => (self.create_table || self.alter_table) && named(&self.words),
            Gate::Says(word) => word(&self.words),
            Gate::Upkeep => self.upkeep,
            Gate::ColumnTwice => self.column_twice,
            Gate::LongName => self.long_name,
        }
    }
}

/// Whether a statement without an `UPDATE` in it could name a column twice. Lists of columns are looked at here, since
/// almost every script has some and hardly any has one twice.
fn may_name_twice(script: &Script<'_>, statement: &Statement) -> bool {
    let columns = |list: Option<ast::TableArgList>| {
        let args = list.into_iter().flat_map(|l| l.args());
        repeats(args.filter_map(|arg| match arg {
            ast::TableArg::Column(column) => column.name().map(|n| name_of(n.syntax())),
            _ => None,
        }))
    };
    match &statement.node {
        ast::Stmt::CreateTable(s) => columns(s.table_arg_list()),
        ast::Stmt::CreateTableAs(s) => columns(s.table_arg_list()),
        ast::Stmt::CreateForeignTable(s) => columns(s.table_arg_list()),
        ast::Stmt::Insert(s) if s.with_clause().is_none() => {
            let targets = s.column_target_list().into_iter().flat_map(|l| l.column_targets());
            repeats(targets.filter_map(|t| t.name().map(|n| name_of(n.syntax()))))
        }
        ast::Stmt::CreateView(_)
        | ast::Stmt::CreateMaterializedView(_)
        | ast::Stmt::SelectInto(_)
        | ast::Stmt::Merge(_) => true,
        // Inside a `WITH`, a rule, a body of statements.
        _ => script.words.insert && script.text[statement.range.clone()].to_ascii_lowercase().contains("insert"),
    }
}

fn repeats(mut names: impl Iterator<Item = String>) -> bool {
    let mut seen = HashSet::new();
    names.any(|name| !seen.insert(name))
}

/// Whether a name could have more bytes than PostgreSQL keeps: a run of such letters, or a quoted text, of that length.
fn holds_long_name(text: &str) -> bool {
    const KEPT: usize = 63;
    let is_letter = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'$' || b >= 0x80;
    text.as_bytes().split(|b| !is_letter(*b)).any(|run| run.len() > KEPT)
        || text.split('"').skip(1).any(|quoted| quoted.len() > KEPT)
}

impl Chosen {
    /// `wanted` says whether a rule of the table is on. An unreadable `postgres_version` leaves squawk's own default.
    pub fn new(postgres_version: &str, wanted: impl Fn(&RuleInfo) -> bool) -> Self {
        Self {
            rules: table::SQUAWK
                .iter()
                .filter(|(_, info)| wanted(info))
                .map(|(rule, _)| (*rule, gate_of(*rule)))
                .collect(),
            version: postgres_version.parse().ok(),
        }
    }

    /// Whether the servers are of this major version or a later one.
    pub fn is_from(&self, major: &str) -> bool {
        self.version.zip(major.parse().ok()).is_some_and(|(given, least): (Version, Version)| given >= least)
    }

    /// Those of them that `wanted` names.
    pub fn only(&self, wanted: impl Fn(&RuleInfo) -> bool) -> Self {
        let is_wanted = |rule: Rule| info_of(rule).is_some_and(&wanted);
        Self { rules: self.rules.iter().filter(|(rule, _)| is_wanted(*rule)).copied().collect(), version: self.version }
    }

    /// What squawk says about a script. One linter per script: findings pile up in it.
    pub fn run(&self, script: &Script<'_>, parse: &Parse<SourceFile>, found: &mut Vec<Finding>) {
        let open = Open::of(script);
        let mut rules = self.rules.iter().filter(|(_, gate)| open.lets(*gate)).map(|(rule, _)| *rule).peekable();
        if rules.peek().is_none() {
            return;
        }
        let mut linter = Linter::from(rules);
        linter.settings = LinterSettings {
            pg_version: self.version.unwrap_or_default(),
            assume_in_transaction: script.in_transaction,
        };
        for violation in linter.lint(parse, script.text) {
            let Some(rule) = info_of(violation.code) else { continue };
            let range = usize::from(violation.text_range.start())..usize::from(violation.text_range.end());
            // `"char"` is a type of its own, of one byte.
            if violation.code == Rule::BanCharField && script.text[range.clone()].starts_with('"') {
                continue;
            }
            let fix = violation.fix.filter(|_| MECHANICAL.contains(&violation.code)).map(|fix| rewrite_of(script, fix));
            found.push(Finding { help: violation.help, fix, ..Finding::new(rule, range, violation.message) });
        }
    }
}

/// Rules whose own rewrite says the same with less harm, whatever the rest of the script is. The others guess a name or
/// a place, or need a server that few have.
const MECHANICAL: [Rule; 10] = [
    Rule::BanCharField,
    Rule::PreferBigintOverInt,
    Rule::PreferBigintOverSmallint,
    Rule::PreferIdentity,
    Rule::PreferRobustStmts,
    Rule::PreferTimestampTz,
    Rule::RequireConcurrentIndexCreation,
    Rule::RequireConcurrentIndexDeletion,
    Rule::RequireConcurrentPartitionDetach,
    Rule::RequireConcurrentReindex,
];

/// squawk writes in lower case; a statement that shouts goes on shouting.
fn rewrite_of(script: &Script<'_>, fix: squawk_linter::Fix) -> Rewrite {
    let edit = |edit: squawk_linter::Edit| {
        let range = usize::from(edit.text_range.start())..usize::from(edit.text_range.end());
        let statement = script.statement_at(range.start).map(|at| script.statements[at].range.start);
        let shouts = statement.is_some_and(|at| script.text[at..].starts_with(|c: char| c.is_ascii_uppercase()));
        let text = bounded(&script.text[range.clone()], edit.text.unwrap_or_default());
        (range, if shouts { text.to_ascii_uppercase() } else { text })
    };
    Rewrite { title: fix.title, edits: fix.edits.into_iter().map(edit).collect() }
}

/// The type that squawk writes for another one, with the digits and the length that it forgets: `timestamp(3)` keeps three
/// digits, and `char` is `char(1)`.
fn bounded(old: &str, new: String) -> String {
    let digits = || Some(&old[old.find('(')?..=old.find(')')?]);
    match new.as_str() {
        "timestamptz" => new + digits().unwrap_or_default(),
        "text" if !old.eq_ignore_ascii_case("bpchar") => "varchar(1)".to_owned(),
        _ => new,
    }
}

/// Our entry for a rule of squawk, by the enum's own number.
fn info_of(rule: Rule) -> Option<&'static RuleInfo> {
    static BY_NUMBER: OnceLock<Vec<Option<&'static RuleInfo>>> = OnceLock::new();
    let table = BY_NUMBER.get_or_init(|| {
        let mut by_number = Vec::new();
        for (rule, info) in table::SQUAWK {
            let number = *rule as usize;
            if by_number.len() <= number {
                by_number.resize(number + 1, None);
            }
            by_number[number] = Some(info);
        }
        by_number
    });
    table.get(rule as usize).copied().flatten()
}

/// The text with squawk's own comments made inert: what a pull request writes about itself must not hide a finding
/// (DECISIONS 23). Every byte keeps its place.
pub fn without_marks(text: &str) -> Cow<'_, str> {
    if text.contains("squawk-") {
        Cow::Owned(text.replace("squawk-ignore", "squawk_ignore").replace("squawk-disable", "squawk_disable"))
    } else {
        Cow::Borrowed(text)
    }
}

/// A `squawk-ignore` comment, read as a waiver without a reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// The byte behind the comment; `None`: the whole file.
    pub behind: Option<usize>,
    /// The rules it names; empty: all.
    pub rules: Vec<String>,
}

/// The `squawk-ignore` and `squawk-ignore-file` comments of a text.
pub fn marks(text: &str) -> Vec<Mark> {
    let mut out = Vec::new();
    for (at, word) in text.match_indices("squawk-ignore") {
        let line_start = text[..at].rfind('\n').map_or(0, |n| n + 1);
        let before = &text[line_start..at];
        if !before.contains("--") && !before.contains("/*") {
            continue;
        }
        let line_end = text[at..].find('\n').map_or(text.len(), |n| at + n);
        let rest = &text[at + word.len()..line_end];
        let (whole_file, rest) = match rest.strip_prefix("-file") {
            Some(rest) => (true, rest),
            None => (false, rest),
        };
        let rules = rest
            .trim_end()
            .trim_end_matches("*/")
            .split([',', ' ', ':'])
            .map(str::trim)
            .filter(|r| !r.is_empty())
            .map(str::to_owned)
            .collect();
        out.push(Mark { behind: (!whole_file).then_some(line_end), rules });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Engine;
    use crate::lint::script::{Direction, statements_of};

    /// The gates leave out only rules that find nothing: every statement of our examples, with and without them.
    #[test]
    fn gates_hide_no_finding() {
        let examples = crate::lint::rules::OWN.iter().flat_map(|r| r.ok.iter().chain(r.bad));
        let more = [
            "alter type e rename value 'a' to 'b';",
            "alter type e add value 'x';",
            "alter domain d add constraint c check (value > 0);",
            "/* x */ DROP function f();",
            "drop view v; drop index i; drop type t; drop schema s; drop policy p on t;",
            "create table t (a char(2), b int, c serial, d timestamp, e varchar(3) references u (id));",
            "create table t (a CHARACTER varying(2), b Integer[], c smallSERIAL, d INT2, e serial8, f bpchar);",
            "create table t (a timestamp(3) without time zone, b bigint, c int4); alter table t add column d serial4;",
            "alter table t alter column a type U&\"\\0069nt\"; create table u (a U&\"ser\\0069al\");",
            "alter table t add column a int not null, alter column b set not null, drop column c, add primary key (d);",
            "alter view v rename column a to b; alter sequence s set schema x; alter table t rename to u;",
            "truncate t cascade; reindex index i; cluster t; vacuum full t; create domain d as int check (value > 0);",
            "insert into t (a) values (1) on conflict do Update set a = 1, a = 2;",
            "with x as (update t set a = 1, a = 2 returning a) select * from x;",
            "select 1 as an_identifier_that_is_longer_than_what_postgresql_keeps_of_it_x;",
            "select 1 as \"an identifier, longer than what PostgreSQL keeps of it, with blanks\";",
            "alter table t enable row level security; alter policy p on t to public; alter sequence s restart with 5;",
            "create table t (a int, A int); create table u (a, a) as select 1, 2; insert into t (a, \"a\") values (1, 2);",
            "create view v (a, a) as select 1, 2; create view w as select 1 as a, 2 as a; select 1 as a, 2 as a into t;",
            "create foreign table t (a int, a int) server s; with x as (insert into t (a, a) values (1, 2)) select 1;",
            "create rule r as on insert to t do instead insert into u (a, a) values (1, 2); create materialized view m (a, a) as select 1, 2;",
            "merge into t using u on t.a = u.a when not matched then insert (a, a) values (1, 2);",
            "create function f() returns void begin atomic insert into t (a, a) values (1, 2); end;",
            "with x as (select 1) insert into t (a, a) select 1, 2; explain insert into t (a, a) values (1, 2);",
            "alter table t add constraint c check (a > 0); create index i on t (a); reindex table t;",
            "ALTER TABLE t REPLICA IDENTITY FULL; DROP PUBLICATION p; ALTER PUBLICATION p DROP TABLE t;",
            "alter table t add foreign key (a) references u (id), add column b int references u (id);",
            "alter table t alter column a drop expression, alter column b drop default, alter column c drop not null;",
            "alter table t detach partition p; alter table t disable trigger g, disable rule r, force row level security;",
            "alter table t rename constraint a to b; alter table t rename to u; alter role r rename to s;",
            "alter table t add column a int default random(), add column b int generated always as (1) stored;",
            "alter table t add column a int primary key, add column b int unique, add primary key (c), add unique (d);",
            "drop domain d; drop policy p on t; drop extension e; drop sequence s; drop database d; drop function f;",
            "alter table t drop constraint c; alter table t drop column c; alter table t alter a type bigint;",
            "alter table t alter column a restart with 5; alter sequence s increment by 2; alter table t validate constraint c;",
            "drop operator + (int, int); drop operator class c using btree; drop operator family f using btree; drop rule r on t;",
            "drop cast (text as int); drop foreign table f; drop materialized view v; alter type t drop attribute a;",
            "alter domain d drop constraint c; alter domain d drop default; alter domain d drop not null; alter view v alter column a drop default;",
            "alter foreign table f rename to g; alter foreign table f alter column a type bigint, drop column b;",
            "alter domain d add check (value > 0); create domain e as text not null check (value <> '');",
            "alter policy p on t using (true) with check (true); alter view v set schema s; truncate t cascade;",
        ];
        let all = Chosen::new("15", |_| true);
        let ungated =
            Chosen { rules: all.rules.iter().map(|(r, _)| (*r, Gate::Always)).collect(), version: all.version };
        for sql in examples.chain(&more) {
            let parse = SourceFile::parse(sql);
            let script = Script::new(sql, statements_of(&parse), Engine::Postgresql, Direction::Up, true);
            let (mut with, mut without) = (Vec::new(), Vec::new());
            all.run(&script, &parse, &mut with);
            ungated.run(&script, &parse, &mut without);
            let names = |found: &[Finding]| found.iter().map(|f| f.rule.id).collect::<Vec<_>>();
            assert_eq!(names(&with), names(&without), "{sql}");
        }
    }

    #[test]
    fn marks_are_read_and_made_inert() {
        let text =
            "-- squawk-ignore ban-drop-column, renaming-table\nalter table t drop column c;\n-- squawk-ignore-file\n";
        assert_eq!(
            marks(text),
            [
                Mark { behind: Some(48), rules: vec!["ban-drop-column".to_owned(), "renaming-table".to_owned()] },
                Mark { behind: None, rules: vec![] },
            ]
        );
        let inert = without_marks(text);
        assert_eq!(inert.len(), text.len());
        assert!(!inert.contains("squawk-ignore"));
    }
}
