use futures::FutureExt as _;
use gitstratum_core::{ClusterId, ProcessRole};
use gitstratum_identity::{LocalNetwork, Peer};
use gitstratum_process::{Drain, spawn};

use super::*;

const CLUSTER: ClusterId = ClusterId([1; 16]);
const ASKING: NodeId = NodeId(1);
const ASKED: NodeId = NodeId(2);

#[tokio::test]
async fn a_message_reaches_the_voter_under_the_senders_name_and_its_answer_comes_back() {
    let network = LocalNetwork::new();
    let (_trigger, drain) = Drain::new();
    let listener = network.listen(ASKED, Service::MetadataRaft, 10, drain.clone()).unwrap();
    let receive: Arc<Receive> = Arc::new(|sender: NodeId, message: Bytes| {
        let answer = match message.first() {
            Some(0) => Err("it is not understood".to_owned()),
            _ => Ok(Bytes::from(format!("{sender} sent {}", message.len()))),
        };
        async move { answer }.boxed()
    });
    let served = grpc::serve(listener, ProcessRole::Metadata, routes(receive), drain);
    let _serving = spawn("voter", served);
    let peer = Peer { cluster: CLUSTER, role: ProcessRole::Metadata, node: ASKING };
    let voters = Voters::new(network.dialer(peer), Service::MetadataRaft);
    for length in [1, LARGE_BYTES + 1, 16 << 20] {
        let answer = voters.send(ASKED, Bytes::from(vec![7; length])).await.unwrap();
        assert_eq!(answer, format!("{ASKING} sent {length}"));
    }
    assert_eq!(voters.lanes.lock().len(), 2, "large messages have a connection of their own");
    let refused = voters.send(ASKED, Bytes::from_static(&[0])).await.unwrap_err();
    assert_eq!(refused.to_string(), format!("voter on node {ASKED}: it is not understood"));
    let nobody = voters.send(NodeId(3), Bytes::new()).await.unwrap_err();
    assert_eq!(nobody.kind(), ErrorKind::Unavailable);
}
