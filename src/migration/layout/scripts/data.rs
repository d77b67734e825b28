//! `${data:sample_data.json}` in a script: the JSON of `data/sample_data.json`, as a value of the query it stands in (SPEC 3.7).

use std::ops::Range;

use crate::ids::Engine;
use crate::migration::execution::statements;
use crate::migration::{SourceFile, sealed};

/// Where a placeholder begins.
const OPEN: &str = "${data:";

/// A script with its placeholders filled in.
pub struct Filled<'a> {
    /// The text as it runs; every line is where it was.
    pub text: String,
    /// The files whose content is in it.
    pub files: Vec<&'a SourceFile>,
    /// What is wrong: the line, the sentence, and what to do.
    pub problems: Vec<(u32, String, &'static str)>,
}

/// Fills the placeholders of `text` from the files of `data`; `None` where there is none.
pub fn fill<'a>(engine: Engine, text: &str, data: &[(&str, &'a SourceFile)]) -> Option<Filled<'a>> {
    if !text.contains(OPEN) {
        return None;
    }
    let mut filled = Filled { text: String::with_capacity(text.len()), files: Vec::new(), problems: Vec::new() };
    let mut values: Vec<(Range<usize>, String)> = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(OPEN) {
        filled.text.push_str(&rest[..at]);
        let line = line_at(&filled.text, filled.text.len());
        let behind = &rest[at + OPEN.len()..];
        let Some(end) = behind.find(['}', '\n']).filter(|end| behind[*end..].starts_with('}')) else {
            filled.problems.push((line, "`${data:` has no `}` on its line".to_owned(), "write `${data:FILE.json}`"));
            filled.text.push_str(&rest[at..]);
            return Some(filled);
        };
        let name = behind[..end].trim();
        let start = filled.text.len();
        match value(engine, name, data) {
            Ok((literal, file)) => {
                filled.text.push_str(&literal);
                if !filled.files.iter().any(|f| f.path == file.path) {
                    filled.files.push(file);
                }
                values.push((start..filled.text.len(), name.to_owned()));
            }
            Err(message) => {
                let help = "put a JSON file of that name into the folder `data` beside `scripts`";
                filled.problems.push((line, message, help));
                // So that the rest can still be read.
                filled.text.push_str("NULL");
            }
        }
        rest = &behind[end + 1..];
    }
    filled.text.push_str(rest);
    misplaced(engine, &mut filled, &values);
    Some(filled)
}

/// A file's JSON as a literal on one line.
fn value<'a>(engine: Engine, name: &str, data: &[(&str, &'a SourceFile)]) -> Result<(String, &'a SourceFile), String> {
    let Some((_, file)) = data.iter().find(|(known, _)| *known == name) else {
        return Err(format!("`${{data:{name}}}`: there is no such file in `data`"));
    };
    let Some(bytes) = file.content.bytes() else {
        return Err(format!("`${{data:{name}}}`: `{}` is no file that can be read", file.path));
    };
    let json = std::str::from_utf8(bytes).map_err(|_| format!("`{}` is not UTF-8", file.path))?;
    let json = json.strip_prefix('\u{feff}').unwrap_or(json).trim();
    // The whole of it is one value, whose content is seen where it is opened [S4-84].
    if sealed::is_whole(json) {
        return Ok((format!("'{json}'"), file));
    }
    serde_json::from_str::<serde::de::IgnoredAny>(json).map_err(|e| format!("`{}` is no JSON: {e}", file.path))?;
    // In JSON, line breaks stand between values only; the script's own lines stay where they are.
    let json = json.replace(['\n', '\r'], " ").replace('\'', "''");
    let literal = if engine == Engine::Postgresql && json.contains('\\') {
        format!("E'{}'", json.replace('\\', "\\\\"))
    } else {
        format!("'{json}'")
    };
    Ok((literal, file))
}

/// Only queries take values: in DDL and in `DO` a placeholder would be text.
fn misplaced(engine: Engine, filled: &mut Filled<'_>, values: &[(Range<usize>, String)]) {
    let Ok(all) = statements(engine, &filled.text) else { return };
    for (range, name) in values {
        let Some(statement) = all.iter().find(|s| s.range.start <= range.start && range.end <= s.range.end) else {
            continue;
        };
        let sql = &filled.text[statement.range.clone()];
        // Comments may stand in front of a statement.
        let word = sql
            .lines()
            .map(str::trim_start)
            .find(|l| !l.is_empty() && !l.starts_with("--"))
            .and_then(|l| l.split(|c: char| !c.is_ascii_alphabetic()).next())
            .unwrap_or_default();
        let takes = ["select", "insert", "update", "delete", "with", "merge", "values"];
        if !takes.iter().any(|t| word.eq_ignore_ascii_case(t)) {
            let line = line_at(&filled.text, range.start);
            let word = word.to_ascii_uppercase();
            let message = format!("`${{data:{name}}}` stands in `{word}`, which takes no values");
            filled.problems.push((line, message, "use it in INSERT, UPDATE, DELETE, MERGE or SELECT"));
        }
    }
}

fn line_at(text: &str, at: usize) -> u32 {
    1 + u32::try_from(text.as_bytes()[..at].iter().filter(|b| **b == b'\n').count()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(text: &str, json: &str) -> (String, Vec<u32>) {
        let file = SourceFile::new("m/data/sample_data.json", json.as_bytes());
        let data = [("sample_data.json", &file)];
        let filled = fill(Engine::Postgresql, text, &data).expect("a placeholder");
        (filled.text, filled.problems.iter().map(|(line, ..)| *line).collect())
    }

    #[test]
    fn s2_13_data_is_a_value_of_a_query_and_of_nothing_else() {
        let (text, wrong) = run(
            "INSERT INTO t\nSELECT * FROM json_to_recordset(${data:sample_data.json}) AS x (a text);",
            "[\n{\"a\": \"it's\"}]",
        );
        assert_eq!(text, "INSERT INTO t\nSELECT * FROM json_to_recordset('[ {\"a\": \"it''s\"}]') AS x (a text);");
        assert_eq!(wrong, Vec::<u32>::new());
        assert_eq!(run("SELECT ${data:sample_data.json};", r#"{"a":"\"b\\"}"#).0, r#"SELECT E'{"a":"\\"b\\\\"}';"#);
        for (text, line) in [
            ("SELECT 1;\nCREATE TABLE t (a json DEFAULT ${data:sample_data.json});", 2),
            ("DO $$ BEGIN PERFORM ${data:sample_data.json}; END $$;", 1),
            ("\n\nSELECT ${data:missing.json};", 3),
            ("SELECT ${data:sample_data.json", 1),
        ] {
            assert_eq!(run(text, "{}").1, [line], "{text}");
        }
        assert_eq!(run("SELECT ${data:sample_data.json};", "{a}").1, [1]);
        assert!(fill(Engine::Postgresql, "SELECT '${x}'", &[]).is_none());
    }
}
