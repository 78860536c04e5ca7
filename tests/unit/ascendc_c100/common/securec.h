// Stands for the header of this name where the folders of CANN have none: what their headers use.
#pragma once
#include <cstdarg>
#include <cstdio>
#include <cstring>

#define EOK 0
typedef int errno_t;
inline int memset_s(void* to, size_t room, int value, size_t n) {
  if (n > room)
    return 1;
  std::memset(to, value, n);
  return EOK;
}
inline int memcpy_s(void* to, size_t room, const void* from, size_t n) {
  if (n > room)
    return 1;
  std::memcpy(to, from, n);
  return EOK;
}
inline int strcpy_s(char* to, size_t room, const char* from) {
  return std::snprintf(to, room, "%s", from) < 0;
}
inline int strcat_s(char* to, size_t room, const char* from) {
  const size_t used = std::strlen(to);
  return strcpy_s(to + used, room - used, from);
}
inline int vsnprintf_s(char* to, size_t room, size_t, const char* format, va_list arguments) {
  return std::vsnprintf(to, room, format, arguments);
}
inline int snprintf_s(char* to, size_t room, size_t most, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  const int n = vsnprintf_s(to, room, most, format, arguments);
  va_end(arguments);
  return n;
}
inline int sprintf_s(char* to, size_t room, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  const int n = vsnprintf_s(to, room, room, format, arguments);
  va_end(arguments);
  return n;
}
