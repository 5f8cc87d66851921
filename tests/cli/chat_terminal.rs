//! Does `smallmind chat` behave at a terminal as it promises?

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::Child;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::{Value as Json, json};
use tempfile::TempDir;

use super::common::data;
use super::smallmind;

/// The longest that anything here may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// What the line editor writes when it begins to read a line.
const PROMPT: &str = "\x1b[?2004h";
/// What the line editor writes when it has read a line.
const READ: &str = "\x1b[?2004l";
const UP: &str = "\x1b[A";
const CTRL_C: &str = "\x03";
const CTRL_D: &str = "\x04";

/// A template whose every character is a token of the demo.
const TEMPLATE: &str =
    "{% for m in messages %}{{ m.role[0]|upper }}: {{ m.content }}\n{% endfor %}A:";

/// `chat` on its own terminal; it ends with the test.
struct Terminal {
    program: Child,
    keyboard: File,
    screen: Receiver<Vec<u8>>,
    /// Output that was shown and that no test has looked at yet.
    shown: String,
    folder: TempDir,
}

impl Terminal {
    /// `chat` with these arguments, in its own folder with the demo's chat template; `None`, with a message, if the system
    /// has no terminal.
    fn new(arguments: &[&str]) -> Option<Terminal> {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("template"), TEMPLATE).unwrap();
        Terminal::in_folder(folder, arguments, &[])
    }

    /// With the demo, which answers in 8 bytes.
    fn demo(more: &[&str]) -> Option<Terminal> {
        let arguments = ["demo", "--template", "template", "-n", "8", "-t", "1"];
        let mut terminal = Terminal::new(&[&arguments, more].concat())?;
        terminal.see(PROMPT);
        Some(terminal)
    }

    /// With a model that speaks in random bytes and has a context for about 100000 of them.
    fn random() -> Option<Terminal> {
        let folder = TempDir::new().unwrap();
        let path = |name: &str| folder.path().join(name);
        let config = fs::read(data("llama").join("config.json")).unwrap();
        let mut config: Json = serde_json::from_slice(&config).unwrap();
        config["max_position_embeddings"] = json!(100_000);
        for name in ["bos_token_id", "eos_token_id"] {
            config[name] = json!(null);
        }
        fs::write(path("config.json"), config.to_string()).unwrap();
        fs::copy(
            data("llama").join("model.safetensors"),
            path("model.safetensors"),
        )
        .unwrap();
        let demo = concat!(env!("CARGO_MANIFEST_DIR"), "/demo/tokenizer.json");
        fs::copy(demo, path("tokenizer.json")).unwrap();
        let template = "{% for m in messages %}{{ m.content }}\n{% endfor %}";
        fs::write(path("chat_template.jinja"), template).unwrap();
        let arguments = [".", "-c", "100000", "-t", "1", "--isa", "scalar"];
        Terminal::in_folder(folder, &arguments, &[])
    }

    fn in_folder(
        folder: TempDir,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Option<Terminal> {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY;
        let opened = openpt(flags).and_then(|master| {
            grantpt(&master)?;
            unlockpt(&master)?;
            let name = ptsname(&master, Vec::new())?;
            let flags = OFlags::RDWR | OFlags::NOCTTY;
            Ok((master, rustix::fs::open(name, flags, Mode::empty())?))
        });
        match opened {
            Ok((master, slave)) => Some(Terminal::with(
                master,
                slave,
                folder,
                arguments,
                environment,
            )),
            Err(error) => {
                eprintln!("skipped: the system gives no terminal: {error}");
                None
            }
        }
    }

    fn with(
        master: OwnedFd,
        slave: OwnedFd,
        folder: TempDir,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Terminal {
        let mut command = smallmind();
        command
            .arg("chat")
            .args(arguments)
            .current_dir(folder.path())
            .env("TERM", "xterm")
            .env_remove("NO_COLOR")
            .env("XDG_DATA_HOME", folder.path())
            .envs(environment.iter().copied())
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
        // From here on only the program has the terminal's other end.
        drop(command);
        let keyboard = File::from(master);
        let mut from = keyboard.try_clone().unwrap();
        let (sender, screen) = channel();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            // An error means the end: the program has left the terminal.
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
            folder,
        }
    }

    fn type_in(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Reads the screen until `text` appears. Returns what comes before it.
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

    /// Types a line when the program waits for a line. Returns everything that is shown until it waits for the next line.
    fn reply(&mut self, line: &str) -> String {
        self.type_in(line);
        self.type_in("\r");
        self.see(READ);
        self.see(PROMPT)
    }

    /// The messages so far: the speaker and the text.
    fn messages(&mut self) -> Vec<[String; 2]> {
        self.reply("/save saved.json");
        let json = fs::read(self.folder.path().join("saved.json")).unwrap();
        let json: Json = serde_json::from_slice(&json).unwrap();
        let text = |value: &Json| value.as_str().unwrap().to_string();
        let messages = json["messages"].as_array().unwrap().iter();
        messages
            .map(|message| [text(&message["role"]), text(&message["content"])])
            .collect()
    }

    /// Waits for more output.
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
    let Some(mut terminal) = Terminal::random() else {
        return;
    };
    // It works a second time too: the earlier Ctrl-C no longer counts.
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
    let Some(mut terminal) = Terminal::random() else {
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

#[test]
fn commands_say_what_they_did_to_the_conversation() {
    let Some(mut terminal) = Terminal::demo(&["--greedy"]) else {
        return;
    };
    assert!(terminal.reply("/stats").contains("no answer yet"));
    assert!(
        terminal
            .reply("/undo")
            .contains("there is nothing to forget")
    );
    terminal.reply("One?");
    let before = terminal.messages();
    terminal.reply("Two?");
    assert_eq!(terminal.messages().len(), 4);
    assert!(terminal.reply("/undo").contains("forgotten: Two?"));
    assert_eq!(terminal.messages(), before);
    assert!(
        terminal
            .reply("/system Sir.")
            .contains("the system text is now: Sir.")
    );
    assert_eq!(terminal.messages()[0], ["system", "Sir."]);
    assert!(
        terminal
            .reply("/reset")
            .contains("2 messages forgotten; the system text stays")
    );
    assert!(
        terminal
            .reply("/load saved.json")
            .contains("3 messages read")
    );
    assert_eq!(terminal.messages()[1..], before);
    assert!(
        terminal
            .reply("/system")
            .contains("no system text from here on")
    );
    assert_eq!(terminal.messages(), before);
    assert!(terminal.reply("/reset").contains("2 messages forgotten"));
    let stats = terminal.reply("/stats");
    for part in [
        "generation  8 tokens",
        "finish      Length",
        "seed        ",
        "of 256 positions",
    ] {
        assert!(stats.contains(part), "no {part:?} in {stats:?}");
    }
}

#[test]
fn mistakes_in_commands_are_reported_and_end_nothing() {
    let Some(mut terminal) = Terminal::demo(&["--greedy"]) else {
        return;
    };
    for (line, told) in [
        ("/sing", "there is no command /sing"),
        ("/save", "/save needs FILE"),
        ("/load no/such/file", "no/such/file: can't be read"),
        ("/undo now", "/undo takes nothing after it"),
        ("/retry", "there is no question yet"),
        ("/set temp", "/set temp needs a value"),
        ("/set temp warm", "'warm' is not a number"),
        (
            "/set temp -1",
            "temperature is -1; it must be 0 or a positive number",
        ),
        ("/set mood 1", "there is no setting 'mood'"),
        ("/seed", "/seed needs N"),
        ("/help", "/load FILE"),
    ] {
        let shown = terminal.reply(line);
        assert!(shown.contains(told), "{line}: {shown:?}");
    }
    assert!(terminal.reply("/set").contains("temp            0"));
    terminal.reply("Hail!");
    assert_eq!(terminal.messages().len(), 2);
    terminal.reply("\"\"\"/quit\"\"\"");
    assert_eq!(terminal.messages()[2], ["user", "/quit"]);
}

#[test]
fn another_answer_comes_from_a_new_seed_unless_one_is_fixed() {
    let Some(mut terminal) = Terminal::demo(&["--temp", "1.5"]) else {
        return;
    };
    assert!(
        terminal
            .reply("/set max-tokens 30")
            .contains("max-tokens is 30")
    );
    terminal.reply("Hail!");
    let first = terminal.messages();
    terminal.reply("/retry");
    let second = terminal.messages();
    assert_eq!((first.len(), &first[0]), (second.len(), &second[0]));
    assert_ne!(first[1], second[1]);
    assert!(terminal.reply("/seed 7").contains("seed is 7"));
    assert!(terminal.reply("/retry").contains("the seed is fixed at 7"));
    let fixed = terminal.messages();
    terminal.reply("/retry");
    assert_eq!(terminal.messages(), fixed);
}

#[test]
fn a_message_of_several_lines_is_remembered_as_a_whole() {
    let Some(mut terminal) = Terminal::demo(&["--greedy"]) else {
        return;
    };
    for lines in [["\"\"\"Two", "lines\"\"\""], ["Three\\", "lines"]] {
        terminal.type_in(lines[0]);
        terminal.type_in("\r");
        terminal.see(PROMPT);
        terminal.reply(lines[1]);
        // The whole message comes back with one key, and is sent with another.
        terminal.reply(UP);
    }
    let said: Vec<String> = terminal
        .messages()
        .into_iter()
        .filter(|[role, _]| role == "user")
        .map(|[_, said]| said)
        .collect();
    assert_eq!(
        said,
        ["Two\nlines", "Two\nlines", "Three\nlines", "Three\nlines"]
    );
}

#[test]
fn a_full_context_is_reported_with_what_helps_and_ends_nothing() {
    let Some(mut terminal) = Terminal::demo(&["--greedy", "-c", "40"]) else {
        return;
    };
    let shown = terminal.reply(&"a".repeat(60));
    assert!(
        shown.contains("but the context has 40 positions"),
        "{shown:?}"
    );
    assert!(shown.contains("/undo and /reset make room"), "{shown:?}");
    terminal.reply("/set max-tokens -1");
    let shown = terminal.reply("Hail!");
    assert!(
        shown.contains("the context of 40 positions is full"),
        "{shown:?}"
    );
    assert_eq!(terminal.messages().len(), 2);
    terminal.type_in("/quit\r");
    assert_eq!(terminal.code(), Some(0));
}

#[test]
fn the_oldest_turns_are_forgotten_with_a_note_if_that_is_asked_for() {
    let Some(mut terminal) = Terminal::demo(&["--greedy", "-c", "60", "--keep", "0"]) else {
        return;
    };
    terminal.reply("Who goes there?");
    let shown = terminal.reply("Speak, what art thou?");
    assert!(
        shown.contains("the oldest 2 messages were forgotten"),
        "{shown:?}"
    );
    assert_eq!(terminal.messages()[0], ["user", "Speak, what art thou?"]);
}

#[test]
fn a_terminal_has_colours_unless_they_are_not_wanted() {
    let folder = || {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("template"), TEMPLATE).unwrap();
        folder
    };
    let arguments = ["demo", "--template", "template"];
    for (environment, expected) in [(&[][..], true), (&[("NO_COLOR", "1")], false)] {
        let Some(mut terminal) = Terminal::in_folder(folder(), &arguments, environment) else {
            return;
        };
        terminal.see(PROMPT);
        terminal.type_in("/sing\r");
        let shown = terminal.see("there is no command");
        assert_eq!(shown.contains("\x1b[31m"), expected, "{shown:?}");
        assert_eq!(shown.contains("\x1b[32m"), expected, "{shown:?}");
    }
}
