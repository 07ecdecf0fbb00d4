//! How willingly the kernel ends this process when memory is short (proc(5), `oom_score_adj`).

use std::fs;

/// Sets it. Below what the process has now only `CAP_SYS_RESOURCE` may, which kproxy can do without: failure is logged and
/// changes nothing else.
pub fn adjust(adjustment: i32) {
    let file = "/proc/self/oom_score_adj";
    let found = fs::read_to_string(file)
        .ok()
        .and_then(|text| text.trim().parse().ok());
    if found == Some(adjustment) {
        return;
    }
    if let Err(error) = fs::write(file, adjustment.to_string()) {
        tracing::info!("oomScoreAdj {adjustment} can not be set, {file} stays as it is: {error}");
    }
}
