//! The terminal while it shows what changes: its modes, its size, its keys. Knows no service.

use std::{
    io::{self, Read, Write},
    os::fd::{AsFd, BorrowedFd},
};

use nix::sys::{
    signal::{SigSet, Signal, raise},
    signalfd::{SfdFlags, SignalFd},
};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

/// Another page, so that what was there before is there again at the end (xterm's control sequences, 1049), and no cursor.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";

/// What a person or a signal wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// To end.
    Quit,
    /// So many lines down, or up.
    Lines(isize),
    /// So many pages down, or up.
    Pages(isize),
    /// To the first line.
    Top,
    /// To the last line.
    Bottom,
    /// The shell: it can be gone on with later.
    Suspend,
    /// The same once more: the window has another size.
    Redraw,
    /// To end by this signal.
    Signal(i32),
}

/// The terminal, which is as it was before when this is dropped.
#[derive(Debug)]
pub(super) struct Screen {
    signals: SignalFd,
    /// How stdin was set; `None`: it is no terminal, and no keys are heard.
    before: Option<Termios>,
}

impl Screen {
    /// Takes the terminal, and the signals that would leave it as it is.
    ///
    /// # Errors
    /// The terminal cannot be written to.
    pub(super) fn enter() -> io::Result<Self> {
        let mut heard = SigSet::empty();
        for signal in [
            Signal::SIGINT,
            Signal::SIGTERM,
            Signal::SIGHUP,
            Signal::SIGQUIT,
            Signal::SIGTSTP,
            Signal::SIGWINCH,
        ] {
            heard.add(signal);
        }
        heard.thread_block()?;
        let signals = SignalFd::with_flags(&heard, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        let before = tcgetattr(io::stdin()).ok();
        let screen = Self { signals, before };
        screen.take()?;
        Ok(screen)
    }

    fn take(&self) -> io::Result<()> {
        if let Some(before) = &self.before {
            let mut modes = before.clone();
            modes.local_modes -= LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG;
            tcsetattr(io::stdin(), OptionalActions::Now, &modes)?;
        }
        write(ENTER)
    }

    fn give_back(&self) {
        // Who has no terminal any more needs none as it was.
        let _ = write(LEAVE);
        if let Some(before) = &self.before {
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, before);
        }
    }

    /// What is to be waited for besides an answer: signals, and keys where there are any.
    pub(super) fn sources(&self) -> (BorrowedFd<'_>, Option<io::Stdin>) {
        (self.signals.as_fd(), self.before.as_ref().map(|_| io::stdin()))
    }

    /// The rows and columns.
    pub(super) fn size() -> (usize, usize) {
        let size = tcgetwinsize(io::stdout()).ok().map(|size| (size.ws_row.into(), size.ws_col.into()));
        // What a terminal that does not know has, by custom.
        size.filter(|&(rows, columns)| rows > 0 && columns > 0).unwrap_or((24, 80))
    }

    /// Shows these lines and nothing else.
    ///
    /// # Errors
    /// The terminal is gone.
    pub(super) fn show(&self, lines: &[String]) -> io::Result<()> {
        write(&format!("\x1b[H{}\x1b[K\x1b[J", lines.join("\x1b[K\r\n")))
    }

    /// What the signals that came want.
    pub(super) fn heard(&self) -> Vec<Wish> {
        let mut wishes = Vec::new();
        while let Ok(Some(info)) = self.signals.read_signal() {
            // The kernel's numbers of signals are small.
            let number = info.ssi_signo as i32;
            wishes.push(match Signal::try_from(number) {
                Ok(Signal::SIGINT) => Wish::Quit,
                Ok(Signal::SIGWINCH) => Wish::Redraw,
                Ok(Signal::SIGTSTP) => Wish::Suspend,
                Ok(_) | Err(_) => Wish::Signal(number),
            });
        }
        wishes
    }

    /// What the keys that were pressed want.
    pub(super) fn keys(&self) -> Vec<Wish> {
        let mut bytes = [0; 64];
        match io::stdin().read(&mut bytes) {
            Ok(length) if length > 0 => keys(&bytes[..length]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Vec::new(),
            // The terminal was hung up.
            Ok(_) | Err(_) => vec![Wish::Quit],
        }
    }

    /// Stops until a shell goes on with it.
    ///
    /// # Errors
    /// The terminal is gone.
    pub(super) fn suspend(&self) -> io::Result<()> {
        self.give_back();
        raise(Signal::SIGSTOP)?;
        self.take()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.give_back();
    }
}

fn write(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

/// What these bytes mean: letters, and the sequences of cursor keys (console_codes(4), xterm's control sequences).
fn keys(bytes: &[u8]) -> Vec<Wish> {
    const SEQUENCES: [(&[u8], Wish); 12] = [
        (b"\x1b[A", Wish::Lines(-1)),
        (b"\x1bOA", Wish::Lines(-1)),
        (b"\x1b[B", Wish::Lines(1)),
        (b"\x1bOB", Wish::Lines(1)),
        (b"\x1b[5~", Wish::Pages(-1)),
        (b"\x1b[6~", Wish::Pages(1)),
        (b"\x1b[H", Wish::Top),
        (b"\x1bOH", Wish::Top),
        (b"\x1b[1~", Wish::Top),
        (b"\x1b[F", Wish::Bottom),
        (b"\x1bOF", Wish::Bottom),
        (b"\x1b[4~", Wish::Bottom),
    ];
    let (mut rest, mut wishes) = (bytes, Vec::new());
    while let [first, others @ ..] = rest {
        let sequence = SEQUENCES.iter().find(|(sequence, _)| rest.starts_with(sequence));
        if let Some((sequence, wish)) = sequence {
            wishes.push(*wish);
            rest = &rest[sequence.len()..];
            continue;
        }
        rest = others;
        wishes.extend(match first {
            b'q' | b'Q' | 0x03 => Some(Wish::Quit),
            0x1a => Some(Wish::Suspend),
            b'k' => Some(Wish::Lines(-1)),
            b'j' => Some(Wish::Lines(1)),
            b'b' => Some(Wish::Pages(-1)),
            b' ' => Some(Wish::Pages(1)),
            b'g' => Some(Wish::Top),
            b'G' => Some(Wish::Bottom),
            _ => None,
        });
    }
    wishes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_letters_and_sequences() {
        let up_and_down = keys(b"\x1b[A\x1bOBj");
        assert_eq!(up_and_down, [Wish::Lines(-1), Wish::Lines(1), Wish::Lines(1)]);
        assert_eq!(keys(b"\x1b[5~\x1b[6~ "), [Wish::Pages(-1), Wish::Pages(1), Wish::Pages(1)]);
        assert_eq!(keys(b"\x1b[H\x1b[4~"), [Wish::Top, Wish::Bottom]);
        assert_eq!(keys(b"x\x1b\x03"), [Wish::Quit]);
        assert_eq!(keys(b"\x1b["), []);
    }
}
