//! Query strings: names and values with percent triplets (RFC 3986 section 2.1), `&` between pairs, and `;` where a
//! dialect's clients use it.

/// One name and its value, decoded.
pub type Pair = (String, String);

/// Splits a query at `separators` and decodes names and values; a `+` is a plus sign. A pair without `=` has an
/// empty value.
///
/// # Errors
/// A broken percent triplet, or one that does not give UTF-8: the offending text.
pub fn pairs(query: &str, separators: &[char]) -> Result<Vec<Pair>, String> {
    query
        .split(separators)
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((percent_decode(name)?, percent_decode(value)?))
        })
        .collect()
}

/// Decodes percent triplets.
///
/// # Errors
/// A broken triplet, or bytes that are not UTF-8: the text itself.
pub fn percent_decode(text: &str) -> Result<String, String> {
    if !text.contains('%') {
        return Ok(text.to_owned());
    }
    let digit = |b: Option<&u8>| b.and_then(|b| (*b as char).to_digit(16));
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] == b'%' {
            let (Some(high), Some(low)) = (digit(bytes.get(at + 1)), digit(bytes.get(at + 2))) else {
                return Err(text.to_owned());
            };
            out.push(u8::try_from(high * 16 + low).unwrap_or_default());
            at += 3;
        } else {
            out.push(bytes[at]);
            at += 1;
        }
    }
    String::from_utf8(out).map_err(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries() {
        let check = |query: &str, expected: Result<&[(&str, &str)], &str>| {
            let got = pairs(query, &['&', ';']);
            let expected = expected
                .map(|e| e.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect::<Vec<_>>())
                .map_err(str::to_owned);
            assert_eq!(got, expected, "{query}");
        };
        check("", Ok(&[]));
        check("a=b&c", Ok(&[("a", "b"), ("c", "")]));
        check("tag=x;appid=app", Ok(&[("tag", "x"), ("appid", "app")]));
        check("a=%41%20+&&b==", Ok(&[("a", "A +"), ("b", "=")]));
        check("a=%C3%BC", Ok(&[("a", "ü")]));
        check("a=%4", Err("%4"));
        check("a=%zz", Err("%zz"));
        check("a=%ff", Err("%ff"));
    }
}
