//! A path in a message: a string if it is UTF-8, and otherwise a list of its bytes. Linux allows almost any byte in
//! a name.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Written {
    Text(String),
    Bytes(Vec<u8>),
}

pub(crate) fn serialize<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    let written = match path.to_str() {
        Some(text) => Written::Text(text.into()),
        None => Written::Bytes(path.as_os_str().as_bytes().into()),
    };
    written.serialize(serializer)
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
    Ok(match Written::deserialize(deserializer)? {
        Written::Text(text) => text.into(),
        Written::Bytes(bytes) => OsString::from_vec(bytes).into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Message(#[serde(with = "super")] PathBuf);

    #[test]
    fn any_path_arrives_as_it_was() {
        for (path, json) in [
            (&b"/srv/B\xc3\xbcro"[..], "\"/srv/Büro\""),
            (b"caf\xe9", "[99,97,102,233]"),
        ] {
            let message = Message(OsString::from_vec(path.into()).into());
            let written = serde_json::to_string(&message).unwrap();
            assert_eq!(written, json);
            assert_eq!(serde_json::from_str::<Message>(&written).unwrap(), message);
        }
    }
}
