use gitstratum_store::MemoryFiles;

use super::*;

fn login(number: u64) -> FailedLogin {
    FailedLogin { request_id: format!("{number:016x}"), ..FailedLogin::default() }
}

fn told(numbers: std::ops::Range<u64>) -> LogAuditRequest {
    LogAuditRequest { failed_logins: numbers.map(login).collect(), ..Default::default() }
}

fn directory(files: &MemoryFiles) -> &'static Path {
    let directory = Path::new("/agent");
    files.create_directory(directory).unwrap();
    files.sync_directory(Path::new("/")).unwrap();
    directory
}

fn open(files: &Arc<MemoryFiles>) -> Spool {
    Spool::open(Arc::<MemoryFiles>::clone(files), Path::new("/agent")).unwrap()
}

#[test]
fn s41_what_was_taken_survives_a_power_cut_until_it_is_shipped() {
    let files = MemoryFiles::new();
    directory(&files);
    let spool = open(&files);
    spool.keep(told(0..3)).unwrap();
    spool.keep(LogAuditRequest { lost: 2, ..told(3..5) }).unwrap();
    files.crash();
    let spool = open(&files);
    assert_eq!(spool.next(), told(0..5), "how many were lost is not kept on disk");
    spool.shipped(&told(0..2)).unwrap();
    files.crash();
    assert_eq!(open(&files).next(), told(0..5), "told twice rather than never");
    let spool = open(&files);
    spool.shipped(&told(0..5)).unwrap();
    spool.keep(told(5..6)).unwrap();
    files.crash();
    assert_eq!(open(&files).next(), told(5..6));
}

#[test]
fn lines_that_nobody_will_ever_take_are_counted_as_lost() {
    let files = MemoryFiles::new();
    directory(&files);
    let spool = open(&files);
    spool.keep(LogAuditRequest { lost: 2, ..told(0..3) }).unwrap();
    let refused = spool.next();
    spool.lose(&refused);
    spool.shipped(&refused).unwrap();
    let number = LogAuditRequest { lost: 5, ..told(0..0) };
    assert_eq!(spool.next(), number);
    spool.lose(&number);
    spool.shipped(&number).unwrap();
    assert_eq!(spool.next(), told(0..0), "it is not asked for ever");
}

#[test]
fn s41_a_line_that_a_crash_tore_is_counted() {
    let files = MemoryFiles::new();
    let directory = directory(&files);
    open(&files).keep(told(0..2)).unwrap();
    let path = directory.join(FILE);
    let whole = read_whole(files.as_ref(), &path, BYTES_MAX).unwrap();
    let two = encode([login(0), login(1)].iter());
    assert_eq!(whole, two);
    for cut in 1..(two.len() - encode([login(0)].iter()).len()) {
        let torn = &two[..two.len() - cut];
        write_atomically(files.as_ref(), &path, torn, Permissions::Private).unwrap();
        let spool = open(&files);
        assert_eq!(spool.next(), LogAuditRequest { lost: 1, ..told(0..1) }, "cut {cut}");
        spool.keep(told(7..8)).unwrap();
        assert_eq!(open(&files).next().failed_logins, [login(0), login(7)], "cut {cut}");
    }
}

#[test]
fn damage_is_counted_and_a_newer_format_refused() {
    let files = MemoryFiles::new();
    let path = directory(&files).join(FILE);
    let mut bytes = encode([login(0), login(1)].iter()).to_vec();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    write_atomically(files.as_ref(), &path, &bytes, Permissions::Private).unwrap();
    assert_eq!(open(&files).next(), LogAuditRequest { lost: 1, ..told(0..1) });
    bytes[MAGIC.len()] = 9;
    write_atomically(files.as_ref(), &path, &bytes, Permissions::Private).unwrap();
    let opened = Spool::open(files, Path::new("/agent"));
    assert!(matches!(opened.err(), Some(Error::NewerFormat { found: 9, .. })));
}

#[test]
fn the_file_is_bounded_and_what_does_not_fit_is_counted() {
    let files = MemoryFiles::new();
    let path = directory(&files).join(FILE);
    let spool = open(&files);
    let wide = |suppressed| {
        let key_fingerprint = "x".repeat(100_000);
        FailedLogin { key_fingerprint, suppressed, ..FailedLogin::default() }
    };
    for _ in 0..50 {
        spool.keep(LogAuditRequest { failed_logins: vec![wide(1)], ..Default::default() }).unwrap();
    }
    let kept = spool.held.lock().waiting.len() as u64;
    assert_eq!(spool.next().lost, (50 - kept) * 2);
    assert!(files.metadata(&path).unwrap().unwrap().length <= BYTES_MAX);
    let first = LogAuditRequest { failed_logins: vec![wide(1); 12], ..Default::default() };
    spool.shipped(&first).unwrap();
    let now = files.metadata(&path).unwrap().unwrap().length;
    assert!(now < BYTES_MAX - SLACK_BYTES, "shipped lines leave the file: {now}");
}
