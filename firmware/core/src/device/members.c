#include "members.h"

void aiot_write_integer_member(aiot_writer *writer, const char *key, int64_t value) {
  aiot_write_key(writer, key);
  aiot_write_integer(writer, value);
}

void aiot_write_text_member(aiot_writer *writer, const char *key, const char *text) {
  aiot_write_key(writer, key);
  aiot_write_text(writer, text);
}

static void write_digest(aiot_writer *writer, const uint8_t digest[AIOT_SHA256_BYTES]) {
  static const char hex[] = "0123456789abcdef";
  char text[8 + 2 * AIOT_SHA256_BYTES] = "sha256:";
  for (size_t i = 0; i < AIOT_SHA256_BYTES; i++) {
    text[7 + 2 * i] = hex[digest[i] >> 4];
    text[8 + 2 * i] = hex[digest[i] & 15];
  }
  text[7 + 2 * AIOT_SHA256_BYTES] = '\0';
  aiot_write_key(writer, "digest");
  aiot_write_text(writer, text);
}

void aiot_device_write_content(aiot_writer *writer, const char *key, const aiot_content *content) {
  aiot_write_key(writer, key);
  if (content == NULL || !content->present) {
    aiot_write_null(writer);
    return;
  }
  aiot_write_object(writer);
  aiot_write_text_member(writer, "name", content->name);
  aiot_write_integer_member(writer, "version", content->version);
  aiot_write_integer_member(writer, "sequence", content->sequence);
  write_digest(writer, content->digest);
  aiot_write_object_end(writer);
}

void aiot_device_write_golden(aiot_writer *writer, const aiot_update *update) {
  aiot_write_key(writer, "golden");
  if (!update->has_golden) {
    aiot_write_null(writer);
    return;
  }
  aiot_write_object(writer);
  aiot_write_integer_member(writer, "vectors", update->golden_vectors);
  aiot_write_integer_member(writer, "passed", update->golden_passed);
  aiot_write_object_end(writer);
}
