use super::*;
use crate::tidy::lexer::tokens;

fn sizes(source: &str) -> Vec<(&str, usize, usize)> {
    let tokens = tokens(source);
    functions(&tokens).iter().map(|f| (f.name, f.line, f.lines)).collect()
}

fn nesting(body: &str) -> usize {
    functions(&tokens(&format!("fn f() {{ {body} }}")))[0].nesting
}

fn takes_bool(source: &str) -> bool {
    functions(&tokens(source))[0].takes_bool
}

#[test]
fn a_function_is_measured_from_its_word_to_its_brace() {
    let source = "\nfn one() {\n}\n\npub async fn two<T>(\n    x: [T; { 3 }],\n) -> T\nwhere\n    T: Copy,\n{\n    \"}\"\n}\n";
    assert_eq!(sizes(source), [("one", 2, 2), ("two", 5, 8)]);
}

#[test]
fn declarations_and_pointer_types_are_no_functions() {
    assert_eq!(
        sizes("trait T { fn a(&self); fn b(&self) { } }\nstruct S { f: fn(u8) -> u8 }"),
        [("b", 1, 1)]
    );
}

#[test]
fn nested_functions_are_found_too() {
    assert_eq!(sizes("fn a() {\n fn b() {\n }\n}\n"), [("a", 1, 4), ("b", 2, 2)]);
}

#[test]
fn only_conditions_and_loops_nest() {
    assert_eq!(nesting("let a = S { b: T { c: 1 } };"), 0);
    assert_eq!(nesting("if a { b } else if c { d } else { e }"), 1);
    assert_eq!(nesting("for a in b { if c { while d { } } }"), 3);
    assert_eq!(nesting("match a { B { c } => { d } E => { if f { } } }"), 2);
    assert_eq!(nesting("a.map(|b| { if c { d } else { e } })"), 1);
    assert_eq!(nesting("loop { a(S { b }); if c { return; } }"), 2);
}

#[test]
fn patterns_are_not_blocks() {
    assert_eq!(nesting("if let S { a } = b { c }"), 1);
    assert_eq!(nesting("while let Some(S { a }) = b { if c { } }"), 2);
    assert_eq!(nesting("for S { a } in b { c }"), 1);
    assert_eq!(nesting("let S { a } = b else { return };"), 1);
    assert_eq!(nesting("impl A for B { } if c { }"), 1);
}

#[test]
fn a_bare_bool_among_the_parameters_is_seen() {
    assert!(takes_bool("fn f(a: u8, b: bool) {}"));
    assert!(takes_bool("fn f<F: Fn(u8) -> u8>(b: bool, f: F) {}"));
    assert!(!takes_bool("fn f<F: Fn(u8) -> bool>(f: F) -> bool { true }"));
    assert!(!takes_bool("fn f(f: impl Fn(x: bool), a: Option<bool>) {}"));
    assert!(!takes_bool("impl<T> Other for Own<T> { fn f(&self, b: bool) {} }"));
    assert!(takes_bool("impl Own { fn f(&self, b: bool) {} }"));
    assert!(takes_bool("impl<F: for<'a> Fn(&'a u8)> Own<F> { fn f(&self, b: bool) {} }"));
}

#[test]
fn test_code_is_told_from_the_rest() {
    let source = "fn a() {}\n#[cfg(test)]\n#[path = \"x\"]\nmod tests {\n  fn b() {}\n}\n#[cfg(test)]\nmod far;\n#[cfg(not(test))]\nfn c() {}\n";
    let tokens = tokens(source);
    let regions = test_regions(&tokens);
    assert_eq!(regions.iter().map(|r| r.lines).collect::<Vec<_>>(), [5, 2]);
    assert_eq!(regions[0].file_module, None);
    assert_eq!(regions[1].file_module, Some("far"));
    let in_test = |name: &str| {
        let at = functions(&tokens).iter().find(|f| f.name == name).expect("found").at;
        regions.iter().any(|region| region.tokens.contains(&at))
    };
    assert!(in_test("b") && !in_test("a") && !in_test("c"));
}
