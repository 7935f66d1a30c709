use super::*;

fn refused_in(path: &str, krate: &str, text: &str) -> Vec<String> {
    let source = Source {
        path: path.to_owned(),
        krate: krate.to_owned(),
        text: text.to_owned(),
        is_test: path.contains("/tests/"),
    };
    let tree = Tree { root: "/".into(), sources: vec![source], texts: Vec::new() };
    let mut findings = Findings::default();
    check(&tree, &mut findings);
    findings.refused
}

fn refused(text: &str) -> usize {
    refused_in("a/src/lib.rs", "a", text).len()
}

#[test]
fn stubs_are_refused_even_in_tests() {
    assert_eq!(refused("fn f() { todo!() }"), 1);
    assert_eq!(refused("#[cfg(test)] mod t { fn f() { unimplemented!(\"x\") } }"), 1);
    assert_eq!(refused("// todo!()\nfn f() { let todo = 1; \"todo!()\"; }"), 0);
}

#[test]
fn ignored_tests_are_refused() {
    assert_eq!(refused("#[test]\n#[ignore]\nfn f() {}"), 1);
    assert_eq!(refused("#[ignore = \"slow\"]\nfn f() {}"), 1);
}

#[test]
fn lints_are_silenced_with_a_reason_only() {
    assert_eq!(refused("#[allow(dead_code)]\nfn f() {}"), 1);
    assert_eq!(refused("#![allow(dead_code)]"), 1);
    assert_eq!(refused("#[expect(dead_code)]\nfn f() {}"), 1);
    assert_eq!(refused("#[expect(dead_code, reason = \"trial\")]\nfn f() {}"), 0);
    assert_eq!(refused("#[allow(dead_code, reason = \"generated\")]\nfn f() {}"), 0);
    assert_eq!(refused("fn f(x: R) { x.expect(\"because\"); }"), 0);
}

#[test]
fn globs_are_for_tests_and_preludes() {
    assert_eq!(refused("use a::*;"), 1);
    assert_eq!(refused("use a::{b::*, c};"), 1);
    assert_eq!(refused("use a::b; fn f() -> u8 { 2 * 3 }"), 0);
    assert_eq!(refused("#[cfg(test)] mod t { use super::*; }"), 0);
    assert!(refused_in("a/src/prelude.rs", "a", "pub use a::*;").is_empty());
    assert!(refused_in("a/tests/it/x.rs", "a", "use a::*;").is_empty());
}

#[test]
fn tonic_stops_at_the_edge() {
    let text = "fn f() -> tonic::Status { g() }";
    assert_eq!(refused(text), 1);
    for (path, krate) in [
        ("a/src/rpc.rs", "a"),
        ("a/src/rpc/refs.rs", "a"),
        ("c/src/lib.rs", "gitstratum-client"),
        ("a/tests/it/x.rs", "a"),
    ] {
        assert!(refused_in(path, krate, text).is_empty(), "{path}");
    }
}

#[test]
fn tests_of_bad_inputs_carry_three_digits() {
    assert_eq!(refused("fn bad_input_057() {} fn bad_input_056_other_zlib() {}"), 0);
    assert_eq!(refused("fn bad_input_57() {}"), 1);
    assert_eq!(refused("fn bad_input_057b() {}"), 1);
    assert_eq!(refused("fn bad_inputs() {}"), 1);
}

#[test]
fn bare_bools_are_refused_outside_tests() {
    assert_eq!(refused("fn f(force: bool) {}"), 1);
    assert_eq!(refused("#[cfg(test)] mod t { fn f(force: bool) {} }"), 0);
    assert_eq!(refused("fn f(force: Force) -> bool { true }"), 0);
}
