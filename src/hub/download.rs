//! The download of one file into the cache.
//!
//! The file has a temporary name until its size, and its digest if the Hub states one, are right: what a file's final name
//! leads to is complete, however a process ended. Bytes that have arrived stay, and the next try continues after them.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::HubOptions;
use super::cache::Cache;
use super::digest::{sha256, sha256_of_text, stated_sha256};
use super::http::{About, Answer, Client, Coding, PAGE};
use super::options::Transfer;
use super::retry::{Patience, pause};
use super::trouble::Trouble;

/// Bytes that are read at once.
const PIECE: usize = 1 << 18;
/// The number of leading bytes that show whether a file is a web page.
const PAGE_BEGINNING: u64 = 256;
/// The time between two tries to take a lock that another process has.
const LOCK_WAIT: Duration = Duration::from_millis(200);

/// Why a file is not in the cache.
#[derive(Debug)]
pub enum NoFile {
    /// It could not be fetched.
    Trouble(Trouble),
    /// The file that arrived is not the file that the Hub states; it was deleted.
    Damaged(String),
}

impl From<Trouble> for NoFile {
    fn from(trouble: Trouble) -> Self {
        NoFile::Trouble(trouble)
    }
}

/// A file of a repository.
pub struct Download<'a> {
    /// The client that sends the requests.
    pub client: &'a Client<'a>,
    /// The caller's choices.
    pub options: &'a HubOptions,
    /// The cache that receives the file.
    pub cache: &'a Cache,
    /// The file's address.
    pub address: String,
    /// Its path in the repository.
    pub file: &'a str,
}

impl Download<'_> {
    /// Fetches the file and makes `path`, in a snapshot, lead to it.
    ///
    /// # Errors
    /// If it can't be fetched, or is not the file that the Hub states.
    pub fn fetch(&self, path: &Path) -> Result<(), NoFile> {
        let mut patience = Patience::new(self.options, self.file);
        let first = loop {
            match self.client.get(&self.address, 0) {
                Ok(answer) => break answer,
                Err(trouble) => patience.wait(trouble)?,
            }
        };
        let about = first.about.clone();
        // A revision's file never changes, so its address can identify its content until its tag is known.
        let by_address = || format!("unnamed-{}", sha256_of_text(&self.address));
        let tag = about.tag.clone().unwrap_or_else(by_address);
        let blob = self.cache.blob(&tag);
        self.make_folder(&blob)?;
        let (_lock, answer) = self.lock(&tag, first)?;
        if about.tag.is_some() && blob.exists() {
            return Ok(self.link(path, &tag)?);
        }
        let part = self.cache.part(&tag);
        self.prepare(&part, &about)?;
        self.receive(&part, &about, answer, &mut patience)?;
        let is_page = is_page(&part).map_err(|error| self.cannot("read", error))?;
        if is_page && !self.is_page_wanted() {
            fs::remove_file(&part).map_err(|error| self.cannot("remove", error))?;
            return Err(Trouble::Lasting(PAGE.to_string()).into());
        }
        if let Some(problem) = damage(&part, &about).map_err(|error| self.cannot("read", error))? {
            fs::remove_file(&part).map_err(|error| {
                let problem = format!(
                    "{problem}, and {} can't be removed: {error}",
                    part.display()
                );
                Trouble::Lasting(problem)
            })?;
            return Err(NoFile::Damaged(problem));
        }
        let tag = match about.tag {
            Some(tag) => tag,
            None => sha256(&part).map_err(|error| self.cannot("read", error))?,
        };
        let moved = fs::rename(&part, self.cache.blob(&tag));
        moved.map_err(|error| self.cannot("write", error))?;
        Ok(self.link(path, &tag)?)
    }

    /// Waits until only this process works on the content with this tag. Returns the answer too, unless it had to wait.
    fn lock(&self, tag: &str, first: Answer) -> Result<(File, Option<Answer>), Trouble> {
        let try_lock = || {
            let lock = self.cache.try_lock(tag);
            lock.map_err(|error| self.cannot("lock", error))
        };
        if let Some(lock) = try_lock()? {
            return Ok((lock, Some(first)));
        }
        drop(first);
        let file = self.file;
        self.options.tell(&format!(
            "{file}: waiting for another process that is fetching it"
        ));
        loop {
            pause(self.options, LOCK_WAIT)?;
            if let Some(lock) = try_lock()? {
                return Ok((lock, None));
            }
        }
    }

    /// Deletes a partial file that can't be the beginning of the file.
    fn prepare(&self, part: &Path, about: &About) -> Result<(), Trouble> {
        let length = length(part);
        let whole = about.size.is_some_and(|size| length >= size);
        // All bytes are there, but the download did not finish: they are kept if a digest can tell that they are right.
        let stated = about.tag.as_deref().and_then(stated_sha256).is_some();
        let right = || stated && matches!(damage(part, about), Ok(None));
        if length > 0 && whole && !right() {
            fs::remove_file(part).map_err(|error| self.cannot("remove", error))?;
        }
        Ok(())
    }

    /// Receives the bytes that are not yet there. Afterwards the file `part` has the right size, if the size is known.
    fn receive(
        &self,
        part: &Path,
        about: &About,
        mut answer: Option<Answer>,
        patience: &mut Patience,
    ) -> Result<(), Trouble> {
        let options = OpenOptions::new().create(true).append(true).open(part);
        let mut file = options.map_err(|error| self.cannot("write", error))?;
        let mut most = length(part);
        if about.size.is_some_and(|size| size > 0 && most == size) {
            return Ok(());
        }
        loop {
            let there = length(part);
            let answered = match answer.take().filter(|_| there == 0) {
                Some(answer) => Ok(answer),
                None => self.client.get(&self.address, there),
            };
            let received = answered.and_then(|answer| self.append(&mut file, there, answer, about));
            let now = length(part);
            let trouble = match received {
                Ok(()) => match about.size {
                    Some(size) if now < size => Trouble::Passing(format!(
                        "the connection ended, after {now} of {size} bytes"
                    )),
                    _ => break,
                },
                Err(Trouble::Passing(problem)) => Trouble::Passing(match about.size {
                    Some(size) => format!("{problem}, after {now} of {size} bytes"),
                    None => format!("{problem}, after {now} bytes"),
                }),
                Err(trouble) => trouble,
            };
            if now > most {
                most = now;
                patience.renew();
            }
            patience.wait(trouble)?;
        }
        file.sync_all().map_err(|error| self.cannot("write", error))
    }

    /// Appends an answer to the bytes that are `there`. A partial file that can't be continued is deleted.
    fn append(
        &self,
        file: &mut File,
        there: u64,
        answer: Answer,
        about: &About,
    ) -> Result<(), Trouble> {
        let begin_anew = |file: &File| {
            let emptied = file.set_len(0);
            emptied.map_err(|error| self.cannot("write", error))
        };
        if answer.is_page && !self.is_page_wanted() {
            return Err(Trouble::Lasting(PAGE.to_string()));
        }
        let plain = answer.coding == Coding::Plain;
        let mut done = match answer.status {
            206 if answer.start == Some(there) && plain => there,
            // A part of compressed content, a different part than was asked for, or no part.
            206 | 416 => {
                begin_anew(file)?;
                let problem = "the partial file can't be continued; the download starts over";
                return Err(Trouble::Passing(problem.to_string()));
            }
            _ => {
                begin_anew(file)?;
                0
            }
        };
        let all = about.size.unwrap_or_default();
        let tell = |done: u64| {
            if let Some(progress) = &self.options.progress {
                let file = self.file.to_string();
                progress(&Transfer { file, done, all });
            }
        };
        let mut reader = answer.into_reader();
        let mut piece = vec![0; PIECE];
        loop {
            if self.options.is_cancelled() {
                return Err(Trouble::Cancelled);
            }
            match reader.read(&mut piece) {
                Ok(0) => {
                    if done == 0 {
                        tell(0);
                    }
                    return Ok(());
                }
                Ok(read) => {
                    let piece = piece.get(..read).unwrap_or_default();
                    file.write_all(piece)
                        .map_err(|error| self.cannot("write", error))?;
                    done += read as u64;
                    tell(done);
                }
                Err(error) => {
                    // Nobody can say where the rest of compressed content begins.
                    if !plain {
                        begin_anew(file)?;
                    }
                    return Err(self.client.interruption(&error));
                }
            }
        }
    }

    fn is_page_wanted(&self) -> bool {
        self.file.to_ascii_lowercase().ends_with(".html")
    }

    fn make_folder(&self, blob: &Path) -> Result<(), Trouble> {
        let folder = blob.parent().map_or_else(PathBuf::new, Path::to_path_buf);
        fs::create_dir_all(folder).map_err(|error| self.cannot("write", error))
    }

    fn link(&self, path: &Path, tag: &str) -> Result<(), Trouble> {
        let linked = self.cache.link(path, tag);
        linked.map_err(|error| self.cannot("link", error))
    }

    /// The error for something that the system does not let us do with the file in the cache.
    fn cannot(&self, action: &str, error: std::io::Error) -> Trouble {
        Trouble::Lasting(format!("can't {action} its file in the cache: {error}"))
    }
}

/// The size of a file in bytes; 0 if it is not there.
fn length(file: &Path) -> u64 {
    fs::metadata(file).map_or(0, |file| file.len())
}

/// Whether a file begins like a web page.
fn is_page(file: &Path) -> std::io::Result<bool> {
    let mut beginning = Vec::new();
    File::open(file)?
        .take(PAGE_BEGINNING)
        .read_to_end(&mut beginning)?;
    let beginning = beginning.trim_ascii_start().to_ascii_lowercase();
    Ok(beginning.starts_with(b"<!doctype html") || beginning.starts_with(b"<html"))
}

/// What is wrong with the file that arrived, by its size and, where the Hub states one, its digest.
fn damage(part: &Path, about: &About) -> std::io::Result<Option<String>> {
    let arrived = length(part);
    if let Some(size) = about.size.filter(|&size| size != arrived) {
        return Ok(Some(format!(
            "it has {arrived} bytes, but {size} on the Hub"
        )));
    }
    let Some(stated) = about.tag.as_deref().and_then(stated_sha256) else {
        return Ok(None);
    };
    let found = sha256(part)?;
    let same = found.eq_ignore_ascii_case(stated);
    Ok((!same).then(|| format!("its SHA-256 is {found}, but {stated} on the Hub")))
}
