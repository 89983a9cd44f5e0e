// How every function of the runner ends. There are four kinds, and the type and the name tell which one it is:
//
//   a step      bool      true, or false after fail(), which keeps what could not be done and why. Who calls a step passes its false on and adds nothing.
//   a question  bool      is_…, has_…, may_…, …_waits and the like: the answer. Nothing is kept.
//   a call      int,      like a system call: 0, a descriptor or a length, or -1 with errno. Nothing is kept: who calls it knows whether that is a failure,
//               ssize_t   and then says fail("…").
//   a reply     int64_t   what the kernel is to answer a process of the run (identity.h, ownership.h): the result of its system call, or -errno.
//
// No function is of two kinds; the compiler refuses to compare a step with 0 (-Wbool-compare). Each text of fail() has its next step in src/sandbox/refused.ts
// (test/unit/sandbox/refused.test.ts). A failure that can be reported to nobody, as when the status pipe is closed or a descriptor does not close, is ignored.
#pragma once
#include <stdbool.h>
#include <stddef.h>

// Keeps the first failure, text (printf-like) and errno at entry, of which 0 means that the text says all. Always false, so that a step ends with it.
bool fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

// The failure that was kept as one line, "error <errno> <text>[: <strerror>]\n", and its length.
enum { FAIL_LINE = 1400 };
size_t fail_line(char line[FAIL_LINE]);
// So that another one can be kept.
void fail_forget(void);
