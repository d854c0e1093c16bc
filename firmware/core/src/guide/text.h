/* Text of a message of the guide, with a limited length. */
#ifndef AIOT_GUIDE_TEXT_H
#define AIOT_GUIDE_TEXT_H

#include "aiot/guide.h"

typedef struct {
  char *out;
  size_t room;
  size_t used;
  /* Whether the text did not fit or a value was invalid. */
  bool failed;
} aiot_guide_text;

void aiot_guide_put(aiot_guide_text *text, const char *more);
/* Appends a text as a JSON string. */
void aiot_guide_put_quoted(aiot_guide_text *text, const char *more);
/* Appends a number with this many decimals (at most 6), rounded exactly, halves away from zero. */
void aiot_guide_put_fixed(aiot_guide_text *text, double value, int decimals);
void aiot_guide_put_integer(aiot_guide_text *text, int64_t value);

#endif
