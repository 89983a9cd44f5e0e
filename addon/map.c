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

// mapText(path): what is in the file, of which each byte is a character. The file may be replaced while somebody has the text, but not written to.
napi_value sys_maptext(napi_env env, napi_callback_info info) {
  Args args = arguments(env, info, "mmap", 1);
  Path path;
  path_of(&args, 0, &path);
  if (args.failed) return NULL;
  Mapping mapping = map_file(path.bytes);
  if (mapping.start == NULL) return fail(&args, path.bytes);
  napi_value text = NULL;
  bool copied = false;
  errno = ENOMEM;
  if (node_api_create_external_string_latin1(env, mapping.start, mapping.length, unmap, (void *)mapping.length, &text, &copied) == napi_ok) return text;
  munmap(mapping.start, mapping.length);
  return fail(&args, path.bytes);
}

// mapBytes(path): the same as a Buffer, which nobody may write to.
napi_value sys_mapbytes(napi_env env, napi_callback_info info) {
  Args args = arguments(env, info, "mmap", 1);
  Path path;
  path_of(&args, 0, &path);
  if (args.failed) return NULL;
  Mapping mapping = map_file(path.bytes);
  if (mapping.start == NULL) return fail(&args, path.bytes);
  napi_value bytes = NULL;
  errno = ENOMEM;
  if (napi_create_external_buffer(env, mapping.length, mapping.start, unmap, (void *)mapping.length, &bytes) == napi_ok) return bytes;
  munmap(mapping.start, mapping.length);
  return fail(&args, path.bytes);
}
