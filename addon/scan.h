// Lists whole directories, with a stat of everything in them, in one call.
#pragma once
#include "values.h"

napi_value sys_scaneach(napi_env env, napi_callback_info info);
