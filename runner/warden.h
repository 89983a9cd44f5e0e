// Answers the system calls that set and ask for owners, for a run whose user namespace has one id: a process beside the supervisor, which the filter tells.
#pragma once
#include <stdbool.h>
#include <sys/types.h>

// A step: starts it; `record` is the file of ownership.h, `socket` where it waits for the filter's descriptor.
bool warden_start(const char *record, pid_t *warden, int *socket);
// A step, in init, when the filter is loaded: gives it the descriptor.
bool warden_give(int socket, int listener);
