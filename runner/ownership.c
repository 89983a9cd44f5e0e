#define _GNU_SOURCE
#include "ownership.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>

#include "io.h"

static const char attribute[] = "user.tbuild.owner";

struct change {
  int directory; // descriptor of the process, or AT_FDCWD
  bool by_name;  // otherwise the descriptor itself
  uint64_t path; // address in the process
  uint32_t uid, gid;
  int flags; // AT_SYMLINK_NOFOLLOW, AT_EMPTY_PATH
};

bool ownership_knows(int number) {
#ifdef SYS_chown
  if (number == SYS_chown || number == SYS_lchown) return true;
#endif
  return number == SYS_fchown || number == SYS_fchownat;
}

static struct change change_of(int number, const uint64_t *arguments) {
  uint32_t second = (uint32_t)arguments[1], third = (uint32_t)arguments[2];
#ifdef SYS_chown
  if (number == SYS_chown || number == SYS_lchown) {
    return (struct change){AT_FDCWD, true, arguments[0], second, third, number == SYS_lchown ? AT_SYMLINK_NOFOLLOW : 0};
  }
#endif
  if (number == SYS_fchown) return (struct change){(int)arguments[0], false, 0, second, third, 0};
  return (struct change){(int)arguments[0], true, arguments[1], third, (uint32_t)arguments[3], (int)arguments[4]};
}

// A call.
static int read_path(const struct caller *caller, uint64_t address, char path[PATH_MAX]) {
  ssize_t length = caller_read(caller, address, path, PATH_MAX);
  if (length < 0) return -1;
  if (memchr(path, '\0', (size_t)length)) return 0;
  // Where less than that came, memory ends before the path does.
  errno = length == PATH_MAX ? ENAMETOOLONG : EFAULT;
  return -1;
}

// A call: a descriptor of the process.
static int open_descriptor(const struct caller *caller, int number) {
  char name[32];
  // No name but a number: the folder of descriptors itself is one of the machine's /proc, from which a path leads anywhere.
  errno = EBADF;
  if (number < 0) return -1;
  snprintf(name, sizeof name, "fd/%d", number);
  int fd = caller_open(caller, name, O_PATH);
  if (fd < 0 && errno == ENOENT) errno = EBADF;
  return fd;
}

// A call: opens what the process means, from its root and its directory: the kernel resolves it as for the process.
static int open_target(const struct caller *caller, const struct change *change) {
  char path[PATH_MAX] = "";
  if (change->by_name && read_path(caller, change->path, path) < 0) return -1;
  bool is_itself = !change->by_name || (path[0] == '\0' && (change->flags & AT_EMPTY_PATH));
  errno = ENOENT;
  if (!is_itself && path[0] == '\0') return -1;
  AUTO_FD root = caller_open(caller, "root", O_PATH);
  if (root < 0) return -1;
  bool is_from_here = change->by_name && (path[0] == '/' || change->directory == AT_FDCWD);
  AUTO_FD base = is_from_here ? caller_open(caller, "cwd", O_PATH) : open_descriptor(caller, change->directory);
  if (base < 0 || is_itself) return hand_over(&base);
  if (fchdir(root) < 0 || chroot(".") < 0) return -1;
  int target = openat(base, path, O_PATH | O_CLOEXEC | ((change->flags & AT_SYMLINK_NOFOLLOW) ? O_NOFOLLOW : 0));
  // A link that leads to the process's own files, as /dev/stdout does, or nowhere: that link.
  return target < 0 && errno == ENOENT ? openat(base, path, O_PATH | O_CLOEXEC | O_NOFOLLOW) : target;
}

// The name of an open file for calls that take no descriptor; to be used from /proc.
static void name_of(int file, char name[32]) { snprintf(name, 32, "self/fd/%d", file); }

static void note(const struct ownership *ownership, int file, const struct change *change) {
  char name[32], record[PATH_MAX + 32];
  name_of(file, name);
  // By its path in the run's root: the process may have another one.
  if (fchdir(ownership->root) < 0 || chroot(".") < 0) return;
  ssize_t length = readlinkat(ownership->proc, name, record, PATH_MAX - 1);
  if (length <= 0 || record[0] != '/') return;
  record[length] = '\0';
  int size = (int)length + 1 + snprintf(record + length + 1, 32, "%u:%u", change->uid, change->gid) + 1;
  // What is not noted is lost, no more: the command goes on.
  if (write(ownership->record, record, (size_t)size) < 0) return;
}

// A reply.
static int64_t keep(const struct ownership *ownership, int file, const struct change *change) {
  char name[32], text[64] = "";
  struct stat stat;
  uint32_t uid = 0, gid = 0;
  name_of(file, name);
  if (fchdir(ownership->proc) < 0 || fstat(file, &stat) < 0) return -errno;
  bool carries = S_ISREG(stat.st_mode) || S_ISDIR(stat.st_mode);
  ssize_t length = carries ? getxattr(name, attribute, text, sizeof text - 1) : -1;
  if (length > 0) {
    text[length] = '\0';
    sscanf(text, "%u:%u", &uid, &gid);
  }
  if (change->uid != UINT32_MAX) uid = change->uid;
  if (change->gid != UINT32_MAX) gid = change->gid;
  snprintf(text, sizeof text, "%u:%u", uid, gid);
  if (carries && (uid || gid ? setxattr(name, attribute, text, strlen(text), 0) : removexattr(name, attribute)) == 0) return 0;
  if (carries && errno != ENODATA && errno != EPERM && errno != EOPNOTSUPP) return -errno;
  if (!carries) note(ownership, file, change);
  return 0;
}

// Only root gives files away; others may give theirs to a group of their own.
static bool may_give(const struct identity *identity, const struct change *change) {
  if (identity->user.fs == 0) return true;
  if (change->uid != UINT32_MAX && change->uid != identity->user.fs) return false;
  bool member = change->gid == UINT32_MAX || change->gid == identity->group.fs;
  for (int i = 0; i < identity->group_count; i++) member |= change->gid == identity->groups[i];
  return member;
}

int64_t ownership_call(const struct ownership *ownership, const struct identity *identity, const struct caller *caller, int number, const uint64_t *arguments) {
  struct change change = change_of(number, arguments);
  if (change.flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) return -EINVAL;
  AUTO_FD file = open_target(caller, &change);
  if (file < 0) return -errno;
  if (!may_give(identity, &change)) return -EPERM;
  // What the kernel does besides: it takes setuid bits away, and refuses where nothing may be written.
  uid_t uid = change.uid == UINT32_MAX ? UINT32_MAX : 0;
  gid_t gid = change.gid == UINT32_MAX ? UINT32_MAX : 0;
  if (fchownat(file, "", uid, gid, AT_EMPTY_PATH) < 0) return -errno;
  return keep(ownership, file, &change);
}
