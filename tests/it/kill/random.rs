//! Runs that are killed again and again at moments that nobody chose, then resumed. `GODWIT_KILL_SEED` repeats them.

use std::time::Duration;

use super::cell::{LEASE, Place, check};
use super::steps::Step;
use crate::support::{ALL, Kind};

/// How often a run is killed before it may end.
const KILLS: u32 = 3;

/// The next number of a sequence that the seed decides (splitmix64).
fn next(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *seed;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn killed_at_random(kind: Kind, seed: &mut u64) {
    let mut place = Place::shared(kind);
    let wanted = place.wanted(Step::Batched);
    let project = place.project(Step::Batched);
    for _ in 0..KILLS {
        let mut child = project.spawn(&["apply", "--yes", "--lease", LEASE]);
        // Within the time that a whole run takes.
        std::thread::sleep(Duration::from_millis(next(seed) % 600));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    project.run(&["resume"]).expect(0);
    check(&project, &wanted);
}

#[test]
fn r1_killed_at_random_again_and_again_then_resumed_is_as_if_never_killed() {
    let given = std::env::var("GODWIT_KILL_SEED").ok().and_then(|s| s.parse().ok());
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let seed = given.unwrap_or(now.as_secs());
    println!("GODWIT_KILL_SEED={seed}");
    for kind in ALL {
        println!("{}", kind.name());
        killed_at_random(kind, &mut seed.wrapping_add(kind as u64));
    }
}
