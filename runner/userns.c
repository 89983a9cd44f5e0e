#define _GNU_SOURCE
#include "userns.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "fail.h"
#include "io.h"

// Here "entered", or an error, is told to whoever started us; nothing that the command prints goes there.
enum { STATUS_FD = 3 };

enum map_writer {
  BY_OWNER,   // a single own id
  BY_HELPERS, // newuidmap and newgidmap
  BY_ROOT,    // several ids, by CAP_SETUID and CAP_SETGID
};

struct userns {
  const char *uid_map, *gid_map;
  enum map_writer writer;
  char **command;
};

static void report_failure(void) {
  char line[FAIL_LINE];
  // Nobody reads it when who started us is gone.
  (void)write_whole(STATUS_FD, line, fail_line(line));
}

static bool write_file(pid_t pid, const char *name, const char *text) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
  AUTO_FD fd = open(path, O_WRONLY | O_CLOEXEC);
  return (fd >= 0 && write_whole(fd, text, strlen(text)) == 0) || fail("write %s", path);
}

// Up to the first end of line; the rest is read and forgotten.
static void read_line(int fd, char *text, size_t size) {
  size_t used = 0;
  char rest[256];
  for (ssize_t got; (got = used + 1 < size ? read(fd, text + used, size - 1 - used) : read(fd, rest, sizeof rest)) > 0;) {
    if (used + 1 < size) used += (size_t)got;
  }
  text[used] = '\0';
  text[strcspn(text, "\n")] = '\0';
}

// The kernel takes 340 ranges, of three numbers of at most ten digits.
enum { MOST_WORDS = 3 * 340 + 2, MOST_TEXT = MOST_WORDS * 11 };

// A question: whether the list, newuidmap PID inside outside count..., has room for all of the map. Its words are cut in place.
static bool has_room(char *list[MOST_WORDS + 1], int count, char *map) {
  for (char *word, *rest = map; (word = strsep(&rest, " ,"));) {
    if (!*word) continue;
    if (count == MOST_WORDS) return false;
    list[count++] = word;
  }
  list[count] = NULL;
  return true;
}

static bool run_helper(const char *helper, pid_t pid, const char *map) {
  char number[16], said[256], words[MOST_TEXT], *list[MOST_WORDS + 1] = {(char *)helper, number};
  int status, pipe[2];
  snprintf(number, sizeof number, "%d", pid);
  bool fits = (size_t)snprintf(words, sizeof words, "%s", map) < sizeof words && has_room(list, 2, words);
  errno = E2BIG;
  if (!fits || pipe2(pipe, O_CLOEXEC) < 0) return fail("run %s", helper);
  pid_t child = fork();
  if (child == 0) {
    dup2(pipe[1], STDERR_FILENO);
    execvp(helper, list);
    _exit(127);
  }
  close_fd(&pipe[1]);
  AUTO_FD from = pipe[0];
  if (child < 0) return fail("run %s", helper);
  read_line(from, said, sizeof said);
  if (waitpid(child, &status, 0) < 0) return fail("run %s", helper);
  errno = 0;
  if (status == 0) return true;
  return fail("%s failed (%s)", helper, said[0] ? said : WIFEXITED(status) && WEXITSTATUS(status) == 127 ? "it cannot be started" : "it says nothing");
}

static bool write_maps(const struct userns *userns, pid_t pid) {
  if (userns->writer == BY_HELPERS) {
    return run_helper("newuidmap", pid, userns->uid_map) && run_helper("newgidmap", pid, userns->gid_map);
  }
  if (!write_file(pid, "uid_map", userns->uid_map)) return false;
  // A single own id may be mapped without help once setgroups is given up.
  if (userns->writer == BY_OWNER && !write_file(pid, "setgroups", "deny")) return false;
  return write_file(pid, "gid_map", userns->gid_map);
}

// AppArmor may let a user namespace be made and keep its capabilities back.
static bool check_capabilities(void) {
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct data[2];
  if (syscall(SYS_capget, &header, data) < 0) return fail("read the capabilities");
  errno = 0;
  return data[0].effective & 1u << CAP_SYS_ADMIN || fail("the user namespace gives no capabilities");
}

static bool enter(int ready, int mapped) {
  char byte;
  if (unshare(CLONE_NEWUSER) < 0) return fail("make a user namespace");
  // What failed with the maps is told by the parent, who writes them.
  if (write(ready, "", 1) != 1 || read(mapped, &byte, 1) != 1) _exit(125);
  if (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0) return fail("become root of the user namespace");
  return check_capabilities();
}

static _Noreturn void child_main(const struct userns *userns, int ready, int mapped) {
  char byte;
  sigset_t none;
  sigemptyset(&none);
  if (!enter(ready, mapped)) {
    report_failure();
    _exit(125);
  }
  prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  // The parent may have died before.
  if (read(mapped, &byte, 1) != 1) _exit(125);
  sigprocmask(SIG_SETMASK, &none, NULL);
  dprintf(STATUS_FD, "entered\n");
  execvp(userns->command[0], userns->command);
  fail("run %s", userns->command[0]);
  report_failure();
  _exit(127);
}

// Passes signals on until the child has ended. What the terminal sends goes to the whole foreground group: the child has it already.
static int attend(pid_t child, const sigset_t *signals) {
  for (;;) {
    siginfo_t info;
    int status, number = sigwaitinfo(signals, &info);
    if (number == SIGCHLD && waitpid(child, &status, WNOHANG) == child) return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    if (number > 0 && number != SIGCHLD && info.si_code <= 0) kill(child, number);
  }
}

static bool start(const struct userns *userns, pid_t *child) {
  int ready[2], mapped[2];
  char byte;
  if (pipe2(ready, O_CLOEXEC) < 0 || pipe2(mapped, O_CLOEXEC) < 0) return fail("pipes");
  *child = fork();
  if (*child < 0) return fail("fork");
  if (*child == 0) {
    close(mapped[1]);
    close(ready[0]);
    child_main(userns, ready[1], mapped[0]);
  }
  close(ready[1]);
  close(mapped[0]);
  bool made = read(ready[0], &byte, 1) == 1, ok = made && write_maps(userns, *child) && write(mapped[1], "ab", 2) == 2;
  close(ready[0]);
  close(mapped[1]);
  if (made && !ok) report_failure();
  return ok;
}

int userns_run(int count, char **words) {
  if (count < 4) {
    dprintf(STDERR_FILENO, "usage: runner userns UIDMAP GIDMAP owner|helpers|root COMMAND...\n");
    return 2;
  }
  enum map_writer writer = strcmp(words[2], "helpers") == 0 ? BY_HELPERS : strcmp(words[2], "root") == 0 ? BY_ROOT : BY_OWNER;
  struct userns userns = {words[0], words[1], writer, words + 3};
  fcntl(STATUS_FD, F_SETFD, FD_CLOEXEC);
  static const int passed[] = {SIGCHLD, SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH, SIGCONT};
  // The build inside ends with the tbuild that waits for it, also when that one is killed.
  prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  sigset_t signals;
  sigemptyset(&signals);
  for (size_t i = 0; i < sizeof passed / sizeof passed[0]; i++) sigaddset(&signals, passed[i]);
  sigprocmask(SIG_BLOCK, &signals, NULL);
  pid_t child = -1;
  if (start(&userns, &child)) return attend(child, &signals);
  if (child < 0) report_failure();
  if (child > 0) waitpid(child, NULL, 0);
  return 125;
}
