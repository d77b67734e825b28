//! The stand-in for GitHub: each endpoint and each webhook, checked against GitHub's own description, and git itself.

mod client;
mod faults;
mod git;
mod page;
mod people;
pub mod receiver;
mod rest;
mod surface;
mod webhooks;

use godwit::sandbox::{Change, NewPull, Permission, PullHandle, RepoHandle, Sandbox, SandboxConfig};

/// A repository `acme/shop` with three people, a team, a first commit and an open pull request by alice.
pub struct Shop {
    pub sandbox: Sandbox,
    pub repo: RepoHandle,
    pub pull: PullHandle,
}

pub fn shop() -> Shop {
    let sandbox = Sandbox::start(SandboxConfig::default()).unwrap();
    sandbox.add_org("acme", &["alice", "bob", "carol"]);
    sandbox.add_team("acme/dba", &["carol"]).unwrap();
    let repo = sandbox.create_repo("acme/shop").unwrap();
    for person in ["alice", "bob", "carol"] {
        repo.set_permission(person, Permission::Write).unwrap();
    }
    let first = [Change::write("README.md", "# Shop\n"), Change::write(".github/CODEOWNERS", "* @bob\n!x @bob\n")];
    repo.commit("main", "bob", "Begin", &first).unwrap();
    let sql = Change::write("migrations/0001_orders.sql", "CREATE TABLE orders (id bigint);\n");
    repo.commit("orders", "alice", "Add orders", &[sql]).unwrap();
    let new = NewPull {
        author: "alice",
        title: "Add orders",
        body: "A table for **orders**.",
        head: "orders",
        base: "main",
        draft: false,
    };
    let pull = repo.open_pull_request(&new).unwrap();
    Shop { sandbox, repo, pull }
}
