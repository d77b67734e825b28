//! What the services that a change concerns ask of environments, and since when it counts: see
//! `docs/adr/0105-a-service-tightens.md`.

use std::collections::BTreeSet;

use super::contents::{Contents, Unreadable};
use crate::config::{ConfigError, ServiceSettings};
use crate::git::Mirror;
use crate::ids::CommitSha;
use crate::migration::text::text;
use crate::migration::{Layout, Migration, MigrationSet};

/// The folders of services one of whose migrations a change touches, as it was or as it will be.
pub(super) fn concerned(was: &MigrationSet, will_be: &MigrationSet, touched: &BTreeSet<String>) -> BTreeSet<String> {
    let is_touched = |m: &&Migration| m.layout == Layout::Service && m.files.iter().any(|f| touched.contains(&f.path));
    was.migrations.iter().chain(&will_be.migrations).filter(is_touched).map(|m| m.unit.clone()).collect()
}

/// Adds to what a change proposes what its base asks for: nobody loosens the judgement of a change by the change itself.
pub(super) fn with_base(was: &MigrationSet, will_be: &mut MigrationSet, concerned: &BTreeSet<String>) {
    let old = was.settings.iter().filter(|s| concerned.contains(&s.unit) && !will_be.settings.contains(s));
    let old: Vec<ServiceSettings> = old.cloned().collect();
    will_be.settings.extend(old);
}

/// The files of those services that cannot be read.
pub(super) fn broken(set: &MigrationSet, concerned: &BTreeSet<String>) -> Vec<String> {
    let files = concerned.iter().map(|unit| ServiceSettings::file_in(unit));
    files.filter(|file| set.problems.iter().any(|p| p.file == *file)).collect()
}

/// What is asked of what a merge brought: what stands at the tip of its branch, so that a file that is mended counts, and one
/// that is tightened too. Where the merge changed the file itself, what stood there before it counts as well.
///
/// # Errors
/// When git fails, or a file at the tip is wrong.
pub(super) fn now(mirror: &Mirror, tip: &CommitSha, brought: &Contents) -> Result<Vec<ServiceSettings>, Unreadable> {
    let mut settings = Vec::new();
    for unit in &brought.services {
        let file = ServiceSettings::file_in(unit);
        if let Some(bytes) = mirror.file(tip, &file)? {
            let wrong = |line: u32, message: String| ConfigError {
                file: file.clone(),
                line: usize::try_from(line).ok(),
                column: None,
                message,
            };
            let read = text(&bytes).map_err(|e| vec![wrong(e.line, e.message)]);
            let asks = read.and_then(|text| ServiceSettings::parse(&file, text)).map_err(Unreadable::Policy)?;
            settings.push(ServiceSettings { service: name_of(brought, unit), unit: unit.clone(), asks });
        }
        let is_changed = brought.policy_changes.iter().any(|(path, _)| *path == file);
        settings.extend(brought.before.settings.iter().filter(|s| is_changed && s.unit == *unit).cloned());
    }
    Ok(settings)
}

/// The name of the service whose migrations stand in a folder.
fn name_of(contents: &Contents, unit: &str) -> String {
    let all = contents.set.migrations.iter().chain(&contents.before.migrations);
    all.filter(|m| m.unit == unit).find_map(|m| m.service.clone()).unwrap_or_else(|| unit.to_owned())
}

impl Contents {
    /// Judges by `settings` for its services, in place of what the files of its own commits say.
    pub(super) fn ask_by(&mut self, settings: &[ServiceSettings]) {
        self.set.settings.retain(|s| !self.services.contains(&s.unit));
        self.set.settings.extend(settings.iter().cloned());
    }
}
