/*
 * A program's own settings, which an operator changes for a device type, a group or one device (docs/how-to/device-settings.md). A setting
 * is a variable, registered in a table with its name and default:
 *
 *   static int32_t rpm;
 *   static bool quiet;
 *   static double gain;
 *   static char site[32], mode[8];
 *
 *   AIOT_SETTINGS(own_settings, NULL,
 *     AIOT_SETTING_INTEGER("rpm", rpm, 900, 0, 3000)
 *     AIOT_SETTING_BOOLEAN("quiet", quiet, false)
 *     AIOT_SETTING_NUMBER("filter.gain", gain, 1.5, 0, 10)
 *     AIOT_SETTING_TEXT("site", site, "")
 *     AIOT_SETTING_CHOICE("mode", mode, "eco", "eco|normal|boost"));
 *
 * aiot/own_settings.h contains the table of the programs in hal/; another program sets `setup.settings` to its own table. A dot in a name
 * separates an object from its member. aiot_device_open sets each variable once: to the value that the platform sent last, or to its
 * default. From then on, only the device's loop changes variables: all of a message, or none if one of its values is invalid. The table is
 * in flash. The device takes sizeof(aiot_settings_state) bytes of its memory, and uses the message buffer for everything else.
 */
#ifndef AIOT_SETTING_H
#define AIOT_SETTING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "aiot/code.h"
#include "aiot/command.h"

/* Maximum number of settings, and lengths of a name and of a text, including the NUL. */
#define AIOT_SETTINGS_MAX 32
#define AIOT_SETTING_NAME_BYTES 48
#define AIOT_SETTING_TEXT_BYTES 128
/* Maximum size of all variables; a variable takes a multiple of 8 bytes. */
#define AIOT_SETTINGS_MEMORY 1536u
/* Maximum size of a message with settings: the platform sends at most 2048 bytes of values. */
#define AIOT_SETTINGS_BYTES 2304u
/* "sha256:", 64 digits and a NUL. */
#define AIOT_SETTINGS_DIGEST_BYTES 72

typedef enum { AIOT_SETTING_IS_BOOLEAN, AIOT_SETTING_IS_INTEGER, AIOT_SETTING_IS_NUMBER, AIOT_SETTING_IS_TEXT } aiot_setting_type;

typedef struct {
  /* Letters, digits, - and _; with dots between the parts of a path. */
  const char *name;
  aiot_setting_type type;
  union {
    bool *boolean;
    int32_t *integer;
    double *number;
    char *text;
  } variable;
  /* Size of a text's variable, including the NUL. */
  size_t bytes;
  /* The default of a boolean (0 or 1) or of a number, and of a text. */
  double value;
  const char *text;
  /* Bounds of a number. */
  double least;
  double most;
  /* The allowed texts, separated by "|"; NULL = any. */
  const char *choices;
} aiot_setting;

typedef struct {
  const aiot_setting *setting;
  /*
   * Called in the device's loop after variables have changed, and once in aiot_device_open. If it returns another code than AIOT_OK, the
   * variables get their former values, it is called again, and the platform gets the code with the reason. It must not call functions of
   * aiot/device.h. NULL = the program only reads its variables.
   */
  aiot_code (*apply)(void *context, char reason[AIOT_REASON_BYTES]);
} aiot_setting_table;

/* Entries of a table, with their commas, so that a table may be empty. */
#define AIOT_SETTING_BOOLEAN(path, place, usual) {.name = path, .type = AIOT_SETTING_IS_BOOLEAN, .variable = {.boolean = &(place)}, .value = (usual)},
#define AIOT_SETTING_INTEGER(path, place, usual, low, high) \
  {.name = path, .type = AIOT_SETTING_IS_INTEGER, .variable = {.integer = &(place)}, .value = (usual), .least = (low), .most = (high)},
#define AIOT_SETTING_NUMBER(path, place, usual, low, high) \
  {.name = path, .type = AIOT_SETTING_IS_NUMBER, .variable = {.number = &(place)}, .value = (usual), .least = (low), .most = (high)},
#define AIOT_SETTING_TEXT(path, place, usual) {.name = path, .type = AIOT_SETTING_IS_TEXT, .variable = {.text = (place)}, .bytes = sizeof(place), .text = (usual)},
#define AIOT_SETTING_CHOICE(path, place, usual, allowed) \
  {.name = path, .type = AIOT_SETTING_IS_TEXT, .variable = {.text = (place)}, .bytes = sizeof(place), .text = (usual), .choices = (allowed)},

/* Defines a table from a function (see above) and its entries, which have no commas between them. The last entry has no name. */
#define AIOT_SETTINGS(table, function, entries)                          \
  static const aiot_setting table##_entries[] = {entries{.name = NULL}}; \
  static const aiot_setting_table table = {table##_entries, function}

/* Where a device keeps its settings over a restart. */
typedef struct {
  void *context;
  /* Reads the stored text. Returns its size; 0 = there is none, or it does not fit. */
  size_t (*read)(void *context, void *out, size_t room);
  /* Replaces the stored text in one step; 0 bytes delete it. False: the former text remains. */
  bool (*write)(void *context, const void *text, size_t bytes);
} aiot_settings_store;

/* State of a device with settings. */
typedef struct {
  /* Whether the values of the platform are in use; otherwise, the defaults are. */
  bool sent;
  /* One bit per setting: whether the platform's values have it. The others have their defaults. */
  uint32_t named;
  /* Digest of the settings that could not be used, and why; empty = none. */
  char rejected[AIOT_SETTINGS_DIGEST_BYTES];
  aiot_code code;
  char reason[AIOT_REASON_BYTES];
} aiot_settings_state;

#endif
