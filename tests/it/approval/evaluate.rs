//! The verdict, in the words of the people it is about.

use chrono::{DateTime, TimeDelta, Utc};
use godwit::approval::{Asked, CommitPerson, ReviewState, Source, Status};
use godwit::ids::{Login, Risk};

use super::world::{World, env};

const EVERYBODY: [&str; 5] = ["lea", "dan", "tim", "carol", "ann"];

#[test]
fn s2_48_to_s2_52_the_matrix_asks_for_more_people_as_the_risk_rises() {
    for (risk, missing) in [
        (Risk::Low, &["data_ops", "data_ops_lead", "dba"][..]),
        (Risk::Medium, &["data_ops", "data_ops_lead", "dba", "tech_lead"]),
        (Risk::High, &["cto", "data_ops", "data_ops_lead", "dba", "tech_lead"]),
    ] {
        let world = World::new(risk);
        assert_eq!(world.missing(), missing, "{risk}");
        assert_eq!(world.verdict().status, Status::Pending);
    }
    assert_eq!(World::new(Risk::Low).approve(&["lea", "dan", "ann"]).verdict().status, Status::Approved);
    assert_eq!(World::new(Risk::Medium).approve(&["lea", "dan", "ann"]).missing(), ["tech_lead"]);
    assert_eq!(World::new(Risk::High).approve(&EVERYBODY).verdict().status, Status::Approved);
}

#[test]
fn the_check_s_title_says_who_is_missing_and_where() {
    let world = World::new(Risk::Medium).approve(&["lea", "dan"]);
    assert_eq!(world.verdict().summary, "Waiting for staging: data_ops; production: tech_lead");
    assert_eq!(
        World::new(Risk::Low).approve(&["lea", "dan", "ann"]).verdict().summary,
        "Approved for development, testing, staging, production"
    );
}

#[test]
fn s2_49_staging_needs_two_different_people_of_data_ops() {
    let world = World::new(Risk::Low);
    assert_eq!(world.clone().approve(&["ann"]).of("staging"), Status::Pending);
    assert_eq!(world.clone().approve(&["ann", "ann"]).of("staging"), Status::Pending);
    assert_eq!(world.clone().approve(&["ann", "ben"]).of("staging"), Status::Approved);
    // The lead counts as data_ops; a dba does not.
    assert_eq!(world.clone().approve(&["ann", "lea"]).of("staging"), Status::Approved);
    assert_eq!(world.approve(&["ann", "dan"]).of("staging"), Status::Pending);
}

#[test]
fn b3_each_role_is_filled_by_a_distinct_person() {
    // lea holds both roles of production/LOW; one person fills one role.
    let world = World::new(Risk::Low).role("dba", "{ users: [lea, dan] }");
    assert_eq!(world.clone().approve(&["lea"]).of("production"), Status::Pending);
    // Whoever came first, the matching finds the assignment.
    for order in [["lea", "dan"], ["dan", "lea"]] {
        let verdict = world.clone().approve(&order).verdict();
        let production = &verdict.environments[3];
        assert_eq!(production.evaluation.status, Status::Approved);
        let filled: Vec<String> = production.filled.iter().map(|(r, l)| format!("{r}={l}")).collect();
        assert_eq!(filled, ["data_ops_lead=lea", "dba=dan"]);
    }
}

#[test]
fn b1_the_latest_word_that_is_not_a_comment_counts() {
    use ReviewState::{Approved, ChangesRequested, Commented, Dismissed, Pending};
    let world = World::new(Risk::Low).approve(&["lea", "ann"]);
    for (words, expected) in [
        (&[Approved][..], Status::Approved),
        (&[Approved, Commented], Status::Approved),
        (&[Approved, Pending], Status::Approved),
        (&[Approved, Dismissed], Status::Pending),
        (&[Approved, ChangesRequested, Dismissed], Status::Pending),
        (&[Approved, ChangesRequested], Status::Disapproved),
        (&[ChangesRequested, Approved], Status::Approved),
        (&[Dismissed, Approved], Status::Approved),
        (&[Commented], Status::Pending),
    ] {
        let mut world = world.clone();
        for word in words {
            world = world.says("dan", *word);
        }
        assert_eq!(world.verdict().status, expected, "{words:?}");
    }
}

#[test]
fn b1_an_approval_falls_with_the_content_the_policy_or_another_risk() {
    let approved = World::new(Risk::Low).approve(&["lea", "dan", "ann"]);
    assert_eq!(approved.verdict().status, Status::Approved);

    let edited = approved.clone().with(|w| w.rebind('2', Risk::Low));
    assert_eq!(edited.verdict().status, Status::Pending);
    assert_eq!(
        edited.verdict().ignored[0],
        "the approval of @ann does not count: the migrations changed since; please look again"
    );

    let stricter = approved.clone().file("policies/lint.yml", "postgres_version: 16\n");
    assert!(stricter.verdict().ignored[0].contains("the policy changed since"), "{:?}", stricter.verdict().ignored);

    let riskier = approved.clone().with(|w| w.rebind('1', Risk::High));
    assert!(riskier.verdict().ignored[0].contains("it was given at risk LOW, which is HIGH now"));
    assert_eq!(riskier.verdict().status, Status::Pending);

    // A risk that somebody lowered is looked at anew as well.
    let calmer = World::new(Risk::High).approve(&EVERYBODY).with(|w| w.rebind('1', Risk::Low));
    assert_eq!(calmer.verdict().status, Status::Pending);
    assert!(calmer.verdict().ignored[0].contains("it was given at risk HIGH, which is LOW now"));

    let unproved =
        World::new(Risk::Low).approve(&["lea", "ann"]).with(|w| w.review("dan", ReviewState::Approved, None));
    assert_eq!(unproved.verdict().status, Status::Pending);
    assert!(unproved.verdict().ignored[0].contains("cannot be proved"));
}

#[test]
fn b1_only_people_with_write_access_count_now() {
    let reader = World::new(Risk::Low).approve(&["lea", "ann", "rita"]);
    assert_eq!(reader.verdict().status, Status::Pending);
    assert!(reader.verdict().ignored[0].contains("@rita does not count: no write access"));
    let unknown = World::new(Risk::Low).approve(&["lea", "ann", "dan"]).with(|w| {
        w.pr.people.remove(&Login::new("dan"));
    });
    assert_eq!(unknown.verdict().status, Status::Pending);
    // Left the team since.
    let left = World::new(Risk::Low)
        .approve(&["lea", "ann", "dan"])
        .with(|w| w.pr.people.get_mut(&Login::new("dan")).unwrap().teams.clear());
    assert_eq!(left.verdict().status, Status::Pending);
}

#[test]
fn b2_who_wrote_the_change_does_not_count_outside_development() {
    let world = World::new(Risk::Low).approve(&["lea", "dan", "ann"]);
    let committed = world.clone().with(|w| {
        w.pr.commit_people.insert(CommitPerson::Known(Login::new("Dan")));
    });
    assert_eq!(committed.of("production"), Status::Pending);
    assert_eq!(committed.of("development"), Status::Approved);
    assert!(committed.verdict().notes.iter().any(|n| n.contains("@dan wrote part of this change")));
    // The author's own approval counts nowhere but where `auto_approve` says so.
    let own = World::new(Risk::Low).with(|w| w.pr.author = Some(Login::new("lea"))).approve(&["lea", "dan", "ann"]);
    assert_eq!(own.of("production"), Status::Disapproved);
    assert_eq!(
        own.why("production"),
        "only @lea holds the role `data_ops_lead`, and wrote this change; name another holder in `roles.yml`"
    );
}

#[test]
fn s2_90_development_is_approved_by_opening_where_auto_approve_is_set() {
    let world = World::new(Risk::High);
    assert_eq!(world.of("development"), Status::Approved);
    assert_eq!(world.of("testing"), Status::Approved);
    let strict = world.clone().file("policies/environments.yml", "development:\nstaging:\nproduction:\n");
    assert_eq!(strict.of("development"), Status::Pending);
    assert_eq!(strict.approve(&["bob"]).of("development"), Status::Approved);
    // Not for strangers, and not from forks.
    let stranger = world.clone().with(|w| w.pr.author = Some(Login::new("olaf")));
    assert_eq!(stranger.of("development"), Status::Pending);
    let fork = world.clone().with(|w| w.pr.from_fork = true);
    assert_eq!(fork.of("development"), Status::Pending);
    // Never on the last environment.
    let last = world.file(
        "policies/environments.yml",
        "development: {migration: {auto_approve: true}}\nproduction: {migration: {auto_approve: true}}\n",
    );
    assert!(last.verdict().notes.iter().any(|n| n.contains("`auto_approve` of `production` is ignored")));
    assert_eq!(last.of("production"), Status::Pending);
}

#[test]
fn b2_cut_off_lists_block() {
    let world = World::new(Risk::Low).approve(&EVERYBODY).with(|w| w.pr.incomplete = true);
    assert_eq!(world.verdict().status, Status::Disapproved);
    assert!(world.verdict().summary.contains("cut off"));
    // Even where nothing seems to be changed, and in a draft.
    let empty = world.with(|w| {
        w.pr.migration_paths.clear();
        w.pr.binding = None;
        w.pr.draft = true;
    });
    assert_eq!(empty.verdict().status, Status::Disapproved);
    let unreadable = World::new(Risk::Low).approve(&EVERYBODY).with(|w| w.pr.binding = None);
    assert_eq!(unreadable.verdict().status, Status::Disapproved);
}

#[test]
fn b3_no_cell_blocks() {
    let world = World::new(Risk::High)
        .file("policies/approval_matrix.yml", "development: {ANY: {required_approvals: 0, required_roles: []}}\nproduction: {LOW: {required_approvals: 1, required_roles: [dba]}}\n")
        .approve(&EVERYBODY);
    assert_eq!(world.verdict().status, Status::Disapproved);
    assert!(world.why("production").contains("no cell for `production` at risk HIGH"));
    assert!(world.why("staging").contains("no cell for `staging`"));
    assert_eq!(world.of("development"), Status::Approved);
    assert_eq!(world.why("testing"), "the cell asks for nobody");
}

#[test]
fn a_role_nobody_holds_blocks_and_says_so() {
    for holders in ["{}", "[]"] {
        let world = World::new(Risk::High).role("cto", holders).approve(&EVERYBODY);
        assert_eq!(world.verdict().status, Status::Disapproved);
        assert_eq!(world.why("production"), "nobody holds the role `cto`; name teams or people for it in `roles.yml`");
    }
    let too_few = World::new(Risk::Low).role("data_ops", "[\"@ann\"]").role("data_ops", "[\"@ann\"]");
    let too_few = too_few.file(
        "policies/roles.yml",
        "developer: [\"@alice\"]\ndata_ops: [\"@ann\"]\ndata_ops_lead: [\"@alice\"]\ndba: [\"@dan\"]\n",
    );
    assert_eq!(too_few.why("staging"), "2 approvals are asked for, and only @ann may give one as `data_ops`");
    let same = World::new(Risk::Low).file(
        "policies/roles.yml",
        "developer: [\"@alice\"]\ndata_ops: [\"@ann\", \"@ben\"]\ndata_ops_lead: [\"@lea\"]\ndba: [\"@lea\"]\n",
    );
    assert_eq!(same.why("production"), "`data_ops_lead`, `dba` need different people, and too few hold them");
}

#[test]
fn decision_6_a_request_for_changes_by_a_role_holder_blocks() {
    let world = World::new(Risk::Low).approve(&EVERYBODY);
    let blocked = world.clone().says("dora", ReviewState::ChangesRequested);
    assert_eq!(blocked.gate("change requests"), Some((Status::Disapproved, "@dora requested changes".to_owned())));
    assert_eq!(blocked.clone().says("dora", ReviewState::Approved).verdict().status, Status::Approved);
    assert_eq!(blocked.says("dora", ReviewState::Dismissed).verdict().status, Status::Approved);
    // Somebody without a say does not block.
    assert_eq!(world.clone().says("olaf", ReviewState::ChangesRequested).verdict().status, Status::Approved);
    // A code owner of a changed migration does.
    let owned = World::new(Risk::Low).file("CODEOWNERS", "/migrations/ @olaf @dan\n").approve(&EVERYBODY);
    assert_eq!(owned.verdict().status, Status::Approved);
    assert_eq!(owned.says("olaf", ReviewState::ChangesRequested).verdict().status, Status::Disapproved);
}

#[test]
fn b13_a_label_counts_for_who_set_it_in_that_role_only() {
    let world = World::new(Risk::Low).approve(&["lea", "ann"]);
    assert_eq!(world.clone().label("approved:dba", "dan").verdict().status, Status::Approved);
    assert_eq!(world.clone().label("Approved:DBA", "dan").verdict().status, Status::Approved);
    for (label, by, part) in [
        ("approved:dba", "olaf", "@olaf does not hold the role"),
        ("approved:dba", "rita", "no write access"),
        ("approved:boss", "dan", "no role has this name"),
    ] {
        let world = world.clone().label(label, by);
        assert_eq!(world.verdict().status, Status::Pending, "{label} {by}");
        assert!(world.verdict().ignored.iter().any(|i| i.contains(part)), "{:?}", world.verdict().ignored);
    }
    let stale = world.clone().label("approved:dba", "dan").with(|w| w.rebind('2', Risk::Low));
    assert_eq!(stale.verdict().status, Status::Pending);
    // lea's label as lead does not fill dba, though she might hold it.
    let both = World::new(Risk::Low)
        .role("dba", "{ users: [lea, dan] }")
        .approve(&["ann", "ben"])
        .label("approved:data_ops_lead", "lea");
    assert_eq!(both.missing(), ["dba"]);
    let named = World::new(Risk::Low)
        .role("dba", "{ users: [dan], labels: [\"dba looked\"] }")
        .approve(&["lea", "ann"])
        .label("DBA looked", "dan");
    assert_eq!(named.verdict().status, Status::Approved);
    let nobody = world.with(|w| {
        w.pr.labels.push(godwit::approval::Label {
            own: false,
            name: "approved:dba".to_owned(),
            set_by: None,
            set_at: None,
            binding: w.pr.binding.clone(),
        })
    });
    assert!(nobody.verdict().ignored[0].contains("who set it is not known"));
}

#[test]
fn b13_labels_hold_and_raise_but_never_lower() {
    let world = World::new(Risk::Medium).approve(&["lea", "dan", "tim", "ann"]);
    assert_eq!(world.verdict().status, Status::Approved);
    let held = world.clone().label("hold", "olaf");
    assert_eq!(held.verdict().status, Status::Disapproved);
    assert_eq!(held.verdict().summary, "Blocked: the label `hold` was set by @olaf; take it off to go on");
    assert_eq!(world.clone().label("risk:low", "lea").verdict().status, Status::Approved);
    let raised = world.clone().label("risk:high", "olaf");
    assert_eq!(raised.verdict().status, Status::Pending);
    assert!(raised.missing().contains(&"cto".to_owned()));
    // The labels that the bot keeps say nothing new.
    assert_eq!(world.label("risk:high", "godwit[bot]").verdict().status, Status::Approved);
}

#[test]
fn p05_an_owner_of_each_changed_path_must_approve_besides_the_roles() {
    let codeowners = "* @acme/everybody\n/migrations/ @acme/developers\n/migrations/redis/\n";
    let world = World::new(Risk::Low).file(".github/CODEOWNERS", codeowners).approve(&["lea", "dan", "ann"]);
    let (status, reason) = world.gate("code owners").unwrap();
    assert_eq!(status, Status::Pending);
    assert_eq!(reason, "`/migrations/` (CODEOWNERS line 2) waits for @acme/developers");
    assert_eq!(world.verdict().summary, "Waiting for code owners");
    assert_eq!(world.clone().approve(&["bob"]).verdict().status, Status::Approved);
    // alice is an owner, and wrote it.
    assert_eq!(world.clone().approve(&["alice"]).verdict().status, Status::Pending);
    // A label is an approval in a role, not as an owner.
    assert_eq!(world.clone().label("approved:developer", "bob").verdict().status, Status::Pending);
    // Ownership taken away: nothing needed.
    let unowned = world.with(|w| w.pr.migration_paths = vec!["migrations/redis/1.json".to_owned()]);
    assert_eq!(unowned.gate("code owners"), None);
    assert_eq!(unowned.verdict().status, Status::Approved);
}

#[test]
fn b5_owners_that_cannot_approve_block_and_all_owners_can_be_asked() {
    for owner in ["@alice", "@rita", "dba@example.com"] {
        let world = World::new(Risk::Low).file("CODEOWNERS", &format!("* {owner}\n")).approve(&EVERYBODY);
        let (status, reason) = world.gate("code owners").unwrap();
        assert_eq!(status, Status::Disapproved, "{owner}");
        assert!(reason.contains("no owner of `*`"), "{reason}");
    }
    let matrix = format!("code_owners: all_owners\n{}", godwit::config::ApprovalMatrix::BUILT_IN);
    let all = World::new(Risk::Low)
        .file("policies/approval_matrix.yml", &matrix)
        .file("CODEOWNERS", "* @dan @bob\n")
        .approve(&["lea", "dan", "ann"]);
    assert_eq!(all.gate("code owners").unwrap().0, Status::Pending);
    assert_eq!(all.approve(&["bob"]).verdict().status, Status::Approved);
}

/// One person who is on every line is enough for the owners; a line whose owners cannot agree blocks.
#[test]
fn b5_every_owner_line_can_be_asked() {
    let judged = |rule: &str, codeowners: &str, approve: &[&str]| {
        let matrix = format!("code_owners: {rule}\n{}", godwit::config::ApprovalMatrix::BUILT_IN);
        let people: Vec<&str> = ["lea", "dan", "ann"].iter().chain(approve).copied().collect();
        World::new(Risk::Low)
            .file("policies/approval_matrix.yml", &matrix)
            .file(".github/CODEOWNERS", codeowners)
            .approve(&people)
            .gate("code owners")
            .map(|(status, _)| status)
    };
    use Status::{Approved, Disapproved, Pending};
    let two = "* @tim\n/migrations/ @bob @carol\n";
    let table = [
        ("any", two, &["bob"][..], Some(Approved)),
        ("any", two, &["tim"], Some(Pending)),
        ("all_owners", two, &["bob"], Some(Pending)),
        ("all_owners", two, &["bob", "carol"], Some(Approved)),
        ("all_lines", two, &["bob"], Some(Pending)),
        ("all_lines", two, &["bob", "carol"], Some(Pending)),
        ("all_lines", two, &["tim"], Some(Pending)),
        ("all_lines", two, &["carol", "tim"], Some(Approved)),
        ("all_lines", "* @tim\n*.sql @tim @bob\n", &["tim"], Some(Approved)),
        ("all_lines", "* @tim\n/migrations/\n", &[], None),
        ("all_lines", "* @tim\n/docs/ @bob\n", &["tim"], Some(Approved)),
        ("all_lines", "* dba@example.com\n/migrations/ @bob\n", &["bob"], Some(Disapproved)),
        // alice wrote it.
        ("all_lines", "* @alice\n/migrations/ @bob\n", &["alice", "bob"], Some(Disapproved)),
        // rita reads only.
        ("all_lines", "* @acme/dba\n/migrations/ @rita\n", &["dan", "rita"], Some(Disapproved)),
    ];
    for (rule, codeowners, approve, expected) in table {
        assert_eq!(judged(rule, codeowners, approve), expected, "{rule} {codeowners:?} {approve:?}");
    }
    // A change of the policy asks every line too.
    let matrix = format!("code_owners: all_lines\n{}", godwit::config::ApprovalMatrix::BUILT_IN);
    let world = World::new(Risk::Low)
        .file("policies/approval_matrix.yml", &matrix)
        .file("CODEOWNERS", "* @tim\n/policies/ @carol\n")
        .with(|w| w.pr.policy_paths = vec!["policies/roles.yml".to_owned()])
        .approve(&["carol"]);
    assert_eq!(world.gate("policy owners").unwrap().0, Pending);
    assert_eq!(world.approve(&["tim"]).gate("policy owners").unwrap().0, Approved);
}

#[test]
fn b4_a_change_of_the_policy_needs_its_owners() {
    let touch = |w: &mut World| w.pr.policy_paths = vec!["policies/roles.yml".to_owned()];
    let world = World::new(Risk::Low).with(touch).approve(&["dan", "ann", "ben"]);
    assert_eq!(world.gate("policy owners").unwrap().0, Status::Pending);
    assert_eq!(world.clone().approve(&["lea"]).gate("policy owners").unwrap().0, Status::Approved);
    let owned =
        World::new(Risk::Low).file("CODEOWNERS", "/policies/ @carol\n").with(touch).approve(&["lea", "dan", "ann"]);
    assert_eq!(owned.gate("policy owners").unwrap().0, Status::Pending);
    assert_eq!(owned.approve(&["carol"]).verdict().status, Status::Approved);
    // Only the policy is touched: no environment is asked, its owners are.
    let only = World::new(Risk::Low).with(touch).with(|w| w.pr.migration_paths.clear());
    assert_eq!(only.verdict().status, Status::Pending);
    assert_eq!(only.clone().approve(&["lea"]).verdict().status, Status::Approved);
    assert_eq!(only.clone().approve(&["dan"]).verdict().status, Status::Pending);
    // The author of the change may not approve it, lead or not.
    let own = only.with(|w| w.pr.author = Some(Login::new("lea"))).approve(&["lea"]);
    assert_eq!(own.verdict().status, Status::Pending);
}

#[test]
fn decision_1_an_approval_of_a_policy_change_holds_for_these_bytes() {
    let world = World::new(Risk::Low);
    let policy = world.policy();
    let digest = world.pr.binding.clone().unwrap().digest;
    let change = |text: &str| vec![("policies/roles.yml".to_owned(), Some(text.as_bytes().to_vec()))];
    let one = policy.binding(digest.clone(), Risk::Low, &change("a"));
    assert_eq!(one, policy.binding(digest.clone(), Risk::Low, &change("a")));
    assert_ne!(one, policy.binding(digest.clone(), Risk::Low, &change("b")));
    assert_ne!(one, policy.binding(digest.clone(), Risk::Low, &[]));
    assert_ne!(one, policy.binding(digest, Risk::Low, &[("policies/roles.yml".to_owned(), None)]));
}

#[test]
fn decision_5_unknown_committers_warn_or_block() {
    let world = World::new(Risk::Low).approve(&["lea", "dan", "ann"]).with(|w| {
        w.pr.commit_people.insert(CommitPerson::Unknown("ghost@example.com".to_owned()));
    });
    assert_eq!(world.verdict().status, Status::Approved);
    assert!(world.verdict().notes.iter().any(|n| n.contains("`ghost@example.com`")));
    let matrix = format!("unknown_committers: block\n{}", godwit::config::ApprovalMatrix::BUILT_IN);
    let strict =
        World::new(Risk::Low).file("policies/approval_matrix.yml", &matrix).approve(&["lea", "dan", "ann"]).with(|w| {
            w.pr.commit_people.insert(CommitPerson::Unknown("ghost@example.com".to_owned()));
        });
    assert_eq!(strict.verdict().status, Status::Disapproved);
}

#[test]
fn decision_7_approvals_expire() {
    let world = World::new(Risk::Low).approve(&["lea", "dan", "ann"]);
    let later = |hours: i64| world.clone().with(|w| w.now += TimeDelta::hours(hours));
    assert_eq!(later(24).verdict().status, Status::Approved);
    let expired = later(25);
    assert_eq!(expired.verdict().status, Status::Disapproved);
    assert!(expired.why("production").contains("expired 2026-11-22 12:00 UTC"), "{}", expired.why("production"));
    assert!(expired.why("production").contains("`/godwit retry production`"));
    // What needs no person does not expire.
    assert_eq!(expired.of("development"), Status::Approved);
}

#[test]
fn decision_7_each_environment_has_its_own_time() {
    let environments = "development: {migration: {auto_approve: true}}\nstaging: {}\nproduction: {promotion: manual}\n";
    let world = World::new(Risk::Low).file("policies/environments.yml", environments).approve(&["lea", "dan", "ann"]);
    let days_later = world.clone().with(|w| w.now += TimeDelta::days(3));
    assert_eq!(days_later.of("staging"), Status::Disapproved);
    assert_eq!(days_later.of("production"), Status::Approved, "nobody was asked before the promotion");
    let asked = |at: DateTime<Utc>, anew| Asked { at, anew };
    // Promoted two days later: from then on.
    let promoted = days_later.clone().with(|w| {
        let at = w.now - TimeDelta::hours(24);
        w.pr.asked.insert(env("production"), asked(at, false));
    });
    assert_eq!(promoted.of("production"), Status::Approved);
    let late = promoted.clone().with(|w| w.now += TimeDelta::seconds(1));
    assert_eq!(late.of("production"), Status::Disapproved);
    // Asked anew after the end: what was said before does not count there any more, and what is said now does.
    let anew = days_later.clone().with(|w| {
        w.pr.asked.insert(env("staging"), asked(w.now, true));
    });
    assert_eq!(anew.of("staging"), Status::Pending);
    assert_eq!(anew.clone().approve(&["lea", "ann"]).of("staging"), Status::Approved);
    assert_eq!(anew.clone().enter("ann", "staging", "data_ops").approve(&["lea"]).of("staging"), Status::Approved);
    // What an environment holds does not expire behind it.
    let held = days_later.with(|w| {
        w.pr.held.insert(env("staging"));
    });
    assert_eq!(held.of("staging"), Status::Approved);
    let verdict = world.verdict();
    let staging = &verdict.environments[1];
    assert_eq!(staging.expires_at, Some(world.now + TimeDelta::hours(24)));
    assert_eq!(staging.remind_at, Some(world.now + TimeDelta::hours(18)));
}

#[test]
fn decision_9_an_entered_approval_counts_for_its_environment_and_role_only() {
    let world = World::new(Risk::Low).approve(&["lea"]);
    assert_eq!(world.of("production"), Status::Pending);
    let entered = world.clone().enter("dan", "production", "dba");
    assert_eq!(entered.of("production"), Status::Approved);
    let production = &entered.verdict().environments[3];
    assert_eq!(production.sources[&Login::new("dan")], [Source::Api].into());
    assert_eq!(production.sources[&Login::new("lea")], [Source::Review].into());
    assert_eq!(world.clone().enter("dan", "staging", "dba").of("production"), Status::Pending);
    for (who, role, part) in [
        ("ann", "dba", "@ann does not hold the role `dba`"),
        ("rita", "dba", "no write access"),
        ("nobody", "dba", "what GitHub allows this person is not known"),
    ] {
        let ignored = world.clone().enter(who, "production", role);
        assert_eq!(ignored.of("production"), Status::Pending);
        assert!(ignored.verdict().ignored.iter().any(|i| i.contains(part)), "{:?}", ignored.verdict().ignored);
    }
    // Who wrote the change does not count this way either, and a change drops it.
    let own = world.clone().enter("dan", "production", "dba").with(|w| {
        w.pr.commit_people.insert(CommitPerson::Known(Login::new("dan")));
    });
    assert_eq!(own.of("production"), Status::Pending);
    let edited = entered.clone().with(|w| w.rebind('2', Risk::Low));
    assert!(edited.verdict().ignored.iter().any(|i| i.contains("by api does not count: the migrations changed")));
    // It stands for a role, not for a code owner.
    let owned = entered.file("CODEOWNERS", "* @dan\n").approve(&["lea"]).enter("dan", "production", "dba");
    assert_eq!(owned.gate("code owners").unwrap().0, Status::Pending);
}

#[test]
fn decision_3_nothing_to_approve_and_drafts() {
    let none = World::new(Risk::Low).with(|w| {
        w.pr.migration_paths.clear();
        w.pr.binding = None;
    });
    assert_eq!(none.verdict().status, Status::Approved);
    assert_eq!(none.verdict().summary, "Nothing to approve: no migrations in this pull request");
    let draft = World::new(Risk::Low).approve(&EVERYBODY).with(|w| w.pr.draft = true);
    assert_eq!(draft.verdict().status, Status::Skipped);
    assert!(draft.missing().is_empty());
}

#[test]
fn only_what_the_merge_starts_by_itself_is_asked_before_it() {
    let environments =
        "development: {migration: {auto_approve: true}}\nstaging: {branch: develop}\nproduction: {promotion: manual}\n";
    let world = World::new(Risk::Low).file("policies/environments.yml", environments);
    let verdict = world.verdict();
    assert_eq!(verdict.status, Status::Approved);
    assert_eq!(world.of("staging"), Status::Skipped);
    assert_eq!(world.of("production"), Status::Pending);
    assert!(!verdict.environments[2].automatic);
    assert!(verdict.missing_roles.is_empty());
    // When its turn comes it is judged, with every gate.
    assert_eq!(world.at_start("production").evaluation.status, Status::Pending);
    let approved = world.approve(&["lea", "dan"]);
    assert_eq!(approved.at_start("production").evaluation.status, Status::Approved);
    let held = approved.clone().label("hold", "olaf");
    assert_eq!(held.at_start("production").evaluation.status, Status::Disapproved);
    assert_eq!(approved.at_start("staging").evaluation.status, Status::Skipped);
    assert_eq!(approved.at_start("prod").evaluation.status, Status::Disapproved);
}
