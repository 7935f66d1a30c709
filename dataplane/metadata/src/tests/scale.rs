use std::time::Instant;
use super::rig::*;
use gitstratum_proto::metadata::v1::GetRefsRequest;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::disallowed_methods, reason = "ad hoc")]
async fn zz_scale() {
    let rig = Rig::start_rocks().await;
    let session = rig.open_session().await;
    let t = Instant::now();
    for n in 1..=5u64 {
        let t = Instant::now();
        rig.push(push(session, n, vec![command(&format!("refs/heads/s{n}"), 0, 1)])).await;
        eprintln!("small push {:?}", t.elapsed());
    }
    let batches: u64 = 100;
    for b in 0..batches {
        let commands = (0..10_000).map(|n| command(&format!("refs/tags/release-{b:03}-{n:05}"), 0, 1)).collect();
        rig.push(UpdateRefsRequestExt::from(push(session, (b % 200) + 10, commands)).0).await;
    }
    eprintln!("filled in {:?}", t.elapsed());
    let t = Instant::now();
    let n: usize = rig.get(listing(ANN)).await.unwrap().iter().map(|a| a.refs.len()).sum();
    eprintln!("first listing {n} {:?}", t.elapsed());
    let t = Instant::now();
    let n: usize = rig.get(listing(ANN)).await.unwrap().iter().map(|a| a.refs.len()).sum();
    eprintln!("second listing {n} {:?}", t.elapsed());
    for n in 200..=205u64 {
        let t = Instant::now();
        rig.push(push(session, n, vec![command(&format!("refs/heads/l{n}"), 0, 1)])).await;
        eprintln!("push {:?}", t.elapsed());
        let t = Instant::now();
        rig.push(bare(session, n + 20, vec![command(&format!("refs/heads/m{n}"), 0, 1)])).await;
        eprintln!("push with a view {:?}", t.elapsed());
        let t = Instant::now();
        let p = GetRefsRequest { prefixes: vec![bytes::Bytes::from_static(b"refs/heads/")], ..listing(ANN) };
        let k: usize = rig.get(p).await.unwrap().iter().map(|a| a.refs.len()).sum();
        eprintln!("prefix {k} {:?}", t.elapsed());
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    eprintln!("{}", status.lines().filter(|l| l.starts_with("VmRSS") || l.starts_with("VmHWM")).collect::<String>());
}
struct UpdateRefsRequestExt(gitstratum_proto::metadata::v1::UpdateRefsRequest);
impl From<gitstratum_proto::metadata::v1::UpdateRefsRequest> for UpdateRefsRequestExt { fn from(r: gitstratum_proto::metadata::v1::UpdateRefsRequest) -> Self { Self(r) } }
