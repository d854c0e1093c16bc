/*
 * Writes JSON, or CBOR (RFC 8949) of the same structure, to the caller's memory. The same calls write either, so that each
 * message is described only once. Nothing is written beyond the buffer, so one check for overflow at the end is sufficient.
 *
 *   aiot_writer writer;
 *   aiot_write_begin(&writer, out, sizeof out, AIOT_ENCODING_JSON);
 *   aiot_write_object(&writer);
 *   aiot_write_key(&writer, "online");
 *   aiot_write_boolean(&writer, true);
 *   aiot_write_object_end(&writer);
 *   bytes = aiot_write_end(&writer);
 */
#ifndef AIOT_WRITE_H
#define AIOT_WRITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum { AIOT_ENCODING_JSON, AIOT_ENCODING_CBOR } aiot_encoding;

typedef struct {
  uint8_t *out;
  size_t room;
  size_t used;
  aiot_encoding encoding;
  /* For JSON: whether a comma is needed before the next value. */
  bool comma;
  bool failed;
} aiot_writer;

void aiot_write_begin(aiot_writer *writer, void *out, size_t room, aiot_encoding encoding);

void aiot_write_object(aiot_writer *writer);
void aiot_write_object_end(aiot_writer *writer);
void aiot_write_array(aiot_writer *writer);
void aiot_write_array_end(aiot_writer *writer);

/* Writes the key of the next member. */
void aiot_write_key(aiot_writer *writer, const char *key);

/* Writes a string. Invalid UTF-8 bytes become U+FFFD. */
void aiot_write_text(aiot_writer *writer, const char *text);

void aiot_write_integer(aiot_writer *writer, int64_t value);

/* Writes the shortest decimal that reads back as this double, like JavaScript. A number that is not finite becomes null. */
void aiot_write_number(aiot_writer *writer, double value);

void aiot_write_boolean(aiot_writer *writer, bool value);
void aiot_write_null(aiot_writer *writer);

/* Returns the number of bytes written; 0 if they did not fit. */
size_t aiot_write_end(const aiot_writer *writer);

/* Maximum length of the text of a number, including its NUL. */
#define AIOT_NUMBER_BYTES 32

/*
 * Writes the shortest text that reads back as this finite double, like JavaScript's String(). Returns its length without the NUL.
 */
size_t aiot_number_text(double value, char out[AIOT_NUMBER_BYTES]);

#endif
