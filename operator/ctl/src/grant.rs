//! Who may do what.

use gitstratum_proto::control::v1 as wire;
use serde::Serialize;

use crate::output::{Column, View};

/// A role of a user in a repository, or in all of an owner's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Grant {
    /// Who.
    pub user: String,
    /// `read`, `write`, `maintain` or `admin`.
    pub role: &'static str,
    /// `OWNER` or `OWNER/NAME`.
    pub subject: String,
}

impl From<wire::GrantRecord> for Grant {
    fn from(from: wire::GrantRecord) -> Self {
        let subject = if from.subject.is_empty() { from.owner } else { from.subject };
        Self { user: from.user, role: role_name(from.role), subject }
    }
}

const fn role_name(number: u32) -> &'static str {
    match number {
        1 => "read",
        2 => "write",
        3 => "maintain",
        4 => "admin",
        _ => "unknown",
    }
}

impl View for Grant {
    const COLUMNS: &'static [Column] =
        &[Column::always("SUBJECT"), Column::always("USER"), Column::always("ROLE")];

    fn cells(&self) -> Vec<String> {
        vec![self.subject.clone(), self.user.clone(), self.role.to_owned()]
    }

    fn name(&self) -> String {
        format!("{} {} {}", self.user, self.role, self.subject)
    }
}
