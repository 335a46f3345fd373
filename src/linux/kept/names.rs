//! Which place each name has, in a file that outlives a musterd that is killed. Knows nothing of what is there.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    path::PathBuf,
};

use memchr::memrchr;

use super::open_own;

/// Names and their places. A name keeps its place as long as somebody uses it; then another may get it.
#[derive(Debug)]
pub(super) struct Names {
    path: PathBuf,
    known: Vec<Name>,
    most: usize,
}

#[derive(Debug)]
struct Name {
    text: String,
    users: usize,
}

impl Names {
    /// Those in this file, which nobody uses yet.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(super) fn open(path: PathBuf, most: usize) -> io::Result<Self> {
        let file = open_own(&path)?;
        let mut text = fs::read(&path)?;
        // A line without its end was being written when musterd was killed, and nobody had that place yet.
        text.truncate(memrchr(b'\n', &text).map_or(0, |end| end + 1));
        file.set_len(text.len() as u64)?;
        let name = |text: &str| Name { text: text.to_owned(), users: 0 };
        let known = String::from_utf8_lossy(&text).lines().map(name).collect();
        Ok(Self { path, known, most })
    }

    /// The place of this name, for one more user. A new one gets that of a name that nobody uses, if it `is_empty`, or a
    /// place of its own; `None`: there is none left, or the disk is full.
    pub(super) fn place(&mut self, name: &str, is_empty: impl Fn(usize) -> bool) -> Option<usize> {
        let name = name.escape_debug().to_string();
        let known = self.known.iter().position(|known| known.text == name);
        let place = match known {
            Some(place) => place,
            None => self.add(name, is_empty)?,
        };
        self.known[place].users += 1;
        Some(place)
    }

    /// That one of its users needs it no more.
    pub(super) fn release(&mut self, place: usize) {
        if let Some(known) = self.known.get_mut(place) {
            known.users = known.users.saturating_sub(1);
        }
    }

    fn add(&mut self, name: String, is_empty: impl Fn(usize) -> bool) -> Option<usize> {
        let free = (0..self.known.len()).find(|&place| self.known[place].users == 0 && is_empty(place));
        let place = free.unwrap_or(self.known.len());
        if place >= self.most {
            return None;
        }
        if place < self.known.len() {
            self.replace(place, &name).ok()?;
            self.known[place].text = name;
        } else {
            self.append(&name).ok()?;
            self.known.push(Name { text: name, users: 0 });
        }
        Some(place)
    }

    /// Replaces the file at once: who is killed meanwhile has the old name or the new one there.
    fn replace(&self, place: usize, name: &str) -> io::Result<()> {
        let mut names: Vec<&str> = self.known.iter().map(|known| known.text.as_str()).collect();
        names[place] = name;
        let new = self.path.with_extension("new");
        let mut file = open_own(&new)?;
        file.set_len(0)?;
        file.write_all((names.join("\n") + "\n").as_bytes())?;
        fs::rename(&new, &self.path)
    }

    fn append(&self, name: &str) -> io::Result<()> {
        let mut file = OpenOptions::new().append(true).open(&self.path)?;
        let length = file.metadata()?.len();
        let written = file.write_all(format!("{name}\n").as_bytes());
        if written.is_err() {
            file.set_len(length)?;
        }
        written
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_given_to_another_when_nobody_uses_it_and_nothing_is_in_it() {
        let path = std::env::temp_dir().join(format!("musterd-names-{}", std::process::id()));
        let empty = |_: usize| true;
        let mut names = Names::open(path.clone(), 3).unwrap();
        let places = ["a", "b", "c", "a"].map(|name| names.place(name, empty));
        assert_eq!(places, [Some(0), Some(1), Some(2), Some(0)]);
        assert_eq!(names.place("d", empty), None, "all are used");
        [0, 1].into_iter().for_each(|place| names.release(place));
        assert_eq!(names.place("d", |place| place != 1), None, "something is in it, or it has another user");
        assert_eq!(names.place("d", empty), Some(1));
        assert_eq!(names.place("b", empty), None);
        // Another musterd: nobody uses them yet.
        let mut names = Names::open(path.clone(), 3).unwrap();
        assert_eq!(["a", "d"].map(|name| names.place(name, empty)), [Some(0), Some(1)]);
        assert_eq!(names.place("e", |place| place != 2), None);
        assert_eq!(["e", "c"].map(|name| names.place(name, empty)), [Some(2), None]);
        fs::remove_file(path).unwrap();
    }

    #[test]
    fn a_name_that_was_being_written_has_no_place() {
        let path = std::env::temp_dir().join(format!("musterd-torn-names-{}", std::process::id()));
        fs::write(&path, "a\nb\nweb.std").unwrap();
        let mut names = Names::open(path.clone(), 9).unwrap();
        let full = |_: usize| false;
        assert_eq!(["web.stdout", "c"].map(|name| names.place(name, full)), [Some(2), Some(3)]);
        let mut names = Names::open(path.clone(), 9).unwrap();
        assert_eq!(["c", "web.stdout"].map(|name| names.place(name, full)), [Some(3), Some(2)]);
        fs::remove_file(path).unwrap();
    }

    #[test]
    fn a_name_that_cannot_be_written_down_has_no_place() {
        let folder = std::env::temp_dir().join(format!("musterd-no-names-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("names");
        let mut names = Names::open(path.clone(), 3).unwrap();
        assert_eq!(names.place("a", |_| true), Some(0));
        names.release(0);
        // It cannot be replaced.
        fs::create_dir(path.with_extension("new")).unwrap();
        assert_eq!(names.place("b", |_| true), None);
        assert_eq!(names.place("a", |_| true), Some(0), "it has its place yet");
        assert_eq!(Names::open(path, 3).unwrap().known[0].text, "a");
        fs::remove_dir_all(&folder).unwrap();
    }
}
