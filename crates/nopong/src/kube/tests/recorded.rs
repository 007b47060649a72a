//! Whole diagnoses of objects recorded from a real API server (`tests/kube/README.md`).

use super::asked;
use crate::diagnosis::{Band, Diagnosis, diagnose};
use crate::evidence::CaseFile;
use crate::kube::{Cluster, read};
use crate::report::{self, Format, Style};

fn case(recorded: &str, host: &str) -> CaseFile {
    let mut cluster = Cluster::default();
    read(recorded.as_bytes(), &mut cluster).unwrap();
    let mut file = crate::cause::testing::client(host, 6379);
    file.client.kubernetes = crate::cause::testing::seen(asked(&cluster, host, 6379));
    file
}

macro_rules! recorded {
    ($name:literal) => {
        include_str!(concat!("../../../tests/kube/", $name, ".json"))
    };
}

/// First cause, its band, and a part of its title.
fn first(recorded: &str, host: &str) -> (String, Band, String) {
    let file = case(recorded, host);
    let diagnosis: Diagnosis = diagnose(&file);
    for format in [Format::Json, Format::Human, Format::Html] {
        let text = report::write(format, Style { verbose: true, ..Style::default() }, &file, &diagnosis);
        assert!(!text.contains("hunter2"), "a secret's value in {format:?}");
    }
    let bundle = crate::evidence::bundle::write(&file).unwrap();
    assert!(!bundle.contains("hunter2"), "a secret's value in the bundle");
    let found = &diagnosis.causes[0];
    (found.cause.meta().id.to_owned(), found.band, found.title.clone())
}

fn expect(recorded: &str, id: &str, band: Band, title: &str) {
    let (is, how, says) = first(recorded, "redis.prod");
    assert_eq!((is.as_str(), how), (id, band), "{says}");
    assert!(says.contains(title), "{says}");
}

#[test]
fn nobody_behind_the_service() {
    let id = "no-ready-endpoints";
    for (recorded, title) in [
        (recorded!("selector-matches-nothing"), "no pod has the labels app=redis"),
        (recorded!("oom-killed"), "redis-0 is OOM-killed again and again"),
        (recorded!("config-invalid"), "redis-0 crashes with exit code 1"),
        (recorded!("image-pull"), "the image of redis-0 cannot be pulled"),
        (recorded!("secret-missing"), "redis-0 lacks a Secret or ConfigMap"),
        (recorded!("unschedulable"), "redis-0 finds no node"),
        (recorded!("not-ready"), "redis-0 runs and is not ready"),
        (recorded!("headless-not-ready"), "redis-0 runs and is not ready"),
        (recorded!("no-selector"), "it has no selector"),
    ] {
        expect(recorded, id, Band::Confirmed, title);
    }
}

#[test]
fn somebody_behind_the_service() {
    for recorded in [
        recorded!("healthy"),
        recorded!("headless-publish-not-ready"),
        recorded!("external-name"),
        recorded!("admitted"),
    ] {
        let diagnosis = diagnose(&case(recorded, "redis.prod"));
        assert!(diagnosis.causes.is_empty() && diagnosis.behind.is_empty(), "{:?}", diagnosis.causes);
    }
}

#[test]
fn ports() {
    expect(recorded!("target-port-name"), "wrong-port", Band::Confirmed, "a port that its pods do not have");
    expect(
        recorded!("target-port-number"),
        "wrong-port",
        Band::Likely,
        "leads to 6380, and its pods listen on 6379",
    );
    expect(recorded!("service-port"), "wrong-port", Band::Confirmed, "has port 6380, and you dial 6379");
}

#[test]
fn names() {
    expect(
        recorded!("service-missing"),
        "name-on-other-network",
        Band::Confirmed,
        "redis is in namespace stage, not in prod",
    );
    let (id, band, title) = first(recorded!("healthy"), "rediss.prod");
    assert_eq!((id.as_str(), band), ("name-not-found", Band::Confirmed), "{title}");
    // A plain name means a Service of the client's own namespace.
    let (id, _, title) = first(recorded!("healthy"), "redis");
    assert_eq!(
        (id.as_str(), title.as_str()),
        ("name-on-other-network", "Service redis is in namespace prod, not in web")
    );
}

#[test]
fn policies() {
    let id = "network-policy-blocks";
    expect(
        recorded!("ingress-default-deny"),
        id,
        Band::Likely,
        "NetworkPolicy prod/default-deny does not let web/worker-1 in at TCP 6379",
    );
    expect(
        recorded!("ingress-and-trap"),
        id,
        Band::Likely,
        "NetworkPolicy prod/redis does not let web/worker-1 in",
    );
    expect(
        recorded!("egress-dns"),
        id,
        Band::Likely,
        "NetworkPolicy web/egress does not let web/worker-1 ask the name servers",
    );
    let file = {
        let mut f = case(recorded!("egress-port"), "redis.prod");
        f.ask.port = 80;
        f
    };
    let found = diagnose(&file);
    assert!(found.causes[0].title.contains("out to TCP 6379"), "{:?}", found.causes);
}

#[test]
fn links() {
    let file = case(recorded!("links"), "redis");
    let warned = diagnose(&file).warnings;
    assert!(
        warned.iter().any(|w| w.title.contains("Service web/redis sets REDIS_PORT=tcp://10.96.")),
        "{warned:?}"
    );
    // Set by itself, or without links, there is none.
    let quiet = recorded!("links").replace("\"enableServiceLinks\":true", "\"enableServiceLinks\":false");
    assert!(diagnose(&case(&quiet, "redis")).warnings.is_empty());
}
