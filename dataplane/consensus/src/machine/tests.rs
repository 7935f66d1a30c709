use std::collections::BTreeMap;

use gitstratum_store::{Durability, Engine, MemoryEngine};
use proptest::prelude::*;

use super::*;
use crate::id::GroupId;
use crate::meta;

/// What a machine may do to a row, and the rows it may look at.
#[derive(Clone, Debug)]
enum Step {
    Put(u8, u8),
    Delete(u8),
    DeletePrefix(u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0..8u8, any::<u8>()).prop_map(|(key, value)| Step::Put(key, value)),
        (0..8u8).prop_map(Step::Delete),
        (0..8u8).prop_map(Step::DeletePrefix),
    ];
    proptest::collection::vec(step, 0..12)
}

fn take(writer: &mut StateWriter<'_>, model: &mut BTreeMap<Bytes, Bytes>, step: &Step) {
    match step {
        Step::Put(key, value) => {
            writer.put(vec![*key], vec![*value]);
            model.insert(vec![*key].into(), vec![*value].into());
        }
        Step::Delete(key) => {
            writer.delete(vec![*key]);
            model.remove(&[*key][..]);
        }
        Step::DeletePrefix(key) => {
            writer.delete_prefix(vec![*key]).unwrap();
            model.retain(|row, _| row[0] != *key);
        }
    }
}

proptest! {
    /// Two groups and generations share the engine; `stored` steps are in it already,
    /// `pending` ones are not: a machine must not see a difference.
    #[test]
    fn a_machine_sees_its_own_rows_and_writes_and_no_others(
        stored in steps(),
        pending in steps(),
        start in 0..9u8,
        end in 0..9u8,
        limit in 0..9usize,
    ) {
        let engine = MemoryEngine::new(&[meta::STATE]);
        let (group, generation) = (GroupId(7), 3);
        let prefix = meta::state_prefix(group, generation);
        let mut others = Batch::new();
        for other in [(GroupId(7), 2), (GroupId(7), 4), (GroupId(6), 3), (GroupId(8), 3)] {
            let place = super::place(&meta::state_prefix(other.0, other.1), &[4]);
            others.put(meta::STATE, place, "other");
        }
        engine.write(others, Durability::Buffered).unwrap();
        let mut model = BTreeMap::new();
        let mut changes = Changes::default();
        let state = || State::new(&*engine, prefix.clone());
        for step in &stored {
            take(&mut StateWriter::new(state(), &mut changes), &mut model, step);
        }
        let mut batch = Batch::new();
        write_changes(changes, &prefix, &mut batch);
        engine.write(batch, Durability::Buffered).unwrap();
        let mut changes = Changes::default();
        for step in &pending {
            take(&mut StateWriter::new(state(), &mut changes), &mut model, step);
        }
        let writer = StateWriter::new(state(), &mut changes);
        let range = KeyRange::between(vec![start], vec![end]);
        let expected: Vec<KeyValue> = model
            .iter()
            .filter(|(key, _)| range.contains(key))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        prop_assert_eq!(writer.last(&range).unwrap(), expected.last().cloned());
        let first: Vec<KeyValue> = expected.into_iter().take(limit).collect();
        prop_assert_eq!(writer.scan(&range, limit).unwrap(), first);
        for key in 0..8u8 {
            prop_assert_eq!(writer.get(&[key]).unwrap(), model.get(&[key][..]).cloned());
        }
        let all: Vec<KeyValue> = model.into_iter().collect();
        prop_assert_eq!(writer.scan(&KeyRange::all(), 100).unwrap(), all);
    }
}
