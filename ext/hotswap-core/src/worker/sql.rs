//! The words of an SQL statement, so that two spellings of one statement compare equal.

/// Splits a statement into words: without comments and white space, names and keywords in lower case and
/// without quotes, strings and numbers as they are.
pub fn meaning(sql: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = sql;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            c if c.is_whitespace() => c.len_utf8(),
            '-' if rest.starts_with("--") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => rest[2..].find("*/").map_or(rest.len(), |at| at + 4),
            '\'' => keep(&mut words, quoted(rest, '\''), |text| text.to_owned()),
            '"' | '`' => keep(&mut words, quoted(rest, first), |text| name(text, first)),
            '[' => {
                let end = rest.find(']').map_or(rest.len(), |at| at + 1);
                keep(&mut words, &rest[..end], |text| {
                    text.trim_matches(['[', ']']).to_lowercase()
                })
            }
            c if is_word(c) => {
                let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
                keep(&mut words, &rest[..end], str::to_lowercase)
            }
            c => keep(&mut words, &rest[..c.len_utf8()], str::to_owned),
        };
        rest = &rest[length..];
    }
    words
}

fn keep(words: &mut Vec<String>, text: &str, word: impl Fn(&str) -> String) -> usize {
    words.push(word(text));
    text.len()
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$' || !c.is_ascii()
}

/// From a quote to the one that ends it; a doubled quote stands for itself.
fn quoted(text: &str, quote: char) -> &str {
    let mut at = 1;
    while let Some(found) = text[at..].find(quote) {
        at += found + 1;
        match text[at..].starts_with(quote) {
            true => at += 1,
            false => return &text[..at],
        }
    }
    text
}

fn name(text: &str, quote: char) -> String {
    let inner = text.strip_prefix(quote).unwrap_or(text);
    let inner = inner.strip_suffix(quote).unwrap_or(inner);
    inner
        .replace(&format!("{quote}{quote}"), &quote.to_string())
        .to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_without_comments_and_quotes() {
        let sql = "CREATE  TABLE \"My\"\"T\" (a INT, -- one\n b TEXT DEFAULT 'It''s' /* two */, [C d] REAL)";
        let expected = [
            "create", "table", "my\"t", "(", "a", "int", ",", "b", "text", "default", "'It''s'", ",", "c d",
            "real", ")",
        ];
        assert_eq!(meaning(sql), expected);
    }

    #[test]
    fn what_does_not_end_is_taken_to_the_end() {
        for sql in ["'abc", "\"abc", "[abc", "/* abc", "-- abc", "a''", "é 'ü"] {
            meaning(sql);
        }
    }
}
