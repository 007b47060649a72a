//! The time at which a packet is judged, as rules ask for it.

use crate::value::Tri;

/// Seconds since 1970 in UTC, and how far this host's own time is ahead of it, where that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clock {
    pub unix: i64,
    /// Seconds. nft shows hours and dates in the time of the host that lists them.
    pub ahead: Option<i64>,
}

const DAY: i64 = 86_400;

impl Clock {
    /// For the reader.
    pub(crate) fn words(self) -> String {
        const DAYS: [&str; 7] =
            ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
        let day = usize::try_from(weekday(self.unix)).unwrap_or(0);
        let of_day = self.unix.rem_euclid(DAY);
        format!("{}, {:02}:{:02} UTC", DAYS[day % 7], of_day / 3600, of_day / 60 % 60)
    }

    fn local(self) -> Option<i64> {
        self.unix.checked_add(self.ahead?)
    }

    /// Seconds of this host's day.
    pub(crate) fn hour(self) -> Option<u128> {
        u128::try_from(self.local()?.rem_euclid(DAY)).ok()
    }

    /// Seconds since 1970 by this host's own time.
    pub(crate) fn date(self) -> Option<u128> {
        u128::try_from(self.local()?).ok()
    }

    /// Sunday is 0; the kernel counts days in UTC (nft_meta_weekday; its own time zone is hardly ever set).
    pub(crate) fn weekday(self) -> u128 {
        u128::try_from(weekday(self.unix)).unwrap_or(0)
    }
}

/// 1970 began on a Thursday.
fn weekday(unix: i64) -> i64 {
    (unix.div_euclid(DAY) + 4).rem_euclid(7)
}

/// Seconds since 1970 of a date, by the Gregorian calendar (Hinnant, days_from_civil).
pub(crate) fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The day of its month.
fn monthday(unix: i64) -> i64 {
    let z = unix.div_euclid(DAY) + 719_468;
    let of_era = z.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    of_year - (153 * month + 2) / 5 + 1
}

/// `2026-11-26T08:00:00`, with a blank for the T, or the date alone; as seconds.
pub(crate) fn parse_date(text: &str) -> Option<i64> {
    let (date, time) = text.split_once(['T', ' ']).map_or((text, None), |(d, t)| (d, Some(t)));
    let mut parts = date.splitn(3, '-').map(|p| p.parse::<u16>().ok().map(i64::from));
    let year = parts.next()??;
    let month = parts.next().unwrap_or(Some(1))?;
    let day = parts.next().unwrap_or(Some(1))?;
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let of_day = match time {
        Some(t) => parse_time(t)?,
        None => 0,
    };
    Some(days(year, month, day) * DAY + of_day)
}

/// `22:00`, `22:00:30`, as seconds of the day.
pub(crate) fn parse_time(text: &str) -> Option<i64> {
    let mut total = 0;
    let mut count = 0;
    for (part, (unit, most)) in text.split(':').zip([(3600, 23), (60, 59), (1, 59)]) {
        let n: i64 = part.parse::<u8>().ok()?.into();
        if n > most {
            return None;
        }
        total += n * unit;
        count += 1;
    }
    (count >= 2 && text.split(':').count() == count).then_some(total)
}

/// iptables' match `time`, in UTC as iptables-save writes it.
#[derive(Debug, Clone)]
pub(crate) struct Times {
    pub(crate) from: i64,
    pub(crate) until: i64,
    pub(crate) start: i64,
    pub(crate) stop: i64,
    pub(crate) contiguous: bool,
    /// Bit 0 is Sunday.
    pub(crate) weekdays: u32,
    /// Bit 1 is the first.
    pub(crate) monthdays: u32,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            from: 0,
            until: i64::MAX,
            start: 0,
            stop: DAY - 1,
            contiguous: false,
            weekdays: !0,
            monthdays: !0,
        }
    }
}

impl Times {
    /// As time_mt does it.
    pub(crate) fn holds(&self, now: Option<Clock>) -> Tri {
        let always = self.from == 0 && self.until >= LAST && self.start == 0 && self.stop == DAY - 1;
        if always && self.weekdays & 0x7f == 0x7f && self.monthdays & 0xffff_fffe == 0xffff_fffe {
            return Tri::Yes;
        }
        let Some(Clock { unix: mut stamp, .. }) = now else { return Tri::Maybe };
        if stamp < self.from || stamp > self.until {
            return Tri::No;
        }
        let time = stamp.rem_euclid(DAY);
        if self.start < self.stop {
            if time < self.start || time > self.stop {
                return Tri::No;
            }
        } else {
            if time < self.start && time > self.stop {
                return Tri::No;
            }
            if self.contiguous && time < self.stop {
                stamp -= DAY;
            }
        }
        let has = |set: u32, n: i64| u32::try_from(n).is_ok_and(|n| set & (1 << n) != 0);
        (has(self.weekdays, weekday(stamp)) && has(self.monthdays, monthday(stamp))).into()
    }
}

/// The end that iptables-save writes where none was given: 2038-01-19T03:14:07.
const LAST: i64 = 0x7fff_ffff;

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-26 08:10:05, a Thursday.
    const NOW: Clock = Clock { unix: 1_795_680_605, ahead: Some(3600) };

    #[test]
    fn calendar() {
        assert_eq!(parse_date("2026-11-26T08:10:05"), Some(NOW.unix));
        assert_eq!(parse_date("2024-02-29"), Some(1_709_164_800));
        assert_eq!((NOW.weekday(), monthday(NOW.unix)), (4, 26));
        assert_eq!(monthday(1_709_164_800), 29);
        assert_eq!(NOW.hour(), Some(9 * 3600 + 605));
        for bad in ["", "2026-13-01", "x", "2026-01-01T25:00", "2026-01-01T1"] {
            assert_eq!(parse_date(bad), None, "{bad}");
        }
    }

    #[test]
    fn as_time_mt_does() {
        let at = |t: Times| t.holds(Some(NOW));
        let hour = |h: i64| h * 3600;
        assert_eq!(at(Times { start: hour(8), stop: hour(9), ..Times::default() }), Tri::Yes);
        assert_eq!(at(Times { start: hour(22), stop: hour(6), ..Times::default() }), Tri::No);
        assert_eq!(at(Times { start: hour(22), stop: hour(9), ..Times::default() }), Tri::Yes);
        // Contiguous: it is still Wednesday's night.
        let night = Times { start: hour(22), stop: hour(9), weekdays: 1 << 4, ..Times::default() };
        assert_eq!(at(night.clone()), Tri::Yes);
        assert_eq!(at(Times { contiguous: true, ..night }), Tri::No);
        assert_eq!(Times { weekdays: 1, ..Times::default() }.holds(None), Tri::Maybe);
        assert_eq!(Times::default().holds(None), Tri::Yes);
    }
}
