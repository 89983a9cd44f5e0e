#define _GNU_SOURCE
#include "work.h"

#include <errno.h>

static void execute(napi_env env, void *data) {
  (void)env;
  Work *work = data;
  work->execute(work);
}

// What JavaScript still has of it goes with it.
static void end(napi_env env, Work *work) {
  for (int index = 0; index < 2; index++) {
    if (work->kept[index] != NULL) napi_delete_reference(env, work->kept[index]);
  }
  if (work->async != NULL) napi_delete_async_work(env, work->async);
  work->release(work);
}

static void complete(napi_env env, napi_status status, void *data) {
  Work *work = data;
  int error = status == napi_ok ? work->error : ECANCELED;
  napi_value result = error == 0 ? work->result(env, work) : NULL;
  if (error == 0 && result == NULL) error = ENOMEM;
  if (error == 0) napi_resolve_deferred(env, work->deferred, result);
  else napi_reject_deferred(env, work->deferred, error_value(env, error, work->name, NULL));
  end(env, work);
}

static bool keep(napi_env env, napi_value value, napi_ref *kept) { return value == NULL || napi_create_reference(env, value, 1, kept) == napi_ok; }

napi_value begin_work(const Args *args, Work *work, napi_value kept, napi_value kept_too) {
  napi_env env = args->env;
  napi_value name = NULL, promise = NULL;
  work->error = 0;
  work->async = NULL;
  work->kept[0] = work->kept[1] = NULL;
  napi_create_string_utf8(env, work->name, NAPI_AUTO_LENGTH, &name);
  bool is_begun = keep(env, kept, &work->kept[0]) && keep(env, kept_too, &work->kept[1])
    && napi_create_async_work(env, NULL, name, execute, complete, work, &work->async) == napi_ok
    && napi_create_promise(env, &work->deferred, &promise) == napi_ok && napi_queue_async_work(env, work->async) == napi_ok;
  if (is_begun) return promise;
  end(env, work);
  errno = ENOMEM;
  return fail(args, NULL);
}
