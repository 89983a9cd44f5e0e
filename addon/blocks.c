#include "blocks.h"

#include <errno.h>
#include <string.h>

#include "../third-party/libdeflate/libdeflate.h"
#include "pieces.h"

// What comes out, and where.
typedef struct {
  uint8_t *at, *end;
} Output;

// ---- what does not compress

enum { STORED_HEADER = 5, STORED_LIMIT = 65535 };

static void put_stored(Output *output, const uint8_t *bytes, size_t length, bool final) {
  do {
    size_t part = length < STORED_LIMIT ? length : STORED_LIMIT;
    const uint8_t header[STORED_HEADER] = {final && part == length, (uint8_t)part, (uint8_t)(part >> 8), (uint8_t)~part, (uint8_t)(~part >> 8)};
    memcpy(output->at, header, sizeof header);
    memcpy(output->at + sizeof header, bytes, part);
    output->at += sizeof header + part;
    bytes += part;
    length -= part;
  } while (length > 0);
}

// ---- zeros

typedef struct {
  Output *output;
  uint32_t bits; // not yet written, the next one lowest
  unsigned count;
} BitWriter;

static void put_bits(BitWriter *writer, uint32_t bits, unsigned count) {
  writer->bits |= bits << writer->count;
  for (writer->count += count; writer->count >= 8; writer->count -= 8, writer->bits >>= 8) *writer->output->at++ = (uint8_t)writer->bits;
}

// Codes of the block below, as they stand in the stream. A match is 258 bytes at distance 1.
enum { ZERO = 1, END = 3, LENGTH_CODE_BITS = 2, MATCH_LENGTH = 258 };

// A block whose codes are literal 0: 10, end of block: 11, length 258: 0, distance 1: 0 — so that each match is two zero bits, and the block a memset.
static void put_zeros_header(BitWriter *writer, bool final) {
  enum { ONE = 1, TWO = 3, REPEAT = 0 }; // the code's own codes: lengths 1 and 2 have two bits, runs of zeros (18) one
  put_bits(writer, final, 1);
  put_bits(writer, 2, 2);
  put_bits(writer, 286 - 257, 5);
  put_bits(writer, 1 - 1, 5);
  put_bits(writer, 18 - 4, 4);
  // In the order of RFC 1951, 3.2.7: 16 17 18 0 8 7 9 6 10 5 11 4 12 3 13 2 14 1.
  const uint8_t lengths[18] = {[2] = 1, [15] = 2, [17] = 2};
  for (size_t index = 0; index < sizeof lengths; index++) put_bits(writer, lengths[index], 3);
  put_bits(writer, TWO, 2);
  put_bits(writer, REPEAT, 1);
  put_bits(writer, 138 - 11, 7);
  put_bits(writer, REPEAT, 1);
  put_bits(writer, 117 - 11, 7);
  put_bits(writer, TWO, 2);
  put_bits(writer, REPEAT, 1);
  put_bits(writer, 28 - 11, 7);
  put_bits(writer, ONE, 2);
  put_bits(writer, ONE, 2);
}

// What follows begins at a byte: after an empty stored block, where the stream goes on.
static void end_at_byte(BitWriter *writer, bool final) {
  if (!final) put_bits(writer, 0, 3);
  if (writer->count > 0) put_bits(writer, 0, 8 - writer->count);
  if (final) return;
  const uint8_t lengths[] = {0, 0, 0xff, 0xff};
  memcpy(writer->output->at, lengths, sizeof lengths);
  writer->output->at += sizeof lengths;
}

static void put_zeros(Output *output, size_t length, bool final) {
  BitWriter writer = {.output = output};
  put_zeros_header(&writer, final);
  put_bits(&writer, ZERO, 2);
  size_t matches = (length - 1) / MATCH_LENGTH, literals = (length - 1) % MATCH_LENGTH;
  for (; matches % 4 != 0; matches--) put_bits(&writer, 0, 2);
  size_t whole = matches / 4;
  if (whole > 0) {
    put_bits(&writer, 0, 8);
    memset(output->at, 0, whole - 1);
    output->at += whole - 1;
  }
  for (; literals > 0; literals--) put_bits(&writer, ZERO, LENGTH_CODE_BITS);
  put_bits(&writer, END, 2);
  end_at_byte(&writer, final);
}

// ---- a block

// Pieces of one kind that follow one another.
typedef struct {
  enum piece_kind kind;
  size_t start, end;
} Run;

static enum piece_kind kind_at(const Block *block, size_t at, size_t end) {
  return block->level == 0 ? PIECE_RANDOM : kind_of_piece(block->bytes + at, end - at, at);
}

static size_t piece_end(const Block *block, size_t start) { return block->length - start < PIECE ? block->length : start + PIECE; }

// The run that begins at `start`. `next` is the kind of the piece there, and becomes that of the one behind the run: each is looked at once.
static Run run_at(const Block *block, size_t start, enum piece_kind *next) {
  Run run = {.kind = *next, .start = start, .end = piece_end(block, start)};
  while (run.end < block->length && (*next = kind_at(block, run.end, piece_end(block, run.end))) == run.kind) run.end = piece_end(block, run.end);
  return run;
}

static void put_compressed(Output *output, const Block *block, const Run *run, bool final, struct libdeflate_compressor *compressor) {
  size_t window = run->start < WINDOW ? run->start : WINDOW, room = (size_t)(output->end - output->at);
  size_t written = libdeflate_deflate_compress_part(compressor, block->bytes + run->start - window, window, window + run->end - run->start, final, output->at, room);
  output->at += written;
}

static void put_run(Output *output, const Block *block, const Run *run, struct libdeflate_compressor *compressor) {
  bool final = block->last && run->end == block->length;
  const uint8_t *bytes = block->bytes + run->start;
  if (run->kind == PIECE_ZEROS) put_zeros(output, run->end - run->start, final);
  else if (run->kind == PIECE_RANDOM) put_stored(output, bytes, run->end - run->start, final);
  else put_compressed(output, block, run, final, compressor);
}

// libdeflate stores blocks that would grow, of 5000 bytes at least; each run may end with less than 16 bytes of its own.
size_t deflated_bound(const Block *block) {
  size_t length = block->length - block->window, runs = length / PIECE + 1;
  return length + STORED_HEADER * (length / 5000 + 1) + runs * 256;
}

ssize_t deflate_block(const Block *block, uint8_t *out) {
  Output output = {.at = out, .end = out + deflated_bound(block)};
  if (block->window == block->length) {
    if (block->last) put_stored(&output, block->bytes, 0, true);
    return output.at - out;
  }
  struct libdeflate_compressor *compressor = block->level == 0 ? NULL : libdeflate_alloc_compressor(block->level);
  if (block->level > 0 && compressor == NULL) return errno = ENOMEM, -1;
  enum piece_kind next = kind_at(block, block->window, piece_end(block, block->window));
  for (size_t at = block->window; at < block->length;) {
    Run run = run_at(block, at, &next);
    put_run(&output, block, &run, compressor);
    at = run.end;
  }
  libdeflate_free_compressor(compressor);
  return output.at - out;
}
