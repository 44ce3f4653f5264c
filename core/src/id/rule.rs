//! What identifiers must be, by kind, and what can be wrong with one.

use core::fmt;

/// Longest identifier of any kind, in characters.
const MAX_LEN: usize = 255;
/// Shortest identifier of a registry or a device, in characters.
const MIN_LEN: usize = 3;
const RESERVED_PREFIX: &str = "goog";

/// Which kind of identifier an [`IdError`](super::IdError) is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdKind {
    /// A [`ProjectId`](super::ProjectId).
    Project,
    /// A [`Location`](super::Location).
    Location,
    /// A [`RegistryId`](super::RegistryId).
    Registry,
    /// A [`DeviceId`](super::DeviceId), of a gateway too.
    Device,
}

impl IdKind {
    pub(super) const fn rule(self) -> &'static str {
        match self {
            Self::Project | Self::Location => {
                "1 to 255 printable ASCII characters without space, '/', '+' and '#'"
            }
            Self::Registry => {
                "3 to 255 characters: an ASCII letter, then letters, digits and - . _ + ~ %, \
                 not beginning with goog"
            }
            Self::Device => {
                "3 to 255 characters: an ASCII letter, then letters, digits and - . _ ~ %, \
                 not beginning with goog"
            }
        }
    }

    /// The first thing that is wrong with `value` as an identifier of this kind.
    pub(super) fn check(self, value: &str) -> Result<(), IdProblem> {
        let named_by_user = matches!(self, Self::Registry | Self::Device);
        let min = if named_by_user { MIN_LEN } else { 1 };
        let len = value.chars().count();
        if len < min {
            return Err(IdProblem::TooShort { len, min });
        }
        if len > MAX_LEN {
            return Err(IdProblem::TooLong { len, max: MAX_LEN });
        }
        for (position, character) in value.chars().enumerate() {
            self.check_character(character, position)?;
        }
        if named_by_user && value.starts_with(RESERVED_PREFIX) {
            return Err(IdProblem::ReservedPrefix);
        }
        Ok(())
    }

    fn check_character(self, character: char, position: usize) -> Result<(), IdProblem> {
        let legal = match self {
            Self::Project | Self::Location => {
                character.is_ascii_graphic() && !"/+#".contains(character)
            }
            Self::Registry | Self::Device if position == 0 => {
                if !character.is_ascii_alphabetic() {
                    return Err(IdProblem::FirstCharacter(character));
                }
                true
            }
            Self::Device if character == '+' => return Err(IdProblem::Wildcard { position }),
            Self::Registry | Self::Device => {
                character.is_ascii_alphanumeric() || "-._+~%".contains(character)
            }
        };
        if legal {
            Ok(())
        } else {
            Err(IdProblem::Character {
                character,
                position,
            })
        }
    }
}

impl fmt::Display for IdKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Project => "project id",
            Self::Location => "location",
            Self::Registry => "registry id",
            Self::Device => "device id",
        })
    }
}

/// What is wrong with a refused identifier. Lengths and positions count characters; positions
/// begin at 0.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdProblem {
    /// Fewer characters than the kind needs.
    TooShort {
        /// Its length.
        len: usize,
        /// The shortest that is legal.
        min: usize,
    },
    /// More characters than any identifier may have.
    TooLong {
        /// Its length.
        len: usize,
        /// The longest that is legal.
        max: usize,
    },
    /// A registry or a device must begin with an ASCII letter.
    FirstCharacter(char),
    /// A character that this kind may not hold.
    Character {
        /// The character.
        character: char,
        /// Where it stands.
        position: usize,
    },
    /// It begins with `goog`, which the service keeps for itself.
    ReservedPrefix,
    /// A `+` in the id of a device, which MQTT cannot address.
    Wildcard {
        /// Where it stands.
        position: usize,
    },
}

impl fmt::Display for IdProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooShort { len, min } => {
                write!(f, "is too short: {len} of at least {min} characters")
            }
            Self::TooLong { len, max } => {
                write!(f, "is too long: {len} of at most {max} characters")
            }
            Self::FirstCharacter(character) => write!(f, "begins with {character:?}"),
            Self::Character {
                character,
                position,
            } => {
                write!(f, "has {character:?} at position {position}")
            }
            Self::ReservedPrefix => f.write_str("begins with \"goog\", which is reserved"),
            Self::Wildcard { position } => write!(
                f,
                "has '+' at position {position}, an MQTT wildcard, so that no topic can address \
                 the device: register it under another id"
            ),
        }
    }
}
