//! The same over gRPC, as frontends and object nodes call it.

use gitstratum_client::cluster::Feed;
use gitstratum_client::grpc;
use gitstratum_client::metadata::Partitions;
use gitstratum_core::{ClusterId, ErrorKind, NodeId, ProcessRole};
use gitstratum_identity::{Peer, Service as Port};
use gitstratum_proto::metadata::v1 as wire;
use gitstratum_proto::metadata::v1::metadata_client::MetadataClient;

use super::rig::{ANN, EVE, MAIN, NODE, PARTITION, Rig, command, listing, push, verdicts};

fn peer(role: ProcessRole) -> Peer {
    Peer { cluster: ClusterId([7; 16]), role, node: NODE }
}

fn client(rig: &Rig, role: ProcessRole) -> MetadataClient<grpc::Channel> {
    MetadataClient::new(grpc::channel(rig.network.dialer(peer(role)), NODE, Port::Metadata))
}

fn partitions(rig: &Rig) -> Partitions {
    let feed: Feed = rig.publisher.feed();
    Partitions::new(rig.network.dialer(peer(ProcessRole::Frontend)), feed)
}

#[tokio::test]
async fn a_frontend_opens_a_session_pushes_and_reads_back() {
    let rig = Rig::start().await;
    let partitions = partitions(&rig);
    let open =
        wire::OpenSessionRequest { partition: PARTITION.0, frontend_node: NODE.0, incarnation: 1 };
    let session = partitions.open_session(PARTITION, open).await.unwrap().session;
    let renewal =
        wire::SessionRenewal { partition: PARTITION.0, session, ..wire::SessionRenewal::default() };
    let renew = wire::RenewSessionsRequest { renewals: vec![renewal] };
    let renewed = partitions.renew_sessions(PARTITION, renew).await.unwrap();
    assert!(renewed.states[0].open);
    let answer =
        partitions.update_refs(PARTITION, push(session, 1, vec![command(MAIN, 0, 1)])).await;
    assert_eq!(verdicts(&answer.unwrap()), [wire::Refusal::None]);
    let mut stream = partitions.get_refs(PARTITION, listing(ANN)).await.unwrap();
    let first = stream.message().await.unwrap().unwrap();
    assert_eq!(first.refs[0].name, MAIN);
    assert!(first.last && stream.message().await.unwrap().is_none());
    let close = wire::CloseSessionRequest { partition: PARTITION.0, session };
    partitions.close_session(PARTITION, close).await.unwrap();
}

#[tokio::test]
async fn bad_input_161_a_caller_of_the_wrong_role_is_refused() {
    let rig = Rig::start().await;
    for role in [ProcessRole::Object, ProcessRole::Metadata, ProcessRole::Agent] {
        let mut client = client(&rig, role);
        let refused = [
            client.get_refs(listing(ANN)).await.err(),
            client.update_refs(push(1, 1, vec![])).await.err(),
            client.open_session(wire::OpenSessionRequest::default()).await.err(),
            client.renew_sessions(wire::RenewSessionsRequest::default()).await.err(),
            client.close_session(wire::CloseSessionRequest::default()).await.err(),
            client.plan_fetch(wire::PlanFetchRequest::default()).await.err(),
        ];
        for status in refused {
            let status = status.expect("because the role may not call it");
            assert_eq!(grpc::kind(&status), ErrorKind::Denied, "{role}: {status}");
        }
    }
    let mut frontend = client(&rig, ProcessRole::Frontend);
    let shown = frontend.show_incarnation(wire::ShowIncarnationRequest::default()).await;
    assert_eq!(grpc::kind(&shown.unwrap_err()), ErrorKind::Denied);
    let other = wire::OpenSessionRequest { frontend_node: 9, ..Default::default() };
    let opened = frontend.open_session(other).await;
    assert_eq!(grpc::kind(&opened.unwrap_err()), ErrorKind::Denied);
}

#[tokio::test]
async fn kinds_and_texts_of_errors_survive_the_wire() {
    let rig = Rig::start().await;
    let mut client = client(&rig, ProcessRole::Frontend);
    let hidden = client.get_refs(listing(EVE)).await.unwrap_err();
    assert_eq!(
        (grpc::kind(&hidden), hidden.message()),
        (ErrorKind::NotFound, "repository not found")
    );
    let empty = client.get_refs(wire::GetRefsRequest::default()).await.unwrap_err();
    assert_eq!(grpc::kind(&empty), ErrorKind::Invalid);
}

#[tokio::test]
async fn tools_list_repositories_status_and_audit_lines() {
    let rig = Rig::start().await;
    let session = rig.open_session().await;
    rig.push(push(session, 1, vec![command(MAIN, 0, 1)])).await;
    let mut client = client(&rig, ProcessRole::Object);
    let list = wire::ListRepositoriesRequest { partition: PARTITION.0 };
    let mut records = client.list_repositories(list).await.unwrap().into_inner();
    let record = records.message().await.unwrap().unwrap();
    assert_eq!((record.repo_id, record.packs.len(), record.refs.len()), (1, 1, 0));
    assert!(records.message().await.unwrap().is_none());
    let audit = wire::AuditRequest { partition: PARTITION.0, after: 0 };
    let mut lines = client.audit(audit).await.unwrap().into_inner();
    assert_eq!(lines.message().await.unwrap().unwrap().action, "ref.create");
    assert!(lines.message().await.unwrap().is_none());
    let status = client.status(wire::StatusRequest::default()).await.unwrap().into_inner();
    assert_eq!((status.node, status.partitions.len()), (NODE.0, 2));
    assert_eq!(NodeId(status.partitions[0].leader), NODE);
    let incarnation = wire::ShowIncarnationRequest { partition: PARTITION.0, incarnation: 3 };
    client.show_incarnation(incarnation).await.unwrap();
    let key = wire::CheckRepositoryRequest { repo: Some(super::rig::repo_key()) };
    assert_eq!(client.check_repository(key).await.unwrap().into_inner().objects_checked, 1);
}
