/* What the addon's parts share: arguments of a call from JavaScript, results for it, and errors as Node's fs throws them. */
#ifndef TBUILD_ADDON_VALUES_H
#define TBUILD_ADDON_VALUES_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NAPI_VERSION 8
#include <node_api.h>

#define MAX_ARGS 8

typedef struct {
    napi_env env;
    napi_value v[MAX_ARGS];
    bool failed;
} Args;

typedef struct {
    char bytes[PATH_MAX];
    size_t length;
} Path;

/* Throws an Error with code, errno, syscall and path; returns NULL. */
napi_value fail(napi_env env, int code, const char *call, const char *path);
/* Ends a call that returns nothing. */
napi_value done(napi_env env, long result, const char *call, const char *path);

/* After these `failed` says that an exception is pending. */
Args arguments(napi_env env, napi_callback_info info, size_t wanted);
double number_of(Args *args, int index);
int int_of(Args *args, int index);
/* Modes, device numbers, ids: 32 bits, -1 all of them. */
unsigned unsigned_of(Args *args, int index);
void path_of(Args *args, int index, Path *path);
bool bytes_of(Args *args, int index, const uint8_t **data, size_t *length);
/* A Float64Array of at least `wanted` numbers. */
double *numbers_of(Args *args, int index, size_t wanted);

napi_value number_value(napi_env env, double value);
napi_value bool_value(napi_env env, bool value);
napi_value null_value(napi_env env);
napi_value buffer_value(napi_env env, const void *data, size_t length);

#endif
