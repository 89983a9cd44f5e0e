#define _GNU_SOURCE
#include "plan.h"

#include <errno.h>
#include <linux/filter.h>
#include <sched.h>
#include <string.h>

#include "fail.h"

#define PLAN_LIMIT (64u << 20)
#define MAGIC "tbuild1\n"

// What the fields of each record are: s text, p absolute path, n number, b bytes; the last may repeat: * any times, + at least once.
static const char *shape_of(unsigned kind) {
  switch (kind) {
    case REC_ROOT: return "ppssp+";
    case REC_PROCESS: return "snpnnnnn";
    case REC_GROUPS: return "n*";
    case REC_ARGS: return "s+";
    case REC_ENV: return "s*";
    case REC_PATH: return "s*";
    case REC_RLIMIT: return "nnn";
    case REC_SECCOMP: return "b";
    case REC_CGROUP: return "p";
    case REC_OOM: return "p";
    case REC_SHOWN: return "nn";
    case REC_OWNERS: return "p";
    case REC_FS: return "pnnss*";
    case REC_BIND: return "pnnps";
    case REC_VIEW: return "pnnsnsp+";
    case REC_FILE: return "pnnnnnb";
    case REC_DEVICE: return "ppnn";
    case REC_LINK: return "ps";
    case REC_MASK: return "p";
    case REC_READONLY: return "p";
    default: return NULL;
  }
}

static int parse_number(const struct field *field, uint64_t *value) {
  if (field->length == 0 || field->length > 20) return -1;
  uint64_t result = 0;
  for (uint32_t i = 0; i < field->length; i++) {
    unsigned digit = (unsigned char)field->data[i] - '0';
    if (digit > 9 || __builtin_mul_overflow(result, 10, &result) || __builtin_add_overflow(result, digit, &result)) return -1;
  }
  *value = result;
  return 0;
}

uint64_t field_number(const struct field *field) {
  uint64_t value = UINT64_MAX;
  if (parse_number(field, &value) < 0) abort();
  return value;
}

static int check_field(char type, const struct field *field) {
  uint64_t number;
  if (type == 'n') return parse_number(field, &number);
  if (type == 'b') return 0;
  if (memchr(field->data, '\0', field->length)) return -1;
  return type == 'p' && field->data[0] != '/' ? -1 : 0;
}

static int check_record(const struct record *record) {
  errno = 0;
  const char *shape = shape_of(record->kind);
  if (!shape) return fail("plan: unknown record %u", record->kind);
  size_t fixed = strcspn(shape, "*+");
  char repeat = shape[fixed];
  size_t least = repeat == '*' ? fixed - 1 : fixed;
  if (record->count < least || (!repeat && record->count > fixed)) return fail("plan: record %u has %u fields", record->kind, record->count);
  for (size_t i = 0; i < record->count; i++) {
    char type = shape[i < fixed ? i : fixed - 1];
    if (check_field(type, &record->fields[i]) < 0) return fail("plan: field %zu of record %u is not valid", i, record->kind);
  }
  return 0;
}

static int read_full(int fd, void *buffer, size_t size) {
  for (size_t done = 0; done < size;) {
    ssize_t got = read(fd, (char *)buffer + done, size - done);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return fail("plan: it ends early");
    done += (size_t)got;
  }
  return 0;
}

// A cursor over the plan's bytes; every take checks the bound.
struct cursor {
  const char *at, *end;
};

static const char *take(struct cursor *cursor, size_t size) {
  if ((size_t)(cursor->end - cursor->at) < size) return NULL;
  const char *start = cursor->at;
  cursor->at += size;
  return start;
}

static int take_field(struct cursor *cursor, struct field *field) {
  const char *header = take(cursor, 4);
  if (!header) return -1;
  memcpy(&field->length, header, 4);
  field->data = take(cursor, (size_t)field->length + 1);
  return field->data && field->data[field->length] == '\0' ? 0 : -1;
}

// Two passes over the same bytes: the first counts (records == NULL), the second stores.
static int walk_records(struct plan *plan, size_t size, size_t *records, size_t *fields) {
  struct cursor cursor = {plan->bytes, plan->bytes + size};
  *records = *fields = 0;
  for (;;) {
    const char *header = take(&cursor, 4);
    uint16_t kind, count;
    if (!header) return -1;
    memcpy(&kind, header, 2);
    memcpy(&count, header + 2, 2);
    if (kind == REC_END) return cursor.at == cursor.end ? 0 : -1;
    if (plan->records) plan->records[*records] = (struct record){kind, count, plan->fields + *fields};
    for (unsigned i = 0; i < count; i++) {
      struct field field;
      if (take_field(&cursor, &field) < 0) return -1;
      if (plan->fields) plan->fields[*fields] = field;
      ++*fields;
    }
    ++*records;
  }
}

static int parse_records(struct plan *plan, size_t size) {
  size_t records, fields;
  errno = 0;
  if (walk_records(plan, size, &records, &fields) < 0) return fail("plan: malformed");
  plan->records = calloc(records + 1, sizeof *plan->records);
  plan->fields = calloc(fields + 1, sizeof *plan->fields);
  if (!plan->records || !plan->fields) return fail("plan: memory");
  if (walk_records(plan, size, &records, &fields) < 0) return fail("plan: malformed");
  plan->count = records;
  return 0;
}

static int find_singles(struct plan *plan) {
  const struct record **slots[] = {[REC_ROOT] = &plan->root, [REC_PROCESS] = &plan->process, [REC_GROUPS] = &plan->groups,
                                   [REC_ARGS] = &plan->args, [REC_ENV] = &plan->env,         [REC_PATH] = &plan->path,
                                   [REC_SECCOMP] = &plan->seccomp, [REC_OOM] = &plan->oom,
                                   [REC_SHOWN] = &plan->shown, [REC_OWNERS] = &plan->owners};
  const size_t slot_count = sizeof slots / sizeof slots[0];
  errno = 0;
  for (size_t i = 0; i < plan->count; i++) {
    const struct record *record = &plan->records[i];
    if (check_record(record) < 0) return -1;
    if (record->kind >= slot_count || !slots[record->kind]) continue;
    if (*slots[record->kind]) return fail("plan: record %u is given twice", record->kind);
    *slots[record->kind] = record;
  }
  for (size_t kind = REC_ROOT; kind <= REC_PATH; kind++) {
    if (!*slots[kind]) return fail("plan: record %zu is missing", kind);
  }
  return 0;
}

static int check_bare(const struct plan *plan) {
  if (plan->root->fields[3].length == 0) return fail("plan: no namespaces and no directory of its own");
  for (size_t i = 0; i < plan->count; i++) {
    if (plan->records[i].kind >= REC_FS) return fail("plan: a mount without a mount namespace");
  }
  return 0;
}

static int check_namespaces(const struct plan *plan) {
  // Without all of these the set-up would change the machine itself; with none the root is a directory of its own and nothing is mounted.
  if (plan->namespaces == 0) return check_bare(plan);
  if ((plan->namespaces & ~(uint64_t)CLONE_NEWNET) != (CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP)) {
    return fail("plan: namespaces 0x%llx", (unsigned long long)plan->namespaces);
  }
  return 0;
}

static int read_process(struct plan *plan) {
  const struct field *fields = plan->process->fields;
  uint64_t uid = field_number(&fields[3]), gid = field_number(&fields[4]);
  errno = 0;
  if (uid > 0xfffffffeu || gid > 0xfffffffeu) return fail("plan: user id out of range");
  if (plan->root->fields[3].length > 0 && plan->root->fields[3].data[0] != '/') return fail("plan: the directory of the root is not absolute");
  plan->namespaces = field_number(&fields[1]);
  if (check_namespaces(plan) < 0) return -1;
  plan->uid = (uint32_t)uid;
  plan->gid = (uint32_t)gid;
  plan->capabilities = field_number(&fields[5]);
  plan->skip_setgroups = field_number(&fields[6]) != 0;
  plan->scoped = field_number(&fields[7]) != 0;
  if (plan->seccomp) {
    uint32_t length = plan->seccomp->fields[0].length;
    if (length == 0 || length % sizeof(struct sock_filter) != 0 || length / sizeof(struct sock_filter) > BPF_MAXINSNS) {
      return fail("plan: seccomp program of %u bytes", length);
    }
  }
  return 0;
}

int plan_read(struct plan *plan, int fd) {
  struct {
    char magic[8];
    uint32_t size;
  } header;
  *plan = (struct plan){0};
  errno = 0;
  if (read_full(fd, &header, sizeof header) < 0) return -1;
  if (memcmp(header.magic, MAGIC, 8) != 0 || header.size > PLAN_LIMIT) return fail("plan: not a plan of this version");
  plan->bytes = malloc((size_t)header.size + 1);
  if (!plan->bytes) return fail("plan: memory");
  if (read_full(fd, plan->bytes, header.size) < 0 || parse_records(plan, header.size) < 0) return -1;
  return find_singles(plan) < 0 ? -1 : read_process(plan);
}

void plan_free(struct plan *plan) {
  free(plan->fields);
  free(plan->records);
  free(plan->bytes);
  *plan = (struct plan){0};
}
