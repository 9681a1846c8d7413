//! Tables: one grid for many cases.

use stagedoor_core::unknown_key;

use crate::expectation::Expectation;
use crate::file::{Case, KEYS, Table};

/// A case of a table, and the line of the grid that it stands in, from 0.
pub(crate) struct Cell {
    pub(crate) case: Case,
    pub(crate) line: usize,
}

/// Returns the cases of a table.
pub(crate) fn cases(table: &Table) -> Result<Vec<Cell>, String> {
    let lines = table.grid.lines().map(str::trim).enumerate();
    let mut lines = lines.filter(|(_, line)| !line.is_empty());
    let (_, header) = lines.next().ok_or("`grid` is empty")?;
    let header = cells(header)?;
    let keys: Vec<&str> = header.iter().take_while(|word| KEYS.contains(word)).copied().collect();
    let columns = header.get(keys.len()..).unwrap_or_default();
    if columns.is_empty() {
        let keys = KEYS.join(", ");
        return Err(format!(
            "the first line of `grid` has no column with a value of `{}`; keys that rows can vary \
             are {keys}",
            table.columns
        ));
    }
    let mut cases = Vec::new();
    for (number, line) in lines.filter(|(_, line)| !is_rule(line)) {
        let row = cells(line)?;
        if row.len() != header.len() {
            let (found, expected) = (row.len(), header.len());
            return Err(format!(
                "the line `{line}` has {found} cells, but the first has {expected}"
            ));
        }
        let (values, answers) = row.split_at(keys.len());
        let of_row: Vec<(&str, &str)> = keys.iter().copied().zip(values.iter().copied()).collect();
        for (column, answer) in columns.iter().zip(answers).filter(|(_, answer)| !answer.is_empty())
        {
            let expect = Expectation::word(answer).ok_or_else(|| {
                format!("`{answer}` in the line `{line}` is not `allow`, `deny` or `conditional`")
            })?;
            let name = format!("{}: {}, {column}", table.name, values.join(" "));
            let mut case = Case { name, expect, ..Case::default() };
            for (key, words) in &table.with {
                set(&mut case, key, words.as_slice())?;
            }
            for (key, value) in &of_row {
                set_cell(&mut case, key, value)?;
            }
            set_cell(&mut case, &table.columns, column)?;
            cases.push(Cell { case, line: number });
        }
    }
    if cases.is_empty() {
        return Err("`grid` has no cell that says `allow`, `deny` or `conditional`".to_owned());
    }
    Ok(cases)
}

/// Sets a key of a case, or says that a case has no such key.
pub(crate) fn set(case: &mut Case, key: &str, words: &[String]) -> Result<(), String> {
    case.set(key, words).ok_or_else(|| {
        if KEYS.contains(&key) {
            format!("`{key}` takes one word")
        } else {
            format!("`{key}` is not a key that can be varied; those are {}", KEYS.join(", "))
        }
    })
}

/// `-` in a cell stands for a key that the row does not set.
fn set_cell(case: &mut Case, key: &str, value: &str) -> Result<(), String> {
    match (key, value) {
        (_, "-") => Ok(()),
        ("groups", list) => {
            let groups: Vec<String> = list.split_whitespace().map(str::to_owned).collect();
            set(case, key, &groups)
        }
        _ => set(case, key, &[value.to_owned()]),
    }
}

/// Returns what is wrong with the keys of a table, a message each.
pub(crate) fn wrong_keys(table: &Table) -> Vec<String> {
    let keys = table.with.keys().map(|key| ("with", key.as_str()));
    let unknown = |(place, key): (&str, &str)| {
        (!KEYS.contains(&key)).then(|| format!("`{place}`: {}", unknown_key(key, KEYS)))
    };
    keys.chain([("columns", table.columns.as_str())]).filter_map(unknown).collect()
}

/// Returns the cells of `| a | b |`.
fn cells(line: &str) -> Result<Vec<&str>, String> {
    let inner = line.strip_prefix('|').and_then(|line| line.strip_suffix('|'));
    let inner = inner.ok_or_else(|| format!("the line `{line}` does not stand between bars"))?;
    Ok(inner.split('|').map(str::trim).collect())
}

/// Whether a line is the rule under a Markdown table's first line.
fn is_rule(line: &str) -> bool {
    line.contains('-') && line.chars().all(|c| "|-: ".contains(c)) && line.contains("--")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(grid: &str) -> Table {
        Table {
            name: "t".to_owned(),
            columns: "user".to_owned(),
            with: [("entity".to_owned(), crate::file::Words::One("component:a".to_owned()))].into(),
            grid: grid.to_owned(),
        }
    }

    #[test]
    fn a_cell_is_a_case() -> Result<(), String> {
        let cases = cases(&table(
            "| permission | alice | bob |
             |------------|-------|-----|
             | a.read     | allow | deny |
             | a.delete   |       | deny |",
        ))?;
        let told: Vec<_> = cases
            .iter()
            .map(|Cell { case, .. }| {
                (case.name.as_str(), case.permission.as_deref(), case.user.as_deref())
            })
            .collect();
        assert_eq!(
            told,
            [
                ("t: a.read, alice", Some("a.read"), Some("alice")),
                ("t: a.read, bob", Some("a.read"), Some("bob")),
                ("t: a.delete, bob", Some("a.delete"), Some("bob")),
            ]
        );
        assert!(cases.iter().all(|cell| cell.case.entity.as_deref() == Some("component:a")));
        assert_eq!(cases.iter().map(|cell| cell.line).collect::<Vec<_>>(), [2, 2, 3]);
        Ok(())
    }

    #[test]
    fn a_grid_that_is_none_is_refused() {
        for (grid, told) in [
            ("", "`grid` is empty"),
            ("| permission |", "no column"),
            ("permission alice", "between bars"),
            ("| permission | alice |\n| a.read |", "has 1 cells"),
            ("| permission | alice |\n| a.read | yes |", "`yes`"),
            ("| permission | alice |\n| a.read | |", "no cell"),
            ("| permission | alice |", "no cell"),
        ] {
            let error = cases(&table(grid)).err().unwrap_or_default();
            assert!(error.contains(told), "{grid:?}: {error}");
        }
    }
}
