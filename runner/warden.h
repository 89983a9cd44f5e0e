// Answers the system calls that set and ask for owners, for a run whose user namespace has one id: a process beside the supervisor, which the filter tells.
#pragma once
#include <sys/types.h>

// Starts it; `record` is the file of ownership.h. Its pid and the socket on which it waits for the filter's descriptor, or -1 after fail().
pid_t warden_start(const char *record, int *socket);
// In init, when the filter is loaded: gives it the descriptor.
int warden_give(int socket, int listener);
