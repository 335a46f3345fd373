//! The bare loop: waitpid, vfork, exec, and nothing else. What a machine does at best; no service manager.

use std::{
    ffi::{CString, OsString, c_char},
    os::unix::ffi::OsStringExt,
    process::ExitCode,
    ptr,
};

use nix::{libc, sched::CloneFlags, sys::wait::waitpid, unistd::Pid};

/// As vfork(2): the memory is shared, and the loop waits until the program is executed.
const VFORK: CloneFlags = CloneFlags::CLONE_VM.union(CloneFlags::CLONE_VFORK);

/// The new process makes one call, whose wrapper needs a few hundred bytes.
const STACK: usize = 64 * 1024;

/// Keeps one `PROGRAM infinity` of each running, until it has no child left.
pub(crate) fn keep(programs: impl Iterator<Item = OsString>) -> ExitCode {
    let programs: Result<Vec<CString>, _> = programs.map(|path| CString::new(path.into_vec())).collect();
    let Ok(programs) = programs else { return ExitCode::FAILURE };
    let mut stack = vec![0; STACK];
    let mut running: Vec<nix::Result<Pid>> = programs.iter().map(|path| start(path, &mut stack)).collect();
    while let Ok(status) = waitpid(None, None) {
        let Some(at) = running.iter().position(|pid| pid.ok() == status.pid()) else { continue };
        running[at] = start(&programs[at], &mut stack);
    }
    ExitCode::FAILURE
}

fn start(program: &CString, stack: &mut [u8]) -> nix::Result<Pid> {
    let argv: [*const c_char; 3] = [program.as_ptr(), c"infinity".as_ptr(), ptr::null()];
    // SAFETY: of execv(3): the safe forms allocate, in memory that is the parent's; the rule (both pointers
    // are valid, the array ends with null) holds.
    let execute = || unsafe { libc::execv(program.as_ptr(), argv.as_ptr()) } as isize;
    // SAFETY: nothing safe is a vfork (posix_spawn(3) asks for each signal's disposition first); the rule (the
    // child stays within its stack, and neither allocates nor returns into the parent) holds, see `execute`.
    unsafe { nix::sched::clone(Box::new(execute), stack, VFORK, Some(libc::SIGCHLD)) }
}
