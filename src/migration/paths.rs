//! Whether a file lies below a folder, by their paths alone: relative to the same place, with `/`.
//!
//! The place itself, whose path is empty, is no folder here: everything lies below it, and who asks may mean something else.

use std::collections::BTreeSet;

/// The path of a file from a folder on; `None` if it does not lie below it, however deep.
pub fn below<'p>(path: &'p str, folder: &str) -> Option<&'p str> {
    path.strip_prefix(folder)?.strip_prefix('/')
}

/// Whether one of `files` lies below a folder.
pub fn any_below(files: &BTreeSet<String>, folder: &str) -> bool {
    let start = format!("{folder}/");
    files.range(start.clone()..).next().is_some_and(|path| path.starts_with(&start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_below_a_folder_is_told_from_what_is_named_alike() {
        assert_eq!(below("db/shop/1_a.sql", "db"), Some("shop/1_a.sql"));
        assert_eq!(below("db/shop/1_a.sql", "db/shop"), Some("1_a.sql"));
        for apart in ["db", "dbs/1_a.sql", "db.sql", "old/db/1_a.sql"] {
            assert_eq!(below(apart, "db"), None, "{apart}");
        }
        assert_eq!(below("db/1_a.sql", ""), None);

        let files = ["db-old/1_a.sql", "db.sql", "db/shop/1_a.sql", "dbs/1_a.sql"].map(str::to_owned).into();
        for folder in ["db", "db-old", "db/shop", "dbs"] {
            assert!(any_below(&files, folder), "{folder}");
        }
        for none in ["", "d", "db/sho", "db.sql", "db-"] {
            assert!(!any_below(&files, none), "{none}");
        }
    }
}
