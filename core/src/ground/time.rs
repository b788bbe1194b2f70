//! Time as an argument. No clock is read here: the adapter reads both clocks once per turn of its loop.

use std::fmt;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Milliseconds of a clock that never goes back; its zero is the adapter's choice. Deadlines use it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Mono(pub u64);

/// Milliseconds since 1970-01-01T00:00:00Z. Ages that survive a restart use it; it may jump both ways.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
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

    fn utc(self) -> OffsetDateTime {
        let ms = self.0.min(RFC3339_END_MS);
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000)
            .unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }

    /// `2026-01-01T00:00:00.000Z`, the form of CloudEvents' `time` (RFC 3339).
    #[must_use]
    pub fn to_rfc3339(self) -> String {
        let t = self.utc();
        format!(
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
            t.year(),
            u8::from(t.month()),
            t.day(),
            t.hour(),
            t.minute(),
            t.second(),
            t.millisecond()
        )
    }

    /// `Tue, 03 Nov 2015 14:37:11 GMT`, the form of HTTP's `Date` (RFC 9110 section 5.6.7).
    #[must_use]
    pub fn to_http_date(self) -> String {
        const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
        const MONTHS: [&str; 12] =
            ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
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
