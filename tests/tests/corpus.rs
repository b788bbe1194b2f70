//! The committed corpora of the fuzz targets, replayed: ordinary `cargo test` runs every body over every file.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use offhook_tests::fuzz::TARGETS;

const FUZZ: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz");

fn replay(target: &str) {
    let (_, body) = TARGETS.iter().find(|(name, _)| *name == target).expect("a body");
    let folder = Path::new(FUZZ).join("corpus").join(target);
    let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = files.map(|file| file.expect("an entry").path()).collect();
    files.sort();
    assert!(files.len() >= 10, "{target} has no corpus worth the name: {} files", files.len());
    for file in files {
        // The test's output is shown when it fails: the last line names the input.
        println!("{}", file.display());
        body(&fs::read(&file).expect("a file"));
    }
}

macro_rules! replays {
    ($($target:ident)*) => {
        $(#[test] fn $target() { replay(stringify!($target)); })*

        #[test]
        fn every_target_is_replayed() {
            let replayed = BTreeSet::from([$(stringify!($target).to_owned()),*]);
            let bodies: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
            assert_eq!(bodies, replayed);
        }
    };
}

replays! { ami_source ami_stream config_file http_answer http_body http_connection http_head isymphony_filters log_recovery multipart proxy publish_body query sep_subscribe sip_connection sip_endpoint sip_message sip_packages sip_stream tls_layer url_template wcs_answer world ws_connection ws_handshake ws_session xms_xml }

#[test]
fn every_program_has_its_body_and_its_corpus() {
    let names = |folder: &str, cut: &str| -> BTreeSet<String> {
        let files = fs::read_dir(Path::new(FUZZ).join(folder)).unwrap();
        let name = |file: fs::DirEntry| file.file_name().into_string().unwrap();
        files.map(|file| name(file.unwrap()).trim_end_matches(cut).to_owned()).collect()
    };
    let bodies: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names("targets", ".rs"), bodies);
    assert_eq!(names("corpus", ""), bodies);
}
