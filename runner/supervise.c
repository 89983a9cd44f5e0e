#define _GNU_SOURCE
#include "supervise.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "builder.h"
#include "fail.h"
#include "init.h"
#include "io.h"
#include "relay.h"
#include "warden.h"

struct run {
  struct plan plan;
  struct rootfs rootfs;
  pid_t init;
  int init_fd; // pidfd
  pid_t warden; // 0: none
  int warden_socket;
  int go[2], out[2], err[2];
  int order; // of relay_watch
  unsigned long oom_before;
};

static unsigned long oom_kills(const struct plan *plan) {
  char text[4096];
  if (!plan->oom_counter || read_text(AT_FDCWD, plan->oom_counter, text, sizeof text) < 0) return 0;
  const char *line = strstr(text, "oom_kill ");
  return line ? strtoul(line + strlen("oom_kill "), NULL, 10) : 0;
}

static bool enter_cgroups(const struct run *run) {
  char file[PATH_MAX];
  for (size_t i = 0; i < run->plan.cgroup_count; i++) {
    const char *directory = run->plan.cgroups[i];
    if (mkdir(directory, 0755) < 0 && errno != EEXIST) return fail("make the cgroup %s", directory);
    snprintf(file, sizeof file, "%s/cgroup.procs", directory);
    AUTO_FD fd = open(file, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || dprintf(fd, "%d\n", run->init) < 0) return fail("enter the cgroup %s", directory);
  }
  return true;
}

static void leave_cgroups(const struct run *run) {
  for (size_t i = 0; i < run->plan.cgroup_count; i++) rmdir(run->plan.cgroups[i]);
}

static void become_init(struct run *run) {
  struct init_context context = {.plan = &run->plan, .rootfs = &run->rootfs, .go = run->go[0],
                                 .out = run->out[1], .err = run->err[1], .warden = run->warden_socket};
  close(run->go[1]);
  init_main(&context);
}

static bool start(struct run *run) {
  // Init notes in it what it made; its exec ends its access.
  run->rootfs.stubs = mmap(NULL, sizeof *run->rootfs.stubs, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (run->rootfs.stubs == MAP_FAILED) return fail("shared memory");
  if (run->plan.owners && !warden_start(run->plan.owners, &run->warden, &run->warden_socket)) return false;
  if (pipe2(run->go, O_CLOEXEC) < 0 || pipe2(run->out, O_CLOEXEC | O_DIRECT) < 0 || pipe2(run->err, O_CLOEXEC | O_DIRECT) < 0) return fail("pipes");
  run->oom_before = oom_kills(&run->plan);
  run->init = (pid_t)syscall(SYS_clone, (run->plan.namespaces & ~(uint64_t)CLONE_NEWCGROUP) | CLONE_PIDFD | SIGCHLD, 0, &run->init_fd, 0, 0);
  if (run->init < 0) return fail("make the namespaces");
  if (run->init == 0) become_init(run);
  close_fd(&run->warden_socket);
  close(run->go[0]);
  close(run->out[1]);
  close(run->err[1]);
  if (!enter_cgroups(run)) return false;
  run->order = relay_watch(&(struct output){run->out[0], run->err[0]});
  return write(run->go[1], "", 1) == 1 || fail("start init");
}

// The status of process 1 is the command's: its own exit, or the kill of the kernel, of somebody outside, or ours.
static void report(const struct run *run, int status) {
  char line[64];
  int signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0, code = signal ? 128 + signal : WEXITSTATUS(status);
  int oom = code == 128 + SIGKILL && oom_kills(&run->plan) > run->oom_before;
  int length = snprintf(line, sizeof line, "exit %d %d %d\n", code, signal, oom);
  // Nobody reads it when the builder is gone.
  (void)builder_tell(line, (size_t)length);
}

static void end_warden(const struct run *run) {
  if (run->warden > 0) kill(run->warden, SIGKILL), waitpid(run->warden, NULL, 0);
}

static bool set_up(struct run *run) {
  if (!plan_read(&run->plan, BUILDER) || !rootfs_create(&run->rootfs, &run->plan)) return false;
  if (run->plan.namespaces == 0) prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
  return start(run);
}

// The parent's id of a process, from its line in /proc: "PID (NAME) STATE PARENT ...". 0 when it is gone.
static pid_t parent_of(const char *process) {
  char path[64], line[512];
  snprintf(path, sizeof path, "/proc/%.20s/stat", process);
  if (read_text(AT_FDCWD, path, line, sizeof line) < 0) return 0;
  const char *end = strrchr(line, ')');
  return end && strlen(end) > 4 ? (pid_t)strtol(end + 4, NULL, 10) : 0;
}

// Without a process namespace the kernel ends nothing. Whatever the command left behind has us as its parent, or gets us when its own is gone.
static void end_orphans(void) {
  while (waitpid(-1, NULL, WNOHANG) >= 0) {
    DIR *processes = opendir("/proc");
    if (!processes) return;
    for (struct dirent *entry; (entry = readdir(processes));) {
      if (*entry->d_name >= '1' && *entry->d_name <= '9' && parent_of(entry->d_name) == getpid()) kill((pid_t)strtol(entry->d_name, NULL, 10), SIGKILL);
    }
    closedir(processes);
    poll(NULL, 0, 1);
  }
}

int supervise(void) {
  struct run run = {.init = -1, .warden_socket = -1, .rootfs.fd = -1};
  if (!set_up(&run)) {
    builder_tell_failure();
    if (run.init > 0) kill(run.init, SIGKILL), waitpid(run.init, NULL, 0);
    end_warden(&run);
    leave_cgroups(&run);
    return 125;
  }
  int status = 0;
  struct output output = {run.out[0], run.err[0]};
  bool taken = relay(&(struct watched){run.init, run.init_fd}, &output, run.order);
  waitpid(run.init, &status, 0);
  end_warden(&run);
  // Before the rest is read: one that goes on printing has none.
  if (run.plan.namespaces == 0) end_orphans();
  if (taken) relay_rest(&output, run.order);
  stubs_remove(&run.rootfs, &run.plan);
  report(&run, status);
  leave_cgroups(&run);
  return 0;
}
