//! Sets and maps: what a key finds in them, also a key that is known in part.
//!
//! One field: sorted ranges, found by halving. Several fields joined: exact elements by hash, the others one by one.

use crate::ipset::Layout;
use crate::model::Action;
use crate::value::{Tri, Value};
use std::collections::{BTreeSet, HashMap};

/// What stands behind a key of a map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Datum {
    None,
    Action(Action),
    /// One range per joined field: an address, a port, a mark.
    Values(Vec<(u128, u128)>),
}

#[derive(Debug, Clone, Default)]
pub(crate) struct SetData {
    fields: usize,
    /// One field: by their first number, not overlapping.
    ranges: Vec<(u128, u128, u32)>,
    exact: HashMap<Vec<u128>, u32>,
    joined: Vec<(Vec<(u128, u128)>, u32)>,
    data: Vec<Datum>,
    /// Why the content at the time of the packet is not known.
    pub(crate) unknown: Option<String>,
    /// Whether rules add to it or take from it.
    pub(crate) changing: bool,
    /// Whether an element is found only while a limit kept with it lasts.
    pub(crate) limits: bool,
    /// For an ipset: what its dimensions ask for.
    pub(crate) layout: Option<Layout>,
    /// For an ipset that is a list of others.
    pub(crate) members: Vec<String>,
    default: Option<u32>,
}

/// Collects elements, then sorts them once.
#[derive(Debug, Default)]
pub(crate) struct SetBuilder {
    fields: usize,
    elements: Vec<(Vec<(u128, u128)>, Datum)>,
    pub(crate) unknown: Option<String>,
    /// nft's `*`: for keys without an element of their own.
    pub(crate) default: Option<Datum>,
    /// Elements keep limits.
    pub(crate) limits: bool,
}

pub(crate) struct Hits<'a> {
    pub(crate) data: Vec<&'a Datum>,
    /// Whether the key may also find nothing.
    pub(crate) may_miss: bool,
}

impl SetBuilder {
    pub(crate) fn new(fields: usize) -> Self {
        Self { fields: fields.max(1), ..Self::default() }
    }

    pub(crate) fn add(&mut self, key: Vec<(u128, u128)>, datum: Datum) {
        if key.len() == self.fields {
            self.elements.push((key, datum));
        } else {
            self.unknown.get_or_insert_with(|| "an element of another shape than the set".into());
        }
    }

    pub(crate) fn build(self) -> SetData {
        let mut set =
            SetData { fields: self.fields, unknown: self.unknown, limits: self.limits, ..SetData::default() };
        for (key, datum) in self.elements {
            let index = set.intern(datum);
            match key.as_slice() {
                [(lo, hi)] => set.ranges.push((*lo, *hi, index)),
                _ if key.iter().all(|(lo, hi)| lo == hi) => {
                    set.exact.insert(key.into_iter().map(|(lo, _)| lo).collect(), index);
                }
                _ => set.joined.push((key, index)),
            }
        }
        set.default = self.default.map(|datum| set.intern(datum));
        set.settle();
        set
    }
}

impl SetData {
    fn intern(&mut self, datum: Datum) -> u32 {
        // Most sets have one datum for all elements; a map has about one each, so only the last is compared.
        if self.data.last() != Some(&datum) {
            self.data.push(datum);
        }
        u32::try_from(self.data.len() - 1).unwrap_or(u32::MAX)
    }

    /// Sorts the ranges and merges neighbours. The kernel lets no two elements overlap; a text may.
    fn settle(&mut self) {
        self.ranges.retain(|(lo, hi, _)| lo <= hi);
        self.ranges.sort_unstable();
        let mut merged: Vec<(u128, u128, u32)> = Vec::with_capacity(self.ranges.len());
        for &(lo, hi, index) in &self.ranges {
            match merged.last_mut() {
                Some(last) if lo <= last.1 && index != last.2 => {
                    self.unknown.get_or_insert_with(|| "its elements overlap with different results".into());
                    last.1 = last.1.max(hi);
                }
                Some(last) if index == last.2 && lo <= last.1.saturating_add(1) => last.1 = last.1.max(hi),
                _ => merged.push((lo, hi, index)),
            }
        }
        self.ranges = merged;
    }

    fn datum(&self, index: u32) -> &Datum {
        self.data.get(index as usize).unwrap_or(&Datum::None)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Datum> {
        self.data.iter()
    }

    /// The ranges that elements have in one of the joined fields.
    pub(crate) fn field_ranges(&self, field: usize, out: &mut BTreeSet<(u128, u128)>) {
        if field == 0 {
            out.extend(self.ranges.iter().map(|(lo, hi, _)| (*lo, *hi)));
        }
        out.extend(self.exact.keys().filter_map(|k| k.get(field)).map(|n| (*n, *n)));
        out.extend(self.joined.iter().filter_map(|(k, _)| k.get(field)).copied());
    }

    pub(crate) fn contains(&self, key: &[Value]) -> Tri {
        if self.unknown.is_some() {
            return Tri::Maybe;
        }
        let hits = self.find(key);
        match (hits.data.is_empty(), hits.may_miss) {
            (true, _) => Tri::No,
            (false, false) => Tri::Yes,
            (false, true) => Tri::Maybe,
        }
    }

    /// Everything the key may find. A key of another shape than the set finds nothing for certain: the caller
    /// gets "may miss" with all data.
    pub(crate) fn find(&self, key: &[Value]) -> Hits<'_> {
        if key.len() != self.fields.max(1) {
            return Hits { data: self.data.iter().collect(), may_miss: true };
        }
        let mut hits = if let [value] = key { self.find_one(*value) } else { self.find_joined(key) };
        hits.may_miss |= self.limits;
        if let (true, Some(default)) = (hits.may_miss, self.default) {
            hits.data.push(self.datum(default));
            hits.may_miss = false;
        }
        hits
    }

    fn find_one(&self, value: Value) -> Hits<'_> {
        let (a, b) = value.bounds();
        let first = self.ranges.partition_point(|(_, hi, _)| *hi < a);
        let mut found: Vec<u32> = Vec::new();
        let mut whole = false;
        for &(lo, hi, index) in &self.ranges[first..] {
            if lo > b {
                break;
            }
            match value.within(lo, hi) {
                Tri::No => continue,
                Tri::Yes => whole = true,
                Tri::Maybe => {}
            }
            found.push(index);
        }
        found.sort_unstable();
        found.dedup();
        Hits { data: found.into_iter().map(|i| self.datum(i)).collect(), may_miss: !whole }
    }

    fn find_joined(&self, key: &[Value]) -> Hits<'_> {
        let known: Option<Vec<u128>> =
            key.iter().map(|v| if let Value::Known(n) = v { Some(*n) } else { None }).collect();
        let mut found: Vec<u32> = Vec::new();
        let mut whole = false;
        match known {
            Some(numbers) => {
                if let Some(index) = self.exact.get(&numbers) {
                    found.push(*index);
                    whole = true;
                }
            }
            None => {
                for (element, index) in &self.exact {
                    let all = key.iter().zip(element).map(|(v, n)| v.within(*n, *n)).fold(Tri::Yes, Tri::and);
                    if all != Tri::No {
                        found.push(*index);
                    }
                }
            }
        }
        for (element, index) in &self.joined {
            let mut all = Tri::Yes;
            for (value, (lo, hi)) in key.iter().zip(element) {
                all = all.and(value.within(*lo, *hi));
                if all == Tri::No {
                    break;
                }
            }
            if all != Tri::No {
                whole |= all == Tri::Yes;
                found.push(*index);
            }
        }
        found.sort_unstable();
        found.dedup();
        Hits { data: found.into_iter().map(|i| self.datum(i)).collect(), may_miss: !whole }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ports(ranges: &[(u128, u128)]) -> SetData {
        let mut b = SetBuilder::new(1);
        for r in ranges {
            b.add(vec![*r], Datum::None);
        }
        b.build()
    }

    #[test]
    fn one_field() {
        let set = ports(&[(80, 90), (22, 22), (91, 100), (6379, 6379)]);
        assert_eq!(set.contains(&[Value::Known(95)]), Tri::Yes);
        assert_eq!(set.contains(&[Value::Range(85, 99)]), Tri::Yes);
        assert_eq!(set.contains(&[Value::Range(85, 101)]), Tri::Maybe);
        assert_eq!(set.contains(&[Value::Known(23)]), Tri::No);
        assert_eq!(set.contains(&[Value::Known(22), Value::Known(1)]), Tri::Maybe);
    }

    #[test]
    fn joined_fields() {
        let mut b = SetBuilder::new(2);
        b.add(vec![(1, 1), (80, 80)], Datum::None);
        b.add(vec![(1, 9), (22, 23)], Datum::None);
        let set = b.build();
        let key = |a, p| [Value::Known(a), Value::Known(p)];
        assert_eq!(set.contains(&key(1, 80)), Tri::Yes);
        assert_eq!(set.contains(&key(5, 23)), Tri::Yes);
        assert_eq!(set.contains(&key(5, 80)), Tri::No);
        assert_eq!(set.contains(&[Value::UNKNOWN, Value::Known(80)]), Tri::Maybe);
        assert_eq!(set.contains(&[Value::UNKNOWN, Value::Known(81)]), Tri::No);
    }

    #[test]
    fn overlapping_elements_of_a_map_are_not_trusted() {
        let mut b = SetBuilder::new(1);
        b.add(vec![(1, 10)], Datum::Action(Action::Accept));
        b.add(vec![(5, 6)], Datum::Action(Action::Drop));
        let map = b.build();
        assert!(map.unknown.is_some());
        assert_eq!(map.contains(&[Value::Known(5)]), Tri::Maybe);
    }
}
