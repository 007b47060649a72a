//! Label selectors (meta/v1, LabelSelector): every requirement must hold; one without requirements matches everything.

use crate::evidence::kube::{Expression, Labels, Selector};

/// The labels satisfy the selector. An operator that is not known satisfies nothing; its policy is then not judged.
pub fn matches(selector: &Selector, labels: &Labels) -> bool {
    lacks(selector, labels).is_none()
}

/// A Service's selector, a plain map, as one.
pub(super) fn of_labels(labels: &Labels) -> Selector {
    Selector { labels: labels.clone(), expressions: Vec::new() }
}

/// The first requirement that the labels do not satisfy, in words: `wants app=web, there is app=worker`.
pub(super) fn lacks(selector: &Selector, labels: &Labels) -> Option<String> {
    let has = |key: &str| match labels.get(key) {
        Some(value) => format!("there is {key}={value}"),
        None => format!("there is no label {key}"),
    };
    for (key, value) in &selector.labels {
        if labels.get(key) != Some(value) {
            return Some(format!("wants {key}={value}, {}", has(key)));
        }
    }
    selector
        .expressions
        .iter()
        .find(|e| !holds(e, labels))
        .map(|e| format!("wants {}, {}", requirement(e), has(&e.key)))
}

fn holds(expression: &Expression, labels: &Labels) -> bool {
    let value = labels.get(&expression.key);
    match expression.operator.as_str() {
        "In" => value.is_some_and(|v| expression.values.contains(v)),
        // Also where there is no such label (apimachinery labels, Requirement.Matches).
        "NotIn" => value.is_none_or(|v| !expression.values.contains(v)),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        _ => false,
    }
}

fn requirement(e: &Expression) -> String {
    match e.operator.as_str() {
        "Exists" => format!("the label {}", e.key),
        "DoesNotExist" => format!("no label {}", e.key),
        "In" => format!("{} in ({})", e.key, e.values.join(", ")),
        "NotIn" => format!("{} not in ({})", e.key, e.values.join(", ")),
        other => format!("{} {other}", e.key),
    }
}

/// `app=web, tier in (a, b)`; `everything` for one without requirements.
pub(super) fn shown(selector: &Selector) -> String {
    let labels = selector.labels.iter().map(|(k, v)| format!("{k}={v}"));
    let all: Vec<_> = labels.chain(selector.expressions.iter().map(requirement)).collect();
    if all.is_empty() { "everything".to_owned() } else { all.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::{lacks, matches};
    use crate::evidence::kube::{Expression, Labels, Selector};

    fn expression(key: &str, operator: &str, values: &[&str]) -> Selector {
        let values = values.iter().map(|v| (*v).to_owned()).collect();
        let expressions = vec![Expression { key: key.to_owned(), operator: operator.to_owned(), values }];
        Selector { labels: Labels::new(), expressions }
    }

    #[test]
    fn operators() {
        let labels: Labels = [("app".to_owned(), "web".to_owned())].into();
        assert!(matches(&Selector::default(), &labels) && matches(&Selector::default(), &Labels::new()));
        assert!(matches(&expression("app", "In", &["web", "x"]), &labels));
        assert!(!matches(&expression("app", "NotIn", &["web"]), &labels));
        assert!(matches(&expression("tier", "NotIn", &["web"]), &labels));
        assert!(matches(&expression("app", "Exists", &[]), &labels));
        assert!(!matches(&expression("app", "DoesNotExist", &[]), &labels));
        assert!(matches(&expression("tier", "DoesNotExist", &[]), &labels));
        assert!(!matches(&expression("app", "Gt", &["1"]), &labels));
    }

    #[test]
    fn says_what_is_lacking() {
        let labels: Labels = [("app".to_owned(), "worker".to_owned())].into();
        let wants: Selector =
            Selector { labels: [("app".to_owned(), "web".to_owned())].into(), ..Selector::default() };
        assert_eq!(lacks(&wants, &labels).unwrap(), "wants app=web, there is app=worker");
        assert_eq!(
            lacks(&expression("x", "Exists", &[]), &labels).unwrap(),
            "wants the label x, there is no label x"
        );
    }
}
