//! Prints the Cedar schema of the known Backstage permissions.

fn main() -> Result<(), stagedoor_backstage::FileError> {
    print!("{}", stagedoor_backstage::Permissions::known()?.schema());
    Ok(())
}
