#define _GNU_SOURCE
#include "sockets.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

// socketpair(ends: Float64Array(2))
napi_value sys_socketpair(napi_env env, napi_callback_info info) {
  Args args = arguments(env, info, "socketpair", 1);
  double *ends = numbers_of(&args, 0, 2);
  if (args.failed) return NULL;
  int pair[2];
  int result = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair);
  if (result == 0) {
    ends[0] = pair[0];
    ends[1] = pair[1];
  }
  return done(&args, result, NULL);
}

// A call: one byte with a descriptor.
static int send_descriptor(int socket, int fd) {
  union {
    struct cmsghdr header;
    char space[CMSG_SPACE(sizeof(int))];
  } control = {0};
  char byte = 0;
  struct iovec data = {&byte, 1};
  struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof control.space};
  control.header = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof fd)};
  memcpy(CMSG_DATA(&control.header), &fd, sizeof fd);
  ssize_t sent;
  do sent = sendmsg(socket, &message, MSG_NOSIGNAL);
  while (sent < 0 && errno == EINTR);
  return sent < 0 ? -1 : 0;
}

// sendDescriptor(socket, fd)
napi_value sys_senddescriptor(napi_env env, napi_callback_info info) {
  Args args = arguments(env, info, "sendmsg", 2);
  int socket = int_of(&args, 0), fd = int_of(&args, 1);
  if (args.failed) return NULL;
  return done(&args, send_descriptor(socket, fd), NULL);
}
