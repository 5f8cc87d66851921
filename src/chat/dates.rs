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
/// Days of 400 years, after which the Gregorian calendar repeats.
const DAYS_PER_CYCLE: u64 = 146_097;

/// A moment, taken apart.
struct Date {
    year: u64,
    /// From 0.
    month: usize,
    /// From 1.
    day: u64,
    /// From 1.
    day_of_year: u64,
    /// From Monday, 0.
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
    /// The date in UTC; times before 1970 count as its beginning.
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
}

/// `now` in UTC as `format` says, with the fields of C's strftime: `%a %A %b %B %d %e %H %I %j %m %M %p %S %y %Y %Z %F %T
/// %%`, and `%-d` and the like without a leading zero. Gives the field that is none of these as an error.
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
        let (number, width) = match field {
            Some('d') => (date.day, 2),
            Some('H') => (hour, 2),
            Some('I') => ((hour + 11) % 12 + 1, 2),
            Some('j') => (date.day_of_year, 3),
            Some('m') => (date.month as u64 + 1, 2),
            Some('M') => (minute, 2),
            Some('S') => (second, 2),
            Some('y') => (date.year % 100, 2),
            Some('Y') => (date.year, 4),
            other => {
                match other {
                    Some('a') => text.push_str(weekday.get(..3).unwrap_or_default()),
                    Some('A') => text.push_str(weekday),
                    Some('b') => text.push_str(month.get(..3).unwrap_or_default()),
                    Some('B') => text.push_str(month),
                    Some('e') => text.push_str(&format!("{:2}", date.day)),
                    Some('p') => text.push_str(if hour < 12 { "AM" } else { "PM" }),
                    Some('Z') => text.push_str("UTC"),
                    Some('F') => text.push_str(&strftime("%Y-%m-%d", now)?),
                    Some('T') => text.push_str(&strftime("%H:%M:%S", now)?),
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
    }

    #[test]
    fn an_unknown_field_is_named() {
        assert_eq!(strftime("%d %Q", UNIX_EPOCH), Err("%Q".to_string()));
        assert_eq!(strftime("%", UNIX_EPOCH), Err("%".to_string()));
    }
}
