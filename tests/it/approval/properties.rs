//! What must hold for every pull request, whatever people do.

use chrono::TimeDelta;
use godwit::approval::{ReviewState, Status};
use godwit::ids::Risk;
use proptest::prelude::*;

use super::world::{ROLES, World};

const PEOPLE: [&str; 11] = ["alice", "bob", "ann", "ben", "dan", "dora", "lea", "tim", "carol", "rita", "olaf"];

fn risk() -> impl Strategy<Value = Risk> {
    prop::sample::select(vec![Risk::Low, Risk::Medium, Risk::High])
}

fn person() -> impl Strategy<Value = &'static str> {
    prop::sample::select(PEOPLE.to_vec())
}

/// Words of people, in order.
fn words(objections: bool) -> impl Strategy<Value = Vec<(&'static str, ReviewState)>> {
    let mut states = vec![ReviewState::Approved, ReviewState::Approved, ReviewState::Commented, ReviewState::Dismissed];
    if objections {
        states.push(ReviewState::ChangesRequested);
    }
    prop::collection::vec((person(), prop::sample::select(states)), 0..10)
}

fn world(risk: Risk, owners: bool, words: &[(&'static str, ReviewState)]) -> World {
    let mut world = World::new(risk);
    if owners {
        world = world.file("CODEOWNERS", "* @acme/dba @lea\n");
    }
    for (who, word) in words {
        world = world.says(who, *word);
    }
    world
}

/// Something that somebody did.
#[derive(Debug, Clone)]
enum Deed {
    Review(&'static str, ReviewState),
    Label(&'static str, &'static str),
    Enter(&'static str, &'static str, &'static str),
}

/// Deeds in the order in which they reach us. One person's reviews are left out of the shuffling: the latest counts.
fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let role = || prop::sample::select(vec!["developer", "data_ops", "data_ops_lead", "dba", "tech_lead", "cto"]);
    let label = prop::sample::select(vec!["approved:dba", "approved:data_ops", "approved:cto", "risk:high", "bug"]);
    let place = prop::sample::select(vec!["development", "staging", "production"]);
    let review = (person(), prop::sample::select(vec![ReviewState::Approved, ReviewState::Commented]));
    prop::collection::vec(
        prop_oneof![
            review.prop_map(|(who, state)| Deed::Review(who, state)),
            (label, person()).prop_map(|(name, who)| Deed::Label(name, who)),
            (person(), place, role()).prop_map(|(who, place, role)| Deed::Enter(who, place, role)),
        ],
        0..12,
    )
}

fn done(risk: Risk, deeds: &[Deed]) -> World {
    deeds.iter().fold(World::new(risk), |world, deed| match deed {
        Deed::Review(who, state) => world.says(who, *state),
        Deed::Label(name, who) => world.label(name, who),
        Deed::Enter(who, place, role) => world.enter(who, place, role),
    })
}

/// How far a verdict is from yes.
fn distance(status: Status) -> u8 {
    match status {
        Status::Approved => 0,
        Status::Skipped | Status::Pending => 1,
        Status::Disapproved => 2,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    /// Adding an approval never turns a yes into something else, in any environment.
    #[test]
    fn an_approval_never_hurts(risk in risk(), owners: bool, words in words(true), who in person()) {
        let before = world(risk, owners, &words);
        let after = before.clone().approve(&[who]);
        let (b, a) = (before.verdict(), after.verdict());
        prop_assert!(distance(a.status) <= distance(b.status), "{who}: {} -> {}", b.summary, a.summary);
        for (b, a) in b.environments.iter().zip(&a.environments) {
            prop_assert!(distance(a.evaluation.status) <= distance(b.evaluation.status));
        }
    }

    /// Whatever way it comes, an approval never turns a yes into something else.
    #[test]
    fn no_way_of_approving_hurts(risk in risk(), deeds in deeds(), who in person(), role in 0usize..6, way in 0u8..3) {
        let before = done(risk, &deeds);
        let role = ROLES.lines().nth(role).and_then(|l| l.split(':').next()).unwrap();
        let after = match way {
            0 => before.clone().approve(&[who]),
            1 => before.clone().label(&format!("approved:{role}"), who),
            _ => before.clone().enter(who, "production", role),
        };
        let (b, a) = (before.verdict(), after.verdict());
        prop_assert!(distance(a.status) <= distance(b.status), "{who}: {} -> {}", b.summary, a.summary);
        for (b, a) in b.environments.iter().zip(&a.environments) {
            prop_assert!(distance(a.evaluation.status) <= distance(b.evaluation.status));
        }
    }

    /// In which order reviews, labels and entered approvals reach us does not matter, and nobody counts twice.
    #[test]
    fn the_order_of_deeds_does_not_matter(risk in risk(), deeds in deeds(), turn in 0usize..12) {
        let mut turned = deeds.clone();
        if !turned.is_empty() {
            let by = turn % turned.len();
            turned.rotate_left(by);
        }
        let (one, other) = (done(risk, &deeds).verdict(), done(risk, &turned).verdict());
        prop_assert_eq!(one.status, other.status);
        for (a, b) in one.environments.iter().zip(&other.environments) {
            prop_assert_eq!(&a.evaluation, &b.evaluation);
            prop_assert_eq!(&a.sources, &b.sources);
            prop_assert!(a.filled.len() <= a.sources.len(), "each role by a person of its own");
        }
    }

    /// The order in which different people spoke does not matter.
    #[test]
    fn the_order_of_different_people_does_not_matter(risk in risk(), owners: bool, words in words(true), seed: u64) {
        let straight = world(risk, owners, &words);
        // A stable sort by a scrambled person keeps each person's own order.
        let mut shuffled = words.clone();
        shuffled.sort_by_key(|(who, _)| who.bytes().fold(seed | 1, |h, b| h.rotate_left(7).wrapping_mul(31) ^ u64::from(b)));
        prop_assert_eq!(straight.verdict(), world(risk, owners, &shuffled).verdict());
    }

    /// The same question has the same answer.
    #[test]
    fn judging_twice_gives_the_same_tree(risk in risk(), owners: bool, words in words(true)) {
        let world = world(risk, owners, &words);
        prop_assert_eq!(world.verdict(), world.verdict());
        prop_assert_eq!(world.at_start("production"), world.at_start("production"));
    }

    /// An environment is open for a run exactly when its cell is satisfied and no gate is closed.
    #[test]
    fn a_run_starts_only_when_everything_says_yes(risk in risk(), owners: bool, words in words(true)) {
        let world = world(risk, owners, &words);
        let verdict = world.verdict();
        let gates = verdict.gates.iter().all(|g| g.status == Status::Approved);
        for environment in &verdict.environments {
            let open = world.at_start(environment.environment.as_str()).evaluation.status == Status::Approved;
            prop_assert_eq!(open, gates && environment.evaluation.status == Status::Approved);
        }
    }

    /// B-15: whatever is not open says why, and what only waits for people says for whom; what is open waits for nobody.
    #[test]
    fn a_verdict_always_says_who_is_missing_and_why(risk in risk(), owners: bool, words in words(true), deeds in deeds()) {
        for verdict in [world(risk, owners, &words).verdict(), done(risk, &deeds).verdict()] {
            prop_assert!(!verdict.summary.is_empty());
            let gates = verdict.gates.iter();
            for part in gates.chain(verdict.environments.iter().map(|e| &e.evaluation)) {
                prop_assert!(!part.reason.is_empty(), "{part:?}");
                match part.status {
                    Status::Pending => prop_assert!(!part.missing.is_empty(), "{part:?}"),
                    Status::Approved => prop_assert!(part.missing.is_empty(), "{part:?}"),
                    Status::Disapproved | Status::Skipped => {}
                }
                for child in &part.children {
                    prop_assert!(!child.reason.is_empty() || !child.children.is_empty(), "{child:?}");
                }
            }
        }
    }

    /// B-3: where the matrix has no cell, nobody's approval opens anything.
    #[test]
    fn no_cell_is_blocked(risk in risk(), words in words(false)) {
        let world = world(risk, false, &words)
            .file("policies/approval_matrix.yml", "elsewhere: {ANY: {required_approvals: 0, required_roles: []}}\n");
        prop_assert_eq!(world.verdict().status, Status::Disapproved);
    }

    /// Taking a role from somebody never opens anything (requests for changes apart: they stop counting with the role).
    #[test]
    fn taking_a_role_away_never_helps(risk in risk(), words in words(false), role in 0usize..6) {
        let with = world(risk, false, &words);
        let line = ROLES.lines().nth(role).unwrap();
        let emptied = ROLES.replace(line, &format!("{}: {{}}", line.split(':').next().unwrap()));
        // Bound to the new policy, so that only the role makes the difference.
        let mut without = World::new(risk).file("policies/roles.yml", &emptied);
        for (who, word) in &words {
            without = without.says(who, *word);
        }
        let (w, wo) = (with.verdict(), without.verdict());
        prop_assert!(distance(wo.status) >= distance(w.status));
        for (a, b) in w.environments.iter().zip(&wo.environments) {
            prop_assert!(distance(b.evaluation.status) >= distance(a.evaluation.status), "{} {}", a.evaluation.reason, b.evaluation.reason);
        }
    }

    /// A higher risk never asks for less in the built-in matrix.
    #[test]
    fn more_risk_never_asks_for_less(words in words(true)) {
        let mut last = 0;
        for risk in [Risk::Low, Risk::Medium, Risk::High] {
            let d = distance(world(risk, false, &words).verdict().status);
            prop_assert!(d >= last);
            last = d;
        }
    }

    /// Each role is filled by another person, who approved and wrote nothing of it.
    #[test]
    fn people_who_fill_roles_are_distinct_and_approved(risk in risk(), words in words(true)) {
        let world = world(risk, false, &words);
        for environment in world.verdict().environments {
            let mut people: Vec<_> = environment.filled.values().collect();
            let before = people.len();
            people.sort();
            people.dedup();
            prop_assert_eq!(people.len(), before);
            if environment.environment.as_str() == "production" {
                for person in people {
                    prop_assert!(person.as_str() != "alice" && person.as_str() != "rita");
                }
            }
        }
    }

    /// Time alone never approves.
    #[test]
    fn time_never_helps(risk in risk(), words in words(true), hours in 0i64..100) {
        let now = world(risk, false, &words);
        let later = now.clone().with(|w| w.now += TimeDelta::hours(hours));
        prop_assert!(distance(later.verdict().status) >= distance(now.verdict().status));
    }
}
