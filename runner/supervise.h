// The runner outside of the sandbox: reads the plan from stdin, which stays open as the lifeline of the builder, starts init, passes the output on,
// removes what the set-up left in the layer, and tells the end on the status pipe (fd 3):
//   "error <errno> <text>\n"  or  "exit <code> <signal> <oom 0|1>\n"
#pragma once

int supervise(void);
