//! Repositories as the directory has them.

use gitstratum_core::RepoId;
use gitstratum_proto::control::v1 as wire;
use serde::Serialize;

use crate::moment::Moment;
use crate::output::{Column, View};

/// A repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Repository {
    /// Its id, as hex; names change, this does not.
    pub id: String,
    /// `OWNER/NAME`.
    pub path: String,
    /// `private` or `public`.
    pub visibility: &'static str,
    /// The branch that HEAD points at until somebody moves it.
    pub default_branch: String,
    /// One line for people.
    pub description: String,
    /// `sha1` or `sha256`.
    pub object_format: &'static str,
    /// `live`, `deleted` or `purged`.
    pub state: &'static str,
    /// The partition that has its refs.
    pub partition: u32,
    /// When it was made.
    pub created_at: Option<Moment>,
    /// Version of the directory at which its name or state last changed.
    pub name_version: u64,
}

impl From<wire::Repository> for Repository {
    fn from(from: wire::Repository) -> Self {
        Self {
            id: RepoId(from.id).to_string(),
            path: from.path,
            visibility: if from.public { "public" } else { "private" },
            default_branch: from.default_branch,
            description: from.description,
            object_format: format_name(from.object_format),
            state: state_name(from.state),
            partition: from.partition,
            created_at: Moment::from_millis(from.created_millis),
            name_version: from.name_version,
        }
    }
}

const fn format_name(number: u32) -> &'static str {
    match number {
        1 => "sha1",
        2 => "sha256",
        _ => "unknown",
    }
}

const fn state_name(number: u32) -> &'static str {
    match number {
        1 => "live",
        2 => "deleted",
        3 => "purged",
        _ => "unknown",
    }
}

impl View for Repository {
    const COLUMNS: &'static [Column] = &[
        Column::always("PATH"),
        Column::always("VISIBILITY"),
        Column::always("DEFAULT BRANCH"),
        Column::always("CREATED"),
        Column::wide("FORMAT"),
        Column::wide("STATE"),
        Column::wide("ID"),
        Column::wide("PARTITION"),
        Column::wide("DESCRIPTION"),
    ];

    fn cells(&self) -> Vec<String> {
        vec![
            self.path.clone(),
            self.visibility.to_owned(),
            self.default_branch.clone(),
            self.created_at.map(|at| at.to_string()).unwrap_or_default(),
            self.object_format.to_owned(),
            self.state.to_owned(),
            self.id.clone(),
            self.partition.to_string(),
            self.description.clone(),
        ]
    }

    fn name(&self) -> String {
        self.path.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::{Format, one};

    #[test]
    fn field_names_of_a_repository_are_stable() {
        let repository = Repository::from(wire::Repository {
            id: 7,
            path: "demo/hello".to_owned(),
            partition: 3,
            object_format: 2,
            default_branch: "main".to_owned(),
            public: true,
            state: 2,
            name_version: 9,
            created_millis: 1_000,
            ..wire::Repository::default()
        });
        let expected = r#"{
  "id": "0000000000000007",
  "path": "demo/hello",
  "visibility": "public",
  "defaultBranch": "main",
  "description": "",
  "objectFormat": "sha256",
  "state": "deleted",
  "partition": 3,
  "createdAt": "1970-01-01T00:00:01Z",
  "nameVersion": 9
}
"#;
        assert_eq!(one(&repository, Format::Json).unwrap(), expected);
    }
}
