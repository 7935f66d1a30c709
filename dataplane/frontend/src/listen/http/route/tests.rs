use super::*;

fn get(target: &str) -> Result<Route, Refusal> {
    Route::parse(&Method::GET, &target.parse().unwrap(), &HeaderMap::new())
}

fn post(target: &str, headers: &[(&'static str, &str)]) -> Result<Route, Refusal> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(*name, value.parse().unwrap());
    }
    Route::parse(&Method::POST, &target.parse().unwrap(), &map)
}

const UPLOAD: (&str, &str) = ("content-type", "application/x-git-upload-pack-request");

#[test]
fn gs_fe_02_all_addresses_of_a_repository_are_one() {
    for path in ["/ann/x", "/ann/x.git", "/git/ann/x.git", "/git/ann/x", "/%61nn/x%2Egit"] {
        let route = get(&format!("{path}/info/refs?service=git-upload-pack")).unwrap();
        assert_eq!(route.path.as_str(), "ann/x", "{path}");
        assert_eq!((route.program, route.phase), (Program::UploadPack, Phase::Advertise));
        let route = post(&format!("{path}/git-upload-pack"), &[UPLOAD]).unwrap();
        assert_eq!(route.path.as_str(), "ann/x", "{path}");
        assert_eq!((route.program, route.phase), (Program::UploadPack, Phase::Serve));
    }
    let route = get("https://elsewhere:1/ann/x/info/refs?a=b&service=git-receive-pack").unwrap();
    assert_eq!(route.program, Program::ReceivePack, "bad input 107: the authority is ignored");
}

#[test]
fn bad_input_104_tricks_in_the_path_lead_nowhere() {
    for path in [
        "/ann/..%2fx",
        "/ann/%2e%2e/x",
        "/ann%2fx",
        "/ann/x%00",
        "/ann/x%2500",
        "/ann/%252e%252e",
        "//ann/x",
        "/ann//x",
        "/ann/x/",
        "/ann/x;a=b",
        "/ann/%5cx",
        "/ann/%c0%ae",
        "/ann/%ff",
        "/ann/x%",
        "/ann/x%2",
        "/ann/x%zz",
        "/ann/./x",
        "/ann/..",
        "/ann/x%20",
        "/ann",
        "/",
        "/git/git/ann/x",
        "/a/ann/x",
        "/ann/x.git.git",
        "/ann/x.lock",
    ] {
        let target = format!("{path}/info/refs?service=git-upload-pack");
        let refusal = get(&target).unwrap_err();
        assert!(matches!(refusal, Refusal::NoRoute | Refusal::BadPath), "{path}: {refusal:?}");
    }
    let long = format!("/ann/{}/info/refs?service=git-upload-pack", "x".repeat(60_000));
    assert_eq!(get(&long), Err(Refusal::NoRoute));
}

#[test]
fn bad_input_105_names_that_look_like_routes_follow_the_rules() {
    let of = |target: &str| get(target).map(|route| route.path.as_str().to_owned());
    assert_eq!(of("/ann/info/info/refs?service=git-upload-pack"), Ok("ann/info".to_owned()));
    assert_eq!(of("/ann/info/refs?service=git-upload-pack"), Err(Refusal::NoRoute));
    assert_eq!(of("/ann/x.git/info/refs?service=git-upload-pack"), Ok("ann/x".to_owned()));
    for reserved in ["git", "api", "-", "system", "Metrics"] {
        let target = format!("/{reserved}/x/info/refs?service=git-upload-pack");
        assert_eq!(of(&target), Err(Refusal::NoRoute), "{reserved}");
    }
}

#[test]
fn bad_input_106_wrong_type_method_or_service() {
    assert_eq!(get("/ann/x/git-upload-pack"), Err(Refusal::Method { allow: "POST" }));
    let target = "/ann/x/info/refs?service=git-upload-pack";
    assert_eq!(post(target, &[]), Err(Refusal::Method { allow: "GET" }));
    assert_eq!(get("/ann/x/info/refs"), Err(Refusal::Dumb));
    assert_eq!(get("/ann/x/info/refs?service=git-upload-archive"), Err(Refusal::Service));
    let twice = "/ann/x/info/refs?service=git-upload-pack&service=git-receive-pack";
    assert_eq!(get(twice), Err(Refusal::Service));
    for file in ["HEAD", "objects/info/packs", "objects/pack/pack-1.pack", "description", ""] {
        assert_eq!(get(&format!("/ann/x/{file}")), Err(Refusal::NoRoute), "{file}");
    }
    let push = ("content-type", "application/x-git-receive-pack-request");
    for headers in [&[][..], &[push], &[("content-type", "text/plain")], &[UPLOAD, UPLOAD]] {
        assert_eq!(post("/ann/x/git-upload-pack", headers), Err(Refusal::MediaType));
    }
}

#[test]
fn bad_input_103_one_layer_of_gzip_and_no_other_coding() {
    let coding = |values: &[&str]| {
        let mut headers = vec![UPLOAD];
        headers.extend(values.iter().map(|value| ("content-encoding", *value)));
        post("/ann/x/git-upload-pack", &headers).map(|route| route.coding)
    };
    assert_eq!(coding(&[]), Ok(Coding::Plain));
    assert_eq!(coding(&["gzip"]), Ok(Coding::Gzip));
    assert_eq!(coding(&["X-GZIP"]), Ok(Coding::Gzip));
    assert_eq!(coding(&["identity"]), Ok(Coding::Plain));
    for other in [&["br"][..], &["gzip, gzip"], &["gzip", "gzip"], &["deflate"], &[""]] {
        assert_eq!(coding(other), Err(Refusal::Coding), "{other:?}");
    }
}

#[test]
fn bad_input_109_other_methods_are_refused() {
    let uri: Uri = "/ann/x/info/refs?service=git-upload-pack".parse().unwrap();
    for method in [Method::HEAD, Method::TRACE, Method::OPTIONS, Method::PUT, Method::DELETE] {
        let refusal = Route::parse(&method, &uri, &HeaderMap::new()).unwrap_err();
        assert_eq!(refusal, Refusal::Method { allow: "GET" }, "{method}");
    }
}
