//! Places where a test may kill the process, make it panic or make a step fail.
//!
//! A place costs nothing unless the crate is built with feature `failpoints`, which
//! only tests enable. Places are named `room.noun.step` and register themselves when
//! they are first passed, so that a crash test can list what a run went through and
//! then kill at each.

/// Marks a place: `failpoint!("object.seal.before_fsync")`. With `return VALUE` the
/// function ends with that value when the place is told to fail.
#[macro_export]
macro_rules! failpoint {
    ($name:literal) => {
        $crate::failpoint::pass($name)
    };
    ($name:literal, return $value:expr) => {
        if $crate::failpoint::fails($name) {
            return $value;
        }
    };
}

/// A place was passed that cannot fail by itself.
#[doc(hidden)]
#[inline]
pub fn pass(name: &'static str) {
    fails(name);
}

/// Whether the place is told to fail.
#[doc(hidden)]
#[inline]
#[cfg(not(feature = "failpoints"))]
pub const fn fails(_name: &'static str) -> bool {
    false
}

/// How a plan begins by which a place fails as long as a file is there: what a test outside
/// the process may begin and end.
#[cfg(feature = "failpoints")]
const FAIL_WHILE: &str = "fail-while:";

/// How a plan begins by which the first of several processes that passes a place is killed there,
/// once: it takes the file away.
#[cfg(feature = "failpoints")]
const KILL_ONCE: &str = "kill-once:";

#[cfg(feature = "failpoints")]
pub use enabled::{Action, Plan, clear, configure, fail_while, fails, kill_once, passed};

/// Text that plans nothing that can happen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// It is no plan.
    #[error(
        "a failpoint is PLACE=ACTION, an action kill, panic or fail, then @ and a number or nothing, \
         or fail-while:FILE, or kill-once:FILE: `{0}`"
    )]
    Text(String),
    /// No place is compiled in.
    #[error("this build has no failpoints")]
    Absent,
}

/// Plans what `plans` says, `PLACE=ACTION` separated by `;`: for a process that a test
/// starts.
///
/// # Errors
/// [`PlanError`], and nothing is planned.
#[cfg(feature = "failpoints")]
pub fn arrange(plans: &str) -> Result<(), PlanError> {
    let parse = |text: &str| {
        let (name, plan) = text.split_once('=').ok_or_else(|| PlanError::Text(text.to_owned()))?;
        let file = |prefix| plan.strip_prefix(prefix).map(std::path::PathBuf::from);
        let arranged = match (file(FAIL_WHILE), file(KILL_ONCE)) {
            (Some(file), _) => Arranged::FailWhile(file),
            (_, Some(file)) => Arranged::KillOnce(file),
            _ => Arranged::Planned(Plan::parse(plan)?),
        };
        Ok((name.to_owned(), arranged))
    };
    let plans: Vec<_> = plans.split(';').map(parse).collect::<Result<_, _>>()?;
    for (name, arranged) in plans {
        match arranged {
            Arranged::Planned(plan) => configure(&name, plan),
            Arranged::FailWhile(file) => fail_while(&name, file),
            Arranged::KillOnce(file) => kill_once(&name, file),
        }
    }
    Ok(())
}

/// What a text plans.
#[cfg(feature = "failpoints")]
enum Arranged {
    Planned(Plan),
    FailWhile(std::path::PathBuf),
    KillOnce(std::path::PathBuf),
}

/// Plans nothing: no place is compiled in.
///
/// # Errors
/// [`PlanError::Absent`].
#[cfg(not(feature = "failpoints"))]
pub fn arrange(_plans: &str) -> Result<(), PlanError> {
    Err(PlanError::Absent)
}

#[cfg(feature = "failpoints")]
mod enabled {
    use std::collections::{BTreeMap, BTreeSet};
    use std::path::PathBuf;
    use std::sync::atomic::{AtomicU32, Ordering};

    use parking_lot::Mutex;
    use rustix::process::{Signal, getpid, kill_process};

    use super::PlanError;

    static PASSED: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    /// Places that fail while a file is there.
    static WHILE: Mutex<BTreeMap<String, PathBuf>> = Mutex::new(BTreeMap::new());

    /// Places at which who can take a file away dies.
    static ONCE: Mutex<BTreeMap<String, PathBuf>> = Mutex::new(BTreeMap::new());

    /// What happens at a place.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Action {
        /// The process is gone, as by SIGKILL.
        Kill,
        /// The thread panics.
        Panic,
        /// `failpoint!(.., return VALUE)` returns.
        Fail,
    }

    /// An action at a place, once it has been passed `skip` times.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Plan {
        /// What happens.
        pub action: Action,
        /// Times that nothing happens before.
        pub skip: u32,
    }

    impl Plan {
        /// `kill`, `panic` or `fail`, with `@N` after the place was passed N times.
        ///
        /// # Errors
        /// [`PlanError`] with the text given.
        pub fn parse(text: &str) -> Result<Self, PlanError> {
            let wrong = || PlanError::Text(text.to_owned());
            let (action, skip) = text.split_once('@').unwrap_or((text, "0"));
            let action = match action {
                "kill" => Action::Kill,
                "panic" => Action::Panic,
                "fail" => Action::Fail,
                _ => return Err(wrong()),
            };
            Ok(Self { action, skip: skip.parse().map_err(|_| wrong())? })
        }
    }

    /// Plans what happens at place `name`, whether or not it was passed yet.
    pub fn configure(name: &str, plan: Plan) {
        let configured = match plan.action {
            Action::Kill => fail::cfg_callback(name, kill_after(plan.skip)),
            Action::Panic => fail::cfg(name, &after(plan.skip, "panic")),
            Action::Fail => fail::cfg(name, &after(plan.skip, "return")),
        };
        configured.expect("because these are the actions that the library knows");
    }

    /// Place `name` fails whenever `file` is there.
    pub fn fail_while(name: &str, file: PathBuf) {
        WHILE.lock().insert(name.to_owned(), file);
    }

    /// The process is killed at place `name` if it can take `file` away there.
    pub fn kill_once(name: &str, file: PathBuf) {
        ONCE.lock().insert(name.to_owned(), file);
    }

    /// Nothing happens at `name` any more.
    pub fn clear(name: &str) {
        ONCE.lock().remove(name);
        WHILE.lock().remove(name);
        fail::remove(name);
    }

    /// Every place passed since the process began, by name.
    pub fn passed() -> Vec<&'static str> {
        PASSED.lock().iter().copied().collect()
    }

    #[doc(hidden)]
    pub fn fails(name: &'static str) -> bool {
        PASSED.lock().insert(name);
        if WHILE.lock().get(name).is_some_and(|file| file.exists()) {
            return true;
        }
        if ONCE.lock().get(name).is_some_and(|file| std::fs::remove_file(file).is_ok()) {
            kill();
        }
        fail::fail_point!(name, |_| true);
        false
    }

    fn after(skip: u32, action: &str) -> String {
        if skip == 0 { action.to_owned() } else { format!("{skip}*off->{action}") }
    }

    fn kill_after(skip: u32) -> impl Fn() + Send + Sync + 'static {
        let left = AtomicU32::new(skip);
        move || {
            let is_now =
                left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
            if is_now.is_err() {
                kill();
            }
        }
    }

    fn kill() {
        kill_process(getpid(), Signal::KILL).expect("because a process may always kill itself");
    }
}

#[cfg(all(test, feature = "failpoints"))]
mod tests {
    use super::*;

    fn step() -> Result<(), &'static str> {
        failpoint!("process.test.step", return Err("injected"));
        Ok(())
    }

    #[test]
    fn a_place_fails_as_planned_and_is_listed() {
        assert_eq!(step(), Ok(()));
        configure("process.test.step", Plan::parse("fail@2").unwrap());
        assert_eq!((step(), step(), step()), (Ok(()), Ok(()), Err("injected")));
        clear("process.test.step");
        assert_eq!(step(), Ok(()));
        assert!(passed().contains(&"process.test.step"));
    }

    #[test]
    fn a_place_fails_while_a_file_is_there() {
        fn step() -> bool {
            failpoint!("process.test.while", return true);
            false
        }
        let file = std::env::temp_dir().join(format!("gs-while-{}", std::process::id()));
        arrange(&format!("process.test.while=fail-while:{}", file.display())).unwrap();
        assert!(!step());
        std::fs::write(&file, b"").unwrap();
        assert!(step());
        std::fs::remove_file(&file).unwrap();
        assert!(!step());
    }

    #[test]
    fn a_place_can_panic() {
        configure("process.test.panic", Plan::parse("panic").unwrap());
        let unwound = std::panic::catch_unwind(|| failpoint!("process.test.panic"));
        assert!(unwound.is_err());
    }

    #[test]
    fn plans_are_read_or_refused() {
        let kill = Plan { action: Action::Kill, skip: 5 };
        assert_eq!(Plan::parse("kill@5"), Ok(kill));
        for text in ["", "kill@", "die", "kill@-1"] {
            assert_eq!(Plan::parse(text), Err(PlanError::Text(text.to_owned())));
        }
    }

    #[test]
    fn plans_are_arranged_all_or_none() {
        arrange("process.test.one=fail@9;process.test.two=kill@9").unwrap();
        for text in ["", "process.test.one", "process.test.one=fail;process.test.two=die"] {
            assert!(matches!(arrange(text), Err(PlanError::Text(_))), "{text}");
        }
    }
}
