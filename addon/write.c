#define _GNU_SOURCE
#include "write.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "work.h"

typedef struct {
  Work work;
  int root;
  size_t count;
  const char *content; // the caller's, which does not change it before it has the result
  char *paths;
  double *fields;
  uint8_t left[]; // a byte a file
} WriteWork;

// A call: a descriptor of a new file. No component of the path is a symlink, and none leads up.
static int create(int root, const char *path, mode_t mode) {
  struct open_how how = {
    .flags = O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC,
    .mode = mode,
    .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
  };
  return (int)syscall(SYS_openat2, root, path, &how, sizeof how);
}

// A question: whether the file is there, whole.
static bool is_written(int root, const char *path, const double *fields, const char *content) {
  Metadata file = metadata_of(fields);
  int fd = create(root, path, file.mode & 0777);
  if (fd < 0) return false;
  bool written = write_all(fd, content, (size_t)fields[WRITE_SIZE]) == 0 && set_metadata(fd, &file) == 0;
  return close(fd) == 0 && written;
}

static void write_execute(Work *work) {
  WriteWork *own = (WriteWork *)work;
  const char *path = own->paths, *content = own->content;
  const double *fields = own->fields;
  for (size_t index = 0; index < own->count; index++, fields += WRITE_FIELDS) {
    own->left[index] = !is_written(own->root, path, fields, content);
    path += strlen(path) + 1;
    content += (size_t)fields[WRITE_SIZE];
  }
}

static napi_value write_result(napi_env env, Work *work) {
  WriteWork *own = (WriteWork *)work;
  return buffer_value(env, own->left, own->count);
}

static void write_release(Work *work) {
  WriteWork *own = (WriteWork *)work;
  if (own->root >= 0) close(own->root);
  free(own->paths);
  free(own->fields);
  free(own);
}

// Metadata of each file, and as much content as they have together.
static const double *files_of(Args *args, int index, size_t count, size_t available) {
  const double *all = numbers_of(args, index, count * WRITE_FIELDS), *fields = all;
  for (size_t file = 0; file < count && !args->failed; file++, fields += WRITE_FIELDS) {
    double size = fields[WRITE_SIZE];
    if (!is_metadata(fields) || !(size >= 0 && size <= (double)available)) {
      refuse(args, "ERR_OUT_OF_RANGE", "a mode, an id, a time or a size is out of range");
    } else {
      available -= (size_t)size;
    }
  }
  return all;
}

static void *duplicate(const void *bytes, size_t size) {
  void *copy = malloc(size + 1);
  if (copy == NULL) return NULL;
  if (size > 0) memcpy(copy, bytes, size);
  return copy;
}

// writeEach(rootfd, paths, fields: Float64Array(WRITE_FIELDS a file), content): a promise of a Buffer with a byte a file, 1 for those that were left undone. Makes
// new regular files at paths below a directory; `content` holds that of all, one after the other. What fails (a name that is taken, a symlink on the way, a kernel
// without openat2) is left to the caller, whose calls then say what is wrong; a part of such a file may be there.
napi_value sys_writeeach(napi_env env, napi_callback_info info) {
  Args args = arguments(env, info, "writeEach", 4);
  const char *paths;
  size_t length, size;
  int root = int_of(&args, 0);
  size_t count = paths_of(&args, 1, &paths, &length);
  const char *content = (const char *)bytes_of(&args, 3, &size);
  const double *fields = files_of(&args, 2, count, size);
  if (args.failed) return NULL;
  errno = ENOMEM;
  WriteWork *own = malloc(sizeof *own + count);
  if (own == NULL) return fail(&args, NULL);
  *own = (WriteWork){.work = {.name = "writeEach", .execute = write_execute, .result = write_result, .release = write_release}, .root = -1, .count = count, .content = content};
  own->paths = duplicate(paths, length);
  own->fields = duplicate(fields, count * WRITE_FIELDS * sizeof *fields);
  // The caller's descriptor is closed whenever it likes.
  if (own->paths != NULL && own->fields != NULL && (own->root = fcntl(root, F_DUPFD_CLOEXEC, 0)) >= 0) return begin_work(&args, &own->work);
  fail(&args, NULL);
  write_release(&own->work);
  return NULL;
}
