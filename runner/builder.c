#define _GNU_SOURCE
#include "builder.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

#include "fail.h"
#include "io.h"

int builder_tell(const char *line, size_t size) {
  struct __attribute__((packed)) {
    struct frame_header header;
    char text[FAIL_LINE];
  } frame = {.header = {.stream = STREAM_STATUS, .length = htole32((uint32_t)size)}};
  if (size > sizeof frame.text) {
    errno = EMSGSIZE;
    return -1;
  }
  memcpy(frame.text, line, size);
  return write_whole(BUILDER, &frame, sizeof frame.header + size);
}

void builder_tell_failure(void) {
  char line[FAIL_LINE];
  (void)builder_tell(line, fail_line(line));
}
