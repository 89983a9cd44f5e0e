#define _GNU_SOURCE
#include "mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

#include "fail.h"
#include "sysmount.h"

// What the mount records share while they are carried out.
struct mounts {
  struct rootfs *rootfs;
  int stage; // fd of the private tmpfs, -1 until something needs it
  int count; // names used in it
};

int rootfs_create(struct rootfs *rootfs, const struct plan *plan) {
  const struct field *fields = plan->root->fields;
  struct overlay overlay = {.upper = fields[0].data, .work = fields[1].data, .scratch = fields[1].data, .options = fields[2].data,
                            .lowers = fields + 4, .lower_count = plan->root->count - 4,
                            // A device node that the command makes must not open: there is no device cgroup behind it.
                            .attributes = MOUNT_ATTR_NODEV};
  rootfs->stage = overlay.upper;
  rootfs->attach = overlay.work;
  const char *directory = fields[3].data;
  if (plan->namespaces == 0) rootfs->fd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
  else rootfs->fd = directory[0] ? directory_clone(directory, overlay.attributes) : overlay_create(&overlay);
  struct stat stat;
  if (rootfs->fd < 0 && directory[0]) return fail("open the directory of the root");
  if (rootfs->fd < 0 || fstat(rootfs->fd, &stat) < 0) return fail("mount the %d layers of the root", overlay.lower_count);
  rootfs->device = stat.st_dev;
  return 0;
}

static int in_kernel_tree(int fd) {
  struct statfs fs;
  return fstatfs(fd, &fs) < 0 || fs.f_type == PROC_SUPER_MAGIC || fs.f_type == SYSFS_MAGIC || fs.f_type == CGROUP2_SUPER_MAGIC;
}

// Puts a mount on record's target, making the target when it is missing.
static int attach(struct mounts *mounts, const struct record *record, int mount) {
  const char *target = record->fields[0].data;
  uint64_t flags = field_number(&record->fields[2]);
  struct stat stat;
  if (fstat(mount, &stat) < 0) return fail("mount for %s", target);
  struct walk_options options = {.leaf = S_ISDIR(stat.st_mode) ? LEAF_DIRECTORY : LEAF_FILE, .keep_stubs = (flags & MOUNT_KEEP) != 0,
                                 .stubs = mounts->rootfs->stubs, .root_device = mounts->rootfs->device};
  AUTO_WALK walk;
  if (walk_to(&walk, mounts->rootfs->fd, target, &options) < 0) return -1;
  errno = 0;
  if (walk.depth == 0) return fail("mount on the root itself (%s)", target);
  if ((flags & MOUNT_PLAIN) && walk.links > 0) return fail("%s of the image must be an ordinary directory, it is a symlink", target);
  if ((flags & MOUNT_USER) && in_kernel_tree(walk_fd(&walk))) return fail("mount target %s is inside /proc or /sys", target);
  return tree_attach(mount, walk_fd(&walk)) < 0 ? fail("mount %s", target) : 0;
}

// As runc: a tmpfs of the Dockerfile has the mode of the directory that it covers. "" where it covers none.
static int covered_mode(struct mounts *mounts, const struct record *record, char option[16]) {
  const struct field *fields = record->fields;
  option[0] = '\0';
  if (!(field_number(&fields[2]) & MOUNT_USER) || strcmp(fields[3].data, "tmpfs") != 0) return 0;
  struct walk_options options = {.leaf = LEAF_EXISTING};
  struct stat stat;
  AUTO_WALK walk;
  int found = walk_to(&walk, mounts->rootfs->fd, fields[0].data, &options);
  if (found == 0 && fstat(walk_fd(&walk), &stat) == 0) snprintf(option, 16, "mode=%04o", (unsigned)stat.st_mode & 07777);
  return found == -1 ? -1 : 0;
}

static int apply_fs(struct mounts *mounts, const struct record *record) {
  const struct field *fields = record->fields;
  char mode[16];
  if (covered_mode(mounts, record, mode) < 0) return -1;
  AUTO_FD mount = fs_create(fields[3].data, fields + 4, record->count - 4, mode, field_number(&fields[1]));
  if (mount < 0) return fail("mount %s on %s", fields[3].data, fields[0].data);
  return attach(mounts, record, mount);
}

// Opens `path` inside the directory (or mount) root: the kernel keeps the resolution inside.
static int open_inside(int root, const char *path) {
  struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
  for (int attempt = 0;; attempt++) {
    int fd = (int)syscall(SYS_openat2, root, path[0] ? path : ".", &how, sizeof how);
    // EAGAIN: somebody renamed a directory meanwhile.
    if (fd >= 0 || errno != EAGAIN || attempt == 64) return fd;
  }
}

// Mounts `path` of the tree `root`. What is mounted is the opened file itself, whatever its name means by now.
static int attach_inside(struct mounts *mounts, const struct record *record, int root, const char *path) {
  const char *target = record->fields[0].data;
  AUTO_FD source = open_inside(root, path);
  if (source < 0) return fail("mount source %s for %s", path[0] ? path : "/", target);
  struct stat stat;
  if (fstat(source, &stat) < 0 || S_ISLNK(stat.st_mode)) return fail("mount source %s for %s", path, target);
  AUTO_FD mount = tree_clone(source, (field_number(&record->fields[2]) & MOUNT_RECURSIVE) != 0, field_number(&record->fields[1]));
  if (mount < 0) return fail("bind %s for %s", path[0] ? path : "/", target);
  return attach(mounts, record, mount);
}

static int apply_bind(struct mounts *mounts, const struct record *record) {
  AUTO_FD source = open(record->fields[3].data, O_PATH | O_CLOEXEC);
  if (source < 0) return fail("open %s", record->fields[3].data);
  const char *path = record->fields[4].data;
  if (path[0]) return attach_inside(mounts, record, source, path);
  AUTO_FD mount = tree_clone(source, (field_number(&record->fields[2]) & MOUNT_RECURSIVE) != 0, field_number(&record->fields[1]));
  if (mount < 0) return fail("bind %s", record->fields[3].data);
  return attach(mounts, record, mount);
}

// The private tmpfs, mounted on first use over a directory of the host that only this mount namespace sees covered.
static int stage_open(struct mounts *mounts) {
  if (mounts->stage >= 0) return mounts->stage;
  struct field mode = {"mode=0700", 9};
  AUTO_FD tmpfs = fs_create("tmpfs", &mode, 1, "", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
  AUTO_FD target = open(mounts->rootfs->stage, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (tmpfs < 0 || target < 0 || tree_attach(tmpfs, target) < 0) return fail("mount a private tmpfs");
  mounts->stage = open(mounts->rootfs->stage, O_PATH | O_DIRECTORY | O_CLOEXEC);
  return mounts->stage < 0 ? fail("open the private tmpfs") : mounts->stage;
}

static int stage_directory(struct mounts *mounts, char *name, size_t size) {
  if (stage_open(mounts) < 0) return -1;
  snprintf(name, size, "%d", mounts->count++);
  return mkdirat(mounts->stage, name, 0755) < 0 ? fail("make a private directory") : 0;
}

// Several layers, or one that must not be written: an overlay of its own, attached in the private tmpfs so that a part of it can be bound.
static int apply_view(struct mounts *mounts, const struct record *record) {
  const struct field *fields = record->fields;
  int writable = field_number(&fields[4]) != 0;
  char place[16], upper[16], work[16], upper_path[PATH_MAX], work_path[PATH_MAX];
  struct overlay overlay = {.options = fields[5].data, .lowers = fields + 6, .lower_count = record->count - 6, .attributes = MOUNT_ATTR_NODEV};
  if (stage_directory(mounts, place, sizeof place) < 0) return -1;
  if (writable) {
    if (stage_directory(mounts, upper, sizeof upper) < 0 || stage_directory(mounts, work, sizeof work) < 0) return -1;
    snprintf(upper_path, sizeof upper_path, "%s/%s", mounts->rootfs->stage, upper);
    snprintf(work_path, sizeof work_path, "%s/%s", mounts->rootfs->stage, work);
    overlay.upper = upper_path;
    overlay.work = work_path;
  }
  char scratch[PATH_MAX];
  snprintf(scratch, sizeof scratch, "%s/%s", mounts->rootfs->stage, place);
  overlay.scratch = scratch;
  AUTO_FD mount = overlay_create(&overlay);
  AUTO_FD target = openat(mounts->stage, place, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (mount < 0 || target < 0 || tree_attach(mount, target) < 0) return fail("mount the layers for %s", fields[0].data);
  return attach_inside(mounts, record, mount, fields[3].data);
}

static int write_all(int fd, const char *data, size_t size) {
  for (size_t done = 0; done < size;) {
    ssize_t count = write(fd, data + done, size - done);
    if (count < 0) return -1;
    done += (size_t)count;
  }
  return 0;
}

static int apply_file(struct mounts *mounts, const struct record *record) {
  const struct field *fields = record->fields;
  char name[16];
  if (stage_open(mounts) < 0) return -1;
  snprintf(name, sizeof name, "%d", mounts->count++);
  AUTO_FD file = openat(mounts->stage, name, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (file < 0 || write_all(file, fields[6].data, fields[6].length) < 0) return fail("write the file for %s", fields[0].data);
  if (fchown(file, (uid_t)field_number(&fields[4]), (gid_t)field_number(&fields[5])) < 0) return fail("chown the file for %s", fields[0].data);
  if (fchmod(file, (mode_t)field_number(&fields[3])) < 0) return fail("chmod the file for %s", fields[0].data);
  AUTO_FD mount = tree_clone(file, 0, field_number(&fields[1]));
  if (mount < 0) return fail("bind the file for %s", fields[0].data);
  return attach(mounts, record, mount);
}

// A device of the host, bound read-only: writing to a device works, chmod and chown of the host's node do not.
static int apply_device(struct mounts *mounts, const struct record *record) {
  const struct field *fields = record->fields;
  AUTO_FD source = open(fields[1].data, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  struct stat stat;
  if (source < 0 || fstat(source, &stat) < 0) return fail("open %s", fields[1].data);
  errno = 0;
  if (!S_ISCHR(stat.st_mode) || stat.st_rdev != makedev((unsigned)field_number(&fields[2]), (unsigned)field_number(&fields[3]))) {
    return fail("%s of this machine is not the device it should be", fields[1].data);
  }
  AUTO_FD mount = tree_clone(source, 0, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
  struct walk_options options = {.leaf = LEAF_FILE};
  AUTO_WALK walk;
  if (walk_to(&walk, mounts->rootfs->fd, fields[0].data, &options) < 0) return -1;
  return mount < 0 || tree_attach(mount, walk_fd(&walk)) < 0 ? fail("mount %s", fields[0].data) : 0;
}

// A symlink in a directory that this run mounted (/dev).
static int apply_link(struct mounts *mounts, const struct record *record) {
  char folder[PATH_MAX];
  const char *path = record->fields[0].data, *name = strrchr(path, '/') + 1;
  snprintf(folder, sizeof folder, "%.*s", (int)(name - path), path);
  struct walk_options options = {.leaf = LEAF_DIRECTORY};
  AUTO_WALK walk;
  if (walk_to(&walk, mounts->rootfs->fd, folder, &options) < 0) return -1;
  return symlinkat(record->fields[1].data, walk_fd(&walk), name) < 0 ? fail("link %s", path) : 0;
}

static int open_kernel_path(struct mounts *mounts, const char *path) {
  struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS};
  return (int)syscall(SYS_openat2, mounts->rootfs->fd, path, &how, sizeof how);
}

static int mask_directory(struct mounts *mounts) {
  char name[16];
  if (stage_directory(mounts, name, sizeof name) < 0) return -1;
  AUTO_FD empty = openat(mounts->stage, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
  return empty < 0 ? -1 : tree_clone(empty, 0, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
}

static int mask_file(void) {
  AUTO_FD null = open("/dev/null", O_PATH | O_NOFOLLOW | O_CLOEXEC);
  struct stat stat;
  if (null < 0 || fstat(null, &stat) < 0) return -1;
  errno = ENODEV;
  if (!S_ISCHR(stat.st_mode) || stat.st_rdev != makedev(1, 3)) return -1;
  return tree_clone(null, 0, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
}

// Any failure but a missing target is fatal.
static int apply_mask(struct mounts *mounts, const struct record *record) {
  const char *path = record->fields[0].data;
  AUTO_FD target = open_kernel_path(mounts, path);
  struct stat stat;
  if (target < 0 && errno == ENOENT) return 0;
  if (target < 0 || fstat(target, &stat) < 0) return fail("mask %s", path);
  AUTO_FD mount = S_ISDIR(stat.st_mode) ? mask_directory(mounts) : mask_file();
  return mount < 0 || tree_attach(mount, target) < 0 ? fail("mask %s", path) : 0;
}

static int apply_readonly(struct mounts *mounts, const struct record *record) {
  const char *path = record->fields[0].data;
  AUTO_FD target = open_kernel_path(mounts, path);
  if (target < 0 && errno == ENOENT) return 0;
  AUTO_FD mount = target < 0 ? -1 : tree_clone(target, 1, MOUNT_ATTR_RDONLY);
  return mount < 0 || tree_attach(mount, target) < 0 ? fail("make %s read-only", path) : 0;
}

static int apply(struct mounts *mounts, const struct record *record) {
  switch (record->kind) {
    case REC_FS: return apply_fs(mounts, record);
    case REC_BIND: return apply_bind(mounts, record);
    case REC_VIEW: return apply_view(mounts, record);
    case REC_FILE: return apply_file(mounts, record);
    case REC_DEVICE: return apply_device(mounts, record);
    case REC_LINK: return apply_link(mounts, record);
    case REC_MASK: return apply_mask(mounts, record);
    case REC_READONLY: return apply_readonly(mounts, record);
    default: return 0;
  }
}

// W4: a missing working directory is made 0755 and belongs to the user. It is no stub: it stays.
static int make_cwd(const struct rootfs *rootfs, const struct plan *plan) {
  struct walk_options options = {.leaf = LEAF_DIRECTORY, .owned = 1, .uid = plan->uid, .gid = plan->gid};
  AUTO_WALK walk;
  return walk_to(&walk, rootfs->fd, plan->process->fields[2].data, &options);
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

static int change_root(const struct rootfs *rootfs) {
  if (fchdir(rootfs->fd) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 || chdir("/") < 0) return fail("change the root");
  return 0;
}

// Whoever is root in there can leave it again.
static int enter_directory(const struct rootfs *rootfs, const struct plan *plan) {
  if (make_cwd(rootfs, plan) < 0) return -1;
  return fchdir(rootfs->fd) < 0 || chroot(".") < 0 || chdir("/") < 0 ? fail("change the root by chroot") : 0;
}

int rootfs_enter(struct rootfs *rootfs, const struct plan *plan) {
  if (plan->namespaces == 0) return enter_directory(rootfs, plan);
  struct mounts mounts = {.rootfs = rootfs, .stage = -1};
  if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) return fail("make the mounts private");
  AUTO_FD place = open(rootfs->attach, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (place < 0 || tree_attach(rootfs->fd, place) < 0) return fail("attach the root");
  for (size_t i = 0; i < plan->count; i++) {
    if (apply(&mounts, &plan->records[i]) < 0) return -1;
  }
  if (mounts.stage >= 0) close(mounts.stage);
  if (make_cwd(rootfs, plan) < 0) return -1;
  note_times(rootfs);
  return change_root(rootfs);
}
