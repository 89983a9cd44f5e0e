// One block of a deflate stream (RFC 1951) on a thread of libuv's pool.
#pragma once

#include "values.h"

napi_value sys_deflate(napi_env env, napi_callback_info info);
