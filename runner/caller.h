// The thread whose call waits for an answer (seccomp_unotify(2)).
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct caller {
  int proc; // /proc
  pid_t thread;
  int listener;
  uint64_t call;
};

// A question: whether its call waits still. When it was killed, its number may be another's already.
bool caller_waits(const struct caller *caller);
// A call: opens a file of its folder in /proc: what is opened is the caller's. ESRCH when its call waits no longer.
int caller_open(const struct caller *caller, const char *name, int flags);
// Calls: read from or write to its memory. How much, or EFAULT or ESRCH.
ssize_t caller_read(const struct caller *caller, uint64_t address, void *data, size_t size);
ssize_t caller_write(const struct caller *caller, uint64_t address, const void *data, size_t size);
