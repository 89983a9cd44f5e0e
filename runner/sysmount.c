#define _GNU_SOURCE
#include "sysmount.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>

#include "io.h"

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

int fs_create(const char *type, struct texts options, const char *more, uint64_t attributes) {
  AUTO_FD context = fsopen(type, FSOPEN_CLOEXEC);
  if (context < 0 || fsconfig(context, FSCONFIG_SET_STRING, "source", type, 0) < 0) return -1;
  for (char **option = options.items; *option; option++) {
    if (set_option(context, *option) < 0) return -1;
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

// An overlay that is being made. The kernel gets its directories by descriptor, as "." or a number: no name of the store is parsed, whatever bytes it has, and
// what is mounted on one meanwhile does not matter.
struct making {
  const struct overlay *overlay;
  int upper, work; // -1: read-only
  size_t lower_count; // of overlay->lowers
  int base;        // one more directory, below them; -1: none
};

static int set_directory(int context, const char *key, int directory) {
  return directory < 0 || fchdir(directory) < 0 ? -1 : fsconfig(context, FSCONFIG_SET_STRING, key, ".", 0);
}

static int open_directory(const char *path) { return open(path, O_PATH | O_DIRECTORY | O_CLOEXEC); }

// Linux 6.8 takes one layer a call, so neither their number nor the length of their names is limited by a page.
static int configure(int context, const struct making *making) {
  if (fsconfig(context, FSCONFIG_SET_STRING, "source", "overlay", 0) < 0) return -1;
  if (set_options(context, FIXED_OPTIONS) < 0 || set_options(context, making->overlay->options) < 0) return -1;
  for (size_t i = 0; i < making->lower_count; i++) {
    AUTO_FD lower = open_directory(making->overlay->lowers.items[i]);
    if (set_directory(context, "lowerdir+", lower) < 0) return -1;
  }
  if (making->base >= 0 && set_directory(context, "lowerdir+", making->base) < 0) return -1;
  if (making->upper < 0) return 0;
  if (set_directory(context, "upperdir", making->upper) < 0) return -1;
  return set_directory(context, "workdir", making->work);
}

static int overlay_by_fsconfig(const struct making *making) {
  AUTO_FD back = open_directory(".");
  AUTO_FD context = fsopen("overlay", FSOPEN_CLOEXEC);
  if (back < 0 || context < 0) return -1;
  int configured = configure(context, making), error = errno;
  if (fchdir(back) < 0) return -1;
  errno = error;
  return configured < 0 ? -1 : finish(context, making->overlay->attributes);
}

// Before Linux 6.8: mount(2) takes one page of options, so directories are named by short numbers, relative to /proc/self/fd. The files stay open until the
// runner's exec or end.
static int append_directory(char *options, size_t size, const char *prefix, int directory) {
  size_t used = strlen(options);
  if (directory < 0) return -1;
  if ((size_t)snprintf(options + used, size - used, "%s%d", prefix, directory) < size - used) return 0;
  errno = E2BIG;
  return -1;
}

static int append_directories(char *options, size_t size, const struct making *making) {
  const char *prefix = ",lowerdir=";
  for (size_t i = 0; i < making->lower_count; i++, prefix = ":") {
    if (append_directory(options, size, prefix, open_directory(making->overlay->lowers.items[i])) < 0) return -1;
  }
  if (making->base >= 0 && append_directory(options, size, prefix, making->base) < 0) return -1;
  if (making->upper < 0) return 0;
  if (append_directory(options, size, ",upperdir=", making->upper) < 0) return -1;
  return append_directory(options, size, ",workdir=", making->work);
}

static int overlay_by_mount(const struct making *making) {
  const struct overlay *overlay = making->overlay;
  char options[4096];
  snprintf(options, sizeof options, "%s%s%s", FIXED_OPTIONS, *overlay->options ? "," : "", overlay->options);
  if (append_directories(options, sizeof options, making) < 0) return -1;
  AUTO_FD back = open_directory(".");
  if (back < 0 || chdir("/proc/self/fd") < 0) return -1;
  int mounted = mount("overlay", overlay->scratch, "overlay", 0, options);
  if (fchdir(back) < 0 || mounted < 0) return -1;
  AUTO_FD root = open_directory(overlay->scratch);
  int clone = root < 0 ? -1 : tree_clone(root, false, overlay->attributes);
  umount2(overlay->scratch, MNT_DETACH);
  return clone;
}

static int make_overlay(const struct making *making) {
  int fd = overlay_by_fsconfig(making);
  if (fd >= 0 || (errno != EINVAL && errno != ENOSYS)) return fd;
  return overlay_by_mount(making);
}

// A single read-only layer needs no overlay, and overlayfs refuses to mount one.
static int single_layer(const struct overlay *overlay) {
  return directory_clone(overlay->lowers.items[0], overlay->attributes | MOUNT_ATTR_RDONLY);
}

// OVL_MAX_STACK of the kernel. One overlay may be the lowest directory of another, whose whiteouts hide what it shows; a third may not lie on them.
enum { MAX_LOWER = 500 };

// More layers than an overlay takes: the lowest are one of their own. The kernel takes it only while it is attached.
static int deep_overlay(struct making *making) {
  const struct overlay *overlay = making->overlay;
  making->lower_count = MAX_LOWER - 1;
  struct overlay bottom = {.scratch = overlay->scratch, .options = overlay->options,
                           .lowers = {overlay->lowers.items + making->lower_count, overlay->lowers.count - making->lower_count}};
  errno = E2BIG;
  if (bottom.lowers.count > MAX_LOWER) return -1;
  AUTO_FD base = overlay_create(&bottom);
  AUTO_FD place = open_directory(overlay->scratch);
  if (base < 0 || place < 0 || tree_attach(base, place) < 0) return -1;
  making->base = base;
  int fd = make_overlay(making), error = errno;
  umount2(overlay->scratch, MNT_DETACH);
  errno = error;
  return fd;
}

int overlay_create(const struct overlay *overlay) {
  if (!overlay->upper && overlay->lowers.count == 1) return single_layer(overlay);
  AUTO_FD upper = overlay->upper ? open_directory(overlay->upper) : -1;
  AUTO_FD work = overlay->upper ? open_directory(overlay->work) : -1;
  if (overlay->upper && (upper < 0 || work < 0)) return -1;
  struct making making = {.overlay = overlay, .upper = upper, .work = work, .lower_count = overlay->lowers.count, .base = -1};
  return overlay->lowers.count > MAX_LOWER ? deep_overlay(&making) : make_overlay(&making);
}

int directory_clone(const char *path, uint64_t attributes) {
  AUTO_FD directory = open_directory(path);
  return directory < 0 ? -1 : tree_clone(directory, false, attributes);
}

int tree_clone(int fd, bool recursive, uint64_t attributes) {
  AUTO_FD mount = open_tree(fd, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (recursive ? AT_RECURSIVE : 0));
  struct mount_attr change = {.attr_set = attributes};
  if (mount < 0) return -1;
  if (attributes != 0 && mount_setattr(mount, "", AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0), &change, sizeof change) < 0) return -1;
  return hand_over(&mount);
}

int tree_attach(int mount, int target) { return move_mount(mount, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH); }
