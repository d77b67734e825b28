//! How deep a text would make the parser recurse. The parser goes down one call per nested expression, and a stack that
//! runs out ends the whole process; a pull request must not be able to do that to the server.

use std::sync::atomic::{AtomicUsize, Ordering};

use squawk_lexer::{LiteralKind, TokenKind, tokenize};

/// Levels that are parsed. Real migrations stay below 50; every level takes some kilobytes of stack.
pub const MAX_DEPTH: usize = 2_000;
/// Stack of the thread that parses (bytes of address space; only what is used becomes memory).
pub const STACK: usize = 256 * 1024 * 1024;
/// Items that are worth a further thread.
const SHARE_FROM: usize = 32;
/// Items that a thread takes at once.
const SHARE: usize = 16;
/// Threads at most; each may take a [`STACK`].
const MOST_THREADS: usize = 8;
/// Bodies within bodies that are looked into.
const MAX_BODIES: usize = 8;

/// Whether parsing `text` needs at most [`MAX_DEPTH`] levels. Over-estimates: operators and `NOT` count as a level each
/// until the next comma or semicolon at their place, since that is how deep they can nest.
pub fn is_bounded(text: &str) -> bool {
    // A level takes at least one byte.
    text.len() <= MAX_DEPTH || most_levels(text) <= MAX_DEPTH || bounded(text, MAX_BODIES)
}

/// More levels than this a text cannot have, however its tokens are cut: bytes that open one or are part of an operator,
/// and words that begin as `not`, `case`, `with` and `between` do.
fn most_levels(text: &str) -> usize {
    let mut levels = 0;
    let mut in_word = false;
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'_' | 0x80.. => {
                levels += usize::from(!in_word && matches!(byte | 0x20, b'n' | b'c' | b'w' | b'b'));
                in_word = true;
            }
            // Digits may end before a word begins (`1not`).
            b'0'..=b'9' | b' ' | b'\t' | b'\n' | b'\r' | b',' | b';' | b')' | b']' | b'\'' | b'"' | b'.' => {
                in_word = false
            }
            _ => {
                levels += 1;
                in_word = false;
            }
        }
    }
    levels
}

fn bounded(text: &str, bodies: usize) -> bool {
    let mut at = 0;
    // Levels opened by parentheses, each with the operators counted outside of it.
    let mut outer: Vec<usize> = Vec::new();
    let mut below = 0;
    let mut here = 0;
    let mut after_as = false;
    for token in tokenize(text) {
        let start = at;
        at += token.len as usize;
        match token.kind {
            TokenKind::Whitespace | TokenKind::LineComment | TokenKind::BlockComment { .. } => continue,
            TokenKind::OpenParen | TokenKind::OpenBracket => {
                outer.push(here);
                below += here + 1;
                here = 0;
            }
            TokenKind::CloseParen | TokenKind::CloseBracket => {
                if let Some(count) = outer.pop() {
                    below -= count + 1;
                    here = count;
                }
            }
            TokenKind::Comma => here = 0,
            TokenKind::Semi => {
                outer.clear();
                below = 0;
                here = 0;
            }
            TokenKind::Ident => {
                let word = text.get(start..at).unwrap_or_default();
                after_as = word.eq_ignore_ascii_case("as");
                if ["not", "case", "with", "between"].iter().any(|k| word.eq_ignore_ascii_case(k)) {
                    here += 1;
                }
                if below + here > MAX_DEPTH {
                    return false;
                }
                continue;
            }
            TokenKind::Literal { kind } => {
                let body = matches!(kind, LiteralKind::DollarQuotedString { .. })
                    || (after_as && matches!(kind, LiteralKind::Str { .. } | LiteralKind::EscStr { .. }));
                let inner = text.get(start + 1..at.saturating_sub(1)).unwrap_or_default();
                if after_as && body && inner.len() > MAX_DEPTH && (bodies == 0 || !bounded(inner, bodies - 1)) {
                    return false;
                }
            }
            TokenKind::QuotedIdent { .. } | TokenKind::PositionalParam { .. } | TokenKind::Dot | TokenKind::Eof => {}
            TokenKind::Unknown
            | TokenKind::Slash
            | TokenKind::Minus
            | TokenKind::Colon
            | TokenKind::DotDot
            | TokenKind::Eq
            | TokenKind::Gt
            | TokenKind::And
            | TokenKind::Lt
            | TokenKind::Bang
            | TokenKind::Plus
            | TokenKind::Tilde
            | TokenKind::Pound
            | TokenKind::Question
            | TokenKind::Or
            | TokenKind::Percent
            | TokenKind::Caret
            | TokenKind::Star
            | TokenKind::Backtick
            | TokenKind::At
            | TokenKind::OpenCurly
            | TokenKind::CloseCurly => here += 1,
        }
        after_as = false;
        if below + here > MAX_DEPTH {
            return false;
        }
    }
    true
}

/// Runs `work` on a thread with a [`STACK`] that fits [`MAX_DEPTH`]; on this thread if the system gives no other.
pub fn with_stack<T: Send>(work: impl Fn() -> T + Send + Sync) -> T {
    std::thread::scope(|scope| {
        let handle = std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, &work);
        match handle.map(|h| h.join()) {
            Ok(Ok(done)) => done,
            Ok(Err(panic)) => std::panic::resume_unwind(panic),
            Err(_) => work(),
        }
    })
}

/// What `work` makes of each item, in their order, on as many threads with such a stack as there are processors.
pub fn map_with_stack<I: Sync, T: Send>(items: &[I], work: impl Fn(&I) -> T + Sync) -> Vec<T> {
    let threads =
        std::thread::available_parallelism().map_or(1, usize::from).min(items.len() / SHARE_FROM).min(MOST_THREADS);
    if threads < 2 {
        return with_stack(|| items.iter().map(&work).collect());
    }
    // Scripts differ in size, so nobody is given a share beforehand.
    let next = AtomicUsize::new(0);
    let some = || {
        let mut done = Vec::new();
        loop {
            let start = next.fetch_add(SHARE, Ordering::Relaxed);
            let Some(share) = items.get(start..items.len().min(start + SHARE)).filter(|s| !s.is_empty()) else {
                return done;
            };
            done.push((start, share.iter().map(&work).collect::<Vec<T>>()));
        }
    };
    let mut shares: Vec<(usize, Vec<T>)> = std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads)
            .filter_map(|_| std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, some).ok())
            .collect();
        let mut shares = with_stack(some);
        for other in others {
            match other.join() {
                Ok(done) => shares.extend(done),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        shares
    });
    shares.sort_unstable_by_key(|(start, _)| *start);
    shares.into_iter().flat_map(|(_, done)| done).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use squawk_syntax::SourceFile;

    #[test]
    fn nests_are_refused_and_long_lists_are_not() {
        let n = 50_000;
        for deep in ["(", "select (", "array[", "not ", "- ", "case when ", "@ a ", "a between "] {
            assert!(!is_bounded(&format!("select {}", deep.repeat(n))), "{deep}");
            let body = format!("create function f() returns int language sql as $$ select {} $$;", deep.repeat(n));
            assert!(!is_bounded(&body), "{deep} in a body");
        }
        assert!(!is_bounded(&"select not f(1, ".repeat(n)));
        for flat in ["(1, -2, 'x(((', a = b), ", "select 1 + (2 - 3); ", "-- ((((\n", "/* ((( */ ", "or a "] {
            assert!(is_bounded(&flat.repeat(n)), "{flat}");
        }
    }

    #[test]
    fn many_items_keep_their_order() {
        for count in [0, 1, 31, 64, 1000] {
            let items: Vec<usize> = (0..count).collect();
            let doubled: Vec<usize> = items.iter().map(|n| n * 2).collect();
            assert_eq!(map_with_stack(&items, |n| n * 2), doubled);
        }
    }

    #[test]
    fn the_quick_look_is_never_below_the_right_one() {
        // A text that the quick look lets pass must be one that the full look lets pass.
        let near = MAX_DEPTH - 5;
        for part in ["(", "not ", "- ", "case when ", "with ", "a between ", "[", "1not ", "*", "@"] {
            let text = part.repeat(near);
            assert!(most_levels(&text) >= near, "{part}");
        }
    }

    #[test]
    fn what_is_bounded_is_parsed() {
        let n = MAX_DEPTH - 10;
        for part in ["(", "select (", "array[", "not ", "case when ", "@ a ", "a between ", "or a ", "union select 1 "]
        {
            let text = format!("select {}", part.repeat(n / 2));
            assert!(is_bounded(&text), "{part}");
            with_stack(|| drop(SourceFile::parse(&text)));
        }
        let long = format!("select 1{}", " or a".repeat(300_000));
        with_stack(|| drop(SourceFile::parse(&long)));
    }
}
