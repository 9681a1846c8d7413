//! Why no rule can say something, and what to write instead.

pub(super) const TOO_LARGE: &str =
    "the condition is too large: split the policy, or name fewer cases";
pub(super) const UNKNOWN: &str = "Backstage has no rule for this: compare kind, name, namespace, owners, labels, \
     annotations and tags with what is known of the user, by `==`, `contains`, `containsAny`, \
     `in` and `hasTag`";
pub(super) const OPERATOR: &str = "Backstage's rules know no order and do no arithmetic: compare by `==`, `contains` and \
     `hasTag`";
pub(super) const PATTERN: &str = "Backstage's rules know no patterns: list the values, or put a label on the entities that \
     are meant";
pub(super) const EMPTINESS: &str = "Backstage's rules cannot ask for an empty set: name the values";
pub(super) const SET_EQUALITY: &str = "Backstage's rules cannot compare whole sets: use `contains`, `containsAny` or \
     `containsAll`";
pub(super) const SUPERSET: &str = "Backstage's rules cannot say that a resource has nothing beyond a list: put the resource \
     on the left of `containsAll`, or use `containsAny`";
pub(super) const TWO_SIDED: &str = "Backstage's rules cannot compare one attribute of a resource with another: put a label \
     on the entities that are meant";
pub(super) const KEY: &str = "Backstage's rules need the name of a tag: write it out";
pub(super) const MEMBERSHIP: &str =
    "Backstage's resources are in no groups: use `==`, or `principal in resource.ownerGroups`";
pub(super) const NO_RULE: &str = "no permission file ties this tag to a rule: add it below `rules`";
