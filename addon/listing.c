#define _GNU_SOURCE
#include "listing.h"

#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

// What getdents64(2) writes; not every C library declares it.
struct kernel_dirent {
  uint64_t d_ino;
  int64_t d_off;
  uint16_t d_reclen;
  uint8_t d_type;
  char d_name[];
};

// A call.
static int add_entry(Listing *listing, const struct kernel_dirent *entry) {
  size_t length = strlen(entry->d_name);
  if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) return 0;
  if (listing->bytes == NULL || listing->used + length + RECORD_HEADER > listing->room) {
    size_t room = listing->room * 2 + 8192;
    uint8_t *larger = realloc(listing->bytes, room);
    if (larger == NULL) return -1;
    listing->bytes = larger;
    listing->room = room;
  }
  uint8_t *at = listing->bytes + listing->used;
  at[0] = entry->d_type;
  at[1] = length & 0xff;
  at[2] = (length >> 8) & 0xff;
  memcpy(at + RECORD_HEADER, entry->d_name, length);
  listing->used += length + RECORD_HEADER;
  return 0;
}

int list_entries(int fd, Listing *listing) {
  char chunk[32768] __attribute__((aligned(8)));
  for (;;) {
    long count = syscall(SYS_getdents64, fd, chunk, sizeof chunk);
    if (count <= 0) return (int)count;
    for (long at = 0; at < count;) {
      const struct kernel_dirent *entry = (const struct kernel_dirent *)(chunk + at);
      if (add_entry(listing, entry) < 0) return -1;
      at += entry->d_reclen;
    }
  }
}
