#define _GNU_SOURCE
#include "mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

#include "fail.h"
#include "io.h"
#include "sysmount.h"

// What the mounts share while they are made.
struct mounts {
  struct rootfs *rootfs;
  int stage; // fd of the private tmpfs, -1 until something needs it
  int count; // names used in it
};

bool rootfs_create(struct rootfs *rootfs, const struct plan *plan) {
  struct overlay overlay = {.upper = plan->root.upper, .work = plan->root.work, .scratch = plan->root.work, .options = plan->root.options,
                            .lowers = plan->root.layers,
                            // A device node that the command makes must not open: there is no device cgroup behind it.
                            .attributes = MOUNT_ATTR_NODEV};
  rootfs->stage = plan->root.upper;
  rootfs->attach = plan->root.work;
  const char *directory = plan->root.directory;
  if (plan->namespaces == 0) rootfs->fd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
  else rootfs->fd = directory ? directory_clone(directory, overlay.attributes) : overlay_create(&overlay);
  struct stat stat;
  if (rootfs->fd < 0 && directory) return fail("open the directory of the root");
  if (rootfs->fd < 0 || fstat(rootfs->fd, &stat) < 0) return fail("mount the %zu layers of the root", overlay.lowers.count);
  rootfs->device = stat.st_dev;
  return true;
}

static bool is_kernel_tree(int fd) {
  struct statfs fs;
  return fstatfs(fd, &fs) < 0 || fs.f_type == PROC_SUPER_MAGIC || fs.f_type == SYSFS_MAGIC || fs.f_type == CGROUP2_SUPER_MAGIC;
}

// Puts a tree on the mount's target, making the target when it is missing.
static bool attach(struct mounts *mounts, const struct mount *mount, int tree) {
  struct stat stat;
  if (fstat(tree, &stat) < 0) return fail("mount for %s", mount->target);
  struct walk_options options = {.leaf = S_ISDIR(stat.st_mode) ? LEAF_DIRECTORY : LEAF_FILE, .keep_stubs = mount->flags & MOUNT_KEEP,
                                 .stubs = mounts->rootfs->stubs, .root_device = mounts->rootfs->device};
  AUTO_WALK walk;
  if (!walk_to(&walk, mounts->rootfs->fd, mount->target, &options)) return false;
  errno = 0;
  if (walk.depth == 0) return fail("mount on the root itself (%s)", mount->target);
  if ((mount->flags & MOUNT_PLAIN) && walk.links > 0) return fail("%s of the image must be an ordinary directory, it is a symlink", mount->target);
  if ((mount->flags & MOUNT_USER) && is_kernel_tree(walk_fd(&walk))) return fail("mount target %s is inside /proc or /sys", mount->target);
  return tree_attach(tree, walk_fd(&walk)) == 0 || fail("mount %s", mount->target);
}

// As runc: a tmpfs of the Dockerfile has the mode of the directory that it covers. "" where it covers none.
static bool covered_mode(struct mounts *mounts, const struct mount *mount, char option[16]) {
  option[0] = '\0';
  if (!(mount->flags & MOUNT_USER) || strcmp(mount->fs.type, "tmpfs") != 0) return true;
  struct walk_options options = {.leaf = LEAF_EXISTING};
  struct stat stat;
  AUTO_WALK walk;
  if (!walk_to(&walk, mounts->rootfs->fd, mount->target, &options)) return false;
  if (!walk.missing && fstat(walk_fd(&walk), &stat) == 0) snprintf(option, 16, "mode=%04o", (unsigned)stat.st_mode & 07777);
  return true;
}

static bool apply_fs(struct mounts *mounts, const struct mount *mount) {
  char mode[16];
  if (!covered_mode(mounts, mount, mode)) return false;
  AUTO_FD tree = fs_create(mount->fs.type, mount->fs.options, mode, mount->attributes);
  if (tree < 0) return fail("mount %s on %s", mount->fs.type, mount->target);
  return attach(mounts, mount, tree);
}

// A call: opens `path` inside the directory (or mount) root: the kernel keeps the resolution inside.
static int open_inside(int root, const char *path) {
  struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
  for (int attempt = 0;; attempt++) {
    int fd = (int)syscall(SYS_openat2, root, path[0] ? path : ".", &how, sizeof how);
    // EAGAIN: somebody renamed a directory meanwhile.
    if (fd >= 0 || errno != EAGAIN || attempt == 64) return fd;
  }
}

// Mounts `path` of the tree `root`. What is mounted is the opened file itself, whatever its name means by now.
static bool attach_inside(struct mounts *mounts, const struct mount *mount, int root, const char *path) {
  const char *shown = path[0] ? path : "/";
  AUTO_FD source = open_inside(root, path);
  struct stat stat;
  if (source < 0 || fstat(source, &stat) < 0) return fail("mount source %s for %s", shown, mount->target);
  errno = ELOOP;
  if (S_ISLNK(stat.st_mode)) return fail("mount source %s for %s", shown, mount->target);
  AUTO_FD tree = tree_clone(source, mount->flags & MOUNT_RECURSIVE, mount->attributes);
  if (tree < 0) return fail("bind %s for %s", shown, mount->target);
  return attach(mounts, mount, tree);
}

static bool apply_bind(struct mounts *mounts, const struct mount *mount) {
  AUTO_FD source = open(mount->bind.source, O_PATH | O_CLOEXEC);
  if (source < 0) return fail("open %s", mount->bind.source);
  if (mount->bind.path[0]) return attach_inside(mounts, mount, source, mount->bind.path);
  AUTO_FD tree = tree_clone(source, mount->flags & MOUNT_RECURSIVE, mount->attributes);
  if (tree < 0) return fail("bind %s", mount->bind.source);
  return attach(mounts, mount, tree);
}

// The private tmpfs, mounted on first use over a directory of the host that only this mount namespace sees covered.
static bool stage_open(struct mounts *mounts) {
  if (mounts->stage >= 0) return true;
  char *options[] = {"mode=0700", NULL};
  AUTO_FD tmpfs = fs_create("tmpfs", (struct texts){options, 1}, "", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
  AUTO_FD target = open(mounts->rootfs->stage, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (tmpfs < 0 || target < 0 || tree_attach(tmpfs, target) < 0) return fail("mount a private tmpfs");
  mounts->stage = open(mounts->rootfs->stage, O_PATH | O_DIRECTORY | O_CLOEXEC);
  return mounts->stage >= 0 || fail("open the private tmpfs");
}

// Room for a name in the private tmpfs, and for a path with one.
enum { STAGE_NAME = 16, STAGE_PATH = PATH_MAX + STAGE_NAME };

static bool stage_directory(struct mounts *mounts, char name[STAGE_NAME], char path[STAGE_PATH]) {
  if (!stage_open(mounts)) return false;
  snprintf(name, STAGE_NAME, "%d", mounts->count++);
  snprintf(path, STAGE_PATH, "%s/%s", mounts->rootfs->stage, name);
  return mkdirat(mounts->stage, name, 0755) == 0 || fail("make a private directory");
}

// Several layers, or one that must not be written: an overlay of its own, attached in the private tmpfs so that a part of it can be bound.
static bool apply_view(struct mounts *mounts, const struct mount *mount) {
  char place[STAGE_NAME], name[STAGE_NAME], place_path[STAGE_PATH], upper[STAGE_PATH], work[STAGE_PATH];
  struct overlay overlay = {.options = mount->view.options, .lowers = mount->view.layers, .scratch = place_path, .attributes = MOUNT_ATTR_NODEV};
  if (!stage_directory(mounts, place, place_path)) return false;
  if (mount->view.writable) {
    if (!stage_directory(mounts, name, upper) || !stage_directory(mounts, name, work)) return false;
    overlay.upper = upper;
    overlay.work = work;
  }
  AUTO_FD tree = overlay_create(&overlay);
  AUTO_FD target = openat(mounts->stage, place, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (tree < 0 || target < 0 || tree_attach(tree, target) < 0) return fail("mount the layers for %s", mount->target);
  return attach_inside(mounts, mount, tree, mount->view.path);
}

static bool apply_file(struct mounts *mounts, const struct mount *mount) {
  char name[STAGE_NAME];
  if (!stage_open(mounts)) return false;
  snprintf(name, sizeof name, "%d", mounts->count++);
  AUTO_FD file = openat(mounts->stage, name, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (file < 0 || write_whole(file, mount->file.data, mount->file.size) < 0) return fail("write the file for %s", mount->target);
  if (fchown(file, mount->file.uid, mount->file.gid) < 0) return fail("chown the file for %s", mount->target);
  if (fchmod(file, mount->file.mode) < 0) return fail("chmod the file for %s", mount->target);
  AUTO_FD tree = tree_clone(file, false, mount->attributes);
  if (tree < 0) return fail("bind the file for %s", mount->target);
  return attach(mounts, mount, tree);
}

// A device of the host, bound read-only: writing to a device works, chmod and chown of the host's node do not.
static bool apply_device(struct mounts *mounts, const struct mount *mount) {
  AUTO_FD source = open(mount->device.source, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  struct stat stat;
  if (source < 0 || fstat(source, &stat) < 0) return fail("open %s", mount->device.source);
  errno = 0;
  if (!S_ISCHR(stat.st_mode) || stat.st_rdev != mount->device.number) return fail("%s of this machine is not the device it should be", mount->device.source);
  AUTO_FD tree = tree_clone(source, false, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
  if (tree < 0) return fail("mount %s", mount->target);
  struct walk_options options = {.leaf = LEAF_FILE};
  AUTO_WALK walk;
  if (!walk_to(&walk, mounts->rootfs->fd, mount->target, &options)) return false;
  return tree_attach(tree, walk_fd(&walk)) == 0 || fail("mount %s", mount->target);
}

// A symlink in a directory that this run mounted (/dev).
static bool apply_link(struct mounts *mounts, const struct mount *mount) {
  char folder[PATH_MAX];
  const char *name = strrchr(mount->target, '/') + 1;
  errno = ENAMETOOLONG;
  if (snprintf(folder, sizeof folder, "%.*s", (int)(name - mount->target), mount->target) >= PATH_MAX) return fail("link %s", mount->target);
  struct walk_options options = {.leaf = LEAF_DIRECTORY};
  AUTO_WALK walk;
  if (!walk_to(&walk, mounts->rootfs->fd, folder, &options)) return false;
  return symlinkat(mount->link.text, walk_fd(&walk), name) == 0 || fail("link %s", mount->target);
}

// A call.
static int open_kernel_path(struct mounts *mounts, const char *path) {
  struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS};
  return (int)syscall(SYS_openat2, mounts->rootfs->fd, path, &how, sizeof how);
}

// What a directory is masked with.
static bool open_nothing(struct mounts *mounts, int *fd) {
  char name[STAGE_NAME], path[STAGE_PATH];
  if (!stage_directory(mounts, name, path)) return false;
  *fd = openat(mounts->stage, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
  return *fd >= 0 || fail("open a private directory");
}

// What a file is masked with: the host's own.
static bool open_null(int *fd) {
  struct stat stat;
  *fd = open("/dev/null", O_PATH | O_NOFOLLOW | O_CLOEXEC);
  if (*fd < 0 || fstat(*fd, &stat) < 0) return fail("open /dev/null");
  errno = 0;
  return (S_ISCHR(stat.st_mode) && stat.st_rdev == makedev(1, 3)) || fail("/dev/null of this machine is not the device it should be");
}

// Any failure but a missing target is fatal.
static bool apply_mask(struct mounts *mounts, const struct mount *mount) {
  AUTO_FD target = open_kernel_path(mounts, mount->target);
  AUTO_FD cover = -1;
  struct stat stat;
  if (target < 0 && errno == ENOENT) return true;
  if (target < 0 || fstat(target, &stat) < 0) return fail("mask %s", mount->target);
  bool is_directory = S_ISDIR(stat.st_mode);
  if (!(is_directory ? open_nothing(mounts, &cover) : open_null(&cover))) return false;
  AUTO_FD tree = tree_clone(cover, false, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC | (is_directory ? MOUNT_ATTR_NODEV : 0));
  return (tree >= 0 && tree_attach(tree, target) == 0) || fail("mask %s", mount->target);
}

static bool apply_readonly(struct mounts *mounts, const struct mount *mount) {
  AUTO_FD target = open_kernel_path(mounts, mount->target);
  if (target < 0 && errno == ENOENT) return true;
  AUTO_FD tree = target < 0 ? -1 : tree_clone(target, true, MOUNT_ATTR_RDONLY);
  return (tree >= 0 && tree_attach(tree, target) == 0) || fail("make %s read-only", mount->target);
}

static bool apply(struct mounts *mounts, const struct mount *mount) {
  switch (mount->kind) {
    case REC_FS: return apply_fs(mounts, mount);
    case REC_BIND: return apply_bind(mounts, mount);
    case REC_VIEW: return apply_view(mounts, mount);
    case REC_FILE: return apply_file(mounts, mount);
    case REC_DEVICE: return apply_device(mounts, mount);
    case REC_LINK: return apply_link(mounts, mount);
    case REC_MASK: return apply_mask(mounts, mount);
    case REC_READONLY: return apply_readonly(mounts, mount);
    // plan_read takes no other.
    default: abort();
  }
}

// W4: a missing working directory is made 0755 and belongs to the user. It is no stub: it stays.
static bool make_cwd(const struct rootfs *rootfs, const struct plan *plan) {
  struct walk_options options = {.leaf = LEAF_DIRECTORY, .owned = true, .uid = plan->uid, .gid = plan->gid};
  AUTO_WALK walk;
  return walk_to(&walk, rootfs->fd, plan->cwd, &options);
}

// The parents' change times after the set-up: who has another one later was changed by the command.
static void note_times(const struct rootfs *rootfs) {
  for (int i = 0; i < rootfs->stubs->count; i++) {
    struct stub *stub = &rootfs->stubs->items[i];
    char parent[PATH_MAX];
    struct stat stat;
    strcpy(parent, stub->path);
    *strrchr(parent, '/') = '\0';
    AUTO_FD fd = open_inside(rootfs->fd, parent);
    if (fd >= 0 && fstat(fd, &stat) == 0) stub->parent_ctime = stat.st_ctim;
  }
}

static bool change_root(const struct rootfs *rootfs) {
  bool done = fchdir(rootfs->fd) == 0 && syscall(SYS_pivot_root, ".", ".") == 0 && umount2(".", MNT_DETACH) == 0 && chdir("/") == 0;
  return done || fail("change the root");
}

// Whoever is root in there can leave it again.
static bool enter_directory(const struct rootfs *rootfs, const struct plan *plan) {
  if (!make_cwd(rootfs, plan)) return false;
  return (fchdir(rootfs->fd) == 0 && chroot(".") == 0 && chdir("/") == 0) || fail("change the root by chroot");
}

bool rootfs_enter(struct rootfs *rootfs, const struct plan *plan) {
  if (plan->namespaces == 0) return enter_directory(rootfs, plan);
  struct mounts mounts = {.rootfs = rootfs, .stage = -1};
  if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) return fail("make the mounts private");
  AUTO_FD place = open(rootfs->attach, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (place < 0 || tree_attach(rootfs->fd, place) < 0) return fail("attach the root");
  for (size_t i = 0; i < plan->mount_count; i++) {
    if (!apply(&mounts, &plan->mounts[i])) return false;
  }
  close_fd(&mounts.stage);
  if (!make_cwd(rootfs, plan)) return false;
  note_times(rootfs);
  return change_root(rootfs);
}
