use std::time::Duration;

use gitstratum_client::grpc;
use gitstratum_core::{ProcessRole, SeededEntropy, Token};
use gitstratum_identity::{Peer, Service};
use gitstratum_proto::control::v1::control_client::ControlClient;
use gitstratum_proto::control::v1::{
    CreateTokenRequest, CreateUserRequest, DeleteRepositoryRequest, GetRepositoryRequest,
    GetUserRequest, GrantRequest, ListGrantsRequest, ListRepositoriesRequest, ListTokensRequest,
    ListUsersRequest, RevokeTokenRequest, ValidateTokenRequest, ValidateTokenResponse,
};
use tonic::Code;

use crate::world::{NODE, World};

async fn token(world: &World, user: &str, scope: u32, lifetime_seconds: u64) -> (String, String) {
    let user = user.to_owned();
    let request = CreateTokenRequest { user, scope, repositories: Vec::new(), lifetime_seconds };
    let made = world.admin().create_token(request).await.expect("a token").into_inner();
    let record = made.record.expect("a record");
    assert!(record.hash.is_empty(), "the hash is for nodes");
    (made.token, record.id)
}

async fn user(world: &World, name: &str) -> String {
    let request = CreateUserRequest { name: name.to_owned(), email: String::new() };
    world.admin().create_user(request).await.expect("a user");
    token(world, name, 3, 0).await.0
}

async fn validate(world: &World, token: &str) -> ValidateTokenResponse {
    let request = ValidateTokenRequest { token: token.to_owned() };
    world.admin().validate_token(request).await.expect("an answer").into_inner()
}

/// GS-CP-32: who asks the control plane is known by a token.
#[tokio::test(flavor = "multi_thread")]
async fn gs_cp_06_bad_tokens_are_refused_and_counted() {
    let world = World::new().await;
    let (short_lived, _) = token(&world, "admin", 1, 60).await;
    let (revoked, id) = token(&world, "admin", 1, 0).await;
    assert!(validate(&world, &short_lived).await.valid);
    world.admin().revoke_token(RevokeTokenRequest { id }).await.expect("revoked");
    world.advance(Duration::from_secs(61));
    let unknown = Token::generate(&*SeededEntropy::new(99));
    let mut mistyped = unknown.expose().to_owned();
    mistyped.replace_range(10..11, if mistyped.as_bytes()[10] == b'x' { "y" } else { "x" });
    for (bad, label) in [
        (Some(short_lived.as_str()), "expired_token"),
        (Some(revoked.as_str()), "unknown_token"),
        (Some(unknown.expose()), "unknown_token"),
        (Some(mistyped.as_str()), "missing_token"),
        (None, "missing_token"),
    ] {
        let line = format!("gitstratum_control_auth_decisions_total{{result=\"{label}\"}}");
        let before = world.metric(&line).unwrap_or(0);
        let error = world.client(bad).who_am_i(()).await.expect_err("a bad token");
        assert_eq!(error.code(), Code::Unauthenticated, "{error}");
        assert!(!error.message().contains("gst_"));
        assert_eq!(world.metric(&line), Some(before + 1), "GS-MX-06 {label}");
        if let Some(bad) = bad {
            assert_eq!(validate(&world, bad).await, ValidateTokenResponse::default());
        }
    }
    assert!(world.metric("gitstratum_control_auth_decisions_total{result=\"allowed\"}") > Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn gs_cp_06_a_good_token_shows_its_user_and_scope() {
    let world = World::new().await;
    user(&world, "eva").await;
    let (good, _) = token(&world, "eva", 2, 60).await;
    let answer = validate(&world, &good).await;
    assert_eq!((answer.valid, answer.user.as_str(), answer.scope), (true, "eva", 2));
    assert!(answer.expires_millis > 0);
    let error = world
        .client(None)
        .validate_token(ValidateTokenRequest { token: good })
        .await
        .expect_err("nobody asks");
    assert_eq!(error.code(), Code::Unauthenticated);
}

#[tokio::test(flavor = "multi_thread")]
async fn p_s1_a_hidden_repository_looks_like_a_missing_one() {
    let world = World::new().await;
    let eva = user(&world, "eva").await;
    let show = |path: &str| {
        let mut client = world.client(Some(&eva));
        let request = GetRepositoryRequest { path: path.to_owned() };
        async move { client.get_repository(request).await.expect_err("hidden or missing") }
    };
    let (hidden, missing) = (show("demo/hello").await, show("demo/hallo").await);
    assert_eq!(hidden.code(), Code::NotFound);
    assert_eq!(hidden.code(), missing.code());
    assert_eq!(hidden.message().replace("hello", "hallo"), missing.message());
    let delete = DeleteRepositoryRequest { path: "demo/hello".to_owned() };
    let error = world.client(Some(&eva)).delete_repository(delete).await.expect_err("hidden");
    assert_eq!(error.code(), Code::NotFound);
    let mut client = world.client(Some(&eva));
    let listed = client.list_repositories(ListRepositoriesRequest::default());
    assert!(listed.await.expect("a list").into_inner().repositories.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn gs_cp_08_users_see_and_do_their_own() {
    let world = World::new().await;
    let eva = user(&world, "eva").await;
    user(&world, "adam").await;
    let mut client = world.client(Some(&eva));
    let adam = GetUserRequest { name: "adam".to_owned() };
    assert_eq!(client.get_user(adam).await.expect_err("hidden").code(), Code::NotFound);
    let own = GetUserRequest { name: "eva".to_owned() };
    assert_eq!(client.get_user(own).await.expect("their own").into_inner().name, "eva");
    let list = ListUsersRequest::default();
    let denied = client.list_users(list).await.expect_err("for cluster admins");
    assert_eq!(denied.code(), Code::PermissionDenied);
    let state = client.get_cluster_state(()).await.expect_err("for cluster admins");
    assert_eq!(state.code(), Code::PermissionDenied);
    let tokens = client.list_tokens(ListTokensRequest::default()).await.expect("their own");
    let tokens = tokens.into_inner().tokens;
    assert_eq!(tokens.len(), 1);
    assert!(tokens[0].hash.is_empty());
    let grant = GrantRequest {
        user: "eva".to_owned(),
        role: "read".to_owned(),
        subject: "demo/hello".to_owned(),
    };
    world.admin().grant(grant).await.expect("a grant");
    let grants = client.list_grants(ListGrantsRequest::default()).await.expect("their own");
    let grants = grants.into_inner().grants;
    assert_eq!((grants.len(), grants[0].role, grants[0].subject.as_str()), (1, 1, "demo/hello"));
    let of = ListGrantsRequest { subject: "demo/hello".to_owned() };
    let denied = client.list_grants(of).await.expect_err("for its admins");
    assert_eq!(denied.code(), Code::PermissionDenied);
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_come_in_pages() {
    let world = World::new().await;
    for number in 0..7 {
        user(&world, &format!("user{number}")).await;
    }
    let mut names = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListUsersRequest { page_size: 3, page_token: page_token.clone() };
        let page = world.admin().list_users(request).await.expect("a page").into_inner();
        assert!(page.users.len() <= 3);
        names.extend(page.users.into_iter().map(|user| user.name));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(names.len(), 8);
    assert!(names.is_sorted());
    let bad = ListRepositoriesRequest { page_token: "?".to_owned(), ..Default::default() };
    let error = world.admin().list_repositories(bad).await.expect_err("not ours");
    assert_eq!(error.code(), Code::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_are_no_people() {
    let world = World::new().await;
    let peer = Peer { cluster: world.cluster, role: ProcessRole::Frontend, node: NODE };
    let channel = grpc::channel(world.network.dialer(peer), NODE, Service::Control);
    let error = ControlClient::new(channel).who_am_i(()).await.expect_err("no token");
    assert_eq!(error.code(), Code::Unauthenticated);
}
