//! Encodes a script as bytes, and those as hexadecimal digits.

use core::error::Error;
use core::fmt;
use core::str::FromStr;

use super::{Script, Setup, Step};

/// The maximum number of steps in a script made from bytes; further bytes are ignored.
const MAX_STEPS: usize = 400;

/// What follows the plain knobs if those of the world do. No step is encoded with it.
const WORLD: u8 = 0xFF;

/// Returns the script that these bytes encode: one byte for each plain knob of the [`Setup`], then 255 and one byte for
/// each knob of the world, or neither, then four for each step. Any bytes are valid, including none.
pub fn bytes(data: &[u8]) -> Script {
    let (plain, rest) = data.split_at(data.len().min(Setup::PLAIN_KNOBS));
    let mut setup = plain.to_vec();
    let steps = match rest.split_first() {
        Some((&WORLD, rest)) => {
            let world = rest.len().min(Setup::KNOBS - Setup::PLAIN_KNOBS);
            setup.extend(&rest[..world]);
            &rest[world..]
        }
        _ => rest,
    };
    let steps = steps.chunks_exact(4).take(MAX_STEPS);
    Script {
        setup: Setup::from_bytes(&setup),
        steps: steps
            .filter_map(|step| step.try_into().ok())
            .map(Step::from_bytes)
            .collect(),
    }
}

impl Script {
    /// Returns bytes that encode this script.
    pub fn to_bytes(&self) -> Vec<u8> {
        let (plain, world) = self.setup.as_bytes().split_at(Setup::PLAIN_KNOBS);
        let mut bytes = plain.to_vec();
        if world.iter().any(|position| *position > 0) {
            bytes.push(WORLD);
            bytes.extend(world);
        }
        bytes.extend(self.steps.iter().flat_map(Step::to_bytes));
        bytes
    }
}

/// Writes its bytes in hexadecimal.
impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_bytes()
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The error of a text that is not a script: it is not an even number of hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotHexadecimal;

impl fmt::Display for NotHexadecimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a script is an even number of hexadecimal digits")
    }
}

impl Error for NotHexadecimal {}

impl FromStr for Script {
    type Err = NotHexadecimal;

    fn from_str(text: &str) -> Result<Self, NotHexadecimal> {
        let digits: Option<Vec<u8>> = text
            .chars()
            .map(|digit| digit.to_digit(16).map(|digit| digit as u8))
            .collect();
        let digits = digits.ok_or(NotHexadecimal)?;
        let (pairs, []) = digits.as_chunks::<2>() else {
            return Err(NotHexadecimal);
        };
        let data: Vec<u8> = pairs.iter().map(|[high, low]| high << 4 | low).collect();
        Ok(bytes(&data))
    }
}

#[cfg(test)]
mod tests {
    use super::super::KINDS;
    use super::*;

    #[test]
    fn any_bytes_are_a_script_and_every_script_is_encoded_in_bytes() {
        for kind in 0..KINDS {
            for [a, b, c] in [
                [0, 0, 0],
                [255, 255, 255],
                [1, 2, 3],
                [6, 1, 0],
                [130, 7, 40],
                [13, 200, 9],
            ] {
                let step = Step::from_bytes([kind, a, b, c]);
                assert_eq!(
                    Step::from_bytes(step.to_bytes()),
                    step,
                    "{kind} {a} {b} {c}"
                );
            }
        }
        for data in [
            &[][..],
            &[3; 20],
            &[200; 83],
            &[77; 5_000],
            &[255; 50],
            &[255; 500],
        ] {
            let script = bytes(data);
            assert_eq!(bytes(&script.to_bytes()), script);
            assert_eq!(script.to_string().parse(), Ok(script));
        }
    }

    #[test]
    fn a_script_without_a_world_has_a_fast_one_and_is_as_short_as_before() {
        let script = bytes(&[&[1; Setup::PLAIN_KNOBS][..], &[1, 0, 0, 0]].concat());
        assert_eq!(script.steps.len(), 1);
        assert!(!script.setup.draft().world.is_slow());
        assert_eq!(script.to_bytes().len(), Setup::PLAIN_KNOBS + 4);
        let mut slow = script.to_bytes();
        slow.splice(Setup::PLAIN_KNOBS..Setup::PLAIN_KNOBS, [255, 1, 1, 1, 1]);
        let slow = bytes(&slow);
        assert!(slow.setup.draft().world.is_slow());
        assert_eq!(bytes(&slow.to_bytes()), slow);
    }

    #[test]
    fn an_invalid_script_is_rejected() {
        assert_eq!("0".parse::<Script>(), Err(NotHexadecimal));
        assert_eq!("0g".parse::<Script>(), Err(NotHexadecimal));
        assert_eq!("".parse::<Script>(), Ok(Script::default()));
    }
}
