#define _GNU_SOURCE
#include "caller.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <sys/ioctl.h>

#include "fail.h"

int caller_waits(const struct caller *caller) { return ioctl(caller->listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &caller->call) == 0; }

int caller_open(const struct caller *caller, const char *name, int flags) {
  char path[64];
  snprintf(path, sizeof path, "%d/%s", caller->thread, name);
  int fd = openat(caller->proc, path, flags | O_CLOEXEC);
  if (fd < 0) return -errno;
  // Asked afterwards: until now the number was the caller's.
  if (caller_waits(caller)) return fd;
  close(fd);
  return -ESRCH;
}

ssize_t caller_read(const struct caller *caller, uint64_t address, void *data, size_t size) {
  AUTO_FD memory = caller_open(caller, "mem", O_RDONLY);
  ssize_t done = memory < 0 ? -1 : pread(memory, data, size, (off_t)address);
  return done > 0 ? done : memory == -ESRCH ? -ESRCH : -EFAULT;
}

ssize_t caller_write(const struct caller *caller, uint64_t address, const void *data, size_t size) {
  AUTO_FD memory = caller_open(caller, "mem", O_WRONLY);
  ssize_t done = memory < 0 ? -1 : pwrite(memory, data, size, (off_t)address);
  return done > 0 ? done : memory == -ESRCH ? -ESRCH : -EFAULT;
}
