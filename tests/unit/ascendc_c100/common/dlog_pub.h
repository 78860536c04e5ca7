// Stands for the header of this name where the folders of CANN have none: errors go to stderr.
#pragma once
#include <cstdarg>
#include <cstdio>

#define DLOG_DEBUG 0
#define DLOG_INFO 1
#define DLOG_WARN 2
#define DLOG_ERROR 3
enum { ASCENDCKERNEL = 62, RUNTIME = 1 };
inline int CheckLogLevel(int, int) { return 1; }
inline void DlogRecord(int, int level, const char* format, ...) {
  if (level < DLOG_ERROR)
    return;
  va_list arguments;
  va_start(arguments, format);
  std::vfprintf(stderr, format, arguments);
  va_end(arguments);
  std::fputc('\n', stderr);
}
#define dlog_error(module, ...) DlogRecord(module, DLOG_ERROR, __VA_ARGS__)
#define dlog_warn(module, ...) DlogRecord(module, DLOG_WARN, __VA_ARGS__)
#define dlog_info(module, ...) DlogRecord(module, DLOG_INFO, __VA_ARGS__)
