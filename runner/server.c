#define _GNU_SOURCE
#include "server.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "builder.h"
#include "fail.h"
#include "io.h"
#include "supervise.h"

enum { CONTROL = 0, NOWHERE = 1 };

static void ignore(int number) { (void)number; }

// Waits until something comes, and for runs that end meanwhile: what they used counts as ours, and so as the builder's.
static void wait_for_control(void) {
  struct pollfd control = {.fd = CONTROL, .events = POLLIN};
  sigset_t none;
  sigemptyset(&none);
  do {
    while (waitpid(-1, NULL, WNOHANG) > 0) continue;
  } while (ppoll(&control, 1, NULL, &none) < 0 && errno == EINTR);
}

// A call: the socket of the next run; what came without one is passed over. -1 when the builder is gone.
static int take_run(void) {
  union {
    struct cmsghdr header;
    char space[CMSG_SPACE(sizeof(int))];
  } control;
  char byte;
  for (;;) {
    wait_for_control();
    struct iovec data = {&byte, 1};
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof control.space};
    ssize_t count = recvmsg(CONTROL, &message, MSG_CMSG_CLOEXEC);
    int run;
    if (count == 0 || (count < 0 && errno != EINTR)) return -1;
    if (count < 0 || message.msg_controllen < CMSG_LEN(sizeof run)) continue;
    memcpy(&run, CMSG_DATA(&control.header), sizeof run);
    return run;
  }
}

// A step, in the process of a run: what is mounted is seen by this run alone, and ends with it.
static bool leave_server(bool mounts) {
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  signal(SIGCHLD, SIG_DFL);
  if (dup2(NOWHERE, CONTROL) < 0) return fail("leave the control socket");
  if (!mounts) return true;
  if (unshare(CLONE_NEWNS) < 0) return fail("make a mount namespace");
  return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 || fail("make the mounts private");
}

static int carry_out(bool mounts) {
  if (leave_server(mounts)) return supervise();
  builder_tell_failure();
  return 125;
}

int serve(bool mounts, bool refused) {
  signal(SIGPIPE, SIG_IGN);
  // Seen where we wait, and nowhere else.
  sigset_t ended;
  sigemptyset(&ended);
  sigaddset(&ended, SIGCHLD);
  sigprocmask(SIG_BLOCK, &ended, NULL);
  sigaction(SIGCHLD, &(struct sigaction){.sa_handler = ignore}, NULL);
  for (int run; (run = take_run()) >= 0; close(BUILDER)) {
    // The lowest number that is free, always.
    if (run != BUILDER) abort();
    pid_t child = refused ? -1 : fork();
    if (child == 0) return carry_out(mounts);
    if (child > 0) continue;
    if (!refused) fail("fork");
    builder_tell_failure();
    // The next one may succeed, and has its own failures.
    if (!refused) fail_forget();
  }
  while (waitpid(-1, NULL, 0) > 0) continue;
  return 0;
}
