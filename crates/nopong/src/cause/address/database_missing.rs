//! The client asks for a database number that the server does not have.

use crate::cause::common::{cli, meta};
use crate::cause::{Category, Cause, Fix, Meta, Reason, Risk, Stage};
use crate::diagnosis::{Case, Symptom};
use crate::evidence::client::Reply;

/// See the module.
#[derive(Debug)]
pub(super) struct DatabaseMissing;

static META: Meta = meta(
    "database-missing",
    Category::Address,
    Stage::Ready,
    "the server has no database of that number",
    &["protocol"],
);

/// Replies of SELECT to a number that is too large (db.c; the second text is that of Redis before 4.0).
const TEXTS: &[&str] = &["db index is out of range", "invalid db index"];

fn says_so(case: &Case<'_>) -> Option<String> {
    let text = case.talk()?.select.as_ref().and_then(Reply::error)?;
    let lower = text.to_ascii_lowercase();
    TEXTS.iter().any(|t| lower.contains(t)).then(|| text.to_owned())
}

/// How many databases the server has, where CONFIG GET or the file tells.
fn databases<'a>(case: &Case<'a>) -> Option<&'a str> {
    case.config().and_then(|c| c.value("databases"))
}

impl Cause for DatabaseMissing {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn weigh(&self, case: &Case<'_>) -> Vec<Reason> {
        if case.symptom != Symptom::ErrorReply {
            return Vec::new();
        }
        let Some(text) = says_so(case) else {
            return vec![Reason::rules_out("protocol", "the error is not one of SELECT")];
        };
        let mut reasons = vec![Reason::confirms("protocol", format!("SELECT is answered: {text}"))];
        if let Some(n) = databases(case) {
            reasons.push(Reason::strong("config", format!("the server has {n} databases, counted from 0")));
        }
        reasons
    }

    fn title(&self, case: &Case<'_>) -> String {
        match case.ask.db {
            Some(db) => format!("the server answers, but has no database {db}"),
            None => META.title.to_owned(),
        }
    }

    fn fix(&self, case: &Case<'_>) -> Option<Fix> {
        Some(
            Fix::new(Risk::Advice, "ask for a database that the server has")
                .run("how many it has", format!("{} CONFIG GET databases", cli(case)))
                .step("databases are numbered from 0; 16 of them by default: 0 to 15")
                .step("correct the number at the end of the URL (…:6379/0), or raise `databases` in redis.conf and restart"),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::DatabaseMissing;
    use crate::cause::testing::{error, first, ping_error, pong_talk, refused, rules_out, silent, talks};
    use crate::diagnosis::Band;
    use crate::evidence::client::Talk;

    #[test]
    fn confirmed_by_the_reply_to_select() {
        for text in ["ERR DB index is out of range", "ERR invalid DB index"] {
            let file = talks(Talk { select: Some(error(text)), ..pong_talk(&[]) });
            assert_eq!(first(&file), Some(("database-missing", Band::Confirmed)));
        }
    }

    #[test]
    fn ruled_out_by_another_error() {
        assert!(rules_out(&DatabaseMissing, &ping_error("NOAUTH Authentication required.")));
    }

    #[test]
    fn silent_without_an_error() {
        assert!(silent(&DatabaseMissing, &refused()));
    }
}
