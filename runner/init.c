#define _GNU_SOURCE
#include "init.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "builder.h"
#include "command.h"
#include "fail.h"
#include "io.h"

enum { WARDEN_FD = 4 };

// The supervisor's end of the pipe closes with it, also when it died before the death signal was asked for.
static void wait_for_go(int fd) {
  char byte;
  prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  if (read(fd, &byte, 1) != 1) _exit(125);
}

static bool bring_up_loopback(void) {
  AUTO_FD fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
  return (fd >= 0 && ioctl(fd, SIOCSIFFLAGS, &request) == 0) || fail("bring up the loopback device");
}

// stdout and stderr are pipes of their own, which the user must be able to reopen through /dev/stdout.
static bool arrange_fds(const struct init_context *context) {
  if (fchown(context->out, context->plan->uid, context->plan->gid) < 0 || fchown(context->err, context->plan->uid, context->plan->gid) < 0) {
    return fail("give the output to uid %u gid %u", context->plan->uid, context->plan->gid);
  }
  return (dup2(context->out, 1) >= 0 && dup2(context->err, 2) >= 0) || fail("redirect the output");
}

// The root's own /dev/null: through the host's, a run could change the host's node by way of /proc/self/fd/0.
static bool empty_stdin(void) {
  AUTO_FD null = open("/dev/null", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
  return (null >= 0 && dup2(null, 0) == 0) || fail("open /dev/null of the root");
}

static bool close_others(int warden) {
  if (warden >= 0 && warden != WARDEN_FD && dup3(warden, WARDEN_FD, O_CLOEXEC) < 0) return fail("socket of the warden");
  return syscall(SYS_close_range, warden < 0 ? WARDEN_FD : WARDEN_FD + 1, ~0U, 0) == 0 || fail("close the inherited files");
}

static bool set_up(const struct init_context *context) {
  const struct plan *plan = context->plan;
  umask(0);
  // Only now: the cgroup that the supervisor has put us into is the root of this namespace.
  if ((plan->namespaces & CLONE_NEWCGROUP) && unshare(CLONE_NEWCGROUP) < 0) return fail("make a cgroup namespace");
  if (setsid() < 0) return fail("setsid");
  if ((plan->namespaces & CLONE_NEWUTS) && sethostname(plan->hostname, strlen(plan->hostname)) < 0) return fail("set the host name %s", plan->hostname);
  if ((plan->namespaces & CLONE_NEWNET) && !bring_up_loopback()) return false;
  if (!arrange_fds(context) || !rootfs_enter(context->rootfs, plan) || !empty_stdin()) return false;
  umask(0022);
  return close_others(context->warden);
}

void init_main(const struct init_context *context) {
  wait_for_go(context->go);
  if (!set_up(context)) {
    builder_tell_failure();
    _exit(125);
  }
  command_exec(context->plan, context->warden < 0 ? -1 : WARDEN_FD);
}
