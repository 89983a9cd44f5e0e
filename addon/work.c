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
  for (int index = 0; index < MAX_ARGS; index++) {
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

// Numbers, and arguments that were not given, need no keeping.
static bool keep(const Args *args, napi_ref *kept) {
  for (int index = 0; index < MAX_ARGS; index++) {
    napi_valuetype type;
    if (napi_typeof(args->env, args->values[index], &type) != napi_ok) return false;
    bool is_object = type == napi_object || type == napi_external;
    if (is_object && napi_create_reference(args->env, args->values[index], 1, &kept[index]) != napi_ok) return false;
  }
  return true;
}

napi_value begin_work(const Args *args, Work *work) {
  napi_env env = args->env;
  napi_value name = NULL, promise = NULL;
  work->error = 0;
  work->async = NULL;
  for (int index = 0; index < MAX_ARGS; index++) work->kept[index] = NULL;
  napi_create_string_utf8(env, work->name, NAPI_AUTO_LENGTH, &name);
  bool is_begun = keep(args, work->kept)
    && napi_create_async_work(env, NULL, name, execute, complete, work, &work->async) == napi_ok
    && napi_create_promise(env, &work->deferred, &promise) == napi_ok && napi_queue_async_work(env, work->async) == napi_ok;
  if (is_begun) return promise;
  end(env, work);
  errno = ENOMEM;
  return fail(args, NULL);
}
