//! Values as far as they are known, and what a comparison of them can say.
//!
//! A packet that has not been sent yet has fields nobody can know: the client's source port, a mark set by a
//! program, the size of a set at that moment. They are carried as the range or the bits that are known, and a
//! comparison answers `Maybe` only where the unknown part can change its result.

/// The answer of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Tri {
    No,
    Yes,
    Maybe,
}

impl Tri {
    pub(crate) fn not(self) -> Self {
        match self {
            Self::No => Self::Yes,
            Self::Yes => Self::No,
            Self::Maybe => Self::Maybe,
        }
    }

    pub(crate) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::No, _) | (_, Self::No) => Self::No,
            (Self::Yes, Self::Yes) => Self::Yes,
            _ => Self::Maybe,
        }
    }

    pub(crate) fn or(self, other: Self) -> Self {
        self.not().and(other.not()).not()
    }
}

impl From<bool> for Tri {
    fn from(yes: bool) -> Self {
        if yes { Self::Yes } else { Self::No }
    }
}

/// A number of up to 128 bits as far as it is known. Interface names are numbers too, see [`name_bits`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Value {
    /// Exactly this.
    Known(u128),
    /// Something from the first to the last, both included.
    Range(u128, u128),
    /// The bits of the second are known, with the values in the first.
    Bits(u128, u128),
    /// The packet has no such field: the kernel stops the rule there, whatever the comparison (NFT_BREAK).
    Absent,
}

impl Value {
    pub(crate) const UNKNOWN: Self = Self::Range(0, u128::MAX);

    /// The smallest range that holds the value.
    pub(crate) fn bounds(self) -> (u128, u128) {
        match self {
            Self::Known(v) => (v, v),
            Self::Range(lo, hi) => (lo, hi),
            Self::Bits(v, known) => (v & known, v | !known),
            Self::Absent => (0, 0),
        }
    }

    fn as_bits(self) -> (u128, u128) {
        match self {
            Self::Known(v) => (v, u128::MAX),
            Self::Bits(v, known) => (v & known, known),
            // A range within one power of two still tells the bits above it.
            Self::Range(lo, hi) => {
                let free = if lo == hi { 0 } else { u128::MAX >> (lo ^ hi).leading_zeros() };
                (lo & !free, !free)
            }
            Self::Absent => (0, 0),
        }
    }

    fn from_bits(value: u128, known: u128) -> Self {
        if known == u128::MAX { Self::Known(value) } else { Self::Bits(value & known, known) }
    }

    pub(crate) fn and(self, other: Self) -> Self {
        self.bitwise(other, |(a, ka), (b, kb)| (a & b, (ka & kb) | (ka & !a) | (kb & !b)))
    }

    pub(crate) fn or(self, other: Self) -> Self {
        self.bitwise(other, |(a, ka), (b, kb)| (a | b, (ka & kb) | (ka & a) | (kb & b)))
    }

    pub(crate) fn xor(self, other: Self) -> Self {
        self.bitwise(other, |(a, ka), (b, kb)| (a ^ b, ka & kb))
    }

    pub(crate) fn shl(self, by: Self) -> Self {
        self.shift(by, |v, n| v.checked_shl(n).unwrap_or(0))
    }

    pub(crate) fn shr(self, by: Self) -> Self {
        self.shift(by, |v, n| v.checked_shr(n).unwrap_or(0))
    }

    fn shift(self, by: Self, f: impl Fn(u128, u32) -> u128) -> Self {
        match (self, by) {
            (Self::Absent, _) | (_, Self::Absent) => Self::Absent,
            (Self::Known(v), Self::Known(n)) => Self::Known(f(v, u32::try_from(n).unwrap_or(u32::MAX))),
            _ => Self::UNKNOWN,
        }
    }

    fn bitwise(self, other: Self, f: impl Fn((u128, u128), (u128, u128)) -> (u128, u128)) -> Self {
        if self == Self::Absent || other == Self::Absent {
            return Self::Absent;
        }
        let (value, known) = f(self.as_bits(), other.as_bits());
        Self::from_bits(value, known)
    }

    /// Whether the value lies within the range.
    pub(crate) fn within(self, lo: u128, hi: u128) -> Tri {
        if lo > hi {
            return Tri::No;
        }
        let (a, b) = self.bounds();
        if a >= lo && b <= hi {
            return Tri::Yes;
        }
        if b < lo || a > hi {
            return Tri::No;
        }
        // Against a single number the known bits may already differ.
        if let (Self::Bits(v, known), true) = (self, lo == hi)
            && (v ^ lo) & known != 0
        {
            return Tri::No;
        }
        Tri::Maybe
    }

    /// Whether any of the bits of the mask is set.
    pub(crate) fn any_bit(self, mask: u128) -> Tri {
        let (value, known) = self.as_bits();
        if value & known & mask != 0 {
            Tri::Yes
        } else if mask & !known == 0 {
            Tri::No
        } else {
            Tri::Maybe
        }
    }

    pub(crate) fn equals(self, other: Self) -> Tri {
        match (self, other) {
            (Self::Known(a), Self::Known(b)) => (a == b).into(),
            (Self::Known(a), b) | (b, Self::Known(a)) => b.within(a, a),
            (a, b) => {
                let ((alo, ahi), (blo, bhi)) = (a.bounds(), b.bounds());
                let ((av, ak), (bv, bk)) = (a.as_bits(), b.as_bits());
                if ahi < blo || bhi < alo || (av ^ bv) & ak & bk != 0 { Tri::No } else { Tri::Maybe }
            }
        }
    }

    /// `self < other`, both as unsigned numbers.
    pub(crate) fn less(self, other: Self) -> Tri {
        let ((alo, ahi), (blo, bhi)) = (self.bounds(), other.bounds());
        if ahi < blo {
            Tri::Yes
        } else if alo >= bhi {
            Tri::No
        } else {
            Tri::Maybe
        }
    }
}

/// An interface name as a number: its bytes from the left, zeros behind (IFNAMSIZ is 16), so that all names with a
/// prefix are a range. `None` for what cannot be an interface name.
pub(crate) fn name_bits(name: &str) -> Option<u128> {
    let bytes = name.as_bytes();
    if bytes.len() > 15 || bytes.contains(&0) {
        return None;
    }
    let mut padded = [0u8; 16];
    padded[..bytes.len()].copy_from_slice(bytes);
    Some(u128::from_be_bytes(padded))
}

/// All names that begin with the prefix, as a range.
pub(crate) fn name_prefix(prefix: &str) -> Option<(u128, u128)> {
    let lo = name_bits(prefix)?;
    let free = 128 - 8 * u32::try_from(prefix.len()).ok()?;
    let hi = if free >= 128 { u128::MAX } else { lo | ((1u128 << free) - 1) };
    Some((lo, hi))
}

/// The name behind [`name_bits`].
pub(crate) fn bits_name(bits: u128) -> String {
    let bytes = bits.to_be_bytes();
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_range_decides_where_it_can() {
        let port = Value::Range(1024, 65535);
        assert_eq!(port.within(1024, 65535), Tri::Yes);
        assert_eq!(port.within(1, 1023), Tri::No);
        assert_eq!(port.within(32768, 60999), Tri::Maybe);
        assert_eq!(port.less(Value::Known(1024)), Tri::No);
    }

    #[test]
    fn masks_keep_what_is_known() {
        let flags = Value::Bits(0x10, !0x08);
        assert_eq!(flags.and(Value::Known(0x12)), Value::Known(0x10));
        assert_eq!(flags.and(Value::Known(0x18)).equals(Value::Known(0x10)), Tri::Maybe);
        assert_eq!(flags.any_bit(0x02), Tri::No);
        assert_eq!(Value::UNKNOWN.and(Value::Known(0)), Value::Known(0));
        assert_eq!(Value::UNKNOWN.or(Value::Known(1)).any_bit(1), Tri::Yes);
    }

    #[test]
    fn a_name_prefix_is_a_range_of_names() {
        let (lo, hi) = name_prefix("eth").expect("short");
        assert_eq!(Value::Known(name_bits("eth0").expect("short")).within(lo, hi), Tri::Yes);
        assert_eq!(Value::Known(name_bits("ens3").expect("short")).within(lo, hi), Tri::No);
        assert_eq!(bits_name(name_bits("br-1234567890ab").expect("short")), "br-1234567890ab");
        assert_eq!(name_prefix("").expect("empty"), (0, u128::MAX));
    }
}
