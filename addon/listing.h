// The names of an open directory: records { u8 d_type, u16le length, name }, one after the other.
#pragma once
#include <stddef.h>
#include <stdint.h>

enum { RECORD_HEADER = 3 };

typedef struct {
  uint8_t *bytes; // the caller frees it
  size_t used, room;
} Listing;

// A call: adds all but . and .. in the order of the file system.
int list_entries(int fd, Listing *listing);
