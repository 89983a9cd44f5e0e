// Passes what a run prints on to the builder, in the order in which it was written, as frames (builder.h).
#pragma once
#include <stdbool.h>
#include <sys/types.h>

// Read ends of the run's pipes, which are made with O_DIRECT: the kernel then keeps what one write wrote apart.
struct output {
  int out, err;
};

// Of whom the end is waited for: init, by its pidfd, which is killed when the builder is gone or takes no more.
struct watched {
  pid_t init;
  int init_fd;
};

// A call: asks the kernel for a signal for each write, for what is written from now on. Call it in the process that relays, after the fork: signals are blocked and ignored
// here. -1 where the kernel does not have it: the order is then that of the reads.
int relay_watch(const struct output *output);

// A question, until init is gone: false when the builder takes no more. `order` is what relay_watch returned.
bool relay(const struct watched *watched, const struct output *output, int order);

// What is left in the pipes. Call it when nobody is left who writes to them: it ends where they are empty.
void relay_rest(const struct output *output, int order);
