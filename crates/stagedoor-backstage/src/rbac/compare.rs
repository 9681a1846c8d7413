//! Both readings of the files run against each other.

use std::collections::BTreeSet;
use std::fmt;

use stagedoor_core::{DecideError, Decision, Engine, Entities};

use super::convert::{Asker, PluginAnswer, Reading};
use super::policy_file::{Precedence, RbacFiles};
use super::witnesses::{Sample, Samples, hold};
use crate::catalog::Catalog;
use crate::entity_ref::EntityRef;
use crate::permission::{Permission, Permissions};
use crate::principal::{Principal, User};
use crate::request::Resource;

/// The most users that are made up, and the most references that own samples.
const ASKERS: usize = 2_000;
const OWNERS: usize = 12;
/// More differences than these are counted only.
const REPORTED: usize = 100;
/// Resources that are tried where no condition tells them apart.
const ALIKE: usize = 3;

/// What came of comparing policies with the files that they were made from.
///
/// Everybody who has a role was tried, and everybody who has two; with every permission, and
/// where conditions are about its resources with resources for which their rules hold, alone
/// and together.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Parity {
    /// Users that were tried.
    pub users: usize,
    /// Decisions that were compared.
    pub decisions: usize,
    /// Decisions that could not be compared, since a rule is not known.
    pub uncompared: usize,
    /// The first hundred differences.
    pub differences: Vec<Difference>,
    /// How many differences there are in all.
    pub different: usize,
    /// How many of them permit more than the files do.
    pub wider: usize,
}

/// One decision that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Difference {
    /// Who asked.
    pub user: EntityRef,
    /// The groups of that user.
    pub groups: Vec<EntityRef>,
    /// The permission.
    pub permission: String,
    /// The resource, where the permission is about one.
    pub resource: Option<String>,
    /// Whether the files permit it. The policies say the opposite.
    pub permitted: bool,
    /// The policies that decided.
    pub policies: Vec<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = |permitted: bool| if permitted { "allowed" } else { "denied" };
        write!(f, "{}", self.user)?;
        for group in &self.groups {
            write!(f, " in {group}")?;
        }
        write!(f, ", {}", self.permission)?;
        if let Some(resource) = &self.resource {
            write!(f, " on {resource}")?;
        }
        write!(f, ": {} by the files, ", word(self.permitted))?;
        write!(f, "{} by the policies", word(!self.permitted))
    }
}

impl Parity {
    /// Compares the engine's decisions with what the files mean. Users, groups and entities of
    /// the catalog are tried, too.
    ///
    /// # Errors
    ///
    /// [`DecideError`] if the policies' schema is not one of these permissions.
    pub fn of(
        files: &RbacFiles,
        precedence: Precedence,
        engine: &Engine,
        permissions: &Permissions,
        catalog: &Catalog,
    ) -> Result<Self, DecideError> {
        let criteria = files.conditions.iter().map(|condition| &condition.criteria);
        let samples = Samples::new(criteria, &owners(files), catalog);
        let known = samples.entities.iter().cloned().chain(catalog.hierarchy());
        let known = Entities::within(known, engine.limits()).map_err(DecideError::from)?;
        let mut run = Run {
            reading: Reading { files, precedence },
            engine,
            samples: &samples,
            conditional: files.conditions.iter().map(|c| c.resource_type.as_str()).collect(),
            parity: Self::default(),
        };
        for asker in askers(files, catalog) {
            run.parity.users += 1;
            let owned = asker.owned.iter().cloned();
            let principal = Principal::User(User::new(asker.user.clone()).with_ownership(owned));
            let entities = known.with([principal.to_entity()]).map_err(DecideError::from)?;
            for permission in permissions.iter() {
                run.permission(permission, &asker, &principal, &entities)?;
            }
        }
        Ok(run.parity)
    }
}

struct Run<'a> {
    reading: Reading<'a>,
    engine: &'a Engine,
    samples: &'a Samples,
    /// Resource types that conditions are about.
    conditional: BTreeSet<&'a str>,
    parity: Parity,
}

impl Run<'_> {
    fn permission(
        &mut self,
        permission: &Permission,
        asker: &Asker,
        principal: &Principal,
        entities: &Entities,
    ) -> Result<(), DecideError> {
        let read = self.reading.handle(permission, asker);
        let Some(resource_type) = permission.resource_type() else {
            return self.compare(permission, None, &read, asker, principal, entities);
        };
        let samples = self.samples.of(resource_type);
        let tried = match self.conditional.contains(resource_type) {
            true => samples.len(),
            false => ALIKE,
        };
        self.parity.uncompared += usize::from(samples.is_empty());
        for sample in samples.iter().take(tried) {
            self.compare(permission, Some(sample), &read, asker, principal, entities)?;
        }
        Ok(())
    }

    fn compare(
        &mut self,
        permission: &Permission,
        sample: Option<&Sample>,
        read: &PluginAnswer<'_>,
        asker: &Asker,
        principal: &Principal,
        entities: &Entities,
    ) -> Result<(), DecideError> {
        let permitted = match (read, sample) {
            (PluginAnswer::Allow, _) => Some(true),
            (PluginAnswer::Deny, _) | (PluginAnswer::AnyOf(_), None) => Some(false),
            (PluginAnswer::AnyOf(conditions), Some(sample)) => {
                conditions.iter().try_fold(false, |any, one| Some(hold(one, sample, asker)? || any))
            }
        };
        let Some(permitted) = permitted else {
            self.parity.uncompared += 1;
            return Ok(());
        };
        let resource = sample.map(|sample| Resource::known(sample.uid.clone()));
        // The samples are of the permission's type.
        let Ok(asked) = permission.request(principal, resource) else {
            self.parity.uncompared += 1;
            return Ok(());
        };
        let outcome = self.engine.decide(&asked.request, entities)?;
        self.parity.decisions += 1;
        if (outcome.decision() == Decision::Allow) == permitted {
            return Ok(());
        }
        self.parity.different += 1;
        self.parity.wider += usize::from(!permitted);
        if self.parity.differences.len() < REPORTED {
            self.parity.differences.push(Difference {
                user: asker.user.clone(),
                groups: asker.groups.iter().cloned().collect(),
                permission: permission.name().to_owned(),
                resource: sample.map(|sample| sample.uid.id().unescaped().to_owned()),
                permitted,
                policies: outcome.reasons().map(|policy| policy.id().to_owned()).collect(),
            });
        }
        Ok(())
    }
}

/// Returns references that may own something.
fn owners(files: &RbacFiles) -> Vec<String> {
    let members = files.roles.values().flat_map(|role| role.groups.iter().chain(&role.users));
    let distinct: BTreeSet<&EntityRef> = members.collect();
    distinct.into_iter().take(OWNERS).map(ToString::to_string).collect()
}

/// Returns nobody in particular, everybody who is named, those with two memberships, and the
/// catalog's users.
fn askers(files: &RbacFiles, catalog: &Catalog) -> BTreeSet<Asker> {
    let mut askers = BTreeSet::new();
    for user in catalog.users() {
        let owned = catalog.user(user).map(|user| user.ownership_entity_refs().clone());
        let (groups, owned) = (catalog.groups_of(user), owned.unwrap_or_default());
        askers.insert(Asker { user: user.clone(), groups, owned });
    }
    let Ok(somebody) = EntityRef::new("user", "default", "somebody") else { return askers };
    let asker = |members: &[&EntityRef]| {
        let users = members.iter().filter(|member| member.kind() == "user");
        let user = users.copied().next().unwrap_or(&somebody).clone();
        let groups = members.iter().filter(|member| member.kind() != "user");
        let groups: BTreeSet<EntityRef> = groups.copied().cloned().collect();
        let owned = groups.iter().cloned().chain([user.clone()]).collect();
        Asker { user, groups, owned }
    };
    askers.insert(asker(&[]));
    let members = files.roles.values().flat_map(|role| role.groups.iter().chain(&role.users));
    let members = members.chain(&files.config.super_users);
    let direct = files.rows.iter().filter_map(|row| match &row.subject {
        super::policy_file::Subject::Direct(reference) => Some(reference),
        super::policy_file::Subject::Role(_) => None,
    });
    let members: BTreeSet<&EntityRef> = members.chain(direct).collect();
    let members: Vec<&EntityRef> = members.into_iter().collect();
    askers.extend(members.iter().map(|member| asker(&[member])));
    for (number, one) in members.iter().enumerate() {
        for other in members.iter().skip(number + 1) {
            if askers.len() >= ASKERS {
                return askers;
            }
            if one.kind() != "user" || other.kind() != "user" {
                askers.insert(asker(&[one, other]));
            }
        }
    }
    askers
}
