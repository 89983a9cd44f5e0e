#define _GNU_SOURCE
#include "batch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

// Numbers in JavaScript are exact to 2^53. overlayfs with xino keeps a layer's index in the top bits of st_ino, so they are folded in below that bound instead of
// being rounded away: two inodes would otherwise look like hard links of one another.
static double fold_inode(uint64_t inode) { return (double)((inode & ((UINT64_C(1) << 53) - 1)) ^ ((inode >> 53) << 42)); }

void write_stat(double *fields, const struct stat *st) {
  fields[STAT_DEV] = (double)st->st_dev;
  fields[STAT_INO] = fold_inode(st->st_ino);
  fields[STAT_MODE] = st->st_mode;
  fields[STAT_NLINK] = (double)st->st_nlink;
  fields[STAT_UID] = st->st_uid;
  fields[STAT_GID] = st->st_gid;
  fields[STAT_RDEV_MAJOR] = major(st->st_rdev);
  fields[STAT_RDEV_MINOR] = minor(st->st_rdev);
  fields[STAT_SIZE] = (double)st->st_size;
  fields[STAT_MTIME_SECONDS] = (double)st->st_mtim.tv_sec;
  fields[STAT_MTIME_NANOSECONDS] = (double)st->st_mtim.tv_nsec;
  fields[STAT_CTIME_SECONDS] = (double)st->st_ctim.tv_sec;
  fields[STAT_CTIME_NANOSECONDS] = (double)st->st_ctim.tv_nsec;
}

// ---- records { u8 type, u16le length, name } as readdir gives them

typedef struct {
  const uint8_t *at, *end;
} Records;

enum { RECORD_HEADER = 3 };

// A question: whether there is another name; ended by NUL.
static bool next_name(Records *records, char name[NAME_MAX + 1]) {
  if (records->at == records->end) return false;
  size_t length = records->at[1] | (size_t)records->at[2] << 8;
  memcpy(name, records->at + RECORD_HEADER, length);
  name[length] = '\0';
  records->at += RECORD_HEADER + length;
  return true;
}

// How many there are. Each has a name without slash and NUL.
static size_t records_of(Args *args, int index, Records *records) {
  size_t size, count = 0;
  records->at = bytes_of(args, index, &size);
  records->end = records->at + size;
  for (const uint8_t *at = records->at; at < records->end && !args->failed; count++) {
    size_t left = (size_t)(records->end - at), length = left < RECORD_HEADER ? 0 : at[1] | (size_t)at[2] << 8;
    const uint8_t *name = at + RECORD_HEADER;
    bool is_name = length > 0 && length <= NAME_MAX && length <= left - RECORD_HEADER && !memchr(name, '/', length) && !memchr(name, '\0', length);
    if (!is_name) refuse(args, "ERR_INVALID_ARG_VALUE", "names of one directory are needed here");
    at = name + length;
  }
  return args->failed ? 0 : count;
}

// statEach(dirfd, records, fields: Float64Array(STAT_FIELDS a record)); a mode of 0 where nothing is there any more.
napi_value sys_stateach(napi_env env, napi_callback_info info) {
  Args args = arguments(env, info, "fstatat", 3);
  Records records;
  int dirfd = int_of(&args, 0);
  size_t count = records_of(&args, 1, &records);
  double *fields = numbers_of(&args, 2, count * STAT_FIELDS);
  if (args.failed) return NULL;
  char name[NAME_MAX + 1];
  for (; next_name(&records, name); fields += STAT_FIELDS) {
    struct stat st;
    if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0) write_stat(fields, &st);
    else if (errno == ENOENT) fields[STAT_MODE] = 0;
    else return fail(&args, name);
  }
  return NULL;
}

// ---- copyEach

// What a copy gets.
typedef struct {
  mode_t mode;
  uid_t uid;
  gid_t gid;
  struct timespec mtime;
} Metadata;

typedef struct {
  napi_async_work work;
  napi_deferred deferred;
  int from, to;
  size_t count;
  Metadata *files;
  uint8_t *left; // a byte a file
  size_t size;
  uint8_t records[];
} CopyWork;

enum { BLOCK = 65536 };

// A call.
static int write_all(int fd, const char *data, size_t length) {
  while (length > 0) {
    ssize_t count = write(fd, data, length);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return -1;
    data += count;
    length -= (size_t)count;
  }
  return 0;
}

// A question: whether all of it was copied, and it was as long as it said.
static bool is_copied(int from, int to, off_t size, char *block) {
  off_t total = 0;
  for (;;) {
    ssize_t got = read(from, block, BLOCK);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 || (got > 0 && write_all(to, block, (size_t)got) < 0)) return false;
    total += got;
    if (got < BLOCK && total >= size) return total == size;
    if (got == 0) return false;
  }
}

// A call. Asking what the kernel made is cheaper than chown and chmod, which are transactions of the file system. chown clears special bits: it comes first.
static int set_metadata(int fd, const Metadata *file) {
  struct stat st;
  if (fstat(fd, &st) < 0) return -1;
  bool owned = st.st_uid == file->uid && st.st_gid == file->gid;
  if (!owned && fchown(fd, file->uid, file->gid) < 0) return -1;
  if ((!owned || (st.st_mode & 07777) != file->mode) && fchmod(fd, file->mode) < 0) return -1;
  struct timespec times[2] = {file->mtime, file->mtime};
  return futimens(fd, times);
}

static bool has_attributes(int fd) {
  ssize_t length = flistxattr(fd, NULL, 0);
  return length > 0 || (length < 0 && errno != ENOTSUP && errno != EOPNOTSUPP);
}

// A question: whether the file is there, whole; otherwise there is none of that name that was not there before.
static bool is_made(const CopyWork *work, int from, const char *name, const Metadata *file, char *block) {
  struct stat st;
  if (fstat(from, &st) < 0 || !S_ISREG(st.st_mode) || has_attributes(from)) return false;
  int to = openat(work->to, name, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, file->mode & 0777);
  if (to < 0) return false;
  bool made = is_copied(from, to, st.st_size, block) && set_metadata(to, file) == 0;
  if (close(to) < 0) made = false;
  if (!made) unlinkat(work->to, name, 0);
  return made;
}

static void copy_execute(napi_env env, void *data) {
  (void)env;
  CopyWork *work = data;
  Records records = {work->records, work->records + work->size};
  char name[NAME_MAX + 1], *block = malloc(BLOCK);
  for (size_t index = 0; block != NULL && next_name(&records, name); index++) {
    int from = openat(work->from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (from < 0) continue;
    work->left[index] = !is_made(work, from, name, &work->files[index], block);
    close(from);
  }
  free(block);
}

static void copy_free(CopyWork *work) {
  if (work->from >= 0) close(work->from);
  if (work->to >= 0) close(work->to);
  free(work->files);
  free(work->left);
  free(work);
}

static void copy_complete(napi_env env, napi_status status, void *data) {
  CopyWork *work = data;
  napi_value left = status == napi_ok ? buffer_value(env, work->left, work->count) : NULL;
  if (left != NULL) napi_resolve_deferred(env, work->deferred, left);
  else napi_reject_deferred(env, work->deferred, error_value(env, status == napi_ok ? ENOMEM : ECANCELED, "copyEach", NULL));
  napi_delete_async_work(env, work->work);
  copy_free(work);
}

static Metadata metadata_of(const double *fields) {
  return (Metadata){.mode = (mode_t)fields[COPY_MODE], .uid = (uid_t)fields[COPY_UID], .gid = (gid_t)fields[COPY_GID],
                    .mtime = {.tv_sec = (time_t)fields[COPY_MTIME_SECONDS], .tv_nsec = (long)fields[COPY_MTIME_NANOSECONDS]}};
}

static bool is_metadata(const double *fields) {
  for (int index = COPY_MODE; index <= COPY_GID; index++) {
    if (!(fields[index] >= 0 && fields[index] <= UINT32_MAX)) return false;
  }
  return fields[COPY_MTIME_SECONDS] >= -0x1p62 && fields[COPY_MTIME_SECONDS] <= 0x1p62 && fields[COPY_MTIME_NANOSECONDS] >= 0 && fields[COPY_MTIME_NANOSECONDS] < 1e9;
}

static CopyWork *copy_new(const Records *records, const double *fields, size_t count) {
  size_t size = (size_t)(records->end - records->at);
  CopyWork *work = malloc(sizeof *work + size);
  if (work == NULL) return NULL;
  *work = (CopyWork){.from = -1, .to = -1, .count = count, .size = size, .files = calloc(count + 1, sizeof *work->files), .left = malloc(count + 1)};
  if (size > 0) memcpy(work->records, records->at, size);
  if (work->files != NULL && work->left != NULL) {
    memset(work->left, 1, count);
    for (size_t index = 0; index < count; index++) work->files[index] = metadata_of(fields + index * COPY_FIELDS);
    return work;
  }
  copy_free(work);
  return NULL;
}

// A call: hands the work to a thread of libuv's pool.
static int copy_start(napi_env env, CopyWork *work, napi_value *promise) {
  napi_value name = NULL;
  napi_create_string_utf8(env, "tbuild.copyEach", NAPI_AUTO_LENGTH, &name);
  errno = ENOMEM;
  if (napi_create_async_work(env, NULL, name, copy_execute, copy_complete, work, &work->work) != napi_ok) return -1;
  if (napi_create_promise(env, &work->deferred, promise) == napi_ok && napi_queue_async_work(env, work->work) == napi_ok) return 0;
  napi_delete_async_work(env, work->work);
  errno = ENOMEM;
  return -1;
}

// copyEach(fromfd, tofd, records, fields: Float64Array(COPY_FIELDS a record)): a promise of a Buffer with a byte a file, 1 for those that were left undone. Copies
// regular files of one directory to new ones of the same names in another. What is not plain (attributes, a name that is taken, any error) is left to the
// caller, whose calls then say what is wrong.
napi_value sys_copyeach(napi_env env, napi_callback_info info) {
  Args args = arguments(env, info, "copyEach", 4);
  Records records;
  int from = int_of(&args, 0), to = int_of(&args, 1);
  size_t count = records_of(&args, 2, &records);
  const double *fields = numbers_of(&args, 3, count * COPY_FIELDS);
  for (size_t index = 0; index < count && !args.failed; index++) {
    if (!is_metadata(fields + index * COPY_FIELDS)) refuse(&args, "ERR_OUT_OF_RANGE", "a mode, an id or a time is out of range");
  }
  if (args.failed) return NULL;
  errno = ENOMEM;
  CopyWork *work = copy_new(&records, fields, count);
  if (work == NULL) return fail(&args, NULL);
  napi_value promise = NULL;
  // Duplicates: the caller's descriptors are closed whenever it likes.
  if ((work->from = fcntl(from, F_DUPFD_CLOEXEC, 0)) >= 0 && (work->to = fcntl(to, F_DUPFD_CLOEXEC, 0)) >= 0 && copy_start(env, work, &promise) == 0) return promise;
  fail(&args, NULL);
  copy_free(work);
  return NULL;
}
