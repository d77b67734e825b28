//! CODEOWNERS as GitHub reads it (BOT 2, GITHUB 4).
//!
//! It looks like gitignore and is not: `docs/*` is one level, a pattern without owners takes ownership away, `!`,
//! `[ ]` and `\#` do not exist, and a line that GitHub cannot read is skipped. Hence a matcher of our own; the cases
//! it is held to stand in `tests/it/approval/codeowners.txt`.

use std::collections::BTreeMap;

use crate::config::roles::is_login;
use crate::ids::{Login, TeamSlug};

/// A parsed CODEOWNERS file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodeOwners {
    /// Where it was found.
    pub path: String,
    /// Valid rules in file order.
    pub rules: Vec<OwnerRule>,
    /// Lines that GitHub skips, with the reason.
    pub skipped: Vec<(u32, String)>,
}

/// One valid line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnerRule {
    /// Line from 1.
    pub line: u32,
    /// The pattern as written.
    pub pattern: String,
    /// Its owners; empty clears ownership.
    pub owners: Vec<Owner>,
    /// Owners that stand there and own nothing, as [`CodeOwners::settle`] found.
    pub ignored: Vec<Owner>,
    matcher: Vec<Segment>,
}

/// An owner.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Owner {
    /// `@login`.
    User(Login),
    /// `@org/team`.
    Team(TeamSlug),
    /// An e-mail address.
    Email(String),
}

impl std::fmt::Display for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Owner::User(login) => write!(f, "@{login}"),
            Owner::Team(team) => write!(f, "@{team}"),
            Owner::Email(address) => f.write_str(address),
        }
    }
}

/// One part of a pattern, between slashes.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    /// `**`: any number of folders, none too.
    Deep,
    /// A name with wildcards.
    Name(Vec<Glob>),
}

/// A piece of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Glob {
    /// This character.
    Char(char),
    /// `?`
    One,
    /// `*`
    Many,
}

impl CodeOwners {
    /// Where GitHub looks, in its order; the first file found is the only one read.
    pub const LOCATIONS: [&str; 3] = [".github/CODEOWNERS", "CODEOWNERS", "docs/CODEOWNERS"];
    /// GitHub does not load a file of this size or more (bytes).
    pub const MAX_BYTES: usize = 3 * 1024 * 1024;

    /// Reads the text of a file found at `path`. Never fails: what cannot be read is in [`CodeOwners::skipped`].
    pub fn parse(path: &str, text: &str) -> Self {
        let mut rules = Vec::new();
        let mut skipped = Vec::new();
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        for (index, line) in text.lines().enumerate() {
            let number = u32::try_from(index + 1).unwrap_or(u32::MAX);
            match rule(number, line) {
                Ok(Some(rule)) => rules.push(rule),
                Ok(None) => {}
                Err(reason) => skipped.push((number, reason)),
            }
        }
        Self { path: path.to_owned(), rules, skipped }
    }

    /// The rule that decides about `path` (relative to the repository's root): the last one that matches, whole.
    /// `None` is a path nobody spoke of; a rule without owners is a path whose ownership was taken away.
    pub fn owners_of(&self, path: &str) -> Option<&OwnerRule> {
        let names = names_of(path);
        self.rules.iter().rev().find(|rule| matches(&rule.matcher, &names))
    }

    /// Every line that gives `path` an owner, in file order, where each of them is to agree and not only the last one.
    /// A line that takes ownership away takes it from the lines before it, as for GitHub.
    pub fn lines_of(&self, path: &str) -> Vec<&OwnerRule> {
        let names = names_of(path);
        let mut lines: Vec<&OwnerRule> = self
            .rules
            .iter()
            .rev()
            .filter(|rule| matches(&rule.matcher, &names))
            // A line whose owners own nothing was not written to take ownership away.
            .take_while(|rule| !rule.owners.is_empty() || !rule.ignored.is_empty())
            .filter(|rule| !rule.owners.is_empty())
            .collect();
        lines.reverse();
        lines
    }
}

/// What GitHub says of an owner that CODEOWNERS names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OwnerIs {
    /// It owns nothing: a team without write access, or none that can be seen.
    Nobody,
    /// This person, whom an address belongs to.
    Person(Login),
}

impl CodeOwners {
    /// Takes owners out that own nothing, and puts people in the place of their addresses. A line that is left without an
    /// owner gives its paths none, as for GitHub.
    pub fn settle(&mut self, settled: &BTreeMap<Owner, OwnerIs>) {
        for rule in &mut self.rules {
            let owners = std::mem::take(&mut rule.owners);
            for owner in owners {
                match settled.get(&owner) {
                    Some(OwnerIs::Nobody) => rule.ignored.push(owner),
                    Some(OwnerIs::Person(login)) => rule.owners.push(Owner::User(login.clone())),
                    None => rule.owners.push(owner),
                }
            }
        }
    }
}

/// One line; `None` for a blank one or a comment.
fn rule(number: u32, line: &str) -> Result<Option<OwnerRule>, String> {
    let tokens = tokens(line);
    let Some((pattern, owners)) = tokens.split_first() else { return Ok(None) };
    let matcher = compile(pattern)?;
    let owners = owners.iter().map(|o| owner(o)).collect::<Result<_, _>>()?;
    Ok(Some(OwnerRule { line: number, pattern: pattern.clone(), owners, ignored: Vec::new(), matcher }))
}

/// Splits a line at blanks that no backslash precedes; a `#` at the start of a word ends it.
fn tokens(line: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut word = String::new();
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => {
                word.push(c);
                word.extend(chars.next());
            }
            '#' if word.is_empty() => break,
            c if c.is_whitespace() => {
                if !word.is_empty() {
                    out.push(std::mem::take(&mut word));
                }
            }
            c => word.push(c),
        }
    }
    if !word.is_empty() {
        out.push(word);
    }
    out
}

fn owner(text: &str) -> Result<Owner, String> {
    let invalid = || format!("`{text}` is no owner: `@login`, `@org/team` or an e-mail address");
    match text.strip_prefix('@') {
        Some(name) if name.contains('/') => TeamSlug::new(name).map(Owner::Team).map_err(|_| invalid()),
        Some(name) if is_login(name) => Ok(Owner::User(Login::new(name))),
        Some(_) => Err(invalid()),
        None => match text.split_once('@') {
            Some((local, domain)) if !local.is_empty() && !domain.contains('@') && domain.contains('.') => {
                Ok(Owner::Email(text.to_owned()))
            }
            Some(_) | None => Err(invalid()),
        },
    }
}

fn compile(pattern: &str) -> Result<Vec<Segment>, String> {
    if pattern.starts_with('!') {
        return Err("`!` does not exist in CODEOWNERS".to_owned());
    }
    if pattern.starts_with("\\#") {
        return Err("`\\#` does not exist in CODEOWNERS".to_owned());
    }
    if pattern.contains(['[', ']']) {
        return Err("`[ ]` does not exist in CODEOWNERS".to_owned());
    }
    if pattern.contains("***") {
        return Err("three `*` in a row mean nothing".to_owned());
    }
    if pattern == "/" {
        return Err("`/` alone matches nothing; `*` matches everything".to_owned());
    }
    let mut parts: Vec<&str> = pattern.split('/').collect();
    let mut segments = Vec::new();
    if parts[0].is_empty() {
        parts.remove(0);
    } else if parts.len() == 1 || (parts.len() == 2 && parts[1].is_empty()) {
        // No slash but a trailing one: at any depth.
        segments.push(Segment::Deep);
    }
    let last = parts.len() - 1;
    for (i, part) in parts.iter().enumerate() {
        match *part {
            // A trailing slash: the folder's content, not a file of that name.
            "" | "**" if i == last => segments.extend([Segment::Name(vec![Glob::Many]), Segment::Deep]),
            "" => return Err("an empty folder name (`//`) matches nothing".to_owned()),
            "**" => segments.push(Segment::Deep),
            name => {
                segments.push(Segment::Name(globs(name)));
                // A name owns everything below it; a lone `*` owns one level only (`docs/*`).
                if i == last && name != "*" {
                    segments.push(Segment::Deep);
                }
            }
        }
    }
    Ok(segments)
}

fn globs(name: &str) -> Vec<Glob> {
    let mut out = Vec::new();
    let mut chars = name.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => out.extend(chars.next().map(Glob::Char)),
            '*' => {
                if out.last() != Some(&Glob::Many) {
                    out.push(Glob::Many);
                }
            }
            '?' => out.push(Glob::One),
            c => out.push(Glob::Char(c)),
        }
    }
    out
}

/// The parts of a path as they are compared; once for all rules, of which a file may have a hundred thousand.
fn names_of(path: &str) -> Vec<Vec<char>> {
    path.trim_start_matches('/').split('/').map(|name| name.chars().collect()).collect()
}

fn matches(pattern: &[Segment], names: &[Vec<char>]) -> bool {
    wildcard(
        pattern,
        names,
        |segment| *segment == Segment::Deep,
        |segment, name| match segment {
            Segment::Deep => false,
            Segment::Name(globs) => {
                !name.is_empty()
                    && wildcard(
                        globs,
                        name,
                        |g| *g == Glob::Many,
                        |g, c| match g {
                            Glob::Char(want) => want == c,
                            Glob::One => true,
                            Glob::Many => false,
                        },
                    )
            }
        },
    )
}

/// Wildcard matching with one kind of "any number" piece: on a mismatch the last such piece takes one item more, so
/// the work is at most the product of both lengths, whatever a file says.
fn wildcard<P, T>(pattern: &[P], items: &[T], is_many: impl Fn(&P) -> bool, fits: impl Fn(&P, &T) -> bool) -> bool {
    let (mut p, mut i) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    while i < items.len() {
        if p < pattern.len() && is_many(&pattern[p]) {
            back = Some((p, i));
            p += 1;
        } else if p < pattern.len() && fits(&pattern[p], &items[i]) {
            p += 1;
            i += 1;
        } else if let Some((many, taken)) = back {
            back = Some((many, taken + 1));
            p = many + 1;
            i = taken + 1;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(is_many)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn b5_a_team_that_owns_nothing_leaves_its_line_without_an_owner() {
        let mut file =
            CodeOwners::parse("CODEOWNERS", "* @ann\n/db/ @acme/readers\n/db/big/ @acme/readers who@acme.com\n");
        let readers = Owner::Team(TeamSlug::new("acme/readers").unwrap());
        let who = Owner::Email("who@acme.com".into());
        file.settle(&[(readers.clone(), OwnerIs::Nobody), (who, OwnerIs::Person(Login::new("will")))].into());
        let db = file.owners_of("db/1.sql").unwrap();
        assert_eq!((db.owners.as_slice(), db.ignored.as_slice()), (&[][..], std::slice::from_ref(&readers)));
        let big = file.owners_of("db/big/1.sql").unwrap();
        assert_eq!(big.owners, [Owner::User(Login::new("will"))]);
        // Where every line counts, one that was not written to clear clears nothing.
        let lines: Vec<u32> = file.lines_of("db/big/1.sql").iter().map(|r| r.line).collect();
        assert_eq!(lines, [1, 3]);
    }

    proptest! {
        /// B-5: adding a line at the end decides every path it matches and no other.
        #[test]
        fn the_last_line_wins_whole(path in "[a-c]{1,2}(/[a-c]{1,2}){0,3}", first in "[a-c*/]{1,6}", last in "[a-c*/]{1,6}") {
            let one = CodeOwners::parse("CODEOWNERS", &format!("{first} @one"));
            let two = CodeOwners::parse("CODEOWNERS", &format!("{last} @two"));
            let both = CodeOwners::parse("CODEOWNERS", &format!("{first} @one\n{last} @two"));
            let owners = |c: &CodeOwners| c.owners_of(&path).map(|r| r.owners.clone());
            prop_assert_eq!(owners(&both), owners(&two).or(owners(&one)));
        }

        /// A literal path owns itself, what is below it, and nothing beside it.
        #[test]
        fn a_literal_path_owns_itself_and_below(path in "[a-c]{1,3}(/[a-c]{1,3}){0,3}", below in "[a-c]{1,3}") {
            let owners = CodeOwners::parse("CODEOWNERS", &format!("/{path} @x"));
            prop_assert!(owners.owners_of(&path).is_some());
            let under = format!("{path}/{below}");
            prop_assert!(owners.owners_of(&under).is_some());
            let beside = format!("{path}{below}");
            prop_assert!(owners.owners_of(&beside).is_none());
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,60}", path in "\\PC{0,20}") {
            let _ = CodeOwners::parse("CODEOWNERS", &text).owners_of(&path);
        }
    }
}
