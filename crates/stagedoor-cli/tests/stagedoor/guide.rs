//! The guide: its files are written, its commands run, and what it shows of their output is there.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use crate::run::{repository, stagedoor};

#[test]
fn the_guide_does_what_it_says() -> Result<()> {
    let page = std::fs::read_to_string(repository("crates/stagedoor/docs/GUIDE.md"))?;
    let directory = tempfile::tempdir()?;
    let (mut files, mut commands) = (0, 0);
    // A fence opens a block and the next one closes it.
    let parts: Vec<&str> = page.split("```").collect();
    for (before, block) in parts.iter().step_by(2).zip(parts.iter().skip(1).step_by(2)) {
        let (info, body) = block.split_once('\n').context("a block without a line")?;
        match info.split_once(' ') {
            Some((_, path)) => {
                // What stands beside the language is not shown to whoever reads.
                ensure!(before.ends_with(&format!("`{path}`:\n\n")), "nothing names `{path}`");
                write(directory.path(), path, body)?;
                files += 1;
            }
            None if info == "console" => commands += run(directory.path(), body)?,
            None => {}
        }
    }
    ensure!(files >= 10 && commands >= 10, "{files} files and {commands} commands");
    Ok(())
}

fn write(directory: &Path, path: &str, text: &str) -> Result<()> {
    let path = directory.join(path);
    std::fs::create_dir_all(path.parent().context("no folder")?)?;
    Ok(std::fs::write(path, text)?)
}

/// Runs the commands of a block; returns how many there are.
fn run(directory: &Path, block: &str) -> Result<usize> {
    let commands: Vec<&str> = block.split("$ ").skip(1).collect();
    for command in &commands {
        let mut lines = command.lines();
        let words = lines.next().context("no command")?.split_whitespace();
        let run = stagedoor(directory, words.skip(1), b"")?;
        let mut exit = 0;
        let mut rest = run.stdout.as_str();
        for line in lines.map(str::trim).filter(|line| !line.is_empty()) {
            if let Some(code) = line.strip_prefix("(exit ").and_then(|l| l.strip_suffix(')')) {
                exit = code.parse()?;
                continue;
            }
            let (_, after) = rest.split_once(line).with_context(|| {
                format!("`{line}` is not in the output of `{command}`, in this order:\n{run:?}")
            })?;
            rest = after;
        }
        ensure!(run.exit == exit, "`{command}`: {run:?}");
    }
    Ok(commands.len())
}
