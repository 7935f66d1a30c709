//! RocksDB as a handful of large translation units: a tenth of the work of compiling its
//! files one by one, because its headers are read a few times instead of 340 times.

/// How many units the sources are dealt out to. More would read the headers more often, fewer
/// would leave cores idle.
const UNITS: usize = 4;

/// Part of the cache's key: raise it when what is compiled changes in a way no flag shows.
pub(crate) const RECIPE: u32 = 1;

/// One file to compile.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unit {
    pub(crate) name: String,
    pub(crate) text: String,
}

/// Deals the sources out, one path a line in `list` as librocksdb-sys ships it.
/// `build_version.cc` lies beside the list, not in RocksDB's tree, and gets a unit of its own.
pub(crate) fn units(list: &str) -> Vec<Unit> {
    let mut texts = vec![String::new(); UNITS];
    let sources = list.lines().map(str::trim).filter(|line| line.ends_with(".cc"));
    for (turn, source) in sources.filter(|line| !line.ends_with("build_version.cc")).enumerate() {
        texts[turn % UNITS].push_str(&format!("#include \"rocksdb/{source}\"\n"));
    }
    let named = texts.into_iter().enumerate();
    let mut units: Vec<Unit> =
        named.map(|(turn, text)| Unit { name: format!("unit{turn}"), text }).collect();
    let text = "#include \"build_version.cc\"\n".to_owned();
    units.push(Unit { name: "version".to_owned(), text });
    units
}

/// Compiler flags for processors of `arch`, as Rust names it.
pub(crate) fn flags(arch: &str) -> Vec<&'static str> {
    // CRC32 in hardware: without it checksums dominate small reads.
    let processor: &[&str] = match arch {
        "x86_64" => &["-msse4.2", "-mpclmul"],
        "aarch64" => &["-march=armv8-a+crc+crypto"],
        _ => &[],
    };
    [COMMON, processor, DEFINES].concat()
}

const COMMON: &[&str] = &["-std=c++20", "-fPIC", "-O2", "-w", "-include", "cstdint"];

/// What librocksdb-sys defines on Linux with the features lz4 and zstd.
const DEFINES: &[&str] = &[
    "-DNDEBUG",
    "-DLZ4=1",
    "-DZSTD=1",
    "-DHAVE_ALIGNED_NEW",
    "-DHAVE_UINT128_EXTENSION",
    "-DOS_LINUX",
    "-DROCKSDB_PLATFORM_POSIX",
    "-DROCKSDB_LIB_IO_POSIX",
    "-DROCKSDB_SCHED_GETCPU_PRESENT",
    "-DROCKSDB_AUXV_GETAUXVAL_PRESENT",
    "-DROCKSDB_FALLOCATE_PRESENT",
    "-DROCKSDB_RANGESYNC_PRESENT",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_source_is_in_exactly_one_unit() {
        let list: String = (0..10).map(|n| format!("  db/file{n}.cc\n")).collect();
        let units = units(&format!("{list}util/build_version.cc\n\n"));
        let all: String = units.iter().map(|unit| unit.text.as_str()).collect();
        assert_eq!(units.len(), UNITS + 1);
        assert_eq!(all.lines().count(), 11);
        for n in 0..10 {
            assert_eq!(all.matches(&format!("\"rocksdb/db/file{n}.cc\"")).count(), 1);
        }
        assert_eq!(units.last().expect("a unit").text, "#include \"build_version.cc\"\n");
    }

    #[test]
    fn each_processor_gets_its_own_flags() {
        assert!(flags("x86_64").contains(&"-msse4.2"));
        assert!(flags("aarch64").contains(&"-march=armv8-a+crc+crypto"));
        assert!(!flags("aarch64").contains(&"-msse4.2"));
    }
}
