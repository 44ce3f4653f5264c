//! The rules for each kind of identifier, and the ways to violate them.

use core::fmt;

/// Maximum length of an identifier of any kind, in characters.
const MAX_LEN: usize = 255;
/// Minimum length of a registry or device id, in characters.
const MIN_LEN: usize = 3;
const RESERVED_PREFIX: &str = "goog";

/// The kind of identifier that an [`IdError`](super::IdError) is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdKind {
    /// A [`ProjectId`](super::ProjectId).
    Project,
    /// A [`Location`](super::Location).
    Location,
    /// A [`RegistryId`](super::RegistryId).
    Registry,
    /// A [`DeviceId`](super::DeviceId), including that of a gateway.
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

    /// Returns the first problem of `value` as an identifier of this kind.
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

/// What is wrong with an invalid identifier. Lengths and positions count characters; positions start at 0.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdProblem {
    /// It has fewer characters than its kind requires.
    TooShort {
        /// Its length.
        len: usize,
        /// Minimum.
        min: usize,
    },
    /// It has more characters than any identifier may have.
    TooLong {
        /// Its length.
        len: usize,
        /// Maximum.
        max: usize,
    },
    /// It does not begin with an ASCII letter, as a registry or device id must.
    FirstCharacter(char),
    /// It contains a character that is not allowed for its kind.
    Character {
        /// The character.
        character: char,
        /// Its position.
        position: usize,
    },
    /// It begins with `goog`, which the service reserves.
    ReservedPrefix,
    /// It is a device id with a `+`, which MQTT cannot address.
    Wildcard {
        /// Its position.
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
