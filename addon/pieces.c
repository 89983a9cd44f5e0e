#include "pieces.h"

#include <endian.h>
#include <stdbool.h>
#include <string.h>

// Bytes that are counted: so many runs, evenly spread.
enum { RUNS = 16, RUN = 256, SAMPLE = RUNS * RUN };

// What chi-squared may be when bytes are taken for evenly distributed: 255 is expected of random ones, with a deviation of 23. By E more, bytes are worth
// E / (2 × SAMPLE × ln 2) bits less than eight, at this limit 0.3 %. Higher limits store what holds many small compressed files, and lose the headers between.
enum { CHI_SQUARED_LIMIT = 400 };

// Byte after which content is compared with earlier content: any that random data have as often as others.
enum { ANCHOR = 0xa7 };
enum { SLOTS_LOG2 = 10 };
// A piece of which one anchor in so many repeats what was there before is worth compressing.
enum { REPEATS_OF = 32 };

static bool is_zeros(const uint8_t *bytes, size_t length) { return bytes[0] == 0 && memcmp(bytes, bytes + 1, length - 1) == 0; }

static bool is_even(const uint8_t *piece, size_t length) {
  uint32_t counts[256] = {0};
  for (size_t run = 0; run < RUNS; run++) {
    const uint8_t *at = piece + run * (length / RUNS);
    for (size_t index = 0; index < RUN; index++) counts[at[index]]++;
  }
  uint64_t squares = 0;
  for (size_t value = 0; value < 256; value++) squares += (uint64_t)counts[value] * counts[value];
  // chi² = 256 × Σ counts² / SAMPLE - SAMPLE
  return squares * 256 <= (uint64_t)SAMPLE * SAMPLE + (uint64_t)SAMPLE * CHI_SQUARED_LIMIT;
}

static uint64_t word_at(const uint8_t *bytes) {
  uint64_t word;
  memcpy(&word, bytes, sizeof word);
  return le64toh(word);
}

// Evenly distributed bytes may still be there twice: a compressed file and its copy. Compares what follows each anchor with what followed the last one of
// the same hash, which finds every second copy of more than a few hundred bytes whatever its distance, and costs what memchr does.
static bool has_repeats(const uint8_t *piece, size_t length, size_t before) {
  uint32_t slots[1 << SLOTS_LOG2] = {0};
  const uint8_t *start = piece - before, *end = piece + length - sizeof(uint64_t);
  size_t anchors = 0, repeats = 0;
  for (const uint8_t *at = start; at < end && (at = memchr(at, ANCHOR, (size_t)(end - at))) != NULL; at++) {
    uint64_t word = word_at(at + 1);
    uint32_t *slot = &slots[(word * UINT64_C(0x9E3779B97F4A7C15)) >> (64 - SLOTS_LOG2)];
    if (at >= piece) {
      anchors++;
      // 0 is free; what it stands for is one place too late, where no anchor was.
      if (*slot != 0 && (size_t)(at - start) - (*slot - 1) <= WINDOW && word_at(start + *slot) == word) repeats++;
    }
    *slot = (uint32_t)(at - start) + 1;
  }
  return repeats * REPEATS_OF > anchors;
}

enum piece_kind kind_of_piece(const uint8_t *piece, size_t length, size_t before) {
  if (is_zeros(piece, length)) return PIECE_ZEROS;
  if (length < SAMPLE || !is_even(piece, length)) return PIECE_COMPRESSIBLE;
  return has_repeats(piece, length, before < WINDOW ? before : WINDOW) ? PIECE_COMPRESSIBLE : PIECE_RANDOM;
}
