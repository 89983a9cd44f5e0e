// Packs standard input as src/tar/zstd-compress.ts does, without Node, so that other processors can be asked: zstd-pieces LEVEL. Standard output is the frame
// without the checksum that follows several pieces.
#include <stdio.h>
#include <stdlib.h>

#include "../../addon/frames.h"

enum { MOST = 64 * 1024 * 1024 };

int main(int count, char **arguments) {
  uint8_t *bytes = malloc(MOST);
  if (count != 2 || bytes == NULL) return 2;
  size_t length = fread(bytes, 1, MOST, stdin), at = 0;
  do {
    size_t window = at < FRAME_WINDOW ? at : FRAME_WINDOW, size = length - at < FRAME_PIECE ? length - at : FRAME_PIECE;
    FramePiece piece = {.bytes = bytes + at - window, .window = window, .length = window + size, .level = atoi(arguments[1]), .last = at + size == length};
    uint8_t *out = malloc(frame_bound(&piece));
    ssize_t written = out == NULL ? -1 : frame_piece(&piece, out);
    if (written < 0 || fwrite(out, 1, (size_t)written, stdout) != (size_t)written) return 1;
    free(out);
    at += size;
  } while (at < length);
  return fflush(stdout) == 0 ? 0 : 1;
}
