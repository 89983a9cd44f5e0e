#define _GNU_SOURCE
#include "command.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "fail.h"

enum { EXIT_NOT_EXECUTABLE = 126, EXIT_NOT_FOUND = 127 };

static int set_limits(const struct plan *plan) {
  for (size_t i = 0; i < plan->count; i++) {
    const struct record *record = &plan->records[i];
    if (record->kind != REC_RLIMIT) continue;
    struct rlimit limit = {field_number(&record->fields[1]), field_number(&record->fields[2])};
    int resource = (int)field_number(&record->fields[0]);
    if (setrlimit(resource, &limit) < 0) return fail("set resource limit %d to %s:%s", resource, record->fields[1].data, record->fields[2].data);
  }
  return 0;
}

// CVE-2024-21626: a working directory outside of the root has no absolute name.
static int enter_cwd(const char *cwd) {
  char name[PATH_MAX];
  if (chdir(cwd) < 0) return fail("change to the working directory %s", cwd);
  // The system call itself: libc's getcwd has a fallback of its own.
  if (syscall(SYS_getcwd, name, sizeof name) < 0) return fail("the working directory %s is outside of the root", cwd);
  errno = 0;
  return name[0] == '/' ? 0 : fail("the working directory %s is outside of the root", cwd);
}

static int load_seccomp(const struct plan *plan) {
  if (!plan->seccomp) return 0;
  const struct field *field = &plan->seccomp->fields[0];
  size_t count = field->length / sizeof(struct sock_filter);
  // The plan's bytes have no alignment.
  AUTO_FREE struct sock_filter *filter = malloc(count * sizeof *filter);
  if (!filter) return fail("seccomp");
  memcpy(filter, field->data, field->length);
  struct sock_fprog program = {.len = (unsigned short)count, .filter = filter};
  return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0 ? fail("load the seccomp filter") : 0;
}

static int drop_bounding(uint64_t keep) {
  for (int capability = 0; capability < 64; capability++) {
    if (keep >> capability & 1) continue;
    if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0) continue;
    // Beyond the kernel's last one.
    if (errno == EINVAL) break;
    return fail("drop capability %d", capability);
  }
  return prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 ? fail("clear the ambient capabilities") : 0;
}

static int set_user(const struct plan *plan) {
  gid_t groups[NGROUPS_MAX > 4096 ? 4096 : NGROUPS_MAX];
  size_t count = plan->groups->count;
  errno = 0;
  if (count > sizeof groups / sizeof groups[0]) return fail("the user has %zu groups", count);
  for (size_t i = 0; i < count; i++) groups[i] = (gid_t)field_number(&plan->groups->fields[i]);
  if (!plan->skip_setgroups && setgroups(count, groups) < 0) return fail("set %zu groups", count);
  if (setresgid(plan->gid, plan->gid, plan->gid) < 0) return fail("set gid %u", plan->gid);
  return setresuid(plan->uid, plan->uid, plan->uid) < 0 ? fail("set uid %u", plan->uid) : 0;
}

// Inheritable is always empty (CVE-2022-24769). Leaving uid 0 has cleared the others already; root keeps what is in the mask and was there.
static int set_capabilities(uint64_t keep) {
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct data[2];
  if (syscall(SYS_capget, &header, data) < 0) return fail("read the capabilities");
  for (int i = 0; i < 2; i++) {
    data[i].permitted &= (uint32_t)(keep >> (32 * i));
    data[i].effective = data[i].permitted;
    data[i].inheritable = 0;
  }
  return syscall(SYS_capset, &header, data) < 0 ? fail("set the capabilities") : 0;
}

// Seccomp without no_new_privs needs CAP_SYS_ADMIN, so it comes before the capabilities go; the filter allows what follows.
static int confine(const struct plan *plan) {
  if (set_limits(plan) < 0 || enter_cwd(plan->process->fields[2].data) < 0 || load_seccomp(plan) < 0) return -1;
  if (drop_bounding(plan->capabilities) < 0 || set_user(plan) < 0) return -1;
  return set_capabilities(plan->capabilities);
}

static char **strings(const struct record *record) {
  char **list = calloc((size_t)record->count + 1, sizeof *list);
  if (!list) _exit(EXIT_NOT_EXECUTABLE);
  for (size_t i = 0; i < record->count; i++) list[i] = (char *)record->fields[i].data;
  return list;
}

static _Noreturn void give_up(const char *name, const char *reason, int code) {
  dprintf(STDERR_FILENO, "exec: \"%s\": %s\n", name, reason);
  _exit(code);
}

static _Noreturn void exec_failed(const char *name) {
  if (errno == ENOENT || errno == ENOTDIR) give_up(name, "no such file or directory", EXIT_NOT_FOUND);
  if (errno == EACCES) give_up(name, "permission denied", EXIT_NOT_EXECUTABLE);
  if (errno == ENOEXEC) give_up(name, "exec format error", EXIT_NOT_EXECUTABLE);
  give_up(name, strerror(errno), EXIT_NOT_EXECUTABLE);
}

static void exec_in_path(const struct plan *plan, char **args, char **env) {
  char file[PATH_MAX];
  int denied = 0;
  for (size_t i = 0; i < plan->path->count; i++) {
    const char *folder = plan->path->fields[i].data;
    struct stat status;
    if (snprintf(file, sizeof file, "%s/%s", *folder ? folder : ".", args[0]) >= (int)sizeof file) continue;
    if (stat(file, &status) < 0 || S_ISDIR(status.st_mode)) continue;
    if (access(file, X_OK) < 0) {
      denied = 1;
      continue;
    }
    execve(file, args, env);
    exec_failed(args[0]);
  }
  if (denied) give_up(args[0], "permission denied", EXIT_NOT_EXECUTABLE);
  give_up(args[0], "executable file not found in $PATH", EXIT_NOT_FOUND);
}

void command_exec(const struct plan *plan, int status_fd) {
  if (confine(plan) < 0) {
    fail_report(status_fd);
    _exit(EXIT_NOT_EXECUTABLE);
  }
  char **args = strings(plan->args), **env = strings(plan->env);
  if (!strchr(args[0], '/')) exec_in_path(plan, args, env);
  execve(args[0], args, env);
  exec_failed(args[0]);
}
