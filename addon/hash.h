// sha256 on threads of libuv's pool, by the OpenSSL that is in Node: its own calls hash on the thread of JavaScript only.
#pragma once
#include "values.h"

napi_value sys_sha256begin(napi_env env, napi_callback_info info);
napi_value sys_sha256update(napi_env env, napi_callback_info info);
napi_value sys_sha256file(napi_env env, napi_callback_info info);
napi_value sys_sha256end(napi_env env, napi_callback_info info);
