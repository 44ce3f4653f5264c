//! The command lines of the testkit's programs and what the demo prints; the relay's are tested beside it.
#![forbid(unsafe_code)]

#[path = "programs/mod.rs"]
mod executables;

use std::{
    io::{self, Write},
    process::Command,
};

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

/// The report of a refused device, without spaces.
const REPORT: &str = "ERRORstranger-1GATEWAY_ATTACHMENT_ERROR:Device\"stranger-1\"wasnotattached:itisnotboundtothegateway.";

fn without_spaces(text: &str) -> String {
    text.split_whitespace().collect()
}

#[test]
fn the_demo_prints_a_report_as_one_line_to_a_file() {
    let demo = executables::executable("gateway").to_str().unwrap();
    let (out, _) = run(demo, &[]);
    let line = out.lines().find(|line| line.contains("ERROR  ")).unwrap();
    assert!(without_spaces(line).ends_with(REPORT), "{line}");
}

/// Needs `script`, of util-linux: without it, it is skipped.
#[cfg(target_os = "linux")]
#[test]
fn the_demo_wraps_its_lines_on_a_terminal_and_cuts_none() {
    const COLUMNS: usize = 60;
    let demo = executables::executable("gateway");
    let mut script = Command::new("script");
    script.args(["-qec", "stty rows 24 cols 60; exec \"$DEMO\"", "/dev/null"]);
    let Ok(output) = script.env("DEMO", demo).env("NO_COLOR", "1").output() else {
        let _ = writeln!(io::stderr(), "skipped: there is no program `script`");
        return;
    };
    assert!(output.status.success(), "{output:?}");
    let out = String::from_utf8(output.stdout).unwrap();
    assert!(without_spaces(&out).contains(REPORT), "{out}");
    let timeline = out.lines().filter(|line| !line.starts_with("  projects/"));
    for line in timeline {
        assert!(line.chars().count() <= COLUMNS, "{line}");
    }
}
