//! What a pasted error or log line most likely means: client library, address, and ranked causes.
//!
//! Deterministic, offline and pure. A text proves little, so nothing here is ever `confirmed`: the words name a
//! symptom, the address and the surroundings shift the odds, and `next` says which look would decide.

mod address;
#[cfg(test)]
mod cases;
mod clients;
mod next;
mod rules;
mod text;

pub use address::Address;

/// Longest text that is judged: the newest part of a longer one.
pub const TEXT_MAX: usize = 1 << 20;
/// Longest text that is read to find its newest part.
pub const READ_MAX: usize = 16 << 20;
/// At most so many causes are named.
const SHOWN: usize = 6;
/// Weight left for what no rule knows.
const UNEXPLAINED: f64 = 8.0;

/// What a text most likely means.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// Cause ids with probabilities, most probable first; they sum to less than 1.
    pub causes: Vec<(&'static str, f64)>,
    /// Client library, when its form is recognised.
    pub client: Option<&'static str>,
    /// The address that the text says was dialled.
    pub address: Option<Address>,
    /// The words that decided, for showing.
    pub recognised: Vec<&'static str>,
}

/// Explains a text.
pub fn explain(bytes: &[u8]) -> Explanation {
    let start = bytes.len().saturating_sub(TEXT_MAX);
    let read = text::Text::new(&bytes[start..]);
    let dialled = address::dialled(&read);
    let weights = rules::weigh(&read, dialled.as_ref());
    let total: f64 = weights.causes.values().sum::<f64>() + UNEXPLAINED;
    let mut causes: Vec<(&'static str, f64)> =
        weights.causes.iter().map(|(id, w)| (*id, w / total)).collect();
    causes.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(b.0)));
    causes.truncate(SHOWN);
    Explanation {
        causes,
        client: clients::recognise(&read),
        address: dialled,
        recognised: weights.recognised,
    }
}

#[cfg(test)]
mod tests {
    use super::explain;

    fn first(text: &str) -> &'static str {
        explain(text.as_bytes()).causes.first().map_or("", |c| c.0)
    }

    #[test]
    fn replies_speak_for_themselves() {
        assert_eq!(first("ReplyError: NOAUTH Authentication required."), "auth-missing");
        assert_eq!(first("-WRONGPASS invalid username-password pair or user is disabled."), "auth-wrong");
        assert_eq!(first("(error) OOM command not allowed when used memory > 'maxmemory'."), "memory-full");
        assert_eq!(first("ERR max number of clients reached"), "clients-exhausted");
        assert_eq!(first("-DENIED Redis is running in protected mode because"), "protected-mode");
    }

    #[test]
    fn the_address_shifts_the_odds() {
        assert_eq!(first("connect ECONNREFUSED ::1:6379"), "family-mismatch");
        let e = explain(
            b"redis.exceptions.ConnectionError: Error 111 connecting to 10.0.0.5:6380. Connection refused.",
        );
        assert_eq!(e.client, Some("redis-py"));
        assert_eq!(e.address.map(|a| (a.host, a.port)), Some(("10.0.0.5".to_owned(), Some(6380))));
    }

    #[test]
    fn a_server_log_outweighs_what_clients_saw() {
        let log =
            "getaddrinfo EAI_AGAIN redis\n1:M 01 Jan 2025 00:00:00.000 # Can't handle RDB format version 12";
        assert_eq!(first(log), "data-unloadable");
    }

    #[test]
    fn no_text_is_no_answer_and_no_panic() {
        assert!(explain(b"").causes.is_empty());
        assert!(explain(b"\x1b[\x1b[31").causes.is_empty());
        let e = explain(&[0xff; 5000]);
        assert!(e.causes.is_empty() && e.client.is_none());
    }

    #[test]
    fn odds_sum_to_less_than_one() {
        let e = explain(b"connect ETIMEDOUT 10.0.0.1:6379 ECONNREFUSED ECONNRESET NOAUTH");
        assert!(e.causes.iter().map(|c| c.1).sum::<f64>() < 1.0);
    }
}
