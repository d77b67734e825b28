//! How people name a migration in a command, and how it is named to them: what is printed is taken as it stands. Pure.

use std::collections::BTreeMap;

use super::{Migration, MigrationSet};

/// Marks that begin a name with blanks in it, each with those that end it; telephones write others than keyboards.
const MARKS: [(char, &[char]); 5] =
    [('"', &['"']), ('“', &['”', '“']), ('«', &['»']), ('„', &['“', '”']), ('”', &['”'])];

/// A name as a command takes it: in quotation marks where it holds blanks.
pub fn quoted(name: &str) -> String {
    let plain = !name.contains(char::is_whitespace) && !MARKS.iter().any(|(opens, _)| name.starts_with(*opens));
    if plain {
        return name.to_owned();
    }
    let (opens, closes) = MARKS.iter().find(|(_, closing)| !name.contains(*closing)).unwrap_or(&MARKS[0]);
    format!("{opens}{name}{}", closes[0])
}

/// The name that a text begins with, when that is a quotation mark, and what follows it; the error: nothing ends the name.
pub fn unquoted(text: &str) -> Option<Result<(&str, &str), Unended>> {
    let (opens, closing) = MARKS.iter().find(|(opens, _)| text.starts_with(*opens))?;
    let inner = &text[opens.len_utf8()..];
    let ends = |(at, mark): &(usize, &str)| {
        let behind = &inner[at + mark.len()..];
        behind.is_empty() || behind.starts_with(char::is_whitespace)
    };
    let end = inner.match_indices(*closing).find(ends);
    Some(end.map(|(at, mark)| (&inner[..at], &inner[at + mark.len()..])).ok_or(Unended))
}

/// A quotation mark that no other one ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unended;

impl MigrationSet {
    /// What commands call a migration, besides quotation marks: its id, with its folder before it where others have the
    /// same.
    pub fn name(&self, unit: &str, id: &str) -> String {
        let mut others = self.migrations.iter().filter(|m| m.unit != unit && m.answers_to(id));
        if others.next().is_none() || unit.is_empty() { id.to_owned() } else { format!("{unit}/{id}") }
    }

    /// The same of one of its own, as a command takes it.
    pub fn called(&self, migration: &Migration) -> String {
        quoted(&self.name(&migration.unit, migration.id.as_str()))
    }

    /// What a name that [`find`](Self::find) does not find may mean, as a command takes it: none, or several.
    pub fn meant(&self, name: &str) -> Vec<String> {
        self.migrations.iter().filter(|m| m.answers_to(name)).map(|m| quoted(&m.reference())).collect()
    }
}

/// How the migrations of one report are called in it.
pub struct Names<'a> {
    /// The folder of each id; `None` where several have it.
    folders: BTreeMap<&'a str, Option<&'a str>>,
}

impl<'a> Names<'a> {
    /// Of migrations, each as its folder and its id.
    pub fn of(migrations: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut folders: BTreeMap<&str, Option<&str>> = BTreeMap::new();
        for (unit, id) in migrations {
            let folder = folders.entry(id).or_insert(Some(unit));
            if *folder != Some(unit) {
                *folder = None;
            }
        }
        Self { folders }
    }

    /// Its id, with its folder before it where another one has the same.
    pub fn name(&self, unit: &str, id: &str) -> String {
        let alone = !matches!(self.folders.get(id), Some(None));
        if alone || unit.is_empty() { id.to_owned() } else { format!("{unit}/{id}") }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::migration::{MigrationRoot, SourceFile, resolve};

    #[test]
    fn names_with_blanks_are_quoted_and_read_with_every_kind_of_mark() {
        assert_eq!(quoted("0001_init"), "0001_init");
        assert_eq!(quoted("2019_Add an email"), "\"2019_Add an email\"");
        assert_eq!(quoted("1_the \"big\" one"), "“1_the \"big\" one”");
        for text in ["\"1_a b\" why", "“1_a b” why", "„1_a b“ why", "„1_a b” why", "«1_a b» why", "”1_a b” why"]
        {
            assert_eq!(unquoted(text), Some(Ok(("1_a b", " why"))), "{text}");
        }
        // A mark in the middle of a name does not end it.
        assert_eq!(unquoted("\"1_\"a\"b\""), Some(Ok(("1_\"a\"b", ""))));
        assert_eq!(unquoted("\"1_a b"), Some(Err(Unended)));
        assert_eq!(unquoted("1_a b"), None);
    }

    #[test]
    fn dec15_a_report_tells_apart_what_two_folders_call_the_same() {
        let names = Names::of([("a", "1_x"), ("b", "1_x"), ("", "2_y"), ("b", "2_y"), ("a", "3_z"), ("a", "3_z")]);
        let called = [("a", "1_x"), ("b", "1_x"), ("", "2_y"), ("b", "2_y"), ("a", "3_z")]
            .map(|(unit, id)| names.name(unit, id));
        assert_eq!(called, ["a/1_x", "b/1_x", "2_y", "b/2_y", "3_z"]);
    }

    #[test]
    fn dec15_a_name_that_two_folders_have_is_told_with_its_folder_and_found_so() {
        let files =
            ["billing/0001_init.up.sql", "x/billing/0001_init.up.sql", "x/billing/0002_b.up.sql", "0002_b.up.sql"]
                .map(|path| SourceFile::new(path, "select 1;"));
        let roots = ["billing", "x/billing", ""].map(MigrationRoot::folder);
        let set = resolve(&files, &roots);
        for (unit, id, expected) in [
            ("billing", "0001_init", "billing/0001_init"),
            ("x/billing", "0001_init", "x/billing/0001_init"),
            ("x/billing", "0002_b", "x/billing/0002_b"),
            ("", "0002_b", "0002_b"),
        ] {
            let name = set.name(unit, id);
            assert_eq!(name, expected);
            let found = set.find(&name).unwrap_or_else(|| panic!("{name}"));
            assert_eq!((found.unit.as_str(), found.id.as_str()), (unit, id));
        }
        assert!(set.find("0001_init").is_none());
        assert_eq!(set.meant("0001_init"), ["billing/0001_init", "x/billing/0001_init"]);
    }

    proptest! {
        #[test]
        fn what_is_quoted_is_read_again(name in "[a-z0-9_ \u{a0}“”„«»'-]{0,12}", why in "[a-z ]{0,5}") {
            let said = format!("{} {why}", quoted(&name));
            let several = MARKS.iter().all(|(_, closing)| name.contains(*closing));
            match unquoted(&said) {
                Some(read) if !several => prop_assert_eq!(read, Ok((name.as_str(), &*format!(" {why}")))),
                Some(_) => {}
                None => prop_assert!(!name.contains(char::is_whitespace) && said.starts_with(&name)),
            }
        }
    }
}
