use super::ENTRIES_BYTES_MAX;
use crate::pack::{PACK_HEADER_LEN, Resolved};
use crate::part::{self, Placement, Portion};

/// What one segment will hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cut {
    /// Its entry bytes, by their offsets in the pack; none in a segment of parts.
    pub entries: std::ops::Range<u64>,
    /// Pieces of parts behind them.
    pub parts: Vec<Portion>,
}

/// Cuts a pack and its parts: the parts ride behind the last entries if they are small.
pub fn cut(resolved: &Resolved, parts: Vec<(part::Kind, bytes::Bytes)>) -> Vec<Cut> {
    let ends = resolved.iter().map(|object| object.offset + object.packed_len);
    let runs = cut_entries(ends, ENTRIES_BYTES_MAX as u64);
    let mut cuts: Vec<Cut> =
        runs.into_iter().map(|entries| Cut { entries, parts: Vec::new() }).collect();
    match (part::place(parts), cuts.last_mut()) {
        (Placement::Ride(portions), Some(last)) => last.parts = portions,
        (Placement::Ride(portions), None) => cuts.push(apart(portions)),
        (Placement::Apart(segments), _) => cuts.extend(segments.into_iter().map(apart)),
    }
    cuts
}

/// Parts that are written anew, for entries that are stored already.
pub fn cut_parts(parts: Vec<(part::Kind, bytes::Bytes)>) -> Vec<Cut> {
    part::place_apart(parts).into_iter().map(apart).collect()
}

fn apart(parts: Vec<Portion>) -> Cut {
    Cut { entries: 0..0, parts }
}

/// Runs of at most `max` bytes that end where an entry ends; an entry of more than `max`
/// bytes fills runs alone. `ends` are the ends of the entries, in order.
fn cut_entries(ends: impl Iterator<Item = u64>, max: u64) -> Vec<std::ops::Range<u64>> {
    let mut runs = Vec::new();
    let mut start = PACK_HEADER_LEN as u64;
    let mut border = start;
    for end in ends {
        if end - start > max && border > start {
            runs.push(start..border);
            start = border;
        }
        if end - start > max {
            while start < end {
                let stop = end.min(start + max);
                runs.push(start..stop);
                start = stop;
            }
        }
        border = end;
    }
    if border > start {
        runs.push(start..border);
    }
    runs
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn runs(lens: &[u64], max: u64) -> Vec<std::ops::Range<u64>> {
        let ends = lens.iter().scan(12, |end, len| {
            *end += len;
            Some(*end)
        });
        cut_entries(ends, max)
    }

    #[test]
    fn s1_a_segment_ends_at_an_entry_border_when_it_can() {
        assert_eq!(runs(&[4, 4, 4], 10), [12..20, 20..24]);
        assert_eq!(runs(&[5, 5, 5], 10), [12..22, 22..27]);
        assert_eq!(runs(&[], 10), []);
    }

    #[test]
    fn s1_a_larger_entry_fills_segments_alone() {
        assert_eq!(runs(&[3, 25, 3], 10), [12..15, 15..25, 25..35, 35..40, 40..43]);
        assert_eq!(runs(&[20], 10), [12..22, 22..32]);
        assert_eq!(runs(&[11, 1], 10), [12..22, 22..23, 23..24]);
    }

    proptest! {
        #[test]
        fn s1_segments_concatenated_are_the_pack(
            lens in proptest::collection::vec(1_u64..40, 0..60),
            max in 1_u64..50,
        ) {
            let runs = runs(&lens, max);
            let mut at = 12;
            for run in &runs {
                prop_assert_eq!(run.start, at);
                prop_assert!(run.end > run.start && run.end - run.start <= max);
                at = run.end;
            }
            prop_assert_eq!(at, 12 + lens.iter().sum::<u64>());
        }
    }
}
