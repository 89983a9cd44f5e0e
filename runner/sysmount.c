#define _GNU_SOURCE
#include "sysmount.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>

#include "fail.h"

static int set_option(int context, const char *option) {
  const char *equals = strchr(option, '=');
  if (!equals) return fsconfig(context, FSCONFIG_SET_FLAG, option, NULL, 0);
  char key[64];
  size_t length = (size_t)(equals - option);
  if (length >= sizeof key) {
    errno = EINVAL;
    return -1;
  }
  memcpy(key, option, length);
  key[length] = '\0';
  return fsconfig(context, FSCONFIG_SET_STRING, key, equals + 1, 0);
}

static int finish(int context, uint64_t attributes) {
  if (fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0) return -1;
  return fsmount(context, FSMOUNT_CLOEXEC, (unsigned)attributes);
}

int fs_create(const char *type, const struct field *options, int count, const char *more, uint64_t attributes) {
  AUTO_FD context = fsopen(type, FSOPEN_CLOEXEC);
  if (context < 0 || fsconfig(context, FSCONFIG_SET_STRING, "source", type, 0) < 0) return -1;
  for (int i = 0; i < count; i++) {
    if (set_option(context, options[i].data) < 0) return -1;
  }
  if (more[0] && set_option(context, more) < 0) return -1;
  return finish(context, attributes);
}

// redirect_dir, metacopy and index would make the upper directory unreadable for anybody but this overlay; a layer with such xattrs is hostile.
static const char FIXED_OPTIONS[] = "redirect_dir=nofollow,metacopy=off,index=off";

static int set_options(int context, const char *list) {
  char copy[512], *rest = copy, *option;
  if (strlen(list) >= sizeof copy) {
    errno = E2BIG;
    return -1;
  }
  strcpy(copy, list);
  while ((option = strsep(&rest, ","))) {
    if (*option && set_option(context, option) < 0) return -1;
  }
  return 0;
}

// Linux 6.8 takes one layer a call, so neither their number nor the length of their names is limited by a page.
static int configure(int context, const struct overlay *overlay) {
  if (fsconfig(context, FSCONFIG_SET_STRING, "source", "overlay", 0) < 0) return -1;
  if (set_options(context, FIXED_OPTIONS) < 0 || set_options(context, overlay->options) < 0) return -1;
  for (int i = 0; i < overlay->lower_count; i++) {
    if (fsconfig(context, FSCONFIG_SET_STRING, "lowerdir+", overlay->lowers[i].data, 0) < 0) return -1;
  }
  if (!overlay->upper) return 0;
  if (fsconfig(context, FSCONFIG_SET_STRING, "upperdir", overlay->upper, 0) < 0) return -1;
  return fsconfig(context, FSCONFIG_SET_STRING, "workdir", overlay->work, 0);
}

static int overlay_by_fsconfig(const struct overlay *overlay) {
  AUTO_FD context = fsopen("overlay", FSOPEN_CLOEXEC);
  if (context < 0 || configure(context, overlay) < 0) return -1;
  return finish(context, overlay->attributes);
}

// Before Linux 6.8: mount(2) takes one page of options, so directories are named by short numbers, relative to /proc/self/fd. That also spares us the
// escaping of commas and colons. The files stay open until the runner's exec or end.
static int append_directory(char *options, size_t size, const char *prefix, const char *path) {
  size_t used = strlen(options);
  int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return -1;
  if ((size_t)snprintf(options + used, size - used, "%s%d", prefix, fd) < size - used) return 0;
  errno = E2BIG;
  return -1;
}

static int append_directories(char *options, size_t size, const struct overlay *overlay) {
  for (int i = 0; i < overlay->lower_count; i++) {
    if (append_directory(options, size, i == 0 ? ",lowerdir=" : ":", overlay->lowers[i].data) < 0) return -1;
  }
  if (!overlay->upper) return 0;
  if (append_directory(options, size, ",upperdir=", overlay->upper) < 0) return -1;
  return append_directory(options, size, ",workdir=", overlay->work);
}

static int overlay_by_mount(const struct overlay *overlay) {
  char options[4096];
  snprintf(options, sizeof options, "%s%s%s", FIXED_OPTIONS, *overlay->options ? "," : "", overlay->options);
  if (append_directories(options, sizeof options, overlay) < 0) return -1;
  AUTO_FD back = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (back < 0 || chdir("/proc/self/fd") < 0) return -1;
  int mounted = mount("overlay", overlay->scratch, "overlay", 0, options);
  if (fchdir(back) < 0 || mounted < 0) return -1;
  AUTO_FD root = open(overlay->scratch, O_PATH | O_DIRECTORY | O_CLOEXEC);
  int clone = root < 0 ? -1 : tree_clone(root, 0, overlay->attributes);
  umount2(overlay->scratch, MNT_DETACH);
  return clone;
}

// A single read-only layer needs no overlay, and overlayfs refuses to mount one.
static int single_layer(const struct overlay *overlay) {
  AUTO_FD directory = open(overlay->lowers[0].data, O_PATH | O_DIRECTORY | O_CLOEXEC);
  return directory < 0 ? -1 : tree_clone(directory, 0, overlay->attributes | MOUNT_ATTR_RDONLY);
}

int overlay_create(const struct overlay *overlay) {
  if (!overlay->upper && overlay->lower_count == 1) return single_layer(overlay);
  int fd = overlay_by_fsconfig(overlay);
  if (fd >= 0 || (errno != EINVAL && errno != ENOSYS)) return fd;
  return overlay_by_mount(overlay);
}

int tree_clone(int fd, int recursive, uint64_t attributes) {
  int mount = open_tree(fd, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (recursive ? AT_RECURSIVE : 0));
  if (mount < 0 || attributes == 0) return mount;
  struct mount_attr change = {.attr_set = attributes};
  if (mount_setattr(mount, "", AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0), &change, sizeof change) == 0) return mount;
  int error = errno;
  close(mount);
  errno = error;
  return -1;
}

int tree_attach(int mount, int target) { return move_mount(mount, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH); }
