//! A Hub on this machine: a server of one repository, which records its requests, and is as unkind as a test asks.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;

/// The repository's name, and its revision.
pub const NAME: &str = "org/model";
pub const SHA: &str = "0123456789abcdef0123456789abcdef01234567";
/// Another name of the repository, for [`Unkind::Renamed`].
pub const OLD_NAME: &str = "org/old";
/// A web page.
pub const PAGE: &str = "<!DOCTYPE html><html>Please log in</html>";

/// What a request asked for, and its headers that matter.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The host to which it was addressed.
    pub host: String,
    pub path: String,
    pub token: Option<String>,
    /// The first requested byte; `None` if only one byte (to learn the size) or no range was requested.
    pub start: Option<usize>,
}

/// How real servers misbehave.
#[derive(Clone, Debug, PartialEq)]
pub enum Unkind {
    /// Every answer is the whole file, whatever part is requested.
    WithoutRanges,
    /// Every answer is the whole file, compressed, whatever is requested, and does not state its size.
    Compressed,
    /// No answer has a tag.
    WithoutTags,
    /// This many requests are answered with this status and these further headers.
    Busy(u16, usize, &'static str),
    /// Downloads of this file stop after this many bytes, and the connection stays open; this many times.
    Stalls(&'static str, usize, usize),
    /// Every answer comes in pieces of this many bytes, with a pause before each.
    Slow(usize),
    /// Every answer is a web page, with or without a content type that says so.
    Pages(bool),
    /// Files are on another host, to which redirects lead.
    Elsewhere,
    /// Everything is below another path, to which the status 308 leads, with a whole address.
    Moved,
    /// [`OLD_NAME`] is another name, from which the status 307 leads to the new name, with only a path.
    Renamed,
    /// The answer is a part that begins one byte later than requested.
    WrongPart,
}

#[derive(Default)]
struct State {
    files: BTreeMap<String, Vec<u8>>,
    asked: Vec<Asked>,
    token: Option<String>,
    /// A file whose download breaks off after this many bytes, this many times.
    breaks: Option<(String, usize, usize)>,
    /// Files' tags, where they differ from [`etag`].
    tags: BTreeMap<String, String>,
    unkind: Vec<Unkind>,
}

impl State {
    fn is(&self, what: &Unkind) -> bool {
        self.unkind.contains(what)
    }
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

    /// Show the repository only to requests with this token.
    pub fn gate(&self, token: &str) {
        self.state.lock().unwrap().token = Some(token.to_string());
    }

    /// Break off the next downloads of `file` after this many bytes, this many times.
    pub fn break_off(&self, file: &str, behind: usize, times: usize) {
        self.state.lock().unwrap().breaks = Some((file.to_string(), behind, times));
    }

    /// From now on the tag of `file` is this one.
    pub fn tag(&self, file: &str, tag: &str) {
        let mut state = self.state.lock().unwrap();
        state.tags.insert(file.to_string(), tag.to_string());
    }

    /// Also misbehave in this way, from now on.
    pub fn be(&self, unkind: Unkind) {
        self.state.lock().unwrap().unkind.push(unkind);
    }

    /// The requests since the last call.
    pub fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.state.lock().unwrap().asked)
    }
}

/// What is sent.
struct Reply {
    status: &'static str,
    headers: String,
    body: Vec<u8>,
    /// Whether the size is stated.
    sized: bool,
    /// How much of the body is sent.
    sent: usize,
    /// Whether the connection stays open after that.
    stalls: bool,
    /// The bytes of a piece, if there are pauses between pieces.
    piece: Option<usize>,
}

impl Reply {
    fn new(status: &'static str, headers: String, body: Vec<u8>) -> Reply {
        let sent = body.len();
        Reply {
            status,
            headers,
            body,
            sized: true,
            sent,
            stalls: false,
            piece: None,
        }
    }

    fn send(self, stream: &mut TcpStream) -> std::io::Result<()> {
        let length = match self.sized {
            true => format!("content-length: {}\r\n", self.body.len()),
            false => String::new(),
        };
        let (status, headers) = (self.status, self.headers);
        let head = format!("HTTP/1.1 {status}\r\n{headers}{length}connection: close\r\n\r\n");
        stream.write_all(head.as_bytes())?;
        let body = &self.body[..self.sent];
        match self.piece {
            None => stream.write_all(body)?,
            Some(piece) => {
                for piece in body.chunks(piece) {
                    thread::sleep(Duration::from_millis(100));
                    stream.write_all(piece)?;
                    stream.flush()?;
                }
            }
        }
        if self.stalls {
            thread::sleep(Duration::from_secs(60));
        }
        Ok(())
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
    let reply = reply(&mut state.lock().unwrap(), &path, &headers);
    // The other side may have gone.
    let _ = reply.send(&mut stream);
}

fn reply(state: &mut State, path: &str, headers: &BTreeMap<String, String>) -> Reply {
    let range = headers
        .get("range")
        .and_then(|range| range.strip_prefix("bytes="));
    let range = range.and_then(|range| range.split_once('-'));
    let (start, end) = range.unwrap_or_default();
    let start: usize = start.parse().unwrap_or(0);
    let token = headers
        .get("authorization")
        .and_then(|value| value.strip_prefix("Bearer "));
    let host = headers.get("host").cloned().unwrap_or_default();
    state.asked.push(Asked {
        host: host.clone(),
        path: path.to_string(),
        token: token.map(str::to_string),
        start: (range.is_some() && end.is_empty()).then_some(start),
    });
    for unkind in &mut state.unkind {
        match unkind {
            Unkind::Busy(status, times @ 1.., headers) => {
                *times -= 1;
                let status = match status {
                    429 => "429 Too Many Requests",
                    503 => "503 Service Unavailable",
                    _ => "500 Internal Server Error",
                };
                return Reply::new(status, headers.to_string(), b"busy".to_vec());
            }
            Unkind::Pages(typed) => {
                let typed = if *typed {
                    "content-type: text/html\r\n"
                } else {
                    ""
                };
                return Reply::new("200 OK", typed.to_string(), PAGE.into());
            }
            _ => {}
        }
    }
    let open = state.token.is_none() || state.token.as_deref() == token;
    let cdn = path.strip_prefix("/cdn/");
    if !open && cdn.is_none() {
        return Reply::new("401 Unauthorized", String::new(), Vec::new());
    }
    let (path, moved) = match path.strip_prefix("/real") {
        Some(path) => (path, true),
        None => (path, false),
    };
    if state.is(&Unkind::Moved) && !moved {
        let location = format!("location: http://{host}/real{path}\r\n");
        return Reply::new("308 Permanent Redirect", location, Vec::new());
    }
    if state.is(&Unkind::Renamed) && path.contains(OLD_NAME) {
        let location = format!("location: {}\r\n", path.replace(OLD_NAME, NAME));
        return Reply::new("307 Temporary Redirect", location, Vec::new());
    }
    if path == format!("/api/models/{NAME}/revision/main") {
        let names: Vec<_> = state
            .files
            .keys()
            .map(|name| serde_json::json!({"rfilename": name}))
            .collect();
        let body = serde_json::json!({"sha": SHA, "siblings": names}).to_string();
        return Reply::new("200 OK", String::new(), body.into_bytes());
    }
    let file = path.strip_prefix(&format!("/{NAME}/resolve/{SHA}/"));
    let Some(file) = file.or(cdn) else {
        return Reply::new("404 Not Found", String::new(), Vec::new());
    };
    let file = file.replace("%20", " ");
    let Some(bytes) = state.files.get(&file).cloned() else {
        return Reply::new("404 Not Found", String::new(), Vec::new());
    };
    let tag = state.tags.get(&file).cloned().unwrap_or(etag(&file));
    let mut headers = match state.is(&Unkind::WithoutTags) {
        true => String::new(),
        false => format!("x-repo-commit: {SHA}\r\netag: \"{tag}\"\r\n"),
    };
    if state.is(&Unkind::Elsewhere) && cdn.is_none() {
        let port = host.rsplit(':').next().unwrap();
        let size = bytes.len();
        let linked = format!(
            "location: http://localhost:{port}/cdn/{file}\r\nx-linked-etag: \"{tag}\"\r\nx-linked-size: {size}\r\n"
        );
        return Reply::new("302 Found", linked, Vec::new());
    }
    if state.is(&Unkind::Compressed) {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(&bytes).unwrap();
        headers += "content-encoding: gzip\r\n";
        let mut reply = Reply::new("200 OK", headers, encoder.finish().unwrap());
        reply.sized = false;
        return cut(state, &file, end, reply);
    }
    if state.is(&Unkind::WithoutRanges) || range.is_none() {
        let reply = Reply::new("200 OK", headers, bytes);
        return cut(state, &file, end, reply);
    }
    if start >= bytes.len() && start > 0 {
        return Reply::new("416 Range Not Satisfiable", String::new(), Vec::new());
    }
    let start = start + usize::from(state.is(&Unkind::WrongPart));
    let last = end.parse::<usize>();
    let last = last.map_or(bytes.len(), |end| (end + 1).min(bytes.len()));
    let (before, all) = (last.saturating_sub(1), bytes.len());
    headers += &format!("content-range: bytes {start}-{before}/{all}\r\n");
    let reply = Reply::new("206 Partial Content", headers, bytes[start..last].to_vec());
    cut(state, &file, end, reply)
}

/// The reply with a file, cut off where it breaks off.
fn cut(state: &mut State, file: &str, end: &str, mut reply: Reply) -> Reply {
    if let Some((name, behind, times @ 1..)) = &mut state.breaks
        && name == file
        && end.is_empty()
    {
        *times -= 1;
        reply.sent = reply.sent.min(*behind);
    }
    for unkind in &mut state.unkind {
        match unkind {
            Unkind::Stalls(name, behind, times @ 1..) if name == &file => {
                *times -= 1;
                reply.sent = reply.sent.min(*behind);
                reply.stalls = true;
            }
            Unkind::Slow(piece) => reply.piece = Some(*piece),
            _ => {}
        }
    }
    reply
}

/// Names of blobs: the files' names in hexadecimal digits.
fn etag(file: &str) -> String {
    file.bytes().map(|byte| format!("{byte:02x}")).collect()
}
