// Work on a thread of libuv's pool, of which JavaScript has a promise.
#pragma once
#include "values.h"

typedef struct Work Work;
struct Work {
  const char *name;                          // what an error names
  void (*execute)(Work *);                   // on the thread: no call of Node-API; leaves an errno in `error` when it failed
  napi_value (*result)(napi_env, Work *);    // what the promise resolves to
  void (*release)(Work *);                   // frees it with all that it has
  int error;
  napi_async_work async;
  napi_deferred deferred;
  napi_ref kept[MAX_ARGS];
};

// A promise. No argument is collected before the work ends. When nothing could be begun an exception is pending, and the work is released.
napi_value begin_work(const Args *args, Work *work);
