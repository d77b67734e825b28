//! What a migration says about itself: `-- godwit: risk=HIGH depends_on=a/1 no-transaction waive=rule reason="…"`,
//! `-- godwit: backfill=orders key=id batch=5000 pause=50ms`, `-- godwit: phase=contract`.

use chrono::NaiveDate;

use crate::ids::Risk;
use crate::migration::{Backfill, Problem, Severity, Spot};

/// The marks of one migration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Directives {
    /// `risk=…`: may raise the computed risk, never lower it.
    pub risk: Option<Risk>,
    /// `depends_on=…`, repeatable or comma-separated: `id`, `unit/id`, `target/id`.
    pub depends_on: Vec<String>,
    /// `no-transaction`: run statement by statement, even where a transaction would be possible.
    pub no_transaction: bool,
    /// `manual="why"`: a step of which nobody can tell after a crash whether it was done is meant, and a person looks then
    ///
    pub manual: Option<String>,
    /// `waive=rule reason="…" expires=YYYY-MM-DD`.
    pub waivers: Vec<Waiver>,
    /// `backfill=TABLE key=COLUMN batch=N pause=50ms`: the marked statement runs in batches.
    pub backfill: Option<Backfill>,
    /// `phase=expand|backfill|contract`: its part in a change that readers and writers live through.
    pub phase: Option<Phase>,
    /// The rules that hold for its data, such as `GDPR`, where its metadata has a field for them; a comment of the script says
    /// them where it has none.
    pub compliance: Vec<String>,
}

/// A migration's part in a change that readers and writers live through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Adds what the new version of a program needs.
    Expand,
    /// Fills what was added.
    Backfill,
    /// Takes away what only the old version needs; held until a person releases it.
    Contract,
}

impl std::str::FromStr for Phase {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "expand" => Ok(Phase::Expand),
            "backfill" => Ok(Phase::Backfill),
            "contract" => Ok(Phase::Contract),
            other => Err(format!("`{other}` is no phase: `expand`, `backfill` or `contract`")),
        }
    }
}

/// A finding that the author asks to be let through; shown, and never lowers the risk by itself (DECISIONS 23).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiver {
    /// The rule's id.
    pub rule: String,
    /// Why; required.
    pub reason: String,
    /// The last day it holds, if given.
    pub expires: Option<NaiveDate>,
    /// Where it stands in the file.
    pub at: Spot,
    /// Whether it is a field of the migration's JSON, not a line of its script.
    pub is_field: bool,
}

const KEYS: &str = "`risk=LOW|MEDIUM|HIGH`, `depends_on=…`, `no-transaction`, `manual=\"…\"`, `waive=RULE reason=\"…\" [expires=YYYY-MM-DD]`, \
     `backfill=TABLE key=COLUMN [batch=N] [pause=50ms]`, `phase=expand|backfill|contract`";

impl Directives {
    /// Reads every `-- godwit: …` line of a script. `first_line` is the line of the file at which `text` starts.
    pub fn parse(path: &str, text: &str, first_line: u32, problems: &mut Vec<Problem>) -> Self {
        let mut found = Directives::default();
        // Nearly every script has none: one search decides.
        if !text.contains("godwit:") {
            return found;
        }
        for (n, line) in text.lines().enumerate() {
            let Some(rest) = line.trim_start().strip_prefix("--") else { continue };
            let Some(marks) = rest.trim_start().strip_prefix("godwit:") else { continue };
            let line_no = first_line.saturating_add(u32::try_from(n).unwrap_or(u32::MAX));
            let at = Spot::of_part(line, line.trim()).within(line_no, 1);
            if let Err(message) = found.read_line(marks, at) {
                problems.push(Problem {
                    file: path.to_owned(),
                    line: at.line,
                    column: at.column,
                    end_column: at.end_column,
                    rule: "invalid-directive",
                    severity: Severity::Error,
                    message,
                    help: format!("allowed: {KEYS}"),
                });
            }
        }
        found
    }

    fn read_line(&mut self, marks: &str, at: Spot) -> Result<(), String> {
        let mut waiver: Option<Waiver> = None;
        let (mut table, mut key, mut batch, mut pause) = (None, None, None, None);
        for (word, value) in words(marks)? {
            match (word.as_str(), value) {
                ("risk", Some(v)) => self.risk = Some(v.parse::<Risk>().map_err(|e| e.to_string())?),
                ("depends_on", Some(v)) => {
                    self.depends_on.extend(v.split(',').map(str::trim).filter(|d| !d.is_empty()).map(str::to_owned));
                }
                ("phase", Some(v)) => self.phase = Some(v.parse()?),
                ("backfill", Some(v)) => table = Some(v),
                ("key", Some(v)) => key = Some(v),
                ("batch", Some(v)) => batch = Some(v),
                ("pause", Some(v)) => pause = Some(v),
                ("no-transaction", None) => self.no_transaction = true,
                ("manual", Some(why)) if !why.trim().is_empty() => self.manual = Some(why),
                ("manual", _) => {
                    return Err("`manual` needs a reason: `manual=\"why it cannot be avoided\"`".to_owned());
                }
                ("waive", Some(v)) => {
                    if let Some(w) = waiver.take() {
                        self.keep(w)?;
                    }
                    waiver = Some(Waiver { rule: v, reason: String::new(), expires: None, at, is_field: false });
                }
                ("reason", Some(v)) => match &mut waiver {
                    Some(w) => w.reason = v,
                    None => return Err("`reason` belongs behind a `waive=RULE`".to_owned()),
                },
                ("expires", Some(v)) => match &mut waiver {
                    Some(w) => {
                        w.expires = Some(v.parse().map_err(|_| format!("`{v}` is not a date of the form YYYY-MM-DD"))?);
                    }
                    None => return Err("`expires` belongs behind a `waive=RULE`".to_owned()),
                },
                (k, _) => return Err(format!("unknown mark `{k}`")),
            }
        }
        match table {
            Some(table) if self.backfill.is_none() => {
                self.backfill = Some(Backfill::new(&table, key.as_deref(), batch.as_deref(), pause.as_deref())?);
            }
            Some(_) => return Err("a second `backfill`; give it a migration of its own".to_owned()),
            None if key.is_some() || batch.is_some() || pause.is_some() => {
                return Err("`key`, `batch` and `pause` belong behind a `backfill=TABLE`".to_owned());
            }
            None => {}
        }
        waiver.map_or(Ok(()), |w| self.keep(w))
    }

    fn keep(&mut self, waiver: Waiver) -> Result<(), String> {
        if waiver.reason.trim().is_empty() {
            return Err(format!("`waive={}` gives no reason", waiver.rule));
        }
        self.waivers.push(waiver);
        Ok(())
    }
}

/// Splits `a=b c d="e f"` into keys and values.
fn words(marks: &str) -> Result<Vec<(String, Option<String>)>, String> {
    let mut out = Vec::new();
    let mut rest = marks.trim();
    while !rest.is_empty() {
        let end = rest.find(|c: char| c == '=' || c.is_whitespace()).unwrap_or(rest.len());
        let (key, after) = rest.split_at(end);
        let (value, after) = match after.strip_prefix('=') {
            None => (None, after),
            // Names keep their own quotes, in which a space is part of the name.
            Some(v) if matches!(key, "backfill" | "key") => {
                let mut quoted = false;
                let end = v.find(|c: char| {
                    quoted ^= c == '"';
                    c.is_whitespace() && !quoted
                });
                let (value, after) = v.split_at(end.unwrap_or(v.len()));
                (Some(value.to_owned()), after)
            }
            Some(v) => match v.strip_prefix('"') {
                Some(quoted) => {
                    let close = quoted.find('"').ok_or("a quote is not closed")?;
                    (Some(quoted[..close].to_owned()), &quoted[close + 1..])
                }
                None => {
                    let end = v.find(char::is_whitespace).unwrap_or(v.len());
                    (Some(v[..end].to_owned()), &v[end..])
                }
            },
        };
        if key.is_empty() {
            return Err("a value has no key in front of it".to_owned());
        }
        out.push((key.to_owned(), value));
        rest = after.trim_start();
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> (Directives, Vec<Problem>) {
        let mut problems = Vec::new();
        let found = Directives::parse("m.sql", text, 1, &mut problems);
        (found, problems)
    }

    #[test]
    fn all_marks_are_read() {
        let (d, problems) = parse(
            "-- godwit: risk=high depends_on=shop-mongo/0003_carts,0001_a no-transaction manual=\"a procedure that commits\"\n\
             -- godwit: backfill=app.orders key=o.id batch=100 pause=2s phase=backfill\n\
             --godwit: waive=ban-drop-column reason=\"nobody reads it\" expires=2027-01-31\nselect 1;",
        );
        assert_eq!(problems, []);
        assert_eq!(d.risk, Some(Risk::High));
        assert_eq!(d.depends_on, ["shop-mongo/0003_carts", "0001_a"]);
        assert!(d.no_transaction);
        assert_eq!(d.manual.as_deref(), Some("a procedure that commits"));
        assert_eq!(d.waivers[0].rule, "ban-drop-column");
        assert_eq!(d.waivers[0].at.line, 3);
        assert_eq!(d.backfill, Some(Backfill::new("app.orders", Some("o.id"), Some("100"), Some("2s")).unwrap()));
        assert_eq!(d.phase, Some(Phase::Backfill));
    }

    #[test]
    fn mistakes_are_located_and_say_what_is_allowed() {
        for (text, part) in [
            ("-- godwit: risk=huge", "not a valid risk"),
            ("-- godwit: transaction=off", "unknown mark `transaction`"),
            ("-- godwit: waive=x", "gives no reason"),
            ("-- godwit: waive=x reason=\"open", "not closed"),
            ("-- godwit: waive=x reason=y expires=soon", "YYYY-MM-DD"),
            ("-- godwit: reason=y", "belongs behind"),
            ("-- godwit: =y", "no key"),
            ("-- godwit: backfill=t", "needs `key="),
            ("-- godwit: key=id", "belong behind"),
            ("-- godwit: phase=later", "is no phase"),
            ("-- godwit: manual", "needs a reason"),
        ] {
            let (_, problems) = parse(&format!("select 1;\n{text}"));
            assert_eq!(problems.len(), 1, "{text}");
            let end = u32::try_from(text.len() + 1).expect("short");
            assert_eq!((problems[0].line, problems[0].column, problems[0].end_column), (2, 1, end), "{text}");
            assert!(problems[0].message.contains(part), "{}", problems[0].message);
        }
    }

    #[test]
    fn text_inside_a_statement_is_not_a_mark() {
        let (d, problems) = parse("insert into notes values ('-- godwit: risk=HIGH');");
        assert_eq!((d, problems), (Directives::default(), vec![]));
    }
}
