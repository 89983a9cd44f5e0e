// chown(2) of an owner that cannot be on disk: it is kept beside the file (src/store/layer-owners.ts).
#pragma once
#include <stdint.h>

#include "identity.h"

// What it works with: /proc, the root of the run, and the file that gets `path NUL uid:gid NUL` of what has no attributes (symlinks, pipes), paths in
// that root, 4294967295 for an id that stays.
struct ownership {
  int proc, root, record;
};

// A question: whether it is one of chown's kind.
bool ownership_knows(int number);
// A reply: does it, with the process's own root and directory.
int64_t ownership_call(const struct ownership *ownership, const struct identity *identity, const struct caller *caller, int number, const uint64_t *arguments);
