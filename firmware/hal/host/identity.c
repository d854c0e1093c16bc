#include "identity.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aiot/json.h"

void aiot_identity_path(const aiot_identity *identity, const char *name, char *out, size_t room) {
  snprintf(out, room, "%s/%s", identity->folder, name);
}

/* Reads a whole file of at most 64 KiB. The caller must free the result. NULL = the file cannot be read. */
static char *read_file(const char *path, size_t *bytes) {
  FILE *file = fopen(path, "rb");
  if (file == NULL) return NULL;
  const size_t room = 65536;
  char *text = malloc(room);
  *bytes = text == NULL ? 0 : fread(text, 1, room, file);
  fclose(file);
  return text;
}

static void read_urls(aiot_identity *identity, aiot_json *json) {
  aiot_json_enter(json, '{');
  while (aiot_json_key(json)) {
    if (aiot_json_is(json, "http")) aiot_json_string(json, identity->http, sizeof identity->http);
    else if (aiot_json_is(json, "mqtts")) aiot_json_string(json, identity->mqtts, sizeof identity->mqtts);
    else aiot_json_skip(json);
  }
}

static bool read_device(aiot_identity *identity, const char *text, size_t bytes) {
  aiot_json json;
  aiot_json_begin(&json, text, bytes);
  aiot_json_enter(&json, '{');
  while (aiot_json_key(&json)) {
    if (aiot_json_is(&json, "name")) aiot_json_string(&json, identity->name, sizeof identity->name);
    else if (aiot_json_is(&json, "id")) aiot_json_string(&json, identity->id, sizeof identity->id);
    else if (aiot_json_is(&json, "type")) aiot_json_string(&json, identity->type, sizeof identity->type);
    else if (aiot_json_is(&json, "urls")) read_urls(identity, &json);
    else aiot_json_skip(&json);
  }
  return aiot_json_done(&json) && identity->name[0] != '\0' && identity->http[0] != '\0' && identity->mqtts[0] != '\0';
}

bool aiot_identity_read(aiot_identity *identity, const char *folder, const aiot_crypto *crypto, char *problem, size_t room) {
  memset(identity, 0, sizeof *identity);
  snprintf(identity->folder, sizeof identity->folder, "%s", folder);
  char path[600];
  size_t bytes;
  aiot_identity_path(identity, "device.json", path, sizeof path);
  char *text = read_file(path, &bytes);
  const bool device = text != NULL && read_device(identity, text, bytes);
  free(text);
  if (!device) {
    snprintf(problem, room, "%s is not a device description", path);
    return false;
  }
  /* root.json takes precedence over trust.json, because a root contains more than its release keys. */
  aiot_identity_path(identity, "root.json", path, sizeof path);
  text = read_file(path, &bytes);
  const bool apart = text != NULL;
  const bool opened = apart && aiot_root_open(&identity->trust, text, bytes, crypto) == AIOT_OK;
  free(text);
  if (apart && !opened) {
    snprintf(problem, room, "%s is not a root", path);
    return false;
  }
  aiot_identity_path(identity, "trust.json", path, sizeof path);
  text = read_file(path, &bytes);
  /* `null` = there is no trust root, so no update is accepted. */
  const bool none = text != NULL && strncmp(text, "null", 4) == 0;
  identity->has_trust = text != NULL && !none && (opened || aiot_trust_read(&identity->trust, text, bytes, crypto) == AIOT_OK);
  const bool good = none || identity->has_trust;
  free(text);
  if (!good) snprintf(problem, room, "%s is not a trust root", path);
  return good;
}

bool aiot_identity_address(const char *url, const char *scheme, int standard_port, char *host, size_t room, int *port) {
  const size_t length = strlen(scheme);
  if (strncmp(url, scheme, length) != 0) return false;
  const char *from = url + length;
  const char *end = from + strcspn(from, "/");
  const char *colon = NULL;
  for (const char *c = from; c < end; c++) {
    if (*c == ':') colon = c;
  }
  const bool bracketed = *from == '[';
  if (bracketed) {
    const char *close = strchr(from, ']');
    if (close == NULL || close > end) return false;
    colon = close[1] == ':' ? close + 1 : NULL;
    from++;
    end = close;
  } else if (colon != NULL) {
    end = colon;
  }
  *port = colon == NULL ? standard_port : atoi(colon + 1);
  const int written = snprintf(host, room, "%.*s", (int)(end - from), from);
  return written > 0 && (size_t)written < room && *port > 0 && *port < 65536;
}
