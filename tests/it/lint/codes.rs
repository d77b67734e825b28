//! The table of docs/hazards.md: every code has rules that exist, each of them tried where the table says.

use std::collections::BTreeSet;
use std::path::Path;

use godwit::lint::table;

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

#[test]
fn every_code_has_rules_that_are_tried() {
    let page = read("docs/hazards.md");
    let mut wrong = Vec::new();
    let mut codes = BTreeSet::new();
    for row in page.lines().filter(|l| l.starts_with("| ") && !l.starts_with("| code")) {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let [code, _, rules, files] = cells[..] else { panic!("{row}") };
        codes.insert(code.to_owned());
        let texts: Vec<String> = files.split(", ").map(|f| read(f.trim_matches('`'))).collect();
        let rules: Vec<&str> =
            rules.split(", ").map(|r| r.split(']').next().unwrap().trim_start_matches('[')).collect();
        assert!(!rules.is_empty(), "{row}");
        for rule in rules {
            if table::find(rule).is_none() {
                wrong.push(format!("{code}: no rule is called {rule}"));
            } else if !texts.iter().any(|text| text.contains(rule)) {
                wrong.push(format!("{code}: {rule} is in none of {files}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let all = |letter: char, numbers: std::ops::RangeInclusive<u32>| numbers.map(move |n| format!("{letter}{n:02}"));
    let listed = all('P', 101..=185)
        .chain(all('F', 201..=220))
        .chain(all('N', 301..=316))
        .chain(all('X', 401..=415))
        .chain(all('R', 501..=514))
        .chain(all('N', 1..=16))
        .chain(all('Q', 1..=10))
        .chain(all('D', 1..=4))
        .chain(all('X', 1..=3))
        .chain(all('C', 1..=2));
    let missing: Vec<String> = listed.filter(|code| !codes.contains(code)).collect();
    assert!(missing.is_empty(), "{missing:?} in no row");
}
