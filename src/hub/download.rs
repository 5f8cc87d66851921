//! One file on its way into the cache.
//!
//! It lies under a name of its own until its size, and its digest where the Hub states one, are right: what a file's own name
//! leads to is whole, however a process ended. What has arrived stays, and the next try goes on behind it.

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
/// Bytes among which a web page says that it is one.
const PAGE_BEGINNING: u64 = 256;
/// How often a lock that another process has is tried.
const LOCK_WAIT: Duration = Duration::from_millis(200);

/// Why a file is not in the cache.
#[derive(Debug)]
pub enum NoFile {
    /// It could not be had.
    Trouble(Trouble),
    /// What arrived is not what the Hub states; it was removed.
    Damaged(String),
}

impl From<Trouble> for NoFile {
    fn from(trouble: Trouble) -> Self {
        NoFile::Trouble(trouble)
    }
}

/// A file of a repository.
pub struct Download<'a> {
    /// What sends the requests.
    pub client: &'a Client<'a>,
    /// The caller's choices.
    pub options: &'a HubOptions,
    /// Where it goes.
    pub cache: &'a Cache,
    /// Where it is.
    pub address: String,
    /// Its path in the repository.
    pub file: &'a str,
}

impl Download<'_> {
    /// Fetches the file and lets `path`, in a snapshot, lead to it.
    ///
    /// # Errors
    /// If it can't be had, or is not what the Hub states.
    pub fn fetch(&self, path: &Path) -> Result<(), NoFile> {
        let mut patience = Patience::new(self.options, self.file);
        let first = loop {
            match self.client.get(&self.address, 0) {
                Ok(answer) => break answer,
                Err(trouble) => patience.wait(trouble)?,
            }
        };
        let about = first.about.clone();
        // A revision's file is the same for ever, so that its address can stand for its content until that is known.
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

    /// Waits until this process alone works on the content with this tag. The answer is given back unless it took longer.
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
            "{file}: another process fetches it, which is waited for"
        ));
        loop {
            pause(self.options, LOCK_WAIT)?;
            if let Some(lock) = try_lock()? {
                return Ok((lock, None));
            }
        }
    }

    /// Removes what can't be the beginning of the file.
    fn prepare(&self, part: &Path, about: &About) -> Result<(), Trouble> {
        let length = length(part);
        let whole = about.size.is_some_and(|size| length >= size);
        // All of it, and yet not finished: it counts where its digest tells that it is right.
        let stated = about.tag.as_deref().and_then(stated_sha256).is_some();
        let right = || stated && matches!(damage(part, about), Ok(None));
        if length > 0 && whole && !right() {
            fs::remove_file(part).map_err(|error| self.cannot("remove", error))?;
        }
        Ok(())
    }

    /// Receives what is not yet there. The file in `part` then has its size, where that is known.
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

    /// Appends an answer to what is `there`. What can't be continued is removed.
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
            // A part of what is compressed, another part than was asked for, or none.
            206 | 416 => {
                begin_anew(file)?;
                let problem = "what was there can't be continued, so that it begins anew";
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
                    // Where the rest of what is compressed begins, nobody can say.
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

    /// What the system does not let us do with the cache's file.
    fn cannot(&self, action: &str, error: std::io::Error) -> Trouble {
        Trouble::Lasting(format!("can't {action} its file in the cache: {error}"))
    }
}

/// Bytes that a file has; 0 if it is not there.
fn length(file: &Path) -> u64 {
    fs::metadata(file).map_or(0, |file| file.len())
}

/// Whether a file begins as web pages do.
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
        return Ok(Some(format!("it has {arrived} bytes, on the Hub {size}")));
    }
    let Some(stated) = about.tag.as_deref().and_then(stated_sha256) else {
        return Ok(None);
    };
    let found = sha256(part)?;
    let same = found.eq_ignore_ascii_case(stated);
    Ok((!same).then(|| format!("its SHA-256 is {found}, on the Hub {stated}")))
}
