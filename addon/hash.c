#define _GNU_SOURCE
#include "hash.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "work.h"

// OpenSSL's, which Node exports to addons with the rest of what it links ("Linking to libraries included with Node.js" in its documentation). Declared here: the
// headers of Node-API do not have them, and these have been the same since OpenSSL 1.1.
typedef struct evp_md_ctx_st EVP_MD_CTX;
typedef struct evp_md_st EVP_MD;
typedef struct engine_st ENGINE;
extern EVP_MD_CTX *EVP_MD_CTX_new(void);
extern void EVP_MD_CTX_free(EVP_MD_CTX *context);
extern const EVP_MD *EVP_sha256(void);
extern int EVP_DigestInit_ex(EVP_MD_CTX *context, const EVP_MD *type, ENGINE *engine);
extern int EVP_DigestUpdate(EVP_MD_CTX *context, const void *data, size_t length);
extern int EVP_Digest(const void *data, size_t length, unsigned char *digest, unsigned int *size, const EVP_MD *type, ENGINE *engine);
extern int EVP_DigestFinal_ex(EVP_MD_CTX *context, unsigned char *digest, unsigned int *length);

enum { DIGEST_SIZE = 32 };

// One stream of bytes. `is_busy`: a thread has it, or it has ended.
typedef struct {
  EVP_MD_CTX *context;
  bool is_busy;
} Hash;

static const napi_type_tag HASH_TAG = {0x7462756964736861, 0x3235362d73747265};

static void hash_free(napi_env env, void *data, void *hint) {
  (void)env;
  (void)hint;
  Hash *hash = data;
  EVP_MD_CTX_free(hash->context);
  free(hash);
}

// sha256Begin(): a hash, which is freed when nobody has it any more.
napi_value sys_sha256begin(napi_env env, napi_callback_info info) {
  Args args = arguments(env, info, "sha256Begin", 0);
  if (args.failed) return NULL;
  errno = ENOMEM;
  Hash *hash = calloc(1, sizeof *hash);
  if (hash == NULL) return fail(&args, NULL);
  hash->context = EVP_MD_CTX_new();
  if (hash->context != NULL && EVP_DigestInit_ex(hash->context, EVP_sha256(), NULL) == 1) return external_value(&args, hash, hash_free, &HASH_TAG);
  hash_free(env, hash, NULL);
  return fail(&args, NULL);
}

// Of the first argument, which no thread may have.
static Hash *hash_of(Args *args) {
  Hash *hash = external_of(args, 0, &HASH_TAG);
  if (hash != NULL && hash->is_busy) refuse(args, "ERR_INVALID_STATE", "the hash is being updated, or has ended");
  return hash;
}

// Bytes, or a string as UTF-8, for as long as the call lasts; short ones need no memory of their own.
typedef struct {
  const uint8_t *data;
  size_t length;
  char *own, space[4096];
} Text;

static void text_of(Args *args, int index, Text *text) {
  text->own = NULL;
  text->length = 0;
  if (args->failed) return;
  if (napi_get_value_string_utf8(args->env, args->values[index], NULL, 0, &text->length) != napi_ok) {
    text->data = bytes_of(args, index, &text->length);
    return;
  }
  char *place = text->space;
  errno = ENOMEM;
  if (text->length >= sizeof text->space) place = text->own = malloc(text->length + 1);
  if (place == NULL) {
    fail(args, NULL);
    args->failed = true;
    return;
  }
  napi_get_value_string_utf8(args->env, args->values[index], place, text->length + 1, &text->length);
  text->data = (const uint8_t *)place;
}

// sha256(data): the 64 hex digits.
napi_value sys_sha256(napi_env env, napi_callback_info info) {
  static const char DIGITS[] = "0123456789abcdef";
  Args args = arguments(env, info, "sha256", 1);
  Text text;
  text_of(&args, 0, &text);
  if (args.failed) return NULL;
  unsigned char digest[DIGEST_SIZE];
  char hex[2 * DIGEST_SIZE];
  int result = EVP_Digest(text.data, text.length, digest, NULL, EVP_sha256(), NULL);
  free(text.own);
  errno = EINVAL;
  if (result != 1) return fail(&args, NULL);
  for (size_t index = 0; index < DIGEST_SIZE; index++) {
    hex[2 * index] = DIGITS[digest[index] >> 4];
    hex[2 * index + 1] = DIGITS[digest[index] & 15];
  }
  napi_value value = NULL;
  napi_create_string_latin1(env, hex, sizeof hex, &value);
  return value;
}

// sha256Add(hash, data): on this thread.
napi_value sys_sha256add(napi_env env, napi_callback_info info) {
  Args args = arguments(env, info, "sha256Add", 2);
  Hash *hash = hash_of(&args);
  Text text;
  text_of(&args, 1, &text);
  if (hash == NULL || args.failed) return NULL;
  int result = EVP_DigestUpdate(hash->context, text.data, text.length);
  free(text.own);
  errno = EINVAL;
  return done(&args, result == 1 ? 0 : -1, NULL);
}

typedef struct {
  const uint8_t *data;
  size_t length;
} Piece;

// Pieces in memory, or a part of a file.
typedef struct {
  Work work;
  Hash *hash;
  int fd;
  off_t offset;
  size_t length, count;
  Piece pieces[];
} HashWork;

static void hash_release(Work *work) {
  HashWork *own = (HashWork *)work;
  if (own->fd >= 0) close(own->fd);
  own->hash->is_busy = false;
  free(own);
}

static napi_value hash_result(napi_env env, Work *work) { return number_value(env, (double)((HashWork *)work)->length); }

static void hash_pieces(Work *work) {
  HashWork *own = (HashWork *)work;
  for (size_t index = 0; index < own->count; index++) {
    const Piece *piece = &own->pieces[index];
    if (EVP_DigestUpdate(own->hash->context, piece->data, piece->length) != 1) work->error = EIO;
  }
}

enum { BLOCK = 131072 };

// Leaves in `length` how much there was.
static void hash_file(Work *work) {
  HashWork *own = (HashWork *)work;
  size_t wanted = own->length;
  uint8_t *block = malloc(BLOCK);
  if (block == NULL) work->error = ENOMEM;
  for (own->length = 0; work->error == 0 && own->length < wanted;) {
    size_t left = wanted - own->length;
    ssize_t got = pread(own->fd, block, left < BLOCK ? left : BLOCK, own->offset + (off_t)own->length);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) work->error = errno;
    if (got <= 0) break;
    if (EVP_DigestUpdate(own->hash->context, block, (size_t)got) != 1) work->error = EIO;
    own->length += (size_t)got;
  }
  free(block);
}

static HashWork *hash_work(Hash *hash, size_t count, void (*execute)(Work *)) {
  HashWork *own = calloc(1, sizeof *own + count * sizeof *own->pieces);
  if (own == NULL) return NULL;
  own->work = (Work){.name = "sha256", .execute = execute, .result = hash_result, .release = hash_release};
  own->hash = hash;
  own->fd = -1;
  own->count = count;
  return own;
}

static void read_pieces(Args *args, HashWork *own) {
  for (uint32_t index = 0; index < own->count && !args->failed; index++) {
    Piece *piece = &own->pieces[index];
    piece->data = element_bytes(args, 1, index, &piece->length);
    own->length += piece->length;
  }
}

// sha256Update(hash, pieces): a promise. The pieces must stay as they are until then.
napi_value sys_sha256update(napi_env env, napi_callback_info info) {
  Args args = arguments(env, info, "sha256Update", 2);
  Hash *hash = hash_of(&args);
  uint32_t count = 0;
  if (!args.failed && napi_get_array_length(env, args.values[1], &count) != napi_ok) refuse(&args, "ERR_INVALID_ARG_TYPE", "an array is needed here");
  if (hash == NULL || args.failed) return NULL;
  HashWork *own = hash_work(hash, count, hash_pieces);
  errno = ENOMEM;
  if (own == NULL) return fail(&args, NULL);
  read_pieces(&args, own);
  hash->is_busy = true;
  if (!args.failed) return begin_work(&args, &own->work);
  hash_release(&own->work);
  return NULL;
}

// sha256File(hash, fd, offset, length): a promise of how many bytes there were. The descriptor may be closed when this returns.
napi_value sys_sha256file(napi_env env, napi_callback_info info) {
  Args args = arguments(env, info, "sha256File", 4);
  Hash *hash = hash_of(&args);
  int fd = int_of(&args, 1);
  off_t offset = whole_of(&args, 2, 0, INT64_MAX);
  int64_t length = whole_of(&args, 3, 0, INT64_MAX);
  if (hash == NULL || args.failed) return NULL;
  HashWork *own = hash_work(hash, 0, hash_file);
  errno = ENOMEM;
  if (own == NULL) return fail(&args, NULL);
  own->offset = offset;
  own->length = (size_t)length;
  hash->is_busy = true;
  if ((own->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0)) >= 0) return begin_work(&args, &own->work);
  fail(&args, NULL);
  hash_release(&own->work);
  return NULL;
}

// sha256End(hash): a Buffer. Nothing can be added any more.
napi_value sys_sha256end(napi_env env, napi_callback_info info) {
  Args args = arguments(env, info, "sha256End", 1);
  Hash *hash = hash_of(&args);
  if (hash == NULL || args.failed) return NULL;
  unsigned char digest[DIGEST_SIZE];
  errno = EINVAL;
  hash->is_busy = true;
  if (EVP_DigestFinal_ex(hash->context, digest, NULL) != 1) return fail(&args, NULL);
  // At once: the collector does not know how large what it would free is.
  EVP_MD_CTX_free(hash->context);
  hash->context = NULL;
  return buffer_value(env, digest, DIGEST_SIZE);
}
