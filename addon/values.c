#define _GNU_SOURCE
#include "values.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* ---- errors ---------------------------------------------------------------------------------------------------------------------------- */

/* The names that the calls below can give; a table, because not every C library has strerrorname_np. */
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

static void set_string(napi_env env, napi_value object, const char *key, const char *text, size_t length) {
    napi_value value;
    napi_create_string_utf8(env, text, length, &value);
    napi_set_named_property(env, object, key, value);
}

napi_value fail(napi_env env, int code, const char *call, const char *path) {
    char text[PATH_MAX + 256];
    const char *why = strerror(code);
    if (path != NULL && path[0] != '\0') snprintf(text, sizeof text, "%s: %s, %s '%s'", errno_name(code), why, call, path);
    else snprintf(text, sizeof text, "%s: %s, %s", errno_name(code), why, call);

    napi_value message, name, error, number;
    napi_create_string_utf8(env, text, NAPI_AUTO_LENGTH, &message);
    napi_create_string_utf8(env, errno_name(code), NAPI_AUTO_LENGTH, &name);
    napi_create_error(env, name, message, &error);
    napi_create_int32(env, -code, &number);
    napi_set_named_property(env, error, "errno", number);
    set_string(env, error, "syscall", call, NAPI_AUTO_LENGTH);
    if (path != NULL && path[0] != '\0') set_string(env, error, "path", path, NAPI_AUTO_LENGTH);
    napi_throw(env, error);
    return NULL;
}

/* ---- arguments ------------------------------------------------------------------------------------------------------------------------- */

Args arguments(napi_env env, napi_callback_info info, size_t wanted) {
    Args args = {.env = env, .failed = false};
    size_t count = MAX_ARGS;
    napi_get_cb_info(env, info, &count, args.v, NULL, NULL);
    if (count < wanted) {
        napi_throw_type_error(env, "ERR_MISSING_ARGS", "too few arguments for a system call");
        args.failed = true;
    }
    return args;
}

double number_of(Args *args, int index) {
    double value = 0;
    if (!args->failed && napi_get_value_double(args->env, args->v[index], &value) != napi_ok) {
        napi_throw_type_error(args->env, "ERR_INVALID_ARG_TYPE", "a number is needed here");
        args->failed = true;
    }
    return value;
}

int int_of(Args *args, int index) {
    return (int)(int64_t)number_of(args, index);
}

unsigned unsigned_of(Args *args, int index) {
    return (unsigned)(int64_t)number_of(args, index);
}

bool bytes_of(Args *args, int index, const uint8_t **data, size_t *length) {
    bool typed = false;
    napi_is_typedarray(args->env, args->v[index], &typed);
    if (!typed) return false;
    napi_typedarray_type type;
    void *start;
    if (napi_get_typedarray_info(args->env, args->v[index], &type, length, &start, NULL, NULL) != napi_ok) return false;
    if (type != napi_uint8_array) return false;
    *data = start;
    return true;
}

/* A path or an attribute name: bytes, or a string as UTF-8. A NUL inside would silently cut it for the kernel, so it is refused. */
void path_of(Args *args, int index, Path *path) {
    if (args->failed) return;
    const uint8_t *data;
    size_t length = 0;
    if (bytes_of(args, index, &data, &length)) {
        if (length < PATH_MAX) memcpy(path->bytes, data, length);
    } else {
        if (napi_get_value_string_utf8(args->env, args->v[index], NULL, 0, &length) != napi_ok) {
            napi_throw_type_error(args->env, "ERR_INVALID_ARG_TYPE", "a path is a Uint8Array or a string");
            args->failed = true;
            return;
        }
        if (length < PATH_MAX) napi_get_value_string_utf8(args->env, args->v[index], path->bytes, PATH_MAX, &length);
    }
    if (length >= PATH_MAX) {
        fail(args->env, ENAMETOOLONG, "path", NULL);
        args->failed = true;
        return;
    }
    path->bytes[length] = '\0';
    path->length = length;
    if (memchr(path->bytes, '\0', length) != NULL) {
        fail(args->env, EINVAL, "path with a NUL byte", NULL);
        args->failed = true;
    }
}

napi_value number_value(napi_env env, double value) {
    napi_value result;
    napi_create_double(env, value, &result);
    return result;
}

napi_value bool_value(napi_env env, bool value) {
    napi_value result;
    napi_get_boolean(env, value, &result);
    return result;
}

napi_value null_value(napi_env env) {
    napi_value result;
    napi_get_null(env, &result);
    return result;
}

napi_value buffer_value(napi_env env, const void *data, size_t length) {
    napi_value result;
    if (napi_create_buffer_copy(env, length, data, NULL, &result) != napi_ok) return NULL;
    return result;
}

napi_value done(napi_env env, long result, const char *call, const char *path) {
    return result < 0 ? fail(env, errno, call, path) : NULL;
}

double *numbers_of(Args *args, int index, size_t wanted) {
    if (args->failed) return NULL;
    napi_typedarray_type type;
    size_t length;
    void *data;
    napi_status status = napi_get_typedarray_info(args->env, args->v[index], &type, &length, &data, NULL, NULL);
    if (status == napi_ok && type == napi_float64_array && length >= wanted) return data;
    napi_throw_type_error(args->env, "ERR_INVALID_ARG_TYPE", "a large enough Float64Array is needed here");
    args->failed = true;
    return NULL;
}
