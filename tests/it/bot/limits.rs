//! Comments within what GitHub takes, whatever a database says (B-15).

use godwit::approval::Counted;
use godwit::ids::{CommitSha, Digest, Engine, EnvironmentName, MigrationId, Risk, RunId, TargetName};
use godwit::migration::MigrationSet;
use godwit::plan::{MigrationState, Outcome, RecoveryClass, RunReport, StepAction, StepError, StepReport};
use godwit::report::run_comment::{Next, RunCommentInput, result};
use godwit::report::{Links, escape};
use proptest::prelude::*;

fn step(n: usize, message: &str) -> StepReport {
    let failed = !message.is_empty();
    StepReport {
        unit: String::new(),
        migration: MigrationId::new(format!("{n:04}_step")).unwrap(),
        target: TargetName::new("shop").unwrap(),
        engine: Engine::Postgresql,
        action: StepAction::Apply,
        recovery: RecoveryClass::Atomic,
        in_transaction: true,
        recovery_reason: String::new(),
        probe: None,
        locks: None,
        rows: None,
        statements: vec![String::new()],
        state: if failed { MigrationState::Failed } else { MigrationState::Applied },
        notices: Vec::new(),
        verified: 0,
        duration_ms: 5,
        error: failed.then(|| StepError {
            message: message.to_owned(),
            code: None,
            file: format!("migrations/{n:04}_step.up.sql"),
            line: 1,
            operation: None,
            undone: true,
            hint: None,
        }),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn b15_a_comment_fits_is_whole_and_keeps_the_failing_end(
        before in 0usize..900, line in "[a-z`<>|]{0,30}", lines in 1usize..4000, wide in 0usize..90_000,
    ) {
        let message = format!("{}\n```\n<details>\n{}END OF IT", format!("{line}\n").repeat(lines), "x".repeat(wide));
        let mut steps: Vec<StepReport> = (0..before).map(|n| step(n, "")).collect();
        steps.push(step(before, &message));
        let environment = EnvironmentName::new("staging").unwrap();
        let report = RunReport {
            environment: Some(environment.clone()),
            digest: Digest::new(format!("sha256:{}", "0".repeat(64))).unwrap(),
            risk: Risk::High,
            outcome: Outcome::Failed,
            steps,
            blocked_by: Vec::new(),
            notes: Vec::new(),
            backup: None,
            run: RunId::generate(),
            ended: Vec::new(),
            health: None,
            duration_ms: 9,
        };
        let commit = CommitSha::new("a".repeat(40)).unwrap();
        let text = result(&RunCommentInput {
            environment: &environment,
            report: &report,
            commit: &commit,
            by: "merge by rosa",
            counted: &Counted::default(),
            next: &Next::Stops,
            audit_head: None,
            links: &Links::default(),
            rollback: None,
            contacts: &[],
            regions: &[],
            set: &MigrationSet::default(),
        });
        prop_assert!(text.chars().map(char::len_utf16).sum::<usize>() <= escape::COMMENT_LIMIT);
        prop_assert!(text.contains("END OF IT") && text.contains("/godwit retry staging"));
        prop_assert!(is_whole(&text), "{}", &text[text.len().saturating_sub(400)..]);
    }
}

/// Whether every fence and every fold is closed, read as a Markdown reader does.
fn is_whole(text: &str) -> bool {
    let (mut fence, mut folds) = (0usize, 0i32);
    for line in text.lines() {
        let ticks = line.chars().take_while(|c| *c == '`').count();
        if fence > 0 {
            if ticks >= fence && line.trim_end().len() == ticks {
                fence = 0;
            }
        } else if ticks >= 3 {
            fence = ticks;
        } else {
            folds += i32::try_from(line.matches("<details>").count()).unwrap();
            folds -= i32::try_from(line.matches("</details>").count()).unwrap();
        }
    }
    fence == 0 && folds == 0
}
