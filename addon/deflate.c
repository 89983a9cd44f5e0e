#include "deflate.h"

#include <errno.h>
#include <stdlib.h>

#include "blocks.h"
#include "pieces.h"
#include "work.h"

typedef struct {
  Work work;
  Block block;
  uint8_t *out;
  ssize_t written;
} DeflateWork;

static void deflate_execute(Work *work) {
  DeflateWork *own = (DeflateWork *)work;
  own->out = malloc(deflated_bound(&own->block));
  own->written = own->out == NULL ? -1 : deflate_block(&own->block, own->out);
  if (own->written < 0) work->error = ENOMEM;
}

static napi_value deflate_result(napi_env env, Work *work) {
  DeflateWork *own = (DeflateWork *)work;
  return buffer_value(env, own->out, (size_t)own->written);
}

static void deflate_release(Work *work) {
  free(((DeflateWork *)work)->out);
  free(work);
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
  errno = ENOMEM;
  DeflateWork *own = calloc(1, sizeof *own);
  if (own == NULL) return fail(&args, NULL);
  own->work = (Work){.name = "deflate", .execute = deflate_execute, .result = deflate_result, .release = deflate_release};
  own->block = block;
  return begin_work(&args, &own->work);
}
