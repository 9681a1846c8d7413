//! Tables, for people and as CSV.

use crate::failure::Failure;
use crate::output::Output;
use crate::terminal::line;

/// A table with named columns.
pub(crate) struct Table<const N: usize> {
    columns: [&'static str; N],
    rows: Vec<[String; N]>,
}

impl<const N: usize> Table<N> {
    pub(crate) fn new(columns: [&'static str; N]) -> Self {
        Self { columns, rows: Vec::new() }
    }

    pub(crate) fn row(&mut self, cells: [String; N]) {
        self.rows.push(cells);
    }

    /// Prints the table; for people, `nothing` where it is empty.
    pub(crate) fn print(
        &self,
        csv: bool,
        nothing: &str,
        output: &mut Output,
    ) -> Result<(), Failure> {
        if csv {
            return self.print_csv(output);
        }
        if self.rows.is_empty() {
            return output.line(nothing);
        }
        let shown: Vec<[String; N]> =
            self.rows.iter().map(|row| row.each_ref().map(|cell| line(cell))).collect();
        let mut widths = self.columns.map(str::len);
        for row in &shown {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = cell.chars().count().max(*width);
            }
        }
        let paint = output.paint();
        let head = laid_out(&self.columns.map(str::to_owned), &widths);
        output.line(paint.bold(head))?;
        shown.iter().try_for_each(|row| output.line(laid_out(row, &widths)))
    }

    /// As [RFC 4180](https://www.rfc-editor.org/rfc/rfc4180) has it.
    fn print_csv(&self, output: &mut Output) -> Result<(), Failure> {
        output.line(self.columns.map(|name| csv_cell(&name.to_lowercase())).join(","))?;
        self.rows
            .iter()
            .try_for_each(|row| output.line(row.each_ref().map(|cell| csv_cell(cell)).join(",")))
    }
}

fn laid_out<const N: usize>(cells: &[String; N], widths: &[usize; N]) -> String {
    let mut text = String::new();
    for (cell, width) in cells.iter().zip(widths) {
        let room = width.saturating_sub(cell.chars().count());
        text.push_str(cell);
        text.push_str(&" ".repeat(room + 2));
    }
    text.truncate(text.trim_end().len());
    text
}

/// Quotes a cell; what a spreadsheet would take for a formula begins with an apostrophe.
fn csv_cell(text: &str) -> String {
    let is_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let text = if is_formula { format!("'{text}") } else { text.to_owned() };
    if text.contains([',', '"', '\n', '\r', '\'']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_where_they_must_be() {
        let cases = [
            ("plain", "plain"),
            ("a,b", "\"a,b\""),
            ("say \"x\"", "\"say \"\"x\"\"\""),
            ("=1+1", "\"'=1+1\""),
            ("", ""),
        ];
        for (given, cell) in cases {
            assert_eq!(csv_cell(given), cell);
        }
    }
}
