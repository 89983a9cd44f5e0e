// zstd (RFC 8878) on threads of libuv's pool.
#pragma once

#include "values.h"

napi_value sys_zstdframe(napi_env env, napi_callback_info info);
napi_value sys_zstdpiece(napi_env env, napi_callback_info info);
napi_value sys_zstddecoder(napi_env env, napi_callback_info info);
napi_value sys_zstddecode(napi_env env, napi_callback_info info);
