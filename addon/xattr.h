// Extended attributes of a name in a directory, by (dirfd, path); an empty path is the descriptor itself.
#pragma once

#include "values.h"

napi_value sys_listxattrat(napi_env env, napi_callback_info info);
napi_value sys_getxattrat(napi_env env, napi_callback_info info);
napi_value sys_setxattrat(napi_env env, napi_callback_info info);
napi_value sys_removexattrat(napi_env env, napi_callback_info info);

