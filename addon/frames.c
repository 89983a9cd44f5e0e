#include "frames.h"

#include <errno.h>

// Of the library's own, whose warnings are of no use to us.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wextra"
#include "../third-party/zstd/lib/compress/zstd_compress_internal.h"
#pragma GCC diagnostic pop

static bool is_first(const FramePiece *piece) { return piece->window == 0; }

static bool is_only(const FramePiece *piece) { return is_first(piece) && piece->last; }

// The first piece's are in the header of the frame. A frame of one piece tells its size, and has the parameters for that; all others have those for a whole piece
// with what it sees, which bounds the memory of high levels.
static ZSTD_parameters parameters_of(const FramePiece *piece) {
  size_t size = is_only(piece) ? piece->length : FRAME_PIECE + FRAME_WINDOW;
  return (ZSTD_parameters){
    .cParams = ZSTD_getCParams(piece->level, size, 0),
    .fParams = {.contentSizeFlag = is_only(piece), .checksumFlag = is_first(piece), .noDictIDFlag = 1},
  };
}

// A call: a context that goes on where the piece before ended, but for what its end left to chance; 0 or an error of zstd's.
static size_t begin(ZSTD_CCtx *context, ZSTD_CCtx_params *parameters, const FramePiece *piece, uint8_t *out, size_t room) {
  unsigned long long size = is_only(piece) ? piece->length : ZSTD_CONTENTSIZE_UNKNOWN;
  size_t result = ZSTD_CCtxParams_init_advanced(parameters, parameters_of(piece));
  if (ZSTD_isError(result)) return result;
  // The reader has the window of the frame and no more: nothing may refer to what is further away, though it is in memory here.
  result = ZSTD_CCtxParams_setParameter(parameters, ZSTD_c_forceMaxWindow, !is_first(piece));
  if (ZSTD_isError(result)) return result;
  result = ZSTD_compressBegin_advanced_internal(context, piece->bytes, piece->window, ZSTD_dct_rawContent, ZSTD_dtlm_fast, NULL, parameters, size);
  if (ZSTD_isError(result) || is_first(piece)) return result;
  // A header that is not wanted: what follows is written over it. Nor does the reader have the repeated offsets that a frame begins with.
  result = ZSTD_compressContinue_public(context, out, room, piece->bytes + piece->window, 0);
  ZSTD_invalidateRepCodes(context);
  return ZSTD_isError(result) ? result : 0;
}

size_t frame_bound(const FramePiece *piece) { return ZSTD_compressBound(piece->length - piece->window) + ZSTD_FRAMEHEADERSIZE_MAX; }

ssize_t frame_piece(const FramePiece *piece, uint8_t *out) {
  size_t room = frame_bound(piece), length = piece->length - piece->window;
  const uint8_t *bytes = piece->bytes + piece->window;
  ZSTD_CCtx *context = ZSTD_createCCtx();
  ZSTD_CCtx_params *parameters = ZSTD_createCCtxParams();
  size_t result = 0;
  bool is_made = context != NULL && parameters != NULL && !ZSTD_isError(begin(context, parameters, piece, out, room));
  if (is_made) {
    result = piece->last ? ZSTD_compressEnd_public(context, out, room, bytes, length) : ZSTD_compressContinue_public(context, out, room, bytes, length);
    is_made = !ZSTD_isError(result);
  }
  ZSTD_freeCCtxParams(parameters);
  ZSTD_freeCCtx(context);
  if (is_made) return (ssize_t)result;
  // All arguments are ours: nothing else can be wrong.
  errno = ENOMEM;
  return -1;
}
