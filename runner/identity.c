#define _GNU_SOURCE
#include "identity.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include "io.h"

// Instead of an id, as setresuid(2) has it.
static const uint32_t SAME = UINT32_MAX;

static struct identity *known;
static size_t known_count, room;

// What /proc/PID/stat and status tell of it.
struct found {
  pid_t process, parent;
  uint64_t started, program;
};

// A call; it fails when the thread is gone.
static int look_up(int proc, pid_t thread, struct found *found) {
  char name[32], text[4096];
  snprintf(name, sizeof name, "%d/status", thread);
  if (read_text(proc, name, text, sizeof text) < 0) return -1;
  errno = ESRCH;
  const char *line = strstr(text, "\nTgid:");
  if (!line || sscanf(line, "\nTgid: %d", &found->process) != 1) return -1;
  snprintf(name, sizeof name, "%d/stat", found->process);
  if (read_text(proc, name, text, sizeof text) < 0) return -1;
  errno = ESRCH;
  // The command's name may hold anything, also parentheses.
  const char *end = strrchr(text, ')');
  if (!end || sscanf(end, ") %*c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %lu %*u %*d %*u %*u %*u %lu", &found->parent,
                     &found->started, &found->program) != 3) return -1;
  return 0;
}

static struct identity *find(pid_t process, uint64_t started) {
  for (size_t i = 0; i < known_count; i++) {
    if (known[i].process == process && known[i].started == started) return &known[i];
  }
  return NULL;
}

// Those of processes that have ended make room.
static void forget_ended(int proc) {
  size_t kept = 0;
  for (size_t i = 0; i < known_count; i++) {
    struct found now;
    if (look_up(proc, known[i].process, &now) == 0 && now.started == known[i].started) known[kept++] = known[i];
  }
  known_count = kept;
}

static struct identity *add(int proc, const struct identity *identity) {
  if (known_count == room) {
    forget_ended(proc);
    if (known_count * 2 > room || room == 0) {
      size_t more = room ? room * 2 : 64;
      struct identity *larger = realloc(known, more * sizeof *larger);
      if (!larger) return NULL;
      known = larger;
      room = more;
    }
  }
  known[known_count] = *identity;
  return &known[known_count++];
}

// That of the nearest one above that is known. Nobody who is outside of the run is: the walk ends at root.
static struct identity inherited(int proc, pid_t parent) {
  struct found above;
  for (pid_t at = parent; at > 1 && look_up(proc, at, &above) == 0; at = above.parent) {
    const struct identity *identity = find(above.process, above.started);
    if (identity) return *identity;
  }
  return (struct identity){0};
}

struct identity *identity_of(int proc, pid_t thread) {
  struct found now;
  if (look_up(proc, thread, &now) < 0) return NULL;
  struct identity *identity = find(now.process, now.started);
  if (!identity) {
    struct identity new = inherited(proc, now.parent);
    new.process = now.process;
    new.started = now.started;
    identity = add(proc, &new);
  }
  if (identity) identity->program = now.program;
  return identity;
}

// CAP_SETUID and CAP_SETGID. Who keeps the capabilities raises them again before they are used.
static bool is_able(const struct identity *identity) {
  return identity->user.effective == 0 || (identity->keeps && identity->keeps == identity->program);
}

void identity_keeps(struct identity *identity, bool keeps) { identity->keeps = keeps ? identity->program : 0; }

static bool may_be(const struct identity *identity, const struct ids *ids, uint32_t id) {
  return id == SAME || is_able(identity) || id == ids->real || id == ids->effective || id == ids->saved;
}

static int64_t set_three(struct identity *identity, struct ids *ids, uint32_t real, uint32_t effective, uint32_t saved) {
  if (!may_be(identity, ids, real) || !may_be(identity, ids, effective) || !may_be(identity, ids, saved)) return -EPERM;
  if (real != SAME) ids->real = real;
  if (effective != SAME) ids->effective = ids->fs = effective;
  if (saved != SAME) ids->saved = saved;
  return 0;
}

// setreuid(2): the saved id follows where the real one is set, or the effective one to something else than the real one was.
static int64_t set_two(struct identity *identity, struct ids *ids, uint32_t real, uint32_t effective) {
  bool follows = real != SAME || (effective != SAME && effective != ids->real);
  int64_t result = set_three(identity, ids, real, effective, SAME);
  if (result == 0 && follows) ids->saved = ids->effective;
  return result;
}

static int64_t set_one(struct identity *identity, struct ids *ids, uint32_t id) {
  if (id == SAME) return -EINVAL;
  return is_able(identity) ? set_three(identity, ids, id, id, id) : set_three(identity, ids, SAME, id, SAME);
}

static int64_t set_fs(struct identity *identity, struct ids *ids, uint32_t id) {
  uint32_t before = ids->fs;
  if (id == before || may_be(identity, ids, id)) ids->fs = id == SAME ? before : id;
  return before;
}

static int64_t put(const struct caller *caller, uint64_t address, const void *data, size_t size) {
  return caller_write(caller, address, data, size) == (ssize_t)size ? 0 : -EFAULT;
}

static int64_t get_three(const struct ids *ids, const struct caller *caller, const uint64_t *to) {
  uint32_t values[] = {ids->real, ids->effective, ids->saved};
  for (int i = 0; i < 3; i++) {
    if (put(caller, to[i], &values[i], sizeof values[i]) < 0) return -EFAULT;
  }
  return 0;
}

static int64_t set_groups(struct identity *identity, const struct caller *caller, uint64_t count, uint64_t address) {
  if (!is_able(identity)) return -EPERM;
  if (count > IDENTITY_GROUPS) return -EINVAL;
  uint32_t groups[IDENTITY_GROUPS];
  size_t size = (size_t)count * sizeof groups[0];
  if (size > 0 && caller_read(caller, address, groups, size) != (ssize_t)size) return -EFAULT;
  memcpy(identity->groups, groups, size);
  identity->group_count = (int)count;
  return 0;
}

static int64_t get_groups(struct identity *identity, const struct caller *caller, int64_t size, uint64_t address) {
  int have = identity->group_count;
  if (size < 0 || (size > 0 && size < have)) return -EINVAL;
  if (size > 0 && have > 0 && put(caller, address, identity->groups, (size_t)have * sizeof identity->groups[0]) < 0) return -EFAULT;
  return have;
}

bool identity_knows(int number) {
  switch (number) {
    case SYS_setuid: case SYS_setgid: case SYS_setreuid: case SYS_setregid: case SYS_setresuid: case SYS_setresgid: case SYS_setfsuid: case SYS_setfsgid:
    case SYS_setgroups: case SYS_getgroups: case SYS_getuid: case SYS_geteuid: case SYS_getgid: case SYS_getegid: case SYS_getresuid: case SYS_getresgid: return true;
    default: return false;
  }
}

int64_t identity_call(struct identity *identity, const struct caller *caller, int number, const uint64_t *arguments) {
  struct ids *user = &identity->user, *group = &identity->group;
  uint32_t a = (uint32_t)arguments[0], b = (uint32_t)arguments[1], c = (uint32_t)arguments[2];
  switch (number) {
    case SYS_getuid: return user->real;
    case SYS_geteuid: return user->effective;
    case SYS_getgid: return group->real;
    case SYS_getegid: return group->effective;
    case SYS_getresuid: return get_three(user, caller, arguments);
    case SYS_getresgid: return get_three(group, caller, arguments);
    case SYS_getgroups: return get_groups(identity, caller, (int32_t)a, arguments[1]);
    case SYS_setgroups: return set_groups(identity, caller, a, arguments[1]);
    case SYS_setuid: return set_one(identity, user, a);
    case SYS_setgid: return set_one(identity, group, a);
    case SYS_setreuid: return set_two(identity, user, a, b);
    case SYS_setregid: return set_two(identity, group, a, b);
    case SYS_setresuid: return set_three(identity, user, a, b, c);
    case SYS_setresgid: return set_three(identity, group, a, b, c);
    case SYS_setfsuid: return set_fs(identity, user, a);
    case SYS_setfsgid: return set_fs(identity, group, a);
    default: return -ENOSYS;
  }
}
