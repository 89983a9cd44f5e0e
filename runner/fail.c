#define _GNU_SOURCE
#include "fail.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static char recorded[1024];
static int recorded_errno;

int fail(const char *format, ...) {
  int error = errno;
  if (recorded[0] != '\0') return -1;
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(recorded, sizeof recorded, format, arguments);
  va_end(arguments);
  recorded_errno = error;
  return -1;
}

// Names in the text come from images: one line, no terminal escapes.
static void make_printable(char *text) {
  for (; *text; text++) {
    if ((unsigned char)*text < ' ' || *text == 0x7f) *text = '?';
  }
}

void fail_report(int status_fd) {
  char line[1400];
  make_printable(recorded);
  int length = recorded_errno == 0 ? snprintf(line, sizeof line, "error 0 %s\n", recorded)
                                   : snprintf(line, sizeof line, "error %d %s: %s\n", recorded_errno, recorded, strerror(recorded_errno));
  if (write(status_fd, line, (size_t)length) < 0) _exit(125);
}
