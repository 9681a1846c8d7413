//! Links the addon, and has `#[napi]` write down the types of its interface.

use std::path::PathBuf;
use std::{env, fs, io};

/// Where `#[napi]` writes types; `@napi-rs/cli` sets it when it runs the build.
const TYPES: &str = "NAPI_TYPE_DEF_TMP_FOLDER";

fn main() -> io::Result<()> {
    napi_build::setup();
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed={TYPES}");
    if env::var_os(TYPES).is_none() {
        let out = env::var_os("OUT_DIR").ok_or(io::ErrorKind::NotFound)?;
        let folder = PathBuf::from(out).join("types");
        fs::create_dir_all(&folder)?;
        println!("cargo:rustc-env={TYPES}={}", folder.display());
    }
    Ok(())
}
