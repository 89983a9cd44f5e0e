// Settings of the sanitizers for a runner that is compiled with them (scripts/check-native.mjs). What is not freed at its end is no leak: its end frees it.
const char *__asan_default_options(void);
const char *__asan_default_options(void) { return "detect_leaks=0:abort_on_error=1:log_path=" SANITIZER_LOG; }
const char *__ubsan_default_options(void);
const char *__ubsan_default_options(void) { return "print_stacktrace=1:abort_on_error=1:log_path=" SANITIZER_LOG; }
