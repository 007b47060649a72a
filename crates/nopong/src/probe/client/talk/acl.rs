//! ACL LOG as sentences: whom the server turned away lately.

use super::Channel;
use crate::wire::Value;

/// Most entries asked for.
pub(super) const ENTRIES: &str = "16";
/// Older refusals say nothing of now.
const RECENT_SECONDS: f64 = 900.0;
/// What nopong itself asks and may be refused: no sign of an application's trouble.
const OWN: [&str; 6] = ["info", "config|get", "acl|whoami", "acl|log", "hello", "cluster|info"];

/// The entries worth keeping, newest first.
pub(super) fn sentences(channel: &Channel<'_>, log: &Value) -> Vec<String> {
    log.items().unwrap_or_default().iter().filter_map(|entry| sentence(channel, entry)).collect()
}

fn sentence(channel: &Channel<'_>, entry: &Value) -> Option<String> {
    let field = |key: &str| entry.pairs().find(|(k, _)| k == key).and_then(|(_, v)| v.text());
    let age: f64 = field("age-seconds")?.parse().ok()?;
    let object = field("object").unwrap_or_default();
    if age > RECENT_SECONDS || OWN.contains(&object.as_str()) {
        return None;
    }
    let reason = match field("reason")?.as_str() {
        "auth" => "wrong password, unknown or disabled user".to_owned(),
        reason => format!("{reason} {object} not permitted"),
    };
    let info = field("client-info").unwrap_or_default();
    let from = info.split(' ').find_map(|word| word.strip_prefix("addr=")).unwrap_or("an unknown address");
    let (user, count) = (field("username").unwrap_or_default(), field("count").unwrap_or_default());
    let text = format!("user {user} from {from}, {age:.0} s ago, {count} times: {reason}");
    Some(channel.clean(text.as_bytes(), 300))
}
