//! Dates as templates want them: `strftime` over UTC.

use std::fmt::Write;
use std::time::{SystemTime, UNIX_EPOCH};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] = [
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
];
const SECONDS_PER_DAY: u64 = 86_400;
/// Days in 400 years, after which the Gregorian calendar repeats.
const DAYS_PER_CYCLE: u64 = 146_097;

/// The parts of a point in time.
struct Date {
    year: u64,
    /// From 0.
    month: usize,
    /// From 1.
    day: u64,
    /// From 1.
    day_of_year: u64,
    /// From 0, which is Monday.
    weekday: usize,
    second_of_day: u64,
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn days_of_month(year: u64, month: usize) -> u64 {
    match month {
        1 if is_leap(year) => 29,
        1 => 28,
        3 | 5 | 8 | 10 => 30,
        _ => 31,
    }
}

impl Date {
    /// The date in UTC; times before 1970 count as the beginning of 1970.
    fn new(now: SystemTime) -> Date {
        let seconds = now
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        let days = seconds / SECONDS_PER_DAY;
        let mut year = 1970 + days / DAYS_PER_CYCLE * 400;
        let mut left = days % DAYS_PER_CYCLE;
        loop {
            let length = if is_leap(year) { 366 } else { 365 };
            if left < length {
                break;
            }
            left -= length;
            year += 1;
        }
        let day_of_year = left + 1;
        let mut month = 0;
        while left >= days_of_month(year, month) {
            left -= days_of_month(year, month);
            month += 1;
        }
        Date {
            year,
            month,
            day: left + 1,
            day_of_year,
            // The first of January 1970 was a Thursday.
            weekday: ((days + 3) % 7) as usize,
            second_of_day: seconds % SECONDS_PER_DAY,
        }
    }

    /// The year and the week by ISO 8601: weeks begin on Mondays and belong to the year of their Thursday.
    fn iso_week(&self) -> (u64, u64) {
        let days_of = |year| if is_leap(year) { 366 } else { 365 };
        // The day of the year of this week's Thursday, from 4 days before the year on.
        let thursday = self.day_of_year + 3;
        let weekday = self.weekday as u64;
        if thursday <= weekday {
            let thursday = thursday + days_of(self.year - 1) - weekday;
            return (self.year - 1, thursday.div_ceil(7));
        }
        match (thursday - weekday).checked_sub(days_of(self.year)) {
            Some(1..) => (self.year + 1, 1),
            _ => (self.year, (thursday - weekday).div_ceil(7)),
        }
    }
}

/// Formats `now` in UTC, with the fields that Python's `strftime` has in the C locale for a time without a time zone; `%-d`
/// and the like leave out leading zeros and blanks. The error is the first field that is not one of these.
pub fn strftime(format: &str, now: SystemTime) -> Result<String, String> {
    let date = Date::new(now);
    let month = MONTHS.get(date.month).copied().unwrap_or_default();
    let weekday = WEEKDAYS.get(date.weekday).copied().unwrap_or_default();
    let (hour, minute, second) = (
        date.second_of_day / 3600,
        date.second_of_day / 60 % 60,
        date.second_of_day % 60,
    );
    let mut text = String::new();
    let mut characters = format.chars();
    while let Some(character) = characters.next() {
        if character != '%' {
            text.push(character);
            continue;
        }
        let mut field = characters.next();
        let plain = field == Some('-');
        if plain {
            field = characters.next();
        }
        let week = |first: u64| (date.day_of_year + 6 - (date.weekday as u64 + 7 - first) % 7) / 7;
        let (iso_year, iso_week) = date.iso_week();
        let (number, width) = match field {
            Some('C') => (date.year / 100, 2),
            Some('d') => (date.day, 2),
            Some('G') => (iso_year, 4),
            Some('g') => (iso_year % 100, 2),
            Some('H') => (hour, 2),
            Some('I') => ((hour + 11) % 12 + 1, 2),
            Some('j') => (date.day_of_year, 3),
            Some('m') => (date.month as u64 + 1, 2),
            Some('M') => (minute, 2),
            Some('S') => (second, 2),
            Some('u') => (date.weekday as u64 + 1, 1),
            Some('U') => (week(6), 2),
            Some('V') => (iso_week, 2),
            Some('w') => ((date.weekday as u64 + 1) % 7, 1),
            Some('W') => (week(0), 2),
            Some('y') => (date.year % 100, 2),
            Some('Y') => (date.year, 4),
            other => {
                let blanks = if plain { 0 } else { 2 };
                let whole = |format: &str| strftime(format, now);
                match other {
                    Some('a') => text.push_str(weekday.get(..3).unwrap_or_default()),
                    Some('A') => text.push_str(weekday),
                    Some('b' | 'h') => text.push_str(month.get(..3).unwrap_or_default()),
                    Some('B') => text.push_str(month),
                    Some('c') => text.push_str(&whole("%a %b %e %H:%M:%S %Y")?),
                    Some('e') => text.push_str(&format!("{:blanks$}", date.day)),
                    Some('k') => text.push_str(&format!("{hour:blanks$}")),
                    Some('l') => text.push_str(&format!("{:blanks$}", (hour + 11) % 12 + 1)),
                    Some('p') => text.push_str(if hour < 12 { "AM" } else { "PM" }),
                    Some('P') => text.push_str(if hour < 12 { "am" } else { "pm" }),
                    Some('r') => text.push_str(&whole("%I:%M:%S %p")?),
                    Some('R') => text.push_str(&whole("%H:%M")?),
                    Some('D' | 'x') => text.push_str(&whole("%m/%d/%y")?),
                    Some('F') => text.push_str(&whole("%Y-%m-%d")?),
                    Some('T' | 'X') => text.push_str(&whole("%H:%M:%S")?),
                    Some('f') => {
                        let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
                        text.push_str(&format!("{:06}", since.subsec_micros()));
                    }
                    Some('n') => text.push('\n'),
                    Some('t') => text.push('\t'),
                    // The time has no time zone.
                    Some('z' | 'Z') => {}
                    Some('%') => text.push('%'),
                    Some(other) => return Err(format!("%{other}")),
                    None => return Err("%".to_string()),
                }
                continue;
            }
        };
        let width = if plain { 0 } else { width };
        // Writing to a String can't fail.
        let _ = write!(text, "{number:0width$}");
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn at(seconds: u64, format: &str) -> String {
        strftime(format, UNIX_EPOCH + Duration::from_secs(seconds)).unwrap()
    }

    #[test]
    fn the_day_before_and_after_the_leap_day() {
        assert_eq!(
            at(951_782_399, "%F %T %a %j"),
            "2000-02-28 23:59:59 Mon 059"
        );
        assert_eq!(at(951_782_400, "%F %a %j"), "2000-02-29 Tue 060");
        assert_eq!(at(951_868_800, "%F %A %-j"), "2000-03-01 Wednesday 61");
        assert_eq!(at(4_107_542_400, "%F"), "2100-03-01");
    }

    #[test]
    fn the_fields_that_templates_use() {
        assert_eq!(at(1_721_951_999, "%d %b %Y"), "25 Jul 2024");
        assert_eq!(
            at(1_720_137_600, "%B %-d, %Y %I:%M %p 100%%"),
            "July 5, 2024 12:00 AM 100%"
        );
        assert_eq!(at(1_720_137_600, "%e|%-e|%k|%l|%Z|%z"), " 5|5| 0|12||");
    }

    /// The expected texts come from Python's `strftime`.
    #[test]
    fn weeks_and_whole_dates() {
        let format = "%C %G-W%V-%u %g %U %W %w %D %R %h %k %l %r %c %x %X %n%t %P %j";
        for (seconds, expected) in [
            (
                1721951999,
                "20 2024-W30-4 24 29 30 4 07/25/24 23:59 Jul 23 11 11:59:59 PM Thu Jul 25 23:59:59 2024 07/25/24 23:59:59 \n\t pm 207",
            ),
            (
                1609632000,
                "20 2020-W53-7 20 01 00 0 01/03/21 00:00 Jan  0 12 12:00:00 AM Sun Jan  3 00:00:00 2021 01/03/21 00:00:00 \n\t am 003",
            ),
            (
                1609416000,
                "20 2020-W53-4 20 52 52 4 12/31/20 12:00 Dec 12 12 12:00:00 PM Thu Dec 31 12:00:00 2020 12/31/20 12:00:00 \n\t pm 366",
            ),
            (
                1546218123,
                "20 2019-W01-1 19 52 53 1 12/31/18 01:02 Dec  1  1 01:02:03 AM Mon Dec 31 01:02:03 2018 12/31/18 01:02:03 \n\t am 365",
            ),
            (
                1451653200,
                "20 2015-W53-5 15 00 00 5 01/01/16 13:00 Jan 13  1 01:00:00 PM Fri Jan  1 13:00:00 2016 01/01/16 13:00:00 \n\t pm 001",
            ),
            (
                951782400,
                "20 2000-W09-2 00 09 09 2 02/29/00 00:00 Feb  0 12 12:00:00 AM Tue Feb 29 00:00:00 2000 02/29/00 00:00:00 \n\t am 060",
            ),
            (
                0,
                "19 1970-W01-4 70 00 00 4 01/01/70 00:00 Jan  0 12 12:00:00 AM Thu Jan  1 00:00:00 1970 01/01/70 00:00:00 \n\t am 001",
            ),
            (
                1672567810,
                "20 2022-W52-7 22 01 00 0 01/01/23 10:10 Jan 10 10 10:10:10 AM Sun Jan  1 10:10:10 2023 01/01/23 10:10:10 \n\t am 001",
            ),
            (
                1798761600,
                "20 2026-W53-5 26 00 00 5 01/01/27 00:00 Jan  0 12 12:00:00 AM Fri Jan  1 00:00:00 2027 01/01/27 00:00:00 \n\t am 001",
            ),
        ] {
            assert_eq!(at(seconds, format), expected);
        }
    }

    #[test]
    fn an_unknown_field_is_named() {
        assert_eq!(strftime("%d %Q", UNIX_EPOCH), Err("%Q".to_string()));
        assert_eq!(strftime("%", UNIX_EPOCH), Err("%".to_string()));
    }
}
