//! A Lua script as the words that carry meaning, and how deep they nest.

use std::ops::Range;

use full_moon::tokenizer::{StringLiteralQuoteType, Token, TokenType};

use crate::migration::operations::lua::unescaped;

/// One token that carries meaning.
pub(in crate::lint) struct Word<'a> {
    pub text: &'a str,
    pub range: Range<usize>,
    /// The content of a string literal.
    pub literal: Option<String>,
    /// Whether it is a name, no keyword.
    pub is_name: bool,
}

/// The tokens of `source` that carry meaning.
pub(super) fn words<'a>(source: &'a str, tokens: &[Token]) -> Vec<Word<'a>> {
    tokens
        .iter()
        .filter_map(|token| {
            let (is_name, literal) = match token.token_type() {
                TokenType::Identifier { .. } => (true, None),
                kind @ TokenType::StringLiteral { .. } => (false, text_of(kind)),
                TokenType::Number { .. } | TokenType::Symbol { .. } => (false, None),
                _ => return None,
            };
            let range = token.start_position().bytes()..token.end_position().bytes();
            Some(Word { text: source.get(range.clone())?, range, literal, is_name })
        })
        .collect()
}

/// What a string literal says.
pub(super) fn text_of(token: &TokenType) -> Option<String> {
    let TokenType::StringLiteral { literal, quote_type, .. } = token else { return None };
    Some(match quote_type {
        StringLiteralQuoteType::Brackets => literal.to_string(),
        _ => unescaped(literal),
    })
}

/// How deep the parser may have to go: brackets and blocks that are open, and operators since the last comma or keyword.
pub(super) fn depth(words: &[Word<'_>]) -> usize {
    let (mut open, mut deepest, mut operators) = (0usize, 0usize, 0usize);
    for word in words.iter().filter(|w| w.literal.is_none() && !w.is_name) {
        match word.text {
            "(" | "{" | "[" | "function" | "do" | "then" | "repeat" => {
                open += 1;
            }
            ")" | "}" | "]" | "end" | "until" => {
                open = open.saturating_sub(1);
            }
            "," | ";" | "local" | "return" | "if" | "while" | "for" | "=" => operators = 0,
            "elseif" => open = open.saturating_sub(1),
            text if text.bytes().next().is_some_and(|b| b.is_ascii_digit()) => {}
            "." | ":" => {}
            _ => operators += 1,
        }
        deepest = deepest.max(open + operators);
    }
    deepest
}
