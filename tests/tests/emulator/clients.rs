//! The relay's clients in Python and Node: their own tests, and their examples as their READMEs print them.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::process::{Command, Output};

use crate::child::{Emulator, PROGRAM};
use crate::executables::executable;
use crate::folder::Folder;

const CLIENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../relay/clients");

/// A command that runs a script of a client.
struct Script {
    interpreter: &'static str,
    client: &'static str,
    file: &'static str,
}

impl Script {
    const fn python(file: &'static str) -> Self {
        Self {
            interpreter: "python3",
            client: "python",
            file,
        }
    }

    const fn node(file: &'static str) -> Self {
        Self {
            interpreter: "node",
            client: "node",
            file,
        }
    }

    /// Runs it with these variables. Without its interpreter it is skipped, and that is said.
    fn run(&self, environment: &[(&str, &str)]) -> Option<Output> {
        let output = Command::new(self.interpreter)
            .arg(Path::new(CLIENTS).join(self.client).join(self.file))
            .envs(environment.iter().copied())
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .output();
        if output.is_err() {
            let _ = writeln!(io::stderr(), "skipped: there is no {}", self.interpreter);
        }
        output.ok()
    }

    /// Runs the tests of a client.
    fn test(&self) {
        let relay = executable("iotcore-relay").to_str().unwrap();
        let Some(output) = self.run(&[("RELAY", relay), ("BRIDGE", PROGRAM)]) else {
            return;
        };
        assert!(output.status.success(), "{}", told(&output));
    }

    /// Runs the example of a client with the README's variables, on a bridge that listens there and on a port where nobody
    /// does.
    fn run_example(&self) {
        let folder = Folder::new(self.client);
        let path = folder.path("example");
        let mut emulator =
            Emulator::start(&["--example-registry", &path, "--tls-self-signed", &path]);
        let port = emulator.address().port().to_string();
        let readme = fs::read_to_string(Path::new(CLIENTS).join(self.client).join("README.md"));
        let readme = readme.unwrap().replace("=example/", &format!("={path}/"));
        let exports = readme
            .lines()
            .filter_map(|line| line.strip_prefix("export "));
        let variables = exports.flat_map(|line| line.split(' '));
        let mut environment: Vec<_> = variables
            .map(|pair| pair.split_once('=').unwrap())
            .collect();
        let programs = executable("iotcore-relay")
            .parent()
            .unwrap()
            .to_str()
            .unwrap();
        let path = format!("{programs}:{}", std::env::var("PATH").unwrap());
        environment.extend([("PATH", &*path), ("IOTCORE_PORT", &port)]);
        let Some(output) = self.run(&environment) else {
            return;
        };
        assert!(output.status.success(), "{}", told(&output));
        let stdout = String::from_utf8(output.stdout).unwrap();
        for line in [
            r#"boiler-7 config {"target":20}"#,
            "boiler-7 published 2",
            "bound-sensor published 2",
        ] {
            assert!(stdout.lines().any(|printed| printed == line), "{stdout}");
        }
        environment.push(("IOTCORE_PORT", "1"));
        let output = self.run(&environment).unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", told(&output));
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(
            stderr.contains("dial_failed: cannot connect to localhost port 1: "),
            "{stderr}"
        );
    }
}

fn told(output: &Output) -> String {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

#[test]
fn the_python_client_loses_nothing_and_ends_whatever_waits_where_the_relay_ends() {
    Script::python("test_client.py").test();
}

#[test]
fn the_node_client_loses_nothing_and_ends_whatever_waits_where_the_relay_ends() {
    Script::node("test-client.mjs").test();
}

#[test]
fn the_python_example_works_as_its_readme_says_and_tells_why_it_cannot_connect() {
    Script::python("example.py").run_example();
}

#[test]
fn the_node_example_works_as_its_readme_says_and_tells_why_it_cannot_connect() {
    Script::node("example.mjs").run_example();
}
