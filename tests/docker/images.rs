//! Builds the images that the tests run, once. Starts no container.

use std::{process::Command, sync::OnceLock};

use crate::common::{run, text};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// musterd in a small Debian.
const PLAIN: &str = "musterd-test";

/// Whether an engine answers; else why not.
pub(crate) fn engine() -> Result<(), String> {
    let output = Command::new("docker")
        .args(["version", "--format", "{{.Server.Version}}"])
        .output()
        .map_err(|error| format!("cannot execute docker: {error}"))?;
    if output.status.success() { Ok(()) } else { Err(text(&output).trim().to_owned()) }
}

fn command(program: &str, arguments: &[&str]) -> Result<(), String> {
    let output = run(program, arguments);
    if output.status.success() { Ok(()) } else { Err(format!("{program} {arguments:?}: {}", text(&output))) }
}

/// The image of the root's Dockerfile.
pub(crate) fn plain() -> &'static str {
    static BUILT: OnceLock<Result<(), String>> = OnceLock::new();
    let built = BUILT.get_or_init(|| {
        command(&format!("{ROOT}/tests/base-images"), &[])?;
        command("docker", &["build", "--quiet", "--tag", PLAIN, ROOT])
    });
    done(PLAIN, built)
}

/// The bare binary in an empty image.
pub(crate) fn binary() -> &'static str {
    static BUILT: OnceLock<Result<(), String>> = OnceLock::new();
    let name = "musterd-test-binary";
    plain();
    done(
        name,
        BUILT.get_or_init(|| {
            command("docker", &["build", "--quiet", "--target", "binary", "--tag", name, ROOT])
        }),
    )
}

/// The image of the demonstration: apache2 and sshd.
pub(crate) fn demonstration() -> &'static str {
    static BUILT: OnceLock<Result<(), String>> = OnceLock::new();
    let name = "musterd-test-apache2-sshd";
    let base = format!("MUSTERD_IMAGE={}", plain());
    let folder = format!("{ROOT}/examples/apache2-sshd");
    done(
        name,
        BUILT.get_or_init(|| {
            command("docker", &["build", "--quiet", "--build-arg", &base, "--tag", name, &folder])
        }),
    )
}

/// The image of the Compose file.
pub(crate) fn compose() -> &'static str {
    static BUILT: OnceLock<Result<(), String>> = OnceLock::new();
    let name = "musterd-test-compose";
    let base = format!("MUSTERD_IMAGE={}", plain());
    let folder = format!("{ROOT}/examples/compose");
    done(
        name,
        BUILT.get_or_init(|| {
            command("docker", &["build", "--quiet", "--build-arg", &base, "--tag", name, &folder])
        }),
    )
}

/// Real daemons, and the tools to look at them.
pub(crate) fn daemons() -> &'static str {
    static BUILT: OnceLock<Result<(), String>> = OnceLock::new();
    let name = "musterd-test-daemons";
    let base = format!("MUSTERD_IMAGE={}", plain());
    let folder = format!("{ROOT}/tests/docker/daemons");
    done(
        name,
        BUILT.get_or_init(|| {
            command("docker", &["build", "--quiet", "--build-arg", &base, "--tag", name, &folder])
        }),
    )
}

fn done<'a>(name: &'a str, built: &Result<(), String>) -> &'a str {
    match built {
        Ok(()) => name,
        Err(reason) => panic!("cannot build the image {name}: {reason}"),
    }
}
