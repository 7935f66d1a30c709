//! Where each crate stands, and so which others it may see. A new crate gets a row here.

/// A crate's place in the house.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Below the rooms; sees only foundation on a lower floor.
    Foundation(u8),
    /// Sees foundation, never another room.
    Room,
    /// Pure state of the control plane: sees `core` and `hashring` only.
    State,
    /// The Raft service: sees foundation and the state.
    ControlPlane,
    /// The library behind the user verbs: sees foundation.
    Ctl,
    /// Puts the processes together: sees foundation, rooms, control plane and verbs.
    Root,
    /// The whole cluster in one process: puts everything together, doubles too.
    Simulation,
    /// Tests of whole processes: may be seen by dev-dependencies only.
    EndToEnd,
    /// A tool that stands alone: sees nothing of ours.
    Tool,
}

const PLACES: &[(&str, Place)] = &[
    ("gitstratum-core", Place::Foundation(0)),
    ("gitstratum-proto", Place::Foundation(1)),
    ("gitstratum-hashring", Place::Foundation(1)),
    ("gitstratum-git", Place::Foundation(1)),
    ("gitstratum-process", Place::Foundation(1)),
    ("gitstratum-identity", Place::Foundation(2)),
    ("gitstratum-store", Place::Foundation(3)),
    ("gitstratum-client", Place::Foundation(3)),
    ("gitstratum-consensus", Place::Foundation(4)),
    ("gitstratum-frontend", Place::Room),
    ("gitstratum-metadata", Place::Room),
    ("gitstratum-object", Place::Room),
    ("gitstratum-agent", Place::Room),
    ("gitstratum-state", Place::State),
    ("gitstratum-control-plane", Place::ControlPlane),
    ("gitstratum-ctl", Place::Ctl),
    ("gitstratum", Place::Root),
    ("gitstratum-sim", Place::Simulation),
    ("gitstratum-e2e", Place::EndToEnd),
    ("lossyfs", Place::Tool),
    ("xtask", Place::Tool),
];

/// Crates that know no async runtime, not even through others.
pub(crate) const WITHOUT_RUNTIME: &[&str] =
    &["gitstratum-core", "gitstratum-hashring", "gitstratum-git", "gitstratum-state"];

/// The place of the crate called `name`.
pub(crate) fn place(name: &str) -> Option<Place> {
    PLACES.iter().find(|(known, _)| *known == name).map(|(_, place)| *place)
}

/// Whether a crate at `from` may see the crate called `name` at `to`.
pub(crate) fn may_see(from: Place, name: &str, to: Place) -> bool {
    match (from, to) {
        (Place::Foundation(floor), Place::Foundation(below)) => below < floor,
        (Place::State, Place::Foundation(_)) => {
            name == "gitstratum-core" || name == "gitstratum-hashring"
        }
        (
            Place::Room
            | Place::ControlPlane
            | Place::Ctl
            | Place::Root
            | Place::Simulation
            | Place::EndToEnd,
            Place::Foundation(_),
        )
        | (Place::ControlPlane, Place::State)
        | (Place::Root | Place::Simulation, Place::Room | Place::ControlPlane | Place::Ctl)
        | (Place::EndToEnd, Place::Tool) => true,
        _ => false,
    }
}

/// Whether a dev-dependency may name the crate at `to`, whoever asks.
pub(crate) fn is_for_tests(to: Place) -> bool {
    matches!(to, Place::EndToEnd | Place::Tool)
}
