//! The promotion order: which environments a merge concerns, and which one must hold a change before another may (B-10).

use super::Policy;
use crate::config::{Environment, Profile, Promotion};
use crate::ids::EnvironmentName;
use crate::migration::MigrationSet;

impl Policy {
    /// The environments that a merge into `base_ref` concerns, in promotion order.
    pub fn chain(&self, base_ref: &str, default_branch: &str) -> Vec<(&EnvironmentName, Promotion)> {
        self.ordered()
            .filter(|e| e.branch.as_deref().unwrap_or(default_branch) == base_ref)
            .map(|e| (&e.name, e.promotion))
            .collect()
    }

    /// How severe findings are on a pull request into `base_ref`: relaxed only where every environment that its merge
    /// runs asks for that (SPEC 6).
    pub fn profile(&self, base_ref: &str, default_branch: &str) -> Profile {
        let mut run = self.ordered().filter(|e| e.branch.as_deref().unwrap_or(default_branch) == base_ref).peekable();
        if run.peek().is_some() && run.all(|e| e.validation == Profile::Relaxed) {
            Profile::Relaxed
        } else {
            Profile::Strict
        }
    }

    /// The same, with the folders of services whose files are judged strictly whatever that says: those that ask for it in one
    /// of these environments.
    pub fn graded(&self, base_ref: &str, default_branch: &str, set: &MigrationSet) -> (Profile, Vec<String>) {
        let chain = self.chain(base_ref, default_branch);
        let strict_below = set.strict_in(&|name| chain.iter().any(|(environment, _)| *environment == name));
        (self.profile(base_ref, default_branch), strict_below)
    }

    /// The environment that must hold a change before `environment` may: the nearest one before it in promotion order
    /// that `takes` the change. One that belongs to another branch for certain has an order of its own.
    pub fn before(&self, environment: &EnvironmentName, takes: &dyn Fn(&Environment) -> bool) -> Option<&Environment> {
        let own = self.environments.get(environment)?;
        let earlier: Vec<&Environment> = self.ordered().take_while(|e| &e.name != environment).collect();
        let elsewhere = |e: &Environment| matches!((&e.branch, &own.branch), (Some(a), Some(b)) if a != b);
        earlier.into_iter().rev().find(|e| !elsewhere(e) && takes(e))
    }

    fn ordered(&self) -> impl Iterator<Item = &Environment> {
        self.repo.environments.iter().filter_map(|name| self.environments.get(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s1_50_s1_54_a_change_is_judged_as_the_strictest_environment_of_its_branch_asks() {
        let text = "a: { branch: develop, validation: relaxed, targets: {} }\n\
                    b: { validation: relaxed, targets: {} }\nc: { validation: strict, targets: {} }\n\
                    d: { branch: next, targets: {} }\n";
        let policy =
            Policy::load(&|path| (path == "policies/environments.yml").then(|| text.as_bytes().to_vec())).unwrap();
        assert_eq!(policy.profile("develop", "main"), Profile::Relaxed);
        for branch in ["main", "next", "nobody-runs-it"] {
            assert_eq!(policy.profile(branch, "main"), Profile::Strict, "{branch}");
        }
    }

    fn policy() -> Policy {
        let text = "a: { targets: { one: { engine: sqlite, url: 'sqlite:a' } } }\n\
                    b: { branch: next, targets: { one: { engine: sqlite, url: 'sqlite:b' } } }\n\
                    c: { targets: { two: { engine: sqlite, url: 'sqlite:c' } } }\n\
                    d: { branch: main, targets: { one: { engine: sqlite, url: 'sqlite:d' } } }\n";
        Policy::load(&|path| (path == "policies/environments.yml").then(|| text.as_bytes().to_vec())).unwrap()
    }

    fn name(text: &str) -> EnvironmentName {
        EnvironmentName::new(text).unwrap()
    }

    #[test]
    fn b10_what_comes_before_takes_the_same_and_may_be_of_the_same_branch() {
        let policy = policy();
        let takes = |target: &'static str| move |e: &Environment| e.targets.iter().any(|t| t.name.as_str() == target);
        let before = |e: &str, target| policy.before(&name(e), &takes(target)).map(|e| e.name.to_string());
        assert_eq!(before("a", "one"), None);
        assert_eq!(before("b", "one").as_deref(), Some("a"));
        assert_eq!(before("d", "one").as_deref(), Some("a"), "`b` is of another branch, `c` does not take it");
        assert_eq!(before("d", "two").as_deref(), Some("c"));
        assert_eq!(before("nowhere", "one"), None);
    }

    #[test]
    fn a_merge_concerns_the_environments_of_its_branch() {
        let names = |branch: &str| -> Vec<String> {
            policy().chain(branch, "main").iter().map(|(name, _)| name.to_string()).collect()
        };
        assert_eq!(names("main"), ["a", "c", "d"]);
        assert_eq!(names("next"), ["b"]);
    }
}
