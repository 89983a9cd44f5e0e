// The mount API by file descriptor: nothing here takes a path of an image. All are calls; those that make a mount give its descriptor, and it is detached.
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "wire.h"

// A new file system. `options` and `more` ("": none) are "key" or "key=value".
int fs_create(const char *type, struct texts options, const char *more, uint64_t attributes);

// `upper` NULL: read-only. `scratch` is a directory of this mount namespace that may be covered for a moment.
struct overlay {
  const char *upper, *work, *scratch;
  const char *options; // comma separated, e.g. "userxattr,volatile"
  struct texts lowers; // topmost first
  uint64_t attributes;
};
int overlay_create(const struct overlay *overlay);

// A mount of a directory of the host, without what is mounted below it.
int directory_clone(const char *path, uint64_t attributes);
// A copy of what fd refers to, with its submounts or without.
int tree_clone(int fd, bool recursive, uint64_t attributes);
// Puts a mount on the file or directory that target refers to.
int tree_attach(int mount, int target);
