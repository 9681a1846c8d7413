//! What a question tells of a request.

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::pst::EntityUID;

use crate::subject::{Identity, Subject};

/// What is known of a principal, action or resource.
#[derive(Debug, Clone, Default)]
pub(crate) struct Party {
    pub(crate) type_name: Option<String>,
    pub(crate) id: Option<String>,
    /// Attributes that are known: their values, or that they are absent.
    pub(crate) attributes: BTreeMap<&'static str, Option<String>>,
    /// Ancestors that are known, by type and id.
    pub(crate) ancestors: BTreeSet<(String, String)>,
    /// Types of which all ancestors are known.
    pub(crate) closed: BTreeSet<&'static str>,
}

/// What is known of a request.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    pub(crate) principal: Party,
    pub(crate) action: Party,
    pub(crate) resource: Party,
    /// The verb in the context, or that there is none, where that is known.
    pub(crate) verb: Option<Option<String>>,
}

pub(crate) const GROUP: &str = "k8s::Group";
pub(crate) const USER_NAME: &str = "k8s::UserName";
pub(crate) const NAMESPACE: &str = "k8s::Namespace";
/// The types that principals and resources may be members of.
const ANCESTORS: [&str; 3] = [GROUP, USER_NAME, NAMESPACE];

impl Party {
    /// Returns what is known of whoever bears a user name.
    pub(crate) fn of_user(user: &str) -> Self {
        let (type_name, name, namespace) = match Identity::of(user) {
            Identity::User => ("k8s::User", user, None),
            Identity::Node { name } => ("k8s::Node", name, None),
            Identity::ServiceAccount { namespace, name } => {
                ("k8s::ServiceAccount", name, Some(namespace))
            }
        };
        let mut party = Self {
            type_name: Some(type_name.to_owned()),
            closed: BTreeSet::from([USER_NAME, NAMESPACE]),
            ..Self::default()
        };
        party.attributes.insert("name", Some(name.to_owned()));
        party.attributes.insert("namespace", namespace.map(str::to_owned));
        party.member_of(USER_NAME, user);
        if let Some(namespace) = namespace {
            party.member_of(NAMESPACE, namespace);
            // As the authenticator has it.
            party.member_of(GROUP, "system:serviceaccounts");
            party.member_of(GROUP, &format!("system:serviceaccounts:{namespace}"));
            party.member_of(GROUP, "system:authenticated");
        }
        party
    }

    /// Returns what is known of somebody whose groups are known too.
    pub(crate) fn of_subject(subject: &Subject) -> Self {
        let mut party = Self::of_user(&subject.user);
        let id = if subject.uid.is_empty() { &subject.user } else { &subject.uid };
        party.id = Some(id.clone());
        for group in &subject.groups {
            party.member_of(GROUP, group);
        }
        party.closed.insert(GROUP);
        party
    }

    pub(crate) fn member_of(&mut self, type_name: &str, id: &str) {
        self.ancestors.insert((type_name.to_owned(), id.to_owned()));
    }

    /// Whether it is this entity, where that is known.
    pub(crate) fn is(&self, uid: &EntityUID) -> Option<bool> {
        let type_name = uid.ty.to_string();
        match (&self.type_name, &self.id) {
            (Some(known), _) if *known != type_name => Some(false),
            (Some(_), Some(id)) => Some(*id == *uid.eid),
            (None, Some(id)) if *id != *uid.eid => Some(false),
            _ => None,
        }
    }

    /// Whether it is this entity or a member of it, where that is known.
    pub(crate) fn is_in(&self, uid: &EntityUID) -> Option<bool> {
        let type_name = uid.ty.to_string();
        if self.ancestors.contains(&(type_name.clone(), uid.eid.to_string())) {
            return Some(true);
        }
        match self.is(uid) {
            Some(false)
                if self.closed.contains(type_name.as_str())
                    || !ANCESTORS.contains(&type_name.as_str()) =>
            {
                Some(false)
            }
            Some(true) => Some(true),
            _ => None,
        }
    }

    /// Whether it is of this type, where that is known.
    pub(crate) fn is_a(&self, type_name: &str) -> Option<bool> {
        self.type_name.as_ref().map(|known| known == type_name)
    }
}
