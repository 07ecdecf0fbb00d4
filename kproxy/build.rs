//! Builds the kernel object that `src/dataplane/object.rs` embeds.

use std::process::ExitCode;

use xtask::kernel_object::{self, Request};

fn main() -> ExitCode {
    match build() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Not returned from `main`: that would put a backtrace between the reader and what cargo said.
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn build() -> anyhow::Result<()> {
    let request = Request::from_build_script()?;
    for input in kernel_object::inputs(&request.workspace) {
        println!("cargo::rerun-if-changed={}", input.display());
    }
    let object = kernel_object::build(&request)?;
    println!("cargo::rustc-env=KPROXY_OBJECT={}", object.display());
    Ok(())
}
