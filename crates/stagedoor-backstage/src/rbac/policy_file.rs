//! The CSV file: who has which role, and what roles permit.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use smol_str::SmolStr;

use super::app_config::AppConfig;
use super::conditional_file::{self, RoleCondition};
use crate::entity_ref::EntityRef;
use crate::file_error::{FileError, Report};
use crate::permission::PermissionAction;
use crate::permission_rules::PermissionRules;
use crate::yaml::Position;

/// Bounds on the file.
const FILE_BYTES: usize = 16 << 20;
const NAME_LENGTH: usize = 63;

/// Which of rows and conditions count where a user has both: the plugin's
/// `policyDecisionPrecedence`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precedence {
    /// Conditions, as the plugin has it by default.
    #[default]
    Conditional,
    /// Rows.
    Basic,
}

/// Role assignments, permission policies and conditions of the RBAC plugin.
#[derive(Debug, Clone)]
pub struct RbacFiles {
    pub(super) csv: String,
    pub(super) yaml: String,
    /// Every role that has members.
    pub(super) roles: BTreeMap<SmolStr, Members>,
    pub(super) rows: Vec<Row>,
    pub(super) conditions: Vec<RoleCondition>,
    pub(super) config: AppConfig,
}

/// Who has a role.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Members {
    /// Everybody is one.
    pub(super) everybody: bool,
    pub(super) groups: BTreeSet<EntityRef>,
    pub(super) users: BTreeSet<EntityRef>,
}

/// One `p` line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) line: u32,
    pub(super) subject: Subject,
    /// The name of a permission, or a resource type.
    pub(super) object: SmolStr,
    pub(super) action: Option<PermissionAction>,
    pub(super) allow: bool,
    pub(super) origin: Origin,
}

/// Where a row stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    Csv,
    AppConfig,
}

/// Whom a row is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Subject {
    Role(SmolStr),
    /// A user or a group, by itself.
    Direct(EntityRef),
}

impl Members {
    pub(super) fn extend(&mut self, others: &Self) {
        self.everybody |= others.everybody;
        self.groups.extend(others.groups.iter().cloned());
        self.users.extend(others.users.iter().cloned());
    }
}

impl RbacFiles {
    /// Reads the CSV file and, if there is one, the YAML file, each given as its name (for
    /// messages) and its text. Rules of plugins that are not known are found in `permissions`.
    ///
    /// # Errors
    ///
    /// [`FileError`] with everything that is wrong. The plugin passes over most of it with a
    /// warning; whoever moves away from it wants to know.
    pub fn read(
        csv: (&str, &str),
        yaml: Option<(&str, &str)>,
        permissions: &crate::Permissions,
    ) -> Result<Self, FileError> {
        let mut error = FileError::default();
        let mut files = Self {
            csv: csv.0.to_owned(),
            yaml: yaml.map(|(name, _)| name.to_owned()).unwrap_or_default(),
            roles: BTreeMap::new(),
            rows: Vec::new(),
            conditions: Vec::new(),
            config: AppConfig::default(),
        };
        files.read_csv(csv.1, &mut Report { file: csv.0, document: 1, error: &mut error });
        if let Some((name, text)) = yaml {
            let rules: &PermissionRules = permissions.rules();
            files.conditions = conditional_file::read(name, text, rules, &mut error);
        }
        error.or(files)
    }

    /// Returns how many rows and conditions there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len() + self.conditions.len()
    }

    /// Returns whether there are neither rows nor conditions.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn read_csv(&mut self, text: &str, report: &mut Report<'_>) {
        if text.len() > FILE_BYTES {
            let message = format!("{} bytes are more than the limit of {FILE_BYTES}", text.len());
            return report.problem(Position { line: 1, column: 1 }, message, "");
        }
        let mut seen = SeenRows::default();
        for (line, text) in (1..).zip(text.lines()) {
            let text = text.trim();
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            if let Err((message, help)) = self.read_line(line, text, &mut seen) {
                report.problem(Position { line, column: 1 }, message, help);
            }
        }
    }

    fn read_line(&mut self, line: u32, text: &str, seen: &mut SeenRows) -> Result<(), RowError> {
        if text.contains('"') {
            return Err(("double quotes are not read".into(), "no name here needs them"));
        }
        let fields: Vec<&str> = text.split(',').map(str::trim).collect();
        match fields.as_slice() {
            ["p", subject, object, action, effect] => {
                let row = row(line, subject, object, action, effect)?;
                let key = (row.subject.clone(), row.object.clone(), row.action);
                if let Some((first, allow)) = seen.rows.insert(key, (line, row.allow)) {
                    let message = match allow == row.allow {
                        true => format!("the same as line {first}"),
                        false => format!("allows and denies what line {first} does not"),
                    };
                    return Err((message, "the plugin takes neither of the two: leave one out"));
                }
                self.rows.push(row);
            }
            ["g", member, role] => {
                let (member, role) = assignment(member, role)?;
                if let Some(first) = seen.members.insert((member.clone(), role.clone()), line) {
                    let help = "the plugin takes neither of the two: leave one out";
                    return Err((format!("the same as line {first}"), help));
                }
                let members = self.roles.entry(role).or_default();
                let list =
                    if member.kind() == "user" { &mut members.users } else { &mut members.groups };
                list.insert(member);
            }
            ["p", ..] => {
                let help = "write `p, role, permission or resource type, action, allow or deny`";
                return Err((format!("{} fields in place of 5", fields.len()), help));
            }
            ["g", ..] => {
                let help = "write `g, user or group, role`";
                return Err((format!("{} fields in place of 3", fields.len()), help));
            }
            _ => return Err(("neither a `p` nor a `g` line".into(), "comments start with `#`")),
        }
        Ok(())
    }
}

/// What is wrong with a line, and what to do about it.
pub(super) type RowError = (String, &'static str);

/// Lines that were read, for those that repeat them.
#[derive(Default)]
struct SeenRows {
    rows: HashMap<(Subject, SmolStr, Option<PermissionAction>), (u32, bool)>,
    members: HashMap<(EntityRef, SmolStr), u32>,
}

fn row(
    line: u32,
    subject: &str,
    object: &str,
    action: &str,
    effect: &str,
) -> Result<Row, RowError> {
    let subject = match full_reference(subject)? {
        ("role", _) => Subject::Role(subject.into()),
        _ if subject != subject.to_lowercase() => {
            let help = "the plugin compares it by case: write it in lower case";
            return Err((format!("`{subject}` is nobody"), help));
        }
        _ => Subject::Direct(reference(subject)?),
    };
    if object.is_empty() {
        return Err(("the permission is missing".into(), "name it, or a resource type"));
    }
    let Some(action) = super::policy_file::action(action) else {
        let help = "write `create`, `read`, `update`, `delete` or `use`";
        return Err((format!("`{action}` is not an action"), help));
    };
    let allow = match effect {
        "allow" => true,
        "deny" => false,
        _ => return Err((format!("`{effect}` is not an effect"), "write `allow` or `deny`")),
    };
    Ok(Row { line, subject, object: object.into(), action, allow, origin: Origin::Csv })
}

fn assignment(member: &str, role: &str) -> Result<(EntityRef, SmolStr), RowError> {
    // The plugin does so too.
    let member = member.to_lowercase();
    if full_reference(&member)?.0 == "role" {
        return Err(("roles have no roles".into(), "name the members of the role one by one"));
    }
    if full_reference(role)?.0 != "role" {
        let help = "who is in a group is for the catalog to say";
        return Err((format!("`{role}` is not a role"), help));
    }
    Ok((reference(&member)?, role.into()))
}

/// Returns the action of this name. The inner `None` stands for `use`, which the plugin calls
/// permissions without one.
#[expect(clippy::option_option, reason = "the inner one is an action, the outer a failure")]
pub(super) fn action(word: &str) -> Option<Option<PermissionAction>> {
    match word {
        "use" => Some(None),
        _ => PermissionAction::ALL.into_iter().find(|a| a.as_str() == word).map(Some),
    }
}

/// Returns the plugin's word for an action.
pub(super) fn action_word(action: Option<PermissionAction>) -> &'static str {
    action.map_or("use", PermissionAction::as_str)
}

fn reference(text: &str) -> Result<EntityRef, RowError> {
    text.parse().map_err(|e: crate::EntityRefError| (e.to_string(), ""))
}

/// Checks a reference as the plugin does; returns its kind and the rest.
pub(super) fn full_reference(text: &str) -> Result<(&str, &str), RowError> {
    let help = "write `role:default/name`, `group:default/name` or `user:default/name`";
    let wrong = || (format!("`{text}` is not the reference of a role, a group or a user"), help);
    let (kind, rest) = text.split_once(':').ok_or_else(wrong)?;
    let (namespace, name) = rest.split_once('/').ok_or_else(wrong)?;
    let words = |text: &str, between: &[char], is_letter: fn(u8) -> bool| {
        text.len() <= NAME_LENGTH
            && text.split(between).all(|word| !word.is_empty() && word.bytes().all(is_letter))
    };
    let is_lower = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let valid = ["role", "group", "user"].contains(&kind)
        && words(namespace, &['-'], is_lower)
        && words(name, &['.', '_', '-'], |b| b.is_ascii_alphanumeric());
    if valid { Ok((kind, rest)) } else { Err(wrong()) }
}
