//! What people do, at random, and what goes wrong meanwhile.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use godwit::sandbox::{
    Fault, FaultKind, MergeMethod, NewPull, PullHandle, ReviewVerdict, WebhookFault, WebhookFaultKind,
};

use super::Dice;
use super::agreed::{Facts, Said, Timeline, Word};
use super::company::{Company, ENVIRONMENTS, Role};
use super::truth::Ledger;
use crate::bot::world::commit;
use crate::support::Kind;
use crate::webhook::http::Served;

/// Pull requests that are open at once, at most.
const AT_ONCE: usize = 4;
/// Pieces of work that may wait while people act on.
const WORK_LEFT: i64 = 15;
/// How long people wait for the bot before they act on.
const PATIENCE: Duration = Duration::from_secs(1);
/// Deeds between two looks at how far everything is.
const GLANCE: usize = 20;
/// Deeds between two times that it is told.
const PAUSE: usize = 100;
/// Those whose yes every cell of the matrix is content with.
const DECIDERS: [&str; 3] = ["omar", "dana", "dora"];

/// A pull request from its opening on.
pub struct Life {
    pub pull: PullHandle,
    pub lane: &'static str,
    /// `0007_t7`.
    pub migration: String,
    pub facts: Facts,
    pub merged: bool,
    pub closed: bool,
    /// Every environment holds it: what anybody says of it changes nothing any more.
    pub finished: bool,
    /// For each environment, when its cell was filled.
    pub timelines: [Timeline; 3],
}

impl Life {
    fn is_over(&self) -> bool {
        self.merged || self.closed
    }

    /// It is merged and can never run, nor can what comes after it in its lane.
    fn is_in_the_way(&self) -> bool {
        self.merged && !self.facts.sound
    }
}

pub struct Lives {
    pub company: Company,
    pub all: Vec<Life>,
    /// Whether dora is of the team of the database administrators.
    pub dba: bool,
    /// Indices of what was merged, in that order.
    pub merged: Vec<usize>,
    dice: Dice,
    replicas: Vec<Replica>,
    kills: usize,
    freezes: usize,
    deeds: usize,
    wrongs: usize,
    began: Instant,
}

/// One of the processes that serve the company.
struct Replica {
    role: Role,
    /// `None` while it is away.
    served: Option<Served>,
    frozen: bool,
}

impl Lives {
    pub fn begin(dice: Dice, store: Kind, lives: usize) -> Self {
        let company = Company::found(store, lives);
        let start = |role: &Role| Replica { role: *role, served: Some(company.serve(*role)), frozen: false };
        let replicas = company.roles().iter().map(start).collect();
        Self {
            company,
            all: Vec::new(),
            dba: true,
            merged: Vec::new(),
            dice,
            replicas,
            kills: 0,
            freezes: 0,
            deeds: 0,
            wrongs: 0,
            began: Instant::now(),
        }
    }

    /// Lets people act until so many pull requests were opened and nearly all of them are over.
    pub fn go_on_until(&mut self, count: usize) {
        while self.all.len() < count || self.all.iter().filter(|l| !l.is_over()).count() > 2 {
            self.something_goes_wrong();
            let open = self.all.iter().filter(|l| !l.is_over()).count();
            if self.all.len() < count && open < AT_ONCE && (open == 0 || self.dice.once_in(3)) {
                let lane = self.free_lane();
                self.open(lane);
            } else {
                self.deed();
            }
            self.deeds += 1;
            if self.deeds.is_multiple_of(GLANCE) {
                let ledger = Ledger::read(self);
                self.finish(&ledger);
            }
            if self.deeds.is_multiple_of(PAUSE) {
                self.company.check();
                println!("{}", self.told());
            }
            // People do not act all at once; what the bot does falls between. Nor do they go on for hours where nothing is
            // answered, as on a machine that has other things to do.
            std::thread::sleep(Duration::from_millis(self.dice.next() % 120));
            let began = Instant::now();
            while self.company.work_left() > WORK_LEFT && began.elapsed() < PATIENCE {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }

    /// A lane in which nothing is open; rarely one in which nothing can run any more.
    fn free_lane(&mut self) -> &'static str {
        let all = &self.company.lanes;
        let is_free = |lane: &&&'static str| !self.all.iter().any(|l| l.lane == **lane && !l.is_over());
        let is_stuck = |lane: &&'static str| self.all.iter().any(|l| l.lane == *lane && l.is_in_the_way());
        let free: Vec<&'static str> = all.iter().filter(is_free).copied().collect();
        let good: Vec<&'static str> = free.iter().filter(|lane| !is_stuck(lane)).copied().collect();
        let stuck = good.is_empty() || self.dice.once_in(15);
        self.dice.one_of(if stuck { &free } else { &good })
    }

    /// Notes what every environment holds.
    pub fn finish(&mut self, ledger: &Ledger) {
        for life in self.all.iter_mut().filter(|l| l.merged && !l.finished) {
            life.finished = ENVIRONMENTS.into_iter().all(|environment| ledger.holds(life, environment));
        }
    }

    /// The bad days end, the servers stay up, and everybody says yes to everything that was merged.
    pub fn everybody_agrees(&mut self) {
        self.company.sandbox.add_team("acme/dba", &["dora"]).unwrap();
        self.dba = true;
        for index in self.merged.clone() {
            if self.all[index].finished {
                continue;
            }
            self.agree(index);
        }
    }

    /// Nobody holds it back any longer, and everybody who decides says yes.
    fn agree(&mut self, index: usize) {
        if self.all[index].facts.labels.contains_key("hold") {
            self.unlabel(index, "hold");
        }
        for person in DECIDERS {
            self.review(index, person, Word::Yes);
        }
    }

    /// Something that was merged, could run, and has not come through to production.
    fn left_behind(&mut self) -> Option<usize> {
        let stuck: BTreeSet<_> = self.all.iter().filter(|l| l.is_in_the_way()).map(|l| l.lane).collect();
        let waits = |i: &usize| !self.all[*i].finished && !stuck.contains(self.all[*i].lane);
        let all: Vec<usize> = self.merged.iter().copied().filter(waits).collect();
        (!all.is_empty()).then(|| self.dice.one_of(&all))
    }

    /// Ends everything that goes wrong.
    pub fn good_days(&mut self) {
        self.company.sandbox.clear_faults();
        self.company.sandbox.release_webhooks();
        for n in 0..self.replicas.len() {
            self.comes_back(n);
        }
    }

    pub fn log(&self) -> String {
        self.replicas.iter().find_map(|r| r.served.as_ref()).map(Served::log).unwrap_or_default()
    }

    pub fn told(&self) -> String {
        let (lives, merged) = (self.all.len(), self.merged.len());
        let finished = self.all.iter().filter(|l| l.finished).count();
        let Self { deeds, kills, freezes, wrongs, .. } = self;
        let seconds = self.began.elapsed().as_secs();
        format!(
            "{lives} pull requests, {merged} merged, {finished} in production; {deeds} deeds, {wrongs} faults, {kills} kills, \
             {freezes} freezes; {seconds} seconds"
        )
    }

    /// A process that was killed is started, one that was frozen goes on.
    fn comes_back(&mut self, n: usize) {
        let replica = &mut self.replicas[n];
        match &replica.served {
            None => replica.served = Some(self.company.serve(replica.role)),
            Some(served) if replica.frozen => served.signal("CONT"),
            Some(_) => {}
        }
        replica.frozen = false;
    }

    /// One of the processes is killed, or one of several workers frozen in the middle of what it does. What takes
    /// deliveries comes back at once; a worker stays away for a while, and another one has its work meanwhile.
    fn a_process_falls(&mut self) {
        let n = self.dice.below(self.replicas.len());
        for other in (0..self.replicas.len()).filter(|other| *other != n) {
            self.comes_back(other);
        }
        let replica = &mut self.replicas[n];
        let away = replica.served.is_none() || replica.frozen;
        if replica.role == Role::Worker && !away && self.dice.once_in(3) {
            self.freezes += 1;
            replica.frozen = true;
            if let Some(served) = &replica.served {
                served.signal("STOP");
            }
            return;
        }
        self.kills += 1;
        if let Some(served) = replica.served.take() {
            served.kill();
        }
        replica.frozen = false;
        if replica.role != Role::Worker {
            self.comes_back(n);
        }
    }

    fn something_goes_wrong(&mut self) {
        if self.dice.once_in(if self.replicas.len() > 1 { 12 } else { 25 }) {
            self.a_process_falls();
        }
        if self.dice.once_in(6) {
            self.wrongs += 1;
            let kind = match self.dice.below(4) {
                0 => WebhookFaultKind::Lose,
                1 => WebhookFaultKind::Repeat(2),
                2 => WebhookFaultKind::Delay(Duration::from_millis(self.dice.next() % 400)),
                _ => WebhookFaultKind::Overtaken(1),
            };
            self.company.sandbox.webhook_fault(WebhookFault::new(1, kind));
        }
        if self.dice.once_in(8) {
            self.wrongs += 1;
            let kind = match self.dice.below(5) {
                0 => FaultKind::Status(502),
                1 => FaultKind::LoseAnswer,
                2 => FaultKind::LoseRequest,
                3 => FaultKind::SecondaryLimit { retry_after: Some(1) },
                _ => FaultKind::Slow(Duration::from_millis(self.dice.next() % 200)),
            };
            let times = u32::try_from(1 + self.dice.below(3)).unwrap();
            self.company.sandbox.fault(Fault::new("", times, kind));
        }
    }

    fn deed(&mut self) {
        if self.dice.once_in(30) {
            let began = Utc::now();
            self.dba = !self.dba;
            self.company.sandbox.add_team("acme/dba", if self.dba { &["dora"] } else { &[] }).unwrap();
            return self.note(began);
        }
        // Somebody cares for what was merged long ago, or more and more would wait that nobody speaks of.
        if self.dice.once_in(5)
            && let Some(index) = self.left_behind()
        {
            return self.agree(index);
        }
        // What is merged may still be agreed to, for a while.
        let open: Vec<usize> = (0..self.all.len())
            .filter(|i| !self.all[*i].closed && (!self.all[*i].merged || self.all.len() < i + 6))
            .collect();
        if open.is_empty() {
            return;
        }
        let index = self.dice.one_of(&open);
        let person = self.dice.one_of(&["omar", "dora", "dana", "omar", "dora", "alice", "mallory", "tess"]);
        let merged = self.all[index].merged;
        match self.dice.below(16) {
            0..=5 => self.review(index, person, Word::Yes),
            6 => self.review(index, person, Word::No),
            7 => self.review(index, person, Word::Remark),
            8 => self.dismiss(index),
            9 if !merged => self.push(index),
            10 => self.label(index, person),
            11 => {
                let labels: Vec<&'static str> = self.all[index].facts.labels.keys().copied().collect();
                if !labels.is_empty() {
                    let label = self.dice.one_of(&labels);
                    self.unlabel(index, label);
                }
            }
            12 => self.comment(index, person),
            13 if !merged && self.dice.once_in(4) => {
                self.all[index].pull.close("rosa").unwrap();
                self.all[index].closed = true;
            }
            _ if !merged => self.merge(index),
            _ => self.review(index, person, Word::Yes),
        }
    }

    fn open(&mut self, lane: &'static str) {
        let number = self.all.len() + 1;
        let author = self.dice.one_of(&["alice", "bob"]);
        let (content, sound) = self.content(number);
        let migration = format!("{number:04}_t{number}");
        let main = self.company.repo.branch_sha("main").unwrap();
        let branch = format!("life-{number}");
        let files = files(lane, &migration, number, &content);
        self.company.repo.force_push(&branch, author, &main, &[commit(author, &pairs(&files))]).unwrap();
        let new = NewPull { author, title: &branch, body: "", head: &branch, base: "main", draft: false };
        let pull = self.company.repo.open_pull_request(&new).unwrap();
        let facts = Facts { content, sound, writers: BTreeSet::from([author]), ..Facts::default() };
        let timelines = Default::default();
        self.all.push(Life { pull, lane, migration, facts, merged: false, closed: false, finished: false, timelines });
        self.note(Utc::now());
    }

    /// A migration that marks each time it runs; once in a while one that no reviewer can wave through.
    fn content(&mut self, number: usize) -> (String, bool) {
        let salt = self.dice.next() % 1000;
        let table = format!("CREATE TABLE IF NOT EXISTS t{number} (id INTEGER PRIMARY KEY, salt INTEGER);\n");
        let sound = !self.dice.once_in(12);
        let last = if sound {
            format!("INSERT INTO t{number} (salt) VALUES ({salt});\n")
        } else {
            format!("DELETE FROM nowhere_{salt};\n")
        };
        (table + &last, sound)
    }

    fn push(&mut self, index: usize) {
        let number = index + 1;
        let person = self.dice.one_of(&["alice", "bob", "omar"]);
        let rebase = self.dice.once_in(3);
        let (content, sound) = if rebase {
            (self.all[index].facts.content.clone(), self.all[index].facts.sound)
        } else {
            self.content(number)
        };
        let life = &mut self.all[index];
        let files = files(life.lane, &life.migration, number, &content);
        let commits = [commit(person, &pairs(&files))];
        let began = Utc::now();
        if rebase {
            let main = self.company.repo.branch_sha("main").unwrap();
            life.pull.force_push(person, &main, &commits).unwrap();
        } else {
            life.pull.push(person, &commits).unwrap();
        }
        life.facts.writers.insert(person);
        life.facts.content = content;
        life.facts.sound = sound;
        self.note(began);
    }

    fn review(&mut self, index: usize, by: &'static str, word: Word) {
        let verdict = match word {
            Word::Yes => ReviewVerdict::Approve,
            Word::No => ReviewVerdict::RequestChanges,
            Word::Remark => ReviewVerdict::Comment,
        };
        let began = Utc::now();
        let life = &mut self.all[index];
        // GitHub lets nobody approve their own pull request.
        if let Ok(id) = life.pull.review(by, verdict, "as I see it") {
            life.facts.said.push(Said { id, by, word, about: life.facts.content.clone(), dismissed: false });
        }
        self.note(began);
    }

    fn dismiss(&mut self, index: usize) {
        let began = Utc::now();
        let life = &mut self.all[index];
        let Some(said) = life.facts.said.iter_mut().rev().find(|s| s.word != Word::Remark && !s.dismissed) else {
            return;
        };
        if life.pull.dismiss_review("rosa", said.id, "not any more").is_ok() {
            said.dismissed = true;
        }
        self.note(began);
    }

    fn label(&mut self, index: usize, by: &'static str) {
        let name = self.dice.one_of(&["approved:data_ops", "approved:dba", "hold"]);
        let began = Utc::now();
        let life = &mut self.all[index];
        if !life.facts.labels.contains_key(name) && life.pull.add_label(by, name).is_ok() {
            life.facts.labels.insert(name, (by, life.facts.content.clone()));
        }
        self.note(began);
    }

    fn unlabel(&mut self, index: usize, name: &'static str) {
        let began = Utc::now();
        let life = &mut self.all[index];
        // The bot may have taken it off before.
        let _ = life.pull.remove_label("rosa", name);
        life.facts.labels.remove(name);
        self.note(began);
    }

    fn comment(&mut self, index: usize, by: &'static str) {
        let body = self.dice.one_of(&[
            "/godwit status",
            "/godwit plan staging",
            "/godwit retry staging",
            "/godwit retry production",
            "/godwit apply production",
            "/godwit promote production",
            "```\n/godwit apply production\n```",
            "/godwit apply everything --now",
            "looks fine to me",
        ]);
        self.all[index].pull.comment(by, body).unwrap();
    }

    fn merge(&mut self, index: usize) {
        // What can never run keeps everything behind it waiting; mostly somebody sees that before.
        if !self.all[index].facts.sound && !self.dice.once_in(4) {
            return;
        }
        let method = self.dice.one_of(&[MergeMethod::Squash, MergeMethod::Merge, MergeMethod::Rebase]);
        if self.all[index].pull.merge("rosa", method).is_ok() {
            self.all[index].merged = true;
            self.merged.push(index);
        }
    }

    /// Reckons anew who agreed to what. A yes holds from when it was begun to be said, a no from when it was said. A label
    /// that the bot took off is a label no more, whatever becomes of its author's roles.
    pub fn note(&mut self, began: DateTime<Utc>) {
        for life in self.all.iter_mut().filter(|l| !l.closed && !l.finished) {
            let there = life.pull.labels().unwrap();
            life.facts.labels.retain(|name, _| there.iter().any(|l| l == name));
            for (timeline, environment) in life.timelines.iter_mut().zip(ENVIRONMENTS) {
                let agreed = life.facts.agreed(environment, self.dba);
                timeline.note(if agreed { began } else { Utc::now() }, agreed);
            }
        }
    }
}

fn files(lane: &str, migration: &str, number: usize, content: &str) -> [(String, String); 2] {
    [
        (format!("{lane}/{migration}.up.sql"), content.to_owned()),
        (format!("{lane}/{migration}.down.sql"), format!("DROP TABLE t{number};\n")),
    ]
}

fn pairs(files: &[(String, String)]) -> Vec<(&str, &str)> {
    files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect()
}
