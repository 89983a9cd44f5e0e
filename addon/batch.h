/* Calls for many files of one directory at a time: a call from JavaScript and its results cost as much as the system calls behind it. */
#ifndef TBUILD_ADDON_BATCH_H
#define TBUILD_ADDON_BATCH_H

#include <sys/stat.h>

#include "values.h"

#define STAT_FIELDS 13

/* The fields of SysStat (src/base/sys.ts), in its order. */
void write_stat(double *fields, const struct stat *st);

napi_value sys_stateach(napi_env env, napi_callback_info info);
napi_value sys_copyeach(napi_env env, napi_callback_info info);

#endif
