//! The command lines of the testkit's programs; that of the relay is tested beside it.
#![forbid(unsafe_code)]

use std::process::Command;

const PROGRAMS: [(&str, &str); 2] = [
    ("iotcore-bridge", env!("CARGO_BIN_EXE_iotcore-bridge")),
    ("iotcore-simulate", env!("CARGO_BIN_EXE_iotcore-simulate")),
];

/// Runs a program to its end, and returns what it wrote to standard output and to standard error.
fn run(program: &str, arguments: &[&str]) -> (String, String) {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let [out, err] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    (out, err)
}

#[test]
fn version_prints_the_name_and_the_release() {
    for (name, program) in PROGRAMS {
        let (version, _) = run(program, &["--version"]);
        assert_eq!(version, format!("{name} {}\n", env!("CARGO_PKG_VERSION")));
    }
}

#[test]
fn the_long_help_has_examples_and_exit_codes_and_the_short_one_a_line_for_each_option() {
    for (name, program) in PROGRAMS {
        let (long, _) = run(program, &["--help"]);
        assert!(long.contains(&format!("Examples:\n  {name} --")), "{long}");
        let words: Vec<_> = long.split_whitespace().collect();
        assert!(words.join(" ").contains("Exit codes: 0"), "{long}");
        let (short, _) = run(program, &["-h"]);
        assert!(short.contains("--help"), "{short}");
        assert!(short.lines().count() * 2 < long.lines().count(), "{short}");
    }
}

#[test]
fn no_progress_is_shown_where_no_terminal_is() {
    let (_, program) = PROGRAMS[1];
    let (out, err) = run(program, &["--seeds", "40"]);
    assert!(out.contains("every guarantee held"), "{out}");
    assert_eq!(err, "");
}
