use gitstratum_core::ManualClock;
use gitstratum_store::MemoryFiles;
use proptest::prelude::*;

use super::*;

const DIRECTORY: &str = "/agent";
const BEGIN: UnixMillis = UnixMillis(1_700_000_000_000);

fn seconds(number: u64) -> Duration {
    Duration::from_secs(number)
}

fn disk() -> Arc<MemoryFiles> {
    let files = MemoryFiles::new();
    files.create_directory(Path::new(DIRECTORY)).unwrap();
    files.sync_directory(Path::new("/")).unwrap();
    files
}

fn open(files: &Arc<MemoryFiles>, clock: &Arc<ManualClock>) -> Silence {
    let clock: Arc<dyn Clock> = Arc::<ManualClock>::clone(clock);
    Silence::open(files.clone(), Path::new(DIRECTORY), clock).unwrap()
}

/// A process begins its monotonic time anew, the wall goes on.
fn next_start(clock: &ManualClock, down: Duration) -> Arc<ManualClock> {
    clock.advance(down);
    ManualClock::new(clock.wall())
}

#[test]
fn s46_silence_survives_a_restart_of_the_agent() {
    let files = disk();
    let clock = ManualClock::new(BEGIN);
    let silence = open(&files, &clock);
    assert_eq!(silence.lasted(), Duration::ZERO, "a new node has missed nothing");
    silence.heard();
    clock.advance(seconds(1_000));
    assert_eq!(silence.lasted(), seconds(1_000));
    silence.keep().unwrap();
    files.crash();
    let clock = next_start(&clock, seconds(500));
    let silence = open(&files, &clock);
    assert_eq!(silence.lasted(), seconds(1_500), "nobody listened in between");
    clock.advance(seconds(100));
    silence.keep().unwrap();
    let silence = open(&files, &next_start(&clock, Duration::ZERO));
    assert_eq!(silence.lasted(), seconds(1_600));
    silence.heard();
    assert_eq!(silence.lasted(), Duration::ZERO);
}

#[test]
fn s46_a_clock_set_back_makes_no_silence_shorter() {
    let files = disk();
    let clock = ManualClock::new(BEGIN);
    let silence = open(&files, &clock);
    clock.advance(seconds(3_000));
    silence.keep().unwrap();
    clock.set_wall(UnixMillis(0));
    assert_eq!(silence.lasted(), seconds(3_000), "while it runs it does not look at the wall");
    assert_eq!(open(&files, &next_start(&clock, seconds(9))).lasted(), seconds(3_000));
}

#[test]
fn s46_a_damaged_count_is_past_any_grace_until_the_control_plane_is_heard() {
    let files = disk();
    let clock = ManualClock::new(BEGIN);
    open(&files, &clock).keep().unwrap();
    let path = Path::new(DIRECTORY).join(FILE);
    let sound = read_whole(files.as_ref(), &path, BYTES_MAX).unwrap().to_vec();
    let write = |bytes: &[u8]| {
        write_atomically(files.as_ref(), &path, bytes, Permissions::Private).unwrap();
    };
    for place in (0..sound.len()).filter(|place| *place != 7) {
        let mut damaged = sound.clone();
        damaged[place] ^= 1;
        write(&damaged);
        let silence = open(&files, &clock);
        clock.advance(seconds(1));
        assert_eq!(silence.lasted(), Duration::MAX, "byte {place}");
        silence.heard();
        assert_eq!(silence.lasted(), Duration::ZERO);
    }
    write(&sound[..20]);
    assert_eq!(open(&files, &clock).lasted(), Duration::MAX);
    let mut newer = sound;
    newer[7] = 2;
    write(&newer);
    let opened = Silence::open(files.clone(), Path::new(DIRECTORY), clock);
    assert!(matches!(opened.err(), Some(Error::NewerFormat { found: 2, .. })));
}

#[test]
fn s49_the_page_shows_the_silence_as_it_is() {
    const PAGE: &str = include_str!("../../../../docs/formats/agent-snapshot.md");
    let record = Record { lasted: seconds(90), wall: BEGIN };
    let hex = gitstratum_core::encode_hex(&codec::encode(&record));
    assert!(PAGE.contains(&hex), "the page lacks\n{hex}");
    assert_eq!(codec::decode(&codec::encode(&record)), Ok(record));
}

#[derive(Clone, Debug)]
enum Step {
    Pass(u64),
    Hear,
    Keep,
    Restart { down: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0u64..4_000).prop_map(Step::Pass),
        Just(Step::Hear),
        Just(Step::Keep),
        (0u64..4_000).prop_map(|down| Step::Restart { down }),
    ]
}

proptest! {
    /// Whatever happens, the count is never below the truth, and it is the truth when it
    /// was kept since the control plane was heard.
    #[test]
    fn s46_the_count_is_never_below_the_silence(steps in prop::collection::vec(step(), 1..60)) {
        let files = disk();
        let mut clock = ManualClock::new(BEGIN);
        let mut silence = open(&files, &clock);
        silence.keep().unwrap();
        let (mut truth, mut is_exact, mut is_kept) = (0, true, true);
        for step in steps {
            match step {
                Step::Pass(span) => {
                    clock.advance(seconds(span));
                    truth += span;
                }
                Step::Hear => {
                    silence.heard();
                    (truth, is_exact, is_kept) = (0, true, false);
                }
                Step::Keep => {
                    silence.keep().unwrap();
                    is_kept = true;
                }
                Step::Restart { down } => {
                    files.crash();
                    clock = next_start(&clock, seconds(down));
                    silence = open(&files, &clock);
                    truth += down;
                    is_exact &= is_kept;
                }
            }
            prop_assert!(silence.lasted() >= seconds(truth));
            prop_assert!(!is_exact || silence.lasted() == seconds(truth));
        }
    }
}
