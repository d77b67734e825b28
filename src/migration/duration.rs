//! How long a migration is said to take: `5m`, `1h 30m`, `90 seconds`. It is for people, so the words that they use are taken.

use std::time::Duration;

/// Units, each with the words for it and its seconds.
const UNITS: [(&[&str], f64); 5] = [
    (&["ms", "millisecond", "milliseconds"], 0.001),
    (&["s", "sec", "secs", "second", "seconds"], 1.0),
    (&["m", "min", "mins", "minute", "minutes"], 60.0),
    (&["h", "hr", "hrs", "hour", "hours"], 3600.0),
    (&["d", "day", "days"], 86_400.0),
];

/// What may stand in front.
const ABOUT: [&str; 8] = ["~", "≈", "<", "≤", "about ", "approx. ", "ca. ", "up to "];

/// The time that `text` says; of a span such as `5-10m` the longer.
///
/// # Errors
/// What is no such time, in words for its author.
pub fn parse(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no time such as `30s`, `5m` or `1h30m`");
    let lower = text.trim().to_lowercase();
    let said = ABOUT.iter().find_map(|word| lower.strip_prefix(word)).unwrap_or(&lower).trim_start();
    let (shorter, longer) = said.split_once(['-', '–']).map_or((None, said), |(a, b)| (Some(a.trim()), b));
    // The shorter end of a span may leave its unit to the longer.
    let is_said = shorter.is_none_or(|text| text.parse::<f64>().is_ok() || seconds(text).is_some());
    let longest = seconds(longer).filter(|_| is_said).ok_or_else(wrong)?;
    Duration::try_from_secs_f64(longest).map_err(|_| wrong())
}

/// Numbers with their units, one behind the other.
fn seconds(text: &str) -> Option<f64> {
    let mut rest = text.trim();
    let mut sum = None;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let number: f64 = rest[..digits].parse().ok()?;
        rest = rest[digits..].trim_start();
        let letters = rest.find(|c: char| !c.is_alphabetic()).unwrap_or(rest.len());
        let (_, unit) = UNITS.iter().find(|(words, _)| words.contains(&&rest[..letters]))?;
        sum = Some(sum.unwrap_or(0.0) + number * unit);
        rest = rest[letters..].trim_start();
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        for (text, seconds) in [
            ("5m", 300),
            ("30s", 30),
            ("1h30m", 5400),
            ("1h 30m", 5400),
            ("90 seconds", 90),
            ("2 hours", 7200),
            ("~5 min", 300),
            ("< 1m", 60),
            ("about 2 Minutes", 120),
            ("5-10m", 600),
            ("30s – 2 min", 120),
            ("1.5h", 5400),
            ("1 day", 86_400),
            ("0s", 0),
            ("250ms", 0),
        ] {
            assert_eq!(parse(text).map(|d| d.as_secs()), Ok(seconds), "{text}");
        }
        for text in ["soon", "", " ", "5", "m", "5x", "5m later", "-5m", "5-", "5m-", "1e9999s", "9.9.9s", "~", "٥m"] {
            assert!(parse(text).is_err_and(|e| e.contains("is no time")), "{text}: {:?}", parse(text));
        }
        assert!(parse(&format!("{}d", "9".repeat(400))).is_err());
    }
}
