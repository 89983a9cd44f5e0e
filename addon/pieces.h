// What the pieces of a block are, told before anything compresses them. Whole numbers only: every machine answers the same.
#pragma once
#include <stddef.h>
#include <stdint.h>

enum { PIECE = 32 * 1024, WINDOW = 32 * 1024 };

enum piece_kind {
  PIECE_ZEROS,        // nothing but zeros
  PIECE_RANDOM,       // deflate would not make it smaller, or by a hundredth at best
  PIECE_COMPRESSIBLE, // all others
};

// `before` bytes that precede the piece may be looked at.
enum piece_kind kind_of_piece(const uint8_t *piece, size_t length, size_t before);
