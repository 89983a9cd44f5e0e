#include "zstd.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define XXH_STATIC_LINKING_ONLY
#include "../third-party/zstd/lib/common/xxhash.h"
#include "../third-party/zstd/lib/zstd.h"
#include "frames.h"
#include "work.h"

// ---- a frame that is made

typedef struct {
  int level;
  XXH64_state_t sum; // of what was given so far
} Frame;

static const napi_type_tag FRAME_TAG = {0x7462756964667261, 0x6d652d7a73746421};

enum { CHECKSUM = 4 };

typedef struct {
  Work work;
  FramePiece piece;
  uint32_t sum; // of the frame, for its last piece
  uint8_t *out;
  size_t written;
} PieceWork;

static void frame_free(napi_env env, void *data, void *hint) {
  (void)env;
  (void)hint;
  free(data);
}

// zstdFrame(level): a frame, whose pieces zstdPiece() makes.
napi_value sys_zstdframe(napi_env env, napi_callback_info info) {
  Args args = arguments(env, info, "zstdFrame", 1);
  int level = (int)whole_of(&args, 0, 0, 22);
  if (args.failed) return NULL;
  Frame *frame = calloc(1, sizeof *frame);
  errno = ENOMEM;
  if (frame == NULL) return fail(&args, NULL);
  frame->level = level;
  ZSTD_XXH64_reset(&frame->sum, 0);
  return external_value(&args, frame, frame_free, &FRAME_TAG);
}

static void piece_execute(Work *work) {
  PieceWork *own = (PieceWork *)work;
  own->out = malloc(frame_bound(&own->piece) + CHECKSUM);
  ssize_t written = own->out == NULL ? -1 : frame_piece(&own->piece, own->out);
  if (written < 0) {
    work->error = ENOMEM;
    return;
  }
  own->written = (size_t)written;
  // A frame of one piece has its checksum already.
  if (!own->piece.last || own->piece.window == 0) return;
  for (size_t index = 0; index < CHECKSUM; index++) own->out[own->written++] = (uint8_t)(own->sum >> (8 * index));
}

static napi_value piece_result(napi_env env, Work *work) {
  const PieceWork *own = (PieceWork *)work;
  return buffer_value(env, own->out, own->written);
}

static void piece_release(Work *work) {
  free(((PieceWork *)work)->out);
  free(work);
}

// zstdPiece(frame, bytes, window, last): a promise of a Buffer, the next piece of the frame, whose first `window` bytes the piece before ended with. Pieces are
// begun in their order and made side by side. The bytes must not change before the promise is settled.
napi_value sys_zstdpiece(napi_env env, napi_callback_info info) {
  Args args = arguments(env, info, "zstdPiece", 4);
  Frame *frame = external_of(&args, 0, &FRAME_TAG);
  FramePiece piece = {0};
  piece.bytes = bytes_of(&args, 1, &piece.length);
  piece.window = (size_t)whole_of(&args, 2, 0, FRAME_WINDOW);
  piece.last = whole_of(&args, 3, 0, 1) != 0;
  if (!args.failed && (piece.window > piece.length || piece.length - piece.window > FRAME_PIECE)) refuse(&args, "ERR_OUT_OF_RANGE", "no piece of a frame");
  if (args.failed) return NULL;
  piece.level = frame->level;
  PieceWork *own = calloc(1, sizeof *own);
  errno = ENOMEM;
  if (own == NULL) return fail(&args, NULL);
  own->work = (Work){.name = "zstdPiece", .execute = piece_execute, .result = piece_result, .release = piece_release};
  own->piece = piece;
  // Here and not on the thread, where the next piece may be first: it is as fast as copying.
  ZSTD_XXH64_update(&frame->sum, piece.bytes + piece.window, piece.length - piece.window);
  own->sum = (uint32_t)ZSTD_XXH64_digest(&frame->sum);
  return begin_work(&args, &own->work);
}

// ---- frames that are read

// `context` is there when a frame is being read, or was that needed little memory. `is_busy`: a thread has it.
typedef struct {
  ZSTD_DCtx *context;
  int window_log;
  bool is_busy;
} Decoder;

// Bytes that a decoder keeps between frames, which may be as many as there are files, or the only one of many layers.
enum { KEPT_CONTEXT = 1024 * 1024 };

static const napi_type_tag DECODER_TAG = {0x7462756964756e7a, 0x7374642d64656364};

typedef struct {
  Work work;
  Decoder *decoder;
  ZSTD_outBuffer output;
  bool is_whole;       // a frame ended with the last piece
  const char *problem; // what was wrong with a piece; those before it count
  size_t count;
  ZSTD_inBuffer pieces[];
} DecodeWork;

static void decoder_free(napi_env env, void *data, void *hint) {
  (void)env;
  (void)hint;
  ZSTD_freeDCtx(((Decoder *)data)->context);
  free(data);
}

// zstdDecoder(windowLog): a decoder, which refuses a frame with a window larger than 2 to that.
napi_value sys_zstddecoder(napi_env env, napi_callback_info info) {
  Args args = arguments(env, info, "zstdDecoder", 1);
  int window_log = (int)whole_of(&args, 0, 10, 31);
  if (args.failed) return NULL;
  Decoder *decoder = calloc(1, sizeof *decoder);
  errno = ENOMEM;
  if (decoder == NULL) return fail(&args, NULL);
  decoder->window_log = window_log;
  return external_value(&args, decoder, decoder_free, &DECODER_TAG);
}

// A question: false when there is no memory.
static bool has_context(Decoder *decoder) {
  if (decoder->context != NULL) return true;
  decoder->context = ZSTD_createDCtx();
  return decoder->context != NULL && !ZSTD_isError(ZSTD_DCtx_setParameter(decoder->context, ZSTD_d_windowLogMax, decoder->window_log));
}

// What a piece that is wrong would have made is lost, and nothing of those before it: hence one call a piece.
static void decode_execute(Work *work) {
  DecodeWork *own = (DecodeWork *)work;
  if (!has_context(own->decoder)) {
    work->error = ENOMEM;
    return;
  }
  for (size_t index = 0; index < own->count && own->problem == NULL; index++) {
    ZSTD_inBuffer *piece = &own->pieces[index];
    size_t result = ZSTD_decompressStream(own->decoder->context, &own->output, piece);
    if (ZSTD_isError(result)) own->problem = ZSTD_getErrorName(result);
    else if (piece->pos < piece->size) own->problem = "a piece makes more than a block";
    own->is_whole = result == 0;
  }
  if (!own->is_whole || ZSTD_sizeof_DCtx(own->decoder->context) <= KEPT_CONTEXT) return;
  ZSTD_freeDCtx(own->decoder->context);
  own->decoder->context = NULL;
}

// [produced, problem]
static napi_value decode_result(napi_env env, Work *work) {
  const DecodeWork *own = (DecodeWork *)work;
  napi_value result = NULL, problem = null_value(env);
  if (own->problem != NULL) napi_create_string_utf8(env, own->problem, NAPI_AUTO_LENGTH, &problem);
  if (napi_create_array_with_length(env, 2, &result) != napi_ok) return NULL;
  napi_set_element(env, result, 0, number_value(env, (double)own->output.pos));
  napi_set_element(env, result, 1, problem);
  return result;
}

static void decode_release(Work *work) {
  ((DecodeWork *)work)->decoder->is_busy = false;
  free(work);
}

static void read_pieces(Args *args, DecodeWork *own) {
  for (uint32_t index = 0; index < own->count && !args->failed; index++) {
    ZSTD_inBuffer *piece = &own->pieces[index];
    piece->src = element_bytes(args, 1, index, &piece->size);
  }
}

// zstdDecode(decoder, pieces, output): a promise of [produced, problem]. The pieces are those of frames: a header by itself, blocks, a checksum; the output
// takes all that the blocks make. None of them must change before the promise is settled.
napi_value sys_zstddecode(napi_env env, napi_callback_info info) {
  Args args = arguments(env, info, "zstdDecode", 3);
  Decoder *decoder = external_of(&args, 0, &DECODER_TAG);
  uint32_t count = 0;
  size_t room = 0;
  const uint8_t *output = bytes_of(&args, 2, &room);
  if (!args.failed && napi_get_array_length(env, args.values[1], &count) != napi_ok) refuse(&args, "ERR_INVALID_ARG_TYPE", "an array is needed here");
  if (!args.failed && decoder->is_busy) refuse(&args, "ERR_INVALID_STATE", "the decoder is at work");
  if (args.failed) return NULL;
  DecodeWork *own = calloc(1, sizeof *own + count * sizeof *own->pieces);
  errno = ENOMEM;
  if (own == NULL) return fail(&args, NULL);
  own->work = (Work){.name = "zstdDecode", .execute = decode_execute, .result = decode_result, .release = decode_release};
  own->decoder = decoder;
  own->output = (ZSTD_outBuffer){.dst = (void *)(uintptr_t)output, .size = room};
  own->count = count;
  decoder->is_busy = true;
  read_pieces(&args, own);
  if (!args.failed) return begin_work(&args, &own->work);
  decode_release(&own->work);
  return NULL;
}
