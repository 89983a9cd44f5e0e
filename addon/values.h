// What the functions of the addon share: arguments of a call from JavaScript, results for it, and errors.
//
// How every function ends. One that JavaScript calls (napi_value) returns its value, or throws and returns NULL. It throws
//   an Error, with code ('ENOENT'), errno (negative), syscall and, where there is one, path, as Node's fs does, where the kernel refused: fail();
//   a TypeError or RangeError, with a code of Node's (ERR_INVALID_ARG_TYPE …), for an argument that src/base/sys.ts must not give: `failed` of Args.
// What is usual is a value and no exception, as Sys says: the errno of statat, null of getxattrat, false of flock.
// Inside there are calls (int, ssize_t: -1 with errno, like a system call) and questions (bool). Neither throws, and no function is of two kinds.
#pragma once
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define NAPI_VERSION 8
#include <node_api.h>

enum { MAX_ARGS = 6 };

typedef struct {
  napi_env env;
  const char *syscall; // what an error names
  napi_value values[MAX_ARGS];
  bool failed; // an exception is pending; every reader below then gives what is empty
} Args;

typedef struct {
  char bytes[PATH_MAX]; // ended by NUL, none inside
  size_t length;
} Path;

Args arguments(napi_env env, napi_callback_info info, const char *syscall, size_t wanted);
// A whole number of this range.
int64_t whole_of(Args *args, int index, int64_t least, int64_t most);
// Descriptors and flags.
int int_of(Args *args, int index);
// Modes, device numbers, ids: 32 bits, -1 all of them.
uint32_t bits_of(Args *args, int index);
// Bytes, or a string as UTF-8.
void path_of(Args *args, int index, Path *path);
const uint8_t *bytes_of(Args *args, int index, size_t *length);
// Paths in one Uint8Array, each not empty, shorter than PATH_MAX and ended by NUL: how many there are.
size_t paths_of(Args *args, int index, const char **paths, size_t *size);
// An element of an array of Uint8Arrays.
const uint8_t *element_bytes(Args *args, int index, uint32_t element, size_t *length);
// What external_value() was given with this tag.
void *external_of(Args *args, int index, const napi_type_tag *tag);
// A Float64Array of at least `wanted` numbers.
double *numbers_of(Args *args, int index, size_t wanted);
// For what is wrong with a part of an argument.
void refuse(Args *args, const char *code, const char *text);

// Throws an Error for errno; `path` may be NULL.
napi_value fail(const Args *args, const char *path);
// The end of a call that returns nothing: its result, or an Error for errno.
napi_value done(const Args *args, long result, const char *path);

// NULL when the engine is ending, or has no memory: an exception is pending then, or about to be.
napi_value number_value(napi_env env, double value);
napi_value bool_value(napi_env env, bool value);
napi_value null_value(napi_env env);
napi_value buffer_value(napi_env env, const void *data, size_t length);
// `release` frees the data when nobody has the value any more, or at once when there can be none.
napi_value external_value(const Args *args, void *data, napi_finalize release, const napi_type_tag *tag);
// The Error that fail() throws.
napi_value error_value(napi_env env, int code, const char *syscall, const char *path);
