// In-root path resolution with creation. Every component is opened O_NOFOLLOW from the fd of its parent, so a tree that somebody else changes at the
// same time (a shared cache) cannot lead outside: absolute symlinks start again at the root, `..` stops there.
#pragma once
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

enum { WALK_DEPTH = 256, WALK_LINKS = 255 };

struct walk {
  int fds[WALK_DEPTH + 1]; // O_PATH; fds[0] is the root (borrowed)
  int depth;               // fds[depth] is where the walk stands
  int links;               // symlinks met
  bool missing;            // LEAF_EXISTING: there is nothing of that name
  char path[PATH_MAX];     // the real path: no symlinks, "" for the root, else "/a/b"
};

enum walk_leaf { LEAF_EXISTING, LEAF_DIRECTORY, LEAF_FILE };

// What was made so that a mount has a target, to be removed after the run (M14). Lives in memory that init and the supervisor share.
struct stub {
  char path[PATH_MAX];         // real path of the made node
  struct timespec parent_mtime; // before it was made
  struct timespec parent_ctime; // when the set-up was complete
  bool keep;
};
struct stub_list {
  int count;
  struct stub items[64 * 4];
};

struct walk_options {
  enum walk_leaf leaf;
  bool owned; // made directories belong to uid:gid
  uint32_t uid, gid;
  bool keep_stubs;
  struct stub_list *stubs; // NULL: what is made is not recorded
  uint64_t root_device;    // only what is made on this device is recorded
};

// A step: stands at `path` afterwards. Always followed by walk_close.
bool walk_to(struct walk *walk, int root, const char *path, const struct walk_options *options);
void walk_close(struct walk *walk);
static inline int walk_fd(const struct walk *walk) { return walk->fds[walk->depth]; }
#define AUTO_WALK __attribute__((cleanup(walk_close))) struct walk
