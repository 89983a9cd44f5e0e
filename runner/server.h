// The runner beside the builder: each run of a build is a child of one process that is small, so that none begins with a copy of the builder's memory and a start of
// this program. The control socket (fd 0) brings a socket a run (builder.h); its end is the end of the builder.
#pragma once
#include <stdbool.h>

// Serves until the builder is gone. `mounts`: each run has a mount namespace from its beginning. `refused`: each gets the failure that was kept (fail.h) instead.
int serve(bool mounts, bool refused);
