#define _GNU_SOURCE
#include "command.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "builder.h"
#include "fail.h"
#include "io.h"
#include "warden.h"

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif

enum { EXIT_NOT_EXECUTABLE = 126, EXIT_NOT_FOUND = 127 };

static bool set_limits(const struct plan *plan) {
  for (size_t i = 0; i < plan->limit_count; i++) {
    const struct limit *limit = &plan->limits[i];
    if (setrlimit(limit->resource, &limit->values) == 0) continue;
    return fail("set resource limit %d to %ju:%ju", limit->resource, (uintmax_t)limit->values.rlim_cur, (uintmax_t)limit->values.rlim_max);
  }
  return true;
}

// CVE-2024-21626: a working directory outside of the root has no absolute name.
static bool enter_cwd(const char *cwd) {
  char name[PATH_MAX];
  if (chdir(cwd) < 0) return fail("change to the working directory %s", cwd);
  // The system call itself: libc's getcwd has a fallback of its own.
  if (syscall(SYS_getcwd, name, sizeof name) < 0) return fail("the working directory %s is outside of the root", cwd);
  errno = 0;
  return name[0] == '/' || fail("the working directory %s is outside of the root", cwd);
}

// In the host's network a run could connect to the host's abstract sockets (CVE-2020-15257). Kernels before 6.12 cannot forbid that.
static bool scope_sockets(const struct plan *plan) {
  enum { SCOPE_ABSTRACT_UNIX_SOCKET = 1 };
  struct {
    uint64_t handled_access_fs, handled_access_net, scoped;
  } rules = {.scoped = SCOPE_ABSTRACT_UNIX_SOCKET};
  if (!plan->scoped) return true;
  AUTO_FD domain = (int)syscall(SYS_landlock_create_ruleset, &rules, sizeof rules, 0);
  if (domain < 0) return errno == ENOSYS || errno == EOPNOTSUPP || errno == E2BIG || errno == EINVAL || fail("make a landlock domain");
  return syscall(SYS_landlock_restrict_self, domain, 0) == 0 || fail("enter the landlock domain");
}

static bool write_own(const char *file, const char *text) {
  AUTO_FD fd = open(file, O_WRONLY | O_CLOEXEC);
  return (fd >= 0 && write_whole(fd, text, strlen(text)) == 0) || fail("write %s", file);
}

static bool map_root(const char *file, unsigned id) {
  char map[32];
  snprintf(map, sizeof map, "%u 0 1", id);
  return write_own(file, map);
}

// The user is not mapped here: in a namespace of its own root is called so. It has no power over what this one owns, such as the mounts.
static bool rename_root(const struct plan *plan) {
  if (!plan->is_shown) return true;
  if (unshare(CLONE_NEWUSER) < 0) return fail("make a user namespace for uid %u", plan->shown_uid);
  return write_own("/proc/self/setgroups", "deny") && map_root("/proc/self/uid_map", plan->shown_uid) && map_root("/proc/self/gid_map", plan->shown_gid);
}

// Where another filter has a listener already, as in some containers: what sets ids succeeds and does nothing, what asks for them tells the kernel's.
static void without_warden(struct sock_filter *filter, size_t count) {
  for (size_t i = 0; i < count; i++) {
    if (filter[i].code != (BPF_RET | BPF_K) || (filter[i].k & SECCOMP_RET_ACTION_FULL) != SECCOMP_RET_USER_NOTIF) continue;
    filter[i].k = (filter[i].k & SECCOMP_RET_DATA) ? SECCOMP_RET_ALLOW : SECCOMP_RET_ERRNO;
  }
}

static bool load_seccomp(const struct plan *plan, int warden) {
  if (!plan->filter) return true;
  struct sock_fprog program = {.len = plan->filter_length, .filter = plan->filter};
  if (warden >= 0) {
    // Waiting that no signal but a fatal one ends is of Linux 5.19.
    unsigned flags = SECCOMP_FILTER_FLAG_NEW_LISTENER;
    AUTO_FD listener = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, &program);
    if (listener < 0 && errno == EINVAL) listener = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
    if (listener >= 0) return warden_give(warden, listener);
    without_warden(plan->filter, plan->filter_length);
  }
  return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0 || fail("load the seccomp filter");
}

static bool drop_bounding(uint64_t keep) {
  for (int capability = 0; capability < 64; capability++) {
    if (keep >> capability & 1) continue;
    if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0) continue;
    // Beyond the kernel's last one.
    if (errno == EINVAL) break;
    return fail("drop capability %d", capability);
  }
  return prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) == 0 || fail("clear the ambient capabilities");
}

static bool set_user(const struct plan *plan) {
  uid_t uid = plan->is_shown ? plan->shown_uid : plan->uid;
  gid_t gid = plan->is_shown ? plan->shown_gid : plan->gid;
  if (!plan->skip_setgroups && setgroups(plan->group_count, plan->groups) < 0) return fail("set %zu groups", plan->group_count);
  if (setresgid(gid, gid, gid) < 0) return fail("set gid %u", gid);
  // As runc: the capabilities outlast the change of the user until the exec, which so may reach what the user could not.
  if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0) return fail("keep the capabilities");
  return setresuid(uid, uid, uid) == 0 || fail("set uid %u", uid);
}

// Inheritable is always empty (CVE-2022-24769), so the exec leaves nothing to anybody but root, who keeps what is in the mask and was there.
static bool set_capabilities(uint64_t keep) {
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct data[2];
  if (syscall(SYS_capget, &header, data) < 0) return fail("read the capabilities");
  for (int i = 0; i < 2; i++) {
    data[i].permitted &= (uint32_t)(keep >> (32 * i));
    data[i].effective = data[i].permitted;
    data[i].inheritable = 0;
  }
  return syscall(SYS_capset, &header, data) == 0 || fail("set the capabilities");
}

// The builder's ignored and blocked signals are not the command's.
static bool reset_signals(void) {
  sigset_t none;
  sigemptyset(&none);
  for (int number = 1; number < NSIG; number++) signal(number, SIG_DFL);
  return sigprocmask(SIG_SETMASK, &none, NULL) == 0 || fail("reset the signals");
}

// Seccomp and Landlock without no_new_privs need CAP_SYS_ADMIN, so they come before the capabilities go; the filter allows what follows.
static bool confine(const struct plan *plan, int warden) {
  if (!set_limits(plan) || !reset_signals() || !enter_cwd(plan->cwd)) return false;
  if (!rename_root(plan) || !scope_sockets(plan) || !load_seccomp(plan, warden)) return false;
  if (!drop_bounding(plan->capabilities) || !set_user(plan) || !set_capabilities(plan->capabilities)) return false;
  // A change of the user takes the death signal away.
  return prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == 0 || fail("ask for the death signal");
}

static bool is_missing(int error) { return error == ENOENT || error == ENOTDIR; }

static _Noreturn void give_up(int error, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vdprintf(STDERR_FILENO, format, arguments);
  _exit(is_missing(error) ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE);
}

static char *reason(int error) {
  static char text[128];
  snprintf(text, sizeof text, "%s", strerror(error));
  // Go's words for errors begin in lower case.
  if (text[0] >= 'A' && text[0] <= 'Z' && !(text[1] >= 'A' && text[1] <= 'Z')) text[0] += 'a' - 'A';
  return text;
}

// A call: 0 when `file` is a program. The effective ids and capabilities count, as for the exec.
static int look_at(const char *file) {
  struct stat status;
  if (stat(file, &status) < 0) return -1;
  errno = EISDIR;
  return S_ISDIR(status.st_mode) ? -1 : faccessat(AT_FDCWD, file, X_OK, AT_EACCESS);
}

static void find_in_path(const struct plan *plan, const char *name, char file[PATH_MAX]) {
  for (char **folder = plan->path.items; *folder; folder++) {
    int length = snprintf(file, PATH_MAX, "%s/%s", **folder ? *folder : ".", name);
    if (length < PATH_MAX && look_at(file) == 0) return;
  }
  give_up(ENOENT, "exec: \"%s\": executable file not found in $PATH\n", name);
}

static void find_program(const struct plan *plan, const char *name, char file[PATH_MAX]) {
  if (!strchr(name, '/')) return find_in_path(plan, name, file);
  bool fits = snprintf(file, PATH_MAX, "%s", name) < PATH_MAX;
  errno = ENAMETOOLONG;
  if (fits && look_at(name) == 0) return;
  if (is_missing(errno)) give_up(errno, "exec: \"%s\": stat %s: %s\n", name, name, reason(errno));
  give_up(errno, "exec: \"%s\": %s\n", name, reason(errno));
}

void command_exec(const struct plan *plan, int warden) {
  char file[PATH_MAX];
  if (!confine(plan, warden)) {
    builder_tell_failure();
    _exit(EXIT_NOT_EXECUTABLE);
  }
  find_program(plan, plan->args.items[0], file);
  execve(file, plan->args.items, plan->env.items);
  give_up(errno, "exec %s: %s\n", file, reason(errno));
}
