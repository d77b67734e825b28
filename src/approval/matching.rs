//! Distinct people for roles: a maximum matching, so that nobody is asked for while the people at hand suffice.

/// Gives each slot at most one candidate and each candidate at most one slot, so that as many slots as possible are
/// filled; earlier slots are kept filled first. `can(slot, candidate)` says who may fill what.
pub(super) fn assign(slots: usize, candidates: usize, can: &dyn Fn(usize, usize) -> bool) -> Vec<Option<usize>> {
    let mut slot_of: Vec<Option<usize>> = vec![None; candidates];
    for slot in 0..slots {
        let mut seen = vec![false; candidates];
        augment(slot, can, &mut seen, &mut slot_of);
    }
    let mut filled = vec![None; slots];
    for (candidate, slot) in slot_of.iter().enumerate() {
        if let Some(slot) = slot {
            filled[*slot] = Some(candidate);
        }
    }
    filled
}

/// Finds `slot` a candidate, moving others where that frees one. Depth is bounded by the number of candidates.
fn augment(slot: usize, can: &dyn Fn(usize, usize) -> bool, seen: &mut [bool], slot_of: &mut [Option<usize>]) -> bool {
    for candidate in 0..slot_of.len() {
        if seen[candidate] || !can(slot, candidate) {
            continue;
        }
        seen[candidate] = true;
        let free = match slot_of[candidate] {
            None => true,
            Some(other) => augment(other, can, seen, slot_of),
        };
        if free {
            slot_of[candidate] = Some(slot);
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn people_are_moved_where_that_fills_one_more_role() {
        // Slot 0 can be filled by 0 and 1, slot 1 by 0 alone: first come, first served would leave slot 1 empty.
        let can = |slot: usize, candidate: usize| matches!((slot, candidate), (0, _) | (1, 0));
        assert_eq!(assign(2, 2, &can), [Some(1), Some(0)]);
    }

    /// The largest number of slots that can be filled, by trying everything.
    fn best(slot: usize, edges: &[Vec<bool>], used: &mut Vec<bool>) -> usize {
        let Some(row) = edges.get(slot) else { return 0 };
        let mut most = best(slot + 1, edges, used);
        for candidate in 0..row.len() {
            if row[candidate] && !used[candidate] {
                used[candidate] = true;
                most = most.max(1 + best(slot + 1, edges, used));
                used[candidate] = false;
            }
        }
        most
    }

    proptest! {
        #[test]
        fn it_fills_as_many_as_can_be_filled(edges in prop::collection::vec(prop::collection::vec(any::<bool>(), 4), 0..5)) {
            let filled = assign(edges.len(), 4, &|s, c| edges[s][c]);
            let count = filled.iter().flatten().count();
            prop_assert_eq!(count, best(0, &edges, &mut vec![false; 4]));
            let mut people: Vec<_> = filled.iter().flatten().collect();
            people.sort_unstable();
            people.dedup();
            prop_assert_eq!(people.len(), count);
            for (slot, candidate) in filled.iter().enumerate() {
                if let Some(c) = candidate {
                    prop_assert!(edges[slot][*c]);
                }
            }
        }
    }
}
