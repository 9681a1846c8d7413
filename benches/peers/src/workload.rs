//! The workload, as `cargo run --bin workload` exports it.

use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize)]
pub struct Workload {
    pub grants: Vec<Grant>,
    pub users: Vec<User>,
    pub requests: Vec<WorkloadRequest>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Grant {
    pub group: String,
    pub verbs: Vec<String>,
    pub api_group: String,
    pub resource: String,
    pub namespace: Option<String>,
}

#[derive(Debug, Deserialize)]
pub struct User {
    pub name: String,
    pub groups: Vec<String>,
    pub suspended: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadRequest {
    pub user: usize,
    pub verb: String,
    pub api_group: String,
    pub resource: String,
    pub namespace: Option<String>,
    pub name: String,
    pub allowed: bool,
}
