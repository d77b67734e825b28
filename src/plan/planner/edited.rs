//! What a person may not say of a migration. Pure.

use super::refusal;
use crate::plan::Refusal;

/// Why a migration that a person wants to be tried again is not. `applied`: it is, by the history or by the table of the
/// folder's own tool.
pub fn refused_retry(reference: &str, applied: bool) -> Option<Refusal> {
    applied.then(|| {
        refusal(
            "already-applied",
            format!("`{reference}` is applied: tried again, it would run a second time"),
            format!(
                "leave it as it is; or undo it with `godwit rollback {reference}` and apply it again; or, if you found that \
                 nothing of it is there, say so: `godwit resolve {reference} --as rolled-back --reason …`"
            ),
            false,
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r18_what_is_applied_is_not_tried_again() {
        assert_eq!(refused_retry("0001_m", true).map(|r| r.reason).as_deref(), Some("already-applied"));
        assert_eq!(refused_retry("0001_m", false), None);
    }
}
