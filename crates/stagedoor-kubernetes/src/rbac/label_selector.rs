//! Label selectors of aggregation rules.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::wire::{null_is_default, objects};

/// Selects roles by their labels. An empty selector selects every role.
///
/// See [LabelSelector](https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/label-selector/).
///
/// # Examples
///
/// ```
/// use std::collections::BTreeMap;
/// use stagedoor_kubernetes::rbac::LabelSelector;
///
/// let mut selector = LabelSelector::default();
/// selector.match_labels.insert("aggregate-to-view".to_owned(), "true".to_owned());
/// assert_eq!(selector.problem(), None);
/// assert!(!selector.matches(&BTreeMap::new()));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct LabelSelector {
    /// Labels that must be there with these values.
    #[serde(default, deserialize_with = "null_is_default")]
    pub match_labels: BTreeMap<String, String>,
    /// Requirements that must all hold.
    #[serde(default, deserialize_with = "objects")]
    pub match_expressions: Vec<LabelSelectorRequirement>,
}

/// One requirement of a selector.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct LabelSelectorRequirement {
    /// The label.
    pub key: String,
    /// `In`, `NotIn`, `Exists` or `DoesNotExist`.
    pub operator: String,
    /// The values, for `In` and `NotIn`.
    #[serde(default, deserialize_with = "null_is_default")]
    pub values: Vec<String>,
}

impl LabelSelector {
    /// Returns whether it selects what has these labels.
    ///
    /// A selector with a [problem](Self::problem) selects nothing.
    #[must_use]
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.match_labels.iter().all(|(key, value)| labels.get(key) == Some(value))
            && self.match_expressions.iter().all(|requirement| requirement.holds(labels))
    }

    /// Returns why Kubernetes would not take the selector, if so.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        self.match_expressions.iter().find_map(LabelSelectorRequirement::problem)
    }
}

impl LabelSelectorRequirement {
    fn holds(&self, labels: &BTreeMap<String, String>) -> bool {
        let label = labels.get(&self.key);
        match self.operator.as_str() {
            "In" => label.is_some_and(|value| self.values.contains(value)),
            "NotIn" => label.is_none_or(|value| !self.values.contains(value)),
            "Exists" => label.is_some(),
            "DoesNotExist" => label.is_none(),
            _ => false,
        }
    }

    fn problem(&self) -> Option<String> {
        let Self { key, operator, values } = self;
        match (operator.as_str(), values.is_empty()) {
            ("In" | "NotIn", false) | ("Exists" | "DoesNotExist", true) => None,
            ("In" | "NotIn", true) => Some(format!("`{operator}` of label `{key}` has no values")),
            ("Exists" | "DoesNotExist", false) => {
                Some(format!("`{operator}` of label `{key}` takes no values"))
            }
            _ => Some(format!("`{operator}` is not an operator of a label selector")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requirement(operator: &str, values: &[&str]) -> LabelSelectorRequirement {
        LabelSelectorRequirement {
            key: "tier".to_owned(),
            operator: operator.to_owned(),
            values: values.iter().map(|v| (*v).to_owned()).collect(),
        }
    }

    #[test]
    fn requirements_hold_as_kubernetes_has_them() {
        let gold = BTreeMap::from([("tier".to_owned(), "gold".to_owned())]);
        let none = BTreeMap::new();
        let cases = [
            (requirement("In", &["gold", "tin"]), true, false),
            (requirement("In", &["tin"]), false, false),
            (requirement("NotIn", &["gold"]), false, true),
            (requirement("NotIn", &["tin"]), true, true),
            (requirement("Exists", &[]), true, false),
            (requirement("DoesNotExist", &[]), false, true),
            (requirement("in", &["gold"]), false, false),
        ];
        for (requirement, with, without) in cases {
            assert_eq!(requirement.holds(&gold), with, "{requirement:?}");
            assert_eq!(requirement.holds(&none), without, "{requirement:?}");
        }
        assert!(LabelSelector::default().matches(&none));
    }

    #[test]
    fn selectors_that_kubernetes_refuses_have_a_problem() {
        for (operator, values) in
            [("In", &[][..]), ("Exists", &["x"][..]), ("Equals", &["x"][..]), ("", &[][..])]
        {
            assert!(requirement(operator, values).problem().is_some(), "{operator}");
        }
        assert_eq!(requirement("NotIn", &["x"]).problem(), None);
    }
}
