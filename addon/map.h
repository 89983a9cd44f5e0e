// Files that are only read, where the page cache has them: nothing is read into memory of our own, and nothing copied.
#pragma once
#include "values.h"

napi_value sys_maptext(napi_env env, napi_callback_info info);
napi_value sys_mapbytes(napi_env env, napi_callback_info info);
