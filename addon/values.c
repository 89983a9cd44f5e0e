#define _GNU_SOURCE
#include "values.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

// The names that the calls can give; a table, because not every C library has strerrorname_np.
static const char *errno_name(int code) {
#define NAME(constant) case constant: return #constant;
  switch (code) {
    NAME(EPERM) NAME(ENOENT) NAME(EINTR) NAME(EIO) NAME(ENXIO) NAME(EBADF) NAME(EAGAIN) NAME(ENOMEM) NAME(EACCES) NAME(EFAULT)
    NAME(EBUSY) NAME(EEXIST) NAME(EXDEV) NAME(ENODEV) NAME(ENOTDIR) NAME(EISDIR) NAME(EINVAL) NAME(ENFILE) NAME(EMFILE) NAME(ETXTBSY)
    NAME(EFBIG) NAME(ENOSPC) NAME(ESPIPE) NAME(EROFS) NAME(EMLINK) NAME(ERANGE) NAME(EDEADLK) NAME(ENAMETOOLONG) NAME(ENOLCK)
    NAME(ENOSYS) NAME(ENOTEMPTY) NAME(ELOOP) NAME(ENODATA) NAME(EOVERFLOW) NAME(EOPNOTSUPP) NAME(ESTALE) NAME(EDQUOT) NAME(E2BIG)
    NAME(EUCLEAN) NAME(ENOKEY)
  }
#undef NAME
  return "EUNKNOWN";
}

static napi_value string_value(napi_env env, const char *text) {
  napi_value value = NULL;
  napi_create_string_utf8(env, text, NAPI_AUTO_LENGTH, &value);
  return value;
}

napi_value error_value(napi_env env, int code, const char *syscall, const char *path) {
  char text[PATH_MAX + 256];
  bool has_path = path != NULL && path[0] != '\0';
  if (has_path) snprintf(text, sizeof text, "%s: %s, %s '%s'", errno_name(code), strerror(code), syscall, path);
  else snprintf(text, sizeof text, "%s: %s, %s", errno_name(code), strerror(code), syscall);
  napi_value error = NULL, number = NULL;
  napi_create_error(env, string_value(env, errno_name(code)), string_value(env, text), &error);
  napi_create_int32(env, -code, &number);
  napi_set_named_property(env, error, "errno", number);
  napi_set_named_property(env, error, "syscall", string_value(env, syscall));
  if (has_path) napi_set_named_property(env, error, "path", string_value(env, path));
  return error;
}

napi_value fail(const Args *args, const char *path) {
  napi_throw(args->env, error_value(args->env, errno, args->syscall, path));
  return NULL;
}

napi_value done(const Args *args, long result, const char *path) { return result < 0 ? fail(args, path) : NULL; }

void refuse(Args *args, const char *code, const char *text) {
  if (!args->failed) napi_throw_type_error(args->env, code, text);
  args->failed = true;
}

static void refuse_type(Args *args, const char *text) { refuse(args, "ERR_INVALID_ARG_TYPE", text); }

Args arguments(napi_env env, napi_callback_info info, const char *syscall, size_t wanted) {
  Args args = {.env = env, .syscall = syscall};
  size_t count = MAX_ARGS;
  if (napi_get_cb_info(env, info, &count, args.values, NULL, NULL) != napi_ok || count < wanted) {
    refuse(&args, "ERR_MISSING_ARGS", "too few arguments for a system call");
  }
  return args;
}

int64_t whole_of(Args *args, int index, int64_t least, int64_t most) {
  double value = 0;
  if (args->failed) return 0;
  if (napi_get_value_double(args->env, args->values[index], &value) != napi_ok) {
    refuse_type(args, "a number is needed here");
    return 0;
  }
  // Not a number is in no range. (double)INT64_MAX is one more than that.
  if (value >= (double)least && value <= (double)most && value < 0x1p63) return (int64_t)value;
  napi_throw_range_error(args->env, "ERR_OUT_OF_RANGE", "a number is out of range");
  args->failed = true;
  return 0;
}

int int_of(Args *args, int index) { return (int)whole_of(args, index, INT_MIN, INT_MAX); }

uint32_t bits_of(Args *args, int index) { return (uint32_t)whole_of(args, index, -1, UINT32_MAX); }

// A question: no exception when it is something else.
static bool is_bytes(const Args *args, napi_value value, const uint8_t **data, size_t *length) {
  bool typed = false;
  napi_typedarray_type type;
  void *start = NULL;
  napi_is_typedarray(args->env, value, &typed);
  if (!typed || napi_get_typedarray_info(args->env, value, &type, length, &start, NULL, NULL) != napi_ok) return false;
  *data = start;
  return type == napi_uint8_array;
}

const uint8_t *bytes_of(Args *args, int index, size_t *length) {
  const uint8_t *data = NULL;
  *length = 0;
  if (!args->failed && !is_bytes(args, args->values[index], &data, length)) refuse_type(args, "a Uint8Array is needed here");
  return data;
}

size_t paths_of(Args *args, int index, const char **paths, size_t *size) {
  size_t count = 0;
  *paths = (const char *)bytes_of(args, index, size);
  if (*paths == NULL) return 0;
  for (const char *at = *paths, *end = at + *size; at < end && !args->failed; count++) {
    size_t length = strnlen(at, (size_t)(end - at));
    if (at + length == end || length == 0 || length >= PATH_MAX) refuse(args, "ERR_INVALID_ARG_VALUE", "paths that end with NUL are needed here");
    at += length + 1;
  }
  return args->failed ? 0 : count;
}

const uint8_t *element_bytes(Args *args, int index, uint32_t element, size_t *length) {
  const uint8_t *data = NULL;
  napi_value value = NULL;
  *length = 0;
  if (args->failed) return NULL;
  bool is_right = napi_get_element(args->env, args->values[index], element, &value) == napi_ok && is_bytes(args, value, &data, length);
  if (!is_right) refuse_type(args, "an array of Uint8Arrays is needed here");
  return data;
}

void *external_of(Args *args, int index, const napi_type_tag *tag) {
  bool is_right = false;
  void *data = NULL;
  if (args->failed) return NULL;
  napi_value value = args->values[index];
  if (napi_check_object_type_tag(args->env, value, tag, &is_right) == napi_ok && is_right && napi_get_value_external(args->env, value, &data) == napi_ok) return data;
  refuse_type(args, "an object of another kind");
  return NULL;
}

double *numbers_of(Args *args, int index, size_t wanted) {
  if (args->failed) return NULL;
  napi_typedarray_type type;
  size_t length;
  void *data;
  napi_status status = napi_get_typedarray_info(args->env, args->values[index], &type, &length, &data, NULL, NULL);
  if (status == napi_ok && type == napi_float64_array && length >= wanted) return data;
  refuse_type(args, "a large enough Float64Array is needed here");
  return NULL;
}

// What is longer than any path gets the error of the call that would have had it, and a NUL inside would silently cut it for the kernel.
void path_of(Args *args, int index, Path *path) {
  const uint8_t *data = NULL;
  path->bytes[0] = '\0';
  path->length = 0;
  if (args->failed) return;
  size_t length = 0;
  if (is_bytes(args, args->values[index], &data, &length)) {
    if (length < PATH_MAX) memcpy(path->bytes, data, length);
  } else if (napi_get_value_string_utf8(args->env, args->values[index], NULL, 0, &length) != napi_ok) {
    return refuse_type(args, "a path is a Uint8Array or a string");
  } else if (length < PATH_MAX) {
    napi_get_value_string_utf8(args->env, args->values[index], path->bytes, PATH_MAX, &length);
  }
  errno = length >= PATH_MAX ? ENAMETOOLONG : memchr(path->bytes, '\0', length) != NULL ? EINVAL : 0;
  if (errno != 0) {
    fail(args, NULL);
    args->failed = true;
    length = 0;
  }
  path->bytes[length] = '\0';
  path->length = length;
}

napi_value number_value(napi_env env, double value) {
  napi_value result = NULL;
  napi_create_double(env, value, &result);
  return result;
}

napi_value bool_value(napi_env env, bool value) {
  napi_value result = NULL;
  napi_get_boolean(env, value, &result);
  return result;
}

napi_value null_value(napi_env env) {
  napi_value result = NULL;
  napi_get_null(env, &result);
  return result;
}

napi_value buffer_value(napi_env env, const void *data, size_t length) {
  napi_value result = NULL;
  napi_create_buffer_copy(env, length, data, NULL, &result);
  return result;
}

napi_value external_value(const Args *args, void *data, napi_finalize release, const napi_type_tag *tag) {
  napi_value value = NULL;
  if (napi_create_external(args->env, data, release, NULL, &value) == napi_ok) return napi_type_tag_object(args->env, value, tag) == napi_ok ? value : NULL;
  release(args->env, data, NULL);
  errno = ENOMEM;
  return fail(args, NULL);
}
