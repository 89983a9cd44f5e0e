// The socket of a run, by which the builder is reached. It sends the plan first; its end tells that the builder is gone, or wants no more of the run. What goes the
// other way are frames: one byte of stream, 32 bits of length (little-endian), bytes.
#pragma once
#include <stddef.h>
#include <stdint.h>

enum { BUILDER = 3 };

// `error <errno> <text>` and `exit <code> <signal> <oom 0|1>`, or what the command prints.
enum stream { STREAM_STATUS, STREAM_OUT, STREAM_ERR };

struct __attribute__((packed)) frame_header {
  uint8_t stream;
  uint32_t length;
};

// A call: a line of STREAM_STATUS in one write, since init and the supervisor both have some. Nobody reads it when the builder is gone.
int builder_tell(const char *line, size_t size);
// Tells the failure that was kept (fail.h).
void builder_tell_failure(void);
