//! The numbers of `ufw status numbered`, from ufw's own files: nothing else has them.

use super::Rules;
use crate::sys;
use packet_verdict::Ruleset;

/// Where ufw keeps its rules: since 0.35, and before.
const PLACES: [&str; 2] = ["/etc/ufw", "/lib/ufw"];
/// Largest file taken; a rule is about 100 bytes.
const LARGEST: usize = 4 << 20;

/// Only where ufw made a rule. Without the files, or the right to read them, the rules keep the numbers their order tells.
pub(super) fn number(rules: &mut Rules) {
    if !rules.read.iter().flat_map(Ruleset::owners).any(|owner| owner == "ufw") {
        return;
    }
    for place in PLACES {
        if let Ok(user) = sys::read_text(format!("{place}/user.rules"), LARGEST) {
            let user6 = sys::read_text(format!("{place}/user6.rules"), LARGEST).unwrap_or_default();
            packet_verdict::number_ufw(&mut rules.read, &user, &user6);
            return;
        }
    }
}
