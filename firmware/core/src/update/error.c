#include <stdarg.h>
#include <string.h>

#include "aiot/manifest.h"

typedef struct {
  char *out;
  size_t room;
  size_t used;
} writing;

static void write_text(writing *w, const char *text) {
  const size_t bytes = strlen(text);
  size_t fitting = w->room - 1 - w->used;
  if (bytes <= fitting) {
    fitting = bytes;
  } else {
    /* Truncates only at the start of a UTF-8 character. */
    while (fitting > 0 && ((uint8_t)text[fitting] & 0xc0) == 0x80) fitting--;
    w->room = w->used + fitting + 1;
  }
  memcpy(w->out + w->used, text, fitting);
  w->used += fitting;
  w->out[w->used] = 0;
}

static void write_unsigned(writing *w, unsigned long long value, bool negative) {
  char digits[24];
  size_t at = sizeof digits - 1;
  digits[at] = 0;
  do digits[--at] = (char)('0' + value % 10);
  while ((value /= 10) > 0);
  if (negative) digits[--at] = '-';
  write_text(w, digits + at);
}

static void write_signed(writing *w, long long value) {
  write_unsigned(w, value < 0 ? 0ull - (unsigned long long)value : (unsigned long long)value, value < 0);
}

/*
 * Handles %s, %d and %u, with l or ll. printf is not used, because in the C libraries of small chips it does not support 64 bits,
 * or uses a heap.
 */
static const char *write_conversion(writing *w, const char *at, va_list *arguments) {
  int longs = 0;
  while (*at == 'l') {
    longs++;
    at++;
  }
  if (*at == 's') {
    write_text(w, va_arg(*arguments, const char *));
  } else if (*at == 'd') {
    write_signed(w, longs == 0   ? va_arg(*arguments, int)
                    : longs == 1 ? va_arg(*arguments, long)
                                 : va_arg(*arguments, long long));
  } else {
    write_unsigned(w,
                   longs == 0   ? va_arg(*arguments, unsigned)
                   : longs == 1 ? va_arg(*arguments, unsigned long)
                                : va_arg(*arguments, unsigned long long),
                   false);
  }
  return at + 1;
}

void aiot_error_set(aiot_error *error, aiot_code code, const char *format, ...) {
  writing names = {error->code, sizeof error->code, 0};
  writing message = {error->message, sizeof error->message, 0};
  va_list arguments;
  error->message[0] = 0;
  write_text(&names, aiot_code_name(code));
  va_start(arguments, format);
  while (*format != 0) {
    if (*format == '%') {
      format = write_conversion(&message, format + 1, &arguments);
    } else {
      const char one[2] = {*format++, 0};
      write_text(&message, one);
    }
  }
  va_end(arguments);
}

const char *aiot_kind_name(aiot_kind kind) {
  switch (kind) {
    case AIOT_KIND_MODEL:
      return "model";
    case AIOT_KIND_FIRMWARE:
      return "firmware";
    case AIOT_KIND_CONFIG:
      return "config";
  }
  return "model";
}
