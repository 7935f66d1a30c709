//! Wrongs that a simulation switches on to see that it notices them.
//!
//! Feature `sabotage` compiles them in, for the simulation alone: without it `sabotage!` is
//! `false` and not even its name is in a binary. A switch holds on the thread that set it.

/// Whether the wrong called so is to be done: `sabotage!("ack-at-w1")`.
#[cfg(feature = "sabotage")]
#[macro_export]
macro_rules! sabotage {
    ($name:literal) => {
        $crate::sabotage::is_on($name)
    };
}

/// Whether the wrong called so is to be done; here never, and the name is dropped.
#[cfg(not(feature = "sabotage"))]
#[macro_export]
macro_rules! sabotage {
    ($name:literal) => {
        $crate::sabotage::never()
    };
}

/// What `sabotage!` stands for where no wrong is compiled in.
#[doc(hidden)]
#[inline]
#[must_use]
pub const fn never() -> bool {
    false
}

#[cfg(feature = "sabotage")]
pub use enabled::{done, is_on, set};

#[cfg(feature = "sabotage")]
mod enabled {
    use std::cell::{Cell, RefCell};

    thread_local! {
        static ON: RefCell<Option<String>> = const { RefCell::new(None) };
        static DONE: Cell<u64> = const { Cell::new(0) };
    }

    /// From now on the wrong called `name`, and no other, is done on this thread.
    pub fn set(name: Option<&str>) {
        ON.with_borrow_mut(|on| *on = name.map(str::to_owned));
        DONE.set(0);
    }

    /// How often this thread came past the place of the wrong that is on: without that a run
    /// says nothing about it.
    #[must_use]
    pub fn done() -> u64 {
        DONE.get()
    }

    #[doc(hidden)]
    #[must_use]
    pub fn is_on(name: &'static str) -> bool {
        let is_on = ON.with_borrow(|on| on.as_deref() == Some(name));
        if is_on {
            DONE.set(DONE.get() + 1);
        }
        is_on
    }
}

#[cfg(all(test, feature = "sabotage"))]
mod tests {
    use super::*;

    fn is_done() -> bool {
        sabotage!("process-test")
    }

    #[test]
    fn a_wrong_is_done_where_it_was_switched_on_and_counted() {
        assert!(!is_done());
        set(Some("process-test"));
        assert!(is_done() && is_done());
        assert_eq!(done(), 2);
        let elsewhere = std::thread::spawn(is_done).join().unwrap();
        assert!(!elsewhere, "another thread has its own");
        set(Some("another"));
        assert!(!is_done());
        set(None);
        assert!(!is_done());
        assert_eq!(done(), 0);
    }
}
