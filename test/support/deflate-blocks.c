// Deflates standard input as src/tar/gzip.ts does, without Node, so that other processors can be asked: deflate-blocks LEVEL. Standard output is the raw stream.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../addon/blocks.h"
#include "../../addon/pieces.h"

enum { BLOCK_SIZE = 512 * 1024, MOST = 64 * 1024 * 1024 };

int main(int count, char **arguments) {
  uint8_t *bytes = malloc(MOST);
  if (count != 2 || bytes == NULL) return 2;
  size_t length = fread(bytes, 1, MOST, stdin), at = 0;
  do {
    size_t window = at < WINDOW ? at : WINDOW, size = length - at < BLOCK_SIZE ? length - at : BLOCK_SIZE;
    Block block = {.bytes = bytes + at - window, .window = window, .length = window + size, .level = atoi(arguments[1]), .last = at + size == length};
    uint8_t *out = malloc(deflated_bound(&block));
    ssize_t written = out == NULL ? -1 : deflate_block(&block, out);
    if (written < 0 || fwrite(out, 1, (size_t)written, stdout) != (size_t)written) return 1;
    free(out);
    at += size;
  } while (at < length);
  return fflush(stdout) == 0 ? 0 : 1;
}
