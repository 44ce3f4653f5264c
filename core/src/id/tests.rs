use super::*;

const ALL: [IdKind; 4] = [
    IdKind::Project,
    IdKind::Location,
    IdKind::Registry,
    IdKind::Device,
];
const NAMED: [IdKind; 2] = [IdKind::Registry, IdKind::Device];
const GIVEN: [IdKind; 2] = [IdKind::Project, IdKind::Location];

fn create(kind: IdKind, value: &str) -> Result<String, IdError> {
    match kind {
        IdKind::Project => ProjectId::try_from(value).map(|id| id.to_string()),
        IdKind::Location => Location::try_from(value).map(|id| id.to_string()),
        IdKind::Registry => RegistryId::try_from(value).map(|id| id.to_string()),
        IdKind::Device => DeviceId::try_from(value).map(|id| id.to_string()),
    }
}

#[test]
fn a_legal_identifier_is_kept_as_it_is() {
    for value in [
        "abc",
        "Abc",
        "a.b",
        "sensor-1._~%",
        "ago",
        "Goog-1",
        "a-goog",
        "zZ9",
    ] {
        for kind in ALL {
            assert_eq!(create(kind, value).as_deref(), Ok(value), "{kind}");
        }
    }
    for value in [
        "p",
        "7",
        "example.com:plant",
        "!\"$&'()*,;<=>?@[\\]^`{|}",
        "goog-1",
    ] {
        for kind in GIVEN {
            assert_eq!(create(kind, value).as_deref(), Ok(value), "{kind}");
        }
    }
    assert_eq!(create(IdKind::Registry, "a+b").as_deref(), Ok("a+b"));
}

#[test]
fn a_length_outside_the_limits_is_refused() {
    let problem = |kind, len| {
        create(kind, &"x".repeat(len))
            .map_err(|e| e.problem())
            .err()
    };
    for kind in NAMED {
        for len in 0..3 {
            assert_eq!(
                problem(kind, len),
                Some(IdProblem::TooShort { len, min: 3 })
            );
        }
    }
    for kind in GIVEN {
        assert_eq!(
            problem(kind, 0),
            Some(IdProblem::TooShort { len: 0, min: 1 })
        );
        assert_eq!(problem(kind, 1), None);
    }
    for kind in ALL {
        for len in [3, 254, 255] {
            assert_eq!(problem(kind, len), None, "{kind} of {len}");
        }
        for len in [256, 300, 100_000] {
            assert_eq!(
                problem(kind, len),
                Some(IdProblem::TooLong { len, max: 255 })
            );
        }
    }
}

#[test]
fn an_illegal_character_is_named_with_its_position() {
    for (position, character) in [
        (2, '/'),
        (1, '#'),
        (1, ' '),
        (3, '\0'),
        (2, '\n'),
        (1, '\u{7f}'),
        (4, 'é'),
        (2, '中'),
    ] {
        let value = format!("{}{character}{}", "x".repeat(position), "yyy");
        for kind in ALL {
            let problem = create(kind, &value).unwrap_err().problem();
            assert_eq!(
                problem,
                IdProblem::Character {
                    character,
                    position
                },
                "{kind} {value:?}"
            );
        }
    }
    for character in ['+', '/', '#', ' '] {
        for kind in GIVEN {
            let problem = create(kind, &character.to_string()).unwrap_err().problem();
            assert_eq!(
                problem,
                IdProblem::Character {
                    character,
                    position: 0
                }
            );
        }
    }
    for character in ['!', ':', '@', ','] {
        for kind in NAMED {
            let problem = create(kind, &format!("a{character}b"))
                .unwrap_err()
                .problem();
            assert_eq!(
                problem,
                IdProblem::Character {
                    character,
                    position: 1
                }
            );
        }
    }
}

#[test]
fn a_registry_or_a_device_begins_with_an_ascii_letter() {
    for character in ['1', '-', '.', '_', '+', '~', '%', 'é', '/', ' '] {
        for kind in NAMED {
            let problem = create(kind, &format!("{character}abc"))
                .unwrap_err()
                .problem();
            assert_eq!(problem, IdProblem::FirstCharacter(character), "{kind}");
        }
    }
}

#[test]
fn the_prefix_of_the_service_is_refused() {
    for value in ["goog", "google", "goog-1"] {
        for kind in NAMED {
            let problem = create(kind, value).unwrap_err().problem();
            assert_eq!(problem, IdProblem::ReservedPrefix, "{kind} {value}");
        }
    }
}

#[test]
fn a_device_that_mqtt_cannot_address_is_refused() {
    let error = DeviceId::try_from("a+b").unwrap_err();
    assert_eq!(error.problem(), IdProblem::Wildcard { position: 1 });
    assert_eq!(
        error.to_string(),
        "device id \"a+b\" has '+' at position 1, an MQTT wildcard, so that no topic can \
         address the device: register it under another id; it must be 3 to 255 characters: an \
         ASCII letter, then letters, digits and - . _ ~ %, not beginning with goog"
    );
}

#[test]
fn an_error_names_the_kind_the_value_the_problem_and_the_rule() {
    for (kind, value, parts) in [
        (
            IdKind::Project,
            "",
            ["project id \"\"", "0 of at least 1", "1 to 255"],
        ),
        (
            IdKind::Location,
            "a b",
            ["location \"a b\"", "' ' at position 1", "without space"],
        ),
        (
            IdKind::Registry,
            "ab",
            ["registry id \"ab\"", "2 of at least 3", "3 to 255"],
        ),
        (
            IdKind::Device,
            "1ab",
            ["device id \"1ab\"", "begins with '1'", "an ASCII letter"],
        ),
        (
            IdKind::Device,
            "goog",
            ["device id \"goog\"", "reserved", "not beginning"],
        ),
    ] {
        let error = create(kind, value).unwrap_err();
        assert_eq!((error.kind(), error.value()), (kind, value));
        let message = error.to_string();
        for part in parts {
            assert!(message.contains(part), "{message:?} lacks {part:?}");
        }
    }
}

#[test]
fn an_error_stays_on_one_short_line_whatever_was_given() {
    for value in [
        "é\n".repeat(1_000_000),
        "\u{1b}[31m\r\n\0".into(),
        "x".repeat(256),
    ] {
        for kind in ALL {
            let error = create(kind, &value).unwrap_err();
            let message = error.to_string();
            assert!(message.len() < 700, "{} bytes", message.len());
            assert!(!message.contains(char::is_control), "{message:?}");
        }
    }
    let cut = create(IdKind::Device, &"é".repeat(65)).unwrap_err();
    assert_eq!(cut.value(), format!("{}…", "é".repeat(64)));
    let whole = create(IdKind::Device, &"é".repeat(64)).unwrap_err();
    assert_eq!(whole.value(), "é".repeat(64));
}

#[test]
fn a_client_id_is_the_path_of_the_gateway() {
    let id = ClientId::new(
        "example.com:p".parse().unwrap(),
        "europe-west1".parse().unwrap(),
        "reg+1".parse().unwrap(),
        "Gw1".parse().unwrap(),
    );
    let path = "projects/example.com:p/locations/europe-west1/registries/reg+1/devices/Gw1";
    assert_eq!(id.to_string(), path);
    assert_eq!(id.project().as_str(), "example.com:p");
    assert_eq!(id.location().as_str(), "europe-west1");
    assert_eq!(id.registry().as_str(), "reg+1");
    assert_eq!(id.gateway().as_str(), "Gw1");
}

#[test]
fn the_hash_is_fnv1a() {
    // Test vectors published by the authors.
    for (text, hash) in [
        ("", 0x811c_9dc5),
        ("a", 0xe40c_292c),
        ("foobar", 0xbf9c_f968),
    ] {
        assert_eq!(fnv1a(text.as_bytes()), hash, "{text}");
    }
}
