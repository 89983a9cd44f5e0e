// New files of a tree, many with one call.
#pragma once
#include "batch.h"

// Where each field stands in a Float64Array: WRITE of src/base/sys-values.ts. Those of COPY come first.
enum write_field {
  WRITE_SIZE = 5,
};
enum { WRITE_FIELDS = WRITE_SIZE + 1 };
_Static_assert((int)WRITE_SIZE == (int)COPY_FIELDS, "behind those of COPY");

napi_value sys_writeeach(napi_env env, napi_callback_info info);
