// Who a process of the command takes itself to be, where the kernel knows one id only: user and group ids as setuid(2) and its kind leave them.
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "caller.h"

enum { IDENTITY_GROUPS = 64 };

struct ids {
  uint32_t real, effective, saved, fs;
};

struct identity {
  pid_t process;
  uint64_t started; // of /proc/PID/stat: tells a process from an earlier one of that number
  struct ids user, group;
  uint64_t program; // where its stack begins: another place after each exec, which ends PR_SET_KEEPCAPS
  uint64_t keeps;   // the program that has set it, and may after it has become another what root might. 0: none
  int group_count;
  uint32_t groups[IDENTITY_GROUPS];
};

// The identity of a thread's process: its own, or its parent's when it is seen for the first time. NULL when it is gone. Valid until the next call.
struct identity *identity_of(int proc, pid_t thread);
// A reply: system call `number` with the arguments of struct seccomp_data, which sets or asks for ids, of a process that is in no place to change memory itself. The result,
// or -errno.
int64_t identity_call(struct identity *identity, const struct caller *caller, int number, const uint64_t *arguments);
// prctl(PR_SET_KEEPCAPS), which the kernel carries out.
void identity_keeps(struct identity *identity, bool keeps);
// A question: whether it is one of those.
bool identity_knows(int number);
