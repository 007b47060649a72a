//! The target's text cannot be parsed, or is no address that can be dialled.

use crate::cause::common::{failed, meta, stands};
use crate::cause::{Category, Cause, Fix, Meta, Reason, Risk, Stage};
use crate::diagnosis::{Case, Symptom};
use std::net::IpAddr;

/// See the module.
#[derive(Debug)]
pub(super) struct UrlMalformed;

static META: Meta = meta(
    "url-malformed",
    Category::Address,
    Stage::Target,
    "the address given is not one a client can use",
    &["settings", "name"],
);

/// A link-local IPv6 address means nothing without its interface: connect() gives EINVAL (RFC 4007, 11).
fn without_zone(case: &Case<'_>) -> Option<IpAddr> {
    let dial = failed(case, &["EINVAL"])?;
    match dial.to {
        std::net::SocketAddr::V6(v6) if v6.ip().segments()[0] & 0xffc0 == 0xfe80 && v6.scope_id() == 0 => {
            Some(IpAddr::V6(*v6.ip()))
        }
        _ => None,
    }
}

impl Cause for UrlMalformed {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn weigh(&self, case: &Case<'_>) -> Vec<Reason> {
        match case.symptom {
            Symptom::Malformed => match &case.ask.problem {
                Some(problem) if problem.id == META.id => {
                    let mut reasons = vec![Reason::confirms("settings", problem.says.clone())];
                    if let Some(meant) = &problem.meant {
                        reasons.push(Reason::weak("settings", format!("probably meant: {meant}")));
                    }
                    reasons
                }
                _ => vec![Reason::rules_out("settings", "the text itself has the form of an address")],
            },
            Symptom::NameNotFound | Symptom::ResolverFailed => {
                match case.client.name.get().and_then(|n| n.odd_bytes.as_deref()) {
                    Some(odd) => vec![Reason::confirms(
                        "name",
                        format!("the host {:?} has characters that no host name has: {odd}", case.ask.host),
                    )],
                    None => vec![Reason::rules_out("name", "the host has the form of a name")],
                }
            }
            Symptom::LocalErrno => match without_zone(case) {
                Some(ip) => vec![Reason::confirms(
                    "connect",
                    format!("{ip} is link-local, and no interface is named: write {ip}%eth0"),
                )],
                None => Vec::new(),
            },
            _ => Vec::new(),
        }
    }

    fn title(&self, case: &Case<'_>) -> String {
        match &case.ask.problem {
            Some(problem) => problem.says.clone(),
            None => META.title.to_owned(),
        }
    }

    fn fix(&self, case: &Case<'_>) -> Option<Fix> {
        let mut fix = Fix::new(Risk::Advice, "write the address so that a client can read it");
        if let Some(meant) = case.ask.problem.as_ref().and_then(|p| p.meant.as_ref()) {
            fix = fix.step(format!("probably meant: {meant}"));
        }
        Some(
            fix.step(format!("correct it {}", stands(case)))
                .step("the form is redis://[user][:password]@host[:port][/database], with the password percent-encoded: @ is %40, # is %23, / is %2F, : is %3A, % is %25"),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::UrlMalformed;
    use crate::cause::testing::{client, errno, first, refused, rules_out, seen, silent};
    use crate::diagnosis::Band;
    use crate::evidence::client::Name;
    use crate::evidence::{CaseFile, Problem};

    fn malformed(id: &str) -> CaseFile {
        let mut file = client("", 0);
        file.ask.problem = Some(Problem {
            id: id.to_owned(),
            says: "the port is not a number".to_owned(),
            ..Problem::default()
        });
        file
    }

    #[test]
    fn confirmed_by_the_parser() {
        assert_eq!(first(&malformed("url-malformed")), Some(("url-malformed", Band::Confirmed)));
        assert_eq!(first(&malformed("env-collision")), Some(("env-collision", Band::Confirmed)));
        assert!(rules_out(&UrlMalformed, &malformed("env-collision")));
    }

    #[test]
    fn confirmed_by_bytes_that_no_name_has() {
        let mut file = client("redis\r", 6379);
        let mut name = Name { error: Some("EAI_NONAME".to_owned()), ..Name::default() };
        file.client.name = seen(name.clone());
        assert!(rules_out(&UrlMalformed, &file));
        name.odd_bytes = Some("\\r".to_owned());
        file.client.name = seen(name);
        assert_eq!(first(&file), Some(("url-malformed", Band::Confirmed)));
    }

    #[test]
    fn a_link_local_address_needs_its_interface() {
        let mut file = errno("EINVAL");
        let mut dials = file.client.connect.get().cloned().unwrap();
        dials[0].to = "[fe80::1]:6379".parse().unwrap();
        file.client.connect = seen(dials);
        assert_eq!(first(&file), Some(("url-malformed", Band::Confirmed)));
    }

    #[test]
    fn silent_about_good_addresses() {
        assert!(silent(&UrlMalformed, &refused()));
    }
}
