//! Access tokens, by their public ids.

use std::fmt;

use gitstratum_proto::control::v1 as wire;
use serde::Serialize;

use crate::moment::Moment;
use crate::output::{Column, View};

/// What a token allows at most, whatever its user may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Fetch.
    Read,
    /// Fetch and push.
    Write,
    /// These, and administration.
    Admin,
}

impl Scope {
    /// The number in messages.
    pub const fn to_wire(self) -> u32 {
        match self {
            Self::Read => 1,
            Self::Write => 2,
            Self::Admin => 3,
        }
    }
}

const fn scope_name(number: u32) -> &'static str {
    match number {
        1 => "read",
        2 => "write",
        3 => "admin",
        _ => "unknown",
    }
}

/// A token, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Token {
    /// How people name it: the first 8 bytes of its SHA-256, as hex.
    pub id: String,
    /// Who signs in with it.
    pub user: String,
    /// `read`, `write` or `admin`.
    pub scope: &'static str,
    /// What it is limited to; nothing: not limited.
    pub repositories: Vec<String>,
    /// When it ends; absent: never.
    pub expires_at: Option<Moment>,
    /// When it was made.
    pub created_at: Option<Moment>,
}

/// A token that was just made. Its secret is shown once and kept nowhere.
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NewToken {
    /// The secret.
    pub token: String,
    /// All else.
    #[serde(flatten)]
    pub record: Token,
}

impl fmt::Debug for NewToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewToken").field("record", &self.record).finish_non_exhaustive()
    }
}

impl From<wire::TokenRecord> for Token {
    fn from(from: wire::TokenRecord) -> Self {
        Self {
            id: from.id,
            user: from.user,
            scope: scope_name(from.scope),
            repositories: from.repositories,
            expires_at: Moment::from_millis(from.expires_millis),
            created_at: Moment::from_millis(from.created_millis),
        }
    }
}

impl View for Token {
    const COLUMNS: &'static [Column] = &[
        Column::always("ID"),
        Column::always("USER"),
        Column::always("SCOPE"),
        Column::always("REPOSITORIES"),
        Column::always("EXPIRES"),
        Column::wide("CREATED"),
    ];

    fn cells(&self) -> Vec<String> {
        let repositories = match self.repositories.is_empty() {
            true => "all".to_owned(),
            false => self.repositories.join(","),
        };
        vec![
            self.id.clone(),
            self.user.clone(),
            self.scope.to_owned(),
            repositories,
            self.expires_at.map_or_else(|| "never".to_owned(), |at| at.to_string()),
            self.created_at.map(|at| at.to_string()).unwrap_or_default(),
        ]
    }

    fn name(&self) -> String {
        self.id.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_token_is_not_shown_by_debug() {
        let record = Token::from(wire::TokenRecord::default());
        let new = NewToken { token: "gst_secret".to_owned(), record };
        assert!(!format!("{new:?}").contains("secret"));
        let json = serde_json::to_value(&new).unwrap();
        assert_eq!(json["token"], "gst_secret");
        assert_eq!(json["scope"], "unknown");
        assert!(json["expiresAt"].is_null());
    }
}
