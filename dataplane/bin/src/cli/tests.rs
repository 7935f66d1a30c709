use clap::{CommandFactory as _, Parser as _};

use super::*;

#[test]
fn the_command_line_does_not_contradict_itself() {
    Command::command().debug_assert();
}

#[test]
fn every_verb_explains_itself_with_an_example() {
    fn walk(command: &clap::Command, path: &str) {
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        assert!(!about.is_empty(), "{path} says nothing");
        assert!(!about.ends_with('.'), "{path}: {about}");
        if command.has_subcommands() {
            command
                .get_subcommands()
                .for_each(|sub| walk(sub, &format!("{path} {}", sub.get_name())));
            return;
        }
        let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        assert!(after.contains("Example"), "{path} has no example");
    }
    walk(&Command::command(), "gitstratum");
}

#[test]
fn options_of_every_verb_stand_anywhere() {
    let words = ["gitstratum", "credential", "--data", "d", "get"];
    let command = Command::try_parse_from(words).unwrap();
    assert_eq!(command.global.data.as_deref(), Some(std::path::Path::new("d")));
    assert!(Command::try_parse_from(["gitstratum", "-o", "json", "repo", "list"]).is_ok());
    assert!(Command::try_parse_from(["gitstratum", "repo", "list", "-o", "xml"]).is_err());
}

#[test]
fn bad_input_105_paths_are_refused_before_anything_is_asked() {
    for bad in ["a", "a/b/c", "git/x", "a/b.git", "-a/b", ""] {
        let words = ["gitstratum", "repo", "create", "--", bad];
        let error = Command::try_parse_from(words).err().unwrap();
        assert_eq!(error.exit_code(), 2, "{bad}");
    }
}
