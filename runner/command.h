// The command itself: limits, working directory, seccomp, capabilities, user, exec. Does not return.
#pragma once
#include "plan.h"

_Noreturn void command_exec(const struct plan *plan, int warden);
