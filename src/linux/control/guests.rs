//! Who may ask what: the kernel's word for a client's user against the users that are configured. Moves no bytes.

use rustix::process::geteuid;

use crate::{
    config::{self, User},
    linux::accounts::{self, UserIds},
    protocol::Request,
};

/// The users that are let in besides root and musterd's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Guests {
    /// They may ask everything.
    pub users: Vec<User>,
    /// They may ask what changes nothing.
    pub observers: Vec<User>,
}

/// What a client may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Right {
    /// Nothing: he is refused.
    Nothing,
    /// What changes nothing.
    Look,
    /// Everything, by being configured so.
    Guest,
    /// Everything, and before all guests.
    Host,
}

impl Right {
    /// Whether he may ask this.
    pub(super) fn allows(self, request: &Request) -> bool {
        match self {
            Right::Nothing => false,
            Right::Look => !request.changes(),
            Right::Guest | Right::Host => true,
        }
    }
}

impl Guests {
    /// Those of the configuration.
    pub fn of(manager: &config::Manager) -> Self {
        Self { users: manager.allow_users.clone(), observers: manager.observers.clone() }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.users.is_empty() && self.observers.is_empty()
    }

    /// What this user may ask. Names are looked up each time, as a user may be made while musterd runs.
    pub(super) fn right_of(&self, uid: u32) -> Right {
        if uid == 0 || uid == geteuid().as_raw() {
            return Right::Host;
        }
        let by_name = |user: &User| matches!(user, User::Name(_));
        let names = self.users.iter().chain(&self.observers).any(by_name).then(accounts::user_ids);
        let names = names.unwrap_or_default();
        if has(&self.users, uid, &names) {
            Right::Guest
        } else if has(&self.observers, uid, &names) {
            Right::Look
        } else {
            Right::Nothing
        }
    }

    /// The names that no user has yet.
    pub fn unknown(&self) -> Vec<&User> {
        let users = self.users.iter().chain(&self.observers);
        users.filter(|user| accounts::user_id(user).is_none()).collect()
    }
}

fn has(users: &[User], uid: u32, names: &UserIds) -> bool {
    users.iter().any(|user| match user {
        User::Id(id) => *id == uid,
        User::Name(name) => names.get(name) == Some(&uid),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_have_the_greatest_right_that_names_or_ids_give_them() {
        let guests = Guests {
            users: vec![User::Id(1000), User::Name("daemon".to_owned())],
            observers: vec![User::Id(1000), User::Id(1001), User::Name("no-such-user".to_owned())],
        };
        let daemon = accounts::user_id(&User::Name("daemon".to_owned())).unwrap();
        assert_eq!(guests.right_of(0), Right::Host);
        assert_eq!(guests.right_of(1000), Right::Guest);
        assert_eq!(guests.right_of(daemon), Right::Guest);
        assert_eq!(guests.right_of(1001), Right::Look);
        assert_eq!(guests.right_of(1002), Right::Nothing);
        assert_eq!(guests.unknown(), [&User::Name("no-such-user".to_owned())]);
    }

    #[test]
    fn who_may_look_may_change_nothing() {
        let logs = Request::parse(br#"{"verb":"logs"}"#).unwrap();
        let allowed = |right: Right| [&logs, &Request::Reopen].map(|request| right.allows(request));
        assert_eq!(allowed(Right::Nothing), [false, false]);
        assert_eq!(allowed(Right::Look), [true, false]);
        assert_eq!(allowed(Right::Guest), [true, true]);
        assert_eq!(allowed(Right::Host), [true, true]);
    }
}
