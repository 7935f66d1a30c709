use super::*;

fn words(source: &str) -> Vec<&str> {
    tokens(source).iter().filter(|token| token.kind == Kind::Word).map(|token| token.text).collect()
}

fn texts(source: &str) -> Vec<&str> {
    tokens(source).iter().map(|token| token.text).collect()
}

#[test]
fn comments_are_no_code() {
    assert_eq!(words("a // b { \nc /* d /* e */ f */ g"), ["a", "c", "g"]);
    assert_eq!(words("a /* never closed"), ["a"]);
    assert_eq!(words("/// doc { fn x() }\nb"), ["b"]);
}

#[test]
fn strings_are_no_code() {
    assert_eq!(texts(r#"f("a { \" b", x)"#), ["f", "(", r#""a { \" b""#, ",", "x", ")"]);
    assert_eq!(words("\"a \\\\\" b \"c\""), ["b"]);
}

#[test]
fn raw_strings_end_with_as_many_hashes() {
    assert_eq!(words("r#\" a \"quoted\" } \"# b"), ["b"]);
    assert_eq!(words("br##\" a \"# b \"## c"), ["c"]);
    assert_eq!(words("b\"a\" c\"b\" d"), ["d"]);
}

#[test]
fn characters_and_lifetimes_are_told_apart() {
    assert_eq!(
        texts("'a' 'b 'static '\\'' '{' b'}'"),
        ["'a'", "'b", "'static", "'\\''", "'{'", "b", "'}'"]
    );
    assert_eq!(words("fn f<'a>(x: &'a str) {}"), ["fn", "f", "x", "str"]);
    assert_eq!(texts("'é' x"), ["'é'", "x"]);
}

#[test]
fn raw_names_are_not_keywords() {
    assert_eq!(texts("r#fn r x"), ["r#fn", "r", "x"]);
}

#[test]
fn lines_are_counted_through_everything() {
    let source = "a\n/* \n */ b\n\"x\ny\" c\n";
    let lines: Vec<_> = tokens(source).iter().map(|token| (token.text, token.line)).collect();
    assert_eq!(lines, [("a", 1), ("b", 3), ("\"x\ny\"", 4), ("c", 5)]);
}

#[test]
fn ranges_and_numbers_do_not_swallow_each_other() {
    assert_eq!(texts("0..0x1f_u8"), ["0", ".", ".", "0x1f_u8"]);
}
