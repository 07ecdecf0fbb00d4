//! BPF programs and links in the kernel. Maps need no look: they live only with a program, a pin or a process.

use super::bpf;

/// systemd loads and drops programs of its own, at any time.
const SYSTEMD: &str = "sd_";

/// Every program and every link, described.
pub(super) fn all() -> impl Iterator<Item = String> {
    let links: Vec<_> = bpf::links().collect();
    bpf::programs()
        .filter(|program| !program.name.starts_with(SYSTEMD))
        .flat_map(move |program| {
            let links = links.iter().filter(|link| link.program == program.id);
            let links = links.map(|link| format!("BPF link {} of the program {}", link.id, program.name));
            links
                .chain([format!("BPF program {} ({})", program.id, program.name)])
                .collect::<Vec<_>>()
        })
}
