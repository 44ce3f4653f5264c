//! What was read of a private key is not in the memory of the process any more, except as the key itself.
#![forbid(unsafe_code)]
#![cfg(all(target_os = "linux", feature = "jwt"))]

#[expect(dead_code, reason = "the tests of the errors need the rest")]
mod keys;

use std::{
    fs::{self, File},
    hint::black_box,
    os::unix::fs::FileExt as _,
};

use iotcore_gateway::auth::SigningKey;
use keys::{GOOD_KEYS, read};

/// The number of bytes in a row that are not there by chance.
const PIECE: usize = 16;

/// A secret that is not itself in the memory, because each byte is changed.
struct Masked(Vec<u8>);

impl Masked {
    fn new(mut secret: Vec<u8>) -> Self {
        let masked = secret.iter().map(|byte| byte ^ MASK).collect();
        wipe(&mut secret);
        Self(masked)
    }

    fn reveal(&self) -> Vec<u8> {
        self.0.iter().map(|byte| byte ^ MASK).collect()
    }

    /// Returns whether the memory of this process contains a piece of it.
    fn is_in_memory(&self) -> bool {
        let memory = File::open("/proc/self/mem").unwrap();
        let maps = fs::read_to_string("/proc/self/maps").unwrap();
        let writable = maps.lines().filter(|line| line.contains(" rw"));
        let mut is_found = false;
        for line in writable {
            let (range, _) = line.split_once(' ').unwrap();
            let (start, end) = range.split_once('-').unwrap();
            let [start, end] = [start, end].map(|at| u64::from_str_radix(at, 16).unwrap());
            let mut bytes = vec![0; usize::try_from(end - start).unwrap()];
            // Mappings of the kernel's cannot be read.
            if memory.read_exact_at(&mut bytes, start).is_ok() {
                is_found |= self.is_in(&bytes);
            }
            wipe(&mut bytes);
        }
        is_found
    }

    fn is_in(&self, bytes: &[u8]) -> bool {
        let mut beginnings = vec![false; 1 << 16];
        let pieces: Vec<_> = self.0.chunks_exact(PIECE).collect();
        for piece in &pieces {
            beginnings[pair(piece)] = true;
        }
        let unmasked = usize::from(MASK) * 0x101;
        bytes.windows(PIECE).any(|window| {
            let is_piece = |piece: &&[u8]| window.iter().zip(*piece).all(|(a, b)| a ^ MASK == *b);
            beginnings[pair(window) ^ unmasked] && pieces.iter().any(is_piece)
        })
    }
}

fn pair(bytes: &[u8]) -> usize {
    usize::from(bytes[0]) << 8 | usize::from(bytes[1])
}

const MASK: u8 = 0x5A;

fn wipe(bytes: &mut [u8]) {
    bytes.fill(0);
    black_box(bytes);
}

/// One test, so that no other thread holds a key.
#[test]
fn neither_the_text_of_a_key_nor_its_der_stays_in_memory() {
    for (file, algorithm) in GOOD_KEYS {
        let text = Masked::new(read(file));
        let mut pem = text.reveal();
        assert!(
            text.is_in_memory(),
            "{file}: the search finds what is there"
        );
        let key = SigningKey::from_pem(&pem, algorithm).unwrap();
        wipe(&mut pem);
        assert!(!text.is_in_memory(), "{file}");
        drop(key);
    }
    #[cfg(feature = "driver")]
    files_are_wiped();
    // Its first bytes are the public key, which stays.
    let mut der = Masked::new(read("rsa-2048.der"));
    der.0.drain(..310);
    assert!(!der.is_in_memory());
}

#[cfg(feature = "driver")]
fn files_are_wiped() {
    use iotcore_gateway::driver::{KeyTokens, Tls};

    for (file, algorithm) in GOOD_KEYS {
        let tokens = KeyTokens::from_pem_file(keys::path(file), algorithm).unwrap();
        assert!(tokens.reload().is_empty());
        assert!(!Masked::new(read(file)).is_in_memory(), "{file}");
    }
    from_a_pipe_whose_length_is_unknown();
    let certificate = keys::path("certificate.pem");
    let key = keys::path("rsa-2048.pkcs8.pem");
    let tls = Tls::from_pem_file(&certificate).unwrap();
    let _tls = tls.client_certificate_files(&certificate, &key).unwrap();
    assert!(!Masked::new(read("rsa-2048.pkcs8.pem")).is_in_memory());
}

/// Among so much other text that room for it is made again and again.
#[cfg(feature = "driver")]
fn from_a_pipe_whose_length_is_unknown() {
    use std::{io::Write as _, os::fd::AsRawFd as _, thread};

    use iotcore_gateway::driver::KeyTokens;

    for (file, algorithm) in GOOD_KEYS {
        let text = Masked::new(read(file));
        let (reader, mut writer) = std::io::pipe().unwrap();
        writer.write_all(&b"before\n".repeat(1_000)).unwrap();
        let mut pem = text.reveal();
        writer.write_all(&pem).unwrap();
        wipe(&mut pem);
        let writing = thread::spawn(move || writer.write_all(&b"after\n".repeat(50_000)).unwrap());
        let path = format!("/proc/self/fd/{}", reader.as_raw_fd());
        let _tokens = KeyTokens::from_pem_file(path, algorithm).unwrap();
        writing.join().unwrap();
        assert!(!text.is_in_memory(), "{file}");
    }
}
