//! A policy and a pull request to judge, changed in the words of the test.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use godwit::approval::{
    Binding, CommitPerson, Entered, EnvironmentVerdict, Label, Permission, Person, Policy, PullRequestSnapshot, Review,
    ReviewState, Source, Status, Verdict, evaluate, evaluate_environment,
};
use godwit::ids::{CommitSha, Digest, EnvironmentName, Login, PrNumber, RepoName, Risk, RoleName, TeamSlug};

pub const ROLES: &str = "\
developer: { teams: [acme/developers] }
data_ops: { teams: [acme/data-ops] }
data_ops_lead: { users: [lea] }
dba: { teams: [acme/dba] }
tech_lead: { users: [tim] }
cto: { users: [carol] }
";

pub const ENVIRONMENTS: &str = "\
development: { migration: { auto_approve: true } }
testing: { migration: { auto_approve: true } }
staging: {}
production: {}
";

/// Everything a verdict depends on.
#[derive(Clone)]
pub struct World {
    pub files: BTreeMap<String, String>,
    pub pr: PullRequestSnapshot,
    pub now: DateTime<Utc>,
}

pub fn env(name: &str) -> EnvironmentName {
    EnvironmentName::new(name).unwrap()
}

fn digest(of: char) -> Digest {
    Digest::new(format!("sha256:{}", of.to_string().repeat(64))).unwrap()
}

impl World {
    /// alice (developer) opens a pull request with one migration; ann and ben are data_ops, dan and dora are dba.
    pub fn new(risk: Risk) -> Self {
        let now = "2026-11-21T12:00:00Z".parse().unwrap();
        let files = BTreeMap::from([
            ("policies/roles.yml".to_owned(), ROLES.to_owned()),
            ("policies/environments.yml".to_owned(), ENVIRONMENTS.to_owned()),
        ]);
        let team = |names: &[&str]| names.iter().map(|n| TeamSlug::new(format!("acme/{n}")).unwrap()).collect();
        let people = [
            ("alice", Permission::Write, &["developers"][..]),
            ("bob", Permission::Write, &["developers"]),
            ("ann", Permission::Write, &["data-ops"]),
            ("ben", Permission::Write, &["data-ops"]),
            ("dan", Permission::Write, &["dba"]),
            ("dora", Permission::Write, &["dba"]),
            ("lea", Permission::Maintain, &[]),
            ("tim", Permission::Write, &[]),
            ("carol", Permission::Admin, &[]),
            ("rita", Permission::Read, &["dba"]),
            ("olaf", Permission::Write, &[]),
        ];
        let people: BTreeMap<Login, Person> = people
            .into_iter()
            .map(|(login, permission, teams)| (Login::new(login), Person { permission, teams: team(teams) }))
            .collect();
        let mut world = Self {
            files,
            now,
            pr: PullRequestSnapshot {
                repo: RepoName::new("acme/shop").unwrap(),
                number: PrNumber(7),
                author: Some(Login::new("alice")),
                head: CommitSha::new("a".repeat(40)).unwrap(),
                base: CommitSha::new("b".repeat(40)).unwrap(),
                base_ref: "main".to_owned(),
                default_branch: Some("main".to_owned()),
                from_fork: false,
                draft: false,
                merged: false,
                commit_people: BTreeSet::from([CommitPerson::Known(Login::new("alice"))]),
                incomplete: false,
                reviews: Vec::new(),
                labels: Vec::new(),
                people,
                binding: None,
                migration_paths: vec!["migrations/postgresql/0004_orders.up.sql".to_owned()],
                policy_paths: Vec::new(),
                asked_at: Some(now),
                asked: Default::default(),
                entered: Vec::new(),
                held: Default::default(),
            },
        };
        world.rebind('1', risk);
        world
    }

    pub fn policy(&self) -> Policy {
        Policy::load(&|path| self.files.get(path).map(|t| t.as_bytes().to_vec())).unwrap()
    }

    /// What is there now: content, the policy as it stands, risk. Earlier reviews keep what they were bound to.
    pub fn rebind(&mut self, content: char, risk: Risk) {
        self.pr.binding = Some(self.policy().binding(digest(content), risk, &[]));
    }

    pub fn file(mut self, path: &str, text: &str) -> Self {
        self.files.insert(path.to_owned(), text.to_owned());
        let (content, risk) =
            self.pr.binding.as_ref().map_or(('1', Risk::Low), |b| (b.digest.as_str().chars().last().unwrap(), b.risk));
        self.rebind(content, risk);
        self
    }

    /// One line of `policies/roles.yml` instead of another.
    pub fn role(self, name: &str, holders: &str) -> Self {
        let mut lines: Vec<String> =
            ROLES.lines().filter(|l| !l.starts_with(&format!("{name}:"))).map(str::to_owned).collect();
        lines.push(format!("{name}: {holders}"));
        self.file("policies/roles.yml", &lines.join("\n"))
    }

    pub fn review(&mut self, login: &str, state: ReviewState, binding: Option<Binding>) {
        let id = self.pr.reviews.len() as u64 + 1;
        self.pr.reviews.push(Review {
            id,
            login: Login::new(login),
            state,
            submitted_at: self.now + TimeDelta::seconds(i64::try_from(id).unwrap()),
            binding,
        });
    }

    pub fn approve(mut self, logins: &[&str]) -> Self {
        for login in logins {
            let binding = self.pr.binding.clone();
            self.review(login, ReviewState::Approved, binding);
        }
        self
    }

    pub fn says(mut self, login: &str, state: ReviewState) -> Self {
        let binding = self.pr.binding.clone();
        self.review(login, state, binding);
        self
    }

    pub fn label(mut self, name: &str, by: &str) -> Self {
        self.pr.labels.push(Label {
            own: by == "godwit[bot]",
            name: name.to_owned(),
            set_by: Some(Login::new(by)),
            set_at: Some(self.now),
            binding: self.pr.binding.clone(),
        });
        self
    }

    /// Entered outside GitHub: an approval for one environment in one role.
    pub fn enter(mut self, login: &str, environment: &str, role: &str) -> Self {
        self.pr.entered.push(Entered {
            environment: env(environment),
            role: RoleName::new(role).unwrap(),
            approver: Login::new(login),
            entered_by: Login::new(login),
            source: Source::Api,
            at: self.now,
            binding: self.pr.binding.clone().unwrap(),
        });
        self
    }

    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    pub fn verdict(&self) -> Verdict {
        evaluate(&self.policy(), &self.pr, self.now)
    }

    pub fn at_start(&self, environment: &str) -> EnvironmentVerdict {
        evaluate_environment(&self.policy(), &self.pr, &env(environment), self.now)
    }

    /// The status of one environment's cell.
    pub fn of(&self, environment: &str) -> Status {
        self.verdict().environments.iter().find(|e| e.environment == env(environment)).unwrap().evaluation.status
    }

    /// Why, for one environment.
    pub fn why(&self, environment: &str) -> String {
        let verdict = self.verdict();
        verdict.environments.iter().find(|e| e.environment == env(environment)).unwrap().evaluation.reason.clone()
    }

    pub fn missing(&self) -> Vec<String> {
        self.verdict().missing_roles.iter().map(ToString::to_string).collect()
    }

    pub fn gate(&self, name: &str) -> Option<(Status, String)> {
        self.verdict().gates.into_iter().find(|g| g.name == name).map(|g| (g.status, g.reason))
    }
}
