use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use gitstratum_core::{PackId, RepoId, Version};
use gitstratum_proto::common::v1::Pack;
use gitstratum_proto::metadata::v1::ClaimKind;

use super::entry::{Purge, PurgedPack, Swap};
use super::record::{ClaimRow, PlaceRow, RepositoryRow, RepositoryState, UnlistedRow};
use super::{Error, Scope, claim, keys, listing, owners, query, rows};

/// Answer to a swap.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SwapAnswer {
    /// Entry that did it; 0 when it was refused.
    #[prost(uint64, tag = "1")]
    pub version: u64,
    /// Why it was refused.
    #[prost(string, tag = "2")]
    pub refused: String,
}

/// A swap that may be made.
struct Fit {
    repository: RepositoryRow,
    claim: ClaimRow,
    inputs: Vec<PlaceRow>,
}

/// What is found out before anything is written: the entry of an earlier one that this repeats, or
/// why it is refused, or that it may be made.
enum Judged {
    Repeat(u64),
    Refused(String),
    Fit(Box<Fit>),
}

/// Lists the outputs in the place of the inputs, if all these are still listed and the claim is
/// open (S35).
pub(super) fn swap(scope: &mut Scope<'_>, mut swap: Swap) -> Result<SwapAnswer, Error> {
    match judge(scope, &mut swap)? {
        Judged::Repeat(version) => Ok(SwapAnswer { version, refused: String::new() }),
        Judged::Refused(refused) => Ok(SwapAnswer { version: 0, refused }),
        Judged::Fit(fit) => {
            carry_out(scope, swap, *fit)?;
            Ok(SwapAnswer { version: scope.index.0, refused: String::new() })
        }
    }
}

fn judge(scope: &Scope<'_>, swap: &mut Swap) -> Result<Judged, Error> {
    let refused = |why: &str| Ok(Judged::Refused(why.to_owned()));
    let repo = RepoId(swap.repo_id);
    let claim = query::claim(scope.rows, repo)?.filter(|row| row.number == swap.claim);
    let Some(claim) = claim else { return refused("the claim has ended") };
    if claim.closed {
        return match claim.swapped > 0 && claim.brought == ids(swap) {
            true => Ok(Judged::Repeat(claim.swapped)),
            false => refused("the claim has ended"),
        };
    }
    let purged = RepositoryState::Purged as u32;
    let repository = query::repository(scope.rows, repo)?.filter(|row| row.state != purged);
    let Some(repository) = repository else { return refused("repository not found") };
    if !swap.cruft.is_empty() && claim.kind != i32::from(ClaimKind::Drop) {
        return refused("only a drop run drops objects");
    }
    let Some(inputs) = inputs(scope, swap)? else {
        return refused("a pack is not listed any more");
    };
    if let Some(why) = check_new(scope, swap)? {
        return Ok(Judged::Refused(why));
    }
    Ok(Judged::Fit(Box::new(Fit { repository, claim, inputs })))
}

/// Where the inputs are; `None` when one of them is not in the repository's manifest.
fn inputs(scope: &Scope<'_>, swap: &Swap) -> Result<Option<Vec<PlaceRow>>, Error> {
    let distinct: BTreeSet<&Bytes> = swap.inputs.iter().collect();
    let mut places = Vec::with_capacity(distinct.len());
    for id in distinct {
        let Some(id) = PackId::from_slice(id) else { return Ok(None) };
        let place: Option<PlaceRow> = rows::find(scope.rows, "pack", &keys::pack(id))?;
        let place = place.filter(|place| place.repo_id == swap.repo_id && !place.unlisted);
        let Some(place) = place else { return Ok(None) };
        places.push(place);
    }
    Ok((!places.is_empty()).then_some(places))
}

/// Why one of the new packs cannot be taken, if so. Takes fenced nodes off their lists (S20).
fn check_new(scope: &Scope<'_>, swap: &mut Swap) -> Result<Option<String>, Error> {
    let (mut packs, mut seen) = (BTreeSet::new(), BTreeSet::new());
    let factor = swap.replication_factor;
    for pack in swap.outputs.iter_mut().chain(&mut swap.cruft) {
        let mut segments = pack.segments.iter().map(|segment| segment.segment_id.clone());
        if !packs.insert(pack.pack_id.clone()) || !segments.all(|id| seen.insert(id)) {
            return Ok(Some("an id is there twice".to_owned()));
        }
        if let Some(refused) = listing::check_ids(scope.rows, pack)? {
            return Ok(Some(refused.message));
        }
        if let Some(refused) = owners::admit(scope.rows, pack, factor)? {
            return Ok(Some(refused.message));
        }
    }
    Ok(None)
}

fn carry_out(scope: &mut Scope<'_>, swap: Swap, fit: Fit) -> Result<(), Error> {
    let Fit { mut repository, claim, inputs } = fit;
    let (repo, brought) = (RepoId(swap.repo_id), ids(&swap));
    for place in inputs {
        listing::unlist(scope, &mut repository, place)?;
    }
    let of_claim = |pack: Pack| Pack { session: 0, push_number: 0, claim: swap.claim, ..pack };
    for pack in swap.outputs {
        listing::list(scope, &mut repository, of_claim(pack), swap.replication_factor)?;
    }
    let kept_until = scope.log_time().after(Duration::from_millis(swap.cruft_window)).0;
    for pack in swap.cruft {
        let (pack, since) = (of_claim(pack), scope.index.0);
        let row = UnlistedRow { pack, since, cruft: true, kept_until };
        listing::keep_unlisted(scope, repo, row, swap.replication_factor)?;
    }
    repository.manifest_version = scope.index.0;
    repository.manifest_from = scope.index.0;
    rows::store(scope.rows, keys::repository(repo), &repository);
    claim::end(scope, repo, ClaimRow { swapped: scope.index.0, brought, ..claim })
}

/// Ids of what a swap brings.
fn ids(swap: &Swap) -> Vec<Bytes> {
    swap.outputs.iter().chain(&swap.cruft).map(|pack| pack.pack_id.clone()).collect()
}

/// Forgets those of the packs that may go: no session uses a version from before they went, and
/// their window has passed (S30, S37).
pub(super) fn purge(scope: &mut Scope<'_>, purge: &Purge) -> Result<(), Error> {
    purge.packs.iter().try_for_each(|pack| purge_one(scope, pack, Version(purge.horizon)))
}

fn purge_one(scope: &mut Scope<'_>, pack: &PurgedPack, horizon: Version) -> Result<(), Error> {
    let Some(id) = PackId::from_slice(&pack.pack_id) else { return Ok(()) };
    let (repo, listed) = (RepoId(pack.repo_id), Version(pack.listed));
    let key = keys::unlisted(repo, listed, id);
    let row: Option<UnlistedRow> = rows::find(scope.rows, "unlisted pack", &key)?;
    let now = scope.log_time();
    match row.filter(|row| row.may_go(horizon, now)) {
        Some(row) => listing::forget(scope, repo, &row),
        None => Ok(()),
    }
}
