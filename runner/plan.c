#define _GNU_SOURCE
#include "plan.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/sysmacros.h>

#include "fail.h"

// -1 is no id.
#define MOST_ID 0xfffffffeu

static uint32_t take_id(struct wire *wire) { return (uint32_t)wire_number(wire, MOST_ID); }

static bool take_root(struct wire *wire, struct plan *plan) {
  plan->root.upper = wire_path(wire);
  plan->root.work = wire_path(wire);
  plan->root.options = wire_text(wire);
  plan->root.directory = wire_path_or_none(wire);
  plan->root.layers = wire_paths(wire, 1);
  return true;
}

static bool take_process(struct wire *wire, struct plan *plan) {
  plan->hostname = wire_text(wire);
  plan->namespaces = wire_number(wire, UINT64_MAX);
  plan->cwd = wire_path(wire);
  plan->uid = take_id(wire);
  plan->gid = take_id(wire);
  plan->capabilities = wire_number(wire, UINT64_MAX);
  plan->skip_setgroups = wire_flag(wire);
  plan->scoped = wire_flag(wire);
  return true;
}

static bool take_groups(struct wire *wire, struct plan *plan) {
  plan->groups = calloc(wire->left + 1u, sizeof *plan->groups);
  if (!plan->groups) return fail("memory for groups");
  while (wire->left > 0 && !wire->failed) plan->groups[plan->group_count++] = take_id(wire);
  return true;
}

static bool take_limit(struct wire *wire, struct plan *plan) {
  struct limit *limit = &plan->limits[plan->limit_count++];
  limit->resource = (int)wire_number(wire, RLIM_NLIMITS - 1);
  limit->values.rlim_cur = wire_number(wire, UINT64_MAX);
  limit->values.rlim_max = wire_number(wire, UINT64_MAX);
  return true;
}

// The plan's bytes have no alignment.
static bool take_filter(struct wire *wire, struct plan *plan) {
  uint32_t size;
  const char *bytes = wire_bytes(wire, &size);
  size_t length = size / sizeof *plan->filter;
  errno = 0;
  if (size % sizeof *plan->filter != 0 || length == 0 || length > BPF_MAXINSNS) return fail("plan: seccomp program of %u bytes", size);
  plan->filter = malloc(size);
  if (!plan->filter) return fail("memory for the seccomp filter");
  memcpy(plan->filter, bytes, size);
  plan->filter_length = (unsigned short)length;
  return true;
}

static void take_shown(struct wire *wire, struct plan *plan) {
  plan->is_shown = true;
  plan->shown_uid = take_id(wire);
  plan->shown_gid = take_id(wire);
}

static void take_attached(struct wire *wire, struct mount *mount) {
  mount->attributes = wire_mask(wire, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
  mount->flags = (unsigned)wire_mask(wire, MOUNT_PLAIN | MOUNT_USER | MOUNT_RECURSIVE | MOUNT_KEEP);
}

static void take_fs(struct wire *wire, struct mount *mount) {
  take_attached(wire, mount);
  mount->fs.type = wire_text(wire);
  mount->fs.options = wire_texts(wire, 0);
}

static void take_bind(struct wire *wire, struct mount *mount) {
  take_attached(wire, mount);
  mount->bind.source = wire_path(wire);
  mount->bind.path = wire_text(wire);
}

static void take_view(struct wire *wire, struct mount *mount) {
  take_attached(wire, mount);
  mount->view.path = wire_text(wire);
  mount->view.writable = wire_flag(wire);
  mount->view.options = wire_text(wire);
  mount->view.layers = wire_paths(wire, 1);
}

static void take_file(struct wire *wire, struct mount *mount) {
  take_attached(wire, mount);
  mount->file.mode = (mode_t)wire_number(wire, 07777);
  mount->file.uid = take_id(wire);
  mount->file.gid = take_id(wire);
  mount->file.data = wire_bytes(wire, &mount->file.size);
}

static void take_device(struct wire *wire, struct mount *mount) {
  mount->device.source = wire_path(wire);
  unsigned high = (unsigned)wire_number(wire, UINT32_MAX), low = (unsigned)wire_number(wire, UINT32_MAX);
  mount->device.number = makedev(high, low);
}

static bool take_mount(struct wire *wire, struct plan *plan) {
  struct mount *mount = &plan->mounts[plan->mount_count++];
  mount->kind = wire->kind;
  mount->target = wire_path(wire);
  switch (mount->kind) {
    case REC_FS: take_fs(wire, mount); return true;
    case REC_BIND: take_bind(wire, mount); return true;
    case REC_VIEW: take_view(wire, mount); return true;
    case REC_FILE: take_file(wire, mount); return true;
    case REC_DEVICE: take_device(wire, mount); return true;
    case REC_LINK: mount->link.text = wire_text(wire); return true;
    case REC_MASK: case REC_READONLY: return true;
    default: break;
  }
  errno = 0;
  return fail("plan: unknown record %u", wire->kind);
}

static bool take_record(struct wire *wire, struct plan *plan) {
  switch ((enum record_kind)wire->kind) {
    case REC_ROOT: return take_root(wire, plan);
    case REC_PROCESS: return take_process(wire, plan);
    case REC_GROUPS: return take_groups(wire, plan);
    case REC_ARGS: plan->args = wire_texts(wire, 1); return true;
    case REC_ENV: plan->env = wire_texts(wire, 0); return true;
    case REC_PATH: plan->path = wire_texts(wire, 0); return true;
    case REC_RLIMIT: return take_limit(wire, plan);
    case REC_SECCOMP: return take_filter(wire, plan);
    case REC_CGROUP: plan->cgroups[plan->cgroup_count++] = wire_path(wire); return true;
    case REC_OOM: plan->oom_counter = wire_path(wire); return true;
    case REC_SHOWN: take_shown(wire, plan); return true;
    case REC_OWNERS: plan->owners = wire_path(wire); return true;
    default: return take_mount(wire, plan);
  }
}

static bool may_repeat(unsigned kind) { return kind == REC_RLIMIT || kind == REC_CGROUP || kind >= REC_FS; }

static bool take_records(struct wire *wire, struct plan *plan) {
  uint64_t seen = 0;
  while (wire_next(wire)) {
    errno = 0;
    if (!may_repeat(wire->kind) && seen & UINT64_C(1) << wire->kind) return fail("plan: record %u is given twice", wire->kind);
    if (!take_record(wire, plan)) return false;
    if (wire->kind < 64) seen |= UINT64_C(1) << wire->kind;
  }
  if (wire->failed) return false;
  errno = 0;
  for (unsigned kind = REC_ROOT; kind <= REC_PATH; kind++) {
    if (!(seen & UINT64_C(1) << kind)) return fail("plan: record %u is missing", kind);
  }
  return true;
}

// Without all of these the set-up would change the machine itself; with none the root is a directory of its own and nothing is mounted.
static bool check_namespaces(const struct plan *plan) {
  errno = 0;
  if (plan->namespaces == 0) {
    if (!plan->root.directory) return fail("plan: no namespaces and no directory of its own");
    return plan->mount_count == 0 || fail("plan: a mount without a mount namespace");
  }
  if ((plan->namespaces & ~(uint64_t)CLONE_NEWNET) == (CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP)) return true;
  return fail("plan: namespaces 0x%llx", (unsigned long long)plan->namespaces);
}

bool plan_read(struct plan *plan, int fd) {
  struct wire wire;
  *plan = (struct plan){0};
  if (!wire_read(&wire, fd)) return false;
  plan->mounts = calloc(wire.records + 1, sizeof *plan->mounts);
  plan->limits = calloc(wire.records + 1, sizeof *plan->limits);
  plan->cgroups = calloc(wire.records + 1, sizeof *plan->cgroups);
  if (!plan->mounts || !plan->limits || !plan->cgroups) return fail("memory for a plan of %zu records", wire.records);
  return take_records(&wire, plan) && check_namespaces(plan);
}
