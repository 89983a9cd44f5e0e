// runner serve         carries out the plans of a builder (server.h)
// runner serve-chroot  the same for plans without namespaces
// runner userns ...    enters a user namespace (userns.h)
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fail.h"
#include "io.h"
#include "server.h"
#include "sysmount.h"
#include "userns.h"

// Where this program's file is, from the root of this process: asked in another mount namespace, the kernel names it to a process in a chroot from the root outside.
struct self {
  char path[PATH_MAX];
  struct stat file;
};

// A call.
static int find_self(struct self *self) {
  ssize_t length = readlink("/proc/self/exe", self->path, sizeof self->path - 1);
  if (length < 0) return -1;
  self->path[length] = '\0';
  return stat("/proc/self/exe", &self->file);
}

// A call: the same file in the mount namespace that was just made (/proc/self/exe leads to the one before it).
static int open_self(const struct self *self) {
  struct stat found;
  AUTO_FD fd = open(self->path, O_PATH | O_CLOEXEC);
  if (fd < 0 || fstat(fd, &found) < 0) return -1;
  if (found.st_dev == self->file.st_dev && found.st_ino == self->file.st_ino) return hand_over(&fd);
  errno = ESTALE;
  return -1;
}

// CVE-2019-5736: what a run can reach as /proc/self/exe is a read-only mount of this file. Inherited files end here.
static bool run_from_read_only_copy(void) {
  char *args[] = {"tbuild-runner", "serve-copied", NULL}, *env[] = {NULL};
  if (syscall(SYS_close_range, STDERR_FILENO + 1, ~0U, 0) < 0) return fail("close the inherited files");
  struct self runner;
  if (find_self(&runner) < 0) return fail("find the runner");
  if (unshare(CLONE_NEWNS) < 0) return fail("make a mount namespace (it needs root, or a user namespace)");
  // What is mounted and unmounted on the machine while a builder lives is so for its runs, too; nothing goes the other way.
  if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0) return fail("make the mounts one-way");
  AUTO_FD self = open_self(&runner);
  AUTO_FD copy = self < 0 ? -1 : tree_clone(self, false, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID);
  if (copy < 0) return fail("mount the runner read-only");
  execveat(copy, "", args, env, AT_EMPTY_PATH);
  return fail("start the read-only runner");
}

int main(int count, char **words) {
  if (count == 2 && strcmp(words[1], "serve-copied") == 0) return serve(true, false);
  // A run sees no /proc, by which it could reach this program's file.
  if (count == 2 && strcmp(words[1], "serve-chroot") == 0) return serve(false, false);
  if (count == 2 && strcmp(words[1], "serve") == 0) return serve(true, !run_from_read_only_copy());
  if (count > 2 && strcmp(words[1], "userns") == 0) return userns_run(count - 2, words + 2);
  dprintf(STDERR_FILENO, "usage: runner serve|serve-chroot < CONTROL, or runner userns UIDMAP GIDMAP owner|helpers|root COMMAND...\n");
  return 2;
}
