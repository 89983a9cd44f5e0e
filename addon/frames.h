// One frame of zstd (RFC 8878), made of pieces that are compressed by themselves, in the way of zstd's own threads. The bytes depend on the arguments only, not
// on the processor. Knows nothing of Node.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

// Bytes of a piece, and of what it sees of the one before it: the frame's parameters are chosen for so many.
enum { FRAME_PIECE = 3584 * 1024, FRAME_WINDOW = 512 * 1024 };

typedef struct {
  const uint8_t *bytes; // `window` bytes of the piece before, none for the first; then those that are wanted
  size_t window;
  size_t length; // of all
  int level;     // 0, zstd's own, to 22
  bool last;     // the frame ends here
} FramePiece;

// Bytes that frame_piece() may write.
size_t frame_bound(const FramePiece *piece);
// A call: the number of bytes written to `out`; -1 with errno. The checksum of a frame of several pieces is not written, but announced: it follows the last one.
ssize_t frame_piece(const FramePiece *piece, uint8_t *out);
