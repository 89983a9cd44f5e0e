#define _GNU_SOURCE
#include "copy.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include "work.h"

// A call: bytes at offset `in` to offset `out` by read and write, for file systems between which copy_file_range does not work.
static ssize_t copy_by_hand(int from, off_t in, int to, off_t out, size_t length) {
  char block[65536];
  ssize_t got = pread(from, block, length < sizeof block ? length : sizeof block, in);
  for (ssize_t put = 0; got > 0 && put < got;) {
    ssize_t count = pwrite(to, block + put, (size_t)(got - put), out + put);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return -1;
    put += count;
  }
  return got;
}

// Below this a read and a write are cheaper than the kernel's splice machinery.
enum { SMALL = 65536 };

// A call.
static ssize_t copy_some(int from, off_t in, int to, off_t out, size_t length, bool *by_hand) {
  if (!*by_hand && length > SMALL) {
    loff_t next_in = in, next_out = out;
    ssize_t count = copy_file_range(from, &next_in, to, &next_out, length, 0);
    // 0 is what some file systems (procfs, FUSE) answer instead of an error.
    if (count > 0) return count;
    if (count < 0 && errno != EXDEV && errno != EINVAL && errno != ENOSYS && errno != EOPNOTSUPP && errno != EPERM && errno != EINTR) return -1;
    *by_hand = true;
  }
  return copy_by_hand(from, in, to, out, length);
}

// Where the next data ends that is to be copied; moves `offset` over a hole before it, at most to `end`.
static off_t next_data(int from, off_t size, off_t *offset, off_t end) {
  off_t data = lseek(from, *offset, SEEK_DATA);
  if (data < 0 && errno == ENXIO) data = size;
  if (data > *offset) *offset = data;
  if (*offset >= end) return *offset;
  off_t hole = lseek(from, *offset, SEEK_HOLE);
  return hole > *offset && hole < end ? hole : end;
}

// A call: copies from `offset` to `end`, holes left out, and says in `offset` how far it came.
static int copy_range(int from, int to, const struct stat *st, off_t *offset, off_t end) {
  bool sparse = (off_t)st->st_blocks * 512 < st->st_size, by_hand = false;
  while (*offset < end) {
    off_t stop = sparse ? next_data(from, st->st_size, offset, end) : end;
    if (*offset >= stop) break;
    ssize_t count = copy_some(from, *offset, to, *offset, (size_t)(stop - *offset), &by_hand);
    if (count < 0 && errno == EINTR) continue;
    // It is shorter than it was.
    if (count == 0) errno = EIO;
    if (count <= 0) return -1;
    *offset += count;
  }
  return sparse && *offset >= st->st_size ? ftruncate(to, st->st_size) : 0;
}

// copyFile(from, to, offset, limit): copies up to `limit` bytes from `offset` on, holes left out, and returns the offset reached. The file is complete when that is
// the size of the source. Large files are copied in several calls, so that the event loop goes on.
napi_value sys_copyfile(napi_env env, napi_callback_info info) {
  Args args = arguments(env, info, "copy_file_range", 4);
  int from = int_of(&args, 0), to = int_of(&args, 1);
  off_t offset = whole_of(&args, 2, 0, INT64_MAX), limit = whole_of(&args, 3, 1, INT64_MAX);
  if (args.failed) return NULL;
  struct stat st;
  if (fstat(from, &st) < 0) return fail(&args, NULL);
  if (offset == 0 && st.st_size > SMALL && ioctl(to, FICLONE, from) == 0) return number_value(env, (double)st.st_size);
  off_t end = st.st_size - offset < limit ? st.st_size : offset + limit;
  return copy_range(from, to, &st, &offset, end) < 0 ? fail(&args, NULL) : number_value(env, (double)offset);
}

// ---- copyRange

typedef struct {
  Work work;
  int from, to;
  off_t in, out;
  size_t length;
} RangeWork;

static void range_release(Work *work) {
  RangeWork *own = (RangeWork *)work;
  if (own->from >= 0) close(own->from);
  if (own->to >= 0) close(own->to);
  free(own);
}

static RangeWork *range_new(const char *name, void (*execute)(Work *), napi_value (*result)(napi_env, Work *)) {
  RangeWork *own = calloc(1, sizeof *own);
  if (own == NULL) return NULL;
  own->work = (Work){.name = name, .execute = execute, .result = result, .release = range_release};
  own->from = own->to = -1;
  return own;
}

static napi_value range_result(napi_env env, Work *work) { return number_value(env, (double)((RangeWork *)work)->length); }

static void copy_bytes(Work *work) {
  RangeWork *own = (RangeWork *)work;
  bool by_hand = false;
  for (size_t done = 0; done < own->length;) {
    ssize_t count = copy_some(own->from, own->in + (off_t)done, own->to, own->out + (off_t)done, own->length - done, &by_hand);
    if (count < 0 && errno == EINTR) continue;
    // It is shorter than it was.
    if (count == 0) errno = EIO;
    if (count <= 0) {
      work->error = errno;
      return;
    }
    done += (size_t)count;
  }
}

// copyRange(from, in, to, out, length): a promise. Copies bytes of one file to a place in another. Both descriptors may be closed when this returns.
napi_value sys_copyrange(napi_env env, napi_callback_info info) {
  Args args = arguments(env, info, "copy_file_range", 5);
  int from = int_of(&args, 0), to = int_of(&args, 2);
  off_t in = whole_of(&args, 1, 0, INT64_MAX), out = whole_of(&args, 3, 0, INT64_MAX);
  int64_t length = whole_of(&args, 4, 0, INT64_MAX);
  if (args.failed) return NULL;
  errno = ENOMEM;
  RangeWork *own = range_new("copy_file_range", copy_bytes, range_result);
  if (own == NULL) return fail(&args, NULL);
  own->in = in;
  own->out = out;
  own->length = (size_t)length;
  if ((own->from = fcntl(from, F_DUPFD_CLOEXEC, 0)) >= 0 && (own->to = fcntl(to, F_DUPFD_CLOEXEC, 0)) >= 0) return begin_work(&args, &own->work);
  fail(&args, NULL);
  range_release(&own->work);
  return NULL;
}

// ---- startWriteback

static void begin_writeback(Work *work) {
  RangeWork *own = (RangeWork *)work;
  if (sync_file_range(own->from, own->in, (off_t)own->length, SYNC_FILE_RANGE_WRITE) < 0) work->error = errno;
}

// startWriteback(fd, offset, length): a promise. Has the disk begin with these bytes; the kernel may keep the thread until it has room for more.
napi_value sys_startwriteback(napi_env env, napi_callback_info info) {
  Args args = arguments(env, info, "sync_file_range", 3);
  int fd = int_of(&args, 0);
  off_t offset = whole_of(&args, 1, 0, INT64_MAX);
  int64_t length = whole_of(&args, 2, 0, INT64_MAX);
  if (args.failed) return NULL;
  errno = ENOMEM;
  RangeWork *own = range_new("sync_file_range", begin_writeback, range_result);
  if (own == NULL) return fail(&args, NULL);
  own->in = offset;
  own->length = (size_t)length;
  if ((own->from = fcntl(fd, F_DUPFD_CLOEXEC, 0)) >= 0) return begin_work(&args, &own->work);
  fail(&args, NULL);
  range_release(&own->work);
  return NULL;
}
