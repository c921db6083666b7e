//! The time that a question is about, cut into the steps of a calendar.
//!
//! Pure: "now" and the first event are parameters. Invariant: the buckets cover `[start, end)` without gap or
//! overlap, across daylight saving, so what is counted once in the period is counted in exactly one bucket.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, Timestamp, ToSpan, Zoned};

/// Length of a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Hour,
    Day,
    /// From Monday.
    Week,
    Month,
}

/// The named intervals. All end with the bucket that holds now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interval {
    LastDay,
    Days(i32),
    Year,
    MonthToDate,
    QuarterToDate,
    YearToDate,
    All,
}

/// Names as in the query string.
pub const INTERVALS: [(&str, Interval); 9] = [
    ("24h", Interval::LastDay),
    ("7d", Interval::Days(7)),
    ("30d", Interval::Days(30)),
    ("90d", Interval::Days(90)),
    ("1y", Interval::Year),
    ("mtd", Interval::MonthToDate),
    ("qtd", Interval::QuarterToDate),
    ("ytd", Interval::YearToDate),
    ("all", Interval::All),
];

/// Bounds of buckets in a time zone: bucket `i` is `[bounds[i], bounds[i + 1])`.
#[derive(Clone, Debug)]
pub struct Period {
    zone: TimeZone,
    bounds: Vec<Timestamp>,
}

impl Period {
    /// A named interval as of `now`; `first` is the time of the first event, for `all`.
    pub fn of(
        interval: Interval,
        zone: TimeZone,
        now: Timestamp,
        first: Option<Timestamp>,
    ) -> Result<Self, jiff::Error> {
        let local = now.to_zoned(zone.clone());
        let today = local.date();
        let month = today.first_of_month();
        let (start, step) = match interval {
            Interval::LastDay => {
                let hour = floor_hour(&local);
                let start = hour.timestamp().checked_sub(SignedDuration::from_hours(23))?;
                (start.to_zoned(zone.clone()), Step::Hour)
            }
            Interval::Days(days) => (midnight(today.checked_sub((days - 1).days())?, &zone)?, Step::Day),
            Interval::Year => (midnight(month.checked_sub(11.months())?, &zone)?, Step::Month),
            Interval::MonthToDate => (midnight(month, &zone)?, Step::Day),
            Interval::QuarterToDate => {
                let back = i32::from((today.month() - 1) % 3);
                (midnight(month.checked_sub(back.months())?, &zone)?, Step::Day)
            }
            Interval::YearToDate => (midnight(today.first_of_year(), &zone)?, Step::Month),
            Interval::All => {
                let first = first.unwrap_or(now).min(now).to_zoned(zone.clone());
                (midnight(first.date().first_of_month(), &zone)?, Step::Month)
            }
        };
        let end = next(&local, step)?;
        Self::cut(&start, end.timestamp(), step)
    }

    /// From `start` to `end`, or to the end of the bucket that holds now.
    pub fn between(start: &Zoned, end: Option<Timestamp>, now: Timestamp) -> Result<Self, jiff::Error> {
        let length = end.unwrap_or(now).duration_since(start.timestamp());
        let step = match length.as_hours() {
            ..=48 => Step::Hour,
            49..=4320 => Step::Day,
            _ => Step::Month,
        };
        let end = match end {
            Some(end) => end,
            None => next(&now.to_zoned(start.time_zone().clone()), step)?.timestamp(),
        };
        Self::cut(start, end, step)
    }

    fn cut(start: &Zoned, end: Timestamp, step: Step) -> Result<Self, jiff::Error> {
        let mut bounds = vec![start.timestamp()];
        let mut bound = next(start, step)?;
        while bound.timestamp() < end {
            bounds.push(bound.timestamp());
            bound = next(&bound, step)?;
        }
        bounds.push(end);
        Ok(Self {
            zone: start.time_zone().clone(),
            bounds,
        })
    }

    pub fn start(&self) -> i64 {
        self.bounds.first().map_or(0, |bound| bound.as_millisecond())
    }

    /// Exclusive.
    pub fn end(&self) -> i64 {
        self.bounds.last().map_or(0, |bound| bound.as_millisecond())
    }

    /// Starts of the buckets, UTC milliseconds.
    pub fn starts(&self) -> Vec<i64> {
        let (_, starts) = self.bounds.split_last().unwrap_or((&Timestamp::UNIX_EPOCH, &[]));
        starts.iter().map(|bound| bound.as_millisecond()).collect()
    }

    /// Splits the period where whole units of UTC begin and end: `true` for the part that sums by `unit` milliseconds
    /// can answer, `false` for what sticks out and needs the rows. Buckets that begin within a unit leave rows only.
    pub fn slices(&self, unit: i64, buckets: bool) -> Vec<(bool, i64, i64)> {
        let (start, end) = (self.start(), self.end());
        let first = start + (-start).rem_euclid(unit);
        let last = end - end.rem_euclid(unit);
        if first >= last || (buckets && !self.starts().iter().skip(1).all(|bound| bound % unit == 0)) {
            return vec![(false, start, end)];
        }
        [(false, start, first), (true, first, last), (false, last, end)]
            .into_iter()
            .filter(|(_, start, end)| start < end)
            .collect()
    }

    /// From the same beginning to the end of the step that holds `until`, cut anew.
    pub fn in_steps(&self, step: Step, until: Timestamp) -> Result<Self, jiff::Error> {
        let start = Timestamp::from_millisecond(self.start())?.to_zoned(self.zone.clone());
        let end = next(&until.max(start.timestamp()).to_zoned(self.zone.clone()), step)?;
        Self::cut(&start, end.timestamp(), step)
    }

    /// The same length of time just before, as one bucket.
    pub fn before(&self) -> Self {
        let (start, end) = (self.start(), self.end());
        let earlier = Timestamp::from_millisecond(start - (end - start)).unwrap_or(Timestamp::UNIX_EPOCH);
        let start = Timestamp::from_millisecond(start).unwrap_or(Timestamp::UNIX_EPOCH);
        Self {
            zone: self.zone.clone(),
            bounds: vec![earlier, start],
        }
    }

    /// A time as the caller's clocks and calendars have it, with its offset.
    pub fn text(&self, millisecond: i64) -> String {
        let time = Timestamp::from_millisecond(millisecond).unwrap_or(Timestamp::UNIX_EPOCH);
        time.to_zoned(self.zone.clone())
            .strftime("%Y-%m-%dT%H:%M:%S%.3f%:z")
            .to_string()
    }
}

/// A time in UTC, as in Dub's answers.
pub fn utc_text(millisecond: i64) -> String {
    let time = Timestamp::from_millisecond(millisecond).unwrap_or(Timestamp::UNIX_EPOCH);
    time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

/// Where a day begins: not at 00:00 if the clock skips it.
pub fn midnight(date: Date, zone: &TimeZone) -> Result<Zoned, jiff::Error> {
    date.to_zoned(zone.clone())
}

fn floor_hour(time: &Zoned) -> Zoned {
    let into = i64::from(time.minute()) * 60 + i64::from(time.second());
    let whole = time.timestamp().as_second() - into;
    Timestamp::from_second(whole)
        .map(|start| start.to_zoned(time.time_zone().clone()))
        .unwrap_or_else(|_| time.clone())
}

/// The first bound after `time`. Hours are equal lengths of time; days and months are the calendar's.
fn next(time: &Zoned, step: Step) -> Result<Zoned, jiff::Error> {
    let (mut date, span): (Date, Span) = match step {
        Step::Hour => return floor_hour(time).checked_add(1.hour()),
        Step::Day => (time.date(), 1.day()),
        Step::Week => {
            let since_monday = i32::from(time.date().weekday().to_monday_zero_offset());
            (time.date().checked_sub(since_monday.days())?, 1.week())
        }
        Step::Month => (time.date().first_of_month(), 1.month()),
    };
    loop {
        date = date.checked_add(span)?;
        let bound = midnight(date, time.time_zone())?;
        // A day that the zone left out (Samoa, 30 December 2011) begins where the one after it does.
        if bound.timestamp() > time.timestamp() {
            return Ok(bound);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ZONES: [&str; 9] = [
        "UTC",
        "Europe/Berlin",
        "America/New_York",
        "America/Sao_Paulo",
        "Asia/Kolkata",
        "Asia/Kathmandu",
        "Australia/Lord_Howe",
        "Pacific/Apia",
        "Africa/Casablanca",
    ];

    fn zone(name: &str) -> TimeZone {
        TimeZone::get(name).unwrap()
    }

    #[test]
    fn buckets_cover_the_period_in_every_zone() {
        for name in ZONES {
            for now in [
                "2026-03-29T01:30:00Z",
                "2026-10-25T00:59:59.999Z",
                "2011-12-31T12:00:00Z",
            ] {
                let now: Timestamp = now.parse().unwrap();
                for (label, interval) in INTERVALS {
                    let first = now - SignedDuration::from_hours(24 * 400);
                    let period = Period::of(interval, zone(name), now, Some(first)).unwrap();
                    let rising = period.bounds.windows(2).all(|pair| pair[0] < pair[1]);
                    assert!(rising, "{name} {label} {now}: {:?}", period.bounds);
                    assert!(period.start() <= now.as_millisecond(), "{name} {label}");
                    assert!(period.end() > now.as_millisecond(), "{name} {label}");
                }
            }
        }
    }

    #[test]
    fn days_of_a_clock_change_have_23_and_25_hours() {
        for (now, hours) in [("2026-03-29T12:00:00Z", 23), ("2026-10-25T12:00:00Z", 25)] {
            let period = Period::of(
                Interval::Days(7),
                zone("Europe/Berlin"),
                now.parse().unwrap(),
                None,
            )
            .unwrap();
            let starts = period.starts();
            assert_eq!(starts.len(), 7);
            assert_eq!(period.end() - starts[6], hours * 3_600_000, "{now}");
            assert!(period.text(starts[6]).contains("T00:00:00.000+0"));
        }
    }

    #[test]
    fn intervals_have_the_calendars_length() {
        let now: Timestamp = "2026-11-21T08:15:00Z".parse().unwrap();
        let count = |interval| {
            Period::of(interval, zone("UTC"), now, None)
                .unwrap()
                .starts()
                .len()
        };
        assert_eq!(count(Interval::LastDay), 24);
        assert_eq!(count(Interval::Days(30)), 30);
        assert_eq!(count(Interval::Year), 12);
        assert_eq!(count(Interval::MonthToDate), 21);
        assert_eq!(count(Interval::QuarterToDate), 31 + 21);
        assert_eq!(count(Interval::YearToDate), 11);
        assert_eq!(count(Interval::All), 1);
    }

    #[test]
    fn explicit_bounds_are_kept_to_the_millisecond() {
        let start: Zoned = "2026-03-28T10:07:01.5+01:00[Europe/Berlin]".parse().unwrap();
        let end = start.timestamp() + SignedDuration::from_hours(72);
        let period = Period::between(&start, Some(end), end).unwrap();
        assert_eq!(period.start(), start.timestamp().as_millisecond());
        assert_eq!(period.end(), end.as_millisecond());
        assert_eq!(period.starts().len(), 4);
        assert_eq!(period.before().end(), period.start());
    }

    #[test]
    fn weeks_begin_on_monday_and_hold_the_moment_asked_for() {
        let start: Zoned = "2026-03-25T10:00:00+01:00[Europe/Berlin]".parse().unwrap();
        let until: Timestamp = "2026-04-05T21:59:59Z".parse().unwrap();
        let weeks = Period::between(&start, Some(until), until).unwrap();
        let weeks = weeks.in_steps(Step::Week, until).unwrap();
        let text = |at: &i64| weeks.text(*at);
        let starts: Vec<String> = weeks.starts().iter().map(text).collect();
        // The clock changes on the Sunday between.
        assert_eq!(
            starts,
            ["2026-03-25T10:00:00.000+01:00", "2026-03-30T00:00:00.000+02:00"]
        );
        assert_eq!(text(&weeks.end()), "2026-04-06T00:00:00.000+02:00");
    }

    #[test]
    fn what_sticks_out_of_whole_units_is_a_slice_of_its_own() {
        let now: Timestamp = "2026-11-21T08:15:00Z".parse().unwrap();
        let week = |name| Period::of(Interval::Days(7), zone(name), now, None).unwrap();
        let (hour, day) = (3_600_000, 86_400_000);
        let whole =
            |slices: Vec<(bool, i64, i64)>| -> Vec<bool> { slices.iter().map(|slice| slice.0).collect() };
        for (name, unit, expected) in [
            ("UTC", hour, &[true][..]),
            ("UTC", day, &[true]),
            ("Europe/Berlin", hour, &[true]),
            ("Europe/Berlin", day, &[false, true, false]),
            ("Asia/Kolkata", hour, &[false, true, false]),
        ] {
            let period = week(name);
            let slices = period.slices(unit, false);
            assert_eq!(whole(slices.clone()), expected, "{name}, {unit}");
            assert_eq!(slices.first().unwrap().1, period.start());
            assert_eq!(slices.last().unwrap().2, period.end());
            assert!(slices.windows(2).all(|pair| pair[0].2 == pair[1].1));
            assert!(
                slices
                    .iter()
                    .all(|(whole, start, end)| !whole || (start % unit == 0 && end % unit == 0))
            );
        }
        // Days of another zone begin within a day of UTC: none of its sums belongs to one of them.
        assert_eq!(whole(week("Europe/Berlin").slices(day, true)), [false]);
        assert_eq!(whole(week("Europe/Berlin").slices(hour, true)), [true]);
        assert_eq!(whole(week("Asia/Kolkata").slices(hour, true)), [false]);
    }
}
