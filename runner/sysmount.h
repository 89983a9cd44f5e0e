// The mount API by file descriptor: nothing here takes a path of an image.
#pragma once
#include <stdint.h>

#include "plan.h"

// A detached mount. `options` are "key" or "key=value". An fd or -1 with errno.
int fs_create(const char *type, const struct field *options, int count, const char *more, uint64_t attributes);

// A detached overlay: fields from `first` on are the lower directories, topmost first. `upper` NULL: read-only. `scratch` is a directory of this mount
// namespace that may be covered for a moment. An fd or -1 with errno.
struct overlay {
  const char *upper, *work, *scratch;
  const char *options; // comma separated, e.g. "userxattr,volatile"
  const struct field *lowers;
  int lower_count;
  uint64_t attributes;
};
int overlay_create(const struct overlay *overlay);

// A detached mount of a directory of the host, without what is mounted below it.
int directory_clone(const char *path, uint64_t attributes);
// A detached copy of what fd refers to.
int tree_clone(int fd, int recursive, uint64_t attributes);
// Puts a detached mount on the file or directory that target refers to.
int tree_attach(int mount, int target);
