// Deflate blocks (RFC 1951) of one piece of a stream. The bytes depend on the arguments only, not on the processor. Knows nothing of Node.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct {
  const uint8_t *bytes; // `window` bytes that the reader of the stream has already, then those that are wanted
  size_t window;
  size_t length; // of all
  int level;     // 0 to 9
  bool last;     // the stream ends here
} Block;

// Bytes that deflate_block() may write.
size_t deflated_bound(const Block *block);
// A call: the number of bytes written to `out`, which end at a whole byte; -1 with errno.
ssize_t deflate_block(const Block *block, uint8_t *out);
