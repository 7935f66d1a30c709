//! Cluster-wide settings and flags.

use gitstratum_proto::control::v1 as wire;
use serde::Serialize;

use crate::output::{Column, View};

/// A setting or a flag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Setting {
    /// Its name.
    pub key: String,
    /// What holds now.
    pub value: String,
    /// What holds while nobody has set it.
    pub default: String,
    /// Whether somebody has.
    pub is_set: bool,
    /// Version of the last change; 0: none.
    pub version: u64,
    /// What it does.
    pub about: String,
}

impl From<wire::SettingRecord> for Setting {
    fn from(from: wire::SettingRecord) -> Self {
        Self {
            is_set: from.version > 0,
            key: from.key,
            value: from.value,
            default: from.default,
            version: from.version,
            about: from.about,
        }
    }
}

impl View for Setting {
    const COLUMNS: &'static [Column] = &[
        Column::always("NAME"),
        Column::always("VALUE"),
        Column::always("DEFAULT"),
        Column::wide("VERSION"),
        Column::always("MEANS"),
    ];

    fn cells(&self) -> Vec<String> {
        let version = if self.is_set { self.version.to_string() } else { String::new() };
        vec![
            self.key.clone(),
            self.value.clone(),
            self.default.clone(),
            version,
            self.about.clone(),
        ]
    }

    fn name(&self) -> String {
        self.key.clone()
    }
}
