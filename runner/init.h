// Process 1 of a run: makes the root ready and becomes the command. Nothing of ours stays inside (as with runc): the kernel shields process 1 from signals that
// it does not handle, and ends everything that it leaves behind.
#pragma once
#include "mounts.h"
#include "plan.h"

struct init_context {
  const struct plan *plan;
  struct rootfs *rootfs;
  int go, out, err; // pipes
  int warden;       // a socket, or -1
};

_Noreturn void init_main(const struct init_context *context);
