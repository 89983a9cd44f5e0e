// The one error convention: a function that can fail returns 0 (or a value >= 0), or calls fail() and returns its -1.
#pragma once
#include <stdlib.h>
#include <unistd.h>

// Records the first failure (step and errno) and returns -1. Text is printf-like; errno is read at entry.
int fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

// Writes the recorded failure to the status pipe as one line: "error <errno> <step>: <strerror>".
void fail_report(int status_fd);

static inline void close_fd(const int *fd) {
  if (*fd >= 0) close(*fd);
}
static inline void free_pointer(void *pointer) { free(*(void **)pointer); }

// An fd or an allocation that ends with its scope.
#define AUTO_FD __attribute__((cleanup(close_fd))) int
#define AUTO_FREE __attribute__((cleanup(free_pointer)))
