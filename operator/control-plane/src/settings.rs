//! Settings and flags as people see them.

use gitstratum_proto::control::v1 as wire;
use gitstratum_state::{FLAG_PREFIX, FLAGS, Known, Refusal, SETTINGS, State};

/// Every setting and flag, with its value or its default.
pub(crate) fn list(state: &State) -> wire::ListSettingsResponse {
    let settings = SETTINGS.iter().map(|known| record(state, known.key, known));
    let flags = FLAGS.iter().map(|known| {
        let key = format!("{FLAG_PREFIX}{}", known.key);
        let record = record(state, &key, known);
        wire::SettingRecord { key: known.key.to_owned(), is_flag: true, ..record }
    });
    wire::ListSettingsResponse { settings: settings.chain(flags).collect() }
}

/// The one stored as `key`.
pub(crate) fn show(state: &State, key: &str) -> Result<wire::SettingRecord, Refusal> {
    let missing = || Refusal::Missing { what: "setting", name: key.to_owned() };
    Known::find(key).map(|known| record(state, key, known)).ok_or_else(missing)
}

fn record(state: &State, key: &str, known: &Known) -> wire::SettingRecord {
    let set = state.setting(key);
    wire::SettingRecord {
        key: key.to_owned(),
        value: set.map_or_else(|| known.default.to_owned(), |set| set.value.clone()),
        default: known.default.to_owned(),
        about: known.about.to_owned(),
        is_flag: key.starts_with(FLAG_PREFIX),
        version: set.map_or(0, |set| set.version.0),
    }
}
