#define _GNU_SOURCE
#include "xattr.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/xattr.h>

// Room for /proc/self/fd/<n>/<name>.
#define PROC_PATH_MAX (PATH_MAX + 32)

// No *xattrat(2) before Linux 6.13: the directory is reached by its magic link in /proc and the l*xattr calls do not follow the last
// component. An empty path means the descriptor itself, which the following variants reach (the magic link ends there, even for O_PATH).
static bool xattr_path(int dirfd, const Path *path, char *out) {
  if (dirfd == AT_FDCWD) snprintf(out, PROC_PATH_MAX, "%s", path->bytes);
  else if (path->length == 0) snprintf(out, PROC_PATH_MAX, "/proc/self/fd/%d", dirfd);
  else snprintf(out, PROC_PATH_MAX, "/proc/self/fd/%d/%s", dirfd, path->bytes);
  return path->length == 0;
}

// A question: no attribute of that name, or none at all on this file system.
static bool is_absent(int code) { return code == ENODATA || code == ENOTSUP || code == EOPNOTSUPP; }

// A call: the names of all attributes, or the value of the one with this name.
static ssize_t read_xattr(const char *full, bool follow, const char *name, char *into, size_t size) {
  if (name == NULL) return follow ? listxattr(full, into, size) : llistxattr(full, into, size);
  return follow ? getxattr(full, name, into, size) : lgetxattr(full, name, into, size);
}

// Null when there is none; `shown` is the path that an error names.
static napi_value xattr_value(const Args *args, const char *full, bool follow, const char *name, const char *shown) {
  const size_t most = name == NULL ? XATTR_LIST_MAX : XATTR_SIZE_MAX;
  char small[1024], *value = small, *large = NULL;
  ssize_t length = read_xattr(full, follow, name, small, sizeof small);
  if (length < 0 && errno == ERANGE && (large = malloc(most)) != NULL) length = read_xattr(full, follow, name, value = large, most);
  napi_value result;
  if (length > 0 || (length == 0 && name != NULL)) result = buffer_value(args->env, value, (size_t)length);
  else if (length == 0 || is_absent(errno)) result = null_value(args->env);
  else result = fail(args, shown);
  free(large);
  return result;
}

// listxattrat(dirfd, path): the kernel's list, names ended by NUL; src/base/sys-values.ts cuts it. Null when there are none.
napi_value sys_listxattrat(napi_env env, napi_callback_info info) {
  Args args = arguments(env, info, "listxattr", 2);
  Path path;
  char full[PROC_PATH_MAX];
  int dirfd = int_of(&args, 0);
  path_of(&args, 1, &path);
  if (args.failed) return NULL;
  bool follow = xattr_path(dirfd, &path, full);
  // A descriptor that is not O_PATH needs no walk through /proc.
  if (follow && flistxattr(dirfd, NULL, 0) == 0) return null_value(env);
  return xattr_value(&args, full, follow, NULL, path.bytes);
}

napi_value sys_getxattrat(napi_env env, napi_callback_info info) {
  Args args = arguments(env, info, "getxattr", 3);
  Path path, name;
  char full[PROC_PATH_MAX];
  int dirfd = int_of(&args, 0);
  path_of(&args, 1, &path);
  path_of(&args, 2, &name);
  if (args.failed) return NULL;
  bool follow = xattr_path(dirfd, &path, full);
  return xattr_value(&args, full, follow, name.bytes, path.bytes);
}

napi_value sys_setxattrat(napi_env env, napi_callback_info info) {
  Args args = arguments(env, info, "setxattr", 4);
  Path path, name;
  char full[PROC_PATH_MAX];
  size_t length;
  int dirfd = int_of(&args, 0);
  path_of(&args, 1, &path);
  path_of(&args, 2, &name);
  const uint8_t *value = bytes_of(&args, 3, &length);
  if (args.failed) return NULL;
  bool follow = xattr_path(dirfd, &path, full);
  int result = follow ? setxattr(full, name.bytes, value, length, 0) : lsetxattr(full, name.bytes, value, length, 0);
  return done(&args, result, path.bytes);
}

napi_value sys_removexattrat(napi_env env, napi_callback_info info) {
  Args args = arguments(env, info, "removexattr", 3);
  Path path, name;
  char full[PROC_PATH_MAX];
  int dirfd = int_of(&args, 0);
  path_of(&args, 1, &path);
  path_of(&args, 2, &name);
  if (args.failed) return NULL;
  bool follow = xattr_path(dirfd, &path, full);
  return done(&args, follow ? removexattr(full, name.bytes) : lremovexattr(full, name.bytes), path.bytes);
}
