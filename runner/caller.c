#define _GNU_SOURCE
#include "caller.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <sys/ioctl.h>

#include "io.h"

bool caller_waits(const struct caller *caller) { return ioctl(caller->listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &caller->call) == 0; }

int caller_open(const struct caller *caller, const char *name, int flags) {
  char path[64];
  snprintf(path, sizeof path, "%d/%s", caller->thread, name);
  AUTO_FD fd = openat(caller->proc, path, flags | O_CLOEXEC);
  if (fd < 0) return -1;
  // Asked afterwards: until now the number was the caller's.
  if (caller_waits(caller)) return hand_over(&fd);
  errno = ESRCH;
  return -1;
}

// What the process gave is no memory of its own: that is its mistake, whatever stands in the way.
static ssize_t moved(ssize_t length) {
  if (length > 0) return length;
  errno = EFAULT;
  return -1;
}

ssize_t caller_read(const struct caller *caller, uint64_t address, void *data, size_t size) {
  AUTO_FD memory = caller_open(caller, "mem", O_RDONLY);
  if (memory < 0 && errno == ESRCH) return -1;
  return moved(memory < 0 ? -1 : pread(memory, data, size, (off_t)address));
}

ssize_t caller_write(const struct caller *caller, uint64_t address, const void *data, size_t size) {
  AUTO_FD memory = caller_open(caller, "mem", O_WRONLY);
  if (memory < 0 && errno == ESRCH) return -1;
  return moved(memory < 0 ? -1 : pwrite(memory, data, size, (off_t)address));
}
