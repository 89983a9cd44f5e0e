// sha256 by the OpenSSL that is in Node. Its own calls hash on the thread of JavaScript only, and are in a module that takes a tenth of Node's start to load: what
// is large is hashed here on threads of libuv's pool, what is small at once.
#pragma once
#include "values.h"

napi_value sys_sha256(napi_env env, napi_callback_info info);
napi_value sys_sha256begin(napi_env env, napi_callback_info info);
napi_value sys_sha256add(napi_env env, napi_callback_info info);
napi_value sys_sha256update(napi_env env, napi_callback_info info);
napi_value sys_sha256file(napi_env env, napi_callback_info info);
napi_value sys_sha256end(napi_env env, napi_callback_info info);
