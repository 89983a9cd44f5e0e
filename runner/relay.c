#define _GNU_SOURCE
#include "relay.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "builder.h"
#include "io.h"

enum { CAPACITY = 1 << 20, PIECE = 65536, MOST_PAGES = 16, MOST_SIGNALS = 2048 };

// A frame that grows while more of the same stream comes. A read that has less room than a page would lose the rest of what it reads.
static struct __attribute__((packed)) {
  struct frame_header header;
  char data[2 * PIECE];
} frame;
static size_t used;

// A call.
static int flush(void) {
  if (used == 0) return 0;
  frame.header.length = htole32((uint32_t)used);
  size_t size = offsetof(__typeof__(frame), data) + used;
  used = 0;
  return write_whole(BUILDER, &frame, size);
}

enum taken { NOBODY = -1, NOTHING, SOME, ENDED };

// What one write wrote: the kernel cuts it into pages, of which only the last is shorter. Of one that writes whole pages without end, some at a time.
static enum taken take_write(int from, uint8_t stream) {
  ssize_t count, page = sysconf(_SC_PAGESIZE);
  enum taken taken = NOTHING;
  int pages = 0;
  do {
    if ((used > 0 && frame.header.stream != stream) || used > PIECE) {
      if (flush() < 0) return NOBODY;
    }
    count = read(from, frame.data + used, PIECE);
    if (count < 0) return errno == EAGAIN || errno == EINTR ? taken : ENDED;
    if (count == 0) return ENDED;
    frame.header.stream = stream;
    used += (size_t)count;
    taken = SOME;
  } while (count == page && ++pages < MOST_PAGES);
  return taken;
}

// Writes of which signals have told, some at a time: the end of the builder must be seen between them, however much comes. SOME when there were signals.
static enum taken take_signaled(int order, const struct output *output) {
  struct signalfd_siginfo signals[64];
  ssize_t size = read(order, signals, sizeof signals);
  if (size <= 0) return NOTHING;
  for (size_t i = 0; i < (size_t)size / sizeof signals[0]; i++) {
    bool is_out = signals[i].ssi_fd == output->out;
    if (take_write(is_out ? output->out : output->err, is_out ? STREAM_OUT : STREAM_ERR) == NOBODY) return NOBODY;
  }
  return SOME;
}

int relay_watch(const struct output *output) {
  sigset_t signals;
  // What it is told by when its queue of signals is full. What then came without one is found by poll.
  signal(SIGIO, SIG_IGN);
  sigemptyset(&signals);
  sigaddset(&signals, SIGRTMIN);
  sigprocmask(SIG_BLOCK, &signals, NULL);
  // They count for all processes of the user: a run that writes faster than it is read must not take the signals of others.
  struct rlimit limit;
  if (getrlimit(RLIMIT_SIGPENDING, &limit) == 0 && limit.rlim_cur > MOST_SIGNALS) {
    limit.rlim_cur = MOST_SIGNALS;
    setrlimit(RLIMIT_SIGPENDING, &limit);
  }
  bool ordered = true;
  for (const int *fd = &output->out; fd <= &output->err; fd++) {
    // Each write takes a page of the pipe; where that is refused, the command waits sooner.
    fcntl(*fd, F_SETPIPE_SZ, CAPACITY);
    ordered &= fcntl(*fd, F_SETSIG, SIGRTMIN) == 0 && fcntl(*fd, F_SETOWN, getpid()) == 0;
    fcntl(*fd, F_SETFL, O_NONBLOCK | (ordered ? O_ASYNC : 0));
  }
  return ordered ? signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC) : -1;
}

// One turn. NOBODY when the builder takes no more.
static enum taken pass_on(struct pollfd *streams, const struct output *output, int order) {
  enum taken signaled = order < 0 ? NOTHING : take_signaled(order, output);
  // Data whose signal is still on its way, or was lost, or the end of a stream.
  for (uint8_t stream = STREAM_OUT; signaled == NOTHING && stream <= STREAM_ERR; stream++) {
    struct pollfd *poll = &streams[stream - STREAM_OUT];
    enum taken taken = poll->revents ? take_write(poll->fd, stream) : NOTHING;
    if (taken == ENDED) poll->fd = -1;
    if (taken == NOBODY) return NOBODY;
  }
  return signaled == NOBODY || flush() < 0 ? NOBODY : SOME;
}

bool relay(const struct watched *watched, const struct output *output, int order) {
  struct pollfd polls[] = {{.fd = watched->init_fd, .events = POLLIN},
                           {.fd = BUILDER, .events = POLLIN},
                           {.fd = order, .events = POLLIN},
                           {.fd = output->out, .events = POLLIN},
                           {.fd = output->err, .events = POLLIN}};
  bool taken = true;
  while (!polls[0].revents) {
    if (poll(polls, 5, -1) < 0) continue;
    if (polls[1].revents) kill(watched->init, SIGKILL), polls[1].fd = -1;
    if (!taken || pass_on(&polls[3], output, order) != NOBODY) continue;
    kill(watched->init, SIGKILL);
    taken = false;
    polls[2].fd = polls[3].fd = polls[4].fd = -1;
  }
  return taken;
}

void relay_rest(const struct output *output, int order) {
  enum taken signaled = order < 0 ? NOTHING : SOME;
  while (signaled == SOME) signaled = take_signaled(order, output);
  if (signaled == NOBODY) return;
  while (take_write(output->out, STREAM_OUT) == SOME) continue;
  while (take_write(output->err, STREAM_ERR) == SOME) continue;
  flush();
}
