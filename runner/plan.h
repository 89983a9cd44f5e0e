// The plan: everything the runner does, decided by src/sandbox/plan.ts. Wire format (src/sandbox/wire.ts writes it):
//   "tbuild1\n"  u32 size of the rest  record*
//   record = u16 kind  u16 field count  field*      field = u32 length  bytes  NUL
// Integers are little-endian; numbers inside fields are decimal text. The whole plan is validated before anything is done.
#pragma once
#include <stddef.h>
#include <stdint.h>

enum record_kind {
  REC_END = 0,
  REC_ROOT = 1,      // upper, work, overlay options, directory that is the root instead of an overlay (or ""), lower... (topmost first)
  REC_PROCESS = 2,   // hostname, namespace flags, cwd, uid, gid, capabilities (mask), no-setgroups (0/1), scoped (0/1)
  REC_GROUPS = 3,    // gid...
  REC_ARGS = 4,      // word...
  REC_ENV = 5,       // K=V...
  REC_PATH = 6,      // directories in which args[0] is looked up
  REC_RLIMIT = 7,    // resource, soft, hard
  REC_SECCOMP = 8,   // struct sock_filter[]
  REC_CGROUP = 9,    // directory to create and to enter
  REC_OOM = 10,      // file with an "oom_kill N" line
  REC_SHOWN = 11,    // uid, gid: what the one owner is called in the command's own user namespace
  REC_OWNERS = 12,   // file that gets the owners of symlinks and the like (ownership.h): the filter asks the warden
  REC_FS = 16,       // target, attributes, flags, file system, option...
  REC_BIND = 17,     // target, attributes, flags, source, path inside the source
  REC_VIEW = 18,     // target, attributes, flags, path inside the view, writable, overlay options, directory... (topmost first)
  REC_FILE = 19,     // target, attributes, flags, mode, uid, gid, data
  REC_DEVICE = 20,   // target, source, major, minor
  REC_LINK = 21,     // path, text
  REC_MASK = 22,     // path
  REC_READONLY = 23, // path
};

// Flags of a mount.
enum mount_flag {
  MOUNT_PLAIN = 1,     // the target must be an ordinary directory, reached without a symlink
  MOUNT_USER = 2,      // asked for by the Dockerfile: refused in /proc and /sys
  MOUNT_RECURSIVE = 4, // a bind with its submounts
  MOUNT_KEEP = 8,      // a mount point that had to be made stays in the layer
};

struct field {
  const char *data; // NUL-terminated
  uint32_t length;  // without the NUL
};

struct record {
  enum record_kind kind;
  uint16_t count;
  struct field *fields;
};

struct plan {
  char *bytes; // owns every string below
  struct record *records;
  size_t count;
  struct field *fields;
  // Found by plan_read, never NULL afterwards:
  const struct record *root, *process, *groups, *args, *env, *path;
  // Absent ones are NULL:
  const struct record *seccomp, *oom, *shown, *owners;
  uint64_t namespaces; // none: chroot(2) into a directory, nothing is mounted
  uint64_t capabilities;
  uint32_t uid, gid;
  int skip_setgroups;
  int scoped; // no abstract sockets of others
};

// Reads and validates the plan from fd. 0, or -1 after fail().
int plan_read(struct plan *plan, int fd);
void plan_free(struct plan *plan);

// Strict decimal; -1 (as uint64 max) never escapes: plan_read has checked every numeric field.
uint64_t field_number(const struct field *field);
