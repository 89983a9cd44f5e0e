// Descriptors and small files.
#pragma once
#include <errno.h>
#include <stddef.h>
#include <unistd.h>

// A call: all of it, also to a pipe that does not block. 0, or -1 with errno.
int write_whole(int fd, const void *data, size_t size);
// A call: the beginning of a file of the kernel's, ended by NUL; a single read gives all of what is short. Its length, or -1 with errno (ENODATA: it is empty).
ssize_t read_text(int directory, const char *name, char *text, size_t size);

// What an AUTO_FD gives to its caller.
static inline int hand_over(int *fd) {
  int given = *fd;
  *fd = -1;
  return given;
}

// errno stays that of the call that failed.
static inline void close_fd(const int *fd) {
  int error = errno;
  if (*fd >= 0) close(*fd);
  errno = error;
}

// An fd that ends with its scope.
#define AUTO_FD __attribute__((cleanup(close_fd))) int
