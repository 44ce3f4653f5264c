//! The units of systemd in `relay/packaging`.

use std::{
    fs,
    io::{self, Write},
    path::Path,
    process::Command,
};

use crate::{child::PROGRAM, cloud::folder};

/// The exposure that systemd may find in the service, in tenths; 0 is the least, 100 the most.
const MAX_EXPOSURE: &str = "15";

/// Runs `systemd-analyze`; returns what it says about our units, and whether it found them right.
fn analyze(arguments: &[&str]) -> Option<(String, bool)> {
    let output = Command::new("systemd-analyze").args(arguments).output();
    let Ok(output) = output else {
        let _ = writeln!(io::stderr(), "skipped: there is no systemd-analyze");
        return None;
    };
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    let said = said.lines().filter(|line| line.contains("iotcore-relay"));
    let said: Vec<_> = said.collect();
    Some((said.join("\n"), output.status.success()))
}

#[test]
fn systemd_finds_the_units_right_and_the_service_well_confined() {
    let folder = folder();
    let packaging = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging");
    for unit in fs::read_dir(packaging).unwrap() {
        let unit = unit.unwrap();
        let text = fs::read_to_string(unit.path()).unwrap();
        // It has to be a program that is there.
        let text = text.replace("/usr/local/bin/iotcore-relay", PROGRAM);
        fs::write(folder.join(unit.file_name()), text).unwrap();
    }
    let service = folder.join("iotcore-relay.service");
    let service = service.to_str().unwrap();
    let verified = analyze(&["verify", "--man=no", service]);
    if let Some(verified) = verified {
        assert_eq!(verified, (String::new(), true));
        let threshold = format!("--threshold={MAX_EXPOSURE}");
        let (said, is_confined) =
            analyze(&["security", "--offline=true", &threshold, service]).unwrap();
        assert!(is_confined, "{said}");
    }
    fs::remove_dir_all(folder).unwrap();
}
