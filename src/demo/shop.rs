//! The demo's company: its people, its repository, its four databases.

use crate::sandbox::{Change, NewCommit, Permission, RepoHandle, Sandbox, SandboxError};

/// The repository.
pub const REPO: &str = "shop/backend";
/// Who opens the pull request.
pub const AUTHOR: &str = "alice";
/// Who merges it.
pub const RELEASE_MANAGER: &str = "rosa";
/// The branch of the pull request.
pub const BRANCH: &str = "customer-status";
/// The migration that the pull request is about.
pub const MIGRATION: &str = "0006_customer_status";
/// The environments in promotion order, with the variable that names each one's database file.
pub const ENVIRONMENTS: [(&str, &str); 4] = [
    ("development", "SHOP_DEVELOPMENT_DB"),
    ("testing", "SHOP_TESTING_DB"),
    ("staging", "SHOP_STAGING_DB"),
    ("production", "SHOP_PRODUCTION_DB"),
];

/// A person whose word counts.
pub struct Reviewer {
    /// Login.
    pub login: &'static str,
    /// What they are, for the story.
    pub post: &'static str,
    /// What they say.
    pub words: &'static str,
}

/// The people who approve, in the order in which they come by.
pub const REVIEWERS: [Reviewer; 5] = [
    Reviewer { login: "omar", post: "data operations", words: "Tried it on last night's copy: 40 ms, and back again." },
    Reviewer { login: "dana", post: "data operations lead", words: "The phone numbers stay in their own table. Good." },
    Reviewer { login: "dora", post: "database administrator", words: "The way back restores every row; checked." },
    Reviewer { login: "tess", post: "tech lead", words: "No running version reads `phone` any more." },
    Reviewer { login: "carl", post: "CTO", words: "Fine with me." },
];

/// A worked example of the product's own `migrations/`, as the shop has it.
macro_rules! example {
    ($name:literal) => {
        (concat!("migrations/", $name), include_str!(concat!("../../migrations/sqlite/", $name)))
    };
}

const BASE: [(&str, &str); 15] = [
    ("README.md", "# The shop's backend\n"),
    ("godwit.yml", include_str!("shop/godwit.yml")),
    ("policies/environments.yml", include_str!("shop/policies/environments.yml")),
    ("policies/roles.yml", include_str!("shop/policies/roles.yml")),
    (".github/CODEOWNERS", include_str!("shop/CODEOWNERS")),
    example!("0001_customers.up.sql"),
    example!("0001_customers.down.sql"),
    example!("0002_orders.up.sql"),
    example!("0002_orders.down.sql"),
    example!("0003_customers_phone.up.sql"),
    example!("0003_customers_phone.down.sql"),
    example!("0004_orders_placed_at_index.up.sql"),
    example!("0004_orders_placed_at_index.down.sql"),
    example!("0005_orders_currency.up.sql"),
    example!("0005_orders_currency.down.sql"),
];

/// The file whose first form is dangerous.
pub const UP_PATH: &str = "migrations/0006_customer_status.up.sql";
const DOWN_PATH: &str = "migrations/0006_customer_status.down.sql";
/// Its first form.
pub const DANGEROUS_UP: &str = include_str!("shop/dangerous/0006_customer_status.up.sql");
/// Its mended form.
pub const SAFER_UP: &str = include_str!("shop/safer/0006_customer_status.up.sql");
const SAFER_DOWN: &str = include_str!("shop/safer/0006_customer_status.down.sql");

/// The files of the default branch.
pub fn base_files() -> impl Iterator<Item = (&'static str, &'static str)> {
    BASE.into_iter()
}

/// Founds the company: people, teams, the repository with its first commit.
///
/// # Errors
/// When the stand-in refuses.
pub fn found(sandbox: &Sandbox) -> Result<RepoHandle, SandboxError> {
    let logins: Vec<&str> = [AUTHOR, RELEASE_MANAGER].into_iter().chain(REVIEWERS.iter().map(|r| r.login)).collect();
    for login in &logins {
        sandbox.add_user(login);
    }
    sandbox.add_org("shop", &logins);
    sandbox.add_team("shop/developers", &[AUTHOR, RELEASE_MANAGER, "tess"])?;
    sandbox.add_team("shop/data-ops", &["omar", "dana"])?;
    sandbox.add_team("shop/dba", &["dora"])?;
    let repo = sandbox.create_repo(REPO)?;
    for login in &logins {
        repo.set_permission(login, Permission::Write)?;
    }
    for team in ["shop/developers", "shop/data-ops", "shop/dba"] {
        sandbox.grant_team(team, REPO, Permission::Write)?;
    }
    let files: Vec<Change> = BASE.iter().map(|(path, text)| Change::write(*path, text)).collect();
    repo.push("main", RELEASE_MANAGER, &[NewCommit::new(RELEASE_MANAGER, "The shop as it runs today", &files)])?;
    Ok(repo)
}

/// The pull request's first commit.
pub fn dangerous_commit() -> NewCommit {
    NewCommit::new(AUTHOR, "Give customers a status, drop the phone number", &[Change::write(UP_PATH, DANGEROUS_UP)])
}

/// The commit that mends it.
pub fn safer_commit() -> NewCommit {
    NewCommit::new(
        AUTHOR,
        "Bound the update, keep the phone numbers, write the way back",
        &[Change::write(UP_PATH, SAFER_UP), Change::write(DOWN_PATH, SAFER_DOWN)],
    )
}
