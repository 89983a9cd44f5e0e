// The system calls that Node lacks, as a Node-API addon: `Sys` of src/base/sys.ts. Mechanism only, one function a call, no policy.
//
// Every function takes (dirfd, path) pairs, paths are bytes and are passed to the kernel unchanged. There is no global state, so the addon may be loaded by any
// number of worker threads. What is thrown, and when: values.h.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "batch.h"
#include "copy.h"
#include "deflate.h"
#include "hash.h"
#include "listing.h"
#include "map.h"
#include "scan.h"
#include "sockets.h"
#include "values.h"
#include "write.h"
#include "xattr.h"
#include "zstd.h"

// ---- files

static napi_value sys_openat(napi_env env, napi_callback_info info) {
  Args args = arguments(env, info, "openat", 4);
  Path path;
  int dirfd = int_of(&args, 0), flags = int_of(&args, 2);
  mode_t mode = bits_of(&args, 3);
  path_of(&args, 1, &path);
  if (args.failed) return NULL;
  int fd;
  do fd = openat(dirfd, path.bytes, flags | O_CLOEXEC, mode);
  while (fd < 0 && errno == EINTR);
  return fd < 0 ? fail(&args, path.bytes) : number_value(env, fd);
}

static napi_value sys_close(napi_env env, napi_callback_info info) {
  Args args = arguments(env, info, "close", 1);
  int fd = int_of(&args, 0);
  if (args.failed) return NULL;
  // It is closed then, too.
  int result = close(fd);
  return done(&args, result < 0 && errno == EINTR ? 0 : result, NULL);
}

// statat(dirfd, path, flags, fields: Float64Array(STAT_FIELDS)): 0, or the errno when nothing is there, for which throwing would be slow.
static napi_value sys_statat(napi_env env, napi_callback_info info) {
  Args args = arguments(env, info, "fstatat", 4);
  Path path;
  int dirfd = int_of(&args, 0), flags = int_of(&args, 2);
  path_of(&args, 1, &path);
  double *fields = numbers_of(&args, 3, STAT_FIELDS);
  if (args.failed) return NULL;
  struct stat st;
  if (fstatat(dirfd, path.bytes, &st, flags) < 0) {
    if (errno == ENOENT || errno == ENOTDIR) return number_value(env, errno);
    return fail(&args, path.bytes);
  }
  write_stat(fields, &st);
  return number_value(env, 0);
}

// readdir(fd): one Buffer of records; src/base/sys-values.ts cuts it. One allocation for a directory.
static napi_value sys_readdir(napi_env env, napi_callback_info info) {
  Args args = arguments(env, info, "getdents64", 1);
  int fd = int_of(&args, 0);
  if (args.failed) return NULL;
  Listing listing = {0};
  bool is_listed = lseek(fd, 0, SEEK_SET) == 0 && list_entries(fd, &listing) == 0;
  napi_value result = is_listed ? buffer_value(env, listing.bytes, listing.used) : fail(&args, NULL);
  free(listing.bytes);
  return result;
}

static napi_value sys_readlinkat(napi_env env, napi_callback_info info) {
  Args args = arguments(env, info, "readlinkat", 2);
  Path path;
  char target[PATH_MAX];
  int dirfd = int_of(&args, 0);
  path_of(&args, 1, &path);
  if (args.failed) return NULL;
  ssize_t length = readlinkat(dirfd, path.bytes, target, sizeof target);
  return length < 0 ? fail(&args, path.bytes) : buffer_value(env, target, (size_t)length);
}

static napi_value sys_mkdirat(napi_env env, napi_callback_info info) {
  Args args = arguments(env, info, "mkdirat", 3);
  Path path;
  int dirfd = int_of(&args, 0);
  mode_t mode = bits_of(&args, 2);
  path_of(&args, 1, &path);
  if (args.failed) return NULL;
  return done(&args, mkdirat(dirfd, path.bytes, mode), path.bytes);
}

static napi_value sys_mknodat(napi_env env, napi_callback_info info) {
  Args args = arguments(env, info, "mknodat", 5);
  Path path;
  int dirfd = int_of(&args, 0);
  mode_t mode = bits_of(&args, 2), high = bits_of(&args, 3), low = bits_of(&args, 4);
  path_of(&args, 1, &path);
  if (args.failed) return NULL;
  return done(&args, mknodat(dirfd, path.bytes, mode, makedev(high, low)), path.bytes);
}

static napi_value sys_symlinkat(napi_env env, napi_callback_info info) {
  Args args = arguments(env, info, "symlinkat", 3);
  Path target, path;
  path_of(&args, 0, &target);
  int dirfd = int_of(&args, 1);
  path_of(&args, 2, &path);
  if (args.failed) return NULL;
  return done(&args, symlinkat(target.bytes, dirfd, path.bytes), path.bytes);
}

static napi_value sys_linkat(napi_env env, napi_callback_info info) {
  Args args = arguments(env, info, "linkat", 5);
  Path from, to;
  int fromfd = int_of(&args, 0), tofd = int_of(&args, 2), flags = int_of(&args, 4);
  path_of(&args, 1, &from);
  path_of(&args, 3, &to);
  if (args.failed) return NULL;
  return done(&args, linkat(fromfd, from.bytes, tofd, to.bytes, flags), to.bytes);
}

static napi_value sys_unlinkat(napi_env env, napi_callback_info info) {
  Args args = arguments(env, info, "unlinkat", 3);
  Path path;
  int dirfd = int_of(&args, 0), flags = int_of(&args, 2);
  path_of(&args, 1, &path);
  if (args.failed) return NULL;
  return done(&args, unlinkat(dirfd, path.bytes, flags), path.bytes);
}

static napi_value sys_renameat(napi_env env, napi_callback_info info) {
  Args args = arguments(env, info, "renameat2", 5);
  Path from, to;
  int fromfd = int_of(&args, 0), tofd = int_of(&args, 2), flags = int_of(&args, 4);
  path_of(&args, 1, &from);
  path_of(&args, 3, &to);
  if (args.failed) return NULL;
  return done(&args, syscall(SYS_renameat2, fromfd, from.bytes, tofd, to.bytes, flags), to.bytes);
}

// ---- metadata

static napi_value sys_chownat(napi_env env, napi_callback_info info) {
  Args args = arguments(env, info, "fchownat", 4);
  Path path;
  int dirfd = int_of(&args, 0);
  uid_t uid = bits_of(&args, 2);
  gid_t gid = bits_of(&args, 3);
  path_of(&args, 1, &path);
  if (args.failed) return NULL;
  return done(&args, fchownat(dirfd, path.bytes, uid, gid, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH), path.bytes);
}

static napi_value sys_fchmod(napi_env env, napi_callback_info info) {
  Args args = arguments(env, info, "fchmod", 2);
  int fd = int_of(&args, 0);
  mode_t mode = bits_of(&args, 1);
  if (args.failed) return NULL;
  return done(&args, fchmod(fd, mode), NULL);
}

#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif

// One call since Linux 6.6; before that the C library opens with O_PATH, refuses a symlink, and goes through /proc: four calls.
static int chmod_nofollow(int dirfd, const char *path, mode_t mode) {
  long result = syscall(SYS_fchmodat2, dirfd, path, mode, AT_SYMLINK_NOFOLLOW);
  // EPERM: seccomp filters older than the call answer it instead of ENOSYS.
  if (result == 0 || (errno != ENOSYS && errno != EPERM)) return (int)result;
  return fchmodat(dirfd, path, mode, AT_SYMLINK_NOFOLLOW);
}

static napi_value sys_chmodat(napi_env env, napi_callback_info info) {
  Args args = arguments(env, info, "fchmodat", 3);
  Path path;
  int dirfd = int_of(&args, 0);
  mode_t mode = bits_of(&args, 2);
  path_of(&args, 1, &path);
  if (args.failed) return NULL;
  return done(&args, path.length == 0 ? fchmod(dirfd, mode) : chmod_nofollow(dirfd, path.bytes, mode), path.bytes);
}

static napi_value sys_utimesat(napi_env env, napi_callback_info info) {
  Args args = arguments(env, info, "utimensat", 4);
  Path path;
  int dirfd = int_of(&args, 0);
  struct timespec time = {.tv_sec = whole_of(&args, 2, INT64_MIN, INT64_MAX), .tv_nsec = whole_of(&args, 3, 0, 999999999)};
  struct timespec times[2] = {time, time};
  path_of(&args, 1, &path);
  if (args.failed) return NULL;
  int result = path.length == 0 ? futimens(dirfd, times) : utimensat(dirfd, path.bytes, times, AT_SYMLINK_NOFOLLOW);
  return done(&args, result, path.bytes);
}

// ---- locks and durability

static napi_value sys_flock(napi_env env, napi_callback_info info) {
  Args args = arguments(env, info, "flock", 2);
  int fd = int_of(&args, 0), operation = int_of(&args, 1);
  if (args.failed) return NULL;
  int result;
  do result = flock(fd, operation);
  while (result < 0 && errno == EINTR);
  if (result < 0 && errno == EWOULDBLOCK) return bool_value(env, false);
  return result < 0 ? fail(&args, NULL) : bool_value(env, true);
}

static napi_value sys_syncfs(napi_env env, napi_callback_info info) {
  Args args = arguments(env, info, "syncfs", 1);
  int fd = int_of(&args, 0);
  if (args.failed) return NULL;
  return done(&args, syncfs(fd), NULL);
}

// ---- random

// random(size): a Buffer; up to 256 bytes are given whole.
static napi_value sys_random(napi_env env, napi_callback_info info) {
  Args args = arguments(env, info, "getrandom", 1);
  uint8_t bytes[256];
  size_t size = (size_t)whole_of(&args, 0, 0, sizeof bytes);
  if (args.failed) return NULL;
  ssize_t got;
  do got = getrandom(bytes, size, 0);
  while (got < 0 && errno == EINTR);
  return got < 0 ? fail(&args, NULL) : buffer_value(env, bytes, size);
}

// ---- module

#define FUNCTION(name, callback) {name, NULL, callback, NULL, NULL, NULL, napi_enumerable, NULL}

NAPI_MODULE_INIT() {
  const napi_property_descriptor functions[] = {
    FUNCTION("openat", sys_openat),
    FUNCTION("close", sys_close),
    FUNCTION("socketpair", sys_socketpair),
    FUNCTION("sendDescriptor", sys_senddescriptor),
    FUNCTION("statat", sys_statat),
    FUNCTION("readdir", sys_readdir),
    FUNCTION("readlinkat", sys_readlinkat),
    FUNCTION("mkdirat", sys_mkdirat),
    FUNCTION("mknodat", sys_mknodat),
    FUNCTION("symlinkat", sys_symlinkat),
    FUNCTION("linkat", sys_linkat),
    FUNCTION("unlinkat", sys_unlinkat),
    FUNCTION("renameat", sys_renameat),
    FUNCTION("chownat", sys_chownat),
    FUNCTION("fchmod", sys_fchmod),
    FUNCTION("chmodat", sys_chmodat),
    FUNCTION("utimesat", sys_utimesat),
    FUNCTION("listxattrat", sys_listxattrat),
    FUNCTION("getxattrat", sys_getxattrat),
    FUNCTION("setxattrat", sys_setxattrat),
    FUNCTION("removexattrat", sys_removexattrat),
    FUNCTION("copyFile", sys_copyfile),
    FUNCTION("copyRange", sys_copyrange),
    FUNCTION("startWriteback", sys_startwriteback),
    FUNCTION("random", sys_random),
    FUNCTION("sha256", sys_sha256),
    FUNCTION("sha256Begin", sys_sha256begin),
    FUNCTION("sha256Add", sys_sha256add),
    FUNCTION("sha256Update", sys_sha256update),
    FUNCTION("sha256File", sys_sha256file),
    FUNCTION("sha256End", sys_sha256end),
    FUNCTION("mapBytes", sys_mapbytes),
    FUNCTION("mapText", sys_maptext),
    FUNCTION("scanEach", sys_scaneach),
    FUNCTION("statEach", sys_stateach),
    FUNCTION("copyEach", sys_copyeach),
    FUNCTION("readEach", sys_readeach),
    FUNCTION("writeEach", sys_writeeach),
    FUNCTION("deflate", sys_deflate),
    FUNCTION("zstdFrame", sys_zstdframe),
    FUNCTION("zstdPiece", sys_zstdpiece),
    FUNCTION("zstdDecoder", sys_zstddecoder),
    FUNCTION("zstdDecode", sys_zstddecode),
    FUNCTION("flock", sys_flock),
    FUNCTION("syncfs", sys_syncfs),
  };
  napi_define_properties(env, exports, sizeof functions / sizeof functions[0], functions);
  return exports;
}
