//! One request: the answer of the Hub, or of the host to which it redirects us.
//!
//! Redirects are followed here, because the token is only for the Hub: it is not sent to any other host.

use std::cell::Cell;
use std::io::{self, ErrorKind, Read};

use flate2::read::{MultiGzDecoder, ZlibDecoder};
use ureq::http::header::HeaderName;
use ureq::http::uri::Scheme;
use ureq::http::{Response, Uri};
use ureq::{Agent, Body, Error, Proxy, Timeout};

use super::HubOptions;
use super::retry::wait_asked_for;
use super::trouble::Trouble;

/// The most redirects of one request.
const MOST_REDIRECTS: usize = 10;
/// The first characters of a web page's content type.
const PAGES: [&str; 2] = ["text/html", "application/xhtml"];
/// Number of digits of the digests that are tags: git's object ids, and SHA-256.
const DIGESTS: [usize; 2] = [40, 64];
/// The message for an answer that is a web page.
pub const PAGE: &str = "a web page was sent instead of the file: is there a proxy, or does the network have a login page?";

/// What the answers to one request say about the file.
#[derive(Clone, Debug, Default)]
pub struct About {
    /// The file's tag: a digest, of the file's content if it is large. `None` if no answer has a tag that can name a file.
    pub tag: Option<String>,
    /// The file's size in bytes.
    pub size: Option<u64>,
}

/// The last answer, with its body not yet read.
pub struct Answer {
    /// 200, 206 or 416.
    pub status: u16,
    /// What this answer and the redirects that led to it say about the file.
    pub about: About,
    /// The position of the answer's first byte in the file, if the answer is a part of the file.
    pub start: Option<u64>,
    /// Whether the answer says that it is a web page.
    pub is_page: bool,
    /// How the body is compressed.
    pub coding: Coding,
    body: Body,
}

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// Not at all.
    Plain,
    /// By gzip.
    Gzip,
    /// By zlib, which HTTP calls deflate.
    Zlib,
}

impl Answer {
    /// A reader of the decompressed body.
    pub fn into_reader(self) -> Box<dyn Read> {
        let body = self.body.into_with_config().limit(u64::MAX).reader();
        match self.coding {
            Coding::Plain => Box::new(body),
            Coding::Gzip => Box::new(MultiGzDecoder::new(body)),
            Coding::Zlib => Box::new(ZlibDecoder::new(body)),
        }
    }
}

/// Sends requests.
pub struct Client<'a> {
    agent: Agent,
    options: &'a HubOptions,
    /// The Hub's own address.
    hub: Uri,
    /// Whether any request was ever answered.
    reached: Cell<bool>,
}

impl<'a> Client<'a> {
    /// A client with these options.
    ///
    /// # Errors
    /// If the Hub's address is not a valid address.
    pub fn new(options: &'a HubOptions) -> Result<Client<'a>, String> {
        let bad = || format!("'{}' is not an address", options.endpoint);
        let hub: Uri = options.endpoint.parse().map_err(|_| bad())?;
        if hub.scheme().is_none() || hub.host().is_none() {
            return Err(bad());
        }
        let proxy = options.environment_proxy.then(Proxy::try_from_env);
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("smallmind/", env!("CARGO_PKG_VERSION")))
            // Sizes and ranges must describe the file itself, and not an encoding that a server applies on the way.
            .accept_encoding("identity")
            .timeout_connect(Some(options.timeout))
            .timeout_per_read(Some(options.timeout))
            .timeout_per_write(Some(options.timeout))
            .proxy(proxy.flatten())
            .build()
            .new_agent();
        Ok(Client {
            agent,
            options,
            hub,
            reached: Cell::new(false),
        })
    }

    /// The agent that sends the requests, for a caller that ends them early.
    pub fn agent(&self) -> Agent {
        self.agent.clone()
    }

    /// Asks for what is at `address`, from byte `from` on.
    ///
    /// # Errors
    /// If there is no answer, or the answer is a refusal.
    pub fn get(&self, address: &str, from: u64) -> Result<Answer, Trouble> {
        let mut linked = About::default();
        let mut address = address.to_string();
        for _ in 0..=MOST_REDIRECTS {
            let uri: Uri = address
                .parse()
                .map_err(|_| Trouble::Lasting(format!("'{address}' is not an address")))?;
            let mut request = self.agent.get(uri.clone());
            if from > 0 {
                request = request.header("range", format!("bytes={from}-"));
            }
            if let Some(token) = &self.options.token
                && may_have_token(&self.hub, &uri)
            {
                request = request.header("authorization", format!("Bearer {token}"));
            }
            let response = request.call().map_err(|error| self.trouble(&error))?;
            self.reached.set(true);
            let tag = header(&response, "x-linked-etag").and_then(tag);
            let size = header(&response, "x-linked-size").and_then(|size| size.parse().ok());
            linked.tag = linked.tag.or(tag);
            linked.size = linked.size.or(size);
            let status = response.status().as_u16();
            if !matches!(status, 301 | 302 | 303 | 307 | 308) {
                return answer(response, linked);
            }
            let to = header(&response, "location").and_then(|to| resolve(&uri, to));
            let to = to.ok_or_else(|| {
                Trouble::Lasting(format!("the answer {status} does not say where it leads"))
            })?;
            if uri.scheme() == Some(&Scheme::HTTPS) && !to.starts_with("https:") {
                let problem = format!("{uri} leads to {to}, which is not encrypted");
                return Err(Trouble::Lasting(problem));
            }
            address = to;
        }
        let problem = format!("more than {MOST_REDIRECTS} redirects, the last to {address}");
        Err(Trouble::Lasting(problem))
    }

    /// The trouble that an error without an answer means.
    fn trouble(&self, error: &Error) -> Trouble {
        if self.options.is_cancelled() {
            return Trouble::Cancelled;
        }
        match error {
            _ if !self.reached.get() && is_unreachable(error) => {
                Trouble::Lasting(error.to_string())
            }
            Error::Timeout(_) => Trouble::Passing(self.silence()),
            Error::Io(_)
            | Error::HostNotFound
            | Error::ConnectionFailed
            | Error::Protocol(_)
            | Error::BodyStalled => Trouble::Passing(error.to_string()),
            _ => Trouble::Lasting(error.to_string()),
        }
    }

    /// The trouble that an error while reading a body means.
    pub fn interruption(&self, error: &io::Error) -> Trouble {
        if self.options.is_cancelled() {
            return Trouble::Cancelled;
        }
        let source = error.get_ref().and_then(|inner| inner.downcast_ref());
        match source {
            Some(Error::Timeout(_)) => Trouble::Passing(self.silence()),
            _ => Trouble::Passing(format!("the connection broke: {error}")),
        }
    }

    fn silence(&self) -> String {
        format!(
            "no byte arrived for {} s",
            self.options.timeout.as_secs_f64()
        )
    }
}

/// Whether the error says that there is no way to the Hub.
fn is_unreachable(error: &Error) -> bool {
    match error {
        Error::HostNotFound | Error::ConnectionFailed => true,
        Error::Timeout(phase) => matches!(phase, Timeout::Resolve | Timeout::Connect),
        Error::Io(error) => matches!(
            error.kind(),
            ErrorKind::ConnectionRefused
                | ErrorKind::NetworkUnreachable
                | ErrorKind::NetworkDown
                | ErrorKind::HostUnreachable
        ),
        _ => false,
    }
}

/// The last answer, if its body is usable.
fn answer(response: Response<Body>, linked: About) -> Result<Answer, Trouble> {
    let status = response.status().as_u16();
    if !matches!(status, 200 | 206 | 416) {
        let named = |name: &str| header(&response, name);
        let after = wait_asked_for(named("retry-after"), named("ratelimit"));
        return Err(Trouble::Status { status, after });
    }
    let coding = match header(&response, "content-encoding") {
        None | Some("" | "identity") => Coding::Plain,
        Some("gzip" | "x-gzip") => Coding::Gzip,
        Some("deflate") => Coding::Zlib,
        Some(other) => {
            let problem =
                format!("it was sent with the encoding '{other}', which was not requested");
            return Err(Trouble::Lasting(problem));
        }
    };
    let range = header(&response, "content-range").and_then(|range| range.strip_prefix("bytes "));
    let range = range.and_then(|range| range.split_once('/'));
    let whole = range.and_then(|(_, whole)| whole.trim().parse().ok());
    let length = response.body().content_length();
    let size = whole.or(length.filter(|_| status == 200));
    let size = size.filter(|_| coding == Coding::Plain);
    let kind = header(&response, "content-type").unwrap_or_default();
    let kind = kind.to_ascii_lowercase();
    Ok(Answer {
        status,
        about: About {
            tag: linked
                .tag
                .or_else(|| header(&response, "etag").and_then(tag)),
            size: linked.size.or(size),
        },
        start: range.and_then(|(part, _)| part.split_once('-')?.0.trim().parse().ok()),
        is_page: PAGES.into_iter().any(|page| kind.starts_with(page)),
        coding,
        body: response.into_body(),
    })
}

/// The text of a header.
fn header<'a>(response: &'a Response<Body>, name: &str) -> Option<&'a str> {
    let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
    Some(response.headers().get(name)?.to_str().ok()?.trim())
}

/// A tag without its quotation marks, and without what servers add to it; `None` unless it is a digest, as the Hub's tags
/// are: other servers make tags from times and sizes, which two files may share.
fn tag(written: &str) -> Option<String> {
    let strong = written.strip_prefix("W/").unwrap_or(written);
    let plain = strong.trim_matches('"');
    let plain = ["--gzip", "-gzip", ";gzip"]
        .into_iter()
        .find_map(|ending| plain.strip_suffix(ending))
        .unwrap_or(plain);
    let is_digest = DIGESTS.contains(&plain.len()) && plain.bytes().all(|b| b.is_ascii_hexdigit());
    is_digest.then(|| plain.to_ascii_lowercase())
}

/// Whether a request to `address` may contain the token of `hub`: it must go to the same host, over a connection that is at
/// least as safe.
fn may_have_token(hub: &Uri, address: &Uri) -> bool {
    let host = |uri: &Uri| uri.host().map(str::to_ascii_lowercase);
    let port = |uri: &Uri| {
        let standard = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => 443,
            _ => 80,
        };
        uri.port_u16().unwrap_or(standard)
    };
    let same = hub.scheme() == address.scheme() && port(hub) == port(address);
    let safer = (port(hub), port(address)) == (80, 443) && address.scheme() == Some(&Scheme::HTTPS);
    host(hub).is_some() && host(hub) == host(address) && (same || safer)
}

/// The address `to`, which may be relative to `from`; `None` if it is not an address.
fn resolve(from: &Uri, to: &str) -> Option<String> {
    let to = to.split('#').next().unwrap_or_default();
    let (scheme, authority) = (from.scheme_str()?, from.authority()?);
    let to = escaped(to, |byte| byte > b' ' && byte < 0x7f);
    Some(match to.split_once("://") {
        Some((scheme, _)) if scheme.bytes().all(|byte| byte.is_ascii_alphanumeric()) => to,
        _ if to.starts_with("//") => format!("{scheme}:{to}"),
        _ if to.starts_with('/') => format!("{scheme}://{authority}{to}"),
        _ if to.starts_with('?') => format!("{scheme}://{authority}{}{to}", from.path()),
        _ if to.is_empty() => return None,
        _ => {
            let folder = from
                .path()
                .rsplit_once('/')
                .map_or("", |(folder, _)| folder);
            format!("{scheme}://{authority}{folder}/{to}")
        }
    })
}

/// A file's path, escaped for use in an address.
pub fn in_address(path: &str) -> String {
    escaped(path, |byte| {
        byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte)
    })
}

/// `text` with every byte escaped for which `plain` is false.
fn escaped(text: &str, plain: impl Fn(u8) -> bool) -> String {
    let byte = |byte: u8| match plain(byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    text.bytes().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> Uri {
        text.parse().unwrap()
    }

    #[test]
    fn addresses_are_resolved_from_where_they_are_given() {
        let from = uri("https://a.example:8443/x/y?z=1");
        for (to, expected) in [
            ("https://b.example/c?d", "https://b.example/c?d"),
            ("//b.example/c", "https://b.example/c"),
            ("/c?u=http://d", "https://a.example:8443/c?u=http://d"),
            ("?c", "https://a.example:8443/x/y?c"),
            ("c d#e", "https://a.example:8443/x/c%20d"),
            ("/é", "https://a.example:8443/%C3%A9"),
        ] {
            assert_eq!(resolve(&from, to).as_deref(), Some(expected));
        }
        assert_eq!(resolve(&from, "#only"), None);
    }

    #[test]
    fn the_token_goes_to_the_hub_alone() {
        for (hub, address, may) in [
            ("https://a.example", "https://A.example/x", true),
            ("https://a.example", "https://a.example:443/x", true),
            ("http://a.example", "https://a.example/x", true),
            ("https://a.example", "http://a.example/x", false),
            ("https://a.example", "https://b.example/x", false),
            ("https://a.example", "https://a.example.b.example/x", false),
            ("http://a.example:80", "http://a.example:81/x", false),
        ] {
            assert_eq!(may_have_token(&uri(hub), &uri(address)), may, "{address}");
        }
    }

    #[test]
    fn tags_lose_their_marks_or_name_nothing() {
        let digest = "0123456789abcdef0123456789abcdef01234567";
        for (written, plain) in [
            (format!("\"{digest}\""), Some(digest)),
            (format!("W/\"{digest}-gzip\""), Some(digest)),
            (digest.to_uppercase(), Some(digest)),
            ("\"65a1b2c3-2f4\"".to_string(), None),
            ("\"\"".to_string(), None),
            (format!("../{digest}"), None),
        ] {
            assert_eq!(tag(&written).as_deref(), plain);
        }
    }

    #[test]
    fn paths_are_escaped() {
        assert_eq!(in_address("a b/c#1?.json"), "a%20b/c%231%3F.json");
    }
}
