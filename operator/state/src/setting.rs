//! The settings and flags that there are. One that nothing reads is not among them: to set
//! it would promise what does not happen.

use std::time::Duration;

use gitstratum_core::{parse_bytes, parse_span};

use crate::State;

/// What a flag's name starts with among the settings.
pub const FLAG_PREFIX: &str = "flag.";

/// A setting that can be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its name.
    pub key: &'static str,
    /// What its values are.
    pub kind: Kind,
    /// What holds while nobody has set it, as people write it.
    pub default: &'static str,
    /// What it does, one line.
    pub about: &'static str,
}

/// What values a setting has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A number and `s`, `m`, `h` or `d`, within these seconds, both included.
    Span(u64, u64),
    /// A number of bytes, plain or with `K`, `M`, `G` or `T` (powers of 1024), within these.
    Bytes(u64, u64),
    /// `on` or `off`.
    Switch,
}

/// The settings.
pub const SETTINGS: &[Known] = &[
    Known {
        key: "nodeDownAfter",
        kind: Kind::Span(3, 3_600),
        default: "10s",
        about: "silence after which a node is taken for dead",
    },
    Known {
        key: "offlineGrace",
        kind: Kind::Span(1, 30 * 24 * 3_600),
        default: "1h",
        about: "how long credentials are good while the control plane is away",
    },
    Known {
        key: "rebalanceApprovalBytes",
        kind: Kind::Bytes(0, 1 << 60),
        default: "10G",
        about: "a new node that would move more than this waits for `rebalance start`",
    },
    Known {
        key: "object.copyBytesPerSecond",
        kind: Kind::Bytes(1 << 20, 1 << 40),
        default: "256M",
        about: "what all nodes together copy in a second, for repairs, moves and runs",
    },
    Known {
        key: "object.gcRetention",
        kind: Kind::Span(0, 365 * 24 * 3_600),
        default: "7d",
        about: "how long `gc` keeps dropped objects",
    },
];

/// The flags, without their prefix.
pub const FLAGS: &[Known] = &[
    Known {
        key: "autoRebalance",
        kind: Kind::Switch,
        default: "on",
        about: "new object nodes come into the ring by themselves, if that moves little",
    },
    Known {
        key: "moves",
        kind: Kind::Switch,
        default: "on",
        about: "copies follow the ring; `rebalance stop` and `start` turn it off and on",
    },
];

impl Known {
    /// The setting, or the flag under its prefix, called `key`.
    pub fn find(key: &str) -> Option<&'static Self> {
        match key.strip_prefix(FLAG_PREFIX) {
            Some(flag) => FLAGS.iter().find(|known| known.key == flag),
            None => SETTINGS.iter().find(|known| known.key == key),
        }
    }

    /// Whether `value` is one of its values.
    ///
    /// # Errors
    /// What its values are.
    pub fn check(&self, value: &str) -> Result<(), String> {
        match self.kind {
            Kind::Span(least, most) => {
                let is_good =
                    parse_span(value).is_some_and(|span| (least..=most).contains(&span.as_secs()));
                is_good
                    .then_some(())
                    .ok_or_else(|| format!("is not a number and s, m, h or d, {least}s to {most}s"))
            }
            Kind::Bytes(least, most) => {
                let is_good =
                    parse_bytes(value).is_some_and(|bytes| (least..=most).contains(&bytes));
                is_good.then_some(()).ok_or_else(|| {
                    format!("is not a number of bytes (K, M, G, T), {least} to {most}")
                })
            }
            Kind::Switch => match value {
                "on" | "off" => Ok(()),
                _ => Err("is neither on nor off".to_owned()),
            },
        }
    }
}

impl State {
    /// The span that setting `key` was set to; `None` where nobody has set it: its reader
    /// has a default of its own, for tests, which the table repeats.
    pub fn setting_span(&self, key: &str) -> Option<Duration> {
        parse_span(&self.settings.get(key)?.value)
    }

    /// Whether flag `name` is on, by what was set or its default.
    pub fn flag(&self, name: &str) -> bool {
        let set = self.settings.get(&format!("{FLAG_PREFIX}{name}"));
        let known = FLAGS.iter().find(|known| known.key == name);
        let value = set.map(|set| set.value.as_str()).or(known.map(|known| known.default));
        value == Some("on")
    }

    /// The bytes that setting `key` is, by what was set or its default; 0 for one that is
    /// not known.
    pub fn setting_bytes(&self, key: &str) -> u64 {
        let set = self.settings.get(key).and_then(|set| parse_bytes(&set.value));
        let default = || parse_bytes(Known::find(key)?.default);
        set.or_else(default).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gs_cp_17_settings_are_known_names_with_values_of_their_kind() {
        let span = Known::find("nodeDownAfter").expect("because it is in the table");
        for value in ["3s", "10s", "1h", "60m"] {
            assert_eq!(span.check(value), Ok(()), "{value}");
        }
        for value in ["2s", "2h", "10", "-1s", "s", "", "1é", "9999999999s"] {
            assert!(span.check(value).is_err(), "{value}");
        }
        let bytes = Known { kind: Kind::Bytes(1 << 20, 1 << 40), ..*span };
        for value in ["1M", "1048576", "1T"] {
            assert_eq!(bytes.check(value), Ok(()), "{value}");
        }
        for value in ["1", "2T", "M", "1m", "1.5G", "999999999999999T"] {
            assert!(bytes.check(value).is_err(), "{value}");
        }
        assert!(Known { kind: Kind::Switch, ..*span }.check("yes").is_err());
    }

    #[test]
    fn every_default_is_one_of_its_values() {
        for known in SETTINGS.iter().chain(FLAGS) {
            assert_eq!(known.check(known.default), Ok(()), "{}", known.key);
        }
    }
}
