/*
 * Counts the system calls of a process (all its threads) that change what lies below $FAULT_ROOT, and lets one of them go wrong. LD_PRELOADed into
 * tbuild by fault.ts. The sandbox's runner is static and does not load it.
 *
 *   FAULT_ROOT   an absolute path; calls on other files pass
 *   FAULT_COUNT  a file that receives the count as text when the process exits
 *   FAULT_AT     the number of the call, from 1
 *   FAULT_DO     kill: SIGKILL before the call, a write after half of its bytes; otherwise an errno that the call fails with
 *   FAULT_STAY   with an errno: the calls after it fail too
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static char root[4096];
static size_t root_length;
static long at, error_number;
static int kills, stays;
static atomic_long count;

__attribute__((constructor)) static void begin(void) {
  const char *value = getenv("FAULT_ROOT");
  if (!value) return;
  snprintf(root, sizeof root, "%s", value);
  root_length = strlen(root);
  if ((value = getenv("FAULT_AT"))) at = atol(value);
  if ((value = getenv("FAULT_DO"))) {
    kills = strcmp(value, "kill") == 0;
    error_number = atol(value);
  }
  stays = getenv("FAULT_STAY") != NULL;
}

__attribute__((destructor)) static void end(void) {
  const char *file = getenv("FAULT_COUNT");
  if (!root_length || !file) return;
  char text[32];
  int length = snprintf(text, sizeof text, "%ld", atomic_load(&count));
  int fd = syscall(SYS_openat, AT_FDCWD, file, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  if (fd < 0) return;
  syscall(SYS_write, fd, text, length);
  syscall(SYS_close, fd);
}

static int below(const char *path) {
  return strncmp(path, root, root_length) == 0 && (path[root_length] == 0 || path[root_length] == '/');
}

static int fd_below(int fd) {
  char link[64], path[4096];
  if (!root_length || fd < 0) return 0;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return 0;
  path[length] = 0;
  return below(path);
}

static int path_below(int dirfd, const char *path) {
  if (!root_length || !path) return 0;
  if (strncmp(path, "/proc/self/fd/", 14) == 0) return fd_below(atoi(path + 14));
  if (path[0] == '/') return below(path);
  return dirfd != AT_FDCWD && fd_below(dirfd);
}

/* True when the call is to fail; errno is set. */
static int wrong(int counted) {
  if (!counted) return 0;
  long now = atomic_fetch_add(&count, 1) + 1;
  if (!at || now < at || (now > at && !stays)) return 0;
  if (kills) kill(getpid(), SIGKILL);
  errno = (int)error_number;
  return 1;
}

/* A write that is killed leaves half of its bytes. */
static int wrong_write(int fd, const void *data, size_t size, off_t offset) {
  int counted = fd_below(fd);
  if (counted && kills && atomic_load(&count) + 1 == at && size > 1) {
    if (offset < 0) syscall(SYS_write, fd, data, size / 2);
    else syscall(SYS_pwrite64, fd, data, size / 2, offset);
  }
  return wrong(counted);
}

#define NEXT(result, name, ...)                                     \
  static result (*next)(__VA_ARGS__);                               \
  if (!next) next = (result (*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

#define PATH_CALL(name, types, arguments, where)                    \
  int name types {                                                  \
    static int (*next) types;                                       \
    if (!next) next = (int (*) types)dlsym(RTLD_NEXT, #name);       \
    if (wrong(where)) return -1;                                    \
    return next arguments;                                          \
  }

PATH_CALL(mkdir, (const char *p, mode_t m), (p, m), path_below(AT_FDCWD, p))
PATH_CALL(mkdirat, (int d, const char *p, mode_t m), (d, p, m), path_below(d, p))
PATH_CALL(mknodat, (int d, const char *p, mode_t m, dev_t v), (d, p, m, v), path_below(d, p))
PATH_CALL(rename, (const char *a, const char *b), (a, b), path_below(AT_FDCWD, a) || path_below(AT_FDCWD, b))
PATH_CALL(renameat, (int c, const char *a, int d, const char *b), (c, a, d, b), path_below(c, a) || path_below(d, b))
PATH_CALL(link, (const char *a, const char *b), (a, b), path_below(AT_FDCWD, b))
PATH_CALL(linkat, (int c, const char *a, int d, const char *b, int f), (c, a, d, b, f), path_below(d, b))
PATH_CALL(symlink, (const char *a, const char *b), (a, b), path_below(AT_FDCWD, b))
PATH_CALL(symlinkat, (const char *a, int d, const char *b), (a, d, b), path_below(d, b))
PATH_CALL(unlink, (const char *p), (p), path_below(AT_FDCWD, p))
PATH_CALL(unlinkat, (int d, const char *p, int f), (d, p, f), path_below(d, p))
PATH_CALL(rmdir, (const char *p), (p), path_below(AT_FDCWD, p))
PATH_CALL(chmod, (const char *p, mode_t m), (p, m), path_below(AT_FDCWD, p))
PATH_CALL(fchmod, (int d, mode_t m), (d, m), fd_below(d))
PATH_CALL(fchmodat, (int d, const char *p, mode_t m, int f), (d, p, m, f), path_below(d, p))
PATH_CALL(chown, (const char *p, uid_t u, gid_t g), (p, u, g), path_below(AT_FDCWD, p))
PATH_CALL(lchown, (const char *p, uid_t u, gid_t g), (p, u, g), path_below(AT_FDCWD, p))
PATH_CALL(fchown, (int d, uid_t u, gid_t g), (d, u, g), fd_below(d))
PATH_CALL(fchownat, (int d, const char *p, uid_t u, gid_t g, int f), (d, p, u, g, f), path_below(d, p))
PATH_CALL(utimensat, (int d, const char *p, const struct timespec t[2], int f), (d, p, t, f), path_below(d, p))
PATH_CALL(futimens, (int d, const struct timespec t[2]), (d, t), fd_below(d))
PATH_CALL(setxattr, (const char *p, const char *n, const void *v, size_t s, int f), (p, n, v, s, f), path_below(AT_FDCWD, p))
PATH_CALL(lsetxattr, (const char *p, const char *n, const void *v, size_t s, int f), (p, n, v, s, f), path_below(AT_FDCWD, p))
PATH_CALL(removexattr, (const char *p, const char *n), (p, n), path_below(AT_FDCWD, p))
PATH_CALL(lremovexattr, (const char *p, const char *n), (p, n), path_below(AT_FDCWD, p))
PATH_CALL(ftruncate, (int d, off_t s), (d, s), fd_below(d))
PATH_CALL(ftruncate64, (int d, off_t s), (d, s), fd_below(d))
PATH_CALL(fsync, (int d), (d), fd_below(d))
PATH_CALL(fdatasync, (int d), (d), fd_below(d))
PATH_CALL(syncfs, (int d), (d), fd_below(d))
PATH_CALL(flock, (int d, int o), (d, o), fd_below(d))

char *mkdtemp(char *template) {
  NEXT(char *, "mkdtemp", char *);
  return wrong(path_below(AT_FDCWD, template)) ? NULL : next(template);
}

static int creates(int flags) {
  return (flags & (O_CREAT | O_TRUNC)) != 0;
}

#define OPEN(name)                                                                             \
  int name(const char *path, int flags, ...) {                                                 \
    NEXT(int, #name, const char *, int, ...);                                                  \
    va_list list;                                                                              \
    va_start(list, flags);                                                                     \
    mode_t mode = va_arg(list, mode_t);                                                        \
    va_end(list);                                                                              \
    return wrong(creates(flags) && path_below(AT_FDCWD, path)) ? -1 : next(path, flags, mode); \
  }
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                                                                 \
  int name(int dirfd, const char *path, int flags, ...) {                                            \
    NEXT(int, #name, int, const char *, int, ...);                                                   \
    va_list list;                                                                                    \
    va_start(list, flags);                                                                           \
    mode_t mode = va_arg(list, mode_t);                                                              \
    va_end(list);                                                                                    \
    return wrong(creates(flags) && path_below(dirfd, path)) ? -1 : next(dirfd, path, flags, mode);   \
  }
OPENAT(openat)
OPENAT(openat64)

ssize_t write(int fd, const void *data, size_t size) {
  NEXT(ssize_t, "write", int, const void *, size_t);
  return wrong_write(fd, data, size, -1) ? -1 : next(fd, data, size);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset) {
  NEXT(ssize_t, "pwrite", int, const void *, size_t, off_t);
  return wrong_write(fd, data, size, offset) ? -1 : next(fd, data, size, offset);
}

ssize_t pwrite64(int fd, const void *data, size_t size, off_t offset) {
  NEXT(ssize_t, "pwrite64", int, const void *, size_t, off_t);
  return wrong_write(fd, data, size, offset) ? -1 : next(fd, data, size, offset);
}

ssize_t writev(int fd, const struct iovec *parts, int number) {
  NEXT(ssize_t, "writev", int, const struct iovec *, int);
  return wrong(fd_below(fd)) ? -1 : next(fd, parts, number);
}

ssize_t pwritev64(int fd, const struct iovec *parts, int number, off_t offset) {
  NEXT(ssize_t, "pwritev64", int, const struct iovec *, int, off_t);
  return wrong(fd_below(fd)) ? -1 : next(fd, parts, number, offset);
}

ssize_t sendfile64(int to, int from, off_t *offset, size_t size) {
  NEXT(ssize_t, "sendfile64", int, int, off_t *, size_t);
  return wrong(fd_below(to)) ? -1 : next(to, from, offset, size);
}

ssize_t copy_file_range(int from, off64_t *in, int to, off64_t *out, size_t size, unsigned flags) {
  NEXT(ssize_t, "copy_file_range", int, off64_t *, int, off64_t *, size_t, unsigned);
  return wrong(fd_below(to)) ? -1 : next(from, in, to, out, size, flags);
}

int ioctl(int fd, unsigned long request, ...) {
  NEXT(int, "ioctl", int, unsigned long, ...);
  va_list list;
  va_start(list, request);
  void *argument = va_arg(list, void *);
  va_end(list);
  if ((request == FICLONE || request == FICLONERANGE) && wrong(fd_below(fd))) return -1;
  return next(fd, request, argument);
}

struct open_how_head {
  unsigned long long flags;
};

/* The calls that libc has no function for. */
long syscall(long number, ...) {
  NEXT(long, "syscall", long, ...);
  va_list list;
  va_start(list, number);
  long a = va_arg(list, long), b = va_arg(list, long), c = va_arg(list, long);
  long d = va_arg(list, long), e = va_arg(list, long), f = va_arg(list, long);
  va_end(list);
  int counted = 0;
  if (number == SYS_openat2) counted = creates((int)((struct open_how_head *)c)->flags) && path_below((int)a, (const char *)b);
  else if (number == SYS_renameat2) counted = path_below((int)a, (const char *)b) || path_below((int)c, (const char *)d);
  else if (number == 452 /* fchmodat2 */) counted = path_below((int)a, (const char *)b);
  else if (number == SYS_copy_file_range) counted = fd_below((int)c);
  return wrong(counted) ? -1 : next(number, a, b, c, d, e, f);
}
