//! `maintenance_windows` of an environment: when it may run by itself, in a time zone of its own. Pure: `now` is an
//! argument.

use chrono::{DateTime, Utc};
use jiff::civil::{Date, Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

use super::yaml::{Key, Node, Reader, join};

/// How far ahead the next opening is looked for (days); a window comes round every week.
const HORIZON: i64 = 8;
const DAYS: [(&str, Weekday); 7] = [
    ("mon", Weekday::Monday),
    ("tue", Weekday::Tuesday),
    ("wed", Weekday::Wednesday),
    ("thu", Weekday::Thursday),
    ("fri", Weekday::Friday),
    ("sat", Weekday::Saturday),
    ("sun", Weekday::Sunday),
];

/// When an environment may run; without a window always.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Windows(pub Vec<Window>);

/// A time of the week.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// On which days it begins.
    pub days: Vec<Weekday>,
    /// When it begins, in minutes since midnight.
    pub start: u32,
    /// When it ends, in minutes since the midnight before it began; above 1440 on the day after.
    pub end: u32,
    /// The zone in which that is said.
    pub zone: TimeZone,
}

/// Where a moment lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WindowState {
    /// A run may begin.
    Open,
    /// No run may begin before this moment.
    Closed {
        /// When the next window opens.
        opens: DateTime<Utc>,
        /// The same in the window's own zone, for people.
        local: String,
    },
}

impl Windows {
    /// Whether a run may begin at `now`, and when one may else.
    pub fn at(&self, now: DateTime<Utc>) -> WindowState {
        if self.0.is_empty() {
            return WindowState::Open;
        }
        let Ok(moment) = Timestamp::from_millisecond(now.timestamp_millis()) else { return WindowState::Open };
        let mut next: Option<(Timestamp, &TimeZone)> = None;
        for window in &self.0 {
            let today = window.zone.to_datetime(moment).date();
            // A window that began yesterday may still be open.
            for day in -1..=HORIZON {
                let Some((start, end)) = window.on(today, day) else { continue };
                if start <= moment && moment < end {
                    return WindowState::Open;
                }
                if start > moment && next.as_ref().is_none_or(|(known, _)| start < *known) {
                    next = Some((start, &window.zone));
                }
            }
        }
        match next.and_then(|(at, zone)| Some((at, DateTime::from_timestamp_millis(at.as_millisecond())?, zone))) {
            Some((at, opens, zone)) => {
                let local = at.to_zoned(zone.clone());
                let name = zone.iana_name().unwrap_or("UTC");
                WindowState::Closed { opens, local: format!("{} {name}", local.strftime("%Y-%m-%d %H:%M")) }
            }
            // Every window has a day, so one begins within the horizon.
            None => WindowState::Closed { opens: now + chrono::TimeDelta::days(1), local: String::new() },
        }
    }
}

impl Window {
    /// Beginning and end of the window that begins `day` days after `today`, if it begins on such a day. Times that the
    /// zone skips or repeats that night are taken as the zone's own rules say.
    fn on(&self, today: Date, day: i64) -> Option<(Timestamp, Timestamp)> {
        let date = today.checked_add(Span::new().days(day)).ok()?;
        if !self.days.contains(&date.weekday()) {
            return None;
        }
        let at = |minutes: u32| {
            let date = date.checked_add(Span::new().days(i64::from(minutes / 1440))).ok()?;
            let time = Time::new(i8::try_from(minutes / 60 % 24).ok()?, i8::try_from(minutes % 60).ok()?, 0, 0).ok()?;
            Some(date.to_datetime(time).to_zoned(self.zone.clone()).ok()?.timestamp())
        };
        Some((at(self.start)?, at(self.end)?))
    }
}

/// Reads the list of windows.
pub(super) fn read(reader: &mut Reader, node: &Node, path: &str, key: &Key) -> Windows {
    let items = reader.list(node, path);
    if items.is_empty() {
        reader.wrong_key(key, format!("`{path}` names no window, so nothing could ever run; leave the key out"));
    }
    Windows(items.iter().filter_map(|item| window(reader, item, path)).collect())
}

fn window(reader: &mut Reader, node: &Node, path: &str) -> Option<Window> {
    let fields = reader.fields(node, path, &["days", "start", "end", "timezone"]);
    let mut days = Vec::new();
    match fields.get("days") {
        None => days.extend(DAYS.map(|(_, day)| day)),
        Some((list, path)) => {
            let items = reader.list(list, &path);
            if items.is_empty() {
                reader.wrong(list, format!("`{path}` is empty; leave it out for every day"));
                return None;
            }
            for item in items {
                let day = reader.one_of(item, &path, &DAYS)?;
                if days.contains(&day) {
                    reader.wrong(item, format!("`{path}` names a day twice"));
                    return None;
                }
                days.push(day);
            }
        }
    }
    let (mut start, mut end, mut complete) = (0, 0, true);
    for (name, value) in [("start", &mut start), ("end", &mut end)] {
        match fields.get(name) {
            Some((node, path)) => match reader.string(node, &path).as_deref().and_then(minutes) {
                Some(minutes) => *value = minutes,
                None => {
                    reader.wrong(node, format!("`{path}` must be a time of day in quotes, such as \"22:30\""));
                    complete = false;
                }
            },
            None => {
                reader.wrong(node, format!("`{}` is missing", join(path, name)));
                complete = false;
            }
        }
    }
    let zone = match fields.get("timezone") {
        None => Some(TimeZone::UTC),
        Some((node, path)) => {
            let name = reader.string(node, &path)?;
            let zone = zone(&name);
            if zone.is_none() {
                reader.wrong(node, format!("`{path}` is no time zone; write one such as `Europe/Berlin` or `UTC`"));
            }
            zone
        }
    };
    if !complete {
        return None;
    }
    if start == end || start == 1440 {
        reader.wrong(node, format!("`{path}`: a window ends after it starts; a whole day is \"00:00\" to \"24:00\""));
        return None;
    }
    // One that ends before it starts ends on the day after.
    let end = if end < start { end + 1440 } else { end };
    Some(Window { days, start, end, zone: zone? })
}

/// A zone by its name in the zone database that is part of the program, so that every machine says the same.
fn zone(name: &str) -> Option<TimeZone> {
    if matches!(name, "UTC" | "Z") {
        return Some(TimeZone::UTC);
    }
    jiff::tz::TimeZoneDatabase::bundled().get(name).ok()
}

/// `HH:MM` as minutes since midnight; `24:00` is the end of a day.
fn minutes(text: &str) -> Option<u32> {
    let (hours, minutes) = text.split_once(':')?;
    let digits = |s: &str| (s.len() == 2 && s.bytes().all(|b| b.is_ascii_digit())).then(|| s.parse::<u32>().ok())?;
    let (hours, minutes) = (digits(hours)?, digits(minutes)?);
    (minutes < 60 && (hours < 24 || (hours, minutes) == (24, 0))).then_some(hours * 60 + minutes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::yaml;

    fn windows(text: &str) -> Windows {
        let node = yaml::parse("f", text).unwrap();
        let mut reader = Reader::new("f");
        let key = Key { line: 1, column: 1, name: "maintenance_windows".into() };
        let windows = read(&mut reader, &node, "production.maintenance_windows", &key);
        reader.finish(windows).unwrap()
    }

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn state(windows: &Windows, now: &str) -> String {
        match windows.at(at(now)) {
            WindowState::Open => "open".to_owned(),
            WindowState::Closed { opens, local } => format!("{} | {local}", opens.format("%a %Y-%m-%dT%H:%MZ")),
        }
    }

    #[test]
    fn s1_58_a_moment_is_inside_a_window_or_before_the_next_one() {
        let weekend = windows("[{ days: [sat, sun], start: \"02:00\", end: \"04:00\", timezone: UTC }]");
        for (now, expected) in [
            ("2026-11-21T01:59:59Z", "Sat 2026-11-21T02:00Z | 2026-11-21 02:00 UTC"),
            ("2026-11-21T02:00:00Z", "open"),
            ("2026-11-21T03:59:59Z", "open"),
            ("2026-11-21T04:00:00Z", "Sun 2026-11-22T02:00Z | 2026-11-22 02:00 UTC"),
            ("2026-11-22T04:00:00Z", "Sat 2026-11-28T02:00Z | 2026-11-28 02:00 UTC"),
        ] {
            assert_eq!(state(&weekend, now), expected, "{now}");
        }
        assert_eq!(Windows::default().at(at("2026-11-21T04:00:00Z")), WindowState::Open);
    }

    #[test]
    fn a_window_over_midnight_belongs_to_the_day_it_begins() {
        let nights = windows("[{ days: [fri], start: \"22:00\", end: \"04:00\", timezone: America/New_York }]");
        for (now, expected) in [
            // 22:00 in New York is 03:00 UTC in winter.
            ("2026-11-21T02:59:00Z", "Sat 2026-11-21T03:00Z | 2026-11-20 22:00 America/New_York"),
            ("2026-11-21T03:00:00Z", "open"),
            ("2026-11-21T08:59:00Z", "open"),
            ("2026-11-21T09:00:00Z", "Sat 2026-11-28T03:00Z | 2026-11-27 22:00 America/New_York"),
        ] {
            assert_eq!(state(&nights, now), expected, "{now}");
        }
    }

    #[test]
    fn summer_time_moves_a_window_in_utc_and_not_where_people_live() {
        let berlin = windows("[{ start: \"02:30\", end: \"05:00\", timezone: Europe/Berlin }]");
        for (now, expected) in [
            ("2026-03-28T00:00:00Z", "Sat 2026-03-28T01:30Z | 2026-03-28 02:30 Europe/Berlin"),
            // That night there is no half past two.
            ("2026-03-29T00:59:00Z", "Sun 2026-03-29T01:30Z | 2026-03-29 03:30 Europe/Berlin"),
            ("2026-03-29T23:00:00Z", "Mon 2026-03-30T00:30Z | 2026-03-30 02:30 Europe/Berlin"),
        ] {
            assert_eq!(state(&berlin, now), expected, "{now}");
        }
        let whole = windows("[{ days: [sun], start: \"00:00\", end: \"24:00\" }]");
        assert_eq!(state(&whole, "2026-11-22T23:59:59Z"), "open");
        assert_eq!(state(&whole, "2026-11-23T00:00:00Z"), "Sun 2026-11-29T00:00Z | 2026-11-29 00:00 UTC");
    }
}
