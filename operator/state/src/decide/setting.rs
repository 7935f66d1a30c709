use super::{Desk, Plan};
use crate::command::SetSetting;
use crate::outcome::Reply;
use crate::record::Setting;
use crate::setting::Known;
use crate::state::Mutation;
use crate::{Refusal, Subject, Verb};

/// Sets a setting or flag that something reads (GS-CP-16, GS-CP-17).
pub(super) fn set(desk: &Desk<'_>, set: &SetSetting) -> Result<Plan, Refusal> {
    desk.require(Verb::Manage, Subject::Cluster)?;
    let SetSetting { key, value } = set;
    let known = Known::find(key).ok_or_else(|| {
        let shown: String = key.chars().take(100).collect();
        Refusal::missing("setting", shown)
    })?;
    let bad = |problem| Refusal::invalid("value", format!("of `{key}` {problem}"));
    known.check(value).map_err(bad)?;
    if desk.state.settings.get(key).is_some_and(|old| old.value == *value) {
        return Ok(Plan::unchanged(Reply::Done));
    }
    let (key, value, version) = (key.clone(), value.clone(), desk.at.stamp());
    Ok(Plan::new(Reply::Done, vec![Mutation::PutSetting(Setting { key, value, version })]))
}
