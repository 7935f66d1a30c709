use gitstratum_core::{RefName, RepoPath};

use crate::Refusal;

/// Longest description, bytes.
const DESCRIPTION_BYTES_MAX: usize = 1_000;
/// Longest e-mail address, bytes (RFC 5321).
const EMAIL_BYTES_MAX: usize = 254;
/// The one user name that is no owner's: the first admin's.
const ADMIN: &str = "admin";

/// The path in `text`.
pub(crate) fn parse_path(text: &str) -> Result<RepoPath, Refusal> {
    RepoPath::parse(text).map_err(|error| Refusal::invalid("path", error.to_string()))
}

/// Checks the name of an owner: the first part of a path.
pub(crate) fn check_owner(name: &str) -> Result<(), Refusal> {
    check_as_owner("owner", name)
}

/// Checks the name of a user: like an owner, whose repositories are then the user's.
pub(crate) fn check_user_name(name: &str) -> Result<(), Refusal> {
    if name == ADMIN {
        return Ok(());
    }
    check_as_owner("user name", name)
}

fn check_as_owner(field: &'static str, name: &str) -> Result<(), Refusal> {
    if name.contains('/') {
        return Err(Refusal::invalid(field, "has a slash"));
    }
    RepoPath::parse(&format!("{name}/x")).map(drop).map_err(|error| {
        let text = error.to_string();
        let rule = text.strip_prefix("repository owner ").unwrap_or(&text);
        Refusal::invalid(field, rule)
    })
}

/// Checks a description: one line.
pub(crate) fn check_description(text: &str) -> Result<(), Refusal> {
    if text.len() > DESCRIPTION_BYTES_MAX {
        return Err(Refusal::invalid("description", "is longer than 1000 bytes"));
    }
    if text.chars().any(char::is_control) {
        return Err(Refusal::invalid("description", "has a control character"));
    }
    Ok(())
}

/// Checks an e-mail address; empty is none.
pub(crate) fn check_email(text: &str) -> Result<(), Refusal> {
    let fail = |problem| Err(Refusal::invalid("e-mail", problem));
    if text.is_empty() {
        return Ok(());
    }
    if text.len() > EMAIL_BYTES_MAX {
        return fail("is longer than 254 bytes");
    }
    if text.chars().any(|c| c.is_control() || c.is_whitespace() || matches!(c, '<' | '>')) {
        return fail("has a character that no address has");
    }
    let parts = text.split('@').filter(|part| !part.is_empty()).count();
    if parts != 2 || text.matches('@').count() != 1 {
        return fail("is not NAME@HOST");
    }
    Ok(())
}

/// Checks the name of a default branch; empty is `main`.
pub(crate) fn default_branch(text: &str) -> Result<String, Refusal> {
    if text.is_empty() {
        return Ok("main".to_owned());
    }
    match RefName::branch(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(Refusal::invalid("default branch", error.0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_names_follow_the_rules_of_owners_but_for_admin() {
        for good in ["eva", "admin", "E.V-a_1"] {
            assert_eq!(check_user_name(good), Ok(()), "{good}");
        }
        for bad in ["", "git", "Git", "Admin", "a/b", "-a", ".a", "a.git", "a b", "é", "~a"] {
            assert!(check_user_name(bad).is_err(), "{bad}");
        }
        assert!(check_owner("admin").is_err());
        let error = check_user_name("git").expect_err("because it is reserved");
        assert_eq!(error.to_string(), "user name is reserved");
    }

    #[test]
    fn texts_are_one_line() {
        assert!(check_description("a\nb").is_err());
        assert!(check_description(&"x".repeat(1_001)).is_err());
        assert_eq!(check_description("Grüße"), Ok(()));
        for good in ["", "eva@example.org"] {
            assert_eq!(check_email(good), Ok(()), "{good}");
        }
        for bad in ["eva", "@x", "eva@", "a@b@c", "a b@c", "a@b\n", "<a@b>"] {
            assert!(check_email(bad).is_err(), "{bad}");
        }
        assert_eq!(default_branch(""), Ok("main".to_owned()));
        assert!(default_branch("-x").is_err());
        assert!(default_branch("a..b").is_err());
    }
}
