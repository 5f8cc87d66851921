//! Decides how often and when a request is tried again.

use std::time::{Duration, SystemTime};

use super::HubOptions;
use super::trouble::Trouble;

/// The most tries in a row in which nothing arrives.
const MOST_TRIES: u32 = 5;
/// The wait before the second try; each later wait is twice as long as the previous one.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// The longest wait that a server may ask for.
const LONGEST_WAIT: Duration = Duration::from_secs(300);
/// The time between two checks whether the caller wants to end a wait.
const LOOK: Duration = Duration::from_millis(50);

/// Decides whether another try is worthwhile, and waits for it.
pub struct Patience<'a> {
    options: &'a HubOptions,
    /// The name that messages use for what is fetched.
    what: &'a str,
    /// Tries in a row in which nothing arrived.
    tries: u32,
}

impl<'a> Patience<'a> {
    /// Patience for something that has not been tried yet.
    pub fn new(options: &'a HubOptions, what: &'a str) -> Patience<'a> {
        Patience {
            options,
            what,
            tries: 0,
        }
    }

    /// Must be called when something new has arrived.
    pub fn renew(&mut self) {
        self.tries = 0;
    }

    /// Returns when it is time for the next try.
    ///
    /// # Errors
    /// The trouble, if another try is not likely to end differently.
    pub fn wait(&mut self, trouble: Trouble) -> Result<(), Trouble> {
        let after = match &trouble {
            Trouble::Status {
                status: 408 | 425 | 429 | 500 | 502 | 503 | 504,
                after,
            } => *after,
            Trouble::Passing(_) => None,
            _ => return Err(trouble),
        };
        self.tries += 1;
        let wait = after.unwrap_or(FIRST_WAIT * (1 << (self.tries - 1)));
        if self.tries >= MOST_TRIES || wait > LONGEST_WAIT {
            return Err(trouble);
        }
        let (what, problem) = (self.what, trouble.describe());
        let seconds = wait.as_secs_f64();
        self.options
            .tell(&format!("{what}: {problem}; trying again in {seconds} s"));
        pause(self.options, wait)
    }
}

/// Waits, unless the caller wants to end it.
///
/// # Errors
/// [`Trouble::Cancelled`].
pub fn pause(options: &HubOptions, wait: Duration) -> Result<(), Trouble> {
    let mut left = wait;
    loop {
        if options.is_cancelled() {
            return Err(Trouble::Cancelled);
        }
        if left.is_zero() {
            return Ok(());
        }
        let part = left.min(LOOK);
        std::thread::sleep(part);
        left -= part;
    }
}

/// How long an answer asks us to wait, by its headers Retry-After (seconds, or a date) and RateLimit (`t=SECONDS` until
/// requests are allowed again).
pub fn wait_asked_for(retry_after: Option<&str>, rate_limit: Option<&str>) -> Option<Duration> {
    let after = retry_after.and_then(|text| {
        let seconds = text.parse().ok().map(Duration::from_secs);
        seconds.or_else(|| {
            let moment = httpdate::parse_http_date(text).ok()?;
            Some(moment.duration_since(SystemTime::now()).unwrap_or_default())
        })
    });
    after.or_else(|| {
        let mut parts = rate_limit?.split([';', ',']);
        let seconds = parts.find_map(|part| part.trim().strip_prefix("t="))?;
        seconds.parse().ok().map(Duration::from_secs)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_say_how_long_to_wait() {
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(
            wait_asked_for(Some("7"), Some("\"api\";r=0;t=55")),
            seconds(7)
        );
        assert_eq!(wait_asked_for(None, Some("\"api\";r=0;t=55")), seconds(55));
        // HTTP knows three forms of a moment.
        for past in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
        ] {
            assert_eq!(wait_asked_for(Some(past), None), seconds(0), "{past}");
        }
        let soon = SystemTime::now() + Duration::from_secs(100);
        let wait = wait_asked_for(Some(&httpdate::fmt_http_date(soon)), None).unwrap();
        assert!((90..=100).contains(&wait.as_secs()), "{wait:?}");
        for none in ["soon", "", "-1", "Sun, x Nov 1994 08:49:37 GMT"] {
            assert_eq!(wait_asked_for(Some(none), None), None, "{none}");
        }
        assert_eq!(wait_asked_for(None, None), None);
    }

    #[test]
    fn patience_ends_and_is_renewed() {
        let options = HubOptions::new("nowhere");
        let mut patience = Patience::new(&options, "a file");
        let busy = Trouble::Status {
            status: 503,
            after: Some(Duration::ZERO),
        };
        for _ in 0..2 {
            for _ in 1..MOST_TRIES {
                assert_eq!(patience.wait(busy.clone()), Ok(()));
            }
            patience.renew();
        }
        let tries = (0..9).take_while(|_| patience.wait(busy.clone()).is_ok());
        assert_eq!(tries.count() as u32, MOST_TRIES - 1);
    }

    #[test]
    fn what_lasts_is_not_tried_again() {
        let options = HubOptions::new("nowhere");
        for trouble in [
            Trouble::Lasting("no".to_string()),
            Trouble::Cancelled,
            Trouble::Status {
                status: 404,
                after: None,
            },
            Trouble::Status {
                status: 429,
                after: Some(LONGEST_WAIT * 2),
            },
        ] {
            let mut patience = Patience::new(&options, "a file");
            assert_eq!(patience.wait(trouble.clone()), Err(trouble));
        }
    }
}
