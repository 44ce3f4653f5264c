//! Finds the id of a line that is no operation.

use std::fmt;

use serde::{
    Deserializer,
    de::{Error, IgnoredAny, MapAccess, Visitor},
};

use super::Id;

/// Returns the id of an invalid line as far as it can be read: of the first member `id`, which stands before what is no JSON.
pub(crate) fn id_of_invalid(line: &[u8]) -> Option<Id> {
    let mut found = None;
    // The error was told when the operation was parsed.
    let _ = serde_json::Deserializer::from_slice(line).deserialize_map(FindId(&mut found));
    found
}

struct FindId<'a>(&'a mut Option<Id>);

impl<'de> Visitor<'de> for FindId<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an operation")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<String>()? {
            if name == "id" {
                *self.0 = Some(map.next_value()?);
                return Err(A::Error::custom("the rest is not needed"));
            }
            map.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_found_wherever_the_line_can_be_read() {
        let number = |number| Some(Id::Number(number));
        for (line, id) in [
            (r#"{"op":"dance","id":1}"#, number(1)),
            (r#"{"a":{"id":2},"id":-3}"#, number(-3)),
            (
                r#"{"id":"x","op":"telemetry","payload":NaN}"#,
                Some(Id::Text("x".to_owned())),
            ),
            (r#"{"id":4,"op":"tele"#, number(4)),
            (r#"{"op":nonsense,"id":5}"#, None),
            (r#"{"id":[6]}"#, None),
            (r#"{"id":1.5}"#, None),
            ("[7]", None),
            ("", None),
        ] {
            assert_eq!(id_of_invalid(line.as_bytes()), id, "{line}");
        }
    }
}
