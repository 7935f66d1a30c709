use gitstratum_client::grpc;
use gitstratum_core::{NodeId, ProcessRole, SeededEntropy, Token};
use gitstratum_identity::{Credentials, NodeKey, Peer, PemFile, Service as Port};
use gitstratum_proto::control::v1::enrolment_client::EnrolmentClient;
use gitstratum_proto::control::v1::{
    AuditRequest, Certificate, EnrolRequest, EnrolResponse, RenewRequest, SigningRequest,
};
use tonic::{Code, Status};

use crate::world::{NODE, World};

fn requests(roles: &[&str]) -> (Vec<NodeKey>, Vec<SigningRequest>) {
    let keys: Vec<NodeKey> = roles.iter().map(|_| NodeKey::generate().expect("a key")).collect();
    let asked = keys.iter().zip(roles).map(|(key, role)| SigningRequest {
        role: (*role).to_owned(),
        request: key.signing_request().expect("a request").into(),
    });
    let asked = asked.collect();
    (keys, asked)
}

fn credentials(certificate: &Certificate, key: &NodeKey) -> Credentials {
    let key = key.pem();
    let certificate = PemFile { name: "node.crt", bytes: certificate.pem.as_bytes() };
    Credentials::load(&certificate, &PemFile { name: "node.key", bytes: key.as_bytes() })
        .expect("a certificate for the key")
}

impl World {
    /// As one that another voter has passed on: those without a certificate come in by a
    /// door that a network inside one process does not have.
    async fn enrol(
        &self,
        token: &Token,
        node: u64,
        requests: Vec<SigningRequest>,
    ) -> Result<EnrolResponse, Status> {
        let voter = Peer { cluster: self.cluster, role: ProcessRole::Control, node: NODE };
        let channel = grpc::channel(self.network.dialer(voter), NODE, Port::Control);
        let token = token.expose().to_owned();
        let asked = EnrolRequest { token, node, requests, bare_roles: Vec::new() };
        EnrolmentClient::new(channel).enrol(asked).await.map(tonic::Response::into_inner)
    }

    /// A new node that stores segments, which is up; its id.
    pub(crate) async fn add_object_node(&self) -> u64 {
        let (_, asked) = requests(&["agent", "object"]);
        let node = self.enrol(&self.join, 0, asked).await.expect("enrolled").node;
        self.register_as(NodeId(node), &["object"]).await;
        node
    }

    async fn audited(&self, action: &str) -> Vec<String> {
        let asked = AuditRequest { since_millis: 0, follow: false, after_index: 0 };
        let mut lines = self.admin().audit(asked).await.expect("for admins").into_inner();
        let mut found = Vec::new();
        while let Some(line) = lines.message().await.expect("a line") {
            if line.action == action {
                found.push(format!("{} {} {}", line.actor, line.subject, line.result));
            }
        }
        found
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn gs_cp_39_a_node_with_the_join_token_gets_certificates_and_an_audit_line() {
    let world = World::new().await;
    let (keys, asked) = requests(&["agent", "object"]);
    let enrolled = world.enrol(&world.join, 0, asked).await.expect("enrolled");
    assert_eq!(enrolled.cluster_id, world.cluster.0.to_vec());
    let node = NodeId(enrolled.node);
    for ((certificate, key), role) in
        enrolled.certificates.iter().zip(&keys).zip([ProcessRole::Agent, ProcessRole::Object])
    {
        let peer = Peer { cluster: world.cluster, role, node };
        assert_eq!(credentials(certificate, key).peer(), peer);
    }
    let lines = world.audited("node.enrol").await;
    assert_eq!(lines, ["joiner new object ok"]);
}

/// An empty disk that counted from 1 would be refused as older for as many starts (S23).
#[tokio::test(flavor = "multi_thread")]
async fn s23_who_enrols_again_is_told_how_often_the_node_has_started() {
    let world = World::new().await;
    let enrol = async |node| {
        let (_, asked) = requests(&["agent", "frontend", "metadata", "object"]);
        world.enrol(&world.join, node, asked).await.expect("enrolled")
    };
    assert_eq!(enrol(0).await.incarnation, 0, "a new node");
    world.register(5).await.expect("registered");
    assert_eq!(enrol(NODE.0).await.incarnation, 5);
    assert!(world.register(1).await.is_err(), "older than what is known");
    world.register(6).await.expect("registered");
}

#[tokio::test(flavor = "multi_thread")]
async fn p_s6_without_the_join_token_nobody_enrols_and_the_refusal_has_its_line() {
    let world = World::new().await;
    let stranger = Token::generate(&*SeededEntropy::new(77));
    let before = world.admin().get_cluster_state(()).await.expect("a state").into_inner();
    for token in [&stranger, &world.admin] {
        let (_, asked) = requests(&["agent", "object"]);
        let began = tokio::time::Instant::now();
        let refused = world.enrol(token, NODE.0, asked).await.expect_err("not the token");
        assert_eq!(refused.code(), Code::Unauthenticated);
        assert!(!refused.message().contains("gst_"), "{refused}");
        assert!(began.elapsed().as_millis() >= 900, "who guesses waits");
    }
    let after = world.admin().get_cluster_state(()).await.expect("a state").into_inner();
    assert_eq!(after.nodes.len(), before.nodes.len());
    let lines = world.audited("node.enrol").await;
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].ends_with("denied: join token is not the cluster's"), "{lines:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn gs_cp_39_a_join_token_that_was_replaced_lets_nobody_in_any_more() {
    let world = World::new().await;
    let stranger = world.administration(None).rotate_join_token(()).await.expect_err("no token");
    assert_eq!(stranger.code(), Code::Unauthenticated);
    let admin = world.administration(Some(world.admin.expose()));
    let new = admin.clone().rotate_join_token(()).await.expect("for admins").into_inner();
    let new = Token::parse(&new.token).expect("a token");
    let (_, asked) = requests(&["agent", "object"]);
    let refused = world.enrol(&world.join, 0, asked.clone()).await.expect_err("the old one");
    assert_eq!(refused.code(), Code::Unauthenticated);
    world.enrol(&new, 0, asked).await.expect("the new one");
    let lines = world.audited("join-token.set").await;
    let id = gitstratum_core::encode_hex(&new.hash()[..8]);
    assert_eq!(lines.last(), Some(&format!("admin {id} ok")), "{lines:?}");
    assert!(lines.iter().all(|line| !line.contains(new.expose())), "{lines:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_161_an_enrolment_that_is_none_draws_no_id() {
    let world = World::new().await;
    let nodes =
        async || world.admin().get_cluster_state(()).await.unwrap().into_inner().nodes.len();
    let before = nodes().await;
    let (_, good) = requests(&["agent", "object"]);
    let with = |request: &[u8]| {
        let request = request.to_vec().into();
        vec![good[0].clone(), SigningRequest { role: "object".to_owned(), request }]
    };
    let (_, control) = requests(&["agent", "control"]);
    let (_, twice) = requests(&["agent", "object", "object"]);
    let wrong = [
        Vec::new(),
        vec![good[1].clone()],
        control,
        twice,
        with(b""),
        with(&[0x30; 300]),
        with(&vec![0; 100_000]),
    ];
    for asked in wrong {
        let refused = world.enrol(&world.join, 0, asked).await.expect_err("wrong");
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
    }
    assert_eq!(nodes().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn s46_an_agent_renews_for_its_own_node_and_roles_by_its_certificate() {
    let world = World::new().await;
    let (keys, asked) = requests(&["agent", "frontend"]);
    let renew = |node, requests| RenewRequest { node, requests };
    let renewed = world.agent().renew(renew(NODE.0, asked)).await.expect("renewed").into_inner();
    assert_eq!(credentials(&renewed.certificates[1], &keys[1]).peer().node, NODE);

    let (_, asked) = requests(&["agent"]);
    let other = world.agent().renew(renew(NODE.0 + 1, asked.clone())).await;
    assert_eq!(other.expect_err("another node").code(), Code::PermissionDenied);
    let frontend = world.fleet(ProcessRole::Frontend, NODE).renew(renew(NODE.0, asked)).await;
    assert_eq!(frontend.expect_err("not the agent").code(), Code::PermissionDenied);
    let (_, asked) = requests(&["agent", "object"]);
    let enrolled = world.enrol(&world.join, 0, asked).await.expect("enrolled");
    let mut newcomer = world.fleet(ProcessRole::Agent, NodeId(enrolled.node));
    let (_, more) = requests(&["agent", "metadata"]);
    let more = newcomer.renew(renew(enrolled.node, more)).await;
    assert_eq!(more.expect_err("a role more").code(), Code::InvalidArgument);
    let mut unknown = world.fleet(ProcessRole::Agent, NodeId(999));
    let (_, asked) = requests(&["agent"]);
    let unknown = unknown.renew(renew(999, asked)).await.expect_err("unknown");
    assert_eq!(unknown.code(), Code::PermissionDenied);
}
