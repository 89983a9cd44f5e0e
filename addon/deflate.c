#include "deflate.h"

#include <errno.h>
#include <stdlib.h>

#include "blocks.h"
#include "pieces.h"

typedef struct {
  napi_async_work work;
  napi_deferred deferred;
  napi_ref bytes; // keeps the array of the block
  Block block;
  uint8_t *out;
  ssize_t written;
} DeflateWork;

static void deflate_execute(napi_env env, void *data) {
  (void)env;
  DeflateWork *work = data;
  work->written = -1;
  work->out = malloc(deflated_bound(&work->block));
  if (work->out != NULL) work->written = deflate_block(&work->block, work->out);
}

static void deflate_free(napi_env env, DeflateWork *work) {
  if (work->bytes != NULL) napi_delete_reference(env, work->bytes);
  free(work->out);
  free(work);
}

static void deflate_complete(napi_env env, napi_status status, void *data) {
  DeflateWork *work = data;
  napi_value out = status == napi_ok && work->written >= 0 ? buffer_value(env, work->out, (size_t)work->written) : NULL;
  if (out != NULL) napi_resolve_deferred(env, work->deferred, out);
  else napi_reject_deferred(env, work->deferred, error_value(env, status == napi_ok ? ENOMEM : ECANCELED, "deflate", NULL));
  napi_delete_async_work(env, work->work);
  deflate_free(env, work);
}

// A call: hands the work to a thread of libuv's pool.
static int deflate_start(napi_env env, DeflateWork *work, napi_value bytes, napi_value *promise) {
  napi_value name = NULL;
  napi_create_string_utf8(env, "tbuild.deflate", NAPI_AUTO_LENGTH, &name);
  errno = ENOMEM;
  if (napi_create_reference(env, bytes, 1, &work->bytes) != napi_ok) return -1;
  if (napi_create_async_work(env, NULL, name, deflate_execute, deflate_complete, work, &work->work) != napi_ok) return -1;
  if (napi_create_promise(env, &work->deferred, promise) == napi_ok && napi_queue_async_work(env, work->work) == napi_ok) return 0;
  napi_delete_async_work(env, work->work);
  errno = ENOMEM;
  return -1;
}

// deflate(bytes, window, last, level): a promise of a Buffer, deflate blocks of what follows the first `window` bytes, which the reader of the stream has already.
// They end at a whole byte; with `last` (0 or 1) the stream ends. The bytes must not change before the promise is settled.
napi_value sys_deflate(napi_env env, napi_callback_info info) {
  Args args = arguments(env, info, "deflate", 4);
  Block block = {0};
  block.bytes = bytes_of(&args, 0, &block.length);
  block.window = (size_t)whole_of(&args, 1, 0, WINDOW);
  block.last = whole_of(&args, 2, 0, 1) != 0;
  block.level = (int)whole_of(&args, 3, 0, 9);
  if (!args.failed && block.window > block.length) refuse(&args, "ERR_OUT_OF_RANGE", "the window is larger than the bytes");
  if (args.failed) return NULL;
  DeflateWork *work = calloc(1, sizeof *work);
  errno = ENOMEM;
  if (work == NULL) return fail(&args, NULL);
  work->block = block;
  napi_value promise = NULL;
  if (deflate_start(env, work, args.values[0], &promise) == 0) return promise;
  fail(&args, NULL);
  deflate_free(env, work);
  return NULL;
}
