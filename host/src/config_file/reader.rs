//! Tables and values with the place where they stand, and the problems that were found. No key is known here.
//!
//! Reading goes on after a problem, so that one run names them all. Problems quote what was found; a section that holds
//! secrets must not.

use std::ops::{Range, RangeInclusive};
use std::path::Path;

use offhook_core::ground::units;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Longer values are not quoted in a problem.
const QUOTED_MAX: usize = 60;

/// The file, and what is wrong with it.
#[derive(Debug)]
pub(super) struct Reader<'t> {
    file: &'t str,
    text: &'t str,
    problems: Vec<(usize, String)>,
}

/// A value, its name, and its place in the file.
#[derive(Clone, Debug)]
pub(super) struct Item<'t> {
    /// Such as `[xms] keepalive`.
    pub(super) name: String,
    /// The last key of the name.
    pub(super) key: &'t str,
    pub(super) value: &'t DeValue<'t>,
    key_at: usize,
    span: Range<usize>,
}

/// The keys of a table: those that exist, and those that are planned and this version does not have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keys<'k> {
    pub(super) known: &'k [&'k str],
    pub(super) later: &'k [&'k str],
}

impl<'t> Reader<'t> {
    pub(super) fn new(file: &'t str, text: &'t str) -> Reader<'t> {
        Reader { file, text, problems: Vec::new() }
    }

    /// The file's folder: what it names by a relative path is looked for there.
    pub(super) fn folder(&self) -> &'t Path {
        Path::new(self.file).parent().unwrap_or(Path::new(""))
    }

    /// How many problems there are.
    pub(super) fn problems(&self) -> usize {
        self.problems.len()
    }

    /// All problems, a line each, in the file's order; `None` if there are none.
    pub(super) fn finish(mut self) -> Option<String> {
        self.problems.sort();
        let lines: Vec<String> = self
            .problems
            .iter()
            .map(|(at, text)| format!("{}:{}: {text}", self.file, self.line(*at)))
            .collect();
        (!lines.is_empty()).then(|| lines.join("\n"))
    }

    /// The line that `at` stands in; the first is 1.
    fn line(&self, at: usize) -> usize {
        1 + self.text.bytes().take(at).filter(|byte| *byte == b'\n').count()
    }

    pub(super) fn problem_at(&mut self, at: usize, text: String) {
        self.problems.push((at, text));
    }

    /// A problem with the value of `item`, in a sentence of its own.
    pub(super) fn problem(&mut self, item: &Item<'t>, text: &str) {
        self.problem_at(item.span.start, format!("{}: {text}", item.name));
    }

    /// What was found does not fit what is `allowed`.
    pub(super) fn wrong(&mut self, item: &Item<'t>, allowed: &str) {
        let found = self.found(item);
        self.problem(item, &format!("found {found}, allowed: {allowed}"));
    }

    fn found(&self, item: &Item<'t>) -> String {
        let source = self.text.get(item.span.clone()).unwrap_or_default();
        if source.len() <= QUOTED_MAX && !source.contains('\n') && !source.is_empty() {
            return source.to_owned();
        }
        match item.value {
            DeValue::String(_) => "a long string".to_owned(),
            DeValue::Array(_) => "an array".to_owned(),
            DeValue::Table(_) => "a table".to_owned(),
            DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) => {
                item.value.type_str().to_owned()
            }
        }
    }

    /// The entries of `table` in the file's order, without those whose key is unknown: these become problems.
    /// `section` is the table's name with its brackets; empty for the top level.
    pub(super) fn entries(&mut self, section: &str, table: &'t DeTable<'t>, keys: Keys<'_>) -> Vec<Item<'t>> {
        let mut items = self.named_entries(section, table);
        items.retain(|item| keys.known.contains(&item.key) || self.unknown(item, keys));
        items
    }

    /// The entries of a table whose keys are names that the user gives.
    pub(super) fn named_entries(&mut self, section: &str, table: &'t DeTable<'t>) -> Vec<Item<'t>> {
        let mut items: Vec<Item<'t>> =
            table.iter().map(|(key, value)| Item::new(section, key, value)).collect();
        items.sort_by_key(|item| item.key_at);
        items
    }

    /// Always `false`: an unknown key is a problem and not an entry.
    fn unknown(&mut self, item: &Item<'t>, keys: Keys<'_>) -> bool {
        let (name, key) = (&item.name, item.key);
        let text = if keys.later.contains(&key) {
            format!("{name}: not in this version yet")
        } else if let Some(near) = nearest(key, keys.known.iter().chain(keys.later)) {
            format!("{name}: unknown key, did you mean \"{near}\"?")
        } else {
            format!("{name}: unknown key, allowed: {}", keys.known.join(", "))
        };
        self.problem_at(item.key_at, text);
        false
    }

    pub(super) fn table(&mut self, item: &Item<'t>, allowed: &str) -> Option<&'t DeTable<'t>> {
        self.or_wrong(item, item.value.as_table(), allowed)
    }

    pub(super) fn text(&mut self, item: &Item<'t>, allowed: &str) -> Option<&'t str> {
        self.or_wrong(item, item.value.as_str(), allowed)
    }

    /// Text that `parse` knows.
    pub(super) fn word<T>(
        &mut self,
        item: &Item<'t>,
        allowed: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let value = parse(self.text(item, allowed)?);
        self.or_wrong(item, value, allowed)
    }

    pub(super) fn boolean(&mut self, item: &Item<'t>) -> Option<bool> {
        self.or_wrong(item, item.value.as_bool(), "true or false")
    }

    pub(super) fn integer(&mut self, item: &Item<'t>, range: RangeInclusive<u64>) -> Option<u64> {
        let allowed = format!("a whole number from {} to {}", range.start(), range.end());
        let number = as_u64(item.value).filter(|number| range.contains(number));
        self.or_wrong(item, number, &allowed)
    }

    /// A number, whole or not.
    pub(super) fn number(&mut self, item: &Item<'t>, range: RangeInclusive<f64>) -> Option<f64> {
        let allowed = format!("a number from {} to {}", range.start(), range.end());
        let whole = as_u64(item.value).map(|number| number as f64);
        let number = whole.or_else(|| item.value.as_float().and_then(|float| float.as_str().parse().ok()));
        self.or_wrong(item, number.filter(|number| range.contains(number)), &allowed)
    }

    /// Milliseconds. `number_too` admits a plain number of them.
    pub(super) fn duration(
        &mut self,
        item: &Item<'t>,
        range: RangeInclusive<u64>,
        number_too: bool,
        example: &str,
    ) -> Option<u64> {
        let ms = item.value.as_str().and_then(units::duration_ms);
        let ms = ms.or_else(|| as_u64(item.value).filter(|_| number_too));
        let (from, to) = (units::write_duration(*range.start()), units::write_duration(*range.end()));
        let plain = if number_too { ", or a whole number of milliseconds" } else { "" };
        let allowed = format!("a duration from {from} to {to}, such as \"{example}\"{plain}");
        self.or_wrong(item, ms.filter(|ms| range.contains(ms)), &allowed)
    }

    /// Bytes.
    pub(super) fn size(&mut self, item: &Item<'t>, range: RangeInclusive<u64>, example: &str) -> Option<u64> {
        let bytes = item.value.as_str().and_then(units::size_bytes).or_else(|| as_u64(item.value));
        let (from, to) = (units::write_size(*range.start()), units::write_size(*range.end()));
        let allowed =
            format!("a size from {from} to {to}, such as \"{example}\", or a whole number of bytes");
        self.or_wrong(item, bytes.filter(|bytes| range.contains(bytes)), &allowed)
    }

    /// The elements of an array, each under the array's own name.
    pub(super) fn list(&mut self, item: &Item<'t>, allowed: &str) -> Option<Vec<Item<'t>>> {
        let array = self.or_wrong(item, item.value.as_array(), allowed)?;
        let element = |value: &'t Spanned<DeValue<'t>>| Item {
            value: value.get_ref(),
            span: value.span(),
            ..item.clone()
        };
        Some(array.iter().map(element).collect())
    }

    /// An array whose elements `parse` accepts; its error is a sentence that names what was found.
    pub(super) fn list_of<T>(
        &mut self,
        item: &Item<'t>,
        allowed: &str,
        mut parse: impl FnMut(&str) -> Result<T, String>,
    ) -> Option<Vec<T>> {
        let mut values = Vec::new();
        for element in self.list(item, allowed)? {
            match element.value.as_str().map(&mut parse) {
                Some(Ok(value)) => values.push(value),
                Some(Err(text)) if !text.is_empty() => {
                    self.problem(&element, &format!("{text}; allowed: {allowed}"))
                }
                Some(Err(_)) | None => self.wrong(&element, allowed),
            }
        }
        Some(values)
    }

    /// Text that no problem quotes.
    pub(super) fn secret(&mut self, item: &Item<'t>, allowed: &str) -> Option<String> {
        let text = item.value.as_str().filter(|text| is_secret(text)).map(str::to_owned);
        if text.is_none() {
            self.problem(item, &format!("this is a secret and not shown, allowed: {allowed}"));
        }
        text
    }

    /// The content of a file that `item` names, relative to the folder of the config file.
    pub(super) fn file(&mut self, item: &Item<'t>, allowed: &str) -> Option<String> {
        let name = self.text(item, allowed)?;
        let folder = Path::new(self.file).parent().unwrap_or(Path::new(""));
        match std::fs::read_to_string(folder.join(name)) {
            Ok(content) => Some(content),
            Err(error) => {
                self.problem(item, &format!("cannot read \"{name}\": {error}; allowed: {allowed}"));
                None
            }
        }
    }

    /// The secret that stands in a file, without the end of its line.
    pub(super) fn secret_of_file(&mut self, item: &Item<'t>, allowed: &str) -> Option<String> {
        let content = self.file(item, "a file that holds the secret")?;
        let text = content.strip_suffix('\n').unwrap_or(&content);
        let text = text.strip_suffix('\r').unwrap_or(text).to_owned();
        if !is_secret(&text) {
            self.problem(item, &format!("what the file holds is not shown, allowed: {allowed}"));
            return None;
        }
        Some(text)
    }

    fn or_wrong<T>(&mut self, item: &Item<'t>, value: Option<T>, allowed: &str) -> Option<T> {
        if value.is_none() {
            self.wrong(item, allowed);
        }
        value
    }
}

impl<'t> Item<'t> {
    fn new(
        section: &str,
        key: &'t Spanned<toml::de::DeString<'t>>,
        value: &'t Spanned<DeValue<'t>>,
    ) -> Item<'t> {
        let name = key.get_ref().as_ref();
        let is_table = value.get_ref().is_table();
        let is_tables =
            value.get_ref().as_array().is_some_and(|all| all.iter().any(|one| one.get_ref().is_table()));
        Item {
            name: match section {
                "" if is_table => format!("[{name}]"),
                "" if is_tables => format!("[[{name}]]"),
                _ if section.ends_with(']') => format!("{section} {name}"),
                _ => format!("{section}{name}"),
            },
            key: name,
            value: value.get_ref(),
            key_at: key.span().start,
            span: value.span(),
        }
    }

    /// The value, if it is a string.
    pub(super) fn text(&self) -> Option<&'t str> {
        self.value.as_str()
    }

    /// Whether the value is a string.
    pub(super) fn is_text(&self) -> bool {
        self.value.is_str()
    }

    /// The same value under another name: a header's table is called by its header.
    pub(super) fn called(mut self, name: &str) -> Item<'t> {
        name.clone_into(&mut self.name);
        self
    }
}

fn is_secret(text: &str) -> bool {
    (1..=1024).contains(&text.len()) && !text.chars().any(char::is_control)
}

fn as_u64(value: &DeValue<'_>) -> Option<u64> {
    let integer = value.as_integer()?;
    u64::from_str_radix(integer.as_str(), integer.radix()).ok()
}

/// The name that `word` was probably meant to be.
pub(super) fn nearest<'n>(word: &str, names: impl IntoIterator<Item = &'n &'n str>) -> Option<&'n str> {
    let most = (word.len() / 3).clamp(1, 3);
    let distance = |name: &'n &'n str| (strsim::osa_distance(word, name), *name);
    names.into_iter().map(distance).min().filter(|(distance, _)| *distance <= most).map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_near() {
        let names = ["keepalive", "prefix", "idle", "apps", "allow"];
        for (word, name) in [
            ("keepaliv", Some("keepalive")),
            ("keep_alive", Some("keepalive")),
            ("idel", Some("idle")),
            ("app", Some("apps")),
            ("timeout", None),
            ("x", None),
        ] {
            assert_eq!(nearest(word, &names), name, "{word}");
        }
    }
}
