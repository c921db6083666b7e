//! `interval`, `start`, `end` and `timezone` of a query string.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan, Zoned};

use crate::error::ApiError;
use crate::parameters::Parameters;
use crate::period::{INTERVALS, Interval, Period, midnight};

/// The period as asked for; it needs the clock, and for `all` the first event, to be one.
#[derive(Debug)]
pub struct PeriodRequest {
    zone: TimeZone,
    asked: Asked,
}

#[derive(Debug)]
enum Asked {
    Named(Interval),
    Between(Zoned, Option<Timestamp>),
}

impl PeriodRequest {
    pub fn take(parameters: &mut Parameters, otherwise: Interval) -> Result<Self, ApiError> {
        let name = parameters.text("timezone")?.unwrap_or_else(|| "UTC".to_owned());
        let zone = TimeZone::get(&name)
            .map_err(|_| ApiError::bad("timezone", format!("{name:?} is no IANA time zone")))?;
        let interval = parameters.choice("interval", &INTERVALS)?;
        let start = parameters.text("start")?;
        let end = parameters.text("end")?;
        let asked = match (start, end, interval) {
            (None, None, interval) => Asked::Named(interval.unwrap_or(otherwise)),
            // Start and end win over an interval, as in Dub's API.
            (Some(start), end, _) => {
                let start = moment("start", &start, &zone, false)?;
                let end = end.map(|end| moment("end", &end, &zone, true)).transpose()?;
                if end.as_ref().is_some_and(|end| *end <= start) {
                    return Err(ApiError::bad("end", "is not after start"));
                }
                Asked::Between(start, end.map(|end| end.timestamp()))
            }
            (None, Some(_), _) => return Err(ApiError::bad("start", "missing, though end is given")),
        };
        Ok(Self { zone, asked })
    }

    /// Whether the time of the first event is needed.
    pub fn needs_first(&self) -> bool {
        matches!(self.asked, Asked::Named(Interval::All))
    }

    pub fn resolve(self, now: Timestamp, first: Option<Timestamp>) -> Result<Period, ApiError> {
        let period = match self.asked {
            Asked::Named(interval) => Period::of(interval, self.zone, now, first),
            Asked::Between(start, None) if start.timestamp() > now => {
                return Err(ApiError::bad("start", "lies in the future"));
            }
            Asked::Between(start, end) => Period::between(&start, end, now),
        };
        period.map_err(|error| ApiError::bad("start", error))
    }
}

/// A time with its offset, or a local time or date in `zone`; the date of an end is included.
fn moment(name: &'static str, text: &str, zone: &TimeZone, end: bool) -> Result<Zoned, ApiError> {
    let read = || -> Result<Zoned, jiff::Error> {
        if let Ok(timestamp) = text.parse::<Timestamp>() {
            return Ok(timestamp.to_zoned(zone.clone()));
        }
        if text.contains(['T', ' ', 't']) {
            return text.parse::<DateTime>()?.to_zoned(zone.clone());
        }
        let date: Date = text.parse()?;
        midnight(if end { date.checked_add(1.day())? } else { date }, zone)
    };
    match read() {
        Ok(time) if (1970..=2200).contains(&time.year()) => Ok(time),
        Ok(_) => Err(ApiError::bad(
            name,
            format!("{text:?} lies outside of 1970 to 2200"),
        )),
        Err(_) => Err(ApiError::bad(
            name,
            format!("{text:?} is neither a date (2026-03-01) nor a time (2026-03-01T00:00:00Z)"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn period(pairs: &[(&str, &str)]) -> Result<Period, ApiError> {
        let pairs = pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned()));
        let request = PeriodRequest::take(&mut Parameters::new(pairs), Interval::LastDay)?;
        request.resolve("2026-11-21T08:15:00Z".parse().unwrap(), None)
    }

    #[test]
    fn dates_are_days_of_the_zone_and_the_last_is_included() {
        let asked = [
            ("start", "2026-03-28"),
            ("end", "2026-03-29"),
            ("timezone", "Europe/Berlin"),
        ];
        let period = period(&asked).unwrap();
        assert_eq!(period.text(period.start()), "2026-03-28T00:00:00.000+01:00");
        assert_eq!(period.text(period.end()), "2026-03-30T00:00:00.000+02:00");
        assert_eq!(period.starts().len(), 47);
    }

    #[test]
    fn what_cannot_be_meant_names_the_parameter() {
        for (pairs, name) in [
            (&[("timezone", "Mars/Olympus")][..], "timezone"),
            (&[("interval", "8d")][..], "interval"),
            (&[("end", "2026-01-01")][..], "start"),
            (&[("start", "yesterday")][..], "start"),
            (&[("start", "1812-01-01")][..], "start"),
            (&[("start", "2026-02-30")][..], "start"),
            (&[("start", "2026-02-03"), ("end", "2026-02-01")][..], "end"),
            (&[("start", "2030-01-01")][..], "start"),
        ] {
            let error = period(pairs).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{name}:")), "{pairs:?}: {error}");
        }
    }
}
