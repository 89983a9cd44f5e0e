// The thread whose call waits for an answer (seccomp_unotify(2)).
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct caller {
  int proc; // /proc
  pid_t thread;
  int listener;
  uint64_t call;
};

// Whether its call waits still. When it was killed, its number may be another's already.
int caller_waits(const struct caller *caller);
// Opens a file of its folder in /proc: what is opened is the caller's. An fd, or -errno.
int caller_open(const struct caller *caller, const char *name, int flags);
// Reads from or writes to its memory. How much, or -EFAULT or -ESRCH.
ssize_t caller_read(const struct caller *caller, uint64_t address, void *data, size_t size);
ssize_t caller_write(const struct caller *caller, uint64_t address, const void *data, size_t size);
