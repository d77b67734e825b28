//! What `godwit doctor` tells.

use crate::plan::diagnosis::{Diagnosis, Health};

/// Every finding under what it is about, for a terminal.
pub fn text(found: &[Diagnosis]) -> String {
    let mut out = String::new();
    let mut about = "";
    for diagnosis in found {
        if diagnosis.about != about {
            if !out.is_empty() {
                out.push('\n');
            }
            out.push_str(&format!("{}\n", diagnosis.about));
            about = &diagnosis.about;
        }
        let mark = match diagnosis.health {
            Health::Good => "ok",
            Health::Warning => "warning",
            Health::Wrong => "wrong",
            Health::Unreachable => "no answer",
        };
        out.push_str(&format!("  {mark:<9}  {}: {}\n", diagnosis.part, diagnosis.message));
        if !diagnosis.what_to_do.is_empty() {
            out.push_str(&format!("             → {}\n", diagnosis.what_to_do));
        }
    }
    let worse = found.iter().filter(|d| d.health > Health::Warning).count();
    let warnings = found.iter().filter(|d| d.health == Health::Warning).count();
    out.push_str(&match (found.len(), worse, warnings) {
        (0, ..) => "nothing to look at\n".to_owned(),
        (_, 0, 0) => "\neverything is as it should be\n".to_owned(),
        (_, 0, n) => format!("\nit works; {}\n", super::count(n, "warning")),
        (_, n, _) => format!("\n{} to mend\n", super::count(n, "thing")),
    });
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_to_do_stands_below_what_is_wrong() {
        let found = [
            Diagnosis::good("staging/shop", "name", "`db` is 10.0.0.1"),
            Diagnosis::of("staging/shop", "port", Health::Unreachable, "nothing listens", "start it"),
            Diagnosis::of("GitHub App", "events", Health::Warning, "`merge_group` is missing", "subscribe"),
        ];
        let text = text(&found);
        let expected = "staging/shop\n  ok         name: `db` is 10.0.0.1\n  no answer  port: nothing listens\n             → start it\n\n\
                        GitHub App\n  warning    events: `merge_group` is missing\n             → subscribe\n\n1 thing to mend\n";
        assert_eq!(text, expected);
    }
}
