/* Extended attributes of a name in a directory. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/xattr.h>

#include "sys-xattr.h"

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

/* listxattrat(dirfd, path): the kernel's list, names ended by NUL; src/base/sys.ts cuts it. Null when there are none. */
napi_value sys_listxattrat(napi_env env, napi_callback_info info) {
    Args args = arguments(env, info, 2);
    Path path;
    char full[PROC_PATH_MAX];
    int dirfd = int_of(&args, 0);
    path_of(&args, 1, &path);
    if (args.failed) return NULL;
    bool follow = xattr_path(dirfd, &path, full);
    char names[4096];
    /* A descriptor that is not O_PATH needs no walk through /proc. */
    if (follow && flistxattr(dirfd, NULL, 0) == 0) return null_value(env);
    ssize_t length = follow ? listxattr(full, names, sizeof names) : llistxattr(full, names, sizeof names);
    if (length == 0 || (length < 0 && no_xattrs(errno))) return null_value(env);
    if (length > 0) return buffer_value(env, names, (size_t)length);
    if (errno != ERANGE) return fail(env, errno, "listxattr", path.bytes);
    char *large = malloc(XATTR_LIST_MAX);
    if (large == NULL) return fail(env, ENOMEM, "listxattr", path.bytes);
    length = follow ? listxattr(full, large, XATTR_LIST_MAX) : llistxattr(full, large, XATTR_LIST_MAX);
    napi_value result = length < 0 ? fail(env, errno, "listxattr", path.bytes) : buffer_value(env, large, (size_t)length);
    free(large);
    return result;
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
    char small[1024];
    ssize_t length = follow ? getxattr(full, name.bytes, small, sizeof small) : lgetxattr(full, name.bytes, small, sizeof small);
    if (length >= 0) return buffer_value(env, small, (size_t)length);
    if (errno == ENODATA || no_xattrs(errno)) return null_value(env);
    if (errno != ERANGE) return fail(env, errno, "getxattr", path.bytes);
    char *large = malloc(XATTR_SIZE_MAX);
    if (large == NULL) return fail(env, ENOMEM, "getxattr", path.bytes);
    length = follow ? getxattr(full, name.bytes, large, XATTR_SIZE_MAX) : lgetxattr(full, name.bytes, large, XATTR_SIZE_MAX);
    napi_value result = length < 0 ? fail(env, errno, "getxattr", path.bytes) : buffer_value(env, large, (size_t)length);
    free(large);
    return result;
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
