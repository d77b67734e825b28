//! How severe findings are in an environment that is there to try things out (SPEC 6).

use super::table::RuleInfo;
use super::{Category, Severity};
use crate::config::Profile;

/// Errors of other kinds that are errors only where the data or the rights matter.
const ERROR_WHEN_STRICT: [&str; 17] = [
    "missing-down",
    "empty-down",
    "orphan-down",
    "irreversible-operation",
    "out-of-order",
    "foreign-schema",
    "grant-all",
    "grant-to-public",
    "missing-docs",
    "models-disagree",
    "version-content",
    "version-order",
    "superuser-rights",
    "update-without-filter",
    "keys-command",
    "undeclared-key",
    "flush-command",
];
/// Errors that stay errors everywhere: nobody ever means them.
const ALWAYS_ERROR: [&str; 5] =
    ["update-without-where", "delete-without-where", "index-name", "destructive-command", "prisma-dev-command"];

/// How severe a finding is in a profile, given how severe the rule says it is. What cannot run at all, and what would
/// be in the history for good, is an error everywhere.
pub fn graded(profile: Profile, rule: &RuleInfo, strict: Severity) -> Severity {
    match (profile, strict) {
        (Profile::Strict, severity) => severity,
        (Profile::Relaxed, Severity::Info | Severity::Warning) => Severity::Info,
        (Profile::Relaxed, Severity::Error) => match rule.category {
            _ if ALWAYS_ERROR.contains(&rule.id) => Severity::Error,
            _ if ERROR_WHEN_STRICT.contains(&rule.id) => Severity::Warning,
            Category::Destructive | Category::Compatibility => Severity::Warning,
            Category::Lock | Category::Fails | Category::Security | Category::Structure | Category::Style => {
                Severity::Error
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lint::table;

    #[test]
    fn s1_50_relaxed_is_never_more_severe_and_keeps_what_cannot_run() {
        for rule in table::all().values() {
            for strict in [Severity::Info, Severity::Warning, Severity::Error] {
                assert_eq!(graded(Profile::Strict, rule, strict), strict);
                assert!(graded(Profile::Relaxed, rule, strict) <= strict, "{}", rule.id);
            }
        }
        for id in ERROR_WHEN_STRICT.iter().chain(&ALWAYS_ERROR) {
            assert!(table::find(id).is_some(), "{id}");
        }
        let relaxed = |id: &str| {
            let rule = table::find(id).expect("a rule");
            graded(Profile::Relaxed, rule, rule.severity.expect("on"))
        };
        // What only some layouts ask for [N04] [N06].
        for id in ["missing-down", "empty-down", "orphan-down", "out-of-order"] {
            let rule = table::find(id).expect("a rule");
            assert_eq!(graded(Profile::Relaxed, rule, Severity::Error), Severity::Warning, "{id}");
        }
        for (id, severity) in [
            ("syntax-error", Severity::Error),
            ("file-name", Severity::Error),
            ("duplicate-version", Severity::Error),
            ("secret-literal", Severity::Error),
            ("delete-without-where", Severity::Error),
            ("drop-cascade", Severity::Warning),
            ("superuser-rights", Severity::Warning),
            ("version-order", Severity::Warning),
            ("version-content", Severity::Warning),
            ("missing-docs", Severity::Warning),
            ("require-concurrent-index-creation", Severity::Info),
            ("prefer-text-field", Severity::Info),
        ] {
            assert_eq!(relaxed(id), severity, "{id}");
        }
    }
}
