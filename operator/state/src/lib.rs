//! Pure state of the control plane: commands, apply, snapshot.
