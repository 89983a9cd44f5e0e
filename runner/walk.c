#define _GNU_SOURCE
#include "walk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "fail.h"
#include "io.h"

static void pop(struct walk *walk) {
  if (walk->depth == 0) return;
  close(walk->fds[walk->depth--]);
  *strrchr(walk->path, '/') = '\0';
}

// A call.
static int push(struct walk *walk, int fd, const char *name) {
  size_t used = strlen(walk->path);
  if (walk->depth == WALK_DEPTH || used + strlen(name) + 2 > sizeof walk->path) {
    close(fd);
    errno = ENAMETOOLONG;
    return -1;
  }
  snprintf(walk->path + used, sizeof walk->path - used, "/%s", name);
  walk->fds[++walk->depth] = fd;
  return 0;
}

void walk_close(struct walk *walk) {
  while (walk->depth > 0) pop(walk);
}

// A call.
static int record_stub(struct walk *walk, const char *name, const struct stat *parent, const struct walk_options *options) {
  struct stub_list *stubs = options->stubs;
  if (!stubs || parent->st_dev != options->root_device) return 0;
  if (stubs->count == (int)(sizeof stubs->items / sizeof stubs->items[0])) {
    errno = E2BIG;
    return -1;
  }
  struct stub *stub = &stubs->items[stubs->count];
  if ((size_t)snprintf(stub->path, sizeof stub->path, "%s/%s", walk->path, name) >= sizeof stub->path) {
    errno = ENAMETOOLONG;
    return -1;
  }
  stub->parent_mtime = parent->st_mtim;
  stub->keep = options->keep_stubs;
  stubs->count++;
  return 0;
}

// A call: makes `name` in the current directory. A concurrent run may have made it first: EEXIST is looked at again by the caller.
static int make(struct walk *walk, const char *name, bool last, const struct walk_options *options) {
  struct stat parent;
  if (fstat(walk_fd(walk), &parent) < 0) return -1;
  if (last && options->leaf == LEAF_FILE) {
    AUTO_FD fd = openat(walk_fd(walk), name, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (fd < 0) return errno == EEXIST ? 0 : -1;
  } else {
    if (mkdirat(walk_fd(walk), name, 0755) < 0) return errno == EEXIST ? 0 : -1;
    if (options->owned && fchownat(walk_fd(walk), name, options->uid, options->gid, AT_SYMLINK_NOFOLLOW) < 0) return -1;
  }
  return record_stub(walk, name, &parent, options);
}

// A call: opens `name`, making it when it is missing and wanted.
static int enter(struct walk *walk, const char *name, bool last, const struct walk_options *options) {
  for (int attempt = 0;; attempt++) {
    int fd = openat(walk_fd(walk), name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0 || errno != ENOENT || options->leaf == LEAF_EXISTING || attempt == 3) return fd;
    if (make(walk, name, last, options) < 0) return -1;
  }
}

// A call: puts the link's text before what is left of the path.
static int follow(struct walk *walk, int link, char *rest, size_t size) {
  char text[PATH_MAX];
  struct statfs fs;
  // A link of /proc speaks of the process that reads it (CVE-2024-21626): no path of an image may depend on that.
  if (fstatfs(link, &fs) < 0 || fs.f_type == PROC_SUPER_MAGIC) {
    errno = ELOOP;
    return -1;
  }
  ssize_t length = readlinkat(link, "", text, sizeof text - 1);
  if (length < 0) return -1;
  text[length] = '\0';
  if (++walk->links > WALK_LINKS) {
    errno = ELOOP;
    return -1;
  }
  size_t rest_length = strlen(rest);
  if ((size_t)length + rest_length + 2 > size) {
    errno = ENAMETOOLONG;
    return -1;
  }
  memmove(rest + length + 1, rest, rest_length + 1);
  memcpy(rest, text, (size_t)length);
  rest[length] = '/';
  if (text[0] == '/') walk_close(walk);
  return 0;
}

// A call: cuts the first component off `rest`. 0 when there is none, 1 when there is.
static int next_component(char *rest, char name[NAME_MAX + 1]) {
  size_t start = strspn(rest, "/"), length = strcspn(rest + start, "/");
  if (length == 0) return 0;
  if (length > NAME_MAX) {
    errno = ENAMETOOLONG;
    return -1;
  }
  memcpy(name, rest + start, length);
  name[length] = '\0';
  memmove(rest, rest + start + length, strlen(rest + start + length) + 1);
  return 1;
}

// A call: one component further.
static int advance(struct walk *walk, const char *name, char *rest, size_t size, const struct walk_options *options) {
  if (strcmp(name, ".") == 0) return 0;
  if (strcmp(name, "..") == 0) {
    pop(walk);
    return 0;
  }
  int fd = enter(walk, name, rest[strspn(rest, "/")] == '\0', options);
  struct stat stat;
  if (fd < 0) return -1;
  if (fstat(fd, &stat) == 0 && S_ISLNK(stat.st_mode)) {
    AUTO_FD link = fd;
    return follow(walk, link, rest, size);
  }
  return push(walk, fd, name);
}

bool walk_to(struct walk *walk, int root, const char *path, const struct walk_options *options) {
  char rest[PATH_MAX * 2], name[NAME_MAX + 1];
  walk->depth = walk->links = 0;
  walk->missing = false;
  walk->path[0] = '\0';
  walk->fds[0] = root;
  errno = ENAMETOOLONG;
  if (strlen(path) >= PATH_MAX) return fail("path %.100s...", path);
  strcpy(rest, path);
  for (;;) {
    int more = next_component(rest, name);
    if (more == 0) return true;
    if (more > 0 && advance(walk, name, rest, sizeof rest, options) == 0) continue;
    walk->missing = options->leaf == LEAF_EXISTING && (errno == ENOENT || errno == ENOTDIR);
    return walk->missing || fail("path %s in the image, at %s/%s", path, walk->path, name);
  }
}
