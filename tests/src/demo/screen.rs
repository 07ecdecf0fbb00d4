//! What the demo prints: scenes, rows, bars and claims. Colours only where somebody looks and wants them (`NO_COLOR`,
//! `CLICOLOR_FORCE`: see `anstream`).

use std::{
    fmt::Display,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use anstyle::{AnsiColor, Style};

/// Set when the demo was interrupted: what fails from then on is nobody's news.
static HUSHED: AtomicBool = AtomicBool::new(false);

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const GREEN: Style = AnsiColor::Green.on_default().bold();
const RED: Style = AnsiColor::Red.on_default().bold();
const BLUE_TEXT: Style = AnsiColor::Blue.on_default();
const GREEN_TEXT: Style = AnsiColor::Green.on_default();
const CYAN_TEXT: Style = AnsiColor::Cyan.on_default();

/// The printed story so far.
#[derive(Debug)]
pub struct Screen {
    start: Instant,
    scenes: u32,
    kept: u32,
    broken: Vec<String>,
}

impl Screen {
    /// Prints the title.
    #[must_use]
    pub fn new() -> Self {
        line(&format!(
            "\n{BOLD}kproxy{BOLD:#}  Kubernetes Services in the kernel"
        ));
        Self {
            start: Instant::now(),
            scenes: 0,
            kept: 0,
            broken: Vec::new(),
        }
    }

    /// Starts a scene.
    pub fn scene(&mut self, title: &str) {
        self.scenes += 1;
        line(&format!("\n{BOLD}{}  {title}{BOLD:#}", self.scenes));
    }

    /// A step that is done, and how long it took.
    pub fn step(&self, what: &str, took: Duration) {
        line(&format!("   {what:<78}{DIM}{:>8}{DIM:#}", duration(took)));
    }

    /// An explanation.
    pub fn say(&self, text: &str) {
        line(&format!("   {DIM}{text}{DIM:#}"));
    }

    /// A line as it is.
    pub fn row(&self, text: &str) {
        line(&format!("   {text}"));
    }

    /// Something the demo claims, and whether it was true.
    pub fn claim(&mut self, kept: bool, text: &str) {
        if kept {
            self.kept += 1;
            line(&format!("   {GREEN}✓{GREEN:#} {text}"));
        } else {
            line(&format!("   {RED}✗ {text}{RED:#}"));
            self.broken.push(text.to_owned());
        }
    }

    /// The end: whether every claim was true.
    #[must_use]
    pub fn verdict(&self) -> bool {
        let took = duration(self.start.elapsed());
        if self.broken.is_empty() && self.kept > 0 {
            line(&format!(
                "\n{GREEN}✓ all of it was true{GREEN:#}: {} claims in {took}\n",
                self.kept
            ));
            return true;
        }
        line(&format!(
            "\n{RED}✗ {} of {} claims were not true{RED:#}:",
            self.broken.len(),
            self.claims()
        ));
        for text in &self.broken {
            line(&format!("   {text}"));
        }
        line("");
        false
    }

    fn claims(&self) -> usize {
        self.broken.len() + usize::try_from(self.kept).unwrap_or(0)
    }
}

impl Default for Screen {
    fn default() -> Self {
        Self::new()
    }
}

/// From now on nothing is printed.
pub fn hush() {
    HUSHED.store(true, Ordering::Relaxed);
}

/// A share of requests as a bar of up to six cells, and its number.
#[must_use]
pub fn bar(count: u64, total: u64) -> String {
    let eighths = (count * 48 + total / 2).checked_div(total).unwrap_or(0);
    let full = usize::try_from(eighths / 8).unwrap_or(0);
    let rest = usize::try_from(eighths % 8).unwrap_or(0);
    let partial = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"][rest];
    format!(
        "{CYAN_TEXT}{:<6}{CYAN_TEXT:#}",
        format!("{}{partial}", "█".repeat(full))
    )
}

/// A pod's name in its colour, when it has one in its name.
#[must_use]
pub fn pod(name: &str) -> String {
    let style = match name {
        name if name.contains("blue") => BLUE_TEXT,
        name if name.contains("green") => GREEN_TEXT,
        _ => Style::new(),
    };
    format!("{style}{name}{style:#}")
}

/// Text that stands back.
#[must_use]
pub fn dim(text: impl Display) -> String {
    format!("{DIM}{text}{DIM:#}")
}

/// A time for people.
#[must_use]
pub fn duration(time: Duration) -> String {
    match time.as_micros() {
        0..1_000 => format!("{} µs", time.as_micros()),
        1_000..10_000 => format!("{:.1} ms", time.as_secs_f64() * 1e3),
        10_000..1_000_000 => format!("{} ms", time.as_millis()),
        _ => format!("{:.1} s", time.as_secs_f64()),
    }
}

fn line(text: &str) {
    if !HUSHED.load(Ordering::Relaxed) {
        anstream::println!("{text}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_as_long_as_the_share() {
        let plain = |count, total| anstream::adapter::strip_str(&bar(count, total)).to_string();
        assert_eq!(plain(0, 0).trim_end(), "");
        assert_eq!(plain(1, 2).trim_end(), "███");
        assert_eq!(plain(3, 3).trim_end(), "██████");
        assert_eq!(plain(1, 3).trim_end(), "██");
    }

    #[test]
    fn times_have_two_or_three_digits() {
        for (micros, wanted) in [
            (870, "870 µs"),
            (1_240, "1.2 ms"),
            (45_100, "45 ms"),
            (2_300_000, "2.3 s"),
        ] {
            assert_eq!(duration(Duration::from_micros(micros)), wanted);
        }
    }
}
