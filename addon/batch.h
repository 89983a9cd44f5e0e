// Calls for many files of one directory at a time: a call from JavaScript and its results cost as much as the system calls behind it.
#pragma once
#include <sys/stat.h>

#include "values.h"

// Where each field stands in a Float64Array: STAT, COPY and READ of src/base/sys-values.ts.
enum stat_field {
  STAT_DEV = 0,
  STAT_INO = 1,
  STAT_MODE = 2,
  STAT_NLINK = 3,
  STAT_UID = 4,
  STAT_GID = 5,
  STAT_RDEV_MAJOR = 6,
  STAT_RDEV_MINOR = 7,
  STAT_SIZE = 8,
  STAT_MTIME_SECONDS = 9,
  STAT_MTIME_NANOSECONDS = 10,
  STAT_CTIME_SECONDS = 11,
  STAT_CTIME_NANOSECONDS = 12,
};
enum { STAT_FIELDS = STAT_CTIME_NANOSECONDS + 1 };

enum copy_field {
  COPY_MODE = 0,
  COPY_UID = 1,
  COPY_GID = 2,
  COPY_MTIME_SECONDS = 3,
  COPY_MTIME_NANOSECONDS = 4,
};
enum { COPY_FIELDS = COPY_MTIME_NANOSECONDS + 1 };

enum read_field {
  READ_OFFSET = 0,
  READ_SIZE = 1,
};
enum { READ_FIELDS = READ_SIZE + 1 };
// What a new file gets.
typedef struct {
  mode_t mode;
  uid_t uid;
  gid_t gid;
  struct timespec mtime;
} Metadata;

// From the fields of COPY, which is_metadata() has found in range.
Metadata metadata_of(const double *fields);
bool is_metadata(const double *fields);
// Calls.
int set_metadata(int fd, const Metadata *file);
int write_all(int fd, const char *data, size_t length);

void write_stat(double *fields, const struct stat *st);

napi_value sys_stateach(napi_env env, napi_callback_info info);
napi_value sys_copyeach(napi_env env, napi_callback_info info);
napi_value sys_readeach(napi_env env, napi_callback_info info);
