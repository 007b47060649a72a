//! Numbers as the server's C code reads them, with the same corners (signs, white space, overflow).

use crate::sds::is_space;

/// `string2ll`: a plain decimal without sign `+`, blanks or leading zeros.
pub(crate) fn string2ll(text: &[u8]) -> Option<i64> {
    // LONG_STR_SIZE, util.h: longer than any 64-bit number.
    if text.is_empty() || text.len() >= 22 {
        return None;
    }
    if text == b"0" {
        return Some(0);
    }
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    if !matches!(digits.first(), Some(b'1'..=b'9')) || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// `strtoll`/`strtol` in base 10 or 8: the value, clamped, and what was not read. Nothing read gives 0 and all of it.
pub(crate) fn strtoll(text: &[u8], base: u32) -> (i64, &[u8], bool) {
    let mut at = text.iter().take_while(|b| is_space(**b)).count();
    let negative = text.get(at) == Some(&b'-');
    if matches!(text.get(at), Some(b'-' | b'+')) {
        at += 1;
    }
    let digit = |b: &u8| char::from(*b).to_digit(base);
    let count = text[at..].iter().take_while(|b| digit(b).is_some()).count();
    if count == 0 {
        return (0, text, false);
    }
    let mut value: i128 = 0;
    for byte in &text[at..at + count] {
        value = (value * i128::from(base) + i128::from(digit(byte).unwrap_or(0))).min(i128::from(u64::MAX));
    }
    let value = if negative { -value } else { value };
    let clamped = value.clamp(i128::from(i64::MIN), i128::from(i64::MAX));
    (i64::try_from(clamped).unwrap_or(0), &text[at + count..], clamped != value)
}

/// `atoi`: the low 32 bits of `strtol`, rubbish behind the number ignored.
pub(crate) fn atoi(text: &[u8]) -> i32 {
    // glibc's atoi is a cast of strtol.
    #[expect(clippy::cast_possible_truncation, reason = "the C cast, on purpose")]
    let value = strtoll(text, 10).0 as i32;
    value
}

/// `memtoull`: `100`, `64b`, `1k` (1000), `1kb` (1024) … `1gb`. Overflow wraps, as in C.
pub(crate) fn memtoull(text: &[u8]) -> Option<u64> {
    let digits = text.iter().take_while(|b| b.is_ascii_digit()).count();
    let factor: u64 = match text[digits..].to_ascii_lowercase().as_slice() {
        b"" | b"b" => 1,
        b"k" => 1000,
        b"kb" => 1024,
        b"m" => 1_000_000,
        b"mb" => 1024 * 1024,
        b"g" => 1_000_000_000,
        b"gb" => 1024 * 1024 * 1024,
        _ => return None,
    };
    // The buffer of memtoull in util.c.
    if digits >= 128 {
        return None;
    }
    let mut value: u128 = 0;
    for byte in &text[..digits] {
        value = (value * 10 + u128::from(byte - b'0')).min(u128::from(u64::MAX));
    }
    u64::try_from(value).ok().map(|v| v.wrapping_mul(factor))
}

/// `string2d`: what `strtod` takes in whole, without leading white space and not NaN.
pub(crate) fn string2d(text: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(text).ok()?;
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if let Some(hex) = unsigned.strip_prefix("0x").or_else(|| unsigned.strip_prefix("0X")) {
        let value = hex_float(hex)?;
        return Some(if text.starts_with('-') { -value } else { value });
    }
    let value: f64 = text.parse().ok()?;
    let lower = unsigned.to_ascii_lowercase();
    let mantissa = lower.split('e').next().unwrap_or("");
    let some_digit = mantissa.bytes().any(|b| matches!(b, b'1'..=b'9'));
    // Out of range (ERANGE), to infinity or to zero, is refused; the word for infinity is not.
    let out_of_range = some_digit && (value.is_infinite() || value == 0.0);
    (!value.is_nan() && !out_of_range).then_some(value)
}

fn hex_float(text: &str) -> Option<f64> {
    let lower = text.to_ascii_lowercase();
    let (mantissa, exponent) = match lower.split_once('p') {
        Some((m, e)) => (m, e.parse::<i32>().ok()?),
        None => (lower.as_str(), 0),
    };
    let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() && part.is_empty() {
        return None;
    }
    let mut value = 0.0;
    let mut scale = 1.0;
    for c in whole.chars() {
        value = value * 16.0 + f64::from(c.to_digit(16)?);
    }
    for c in part.chars() {
        scale /= 16.0;
        value += f64::from(c.to_digit(16)?) * scale;
    }
    Some(value * f64::from(exponent).exp2()).filter(|v| v.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_of_the_config_reader() {
        assert_eq!(string2ll(b"6379"), Some(6379));
        assert_eq!(string2ll(b"-1"), Some(-1));
        for bad in ["", "+1", "01", "-0", " 1", "1 ", "9223372036854775808", "1k", "-"] {
            assert_eq!(string2ll(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(strtoll(b" +12x", 10), (12, b"x".as_slice(), false));
        assert_eq!(strtoll(b"", 10), (0, b"".as_slice(), false));
        assert_eq!(strtoll(b"99999999999999999999", 10), (i64::MAX, b"".as_slice(), true));
        assert_eq!(strtoll(b"0778", 8), (0o77, b"8".as_slice(), false));
        assert_eq!(atoi(b"4294967297"), 1);
    }

    #[test]
    fn memory_sizes() {
        assert_eq!(memtoull(b"1gb"), Some(1 << 30));
        assert_eq!(memtoull(b"2K"), Some(2000));
        assert_eq!(memtoull(b"3MB"), Some(3 << 20));
        assert_eq!(memtoull(b""), Some(0), "strtoull of nothing is 0 without an error in glibc");
        assert_eq!(memtoull(b"gb"), Some(0));
        for bad in ["-1", "1 gb", "1tb", "1.5gb", "x"] {
            assert_eq!(memtoull(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn doubles() {
        assert_eq!(string2d(b"99.9"), Some(99.9));
        assert_eq!(string2d(b"0x10"), Some(16.0));
        assert_eq!(string2d(b"inf"), Some(f64::INFINITY));
        assert_eq!(string2d(b"0e5"), Some(0.0));
        for bad in ["", " 1", "nan", "1e999", "1e-999", "1x", "--1"] {
            assert_eq!(string2d(bad.as_bytes()), None, "{bad}");
        }
    }
}
