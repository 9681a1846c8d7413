//! The platforms whose schemas ship with the command.

use clap::ValueEnum;
use stagedoor_source::Vocabulary;

/// The words of the platforms that policies may be about.
pub(crate) const PLATFORMS: [Vocabulary; 2] =
    [stagedoor_backstage::VOCABULARY, stagedoor_kubernetes::VOCABULARY];

/// A platform with a vocabulary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Platform {
    /// Permissions of Backstage.
    Backstage,
    /// Requests to Kubernetes.
    Kubernetes,
}

impl Platform {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Backstage => stagedoor_backstage::VOCABULARY.name,
            Self::Kubernetes => stagedoor_kubernetes::VOCABULARY.name,
        }
    }
}
