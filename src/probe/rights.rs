//! Gives up root's rights. Holds for the calling thread's whole process, before there is another thread.

use nix::{
    errno::Errno,
    sys::prctl,
    unistd::{Gid, Uid, setgroups, setresgid, setresuid},
};

/// The user and group that own nothing (`nobody`, and the kernel's overflow ID).
const NOBODY: u32 = 65534;

/// Gains nothing from now on by a program's set-user-ID bit; as root, becomes nobody, as far as that may be done: in a
/// container without the capability, or in a user namespace without the ID, root has little to lose.
///
/// # Errors
/// `cannot …`: the kernel refused for another reason.
pub(super) fn give_up() -> Result<(), String> {
    let failed = |errno: Errno| format!("cannot give up root's rights: {}", errno.desc().to_lowercase());
    // Fails only before Linux 3.5.
    let _ = prctl::set_no_new_privs();
    if !Uid::effective().is_root() {
        return Ok(());
    }
    let (user, group) = (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY));
    let steps: [&dyn Fn() -> nix::Result<()>; 3] =
        [&|| setgroups(&[]), &|| setresgid(group, group, group), &|| setresuid(user, user, user)];
    for step in steps {
        match step() {
            Ok(()) | Err(Errno::EPERM | Errno::EINVAL) => {}
            Err(errno) => return Err(failed(errno)),
        }
    }
    Ok(())
}
