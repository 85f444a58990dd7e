//! A path: what it leads to, and how a message carries it. Linux allows almost any byte in a name, so a message
//! carries a path as a string if it is UTF-8, and otherwise as a list of its bytes.

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

/// Resolves symlinks as far as the path exists, including those that lead to a file that does not exist yet.
pub(crate) fn resolve(path: &Path) -> PathBuf {
    // As many as the kernel follows.
    follow(path, 40)
}

fn follow(path: &Path, links: u32) -> PathBuf {
    if let Ok(resolved) = path.canonicalize() {
        return resolved;
    }
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return path.to_owned();
    };
    let parent = follow(parent, links);
    let path = parent.join(name);
    match path.read_link() {
        Ok(to) if links > 0 => follow(&parent.join(to), links - 1),
        _ => path,
    }
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
