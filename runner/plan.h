// The plan: everything the runner does, decided by src/sandbox/plan.ts. Each record of the wire (wire.h) becomes members of these structures, once; what they may
// be is checked then, before anything is done.
#pragma once
#include <linux/filter.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "wire.h"

// RECORDS of src/sandbox/wire.ts names the fields.
enum record_kind {
  REC_ROOT = 1,
  REC_PROCESS = 2,
  REC_GROUPS = 3,
  REC_ARGS = 4,
  REC_ENV = 5,
  REC_PATH = 6,
  REC_RLIMIT = 7,
  REC_SECCOMP = 8,
  REC_CGROUP = 9,
  REC_OOM = 10,
  REC_SHOWN = 11,
  REC_OWNERS = 12,
  REC_FS = 16,
  REC_BIND = 17,
  REC_VIEW = 18,
  REC_FILE = 19,
  REC_DEVICE = 20,
  REC_LINK = 21,
  REC_MASK = 22,
  REC_READONLY = 23,
};

enum mount_flag {
  MOUNT_PLAIN = 1,     // the target must be an ordinary directory, reached without a symlink
  MOUNT_USER = 2,      // asked for by the Dockerfile: refused in /proc and /sys
  MOUNT_RECURSIVE = 4, // a bind with its submounts
  MOUNT_KEEP = 8,      // a mount point that had to be made stays in the layer
};

// One step of the set-up of the root.
struct mount {
  enum record_kind kind; // REC_FS and those after it
  const char *target;    // in the root
  // Of REC_FS, REC_BIND, REC_VIEW and REC_FILE:
  uint64_t attributes; // MOUNT_ATTR_*
  unsigned flags;      // enum mount_flag
  union {
    struct {
      const char *type;
      struct texts options; // "key" or "key=value"
    } fs;
    struct {
      const char *source; // of the host
      const char *path;   // inside it; "" is the source itself
    } bind;
    struct {
      const char *path; // inside the view
      bool writable;
      const char *options;
      struct texts layers; // topmost first
    } view;
    struct {
      mode_t mode;
      uid_t uid;
      gid_t gid;
      const char *data;
      uint32_t size;
    } file;
    struct {
      const char *source; // of the host
      dev_t number;
    } device;
    struct {
      const char *text;
    } link;
  };
};

struct limit {
  int resource;
  struct rlimit values;
};

struct plan {
  struct {
    const char *upper, *work;
    const char *options;   // comma separated, e.g. "userxattr,volatile"
    const char *directory; // the root instead of an overlay, or NULL
    struct texts layers;   // topmost first
  } root;
  const char *hostname, *cwd;
  uint64_t namespaces; // CLONE_NEW*; none: chroot(2) into a directory, nothing is mounted
  uid_t uid;           // who owns on disk what is the user's
  gid_t gid;
  uint64_t capabilities; // mask
  bool skip_setgroups;
  bool scoped; // no abstract sockets of others
  gid_t *groups;
  size_t group_count;
  struct texts args, env;
  struct texts path; // directories in which args[0] is looked up
  struct limit *limits;
  size_t limit_count;
  // NULL and 0 where there is none. What init changes in it is its own copy.
  struct sock_filter *filter;
  unsigned short filter_length;
  const char **cgroups; // directories to make and to enter
  size_t cgroup_count;
  const char *oom_counter; // a file with an "oom_kill N" line, or NULL
  bool is_shown;           // the one owner has other names in the command's own user namespace:
  uid_t shown_uid;
  gid_t shown_gid;
  const char *owners; // a file that gets the owners of symlinks and the like (ownership.h): the filter asks the warden. Or NULL
  struct mount *mounts;
  size_t mount_count;
};

// A step: takes the plan from fd. What it points to lasts as long as the process.
bool plan_read(struct plan *plan, int fd);
