// Sockets between processes, and descriptors that go from one to another.
#pragma once
#include "values.h"

napi_value sys_socketpair(napi_env env, napi_callback_info info);
napi_value sys_senddescriptor(napi_env env, napi_callback_info info);
