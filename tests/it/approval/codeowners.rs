//! CODEOWNERS case by case (B-5); the cases are data: `codeowners.txt`.

use godwit::approval::codeowners::CodeOwners;

struct Case {
    name: String,
    file: String,
    paths: Vec<(String, String)>,
    skipped: Vec<(u32, String)>,
}

fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for line in include_str!("codeowners.txt").lines() {
        if let Some(name) = line.strip_prefix("## ") {
            cases.push(Case { name: name.to_owned(), file: String::new(), paths: Vec::new(), skipped: Vec::new() });
            continue;
        }
        let Some(case) = cases.last_mut() else { continue };
        if let Some(rest) = line.strip_prefix("=> ") {
            let (path, owners) = rest.rsplit_once(" : ").expect("`=> PATH : OWNERS`");
            case.paths.push((path.to_owned(), owners.to_owned()));
        } else if let Some(rest) = line.strip_prefix("!! ") {
            let (number, words) = rest.split_once(' ').expect("`!! LINE WORDS`");
            case.skipped.push((number.parse().expect("a line number"), words.to_owned()));
        } else if case.paths.is_empty() && case.skipped.is_empty() {
            case.file.push_str(line);
            case.file.push('\n');
        }
    }
    for case in &mut cases {
        if case.name == "Windows line ends" {
            case.file = case.file.replace('\n', "\r\n");
        }
    }
    cases
}

#[test]
fn b5_codeowners_follows_github_case_by_case() {
    let cases = cases();
    let mut checked = 0;
    let mut wrong = Vec::new();
    for case in &cases {
        let codeowners = CodeOwners::parse("CODEOWNERS", &case.file);
        for (path, expected) in &case.paths {
            let found = match codeowners.owners_of(path) {
                None => "-".to_owned(),
                Some(rule) if rule.owners.is_empty() => "none".to_owned(),
                Some(rule) => rule.owners.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
            };
            if &found != expected {
                wrong.push(format!("{}: `{path}` is {found}, not {expected}", case.name));
            }
            checked += 1;
        }
        let skipped: Vec<u32> = codeowners.skipped.iter().map(|(line, _)| *line).collect();
        let expected: Vec<u32> = case.skipped.iter().map(|(line, _)| *line).collect();
        if skipped != expected {
            wrong.push(format!("{}: skips {skipped:?}, not {expected:?}", case.name));
        }
        for ((_, reason), (_, words)) in codeowners.skipped.iter().zip(&case.skipped) {
            if !reason.contains(words.as_str()) {
                wrong.push(format!("{}: {reason:?} does not say {words:?}", case.name));
            }
            checked += 1;
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(cases.len() >= 45 && checked >= 100, "{} cases, {checked} checks", cases.len());
}

#[test]
fn b5_the_rule_tells_its_line_and_pattern() {
    let codeowners = CodeOwners::parse("CODEOWNERS", "# first\n* @all\n\n*.sql @dba\n");
    let rule = codeowners.owners_of("a/b.sql").expect("owned");
    assert_eq!((rule.line, rule.pattern.as_str()), (4, "*.sql"));
}

/// `code_owners: all_lines` asks one owner of every line that matches, not only of the one that decides for GitHub.
#[test]
fn b5_every_owner_line_that_matches() {
    let table = [
        ("* @all", "a.sql", "1"),
        ("* @all\n*.sql @dba", "a.sql", "1 2"),
        ("*.sql @dba\n* @all", "a.sql", "1 2"),
        ("* @all\n*.sql @dba @lead", "docs/a.md", "1"),
        ("* @all\n/db/ @dba\n/db/pg/ @pg\n/db/redis/ @redis", "db/pg/1.sql", "1 2 3"),
        // A line without owners takes away what stands before it, and nothing behind it.
        ("* @all\n/db/", "db/1.sql", ""),
        ("* @all\n/db/\n*.sql @dba", "db/1.sql", "3"),
        ("/db/\n* @all\n*.sql @dba", "db/1.sql", "2 3"),
        // What GitHub skips is no line.
        ("* @all\n!*.sql @dba\n*.sql @dba", "a.sql", "1 3"),
        ("docs/* @docs\ndocs/** @deep", "docs/a/b.sql", "2"),
        ("*.SQL @dba\n*.sql @low", "a.sql", "2"),
        ("", "a.sql", ""),
    ];
    for (file, path, expected) in table {
        let codeowners = CodeOwners::parse("CODEOWNERS", file);
        let lines: Vec<String> = codeowners.lines_of(path).iter().map(|rule| rule.line.to_string()).collect();
        assert_eq!(lines.join(" "), expected, "{file:?} {path}");
        // The line that decides for GitHub is the last of them.
        let decides = codeowners.owners_of(path).filter(|rule| !rule.owners.is_empty());
        assert_eq!(codeowners.lines_of(path).last().copied(), decides, "{file:?} {path}");
    }
}

/// GitHub allows files up to 3 MB and pull requests up to 3,000 files: a hostile file must not stop the bot. Trying
/// every way to match these lines would never end.
#[test]
fn a_large_hostile_file_is_read_and_matched() {
    let line = format!("{}b @x\n", "a*".repeat(40));
    let text = line.repeat(20_000);
    let path = "a".repeat(200);
    let codeowners = CodeOwners::parse("CODEOWNERS", &text);
    assert!(codeowners.owners_of(&path).is_none());
}
