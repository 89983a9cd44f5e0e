// runner userns UIDMAP GIDMAP HELPERS COMMAND...: runs COMMAND as root of a new user namespace. A map is "inside outside count[,...]"; HELPERS is 1 when
// newuidmap and newgidmap write it (several ranges), 0 when it is the caller's own id. Signals are passed on, the exit status is COMMAND's.
#pragma once

int userns_run(int count, char **words);
