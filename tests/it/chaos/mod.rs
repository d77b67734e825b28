//! Random lives of pull requests: people review, dismiss, push, label, command and merge; webhooks are lost, doubled and
//! overtaken, GitHub fails, servers are killed. Afterwards everything must be as an independent look at what people did
//! says: what ran was agreed to at that moment, nothing ran twice, every comment and label tells the truth, the audit
//! chain holds (B-1, B-2, B-3, B-6, B-7, B-8, B-9, B-10, B-13, B-17).
//!
//! Once with one process on a file, and once with several on a PostgreSQL server, of which one is killed or frozen in the
//! middle of what it does and another takes it over (B-11).
//!
//! `GODWIT_CHAOS_SEED` and `GODWIT_CHAOS_LIVES` choose what happens and how much, as `scripts/chaos` does; the seed is
//! printed.

mod agreed;
mod company;
mod lives;
mod truth;

use lives::Lives;

use crate::support::Kind;

/// Pull requests of the cut that every test run does.
const LIVES: usize = 8;
/// The same with several processes.
const LIVES_OF_REPLICAS: usize = 6;

/// The next number of a sequence that the seed decides (splitmix64).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`.
    fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(n).unwrap()).unwrap()
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    /// True once in `n` times.
    fn once_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{variable} is no number")))
}

#[test]
fn b9_whatever_happens_to_hundreds_of_pull_requests_only_what_was_agreed_to_runs_and_once() {
    live(Kind::Sqlite, LIVES);
}

#[test]
fn b11_whatever_happens_to_the_replicas_only_what_was_agreed_to_runs_and_once() {
    live(Kind::Postgres, LIVES_OF_REPLICAS);
}

fn live(store: Kind, lives: usize) {
    let seed = number("GODWIT_CHAOS_SEED").unwrap_or(1);
    let count = number("GODWIT_CHAOS_LIVES").map_or(lives, |n| usize::try_from(n).unwrap());
    println!("GODWIT_CHAOS_SEED={seed} GODWIT_CHAOS_LIVES={count}, {store:?}");
    let mut lives = Lives::begin(Dice(seed), store, count);
    lives.go_on_until(count);
    truth::of(&mut lives);
    lives.everybody_agrees();
    truth::of(&mut lives);
    println!("{}", lives.told());
}
