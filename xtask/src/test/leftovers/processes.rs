//! Processes that outlived the test that started them. As their reaper we are their parent by now.

use std::fs;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A line of `/proc/<pid>/stat`, as far as it matters here.
#[derive(Debug, PartialEq, Eq)]
struct Process {
    id: i32,
    name: String,
    state: char,
    parent: i32,
}

/// All of them, described.
pub(super) fn running() -> impl Iterator<Item = String> {
    children().map(|process| format!("process {} ({})", process.id, command_line(&process)))
}

/// Ends all of them.
pub(super) fn end() {
    for process in children() {
        // It may have ended by itself.
        let _ = kill(Pid::from_raw(process.id), Signal::SIGKILL);
    }
}

fn children() -> impl Iterator<Item = Process> {
    let ours = Pid::this().as_raw();
    let entries = fs::read_dir("/proc").into_iter().flatten();
    entries
        .filter_map(|entry| fs::read_to_string(entry.ok()?.path().join("stat")).ok())
        .filter_map(|stat| parse(&stat))
        // The dead of whom nobody has taken notice are no trouble.
        .filter(move |process| process.parent == ours && process.state != 'Z')
}

/// proc(5): `id (name) state parent …`; the name may hold spaces and parentheses.
fn parse(stat: &str) -> Option<Process> {
    let (id, rest) = stat.split_once(" (")?;
    let (name, rest) = rest.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    let state = fields.next()?.chars().next()?;
    Some(Process {
        id: id.parse().ok()?,
        name: name.to_owned(),
        state,
        parent: fields.next()?.parse().ok()?,
    })
}

fn command_line(process: &Process) -> String {
    let arguments = fs::read_to_string(format!("/proc/{}/cmdline", process.id)).unwrap_or_default();
    let arguments = arguments.trim_end_matches('\0').replace('\0', " ");
    if arguments.is_empty() {
        process.name.clone()
    } else {
        arguments
    }
}

#[cfg(test)]
mod tests {
    use super::{Process, parse};

    #[test]
    fn names_may_hold_anything() {
        let process = Process {
            id: 12,
            name: "a) S (b".to_owned(),
            state: 'R',
            parent: 3,
        };
        assert_eq!(parse("12 (a) S (b) R 3 12 12 0 -1"), Some(process));
        assert_eq!(parse(""), None);
    }
}
