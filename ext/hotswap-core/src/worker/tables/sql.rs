//! Parts of SQL statements.

/// A name.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A list.
pub(super) fn list(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join(", ")
}

/// `?1, ?2`
pub(super) fn parameters(count: usize) -> String {
    list((1..=count).map(|number| format!("?{number}")))
}
