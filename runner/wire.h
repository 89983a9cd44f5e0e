// The bytes of a plan, one field after the other (src/sandbox/wire.ts writes them):
//   "tbuild1\n"  u32 size of the rest  record*  and a record of kind 0 and no fields
//   record = u16 kind  u16 field count  field*      field = u32 length  bytes  NUL
// Integers are little-endian; numbers inside fields are decimal text.
//
// A record is taken in the order of its fields. The first that is not what it should be is kept by fail(); from then on everything that is taken is empty, so
// that plan.c asks once a record.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// `items` ends with NULL.
struct texts {
  char **items;
  size_t count;
};

struct wire {
  char *bytes; // owns every text
  size_t size;
  size_t records; // how many there are, without the last
  char *at;
  unsigned kind;        // of the record that is taken
  unsigned left, taken; // its fields
  char **room;          // for the lists that are to come
  bool failed;
};

// A step: all bytes of the plan, of which every record and field is whole.
bool wire_read(struct wire *wire, int fd);
// A question: whether there is another record, which is taken then. What is left of the one before is a failure.
bool wire_next(struct wire *wire);

char *wire_text(struct wire *wire);
// An absolute one.
char *wire_path(struct wire *wire);
// NULL for "".
char *wire_path_or_none(struct wire *wire);
uint64_t wire_number(struct wire *wire, uint64_t most);
// No other bits than `known`.
uint64_t wire_mask(struct wire *wire, uint64_t known);
bool wire_flag(struct wire *wire);
const char *wire_bytes(struct wire *wire, uint32_t *size);
// What is left of the record: `least` or more.
struct texts wire_texts(struct wire *wire, unsigned least);
struct texts wire_paths(struct wire *wire, unsigned least);
