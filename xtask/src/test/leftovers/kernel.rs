//! BPF programs and links in the kernel. Maps need no look: they live only with a program, a pin or a process.

use aya::programs::{loaded_links, loaded_programs};

/// systemd loads and drops programs of its own, at any time.
const SYSTEMD: &str = "sd_";

/// Every program and every link. What vanishes while we look is passed over.
pub(super) fn all() -> impl Iterator<Item = String> {
    let links = loaded_links()
        .flatten()
        .map(|link| (link.id(), link.program_id()))
        .collect::<Vec<_>>();
    loaded_programs().flatten().flat_map(move |program| {
        let name = program.name_as_str().unwrap_or_default().to_owned();
        if name.starts_with(SYSTEMD) {
            return Vec::new();
        }
        let links = links.iter().filter(|(_, id)| *id == program.id());
        let links = links.map(|(link, _)| format!("BPF link {link} of the program {name}"));
        links
            .chain([format!("BPF program {} ({name})", program.id())])
            .collect()
    })
}
