#define _GNU_SOURCE
#include "io.h"

#include <fcntl.h>
#include <poll.h>

int write_whole(int fd, const void *data, size_t size) {
  for (const char *at = data; size > 0;) {
    ssize_t count = write(fd, at, size);
    if (count < 0 && errno == EAGAIN) {
      struct pollfd wait = {.fd = fd, .events = POLLOUT};
      poll(&wait, 1, -1);
      continue;
    }
    if (count < 0 && errno != EINTR) return -1;
    if (count > 0) at += count, size -= (size_t)count;
  }
  return 0;
}

ssize_t read_text(int directory, const char *name, char *text, size_t size) {
  AUTO_FD fd = openat(directory, name, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return -1;
  ssize_t length = read(fd, text, size - 1);
  if (length < 0) return -1;
  text[length] = '\0';
  if (length > 0) return length;
  errno = ENODATA;
  return -1;
}
