#define _GNU_SOURCE
#include "map.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

// Since Node 20.4; the headers declare it for version 10 of Node-API only, which is younger than Node 20.
extern napi_status node_api_create_external_string_latin1(napi_env env, char *text, size_t length, napi_finalize finalize, void *hint, napi_value *result, bool *copied);

typedef struct {
  char *start; // NULL: none, with errno
  size_t length;
} Mapping;

static Mapping map_file(const char *path) {
  Mapping mapping = {0};
  struct stat st;
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return mapping;
  if (fstat(fd, &st) == 0) {
    void *start = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (start != MAP_FAILED) mapping = (Mapping){start, (size_t)st.st_size};
  }
  int error = errno;
  close(fd);
  errno = error;
  return mapping;
}

static void unmap(napi_env env, void *data, void *hint) {
  (void)env;
  munmap(data, (size_t)hint);
}

// What becomes of a mapping; it is the value's once this is napi_ok.
typedef napi_status Make(napi_env env, Mapping mapping, napi_value *value);

static napi_value mapped(napi_env env, napi_callback_info info, Make *make) {
  Args args = arguments(env, info, "mmap", 1);
  Path path;
  path_of(&args, 0, &path);
  if (args.failed) return NULL;
  Mapping mapping = map_file(path.bytes);
  if (mapping.start == NULL) return fail(&args, path.bytes);
  napi_value value = NULL;
  errno = ENOMEM;
  if (make(env, mapping, &value) == napi_ok) return value;
  munmap(mapping.start, mapping.length);
  return fail(&args, path.bytes);
}

static napi_status make_text(napi_env env, Mapping mapping, napi_value *value) {
  bool copied = false;
  return node_api_create_external_string_latin1(env, mapping.start, mapping.length, unmap, (void *)mapping.length, value, &copied);
}

static napi_status make_bytes(napi_env env, Mapping mapping, napi_value *value) {
  return napi_create_external_buffer(env, mapping.length, mapping.start, unmap, (void *)mapping.length, value);
}

// mapText(path): what is in the file, of which each byte is a character. The file may be replaced while somebody has the text, but not written to.
napi_value sys_maptext(napi_env env, napi_callback_info info) { return mapped(env, info, make_text); }

// mapBytes(path): the same as a Buffer, which nobody may write to.
napi_value sys_mapbytes(napi_env env, napi_callback_info info) { return mapped(env, info, make_bytes); }
