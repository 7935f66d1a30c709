//! How deep conditions and loops stand in one another within a function's body.

use crate::tidy::lexer::Token;

/// What an open bracket is.
enum Open<'a> {
    /// The block of an `if`, `else`, `match`, `for`, `while` or `loop`.
    Control,
    /// Any other bracket; the words before it go on after it.
    Other(Vec<&'a str>),
}

/// Deepest nesting of control blocks in `body`. Braces of struct literals, patterns, closures
/// and plain blocks do not count.
pub(crate) fn depth(body: &[Token<'_>]) -> usize {
    let mut open: Vec<Open<'_>> = Vec::new();
    let mut head: Vec<&str> = Vec::new();
    let mut deepest = 0;
    for (at, token) in body.iter().enumerate() {
        match token.text {
            "{" if opens_control(&head) => {
                open.push(Open::Control);
                head.clear();
                let controls = open.iter().filter(|open| matches!(open, Open::Control)).count();
                deepest = deepest.max(controls);
            }
            "{" | "(" | "[" => open.push(Open::Other(std::mem::take(&mut head))),
            "}" | ")" | "]" => match open.pop() {
                Some(Open::Other(before)) => head = before,
                Some(Open::Control) | None => head.clear(),
            },
            ";" | "," => head.clear(),
            ">" if at > 0 && body[at - 1].is("=") => head.clear(),
            text => head.push(text),
        }
    }
    deepest
}

/// Whether a brace after these words opens a control block. `if let Name { … }` and
/// `for Name { … } in` open a pattern first.
fn opens_control(head: &[&str]) -> bool {
    let has = |word: &str| head.contains(&word);
    let let_binds = head.iter().rposition(|word| *word == "let");
    let waits_for_value = let_binds.is_some_and(|at| !head[at..].contains(&"="));
    let starts = has("if") || has("else") || has("match") || has("while") || has("loop");
    (starts && !waits_for_value) || (has("for") && has("in"))
}
