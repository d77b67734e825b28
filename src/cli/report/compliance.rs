//! Compliance reports: per framework the evidence that was recorded (SPEC 16). They show what happened; whether that
//! satisfies an auditor is the auditor's to say.

use std::collections::{BTreeMap, BTreeSet};

use super::Framework;
use super::parts::{self, Facts, at, or_dash};
use crate::lint::LintReport;
use crate::report::sheet::Part;
use crate::store::AuditRecord;

impl Framework {
    /// The report's title.
    pub(super) fn title(self) -> &'static str {
        match self {
            Framework::Iso27001 => "ISO 27001: access and audit",
            Framework::Iso22301 => "ISO 22301: backups, drills, failover",
            Framework::PciDss => "PCI DSS: payment data",
            Framework::Gdpr => "GDPR: personal data",
            Framework::Popia => "POPIA: personal data",
            Framework::Sox => "SOX: separation of duties",
        }
    }

    /// How `regions` of `environments.yml` call it.
    fn tags(self) -> &'static [&'static str] {
        match self {
            Framework::Iso27001 => &["ISO27001", "ISO 27001"],
            Framework::Iso22301 => &["ISO22301", "ISO 22301"],
            Framework::PciDss => &["PCI", "PCI-DSS", "PCI DSS"],
            Framework::Gdpr => &["GDPR"],
            Framework::Popia => &["POPIA"],
            Framework::Sox => &["SOX"],
        }
    }
}

/// Words in names of migrations that speak of payments [S0-103].
const PAYMENT: [&str; 6] = ["payment", "card", "iban", "invoice", "billing", "transaction"];
/// Words that speak of people [S0-104] [S0-105].
const PERSONAL: [&str; 10] =
    ["user", "customer", "person", "email", "phone", "address", "birth", "consent", "privacy", "profile"];

/// Everything that is told for a framework.
pub(super) fn parts(framework: Framework, facts: &Facts) -> Vec<Part> {
    let mut all = match framework {
        Framework::Iso27001 => vec![parts::audit(facts), parts::access(facts, None), changes_of_rights(facts)],
        Framework::Iso22301 => vec![parts::backups(facts), drills(facts), interruptions(facts)],
        Framework::PciDss => vec![about(facts, "Changes that speak of payments", &PAYMENT), parts::alerts(facts)],
        Framework::Gdpr | Framework::Popia => {
            vec![about(facts, "Changes that speak of people", &PERSONAL), losses(facts), parts::backups(facts)]
        }
        Framework::Sox => vec![duties(facts), overrides(facts), parts::audit(facts)],
    };
    all.push(regions(framework, facts));
    all
}

/// One row about a framework for the monthly report [S0-60].
pub(super) fn summary(framework: Framework, facts: &Facts) -> Part {
    let rows = parts(framework, facts).into_iter().map(|part| vec![part.title, part.rows.len().to_string(), part.note]);
    Part::new(framework.title(), "", &["evidence", "entries", "in short"]).with(rows)
}

/// How many migrations pass the rules for databases [S0-107].
pub(super) fn standards(lint: &LintReport) -> Part {
    let files: BTreeSet<&str> = lint
        .violations
        .iter()
        .filter(|v| v.severity == crate::lint::Severity::Error && v.waived.is_none())
        .map(|v| v.file.as_str())
        .collect();
    let (all, bad) = (lint.migrations.len(), files.len());
    let rate = (all.saturating_sub(bad) * 100).checked_div(all).unwrap_or(100);
    Part::new("Database standards", format!("{rate} % of {all} migrations have no error"), &["file with an error"])
        .with(files.into_iter().map(|f| vec![f.to_owned()]))
}

fn rows<'a>(records: impl Iterator<Item = &'a AuditRecord> + 'a) -> impl Iterator<Item = Vec<String>> + 'a {
    records.map(|r| {
        vec![
            at(r.body.at),
            r.body.actor.clone(),
            r.body.action.clone(),
            or_dash(r.body.environment.as_deref()),
            r.body.result.clone(),
            or_dash(r.body.basis.as_deref()),
        ]
    })
}

const COLUMNS: [&str; 6] = ["when", "who", "what", "environment", "result", "why"];

fn of_actions<'a>(facts: &'a Facts, actions: &'a [&str]) -> impl Iterator<Item = &'a AuditRecord> {
    facts.records.iter().filter(move |r| actions.contains(&r.body.action.as_str()))
}

fn changes_of_rights(facts: &Facts) -> Part {
    let found = of_actions(facts, &["lock", "unlock", "emergency", "approve", "confirm", "straight-push"]);
    Part::new("Rights that were used", "locks, approvals outside GitHub, emergencies", &COLUMNS).with(rows(found))
}

fn drills(facts: &Facts) -> Part {
    let verified = facts.backups.iter().filter_map(|b| b.meta.verified.as_ref().map(|v| (b, v)));
    let restored = of_actions(facts, &["restore"]).map(|r| {
        vec![
            at(r.body.at),
            "restore".to_owned(),
            or_dash(r.body.environment.as_deref()),
            or_dash(r.body.target.as_deref()),
            r.body.result.clone(),
        ]
    });
    let tried = verified.map(|(b, v)| {
        vec![
            at(v.at),
            "drill into scratch".to_owned(),
            or_dash(b.meta.environment.as_ref().map(|e| e.as_str())),
            b.meta.target.to_string(),
            if v.ok { format!("{} entries counted", v.counted) } else { "failed".to_owned() },
        ]
    });
    let note = "every backup is restored into scratch before it gets its name";
    Part::new("Restores and drills", note, &["when", "what", "environment", "target", "result"])
        .with(tried.chain(restored))
}

fn interruptions(facts: &Facts) -> Part {
    let cut = facts
        .steps
        .iter()
        .filter(|s| !matches!(s.outcome.as_deref(), Some("applied" | "nothing" | "failed" | "blocked")));
    let mut seen = BTreeSet::new();
    let rows = cut.filter(|s| seen.insert(s.run.clone())).map(|s| {
        vec![
            s.run.clone(),
            at(s.at),
            or_dash(s.environment.as_deref()),
            s.outcome.clone().unwrap_or_else(|| "not ended".to_owned()),
        ]
    });
    Part::new(
        "Runs that were cut short",
        "and were gone on with, or wait for a person",
        &["run", "began", "environment", "outcome"],
    )
    .with(rows)
}

fn about(facts: &Facts, title: &str, words: &[&str]) -> Part {
    let found = facts.steps.iter().filter(|s| {
        let name = s.step.migration.to_ascii_lowercase();
        words.iter().any(|word| name.contains(word))
    });
    let columns = ["began", "environment", "target", "migration", "action", "state", "by"];
    Part::new(title, format!("by the words of their names: {}", words.join(", ")), &columns).with(found.map(|s| {
        vec![
            at(s.at),
            or_dash(s.environment.as_deref()),
            s.step.target.clone(),
            s.step.migration.clone(),
            s.step.action.clone(),
            s.step.state.clone(),
            s.by.clone(),
        ]
    }))
}

fn losses(facts: &Facts) -> Part {
    let found = facts
        .records
        .iter()
        .filter(|r| r.body.action == "reset-data" || r.body.action.contains("rollback") || r.body.action == "restore");
    Part::new("Data that was taken back or away", "rollbacks, restores, emptied databases", &COLUMNS).with(rows(found))
}

/// Who changed an environment and who agreed: never one and the same person [S0-106].
fn duties(facts: &Facts) -> Part {
    let mut agreed: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for record in of_actions(facts, &["approve", "approved"]) {
        if let Some(digest) = &record.body.digest {
            agreed.entry(digest.clone()).or_default().insert(&record.body.actor);
        }
    }
    let runs = of_actions(facts, &["run-finished"]);
    Part::new(
        "Who ran and who agreed",
        "approvals of a pull request are judged and named in its verdict, which the basis holds; a run by `--url` has no \
         environment, and nobody is asked about it",
        &["when", "environment", "run", "by", "agreed", "basis", "result"],
    )
    .with(runs.map(|r| {
        let others = r
            .body
            .digest
            .as_ref()
            .and_then(|d| agreed.get(d))
            .map(|people| people.iter().filter(|p| **p != r.body.actor).copied().collect::<Vec<_>>().join(", "));
        vec![
            at(r.body.at),
            or_dash(r.body.environment.as_deref()),
            or_dash(r.body.run.as_deref()),
            r.body.actor.clone(),
            or_dash(others.as_deref()),
            or_dash(r.body.basis.as_deref()),
            r.body.result.clone(),
        ]
    }))
}

fn overrides(facts: &Facts) -> Part {
    Part::new("Overrides", "emergencies, and what a person settled by hand", &COLUMNS)
        .with(rows(of_actions(facts, &["emergency", "resolve", "reset", "audit-accepted", "release"])))
}

/// The regions that say they keep the framework, and what ran on their targets.
fn regions(framework: Framework, facts: &Facts) -> Part {
    let mut rows = Vec::new();
    for environment in facts.policy.iter().flat_map(|p| &p.environments.0) {
        for region in &environment.regions {
            let keeps = |tag: &String| framework.tags().iter().any(|t| t.eq_ignore_ascii_case(tag));
            if !region.compliance.iter().any(keeps) {
                continue;
            }
            let targets: Vec<&str> = environment
                .targets
                .iter()
                .filter(|t| t.region.as_deref() == Some(&region.name))
                .map(|t| t.name.as_str())
                .collect();
            let ran = facts
                .steps
                .iter()
                .filter(|s| {
                    s.environment.as_deref() == Some(environment.name.as_str())
                        && targets.contains(&s.step.target.as_str())
                })
                .count();
            rows.push(vec![environment.name.to_string(), region.name.clone(), targets.join(", "), ran.to_string()]);
        }
    }
    let note = "regions of `environments.yml` with the tag of this framework";
    Part::new("Regions", note, &["environment", "region", "targets", "steps"]).with(rows)
}
