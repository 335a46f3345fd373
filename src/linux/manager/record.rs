//! Writes down which processes are whose, for a musterd that comes after one that was killed. Reads nothing.

use std::collections::BTreeMap;

use super::Manager;
use crate::linux::record::{Entry, Record};

impl Manager {
    /// Writes the record if it has changed.
    pub(super) fn save_record(&mut self) {
        let Some(store) = &self.store else { return };
        let services: BTreeMap<String, Entry> = self
            .supervisor
            .mains()
            .map(|(name, known)| (name.to_owned(), Entry { main: known.main, restarts: known.restarts }))
            .collect();
        if services == self.recorded {
            return;
        }
        // What could not be written is tried again in the next turn that steps anything.
        let told = match store.save(&Record { services: services.clone() }) {
            Ok(()) => {
                self.recorded = services;
                None
            }
            Err(error) => Some(error.to_string()),
        };
        if let Some(cause) = told.as_ref().filter(|_| told != self.record_failed) {
            let consequence =
                "trying again; a musterd that is killed meanwhile finds its services by other rules";
            tracing::warn!(cause, consequence, "cannot keep the record");
        }
        self.record_failed = told;
    }
}
