// runner userns UIDMAP GIDMAP owner|helpers|root COMMAND...: runs COMMAND as root of a new user namespace. A map is "inside outside count[,...]": the
// caller's own id (owner), several ranges that newuidmap and newgidmap write (helpers), or that a caller with CAP_SETUID and CAP_SETGID writes (root).
// Signals are passed on, the exit status is COMMAND's. File 3 is told "entered", or "error ERRNO WHAT".
#pragma once

int userns_run(int count, char **words);
