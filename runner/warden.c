#define _GNU_SOURCE
#include "warden.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "fail.h"
#include "identity.h"
#include "io.h"
#include "ownership.h"

union control {
  struct cmsghdr header;
  char space[CMSG_SPACE(sizeof(int))];
};

bool warden_give(int socket, int listener) {
  union control control = {0};
  char byte = 0;
  struct iovec data = {&byte, 1};
  struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof control.space};
  control.header = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int))};
  memcpy(CMSG_DATA(&control.header), &listener, sizeof listener);
  return sendmsg(socket, &message, MSG_NOSIGNAL) == 1 || fail("hand over the filter");
}

// A call.
static int take(int socket) {
  union control control = {0};
  char byte;
  int listener = -1;
  struct iovec data = {&byte, 1};
  struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof control.space};
  if (recvmsg(socket, &message, MSG_CMSG_CLOEXEC) != 1 || message.msg_controllen == 0) return -1;
  memcpy(&listener, CMSG_DATA(&control.header), sizeof listener);
  return listener;
}

// A reply.
static int64_t answer(struct ownership *ownership, int listener, const struct seccomp_notif *call, uint32_t *flags) {
  const uint64_t *arguments = (const uint64_t *)call->data.args;
  struct caller caller = {.proc = ownership->proc, .thread = (pid_t)call->pid, .listener = listener, .call = call->id};
  struct identity *identity = identity_of(ownership->proc, caller.thread);
  // The first one is process 1 of the run, before it starts the command.
  if (ownership->root < 0) ownership->root = caller_open(&caller, "root", O_PATH | O_DIRECTORY);
  if (!identity || !caller_waits(&caller)) return -ESRCH;
  if (call->data.nr == SYS_prctl) {
    identity_keeps(identity, arguments[1] == 1);
    *flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
    return 0;
  }
  if (identity_knows(call->data.nr)) return identity_call(identity, &caller, call->data.nr, arguments);
  if (ownership_knows(call->data.nr)) return ownership_call(ownership, identity, &caller, call->data.nr, arguments);
  return -ENOSYS;
}

static _Noreturn void serve(struct ownership *ownership, int listener) {
  // Room for what later kernels may add to the structures.
  union {
    struct seccomp_notif call;
    char room[1024];
  } in;
  union {
    struct seccomp_notif_resp result;
    char room[1024];
  } out;
  for (;;) {
    struct pollfd poll_listener = {.fd = listener, .events = POLLIN};
    if (poll(&poll_listener, 1, -1) < 0 && errno != EINTR) _exit(1);
    // Nobody is left who has the filter.
    if (poll_listener.revents & (POLLHUP | POLLERR)) _exit(0);
    memset(&in, 0, sizeof in);
    if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &in) < 0) continue;
    memset(&out, 0, sizeof out);
    out.result.id = in.call.id;
    int64_t result = answer(ownership, listener, &in.call, &out.result.flags);
    if (out.result.flags) result = 0;
    if (result < 0) out.result.error = (int)result;
    else out.result.val = result;
    // ENOENT: a signal has ended the wait.
    ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &out);
  }
}

static _Noreturn void warden_main(const char *record, int socket) {
  prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  struct ownership ownership = {.proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC), .root = -1,
                                .record = open(record, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0600)};
  if (ownership.proc < 0 || ownership.record < 0) _exit(1);
  int listener = take(socket);
  if (listener < 0) _exit(0);
  close(socket);
  serve(&ownership, listener);
}

bool warden_start(const char *record, pid_t *warden, int *init_socket) {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) return fail("a socket pair");
  *warden = fork();
  if (*warden < 0) return fail("fork");
  if (*warden == 0) {
    // The pipes of the run are others' business: they would not end.
    int own = fcntl(pair[0], F_DUPFD_CLOEXEC, 10);
    for (int fd = 0; fd < 10; fd++) close(fd);
    syscall(SYS_close_range, own + 1, ~0U, 0);
    warden_main(record, own);
  }
  close(pair[0]);
  *init_socket = pair[1];
  return true;
}
