//! The report of a whole set: each script parsed once, judged by squawk's rules and our own, graded and located.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap, HashSet};

use chrono::NaiveDate;
use squawk_syntax::SourceFile;

use super::bodies::Parsed;
use super::calls::{self, Call, Routine};
use super::lines::Lines;
use super::psql::{self, Plain};
use super::script::{Direction, Finding, Script, Server, statements_of};
use super::table::{self, Applies, RuleInfo};
use super::{
    Judged, LintReport, MigrationSummary, Scope, Severity, Violation, Word, bodies, corrections, depth, foreign,
    misplaced, models, operations, order, profile, references, rewrite, rules, schema, secrets, services, squawk,
    syntax, uses, versions, wayback,
};
use crate::config::LintConfig;
use crate::ids::{Engine, EnvironmentName, Risk};
use crate::migration::execution::{Execution, Nature, Statement, execution};
use crate::migration::operations::are_operations;
use crate::migration::{self, Migration, MigrationSet, Phase, Problem, digest_of};
use crate::risk;

/// The rule about ways back that leave something out.
const INCOMPLETE_DOWN: &str = "incomplete-down";
/// The rule about files that say less than they do.
pub(crate) const RISK_UNDERSTATED: &str = "risk-understated";
/// Scripts above this many bytes are not parsed as a whole (DECISIONS 19).
const MAX_PARSED: usize = 8 * 1024 * 1024;

/// Checks the migrations of `set` that are in `scope`. `today` decides which waivers still hold.
pub fn check(set: &MigrationSet, config: &LintConfig, scope: &Scope, today: NaiveDate) -> LintReport {
    check_judged(set, &[], config, scope, today)
}

/// The same with what the engines themselves say against the set's statements (`judged`), which is graded, waived and
/// weighed like any other finding.
pub fn check_judged(
    set: &MigrationSet,
    judged: &[Judged],
    config: &LintConfig,
    scope: &Scope,
    today: NaiveDate,
) -> LintReport {
    let linter = Linter::new(config, today);
    let in_scope: Vec<(usize, &Migration)> =
        set.migrations.iter().enumerate().filter(|(_, m)| scope.holds(m)).collect();
    let mut scripts = match scope {
        // What a script may take for granted does not depend on others, so any of them can be looked at first.
        Scope::All | Scope::Named(_) => {
            depth::map_with_stack(&in_scope, |(_, m)| linter.migration(m, &mut HashSet::new(), scope))
        }
        Scope::Paths(_) => depth::with_stack(|| {
            let mut newer = HashSet::new();
            // What runs only somewhere makes nothing that the others could count on.
            let mut newer_in: HashMap<EnvironmentName, HashSet<String>> = HashMap::new();
            let mut look = |m: &Migration| match &m.only_in {
                Some(only) if config.environment.as_ref() != Some(only) => {
                    let there = newer_in.entry(only.clone()).or_default();
                    there.extend(newer.iter().cloned());
                    linter.migration(m, there, scope)
                }
                _ => linter.migration(m, &mut newer, scope),
            };
            in_scope.iter().map(|(_, m)| look(m)).collect()
        }),
    };
    linter.with_history(set, scope, &in_scope, &mut scripts);
    if matches!(scope, Scope::Paths(_)) {
        withhold_from_later(&in_scope, &mut scripts);
    }
    linter.with_calls(set, &in_scope, &mut scripts);
    assemble(set, judged, &linter, scope, &in_scope, scripts)
}

/// The report from what is wrong with each migration's scripts.
fn assemble(
    set: &MigrationSet,
    judged: &[Judged],
    linter: &Linter<'_>,
    scope: &Scope,
    in_scope: &[(usize, &Migration)],
    scripts: Vec<Checked>,
) -> LintReport {
    let mut problems: HashMap<&str, Vec<&Problem>> = HashMap::new();
    let mut read = references::undeclared(set);
    read.extend(services::problems(set));
    read.extend(order::problems(set));
    read.extend(models::problems(set, scope));
    // What is told of the very file that has it is among the set's own.
    let moved = set.brought.iter().filter(|p| !set.problems.contains(p) && !set.remarks.contains(p));
    for problem in set.problems.iter().chain(&set.remarks).chain(moved).chain(&read) {
        problems.entry(problem.file.as_str()).or_default().push(problem);
    }
    let mut violations = Vec::new();
    let mut summaries = Vec::with_capacity(in_scope.len());
    let mut looked = operations::look_with_stack(set, scope);
    for ((at, migration), checked) in in_scope.iter().zip(scripts) {
        let first = violations.len();
        for (source, found) in [(Some(&migration.up), checked.up), (migration.down.as_ref(), checked.down)] {
            if let Some(source) = source {
                linter.locate(source, found, &mut violations);
            }
        }
        for place in looked.remove(at).into_iter().flatten() {
            linter.locate(&place.script, place.found, &mut violations);
        }
        for word in judged.iter().filter(|j| j.migration == *at) {
            linter.judged(migration, word, &mut violations);
        }
        for file in &migration.files {
            violations.extend(problems.remove(file.path.as_str()).into_iter().flatten().map(|p| linter.problem(p)));
        }
        if matches!(scope, Scope::Paths(_)) && migration.is_contract() {
            violations.extend(linter.contract_with_expand(migration, in_scope));
        }
        violations.extend(versions::content(migration, &violations[first..]).map(|p| linter.problem(&p)));
        violations.extend(linter.understated(migration, &violations[first..]));
        linter.waive(migration, &mut violations, first);
        summaries.push(summary(migration, &violations[first..], checked.transactional));
    }
    let shown = |p: &&Problem| scope.holds_path(&p.file) || set.brought.contains(p);
    violations.extend(problems.into_values().flatten().filter(shown).map(|p| linter.problem(p)));
    violations.retain(|v| linter.keep(v));
    violations.extend(linter.expired(&violations, scope));
    linter.waive_by_policy(&mut violations);
    violations.sort_by(|a, b| (&a.file, a.line, a.column, &a.rule).cmp(&(&b.file, b.line, b.column, &b.rule)));
    LintReport {
        files: match scope {
            Scope::All | Scope::Named(_) => set.files_seen,
            Scope::Paths(_) => in_scope.iter().map(|(_, m)| m.files.len()).sum(),
        },
        risk: super::highest(&summaries, &violations),
        digest: digest_of(in_scope.iter().map(|(_, m)| *m)),
        violations,
        migrations: summaries,
    }
}

fn summary(migration: &Migration, violations: &[Violation], transactional: bool) -> MigrationSummary {
    let assessment = risk::assess(migration, violations);
    MigrationSummary {
        id: migration.id.to_string(),
        version: migration.version.to_string(),
        name: migration.name.clone(),
        unit: migration.unit.clone(),
        engine: migration.engine,
        target: migration.target.clone(),
        service: migration.service.clone(),
        risk: assessment.level,
        reasons: assessment.reasons.into_iter().map(|r| r.text).collect(),
        reversible: migration.is_reversible(),
        transactional,
        depends_on: migration.directives.depends_on.clone(),
        checksum: migration.checksum.to_string(),
    }
}

/// What came of one script.
struct Looked {
    found: Vec<Finding>,
    in_transaction: bool,
    changes: Vec<schema::Change>,
    defined: Vec<Routine>,
    calls: Vec<Call>,
}

impl Looked {
    /// What came of a script that runs in a transaction and of which nothing else is known.
    fn only(found: Vec<Finding>, changes: Vec<schema::Change>) -> Self {
        Self { found, in_transaction: true, changes, defined: Vec::new(), calls: Vec::new() }
    }
}

/// What came of one migration's scripts.
pub(super) struct Checked {
    /// Of the forward script.
    pub(super) up: Vec<Finding>,
    /// Of the way back.
    pub(super) down: Vec<Finding>,
    /// What the forward script does to the schema.
    changes: Vec<schema::Change>,
    /// What the way back does to it.
    back: Vec<schema::Change>,
    /// The functions that the forward script defines.
    pub(super) defined: Vec<Routine>,
    /// The functions that it calls, of other scripts.
    pub(super) calls: Vec<Call>,
    /// The functions that the way back calls, and whether it runs in a transaction.
    pub(super) calls_back: (Vec<Call>, bool),
    /// Whether the forward one runs in a transaction.
    pub(super) transactional: bool,
}

/// What holds for every script of a report.
pub(super) struct Linter<'a> {
    pub(super) config: &'a LintConfig,
    pub(super) today: NaiveDate,
    pub(super) postgres: squawk::Chosen,
    sqlite: squawk::Chosen,
    /// For ways back.
    back: squawk::Chosen,
}

impl<'a> Linter<'a> {
    fn new(config: &'a LintConfig, today: NaiveDate) -> Self {
        let on = |info: &RuleInfo| level(config, info).is_some();
        Self {
            config,
            today,
            postgres: squawk::Chosen::new(config.postgres(), on),
            sqlite: squawk::Chosen::new(config.postgres(), |i| i.applies == Applies::Sql && on(i)),
            back: squawk::Chosen::new(config.postgres(), |i| wayback::asks(i) && on(i)),
        }
    }

    /// What is wrong with a migration's scripts.
    fn migration(&self, migration: &Migration, newer: &mut HashSet<String>, scope: &Scope) -> Checked {
        let mut checked = Checked {
            up: Vec::new(),
            down: Vec::new(),
            changes: Vec::new(),
            back: Vec::new(),
            defined: Vec::new(),
            calls: Vec::new(),
            calls_back: (Vec::new(), true),
            transactional: !are_operations(migration.engine),
        };
        match migration.engine {
            Engine::Postgresql | Engine::Sqlite => {}
            // Seen by `operations`, which follows them over the whole set.
            Engine::Mongodb | Engine::Redis | Engine::Elasticsearch => return checked,
        }
        let up = self.script(migration, &migration.up.text, Direction::Up, newer, scope);
        (checked.up, checked.transactional, checked.changes) = (up.found, up.in_transaction, up.changes);
        (checked.defined, checked.calls) = (up.defined, up.calls);
        if let Some(down) = &migration.down {
            let mut back = self.script(migration, &down.text, Direction::Down, newer, scope);
            wayback::keep_foreign(&checked.changes, &checked.up, &back.changes, &mut back.found);
            checked.down = back.found;
            if migration.is_reversible() && checked.down.is_empty() {
                checked.down.extend(incomplete(migration.engine, &down.text, &checked.changes, &back.changes));
            }
            checked.back = back.changes;
            checked.calls_back = (back.calls, back.in_transaction);
        }
        checked
    }

    /// Adds what the schema that the whole history builds says about the scripts that are looked at.
    fn with_history(
        &self,
        set: &MigrationSet,
        scope: &Scope,
        in_scope: &[(usize, &Migration)],
        scripts: &mut [Checked],
    ) {
        let databases: BTreeSet<String> = in_scope.iter().filter_map(|(_, m)| schema::database(m)).collect();
        if databases.is_empty() {
            return;
        }
        let mut looked: HashMap<usize, (Vec<schema::Change>, Vec<schema::Change>)> = in_scope
            .iter()
            .zip(&mut *scripts)
            .map(|((at, _), c)| (*at, (std::mem::take(&mut c.changes), std::mem::take(&mut c.back))))
            .collect();
        let others: Vec<(usize, &Migration)> = set
            .migrations
            .iter()
            .enumerate()
            .filter(|(at, m)| !looked.contains_key(at) && schema::database(m).is_some_and(|d| databases.contains(&d)))
            .collect();
        let read = depth::map_with_stack(&others, |(_, m)| changes_of(&m.up.text));
        looked.extend(others.iter().map(|(at, _)| *at).zip(read.into_iter().map(|changes| (changes, Vec::new()))));
        let steps: Vec<schema::Step<'_>> = set
            .migrations
            .iter()
            .enumerate()
            .filter_map(|(at, migration)| {
                looked.remove(&at).map(|(changes, back)| schema::Step { at, migration, changes, back })
            })
            .collect();
        let together = match scope {
            Scope::Paths(_) => in_scope.iter().map(|(at, _)| *at).collect(),
            Scope::All | Scope::Named(_) => HashSet::new(),
        };
        let environment = self.config.environment.as_ref();
        let mut notes = schema::judge(&steps, self.config.postgres_major(), &together, environment);
        for ((at, _), checked) in in_scope.iter().zip(scripts) {
            let schema::Notes { up, down } = notes.remove(at).unwrap_or_default();
            schema::weigh(up, &mut checked.up);
            if !down.is_empty() {
                // What it leaves out is of no interest while it cannot run.
                checked.down.retain(|f| f.rule.id != INCOMPLETE_DOWN);
                schema::weigh(down, &mut checked.down);
            }
        }
    }

    /// Appends what an engine says, where it stands.
    fn judged(&self, migration: &Migration, judged: &Judged, violations: &mut Vec<Violation>) {
        let source = match judged.direction {
            Direction::Up => Some(&migration.up),
            Direction::Down => migration.down.as_ref(),
        };
        let Some(source) = source else { return };
        let placeholder = match judged.word {
            Word::Syntax if source.text.contains('{') && cannot_parse(&source.text).is_none() => {
                depth::with_stack(|| foreign::placeholder(&source.text, &SourceFile::parse(&source.text)))
            }
            Word::Syntax | Word::Refused | Word::Stopped => None,
        };
        let rule = match judged.word {
            Word::Syntax => &table::SYNTAX_ERROR,
            Word::Refused => &table::SQLITE_REFUSES,
            Word::Stopped => &table::NOT_ANALYSED,
        };
        let found = match placeholder {
            Some(range) => foreign::unfilled(&source.text, range),
            None => Finding {
                help: judged.help.clone(),
                ..Finding::new(rule, judged.range.clone(), judged.message.clone())
            },
        };
        let is_said = |v: &Violation| v.file == source.path && v.rule == table::UNFILLED_TEMPLATE.id;
        if found.rule.id == table::UNFILLED_TEMPLATE.id && violations.iter().any(is_said) {
            return;
        }
        self.locate(source, vec![found], violations);
    }

    fn script(
        &self,
        migration: &Migration,
        text: &str,
        direction: Direction,
        newer: &mut HashSet<String>,
        scope: &Scope,
    ) -> Looked {
        let mut found = Vec::new();
        if let Some((severity, reason)) = cannot_parse(text) {
            let mut unseen = Finding::new(&table::NOT_ANALYSED, 0..0, reason);
            unseen.severity = Some(severity);
            found.push(unseen);
            let changes = vec![schema::Change::anything()];
            return Looked::only(found, changes);
        }
        let engine = migration.engine;
        let marked = squawk::without_marks(text);
        let Plain { text: inert, commands } = match engine {
            Engine::Postgresql => psql::without_commands(&marked),
            Engine::Sqlite | Engine::Mongodb | Engine::Redis | Engine::Elasticsearch => {
                Plain { text: Cow::Borrowed(&*marked), commands: Vec::new() }
            }
        };
        let runs_more = commands.iter().any(|command| psql::runs_more(&text[command.clone()]));
        found.extend(commands.into_iter().map(|command| psql::told(text, command)));
        let Parsed { text: inert, parse, statements } = match engine {
            Engine::Postgresql => bodies::parsed(inert),
            Engine::Sqlite | Engine::Mongodb | Engine::Redis | Engine::Elasticsearch => {
                let parse = SourceFile::parse(&inert);
                Parsed { text: inert, statements: statements_of(&parse), parse }
            }
        };
        let errors: Vec<_> = parse.errors();
        if engine == Engine::Postgresql
            && !errors.is_empty()
            && let Some(instead) = foreign::instead_of_errors(&inert, &parse, migration.layout)
        {
            found.extend(instead);
            return Looked::only(found, vec![schema::Change::anything()]);
        }
        let in_transaction = match execution(engine, &inert, migration.directives.no_transaction) {
            Ok(Execution::Transaction { .. }) => true,
            Ok(Execution::Statements(statements)) => {
                let unprovable = statements.iter().filter(|s| s.nature == Nature::Unprovable);
                found.extend(unprovable.map(|s| unprovable_step(text, s, migration.directives.manual.as_deref())));
                false
            }
            Err(error) => {
                let lines = Lines::new(text, 1);
                let start = lines.offset_of_line(error.line).unwrap_or(0);
                let end = text[start..].find('\n').map_or(text.len(), |n| start + n);
                let rule = match error.rule {
                    "psql-command" => &table::PSQL_COMMAND,
                    "syntax-error" => &table::SYNTAX_ERROR,
                    _ => &table::MIXED_TRANSACTION,
                };
                // What the parser says of it too, it says with the place.
                let is_told = engine == Engine::Postgresql && error.rule == "syntax-error" && !errors.is_empty();
                if !is_told {
                    found.push(Finding::new(rule, start..end, error.message).with_help(error.help));
                }
                false
            }
        };
        let script = Script::new(&inert, statements, engine, direction, in_transaction).on(Server::of(self.config));
        match engine {
            Engine::Postgresql => {
                found.extend(syntax::told(&inert, &parse, &errors));
                found.extend(misplaced::not_valid(&script.statements));
            }
            // SQLite itself judges SQLite's syntax (DECISIONS 18): see `Judged`.
            Engine::Sqlite | Engine::Mongodb | Engine::Redis | Engine::Elasticsearch => {}
        }
        match direction {
            Direction::Up => {
                let squawk = if engine == Engine::Postgresql { &self.postgres } else { &self.sqlite };
                squawk.run(&script, &parse, &mut found);
                corrections::correct(&script, squawk, &mut found);
                // Metadata tags the whole migration; within a script a comment does.
                let is_tagged = migration.directives.compliance.iter().any(|tag| !tag.trim().is_empty());
                let is_answered = |i: &RuleInfo| is_tagged && i.id == rules::postgres::UNTAGGED_PERSONAL_DATA.info.id;
                rules::run(&script, |i| i.applies.to(engine) && self.on(i) && !is_answered(i), &mut found);
                corrections::told_once(&mut found);
                if engine == Engine::Postgresql {
                    for finding in found.iter_mut().filter(|f| f.fix.is_none() && !is_harmless(f)) {
                        finding.fix = rewrite::of(&script, finding);
                    }
                    uses::withhold(&script, &mut found);
                }
                if engine != Engine::Postgresql && !errors.is_empty() {
                    let broken: BTreeSet<_> =
                        errors.iter().filter_map(|e| script.statement_at(usize::from(e.range().start()))).collect();
                    found.retain(|f| script.statement_at(f.range.start).is_none_or(|s| !broken.contains(&s)));
                }
                found.retain(|f| !script.concerns_only_new(f, newer));
                for finding in &mut found {
                    finding.tables = script.tables_at(finding);
                }
                found.extend(bodies::findings(&script, squawk, newer, |i| self.on(i)));
                secrets::told_once(&mut found);
                if matches!(scope, Scope::Paths(_)) {
                    newer.extend(script.created_names().map(str::to_owned));
                }
            }
            Direction::Down => {
                let is_newer = |i: &RuleInfo| i.id == rules::postgres::NEWER_THAN_SERVER.info.id;
                rules::run(&script, |i| is_newer(i) && i.applies.to(engine) && self.on(i), &mut found);
                found.extend(bodies::refused(&script));
                if engine == Engine::Postgresql {
                    found.extend(wayback::losses(&script, &parse, &self.back, |i| self.on(i)));
                }
            }
        }
        let changes = match engine {
            Engine::Postgresql if runs_more => vec![schema::Change::anything()],
            Engine::Postgresql => schema::changes(&inert, &script.statements, &script.blocks, !errors.is_empty()),
            Engine::Sqlite | Engine::Mongodb | Engine::Redis | Engine::Elasticsearch => Vec::new(),
        };
        let mut looked = Looked { in_transaction, ..Looked::only(found, changes) };
        if engine == Engine::Postgresql {
            looked.defined = calls::routines(&script.statements);
            looked.calls = calls::called(&script);
            looked.calls.retain(|call| !looked.defined.iter().any(|routine| routine.name == call.name));
        }
        looked
    }

    pub(super) fn on(&self, info: &RuleInfo) -> bool {
        level(self.config, info).is_some()
    }

    fn locate(&self, source: &migration::Script, found: Vec<Finding>, out: &mut Vec<Violation>) {
        if found.is_empty() {
            return;
        }
        let (text, lines) = (&source.text, Lines::of(source));
        let marks = squawk::marks(text);
        for finding in found {
            let Some(severity) = self.level_of(&source.path, &finding) else { continue };
            let start = lines.position(finding.range.start);
            let end = lines.position(finding.range.end);
            let ignored = severity != Severity::Error && is_marked(&marks, text, &finding);
            out.push(Violation {
                file: source.path.clone(),
                line: start.line,
                column: start.column,
                end_line: end.line,
                end_column: end.column,
                rule: finding.rule.id.to_owned(),
                category: finding.rule.category,
                severity,
                risk: finding.risk.unwrap_or(finding.rule.risk),
                message: finding.message,
                help: finding.help,
                url: finding.rule.page(),
                tables: finding.tables,
                fix: finding.fix.map(|rewrite| rewrite.located(&lines)),
                waived: ignored.then(|| "`squawk-ignore` comment".to_owned()),
            });
        }
    }

    /// The policy's level, else the finding's own, else the rule's.
    fn level_of(&self, file: &str, finding: &Finding) -> Option<Severity> {
        match self.config.levels.get(finding.rule.id) {
            Some(level) => *level,
            None => {
                let severity = finding.severity.or(finding.rule.severity)?;
                Some(profile::graded(self.config.profile_of(file), finding.rule, severity))
            }
        }
    }

    pub(super) fn problem(&self, problem: &Problem) -> Violation {
        let info = table::find(problem.rule).unwrap_or(&table::OTHER_STRUCTURE);
        Violation {
            file: problem.file.clone(),
            line: problem.line,
            column: problem.column,
            end_line: problem.line,
            end_column: problem.end_column.max(problem.column),
            rule: problem.rule.to_owned(),
            category: info.category,
            severity: match self.config.levels.get(problem.rule) {
                Some(Some(level)) => *level,
                Some(None) | None => profile::graded(self.config.profile_of(&problem.file), info, problem.severity),
            },
            // A note is worth knowing, and no reason for anyone to agree.
            risk: if problem.severity == Severity::Info { Risk::Low } else { info.risk },
            message: problem.message.clone(),
            help: Some(problem.help.clone()),
            url: info.page(),
            tables: Vec::new(),
            fix: None,
            waived: None,
        }
    }

    /// A risk that the file says, and that is below what the rules find in it.
    fn understated(&self, migration: &Migration, violations: &[Violation]) -> Option<Violation> {
        let declared = migration.declared_risk()?;
        let found = risk::assess(migration, violations).level;
        let line = migration.up.text.lines().position(|l| l.to_ascii_lowercase().contains("risk")).unwrap_or(0);
        let line = migration.up.first_line + u32::try_from(line).unwrap_or(0);
        (found > declared).then(|| {
            self.problem(&Problem {
                file: migration.up.path.clone(),
                line,
                column: 1,
                end_column: 1,
                rule: RISK_UNDERSTATED,
                severity: Severity::Warning,
                message: format!("it says {declared}, and what it does is {found}; the higher one counts"),
                help: "correct it, so that nobody who reads the file alone is misled".to_owned(),
            })
        })
    }

    /// A contract that comes in one change with what it ends.
    fn contract_with_expand(&self, contract: &Migration, in_scope: &[(usize, &Migration)]) -> Option<Violation> {
        let expand = in_scope.iter().map(|(_, m)| *m).find(|m| {
            m.directives.phase == Some(Phase::Expand) && m.target == contract.target && m.engine == contract.engine
        })?;
        let problem = Problem {
            file: contract.up.path.clone(),
            line: contract.up.first_line,
            column: 1,
            end_column: 1,
            rule: table::CONTRACT_WITH_EXPAND.id,
            severity: Severity::Warning,
            message: format!(
                "it takes away in the same change in which `{}` adds: no version of a program is released in between",
                expand.reference()
            ),
            help: "bring it in a later pull request, once nothing needs the old form any more".to_owned(),
        };
        Some(self.problem(&problem))
    }

    /// Whether the policy leaves the rule on (findings of the structure do not pass through `level_of`).
    pub(super) fn keep(&self, violation: &Violation) -> bool {
        !matches!(self.config.levels.get(&violation.rule), Some(None))
    }
}

/// Takes back rewrites that a later script of the same change would notice.
fn withhold_from_later(in_scope: &[(usize, &Migration)], scripts: &mut [Checked]) {
    let mut read: HashMap<usize, uses::Uses> = HashMap::new();
    for (n, ((_, migration), checked)) in in_scope.iter().zip(scripts).enumerate() {
        for finding in checked.up.iter_mut().filter(|f| f.fix.is_some()) {
            let Some((table, column)) = &finding.column else { continue };
            let of = schema::database(migration);
            let later = in_scope.iter().enumerate().skip(n + 1).filter(|(_, (_, m))| schema::database(m) == of);
            let noticed = later.into_iter().any(|(at, (_, other))| {
                let uses = read.entry(at).or_insert_with(|| uses_of(&other.up.text));
                uses.notice_from_afar(finding.rule.id, table, column)
            });
            if noticed {
                finding.fix = None;
            }
        }
    }
}

/// What a script says of columns.
fn uses_of(text: &str) -> uses::Uses {
    match cannot_parse(text) {
        Some(_) => uses::Uses::default(),
        None => depth::with_stack(|| uses::Uses::of(&statements_of(&SourceFile::parse(&squawk::without_marks(text))))),
    }
}

/// A finding that says there is nothing to fear: nothing is to be rewritten.
fn is_harmless(finding: &Finding) -> bool {
    finding.severity == Some(Severity::Info) && finding.risk == Some(Risk::Low)
}

/// What the way back of a migration leaves out.
fn incomplete(engine: Engine, down: &str, up: &[schema::Change], back: &[schema::Change]) -> Option<Finding> {
    if engine != Engine::Postgresql {
        return None;
    }
    let left = schema::unreversed(up, back);
    let (first, more) = left.split_first()?;
    let also: String = more.iter().take(2).map(|(_, what)| format!(", {what}")).collect();
    let rest = more.len().saturating_sub(2);
    let rest = if rest > 0 { format!(", and {rest} more") } else { String::new() };
    let end = down.find('\n').unwrap_or(down.len());
    let help = "undo all that the forward script does, or say in a comment why something stays";
    let message = format!("it {}{also}{rest}", first.1);
    table::find(INCOMPLETE_DOWN).map(|rule| Finding::new(rule, 0..end, message).with_help(help))
}

/// What a script does to the schema, when nothing else about it is asked.
pub(super) fn changes_of(text: &str) -> Vec<schema::Change> {
    if cannot_parse(text).is_some() {
        return vec![schema::Change::anything()];
    }
    let Parsed { text: inert, parse, statements } = bodies::parsed(squawk::without_marks(text));
    let broken = !parse.errors().is_empty();
    schema::changes(&inert, &statements, &bodies::blocks(&inert, &statements), broken)
}

/// The policy's level for a rule, else its own.
fn level(config: &LintConfig, info: &RuleInfo) -> Option<Severity> {
    config.levels.get(info.id).copied().unwrap_or(info.severity)
}

/// What is said of a statement whose effect no probe can see, marked as meant or not.
fn unprovable_step(text: &str, statement: &Statement, manual: Option<&str>) -> Finding {
    let first: String = text[statement.range.clone()].split_whitespace().take(2).collect::<Vec<_>>().join(" ");
    let nameless = first.to_ascii_lowercase().starts_with("create");
    let help = if nameless {
        "give the index a name: then a crash is resolved by looking for it".to_owned()
    } else {
        "let it do its work in one transaction, or in a form that may be run twice; where that cannot be, mark it as meant: \
         `-- godwit: manual=\"why\"`"
            .to_owned()
    };
    unprovable(statement.range.clone(), &format!("`{first} …`"), help, manual)
}

/// What is said of a step `what` whose effect nothing tells, marked as meant or not.
pub(super) fn unprovable(range: std::ops::Range<usize>, what: &str, help: String, manual: Option<&str>) -> Finding {
    let message = format!("after a crash in {what} nobody can tell whether it was done; a person has to look");
    let mut found = Finding::new(&table::UNPROVABLE_STEP, range, message).with_help(help);
    if let Some(why) = manual {
        found.severity = Some(Severity::Warning);
        found.message.push_str(&format!(" (marked as meant: {why})"));
        found.help = None;
    }
    found
}

/// Why a text is not handed to the parser, if it is not, and how bad that is.
pub(super) fn cannot_parse(text: &str) -> Option<(Severity, String)> {
    if text.len() > MAX_PARSED {
        let message = format!("the script has {} bytes; only its structure was looked at", text.len());
        Some((Severity::Warning, message))
    } else if !depth::is_bounded(text) {
        let message =
            format!("the script nests more than {} levels deep; nothing in it was looked at", depth::MAX_DEPTH);
        Some((Severity::Error, message))
    } else {
        None
    }
}

/// Whether a `squawk-ignore` comment stands right in front of the finding's statement.
fn is_marked(marks: &[squawk::Mark], text: &str, finding: &Finding) -> bool {
    marks.iter().any(|mark| {
        let names = mark.rules.is_empty() || mark.rules.iter().any(|r| r == finding.rule.id);
        names
            && match mark.behind {
                None => true,
                Some(behind) => {
                    finding.range.start >= behind
                        && !text[behind..finding.range.start].trim_end().trim_end_matches(';').contains(';')
                }
            }
    })
}
