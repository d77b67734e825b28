//! Builds the stage: the stand-in, the databases as they are today, the real server; and takes it down again.

use std::path::{Path, PathBuf};

use secrecy::SecretString;

use super::shop::{self, ENVIRONMENTS};
use super::story::{self, Stage};
use super::teller::Teller;
use super::{Closing, DemoError};
use crate::ids::{Engine, EnvironmentName, TargetName};
use crate::migration::{MigrationRoot, SourceFile, resolve};
use crate::plan::Outcome;
use crate::runner::{self, Actor, ApplyOptions, Target};
use crate::sandbox::{AppConfig, Button, Sandbox, SandboxConfig};
use crate::store::Store;

/// How the demo is shown.
#[derive(Debug, Clone, Default)]
pub struct DemoOptions {
    /// Serve the pull request as a page instead of telling the story.
    pub serve: bool,
    /// Port of the page; any free one when 0.
    pub port: u16,
    /// Keep repository, store and databases in this folder.
    pub keep: Option<PathBuf>,
    /// The story goes to standard error, the closing object to standard output.
    pub json: bool,
    /// The story is not told.
    pub quiet: bool,
}

/// Plays the demo. Gives the closing object, or `None` when the page was served until Ctrl-C.
///
/// # Errors
/// When something did not happen as it must.
pub async fn run(options: &DemoOptions) -> Result<Option<Closing>, DemoError> {
    let mut teller = Teller::new(options.json, options.quiet);
    teller.title(
        "Godwit: from a pull request to production",
        "the real server, a stand-in for GitHub with a real git repository, four SQLite databases",
    );
    let temporary = tempfile::Builder::new().prefix("godwit-demo-").tempdir()?;
    let folder = match &options.keep {
        Some(folder) => {
            std::fs::create_dir_all(folder)?;
            folder.as_path()
        }
        None => temporary.path(),
    };
    let sandbox = Sandbox::start(SandboxConfig {
        app: AppConfig { account: "shop".to_owned(), ..AppConfig::default() },
        directory: Some(folder.join("github")),
        port: options.port,
    })?;
    let repo = shop::found(&sandbox)?;
    let databases = folder.join("databases");
    std::fs::create_dir_all(&databases)?;
    let store_url = format!("sqlite:{}", folder.join("godwit.db").display());
    let store = open_store(&store_url).await?;
    bring_to_today(&store, &databases).await?;
    let server = super::server::start(&sandbox, store.clone(), folder, &databases).await?;
    let server_url = format!("http://{}", server.address());
    teller.say(&format!("the server listens on {}, the stand-in for GitHub on {}", server_url, sandbox.base_url()));

    let stage = Stage { sandbox: &sandbox, repo: &repo, store: &store, databases: &databases };
    if options.serve {
        serve(&stage, &teller).await?;
        server.stop().await;
        return Ok(None);
    }
    let told = story::tell(&stage, &mut teller).await;
    server.stop().await;
    let mut closing = told?;

    teller.chapter("What remains");
    // Opened anew, as an auditor would after the server is gone.
    let store = open_store(&store_url).await?;
    let verdict = store.verify_audit(None).await.map_err(|e| DemoError::Server(e.to_string()))?;
    closing.audit_valid = verdict.valid;
    closing.audit_records = verdict.records;
    closing.audit_head = verdict.head.to_string();
    if !verdict.valid {
        return Err(DemoError::NotAsItMust("the audit chain verifies".to_owned()));
    }
    teller.good(&format!("{} audit records, chain valid, head {}", closing.audit_records, closing.audit_head));
    closing.duration_ms = u64::try_from(teller.elapsed().as_millis()).unwrap_or(u64::MAX);
    teller.good(&format!(
        "{} findings, {} approvals, {} environments, {} comments in {:.1} s",
        closing.lint_violations,
        closing.approvals,
        closing.environments.len(),
        closing.comments,
        teller.elapsed().as_secs_f32()
    ));
    if options.keep.is_some() {
        teller.say(&format!("kept in {}", folder.display()));
    }
    Ok(Some(closing))
}

async fn open_store(url: &str) -> Result<Store, DemoError> {
    Store::open(url).await.map_err(|e| DemoError::Server(e.to_string()))
}

/// Applies what the default branch holds to every environment, as earlier pull requests would have.
async fn bring_to_today(store: &Store, databases: &Path) -> Result<(), DemoError> {
    let files: Vec<SourceFile> = shop::base_files().map(|(path, text)| SourceFile::new(path, text)).collect();
    let root = MigrationRoot {
        engine: Some(Engine::Sqlite),
        target: TargetName::new("shop").ok(),
        ..MigrationRoot::folder("migrations")
    };
    let set = resolve(&files, &[root]);
    let actor = Actor { by: shop::RELEASE_MANAGER.to_owned(), repo: None, pr: None, commit: None, correlation: None };
    for (name, _) in ENVIRONMENTS {
        let target = Target {
            environment: EnvironmentName::new(name).ok(),
            name: TargetName::new("shop").map_err(|e| DemoError::Server(e.to_string()))?,
            engine: Engine::Sqlite,
            url: SecretString::from(format!("sqlite:{}", databases.join(format!("{name}.db")).display())),
        };
        let report = runner::apply(store, &set, &[target], &actor, &ApplyOptions::default())
            .await
            .map_err(|e| DemoError::Server(e.to_string()))?;
        if !matches!(report.outcome, Outcome::Applied | Outcome::Nothing) {
            return Err(DemoError::NotAsItMust(format!("{name} holds what was merged before")));
        }
    }
    Ok(())
}

/// Offers the pull request as a page until Ctrl-C.
async fn serve(stage: &Stage<'_>, teller: &Teller) -> Result<(), DemoError> {
    let pull = story::open(stage)?;
    stage.sandbox.add_button(Button::once(&pull, "Push the safer form", |pull, _| {
        pull.push(shop::AUTHOR, &[shop::safer_commit()]).map(|_| ())
    }));
    teller.good(&format!("the pull request: {}/{}/pull/{}", stage.sandbox.base_url(), shop::REPO, pull.number()));
    teller.say("Read the findings, push the safer form, review as omar, dana, dora, tess and carl, merge as rosa.");
    teller.say("Ctrl-C ends it.");
    tokio::signal::ctrl_c().await?;
    Ok(())
}
