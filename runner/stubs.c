#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "io.h"
#include "mounts.h"

// A call. The recorded paths were real (no symlinks) before the run. What the command turned into a symlink since is not followed.
static int open_real_directory(int root, const char *path) {
  struct open_how how = {.flags = O_PATH | O_DIRECTORY | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV};
  return (int)syscall(SYS_openat2, root, path[0] ? path : ".", &how, sizeof how);
}

static void split(const struct stub *stub, char parent[PATH_MAX], const char **name) {
  strcpy(parent, stub->path);
  char *slash = strrchr(parent, '/');
  *name = stub->path + (slash - parent) + 1;
  *slash = '\0';
}

static bool is_same_time(const struct timespec *a, const struct timespec *b) { return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec; }

static bool is_untouched(int root, const struct stub *stub) {
  char parent[PATH_MAX];
  const char *name;
  struct stat stat;
  split(stub, parent, &name);
  AUTO_FD fd = open_real_directory(root, parent);
  return fd >= 0 && fstat(fd, &stat) == 0 && is_same_time(&stat.st_ctim, &stub->parent_ctime);
}

// A question: whether it was, and is gone.
static bool is_removed_if_empty(int parent, const char *name) {
  struct stat stat;
  if (fstatat(parent, name, &stat, AT_SYMLINK_NOFOLLOW) < 0) return false;
  if (S_ISDIR(stat.st_mode)) return unlinkat(parent, name, AT_REMOVEDIR) == 0;
  return S_ISREG(stat.st_mode) && stat.st_size == 0 && unlinkat(parent, name, 0) == 0;
}

static void set_mtime(int directory, struct timespec mtime) {
  struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, mtime};
  // An O_PATH fd cannot be given to futimens.
  AUTO_FD fd = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd >= 0) futimens(fd, times);
}

// A question: whether it is gone.
static bool is_removed(int root, const struct stub *stub, bool untouched) {
  char parent[PATH_MAX];
  const char *name;
  struct stat before;
  split(stub, parent, &name);
  AUTO_FD fd = open_real_directory(root, parent);
  if (fd < 0 || fstat(fd, &before) < 0 || !is_removed_if_empty(fd, name)) return false;
  set_mtime(fd, untouched ? stub->parent_mtime : before.st_mtim);
  return true;
}

// A parent that only our stub had copied up is an empty directory of the upper now, equal to the one below: no change of the command.
static void drop_copied_parent(int upper, const struct stub *stub) {
  char parent[PATH_MAX], *slash;
  strcpy(parent, stub->path);
  *strrchr(parent, '/') = '\0';
  if (!(slash = strrchr(parent, '/'))) return;
  *slash = '\0';
  AUTO_FD fd = open_real_directory(upper, parent);
  if (fd >= 0) unlinkat(fd, slash + 1, AT_REMOVEDIR);
}

// What overlayfs leaves in its work directory where nothing was removed; the builder would take a dozen slower calls for it, and removes what else there may be.
static void empty_work(const char *work) {
  AUTO_FD fd = open(work, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;
  unlinkat(fd, "work/incompat/volatile/dirty", 0);
  unlinkat(fd, "work/incompat/volatile", AT_REMOVEDIR);
  unlinkat(fd, "work/incompat", AT_REMOVEDIR);
  unlinkat(fd, "work", AT_REMOVEDIR);
}

void stubs_remove(const struct rootfs *rootfs, const struct plan *plan) {
  const struct stub_list *stubs = rootfs->stubs;
  enum { KEPT, TOUCHED, UNTOUCHED } state[sizeof stubs->items / sizeof stubs->items[0]];
  for (int i = 0; i < stubs->count; i++) {
    const struct stub *stub = &stubs->items[i];
    state[i] = stub->keep ? KEPT : is_untouched(rootfs->fd, stub) ? UNTOUCHED : TOUCHED;
  }
  for (int i = stubs->count - 1; i >= 0; i--) {
    if (state[i] != KEPT && !is_removed(rootfs->fd, &stubs->items[i], state[i] == UNTOUCHED)) state[i] = KEPT;
  }
  // The overlay is unmounted with its last fd; only then may its upper be changed beneath it.
  close(rootfs->fd);
  if (!plan->root.directory) empty_work(plan->root.work);
  AUTO_FD upper = open(plan->root.upper, O_PATH | O_DIRECTORY | O_CLOEXEC);
  for (int i = stubs->count - 1; i >= 0 && upper >= 0; i--) {
    if (state[i] == UNTOUCHED) drop_copied_parent(upper, &stubs->items[i]);
  }
}
