// Process 1 of a run: makes the root ready, starts the command, reaps, ends what the command left behind.
#pragma once
#include "mounts.h"
#include "plan.h"

// How the command ended, in memory shared with the supervisor.
struct outcome {
  int complete;
  int code, signal;
};

struct shared {
  struct outcome outcome;
  struct stub_list stubs;
};

struct init_context {
  const struct plan *plan;
  struct rootfs *rootfs;
  struct shared *shared;
  int go, out, err, status; // pipes
};

_Noreturn void init_main(struct init_context *context);
