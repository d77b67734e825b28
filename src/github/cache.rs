//! Answers that were read before: GitHub says by its `ETag` that one still holds, and does not count the question.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

/// Text kept for one installation (bytes); what was kept longest goes first.
const ROOM: usize = 16 * 1024 * 1024;

/// The answers of one installation, by path and query.
#[derive(Default)]
pub(super) struct Cache(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    answers: HashMap<String, (String, String)>,
    order: VecDeque<String>,
    size: usize,
}

impl Cache {
    /// The tag and the text of an earlier answer.
    pub(super) fn get(&self, path: &str) -> Option<(String, String)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).answers.get(path).cloned()
    }

    /// Keeps an answer in place of an earlier one.
    pub(super) fn put(&self, path: &str, tag: &str, text: &str) {
        if text.len() > ROOM / 16 {
            return;
        }
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = kept.answers.insert(path.to_owned(), (tag.to_owned(), text.to_owned()));
        kept.size += text.len();
        match before {
            Some((_, old)) => kept.size -= old.len(),
            None => kept.order.push_back(path.to_owned()),
        }
        while kept.size > ROOM {
            let Some(oldest) = kept.order.pop_front() else { break };
            if let Some((_, gone)) = kept.answers.remove(&oldest) {
                kept.size -= gone.len();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_answer_is_kept_and_the_room_is_bounded() {
        let cache = Cache::default();
        cache.put("/a", "1", "one");
        cache.put("/a", "2", "two");
        assert_eq!(cache.get("/a"), Some(("2".to_owned(), "two".to_owned())));
        let large = "x".repeat(ROOM / 16);
        for n in 0..17 {
            cache.put(&format!("/{n}"), "t", &large);
        }
        assert_eq!(cache.get("/a"), None);
        assert!(cache.get("/16").is_some());
        let kept = cache.0.lock().unwrap();
        assert!(kept.size <= ROOM && kept.order.len() == kept.answers.len());
    }
}
