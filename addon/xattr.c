/* Extended attributes of a name in a directory. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/xattr.h>

#include "xattr.h"

/* Room for /proc/self/fd/<n>/<name>. */
#define PROC_PATH_MAX (PATH_MAX + 32)

/*
 * No *xattrat(2) before Linux 6.13: the directory is reached by its magic link in /proc and the l*xattr calls do not follow the last
 * component. An empty path means the descriptor itself, which the following variants reach (the magic link ends there, even for O_PATH).
 */
static bool xattr_path(int dirfd, const Path *path, char *out) {
    if (dirfd == AT_FDCWD) snprintf(out, PROC_PATH_MAX, "%s", path->bytes);
    else if (path->length == 0) snprintf(out, PROC_PATH_MAX, "/proc/self/fd/%d", dirfd);
    else snprintf(out, PROC_PATH_MAX, "/proc/self/fd/%d/%s", dirfd, path->bytes);
    return path->length == 0;
}

static bool no_xattrs(int code) {
    return code == ENOTSUP || code == EOPNOTSUPP;
}

/* The names of all attributes, or the value of the one with this name. */
static ssize_t read_xattr(const char *full, bool follow, const char *name, char *into, size_t size) {
    if (name == NULL) return follow ? listxattr(full, into, size) : llistxattr(full, into, size);
    return follow ? getxattr(full, name, into, size) : lgetxattr(full, name, into, size);
}

/* Null when there is none; `shown` is the path that an error names. */
static napi_value xattr_value(napi_env env, const char *full, bool follow, const char *name, const char *shown) {
    const char *call = name == NULL ? "listxattr" : "getxattr";
    const size_t most = name == NULL ? XATTR_LIST_MAX : XATTR_SIZE_MAX;
    char small[1024];
    ssize_t length = read_xattr(full, follow, name, small, sizeof small);
    if (length > 0 || (length == 0 && name != NULL)) return buffer_value(env, small, (size_t)length);
    if (length == 0 || errno == ENODATA || no_xattrs(errno)) return null_value(env);
    if (errno != ERANGE) return fail(env, errno, call, shown);
    char *large = malloc(most);
    if (large == NULL) return fail(env, ENOMEM, call, shown);
    length = read_xattr(full, follow, name, large, most);
    napi_value result = length < 0 ? fail(env, errno, call, shown) : buffer_value(env, large, (size_t)length);
    free(large);
    return result;
}

/* listxattrat(dirfd, path): the kernel's list, names ended by NUL; src/base/sys.ts cuts it. Null when there are none. */
napi_value sys_listxattrat(napi_env env, napi_callback_info info) {
    Args args = arguments(env, info, 2);
    Path path;
    char full[PROC_PATH_MAX];
    int dirfd = int_of(&args, 0);
    path_of(&args, 1, &path);
    if (args.failed) return NULL;
    bool follow = xattr_path(dirfd, &path, full);
    /* A descriptor that is not O_PATH needs no walk through /proc. */
    if (follow && flistxattr(dirfd, NULL, 0) == 0) return null_value(env);
    return xattr_value(env, full, follow, NULL, path.bytes);
}

napi_value sys_getxattrat(napi_env env, napi_callback_info info) {
    Args args = arguments(env, info, 3);
    Path path, name;
    char full[PROC_PATH_MAX];
    int dirfd = int_of(&args, 0);
    path_of(&args, 1, &path);
    path_of(&args, 2, &name);
    if (args.failed) return NULL;
    bool follow = xattr_path(dirfd, &path, full);
    return xattr_value(env, full, follow, name.bytes, path.bytes);
}

napi_value sys_setxattrat(napi_env env, napi_callback_info info) {
    Args args = arguments(env, info, 4);
    Path path, name;
    char full[PROC_PATH_MAX];
    const uint8_t *value;
    size_t length;
    int dirfd = int_of(&args, 0);
    path_of(&args, 1, &path);
    path_of(&args, 2, &name);
    if (args.failed) return NULL;
    if (!bytes_of(&args, 3, &value, &length)) return fail(env, EINVAL, "setxattr", path.bytes);
    bool follow = xattr_path(dirfd, &path, full);
    int result = follow ? setxattr(full, name.bytes, value, length, 0) : lsetxattr(full, name.bytes, value, length, 0);
    return done(env, result, "setxattr", path.bytes);
}

napi_value sys_removexattrat(napi_env env, napi_callback_info info) {
    Args args = arguments(env, info, 3);
    Path path, name;
    char full[PROC_PATH_MAX];
    int dirfd = int_of(&args, 0);
    path_of(&args, 1, &path);
    path_of(&args, 2, &name);
    if (args.failed) return NULL;
    bool follow = xattr_path(dirfd, &path, full);
    return done(env, follow ? removexattr(full, name.bytes) : lremovexattr(full, name.bytes), "removexattr", path.bytes);
}
