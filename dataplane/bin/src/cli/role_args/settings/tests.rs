use super::*;

const WHOLE: &str = "\
version: 1
directory: /srv/node
join:
  tokenFile: /etc/join.token
  control: [cp-0.cp:9090, 10.0.0.1:9090]
listen:
  object: 0.0.0.0:9110
  bulk: 127.0.0.1:7
advertise: 10.0.0.4
zone: a
scrubEvery: 60
offlineGrace: 5
";

fn object(text: &str) -> Result<RoleSettings, String> {
    parse(text, ProcessRole::Object).map_err(|error| format!("{error:#}"))
}

#[test]
fn gs_cp_49_a_whole_file_is_read() {
    let settings = object(WHOLE).unwrap();
    assert_eq!(settings.doors.len(), 2);
    let at = |text: &str| text.parse::<SocketAddr>().unwrap();
    assert_eq!(settings.listen[&Service::Bulk], at("127.0.0.1:7"));
    assert_eq!(settings.shown[&Service::Bulk], at("10.0.0.4:7"));
    assert_eq!(settings.shown[&Service::Object], at("10.0.0.4:9110"));
    assert_eq!(settings.metrics, at("127.0.0.1:9464"));
    assert_eq!((settings.zone.as_str(), settings.scrub_every), ("a", 60));
    assert_eq!(settings.offline_grace, Some(Duration::from_secs(5)));
}

#[test]
fn a_control_plane_has_the_authority_and_no_segments() {
    let control =
        |text: &str| parse(text, ProcessRole::Control).map_err(|error| format!("{error:#}"));
    let text = WHOLE.replace("  object: 0.0.0.0:9110\n  bulk: 127.0.0.1:7\n", "");
    let text = text.replace("listen:\n", "");
    let without = text.replace("scrubEvery: 60\n", "");
    assert!(control(&without).unwrap_err().contains("`authority` is missing"));
    let text = text + "authority:\n  certificateFile: /ca.crt\n  keyFile: /ca.key\n";
    assert!(control(&text).unwrap_err().contains("`scrubEvery` is for role object"));
    let settings = control(&text.replace("scrubEvery: 60\n", "")).unwrap();
    let shown = &settings.shown[&Service::ControlRaft];
    assert_eq!(shown.to_string(), "10.0.0.4:8080");
}

#[test]
fn gs_cp_49_a_metadata_node_shows_where_it_is_called_and_where_its_voters_are() {
    let text = WHOLE.replace("  object: 0.0.0.0:9110\n  bulk: 127.0.0.1:7\n", "");
    let text = text.replace("listen:\n", "listen:\n  metadata-raft: 0.0.0.0:7\n");
    let metadata =
        |text: &str| parse(text, ProcessRole::Metadata).map_err(|error| format!("{error:#}"));
    assert!(metadata(&text).unwrap_err().contains("`scrubEvery` is for role object"));
    let settings = metadata(&text.replace("scrubEvery: 60\n", "")).unwrap();
    let shown = |service: Service| settings.shown[&service].to_string();
    assert_eq!(shown(Service::Metadata), "10.0.0.4:9100");
    assert_eq!(shown(Service::MetadataRaft), "10.0.0.4:7");
}

#[test]
fn gs_fe_20_a_frontend_serves_no_tokens_in_clear_unless_it_was_said() {
    let frontend = |more: &str| {
        let text = "version: 1\ndirectory: /srv\njoin: {tokenFile: /t, control: ['c:1']}\n";
        let text = format!("{text}sshHostKeyFile: /k\n{more}");
        parse(&text, ProcessRole::Frontend).map_err(|error| format!("{error:#}"))
    };
    let settings = frontend("").unwrap();
    let served = settings.frontend.unwrap();
    assert_eq!((served.http, served.https, served.ssh.port()), (None, None, 2_222));
    assert!(settings.listen.is_empty());
    for (more, why) in [
        ("listen: {http: '0.0.0.0:80'}", "in clear"),
        ("listen: {https: '0.0.0.0:443'}", "needs `tls`"),
        ("tls: {certificateFile: a, keyFile: b}", "is for `listen.https`"),
        ("listen: {bulk: '0.0.0.0:1'}", "`listen.bulk` is no service"),
        ("authority: {certificateFile: a, keyFile: b}", "for role control alone"),
        ("advertise: 10.0.0.4", "`advertise` is not for role frontend"),
    ] {
        let error = frontend(more).expect_err(why);
        assert!(error.contains(why), "{more}: {error}");
    }
    let open = frontend("listen: {http: '0.0.0.0:80'}\ninsecureHttp: true\n").unwrap();
    assert!(open.frontend.unwrap().http.is_some());
}

#[test]
fn what_is_wrong_is_refused_by_the_name_of_its_field() {
    for (from, to, why) in [
        ("version: 1", "version: 2", "`version` is 2"),
        ("zone: a", "zoen: a", "zoen"),
        ("  tokenFile", "  token", "token"),
        ("directory: /srv/node\n", "", "directory"),
        ("  bulk:", "  metadata:", "`listen.metadata` is no service"),
        ("127.0.0.1:7", "127.0.0.1:0", "`listen.bulk` has port 0"),
        ("127.0.0.1:7", "0.0.0.0:9110", "`listen.bulk` is another's too"),
        ("127.0.0.1:7", "here", "`listen.bulk` is not IP:PORT"),
        ("advertise: 10.0.0.4\n", "", "`advertise` is missing"),
        ("[cp-0.cp:9090, 10.0.0.1:9090]", "[]", "names no control plane"),
        ("10.0.0.1:9090", "10.0.0.1", "which is not HOST:PORT"),
        ("scrubEvery: 60", "scrubEvery: 0", "`scrubEvery` is 0"),
        (
            "zone: a",
            "authority: {certificateFile: a, keyFile: b}",
            "`authority` is for role control alone",
        ),
    ] {
        let text = WHOLE.replacen(from, to, 1);
        assert_ne!(text, WHOLE, "{from}");
        let error = object(&text).expect_err(why);
        assert!(error.contains(why), "{to}: {error}");
    }
}
