//! What a command is doing, on stderr: bars in a terminal, plain lines elsewhere, nothing beside JSON.

use std::{io::IsTerminal, time::Duration};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Where progress goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Bars that redraw themselves.
    Bars,
    /// One line per thing worth saying.
    Lines,
    /// Nothing.
    Quiet,
}

impl Progress {
    /// Bars if stderr is a terminal, lines if not; nothing if `quiet`.
    pub fn detect(quiet: bool) -> Self {
        match quiet {
            true => Progress::Quiet,
            false if std::io::stderr().is_terminal() => Progress::Bars,
            false => Progress::Lines,
        }
    }

    /// Says one thing.
    pub fn say(self, text: impl AsRef<str>) {
        if self != Progress::Quiet {
            eprintln!("{}", text.as_ref());
        }
    }

    /// A turning mark with a message, for work of unknown length. Without a terminal the message is one line.
    pub fn spinner(self, message: impl Into<String>) -> ProgressBar {
        let message = message.into();
        if self == Progress::Lines {
            self.say(&message);
        }
        let style = style("{spinner} {msg} {elapsed:.dim}");
        let bar = self.bar_on(None, style);
        bar.set_message(message);
        if self == Progress::Bars {
            bar.enable_steady_tick(Duration::from_millis(120));
        }
        bar
    }

    /// A bar over bytes, with rate and time left. Without a terminal nothing is said: whoever moves bytes says what came
    /// of it.
    pub fn bytes(self, total: u64, message: impl Into<String>) -> ProgressBar {
        let style = style("{msg} [{bar:24}] {bytes}/{total_bytes} {bytes_per_sec} {eta} left");
        let bar = self.bar_on(Some(total), style.progress_chars("=> "));
        bar.set_message(message.into());
        bar
    }

    /// A bar over things that are counted.
    pub fn count(self, total: u64, message: impl Into<String>) -> ProgressBar {
        let message = message.into();
        if self == Progress::Lines {
            self.say(&message);
        }
        let bar =
            self.bar_on(Some(total), style("{msg} [{bar:24}] {pos}/{len} {eta} left").progress_chars("=> "));
        bar.set_message(message);
        bar
    }

    /// A bar over optimizer steps. The message says the rest: loss, milestones, time left.
    pub fn steps(self, total: u64) -> ProgressBar {
        let style = style("[{bar:28}] {pos}/{len} steps  {msg}").progress_chars("=> ");
        let bar = self.bar_on(Some(total), style);
        if self == Progress::Bars {
            bar.enable_steady_tick(Duration::from_millis(250));
        }
        bar
    }

    fn bar_on(self, total: Option<u64>, style: ProgressStyle) -> ProgressBar {
        let target = match self {
            Progress::Bars => ProgressDrawTarget::stderr(),
            Progress::Lines | Progress::Quiet => ProgressDrawTarget::hidden(),
        };
        ProgressBar::with_draw_target(total, target).with_style(style)
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the templates of this file are constants that parse, qed")
}

/// Says one thing above a bar that goes on, or as a line where there is no terminal.
pub fn say_above(progress: Progress, bar: &ProgressBar, text: impl AsRef<str>) {
    match progress {
        Progress::Bars => bar.suspend(|| eprintln!("{}", text.as_ref())),
        _ => progress.say(text),
    }
}
