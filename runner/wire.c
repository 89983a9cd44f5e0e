#define _GNU_SOURCE
#include "wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fail.h"
#include "io.h"

#define MAGIC "tbuild1\n"
// More than any Dockerfile asks for.
enum { MOST_BYTES = 64 << 20, MOST_RECORDS = 1 << 16 };

static bool read_all(int fd, void *buffer, size_t size) {
  for (size_t done = 0; done < size;) {
    ssize_t got = read(fd, (char *)buffer + done, size - done);
    if (got < 0 && errno == EINTR) continue;
    if (got == 0) errno = 0;
    if (got <= 0) return fail("plan: it ends early");
    done += (size_t)got;
  }
  return true;
}

static uint16_t u16(const char *at) {
  uint16_t value;
  memcpy(&value, at, sizeof value);
  return value;
}

static uint32_t u32(const char *at) {
  uint32_t value;
  memcpy(&value, at, sizeof value);
  return value;
}

enum { RECORD_HEADER = 4, FIELD_HEADER = 4 };

// A question: whether every record and field is inside of the bytes and ends as it should; counts them.
static bool is_whole(struct wire *wire, size_t *fields) {
  const char *at = wire->bytes, *end = at + wire->size;
  for (*fields = wire->records = 0; end - at >= RECORD_HEADER; wire->records++) {
    unsigned kind = u16(at), count = u16(at + 2);
    at += RECORD_HEADER;
    if (kind == 0) return count == 0 && at == end;
    for (unsigned i = 0; i < count; i++) {
      if (end - at < FIELD_HEADER) return false;
      size_t length = u32(at), room = (size_t)(end - at) - FIELD_HEADER;
      if (length >= room || at[FIELD_HEADER + length] != '\0') return false;
      at += FIELD_HEADER + length + 1;
    }
    *fields += count;
  }
  return false;
}

bool wire_read(struct wire *wire, int fd) {
  struct {
    char magic[8];
    uint32_t size;
  } header;
  size_t fields;
  *wire = (struct wire){0};
  if (!read_all(fd, &header, sizeof header)) return false;
  errno = 0;
  if (memcmp(header.magic, MAGIC, sizeof header.magic) != 0 || header.size > MOST_BYTES) return fail("plan: not a plan of this version");
  wire->size = header.size;
  wire->at = wire->bytes = malloc(wire->size + 1);
  if (!wire->bytes) return fail("memory for a plan of %zu bytes", wire->size);
  if (!read_all(fd, wire->bytes, wire->size)) return false;
  errno = 0;
  if (!is_whole(wire, &fields) || wire->records > MOST_RECORDS) return fail("plan: malformed");
  // Each list ends with one more.
  wire->room = calloc(fields + wire->records, sizeof *wire->room);
  return wire->room || fields + wire->records == 0 || fail("memory for a plan of %zu fields", fields);
}

static void refuse(struct wire *wire) {
  errno = 0;
  wire->failed = true;
  fail("plan: field %u of record %u is not valid", wire->taken, wire->kind);
}

bool wire_next(struct wire *wire) {
  if (wire->left > 0) refuse(wire);
  if (wire->failed) return false;
  wire->kind = u16(wire->at);
  wire->left = u16(wire->at + 2);
  wire->taken = 0;
  wire->at += RECORD_HEADER;
  return wire->kind != 0;
}

// An empty one after a failure, which the bytes end with.
static char *take(struct wire *wire, uint32_t *length) {
  if (wire->left == 0 && !wire->failed) refuse(wire);
  if (wire->failed) {
    *length = 0;
    return wire->bytes + wire->size - 1;
  }
  char *data = wire->at + FIELD_HEADER;
  *length = u32(wire->at);
  wire->at = data + *length + 1;
  wire->left--;
  wire->taken++;
  return data;
}

char *wire_text(struct wire *wire) {
  uint32_t length;
  char *text = take(wire, &length);
  if (memchr(text, '\0', length)) refuse(wire);
  return text;
}

char *wire_path_or_none(struct wire *wire) {
  char *path = wire_text(wire);
  if (*path != '/' && *path != '\0') refuse(wire);
  return *path ? path : NULL;
}

char *wire_path(struct wire *wire) {
  char *path = wire_text(wire);
  if (*path != '/') refuse(wire);
  return path;
}

static bool is_decimal(const char *text, uint32_t length, uint64_t *value) {
  if (length == 0 || length > 20) return false;
  *value = 0;
  for (const char *at = text; at < text + length; at++) {
    unsigned digit = (unsigned char)*at - '0';
    if (digit > 9 || __builtin_mul_overflow(*value, 10, value) || __builtin_add_overflow(*value, digit, value)) return false;
  }
  return true;
}

uint64_t wire_number(struct wire *wire, uint64_t most) {
  uint32_t length;
  uint64_t value;
  const char *text = take(wire, &length);
  if (is_decimal(text, length, &value) && value <= most) return value;
  refuse(wire);
  return 0;
}

uint64_t wire_mask(struct wire *wire, uint64_t known) {
  uint64_t value = wire_number(wire, UINT64_MAX);
  if (value & ~known) refuse(wire);
  return value & known;
}

bool wire_flag(struct wire *wire) { return wire_number(wire, 1) == 1; }

const char *wire_bytes(struct wire *wire, uint32_t *size) { return take(wire, size); }

static struct texts take_list(struct wire *wire, unsigned least, char *(*take_one)(struct wire *)) {
  struct texts list = {.items = wire->room};
  if (wire->left < least) refuse(wire);
  while (wire->left > 0 && !wire->failed) list.items[list.count++] = take_one(wire);
  wire->room += list.count + 1;
  return list;
}

struct texts wire_texts(struct wire *wire, unsigned least) { return take_list(wire, least, wire_text); }
struct texts wire_paths(struct wire *wire, unsigned least) { return take_list(wire, least, wire_path); }
