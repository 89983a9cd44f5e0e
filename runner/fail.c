#define _GNU_SOURCE
#include "fail.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static char kept[1024];
static int kept_errno;

bool fail(const char *format, ...) {
  int error = errno;
  if (kept[0] != '\0') return false;
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(kept, sizeof kept, format, arguments);
  va_end(arguments);
  kept_errno = error;
  return false;
}

// Names in the text come from images: one line, no terminal escapes.
static void make_printable(char *text) {
  for (; *text; text++) {
    if ((unsigned char)*text < ' ' || *text == 0x7f) *text = '?';
  }
}

size_t fail_line(char line[FAIL_LINE]) {
  make_printable(kept);
  int length = kept_errno == 0 ? snprintf(line, FAIL_LINE, "error 0 %s\n", kept)
                               : snprintf(line, FAIL_LINE, "error %d %s: %s\n", kept_errno, kept, strerror(kept_errno));
  return (size_t)length;
}

void fail_forget(void) { kept[0] = '\0'; }
