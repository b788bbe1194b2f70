//! Time as an argument. No clock is read here: the adapter reads both clocks once per turn of its loop.

use std::fmt;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Milliseconds of a clock that never goes back; its zero is the adapter's choice. Deadlines use it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Mono(pub u64);

/// Milliseconds since 1970-01-01T00:00:00Z. Ages that survive a restart use it; it may jump both ways.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Wall(pub u64);

/// Both clocks, read at the same moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Now {
    /// For deadlines.
    pub mono: Mono,
    /// For dates, and for ages that survive a restart.
    pub wall: Wall,
}

impl Mono {
    /// Later than any deadline.
    pub const NEVER: Mono = Mono(u64::MAX);

    /// This moment and `ms` milliseconds.
    #[must_use]
    pub fn plus_ms(self, ms: u64) -> Mono {
        Mono(self.0.saturating_add(ms))
    }

    /// Milliseconds from `earlier` to this moment; 0 if that lies ahead.
    #[must_use]
    pub fn since(self, earlier: Mono) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// The months of HTTP dates.
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// The last moment that RFC 3339 can write: 9999-12-31T23:59:59.999Z.
const RFC3339_END_MS: u64 = 253_402_300_799_999;

impl Wall {
    /// Milliseconds from `earlier` to this moment; 0 if that lies ahead.
    #[must_use]
    pub fn since(self, earlier: Wall) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The moment that an RFC 3339 text names, cut to milliseconds; `None` for other text and for years before 1970.
    #[must_use]
    pub fn from_rfc3339(text: &str) -> Option<Wall> {
        let moment = OffsetDateTime::parse(text, &Rfc3339).ok()?;
        u64::try_from(moment.unix_timestamp_nanos() / 1_000_000).ok().map(Wall)
    }

    /// The moment that an HTTP date names, in any of the three forms that must be read (RFC 9110 section 5.6.7). `now`
    /// decides the century of a year of two digits: one that lies more than 50 years ahead is meant to be past.
    #[must_use]
    pub fn from_http_date(text: &str, now: Wall) -> Option<Wall> {
        let words: Vec<&str> = text.split([' ', '-']).filter(|word| !word.is_empty()).collect();
        let (day, month, year, clock) = match words[..] {
            [weekday, day, month, year, clock, "GMT"] if weekday.ends_with(',') => (day, month, year, clock),
            [_, month, day, clock, year] => (day, month, year, clock),
            _ => return None,
        };
        let number =
            |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<u16>().ok())?;
        let small = |text: &str| u8::try_from(number(text)?).ok();
        let month = MONTHS.iter().position(|name| *name == month)?;
        let mut parts = clock.split(':');
        let (hour, minute, second) = (small(parts.next()?)?, small(parts.next()?)?, small(parts.next()?)?);
        let century = i32::from(year.len() == 2) * (now.utc().year() / 100 * 100);
        let mut year = i32::from(number(year)?) + century;
        if century > 0 && year > now.utc().year() + 50 {
            year -= 100;
        }
        let month = time::Month::try_from(u8::try_from(month).ok()? + 1).ok()?;
        let date = time::Date::from_calendar_date(year, month, small(day)?).ok()?;
        // A leap second may be written; our clock does not have it.
        let moment = date
            .with_hms(hour, minute, second.min(59))
            .ok()
            .filter(|_| second <= 60 && parts.next().is_none())?;
        u64::try_from(moment.assume_utc().unix_timestamp()).ok().map(|s| Wall(s * 1_000))
    }

    fn utc(self) -> OffsetDateTime {
        let ms = self.0.min(RFC3339_END_MS);
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000)
            .unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }

    /// `2026-01-01T00:00:00.000Z`, the form of CloudEvents' `time` (RFC 3339).
    #[must_use]
    pub fn to_rfc3339(self) -> String {
        let t = self.utc();
        // Every event without a time gets one, and the formatter is slower than all the rest of its making.
        let mut text = String::with_capacity(24);
        let mut put = |number: u32, digits: u32, after: char| {
            for place in (0..digits).rev() {
                text.push(char::from(b'0' + (number / 10_u32.pow(place) % 10) as u8));
            }
            text.push(after);
        };
        put(t.year().unsigned_abs(), 4, '-');
        put(u8::from(t.month()).into(), 2, '-');
        put(t.day().into(), 2, 'T');
        put(t.hour().into(), 2, ':');
        put(t.minute().into(), 2, ':');
        put(t.second().into(), 2, '.');
        put(t.millisecond().into(), 3, 'Z');
        text
    }

    /// `Tue, 03 Nov 2015 14:37:11 GMT`, the form of HTTP's `Date` (RFC 9110 section 5.6.7).
    #[must_use]
    pub fn to_http_date(self) -> String {
        const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
        let t = self.utc();
        format!(
            "{}, {:02} {} {:04} {:02}:{:02}:{:02} GMT",
            DAYS[usize::from(t.weekday().number_days_from_monday())],
            t.day(),
            MONTHS[usize::from(u8::from(t.month())) - 1],
            t.year(),
            t.hour(),
            t.minute(),
            t.second()
        )
    }
}

impl fmt::Display for Wall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_rfc3339())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_as_the_rfcs_show_them() {
        let wall = Wall::from_rfc3339("2015-11-03T14:37:11Z").unwrap();
        assert_eq!(wall.to_http_date(), "Tue, 03 Nov 2015 14:37:11 GMT");
        assert_eq!(wall.to_rfc3339(), "2015-11-03T14:37:11.000Z");
        assert_eq!(Wall(u64::MAX).to_rfc3339(), "9999-12-31T23:59:59.999Z");
    }

    #[test]
    fn http_dates_are_read_in_three_forms() {
        let now = Wall::from_rfc3339("2026-01-01T00:00:00Z").unwrap();
        for (text, date) in [
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some("1994-11-06T08:49:37Z")),
            ("Sunday, 06-Nov-94 08:49:37 GMT", Some("1994-11-06T08:49:37Z")),
            ("Sunday, 06-Nov-31 08:49:37 GMT", Some("2031-11-06T08:49:37Z")),
            ("Sun Nov  6 08:49:37 1994", Some("1994-11-06T08:49:37Z")),
            ("Sat, 31 Dec 2016 23:59:60 GMT", Some("2016-12-31T23:59:59Z")),
            ("Sun, 31 Feb 2016 08:49:37 GMT", None),
            ("Sun, 06 Nov 1994 08:49:37 CET", None),
            ("Sun, 06 Nov 1994 08:49 GMT", None),
            ("Sun, 06 Nov 1994 08:49:37:1 GMT", None),
            ("Sun, +6 Nov 1994 08:49:37 GMT", None),
            ("06 Nov 1994", None),
            ("", None),
        ] {
            assert_eq!(Wall::from_http_date(text, now), date.and_then(Wall::from_rfc3339), "{text}");
        }
    }

    #[test]
    fn rfc3339_is_judged() {
        for (text, ms) in [
            ("1970-01-01T00:00:01.5Z", Some(1500)),
            ("1970-01-01T01:00:00+01:00", Some(0)),
            ("2026-01-01", None),
            ("1969-12-31T23:59:59Z", None),
            ("now", None),
        ] {
            assert_eq!(Wall::from_rfc3339(text).map(|w| w.0), ms, "{text}");
        }
    }
}
