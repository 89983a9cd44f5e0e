#define _GNU_SOURCE
#include "scan.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "batch.h"
#include "listing.h"
#include "work.h"

// What is told of a directory, before the stats and the names of all of them.
enum { SCAN_ENTRIES = 0, SCAN_NAMES = 1, SCAN_FIELDS = 2 };

typedef struct {
  Work work;
  int root;
  size_t count;
  char *paths;
  double *table; // SCAN_FIELDS a directory
  double *stats; // STAT_FIELDS an entry
  size_t entries, room;
  Listing names;
} ScanWork;

// A call: no component of the path is a symlink, and none leads up.
static int open_directory(int root, const char *path) {
  struct open_how how = {
    .flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
    .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
  };
  return (int)syscall(SYS_openat2, root, path, &how, sizeof how);
}

static size_t name_length(const uint8_t *record) { return record[1] | (size_t)record[2] << 8; }

static int by_name(const void *a, const void *b) {
  const uint8_t *left = *(const uint8_t *const *)a, *right = *(const uint8_t *const *)b;
  size_t left_length = name_length(left), right_length = name_length(right);
  int order = memcmp(left + RECORD_HEADER, right + RECORD_HEADER, left_length < right_length ? left_length : right_length);
  return order != 0 ? order : (left_length > right_length) - (left_length < right_length);
}

// A call: the records in the order of their names' bytes; how many there are. The caller frees them.
static ssize_t sorted(const Listing *listing, const uint8_t ***records) {
  size_t count = 0, index = 0;
  for (size_t at = 0; at < listing->used; at += RECORD_HEADER + name_length(listing->bytes + at)) count++;
  *records = malloc((count + 1) * sizeof **records);
  if (*records == NULL) return -1;
  for (size_t at = 0; at < listing->used; at += RECORD_HEADER + name_length(listing->bytes + at)) (*records)[index++] = listing->bytes + at;
  qsort(*records, count, sizeof **records, by_name);
  return (ssize_t)count;
}

// A call: room for one more entry.
static int reserve(ScanWork *own, size_t length) {
  if (own->entries == own->room) {
    size_t room = own->room * 2 + 256;
    double *larger = realloc(own->stats, room * STAT_FIELDS * sizeof *larger);
    if (larger == NULL) return -1;
    own->stats = larger;
    own->room = room;
  }
  if (own->names.used + RECORD_HEADER + length > own->names.room) {
    size_t room = own->names.room * 2 + 8192;
    uint8_t *larger = realloc(own->names.bytes, room);
    if (larger == NULL) return -1;
    own->names.bytes = larger;
    own->names.room = room;
  }
  return 0;
}

// A call. What went away since it was listed is not there.
static int add_stat(ScanWork *own, int fd, const uint8_t *record) {
  size_t length = name_length(record);
  char name[NAME_MAX + 1];
  struct stat st;
  if (length > NAME_MAX || reserve(own, length) < 0) return -1;
  memcpy(name, record + RECORD_HEADER, length);
  name[length] = '\0';
  if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0) return errno == ENOENT ? 0 : -1;
  write_stat(own->stats + own->entries * STAT_FIELDS, &st);
  uint8_t *copy = own->names.bytes + own->names.used;
  memcpy(copy, record, RECORD_HEADER + length);
  // Not every file system tells the type of what it lists, and no stat says something else.
  copy[0] = (uint8_t)((st.st_mode & S_IFMT) >> 12);
  own->names.used += RECORD_HEADER + length;
  own->entries++;
  return 0;
}

// A call.
static int scan_open(ScanWork *own, int fd, Listing *listing) {
  const uint8_t **records = NULL;
  ssize_t count = list_entries(fd, listing) < 0 ? -1 : sorted(listing, &records);
  int result = count < 0 ? -1 : 0;
  for (ssize_t index = 0; index < count && result == 0; index++) {
    // A directory that changes while it is listed may give a name twice.
    bool is_again = index > 0 && by_name(&records[index - 1], &records[index]) == 0;
    if (!is_again) result = add_stat(own, fd, records[index]);
  }
  free(records);
  return result;
}

// Leaves -1 entries for what cannot be scanned.
static void scan_directory(ScanWork *own, const char *path, double *told) {
  size_t entries = own->entries, names = own->names.used;
  Listing listing = {0};
  int fd = open_directory(own->root, path);
  bool is_scanned = fd >= 0 && scan_open(own, fd, &listing) == 0;
  if (fd >= 0) close(fd);
  free(listing.bytes);
  if (!is_scanned) {
    own->entries = entries;
    own->names.used = names;
  }
  told[SCAN_ENTRIES] = is_scanned ? (double)(own->entries - entries) : -1;
  told[SCAN_NAMES] = (double)(own->names.used - names);
}

static void scan_execute(Work *work) {
  ScanWork *own = (ScanWork *)work;
  const char *path = own->paths;
  for (size_t index = 0; index < own->count; index++) {
    scan_directory(own, path, own->table + index * SCAN_FIELDS);
    path += strlen(path) + 1;
  }
}

static napi_value scan_result(napi_env env, Work *work) {
  ScanWork *own = (ScanWork *)work;
  size_t table = own->count * SCAN_FIELDS * sizeof *own->table, stats = own->entries * STAT_FIELDS * sizeof *own->stats;
  void *data = NULL;
  napi_value result = NULL;
  if (napi_create_buffer(env, table + stats + own->names.used, &data, &result) != napi_ok) return NULL;
  uint8_t *into = data;
  memcpy(into, own->table, table);
  if (stats > 0) memcpy(into + table, own->stats, stats);
  if (own->names.used > 0) memcpy(into + table + stats, own->names.bytes, own->names.used);
  return result;
}

static void scan_release(Work *work) {
  ScanWork *own = (ScanWork *)work;
  if (own->root >= 0) close(own->root);
  free(own->paths);
  free(own->table);
  free(own->stats);
  free(own->names.bytes);
  free(own);
}

// scanEach(rootfd, paths): a promise of a Buffer that has for each directory below `rootfd` how many entries it has, -1 when it cannot be scanned, and the bytes of
// their names; then STAT_FIELDS of each entry; all these are doubles; then the records of readdir, sorted, with the type that the stat has. No symlink is followed.
napi_value sys_scaneach(napi_env env, napi_callback_info info) {
  Args args = arguments(env, info, "scanEach", 2);
  const char *paths;
  size_t length;
  int root = int_of(&args, 0);
  size_t count = paths_of(&args, 1, &paths, &length);
  if (args.failed) return NULL;
  errno = ENOMEM;
  ScanWork *own = calloc(1, sizeof *own);
  if (own == NULL) return fail(&args, NULL);
  *own = (ScanWork){.work = {.name = "scanEach", .execute = scan_execute, .result = scan_result, .release = scan_release}, .root = -1, .count = count};
  own->paths = malloc(length + 1);
  own->table = calloc(count + 1, SCAN_FIELDS * sizeof *own->table);
  if (own->paths != NULL && own->table != NULL) {
    if (length > 0) memcpy(own->paths, paths, length);
    // The caller's descriptor is closed whenever it likes.
    if ((own->root = fcntl(root, F_DUPFD_CLOEXEC, 0)) >= 0) return begin_work(&args, &own->work);
  }
  fail(&args, NULL);
  scan_release(&own->work);
  return NULL;
}
