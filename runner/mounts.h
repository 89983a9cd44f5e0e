// Makes the mounts of a plan inside init's own mount namespace.
#pragma once
#include "plan.h"
#include "walk.h"

struct rootfs {
  int fd;                  // the root overlay, detached until rootfs_enter
  uint64_t device;         // its st_dev
  const char *stage;       // a host directory that a private tmpfs covers: file data and throw-away uppers
  const char *attach;      // a host directory that the root covers
  struct stub_list *stubs; // shared with the supervisor
};

// A step, in the supervisor: mounts the layers (detached).
bool rootfs_create(struct rootfs *rootfs, const struct plan *plan);
// A step, in init: attaches the root, makes every mount in order, makes the working directory, changes the root.
bool rootfs_enter(struct rootfs *rootfs, const struct plan *plan);
// In the supervisor, when nothing of the run is left: removes mount points that were made and are still empty, restores what making them changed,
// and empties the work directory.
void stubs_remove(const struct rootfs *rootfs, const struct plan *plan);
