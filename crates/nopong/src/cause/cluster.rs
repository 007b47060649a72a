//! What a Kubernetes Service tells of the port dialled, for the cause `wrong-port`; and whether there is a cluster at all.

use super::common::{sh, stands};
use super::{Fix, Reason, Risk};
use crate::diagnosis::{Case, Symptom};
use crate::evidence::Seen;
use crate::evidence::kube::Service;
use crate::kube::ports::{self, Fault};

/// A port that the Kubernetes Service does not have, or that leads to none of its pods'.
fn fault<'a>(case: &Case<'a>) -> Option<(&'a Service, Fault)> {
    let k8s = case.file.client.kubernetes.get()?;
    let fits = matches!(case.symptom, Symptom::Refused | Symptom::TimedOut | Symptom::Unreachable);
    Some((k8s.service()?, ports::fault(k8s, case.file.ask.port).filter(|_| fits)?))
}

/// Why it is the port; none where the cluster has nothing against it.
pub(super) fn port_reasons(case: &Case<'_>) -> Option<Vec<Reason>> {
    let (service, fault) = fault(case)?;
    let (key, port) = (&service.key, case.ask.port);
    let list = |all: &[u16]| all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    Some(match fault {
        Fault::NotOfService(has) => {
            vec![Reason::confirms(
                "kubernetes",
                format!("Service {key} has port {}, and not {port}", list(&has)),
            )]
        }
        Fault::NoSuchName(name, has) => {
            let named = if has.is_empty() { "no name at all".to_owned() } else { has.join(", ") };
            vec![Reason::confirms(
                "kubernetes",
                format!(
                    "port {port} of Service {key} leads to the port named \"{name}\", and its pods name: {named}"
                ),
            )]
        }
        // A port that is not declared can be open all the same.
        Fault::NotOfPods(target, told) => vec![
            Reason::strong(
                "kubernetes",
                format!(
                    "port {port} of Service {key} leads to {target}, and its pods tell of port {}",
                    list(&told)
                ),
            ),
            Reason::weak("kubernetes", "the pods are ready, so it is not they that do not run"),
        ],
        Fault::Headless(right) => vec![Reason::strong(
            "kubernetes",
            format!("Service {key} is headless and translates no port: its pods tell of port {right}"),
        )],
    })
}

/// How to correct it.
pub(super) fn port_fix(case: &Case<'_>) -> Option<Fix> {
    let (service, fault) = fault(case)?;
    let (ns, name) = (sh(&service.key.namespace), sh(&service.key.name));
    Some(match &fault {
        Fault::NotOfService(has) => Fix::new(Risk::Advice, format!("dial port {}", has[0]))
            .run("see the Service's ports", format!("kubectl -n {ns} get service {name}"))
            .step(format!("then correct the port {}", stands(case))),
        Fault::Headless(right) => Fix::new(Risk::Advice, format!("dial port {right}"))
            .step(format!("correct the port {}", stands(case)))
            .step("or give the Service a cluster address (without clusterIP: None), which translates ports"),
        Fault::NoSuchName(..) | Fault::NotOfPods(..) => {
            let at = service.ports.iter().position(|p| p.port == case.ask.port).unwrap_or_default();
            let right = match &fault {
                Fault::NotOfPods(_, told) => told[0].to_string(),
                // The only name there is; else Redis's own port, whatever it is called.
                Fault::NoSuchName(_, names) if names.len() == 1 => format!("\"{}\"", names[0]),
                _ => "6379".to_owned(),
            };
            let patch = format!(
                "[{{\"op\":\"replace\",\"path\":\"/spec/ports/{at}/targetPort\",\"value\":{right}}}]"
            );
            Fix::new(Risk::Ask, "let the Service's targetPort be the pods' port")
                .run(
                    "see what the pods listen on",
                    format!("kubectl -n {ns} exec POD -- redis-cli config get port"),
                )
                .run("set it", format!("kubectl -n {ns} patch service {name} --type=json -p {}", sh(&patch)))
        }
    })
}

/// The title with particulars.
pub(super) fn port_title(case: &Case<'_>) -> Option<String> {
    let (service, fault) = fault(case)?;
    let (key, port) = (&service.key, case.ask.port);
    Some(match fault {
        Fault::NotOfService(has) => format!("Service {key} has port {}, and you dial {port}", has[0]),
        Fault::NoSuchName(name, _) => {
            format!("port {port} of Service {key} leads to \"{name}\", a port that its pods do not have")
        }
        Fault::NotOfPods(target, told) => {
            format!("port {port} of Service {key} leads to {target}, and its pods listen on {}", told[0])
        }
        Fault::Headless(right) => {
            format!("Service {key} is headless: its pods' own port {right} must be dialled, not {port}")
        }
    })
}

/// Nothing here is of a Kubernetes cluster: its objects were not even asked for, and the client is in no container.
pub(super) fn none_here(case: &Case<'_>) -> Option<Reason> {
    let unasked = matches!(case.client.kubernetes, Seen::NotRun);
    let outside = case.client.standing.get().is_some_and(|s| s.container.is_none());
    (unasked && outside).then(|| {
        Reason::against("standing", "neither the client nor the name dialled is of a Kubernetes cluster")
    })
}
