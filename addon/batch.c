#define _GNU_SOURCE
#include "batch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "listing.h"
#include "work.h"

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

// ---- work on many files of one directory, on a thread of libuv's pool

enum { BLOCK = 65536 };

// Where the content of a file goes.
typedef struct {
  size_t offset, size;
} Place;

typedef struct Batch Batch;
struct Batch {
  Work work;
  // A question about one file: whether it is done; then its `left` is 0.
  bool (*is_done)(const Batch *batch, int from, const char *name, size_t index);
  int from;
  size_t count;
  uint8_t *left; // a byte a file
  // Of copyEach.
  int to;
  Metadata *files;
  char *block;
  // Of readEach.
  Place *places;
  uint8_t *into; // the caller's, which does not touch it before it has the result
  size_t size;
  uint8_t records[];
};

static void batch_execute(Work *work) {
  Batch *batch = (Batch *)work;
  Records records = {batch->records, batch->records + batch->size};
  char name[NAME_MAX + 1];
  for (size_t index = 0; next_name(&records, name); index++) {
    int from = openat(batch->from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (from < 0) continue;
    batch->left[index] = !batch->is_done(batch, from, name, index);
    close(from);
  }
}

static napi_value batch_result(napi_env env, Work *work) {
  Batch *batch = (Batch *)work;
  return buffer_value(env, batch->left, batch->count);
}

static void batch_release(Work *work) {
  Batch *batch = (Batch *)work;
  if (batch->from >= 0) close(batch->from);
  if (batch->to >= 0) close(batch->to);
  free(batch->files);
  free(batch->block);
  free(batch->places);
  free(batch->left);
  free(batch);
}

// NULL when there is no memory. All files are left undone until they are done.
static Batch *batch_new(const char *name, const Records *records, size_t count) {
  size_t size = (size_t)(records->end - records->at);
  Batch *batch = malloc(sizeof *batch + size);
  if (batch == NULL) return NULL;
  Work work = {.name = name, .execute = batch_execute, .result = batch_result, .release = batch_release};
  *batch = (Batch){.work = work, .from = -1, .to = -1, .count = count, .size = size, .left = malloc(count + 1)};
  if (size > 0) memcpy(batch->records, records->at, size);
  if (batch->left != NULL) memset(batch->left, 1, count);
  return batch;
}

// A call: the duplicate is closed with the batch, the caller's descriptor whenever it likes.
static int duplicate(int fd) { return fcntl(fd, F_DUPFD_CLOEXEC, 0); }

// overlayfs's own, which mean nothing to anybody else: what a RUN changes has trusted.overlay.origin.
static bool is_overlays(const char *name) {
  return strncmp(name, "trusted.overlay.", strlen("trusted.overlay.")) == 0 || strncmp(name, "user.overlay.", strlen("user.overlay.")) == 0;
}

// A question. More names than fit in here are not overlayfs's alone.
static bool has_attributes(int fd) {
  char names[256];
  ssize_t length = flistxattr(fd, names, sizeof names);
  if (length < 0) return errno != ENOTSUP && errno != EOPNOTSUPP;
  for (ssize_t at = 0; at < length; at += (ssize_t)strlen(names + at) + 1) {
    if (!is_overlays(names + at)) return true;
  }
  return false;
}

// A question: whether it is a regular file without extended attributes of its own, as nearly all are.
static bool is_plain(int fd, struct stat *st) { return fstat(fd, st) == 0 && S_ISREG(st->st_mode) && !has_attributes(fd); }

// ---- copyEach

int write_all(int fd, const char *data, size_t length) {
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

// Asking what the kernel made is cheaper than chown and chmod, which are transactions of the file system. chown clears special bits: it comes first.
int set_metadata(int fd, const Metadata *file) {
  struct stat st;
  if (fstat(fd, &st) < 0) return -1;
  bool owned = st.st_uid == file->uid && st.st_gid == file->gid;
  if (!owned && fchown(fd, file->uid, file->gid) < 0) return -1;
  if ((!owned || (st.st_mode & 07777) != file->mode) && fchmod(fd, file->mode) < 0) return -1;
  struct timespec times[2] = {file->mtime, file->mtime};
  return futimens(fd, times);
}

// A question: whether the file is there, whole; otherwise there is none of that name that was not there before.
static bool copy_is_done(const Batch *batch, int from, const char *name, size_t index) {
  struct stat st;
  const Metadata *file = &batch->files[index];
  if (!is_plain(from, &st)) return false;
  int to = openat(batch->to, name, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, file->mode & 0777);
  if (to < 0) return false;
  bool made = is_copied(from, to, st.st_size, batch->block) && set_metadata(to, file) == 0;
  if (close(to) < 0) made = false;
  if (!made) unlinkat(batch->to, name, 0);
  return made;
}

Metadata metadata_of(const double *fields) {
  return (Metadata){.mode = (mode_t)fields[COPY_MODE], .uid = (uid_t)fields[COPY_UID], .gid = (gid_t)fields[COPY_GID],
                    .mtime = {.tv_sec = (time_t)fields[COPY_MTIME_SECONDS], .tv_nsec = (long)fields[COPY_MTIME_NANOSECONDS]}};
}

bool is_metadata(const double *fields) {
  for (int index = COPY_MODE; index <= COPY_GID; index++) {
    if (!(fields[index] >= 0 && fields[index] <= UINT32_MAX)) return false;
  }
  return fields[COPY_MTIME_SECONDS] >= -0x1p62 && fields[COPY_MTIME_SECONDS] <= 0x1p62 && fields[COPY_MTIME_NANOSECONDS] >= 0 && fields[COPY_MTIME_NANOSECONDS] < 1e9;
}

static Batch *copy_new(const Records *records, const double *fields, size_t count) {
  Batch *batch = batch_new("copyEach", records, count);
  if (batch == NULL) return NULL;
  batch->is_done = copy_is_done;
  batch->files = calloc(count + 1, sizeof *batch->files);
  batch->block = malloc(BLOCK);
  if (batch->left != NULL && batch->files != NULL && batch->block != NULL) {
    for (size_t index = 0; index < count; index++) batch->files[index] = metadata_of(fields + index * COPY_FIELDS);
    return batch;
  }
  batch_release(&batch->work);
  return NULL;
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
  Batch *batch = copy_new(&records, fields, count);
  if (batch == NULL) return fail(&args, NULL);
  if ((batch->from = duplicate(from)) >= 0 && (batch->to = duplicate(to)) >= 0) return begin_work(&args, &batch->work);
  fail(&args, NULL);
  batch_release(&batch->work);
  return NULL;
}

// ---- readEach

// A question: whether it has as many bytes as were expected, and all of them were read.
static bool read_is_done(const Batch *batch, int from, const char *name, size_t index) {
  (void)name;
  struct stat st;
  const Place *place = &batch->places[index];
  if (!is_plain(from, &st) || (size_t)st.st_size != place->size) return false;
  for (size_t total = 0; total < place->size;) {
    ssize_t got = read(from, batch->into + place->offset + total, place->size - total);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    total += (size_t)got;
  }
  return true;
}

// Whether each place is inside of a buffer of that length.
static bool are_places(const double *fields, size_t count, size_t length) {
  for (const double *end = fields + count * READ_FIELDS; fields < end; fields += READ_FIELDS) {
    double offset = fields[READ_OFFSET], size = fields[READ_SIZE];
    if (!(offset >= 0 && size >= 0 && offset <= (double)length && size <= (double)length && offset + size <= (double)length)) return false;
  }
  return true;
}

static Batch *read_new(const Records *records, const double *fields, size_t count, uint8_t *into) {
  Batch *batch = batch_new("readEach", records, count);
  if (batch == NULL) return NULL;
  batch->is_done = read_is_done;
  batch->into = into;
  batch->places = calloc(count + 1, sizeof *batch->places);
  if (batch->left != NULL && batch->places != NULL) {
    for (size_t index = 0; index < count; index++) {
      const double *place = fields + index * READ_FIELDS;
      batch->places[index] = (Place){.offset = (size_t)place[READ_OFFSET], .size = (size_t)place[READ_SIZE]};
    }
    return batch;
  }
  batch_release(&batch->work);
  return NULL;
}

// readEach(fd, records, fields: Float64Array(READ_FIELDS a record), into: Uint8Array): a promise as of copyEach. Reads regular files of one directory, each to its
// place in `into`, which must not be touched meanwhile. One of another size than was expected is left undone, too.
napi_value sys_readeach(napi_env env, napi_callback_info info) {
  Args args = arguments(env, info, "readEach", 4);
  Records records;
  int from = int_of(&args, 0);
  size_t length, count = records_of(&args, 1, &records);
  const double *fields = numbers_of(&args, 2, count * READ_FIELDS);
  const uint8_t *into = bytes_of(&args, 3, &length);
  if (!args.failed && !are_places(fields, count, length)) refuse(&args, "ERR_OUT_OF_RANGE", "a file has no place in the buffer");
  if (args.failed) return NULL;
  errno = ENOMEM;
  Batch *batch = read_new(&records, fields, count, (uint8_t *)into);
  if (batch == NULL) return fail(&args, NULL);
  if ((batch->from = duplicate(from)) >= 0) return begin_work(&args, &batch->work);
  fail(&args, NULL);
  batch_release(&batch->work);
  return NULL;
}
