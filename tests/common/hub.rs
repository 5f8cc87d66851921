//! A Hub on this machine: a server of one repository, which counts what it is asked.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// The repository's name, and its revision.
pub const NAME: &str = "org/model";
pub const SHA: &str = "0123456789abcdef0123456789abcdef01234567";

/// What a request asked for, and what came with it.
#[derive(Clone, Debug)]
pub struct Asked {
    pub path: String,
    pub token: Option<String>,
    /// The first byte asked for; `None` if a part of one byte, which asks for the size, or no part was asked for.
    pub start: Option<usize>,
}

#[derive(Default)]
struct State {
    files: BTreeMap<String, Vec<u8>>,
    asked: Vec<Asked>,
    token: Option<String>,
    /// A file that breaks off behind so many bytes, once.
    breaks: Option<(String, usize)>,
    /// Files' tags, where they are not those of [`etag`].
    tags: BTreeMap<String, String>,
}

/// The server; it ends with the test program.
pub struct Hub {
    pub endpoint: String,
    state: Arc<Mutex<State>>,
}

impl Hub {
    pub fn new(files: &[(&str, &[u8])]) -> Hub {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let files = files
            .iter()
            .map(|(name, bytes)| (name.to_string(), bytes.to_vec()));
        let state = Arc::new(Mutex::new(State {
            files: files.collect(),
            ..State::default()
        }));
        let shared = state.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let state = shared.clone();
                thread::spawn(move || serve(stream.unwrap(), &state));
            }
        });
        Hub { endpoint, state }
    }

    /// Show the repository only to those who send this token.
    pub fn gate(&self, token: &str) {
        self.state.lock().unwrap().token = Some(token.to_string());
    }

    /// Break off the next download of `file` behind so many bytes.
    pub fn break_off(&self, file: &str, behind: usize) {
        self.state.lock().unwrap().breaks = Some((file.to_string(), behind));
    }

    /// From now on the tag of `file` is this one.
    pub fn tag(&self, file: &str, tag: &str) {
        let mut state = self.state.lock().unwrap();
        state.tags.insert(file.to_string(), tag.to_string());
    }

    /// What was asked since the last call.
    pub fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.state.lock().unwrap().asked)
    }
}

/// Answer one request and close.
fn serve(mut stream: TcpStream, state: &Mutex<State>) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let Some(Ok(first)) = lines.next() else {
        return;
    };
    let mut headers = BTreeMap::new();
    for line in lines.map_while(Result::ok) {
        let Some((name, value)) = line.split_once(": ") else {
            break;
        };
        headers.insert(name.to_ascii_lowercase(), value.to_string());
    }
    let path = first.split(' ').nth(1).unwrap().to_string();
    let range = headers
        .get("range")
        .and_then(|range| range.strip_prefix("bytes="));
    let range = range.and_then(|range| range.split_once('-'));
    let (start, end) = range.unwrap_or_default();
    let start: usize = start.parse().unwrap_or(0);
    let token = headers
        .get("authorization")
        .and_then(|value| value.strip_prefix("Bearer "));
    let (head, body, sent) = {
        let mut state = state.lock().unwrap();
        state.asked.push(Asked {
            path: path.clone(),
            token: token.map(str::to_string),
            start: (range.is_some() && end.is_empty()).then_some(start),
        });
        let open = state.token.is_none() || state.token.as_deref() == token;
        let listed = path == format!("/api/models/{NAME}/revision/main");
        let file = path.strip_prefix(&format!("/{NAME}/resolve/{SHA}/"));
        let bytes = file.and_then(|file| state.files.get(file).cloned());
        if !open {
            ("401 Unauthorized".to_string(), Vec::new(), 0)
        } else if listed {
            let names: Vec<_> = state
                .files
                .keys()
                .map(|name| serde_json::json!({"rfilename": name}))
                .collect();
            let body = serde_json::json!({"sha": SHA, "siblings": names}).to_string();
            ("200 OK".to_string(), body.clone().into_bytes(), body.len())
        } else if let Some(bytes) = bytes {
            if start >= bytes.len() && start > 0 {
                ("416 Range Not Satisfiable".to_string(), Vec::new(), 0)
            } else {
                let last = end
                    .parse::<usize>()
                    .map_or(bytes.len(), |end| (end + 1).min(bytes.len()));
                let head = format!(
                    "206 Partial Content\r\nx-repo-commit: {SHA}\r\netag: \"{}\"\r\ncontent-range: bytes {start}-{}/{}",
                    state
                        .tags
                        .get(file.unwrap())
                        .unwrap_or(&etag(file.unwrap())),
                    last.saturating_sub(1),
                    bytes.len()
                );
                let part = bytes[start..last].to_vec();
                let broken = state
                    .breaks
                    .take_if(|(name, _)| Some(name.as_str()) == file && end.is_empty());
                let sent = broken.map_or(part.len(), |(_, behind)| behind.min(part.len()));
                (head, part, sent)
            }
        } else {
            ("404 Not Found".to_string(), Vec::new(), 0)
        }
    };
    let head = format!(
        "HTTP/1.1 {head}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    let _ = stream.write_all(head.as_bytes());
    let _ = stream.write_all(&body[..sent]);
}

/// Names of blobs: the files' names in hexadecimal digits.
fn etag(file: &str) -> String {
    file.bytes().map(|byte| format!("{byte:02x}")).collect()
}
