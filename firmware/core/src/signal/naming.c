#include "set.h"

void aiot_name_add(aiot_naming *name, const char *text) {
  for (; *text != '\0' && name->length + 1 < AIOT_FEATURE_NAME_BYTES; text++) name->text[name->length++] = *text;
  name->text[name->length] = '\0';
}

void aiot_name_add_number(aiot_naming *name, size_t number) {
  char digits[24];
  size_t at = sizeof(digits) - 1;
  digits[at] = '\0';
  do {
    digits[--at] = (char)('0' + number % 10);
    number /= 10;
  } while (number > 0);
  aiot_name_add(name, digits + at);
}
