//! Shows the demo.

use std::io::Write as _;

use stagedoor_demo::Demo;
use stagedoor_terminal::Paint;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut output = std::io::stdout();
    let page = Demo::decide()?.text(Paint::of(&output));
    output.write_all(page.as_bytes())?;
    Ok(())
}
