//! What tidy reads out of tokens: functions with their size and nesting, and which stretches
//! of a file are test code.

mod nesting;

use crate::tidy::lexer::Token;

/// A function with a body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Function<'a> {
    pub(crate) name: &'a str,
    /// Line of the word `fn`, counted from 1.
    pub(crate) line: usize,
    /// Lines from the word `fn` to the closing brace.
    pub(crate) lines: usize,
    /// How deep conditions and loops stand in one another.
    pub(crate) nesting: usize,
    /// Whether it takes a bare `bool`, and nobody else's trait makes it.
    pub(crate) takes_bool: bool,
    /// Index of the word `fn` among the tokens.
    pub(crate) at: usize,
}

/// A stretch of tokens under `#[cfg(test)]`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TestRegion<'a> {
    pub(crate) tokens: std::ops::RangeInclusive<usize>,
    pub(crate) lines: usize,
    /// Name of the module, if it is one that stands in a file of its own.
    pub(crate) file_module: Option<&'a str>,
}

/// Finds every function that has a body, nested ones too.
pub(crate) fn functions<'a>(tokens: &[Token<'a>]) -> Vec<Function<'a>> {
    let traits = trait_impls(tokens);
    let starts = tokens
        .windows(2)
        .enumerate()
        .filter(|(_, pair)| pair[0].is("fn") && pair[1].kind == super::lexer::Kind::Word);
    let mut found: Vec<_> =
        starts.filter_map(|(at, pair)| function(tokens, at, pair[1].text)).collect();
    for function in &mut found {
        function.takes_bool &= !traits.iter().any(|body| body.contains(&function.at));
    }
    found
}

/// The stretches of `impl Trait for Type { … }`, whose signatures are the trait's choice.
fn trait_impls(tokens: &[Token<'_>]) -> Vec<std::ops::Range<usize>> {
    let impls = tokens.iter().enumerate().filter(|(_, token)| token.is("impl"));
    let bodies = impls.filter_map(|(at, _)| {
        let end = item_end(tokens, at)?;
        let head = tokens[at..end].split(|token| token.is("{")).next().unwrap_or_default();
        let of_trait = head.windows(2).any(|pair| pair[0].is("for") && !pair[1].is("<"));
        of_trait.then_some(at..end)
    });
    bodies.collect()
}

fn function<'a>(tokens: &[Token<'a>], at: usize, name: &'a str) -> Option<Function<'a>> {
    let end = item_end(tokens, at)?;
    if !tokens[end].is("}") {
        return None;
    }
    let parameters = parameters(tokens, at + 2);
    let open = matching_open(tokens, at, end)?;
    Some(Function {
        name,
        line: tokens[at].line,
        lines: tokens[end].line - tokens[at].line + 1,
        nesting: nesting::depth(&tokens[open + 1..end]),
        takes_bool: takes_bool(parameters),
        at,
    })
}

/// The tokens between the parentheses of a function's parameters; generics are passed over.
fn parameters<'s, 'a>(tokens: &'s [Token<'a>], from: usize) -> &'s [Token<'a>] {
    let mut angles = 0_usize;
    for at in from..tokens.len() {
        let arrow = at > 0 && tokens[at - 1].is("-");
        match tokens[at].text {
            "<" => angles += 1,
            ">" if !arrow => angles = angles.saturating_sub(1),
            "(" if angles == 0 => {
                return close(tokens, at).map_or(&[], |end| &tokens[at + 1..end]);
            }
            _ => {}
        }
    }
    &[]
}

fn takes_bool(parameters: &[Token<'_>]) -> bool {
    let mut depth = 0_usize;
    parameters.iter().enumerate().any(|(at, token)| {
        match token.text {
            "(" | "[" | "<" => depth += 1,
            ")" | "]" | ">" => depth = depth.saturating_sub(1),
            _ => {}
        }
        let typed = at > 0 && parameters[at - 1].is(":");
        let last = parameters.get(at + 1).is_none_or(|next| next.is(","));
        depth == 0 && typed && last && token.is("bool")
    })
}

/// Index of the token that ends the item beginning at `from`: its `;` or closing brace.
fn item_end(tokens: &[Token<'_>], from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        let token = tokens.get(at)?;
        match token.text {
            "(" | "[" => at = close(tokens, at)?,
            "{" => return close(tokens, at),
            ";" => return Some(at),
            _ => {}
        }
        at += 1;
    }
}

/// The brace that opens the body ending at `end`.
fn matching_open(tokens: &[Token<'_>], from: usize, end: usize) -> Option<usize> {
    let opens = (from..end).filter(|at| tokens[*at].is("{"));
    opens.into_iter().find(|at| close(tokens, *at) == Some(end))
}

/// Index of the bracket that closes the one at `open`.
fn close(tokens: &[Token<'_>], open: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        if token.is("(") || token.is("[") || token.is("{") {
            depth += 1;
        } else if token.is(")") || token.is("]") || token.is("}") {
            depth = depth.checked_sub(1)?;
            if depth == 0 {
                return Some(at);
            }
        }
    }
    None
}

/// Finds the items under `#[cfg(test)]` or `#[cfg(all(test, …))]`.
pub(crate) fn test_regions<'a>(tokens: &[Token<'a>]) -> Vec<TestRegion<'a>> {
    let mut regions = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let region = test_region(tokens, at);
        at = region.as_ref().map_or(at, |region| *region.tokens.end()) + 1;
        regions.extend(region);
    }
    regions
}

fn test_region<'a>(tokens: &[Token<'a>], at: usize) -> Option<TestRegion<'a>> {
    let mut item = attribute_end(tokens, at)? + 1;
    if !asks_for_test(&tokens[at..item]) {
        return None;
    }
    while let Some(end) = attribute_end(tokens, item) {
        item = end + 1;
    }
    let end = item_end(tokens, item)?;
    let name = tokens[item..end].windows(2).find(|pair| pair[0].is("mod")).map(|pair| pair[1].text);
    Some(TestRegion {
        tokens: at..=end,
        lines: tokens[end].line - tokens[at].line + 1,
        file_module: name.filter(|_| tokens[end].is(";")),
    })
}

/// Index of the `]` of an outer attribute beginning at `at`.
pub(crate) fn attribute_end(tokens: &[Token<'_>], at: usize) -> Option<usize> {
    let opens = tokens.get(at)?.is("#") && tokens.get(at + 1)?.is("[");
    if opens { close(tokens, at + 1) } else { None }
}

fn asks_for_test(attribute: &[Token<'_>]) -> bool {
    let has = |word: &str| attribute.iter().any(|token| token.is(word));
    attribute.get(2).is_some_and(|token| token.is("cfg"))
        && has("test")
        && !has("not")
        && !has("any")
}

#[cfg(test)]
mod tests;
