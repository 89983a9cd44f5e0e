#define _GNU_SOURCE
#include "batch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

/*
 * Numbers in JavaScript are exact to 2^53. overlayfs with xino keeps a layer's index in the top bits of st_ino, so they are folded in below
 * that bound instead of being rounded away: two inodes would otherwise look like hard links of one another.
 */
static double fold_inode(uint64_t inode) {
    return (double)((inode & ((UINT64_C(1) << 53) - 1)) ^ ((inode >> 53) << 42));
}

void write_stat(double *fields, const struct stat *st) {
    fields[0] = (double)st->st_dev;
    fields[1] = fold_inode(st->st_ino);
    fields[2] = st->st_mode;
    fields[3] = (double)st->st_nlink;
    fields[4] = st->st_uid;
    fields[5] = st->st_gid;
    fields[6] = major(st->st_rdev);
    fields[7] = minor(st->st_rdev);
    fields[8] = (double)st->st_size;
    fields[9] = (double)st->st_mtim.tv_sec;
    fields[10] = (double)st->st_mtim.tv_nsec;
    fields[11] = (double)st->st_ctim.tv_sec;
    fields[12] = (double)st->st_ctim.tv_nsec;
}

/* ---- records { u8 type, u16le length, name } as readdir gives them ------------------------------------------------------------------------ */

typedef struct {
    const uint8_t *at, *end;
} Records;

/* The next name, ended by NUL; false at the end, or where the records are broken or a name has a slash. */
static bool next_name(Records *records, char name[NAME_MAX + 1]) {
    if (records->end - records->at < 3) return false;
    size_t length = records->at[1] | (size_t)records->at[2] << 8;
    if (length == 0 || length > NAME_MAX || (size_t)(records->end - records->at - 3) < length) return false;
    memcpy(name, records->at + 3, length);
    name[length] = '\0';
    records->at += 3 + length;
    return strchr(name, '/') == NULL;
}

/* statEach(dirfd, records, fields: Float64Array(13 a record)): the number of fields filled; a mode of 0 where nothing is there any more. */
napi_value sys_stateach(napi_env env, napi_callback_info info) {
    Args args = arguments(env, info, 3);
    int dirfd = int_of(&args, 0);
    Records records;
    size_t length = 0;
    if (args.failed) return NULL;
    if (!bytes_of(&args, 1, &records.at, &length)) return fail(env, EINVAL, "statEach", NULL);
    records.end = records.at + length;
    size_t count = 0;
    for (const uint8_t *at = records.at; records.end - at >= 3; at += 3 + (at[1] | (size_t)at[2] << 8)) count++;
    double *fields = numbers_of(&args, 2, count * STAT_FIELDS);
    if (args.failed) return NULL;
    char name[NAME_MAX + 1];
    size_t filled = 0;
    for (; filled < count && next_name(&records, name); filled++) {
        struct stat st;
        if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0) memset(&st, 0, sizeof st);
        write_stat(fields + filled * STAT_FIELDS, &st);
    }
    return number_value(env, (double)filled);
}

/* ---- copyEach ---------------------------------------------------------------------------------------------------------------------------- */

/* What JavaScript gives for each file. */
enum { COPY_MODE, COPY_UID, COPY_GID, COPY_SECONDS, COPY_NANOSECONDS, COPY_FIELDS };

#define BLOCK 65536

typedef struct {
    napi_async_work work;
    napi_deferred deferred;
    int from, to;
    size_t count, size;
    double *plan;
    uint8_t *left;
    uint8_t records[];
} CopyWork;

static bool write_all(int fd, const char *data, size_t length) {
    while (length > 0) {
        ssize_t count = write(fd, data, length);
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) return false;
        data += count;
        length -= (size_t)count;
    }
    return true;
}

static bool copy_bytes(int from, int to, off_t size, char *block) {
    off_t total = 0;
    for (;;) {
        ssize_t got = read(from, block, BLOCK);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0 || (got > 0 && !write_all(to, block, (size_t)got))) return false;
        total += got;
        if (got < BLOCK && total >= size) return total == size;
        if (got == 0) return false;
    }
}

/* Asking what the kernel made is cheaper than chown and chmod, which are transactions of the file system. chown clears special bits: it comes first. */
static bool set_metadata(int fd, const double *plan) {
    struct stat st;
    uid_t uid = (uid_t)plan[COPY_UID];
    gid_t gid = (gid_t)plan[COPY_GID];
    mode_t mode = (mode_t)plan[COPY_MODE];
    if (fstat(fd, &st) < 0) return false;
    bool owned = st.st_uid == uid && st.st_gid == gid;
    if (!owned && fchown(fd, uid, gid) < 0) return false;
    if ((!owned || (st.st_mode & 07777) != mode) && fchmod(fd, mode) < 0) return false;
    struct timespec time = {.tv_sec = (time_t)plan[COPY_SECONDS], .tv_nsec = (long)plan[COPY_NANOSECONDS]};
    struct timespec times[2] = {time, time};
    return futimens(fd, times) == 0;
}

static bool without_attributes(int fd) {
    ssize_t length = flistxattr(fd, NULL, 0);
    return length == 0 || (length < 0 && (errno == ENOTSUP || errno == EOPNOTSUPP));
}

/* True when the file is there, whole; otherwise there is none of that name that was not there before. */
static bool copy_plain(const CopyWork *work, const char *name, const double *plan, char *block) {
    int from = openat(work->from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (from < 0) return false;
    struct stat st;
    bool made = false;
    if (fstat(from, &st) == 0 && S_ISREG(st.st_mode) && without_attributes(from)) {
        int to = openat(work->to, name, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, (mode_t)plan[COPY_MODE] & 0777);
        if (to >= 0) {
            made = copy_bytes(from, to, st.st_size, block) && set_metadata(to, plan);
            if (close(to) < 0) made = false;
            if (!made) unlinkat(work->to, name, 0);
        }
    }
    close(from);
    return made;
}

static void copy_execute(napi_env env, void *data) {
    (void)env;
    CopyWork *work = data;
    Records records = {work->records, work->records + work->size};
    char name[NAME_MAX + 1], *block = malloc(BLOCK);
    memset(work->left, 1, work->count);
    if (block == NULL) return;
    for (size_t index = 0; index < work->count && next_name(&records, name); index++) {
        work->left[index] = !copy_plain(work, name, work->plan + index * COPY_FIELDS, block);
    }
    free(block);
}

static void copy_free(CopyWork *work) {
    if (work->from >= 0) close(work->from);
    if (work->to >= 0) close(work->to);
    free(work->plan);
    free(work->left);
    free(work);
}

static void copy_complete(napi_env env, napi_status status, void *data) {
    CopyWork *work = data;
    if (status != napi_ok) memset(work->left, 1, work->count);
    napi_resolve_deferred(env, work->deferred, buffer_value(env, work->left, work->count));
    napi_delete_async_work(env, work->work);
    copy_free(work);
}

static CopyWork *copy_new(const uint8_t *records, size_t size, const double *plan, size_t count) {
    CopyWork *work = malloc(sizeof *work + size);
    if (work == NULL) return NULL;
    *work = (CopyWork){.from = -1, .to = -1, .count = count, .size = size};
    memcpy(work->records, records, size);
    work->plan = malloc(count * COPY_FIELDS * sizeof *plan);
    work->left = malloc(count);
    if (work->plan != NULL && work->left != NULL) {
        memcpy(work->plan, plan, count * COPY_FIELDS * sizeof *plan);
        return work;
    }
    copy_free(work);
    return NULL;
}

/*
 * copyEach(fromfd, tofd, records, plan: Float64Array(5 a record: mode, uid, gid, mtime seconds, nanoseconds)): a promise of a Buffer with a byte a
 * file, 1 for those that were left undone. Copies regular files of one directory to new ones of the same names in another, on a thread of
 * libuv's pool. What is not plain (attributes, a name that is taken, any error) is left to the caller, whose calls then say what is wrong.
 */
napi_value sys_copyeach(napi_env env, napi_callback_info info) {
    Args args = arguments(env, info, 5);
    int from = int_of(&args, 0), to = int_of(&args, 1);
    size_t count = (size_t)number_of(&args, 4), size = 0;
    const uint8_t *records;
    double *plan = numbers_of(&args, 3, count * COPY_FIELDS);
    if (args.failed) return NULL;
    if (count == 0 || !bytes_of(&args, 2, &records, &size)) return fail(env, EINVAL, "copyEach", NULL);
    CopyWork *work = copy_new(records, size, plan, count);
    if (work == NULL) return fail(env, ENOMEM, "copyEach", NULL);
    /* Duplicates: the caller's descriptors are closed whenever it likes. */
    work->from = fcntl(from, F_DUPFD_CLOEXEC, 0);
    work->to = fcntl(to, F_DUPFD_CLOEXEC, 0);
    if (work->from < 0 || work->to < 0) {
        int code = errno;
        copy_free(work);
        return fail(env, code, "fcntl", NULL);
    }
    napi_value promise, name;
    napi_create_promise(env, &work->deferred, &promise);
    napi_create_string_utf8(env, "tbuild.copyEach", NAPI_AUTO_LENGTH, &name);
    if (napi_create_async_work(env, NULL, name, copy_execute, copy_complete, work, &work->work) != napi_ok) {
        copy_free(work);
        return fail(env, ENOMEM, "copyEach", NULL);
    }
    napi_queue_async_work(env, work->work);
    return promise;
}
