//! Debian's proxies as child processes, each on a loopback address of its own, where its port is free.

use std::{
    env,
    fs::{self, File},
    io::{self, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU8, Ordering},
    thread::sleep,
    time::{Duration, Instant},
};

/// The time limit for a proxy to listen.
const PATIENCE: Duration = Duration::from_secs(20);

/// Set where a proxy must be installed: `.ci/proxies` installs them.
const REQUIRED: &str = "PROXIES_REQUIRED";

/// User name and password of the proxies that require them, as in a URL.
pub(crate) const USER_INFO: &str = "plant:pass%2Eword@";
const USER: &str = "plant";
const PASSWORD: &str = "pass.word";

/// A proxy, and how it is configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Tinyproxy,
    TinyproxyWithPassword,
    /// Allows port 443 only.
    TinyproxyWithRules,
    Microsocks,
    MicrosocksWithPassword,
    Dante,
    /// Allows port 443 only.
    DanteWithRules,
}

impl Kind {
    fn program(self) -> &'static str {
        match self {
            Self::Tinyproxy | Self::TinyproxyWithPassword | Self::TinyproxyWithRules => "tinyproxy",
            Self::Microsocks | Self::MicrosocksWithPassword => "microsocks",
            Self::Dante | Self::DanteWithRules => "danted",
        }
    }

    fn scheme(self) -> &'static str {
        match self {
            Self::Tinyproxy | Self::TinyproxyWithPassword | Self::TinyproxyWithRules => "http",
            _ => "socks5",
        }
    }

    /// Returns the program's arguments, once its configuration has been written to `file`.
    fn arguments(self, file: &Path, address: SocketAddr) -> Vec<String> {
        let (ip, port) = (address.ip(), address.port());
        let tinyproxy = |more: &str| {
            let always = format!("Listen {ip}\nPort {port}\nMaxClients 20\nTimeout 600\n");
            fs::write(file, always + more).unwrap();
            ["-d", "-c", file.to_str().unwrap()]
                .map(str::to_owned)
                .to_vec()
        };
        let microsocks = |more: &[&str]| {
            let port = port.to_string();
            let always = ["-i", &ip.to_string(), "-p", &port].map(str::to_owned);
            always
                .into_iter()
                .chain(more.iter().map(|&part| part.to_owned()))
                .collect()
        };
        let dante = |ports: &str| {
            let always = format!(
                "logoutput: stderr\ninternal: {ip} port = {port}\nexternal: lo\nsocksmethod: none\nclientmethod: none\n\
                 client pass {{ from: 127.0.0.0/8 to: 0.0.0.0/0 }}\n\
                 socks pass {{ from: 127.0.0.0/8 to: 0.0.0.0/0 {ports} protocol: tcp }}\n"
            );
            fs::write(file, always).unwrap();
            ["-f", file.to_str().unwrap()].map(str::to_owned).to_vec()
        };
        match self {
            Self::Tinyproxy => tinyproxy(""),
            Self::TinyproxyWithPassword => tinyproxy(&format!("BasicAuth {USER} {PASSWORD}\n")),
            Self::TinyproxyWithRules => tinyproxy("ConnectPort 443\n"),
            Self::Microsocks => microsocks(&[]),
            Self::MicrosocksWithPassword => microsocks(&["-u", USER, "-P", PASSWORD]),
            Self::Dante => dante(""),
            Self::DanteWithRules => dante("port = 443"),
        }
    }
}

/// A proxy, which is ended on drop.
pub(crate) struct ProxyProgram {
    kind: Kind,
    program: PathBuf,
    folder: PathBuf,
    address: SocketAddr,
    running: Option<Child>,
}

impl ProxyProgram {
    /// Starts a proxy; `None`, and a note, if it is not installed.
    pub(crate) fn start(kind: Kind) -> Option<Self> {
        static STARTED: AtomicU8 = AtomicU8::new(0);
        let Some(program) = installed(kind.program()) else {
            let note = format!(
                "{} is not installed: .ci/proxies installs it",
                kind.program()
            );
            assert!(env::var_os(REQUIRED).is_none(), "{note}");
            // Not with `eprintln`, whose output the test harness captures.
            let _ = writeln!(io::stderr(), "skipped: {note}");
            return None;
        };
        let number = STARTED.fetch_add(1, Ordering::Relaxed) + 1;
        let id = std::process::id();
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("proxy-{id}-{number}"));
        fs::create_dir_all(&folder).unwrap();
        let [.., high, low] = id.to_be_bytes();
        let ip = Ipv4Addr::new(127, high | 128, low, number);
        let mut started = Self {
            kind,
            program,
            folder,
            address: (ip, 3_128).into(),
            running: None,
        };
        started.resume();
        Some(started)
    }

    /// Returns its URL, with this before the host.
    pub(crate) fn url(&self, user_info: &str) -> String {
        format!("{}://{user_info}{}", self.kind.scheme(), self.address)
    }

    /// Ends it, and every connection through it.
    pub(crate) fn end(&mut self) {
        if let Some(mut child) = self.running.take() {
            // With the processes that it has started.
            let group = format!("-{}", child.id());
            let _ = Command::new("kill")
                .args(["-s", "KILL", "--", &group])
                .status();
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Starts it again, and waits until it listens.
    pub(crate) fn resume(&mut self) {
        let log_file = self.folder.join("log");
        let log = File::create(&log_file).unwrap();
        let arguments = self
            .kind
            .arguments(&self.folder.join("configuration"), self.address);
        let mut command = Command::new(&self.program);
        command
            .args(arguments)
            .process_group(0)
            .stdin(Stdio::null());
        command.stderr(log.try_clone().unwrap()).stdout(log);
        let child = self.running.insert(command.spawn().unwrap());
        let begun = Instant::now();
        while TcpStream::connect(self.address).is_err() {
            let log = || fs::read_to_string(&log_file);
            let ended = child.try_wait().unwrap();
            let waits = ended.is_none() && begun.elapsed() < PATIENCE;
            assert!(waits, "{:?}: {ended:?}, {:?}", self.kind, log());
            sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for ProxyProgram {
    fn drop(&mut self) {
        self.end();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Returns the path of a program. Debian installs some where only root looks.
fn installed(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(["/usr/sbin".into()]);
    folders
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}
