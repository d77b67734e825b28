//! The comments and checks that people read, compared word for word with `snapshots/*.md`.
//! `UPDATE_SNAPSHOTS=1 cargo test --test it approval::snapshots` writes them anew; read the difference before keeping it.

use std::path::Path;

use godwit::approval::{Counted, ReviewState};
use godwit::config::ConfigError;
use godwit::ids::{Checksum, CommitSha, Digest, Engine, Login, MigrationId, Risk, RoleName, RunId, TargetName};
use godwit::lint::{Category, LintReport, MigrationSummary, Severity, Violation};
use godwit::migration::MigrationSet;
use godwit::plan::{
    MigrationState, Outcome, PlannedStatement, RecoveryClass, Refusal, RunReport, Step, StepAction, StepError,
    StepReport,
};
use godwit::report::arrival::{Arrival, Stand};
use godwit::report::check_run::{CheckOutput, approval_output, lint_output};
use godwit::report::comment::{self, SummaryInput};
use godwit::report::run_comment::{self, Next, RunCommentInput};
use godwit::report::{EnvironmentPlan, Links};

use super::world::{World, env};

const FILE: &str = "migrations/postgresql/0004_orders.up.sql";

fn links() -> Links {
    Links {
        docs: Some("https://example.com/godwit/".to_owned()),
        everything: Some("https://github.com/acme/shop/runs/1".to_owned()),
        ..Links::to("https://github.com", &world().pr.repo, &world().pr.head)
    }
}

fn world() -> World {
    World::new(Risk::High)
}

fn violation(line: u32, rule: &str, severity: Severity, message: &str, help: &str) -> Violation {
    Violation {
        file: FILE.to_owned(),
        line,
        column: 1,
        end_line: line,
        end_column: 40,
        rule: rule.to_owned(),
        category: Category::Lock,
        severity,
        risk: Risk::High,
        message: message.to_owned(),
        help: Some(help.to_owned()),
        url: format!("docs/rules/{rule}.md"),
        tables: Vec::new(),
        fix: None,
        waived: None,
    }
}

fn lint(risk: Risk, violations: Vec<Violation>) -> LintReport {
    LintReport {
        files: 2,
        violations,
        migrations: vec![MigrationSummary {
            id: "0004_orders".to_owned(),
            version: "0004".to_owned(),
            name: "orders".to_owned(),
            unit: "migrations/postgresql".to_owned(),
            engine: Engine::Postgresql,
            target: Some(TargetName::new("shop-pg").unwrap()),
            service: None,
            risk,
            reasons: match risk {
                Risk::Low => Vec::new(),
                Risk::Medium | Risk::High => {
                    vec!["`orders.total` changes its type, which rewrites the table".to_owned()]
                }
            },
            reversible: true,
            transactional: true,
            depends_on: Vec::new(),
            checksum: format!("sha256:{}", "c".repeat(64)),
        }],
        risk,
        digest: digest(),
    }
}

fn nothing() -> LintReport {
    LintReport { files: 0, violations: Vec::new(), migrations: Vec::new(), risk: Risk::Low, digest: digest() }
}

fn digest() -> Digest {
    Digest::new(format!("sha256:{}", "1".repeat(64))).unwrap()
}

fn step(sql: &[&str]) -> Step {
    Step {
        unit: "migrations/postgresql".to_owned(),
        migration: MigrationId::new("0004_orders").unwrap(),
        version: "0004".to_owned(),
        target: TargetName::new("shop-pg").unwrap(),
        engine: Engine::Postgresql,
        action: StepAction::Apply,
        recovery: RecoveryClass::Atomic,
        recovery_reason: String::new(),
        probe: String::new(),
        locks: None,
        in_transaction: true,
        statements: sql
            .iter()
            .zip(1..)
            .map(|(sql, line)| PlannedStatement {
                sql: (*sql).to_owned(),
                line,
                recovery: RecoveryClass::Atomic,
                why: String::new(),
            })
            .collect(),
        path: FILE.to_owned(),
        checksum: Checksum::new(format!("sha256:{}", "c".repeat(64))).unwrap(),
        risk: Risk::High,
        reversible: true,
        backfill: None,
    }
}

fn plans(steps: &[Step]) -> Vec<EnvironmentPlan> {
    ["development", "testing", "staging", "production"]
        .map(|name| EnvironmentPlan {
            environment: env(name),
            targets: vec![TargetName::new("shop-pg").unwrap()],
            steps: steps.to_vec(),
            refusals: Vec::new(),
        })
        .to_vec()
}

fn sql() -> Vec<Step> {
    vec![step(&["alter table orders\n  alter column total type bigint", "comment on column orders.total is 'cents';"])]
}

/// The comment and both checks of one pull request.
fn page(world: &World, lint: &LintReport, plans: &[EnvironmentPlan], config_errors: &[ConfigError]) -> String {
    let (verdict, links) = (config_errors.is_empty().then(|| world.verdict()), links());
    let input = SummaryInput { verdict: verdict.as_ref(), ..input(world, lint, plans, config_errors, &links) };
    let approval = approval_output(&input);
    // The check's summary is the comment.
    let approval = CheckOutput { summary: "(the comment)".to_owned(), ..approval };
    format!("{}\n{}\n{}", comment::summary(&input), check(&lint_output(lint, config_errors)), check(&approval))
}

/// The comment of the same pull request after its merge.
fn merged(world: World, lint: &LintReport, plans: &[EnvironmentPlan], arrivals: &[Arrival]) -> String {
    let world = world.with(|w| w.pr.merged = true);
    let (verdict, links) = (world.verdict(), links());
    let input = input(&world, lint, plans, &[], &links);
    comment::summary(&SummaryInput { verdict: Some(&verdict), arrivals: Some(arrivals), ..input })
}

fn input<'a>(
    world: &'a World,
    lint: &'a LintReport,
    plans: &'a [EnvironmentPlan],
    config_errors: &'a [ConfigError],
    links: &'a Links,
) -> SummaryInput<'a> {
    SummaryInput {
        snapshot: &world.pr,
        lint,
        verdict: None,
        plans,
        arrivals: None,
        graph: None,
        checklists: &[],
        config_errors,
        links,
    }
}

/// How the four environments stand, and what came of their runs.
fn arrivals(stands: [(Stand, Option<RunReport>); 4]) -> Vec<Arrival> {
    let names = ["development", "testing", "staging", "production"];
    let one = |(name, (stand, report))| Arrival { environment: env(name), stand, report };
    names.into_iter().zip(stands).map(one).collect()
}

fn check(output: &CheckOutput) -> String {
    let mut out = format!("---\ncheck: {} · {}\n\n{}\n", output.conclusion.as_str(), output.title, output.summary);
    if let Some(text) = &output.text {
        out.push_str(&format!("\n{text}"));
    }
    for a in &output.annotations {
        out.push_str(&format!(
            "\n@ {}:{}-{} {:?} {} | {} | {:?}\n",
            a.path,
            a.start_line,
            a.end_line,
            a.columns,
            a.level.as_str(),
            a.title,
            a.message
        ));
    }
    out
}

fn run(state: MigrationState, outcome: Outcome, error: Option<StepError>) -> RunReport {
    let one = |id: &str, state, error| StepReport {
        unit: String::new(),
        migration: MigrationId::new(id).unwrap(),
        target: TargetName::new("shop-pg").unwrap(),
        engine: Engine::Postgresql,
        action: StepAction::Apply,
        recovery: RecoveryClass::Atomic,
        recovery_reason: String::new(),
        probe: None,
        locks: None,
        rows: None,
        in_transaction: true,
        statements: vec!["alter table orders alter column total type bigint".to_owned()],
        state,
        notices: Vec::new(),
        verified: 0,
        duration_ms: 1_240,
        error,
    };
    let second = match state {
        MigrationState::Applied => MigrationState::Applied,
        _ => MigrationState::Pending,
    };
    RunReport {
        environment: Some(env("staging")),
        digest: digest(),
        risk: Risk::High,
        outcome,
        steps: vec![one("0004_orders", state, error), one("0005_customers", second, None)],
        blocked_by: Vec::new(),
        notes: Vec::new(),
        backup: Some("staging-shop-pg-20261121T120000Z.dump".to_owned()),
        run: RunId::new("01JD4RQ5E8Z8XK2V6M9W3T7B1C").unwrap(),
        ended: Vec::new(),
        health: None,
        duration_ms: 2_480,
    }
}

fn run_page(report: &RunReport, next: &Next) -> String {
    let commit = CommitSha::new("d".repeat(40)).unwrap();
    let (head, links) = (format!("sha256:{}", "e".repeat(64)), links());
    run_comment::result(&RunCommentInput {
        environment: &env("staging"),
        report,
        commit: &commit,
        by: "merge of #7 by @ann",
        counted: &Counted {
            roles: vec![(RoleName::new("data_ops").unwrap(), Login::new("ann"))],
            besides: vec![Login::new("ben")],
            gates: vec![("code owners".to_owned(), vec![Login::new("dan"), Login::new("dora")])],
        },
        next,
        audit_head: Some(&head),
        links: &links,
        rollback: Some("a holder of `data_ops` (`@omar`) asks for it"),
        contacts: &[("dba".to_owned(), "dba@example.com".to_owned()), ("on_call".to_owned(), "#db-on-call".to_owned())],
        regions: &[],
        set: &MigrationSet::default(),
    })
}

fn error(undone: bool) -> Option<StepError> {
    Some(StepError {
        message: "canceling statement due to lock timeout".to_owned(),
        code: Some("55P03".to_owned()),
        file: FILE.to_owned(),
        line: 1,
        operation: None,
        undone,
        hint: Some("another session holds a lock on `orders`; it was tried 5 times".to_owned()),
    })
}

fn hostile() -> (World, LintReport, Vec<EnvironmentPlan>) {
    let evil = "0009_@all`|<!-- godwit:summary -->](https://evil.example)";
    let world = world()
        .file("CODEOWNERS", "* @dan\n[x] @evil\n")
        .label("approved:<img src=x onerror=alert(1)>", "ann")
        .with(|w| {
            w.pr.commit_people.insert(godwit::approval::CommitPerson::Unknown("`x` @team <b>@evil.example".to_owned()));
        });
    let mut report = lint(
        Risk::High,
        vec![violation(
            1,
            "parse-error",
            Severity::Warning,
            "cannot read `a | b` of @all: <script>",
            "see https://evil.example",
        )],
    );
    report.migrations[0].id = evil.to_owned();
    report.violations[0].file = format!("migrations/{evil}.sql");
    let mut step = step(&["select '```';\n</details>\n@all <!-- x -->"]);
    step.migration = MigrationId::new("0009_@all`|x").unwrap();
    (world, report, plans(&[step]))
}

#[test]
fn the_words_people_read() {
    let warning = || {
        violation(
            1,
            "changing-column-type",
            Severity::Warning,
            "changing the type of `orders.total` rewrites the table and blocks every reader and writer",
            "add a new column, copy in batches, then switch",
        )
    };
    let broken = ConfigError {
        file: "policies/roles.yml".to_owned(),
        line: Some(3),
        column: Some(3),
        message: "unknown key `team` in `dba`, did you mean `teams`?; allowed: `teams`, `users`, `labels`".to_owned(),
    };
    let unanswered = |w: &mut World| w.rebind('2', Risk::High);
    let manual = "development: {migration: {auto_approve: true}}\ntesting:\nstaging: {branch: develop}\nproduction: {promotion: manual}\n";
    let refused = Refusal {
        reason: "edited".to_owned(),
        message: "`0003_carts` was applied to `shop-pg` and its file changed since".to_owned(),
        what_to_do: "Restore the file and write a new migration".to_owned(),
        needs_human: false,
    };
    let (evil_world, evil_lint, evil_plans) = hostile();
    let mut large =
        lint(Risk::High, (1..400).map(|line| violation(line, "x-rule", Severity::Warning, "y", "z")).collect());
    large.files = 400;
    let mut irreversible = lint(Risk::High, vec![warning()]);
    irreversible.migrations[0].reversible = false;
    irreversible.migrations[0].transactional = false;
    let mut unsure = step(&["create index concurrently orders_total on orders (total)"]);
    (unsure.in_transaction, unsure.recovery) = (false, RecoveryClass::Verifiable);

    let pages = [
        (
            "waiting",
            page(
                &world().file("CODEOWNERS", "/migrations/ @acme/dba\n").approve(&["lea", "ann"]),
                &lint(Risk::High, vec![warning()]),
                &plans(&sql()),
                &[],
            ),
        ),
        (
            "approved",
            page(
                &World::new(Risk::Low).approve(&["lea", "dan", "ann"]),
                &lint(Risk::Low, Vec::new()),
                &plans(&sql()),
                &[],
            ),
        ),
        (
            "errors",
            page(
                &world(),
                &lint(
                    Risk::High,
                    vec![
                        warning(),
                        violation(
                            2,
                            "ban-drop-column",
                            Severity::Error,
                            "dropping `orders.note` loses its data",
                            "say so with a mark",
                        ),
                        Violation { waived: Some("agreed with @ann".to_owned()), ..warning() },
                    ],
                ),
                &plans(&sql()),
                &[],
            ),
        ),
        ("broken-policy", page(&world(), &lint(Risk::High, vec![warning()]), &[], &[broken])),
        (
            "nothing",
            page(
                &world().with(|w| {
                    w.pr.migration_paths.clear();
                    w.pr.binding = None;
                }),
                &nothing(),
                &[],
                &[],
            ),
        ),
        ("draft", page(&world().with(|w| w.pr.draft = true), &lint(Risk::High, vec![warning()]), &plans(&sql()), &[])),
        (
            "changed-since",
            page(
                &world().approve(&["lea", "dan"]).with(unanswered).says("tim", ReviewState::ChangesRequested),
                &lint(Risk::High, vec![warning()]),
                &plans(&sql()),
                &[],
            ),
        ),
        (
            "manual-and-irreversible",
            page(
                &world().file("policies/environments.yml", manual).approve(&["lea"]),
                &irreversible,
                &plans(&[unsure]),
                &[],
            ),
        ),
        (
            "refused",
            page(
                &World::new(Risk::Low).approve(&["lea", "dan", "ann"]),
                &lint(Risk::Low, Vec::new()),
                &[
                    EnvironmentPlan { refusals: vec![refused.clone()], steps: Vec::new(), ..plans(&[])[0].clone() },
                    EnvironmentPlan { ..plans(&sql())[3].clone() },
                ],
                &[],
            ),
        ),
        (
            "merged",
            merged(
                World::new(Risk::Low).approve(&["lea", "dan", "ann"]),
                &lint(Risk::Low, Vec::new()),
                &[],
                &arrivals([(); 4].map(|()| (Stand::Holds, Some(run(MigrationState::Applied, Outcome::Applied, None))))),
            ),
        ),
        (
            "merged-failed",
            merged(
                world().approve(&["lea", "dan", "ann"]),
                &irreversible,
                &plans(&sql())[2..],
                &arrivals([
                    (Stand::Holds, Some(run(MigrationState::Applied, Outcome::Applied, None))),
                    (Stand::Holds, None),
                    (Stand::Failed, Some(run(MigrationState::Failed, Outcome::Failed, error(true)))),
                    (Stand::Ahead, None),
                ]),
            ),
        ),
        (
            "merged-waits",
            merged(
                world().approve(&["ann"]),
                &lint(Risk::High, vec![warning()]),
                &plans(&sql())[3..],
                &arrivals([
                    (Stand::Holds, None),
                    (Stand::Holds, None),
                    (Stand::Undone, None),
                    (Stand::Waits("approval".to_owned()), None),
                ]),
            ),
        ),
        ("hostile", page(&evil_world, &evil_lint, &evil_plans, &[])),
        (
            "run-applied",
            run_page(&run(MigrationState::Applied, Outcome::Applied, None), &Next::Starts(env("production"))),
        ),
        ("run-failed", run_page(&run(MigrationState::Failed, Outcome::Failed, error(true)), &Next::Stops)),
        (
            "run-needs-human",
            run_page(&run(MigrationState::NeedsHuman, Outcome::NeedsHuman, error(false)), &Next::Stops),
        ),
        (
            "run-blocked",
            run_page(
                &RunReport {
                    steps: Vec::new(),
                    outcome: Outcome::Blocked,
                    blocked_by: vec![refused],
                    backup: None,
                    duration_ms: 3,
                    ..run(MigrationState::Pending, Outcome::Blocked, None)
                },
                &Next::Waits(env("production"), "missing `cto`".to_owned()),
            ),
        ),
    ];
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/approval/snapshots"));
    let update = std::env::var_os("UPDATE_SNAPSHOTS").is_some();
    let mut wrong = Vec::new();
    for (name, text) in &pages {
        let file = folder.join(format!("{name}.md"));
        if update {
            std::fs::write(&file, text).unwrap();
        } else if std::fs::read_to_string(&file).ok().as_ref() != Some(text) {
            wrong.push(format!("{name}.md is not what is written now:\n{text}"));
        }
    }
    for entry in std::fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().to_string_lossy().replace(".md", "");
        if !pages.iter().any(|(n, _)| *n == name) {
            wrong.push(format!("{name}.md belongs to no test"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn b15_nothing_is_longer_than_github_takes_and_the_failing_end_stays() {
    let violations = (1..3_000).map(|line| violation(line, "x-rule", Severity::Error, &"y".repeat(200), "z")).collect();
    let report = lint(Risk::High, violations);
    let long = "x".repeat(3_000);
    let statements: Vec<&str> = (0..60).map(|_| long.as_str()).collect();
    let world = world();
    let (verdict, links) = (world.verdict(), links());
    let plans = plans(&[step(&statements), step(&statements), step(&statements)]);
    let input = SummaryInput {
        snapshot: &world.pr,
        lint: &report,
        verdict: Some(&verdict),
        plans: &plans,
        arrivals: None,
        graph: None,
        checklists: &[],
        config_errors: &[],
        links: &links,
    };
    let text = comment::summary(&input);
    assert!(text.chars().map(char::len_utf16).sum::<usize>() <= 65_536);
    assert!(
        text.contains("Approvals")
            && text.trim_end().ends_with(
                "_This comment is cut; everything stands in the check run._](https://github.com/acme/shop/runs/1)"
            )
    );
    assert_eq!(text.matches("<details>").count(), text.matches("</details>").count());
    let output = lint_output(&report, &[]);
    assert!(output.text.unwrap().chars().count() <= 65_535);
    assert!(output.annotations.iter().all(|a| a.message.len() <= 64 * 1024 && a.title.chars().count() <= 255));

    let mut failed = run(MigrationState::Failed, Outcome::Failed, error(true));
    let log: Vec<String> = (0..20_000).map(|n| format!("NOTICE: row {n}")).collect();
    failed.steps[0].error.as_mut().unwrap().message = format!("{}\nERROR: out of disk", log.join("\n"));
    let text = run_page(&failed, &Next::Stops);
    assert!(text.contains("ERROR: out of disk") && text.contains("lines left out"));
    assert!(text.chars().count() <= 65_536);
}

/// B-20: whatever a driver printed, a password does not reach a comment.
#[test]
fn b20_planted_secrets_are_blotted_out() {
    let mut failed = run(MigrationState::Failed, Outcome::Failed, error(true));
    failed.steps[0].error.as_mut().unwrap().message =
        "cannot connect to postgres://godwit:planted-secret-1@db/shop".to_owned();
    let text = run_page(&failed, &Next::Stops);
    assert!(!text.contains("planted-secret-1"), "{text}");
    let mut report =
        lint(Risk::High, vec![violation(1, "x", Severity::Error, "at https://ghs_planted2@github.com/a/b", "y")]);
    report.violations[0].waived = None;
    let output = lint_output(&report, &[]);
    assert!(!format!("{output:?}").contains("ghs_planted2"));
}
