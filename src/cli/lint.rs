//! `godwit lint`.

use std::collections::BTreeSet;
use std::path::PathBuf;

use chrono::NaiveDate;
use clap::ValueEnum;

use super::exit::Failure;
use super::instead::{Instead, Staged};
use super::{Exit, Format, Global, fix, folder, gather, print, targets};
use crate::approval::Policy;
use crate::config::{LintConfig, Profile, RepoConfig, ServiceSettings};
use crate::ids::{Engine, EnvironmentName};
use crate::judge::judge;
use crate::lint::pipelines::problems as problems_of;
use crate::lint::{
    LintReport, Scope, Severity, changed_after_merge, check_judged, has_errors_outside, highest, note_brought,
    overtaken, table,
};
use crate::migration::{FileContent, Layout, Migration, MigrationSet, SourceFile, digest_of, roots};
use crate::report::lint_text::{Detail, summary};
use crate::report::{lint_github, lint_markdown, lint_text, sarif};

/// Arguments of `godwit lint`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  godwit lint
  godwit lint migrations/postgresql --base origin/main --format github
  godwit lint --staged                       what `git commit` would record, for a pre-commit hook
  godwit lint --base origin/main --facts production   how long the locks last on the tables that are there
  godwit lint --base origin/main --fix       does the rewrites that need no thought, and says what is left")]
pub struct Args {
    /// Folders of migrations, or single `.sql`, `.json` and `.lua` files (default: the folders that `godwit.yml` names)
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Only what the branch adds or touches since it left REF; the policy is read from there
    #[arg(long, value_name = "REF")]
    pub base: Option<String>,
    /// Only the migrations that are staged for the next commit; needs no network
    #[arg(long, conflicts_with = "base")]
    pub staged: bool,
    /// The kind of database, where the folder's name does not say it
    #[arg(long, value_name = "ENGINE")]
    pub engine: Option<Engine>,
    /// Only the migrations of this service
    #[arg(long, value_name = "SERVICE")]
    pub service: Option<String>,
    /// From which level on the exit code is 1
    #[arg(long, value_name = "LEVEL", default_value = "error")]
    pub fail_on: FailOn,
    /// How severe findings are where the policy names no level; `relaxed` is for databases to try things out on
    #[arg(long, value_name = "PROFILE", value_enum)]
    pub profile: Option<ProfileWord>,
    /// Take the profile that this environment asks for with `validation:`
    #[arg(long, value_name = "ENV", conflicts_with = "profile")]
    pub env: Option<EnvironmentName>,
    /// Reckon the sizes of the tables into the risk: of this environment's databases, or of one given by its URL
    #[arg(long, value_name = "ENV|URL")]
    pub facts: Option<String>,
    /// Write the rewrites that need no thought into the files; needs `--base` or PATHs, and without `--base` leaves files
    /// that are committed alone unless one is named, since an applied migration must not change
    #[arg(long, conflicts_with = "staged")]
    pub fix: bool,
    /// One line per finding
    #[arg(long)]
    pub terse: bool,
    /// List every rule instead
    #[arg(long, conflicts_with_all = ["paths", "base", "staged", "fix", "profile", "env", "facts"])]
    pub rules: bool,
}

/// A profile as a word of the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ProfileWord {
    /// As the rules say
    Strict,
    /// Warnings are notes, and what a later change can put right is no error
    Relaxed,
}

impl From<ProfileWord> for Profile {
    fn from(word: ProfileWord) -> Self {
        match word {
            ProfileWord::Strict => Self::Strict,
            ProfileWord::Relaxed => Self::Relaxed,
        }
    }
}

/// From which level on findings fail the command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FailOn {
    /// An error-level finding
    Error,
    /// A warning or an error
    Warning,
    /// Nothing does
    Never,
}

impl FailOn {
    /// The exit code of a report.
    pub(super) fn exit(self, report: &LintReport) -> Exit {
        let least = match self {
            FailOn::Error => Severity::Error,
            FailOn::Warning => Severity::Warning,
            FailOn::Never => return Exit::Done,
        };
        if report.violations.iter().any(|v| v.waived.is_none() && v.severity >= least) {
            Exit::Failed
        } else {
            Exit::Done
        }
    }
}

/// Runs the command.
///
/// # Errors
/// Usage and configuration errors; findings are not errors.
pub fn run(global: &Global, args: Args) -> anyhow::Result<Exit> {
    if args.rules {
        return print::prose(&list_rules(global)?).map(|()| Exit::Done);
    }
    let against = if args.staged { Against::Staged } else { Against::base(args.base.as_deref()) };
    let level = match &args.env {
        Some(environment) => Level::Environment(profile_of(global, environment, against)?, environment),
        None => Level::Given(args.profile.map(Profile::from).unwrap_or_default()),
    };
    if args.fix && args.base.is_none() && args.paths.is_empty() {
        return Err(Failure::usage(
            "`--fix` changes files, and a migration that was applied must not change: say which are new with \
             `--base origin/main`, or name them",
        ));
    }
    let mut looked = look(global, &args.paths, against, args.engine, level)?;
    let named = matches!(args.paths.as_slice(), [one] if one.is_file());
    let which = if args.base.is_some() || named { fix::Which::All } else { fix::Which::NotCommitted };
    for round in 1..=fix::MOST_ROUNDS {
        if !args.fix {
            break;
        }
        let fix::Written { mended, left } = fix::write(global, &looked, which)?;
        if mended > 0 {
            looked = look(global, &args.paths, against, args.engine, level)?;
        }
        if mended == 0 || round == fix::MOST_ROUNDS {
            left.iter().for_each(|line| anstream::eprintln!("{line}"));
            break;
        }
    }
    if let Some(place) = &args.facts {
        looked = super::table_facts::weighed(global, place, looked)?;
    }
    if let Some(service) = &args.service {
        keep_service(&mut looked.report, &looked.set, service)?;
    }
    show(global, &args, &looked.report, &looked.set)
}

/// Prints the report.
fn show(global: &Global, args: &Args, report: &LintReport, set: &MigrationSet) -> anyhow::Result<Exit> {
    let detail = if args.terse { Detail::Terse } else { Detail::Full };
    let text = match global.format {
        Format::Text => lint_text::render(report, set, detail, print::width()),
        Format::Json => serde_json::to_string_pretty(report)? + "\n",
        Format::Sarif => serde_json::to_string_pretty(&sarif::render(report))? + "\n",
        Format::Github => lint_github::render(report),
        Format::Markdown => lint_markdown::render(report, lint_markdown::SUMMARY_LIMIT),
    };
    print::text(&text)?;
    if global.format == Format::Text && !global.quiet {
        if report.files == 0 && args.base.is_none() && !args.staged {
            print::talk(
                "warning: no migrations found: nothing was looked at; `godwit init` says in `godwit.yml` where they are",
            );
        }
        print::talk(&summary(report));
    }
    Ok(args.fail_on.exit(report))
}

/// Leaves out what other services have.
fn keep_service(report: &mut LintReport, set: &MigrationSet, service: &str) -> anyhow::Result<()> {
    let own: Vec<_> = set.migrations.iter().filter(|m| m.service.as_deref() == Some(service)).collect();
    let Some(first) = own.first() else {
        return Err(Failure::usage(format!("no migration belongs to a service `{service}`")));
    };
    // What is wrong with a folder may stand in a file that is no migration.
    let folder = format!("{}/", first.unit);
    let files: BTreeSet<&str> = own.iter().flat_map(|m| &m.files).map(|f| f.path.as_str()).collect();
    report.violations.retain(|v| v.file.starts_with(&folder) || files.contains(v.file.as_str()));
    report.migrations.retain(|m| m.service.as_deref() == Some(service));
    report.files = files.len();
    report.risk = highest(&report.migrations, &report.violations);
    let told = |m: &&&Migration| report.migrations.iter().any(|s| s.unit == m.unit && s.id == m.id.as_str());
    report.digest = digest_of(own.iter().filter(told).copied());
    Ok(())
}

/// What the files are compared with, so that findings in files nobody touched stay out.
#[derive(Debug, Clone, Copy)]
pub(super) enum Against<'a> {
    /// Every file is looked at.
    Nothing,
    /// What the branch adds or touches since it left this commit, by the base's policy.
    Base(&'a str),
    /// What the next commit would record [S1-78].
    Staged,
}

/// How severe findings are.
#[derive(Debug, Clone, Copy)]
pub(super) enum Level<'a> {
    /// By this profile.
    Given(Profile),
    /// As an environment asks, whose own profile is this, and as services ask for it.
    Environment(Profile, &'a EnvironmentName),
}

impl<'a> Against<'a> {
    /// A base if one is given.
    pub(super) fn base(given: Option<&'a str>) -> Self {
        given.map_or(Self::Nothing, Self::Base)
    }
}

/// What was looked at, and by what.
pub(super) struct Looked {
    pub(super) report: LintReport,
    pub(super) set: MigrationSet,
    pub(super) config: LintConfig,
    pub(super) scope: Scope,
    pub(super) today: NaiveDate,
}

/// The report on the repository, or on what a branch changes, as it is without options.
pub(super) fn plainly(
    global: &Global,
    paths: &[PathBuf],
    against: Against<'_>,
) -> anyhow::Result<(LintReport, MigrationSet)> {
    let looked = look(global, paths, against, None, Level::Given(Profile::default()))?;
    Ok((looked.report, looked.set))
}

/// Gathers and checks; also what `godwit ci` does.
pub(super) fn look(
    global: &Global,
    paths: &[PathBuf],
    against: Against<'_>,
    engine: Option<Engine>,
    level: Level<'_>,
) -> anyhow::Result<Looked> {
    let mut instead = Instead::default();
    let mut new = BTreeSet::new();
    let mut gone = BTreeSet::new();
    let mut before = Vec::new();
    let mut scope = Scope::All;
    if matches!(against, Against::Staged) {
        let staged = staged(global)?;
        tell_of_later_changes(global, &staged);
        scope = Scope::Paths(staged.paths);
        (gone, instead.index) = (staged.gone, staged.index);
    }
    let mut config = config_of(global, &instead)?;
    let named = config.migrations.clone();
    let (mut scope, lint_config) = match against {
        Against::Nothing | Against::Staged => {
            let read = |path: &str| instead.text(path, &|path| read_here(global, path));
            gather::take_engines(&mut config, &read)?;
            (scope, gather::lint_config(&config, &read)?)
        }
        Against::Base(base) => {
            let changed = changed(global, &mut config, base)?;
            new = changed.new;
            gone = changed.gone;
            before = changed.before;
            (changed.scope, changed.config)
        }
    };
    instead.before = before.iter().map(|f| f.path.clone()).collect();
    let gather::Asked { mut set, files, links } = gather::asked(global, &config, paths, engine, &instead)?;
    if let Scope::Paths(touched) = &mut scope {
        touched.extend(links);
    }
    // Whoever names a file asks about it alone.
    let whole = files.is_none();
    if let Some(files) = files {
        scope = scope.within(files);
    }
    set.remarks.extend(overtaken(&set, &new));
    // Where nothing is staged there is nothing to look at.
    if !paths.is_empty() && before.is_empty() && !matches!(against, Against::Staged) {
        folder::some_found(&set, &paths[0], engine)?;
    }
    if !before.is_empty() {
        let told = changed_after_merge(&gather::before(global, &config, paths, engine, &before, &set)?, &set);
        if let Scope::Paths(touched) = &mut scope {
            touched.extend(told.iter().map(|p| p.file.clone()));
        }
        set.remarks.extend(told);
    }
    if paths.is_empty() {
        let place = |path: &str| global.place(path);
        let told = match &mut scope {
            Scope::All | Scope::Named(_) => roots::unfound(&named, &set, &place),
            Scope::Paths(touched) => {
                let mut told = roots::unfound_by(touched, &named, &set, &place);
                told.extend(roots::uncovered_by(touched, &config.migrations, &set));
                touched.extend(told.iter().map(|p| p.file.clone()));
                told
            }
        };
        let new: Vec<_> = told.into_iter().filter(|p| !set.remarks.contains(p)).collect();
        set.remarks.extend(new);
    }
    if paths.is_empty() && set.migrations.iter().any(|m| m.layout == Layout::Prisma) {
        set.remarks.extend(problems_of(&super::pipelines::files(&global.repo)));
    }
    let since = match against {
        Against::Nothing => None,
        Against::Base(base) => Some(base),
        // Before the first commit there is nothing that could be taken away.
        Against::Staged => (!gone.is_empty()).then_some("HEAD"),
    };
    if let Some(base) = since
        && whole
        && (!gone.is_empty() || has_errors_outside(&set, &scope))
    {
        let was = at_base(global, base, &set, &gone)?;
        let was = gather::before(global, &config, paths, engine, &was, &set)?;
        note_brought(&mut set, &was, &scope, &gone);
    }
    if let (Against::Base(base), Level::Environment(..)) = (against, level) {
        let asked = asked_at_base(global, base, &set)?;
        let old: Vec<_> = asked.into_iter().filter(|s| !set.settings.contains(s)).collect();
        set.settings.extend(old);
    }
    let (profile, strict_below, environment) = match level {
        Level::Given(profile) => (profile, Vec::new(), None),
        Level::Environment(profile, name) => (profile, set.strict_in(&|asked| asked == name), Some(name.clone())),
    };
    let config = LintConfig { profile, strict_below, environment, ..lint_config };
    let today = chrono::Utc::now().date_naive();
    let report = check_judged(&set, &judge(&set), &config, &scope, today);
    Ok(Looked { report, set, config, scope, today })
}

/// The profile that an environment asks for, here or at the base: the stricter one, so that no branch loosens it for itself.
fn profile_of(global: &Global, name: &EnvironmentName, against: Against<'_>) -> anyhow::Result<Profile> {
    let here = match against {
        Against::Staged => {
            let instead = Instead { index: staged(global)?.index, ..Instead::default() };
            let config = config_path(global);
            targets::policy_read(&|path| {
                let path = if path == RepoConfig::FILE { config.as_str() } else { path };
                instead.text(path, &|path| read_here(global, path)).ok().flatten().map(String::into_bytes)
            })?
        }
        Against::Nothing | Against::Base(_) => targets::policy(global)?,
    };
    let here = targets::environment(&here, name)?.validation;
    let at_base = match against {
        Against::Base(base) => policy_at_base(global, base)?,
        Against::Nothing | Against::Staged => None,
    };
    let at_base = at_base.and_then(|policy| policy.environments.get(name).map(|e| e.validation));
    Ok(if at_base == Some(Profile::Strict) { Profile::Strict } else { here })
}

pub(super) fn read_here(global: &Global, path: &str) -> anyhow::Result<Option<String>> {
    match std::fs::read_to_string(global.repo.join(path)) {
        Ok(text) => Ok(Some(text)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Failure::usage(format!("cannot read `{path}`: {e}"))),
    }
}

/// The configuration as git's index holds it, where that stands for what lies there. One that is named and is not in the
/// index is meant as it lies there.
fn config_of(global: &Global, instead: &Instead) -> anyhow::Result<RepoConfig> {
    match instead.of(&config_path(global)) {
        Some(None) if global.config.is_none() => Ok(RepoConfig::default()),
        Some(Some(FileContent::Bytes(bytes))) => super::settings::parsed(&String::from_utf8_lossy(bytes)),
        Some(_) | None => global.repo_config(),
    }
}

/// The path of the configuration in the repository; as it is given where it lies outside.
fn config_path(global: &Global) -> String {
    let file = global.config_file();
    let inside = std::path::absolute(&file).ok().zip(std::path::absolute(&global.repo).ok());
    let inside = inside.and_then(|(file, repo)| file.strip_prefix(repo).ok().map(PathBuf::from));
    inside.unwrap_or(file).to_string_lossy().replace('\\', "/")
}

/// Says which staged files were changed again since: they are linted as they are staged.
fn tell_of_later_changes(global: &Global, staged: &Staged) {
    for path in staged.index.keys().filter(|path| !global.quiet && staged.paths.contains(*path)) {
        print::talk(&format!("warning: `{path}` has changes that are not staged; it is linted without them"));
    }
}

/// The files that are staged.
#[cfg(feature = "bot")]
fn staged(global: &Global) -> anyhow::Result<Staged> {
    let mut read = gather::READ.to_vec();
    let config = config_path(global);
    read.push(&config);
    super::changes::staged(&global.repo, &read)
}

#[cfg(not(feature = "bot"))]
fn staged(_: &Global) -> anyhow::Result<Staged> {
    Err(Failure::usage("this build has no git in it, so `--staged` cannot be answered; build with the feature `bot`"))
}

/// What a branch changes.
struct Changed {
    /// The files that it touches.
    scope: Scope,
    /// The levels of its base.
    config: LintConfig,
    /// Files that the base has not.
    new: BTreeSet<String>,
    /// Files that it deletes.
    gone: BTreeSet<String>,
    /// Files around those that it changes or deletes, as they were where it left its base.
    before: Vec<SourceFile>,
}

/// What the branch touches, and the levels of its base. Folders that the base's configuration names count as well as
/// those of the branch, so that a branch cannot take its migrations out of sight (DECISIONS 8).
#[cfg(feature = "bot")]
fn changed(global: &Global, config: &mut RepoConfig, base: &str) -> anyhow::Result<Changed> {
    let branch = super::changes::Branch::open(&global.repo, base)?;
    let file = global.config.clone().unwrap_or_else(|| RepoConfig::FILE.into());
    let file = file.strip_prefix(&global.repo).unwrap_or(&file);
    let mut old = match branch.read_base(&file.to_string_lossy())? {
        // A broken one is what the branch may be about to mend; it names no folders.
        Some(text) => RepoConfig::parse(&text).unwrap_or_default(),
        None => RepoConfig::default(),
    };
    gather::take_engines(&mut old, &|path| branch.read_base(path))?;
    gather::take_engines(config, &|path| read_here(global, path))?;
    let lint_config = gather::lint_config(&old, &|path| branch.read_base(path))?;
    config.migrations = crate::migration::both(&old.migrations, &config.migrations);
    let touched = branch.touched()?;
    let mut new = BTreeSet::new();
    for path in &touched {
        if !branch.has(path) {
            new.insert(path.clone());
        }
    }
    let gone = branch.deleted()?;
    let edited: BTreeSet<&str> = touched.difference(&new).chain(&gone).map(String::as_str).collect();
    let before = branch.files_around(&edited, &gather::READ)?;
    Ok(Changed { scope: Scope::Paths(touched), config: lint_config, new, gone, before })
}

/// The files of the set's folders as they were where the branch left its base.
#[cfg(feature = "bot")]
fn at_base(
    global: &Global,
    base: &str,
    set: &MigrationSet,
    gone: &BTreeSet<String>,
) -> anyhow::Result<Vec<SourceFile>> {
    let own = set.migrations.iter().flat_map(|m| &m.files).map(|f| f.path.as_str());
    let told = set.problems.iter().map(|p| p.file.as_str());
    let around = own.chain(told).chain(gone.iter().map(String::as_str)).collect();
    super::changes::Branch::open(&global.repo, base)?.files_around(&around, &gather::READ)
}

/// The policy at the base; nothing where it is none there, or a broken one.
#[cfg(feature = "bot")]
fn policy_at_base(global: &Global, base: &str) -> anyhow::Result<Option<Policy>> {
    let branch = super::changes::Branch::open(&global.repo, base)?;
    let config = global.config.as_ref().and_then(|file| file.strip_prefix(&global.repo).ok());
    let read = |path: &str| match config {
        Some(config) if path == RepoConfig::FILE => branch.read_base(&config.to_string_lossy()),
        _ => branch.read_base(path),
    };
    Ok(Policy::load(&|path| read(path).ok().flatten().map(String::into_bytes)).ok())
}

#[cfg(not(feature = "bot"))]
fn policy_at_base(_: &Global, _: &str) -> anyhow::Result<Option<Policy>> {
    Ok(None)
}

/// What the set's services ask of environments at the base: what a branch takes back of it counts for the branch itself. A
/// file that is broken there says nothing.
#[cfg(feature = "bot")]
fn asked_at_base(global: &Global, base: &str, set: &MigrationSet) -> anyhow::Result<Vec<ServiceSettings>> {
    let branch = super::changes::Branch::open(&global.repo, base)?;
    let of_services = set.migrations.iter().filter(|m| m.layout == Layout::Service);
    let services: BTreeSet<(&str, &str)> =
        of_services.filter_map(|m| Some((m.unit.as_str(), m.service.as_deref()?))).collect();
    let mut settings = Vec::new();
    for (unit, service) in services {
        let file = ServiceSettings::file_in(unit);
        let Some(asks) = branch.read_base(&file)?.and_then(|text| ServiceSettings::parse(&file, &text).ok()) else {
            continue;
        };
        settings.push(ServiceSettings { service: service.to_owned(), unit: unit.to_owned(), asks });
    }
    Ok(settings)
}

#[cfg(not(feature = "bot"))]
fn asked_at_base(_: &Global, _: &str, _: &MigrationSet) -> anyhow::Result<Vec<ServiceSettings>> {
    Ok(Vec::new())
}

#[cfg(not(feature = "bot"))]
fn at_base(_: &Global, _: &str, _: &MigrationSet, _: &BTreeSet<String>) -> anyhow::Result<Vec<SourceFile>> {
    Ok(Vec::new())
}

#[cfg(not(feature = "bot"))]
fn changed(_: &Global, _: &mut RepoConfig, _: &str) -> anyhow::Result<Changed> {
    Err(Failure::usage("this build has no git in it, so `--base` cannot be answered; build with the feature `bot`"))
}

fn list_rules(global: &Global) -> anyhow::Result<String> {
    let level = |s: Option<Severity>| s.map_or("off", Severity::as_str);
    Ok(match global.format {
        Format::Json => {
            let rules: Vec<_> = table::all()
                .values()
                .map(|r| {
                    serde_json::json!({ "id": r.id, "category": r.category, "severity": level(r.severity),
                        "risk": r.risk, "title": r.title, "url": r.page() })
                })
                .collect();
            serde_json::to_string_pretty(&rules)? + "\n"
        }
        Format::Text | Format::Sarif | Format::Github | Format::Markdown => {
            let rules: BTreeSet<String> = table::all()
                .values()
                .map(|r| format!("{:44} {:8} {:6}  {}\n", r.id, level(r.severity), r.risk.as_str(), r.title))
                .collect();
            rules.into_iter().collect()
        }
    })
}
