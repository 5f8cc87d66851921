//! Does `smallmind chat` treat a person at a terminal as it says?

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::Child;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::json;
use tempfile::TempDir;

use super::common::data;
use super::smallmind;

/// The longest that anything here may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// What the line editor writes when it begins to read a line.
const PROMPT: &str = "\x1b[?2004h";
/// What the line editor writes when it has read a line.
const READ: &str = "\x1b[?2004l";
const CTRL_C: &str = "\x03";
const CTRL_D: &str = "\x04";

/// `chat` on a terminal of its own; it is ended with the test.
struct Terminal {
    program: Child,
    keyboard: File,
    screen: Receiver<Vec<u8>>,
    /// What was shown and not yet seen.
    shown: String,
    _folder: TempDir,
}

impl Terminal {
    /// With a model that speaks in random bytes and has room for some 100000; `None`, said aloud, where the system gives
    /// no terminal.
    fn new() -> Option<Terminal> {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY;
        let opened = openpt(flags).and_then(|master| {
            grantpt(&master)?;
            unlockpt(&master)?;
            let name = ptsname(&master, Vec::new())?;
            let flags = OFlags::RDWR | OFlags::NOCTTY;
            Ok((master, rustix::fs::open(name, flags, Mode::empty())?))
        });
        match opened {
            Ok((master, slave)) => Some(Terminal::with(master, slave)),
            Err(error) => {
                eprintln!("skipped: the system gives no terminal: {error}");
                None
            }
        }
    }

    fn with(master: OwnedFd, slave: OwnedFd) -> Terminal {
        let folder = TempDir::new().unwrap();
        let path = |name: &str| folder.path().join(name);
        let config = std::fs::read(data("llama").join("config.json")).unwrap();
        let mut config: serde_json::Value = serde_json::from_slice(&config).unwrap();
        config["max_position_embeddings"] = json!(100_000);
        for name in ["bos_token_id", "eos_token_id"] {
            config[name] = json!(null);
        }
        std::fs::write(path("config.json"), config.to_string()).unwrap();
        std::fs::copy(
            data("llama").join("model.safetensors"),
            path("model.safetensors"),
        )
        .unwrap();
        let demo = concat!(env!("CARGO_MANIFEST_DIR"), "/demo/tokenizer.json");
        std::fs::copy(demo, path("tokenizer.json")).unwrap();
        let template = "{% for m in messages %}{{ m.content }}\n{% endfor %}";
        std::fs::write(path("chat_template.jinja"), template).unwrap();

        let mut command = smallmind();
        command
            .arg("chat")
            .arg(folder.path())
            .args(["-c", "100000", "-t", "1", "--isa", "scalar"])
            .env("TERM", "xterm")
            .env("XDG_DATA_HOME", folder.path())
            .stdin(slave.try_clone().unwrap())
            .stdout(slave.try_clone().unwrap())
            .stderr(slave.try_clone().unwrap());
        // SAFETY: both are plain calls of the system, which may be made between fork and exec; nothing is allocated.
        unsafe {
            command.pre_exec(move || {
                rustix::process::setsid()?;
                rustix::process::ioctl_tiocsctty(&slave)?;
                Ok(())
            });
        }
        let program = command.spawn().unwrap();
        // The program alone has the terminal's other end from here on.
        drop(command);
        let keyboard = File::from(master);
        let mut from = keyboard.try_clone().unwrap();
        let (sender, screen) = channel();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            // An error is the end: the program has left the terminal.
            while let Ok(read @ 1..) = from.read(&mut bytes) {
                if sender.send(bytes[..read].to_vec()).is_err() {
                    return;
                }
            }
        });
        Terminal {
            program,
            keyboard,
            screen,
            shown: String::new(),
            _folder: folder,
        }
    }

    fn type_in(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Looks at the screen until there is `text`. Gives what comes before it.
    fn see(&mut self, text: &str) -> String {
        let begun = Instant::now();
        loop {
            if let Some(at) = self.shown.find(text) {
                let rest = self.shown[at + text.len()..].to_string();
                let mut seen = std::mem::replace(&mut self.shown, rest);
                seen.truncate(at);
                return seen;
            }
            self.look(begun, text);
        }
    }

    /// Waits for more to be shown.
    fn look(&mut self, begun: Instant, wanted: &str) {
        let left = PATIENCE.saturating_sub(begun.elapsed());
        match self.screen.recv_timeout(left) {
            Ok(bytes) => self.shown += &String::from_utf8_lossy(&bytes),
            Err(_) => panic!("no {wanted:?}: {:?}", self.shown),
        }
    }

    /// The program's exit code, once it has ended.
    fn code(&mut self) -> Option<i32> {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.program.try_wait().unwrap() {
                return status.code();
            }
            assert!(begun.elapsed() < PATIENCE, "the program does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

#[test]
fn ctrl_c_stops_an_answer_and_not_the_program() {
    let Some(mut terminal) = Terminal::new() else {
        return;
    };
    // The second time too: what was pressed before counts no more.
    for question in ["Speak\r", "Go on\r"] {
        terminal.see(PROMPT);
        terminal.type_in(question);
        terminal.see(READ);
        let begun = Instant::now();
        while terminal.shown.len() < 100 {
            terminal.look(begun, "answer");
        }
        terminal.type_in(CTRL_C);
        terminal.see(PROMPT);
        terminal.type_in("/stats\r");
        let stats = terminal.see("of 100000 positions");
        assert!(stats.contains("finish      Cancelled"), "{stats:?}");
    }
    terminal.see(PROMPT);
    terminal.type_in("/quit\r");
    assert_eq!(terminal.code(), Some(0));
}

#[test]
fn ctrl_c_forgets_a_line_and_ctrl_d_ends() {
    let Some(mut terminal) = Terminal::new() else {
        return;
    };
    terminal.see(PROMPT);
    terminal.type_in("/sing");
    terminal.see("g");
    terminal.type_in(CTRL_C);
    let shown = terminal.see(PROMPT);
    assert!(shown.contains("Ctrl-D or /quit ends"), "{shown:?}");
    assert!(!shown.contains("no command"), "{shown:?}");
    terminal.type_in(CTRL_D);
    assert_eq!(terminal.code(), Some(0));
}
