// The content of one file into another: shared, else copied by the kernel, else by hand.
#pragma once

#include "values.h"

napi_value sys_copyfile(napi_env env, napi_callback_info info);
napi_value sys_copyrange(napi_env env, napi_callback_info info);
napi_value sys_startwriteback(napi_env env, napi_callback_info info);
