//! Holds variables whose values nobody else is to see: never shown, wiped once they were handed over.
//! Reads nothing.

use std::{
    ffi::{CStr, CString},
    fmt,
    hint::black_box,
    mem,
    ops::Deref,
};

/// Bytes that may be secret: in no message, and overwritten before their memory is another's.
#[derive(Default)]
pub(super) struct Secret(Vec<u8>);

/// One variable, `NAME=value`, as execve(2) takes it; its value may be secret.
#[derive(Default)]
pub(super) struct Entry {
    text: CString,
    /// Where the value begins.
    value: usize,
}

/// A NUL byte, which ends a text in C, is in the name or the value of a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HoldsNul;

impl Secret {
    /// Takes the bytes over.
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl Deref for Secret {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.fill(0);
        // Otherwise the compiler may see that nobody reads the zeros, and save them.
        black_box(&self.0);
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl Entry {
    /// The variable whose value are these parts one after the other.
    ///
    /// # Errors
    /// There is a NUL byte in it.
    pub(super) fn new(name: &[u8], value: &[&[u8]]) -> Result<Self, HoldsNul> {
        let length: usize = value.iter().map(|part| part.len()).sum();
        // All at once: a vector that grows leaves its first bytes behind.
        let mut text = Vec::with_capacity(name.len() + "=\0".len() + length);
        for part in [name, b"="].iter().chain(value) {
            text.extend_from_slice(part);
        }
        if memchr::memchr(0, &text).is_some() {
            drop(Secret(text));
            return Err(HoldsNul);
        }
        text.push(0);
        let text = CString::from_vec_with_nul(text).map_err(|error| {
            drop(Secret(error.into_bytes()));
            HoldsNul
        })?;
        Ok(Self { text, value: name.len() + 1 })
    }

    /// The whole of it.
    pub(super) fn text(&self) -> &CStr {
        &self.text
    }

    /// What it is set to.
    pub(super) fn value(&self) -> &[u8] {
        self.text.to_bytes().get(self.value..).unwrap_or_default()
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        drop(Secret(mem::take(&mut self.text).into_bytes_with_nul()));
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Entry")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_has_a_name_and_a_value() {
        let entry = Entry::new(b"DB", &[b"a", b"", b"=b\n"]).unwrap();
        assert_eq!((entry.text(), entry.value()), (c"DB=a=b\n", &b"a=b\n"[..]));
        assert_eq!(Entry::new(b"DB", &[b"a\0b"]).unwrap_err(), HoldsNul);
        assert_eq!(Entry::default().value(), b"");
    }

    #[test]
    fn nothing_shows_a_value() {
        let entry = Entry::new(b"DB", &[b"hunter2"]).unwrap();
        let secret = Secret::new(b"hunter2".to_vec());
        assert_eq!(format!("{entry:?} {secret:?}"), "Entry Secret");
    }
}
