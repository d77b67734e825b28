//! How the story is told on the terminal.

use std::time::{Duration, Instant};

use anstyle::{AnsiColor, Style};

use super::markdown;

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const GOOD: Style = AnsiColor::Green.on_default().bold();
const BAD: Style = AnsiColor::Red.on_default().bold();
const WAIT: Style = AnsiColor::Yellow.on_default().bold();
const PERSON: Style = AnsiColor::Magenta.on_default().bold();

/// Tells the story; to standard output for people, to standard error when the output is one JSON object.
pub struct Teller {
    to_stderr: bool,
    quiet: bool,
    width: usize,
    started: Instant,
    chapter: usize,
}

impl Teller {
    /// `json`: the story goes to standard error. `quiet`: it is not told at all.
    pub fn new(json: bool, quiet: bool) -> Self {
        let width = std::env::var("COLUMNS").ok().and_then(|c| c.parse().ok()).unwrap_or(100);
        Self { to_stderr: json, quiet, width: usize::clamp(width, 60, 120), started: Instant::now(), chapter: 0 }
    }

    fn line(&self, text: &str) {
        if self.quiet {
            return;
        }
        if self.to_stderr {
            anstream::eprintln!("{text}");
        } else {
            anstream::println!("{text}");
        }
    }

    /// The title.
    pub fn title(&self, title: &str, under: &str) {
        self.line(&format!("\n{BOLD}{title}{BOLD:#}\n{DIM}{under}{DIM:#}"));
    }

    /// A new part of the story.
    pub fn chapter(&mut self, title: &str) {
        self.chapter += 1;
        let at = self.started.elapsed().as_secs_f32();
        let n = self.chapter;
        let fill = "─".repeat(self.width.saturating_sub(title.chars().count() + 14));
        self.line(&format!("\n{BOLD}{n}  {title}{BOLD:#} {DIM}{fill} {at:>5.1} s{DIM:#}"));
    }

    /// A sentence.
    pub fn say(&self, text: &str) {
        self.line(&format!("   {text}"));
    }

    /// What a person does.
    pub fn person(&self, who: &str, does: &str) {
        self.line(&format!("   {PERSON}{who}{PERSON:#} {does}"));
    }

    /// What went as it must.
    pub fn good(&self, text: &str) {
        self.line(&format!("   {GOOD}✓{GOOD:#} {text}"));
    }

    /// A check run with its verdict.
    pub fn check(&self, name: &str, conclusion: &str, title: &str) {
        let (style, sign) = match conclusion {
            "success" => (GOOD, "✓"),
            "failure" => (BAD, "✗"),
            _ => (WAIT, "●"),
        };
        self.line(&format!("   {style}{sign}{style:#} {BOLD}{name}{BOLD:#}  {title}"));
    }

    /// A piece of code with its line numbers.
    pub fn code(&self, path: &str, text: &str) {
        self.line(&format!("   {DIM}{path}{DIM:#}"));
        for (n, line) in text.trim_end().lines().enumerate() {
            self.line(&format!("   {DIM}{:>3} │{DIM:#} {line}", n + 1));
        }
    }

    /// A finding under its line.
    pub fn finding(&self, place: &str, level: &str, message: &str) {
        let style = if level == "failure" { BAD } else { WAIT };
        self.line(&format!("   {style}{level:>7}{style:#} {BOLD}{place}{BOLD:#}"));
        for line in message.lines() {
            self.line(&format!("           {line}"));
        }
    }

    /// A comment as a reviewer sees it.
    pub fn comment(&self, author: &str, body: &str) {
        let rendered = markdown::render(body, self.width.saturating_sub(6), "");
        self.line(&format!("   {DIM}╭─{DIM:#} {PERSON}{author}{PERSON:#}"));
        for line in rendered.lines() {
            self.line(&format!("   {DIM}│{DIM:#} {line}"));
        }
        self.line(&format!("   {DIM}╰─{DIM:#}"));
    }

    /// Since the beginning.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
}
