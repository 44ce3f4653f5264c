//! Plays thousands of scripts in virtual time, with every kind of fault, and checks the guarantees.
#![forbid(unsafe_code)]

mod progress;

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use clap::Parser;
use indicatif::ProgressBar;
use iotcore_gateway_testkit::script::{Broken, Script};
use iotcore_gateway_testkit::seeds::{self, Tally};

use progress::Progress;

/// The maximum number of columns in the table of faults, and the width of one in characters.
const COLUMNS: usize = 3;
const COLUMN: usize = 37;

/// The end of `--help`.
const EXAMPLES: &str = "\
Examples:
  iotcore-simulate --seeds 100000 --threads 8
      plays a hundred thousand sessions
  iotcore-simulate --seed 4711
      plays one of them, and shows it step by step
  iotcore-simulate --script 0a1b2c
      plays the script that a failure ended with";

/// Plays a script with every kind of fault for each seed, twice, and checks the guarantees throughout.
///
/// The gateway and the bridge emulator run in virtual time. The second run of a seed uses other fragments, more polls
/// and spurious timeouts; its history must have the same hash. On failure, the script is shrunk, and the last line
/// reproduces it. Exit codes: 0 every guarantee held, 1 one did not, 2 usage.
#[derive(Parser)]
#[command(name = "iotcore-simulate", version, after_long_help = EXAMPLES)]
struct Options {
    /// Number of seeds
    #[arg(long, value_name = "COUNT", default_value_t = 10_000)]
    seeds: u64,

    /// First seed
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    from: u64,

    /// Play only this seed, and show its history
    #[arg(long, value_name = "SEED", conflicts_with_all = ["seeds", "from", "script"])]
    seed: Option<u64>,

    /// Play only this script, given by its bytes in hexadecimal, and show its history
    #[arg(long, value_name = "HEX", conflicts_with_all = ["seeds", "from"])]
    script: Option<Script>,

    /// Number of threads
    #[arg(long, value_name = "COUNT", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=64))]
    threads: u8,
}

fn main() -> ExitCode {
    let options = Options::parse();
    // A panic is a finding, which is reported with its script.
    std::panic::set_hook(Box::new(|_| {}));
    let script = options.script.or(options.seed.map(seeds::script));
    let is_sound = match script {
        Some(script) => show(script),
        None => Simulation::new(options.from, options.seeds).run(options.threads),
    };
    match is_sound {
        Ok(true) => ExitCode::SUCCESS,
        // The output is closed.
        Ok(false) | Err(_) => ExitCode::FAILURE,
    }
}

/// Plays one script and prints its history; returns whether all guarantees held.
fn show(script: Script) -> io::Result<bool> {
    let mut out = io::stdout().lock();
    writeln!(out, "{:?}\n", script.setup)?;
    match seeds::examine(&script) {
        Ok(history) => {
            for entry in history.entries() {
                writeln!(out, "{entry}")?;
            }
            writeln!(out, "\nevery guarantee held; hash {:016x}", history.hash())?;
            Ok(true)
        }
        Err(broken) => {
            for entry in broken.history.entries() {
                writeln!(out, "{entry}")?;
            }
            writeln!(out, "\nBROKEN  {broken}")?;
            tell(&mut out, script, broken)?;
            Ok(false)
        }
    }
}

/// Shrinks a failing script, and prints the command line that plays it.
fn tell(out: &mut impl Write, script: Script, broken: Broken) -> io::Result<()> {
    let steps = script.steps.len();
    let (script, broken) = Progress::of_shrinking().during(|| seeds::reduce(script, broken));
    writeln!(
        out,
        "\nsmaller: {} of {steps} steps, {:?}",
        script.steps.len(),
        script.setup
    )?;
    for step in &script.steps {
        writeln!(out, "    {step:?}")?;
    }
    writeln!(out, "BROKEN  {broken}\n")?;
    writeln!(
        out,
        "cargo run --release -p iotcore-gateway-testkit --bin iotcore-simulate -- --script {script}"
    )
}

/// A run of many seeds, and the results so far.
struct Simulation {
    first: u64,
    count: u64,
    next: AtomicU64,
    is_over: AtomicBool,
    tally: Mutex<Tally>,
    failure: Mutex<Option<(u64, Broken)>>,
    begun: Instant,
}

impl Simulation {
    fn new(first: u64, count: u64) -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "measuring speed needs a real clock"
        )]
        let begun = Instant::now();
        Self {
            first,
            count,
            next: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
            tally: Mutex::default(),
            failure: Mutex::default(),
            begun,
        }
    }

    /// Plays all seeds; returns whether all guarantees held.
    fn run(self, threads: u8) -> io::Result<bool> {
        let progress = Progress::of_seeds(self.count);
        thread::scope(|scope| {
            let (sender, ends) = mpsc::channel::<()>();
            for _ in 0..threads {
                let (simulation, end) = (&self, sender.clone());
                scope.spawn(move || {
                    simulation.work();
                    drop(end);
                });
            }
            drop(sender);
            progress.until(&ends, |bar| self.update(bar));
        });
        let mut out = io::stdout().lock();
        self.show_table(&mut out)?;
        let failure = self
            .failure
            .lock()
            .map_or(None, |mut failure| failure.take());
        match failure {
            None => {
                writeln!(
                    out,
                    "every guarantee held, and both histories of each seed were equal"
                )?;
                Ok(true)
            }
            Some((seed, broken)) => {
                writeln!(out, "BROKEN by seed {seed}  {broken}")?;
                tell(&mut out, seeds::script(seed), broken)?;
                Ok(false)
            }
        }
    }

    /// Plays seeds until none is left, or one fails.
    fn work(&self) {
        while !self.is_over.load(Ordering::Relaxed) {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            if number >= self.count {
                return;
            }
            let seed = self.first.wrapping_add(number);
            match seeds::examine(&seeds::script(seed)) {
                Ok(history) => self.tally.lock().expect("no thread panics").add(&history),
                Err(broken) => {
                    let mut failure = self.failure.lock().expect("no thread panics");
                    // If several fail, the first seed is reported, so that the result is reproducible.
                    if failure.as_ref().is_none_or(|(other, _)| seed < *other) {
                        *failure = Some((seed, broken));
                    }
                    self.is_over.store(true, Ordering::Relaxed);
                }
            }
        }
    }

    /// Updates the progress bar.
    fn update(&self, bar: &ProgressBar) {
        let tally = self.tally.lock().expect("no thread panics");
        bar.set_position(tally.scripts);
        let (rate, speed) = (self.rate(&tally), self.speed(&tally));
        bar.set_message(format!("{rate:.0} a second, {speed}× real time"));
    }

    /// Returns how many seeds were played a second.
    fn rate(&self, tally: &Tally) -> f64 {
        tally.scripts as f64 / self.begun.elapsed().as_secs_f64()
    }

    /// Returns how many times as fast as real time the seeds were played.
    fn speed(&self, tally: &Tally) -> String {
        grouped((tally.elapsed.as_secs_f64() / self.begun.elapsed().as_secs_f64()) as u64)
    }

    fn show_table(&self, out: &mut impl Write) -> io::Result<()> {
        let tally = self.tally.lock().expect("no thread panics");
        let real = self.begun.elapsed().as_secs_f64();
        let strikes: u64 = tally.strikes.values().sum();
        writeln!(out)?;
        for (what, figure, beside) in [
            (
                "seeds",
                grouped(tally.scripts),
                format!(
                    "from {}, {:.0} a second, each played twice",
                    self.first,
                    self.rate(&tally)
                ),
            ),
            (
                "slow worlds",
                grouped(tally.slow),
                format!(
                    "calm ends of which the speed was checked: {}, of them in slow worlds {}",
                    grouped(tally.brisk[0]),
                    grouped(tally.brisk[1])
                ),
            ),
            (
                "virtual time",
                format!("{} days", grouped(tally.elapsed.as_secs() / 86_400)),
                format!(
                    "in {real:.1} s, {} times as fast as real time",
                    self.speed(&tally)
                ),
            ),
            (
                "publications",
                grouped(tally.publications),
                format!("and {} arrivals at the bridge", grouped(tally.arrivals)),
            ),
            (
                "deliveries",
                grouped(tally.deliveries),
                "configs and commands".to_owned(),
            ),
            (
                "connections",
                grouped(tally.connections),
                format!("{} of them again", grouped(tally.reconnects)),
            ),
            (
                "faults",
                grouped(strikes),
                format!("that struck, of {} kinds", tally.strikes.len()),
            ),
        ] {
            writeln!(out, "  {what:<14}{figure:>14}  {beside}")?;
        }
        writeln!(out)?;
        let strikes: Vec<_> = tally.strikes.iter().collect();
        let columns = columns();
        let rows = strikes.len().div_ceil(columns);
        for row in 0..rows {
            let cells = (0..columns).filter_map(|column| strikes.get(column * rows + row));
            for (fault, times) in cells {
                write!(out, "  {fault:<26}{:>9}", grouped(**times))?;
            }
            writeln!(out)?;
        }
        writeln!(out)
    }
}

/// Returns how many columns of faults the terminal has room for.
fn columns() -> usize {
    terminal_size::terminal_size_of(io::stdout()).map_or(COLUMNS, |(width, _)| {
        (usize::from(width.0) / COLUMN).clamp(1, COLUMNS)
    })
}

/// Formats a number with a comma between thousands.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}
