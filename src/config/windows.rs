//! `maintenance_windows` of an environment: when it may run by itself, in a time zone of its own. Pure: `now` is an
//! argument.

use chrono::{DateTime, TimeDelta, Utc};
use jiff::civil::{Date, Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

use super::Environment;
use super::schema::{Form, Rule};
use super::yaml::{Key, Node, Reader, join};

/// How far ahead the next opening is looked for (days); a window comes round every week.
const HORIZON: i64 = 8;
/// How far ahead a moment is looked for at which several windows are open (days): each week is like the one before, but for
/// summer time, which comes to one zone before another.
const MEETING: i64 = 22;
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
        /// The services whose windows it waits for; none where those of the environment alone are closed.
        services: Vec<String>,
    },
    /// No run may begin: the windows of these services and those of the environment are never open at the same time.
    Never {
        /// The services, one at least.
        services: Vec<String>,
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
                let local = format!("{} {name}", local.strftime("%Y-%m-%d %H:%M"));
                WindowState::Closed { opens, local, services: Vec::new() }
            }
            // Every window has a day, so one begins within the horizon.
            None => {
                let opens = now + TimeDelta::days(1);
                WindowState::Closed { opens, local: String::new(), services: Vec::new() }
            }
        }
    }
}

impl Environment {
    /// Whether it has times at which no run may begin, its own or those of a service.
    pub fn has_windows(&self) -> bool {
        !self.windows.0.is_empty() || !self.service_windows.is_empty()
    }

    /// Whether a run may begin at `now` by its own windows and by those of the services concerned, and when one may else.
    pub fn window_at(&self, now: DateTime<Utc>) -> WindowState {
        if self.service_windows.is_empty() {
            return self.windows.at(now);
        }
        let (mut at, mut shown) = (now, String::new());
        let mut waited: Vec<String> = Vec::new();
        loop {
            let of_services = self.service_windows.iter().map(|(service, windows)| (Some(service), windows));
            let mut last: Option<(DateTime<Utc>, String)> = None;
            for (service, windows) in std::iter::once((None, &self.windows)).chain(of_services) {
                let WindowState::Closed { opens, local, .. } = windows.at(at) else { continue };
                if let Some(service) = service.filter(|s| !waited.contains(s)) {
                    waited.push(service.clone());
                }
                if last.as_ref().is_none_or(|(known, _)| opens > *known) {
                    last = Some((opens, local));
                }
            }
            match last {
                None if at == now => return WindowState::Open,
                None => return WindowState::Closed { opens: at, local: shown, services: waited },
                // At that moment one of the others may be closed again.
                Some((opens, local)) if opens > at && opens <= now + TimeDelta::days(MEETING) => {
                    (at, shown) = (opens, local);
                }
                Some(_) => return WindowState::Never { services: waited },
            }
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
    node.must(Rule::Filled);
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
            list.must(Rule::Filled);
            list.must(Rule::Distinct);
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
    for (name, value, form) in [("start", &mut start, Form::BEGIN), ("end", &mut end, Form::END)] {
        match reader.needed(&fields, node, name, format!("`{}` is missing", join(path, name))) {
            Some((node, path)) => match reader.formed(node, &path, form).as_deref().and_then(minutes) {
                Some(minutes) => *value = minutes,
                None => {
                    reader.wrong(node, format!("`{path}` must be a time of day in quotes, such as \"22:30\""));
                    complete = false;
                }
            },
            None => complete = false,
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
            WindowState::Closed { opens, local, .. } => format!("{} | {local}", opens.format("%a %Y-%m-%dT%H:%MZ")),
            WindowState::Never { .. } => "never".to_owned(),
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
    fn s1_24_s4_1_a_run_begins_when_the_environments_window_and_its_services_are_open() {
        let environment = |own: &str, services: &[(&str, &str)]| {
            let text = format!("production: {{ targets: {{}}{own} }}");
            let (mut environments, _) = crate::config::Environments::parse("e", &text).unwrap();
            let mut environment = environments.0.remove(0);
            environment.service_windows =
                services.iter().map(|(service, text)| ((*service).to_owned(), windows(text))).collect();
            environment
        };
        let told = |environment: &Environment, now: &str| match environment.window_at(at(now)) {
            WindowState::Open => "open".to_owned(),
            WindowState::Closed { opens, local, services } => {
                format!("{} | {local} | {}", opens.format("%a %H:%MZ"), services.join(" "))
            }
            WindowState::Never { services } => format!("never | {}", services.join(" ")),
        };
        let nights = ", windows: [{ start: \"00:00\", end: \"06:00\" }]";
        let weekend = "[{ days: [sat, sun], start: \"05:00\", end: \"07:00\", timezone: UTC }]";
        // Without services it is the environment's own.
        assert_eq!(told(&environment(nights, &[]), "2026-11-20T07:00:00Z"), "Sat 00:00Z | 2026-11-21 00:00 UTC | ");
        let both = environment(nights, &[("users", weekend)]);
        for (now, expected) in [
            // Friday: the nights begin first, and the service's window is closed by then.
            ("2026-11-20T07:00:00Z", "Sat 05:00Z | 2026-11-21 05:00 UTC | users"),
            ("2026-11-20T03:00:00Z", "Sat 05:00Z | 2026-11-21 05:00 UTC | users"),
            ("2026-11-21T05:30:00Z", "open"),
            // The service's is open, that of the environment is not.
            ("2026-11-21T06:30:00Z", "Sun 05:00Z | 2026-11-22 05:00 UTC | users"),
        ] {
            assert_eq!(told(&both, now), expected, "{now}");
        }
        // Nobody but the service has any.
        let alone = environment("", &[("users", weekend)]);
        assert_eq!(told(&alone, "2026-11-21T06:30:00Z"), "open");
        assert_eq!(told(&alone, "2026-11-21T07:00:00Z"), "Sun 05:00Z | 2026-11-22 05:00 UTC | users");
        let monday = "[{ days: [mon], start: \"05:00\", end: \"07:00\" }]";
        let apart = environment(nights, &[("users", weekend), ("orders", monday)]);
        assert_eq!(told(&apart, "2026-11-20T03:00:00Z"), "never | users orders");
        assert!(apart.has_windows() && alone.has_windows() && !environment("", &[]).has_windows());
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
