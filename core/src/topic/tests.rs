use super::*;

fn device() -> DeviceId {
    "boiler-7".parse().unwrap()
}

fn problem(value: &str) -> Option<SubfolderProblem> {
    Subfolder::try_from(value)
        .err()
        .map(|error| error.problem())
}

#[test]
fn a_legal_subfolder_is_kept_as_it_is() {
    let longest = "é".repeat(256);
    for value in [
        "a", "alerts", "a/b/c", "a//b", "a/", "$x", "wärme 1", &longest,
    ] {
        assert_eq!(Subfolder::try_from(value).unwrap().as_str(), value);
        assert_eq!(
            Subfolder::try_from(value.to_owned()).unwrap().to_string(),
            value
        );
    }
}

#[test]
fn an_illegal_subfolder_is_refused() {
    assert_eq!(problem(""), Some(SubfolderProblem::Empty));
    for len in [257, 100_000] {
        let expected = SubfolderProblem::TooLong { len, max: 256 };
        assert_eq!(problem(&"é".repeat(len)), Some(expected));
    }
    for value in ["/", "/a", "//"] {
        assert_eq!(problem(value), Some(SubfolderProblem::LeadingSlash));
    }
    for character in [
        '+',
        '#',
        '\0',
        '\n',
        '\u{7f}',
        '\u{9f}',
        '\u{fdd0}',
        '\u{fffe}',
        '\u{10ffff}',
    ] {
        let expected = SubfolderProblem::Character {
            character,
            position: 2,
        };
        assert_eq!(problem(&format!("é/{character}")), Some(expected));
    }
}

#[test]
fn a_subfolder_error_names_the_value_the_problem_and_the_limit() {
    for (value, parts) in [
        (
            "x".repeat(257),
            ["xxx…\"", "257 of at most 256", "1 to 256 characters"],
        ),
        (
            "a+b".into(),
            ["\"a+b\"", "'+' at position 1", "without '+'"],
        ),
        (
            "a\n#".into(),
            ["\"a\\n#\"", "'\\n' at position 1", "control characters"],
        ),
        (
            "/a".into(),
            ["\"/a\"", "begins with '/'", "not beginning with '/'"],
        ),
        ("".into(), ["\"\"", "is empty", "1 to 256 characters"]),
    ] {
        let message = Subfolder::try_from(value).unwrap_err().to_string();
        for part in parts {
            assert!(message.contains(part), "{message:?} lacks {part:?}");
        }
        assert!(
            message.len() < 300 && !message.contains(char::is_control),
            "{message:?}"
        );
    }
}

#[test]
fn a_refused_subfolder_is_shown_up_to_64_characters() {
    let refused = |value: &str| Subfolder::try_from(value).unwrap_err();
    assert_eq!(refused("/alerts").value(), "/alerts");
    assert_eq!(refused(&"é".repeat(257)).value(), "é".repeat(64) + "…");
}

#[test]
fn debug_shows_a_subfolder() {
    let subfolder = Subfolder::try_from("alerts/critical").unwrap();
    assert_eq!(format!("{subfolder:?}"), "Subfolder(\"alerts/critical\")");
}

#[test]
fn a_publish_topic_replaces_what_the_string_held() {
    let subfolder = "alerts/critical".parse().unwrap();
    let mut topic = TopicName::default();
    let longer = "what a longer topic left behind, in full";
    topic.make(|out| out.push_str(longer)).unwrap();
    for (channel, expected) in [
        (Channel::Events(None), "/devices/boiler-7/events"),
        (
            Channel::Events(Some(&subfolder)),
            "/devices/boiler-7/events/alerts/critical",
        ),
        (Channel::State, "/devices/boiler-7/state"),
        (Channel::Attach, "/devices/boiler-7/attach"),
        (Channel::Detach, "/devices/boiler-7/detach"),
    ] {
        make_topic(&mut topic, &device(), channel);
        assert_eq!(topic.as_bytes(), expected.as_bytes());
    }
}

#[test]
fn a_reused_topic_keeps_its_buffer() {
    let subfolder = "alerts".parse().unwrap();
    let mut topic = TopicName::default();
    make_topic(&mut topic, &device(), Channel::Events(Some(&subfolder)));
    let buffer = topic.as_bytes().as_ptr();
    for channel in [
        Channel::State,
        Channel::Events(Some(&subfolder)),
        Channel::Attach,
    ] {
        make_topic(&mut topic, &device(), channel);
        assert_eq!(topic.as_bytes().as_ptr(), buffer);
    }
}

#[test]
fn a_filter_names_its_device() {
    assert_eq!(config_filter(&device()), "/devices/boiler-7/config");
    assert_eq!(commands_filter(&device()), "/devices/boiler-7/commands/#");
    assert_eq!(errors_filter(&device()), "/devices/boiler-7/errors");
}

#[test]
fn a_topic_of_the_bridge_is_read() {
    let command = |subfolder| {
        Some(IncomingTopic::Command {
            device: "d",
            subfolder,
        })
    };
    for (topic, expected) in [
        (
            "/devices/d/config",
            Some(IncomingTopic::Config { device: "d" }),
        ),
        (
            "/devices/d/errors",
            Some(IncomingTopic::Errors { gateway: "d" }),
        ),
        ("/devices/d/commands", command(None)),
        ("/devices/d/commands/", command(None)),
        ("/devices/d/commands/a", command(Some("a"))),
        ("/devices/d/commands/a/b", command(Some("a/b"))),
        ("/devices/d/commands//b", command(Some("/b"))),
        ("/devices/d/commands/config", command(Some("config"))),
    ] {
        assert_eq!(parse(topic), expected, "{topic}");
    }
}

#[test]
fn any_other_topic_is_not_read() {
    for topic in [
        "",
        "/",
        "/devices",
        "/devices/",
        "/devices/d",
        "/devices/d/",
        "/devices//config",
        "/devices/d/config/",
        "/devices/d/config/a",
        "/devices/d/errors/a",
        "/devices/d/commandsx",
        "/devices/d/events",
        "/devices/d/state",
        "/devices/d/attach",
        "/devices/d/Config",
        "devices/d/config",
        "//devices/d/config",
        "/Devices/d/config",
    ] {
        assert_eq!(parse(topic), None, "{topic}");
    }
}
