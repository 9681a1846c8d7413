//! Coverage in the format of [lcov](https://github.com/linux-test-project/lcov), which editors
//! and services show: policies are functions, clauses are branches.

use std::fmt::Write as _;

use stagedoor_core::single_line;

use super::{ClauseCoverage, Coverage, PolicyCoverage, by_file, first_lines, lines};

/// Returns the tracefile.
///
/// A line counts as often as the clauses that begin in it were reached; each clause has two
/// branches, true and false, that count as often as they mattered.
#[must_use]
pub fn lcov(coverage: &Coverage) -> String {
    let mut text = String::from("TN:stagedoor\n");
    for (file, policies) in by_file(coverage) {
        record(file, &policies, &mut text);
    }
    text
}

// Writing to a string does not fail.
fn record(file: &str, policies: &[&PolicyCoverage], text: &mut String) {
    // A name with a line end would begin another record.
    let _ = writeln!(text, "SF:{}", single_line(file));
    let placed: Vec<_> = policies.iter().filter_map(|p| Some((p.line?, *p))).collect();
    for (line, policy) in &placed {
        let _ = writeln!(text, "FN:{line},{}", function(&policy.policy));
    }
    for (_, policy) in &placed {
        let _ = writeln!(text, "FNDA:{},{}", policy.determined, function(&policy.policy));
    }
    let hit = placed.iter().filter(|(_, policy)| policy.determined > 0).count();
    let _ = writeln!(text, "FNF:{}\nFNH:{hit}", placed.len());

    let clauses = lines(policies);
    let mut branches = Vec::new();
    for (line, clauses) in &clauses {
        for (block, clause) in clauses.iter().enumerate() {
            for (branch, taken) in [clause.true_mattered, clause.false_mattered].iter().enumerate()
            {
                let reached = clause.was_true + clause.was_false > 0;
                let told = if reached { taken.to_string() } else { "-".to_owned() };
                let _ = writeln!(text, "BRDA:{line},{block},{branch},{told}");
                branches.push(*taken);
            }
        }
    }
    let taken = branches.iter().filter(|taken| **taken > 0).count();
    let _ = writeln!(text, "BRF:{}\nBRH:{taken}", branches.len());

    let of_policies =
        first_lines(policies, &clauses).into_iter().map(|(line, hits, _)| (line, hits));
    let reached = |clause: &&ClauseCoverage| clause.was_true + clause.was_false;
    let of_clauses = clauses
        .iter()
        .map(|(line, clauses)| (*line, clauses.iter().map(reached).max().unwrap_or_default()));
    let mut hits: Vec<(usize, u64)> = of_policies.chain(of_clauses).collect();
    hits.sort_unstable();
    hits.dedup_by_key(|(line, _)| *line);
    for (line, hits) in &hits {
        let _ = writeln!(text, "DA:{line},{hits}");
    }
    let hit = hits.iter().filter(|(_, hits)| *hits > 0).count();
    let _ = writeln!(text, "LF:{}\nLH:{hit}\nend_of_record", hits.len());
}

/// Returns the name of a policy as that of a function: readers take a comma for its end.
fn function(name: &str) -> String {
    single_line(name).replace(',', ";")
}
