use std::ffi::OsString;
use std::path::PathBuf;

/// What the environment says, read once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Environment {
    /// `GITSTRATUM_TOKEN`: the token itself.
    pub(crate) token: Option<String>,
    /// `GITSTRATUM_FAILPOINTS`: where a crash test wants the process to die.
    pub(crate) failpoints: Option<String>,
    config_home: Option<PathBuf>,
    home: Option<PathBuf>,
}

impl Environment {
    /// The environment of this process.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
    pub(crate) fn read() -> Self {
        Self::of(|name| std::env::var_os(name))
    }

    /// An environment in which `look_up` finds the values of names; empty ones count as unset.
    fn of(look_up: impl Fn(&str) -> Option<OsString>) -> Self {
        let value = |name| look_up(name).filter(|value| !value.is_empty());
        let text = |name| value(name).map(|value| value.to_string_lossy().into_owned());
        Self {
            token: text("GITSTRATUM_TOKEN"),
            failpoints: text("GITSTRATUM_FAILPOINTS"),
            config_home: value("XDG_CONFIG_HOME").map(PathBuf::from),
            home: value("HOME").map(PathBuf::from),
        }
    }

    /// The user's folder for settings of this program; a relative one is not believed.
    pub(crate) fn config_folder(&self) -> Option<PathBuf> {
        let stated = self.config_home.clone().filter(|path| path.is_absolute());
        let folder = stated.or_else(|| self.home.as_ref().map(|home| home.join(".config")))?;
        Some(folder.join("gitstratum"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> Environment {
        Environment::of(|name| {
            let pair = pairs.iter().find(|(known, _)| *known == name);
            pair.map(|(_, value)| OsString::from(value))
        })
    }

    #[test]
    fn settings_lie_where_the_desktop_says() {
        let folder = |pairs| environment(pairs).config_folder();
        assert_eq!(folder(&[("HOME", "/h")]), Some("/h/.config/gitstratum".into()));
        assert_eq!(
            folder(&[("HOME", "/h"), ("XDG_CONFIG_HOME", "/c")]),
            Some("/c/gitstratum".into())
        );
        assert_eq!(
            folder(&[("HOME", "/h"), ("XDG_CONFIG_HOME", "c")]),
            Some("/h/.config/gitstratum".into())
        );
        assert_eq!(folder(&[]), None);
        assert_eq!(environment(&[("GITSTRATUM_TOKEN", "")]).token, None);
    }
}
