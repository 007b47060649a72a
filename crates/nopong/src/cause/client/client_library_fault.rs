//! The client library itself, or what it was packed with, is at fault.
//!
//! The evidence never speaks for it: nopong gets a PONG, and that the application does not has a hundred reasons.
//! `explain` knows the texts. What the evidence can do is to rule it out: nopong shares no code with the library.

use crate::cause::common::{dial_fails, meta};
use crate::cause::{Category, Cause, Fix, Meta, Reason, Risk, Stage};
use crate::diagnosis::Case;

/// See the module.
#[derive(Debug)]
pub(super) struct ClientLibraryFault;

static META: Meta = meta(
    "client-library-fault",
    Category::Client,
    Stage::Ready,
    "the client library is at fault, or does not fit what it is packed with",
    &[],
);

impl Cause for ClientLibraryFault {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn weigh(&self, case: &Case<'_>) -> Vec<Reason> {
        let says = "a dial that shares no code with the application's library fails as well";
        dial_fails(case).map(|cites| Reason::rules_out(cites, says)).into_iter().collect()
    }

    fn fix(&self, _case: &Case<'_>) -> Option<Fix> {
        Some(
            Fix::new(Risk::Advice, "find out whether the library dials at all, and with what")
                .run("does it dial?", "sudo nopong dials --for 30s")
                .run("what does it send?", "nopong listen 6390")
                .step("go back to the version that worked, or on to the newest of the same line; read its list of known faults")
                .step("look for two versions of a dependency (Netty in a shaded jar, .NET binding redirects, a vendored copy)"),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::ClientLibraryFault;
    use crate::cause::testing::{mute, pong, refused, rules_out, silent};
    use crate::evidence::client::Speaks;

    #[test]
    fn ruled_out_when_another_client_fails_too() {
        assert!(rules_out(&ClientLibraryFault, &refused()));
    }

    #[test]
    fn silent_where_the_dial_works() {
        assert!(silent(&ClientLibraryFault, &pong(&[])));
        assert!(silent(&ClientLibraryFault, &mute(Speaks::Silent)));
    }
}
