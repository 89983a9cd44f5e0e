// The runner outside of the sandbox: reads the plan from the builder (builder.h), starts init, passes the output on, removes what the set-up left in the layer, and
// tells the end.
#pragma once

int supervise(void);
