//! Waivers: what the files and the policy let through, until when, and what is said of those that say nothing.

use chrono::Months;

use super::check::Linter;
use super::{Scope, Severity, Violation, table};
use crate::config::lint::PolicyWaiver;
use crate::migration::{Migration, Problem, Waiver};

/// For how long a waiver is proposed to hold that names no last day.
const MONTHS_WAIVED: Months = Months::new(12);

impl Linter<'_> {
    /// Applies the file's own waivers to the violations from `first` on, and reports waivers that say nothing, or that say
    /// it for ever.
    pub(super) fn waive(&self, migration: &Migration, violations: &mut Vec<Violation>, first: usize) {
        for waiver in &migration.directives.waivers {
            let file = file_of(waiver, migration);
            let complaint = if table::find(&waiver.rule).is_none() {
                Some((&table::UNKNOWN_WAIVER, format!("no rule is called `{}`", waiver.rule)))
            } else {
                waiver
                    .expires
                    .filter(|day| *day < self.today)
                    .map(|day| (&table::EXPIRED_WAIVER, format!("the waiver of `{}` held until {day}", waiver.rule)))
            };
            match complaint {
                Some((info, message)) => violations.push(self.problem(&Problem {
                    file: file.to_owned(),
                    line: waiver.at.line,
                    column: waiver.at.column,
                    end_column: waiver.at.end_column,
                    rule: info.id,
                    severity: info.severity.unwrap_or(Severity::Warning),
                    message,
                    help: "`godwit lint --rules` lists every rule; renew the date or take the mark out".to_owned(),
                })),
                None => {
                    if waiver.expires.is_none() {
                        violations.push(self.without_expiry(waiver, file));
                    }
                    for violation in violations[first..].iter_mut().filter(|v| v.rule == waiver.rule) {
                        violation.waived = Some(waiver.reason.clone());
                    }
                }
            }
        }
    }

    /// A waiver that nobody will ever look at again, with what to write behind it.
    fn without_expiry(&self, waiver: &Waiver, file: &str) -> Violation {
        let day = self.today.checked_add_months(MONTHS_WAIVED).unwrap_or(self.today);
        let text = match waiver.is_field {
            true => format!("\"expires\": \"{day}\""),
            false => format!("expires={day}"),
        };
        self.problem(&Problem {
            file: file.to_owned(),
            line: waiver.at.line,
            column: waiver.at.column,
            end_column: waiver.at.end_column,
            rule: table::WAIVER_WITHOUT_EXPIRY.id,
            severity: table::WAIVER_WITHOUT_EXPIRY.severity.unwrap_or(Severity::Warning),
            message: format!("the waiver of `{}` names no last day, so nobody looks at it again", waiver.rule),
            help: format!("write `{text}`, or an earlier day, beside its reason, unless the file is merged"),
        })
    }

    /// The policy's waivers lower a finding to `info`.
    pub(super) fn waive_by_policy(&self, violations: &mut [Violation]) {
        for waiver in self.config.waivers.iter().filter(|w| w.expires >= self.today) {
            let globs = globs_of(waiver);
            for violation in violations.iter_mut().filter(|v| waives(waiver, &globs, v)) {
                violation.severity = Severity::Info;
                violation.waived = Some(waiver.reason.clone());
            }
        }
    }

    /// The policy's waivers whose last day is over: all of them when the repository is looked at, else those that would
    /// have let something through.
    pub(super) fn expired(&self, violations: &[Violation], scope: &Scope) -> Vec<Violation> {
        let over = self.config.waivers.iter().filter(|w| w.expires < self.today);
        let concerned = over.filter(|waiver| match scope {
            Scope::All => true,
            Scope::Paths(_) | Scope::Named(_) => {
                let globs = globs_of(waiver);
                violations.iter().any(|v| waives(waiver, &globs, v))
            }
        });
        let problem = |waiver: &PolicyWaiver| Problem {
            file: self.config.file.clone(),
            line: waiver.line,
            column: 1,
            end_column: 1,
            rule: table::EXPIRED_WAIVER.id,
            severity: table::EXPIRED_WAIVER.severity.unwrap_or(Severity::Warning),
            message: format!("the waiver of `{}` held until {}", waiver.rule, waiver.expires),
            help: "mend what it let through, renew its date, or take it out".to_owned(),
        };
        concerned.map(|waiver| self.problem(&problem(waiver))).filter(|v| self.keep(v)).collect()
    }
}

/// The file in which a waiver stands.
fn file_of<'m>(waiver: &Waiver, migration: &'m Migration) -> &'m str {
    let is_metadata = |path: &str| path.ends_with(".json") && !path.ends_with("_rollback.json");
    let metadata = migration.files.iter().map(|f| f.path.as_str()).find(|path| waiver.is_field && is_metadata(path));
    metadata.unwrap_or(&migration.up.path)
}

/// The paths that a waiver of the policy holds for.
fn globs_of(waiver: &PolicyWaiver) -> globset::GlobSet {
    let mut globs = globset::GlobSetBuilder::new();
    for path in &waiver.paths {
        if let Ok(glob) = globset::GlobBuilder::new(path).literal_separator(true).build() {
            globs.add(glob);
        }
    }
    globs.build().unwrap_or_default()
}

/// Whether a waiver of the policy is about a finding.
fn waives(waiver: &PolicyWaiver, globs: &globset::GlobSet, violation: &Violation) -> bool {
    violation.rule == waiver.rule && (waiver.paths.is_empty() || globs.is_match(&violation.file))
}
