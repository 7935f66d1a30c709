use super::link::Link;
use super::{CommitDate, Generation};

/// What is known of a row while its ancestors are looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    New,
    Open,
    Done(Generation),
}

/// The generation of every row, parents first, without recursion: histories are
/// longer than a stack. `links` has the parents of each row.
pub(super) fn generations(dates: &[CommitDate], links: &[Vec<Link>]) -> Vec<Generation> {
    let mut states = vec![State::New; dates.len()];
    let mut path: Vec<(usize, usize)> = Vec::new();
    for start in 0..dates.len() {
        path.push((start, 0));
        while let Some((row, next_parent)) = path.pop() {
            if let State::Done(_) = states[row] {
                continue;
            }
            states[row] = State::Open;
            let ahead = links[row][next_parent..].iter().position(|link| is_new(&states, *link));
            if let Some(ahead) = ahead {
                path.push((row, next_parent + ahead + 1));
                path.push((parent_row(links[row][next_parent + ahead]), 0));
            } else {
                let parents = links[row].iter().map(|link| known(&states, *link));
                states[row] = State::Done(Generation::of(dates[row], parents));
            }
        }
    }
    states.into_iter().map(generation).collect()
}

fn is_new(states: &[State], link: Link) -> bool {
    matches!(link, Link::Row(row) if states[row as usize] == State::New)
}

/// Row of a link that [`is_new`] found to be one.
fn parent_row(link: Link) -> usize {
    let (Link::Row(number) | Link::Outside(number)) = link;
    number as usize
}

fn known(states: &[State], link: Link) -> Generation {
    match link {
        Link::Row(row) => generation(states[row as usize]),
        Link::Outside(_) => Generation::UNKNOWN,
    }
}

/// A row that is still open here is its own ancestor, which hashes rule out.
const fn generation(state: State) -> Generation {
    match state {
        State::Done(generation) => generation,
        State::New | State::Open => Generation::UNKNOWN,
    }
}
