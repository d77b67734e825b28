//! Names and sentences that say nothing about what a migration does (N02).

/// Words that say nothing.
const VAGUE: [&str; 31] = [
    "alter",
    "change",
    "changed",
    "changes",
    "database",
    "db",
    "fix",
    "fixed",
    "fixes",
    "hotfix",
    "migrate",
    "migration",
    "misc",
    "modify",
    "more",
    "new",
    "patch",
    "script",
    "some",
    "sql",
    "stuff",
    "temp",
    "test",
    "tests",
    "things",
    "tmp",
    "todo",
    "update",
    "updated",
    "updates",
    "wip",
];
/// Words between them, which make a sentence no better.
const BETWEEN: [&str; 17] = [
    "a",
    "an",
    "and",
    "data",
    "description",
    "for",
    "in",
    "it",
    "of",
    "our",
    "schema",
    "table",
    "tables",
    "that",
    "the",
    "this",
    "to",
];
/// How a sentence begins that is still to be written.
const UNWRITTEN: [&str; 5] = ["fixme", "placeholder", "tbd", "todo", "xxx"];

/// Names that templates and tutorials leave to be filled in [S3-113].
const PLACEHOLDERS: [&str; 5] =
    ["descriptive_name", "migration_name", "name_of_migration", "your_migration_name", "add_description_here"];

/// Whether a name says nothing about what a migration does.
pub fn is_vague(name: &str) -> bool {
    if PLACEHOLDERS.contains(&name.to_ascii_lowercase().replace([' ', '-'], "_").as_str()) {
        return true;
    }
    let mut words = words(name).peekable();
    words.peek().is_some()
        && words.all(|w| w.chars().all(|c| c.is_ascii_digit()) || VAGUE.contains(&w.to_ascii_lowercase().as_str()))
        && name.chars().any(char::is_alphabetic)
}

/// Whether a sentence says nothing about what a migration does: a mark that it is still to be written, a template's field, or
/// nothing but words that every migration could bear.
pub fn says_nothing(sentence: &str) -> bool {
    let words: Vec<String> = words(sentence).map(str::to_ascii_lowercase).collect();
    let is_vague_word = |w: &String| VAGUE.contains(&w.as_str());
    let fills = |w: &String| is_vague_word(w) || BETWEEN.contains(&w.as_str()) || w.bytes().all(|b| b.is_ascii_digit());
    let placeholder = words.join("_");
    sentence.contains("{{")
        || sentence.contains("${")
        || PLACEHOLDERS.contains(&placeholder.as_str())
        || words.first().is_none_or(|w| UNWRITTEN.contains(&w.as_str()))
        || (words.iter().any(is_vague_word) && words.iter().all(fills))
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn n02_sentences_that_say_nothing_are_told_from_those_that_do() {
        for (sentence, expected) in [
            ("TODO", true),
            ("todo: describe", true),
            ("fix", true),
            ("Update", true),
            ("Update the database", true),
            ("Some changes to the schema.", true),
            ("...", true),
            ("{{description}}", true),
            ("Add description here", true),
            ("Migration 2", true),
            ("First", false),
            ("A", false),
            ("Role table and its lookup index", false),
            ("Fix the e-mail of customers", false),
            ("Update of orders.status", false),
            ("Tabelle der Rollen", false),
            ("顧客表を作る", false),
        ] {
            assert_eq!(says_nothing(sentence), expected, "{sentence}");
        }
    }
}
