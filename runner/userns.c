#define _GNU_SOURCE
#include "userns.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "fail.h"

struct userns {
  const char *uid_map, *gid_map;
  int helpers;
  char **command;
};

static int write_file(pid_t pid, const char *name, const char *text) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
  AUTO_FD fd = open(path, O_WRONLY | O_CLOEXEC);
  return fd < 0 || write(fd, text, strlen(text)) < 0 ? fail("write %s", path) : 0;
}

// newuidmap PID inside outside count...
static int run_helper(const char *helper, pid_t pid, const char *map) {
  char words[1024], number[16], *rest = words, *list[128] = {(char *)helper, number};
  int count = 2, status;
  snprintf(number, sizeof number, "%d", pid);
  snprintf(words, sizeof words, "%s", map);
  for (char *word; count < 127 && (word = strsep(&rest, " ,"));) {
    if (*word) list[count++] = word;
  }
  pid_t child = fork();
  if (child == 0) {
    execvp(helper, list);
    _exit(127);
  }
  if (child < 0 || waitpid(child, &status, 0) < 0) return fail("run %s", helper);
  errno = 0;
  return status == 0 ? 0 : fail("%s failed (status %d)", helper, WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

static int write_maps(const struct userns *userns, pid_t pid) {
  if (userns->helpers) return run_helper("newuidmap", pid, userns->uid_map) < 0 ? -1 : run_helper("newgidmap", pid, userns->gid_map);
  // A single own id may be mapped without help once setgroups is given up.
  if (write_file(pid, "uid_map", userns->uid_map) < 0 || write_file(pid, "setgroups", "deny") < 0) return -1;
  return write_file(pid, "gid_map", userns->gid_map);
}

static _Noreturn void child_main(const struct userns *userns, int ready, int mapped) {
  char byte;
  sigset_t none;
  sigemptyset(&none);
  if (unshare(CLONE_NEWUSER) < 0) {
    fail("make a user namespace");
    fail_report(STDERR_FILENO);
    _exit(125);
  }
  if (write(ready, "", 1) != 1 || read(mapped, &byte, 1) != 1) _exit(125);
  if (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0) _exit(125);
  prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  // The parent may have died before.
  if (read(mapped, &byte, 1) != 1) _exit(125);
  sigprocmask(SIG_SETMASK, &none, NULL);
  execvp(userns->command[0], userns->command);
  fail("run %s", userns->command[0]);
  fail_report(STDERR_FILENO);
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

static int start(const struct userns *userns, pid_t *child) {
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
  int ok = read(ready[0], &byte, 1) == 1 && write_maps(userns, *child) == 0 && write(mapped[1], "ab", 2) == 2;
  close(ready[0]);
  close(mapped[1]);
  return ok ? 0 : -1;
}

int userns_run(int count, char **words) {
  if (count < 4) {
    dprintf(STDERR_FILENO, "usage: runner userns UIDMAP GIDMAP HELPERS COMMAND...\n");
    return 2;
  }
  struct userns userns = {words[0], words[1], strcmp(words[2], "1") == 0, words + 3};
  static const int passed[] = {SIGCHLD, SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH, SIGCONT};
  // The build inside ends with the tbuild that waits for it, also when that one is killed.
  prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  sigset_t signals;
  sigemptyset(&signals);
  for (size_t i = 0; i < sizeof passed / sizeof passed[0]; i++) sigaddset(&signals, passed[i]);
  sigprocmask(SIG_BLOCK, &signals, NULL);
  pid_t child = -1;
  if (start(&userns, &child) == 0) return attend(child, &signals);
  fail("the user namespace could not be made");
  fail_report(STDERR_FILENO);
  if (child > 0) waitpid(child, NULL, 0);
  return 125;
}
