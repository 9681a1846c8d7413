//! What an expression of a policy stands for in a resource.

use smol_str::SmolStr;
use stagedoor_core::ast::{BinaryOp, Expr, ExprKind, Literal, Var};
use stagedoor_core::expr::{walk, written};

use super::facet::{Facet, NAME_ROW, NAMESPACE_ROW};
use crate::permission_rules::{PermissionRules, RuleParams};

/// A resource type, as far as rules can tell its resources apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Model<'a> {
    CatalogEntity,
    ScaffolderTemplate,
    ScaffolderAction,
    ScaffolderTask,
    /// A type whose rules permission files list.
    ListPage(&'a str, &'a PermissionRules),
}

/// Something of a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Path {
    Resource,
    /// The labels, annotations or input, whose tags are facets.
    Labels,
    Annotations,
    Input,
    /// A string.
    One(Facet),
    /// A set of strings.
    Set(Facet),
    /// The owners that are groups.
    OwnerGroups,
}

impl<'a> Model<'a> {
    /// Returns the model of a resource type; `None` if there are no rules for it.
    pub(crate) fn of(resource_type: &'a str, rules: &'a PermissionRules) -> Option<Self> {
        Some(match resource_type {
            "catalog-entity" => Self::CatalogEntity,
            "scaffolder-template" => Self::ScaffolderTemplate,
            "scaffolder-action" => Self::ScaffolderAction,
            "scaffolder-task" => Self::ScaffolderTask,
            listed if rules.has(listed) => Self::ListPage(listed, rules),
            _ => return None,
        })
    }

    /// Returns what the expression stands for, if it is a path from the resource that is
    /// known here.
    pub(crate) fn path(&self, expr: &Expr) -> Option<Path> {
        match expr.expr_kind() {
            ExprKind::Var(Var::Resource) => Some(Path::Resource),
            ExprKind::GetAttr { expr, attr } => self.attribute(&self.path(expr)?, attr),
            ExprKind::BinaryApp { op: BinaryOp::GetTag, arg1, arg2 } => {
                self.tag(&self.path(arg1)?, string(arg2)?)
            }
            _ => None,
        }
    }

    /// Returns what the attribute of something stands for.
    pub(crate) fn attribute(&self, of: &Path, attribute: &str) -> Option<Path> {
        if *of != Path::Resource {
            return None;
        }
        Some(match (self, attribute) {
            (Self::CatalogEntity, "kind") => Path::One(Facet::Kind),
            (Self::CatalogEntity, "namespace") => Path::One(Facet::Row(NAMESPACE_ROW.into())),
            (Self::CatalogEntity, "name") => Path::One(Facet::Row(NAME_ROW.into())),
            (Self::CatalogEntity, "owners") => Path::Set(Facet::Owner),
            (Self::CatalogEntity, "ownerGroups") => Path::OwnerGroups,
            (Self::CatalogEntity, "labels") => Path::Labels,
            (Self::CatalogEntity, "annotations") => Path::Annotations,
            (Self::ScaffolderTemplate, "tags") => Path::Set(Facet::TemplateTag),
            (Self::ScaffolderAction, "action") => Path::One(Facet::ActionId),
            (Self::ScaffolderAction, "input") => Path::Input,
            (Self::ScaffolderTask, "createdBy") => Path::One(Facet::CreatedBy),
            _ => return None,
        })
    }

    /// Returns what the tag of something stands for.
    pub(crate) fn tag(&self, of: &Path, tag: &SmolStr) -> Option<Path> {
        Some(match (self, of) {
            (Self::CatalogEntity, Path::Resource) => Path::Set(Facet::Row(tag.clone())),
            (Self::CatalogEntity, Path::Labels) => Path::One(Facet::Label(tag.clone())),
            (Self::CatalogEntity, Path::Annotations) => Path::One(Facet::Annotation(tag.clone())),
            (Self::ScaffolderAction, Path::Input) => Path::One(Facet::Input(tag.clone())),
            (Self::ListPage(resource_type, rules), Path::Resource) => {
                match rules.of_tag(resource_type, tag)?.params {
                    RuleParams::None => Path::Set(Facet::Flag(tag.clone())),
                    _ => Path::Set(Facet::Tag(tag.clone())),
                }
            }
            _ => return None,
        })
    }
}

impl Path {
    /// Returns the facet whose presence is the presence of this; `None` for what every
    /// resource has.
    pub(crate) fn presence(&self) -> Option<&Facet> {
        match self {
            Self::One(facet) | Self::Set(facet) => Some(facet),
            Self::Resource | Self::Labels | Self::Annotations | Self::Input | Self::OwnerGroups => {
                None
            }
        }
    }
}

/// Returns the text of a string literal.
pub(crate) fn string(expr: &Expr) -> Option<&SmolStr> {
    match expr.expr_kind() {
        ExprKind::Lit(Literal::String(text)) => Some(text),
        _ => None,
    }
}

/// Returns whether the expression says anything of the resource.
pub(super) fn mentions_resource(expr: &Expr) -> bool {
    let mut mentions = false;
    walk(expr, |part| {
        mentions |= matches!(part.expr_kind(), ExprKind::Var(Var::Resource) | ExprKind::Unknown(_));
    });
    mentions
}

/// So many characters of a clause are told.
pub(super) const CLAUSE: usize = 240;

/// Returns the expression as it is written, cut where it gets longer than so many characters.
pub(crate) fn excerpt(expr: &Expr, length: usize) -> String {
    let text = written(expr);
    match text.char_indices().nth(length) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}
